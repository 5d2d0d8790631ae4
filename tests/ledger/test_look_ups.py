"""Unknown outcomes: looked up, decided by a person, never sent again blindly."""

from __future__ import annotations

from datetime import timedelta

import pytest

from proctoring import attention, ledger
from proctoring.attention import Step
from proctoring.models import Action, Delivery, Membership, Role, User
from tests.world import World, now


@pytest.fixture
def lost(world: World) -> Action:
    """An action whose vendor acted and never answered."""
    return _unknown(world, "timeout_after")


@pytest.fixture
def never(world: World) -> Action:
    """An action whose vendor neither acted nor answered."""
    return _unknown(world, "timeout_before")


def _unknown(world: World, fault: str) -> Action:
    world.sandbox.fault("scorpion", fault, calls=1)
    world.deliver(1)
    world.drain(seconds=0.1)
    world.make_due()
    action: Action = Action.objects.select_related("account").get()
    assert action.state == "unknown"
    return action


def _look(world: World, action: Action) -> Action:
    attention.take(action, Step.LOOK_UP, by=world.lead, reason="", now=now())
    world.drain()
    found: Action = Action.objects.select_related("account").get(pk=action.pk)
    return found


class TestLookingUp:
    def test_finds_what_was_created_and_its_take_link(self, world: World, lost: Action) -> None:
        action = _look(world, lost)

        delivery = Delivery.objects.get()
        assert action.state == "done"
        assert delivery.state == "created"
        assert "/take?launch_token=" in delivery.take_url
        assert len(world.at_vendor()) == 1
        world.assert_agrees()

    def test_that_finds_nothing_soon_after_sending_decides_nothing(self, world: World, never: Action) -> None:
        action = _look(world, never)

        assert action.state == "unknown"
        assert action.looks_absent == 0
        assert action.look_due_at is not None

    def test_that_finds_nothing_twice_after_five_minutes_sends_again(self, world: World, never: Action) -> None:
        Action.objects.update(sent_at=now() - timedelta(minutes=6))
        once = _look(world, never)
        world.make_due()

        world.drain()

        assert (once.state, once.looks_absent) == ("unknown", 1)
        assert world.states() == {"done": 1}
        assert len(world.at_vendor()) == 1
        world.assert_agrees()

    def test_that_fails_leaves_it_unknown_and_says_so(self, world: World, lost: Action) -> None:
        world.sandbox.fault("scorpion", "500_before", calls=1)

        action = _look(world, lost)

        assert action.state == "unknown"
        assert "could not be looked up" in action.message

    def test_is_not_offered_without_the_permission_to_view(self, world: World, lost: Action) -> None:
        lost.account.permissions = ["create"]

        button = next(item for item in attention.buttons(lost, world.lead) if item.step is Step.LOOK_UP)

        assert "view" in button.why_not


class TestAPersonsDecision:
    def test_it_was_not_created_sends_it_once_more(self, world: World, never: Action) -> None:
        attention.take(never, Step.SEND_AGAIN, by=world.lead, reason="Not in Scorpion's list", now=now())

        world.drain()

        assert world.states() == {"done": 1}
        assert len(world.at_vendor()) == 1

    def test_it_was_created_takes_the_ids_and_tokens_that_were_found(self, world: World, lost: Action) -> None:
        (there,) = world.at_vendor().values()
        found = {"ref": there["id"], "launch_token": there["launch_token"], "proctor_token": there["proctor_token"]}

        attention.take(lost, Step.FOUND, by=world.lead, reason="Seen in Scorpion", now=now(), found=found)

        assert world.states() == {"done": 1}
        assert Delivery.objects.get().proctor_url.endswith(there["proctor_token"])
        world.assert_agrees()

    def test_cancelled_frees_the_candidate_for_another_delivery(self, world: World, never: Action) -> None:
        attention.take(never, Step.CANCEL, by=world.lead, reason="Not needed", now=now())

        world.deliver([Delivery.objects.get().candidate])
        world.drain()

        assert world.states() == {"cancelled": 1, "done": 1}
        assert list(Delivery.objects.order_by("requested_at").values_list("state", flat=True)) == [
            "cancelled",
            "created",
        ]

    def test_loses_against_one_that_was_faster(self, world: World, never: Action) -> None:
        stale = Action.objects.get(pk=never.pk)
        attention.take(never, Step.CANCEL, by=world.lead, reason="Not needed", now=now())

        with pytest.raises(ledger.Conflict):
            attention.take(stale, Step.SEND_AGAIN, by=world.lead, reason="Again", now=now())

    @pytest.mark.parametrize("step", [Step.SEND_AGAIN, Step.FOUND, Step.CANCEL])
    def test_is_a_leads_to_take(self, world: World, never: Action, step: Step) -> None:
        coordinator = User.objects.create_user("coordinator")
        Membership.objects.create(user=coordinator, team=world.team, role=Role.COORDINATOR)

        with pytest.raises(attention.NotAllowed, match="lead"):
            attention.take(never, step, by=coordinator, reason="", now=now(), found={"ref": "x"})

    def test_of_a_stranger_is_refused(self, world: World, never: Action) -> None:
        with pytest.raises(attention.NotAllowed):
            attention.take(never, Step.LOOK_UP, by=User.objects.create_user("stranger"), reason="", now=now())
