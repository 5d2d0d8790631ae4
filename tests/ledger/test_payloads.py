"""Payloads that this version cannot read: never sent, never in the way, and said to whoever has to decide."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from proctoring import attention
from proctoring.attention import Step
from proctoring.models import Action, ActionState
from tests.world import World, now

Change = Callable[[Any], Any]


def without_attempt(payload: Any) -> Any:
    del payload["order"]["attempt"]
    return payload


def with_another_key(payload: Any) -> Any:
    payload["order"]["person"]["nickname"] = "Annie"
    return payload


def newer(payload: Any) -> Any:
    payload["order"]["person"] |= {"v": 2, "nickname": "Annie"}
    return payload


def known_again(payload: Any) -> Any:
    person = payload["order"]["person"]
    person["v"] = 1
    del person["nickname"]
    return payload


UNREADABLE = [
    pytest.param(without_attempt, "DeliveryOrder lacks “attempt”", id="a key is missing"),
    pytest.param(with_another_key, "Person has what is not known here: “nickname”", id="a key is not known"),
    pytest.param(lambda payload: {**payload, "exam": None}, "DeliveryPayload: Expected", id="a part is missing"),
    pytest.param(lambda payload: [payload], "DeliveryPayload is not an object", id="it is no object"),
]


def stored_otherwise(action: Action, change: Change, **facts: Any) -> Action:
    """As another version would have stored it."""
    Action.objects.filter(pk=action.pk).update(payload=change(action.payload), **facts)
    return fresh(action)


def fresh(action: Action) -> Action:
    found: Action = Action.objects.select_related("account").get(pk=action.pk)
    return found


def asked_for(world: World, count: int) -> list[Action]:
    world.deliver(count)
    return list(Action.objects.order_by("due_at", "id"))


def references(world: World) -> set[str]:
    return {item["meta"]["proctoring_reference"] for item in world.at_vendor().values()}


class TestAnUnreadablePayload:
    @pytest.mark.parametrize(("change", "sentence"), UNREADABLE)
    def test_is_not_sent_needs_a_person_and_stops_nothing(self, world: World, change: Change, sentence: str) -> None:
        first, *others = asked_for(world, 3)
        stored_otherwise(first, change)

        world.drain()

        action = fresh(first)
        assert (action.state, action.attention) == ("needs_attention", "broken")
        assert action.message.startswith(
            "Nothing was sent. This version of the console cannot read what was asked for."
        )
        assert sentence in action.message
        assert {fresh(other).state for other in others} == {"done"}
        assert references(world) == {str(other.pk) for other in others}

    def test_that_was_sent_before_stays_unknown(self, world: World) -> None:
        (action,) = asked_for(world, 1)
        stored_otherwise(action, without_attempt, may_have_acted=True)

        world.drain()

        action = fresh(action)
        assert action.state == "unknown"
        assert "DeliveryOrder lacks “attempt”" in action.message
        assert not world.at_vendor()

    def test_leaves_unknown_what_is_looked_up(self, world: World) -> None:
        (action,) = asked_for(world, 1)
        action = stored_otherwise(
            action, without_attempt, state=ActionState.UNKNOWN, sent_at=now() - timedelta(hours=1)
        )

        attention.take(action, Step.LOOK_UP, by=world.lead, reason="", now=now())
        world.drain()

        action = fresh(action)
        assert (action.state, action.look_due_at, action.looks_absent) == ("unknown", None, 0)
        assert "DeliveryOrder lacks “attempt”" in action.message

    def test_can_be_cancelled(self, world: World) -> None:
        (action,) = asked_for(world, 1)
        stored_otherwise(action, without_attempt)
        world.drain()

        attention.take(fresh(action), Step.CANCEL, by=world.lead, reason="Asked for anew", now=now())

        assert fresh(action).state == "cancelled"


class TestANewerPayload:
    """A worker that is about to be replaced meets what the new version asked for."""

    def test_waits_unsent_for_a_worker_of_its_version(self, world: World) -> None:
        first, other = asked_for(world, 2)
        stored_otherwise(first, newer)

        world.drain()

        action = fresh(first)
        assert (action.state, action.attention, action.tries) == ("queued", "", 0)
        assert action.due_at > now()
        assert action.message.startswith("A newer version of the console asked for this")
        assert fresh(other).state == "done"
        assert references(world) == {str(other.pk)}

    def test_waits_however_often_it_is_taken_up(self, world: World) -> None:
        (action,) = asked_for(world, 1)
        stored_otherwise(action, newer)

        for _ in range(15):
            world.make_due()
            world.drain(seconds=1)

        assert fresh(action).state == "queued"
        assert not world.at_vendor()

    def test_is_sent_by_a_worker_that_can_read_it(self, world: World) -> None:
        (action,) = asked_for(world, 1)
        stored_otherwise(action, newer)
        world.drain()
        stored_otherwise(fresh(action), known_again)
        world.make_due()

        world.drain()

        assert fresh(action).state == "done"
        assert references(world) == {str(action.pk)}

    def test_is_looked_up_again_by_itself(self, world: World) -> None:
        (action,) = asked_for(world, 1)
        action = stored_otherwise(action, newer, state=ActionState.UNKNOWN, sent_at=now() - timedelta(hours=1))

        attention.take(action, Step.LOOK_UP, by=world.lead, reason="", now=now())
        world.drain()

        action = fresh(action)
        assert (action.state, action.looks_absent) == ("unknown", 0)
        assert action.look_due_at is not None
        assert action.look_due_at > now()
