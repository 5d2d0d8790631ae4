"""The journal: append-only, ids and facts."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db import models

from proctoring import sql
from proctoring.models import Action, JournalEntry, Team, User

# Every event with the words a person reads on a timeline.
EVENTS = {
    "account.added": "Account added",
    "account.changed": "Account changed",
    "account.credentials": "New credentials saved",
    "account.paused": "Account paused",
    "account.resumed": "Account works again",
    "account.verb_paused": "Paused for one kind of call",
    "account.verb_resumed": "One kind of call allowed again",
    "account.check_asked": "Test of the account asked for",
    "account.checked": "Account tested",
    "exam.added": "Exam added",
    "exam.changed": "Exam changed",
    "candidate.added": "Candidate added",
    "candidate.changed": "Candidate's details changed",
    "exam.sent": "Exam sent to the vendor",
    "session.changed": "The vendor reports a new state",
    "session.requested": "Asked for at the vendor",
    "session.questions_shown": "Questions and keys shown",
    "session.kept_exported": "What was kept before an effect exported",
    "delivery.requested": "Delivery asked for",
    "delivery.created": "Delivery created at the vendor",
    "delivery.cancelled": "Delivery cancelled",
    "delivery.arranged": "Accommodation arranged at the vendor by hand",
    "delivery.opened": "Opened by the candidate",
    "delivery.link_reissued": "New candidate link made; the old one says so",
    "delivery.link_revoked": "Candidate link revoked",
    "delivery.link_allowed": "Candidate link allowed again",
    "delivery.let_back_in": "Let back in",
    "delivery.link_entered": "Take link entered by hand",
    "invitation.requested": "Invitation asked for",
    "delivery.proctor_link_shown": "Proctor link shown",
    "action.sent": "Sent to the vendor",
    "action.waits": "Waits for another try",
    "action.unknown": "Outcome unknown",
    "action.needs_attention": "Needs attention",
    "action.look_asked": "Look-up asked for",
    "action.looked": "Looked up at the vendor",
    "action.retried": "Queued again by a person",
    "action.resolved": "Settled by a person",
    "action.done": "Done",
    "action.cancelled": "Cancelled",
    "team.changed": "Team changed",
    "person.password": "Password set",
}


def entry(
    event: str,
    target: models.Model,
    *,
    team: Team | int,
    at: datetime,
    by: User | None = None,
    action: Action | None = None,
    reason: str = "",
    **facts: Any,
) -> JournalEntry:
    """One entry, not yet written. `event` must be one of EVENTS; `facts` hold no names, addresses or secrets."""
    if event not in EVENTS:
        raise KeyError(f"{event} is no event of the journal")
    return JournalEntry(
        team_id=team if isinstance(team, int) else team.pk,
        at=at,
        by=by,
        event=event,
        target_kind=target._meta.model_name or "",
        target=str(target.pk),
        action_id=action.pk if action else None,
        reason=reason,
        facts=facts,
    )


def record(event: str, target: models.Model, **kwargs: Any) -> None:
    """Writes one entry, in the caller's transaction. Arguments as for `entry`."""
    entry(event, target, **kwargs).save(force_insert=True)


def record_action(
    event: str, action: Action, *, at: datetime, by: User | None = None, reason: str = "", **facts: Any
) -> None:
    """Writes one entry about an action's target, without loading the target."""
    record_all([action_entry(event, action, at=at, by=by, reason=reason, **facts)])


def action_entry(
    event: str, action: Action, *, at: datetime, by: User | None = None, reason: str = "", **facts: Any
) -> JournalEntry:
    """One entry about an action's target, not yet written."""
    if event not in EVENTS:
        raise KeyError(f"{event} is no event of the journal")
    return JournalEntry(
        team_id=action.team_id,
        at=at,
        by=by,
        event=event,
        target_kind=action.target_kind,
        target=str(action.target_id),
        action_id=action.pk,
        reason=reason,
        facts={"verb": action.verb, **facts},
    )


def record_all(entries: Iterable[JournalEntry]) -> None:
    """Writes entries, in the caller's transaction."""
    sql.execute_many(inserting(entries))


def inserting(entries: Iterable[JournalEntry]) -> sql.Statement:
    """The statement that writes entries, for who has more to send with it."""
    return sql.inserting(JournalEntry, entries)


def words(event: str) -> str:
    return EVENTS.get(event, event)
