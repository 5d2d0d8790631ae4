from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from uuid import UUID, uuid4

import pytest

from proctoring.vendors import errors, http
from proctoring.vendors.base import (
    AccountValues,
    HttpRequest,
    HttpResponse,
    Repeat,
    Response,
    Sending,
    SessionOrder,
    SessionPage,
    SessionQuery,
    SessionSnapshot,
    SessionState,
    Verb,
    Verdict,
)
from proctoring.vendors.campfire import adapter as campfire
from proctoring.vendors.campfire.adapter import CampfireAdapter, SessionOutcomeUnknown, conclude, decide, differences

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
SESSION_ID = "23a0c913-c61d-51fe-9b64-32096b7b84bf"
ITEM_ID = "b842bb5e-9957-403e-bc54-9a054b290158"
BASIC = "Basic a2V5OnMzY3LDqXQ="  # key:s3crét
SCORE = {"actual": 1, "isScorable": True, "min": 0, "max": 1}
RESULTS = {"items": [{"id": ITEM_ID, "score": SCORE}], "objectives": {}, "points": SCORE}


def complete_session(**changes: Any) -> dict[str, Any]:
    session = {
        "id": SESSION_ID,
        "studentId": "******",
        "maturity": "COMPLETE",
        "name": "Kevin Campbell",
        "scoreActual": 100,
        "scoreMin": 0,
        "scoreMax": 100,
        "examId": "a0829bc3-8291-43dd-9181-478e7411c1df/exam#v0",
        "workspaceId": "focus1f8-district",
        "responses": {ITEM_ID: {"1CkpwzuRQSfg": {"options": [{"index": 2}]}}},
        "results": RESULTS,
    }
    return session | changes


@dataclass
class Seen:
    method: str
    path: str
    query: list[tuple[str, str]]
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


Reply = tuple[int, str, bytes]


@dataclass
class Vendor:
    """What the page says of one session, kept between calls; `answers` replaces the reply of one kind of call."""

    session: dict[str, Any] = field(default_factory=complete_session)
    pages: Callable[[Seen], dict[str, Any]] | None = None
    answers: dict[str, Reply] = field(default_factory=dict)
    acts: bool = True
    seen: list[Seen] = field(default_factory=list)
    base_url: str = ""

    def reply(self, seen: Seen) -> Reply:
        self.seen.append(seen)
        kind = seen.path.rsplit("/", 1)[-1] if "/api/exam-config" not in seen.path else "config"
        if kind == SESSION_ID:
            kind = (
                "after"
                if any(s.path.endswith(("reset", "reopen", "retake", "responses")) for s in self.seen)
                else "read"
            )
        self.change(kind)
        return self.answers.get(kind) or self.said(kind, seen)

    def change(self, kind: str) -> None:
        if not self.acts:
            return
        if kind == "reset":
            self.session.update(responses={}, results=None, scoreActual=None)
        if kind == "reopen":
            self.session["maturity"] = "IN_PROGRESS"

    def said(self, kind: str, seen: Seen) -> Reply:
        if kind == "exam-sessions":
            assert self.pages
            return ok(self.pages(seen))
        if kind in ("read", "after"):
            return ok({"examSession": self.session, "examConfig": {"id": "config-1"}})
        return 200, "", b""

    @property
    def trail(self) -> list[str]:
        return [f"{seen.method} {seen.path.removeprefix(f'/api/exam-session/{SESSION_ID}')}" for seen in self.seen]


def ok(value: Any) -> Reply:
    return 200, "application/json", json.dumps(value).encode()


@pytest.fixture
def vendor() -> Iterator[Vendor]:
    state = Vendor()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            seen = Seen(self.command, parts.path, parse_qsl(parts.query, keep_blank_values=True), headers, body)
            status, kind, content = state.reply(seen)
            if status == 0:
                self.connection.close()
                return
            self.send_response(status)
            if kind:
                self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    state.base_url = f"http://127.0.0.1:{server.server_port}"
    yield state
    server.shutdown()
    server.server_close()


EFFECTS: list[bool] = []


def transport(request: HttpRequest, *, is_effect: bool) -> HttpResponse:
    EFFECTS.append(is_effect)
    return http.exchange(request, is_effect=is_effect, limits=http.Limits(deadline_seconds=5, allow_private=True))


@pytest.fixture
def adapter(vendor: Vendor) -> CampfireAdapter:
    EFFECTS.clear()
    return made(vendor)


def made(vendor: Vendor, **settings: Any) -> CampfireAdapter:
    account = AccountValues(
        base_url=vendor.base_url, credentials={"app_key": "key", "app_secret": "s3crét"}, settings=settings
    )
    return CampfireAdapter(account, transport, lambda: NOW)


def order(**changes: Any) -> SessionOrder:
    whole: dict[str, Any] = {"reference": uuid4(), "ref": SESSION_ID}
    return SessionOrder(**(whole | changes))


SENDING = Sending(group=uuid4())


def snapshot(**changes: Any) -> SessionSnapshot:
    whole: dict[str, Any] = {"ref": SESSION_ID, "state": SessionState.COMPLETE, "vendor_state": "COMPLETE"}
    return SessionSnapshot(**(whole | changes))


def in_progress(**changes: Any) -> SessionSnapshot:
    return snapshot(**({"state": SessionState.IN_PROGRESS, "vendor_state": "IN_PROGRESS"} | changes))


def walked(adapter: CampfireAdapter, **query: Any) -> list[SessionPage]:
    return list(adapter.list_sessions(SessionQuery(**query)))


class TestListSessions:
    def test_sends_what_the_pages_sample_shows(self, vendor: Vendor, adapter: CampfireAdapter) -> None:
        vendor.pages = lambda seen: {"total": 0, "nextToken": None, "items": []}

        walked(adapter, config_refs=("0007622b", "d7a56ac9"), include=("results", "responses"))

        [seen] = vendor.seen
        assert (seen.method, seen.path) == ("POST", "/api/exam-sessions")
        assert seen.query == [("include[]", "results"), ("include[]", "responses")]
        assert seen.headers["content-type"] == "application/json"
        assert seen.headers["authorization"] == BASIC
        assert seen.json == {"filter": {"examConfigIds": {"include": ["0007622b", "d7a56ac9"]}}}
        assert EFFECTS == [False]

    def test_sends_no_filter_when_none_is_asked_for(self, vendor: Vendor, adapter: CampfireAdapter) -> None:
        vendor.pages = lambda seen: {"items": []}

        walked(adapter)

        assert vendor.seen[0].json == {}
        assert vendor.seen[0].query == []

    def test_reads_sessions_total_and_aggregations(self, vendor: Vendor, adapter: CampfireAdapter) -> None:
        session = complete_session(studentId="student-7")
        del session["examId"]
        vendor.pages = lambda seen: {
            "total": 1,
            "aggregations": {"minScore": {"value": 100}, "avgScore": {"value": None}, "maxScore": None},
            "metadata": None,
            "items": [{"examSession": session, "examConfig": {"id": "config-1"}}],
        }

        [page] = walked(adapter)

        [read] = page.sessions
        assert page.total == 1
        assert page.aggregations == {"min": 100.0, "avg": None, "max": None}
        assert (read.ref, read.person_ref, read.exam_ref, read.config_ref) == (SESSION_ID, "student-7", "", "config-1")
        assert (read.score, read.score_min, read.score_max) == (100, 0, 100)
        assert (read.state, read.vendor_state) == (SessionState.COMPLETE, "COMPLETE")

    @pytest.mark.parametrize("place", ["body", "query"])
    def test_takes_ten_thousand_sessions_in(self, vendor: Vendor, place: str) -> None:
        def pages(seen: Seen) -> dict[str, Any]:
            told = seen.json.get("nextToken") if place == "body" else dict(seen.query).get("nextToken")
            start = int(told.removeprefix("t/+=")) if told else 0
            items = [{"examSession": {"id": f"s{n}"}} for n in range(start, start + 500)]
            return {"total": 10_000, "nextToken": f"t/+={start + 500}" if start < 9_500 else "", "items": items}

        vendor.pages = pages

        refs = [session.ref for page in walked(made(vendor, next_token_in=place)) for session in page.sessions]

        assert refs == [f"s{n}" for n in range(10_000)]
        assert all(("nextToken" in seen.json) == (place == "body") for seen in vendor.seen[1:])

    def test_ends_at_a_repeated_cursor_when_everything_was_taken_in(
        self, vendor: Vendor, adapter: CampfireAdapter
    ) -> None:
        item = {"examSession": complete_session()}
        vendor.pages = lambda seen: {"total": 1, "nextToken": "WyJpZD0", "items": [item]}

        pages = walked(adapter)

        assert len(pages) == len(vendor.seen) == 2

    def test_ends_at_an_empty_page_that_repeats_its_cursor(self, vendor: Vendor, adapter: CampfireAdapter) -> None:
        first = [{"examSession": complete_session()}]
        vendor.pages = lambda seen: {"nextToken": "t", "items": [] if "nextToken" in seen.json else first}

        assert [len(page.sessions) for page in walked(adapter)] == [1, 0]

    def test_notices_a_cursor_that_goes_round(self, vendor: Vendor, adapter: CampfireAdapter) -> None:
        following = {None: "a", "a": "b", "b": "a"}

        def pages(seen: Seen) -> dict[str, Any]:
            told = seen.json.get("nextToken")
            return {"total": 900, "nextToken": following[told], "items": [{"examSession": {"id": f"s-{told}"}}]}

        vendor.pages = pages
        taken: list[str] = []

        with pytest.raises(errors.Unavailable, match="gave 3 sessions on 3 pages and repeats a next token"):
            taken.extend(s.ref for page in adapter.list_sessions(SessionQuery()) for s in page.sessions)

        assert taken == ["s-None", "s-a", "s-b"]

    def test_notices_a_list_that_never_ends(
        self, vendor: Vendor, adapter: CampfireAdapter, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(campfire, "MAX_PAGES", 7)
        vendor.pages = lambda seen: {
            "nextToken": f"t{len(vendor.seen)}",
            "items": [{"examSession": {"id": f"s{len(vendor.seen)}"}}],
        }

        with pytest.raises(errors.Unavailable, match="does not seem to end"):
            walked(adapter)

        assert len(vendor.seen) == 7

    def test_gives_up_on_ever_new_cursors_without_a_new_session(
        self, vendor: Vendor, adapter: CampfireAdapter, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(campfire, "MAX_PAGES_WITHOUT_NEWS", 5)
        vendor.pages = lambda seen: {"nextToken": f"t{len(vendor.seen)}", "items": []}

        with pytest.raises(errors.Unavailable, match="does not seem to end"):
            walked(adapter)

        assert len(vendor.seen) == 5

    def test_says_that_entries_had_no_id_after_taking_in_the_others(
        self, vendor: Vendor, adapter: CampfireAdapter
    ) -> None:
        vendor.pages = lambda seen: {"items": [None, {"examSession": None}, {"examSession": {"id": "good"}}]}
        taken: list[str] = []

        with pytest.raises(errors.Unavailable, match="2 entries"):
            taken.extend(s.ref for page in adapter.list_sessions(SessionQuery()) for s in page.sessions)

        assert taken == ["good"]

    def test_leaves_out_sessions_of_another_exam_but_not_those_that_do_not_say(
        self, vendor: Vendor, adapter: CampfireAdapter
    ) -> None:
        sessions = [{"id": "a", "examId": "e1/exam#v0"}, {"id": "b", "examId": "e2"}, {"id": "c"}]
        vendor.pages = lambda seen: {"items": [{"examSession": session} for session in sessions]}

        [page] = walked(adapter, exam_ref="e1")

        assert [session.ref for session in page.sessions] == ["a", "c"]

    @pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"message": "hello"}', b'{"items": [', b""])
    def test_refuses_a_reply_that_is_no_list(self, vendor: Vendor, adapter: CampfireAdapter, body: bytes) -> None:
        vendor.answers["exam-sessions"] = (200, "text/html", body)

        with pytest.raises(errors.Unavailable):
            walked(adapter)

    def test_refuses_an_unknown_place_for_the_cursor(self, vendor: Vendor) -> None:
        with pytest.raises(errors.Misconfigured, match="body or query"):
            walked(made(vendor, next_token_in="header"))


class TestReadSession:
    def test_sends_what_the_pages_sample_shows(self, vendor: Vendor, adapter: CampfireAdapter) -> None:
        adapter.read_session(SESSION_ID, ("results", "responses"))

        [seen] = vendor.seen
        assert (seen.method, seen.path) == ("GET", f"/api/exam-session/{SESSION_ID}")
        assert seen.query == [("include[]", "results"), ("include[]", "responses")]
        assert seen.headers["content-type"] == "application/json"
        assert seen.headers["authorization"] == BASIC
        assert seen.body == b""
        assert EFFECTS == [False]

    def test_reads_the_exam_without_its_sort_key_and_no_masked_student(self, adapter: CampfireAdapter) -> None:
        read = adapter.read_session(SESSION_ID, ("results", "responses"))

        assert read.exam_ref == "a0829bc3-8291-43dd-9181-478e7411c1df"
        assert read.person_ref == ""
        assert read.has_responses is True
        assert read.results == RESULTS
        assert read.raw["examSession"]["examId"].endswith("/exam#v0")

    @pytest.mark.parametrize(
        ("maturity", "state", "word"),
        [
            ("COMPLETE", SessionState.COMPLETE, "COMPLETE"),
            ("IN_PROGRESS", SessionState.IN_PROGRESS, "IN_PROGRESS"),
            ("Archived™", SessionState.UNKNOWN, "Archived™"),
            (None, SessionState.NOT_REPORTED, ""),
            ({}, SessionState.NOT_REPORTED, ""),
        ],
    )
    def test_keeps_the_vendors_word_for_the_state(
        self, vendor: Vendor, adapter: CampfireAdapter, maturity: Any, state: SessionState, word: str
    ) -> None:
        vendor.session["maturity"] = maturity

        read = adapter.read_session(SESSION_ID)

        assert (read.state, read.vendor_state) == (state, word)

    @pytest.mark.parametrize(
        ("changes", "has_responses"),
        [
            ({"responses": {ITEM_ID: {"q": {"options": [{"index": 0}]}}}}, True),
            ({"responses": {ITEM_ID: {}}, "scoreActual": 100}, True),
            ({"responses": {ITEM_ID: {}}, "scoreActual": 0}, None),
            ({"responses": {ITEM_ID: {}}, "scoreActual": None}, None),
            ({"responses": {}}, False),
            ({"responses": None}, False),
        ],
    )
    def test_says_whether_there_are_responses(
        self, vendor: Vendor, adapter: CampfireAdapter, changes: dict[str, Any], has_responses: bool | None
    ) -> None:
        vendor.session.update(changes)

        assert adapter.read_session(SESSION_ID).has_responses is has_responses

    def test_leaves_unknown_what_the_vendor_leaves_out(self, vendor: Vendor, adapter: CampfireAdapter) -> None:
        vendor.session = {"id": SESSION_ID, "new": {"key": 1}}

        read = adapter.read_session(SESSION_ID)

        assert (read.score, read.has_responses, read.name, read.person_hint) == (None, None, "", "")
        assert read.raw["examSession"]["new"] == {"key": 1}

    def test_refuses_another_session_than_the_one_asked_for(self, vendor: Vendor, adapter: CampfireAdapter) -> None:
        vendor.session["id"] = "somebody-else"

        with pytest.raises(errors.Unavailable, match="the session that was asked for"):
            adapter.read_session(SESSION_ID)

    def test_escapes_the_id_and_refuses_one_that_would_be_another_route(
        self, vendor: Vendor, adapter: CampfireAdapter
    ) -> None:
        vendor.answers["a%2Fb%3Fc"] = ok({"examSession": {"maturity": "COMPLETE"}})

        assert adapter.read_session("a/b?c").ref == "a/b?c"
        with pytest.raises(errors.Unsupported):
            adapter.read_session("..")
        assert vendor.seen[0].path == "/api/exam-session/a%2Fb%3Fc"

    @pytest.mark.parametrize(
        ("status", "error"),
        [
            (401, errors.Misconfigured),
            (403, errors.Misconfigured),
            (404, errors.Rejected),
            (429, errors.Unavailable),
            (302, errors.Unavailable),
            (500, errors.Unavailable),
            (503, errors.Unavailable),
            (0, errors.Unavailable),
        ],
    )
    def test_names_a_failure_by_what_happens_next(
        self, vendor: Vendor, adapter: CampfireAdapter, status: int, error: type[Exception]
    ) -> None:
        vendor.answers["read"] = (status, "text/html", b"<h1>no</h1>")

        with pytest.raises(error):
            adapter.read_session(SESSION_ID)


class TestReadResults:
    def test_reads_the_shape_of_its_own(self, vendor: Vendor, adapter: CampfireAdapter) -> None:
        session = {
            "id": SESSION_ID,
            "maturity": "COMPLETE",
            "examId": "a0829bc3-8291-43dd-9181-478e7411c1df",
            "scoreActual": 100,
            "examSessionData": {"lti": {"userId": "kevin@examspark.com"}},
        }
        question = {"id": "1CkpwzuRQSfg", "keys": [{"value": "fZ", "index": 2}], "response": {}}
        results = {"items": [{"id": ITEM_ID, "score": SCORE, "questions": [question]}], "points": SCORE}
        vendor.answers["results"] = ok({"examSession": session, "results": results, "examConfig": {"id": "c"}})

        read = adapter.read_results(SESSION_ID)

        [seen] = vendor.seen
        assert (seen.method, seen.path) == ("GET", f"/api/exam-session/{SESSION_ID}/results")
        assert seen.query == []
        assert seen.headers["content-type"] == "application/json"
        assert (read.person_ref, read.person_hint) == ("", "kevin@examspark.com")
        assert read.exam_ref == "a0829bc3-8291-43dd-9181-478e7411c1df"
        assert read.results == results
        assert read.has_responses is None


class TestSubmitResponses:
    ANSWERS = (
        Response(item_ref=ITEM_ID, question_ref="1CkpwzuRQSfg", option_indexes=(2,)),
        Response(item_ref="cdf02148", question_ref="5Vkl1ZQLt3Io", option_indexes=(1, 0)),
        Response(item_ref=ITEM_ID, question_ref="second", option_indexes=(0,)),
    )

    def test_sends_the_body_of_the_page_between_two_reads(self, vendor: Vendor, adapter: CampfireAdapter) -> None:
        result = adapter.submit_responses(order(responses=self.ANSWERS, submit_for_scoring=True), SENDING)

        assert vendor.trail == ["GET ", "POST /responses", "GET "]
        assert vendor.seen[1].json == {
            "submitForScoring": True,
            "responses": [
                {
                    "itemId": ITEM_ID,
                    "questions": [
                        {"id": "1CkpwzuRQSfg", "response": {"options": [{"index": 2}]}},
                        {"id": "second", "response": {"options": [{"index": 0}]}},
                    ],
                },
                {
                    "itemId": "cdf02148",
                    "questions": [{"id": "5Vkl1ZQLt3Io", "response": {"options": [{"index": 1}, {"index": 0}]}}],
                },
            ],
        }
        assert vendor.seen[1].headers["content-type"] == "application/json"
        assert EFFECTS == [False, True, False]
        assert result.verdict is Verdict.HAPPENED
        assert result.before is not None and result.after is not None

    def test_does_not_submit_for_scoring_unless_asked(self, vendor: Vendor, adapter: CampfireAdapter) -> None:
        adapter.submit_responses(order(responses=self.ANSWERS), SENDING)

        assert vendor.seen[1].json["submitForScoring"] is False

    @pytest.mark.parametrize(
        "responses",
        [
            (),
            (ANSWERS[0], ANSWERS[0]),
            (Response(item_ref="i", question_ref="q", option_indexes=()),),
            (Response(item_ref="i", question_ref="q", option_indexes=(-1,)),),
            (Response(item_ref="i", question_ref="q", option_indexes=(True,)),),
        ],
    )
    def test_refuses_what_the_page_cannot_express(
        self, vendor: Vendor, adapter: CampfireAdapter, responses: tuple[Response, ...]
    ) -> None:
        with pytest.raises(errors.Unsupported):
            adapter.submit_responses(order(responses=responses), SENDING)

        assert vendor.seen == []


class TestStateChangingGets:
    @pytest.mark.parametrize("verb", ["reset", "reopen", "retake"])
    def test_reads_acts_and_reads_again(self, vendor: Vendor, adapter: CampfireAdapter, verb: str) -> None:
        result = getattr(adapter, verb)(order(), SENDING)

        assert vendor.trail == ["GET ", f"GET /{verb}", "GET "]
        assert EFFECTS == [False, True, False]
        assert vendor.seen[1].query == []
        assert vendor.seen[1].body == b""
        assert vendor.seen[1].headers["content-type"] == "application/json"
        assert vendor.seen[1].headers["authorization"] == BASIC
        assert vendor.seen[0].query == vendor.seen[2].query == [("include[]", "results"), ("include[]", "responses")]
        assert result.verdict is Verdict.HAPPENED

    def test_keeps_what_a_reset_removed_and_offers_a_reopen(self, adapter: CampfireAdapter) -> None:
        result = adapter.reset(order(), SENDING)

        assert result.before is not None and result.after is not None
        assert result.before.responses == complete_session()["responses"]
        assert result.before.results == RESULTS
        assert result.after.has_responses is False
        assert "still COMPLETE: reopen it" in result.message

    def test_says_that_entry_depends_on_the_exam_configuration(self, adapter: CampfireAdapter) -> None:
        assert "exam configuration" in adapter.reopen(order(), SENDING).message

    @pytest.mark.parametrize("status", [404, 429, 500, 0])
    def test_sends_nothing_when_the_session_cannot_be_read(
        self, vendor: Vendor, adapter: CampfireAdapter, status: int
    ) -> None:
        vendor.answers["read"] = (status, "", b"")

        with pytest.raises(errors.VendorError):
            adapter.reset(order(), SENDING)

        assert vendor.trail == ["GET "]

    @pytest.mark.parametrize(
        ("change", "word"),
        [
            ({"maturity": "IN_PROGRESS"}, r"COMPLETE → IN_PROGRESS"),
            ({"scoreActual": 90}, r"100 → 90"),
            ({"scoreActual": None}, r"100 → none"),
            ({"responses": {ITEM_ID: {"1CkpwzuRQSfg": {"options": [{"index": 3}]}}}}, "its responses"),
        ],
    )
    def test_sends_nothing_when_the_session_changed_since_the_preview(
        self, vendor: Vendor, adapter: CampfireAdapter, change: dict[str, Any], word: str
    ) -> None:
        expected = adapter.read_session(SESSION_ID, ("results", "responses"))
        vendor.session.update(change)

        with pytest.raises(errors.Changed, match=word):
            adapter.reset(order(expected=expected), SENDING)

        assert vendor.trail == ["GET ", "GET "]

    def test_acts_when_the_preview_still_holds(self, adapter: CampfireAdapter) -> None:
        expected = adapter.read_session(SESSION_ID, ("results", "responses"))

        assert adapter.reset(order(expected=expected), SENDING).verdict is Verdict.HAPPENED

    @pytest.mark.parametrize("body", [b"", b"OK", b'{"error": "none"}', b"[1"])
    def test_does_not_read_the_undocumented_body(self, vendor: Vendor, adapter: CampfireAdapter, body: bytes) -> None:
        vendor.answers["retake"] = (204 if not body else 200, "", body)

        assert adapter.retake(order(), SENDING).verdict is Verdict.HAPPENED

    def test_does_not_take_a_web_page_for_an_accepted_retake(self, vendor: Vendor, adapter: CampfireAdapter) -> None:
        vendor.answers["retake"] = (200, "text/html", b"<html>Please log in</html>")

        assert adapter.retake(order(), SENDING).verdict is Verdict.CANNOT_TELL

    @pytest.mark.parametrize("verb", ["reset", "reopen"])
    def test_believes_the_session_rather_than_a_clean_reply(
        self, vendor: Vendor, adapter: CampfireAdapter, verb: str
    ) -> None:
        vendor.acts = False

        result = getattr(adapter, verb)(order(), SENDING)

        assert result.verdict is Verdict.CANNOT_TELL
        assert "does not show it" in result.message

    @pytest.mark.parametrize("status", [0, 302, 408, 500, 503])
    @pytest.mark.parametrize("verb", ["reset", "reopen", "retake"])
    def test_keeps_what_it_read_when_the_outcome_is_unknown(
        self, vendor: Vendor, adapter: CampfireAdapter, verb: str, status: int
    ) -> None:
        vendor.answers[verb] = (status, "", b"")

        with pytest.raises(SessionOutcomeUnknown) as caught:
            getattr(adapter, verb)(order(), SENDING)

        assert caught.value.before.responses == complete_session()["responses"]
        assert vendor.trail == ["GET ", f"GET /{verb}"]

    @pytest.mark.parametrize(("status", "error"), [(400, errors.Rejected), (429, errors.Unavailable)])
    def test_says_when_the_vendor_refused(
        self, vendor: Vendor, adapter: CampfireAdapter, status: int, error: type[Exception]
    ) -> None:
        vendor.acts = False
        vendor.answers["retake"] = (status, "application/json", b'{"message": "not multi-attempt"}')

        with pytest.raises(error):
            adapter.retake(order(), SENDING)

    @pytest.mark.parametrize(
        ("verb", "verdict"),
        [("reset", Verdict.CANNOT_TELL), ("reopen", Verdict.CANNOT_TELL), ("retake", Verdict.HAPPENED)],
    )
    def test_leaves_open_what_only_the_session_could_prove_when_it_cannot_be_read_afterwards(
        self, vendor: Vendor, adapter: CampfireAdapter, verb: str, verdict: Verdict
    ) -> None:
        vendor.answers["after"] = (500, "", b"")

        result = getattr(adapter, verb)(order(), SENDING)

        assert (result.verdict, result.after) == (verdict, None)
        assert result.before is not None
        assert "could not be read afterwards" in result.message


class TestLookAt:
    def test_finds_out_that_a_reset_without_an_answer_took_effect(
        self, vendor: Vendor, adapter: CampfireAdapter
    ) -> None:
        wanted = order(expected=adapter.read_session(SESSION_ID, ("results", "responses")))
        vendor.answers["reset"] = (0, "", b"")
        with pytest.raises(errors.OutcomeUnknown):
            adapter.reset(wanted, SENDING)

        result = adapter.look_at(wanted, Verb.RESET)

        assert result.verdict is Verdict.HAPPENED
        assert result.before == wanted.expected
        assert "reopen it" in result.message
        assert [line for line in vendor.trail if line == "GET /reset"] == ["GET /reset"]

    def test_finds_a_session_that_is_as_it_was(self, adapter: CampfireAdapter) -> None:
        wanted = order(expected=adapter.read_session(SESSION_ID, ("results", "responses")))

        assert adapter.look_at(wanted, Verb.RESET).verdict is Verdict.DID_NOT
        assert adapter.look_at(wanted, Verb.REOPEN).verdict is Verdict.DID_NOT
        assert adapter.look_at(wanted, Verb.RETAKE).verdict is Verdict.CANNOT_TELL

    def test_cannot_tell_without_a_preview(self, adapter: CampfireAdapter) -> None:
        assert adapter.look_at(order(), Verb.REOPEN).verdict is Verdict.CANNOT_TELL


ANSWERED: dict[str, Any] = {"responses": {"i": {"q": {"options": [{"index": 1}]}}}, "has_responses": True}
BARE: dict[str, Any] = {"responses": {"i": {}}}
EMPTY: dict[str, Any] = {"responses": {}, "has_responses": False}
SUBMISSION = SessionOrder(
    reference=UUID(int=1),
    ref=SESSION_ID,
    responses=(Response(item_ref="i", question_ref="q", option_indexes=(2,)),),
)


class TestDecide:
    @pytest.mark.parametrize(
        ("before", "after", "verdict"),
        [
            (snapshot(), in_progress(), Verdict.HAPPENED),
            (snapshot(vendor_state="ODD", state=SessionState.UNKNOWN), in_progress(), Verdict.HAPPENED),
            (snapshot(), snapshot(), Verdict.DID_NOT),
            (snapshot(score=1.0), snapshot(score=2.0), Verdict.CANNOT_TELL),
            (snapshot(), snapshot(vendor_state="ODD", state=SessionState.UNKNOWN), Verdict.CANNOT_TELL),
            (in_progress(), in_progress(), Verdict.CANNOT_TELL),
            (in_progress(), snapshot(), Verdict.CANNOT_TELL),
            (snapshot(vendor_state="", state=SessionState.NOT_REPORTED), in_progress(), Verdict.CANNOT_TELL),
            (None, in_progress(), Verdict.CANNOT_TELL),
            (snapshot(), None, Verdict.CANNOT_TELL),
        ],
    )
    def test_takes_in_progress_now_and_not_before_as_proof_of_a_reopen(
        self, before: SessionSnapshot | None, after: SessionSnapshot | None, verdict: Verdict
    ) -> None:
        assert decide(Verb.REOPEN, before, after) is verdict

    @pytest.mark.parametrize(
        ("before", "after", "verdict"),
        [
            (snapshot(score=80.0, **ANSWERED), snapshot(**EMPTY), Verdict.HAPPENED),
            (snapshot(score=80.0, **ANSWERED), snapshot(), Verdict.HAPPENED),
            (snapshot(score=80.0, **ANSWERED), snapshot(score=0.0, **EMPTY), Verdict.HAPPENED),
            (snapshot(score=80.0, **ANSWERED), snapshot(**BARE), Verdict.HAPPENED),
            (snapshot(score=80.0, **ANSWERED), in_progress(**EMPTY), Verdict.HAPPENED),
            (snapshot(score=0.0, **ANSWERED), snapshot(score=0.0, **EMPTY), Verdict.HAPPENED),
            (snapshot(score=80.0, **BARE), snapshot(**BARE), Verdict.HAPPENED),
            (snapshot(score=80.0), snapshot(), Verdict.HAPPENED),
            (snapshot(score=0.0), snapshot(), Verdict.HAPPENED),
            (snapshot(has_responses=True), snapshot(**EMPTY), Verdict.HAPPENED),
            (in_progress(**ANSWERED), in_progress(**EMPTY), Verdict.HAPPENED),
            (in_progress(**BARE), in_progress(**EMPTY), Verdict.HAPPENED),
            (snapshot(score=80.0, **ANSWERED), snapshot(score=80.0, **ANSWERED), Verdict.DID_NOT),
            (in_progress(**ANSWERED), in_progress(**ANSWERED), Verdict.DID_NOT),
            (in_progress(**BARE), in_progress(**BARE), Verdict.DID_NOT),
            (snapshot(score=80.0, **ANSWERED), snapshot(score=80.0, **EMPTY), Verdict.CANNOT_TELL),
            (snapshot(score=80.0, **ANSWERED), snapshot(**ANSWERED), Verdict.CANNOT_TELL),
            (snapshot(score=80.0, **ANSWERED), snapshot(results=RESULTS, **EMPTY), Verdict.CANNOT_TELL),
            (in_progress(**EMPTY), in_progress(**EMPTY), Verdict.CANNOT_TELL),
            (snapshot(score=0.0, **EMPTY), snapshot(score=0.0, **EMPTY), Verdict.CANNOT_TELL),
            (None, snapshot(**EMPTY), Verdict.CANNOT_TELL),
            (snapshot(score=80.0, **ANSWERED), None, Verdict.CANNOT_TELL),
        ],
    )
    def test_takes_lost_answers_and_score_as_proof_of_a_reset(
        self, before: SessionSnapshot | None, after: SessionSnapshot | None, verdict: Verdict
    ) -> None:
        assert decide(Verb.RESET, before, after) is verdict

    @pytest.mark.parametrize("after", [snapshot(), in_progress(), in_progress(**EMPTY), None])
    def test_takes_nothing_as_proof_of_a_retake(self, after: SessionSnapshot | None) -> None:
        assert decide(Verb.RETAKE, snapshot(score=80.0), after, SUBMISSION) is Verdict.CANNOT_TELL

    @pytest.mark.parametrize(
        ("before", "after", "verdict"),
        [
            ({}, {"i": {"q": {"options": [{"index": 2}]}}}, Verdict.HAPPENED),
            ({}, {"i": {"q": {"response": {"options": [{"index": 2}]}}}}, Verdict.HAPPENED),
            ({}, {"i": {"questions": [{"id": "q", "response": {"options": [{"index": 2}]}}]}}, Verdict.HAPPENED),
            ({}, [{"itemId": "i", "questions": [{"id": "q", "response": {"options": [2]}}]}], Verdict.HAPPENED),
            ({"i": {"q": {"options": [{"index": 1}]}}}, {"i": {"q": {"options": [{"index": 2}]}}}, Verdict.HAPPENED),
            ({"i": {}}, {"i": {}}, Verdict.CANNOT_TELL),
            ({}, {}, Verdict.CANNOT_TELL),
            ({}, {"i": {"q": {"options": [{"index": 1}]}}}, Verdict.CANNOT_TELL),
            ({}, {"i": {"q": {"options": [{"index": 1}, {"index": 2}]}}}, Verdict.CANNOT_TELL),
            ({}, {"i": {"q": {"options": [{"index": True}]}}}, Verdict.CANNOT_TELL),
            ({}, {"j": {"q": {"options": [{"index": 2}]}}}, Verdict.CANNOT_TELL),
            (None, {"i": {"q": {"options": [{"index": 2}]}}}, Verdict.HAPPENED),
            (None, {"i": {"q": {"options": [{"index": 2}]}, "r": {"options": [{"index": 0}]}}}, Verdict.CANNOT_TELL),
            ({}, {"i": {"q": {"options": [{"index": 2}]}, "r": {"options": [{"index": 0}]}}}, Verdict.CANNOT_TELL),
            (
                {"i": {"r": {"options": [{"index": 0}]}}},
                {"i": {"q": {"options": [{"index": 2}]}, "r": {"options": [{"index": 0}]}}},
                Verdict.HAPPENED,
            ),
            ({"j": {"r": {"options": [{"index": 0}]}}}, {"i": {"q": {"options": [{"index": 2}]}}}, Verdict.CANNOT_TELL),
        ],
    )
    def test_takes_exactly_what_was_sent_as_proof_of_a_submission(
        self, before: Any, after: Any, verdict: Verdict
    ) -> None:
        had, shows = in_progress(responses=before), in_progress(responses=after)

        assert decide(Verb.SUBMIT_RESPONSES, had, shows, SUBMISSION) is verdict

    def test_takes_answers_that_were_there_before_as_no_proof_that_they_were_scored(self) -> None:
        answered = {"responses": {"i": {"q": {"options": [{"index": 2}]}}}}
        scoring = replace(SUBMISSION, submit_for_scoring=True)

        assert decide(Verb.SUBMIT_RESPONSES, in_progress(**answered), in_progress(**answered), scoring) is (
            Verdict.CANNOT_TELL
        )
        assert decide(Verb.SUBMIT_RESPONSES, in_progress(**answered), snapshot(score=1.0, **answered), scoring) is (
            Verdict.HAPPENED
        )


class TestConclude:
    @pytest.mark.parametrize(
        ("verb", "before", "after", "is_accepted", "verdict"),
        [
            (Verb.REOPEN, in_progress(), in_progress(), True, Verdict.HAPPENED),
            (Verb.REOPEN, in_progress(), in_progress(), False, Verdict.CANNOT_TELL),
            (Verb.REOPEN, snapshot(), in_progress(), False, Verdict.HAPPENED),
            (Verb.REOPEN, snapshot(), snapshot(), True, Verdict.CANNOT_TELL),
            (Verb.REOPEN, snapshot(), None, True, Verdict.CANNOT_TELL),
            (Verb.RESET, in_progress(**EMPTY), in_progress(**EMPTY), True, Verdict.HAPPENED),
            (Verb.RESET, in_progress(**EMPTY), in_progress(**EMPTY), False, Verdict.CANNOT_TELL),
            (Verb.RESET, snapshot(**ANSWERED), snapshot(**ANSWERED), True, Verdict.CANNOT_TELL),
            (Verb.RESET, snapshot(**ANSWERED), None, True, Verdict.CANNOT_TELL),
            (Verb.RETAKE, snapshot(), snapshot(), True, Verdict.HAPPENED),
            (Verb.RETAKE, snapshot(), None, True, Verdict.HAPPENED),
            (Verb.RETAKE, snapshot(), snapshot(), False, Verdict.CANNOT_TELL),
            (Verb.SUBMIT_RESPONSES, in_progress(), snapshot(), True, Verdict.HAPPENED),
            (Verb.SUBMIT_RESPONSES, in_progress(), snapshot(), False, Verdict.CANNOT_TELL),
        ],
    )
    def test_adds_the_vendors_acceptance_to_what_the_session_shows(
        self,
        verb: Verb,
        before: SessionSnapshot,
        after: SessionSnapshot | None,
        is_accepted: bool,
        verdict: Verdict,
    ) -> None:
        assert conclude(verb, before, after, is_accepted=is_accepted) is verdict


class TestDifferences:
    def test_does_not_compare_what_was_not_known(self) -> None:
        then = snapshot(vendor_state="", score=1.0)

        assert differences(then, in_progress(score=1.0, **ANSWERED)) == ()

    def test_takes_no_responses_and_an_empty_set_of_them_as_the_same(self) -> None:
        assert differences(snapshot(**EMPTY), snapshot()) == ()

    def test_compares_a_remembered_yes_or_no_with_the_responses_now(self) -> None:
        assert differences(snapshot(has_responses=True), snapshot(**ANSWERED)) == ()
        assert differences(snapshot(has_responses=False), snapshot(**ANSWERED)) == ("its responses",)
        assert differences(snapshot(has_responses=True), snapshot(**EMPTY)) == ("its responses",)


class TestExamConfig:
    @pytest.mark.parametrize(
        ("body", "allows_retakes"),
        [
            ({"allowRetakes": True}, True),
            ({"examConfig": {"allowRetakes": False}}, False),
            ({"examConfig": {"id": "config-1", "config": {"allowRetakes": False}}}, False),
            ({"id": "CONFIG-1", "config": {"allowRetakes": True}}, True),
            ({"allowRetakes": "false"}, False),
            ({"id": "config-1", "allowRetakes": None}, None),
            ({"id": "config-1", "allowRetakes": "sometimes"}, None),
            ({"id": "config-1"}, None),
        ],
    )
    def test_says_whether_retakes_are_allowed(
        self, vendor: Vendor, adapter: CampfireAdapter, body: dict[str, Any], allows_retakes: bool | None
    ) -> None:
        vendor.answers["config"] = ok(body)

        assert adapter.read_exam_config("config-1").allows_retakes is allows_retakes
        assert (vendor.seen[0].method, vendor.seen[0].path) == ("GET", "/api/exam-config/config-1")

    @pytest.mark.parametrize("body", [{}, {"examConfig": None}, {"id": "config-2", "allowRetakes": True}])
    def test_believes_no_reply_that_is_not_this_configuration(
        self, vendor: Vendor, adapter: CampfireAdapter, body: dict[str, Any]
    ) -> None:
        vendor.answers["config"] = ok(body)

        with pytest.raises(errors.Unavailable, match="exam configuration"):
            adapter.read_exam_config("config-1")


class TestAccount:
    @pytest.mark.parametrize(
        "base_url",
        ["https://h.example", "https://h.example/", "https://h.example/api", "https://h.example/api/", "h.example"],
    )
    def test_accepts_the_host_in_any_of_these_forms(self, base_url: str) -> None:
        assert campfire.host_of(base_url) == "https://h.example"

    @pytest.mark.parametrize(
        ("base_url", "credentials"),
        [("", {"app_key": "k", "app_secret": "s"}), ("https://h.example", {"app_key": "k"})],
    )
    def test_says_what_is_missing(self, base_url: str, credentials: dict[str, str]) -> None:
        bare = CampfireAdapter(AccountValues(base_url=base_url, credentials=credentials), transport, lambda: NOW)

        with pytest.raises(errors.Misconfigured) as caught:
            bare.reset(order(), SENDING)

        assert caught.value.scope is errors.Scope.ACCOUNT

    def test_is_checked_by_listing(self, vendor: Vendor, adapter: CampfireAdapter) -> None:
        vendor.pages = lambda seen: {"total": 3, "nextToken": "t", "items": []}

        checked = adapter.check()

        assert checked.is_conclusive
        assert "3 exam sessions" in checked.message
        assert len(vendor.seen) == 1

    def test_never_repeats_an_effect(self) -> None:
        effects = {verb: made for verb, made in CampfireAdapter.FACTS.capabilities.items() if verb.is_effect}

        assert set(effects) == {Verb.SUBMIT_RESPONSES, Verb.RESET, Verb.REOPEN, Verb.RETAKE}
        assert {capability.repeat for capability in effects.values()} == {Repeat.NEVER}
