"""Contracts that prove too little, and adapters that break one rule each: `test_contract.py` sees that they fail.

The file is not collected by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

from proctoring.vendors.base import (
    AccountValues,
    Adapter,
    Basis,
    Capability,
    Checked,
    Clock,
    DeliveryOrder,
    DeliveryResult,
    ExamValues,
    Facts,
    HttpRequest,
    HttpResponse,
    Sending,
    SessionSnapshot,
    SessionState,
    Transport,
    Verb,
)
from proctoring.vendors.errors import Misconfigured, OutcomeUnknown, Scope
from proctoring.vendors.replies import judge, read_object
from proctoring.vendors.scorpion.adapter import ScorpionAdapter
from tests.vendors.contract import AdapterContract, Refusal, Said, Scenario, Stage
from tests.vendors.scorpion import test_contract as scorpion


class PlainAdapter(Adapter):
    """Does one thing, and that well."""

    FACTS = Facts(
        key="scorpion",
        title="Plain",
        page="https://vendor.example/api",
        base_url="https://vendor.example",
        capabilities={Verb.CHECK: Capability(basis=Basis.CLIENTS)},
    )

    def check(self, exam_refs: Sequence[str] = ()) -> Checked:
        self.read(self.ask())
        return Checked(message="It works.")

    def ask(self) -> HttpResponse:
        headers = {"Authorization": f"Basic {self.account.credentials['token']}"}
        url = f"{self.account.base_url}/api/exams/{scorpion.EXAM.ref}"
        return self.transport(HttpRequest(method="GET", url=url, headers=headers), is_effect=False)

    def read(self, response: HttpResponse) -> Any:
        judge(response, is_effect=False, is_repeatable=True, now=self.clock())
        found = read_object(response, is_effect=False)
        return found if found["id"] else read_object(HttpResponse(status=200), is_effect=False)


class Leaking(PlainAdapter):
    def check(self, exam_refs: Sequence[str] = ()) -> Checked:
        if self.ask().status == 401:
            raise Misconfigured(f"{self.account.credentials['token']} does not work.", scope=Scope.ACCOUNT)
        return super().check(exam_refs)


class Crashing(PlainAdapter):
    def read(self, response: HttpResponse) -> Any:
        return super().read(response)["id"] if response.body.startswith(b"{") else response.headers["x-missing"]


class Guessing(PlainAdapter):
    def read(self, response: HttpResponse) -> Any:
        return super().read(response) if response.status == 401 else None


class Silent(PlainAdapter):
    def read_delivery(self, exam: ExamValues, ref: str) -> SessionSnapshot:
        return SessionSnapshot(ref=ref, state=SessionState.UNKNOWN)


class CreatingAdapter(ScorpionAdapter):
    FACTS = replace(
        ScorpionAdapter.FACTS,
        capabilities={Verb.CREATE_DELIVERIES: ScorpionAdapter.FACTS.capabilities[Verb.CREATE_DELIVERIES]},
    )


class Doubling(CreatingAdapter):
    def create_deliveries(
        self, exam: ExamValues, orders: Sequence[DeliveryOrder], sending: Sending
    ) -> Sequence[DeliveryResult]:
        try:
            return super().create_deliveries(exam, orders, sending)
        except OutcomeUnknown:
            return super().create_deliveries(exam, orders, sending)


class Mislabelling(CreatingAdapter):
    def __init__(self, account: AccountValues, transport: Transport, clock: Clock) -> None:
        super().__init__(account, lambda request, *, is_effect: transport(request, is_effect=False), clock)


WHOLE = Scenario(
    call=lambda stage: stage.adapter.check(),
    check=lambda stage, checked: None,
    refusals={"old-token": scorpion.OLD_TOKEN},
)


def no_call(stage: Stage) -> Checked:
    return Checked(message="Surely it works.")


class PlainContract(AdapterContract):
    vendor = "scorpion"
    scenarios = {Verb.CHECK: WHOLE}
    adapter: ClassVar[type[Adapter]] = PlainAdapter

    @classmethod
    def adapter_class(cls) -> type[Adapter]:
        return cls.adapter


class TestWhole(PlainContract):
    """The others are it, but for one thing."""


class TestNoScenario(PlainContract):
    scenarios = {}


class TestNoRefusal(PlainContract):
    scenarios = {Verb.CHECK: replace(WHOLE, refusals={})}


class TestNoVendor(PlainContract):
    scenarios = {Verb.CHECK: replace(WHOLE, call=no_call)}


class TestRefusalNotOverHttp(PlainContract):
    scenarios = {Verb.CHECK: replace(WHOLE, refusals={"imagined": Refusal(call=no_call, says=Said.DONE)})}


class TestOneScenarioTooMany(PlainContract):
    scenarios = {Verb.CHECK: WHOLE, Verb.RESET: WHOLE}


class TestLeaking(PlainContract):
    adapter = Leaking


class TestCrashing(PlainContract):
    adapter = Crashing


class TestGuessing(PlainContract):
    adapter = Guessing


class TestSilent(PlainContract):
    adapter = Silent


class CreatingContract(PlainContract):
    scenarios = {Verb.CREATE_DELIVERIES: scorpion.TestScorpion.scenarios[Verb.CREATE_DELIVERIES]}
    adapter = CreatingAdapter


class TestUncounted(CreatingContract):
    scenarios = {Verb.CREATE_DELIVERIES: replace(CreatingContract.scenarios[Verb.CREATE_DELIVERIES], times=None)}


class TestDoubling(CreatingContract):
    adapter = Doubling


class TestMislabelling(CreatingContract):
    adapter = Mislabelling
