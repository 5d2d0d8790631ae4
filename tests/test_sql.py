"""SQL by hand: what goes wrong in a batch comes back as Django's own errors, on PostgreSQL at its end, too."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, transaction

from proctoring import sql
from proctoring.models import Delivery
from tests.world import World, now


def _twice_the_same(world: World) -> list[Delivery]:
    (person,) = world.candidates(1)
    return [Delivery(team=world.team, exam=world.exam, candidate=person, requested_at=now()) for _ in range(2)]


class TestInserting:
    def test_raises_djangos_error_and_keeps_nothing(self, world: World) -> None:
        with pytest.raises(IntegrityError), transaction.atomic():
            sql.execute_many(sql.inserting(Delivery, _twice_the_same(world)))

        assert not Delivery.objects.exists()

    def test_skips_what_a_constraint_refuses_where_asked_to(self, world: World) -> None:
        first, again = _twice_the_same(world)

        assert sql.execute_many(sql.inserting(Delivery, [first, again], or_skip=True)) == [1]

        stored = Delivery.objects.get()
        assert (stored.pk, stored.options, stored.take_url) == (first.pk, {}, "")
