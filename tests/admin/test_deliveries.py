from __future__ import annotations

import pytest
from django.urls import reverse

from proctoring.models import Action, ActionState, Delivery, DeliveryState, JournalEntry, Role
from tests import factories
from tests.admin.conftest import World, signed_in

pytestmark = pytest.mark.django_db

LIST = "/admin/proctoring/delivery/"


def change_url(delivery: Delivery) -> str:
    return reverse("admin:proctoring_delivery_change", args=[delivery.pk])


class TestLinks:
    def test_show_the_take_link_as_the_vendors_own(self, world: World) -> None:
        page = signed_in(world.members[Role.COORDINATOR]).get(change_url(world.delivery)).content.decode()

        assert factories.TAKE_URL in page
        assert "Caveon Scorpion's own" in page.replace("&#x27;", "'")
        assert "works once" in page

    def test_show_no_take_link_to_those_who_only_look(self, world: World) -> None:
        page = signed_in(world.members[Role.VIEWER]).get(change_url(world.delivery)).content.decode()

        assert "take-secret" not in page

    @pytest.mark.parametrize("role", [role.value for role in Role])
    def test_show_no_proctor_link_before_a_press(self, world: World, role: str) -> None:
        page = signed_in(world.members[role]).get(change_url(world.delivery)).content.decode()

        assert "proctor-secret" not in page
        assert not JournalEntry.objects.filter(event="delivery.proctor_link_shown").exists()

    def test_show_the_proctor_link_by_a_press_that_is_journalled(self, world: World) -> None:
        client = signed_in(world.members[Role.COORDINATOR])
        address = reverse("admin:proctoring_delivery_proctor_link", args=[world.delivery.pk])

        refused = client.get(address)
        shown = client.post(address)

        entry = JournalEntry.objects.get(event="delivery.proctor_link_shown")
        assert refused.status_code == 405
        assert factories.PROCTOR_URL in shown.content.decode()
        assert "no-store" in shown.headers["Cache-Control"]
        assert entry.by == world.members[Role.COORDINATOR]

    def test_show_no_proctor_link_to_viewers(self, world: World) -> None:
        address = reverse("admin:proctoring_delivery_proctor_link", args=[world.delivery.pk])

        assert signed_in(world.members[Role.VIEWER]).post(address).status_code == 403


class TestTimeline:
    def test_tells_actions_calls_and_journal(self, world: World) -> None:
        page = signed_in(world.members[Role.VIEWER]).get(change_url(world.delivery)).content.decode()

        assert "create deliveries" in page
        assert "POST create deliveries" in page
        assert "Delivery asked for" in page


class TestList:
    def test_is_searched_by_candidate_exam_and_the_vendors_id(self, world: World) -> None:
        client = signed_in(world.members[Role.VIEWER])

        for words, found in (("hopper grace", True), ("Our exam", True), (world.delivery.ref, True), ("nobody", False)):
            assert (str(world.delivery.pk) in client.get(LIST, {"q": words}).content.decode()) == found

    def test_is_filtered_by_state_and_action(self, world: World) -> None:
        client = signed_in(world.members[Role.VIEWER])

        for query, found in (
            ("state__exact=created", True),
            ("state__exact=cancelled", False),
            ("action=done", True),
            ("action=unknown", False),
        ):
            assert (str(world.delivery.pk) in client.get(f"{LIST}?{query}").content.decode()) == found


class TestCancelling:
    def waiting(self, world: World) -> Action:
        delivery = factories.make_delivery(world.exam, factories.make_candidate(world.team))
        return factories.make_action(delivery)

    def press(self, world: World, role: str, action: Action, **more: str) -> str:
        data = {
            "action": "cancel_waiting",
            "_selected_action": [str(action.delivery_id), str(world.delivery.pk)],
            **more,
        }
        return signed_in(world.members[role]).post(LIST, data, follow=True).content.decode()

    def test_asks_for_a_reason_first(self, world: World) -> None:
        action = self.waiting(world)

        page = self.press(world, Role.LEAD, action)

        action.refresh_from_db()
        assert "1 delivery has not started" in " ".join(page.split())
        assert 'name="reason"' in page
        assert action.state == ActionState.QUEUED

    def test_needs_a_reason(self, world: World) -> None:
        action = self.waiting(world)

        page = self.press(world, Role.LEAD, action, confirmed="1", reason=" ")

        action.refresh_from_db()
        assert "This field is required" in page
        assert action.state == ActionState.QUEUED

    def test_cancels_what_has_not_started_and_leaves_the_rest(self, world: World) -> None:
        action = self.waiting(world)

        page = self.press(world, Role.LEAD, action, confirmed="1", reason="Wrong exam")

        action.refresh_from_db()
        world.delivery.refresh_from_db()
        assert "Cancelled: 1." in page
        assert (action.state, action.delivery and action.delivery.state) == (
            ActionState.CANCELLED,
            DeliveryState.CANCELLED,
        )
        assert world.delivery.state == DeliveryState.CREATED
        assert JournalEntry.objects.filter(event="action.cancelled", reason="Wrong exam").exists()

    def test_is_for_leads(self, world: World) -> None:
        action = self.waiting(world)

        self.press(world, Role.COORDINATOR, action, confirmed="1", reason="Wrong exam")

        action.refresh_from_db()
        assert action.state == ActionState.QUEUED
