"""Rows with sensible defaults, for tests that are about something else."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID, uuid4

from proctoring import values
from proctoring.models import (
    Account,
    Action,
    ActionState,
    Batch,
    Call,
    Candidate,
    Delivery,
    DeliveryState,
    Exam,
    JournalEntry,
    Membership,
    Role,
    Session,
    Team,
    User,
)
from proctoring.vendors.base import DeliveryOrder, Verb

PASSWORD = "correct-horse-battery"
TOKEN = "c2VjcmV0LXRva2VuLW9mLXRlc3Rz"
TAKE_URL = "https://vendor.example.com/take?launch_token=take-secret"
PROCTOR_URL = "https://vendor.example.com/proctor/proctor-secret"

_numbers = count(1)


def make_team(name: str = "", **kw: Any) -> Team:
    return Team.objects.create(name=name or f"Team {next(_numbers)}", **kw)


def make_user(*, role: str | None = Role.COORDINATOR, team: Team | None = None, username: str = "", **kw: Any) -> User:
    """A member of staff who signs in with PASSWORD; with `team`, its member in that role."""
    name = username or f"user{next(_numbers)}"
    user = User(username=name, **{"is_staff": True, "email": f"{name}@example.com", **kw})
    user.set_password(PASSWORD)
    user.save()
    if team is not None and role is not None:
        Membership.objects.create(user=user, team=team, role=role)
    return user


def make_account(team: Team, *, vendor: str = "scorpion", base_url: str = "http://127.0.0.1:9", **kw: Any) -> Account:
    defaults: dict[str, Any] = {
        "name": f"Account {next(_numbers)}",
        "credentials": {"token": TOKEN},
        "permissions": ["create", "view"],
    }
    return Account.objects.create(team=team, vendor=vendor, base_url=base_url, **{**defaults, **kw})


def make_exam(account: Account, **kw: Any) -> Exam:
    """An exam that can be delivered now: it has a reference and no window."""
    defaults: dict[str, Any] = {"title": f"Exam {next(_numbers)}", "ref": str(uuid4()), "duration_minutes": 90}
    return Exam.objects.create(team=account.team, account=account, **{**defaults, **kw})


def make_candidate(team: Team, **kw: Any) -> Candidate:
    number = next(_numbers)
    defaults = {"first_name": "Ada", "last_name": f"Candidate{number}", "email": f"ada{number}@example.com"}
    return Candidate.objects.create(team=team, **{**defaults, **kw})


def make_candidates(team: Team, number: int) -> list[Candidate]:
    return [make_candidate(team) for _ in range(number)]


def make_batch(exam: Exam, *, by: User | None = None, **kw: Any) -> Batch:
    now = datetime.now(UTC)
    defaults: dict[str, Any] = {"kind": "deliver", "created_at": now, "confirmed_at": now}
    return Batch.objects.create(team=exam.team, exam=exam, by=by, **{**defaults, **kw})


def make_delivery(exam: Exam, candidate: Candidate, *, state: str = DeliveryState.REQUESTED, **kw: Any) -> Delivery:
    """A delivery in a state; a created one has its ids and both links."""
    now = datetime.now(UTC)
    defaults: dict[str, Any] = {"requested_at": now}
    if state == DeliveryState.CREATED:
        defaults |= {"ref": str(uuid4()), "take_url": TAKE_URL, "proctor_url": PROCTOR_URL, "created_at": now}
    elif state == DeliveryState.CANCELLED:
        defaults |= {"cancelled_at": now}
    return Delivery.objects.create(team=exam.team, exam=exam, candidate=candidate, state=state, **{**defaults, **kw})


def make_action(delivery: Delivery, *, state: str = ActionState.QUEUED, **kw: Any) -> Action:
    """The action that creates a delivery, with the payload that a worker would send."""
    now = datetime.now(UTC)
    reference: UUID = kw.pop("id", None) or uuid4()
    order = DeliveryOrder(
        reference=reference,
        person=values.of_candidate(delivery.candidate),
        attempt=delivery.attempt,
        options=delivery.options,
    )
    defaults: dict[str, Any] = {
        "verb": Verb.CREATE_DELIVERIES.value,
        "group": uuid4(),
        "payload": {"exam": values.pack(values.of_exam(delivery.exam)), "order": values.pack(order)},
        "due_at": now,
        "created_at": now,
        "changed_at": now,
    }
    return Action.objects.create(
        id=reference,
        team=delivery.team,
        account=delivery.exam.account,
        delivery=delivery,
        state=state,
        **{**defaults, **kw},
    )


def make_call(account: Account, *, actions: Sequence[Action] = (), **kw: Any) -> Call:
    """An answered exchange; `actions` then point at it."""
    now = datetime.now(UTC)
    defaults: dict[str, Any] = {
        "verb": Verb.CREATE_DELIVERIES.value,
        "group": actions[0].group if actions else None,
        "is_effect": True,
        "claimed_at": now,
        "lease_until": now + timedelta(seconds=45),
        "sent_at": now,
        "ended_at": now,
        "outcome": Call.Outcome.ANSWERED,
        "method": "POST",
        "url": f"{account.base_url}/api/deliveries",
        "status": 200,
    }
    call = Call.objects.create(account=account, **{**defaults, **kw})
    Action.objects.filter(pk__in=[action.pk for action in actions]).update(call=call)
    return call


def make_session(exam: Exam, **kw: Any) -> Session:
    defaults: dict[str, Any] = {"ref": str(uuid4()), "name": f"Session {next(_numbers)}"}
    return Session.objects.create(team=exam.team, account=exam.account, exam=exam, **{**defaults, **kw})


def make_entry(delivery: Delivery, *, event: str = "delivery.requested", **kw: Any) -> JournalEntry:
    defaults: dict[str, Any] = {"at": datetime.now(UTC), "target_kind": "delivery", "target": str(delivery.pk)}
    return JournalEntry.objects.create(team=delivery.team, event=event, **{**defaults, **kw})
