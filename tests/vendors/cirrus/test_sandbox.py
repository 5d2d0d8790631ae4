"""The simulator against the vendor's own page: its samples verbatim, and what it says is an error."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from proctoring.sandbox.server import Sandbox
from proctoring.vendors.cirrus import demo
from proctoring.vendors.cirrus.sandbox import CirrusSimulator

ASSESSMENT = CirrusSimulator.DEMO_ASSESSMENT
PROCTORED = CirrusSimulator.DEMO_PROCTORED_ASSESSMENT
START = "2026-03-09T08:00:00.000Z"

SIMPLE_SAMPLE = """{
  "Schedule": {
   "AssessmentExtId":"1111", 
   "ScheduleExtId":"sch1111",
   "StartDateTime":"2018-11-02T15:30:00Z", 
   "GroupExtId":"CPI", 
   "GroupName":"ComputerInc",
    "UseKeyCode": true
  }, 
  "Candidates": [
    {
        "CandidateExtId":"ddmwhite", 
        "FirstName":"Dima", 
        "LastName":"White", 
        "Email":"ddmwhite@winterfell.com",
        "SpecialNeeds": true,
       "ReasonableAdjustmentPercentage": 20
        
    } 
  ]
}"""  # noqa: W291, W293  as the page has it
EXTENDED_SAMPLE = """{
  "Schedule": {
    "AssessmentExtId": "NORTH000",
    "ScheduleExtId": "WINTER000",
    "StartDateTime": "2015-04-21T07:30:00.000Z",
    "GroupExtId": "WINTERFELL",
    "GroupName": "Winterfell",
    "UseKeyCode": true
  },
  "Candidates": [
    {
       "CandidateExtId": "eddardstark",
       "FirstName": "Eddard",
       "LastName": "Stark",
       "RegNumber": "34394",
       "Photo": "-----",
       "Email": "estark@winterfell.com",
       "Password": "WinterIsComing",
       "Photo": "https://secure.skypeassets.com/content/dam/scom/images/newhome/promo2.jpg",
       "RegistrationNumber": "3325",
       "CompId": "COMP00102006",
       "ProctorUIds": ["1235", "234"]
    },
    {
       "CandidateExtId": "catelynstark",
       "FirstName": "Catelyn",
       "LastName": "Stark",
       "Email": "cstark@winterfell.com",
       "RegistrationNumber": "3326",
       "CompId": "COMP00102006",
       "ProctorUIds": ["1235", "234"]
    },
    {
       "CandidateExtId": "johnsnow",
       "FirstName": "John",
       "LastName": "Snow",
       "Email": "jsnow@winterfell.com",
       "RegistrationNumber": "3327",
       "CompId": "COMP00102006",
       "ProctorUIds": ["1235", "234"]
    }
  ]
}"""
MENDED_SAMPLE = EXTENDED_SAMPLE.replace('       "RegNumber": "34394",\n       "Photo": "-----",\n', "")


@pytest.fixture(scope="module")
def running() -> Iterator[Sandbox]:
    with Sandbox.running({"cirrus": 0}) as sandbox:
        yield sandbox


def person(ext_id: str = "amos", **fields: Any) -> dict[str, Any]:
    named = {"CandidateExtId": ext_id, "FirstName": "Amos", "LastName": "Burton", "Email": f"{ext_id}@example.com"}
    return {**named, **fields}


class Client:
    """Speaks plain HTTP to the simulator, with the demo token unless told otherwise."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.site = sandbox.url("cirrus")
        self.authorization = f"EAPI {CirrusSimulator.DEMO_TOKEN}"

    def send(self, method: str, path: str, **options: Any) -> requests.Response:
        headers = {"Authorization": self.authorization, "Content-Type": "application/json"}
        headers |= options.pop("headers", {})
        url = f"{self.site}/api/v1/integrations{path}"
        return requests.request(method, url, headers=headers, timeout=5, **options)

    def body(self, *candidates: dict[str, Any], **schedule: Any) -> dict[str, Any]:
        given = {"AssessmentExtId": ASSESSMENT, "ScheduleExtId": "sch-1", "StartDateTime": START}
        given |= {"GroupExtId": "CPI", "GroupName": "Computer Inc", **schedule}
        return {"Schedule": given, "Candidates": list(candidates) or [person()]}

    def schedule(self, *candidates: dict[str, Any], top: dict[str, Any] | None = None, **schedule: Any) -> Any:
        return self.send("POST", "/schedule", json={**self.body(*candidates, **schedule), **(top or {})})

    def errors(self, *candidates: dict[str, Any], top: dict[str, Any] | None = None, **schedule: Any) -> list[str]:
        """Those of a call that must be refused and must change nothing."""
        before = self.sandbox.state("cirrus")
        response = self.schedule(*candidates, top=top, **schedule)
        assert self.sandbox.state("cirrus") == before
        assert response.status_code == 400
        assert {**response.json(), "Errors": []} == {"Content": None, "Success": False, "Errors": []}
        errors: list[str] = response.json()["Errors"]
        return errors

    def control(self, name: str, /, **values: str) -> dict[str, Any]:
        return self.sandbox.control("cirrus", name, **values)

    def state(self, kind: str) -> list[dict[str, Any]]:
        return self.sandbox.state("cirrus").get(kind, [])


@pytest.fixture
def client(running: Sandbox) -> Client:
    running.control("cirrus", "clear")
    return Client(running)


class TestSamples:
    @pytest.mark.parametrize(
        ("body", "candidates"),
        [(SIMPLE_SAMPLE, ["ddmwhite"]), (MENDED_SAMPLE, ["eddardstark", "catelynstark", "johnsnow"])],
    )
    def test_are_accepted(self, client: Client, body: str, candidates: list[str]) -> None:
        response = client.send("POST", "/schedule", data=body)

        assert response.status_code == 200
        assert [one["CandidateExtId"] for one in response.json()["Candidates"]] == candidates
        assert [one["candidate_ext_id"] for one in client.state("attempts")] == candidates
        assert client.state("schedules")[0]["uses_key_code"] is True

    def test_answer_as_the_page_s_reply(self, client: Client) -> None:
        client.control("set_envelope", envelope="content")

        reply = client.send("POST", "/schedule", data=SIMPLE_SAMPLE)

        assert (reply.status_code, reply.json()) == (200, {"Content": "sch1111", "Success": True, "Errors": None})

    @pytest.mark.parametrize(
        ("cut", "words"),
        [('       "RegNumber": "34394",\n', "repeated"), ('       "Photo": "-----",\n', "Candidates[0].RegNumber")],
    )
    def test_are_refused_unmended(self, client: Client, cut: str, words: str) -> None:
        response = client.send("POST", "/schedule", data=EXTENDED_SAMPLE.replace(cut, ""))

        assert response.status_code == 400
        assert words in response.text

    def test_address_works_with_and_without_the_integrations_path(self, client: Client) -> None:
        headers = {"Authorization": client.authorization, "Content-Type": "application/json"}

        response = requests.post(f"{client.site}/schedule", data=SIMPLE_SAMPLE, headers=headers, timeout=5)

        assert response.status_code == 200


class TestInput:
    @pytest.mark.parametrize(
        ("schedule", "words"),
        [
            ({"Color": "red"}, "Unknown field: Schedule.Color"),
            ({"AssessmentExtId": ""}, "Schedule.AssessmentExtId is required"),
            ({"AssessmentExtId": None}, "Schedule.AssessmentExtId is required"),
            ({"AssessmentExtId": "none"}, "Assessment hasn't been found by external id"),
            ({"GroupExtId": " "}, "Schedule.GroupExtId is required"),
            ({"GroupName": "x" * 501}, "Schedule.GroupName must have at most 500 characters"),
            ({"ScheduleExtId": "s" * 65}, "Schedule.ScheduleExtId must have at most 64 characters"),
            ({"ScheduleExtId": "a_b"}, "Schedule.ScheduleExtId may hold letters, digits and dashes only"),
            ({"ScheduleExtId": "é"}, "Schedule.ScheduleExtId may hold letters, digits and dashes only"),
            ({"ScheduleExtId": "a\n"}, "Schedule.ScheduleExtId may hold letters, digits and dashes only"),
            ({"Title": "x" * 101}, "Schedule.Title must have at most 100 characters"),
            ({"Title": 3}, "Schedule.Title must be text"),
            ({"PIN": "12345"}, "Schedule.PIN must have at most 4 characters"),
            ({"PIN": 1234}, "Schedule.PIN must be text"),
            ({"UseKeyCode": "true"}, "Schedule.UseKeyCode must be true or false"),
            ({"UseProctorIo": None}, "Schedule.UseProctorIo must be true or false"),
            (
                {"ProctorioTemplateExternalId": "a-b"},
                "Schedule.ProctorioTemplateExternalId may hold letters and digits only",
            ),
            ({"ScheduleGroupExtId": "NOWHERE"}, "Hierarchy hasn't been found by external id"),
            ({"ScheduleGroupExtId": "WIDGETS-OLD"}, "Hierarchy must be active"),
            ({"GroupExtId": "WIDGETS-OLD"}, "Hierarchy must be active"),
        ],
    )
    def test_refuses_a_wrong_schedule(self, client: Client, schedule: dict[str, Any], words: str) -> None:
        assert client.errors(**schedule) == [words]

    @pytest.mark.parametrize(
        "moment",
        [
            "2026-03-09",
            "2026-03-09 08:00:00Z",
            "2026-03-09T08:00:00",
            "2026-03-09T08:00Z",
            "2026-02-30T08:00:00Z",
            "2026-03-09T08:00:00+0100",
            "9999-12-31T23:59:59Z",
            1772956800,
        ],
    )
    def test_refuses_a_start_that_is_not_rfc_3339(self, client: Client, moment: Any) -> None:
        words = ["Schedule.StartDateTime must be a date and time according to RFC 3339"]

        assert client.errors(StartDateTime=moment) == words

    @pytest.mark.parametrize(
        "moment", ["2026-03-09T08:00:00Z", "2026-03-09T08:00:00.5Z", "2026-03-09T09:00:00.000+01:00"]
    )
    def test_takes_every_form_of_rfc_3339(self, client: Client, moment: str) -> None:
        assert client.schedule(StartDateTime=moment).status_code == 200
        assert client.state("schedules")[0]["starts_at"].startswith("2026-03-09T08:00:00")

    @pytest.mark.parametrize(
        ("fields", "words"),
        [
            ({"RegNumber": "1"}, "Unknown field: Candidates[1].RegNumber"),
            ({"CandidateExtId": "a b"}, "Candidates[1].CandidateExtId may hold letters, digits and dashes only"),
            ({"CandidateExtId": "a" * 501}, "Candidates[1].CandidateExtId must have at most 500 characters"),
            ({"CandidateExtId": "zoe"}, "Candidates[1] is repeated"),
            ({"FirstName": ""}, "Candidates[1].FirstName is required"),
            ({"Email": "amos.example.com"}, "Candidates[1].Email must be a valid email"),
            ({"PhoneNumber": 15550101}, "Candidates[1].PhoneNumber must be text"),
            ({"SpecialNeeds": "yes"}, "Candidates[1].SpecialNeeds must be true or false"),
            ({"ProctorUIds": "1235"}, "Candidates[1].ProctorUIds must be an array of strings"),
            ({"ProctorUIds": [1235]}, "Candidates[1].ProctorUIds must be an array of strings"),
            ({"AttemptExtId": "a-1"}, "Candidates[1].AttemptExtId cannot be used with DEFAULT workflow"),
            (
                {"SpecialNeeds": True, "ReasonableAdjustmentPercentage": 1000},
                "249: ReasonableAdjustmentPercentage is invalid. Must be a value between 0 and 999",
            ),
            (
                {"SpecialNeeds": True, "ReasonableAdjustmentPercentage": "20"},
                "249: ReasonableAdjustmentPercentage is invalid. Must be a value between 0 and 999",
            ),
            (
                {"ReasonableAdjustmentPercentage": 0},
                "250: ReasonableAdjustmentPercentage cannot be set for candidate with SpecialNeeds = false",
            ),
        ],
    )
    def test_refuses_all_for_one_wrong_candidate(self, client: Client, fields: dict[str, Any], words: str) -> None:
        assert client.errors(person("zoe"), person(**fields)) == [words]

    @pytest.mark.parametrize(
        ("top", "words"),
        [
            ({"Color": 1}, "Unknown field: Color"),
            ({"Workflow": "EXTERNAL_ATTEMPT"}, "Workflow must be one of DEFAULT, EXTERNAL_ATTEMPTS"),
            ({"Upsert": "true"}, "Upsert must be true or false"),
            ({"Schedule": []}, "Schedule must be an object"),
            ({"Candidates": []}, "Candidates must be an array of candidates"),
            ({"Candidates": ["amos"]}, "Candidates[0] must be an object"),
        ],
    )
    def test_refuses_a_wrong_request(self, client: Client, top: dict[str, Any], words: str) -> None:
        assert client.errors(top=top) == [words]

    @pytest.mark.parametrize("body", ["", "{}", '{"Schedule": {}, "Candidates": []}'])
    def test_refuses_a_body_in_which_all_is_empty(self, client: Client, body: str) -> None:
        response = client.send("POST", "/schedule", data=body)

        assert (response.status_code, response.json()["Errors"]) == (400, ["Invalid input data"])

    def test_takes_special_needs_as_text_and_as_boolean(self, client: Client) -> None:
        adjusted: dict[str, Any] = {"ReasonableAdjustmentPercentage": 25}

        response = client.schedule(
            person("a", SpecialNeeds=True, **adjusted), person("b", SpecialNeeds="true", **adjusted)
        )

        assert response.status_code == 200
        assert [one["has_special_needs"] for one in client.state("attempts")] == [True, True]

    def test_takes_every_field_of_the_page(self, client: Client) -> None:
        schedule: dict[str, Any] = {
            "Title": "Spring",
            "EndDateTime": "2026-03-10T08:00:00Z",
            "ScheduleGroupExtId": "WIDGETS",
            "ScheduleGroupName": "Widget candidates",
            "LockExamOnConnectionLoss": True,
            "Owner": "coordinator",
            "PIN": "0042",
            "UseProctorIo": False,
            "ProctorioTemplateExternalId": "strict1",
            "UseKeyCode": False,
        }
        texts = (
            *("UserName", "Password", "Photo", "Company", "City", "State", "CountryCode", "PostalCode"),
            *("AddressLine1", "AddressLine2", "PhoneNumber", "RegistrationNumber", "VoucherId", "CompId"),
        )
        candidate = person(**dict.fromkeys(texts, "x" * 500), SpecialNeeds=False, AttemptExtId="A 1", ProctorUIds=[])

        response = client.schedule(candidate, top={"Workflow": "EXTERNAL_ATTEMPTS", "Upsert": False}, **schedule)

        assert response.status_code == 200
        assert response.json()["Schedule"] == {**client.body()["Schedule"], **schedule, "ExtraTime": 0}
        assert client.state("attempts")[0]["attempt_ext_id"] == "A 1"
        assert client.state("candidates")[0]["has_password"] is True

    def test_refuses_external_attempts_without_an_attempt(self, client: Client) -> None:
        words = ["Candidates[0].AttemptExtId is required for EXTERNAL_ATTEMPTS workflow"]

        assert client.errors(top={"Workflow": "EXTERNAL_ATTEMPTS"}) == words

    def test_takes_two_attempts_of_one_candidate(self, client: Client) -> None:
        two = [person(AttemptExtId=attempt) for attempt in ("1", "2")]

        response = client.schedule(*two, top={"Workflow": "EXTERNAL_ATTEMPTS"})

        assert len({one["StartupLink"] for one in response.json()["Candidates"]}) == 2


class TestWindow:
    WORDS = (
        "The duration between scheduling startDate and endDate must be greater than duration of the assessment"
        " + any extra time"
    )

    def test_ends_an_hour_after_the_duration_when_no_end_is_given(self, client: Client) -> None:
        client.schedule()

        assert client.state("schedules")[0]["ends_at"] == "2026-03-09T10:30:00+00:00"

    @pytest.mark.parametrize(
        ("assessment", "percentage", "too_early", "enough"),
        [
            (ASSESSMENT, 0, "09:30:00", "09:30:01"),
            (ASSESSMENT, 20, "09:48:00", "09:48:01"),
            (PROCTORED, 0, "11:00:00", "11:00:01"),
            (PROCTORED, 100, "13:00:00", "13:00:01"),
        ],
    )
    def test_must_be_longer_than_duration_and_extra_time(
        self, client: Client, assessment: str, percentage: int, too_early: str, enough: str
    ) -> None:
        adjusted = person(SpecialNeeds=True, ReasonableAdjustmentPercentage=percentage)
        given: dict[str, Any] = {"AssessmentExtId": assessment}

        early = client.errors(person("zoe"), adjusted, EndDateTime=f"2026-03-09T{too_early}Z", **given)
        right = client.schedule(person("zoe"), adjusted, EndDateTime=f"2026-03-09T{enough}Z", **given)

        assert early == [self.WORDS]
        assert right.status_code == 200

    def test_that_is_not_given_may_be_too_short_for_extra_time(self, client: Client) -> None:
        doubled = person(SpecialNeeds=True, ReasonableAdjustmentPercentage=100)

        assert client.errors(doubled) == [self.WORDS]


class TestUpsert:
    def test_is_off_at_first_so_an_id_serves_once(self, client: Client) -> None:
        client.schedule()

        assert client.errors() == ["Bad request: schedule with external id sch-1 already exists"]
        assert client.errors(top={"Upsert": False}) == ["Bad request: schedule with external id sch-1 already exists"]

    def test_makes_the_schedule_where_there_is_none(self, client: Client) -> None:
        assert "created" in client.schedule(top={"Upsert": True}).json()["Result"]

    def test_updates_the_schedule_and_replaces_the_links(self, client: Client) -> None:
        first = client.schedule().json()["Candidates"][0]["LaunchUrl"]

        again = client.schedule(top={"Upsert": True}, Title="New").json()

        second = again["Candidates"][0]["LaunchUrl"]
        assert "updated" in again["Result"]
        assert [one["title"] for one in client.state("schedules")] == ["New"]
        assert [requests.get(link, timeout=5).status_code for link in (first, second)] == [403, 200]

    @pytest.mark.parametrize(("is_on", "left"), [("yes", ["zoe"]), ("no", ["amos", "zoe"])])
    def test_removes_those_left_out_unless_told_otherwise(self, client: Client, is_on: str, left: list[str]) -> None:
        client.control("set_updates_remove_candidates", is_on=is_on)
        client.schedule(person("amos"))

        client.schedule(person("zoe"), top={"Upsert": True})

        assert [one["candidate_ext_id"] for one in client.state("attempts")] == left

    def test_refuses_an_activated_schedule(self, client: Client) -> None:
        client.schedule()
        client.control("activate_schedule", schedule_ext_id="sch-1")

        assert client.errors(top={"Upsert": True}) == ["Can’t update activated schedule"]

    def test_refuses_another_workflow(self, client: Client) -> None:
        client.schedule()

        (words,) = client.errors(person(AttemptExtId="1"), top={"Upsert": True, "Workflow": "EXTERNAL_ATTEMPTS"})

        assert words.startswith("Workflow can not be changed")

    def test_is_not_needed_where_no_id_is_given(self, client: Client) -> None:
        body = client.body()
        del body["Schedule"]["ScheduleExtId"]

        made = [client.send("POST", "/schedule", json=body).json()["Schedule"]["ScheduleExtId"] for _ in range(2)]

        assert made == ["EXT_sch_1", "EXT_sch_2"]


class TestAccount:
    @pytest.mark.parametrize(
        "authorization",
        ["", "EAPI", "EAPI wrong", CirrusSimulator.DEMO_TOKEN, f"EAPI{CirrusSimulator.DEMO_TOKEN}", "Bearer x"],
    )
    def test_refuses_every_other_header(self, client: Client, authorization: str) -> None:
        client.authorization = authorization

        response = client.schedule()

        assert (response.status_code, response.json()["Errors"]) == (403, ["Not allowed to use external API"])
        assert client.state("schedules") == []

    def test_takes_the_header_without_a_space_where_told(self, client: Client) -> None:
        client.control("set_authorization", form="EAPI{token}")
        client.authorization = f"EAPI{CirrusSimulator.DEMO_TOKEN}"

        assert client.schedule().status_code == 200

    def test_refuses_an_older_token(self, client: Client) -> None:
        made = client.control("regenerate_token")

        old = client.schedule()
        client.authorization = f"EAPI {made['token']}"

        assert (old.status_code, client.schedule().status_code) == (403, 200)

    def test_may_be_forbidden_the_api(self, client: Client) -> None:
        client.control("set_api_use", is_allowed="no")
        refused = client.schedule()
        client.control("set_api_use", is_allowed="yes")

        assert (refused.status_code, client.schedule().status_code) == (403, 200)

    @pytest.mark.parametrize(
        ("control", "values", "words"),
        [
            ("set_scheduler", {"user_name": ""}, "Scheduler hasn’t been set in External API settings"),
            (
                "set_scheduler_permission",
                {"is_allowed": "no"},
                "Selected scheduler no longer has permission to create, update and delete schedules",
            ),
            ("set_owner", {}, "Owner must be set in External API settings or in Schedule.Owner"),
        ],
    )
    def test_needs_its_settings(self, client: Client, control: str, values: dict[str, str], words: str) -> None:
        client.control(control, **values)

        assert client.errors() == [words]

    def test_needs_no_owner_where_the_schedule_names_one(self, client: Client) -> None:
        client.control("set_owner")

        assert client.schedule(Owner="coordinator").status_code == 200

    @pytest.mark.parametrize("method", ["POST", "GET"])
    def test_wants_json_said_on_every_call(self, client: Client, method: str) -> None:
        path = "/schedule" if method == "POST" else f"/assessment/{ASSESSMENT}"

        response = client.send(method, path, headers={"Content-Type": "text/plain"}, data=SIMPLE_SAMPLE)

        assert response.status_code == 415

    def test_knows_one_parameter_only(self, client: Client) -> None:
        assert client.send("POST", "/schedule?type=json", json=client.body()).status_code == 200
        assert client.send("POST", "/schedule?type=xml", json=client.body()).status_code == 400

    def test_refuses_a_wrong_method(self, client: Client) -> None:
        assert client.send("PUT", "/schedule", json=client.body()).status_code == 405


class TestEnvelopes:
    def test_have_relative_links_and_a_launch_url_at_first(self, client: Client) -> None:
        one = client.schedule(person(Password="secret")).json()["Candidates"][0]

        assert re.fullmatch(r"/delivery/external-login\?session=[0-9A-F]{64}", one["StartupLink"])
        assert one == {**person(Password="secret"), "StartupLink": one["StartupLink"], "LaunchUrl": one["LaunchUrl"]}
        assert one["LaunchUrl"] == client.site + one["StartupLink"]

    def test_have_absolute_links_where_told(self, client: Client) -> None:
        client.control("set_envelope", envelope="absolute_links")

        plain = client.schedule().json()["Candidates"][0]
        proctored = client.schedule(ScheduleExtId="sch-2", AssessmentExtId=PROCTORED).json()["Candidates"][0]

        assert plain["StartupLink"].startswith(f"{client.site}/delivery/external-login?session=")
        assert plain["LaunchUrl"] is None
        assert proctored["LaunchUrl"].startswith(f"{client.site}/proctorio?")
        assert proctored["LaunchUrl"].endswith("#proctorio-24-03-1")
        assert len(proctored["LaunchUrl"]) > 900

    def test_use_proctorio_as_the_assessment_says_unless_the_schedule_does(self, client: Client) -> None:
        client.control("set_proctorio", assessment_ext_id=ASSESSMENT, is_on="yes")

        client.schedule()
        client.schedule(ScheduleExtId="sch-2", UseProctorIo=False)

        assert [one["uses_proctorio"] for one in client.state("schedules")] == [True, False]

    @pytest.mark.parametrize(
        ("refusals", "status", "body"),
        [
            ("message_400", 400, {"Message": "Bad request: schedule with external id sch-1 already exists"}),
            ("message_200", 200, {"Message": "Bad request: schedule with external id sch-1 already exists"}),
        ],
    )
    def test_refuse_with_a_message_where_told(
        self, client: Client, refusals: str, status: int, body: dict[str, Any]
    ) -> None:
        client.schedule()
        client.control("set_refusals", refusals=refusals)

        response = client.schedule()

        assert (response.status_code, response.json()) == (status, body)

    def test_refuse_with_objects_where_told(self, client: Client) -> None:
        client.control("set_refusals", refusals="error_objects")

        errors = client.schedule(person(ReasonableAdjustmentPercentage=5), Color="red").json()["Errors"]

        assert [one["Code"] for one in errors] == [None, 250]

    def test_keep_403_where_refusals_come_with_200(self, client: Client) -> None:
        client.control("set_refusals", refusals="message_200")
        client.authorization = ""

        response = client.schedule()

        assert (response.status_code, response.json()) == (403, {"Message": "Not allowed to use external API"})


class TestOtherCalls:
    def test_reads_an_assessment(self, client: Client) -> None:
        content = client.send("GET", f"/assessment/{PROCTORED}").json()["Content"]

        assert (content["MaxTimePerAttempt"], content["ExtraTime"], content["Status"]) == (120, 60, 2)

    def test_reads_activates_and_keeps_a_schedule(self, client: Client) -> None:
        client.schedule()

        activated = client.send("PUT", "/external/schedule/sch-1/activate")
        again = client.send("PUT", "/external/schedule/sch-1/activate")
        content = client.send("GET", "/external/schedule/sch-1").json()["Content"]

        assert (activated.status_code, again.status_code) == (200, 400)
        assert (content["ExternalId"], content["IsActivated"]) == ("sch-1", True)
        assert [one["ExternalId"] for one in content["Candidates"]] == ["amos"]
        assert "LaunchUrl" not in str(content)

    def test_deletes_a_schedule_nobody_has_started(self, client: Client) -> None:
        link = client.schedule().json()["Candidates"][0]["LaunchUrl"]
        client.schedule(ScheduleExtId="sch-2")
        requests.post(link, timeout=5)

        started, untouched = (client.send("DELETE", f"/external/schedule/sch-{number}") for number in (1, 2))

        assert (started.status_code, started.json()["Errors"]) == (400, ["Can't delete schedule"])
        assert untouched.json() == {"Success": True, "Errors": None}

    @pytest.mark.parametrize("method", ["GET", "DELETE"])
    def test_find_no_other_schedule(self, client: Client, method: str) -> None:
        response = client.send(method, "/external/schedule/none")

        assert response.json()["Errors"] == ["Schedule hasn't been found by external id"]

    def test_counts_what_is_read_because_polling_is_forbidden(self, client: Client) -> None:
        client.schedule()
        assert client.state("reads") == []

        for _ in range(3):
            client.send("GET", "/external/schedule/sch-1")

        assert client.state("reads") == [{"path": "/external/schedule/sch-1", "count": 3}]


class TestCandidatesPages:
    def test_start_the_exam_by_the_button_only(self, client: Client) -> None:
        link = client.schedule(person(FirstName="<b>Amos")).json()["Candidates"][0]["LaunchUrl"]

        opened = requests.get(link, timeout=5)
        before = client.state("attempts")[0]["is_started"]
        requests.post(link, timeout=5)

        assert "&lt;b&gt;Amos" in opened.text
        assert (before, client.state("attempts")[0]["is_started"]) == (False, True)
        assert client.errors(top={"Upsert": True}) == ["Can’t update activated schedule"]

    def test_ask_for_the_pin_and_the_key_code(self, client: Client) -> None:
        link = client.schedule(PIN="0042", UseKeyCode=True).json()["Candidates"][0]["LaunchUrl"]
        codes = {"pin": "0042", "key_code": client.state("attempts")[0]["key_code"]}

        page = requests.get(link, timeout=5).text
        wrong = requests.post(link, data={**codes, "pin": "1"}, timeout=5)
        right = requests.post(link, data=codes, timeout=5)

        assert "name='pin'" in page
        assert "name='key_code'" in page
        assert "0042" not in page
        assert (wrong.status_code, right.status_code) == (403, 200)

    def test_lead_through_proctorio(self, client: Client) -> None:
        one = client.schedule(AssessmentExtId=PROCTORED).json()["Candidates"][0]

        page = requests.get(one["LaunchUrl"], timeout=5).text
        found = re.search(r"href='([^']+)'", page)
        assert found
        onward = client.site + found[1].replace("&amp;", "&")
        proctored = requests.get(onward, timeout=5).text
        unproctored = requests.get(client.site + one["StartupLink"], timeout=5).text
        requests.post(onward, timeout=5)

        assert "Nobody proctors" not in proctored
        assert "Nobody proctors" in unproctored
        assert client.state("attempts")[0]["is_proctored"] is True

    def test_know_when_the_exam_was_started_around_proctorio(self, client: Client) -> None:
        one = client.schedule(AssessmentExtId=PROCTORED).json()["Candidates"][0]

        requests.post(client.site + one["StartupLink"], timeout=5)

        attempt = client.state("attempts")[0]
        assert (attempt["is_started"], attempt["is_proctored"]) == (True, False)

    @pytest.mark.parametrize("path", ["/proctorio", "/proctorio?x", "/delivery/external-login?session=x"])
    def test_refuse_unknown_links(self, client: Client, path: str) -> None:
        assert requests.get(client.site + path, timeout=5).status_code == 403


class TestControls:
    def test_add_an_assessment(self, client: Client) -> None:
        client.control("add_assessment", ext_id="NEW-1", minutes="30", uses_proctorio="yes")

        client.schedule(AssessmentExtId="NEW-1")

        (schedule,) = client.state("schedules")
        assert (schedule["ends_at"], schedule["uses_proctorio"]) == ("2026-03-09T09:30:00+00:00", True)

    def test_set_a_hierarchy(self, client: Client) -> None:
        client.control("set_hierarchy", ext_id="NORTH", name="North", is_active="yes")
        assert client.schedule(ScheduleGroupExtId="NORTH").status_code == 200

        client.control("set_hierarchy", ext_id="NORTH", name="North", is_active="no")
        assert client.errors(ScheduleExtId="sch-2", ScheduleGroupExtId="NORTH") == ["Hierarchy must be active"]

    def test_clear_brings_the_demo_back(self, client: Client) -> None:
        client.schedule()
        client.control("set_api_use", is_allowed="no")
        client.control("clear")

        assert client.state("schedules") == []
        assert client.schedule().status_code == 200


class TestDemo:
    def test_account_and_exams_are_those_of_the_simulator(self, client: Client) -> None:
        client.authorization = f"EAPI {demo.CREDENTIALS['token']}"

        replies = [client.schedule(AssessmentExtId=exam["ref"], ScheduleExtId=exam["ref"]) for exam in demo.EXAMS]

        assert [reply.status_code for reply in replies] == [200, 200]
        minutes = {one["ext_id"]: (one["title"], one["minutes"]) for one in client.state("assessments")}
        assert all(minutes[str(exam["ref"])] == (exam["title"], exam["duration_minutes"]) for exam in demo.EXAMS)


class TestRestart:
    def test_keeps_what_was_scheduled(self, tmp_path: Path) -> None:
        with Sandbox.running({"cirrus": 0}, folder=tmp_path) as sandbox:
            Client(sandbox).schedule()
            before = sandbox.state("cirrus")

        with Sandbox.running({"cirrus": 0}, folder=tmp_path) as sandbox:
            assert sandbox.state("cirrus") == before
            assert Client(sandbox).schedule().status_code == 400
