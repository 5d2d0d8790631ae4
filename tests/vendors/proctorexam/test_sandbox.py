"""The simulator against the vendor's own page: its sample, its validations, and the signature worked out by hand."""

from __future__ import annotations

import ast
import hmac
import itertools
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import requests

from proctoring.sandbox.server import Sandbox
from proctoring.vendors.proctorexam import demo
from proctoring.vendors.proctorexam.sandbox import ProctorExamSimulator, signature

EXAM = ProctorExamSimulator.DEMO_EXAM
FOREIGN_EXAM = ProctorExamSimulator.FOREIGN_EXAM
TOKEN, SECRET = ProctorExamSimulator.DEMO_TOKEN, ProctorExamSimulator.DEMO_SECRET
SAMPLE_MOMENT = datetime.fromtimestamp(1527500365.052, UTC)

# As the page prints it. Mended by the tests: written as JSON, and with a signature instead of the page's placeholder.
SAMPLE_REQUEST = """{
    'id': 1,
    'name':'Psychostasia',
    'type': 'record_review',
    'institute_id': 1,
    'use_duration': true,
    'duration_minutes': 90,
    'global_proctoring': true,
    'global_reviewing': true,
    'start_time': '2018-11-21T00:54:00.000+01:00',
    'for_reviewing': true,
    'upload_answers': false,
    'mobile_cam': true,
    'restrictions': 'Example of restrictions to be added.',
    'allow_websites': true,
    'allow_external_applications': true,
    'allow_textbooks': true,
    'allow_calculator': true,
    'allow_pen_paper': true,
    'allow_additional': true,
    'allowed_websites': 'www.proctorexam.com, docs.proctorexam.com',
    'allowed_external_applications': 'External application',
    'allowed_textbooks': 'Reference book',
    'allowed_calculator_type': 'Basic',
    'allowed_additional': 'Headphones',
    'student_experience': true,
    'nonce': '1527500365',
    'timestamp': 1527500365052,
    'signature': '8aac70c9906ad0812f4fbc34617322f985b4ac978cec861724f142cb572b88ff'
  }"""
SAMPLE_EXAM = {
    "id": 1,
    "institute_id": 1,
    "name": "Psychostasia",
    "terms": None,
    "created_at": "2018-11-21T00:54:59.934+01:00",
    "updated_at": "2018-11-25T21:26:08.664+01:00",
    "duration_minutes": 90,
    "clipboard": None,
    "start_time": "2018-11-21T00:54:00.000+01:00",
    "mode": "01110000",
    "upload_answers": False,
    "token": "b1342678e28f2b895ff6834408a33bd7",
    "user_id": 5,
    "end_time": None,
    "restrictions": "[[false,['']],[false,['']],[false,['']],[false,['']],[false,['']],[false,['']],[true,['']]]",
    "published": False,
    "status": "open",
    "for_reviewing": True,
    "uploaded_exam_documents_file_name": None,
    "uploaded_exam_documents_content_type": None,
    "uploaded_exam_documents_file_size": None,
    "uploaded_exam_documents_updated_at": None,
    "timezone": 0,
    "use_duration": True,
    "global_proctoring": True,
    "global_reviewing": True,
    "exam_language": "fr,nl,es,ar,no",
    "web_cam": True,
    "mobile_cam": True,
    "screen_share": True,
    "live_proctoring": False,
    "student_experience": False,
}
FORBIDDEN = (403, {"error": "You are not authorized to access this page."})
NUMBER, BOOLEAN, TEXT = "Must be a number.", "Must be one of: true, false, 1, 0.", "Must be a String"


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.at = SAMPLE_MOMENT

    def __call__(self) -> datetime:
        return self.at


CLOCK = Clock()


@pytest.fixture(scope="module")
def running() -> Iterator[Sandbox]:
    with Sandbox.running({"proctorexam": 0}, clock=CLOCK) as sandbox:
        yield sandbox


class Client:
    """Speaks plain HTTP to the simulator and signs as the demo user unless told otherwise."""

    nonces = itertools.count(1)

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.url = sandbox.url("proctorexam")
        self.token, self.secret = TOKEN, SECRET
        self.headers = {"Accept": "application/vnd.procwise.v3", "Content-Type": "application/json"}

    def signed(self, exam: int = EXAM, **fields: Any) -> dict[str, Any]:
        """`fields` with a fresh proof; a field that is None is left out."""
        milliseconds = int(CLOCK.at.timestamp() * 1000)
        given = {"id": exam, "nonce": next(self.nonces), "timestamp": milliseconds, **fields}
        given = {name: value for name, value in given.items() if value is not None}
        return {"signature": signature(self.secret, {**given, "id": exam}), **given}

    def send(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, **options: Any
    ) -> requests.Response:
        sent = {"Authorization": f"Token token={self.token}", **self.headers, **(headers or {})}
        return requests.request(method, self.url + path, headers=sent, timeout=5, **options)

    def update(self, exam: int = EXAM, method: str = "PATCH", **fields: Any) -> requests.Response:
        return self.send(method, f"/api/v3/exams/{exam}", json=self.signed(exam, **fields))

    def read(self, exam: int = EXAM, **fields: Any) -> requests.Response:
        return self.send("GET", f"/api/v3/exams/{exam}?{urlencode(self.signed(exam, **fields))}")

    def control(self, name: str, /, **values: str) -> dict[str, Any]:
        return self.sandbox.control("proctorexam", name, **values)

    def exam(self, id: int = EXAM) -> dict[str, Any]:
        return next(exam for exam in self.sandbox.state("proctorexam")["exams"] if exam["id"] == id)

    def nonce_count(self) -> int:
        return len(self.sandbox.state("proctorexam").get("nonces", []))


@pytest.fixture
def client(running: Sandbox) -> Client:
    CLOCK.at = SAMPLE_MOMENT
    running.control("proctorexam", "clear")
    return Client(running)


def outcome(response: requests.Response) -> tuple[int, Any]:
    return response.status_code, response.json()


class TestSample:
    @pytest.mark.parametrize("method", ["PATCH", "PUT"])
    def test_is_accepted_and_answered_as_the_page_shows(self, client: Client, method: str) -> None:
        sample = ast.literal_eval(SAMPLE_REQUEST.replace("true", "True").replace("false", "False"))
        sample["signature"] = signature(SECRET, sample)

        response = client.send(method, "/api/v3/exams/1", json=sample)

        changed = {"updated_at": "2018-05-28T10:39:25.052+01:00"}  # the sample's own is later than its timestamp
        assert outcome(response) == (200, {"exam": {**SAMPLE_EXAM, **changed}})
        assert client.exam(1)["type"] == "record_review"
        assert client.exam(1)["allowed_additional"] == "Headphones"

    def test_s_placeholder_signature_is_refused(self, client: Client) -> None:
        sample = ast.literal_eval(SAMPLE_REQUEST.replace("true", "True").replace("false", "False"))

        assert outcome(client.send("PATCH", "/api/v3/exams/1", json=sample)) == FORBIDDEN


class TestSignature:
    def test_is_the_hmac_of_sorted_pairs_joined_by_question_marks(self) -> None:
        given = {"timestamp": 1527500365052, "nonce": "7", "id": 1, "use_duration": True, "name": "A & B?=ü"}

        made = signature("key", {**given, "signature": "ignored"})

        text = "id=1?name=A & B?=ü?nonce=7?timestamp=1527500365052?use_duration=true"
        assert made == hmac.new(b"key", text.encode("utf-8"), sha256).hexdigest()

    @pytest.mark.parametrize("name", ["nonce", "timestamp", "name", "allow_textbooks"])
    def test_covers_every_parameter(self, client: Client, name: str) -> None:
        signed = client.signed(name="Psychostasia", allow_textbooks=False)
        other: dict[str, Any] = {"name": "Other", "allow_textbooks": True}

        forged = {**signed, name: other.get(name, int(signed[name]) + 1 if name not in other else None)}

        assert outcome(client.send("PATCH", f"/api/v3/exams/{EXAM}", json=forged)) == FORBIDDEN
        assert client.exam()["name"] == "Remote Bookkeeping Certificate"

    @pytest.mark.parametrize("value", ["true", 1, "1", True])
    def test_is_over_the_value_as_it_was_sent(self, client: Client, value: Any) -> None:
        assert client.update(mobile_cam=value).status_code == 200
        assert client.exam()["mobile_cam"] is True

    def test_is_not_over_python_s_way_of_writing_booleans(self, client: Client) -> None:
        signed = client.signed(mobile_cam="True")

        assert outcome(client.send("PATCH", f"/api/v3/exams/{EXAM}", json={**signed, "mobile_cam": True})) == FORBIDDEN

    def test_must_be_lower_case(self, client: Client) -> None:
        signed = client.signed()
        shouted = {**signed, "signature": signed["signature"].upper()}

        assert outcome(client.send("PATCH", f"/api/v3/exams/{EXAM}", json=shouted)) == FORBIDDEN

    def test_is_taken_from_the_bytes_received_whatever_their_spacing(self, client: Client) -> None:
        body = json.dumps(client.signed(name="Zoë’s exam"), indent=3, ensure_ascii=True).encode()

        response = client.send("PATCH", f"/api/v3/exams/{EXAM}", data=body)

        assert response.json()["exam"]["name"] == "Zoë’s exam"

    def test_of_another_key_is_refused(self, client: Client) -> None:
        client.secret = "another"

        assert outcome(client.update(name="X")) == FORBIDDEN


class TestNonce:
    @pytest.mark.parametrize("again", [7, "7"])
    def test_works_once_in_a_day(self, client: Client, again: Any) -> None:
        first = client.update(nonce=7)
        CLOCK.at += timedelta(hours=23, minutes=59)
        second = client.update(nonce=again)
        CLOCK.at += timedelta(minutes=1)
        third = client.update(nonce=again)

        assert [first.status_code, second.status_code, third.status_code] == [200, 403, 200]

    def test_is_shared_by_reading_and_updating(self, client: Client) -> None:
        client.read(nonce=8)

        assert outcome(client.update(nonce=8)) == FORBIDDEN

    def test_is_each_token_s_own(self, client: Client) -> None:
        client.update(nonce=9)
        made = client.control("regenerate_credentials")
        client.token, client.secret = made["token"], made["secret_key"]

        assert client.update(nonce=9).status_code == 200

    def test_is_not_spent_by_a_request_that_is_refused_before(self, client: Client) -> None:
        client.update(nonce=10, name=3)
        client.update(nonce=10, timestamp=1)

        assert client.nonce_count() == 0
        assert client.update(nonce=10).status_code == 200


class TestTimestamp:
    @pytest.mark.parametrize(("seconds", "status"), [(-299, 200), (-301, 403), (299, 200), (301, 403)])
    def test_may_be_five_minutes_off(self, client: Client, seconds: int, status: int) -> None:
        milliseconds = int((SAMPLE_MOMENT + timedelta(seconds=seconds)).timestamp() * 1000)

        assert client.update(timestamp=milliseconds).status_code == status

    @pytest.mark.parametrize("wrong", [1527500365, 10**18])
    def test_is_in_milliseconds(self, client: Client, wrong: int) -> None:
        assert outcome(client.update(timestamp=wrong)) == FORBIDDEN

    @pytest.mark.parametrize("seconds", ["600", "-600"])
    def test_is_held_against_the_vendor_s_clock(self, client: Client, seconds: str) -> None:
        client.control("set_clock", seconds=seconds)
        refused = client.update()
        client.control("set_clock", seconds="0")

        assert outcome(refused) == FORBIDDEN
        assert client.update().status_code == 200


class TestHeaders:
    @pytest.mark.parametrize(
        "wrong", ["", TOKEN, f"Token {TOKEN}", f"Token token={TOKEN}x", f"Bearer {TOKEN}", f'Token token="{TOKEN}"']
    )
    def test_authorization_is_the_user_s_token(self, client: Client, wrong: str) -> None:
        response = client.send(
            "PATCH", f"/api/v3/exams/{EXAM}", headers={"Authorization": wrong}, json=client.signed(name="X")
        )

        assert response.status_code == 401
        assert (client.exam()["name"], client.nonce_count()) == ("Remote Bookkeeping Certificate", 0)

    @pytest.mark.parametrize("wrong", ["*/*", "application/json", "application/vnd.procwise.v2"])
    def test_accept_is_obligatory(self, client: Client, wrong: str) -> None:
        client.headers["Accept"] = wrong

        assert (client.update().status_code, client.read().status_code) == (406, 406)

    def test_content_type_is_json(self, client: Client) -> None:
        client.headers["Content-Type"] = "application/x-www-form-urlencoded"

        assert client.update().status_code == 415

    def test_date_is_sent_even_with_a_refusal(self, client: Client) -> None:
        response = client.update(timestamp=1)

        assert parsedate_to_datetime(response.headers["Date"]).tzinfo is not None

    def test_date_is_that_of_the_vendor_s_clock_and_comes_once(self, client: Client) -> None:
        right = client.read()
        client.control("set_clock", seconds="600")
        wrong = client.read()

        dates = [parsedate_to_datetime(response.headers["Date"]) for response in (right, wrong)]

        assert right.headers["Date"].count("GMT") == 1
        assert dates == [SAMPLE_MOMENT.replace(microsecond=0) + timedelta(seconds=seconds) for seconds in (0, 600)]

    def test_old_token_stops_working(self, client: Client) -> None:
        made = client.control("regenerate_credentials")

        old = client.update()
        client.token, client.secret = made["token"], made["secret_key"]

        assert (old.status_code, client.update().status_code) == (401, 200)


class TestRoutes:
    @pytest.mark.parametrize(
        ("method", "path", "status"),
        [
            ("POST", f"/api/v3/exams/{EXAM}", 405),
            ("DELETE", f"/api/v3/exams/{EXAM}", 405),
            ("PATCH", "/api/v3/exams", 404),
            ("PATCH", f"/api/exams/{EXAM}", 404),
        ],
    )
    def test_are_only_those_of_the_page(self, client: Client, method: str, path: str, status: int) -> None:
        assert client.send(method, path, json=client.signed()).status_code == status

    def test_say_which_exam_is_missing(self, client: Client) -> None:
        missing = (404, {"error": "Couldn't find Exam with 'id'=99"})

        assert (outcome(client.update(99)), outcome(client.read(99))) == (missing, missing)

    def test_forbid_another_institute_s_exam(self, client: Client) -> None:
        assert (outcome(client.update(FOREIGN_EXAM)), outcome(client.read(FOREIGN_EXAM))) == (FORBIDDEN, FORBIDDEN)
        assert outcome(client.update(institute_id=2)) == FORBIDDEN


class TestParameters:
    @pytest.mark.parametrize("name", ["id", "nonce", "timestamp", "signature"])
    @pytest.mark.parametrize("empty", [None, "", "absent"])
    def test_are_named_when_they_are_missing(self, client: Client, name: str, empty: Any) -> None:
        given = {**client.signed(), name: empty}
        if empty == "absent":
            del given[name]

        response = client.send("PATCH", f"/api/v3/exams/{EXAM}", json=given)

        assert outcome(response) == (422, {"error": f"Param is missing or the value is empty: '{name}'"})

    @pytest.mark.parametrize(
        ("name", "value", "words"),
        [
            ("id", "two", NUMBER),
            ("id", 1, "is not the id in the path"),
            ("nonce", "12a", NUMBER),
            ("nonce", 1.5, NUMBER),
            ("nonce", -1, NUMBER),
            ("nonce", True, NUMBER),
            ("timestamp", "now", NUMBER),
            ("signature", 12, TEXT),
            ("duration_minutes", "90 minutes", NUMBER),
            ("duration_minutes", 90.5, NUMBER),
            ("institute_id", "mine", NUMBER),
            ("start_time", "2018-11-21", NUMBER),
            ("start_time", "2018-11-21T00:54:00", NUMBER),
            ("start_time", 1527500365052, NUMBER),
            ("end_time", True, NUMBER),
            ("end_time", "tomorrow", NUMBER),
            ("use_duration", "yes", BOOLEAN),
            ("mobile_cam", 2, BOOLEAN),
            ("mobile_cam", "True", BOOLEAN),
            ("allow_textbooks", [True], BOOLEAN),
            ("student_experience", {}, BOOLEAN),
            ("name", 3, TEXT),
            ("name", "\ud800", TEXT),
            ("allowed_websites", ["a.example"], TEXT),
            ("exam_language", {"en": True}, TEXT),
            ("restrictions", False, TEXT),
            ("type", "exam", "Must be one of: demo, classroom, record_review, live_proctoring."),
            ("status", "closed", "is not a parameter of this call"),
            ("web_cam", True, "is not a parameter of this call"),
            ("exam", {"name": "X"}, "is not a parameter of this call"),
        ],
    )
    def test_are_refused_by_name_and_change_nothing(self, client: Client, name: str, value: Any, words: str) -> None:
        before = client.sandbox.state("proctorexam")

        response = client.send("PATCH", f"/api/v3/exams/{EXAM}", json={**client.signed(), name: value})

        assert outcome(response) == (422, {"errors": {name: [words]}})
        assert client.sandbox.state("proctorexam") == before

    @pytest.mark.parametrize("name", ["name", "end_time", "duration_minutes", "mobile_cam"])
    def test_are_not_null(self, client: Client, name: str) -> None:
        response = client.send("PATCH", f"/api/v3/exams/{EXAM}", json={**client.signed(), name: None})

        assert response.status_code == 422

    def test_stand_in_the_body_only(self, client: Client) -> None:
        response = client.send("PATCH", f"/api/v3/exams/{EXAM}?name=X", json=client.signed())

        assert outcome(response) == (422, {"errors": {"name": ["does not belong in the query"]}})

    @pytest.mark.parametrize("body", ["", "[]", "{", '{"id": 2, "id": 2}'])
    def test_are_one_json_object(self, client: Client, body: str) -> None:
        assert client.send("PATCH", f"/api/v3/exams/{EXAM}", data=body).status_code == 400


class TestUpdate:
    @pytest.mark.parametrize(
        "start", [1542758040, "1542758040", "2018-11-21T00:54:00.000+01:00", "2018-11-20T23:54:00Z"]
    )
    def test_takes_times_as_epoch_seconds_or_as_the_sample_has_them(self, client: Client, start: Any) -> None:
        shown = client.update(start_time=start, end_time=start).json()["exam"]

        assert (shown["start_time"], shown["end_time"]) == ("2018-11-21T00:54:00.000+01:00",) * 2

    def test_answers_neither_the_type_nor_what_is_allowed(self, client: Client) -> None:
        shown = client.update(type="live_proctoring", allow_textbooks=True, allowed_textbooks="Atlas").json()["exam"]

        assert set(shown) == set(SAMPLE_EXAM)
        assert (shown["live_proctoring"], shown["restrictions"]) == (True, SAMPLE_EXAM["restrictions"])
        assert (client.exam()["type"], client.exam()["allowed_textbooks"]) == ("live_proctoring", "Atlas")

    def test_keeps_what_is_not_sent(self, client: Client) -> None:
        client.update(duration_minutes=45, end_time=1542758040)
        before = client.exam()

        client.update(name="Renamed")

        after = client.exam()
        assert {key for key in after if after[key] != before[key]} == {"name"}

    def test_can_be_told_to_restore_defaults_on_omission(self, client: Client) -> None:
        client.update(start_time=1542758040, end_time=1542758040)
        client.control("set_omissions")

        shown = client.update(name="Renamed").json()["exam"]

        assert (shown["start_time"], shown["end_time"]) == (shown["created_at"], None)

    def test_can_be_told_that_the_new_experience_is_available(self, client: Client) -> None:
        before = client.update(student_experience=True).json()["exam"]["student_experience"]
        client.control("set_student_experience")
        after = client.update(student_experience=True).json()["exam"]["student_experience"]

        assert (before, after) == (False, True)

    def test_needs_the_right(self, client: Client) -> None:
        client.control("set_right_to_update")

        assert outcome(client.update(name="X")) == FORBIDDEN
        assert client.read().status_code == 200


class TestRead:
    def test_answers_the_fields_of_an_update(self, client: Client) -> None:
        updated = client.update(name="Psychostasia").json()

        assert client.read().json() == updated

    def test_may_leave_the_id_to_the_path(self, client: Client) -> None:
        signed = client.signed()
        del signed["id"]

        assert client.send("GET", f"/api/v3/exams/{EXAM}?{urlencode(signed)}").status_code == 200

    @pytest.mark.parametrize("extra", ["name=X", "nonce=1", "id=1"])
    def test_takes_nothing_but_the_proof(self, client: Client, extra: str) -> None:
        response = client.send("GET", f"/api/v3/exams/{EXAM}?{urlencode(client.signed())}&{extra}")

        assert response.status_code == 422

    def test_has_no_body(self, client: Client) -> None:
        response = client.send("GET", f"/api/v3/exams/{EXAM}", json=client.signed())

        assert response.status_code == 400

    def test_needs_the_right(self, client: Client) -> None:
        client.control("set_right_to_read")

        assert outcome(client.read()) == FORBIDDEN


class TestControls:
    def test_add_change_and_remove_an_exam(self, client: Client) -> None:
        made = client.control("add_exam", name="Practice", type="live_proctoring")["exam_id"]
        client.control("set_exam", exam_id=str(made), name="Practised", status="closed")
        shown = client.read(made).json()["exam"]
        client.control("remove_exam", exam_id=str(made))

        assert (shown["name"], shown["status"], shown["live_proctoring"]) == ("Practised", "closed", True)
        assert client.read(made).status_code == 404

    def test_clear_brings_the_demo_back(self, client: Client) -> None:
        client.control("regenerate_credentials")
        client.update(name="X")
        client.control("clear")

        assert client.read().json()["exam"]["name"] == "Remote Bookkeeping Certificate"


class TestDemo:
    def test_speaks_to_the_simulator_s_account_and_exam(self) -> None:
        assert demo.CREDENTIALS == {"api_token": TOKEN, "secret_key": SECRET}
        assert demo.PERMISSIONS == []
        assert demo.EXAMS[0]["ref"] == str(EXAM)


class TestRestart:
    def test_keeps_exams_and_nonces(self, tmp_path: Path) -> None:
        with Sandbox.running({"proctorexam": 0}, folder=tmp_path, clock=CLOCK) as sandbox:
            Client(sandbox).update(name="Psychostasia", nonce=77)
            before = sandbox.state("proctorexam")

        with Sandbox.running({"proctorexam": 0}, folder=tmp_path, clock=CLOCK) as sandbox:
            assert sandbox.state("proctorexam") == before
            assert outcome(Client(sandbox).update(nonce=77)) == FORBIDDEN
