from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID

from proctoring.vendors.base import (
    JSON,
    AccountValues,
    Created,
    DeliveryOrder,
    DeliveryResult,
    ExamValues,
    Person,
    Verb,
)
from proctoring.vendors.cirrus.demo import EXAMS
from proctoring.vendors.errors import Scope
from tests.vendors.contract import AdapterContract, Refusal, Said, Scenario, Stage

PASSWORD, PIN = "Pässwörd-of-a-candidate", "q#7Z"
SETTINGS = {**cast("dict[str, JSON]", EXAMS[0]["settings"]), "pin": PIN, "use_proctorio": True, "use_key_code": True}
EXAM = ExamValues(
    reference=UUID(int=1),
    ref=str(EXAMS[0]["ref"]),
    title=str(EXAMS[0]["title"]),
    starts_at=datetime(2031, 3, 3, 9, tzinfo=UTC),
    duration_minutes=90,
    settings=SETTINGS,
)
NO_ASSESSMENT = replace(EXAM, ref="NOTHING-1")
INACTIVE_GROUP = replace(EXAM, settings={**SETTINGS, "group_ext_id": "WIDGETS-OLD"})
ALWAYS = 3  # candidates of one call
Act = Callable[[Stage], Any]


def orders(count: int = ALWAYS) -> list[DeliveryOrder]:
    return [
        DeliveryOrder(
            reference=UUID(int=100 + number),
            person=Person(
                reference=UUID(int=1000 + number),
                first_name="Ann",
                last_name=f"Lee {number}",
                email=f"ann{number}@example.org",
                special_needs=number == 1,
                extra_time_percent=25 if number == 1 else 0,
            ),
            options={"password": PASSWORD} if number == 0 else {},
        )
        for number in range(count)
    ]


def create(exam: ExamValues = EXAM) -> Act:
    return lambda stage: stage.adapter.create_deliveries(exam, orders(), stage.sending)


def create_many(stage: Stage, count: int) -> Sequence[DeliveryResult]:
    return stage.adapter.create_deliveries(EXAM, orders(count), stage.sending)


def are_created(stage: Stage, results: Sequence[DeliveryResult]) -> None:
    (schedule,) = stage.all("schedules")
    attempts = {item["candidate_ext_id"]: item for item in stage.all("attempts")}
    created = [cast(Created, result) for result in results]
    assert schedule["ext_id"] == str(stage.sending.group)
    assert [result.reference for result in created] == [order.reference for order in orders()]
    assert {result.person_ref for result in created} == set(attempts)
    assert all(attempts[result.person_ref]["proctorio_key"][:30] in result.take_url for result in created)
    assert {item["reasonable_adjustment_percentage"] for item in attempts.values()} == {None, 25}


def made(stage: Stage) -> int:
    """One for each schedule and all of its candidates; candidates doubled or missing are no whole number."""
    return len(stage.all("schedules")) if len(stage.all("attempts")) == ALWAYS * len(stage.all("schedules")) else 99


def check(ref: str = EXAM.ref) -> Act:
    return lambda stage: stage.adapter.check([ref])


OLD_TOKEN = Refusal(
    spoil=lambda stage: stage.control("regenerate_token"), says=Said.MISCONFIGURED, scope=Scope.ACCOUNT, words="403"
)
NOT_ALLOWED = Refusal(
    spoil=lambda stage: stage.control("set_api_use", is_allowed="no"), says=Said.MISCONFIGURED, scope=Scope.ACCOUNT
)


def with_every_envelope(spoil: Act, says: Said, words: str, call: Act | None = None) -> dict[str, Refusal]:
    """The same refusal in each of the shapes that Cirrus is known to use, one of which is a 200."""

    def spoilt(shape: str) -> Act:
        def act(stage: Stage) -> None:
            stage.control("set_refusals", refusals=shape)
            spoil(stage)

        return act

    shapes = ("errors", "error_objects", "message_400", "message_200")
    scope = Scope.ACCOUNT if says is Said.MISCONFIGURED else None
    return {shape: Refusal(spoil=spoilt(shape), says=says, words=words, call=call, scope=scope) for shape in shapes}


class TestCirrus(AdapterContract):
    vendor = "cirrus"
    secret_names = frozenset({"token", "pin", "session", "proctorio_key"})
    secrets = frozenset({PASSWORD, PIN})
    bookkeeping = frozenset({"reads"})
    scenarios = {
        Verb.CREATE_DELIVERIES: Scenario(
            call=create(),
            check=are_created,
            times=made,
            many=create_many,
            refusals={
                "old-token": OLD_TOKEN,
                "not-allowed": NOT_ALLOWED,
                **with_every_envelope(
                    lambda stage: stage.control("set_scheduler", user_name=""), Said.MISCONFIGURED, "Scheduler"
                ),
                **{
                    f"assessment-{shape}": refusal
                    for shape, refusal in with_every_envelope(
                        lambda stage: None, Said.REJECTED, "Assessment", create(NO_ASSESSMENT)
                    ).items()
                },
                "group-inactive": Refusal(call=create(INACTIVE_GROUP), says=Said.REJECTED, words="active"),
            },
        ),
        Verb.CHECK: Scenario(
            call=check(),
            check=lambda stage, checked: None,
            refusals={
                "old-token": OLD_TOKEN,
                "not-allowed": NOT_ALLOWED,
                "no-assessment": Refusal(call=check("NOTHING-1"), says=Said.CANNOT_TELL, words="Assessment"),
            },
            # Something answered, but not with an assessment: that says nothing of the token.
            reads={
                (1, kind): Said.CANNOT_TELL
                for kind in ("html", "empty_204", "truncated_json", "wrong_json", "null_json")
            },
        ),
    }

    @classmethod
    def account(cls, base_url: str) -> AccountValues:
        return replace(super().account(base_url), settings={"site_url": base_url})
