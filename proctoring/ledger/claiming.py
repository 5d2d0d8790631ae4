"""Claiming: one short transaction in which a group becomes SENDING under a lease, or a read is taken up."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID, uuid4

from django.conf import settings
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


def claim(
    sight: statements.Sight | None, *, most: int, worker: str, prefers_reading: bool, behind: Sequence[UUID] = ()
) -> tuple[Claim, ...] | Idle:
    """Takes the next due groups of the account by (priority, due, id), within its limits, pauses and pace: at least one, or
    Idle. In the transaction that looked: the account's row is locked.

    What is only to be read comes after what is to be done, unless `prefers_reading`.
    Where the account is full, calls are claimed `behind` those of this process that are at the vendor.
    """
    if sight is None:
        return Idle()
    places = [*[None] * _room(sight), *([] if _is_one_by_one(sight.account) else behind)][:most]
    if not places:
        return Idle()
    if (idle := _hindrance(sight)) is not None:
        return idle
    claims = _claims(sight, _Opening(sight.account, sight.now, worker, iter(places)), len(places), prefers_reading)
    if claims:
        _advance_pace(sight.account, sight.now)
    return tuple(claims) or Idle()


def _claims(sight: statements.Sight, opening: _Opening, most: int, prefers_reading: bool) -> list[Claim]:
    account = sight.account
    if (check := _claim_check(opening)) is not None:
        return [check]
    if account.is_paused and not account.is_probing:
        return []
    shut = _shut_verbs(sight)
    claims = _claim_readings(opening, shut, 1) if prefers_reading else []
    claims += _claim_actions(sight, opening, shut, most - len(claims))
    return claims or _claim_readings(opening, shut, most)


def _room(sight: statements.Sight) -> int:
    """How many calls may begin now."""
    account = sight.account
    free = (1 if account.is_probing else account.calls_at_once) - len(sight.under_way)
    return max(0, min(free, 1) if _is_one_by_one(account) else free)


def _is_one_by_one(account: Account) -> bool:
    """Whether the next call depends on this one: a probe, a pace, or a verb on probation."""
    return bool(account.is_probing or account.calls_per_minute or account.paused_verbs)


def _hindrance(sight: statements.Sight) -> Idle | None:
    account, now = sight.account, sight.now
    if account.next_call_at is not None and account.next_call_at > now:
        return Idle((account.next_call_at - now).total_seconds())
    if account.is_paused and not account.is_probing and account.check_due_at is None:
        return Idle()
    return None


@dataclass(frozen=True, slots=True)
class _Opening:
    """What the calls of one turn have in common, and the place of each: its own, or behind another call."""

    account: Account
    now: datetime
    worker: str
    places: Iterator[UUID | None]

    def call(self, verb: Verb, *, group: UUID | None = None, is_repeat: bool = False) -> Call:
        capability = registry.capability(self.account.vendor, verb)
        exchanges = (capability.exchanges if capability else 1) or ALL_PAGES_EXCHANGES
        seconds = settings.CALL_DEADLINE_SECONDS * exchanges + settings.LEASE_MARGIN_SECONDS
        return Call(
            id=uuid4(),
            account=self.account,
            behind=next(self.places),
            verb=verb,
            group=group,
            is_effect=verb.is_effect,
            is_repeat=is_repeat,
            worker=self.worker[:150],
            claimed_at=self.now,
            lease_until=self.now + timedelta(seconds=seconds),
        )

    def claim(
        self, call: Call, kind: Kind, verb: Verb, actions: tuple[Action, ...] = (), reading: Reading | None = None
    ) -> Claim:
        return Claim(
            call=call,
            account=self.account,
            kind=kind,
            verb=verb,
            actions=actions,
            claimed=time.monotonic(),
            reading=reading,
        )


def _advance_pace(account: Account, now: datetime) -> None:
    if account.calls_per_minute:
        step = timedelta(seconds=60 / account.calls_per_minute)
        Account.objects.filter(pk=account.pk).update(next_call_at=now + step)


def _claim_check(opening: _Opening) -> Claim | None:
    account = opening.account
    if account.check_due_at is None or account.check_due_at > opening.now:
        return None
    Account.objects.filter(pk=account.pk).update(check_due_at=None)
    call = opening.call(Verb.CHECK)
    statements.open_calls([call])
    return opening.claim(call, Kind.CHECK, Verb.CHECK)


def _claim_actions(sight: statements.Sight, opening: _Opening, shut: list[str], most: int) -> list[Claim]:
    """What is to be looked up first, then what is to be done."""
    if most < 1:
        return []
    looks = [_claim_look_up(action, opening, shut) for action in sight.looks[:most]]
    claims = [claim for claim in looks if claim is not None]
    queued = statements.look_past(sight.account.pk, shut, most) if shut else sight.queued
    return claims + _claim_effects(queued, opening, most - len(claims))


def _claim_readings(opening: _Opening, shut: list[str], most: int) -> list[Claim]:
    """Takes up what is to be read; its next turn is put off past the lease, so that a lost one comes back by itself."""
    due = Reading.objects.filter(account=opening.account, due_at__lte=opening.now)
    return [_claim_reading(reading, opening) for reading in due.exclude(verb__in=shut).order_by("due_at", "id")[:most]]


def _claim_reading(reading: Reading, opening: _Opening) -> Claim:
    call = opening.call(Verb(reading.verb))
    statements.open_calls([call])
    Reading.objects.filter(pk=reading.pk).update(due_at=call.lease_until, tries=F("tries") + 1)
    reading.tries += 1
    return opening.claim(call, Kind.READ, Verb(reading.verb), reading=reading)


def _claim_look_up(action: Action, opening: _Opening, shut: list[str]) -> Claim | None:
    """One at a time for an action: a look-up may make new links, and of two at once either could end the other's."""
    verb = LOOKED_UP_BY.get(Verb(action.verb), Verb.CHECK)
    under_way = Call.objects.filter(
        group=action.group, verb=verb, lead=None, ended_at=None, lease_until__gt=opening.now
    )
    if verb in shut or under_way.exists():
        return None
    if not Action.objects.filter(pk=action.pk, state=ActionState.UNKNOWN).update(look_due_at=None):
        return None
    call = opening.call(verb, group=action.group)
    statements.open_calls([call])
    return opening.claim(call, Kind.LOOK_UP, Verb(action.verb), (action,))


def _claim_effects(queued: list[Action], opening: _Opening, most: int) -> list[Claim]:
    """One call for each of the first groups."""
    groups: dict[UUID, list[Action]] = {}
    for action in queued:
        groups.setdefault(action.group, []).append(action)
    claims = []
    for group, actions in sorted(groups.items(), key=lambda item: min(_turn(action) for action in item[1]))[:most]:
        verb, is_repeat = Verb(actions[0].verb), any(action.may_have_acted for action in actions)
        call = opening.call(verb, group=group, is_repeat=is_repeat)
        taken = tuple(_taken(action, call, opening.now) for action in actions)
        claims.append(opening.claim(call, Kind.EFFECT, verb, taken))
    if claims:
        statements.open_calls([claim.call for claim in claims], taking=True)
    return claims


def _turn(action: Action) -> tuple[int, datetime, UUID]:
    return action.priority, action.due_at, action.pk


def _taken(action: Action, call: Call, now: datetime) -> Action:
    """The action as `open_calls` leaves it, without reading it again."""
    action.state, action.call, action.sent_at, action.changed_at = ActionState.SENDING, call, now, now
    action.tries += 1
    return action


def _shut_verbs(sight: statements.Sight) -> list[str]:
    """Verbs that may not be tried: paused ones, and one on probation while its probe is under way."""
    pauses = sight.account.paused_verbs
    return [verb for verb, pause in pauses.items() if not pause.get("probing") or verb in sight.under_way]


def open_calls_past_their_lease() -> QuerySet[Call]:
    """Calls whose worker is gone, by the database's clock."""
    return Call.objects.filter(Q(lead=None), ended_at=None, lease_until__lt=Now())
