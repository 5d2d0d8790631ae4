"""Sessions: read, reset, reopened, retaken, and their responses set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import UUID, uuid4

from django.db import IntegrityError, transaction
from django.db.models import Max, Q

from proctoring import journal, ledger, observing, policy, values
from proctoring.models import (
    OPEN_STATES,
    Account,
    Action,
    Batch,
    Delivery,
    DeliveryState,
    Exam,
    Reading,
    Session,
    User,
)
from proctoring.planning import Standing
from proctoring.vendors import registry
from proctoring.vendors.base import (
    Adapter,
    Clock,
    Response,
    SessionOrder,
    SessionQuery,
    SessionResult,
    SessionSnapshot,
    SessionState,
    Verb,
)
from proctoring.vendors.errors import Misconfigured, Rejected, Scope

VERBS = (Verb.RESET, Verb.REOPEN, Verb.RETAKE, Verb.SUBMIT_RESPONSES)
CATEGORIES = {
    "technical": "Technical trouble",
    "candidate": "The candidate asked",
    "irregularity": "Irregularity",
    "mistake": "A mistake of ours",
    "other": "Something else",
}
RIGHT_AFTER = timedelta(microseconds=1)
STRANGERS_AT_ONCE = 200
MOST_AT_ONCE = 2000  # sessions of one batch: each takes its vendor three exchanges
EVERYTHING = ("results", "responses")
CONFIGS_AT_ONCE = 200
CONFIGS_EVERY_SECONDS = 3600  # what an exam allows seldom changes; whoever reads a session again has it asked at once


class Refused(Exception):
    """Nothing was asked for; the message says why, in a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One session of a plan: whether it can be done, why not, what to mind, and what the preview showed of it."""

    session_id: UUID
    name: str
    standing: Standing = Standing.READY
    sentences: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    loses: str = ""
    expected: SessionSnapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the preview of a reset, reopen, retake or submission shows."""

    verb: Verb
    rows: tuple[Row, ...] = ()
    responses: tuple[Response, ...] = ()
    submit_for_scoring: bool = False

    @property
    def ready(self) -> list[Row]:
        return [row for row in self.rows if row.standing is Standing.READY]

    @property
    def in_exam(self) -> list[Row]:
        """Those who are in the middle of their exam: they are left out unless it is said that they are meant, too."""
        return [row for row in self.rows if row.standing is Standing.IN_EXAM]

    @property
    def refused(self) -> list[Row]:
        return [row for row in self.rows if row.standing is Standing.REFUSED]


# --- asking -----------------------------------------------------------------------------------------------------------


def objection(chosen: Sequence[Session]) -> str:
    """Why these sessions cannot share one preview; "" where they can."""
    if not chosen:
        return "None of these sessions is there, or yours to do this with."
    if len(chosen) > MOST_AT_ONCE:
        return f"That is more than {MOST_AT_ONCE} sessions. Narrow the filters, and do them in parts."
    if len({session.team_id for session in chosen}) > 1:
        return "These sessions belong to different teams. Do them one team at a time."
    return ""


def plan(sessions: Sequence[Session], verb: Verb) -> Plan:
    """Which of these sessions can be reset, reopened or retaken and which cannot, and why. Nothing is asked of a vendor."""
    busy = _busy(sessions)
    accounts = {a.pk: a for a in Account.objects.filter(pk__in={session.account_id for session in sessions})}
    exams = {e.pk: e for e in Exam.objects.filter(pk__in={s.exam_id for s in sessions if s.exam_id})}
    rows = [_row(s, verb, accounts[s.account_id], exams.get(s.exam_id), s.pk in busy) for s in sessions]
    return Plan(verb=verb, rows=tuple(rows))


def _busy(sessions: Sequence[Session]) -> set[UUID]:
    found = Action.objects.filter(session__in=[session.pk for session in sessions], state__in=OPEN_STATES)
    return set(found.values_list("session_id", flat=True))


def _row(session: Session, verb: Verb, account: Account, exam: Exam | None, is_busy: bool) -> Row:
    facts = policy.SessionFacts(
        state=session.state,
        has_responses=session.has_responses,
        score=session.score,
        has_open_action=is_busy,
        allows_retakes=exam.settings.get("allows_retakes") if exam else None,
        vendor_allows_retakes=session.allows_retakes,
        was_read=session.asked_at is not None,
    )
    why_not = refusal(account, verb) or policy.session_refusal(facts, verb)
    is_taken_out = verb is Verb.RETAKE and session.state in policy.BEGUN_AND_NOT_OVER
    standing = Standing.REFUSED if why_not else Standing.IN_EXAM if is_taken_out else Standing.READY
    sentence = why_not or (policy.IN_EXAM if is_taken_out else "")
    return Row(
        session_id=session.pk,
        name=str(session),
        standing=standing,
        sentences=(sentence,) if sentence else (),
        warnings=tuple(policy.session_warnings(facts, verb)),
        loses=policy.what_a_reset_loses(facts) if verb is Verb.RESET else "",
        expected=observing.snapshot_of(session),
    )


def refusal(account: Account, verb: Verb) -> str:
    """Why nothing of this kind can be done through the account now; "" where it can."""
    capability = registry.capability(account.vendor, verb)
    if capability is None:
        return registry.facts(account.vendor).why_not(verb, policy.words(verb))
    return policy.account_refusal(values.facts_of_account(account), verb, capability.permission) or ""


def draft(plan: Plan, *, team_id: int, by: User | None, now: datetime) -> Batch:
    """Keeps a plan for its preview."""
    return Batch.objects.create(team_id=team_id, kind=plan.verb.value, by=by, plan=values.pack(plan), created_at=now)


def plan_of(batch: Batch) -> Plan:
    """What a draft would ask for. Raises values.Unreadable."""
    return values.unpack(batch.plan, Plan)


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """What a batch keeps of its plan once it is confirmed: what was left out."""

    verb: Verb
    skipped_sessions: tuple[Row, ...]


def skipped_of(batch: Batch) -> tuple[Row, ...]:
    """What was left out when a batch was confirmed, and why. Raises values.Unreadable."""
    if batch.confirmed_at is None or not batch.plan:
        return ()
    return values.unpack(batch.plan, Skipped).skipped_sessions


@transaction.atomic
def request(
    batch: Batch, *, category: str, reason: str, includes_in_exam: bool = False, by: User | None, now: datetime
) -> Batch:
    """Asks for what a drafted batch planned and is still possible; a second press changes nothing.

    Who is in the middle of their exam is left out, unless the preview said so and `includes_in_exam`.
    Raises Refused where nothing is possible, or no reason is given; then nothing is saved.
    """
    if category not in CATEGORIES or not reason.strip():
        raise Refused("Say why: choose a category and write a sentence.")
    words = f"{CATEGORIES[category]}: {reason.strip()}"
    if not Batch.objects.filter(pk=batch.pk, confirmed_at=None).update(confirmed_at=now, by=by, reason=words):
        return Batch.objects.get(pk=batch.pk)
    drafted = plan_of(batch)
    rows = _still_possible(drafted)
    asked = [r for r in rows if r.standing is Standing.READY or (includes_in_exam and r.standing is Standing.IN_EXAM)]
    if not asked:
        raise Refused("None of these sessions can be done now.")
    done = {row.session_id for row in asked}
    sessions = {s.pk: s for s in Session.objects.select_related("account").filter(pk__in=[r.session_id for r in asked])}
    for account_id in sorted({session.account_id for session in sessions.values()}):
        pairs = [(row, sessions[row.session_id]) for row in asked if sessions[row.session_id].account_id == account_id]
        _ask(batch, drafted, pairs, words, by=by, now=now)
    skipped = tuple(row for row in rows if row.session_id not in done)
    rest = values.pack(Skipped(verb=drafted.verb, skipped_sessions=skipped))
    Batch.objects.filter(pk=batch.pk).update(plan=rest)
    return Batch.objects.get(pk=batch.pk)


def _still_possible(drafted: Plan) -> list[Row]:
    """The rows as of now; what the preview showed of each stays what the vendor's session is compared with.

    Who has begun since the preview is refused: nobody was asked whether they are to be taken out.
    """
    ids = [row.session_id for row in drafted.rows]
    now_rows = {row.session_id: row for row in plan(list(Session.objects.filter(pk__in=ids)), drafted.verb).rows}
    rows = []
    for row in drafted.rows:
        current = now_rows.get(row.session_id)
        is_refused_now = current is not None and current.standing is Standing.REFUSED
        has_begun = current is not None and current.standing is Standing.IN_EXAM and row.standing is Standing.READY
        if current is not None and row.standing is not Standing.REFUSED and (is_refused_now or has_begun):
            row = replace(row, standing=Standing.REFUSED, sentences=current.sentences)
        rows.append(row)
    return rows


def _ask(
    batch: Batch, drafted: Plan, pairs: Sequence[tuple[Row, Session]], reason: str, *, by: User | None, now: datetime
) -> None:
    drafts = []
    for row, session in sorted(pairs, key=lambda pair: pair[1].pk):
        reference = uuid4()
        order = SessionOrder(
            reference=reference,
            ref=session.ref,
            expected=row.expected,
            responses=drafted.responses,
            submit_for_scoring=drafted.submit_for_scoring,
        )
        payload = values.pack(values.SessionPayload(order=order))
        drafts.append(ledger.Draft(id=reference, target=session, payload=payload))
    try:
        with transaction.atomic():
            ledger.request(
                drafts, account=pairs[0][1].account, verb=drafted.verb, by=by, now=now, reason=reason, batch=batch
            )
    except IntegrityError:
        raise Refused("Somebody else has just asked for one of these sessions. Look at the board again.") from None
    entries = [
        journal.entry(
            "session.requested",
            session,
            team=batch.team_id,
            at=now,
            by=by,
            reason=reason,
            verb=drafted.verb.value,
            batch=str(batch.pk),
        )
        for _, session in pairs
    ]
    journal.record_all(entries)


# --- what came of it --------------------------------------------------------------------------------------------------


def after_effect(action: Action, settled: ledger.Settled | None, error: Exception | None, *, now: datetime) -> None:
    """An effect may have touched the session: what was asked before now says nothing about it any more."""
    Session.objects.filter(pk=action.session_id or UUID(int=0)).update(effect_ended_at=now)
    result = settled.value if settled else None
    if isinstance(result, SessionResult) and result.after is not None:
        # Asked after the effect, though before it was settled: an instant later than `effect_ended_at` lets it count.
        after = now + RIGHT_AFTER
        observing.observe(action.account, [result.after], asked_at=after, now=now)
    else:
        ask_reading(Session.objects.select_related("account").get(actions=action), by=None, now=now)


def apply_result(action: Action, result: SessionResult, *, now: datetime) -> None:
    """Shows what looking an effect up read of the session; right after an effect, `after_effect` has done so already."""
    if result.after is not None:
        observing.observe(action.account, [result.after], asked_at=now + RIGHT_AFTER, now=now)


# --- reading ----------------------------------------------------------------------------------------------------------


def ask_reading(session: Session, *, by: User | None, now: datetime, verb: Verb = Verb.READ_SESSION) -> bool:
    """Asks a worker to read a session again. False where its vendor cannot be asked."""
    if registry.capability(session.account.vendor, verb) is None:
        return False
    Reading.objects.update_or_create(
        session=session,
        verb=verb.value,
        defaults={"account": session.account, "due_at": now, "tries": 0, "by": by, "error": ""},
    )
    if by is not None:
        _ask_what_exams_allow(session.account, at_once=True, now=now)
    ledger.wake(session.account_id)
    return True


def ask_sync(account: Account, *, by: User | None, now: datetime) -> bool:
    """Asks a worker to list the account's sessions now. False where its vendor has no such list."""
    if registry.capability(account.vendor, Verb.LIST_SESSIONS) is None:
        return False
    values_ = {"due_at": now, "tries": 0, "by": by, "every_seconds": account.poll_seconds or None, "error": ""}
    Reading.objects.update_or_create(account=account, session=None, verb=Verb.LIST_SESSIONS.value, defaults=values_)
    ledger.wake(account.pk)
    return True


def keep_polling(*, now: datetime) -> None:
    """Sees to it that every account whose vendor lists sessions is read again and again."""
    listing = [facts.key for facts in registry.all_facts() if Verb.LIST_SESSIONS in facts.capabilities]
    polled = Reading.objects.filter(session=None, verb=Verb.LIST_SESSIONS.value).values("account")
    accounts = Account.objects.filter(vendor__in=listing, is_archived=False, poll_seconds__gt=0).exclude(pk__in=polled)
    for account in accounts:
        ask_sync(account, by=None, now=now)


def read_list(adapter: Adapter, reading: Reading, clock: Clock) -> str:
    """Takes in every page of the account's sessions; returns how many came, of how many."""
    account = Account.objects.get(pk=reading.account_id)
    seen: set[str] = set()
    configs = set(account.sessions.order_by().values_list("config_ref", flat=True).distinct()) | {""}
    has_new_config = False
    total, asked_at = None, clock()
    for page in adapter.list_sessions(_query(account)):
        observing.observe(account, page.sessions, asked_at=asked_at, now=clock())
        seen.update(snapshot.ref for snapshot in page.sessions)
        has_new_config = has_new_config or not configs.issuperset(s.config_ref for s in page.sessions)
        total = page.total if page.total is not None else total
        asked_at = clock()
    _ask_who_they_are(account, now=clock())
    _ask_what_exams_allow(account, at_once=has_new_config, now=clock())
    return f"{len(seen)} sessions" + (f" of {total}" if total not in (None, len(seen)) else "")


def _ask_who_they_are(account: Account, *, now: datetime) -> None:
    """Only the results route names the person of a session whose student id is masked: each is asked once."""
    if registry.capability(account.vendor, Verb.READ_RESULTS) is None:
        return
    strangers = account.sessions.filter(candidate=None, person_hint="").exclude(readings__verb=Verb.READ_RESULTS.value)
    Reading.objects.bulk_create(
        [
            Reading(account=account, session=session, verb=Verb.READ_RESULTS.value, due_at=now)
            for session in strangers.order_by("-created_at")[:STRANGERS_AT_ONCE]
        ],
        ignore_conflicts=True,
    )


def _ask_what_exams_allow(account: Account, *, at_once: bool, now: datetime) -> None:
    """Has the account's exam configurations read again and again, the first time at once."""
    if registry.capability(account.vendor, Verb.READ_EXAM_CONFIG) is None:
        return
    asked = {"due_at": now, "tries": 0, "every_seconds": CONFIGS_EVERY_SECONDS if account.poll_seconds else None}
    known = {"account": account, "session": None, "verb": Verb.READ_EXAM_CONFIG.value}
    reading, is_new = Reading.objects.get_or_create(**known, defaults=asked)
    if at_once and not is_new:
        Reading.objects.filter(pk=reading.pk).update(**asked)


def read_exam_configs(adapter: Adapter, reading: Reading, clock: Clock) -> str:
    """Reads what the vendor says of retakes, for each exam configuration that sessions belong to, the latest first.

    One that the vendor does not show leaves what was known as it was.
    """
    sessions = Session.objects.filter(account_id=reading.account_id).exclude(config_ref="")
    latest = sessions.order_by().values_list("config_ref").annotate(latest=Max("created_at")).order_by("-latest")
    refs = [ref for ref, _ in latest[:CONFIGS_AT_ONCE]]
    hidden = 0
    for ref in refs:
        try:
            config = adapter.read_exam_config(ref)
        except (Rejected, Misconfigured) as error:
            if isinstance(error, Misconfigured) and error.scope is Scope.ACCOUNT:
                raise
            hidden += 1
        else:
            sessions.filter(config_ref=ref).update(allows_retakes=config.allows_retakes)
    plural = "" if len(refs) == 1 else "s"
    return f"{len(refs)} exam configuration{plural}" + (f", {hidden} not shown to us" if hidden else "")


def _query(account: Account) -> SessionQuery:
    exams = list(account.exams.filter(is_archived=False))
    refs = [tuple(exam.settings.get("config_refs") or ()) for exam in exams]
    include = sorted({name for exam in exams for name in exam.settings.get("include") or ()})
    everything = not all(refs)  # an exam that names no configuration asks for all
    return SessionQuery(config_refs=() if everything else tuple(dict.fromkeys(sum(refs, ()))), include=tuple(include))


def read_session(adapter: Adapter, reading: Reading, clock: Clock) -> str:
    """Reads one session with its responses and results."""
    session = _session(reading)
    asked_at = clock()
    observing.observe(session.account, [adapter.read_session(session.ref, EVERYTHING)], asked_at=asked_at, now=clock())
    return "read"


def read_results(adapter: Adapter, reading: Reading, clock: Clock) -> str:
    """Reads a session's questions, keys and responses; they are kept apart from what the session itself says."""
    session, asked_at = _session(reading), clock()
    snapshot = adapter.read_results(session.ref)
    with transaction.atomic():
        row = Session.objects.select_for_update().get(pk=session.pk)
        if row.effect_ended_at is None or asked_at > row.effect_ended_at:
            row.content = {**row.content, "questions": snapshot.results, "questions_asked_at": asked_at.isoformat()}
            row.person_hint = row.person_hint or snapshot.person_hint[:500]
            row.candidate_id = row.candidate_id or observing.candidate_of(row.account, snapshot)
            row.save(update_fields=["content", "person_hint", "candidate"])
    return "read"


def _session(reading: Reading) -> Session:
    session: Session = Session.objects.select_related("account", "delivery__exam").get(
        pk=cast(UUID, reading.session_id)
    )
    return session


def facts_of_result(result: SessionResult) -> Mapping[str, Any]:
    """What of a result is kept readable on the action: states and scores, no answers."""
    parts = {"before": result.before, "after": result.after}
    return {
        name: {"state": part.vendor_state or part.state.value, "score": part.score, "has_responses": part.has_responses}
        for name, part in parts.items()
        if part is not None
    }


def kept_of_result(result: SessionResult) -> Any:
    """What is kept encrypted: the session whole, before and after."""
    return values.pack(values.Kept(before=result.before, after=result.after))


def kept_of(action: Action) -> dict[str, Any]:
    """What an action keeps of its session, to be shown. Raises values.Unreadable."""
    kept = values.unpack(action.kept, values.Kept)
    parts = {"before": kept.before, "after": kept.after}
    return {name: values.plain(part) for name, part in parts.items() if part is not None}


# --- deliveries' own sessions -----------------------------------------------------------------------------------------

WATCHED_AT_ONCE = 500
FINAL = ("complete",)
UNOPENED_SECONDS = 900  # only somebody who has the vendor's own link can have begun
WATCHED_AFTER_CREATION = timedelta(minutes=1)  # while a batch is being sent, workers have better things to do
SOON_SECONDS = 30
WATCHED_AFTER_THE_END = timedelta(days=1)


def keep_watching(*, now: datetime) -> int:
    """Gives every created delivery its session, and a reading again and again where its vendor reports a state."""
    is_time = Q(created_at__lt=now - WATCHED_AFTER_CREATION) | ~Q(opened_at=None)
    unwatched = Delivery.objects.filter(is_time, state=DeliveryState.CREATED, session=None).exclude(ref="")
    deliveries = list(unwatched.select_related("exam__account", "candidate").order_by("created_at")[:WATCHED_AT_ONCE])
    sessions = [_session_of(delivery) for delivery in deliveries]
    with transaction.atomic():
        Session.objects.bulk_create(sessions, ignore_conflicts=True)
        made = set(Session.objects.filter(pk__in=[session.pk for session in sessions]).values_list("pk", flat=True))
        readings = [
            _reading_of(session, now) for session in sessions if session.pk in made and may_read_state(session.account)
        ]
        Reading.objects.bulk_create(readings, ignore_conflicts=True)
    return len(made)


def may_read_state(account: Account) -> bool:
    """Whether the account may ask what became of a delivery, by its vendor and by its own permissions."""
    capability = registry.capability(account.vendor, Verb.READ_DELIVERY)
    if capability is None or not account.poll_seconds:
        return False
    return not capability.permission or not account.permissions or capability.permission in account.permissions


def _session_of(delivery: Delivery) -> Session:
    account = delivery.exam.account
    # Some vendors give one id to everyone in a call: the delivery's own id keeps such sessions apart.
    ref = delivery.ref if registry.facts(account.vendor).reports_state else f"{delivery.ref}#{delivery.pk}"
    return Session(
        team_id=delivery.team_id,
        account=account,
        exam=delivery.exam,
        delivery=delivery,
        candidate=delivery.candidate,
        ref=ref,
        name=str(delivery.candidate),
        state=SessionState.NOT_REPORTED.value,
    )


def _reading_of(session: Session, now: datetime) -> Reading:
    """Nobody has opened it yet: it is read from the window's start on, now and then, not all at the same moment."""
    if session.delivery is not None and session.delivery.opened_at is not None:
        every = session.account.poll_seconds
        return Reading(
            account=session.account, session=session, verb=Verb.READ_DELIVERY.value, due_at=now, every_seconds=every
        )
    starts_at = session.exam.starts_at if session.exam else None
    every = max(UNOPENED_SECONDS, session.account.poll_seconds)
    due_at = max(now, starts_at or now) + timedelta(seconds=session.pk.int % every)
    return Reading(
        account=session.account, session=session, verb=Verb.READ_DELIVERY.value, due_at=due_at, every_seconds=every
    )


def read_delivery(adapter: Adapter, reading: Reading, clock: Clock) -> str:
    """Reads what became of one delivery; a session that is complete is read no more."""
    session = _session(reading)
    if session.delivery is None:
        return "no delivery"
    if (ends_at := session.delivery.exam.ends_at) is not None and clock() > ends_at + WATCHED_AFTER_THE_END:
        return _watch_no_more(reading, "the exam is over")
    asked_at = clock()
    snapshot = adapter.read_delivery(values.of_exam(session.delivery.exam), session.delivery.ref)
    observing.observe(session.account, [replace(snapshot, ref=session.ref)], asked_at=asked_at, now=clock())
    if snapshot.state.value in FINAL:
        return _watch_no_more(reading, snapshot.state.value)
    every = session.account.poll_seconds if session.delivery.opened_at else UNOPENED_SECONDS
    reading.every_seconds = max(every, session.account.poll_seconds)
    Reading.objects.filter(pk=reading.pk).update(every_seconds=reading.every_seconds)
    return snapshot.state.value


def _watch_no_more(reading: Reading, message: str) -> str:
    Reading.objects.filter(pk=reading.pk).update(every_seconds=None)
    reading.every_seconds = None
    return message


def watch_closely(delivery: Delivery, *, now: datetime) -> None:
    """The candidate has opened it: from now on its state is read as often as the account allows."""
    every = delivery.exam.account.poll_seconds
    soon = now + timedelta(seconds=min(every, SOON_SECONDS))
    readings = Reading.objects.filter(session__delivery=delivery, verb=Verb.READ_DELIVERY.value).exclude(due_at=None)
    readings.update(every_seconds=every, due_at=soon)
