"""Campfire Learning's exam sessions as their page describes them: listing, reading, answering, reset, reopen, retake.

Follows docs.campfirelearning.com/developers/api-legacy/assessment/exam-sessions. The page shows no error, no answer to
an action and no second page of a list: what is done here is said at its place and, where it matters, a control changes it.
"""

from __future__ import annotations

import base64
import binascii
import json
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import NAMESPACE_URL, uuid4, uuid5

from proctoring.sandbox.simulator import (
    Control,
    Document,
    Parameter,
    Reply,
    Request,
    Route,
    Simulator,
    is_uuid,
)

YES_NO = ("yes", "no")
MASKED = "******"
INCLUDES = ("results", "responses")
CURSORS = ("ends", "repeats", "circles", "never_ends", "empty_pages")
ENDS = ("null", "absent", "empty")
CONFIG_SHAPES = ("nested", "flat", "bare")
ANSWERS = ("right", "wrong", "none")
MOST_SESSIONS = 50_000

SAMPLE_EXAM = "a0829bc3-8291-43dd-9181-478e7411c1df"
OTHER_EXAM = "c1f7a1de-52f0-4c0b-8f63-7d1a3c5e9b02"
SAVING = "92de756d-f455-595c-a2f6-18fb18c4461a"
SPENDING = "f10e8b11-7da6-568d-a6ea-d87b3bb35c83"
BUDGET = "e5fac3cc-aa4c-5aaa-b5aa-178bcc60a366"
HOSTILE_HTML = (
    "<p>piggy bank</p><script>document.title = 'taken over'</script>"
    '<img src="x" onerror="document.title = \'taken over\'"><a href="javascript:alert(1)">read more</a>'
)


def _item(id: str, name: str, objective: str, question: str, keys: Sequence[int], contents: Sequence[str]) -> Document:
    """A multiple-choice item; its only question has an option for each of `contents`."""
    ids = SAMPLE_OPTIONS.get(question) or [f"{question[:8]}-{index}" for index in range(len(contents))]
    options = [
        {"id": ids[index], "content": content, "isKey": index in keys, "index": index}
        for index, content in enumerate(contents)
    ]
    return {
        "id": id,
        "name": name,
        "alignmentIds": [objective],
        "questions": [
            {
                "id": question,
                "interactionType": "choice",
                "keys": [{"value": ids[index], "index": index} for index in keys],
                "options": options,
            }
        ],
    }


SAMPLE_OPTIONS = {"1CkpwzuRQSfg": ["wM7IvnjKcCCS", "6NiO4mi8zWln", "fZosNqHDUhiG", "X3RTxQQFe2E3"]}
OBJECTIVES = {
    SAVING: {"text": "explain that saving is an alternative to spending;", "abbreviation": "2.11.B"},
    SPENDING: {"text": "distinguish between a deposit and a withdrawal;", "abbreviation": "2.11.C"},
    BUDGET: {"text": "identify the costs and benefits of planned spending;", "abbreviation": "2.11.D"},
}
SAMPLE_ITEMS = [
    _item(
        "b842bb5e-9957-403e-bc54-9a054b290158",
        "Cole earns $6.00 per week for his allowance. Which of the following items would he be able to buy ",
        SAVING,
        "1CkpwzuRQSfg",
        [2],
        ["<p>skateboard</p>", "<p>new jacket</p>", "<p>cupcake</p>", "<p>bike</p>"],
    ),
    _item(
        "cdf02148-7888-4e4b-97ff-0003846baa4d",
        "Mia takes $10.00 out of her account. What is this called?",
        SPENDING,
        "5Vkl1ZQLt3Io",
        [1],
        ["<p>a deposit</p>", "<p>a <em>withdrawal</em></p>", "<p>a loan</p>", "<p>interest</p>"],
    ),
    _item(
        "993d673c-5c8d-43aa-99ea-8e417d1300dc",
        "Which of these is planned spending?",
        BUDGET,
        "oRrwhIkKBBH",
        [3],
        ["<p>candy at the till</p>", "<p>a lost ticket</p>", "<p>a fine</p>", "<p>rent &amp; food</p>"],
    ),
]
OTHER_ITEMS = [
    _item(
        "3f0d1c52-86f3-4b6a-9a0e-5d7b2c1e4f01",
        "Where is money <b>safest</b>?",
        SAVING,
        "hQ2tZk81LmXa",
        [1],
        [HOSTILE_HTML, "<p>an insured bank</p>", "<p>a pocket</p>"],
    ),
    _item(
        "3f0d1c52-86f3-4b6a-9a0e-5d7b2c1e4f02",
        "Which two of these earn interest?",
        SPENDING,
        "wB7uYc93PnVd",
        [0, 2],
        ["<p>a savings account</p>", "<p>cash</p>", "<p>a bond</p>"],
    ),
    {
        "id": "3f0d1c52-86f3-4b6a-9a0e-5d7b2c1e4f03",
        "name": "Describe a plan to save for a bicycle.",
        "alignmentIds": [BUDGET],
        "questions": [{"id": "mD5rXe27QoWf", "interactionType": "extendedText", "keys": [], "options": []}],
    },
]
# The demo team's candidates: name, e-mail, what the vendor shows as the student's id, maturity and answers.
PEOPLE = [
    ("Amos Burton", "amos.burton@example.com", MASKED, "COMPLETE", "right"),
    ("Zoë Müller-Lüdenscheidt", "zoe.mueller@example.com", MASKED, "COMPLETE", "wrong"),
    ("مریم رضایی", "maryam.rezaei@example.com", MASKED, "IN_PROGRESS", "none"),
    ("Nguyễn Thị Hương", "huong.nguyen@example.com", MASKED, "AWAITING_REVIEW", "right"),
    ("Siobhán O’Neill", "", "C-1005", "COMPLETE", "right"),
    ("Tāne Wiremu", "tane.wiremu@example.com", MASKED, "IN_PROGRESS", "none"),
    ("Jordan Doe", "jordan.doe@example.org", MASKED, "COMPLETE", "wrong"),
    ("Robin Roe", "", MASKED, "IN_PROGRESS", "none"),
]


@dataclass(frozen=True)
class Listing:
    """The sessions of one filter, in order: what every page of a list is cut from."""

    ids: list[str]
    positions: Mapping[str, int]
    scores: list[int]

    def aggregations(self) -> Document:
        scores = self.scores
        average = round(sum(scores) / len(scores), 2) if scores else None
        return {
            "minScore": {"value": min(scores, default=None)},
            "avgScore": {"value": int(average) if average is not None and average.is_integer() else average},
            "maxScore": {"value": max(scores, default=None)},
        }


class CampfireSimulator(Simulator):
    """The demo app's key is DEMO_KEY, its secret DEMO_SECRET: Basic authorization, base64 of `key:secret`.

    SAMPLE_CONFIG holds the session of the vendor's page. DEMO_CONFIG and RETAKES_CONFIG are those of its filter, each
    with sessions of the demo team's candidates and of strangers; those of RETAKES_CONFIG are multi-attempt.
    LARGE_CONFIG fills three pages.
    """

    vendor = "campfire"
    title = "Campfire Learning"
    default_port = 8102

    DEMO_KEY = "demo-campfire-app"
    DEMO_SECRET = "4d1f7b0e9a6c4c52b1f3-campfire"  # noqa: S105  published on purpose
    WORKSPACE = "focus1f8-district"
    SAMPLE_SESSION = "23a0c913-c61d-51fe-9b64-32096b7b84bf"
    SAMPLE_CONFIG = "00722246-e417-475a-b1ae-994d65fd5cc2"
    DEMO_CONFIG = "0007622b-b727-4d64-8454-4b3383ed9509"
    RETAKES_CONFIG = "d7a56ac9-2e3d-4a86-814a-0ddf7fbf7f8c"
    LARGE_CONFIG = "5e3c9d10-7b42-4f86-a1d5-60f2b8c74e93"
    DEMO_EXAM = SAMPLE_EXAM
    RETAKES_EXAM = OTHER_EXAM
    PAGE_SIZE = 25

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._listings: dict[tuple[str, ...], Listing] = {}  # 10,000 sessions are not copied for each page

    def seed(self) -> None:
        self._listings.clear()
        self.store.put("apps", "demo", self._first_app())
        self._put_exam(SAMPLE_EXAM, "Personal financial literacy", SAMPLE_ITEMS)
        self._put_exam(OTHER_EXAM, "Saving and earning", OTHER_ITEMS)
        self._put_config(self.SAMPLE_CONFIG, SAMPLE_EXAM, "Sample", allows_retakes=False)
        self._put_config(self.DEMO_CONFIG, SAMPLE_EXAM, "Spring sitting", allows_retakes=False)
        self._put_config(self.RETAKES_CONFIG, OTHER_EXAM, "Practice, with retakes", allows_retakes=True)
        self._put_config(self.LARGE_CONFIG, SAMPLE_EXAM, "District sitting", allows_retakes=False)
        self._put_sample_session()
        for name, user, student, maturity, answers in PEOPLE:
            for config in (self.DEMO_CONFIG, self.RETAKES_CONFIG):
                self._put_session(config, name, user, student, maturity, answers)
        self._put_many(self.LARGE_CONFIG, 60)

    def _first_app(self) -> Document:
        return {
            "id": "demo",
            "key": self.DEMO_KEY,
            "secret": self.DEMO_SECRET,
            "workspace_id": self.WORKSPACE,
            "page_size": self.PAGE_SIZE,
            "cursor_place": "body",
            "cursor": "ends",
            "end": "null",
            "maturity_after_reset": "kept",
            "action_reply": "empty",
            "config_shape": "nested",
        }

    def _put_exam(self, id: str, name: str, items: Sequence[Document]) -> None:
        self.store.put("exams", id, {"id": id, "name": name, "items": list(items), "objectives": OBJECTIVES})

    def _put_config(self, id: str, exam_id: str, name: str, *, allows_retakes: bool) -> None:
        config = {
            "allowRetakes": allows_retakes,
            "enableReadAloud": False,
            "showCorrectAnswersOnComplete": False,
            "showScoreOnComplete": True,
            "shuffleOptions": False,
            "attemptResolutionStrategy": {"mode": "HIGHEST"},
        }
        self.store.put("exam_configs", id, {"id": id, "exam_id": exam_id, "name": name, "config": config})

    def _put_sample_session(self) -> None:
        """The page's own session: its answers are shown as empty objects although it scored."""
        session = self._new_session(self.SAMPLE_CONFIG, "Kevin Campbell", "kevin@examspark.com", MASKED)
        ids = [item["id"] for item in SAMPLE_ITEMS]
        answered = {"answers": {id: {} for id in reversed(ids)}, "scores": dict.fromkeys(ids, 1), "score_actual": 100}
        self._save({**session, "id": self.SAMPLE_SESSION, "maturity": "COMPLETE", **answered})

    def _put_session(
        self, config_id: str, name: str, user_id: str, student_id: str, maturity: str, answers: str
    ) -> Document:
        session = self._new_session(config_id, name, user_id, student_id)
        return self._save({**self._answered(session, answers), "maturity": maturity})

    def _put_many(self, config_id: str, count: int) -> None:
        first = self.store.count("sessions") + 1
        for number in range(first, first + count):
            name, user = f"Student {number:05}", f"student{number:05}@district.example"
            maturity = "IN_PROGRESS" if number % 10 == 0 else "COMPLETE"
            self._put_session(config_id, name, user, MASKED, maturity, ANSWERS[number % 2] if number % 10 else "none")

    def _new_session(self, config_id: str, name: str, user_id: str, student_id: str) -> Document:
        config = self._existing("exam_configs", "exam config", config_id)
        id = str(uuid5(NAMESPACE_URL, f"{config['id']}/{user_id or name}"))
        return {
            "id": str(uuid4()) if self.store.get("sessions", id) else id,
            "exam_config_id": config["id"],
            "exam_id": config["exam_id"],
            "workspace_id": self.WORKSPACE,
            "student_id": student_id,
            "user_id": user_id,
            "name": name,
            "maturity": "IN_PROGRESS",
            "is_multi_attempt": config["config"]["allowRetakes"],
            "answers": {},
            "scores": {},
            "score_actual": None,
            "attempt": 1,
            "earlier_attempts": [],
            "resets": 0,
            "reopens": 0,
        }

    def _answered(self, session: Document, how: str) -> Document:
        """As if the candidate had answered every question right, or wrong, or none."""
        if how == "none":
            return {**session, "answers": {}, "scores": {}, "score_actual": None}
        items = self._items(session)
        answers = {item["id"]: {part["id"]: _answer(part, how) for part in item["questions"]} for item in items}
        return _scored({**session, "answers": answers}, items)

    def _save(self, session: Document) -> Document:
        self._listings.clear()
        self.store.put("sessions", session["id"], session)
        return session

    def _app(self) -> Document:
        return self.store.all("apps")[0]

    def _items(self, session: Document) -> list[Document]:
        exam = self.store.get("exams", session["exam_id"]) or {}
        items: list[Document] = exam["items"]
        return items

    def routes(self) -> Sequence[Route]:
        session = "/api/exam-session/{session_id}"
        return (
            Route("POST", "/api/exam-sessions", self._list),
            Route("GET", session, self._read),
            Route("GET", f"{session}/results", self._read_results),
            Route("POST", f"{session}/responses", self._set_responses),
            Route("GET", f"{session}/retake", self._retake),
            Route("GET", f"{session}/reset", self._reset),
            Route("GET", f"{session}/reopen", self._reopen),
            Route("GET", "/api/exam-config/{config_id}", self._read_config),
        )

    # Who asks, and about what

    def _authorize(self, request: Request) -> Document:
        app = self._app()
        token = base64.b64encode(f"{app['key']}:{app['secret']}".encode()).decode()
        if not secrets.compare_digest(request.header("authorization").encode(), f"Basic {token}".encode()):
            raise self.problem(401, "Unauthorized")
        return app

    def _enter(self, request: Request, *, queries: Iterable[str] = ()) -> Document:
        """What every route of the page asks: the app, the content type (of GETs too), known query parameters."""
        app = self._authorize(request)
        if request.content_type != "application/json":
            raise self.problem(415, "The Content-Type must be application/json.")
        unknown = sorted({name for name, _ in request.query} - set(queries))
        if unknown:
            raise self.problem(400, f"Unknown query parameters: {', '.join(unknown)}.")
        if request.method == "GET" and request.body:
            raise self.problem(400, "A GET has no body.")
        return app

    def _existing(self, kind: str, noun: str, id: Any) -> Document:
        if not is_uuid(id):
            raise self.problem(400, f"The id of an {noun} is a UUID.")
        found = self.store.get(kind, id.lower())
        if found is None:
            raise self.problem(404, f"There is no such {noun}.")
        return found

    def _session(self, session_id: str) -> Document:
        return self._existing("sessions", "exam session", session_id)

    def _includes(self, request: Request) -> tuple[str, ...]:
        includes = request.values("include[]")
        unknown = sorted(set(includes) - set(INCLUDES))
        if unknown:
            raise self.problem(400, f"Unknown include[]: {', '.join(unknown)}.")
        return includes

    # The list

    def _list(self, request: Request) -> Reply:
        is_in_query = self._app()["cursor_place"] == "query"
        app = self._enter(request, queries=("include[]", "nextToken") if is_in_query else ("include[]",))
        body, includes = self.read_object(request), self._includes(request)
        listing = self._listing(self._config_ids(body, takes_token=not is_in_query))
        token = (request.first("nextToken") or None) if is_in_query else body.get("nextToken")
        start = self._start(listing, token)
        ids = listing.ids[start : start + app["page_size"]]
        if not ids and app["cursor"] == "never_ends":
            start, ids = 0, listing.ids[: app["page_size"]]
        sessions = [self._session(id) for id in ids]
        return Reply(
            json={
                "total": len(listing.ids),
                **_next_token(app, listing, start, token),
                "aggregations": listing.aggregations(),
                "metadata": None,
                "items": [self._shown(session, includes) for session in sessions],
            }
        )

    def _config_ids(self, body: Document, *, takes_token: bool) -> tuple[str, ...]:
        """The filter; without one, every session of the workspace is meant."""
        self._known(body, "The body", {"filter", "nextToken"} if takes_token else {"filter"})
        if "filter" not in body:
            return ()
        wanted = self._part(self._part(body, "filter", "examConfigIds"), "examConfigIds", "include")["include"]
        if not isinstance(wanted, list) or not wanted or not all(is_uuid(id) for id in wanted):
            raise self.problem(400, "filter.examConfigIds.include must be a list of at least one UUID.")
        return tuple(sorted({id.lower() for id in wanted}))

    def _part(self, value: Document, name: str, key: str) -> Document:
        part = value.get(name)
        if not isinstance(part, dict) or set(part) != {key}:
            raise self.problem(400, f"{name} must be an object that holds {key} and nothing else.")
        return part

    def _known(self, value: Document, title: str, names: set[str]) -> None:
        unknown = sorted(set(value) - names)
        if unknown:
            raise self.problem(400, f"{title} has unknown fields: {', '.join(unknown)}.")

    def _listing(self, config_ids: tuple[str, ...]) -> Listing:
        if config_ids not in self._listings:
            sessions = self.store.all("sessions") if not config_ids else []
            for config_id in config_ids:
                sessions += self.store.find("sessions", exam_config_id=config_id)
            ids = [session["id"] for session in sessions]
            scores = [session["score_actual"] for session in sessions if session["score_actual"] is not None]
            self._listings[config_ids] = Listing(ids, {id: index for index, id in enumerate(ids)}, scores)
        return self._listings[config_ids]

    def _start(self, listing: Listing, token: Any) -> int:
        if token is None:
            return 0
        try:
            record, *_ = json.loads(base64.b64decode(token, validate=True))
            return listing.positions[record.removeprefix("id=").removesuffix("|sk=exam-session")] + 1
        except (binascii.Error, ValueError, TypeError, LookupError, AttributeError) as error:
            raise self.problem(400, "nextToken is not one of this list.") from error

    # One session

    def _read(self, request: Request, session_id: str) -> Reply:
        self._enter(request, queries=("include[]",))
        shown = self._shown(self._session(session_id), self._includes(request), has_exam=True)
        return Reply(json=shown)

    def _shown(self, session: Document, includes: Sequence[str], *, has_exam: bool = False) -> Document:
        shown = {
            "id": session["id"],
            "studentId": session["student_id"],
            "maturity": session["maturity"],
            "name": session["name"],
            **_score_fields(session),
            **({"examId": f"{session['exam_id']}/exam#v0"} if has_exam else {}),
            "workspaceId": session["workspace_id"],
        }
        if "responses" in includes:
            shown["responses"] = session["answers"]
        if "results" in includes:
            shown["results"] = self._results(session)
        return {"examSession": shown, "examConfig": {"id": session["exam_config_id"]}}

    def _results(self, session: Document) -> Document:
        """Without scores there is nothing to list; the page shows no such session."""
        items = [item for item in self._items(session) if session["scores"]]
        return {
            "items": [{"id": item["id"], "score": _item_score(session, item)} for item in items],
            "objectives": {id: {"id": id, **_sums(parts)} for id, parts in _by_objective(session, items).items()},
            "points": _sum([_item_score(session, item) for item in self._items(session)]),
        }

    def _read_results(self, request: Request, session_id: str) -> Reply:
        self._enter(request)
        session = self._session(session_id)
        items = self._items(session)
        objectives = {
            id: {"id": id, **OBJECTIVES[id], **_sums(parts)} for id, parts in _by_objective(session, items).items()
        }
        lti = {"lti": {"userId": session["user_id"]}} if session["user_id"] else {}
        shown = {
            **{name: session[name] for name in ("id", "maturity", "name")},
            **_score_fields(session),
            "examId": session["exam_id"],
            "examSessionData": lti,
        }
        results = {
            "items": [_item_result(session, item) for item in items],
            "objectives": objectives,
            "points": _sum([_item_score(session, item) for item in items]),
        }
        return Reply(json={"examSession": shown, "results": results, "examConfig": {"id": session["exam_config_id"]}})

    # Changing one session

    def _set_responses(self, request: Request, session_id: str) -> Reply:
        self._enter(request)
        session, body = self._session(session_id), self.read_object(request)
        self._exactly(body, "The body", {"submitForScoring", "responses"})
        if not isinstance(body["submitForScoring"], bool):
            raise self.problem(400, "submitForScoring must be true or false.")
        items = {item["id"]: item for item in self._items(session)}
        answers = self._answers(items, body["responses"])
        changed = {**session, "answers": {**session["answers"], **answers}}
        if body["submitForScoring"]:
            changed = {**_scored(changed, items.values()), "maturity": "COMPLETE"}
        return self._done(self._save(changed))

    def _answers(self, items: Mapping[str, Document], given: Any) -> Document:
        answers: Document = {}
        for response in self._objects(given, "responses", {"itemId", "questions"}):
            item = items.get(response["itemId"]) if isinstance(response["itemId"], str) else None
            if item is None or item["id"] in answers:
                raise self.problem(400, "itemId must be an item of this exam, each at most once.")
            answers[item["id"]] = self._item_answers(item, response["questions"])
        return answers

    def _item_answers(self, item: Document, given: Any) -> Document:
        questions = {question["id"]: question for question in item["questions"]}
        answers: Document = {}
        for part in self._objects(given, "questions", {"id", "response"}):
            question = questions.get(part["id"]) if isinstance(part["id"], str) else None
            if question is None or question["id"] in answers:
                raise self.problem(400, "A question's id must be one of its item, each at most once.")
            answers[question["id"]] = self._choice(question, part["response"])
        return answers

    def _choice(self, question: Document, response: Any) -> Document:
        if question["interactionType"] != "choice":
            raise self.problem(400, "Only multiple-choice questions can be answered here.")
        if not isinstance(response, dict):
            raise self.problem(400, "response must be an object.")
        self._exactly(response, "response", {"options"})
        chosen = [option["index"] for option in self._objects(response["options"], "options", {"index"})]
        known = {option["index"] for option in question["options"]}
        if any(type(index) is not int or index not in known for index in chosen) or len(set(chosen)) < len(chosen):
            raise self.problem(400, "index must be the index of an option of this question, each at most once.")
        return {"options": [{"index": index} for index in chosen]}

    def _objects(self, value: Any, title: str, names: set[str]) -> list[Document]:
        if not isinstance(value, list) or not value or not all(isinstance(part, dict) for part in value):
            raise self.problem(400, f"{title} must be a list of at least one object.")
        for part in value:
            self._exactly(part, f"An entry of {title}", names)
        return value

    def _exactly(self, value: Document, title: str, names: set[str]) -> None:
        self._known(value, title, names)
        missing = sorted(names - set(value))
        if missing:
            raise self.problem(400, f"{title} lacks {', '.join(missing)}.")

    def _retake(self, request: Request, session_id: str) -> Reply:
        """A new attempt; under HIGHEST the best score so far stays the session's."""
        self._enter(request)
        session = self._session(session_id)
        if not session["is_multi_attempt"]:
            raise self.problem(400, "This exam session is not multi-attempt.")
        kept = {name: session[name] for name in ("attempt", "maturity", "score_actual", "answers", "scores")}
        return self._done(
            self._save(
                {
                    **session,
                    "maturity": "IN_PROGRESS",
                    "answers": {},
                    "scores": {},
                    "attempt": session["attempt"] + 1,
                    "earlier_attempts": [*session["earlier_attempts"], kept],
                }
            )
        )

    def _reset(self, request: Request, session_id: str) -> Reply:
        """Answers and scores go, those of earlier attempts too. The page is silent on maturity: a control decides."""
        app = self._enter(request)
        session = self._session(session_id)
        wanted = app["maturity_after_reset"]
        return self._done(
            self._save(
                {
                    **session,
                    "maturity": session["maturity"] if wanted == "kept" else wanted,
                    "answers": {},
                    "scores": {},
                    "score_actual": None,
                    "earlier_attempts": [],
                    "resets": session["resets"] + 1,
                }
            )
        )

    def _reopen(self, request: Request, session_id: str) -> Reply:
        self._enter(request)
        session = self._session(session_id)
        return self._done(self._save({**session, "maturity": "IN_PROGRESS", "reopens": session["reopens"] + 1}))

    def _done(self, session: Document) -> Reply:
        """The page shows no answer to an action."""
        if self._app()["action_reply"] == "empty":
            return Reply()
        return Reply(json=self._shown(session, (), has_exam=True))

    def _read_config(self, request: Request, config_id: str) -> Reply:
        """Named on the exam-config page, which shows the fields only; a control chooses what they lie in."""
        shape = self._authorize(request)["config_shape"]
        config = self._existing("exam_configs", "exam config", config_id)
        base = {"id": config["id"], "examId": f"{config['exam_id']}/exam#v0", "name": config["name"]}
        shown = {**base, "config": config["config"]} if shape == "nested" else {**base, **config["config"]}
        return Reply(json=shown if shape == "bare" else {"examConfig": shown})

    # What an administrator does at the vendor, and what candidates do

    def controls(self) -> Sequence[Control]:
        return (*self._app_controls(), *self._session_controls(), *super().controls())

    def _app_controls(self) -> Sequence[Control]:
        return (
            Control(
                "regenerate_credentials",
                "Regenerate the app's keys",
                "A new key and secret; those in use until now stop working at once.",
                self._regenerate,
            ),
            self._switch(
                "set_paging",
                "How lists are paged",
                "The size of a page, where nextToken is taken, how cursors misbehave, and what stands after the last page.",
                (
                    Parameter("page_size", "Page size", str(self.PAGE_SIZE), ("1", "2", "10", "25", "100", "1000")),
                    Parameter("cursor_place", "nextToken comes in the", "body", ("body", "query")),
                    Parameter("cursor", "Cursor", "ends", CURSORS),
                    Parameter("end", "After the last page nextToken is", "null", ENDS),
                ),
            ),
            self._switch(
                "set_behaviour",
                "What the page leaves open",
                "Maturity after a reset, the answer to an action, and the shape of an exam config.",
                (
                    Parameter("maturity_after_reset", "Maturity after a reset", "kept", ("kept", "IN_PROGRESS")),
                    Parameter("action_reply", "Answer to an action", "empty", ("empty", "session")),
                    Parameter("config_shape", "Exam config", "nested", CONFIG_SHAPES),
                ),
            ),
            Control(
                "add_exam_config",
                "Add an exam config",
                "A new config of the demo exam, without sessions.",
                self._add_config,
                (Parameter("name", "Name", "Autumn sitting"), Parameter("allow_retakes", "Retakes", "no", YES_NO)),
            ),
            Control(
                "set_exam_config",
                "Change an exam config",
                "Whether it says that retakes are allowed; its sessions stay as they are.",
                self._set_config,
                (Parameter("exam_config_id", "Exam config"), Parameter("allow_retakes", "Retakes", "yes", YES_NO)),
            ),
        )

    def _session_controls(self) -> Sequence[Control]:
        maturity = Parameter("maturity", "Maturity", "COMPLETE")
        return (
            Control(
                "add_session",
                "Add a session",
                "A candidate's session; without a user id it was not launched by LTI.",
                self._add_session,
                (
                    Parameter("exam_config_id", "Exam config", self.DEMO_CONFIG),
                    Parameter("name", "Name", "Alex Poe"),
                    Parameter("user_id", "LTI user id", is_required=False),
                    Parameter("student_id", "Student id", MASKED),
                    maturity,
                    Parameter("answers", "Answers", "right", ANSWERS),
                    Parameter("is_multi_attempt", "Multi-attempt", "no", YES_NO),
                ),
            ),
            Control(
                "add_sessions",
                "Add many sessions",
                "Students of a district, as many as wanted.",
                self._add_sessions,
                (Parameter("exam_config_id", "Exam config", self.LARGE_CONFIG), Parameter("count", "Count", "10000")),
            ),
            Control(
                "set_session",
                "Change a session",
                "As if the candidate or the vendor had gone on with it.",
                self._set_session,
                (
                    Parameter("session_id", "Session", self.SAMPLE_SESSION),
                    maturity,
                    Parameter("answers", "Answers", "keep", ("keep", *ANSWERS)),
                ),
            ),
            Control(
                "remove_session",
                "Remove a session",
                "The session no longer exists.",
                self._remove_session,
                (Parameter("session_id", "Session"),),
            ),
        )

    def _switch(self, name: str, title: str, description: str, parameters: tuple[Parameter, ...]) -> Control:
        def act(values: Mapping[str, str]) -> Document:
            changed = {key: int(value) if key == "page_size" else value for key, value in values.items()}
            self.store.put("apps", "demo", {**self._app(), **changed})
            return changed

        return Control(name, title, description, act, parameters)

    def _regenerate(self, values: Mapping[str, str]) -> Document:
        made = {"key": f"app-{secrets.token_hex(6)}", "secret": secrets.token_urlsafe(24)}
        self.store.put("apps", "demo", {**self._app(), **made})
        return made

    def _add_config(self, values: Mapping[str, str]) -> Document:
        id = str(uuid4())
        self._put_config(id, self.DEMO_EXAM, values["name"], allows_retakes=values["allow_retakes"] == "yes")
        return {"exam_config_id": id}

    def _set_config(self, values: Mapping[str, str]) -> Document:
        config = self._existing("exam_configs", "exam config", values["exam_config_id"])
        changed = {**config["config"], "allowRetakes": values["allow_retakes"] == "yes"}
        self.store.put("exam_configs", config["id"], {**config, "config": changed})
        return {"exam_config_id": config["id"], **changed}

    def _add_session(self, values: Mapping[str, str]) -> Document:
        names = ("exam_config_id", "name", "user_id", "student_id", "maturity", "answers")
        session = self._put_session(*(values[name] for name in names))
        is_multi_attempt = session["is_multi_attempt"] or values["is_multi_attempt"] == "yes"
        self._save({**session, "is_multi_attempt": is_multi_attempt})
        return {"session_id": session["id"]}

    def _add_sessions(self, values: Mapping[str, str]) -> Document:
        text = values["count"]
        if not (text.isascii() and text.isdigit() and 0 < int(text[:9]) <= MOST_SESSIONS):
            raise self.problem(400, f"count must be a whole number from 1 to {MOST_SESSIONS}.")
        self._put_many(values["exam_config_id"], int(text))
        return {"added": int(text)}

    def _set_session(self, values: Mapping[str, str]) -> Document:
        session = self._session(values["session_id"])
        if values["answers"] != "keep":
            session = self._answered(session, values["answers"])
        self._save({**session, "maturity": values["maturity"]})
        return {"session_id": session["id"], "maturity": values["maturity"], "score": session["score_actual"]}

    def _remove_session(self, values: Mapping[str, str]) -> Document:
        session = self._session(values["session_id"])
        self._listings.clear()
        self.store.delete("sessions", session["id"])
        return {"removed": session["id"]}


def _token(id: str, *more: str) -> str:
    return base64.b64encode(json.dumps([f"id={id}|sk=exam-session", *more]).encode()).decode()


def _next_token(app: Document, listing: Listing, start: int, token: Any) -> Document:
    """The page's sample has a cursor although it shows all there is: only an empty page ends a list."""
    cursor, size = app["cursor"], app["page_size"]
    ids = listing.ids[start : start + size]
    wanted: Mapping[str, Callable[[], str | None]] = {
        "ends": lambda: _token(ids[-1]) if ids else None,
        "repeats": lambda: token or _token(ids[-1]),
        "circles": lambda: _token(ids[-1]) if ids and start < 2 * size else _token(listing.ids[:size][-1]),
        "never_ends": lambda: _token(ids[-1], uuid4().hex),
        "empty_pages": lambda: _token((ids or listing.ids)[-1], uuid4().hex),
    }
    found = wanted[cursor]() if listing.ids else None
    if found is None and app["end"] == "absent":
        return {}
    return {"nextToken": "" if found is None and app["end"] == "empty" else found}


def _answer(question: Document, how: str) -> Document:
    if question["interactionType"] != "choice":
        return {"text": "I would save a little every week."}
    wanted = how == "right"
    chosen = [option["index"] for option in question["options"] if option["isKey"] is wanted]
    return {"options": [{"index": index} for index in (chosen if wanted else chosen[:1])]}


def _is_scorable(item: Document) -> bool:
    return all(question["interactionType"] == "choice" for question in item["questions"])


def _is_right(item: Document, answers: Document) -> bool:
    return all(
        {option["index"] for option in answers.get(question["id"], {}).get("options", [])}
        == {key["index"] for key in question["keys"]}
        for question in item["questions"]
    )


def _scored(session: Document, items: Iterable[Document]) -> Document:
    """With the scores that its answers deserve; of several attempts the best one's score is the session's."""
    scorable = [item for item in items if _is_scorable(item)]
    scores = {item["id"]: int(_is_right(item, session["answers"].get(item["id"], {}))) for item in scorable}
    earlier = [attempt["score_actual"] or 0 for attempt in session["earlier_attempts"]]
    percent = round(100 * sum(scores.values()) / len(scores))
    return {**session, "scores": scores, "score_actual": max(percent, *earlier, 0)}


def _score(actual: int | None, is_scorable: bool, most: int) -> Document:
    return {"actual": actual, "isScorable": is_scorable, "min": 0, "max": most}


def _score_fields(session: Document) -> Document:
    return {"scoreActual": session["score_actual"], "scoreMin": 0, "scoreMax": 100}


def _item_score(session: Document, item: Document) -> Document:
    is_scorable = _is_scorable(item)
    return _score(session["scores"].get(item["id"]), is_scorable, int(is_scorable))


def _sum(scores: Sequence[Document]) -> Document:
    actual = [score["actual"] for score in scores if score["actual"] is not None]
    is_scorable = any(score["isScorable"] for score in scores)
    return _score(sum(actual) if actual else None, is_scorable, sum(score["max"] for score in scores))


def _sums(scores: Sequence[Document]) -> Document:
    return {"score": _sum(scores), "scores": list(scores)}


def _by_objective(session: Document, items: Iterable[Document]) -> dict[str, list[Document]]:
    found: dict[str, list[Document]] = {}
    for item in items:
        for objective in item["alignmentIds"]:
            found.setdefault(objective, []).append(_item_score(session, item))
    return found


def _item_result(session: Document, item: Document) -> Document:
    answers = session["answers"].get(item["id"], {})
    return {
        "sk": "item#v0",
        "name": item["name"],
        "score": _item_score(session, item),
        "id": item["id"],
        "alignmentIds": item["alignmentIds"],
        "questions": [{**question, "response": answers.get(question["id"], {})} for question in item["questions"]],
    }
