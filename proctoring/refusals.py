"""Which fields a refusal is about, in the words of the form where each is put right."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlencode
from uuid import UUID

from django.urls import reverse
from django.utils.text import capfirst

from proctoring.models import Action, ActionState, Attention, Candidate, Delivery, Exam
from proctoring.vendors import registry
from proctoring.vendors.base import Objection, Verb
from proctoring.vendors.formfields import VendorForm

EXAM_FIELDS = ("title", "ref", "time_zone", "starts_at", "ends_at", "duration_minutes", "instructions")
CANDIDATE_FIELDS = (
    *("first_name", "last_name", "email", "phone", "external_id", "language", "time_zone"),
    *("special_needs", "extra_time_percent"),
)
PART = "settings"  # the vendor's part of an exam's form, and what its fields are named after
STILL_REFUSED = (ActionState.NEEDS_ATTENTION, ActionState.CANCELLED)


class Place(StrEnum):
    """Where a field is put right."""

    EXAM = "exam"
    CANDIDATE = "candidate"
    DELIVERY = "delivery"  # what is asked when an exam is delivered
    NOWHERE = ""  # no form knows it


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """One field that a refusal names. `label` is the form's word for it, or the vendor's own where no form knows it."""

    name: str
    words: str
    label: str
    place: Place = Place.NOWHERE
    field: str = ""  # as the page calls it
    url: str = ""

    @property
    def where(self) -> str:
        return {Place.CANDIDATE: "of the candidate", Place.DELIVERY: "of the delivery"}.get(self.place, "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """What the vendor refused of an exam, until it is sent again."""

    action: Action
    named: Sequence[Named]


def of_exam(exam: Exam) -> Refusal | None:
    """The fields that the vendor named when it refused the exam last; None once it was sent again, or where it named none."""
    verbs = (Verb.CREATE_EXAM, Verb.UPDATE_EXAM)
    rows = Action.objects.filter(exam=exam, verb__in=verbs).defer("payload", "kept", "choices")
    action = rows.order_by("-created_at", "id").first()
    if action is None or action.state not in STILL_REFUSED:
        return None
    action.exam = exam  # with what the caller has read of it already
    named = of_action(action)
    return Refusal(action=action, named=named) if named else None


def of_action(action: Action) -> list[Named]:
    """The fields that a refused action is about; none for any other."""
    fields = action.result.get("fields") if action.attention == Attention.REFUSED else None
    if not isinstance(fields, dict):
        return []
    return [_of(action, str(name), str(words)) for name, words in fields.items()]


def _of(action: Action, name: str, words: str) -> Named:
    exam = action.delivery.exam if action.delivery else action.exam
    if exam is None:
        return Named(name=name, words=words, label=name)
    exam.account = action.account  # the same one, read already
    return _of_delivery(action.delivery, name, words) if action.delivery else _of_exam(exam, name, words)


def of_objections(exam: Exam, objections: Sequence[Objection]) -> list[Named]:
    """The same for what stands against sending an exam at all."""
    return [_of_exam(exam, objection.field, objection.message) for objection in objections]


def _of_exam(exam: Exam, name: str, words: str) -> Named:
    return _in_exam(exam, name, words) or Named(name=name, words=words, label=name)


def _of_delivery(delivery: Delivery, name: str, words: str) -> Named:
    exam = delivery.exam
    found = _in_delivery(exam, name, words) or _in_candidate(exam, delivery.candidate_id, name, words)
    return found or _of_exam(exam, name, words)


def _in_delivery(exam: Exam, name: str, words: str) -> Named | None:
    form = registry.forms(exam.account.vendor).DeliveryForm()
    field = _field_of(form, name)
    if not field:
        return None
    url = f"{reverse('deliver')}?{urlencode({'exam': exam.pk})}"
    return Named(name=name, words=words, label=_label(form, field), place=Place.DELIVERY, field=field, url=url)


def _in_candidate(exam: Exam, candidate: UUID, name: str, words: str) -> Named | None:
    names = registry.forms(exam.account.vendor).DeliveryForm.own_names(exam.settings)
    field = _own_field(names, CANDIDATE_FIELDS, name)
    if not field:
        return None
    url = f"{reverse('admin:proctoring_candidate_change', args=[candidate])}#id_{field}"
    label = _own_label(Candidate, field)
    return Named(name=name, words=words, label=label, place=Place.CANDIDATE, field=field, url=url)


def _in_exam(exam: Exam, name: str, words: str) -> Named | None:
    form_class = registry.forms(exam.account.vendor).ExamForm
    form = form_class(initial=form_class.initial_from(exam.settings))
    theirs = _field_of(form, name)
    field = f"{PART}-{theirs}" if theirs else _own_field(form.own_names(exam.settings), EXAM_FIELDS, name)
    if not field:
        return None
    label = _label(form, theirs) if theirs else _own_label(Exam, field)
    url = f"{reverse('admin:proctoring_exam_change', args=[exam.pk])}#id_{field}"
    return Named(name=name, words=words, label=label, place=Place.EXAM, field=field, url=url)


def _field_of(form: VendorForm, name: str) -> str:
    """The visible field of a vendor's form that the name means; "" where none is."""
    fields = (form.field_for(part) for part in _readings(name))
    return next((field for field in fields if field in form.fields and not form.fields[field].widget.is_hidden), "")


def _own_field(names: Mapping[str, str], fields: Sequence[str], name: str) -> str:
    known = {theirs.casefold(): ours for theirs, ours in names.items()}
    found = (known.get(part.casefold(), part) for part in _readings(name))
    return next((field for field in found if field in fields), "")


def _readings(name: str) -> Iterator[str]:
    """The name as it came, then without positions and ever shorter from its end, then its last part.

    `Candidates[0].Email`, `configuration.instructorAsProctor[1].startTime` and `exam[restrictions]` are all in use.
    """
    yield name
    parts = [part for part in re.split(r"[.\[\]/$'\"]+", name) if part and not part.isdecimal()]
    yield from (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    yield from parts[-1:]


def _label(form: VendorForm, field: str) -> str:
    return str(form[field].label)


def _own_label(model: type[Exam] | type[Candidate], field: str) -> str:
    return capfirst(str(model._meta.get_field(field).verbose_name))  # type: ignore[union-attr]


def notes_by_field(refusal: Refusal | None) -> dict[str, str]:
    """The vendor's words by the field of the exam's form that they are about."""
    notes: dict[str, str] = {}
    for item in refusal.named if refusal else ():
        if item.place is Place.EXAM:
            notes[item.field] = f"{notes[item.field]}; {item.words}" if item.field in notes else item.words
    return notes
