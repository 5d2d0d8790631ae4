from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID

from proctoring.sandbox.simulator import Document
from proctoring.vendors.base import JSON, ExamResult, ExamValues, FieldVerdict, Verb
from proctoring.vendors.errors import Scope
from proctoring.vendors.smarterproctoring.demo import EXAMS
from tests.vendors.contract import UNREADABLE_BODIES, AdapterContract, Refusal, Said, Scenario, Stage

SETTINGS = cast("dict[str, JSON]", EXAMS[0]["settings"])
EXAM = ExamValues(
    reference=UUID("6f0c2b1e-3a44-4e57-9f5e-0d5b8f0a1c22"),
    title=str(EXAMS[0]["title"]),
    starts_at=datetime(2031, 3, 3, 9, tzinfo=UTC),
    ends_at=datetime(2031, 3, 4, 9, tzinfo=UTC),
    duration_minutes=90,
    settings=SETTINGS,
)
LONG_EXAM = replace(EXAM, duration_minutes=500)
NO_COURSE = replace(EXAM, settings={**SETTINGS, "courseSid": f"CU{'0' * 32}"})
OTHER_SYSTEM = replace(EXAM, settings={**SETTINGS, "examDeliverySystemModule": "paper"})
Act = Callable[[Stage], Any]


def mine(stage: Stage) -> list[Document]:
    return [item for item in stage.all("exams") if item["configuration"]["apiExamId"] == str(EXAM.reference)]


def create(exam: ExamValues = EXAM) -> Act:
    return lambda stage: stage.adapter.create_exam(exam, stage.sending)


def is_created(stage: Stage, result: ExamResult) -> None:
    (there,) = mine(stage)
    assert (result.ref, there["title"], there["courseSid"]) == (there["sid"], EXAM.title, SETTINGS["courseSid"])
    assert there["configuration"]["password"] == SETTINGS["configuration"]["password"]
    assert not [check.name for check in result.checks if check.verdict is FieldVerdict.DIFFERS]


def find(exam: ExamValues = EXAM) -> Act:
    return lambda stage: stage.adapter.find_exam(exam)


def expire(stage: Stage) -> None:
    stage.control("expire_token")


def follow_the_older_specification(stage: Stage) -> None:
    stage.control("set_older_specification", is_on="yes")


EXPIRED = Refusal(spoil=expire, says=Said.MISCONFIGURED, scope=Scope.ACCOUNT, words="expired")
ANOTHER_INSTALL = Refusal(
    spoil=lambda stage: stage.with_settings(install_sid=f"AI{'0' * 32}"),
    says=Said.MISCONFIGURED,
    scope=Scope.VERB,
    words="installSid",
)


class TestSmarterProctoring(AdapterContract):
    vendor = "smarterproctoring"
    secret_names = frozenset({"token", "password"})
    scenarios = {
        Verb.CREATE_EXAM: Scenario(
            call=create(),
            check=is_created,
            times=lambda stage: len(mine(stage)),
            look=lambda stage, unknown: find()(stage),
            refusals={
                "expired-token": EXPIRED,
                "another-install": ANOTHER_INSTALL,
                "no-such-course": Refusal(call=create(NO_COURSE), says=Said.REJECTED, words="courseSid"),
                "no-such-system": Refusal(call=create(OTHER_SYSTEM), says=Said.REJECTED, words="examDeliverySystem"),
                "too-long": Refusal(
                    spoil=follow_the_older_specification, call=create(LONG_EXAM), says=Said.REJECTED, words="480"
                ),
            },
        ),
        Verb.FIND_EXAM: Scenario(
            prepare=create(),
            call=find(),
            check=is_created,
            refusals={
                "expired-token": EXPIRED,
                "another-install": ANOTHER_INSTALL,
                "no-such-course": Refusal(call=find(NO_COURSE), says=Said.REJECTED, words="courseSid"),
                "not-there": Refusal(call=find(replace(EXAM, reference=UUID(int=9), title="x")), says=Said.NOT_FOUND),
            },
        ),
        Verb.CHECK: Scenario(
            call=lambda stage: stage.adapter.check(),
            check=lambda stage, checked: None,
            refusals={"expired-token": EXPIRED},
            reads={
                # The shape of the reply is not published: every 2xx counts that is no web page.
                (1, "html"): Said.CANNOT_TELL,
                **{(1, kind): Said.DONE for kind in UNREADABLE_BODIES},
            },
        ),
    }
