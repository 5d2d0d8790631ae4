"""The database away for a moment inside a call: what was not sent is tried again by itself, what was sent is unknown."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError

from proctoring import accounts, attention, sessions
from proctoring.attention import Step
from proctoring.ledger import statements
from proctoring.models import Account, Action, Delivery, Reading
from tests.world import World, now


@pytest.fixture
def away(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Lets the database refuse the next request that is written before it is sent."""

    def once() -> None:
        write = statements.begin_sending

        def refuse(*args: Any) -> bool:
            monkeypatch.setattr(statements, "begin_sending", write)
            raise OperationalError("terminating connection due to administrator command")

        monkeypatch.setattr(statements, "begin_sending", refuse)

    return once


def test_an_effect_goes_back_to_the_queue_and_is_sent_once(world: World, away: Callable[[], None]) -> None:
    world.deliver(1)
    away()

    world.drain(seconds=0.1)

    waiting = Action.objects.get()
    assert (waiting.state, waiting.may_have_acted) == ("queued", False)
    assert waiting.message == "The console's own database did not answer."
    assert world.at_vendor() == {}
    world.make_due()
    world.drain()
    assert world.states() == {"done": 1}
    world.assert_agrees()


def test_an_effect_is_given_up_to_a_person_where_the_database_never_takes_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any) -> bool:
        raise OperationalError("disk I/O error")

    world.deliver(1)
    monkeypatch.setattr(statements, "begin_sending", refuse)

    for _ in range(20):
        world.make_due()
        world.drain(seconds=0.1)

    action = Action.objects.get()
    assert (action.state, action.attention) == ("needs_attention", "exhausted")
    assert world.at_vendor() == {}


def test_a_look_up_is_due_again(world: World, away: Callable[[], None]) -> None:
    world.sandbox.fault("scorpion", "timeout_after", calls=1)
    world.deliver(1)
    world.drain(seconds=0.1)
    world.make_due()
    attention.take(Action.objects.select_related("account").get(), Step.LOOK_UP, by=world.lead, reason="", now=now())
    away()

    world.drain()

    assert world.states() == {"done": 1}


def test_the_check_of_an_account_is_made_after_all(world: World, away: Callable[[], None]) -> None:
    accounts.ask_check(world.account, by=world.lead, now=now() - timedelta(seconds=1))
    away()

    world.drain()

    account = Account.objects.get()
    assert account.checked_at is not None
    assert account.check_due_at is None


def test_a_single_reading_is_made_after_all(world: World, away: Callable[[], None]) -> None:
    world.deliver(1)
    world.drain()
    Delivery.objects.update(created_at=now() - timedelta(minutes=2))
    sessions.keep_watching(now=now())
    Reading.objects.update(due_at=now() - timedelta(seconds=1), every_seconds=None, read_at=None)
    away()

    world.drain(seconds=0.1)

    assert Reading.objects.get().due_at is not None
    Reading.objects.update(due_at=now() - timedelta(seconds=1))
    world.drain()
    assert Reading.objects.get().read_at is not None
