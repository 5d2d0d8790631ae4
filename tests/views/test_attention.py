from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from proctoring import values
from proctoring.models import (
    Account,
    Action,
    ActionState,
    Attention,
    Call,
    Delivery,
    DeliveryState,
    Exam,
    JournalEntry,
)
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


def link(delivery: Delivery, name: str) -> str:
    return reverse("attention_link", args=[delivery.pk, name])


class TestALinkThatIsMissing:
    @pytest.fixture
    def linkless(self, office: Office) -> Delivery:
        candidate = factories.make_candidate(office.team, first_name="Bo", last_name="Berg")
        return factories.make_delivery(
            office.exam, candidate, state=DeliveryState.CREATED, take_url="", note="The reply held no launch token."
        )

    def test_is_shown_with_its_reason_and_its_next_steps(self, office: Office, linkless: Delivery) -> None:
        client = office.as_("lead")

        page, home = client.get(reverse(PAGE)).content.decode(), client.get(reverse("home")).content.decode()

        assert "Created without a link" in page
        assert "The reply held no launch token." in page
        assert link(linkless, "ask") in page
        assert link(linkless, "enter") in page
        assert "delivery needs a decision" in home

    @pytest.mark.parametrize(
        "change",
        [
            {"take_url": factories.TAKE_URL},
            {"is_revoked": True},
            {"state": DeliveryState.CANCELLED},
            {"state": DeliveryState.REQUESTED},
        ],
    )
    def test_is_not_missed_where_nobody_needs_it(
        self, office: Office, linkless: Delivery, change: dict[str, object]
    ) -> None:
        Delivery.objects.filter(pk=linkless.pk).update(**change)

        assert "Nothing needs you" in office.as_("lead").get(reverse(PAGE)).content.decode()

    def test_is_not_missed_once_the_window_has_closed(self, office: Office, linkless: Delivery) -> None:
        Exam.objects.update(ends_at=datetime.now(UTC) - timedelta(minutes=1))

        assert "Nothing needs you" in office.as_("lead").get(reverse(PAGE)).content.decode()

    def test_is_not_missed_where_there_is_a_newer_attempt(self, office: Office, linkless: Delivery) -> None:
        factories.make_delivery(office.exam, linkless.candidate, attempt=2, state=DeliveryState.CREATED)

        assert "Nothing needs you" in office.as_("lead").get(reverse(PAGE)).content.decode()

    def test_is_found_by_its_kind_its_exam_and_its_candidate(self, office: Office, linkless: Delivery) -> None:
        office.stopped()
        client = office.as_("lead")

        for query in ({"kind": "no_link"}, {"exam": str(office.exam.pk), "q": "berg"}):
            assert "Bo Berg" in client.get(reverse(PAGE), query).content.decode()
        assert "Bo Berg" not in client.get(reverse(PAGE), {"kind": "unknown"}).content.decode()
        assert "It was not created" not in client.get(reverse(PAGE), {"kind": "no_link"}).content.decode()

    def test_is_asked_for_at_a_vendor_that_gives_new_ones(self, office: Office, linkless: Delivery) -> None:
        page = office.as_("coordinator").post(link(linkless, "ask"), {"reason": "None came"}, follow=True)

        action = Action.objects.get()
        assert (action.verb, action.delivery, action.reason) == ("reissue_link", linkless, "None came")
        assert "a new link is asked for" in page.content.decode()
        assert "Nothing needs you" in page.content.decode(), "it is under way"

    def test_cannot_be_asked_for_where_the_vendor_has_no_such_call(self, office: Office, linkless: Delivery) -> None:
        Account.objects.update(vendor="cirrus")
        client = office.as_("lead")

        page = client.get(reverse(PAGE)).content.decode()

        assert link(linkless, "enter") in page
        assert link(linkless, "ask") not in page
        assert client.post(link(linkless, "ask"), {"reason": "None came"}).status_code == 302
        assert not Action.objects.exists()

    def test_is_entered_by_who_found_it(self, office: Office, linkless: Delivery) -> None:
        Account.objects.update(vendor="cirrus")
        url = "https://demo.cirrusplatform.com/start#/abc"

        page = office.as_("lead").post(
            link(linkless, "enter"), {"found-take_url": url, "reason": "Seen in Cirrus"}, follow=True
        )

        linkless.refresh_from_db()
        assert (linkless.take_url, linkless.ref) == (url, Delivery.objects.get().ref)
        assert "it has its link now" in page.content.decode()
        entry = JournalEntry.objects.get(event="delivery.link_entered")
        assert (entry.by, entry.reason, url in str(entry.facts)) == (office.members["lead"], "Seen in Cirrus", False)

    def test_is_entered_as_the_vendors_token_where_the_address_is_made_of_one(
        self, office: Office, linkless: Delivery
    ) -> None:
        data = {"found-launch_token": "a-new-token", "reason": "Seen in Scorpion"}

        office.as_("lead").post(link(linkless, "enter"), data)

        linkless.refresh_from_db()
        assert linkless.take_url.endswith("a-new-token")

    def test_is_not_entered_without_one(self, office: Office, linkless: Delivery) -> None:
        answer = office.as_("lead").post(link(linkless, "enter"), {"reason": "Seen in Scorpion"})

        assert answer.status_code == 422
        assert "That holds no take link." in answer.content.decode()

    def test_never_replaces_a_link(self, office: Office, linkless: Delivery) -> None:
        client = office.as_("lead")
        Delivery.objects.update(take_url=factories.TAKE_URL)

        client.post(link(linkless, "enter"), {"found-launch_token": "another", "reason": "Seen"})

        linkless.refresh_from_db()
        assert linkless.take_url == factories.TAKE_URL

    @pytest.mark.parametrize(("role", "name", "status"), [("viewer", "ask", 403), ("coordinator", "enter", 403)])
    def test_is_nobodys_who_may_not(
        self, office: Office, linkless: Delivery, role: str, name: str, status: int
    ) -> None:
        assert office.as_(role).post(link(linkless, name), {"reason": "x"}).status_code == status

    def test_is_not_there_for_strangers(self, office: Office, linkless: Delivery) -> None:
        assert office.as_stranger().get(link(linkless, "enter")).status_code == 404
        assert office.as_("lead").get(link(linkless, "wish")).status_code == 404
