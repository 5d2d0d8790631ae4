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
    calls = 0
    lines = _lines(account_id, worker.rpartition(":")[0], verbs)
    while not should_stop():
        if time.monotonic() >= ends:
            wake(account_id)
            break
        claim = lines.claims.ask(calls % READ_EVERY == READ_EVERY - 1)
        if isinstance(claim, Idle):
            wait = claim.wait_seconds
            if wait is None or wait > SHORT_WAIT_SECONDS or time.monotonic() + wait >= ends:
                break
            time.sleep(wait)
            continue
        lines.outcomes.ask((claim, perform(claim, verbs)))
        calls += 1
    return calls


@dataclass(frozen=True, slots=True)
class _Lines:
    """Where this process's threads get an account's claims and bring what came of them: one transaction for all who are there."""

    claims: Line[bool, Claim | Idle]  # asked with whether a reading is preferred
    outcomes: Line[tuple[Claim, Outcome], bool]


@lru_cache(maxsize=1024)
def _lines(account_id: int, worker: str, verbs: Verbs) -> _Lines:
    def claim(prefer_reading: Sequence[bool]) -> Sequence[Claim | Idle]:
        claims = claim_many(account_id, most=len(prefer_reading), worker=worker, prefers_reading=any(prefer_reading))
        if isinstance(claims, Idle):
            return [claims] * len(prefer_reading)
        return [*claims, *[Idle(0.0)] * (len(prefer_reading) - len(claims))]  # who got none asks again

    return _Lines(Line(claim), Line(lambda returned: settle_many(returned, verbs)))


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
