"""An answer that comes after its call was given up: it is kept with the call, and overrules nobody who decided meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from proctoring import attention, ledger
from proctoring.attention import Step
from proctoring.ledger import Claim, Outcome
from proctoring.models import Action, Call, Delivery, JournalEntry
from proctoring.vendors.errors import OutcomeUnknown, Rejected, Unavailable
from proctoring.verbs import VERBS
from tests.world import World, now

ANSWERS = ("done", "refused", "unavailable", "unreadable")
OTHERS: dict[str, dict[str, Any]] = {
    "done": {},
    "refused": {"answer": None, "error": Rejected("No.", status=400), "was_answered": False},
    "unavailable": {"answer": None, "error": Unavailable("Slow down.", status=429), "was_answered": False},
    "unreadable": {"answer": None, "error": OutcomeUnknown("No JSON.")},
}


def _answer(world: World, claim: Claim, kind: str) -> Outcome:
    """What the vendor answers to a call, which nobody has written down yet."""
    if kind == "unavailable":
        world.sandbox.fault("scorpion", "429", calls=1)
    elif kind == "unreadable":
        world.sandbox.fault("scorpion", "html", calls=1)
    elif kind == "refused":
        (action,) = claim.actions
        action.payload = {**action.payload, "exam": {**action.payload["exam"], "ref": str(uuid4())}}
    return ledger.perform(claim, VERBS)


def _late(world: World, kind: str) -> tuple[Claim, Outcome]:
    """A call whose worker was silent for longer than its lease: the sweep has given it up."""
    world.deliver(1)
    (claim,) = world.claim(1)
    outcome = _answer(world, claim, kind)
    Call.objects.filter(pk=claim.call.pk).update(lease_until=now() - timedelta(seconds=1))
    ledger.sweep()
    assert _action().state == "unknown"
    return claim, outcome


def _action() -> Action:
    action: Action = Action.objects.select_related("account", "delivery").get()
    return action


def _step(world: World, step: Step, **values: object) -> None:
    attention.take(_action(), step, by=world.lead, reason="Looked there", now=now(), **values)  # type: ignore[arg-type]


def _found(world: World) -> dict[str, str]:
    (there,) = world.at_vendor().values()
    return {"ref": there["id"], "launch_token": there["launch_token"], "proctor_token": there["proctor_token"]}


def _facts(action: Action) -> tuple[object, ...]:
    delivery = Delivery.objects.get(actions=action)
    links = (delivery.state, delivery.ref, delivery.take_url, delivery.proctor_url)
    return (action.state, action.attention, action.message, action.tries, action.call_id, action.due_at, *links)


class TestAfterItWasGivenUp:
    @pytest.mark.parametrize(
        ("kind", "state"),
        [("done", "done"), ("refused", "needs_attention"), ("unavailable", "queued"), ("unreadable", "unknown")],
    )
    def test_says_what_became_of_it(self, world: World, kind: str, state: str) -> None:
        claim, outcome = _late(world, kind)

        ledger.settle(claim, outcome, VERBS)

        call = Call.objects.get()
        assert _action().state == state
        assert (call.outcome, call.status is not None) == ("answered", True)
        world.assert_agrees()

    def test_counts_once_however_often_it_comes(self, world: World) -> None:
        claim, outcome = _late(world, "done")

        taken = [ledger.settle(claim, outcome, VERBS) for _ in range(3)]

        assert taken == [True, False, False]
        assert JournalEntry.objects.filter(event="action.done").count() == 1

    def test_that_refuses_proves_nothing_about_an_earlier_try(self, world: World) -> None:
        claim, outcome = _late(world, "refused")
        (action,) = claim.actions
        action.may_have_acted = True

        ledger.settle(claim, outcome, VERBS)

        assert _action().state == "unknown"
        assert "says nothing about the first time" in _action().message


class TestWhileItIsLookedUp:
    def _looking(self, world: World) -> Claim:
        _step(world, Step.LOOK_UP)
        world.make_due()
        (look,) = world.claim(1)
        return look

    @pytest.mark.parametrize(
        ("kind", "before_look", "after_look"),
        [
            ("done", "done", "done"),
            ("refused", "needs_attention", "needs_attention"),
            ("unavailable", "queued", "queued"),
            ("unreadable", "unknown", "done"),
        ],
    )
    def test_decides_first_and_the_look_up_changes_nothing_but_what_is_unknown(
        self, world: World, kind: str, before_look: str, after_look: str
    ) -> None:
        claim, outcome = _late(world, kind)
        look = self._looking(world)

        ledger.settle(claim, outcome, VERBS)
        first = _action().state
        ledger.settle(look, ledger.perform(look, VERBS), VERBS)

        assert (first, _action().state) == (before_look, after_look)
        world.assert_agrees()

    @pytest.mark.parametrize("kind", ANSWERS)
    def test_cannot_take_back_what_the_look_up_found(self, world: World, kind: str) -> None:
        """A refusal after which the delivery is there: somebody made it by hand, or the vendor is of two minds."""
        claim, outcome = _late(world, "done")
        look = self._looking(world)
        ledger.settle(look, ledger.perform(look, VERBS), VERBS)
        before = _facts(_action())

        ledger.settle(claim, replace(outcome, **OTHERS[kind]), VERBS)

        assert _facts(_action()) == before
        assert before[0] == "done"
        world.assert_agrees()


Decision = Callable[[World], None]


def _sends_again(world: World) -> None:
    _step(world, Step.SEND_AGAIN)


def _sends_again_and_is_claimed(world: World) -> None:
    _step(world, Step.SEND_AGAIN)
    world.make_due()
    assert len(world.claim(1)) == 1


def _cancels(world: World) -> None:
    _step(world, Step.CANCEL)


def _enters_its_ids(world: World) -> None:
    _step(world, Step.FOUND, found=_found(world))


class TestAfterAPersonDecided:
    @pytest.mark.parametrize("kind", ANSWERS)
    @pytest.mark.parametrize("decide", [_sends_again, _sends_again_and_is_claimed, _cancels])
    def test_changes_nothing_and_is_kept_with_its_call(self, world: World, kind: str, decide: Decision) -> None:
        claim, outcome = _late(world, kind)
        decide(world)
        before, entries = _facts(_action()), JournalEntry.objects.filter(action_id=_action().pk).count()

        ledger.settle(claim, outcome, VERBS)

        assert _facts(_action()) == before
        assert JournalEntry.objects.filter(action_id=_action().pk).count() == entries
        assert Call.objects.get(pk=claim.call.pk).outcome == "answered", "whoever asks finds what came"

    @pytest.mark.parametrize("kind", ["done", "unreadable"])  # it is there: a refused one cannot be found
    def test_leaves_the_ids_that_were_entered(self, world: World, kind: str) -> None:
        claim, outcome = _late(world, kind)
        _enters_its_ids(world)
        before = _facts(_action())

        ledger.settle(claim, outcome, VERBS)

        assert (before[0], _facts(_action())) == ("done", before)
        world.assert_agrees()
