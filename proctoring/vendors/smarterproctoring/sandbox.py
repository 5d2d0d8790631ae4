"""SmarterProctoring as its page describes it: courses of an install, and the exams made in them.

Follows "Create Exam" (developers.smarterservices.com). The page shows no error body, and types the configuration in a
reply as text; reading, checking the token and the delivery systems are known from an older specification without
shapes. What that one demands on top of the page is a control.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from proctoring.sandbox.simulator import Control, Document, Parameter, Problem, Reply, Request, Route, Simulator

EXAMS_PATH = "/v1/installs/{install_sid}/courses/{course_sid}/exams"
PER_PAGE, MOST_PER_PAGE = 50, 100
LONGEST_MINUTES_ONCE = 480
YES_NO = ("yes", "no")
SHAPES = ("text", "null", "object")
LIST_PARAMETERS = {"offset", "limit", "includeStatusSummary", "sortKeys", "sortOrder"}
SORT_KEYS = ("title", "examOpenDate", "scheduleOpenDate")
DELIVERY_SYSTEMS = ("canvas", "blackboard", "brightspace", "moodle")

REPLY_KEYS = (
    "sessionStatus",
    "sid",
    "courseSid",
    "applicationInstallSid",
    "title",
    "bVirtualTitle",
    "type",
    "description",
    "useProctorManager",
    "requireApproval",
    "enableAppointmentSuggestions",
    "url",
    "status",
    "createdDate",
    "editDate",
    "contactUserSid",
    "examDeliverySystemModule",
    "summary",
    "pendingApprovals",
    "openSessionEvents",
    "course",
    "configuration",
    "examSession",
    "instructorName",
    "courseName",
    "totalSessions",
    "needsProctorSessions",
    "scriptName",
    "systemName",
    "isLimitedScope",
    "platformVersion",
)

Check = Callable[[Any], str]  # what is wrong with a value, or nothing

_DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z", re.ASCII)


def is_sid(prefix: str, value: Any) -> bool:
    """Whether `value` is two letters and 32 hexadecimal digits in lower case."""
    return isinstance(value, str) and re.fullmatch(f"{prefix}[a-f0-9]{{32}}", value) is not None


def new_sid(prefix: str) -> str:
    return prefix + secrets.token_hex(16)


def signed_token(secret: str, claims: Mapping[str, Any]) -> str:
    """A JWT (HS256) of `claims`."""
    head = ".".join(_base64(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, claims))
    return f"{head}.{_base64(hmac.digest(secret.encode(), head.encode(), hashlib.sha256))}"


def claims_of(secret: str, token: str) -> Document | None:
    """The claims of a JWT signed with `secret`; None for anything else."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, RecursionError):
        return None
    is_genuine = isinstance(claims, dict) and hmac.compare_digest(signed_token(secret, claims).encode(), token.encode())
    return claims if is_genuine else None


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _text(value: Any) -> str:
    return "" if isinstance(value, str) else "must be a string"


def _filled(value: Any) -> str:
    return "" if isinstance(value, str) and value.strip() else "must be a string that is not blank"


def _text_or_null(value: Any) -> str:
    return "" if value is None or isinstance(value, str) else "must be a string or null"


def _boolean(value: Any) -> str:
    return "" if isinstance(value, bool) else "must be true or false"


def _object(value: Any) -> str:
    return "" if isinstance(value, dict) else "must be an object"


def _array(value: Any) -> str:
    return "" if isinstance(value, list) else "must be an array"


def _texts(value: Any) -> str:
    return _array(value) or ("" if all(isinstance(one, str) and one for one in value) else "must hold strings only")


def _positive(value: Any) -> str:
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    return "" if is_whole and value > 0 else "must be a positive integer"


def _date(value: Any) -> str:
    if isinstance(value, str) and _DATE.fullmatch(value):
        try:
            datetime.fromisoformat(value)
        except ValueError:
            return "is a date that does not exist"
        return ""
    return "must be an ISO 8601 date ending in Z"


def _one_of(*choices: str) -> Check:
    named = ", ".join(choice for choice in choices if choice)
    return lambda value: "" if isinstance(value, str) and value in choices else f"must be one of {named}"


def _user(value: Any) -> str:
    return "" if is_sid("US", value) else "must match ^US[a-f0-9]{32}$"


EXAM_FIELDS: Mapping[str, Check] = {
    "title": _filled,
    "type": _one_of("Online", "Written"),
    "useProctorManager": _boolean,
    "requireApproval": _boolean,
    "url": _text,
    "enableAppointmentSuggestions": _boolean,
    "examDeliverySystemModule": _filled,
    "configuration": _object,
    "description": _text_or_null,
    "contactUserSid": _user,
    "isLimitedScope": _boolean,
    "status": _one_of("active", "draft", "deleted"),
}
EXAM_OPTIONAL = {"description", "contactUserSid", "isLimitedScope", "status"}

PERMITTED = (
    "BathroomBreak",
    "BlankPaper",
    "Calculator",
    "Dictionary",
    "Earplugs",
    "FormulaSheet",
    "Notes",
    "Textbook",
    "Websites",
)
CONFIGURATION_FIELDS: Mapping[str, Check] = {
    "instructorAsProctor": _array,
    "examOpenDate": _date,
    "examCloseDate": _date,
    "password": _text,
    "duration": _positive,
    "attempts": _positive,
    "requiredSoftware": _text,
    "studentNotes": _text,
    **{f"permitted{kind}": _boolean for kind in PERMITTED},
    **{f"permitted{kind}Information": _text for kind in PERMITTED},
    "permittedOtherItems": _text,
    "proctorNotes": _text,
    "proctorTypes": _texts,
    "scheduleOpenDate": _date,
    "scheduleCloseDate": _date,
    "apiExamId": _text,
    "modalityOptions": _object,
    "virtualCalculatorType": _one_of("scientific-calc", "graphing-calc", "matrix-calc", "four-function-calc", ""),
}
ROW_FIELDS: Mapping[str, Check] = {
    "location": _text,
    "timeType": _one_of("between", "at"),
    "startTime": _date,
    "endTime": _text,
    "capacity": _positive,
}


class SmarterProctoringSimulator(Simulator):
    """DEMO_TOKEN is good for DEMO_INSTALL until 2100. Its courses are DEMO_COURSE and DEMO_OTHER_COURSE.

    The install, the course and DEMO_USER have the SIDs of the page's examples.
    """

    vendor = "smarterproctoring"
    title = "SmarterProctoring"
    default_port = 8104

    DEMO_INSTALL = "AI1234567890abcdef1234567890abcdef"
    DEMO_COURSE = "CU1234567890abcdef1234567890abcdef"
    DEMO_OTHER_COURSE = "CUfedcba0987654321fedcba0987654321"
    DEMO_USER = "US1234567890abcdef1234567890abcdef"
    DEMO_SECRET = "smarterproctoring-sandbox"  # noqa: S105  published on purpose
    DEMO_TOKEN = signed_token(DEMO_SECRET, {"iss": "sandbox", "sub": DEMO_INSTALL, "exp": 4_102_444_800})

    def seed(self) -> None:
        install = {
            "sid": self.DEMO_INSTALL,
            "token": self.DEMO_TOKEN,
            "is_token_expired": False,
            "configuration_shape": SHAPES[0],
            "follows_older_specification": False,
        }
        self.store.put("installs", self.DEMO_INSTALL, install)
        self._put_course(self.DEMO_COURSE, "Biology 101", "Ada Okafor")
        self._put_course(self.DEMO_OTHER_COURSE, "Introduction to Logic", "Li Wei")

    def _put_course(self, sid: str, title: str, instructor: str) -> Document:
        course = {
            "sid": sid,
            "title": title,
            "instructor_name": instructor,
            "install_sid": self.DEMO_INSTALL,
        }
        self.store.put("courses", sid, course)
        return course

    def _install(self) -> Document:
        return self.store.all("installs")[0]

    def _set(self, **values: Any) -> Document:
        self.store.put("installs", self.DEMO_INSTALL, {**self._install(), **values})
        return values

    def routes(self) -> Sequence[Route]:
        return (
            Route("GET", "/v1/check", self._check),
            Route("GET", "/v1/installs/{install_sid}/examDeliverySystems", self._list_delivery_systems),
            Route("POST", EXAMS_PATH, self._create),
            Route("GET", EXAMS_PATH, self._list),
            Route("GET", EXAMS_PATH + "/{exam_sid}", self._read),
        )

    # Who asks, and about what

    def _authorize(self, request: Request) -> Document:
        token, install = request.header("token"), self._install()
        claims = claims_of(self.DEMO_SECRET, token)
        if claims is None:
            raise self.problem(401, "The token header is missing or holds no valid token.")
        if claims["exp"] <= self.clock().timestamp() or (token == install["token"] and install["is_token_expired"]):
            raise self.problem(401, "The token has expired.")
        if token != install["token"]:
            raise self.problem(401, "The token has been revoked.")
        return install

    def _place(self, request: Request, install_sid: str, course_sid: str) -> tuple[Document, Document]:
        install = self._own_install(request, install_sid)
        if not is_sid("CU", course_sid):
            raise self.problem(400, "courseSid must match ^CU[a-f0-9]{32}$.")
        course = self.store.get("courses", course_sid)
        if course is None:
            raise self.problem(404, "courseSid: there is no such course.")
        return install, course

    def _own_install(self, request: Request, install_sid: str) -> Document:
        install = self._authorize(request)
        if not is_sid("AI", install_sid):
            raise self.problem(400, "installSid must match ^AI[a-f0-9]{32}$.")
        if install_sid != install["sid"]:
            raise self.problem(403, "installSid: the token is not for this install.")
        return install

    # Creating an exam

    def _create(self, request: Request, install_sid: str, course_sid: str) -> Reply:
        install, course = self._place(request, install_sid, course_sid)
        body = self.read_object(request)
        mistakes = _mistakes(body, is_older=install["follows_older_specification"])
        if mistakes:
            raise self.problem(400, " ".join(f"{mistake}." for mistake in mistakes))
        now = self._now()
        exam = {
            "description": None,
            "contactUserSid": None,
            "isLimitedScope": False,
            "status": "active",
            **body,
            "sid": new_sid("EX"),
            "courseSid": course["sid"],
            "createdDate": now,
            "editDate": now,
        }
        self.store.put("exams", exam["sid"], exam)
        return Reply(json=self._shown(install, course, exam))

    def _now(self) -> str:
        return self.clock().isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def _shown(self, install: Document, course: Document, exam: Document) -> Document:
        shape = install["configuration_shape"]
        known = {
            **exam,
            "applicationInstallSid": install["sid"],
            "course": _shaped(shape, {"sid": course["sid"], "title": course["title"]}),
            "configuration": _shaped(shape, exam["configuration"]),
            "courseName": course["title"],
            "instructorName": course["instructor_name"],
            "pendingApprovals": 0,
            "openSessionEvents": 0,
            "totalSessions": 0,
            "needsProctorSessions": 0,
        }
        return {key: known.get(key) for key in REPLY_KEYS}

    # Reading

    def _check(self, request: Request) -> Reply:
        self._authorize(request)
        return Reply(json={"authenticated": True})

    def _list_delivery_systems(self, request: Request, install_sid: str) -> Reply:
        self._own_install(request, install_sid)
        return Reply(json=[{"module": module, "name": module.capitalize()} for module in DELIVERY_SYSTEMS])

    def _read(self, request: Request, install_sid: str, course_sid: str, exam_sid: str) -> Reply:
        install, course = self._place(request, install_sid, course_sid)
        if not is_sid("EX", exam_sid):
            raise self.problem(400, "examSid must match ^EX[a-f0-9]{32}$.")
        exam = self.store.get("exams", exam_sid)
        if exam is None or exam["courseSid"] != course_sid:
            raise self.problem(404, "examSid: there is no such exam in this course.")
        return Reply(json=self._shown(install, course, exam))

    def _list(self, request: Request, install_sid: str, course_sid: str) -> Reply:
        install, course = self._place(request, install_sid, course_sid)
        unknown = sorted({name for name, _ in request.query} - LIST_PARAMETERS)
        if unknown:
            raise self.problem(400, f"Unknown parameters: {', '.join(unknown)}.")
        offset = self._whole(request, "offset", 0, least=0)
        limit = min(self._whole(request, "limit", PER_PAGE, least=1), MOST_PER_PAGE)
        exams = self._sorted(request, self.store.find("exams", courseSid=course_sid))
        results = [self._shown(install, course, exam) for exam in exams[offset : offset + limit]]
        pages = _pages(request, offset, limit, len(exams))
        return Reply(json={"total": len(exams), **pages, "count": len(results), "offset": offset, "results": results})

    def _whole(self, request: Request, name: str, default: int, *, least: int) -> int:
        text = request.first(name, str(default))
        if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) >= least):
            raise self.problem(400, f"{name} must be a whole number of at least {least}.")
        return int(text)

    def _sorted(self, request: Request, exams: list[Document]) -> list[Document]:
        keys = [key for value in request.values("sortKeys") for key in value.split(",")]
        order = request.first("sortOrder", "asc")
        if not set(keys) <= set(SORT_KEYS) or order not in ("asc", "desc"):
            raise self.problem(400, f"sortKeys must be of {', '.join(SORT_KEYS)}, sortOrder asc or desc.")

        def place(exam: Document) -> list[str]:
            return [str({**exam["configuration"], **exam}.get(key, "")) for key in keys]

        return sorted(exams, key=place, reverse=order == "desc")

    # What an administrator does at the vendor

    def controls(self) -> Sequence[Control]:
        return (*self._token_controls(), *self._install_controls(), *super().controls())

    def _token_controls(self) -> Sequence[Control]:
        return (
            Control(
                "regenerate_token",
                "Regenerate the token",
                "A new token; the one in use until now stops working at once.",
                self._regenerate,
                (Parameter("days", "Good for days", "365"),),
            ),
            Control(
                "expire_token",
                "Expire the token",
                "The token in use counts as expired, whatever its own date says.",
                lambda values: self._set(is_token_expired=True),
            ),
        )

    def _install_controls(self) -> Sequence[Control]:
        return (
            Control(
                "add_course",
                "Add a course",
                "A course of the demo install.",
                lambda values: {
                    "course_sid": self._put_course(new_sid("CU"), values["title"], values["instructor"])["sid"]
                },
                (Parameter("title", "Title", "Practice"), Parameter("instructor", "Instructor", "Ada Okafor")),
            ),
            Control(
                "set_configuration_shape",
                "Choose the replies",
                "Whether a reply's course and configuration are a text with JSON in it, null, or an object.",
                lambda values: self._set(configuration_shape=values["shape"]),
                (Parameter("shape", "Shape", SHAPES[0], SHAPES),),
            ),
            Control(
                "set_older_specification",
                "Follow the older specification",
                "At most 480 minutes, proctor types that are SIDs, and five configuration keys that may be left out.",
                lambda values: self._set(follows_older_specification=values["is_on"] == "yes"),
                (Parameter("is_on", "On", "yes", YES_NO),),
            ),
        )

    def _regenerate(self, values: Mapping[str, str]) -> Document:
        if not re.fullmatch(r"[0-9]{1,4}", values["days"]):
            raise Problem(400, {"message": "days must be a whole number of at most four digits."})
        ends_at = self.clock() + timedelta(days=int(values["days"]))
        claims = {"iss": "sandbox", "sub": self.DEMO_INSTALL, "exp": int(ends_at.timestamp()), "jti": new_sid("TK")}
        return {"token": self._set(token=signed_token(self.DEMO_SECRET, claims), is_token_expired=False)["token"]}


OPTIONAL_ONCE = {"scheduleOpenDate", "scheduleCloseDate", "apiExamId", "modalityOptions", "virtualCalculatorType"}


def _mistakes(body: Document, *, is_older: bool) -> list[str]:
    wrong = _wrong("", body, EXAM_FIELDS, optional=EXAM_OPTIONAL)
    if not isinstance(body.get("configuration"), dict):
        return wrong
    configuration = body["configuration"]
    optional = OPTIONAL_ONCE if is_older else set()
    wrong += _wrong("configuration.", configuration, CONFIGURATION_FIELDS, optional=optional)
    wrong += _row_mistakes(configuration.get("instructorAsProctor"))
    if is_older:
        wrong += _older_mistakes(configuration)
    return wrong or _between_fields(body, configuration)


def _wrong(prefix: str, given: Document, checks: Mapping[str, Check], *, optional: Iterable[str]) -> list[str]:
    found = {name: checks[name](value) for name, value in given.items() if name in checks}
    return [
        *(f"{prefix}{name} is not a known field" for name in given if name not in checks),
        *(f"{prefix}{name} is required" for name in checks if name not in given and name not in optional),
        *(f"{prefix}{name} {words}" for name, words in found.items() if words),
    ]


def _row_mistakes(rows: Any) -> list[str]:
    wrong: list[str] = []
    for number, row in enumerate(rows if isinstance(rows, list) else []):
        name = f"configuration.instructorAsProctor[{number}]"
        if isinstance(row, dict):
            wrong += _wrong(f"{name}.", row, ROW_FIELDS, optional={"capacity"})
        else:
            wrong.append(f"{name} must be an object")
    return wrong


def _older_mistakes(configuration: Document) -> list[str]:
    wrong = []
    duration, types = configuration.get("duration"), configuration.get("proctorTypes")
    if isinstance(duration, int) and duration > LONGEST_MINUTES_ONCE:
        wrong.append(f"configuration.duration must be at most {LONGEST_MINUTES_ONCE}")
    if isinstance(types, list) and not all(is_sid("TS", one) for one in types):
        wrong.append("configuration.proctorTypes must match ^TS[a-f0-9]{32}$")
    return wrong


def _between_fields(body: Document, configuration: Document) -> list[str]:
    wrong = []
    if body["type"] == "Online" and not body["url"].strip():
        wrong.append("url is required for an Online exam")
    if body["type"] == "Online" and not configuration["password"].strip():
        wrong.append("configuration.password is required for an Online exam")
    if body["examDeliverySystemModule"] not in DELIVERY_SYSTEMS:
        wrong.append(f"examDeliverySystemModule must be one of {', '.join(DELIVERY_SYSTEMS)}")
    return wrong


def _shaped(shape: str, value: Document) -> Any:
    return {"text": json.dumps(value), "null": None, "object": value}[shape]


def _pages(request: Request, offset: int, limit: int, total: int) -> Document:
    """The addresses of the first, next, previous and last page; null where there is none."""
    rest = [(name, value) for name, value in request.query if name not in ("offset", "limit")]

    def page(start: int) -> str:
        return f"{request.path}?{urlencode([*rest, ('offset', start), ('limit', limit)])}"

    return {
        "first": page(0),
        "next": page(offset + limit) if offset + limit < total else None,
        "prev": page(max(0, offset - limit)) if offset else None,
        "last": page(max(0, (total - 1) // limit * limit)),
    }
