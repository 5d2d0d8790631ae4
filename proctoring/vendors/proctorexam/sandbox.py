"""ProctorExam's "update exam" as its page describes it, with reading an exam beside it.

Follows docs.proctorexam.com/v3/apidoc.html. The page shows the words of a 403 and a 422 but not what they lie in, and
no answer to a wrong token or Accept header: those shapes are this simulator's.
"""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime
from hashlib import sha256
from typing import Any

from proctoring.sandbox.simulator import Control, Document, Parameter, Problem, Reply, Request, Route, Simulator

YES_NO = ("yes", "no")
ACCEPT = "application/vnd.procwise.v3"
MOST_SKEW = timedelta(minutes=5)
NONCE_LIFE = timedelta(hours=24)
TYPES = ("demo", "classroom", "record_review", "live_proctoring")
STATUSES = ("draft", "open", "closed")
PROOF = ("nonce", "timestamp", "signature")
TOKEN = "Token token="  # noqa: S105  the scheme, not a secret

TEXTS = {
    "name",
    "type",
    "exam_language",
    "restrictions",
    "allowed_websites",
    "allowed_external_applications",
    "allowed_textbooks",
    "allowed_calculator_type",
    "allowed_additional",
}
FLAGS = {
    "use_duration",
    "global_proctoring",
    "global_reviewing",
    "for_reviewing",
    "upload_answers",
    "mobile_cam",
    "allow_websites",
    "allow_external_applications",
    "allow_textbooks",
    "allow_calculator",
    "allow_pen_paper",
    "allow_additional",
    "student_experience",
}
TIMES = {"start_time", "end_time"}
NUMBERS = {"id", "institute_id", "duration_minutes", "nonce", "timestamp"}  # institute_id: in the page's sample only
KNOWN = TEXTS | FLAGS | TIMES | NUMBERS | {"signature"}
NUMBER = re.compile(r"0|[1-9][0-9]{0,18}")
UNKNOWN = "is not a parameter of this call"
YEARS = range(1970, 9000)
BOOLEANS = {"true": True, "false": False, "1": True, "0": False}

REPORTED = (
    "id",
    "institute_id",
    "name",
    "terms",
    "created_at",
    "updated_at",
    "duration_minutes",
    "clipboard",
    "start_time",
    "mode",
    "upload_answers",
    "token",
    "user_id",
    "end_time",
    "restrictions",
    "published",
    "status",
    "for_reviewing",
    "uploaded_exam_documents_file_name",
    "uploaded_exam_documents_content_type",
    "uploaded_exam_documents_file_size",
    "uploaded_exam_documents_updated_at",
    "timezone",
    "use_duration",
    "global_proctoring",
    "global_reviewing",
    "exam_language",
    "web_cam",
    "mobile_cam",
    "screen_share",
    "live_proctoring",
    "student_experience",
)
# The sample answers this to a plain sentence and to every allow_* being true: what it means, the page does not say.
RESTRICTIONS = "[[false,['']],[false,['']],[false,['']],[false,['']],[false,['']],[false,['']],[true,['']]]"
OFFICE = timezone(timedelta(hours=1))  # the sample writes times like this
NEW_EXAM: Document = {
    "terms": None,
    "clipboard": None,
    "start_time": None,
    "end_time": None,
    "restrictions": "",
    "published": False,
    "status": "open",
    "uploaded_exam_documents_file_name": None,
    "uploaded_exam_documents_content_type": None,
    "uploaded_exam_documents_file_size": None,
    "uploaded_exam_documents_updated_at": None,
    "timezone": 0,
    "exam_language": "en",
    "type": "record_review",
    "duration_minutes": 60,
    "use_duration": True,
    "global_proctoring": True,
    "global_reviewing": True,
    "for_reviewing": True,
    "upload_answers": False,
    "web_cam": True,
    "mobile_cam": False,
    "screen_share": True,
    "student_experience": False,
}


class ProctorExamSimulator(Simulator):
    """The demo user's API token is DEMO_TOKEN, its secret key DEMO_SECRET, its institute number 1.

    SAMPLE_EXAM is that of the vendor's page, DEMO_EXAM the demo team's; FOREIGN_EXAM belongs to another institute. As in
    the page's sample, the new exam-taker experience is not available to the institute until a control makes it so.
    """

    vendor = "proctorexam"
    title = "ProctorExam"
    default_port = 8103

    DEMO_TOKEN = "demo-proctorexam-api-token-0001"  # noqa: S105  published on purpose
    DEMO_SECRET = "demo-proctorexam-secret-key-b7d2f0c94e18"  # noqa: S105  published on purpose
    INSTITUTE, OTHER_INSTITUTE = 1, 2
    SAMPLE_EXAM, DEMO_EXAM, FOREIGN_EXAM = 1, 2, 3

    def seed(self) -> None:
        user = {
            "id": 5,
            "institute_id": self.INSTITUTE,
            "token": self.DEMO_TOKEN,
            "secret_key": self.DEMO_SECRET,
            "may_read": True,
            "may_update": True,
            "clock_offset_seconds": 0,
            "has_student_experience": False,
            "restores_defaults": False,
        }
        self.store.put("users", "demo", user)
        sample = {"created_at": "2018-11-20T23:54:59.934+00:00", "token": "b1342678e28f2b895ff6834408a33bd7"}
        languages = {"exam_language": "fr,nl,es,ar,no"}
        self._put_exam(self.SAMPLE_EXAM, "New exam", **sample, **languages)
        self._put_exam(self.DEMO_EXAM, "Remote Bookkeeping Certificate", exam_language="en,de")
        self._put_exam(self.FOREIGN_EXAM, "Another institute's exam", institute_id=self.OTHER_INSTITUTE)

    def _put_exam(self, id: int, name: str, **fields: Any) -> Document:
        now = self.clock().isoformat(timespec="milliseconds")
        exam = {
            **NEW_EXAM,
            "id": id,
            "institute_id": self.INSTITUTE,
            "user_id": 5,
            "name": name,
            "token": secrets.token_hex(16),
            "created_at": now,
            "updated_at": now,
            **fields,
        }
        self.store.put("exams", str(id), {**exam, "start_time": exam["start_time"] or exam["created_at"]})
        return exam

    def _user(self) -> Document:
        return self.store.all("users")[0]

    def now(self) -> datetime:
        """This vendor's own clock, which a control can put wrong."""
        return self.clock() + timedelta(seconds=self._user()["clock_offset_seconds"])

    def answer(self, request: Request) -> Reply:
        reply = super().answer(request)
        date = format_datetime(self.now().astimezone(UTC), usegmt=True)
        return replace(reply, headers={**reply.headers, "Date": date})

    def routes(self) -> Sequence[Route]:
        exam = "/api/v3/exams/{exam_id}"
        return (Route("GET", exam, self._read), Route("PATCH", exam, self._update), Route("PUT", exam, self._update))

    def problem(self, status: int, message: str) -> Problem:
        return Problem(status, {"error": message})

    # Who asks

    def _authenticate(self, request: Request) -> Document:
        """The user whose token it is. The obligatory Accept header is looked at here, as versioned routes do."""
        user = self._user()
        given = request.header("authorization").encode()
        if not secrets.compare_digest(given, f"{TOKEN}{user['token']}".encode()):
            raise Problem(
                401, {"error": "HTTP Token: Access denied."}, headers={"WWW-Authenticate": 'Token realm="API"'}
            )
        if request.header("accept") != ACCEPT:
            raise self.problem(406, f"The Accept header must be {ACCEPT}.")
        return user

    def _forbidden(self) -> Problem:
        """A wrong signature, an odd clock, a used nonce and a missing right look alike."""
        return self.problem(403, "You are not authorized to access this page.")

    def _check_proof(self, user: Document, exam_id: str, given: Document) -> None:
        """The signature over what came, the age of the timestamp, and a nonce not seen for a day."""
        wanted = signature(user["secret_key"], {**given, "id": exam_id})
        if not secrets.compare_digest(given["signature"].encode(), wanted.encode()):
            raise self._forbidden()
        age = self.now() - datetime(1970, 1, 1, tzinfo=UTC) - timedelta(milliseconds=_milliseconds(given["timestamp"]))
        if abs(age) > MOST_SKEW:
            raise self._forbidden()
        self._spend(user, _text(given["nonce"]))

    def _spend(self, user: Document, nonce: str) -> None:
        key = f"{user['token']}:{nonce}"
        used = self.store.get("nonces", key)
        if used and self.now() - datetime.fromisoformat(used["used_at"]) < NONCE_LIFE:
            raise self._forbidden()
        self.store.put("nonces", key, {"nonce": nonce, "token": user["token"], "used_at": self.now().isoformat()})

    def _exam(self, user: Document, exam_id: str) -> Document:
        exam = self.store.get("exams", exam_id)
        if exam is None:
            raise self.problem(404, f"Couldn't find Exam with 'id'={exam_id}")
        if exam["institute_id"] != user["institute_id"]:
            raise self._forbidden()
        return exam

    # Reading

    def _read(self, request: Request, exam_id: str) -> Reply:
        user = self._authenticate(request)
        if request.body:
            raise self.problem(400, "A GET has no body: its parameters stand in the query.")
        self._once(name for name, _ in request.query)
        given: Document = dict(request.query)
        self._validate(given, exam_id, required=PROOF, known={"id", *PROOF})
        self._check_proof(user, exam_id, given)
        if not user["may_read"]:
            raise self._forbidden()
        return Reply(json={"exam": self._shown(self._exam(user, exam_id))})

    def _once(self, names: Iterable[str]) -> None:
        seen: set[str] = set()
        for name in names:
            if name in seen:
                raise _invalid({name: ["is given twice"]})
            seen.add(name)

    def _shown(self, exam: Document) -> Document:
        """The fields of the page's sample and no other: neither the type nor what is allowed."""
        bits = [False, exam["web_cam"], exam["mobile_cam"], exam["screen_share"]]
        shown = {
            **exam,
            "restrictions": RESTRICTIONS,
            "mode": "".join(str(int(bit)) for bit in bits).ljust(8, "0"),
            "live_proctoring": exam["type"] == "live_proctoring",
            **{name: _written(exam[name]) for name in ("created_at", "updated_at", "start_time", "end_time")},
        }
        return {name: shown[name] for name in REPORTED}

    # Updating

    def _update(self, request: Request, exam_id: str) -> Reply:
        user = self._authenticate(request)
        given = self.read_object(request)
        if request.raw_query:
            raise _invalid({name: ["does not belong in the query"] for name, _ in request.query})
        self._validate(given, exam_id, required=("id", *PROOF), known=KNOWN)
        self._check_proof(user, exam_id, given)
        exam = self._exam(user, exam_id)
        institute = _text(given.get("institute_id", user["institute_id"]))
        if not user["may_update"] or institute != str(user["institute_id"]):
            raise self._forbidden()
        changed = {**exam, **self._defaults(user, exam), **_values(given)}
        changed["student_experience"] = changed["student_experience"] and user["has_student_experience"]
        changed["updated_at"] = self.now().isoformat(timespec="milliseconds")
        self.store.put("exams", exam_id, changed)
        return Reply(json={"exam": self._shown(changed)})

    def _validate(self, given: Document, exam_id: str, *, required: Iterable[str], known: set[str]) -> None:
        missing = next((name for name in required if given.get(name) in (None, "")), None)
        if missing:
            raise self.problem(422, f"Param is missing or the value is empty: '{missing}'")
        found = {name: _fault(name, value) if name in known else UNKNOWN for name, value in given.items()}
        faults = {name: [words] for name, words in found.items() if words}
        if not faults and _text(given.get("id", exam_id)) != exam_id:
            faults["id"] = ["is not the id in the path"]
        if faults:
            raise _invalid(faults)

    def _defaults(self, user: Document, exam: Document) -> Document:
        """What the page calls defaults. Whether an update that omits them restores them is not said: a control decides."""
        if not user["restores_defaults"]:
            return {}
        return {"start_time": exam["created_at"], "end_time": None, "student_experience": False}

    # What an administrator does at the vendor

    def controls(self) -> Sequence[Control]:
        return (
            Control(
                "regenerate_credentials",
                "Regenerate the API token",
                "A new token and secret key; those in use until now stop working at once.",
                self._regenerate,
            ),
            Control(
                "set_clock",
                "Put the clock wrong",
                "The vendor's clock is off by so many seconds; beyond 300 every signature is refused. 0 puts it right.",
                self._set_clock,
                (Parameter("seconds", "Seconds fast (or slow, with a minus)", "600"),),
            ),
            self._switch("set_right_to_read", "Right to read exams", "The demo user may.", "may_read", "no"),
            self._switch("set_right_to_update", "Right to update exams", "The demo user may.", "may_update", "no"),
            self._switch(
                "set_student_experience",
                "New exam-taker experience",
                "Available to this institute; where it is not, student_experience stays false.",
                "has_student_experience",
            ),
            self._switch(
                "set_omissions",
                "Omissions restore defaults",
                "An update without start_time, end_time or student_experience sets them to their defaults.",
                "restores_defaults",
            ),
            *self._exam_controls(),
            *super().controls(),
        )

    def _exam_controls(self) -> Sequence[Control]:
        exam_id = Parameter("exam_id", "Exam", str(self.DEMO_EXAM))
        return (
            Control(
                "add_exam",
                "Add an exam",
                "An exam with the vendor's defaults.",
                self._add_exam,
                (Parameter("name", "Name", "Practice exam"), Parameter("type", "Type", "record_review", TYPES)),
            ),
            Control(
                "set_exam",
                "Change an exam",
                "As if somebody had changed it in the vendor's own pages.",
                self._set_exam,
                (exam_id, Parameter("name", "Name", "Renamed"), Parameter("status", "Status", "open", STATUSES)),
            ),
            Control("remove_exam", "Remove an exam", "The exam no longer exists.", self._remove_exam, (exam_id,)),
        )

    def _switch(self, name: str, title: str, description: str, field: str, default: str = "yes") -> Control:
        def act(values: Mapping[str, str]) -> Document:
            self.store.put("users", "demo", {**self._user(), field: values["is_on"] == "yes"})
            return {field: self._user()[field]}

        return Control(name, title, description, act, (Parameter("is_on", "On", default, YES_NO),))

    def _regenerate(self, values: Mapping[str, str]) -> Document:
        made = {"token": secrets.token_urlsafe(24), "secret_key": secrets.token_hex(32)}
        self.store.put("users", "demo", {**self._user(), **made})
        return made

    def _set_clock(self, values: Mapping[str, str]) -> Document:
        if not re.fullmatch(r"-?[0-9]{1,8}", values["seconds"]):
            raise self.problem(400, "seconds must be a whole number.")
        self.store.put("users", "demo", {**self._user(), "clock_offset_seconds": int(values["seconds"])})
        return {"clock_offset_seconds": int(values["seconds"])}

    def _add_exam(self, values: Mapping[str, str]) -> Document:
        id = max((exam["id"] for exam in self.store.all("exams")), default=0) + 1
        return {"exam_id": self._put_exam(id, values["name"], type=values["type"])["id"]}

    def _set_exam(self, values: Mapping[str, str]) -> Document:
        exam = self._exam(self._user(), values["exam_id"])
        now = self.now().isoformat(timespec="milliseconds")
        self.store.put(
            "exams", str(exam["id"]), {**exam, "name": values["name"], "status": values["status"], "updated_at": now}
        )
        return {"exam_id": exam["id"], "name": values["name"], "status": values["status"]}

    def _remove_exam(self, values: Mapping[str, str]) -> Document:
        exam = self._exam(self._user(), values["exam_id"])
        self.store.delete("exams", str(exam["id"]))
        return {"removed": exam["id"]}


def signature(secret_key: str, parameters: Mapping[str, Any]) -> str:
    """The page's signature over all parameters but `signature`, the id in the path among them."""
    signed = sorted((name, _text(value)) for name, value in parameters.items() if name != "signature")
    text = "?".join(f"{name}={value}" for name, value in signed)
    return hmac.new(secret_key.encode(), text.encode(), sha256).hexdigest()


def _invalid(faults: Mapping[str, list[str]]) -> Problem:
    return Problem(422, {"errors": dict(faults)})


def _text(value: Any) -> str:
    """A parameter as it stands in the signed string; what is no text, number or boolean has no such form."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | int) else ""


def _fault(name: str, value: Any) -> str:
    """What the page's validation of this parameter says, else ""."""
    if name in FLAGS:
        return "" if _text(value) in BOOLEANS else "Must be one of: true, false, 1, 0."
    if name in NUMBERS or name in TIMES:
        is_right = _moment(value) is not None if name in TIMES else NUMBER.fullmatch(_text(value)) is not None
        return "" if is_right else "Must be a number."
    if not _is_text(value):
        return "Must be a String"
    return f"Must be one of: {', '.join(TYPES)}." if name == "type" and value not in TYPES else ""


def _is_text(value: Any) -> bool:
    """A string of real characters: half a surrogate pair has no UTF-8 bytes to sign."""
    return isinstance(value, str) and not any("\ud800" <= character <= "\udfff" for character in value)


def _milliseconds(value: Any) -> int:
    return min(int(value), 10**14)


def _moment(value: Any) -> datetime | None:
    """Epoch seconds as the page's table asks, or ISO 8601 with an offset as its sample sends; else None."""
    text = _text(value)
    try:
        if NUMBER.fullmatch(text):
            moment = datetime.fromtimestamp(int(text), UTC)
        else:
            moment = datetime.fromisoformat(text)
    except (ValueError, OverflowError, OSError):
        return None
    return moment if moment.tzinfo and moment.year in YEARS else None


def _written(moment: str | None) -> str | None:
    return datetime.fromisoformat(moment).astimezone(OFFICE).isoformat(timespec="milliseconds") if moment else None


def _values(given: Document) -> Document:
    """The parameters as they are kept; the proof is no part of the exam."""
    kept: Mapping[str, Callable[[Any], Any]] = {
        **dict.fromkeys(TEXTS, str),
        **dict.fromkeys(FLAGS, lambda value: BOOLEANS[_text(value)]),
        **dict.fromkeys(TIMES, lambda value: _stored(_moment(value))),
        "duration_minutes": int,
    }
    return {name: kept[name](value) for name, value in given.items() if name in kept}


def _stored(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds") if moment else None
