"""Exams: added and changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, cast
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models.functions import Now

from proctoring import journal, ledger, planning, policy, values
from proctoring.models import OPEN_STATES, Action, Call, Exam, User
from proctoring.vendors import registry
from proctoring.vendors.base import ExamResult, ExamValues, FieldCheck, HttpRequest, Objection, Verb
from proctoring.vendors.errors import VendorError
from proctoring.vendors.formfields import SecretInput


@transaction.atomic
def save(exam: Exam, *, vendor_settings: Mapping[str, Any], by: User | None, now: datetime) -> Exam:
    """Saves a new or changed exam with the cleaned values of its vendor's form. Raises ValidationError by field."""
    if exam.account.team_id != exam.team_id:
        raise ValidationError({"account": "This account belongs to another team."})
    is_new = exam._state.adding
    saved_ref = Exam.objects.filter(pk=exam.pk).values_list("ref", flat=True).first()
    if exam.ref != saved_ref and (fault := registry.exam_ref_fault(exam.account.vendor, exam.ref)):
        raise ValidationError({"ref": fault})
    exam.settings = dict(vendor_settings)
    exam.full_clean()
    exam.save()
    journal.record("exam.added" if is_new else "exam.changed", exam, team=exam.team_id, at=now, by=by)
    return exam


MAILED = {"title": "Title", "instructions": "Instructions for candidates"}


def warnings(exam: Exam) -> list[str]:
    """What to mind in an exam as it is written: a reference that was wrong before, and a code in what goes into every
    candidate's mail, which is named and never shown."""
    fields = registry.forms(exam.account.vendor).ExamForm.base_fields
    secrets = {
        str(field.label): str(exam.settings[name])
        for name, field in fields.items()
        if isinstance(field.widget, SecretInput) and len(str(exam.settings.get(name) or "")) > 3
    }
    found = [why_not] if (why_not := ref_refusal(exam)) else []
    for name, label in MAILED.items():
        text = getattr(exam, name)
        own = [title for title, secret in secrets.items() if secret in text]
        word = policy.code_in(text)
        if own:
            found.append(f"The field “{label}” holds this exam's own “{own[0]}”. {_MAILED}")
        elif word:
            found.append(f"The field “{label}” seems to give away a code, after the word “{word}”. {_MAILED}")
    return found


_MAILED = "It goes into every candidate's mail as it stands: take it out, if only the invigilator should have it."


class Refused(Exception):
    """Nothing was asked for; the message says why, in a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What sending an exam would send. `why_not` is the sentence where it cannot be sent; secrets are left out.

    `objections` name the fields at fault where it is the exam's own values that cannot be sent; `notes` are to be read
    before it is sent.
    """

    verb: Verb | None
    request: HttpRequest | None = None
    why_not: str = ""
    objections: tuple[Objection, ...] = ()
    notes: tuple[str, ...] = ()


def verb_of(exam: Exam) -> Verb | None:
    """How this exam is brought to its vendor: created, updated, or not at all."""
    offered = registry.facts(exam.account.vendor).capabilities
    if Verb.CREATE_EXAM in offered and not exam.ref:
        return Verb.CREATE_EXAM
    return Verb.UPDATE_EXAM if Verb.UPDATE_EXAM in offered else None


def ref_refusal(exam: Exam) -> str:
    """Why the exam's reference cannot be one; "" where it can, or where the vendor itself gave it or took it."""
    return "" if exam.sent_at else planning.ref_refusal(exam)


def preview(exam: Exam, *, now: datetime) -> Preview:
    """What would be sent, and why it cannot be. Asks no vendor."""
    verb = verb_of(exam)
    why_not = _refusal(exam, verb)
    if verb is None:
        return Preview(verb=None, why_not=why_not)
    account = values.of_account(exam.account)
    adapter = registry.adapter(exam.account.vendor, account, planning.no_transport, clock=lambda: now)
    wanted = values_to_send(exam)
    objections, notes = adapter.exam_objections(wanted), adapter.exam_notes(wanted)
    why_not = why_not or " ".join(objection.message for objection in objections)
    request = None
    try:
        request = adapter.exam_request(wanted)
    except VendorError as error:
        why_not = why_not or error.message
    return Preview(verb=verb, request=request, why_not=why_not, objections=objections, notes=notes)


def _refusal(exam: Exam, verb: Verb | None) -> str:
    facts = registry.facts(exam.account.vendor)
    if verb is None:
        created = Verb.CREATE_EXAM in facts.capabilities and exam.ref
        if created:
            return facts.why_not(Verb.UPDATE_EXAM, "change an exam that exists")
        return facts.why_not(Verb.UPDATE_EXAM if exam.ref else Verb.CREATE_EXAM, "send an exam")
    if verb is Verb.UPDATE_EXAM and not exam.ref:
        return "Enter the vendor's reference first: only an exam that exists there can be updated."
    if exam.is_archived:
        return "The exam is archived."
    if why_not := ref_refusal(exam):
        return why_not
    if Action.objects.filter(exam=exam, state__in=OPEN_STATES).exists():
        return "It is being sent already, or waits for a person."
    account = values.facts_of_account(exam.account)
    return policy.account_refusal(account, verb, facts.capabilities[verb].permission) or ""


def values_to_send(exam: Exam) -> ExamValues:
    """The exam as its adapter gets it, with what the vendor last confirmed."""
    plain = values.of_exam(exam)
    if Verb.UPDATE_EXAM not in registry.facts(exam.account.vendor).capabilities:
        return plain
    return replace(plain, settings={**plain.settings, "last_confirmed": exam.confirmed})


@transaction.atomic
def send(exam: Exam, *, by: User | None, reason: str = "", now: datetime) -> Action:
    """Asks for the exam to be created or updated at its vendor. Raises Refused."""
    Exam.objects.select_for_update().get(pk=exam.pk)
    shown = preview(exam, now=now)
    if shown.why_not or shown.verb is None:
        raise Refused(shown.why_not)
    payload = values.pack(values.ExamPayload(exam=values_to_send(exam)))
    draft = ledger.Draft(target=exam, payload=payload)
    (action,) = ledger.request([draft], account=exam.account, verb=shown.verb, by=by, now=now, reason=reason)
    journal.record(
        "exam.sent", exam, team=exam.team_id, at=now, by=by, action=action, reason=reason, verb=shown.verb.value
    )
    return action


UPDATE_IN_DOUBT = (
    "An earlier update got no answer, and the vendor may yet carry it out over this one. "
    "Send the exam again in some minutes."
)


def doubt_about_update(action: Action) -> str:
    """UPDATE_IN_DOUBT where the vendor may yet act on an update with other values; "" where it may not."""
    others = Action.objects.filter(exam_id=cast(UUID, action.exam_id)).exclude(pk=action.pk).values("group")
    sent = Call.objects.effects_without_answer().filter(
        group__in=others, verb=Verb.UPDATE_EXAM.value, sent_at__gt=Now() - policy.LOOK_AGAIN_AFTER
    )
    return UPDATE_IN_DOUBT if sent.exists() else ""


def why_not_its(action: Action, ref: str) -> str:
    """Why the vendor's exam `ref` cannot be the one that this action created; "" where it can."""
    other = Exam.objects.filter(account_id=action.account_id, ref=ref).exclude(pk=cast(UUID, action.exam_id)).first()
    return f"The vendor's exam {ref} belongs to “{other.title}” already." if other and ref else ""


def checks_of(action: Action) -> list[FieldCheck]:
    """What the vendor's reply said of each field that was sent. Raises values.Unreadable."""
    return [values.unpack(check, FieldCheck) for check in action.result.get("checks", [])]


def apply_sent(action: Action, result: ExamResult, *, now: datetime) -> None:
    """Writes the vendor's reference and what it confirmed."""
    exam = Exam.objects.select_for_update().get(pk=action.exam_id)
    exam.ref = result.ref[:250] or exam.ref
    exam.confirmed = {**exam.confirmed, **result.confirmed}
    exam.sent_at = now
    exam.save(update_fields=["ref", "confirmed", "sent_at"])
