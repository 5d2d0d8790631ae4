"""ProctorExam v3: update exam, signed.

Follows http://docs.proctorexam.com/v3/apidoc.html ("update exam"). The page gives the parameters, the signature and two
errors; method, path and headers come from the vendor's other documents.
"""

from __future__ import annotations

import hashlib
import hmac
import html
import re
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import ClassVar
from urllib.parse import quote, urlencode
from zoneinfo import ZoneInfo

from proctoring.vendors.base import (
    JSON,
    Adapter,
    Basis,
    Capability,
    Checked,
    ExamResult,
    ExamValues,
    Facts,
    FieldCheck,
    FieldVerdict,
    HttpRequest,
    HttpResponse,
    IdShape,
    Objection,
    Repeat,
    Sending,
    Verb,
    encode,
)
from proctoring.vendors.errors import Misconfigured, Rejected, Scope, Unsupported
from proctoring.vendors.replies import MAX_WORDS, judge, parse, read_object, unreadable, vendor_words

PAGE = "http://docs.proctorexam.com/v3/apidoc.html"

API = "/api/v3"
EXAMS = "/exams"
EXAM = "/exams/{ref}"
ACCEPT = "application/vnd.procwise.v3"
CONTENT_TYPE = "application/json"
EXAM_ID = re.compile(r"[1-9][0-9]{0,18}")
METHODS = ("PATCH", "PUT")  # both are documented: account setting `method`
TIME_FORMATS = ("epoch", "iso")  # the table says epoch, the sample shows ISO 8601: account setting `time_format`


class Kind(Enum):
    """What the page says a parameter must be."""

    NUMBER = "number"
    TEXT = "text"
    YES_NO = "yes_no"
    TIME = "time"


PARAMETERS: Mapping[str, Kind] = {
    "id": Kind.NUMBER,
    "name": Kind.TEXT,
    "type": Kind.TEXT,
    "institute_id": Kind.NUMBER,  # in the sample only: sent where it is set, never by default
    "use_duration": Kind.YES_NO,
    "duration_minutes": Kind.NUMBER,
    "global_proctoring": Kind.YES_NO,
    "global_reviewing": Kind.YES_NO,
    "start_time": Kind.TIME,
    "end_time": Kind.TIME,
    "for_reviewing": Kind.YES_NO,
    "upload_answers": Kind.YES_NO,
    "mobile_cam": Kind.YES_NO,
    "exam_language": Kind.TEXT,
    "restrictions": Kind.TEXT,
    "allow_websites": Kind.YES_NO,
    "allow_external_applications": Kind.YES_NO,
    "allow_textbooks": Kind.YES_NO,
    "allow_calculator": Kind.YES_NO,
    "allow_pen_paper": Kind.YES_NO,
    "allow_additional": Kind.YES_NO,
    "allowed_websites": Kind.TEXT,
    "allowed_external_applications": Kind.TEXT,
    "allowed_textbooks": Kind.TEXT,
    "allowed_calculator_type": Kind.TEXT,
    "allowed_additional": Kind.TEXT,
    "student_experience": Kind.YES_NO,
}
YES_NO_WORDS = {"true": True, "1": True, "false": False, "0": False}
TYPES = ("demo", "classroom", "record_review", "live_proctoring")
COMMA_LISTS = frozenset({"exam_language"})

# Sent every time, because the page gives them defaults that leaving them out might restore.
ALWAYS_SENT = frozenset(
    {"id", "institute_id", "start_time", "end_time", "student_experience", "use_duration", "duration_minutes"}
) | {name for name in PARAMETERS if name.startswith(("allow_", "allowed_"))}

# Sent as last confirmed where the exam's settings are silent: leaving them out might turn them off.
KEPT_AS_CONFIRMED = ("student_experience", *(name for name in PARAMETERS if name.startswith("allow_")))

# Numbers and times have no empty form on the page: what was sent once cannot be taken away by an update.
UNCLEARABLE = {
    "institute_id": "institute id",
    "start_time": "first start",
    "end_time": "last start",
    "duration_minutes": "duration in minutes",
}

# Texts that stand alone: what is emptied here is sent empty. Each allowed_... goes with its switch, every time.
REMOVABLE = {"exam_language": "the languages", "restrictions": "the instructions for the reviewer"}

# ProctorExam reports these whoever set them: they count as confirmed only where they were sent from here.
SET_HERE = frozenset({"institute_id", "start_time", "duration_minutes", "use_duration"})

LAST_CONFIRMED = "last_confirmed"  # beside the parameters in an exam's settings: what the vendor last confirmed

SIGNED_SEPARATOR = "?"
NONCE_SECONDS = 100_000  # more than the 24 hours in which a nonce must be unique
NONCE_RANDOM = 90_000_000_000  # the two together stay below 2**53, which every JSON parser reads exactly

ERROR_ENVELOPES = ("errors", "error", "message", "messages", "exam")
NAMED = {*PARAMETERS, "nonce", "timestamp", "signature"}

MADE_WHEN_SENT = "(made when it is sent)"
MASK = "••••••"

MISSING_PARAMETER = re.compile(r"param is missing or the value is empty(?: or invalid)?:\s*['\"]?([\w.\[\]-]+)", re.I)
# One that never ends is taken to the end of the text, and left out then: to begin again at each quote would take for ever.
QUOTED = re.compile(r"""'((?:[^'\\]|\\.)*)('?)|"((?:[^"\\]|\\.)*)("?)""", re.DOTALL)
EPOCH_MILLISECONDS = 100_000_000_000  # numbers from here on are milliseconds: as seconds they are the year 5138

Parameters = dict[str, JSON]


class ProctorExamAdapter(Adapter):
    """The exams of one institute.

    Credentials `api_token` and `secret_key`; settings `method` (PATCH or PUT) and `time_format` (epoch or iso). The
    base URL is the institute's own, with or without /api/v3.
    """

    FACTS: ClassVar[Facts] = Facts(
        key="proctorexam",
        title="ProctorExam",
        page=PAGE,
        base_url="",
        not_built=frozenset(
            {
                *(Verb.CREATE_EXAM, Verb.CREATE_DELIVERIES, Verb.FIND_DELIVERIES, Verb.RETAKE),
                *(Verb.READ_DELIVERY, Verb.LIST_SESSIONS, Verb.READ_SESSION, Verb.READ_RESULTS),
            }
        ),
        exam_id=IdShape(pattern=EXAM_ID, words="a number such as 4711"),
        capabilities={
            Verb.UPDATE_EXAM: Capability(
                basis=Basis.PAGE,
                repeat=Repeat.HARMLESS,
                note="Method, path and headers are in the vendor's other pages. Sent again under a new nonce.",
            ),
            Verb.CHECK: Capability(basis=Basis.CLIENTS, note="How a GET is signed is not documented."),
        },
    )
    SECRET_FIELDS: ClassVar[frozenset[str]] = frozenset({"signature", "token", "api_token", "secret_key"})

    def check(self, exam_refs: Sequence[str] = ()) -> Checked:
        """Reads one exam, or the list. Only a success is conclusive: a refusal may be about how the GET was signed."""
        ref = next((ref for ref in exam_refs if ref.isdecimal()), "")
        response = self.transport(self._check_request(ref), is_effect=False)
        if response.status in (403, 404, 422):
            return Checked(message=self._inconclusive(response), is_conclusive=False)
        judge(response, is_effect=False, is_repeatable=True, now=self.clock())
        if not isinstance(parse(response.body), dict | list):
            raise unreadable(response, is_effect=False, what="JSON")
        return Checked(
            message=f"The token and the secret key work: {f'exam {ref}' if ref else 'the exams'} could be read."
        )

    def exam_notes(self, exam: ExamValues) -> tuple[str, ...]:
        return tuple(_removal_notes(exam))

    def update_exam(self, exam: ExamValues, sending: Sending) -> ExamResult:
        """Sends what has to be sent of the exam. Raises Unsupported, before signing, naming the fields at fault."""
        parameters = self._parameters(exam)
        response = self.transport(self._update_request(self._signed(parameters)), is_effect=True)
        self._judge_update(response)
        return exam_result(exam, parameters, read_object(response, is_effect=True))

    def exam_request(self, exam: ExamValues) -> HttpRequest:
        """What update_exam would send, without the credentials and without what is made at the moment of sending."""
        parameters = self._parameters(exam)
        made_later = dict.fromkeys(("nonce", "timestamp", "signature"), MADE_WHEN_SENT)
        return self._update_request({**parameters, **made_later}, token=MASK)

    def _parameters(self, exam: ExamValues) -> Parameters:
        return parameters_to_send(exam, time_format=self._choice("time_format", TIME_FORMATS))

    def _signed(self, parameters: Mapping[str, JSON]) -> Parameters:
        now = self.clock()
        full = {**parameters, "nonce": nonce(now), "timestamp": int(now.timestamp() * 1000)}
        return {**full, "signature": signature(full, self._credential("secret_key"))}

    def _update_request(self, body: Mapping[str, JSON], *, token: str = "") -> HttpRequest:
        return HttpRequest(
            method=self._choice("method", METHODS),
            url=f"{self._root()}{EXAM.format(ref=body['id'])}",
            headers={**self._headers(token), "Content-Type": CONTENT_TYPE},
            body=encode(body),
        )

    def _check_request(self, ref: str) -> HttpRequest:
        parameters: Parameters = {"id": int(ref)} if ref else {"limit": 1}
        query = [(name, text_of(value)) for name, value in self._signed(parameters).items()]
        path = EXAM.format(ref=int(ref)) if ref else EXAMS
        url = f"{self._root()}{path}?{urlencode(query, quote_via=quote, safe='')}"
        return HttpRequest(method="GET", url=url, headers=self._headers())

    def _headers(self, token: str = "") -> dict[str, str]:
        return {"Accept": ACCEPT, "Authorization": f"Token token={token or self._credential('api_token')}"}

    def _root(self) -> str:
        root = api_root(self.account.base_url)
        if not root:
            raise Misconfigured("The account has no address: it is the institute's own.", scope=Scope.ACCOUNT)
        return root

    def _credential(self, name: str) -> str:
        value = self.account.credentials.get(name, "")
        if not value:
            raise Misconfigured(f"The account has no {name.replace('_', ' ')}.", scope=Scope.ACCOUNT)
        return value

    def _choice(self, name: str, choices: Sequence[str]) -> str:
        chosen = str(self.account.settings.get(name) or choices[0])
        for choice in choices:
            if choice.casefold() == chosen.casefold():
                return choice
        raise Misconfigured(f"The setting {name} is {' or '.join(choices)}, not {chosen}.", scope=Scope.ACCOUNT)

    def _judge_update(self, response: HttpResponse) -> None:
        if response.status == 403:
            raise Misconfigured(self._forbidden(response), scope=Scope.ACCOUNT, status=403, suspected=True)
        if response.status == 422:
            raise _rejected(response)
        if response.status in (400, 404):
            raise Rejected(_words(response) or f"ProctorExam answered {response.status}.", status=response.status)
        judge(response, is_effect=True, is_repeatable=True, now=self.clock())

    def _forbidden(self, response: HttpResponse) -> str:
        causes = (
            "a wrong signature (secret key), a clock that is off, a nonce that was used before, "
            "or a right that the token does not have"
        )
        sentence = f"ProctorExam refused (403). It may be {causes}: they look alike. {clocks(response, self.clock())}"
        return f"{sentence} {_words(response)}".strip()

    def _inconclusive(self, response: HttpResponse) -> str:
        if response.status == 403:
            return f"{self._forbidden(response)} How a GET is signed is not documented, so this does not settle it."
        sentence = f"ProctorExam answered {response.status}, which does not tell whether the key works."
        return f"{sentence} {_words(response)}".strip()


# -- the signature


def nonce(now: datetime) -> int:
    """A number of the time and of chance: no two moments of a day share one, and within a second chance decides."""
    return int(now.timestamp()) % NONCE_SECONDS * NONCE_RANDOM + secrets.randbelow(NONCE_RANDOM)


def signed_text(parameters: Mapping[str, JSON]) -> str:
    """`name=value` of all parameters but the signature, by name, joined by `?`, nothing escaped."""
    names = sorted((name for name in parameters if name != "signature"), key=str.encode)
    return SIGNED_SEPARATOR.join(f"{name}={text_of(parameters[name])}" for name in names)


def signature(parameters: Mapping[str, JSON], secret_key: str) -> str:
    return hmac.new(secret_key.encode(), signed_text(parameters).encode(), hashlib.sha256).hexdigest()


def text_of(value: JSON) -> str:
    """A value as it is signed: as in JSON, a string without its quotes. Raises Unsupported for lists and objects."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return str(value)
    raise Unsupported("Only words, whole numbers and yes or no can be signed.")


# -- what is sent


def parameters_to_send(exam: ExamValues, *, time_format: str = TIME_FORMATS[0]) -> Parameters:
    """The parameters of one update, in the page's order and notation. Raises Unsupported naming the fields at fault."""
    values = wanted(exam)
    faults = problems(values)
    if not exam.ref.isascii() or not exam.ref.isdecimal():
        faults = (Objection(field="id", message="ProctorExam's exam id is a number."), *faults)
    if faults:
        raise Unsupported("; ".join(f"{fault.field}: {fault.message}" for fault in faults))
    values = {"id": int(exam.ref), **values}
    written = {name: _written(name, values[name], exam, time_format) for name in PARAMETERS if name in values}
    confirmed = _last_confirmed(exam)
    return {name: value for name, value in written.items() if _has_to_be_sent(name, value, confirmed)}


def wanted(exam: ExamValues) -> Parameters:
    """What the exam is to be at the vendor: its settings over its title, times and duration. Absent values left out."""
    confirmed = _last_confirmed(exam)
    values: Parameters = {
        name: confirmed[name] for name in KEPT_AS_CONFIRMED if yes_no(confirmed.get(name)) is not None
    }
    own = {
        "name": exam.title or None,
        "start_time": exam.starts_at,
        "end_time": exam.ends_at,
        "duration_minutes": exam.duration_minutes,
    }
    for source in (own, exam.settings):
        values.update({name: value for name, value in source.items() if _is_given(name, value)})
    if "duration_minutes" in values:
        values.setdefault("use_duration", True)
    elif "use_duration" in confirmed or "duration_minutes" in confirmed:
        values.setdefault("use_duration", False)  # its number cannot be emptied, but it can be said to be no limit
    return values


def _is_given(name: str, value: JSON) -> bool:
    is_blank_choice = name in ("name", "type") and value == ""
    return value is not None and name != LAST_CONFIRMED and not is_blank_choice


def _last_confirmed(exam: ExamValues) -> Mapping[str, JSON]:
    confirmed = exam.settings.get(LAST_CONFIRMED)
    known = confirmed if isinstance(confirmed, Mapping) else {}
    return {name: value for name, value in known.items() if value is not None}


def problems(settings: Mapping[str, JSON]) -> tuple[Objection, ...]:
    """Why these values cannot be sent, field by field: the page's validations and what contradicts itself. Pure."""
    return tuple(_problems(settings))


def _problems(settings: Mapping[str, JSON]) -> Iterator[Objection]:
    for name, value in settings.items():
        fault = _fault(name, value) if _is_given(name, value) else ""
        if fault:
            yield Objection(field=name, message=fault)
    yield from _contradictions(settings)


def _fault(name: str, value: JSON) -> str:
    if name not in PARAMETERS:
        return "ProctorExam has no such parameter."
    if isinstance(value, list | tuple | dict):
        return "A list or a group of values cannot be signed."
    fault = FAULTS[PARAMETERS[name]](value)
    if not fault and name == "type" and value not in TYPES:
        return f"Must be one of: {', '.join(TYPES)}."
    return fault


def _number_fault(value: JSON) -> str:
    is_number = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    return "" if is_number else "Must be a whole number, 0 or more."


def _text_fault(value: JSON) -> str:
    if not isinstance(value, str):
        return "Must be text."
    return "" if _is_encodable(value) else "Holds characters that cannot be sent."


def _yes_no_fault(value: JSON) -> str:
    return "" if yes_no(value) is not None else "Must be one of: true, false, 1, 0."


def _time_fault(value: JSON) -> str:
    return "" if _is_whole_second(value) else "Must be a time with its zone, or the whole seconds since 1970."


FAULTS: Mapping[Kind, Callable[[JSON], str]] = {
    Kind.NUMBER: _number_fault,
    Kind.TEXT: _text_fault,
    Kind.YES_NO: _yes_no_fault,
    Kind.TIME: _time_fault,
}


def _contradictions(settings: Mapping[str, JSON]) -> Iterator[Objection]:
    if yes_no(settings.get("use_duration")) and settings.get("duration_minutes") is None:
        yield Objection(field="duration_minutes", message="A duration is used, so it must be given.")
    starts_at, ends_at = instant(settings.get("start_time")), instant(settings.get("end_time"))
    if starts_at and ends_at and ends_at < starts_at:
        yield Objection(field="end_time", message="The last start is before the first start.")


def _is_whole_second(value: JSON) -> bool:
    if isinstance(value, datetime) and value.tzinfo is None:
        return False
    if isinstance(value, str) and not re.search(r"(Z|UTC|[+-]\d\d:?\d\d)$", value.strip()):
        return False
    return instant(value) is not None


def _is_encodable(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _written(name: str, value: JSON, exam: ExamValues, time_format: str) -> JSON:
    kind = PARAMETERS[name]
    if kind is Kind.YES_NO:
        return yes_no(value)
    if kind is Kind.TIME:
        return _written_time(value, exam, time_format)
    return value


def _written_time(value: JSON, exam: ExamValues, time_format: str) -> JSON:
    moment = instant(value)
    if moment is None:
        raise Unsupported("A time cannot be read.")
    if time_format == "iso":
        return moment.astimezone(_zone(exam.time_zone)).isoformat(timespec="milliseconds")
    return int(moment.timestamp())


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return ZoneInfo("UTC")


def _has_to_be_sent(name: str, value: JSON, confirmed: Mapping[str, JSON]) -> bool:
    """An empty text is one that was removed here (silent ones are None), and so is sent unless it is empty there."""
    if name in ALWAYS_SENT or name not in confirmed or _is_nested(confirmed[name]):
        return True
    return compare(name, value, confirmed[name]) is not FieldVerdict.CONFIRMED


def _removal_notes(exam: ExamValues) -> Iterator[str]:
    """What an update takes away at the vendor because it was removed here, and what it cannot."""
    values, confirmed = wanted(exam), _last_confirmed(exam)
    emptied = [name for name in REMOVABLE if values.get(name) == "" and _has_to_be_sent(name, "", confirmed)]
    if emptied:
        yield f"Removed here, and so removed at ProctorExam: {', '.join(REMOVABLE[name] for name in emptied)}."
    was_limited = yes_no(confirmed.get("use_duration")) is True
    if was_limited and "duration_minutes" not in values and exam.settings.get("use_duration") is None:
        yield "The exam has no duration here: ProctorExam is told not to limit the candidates' time by one."
    for name, words in UNCLEARABLE.items():
        if name in confirmed and name not in values:
            there = _shown(name, confirmed[name])
            yield f"The {words} stands at ProctorExam as {there}, and an update cannot empty it. Remove it there by hand."


def _shown(name: str, value: JSON) -> str:
    moment = instant(value) if PARAMETERS[name] is Kind.TIME else None
    return f"{moment:%Y-%m-%d %H:%M} UTC" if moment else str(value)


# -- what came back


def exam_result(exam: ExamValues, sent: Mapping[str, JSON], reply: Mapping[str, JSON]) -> ExamResult:
    """Each field sent against the exam in the reply. Raises OutcomeUnknown where the reply holds no exam."""
    inner = reply.get("exam")
    reported = inner if isinstance(inner, dict) else reply
    if "id" not in reported and "name" not in reported:
        raise unreadable(HttpResponse(status=200), is_effect=True, what="an exam")
    checks = tuple(_check(name, value, reported) for name, value in sent.items())
    standing = tuple(_standing(sent, reported, _last_confirmed(exam)))
    return ExamResult(
        ref=exam.ref,
        checks=checks + standing,
        confirmed=_confirmed(checks, standing, reported),
        note=_note(checks, standing),
    )


def compare(name: str, sent: JSON, reported: JSON) -> FieldVerdict:
    """Whether a reported value says the same as the one sent, whatever its notation."""
    if reported is None:
        return _compare_with_null(sent)
    if name == "restrictions" and sent != reported and _is_nested(reported):
        return _compare_with_nested(sent, _nested_words(reported))
    left, right = _comparable(name, sent), _comparable(name, reported)
    return FieldVerdict.CONFIRMED if left is not None and left == right else FieldVerdict.DIFFERS


def _compare_with_null(sent: JSON) -> FieldVerdict:
    if isinstance(sent, str) and not sent:
        return FieldVerdict.CONFIRMED
    return FieldVerdict.NOT_REPORTED if sent is False else FieldVerdict.DIFFERS


def _is_nested(reported: JSON) -> bool:
    """Whether it is the vendor's own form of instructions: pairs of a flag and a list of texts, as a text or as lists."""
    return isinstance(reported, list) or (isinstance(reported, str) and reported.lstrip().startswith("[["))


def _nested_words(reported: JSON) -> list[str]:
    """The texts in that form, the empty ones left out."""
    if isinstance(reported, list):
        return [word for part in reported for word in _nested_words(part)]
    if not isinstance(reported, str):
        return []
    quoted = [one or other for one, ends, other, other_ends in QUOTED.findall(reported) if ends or other_ends]
    texts = map(_unescaped, quoted) if _is_nested(reported) else [reported]
    return [words for words in map(_one_spaced, texts) if words]


def _unescaped(text: str) -> str:
    return re.sub(
        r"\\(.)", lambda found: {"n": "\n", "r": "\r", "t": "\t"}.get(found[1], found[1]), text, flags=re.DOTALL
    )


def _one_spaced(text: str) -> str:
    return " ".join(text.split())


def _compare_with_nested(sent: JSON, words: Sequence[str]) -> FieldVerdict:
    """Without any text it agrees with nothing sent; after words it tells nothing: the page's sample answers them so."""
    wanted_words = _one_spaced(str(sent))
    if not words:
        return FieldVerdict.NOT_REPORTED if wanted_words else FieldVerdict.CONFIRMED
    is_there = wanted_words in (*words, " ".join(words))
    return FieldVerdict.CONFIRMED if is_there else FieldVerdict.DIFFERS


def _comparable(name: str, value: JSON) -> object:
    kind = PARAMETERS[name]
    if kind is Kind.YES_NO:
        return yes_no(value)
    if kind is Kind.TIME:
        moment = instant(value)
        return int(moment.timestamp()) if moment else None
    if kind is Kind.NUMBER:
        return _whole_number(value)
    if not isinstance(value, str):
        return None
    return frozenset(_listed(value)) if name in COMMA_LISTS else value.strip()


def _listed(text: str) -> Iterator[str]:
    return (word.strip().casefold() for word in text.split(",") if word.strip())


def _check(name: str, sent: JSON, reported: Mapping[str, JSON]) -> FieldCheck:
    if name not in reported:
        return FieldCheck(name=name, sent=sent, reported=None, verdict=FieldVerdict.NOT_REPORTED)
    return FieldCheck(name=name, sent=sent, reported=reported[name], verdict=compare(name, sent, reported[name]))


def _standing(
    sent: Mapping[str, JSON], reported: Mapping[str, JSON], before: Mapping[str, JSON]
) -> Iterator[FieldCheck]:
    """What is to be empty and cannot be sent as empty, and still is there. A last start counts whoever set it."""
    for name in UNCLEARABLE:
        there = reported.get(name)
        if name in sent or there is None:
            continue
        if name == "end_time" or (name in before and compare(name, before[name], there) is FieldVerdict.CONFIRMED):
            yield FieldCheck(name=name, sent=None, reported=there, verdict=FieldVerdict.DIFFERS)


def _confirmed(
    checks: Sequence[FieldCheck], standing: Sequence[FieldCheck], reported: Mapping[str, JSON]
) -> dict[str, JSON]:
    """What the vendor says the exam now is, of the parameters. None takes back an earlier word that no longer holds."""
    silent = {check.name for check in checks if check.verdict is FieldVerdict.NOT_REPORTED}
    from_here = {check.name for check in (*checks, *standing)}
    told = {name: reported[name] for name in PARAMETERS if name in reported and name != "id"}
    return {**told, **dict.fromkeys(silent | (SET_HERE - from_here))}


def _note(checks: Sequence[FieldCheck], standing: Sequence[FieldCheck]) -> str:
    differing = [check.name for check in checks if check.verdict is FieldVerdict.DIFFERS]
    sentences = []
    if differing:
        sentences.append(f"ProctorExam reports something else for: {', '.join(differing)}.")
    if standing:
        names = ", ".join(f"{UNCLEARABLE[check.name]} ({_shown(check.name, check.reported)})" for check in standing)
        sentences.append(f"Still there, because an update cannot empty it: {names}. Remove it at ProctorExam by hand.")
    return " ".join(sentences)


def clocks(response: HttpResponse, now: datetime) -> str:
    """Our clock against the vendor's Date header, as a sentence."""
    ours = f"Our clock says {now.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    try:
        theirs = parsedate_to_datetime(response.headers.get("date", ""))
    except (ValueError, IndexError):
        return f"{ours}; the vendor's answer carries no date."
    theirs = theirs if theirs.tzinfo else theirs.replace(tzinfo=UTC)
    seconds = abs(round((now - theirs).total_seconds()))
    return f"{ours}, the vendor's {theirs.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC: {seconds} seconds apart."


def _rejected(response: HttpResponse) -> Rejected:
    words = _words(response)
    fields = _missing_parameter(response) or _field_words(parse(response.body))
    told = words or "; ".join(f"{name}: {word}" for name, word in fields.items())
    return Rejected(told or "ProctorExam refused the values (422) without a reason.", status=422, fields=fields)


def _missing_parameter(response: HttpResponse) -> dict[str, str]:
    found = MISSING_PARAMETER.search(html.unescape(response.text()))
    return {found[1]: "is missing or empty"} if found else {}


def _field_words(value: JSON) -> dict[str, str]:
    if not isinstance(value, dict):
        return {}
    for envelope in ERROR_ENVELOPES:
        if isinstance(value.get(envelope), dict):
            return _field_words(value[envelope])
    words = {name: _joined(part) for name, part in value.items() if isinstance(part, list) or name in NAMED}
    return {name: word for name, word in words.items() if word}


def _joined(part: JSON) -> str:
    if isinstance(part, list):
        return ", ".join(filter(None, map(_joined, part)))
    return part.strip()[:MAX_WORDS] if isinstance(part, str) else ""


def _words(response: HttpResponse) -> str:
    """The vendor's words, of JSON or of plain text; "" for a web page."""
    value = parse(response.body)
    if value is not None:
        return vendor_words(response)
    text = html.unescape(response.text()).strip()
    return "" if text.startswith("<") else text[:MAX_WORDS]


# -- notations


def api_root(base_url: str) -> str:
    """The address up to and including /api/v3, given with or without it; https where no scheme is given."""
    host = base_url.strip().rstrip("/").removesuffix(API).removesuffix("/api").rstrip("/")
    if not host:
        return ""
    return f"{host if '://' in host else f'https://{host}'}{API}"


def yes_no(value: JSON) -> bool | None:
    """True, false, 1 and 0, also as text; None for anything else."""
    if isinstance(value, str):
        return YES_NO_WORDS.get(value.strip().lower())
    return bool(value) if isinstance(value, int) and value in (0, 1) else None


def instant(value: JSON) -> datetime | None:
    """The moment of a datetime, of epoch seconds or milliseconds, or of ISO text (UTC where it names no zone)."""
    try:
        if isinstance(value, datetime):
            moment = value
        elif isinstance(value, str):
            moment = _instant_of_text(value.strip())
        elif isinstance(value, int | float) and not isinstance(value, bool):
            moment = _instant_of_number(value)
        else:
            return None
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _instant_of_text(text: str) -> datetime:
    if text.isdecimal():
        return _instant_of_number(int(text))
    return datetime.fromisoformat(text.removesuffix("UTC").strip())


def _instant_of_number(number: float) -> datetime:
    return datetime.fromtimestamp(number / 1000 if number >= EPOCH_MILLISECONDS else number, UTC)


def _whole_number(value: JSON) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return int(number) if number.is_integer() else None


ADAPTER = ProctorExamAdapter
