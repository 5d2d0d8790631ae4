"""Invitations: read before and after they go, sent to many at once, once."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from proctoring import invitations, links
from proctoring.models import Action, ActionState, Batch, Candidate, Delivery, DeliveryState, Exam, Invitation
from tests import factories
from tests.views.conftest import Office, settle

HOSTILE = '"><script>alert(1)</script>'
ADMIN_LIST = "/admin/proctoring/delivery/"


def created(office: Office, number: int) -> list[Delivery]:
    people = factories.make_candidates(office.team, number)
    return [factories.make_delivery(office.exam, person, state=DeliveryState.CREATED) for person in people]


def settled_batch(office: Office, number: int) -> Batch:
    batch = office.batch(number)
    for action in Action.objects.filter(batch=batch).select_related("delivery"):
        settle(action)
    return batch


def text(answer: Any) -> str:
    return " ".join(answer.content.decode().split())


def preview(client: Client, batch: Batch) -> Any:
    return client.get(reverse("invite"), {"batch": str(batch.pk)})


def form_of(answer: Any) -> dict[str, Any]:
    """What the preview's form would send."""
    page = answer.content.decode()
    token = re.findall(r'name="token" value="([^"]+)"', page)[0]
    return {"token": token, "deliveries": re.findall(r'name="deliveries" value="([^"]+)"', page)}


def ask(office: Office, deliveries: Sequence[Delivery], **values: Any) -> Batch:
    now = datetime.now(UTC)
    return invitations.request(deliveries, by=office.members["coordinator"], now=now, **values)


class TestToken:
    @pytest.mark.parametrize("is_ours", [True, False])
    def test_of_something_else_sends_nothing_and_says_what_to_do(self, office: Office, is_ours: bool) -> None:
        (delivery,) = created(office, 1)
        theirs = factories.make_exam(factories.make_account(factories.make_team()))
        taken = factories.make_batch(office.exam if is_ours else theirs)
        form = {"token": str(taken.pk), "deliveries": [str(delivery.pk)]}

        answer = office.as_("coordinator").post(reverse("invite"), form)

        assert answer.status_code == 422
        assert "Open it again, then send" in text(answer)
        assert not Invitation.objects.exists()

    def test_of_something_else_is_refused_on_the_deliverys_own_page_too(self, office: Office) -> None:
        (delivery,) = created(office, 1)
        theirs = factories.make_batch(factories.make_exam(factories.make_account(factories.make_team())))
        address = reverse("delivery_step", args=[delivery.pk, "invite"])

        page = text(office.as_("coordinator").post(address, {"token": str(theirs.pk)}, follow=True))

        assert "Open it again, then send" in page
        assert not Invitation.objects.exists()


class TestMessage:
    def test_is_shown_as_it_was_sent(self, office: Office) -> None:
        (delivery,) = created(office, 1)
        ask(office, [delivery])
        mail = Invitation.objects.get()
        Exam.objects.update(title="Renamed since")

        answer = office.as_("coordinator").get(reverse("invitation", args=[mail.pk]))

        page = answer.content.decode()
        assert "Your exam: Widgets" in page
        assert unescape(page).count(links.url_of(delivery)) >= 3
        assert 'sandbox=""' in page
        assert "no-store" in answer.headers["Cache-Control"]

    def test_is_shown_before_it_goes_and_nothing_is_asked_for(self, office: Office) -> None:
        (delivery,) = created(office, 1)

        page = unescape(text(office.as_("coordinator").get(reverse("delivery_mail", args=[delivery.pk]))))

        assert "This is how it reads now." in page
        assert links.url_of(delivery) in page
        assert not Invitation.objects.exists()

    @pytest.mark.parametrize("name", ["delivery_mail", "invitation"])
    def test_runs_nothing_that_others_wrote(self, office: Office, name: str) -> None:
        (delivery,) = created(office, 1)
        Exam.objects.update(title=HOSTILE, instructions=HOSTILE)
        Candidate.objects.update(first_name=HOSTILE)
        fresh = Delivery.objects.select_related("exam", "candidate", "team").get()
        ask(office, [fresh])
        key = Invitation.objects.get().pk if name == "invitation" else delivery.pk

        page = office.as_("coordinator").get(reverse(name, args=[key])).content.decode()

        frame = re.findall(r'srcdoc="([^"]*)"', page)[0]
        assert "<script>alert" not in page
        assert "<script>alert" not in unescape(frame)
        assert "&lt;script&gt;alert(1)" in unescape(frame)

    def test_is_for_those_who_may_invite(self, office: Office) -> None:
        (delivery,) = created(office, 1)
        ask(office, [delivery])
        mail = Invitation.objects.get()

        for name, key in (("invitation", mail.pk), ("delivery_mail", delivery.pk)):
            assert office.as_("viewer").get(reverse(name, args=[key])).status_code == 403
            assert office.as_stranger().get(reverse(name, args=[key])).status_code == 404


class TestPreview:
    def test_is_offered_on_the_batchs_page_with_the_number(self, office: Office) -> None:
        batch = settled_batch(office, 3)
        ask(office, [Delivery.objects.first()])  # type: ignore[list-item]

        page = text(office.as_("coordinator").get(reverse("batch", args=[batch.pk])))

        assert "Invite all who have none (2)" in page
        assert "Invite all" not in text(office.as_("viewer").get(reverse("batch", args=[batch.pk])))

    def test_shows_who_will_get_one_who_has_one_and_who_cannot(self, office: Office) -> None:
        batch = settled_batch(office, 3)
        first, second, third = Delivery.objects.order_by("id")
        Delivery.objects.filter(pk=first.pk).update(is_revoked=True)
        ask(office, [Delivery.objects.get(pk=second.pk)])

        page = text(preview(office.as_("coordinator"), batch))

        assert "Will be invited: 1" in page
        assert "Have an invitation: 1" in page
        assert "Cannot be invited: 1" in page
        assert "link is revoked" in page
        assert links.url_of(third) in unescape(page)

    def test_asks_for_nothing(self, office: Office) -> None:
        preview(office.as_("coordinator"), settled_batch(office, 2))

        assert not Invitation.objects.exists()

    def test_says_so_where_nobody_can_be_invited(self, office: Office) -> None:
        batch = settled_batch(office, 1)
        Exam.objects.update(ends_at=datetime.now(UTC) - timedelta(minutes=1))

        page = text(preview(office.as_("coordinator"), batch))

        assert "None of them can be invited now." in page
        assert 'name="token"' not in page

    def test_is_for_those_who_may_invite(self, office: Office) -> None:
        batch = settled_batch(office, 1)

        assert preview(office.as_("viewer"), batch).status_code == 403
        assert preview(office.as_stranger(), batch).status_code == 404
        assert office.as_("lead").get(reverse("invite"), {"batch": "none"}).status_code == 404

    def test_takes_as_many_queries_for_many_as_for_few(
        self, office: Office, django_assert_max_num_queries: DjangoAssertNumQueries
    ) -> None:
        client, few, many = office.as_("lead"), settled_batch(office, 2), settled_batch(office, 60)
        with django_assert_max_num_queries(40) as taken:
            preview(client, few)

        with django_assert_max_num_queries(len(taken)):
            preview(client, many)


class TestSend:
    def test_asks_for_one_each_however_often_it_is_pressed(self, office: Office) -> None:
        client, batch = office.as_("coordinator"), settled_batch(office, 3)
        data = form_of(preview(client, batch))

        first = client.post(reverse("invite"), data)
        second = client.post(reverse("invite"), data)

        assert first.status_code == second.status_code == 302
        assert first.headers["Location"] == second.headers["Location"]
        assert Invitation.objects.count() == 3

    def test_leaves_those_alone_who_have_one_unless_it_is_ticked(self, office: Office) -> None:
        client, batch = office.as_("coordinator"), settled_batch(office, 2)
        ask(office, [Delivery.objects.first()])  # type: ignore[list-item]
        Action.objects.filter(invitation__isnull=False).update(state=ActionState.DONE)

        client.post(reverse("invite"), form_of(preview(client, batch)))
        without = Invitation.objects.count()
        Action.objects.filter(invitation__isnull=False).update(state=ActionState.DONE)
        client.post(reverse("invite"), {**form_of(preview(client, batch)), "is_again": "1"})

        assert without == 2
        assert Invitation.objects.count() == 4

    def test_says_why_nothing_was_sent(self, office: Office) -> None:
        client, batch = office.as_("coordinator"), settled_batch(office, 1)
        data = form_of(preview(client, batch))
        Delivery.objects.update(is_revoked=True)

        answer = client.post(reverse("invite"), data)

        assert answer.status_code == 422
        assert "None of these candidates can be invited now" in text(answer)

    def test_is_for_those_who_may_invite(self, office: Office) -> None:
        keys = [str(row.pk) for row in created(office, 1)]
        data = {"token": str(uuid4()), "deliveries": keys}

        assert office.as_("viewer").post(reverse("invite"), data).status_code == 403
        assert office.as_stranger().post(reverse("invite"), data).status_code == 404
        assert not Invitation.objects.exists()

    @pytest.mark.parametrize("data", [{}, {"token": "x", "deliveries": "y"}, {"deliveries": ["x"]}])
    def test_survives_a_form_that_is_none(self, office: Office, data: dict[str, Any]) -> None:
        assert office.as_("lead").post(reverse("invite"), data).status_code == 302

    def test_comes_from_the_list_of_deliveries_too(self, office: Office) -> None:
        client, rows = office.as_("coordinator"), created(office, 3)
        keys = [str(row.pk) for row in rows[:2]]

        answer = client.post(ADMIN_LIST, {"action": "invite", "_selected_action": keys}, follow=True)
        client.post(reverse("invite"), form_of(answer))

        assert "Will be invited: 2" in text(answer)
        assert Invitation.objects.count() == 2


class TestSent:
    @pytest.fixture
    def batch(self, office: Office) -> Batch:
        return ask(office, created(office, 3))

    def url(self, batch: Batch, name: str = "invited") -> str:
        return reverse(name, args=[batch.pk])

    def poll(self, client: Client, batch: Batch, page: str) -> Any:
        seen = re.findall(r'name="seen" value="([^"]+)"', page)
        return client.get(self.url(batch, "invited_progress"), {"seen": seen}, headers={"HX-Request": "true"})

    def put(self, action: Action, state: str, **values: Any) -> None:
        Action.objects.filter(pk=action.pk).update(state=state, changed_at=datetime.now(UTC), **values)

    def test_shows_what_became_of_each(self, office: Office, batch: Batch) -> None:
        first, second, _third = Action.objects.filter(batch=batch)
        self.put(first, ActionState.DONE)
        self.put(second, ActionState.NEEDS_ATTENTION, attention="refused", message="No such mailbox.")

        page = text(office.as_("lead").get(self.url(batch)))

        assert "1 of 3 finished, 1 needs you" in page
        assert "Refused by the mail server" in page
        assert "No such mailbox." in page
        assert "On its way" in page

    def test_brings_only_what_changed_and_then_ends(self, office: Office, batch: Batch) -> None:
        client = office.as_("coordinator")
        page = client.get(self.url(batch)).content.decode()
        calm = self.poll(client, batch, page)
        first, *others = Action.objects.filter(batch=batch)
        self.put(first, ActionState.DONE)

        changed = self.poll(client, batch, page)
        for other in others:
            self.put(other, ActionState.DONE)
        over = self.poll(client, batch, page)

        assert calm.status_code == 204
        assert changed.content.decode().count('hx-swap-oob="true"') == 1
        assert over.status_code == 286
        assert "All 3 finished" in text(over)

    def test_is_not_there_for_strangers(self, office: Office, batch: Batch) -> None:
        for name in ("invited", "invited_progress"):
            assert office.as_stranger().get(self.url(batch, name)).status_code == 404

    def test_gives_viewers_states_and_no_message(self, office: Office, batch: Batch) -> None:
        page = text(office.as_("viewer").get(self.url(batch)))

        assert "On its way" in page
        assert "Read it" not in page


class TestGlance:
    """The column of the batch's page that goes on changing once the batch has settled."""

    def look(self, client: Client, batch: Batch, page: str) -> Any:
        held = re.findall(r'name="glanced" value="([^"]+)"', page)
        return client.get(reverse("batch_glance", args=[batch.pk]), {"glanced": held}, headers={"HX-Request": "true"})

    def test_brings_the_row_that_was_opened_and_no_other(self, office: Office) -> None:
        client, batch = office.as_("coordinator"), settled_batch(office, 3)
        page = client.get(reverse("batch", args=[batch.pk])).content.decode()
        calm = self.look(client, batch, page)
        action = Action.objects.filter(batch=batch)[0]
        Delivery.objects.filter(pk=action.delivery_id).update(opened_at=datetime.now(UTC), times_opened=1)

        answer = self.look(client, batch, page)

        assert calm.status_code == 204
        assert f'id="glance-{action.pk}" hx-swap-oob="true"' in answer.content.decode()
        assert answer.content.decode().count('id="glance-') == 1
        assert "Opened" in text(answer)

    def test_brings_invitations_and_what_the_vendor_reports(self, office: Office) -> None:
        client, batch = office.as_("coordinator"), settled_batch(office, 1)
        page = client.get(reverse("batch", args=[batch.pk])).content.decode()
        delivery = Delivery.objects.get()
        ask(office, [delivery])
        factories.make_session(office.exam, delivery=delivery, state="in_progress")

        answer = text(self.look(client, batch, page))

        assert "Invitation on its way" in answer
        assert "Started" in answer
        assert "Invite all" not in answer
        assert 'id="invite-all" hx-swap-oob="true"' in answer

    def test_is_not_there_for_strangers(self, office: Office) -> None:
        batch = settled_batch(office, 1)

        assert office.as_stranger().get(reverse("batch_glance", args=[batch.pk])).status_code == 404

    def test_asks_little_of_the_database(
        self, office: Office, django_assert_max_num_queries: DjangoAssertNumQueries
    ) -> None:
        client, batch = office.as_("lead"), settled_batch(office, 80)
        page = client.get(reverse("batch", args=[batch.pk])).content.decode()
        Delivery.objects.update(opened_at=datetime.now(UTC), times_opened=1)

        with django_assert_max_num_queries(10):
            self.look(client, batch, page)
