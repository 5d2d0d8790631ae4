"""Calls that stand ready behind others: they begin on the heels of an answer, and the limit of calls at once holds."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from django.db import connection

from proctoring import ledger, sql
from proctoring.ledger import claiming, draining, heels, statements
from proctoring.ledger.claiming import Claim
from proctoring.ledger.heels import AHEAD, Heels
from proctoring.models import Account, Action, Call, JournalEntry, Reading, Session
from proctoring.verbs import VERBS
from tests.world import World, now


@pytest.fixture(autouse=True)
def _fresh_desks() -> None:
    draining._desk.cache_clear()


def _under_way(count: int) -> tuple[Heels, list[UUID]]:
    line, calls = Heels(), [uuid4() for _ in range(count)]
    for call in calls:
        line.begin(call)
    return line, calls


class TestHeels:
    def test_lets_a_follower_begin_once_the_answer_is_there(self) -> None:
        line, (call,) = _under_way(1)
        assert line.reserve(1) == [call]
        began: list[float] = []
        follower = threading.Thread(target=lambda: began.append(time.monotonic()) if line.wait(call) else None)
        follower.start()
        time.sleep(0.05)
        assert not began

        line.end(call, is_well=True)
        follower.join(5)

        assert began

    def test_gives_a_follower_back_where_its_leader_went_wrong(self) -> None:
        line, (call, other) = _under_way(2)
        line.reserve(1)

        line.end(call, is_well=False)

        assert line.wait(call) is False
        assert line.reserve(1) == [], "the account may be at fault: first it is settled"
        line.end(other, is_well=True)
        line.begin(call)
        assert line.reserve(1) == [call]

    def test_gives_back_what_waits_for_long_and_offers_no_more(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(heels, "PATIENCE_SECONDS", 0.01)
        line, (call, _) = _under_way(2)
        line.reserve(1)

        assert line.wait(call) is False
        assert line.reserve(1) == []

    def test_offers_each_call_once_the_oldest_first_and_only_so_many(self) -> None:
        line, calls = _under_way(AHEAD + 3)

        assert line.reserve(2) == calls[:2]
        assert line.reserve(100) == calls[2:AHEAD]
        assert line.reserve(100) == []
        line.release(calls[1:2])
        assert line.reserve(100) == calls[1:2]

    def test_offers_nothing_at_a_slow_vendor(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(heels, "QUICK_SECONDS", 0.01)
        line, (call, _) = _under_way(2)
        time.sleep(0.02)
        line.end(call, is_well=True)

        assert line.reserve(1) == []

    def test_has_slack_while_enough_stand_ready(self) -> None:
        line, calls = _under_way(5)
        time.sleep(0.02)
        line.end(calls[0], is_well=True)
        assert line.slack_seconds() == 0

        line.reserve(4)

        assert 0 < line.slack_seconds() <= heels.SLACK_SECONDS


def _claim_behind(world: World, leaders: list[UUID], most: int = 1) -> tuple[Claim, ...] | ledger.Idle:
    with sql.transact():
        _, sight = statements.look(world.account.pk, most)
        return claiming.claim(sight, most=most, worker="", prefers_reading=False, behind=leaders)


def _counted(world: World) -> int:
    _, sight = statements.look(world.account.pk, 1)
    assert sight is not None
    return len(sight.under_way)


class TestClaimingBehind:
    @pytest.fixture
    def leader(self, world: World) -> Claim:
        Account.objects.update(calls_at_once=1)
        world.deliver(3)
        (leader,) = world.claim(2)
        return leader

    def test_is_for_a_full_account_and_counts_once_the_leader_has_ended(self, world: World, leader: Claim) -> None:
        claims = _claim_behind(world, [leader.call.pk])

        assert not isinstance(claims, ledger.Idle)
        assert [claim.call.behind for claim in claims] == [leader.call.pk]
        assert world.states() == {"sending": 2, "queued": 1}
        with sql.transact():
            assert _counted(world) == 1
        Call.objects.filter(pk=leader.call.pk).update(ended_at=now(), outcome=Call.Outcome.ANSWERED)
        with sql.transact():
            assert _counted(world) == 1, "the follower has the place now"

    def test_counts_once_the_leaders_lease_is_over(self, world: World, leader: Claim) -> None:
        _claim_behind(world, [leader.call.pk])

        Call.objects.filter(pk=leader.call.pk).update(lease_until=now() - timedelta(seconds=1))

        with sql.transact():
            assert _counted(world) == 1

    def test_uses_free_places_first(self, world: World, leader: Claim) -> None:
        Account.objects.update(calls_at_once=2)

        claims = _claim_behind(world, [leader.call.pk], most=2)

        assert not isinstance(claims, ledger.Idle)
        assert [claim.call.behind for claim in claims] == [None, leader.call.pk]

    @pytest.mark.parametrize(
        "values",
        [
            {"calls_per_minute": 600},
            {"paused_verbs": {"read_delivery": {"reason": "403", "at": "2026-01-01"}}},
            {"paused_at": now(), "is_probing": True},
        ],
    )
    def test_is_not_for_an_account_whose_calls_go_one_by_one(
        self, world: World, leader: Claim, values: dict[str, object]
    ) -> None:
        Account.objects.update(**values)

        assert isinstance(_claim_behind(world, [leader.call.pk]), ledger.Idle)

    def test_is_put_back_unsent_when_the_worker_dies(self, world: World, leader: Claim) -> None:
        _claim_behind(world, [leader.call.pk])

        Call.objects.filter(ended_at=None).update(lease_until=now() - timedelta(seconds=1))
        ledger.sweep()

        assert world.states() == {"queued": 3}
        assert world.at_vendor() == {}


class TestDrainingOnTheHeels:
    def test_keeps_the_limit_of_calls_at_once(self, world: World) -> None:
        Account.objects.update(calls_at_once=2)
        world.sandbox.fault("scorpion", "slow", seconds=0.05)
        world.deliver(30)

        world.drain(threads=6)

        assert world.states() == {"done": 30}
        assert Call.objects.exclude(behind=None).count() > 10
        assert world.sandbox.load("scorpion")["peak"] == 2
        world.assert_agrees()

    def test_sends_nothing_behind_a_call_that_went_wrong(self, world: World) -> None:
        Account.objects.update(calls_at_once=1)
        world.sandbox.control("scorpion", "regenerate_credentials")
        world.sandbox.fault("scorpion", "slow", seconds=0.2)
        world.deliver(4)

        world.drain(threads=3)

        assert Call.objects.exclude(behind=None).exists()
        assert len(world.sandbox.requests("scorpion")) == 1
        assert world.states() == {"queued": 4}
        account = Account.objects.get()
        assert account.is_paused

    def test_gives_back_what_stands_behind_slow_calls(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(heels, "PATIENCE_SECONDS", 0.05)
        Account.objects.update(calls_at_once=1)
        world.sandbox.fault("scorpion", "slow", seconds=0.6)
        world.deliver(2)

        world.drain(threads=2)
        world.drain()

        assert world.states() == {"done": 2}
        assert set(Action.objects.values_list("tries", flat=True)) == {1}, "a try that never began does not count"
        assert Call.objects.filter(outcome=Call.Outcome.NOT_SENT).count() == 1
        assert JournalEntry.objects.filter(event="action.waits").count() == 1
        world.assert_agrees()

    def test_begins_nothing_once_the_worker_stops(self, world: World) -> None:
        Account.objects.update(calls_at_once=1)
        world.sandbox.fault("scorpion", "slow", seconds=0.3)
        world.deliver(3)
        stops = threading.Event()

        def drain() -> None:
            ledger.drain(world.account.pk, VERBS, worker="test:1", should_stop=stops.is_set, seconds=20)
            connection.close()

        threads = [threading.Thread(target=drain) for _ in range(2)]
        for thread in threads:
            thread.start()
        while Call.objects.exclude(behind=None).count() < 1:
            time.sleep(0.01)
        stops.set()
        for thread in threads:
            thread.join(30)

        assert world.states() == {"done": 1, "queued": 2}
        assert len(world.at_vendor()) == 1

    def test_still_reads_while_there_is_much_to_send(self, world: World) -> None:
        Account.objects.update(calls_at_once=1)
        world.sandbox.fault("scorpion", "slow", seconds=0.02)
        world.deliver(40)
        session = Session.objects.create(team=world.team, account=world.account, ref="a-session")
        Reading.objects.create(account=world.account, verb="read_delivery", due_at=now(), session=session)

        world.drain(threads=3)

        read = Call.objects.get(verb="read_delivery")
        assert Call.objects.filter(verb="create_deliveries", claimed_at__gt=read.claimed_at).count() > 10
