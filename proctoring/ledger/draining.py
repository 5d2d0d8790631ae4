"""Draining an account: claim, perform, settle, until nothing is due. And the sweep, which forgets nothing."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from django.conf import settings
from django.db import models
from django.db.models import Count, Q
from django.db.models.functions import Now

from proctoring.ledger.claiming import Claim, Idle, claim_many, open_calls_past_their_lease
from proctoring.ledger.lines import Line
from proctoring.ledger.performing import Outcome, Verbs, perform
from proctoring.ledger.settling import bury, settle_many
from proctoring.ledger.waking import wake
from proctoring.models import Account, Action, ActionState, Call, Reading

log = logging.getLogger(__name__)

READ_EVERY = 8  # of so many calls one is a reading that is due, however much there is to do
SHORT_WAIT_SECONDS = 1.0  # a pace or a hold worth waiting for; longer ones are left to the sweep


def drain(
    account_id: int, verbs: Verbs, *, worker: str, should_stop: Callable[[], bool], seconds: float | None = None
) -> int:
    """Works off the account until nothing is due, it is full, the slice of time is over or we stop. Returns the calls made."""
    ends = time.monotonic() + (settings.DRAIN_SECONDS if seconds is None else seconds)
    line = _line(account_id, worker.rpartition(":")[0], verbs)
    returned: tuple[Claim, Outcome] | None = None
    calls = 0
    while True:
        is_over = time.monotonic() >= ends
        goes_on = not is_over and not should_stop()
        if not goes_on and returned is None:
            break
        claim = line.ask(_Turn(returned, goes_on, prefers_reading=calls % READ_EVERY == READ_EVERY - 1))
        returned = None
        if isinstance(claim, Claim):
            returned = claim, perform(claim, verbs)
            calls += 1
        elif not _is_worth_a_wait(claim, ends):
            break
    if is_over:
        wake(account_id)
    return calls


def _is_worth_a_wait(idle: Idle, ends: float) -> bool:
    """Waits where the next call is due soon; a longer wait is left to the sweep."""
    wait = idle.wait_seconds
    if wait is None or wait > SHORT_WAIT_SECONDS or time.monotonic() + wait >= ends:
        return False
    time.sleep(wait)
    return True


@dataclass(frozen=True, slots=True)
class _Turn:
    """A thread at the database: what it brings back, and whether it wants the next call."""

    returned: tuple[Claim, Outcome] | None
    wants_more: bool
    prefers_reading: bool


@lru_cache(maxsize=1024)
def _line(account_id: int, worker: str, verbs: Verbs) -> Line[_Turn, Claim | Idle]:
    """Where this process's threads settle and claim for an account: one transaction each for all who are there."""

    def serve(turns: Sequence[_Turn]) -> list[Claim | Idle]:
        if returned := [turn.returned for turn in turns if turn.returned is not None]:
            settle_many(returned, verbs)
        wanting = [turn for turn in turns if turn.wants_more]
        claims = iter(_claim_for(wanting))
        return [next(claims) if turn.wants_more else Idle() for turn in turns]

    def _claim_for(turns: Sequence[_Turn]) -> Sequence[Claim | Idle]:
        if not turns:
            return []
        prefers_reading = any(turn.prefers_reading for turn in turns)
        claims = claim_many(account_id, most=len(turns), worker=worker, prefers_reading=prefers_reading)
        if isinstance(claims, Idle):
            return [claims] * len(turns)
        return [*claims, *[Idle(0.0)] * (len(turns) - len(claims))]  # who got none asks again

    return Line(serve)


def sweep() -> int:
    """Finds what dead workers left behind and wakes every account that has work due. Returns how many it woke."""
    for call in open_calls_past_their_lease().select_related("account")[:200]:
        log.warning("Call %s on account %s was lost with its worker", call.pk, call.account_id)
        bury(call)
    woken = 0
    for account_id, calls in _due().items():
        wake(account_id, calls=calls)
        woken += 1
    return woken


def erase_bodies(*, before: datetime) -> int:
    """Erases the stored requests and replies of calls that ended before then; that they were made stays. Returns how many."""
    old = Call.objects.filter(ended_at__lt=before).exclude(request_body="", response_body="")
    return old.update(request_body="", response_body="", request_headers={}, response_headers={})


def _due() -> dict[int, int]:
    """Account → how many of its calls are due, at most as many as it may make at once."""
    queued = Q(state=ActionState.QUEUED, due_at__lte=Now()) | Q(state=ActionState.UNKNOWN, look_due_at__lte=Now())
    rows = (
        Action.objects.filter(queued)
        .filter(Q(account__paused_at=None) | Q(account__is_probing=True))
        .values_list("account_id", "account__calls_at_once")
        .annotate(groups=Count("group", distinct=True))
        .order_by()
    )
    due = {account: min(groups, at_once) for account, at_once, groups in rows}
    checks: models.QuerySet[Account] = Account.objects.filter(check_due_at__lte=Now())
    for account_id in checks.values_list("pk", flat=True):
        due.setdefault(account_id, 1)
    readings = Reading.objects.filter(due_at__lte=Now()).filter(
        Q(account__paused_at=None) | Q(account__is_probing=True)
    )
    for account_id in readings.order_by().values_list("account_id", flat=True).distinct():
        due.setdefault(account_id, 1)
    return due
