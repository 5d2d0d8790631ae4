"""Who will get a delivery and who will not, and why: worked out before anything happens, and once more when it does."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID, uuid4

from django.db.models import Exists, OuterRef
from django.db.models.functions import Lower

from proctoring import policy, values
from proctoring.models import OPEN_STATES, Action, Candidate, CandidateReference, Delivery, DeliveryState, Exam, Session
from proctoring.rosters import HEADERS, Entry, Problem
from proctoring.vendors import registry
from proctoring.vendors.base import Adapter, DeliveryOrder, HttpRequest, HttpResponse, Objection, Person, Verb

DETAILS = ("first_name", "last_name", "email", "phone", "external_id", "time_zone", "language")
ACCOMMODATION = ("special_needs", "extra_time_percent")
CHUNK = 500
SAME_AS = "The same candidate as line"


class Standing(StrEnum):
    READY = "ready"
    ASKS = "asks"  # ready once "arranged at the vendor by hand" is ticked
    IN_EXAM = "in_exam"  # ready once it is ticked that they are taken out of the attempt that they are in
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One person of a plan. `line` is the roster's, `changes` what the roster says differently of a known candidate.

    Who is in the middle of the exam may need both ticks: then the standing is ASKS.
    """

    key: int
    person: Person
    is_known: bool
    attempt: int = 1
    line: int | None = None
    standing: Standing = Standing.READY
    sentences: tuple[str, ...] = ()
    changes: Mapping[str, str] = field(default_factory=dict)
    previous_ref: str = ""
    is_in_exam: bool = False

    def may_go(self, *, arranged: Collection[int], interrupted: Collection[int]) -> bool:
        """Whether it can be asked for, given the keys that were ticked."""
        if self.standing is Standing.REFUSED or (self.is_in_exam and self.key not in interrupted):
            return False
        return self.standing is not Standing.ASKS or self.key in arranged


# A plan that was drafted before is judged again when it is confirmed, and that finds who is in the exam.
values.UPGRADES[Row] = (lambda data: {"is_in_exam": False, **data},)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the preview shows. `refusal` is why nothing at all can be delivered now; "" where something can."""

    exam_id: UUID
    is_retake: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    rows: tuple[Row, ...] = ()
    refusal: str = ""
    notes: tuple[str, ...] = ()

    def standing(self, standing: Standing) -> list[Row]:
        return [row for row in self.rows if row.standing == standing]

    @property
    def ready(self) -> list[Row]:
        return self.standing(Standing.READY)

    @property
    def asks(self) -> list[Row]:
        return self.standing(Standing.ASKS)

    @property
    def in_exam(self) -> list[Row]:
        """Those who are in the middle of the exam and could have a new attempt."""
        return [row for row in self.rows if row.is_in_exam and row.standing is not Standing.REFUSED]

    @property
    def refused(self) -> list[Row]:
        return self.standing(Standing.REFUSED)


def refusal(exam: Exam, now: datetime) -> str:
    """Why no delivery of this exam can be made now; "" where one can."""
    capability = registry.capability(exam.account.vendor, Verb.CREATE_DELIVERIES)
    if capability is None:
        return registry.facts(exam.account.vendor).why_not(Verb.CREATE_DELIVERIES, "create deliveries")
    account = values.facts_of_account(exam.account)
    return (
        policy.exam_refusal(values.facts_of_exam(exam), now=now, needs_ref=True)
        or ref_refusal(exam)
        or policy.account_refusal(account, Verb.CREATE_DELIVERIES, capability.permission)
        or ""
    )


def ref_refusal(exam: Exam) -> str:
    """Why nothing can be sent for an exam with this reference, which was saved before it was looked at; "" where it can."""
    fault = registry.exam_ref_fault(exam.account.vendor, exam.ref)
    return f"The vendor's reference of this exam is wrong: {fault} Open the exam and correct it." if fault else ""


def option_faults(exam: Exam, plan: Plan) -> list[Objection]:
    """What of the options cannot be meant for this plan: one candidate's for several, an attempt's that was used before."""
    adapter = registry.adapter_class(exam.account.vendor)
    fields = registry.forms(exam.account.vendor).DeliveryForm.base_fields
    people = len({row.person.reference for row in plan.rows})
    faults = []
    for name in fields:
        value = plan.options.get(name)
        if not value or name not in adapter.PERSONAL_OPTIONS:
            continue
        if people > 1:
            words = f"belongs to one candidate, and {people} are chosen. Empty it, or deliver to that candidate alone."
        elif name in adapter.ATTEMPT_OPTIONS and (used := _used_by(exam, value)):
            words = f"was used for {used.candidate} already (attempt {used.attempt} of {used.exam}). Enter a new one."
        else:
            continue
        faults.append(Objection(field=name, message=f"“{fields[name].label}” {words}"))
    return faults


def _used_by(exam: Exam, ref: str) -> Delivery | None:
    """The delivery that the vendor knows by this id already."""
    there = Delivery.objects.filter(exam__account=exam.account_id, ref__iexact=ref)
    return there.select_related("candidate", "exam").defer("take_url", "proctor_url").first()


def plan_candidates(
    exam: Exam, candidates: Iterable[Candidate], *, now: datetime, is_retake: bool = False, options: Mapping[str, Any]
) -> Plan:
    """A plan for candidates that are known already."""
    rows = [
        Row(key=number, person=values.of_candidate(candidate), is_known=True)
        for number, candidate in enumerate(candidates)
    ]
    return judge(Plan(exam_id=exam.pk, is_retake=is_retake, options=options, rows=tuple(rows)), exam, now=now)


def plan_entries(
    exam: Exam, entries: Sequence[Entry], *, now: datetime, is_retake: bool = False, options: Mapping[str, Any]
) -> Plan:
    """A plan for the lines of a roster: matched to known candidates by external id, then by e-mail."""
    known = _Known.of(exam.team_id, entries)
    rows = _distinct(_row_of(number, entry, known) for number, entry in enumerate(entries))
    return judge(Plan(exam_id=exam.pk, is_retake=is_retake, options=options, rows=tuple(rows)), exam, now=now)


@dataclass(frozen=True, slots=True)
class _Known:
    by_email: Mapping[str, Candidate]
    by_external_id: Mapping[str, Candidate]

    @classmethod
    def of(cls, team_id: int, entries: Sequence[Entry]) -> _Known:
        emails = {entry.email.lower() for entry in entries if entry.email}
        ids = {entry.external_id for entry in entries if entry.external_id}
        team = Candidate.objects.filter(team_id=team_id)
        by_email = {c.email.lower(): c for part in chunks(emails) for c in team.with_emails(part)}
        by_id = {c.external_id: c for part in chunks(ids) for c in team.filter(external_id__in=part)}
        return cls(by_email, by_id)


def chunks(items: Iterable[Any]) -> Iterator[list[Any]]:
    whole = sorted(items)
    return (whole[start : start + CHUNK] for start in range(0, len(whole), CHUNK))


def _row_of(number: int, entry: Entry, known: _Known) -> Row:
    by_id = known.by_external_id.get(entry.external_id) if entry.external_id else None
    by_email = known.by_email.get(entry.email.lower()) if entry.email else None
    problems = [_sentence(problem) for problem in entry.problems]
    problems += _conflicts(entry, by_id, by_email)
    candidate = by_id or by_email
    if candidate is None and not problems and not (entry.first_name and entry.last_name):
        problems = ["Nobody here has this address yet. Write first and last name, too."]
    person, changes = _merge(entry, candidate)
    return Row(
        key=number,
        line=entry.line,
        person=person,
        is_known=candidate is not None,
        changes=changes,
        standing=Standing.REFUSED if problems else Standing.READY,
        sentences=tuple(problems),
    )


def _sentence(problem: Problem) -> str:
    label = HEADERS.get(problem.field) or problem.field.replace("_", " ").capitalize()
    return f"{label}: {problem.message}" if label else problem.message


def _conflicts(entry: Entry, by_id: Candidate | None, by_email: Candidate | None) -> list[str]:
    if by_id and by_email and by_id.pk != by_email.pk:
        return [f"The external id belongs to {by_id}, the e-mail address to {by_email}. Correct one of them."]
    if by_email and not by_id and entry.external_id and by_email.external_id:
        return [f"The e-mail address belongs to {by_email}, whose external id is {by_email.external_id}."]
    return []


def _merge(entry: Entry, candidate: Candidate | None) -> tuple[Person, dict[str, str]]:
    """The person as they will be: the roster's words where it gives some, else what is known."""
    given = {
        name: getattr(entry, name) for name in (*DETAILS, *ACCOMMODATION) if candidate is None or name in entry.given
    }
    if candidate is None:
        return Person(reference=uuid4(), **given), {}
    person = replace(values.of_candidate(candidate), **given)
    changes = {
        name: str(value)
        for name, value in given.items()
        if value != getattr(candidate, name) and not (name == "email" and value.lower() == candidate.email.lower())
    }
    return person, changes


def _distinct(rows: Iterable[Row]) -> Iterator[Row]:
    """Two lines that turn out to be one candidate: the second is refused."""
    seen: dict[UUID, int | None] = {}
    for row in rows:
        if row.person.reference in seen and row.standing is Standing.READY:
            sentence = f"{SAME_AS} {seen[row.person.reference]}."
            yield replace(row, standing=Standing.REFUSED, sentences=(sentence,))
            continue
        seen.setdefault(row.person.reference, row.line)
        yield row


# --- judging ----------------------------------------------------------------------------------------------------------


def judge(plan: Plan, exam: Exam, *, now: datetime, keeps_attempts: bool = False) -> Plan:
    """The plan with each row's standing as of now. With `keeps_attempts` a row whose attempt is taken is refused."""
    why_none = refusal(exam, now) or " ".join(item.message for item in option_faults(exam, plan))
    known = [row.person.reference for row in plan.rows if row.is_known]
    attempts, previous = _attempts(exam, known, now)
    refs = _references(exam, known)
    adapter = None if why_none else _unconnected(exam)
    rows = []
    for row in plan.rows:
        facts = attempts.get(row.person.reference, policy.AttemptFacts())
        last = previous.get(row.person.reference)
        ref = (last.person_ref if last and plan.is_retake else "") or refs.get(row.person.reference, "")
        row = replace(row, person=replace(row.person, ref=ref), previous_ref=last.ref if last else "")
        rows.append(_judge_row(row, plan, exam, facts, adapter, keeps_attempts))
    if adapter is not None:
        rows = _told_apart(rows, exam, adapter)
    return replace(plan, rows=tuple(rows), refusal=why_none)


def _judge_row(
    row: Row, plan: Plan, exam: Exam, facts: policy.AttemptFacts, adapter: Adapter | None, keeps_attempts: bool
) -> Row:
    if row.standing is Standing.REFUSED:
        return row
    if (sentence := policy.attempt_refusal(facts, is_retake=plan.is_retake)) is not None:
        return replace(row, standing=Standing.REFUSED, sentences=(sentence,))
    attempt = facts.latest + 1
    if keeps_attempts and attempt != row.attempt:
        sentence = f"Attempt {row.attempt} was made by somebody else meanwhile."
        return replace(row, standing=Standing.REFUSED, sentences=(sentence,))
    is_in_exam = plan.is_retake and facts.is_in_exam
    row = replace(row, attempt=attempt, is_in_exam=is_in_exam)
    if adapter is None:
        return row
    objections = adapter.objections(values.of_exam(exam), order_of(row, plan, is_arranged_by_hand=False))
    refused, asks = policy.split_objections(objections, is_arranged=False)
    if refused:
        return replace(row, standing=Standing.REFUSED, sentences=tuple(refused))
    standing = Standing.ASKS if asks else Standing.IN_EXAM if is_in_exam else Standing.READY
    return replace(row, standing=standing, sentences=(*([policy.IN_EXAM] if is_in_exam else []), *asks))


# --- whom the vendor may take for whom ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Holder:
    """Somebody with an id at the vendor: known there, about to be, or a row of the plan."""

    candidate: UUID
    name: str
    ref: str


Holders = Mapping[str, Sequence[_Holder]]  # by the id in small letters


def _told_apart(rows: Sequence[Row], exam: Exam, adapter: Adapter) -> list[Row]:
    """Refuses whom the vendor may take for somebody else: one of them would stop the whole call, or get another's link."""
    claimants = {
        row.key: _Holder(row.person.reference, f"{row.person.first_name} {row.person.last_name}", ref)
        for row in rows
        if row.standing is not Standing.REFUSED and (ref := adapter.person_id(row.person))
    }
    claims: dict[str, list[_Holder]] = {}
    for claimant in claimants.values():
        claims.setdefault(claimant.ref.lower(), []).append(claimant)
    there = _known_there(exam, claims)
    return [
        _refused_as_another(row, claimants[row.key], claims, there, adapter.FACTS.title)
        if row.key in claimants
        else row
        for row in rows
    ]


def _refused_as_another(row: Row, me: _Holder, claims: Holders, there: Holders, vendor: str) -> Row:
    claimed, known = claims[me.ref.lower()], there.get(me.ref.lower(), ())
    known_ids = {holder.candidate for holder in known}
    if me.candidate in known_ids:  # whose id it is already; of several in one call only the first
        others = [next(holder for holder in claimed if holder.candidate in known_ids)]
        way_out = "Deliver to each of them alone."
    else:
        others = [*claimed, *known]
        way_out = "Correct the external id of one of them."
    other = next((holder for holder in others if holder.candidate != me.candidate), None)
    if other is None:
        return row
    ids = f"“{me.ref}” and “{other.ref}” differ in upper and lower case only" if me.ref != other.ref else f"“{me.ref}”"
    sentence = f"{vendor} may take this candidate for {other.name}, by their ids there: {ids}. {way_out}"
    return replace(row, standing=Standing.REFUSED, sentences=(sentence,))


def _known_there(exam: Exam, ids: Iterable[str]) -> Holders:
    """Who has one of these ids at the exam's account, or will once a delivery that was asked for is made."""
    has_ref = CandidateReference.objects.filter(account=exam.account_id, candidate=OuterRef("candidate"))
    references = CandidateReference.objects.filter(account=exam.account_id).alias(lower=Lower("ref"))
    asked = Delivery.objects.filter(exam__account=exam.account_id, state=DeliveryState.REQUESTED)
    asked = asked.exclude(Exists(has_ref)).alias(lower=Lower("candidate__external_id"))
    found: dict[str, list[_Holder]] = {}
    for part in chunks(ids):
        for rows, ref in ((references, "ref"), (asked, "candidate__external_id")):
            names = ("candidate__first_name", "candidate__last_name")
            for candidate, first, last, text in rows.filter(lower__in=part).values_list("candidate", *names, ref):
                found.setdefault(text.lower(), []).append(_Holder(candidate, f"{first} {last}", text))
    return found


def order_of(row: Row, plan: Plan, *, is_arranged_by_hand: bool, reference: UUID | None = None) -> DeliveryOrder:
    return DeliveryOrder(
        reference=reference or UUID(int=0),
        person=row.person,
        attempt=row.attempt,
        options=plan.options,
        previous_ref=row.previous_ref if plan.is_retake else "",
        is_arranged_by_hand=is_arranged_by_hand,
    )


def _attempts(
    exam: Exam, candidates: Sequence[UUID], now: datetime
) -> tuple[dict[UUID, policy.AttemptFacts], dict[UUID, Delivery]]:
    latest: dict[UUID, Delivery] = {}
    busy: set[UUID] = set()
    for part in chunks(candidates):
        deliveries = Delivery.objects.filter(exam=exam, candidate__in=part).exclude(state=DeliveryState.CANCELLED)
        deliveries = deliveries.select_related("session", "candidate").order_by("attempt")
        for delivery in deliveries.defer("take_url", "proctor_url", "session__content"):
            latest[delivery.candidate_id] = delivery
        open_actions = Action.objects.filter(delivery__exam=exam, delivery__candidate__in=part, state__in=OPEN_STATES)
        busy.update(open_actions.values_list("delivery__candidate", flat=True))
    facts = {
        candidate: policy.AttemptFacts(
            latest=delivery.attempt,
            latest_is_created=delivery.state == DeliveryState.CREATED,
            has_open_action=candidate in busy,
            is_in_exam=_is_in_exam(exam, delivery, now),
        )
        for candidate, delivery in latest.items()
    }
    return facts, latest


def _is_in_exam(exam: Exam, delivery: Delivery, now: datetime) -> bool:
    session: Session | None = getattr(delivery, "session", None)
    percent = 100 + delivery.candidate.extra_time_percent
    lasts = timedelta(minutes=exam.duration_minutes) * percent / 100 if exam.duration_minutes else None
    return policy.is_in_exam(session.state if session else "", opened_at=delivery.opened_at, lasts=lasts, now=now)


def _references(exam: Exam, candidates: Sequence[UUID]) -> dict[UUID, str]:
    rows = CandidateReference.objects.filter(account_id=exam.account_id)
    return {
        candidate: ref
        for part in chunks(candidates)
        for candidate, ref in rows.filter(candidate__in=part).values_list("candidate", "ref")
    }


def _unconnected(exam: Exam) -> Adapter:
    """The exam's adapter for questions that need no vendor."""
    account = values.of_account(exam.account)
    return registry.adapter(exam.account.vendor, account, no_transport, clock=lambda: datetime.now(UTC))


def no_transport(request: HttpRequest, *, is_effect: bool) -> HttpResponse:
    raise AssertionError("A plan asks no vendor.")
