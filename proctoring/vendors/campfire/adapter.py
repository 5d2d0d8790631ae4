"""Campfire Learning: list and read exam sessions, set responses, retake, reset and reopen.

Follows https://docs.campfirelearning.com/developers/api-legacy/assessment/exam-sessions. Three of its calls change
state although they are GETs; what they answer is not documented, so what happened is read from the session afterwards.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from enum import IntEnum
from math import isfinite
from typing import ClassVar
from urllib.parse import quote, urlencode

from proctoring.vendors.base import (
    JSON,
    Adapter,
    Basis,
    Capability,
    Checked,
    ExamConfig,
    Facts,
    HttpRequest,
    HttpResponse,
    IdShape,
    Repeat,
    Response,
    Sending,
    SessionOrder,
    SessionPage,
    SessionQuery,
    SessionResult,
    SessionSnapshot,
    SessionState,
    Verb,
    Verdict,
    encode,
)
from proctoring.vendors.errors import (
    Changed,
    Misconfigured,
    OutcomeUnknown,
    Scope,
    Unavailable,
    Unsupported,
    VendorError,
)
from proctoring.vendors.replies import judge, read_object, unreadable

PAGE = "https://docs.campfirelearning.com/developers/api-legacy/assessment/exam-sessions"

LIST = "/api/exam-sessions"
SESSION = "/api/exam-session/{ref}"
RESULTS = "/api/exam-session/{ref}/results"
RESPONSES = "/api/exam-session/{ref}/responses"
STATE_CHANGING_GETS = {
    Verb.RETAKE: "/api/exam-session/{ref}/retake",
    Verb.RESET: "/api/exam-session/{ref}/reset",
    Verb.REOPEN: "/api/exam-session/{ref}/reopen",
}
EXAM_CONFIG = "/api/exam-config/{ref}"

CONTENT_TYPE = "application/json"  # on the GETs too, as in every sample of the page
INCLUDE = "include[]"
EVERYTHING = ("results", "responses")
CURSOR = "nextToken"
CURSOR_PLACES = ("body", "query")  # where it goes back is not documented: account setting `next_token_in`

IN_PROGRESS = "IN_PROGRESS"
COMPLETE = "COMPLETE"
STATES = {IN_PROGRESS: SessionState.IN_PROGRESS, COMPLETE: SessionState.COMPLETE}
AGGREGATIONS = {"minScore": "min", "avgScore": "avg", "maxScore": "max"}

MAX_PAGES = 2_000  # or the vendor's own total, where that is more
MAX_PAGES_WITHOUT_NEWS = 100

UUID_FORM = re.compile(
    r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
)  # compared with replies, so as Campfire writes it
UUID_WORDS = "a UUID in small letters, such as a0829bc3-8291-43dd-9181-478e7411c1df"
EXAM_ID = re.compile(rf"{UUID_FORM.pattern}(?:/exam#v[0-9]+)?")

MASKED = re.compile(r"^[*•]+$|[*•]{2,}")

NEVER_TWICE = "Never sent twice without looking: what was answered in between would be affected."


class SessionOutcomeUnknown(OutcomeUnknown):
    """An effect was sent and no readable answer came; `before` is the session as it was read just before."""

    def __init__(self, message: str, *, before: SessionSnapshot, status: int | None = None) -> None:
        super().__init__(message, status=status)
        self.before = before


class CampfireAdapter(Adapter):
    """Exam sessions of one Campfire workspace.

    Credentials `app_key` and `app_secret`; setting `next_token_in` ("body" or "query"). The base URL has no default.
    """

    FACTS: ClassVar[Facts] = Facts(
        key="campfire",
        title="Campfire Learning",
        page=PAGE,
        base_url="",
        reports_state=True,
        # Creating sessions, and the retake switch of an exam configuration: on its lifecycle pages.
        not_built=frozenset({Verb.CREATE_DELIVERIES, Verb.UPDATE_EXAM}),
        exam_id=IdShape(
            pattern=EXAM_ID,
            words=UUID_WORDS,
        ),
        capabilities={
            Verb.CHECK: Capability(basis=Basis.PAGE, note="Lists the first page of exam sessions."),
            Verb.LIST_SESSIONS: Capability(basis=Basis.PAGE, exchanges=0),
            Verb.READ_SESSION: Capability(basis=Basis.PAGE),
            Verb.READ_RESULTS: Capability(basis=Basis.PAGE, note="Multiple-choice assessments only."),
            Verb.READ_EXAM_CONFIG: Capability(
                basis=Basis.DOCUMENTED, exchanges=0, note="For “allowRetakes”, which no session carries."
            ),
            Verb.SUBMIT_RESPONSES: Capability(
                basis=Basis.PAGE, repeat=Repeat.NEVER, exchanges=3, note="Multiple-choice assessments only."
            ),
            Verb.RESET: Capability(basis=Basis.PAGE, repeat=Repeat.NEVER, exchanges=3, note=NEVER_TWICE),
            Verb.REOPEN: Capability(
                basis=Basis.PAGE,
                repeat=Repeat.NEVER,
                exchanges=3,
                note="Whether the candidate can get in also depends on the exam configuration.",
            ),
            Verb.RETAKE: Capability(
                basis=Basis.PAGE,
                repeat=Repeat.NEVER,
                exchanges=3,
                note="Multi-attempt sessions only. Nothing at the vendor proves a retake after an unknown outcome.",
            ),
        },
    )

    # -- reading

    def check(self, exam_refs: Sequence[str] = ()) -> Checked:
        reply = self._read(self._list_request(SessionQuery(), None))
        total = session_page(reply).total
        count = "exam sessions" if total is None else f"{total} exam session{'' if total == 1 else 's'}"
        return Checked(message=f"The key and the secret work: the account can list {count}.")

    def list_sessions(self, query: SessionQuery) -> Iterator[SessionPage]:
        """Yields page after page to the end. Raises Unavailable, after what came, where the list cannot be finished."""
        walk = _Walk()
        cursor: JSON = None
        while True:
            reply = self._read(self._list_request(query, cursor))
            page = session_page(reply)
            yield _only_of(query.exam_ref, page)
            cursor = reply.get(CURSOR)
            if not walk.goes_on_after(page, cursor):
                break
        walk.raise_if_incomplete()

    def read_session(self, ref: str, include: Sequence[str] = ()) -> SessionSnapshot:
        return session_read(self._read(self._get(_path(SESSION, ref), include=include)), ref)

    def read_results(self, ref: str) -> SessionSnapshot:
        return session_read(self._read(self._get(_path(RESULTS, ref))), ref)

    def read_exam_config(self, ref: str) -> ExamConfig:
        return exam_config_read(self._read(self._get(_path(EXAM_CONFIG, ref))), ref)

    # -- changing: read, check, effect, read

    def submit_responses(self, order: SessionOrder, sending: Sending) -> SessionResult:
        body = responses_body(order)
        return self._act(Verb.SUBMIT_RESPONSES, order, self._request("POST", _path(RESPONSES, order.ref), body=body))

    def reset(self, order: SessionOrder, sending: Sending) -> SessionResult:
        return self._state_changing_get(Verb.RESET, order)

    def reopen(self, order: SessionOrder, sending: Sending) -> SessionResult:
        return self._state_changing_get(Verb.REOPEN, order)

    def retake(self, order: SessionOrder, sending: Sending) -> SessionResult:
        return self._state_changing_get(Verb.RETAKE, order)

    def look_at(self, order: SessionOrder, verb: Verb) -> SessionResult:
        """What became of an order whose outcome is unknown: the session now against `order.expected`.

        DID_NOT means "not so far": the vendor may still act on a call that we gave up. Raises as read_session does.
        """
        after = self.read_session(order.ref, EVERYTHING)
        verdict = decide(verb, order.expected, after, order)
        return SessionResult(
            reference=order.reference,
            verdict=verdict,
            before=order.expected,
            after=after,
            message=_look_message(verb, verdict, after),
        )

    def _state_changing_get(self, verb: Verb, order: SessionOrder) -> SessionResult:
        return self._act(verb, order, self._get(_path(STATE_CHANGING_GETS[verb], order.ref)))

    def _act(self, verb: Verb, order: SessionOrder, effect: HttpRequest) -> SessionResult:
        before = self.read_session(order.ref, EVERYTHING)
        refuse_if_changed(order.expected, before)
        is_accepted = self._send(effect, before)
        after, trouble = self._read_afterwards(order.ref)
        verdict = conclude(verb, before, after, order, is_accepted=is_accepted)
        message = f"{_effect_message(verb, verdict, after)} {trouble}".strip()
        return SessionResult(reference=order.reference, verdict=verdict, before=before, after=after, message=message)

    def _send(self, effect: HttpRequest, before: SessionSnapshot) -> bool:
        try:
            response = self.transport(effect, is_effect=True)
            judge(response, is_effect=True, is_repeatable=False, now=self.clock())
        except OutcomeUnknown as unknown:
            raise SessionOutcomeUnknown(unknown.message, before=before, status=unknown.status) from unknown
        # Bodies are undocumented and not read; a web page, though, came from something in front of the vendor's API.
        return not _is_web_page(response)

    def _read_afterwards(self, ref: str) -> tuple[SessionSnapshot | None, str]:
        try:
            return self.read_session(ref, EVERYTHING), ""
        except VendorError as error:
            return None, f"The session could not be read afterwards: {error.message}"

    # -- requests

    def _list_request(self, query: SessionQuery, cursor: JSON) -> HttpRequest:
        body: dict[str, JSON] = {}
        parameters = [(INCLUDE, word) for word in dict.fromkeys(query.include)]
        if query.config_refs:
            body["filter"] = {"examConfigIds": {"include": list(query.config_refs)}}
        self._place_cursor(cursor, body, parameters)
        return self._request("POST", LIST, parameters=parameters, body=body)

    def _place_cursor(self, cursor: JSON, body: dict[str, JSON], parameters: list[tuple[str, str]]) -> None:
        place = self.account.settings.get("next_token_in") or CURSOR_PLACES[0]
        if place not in CURSOR_PLACES:
            raise Misconfigured(
                f"The next token can go in {' or '.join(CURSOR_PLACES)}, not {place}.", scope=Scope.ACCOUNT
            )
        if not cursor:
            return
        if place == "query":
            parameters.append((CURSOR, cursor if isinstance(cursor, str) else encode(cursor).decode()))
        else:
            body[CURSOR] = cursor

    def _get(self, path: str, *, include: Sequence[str] = ()) -> HttpRequest:
        return self._request("GET", path, parameters=[(INCLUDE, word) for word in dict.fromkeys(include)])

    def _request(
        self, method: str, path: str, *, parameters: Sequence[tuple[str, str]] = (), body: JSON = None
    ) -> HttpRequest:
        query = f"?{urlencode(parameters, quote_via=quote, safe='')}" if parameters else ""
        headers = {"Authorization": self._authorization(), "Content-Type": CONTENT_TYPE}
        content = b"" if body is None else encode(body)
        return HttpRequest(method=method, url=f"{self._host()}{path}{query}", headers=headers, body=content)

    def _host(self) -> str:
        host = host_of(self.account.base_url)
        if not host:
            raise Misconfigured(
                "The account has no host: ask Campfire Learning for the REST API host.", scope=Scope.ACCOUNT
            )
        return host

    def _authorization(self) -> str:
        key, secret = self.account.credentials.get("app_key", ""), self.account.credentials.get("app_secret", "")
        if not key or not secret:
            raise Misconfigured("The account needs an app key and an app secret.", scope=Scope.ACCOUNT)
        return f"Basic {b64encode(f'{key}:{secret}'.encode()).decode()}"

    def _read(self, request: HttpRequest) -> dict[str, JSON]:
        response = self.transport(request, is_effect=False)
        judge(response, is_effect=False, is_repeatable=True, now=self.clock())
        return read_object(response, is_effect=False)


# -- deciding what happened


class _Answers(IntEnum):
    """How much is seen of the answers. BARE: entries without content, which the page shows for an answered session."""

    NONE = 0
    BARE = 1
    FULL = 2


def decide(
    verb: Verb, before: SessionSnapshot | None, after: SessionSnapshot | None, order: SessionOrder | None = None
) -> Verdict:
    """What the session itself proves about an effect, whatever the vendor answered to it. Pure.

    A reopen is proved by IN_PROGRESS now and not before; a reset by no answers and no score now where there were some
    before; a submission by showing exactly what `order` set. Nothing proves a retake.
    """
    if before is None or after is None:
        return Verdict.CANNOT_TELL
    if verb is Verb.REOPEN:
        return _decide_reopen(before, after)
    if verb is Verb.RESET:
        return _decide_reset(before, after)
    if verb is Verb.SUBMIT_RESPONSES and order is not None:
        return _decide_submission(before, after, order)
    return Verdict.CANNOT_TELL


def conclude(
    verb: Verb,
    before: SessionSnapshot,
    after: SessionSnapshot | None,
    order: SessionOrder | None = None,
    *,
    is_accepted: bool,
) -> Verdict:
    """What to make of an effect that the vendor did not refuse, read again at once. Pure.

    Never DID_NOT: an unchanged session right after a 2xx may be one that the vendor has yet to change.
    """
    if decide(verb, before, after, order) is Verdict.HAPPENED:
        return Verdict.HAPPENED
    if is_accepted and (verb in (Verb.RETAKE, Verb.SUBMIT_RESPONSES) or _is_as_promised(verb, after)):
        return Verdict.HAPPENED
    return Verdict.CANNOT_TELL


def differences(then: SessionSnapshot, now: SessionSnapshot) -> tuple[str, ...]:
    """In sentences' parts, what changed of maturity, score and responses. What was not known then is not compared."""
    found = []
    if then.vendor_state and then.vendor_state != now.vendor_state:
        found.append(f"its maturity ({then.vendor_state} → {now.vendor_state or 'not said'})")
    if then.score != now.score:
        found.append(f"its score ({_shown(then.score)} → {_shown(now.score)})")
    if _responses_differ(then, now):
        found.append("its responses")
    return tuple(found)


def refuse_if_changed(expected: SessionSnapshot | None, now: SessionSnapshot) -> None:
    """Raises Changed where the session is no longer what the preview showed."""
    changed = differences(expected, now) if expected else ()
    if changed:
        raise Changed(f"Nothing was sent: since the preview the session changed {', '.join(changed)}.")


def _decide_reopen(before: SessionSnapshot, after: SessionSnapshot) -> Verdict:
    if not before.vendor_state or before.state is SessionState.IN_PROGRESS:
        return Verdict.CANNOT_TELL
    if after.state is SessionState.IN_PROGRESS:
        return Verdict.HAPPENED
    return Verdict.CANNOT_TELL if differences(before, after) else Verdict.DID_NOT


def _decide_reset(before: SessionSnapshot, after: SessionSnapshot) -> Verdict:
    had_score = _has_score(before) or (before.score is not None and after.score is None)
    had, has = _answers(before), _answers(after)
    if had is _Answers.NONE and not had_score:
        return Verdict.CANNOT_TELL
    # Entries without content are no answers any more where there was content, or a score, to lose with them.
    answers_are_gone = has is _Answers.NONE or (has is _Answers.BARE and (had is _Answers.FULL or had_score))
    if answers_are_gone and not _has_score(after):
        return Verdict.HAPPENED
    return Verdict.CANNOT_TELL if differences(before, after) else Verdict.DID_NOT


def _decide_submission(before: SessionSnapshot, after: SessionSnapshot, order: SessionOrder) -> Verdict:
    """HAPPENED where what was sent is shown, option by option, and every other answer is as it was before."""
    had, shown = chosen_options(before.responses), chosen_options(after.responses)
    sent = {(answer.item_ref, answer.question_ref): frozenset(answer.option_indexes) for answer in order.responses}
    others_are_as_before = {key: had[key] for key in had if key not in sent} == {
        key: shown[key] for key in shown if key not in sent
    }
    if not sent or not others_are_as_before or any(shown.get(key) != chosen for key, chosen in sent.items()):
        return Verdict.CANNOT_TELL
    showed_it_before = all(had.get(key) == chosen for key, chosen in sent.items())
    if showed_it_before and order.submit_for_scoring and not differences(before, after):
        return Verdict.CANNOT_TELL  # the answers were there already, and nothing shows that they were scored
    return Verdict.HAPPENED


def _is_as_promised(verb: Verb, after: SessionSnapshot | None) -> bool:
    if after is None:
        return False
    if verb is Verb.REOPEN:
        return after.state is SessionState.IN_PROGRESS
    return verb is Verb.RESET and _answers(after) is not _Answers.FULL and not _has_score(after)


def _answers(session: SessionSnapshot) -> _Answers:
    if session.responses is None:
        return _Answers.FULL if session.has_responses else _Answers.NONE
    entries = _entries(session.responses)
    if any(_has_content(entry) for entry in entries):
        return _Answers.FULL
    return _Answers.BARE if entries else _Answers.NONE


def _has_score(session: SessionSnapshot) -> bool:
    """Any score but zero: a session without answers may be reported with null or with 0."""
    return bool(session.score) or any(map(_actual, _scored(session.results)))


def _scored(results: JSON) -> list[JSON]:
    if not isinstance(results, dict):
        return []
    items = results.get("items")
    scores = [item.get("score") for item in items if isinstance(item, dict)] if isinstance(items, list) else []
    return [results.get("points"), *scores]


def _actual(score: JSON) -> float | None:
    return _number(score.get("actual")) if isinstance(score, dict) else None


def _responses_differ(then: SessionSnapshot, now: SessionSnapshot) -> bool:
    if then.responses is not None:
        return bool((then.responses or None) != (now.responses or None))
    if then.has_responses is None:
        return False
    return then.has_responses != (bool(now.responses) or now.has_responses is True)


# -- sentences

DONE_SENTENCES = {
    Verb.RESET: "The session shows no answers and no score.",
    Verb.REOPEN: "The session is in progress. Whether the candidate can get in also depends on the exam configuration.",
    Verb.RETAKE: "The vendor accepted the retake; its page does not say what the session shows of it.",
    Verb.SUBMIT_RESPONSES: "The vendor accepted the responses.",
}
SHOWN_SENTENCE = "The session shows exactly the responses that were sent."
UNCLEAR_SENTENCES = {
    Verb.RESET: "Nothing proves whether the session was reset.",
    Verb.REOPEN: "Nothing proves whether the session was reopened.",
    Verb.RETAKE: "Nothing proves whether the retake was prepared: a person has to decide.",
    Verb.SUBMIT_RESPONSES: "Nothing proves whether the responses were taken: a person has to decide.",
}
UNCHANGED_SENTENCE = (
    "The session is as it was before. That does not prove that nothing happened or will: a person has to decide."
)
REOPEN_SENTENCE = "It is still COMPLETE: reopen it if the candidate is to get in again."
NOT_SHOWN_SENTENCE = "The vendor did not refuse, but the session does not show it (yet)."


def _effect_message(verb: Verb, verdict: Verdict, after: SessionSnapshot | None) -> str:
    if verdict is Verdict.HAPPENED:
        return _done_message(verb, after)
    return UNCLEAR_SENTENCES[verb] if after is None else f"{NOT_SHOWN_SENTENCE} {UNCLEAR_SENTENCES[verb]}"


def _look_message(verb: Verb, verdict: Verdict, after: SessionSnapshot) -> str:
    if verdict is Verdict.HAPPENED:
        return SHOWN_SENTENCE if verb is Verb.SUBMIT_RESPONSES else _done_message(verb, after)
    return UNCHANGED_SENTENCE if verdict is Verdict.DID_NOT else UNCLEAR_SENTENCES.get(verb, UNCHANGED_SENTENCE)


def _done_message(verb: Verb, after: SessionSnapshot | None) -> str:
    is_shut = verb is Verb.RESET and after is not None and after.state is SessionState.COMPLETE
    return f"{DONE_SENTENCES[verb]} {REOPEN_SENTENCE}" if is_shut else DONE_SENTENCES[verb]


def _shown(score: float | None) -> str:
    return "none" if score is None else f"{score:g}"


# -- requests and replies


def host_of(base_url: str) -> str:
    """What the page's paths are put behind: no trailing slash, no trailing /api, https where no scheme is given."""
    host = base_url.strip().rstrip("/").removesuffix("/api").rstrip("/")
    return host if not host or "://" in host else f"https://{host}"


def responses_body(order: SessionOrder) -> dict[str, JSON]:
    """The body of Set Responses, questions grouped by item. Raises Unsupported for what the page cannot express."""
    if not order.responses:
        raise Unsupported("There is no response to set.")
    items: dict[str, dict[str, JSON]] = {}
    for response in order.responses:
        questions = items.setdefault(response.item_ref, {})
        if response.question_ref in questions:
            raise Unsupported(f"Question {response.question_ref} is answered twice.")
        questions[response.question_ref] = {"options": _options(response)}
    return {
        "submitForScoring": order.submit_for_scoring,
        "responses": [{"itemId": item, "questions": _questions(questions)} for item, questions in items.items()],
    }


def _questions(questions: Mapping[str, JSON]) -> list[JSON]:
    return [{"id": question, "response": response} for question, response in questions.items()]


def _options(response: Response) -> list[JSON]:
    indexes = response.option_indexes
    if not indexes or any(isinstance(index, bool) or not isinstance(index, int) or index < 0 for index in indexes):
        raise Unsupported(f"Question {response.question_ref} needs the index of an option, counted from 0.")
    return [{"index": index} for index in indexes]


def exam_key(exam_id: str) -> str:
    """What exam ids are compared by: the vendor gives `<uuid>` in one place and `<uuid>/exam#v0` in another."""
    return exam_id.split("/", 1)[0]


def session_page(reply: Mapping[str, JSON]) -> SessionPage:
    """One page of a list. Raises Unavailable where the reply is no list."""
    items, total = reply.get("items"), _number(reply.get("total"))
    if not isinstance(items, list) and total != 0:
        # Taken for an empty page it would end the list, and the sessions after it would be missed.
        raise Unavailable("The vendor's reply is not a list of sessions.", status=200)
    return SessionPage(
        sessions=tuple(session_snapshot(_object(item)) for item in items) if isinstance(items, list) else (),
        total=None if total is None else int(total),
        aggregations=_aggregations(reply.get("aggregations")),
    )


def session_read(reply: Mapping[str, JSON], ref: str) -> SessionSnapshot:
    """The session `ref` in a reply of its own. Raises Unavailable where the reply holds none, or another one."""
    session = session_snapshot(reply, ref)
    is_session = isinstance(reply.get("examSession"), dict) or "maturity" in reply
    told = _text(_session_of(reply).get("id"))
    if not is_session or (told and exam_key(told).casefold() != exam_key(ref).casefold()):
        raise unreadable(HttpResponse(status=200), is_effect=False, what="the session that was asked for")
    return session


def exam_config_read(reply: Mapping[str, JSON], ref: str) -> ExamConfig:
    """The exam configuration `ref` in a reply of its own. Raises Unavailable where the reply holds none, or another one.

    Its fields are documented and what they lie in is not: the configuration itself, or a part of it named `config`.
    """
    outer = reply.get("examConfig")
    config = outer if isinstance(outer, dict) else reply
    told, parts = _text(config.get("id")), (_object(config.get("config")), config)
    claims = [claim for part in parts if (claim := _claim(part.get("allowRetakes"))) is not None]
    if not (told or claims) or (told and told.casefold() != ref.casefold()):
        raise unreadable(HttpResponse(status=200), is_effect=False, what="the exam configuration that was asked for")
    return ExamConfig(ref=ref, allows_retakes=claims[0] if claims else None, raw=dict(reply))


def session_snapshot(entry: Mapping[str, JSON], ref: str = "") -> SessionSnapshot:
    """What one entry says of one session: an item of a list, a single read, or the results route."""
    session = _session_of(entry)
    maturity = _text(session.get("maturity"))
    score = _number(session.get("scoreActual"))
    results = _either(session, entry, "results")
    return SessionSnapshot(
        ref=ref or _text(session.get("id")),
        state=_state(maturity),
        vendor_state=maturity,
        name=_text(session.get("name")),
        person_ref=_unmasked(session.get("studentId")),
        person_hint=_unmasked(_lti(session).get("userId")),
        exam_ref=exam_key(_text(session.get("examId"))),
        config_ref=_text(_object(entry.get("examConfig")).get("id")),
        score=score,
        score_min=_number(session.get("scoreMin")),
        score_max=_number(session.get("scoreMax")),
        has_responses=_has_responses(session, score, results),
        responses=session.get("responses"),
        results=results,
        raw=dict(entry),
    )


def _session_of(entry: Mapping[str, JSON]) -> Mapping[str, JSON]:
    session = entry.get("examSession")
    return session if isinstance(session, dict) else entry


def _lti(session: Mapping[str, JSON]) -> Mapping[str, JSON]:
    return _object(_object(session.get("examSessionData")).get("lti"))


def _state(maturity: str) -> SessionState:
    if not maturity:
        return SessionState.NOT_REPORTED
    return STATES.get(maturity.upper(), SessionState.UNKNOWN)


def _has_responses(session: Mapping[str, JSON], score: float | None, results: JSON) -> bool | None:
    """Entries without content count only beside a score: the page's own sample is scored and shows nothing else."""
    if "responses" not in session:
        return True if _any_question_is_answered(results) else None
    entries = _entries(session["responses"])
    if any(_has_content(entry) for entry in entries):
        return True
    return (bool(score) or None) if entries else False


def _any_question_is_answered(results: JSON) -> bool:
    items = _object(results).get("items")
    questions = [_object(item).get("questions") for item in items] if isinstance(items, list) else []
    return any(
        _has_content(_object(question).get("response"))
        for group in questions
        if isinstance(group, list)
        for question in group
    )


def _entries(responses: JSON) -> list[JSON]:
    if isinstance(responses, dict):
        return list(responses.values())
    if isinstance(responses, list):
        return responses
    return [responses] if responses else []


def chosen_options(responses: JSON) -> dict[tuple[str, str], frozenset[int]]:
    """(item, question) → the indexes of the options chosen there.

    The page shows `{item: {}}` and no answer inside: read are questions by their id, or listed as Set Responses sends
    them, each with its options or with a `response` that holds them.
    """
    chosen = {}
    for item_ref, questions in _by_id(responses, "itemId").items():
        for question_ref, answer in _by_id(_object(questions).get("questions", questions), "id").items():
            options = _object(_object(answer).get("response", answer)).get("options")
            indexes = [_object(option).get("index", option) for option in options] if isinstance(options, list) else []
            whole = [index for index in indexes if isinstance(index, int) and not isinstance(index, bool)]
            if indexes and len(whole) == len(indexes):
                chosen[item_ref, question_ref] = frozenset(whole)
    return chosen


def _by_id(value: JSON, name: str) -> Mapping[str, JSON]:
    if isinstance(value, list):
        return {_text(_object(entry).get(name)): entry for entry in value}
    return _object(value)


def _has_content(value: JSON) -> bool:
    if isinstance(value, dict):
        return any(map(_has_content, value.values()))
    if isinstance(value, list):
        return any(map(_has_content, value))
    return value is not None and value != ""


def _aggregations(value: JSON) -> dict[str, float | None]:
    aggregations = _object(value)
    return {
        ours: _number(_object(aggregations[theirs]).get("value"))
        for theirs, ours in AGGREGATIONS.items()
        if theirs in aggregations
    }


def _only_of(exam_ref: str, page: SessionPage) -> SessionPage:
    """Leaves out sessions that say they are of another exam, and entries without an id; the page has no such filter."""
    wanted = exam_key(exam_ref)
    kept = tuple(s for s in page.sessions if s.ref and (not wanted or s.exam_ref in ("", wanted)))
    return SessionPage(sessions=kept, total=page.total, aggregations=page.aggregations)


class _Walk:
    """How far a list has been followed, and whether following it further makes sense."""

    def __init__(self) -> None:
        self.cursors: set[bytes] = set()
        self.refs: set[str] = set()
        self.pages = 0
        self.pages_without_news = 0
        self.nameless = 0

    def goes_on_after(self, page: SessionPage, cursor: JSON) -> bool:
        self._count(page)
        if not cursor:
            return False
        key = encode(cursor)
        if key in self.cursors:
            return self._end_at_repeated_cursor(page)
        self.cursors.add(key)
        if self.pages_without_news >= MAX_PAGES_WITHOUT_NEWS or self.pages >= max(MAX_PAGES, page.total or 0):
            raise Unavailable(f"{self._so_far()} and still names a next one: the list does not seem to end.")
        return True

    def raise_if_incomplete(self) -> None:
        if self.nameless:
            raise Unavailable(f"{self.nameless} entries of the list carry no session id and were not taken in.")

    def _count(self, page: SessionPage) -> None:
        known = len(self.refs)
        self.refs.update(session.ref for session in page.sessions if session.ref)
        self.nameless += sum(not session.ref for session in page.sessions)
        self.pages += 1
        self.pages_without_news = 0 if len(self.refs) > known else self.pages_without_news + 1

    def _end_at_repeated_cursor(self, page: SessionPage) -> bool:
        # The page's sample names a next token on what is the whole list, so a repeated one can also be the end.
        is_complete = len(self.refs) >= page.total if page.total is not None else not page.sessions
        if not is_complete:
            raise Unavailable(f"{self._so_far()} and repeats a next token: the rest of the list was not read.")
        return False

    def _so_far(self) -> str:
        return f"The vendor's list gave {len(self.refs)} sessions on {self.pages} pages"


def _path(template: str, ref: str) -> str:
    if not ref.strip("."):  # a path of dots would be folded into another route
        raise Unsupported("The vendor's id is missing.")
    return template.format(ref=quote(ref, safe=""))


def _is_web_page(response: HttpResponse) -> bool:
    kind = response.headers.get("content-type", "").lower()
    return bool(response.body.strip()) and ("html" in kind or response.body.lstrip().startswith(b"<"))


def _object(value: JSON) -> Mapping[str, JSON]:
    return value if isinstance(value, dict) else {}


def _either(first: Mapping[str, JSON], second: Mapping[str, JSON], key: str) -> JSON:
    return first[key] if key in first else second.get(key)


def _text(value: JSON) -> str:
    if isinstance(value, str):
        return value.strip()
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else ""


def _unmasked(value: JSON) -> str:
    text = _text(value)
    return "" if MASKED.search(text) else text


def _number(value: JSON) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if isfinite(number) else None


def _claim(value: JSON) -> bool | None:
    if isinstance(value, bool):
        return value
    return {"true": True, "false": False}.get(value.strip().lower()) if isinstance(value, str) else None


ADAPTER = CampfireAdapter
