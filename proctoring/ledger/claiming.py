"""Claiming: one short transaction in which a group becomes SENDING under a lease, or a read is taken up."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import cast
from uuid import UUID, uuid4

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now

from proctoring.ledger import statements
from proctoring.models import Account, Action, ActionState, Call, Reading
from proctoring.vendors import registry
from proctoring.vendors.base import LOOKED_UP_BY, Verb

ALL_PAGES_EXCHANGES = 4  # a list of unknown length: its lease is renewed with every page


class Kind(StrEnum):
    EFFECT = "effect"
    LOOK_UP = "look_up"
    CHECK = "check"
    READ = "read"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What one worker holds: the call is its lease and its fence."""

    call: Call
    account: Account
    kind: Kind
    verb: Verb
    actions: tuple[Action, ...]
    claimed: float  # time.monotonic() at `call.claimed_at`
    reading: Reading | None = None

    @property
    def is_repeat(self) -> bool:
        return any(action.may_have_acted for action in self.actions)

    def now(self) -> datetime:
        """The database's time, carried on by our own steady clock."""
        return self.call.claimed_at + timedelta(seconds=time.monotonic() - self.claimed)

    @property
    def has_lease(self) -> bool:
        return self.now() < self.call.lease_until


@dataclass(frozen=True, slots=True)
class Idle:
    """Nothing can be claimed now; in `wait_seconds` the account may be called again, if that is all that hinders."""

    wait_seconds: float | None = None


def claim_next(account_id: int, *, worker: str = "", prefers_reading: bool = False) -> Claim | Idle:
    """Takes the next due group of the account by (priority, due, id), within its limits, pauses and pace.

    What is only to be read comes after what is to be done, unless `prefers_reading`.
    """
    with transaction.atomic():
        account = statements.lock_account(account_id)
        if account is None:
            return Idle()
        now = cast(datetime, account.db_now)  # type: ignore[attr-defined]
        under_way = statements.verbs_under_way(account_id, now)
        if (idle := _hindrance(account, now, len(under_way))) is not None:
            return idle
        claim = _claim_check(account, now, worker)
        if claim is None and (not account.is_paused or account.is_probing):
            shut = _shut_verbs(account, under_way)
            claim = _claim_reading(account, now, worker, shut) if prefers_reading else None
            claim = claim or _claim_action(account, now, worker, shut) or _claim_reading(account, now, worker, shut)
        if claim is not None:
            _advance_pace(account, now)
        return claim or Idle()


def _hindrance(account: Account, now: datetime, under_way: int) -> Idle | None:
    if under_way >= (1 if account.is_probing else account.calls_at_once):
        return Idle()
    if account.next_call_at is not None and account.next_call_at > now:
        return Idle((account.next_call_at - now).total_seconds())
    if account.is_paused and not account.is_probing and account.check_due_at is None:
        return Idle()
    return None


def _advance_pace(account: Account, now: datetime) -> None:
    if account.calls_per_minute:
        step = timedelta(seconds=60 / account.calls_per_minute)
        Account.objects.filter(pk=account.pk).update(next_call_at=now + step)


def _claim_check(account: Account, now: datetime, worker: str) -> Claim | None:
    if account.check_due_at is None or account.check_due_at > now:
        return None
    Account.objects.filter(pk=account.pk).update(check_due_at=None)
    call = _open_call(account, Verb.CHECK, now, worker)
    return _claim(call, account, Kind.CHECK, Verb.CHECK, ())


def _claim_action(account: Account, now: datetime, worker: str, shut: list[str]) -> Claim | None:
    due = {action.state: action for action in statements.next_due(account.pk, now, shut)}
    claim = _claim_look_up(due.get(ActionState.UNKNOWN), account, now, worker, shut)
    return claim or _claim_effect(due.get(ActionState.QUEUED), account, now, worker)


def _claim_reading(account: Account, now: datetime, worker: str, shut: list[str]) -> Claim | None:
    """Takes up what is to be read; its next turn is put off past the lease, so that a lost one comes back by itself."""
    due = Reading.objects.filter(account=account, due_at__lte=now).exclude(verb__in=shut)
    reading = due.order_by("due_at", "id").first()
    if reading is None:
        return None
    call = _open_call(account, Verb(reading.verb), now, worker)
    Reading.objects.filter(pk=reading.pk).update(due_at=call.lease_until, tries=F("tries") + 1)
    reading.tries += 1
    return Claim(
        call=call,
        account=account,
        kind=Kind.READ,
        verb=Verb(reading.verb),
        actions=(),
        claimed=time.monotonic(),
        reading=reading,
    )


def _claim_look_up(
    action: Action | None, account: Account, now: datetime, worker: str, shut: list[str]
) -> Claim | None:
    if action is None or LOOKED_UP_BY.get(Verb(action.verb)) in shut:
        return None
    Action.objects.filter(pk=action.pk).update(look_due_at=None)
    call = _open_call(account, LOOKED_UP_BY.get(Verb(action.verb), Verb.CHECK), now, worker, group=action.group)
    return _claim(call, account, Kind.LOOK_UP, Verb(action.verb), (action,))


def _claim_effect(first: Action | None, account: Account, now: datetime, worker: str) -> Claim | None:
    if first is None:
        return None
    call = _open_call(account, Verb(first.verb), now, worker, group=first.group, is_repeat=first.may_have_acted)
    taken = statements.take_group(first.group, call.pk, now)
    actions = _taken(first, call, now) if taken == 1 else _load(call)
    if not actions:  # cancelled between the look and the update
        call.delete()
        return None
    return _claim(call, account, Kind.EFFECT, Verb(first.verb), actions)


def _taken(first: Action, call: Call, now: datetime) -> tuple[Action, ...]:
    """The one action as the update left it, without reading it again."""
    first.state, first.call, first.sent_at, first.changed_at = ActionState.SENDING, call, now, now
    first.tries += 1
    return (first,)


def _load(call: Call) -> tuple[Action, ...]:
    return tuple(Action.objects.filter(call=call, state=ActionState.SENDING).order_by("id"))


def _shut_verbs(account: Account, under_way: list[str]) -> list[str]:
    """Verbs that may not be tried: paused ones, and one on probation while its probe is under way."""
    return [verb for verb, pause in account.paused_verbs.items() if not pause.get("probing") or verb in under_way]


def _open_call(
    account: Account, verb: Verb, now: datetime, worker: str, *, group: UUID | None = None, is_repeat: bool = False
) -> Call:
    capability = registry.capability(account.vendor, verb)
    exchanges = (capability.exchanges if capability else 1) or ALL_PAGES_EXCHANGES
    seconds = settings.CALL_DEADLINE_SECONDS * exchanges + settings.LEASE_MARGIN_SECONDS
    call = Call(
        id=uuid4(),
        account=account,
        verb=verb,
        group=group,
        is_effect=verb.is_effect,
        is_repeat=is_repeat,
        worker=worker[:150],
        claimed_at=now,
        lease_until=now + timedelta(seconds=seconds),
    )
    statements.open_call(call)
    return call


def _claim(call: Call, account: Account, kind: Kind, verb: Verb, actions: tuple[Action, ...]) -> Claim:
    return Claim(call=call, account=account, kind=kind, verb=verb, actions=actions, claimed=time.monotonic())


def open_calls_past_their_lease() -> QuerySet[Call]:
    """Calls whose worker is gone, by the database's clock."""
    return Call.objects.filter(Q(lead=None), ended_at=None, lease_until__lt=Now())
