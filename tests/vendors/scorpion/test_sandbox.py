"""The simulator against the vendor's own page: its samples verbatim, and what it says is an error."""

from __future__ import annotations

import base64
import json
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import requests

from proctoring.sandbox.server import Sandbox
from proctoring.sandbox.simulator import Problem
from proctoring.vendors.scorpion.sandbox import ScorpionSimulator

EXAM = ScorpionSimulator.DEMO_EXAM
OTHER_EXAM = ScorpionSimulator.DEMO_EXAM_OTHER_FIELDS
FIRST_FORM, SECOND_FORM = ScorpionSimulator.DEMO_FORMS
DEMO_TOKEN = ScorpionSimulator.DEMO_TOKEN

SAMPLE_BODY = """{
"examinee_info": {
"First Name": "Amos",
"Last Name": "Burton",
"Email": "amos.burton@example.com"
}
}"""
SAMPLE_BODY_WITH_META = """{
"examinee_info": {
"First Name": "Amos",
"Last Name": "Burton",
"Email": "amos.burton@example.com"
},
"meta": {
"sample_meta_value_1": "Meta 1",
"sample_meta_value_2": "Meta 2"
}
}"""
SAMPLE_CURL = """curl -X POST "https://scorpion.caveon.com/api/exams/<exam_id>/deliveries" \\
-H "Content-Type: application/json" \\
-H "Authorization: Basic <your_basic_token>" \\
-d '{
"examinee_info": {
"First Name": "Amos",
"Last Name": "Burton",
"Email": "amos.burton@example.com"
}
}'"""
INFO = {"First Name": "Amos", "Last Name": "Burton", "Email": "amos.burton@example.com"}
OTHER_INFO = {"firstName": "Amos", "lastName": "Burton", "Candidate ID": "A-1"}


@pytest.fixture(scope="module")
def running() -> Iterator[Sandbox]:
    with Sandbox.running({"scorpion": 0}) as sandbox:
        yield sandbox


class Client:
    """Speaks plain HTTP to the simulator, with the demo app's token unless told otherwise."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.url = sandbox.url("scorpion")
        self.authorization = f"Basic {DEMO_TOKEN}"

    def send(self, method: str, path: str, **options: Any) -> requests.Response:
        headers = {"Authorization": self.authorization, **options.pop("headers", {})}
        return requests.request(method, self.url + path, headers=headers, timeout=5, **options)

    def create(self, exam: str = EXAM, info: Mapping[str, Any] = INFO, **fields: Any) -> requests.Response:
        return self.send("POST", f"/api/exams/{exam}/deliveries", json={"examinee_info": info, **fields})

    def get(self, path: str) -> requests.Response:
        return self.send("GET", path)

    def control(self, name: str, /, **values: str) -> dict[str, Any]:
        return self.sandbox.control("scorpion", name, **values)

    def state(self, kind: str) -> list[dict[str, Any]]:
        return self.sandbox.state("scorpion").get(kind, [])


@pytest.fixture
def client(running: Sandbox) -> Client:
    running.control("scorpion", "clear")
    return Client(running)


class TestSamples:
    @pytest.mark.parametrize("body", [SAMPLE_BODY, SAMPLE_BODY_WITH_META])
    def test_are_accepted_verbatim(self, client: Client, body: str) -> None:
        headers = {"Content-Type": "application/json"}

        response = client.send("POST", f"/api/exams/{EXAM}/deliveries", data=body, headers=headers)

        assert response.status_code == 200
        assert set(response.json()) == {"delivery_id", "examinee_id", "launch_token", "proctor_token"}
        assert client.state("deliveries")[0]["meta"] == json.loads(body).get("meta", {})

    def test_curl_command_is_accepted(self, client: Client) -> None:
        command = SAMPLE_CURL.replace("https://scorpion.caveon.com", client.url)
        command = command.replace("<exam_id>", EXAM).replace("<your_basic_token>", DEMO_TOKEN)
        _, _, method, url, *options = shlex.split(command.replace("\\\n", ""))
        pairs = list(zip(options[::2], options[1::2], strict=True))
        headers = dict(value.split(": ") for name, value in pairs if name == "-H")
        body = next(value for name, value in pairs if name == "-d").replace("\n", "")  # as curl sends it

        response = requests.request(method, url, headers=headers, data=body, timeout=5)

        assert response.json()["delivery_id"] == client.state("deliveries")[0]["id"]


class TestCreate:
    def test_answers_exactly_the_four_values(self, client: Client) -> None:
        answer = client.create().json()

        delivery = client.state("deliveries")[0]
        assert answer == {
            "delivery_id": str(UUID(delivery["id"])),
            "examinee_id": str(UUID(delivery["examinee_id"])),
            "launch_token": delivery["launch_token"],
            "proctor_token": delivery["proctor_token"],
        }

    def test_makes_another_delivery_when_repeated(self, client: Client) -> None:
        first, second = client.create().json(), client.create().json()

        assert first["delivery_id"] != second["delivery_id"]
        assert first["examinee_id"] != second["examinee_id"]

    @pytest.mark.parametrize(
        ("fields", "words"),
        [
            ({"proctored": True}, "Unknown field: proctored."),
            ({"accommodations": {"time_limit": 5400}}, "Unknown field: accommodations."),
            ({"examinee_id": "1234"}, "examinee_id is not a valid UUID."),
            ({"examinee_id": None}, "examinee_id is not a valid UUID."),
            ({"external_id": "candidate-1"}, "external_id is not a valid UUID."),
            ({"form_id": "A"}, "form_id is not a valid UUID."),
            ({"examinee_id": str(uuid4())}, "examinee_id is not an examinee of this organization."),
            ({"form_id": str(uuid4())}, "form_id is not a form of this exam."),
            ({"form_id": ScorpionSimulator.DEMO_FORMS_OTHER_FIELDS[0]}, "form_id is not a form of this exam."),
            ({"meta": ["a"]}, "meta must be an object."),
            ({"examinee_info": None}, "examinee_info is required and must be an object."),
            ({"examinee_info": {**INFO, "email": "a@example.com"}}, "Unknown examinee_info field: email."),
            ({"examinee_info": {**INFO, "Email": ""}}, "examinee_info.Email is required."),
            ({"examinee_info": {**INFO, "Email": 3}}, "examinee_info.Email must be text."),
        ],
    )
    def test_refuses_with_a_message_and_makes_nothing(self, client: Client, fields: dict[str, Any], words: str) -> None:
        response = client.send("POST", f"/api/exams/{EXAM}/deliveries", json={"examinee_info": INFO, **fields})

        assert (response.status_code, response.json()) == (400, {"messages": [words]})
        assert client.state("deliveries") == client.state("examinees") == []

    def test_names_every_required_field_that_is_missing(self, client: Client) -> None:
        response = client.create(info={"First Name": "Amos"})

        assert response.json() == {
            "messages": ["examinee_info.Last Name is required.", "examinee_info.Email is required."]
        }

    def test_asks_each_exam_s_own_fields(self, client: Client) -> None:
        assert client.create(OTHER_EXAM, OTHER_INFO).status_code == 200
        assert client.create(OTHER_EXAM, {**OTHER_INFO, "email": "amos@example.com"}).status_code == 200
        assert client.create(OTHER_EXAM, INFO).status_code == 400

    @pytest.mark.parametrize(("exam", "status"), [("not-a-uuid", 400), ("00000000-0000-4000-8000-000000000404", 404)])
    def test_refuses_an_exam_it_does_not_have(self, client: Client, exam: str, status: int) -> None:
        assert client.create(exam).status_code == status

    @pytest.mark.parametrize("body", ["", "[]", "{", '{"examinee_info": {}, "examinee_info": {}}'])
    def test_refuses_a_body_that_is_no_json_object(self, client: Client, body: str) -> None:
        headers = {"Content-Type": "application/json"}

        response = client.send("POST", f"/api/exams/{EXAM}/deliveries", data=body, headers=headers)

        assert response.status_code == 400
        assert isinstance(response.json()["messages"], list)

    def test_refuses_a_body_that_does_not_say_that_it_is_json(self, client: Client) -> None:
        assert client.send("POST", f"/api/exams/{EXAM}/deliveries", data=SAMPLE_BODY).status_code == 415

    def test_refuses_a_wrong_method(self, client: Client) -> None:
        assert client.send("PUT", f"/api/exams/{EXAM}/deliveries").status_code == 405


class TestExaminees:
    def test_gets_an_alternate_form_on_a_retake(self, client: Client) -> None:
        examinee = client.create().json()["examinee_id"]

        again = client.create(examinee_id=examinee.upper()).json()
        client.create(examinee_id=examinee)

        assert again["examinee_id"] == examinee
        assert [one["form_id"] for one in client.state("deliveries")] == [FIRST_FORM, SECOND_FORM, FIRST_FORM]

    def test_gets_the_form_that_is_forced(self, client: Client) -> None:
        client.create(form_id=SECOND_FORM)

        assert client.state("deliveries")[0]["form_id"] == SECOND_FORM

    def test_is_the_same_across_exams_by_external_id(self, client: Client) -> None:
        external_id = str(uuid4())

        first = client.create(external_id=external_id).json()
        second = client.create(OTHER_EXAM, OTHER_INFO, external_id=external_id).json()

        assert first["examinee_id"] == second["examinee_id"]
        assert len(client.state("examinees")) == 1

    def test_may_be_given_an_external_id_later_but_not_another_one(self, client: Client) -> None:
        examinee, external_id = client.create().json()["examinee_id"], str(uuid4())

        later = client.create(examinee_id=examinee, external_id=external_id)
        other = client.create(examinee_id=examinee, external_id=str(uuid4()))

        assert (later.status_code, other.status_code) == (200, 400)
        assert client.state("examinees")[0]["external_id"] == external_id

    def test_must_belong_to_the_same_organization(self, client: Client) -> None:
        stranger = str(uuid4())
        document: dict[str, Any] = {"id": stranger, "sponsor_id": str(uuid4()), "external_id": None, "info": {}}
        client.sandbox.simulator("scorpion").store.put("examinees", stranger, document)

        assert client.create(examinee_id=stranger).status_code == 400

    def test_takes_free_external_ids_only_where_switched_on(self, client: Client) -> None:
        client.control("set_free_external_ids", is_on="yes")

        assert client.create(external_id="Candidate-1").status_code == 200
        assert client.create(external_id="").status_code == 400
        assert client.state("examinees")[0]["external_id"] == "Candidate-1"


class TestAccommodations:
    @pytest.mark.parametrize(
        "wrong", ["x", {"time_limit": "5400"}, {"time_limit": 0}, {"time_limit": True}, {"breaks": 1}]
    )
    def test_are_taken_only_where_switched_on_and_right(self, client: Client, wrong: Any) -> None:
        client.control("set_accommodations", is_on="yes")

        assert client.create(accommodations={"time_limit": 5400}).status_code == 200
        assert client.create(accommodations=wrong).status_code == 400
        assert [one["accommodations"] for one in client.state("deliveries")] == [{"time_limit": 5400}]


class TestAuthentication:
    def test_token_is_the_id_and_the_secret(self) -> None:
        id, _, secret = base64.b64decode(DEMO_TOKEN).decode().partition(":")

        assert (id, secret) == (ScorpionSimulator.DEMO_ID, ScorpionSimulator.DEMO_SECRET)

    @pytest.mark.parametrize(
        "authorization",
        [
            "",
            DEMO_TOKEN,
            "Basic",
            "Basic bm9ib2R5Om5vdGhpbmc=",
            f"Basic Basic {DEMO_TOKEN}",
            f"basic {DEMO_TOKEN}",
            f"Basic  {DEMO_TOKEN}",
            f"Bearer {DEMO_TOKEN}",
        ],
    )
    def test_refuses_every_other_header(self, client: Client, authorization: str) -> None:
        client.authorization = authorization

        response = client.create()

        assert response.status_code == 401
        assert client.state("deliveries") == []

    def test_refuses_an_older_token_as_expired(self, client: Client) -> None:
        made = client.control("regenerate_credentials")

        old = client.create()
        client.authorization = made["authorization"]
        new = client.create()

        assert (old.status_code, old.json()) == (401, {"messages": ["Expired token."]})
        assert new.status_code == 200
        assert base64.b64decode(made["token"]).decode() == f"{made['id']}:{made['secret']}"

    def test_comes_before_permission_and_input(self, client: Client) -> None:
        client.authorization = "Basic wrong"

        assert client.get("/api/exams/not-a-uuid").status_code == 401


class TestPermissions:
    @pytest.mark.parametrize(
        ("permission", "method", "path"),
        [
            ("create", "POST", ""),
            ("view", "GET", ""),
            ("view", "GET", "/{delivery}"),
            ("view", "GET", "/{delivery}/get_launch_token"),
            ("proctor", "GET", "/{delivery}/get_proctor_token"),
            ("delete", "DELETE", "/{delivery}"),
        ],
    )
    def test_are_each_needed_for_their_calls(self, client: Client, permission: str, method: str, path: str) -> None:
        delivery = client.create().json()["delivery_id"]
        address = f"/api/exams/{EXAM}/deliveries" + path.format(delivery=delivery)

        client.control("set_permission", permission=permission, is_granted="no")
        refused = client.send(method, address, json={"examinee_info": INFO} if method == "POST" else None)
        client.control("set_permission", permission=permission, is_granted="yes")
        allowed = client.send(method, address, json={"examinee_info": INFO} if method == "POST" else None)

        assert refused.status_code == 403
        assert refused.json() == {"messages": [f"This app does not have the {permission} permission."]}
        assert allowed.status_code in (200, 204)

    def test_are_create_and_view_at_first(self, client: Client) -> None:
        assert client.state("apps")[0]["permissions"] == ["create", "view"]

    def test_say_nothing_about_exams_the_app_is_not_integrated_into(self, client: Client) -> None:
        store = client.sandbox.simulator("scorpion").store
        exam = store.get("exams", EXAM)
        assert exam is not None
        store.put("exams", EXAM, {**exam, "app_ids": []})

        assert client.create().status_code == 403


class TestReading:
    def test_shows_an_exam_s_fields(self, client: Client) -> None:
        keys = [{"key": key, "required": True} for key in INFO]

        assert client.get(f"/api/exams/{EXAM}?only=examinee_schema").json() == {"examinee_schema": keys}
        settings = client.get(f"/api/exams/{EXAM}?include=settings").json()["settings"]
        assert settings == {"examinee_schema": keys}

    def test_shows_a_delivery_without_its_tokens(self, client: Client) -> None:
        made = client.create(meta={"reference": "r"}).json()

        shown = client.get(f"/api/exams/{EXAM}/deliveries/{made['delivery_id']}?include=examinee,form").json()

        assert (shown["id"], shown["meta"], shown["status"]) == (made["delivery_id"], {"reference": "r"}, "created")
        assert shown["examinee"]["info"] == INFO
        assert shown["form"]["id"] == FIRST_FORM
        assert made["launch_token"] not in json.dumps(shown)
        assert made["proctor_token"] not in json.dumps(shown)

    def test_finds_a_delivery_only_below_its_own_exam(self, client: Client) -> None:
        delivery = client.create().json()["delivery_id"]

        assert client.get(f"/api/exams/{OTHER_EXAM}/deliveries/{delivery}").status_code == 404

    def test_lists_in_pages(self, client: Client) -> None:
        made = [client.create().json()["delivery_id"] for _ in range(5)]
        client.create(OTHER_EXAM, OTHER_INFO)

        pages = [client.get(f"/api/exams/{EXAM}/deliveries?per_page=2&page={page}").json() for page in (1, 2, 3)]

        assert [one["id"] for page in pages for one in page["results"]] == made
        assert [(page["total"], page["has_next"]) for page in pages] == [(5, True), (5, True), (5, False)]

    def test_filters_and_sorts(self, client: Client) -> None:
        made = [client.create().json()["delivery_id"] for _ in range(3)]
        client.control("set_delivery", delivery_id=made[0], status="complete", score="71.5")
        base = f"/api/exams/{EXAM}/deliveries"

        complete = client.get(f"{base}?status=complete").json()["results"]
        latest = client.get(f"{base}?sort=-modified_at&per_page=1").json()["results"]
        none = client.get(f"{base}?modified_before=2001-01-01T00:00:00Z").json()["results"]

        assert [(one["id"], one["score"]) for one in complete] == [(made[0], 71.5)]
        assert latest[0]["id"] == made[0]
        assert none == []

    @pytest.mark.parametrize(
        "query", ["page=0", "per_page=x", "sort=name", "modified_after=noon", "color=red", "include=soul"]
    )
    def test_refuses_parameters_it_does_not_have(self, client: Client, query: str) -> None:
        client.create()

        assert client.get(f"/api/exams/{EXAM}/deliveries?{query}").status_code == 400

    def test_deletes_a_delivery(self, client: Client) -> None:
        client.control("set_permission", permission="delete")
        delivery = client.create().json()["delivery_id"]

        response = client.send("DELETE", f"/api/exams/{EXAM}/deliveries/{delivery}")

        assert (response.status_code, response.content) == (204, b"")
        assert client.state("deliveries") == []


class TestTokens:
    def test_launch_token_works_once_for_whoever_comes_first(self, client: Client) -> None:
        take = f"{client.url}/take?launch_token={client.create().json()['launch_token']}"

        first, second = requests.get(take, timeout=5), requests.get(take, timeout=5)

        assert (first.status_code, second.status_code) == (200, 403)
        assert "Certified Widget Inspector" in first.text
        assert "Invalid token" in second.text
        assert client.state("deliveries")[0]["is_launch_token_used"] is True

    def test_new_launch_token_replaces_the_old(self, client: Client) -> None:
        made = client.create().json()

        path = f"/api/exams/{EXAM}/deliveries/{made['delivery_id']}/get_launch_token"
        token = client.get(path).json()["launch_token"]

        old = requests.get(f"{client.url}/take?launch_token={made['launch_token']}", timeout=5)
        new = requests.get(f"{client.url}/take?launch_token={token}", timeout=5)
        assert (old.status_code, new.status_code) == (403, 200)

    def test_proctor_token_works_as_long_as_the_delivery_lasts(self, client: Client) -> None:
        client.control("set_permission", permission="proctor")
        made = client.create(info={**INFO, "First Name": "<b>Amos</b>"}).json()

        again = client.get(f"/api/exams/{EXAM}/deliveries/{made['delivery_id']}/get_proctor_token").json()
        pages = [requests.get(f"{client.url}/proctor/{made['proctor_token']}", timeout=5) for _ in range(2)]

        assert again == {"proctor_token": made["proctor_token"]}
        assert [page.status_code for page in pages] == [200, 200]
        assert "&lt;b&gt;Amos" in pages[0].text
        assert requests.get(f"{client.url}/proctor/wrong", timeout=5).status_code == 404

    def test_pages_take_only_get(self, client: Client) -> None:
        made = client.create().json()

        assert requests.post(f"{client.url}/take?launch_token={made['launch_token']}", timeout=5).status_code == 405
        assert client.state("deliveries")[0]["is_launch_token_used"] is False


class TestControls:
    def test_add_an_exam_with_fields_of_its_own(self, client: Client) -> None:
        made = client.control("add_exam", name="Gizmo", fields="Given*, Family", forms="1")

        refused, taken = client.create(made["exam_id"], {"Family": "B"}), client.create(made["exam_id"], {"Given": "A"})

        assert (refused.status_code, taken.status_code) == (400, 200)
        assert client.state("deliveries")[0]["form_id"] == made["form_ids"]

    def test_interrupt_only_an_exam_under_way(self, client: Client) -> None:
        delivery = client.create().json()["delivery_id"]

        with pytest.raises(Problem):
            client.control("interrupt_exam", delivery_id=delivery)

        assert client.state("deliveries")[0]["status"] == "created"

    def test_clear_brings_the_demo_back(self, client: Client) -> None:
        client.control("regenerate_credentials")
        client.control("clear")

        assert client.create().status_code == 200
        assert [exam["id"] for exam in client.state("exams")] == [EXAM, OTHER_EXAM]

    def test_refusals_by_faults_speak_as_the_vendor_does(self, client: Client) -> None:
        client.sandbox.fault("scorpion", "429", calls=1)

        assert client.create().json() == {"messages": ["Too many requests."]}


class TestRestart:
    def test_keeps_credentials_and_deliveries(self, tmp_path: Path) -> None:
        with Sandbox.running({"scorpion": 0}, folder=tmp_path) as sandbox:
            made = sandbox.control("scorpion", "regenerate_credentials")
            client = Client(sandbox)
            client.authorization = made["authorization"]
            client.create()
            before = sandbox.state("scorpion")

        with Sandbox.running({"scorpion": 0}, folder=tmp_path) as sandbox:
            assert sandbox.state("scorpion") == before
            assert Client(sandbox).create().status_code == 401
