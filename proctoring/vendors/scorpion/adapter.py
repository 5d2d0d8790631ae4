"""Caveon Scorpion: deliveries with a take and a proctor link.

Follows "Broad Basics: Creating Exam Deliveries via API" (support.caveon.com, article 43529967960724). What rests only
on what public clients do (the list of deliveries, new tokens, the exam itself) is read tolerantly, and marked so below.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from urllib.parse import quote
from uuid import UUID

from proctoring.vendors import replies
from proctoring.vendors.base import (
    JSON,
    Absent,
    Adapter,
    Ambiguous,
    Basis,
    Capability,
    Checked,
    Created,
    DeliveryOrder,
    DeliveryResult,
    ExamValues,
    Facts,
    Found,
    HttpRequest,
    HttpResponse,
    IdShape,
    LookUp,
    Objection,
    Person,
    Repeat,
    Sending,
    SessionSnapshot,
    SessionState,
    Verb,
    encode,
)
from proctoring.vendors.errors import Misconfigured, Rejected, Scope, Unavailable, Unsupported, VendorError

EXAM_PATH = "/api/exams/{exam}"
DELIVERIES_PATH = "/api/exams/{exam}/deliveries"
DELIVERY_PATH = "/api/exams/{exam}/deliveries/{delivery}"
LAUNCH_TOKEN_PATH = DELIVERY_PATH + "/get_launch_token"
PROCTOR_TOKEN_PATH = DELIVERY_PATH + "/get_proctor_token"
TAKE_URL = "{base_url}/take?launch_token="
PROCTOR_URL = "{base_url}/proctor/"

REFERENCE_KEY = "proctoring_reference"  # the key of `meta` under which Scorpion keeps our own reference
NO_EXAM = "00000000-0000-0000-0000-000000000000"
PER_PAGE = 30
MAX_PAGES = 1000
CLOCK_SKEW = timedelta(minutes=5)  # how far the vendor's clock may be behind ours
UUID_FORM = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)

SOURCES: Mapping[str, Callable[[Person], str]] = {
    "first_name": lambda person: person.first_name,
    "last_name": lambda person: person.last_name,
    "full_name": lambda person: f"{person.first_name} {person.last_name}".strip(),
    "email": lambda person: person.email,
    "phone": lambda person: person.phone,
    "external_id": lambda person: person.external_id,
    "language": lambda person: person.language,
    "time_zone": lambda person: person.time_zone,
}
EXAMINEE_INFO: Sequence[Mapping[str, JSON]] = (
    {"key": "First Name", "source": "first_name", "is_required": True},
    {"key": "Last Name", "source": "last_name", "is_required": True},
    {"key": "Email", "source": "email", "is_required": True},
)
STATES = {"complete": SessionState.COMPLETE}  # no page lists the words; this is the only one that clients prove
RESULTS = (
    *("passed", "score", "score_scale", "cutscore", "points_earned", "points_available", "used_seconds"),
    *("submitted_at", "completed_at", "rescored_at", "breakdown_objects"),
)

PERMISSIONS = {
    "create": "create deliveries",
    "view": "read deliveries, look one up and issue a new link",
    "proctor": "proctor deliveries through the API",
    "edit": "change deliveries",
    "delete": "delete deliveries",
}
USED_PERMISSIONS = ("create", "view")

FACTS = Facts(
    key="scorpion",
    title="Caveon Scorpion",
    page="https://support.caveon.com/hc/en-us/articles/43529967960724",
    base_url="https://scorpion.caveon.com",
    permissions=PERMISSIONS,
    take_link_works_once=True,
    reports_state=True,
    not_built=frozenset({Verb.LIST_SESSIONS, Verb.READ_RESULTS}),
    exam_id=IdShape(pattern=UUID_FORM, words="a UUID such as 40cabced-6377-41cf-9020-befd582fa956"),
    capabilities={
        Verb.CREATE_DELIVERIES: Capability(basis=Basis.PAGE, permission="create"),
        Verb.REISSUE_LINK: Capability(
            basis=Basis.CLIENTS,
            # Every try makes a new token and may end the older ones: a first call that acts late ends what the repeat got.
            repeat=Repeat.LATEST_WINS,
            permission="view",
            note="The link sent before may stop working.",
        ),
        Verb.CHECK: Capability(basis=Basis.CLIENTS),
        Verb.FIND_DELIVERIES: Capability(basis=Basis.CLIENTS, exchanges=0, permission="view"),
        Verb.READ_DELIVERY: Capability(basis=Basis.DOCUMENTED, permission="view"),
    },
)


class ScorpionAdapter(Adapter):
    """One App of Caveon Scorpion. `ExamValues.ref` is the exam's UUID, a delivery's `ref` its delivery id."""

    FACTS = FACTS
    SECRET_FIELDS = frozenset({"launch_token", "proctor_token", "token", "score_token"})

    # Before anything is sent

    def objections(self, exam: ExamValues, order: DeliveryOrder) -> tuple[Objection, ...]:
        return (
            *self._exam_objections(exam),
            *_info_objections(exam, order.person),
            *self._identity_objections(exam, order),
            *_option_objections(exam, order),
            *self._accommodation_objections(exam, order),
        )

    def warnings(self) -> tuple[str, ...]:
        unused = sorted(self.account.permissions - set(USED_PERMISSIONS))
        return tuple(f"The permission “{right}” is granted and nothing here uses it: withdraw it." for right in unused)

    def _exam_objections(self, exam: ExamValues) -> Iterator[Objection]:
        if not _is_uuid(exam.ref):
            yield Objection(field="exam", message="The exam has no Scorpion exam ID, which is a UUID.")

    def _identity_objections(self, exam: ExamValues, order: DeliveryOrder) -> Iterator[Objection]:
        person = order.person
        if person.ref and not _is_uuid(person.ref):
            yield Objection(field="examinee_id", message="The candidate's Scorpion examinee ID is not a UUID.")
        if _external_id_mode(exam) == "external_id" and not self.account.settings.get("external_id_is_free_text"):
            yield Objection(
                field="external_id",
                message="The exam sends the candidate's own external ID, but the account allows only UUIDs there.",
            )
        is_linked = bool(person.ref) or bool(self._external_id(exam, person))
        if order.previous_ref and not is_linked and not _form_id(exam, order):
            yield Objection(
                field="form_id",
                message="Nothing links this retake to the last attempt, so Scorpion cannot choose another form. "
                "Choose the form.",
            )

    def _accommodation_objections(self, exam: ExamValues, order: DeliveryOrder) -> Iterator[Objection]:
        if not order.person.has_accommodation or order.is_arranged_by_hand:
            return
        if message := self._why_not_accommodated(exam, order.person):
            yield Objection(field="accommodations", message=message, can_be_arranged=True)

    def _why_not_accommodated(self, exam: ExamValues, person: Person) -> str:
        if not self.account.settings.get("sends_accommodations"):
            return "The candidate has an accommodation, and this account does not tell Scorpion of any."
        if not person.extra_time_percent:
            return "The candidate has special needs without extra time: Scorpion can be told of extra time only."
        if not exam.duration_minutes:
            return "The candidate has extra time, but the exam's duration is not known."
        return ""

    # Creating

    def create_deliveries(
        self, exam: ExamValues, orders: Sequence[DeliveryOrder], sending: Sending
    ) -> Sequence[DeliveryResult]:
        (order,) = orders
        self._need("create")
        if objections := self.objections(exam, order):
            raise Rejected(objections[0].message, fields={each.field: each.message for each in objections})
        path = DELIVERIES_PATH.format(exam=_segment(exam.ref))
        response = self._send("POST", path, is_effect=True, body=self._delivery_body(exam, order))
        replies.judge(response, is_effect=True, is_repeatable=False, now=self.clock())
        reply = replies.read_object(response, is_effect=True)
        ref = _text(reply.get("delivery_id"))
        if not ref:
            raise replies.unreadable(response, is_effect=True, what="one with a delivery_id")
        return [self._created(order, ref, reply)]

    def _delivery_body(self, exam: ExamValues, order: DeliveryOrder) -> dict[str, JSON]:
        person = order.person
        body: dict[str, JSON] = {
            "examinee_info": _examinee_info(exam, person),
            "examinee_id": person.ref,
            "external_id": self._external_id(exam, person),
            "form_id": _form_id(exam, order),
            "meta": {**_mapping(exam, "meta"), **_options_meta(order), REFERENCE_KEY: str(order.reference)},
            "accommodations": self._accommodations(exam, order),
        }
        return {key: value for key, value in body.items() if value or key == "examinee_info"}

    def _external_id(self, exam: ExamValues, person: Person) -> str:
        mode = _external_id_mode(exam)
        if mode == "uuid":
            return str(person.reference)
        return person.external_id if mode == "external_id" else ""

    def _accommodations(self, exam: ExamValues, order: DeliveryOrder) -> dict[str, JSON]:
        percent = order.person.extra_time_percent
        is_sent = self.account.settings.get("sends_accommodations") and not order.is_arranged_by_hand
        if not percent or not is_sent or not exam.duration_minutes:
            return {}
        seconds = -(-exam.duration_minutes * 60 * (100 + percent) // 100)  # rounded up, in the candidate's favour
        return {"time_limit": seconds}

    def _created(self, order: DeliveryOrder, ref: str, reply: Mapping[str, JSON]) -> Created:
        launch_token, proctor_token = _text(reply.get("launch_token")), _text(reply.get("proctor_token"))
        return Created(
            reference=order.reference,
            ref=ref,
            person_ref=_text(reply.get("examinee_id")),
            take_url=self.take_url(launch_token),
            proctor_url=self.proctor_url(proctor_token),
            note="" if launch_token else "Scorpion's reply held no launch token.",
        )

    # Links

    def take_url(self, launch_token: str) -> str:
        """The candidate's link; "" without a token."""
        return self._link("take_url", TAKE_URL, launch_token)

    def proctor_url(self, proctor_token: str) -> str:
        """The proctor's link; "" without a token."""
        return self._link("proctor_url", PROCTOR_URL, proctor_token)

    def _link(self, setting: str, default: str, token: str) -> str:
        start = str(self.account.settings.get(setting) or default)
        return start.replace("{base_url}", self._base_url()) + quote(token, safe="") if token else ""

    def reissue_link(self, exam: ExamValues, order: DeliveryOrder, ref: str) -> Created:
        self._need("view")
        token = self._new_token(LAUNCH_TOKEN_PATH, "launch_token", exam, ref)
        return Created(reference=order.reference, ref=ref, person_ref=order.person.ref, take_url=self.take_url(token))

    def _new_token(self, path: str, field: str, exam: ExamValues, ref: str) -> str:
        """Asks for a new token [clients only]. A GET, but it changes something: an older token may stop working."""
        path = path.format(exam=_segment(exam.ref), delivery=_segment(ref))
        response = self._send("GET", path, is_effect=True)
        replies.judge(response, is_effect=True, is_repeatable=False, now=self.clock())
        token = _text(replies.read_object(response, is_effect=True).get(field))
        if not token:
            raise replies.unreadable(response, is_effect=True, what=f"one with a {field}")
        return token

    # Asking

    def created_by_hand(self, reference: UUID, values: Mapping[str, str]) -> Created:
        """Builds the links from the tokens that a person copied."""
        launch, proctor = values.get("launch_token", ""), values.get("proctor_token", "")
        return Created(
            reference=reference,
            ref=values["ref"],
            person_ref=values.get("person_ref", ""),
            take_url=self.take_url(launch) if launch else "",
            proctor_url=self.proctor_url(proctor) if proctor else "",
        )

    def check(self, exam_refs: Sequence[str] = ()) -> Checked:
        """Reads an exam, or one that cannot exist: only the word on the token counts. [clients only]"""
        ref = next(filter(_is_uuid, exam_refs), NO_EXAM)
        response = self._send("GET", EXAM_PATH.format(exam=ref), is_effect=False)
        if response.status in (401, 408, 429) or response.status >= 500:
            replies.judge(response, is_effect=False, is_repeatable=True, now=self.clock())
        if not _is_from_the_api(response):
            return Checked(
                message="The token cannot be tested without creating a delivery: "
                f"the vendor answered {response.status} without a word about it.",
                is_conclusive=False,
            )
        if response.status == 403:
            return Checked(message="The token is accepted. It may not read exams, and need not to create deliveries.")
        return Checked(message="The token is accepted.")

    def read_delivery(self, exam: ExamValues, ref: str) -> SessionSnapshot:
        self._need("view")
        path = DELIVERY_PATH.format(exam=_segment(exam.ref), delivery=_segment(ref))
        reply = self._read(path)
        if _text(reply.get("id", ref)).casefold() != ref.casefold():
            raise Unavailable("The vendor's reply is not the delivery that was asked for.")
        return _snapshot(exam, ref, reply)

    def find_deliveries(
        self,
        exam: ExamValues,
        orders: Sequence[DeliveryOrder],
        sent_at: datetime,
        taken: Collection[str] = frozenset(),
    ) -> Sequence[LookUp]:
        self._need("view")
        not_ours = {"", *(ref.casefold() for ref in taken)}
        entries = [entry for entry in self._listed(exam) if _text(entry.get("id")).casefold() not in not_ours]
        return [self._look_up(exam, order, entries, sent_at) for order in orders]

    def _look_up(
        self, exam: ExamValues, order: DeliveryOrder, entries: Sequence[Mapping[str, JSON]], sent_at: datetime
    ) -> LookUp:
        person_ref = order.person.ref
        ours = [entry for entry in entries if _reference(entry) == str(order.reference)]
        unmarked = [entry for entry in entries if not _reference(entry)]
        same = [entry for entry in unmarked if person_ref and entry.get("examinee_id") == person_ref]
        sure = ours or [entry for entry in same if _is_since(entry, sent_at)]
        if len(sure) == 1:
            return Found(reference=order.reference, created=self._with_links(exam, order, sure[0]))
        alike = [entry for entry in unmarked if entry in same or _looks_like(entry, order.person)]
        possible = sure or [entry for entry in alike if _may_be_since(entry, sent_at)]
        if not possible:
            return Absent(reference=order.reference)
        return Ambiguous(reference=order.reference, choices=tuple(_choice(order, entry) for entry in possible))

    def _with_links(self, exam: ExamValues, order: DeliveryOrder, entry: Mapping[str, JSON]) -> Created:
        """The found delivery with new links: nobody has the first ones, so nothing is lost when they stop working."""
        ref = str(entry["id"])
        tokens: dict[str, JSON] = {"examinee_id": entry.get("examinee_id")}
        try:
            tokens["launch_token"] = self._new_token(LAUNCH_TOKEN_PATH, "launch_token", exam, ref)
            tokens["proctor_token"] = self._new_token(PROCTOR_TOKEN_PATH, "proctor_token", exam, ref)
        except VendorError as error:
            # That it was created is what was asked; a link can be issued later.
            note = f"It was created, but not all links could be had: {error.message}"
            return replace(self._created(order, ref, tokens), note=note)
        return self._created(order, ref, tokens)

    def _listed(self, exam: ExamValues) -> Iterator[Mapping[str, JSON]]:
        """All deliveries of the exam, page by page [clients only]. Raises Unavailable where the list does not end."""
        path = DELIVERIES_PATH.format(exam=_segment(exam.ref))
        seen: set[str] = set()
        for page in count(1):
            reply = self._read(f"{path}?page={page}&per_page={PER_PAGE}&include=examinee")
            entries = _entries(reply)
            new = [entry for entry in entries if str(entry.get("id")) not in seen]
            yield from new
            seen.update(str(entry.get("id")) for entry in new)
            if not _has_next(reply, len(seen)):
                return
            if not new or page >= MAX_PAGES:
                raise Unavailable("Scorpion's list of deliveries repeats itself or does not end.")

    # One exchange

    def _read(self, path: str) -> dict[str, JSON]:
        response = self._send("GET", path, is_effect=False)
        replies.judge(response, is_effect=False, is_repeatable=True, now=self.clock())
        return replies.read_object(response, is_effect=False)

    def _send(self, method: str, path: str, *, is_effect: bool, body: JSON = None) -> HttpResponse:
        headers = {"Authorization": self._authorization(), "Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        request = HttpRequest(
            method=method, url=self._base_url() + path, headers=headers, body=b"" if body is None else encode(body)
        )
        return self.transport(request, is_effect=is_effect)

    def _authorization(self) -> str:
        # The value that Scorpion shows for copying already begins with "Basic"; its page adds the word itself.
        copied = self.account.credentials.get("token", "").strip()
        token = re.sub(r"\A(?:basic(?:[ \t]+|\Z))+", "", copied, flags=re.IGNORECASE)
        if not re.fullmatch(r"[\x21-\x7e]+", token):
            raise Misconfigured(
                "The Scorpion token is missing, or holds spaces, line breaks or other characters that cannot be sent.",
                scope=Scope.ACCOUNT,
            )
        return f"Basic {token}"

    def _base_url(self) -> str:
        return self.account.base_url.rstrip("/")

    def _need(self, permission: str) -> None:
        granted = self.account.permissions
        if granted and permission not in granted:
            raise Unsupported(
                f"The Scorpion App was not given the permission “{permission}”, "
                f"which is needed to {PERMISSIONS[permission]}."
            )


ADAPTER = ScorpionAdapter


# What is sent


def _is_uuid(text: str) -> bool:
    return UUID_FORM.fullmatch(text) is not None


def _segment(ref: str) -> str:
    """A vendor's identifier as one segment of a path, which it cannot leave."""
    if not ref.strip("."):
        raise Rejected("The vendor's identifier is missing or is not one.")
    return quote(ref, safe="")


def _info_rows(exam: ExamValues) -> Sequence[Mapping[str, JSON]]:
    return exam.settings.get("examinee_info") or EXAMINEE_INFO


def _info_value(row: Mapping[str, JSON], person: Person) -> str:
    source = SOURCES.get(row["source"])
    return source(person) if source else ""


def _examinee_info(exam: ExamValues, person: Person) -> dict[str, JSON]:
    values = {row["key"]: _info_value(row, person) for row in _info_rows(exam)}
    return {key: value for key, value in values.items() if value}


def _info_objections(exam: ExamValues, person: Person) -> Iterator[Objection]:
    for row in _info_rows(exam):
        key = row["key"]
        if row["source"] not in SOURCES:
            yield Objection(field=key, message=f"The exam fills “{key}” with something that a candidate does not have.")
        elif row.get("is_required") and not _info_value(row, person).strip():
            yield Objection(field=key, message=f"The exam requires “{key}”, and the candidate has none.")


def _external_id_mode(exam: ExamValues) -> str:
    return str(exam.settings.get("external_id") or "uuid")


def _form_id(exam: ExamValues, order: DeliveryOrder) -> str:
    # A form is forced: at a retake the exam's own would be the one that the candidate has already seen.
    default = exam.settings.get("form_id") if order.attempt == 1 else ""
    return str(order.options.get("form_id") or default or "")


def _mapping(exam: ExamValues, name: str) -> Mapping[str, JSON]:
    return exam.settings.get(name) or {}


def _options_meta(order: DeliveryOrder) -> Mapping[str, JSON]:
    return order.options.get("meta") or {}


def _option_objections(exam: ExamValues, order: DeliveryOrder) -> Iterator[Objection]:
    form_id = _form_id(exam, order)
    if form_id and not _is_uuid(form_id):
        yield Objection(field="form_id", message="The form's ID is not a UUID.")
    for meta in (_mapping(exam, "meta"), _options_meta(order)):
        if not isinstance(meta, Mapping) or not all(isinstance(key, str) and key for key in meta):
            yield Objection(field="meta", message="The meta values need a key each, which is a text.")


# What is read


def _text(value: JSON) -> str:
    return value if isinstance(value, str) else ""


def _number(value: JSON) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _is_from_the_api(response: HttpResponse) -> bool:
    """Whether an answer below 500 came from the API and not from a page, a redirect or something in between."""
    if response.status < 200 or 300 <= response.status < 400:
        return False
    return not response.body.strip() or isinstance(replies.parse(response.body), (dict, list))


def _snapshot(exam: ExamValues, ref: str, reply: Mapping[str, JSON]) -> SessionSnapshot:
    earned, available = _number(reply.get("points_earned")), _number(reply.get("points_available"))
    score = _number(reply.get("score"))
    return SessionSnapshot(
        ref=ref,
        state=_state(reply),
        vendor_state=_raw_state(reply),
        person_ref=_text(reply.get("examinee_id")),
        exam_ref=_text(reply.get("exam_id")) or exam.ref,
        score=earned if score is None else score,
        score_max=available if score is None else None,  # a score may be scaled: the points are not its maximum
        results={name: reply[name] for name in RESULTS if reply.get(name) is not None} or None,
        raw=dict(reply),
    )


def _raw_state(reply: Mapping[str, JSON]) -> str:
    status = reply.get("status")
    return status if isinstance(status, str) else "" if status is None else str(status)


def _state(reply: Mapping[str, JSON]) -> SessionState:
    state = STATES.get(_raw_state(reply), SessionState.UNKNOWN)
    is_paused = reply.get("is_paused") is True
    return SessionState.PAUSED if is_paused and state is SessionState.UNKNOWN else state


def _entries(reply: Mapping[str, JSON]) -> list[Mapping[str, JSON]]:
    results = reply.get("results")
    if not isinstance(results, list):
        raise Unavailable("The vendor's reply is not a list of deliveries.")
    return [entry for entry in results if isinstance(entry, dict)]


def _has_next(reply: Mapping[str, JSON], seen: int) -> bool:
    has_next = reply.get("has_next")
    if has_next is None:
        # A list taken for complete too early would say of a delivery that it was not created.
        return (_number(reply.get("total")) or 0) > seen
    return bool(has_next)


def _reference(entry: Mapping[str, JSON]) -> str:
    meta = entry.get("meta")
    return _text(meta.get(REFERENCE_KEY)) if isinstance(meta, dict) else ""


def _created_at(entry: Mapping[str, JSON]) -> datetime | None:
    try:
        moment = datetime.fromisoformat(_text(entry.get("created_at")))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _is_since(entry: Mapping[str, JSON], moment: datetime) -> bool:
    created_at = _created_at(entry)
    return created_at is not None and created_at >= moment


def _may_be_since(entry: Mapping[str, JSON], moment: datetime) -> bool:
    return _created_at(entry) is None or _is_since(entry, moment - CLOCK_SKEW)


def _looks_like(entry: Mapping[str, JSON], person: Person) -> bool:
    """Whether the e-mail or the name is among what the list says of the examinee, whatever the project calls it."""
    examinee = entry.get("examinee")
    info = examinee.get("info") if isinstance(examinee, dict) else None
    values = info.values() if isinstance(info, dict) else ()
    said = {value.strip().casefold() for value in values if isinstance(value, str)}
    first, last, email = (text.strip().casefold() for text in (person.first_name, person.last_name, person.email))
    has_name = {first, last} - {""} <= said if first or last else False
    return has_name or f"{first} {last}" in said or (email != "" and email in said)


def _choice(order: DeliveryOrder, entry: Mapping[str, JSON]) -> Created:
    known = {"created": _text(entry.get("created_at")), "status": _raw_state(entry)}
    note = ", ".join(f"{name} {value}" for name, value in known.items() if value)
    return Created(
        reference=order.reference, ref=str(entry["id"]), person_ref=_text(entry.get("examinee_id")), note=note
    )
