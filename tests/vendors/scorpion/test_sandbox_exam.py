"""The exam behind the simulator's links: sat and proctored over HTTP as browsers do it, and read back through the API."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

import pytest
import requests

from proctoring.sandbox.server import Sandbox
from proctoring.sandbox.simulator import Document
from proctoring.vendors.scorpion.sandbox import ScorpionSimulator
from proctoring.vendors.scorpion.sandbox_exam import KEPT_EVENTS, UNSTARTED

EXAM = ScorpionSimulator.DEMO_EXAM
START = datetime(2031, 3, 3, 9, 0, tzinfo=UTC)
INFO = {"First Name": "Amos", "Last Name": "Burton", "Email": "amos.burton@example.com"}
RIGHT = {"q1": "90", "q2": "144", "q3": "Closed."}


class Clock:
    """Stands still until it is moved."""

    now = START

    def __call__(self) -> datetime:
        return self.now

    def move(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


CLOCK = Clock()


class Sitting:
    """One delivery, its candidate's browser, and its proctor."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.url = sandbox.url("scorpion")
        self.api = requests.Session()
        self.api.headers["Authorization"] = f"Basic {ScorpionSimulator.DEMO_TOKEN}"
        self.browser = requests.Session()
        made = self.api.post(f"{self.url}/api/exams/{EXAM}/deliveries", json={"examinee_info": INFO}, timeout=5).json()
        self.delivery = f"{self.url}/api/exams/{EXAM}/deliveries/{made['delivery_id']}"
        self.id, self.launch_token = made["delivery_id"], made["launch_token"]
        self.proctor_page = f"{self.url}/proctor/{made['proctor_token']}"

    @property
    def take_page(self) -> str:
        return f"{self.url}/take?launch_token={self.launch_token}"

    def open(self, browser: requests.Session | None = None) -> requests.Response:
        return (browser or self.browser).get(self.take_page, timeout=5)

    def answer(self, intent: str, /, **answers: str) -> requests.Response:
        return self.answer_on(self.browser, intent, **answers)

    def answer_on(self, browser: requests.Session, intent: str, /, **answers: str) -> requests.Response:
        address = self.take_page.replace("/take?", "/take/answers?")
        return browser.post(address, data={**answers, "intent": intent}, timeout=5)

    def break_off(self) -> requests.Response:
        return self.browser.post(self.take_page.replace("/take?", "/take/interruption?"), timeout=5)

    def proctor(self, act: str) -> requests.Response:
        return requests.post(f"{self.proctor_page}/{act}", timeout=5)

    def read(self, query: str = "") -> dict[str, Any]:
        shown: dict[str, Any] = self.api.get(self.delivery + query, timeout=5).json()
        return shown

    def reissue(self) -> None:
        self.launch_token = self.api.get(f"{self.delivery}/get_launch_token", timeout=5).json()["launch_token"]

    def stored(self) -> Document:
        return self.sandbox.state("scorpion")["deliveries"][0]

    def events(self) -> list[str]:
        return [event["what"] for event in self.stored()["events"]]


@pytest.fixture(scope="module")
def running() -> Iterator[Sandbox]:
    with Sandbox.running({"scorpion": 0}, clock=CLOCK) as sandbox:
        yield sandbox


@pytest.fixture
def exam(running: Sandbox) -> Sitting:
    CLOCK.now = START
    running.control("scorpion", "clear")
    return Sitting(running)


class TestLaunchToken:
    def test_binds_the_exam_to_the_browser_that_comes_first(self, exam: Sitting) -> None:
        first, again, other = exam.open(), exam.open(), exam.open(requests.Session())

        assert (first.status_code, again.status_code, other.status_code) == (200, 200, 403)
        assert "Invalid token" in other.text
        assert "q1" not in other.text
        assert exam.read()["status"] == "in_progress"

    def test_is_used_by_a_mail_scanner(self, exam: Sitting) -> None:
        scanned = requests.head(exam.take_page, timeout=5)

        assert (scanned.status_code, scanned.content) == (200, b"")
        assert exam.open().status_code == 403
        assert exam.read()["status"] == "in_progress"

    @pytest.mark.parametrize("cookie", ["", "scorpion_browser=", "scorpion_browser=x", "scorpion_browser=" + "a" * 32])
    def test_opens_for_no_cookie_but_its_own(self, exam: Sitting, cookie: str) -> None:
        exam.open()

        assert requests.get(exam.take_page, headers={"Cookie": cookie}, timeout=5).status_code == 403

    def test_finds_its_cookie_among_odd_ones_of_the_same_host(self, exam: Sitting) -> None:
        exam.open()
        cookie = f'messages="[[\\"a;b\\"]]"; =; {{x}}; scorpion_browser={exam.browser.cookies["scorpion_browser"]}'

        assert requests.get(exam.take_page, headers={"Cookie": cookie}, timeout=5).status_code == 200

    def test_needs_no_cookie_of_a_delivery_before(self, exam: Sitting) -> None:
        exam.open()
        second = Sitting(exam.sandbox)

        assert (second.open(exam.browser).status_code, exam.open().status_code) == (200, 200)

    def test_warns_the_proctor_once_of_another_browser(self, exam: Sitting) -> None:
        exam.open()
        for _ in range(3):
            exam.open(requests.Session())

        assert exam.events() == ["Started the exam.", "The launch link was opened in another browser and refused."]

    def test_is_never_the_empty_one(self, exam: Sitting) -> None:
        exam.open()

        for query in ("", "?launch_token=", "?launch_token=wrong", "?launch_token=%ED%A0%80"):
            assert exam.browser.get(f"{exam.url}/take{query}", timeout=5).status_code == 403

    def test_keeps_the_answers_when_it_is_replaced(self, exam: Sitting) -> None:
        exam.open()
        exam.answer("save", q2="144")
        old = exam.take_page
        exam.reissue()

        elsewhere = requests.Session()
        page = exam.open(elsewhere)

        assert exam.browser.get(old, timeout=5).status_code == 403
        assert (page.status_code, exam.open().status_code) == (200, 403)
        assert "value='144'" in page.text
        assert exam.answer_on(elsewhere, "submit", **RIGHT).status_code == 200
        assert exam.read()["score"] == 100

    def test_does_not_open_a_complete_exam_again(self, exam: Sitting) -> None:
        exam.open()
        exam.answer("submit", **RIGHT)
        before = exam.read()
        exam.reissue()

        page = exam.open(requests.Session())

        assert (page.status_code, "Exam submitted" in page.text) == (200, True)
        assert exam.read() == {**before, "modified_at": exam.read()["modified_at"]}


class TestAnswers:
    def test_are_kept_and_shown_again(self, exam: Sitting) -> None:
        exam.open()

        page = exam.answer("save", q1="60", q3="<i>\"shut'")

        assert page.url == exam.take_page
        assert "2 of 3 answers saved." in page.text
        assert "value='60' checked" in page.text
        assert "value='&lt;i&gt;&quot;shut&#x27;'" in page.text

    def test_are_scored_and_read_only_through_the_api(self, exam: Sitting) -> None:
        exam.open()
        CLOCK.move(61)

        page = exam.answer("submit", q1="90", q2="143", q3=" SHUT ")

        assert "Exam submitted" in page.text
        shown = exam.read("?include=item_responses")
        ended = (START + timedelta(seconds=61)).isoformat()
        assert {name: shown[name] for name in ("status", "score", "passed", "points_earned", "points_available")} == {
            "status": "complete",
            "score": 66.67,
            "passed": True,
            "points_earned": 2,
            "points_available": 3,
        }
        assert (shown["started_at"], shown["submitted_at"], shown["completed_at"]) == (START.isoformat(), ended, ended)
        assert shown["used_seconds"] == 61
        assert [(item["item_id"], item["response"], item["score"]) for item in shown["item_responses"]] == [
            ("q1", "90", 1),
            ("q2", "143", 0),
            ("q3", "SHUT", 1),
        ]

    @pytest.mark.parametrize(("answers", "score"), [({}, 0), ({"q2": "144"}, 33.33), (RIGHT, 100)])
    def test_give_a_score_from_0_to_100(self, exam: Sitting, answers: dict[str, str], score: float) -> None:
        exam.open()

        exam.answer("submit_anyway", **answers)

        assert (exam.read()["status"], exam.read()["score"]) == ("complete", score)

    def test_are_asked_for_where_they_are_missing(self, exam: Sitting) -> None:
        exam.open()

        page = exam.answer("submit", q1="90", q2=" ")

        assert page.status_code == 422
        assert re.findall(r"href='#(\w+)'", page.text) == ["q2", "q3"]
        assert page.text.count("aria-invalid='true'") == 2
        assert (exam.read()["status"], exam.stored()["answers"]["q1"]) == ("in_progress", "90")
        assert exam.browser.get(page.url, timeout=5).url == exam.take_page

    def test_that_no_page_offers_are_not_kept(self, exam: Sitting) -> None:
        exam.open()

        exam.answer("save", q1="91", q2="1" * 5000, q4="x", launch_token="x", score="100")

        assert exam.stored()["answers"] == {"q1": "", "q2": "1" * 200}

    def test_come_only_from_the_browser_that_sits_the_exam(self, exam: Sitting) -> None:
        before_opening = exam.answer("submit", **RIGHT)
        exam.open()
        from_elsewhere = exam.answer_on(requests.Session(), "submit", **RIGHT)

        assert (before_opening.status_code, from_elsewhere.status_code) == (403, 403)
        assert (exam.read()["status"], exam.stored()["answers"]) == ("in_progress", {})

    def test_do_not_change_once_submitted(self, exam: Sitting) -> None:
        exam.open()
        exam.answer("submit", **RIGHT)
        before = exam.stored()
        CLOCK.move(5)

        page = exam.answer("submit", q1="60", q2="0", q3="0")

        assert "Exam submitted" in page.text
        assert exam.stored() == before

    def test_are_shown_by_the_api_only_when_asked_for(self, exam: Sitting) -> None:
        exam.open()
        exam.answer("save", q2="144")

        assert set(exam.read()).isdisjoint({"answers", "browser", "events", "item_responses", "running_since"})
        assert exam.read("?include=item_responses")["item_responses"][0]["score"] is None
        assert [event["by"] for event in exam.read("?include=logs")["logs"]] == ["candidate", "candidate"]


class TestProctor:
    def test_sees_the_session_live(self, exam: Sitting) -> None:
        before = requests.get(exam.proctor_page, timeout=5).text
        exam.open()
        CLOCK.move(125)
        exam.answer("save", q1="60", q2="1")

        page = unescape(requests.get(exam.proctor_page, timeout=5).text)

        assert "Not started" in before
        assert "<form" not in before
        for part in ("Under way", "in_progress", "2 of 3", "03 Mar 2031, 09:00:00 UTC", "2 min 5 s", "Amos"):
            assert part in page
        assert page.index("Answered question 1 and 2.") < page.index("Started the exam.")
        assert f"content='5;url={exam.proctor_page.removeprefix(exam.url)}'" in page
        assert exam.launch_token not in page
        assert requests.head(exam.proctor_page, timeout=5).status_code == 200

    def test_pauses_and_resumes(self, exam: Sitting) -> None:
        exam.open()
        CLOCK.move(10)
        exam.proctor("pause")
        CLOCK.move(100)
        paused, waiting = exam.read(), exam.open()
        exam.proctor("resume")
        CLOCK.move(5)

        assert (paused["status"], paused["is_paused"], paused["used_seconds"]) == ("in_progress", True, 10)
        assert "Exam paused" in waiting.text
        assert "name='q1'" not in waiting.text
        assert (exam.read()["is_paused"], exam.read()["used_seconds"]) == (False, 15)
        assert "name='q1'" in exam.open().text

    def test_pause_keeps_what_was_written_and_submits_nothing(self, exam: Sitting) -> None:
        exam.open()
        exam.proctor("pause")

        page = exam.answer("submit", **RIGHT)

        assert "Exam paused" in page.text
        assert exam.read()["status"] == "in_progress"
        assert exam.stored()["answers"] == RIGHT

    def test_suspends_until_there_is_a_new_launch_token(self, exam: Sitting) -> None:
        exam.open()
        exam.answer("save", q1="90")
        exam.proctor("pause")
        exam.proctor("suspend")
        suspended, page, late = exam.read(), exam.open(), exam.answer("submit", **RIGHT)
        exam.reissue()
        still = exam.read()["status"]

        again = exam.open(requests.Session())

        assert (suspended["status"], suspended["is_paused"], still) == ("suspended", False, "suspended")
        assert (page.status_code, "Exam suspended" in page.text, late.status_code) == (403, True, 403)
        assert (again.status_code, exam.read()["status"]) == (200, "in_progress")
        assert exam.stored()["answers"] == {"q1": "90"}

    def test_restarts_an_interrupted_exam(self, exam: Sitting) -> None:
        exam.open()
        exam.answer("save", q1="90")
        exam.break_off()
        refused = exam.open()
        elsewhere = requests.Session()
        still_refused = exam.open(elsewhere)
        exam.proctor("restart")

        again = exam.open(elsewhere)

        assert (refused.status_code, "Exam interrupted" in refused.text, still_refused.status_code) == (403, True, 403)
        assert (again.status_code, exam.open().status_code) == (200, 403)
        assert "1 of 3 answers saved." in again.text

    def test_is_not_needed_where_an_interrupted_exam_gets_a_new_token(self, exam: Sitting) -> None:
        exam.open()
        exam.sandbox.control("scorpion", "interrupt_exam", delivery_id=exam.id)
        assert exam.read()["status"] == "interrupted"
        exam.reissue()

        assert (exam.open().status_code, exam.read()["status"]) == (200, "in_progress")

    @pytest.mark.parametrize("act", ["pause", "resume", "restart", "suspend"])
    def test_changes_nothing_where_it_is_not_possible(self, exam: Sitting, act: str) -> None:
        before = exam.stored()

        response = exam.proctor(act)

        assert (response.status_code, "Not possible now" in response.text) == (409, True)
        assert exam.stored() == before

    def test_needs_the_token_and_a_known_act(self, exam: Sitting) -> None:
        exam.open()

        assert requests.post(f"{exam.url}/proctor/wrong/pause", timeout=5).status_code == 404
        assert exam.proctor("delete").status_code == 404
        assert requests.get(f"{exam.proctor_page}/pause", timeout=5).status_code == 405
        assert exam.read()["is_paused"] is False


class TestPages:
    def test_are_kept_by_nobody_and_load_nothing_from_elsewhere(self, exam: Sitting) -> None:
        for page in (exam.open(), requests.get(exam.proctor_page, timeout=5), exam.open(requests.Session())):
            assert page.headers["Cache-Control"] == "no-store"
            assert page.headers["Referrer-Policy"] == "no-referrer"
            assert "default-src 'none'" in page.headers["Content-Security-Policy"]
            assert "<html lang='en'>" in page.text
            assert not re.search(r"(src|href)='(https?:)?//", page.text)

    def test_show_names_as_they_are(self, exam: Sitting) -> None:
        info = {"First Name": "<script>alert(1)</script>", "Last Name": "O'Neil \udc80", "Email": "a@example.com"}
        body = {"examinee_info": info}
        made = exam.api.post(f"{exam.url}/api/exams/{EXAM}/deliveries", json=body, timeout=5).json()

        page = requests.get(f"{exam.url}/take?launch_token={made['launch_token']}", timeout=5)

        assert "&lt;script&gt;alert(1)" in page.text
        assert "O&#x27;Neil ?" in page.text

    def test_say_an_odd_status_as_it_is(self, exam: Sitting) -> None:
        exam.open()
        exam.sandbox.control("scorpion", "set_delivery", delivery_id=exam.id, status="on_hold")

        page = exam.open()

        assert (page.status_code, "on_hold" in page.text) == (403, True)
        assert "on_hold" in requests.get(exam.proctor_page, timeout=5).text


class TestStore:
    def test_may_hold_deliveries_of_before_there_was_an_exam(self, exam: Sitting) -> None:
        store = exam.sandbox.simulator("scorpion").store
        bare = {key: value for key, value in exam.stored().items() if key not in UNSTARTED} | {"status": "created"}
        store.put("deliveries", exam.id, {**bare, "is_launch_token_used": False})

        assert exam.read("?include=item_responses,logs")["status"] == "created"
        assert requests.get(exam.proctor_page, timeout=5).status_code == 200
        assert (exam.open().status_code, exam.answer("submit", **RIGHT).status_code) == (200, 200)
        assert exam.read()["score"] == 100

    def test_keeps_only_the_latest_events(self, exam: Sitting) -> None:
        exam.open()
        store = exam.sandbox.simulator("scorpion").store
        event = {"at": START.isoformat(), "by": "candidate", "what": "Answered question 1."}
        store.put("deliveries", exam.id, exam.stored() | {"events": [event] * KEPT_EVENTS})

        exam.proctor("pause")

        assert len(exam.events()) == KEPT_EVENTS
        assert exam.events()[-1] == "Paused the exam."
