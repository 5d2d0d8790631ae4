"""The simulator against the vendor's own page: its samples verbatim, its replies, and what is refused."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest
import requests

from proctoring.sandbox.server import Sandbox
from proctoring.vendors.campfire import demo
from proctoring.vendors.campfire.sandbox import HOSTILE_HTML, CampfireSimulator

SAMPLE = CampfireSimulator.SAMPLE_SESSION
SAMPLE_CONFIG = CampfireSimulator.SAMPLE_CONFIG
DEMO_CONFIG = CampfireSimulator.DEMO_CONFIG
RETAKES_CONFIG = CampfireSimulator.RETAKES_CONFIG
LARGE_CONFIG = CampfireSimulator.LARGE_CONFIG

# The page's requests. Mended: the list's struck-through line is gone, and it gets the Authorization that the others show.
SAMPLE_LIST = """POST /api/exam-sessions
?include[]=results
&include[]=responses
Content-Type: application/json
Authorization: Basic *****
{
"filter": {
"examConfigIds": {
"include": [
"0007622b-b727-4d64-8454-4b3383ed9509",
"d7a56ac9-2e3d-4a86-814a-0ddf7fbf7f8c"
]
}
}
}"""
SAMPLE_GET = """GET /api/exam-session/{{examSessionId}}
?include[]=results
&include[]=responses
Content-Type: application/json
Authorization: Basic *****"""
SAMPLE_RESULTS = """GET /api/exam-session/:examSessionId/results
Content-Type: application/json
Authorization: Basic *****"""
SAMPLE_RESPONSES = """POST /api/exam-session/:examSessionId/responses
Content-Type: application/json
Authorization: Basic *****
{
"submitForScoring": true,
"responses": [
{
"itemId": "b842bb5e-9957-403e-bc54-9a054b290158",
"questions": [
{
"id": "1CkpwzuRQSfg",
"response": {
"options": [
{
"index": 2
}
]
}
}
]
},
{
"itemId": "cdf02148-7888-4e4b-97ff-0003846baa4d",
"questions": [
{
"id": "5Vkl1ZQLt3Io",
"response": {
"options": [
{
"index": 1
}
]
}
}
]
},
{
"itemId": "993d673c-5c8d-43aa-99ea-8e417d1300dc",
"questions": [
{
"id": "oRrwhIkKBBH",
"response": {
"options": [
{
"index": 3
}
]
}
}
]
}
]
}"""
SAMPLE_RETAKE = """GET /api/exam-session/:examSessionId/retake
Content-Type: application/json
Authorization: Basic *****"""
SAMPLE_RESET = SAMPLE_RETAKE.replace("/retake", "/reset")
SAMPLE_REOPEN = SAMPLE_RETAKE.replace("/retake", "/reopen")

ONE = {"actual": 1, "isScorable": True, "min": 0, "max": 1}
THREE = {"actual": 3, "isScorable": True, "min": 0, "max": 3}
ITEMS = (
    "b842bb5e-9957-403e-bc54-9a054b290158",
    "cdf02148-7888-4e4b-97ff-0003846baa4d",
    "993d673c-5c8d-43aa-99ea-8e417d1300dc",
)
OBJECTIVES = (
    "92de756d-f455-595c-a2f6-18fb18c4461a",
    "f10e8b11-7da6-568d-a6ea-d87b3bb35c83",
    "e5fac3cc-aa4c-5aaa-b5aa-178bcc60a366",
)
SAMPLE_SESSION: dict[str, Any] = {
    "id": "23a0c913-c61d-51fe-9b64-32096b7b84bf",
    "studentId": "******",
    "maturity": "COMPLETE",
    "name": "Kevin Campbell",
    "scoreActual": 100,
    "scoreMin": 0,
    "scoreMax": 100,
    "workspaceId": "focus1f8-district",
    "responses": {item: {} for item in ITEMS},
    "results": {
        "items": [{"id": item, "score": ONE} for item in ITEMS],
        "objectives": {id: {"id": id, "score": ONE, "scores": [ONE]} for id in OBJECTIVES},
        "points": THREE,
    },
}
SAMPLE_LIST_REPLY = {
    "total": 1,
    "nextToken": "WyJpZD0yM2EwYzkxMy1jNjFkLTUxZmUtOWI2NC0zMjA5NmI3Yjg0YmZ8c2s9ZXhhbS1zZXNzaW9uIl0=",
    "aggregations": {"minScore": {"value": 100}, "avgScore": {"value": 100}, "maxScore": {"value": 100}},
    "metadata": None,
    "items": [{"examSession": SAMPLE_SESSION, "examConfig": {"id": SAMPLE_CONFIG}}],
}
SAMPLE_GET_REPLY = {
    "examSession": {**SAMPLE_SESSION, "examId": "a0829bc3-8291-43dd-9181-478e7411c1df/exam#v0"},
    "examConfig": {"id": SAMPLE_CONFIG},
}
SAMPLE_RESULTS_SESSION = {
    "id": "23a0c913-c61d-51fe-9b64-32096b7b84bf",
    "maturity": "COMPLETE",
    "name": "Kevin Campbell",
    "scoreActual": 100,
    "scoreMin": 0,
    "scoreMax": 100,
    "examId": "a0829bc3-8291-43dd-9181-478e7411c1df",
    "examSessionData": {"lti": {"userId": "kevin@examspark.com"}},
}
SAMPLE_RESULTS_ITEM = {
    "sk": "item#v0",
    "name": "Cole earns $6.00 per week for his allowance. Which of the following items would he be able to buy ",
    "score": ONE,
    "id": "b842bb5e-9957-403e-bc54-9a054b290158",
    "alignmentIds": ["92de756d-f455-595c-a2f6-18fb18c4461a"],
    "questions": [
        {
            "id": "1CkpwzuRQSfg",
            "interactionType": "choice",
            "keys": [{"value": "fZosNqHDUhiG", "index": 2}],
            "options": [
                {"id": "wM7IvnjKcCCS", "content": "<p>skateboard</p>", "isKey": False, "index": 0},
                {"id": "6NiO4mi8zWln", "content": "<p>new jacket</p>", "isKey": False, "index": 1},
                {"id": "fZosNqHDUhiG", "content": "<p>cupcake</p>", "isKey": True, "index": 2},
                {"id": "X3RTxQQFe2E3", "content": "<p>bike</p>", "isKey": False, "index": 3},
            ],
            "response": {},
        }
    ],
}
SAMPLE_OBJECTIVE = {
    "score": ONE,
    "id": "92de756d-f455-595c-a2f6-18fb18c4461a",
    "text": "explain that saving is an alternative to spending;",
    "abbreviation": "2.11.B",
    "scores": [ONE],
}

RIGHT: dict[str, Any] = {
    "itemId": ITEMS[0],
    "questions": [{"id": "1CkpwzuRQSfg", "response": {"options": [{"index": 2}]}}],
}


@pytest.fixture(scope="module")
def running() -> Iterator[Sandbox]:
    with Sandbox.running({"campfire": 0}) as sandbox:
        yield sandbox


def basic(key: str, secret: str) -> str:
    return f"Basic {base64.b64encode(f'{key}:{secret}'.encode()).decode()}"


class Client:
    """Speaks plain HTTP to the simulator, with the demo app's key unless told otherwise."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.url = sandbox.url("campfire")
        self.authorization = basic(CampfireSimulator.DEMO_KEY, CampfireSimulator.DEMO_SECRET)
        self.http = requests.Session()

    def send(self, method: str, path: str, **options: Any) -> requests.Response:
        headers = {
            "Authorization": self.authorization,
            "Content-Type": "application/json",
            **options.pop("headers", {}),
        }
        return self.http.request(method, self.url + path, headers=headers, timeout=5, **options)

    def send_sample(self, sample: str, session: str = SAMPLE) -> requests.Response:
        """A sample as the page prints it: request line, query lines, headers, then the body."""
        sample = sample.replace("{{examSessionId}}", session).replace(":examSessionId", session)
        head, brace, body = sample.replace("*****", self.authorization.removeprefix("Basic ")).partition("\n{")
        lines = head.replace("\n?", "?").replace("\n&", "&").splitlines()
        method, target = lines[0].split(" ")
        headers = dict(line.split(": ") for line in lines[1:])
        request = requests.Request(method, self.url, headers=headers, data=(brace + body).strip().encode()).prepare()
        request.url = self.url + target  # the brackets as they stand
        return self.http.send(request, timeout=5)

    def get(self, path: str) -> requests.Response:
        return self.send("GET", path)

    def read(self, session: str = SAMPLE, query: str = "?include[]=results&include[]=responses") -> dict[str, Any]:
        shown: dict[str, Any] = self.get(f"/api/exam-session/{session}{query}").json()["examSession"]
        return shown

    def listed(self, *configs: str, query: str = "", **body: Any) -> requests.Response:
        wanted = {"filter": {"examConfigIds": {"include": list(configs)}}} if configs else {}
        return self.send("POST", f"/api/exam-sessions{query}", json={**wanted, **body})

    def pages(self, *configs: str, most: int = 1000) -> Iterator[dict[str, Any]]:
        token: dict[str, Any] = {}
        for _ in range(most):
            page = self.listed(*configs, **token).json()
            yield page
            if not page.get("nextToken"):
                return
            token = {"nextToken": page["nextToken"]}

    def answer(self, session: str, *answers: tuple[str, str, list[int]], submits: Any = True) -> requests.Response:
        responses = [
            {"itemId": item, "questions": [{"id": question, "response": {"options": [{"index": n} for n in chosen]}}]}
            for item, question, chosen in answers
        ]
        body = {"submitForScoring": submits, "responses": responses}
        return self.send("POST", f"/api/exam-session/{session}/responses", json=body)

    def act(self, verb: str, session: str = SAMPLE) -> requests.Response:
        return self.get(f"/api/exam-session/{session}/{verb}")

    def control(self, name: str, /, **values: str) -> dict[str, Any]:
        return self.sandbox.control("campfire", name, **values)

    def sessions(self, config: str) -> list[dict[str, Any]]:
        return [one for one in self.sandbox.state("campfire")["sessions"] if one["exam_config_id"] == config]

    def session(self, id: str = SAMPLE) -> dict[str, Any]:
        return next(one for one in self.sandbox.state("campfire")["sessions"] if one["id"] == id)


@pytest.fixture
def client(running: Sandbox) -> Client:
    running.control("campfire", "clear")
    return Client(running)


class TestSamples:
    def test_list_is_accepted_verbatim(self, client: Client) -> None:
        reply = client.send_sample(SAMPLE_LIST)

        listed = reply.json()
        assert reply.status_code == 200
        assert {item["examConfig"]["id"] for item in listed["items"]} == {DEMO_CONFIG, RETAKES_CONFIG}
        assert all({"results", "responses"} < set(item["examSession"]) for item in listed["items"])

    def test_list_answers_as_the_page_shows(self, client: Client) -> None:
        reply = client.listed(SAMPLE_CONFIG, query="?include[]=results&include[]=responses")

        assert reply.json() == SAMPLE_LIST_REPLY

    def test_get_answers_as_the_page_shows(self, client: Client) -> None:
        reply = client.send_sample(SAMPLE_GET)

        assert (reply.status_code, reply.json()) == (200, SAMPLE_GET_REPLY)

    def test_results_answer_as_the_page_shows(self, client: Client) -> None:
        reply = client.send_sample(SAMPLE_RESULTS)

        answered = reply.json()
        results = answered["results"]
        assert (answered["examSession"], answered["examConfig"]) == (SAMPLE_RESULTS_SESSION, {"id": SAMPLE_CONFIG})
        assert set(answered) == {"examSession", "results", "examConfig"}
        assert (results["items"][0], results["points"]) == (SAMPLE_RESULTS_ITEM, THREE)
        assert results["objectives"][OBJECTIVES[0]] == SAMPLE_OBJECTIVE
        assert [item["id"] for item in results["items"]] == list(ITEMS)

    def test_responses_are_accepted_verbatim(self, client: Client) -> None:
        reply = client.send_sample(SAMPLE_RESPONSES)

        assert (reply.status_code, reply.content) == (200, b"")
        assert client.read()["responses"][ITEMS[0]] == {"1CkpwzuRQSfg": {"options": [{"index": 2}]}}
        assert client.read()["scoreActual"] == 100

    @pytest.mark.parametrize("sample", [SAMPLE_RESET, SAMPLE_REOPEN])
    def test_actions_are_accepted_verbatim(self, client: Client, sample: str) -> None:
        reply = client.send_sample(sample)

        assert (reply.status_code, reply.content) == (200, b"")

    def test_retake_is_accepted_verbatim_for_a_multi_attempt_session(self, client: Client) -> None:
        session = client.sessions(RETAKES_CONFIG)[0]["id"]

        assert client.send_sample(SAMPLE_RETAKE, session).status_code == 200
        assert client.send_sample(SAMPLE_RETAKE, SAMPLE).status_code == 400


class TestAuthorization:
    def test_is_base64_of_key_and_secret(self) -> None:
        assert demo.CREDENTIALS == {
            "app_key": CampfireSimulator.DEMO_KEY,
            "app_secret": CampfireSimulator.DEMO_SECRET,
        }

    @pytest.mark.parametrize(
        "wrong",
        [
            "",
            "Basic *****",
            f"Basic {CampfireSimulator.DEMO_KEY}:{CampfireSimulator.DEMO_SECRET}",
            basic(CampfireSimulator.DEMO_KEY, "other"),
            basic("other", CampfireSimulator.DEMO_SECRET),
            basic(CampfireSimulator.DEMO_KEY, CampfireSimulator.DEMO_SECRET).replace("Basic", "Bearer"),
        ],
    )
    def test_is_asked_of_every_route_before_anything_else(self, client: Client, wrong: str) -> None:
        before = client.sandbox.state("campfire")
        client.authorization = wrong

        replies = [client.listed(SAMPLE_CONFIG), client.answer("x"), client.get(f"/api/exam-config/{SAMPLE_CONFIG}")]
        replies += [client.get(f"/api/exam-session/{SAMPLE}{end}") for end in ("", "/results")]
        replies += [client.act(verb) for verb in ("reset", "reopen", "retake")]

        assert {reply.status_code for reply in replies} == {401}
        assert client.sandbox.state("campfire") == before

    def test_fails_with_old_keys_once_there_are_new_ones(self, client: Client) -> None:
        made = client.control("regenerate_credentials")

        old = client.listed()
        client.authorization = basic(made["key"], made["secret"])

        assert (old.status_code, client.listed().status_code) == (401, 200)


class TestRequests:
    @pytest.mark.parametrize("path", ["", "/results", "/reset", "/reopen", "/retake"])
    def test_must_say_that_they_are_json_even_gets(self, client: Client, path: str) -> None:
        reply = client.send("GET", f"/api/exam-session/{SAMPLE}{path}", headers={"Content-Type": "text/plain"})

        assert reply.status_code == 415
        assert client.session()["resets"] == client.session()["reopens"] == 0

    @pytest.mark.parametrize(
        ("method", "path", "status"),
        [
            ("GET", "/api/exam-sessions", 405),
            ("POST", f"/api/exam-session/{SAMPLE}", 405),
            ("POST", f"/api/exam-session/{SAMPLE}/reset", 405),
            ("GET", f"/api/exam-session/{SAMPLE}/responses", 405),
            ("GET", "/api/exam-session/17", 400),
            ("GET", "/api/exam-session/00000000-0000-4000-8000-000000000404", 404),
            ("GET", "/api/exam-session/00000000-0000-4000-8000-000000000404/reset", 404),
            ("GET", f"/api/exam-session/{SAMPLE}/results?include[]=results", 400),
            ("GET", f"/api/exam-session/{SAMPLE}/reset?force=true", 400),
            ("GET", f"/api/exam-session/{SAMPLE}?include[]=scores", 400),
            ("GET", f"/api/exam-session/{SAMPLE}?include=results", 400),
            ("GET", "/api/exam-sessions/", 404),
        ],
    )
    def test_are_refused_where_the_page_has_no_such_thing(
        self, client: Client, method: str, path: str, status: int
    ) -> None:
        assert client.send(method, path).status_code == status

    def test_have_no_body_with_a_get(self, client: Client) -> None:
        assert client.send("GET", f"/api/exam-session/{SAMPLE}/reset", json={}).status_code == 400

    @pytest.mark.parametrize(
        ("query", "parts"),
        [
            ("", set()),
            ("?include[]=results", {"results"}),
            ("?include%5B%5D=responses", {"responses"}),
            ("?include[]=results&include[]=responses", {"results", "responses"}),
        ],
    )
    def test_opt_in_to_more_data(self, client: Client, query: str, parts: set[str]) -> None:
        listed = client.listed(SAMPLE_CONFIG, query=query).json()["items"][0]["examSession"]

        assert set(client.read(query=query)) & {"results", "responses"} == parts
        assert set(listed) & {"results", "responses"} == parts


class TestList:
    @pytest.mark.parametrize(
        "body",
        [
            [],
            {"include": ["responses", "results"]},
            {"filter": {}},
            {"filter": {"examConfigIds": [SAMPLE_CONFIG]}},
            {"filter": {"examConfigIds": {"include": SAMPLE_CONFIG}}},
            {"filter": {"examConfigIds": {"include": []}}},
            {"filter": {"examConfigIds": {"include": ["config-1"]}}},
            {"filter": {"examConfigIds": {"include": [SAMPLE_CONFIG], "exclude": []}}},
            {"filter": {"examConfigIds": {"include": [SAMPLE_CONFIG]}, "maturity": {}}},
            {"nextToken": "abc"},
            {"nextToken": 7},
            {"nextToken": base64.b64encode(b'["id=x|sk=exam-session"]').decode()},
            {"nextToken": base64.b64encode(b"[7]").decode()},
            {"nextToken": base64.b64encode(b"[]").decode()},
        ],
    )
    def test_refuses_a_body_that_the_page_does_not_describe(self, client: Client, body: Any) -> None:
        assert client.send("POST", "/api/exam-sessions", json=body).status_code == 400

    def test_shows_the_whole_workspace_without_a_filter(self, client: Client) -> None:
        total = client.listed().json()["total"]

        assert total == len(client.sandbox.state("campfire")["sessions"]) == 1 + 8 + 8 + 60

    def test_finds_nothing_for_a_config_without_sessions(self, client: Client) -> None:
        listed = client.listed(str(uuid4())).json()

        assert listed == {
            "total": 0,
            "nextToken": None,
            "aggregations": {name: {"value": None} for name in ("minScore", "avgScore", "maxScore")},
            "metadata": None,
            "items": [],
        }

    def test_pages_to_an_empty_page_in_order(self, client: Client) -> None:
        pages = list(client.pages(LARGE_CONFIG))

        ids = [item["examSession"]["id"] for page in pages for item in page["items"]]
        assert [len(page["items"]) for page in pages] == [25, 25, 10, 0]
        assert ids == [one["id"] for one in client.sessions(LARGE_CONFIG)]
        assert {page["total"] for page in pages} == {60}
        assert pages[-1]["nextToken"] is None

    @pytest.mark.parametrize(
        ("end", "last"), [("null", {"nextToken": None}), ("absent", {}), ("empty", {"nextToken": ""})]
    )
    def test_ends_as_the_control_says(self, client: Client, end: str, last: dict[str, Any]) -> None:
        client.control("set_paging", page_size="1000", end=end)

        *_, page = client.pages(LARGE_CONFIG)

        assert {name: value for name, value in page.items() if name == "nextToken"} == last

    def test_takes_the_cursor_in_the_query_only_where_the_control_says_so(self, client: Client) -> None:
        token = client.listed(LARGE_CONFIG).json()["nextToken"]
        query = f"?nextToken={quote(token)}"

        before = (client.listed(LARGE_CONFIG, query=query), client.listed(LARGE_CONFIG, nextToken=token))
        client.control("set_paging", cursor_place="query")
        after = (client.listed(LARGE_CONFIG, query=query), client.listed(LARGE_CONFIG, nextToken=token))

        assert [reply.status_code for reply in before] == [400, 200]
        assert [reply.status_code for reply in after] == [200, 400]
        assert before[1].json() == after[0].json()

    def test_can_repeat_a_cursor(self, client: Client) -> None:
        client.control("set_paging", cursor="repeats")

        tokens = [page["nextToken"] for page in client.pages(LARGE_CONFIG, most=3)]

        assert len(set(tokens)) == 1

    def test_can_go_in_circles(self, client: Client) -> None:
        client.control("set_paging", cursor="circles")

        tokens = [page["nextToken"] for page in client.pages(LARGE_CONFIG, most=6)]

        assert tokens[:2] == tokens[2:4] == tokens[4:]
        assert tokens[0] != tokens[1]

    @pytest.mark.parametrize(("cursor", "last"), [("never_ends", 25), ("empty_pages", 0)])
    def test_can_never_end_with_new_cursors(self, client: Client, cursor: str, last: int) -> None:
        client.control("set_paging", cursor=cursor)

        pages = list(client.pages(LARGE_CONFIG, most=8))

        assert len({page["nextToken"] for page in pages}) == 8
        assert len(pages[3]["items"]) == last

    def test_holds_ten_thousand_sessions(self, client: Client) -> None:
        made = client.control("add_exam_config", name="Everybody")["exam_config_id"]
        client.control("add_sessions", exam_config_id=made, count="10000")
        client.control("set_paging", page_size="1000")

        ids = [item["examSession"]["id"] for page in client.pages(made) for item in page["items"]]

        assert len(ids) == len(set(ids)) == 10_000

    def test_counts_a_session_changed_between_two_pages(self, client: Client) -> None:
        first = client.listed(SAMPLE_CONFIG).json()["aggregations"]
        client.act("reset")

        assert first["maxScore"] == {"value": 100}
        assert client.listed(SAMPLE_CONFIG).json()["aggregations"]["maxScore"] == {"value": None}


class TestSessions:
    def test_have_masked_students_but_for_one(self, client: Client) -> None:
        listed = [item["examSession"] for item in client.listed(DEMO_CONFIG).json()["items"]]

        assert {one["studentId"] for one in listed} == {"******", "C-1005"}
        assert {one["maturity"] for one in listed} == {"COMPLETE", "IN_PROGRESS", "AWAITING_REVIEW"}

    def test_name_their_user_in_the_results_route_where_launched_by_lti(self, client: Client) -> None:
        data = {
            one["name"]: client.get(f"/api/exam-session/{one['id']}/results").json()["examSession"]["examSessionData"]
            for one in client.sessions(DEMO_CONFIG)
        }

        assert data["Amos Burton"] == {"lti": {"userId": "amos.burton@example.com"}}
        assert data["Robin Roe"] == data["Siobhán O’Neill"] == {}

    def test_show_questions_before_there_is_an_answer(self, client: Client) -> None:
        session = next(one["id"] for one in client.sessions(DEMO_CONFIG) if one["name"] == "Robin Roe")

        results = client.get(f"/api/exam-session/{session}/results").json()["results"]

        assert [item["questions"][0]["response"] for item in results["items"]] == [{}, {}, {}]
        assert {item["score"]["actual"] for item in results["items"]} == {None}
        assert results["points"] == {**THREE, "actual": None}

    def test_hold_html_that_must_not_run_and_questions_that_are_no_choice(self, client: Client) -> None:
        session = client.sessions(RETAKES_CONFIG)[0]["id"]

        items = client.get(f"/api/exam-session/{session}/results").json()["results"]["items"]

        assert items[0]["questions"][0]["options"][0]["content"] == HOSTILE_HTML
        assert "<script>" in HOSTILE_HTML
        assert items[2]["questions"][0]["interactionType"] == "extendedText"
        assert items[2]["score"] == {"actual": None, "isScorable": False, "min": 0, "max": 0}


class TestResponses:
    def test_are_scored_when_submitted(self, client: Client) -> None:
        session = client.control("add_session", answers="none", maturity="IN_PROGRESS")["session_id"]

        client.answer(session, (ITEMS[0], "1CkpwzuRQSfg", [2]), (ITEMS[1], "5Vkl1ZQLt3Io", [0]))

        shown = client.read(session)
        assert (shown["maturity"], shown["scoreActual"]) == ("COMPLETE", 33)
        assert shown["responses"] == {
            ITEMS[0]: {"1CkpwzuRQSfg": {"options": [{"index": 2}]}},
            ITEMS[1]: {"5Vkl1ZQLt3Io": {"options": [{"index": 0}]}},
        }
        assert [item["score"]["actual"] for item in shown["results"]["items"]] == [1, 0, 0]

    def test_are_only_kept_when_not_submitted(self, client: Client) -> None:
        session = client.control("add_session", answers="none", maturity="IN_PROGRESS")["session_id"]

        client.answer(session, (ITEMS[0], "1CkpwzuRQSfg", [2]), submits=False)

        shown = client.read(session)
        assert (shown["maturity"], shown["scoreActual"], list(shown["responses"])) == ("IN_PROGRESS", None, [ITEMS[0]])

    def test_may_choose_several_options(self, client: Client) -> None:
        session = client.sessions(RETAKES_CONFIG)[1]["id"]
        item = "3f0d1c52-86f3-4b6a-9a0e-5d7b2c1e4f02"

        client.answer(session, (item, "wB7uYc93PnVd", [2, 0]))

        assert client.session(session)["scores"][item] == 1

    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"submitForScoring": True},
            {"responses": [RIGHT]},
            {"submitForScoring": True, "responses": []},
            {"submitForScoring": True, "responses": RIGHT},
            {"submitForScoring": "true", "responses": [RIGHT]},
            {"submitForScoring": 1, "responses": [RIGHT]},
            {"submitForScoring": True, "responses": [RIGHT], "draft": True},
            {"submitForScoring": True, "responses": [{"itemId": ITEMS[0]}]},
            {"submitForScoring": True, "responses": [{"itemId": ITEMS[0], "questions": []}]},
            {"submitForScoring": True, "responses": [{**RIGHT, "itemId": str(uuid4())}]},
            {"submitForScoring": True, "responses": [{**RIGHT, "itemId": 7}]},
            {"submitForScoring": True, "responses": [RIGHT, {**RIGHT, "itemId": ITEMS[1]}]},
        ],
    )
    def test_are_refused_as_a_whole_where_the_body_is_wrong(self, client: Client, body: dict[str, Any]) -> None:
        before = client.session()

        reply = client.send("POST", f"/api/exam-session/{SAMPLE}/responses", json=body)

        assert (reply.status_code, client.session()) == (400, before)

    @pytest.mark.parametrize(
        "wrong",
        [
            {"id": "nobody"},
            {"id": 7},
            {"score": 1},
            {"response": "2"},
            {"response": {"text": "two"}},
            {"response": {"options": []}},
            {"response": {"options": [{"index": 4}]}},
            {"response": {"options": [{"index": "2"}]}},
            {"response": {"options": [{"index": True}]}},
            {"response": {"options": [{"index": 2}, {"index": 2}]}},
            {"response": {"options": [{"index": 2, "id": "x"}]}},
        ],
    )
    def test_are_refused_where_a_question_is_wrong(self, client: Client, wrong: dict[str, Any]) -> None:
        before = client.session()
        responses = [{"itemId": ITEMS[0], "questions": [{**RIGHT["questions"][0], **wrong}]}]

        body = {"submitForScoring": True, "responses": responses}
        reply = client.send("POST", f"/api/exam-session/{SAMPLE}/responses", json=body)

        assert (reply.status_code, client.session()) == (400, before)

    def test_are_refused_twice_for_one_item_or_question(self, client: Client) -> None:
        twice = [(ITEMS[0], "1CkpwzuRQSfg", [2])] * 2

        assert client.answer(SAMPLE, *twice).status_code == 400

    def test_are_for_multiple_choice_only(self, client: Client) -> None:
        session = client.sessions(RETAKES_CONFIG)[0]["id"]

        reply = client.answer(session, ("3f0d1c52-86f3-4b6a-9a0e-5d7b2c1e4f03", "mD5rXe27QoWf", [0]))

        assert reply.status_code == 400


class TestReset:
    def test_removes_responses_and_scores_and_keeps_maturity(self, client: Client) -> None:
        client.act("reset")

        shown = client.read()
        assert (shown["maturity"], shown["scoreActual"], shown["responses"]) == ("COMPLETE", None, {})
        assert shown["results"] == {"items": [], "objectives": {}, "points": {**THREE, "actual": None}}
        assert client.session()["resets"] == 1

    def test_changes_maturity_where_the_control_says_so(self, client: Client) -> None:
        client.control("set_behaviour", maturity_after_reset="IN_PROGRESS")

        client.act("reset")

        assert client.read()["maturity"] == "IN_PROGRESS"


class TestReopen:
    def test_sets_maturity_and_nothing_else(self, client: Client) -> None:
        before = client.read()

        client.act("reopen")

        assert client.read() == {**before, "maturity": "IN_PROGRESS"}

    def test_can_be_told_twice_and_is_counted(self, client: Client) -> None:
        client.act("reopen")
        client.act("reopen")

        assert client.session()["reopens"] == 2


class TestRetake:
    def test_prepares_another_attempt_and_keeps_the_best_score(self, client: Client) -> None:
        session = client.sessions(RETAKES_CONFIG)[0]["id"]

        client.act("retake", session)
        client.answer(session, ("3f0d1c52-86f3-4b6a-9a0e-5d7b2c1e4f02", "wB7uYc93PnVd", [1]))

        kept = client.session(session)
        assert (kept["attempt"], kept["score_actual"], len(kept["earlier_attempts"])) == (2, 100, 1)

    def test_is_refused_for_a_session_that_is_not_multi_attempt(self, client: Client) -> None:
        before = client.session()

        reply = client.act("retake")

        assert (reply.status_code, client.session()) == (400, before)

    def test_is_a_matter_of_the_session_and_not_of_its_config(self, client: Client) -> None:
        made = client.control("add_session", is_multi_attempt="yes")["session_id"]

        assert client.act("retake", made).status_code == 200


class TestExamConfig:
    @pytest.mark.parametrize(("config", "allows"), [(DEMO_CONFIG, False), (RETAKES_CONFIG, True)])
    def test_says_whether_retakes_are_allowed(self, client: Client, config: str, allows: bool) -> None:
        shown = client.get(f"/api/exam-config/{config}").json()["examConfig"]

        assert (shown["id"], shown["config"]["allowRetakes"]) == (config, allows)

    def test_lies_in_the_shape_that_the_control_says(self, client: Client) -> None:
        client.control("set_behaviour", config_shape="flat")
        flat = client.get(f"/api/exam-config/{RETAKES_CONFIG}").json()
        client.control("set_behaviour", config_shape="bare")
        bare = client.get(f"/api/exam-config/{RETAKES_CONFIG}").json()

        assert flat == {"examConfig": bare}
        assert bare["allowRetakes"] is True

    def test_is_not_found_where_there_is_none(self, client: Client) -> None:
        assert client.get(f"/api/exam-config/{uuid4()}").status_code == 404


class TestControls:
    def test_answer_actions_with_the_session_where_asked(self, client: Client) -> None:
        client.control("set_behaviour", action_reply="session")

        assert client.act("reopen").json()["examSession"]["maturity"] == "IN_PROGRESS"

    def test_change_and_remove_a_session(self, client: Client) -> None:
        client.control("set_session", session_id=SAMPLE, maturity="OPERATIONAL", answers="wrong")
        changed = client.read()
        client.control("remove_session", session_id=SAMPLE)

        assert (changed["maturity"], changed["scoreActual"]) == ("OPERATIONAL", 0)
        assert client.get(f"/api/exam-session/{SAMPLE}").status_code == 404
        assert client.listed(SAMPLE_CONFIG).json()["total"] == 0

    def test_clear_brings_the_demo_back(self, client: Client) -> None:
        before = client.sandbox.state("campfire")
        client.act("reset")
        client.control("regenerate_credentials")
        client.control("clear")

        assert client.sandbox.state("campfire") == before


class TestDemo:
    def test_exams_are_those_of_the_simulator(self, client: Client) -> None:
        state = client.sandbox.state("campfire")
        configs = {config["id"]: config["exam_id"] for config in state["exam_configs"]}

        for exam in demo.EXAMS:
            settings: Any = exam["settings"]
            assert {configs[ref] for ref in settings["config_refs"]} == {exam["ref"]}


class TestRestart:
    def test_keeps_everything(self, tmp_path: Path) -> None:
        with Sandbox.running({"campfire": 0}, folder=tmp_path) as sandbox:
            Client(sandbox).act("reset")
            before = json.dumps(sandbox.state("campfire"))

        with Sandbox.running({"campfire": 0}, folder=tmp_path) as sandbox:
            assert json.dumps(sandbox.state("campfire")) == before
