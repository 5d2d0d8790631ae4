"""Deliveries whose state is read: when it begins, how often, and when it ends."""

from __future__ import annotations

from datetime import timedelta

import requests

from proctoring import deliveries, sessions
from proctoring.models import Delivery, Reading, Session
from tests.world import World, now


def _created(world: World, count: int = 1) -> None:
    world.deliver(count)
    world.drain()
    Delivery.objects.update(created_at=now() - timedelta(minutes=2))
    sessions.keep_watching(now=now())


def _read_now(world: World) -> None:
    Reading.objects.exclude(due_at=None).update(due_at=now() - timedelta(seconds=1))
    world.drain()


class TestWatching:
    def test_gives_each_delivery_one_session_and_one_reading(self, world: World) -> None:
        _created(world, 3)
        sessions.keep_watching(now=now())

        assert Session.objects.count() == 3
        assert set(Reading.objects.values_list("verb", flat=True)) == {"read_delivery"}
        assert Reading.objects.count() == 3

    def test_reads_nothing_where_the_account_may_not(self, world: World) -> None:
        world.account.__class__.objects.update(permissions=["create"])

        _created(world)

        assert Session.objects.get().state == "not_reported"
        assert not Reading.objects.exists()

    def test_waits_for_the_window(self, world: World) -> None:
        world.exam.__class__.objects.update(starts_at=now() + timedelta(days=2))

        _created(world)

        assert (Reading.objects.get().due_at or now()) >= now() + timedelta(days=1)

    def test_reads_often_once_the_candidate_has_opened_it(self, world: World) -> None:
        _created(world)
        delivery = Delivery.objects.select_related("exam__account").get()

        deliveries.open_link(delivery, now=now())
        sessions.watch_closely(delivery, now=now())

        reading = Reading.objects.get()
        assert reading.every_seconds == world.account.poll_seconds
        assert (reading.due_at or now()) <= now() + timedelta(seconds=31)

    def test_follows_the_candidate_and_ends_with_the_exam(self, world: World) -> None:
        _created(world)
        delivery = Delivery.objects.get()
        requests.get(delivery.take_url, timeout=5)
        _read_now(world)
        begun = Session.objects.get()

        world.sandbox.control("scorpion", "set_delivery", delivery_id=delivery.ref, status="complete", score="80")
        _read_now(world)

        assert begun.state in {"in_progress", "unknown"}
        assert begun.vendor_state
        assert Session.objects.get().state == "complete"
        assert Reading.objects.get().due_at is None

    def test_keeps_a_word_it_does_not_know(self, world: World) -> None:
        _created(world)
        world.sandbox.control(
            "scorpion", "set_delivery", delivery_id=Delivery.objects.get().ref, status="mulling", score=""
        )

        _read_now(world)

        session = Session.objects.get()
        assert (session.state, session.vendor_state) == ("unknown", "mulling")
