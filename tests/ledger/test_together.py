"""Threads that meet: their claims and their outcomes go through one transaction, and nobody pays for another's fault."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from proctoring import deliveries, ledger
from proctoring.ledger import turns
from proctoring.ledger.claiming import Claim
from proctoring.ledger.lines import Line
from proctoring.ledger.performing import Outcome, perform
from proctoring.models import Account, Action, Call, Delivery, JournalEntry, Reading, Session
from proctoring.verbs import VERBS
from tests.world import World, now


def _in_threads(asks: Sequence[Callable[[], Any]]) -> None:
    threads = [threading.Thread(target=ask) for ask in asks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not any(thread.is_alive() for thread in threads)


class TestLine:
    def test_serves_together_who_came_while_it_was_busy(self) -> None:
        served: list[list[int]] = []
        answers: dict[int, int] = {}
        all_stand = threading.Event()

        def serve(requests: Sequence[int]) -> list[int]:
            served.append(sorted(requests))
            if requests == [0]:
                all_stand.wait(30)
            return [request * 10 for request in requests]

        line = Line(serve)

        def ask(number: int) -> None:
            answers[number] = line.ask(number)

        def let_go() -> None:
            while len(line._standing) < 5:
                time.sleep(0.01)
            all_stand.set()

        first = threading.Thread(target=ask, args=(0,))
        first.start()
        while not served:
            time.sleep(0.01)
        _in_threads([*[lambda number=number: ask(number) for number in range(1, 6)], let_go])
        first.join(30)

        assert answers == {number: number * 10 for number in range(6)}
        assert served == [[0], [1, 2, 3, 4, 5]]

    def test_tells_everybody_what_went_wrong_and_goes_on(self) -> None:
        def serve(requests: Sequence[int]) -> list[int]:
            if 0 in requests:
                raise ValueError("no zero")
            return list(requests)

        line = Line(serve)

        with pytest.raises(ValueError, match="no zero"):
            line.ask(0)
        assert line.ask(1) == 1

    def test_loses_nobody_in_a_crowd(self) -> None:
        line = Line[int, int](lambda requests: [request + 1 for request in requests])
        answers: list[int] = []

        def ask(start: int) -> None:
            for number in range(start, start + 200):
                answers.append(line.ask(number))

        _in_threads([lambda start=start: ask(start) for start in range(0, 1600, 200)])  # type: ignore[misc]

        assert sorted(answers) == list(range(1, 1601))


def _session(world: World, number: int) -> Session:
    return Session.objects.create(team=world.team, account=world.account, ref=f"session-{number}")


class TestClaiming:
    def test_takes_as_many_as_asked_for_in_order(self, world: World) -> None:
        world.deliver(4)

        claims = world.claim(3)

        due = Action.objects.order_by("priority", "due_at", "id").values_list("pk", flat=True)
        assert [claim.actions[0].pk for claim in claims] == list(due[:3])
        assert world.states() == {"sending": 3, "queued": 1}
        assert set(Action.objects.filter(state="sending").values_list("call", flat=True)) == {
            claim.call.pk for claim in claims
        }

    def test_takes_what_became_due_this_very_moment(self, world: World) -> None:
        Account.objects.update(calls_at_once=50)
        world.deliver(30)

        for _ in range(30):
            Action.objects.filter(state="queued").update(due_at=now())
            assert len(world.claim(1)) == 1

    def test_takes_no_more_than_the_account_allows_at_once(self, world: World) -> None:
        world.deliver(10)

        assert len(world.claim(3)) == 3
        assert len(world.claim(9)) == 1
        assert world.claim(9) == ()

    @pytest.mark.parametrize(
        "values",
        [
            {"calls_per_minute": 600},
            {"paused_verbs": {"read_delivery": {"reason": "403", "at": "2026-01-01"}}},
        ],
    )
    def test_takes_one_where_the_next_depends_on_it(self, world: World, values: dict[str, Any]) -> None:
        world.deliver(3)
        Account.objects.update(**values)

        assert len(world.claim(3)) == 1

    def test_takes_several_readings_where_nothing_is_to_be_done(self, world: World) -> None:
        for number in range(3):
            Reading.objects.create(
                account=world.account, verb="list_sessions", due_at=now(), session=_session(world, number)
            )

        assert [claim.kind for claim in world.claim(2)] == ["read", "read"]
        assert Reading.objects.filter(due_at__lte=now()).count() == 1

    def test_leaves_out_what_somebody_cancels_at_that_moment(self, world: World) -> None:
        world.deliver(2)
        first = Action.objects.earliest("id")
        is_cancelled, claims = threading.Event(), list[Claim]()

        def cancel() -> None:
            with transaction.atomic():
                Action.objects.filter(pk=first.pk).update(state="cancelled")
                is_cancelled.set()
                time.sleep(0.3)  # the claim finds it queued still, and waits for this transaction
            connection.close()

        def claim() -> None:
            is_cancelled.wait(30)
            claims.extend(world.claim(2))
            connection.close()

        _in_threads([cancel, claim])

        left = Action.objects.exclude(pk=first.pk)
        assert [claim.actions[0].pk for claim in claims] == list(left.values_list("pk", flat=True))
        assert Call.objects.count() == 1


def _settle(world: World, returned: Sequence[tuple[Claim, Outcome]]) -> None:
    turns.take_turn(world.account.pk, VERBS, returned, most=0, worker="", prefers_reading=False)


class TestSettlingTogether:
    def test_writes_all_that_succeeded_in_one_transaction(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        returned = self._returned(world, 3)
        monkeypatch.setattr(turns, "settle", None)  # nobody is settled alone

        _settle(world, returned)

        assert world.states() == {"done": 3}
        assert Delivery.objects.filter(state="created").count() == 3
        assert JournalEntry.objects.filter(event="action.done").count() == 3
        world.assert_agrees()

    def test_settles_each_by_itself_where_one_was_taken_from_its_holder(self, world: World) -> None:
        returned = self._returned(world, 3)
        lost = returned[1][0]
        Call.objects.filter(pk=lost.call.pk).update(ended_at=lost.now(), outcome=Call.Outcome.NO_ANSWER)

        _settle(world, returned)

        assert world.states() == {"done": 2, "sending": 1}
        assert JournalEntry.objects.filter(event="action.done").count() == 2

    def test_lets_nobody_pay_for_one_that_cannot_be_applied(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        returned = self._returned(world, 3)
        broken = returned[1][0].actions[0].pk
        write = deliveries.writing_created

        def write_unless_broken(created: Sequence[Any]) -> Any:
            if any(action.pk == broken for action, _, _ in created):
                raise ValueError("cannot be applied")
            return write(created)

        monkeypatch.setattr(deliveries, "writing_created", write_unless_broken)

        _settle(world, returned)

        assert world.states() == {"done": 2, "unknown": 1}
        assert Action.objects.get(state="unknown").pk == broken

    def test_settles_what_failed_beside_what_succeeded(self, world: World) -> None:
        world.sandbox.fault("scorpion", "timeout_after", calls=1)

        returned = self._returned(world, 3)

        _settle(world, returned)

        assert world.states() == {"done": 2, "unknown": 1}
        world.assert_agrees()

    def test_claims_what_is_next_in_the_same_transaction(self, world: World) -> None:
        world.deliver(6)
        returned = self._returned(world, 3)

        with CaptureQueriesContext(connection) as queries:
            claims = turns.take_turn(world.account.pk, VERBS, returned, most=3, worker="", prefers_reading=False)

        assert not isinstance(claims, ledger.Idle)
        assert len(claims) == 3
        assert world.states() == {"done": 3, "sending": 3}
        assert sum(query["sql"].startswith("BEGIN") for query in queries.captured_queries) == 1

    def _returned(self, world: World, count: int) -> list[tuple[Claim, Outcome]]:
        if not Action.objects.exists():
            world.deliver(count)
        return [(claim, perform(claim, VERBS)) for claim in world.claim(count)]
