"""Real Celery workers and a real scheduler, on whatever database and broker this run has."""

from __future__ import annotations

import signal
import threading

import pytest
from django.conf import LazySettings
from django.db import connection

from proctoring.models import Account, Action, Call
from tests import processes
from tests.servers import Redis
from tests.world import World


def _is_all(world: World, state: str, count: int) -> bool:
    return world.states() == {state: count}


class TestTwoWorkers:
    def test_deliver_each_once_and_keep_the_limit_of_calls_at_once(self, world: World, settings: LazySettings) -> None:
        settings.CALL_DEADLINE_SECONDS, settings.LEASE_MARGIN_SECONDS = 10.0, 5.0
        Account.objects.update(calls_at_once=3)
        world.sandbox.fault("scorpion", "slow", seconds=0.05)

        with processes.worker(), processes.worker(), processes.scheduler():
            shared = processes.eventually(lambda: _is_shared(world), seconds=60)

        assert shared, world.states()
        assert len(world.at_vendor()) == Action.objects.count()
        assert world.sandbox.load("scorpion")["peak"] == 3
        world.assert_agrees()

    def test_keep_the_limit_of_calls_a_minute(self, world: World, settings: LazySettings) -> None:
        settings.CALL_DEADLINE_SECONDS, settings.LEASE_MARGIN_SECONDS = 10.0, 5.0
        Account.objects.update(calls_at_once=8, calls_per_minute=600)

        with processes.worker(), processes.worker(), processes.scheduler():
            world.deliver(20)
            is_done = processes.eventually(lambda: _is_all(world, "done", 20))

        arrivals = world.sandbox.load("scorpion")["arrivals"]
        assert is_done, world.states()
        assert len(arrivals) == 20
        assert max(arrivals) - min(arrivals) >= 19 * 0.1 * 0.8

    def test_share_work_with_a_second_press_at_the_same_moment(self, world: World, settings: LazySettings) -> None:
        settings.CALL_DEADLINE_SECONDS, settings.LEASE_MARGIN_SECONDS = 10.0, 5.0
        people = world.candidates(20)

        with processes.worker(), processes.scheduler():
            presses = [threading.Thread(target=_press, args=(world, people)) for _ in range(4)]
            for press in presses:
                press.start()
            for press in presses:
                press.join()
            is_done = processes.eventually(lambda: _is_all(world, "done", 20))

        assert is_done, world.states()
        assert len(world.at_vendor()) == 20
        world.assert_agrees()


def _press(world: World, people: list) -> None:  # type: ignore[type-arg]
    from proctoring.deliveries import Refused

    try:
        world.deliver(people)
    except Refused:
        pass  # somebody else had pressed before: the sentence says so
    finally:
        connection.close()


class TestAWorkerStopped:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_ends_the_calls_it_began_and_begins_no_more(
        self, world: World, settings: LazySettings, number: signal.Signals
    ) -> None:
        settings.CALL_DEADLINE_SECONDS, settings.LEASE_MARGIN_SECONDS = 10.0, 5.0
        world.sandbox.fault("scorpion", "slow", seconds=0.8)

        with processes.worker() as worker, processes.scheduler():
            world.deliver(12)
            assert processes.eventually(lambda: "sending" in world.states())
            worker.send_signal(number)
            worker.wait(timeout=20)

        counts = world.states()
        assert set(counts) <= {"done", "queued"}
        assert counts["done"] >= 1
        assert counts["queued"] >= 1
        assert len(world.at_vendor()) == counts["done"]
        world.assert_agrees()


class TestALostBroker:
    """With Redis refused or hanging no caller waits, and all is delivered once it is back."""

    @pytest.mark.parametrize("way", ["refused", "hanging"])
    def test_costs_no_caller_more_than_two_seconds_and_loses_nothing(
        self, world: World, settings: LazySettings, redis_server: Redis, way: str
    ) -> None:
        import time

        from celery import current_app

        settings.CALL_DEADLINE_SECONDS, settings.LEASE_MARGIN_SECONDS = 10.0, 5.0
        before = current_app.conf.broker_url  # Celery reads Django's setting anew each time: only now is it the old one
        settings.CELERY_BROKER_URL = redis_server.url
        settings.CELERY_BROKER_TRANSPORT_OPTIONS = {"socket_timeout": 5, "socket_connect_timeout": 1, "max_retries": 1}
        current_app.conf.update(broker_url=redis_server.url)
        try:
            with (
                processes.worker(CELERY_BROKER_URL=redis_server.url),
                processes.scheduler(CELERY_BROKER_URL=redis_server.url),
            ):
                world.deliver(2)
                assert processes.eventually(lambda: _is_all(world, "done", 2))
                redis_server.stop() if way == "refused" else redis_server.hang()

                start = time.monotonic()
                world.deliver(5)
                waited = time.monotonic() - start
                redis_server.start() if way == "refused" else redis_server.go_on()
                is_done = processes.eventually(lambda: _is_all(world, "done", 7), seconds=60)
        finally:
            current_app.conf.update(broker_url=before)

        assert waited < 2
        assert is_done, world.states()
        assert len(world.at_vendor()) == 7
        world.assert_agrees()


class TestUnknownWork:
    def test_is_looked_up_by_a_worker_when_a_person_asks(self, world: World, settings: LazySettings) -> None:
        from proctoring import attention

        world.sandbox.fault("scorpion", "timeout_after", calls=1)
        world.deliver(1)
        world.drain(seconds=0.1)
        action = Action.objects.select_related("account").get()
        settings.CALL_DEADLINE_SECONDS, settings.LEASE_MARGIN_SECONDS = 10.0, 5.0
        Account.objects.update(next_call_at=None)

        with processes.worker(), processes.scheduler():
            attention.take(action, attention.Step.LOOK_UP, by=world.lead, reason="", now=action.changed_at)
            is_done = processes.eventually(lambda: _is_all(world, "done", 1))

        assert is_done, world.states()
        world.assert_agrees()


def _is_shared(world: World) -> bool:
    """Delivers some more, and whether both workers have had a part by now: the one may be up long before the other."""
    world.deliver(20)
    wanted = Action.objects.count()
    done = processes.eventually(lambda: _is_all(world, "done", wanted))
    return done and Call.objects.values("worker").distinct().count() > 1
