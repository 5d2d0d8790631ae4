"""What people ask of the ledger: new actions, and decisions about those that stopped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast
from uuid import UUID, uuid4, uuid5

from django.db import models, transaction

from proctoring import journal, policy, sql
from proctoring.ledger.waking import wake
from proctoring.models import Account, Action, ActionState, Batch, Delivery, Exam, Invitation, Session, User
from proctoring.vendors.base import Verb


class Conflict(Exception):
    """The row is no longer in the state this decision was about: somebody, or the vendor, was faster."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """One effect to be asked for. `payload` are its values, copied; `group` names those that travel in one call."""

    target: Delivery | Session | Exam | Invitation
    payload: Mapping[str, Any] = field(repr=False)
    id: UUID = field(default_factory=uuid4)
    group: UUID = field(default_factory=uuid4)


def request(
    drafts: Sequence[Draft],
    *,
    account: Account,
    verb: Verb,
    by: User | None,
    now: datetime,
    reason: str = "",
    batch: Batch | None = None,
    priority: int = 5,
) -> list[Action]:
    """Writes the actions, QUEUED, in the caller's transaction, and wakes the account on commit.

    Raises IntegrityError where a target has an open action already.
    """
    actions = [
        Action(
            id=draft.id,
            team_id=account.team_id,
            account=account,
            batch=batch,
            verb=verb,
            group=draft.group,
            payload=cast(Any, draft.payload),
            priority=priority,
            due_at=now,
            by=by,
            reason=reason,
            created_at=now,
            changed_at=now,
            **{_target_field(draft.target): draft.target},
        )
        for draft in drafts
    ]
    with transaction.atomic():
        sql.execute_many(sql.inserting(Action, actions))
        wake(account.pk, calls=min(len({action.group for action in actions}), account.calls_at_once))
    return actions


def _target_field(target: models.Model) -> str:
    return target._meta.model_name or ""


def move(action: Action, to: ActionState, *, now: datetime, **values: Any) -> None:
    """Changes a state by a guarded update. Raises Conflict where the row has moved on."""
    if not policy.may_become(action.state, to):
        raise Conflict(f"It is {action.get_state_display().lower()} now, so this is no longer possible.")
    changed = Action.objects.filter(pk=action.pk, state=action.state).update(state=to, changed_at=now, **values)
    if not changed:
        raise Conflict("Somebody else, or the vendor, was faster. Look at it again.")
    action.state, action.changed_at = to, now
    for name, value in values.items():
        setattr(action, name, value)


@transaction.atomic
def retry(action: Action, *, by: User | None, reason: str, now: datetime) -> None:
    """Queues it again: the vendor refused it or was never reached, or a person says it was not created.

    It leaves its group, whose reference the vendor may have seen; those retried at the same `now` make a new one together.
    Raises Conflict.
    """
    was, group = action.state, uuid5(action.group, now.isoformat())
    fresh = {"group": group, "tries": 0, "attention": "", "message": "", "may_have_acted": False, **_NO_LOOKS}
    move(action, ActionState.QUEUED, now=now, due_at=now, **fresh)
    _record("action.retried", action, by=by, reason=reason, now=now, was=was)
    wake(action.account_id)


@transaction.atomic
def cancel(action: Action, *, by: User | None, reason: str, now: datetime) -> None:
    """Ends it without an effect of ours. Raises Conflict, e.g. while it is being sent."""
    was = action.state
    if was == ActionState.QUEUED and action.may_have_acted:
        raise Conflict("It was sent once without an answer and is being asked about. Wait for the outcome.")
    move(action, ActionState.CANCELLED, now=now, look_due_at=None)
    _record("action.cancelled", action, by=by, reason=reason, now=now, was=was)


@transaction.atomic
def resolve_created(action: Action, *, by: User | None, reason: str, now: datetime) -> None:
    """A person says that the vendor did act. The caller writes what came of it. Raises Conflict."""
    was = action.state
    move(action, ActionState.DONE, now=now, attention="", look_due_at=None, choices=None)
    _record("action.resolved", action, by=by, reason=reason, now=now, was=was)


@transaction.atomic
def ask_look_up(action: Action, *, by: User | None, now: datetime) -> None:
    """Asks a worker to look it up at the vendor. Raises Conflict unless its outcome is unknown."""
    changed = Action.objects.filter(pk=action.pk, state=ActionState.UNKNOWN).update(look_due_at=now, changed_at=now)
    if not changed:
        raise Conflict("Its outcome is not unknown any more. Look at it again.")
    _record("action.look_asked", action, by=by, reason="", now=now)
    wake(action.account_id)


_NO_LOOKS: dict[str, Any] = {"look_due_at": None, "looked_at": None, "looks_absent": 0, "choices": None}


def _record(event: str, action: Action, *, by: User | None, reason: str, now: datetime, **facts: Any) -> None:
    journal.record_action(event, action, at=now, by=by, reason=reason, **facts)
