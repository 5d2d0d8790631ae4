"""The simulator against the vendor's own page: its sample verbatim, and what it says is required."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests

from proctoring.sandbox.server import Sandbox
from proctoring.vendors.smarterproctoring import demo
from proctoring.vendors.smarterproctoring.sandbox import (
    CONFIGURATION_FIELDS,
    SmarterProctoringSimulator,
    is_sid,
    signed_token,
)

INSTALL = SmarterProctoringSimulator.DEMO_INSTALL
COURSE = SmarterProctoringSimulator.DEMO_COURSE
OTHER_COURSE = SmarterProctoringSimulator.DEMO_OTHER_COURSE
EXAMS = f"/v1/installs/{INSTALL}/courses/{COURSE}/exams"

SAMPLE_CURL = """curl --request POST \\
  --url http://api.dev.smarterproctoring.com/v1/installs/{installSid}/courses/{courseSid}/exams \\
  --header 'Content-Type: application/json' \\
  --header 'token: <api-key>' \\
  --data '
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
'"""
SAMPLE = json.loads(shlex.split(SAMPLE_CURL.replace("\\\n", ""))[-1])
SAMPLE_REPLY = json.loads("""{
  "sessionStatus": "<string>",
  "sid": "<string>",
  "courseSid": "<string>",
  "applicationInstallSid": "<string>",
  "title": "<string>",
  "bVirtualTitle": "<string>",
  "type": "<string>",
  "description": "<string>",
  "useProctorManager": true,
  "requireApproval": true,
  "enableAppointmentSuggestions": true,
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
  "isLimitedScope": true,
  "platformVersion": "<string>"
}""")
REQUIRED = [name for name in SAMPLE if name not in ("description", "contactUserSid", "isLimitedScope", "status")]


@pytest.fixture(scope="module")
def running() -> Iterator[Sandbox]:
    with Sandbox.running({"smarterproctoring": 0}) as sandbox:
        yield sandbox


class Client:
    """Speaks plain HTTP to the simulator, with the demo token unless told otherwise."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.url = sandbox.url("smarterproctoring")
        self.token = SmarterProctoringSimulator.DEMO_TOKEN

    def send(self, method: str, path: str, **options: Any) -> requests.Response:
        headers = {"token": self.token, **options.pop("headers", {})}
        return requests.request(method, self.url + path, headers=headers, timeout=5, **options)

    def create(self, path: str = EXAMS, configuration: dict[str, Any] | None = None, **fields: Any) -> Any:
        body = {**SAMPLE, **fields}
        if configuration is not None:
            body["configuration"] = {**SAMPLE["configuration"], **configuration}
        return self.send("POST", path, json=body)

    def refusal(self, response: requests.Response) -> str:
        """The words of a 400 that made nothing."""
        assert response.status_code == 400
        assert self.state("exams") == []
        assert list(response.json()) == ["message"]
        return str(response.json()["message"])

    def get(self, path: str) -> Any:
        return self.send("GET", path)

    def control(self, name: str, /, **values: str) -> dict[str, Any]:
        return self.sandbox.control("smarterproctoring", name, **values)

    def state(self, kind: str) -> list[dict[str, Any]]:
        return self.sandbox.state("smarterproctoring").get(kind, [])


@pytest.fixture
def client(running: Sandbox) -> Client:
    running.control("smarterproctoring", "clear")
    return Client(running)


class TestSample:
    def test_curl_command_is_accepted(self, client: Client) -> None:
        command = SAMPLE_CURL.replace("http://api.dev.smarterproctoring.com", client.url).replace("\\\n", "")
        command = command.replace("{installSid}", INSTALL).replace("{courseSid}", COURSE)
        words = shlex.split(command.replace("<api-key>", client.token))
        pairs = list(zip(words[1::2], words[2::2], strict=True))
        given = dict(pairs)
        headers = dict(value.split(": ") for name, value in pairs if name == "--header")

        response = requests.request(
            given["--request"], given["--url"], headers=headers, data=given["--data"], timeout=5
        )

        assert response.status_code == 200
        (exam,) = client.state("exams")
        assert {name: exam[name] for name in SAMPLE} == SAMPLE

    def test_is_answered_with_exactly_the_page_s_keys_and_types(self, client: Client) -> None:
        reply = client.create().json()

        assert list(reply) == list(SAMPLE_REPLY)
        assert {key: value for key, value in reply.items() if type(value) is not type(SAMPLE_REPLY[key])} == {
            "sessionStatus": None,
            "bVirtualTitle": None,
            "summary": None,
            "examSession": None,
            "scriptName": None,
            "systemName": None,
            "platformVersion": None,
        }
        assert is_sid("EX", reply["sid"])
        assert (reply["applicationInstallSid"], reply["courseSid"]) == (INSTALL, COURSE)
        assert json.loads(reply["configuration"]) == SAMPLE["configuration"]
        assert reply["createdDate"].endswith("Z")


class TestCreate:
    def test_has_34_configuration_keys(self) -> None:
        assert len(CONFIGURATION_FIELDS) == 34
        assert set(CONFIGURATION_FIELDS) == set(SAMPLE["configuration"])

    @pytest.mark.parametrize("name", REQUIRED)
    def test_requires_each_field(self, client: Client, name: str) -> None:
        body = {key: value for key, value in SAMPLE.items() if key != name}

        assert client.refusal(client.send("POST", EXAMS, json=body)) == f"{name} is required."

    @pytest.mark.parametrize("name", SAMPLE["configuration"])
    def test_requires_each_key_of_the_configuration(self, client: Client, name: str) -> None:
        configuration = {key: value for key, value in SAMPLE["configuration"].items() if key != name}

        words = client.refusal(client.send("POST", EXAMS, json={**SAMPLE, "configuration": configuration}))

        assert words == f"configuration.{name} is required."

    @pytest.mark.parametrize("name", SAMPLE)
    def test_refuses_a_wrong_type(self, client: Client, name: str) -> None:
        response = client.send("POST", EXAMS, json={**SAMPLE, name: 3})

        assert client.refusal(response).startswith(f"{name} must ")

    @pytest.mark.parametrize("name", SAMPLE["configuration"])
    def test_refuses_a_wrong_type_in_the_configuration(self, client: Client, name: str) -> None:
        assert client.refusal(client.create(configuration={name: True if "Info" in name else None})).startswith(
            f"configuration.{name} must "
        )

    @pytest.mark.parametrize(
        ("fields", "words"),
        [
            ({"color": "red"}, "color is not a known field."),
            ({"title": " "}, "title must be a string that is not blank."),
            ({"type": "online"}, "type must be one of Online, Written."),
            ({"status": "archived"}, "status must be one of active, draft, deleted."),
            ({"isLimitedScope": None}, "isLimitedScope must be true or false."),
            ({"contactUserSid": "US12"}, "contactUserSid must match ^US[a-f0-9]{32}$."),
            ({"contactUserSid": "US" + "A" * 32}, "contactUserSid must match ^US[a-f0-9]{32}$."),
            ({"url": ""}, "url is required for an Online exam."),
            (
                {"examDeliverySystemModule": "none"},
                "examDeliverySystemModule must be one of canvas, blackboard, brightspace, moodle.",
            ),
        ],
    )
    def test_refuses_a_wrong_exam(self, client: Client, fields: dict[str, Any], words: str) -> None:
        assert client.refusal(client.create(**fields)) == words

    @pytest.mark.parametrize(
        ("configuration", "words"),
        [
            ({"color": 1}, "color is not a known field"),
            ({"password": ""}, "password is required for an Online exam"),
            ({"duration": 0}, "duration must be a positive integer"),
            ({"duration": 90.5}, "duration must be a positive integer"),
            ({"duration": "90"}, "duration must be a positive integer"),
            ({"attempts": True}, "attempts must be a positive integer"),
            ({"examOpenDate": "2026-03-09T08:00:00+00:00"}, "examOpenDate must be an ISO 8601 date ending in Z"),
            ({"examOpenDate": "2026-03-09"}, "examOpenDate must be an ISO 8601 date ending in Z"),
            ({"examCloseDate": "2026-02-30T08:00:00Z"}, "examCloseDate is a date that does not exist"),
            ({"permittedNotes": "false"}, "permittedNotes must be true or false"),
            ({"proctorTypes": "TS"}, "proctorTypes must be an array"),
            ({"proctorTypes": [1]}, "proctorTypes must hold strings only"),
            ({"modalityOptions": []}, "modalityOptions must be an object"),
            (
                {"virtualCalculatorType": "abacus"},
                "virtualCalculatorType must be one of scientific-calc, graphing-calc, matrix-calc, four-function-calc",
            ),
            ({"instructorAsProctor": [1]}, "instructorAsProctor[0] must be an object"),
        ],
    )
    def test_refuses_a_wrong_configuration(self, client: Client, configuration: dict[str, Any], words: str) -> None:
        assert client.refusal(client.create(configuration=configuration)) == f"configuration.{words}."

    @pytest.mark.parametrize(
        ("row", "words"),
        [
            ({"timeType": "after"}, "timeType must be one of between, at"),
            ({"startTime": "noon"}, "startTime must be an ISO 8601 date ending in Z"),
            ({"endTime": None}, "endTime must be a string"),
            ({"capacity": 0}, "capacity must be a positive integer"),
            ({"room": "1"}, "room is not a known field"),
        ],
    )
    def test_refuses_a_wrong_instructor_as_proctor(self, client: Client, row: dict[str, Any], words: str) -> None:
        rows = [{**SAMPLE["configuration"]["instructorAsProctor"][0], **row}]

        refused = client.refusal(client.create(configuration={"instructorAsProctor": rows}))

        assert refused == f"configuration.instructorAsProctor[0].{words}."

    def test_names_everything_that_is_wrong_at_once(self, client: Client) -> None:
        words = client.refusal(client.create(title=3, configuration={"duration": -1}))

        assert words == "title must be a string that is not blank. configuration.duration must be a positive integer."

    def test_needs_neither_address_nor_password_on_paper(self, client: Client) -> None:
        response = client.create(type="Written", url="", configuration={"password": "", "virtualCalculatorType": ""})

        assert response.status_code == 200

    def test_needs_none_of_the_optional_fields(self, client: Client) -> None:
        reply = client.send("POST", EXAMS, json={name: SAMPLE[name] for name in REQUIRED}).json()

        optional = {name: reply[name] for name in ("description", "contactUserSid", "isLimitedScope", "status")}
        assert optional == {"description": None, "contactUserSid": None, "isLimitedScope": False, "status": "active"}

    def test_makes_another_exam_when_repeated(self, client: Client) -> None:
        assert client.create().json()["sid"] != client.create().json()["sid"]

    @pytest.mark.parametrize("body", ["", "[]", "{", '{"title": "a", "title": "b"}'])
    def test_refuses_a_body_that_is_no_json_object(self, client: Client, body: str) -> None:
        client.refusal(client.send("POST", EXAMS, data=body, headers={"Content-Type": "application/json"}))

    def test_refuses_a_body_that_does_not_say_that_it_is_json(self, client: Client) -> None:
        assert client.send("POST", EXAMS, data=json.dumps(SAMPLE)).status_code == 415

    def test_refuses_a_wrong_method(self, client: Client) -> None:
        assert client.send("PATCH", EXAMS).status_code == 405


class TestPlace:
    @pytest.mark.parametrize(
        ("install", "course", "status", "name"),
        [
            ("IN1234567890abcdef1234567890abcdef", COURSE, 400, "installSid"),
            (INSTALL.upper(), COURSE, 400, "installSid"),
            ("AI" + "0" * 32, COURSE, 403, "installSid"),
            (INSTALL, "CO1234567890abcdef1234567890abcdef", 400, "courseSid"),
            (INSTALL, COURSE[:-1], 400, "courseSid"),
            (INSTALL, "CU" + "0" * 32, 404, "courseSid"),
        ],
    )
    def test_is_checked_by_its_sids(self, client: Client, install: str, course: str, status: int, name: str) -> None:
        response = client.create(f"/v1/installs/{install}/courses/{course}/exams")

        assert response.status_code == status
        assert response.json()["message"].startswith(name)


class TestToken:
    @pytest.mark.parametrize(
        "token",
        [
            "",
            "abc",
            "a.b.c",
            "e30.e30.e30",
            f"Bearer {SmarterProctoringSimulator.DEMO_TOKEN}",
            SmarterProctoringSimulator.DEMO_TOKEN[:-1],
            signed_token("another secret", {"sub": INSTALL, "exp": 4_102_444_800}),
        ],
    )
    def test_must_be_the_vendor_s_own(self, client: Client, token: str) -> None:
        client.token = token

        assert client.get("/v1/check").status_code == 401
        assert client.create().status_code == 401
        assert client.state("exams") == []

    def test_must_stand_in_its_own_header(self, client: Client) -> None:
        headers = {"token": "", "Authorization": f"Bearer {client.token}"}

        assert client.send("GET", "/v1/check", headers=headers).status_code == 401

    def test_is_replaced_by_a_new_one(self, client: Client) -> None:
        made = client.control("regenerate_token")

        old = client.create()
        client.token = made["token"]

        assert (old.status_code, old.json()) == (401, {"message": "The token has been revoked."})
        assert client.create().status_code == 200

    def test_expires_when_told(self, client: Client) -> None:
        client.control("expire_token")

        response = client.create()

        assert (response.status_code, response.json()) == (401, {"message": "The token has expired."})

    def test_expires_by_its_own_date(self, client: Client) -> None:
        client.token = client.control("regenerate_token", days="0")["token"]

        assert client.get("/v1/check").json() == {"message": "The token has expired."}

    def test_of_the_demo_expires_in_2100(self) -> None:
        after = datetime(2100, 1, 1, tzinfo=UTC)

        with Sandbox.running({"smarterproctoring": 0}, clock=lambda: after) as sandbox:
            assert Client(sandbox).get("/v1/check").status_code == 401

    def test_is_confirmed_by_the_check(self, client: Client) -> None:
        assert client.get("/v1/check").status_code == 200


class TestReading:
    def test_shows_an_exam_as_it_was_made(self, client: Client) -> None:
        made = client.create().json()

        assert client.get(f"{EXAMS}/{made['sid']}").json() == made

    def test_finds_an_exam_in_its_own_course_only(self, client: Client) -> None:
        sid = client.create().json()["sid"]

        assert client.get(f"{EXAMS.replace(COURSE, OTHER_COURSE)}/{sid}").status_code == 404
        assert client.get(f"{EXAMS}/EX{'0' * 32}").status_code == 404
        assert client.get(f"{EXAMS}/{COURSE}").status_code == 400

    def test_lists_by_offset_and_limit(self, client: Client) -> None:
        made = [client.create().json()["sid"] for _ in range(5)]
        client.create(EXAMS.replace(COURSE, OTHER_COURSE))

        pages = [client.get(f"{EXAMS}?offset={offset}&limit=2").json() for offset in (0, 2, 4)]

        assert [exam["sid"] for page in pages for exam in page["results"]] == made
        assert [(page["total"], page["count"], page["offset"]) for page in pages] == [(5, 2, 0), (5, 2, 2), (5, 1, 4)]
        assert pages[2]["next"] is None
        assert client.get(pages[0]["next"]).json() == pages[1]

    def test_lists_an_empty_course(self, client: Client) -> None:
        assert client.get(EXAMS).json()["results"] == []

    def test_sorts_by_title(self, client: Client) -> None:
        for title in ("b", "c", "a"):
            client.create(title=title)

        listed = client.get(f"{EXAMS}?sortKeys=title&sortOrder=desc").json()["results"]

        assert [exam["title"] for exam in listed] == ["c", "b", "a"]

    @pytest.mark.parametrize("query", ["offset=-1", "limit=0", "limit=x", "sortKeys=sid", "sortOrder=up", "color=red"])
    def test_refuses_parameters_it_does_not_have(self, client: Client, query: str) -> None:
        assert client.get(f"{EXAMS}?{query}").status_code == 400

    def test_lists_the_delivery_systems(self, client: Client) -> None:
        systems = client.get(f"/v1/installs/{INSTALL}/examDeliverySystems").json()

        assert "canvas" in [system["module"] for system in systems]

    @pytest.mark.parametrize(("shape", "kind"), [("text", str), ("null", type(None)), ("object", dict)])
    def test_shows_the_configuration_in_the_shape_that_is_chosen(
        self, client: Client, shape: str, kind: type[Any]
    ) -> None:
        client.control("set_configuration_shape", shape=shape)

        reply = client.create().json()

        assert [type(reply[key]) for key in ("configuration", "course")] == [kind, kind]


class TestOlderSpecification:
    def test_limits_what_the_page_does_not(self, client: Client) -> None:
        client.control("set_older_specification")

        words = client.refusal(client.create(configuration={"duration": 481}))

        assert "configuration.duration must be at most 480" in words
        assert "configuration.proctorTypes must match" in words

    def test_needs_fewer_keys(self, client: Client) -> None:
        client.control("set_older_specification")
        types = {"proctorTypes": ["TS4b894875d26194988853e490dfb9bc41"]}
        configuration = {**SAMPLE["configuration"], **types}
        for name in ("scheduleOpenDate", "scheduleCloseDate", "apiExamId", "modalityOptions", "virtualCalculatorType"):
            del configuration[name]

        assert client.send("POST", EXAMS, json={**SAMPLE, "configuration": configuration}).status_code == 200


class TestControls:
    def test_add_a_course(self, client: Client) -> None:
        sid = client.control("add_course", title="Chemistry", instructor="Noor Haddad")["course_sid"]

        reply = client.create(EXAMS.replace(COURSE, sid)).json()

        assert (reply["courseName"], reply["instructorName"]) == ("Chemistry", "Noor Haddad")

    def test_clear_brings_the_demo_back(self, client: Client) -> None:
        client.create()
        client.control("expire_token")
        client.control("clear")

        assert client.state("exams") == []
        assert client.create().status_code == 200


class TestDemo:
    def test_account_and_exam_are_those_of_the_simulator(self, client: Client) -> None:
        client.token = demo.CREDENTIALS["token"]

        for exam in demo.EXAMS:
            settings: Any = exam["settings"]
            path = f"/v1/installs/{demo.SETTINGS['install_sid']}/courses/{settings['courseSid']}/exams"
            fields = {name: value for name, value in settings.items() if name != "courseSid"}
            assert client.create(path, title=exam["title"], **fields).status_code == 200


class TestRestart:
    def test_keeps_the_token_and_the_exams(self, tmp_path: Path) -> None:
        with Sandbox.running({"smarterproctoring": 0}, folder=tmp_path) as sandbox:
            client = Client(sandbox)
            client.token = client.control("regenerate_token")["token"]
            client.create()
            before = sandbox.state("smarterproctoring")

        with Sandbox.running({"smarterproctoring": 0}, folder=tmp_path) as sandbox:
            assert sandbox.state("smarterproctoring") == before
            assert Client(sandbox).create().status_code == 401
