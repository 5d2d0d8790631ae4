"""Cirrus Assessment's External API: create a schedule and generate its links, many candidates in one call."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal
from urllib.parse import quote, urljoin
from uuid import UUID
from zoneinfo import ZoneInfo

from proctoring.vendors import replies
from proctoring.vendors.base import (
    JSON,
    Adapter,
    Basis,
    Capability,
    Checked,
    Created,
    DeliveryOrder,
    DeliveryResult,
    ExamValues,
    Facts,
    HttpRequest,
    HttpResponse,
    IdShape,
    Objection,
    Person,
    Repeat,
    Sending,
    Unclear,
    Verb,
    encode,
)
from proctoring.vendors.errors import Misconfigured, OutcomeUnknown, Rejected, Scope

SCHEDULE_PATH = "/schedule"
ASSESSMENT_PATH = "/assessment/"
AUTHORIZATION = "EAPI {token}"
MANY = 100  # the page names no limit; this keeps a body far below the usual request sizes

DEFAULT = "DEFAULT"
EXTERNAL_ATTEMPTS = "EXTERNAL_ATTEMPTS"

EXT_ID = re.compile(r"[A-Za-z0-9-]+")
ALPHANUMERIC = re.compile(r"[A-Za-z0-9]+")
EMAIL = re.compile(r"[^@\s,;<>()\"]+@[^@\s,;<>()\".]+(?:\.[^@\s,;<>()\".]+)+")

CHARACTERS = {EXT_ID: "letters without accents, digits and dashes", ALPHANUMERIC: "letters without accents and digits"}


@dataclass(frozen=True, slots=True)
class Text:
    """One text of the page: our key, the vendor's field, its longest value in characters.

    A personal one belongs to one candidate, so that no two candidates of a call may share it.
    """

    key: str
    wire: str
    limit: int = 500
    pattern: re.Pattern[str] | None = None
    is_required: bool = False
    is_personal: bool = False


ASSESSMENT = Text("ref", "AssessmentExtId", 64, EXT_ID, True)
CANDIDATE_EXT_ID = Text("external_id", "CandidateExtId", 500, EXT_ID)

SCHEDULE_TEXTS = (
    Text("title", "Title", 100),
    Text("group_ext_id", "GroupExtId", 64, EXT_ID, True),
    Text("group_name", "GroupName", 500, None, True),
    Text("schedule_group_ext_id", "ScheduleGroupExtId", 64),
    Text("schedule_group_name", "ScheduleGroupName"),
    Text("owner", "Owner"),
    Text("pin", "PIN", 4),
    Text("proctorio_template_external_id", "ProctorioTemplateExternalId", 64, ALPHANUMERIC),
)
SCHEDULE_FLAGS = {
    "lock_exam_on_connection_loss": "LockExamOnConnectionLoss",
    "use_proctorio": "UseProctorIo",
    "use_key_code": "UseKeyCode",
}
PERSON_TEXTS = (
    Text("first_name", "FirstName", 500, None, True),
    Text("last_name", "LastName", 500, None, True),
    Text("email", "Email", 500, EMAIL, True),
)
USER_NAME = Text("user_name", "UserName", is_personal=True)
OPTION_TEXTS = (
    USER_NAME,
    Text("password", "Password", is_personal=True),
    Text("photo", "Photo", is_personal=True),
    Text("company", "Company"),
    Text("city", "City"),
    Text("state", "State"),
    Text("country_code", "CountryCode"),
    Text("postal_code", "PostalCode", is_personal=True),
    Text("address_line1", "AddressLine1", is_personal=True),
    Text("address_line2", "AddressLine2", is_personal=True),
    Text("phone_number", "PhoneNumber", is_personal=True),
    Text("registration_number", "RegistrationNumber", is_personal=True),
    Text("voucher_id", "VoucherId", is_personal=True),
    Text("comp_id", "CompId"),
)
ATTEMPT_EXT_ID = Text("attempt_ext_id", "AttemptExtId", is_personal=True)
PERSONAL_TEXTS = tuple(text for text in (*OPTION_TEXTS, ATTEMPT_EXT_ID) if text.is_personal)
PROCTOR_UIDS = Text("proctor_uids", "ProctorUIds")

DEFAULT_SLACK_MINUTES = 60  # what Cirrus adds to the duration where no end is sent
MAX_PERCENT = 999
MAX_ASSESSMENT_EXTRA = 10_000  # minutes, a week: beyond it a slip of the finger

ACCOUNT_WORDS = (
    "scheduler hasn't been set",
    "scheduler has not been set",
    "no longer has permission",
    "not allowed to use external api",
)
FAILURE_WORDS = re.compile(
    r"\b(not|no|cannot|already|must|invalid|missing|required|denied|forbidden|fail\w*|error\w*|unable|unknown)\b|n't\b"
)
EXISTS_WORDS = re.compile(r"already (?:exist|been (?:created|passed|used)|passed|in use)")
OTHER_THINGS = re.compile(r"\b(?:candidate|user|e-?mail|attempt|hierarchy|group)", re.IGNORECASE)
BOILERPLATE = re.compile(r"\b2(?:49|50)\b|\bbetween 0 and 999\b")
WORD_KEYS = ("message", "errors", "error", "modelstate", "exceptionmessage", "detail", "title")

LAUNCH_URL = "LaunchUrl"
STARTUP_LINK = "StartupLink"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Call:
    """What was sent, for reading the reply against it."""

    schedule_ext_id: str
    workflow: str
    orders: Mapping[str, DeliveryOrder]  # by CandidateExtId, in the order of the list sent
    is_repeat: bool
    wants_proctorio: bool
    secrets: tuple[str, ...]


class CirrusAdapter(Adapter):
    """Follows "Create schedule and generate links" of help.cirrusassessment.com."""

    FACTS = Facts(
        key="cirrus",
        title="Cirrus",
        page="https://help.cirrusassessment.com/api/docs/create-schedule-and-generate-links",
        base_url="https://api.cirrusplatform.com/api/v1/integrations",
        delivery_refs_are_shared=True,
        not_built=frozenset({Verb.READ_RESULTS}),
        exam_id=IdShape(
            pattern=re.compile(r"[A-Za-z0-9-]{1,64}"),
            words="an AssessmentExtId: at most 64 letters without accents, digits and dashes",
        ),
        capabilities={
            Verb.CREATE_DELIVERIES: Capability(
                basis=Basis.PAGE,
                repeat=Repeat.AS_UPSERT,
                many=MANY,
                note="One call makes one schedule for all its candidates. A retake is a new schedule or a new attempt.",
            ),
            Verb.CHECK: Capability(basis=Basis.DOCUMENTED, note="Reads an exam's assessment, where there is one."),
        },
    )
    SECRET_FIELDS = frozenset({STARTUP_LINK, LAUNCH_URL, "Password", "PIN"})
    PERSONAL_OPTIONS = frozenset(text.key for text in PERSONAL_TEXTS)
    ATTEMPT_OPTIONS = frozenset({ATTEMPT_EXT_ID.key})

    def person_id(self, person: Person) -> str:
        return candidate_ext_id(person)

    @staticmethod
    def code_notes(settings: Mapping[str, JSON], options: Mapping[str, JSON] | None = None) -> tuple[str, ...]:
        return code_notes(settings, options)

    def objections(self, exam: ExamValues, order: DeliveryOrder) -> tuple[Objection, ...]:
        return (
            *_exam_objections(exam),
            *_owner_objections(self.account.settings),
            *_person_objections(order.person),
            *_option_objections(exam, order),
            *_accommodation_objections(order.person),
            *_window_objections(exam, order.person),
        )

    def warnings(self) -> tuple[str, ...]:
        if self._site_url:
            return ()
        return ("No site address is set: where Cirrus gives a relative link, the candidate's link will be missing.",)

    def check(self, exam_refs: Sequence[str] = ()) -> Checked:
        """Reads an assessment, which the vendor's other documents name. Raises Misconfigured on 401 and 403."""
        ref = next(filter(None, exam_refs), "")
        if not ref:
            return Checked(message="Cirrus has no harmless call without an exam to read.", is_conclusive=False)
        response = self.transport(self._request("GET", ASSESSMENT_PATH + quote(ref, safe="")), is_effect=False)
        words = _masked(_response_words(response), self._secrets())
        if response.status in (401, 403) or _is_about_account(words):
            raise _account_error(words, response.status)
        if 400 <= response.status < 500 and response.status not in (408, 429):
            return Checked(message=f"Cirrus answered {response.status}: that cannot tell. {words}", is_conclusive=False)
        replies.judge(response, is_effect=False, is_repeatable=True, now=self.clock())
        return _checked(replies.parse(response.body), words)

    def create_deliveries(
        self, exam: ExamValues, orders: Sequence[DeliveryOrder], sending: Sending
    ) -> Sequence[DeliveryResult]:
        """Makes one schedule for all `orders`; on a repeat tells Cirrus so by `Upsert`.

        Raises Rejected for the whole call (then Cirrus scheduled nobody) and the classes of `replies.judge`.
        """
        if not orders:
            return ()
        self._refuse_what_cannot_be_sent(exam, orders)
        call = self._call(exam, orders, sending)
        response = self.transport(self.schedule_request(exam, orders, sending), is_effect=True)
        if response.status == 403:
            raise _account_error(_masked(_response_words(response), call.secrets), 403)
        if 400 <= response.status < 500 and response.status not in (401, 408, 429):
            return _refused(call, response)
        replies.judge(response, is_effect=True, is_repeatable=sending.is_repeat, now=self.clock())
        return self._read(call, response)

    def schedule_request(self, exam: ExamValues, orders: Sequence[DeliveryOrder], sending: Sending) -> HttpRequest:
        """The request that create_deliveries sends for these values."""
        body: dict[str, JSON] = {}
        if _workflow(exam) != DEFAULT:
            body["Workflow"] = _workflow(exam)
        if sending.is_repeat:
            body["Upsert"] = True
        body["Schedule"] = self._schedule(exam, orders, sending)
        body["Candidates"] = [_candidate(exam, order) for order in orders]
        path = SCHEDULE_PATH + ("?type=json" if self.account.settings.get("ask_for_json") is True else "")
        return self._request("POST", path, encode(body))

    def _schedule(self, exam: ExamValues, orders: Sequence[DeliveryOrder], sending: Sending) -> dict[str, JSON]:
        settings = {**exam.settings, "owner": exam.settings.get("owner") or self.account.settings.get("owner")}
        end_at = _end_at(exam, orders)
        fields = {
            "AssessmentExtId": exam.ref,
            "ScheduleExtId": schedule_ext_id(sending),
            "StartDateTime": _wire_time(exam.starts_at) if exam.starts_at else None,
            "EndDateTime": _wire_time(end_at) if end_at else None,
            **{text.wire: settings.get(text.key) for text in SCHEDULE_TEXTS},
            **{wire: settings.get(key) for key, wire in SCHEDULE_FLAGS.items()},
        }
        return _without_blanks(fields)

    def _request(self, method: str, path: str, body: bytes = b"") -> HttpRequest:
        base_url = (self.account.base_url or self.FACTS.base_url).rstrip("/")
        headers = {"Authorization": self._authorization(), "Content-Type": "application/json"}
        return HttpRequest(method=method, url=base_url + path, headers=headers, body=body)

    def _authorization(self) -> str:
        token = self.account.credentials.get("token", "").strip()
        template = self.account.settings.get("authorization_header") or AUTHORIZATION
        if not token:
            raise Misconfigured("The account has no Cirrus token.", scope=Scope.ACCOUNT)
        if not isinstance(template, str) or "{token}" not in template:
            raise Misconfigured("The account's authorization header lacks {token}.", scope=Scope.ACCOUNT)
        return template.replace("{token}", token)

    @property
    def _site_url(self) -> str:
        site_url = str(self.account.settings.get("site_url") or "").strip()
        return site_url if "://" in site_url or not site_url else f"https://{site_url}"

    def _refuse_what_cannot_be_sent(self, exam: ExamValues, orders: Sequence[DeliveryOrder]) -> None:
        faults = {order.reference: self.objections(exam, order) for order in orders}
        found = [fault for part in faults.values() for fault in part]
        if found:
            raise Rejected(
                f"Nothing was sent. {found[0].message}",
                fields={fault.field: fault.message for fault in found},
                culprits=frozenset(reference for reference, part in faults.items() if part),
            )
        _refuse_what_is_shared(orders)

    def _call(self, exam: ExamValues, orders: Sequence[DeliveryOrder], sending: Sending) -> _Call:
        return _Call(
            schedule_ext_id=schedule_ext_id(sending),
            workflow=_workflow(exam),
            orders={candidate_ext_id(order.person): order for order in orders},
            is_repeat=sending.is_repeat,
            wants_proctorio=exam.settings.get("use_proctorio") is True,
            secrets=self._secrets(exam.settings.get("pin"), *(order.options.get("password") for order in orders)),
        )

    def _secrets(self, *more: JSON) -> tuple[str, ...]:
        values = (self.account.credentials.get("token"), *more)
        return tuple(value for value in values if isinstance(value, str) and value)

    def _read(self, call: _Call, response: HttpResponse) -> Sequence[DeliveryResult]:
        body = replies.read_object(response, is_effect=True)
        entries = _entries(body)
        has_links = any(_has_link(entry) for entry in entries)
        is_success = _is_success(body, has_links=has_links)
        if is_success is None or (is_success is False and has_links):
            words = _masked(_words(body), call.secrets)
            sentence = f"Cirrus answered {response.status}, but its reply does not say whether it acted. {words}"
            raise OutcomeUnknown(sentence.strip(), status=response.status)
        if not is_success:
            return _refused(call, response)
        return self._created(call, body, entries)

    def _created(self, call: _Call, body: dict[str, JSON], entries: Sequence[dict[str, JSON]]) -> list[DeliveryResult]:
        words = _words(body, keys=("errors", "error"))
        blamed = _culprits(words, call)
        mine = _matched(call, entries)
        schedule_ref = _schedule_ref(body) or call.schedule_ext_id
        results: list[DeliveryResult] = []
        for person_ref, order in call.orders.items():
            link, note = self._take_url(mine[person_ref], call)
            if order.reference in blamed and not link:
                results.append(Unclear(reference=order.reference, message=_masked(words, call.secrets)))
                continue
            notes = (note, _masked(words, call.secrets), *_schedule_notes(call, schedule_ref))
            results.append(
                Created(
                    reference=order.reference,
                    ref=_delivery_ref(call, order, schedule_ref),
                    person_ref=person_ref,
                    take_url=link,
                    note=" ".join(filter(None, notes)),
                )
            )
        return results

    def _take_url(self, entries: Sequence[dict[str, JSON]], call: _Call) -> tuple[str, str]:
        """The candidate's link and a remark on it. LaunchUrl first: beside one, StartupLink would be unproctored."""
        for name in (LAUNCH_URL, STARTUP_LINK):
            found = {_stripped(value) for entry in entries if (value := _get(entry, name)) not in (None, "", [], {})}
            found.discard("")
            if len(found) > 1:
                return "", f"Cirrus gave more than one {name} for this candidate; none was used."
            if found:
                link, note = _absolute(found.pop(), self._site_url)
                if link and name == STARTUP_LINK and call.wants_proctorio:
                    note = "Proctorio was asked for, but only a StartupLink came: ask Cirrus whether it is proctored."
                return link, note
        return "", "Cirrus sent no link for this candidate."


def schedule_ext_id(sending: Sending) -> str:
    """Our id of the schedule that a call makes: the group's, so that a repeat names the same schedule."""
    return str(sending.group)


def candidate_ext_id(person: Person) -> str:
    """The id that Cirrus knows this person by: the one used before, their own, or a generated one, never a squeezed."""
    known = (person.ref, person.external_id)
    return next((text for text in known if text and not _text_fault(CANDIDATE_EXT_ID, text)), person.reference.hex)


def attempt_ext_id(order: DeliveryOrder) -> str:
    """The id of one attempt, for the workflow EXTERNAL_ATTEMPTS: the one given, or our own reference."""
    given = order.options.get(ATTEMPT_EXT_ID.key)
    return given if isinstance(given, str) and given.strip() else str(order.reference)


def code_notes(settings: Mapping[str, JSON], options: Mapping[str, JSON] | None = None) -> tuple[str, ...]:
    """Which codes a candidate will be asked for and who hands them out; the codes themselves are secrets."""
    notes = (
        "You will be asked for a PIN. Your exam organizer gives it to you." if settings.get("pin") else "",
        "You will be asked for a key code. Your invigilator hands it out on a slip."
        if settings.get("use_key_code") is True
        else "",
        "You may be asked for a password. Your exam organizer gives it to you."
        if (options or {}).get("password")
        else "",
    )
    return tuple(filter(None, notes))


def _workflow(exam: ExamValues) -> str:
    return str(exam.settings.get("workflow") or DEFAULT)


def _candidate(exam: ExamValues, order: DeliveryOrder) -> dict[str, JSON]:
    person, options = order.person, order.options
    fields: dict[str, JSON] = {
        "CandidateExtId": candidate_ext_id(person),
        "FirstName": person.first_name,
        "LastName": person.last_name,
        "Email": person.email,
        **{text.wire: options.get(text.key) for text in OPTION_TEXTS},
        "ProctorUIds": list(options.get(PROCTOR_UIDS.key) or ()) or None,
        "SpecialNeeds": True if person.special_needs else None,
        "ReasonableAdjustmentPercentage": person.extra_time_percent or None,
        "AttemptExtId": attempt_ext_id(order) if _workflow(exam) == EXTERNAL_ATTEMPTS else None,
    }
    fields["PhoneNumber"] = fields["PhoneNumber"] or person.phone
    return _without_blanks(fields)


def _without_blanks(fields: Mapping[str, JSON]) -> dict[str, JSON]:
    return {key: value for key, value in fields.items() if value is not None and value != ""}


def _wire_time(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _extra_minutes(exam: ExamValues, percent: int) -> int:
    """Minutes beyond the assessment's duration: its own extra time, and the candidate's percentage rounded up."""
    own = exam.settings.get("assessment_extra_minutes") or 0
    return int(own) - (-(exam.duration_minutes or 0) * percent // 100)


def _needed_until(exam: ExamValues, percent: int) -> datetime | None:
    """The moment that the schedule's end must lie after; None where start or duration are not known."""
    if exam.starts_at is None or exam.duration_minutes is None:
        return None
    return exam.starts_at + timedelta(minutes=exam.duration_minutes + _extra_minutes(exam, percent))


def _end_at(exam: ExamValues, orders: Sequence[DeliveryOrder]) -> datetime | None:
    """The end to send, or None where Cirrus's own default is long enough for everybody in the call."""
    if exam.ends_at is not None:
        return exam.ends_at
    percent = max((order.person.extra_time_percent for order in orders), default=0)
    needed_until = _needed_until(exam, percent)
    is_default_enough = not percent and _extra_minutes(exam, 0) < DEFAULT_SLACK_MINUTES
    if needed_until is None or is_default_enough:
        return None
    return needed_until + timedelta(minutes=DEFAULT_SLACK_MINUTES)


def _text_fault(text: Text, value: JSON) -> str:
    """What is wrong with a value for one text of the page; "" where nothing is."""
    if value is None or value == "":
        return f"{text.wire} is required by Cirrus." if text.is_required else ""
    if not isinstance(value, str):
        return f"{text.wire} must be a text."
    if not value.strip():
        return f"{text.wire} is blank."
    if len(value) > text.limit:
        return f"{text.wire} may have at most {text.limit} characters; this has {len(value)}."
    if text.pattern is None or text.pattern.fullmatch(value):
        return ""
    if text.pattern is EMAIL:
        return "Email must be a valid e-mail address."
    return f"{text.wire} may hold only {CHARACTERS[text.pattern]}."


def _text_objections(texts: Iterable[Text], values: Mapping[str, JSON]) -> Iterator[Objection]:
    for text in texts:
        if fault := _text_fault(text, values.get(text.key)):
            yield Objection(field=text.key, message=fault)


def _exam_objections(exam: ExamValues) -> Iterator[Objection]:
    yield from _text_objections((ASSESSMENT,), {"ref": exam.ref})
    yield from _text_objections(SCHEDULE_TEXTS, exam.settings)
    if exam.starts_at is None:
        yield Objection(field="starts_at", message="Cirrus needs the time at which the exam starts (StartDateTime).")
    for key, wire in SCHEDULE_FLAGS.items():
        if exam.settings.get(key) not in (None, "") and not isinstance(exam.settings[key], bool):
            yield Objection(field=key, message=f"{wire} must be yes, no or not given.")
    if _workflow(exam) not in (DEFAULT, EXTERNAL_ATTEMPTS):
        yield Objection(field="workflow", message=f"Workflow must be {DEFAULT} or {EXTERNAL_ATTEMPTS}.")
    if not _is_extra_readable(exam):
        yield Objection(field="assessment_extra_minutes", message="The assessment's extra time must be whole minutes.")


def _owner_objections(settings: Mapping[str, JSON]) -> Iterator[Objection]:
    yield from _text_objections((text for text in SCHEDULE_TEXTS if text.key == "owner"), settings)


def _is_extra_readable(exam: ExamValues) -> bool:
    extra = exam.settings.get("assessment_extra_minutes") or 0
    return _is_whole(extra) and extra <= MAX_ASSESSMENT_EXTRA


def _is_whole(value: JSON) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _person_objections(person: Person) -> Iterator[Objection]:
    values = {"first_name": person.first_name, "last_name": person.last_name, "email": person.email}
    yield from _text_objections(PERSON_TEXTS, values)


def _option_objections(exam: ExamValues, order: DeliveryOrder) -> Iterator[Objection]:
    yield from _text_objections(OPTION_TEXTS, {**order.options, "phone_number": _phone(order)})
    uids = order.options.get(PROCTOR_UIDS.key) or ()
    if not isinstance(uids, list | tuple) or any(not isinstance(uid, str) or not uid.strip() for uid in uids):
        yield Objection(field=PROCTOR_UIDS.key, message="ProctorUIds must be a list of texts.")
    if _workflow(exam) != EXTERNAL_ATTEMPTS:
        return
    yield from _text_objections((ATTEMPT_EXT_ID,), order.options)
    if order.previous_ref and attempt_ext_id(order).casefold() == order.previous_ref.casefold():
        message = "AttemptExtId is that of this candidate's last attempt; a new attempt needs a new one."
        yield Objection(field=ATTEMPT_EXT_ID.key, message=message)


def _phone(order: DeliveryOrder) -> JSON:
    return order.options.get("phone_number") or order.person.phone


def _accommodation_objections(person: Person) -> Iterator[Objection]:
    percent = person.extra_time_percent
    if not _is_whole(percent) or percent > MAX_PERCENT:
        message = f"Extra time must be a whole percentage from 0 to {MAX_PERCENT} (Cirrus error 249)."
        yield Objection(field="extra_time_percent", message=message)
    if percent and not person.special_needs:
        message = "Cirrus gives extra time only to a candidate who is marked as having special needs (error 250)."
        yield Objection(field="special_needs", message=message)


def _window_objections(exam: ExamValues, person: Person) -> Iterator[Objection]:
    if exam.starts_at is None or not _is_extra_readable(exam) or not 0 <= person.extra_time_percent <= MAX_PERCENT:
        return
    needed_until = _needed_until(exam, person.extra_time_percent)
    if needed_until is None and person.extra_time_percent:
        message = "The exam's duration is needed to see that its window holds this candidate's extra time."
        yield Objection(field="duration_minutes", message=message)
    if exam.ends_at is not None and exam.ends_at <= (needed_until or exam.starts_at):
        yield Objection(field="ends_at", message=_too_short(exam, person, needed_until or exam.starts_at))


def _too_short(exam: ExamValues, person: Person, needed_until: datetime) -> str:
    earliest = (needed_until + timedelta(minutes=1)).astimezone(ZoneInfo(exam.time_zone or "UTC"))
    extra = _extra_minutes(exam, person.extra_time_percent)
    return (
        f"The window ends too soon: Cirrus wants more than the duration of {exam.duration_minutes or 0} minutes and "
        f"{extra} minutes of extra time. The earliest possible end is {earliest:%Y-%m-%d %H:%M} ({exam.time_zone})."
    )


def _refuse_what_is_shared(orders: Sequence[DeliveryOrder]) -> None:
    """Two orders with one CandidateExtId, or one user name, would be one candidate at Cirrus, and get one link."""
    ids = [candidate_ext_id(order.person) for order in orders]
    user_names = [str(order.options.get(USER_NAME.key) or ext_id) for order, ext_id in zip(orders, ids, strict=True)]
    _refuse_shared(CANDIDATE_EXT_ID, orders, [ext_id.casefold() for ext_id in ids])
    _refuse_shared(USER_NAME, orders, [name.casefold() for name in user_names])
    for text in PERSONAL_TEXTS:
        _refuse_shared(text, orders, [order.options.get(text.key) for order in orders])


def _refuse_shared(text: Text, orders: Sequence[DeliveryOrder], values: Sequence[JSON]) -> None:
    by_value: dict[str, set[UUID]] = {}
    for order, value in zip(orders, values, strict=True):
        if value:
            by_value.setdefault(str(value), set()).add(order.reference)
    culprits = frozenset().union(*(references for references in by_value.values() if len(references) > 1))
    if culprits:
        message = (
            f"{len(culprits)} candidates of this call share the {text.wire} of another, which belongs to one candidate. "
            "Deliver to each of them alone."
        )
        raise Rejected(f"Nothing was sent. {message}", fields={text.key: message}, culprits=culprits)


def _get(value: JSON, name: str) -> JSON:
    """A field of an object, whatever the case of its name; None where there is none."""
    if not isinstance(value, dict):
        return None
    if name in value:
        return value[name]
    return next((part for key, part in value.items() if key.lower() == name.lower()), None)


def _stripped(value: JSON) -> str:
    return value.strip() if isinstance(value, str) else repr(value)


def _entries(body: dict[str, JSON]) -> list[dict[str, JSON]]:
    """What the reply says of each candidate, in whichever envelope."""
    spots = (body, *(_get(body, name) for name in ("Content", "Result", "Schedule")))
    found = [part for spot in spots for part in _objects(_get(spot, "Candidates"))]
    found += [part for spot in spots for part in _objects(spot)]
    return found or [spot for spot in spots if isinstance(spot, dict) and _has_link(spot)]


def _objects(value: JSON) -> list[dict[str, JSON]]:
    return [part for part in value if isinstance(part, dict)] if isinstance(value, list) else []


def _has_link(entry: JSON) -> bool:
    return bool(_get(entry, LAUNCH_URL) or _get(entry, STARTUP_LINK))


def _is_success(body: dict[str, JSON], *, has_links: bool) -> bool | None:
    """Whether the body says that the schedule was made, whatever the status; None where it does not say."""
    said = _get(body, "Success")
    if isinstance(said, bool) or str(said).lower() in ("true", "false"):
        return str(said).lower() == "true"
    if has_links:
        return True
    if _words(body, keys=("errors", "error", "modelstate")):
        return False
    if isinstance(_get(body, "Schedule"), dict) or _get(body, "Candidates") or _get(body, "Content"):
        return True
    return False if FAILURE_WORDS.search(_folded(_words(body))) else None


def _schedule_ref(body: dict[str, JSON]) -> str:
    """The schedule's id as Cirrus gives it, unchecked but for being one word; "" where it gives none."""
    spots = [_get(body, name) for name in ("Schedule", "Content")]
    named = [_get(spot, "ScheduleExtId") for spot in spots]
    found = next((text.strip() for text in (*named, spots[1]) if isinstance(text, str) and text.strip()), "")
    return found if len(found) <= 200 and len(found.split()) == 1 else ""


def _delivery_ref(call: _Call, order: DeliveryOrder, schedule_ref: str) -> str:
    return attempt_ext_id(order) if call.workflow == EXTERNAL_ATTEMPTS else schedule_ref


def _schedule_notes(call: _Call, schedule_ref: str) -> Iterator[str]:
    if schedule_ref != call.schedule_ext_id:
        yield f"Cirrus calls the schedule {schedule_ref}; it was sent as {call.schedule_ext_id}."
    elif call.workflow == EXTERNAL_ATTEMPTS:
        yield f"Schedule {schedule_ref}."


def _matched(call: _Call, entries: Sequence[dict[str, JSON]]) -> dict[str, list[dict[str, JSON]]]:
    """The reply's entries by the CandidateExtId that we sent: exact first, then whatever the case."""
    mine: dict[str, list[dict[str, JSON]]] = {person_ref: [] for person_ref in call.orders}
    folded = {person_ref.casefold(): person_ref for person_ref in call.orders}
    for entry in entries:
        said = _get(entry, "CandidateExtId")
        if said in (None, "") and len(call.orders) == len(entries) == 1:
            said = next(iter(call.orders))
        text = str(said).strip()
        person_ref = text if text in mine else folded.get(text.casefold(), "")
        if person_ref and _is_of_this_attempt(call, call.orders[person_ref], entry):
            mine[person_ref].append(entry)
    return mine


def _is_of_this_attempt(call: _Call, order: DeliveryOrder, entry: dict[str, JSON]) -> bool:
    said = _get(entry, "AttemptExtId")
    if call.workflow != EXTERNAL_ATTEMPTS or said in (None, ""):
        return True
    return str(said).strip().casefold() == attempt_ext_id(order).casefold()


def _absolute(link: str, site_url: str) -> tuple[str, str]:
    """The link as a browser can open it, and a remark where it cannot be one."""
    if any(character.isspace() or not character.isprintable() for character in link):
        return "", "Cirrus gave a link that is not one address."
    if re.match(r"https?://[^/?#]", link, re.IGNORECASE):
        return link, ""
    if re.match(r"[a-z][a-z0-9+.-]*:", link, re.IGNORECASE) or link.startswith(("//", "\\", "{", "[")):
        return "", "Cirrus gave a link that is not a web address."
    if not site_url:
        return "", "Cirrus gave a relative link, and the account has no site address to join it with."
    return urljoin(site_url.rstrip("/") + "/", link), ""


def _refused(call: _Call, response: HttpResponse) -> Sequence[DeliveryResult]:
    """Judges a refusal by its words. On a repeat some of them prove that the first try had been taken."""
    words = _response_words(response)
    shown = _masked(words, call.secrets)
    if call.is_repeat and _proves_it_exists(words, call.schedule_ext_id):
        return [_created_before(call, person_ref, order, shown) for person_ref, order in call.orders.items()]
    if _is_about_account(words):
        raise _account_error(shown, response.status)
    raise Rejected(
        _refusal(call, shown or f"it answered {response.status} without a reason."),
        status=response.status,
        fields={key: _masked(text, call.secrets) for key, text in _fields(replies.parse(response.body)).items()},
        culprits=_culprits(words, call),
    )


def _refusal(call: _Call, words: str) -> str:
    if call.is_repeat:
        return f"Cirrus refused the repeat, which says nothing about the first try: {words}"
    if _proves_it_exists(words, call.schedule_ext_id):
        return f"Cirrus says that it has this schedule already: {words}"
    return f"Cirrus refused the whole call, so nobody was scheduled: {words}"


def _created_before(call: _Call, person_ref: str, order: DeliveryOrder, words: str) -> Created:
    return Created(
        reference=order.reference,
        ref=_delivery_ref(call, order, call.schedule_ext_id),
        person_ref=person_ref,
        note=f"The first try had been taken, its links are not known. Cirrus: {words}",
    )


def _proves_it_exists(words: str, schedule_id: str) -> bool:
    folded = _folded(words)
    if "activated" in folded:
        return not re.search(r"(?:not|n't|never) (?:been |yet )?activated", folded)
    if not EXISTS_WORDS.search(folded):
        return False
    return "schedule" in folded or schedule_id.casefold() in folded or not OTHER_THINGS.search(folded)


def _is_about_account(words: str) -> bool:
    folded = _folded(words)
    return any(part in folded for part in ACCOUNT_WORDS)


def _account_error(words: str, status: int) -> Misconfigured:
    reason = words or "it gave no reason."
    return Misconfigured(f"Cirrus refused the account ({status}): {reason}", scope=Scope.ACCOUNT, status=status)


def _checked(body: JSON, words: str) -> Checked:
    says_nothing = not isinstance(body, dict) or all(part is None for part in body.values())
    if says_nothing or str(_get(body, "Success")).lower() == "false":
        return Checked(message=f"Cirrus answered, but not with an assessment. {words}".strip(), is_conclusive=False)
    return Checked(message="Cirrus takes the token. Whether it may schedule shows only when it does.")


def _culprits(words: str, call: _Call) -> frozenset[UUID]:
    """Whom the vendor's words name: by position in the list, by id, by e-mail address, else by name."""
    folded = BOILERPLATE.sub(" ", _folded(words))
    orders = list(call.orders.items())
    positions = {int(digits) for digits in re.findall(r"candidates\[(\d{1,6})\]", folded)}
    labels: tuple[Literal["id", "email", "name"], ...] = ("id", "email", "name")
    found = {orders[position][1].reference for position in positions if position < len(orders)}
    for label in labels:
        found = found or {
            order.reference for person_ref, order in orders if _names(folded, _label(label, person_ref, order))
        }
    return frozenset(found)


def _label(label: Literal["id", "email", "name"], person_ref: str, order: DeliveryOrder) -> str:
    person = order.person
    return {"id": person_ref, "email": person.email, "name": f"{person.first_name} {person.last_name}"}[label]


def _names(folded: str, label: str) -> bool:
    text = _folded(label)
    return bool(text) and bool(re.search(rf"(?<![\w-]){re.escape(text)}(?![\w-])", folded))


def _folded(text: str) -> str:
    """Text for comparing: one kind of apostrophe, one space, no case."""
    plain = unicodedata.normalize("NFC", text)
    return " ".join(re.sub("[‘’ʼ´`]", "'", plain).casefold().split())


def _response_words(response: HttpResponse) -> str:
    value = replies.parse(response.body)
    if value is not None:
        return _words(value)
    text = response.text().strip()
    return "" if "<" in text else text


def _words(body: JSON, *, keys: Sequence[str] = WORD_KEYS) -> str:
    """The vendor's explanations, from all the places where an envelope may keep them."""
    if not isinstance(body, dict):
        return _flat(body)
    return "; ".join(filter(None, (_flat(_get(body, key)) for key in keys)))


def _flat(value: JSON) -> str:
    if isinstance(value, list):
        return "; ".join(filter(None, map(_flat, value)))
    if isinstance(value, dict):
        return "; ".join(f"{key}: {_flat(part)}" for key, part in value.items() if _flat(part))
    return "" if value is None or isinstance(value, bool) else str(value).strip()


def _fields(body: JSON) -> dict[str, str]:
    for name in ("ModelState", "Errors"):
        if isinstance(found := _get(body, name), dict):
            return {key: _flat(part)[: replies.MAX_WORDS] for key, part in found.items()}
    return {}


def _masked(words: str, secrets: Sequence[str]) -> str:
    """The vendor's words cut to length, without the secrets that it may have repeated."""
    for secret in secrets:
        words = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", "•••", words)
    return words[: replies.MAX_WORDS]


ADAPTER = CirrusAdapter
