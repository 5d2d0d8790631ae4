"""Cirrus Assessment as its page describes it: schedules, their candidates and the links into the exam.

Follows "Create schedule and generate links" (help.cirrusassessment.com/api/docs/create-schedule-and-generate-links). The
replies with links, the `Message` replies and `?type=json` are known from a public client only; the page shows neither
how `Errors` is filled nor what an update does to candidates who are left out, so that is chosen by controls.
"""

from __future__ import annotations

import base64
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from html import escape
from typing import Any
from urllib.parse import parse_qs, quote, unquote

from proctoring.sandbox.simulator import Control, Document, Parameter, Problem, Reply, Request, Route, Simulator

BASE_PATH = "/api/v1/integrations"
LOGIN_PATH = "/delivery/external-login"
PROCTORIO_PATH = "/proctorio"
PROCTORIO_FRAGMENT = "proctorio-24-03-1"

DEFAULT, EXTERNAL_ATTEMPTS = WORKFLOWS = ("DEFAULT", "EXTERNAL_ATTEMPTS")
ENVELOPES = ("relative_links", "absolute_links", "content")
REFUSALS = ("errors", "error_objects", "message_400", "message_200")
AUTHORIZATIONS = ("EAPI {token}", "EAPI{token}")
YES_NO = ("yes", "no")
DEFAULT_SPARE_MINUTES = 60  # what an EndDateTime that is not given leaves after the duration

NOT_ALLOWED = "Not allowed to use external API"
INVALID_INPUT = "Invalid input data"
SCHEDULE_NOT_FOUND = "Schedule hasn't been found by external id"
ACTIVATED = "Can’t update activated schedule"
HIERARCHY_NOT_FOUND = "Hierarchy hasn't been found by external id"
HIERARCHY_INACTIVE = "Hierarchy must be active"
NO_SCHEDULER = "Scheduler hasn’t been set in External API settings"
SCHEDULER_MAY_NOT = "Selected scheduler no longer has permission to create, update and delete schedules"
OTHER_WORKFLOW = (
    "Workflow can not be changed: A schedule is already available with a different workflow, either create new schedule"
    " or keep same workflow"
)
BAD_PERCENTAGE = "249: ReasonableAdjustmentPercentage is invalid. Must be a value between 0 and 999"
PERCENTAGE_WITHOUT_NEEDS = "250: ReasonableAdjustmentPercentage cannot be set for candidate with SpecialNeeds = false"

Check = Callable[[Any], str]  # what is wrong with a value, or nothing

_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)", re.ASCII)
_EMAIL = re.compile(r"[^\s@]+@[^\s@.]+(\.[^\s@.]+)+")
_ID, _ID_WORDS = re.compile(r"[A-Za-z0-9-]+"), "may hold letters, digits and dashes only"
_ALPHANUMERIC, _ALPHANUMERIC_WORDS = re.compile(r"[A-Za-z0-9]+"), "may hold letters and digits only"


def _text(limit: int, pattern: re.Pattern[str] | None = None, words: str = "") -> Check:
    def check(value: Any) -> str:
        if not isinstance(value, str):
            return "must be text"
        if len(value) > limit:
            return f"must have at most {limit} characters"
        return words if pattern and not pattern.fullmatch(value) else ""

    return check


def _boolean(value: Any) -> str:
    return "" if isinstance(value, bool) else "must be true or false"


def _truth(value: Any) -> str:
    """The page types it as text and sends a boolean."""
    return "" if isinstance(value, bool) or value in ("true", "false") else "must be true or false"


def _rfc_3339(value: Any) -> str:
    if isinstance(value, str) and _RFC_3339.fullmatch(value):
        try:
            is_usual = 1900 <= datetime.fromisoformat(value).year <= 9000
        except ValueError:
            is_usual = False
        if is_usual:
            return ""
    return "must be a date and time according to RFC 3339"


def _texts(value: Any) -> str:
    is_right = isinstance(value, list) and all(isinstance(one, str) for one in value)
    return "" if is_right else "must be an array of strings"


def _anything(value: Any) -> str:
    return ""


REQUEST_FIELDS: Mapping[str, Check] = {
    "Workflow": lambda value: "" if value in WORKFLOWS else f"must be one of {', '.join(WORKFLOWS)}",
    "Upsert": _boolean,
    "Schedule": lambda value: "" if isinstance(value, dict) else "must be an object",
    "Candidates": lambda value: "" if isinstance(value, list) and value else "must be an array of candidates",
}
SCHEDULE_FIELDS: Mapping[str, Check] = {
    "AssessmentExtId": _text(64, _ID, _ID_WORDS),
    "Title": _text(100),
    "ScheduleExtId": _text(64, _ID, _ID_WORDS),
    "StartDateTime": _rfc_3339,
    "EndDateTime": _rfc_3339,
    "GroupExtId": _text(64, _ID, _ID_WORDS),
    "GroupName": _text(500),
    "ScheduleGroupExtId": _text(64),
    "ScheduleGroupName": _text(500),
    "LockExamOnConnectionLoss": _boolean,
    "Owner": _text(500),
    "PIN": _text(4),
    "UseProctorIo": _boolean,
    "ProctorioTemplateExternalId": _text(64, _ALPHANUMERIC, _ALPHANUMERIC_WORDS),
    "UseKeyCode": _boolean,
}
PERSON_FIELDS: Mapping[str, Check] = {
    "UserName": _text(500),
    "CandidateExtId": _text(500, _ID, _ID_WORDS),
    "FirstName": _text(500),
    "LastName": _text(500),
    "Email": _text(500, _EMAIL, "must be a valid email"),
    "Photo": _text(500),
    "Company": _text(500),
    "City": _text(500),
    "State": _text(500),
    "CountryCode": _text(500),
    "PostalCode": _text(500),
    "AddressLine1": _text(500),
    "AddressLine2": _text(500),
    "PhoneNumber": _text(500),
    "RegistrationNumber": _text(500),
    "VoucherId": _text(500),
    "CompId": _text(500),
}
CANDIDATE_FIELDS: Mapping[str, Check] = {
    **PERSON_FIELDS,
    "Password": _text(500),
    "SpecialNeeds": _truth,
    "ReasonableAdjustmentPercentage": _anything,  # 249 and 250 have words of their own
    "AttemptExtId": _text(500),
    "ProctorUIds": _texts,
}
REQUEST_REQUIRED = ("Schedule", "Candidates")
SCHEDULE_REQUIRED = ("AssessmentExtId", "StartDateTime", "GroupExtId", "GroupName")
CANDIDATE_REQUIRED = ("CandidateExtId", "FirstName", "LastName", "Email")


class CirrusSimulator(Simulator):
    """The demo token is DEMO_TOKEN. The API answers below `/api/v1/integrations`, and at the root as well.

    DEMO_ASSESSMENT lasts 90 minutes. DEMO_PROCTORED_ASSESSMENT lasts 120, has 60 minutes of extra time and uses
    Proctorio. PAGE_ASSESSMENTS are those of the page's samples. DEMO_HIERARCHY is active, DEMO_OLD_HIERARCHY is not.
    """

    vendor = "cirrus"
    title = "Cirrus Assessment"
    default_port = 8105
    page_prefixes = (LOGIN_PATH, PROCTORIO_PATH)

    DEMO_TOKEN = "eapi-demo-7c1f4d0b9a3e48d2b6f50e91"  # noqa: S105  published on purpose
    DEMO_SCHEDULER = "api.scheduler"
    DEMO_ASSESSMENT = "WIDGET-101"
    DEMO_PROCTORED_ASSESSMENT = "GADGET-201"
    DEMO_HIERARCHY = "WIDGETS"
    DEMO_OLD_HIERARCHY = "WIDGETS-OLD"
    PAGE_ASSESSMENTS = ("1111", "NORTH000")

    def seed(self) -> None:
        self._set(
            token=self.DEMO_TOKEN,
            authorization=AUTHORIZATIONS[0],
            is_api_allowed=True,
            scheduler=self.DEMO_SCHEDULER,
            scheduler_may_schedule=True,
            owner=self.DEMO_SCHEDULER,
            envelope=ENVELOPES[0],
            refusals=REFUSALS[0],
            updates_remove_candidates=True,
        )
        self._put_assessment(self.DEMO_ASSESSMENT, "Widget Theory", minutes=90)
        self._put_assessment(
            self.DEMO_PROCTORED_ASSESSMENT, "Gadget Safety", minutes=120, extra_minutes=60, uses_proctorio=True
        )
        for number, ext_id in enumerate(self.PAGE_ASSESSMENTS, 1):
            self._put_assessment(ext_id, f"The page's sample {number}", minutes=60)
        self._put_hierarchy(self.DEMO_HIERARCHY, "Widget candidates")
        self._put_hierarchy(self.DEMO_OLD_HIERARCHY, "Earlier widget candidates", is_active=False)

    def _settings(self) -> Document:
        return self.store.get("settings", "external_api") or {}

    def _set(self, **values: Any) -> Document:
        self.store.put("settings", "external_api", {**self._settings(), **values})
        return values

    def _put_assessment(
        self, ext_id: str, title: str, *, minutes: int, extra_minutes: int = 0, uses_proctorio: bool = False
    ) -> None:
        assessment = {
            "ext_id": ext_id,
            "title": title,
            "minutes": minutes,
            "extra_minutes": extra_minutes,
            "uses_proctorio": uses_proctorio,
        }
        self.store.put("assessments", ext_id, assessment)

    def _put_hierarchy(self, ext_id: str, name: str, *, is_active: bool = True) -> Document:
        hierarchy = {"ext_id": ext_id, "name": name, "is_active": is_active}
        self.store.put("hierarchies", ext_id, hierarchy)
        return hierarchy

    def routes(self) -> Sequence[Route]:
        routes = (
            Route("POST", "/schedule", self._create),
            Route("GET", "/assessment/{ext_id}", self._read_assessment),
            Route("GET", "/external/schedule/{ext_id}", self._read_schedule),
            Route("DELETE", "/external/schedule/{ext_id}", self._delete_schedule),
            Route("PUT", "/external/schedule/{ext_id}/activate", self._activate_schedule),
        )
        return (*routes, *(Route(route.method, BASE_PATH + route.path, route.respond) for route in routes))

    def handle(self, request: Request) -> Reply:
        if request.method == "GET":  # fair use forbids polling, so every read is counted
            path = request.path.removeprefix(BASE_PATH)
            earlier = self.store.get("reads", path) or {"count": 0}
            self.store.put("reads", path, {"path": path, "count": earlier["count"] + 1})
        return super().handle(request)

    # Refusing

    def problem(self, status: int, message: str) -> Problem:
        return self._refusal(status, [message])

    def _refusal(self, status: int, messages: Sequence[str]) -> Problem:
        style = self._settings().get("refusals", REFUSALS[0])
        if style in ("message_400", "message_200"):
            is_hidden = style == "message_200" and status == 400
            return Problem(200 if is_hidden else status, {"Message": ". ".join(messages)})
        errors: list[Any] = [_error(text) for text in messages] if style == "error_objects" else list(messages)
        return Problem(status, {"Content": None, "Success": False, "Errors": errors})

    def _authorize(self, request: Request) -> Document:
        settings = self._settings()
        expected = settings["authorization"].replace("{token}", settings["token"])
        if request.header("authorization") != expected or not settings["is_api_allowed"]:
            raise self.problem(403, NOT_ALLOWED)
        if request.content_type != "application/json":
            raise self.problem(415, "The Content-Type must be application/json for all requests")
        unknown = [name for name, value in request.query if (name, value) != ("type", "json")]
        if unknown:
            raise self._refusal(400, [f"Unknown parameter: {name}" for name in unknown])
        return settings

    def _check_scheduler(self, settings: Document) -> None:
        if not settings["scheduler"]:
            raise self.problem(400, NO_SCHEDULER)
        if not settings["scheduler_may_schedule"]:
            raise self.problem(400, SCHEDULER_MAY_NOT)

    # Creating and updating a schedule

    def _create(self, request: Request) -> Reply:
        settings = self._authorize(request)
        body = self._body(request)
        mistakes = _mistakes(body)
        if mistakes:
            raise self._refusal(400, mistakes)
        self._check_scheduler(settings)
        existing = self._existing(body)
        schedule = self._new_schedule(settings, body, existing)
        attempts = [self._new_attempt(schedule, given) for given in body["Candidates"]]
        self._keep(settings, schedule, attempts, body)
        return self._created(settings, schedule, attempts, body, is_new=existing is None)

    def _body(self, request: Request) -> Document:
        body = self.read_object(request) if request.body.strip() else {}
        if not any(body.values()):
            raise self.problem(400, INVALID_INPUT)
        return body

    def _existing(self, body: Document) -> Document | None:
        """The schedule that is to be updated. Raises Problem where it may not be."""
        found = self.store.get("schedules", body["Schedule"].get("ScheduleExtId", ""))
        if found is None:
            return None
        if not body.get("Upsert", False):
            raise self.problem(400, f"Bad request: schedule with external id {found['ext_id']} already exists")
        if found["workflow"] != body.get("Workflow", DEFAULT):
            raise self.problem(400, OTHER_WORKFLOW)
        if found["is_activated"]:
            raise self.problem(400, ACTIVATED)
        return found

    def _new_schedule(self, settings: Document, body: Document, existing: Document | None) -> Document:
        given = body["Schedule"]
        assessment = self.store.get("assessments", given["AssessmentExtId"])
        if assessment is None:
            raise self.problem(400, "Assessment hasn't been found by external id")
        starts_at, ends_at = self._window(assessment, body)
        self._check_hierarchies(given)
        number = existing["number"] if existing else self.store.count("schedules") + self.store.count("deleted") + 1
        return {
            "number": number,
            "ext_id": given.get("ScheduleExtId") or f"EXT_sch_{number}",
            "workflow": body.get("Workflow", DEFAULT),
            "assessment_ext_id": assessment["ext_id"],
            "title": given.get("Title") or f"{assessment['title'][:80]} {starts_at:%Y-%m-%d}",
            "starts_at": starts_at.isoformat(),
            "ends_at": ends_at.isoformat(),
            "extra_minutes": assessment["extra_minutes"],
            "group_ext_id": given["GroupExtId"],
            "schedule_group_ext_id": given.get("ScheduleGroupExtId") or None,
            "locks_on_connection_loss": given.get("LockExamOnConnectionLoss", False),
            "owner": self._owner(settings, given),
            "pin": given.get("PIN", ""),
            "uses_proctorio": given.get("UseProctorIo", assessment["uses_proctorio"]),
            "proctorio_template_ext_id": given.get("ProctorioTemplateExternalId"),
            "uses_key_code": given.get("UseKeyCode", False),
            "is_activated": False,
        }

    def _owner(self, settings: Document, given: Document) -> str:
        owner = str(given.get("Owner") or settings["owner"])
        if not owner:
            raise self.problem(400, "Owner must be set in External API settings or in Schedule.Owner")
        return owner

    def _window(self, assessment: Document, body: Document) -> tuple[datetime, datetime]:
        given = body["Schedule"]
        starts_at = datetime.fromisoformat(given["StartDateTime"]).astimezone(UTC)
        percentage = max(one.get("ReasonableAdjustmentPercentage", 0) for one in body["Candidates"])
        duration = timedelta(minutes=assessment["minutes"])
        needed = duration * (100 + percentage) / 100 + timedelta(minutes=assessment["extra_minutes"])
        if "EndDateTime" in given:
            ends_at = datetime.fromisoformat(given["EndDateTime"]).astimezone(UTC)
            is_enough = ends_at - starts_at > needed
        else:
            ends_at = starts_at + duration + timedelta(minutes=DEFAULT_SPARE_MINUTES)
            is_enough = ends_at - starts_at >= needed  # else 60 minutes of extra time could never be scheduled
        if not is_enough:
            words = "must be greater than duration of the assessment + any extra time"
            raise self.problem(400, f"The duration between scheduling startDate and endDate {words}")
        return starts_at, ends_at

    def _check_hierarchies(self, given: Document) -> None:
        """A group is made with the candidates; the schedule's own group must be there."""
        group = self.store.get("hierarchies", given["GroupExtId"])
        found = [group] if group else []
        if given.get("ScheduleGroupExtId"):
            schedule_group = self.store.get("hierarchies", given["ScheduleGroupExtId"])
            if schedule_group is None:
                raise self.problem(400, HIERARCHY_NOT_FOUND)
            found.append(schedule_group)
        if not all(hierarchy["is_active"] for hierarchy in found):
            raise self.problem(400, HIERARCHY_INACTIVE)

    def _new_attempt(self, schedule: Document, given: Document) -> Document:
        """One candidate's way into one schedule; its links replace earlier ones."""
        attempt_ext_id = given.get("AttemptExtId")
        return {
            "id": "/".join((schedule["ext_id"], given["CandidateExtId"], attempt_ext_id or "")),
            "schedule_ext_id": schedule["ext_id"],
            "candidate_ext_id": given["CandidateExtId"],
            "attempt_ext_id": attempt_ext_id,
            "has_special_needs": given.get("SpecialNeeds") in (True, "true"),
            "reasonable_adjustment_percentage": given.get("ReasonableAdjustmentPercentage"),
            "proctor_uids": given.get("ProctorUIds", []),
            "session": secrets.token_hex(32).upper(),
            "proctorio_key": _proctorio_key() if schedule["uses_proctorio"] else "",
            "key_code": f"{secrets.randbelow(10**6):06}" if schedule["uses_key_code"] else "",
            "is_started": False,
            "is_proctored": False,
        }

    def _keep(self, settings: Document, schedule: Document, attempts: Sequence[Document], body: Document) -> None:
        given = body["Schedule"]
        if self.store.get("hierarchies", given["GroupExtId"]) is None:
            self._put_hierarchy(given["GroupExtId"], given["GroupName"])
        kept = {attempt["id"] for attempt in attempts}
        for earlier in self.store.find("attempts", schedule_ext_id=schedule["ext_id"]):
            if settings["updates_remove_candidates"] and earlier["id"] not in kept:
                self.store.delete("attempts", earlier["id"])
        for candidate in body["Candidates"]:
            self._keep_candidate(candidate, given["GroupExtId"])
        self.store.put("schedules", schedule["ext_id"], schedule)
        for attempt in attempts:
            self.store.put("attempts", attempt["id"], attempt)

    def _keep_candidate(self, given: Document, group: str) -> None:
        ext_id = given["CandidateExtId"]
        earlier = self.store.get("candidates", ext_id) or {"has_password": False, "groups": []}
        candidate = {
            **earlier,
            **{name: given[name] for name in PERSON_FIELDS if name in given},
            "UserName": given.get("UserName") or ext_id,
            "has_password": earlier["has_password"] or bool(given.get("Password")),
            "groups": sorted({*earlier["groups"], group}),
        }
        self.store.put("candidates", ext_id, candidate)

    # Its replies

    def _created(
        self, settings: Document, schedule: Document, attempts: Sequence[Document], body: Document, *, is_new: bool
    ) -> Reply:
        if settings["envelope"] == "content":
            return Reply(json={"Content": schedule["ext_id"], "Success": True, "Errors": None})
        is_relative = settings["envelope"] == "relative_links"
        candidates = [
            self._shown_candidate(attempt, given, is_relative=is_relative)
            for attempt, given in zip(attempts, body["Candidates"], strict=True)
        ]
        result = f"Schedule {schedule['number']} has been {'created' if is_new else 'updated'}."
        shown = self._shown_schedule(schedule, body["Schedule"])
        return Reply(json={"Result": result, "Schedule": shown, "Candidates": candidates})

    def _shown_schedule(self, schedule: Document, given: Document) -> Document:
        return {
            **dict.fromkeys(SCHEDULE_FIELDS),
            **given,
            "Title": schedule["title"],
            "ScheduleExtId": schedule["ext_id"],
            "EndDateTime": schedule["ends_at"].replace("+00:00", "Z"),
            "ExtraTime": schedule["extra_minutes"],
            "Owner": schedule["owner"],
        }

    def _shown_candidate(self, attempt: Document, given: Document, *, is_relative: bool) -> Document:
        path = f"{LOGIN_PATH}?session={attempt['session']}"
        proctored = f"{self.base_url}{PROCTORIO_PATH}?{quote(attempt['proctorio_key'], safe='')}#{PROCTORIO_FRAGMENT}"
        unproctored = self.base_url + path if is_relative else None
        return {
            "CandidateExtId": given["CandidateExtId"],
            "StartupLink": path if is_relative else self.base_url + path,
            "LaunchUrl": proctored if attempt["proctorio_key"] else unproctored,
            "FirstName": given["FirstName"],
            "LastName": given["LastName"],
            "Email": given["Email"],
            "Password": given.get("Password"),
        }

    # The other calls

    def _read_assessment(self, request: Request, ext_id: str) -> Reply:
        self._authorize(request)
        assessment = self.store.get("assessments", ext_id)
        if assessment is None:
            raise self.problem(400, "Assessment hasn't been found by external id")
        content = {
            "ExternalId": ext_id,
            "Title": assessment["title"],
            "Status": 2,
            "IsPublished": True,
            "MaxTimePerAttempt": assessment["minutes"],
            "ExtraTime": assessment["extra_minutes"],
            "ReasonableAdjustmentType": "PERCENTAGE",
            "AllowedNumberOfAttempts": 1,
        }
        return _content(content)

    def _found_schedule(self, ext_id: str) -> Document:
        found = self.store.get("schedules", ext_id)
        if found is None:
            raise self.problem(400, SCHEDULE_NOT_FOUND)
        return found

    def _read_schedule(self, request: Request, ext_id: str) -> Reply:
        self._authorize(request)
        schedule = self._found_schedule(ext_id)
        attempts = self.store.find("attempts", schedule_ext_id=ext_id)
        people = [self.store.get("candidates", attempt["candidate_ext_id"]) or {} for attempt in attempts]
        content = {
            "ExternalId": ext_id,
            "Title": schedule["title"],
            "StartDateTime": schedule["starts_at"].replace("+00:00", "Z"),
            "EndDateTime": schedule["ends_at"].replace("+00:00", "Z"),
            "Hierarchy": schedule["schedule_group_ext_id"],
            "ArchiveState": 1,
            "IsActivated": schedule["is_activated"],
            "Candidates": [_shown_person(person) for person in people],
            "Invigilators": [],
            "SharingInformation": [],
        }
        return _content(content)

    def _activate_schedule(self, request: Request, ext_id: str) -> Reply:
        self._check_scheduler(self._authorize(request))
        schedule = self._found_schedule(ext_id)
        if schedule["is_activated"]:
            raise self.problem(400, "Schedule is already activated")
        self.store.put("schedules", ext_id, {**schedule, "is_activated": True})
        return _content(ext_id)

    def _delete_schedule(self, request: Request, ext_id: str) -> Reply:
        self._check_scheduler(self._authorize(request))
        schedule = self._found_schedule(ext_id)
        attempts = self.store.find("attempts", schedule_ext_id=ext_id)
        if any(attempt["is_started"] for attempt in attempts):
            raise self.problem(400, "Can't delete schedule")
        for attempt in attempts:
            self.store.delete("attempts", attempt["id"])
        self.store.delete("schedules", ext_id)
        self.store.put("deleted", str(schedule["number"]), {"ext_id": ext_id, "number": schedule["number"]})
        return Reply(json={"Success": True, "Errors": None})

    # What a candidate opens

    def page(self, request: Request) -> Reply | None:
        if request.path == PROCTORIO_PATH and request.method == "GET":
            return self._proctorio(request)
        if request.path == LOGIN_PATH and request.method in ("GET", "POST"):
            return self._login(request)
        return None

    def _proctorio(self, request: Request) -> Reply:
        key = unquote(request.raw_query)
        found = self.store.find("attempts", proctorio_key=key) if key else []
        if not found:
            return Reply(403, text=_html("Proctorio", "<p>This link is not valid.</p>"))
        link = f"{LOGIN_PATH}?session={found[0]['session']}&proctorio={quote(key, safe='')}"
        body = (
            "<p id='cut'>This link has lost its end, the part after #. Open it whole.</p>"
            f"<p id='whole' hidden>Your camera is on. <a href='{escape(link)}'>Go on to the exam</a></p>"
            f"<script>if (location.hash === '#{PROCTORIO_FRAGMENT}') {{ cut.hidden = true; whole.hidden = false }}</script>"
        )
        return Reply(text=_html("Proctorio", body))

    def _login(self, request: Request) -> Reply:
        found = self.store.find("attempts", session=request.first("session"))
        if not found:
            return Reply(403, text=_html("Cirrus", "<p>This link is not valid, or another one has replaced it.</p>"))
        attempt, schedule = found[0], self._found_schedule(found[0]["schedule_ext_id"])
        if request.method == "GET":
            return Reply(text=_html(schedule["title"], self._entrance(request, attempt, schedule)))
        typed = parse_qs(request.body.decode("utf-8", errors="replace"))
        asked = {"pin": schedule["pin"], "key_code": attempt["key_code"]}
        if any(typed.get(name, [""])[0].strip() != code for name, code in asked.items()):
            return Reply(403, text=_html(schedule["title"], "<p>That is not the right code.</p>"))
        is_proctored = bool(attempt["proctorio_key"]) and request.first("proctorio") == attempt["proctorio_key"]
        self.store.put("attempts", attempt["id"], {**attempt, "is_started": True, "is_proctored": is_proctored})
        self.store.put("schedules", schedule["ext_id"], {**schedule, "is_activated": True})
        return Reply(text=_html(schedule["title"], "<p>Your exam has started.</p>"))

    def _entrance(self, request: Request, attempt: Document, schedule: Document) -> str:
        person = self.store.get("candidates", attempt["candidate_ext_id"]) or {}
        is_unproctored = attempt["proctorio_key"] and request.first("proctorio") != attempt["proctorio_key"]
        warning = "<p><strong>Nobody proctors this exam: it was not opened through Proctorio.</strong></p>"
        fields = [
            f"<p><label>{label} <input name='{name}' autocomplete='off'></label></p>"
            for name, label, is_asked in (
                ("pin", "PIN", schedule["pin"]),
                ("key_code", "Key code", attempt["key_code"]),
            )
            if is_asked
        ]
        return (
            f"<p>{escape(person.get('FirstName', ''))} {escape(person.get('LastName', ''))}</p>"
            f"<p>From {escape(schedule['starts_at'])} to {escape(schedule['ends_at'])}</p>"
            f"{warning if is_unproctored else ''}"
            f"<form method='post'>{''.join(fields)}<button>Start the exam</button></form>"
        )

    # What an administrator does at the vendor

    def controls(self) -> Sequence[Control]:
        return (*self._account_controls(), *self._reply_controls(), *self._content_controls(), *super().controls())

    def _account_controls(self) -> Sequence[Control]:
        allowed = Parameter("is_allowed", "Allowed", "no", YES_NO)
        user = Parameter("user_name", "User name", is_required=False)
        return (
            Control(
                "regenerate_token",
                "Regenerate the token",
                "A new External API token; the one in use until now stops working at once.",
                lambda values: self._set(token=f"eapi-{secrets.token_hex(16)}"),
            ),
            Control(
                "set_scheduler",
                "Set the scheduler",
                "The user in whose name schedules are made; blank removes it.",
                lambda values: self._set(scheduler=values["user_name"]),
                (user,),
            ),
            Control(
                "set_scheduler_permission",
                "Permit the scheduler",
                "Whether the scheduler may create, update and delete schedules.",
                lambda values: self._set(scheduler_may_schedule=values["is_allowed"] == "yes"),
                (allowed,),
            ),
            Control(
                "set_api_use",
                "Allow the External API",
                "Where it is not allowed, every call is answered 403.",
                lambda values: self._set(is_api_allowed=values["is_allowed"] == "yes"),
                (allowed,),
            ),
            Control(
                "set_owner",
                "Set the schedules' owner",
                "Blank removes it; then every schedule must name its own.",
                lambda values: self._set(owner=values["user_name"]),
                (user,),
            ),
        )

    def _reply_controls(self) -> Sequence[Control]:
        return (
            Control(
                "set_envelope",
                "Choose the reply",
                "With relative links and a LaunchUrl, with absolute links and a LaunchUrl under Proctorio only, or as in the"
                " page's sample, without links.",
                lambda values: self._set(envelope=values["envelope"]),
                (Parameter("envelope", "Reply", ENVELOPES[0], ENVELOPES),),
            ),
            Control(
                "set_refusals",
                "Choose the refusals",
                "Errors as texts or as objects, or one Message with status 400 or even 200.",
                lambda values: self._set(refusals=values["refusals"]),
                (Parameter("refusals", "Refusals", REFUSALS[0], REFUSALS),),
            ),
            Control(
                "set_authorization",
                "Choose the Authorization header",
                "Some installations are said to want no space after EAPI.",
                lambda values: self._set(authorization=values["form"]),
                (Parameter("form", "Header", AUTHORIZATIONS[0], AUTHORIZATIONS),),
            ),
            Control(
                "set_updates_remove_candidates",
                "Choose what an update removes",
                "Whether candidates whom an update (Upsert) leaves out lose their place.",
                lambda values: self._set(updates_remove_candidates=values["is_on"] == "yes"),
                (Parameter("is_on", "Removes them", "yes", YES_NO),),
            ),
        )

    def _content_controls(self) -> Sequence[Control]:
        return (
            Control(
                "activate_schedule",
                "Activate a schedule",
                "It cannot be updated any more; so it is once a candidate starts.",
                self._activate,
                (Parameter("schedule_ext_id", "Schedule"),),
            ),
            Control(
                "set_proctorio",
                "Use Proctorio",
                "The assessment's own option, for schedules that do not say.",
                self._set_proctorio,
                (
                    Parameter("assessment_ext_id", "Assessment", self.DEMO_ASSESSMENT),
                    Parameter("is_on", "On", "yes", YES_NO),
                ),
            ),
            Control(
                "add_assessment",
                "Add an assessment",
                "Published and live; the same external id replaces it.",
                self._add_assessment,
                (
                    Parameter("ext_id", "External id"),
                    Parameter("title", "Title", "Practice Exam"),
                    Parameter("minutes", "Minutes per attempt", "60"),
                    Parameter("extra_minutes", "Extra time, minutes", "0"),
                    Parameter("uses_proctorio", "Proctorio", "no", YES_NO),
                ),
            ),
            Control(
                "set_hierarchy",
                "Set a hierarchy",
                "Adds or changes one.",
                lambda values: self._put_hierarchy(
                    values["ext_id"], values["name"], is_active=values["is_active"] == "yes"
                ),
                (
                    Parameter("ext_id", "External id", self.DEMO_HIERARCHY),
                    Parameter("name", "Name", "Widget candidates"),
                    Parameter("is_active", "Active", "yes", YES_NO),
                ),
            ),
        )

    def _activate(self, values: Mapping[str, str]) -> Document:
        schedule = self.store.get("schedules", values["schedule_ext_id"])
        if schedule is None:
            raise Problem(400, {"message": "There is no such schedule."})
        self.store.put("schedules", schedule["ext_id"], {**schedule, "is_activated": True})
        return {"schedule_ext_id": schedule["ext_id"], "is_activated": True}

    def _set_proctorio(self, values: Mapping[str, str]) -> Document:
        assessment = self.store.get("assessments", values["assessment_ext_id"])
        if assessment is None:
            raise Problem(400, {"message": "There is no such assessment."})
        changed = {**assessment, "uses_proctorio": values["is_on"] == "yes"}
        self.store.put("assessments", assessment["ext_id"], changed)
        return changed

    def _add_assessment(self, values: Mapping[str, str]) -> Document:
        wrong = _text(64, _ID, _ID_WORDS)(values["ext_id"])
        minutes, extra = values["minutes"], values["extra_minutes"]
        if wrong or not all(number.isascii() and number.isdigit() and len(number) < 5 for number in (minutes, extra)):
            raise Problem(400, {"message": wrong or "Minutes must be whole numbers."})
        self._put_assessment(
            values["ext_id"],
            values["title"],
            minutes=int(minutes),
            extra_minutes=int(extra),
            uses_proctorio=values["uses_proctorio"] == "yes",
        )
        return {"ext_id": values["ext_id"]}


def _mistakes(body: Document) -> list[str]:
    """All that is wrong with the request itself, before anything is looked up."""
    wrong = _wrong("", body, REQUEST_FIELDS, REQUEST_REQUIRED)
    if wrong:
        return wrong
    wrong = _wrong("Schedule.", body["Schedule"], SCHEDULE_FIELDS, SCHEDULE_REQUIRED)
    workflow = body.get("Workflow", DEFAULT)
    for number, candidate in enumerate(body["Candidates"]):
        wrong += _candidate_mistakes(f"Candidates[{number}]", candidate, workflow)
    return wrong or _repeated(body["Candidates"])


def _wrong(prefix: str, given: Document, checks: Mapping[str, Check], required: Sequence[str]) -> list[str]:
    missing = [name for name in required if _is_blank(given.get(name))]
    found = {name: checks[name](value) for name, value in given.items() if name in checks and name not in missing}
    return [
        *(f"Unknown field: {prefix}{name}" for name in given if name not in checks),
        *(f"{prefix}{name} is required" for name in missing),
        *(f"{prefix}{name} {words}" for name, words in found.items() if words),
    ]


def _is_blank(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _candidate_mistakes(name: str, given: Any, workflow: str) -> list[str]:
    if not isinstance(given, dict):
        return [f"{name} must be an object"]
    wrong = _wrong(f"{name}.", given, CANDIDATE_FIELDS, CANDIDATE_REQUIRED) + _percentage_mistakes(given)
    if workflow == DEFAULT and "AttemptExtId" in given:
        wrong.append(f"{name}.AttemptExtId cannot be used with DEFAULT workflow")
    if workflow == EXTERNAL_ATTEMPTS and _is_blank(given.get("AttemptExtId")):
        wrong.append(f"{name}.AttemptExtId is required for EXTERNAL_ATTEMPTS workflow")
    return wrong


def _percentage_mistakes(given: Document) -> list[str]:
    if "ReasonableAdjustmentPercentage" not in given:
        return []
    percentage = given["ReasonableAdjustmentPercentage"]
    if isinstance(percentage, bool) or not isinstance(percentage, int) or not 0 <= percentage <= 999:
        return [BAD_PERCENTAGE]
    return [] if given.get("SpecialNeeds") in (True, "true") else [PERCENTAGE_WITHOUT_NEEDS]


def _repeated(candidates: Sequence[Document]) -> list[str]:
    first: dict[tuple[str, str | None], int] = {}
    return [
        f"Candidates[{number}] is repeated"
        for number, one in enumerate(candidates)
        if first.setdefault((one["CandidateExtId"], one.get("AttemptExtId")), number) != number
    ]


def _error(text: str) -> Document:
    code, _, message = text.partition(": ")
    return {"Code": int(code), "Message": message} if code.isdigit() else {"Code": None, "Message": text}


def _content(content: Any) -> Reply:
    return Reply(json={"Content": content, "Success": True, "Errors": None})


def _shown_person(person: Document) -> Document:
    return {
        "ExternalId": person.get("CandidateExtId"),
        "FirstName": person.get("FirstName"),
        "LastName": person.get("LastName"),
        "UserName": person.get("UserName"),
    }


def _proctorio_key() -> str:
    parts = [secrets.token_hex(16), *(base64.b64encode(secrets.token_bytes(size)).decode() for size in (16, 700))]
    return ",".join(parts)


def _html(title: str, body: str) -> str:
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'><meta name='referrer' content='no-referrer'>"
        f"<title>{escape(title)}</title><style>body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 40rem;"
        f" margin: 4rem auto; padding: 0 1rem; }}</style></head><body><h1>{escape(title)}</h1>{body}</body></html>"
    )
