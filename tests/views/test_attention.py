from __future__ import annotations

from datetime import UTC, datetime
from uuid import uuid4

import pytest
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from proctoring import values
from proctoring.models import Account, Action, ActionState, Attention, Call, Delivery, DeliveryState, JournalEntry
from proctoring.vendors.base import Created
from tests import factories
from tests.views.conftest import Office

PAGE = "attention"


def step(action: Action, name: str) -> str:
    return reverse("attention_step", args=[action.pk, name])


class TestAttentionPage:
    def test_says_that_nothing_needs_anybody(self, office: Office) -> None:
        assert "Nothing needs you" in office.as_("coordinator").get(reverse(PAGE)).content.decode()

    def test_shows_what_was_sent_and_when_and_what_may_have_happened(self, office: Office) -> None:
        action = office.stopped()
        factories.make_call(
            office.account, actions=[action], status=500, url="https://vendor.example.com/api/x?token=…"
        )

        page = office.as_("lead").get(reverse(PAGE)).content.decode()

        assert "POST https://vendor.example.com/api/x?token=…" in page
        assert "answered 500" in page
        assert "The vendor may have acted, or not." in page
        assert "It was not created: send again" in page

    def test_puts_paused_accounts_first_and_says_how_much_waits(self, office: Office) -> None:
        office.batch(3)
        office.stopped()
        Account.objects.update(paused_at=datetime.now(UTC), pause_reason="The token was refused.")

        for_admin = office.as_("administrator").get(reverse(PAGE)).content.decode()
        for_coordinator = office.as_("coordinator").get(reverse(PAGE)).content.decode()

        assert for_admin.index("The token was refused.") < for_admin.index("Outcome unknown")
        assert "3 deliveries wait; nothing is lost." in for_admin
        assert "enter new credentials" in for_admin
        assert "Ask an administrator of Northern exams: the-administrator." in for_coordinator

    def test_shows_an_account_that_is_paused_for_one_kind_of_call(self, office: Office) -> None:
        Account.objects.update(paused_verbs={"create_deliveries": {"reason": "No permission.", "at": "2026-01-01"}})

        page = office.as_("coordinator").get(reverse(PAGE)).content.decode()

        assert "It may not create the delivery: No permission." in page

    def test_says_whom_to_ask_where_a_step_is_not_the_viewers(self, office: Office) -> None:
        action = office.stopped()

        page = office.as_("coordinator").get(reverse(PAGE)).content.decode()

        assert step(action, "look_up") in page
        assert step(action, "send_again") not in page
        assert "It was not created: send again: Ask a lead of the team." in page

    def test_groups_by_what_is_the_matter(self, office: Office) -> None:
        office.stopped(state=ActionState.NEEDS_ATTENTION, attention=Attention.EXHAUSTED)
        office.stopped()
        office.stopped(state=ActionState.NEEDS_ATTENTION, attention=Attention.REFUSED)

        page = office.as_("lead").get(reverse(PAGE)).content.decode().partition('id="many"')[2]

        headings = ("Outcome unknown", "Refused by the vendor", "The vendor could not be reached")
        places = [page.index(f">{heading}<") for heading in headings]
        assert places == sorted(places)

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ({"kind": "refused"}, {"Grace"}),
            ({"kind": "unknown"}, {"Alan"}),
            ({"q": "alan"}, {"Alan"}),
            ({}, {"Grace", "Alan"}),
        ],
    )
    def test_can_be_narrowed(self, office: Office, query: dict[str, str], expected: set[str]) -> None:
        people = {name: factories.make_candidate(office.team, first_name=name) for name in ("Grace", "Alan")}
        office.stopped(candidate=people["Grace"], state=ActionState.NEEDS_ATTENTION, attention=Attention.REFUSED)
        office.stopped(candidate=people["Alan"])

        page = office.as_("lead").get(reverse(PAGE), query).content.decode()

        assert {name for name in people if f"<bdi>{name} " in page} == expected

    def test_can_be_narrowed_to_one_exam(self, office: Office) -> None:
        office.stopped()

        nothing = office.as_("lead").get(reverse(PAGE), {"exam": str(uuid4())}).content.decode()
        found = office.as_("lead").get(reverse(PAGE), {"exam": str(office.exam.pk)}).content.decode()

        assert "Nothing matches" in nothing
        assert "It was not created" in found
        assert office.as_("lead").get(reverse(PAGE), {"exam": "seven"}).status_code == 404

    def test_shows_nothing_of_another_team(self, office: Office) -> None:
        office.stopped()

        assert "Nothing needs you" in office.as_stranger().get(reverse(PAGE)).content.decode()

    def test_escapes_what_a_vendor_says(self, office: Office) -> None:
        office.stopped(message="<script>alert(1)</script>")

        assert "<script>alert(1)" not in office.as_("lead").get(reverse(PAGE)).content.decode()

    def test_takes_as_many_queries_for_many_rows_as_for_few(
        self, office: Office, django_assert_max_num_queries: DjangoAssertNumQueries
    ) -> None:
        client = office.as_("lead")
        factories.make_call(office.account, actions=[office.stopped()])
        with django_assert_max_num_queries(40) as few:
            client.get(reverse(PAGE))
        for _ in range(20):
            factories.make_call(office.account, actions=[office.stopped()])

        with django_assert_max_num_queries(len(few)):
            client.get(reverse(PAGE))


class TestAttentionStep:
    def test_shows_its_form_as_a_page_and_as_a_fragment(self, office: Office) -> None:
        action, client = office.stopped(), office.as_("lead")

        page = client.get(step(action, "send_again")).content.decode()
        part = client.get(step(action, "send_again"), headers={"HX-Request": "true"}).content.decode()

        assert "<html" in page
        assert "<html" not in part
        assert "this makes a second one" in part

    def test_needs_a_reason(self, office: Office) -> None:
        action = office.stopped()

        answer = office.as_("lead").post(step(action, "send_again"), {"reason": ""})

        assert answer.status_code == 422
        assert Action.objects.get().state == ActionState.UNKNOWN

    def test_takes_the_step_and_goes_back_to_where_it_was_pressed(self, office: Office) -> None:
        action, back = office.stopped(), reverse(PAGE) + "?kind=unknown"

        answer = office.as_("lead").post(step(action, "send_again"), {"reason": "Not there", "next": back})

        assert answer.headers["Location"] == back
        assert Action.objects.get().state == ActionState.QUEUED
        assert JournalEntry.objects.get(event="action.retried").reason == "Not there"

    def test_goes_to_no_foreign_address(self, office: Office) -> None:
        action = office.stopped()

        answer = office.as_("lead").post(step(action, "cancel"), {"reason": "x", "next": "https://evil.example"})

        assert answer.headers["Location"] == reverse(PAGE)

    def test_looks_up_without_a_reason(self, office: Office) -> None:
        action = office.stopped()

        office.as_("coordinator").post(step(action, "look_up"))

        assert Action.objects.get().look_due_at is not None

    def test_settles_with_the_ids_found_at_the_vendor(self, office: Office) -> None:
        action = office.stopped()
        data = {"found-ref": str(uuid4()), "found-launch_token": "abc", "reason": "Seen on the vendor's page"}

        office.as_("lead").post(step(action, "found"), data)

        delivery = Delivery.objects.get()
        assert delivery.state == DeliveryState.CREATED
        assert delivery.ref == data["found-ref"]
        assert "abc" in delivery.take_url

    def test_says_what_is_wrong_with_those_ids(self, office: Office) -> None:
        action = office.stopped()

        answer = office.as_("lead").post(step(action, "found"), {"found-ref": "seven", "reason": ""})

        assert "This is not a UUID" in answer.content.decode()
        assert answer.content.decode().count("This field is required") == 1
        assert Action.objects.get().state == ActionState.UNKNOWN

    def test_settles_with_the_one_that_a_person_picks(self, office: Office) -> None:
        refs = [str(uuid4()), str(uuid4())]
        reference = uuid4()
        choices = [values.pack(Created(reference=reference, ref=ref, take_url="https://v.example/t")) for ref in refs]
        action = office.stopped(id=reference, choices=choices)
        client = office.as_("lead")

        page = client.get(step(action, "pick")).content.decode()
        client.post(step(action, "pick"), {"choice": "1", "reason": "By the time of day"})

        assert refs[0] in page
        assert "https://v.example/t" not in page
        assert Delivery.objects.get().ref == refs[1]

    def test_says_when_somebody_was_faster(self, office: Office) -> None:
        action = office.stopped()
        Action.objects.update(state=ActionState.DONE)

        answer = office.as_("lead").post(step(action, "send_again"), {"reason": "x"}, follow=True)

        assert answer.status_code == 200
        assert "It is done now." in answer.content.decode()

    def test_tells_whom_to_ask_who_may_not(self, office: Office) -> None:
        action = office.stopped()

        answer = office.as_("coordinator").post(step(action, "send_again"), {"reason": "x"})

        assert answer.status_code == 403
        assert "the-lead" in answer.content.decode()
        assert Action.objects.get().state == ActionState.UNKNOWN

    def test_does_not_exist_for_a_stranger_nor_for_an_unknown_step(self, office: Office) -> None:
        action = office.stopped()

        assert office.as_stranger().get(step(action, "cancel")).status_code == 404
        assert office.as_stranger().post(step(action, "cancel"), {"reason": "x"}).status_code == 404
        assert office.as_("lead").get(step(action, "explode")).status_code == 404


class TestAttentionMany:
    def test_takes_one_step_for_all_and_says_what_came_of_each(self, office: Office) -> None:
        first, second = office.stopped(), office.stopped()
        Action.objects.filter(pk=second.pk).update(state=ActionState.DONE)
        data = {"actions": [first.pk, second.pk], "step": "send_again", "reason": "None of them is there"}

        page = office.as_("lead").post(reverse("attention_many"), data, follow=True).content.decode()

        assert "1 of 2 done" in page
        assert "is queued to be sent again." in page
        assert "It is done now." in page
        assert Action.objects.get(pk=first.pk).state == ActionState.QUEUED

    def test_leaves_a_strangers_rows_alone(self, office: Office) -> None:
        action = office.stopped()
        data = {"actions": [action.pk], "step": "cancel", "reason": "x"}

        office.as_stranger().post(reverse("attention_many"), data)

        assert Action.objects.get().state == ActionState.UNKNOWN

    def test_refuses_each_row_where_the_role_does_not_allow_it(self, office: Office) -> None:
        action = office.stopped()
        data = {"actions": [action.pk], "step": "cancel", "reason": "x"}

        page = office.as_("coordinator").post(reverse("attention_many"), data, follow=True).content.decode()

        assert "0 of 1 done" in page
        assert "Ask a lead of the team." in page
        assert Action.objects.get().state == ActionState.UNKNOWN

    @pytest.mark.parametrize(
        ("data", "words"),
        [
            ({"step": "cancel", "reason": "x"}, "Tick the rows first."),
            ({"step": "cancel", "reason": "x", "actions": "seven"}, "could not be read"),
            ({"step": "cancel", "actions": str(uuid4())}, "Say why"),
        ],
    )
    def test_says_what_is_missing(self, office: Office, data: dict[str, str], words: str) -> None:
        page = office.as_("lead").post(reverse("attention_many"), data, follow=True).content.decode()

        assert words in page

    def test_makes_no_call_itself(self, office: Office) -> None:
        action = office.stopped()

        office.as_("lead").post(reverse("attention_many"), {"actions": [action.pk], "step": "look_up"})

        assert not Call.objects.exists()
        assert Action.objects.get().look_due_at is not None
