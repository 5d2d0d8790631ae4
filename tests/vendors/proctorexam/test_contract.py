from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID

from proctoring.sandbox.simulator import Document
from proctoring.vendors.base import JSON, Checked, ExamResult, ExamValues, FieldVerdict, Verb
from proctoring.vendors.errors import Scope
from proctoring.vendors.proctorexam.demo import EXAMS
from tests.vendors.contract import AdapterContract, Refusal, Said, Scenario, Stage

EXAM = ExamValues(
    reference=UUID(int=1),
    ref=str(EXAMS[0]["ref"]),
    title="Bookkeeping, second sitting",
    starts_at=datetime(2031, 3, 3, 9, tzinfo=UTC),
    ends_at=datetime(2031, 3, 3, 11, tzinfo=UTC),
    duration_minutes=75,
    settings=cast("dict[str, JSON]", EXAMS[0]["settings"]),
)
OF_ANOTHER_INSTITUTE = "3"
Act = Callable[[Stage], Any]


def exam(stage: Stage) -> Document:
    (found,) = (item for item in stage.all("exams") if str(item["id"]) == EXAM.ref)
    return found


def update(values: ExamValues = EXAM) -> Act:
    return lambda stage: stage.adapter.update_exam(values, stage.sending)


def is_updated(stage: Stage, result: ExamResult) -> None:
    there = exam(stage)
    assert (result.ref, there["name"], there["duration_minutes"]) == (EXAM.ref, EXAM.title, EXAM.duration_minutes)
    assert datetime.fromisoformat(there["start_time"]) == EXAM.starts_at
    assert there["allowed_calculator_type"] == "Basic"
    assert not [check.name for check in result.checks if check.verdict is FieldVerdict.DIFFERS]


def renamed(stage: Stage) -> int:
    return int(exam(stage)["name"] == EXAM.title)


def check(stage: Stage) -> Checked:
    return stage.adapter.check([EXAM.ref])


OLD_TOKEN = Refusal(
    spoil=lambda stage: stage.control("regenerate_credentials"), says=Said.MISCONFIGURED, scope=Scope.ACCOUNT
)
WRONG_KEY = Refusal(
    spoil=lambda stage: stage.with_credentials(secret_key="another-secret-key"),
    says=Said.MISCONFIGURED,
    scope=Scope.ACCOUNT,
    words="signature",
)
WRONG_CLOCK = Refusal(
    spoil=lambda stage: stage.control("set_clock", seconds="600"), says=Said.MISCONFIGURED, words="clock"
)


class TestProctorExam(AdapterContract):
    vendor = "proctorexam"
    secret_names = frozenset({"token", "secret_key"})
    bookkeeping = frozenset({"nonces"})
    scenarios = {
        Verb.UPDATE_EXAM: Scenario(
            call=update(),
            check=is_updated,
            times=renamed,
            refusals={
                "old-token": OLD_TOKEN,
                "wrong-key": WRONG_KEY,
                "wrong-clock": WRONG_CLOCK,
                "no-right": Refusal(
                    spoil=lambda stage: stage.control("set_right_to_update", is_on="no"),
                    says=Said.MISCONFIGURED,
                    words="right",
                ),
                "not-ours": Refusal(call=update(replace(EXAM, ref=OF_ANOTHER_INSTITUTE)), says=Said.MISCONFIGURED),
                "no-such-exam": Refusal(call=update(replace(EXAM, ref="404")), says=Said.REJECTED, words="find Exam"),
            },
        ),
        Verb.CHECK: Scenario(
            call=check,
            check=lambda stage, checked: None,
            refusals={
                "old-token": OLD_TOKEN,
                # How a GET is signed is not documented: a 403 may be about that.
                "wrong-key": Refusal(spoil=WRONG_KEY.spoil, says=Said.CANNOT_TELL, words="403"),
            },
            # What a read answers is not documented either: any JSON came from behind the token and the signature.
            reads={(1, kind): Said.DONE for kind in ("wrong_json", "null_json")},
        ),
    }
