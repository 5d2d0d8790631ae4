"""What vendors say of sessions: taken in, matched, never undone by something older."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction

from proctoring import journal
from proctoring.models import Account, Candidate, CandidateReference, Delivery, Exam, JournalEntry, Session
from proctoring.vendors.base import SessionSnapshot, SessionState

MATCHED = ("exam_id", "candidate_id")
OBSERVED = (
    "state",
    "vendor_state",
    "name",
    "person_ref",
    "person_hint",
    "config_ref",
    "score",
    "score_min",
    "score_max",
    "has_responses",
    "content",
    "asked_at",
)
MAX_REF = 500  # characters of a vendor's id that are kept


@transaction.atomic
def observe(
    account: Account, snapshots: Iterable[SessionSnapshot], *, asked_at: datetime, now: datetime
) -> list[Session]:
    """Stores what the vendor said when it was asked at `asked_at`; returns the sessions, changed or not.

    An observation counts if it was asked later than the last one applied and after the last effect on that session ended.
    """
    heard = {snapshot.ref[:MAX_REF]: snapshot for snapshot in snapshots if snapshot.ref}
    known = {s.ref: s for s in Session.objects.select_for_update().filter(account=account, ref__in=sorted(heard))}
    match = _Match.of(account, heard.values(), known)
    allowed = _known_of_retakes(account, [heard[ref] for ref in heard if ref not in known])
    new, changed, entries = [], [], []
    for ref in sorted(heard):
        session = known.get(ref)
        if session is None:
            allows_retakes = allowed.get(heard[ref].config_ref)
            session = Session(team_id=account.team_id, account=account, ref=ref, allows_retakes=allows_retakes)
            new.append(session)
        elif not _counts(session, asked_at):
            continue
        else:
            changed.append(session)
        before = session.vendor_state or session.state
        _write(session, heard[ref], match, asked_at)
        if session in changed and before != (session.vendor_state or session.state):
            entries.append(_entry(session, before, now))
    Session.objects.bulk_create(new, batch_size=200, ignore_conflicts=True)
    _update(changed)
    journal.record_all(entries)
    return [*known.values(), *new]


def _known_of_retakes(account: Account, strangers: Sequence[SessionSnapshot]) -> dict[str, bool | None]:
    """What other sessions of the same configurations have heard already."""
    refs = {item.config_ref for item in strangers if item.config_ref}
    if not refs:
        return {}
    heard = Session.objects.filter(account=account, config_ref__in=refs).exclude(allows_retakes=None).order_by()
    return dict(heard.values_list("config_ref", "allows_retakes").distinct())


def _update(changed: Sequence[Session]) -> None:
    fields = [*OBSERVED, "exam", "candidate"]
    if len(changed) == 1:  # after every effect; a statement made for many takes several times as long
        changed[0].save(update_fields=fields)
    else:
        Session.objects.bulk_update(changed, fields, batch_size=200)


def _entry(session: Session, before: str, now: datetime) -> JournalEntry:
    """On the delivery's timeline where the session has one, else on the session's own."""
    after = session.vendor_state or session.state
    target: Delivery | Session = Delivery(pk=session.delivery_id) if session.delivery_id else session
    return journal.entry("session.changed", target, team=session.team_id, at=now, was=before, became=after)


def _counts(session: Session, asked_at: datetime) -> bool:
    is_newer = session.asked_at is None or asked_at > session.asked_at
    return is_newer and (session.effect_ended_at is None or asked_at > session.effect_ended_at)


def _write(session: Session, snapshot: SessionSnapshot, match: _Match, asked_at: datetime) -> None:
    session.name = snapshot.name[:500] or session.name
    session.person_ref = snapshot.person_ref[:500] or session.person_ref
    session.person_hint = snapshot.person_hint[:500] or session.person_hint
    session.config_ref = snapshot.config_ref[:500] or session.config_ref
    is_same = (session.vendor_state, session.score) == (snapshot.vendor_state, snapshot.score)
    session.score, session.score_min, session.score_max = snapshot.score, snapshot.score_min, snapshot.score_max
    if snapshot.has_responses is not None or not is_same:  # a list that leaves answers out takes no knowledge away
        session.has_responses = snapshot.has_responses
    session.state, session.vendor_state = snapshot.state.value, snapshot.vendor_state[:250]
    session.content = _content(session.content, snapshot)
    session.asked_at = asked_at
    if session.exam_id is None:
        session.exam_id = match.exam(snapshot)
    if session.candidate_id is None:
        session.candidate_id = match.candidate(snapshot)


def _content(before: Mapping[str, Any], snapshot: SessionSnapshot) -> dict[str, Any]:
    """What was included this time replaces; what was not asked for stays as it was last seen."""
    parts = {"responses": snapshot.responses, "results": snapshot.results, "raw": snapshot.raw}
    return {**before, **{name: part for name, part in parts.items() if part is not None}}


@dataclass(frozen=True, slots=True)
class _Match:
    """Who and what a session belongs to: by the vendor's student id, then by an e-mail address. Never guessed.

    Nothing is asked of the database for sessions that are matched already.
    """

    exams: Sequence[Exam]
    by_reference: Mapping[str, UUID]
    by_external_id: Mapping[str, UUID]
    by_email: Mapping[str, UUID]

    @classmethod
    def of(
        cls, account: Account, snapshots: Iterable[SessionSnapshot], known: Mapping[str, Session] | None = None
    ) -> _Match:
        sessions = [(item, (known or {}).get(item.ref)) for item in snapshots]
        strangers = [item for item, session in sessions if session is None or session.candidate_id is None]
        needs_exam = any(session is None or session.exam_id is None for _, session in sessions)
        refs = sorted({item.person_ref for item in strangers if item.person_ref})
        hints = sorted({item.person_hint.lower() for item in strangers if item.person_hint})
        team = Candidate.objects.filter(team_id=account.team_id)
        return cls(
            exams=list(Exam.objects.filter(account=account, is_archived=False)) if needs_exam else [],
            by_reference=_by_reference(account, refs) if refs else {},
            by_external_id=dict(team.filter(external_id__in=refs).values_list("external_id", "pk")) if refs else {},
            by_email={c.email.lower(): c.pk for c in team.with_emails(hints)} if hints else {},
        )

    def candidate(self, snapshot: SessionSnapshot) -> UUID | None:
        ref, hint = snapshot.person_ref, snapshot.person_hint.lower()
        return self.by_reference.get(ref) or self.by_external_id.get(ref) or self.by_email.get(hint)

    def exam(self, snapshot: SessionSnapshot) -> UUID | None:
        found = [exam.pk for exam in self.exams if _belongs(exam, snapshot)]
        return found[0] if len(found) == 1 else None


def _by_reference(account: Account, refs: Sequence[str]) -> dict[str, UUID]:
    return dict(CandidateReference.objects.filter(account=account, ref__in=refs).values_list("ref", "candidate"))


def candidate_of(account: Account, snapshot: SessionSnapshot) -> UUID | None:
    """Who a single snapshot belongs to; None where nothing says."""
    return _Match.of(account, [snapshot]).candidate(snapshot)


def _belongs(exam: Exam, snapshot: SessionSnapshot) -> bool:
    if snapshot.config_ref:
        return snapshot.config_ref in (exam.settings.get("config_refs") or [])
    return bool(exam.ref) and exam.ref.partition("/")[0] == snapshot.exam_ref.partition("/")[0]


def snapshot_of(session: Session) -> SessionSnapshot:
    """What the console shows of a session, as an adapter compares it with what is there now."""
    return SessionSnapshot(
        ref=session.ref,
        state=SessionState(session.state),
        vendor_state=session.vendor_state,
        score=session.score,
        score_min=session.score_min,
        score_max=session.score_max,
        has_responses=session.has_responses,
        responses=session.content.get("responses"),
    )
