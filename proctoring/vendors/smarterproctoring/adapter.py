"""SmarterServices SmarterProctoring: create an exam with its full configuration."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode

from proctoring.vendors import replies
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
from proctoring.vendors.errors import Misconfigured, OutcomeUnknown, Rejected, Scope, Unavailable

EXAMS_PATH = "/v1/installs/{install}/courses/{course}/exams"
CHECK_PATH = "/v1/check"
PAGE_SIZE = 50
MAX_PAGES = 500

INSTALL_SID = re.compile(r"AI[a-f0-9]{32}")
EXAM_SID = re.compile(r"EX[a-f0-9]{32}")
COURSE_SID = re.compile(r"CU[a-f0-9]{32}")
USER_SID = re.compile(r"US[a-f0-9]{32}")
PROCTOR_TYPE_SID = re.compile(r"TS[a-f0-9]{32}")

ONLINE, WRITTEN = "Online", "Written"
EXAM_TYPES = (ONLINE, WRITTEN)
ACTIVE, DRAFT = "active", "draft"
STATUSES = (ACTIVE, DRAFT)  # `deleted` is a soft deletion and is not offered
BETWEEN, AT = "between", "at"
TIME_TYPES = (BETWEEN, AT)
CALCULATORS = ("scientific-calc", "graphing-calc", "matrix-calc", "four-function-calc")

TOP_FLAGS = ("useProctorManager", "requireApproval", "enableAppointmentSuggestions")
OPTIONAL_TOP = ("description", "contactUserSid", "isLimitedScope", "status")

PERMITTED_ITEMS = {
    "BathroomBreak": "bathroom break",
    "BlankPaper": "blank paper",
    "Calculator": "calculator",
    "Dictionary": "dictionary",
    "Earplugs": "earplugs",
    "FormulaSheet": "formula sheet",
    "Notes": "notes",
    "Textbook": "textbook",
    "Websites": "websites",
}
CONFIGURATION_FLAGS = tuple(f"permitted{item}" for item in PERMITTED_ITEMS)
CONFIGURATION_TEXTS = (
    "password",
    "requiredSoftware",
    "studentNotes",
    *(f"permitted{item}Information" for item in PERMITTED_ITEMS),
    "permittedOtherItems",
    "proctorNotes",
)
# Where scheduling opens and closes if nothing says so: a withdrawn specification's defaults, only to be compared with.
CONFIGURATION_DATES = {
    "scheduleOpenDate": datetime(2000, 1, 1, tzinfo=UTC),
    "scheduleCloseDate": datetime(2070, 1, 1, tzinfo=UTC),
}
CONFIGURATION_KEYS = frozenset(
    {
        *CONFIGURATION_FLAGS,
        *CONFIGURATION_TEXTS,
        *CONFIGURATION_DATES,
        "examOpenDate",
        "examCloseDate",
        "duration",
        "attempts",
        "instructorAsProctor",
        "proctorTypes",
        "apiExamId",
        "modalityOptions",
        "virtualCalculatorType",
    }
)
ROW_KEYS = ("location", "timeType", "startTime", "endTime", "capacity")
DEFAULT_ATTEMPTS = 1
OLD_DURATION_LIMIT = 480  # minutes; an older specification's, and it had none for updates

MODALITY_OPTIONS = {
    "recordScreen": "Record the screen",
    "recordWebcam": "Record the webcam",
    "recordAudio": "Record the sound",
    "forceFullScreen": "Full screen only",
    "onlyOneScreen": "One screen only",
    "disableNewTabs": "No new tabs",
    "closeOpenTabs": "Close open tabs",
    "disablePrinting": "No printing",
    "disableClipboard": "No clipboard",
    "disableRightClick": "No right click",
    "verifyId": "Check the candidate's ID",
    "roomScan": "Scan the room",
}
PROCTOR_TYPES = {
    "TS4b894875d26194988853e490dfb9bc41": "Live online",
    "TS9531c6b112f145018dae3cd2a9f60c4c": "Automated online with review",
    "TS63dda27a6ba54c218449b934b7bb1ba8": "Automated online",
    "TS9235d47c69d14e8aa8efb704abda9059": "Live online (third party)",
    "TS164bcc8c5456483cab4efbed1b597aa9": "Automated online with review (ProctorU)",
    "TS9bfc343debfc491bb40b7d9eee384690": "Automated online (ProctorU)",
    "TS6d6011935f4646848ea4f7a29b4f61a5": "Virtual test center",
    "TSbff39e6956b84f6399ecaac991d9a529": "Institution testing centers",
    "TS53e490dfb9bc414b894875d261949888": "Professional testing centers",
    "TSa2f6350b6b9c4b92804fab5f51f5f6b6": "NCTA testing centers",
    "TS5553fa14b62548c5951f617a6412c5bc": "Military base testing center",
    "TSf8cc28ebd2e6451dbe888ff0a0ca8837": "High school testing center",
    "TSc93c23e553ba4e2f9758e3f0649b667b": "Instructor as proctor",
    "TSc095733eb985473ebb0f7c55b282637d": "Instructor, higher education (active)",
    "TS87ac10b2e9a7425f8451598306496ab8": "Instructor, K-12 (active)",
    "TS62e5c5ff86834c1d9f49249697d94d35": "Instructor, K-12 (inactive)",
    "TSde44f39d587d4acc8d6c3fc8a8aa7282": "Testing administrator (college, university, private service)",
    "TS346fbe6cbb27420abab2dfae7042d0d3": "Disability resource center employee",
    "TSa7af29f68bec48feb364b9f1f543fd80": "Educational administrator",
    "TS1d268529fcdd4ec3a55be4eedd372213": "Educational officer (correctional facility)",
    "TS6885ba69fd2e4e0d8ef34620add4f2ae": "Educational officer (military installation)",
    "TSb492aa08991647c2b6a5beb2347bc3a7": "Education professional",
    "TS0e3bd6f03e37469a94a58c223826ab64": "Professional education center",
    "TSa8c21e75eff0434bb42cd10909d169a9": "Librarian (public library)",
    "TS4022bcd690754e629ea9b4f842f51c12": "Business professional",
    "TS75721782c0ec447596322e00711f0ca9": "Government employee",
    "TSd472cf390f27476e90e0eb0ee7409eef": "Human resources officer",
    "TS7c3752922df64d5ea40f58189327bc85": "Law enforcement officer (sergeant, lieutenant, captain)",
    "TSaa7f6ef6f6f948ff8d48777eba7e99a5": "Military personnel",
    "TS089e18d8e6594edcbe9fe55cab8ca631": "Member of the court system",
    "TS884e9462ccf044ab961c56d8a339e5bb": "Notary public",
    "TS5cf7d6a3a29c46deadf5659ba8ba9d39": "Clergy",
    "TSf2372716b074429a8253af78afd3d51c": "General public",
}

HIDDEN = "(hidden)"
UNSENDABLE = "holds characters that cannot be sent"
SECRET_CHECKS = frozenset({"configuration.password"})
SOON = timedelta(days=7)
LIST_KEYS = ("results", "exams", "items", "data")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Page:
    exams: Sequence[dict[str, JSON]]
    total: int | None


class SmarterProctoringAdapter(Adapter):
    """Follows "Create Exam" of developers.smarterservices.com."""

    FACTS = Facts(
        key="smarterproctoring",
        title="SmarterProctoring",
        page="https://developers.smarterservices.com/",
        base_url="https://api.smarterproctoring.com",
        not_built=frozenset(
            {
                *(Verb.UPDATE_EXAM, Verb.CREATE_DELIVERIES, Verb.FIND_DELIVERIES, Verb.REISSUE_LINK, Verb.RESET),
                *(Verb.RETAKE, Verb.READ_DELIVERY, Verb.LIST_SESSIONS, Verb.READ_SESSION, Verb.READ_RESULTS),
            }
        ),
        exam_id=IdShape(pattern=EXAM_SID, words="EX and 32 of the characters 0-9 and a-f"),
        capabilities={
            Verb.CREATE_EXAM: Capability(
                basis=Basis.PAGE,
                repeat=Repeat.NEVER,
                note="Sent once; after an unknown outcome it is looked up by our reference, the exam's apiExamId.",
            ),
            Verb.FIND_EXAM: Capability(
                basis=Basis.DOCUMENTED, exchanges=0, note="The list is in a withdrawn specification of the vendor."
            ),
            Verb.CHECK: Capability(basis=Basis.DOCUMENTED, note="In a withdrawn specification of the vendor."),
        },
    )
    SECRET_FIELDS = frozenset({"password", "token"})

    def warnings(self) -> tuple[str, ...]:
        found = (_install_fault(self._install_sid), _expiry_warning(self._token, self.clock()))
        return tuple(filter(None, found))

    def check(self, exam_refs: Sequence[str] = ()) -> Checked:
        """Asks the authentication check. Its reply's shape is not published: any 2xx that is no web page counts."""
        request = HttpRequest(method="GET", url=self._url(CHECK_PATH), headers=self._headers())
        response = self.transport(request, is_effect=False)
        if 400 <= response.status < 500 and response.status not in (401, 403, 408, 429):
            message = f"SmarterProctoring answered {response.status} to its check: that cannot tell."
            return Checked(message=message, is_conclusive=False)
        replies.judge(response, is_effect=False, is_repeatable=True, now=self.clock())
        if response.text().lstrip().startswith("<"):
            return Checked(message="A web page came instead of an answer: that cannot tell.", is_conclusive=False)
        return Checked(message="SmarterProctoring takes the token.")

    def exam_notes(self, exam: ExamValues) -> tuple[str, ...]:
        return (visibility_note(exam.settings), *exam_warnings(exam))

    def exam_objections(self, exam: ExamValues) -> tuple[Objection, ...]:
        return problems(exam)

    def create_exam(self, exam: ExamValues, sending: Sending) -> ExamResult:
        """Creates the exam. Raises Rejected unsent where `problems` finds some, OutcomeUnknown where no `sid` comes."""
        self._refuse_what_cannot_be_sent(exam)
        request = self._request("POST", self._exams_path(exam), encode(exam_body(exam)))
        response = self.transport(request, is_effect=True)
        replies.judge(response, is_effect=True, is_repeatable=False, now=self.clock())
        body = replies.read_object(response, is_effect=True)
        sid = body.get("sid")
        if not isinstance(sid, str) or not sid.strip():
            raise OutcomeUnknown("SmarterProctoring answered without the exam's sid.", status=response.status)
        return self._result(exam, sid.strip(), body)

    def exam_request(self, exam: ExamValues) -> HttpRequest:
        """What create_exam would send, with the token masked. The body holds the exam's password."""
        headers = {"token": "***", "Content-Type": "application/json"}
        url = self._url(self._exams_path(exam))
        return HttpRequest(method="POST", url=url, headers=headers, body=encode(exam_body(exam)))

    def find_exam(self, exam: ExamValues) -> ExamResult | None:
        """Looks for our reference in the course's exams; None where it is not there.

        A result with an empty `ref` is neither: its note names exams that may be this one, but do not show a reference.
        Raises Unavailable where the list cannot be read to its end.
        """
        alike: list[str] = []
        for page in self._pages(exam):
            mine = [item for item in page.exams if _reference_of(item) == str(exam.reference) and _sid(item)]
            if mine:
                return self._found(exam, mine)
            alike += [_sid(item) or "one without sid" for item in page.exams if _may_be(item, exam)]
        if not alike:
            return None
        note = f"No listed exam shows our reference, but these may be it: {', '.join(alike[:10])}. Look there first."
        return ExamResult(ref="", note=note)

    def _found(self, exam: ExamValues, mine: Sequence[dict[str, JSON]]) -> ExamResult:
        others = ", ".join(_sid(item) for item in mine[1:])
        note = f"More exams carry our reference: {others}." if others else ""
        return self._result(exam, _sid(mine[0]), mine[0], note=note)

    def _result(self, exam: ExamValues, sid: str, reported: Mapping[str, JSON], *, note: str = "") -> ExamResult:
        sent = {"courseSid": exam.settings.get("courseSid"), "applicationInstallSid": self._install_sid}
        checks = tuple(_checks({**sent, **exam_body(exam)}, reported))
        confirmed = {
            check.name: check.sent
            for check in checks
            if check.verdict is FieldVerdict.CONFIRMED and check.name not in SECRET_CHECKS
        }
        return ExamResult(ref=sid, checks=checks, confirmed=confirmed, note=note)

    def _pages(self, exam: ExamValues) -> Iterator[_Page]:
        seen: set[str] = set()
        for _ in range(MAX_PAGES):
            page = self._page(exam, offset=len(seen))
            fresh = {_sid(item) or repr(item) for item in page.exams} - seen
            yield page
            seen |= fresh
            if page.total is not None and len(seen) >= page.total:
                return
            if not fresh:
                _refuse_short_list(page, len(seen))
                return
        raise Unavailable(f"SmarterProctoring's list of exams did not end after {MAX_PAGES} pages.")

    def _page(self, exam: ExamValues, *, offset: int) -> _Page:
        path = f"{self._exams_path(exam)}?{urlencode({'offset': offset, 'limit': PAGE_SIZE})}"
        response = self.transport(self._request("GET", path), is_effect=False)
        replies.judge(response, is_effect=False, is_repeatable=True, now=self.clock())
        return _read_page(response)

    def _refuse_what_cannot_be_sent(self, exam: ExamValues) -> None:
        if fault := _install_fault(self._install_sid):
            raise Misconfigured(fault, scope=Scope.ACCOUNT)
        if found := problems(exam):
            first_of_each = {fault.field: fault.message for fault in reversed(found)}
            raise Rejected(f"Nothing was sent. {' '.join(fault.message for fault in found)}", fields=first_of_each)

    def _request(self, method: str, path: str, body: bytes = b"") -> HttpRequest:
        headers = self._headers() | ({"Content-Type": "application/json"} if body else {})
        return HttpRequest(method=method, url=self._url(path), headers=headers, body=body)

    def _headers(self) -> dict[str, str]:
        if not self._token:
            raise Misconfigured("The account has no SmarterProctoring token.", scope=Scope.ACCOUNT)
        return {"token": self._token}

    def _url(self, path: str) -> str:
        return (self.account.base_url or self.FACTS.base_url).rstrip("/") + path

    def _exams_path(self, exam: ExamValues) -> str:
        course = str(exam.settings.get("courseSid") or "")
        return EXAMS_PATH.format(install=quote(self._install_sid, safe=""), course=quote(course, safe=""))

    @property
    def _token(self) -> str:
        return self.account.credentials.get("token", "").strip()

    @property
    def _install_sid(self) -> str:
        return str(self.account.settings.get("install_sid") or "").strip()


def exam_body(exam: ExamValues) -> dict[str, JSON]:
    """The JSON body of the page for this exam: every required field, the optional ones only where they are set."""
    settings = exam.settings
    is_written = settings.get("type") == WRITTEN
    body: dict[str, JSON] = {
        "title": exam.title,
        "type": settings.get("type"),
        "url": "" if is_written else settings.get("url") or "",
        "examDeliverySystemModule": settings.get("examDeliverySystemModule") or "",
        **{key: settings.get(key) or False for key in TOP_FLAGS},
        "configuration": _configuration(exam),
    }
    optional = {key: settings.get(key) for key in OPTIONAL_TOP}
    return body | {key: value for key, value in optional.items() if value is not None and value != ""}


def problems(exam: ExamValues) -> tuple[Objection, ...]:
    """Why this exam cannot be sent as it stands. Pure; the account's install SID is judged with the account."""
    return (
        *_title_problems(exam),
        *_top_problems(exam.settings),
        *_online_problems(exam),
        *_window_problems(exam),
        *_number_problems(exam),
        *_configuration_problems(_own(exam)),
        *_proctor_problems(_own(exam)),
    )


def exam_warnings(exam: ExamValues) -> tuple[str, ...]:
    """What a coordinator should read before sending, and may send all the same."""
    duration = _duration(exam)
    if isinstance(duration, int) and duration > OLD_DURATION_LIMIT:
        limit = f"An older specification of SmarterProctoring allowed at most {OLD_DURATION_LIMIT} minutes"
        return (f"{limit}; this exam has {duration}. It may be refused.",)
    return ()


def visibility_note(settings: Mapping[str, JSON]) -> str:
    """Who will see the exam once it is sent."""
    is_limited = settings.get("isLimitedScope") is True
    if settings.get("status") == DRAFT:
        later = " Once active, only students assigned to it there see it." if is_limited else ""
        return f"No student sees it: it is a draft, to be made active at SmarterProctoring.{later}"
    if is_limited:
        return "Nobody sees it until students are assigned to it at SmarterProctoring."
    return "Every student enrolled in the course sees it at once."


def _own(exam: ExamValues) -> Mapping[str, Any]:
    """The configuration part of the exam's settings."""
    found = exam.settings.get("configuration")
    return found if isinstance(found, Mapping) else {}


def _configuration(exam: ExamValues) -> dict[str, JSON]:
    own = _own(exam)
    return {
        "instructorAsProctor": [
            _row(row) for row in _listed(own.get("instructorAsProctor")) if isinstance(row, Mapping)
        ],
        "examOpenDate": _wire_time(_opens_at(exam)),
        "examCloseDate": _wire_time(_closes_at(exam)),
        "duration": _duration(exam),
        "attempts": _attempts(own),
        **{key: own.get(key) or False for key in CONFIGURATION_FLAGS},
        **{key: own.get(key) or "" for key in CONFIGURATION_TEXTS},
        "proctorTypes": _listed(own.get("proctorTypes")),
        "apiExamId": str(exam.reference),
        **_chosen(own),
    }


def _chosen(own: Mapping[str, JSON]) -> dict[str, JSON]:
    """The optional fields of a configuration that hold something. An empty one is no value of theirs: it is left out."""
    optional: dict[str, JSON] = {
        **{key: _wire_time(_instant(own.get(key))) for key in CONFIGURATION_DATES},
        "modalityOptions": own.get("modalityOptions"),
        "virtualCalculatorType": own.get("virtualCalculatorType"),
    }
    return {key: value for key, value in optional.items() if value}


def _row(row: Mapping[str, JSON]) -> dict[str, JSON]:
    """One instructor who proctors. The end is a plain text on the page: kept as it is where it is no date."""
    capacity = row.get("capacity")
    wire: dict[str, JSON] = {
        "location": row.get("location") or "",
        "timeType": row.get("timeType"),
        **{key: _wire_time(_instant(row.get(key))) or row.get(key) or "" for key in ("startTime", "endTime")},
    }
    return wire if capacity in (None, "") else wire | {"capacity": capacity}


def _opens_at(exam: ExamValues) -> datetime | None:
    return exam.starts_at or _instant(_own(exam).get("examOpenDate"))


def _closes_at(exam: ExamValues) -> datetime | None:
    return exam.ends_at or _instant(_own(exam).get("examCloseDate"))


def _duration(exam: ExamValues) -> JSON:
    return exam.duration_minutes if exam.duration_minutes is not None else _own(exam).get("duration")


def _attempts(own: Mapping[str, JSON]) -> JSON:
    return DEFAULT_ATTEMPTS if _says_nothing(own.get("attempts")) else own["attempts"]


def _listed(value: JSON) -> list[JSON]:
    return list(value) if isinstance(value, list | tuple) else []


def _instant(value: JSON) -> datetime | None:
    """The moment that a datetime or an ISO 8601 text with its offset stands for; None for everything else."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            return None
    if not isinstance(value, datetime) or value.tzinfo is None:
        return None
    try:
        return value.astimezone(UTC)
    except OverflowError:  # at either end of the calendar
        return None


def _wire_time(at: datetime | None) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z") if at else ""


def _title_problems(exam: ExamValues) -> Iterator[Objection]:
    if not exam.title.strip():
        yield Objection(field="title", message="The exam needs a title.")
    elif not _is_encodable(exam.title):
        yield Objection(field="title", message=f"The title {UNSENDABLE}.")


def _top_problems(settings: Mapping[str, JSON]) -> Iterator[Objection]:
    if not _is_sid(settings.get("courseSid"), COURSE_SID):
        yield Objection(field="courseSid", message="The course's SID is CU and 32 of the characters 0-9 and a-f.")
    if settings.get("contactUserSid") and not _is_sid(settings["contactUserSid"], USER_SID):
        yield Objection(field="contactUserSid", message="The contact's SID is US and 32 of the characters 0-9 and a-f.")
    if settings.get("type") not in EXAM_TYPES:
        yield Objection(field="type", message="The type must be Online or Written.")
    if settings.get("status") not in (None, "", *STATUSES):
        yield Objection(field="status", message="The status must be active or draft.")
    if not _is_filled(settings.get("examDeliverySystemModule")):
        yield Objection(field="examDeliverySystemModule", message="The exam delivery system is required, e.g. canvas.")
    if not isinstance(settings.get("configuration") or {}, Mapping):
        yield Objection(field="configuration", message="The configuration must be an object.")
    yield from _flag_problems(settings, (*TOP_FLAGS, "isLimitedScope"))
    yield from _text_problems(settings, ("url", "description", "examDeliverySystemModule"))


def _online_problems(exam: ExamValues) -> Iterator[Objection]:
    if exam.settings.get("type") != ONLINE:
        return
    if not _is_filled(exam.settings.get("url")):
        yield Objection(field="url", message="An Online exam needs a URL.")
    if not _is_filled(_own(exam).get("password")):
        yield Objection(field="configuration.password", message="An Online exam needs a password.")


def _window_problems(exam: ExamValues) -> Iterator[Objection]:
    opens_at, closes_at = _opens_at(exam), _closes_at(exam)
    if opens_at is None:
        yield Objection(field="starts_at", message="The time at which the exam opens is required.")
    if closes_at is None:
        yield Objection(field="ends_at", message="The time at which the exam closes is required.")
    if opens_at and closes_at and closes_at <= opens_at:
        yield Objection(field="ends_at", message="The exam must close after it opens.")
    own = _own(exam)
    for key in CONFIGURATION_DATES:
        if own.get(key) and _instant(own[key]) is None:
            yield Objection(field=f"configuration.{key}", message=f"{key} must be a date and time with its offset.")
    first, last = (_instant(own.get(key)) or at for key, at in CONFIGURATION_DATES.items())
    if last <= first:
        message = "Scheduling must close after it opens."
        yield Objection(field="configuration.scheduleCloseDate", message=message)


def _number_problems(exam: ExamValues) -> Iterator[Objection]:
    if not _is_positive(_duration(exam)):
        yield Objection(field="duration_minutes", message="The duration must be a whole number of minutes, 1 or more.")
    if not _is_positive(_attempts(_own(exam))):
        yield Objection(field="configuration.attempts", message="The attempts must be a whole number, 1 or more.")


def _configuration_problems(own: Mapping[str, JSON]) -> Iterator[Objection]:
    for key in sorted(map(str, own.keys() - CONFIGURATION_KEYS)):
        yield Objection(field=f"configuration.{key}", message=f"SmarterProctoring's configuration has no field {key}.")
    yield from _flag_problems(own, CONFIGURATION_FLAGS, prefix="configuration.")
    yield from _text_problems(own, CONFIGURATION_TEXTS, prefix="configuration.")
    if own.get("virtualCalculatorType") not in (None, "", *CALCULATORS):
        message = f"The calculator must be one of {', '.join(CALCULATORS)}, or none."
        yield Objection(field="configuration.virtualCalculatorType", message=message)
    options = own.get("modalityOptions") or {}
    if not isinstance(options, Mapping):
        yield Objection(field="configuration.modalityOptions", message="The modality options must be an object.")
    elif not _is_encodable(options):
        yield Objection(field="configuration.modalityOptions", message=f"The modality options {UNSENDABLE}.")


def _proctor_problems(own: Mapping[str, JSON]) -> Iterator[Objection]:
    types = own.get("proctorTypes") or ()
    if not types:
        yield Objection(field="configuration.proctorTypes", message="Choose at least one proctor type.")
    elif not isinstance(types, list | tuple) or not all(_is_sid(sid, PROCTOR_TYPE_SID) for sid in types):
        message = "Each proctor type is a SID: TS and 32 of the characters 0-9 and a-f."
        yield Objection(field="configuration.proctorTypes", message=message)
    rows = own.get("instructorAsProctor") or ()
    if not isinstance(rows, list | tuple) or not all(isinstance(row, Mapping) for row in rows):
        message = "The instructors who proctor must be a list of rows."
        yield Objection(field="configuration.instructorAsProctor", message=message)
        return
    for number, row in enumerate(rows, 1):
        for fault in _row_faults(row):
            yield Objection(field="configuration.instructorAsProctor", message=f"Instructor row {number}: {fault}")


def _row_faults(row: Mapping[str, JSON]) -> Iterator[str]:
    start_at, end_at = _instant(row.get("startTime")), _instant(row.get("endTime"))
    if unknown := sorted(map(str, row.keys() - set(ROW_KEYS))):
        yield f"there is no field {unknown[0]}."
    if not _is_filled(row.get("location")):
        yield "the location is required."
    if row.get("timeType") not in TIME_TYPES:
        yield "the time type must be between or at."
    if start_at is None:
        yield "the start must be a date and time with its offset."
    if not isinstance(row.get("endTime") or "", str):
        yield "the end must be a text."
    if row.get("timeType") == BETWEEN and not row.get("endTime"):
        yield "the end is required."
    if start_at and end_at and end_at <= start_at:
        yield "the end must lie after the start."
    if row.get("capacity") not in (None, "") and not _is_positive(row["capacity"]):
        yield "the capacity must be a whole number, 1 or more."
    if not _is_encodable([row.get("location"), row.get("endTime")]):
        yield f"it {UNSENDABLE}."


def _flag_problems(values: Mapping[str, JSON], keys: Sequence[str], *, prefix: str = "") -> Iterator[Objection]:
    for key in keys:
        if values.get(key) not in (None, "") and not isinstance(values[key], bool):
            yield Objection(field=prefix + key, message=f"{key} must be yes or no.")


def _text_problems(values: Mapping[str, JSON], keys: Sequence[str], *, prefix: str = "") -> Iterator[Objection]:
    for key in keys:
        if values.get(key) is not None and not isinstance(values[key], str):
            yield Objection(field=prefix + key, message=f"{key} must be a text.")
        elif not _is_encodable(values.get(key) or ""):
            yield Objection(field=prefix + key, message=f"{key} {UNSENDABLE}.")


def _is_filled(value: JSON) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_encodable(value: JSON) -> bool:
    """Whether it has a form in UTF-8: half of a surrogate pair, which JSON can hold, has none."""
    try:
        encode(value)
    except ValueError:
        return False
    return True


def _is_positive(value: JSON) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _is_sid(value: JSON, pattern: re.Pattern[str]) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _install_fault(sid: str) -> str:
    if _is_sid(sid, INSTALL_SID):
        return ""
    return (
        "The account's install SID is AI and 32 of the characters 0-9 and a-f."
        if sid
        else "The install SID is missing."
    )


def _expiry_warning(token: str, now: datetime) -> str:
    expires_at = token_expires_at(token)
    if expires_at is None or expires_at - now > SOON:
        return ""
    verb = "expired" if expires_at <= now else "expires"
    return f"By its own words the token {verb} on {expires_at:%Y-%m-%d at %H:%M} UTC: ask for a new one."


def token_expires_at(token: str) -> datetime | None:
    """When a JWT expires by its own `exp`, unverified; None where it does not say or is no JWT."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = replies.parse(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        seconds = claims.get("exp") if isinstance(claims, dict) else None
        is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
        return datetime.fromtimestamp(seconds, UTC) if is_number and seconds is not None else None
    except (ValueError, OverflowError, OSError):
        return None


def _checks(sent: Mapping[str, JSON], reported: Mapping[str, JSON]) -> Iterator[FieldCheck]:
    for name, value in sent.items():
        if name == "configuration":
            yield from _configuration_checks(value, _configuration_of(reported))
        else:
            yield _field_check(name, value, reported.get(name))


def _configuration_checks(sent: Mapping[str, JSON], reported: Mapping[str, JSON]) -> Iterator[FieldCheck]:
    for key, value in sent.items():
        yield _field_check(f"configuration.{key}", value, reported.get(key))


def _field_check(name: str, sent: JSON, reported: JSON) -> FieldCheck:
    verdict = FieldVerdict.CONFIRMED if _agree(sent, reported) else FieldVerdict.DIFFERS
    if reported is None:
        verdict = FieldVerdict.NOT_REPORTED
    if name in SECRET_CHECKS:
        sent, reported = HIDDEN if sent else "", HIDDEN if reported else reported
    return FieldCheck(name=name, sent=sent, reported=reported, verdict=verdict)


def _agree(sent: JSON, reported: JSON) -> bool:
    """Whether the reported value says the same: the page types many fields loosely."""
    if isinstance(sent, Mapping):
        return isinstance(reported, Mapping) and all(_agree(value, reported.get(key)) for key, value in sent.items())
    if isinstance(sent, list):
        is_as_long = isinstance(reported, list) and len(reported) == len(sent)
        return is_as_long and all(map(_agree, sent, reported))
    if isinstance(reported, Mapping | list):
        return False
    return bool(_plain(sent) == _plain(reported))


def _plain(value: JSON) -> JSON:
    if isinstance(value, bool):
        return str(value).lower()
    text = str(value).strip()
    if text.lower() in ("true", "false"):
        return text.lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return _instant(text) or text


def _configuration_of(item: Mapping[str, JSON]) -> Mapping[str, JSON]:
    """The configuration that a reply gives: an object, an object written as a text, or nothing."""
    found = item.get("configuration")
    if isinstance(found, str):
        found = replies.parse(found.encode())
    return found if isinstance(found, Mapping) else {}


def _read_page(response: HttpResponse) -> _Page:
    value = replies.parse(response.body)
    items, total = value, None
    if isinstance(value, dict):
        items = next((value[key] for key in LIST_KEYS if isinstance(value.get(key), list)), None)
        total = value.get("total")
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise replies.unreadable(response, is_effect=False, what="a list of exams")
    is_count = isinstance(total, int) and not isinstance(total, bool)
    return _Page(exams=items, total=total if is_count else None)


def _refuse_short_list(page: _Page, seen: int) -> None:
    """A page with nothing new ends a list, unless the vendor said that there is more or repeats a full page."""
    if page.total is not None and seen < page.total:
        raise Unavailable(f"SmarterProctoring listed {seen} of {page.total} exams and then nothing new.")
    if len(page.exams) >= PAGE_SIZE:
        raise Unavailable("SmarterProctoring's list of exams repeats a page, so that its end cannot be reached.")


def _sid(item: Mapping[str, JSON]) -> str:
    sid = item.get("sid")
    return sid.strip() if isinstance(sid, str) else ""


def _reference_of(item: Mapping[str, JSON]) -> str:
    """Our reference as a listed exam shows it; "" where it shows none."""
    found = _configuration_of(item).get("apiExamId") or item.get("apiExamId")
    return found.strip().lower() if isinstance(found, str) else ""


def _may_be(item: Mapping[str, JSON], exam: ExamValues) -> bool:
    """Whether a listed exam that does not show our reference with a sid contradicts nothing that we know of ours."""
    if reference := _reference_of(item):
        return reference == str(exam.reference)
    configuration = _configuration_of(item)
    known = {"examOpenDate": _wire_time(_opens_at(exam)), "examCloseDate": _wire_time(_closes_at(exam))}
    told = [(exam.title, item.get("title"))]
    told += [(value, configuration.get(key) or item.get(key)) for key, value in known.items()]
    return all(_says_nothing(reported) or _agree(sent, reported) for sent, reported in told)


def _says_nothing(value: JSON) -> bool:
    return value is None or value == ""


ADAPTER = SmarterProctoringAdapter
