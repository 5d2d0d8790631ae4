"""The simulator against the vendor's own page: its sample, each rule of the body, its replies, and who may ask."""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from proctoring.sandbox.server import Sandbox
from proctoring.vendors.smarterproctoring import demo
from proctoring.vendors.smarterproctoring.sandbox import SmarterProctoringSimulator
from proctoring.vendors.smarterproctoring.schema import EXAM, mistakes

INSTALL, COURSE = SmarterProctoringSimulator.DEMO_INSTALL, SmarterProctoringSimulator.DEMO_COURSE
OTHER_COURSE = SmarterProctoringSimulator.DEMO_OTHER_COURSE
TOKEN, SECRET = SmarterProctoringSimulator.DEMO_TOKEN, SmarterProctoringSimulator.DEMO_SECRET
OTHER_INSTALL = "AI" + "0" * 32
AUTOMATED = "TS63dda27a6ba54c218449b934b7bb1ba8"
LIVE = "TS4b894875d26194988853e490dfb9bc41"

# As the page prints it. Mended by the tests: its only proctor type is a placeholder.
SAMPLE_REQUEST = """
{
  "title": "Midterm Exam 1",
  "type": "Online",
  "useProctorManager": true,
  "requireApproval": false,
  "url": "<string>",
  "enableAppointmentSuggestions": true,
  "examDeliverySystemModule": "canvas",
  "configuration": {
    "instructorAsProctor": [
      {
        "location": "<string>",
        "timeType": "between",
        "startTime": "1970-01-01T00:00:00.000Z",
        "endTime": "<string>",
        "capacity": 123
      }
    ],
    "examOpenDate": "1970-01-01T00:00:00.000Z",
    "examCloseDate": "1970-01-01T00:00:00.000Z",
    "password": "<string>",
    "duration": 123,
    "attempts": 123,
    "requiredSoftware": "<string>",
    "studentNotes": "<string>",
    "permittedBathroomBreak": true,
    "permittedBathroomBreakInformation": "<string>",
    "permittedBlankPaper": true,
    "permittedBlankPaperInformation": "<string>",
    "permittedCalculator": true,
    "permittedCalculatorInformation": "<string>",
    "permittedDictionary": true,
    "permittedDictionaryInformation": "<string>",
    "permittedEarplugs": true,
    "permittedEarplugsInformation": "<string>",
    "permittedFormulaSheet": true,
    "permittedFormulaSheetInformation": "<string>",
    "permittedNotes": true,
    "permittedNotesInformation": "<string>",
    "permittedOtherItems": "<string>",
    "permittedTextbook": true,
    "permittedTextbookInformation": "<string>",
    "permittedWebsites": true,
    "permittedWebsitesInformation": "<string>",
    "proctorNotes": "<string>",
    "proctorTypes": [
      "<string>"
    ],
    "scheduleOpenDate": "1970-01-01T00:00:00.000Z",
    "scheduleCloseDate": "1970-01-01T00:00:00.000Z",
    "apiExamId": "<string>",
    "modalityOptions": {},
    "virtualCalculatorType": "scientific-calc"
  },
  "description": "Covers chapters 1-5",
  "contactUserSid": "US1234567890abcdef1234567890abcdef",
  "isLimitedScope": false,
  "status": "active"
}
"""
# The page's response: each field with its type; all of them may be null.
SAMPLE_REPLY: dict[str, Any] = {
    "sessionStatus": "<string>",
    "sid": "<string>",
    "courseSid": "<string>",
    "applicationInstallSid": "<string>",
    "title": "<string>",
    "bVirtualTitle": "<string>",
    "type": "<string>",
    "description": "<string>",
    "useProctorManager": True,
    "requireApproval": True,
    "enableAppointmentSuggestions": True,
    "url": "<string>",
    "status": "<string>",
    "createdDate": "<string>",
    "editDate": "<string>",
    "contactUserSid": "<string>",
    "examDeliverySystemModule": "<string>",
    "summary": "<string>",
    "pendingApprovals": 123,
    "openSessionEvents": 123,
    "course": "<string>",
    "configuration": "<string>",
    "examSession": "<string>",
    "instructorName": "<string>",
    "courseName": "<string>",
    "totalSessions": 123,
    "needsProctorSessions": 123,
    "scriptName": "<string>",
    "systemName": "<string>",
    "isLimitedScope": True,
    "platformVersion": "<string>",
}
# Written down once more from the page, by hand: the schema must not be its own witness.
MAY_BE_ABSENT = {
    "description",
    "contactUserSid",
    "isLimitedScope",
    "status",
    "configuration.scheduleOpenDate",
    "configuration.scheduleCloseDate",
    "configuration.apiExamId",
    "configuration.modalityOptions",
    "configuration.virtualCalculatorType",
    "configuration.instructorAsProctor.0.capacity",
}
MODALITIES = [
    "recordScreen",
    "recordWebcam",
    "recordAudio",
    "forceFullScreen",
    "onlyOneScreen",
    "disableNewTabs",
    "closeOpenTabs",
    "disablePrinting",
    "disableClipboard",
    "disableRightClick",
    "verifyId",
    "roomScan",
]
CALCULATORS = ["scientific-calc", "graphing-calc", "matrix-calc", "four-function-calc"]
MOMENT = datetime(2031, 3, 3, 8, tzinfo=UTC)


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.at = MOMENT

    def __call__(self) -> datetime:
        return self.at


CLOCK = Clock()


@pytest.fixture(scope="module")
def running() -> Iterator[Sandbox]:
    with Sandbox.running({"smarterproctoring": 0}, clock=CLOCK) as sandbox:
        yield sandbox


class Client:
    """Speaks plain HTTP to the simulator, as the demo install unless told otherwise."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.url = sandbox.url("smarterproctoring")
        self.headers = {"token": TOKEN, "Content-Type": "application/json"}

    def send(self, method: str, path: str, **options: Any) -> requests.Response:
        return requests.request(method, self.url + path, headers=self.headers, timeout=5, **options)

    def create(self, body: Any, course: str = COURSE, install: str = INSTALL) -> requests.Response:
        return self.send("POST", f"/v1/installs/{install}/courses/{course}/exams", json=body)

    def created(self, body: Any, course: str = COURSE) -> dict[str, Any]:
        response = self.create(body, course)
        assert response.status_code == 200, response.text
        found: dict[str, Any] = response.json()
        return found

    def get(self, place: str, install: str = INSTALL) -> requests.Response:
        return self.send("GET", f"/v1/installs/{install}/{place}")

    def control(self, name: str, /, **values: str) -> dict[str, Any]:
        return self.sandbox.control("smarterproctoring", name, **values)

    def exams(self) -> list[dict[str, Any]]:
        return self.sandbox.state("smarterproctoring").get("exams", [])


@pytest.fixture
def client(running: Sandbox) -> Client:
    CLOCK.at = MOMENT
    running.control("smarterproctoring", "clear")
    return Client(running)


def outcome(response: requests.Response) -> tuple[int, Any]:
    return response.status_code, response.json()


def refusal(response: requests.Response) -> tuple[int, str]:
    return response.status_code, response.json()["message"]


def sample(**changes: Any) -> dict[str, Any]:
    """The page's sample, mended; a name with dots reaches into it, and what is `...` is left out."""
    body = json.loads(SAMPLE_REQUEST)
    body["configuration"]["proctorTypes"] = [AUTOMATED]
    return changed(body, changes)


def changed(body: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    body = deepcopy(body)
    for path, value in changes.items():
        *way, name = path.split(".")
        place: Any = body
        for step in way:
            place = place[int(step)] if isinstance(place, list) else place[step]
        if isinstance(place, list):
            place[int(name)] = value
        elif value is ...:
            place.pop(name, None)
        else:
            place[name] = value
    return body


@dataclass(frozen=True)
class Field:
    path: str
    rule: Mapping[str, Any]
    is_required: bool

    @property
    def types(self) -> list[str]:
        types = self.rule.get("type", [])
        return [types] if isinstance(types, str) else list(types)


def fields(schema: Mapping[str, Any] = EXAM, path: str = "") -> Iterator[Field]:
    for name, rule in schema["properties"].items():
        yield Field(path + name, rule, name in schema["required"])
        rows = rule.get("items", {})
        if "properties" in rule:
            yield from fields(rule, f"{path}{name}.")
        elif "properties" in rows:
            yield from fields(rows, f"{path}{name}.0.")
        elif rows:
            yield Field(f"{path}{name}.0", rows, is_required=False)


FIELDS = [field for field in fields() if not field.path.startswith("configuration.modalityOptions.")]
OF_ANOTHER_TYPE: Mapping[str, Any] = {
    "string": 5,
    "boolean": "true",
    "integer": "90",
    "number": "12",
    "object": [],
    "array": {},
}


def each(of: Sequence[Field]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("field", of, ids=[field.path for field in of])


class TestSample:
    def test_is_accepted_and_kept_as_it_was_sent(self, client: Client) -> None:
        reply = client.created(sample())

        (there,) = client.exams()
        added = {"sid": reply["sid"], "courseSid": COURSE, "createdDate": "2031-03-03T08:00:00.000Z"}
        assert there == {**sample(), **added}
        assert reply["sid"].startswith("EX") and len(reply["sid"]) == 34

    def test_is_answered_with_the_page_s_fields_and_types(self, client: Client) -> None:
        reply = client.created(sample())

        assert set(reply) == set(SAMPLE_REPLY)
        assert {name for name, value in reply.items() if not isinstance(value, type(SAMPLE_REPLY[name]))} == {
            "sessionStatus",
            "bVirtualTitle",
            "summary",
            "examSession",
            "scriptName",
            "platformVersion",
        }
        assert {value for value in reply.values() if not isinstance(value, str | bool | int)} == {None}

    def test_has_a_placeholder_that_is_no_proctor_type(self, client: Client) -> None:
        assert refusal(client.create(json.loads(SAMPLE_REQUEST))) == (
            400,
            "configuration.proctorTypes.0 must match ^TS[a-f0-9]{32}$.",
        )

    def test_names_every_field_of_the_schema_and_no_other(self) -> None:
        body = json.loads(SAMPLE_REQUEST)
        configuration = body["configuration"]

        assert {field.path for field in FIELDS} == {
            *body,
            *(f"configuration.{name}" for name in configuration),
            *(f"configuration.instructorAsProctor.0.{name}" for name in configuration["instructorAsProctor"][0]),
            "configuration.proctorTypes.0",
        }
        assert len(configuration) == 34


class TestReply:
    def test_says_what_was_sent_and_where_it_belongs(self, client: Client) -> None:
        reply = client.created(sample(title="Genetics", status="draft", isLimitedScope=True))

        assert (reply["title"], reply["status"], reply["isLimitedScope"]) == ("Genetics", "draft", True)
        assert (reply["courseSid"], reply["applicationInstallSid"]) == (COURSE, INSTALL)
        assert (reply["courseName"], reply["instructorName"], reply["systemName"]) == (
            "Biology 101",
            "Amos Burton",
            "Canvas",
        )

    def test_gives_the_defaults_of_what_was_left_out(self, client: Client) -> None:
        reply = client.created(sample(description=..., contactUserSid=..., isLimitedScope=..., status=...))

        assert (reply["description"], reply["contactUserSid"]) == (None, None)
        assert (reply["isLimitedScope"], reply["status"]) == (False, "active")
        assert "status" not in client.exams()[0]

    @pytest.mark.parametrize("name", ["configuration", "course"])
    def test_can_hold_text_null_or_an_object(self, client: Client, name: str) -> None:
        seen = {"text": client.created(sample())[name]}
        for shape in ("null", "object"):
            client.control("set_configuration_shape", shape=shape)
            seen[shape] = client.created(sample())[name]

        assert seen["null"] is None
        assert json.loads(seen["text"]) == seen["object"]
        expected = {"configuration": sample()["configuration"]}.get(name) or {
            "sid": COURSE,
            "applicationInstallSid": INSTALL,
            "title": "Biology 101",
            "instructorName": "Amos Burton",
        }
        assert seen["object"] == expected

    def test_is_of_a_new_exam_each_time(self, client: Client) -> None:
        first, second = client.created(sample()), client.created(sample())

        assert first["sid"] != second["sid"]
        assert [exam["sid"] for exam in client.exams()] == [first["sid"], second["sid"]]


class TestFields:
    """Each rule of the schema, over HTTP; the values that are right are written by hand where it matters."""

    def test_may_be_absent_where_the_page_says_so_and_only_there(self) -> None:
        assert {field.path for field in FIELDS if not field.is_required} == {
            *MAY_BE_ABSENT,
            "configuration.proctorTypes.0",
        }

    @each([field for field in FIELDS if field.is_required])
    def test_are_named_when_they_are_missing(self, client: Client, field: Field) -> None:
        response = client.create(sample(**{field.path: ...}))

        assert refusal(response) == (400, f"{field.path} is required.")
        assert client.exams() == []

    @pytest.mark.parametrize("path", sorted(MAY_BE_ABSENT))
    def test_may_be_left_out_where_they_are_optional(self, client: Client, path: str) -> None:
        client.created(sample(**{path: ...}))

        assert client.exams()[0] == {**client.exams()[0], **sample(**{path: ...})}

    def test_may_all_be_left_out_at_once(self, client: Client) -> None:
        least = sample(**dict.fromkeys(MAY_BE_ABSENT, ...))

        client.created(least)

        assert client.exams()[0] == {**client.exams()[0], **least}

    @each([field for field in FIELDS if field.types])
    def test_are_refused_by_name_in_another_type(self, client: Client, field: Field) -> None:
        status, message = refusal(client.create(sample(**{field.path: OF_ANOTHER_TYPE[field.types[0]]})))

        assert status == 400
        assert message.startswith(f"{field.path} must be ") and message.count(".") == field.path.count(".") + 1
        assert client.exams() == []

    @each([field for field in FIELDS if field.path != "description"])
    def test_are_not_null(self, client: Client, field: Field) -> None:
        status, message = refusal(client.create(sample(**{field.path: None})))

        assert (status, message.partition(" ")[0]) == (400, field.path)

    def test_are_not_null_but_for_the_description(self, client: Client) -> None:
        assert client.created(sample(description=None))["description"] is None

    @each([field for field in FIELDS if field.types == ["string"] and not {"enum", "pattern"} & set(field.rule)])
    def test_may_be_empty_texts_for_a_written_exam(self, client: Client, field: Field) -> None:
        response = client.create(sample(**{"type": "Written", field.path: ""}))

        if field.path == "examDeliverySystemModule":
            assert response.status_code == 400
        else:
            assert response.status_code == 200

    @each([field for field in FIELDS if "enum" in field.rule])
    def test_are_one_of_their_values_exactly(self, client: Client, field: Field) -> None:
        values = field.rule["enum"]

        right = {value: client.create(sample(**{field.path: value})).status_code for value in values}
        wrong = [refusal(client.create(sample(**{field.path: value}))) for value in ("", "another", values[0].upper())]

        assert set(right.values()) == {200}
        assert wrong == [(400, f"{field.path} must be one of {', '.join(values)}.")] * 3

    @pytest.mark.parametrize(
        ("path", "values"),
        [
            ("type", ["Online", "Written"]),
            ("status", ["active", "draft", "deleted"]),
            ("configuration.virtualCalculatorType", CALCULATORS),
            ("configuration.instructorAsProctor.0.timeType", ["between", "at"]),
        ],
    )
    def test_have_the_page_s_values(self, path: str, values: list[str]) -> None:
        assert {field.path: field.rule["enum"] for field in FIELDS if "enum" in field.rule}[path] == values

    @each([field for field in FIELDS if field.rule.get("format") == "date-time"])
    @pytest.mark.parametrize(
        "wrong",
        [
            "",
            "2031-03-03T08:00:00.000",
            "2031-03-03T08:00:00.000+01:00",
            "2031-03-03",
            "2031-13-03T08:00:00Z",
            "soonZ",
            "2031-03-03T08:00:00Z\n",
        ],
    )
    def test_are_moments_that_end_in_z(self, client: Client, field: Field, wrong: str) -> None:
        status, message = refusal(client.create(sample(**{field.path: wrong})))

        assert (status, message.partition(" ")[0]) == (400, field.path)

    @pytest.mark.parametrize("right", ["2031-03-03T08:00:00Z", "2031-03-03T08:00Z", "2031-03-03T08:00:00.123456Z"])
    def test_are_moments_however_exact(self, client: Client, right: str) -> None:
        moments = {field.path: right for field in FIELDS if field.rule.get("format") == "date-time"}

        assert len(moments) == 5
        assert client.create(sample(**moments)).status_code == 200

    @pytest.mark.parametrize("name", ["duration", "attempts"])
    def test_are_positive_whole_numbers(self, client: Client, name: str) -> None:
        path = f"configuration.{name}"

        statuses = {value: client.create(sample(**{path: value})).status_code for value in (1, 480, 481, 100_000, 90.0)}
        refused = [refusal(client.create(sample(**{path: value})))[1] for value in (0, -5, 1.5, True)]

        assert set(statuses.values()) == {200}
        assert refused == [f"{path} must be at least 1."] * 2 + [f"{path} must be a whole number."] * 2

    @pytest.mark.parametrize(
        ("path", "value"),
        [
            ("titel", "Genetics"),
            ("sid", "EX" + "0" * 32),
            ("password", "secret"),
            ("configuration.permittedSlippers", True),
            ("configuration.sid", "EC" + "0" * 32),
            ("configuration.instructorAsProctor.0.sid", "CP" + "0" * 32),
        ],
    )
    def test_that_the_page_does_not_have_are_refused_by_name(self, client: Client, path: str, value: Any) -> None:
        assert refusal(client.create(sample(**{path: value}))) == (400, f"{path} is not a field of this call.")

    def test_of_modality_are_kept_whatever_they_hold(self, client: Client) -> None:
        options = {**dict.fromkeys(MODALITIES, True), "verifyId": {"with": "a passport"}}

        client.created(sample(**{"configuration.modalityOptions": options}))

        assert client.exams()[0]["configuration"]["modalityOptions"] == options
        assert len(MODALITIES) == 12

    def test_are_all_named_where_several_are_wrong(self, client: Client) -> None:
        body = sample(title=5, **{"configuration.duration": 0, "configuration.instructorAsProctor.0.location": ...})

        assert refusal(client.create(body)) == (
            400,
            "title must be a text. configuration.instructorAsProctor.0.location is required."
            " configuration.duration must be at least 1.",
        )

    @pytest.mark.parametrize("rows", [0, 3])
    def test_allow_any_number_of_instructors_as_proctors(self, client: Client, rows: int) -> None:
        row = sample()["configuration"]["instructorAsProctor"][0]

        client.created(sample(**{"configuration.instructorAsProctor": [row] * rows}))

        assert len(client.exams()[0]["configuration"]["instructorAsProctor"]) == rows

    @pytest.mark.parametrize("wrong", ["", "US123", "US1234567890ABCDEF1234567890ABCDEF", "EX" + "0" * 32])
    def test_name_a_contact_by_a_user_s_sid(self, client: Client, wrong: str) -> None:
        assert refusal(client.create(sample(contactUserSid=wrong))) == (
            400,
            "contactUserSid must match ^US[a-f0-9]{32}$.",
        )


@pytest.mark.parametrize("is_older", ["no", "yes"])
class TestCalculator:
    """Optional and an enum, whichever specification is followed: right values written by hand."""

    def test_is_absent_where_none_is_chosen(self, client: Client, is_older: str) -> None:
        client.control("set_older_specification", is_on=is_older)

        client.created(sample(**{"configuration.virtualCalculatorType": ...}))

        assert "virtualCalculatorType" not in client.exams()[0]["configuration"]

    @pytest.mark.parametrize("kind", CALCULATORS)
    def test_is_one_of_four(self, client: Client, is_older: str, kind: str) -> None:
        client.control("set_older_specification", is_on=is_older)

        client.created(sample(**{"configuration.virtualCalculatorType": kind}))

        assert client.exams()[0]["configuration"]["virtualCalculatorType"] == kind

    @pytest.mark.parametrize("wrong", ["", None, "none", "scientific", "Scientific-Calc", False])
    def test_is_nothing_else(self, client: Client, is_older: str, wrong: Any) -> None:
        client.control("set_older_specification", is_on=is_older)

        status, message = refusal(client.create(sample(**{"configuration.virtualCalculatorType": wrong})))

        assert (status, message.partition(" ")[0]) == (400, "configuration.virtualCalculatorType")
        assert client.exams() == []


@pytest.mark.parametrize("is_older", ["no", "yes"])
class TestProctorTypes:
    """At least one, each a TS sid, whichever specification is followed: right values written by hand."""

    @pytest.mark.parametrize("types", [[AUTOMATED], [LIVE, AUTOMATED], ["TS" + "0" * 32]])
    def test_are_sids_of_proctor_types(self, client: Client, is_older: str, types: list[str]) -> None:
        client.control("set_older_specification", is_on=is_older)

        client.created(sample(**{"configuration.proctorTypes": types}))

        assert client.exams()[0]["configuration"]["proctorTypes"] == types

    @pytest.mark.parametrize(
        ("wrong", "words"),
        [
            (..., " is required."),
            ([], " must name at least 1."),
            ("", " must be a list."),
            (AUTOMATED, " must be a list."),
            (None, " must be a list."),
            ([""], ".0 must match ^TS[a-f0-9]{32}$."),
            (["automated"], ".0 must match ^TS[a-f0-9]{32}$."),
            ([AUTOMATED.upper()], ".0 must match ^TS[a-f0-9]{32}$."),
            ([AUTOMATED[:-1]], ".0 must match ^TS[a-f0-9]{32}$."),
            ([AUTOMATED + "0"], ".0 must match ^TS[a-f0-9]{32}$."),
            ([AUTOMATED + "\n"], ".0 must match ^TS[a-f0-9]{32}$."),
            ([AUTOMATED, "PT" + "0" * 32], ".1 must match ^TS[a-f0-9]{32}$."),
        ],
    )
    def test_are_at_least_one(self, client: Client, is_older: str, wrong: Any, words: str) -> None:
        client.control("set_older_specification", is_on=is_older)

        response = client.create(sample(**{"configuration.proctorTypes": wrong}))

        assert refusal(response) == (400, f"configuration.proctorTypes{words}")
        assert client.exams() == []


class TestOnline:
    @pytest.mark.parametrize("path", ["url", "configuration.password"])
    def test_needs_a_url_and_a_password(self, client: Client, path: str) -> None:
        assert refusal(client.create(sample(**{path: ""}))) == (400, f"{path} must not be empty.")

    def test_is_what_needs_them_a_written_exam_does_not(self, client: Client) -> None:
        client.created(sample(**{"type": "Written", "url": "", "configuration.password": ""}))

        assert client.exams()[0]["url"] == ""

    @pytest.mark.parametrize("path", ["url", "configuration.password"])
    def test_and_written_exams_alike_have_the_keys(self, client: Client, path: str) -> None:
        assert refusal(client.create(sample(**{"type": "Written", path: ...}))) == (400, f"{path} is required.")


class TestOlderSpecification:
    def test_has_a_longest_duration(self, client: Client) -> None:
        client.control("set_older_specification")

        assert client.create(sample(**{"configuration.duration": 480})).status_code == 200
        assert refusal(client.create(sample(**{"configuration.duration": 481}))) == (
            400,
            "configuration.duration must be at most 480.",
        )

    def test_is_followed_until_it_is_off(self, client: Client) -> None:
        client.control("set_older_specification", is_on="yes")
        client.control("set_older_specification", is_on="no")

        assert client.create(sample(**{"configuration.duration": 481})).status_code == 200

    def test_does_not_make_the_delivery_system_optional(self, client: Client) -> None:
        client.control("set_older_specification")

        assert refusal(client.create(sample(examDeliverySystemModule=...))) == (
            400,
            "examDeliverySystemModule is required.",
        )


class TestDeliverySystems:
    def test_are_listed(self, client: Client) -> None:
        found = client.get("examDeliverySystems").json()

        assert [row["examDeliverySystemModule"] for row in found["results"]] == [
            "canvas",
            "blackboard",
            "brightspace",
            "moodle",
        ]
        assert (found["total"], found["count"], found["next"]) == (4, 4, None)

    @pytest.mark.parametrize("module", ["canvas", "blackboard", "brightspace", "moodle"])
    def test_can_be_an_exam_s(self, client: Client, module: str) -> None:
        assert client.created(sample(examDeliverySystemModule=module))["examDeliverySystemModule"] == module

    @pytest.mark.parametrize("module", ["", "Canvas", "sakai"])
    def test_that_the_install_lacks_are_refused(self, client: Client, module: str) -> None:
        assert refusal(client.create(sample(examDeliverySystemModule=module))) == (
            400,
            "examDeliverySystemModule must be one of canvas, blackboard, brightspace, moodle.",
        )


class TestToken:
    CALLS = (
        ("POST", f"/v1/installs/{INSTALL}/courses/{COURSE}/exams"),
        ("GET", f"/v1/installs/{INSTALL}/courses/{COURSE}/exams"),
        ("GET", f"/v1/installs/{INSTALL}/courses/{COURSE}/exams/EX"),
        ("GET", f"/v1/installs/{INSTALL}/examDeliverySystems"),
        ("GET", "/v1/check"),
    )

    def test_is_a_json_web_token(self) -> None:
        head, claims, signature = TOKEN.split(".")
        made = hmac.digest(SECRET.encode(), f"{head}.{claims}".encode(), "sha256")

        assert base64.urlsafe_b64decode(signature + "=") == made
        assert json.loads(base64.urlsafe_b64decode(head + "==")) == {"alg": "HS256", "typ": "JWT"}
        assert json.loads(base64.urlsafe_b64decode(claims + "==")) == {
            "iss": "sandbox",
            "sub": INSTALL,
            "exp": 4102444800,
        }

    def test_is_enough_for_a_check(self, client: Client) -> None:
        assert outcome(client.send("GET", "/v1/check")) == (200, {})

    @pytest.mark.parametrize(("method", "path"), CALLS)
    @pytest.mark.parametrize("wrong", [None, "", "token", TOKEN[:-1], f"Bearer {TOKEN}", TOKEN.upper()])
    def test_is_asked_for_before_anything_else(self, client: Client, method: str, path: str, wrong: str | None) -> None:
        client.headers = {} if wrong is None else {"token": wrong}

        status, message = refusal(client.send(method, path))

        assert (status, "token" in message) == (401, True)

    def test_is_not_a_bearer_token(self, client: Client) -> None:
        client.headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}

        assert refusal(client.create(sample())) == (401, "The token header is required.")
        assert client.exams() == []

    @pytest.mark.parametrize(("method", "path"), CALLS)
    def test_can_have_expired(self, client: Client, method: str, path: str) -> None:
        client.control("expire_token")

        assert refusal(client.send(method, path)) == (401, "The token has expired.")

    def test_issued_anew_replaces_the_old_one(self, client: Client) -> None:
        client.control("expire_token")
        new = client.control("regenerate_token")["token"]
        old = client.send("GET", "/v1/check")
        client.headers["token"] = new

        assert refusal(old) == (401, "The token is not valid.")
        assert client.create(sample()).status_code == 200

    def test_lasts_as_long_as_it_was_issued_for(self, client: Client) -> None:
        client.headers["token"] = client.control("regenerate_token", days="3")["token"]

        statuses = []
        for passed in (timedelta(days=3, seconds=-1), timedelta(days=3)):
            CLOCK.at = MOMENT + passed
            statuses.append(client.send("GET", "/v1/check").status_code)

        claims = json.loads(base64.urlsafe_b64decode(client.headers["token"].split(".")[1] + "=="))
        assert statuses == [200, 401]
        assert (claims["sub"], claims["exp"]) == (INSTALL, int(MOMENT.timestamp()) + 3 * 86_400)

    def test_is_another_each_time(self, client: Client) -> None:
        first, second = (client.control("regenerate_token")["token"] for _ in range(2))

        assert first != second

    @pytest.mark.parametrize(("method", "path"), CALLS[:4])
    @pytest.mark.parametrize("install", [OTHER_INSTALL, INSTALL.upper(), "1"])
    def test_is_of_one_install(self, client: Client, method: str, path: str, install: str) -> None:
        response = client.send(method, path.replace(INSTALL, install))

        assert refusal(response) == (403, "The token is not one of this installSid.")


class TestAddresses:
    @pytest.mark.parametrize("course", ["CU" + "0" * 32, COURSE.upper(), "biology"])
    def test_of_an_unknown_course_are_not_found(self, client: Client, course: str) -> None:
        answers = [
            client.create({}, course),
            client.get(f"courses/{course}/exams"),
            client.get(f"courses/{course}/exams/EX"),
        ]

        assert {refusal(answer) for answer in answers} == {(404, "There is no course with this courseSid.")}

    def test_of_an_unknown_exam_are_not_found(self, client: Client) -> None:
        sid = client.created(sample(), OTHER_COURSE)["sid"]

        answers = [client.get(f"courses/{COURSE}/exams/{exam}") for exam in (sid, "EX" + "0" * 32)]

        assert {refusal(answer) for answer in answers} == {(404, "There is no exam with this examSid in the course.")}

    @pytest.mark.parametrize(
        ("method", "path", "status", "allow"),
        [
            ("PUT", f"/v1/installs/{INSTALL}/courses/{COURSE}/exams", 405, "GET, POST"),
            ("DELETE", f"/v1/installs/{INSTALL}/courses/{COURSE}/exams/EX", 405, "GET"),
            ("POST", "/v1/check", 405, "GET"),
            ("POST", f"/v2/installs/{INSTALL}/courses/{COURSE}/exams", 404, None),
            ("POST", f"/v1/installs/{INSTALL}/courses/{COURSE}/exams/", 404, None),
        ],
    )
    def test_are_only_those_of_the_page(
        self, client: Client, method: str, path: str, status: int, allow: str | None
    ) -> None:
        response = client.send(method, path, json=sample())

        assert (response.status_code, response.headers.get("Allow")) == (status, allow)

    @pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "text/plain", ""])
    def test_take_json_only(self, client: Client, kind: str) -> None:
        client.headers["Content-Type"] = kind

        response = client.send(
            "POST", f"/v1/installs/{INSTALL}/courses/{COURSE}/exams", data=json.dumps(sample()).encode()
        )

        assert response.status_code == 415

    @pytest.mark.parametrize("body", ["", "[]", "null", "{", '{"title": "A", "title": "B"}'])
    def test_take_one_json_object(self, client: Client, body: str) -> None:
        response = client.send("POST", f"/v1/installs/{INSTALL}/courses/{COURSE}/exams", data=body)

        assert response.status_code == 400
        assert client.exams() == []


class TestReading:
    def test_answers_as_creating_did(self, client: Client) -> None:
        made = client.created(sample())

        assert outcome(client.get(f"courses/{COURSE}/exams/{made['sid']}")) == (200, made)

    def test_lists_the_exams_of_a_course_by_pages(self, client: Client) -> None:
        made = [client.created(sample(title=title)) for title in "ABCDE"]
        client.created(sample(title="F"), OTHER_COURSE)
        path = f"/v1/installs/{INSTALL}/courses/{COURSE}/exams"

        first, middle, last = (client.get(f"courses/{COURSE}/exams?offset={at}&limit=2").json() for at in (0, 2, 4))

        assert first == {
            "total": 5,
            "first": f"{path}?offset=0&limit=2",
            "next": f"{path}?offset=2&limit=2",
            "prev": None,
            "last": f"{path}?offset=4&limit=2",
            "count": 2,
            "offset": 0,
            "results": made[:2],
        }
        assert client.send("GET", first["next"]).json() == middle
        assert (middle["prev"], middle["results"]) == (first["first"], made[2:4])
        assert (last["count"], last["next"], last["results"]) == (1, None, made[4:])

    def test_lists_fifty_unless_told_otherwise(self, client: Client) -> None:
        for _ in range(51):
            client.created(sample())

        found = client.get(f"courses/{COURSE}/exams").json()

        assert (found["total"], found["count"], len(found["results"])) == (51, 50, 50)

    @pytest.mark.parametrize("place", [f"courses/{OTHER_COURSE}/exams", f"courses/{OTHER_COURSE}/exams?limit=0"])
    def test_lists_nothing_where_there_is_nothing(self, client: Client, place: str) -> None:
        found = client.get(place).json()

        assert (found["total"], found["count"], found["next"], found["results"]) == (0, 0, None, [])

    @pytest.mark.parametrize(
        ("query", "titles"),
        [
            ("", "CAB"),
            ("sortKeys=title", "ABC"),
            ("sortKeys=title&sortOrder=DESC", "CBA"),
            ("sortKeys=examOpenDate", "BCA"),
            ("sortKeys=examOpenDate&sortKeys=title", "BAC"),
            ("sortKeys=scheduleOpenDate", "CBA"),
        ],
    )
    def test_sorts_by_what_it_is_asked_for(self, client: Client, query: str, titles: str) -> None:
        opens, schedules = "configuration.examOpenDate", "configuration.scheduleOpenDate"
        client.created(sample(title="C", **{opens: "2031-03-03T08:00:00.000Z", schedules: "1999-01-01T00:00:00.000Z"}))
        client.created(sample(title="A", **{opens: "2031-03-03T08:00:00.000Z", schedules: "2030-01-01T00:00:00.000Z"}))
        client.created(sample(title="B", **{opens: "2031-03-02T08:00:00.000Z", schedules: ...}))

        found = client.get(f"courses/{COURSE}/exams?includeStatusSummary=true&{query}").json()

        assert "".join(exam["title"] for exam in found["results"]) == titles

    @pytest.mark.parametrize(
        ("query", "name"),
        [
            ("offset=-1", "offset"),
            ("limit=all", "limit"),
            ("limit=", "limit"),
            ("sortKeys=status", "sortKeys"),
            ("sortOrder=down", "sortOrder"),
            ("includeStatusSummary=1", "includeStatusSummary"),
            ("apiExamId=7", "apiExamId"),
        ],
    )
    def test_refuses_other_parameters_by_name(self, client: Client, query: str, name: str) -> None:
        status, message = refusal(client.get(f"courses/{COURSE}/exams?{query}"))

        assert (status, message.partition(" ")[0]) == (400, name)

    def test_shows_our_reference_in_a_listed_exam_s_configuration(self, client: Client) -> None:
        client.created(sample(**{"configuration.apiExamId": "our-own-7"}))

        (found,) = client.get(f"courses/{COURSE}/exams").json()["results"]

        assert json.loads(found["configuration"])["apiExamId"] == "our-own-7"


class TestControls:
    def test_add_a_course(self, client: Client) -> None:
        sid = client.control("add_course", title="Physics", instructor="Robin Roe")["course_sid"]

        reply = client.created(sample(), sid)

        assert (reply["courseName"], reply["instructorName"]) == ("Physics", "Robin Roe")
        assert sid.startswith("CU") and len(sid) == 34

    def test_clear_brings_the_demo_back(self, client: Client) -> None:
        client.created(sample())
        client.control("regenerate_token")
        client.control("set_configuration_shape", shape="null")
        client.control("set_older_specification")
        client.control("clear")

        assert client.exams() == []
        assert isinstance(client.created(sample(**{"configuration.duration": 500}))["configuration"], str)


class TestDemo:
    def test_speaks_to_the_simulator_s_install_and_course(self) -> None:
        settings: Any = demo.EXAMS[0]["settings"]

        assert demo.CREDENTIALS == {"token": TOKEN}
        assert demo.SETTINGS == {"install_sid": INSTALL}
        assert settings["courseSid"] == COURSE

    def test_s_exam_lacks_nothing_but_what_the_form_adds(self) -> None:
        settings: Any = demo.EXAMS[0]["settings"]
        body = {name: value for name, value in settings.items() if name != "courseSid"}

        found = mistakes(body)

        assert [words for words in found if not words.endswith(" is required.")] == []


class TestRestart:
    def test_keeps_exams_and_the_token(self, tmp_path: Path) -> None:
        with Sandbox.running({"smarterproctoring": 0}, folder=tmp_path, clock=CLOCK) as sandbox:
            client = Client(sandbox)
            made, token = client.created(sample()), client.control("regenerate_token")["token"]
            before = sandbox.state("smarterproctoring")

        with Sandbox.running({"smarterproctoring": 0}, folder=tmp_path, clock=CLOCK) as sandbox:
            client = Client(sandbox)
            client.headers["token"] = token
            assert sandbox.state("smarterproctoring") == before
            assert client.get(f"courses/{COURSE}/exams/{made['sid']}").json() == made


class TestAStateThatAnEarlierSandboxKept:
    """`make run` goes on with what it finds, after an upgrade too."""

    def test_is_read(self, client: Client) -> None:
        store = client.sandbox.vendors["smarterproctoring"].simulator.store
        install = {"sid": INSTALL, "token": TOKEN, "is_token_expired": False}
        switches = {"configuration_shape": "text", "follows_older_specification": False}
        store.put("installs", INSTALL, {**install, **switches})
        course = {"sid": COURSE, "title": "Biology 101", "instructor_name": "Kim", "install_sid": INSTALL}
        store.put("courses", COURSE, course)

        made = client.created(sample())

        assert (made["courseName"], made["instructorName"]) == ("Biology 101", "Kim")
