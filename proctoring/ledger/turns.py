"""A turn at the database: what came back is settled and what is next is claimed, in one transaction for all who are there."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime
from uuid import UUID

from proctoring import sql
from proctoring.ledger import claiming, health, statements
from proctoring.ledger.claiming import Claim, Idle, Kind
from proctoring.ledger.performing import Done, Outcome, Settled, Verbs
from proctoring.ledger.settling import done_entry, facts_of, finish_of, settle, settled_of
from proctoring.models import Action, ActionState
from proctoring.vendors.base import Verb, Verdict

log = logging.getLogger(__name__)

Returned = tuple[Claim, Outcome]


def take_turn(
    account_id: int,
    verbs: Verbs,
    returned: Sequence[Returned],
    *,
    most: int,
    worker: str,
    prefers_reading: bool,
    behind: Sequence[UUID] = (),
) -> tuple[Claim, ...] | Idle:
    """Settles what came back and claims at most so many more, as `claiming.claim` says; `most` may be none.

    What simply succeeded goes with the claim; all else is settled before it, each by itself, as is all of it where any one
    of them cannot be written: that tells which.
    """
    simple: list[Returned] = []
    for pair in returned:
        if _simply_succeeded(*pair, verbs):
            simple.append(pair)
        else:
            settle(*pair, verbs)

    def claim_next(sight: statements.Sight | None) -> tuple[Claim, ...] | Idle:
        return claiming.claim(sight, most=most, worker=worker, prefers_reading=prefers_reading, behind=behind)

    try:
        return _settle_and_claim(account_id, verbs, simple, most, claim_next)
    except Exception as error:
        if not simple:
            raise
        log.info("%d calls are settled each by itself: %r", len(simple), error)
    for pair in simple:
        settle(*pair, verbs)
    return _settle_and_claim(account_id, verbs, [], most, claim_next)


def _simply_succeeded(claim: Claim, outcome: Outcome, verbs: Verbs) -> bool:
    """An effect that every action in it came through, with nothing to be done but to write it down."""
    if claim.kind is not Kind.EFFECT or outcome.error is not None or verbs.effects[claim.verb].after is not None:
        return False
    settled = {item.reference: item for item in settled_of(outcome.answer)}
    return health.has_nothing_to_learn(claim) and all(
        (item := settled.get(action.pk)) is not None and item.verdict is Verdict.HAPPENED and item.kept is None
        for action in claim.actions
    )


class _MovedOn(Exception):
    """A call or an action is no longer what its holder left."""


def _settle_and_claim(
    account_id: int,
    verbs: Verbs,
    succeeded: Sequence[Returned],
    most: int,
    claim_next: Callable[[statements.Sight | None], tuple[Claim, ...] | Idle],
) -> tuple[Claim, ...] | Idle:
    ended = [(claim, outcome, claim.now()) for claim, outcome in succeeded]
    done = [
        (claim, Done(action, settled, at)) for claim, outcome, at in ended for action, settled in _pairs(claim, outcome)
    ]
    finishing = _finishing(ended, done)
    with sql.transact():
        changed, sight = _write_and_look(account_id, [*finishing, *_applying(done, verbs)], most)
        if changed[: len(finishing)] != [len(rows) for _, rows in finishing]:
            raise _MovedOn
        for claim, item in done:
            entry = verbs.effects[claim.verb]
            if entry.writing is None:
                entry.apply(item.action, item.settled, now=item.at)
        claims = claim_next(sight)
    for _, item in done:
        item.action.state = ActionState.DONE
    return claims


def _pairs(claim: Claim, outcome: Outcome) -> list[tuple[Action, Settled]]:
    settled = {item.reference: item for item in settled_of(outcome.answer)}
    return [(action, settled[action.pk]) for action in claim.actions]


def _finishing(
    ended: Sequence[tuple[Claim, Outcome, datetime]], done: Sequence[tuple[Claim, Done]]
) -> list[sql.Statement]:
    endings = [statements.Ending(claim.call.pk, at, facts_of(outcome)) for claim, outcome, at in ended]
    finishes = [finish_of(item.action, item.settled, claim, item.at) for claim, item in done]
    entries = [done_entry(item.action, claim, item.at) for claim, item in done]
    return statements.finishing(endings, finishes, entries) if ended else []


def _applying(done: Sequence[tuple[Claim, Done]], verbs: Verbs) -> list[sql.Statement]:
    """What the domain writes of it, where it says so in SQL."""
    by_verb: dict[Verb, list[Done]] = {}
    for claim, item in done:
        by_verb.setdefault(claim.verb, []).append(item)
    entries = [(verbs.effects[verb], items) for verb, items in by_verb.items()]
    return [statement for entry, items in entries if entry.writing is not None for statement in entry.writing(items)]


def _write_and_look(
    account_id: int, writes: Sequence[sql.Statement], most: int
) -> tuple[list[int], statements.Sight | None]:
    return statements.look(account_id, most, after=writes) if most else (sql.execute_many(*writes), None)
