"""A worker killed with SIGKILL at each step between claim and settle: nothing lost, nothing twice, unknown only what is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

from django.conf import LazySettings

from proctoring import ledger
from proctoring.models import Account, Action, Call, Exam
from proctoring.verbs import VERBS
from tests import processes
from tests.world import World, now

# Step → (state once the sweep has found the dead worker, how many deliveries the vendor has).
STEPS = {
    "before claim": ("queued", 0),
    "after opening the call": ("queued", 0),
    "after claim": ("queued", 0),
    "before writing the request": ("queued", 0),
    "after writing the request": ("unknown", 0),
    "before the exchange": ("unknown", 0),
    "after the exchange": ("unknown", 1),
    "after judging the reply": ("unknown", 1),
    "before settling": ("unknown", 1),
    "after writing the outcome": ("unknown", 1),
    "after the delivery": ("unknown", 1),
    "after settling": ("done", 1),
}


class TestAWorkerKilled:
    def test_leaves_behind_what_its_calls_say_and_another_finishes_what_was_never_sent(
        self, world: World, settings: LazySettings
    ) -> None:
        settings.CALL_DEADLINE_SECONDS = 5.0  # a slow machine must not time out where the vendor is not slow
        accounts = {step: _one_delivery(world) for step in STEPS}

        _kill(accounts)
        _let_leases_end()
        ledger.sweep()
        left = {step: _state_and_there(world, account) for step, account in accounts.items()}
        for account in accounts.values():
            ledger.drain(account.pk, VERBS, worker="next", should_stop=lambda: False, seconds=5)

        assert left == STEPS
        final = {step: _state_and_there(world, account) for step, account in accounts.items()}
        assert final == {step: ("done", 1) if was == ("queued", 0) else was for step, was in STEPS.items()}
        world.assert_agrees()

    def test_holds_its_place_until_its_lease_ends(self, world: World) -> None:
        Account.objects.update(calls_at_once=1)
        world.deliver(2)
        killed = processes.run("-m", "tests.ledger.crash", "after claim", str(world.account.pk))

        world.drain(seconds=0.2)

        assert killed.returncode == -9, killed.stderr
        assert world.states() == {"queued": 1, "sending": 1}


def _one_delivery(world: World) -> Account:
    """An account of its own for each step, so that one process can die of all of them in turn."""
    account = Account.objects.get(pk=world.account.pk)
    account.pk, account.name, account._state.adding = None, f"Scorpion {Account.objects.count()}", True
    account.save()
    exam = Exam.objects.select_related("account").get(pk=world.exam.pk)
    exam.pk, exam.account, exam._state.adding = uuid4(), account, True
    exam.save()
    replace(world, account=account, exam=exam).deliver(1)
    return account


def _kill(accounts: Mapping[str, Account]) -> None:
    pairs = [word for step, account in accounts.items() for word in (step, str(account.pk))]
    killed = processes.run("-m", "tests.ledger.crash", *pairs)
    assert killed.returncode == 0, killed.stderr


def _state_and_there(world: World, account: Account) -> tuple[str, int]:
    action = Action.objects.get(account=account)
    there = [item for item in world.at_vendor().values() if item["meta"]["proctoring_reference"] == str(action.pk)]
    return action.state, len(there)


def _let_leases_end() -> None:
    """As if the time had passed."""
    Call.objects.filter(ended_at=None).update(lease_until=now() - timedelta(seconds=1))
