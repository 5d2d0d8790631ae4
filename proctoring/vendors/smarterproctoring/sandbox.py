"""SmarterProctoring's "create exam" as its page describes it, with reading exams, delivery systems and the token beside it.

Follows developers.smarterservices.com; the rules of the body are in `schema`. The page shows no error, no list of exams
and no reply of the two small reading routes: what is done here is said at its place.
"""

from __future__ import annotations

import base64
import hmac
import json
import re
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

from proctoring.sandbox.simulator import Control, Document, Parameter, Reply, Request, Route, Simulator
from proctoring.vendors.smarterproctoring.schema import mistakes

YES_NO = ("yes", "no")
SHAPES = ("text", "null", "object")
SYSTEMS = {"canvas": "Canvas", "blackboard": "Blackboard", "brightspace": "Brightspace", "moodle": "Moodle"}
DEMO_TOKEN_ENDS = 4102444800  # 2100-01-01

LIST_PARAMETERS = {"offset", "limit", "includeStatusSummary", "sortKeys", "sortOrder"}
DEFAULT_LIMIT = 50  # said of the list of courses only
WHOLE_NUMBER = re.compile(r"[0-9]{1,9}")
SORT_ORDERS = ("ASC", "DESC")
SORT_KEYS: Mapping[str, Callable[[Document], str]] = {
    "title": lambda exam: exam["title"],
    "examOpenDate": lambda exam: exam["configuration"]["examOpenDate"],
    "scheduleOpenDate": lambda exam: exam["configuration"].get("scheduleOpenDate", "2000-01-01T00:00:00.000Z"),
}
DEFAULTS: Document = {"description": None, "contactUserSid": None, "isLimitedScope": False, "status": "active"}


def signed_token(claims: Mapping[str, Any], secret: str) -> str:
    """A JSON Web Token (HS256)."""
    head = ".".join(_base64url(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, claims))
    return f"{head}.{_base64url(hmac.digest(secret.encode(), head.encode(), 'sha256'))}"


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class SmarterProctoringSimulator(Simulator):
    """The demo install DEMO_INSTALL has the token DEMO_TOKEN and two courses; DEMO_USER may be named as a contact.

    Whether a contact exists is not looked at: the page asks for the shape of the sid only.
    """

    vendor = "smarterproctoring"
    title = "SmarterProctoring"
    default_port = 8104

    DEMO_INSTALL = "AI1234567890abcdef1234567890abcdef"
    DEMO_COURSE = "CU1234567890abcdef1234567890abcdef"
    DEMO_OTHER_COURSE = "CUfedcba0987654321fedcba0987654321"
    DEMO_USER = "US1234567890abcdef1234567890abcdef"
    DEMO_SECRET = "smarterproctoring-sandbox"  # noqa: S105  published on purpose
    DEMO_TOKEN = signed_token({"iss": "sandbox", "sub": DEMO_INSTALL, "exp": DEMO_TOKEN_ENDS}, DEMO_SECRET)

    def seed(self) -> None:
        install = {
            "sid": self.DEMO_INSTALL,
            "token": self.DEMO_TOKEN,
            "token_ends": DEMO_TOKEN_ENDS,
            "configuration_shape": "text",
            "follows_older_specification": False,
        }
        self.store.put("installs", self.DEMO_INSTALL, install)
        self._put_course(self.DEMO_COURSE, "Biology 101", "Amos Burton")
        self._put_course(self.DEMO_OTHER_COURSE, "Chemistry 201", "Zoë Müller-Lüdenscheidt")

    def _put_course(self, sid: str, title: str, instructor: str) -> None:
        course = {"sid": sid, "applicationInstallSid": self.DEMO_INSTALL, "title": title, "instructorName": instructor}
        self.store.put("courses", sid, course)

    def _install(self) -> Document:
        """The one install there is; a state that was kept before `token_ends` had a flag in its place."""
        install = self.store.all("installs")[0]
        return {"token_ends": 0 if install.get("is_token_expired") else DEMO_TOKEN_ENDS, **install}

    def _change_install(self, **fields: Any) -> None:
        self.store.put("installs", self.DEMO_INSTALL, {**self._install(), **fields})

    def routes(self) -> Sequence[Route]:
        install = "/v1/installs/{install_sid}"
        exams = f"{install}/courses/{{course_sid}}/exams"
        return (
            Route("POST", exams, self._create),
            Route("GET", exams, self._list),
            Route("GET", f"{exams}/{{exam_sid}}", self._read),
            Route("GET", f"{install}/examDeliverySystems", self._list_systems),
            Route("GET", "/v1/check", self._check),
        )

    # Who asks, and about what

    def _authenticate(self, request: Request) -> Document:
        """The install whose token it is. Only the newest token counts, so its signature need not be worked out."""
        install, given = self._install(), request.header("token")
        if not given:
            raise self.problem(401, "The token header is required.")
        if not secrets.compare_digest(given.encode(), install["token"].encode()):
            raise self.problem(401, "The token is not valid.")
        if self.clock().timestamp() >= install["token_ends"]:
            raise self.problem(401, "The token has expired.")
        return install

    def _enter(self, request: Request, install_sid: str) -> Document:
        install = self._authenticate(request)
        if install["sid"] != install_sid:
            raise self.problem(403, "The token is not one of this installSid.")
        return install

    def _course(self, course_sid: str) -> Document:
        course = self.store.get("courses", course_sid)
        if course is None:
            raise self.problem(404, "There is no course with this courseSid.")
        kept_before = {"applicationInstallSid": self.DEMO_INSTALL, "instructorName": course.get("instructor_name", "")}
        return {**kept_before, **course}

    def _check(self, request: Request) -> Reply:
        """Of the reply nothing is known."""
        self._authenticate(request)
        return Reply(json={})

    def _list_systems(self, request: Request, install_sid: str) -> Reply:
        """As lists are shown elsewhere, with the names that the reply to a new exam has for a system."""
        self._enter(request, install_sid)
        rows = [{"examDeliverySystemModule": module, "systemName": name} for module, name in SYSTEMS.items()]
        return Reply(json=_page(rows, request.path, (), offset=0, limit=DEFAULT_LIMIT))

    # Creating

    def _create(self, request: Request, install_sid: str, course_sid: str) -> Reply:
        install, course = self._enter(request, install_sid), self._course(course_sid)
        body = self.read_object(request)
        self._validate(body, is_older=install["follows_older_specification"])
        made = {
            "sid": f"EX{uuid4().hex}",
            "courseSid": course["sid"],
            "createdDate": self.clock().astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        }
        exam = {**body, **made}
        self.store.put("exams", exam["sid"], exam)
        return Reply(json=self._shown(exam))

    def _validate(self, body: Document, *, is_older: bool) -> None:
        found = mistakes(body, is_older=is_older)
        module = body.get("examDeliverySystemModule")
        if isinstance(module, str) and module not in SYSTEMS:
            found.append(f"examDeliverySystemModule must be one of {', '.join(SYSTEMS)}.")
        if found:
            raise self.problem(400, " ".join(found))

    def _shown(self, exam: Document) -> Document:
        """The fields of the page's reply and no other. Nobody has a session yet, so whatever counts them is 0 or null."""
        course = self._course(exam["courseSid"])
        return {
            **DEFAULTS,
            **exam,
            "sessionStatus": None,
            "applicationInstallSid": course["applicationInstallSid"],
            "bVirtualTitle": None,
            "editDate": exam["createdDate"],
            "summary": None,
            "pendingApprovals": 0,
            "openSessionEvents": 0,
            "course": self._in_shape(course),
            "configuration": self._in_shape(exam["configuration"]),
            "examSession": None,
            "instructorName": course["instructorName"],
            "courseName": course["title"],
            "totalSessions": 0,
            "needsProctorSessions": 0,
            "scriptName": None,
            "systemName": SYSTEMS[exam["examDeliverySystemModule"]],
            "platformVersion": None,
        }

    def _in_shape(self, value: Document) -> Any:
        """The page types an object as a string or null."""
        return {"text": json.dumps(value), "null": None, "object": value}[self._install()["configuration_shape"]]

    # Reading

    def _read(self, request: Request, install_sid: str, course_sid: str, exam_sid: str) -> Reply:
        self._enter(request, install_sid)
        course, exam = self._course(course_sid), self.store.get("exams", exam_sid)
        if exam is None or exam["courseSid"] != course["sid"]:
            raise self.problem(404, "There is no exam with this examSid in the course.")
        return Reply(json=self._shown(exam))

    def _list(self, request: Request, install_sid: str, course_sid: str) -> Reply:
        self._enter(request, install_sid)
        course, query = self._course(course_sid), self._list_query(request)
        exams = self.store.find("exams", courseSid=course["sid"])
        is_descending = request.first("sortOrder") == "DESC"
        for key in reversed(request.values("sortKeys")):
            exams.sort(key=SORT_KEYS[key], reverse=is_descending)
        offset, limit = int(query.get("offset", 0)), int(query.get("limit", DEFAULT_LIMIT))
        kept = [(name, value) for name, value in request.query if name not in ("offset", "limit")]
        return Reply(json=_page([self._shown(exam) for exam in exams], request.path, kept, offset=offset, limit=limit))

    def _list_query(self, request: Request) -> dict[str, str]:
        query = dict(request.query)
        allowed: Mapping[str, Sequence[str]] = {
            "includeStatusSummary": ("true", "false"),  # there are no sessions to sum up
            "sortKeys": tuple(SORT_KEYS),
            "sortOrder": SORT_ORDERS,
        }
        found = [f"{name} is not a parameter of this call." for name in query if name not in LIST_PARAMETERS]
        for name, values in allowed.items():
            if set(request.values(name)) - set(values):
                found.append(f"{name} must be one of {', '.join(values)}.")
        for name in ("offset", "limit"):
            if not WHOLE_NUMBER.fullmatch(query.get(name, "0")):
                found.append(f"{name} must be a whole number.")
        if found:
            raise self.problem(400, " ".join(found))
        return query

    # What an administrator does at the vendor

    def controls(self) -> Sequence[Control]:
        return (
            Control(
                "regenerate_token",
                "Issue a new token",
                "The account manager issues a new token; the one in use until now stops working at once.",
                self._regenerate_token,
                (Parameter("days", "Days until it expires", "365"),),
            ),
            Control("expire_token", "Let the token expire", "The token in use has expired.", self._expire_token),
            Control(
                "add_course",
                "Add a course",
                "A course of the demo install, without exams.",
                self._add_course,
                (Parameter("title", "Title", "Physics 301"), Parameter("instructor", "Instructor", "Robin Roe")),
            ),
            Control(
                "set_configuration_shape",
                "Shape of objects in replies",
                "The page types course and configuration as a string or null: JSON text, null, or the object itself.",
                self._set_configuration_shape,
                (Parameter("shape", "Shape", "text", SHAPES),),
            ),
            Control(
                "set_older_specification",
                "The older specification's limits",
                "Limits that only the withdrawn, fuller specification has: a duration is at most 480 minutes.",
                self._set_older_specification,
                (Parameter("is_on", "On", "yes", YES_NO),),
            ),
            *super().controls(),
        )

    def _regenerate_token(self, values: Mapping[str, str]) -> Document:
        if not re.fullmatch(r"[0-9]{1,5}", values["days"]):
            raise self.problem(400, "days must be a whole number.")
        ends = int((self.clock() + timedelta(days=int(values["days"]))).timestamp())
        claims = {"iss": "sandbox", "sub": self.DEMO_INSTALL, "exp": ends, "jti": secrets.token_hex(8)}
        token = signed_token(claims, self.DEMO_SECRET)
        self._change_install(token=token, token_ends=ends)
        return {"token": token}

    def _expire_token(self, values: Mapping[str, str]) -> Document:
        self._change_install(token_ends=int(self.clock().timestamp()))
        return {"expired": True}

    def _add_course(self, values: Mapping[str, str]) -> Document:
        sid = f"CU{uuid4().hex}"
        self._put_course(sid, values["title"], values["instructor"])
        return {"course_sid": sid}

    def _set_configuration_shape(self, values: Mapping[str, str]) -> Document:
        self._change_install(configuration_shape=values["shape"])
        return {"configuration_shape": values["shape"]}

    def _set_older_specification(self, values: Mapping[str, str]) -> Document:
        self._change_install(follows_older_specification=values["is_on"] == "yes")
        return {"follows_older_specification": values["is_on"] == "yes"}


def _page(
    rows: Sequence[Document], path: str, query: Iterable[tuple[str, str]], *, offset: int, limit: int
) -> Document:
    """The envelope that the list of sessions has. What first to last are is not said: here, the pages' addresses."""

    def address(start: int) -> str:
        return f"{path}?{urlencode([*query, ('offset', start), ('limit', limit)])}"

    shown = rows[offset : offset + limit]
    return {
        "total": len(rows),
        "first": address(0),
        "next": address(offset + limit) if limit and offset + limit < len(rows) else None,
        "prev": address(max(offset - limit, 0)) if offset else None,
        "last": address((len(rows) - 1) // limit * limit if rows and limit else 0),
        "count": len(shown),
        "offset": offset,
        "results": list(shown),
    }
