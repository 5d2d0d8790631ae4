"""Draining an account: claim, perform, settle, until nothing is due. And the sweep, which forgets nothing."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from uuid import UUID

from django.conf import settings
from django.db import models
from django.db.models import Count, Q
from django.db.models.functions import Now

from proctoring.ledger.claiming import Claim, Idle, open_calls_past_their_lease
from proctoring.ledger.heels import Heels
from proctoring.ledger.lines import Line
from proctoring.ledger.performing import NoPlace, Outcome, Verbs, perform
from proctoring.ledger.settling import bury
from proctoring.ledger.turns import take_turn
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
    desk = _desk(account_id, worker.rpartition(":")[0], verbs)
    returned: tuple[Claim, Outcome] | None = None
    calls = 0
    while True:
        is_over = time.monotonic() >= ends
        goes_on = not is_over and not should_stop()
        if not goes_on and returned is None:
            break
        claim = desk.line.ask(_Turn(returned, goes_on, prefers_reading=calls % READ_EVERY == READ_EVERY - 1))
        returned = None
        if isinstance(claim, Claim):
            returned = claim, desk.perform(claim, should_stop)
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


class _Desk:
    """Where this process's threads settle and claim for an account: one transaction each for all who are there."""

    def __init__(self, account_id: int, worker: str, verbs: Verbs) -> None:
        self.account_id, self.worker, self.verbs = account_id, worker, verbs
        self.heels = Heels()
        self.line: Line[_Turn, Claim | Idle] = Line(self._serve, slack_seconds=self.heels.slack_seconds)

    def perform(self, claim: Claim, should_stop: Callable[[], bool]) -> Outcome:
        """Asks the vendor, once there is a place for this call. One that would have to wait for long is given back."""
        call, outcome = claim.call, Outcome()
        if call.behind is not None:
            if not self.heels.wait(call.behind) or should_stop():
                return Outcome(error=NoPlace())
            self.heels.begin(call.pk)
        try:
            outcome = perform(claim, self.verbs)
        finally:
            self.heels.end(call.pk, is_well=outcome.answer is not None)
        return outcome

    def _serve(self, turns: Sequence[_Turn]) -> list[Claim | Idle]:
        wanting = sum(turn.wants_more for turn in turns)
        behind = self.heels.reserve(wanting)
        claims: tuple[Claim, ...] | Idle = Idle()
        try:
            claims = self._take_turn(turns, wanting, behind)
        finally:
            calls = [] if isinstance(claims, Idle) else [claim.call for claim in claims]
            self.heels.release(set(behind) - {call.behind for call in calls})
        if isinstance(claims, Idle):
            return [claims] * len(turns)
        for call in calls:
            if call.behind is None:
                self.heels.begin(call.pk)
        none_left = [Idle(0.0)] * (wanting - len(claims))  # who got none asks again
        following: Iterator[Claim | Idle] = iter([*claims, *none_left])
        return [next(following) if turn.wants_more else Idle() for turn in turns]

    def _take_turn(self, turns: Sequence[_Turn], wanting: int, behind: Sequence[UUID]) -> tuple[Claim, ...] | Idle:
        return take_turn(
            self.account_id,
            self.verbs,
            [turn.returned for turn in turns if turn.returned is not None],
            most=wanting,
            worker=self.worker,
            prefers_reading=any(turn.prefers_reading for turn in turns if turn.wants_more),
            behind=behind,
        )


@lru_cache(maxsize=1024)
def _desk(account_id: int, worker: str, verbs: Verbs) -> _Desk:
    return _Desk(account_id, worker, verbs)


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
