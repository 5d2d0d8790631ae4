"""The rows of a call that came back: made, settled by one of the roads, and read back as plain words.

All that the golden decisions know of the ledger is here. Rows are made for many cases at once, each case with an account of
its own; the clock stands still, SECONDS after the call was claimed.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import count
from types import SimpleNamespace
from typing import Any
from unittest import mock
from uuid import UUID, uuid4

from django.core import mail
from django.db import connection
from django.db.models import Model

from proctoring import sessions, sql
from proctoring.ledger import claiming, waking
from proctoring.ledger.claiming import Claim, Kind
from proctoring.ledger.performing import DatabaseAway, LeaseLost, Looked, NoPlace, Outcome, Settled
from proctoring.ledger.settling import settle
from proctoring.ledger.turns import take_turn
from proctoring.models import (
    Account,
    Action,
    ActionState,
    Attention,
    Call,
    Candidate,
    Delivery,
    DeliveryState,
    Exam,
    Invitation,
    JournalEntry,
    Membership,
    Reading,
    Role,
    Session,
    Team,
    User,
)
from proctoring.policy import MAX_TRIES
from proctoring.vendors.base import (
    LOOKED_UP_BY,
    Checked,
    Created,
    ExamResult,
    SessionResult,
    SessionSnapshot,
    SessionState,
    Verb,
    Verdict,
)
from proctoring.vendors.campfire.adapter import SessionOutcomeUnknown
from proctoring.vendors.errors import (
    Changed,
    Misconfigured,
    OutcomeUnknown,
    Rejected,
    Scope,
    Unavailable,
    Unsupported,
    VendorError,
)
from proctoring.verbs import VERBS

Record = dict[str, Any]

CLAIMED = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
SECONDS = 3
NOW = CLAIMED + timedelta(seconds=SECONDS)
LEASE = CLAIMED + timedelta(seconds=45)
BEFORE = CLAIMED - timedelta(seconds=100)


class Road(StrEnum):
    TURN = "turn"  # among all who are at the database
    SETTLE = "settle"  # by itself


@dataclass(frozen=True, slots=True)
class Subject:
    """What is done, and at whose: that decides whether it may be repeated, and what the domain does of it."""

    vendor: str
    verb: Verb


SUBJECTS: Mapping[str, Subject] = {
    "delivery": Subject("scorpion", Verb.CREATE_DELIVERIES),  # never repeated; looked up
    "upsert": Subject("cirrus", Verb.CREATE_DELIVERIES),  # harmless once the vendor is told
    "link": Subject("scorpion", Verb.REISSUE_LINK),  # harmless
    "session": Subject("campfire", Verb.RESET),  # never; read before and after
    "new exam": Subject("smarterproctoring", Verb.CREATE_EXAM),  # never; looked up
    "exam": Subject("proctorexam", Verb.UPDATE_EXAM),  # harmless
    "mail": Subject("mail", Verb.SEND_MESSAGE),  # never
}
EXAMS = ("new exam", "exam")
REPEATED = ("upsert", "link", "exam")
BY_A_NEWER_CALL = ("needs attention", "sending by a newer call", "unknown by a newer call")
POLLED = Subject("campfire", Verb.LIST_SESSIONS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One call that came back. Each value is a word of the tables below, or of `golden.axes`."""

    name: str
    kind: Kind
    subject: str = "delivery"
    error: str = ""  # a word of ERRORS; "" where there was none
    verdicts: tuple[str, ...] = ("happened",)  # one for each action of the call
    sent: str = "answered"  # unsent, sent, answered
    states: tuple[str, ...] = ("sending",)  # of each action now
    may_have_acted: bool = False
    is_spent: bool = False
    account: str = "well"
    looks: str = "first"  # early, first, second
    reading: str = "once"  # once, polled
    reading_tries: int = 1


# --- what came back ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Blame:
    """Whom an error can be about."""

    itself: frozenset[UUID] = frozenset()
    another: frozenset[UUID] = field(default_factory=lambda: frozenset({uuid4()}))


LATER = 1000.0
AWAY, NO, WRONG = "The vendor is away.", "The vendor said no.", "The vendor does not know these credentials."

ERRORS: Mapping[str, Callable[[Blame], Exception]] = {
    "unavailable": lambda _: Unavailable(AWAY),
    "unavailable until later": lambda _: Unavailable(AWAY, status=429, retry_after=LATER),
    "target unavailable": lambda _: Unavailable(AWAY, is_about_target=True),
    "target unavailable until later": lambda _: Unavailable(AWAY, is_about_target=True, retry_after=LATER),
    "rejected without status": lambda _: Rejected(NO),
    "rejected": lambda _: Rejected(NO, status=422),
    "rejected, to blame": lambda blame: Rejected(NO, status=422, culprits=blame.itself),
    "rejected, another to blame": lambda blame: Rejected(NO, status=422, culprits=blame.another),
    "changed": lambda _: Changed("It has changed since."),
    "account misconfigured": lambda _: Misconfigured(WRONG, scope=Scope.ACCOUNT, status=401),
    "verb misconfigured": lambda _: Misconfigured(WRONG, scope=Scope.VERB, status=403),
    "account suspected": lambda _: Misconfigured(WRONG, scope=Scope.ACCOUNT, status=404, suspected=True),
    "verb suspected": lambda _: Misconfigured(WRONG, scope=Scope.VERB, status=403, suspected=True),
    "unsupported": lambda _: Unsupported("The vendor has no call for this."),
    "unknown": lambda _: OutcomeUnknown("No readable answer came."),
    "unknown, read before": lambda _: SessionOutcomeUnknown(
        "No readable answer came.", before=_snapshot("s-1", SessionState.SUBMITTED)
    ),
    "lease lost": lambda _: LeaseLost(),
    "no place": lambda _: NoPlace(),
    "database away": lambda _: DatabaseAway(),
    "fault of ours": lambda _: RuntimeError("a fault of ours"),
}


class _Unfit:
    """A result that nothing can be done with: whoever looks at it fails."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError("unfit")


def _snapshot(ref: str, state: SessionState) -> SessionSnapshot:
    return SessionSnapshot(ref=ref, state=state, vendor_state=state.value.upper())


_VERDICTS = {"did not": Verdict.DID_NOT, "cannot tell": Verdict.CANNOT_TELL}


def _settled(action: Action, word: str) -> Settled | None:
    if word == "missing":
        return None
    verdict = _VERDICTS.get(word, Verdict.HAPPENED)
    if action.session is not None:
        return _settled_session(action, action.session, word, verdict)
    value: Any = None
    if word == "unfit":
        value = _Unfit()
    elif action.delivery_id is not None:
        value = Created(reference=action.pk, ref="d-1", take_url="https://vendor.example.com/take/1")
    elif action.exam_id is not None:
        value = ExamResult(ref="e-1")
    facts = {"ref": "e-1"} if action.exam_id is not None else {}
    message = "" if verdict is Verdict.HAPPENED else f"The vendor says: {word}."
    return Settled(reference=action.pk, verdict=verdict, message=message, value=value, facts=facts)


def _settled_session(action: Action, session: Session, word: str, verdict: Verdict) -> Settled:
    before = _snapshot(session.ref, SessionState.SUBMITTED)
    after = None if word in ("happened unread", "cannot tell") else _snapshot(session.ref, SessionState.NOT_STARTED)
    result = SessionResult(reference=action.pk, verdict=verdict, before=before, after=after)
    return Settled(
        reference=action.pk,
        verdict=verdict,
        message=f"The session says: {word}.",
        value=_Unfit() if word == "unfit" else result,
        facts=sessions.facts_of_result(result),
        kept=sessions.kept_of_result(result),
    )


def _looked(action: Action, word: str) -> Looked | None:
    if word == "missing":
        return None
    if word in ("found", "unfit"):
        return Looked(reference=action.pk, found=_settled(action, "happened" if word == "found" else word))
    if word == "choices":
        return Looked(reference=action.pk, choices=({"ref": "d-1"}, {"ref": "d-2"}))
    return Looked(reference=action.pk, note="Reading it does not tell." if word == "note" else "")


def _outcome(case: Case, actions: Sequence[Action]) -> Outcome:
    error = ERRORS[case.error](Blame(itself=frozenset({actions[0].pk} if actions else ()))) if case.error else None
    is_effect = case.kind is Kind.EFFECT
    return Outcome(
        answer=None if error else _answer(case, actions),
        error=error,
        call_values=_call_values(case, error),
        was_sent=is_effect and case.sent != "unsent",
        was_answered=is_effect and case.sent == "answered",
    )


def _answer(case: Case, actions: Sequence[Action]) -> Any:
    if case.kind is Kind.CHECK:
        return Checked(message=f"It is {case.verdicts[0]}.", is_conclusive=case.verdicts[0] == "conclusive")
    if case.kind is Kind.READ:
        return "7 sessions"
    pairs = zip(actions, case.verdicts, strict=True)
    make: Callable[[Action, str], Any] = _settled if case.kind is Kind.EFFECT else _looked
    return tuple(item for action, word in pairs if (item := make(action, word)) is not None)


def _call_values(case: Case, error: Exception | None) -> dict[str, Any]:
    """What the recorder would have kept of the exchange."""
    if case.sent == "unsent" or (error is not None and case.kind is not Kind.EFFECT and _is_ours(error)):
        return {}
    status = getattr(error, "status", None)
    if case.sent == "answered" and case.kind is Kind.EFFECT:
        return {"outcome": Call.Outcome.ANSWERED, "status": 200}
    if error is None or status is not None:
        return {"outcome": Call.Outcome.ANSWERED, "status": status or 200}
    is_unknown = isinstance(error, OutcomeUnknown)
    return {"outcome": Call.Outcome.NO_ANSWER if is_unknown else Call.Outcome.UNAVAILABLE, "error": str(error)}


def _is_ours(error: Exception) -> bool:
    return not isinstance(error, VendorError)


# --- the rows ---------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Rows:
    """A case's rows as they stand when the call comes back, and what the worker holds of them."""

    case: Case
    account: Account
    calls: dict[str, Call]  # "this" and, where an action moved on with it, "newer"
    actions: list[Action]
    exam: Exam | None
    reading: Reading | None
    deliveries: list[Delivery] = field(default_factory=list)
    session: Session | None = None
    invitation: Invitation | None = None
    claim: Claim = field(init=False)
    outcome: Outcome = field(init=False)
    woken: bool = False
    alerts: int = 0


_numbers = count(1_000_000)  # ids of our own, far from those that the database gives
PAUSE = {"reason": "It was refused before.", "at": BEFORE.isoformat()}


def _account_values(word: str, verb: str, target: UUID | None) -> Record:
    """How the account stands now."""
    pause = {"paused_at": BEFORE, "pause_reason": "It was refused before."}
    fresh = {"credentials_changed_at": CLAIMED + timedelta(seconds=1)}
    suspicion = {"target": str(target if word == "target suspected before" else uuid4()), "at": BEFORE.isoformat()}
    held = {"failures_in_a_row": 3, "next_call_at": CLAIMED + timedelta(seconds=500)}
    values: dict[str, Record] = {
        "well": {},
        "failing": {"failures_in_a_row": 3, "next_call_at": CLAIMED},
        "failing since": {"failures_in_a_row": 3, "next_call_at": CLAIMED},
        "long failing": {"failures_in_a_row": 40, "next_call_at": CLAIMED},
        "held": held,
        "another suspected before": {"suspicion": suspicion},
        "target suspected before": {"suspicion": suspicion},
        "paused": pause,
        "paused since": pause,
        "probing": {**pause, "is_probing": True},
        "probing new credentials since": {**pause, **fresh, "is_probing": True},
        "new credentials since": fresh,
        "verb paused since": {"paused_verbs": {verb: PAUSE}},
        "verb probing": {"paused_verbs": {verb: {**PAUSE, "probing": True}}},
        "another verb paused": {"paused_verbs": {Verb.READ_RESULTS.value: PAUSE}},
    }
    return values[word]


def _as_claimed(account: Account, word: str) -> Account:
    """The account as the worker saw it when it claimed."""
    seen = copy.copy(account)
    if word.endswith("since"):
        was_paused = word == "probing new credentials since"
        seen.failures_in_a_row, seen.next_call_at, seen.paused_verbs = 0, None, {}
        seen.credentials_changed_at, seen.is_probing = None, False
        seen.paused_at = BEFORE if was_paused else None
    return seen


def prepare(cases: Sequence[Case]) -> list[Rows]:
    """Makes the rows of all these cases."""
    team = Team.objects.create(name=f"Golden {next(_numbers)}")
    chief = User.objects.create(username=f"chief{next(_numbers)}", email="chief@example.org")
    Membership.objects.create(user=chief, team=team, role=Role.ADMINISTRATOR)
    candidate = Candidate.objects.create(team=team, first_name="Ada", last_name="Lee", email="ada@example.org")
    ids = [[uuid4() for _ in case.states] for case in cases]
    rows = [
        _rows(case, _account(case, team, of_case[0]), candidate, of_case)
        for case, of_case in zip(cases, ids, strict=True)
    ]
    sql.execute_many(
        sql.inserting(Account, (row.account for row in rows)),
        sql.inserting(Exam, (row.exam for row in rows if row.exam)),
        sql.inserting(Delivery, (item for row in rows for item in row.deliveries)),
        sql.inserting(Session, (row.session for row in rows if row.session)),
        sql.inserting(Invitation, (row.invitation for row in rows if row.invitation)),
        sql.inserting(Call, (call for row in rows for call in row.calls.values())),
        sql.inserting(Action, (action for row in rows for action in row.actions)),
    )
    # Under the database's own ids: the ledger makes readings, too.
    Reading.objects.bulk_create(row.claim.reading for row in rows if row.claim.reading)
    return rows


def _subject(case: Case) -> Subject:
    return POLLED if case.kind is Kind.READ else SUBJECTS[case.subject]


def _call_verb(case: Case) -> Verb:
    if case.kind is Kind.CHECK:
        return Verb.CHECK
    verb = _subject(case).verb
    return LOOKED_UP_BY[verb] if case.kind is Kind.LOOK_UP else verb


def _account(case: Case, team: Team, target: UUID) -> Account:
    values = _account_values(case.account, _call_verb(case).value, target)
    number = next(_numbers)
    values |= {"id": number, "name": f"Account {number}", "created_at": BEFORE}
    return Account(team=team, vendor=_subject(case).vendor, **values)


def _rows(case: Case, account: Account, candidate: Candidate, targets: Sequence[UUID]) -> Rows:
    holds_actions = case.kind in (Kind.EFFECT, Kind.LOOK_UP)
    group = uuid4() if holds_actions else None
    calls = {"this": _call(case, account, group)}
    if any(state in BY_A_NEWER_CALL for state in case.states):
        calls["newer"] = _call(case, account, group, is_newer=True)
    rows = Rows(
        case=case,
        account=account,
        calls=calls,
        actions=[],
        exam=_exam(case, account, targets[0]) if holds_actions and case.subject != "session" else None,
        reading=_reading(case, account) if case.kind is Kind.READ else None,
    )
    held: list[Action] = []
    for number, (target, state) in enumerate(zip(targets, case.states, strict=True), start=1):
        if holds_actions:
            action = _held_action(case, rows, candidate, target, number, group or uuid4())
            held.append(action)
            rows.actions.append(_as_it_stands(action, state, case, calls))
    verb = Verb.CHECK if case.kind is Kind.CHECK else _subject(case).verb
    rows.claim = Claim(
        call=copy.copy(calls["this"]),
        account=_as_claimed(account, case.account),
        kind=case.kind,
        verb=verb,
        actions=tuple(held),
        claimed=0.0,
        reading=copy.copy(rows.reading),
    )
    rows.outcome = _outcome(case, held)
    return rows


def _exam(case: Case, account: Account, target: UUID) -> Exam:
    number = target if case.subject in EXAMS else uuid4()
    return Exam(id=number, team_id=account.team_id, account=account, title="Widgets", created_at=BEFORE)


def _call(case: Case, account: Account, group: UUID | None, *, is_newer: bool = False) -> Call:
    """A call is open while its action waits for it; else the sweep gave it up, or it was settled before."""
    state = case.states[0]
    ending: Record = {}
    if not is_newer and state == "settled":
        ending = {"ended_at": CLAIMED, "outcome": Call.Outcome.ANSWERED, "status": 200}
    elif not is_newer and not _is_held(case, state):
        ending = {"ended_at": CLAIMED + timedelta(seconds=1), "outcome": Call.Outcome.LOST}
    return Call(
        account=account,
        verb=_call_verb(case).value,
        group=group,
        is_effect=case.kind is Kind.EFFECT,
        claimed_at=CLAIMED,
        lease_until=LEASE,
        sent_at=CLAIMED if case.sent != "unsent" else None,
        **ending,
    )


def _is_held(case: Case, state: str) -> bool:
    """Whether the action waits for this call as when it was claimed. A look-up holds nothing: its action may move."""
    return state == "sending" if case.kind is Kind.EFFECT else state != "given up"


def _held_action(case: Case, rows: Rows, candidate: Candidate, target: UUID, number: int, group: UUID) -> Action:
    """The action as the worker holds it."""
    is_look_up = case.kind is Kind.LOOK_UP
    sent_at = CLAIMED
    if is_look_up:
        sent_at -= timedelta(seconds=100 if case.looks == "early" else 1000)
    return Action(
        team_id=rows.account.team_id,
        account=rows.account,
        verb=_subject(case).verb.value,
        group=group,
        state=ActionState.UNKNOWN if is_look_up else ActionState.SENDING,
        message="It was sent before." if is_look_up else "",
        tries=MAX_TRIES if case.is_spent else 2,
        due_at=BEFORE,
        may_have_acted=is_look_up or case.may_have_acted,
        call=None if is_look_up else rows.calls["this"],
        sent_at=sent_at,
        looks_absent=1 if case.looks == "second" else 0,
        created_at=BEFORE,
        changed_at=CLAIMED,
        **_target(case, rows, candidate, target, number),
    )


def _target(case: Case, rows: Rows, candidate: Candidate, target: UUID, number: int) -> Record:
    """What is acted upon, its id `target`."""
    account, exam = rows.account, rows.exam
    if case.subject in EXAMS:
        return {"exam": exam}
    if case.subject == "session":
        rows.session = Session(
            id=target,
            team_id=account.team_id,
            account=account,
            ref="s-1",
            created_at=BEFORE,
            state=SessionState.SUBMITTED.value,
            vendor_state="SUBMITTED",
        )
        return {"session": rows.session}
    delivery = Delivery(
        id=uuid4() if case.subject == "mail" else target,
        team_id=account.team_id,
        exam=exam,
        candidate=candidate,
        attempt=number,
        state=DeliveryState.CREATED if case.subject in ("link", "mail") else DeliveryState.REQUESTED,
        requested_at=BEFORE,
    )
    rows.deliveries.append(delivery)
    if case.subject != "mail":
        return {"delivery": delivery}
    rows.invitation = Invitation(
        id=target,
        team_id=account.team_id,
        delivery=delivery,
        to="ada@example.org",
        subject="Your exam",
        text="",
        html="",
        link_version=1,
        created_at=BEFORE,
    )
    return {"invitation": rows.invitation}


def _as_it_stands(held: Action, state: str, case: Case, calls: Mapping[str, Call]) -> Action:
    """The action's row when the call comes back."""
    row, newer = copy.copy(held), calls.get("newer")
    looked = {"call": calls["this"]} if case.kind is Kind.EFFECT else {}
    lost = "The worker that sent it was lost before the vendor's answer was stored."
    after_the_sweep = {"may_have_acted": True, "message": lost}
    asked = {"look_due_at": BEFORE, "looks_absent": 1, "choices": [{"ref": "d-1"}]}
    values: dict[str, Record] = {
        "sending": {},
        "unknown": after_the_sweep if case.kind is Kind.EFFECT else {},
        "unknown, being looked up": {**after_the_sweep, **asked},
        "given up": {"look_due_at": CLAIMED + timedelta(seconds=1)},
        "queued": {"state": ActionState.QUEUED, **_queued_again(held, case)},
        "done": {"state": ActionState.DONE, "message": "", "may_have_acted": True},
        "settled": {"state": ActionState.DONE, "message": "Settled before."},
        "cancelled": {"state": ActionState.CANCELLED, "may_have_acted": True},
        "needs attention": {
            "state": ActionState.NEEDS_ATTENTION,
            "attention": Attention.REFUSED,
            "message": "A newer call was refused.",
            "call": newer,
        },
        "sending by a newer call": {"state": ActionState.SENDING, "call": newer, "tries": 1, "may_have_acted": False},
        "unknown by a newer call": {"state": ActionState.UNKNOWN, "call": newer, "may_have_acted": True},
    }
    if state.startswith("unknown"):
        row.state = ActionState.UNKNOWN
    for name, value in {**looked, **values[state]}.items():
        setattr(row, name, value)
    return row


def _queued_again(held: Action, case: Case) -> Record:
    """By the sweep, where nothing was sent or repeating is harmless; else by a person."""
    if case.sent == "unsent":
        return {"tries": held.tries - 1}
    if case.subject in REPEATED:
        return {"may_have_acted": True}
    return {"tries": 0, "may_have_acted": False}


def _reading(case: Case, account: Account) -> Reading:
    """As it is taken up: put off past the lease."""
    every = 300 if case.reading == "polled" else None
    return Reading(
        account=account,
        verb=POLLED.verb.value,
        due_at=LEASE,
        every_seconds=every,
        tries=case.reading_tries,
        error="It failed before.",
    )


# --- the roads --------------------------------------------------------------------------------------------------------


@contextmanager
def _with_a_still_clock() -> Iterator[None]:
    clock = SimpleNamespace(monotonic=lambda: float(SECONDS))
    with mock.patch.object(claiming, "time", clock):
        yield


def hand_over(all_rows: Sequence[Rows], road: Road) -> None:
    """Hands each call back, in a transaction that never ends; what waits for a commit is done after each."""
    woken: list[int] = []

    def publish(account_id: int, _: int) -> None:
        woken.append(account_id)

    with _with_a_still_clock(), mock.patch.object(waking, "_publish", publish):
        for rows in all_rows:
            waiting, mails = len(connection.run_on_commit), len(mail.outbox)
            woken.clear()
            if road is Road.TURN:
                pair = (rows.claim, rows.outcome)
                take_turn(rows.account.pk, VERBS, [pair], most=0, worker="golden", prefers_reading=False)
            else:
                settle(rows.claim, rows.outcome, VERBS)
            _commit(waiting)
            rows.woken, rows.alerts = rows.account.pk in woken, len(mail.outbox) - mails


def _commit(since: int) -> None:
    callbacks = connection.run_on_commit[since:]
    del connection.run_on_commit[since:]
    for entry in callbacks:
        entry[1]()


# --- what the rows say ------------------------------------------------------------------------------------------------


def read(all_rows: Sequence[Rows]) -> list[Record]:
    """What became of each case: of every row, what is not as it was."""
    accounts = _by_id(Account, [rows.account.pk for rows in all_rows])
    calls = _by_id(Call, [call.pk for rows in all_rows for call in rows.calls.values()])
    actions = _by_id(Action, [action.pk for rows in all_rows for action in rows.actions])
    targets = {
        **_by_id(Exam, [rows.exam.pk for rows in all_rows if rows.exam]),
        **_by_id(Delivery, [item.pk for rows in all_rows for item in rows.deliveries]),
        **_by_id(Session, [rows.session.pk for rows in all_rows if rows.session]),
        **_by_id(Invitation, [rows.invitation.pk for rows in all_rows if rows.invitation]),
    }
    readings = _by_account(Reading, "account_id", {rows.account.pk: rows.account.pk for rows in all_rows})
    journal = _journal(all_rows)
    records = []
    for rows in all_rows:
        words = _Words(rows)
        record: Record = {
            "actions": [words.action(action, actions[action.pk]) for action in rows.actions],
            "calls": {
                name: change
                for name, call in rows.calls.items()
                if (change := _changed(words.call, call, calls[call.pk]))
            },
            "account": _changed(words.account, rows.account, accounts[rows.account.pk]),
            "journal": sorted((words.entry(item) for item in journal[id(rows)]), key=str),
            "readings": words.readings(readings.get(rows.account.pk, [])),
            "written": [
                change
                for target in _targets(rows)
                if (change := _changed(_TARGET_WORDS[type(target)], target, targets[target.pk]))
            ],
            "woken": rows.woken,
            "alerts": rows.alerts,
        }
        records.append({name: value for name, value in record.items() if value})
    return records


def _by_id(model: type[Any], ids: Sequence[Any]) -> dict[Any, Any]:
    return {
        row.pk: row
        for start in range(0, len(ids), 500)
        for row in model.objects.filter(pk__in=ids[start : start + 500])
    }


def _by_account(model: type[Any], column: str, ids: Mapping[Any, Any]) -> dict[Any, list[Any]]:
    found: dict[Any, list[Any]] = {}
    keys = list(ids)
    for start in range(0, len(keys), 500):
        for row in model.objects.filter(**{f"{column}__in": keys[start : start + 500]}):
            found.setdefault(ids[getattr(row, column)], []).append(row)
    return found


def _journal(all_rows: Sequence[Rows]) -> dict[int, list[JournalEntry]]:
    """The entries of each case's rows, whatever they are about."""
    owners: dict[str, int] = {}
    for rows in all_rows:
        owners.update({str(target.pk): id(rows) for target in (rows.account, *_targets(rows))})
    found = _by_account(JournalEntry, "target", owners)
    return {id(rows): found.get(id(rows), []) for rows in all_rows}


def _targets(rows: Rows) -> list[Any]:
    """What the domain may write to."""
    return [row for row in (rows.exam, *rows.deliveries, rows.session, rows.invitation) if row is not None]


def _changed(words: Callable[[Any], Record], before: Any, after: Any) -> Record:
    was, now = words(before), words(after)
    return {name: value for name, value in now.items() if value != was[name]}


def seconds(moment: datetime | str | None) -> str | None:
    """A moment as whole seconds from now, or from the last second before."""
    if moment is None:
        return None
    at = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    return f"{round((at - NOW).total_seconds()):+d} s"


class _Words:
    """Rows in words. An id is said by what it is here."""

    def __init__(self, rows: Rows) -> None:
        self.names = {str(call.pk): f"{name} call" for name, call in rows.calls.items()}
        self.targets = {str(action.target_id): "this target" for action in rows.actions}
        self.rows = rows

    def action(self, before: Action, after: Action) -> Record:
        change = _changed(self._action, before, after)
        change.pop("state", None)
        is_same = before.state == after.state
        return {"state": str(after.state) if is_same else f"{before.state} -> {after.state}", **change}

    def _action(self, action: Action) -> Record:
        return {
            "state": action.state,
            "attention": action.attention,
            "message": action.message,
            "tries": action.tries,
            "due_at": seconds(action.due_at),
            "look_due_at": seconds(action.look_due_at),
            "looked_at": seconds(action.looked_at),
            "looks_absent": action.looks_absent,
            "may_have_acted": action.may_have_acted,
            "call": self.names.get(str(action.call_id)),
            "sent_at": seconds(action.sent_at),
            "changed_at": seconds(action.changed_at),
            "has_choices": action.choices is not None,
            "has_result": bool(action.result),
            "has_kept": action.kept is not None,
        }

    def call(self, call: Call) -> Record:
        return {
            "outcome": str(call.outcome),
            "status": call.status,
            "error": call.error,
            "ended_at": seconds(call.ended_at),
        }

    def account(self, account: Account) -> Record:
        suspicion = account.suspicion
        return {
            "paused_at": seconds(account.paused_at),
            "pause_reason": account.pause_reason,
            "is_probing": account.is_probing,
            "paused_verbs": {
                verb: {**pause, "at": seconds(pause["at"])} for verb, pause in sorted(account.paused_verbs.items())
            },
            "suspicion": {
                "target": self.targets.get(suspicion["target"], "another target" if suspicion["target"] else "none"),
                "at": seconds(suspicion["at"]),
            }
            if suspicion
            else {},
            "failures_in_a_row": account.failures_in_a_row,
            "next_call_at": seconds(account.next_call_at),
            "check_due_at": seconds(account.check_due_at),
            "checked_at": seconds(account.checked_at),
            "check_message": account.check_message,
        }

    def entry(self, entry: JournalEntry) -> str | list[Any]:
        """An event, with its facts where it has any."""
        facts = {name: self.names.get(value, value) for name, value in sorted(entry.facts.items())}
        at = seconds(entry.at)
        return [entry.event, {**facts, **({} if at == "+0 s" else {"at": at})}]

    def readings(self, after: Sequence[Reading]) -> list[Record]:
        mine = self.rows.reading
        return [
            change
            for row in after
            if (change := _changed(_reading_words, mine, row) if mine else {"verb": row.verb, **_reading_words(row)})
        ]


def _reading_words(reading: Reading) -> Record:
    return {
        "due_at": seconds(reading.due_at),
        "every_seconds": reading.every_seconds,
        "tries": reading.tries,
        "read_at": seconds(reading.read_at),
        "message": reading.message,
        "error": reading.error,
    }


def _exam_words(exam: Exam) -> Record:
    return {"ref": exam.ref, "sent_at": seconds(exam.sent_at)}


def _delivery_words(delivery: Delivery) -> Record:
    return {
        "state": str(delivery.state),
        "ref": delivery.ref,
        "has_take_url": bool(delivery.take_url),
        "created_at": seconds(delivery.created_at),
    }


def _session_words(session: Session) -> Record:
    return {
        "state": session.state,
        "asked_at": seconds(session.asked_at),
        "effect_ended_at": seconds(session.effect_ended_at),
    }


def _invitation_words(invitation: Invitation) -> Record:
    return {"sent_at": seconds(invitation.sent_at)}


_TARGET_WORDS: Mapping[type[Model], Callable[[Any], Record]] = {
    Exam: _exam_words,
    Delivery: _delivery_words,
    Session: _session_words,
    Invitation: _invitation_words,
}
