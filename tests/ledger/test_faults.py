"""Every way the sandbox can fail, against creating deliveries: nothing lost, nothing twice, unknown only what cannot be known."""

from __future__ import annotations

import time

import pytest

from proctoring.models import Account, Action, Call, Delivery
from proctoring.sandbox.faults import KINDS
from tests.world import World

# Fault → what becomes of the one call it hits: (state after it, how many deliveries the vendor then has).
AFTER = {
    "slow": ("done", 1),
    "drip": ("unknown", 1),
    "refused": ("queued", 0),
    "reset": ("unknown", 0),
    "reset_after": ("unknown", 1),
    "timeout_before": ("unknown", 0),
    "timeout_after": ("unknown", 1),
    "late_effect": ("unknown", 1),
    "429": ("queued", 0),
    "429_retry_after": ("queued", 0),
    "500_before": ("unknown", 0),
    "500_after": ("unknown", 1),
    "502_before": ("unknown", 0),
    "502_after": ("unknown", 1),
    "503_before": ("unknown", 0),
    "503_after": ("unknown", 1),
    "html": ("unknown", 1),
    "empty_204": ("unknown", 1),
    "short_body": ("unknown", 1),
    "truncated_json": ("unknown", 1),
    "wrong_json": ("unknown", 1),
    "null_json": ("unknown", 1),
    "redirect": ("unknown", 0),
}


class TestEveryFault:
    def test_the_table_covers_all_that_the_sandbox_can_do(self) -> None:
        assert set(AFTER) == set(KINDS)

    @pytest.mark.parametrize("kind", AFTER)
    def test_ends_in_the_state_that_is_known_and_no_other(self, world: World, kind: str) -> None:
        world.deliver(1)
        extent = {"seconds": 0.3} if kind in {"slow", "drip"} else {"seconds": 30} if kind == "429_retry_after" else {}
        extent |= {} if kind == "refused" else {"calls": 1}
        world.sandbox.fault("scorpion", kind, **extent)

        world.drain(seconds=0.1)

        state, there = AFTER[kind]
        if kind == "late_effect":
            _wait_for_deliveries(world, 1)
        assert Action.objects.get().state == state
        assert len(world.at_vendor()) == there
        world.assert_agrees()

    @pytest.mark.parametrize("kind", [kind for kind, (state, _) in AFTER.items() if state == "queued"])
    def test_is_tried_again_by_itself_where_the_vendor_cannot_have_acted(self, world: World, kind: str) -> None:
        world.deliver(1)
        world.sandbox.fault("scorpion", kind, **({"seconds": 30} if kind == "429_retry_after" else {}))
        world.drain(seconds=0.1)
        waits_until = Account.objects.get().next_call_at
        world.sandbox.clear_faults("scorpion")

        world.make_due()
        world.drain()

        assert waits_until is not None
        assert world.states() == {"done": 1}
        assert len(world.at_vendor()) == 1
        world.assert_agrees()

    @pytest.mark.parametrize("kind", [kind for kind, (state, _) in AFTER.items() if state == "unknown"])
    def test_is_never_sent_again_by_itself_where_it_may_have_acted(self, world: World, kind: str) -> None:
        world.deliver(1)
        world.sandbox.fault("scorpion", kind, calls=1, **({"seconds": 0.3} if kind == "drip" else {}))
        world.drain(seconds=0.1)

        world.make_due()
        world.drain()

        assert world.states() == {"unknown": 1}
        assert Call.objects.filter(verb="create_deliveries").count() == 1
        assert Delivery.objects.get().state == "requested"


def _wait_for_deliveries(world: World, count: int) -> None:

    ends = time.monotonic() + 5
    while len(world.at_vendor()) < count and time.monotonic() < ends:
        time.sleep(0.02)
