"""An exam as it is sat at the simulated Scorpion: what its candidate and its proctor do to a delivery.

Follows "Understanding Tokens" and "How to Use Proctor Tools" (support.caveon.com articles 360040518752, 360047304852).
Of the words in `status` only `complete` is documented; the others are this simulator's own. Each function answers the
delivery as it then is; whether it may be done is the caller's question.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from proctoring.sandbox.simulator import Document

CREATED, IN_PROGRESS, COMPLETE = "created", "in_progress", "complete"
INTERRUPTED, RESTARTED, SUSPENDED = "interrupted", "restarted", "suspended"

KEPT_EVENTS = 200
LONGEST_ANSWER = 200
PASSING_SCORE = 60.0
REFUSED_BROWSER = "The launch link was opened in another browser and refused."


@dataclass(frozen=True)
class Question:
    """One question; without `choices` its answer is written."""

    name: str
    text: str
    right: tuple[str, ...]
    choices: tuple[str, ...] = ()
    is_number: bool = False

    def clean(self, answer: str) -> str:
        """What is kept of an answer; "" where it is none."""
        answer = answer.strip()[:LONGEST_ANSWER]
        return "" if self.choices and answer not in self.choices else answer

    def is_right(self, answer: str) -> bool:
        return answer.strip(" .").casefold() in self.right


QUESTIONS = (
    Question("q1", "How many minutes are there in an hour and a half?", ("90",), ("60", "90", "120")),
    Question("q2", "What is 12 times 12?", ("144",), is_number=True),
    Question("q3", "Which word is the opposite of “open”?", ("closed", "close", "shut")),
)

UNSTARTED: Document = {
    "status": CREATED,
    "is_paused": False,
    "score": None,
    "passed": None,
    "points_earned": None,
    "points_available": None,
    "started_at": None,
    "submitted_at": None,
    "completed_at": None,
    "used_seconds": 0.0,
    "running_since": None,
    "last_activity_at": None,
    "answers": {},
    "events": [],
    "browser": "",
    "is_launch_token_used": False,
}


def used_seconds(delivery: Document, now: datetime) -> float:
    """How long the exam has run, without pauses and interruptions."""
    since = delivery["running_since"]
    running = (now - datetime.fromisoformat(since)).total_seconds() if since else 0.0
    return float(delivery["used_seconds"]) + max(running, 0.0)


def answered(delivery: Document) -> int:
    return sum(bool(delivery["answers"].get(question.name)) for question in QUESTIONS)


def unanswered(delivery: Document) -> list[Question]:
    return [question for question in QUESTIONS if not delivery["answers"].get(question.name)]


def item_responses(delivery: Document) -> list[Document]:
    """The answers as the API shows them; an item is scored once the exam is complete."""
    is_scored = delivery["status"] == COMPLETE and delivery["points_earned"] is not None
    return [
        {
            "item_id": question.name,
            "item_name": question.text,
            "response": answer,
            "score": int(question.is_right(answer)) if is_scored else None,
        }
        for question in QUESTIONS
        if (answer := delivery["answers"].get(question.name))
    ]


# What the candidate does


def enter(delivery: Document, now: datetime, *, browser: str) -> Document:
    """The first visit with a launch token: the token is used, and only this browser may come back with it."""
    bound = {"is_launch_token_used": True, "browser": browser, "last_activity_at": now.isoformat()}
    if delivery["status"] == COMPLETE:
        return _after(delivery, now, "candidate", "Opened the launch link of the complete exam.", **bound)
    what = "Came back to the exam." if delivery["started_at"] else "Started the exam."
    started_at = delivery["started_at"] or now.isoformat()
    return _after(delivery, now, "candidate", what, status=IN_PROGRESS, started_at=started_at, **bound)


def refuse_browser(delivery: Document, now: datetime) -> Document:
    """Another browser came with a used launch token; a second try in a row says nothing new."""
    if delivery["events"] and delivery["events"][-1]["what"] == REFUSED_BROWSER:
        return delivery
    return _after(delivery, now, "warning", REFUSED_BROWSER)


def save(delivery: Document, now: datetime, *, given: Mapping[str, str]) -> Document:
    """Keeps the answers given; a question that is not among them keeps its own."""
    kept = delivery["answers"]
    cleaned = {question.name: question.clean(given[question.name]) for question in QUESTIONS if question.name in given}
    changed = [
        str(number)
        for number, question in enumerate(QUESTIONS, 1)
        if cleaned.get(question.name, kept.get(question.name, "")) != kept.get(question.name, "")
    ]
    if not changed:
        return delivery | {"last_activity_at": now.isoformat()}
    what = f"Answered question {' and '.join(changed)}."
    return _after(delivery, now, "candidate", what, answers=kept | cleaned, last_activity_at=now.isoformat())


def submit(delivery: Document, now: datetime) -> Document:
    right = sum(question.is_right(delivery["answers"].get(question.name, "")) for question in QUESTIONS)
    score = round(100 * right / len(QUESTIONS), 2)
    moment = now.isoformat()
    ended = {"status": COMPLETE, "is_paused": False, "submitted_at": moment, "completed_at": moment}
    scored = {
        "score": score,
        "passed": score >= PASSING_SCORE,
        "points_earned": right,
        "points_available": len(QUESTIONS),
    }
    what = f"Submitted {answered(delivery)} of {len(QUESTIONS)} answers."
    return _after(delivery, now, "candidate", what, **ended, **scored, last_activity_at=moment)


def interrupt(delivery: Document, now: datetime) -> Document:
    return _after(delivery, now, "warning", "The exam was interrupted.", status=INTERRUPTED, is_paused=False)


# What the proctor does


def pause(delivery: Document, now: datetime) -> Document:
    return _after(delivery, now, "proctor", "Paused the exam.", is_paused=True)


def resume(delivery: Document, now: datetime) -> Document:
    return _after(delivery, now, "proctor", "Resumed the exam.", is_paused=False)


def restart(delivery: Document, now: datetime) -> Document:
    """The launch token opens the exam once more, in whichever browser comes first."""
    freed = {"status": RESTARTED, "is_launch_token_used": False, "browser": ""}
    return _after(delivery, now, "proctor", "Restarted the exam: the launch link works once more.", **freed)


def suspend(delivery: Document, now: datetime) -> Document:
    ended = {"status": SUSPENDED, "is_paused": False, "is_launch_token_used": True}
    return _after(delivery, now, "proctor", "Suspended the exam: a new launch token is needed.", **ended)


ACTS: Mapping[str, Callable[[Document, datetime], Document]] = {
    "pause": pause,
    "resume": resume,
    "restart": restart,
    "suspend": suspend,
}


def possible_acts(delivery: Document) -> Sequence[str]:
    """What the proctor can do now."""
    if delivery["status"] == IN_PROGRESS:
        return ("resume" if delivery["is_paused"] else "pause", "suspend")
    if delivery["status"] == INTERRUPTED:
        return ("restart", "suspend")
    return ("suspend",) if delivery["status"] == RESTARTED else ()


# What comes through the API and the back office


def reissue(delivery: Document, now: datetime, *, token: str) -> Document:
    """A new launch token in place of the old one; answers and status stay."""
    renewed = {"launch_token": token, "is_launch_token_used": False, "browser": ""}
    return _after(delivery, now, "API", "A new launch token was issued; the old one no longer works.", **renewed)


def set_status(delivery: Document, now: datetime, *, status: str, score: float | None) -> Document:
    moment = now.isoformat()
    ended = {"submitted_at": moment, "completed_at": moment, "is_paused": False} if status == COMPLETE else {}
    return _after(delivery, now, "office", f"The status was set to “{status}”.", status=status, score=score, **ended)


def _after(delivery: Document, now: datetime, by: str, what: str, **changes: Any) -> Document:
    after = delivery | changes
    is_running = after["status"] == IN_PROGRESS and not after["is_paused"]
    event = {"at": now.isoformat(), "by": by, "what": what}
    return after | {
        "used_seconds": used_seconds(delivery, now),
        "running_since": now.isoformat() if is_running else None,
        "events": [*delivery["events"], event][-KEPT_EVENTS:],
        "modified_at": now.isoformat(),
    }
