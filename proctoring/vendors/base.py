"""What the console and a vendor's adapter say to each other: frozen values in, frozen values out.

Plain Python: nothing here or in an adapter imports Django. Times are aware datetimes in UTC, durations whole minutes,
percentages whole numbers. A `reference` is ours (a UUID), a `ref` is the vendor's own identifier, kept as it came.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, Protocol
from uuid import UUID

from proctoring.vendors.errors import Unsupported

JSON = Any  # a value json.dumps accepts
Clock = Callable[[], datetime]


class Verb(StrEnum):
    """Everything that can be asked of a vendor. The first group changes something there."""

    CREATE_EXAM = "create_exam"
    UPDATE_EXAM = "update_exam"
    CREATE_DELIVERIES = "create_deliveries"
    REISSUE_LINK = "reissue_link"
    SUBMIT_RESPONSES = "submit_responses"
    RESET = "reset"
    REOPEN = "reopen"
    RETAKE = "retake"
    SEND_MESSAGE = "send_message"

    CHECK = "check"
    FIND_DELIVERIES = "find_deliveries"
    FIND_EXAM = "find_exam"
    READ_DELIVERY = "read_delivery"
    LIST_SESSIONS = "list_sessions"
    READ_SESSION = "read_session"
    READ_RESULTS = "read_results"
    READ_EXAM_CONFIG = "read_exam_config"

    @property
    def is_effect(self) -> bool:
        return self in EFFECTS


# How the outcome of an effect is looked up, where the vendor has the call.
LOOKED_UP_BY = {
    Verb.CREATE_DELIVERIES: Verb.FIND_DELIVERIES,
    Verb.CREATE_EXAM: Verb.FIND_EXAM,
    Verb.SUBMIT_RESPONSES: Verb.READ_SESSION,
    Verb.RESET: Verb.READ_SESSION,
    Verb.REOPEN: Verb.READ_SESSION,
    Verb.RETAKE: Verb.READ_SESSION,
}

EFFECTS = frozenset(
    {
        Verb.CREATE_EXAM,
        Verb.UPDATE_EXAM,
        Verb.CREATE_DELIVERIES,
        Verb.REISSUE_LINK,
        Verb.SUBMIT_RESPONSES,
        Verb.RESET,
        Verb.REOPEN,
        Verb.RETAKE,
        Verb.SEND_MESSAGE,
    }
)


class Basis(StrEnum):
    """What a capability rests on: the vendor's own page, its other documents, or only what public clients do."""

    PAGE = "page"
    DOCUMENTED = "documented"
    CLIENTS = "clients"


class Repeat(StrEnum):
    """What sending an effect a second time does."""

    NEVER = "never"  # it would act twice, or nothing says that it would not
    HARMLESS = "harmless"  # the same end state
    LATEST_WINS = "latest_wins"  # harmless but for a first call that acts late: what the repeat got may be void then
    AS_UPSERT = "as_upsert"  # harmless once the vendor is told it is a repeat (`Sending.is_repeat`)


@dataclass(frozen=True, slots=True, kw_only=True)
class Capability:
    """One verb as one vendor offers it.

    `many` is how many deliveries one call may carry, `exchanges` how many HTTP exchanges a call takes at most
    (0: as many as there are pages), `permission` the right an account must have been granted.
    """

    basis: Basis
    repeat: Repeat = Repeat.NEVER
    many: int = 1
    exchanges: int = 1
    permission: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class IdShape:
    """What a vendor's identifiers of one kind look like: a pattern for the whole of one, and words for people."""

    pattern: re.Pattern[str]
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a vendor is, for the registry, the capability table and the forms."""

    key: str
    title: str
    page: str  # the vendor's page that the adapter follows
    base_url: str  # the documented production host; "" where it must be asked for
    capabilities: Mapping[Verb, Capability]
    exam_id: IdShape | None = None  # what an exam's reference must look like; None where nothing says
    permissions: Mapping[str, str] = field(default_factory=dict)  # right → what it is for
    take_link_works_once: bool = False
    needs_credentials: bool = True  # False: the console's own settings hold what it takes
    not_built: frozenset[Verb] = frozenset()  # what the vendor has a call for, and this console makes no use of yet
    delivery_refs_are_shared: bool = False  # one id names what several candidates got together
    reports_state: bool = False  # False: a session's state is "not reported by this vendor"

    @property
    def why_no_state(self) -> str:
        """Why nothing is shown of a session's state; "" where it is reported and read."""
        if self.reports_state:
            return ""
        could_be_read = {Verb.LIST_SESSIONS, Verb.READ_SESSION, Verb.READ_DELIVERY} & self.not_built
        return "not read by this console yet" if could_be_read else "not reported by this vendor"

    def why_not(self, verb: Verb, what: str) -> str:
        """Why `verb`, in words like "create deliveries", is not offered: whose lack it is decides where somebody looks next."""
        if verb in self.not_built:
            return f"{self.title} has a call to {what}, but this console does not do that yet."
        return f"{self.title} has no call to {what}."


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountValues:
    """An account as an adapter sees it. `credentials` never appear in a repr."""

    base_url: str
    credentials: Mapping[str, str] = field(repr=False)
    settings: Mapping[str, JSON] = field(default_factory=dict)
    permissions: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class ExamValues:
    """An exam as copied into an action. `settings` are the cleaned values of the vendor's own exam form."""

    reference: UUID
    ref: str = ""  # the vendor's identifier; "" before it was created there
    title: str = ""
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    time_zone: str = "UTC"
    duration_minutes: int | None = None
    settings: Mapping[str, JSON] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A candidate as copied into an action. `reference` is the same in every exam; `ref` is the vendor's id for them."""

    reference: UUID
    first_name: str
    last_name: str
    email: str = ""
    phone: str = ""
    external_id: str = ""
    time_zone: str = ""
    language: str = ""
    special_needs: bool = False
    extra_time_percent: int = 0
    ref: str = ""

    @property
    def has_accommodation(self) -> bool:
        return self.special_needs or self.extra_time_percent > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryOrder:
    """One delivery to be created. `options` are the cleaned values of the vendor's own delivery form."""

    reference: UUID
    person: Person
    attempt: int = 1
    options: Mapping[str, JSON] = field(default_factory=dict)
    previous_ref: str = ""  # the vendor's id of this person's last attempt, for a retake
    is_arranged_by_hand: bool = False  # the coordinator has arranged the accommodation at the vendor


@dataclass(frozen=True, slots=True, kw_only=True)
class Sending:
    """One call: the group it carries, and whether the same group was sent before without an answer."""

    group: UUID
    is_repeat: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Created:
    """A delivery that exists at the vendor. Links may be missing; they are secrets and never in a repr."""

    reference: UUID
    ref: str
    person_ref: str = ""
    take_url: str = field(default="", repr=False)
    proctor_url: str = field(default="", repr=False)
    note: str = ""

    @property
    def links_missing(self) -> bool:
        return not self.take_url


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """One order of a call that the vendor refused while it took others."""

    reference: UUID
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unclear:
    """One order of a call of which the reply says nothing that can be read."""

    reference: UUID
    message: str


DeliveryResult = Created | Refused | Unclear


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Looked up: it was created."""

    reference: UUID
    created: Created


@dataclass(frozen=True, slots=True, kw_only=True)
class Absent:
    """Looked up: not there now, which is no proof that it will not be."""

    reference: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Ambiguous:
    """Looked up: these could be it; a person picks."""

    reference: UUID
    choices: tuple[Created, ...]


LookUp = Found | Absent | Ambiguous


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """The account was asked something harmless. `is_conclusive` is False where the answer cannot tell."""

    message: str
    is_conclusive: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Objection:
    """Why one order cannot be sent as it stands, said before anything is sent."""

    field: str
    message: str
    can_be_arranged: bool = False  # a coordinator may tick "arranged at the vendor by hand"


class FieldVerdict(StrEnum):
    CONFIRMED = "confirmed"
    DIFFERS = "differs"
    NOT_REPORTED = "not_reported"


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldCheck:
    """What was sent in one field against what the vendor's reply says of it."""

    name: str
    sent: JSON
    reported: JSON
    verdict: FieldVerdict


@dataclass(frozen=True, slots=True, kw_only=True)
class ExamResult:
    """An exam created or updated at the vendor."""

    ref: str
    checks: tuple[FieldCheck, ...] = ()
    confirmed: Mapping[str, JSON] = field(default_factory=dict)
    note: str = ""


class SessionState(StrEnum):
    """Our few words for what the vendor says; its own word is always kept beside."""

    NOT_STARTED = "not_started"
    IN_PROGRESS = "in_progress"
    PAUSED = "paused"
    SUSPENDED = "suspended"
    SUBMITTED = "submitted"
    COMPLETE = "complete"
    UNKNOWN = "unknown"  # a word we do not know
    NOT_REPORTED = "not_reported"  # this vendor says nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSnapshot:
    """What the vendor said about one session at one moment. Absent values are None, never a guess."""

    ref: str
    state: SessionState
    vendor_state: str = ""  # the vendor's own word, raw
    name: str = ""
    person_ref: str = ""  # the vendor's id of the candidate; "" where masked or absent
    person_hint: str = ""  # e.g. an e-mail address in an LTI user id
    exam_ref: str = ""
    config_ref: str = ""
    score: float | None = None
    score_min: float | None = None
    score_max: float | None = None
    has_responses: bool | None = None  # None: not asked for, or not said
    responses: JSON = None
    results: JSON = None
    raw: JSON = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionQuery:
    """Which sessions to list: exam configurations of the vendor, and what to include of each."""

    config_refs: tuple[str, ...] = ()
    exam_ref: str = ""
    include: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionPage:
    """One page of a list; `total` and `aggregations` (min, avg, max) as the vendor gives them."""

    sessions: tuple[SessionSnapshot, ...]
    total: int | None = None
    aggregations: Mapping[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExamConfig:
    """What the vendor says of one of its exam configurations. `allows_retakes` is None where it does not say."""

    ref: str
    allows_retakes: bool | None = None
    raw: JSON = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """One answer to set: the vendor's own option indexes."""

    item_ref: str
    question_ref: str
    option_indexes: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionOrder:
    """A reset, reopen, retake or submission for one session; `expected` is what the preview showed."""

    reference: UUID
    ref: str
    expected: SessionSnapshot | None = None
    responses: tuple[Response, ...] = ()
    submit_for_scoring: bool = False


class Verdict(StrEnum):
    HAPPENED = "happened"
    DID_NOT = "did_not"
    CANNOT_TELL = "cannot_tell"


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionResult:
    """What became of a session order, decided from what was read before and after."""

    reference: UUID
    verdict: Verdict
    before: SessionSnapshot | None = None
    after: SessionSnapshot | None = None
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One mail, complete: `body` is the message as RFC 5322 writes it, `sender` and `to` are the envelope's addresses."""

    reference: UUID
    sender: str
    to: str
    body: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    """One HTTP request, complete: `url` holds the query, `body` the bytes as sent. `headers` may hold secrets."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpResponse:
    """One complete HTTP response; header names are in lower case."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = field(default=b"", repr=False)

    def text(self) -> str:
        return self.body.decode("utf-8", errors="replace")


class Transport(Protocol):
    """Sends one request and returns the complete reply, whatever its status.

    `is_effect` says that the request may change something at the vendor: it is recorded before it leaves. Raises
    Unavailable where the vendor cannot have acted (and, for reads, where no answer came), OutcomeUnknown where an effect
    was sent and no complete answer came.
    """

    def __call__(self, request: HttpRequest, *, is_effect: bool) -> HttpResponse: ...


class Adapter:
    """One account at one vendor. Subclasses follow the vendor's page and override the verbs that it offers.

    Every verb may raise the classes of `vendors.errors`; what is not overridden raises Unsupported.
    """

    FACTS: ClassVar[Facts]
    SECRET_FIELDS: ClassVar[frozenset[str]] = (
        frozenset()
    )  # keys of JSON bodies and queries that are never stored readable
    PERSONAL_OPTIONS: ClassVar[frozenset[str]] = frozenset()  # of the delivery form: they belong to one candidate
    ATTEMPT_OPTIONS: ClassVar[frozenset[str]] = frozenset()  # those of them that belong to one attempt

    def __init__(self, account: AccountValues, transport: Transport, clock: Clock) -> None:
        self.account = account
        self.transport = transport
        self.clock = clock

    def _unsupported(self, verb: Verb, what: str) -> Unsupported:
        return Unsupported(self.FACTS.why_not(verb, what))

    def objections(self, exam: ExamValues, order: DeliveryOrder) -> tuple[Objection, ...]:
        """Why this order cannot be sent, without asking the vendor. Pure: no transport, no clock."""
        return ()

    def person_id(self, person: Person) -> str:
        """The id that the vendor will know this person by, where it takes two that differ in case for one; else ""."""
        return ""

    @staticmethod
    def code_notes(settings: Mapping[str, JSON], options: Mapping[str, JSON] | None = None) -> tuple[str, ...]:
        """Which codes a candidate will be asked for and who hands them out, by the exam's and the delivery's own values."""
        return ()

    def warnings(self) -> tuple[str, ...]:
        """Sentences about the account that a coordinator should read, e.g. rights granted and not used."""
        return ()

    def created_by_hand(self, reference: UUID, values: Mapping[str, str]) -> Created:
        """What a person found at the vendor, from the cleaned values of the vendor's FoundForm."""
        return Created(
            reference=reference,
            ref=values.get("ref", ""),
            person_ref=values.get("person_ref", ""),
            take_url=values.get("take_url", ""),
            proctor_url=values.get("proctor_url", ""),
        )

    def exam_notes(self, exam: ExamValues) -> tuple[str, ...]:
        """Sentences to read before this exam is sent, e.g. who will see it there. Pure."""
        return ()

    def exam_objections(self, exam: ExamValues) -> tuple[Objection, ...]:
        """Why this exam cannot be sent as it stands, without asking the vendor. Pure."""
        return ()

    def check(self, exam_refs: Sequence[str] = ()) -> Checked:
        """Asks something harmless to learn whether the credentials work; `exam_refs` are exams that may be read."""
        raise self._unsupported(Verb.CHECK, "test the account without creating something")

    def create_exam(self, exam: ExamValues, sending: Sending) -> ExamResult:
        raise self._unsupported(Verb.CREATE_EXAM, "create an exam")

    def update_exam(self, exam: ExamValues, sending: Sending) -> ExamResult:
        raise self._unsupported(Verb.UPDATE_EXAM, "update an exam")

    def exam_request(self, exam: ExamValues) -> HttpRequest:
        """The request that create_exam or update_exam would send, for a preview."""
        raise self._unsupported(Verb.CREATE_EXAM, "send an exam")

    def find_exam(self, exam: ExamValues) -> ExamResult | None:
        raise self._unsupported(Verb.FIND_EXAM, "look an exam up")

    def create_deliveries(
        self, exam: ExamValues, orders: Sequence[DeliveryOrder], sending: Sending
    ) -> Sequence[DeliveryResult]:
        """Creates one delivery an order. A result for each order; an order without one counts as Unclear."""
        raise self._unsupported(Verb.CREATE_DELIVERIES, "create deliveries")

    def find_deliveries(
        self,
        exam: ExamValues,
        orders: Sequence[DeliveryOrder],
        sent_at: datetime,
        taken: Collection[str] = frozenset(),
    ) -> Sequence[LookUp]:
        """Looks up what became of orders sent at `sent_at` without an answer.

        `taken` are the vendor's ids of deliveries that belong to others already: none of them is found or offered.
        """
        raise self._unsupported(Verb.FIND_DELIVERIES, "look deliveries up")

    def reissue_link(self, exam: ExamValues, order: DeliveryOrder, ref: str) -> Created:
        """A new take link for the delivery `ref`; the old one may stop working."""
        raise self._unsupported(Verb.REISSUE_LINK, "issue a new link")

    def read_delivery(self, exam: ExamValues, ref: str) -> SessionSnapshot:
        raise self._unsupported(Verb.READ_DELIVERY, "read a delivery's state")

    def list_sessions(self, query: SessionQuery) -> Iterator[SessionPage]:
        raise self._unsupported(Verb.LIST_SESSIONS, "list sessions")

    def read_session(self, ref: str, include: Sequence[str] = ()) -> SessionSnapshot:
        raise self._unsupported(Verb.READ_SESSION, "read a session")

    def read_results(self, ref: str) -> SessionSnapshot:
        raise self._unsupported(Verb.READ_RESULTS, "read a session's results")

    def read_exam_config(self, ref: str) -> ExamConfig:
        """What an exam configuration allows, which its sessions do not say."""
        raise self._unsupported(Verb.READ_EXAM_CONFIG, "read an exam configuration")

    def send_message(self, message: Message, sending: Sending) -> None:
        """Hands one mail over. Returns once it was taken."""
        raise self._unsupported(Verb.SEND_MESSAGE, "send mail")

    def look_at(self, order: SessionOrder, verb: Verb) -> SessionResult:
        """What became of a session order whose outcome is unknown; `order.expected` is what was read just before it."""
        raise self._unsupported(Verb.READ_SESSION, "look a session up")

    def submit_responses(self, order: SessionOrder, sending: Sending) -> SessionResult:
        raise self._unsupported(Verb.SUBMIT_RESPONSES, "submit responses")

    def reset(self, order: SessionOrder, sending: Sending) -> SessionResult:
        raise self._unsupported(Verb.RESET, "reset a session")

    def reopen(self, order: SessionOrder, sending: Sending) -> SessionResult:
        raise self._unsupported(Verb.REOPEN, "reopen a session")

    def retake(self, order: SessionOrder, sending: Sending) -> SessionResult:
        raise self._unsupported(Verb.RETAKE, "prepare a retake")


def encode(value: JSON) -> bytes:
    """The JSON bytes of a request body: UTF-8, no spaces, no NaN."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
