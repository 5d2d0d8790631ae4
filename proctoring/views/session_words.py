"""What the pages say of sessions, and of what is done to them. No queries."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from zlib import crc32

from proctoring import attention, policy
from proctoring.attention import Button, Step
from proctoring.models import SESSION_STATES, Action, Call, JournalEntry, Session, User
from proctoring.vendors import registry
from proctoring.vendors.base import SessionState, Verb
from proctoring.views import words
from proctoring.views.words import Badge

LABELS = dict(SESSION_STATES)
LOOKS: Mapping[str, tuple[str, str]] = {
    SessionState.NOT_STARTED: ("default", "hourglass_empty"),
    SessionState.IN_PROGRESS: ("info", "play_arrow"),
    SessionState.PAUSED: ("warning", "pause"),
    SessionState.SUSPENDED: ("warning", "block"),
    SessionState.SUBMITTED: ("success", "upload"),
    SessionState.COMPLETE: ("success", "check"),
    SessionState.UNKNOWN: ("default", "help"),
    SessionState.NOT_REPORTED: ("default", "visibility_off"),
}
TITLES = {
    Verb.RESET: "Reset",
    Verb.REOPEN: "Reopen",
    Verb.RETAKE: "Retake",
    Verb.SUBMIT_RESPONSES: "Set responses",
    Verb.CREATE_EXAM: "Create at the vendor",
    Verb.UPDATE_EXAM: "Update at the vendor",
}
# The next steps are the same as for a delivery; what they mean for a session is not.
STEP_LABELS = {
    Step.LOOK_UP: "Read it at the vendor",
    Step.SEND_AGAIN: "It did not happen: send again",
    Step.HAPPENED: "It did happen",
    Step.RETRY: "Try again",
    Step.CANCEL: "Cancel it",
}


def title(verb: str) -> str:
    return TITLES.get(Verb(verb), words.verb(verb).capitalize())


def state_badge(session: Session) -> Badge:
    """Our word; the vendor's own, raw, where it is one that we do not know."""
    variant, icon = LOOKS[session.state]
    if session.state == SessionState.NOT_REPORTED and registry.facts(session.account.vendor).reports_state:
        return Badge("Nothing said yet" if session.asked_at else "Not read yet", variant, "hourglass_empty")
    if session.state == SessionState.UNKNOWN and session.vendor_state:
        return Badge(session.vendor_state, variant, icon)
    return Badge(LABELS[session.state], variant, icon)


def vendors_word(session: Session) -> str:
    """The vendor's own word where it says more than ours."""
    ours, theirs = LABELS[session.state].casefold(), session.vendor_state.replace("_", " ").casefold()
    return session.vendor_state if theirs not in ("", ours) and session.state != SessionState.UNKNOWN else ""


def score(session: Session) -> str:
    return score_text(session.score, session.score_min, session.score_max)


def score_text(actual: float | None, least: float | None, most: float | None) -> str:
    """“85 (0–100)”; "" where there is no score."""
    if actual is None:
        return ""
    return f"{actual:g}" + (f" ({least:g}–{most:g})" if least is not None and most is not None else "")


def person(session: Session) -> str:
    return str(session.candidate) if session.candidate else session.name or session.ref


def buttons(action: Action, user: User) -> list[tuple[Button, str]]:
    """The next steps of an action on a session with their words."""
    return [(button, STEP_LABELS.get(button.step, button.label)) for button in attention.buttons(action, user)]


def seen(key: Any, *parts: object) -> str:
    """Which version of a row a page holds, short enough for a hundred of them in one address."""
    return f"{str(key).replace('-', '')[:8]}.{version(*parts)}"


def version(*parts: object) -> str:
    return f"{crc32(repr(parts).encode()):x}"


def facts(part: Mapping[str, Any] | None) -> str:
    """One side of before and after, as the action keeps it."""
    if not part:
        return ""
    answers = {True: "answers", False: "no answers"}.get(part.get("has_responses"), "")  # type: ignore[arg-type]
    grade = "no score" if part.get("score") is None else f"score {part['score']:g}"
    return ", ".join(filter(None, [str(part.get("state") or ""), grade, answers]))


def refusal(verb: Verb) -> str:
    return f"Ask a {policy.least_role(policy.SESSION_RIGHTS[verb]).label.lower()} of the team."


# --- timelines --------------------------------------------------------------------------------------------------------


def line_of_entry(entry: JournalEntry, text: str) -> dict[str, Any]:
    verb = entry.facts.get("verb", "")
    what = f"{title(verb)}: {text[:1].lower()}{text[1:]}" if verb in list(Verb) else text
    return {"at": entry.at, "what": what, "by": str(entry.by or ""), "why": entry.reason, "call": None}


def line_of_call(call: Call, at: datetime) -> dict[str, Any]:
    answer = words.call_outcome(call)
    why = call.error if call.error else ""
    return {"at": at, "what": f"{call.method} {call.url}", "by": "", "why": f"{answer}. {why}".strip(), "call": call}
