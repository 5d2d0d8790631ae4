from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID

from proctoring.sandbox.faults import KINDS
from proctoring.sandbox.simulator import Document
from proctoring.vendors.base import (
    Created,
    DeliveryOrder,
    DeliveryResult,
    ExamValues,
    Found,
    Person,
    SessionSnapshot,
    SessionState,
    Verb,
)
from proctoring.vendors.errors import Scope
from proctoring.vendors.scorpion.demo import EXAMS
from tests.vendors.contract import AdapterContract, Refusal, Said, Scenario, Stage

NOWHERE = "00000000-0000-4000-8000-00000000dead"
EXAM = ExamValues(
    reference=UUID(int=1), ref=str(EXAMS[0]["ref"]), title="Certified Widget Inspector", duration_minutes=90
)
OTHER_EXAM = ExamValues(reference=UUID(int=2), ref=NOWHERE)
AMOS = Person(reference=UUID(int=3), first_name="Amos", last_name="Burton", email="amos.burton@example.com")
ORDER = DeliveryOrder(reference=UUID(int=4), person=AMOS)
STRANGER = DeliveryOrder(
    reference=UUID(int=5),
    person=Person(reference=UUID(int=6), first_name="Al", last_name="Lee", email="al@example.com", ref=NOWHERE),
)
Act = Callable[[Stage], Any]


def delivery(stage: Stage) -> Document:
    (found,) = (
        item for item in stage.all("deliveries") if item["meta"]["proctoring_reference"] == str(ORDER.reference)
    )
    return found


def create(exam: ExamValues = EXAM, order: DeliveryOrder = ORDER) -> Act:
    return lambda stage: stage.adapter.create_deliveries(exam, [order], stage.sending)


def has_created(stage: Stage, results: list[DeliveryResult]) -> None:
    there, created = delivery(stage), cast(Created, results[0])
    assert (created.reference, created.ref, created.person_ref) == (ORDER.reference, there["id"], there["examinee_id"])
    assert created.take_url == f"{stage.url}/take?launch_token={there['launch_token']}"
    assert created.proctor_url == f"{stage.url}/proctor/{there['proctor_token']}"


def with_a_delivery(stage: Stage) -> None:
    create()(stage)
    stage.noted["first"] = delivery(stage)


def reissue(exam: ExamValues = EXAM, ref: str = "") -> Act:
    return lambda stage: stage.adapter.reissue_link(exam, ORDER, ref or stage.noted["first"]["id"])


def has_a_new_link(stage: Stage, created: Created) -> None:
    assert created.ref == delivery(stage)["id"]
    assert created.take_url.endswith(delivery(stage)["launch_token"])


def new_links(stage: Stage) -> int:
    return int(delivery(stage)["launch_token"] != stage.noted["first"]["launch_token"])


def with_a_right_to_proctor(stage: Stage) -> None:
    with_a_delivery(stage)
    stage.control("set_permission", permission="proctor", is_granted="yes")


def find(stage: Stage) -> Any:
    return stage.adapter.find_deliveries(EXAM, [ORDER], datetime.now(UTC) - timedelta(minutes=1))


def has_found(stage: Stage, found: list[Found]) -> None:
    assert found[0].created.ref == stage.noted["first"]["id"]
    assert found[0].created.take_url.endswith(delivery(stage)["launch_token"])
    assert found[0].created.proctor_url.endswith(delivery(stage)["proctor_token"])


def with_a_finished_delivery(stage: Stage) -> None:
    with_a_delivery(stage)
    stage.control("set_delivery", delivery_id=stage.noted["first"]["id"], status="complete", score="88")


def read(ref: str = "") -> Act:
    return lambda stage: stage.adapter.read_delivery(EXAM, ref or stage.noted["first"]["id"])


def has_read(stage: Stage, session: SessionSnapshot) -> None:
    assert (session.ref, session.state, session.score) == (delivery(stage)["id"], SessionState.COMPLETE, 88.0)
    assert session.person_ref == delivery(stage)["examinee_id"]


def without(permission: str) -> Refusal:
    return Refusal(
        spoil=lambda stage: stage.control("set_permission", permission=permission, is_granted="no"),
        says=Said.MISCONFIGURED,
        scope=Scope.VERB,
        words=permission,
    )


OLD_TOKEN = Refusal(
    spoil=lambda stage: stage.control("regenerate_credentials"),
    says=Said.MISCONFIGURED,
    scope=Scope.ACCOUNT,
    words="Expired",
)


class TestScorpion(AdapterContract):
    vendor = "scorpion"
    secret_names = frozenset({"secret", "token", "launch_token", "proctor_token"})
    scenarios = {
        Verb.CREATE_DELIVERIES: Scenario(
            call=create(),
            check=has_created,
            times=lambda stage: len(stage.all("deliveries")),
            look=lambda stage, unknown: find(stage),
            refusals={
                "old-token": OLD_TOKEN,
                "no-permission": without("create"),
                "no-such-exam": Refusal(call=create(OTHER_EXAM), says=Said.REJECTED, words="No such exam"),
                "no-such-examinee": Refusal(call=create(order=STRANGER), says=Said.REJECTED, words="examinee_id"),
            },
        ),
        Verb.REISSUE_LINK: Scenario(
            prepare=with_a_delivery,
            call=reissue(),
            check=has_a_new_link,
            times=new_links,
            refusals={
                "old-token": OLD_TOKEN,
                "no-permission": without("view"),
                "no-such-delivery": Refusal(call=reissue(ref=NOWHERE), says=Said.REJECTED, words="No such delivery"),
            },
        ),
        Verb.CHECK: Scenario(
            call=lambda stage: stage.adapter.check([EXAM.ref]),
            check=lambda stage, checked: None,
            refusals={"old-token": OLD_TOKEN},
            reads={
                # What is not from the API says nothing of the token; whatever the API itself answers accepts it.
                **{(1, kind): Said.CANNOT_TELL for kind in ("html", "truncated_json", "redirect")},
                **{(1, kind): Said.DONE for kind in ("empty_204", "wrong_json", "null_json")},
            },
        ),
        Verb.FIND_DELIVERIES: Scenario(
            prepare=with_a_right_to_proctor,
            call=find,
            check=has_found,
            exchanges=3,
            changes_links=True,
            refusals={"old-token": OLD_TOKEN, "no-permission": without("view")},
            # Found is found: a link that could not be had can be asked for later.
            reads={
                **{(2, kind): Said.NO_LINK for kind in set(KINDS) - {"slow"}},
                **{(3, kind): Said.DONE for kind in KINDS},
            },
        ),
        Verb.READ_DELIVERY: Scenario(
            prepare=with_a_finished_delivery,
            call=read(),
            check=has_read,
            refusals={
                "old-token": OLD_TOKEN,
                "no-permission": without("view"),
                "no-such-delivery": Refusal(call=read(NOWHERE), says=Said.REJECTED, words="No such delivery"),
            },
        ),
    }
