"""A delivery's page: all that is known of it, and each next step by who may take it."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from proctoring import deliveries, invitations, links
from proctoring.models import (
    Account,
    Action,
    ActionState,
    Candidate,
    Delivery,
    DeliveryState,
    Exam,
    Invitation,
    JournalEntry,
    User,
)
from proctoring.vendors.base import SessionState, Verb
from tests import factories
from tests.views.conftest import Office

HOSTILE = '"><script>alert(1)</script>'


@pytest.fixture
def delivery(office: Office) -> Delivery:
    person = factories.make_candidate(office.team, first_name="Ann", last_name="Lee", email="ann@example.org")
    return factories.make_delivery(office.exam, person, state=DeliveryState.CREATED)


def text(answer: Any) -> str:
    return " ".join(answer.content.decode().split())


def show(client: Client, delivery: Delivery) -> str:
    return text(client.get(reverse("delivery", args=[delivery.pk])))


def live(client: Client, delivery: Delivery, page: str) -> Any:
    seen = re.findall(r'name="seen" value="([^"]+)"', page)
    return client.get(reverse("delivery_live", args=[delivery.pk]), {"seen": seen}, headers={"HX-Request": "true"})


def take(client: Client, delivery: Delivery, step: str, **data: str) -> str:
    return text(client.post(reverse("delivery_step", args=[delivery.pk, step]), data, follow=True))


def mail_to(delivery: Delivery, office: Office, state: str = ActionState.DONE, **values: Any) -> Invitation:
    """An invitation, and what a worker made of it."""
    batch = invitations.request([delivery], by=office.members["coordinator"], now=datetime.now(UTC), is_again=True)
    mail = Invitation.objects.get(actions__batch=batch)
    Action.objects.filter(batch=batch).update(state=state, **values)
    if state == ActionState.DONE:
        Invitation.objects.filter(pk=mail.pk).update(sent_at=datetime.now(UTC))
    return mail


class TestPage:
    def test_shows_how_far_it_is_in_words(self, delivery: Delivery, office: Office) -> None:
        mail_to(delivery, office)
        deliveries.open_link(delivery, now=datetime.now(UTC))
        factories.make_session(
            office.exam, delivery=delivery, state=SessionState.COMPLETE.value, score=85, asked_at=datetime.now(UTC)
        )

        page = show(office.as_("viewer"), delivery)

        for words in ("Created at the vendor", "Invited", "Opened", "Started", "Complete", "Score 85", delivery.code):
            assert words in page

    def test_says_what_has_not_happened_yet(self, delivery: Delivery, office: Office) -> None:
        factories.make_session(office.exam, delivery=delivery, state=SessionState.NOT_STARTED.value)

        page = show(office.as_("viewer"), delivery)

        for words in ("Not invited", "Not opened", "Not started", "Not complete"):
            assert words in page

    def test_says_where_the_vendor_reports_nothing(self, office: Office) -> None:
        exam = factories.make_exam(factories.make_account(office.team, vendor="cirrus"))
        made = factories.make_delivery(exam, factories.make_candidate(office.team), state=DeliveryState.CREATED)

        assert "not reported by this vendor" in show(office.as_("viewer"), made)

    def test_shows_a_word_that_it_does_not_know_as_it_is(self, delivery: Delivery, office: Office) -> None:
        state = {"state": SessionState.UNKNOWN.value, "vendor_state": "quarantined", "asked_at": datetime.now(UTC)}
        factories.make_session(office.exam, delivery=delivery, **state)

        assert "The vendor says “quarantined”" in show(office.as_("viewer"), delivery)

    def test_gives_the_links_to_those_who_hand_them_out(self, delivery: Delivery, office: Office) -> None:
        page = show(office.as_("coordinator"), delivery)

        assert factories.TAKE_URL in page
        assert links.url_of(delivery) in page
        assert "proctor-secret" not in page
        assert reverse("proctor_link", args=[delivery.pk]) in page

    def test_gives_viewers_no_link(self, delivery: Delivery, office: Office) -> None:
        mail_to(delivery, office)

        page = show(office.as_("viewer"), delivery)

        assert "take-secret" not in page
        assert links.token_of(delivery) not in page
        assert "proctor-link" not in page
        assert "/invitations/" not in page

    def test_tells_one_timeline_in_plain_words(self, delivery: Delivery, office: Office) -> None:
        action = factories.make_action(delivery, state=ActionState.DONE)
        factories.make_call(office.account, actions=[action])
        factories.make_entry(delivery, event="delivery.requested", by=office.members["lead"], reason="Second sitting")
        mail_to(delivery, office)
        deliveries.open_link(delivery, now=datetime.now(UTC))

        page = show(office.as_("viewer"), delivery).partition('id="timeline"')[2]

        order = ["Opened by the candidate", "Invitation asked for", "Delivery asked for"]
        assert [page.index(words) for words in order] == sorted(page.index(words) for words in order)
        assert "Caveon Scorpion answered 200: create the delivery" in page
        assert "The candidate" in page
        assert "Second sitting" in page

    def test_says_who_may_take_each_step(self, delivery: Delivery, office: Office) -> None:
        page = show(office.as_("viewer"), delivery)

        assert "Ask a coordinator of Northern exams" in page
        assert 'name="reason"' not in page

    def test_leads_from_an_earlier_attempt_to_the_newest(self, delivery: Delivery, office: Office) -> None:
        made = factories.make_delivery(office.exam, delivery.candidate, state=DeliveryState.CREATED, attempt=2)

        page = show(office.as_("lead"), delivery)

        assert "This is an earlier attempt" in page
        assert reverse("delivery", args=[made.pk]) in page
        assert "Let them back in" not in page

    def test_offers_the_decision_that_an_open_action_waits_for(self, office: Office) -> None:
        action = office.stopped()
        assert action.delivery is not None

        page = show(office.as_("lead"), action.delivery)

        assert "Outcome unknown" in page
        assert reverse("attention_step", args=[action.pk, "send_again"]) in page

    def test_escapes_what_others_wrote(self, delivery: Delivery, office: Office) -> None:
        mail_to(delivery, office, ActionState.NEEDS_ATTENTION, message=HOSTILE)
        Candidate.objects.update(first_name=HOSTILE, phone=HOSTILE)
        Exam.objects.update(title=HOSTILE)
        Delivery.objects.update(note=HOSTILE, take_url="javascript:alert(1)")

        page = show(office.as_("lead"), delivery)

        assert HOSTILE not in page
        assert 'href="javascript' not in page

    def test_is_not_there_for_strangers(self, delivery: Delivery, office: Office) -> None:
        stranger = office.as_stranger()

        for name in ("delivery", "delivery_live", "delivery_mail", "as_candidate"):
            assert stranger.get(reverse(name, args=[delivery.pk])).status_code == 404
        assert stranger.post(reverse("delivery_step", args=[delivery.pk, "invite"])).status_code == 404
        assert not Action.objects.exists()

    def test_takes_as_many_queries_with_many_mails_as_with_few(
        self, delivery: Delivery, office: Office, django_assert_max_num_queries: DjangoAssertNumQueries
    ) -> None:
        client = office.as_("lead")
        mail_to(delivery, office)
        with django_assert_max_num_queries(40) as few:
            show(client, delivery)
        for _ in range(8):
            mail_to(delivery, office)

        with django_assert_max_num_queries(len(few)):
            show(client, delivery)


class TestLive:
    def test_says_nothing_while_nothing_changed(self, delivery: Delivery, office: Office) -> None:
        client = office.as_("coordinator")

        assert live(client, delivery, show(client, delivery)).status_code == 204

    def test_brings_the_parts_that_changed(self, delivery: Delivery, office: Office) -> None:
        client = office.as_("coordinator")
        page = show(client, delivery)
        deliveries.open_link(delivery, now=datetime.now(UTC))

        answer = text(live(client, delivery, page))

        assert 'id="glance" hx-swap-oob="true"' in answer
        assert 'id="timeline" hx-swap-oob="true"' in answer
        assert 'id="links"' not in answer
        assert 'id="mails"' not in answer

    def test_asks_often_while_something_moves_and_seldom_else(self, delivery: Delivery, office: Office) -> None:
        client = office.as_("coordinator")
        calm = show(client, delivery)
        mail_to(delivery, office, ActionState.QUEUED)

        assert "every 20s" in calm
        assert "every 2s" in show(client, delivery)

    def test_asks_no_more_once_it_is_complete(self, delivery: Delivery, office: Office) -> None:
        factories.make_session(office.exam, delivery=delivery, state=SessionState.COMPLETE.value)

        assert (
            "hx-trigger" not in show(office.as_("coordinator"), delivery).partition('id="pulse"')[2].partition(">")[0]
        )


class TestMailSteps:
    def test_invite_once_however_often_it_is_pressed(self, delivery: Delivery, office: Office) -> None:
        client, token = office.as_("coordinator"), str(uuid4())

        first = take(client, delivery, "invite", token=token)
        take(client, delivery, "invite", token=token)

        assert "The invitation to ann@example.org is on its way." in first
        assert Invitation.objects.count() == 1

    def test_send_again(self, delivery: Delivery, office: Office) -> None:
        mail_to(delivery, office)

        page = take(office.as_("coordinator"), delivery, "again", token=str(uuid4()))

        assert "A new invitation to ann@example.org is on its way." in page
        assert Invitation.objects.count() == 2

    @pytest.mark.parametrize("state", [ActionState.QUEUED, ActionState.SENDING, ActionState.UNKNOWN])
    def test_send_nothing_blindly(self, delivery: Delivery, office: Office, state: str) -> None:
        mail_to(delivery, office, state)

        page = take(office.as_("coordinator"), delivery, "again", token=str(uuid4()))

        assert "An earlier message is not settled" in page
        assert Invitation.objects.count() == 1

    def test_replace_a_message_that_was_refused(self, delivery: Delivery, office: Office) -> None:
        mail_to(delivery, office, ActionState.NEEDS_ATTENTION, attention="refused", message="No such mailbox.")
        Candidate.objects.update(email="ann.lee@example.org")

        page = take(office.as_("coordinator"), delivery, "again", token=str(uuid4()))

        assert "A new invitation to ann.lee@example.org is on its way." in page
        assert sorted(Action.objects.values_list("state", flat=True)) == [ActionState.CANCELLED, ActionState.QUEUED]

    def test_send_a_rehearsal_to_oneself_alone(self, delivery: Delivery, office: Office) -> None:
        page = take(office.as_("coordinator"), delivery, "rehearse", token=str(uuid4()))

        mail = Invitation.objects.get()
        assert (mail.to, mail.is_rehearsal) == ("the-coordinator@example.com", True)
        assert "Not invited" in page

    def test_need_an_address_for_a_rehearsal(self, delivery: Delivery, office: Office) -> None:
        User.objects.update(email="")

        page = take(office.as_("coordinator"), delivery, "rehearse", token=str(uuid4()))

        assert "Your own account has no e-mail address" in page
        assert not Invitation.objects.exists()

    def test_say_why_nothing_can_be_sent(self, delivery: Delivery, office: Office) -> None:
        Exam.objects.update(ends_at=datetime.now(UTC) - timedelta(minutes=1))

        page = take(office.as_("coordinator"), delivery, "invite", token=str(uuid4()))

        assert "The exam&#x27;s window has closed." in page
        assert not Invitation.objects.exists()


class TestLinkSteps:
    def test_make_a_new_candidate_link(self, delivery: Delivery, office: Office) -> None:
        old = links.token_of(delivery)

        page = take(office.as_("coordinator"), delivery, "new-link")

        delivery.refresh_from_db()
        assert "There is a new candidate link." in page
        assert links.token_of(delivery) != old
        assert JournalEntry.objects.get().event == "delivery.link_reissued"

    def test_revoke_the_link_with_a_reason(self, delivery: Delivery, office: Office) -> None:
        client = office.as_("coordinator")

        without = take(client, delivery, "revoke", reason=" ")
        with_one = take(client, delivery, "revoke", reason="Wrong person")

        assert "say why" in without
        assert "Candidate link revoked" in with_one
        assert JournalEntry.objects.get().reason == "Wrong person"

    def test_let_them_back_in_by_a_new_link_of_the_vendors(self, delivery: Delivery, office: Office) -> None:
        Account.objects.update(permissions=[])

        page = take(office.as_("coordinator"), delivery, "let-back-in", reason="Thrown out")

        assert "A new way in is asked for at the vendor" in page
        assert Action.objects.get().verb == Verb.REISSUE_LINK

    def test_let_them_back_in_by_a_new_attempt_where_the_vendor_gives_no_new_link(
        self, delivery: Delivery, office: Office
    ) -> None:
        Account.objects.update(permissions=["create"])

        page = take(office.as_("coordinator"), delivery, "let-back-in", reason="Thrown out")

        made = Delivery.objects.get(attempt=2)
        assert "A new attempt is being made" in page
        assert made.code in page
        assert Action.objects.get().delivery_id == made.pk

    def test_let_nobody_in_twice_at_once(self, delivery: Delivery, office: Office) -> None:
        Account.objects.update(permissions=[])
        client = office.as_("coordinator")
        take(client, delivery, "let-back-in", reason="Thrown out")

        page = take(client, delivery, "let-back-in", reason="Thrown out")

        assert "Something is under way with this delivery already." in page
        assert Action.objects.count() == 1

    def test_go_to_the_page_that_delivers_with_the_candidate_chosen(self, delivery: Delivery, office: Office) -> None:
        client = office.as_("coordinator")

        answer = client.post(reverse("delivery_step", args=[delivery.pk, "retake"]))

        page = text(client.get(answer.headers["Location"]))
        assert "ann@example.org" in page

    def test_are_for_those_who_may(self, delivery: Delivery, office: Office) -> None:
        client = office.as_("viewer")

        for step in ("invite", "again", "rehearse", "new-link", "revoke", "let-back-in", "retake"):
            answer = client.post(reverse("delivery_step", args=[delivery.pk, step]), {"reason": "x"})
            assert answer.status_code == 403
            assert "Ask a coordinator" in text(answer)
        assert not JournalEntry.objects.exists()

    def test_are_posts_and_known(self, delivery: Delivery, office: Office) -> None:
        client = office.as_("lead")

        assert client.get(reverse("delivery_step", args=[delivery.pk, "revoke"])).status_code == 405
        assert client.post(reverse("delivery_step", args=[delivery.pk, "explode"])).status_code == 404

    def test_are_none_for_a_cancelled_delivery(self, office: Office) -> None:
        made = factories.make_delivery(
            office.exam, factories.make_candidate(office.team), state=DeliveryState.CANCELLED
        )
        client = office.as_("lead")

        page = take(client, made, "new-link")

        assert "not possible any more" in page
        assert not JournalEntry.objects.exists()


class TestAttention:
    def test_names_whom_a_stopped_mail_is_for(self, delivery: Delivery, office: Office) -> None:
        mail_to(delivery, office, ActionState.NEEDS_ATTENTION, attention="refused", message="No such mailbox.")

        page = text(office.as_("lead").get(reverse("attention"), {"q": "lee"}))

        assert "Ann Lee" in page
        assert "No such mailbox." in page

    def test_offers_for_a_mail_that_may_have_gone_only_what_makes_sense(
        self, delivery: Delivery, office: Office
    ) -> None:
        mail = mail_to(delivery, office, ActionState.UNKNOWN)
        action = Action.objects.get(invitation=mail)

        page = show(office.as_("lead"), delivery)

        assert "It did not arrive: send again" in page
        assert reverse("attention_step", args=[action.pk, "found"]) not in page
        assert reverse("attention_step", args=[action.pk, "look_up"]) not in page
