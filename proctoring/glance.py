"""How far a delivery is, at a glance: invited, opened, started, complete, each in words. One query for many deliveries."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID
from zlib import crc32

from proctoring.models import SESSION_STATES, ActionState, Delivery, DeliveryState, Invitation, Session
from proctoring.vendors import registry
from proctoring.vendors.base import SessionState

SESSION_WORDS = dict(SESSION_STATES)
BEGUN = frozenset(
    {
        SessionState.IN_PROGRESS.value,
        SessionState.PAUSED.value,
        SessionState.SUSPENDED.value,
        SessionState.SUBMITTED.value,
        SessionState.COMPLETE.value,
    }
)


class Standing(StrEnum):
    YES = "yes"
    NO = "no"
    MOVING = "moving"
    STUCK = "stuck"
    SILENT = "silent"  # the vendor does not say


ICONS = {
    Standing.YES: "check_circle",
    Standing.NO: "radio_button_unchecked",
    Standing.MOVING: "schedule",
    Standing.STUCK: "error",
    Standing.SILENT: "visibility_off",
}


@dataclass(frozen=True, slots=True)
class Mark:
    """One stage: `text` says whether it was reached, `at` when, `more` anything else."""

    standing: Standing
    text: str
    at: datetime | None = None
    more: str = ""

    @property
    def icon(self) -> str:
        return ICONS[self.standing]


@dataclass(frozen=True, slots=True)
class Mailed:
    """The latest message to the candidate about a delivery, and when one was last taken by the mail server."""

    state: str
    sent_at: datetime | None


def mailed(deliveries: Iterable[UUID]) -> dict[UUID, Mailed]:
    """What became of the invitations of these deliveries; those that have none are left out."""
    rows = Invitation.objects.filter(delivery__in=list(deliveries), is_rehearsal=False)
    rows = rows.exclude(actions__state=ActionState.CANCELLED).order_by("created_at", "id")
    found: dict[UUID, Mailed] = {}
    for delivery, state, sent_at in rows.values_list("delivery", "actions__state", "sent_at"):
        before = found.get(delivery)
        found[delivery] = Mailed(state or ActionState.CANCELLED, sent_at or (before.sent_at if before else None))
    return found


def marks(delivery: Delivery, mail: Mailed | None) -> list[Mark]:
    """The stages of a delivery that comes with its session and its exam's account."""
    if delivery.state == DeliveryState.CANCELLED:
        return [Mark(Standing.NO, "Cancelled", delivery.cancelled_at)]
    return [invited(mail), opened(delivery), *sat(delivery)]


def invited(mail: Mailed | None) -> Mark:
    if mail is None:
        return Mark(Standing.NO, "Not invited")
    earlier = "An earlier one was sent." if mail.sent_at else ""
    if mail.state in (ActionState.QUEUED, ActionState.SENDING):
        return Mark(Standing.MOVING, "Invitation on its way", more=earlier)
    if mail.state == ActionState.UNKNOWN:
        return Mark(Standing.STUCK, "Invitation may have gone", more=earlier)
    if mail.state == ActionState.NEEDS_ATTENTION:
        return Mark(Standing.STUCK, "Invitation not sent", more=earlier)
    return Mark(Standing.YES, "Invited", mail.sent_at)


def opened(delivery: Delivery) -> Mark:
    if delivery.is_revoked:
        return Mark(
            Standing.STUCK, "Candidate link revoked", delivery.opened_at, "Opened before." if delivery.opened_at else ""
        )
    if delivery.opened_at is None:
        return Mark(Standing.NO, "Not opened")
    more = f"{delivery.times_opened} times" if delivery.times_opened > 1 else ""
    return Mark(Standing.YES, "Opened", delivery.opened_at, more)


def session_of(delivery: Delivery) -> Session | None:
    """The delivery's session, which not every delivery has yet."""
    return getattr(delivery, "session", None)


def sat(delivery: Delivery) -> list[Mark]:
    """Whether it was started and finished, as far as the vendor says."""
    session = session_of(delivery)
    if why_not := registry.facts(delivery.exam.account.vendor).why_no_state:
        return [Mark(Standing.SILENT, f"Start and end: {why_not}")]
    if session is None or session.state == SessionState.NOT_REPORTED:
        words = "Nothing said yet" if session and session.asked_at else "Not read yet"
        return [Mark(Standing.SILENT, f"Start and end: {words.lower()}")]
    if session.state == SessionState.UNKNOWN:
        return [Mark(Standing.SILENT, f"The vendor says “{session.vendor_state}”", session.asked_at)]
    return [_started(session), _complete(session)]


def _started(session: Session) -> Mark:
    return Mark(Standing.YES, "Started") if session.state in BEGUN else Mark(Standing.NO, "Not started")


def _complete(session: Session) -> Mark:
    if session.state == SessionState.COMPLETE:
        return Mark(Standing.YES, "Complete", more="" if session.score is None else f"Score {session.score:g}")
    if session.state in (SessionState.SUBMITTED, SessionState.PAUSED, SessionState.SUSPENDED):
        standing = Standing.MOVING if session.state == SessionState.SUBMITTED else Standing.STUCK
        return Mark(standing, SESSION_WORDS[session.state])
    return Mark(Standing.NO, "Not complete")


def version(stages: Sequence[Mark]) -> str:
    """The same for the same stages, and short."""
    return f"{crc32(repr(stages).encode()):x}"
