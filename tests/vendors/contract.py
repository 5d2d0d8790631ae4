"""What every vendor must prove: each verb it declares, against its simulator over real HTTP.

A vendor's tests subclass `AdapterContract` and give a `Scenario` for each verb of its FACTS. Success, every refusal and
every fault the sandbox knows are generated from what is declared, so that what has no scenario fails.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import Enum, StrEnum
from functools import partial
from inspect import signature
from typing import Any, ClassVar, Literal
from uuid import UUID

import pytest

from proctoring.sandbox.faults import KINDS
from proctoring.sandbox.server import Sandbox
from proctoring.sandbox.simulator import Document
from proctoring.vendors import masking, registry
from proctoring.vendors.base import (
    Absent,
    AccountValues,
    Adapter,
    Ambiguous,
    Capability,
    Checked,
    Created,
    ExamResult,
    Facts,
    Found,
    HttpRequest,
    HttpResponse,
    Refused,
    Repeat,
    Sending,
    SessionResult,
    Unclear,
    Verb,
    Verdict,
)
from proctoring.vendors.cleaning import UNFIT
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
from proctoring.vendors.http import Limits, exchange

PATIENCE = Limits(deadline_seconds=10.0, allow_private=True)
IMPATIENCE = Limits(deadline_seconds=0.25, allow_private=True)  # for the one exchange that will get no answer
QUIET_SECONDS = 5.0
RETRY_AFTER_SECONDS = 30
SECONDS: Mapping[str, float] = {"slow": 0.02, "drip": 0.03, "429_retry_after": RETRY_AFTER_SECONDS}
UNFIT_WORDS = "so \ud800 and \0 and \x1b there"  # as JSON has them: escaped
PLAIN_TEXTS = frozenset({"content", "description", "label", "message", "messages", "note", "text", "title"})
SHORTEST_SECRET = 4  # characters; shorter ones are found in anything


class Said(StrEnum):
    """What an adapter made of an answer, or of none."""

    DONE = "done"
    NO_LINK = "done, its link missing"
    NOT_FOUND = "not there"
    CANNOT_TELL = "cannot tell"
    DID_NOT = "did not happen"
    UNAVAILABLE = "not now"
    UNKNOWN = "unknown"
    CHANGED = "changed since the preview"
    REJECTED = "refused"
    MISCONFIGURED = "account at fault"
    UNSUPPORTED = "cannot be expressed"


ERRORS: Sequence[tuple[type[VendorError], Said]] = (
    (Changed, Said.CHANGED),
    (Rejected, Said.REJECTED),
    (Unavailable, Said.UNAVAILABLE),
    (OutcomeUnknown, Said.UNKNOWN),
    (Misconfigured, Said.MISCONFIGURED),
    (Unsupported, Said.UNSUPPORTED),
)
VERDICTS = {Verdict.HAPPENED: Said.DONE, Verdict.DID_NOT: Said.DID_NOT, Verdict.CANNOT_TELL: Said.CANNOT_TELL}
PARTS: Mapping[type, Said] = {
    Created: Said.DONE,
    Found: Said.DONE,
    Refused: Said.REJECTED,
    Absent: Said.NOT_FOUND,
    Unclear: Said.CANNOT_TELL,
    Ambiguous: Said.CANNOT_TELL,
}
HARMLESS_TO_BELIEVE = frozenset({Said.UNAVAILABLE, Said.REJECTED, Said.DID_NOT, Said.MISCONFIGURED, Said.CHANGED})


class Telling(Enum):
    """What an exchange spoilt by a fault tells whoever sent the request."""

    ANSWER = "a whole answer, only later"
    NOT_TAKEN = "that the vendor did not act"
    BUSY = "nothing, but asks to come back"
    SILENCE = "nothing within the deadline"
    NOISE = "nothing that can be read"


TELLS: Mapping[str, Telling] = {
    "slow": Telling.ANSWER,
    "drip": Telling.SILENCE,
    "refused": Telling.NOT_TAKEN,
    "reset": Telling.NOISE,
    "reset_after": Telling.NOISE,
    "timeout_before": Telling.SILENCE,
    "timeout_after": Telling.SILENCE,
    "late_effect": Telling.SILENCE,
    "429": Telling.NOT_TAKEN,
    "429_retry_after": Telling.NOT_TAKEN,
    "500_before": Telling.NOISE,
    "500_after": Telling.NOISE,
    "502_before": Telling.NOISE,
    "502_after": Telling.NOISE,
    "503_before": Telling.BUSY,
    "503_after": Telling.BUSY,
    "html": Telling.NOISE,
    "empty_204": Telling.NOISE,
    "short_body": Telling.NOISE,
    "truncated_json": Telling.NOISE,
    "wrong_json": Telling.NOISE,
    "null_json": Telling.NOISE,
    "redirect": Telling.NOISE,
}
UNREADABLE_BODIES = ("empty_204", "truncated_json", "wrong_json", "null_json")  # a 2xx with nothing in it


LOOKED_UP_BY = {Verb.CREATE_DELIVERIES: Verb.FIND_DELIVERIES, Verb.CREATE_EXAM: Verb.FIND_EXAM}
SESSION_EFFECTS = frozenset({Verb.SUBMIT_RESPONSES, Verb.RESET, Verb.REOPEN, Verb.RETAKE})


def vendor_acts(kind: str) -> bool:
    """Whether the vendor does what it was asked under a fault, by the fault's own description."""
    sentence = KINDS[kind].sentence
    return "nothing happens" not in sentence and not sentence.startswith("Refuses")


# -- what a vendor's tests say of each verb


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A kind of fault and the exchange of the call, counted from 1, that it spoils."""

    kind: str
    at: int = 1


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """One way for the vendor to say no: what is spoilt beforehand, or another call; `words` are part of the message."""

    says: Said
    spoil: Callable[[Stage], Any] = lambda stage: None
    call: Callable[[Stage], Any] | None = None
    scope: Scope | None = None
    words: str = ""


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """How one verb is proved.

    `check` asserts that what the adapter returned is what the simulator has. `times` counts, there, how often the effect
    took place. `exchanges` is how many HTTP exchanges a success takes, `effect_at` which of them is the effect.
    `change` alters the target behind the preview's back. `many` asks for so many deliveries in one call. `reads` is what
    is said where that differs from the rule, by (exchange, kind of fault); say why beside it. `look` asks what became of
    an effect whose outcome is unknown; `look_tells` is False where nothing at the vendor can tell,
    "that it happened" where only that can be told.
    """

    call: Callable[[Stage], Any]
    check: Callable[[Stage, Any], None]
    refusals: Mapping[str, Refusal] = field(default_factory=dict)
    prepare: Callable[[Stage], Any] = lambda stage: None
    times: Callable[[Stage], int] | None = None
    exchanges: int = 1
    effect_at: int = 1
    changes_links: bool = False  # a read that has to ask for new links, and may
    change: Callable[[Stage], Any] | None = None
    many: Callable[[Stage, int], Any] | None = None
    look: Callable[[Stage, VendorError], Any] | None = None
    look_tells: bool | Literal["that it happened"] = True
    reads: Mapping[tuple[int, str], Said] = field(default_factory=dict)


# -- one vendor on the stage


@dataclass(kw_only=True)
class Exchange:
    """One HTTP exchange as the adapter asked for it. `has_changed` says whether the simulator's state did."""

    request: HttpRequest
    is_effect: bool
    response: HttpResponse | None = None
    has_changed: bool = False


@dataclass(frozen=True, kw_only=True)
class Run:
    """One call of an adapter: what it returned or raised, and the exchanges it took."""

    answer: Any
    error: VendorError | None
    exchanges: Sequence[Exchange]

    @property
    def said(self) -> Said:
        if self.error is None:
            return _said_by(self.answer)
        return next(said for cls, said in ERRORS if isinstance(self.error, cls))

    @property
    def message(self) -> str:
        if self.error is not None:
            return self.error.message
        return str(getattr(self.answer, "message", "") or getattr(self.answer, "note", ""))

    def effects(self) -> list[Exchange]:
        return [made for made in self.exchanges if made.is_effect]


def _said_by(answer: Any) -> Said:
    if answer is None:
        return Said.NOT_FOUND
    if isinstance(answer, Checked):
        return Said.DONE if answer.is_conclusive else Said.CANNOT_TELL
    if isinstance(answer, SessionResult):
        return VERDICTS[answer.verdict]
    if isinstance(answer, ExamResult):
        return Said.DONE if answer.ref else Said.CANNOT_TELL
    if isinstance(answer, list | tuple):
        parts = {PARTS.get(type(part), Said.DONE) for part in answer}
        return _said_by_links(answer) if parts <= {Said.DONE} else parts.pop() if len(parts) == 1 else Said.CANNOT_TELL
    return _said_by_links(answer)


def _said_by_links(answer: Any) -> Said:
    return Said.NO_LINK if any(created.links_missing for created in _created(answer)) else Said.DONE


class Stage:
    """One vendor's simulator on a port of its own, and the adapter with a transport that watches."""

    def __init__(self, contract: type[AdapterContract], sandbox: Sandbox) -> None:
        self.contract = contract
        self.vendor = contract.vendor
        self.sandbox = sandbox
        self.url = sandbox.url(self.vendor)
        self.begin()

    @classmethod
    @contextmanager
    def of(cls, contract: type[AdapterContract]) -> Iterator[Stage]:
        with Sandbox.running({contract.vendor: 0}) as sandbox:
            yield cls(contract, sandbox)

    def begin(self) -> None:
        """Everything as it was at first."""
        self.sandbox.clear_faults(self.vendor)
        self.sandbox.control(self.vendor, "clear")
        self.account = self.contract.account(self.url)
        self.sending = Sending(group=UUID(int=0x6007))
        self.noted: dict[str, Any] = {}  # what a scenario remembers between its steps
        self.exchanges: list[Exchange] = []
        self.fault: Fault | None = None
        self.watches = False
        self.words = ""  # what the vendor adds to all that it says in words

    @property
    def adapter(self) -> Adapter:
        return self.contract.adapter_class()(self.account, self._transport, lambda: datetime.now(UTC))

    def control(self, name: str, /, **values: str) -> Document:
        """What a person does in the vendor's own back office."""
        return self.sandbox.control(self.vendor, name, **values)

    def all(self, kind: str) -> list[Document]:
        """All documents of a kind that exist at the vendor."""
        return self.sandbox.state(self.vendor).get(kind, [])

    def with_credentials(self, **credentials: str) -> None:
        self.account = replace(self.account, credentials={**self.account.credentials, **credentials})

    def with_settings(self, **settings: Any) -> None:
        self.account = replace(self.account, settings={**self.account.settings, **settings})

    def run(self, call: Callable[[Stage], Any], *, fault: Fault | None = None, watches: bool = False) -> Run:
        """Calls the adapter. Only the classes of `vendors.errors` are caught: anything else is a fault of ours."""
        self.exchanges, self.fault, self.watches = [], fault, watches
        self.sandbox.vendors[self.vendor].traffic.clear()
        answer, error = None, None
        try:
            answer = call(self)
        except VendorError as caught:
            error = caught
        self._wait_until_quiet()
        made, self.exchanges, self.fault, self.watches = tuple(self.exchanges), [], None, False
        return Run(answer=answer, error=error, exchanges=made)

    def arrived(self) -> list[dict[str, Any]]:
        """What reached the vendor in the last run."""
        return self.sandbox.requests(self.vendor)

    def state(self) -> dict[str, list[Document]]:
        """All that exists at the vendor, but for what it only writes down about reading."""
        found = self.sandbox.state(self.vendor)
        return {kind: found[kind] for kind in found if kind not in self.contract.bookkeeping}

    def _transport(self, request: HttpRequest, *, is_effect: bool) -> HttpResponse:
        made = Exchange(request=request, is_effect=is_effect)
        self.exchanges.append(made)
        before = self.state() if self.watches else {}
        if self.fault is None or self.fault.at != len(self.exchanges):
            made.response = exchange(request, is_effect=is_effect, limits=PATIENCE)
        else:
            made.response = self._spoilt(self.fault.kind, request, is_effect=is_effect)
        if self.words:
            made.response = replace(made.response, body=_with_words(made.response, self.words))
        made.has_changed = self.watches and self.state() != before
        return made.response

    def _spoilt(self, kind: str, request: HttpRequest, *, is_effect: bool) -> HttpResponse:
        extent: dict[str, Any] = {"seconds": SECONDS.get(kind, 0)} | ({} if kind == "refused" else {"calls": 1})
        self.sandbox.fault(self.vendor, kind, **extent)
        limits = IMPATIENCE if TELLS[kind] is Telling.SILENCE else PATIENCE
        try:
            return exchange(request, is_effect=is_effect, limits=limits)
        finally:
            self.sandbox.clear_faults(self.vendor)

    def _wait_until_quiet(self) -> None:
        """Until no request is under way: then what a fault held back has happened."""
        ends_at = time.monotonic() + QUIET_SECONDS
        while self.sandbox.load(self.vendor)["under_way"] and time.monotonic() < ends_at:
            time.sleep(0.005)

    # What nobody may read

    def secrets(self, run: Run) -> set[str]:
        """Credentials, tokens, passwords, PINs and links: ours, the vendor's, and those of the run."""
        found = set(self.account.credentials.values()) | set(self.contract.secrets)
        found |= set(_named(self.sandbox.state(self.vendor), self.contract.secret_names))
        for made in run.exchanges:
            found |= {value.split()[-1] for name, value in made.request.headers.items() if _is_credential(name)}
        found |= {link for created in _created(run.answer) for link in (created.take_url, created.proctor_url)}
        return {text for text in found if len(text) >= SHORTEST_SECRET}

    def shown(self, run: Run) -> str:
        """Everything that may end up in a log, a page or a journal after a run."""
        adapter = self.adapter
        texts = [repr(run.answer), str(run.answer), repr(adapter), str(adapter), repr(adapter.account)]
        texts += [repr(made.response) for made in run.exchanges] + list(adapter.warnings())
        if run.error is not None:
            texts += [repr(run.error), str(run.error), repr(vars(run.error)), *traceback.format_exception(run.error)]
        return "\n".join(texts)

    def stored(self, run: Run) -> str:
        """What the ledger keeps readable of the exchanges."""
        fields = self.contract.adapter_class().SECRET_FIELDS
        values = tuple(self.account.credentials.values())
        kept: list[str] = []
        for made in run.exchanges:
            kept.append(masking.mask_url(made.request.url, fields, values))
            for part in (made.request, made.response):
                headers = part.headers if part else {}
                kind = next((value for name, value in headers.items() if name.lower() == "content-type"), "")
                body = part.body if part else b""
                kept += [repr(masking.mask_headers(headers)), masking.mask_body(body, kind, fields, values)]
        return "\n".join(kept)


def _with_words(response: HttpResponse, words: str) -> bytes:
    """The reply as a vendor would send it: the words behind every text of a refusal, and behind the plain texts of the rest."""
    try:
        value = json.loads(response.body)
    except ValueError:
        return response.body
    added = _add_words(value, words, everywhere=response.status >= 400)
    return json.dumps({**added, "remark": words} if isinstance(added, dict) else added).encode()


def _add_words(value: Any, words: str, *, everywhere: bool, name: str = "") -> Any:
    if isinstance(value, dict):
        return {key: _add_words(part, words, everywhere=everywhere, name=key) for key, part in value.items()}
    if isinstance(value, list):
        return [_add_words(part, words, everywhere=everywhere, name=name) for part in value]
    is_text = isinstance(value, str) and (everywhere or name in PLAIN_TEXTS)
    return f"{value} {words}" if is_text else value


def _is_credential(header: str) -> bool:
    return header.lower() in ("authorization", "token")


def _named(value: Any, names: frozenset[str]) -> Iterator[str]:
    if isinstance(value, dict):
        for key, part in value.items():
            if key in names and isinstance(part, str):
                yield part
            yield from _named(part, names)
    elif isinstance(value, list):
        for part in value:
            yield from _named(part, names)


def _created(answer: Any) -> Iterator[Created]:
    if isinstance(answer, Created):
        yield answer
    elif isinstance(answer, Found):
        yield answer.created
    elif isinstance(answer, list | tuple):
        for part in answer:
            yield from _created(part)


# -- what is allowed


def allowed(verb: Verb, capability: Capability, scenario: Scenario, fault: Fault) -> frozenset[Said]:
    """What an adapter may say where `fault` spoils one exchange of the call."""
    deviation = scenario.reads.get((fault.at, fault.kind))
    if deviation is not None:
        return frozenset({deviation})
    telling = TELLS[fault.kind]
    if telling is Telling.ANSWER:
        return frozenset({Said.DONE})
    if not verb.is_effect or fault.at < scenario.effect_at:
        return frozenset({Said.UNAVAILABLE})
    if fault.at > scenario.effect_at:
        # The vendor has taken the effect: that it could not be read again afterwards undoes nothing.
        return frozenset({Said.DONE, Said.CANNOT_TELL})
    is_harmless = telling is Telling.BUSY and capability.repeat is Repeat.HARMLESS
    return frozenset({Said.UNAVAILABLE if is_harmless or telling is Telling.NOT_TAKEN else Said.UNKNOWN})


def times_at_vendor(scenario: Scenario, fault: Fault) -> int:
    """How often an effect takes place at the vendor under a fault."""
    if fault.at == scenario.effect_at:
        return int(vendor_acts(fault.kind))
    return int(fault.at > scenario.effect_at or fault.kind == "slow")


# -- the suite


class AdapterContract:
    """Subclass it for a vendor: `vendor` and a scenario for each declared verb are all it needs.

    `secret_names` are the fields of the simulator's documents that are secrets, `secrets` others that a scenario uses;
    `bookkeeping` the kinds of document that a mere read writes.
    """

    vendor: ClassVar[str]
    scenarios: ClassVar[Mapping[Verb, Scenario]]
    secret_names: ClassVar[frozenset[str]] = frozenset()
    secrets: ClassVar[frozenset[str]] = frozenset()
    bookkeeping: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    def adapter_class(cls) -> type[Adapter]:
        return registry.adapter_class(cls.vendor)

    @classmethod
    def account(cls, base_url: str) -> AccountValues:
        """The demo account at the simulator."""
        demo = registry.demo(cls.vendor)
        return AccountValues(
            base_url=base_url,
            credentials=demo.CREDENTIALS,
            settings=demo.SETTINGS,
            permissions=frozenset(demo.PERMISSIONS),
        )

    @classmethod
    def facts(cls) -> Facts:
        return cls.adapter_class().FACTS

    @classmethod
    def scenario(cls, verb: Verb) -> Scenario:
        if verb not in cls.scenarios:
            pytest.fail(f"{cls.vendor} declares {verb} and has no scenario for it")
        return cls.scenarios[verb]

    @classmethod
    def faults(cls, verb: Verb) -> Iterator[Fault]:
        """Every kind of fault at every exchange of a verb; at the first where nothing is known of the verb."""
        exchanges = cls.scenarios[verb].exchanges if verb in cls.scenarios else 1
        for at in range(1, max(exchanges, 1) + 1):
            yield from (Fault(kind=kind, at=at) for kind in KINDS)

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """From what is declared, never from what the subclass happens to have a scenario for."""
        declared = list(self.facts().capabilities)
        if {"verb", "refusal"} <= set(metafunc.fixturenames):
            cases = [(verb, name) for verb in declared for name in self._refusals(verb)]
            metafunc.parametrize(("verb", "refusal"), cases, ids=[f"{verb}-{name}" for verb, name in cases])
        elif {"verb", "fault"} <= set(metafunc.fixturenames):
            spoilt = [(verb, fault) for verb in declared for fault in self.faults(verb)]
            ids = [f"{verb}-{fault.at}-{fault.kind}" for verb, fault in spoilt]
            metafunc.parametrize(("verb", "fault"), spoilt, ids=ids)
        elif "verb" in metafunc.fixturenames:
            metafunc.parametrize("verb", declared, ids=list(map(str, declared)))

    @classmethod
    def _refusals(cls, verb: Verb) -> Sequence[str]:
        names = list(cls.scenarios[verb].refusals) if verb in cls.scenarios else []
        return names or ["none"]

    @pytest.fixture(scope="class")
    @classmethod
    def stage(cls) -> Iterator[Stage]:
        with Stage.of(cls) as stage:
            yield stage

    def begin(self, stage: Stage, verb: Verb) -> Scenario:
        scenario = self.scenario(verb)
        stage.begin()
        scenario.prepare(stage)
        return scenario

    # Each declared verb

    def test_does_what_was_asked(self, stage: Stage, verb: Verb) -> None:
        scenario, capability = self.begin(stage, verb), self.facts().capabilities[verb]

        run = stage.run(scenario.call, watches=True)

        assert run.error is None, f"{verb} failed: {run.error}"
        assert run.said is Said.DONE
        assert stage.arrived(), f"{verb} succeeded without asking the vendor"
        scenario.check(stage, run.answer)
        assert len(run.exchanges) == scenario.exchanges
        assert capability.exchanges in (0, len(run.exchanges)), f"FACTS say {capability.exchanges} exchanges"
        self.assert_effects_are_declared(stage, verb, run)
        self.assert_hides_secrets(stage, run)

    def assert_effects_are_declared(self, stage: Stage, verb: Verb, run: Run) -> None:
        """What changed something was called an effect; an effect verb has exactly one, at its place, and took place once."""
        scenario = self.scenario(verb)
        undeclared = [made.request.url for made in run.exchanges if made.has_changed and not made.is_effect]
        assert not undeclared, f"these changed something at the vendor and were called reads: {undeclared}"
        if verb.is_effect:
            assert [made.is_effect for made in run.exchanges].index(True) + 1 == scenario.effect_at
            assert len(run.effects()) == 1
            assert scenario.times is not None, f"{verb} is an effect, and nothing counts it at the vendor"
            assert scenario.times(stage) == 1
        elif not scenario.changes_links:
            assert not run.effects(), f"{verb} is a read"

    def test_keeps_no_secret_readable_in_what_is_stored(self, stage: Stage, verb: Verb) -> None:
        scenario = self.begin(stage, verb)

        run = stage.run(scenario.call)

        readable = stage.stored(run)
        assert run.exchanges
        assert not [secret for secret in stage.secrets(run) if secret in readable]

    def test_is_refused_in_the_vendors_way(self, stage: Stage, verb: Verb, refusal: str) -> None:
        scenario = self.begin(stage, verb)
        if refusal not in scenario.refusals:
            pytest.fail(f"{self.vendor} declares {verb} and its scenario has no refusal")
        case = scenario.refusals[refusal]
        case.spoil(stage)
        before = stage.state()

        run = stage.run(case.call or scenario.call)

        assert stage.arrived(), "a refusal that never met the vendor proves nothing"
        assert run.said is case.says, run.message
        assert case.words in run.message
        assert case.scope is None or getattr(run.error, "scope", None) is case.scope
        assert stage.state() == before, "something was refused and yet took place"
        self.assert_hides_secrets(stage, run)

    def test_says_the_same_in_words_that_cannot_be_stored(self, stage: Stage, verb: Verb) -> None:
        scenario = self.scenario(verb)
        cases: list[tuple[Refusal | None, Callable[[Stage], Any], Said]] = [(None, scenario.call, Said.DONE)]
        cases += [(case, case.call or scenario.call, case.says) for case in scenario.refusals.values()]

        for case, call, says in cases:
            stage.begin()
            stage.words = UNFIT_WORDS  # in what the preview shows, too
            scenario.prepare(stage)
            if case is not None:
                case.spoil(stage)
            run = stage.run(call)

            assert run.said is says, run.message
            assert not UNFIT.search(run.message)
            assert not [text for text in ("\\ud800", "\\x00", "\\x1b") if text in repr(run.answer)]

    def test_says_only_what_is_known(self, stage: Stage, verb: Verb, fault: Fault) -> None:
        scenario, capability = self.begin(stage, verb), self.facts().capabilities[verb]
        before = stage.state()

        run = stage.run(scenario.call, fault=fault)

        self.assert_met(stage, fault, run)
        assert run.said in allowed(verb, capability, scenario, fault), f"{run.said}: {run.message}"
        if run.said is Said.UNAVAILABLE and fault.kind == "429_retry_after":
            assert getattr(run.error, "retry_after", None) == RETRY_AFTER_SECONDS
        if verb.is_effect:
            self.assert_is_true(stage, verb, fault, run)
        elif not scenario.changes_links:
            assert stage.state() == before
        self.assert_hides_secrets(stage, run)

    def assert_met(self, stage: Stage, fault: Fault, run: Run) -> None:
        assert len(run.exchanges) >= fault.at, "the call ended before the exchange that was to be spoilt"
        if fault.kind == "refused":
            assert run.exchanges[fault.at - 1].response is None
            assert len(stage.arrived()) < len(run.exchanges)
        else:
            assert stage.arrived()[fault.at - 1]["fault"] == fault.kind

    def assert_is_true(self, stage: Stage, verb: Verb, fault: Fault, run: Run) -> None:
        """What is said of an effect is so at the vendor, and it took place at most once."""
        scenario = self.scenario(verb)
        assert scenario.times is not None, f"{verb} is an effect, and nothing counts it at the vendor"
        times = scenario.times(stage)
        assert len(run.effects()) <= 1, "an adapter never sends an effect again by itself"
        assert times == times_at_vendor(scenario, fault)
        if run.said in (Said.DONE, Said.NO_LINK):
            assert times == 1, "it is said to have happened"
        is_repeatable = self.facts().capabilities[verb].repeat is Repeat.HARMLESS
        if run.said in HARMLESS_TO_BELIEVE and not is_repeatable:
            assert times == 0, "it is said not to have happened"

    def assert_hides_secrets(self, stage: Stage, run: Run) -> None:
        shown = stage.shown(run)
        assert not [secret for secret in stage.secrets(run) if secret in shown]

    # What some verbs must prove besides

    def test_may_be_repeated_where_that_is_declared(self, stage: Stage, verb: Verb) -> None:
        scenario, capability = self.begin(stage, verb), self.facts().capabilities[verb]
        first = stage.run(scenario.call)
        if not verb.is_effect or capability.repeat is Repeat.NEVER:
            return
        stage.sending = replace(stage.sending, is_repeat=True)

        again = stage.run(scenario.call)

        assert scenario.times is not None
        assert (first.said, again.said) == (Said.DONE, Said.DONE), again.message
        assert scenario.times(stage) == 1
        scenario.check(stage, again.answer)

    def test_sends_nothing_where_the_target_changed_since_the_preview(self, stage: Stage, verb: Verb) -> None:
        scenario, capability = self.begin(stage, verb), self.facts().capabilities[verb]
        if not verb.is_effect or capability.exchanges == 1:
            return
        assert scenario.change is not None, f"{verb} reads before its effect, and nothing changes meanwhile"
        scenario.change(stage)
        before = stage.state()

        run = stage.run(scenario.call)

        assert run.said is Said.CHANGED, run.message
        assert not run.effects()
        assert stage.state() == before

    @pytest.mark.parametrize("kind", ["500_after", "500_before"])
    def test_finds_out_what_became_of_an_unknown_outcome(self, stage: Stage, verb: Verb, kind: str) -> None:
        scenario = self.begin(stage, verb)
        if not self.can_be_looked_up(verb):
            assert scenario.look is None, "FACTS offer no way to look it up"
            return
        look = scenario.look
        assert look is not None, f"{verb} can be looked up, and no scenario does"
        unknown = stage.run(scenario.call, fault=Fault(kind=kind, at=scenario.effect_at)).error
        assert isinstance(unknown, OutcomeUnknown)

        run = stage.run(lambda stage: look(stage, unknown))

        says = {Said.DONE, Said.NO_LINK} if vendor_acts(kind) else {Said.NOT_FOUND, Said.DID_NOT}
        tells = scenario.look_tells is True or (scenario.look_tells and vendor_acts(kind))
        assert run.said in (says if tells else {Said.CANNOT_TELL}), run.message
        assert scenario.times is not None
        assert scenario.times(stage) == int(vendor_acts(kind)), "looking changes nothing"
        self.assert_hides_secrets(stage, run)

    def can_be_looked_up(self, verb: Verb) -> bool:
        if verb in SESSION_EFFECTS:
            return self.adapter_class().look_at is not Adapter.look_at
        return LOOKED_UP_BY.get(verb) in self.facts().capabilities

    def test_gives_a_result_for_each_of_many(self, stage: Stage, verb: Verb) -> None:
        scenario, capability = self.begin(stage, verb), self.facts().capabilities[verb]
        if capability.many == 1:
            return
        many = scenario.many
        assert many is not None, f"FACTS say that a call carries {capability.many}, and no scenario sends them"

        run = stage.run(lambda stage: many(stage, capability.many))

        assert len(run.exchanges) == 1
        assert len({result.reference for result in run.answer}) == len(run.answer) == capability.many
        assert len({result.take_url for result in _created(run.answer)}) == capability.many

    # The adapter as a whole

    def test_declares_exactly_the_verbs_that_it_overrides(self) -> None:
        cls = self.adapter_class()

        overridden = {verb for verb in Verb if getattr(cls, verb.value) is not getattr(Adapter, verb.value)}

        assert overridden == set(self.facts().capabilities)

    def test_has_a_scenario_for_each_declared_verb_and_no_other(self) -> None:
        assert set(self.scenarios) == set(self.facts().capabilities)

    def test_states_facts_that_make_sense(self) -> None:
        facts = self.facts()

        assert facts.key == self.vendor
        assert facts.title
        assert facts.page.startswith(("http://", "https://"))
        assert not facts.base_url or facts.base_url.startswith("https://")
        for verb, capability in facts.capabilities.items():
            assert capability.many >= 1
            assert capability.exchanges >= 0
            assert capability.many == 1 or verb is Verb.CREATE_DELIVERIES
            assert verb.is_effect or capability.repeat is Repeat.NEVER, "only effects are repeated"
            assert not capability.permission or capability.permission in facts.permissions

    def test_refuses_what_it_does_not_offer_without_asking_the_vendor(self, stage: Stage) -> None:
        stage.begin()
        offered = set(self.facts().capabilities)

        for verb in set(Verb) - offered:
            run = stage.run(partial(_call_blindly, verb))
            assert run.said is Said.UNSUPPORTED
            assert not run.exchanges

    def test_needs_no_django(self) -> None:
        program = f"import sys, {self.adapter_class().__module__}; sys.exit('django' in sys.modules)"

        assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def _call_blindly(verb: Verb, stage: Stage) -> Any:
    """Asks for a verb that is not offered: its arguments are never looked at."""
    method = getattr(stage.adapter, verb.value)
    return method(*[None] * len(signature(method).parameters))
