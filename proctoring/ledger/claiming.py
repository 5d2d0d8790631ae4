"""Claiming: one short transaction in which a group becomes SENDING under a lease, or a read is taken up."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID, uuid4

from django.conf import settings
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now

from proctoring import sql
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


def claim_many(
    account_id: int, *, most: int, worker: str = "", prefers_reading: bool = False
) -> tuple[Claim, ...] | Idle:
    """Takes the next due groups of the account by (priority, due, id), within its limits, pauses and pace: at least one, or
    Idle. One transaction for all of them: the account's row is locked but once.

    What is only to be read comes after what is to be done, unless `prefers_reading`.
    """
    with sql.transact():
        account = statements.lock_account(account_id)
        if account is None:
            return Idle()
        now, under_way = statements.under_way(account_id)
        if (idle := _hindrance(account, now, len(under_way))) is not None:
            return idle
        claims = _claims(account, now, worker, under_way, min(most, _room(account, len(under_way))), prefers_reading)
        if claims:
            _advance_pace(account, now)
        return tuple(claims) or Idle()


def _claims(
    account: Account, now: datetime, worker: str, under_way: list[str], most: int, prefers_reading: bool
) -> list[Claim]:
    if (check := _claim_check(account, now, worker)) is not None:
        return [check]
    if account.is_paused and not account.is_probing:
        return []
    shut = _shut_verbs(account, under_way)
    claims = _claim_readings(account, now, worker, shut, 1) if prefers_reading else []
    claims += _claim_actions(account, now, worker, shut, most - len(claims))
    return claims or _claim_readings(account, now, worker, shut, most)


def _room(account: Account, under_way: int) -> int:
    """How many calls may begin now. One alone where the next depends on it: a pace, or a verb on probation."""
    if account.is_probing or account.calls_per_minute or account.paused_verbs:
        return 1
    return account.calls_at_once - under_way


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
    call = _new_call(account, Verb.CHECK, now, worker)
    statements.open_calls([call])
    return _claim(call, account, Kind.CHECK, Verb.CHECK, ())


def _claim_actions(account: Account, now: datetime, worker: str, shut: list[str], most: int) -> list[Claim]:
    """What is to be looked up first, then what is to be done."""
    if most < 1:
        return []
    looks, groups = statements.due(account.pk, now, shut, most)
    unknown = Action.objects.in_bulk(looks)
    claims = [claim for pk in looks if (claim := _claim_look_up(unknown[pk], account, now, worker, shut))]
    return claims + _claim_effects(groups[: most - len(claims)], account, now, worker)


def _claim_readings(account: Account, now: datetime, worker: str, shut: list[str], most: int) -> list[Claim]:
    """Takes up what is to be read; its next turn is put off past the lease, so that a lost one comes back by itself."""
    due = Reading.objects.filter(account=account, due_at__lte=now).exclude(verb__in=shut).order_by("due_at", "id")
    return [_claim_reading(reading, account, now, worker) for reading in due[:most]]


def _claim_reading(reading: Reading, account: Account, now: datetime, worker: str) -> Claim:
    call = _new_call(account, Verb(reading.verb), now, worker)
    statements.open_calls([call])
    Reading.objects.filter(pk=reading.pk).update(due_at=call.lease_until, tries=F("tries") + 1)
    reading.tries += 1
    return _claim(call, account, Kind.READ, Verb(reading.verb), (), reading)


def _claim_look_up(action: Action, account: Account, now: datetime, worker: str, shut: list[str]) -> Claim | None:
    if LOOKED_UP_BY.get(Verb(action.verb)) in shut:
        return None
    Action.objects.filter(pk=action.pk).update(look_due_at=None)
    call = _new_call(account, LOOKED_UP_BY.get(Verb(action.verb), Verb.CHECK), now, worker, group=action.group)
    statements.open_calls([call])
    return _claim(call, account, Kind.LOOK_UP, Verb(action.verb), (action,))


def _claim_effects(groups: list[UUID], account: Account, now: datetime, worker: str) -> list[Claim]:
    """One call for each group; what was cancelled between the look and the lock is left out."""
    members: dict[UUID, list[Action]] = {}
    for action in statements.lock_groups(groups):
        members.setdefault(action.group, []).append(action)
    claims = []
    for group in filter(members.__contains__, groups):
        actions = members[group]
        verb, is_repeat = Verb(actions[0].verb), any(action.may_have_acted for action in actions)
        call = _new_call(account, verb, now, worker, group=group, is_repeat=is_repeat)
        claims.append(_claim(call, account, Kind.EFFECT, verb, tuple(_taken(action, call, now) for action in actions)))
    statements.open_calls([claim.call for claim in claims], taking=True)
    return claims


def _taken(action: Action, call: Call, now: datetime) -> Action:
    """The action as `open_calls` leaves it, without reading it again."""
    action.state, action.call, action.sent_at, action.changed_at = ActionState.SENDING, call, now, now
    action.tries += 1
    return action


def _shut_verbs(account: Account, under_way: list[str]) -> list[str]:
    """Verbs that may not be tried: paused ones, and one on probation while its probe is under way."""
    return [verb for verb, pause in account.paused_verbs.items() if not pause.get("probing") or verb in under_way]


def _new_call(
    account: Account, verb: Verb, now: datetime, worker: str, *, group: UUID | None = None, is_repeat: bool = False
) -> Call:
    capability = registry.capability(account.vendor, verb)
    exchanges = (capability.exchanges if capability else 1) or ALL_PAGES_EXCHANGES
    seconds = settings.CALL_DEADLINE_SECONDS * exchanges + settings.LEASE_MARGIN_SECONDS
    return Call(
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


def _claim(
    call: Call, account: Account, kind: Kind, verb: Verb, actions: tuple[Action, ...], reading: Reading | None = None
) -> Claim:
    return Claim(
        call=call,
        account=account,
        kind=kind,
        verb=verb,
        actions=actions,
        claimed=time.monotonic(),
        reading=reading,
    )


def open_calls_past_their_lease() -> QuerySet[Call]:
    """Calls whose worker is gone, by the database's clock."""
    return Call.objects.filter(Q(lead=None), ended_at=None, lease_until__lt=Now())
