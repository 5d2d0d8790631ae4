"""Deliveries: drafted, asked for, created, cancelled."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import UUID, uuid4

from django.db import IntegrityError, transaction
from django.db.models import Count, F, Q, QuerySet
from django.db.models.functions import Now

from proctoring import journal, ledger, planning, policy, sql, values
from proctoring.models import (
    OPEN_STATES,
    Action,
    ActionState,
    Batch,
    Call,
    Candidate,
    CandidateReference,
    Delivery,
    DeliveryState,
    Exam,
    User,
)
from proctoring.models.fields import encrypt
from proctoring.planning import Plan, Row, Standing
from proctoring.vendors import registry
from proctoring.vendors.base import Created, DeliveryOrder, Verb

DRAFTS_LAST = timedelta(days=1)
MAX_REF = 500  # characters of a vendor's id that are kept: a longer one takes no outcome away
BATCH_KINDS = {"deliver": "Delivery", "retake": "Retake"}


class Refused(Exception):
    """Nothing was asked for; the message says why, in a sentence."""


# --- asking -----------------------------------------------------------------------------------------------------------


def draft(plan: Plan, *, exam: Exam, by: User | None, now: datetime, reason: str = "") -> Batch:
    """Keeps a plan for its preview. Nothing is asked for yet; a draft that nobody confirms is swept away."""
    return Batch.objects.create(
        team_id=exam.team_id,
        exam=exam,
        kind="retake" if plan.is_retake else "deliver",
        by=by,
        reason=reason,
        plan=values.pack(plan),
        created_at=now,
    )


def plan_of(batch: Batch) -> Plan:
    """What a draft would ask for. Raises values.Unreadable."""
    return values.unpack(batch.plan, Plan)


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """What a batch keeps of its plan once it is confirmed: who was left out."""

    is_retake: bool
    skipped: tuple[Row, ...]


def skipped_of(batch: Batch) -> tuple[Row, ...]:
    """Who was left out when a batch was confirmed, and why. Raises values.Unreadable."""
    if batch.confirmed_at is None or not batch.plan:
        return ()
    return values.unpack(batch.plan, Skipped).skipped


@transaction.atomic
def request(
    batch: Batch,
    *,
    arranged: Iterable[int] = (),
    interrupted: Iterable[int] = (),
    by: User | None,
    now: datetime,
) -> Batch:
    """Asks for every delivery of a drafted batch that is still possible; a second press changes nothing.

    `arranged` are the keys of the rows whose accommodation a coordinator says is arranged at the vendor by hand,
    `interrupted` those of the people who are to be taken out of the attempt that they are in.
    Raises Refused where nothing at all is possible, and then nothing is saved.
    """
    if not Batch.objects.filter(pk=batch.pk, confirmed_at=None).update(confirmed_at=now, by=by):
        return Batch.objects.get(pk=batch.pk)
    exam = Exam.objects.select_related("account", "team").get(pk=batch.exam_id)
    plan = planning.judge(plan_of(batch), exam, now=now, keeps_attempts=True)
    if plan.refusal:
        raise Refused(plan.refusal)
    ticked, out = set(arranged), set(interrupted)
    rows = [row for row in plan.rows if row.may_go(arranged=ticked, interrupted=out)]
    if not rows:
        raise Refused("None of these candidates can get a delivery now.")
    saved = _save_candidates(exam, rows, by=by, now=now)
    asked = _ask(batch, plan, exam, saved, ticked, by=by, now=now)
    late = {row.key: _CANDIDATE_TAKEN for row in rows} | {row.key: _DELIVERY_TAKEN for row in saved}
    skipped = tuple(_left_out(row, late.get(row.key)) for row in plan.rows if row.key not in asked)
    rest = values.pack(Skipped(is_retake=plan.is_retake, skipped=skipped))
    Batch.objects.filter(pk=batch.pk).update(plan=rest)
    return Batch.objects.get(pk=batch.pk)


_CANDIDATE_TAKEN = (
    "Meanwhile somebody else added or removed a candidate with this e-mail address or external id. Choose them again."
)
_DELIVERY_TAKEN = "This delivery was asked for by somebody else meanwhile."


def _left_out(row: Row, sentence: str | None) -> Row:
    return replace(row, standing=Standing.REFUSED, sentences=(sentence,)) if sentence else row


def _save_candidates(exam: Exam, rows: Sequence[Row], *, by: User | None, now: datetime) -> list[Row]:
    """Adds and updates candidates in key order. Leaves out a row whose address or external id was taken meanwhile."""
    ordered = sorted(rows, key=lambda row: row.person.reference)
    new = [_candidate(exam, row) for row in ordered if not row.is_known]
    Candidate.objects.bulk_create(new, batch_size=planning.CHUNK, ignore_conflicts=True)
    there = _existing(Candidate, [row.person.reference for row in ordered])
    added = [row for row in ordered if not row.is_known and row.person.reference in there]
    to_change = [row for row in ordered if row.is_known and row.changes and row.person.reference in there]
    changed = [row for row in to_change if _change(row)]
    entry = _candidate_entries(exam, by, now)
    journal.record_all(
        [entry("candidate.added", row) for row in added] + [entry("candidate.changed", row) for row in changed]
    )
    unchanged = {row.key for row in to_change} - {row.key for row in changed}
    return [row for row in rows if row.person.reference in there and row.key not in unchanged]


def _existing(model: type[Candidate] | type[Delivery], ids: Iterable[UUID]) -> set[UUID]:
    return {
        pk for part in planning.chunks(ids) for pk in model.objects.filter(pk__in=part).values_list("pk", flat=True)
    }


def _change(row: Row) -> bool:
    """False where another candidate has the new address or external id by now."""
    details = {name: getattr(row.person, name) for name in row.changes}
    try:
        with transaction.atomic():
            return bool(Candidate.objects.filter(pk=row.person.reference).update(**details))
    except IntegrityError:
        return False


def _candidate_entries(exam: Exam, by: User | None, now: datetime) -> Any:
    def entry(event: str, row: Row) -> Any:
        target = Candidate(pk=row.person.reference)
        return journal.entry(event, target, team=exam.team_id, at=now, by=by, fields=sorted(row.changes))

    return entry


def _candidate(exam: Exam, row: Row) -> Candidate:
    details = {name: getattr(row.person, name) for name in (*planning.DETAILS, *planning.ACCOMMODATION)}
    return Candidate(id=row.person.reference, team_id=exam.team_id, **details)


def _ask(
    batch: Batch, plan: Plan, exam: Exam, rows: Sequence[Row], ticked: set[int], *, by: User | None, now: datetime
) -> set[int]:
    """Writes deliveries and their actions in key order; returns the keys of the rows that got one."""
    ordered = sorted(rows, key=lambda row: row.person.reference)
    wanted = {row.key: _delivery(exam, row, plan, _is_arranged(row, ticked), now) for row in ordered}
    # A second press at the same moment: the unique constraint lets one of the two rows in, and the other is skipped.
    sql.execute_many(sql.inserting(Delivery, wanted.values(), or_skip=True))
    made = _existing(Delivery, [delivery.pk for delivery in wanted.values()])
    asked = [row for row in ordered if wanted[row.key].pk in made]
    if not asked:
        raise Refused(
            "All of these were asked for, or changed, by somebody else meanwhile. Choose the candidates again."
        )
    drafts = _drafts(exam, plan, [(row, wanted[row.key]) for row in asked])
    ledger.request(
        drafts,
        account=exam.account,
        verb=Verb.CREATE_DELIVERIES,
        by=by,
        now=now,
        reason=batch.reason,
        batch=batch,
    )
    _record_requests(exam, [(row, wanted[row.key]) for row in asked], drafts, batch, by=by, now=now)
    return {row.key for row in asked}


def _is_arranged(row: Row, ticked: set[int]) -> bool:
    return row.key in ticked and row.person.has_accommodation


def _delivery(exam: Exam, row: Row, plan: Plan, is_arranged: bool, now: datetime) -> Delivery:
    return Delivery(
        team_id=exam.team_id,
        exam=exam,
        candidate_id=row.person.reference,
        attempt=row.attempt,
        options=cast(Any, dict(plan.options)),
        is_arranged_by_hand=is_arranged,
        requested_at=now,
    )


def _drafts(exam: Exam, plan: Plan, pairs: Sequence[tuple[Row, Delivery]]) -> list[ledger.Draft]:
    capability = registry.capability(exam.account.vendor, Verb.CREATE_DELIVERIES)
    many = capability.many if capability else 1
    exam_values = values.of_exam(exam)
    drafts, group = [], uuid4()
    for number, (row, delivery) in enumerate(pairs):
        group = uuid4() if number % many == 0 else group
        reference = uuid4()
        order = planning.order_of(row, plan, is_arranged_by_hand=delivery.is_arranged_by_hand, reference=reference)
        payload = values.pack(values.DeliveryPayload(exam=exam_values, order=order))
        drafts.append(ledger.Draft(id=reference, target=delivery, payload=payload, group=group))
    return drafts


def _record_requests(
    exam: Exam,
    pairs: Sequence[tuple[Row, Delivery]],
    drafts: Sequence[ledger.Draft],
    batch: Batch,
    *,
    by: User | None,
    now: datetime,
) -> None:
    entries = []
    for (_row, delivery), draft_ in zip(pairs, drafts, strict=True):
        common: dict[str, Any] = {"team": exam.team_id, "at": now, "by": by, "action": Action(pk=draft_.id)}
        entries.append(
            journal.entry(
                "delivery.requested",
                delivery,
                **common,
                reason=batch.reason,
                batch=str(batch.pk),
                attempt=delivery.attempt,
            )
        )
        if delivery.is_arranged_by_hand:
            entries.append(journal.entry("delivery.arranged", delivery, **common))
    journal.record_all(entries)


def forget_drafts(*, now: datetime) -> int:
    """Deletes plans that nobody confirmed within a day: they hold people's details. Returns how many."""
    return Batch.objects.filter(confirmed_at=None, created_at__lt=now - DRAFTS_LAST).delete()[0]


# --- what came of it --------------------------------------------------------------------------------------------------


_CREATED = (
    f'UPDATE "{Delivery._meta.db_table}" SET state = %s, ref = %s, person_ref = %s, take_url = %s, proctor_url = %s, '  # noqa: S608
    "note = %s, created_at = %s WHERE id = %s AND state = %s"
)
_REFERENCE = (
    f'INSERT INTO "{CandidateReference._meta.db_table}" (candidate_id, account_id, ref) SELECT candidate_id, %s, %s '  # noqa: S608
    f'FROM "{Delivery._meta.db_table}" WHERE id = %s AND created_at = %s '
    "ON CONFLICT (candidate_id, account_id) DO UPDATE SET ref = excluded.ref"
)


def apply_created(action: Action, created: Created, *, now: datetime) -> None:
    """Writes what the vendor created: its ids and links, and its id for the candidate at this account."""
    sql.execute_many(*writing_created([(action, created, now)]))


def writing_created(all_created: Sequence[tuple[Action, Created, datetime]]) -> list[sql.Statement]:
    """`apply_created` of many, as SQL."""
    deliveries, references = [], []
    for action, created, now in all_created:
        delivery_id, requested = cast(UUID, action.delivery_id), DeliveryState.REQUESTED.value
        links = [encrypt(link) if link else "" for link in (created.take_url, created.proctor_url)]
        ref, person_ref = created.ref[:MAX_REF], created.person_ref[:MAX_REF]
        row = [DeliveryState.CREATED.value, ref, person_ref, *links, created.note, now]
        deliveries.append([*row, delivery_id, requested])
        if person_ref:
            references.append([action.account_id, person_ref, delivery_id, now])
    return [(_CREATED, deliveries), (_REFERENCE, references)]


def apply_reissued(action: Action, created: Created, *, now: datetime) -> None:
    """Writes the vendor's new take link; the candidate's own link stays the same."""
    new = {"take_url": created.take_url, "note": created.note, "is_revoked": False}
    Delivery.objects.filter(pk=cast(UUID, action.delivery_id)).update(**new)


def apply_late_links(action: Action, created: Created, *, began_at: datetime) -> None:
    """What a look-up found of a delivery that was settled meanwhile: its links are newer than those of its creation.

    Where a new link was asked for since the look-up began, nobody knows which of the two is the newer, and the row says so.
    """
    its = Delivery.objects.filter(pk=cast(UUID, action.delivery_id), ref=created.ref, state=DeliveryState.CREATED)
    if not created.take_url:
        return
    asked_since = Action.objects.filter(
        delivery_id=cast(UUID, action.delivery_id), verb=Verb.REISSUE_LINK.value, sent_at__gte=began_at
    )
    if asked_since.exists():
        its.update(note=LINK_IN_DOUBT)
    else:
        links = {"take_url": created.take_url} | ({"proctor_url": created.proctor_url} if created.proctor_url else {})
        its.update(**links, note=created.note)


# --- which of the vendor's deliveries is whose, and which link is the newest --------------------------------------------

LINK_IN_DOUBT = (
    "This link may be dead: the vendor gave no answer to an earlier request for a new link and may have carried it out since. "
    "If it does not open, ask for a new link."
)


def _with_refs_of_others(action: Action) -> QuerySet[Delivery]:
    others = Delivery.objects.filter(exam__account_id=action.account_id).exclude(pk=cast(UUID, action.delivery_id))
    if registry.facts(action.account.vendor).delivery_refs_are_shared:
        others = others.filter(candidate__deliveries=cast(UUID, action.delivery_id))
    return others.exclude(ref="")


def refs_of_others(action: Action) -> list[str]:
    """The vendor's ids that other deliveries of the same exam there have: whatever a look-up reads, they are not this one's."""
    ref = Delivery.objects.values_list("exam__ref", flat=True).get(pk=cast(UUID, action.delivery_id))
    return list(_with_refs_of_others(action).filter(exam__ref=ref).values_list("ref", flat=True))


def why_not_its(action: Action, ref: str) -> str:
    """Why the vendor's delivery `ref` cannot be the one that this action created; "" where it can."""
    other = _with_refs_of_others(action).filter(ref__iexact=ref).first()
    return f"The vendor's delivery {ref} belongs to {other.code} already, attempt {other.attempt}." if other else ""


def doubt_about_links(action: Action) -> str:
    """LINK_IN_DOUBT where the vendor may yet act on an earlier request for this delivery's link; "" where it may not."""
    groups = Action.objects.filter(delivery_id=cast(UUID, action.delivery_id)).values("group")
    asked = Call.objects.effects_without_answer().filter(
        group__in=groups,
        verb__in=[Verb.REISSUE_LINK.value, Verb.FIND_DELIVERIES.value],
        sent_at__gt=Now() - policy.LOOK_AGAIN_AFTER,
    )
    return LINK_IN_DOUBT if asked.exists() else ""


# --- the candidate's link ---------------------------------------------------------------------------------------------


def newest(delivery: Delivery) -> Delivery:
    """The latest attempt for the same exam and candidate: the candidate's link leads there, whichever made it."""
    latest = _attempts(delivery).exclude(state=DeliveryState.CANCELLED).order_by("-attempt")
    found: Delivery | None = latest.select_related("exam__account", "candidate", "team").first()
    return found or delivery


def _attempts(delivery: Delivery) -> QuerySet[Delivery]:
    """All that the candidate's links of this exam may lead to."""
    return Delivery.objects.filter(exam_id=delivery.exam_id, candidate_id=delivery.candidate_id)


def open_link(delivery: Delivery, *, now: datetime) -> str:
    """The candidate pressed: records it and returns the vendor's link, which only their browser may fetch."""
    Delivery.objects.filter(pk=delivery.pk, opened_at=None).update(opened_at=now)
    Delivery.objects.filter(pk=delivery.pk).update(last_opened_at=now, times_opened=F("times_opened") + 1)
    journal.record("delivery.opened", delivery, team=delivery.team_id, at=now)
    link: str = delivery.take_url
    return link


@transaction.atomic
def reissue_candidate_link(delivery: Delivery, *, by: User | None, now: datetime) -> None:
    """Makes a new candidate link; the old ones, those of earlier attempts, too, then say that there is a newer."""
    _attempts(delivery).update(link_version=F("link_version") + 1, is_revoked=False)
    delivery.refresh_from_db()
    journal.record(
        "delivery.link_reissued", delivery, team=delivery.team_id, at=now, by=by, version=delivery.link_version
    )


@transaction.atomic
def revoke_candidate_link(delivery: Delivery, *, by: User | None, reason: str, now: datetime) -> None:
    """Closes the candidate's way in, by the links of every attempt; what the vendor gave stays as it is."""
    _attempts(delivery).update(is_revoked=True)
    delivery.refresh_from_db(fields=["is_revoked"])
    journal.record("delivery.link_revoked", delivery, team=delivery.team_id, at=now, by=by, reason=reason)


@transaction.atomic
def let_back_in(delivery: Delivery, *, by: User | None, reason: str, now: datetime) -> Batch | Action:
    """One press for "it threw me out": a new vendor link where the vendor gives one, else a new attempt on the same link.

    Raises Refused. Returns the action that asks for a new link, or the batch with the new attempt.
    """
    exam = delivery.exam
    capability = registry.capability(exam.account.vendor, Verb.REISSUE_LINK)
    facts = values.facts_of_account(exam.account)
    if delivery.state != DeliveryState.CREATED:
        raise Refused("There is no delivery at the vendor yet, so nobody can have been thrown out.")
    if Action.objects.filter(delivery=delivery, state__in=OPEN_STATES).exists():
        raise Refused("Something is under way with this delivery already. Wait for it, or settle it first.")
    journal.record("delivery.let_back_in", delivery, team=delivery.team_id, at=now, by=by, reason=reason)
    if capability and policy.account_refusal(facts, Verb.REISSUE_LINK, capability.permission) is None:
        return _ask_new_link(delivery, by=by, reason=reason, now=now)
    once = registry.adapter_class(exam.account.vendor).ATTEMPT_OPTIONS  # what a new attempt may not have again
    options = {name: value for name, value in delivery.options.items() if name not in once}
    plan = planning.plan_candidates(exam, [delivery.candidate], now=now, is_retake=True, options=options)
    batch = draft(plan, exam=exam, by=by, now=now, reason=reason)
    arranged = [row.key for row in plan.asks] if delivery.is_arranged_by_hand else []
    interrupted = [row.key for row in plan.in_exam]  # that they are in the exam is why they are let back in
    if plan.refusal or not any(row.may_go(arranged=arranged, interrupted=interrupted) for row in plan.rows):
        raise Refused(plan.refusal or " ".join(sentence for row in plan.rows for sentence in row.sentences))
    return request(batch, arranged=arranged, interrupted=interrupted, by=by, now=now)


def _ask_new_link(delivery: Delivery, *, by: User | None, reason: str, now: datetime) -> Action:
    reference = uuid4()
    order = DeliveryOrder(
        reference=reference,
        person=values.of_candidate(delivery.candidate, ref=delivery.person_ref),
        attempt=delivery.attempt,
        options=delivery.options,
    )
    payload = values.pack(values.LinkPayload(exam=values.of_exam(delivery.exam), order=order, ref=delivery.ref))
    draft_ = ledger.Draft(id=reference, target=delivery, payload=payload)
    (action,) = ledger.request(
        [draft_], account=delivery.exam.account, verb=Verb.REISSUE_LINK, by=by, now=now, reason=reason, priority=1
    )
    return action


# --- a person's decisions ---------------------------------------------------------------------------------------------


@transaction.atomic
def cancel(action: Action, *, by: User | None, reason: str, now: datetime) -> None:
    """Ends an open action, and with it the delivery it was to create. Raises ledger.Conflict."""
    ledger.cancel(action, by=by, reason=reason, now=now)
    if action.verb == Verb.CREATE_DELIVERIES:
        Delivery.objects.filter(pk=cast(UUID, action.delivery_id), state=DeliveryState.REQUESTED).update(
            state=DeliveryState.CANCELLED, cancelled_at=now
        )


@transaction.atomic
def resolve_created(action: Action, created: Created, *, by: User | None, reason: str, now: datetime) -> None:
    """A person says what an action created at the vendor. Raises ledger.Conflict."""
    # Two people could say it of the same one at the same moment.
    Exam.objects.select_for_update(no_key=True).get(deliveries=cast(UUID, action.delivery_id))
    if sentence := why_not_its(action, created.ref):
        raise ledger.Conflict(sentence)
    ledger.resolve_created(action, by=by, reason=reason, now=now)
    apply_created(action, created, now=now)


def cancel_waiting(batch: Batch, *, by: User | None, reason: str, now: datetime) -> int:
    """Cancels what of a batch has not started. Returns how many; what is being sent goes on."""
    cancelled = 0
    for action in Action.objects.filter(batch=batch, state=ActionState.QUEUED).order_by("id"):
        try:
            cancel(action, by=by, reason=reason, now=now)
            cancelled += 1
        except ledger.Conflict:
            continue  # a worker was faster: its outcome shows on the page
    return cancelled


def show_proctor_link(delivery: Delivery, *, by: User | None, now: datetime) -> str:
    """The proctor link, which only a journalled press shows."""
    journal.record("delivery.proctor_link_shown", delivery, team=delivery.team_id, at=now, by=by)
    link: str = delivery.proctor_url
    return link


# --- progress ---------------------------------------------------------------------------------------------------------


def progress(batch: Batch) -> dict[str, int]:
    """How many of a batch's actions are in each state, and `total`, `settled` and `moving` (may still change by itself)."""
    states = dict(Action.objects.filter(batch=batch).values_list("state").annotate(n=Count("pk")).order_by())
    counts = {state.value: states.get(state.value, 0) for state in ActionState}
    looking = Action.objects.filter(batch=batch, state=ActionState.UNKNOWN).filter(~Q(look_due_at=None)).count()
    total = sum(counts.values())
    moving = counts[ActionState.QUEUED] + counts[ActionState.SENDING] + looking
    return {
        **counts,
        "total": total,
        "settled": total - counts[ActionState.QUEUED] - counts[ActionState.SENDING],
        "moving": moving,
    }
