"""Sixteen outcomes that are to be written together, and one of them cannot be: the others are, each once."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.db import IntegrityError, OperationalError, connection

from proctoring import ledger, sql
from proctoring.ledger import turns
from proctoring.ledger.claiming import Claim
from proctoring.ledger.performing import Outcome
from proctoring.models import Account, Action, Call, Delivery, JournalEntry
from proctoring.verbs import VERBS
from tests.world import World, now

SIZE = 16
FAULTS = {3: "429", 5: "timeout_after", 7: "html", 9: "500_before", 11: "reset", 13: "empty_204"}
ENDS = {"done": SIZE - len(FAULTS), "queued": 1, "unknown": len(FAULTS) - 1}
Returned = list[tuple[Claim, Outcome]]


@pytest.fixture
def returned(world: World) -> Returned:
    """What sixteen threads bring back, in the order of their calls: most is done, the rest went wrong in its own way."""
    Account.objects.update(calls_at_once=SIZE)
    world.deliver(SIZE)
    pairs = []
    for number, claim in enumerate(world.claim(SIZE)):
        if number in FAULTS:
            world.sandbox.fault("scorpion", FAULTS[number], calls=1)
        pairs.append((claim, ledger.perform(claim, VERBS)))
    assert len(pairs) == SIZE
    return pairs


def settle(world: World, returned: Returned) -> None:
    turns.take_turn(world.account.pk, VERBS, returned, most=0, worker="", prefers_reading=False)


def assert_each_is_written_once(world: World, ends: dict[str, int]) -> None:
    """Each action moved once, with one journal row and one ended call."""
    rows = JournalEntry.objects.filter(event__in=["action.done", "action.waits", "action.unknown"])
    assert world.states() == ends
    assert Counter(rows.values_list("action_id", flat=True)) == Counter(Action.objects.values_list("pk", flat=True))
    assert Call.objects.filter(ended_at=None).count() == 0
    world.assert_agrees()


class TestABatch:
    def test_of_mixed_outcomes_ends_each_in_its_own_way(self, world: World, returned: Returned) -> None:
        settle(world, returned)

        assert_each_is_written_once(world, ENDS)

    def test_with_one_that_breaks_a_constraint_keeps_the_others(self, world: World, returned: Returned) -> None:
        claim, outcome = returned[0]
        assert isinstance(outcome.answer, list)
        poisoned = replace(outcome.answer[0], value=replace(outcome.answer[0].value, ref=None))
        returned[0] = claim, replace(outcome, answer=[poisoned])

        settle(world, returned)

        # The vendor has it, and what it said cannot be kept: nobody knows what became of it.
        assert_each_is_written_once(world, {**ENDS, "done": ENDS["done"] - 1, "unknown": ENDS["unknown"] + 1})
        assert Action.objects.get(pk=claim.actions[0].pk).state == "unknown"

    def test_with_one_that_has_lost_its_lease_keeps_the_others_and_its_late_answer(
        self, world: World, returned: Returned
    ) -> None:
        lost, _ = returned[0]
        Call.objects.filter(pk=lost.call.pk).update(lease_until=now() - timedelta(seconds=1))
        ledger.sweep()
        assert Action.objects.get(pk=lost.actions[0].pk).state == "unknown"

        settle(world, returned)

        assert world.states() == ENDS
        events = JournalEntry.objects.filter(action_id=lost.actions[0].pk).order_by("at")
        assert list(events.values_list("event", flat=True))[-2:] == ["action.unknown", "action.done"]
        world.assert_agrees()

    def test_with_one_that_is_another_claims_by_now_leaves_that_alone(self, world: World, returned: Returned) -> None:
        lost, _ = returned[0]
        Call.objects.filter(pk=lost.call.pk).update(ended_at=now(), outcome=Call.Outcome.LOST)
        Action.objects.filter(pk=lost.actions[0].pk).update(state="queued", call=None)

        settle(world, returned)

        assert world.states() == {**ENDS, "done": ENDS["done"] - 1, "queued": ENDS["queued"] + 1}
        assert not JournalEntry.objects.filter(event="action.done", action_id=lost.actions[0].pk).exists()

    def test_is_written_whole_once_the_database_is_back(
        self, world: World, returned: Returned, away: Callable[[float], None]
    ) -> None:
        away(1.5)

        settle(world, returned)

        assert_each_is_written_once(world, ENDS)

    def test_leaves_to_the_sweep_what_the_database_did_not_take_within_its_lease(
        self, world: World, returned: Returned, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*args: Any, **kwargs: Any) -> Any:
            raise OperationalError("disk I/O error")

        short = [
            (replace(claim, call=_with_lease(claim.call, now() + timedelta(seconds=0.1))), outcome)
            for claim, outcome in returned
        ]
        with monkeypatch.context() as broken:
            broken.setattr(sql, "exchange", refuse)
            with pytest.raises(OperationalError):
                settle(world, short)
        Call.objects.update(lease_until=now() - timedelta(seconds=1))

        ledger.sweep()

        # All were sent, and nothing of what came back was kept.
        assert world.states() == {"unknown": SIZE}


def _with_lease(call: Call, until: Any) -> Call:
    call.lease_until = until
    return call


@pytest.fixture
def away() -> Iterator[Callable[[float], None]]:
    """Takes the database away from this process for so many seconds, from the next write on."""
    threads: list[threading.Thread] = []

    def start(seconds: float) -> None:
        is_away = threading.Event()
        act = _cut_off if connection.vendor == "postgresql" else _lock
        if connection.vendor == "sqlite":
            connection.connection.execute("PRAGMA busy_timeout = 50")  # else it would only wait, and see no error
        threads.append(threading.Thread(target=act, args=(seconds, is_away)))
        threads[-1].start()
        assert is_away.wait(30)

    yield start
    for thread in threads:
        thread.join(30)
    if connection.vendor == "sqlite":
        connection.close()


def _lock(seconds: float, is_away: threading.Event) -> None:
    """Another process's transaction that holds the file for longer than anybody waits."""
    other = sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    is_away.set()
    time.sleep(seconds)
    other.execute("ROLLBACK")
    other.close()


def _cut_off(seconds: float, is_away: threading.Event) -> None:
    """Every connection but this one is cut, as by a restart: the pool then rests before it connects again, by its own rule."""
    database = connection.settings_dict
    server = psycopg.connect(
        host=database["HOST"], port=database["PORT"], user=database["USER"], dbname="postgres", autocommit=True
    )
    with server:
        server.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()",
            [database["NAME"]],
        )
    is_away.set()


def test_what_a_constraint_refuses_is_an_error_of_the_database(world: World, returned: Returned) -> None:
    """The poison above is one: else the test with it would show nothing."""
    with pytest.raises(IntegrityError):
        Delivery.objects.filter(state="requested").update(ref=None)
