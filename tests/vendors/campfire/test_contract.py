from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

from proctoring.sandbox.simulator import Document
from proctoring.vendors.base import (
    Checked,
    ExamConfig,
    Response,
    SessionOrder,
    SessionPage,
    SessionQuery,
    SessionResult,
    SessionSnapshot,
    SessionState,
    Verb,
    Verdict,
)
from proctoring.vendors.campfire.adapter import SessionOutcomeUnknown
from proctoring.vendors.campfire.demo import EXAMS
from proctoring.vendors.errors import Scope, VendorError
from tests.vendors.contract import UNREADABLE_BODIES, AdapterContract, Refusal, Said, Scenario, Stage

ONE_ATTEMPT, MANY_ATTEMPTS = (str(exam["settings"]["config_refs"][0]) for exam in EXAMS)  # type: ignore[index]
NOWHERE = "00000000-0000-4000-8000-00000000dead"
EVERYTHING = ("results", "responses")
REFERENCE = UUID(int=1)
Act = Callable[[Stage], Any]


def one(name: str, config: str = ONE_ATTEMPT) -> Act:
    """Chooses the session of a candidate, and keeps what a preview would show of it."""

    def choose(stage: Stage) -> None:
        (found,) = (item for item in stage.all("sessions") if (item["name"], item["exam_config_id"]) == (name, config))
        expected = stage.adapter.read_session(found["id"], EVERYTHING)
        stage.noted["order"] = SessionOrder(reference=REFERENCE, ref=found["id"], expected=expected)

    return choose


def session(stage: Stage) -> Document:
    (found,) = (item for item in stage.all("sessions") if item["id"] == stage.noted["order"].ref)
    return found


def has_changed(stage: Stage) -> None:
    stage.control("set_session", session_id=stage.noted["order"].ref, maturity="PAUSED", answers="wrong")


def has_vanished(stage: Stage) -> None:
    stage.control("remove_session", session_id=stage.noted["order"].ref)


def reset(stage: Stage) -> SessionResult:
    return stage.adapter.reset(stage.noted["order"], stage.sending)


def is_reset(stage: Stage, result: SessionResult) -> None:
    happened(stage, result)
    assert (session(stage)["answers"], session(stage)["score_actual"]) == ({}, None)
    assert result.before is not None
    assert result.before.responses == stage.noted["order"].expected.responses != {}


def reopen(stage: Stage) -> SessionResult:
    return stage.adapter.reopen(stage.noted["order"], stage.sending)


def is_reopened(stage: Stage, result: SessionResult) -> None:
    happened(stage, result)
    assert session(stage)["maturity"] == "IN_PROGRESS"


def retake(stage: Stage) -> SessionResult:
    return stage.adapter.retake(stage.noted["order"], stage.sending)


def is_retaken(stage: Stage, result: SessionResult) -> None:
    happened(stage, result)
    assert session(stage)["answers"] == {}
    assert len(session(stage)["earlier_attempts"]) == 1


def happened(stage: Stage, result: SessionResult) -> None:
    assert (result.reference, result.verdict) == (REFERENCE, Verdict.HAPPENED)
    assert result.before == stage.noted["order"].expected
    assert result.after is not None
    assert result.after.vendor_state == session(stage)["maturity"]


def submit(*options: int) -> Act:
    def act(stage: Stage) -> SessionResult:
        expected = stage.noted["order"].expected
        item = next(exam for exam in stage.all("exams") if exam["id"] == expected.exam_ref)["items"][0]
        answer = Response(item_ref=item["id"], question_ref=item["questions"][0]["id"], option_indexes=options)
        order = stage.noted["order"] = replace(stage.noted["order"], responses=(answer,), submit_for_scoring=True)
        return stage.adapter.submit_responses(order, stage.sending)

    return act


def is_submitted(stage: Stage, result: SessionResult) -> None:
    happened(stage, result)
    assert answers(stage) == 1
    assert (session(stage)["maturity"], session(stage)["scores"]) == ("COMPLETE", scored(stage))


def answers(stage: Stage) -> int:
    return len(session(stage)["answers"])


def scored(stage: Stage) -> dict[str, int]:
    """The one question that was answered is right, the others are not."""
    first = next(iter(session(stage)["answers"]))
    return {item: int(item == first) for item in session(stage)["scores"]}


def look(verb: Verb) -> Callable[[Stage, VendorError], SessionResult]:
    """Compares with what was read just before the effect, which the error carries."""

    def act(stage: Stage, unknown: VendorError) -> SessionResult:
        assert isinstance(unknown, SessionOutcomeUnknown)
        return stage.adapter.look_at(replace(stage.noted["order"], expected=unknown.before), verb)

    return act


def list_all(config: str = ONE_ATTEMPT) -> Act:
    query = SessionQuery(config_refs=(config,), include=EVERYTHING)
    return lambda stage: list(stage.adapter.list_sessions(query))


def are_all_listed(stage: Stage, pages: list[SessionPage]) -> None:
    there = {item["id"]: item["maturity"] for item in stage.all("sessions") if item["exam_config_id"] == ONE_ATTEMPT}
    assert {found.ref: found.vendor_state for page in pages for found in page.sessions} == there
    assert pages[0].total == len(there)


def read(ref: str = "") -> Act:
    return lambda stage: stage.adapter.read_session(ref or stage.noted["order"].ref, EVERYTHING)


def read_results(ref: str = "") -> Act:
    return lambda stage: stage.adapter.read_results(ref or stage.noted["order"].ref)


def read_config(ref: str) -> Act:
    return lambda stage: stage.adapter.read_exam_config(ref)


def is_config(stage: Stage, found: ExamConfig) -> None:
    assert (found.ref, found.allows_retakes) == (MANY_ATTEMPTS, True)


def is_read(stage: Stage, found: SessionSnapshot) -> None:
    there = session(stage)
    assert (found.ref, found.state, found.name) == (there["id"], SessionState.COMPLETE, there["name"])
    assert (found.score, found.has_responses) == (float(there["score_actual"]), True)


def counts_all(stage: Stage, checked: Checked) -> None:
    assert str(len(stage.all("sessions"))) in checked.message


OLD_KEYS = Refusal(
    spoil=lambda stage: stage.control("regenerate_credentials"), says=Said.MISCONFIGURED, scope=Scope.ACCOUNT
)
VANISHED = Refusal(spoil=has_vanished, says=Said.REJECTED, words="no such exam session")

# What an action answers is not documented and not read: any 2xx took it, and the session shows what became of it. A web
# page is from something in front of the vendor; then only what the session itself proves counts.
PROVED_BY_THE_SESSION = {(2, kind): Said.DONE for kind in (*UNREADABLE_BODIES, "html")}
PROVED_BY_NOTHING = PROVED_BY_THE_SESSION | {(2, "html"): Said.CANNOT_TELL}


class TestCampfire(AdapterContract):
    vendor = "campfire"
    secret_names = frozenset({"secret"})
    scenarios = {
        Verb.CHECK: Scenario(
            call=lambda stage: stage.adapter.check(), check=counts_all, refusals={"old-keys": OLD_KEYS}
        ),
        Verb.LIST_SESSIONS: Scenario(
            call=list_all(),
            check=are_all_listed,
            exchanges=2,
            refusals={
                "old-keys": OLD_KEYS,
                "no-filter": Refusal(call=list_all("no-uuid"), says=Said.REJECTED, words="examConfigIds"),
            },
        ),
        Verb.READ_SESSION: Scenario(
            prepare=one("Amos Burton"),
            call=read(),
            check=is_read,
            refusals={
                "old-keys": OLD_KEYS,
                "vanished": VANISHED,
                "no-uuid": Refusal(call=read("x"), says=Said.REJECTED),
            },
        ),
        Verb.READ_RESULTS: Scenario(
            prepare=one("Amos Burton"),
            call=read_results(),
            check=is_read,
            refusals={"old-keys": OLD_KEYS, "vanished": VANISHED},
        ),
        Verb.READ_EXAM_CONFIG: Scenario(
            call=read_config(MANY_ATTEMPTS),
            check=is_config,
            refusals={
                "old-keys": OLD_KEYS,
                "nowhere": Refusal(call=read_config(NOWHERE), says=Said.REJECTED, words="no such exam config"),
            },
        ),
        Verb.SUBMIT_RESPONSES: Scenario(
            prepare=one("Robin Roe"),
            call=submit(2),
            check=is_submitted,
            times=answers,
            exchanges=3,
            effect_at=2,
            look=look(Verb.SUBMIT_RESPONSES),
            look_tells="that it happened",
            change=has_changed,
            reads=PROVED_BY_THE_SESSION,
            refusals={
                "old-keys": OLD_KEYS,
                "vanished": VANISHED,
                "no-such-option": Refusal(call=submit(99), says=Said.REJECTED, words="index"),
            },
        ),
        Verb.RESET: Scenario(
            prepare=one("Amos Burton"),
            call=reset,
            check=is_reset,
            times=lambda stage: int(session(stage)["resets"]),
            exchanges=3,
            effect_at=2,
            look=look(Verb.RESET),
            change=has_changed,
            reads=PROVED_BY_THE_SESSION,
            refusals={"old-keys": OLD_KEYS, "vanished": VANISHED},
        ),
        Verb.REOPEN: Scenario(
            prepare=one("Amos Burton"),
            call=reopen,
            check=is_reopened,
            times=lambda stage: int(session(stage)["reopens"]),
            exchanges=3,
            effect_at=2,
            look=look(Verb.REOPEN),
            change=has_changed,
            reads=PROVED_BY_THE_SESSION,
            refusals={"old-keys": OLD_KEYS, "vanished": VANISHED},
        ),
        Verb.RETAKE: Scenario(
            prepare=one("Amos Burton", MANY_ATTEMPTS),
            call=retake,
            check=is_retaken,
            times=lambda stage: int(session(stage)["attempt"]) - 1,
            exchanges=3,
            effect_at=2,
            look=look(Verb.RETAKE),
            look_tells=False,
            change=has_changed,
            reads=PROVED_BY_NOTHING,
            refusals={
                "old-keys": OLD_KEYS,
                "vanished": VANISHED,
                "one-attempt-only": Refusal(
                    spoil=one("Amos Burton", ONE_ATTEMPT), says=Said.REJECTED, words="not multi-attempt"
                ),
            },
        ),
    }
