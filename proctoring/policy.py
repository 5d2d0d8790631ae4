"""What may be done now, and the sentence why not; when to try again. Pure: no database, no clock."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from proctoring.models.action import ActionState as State
from proctoring.models.team import Role
from proctoring.vendors.base import Objection, Verb

# --- who may do what --------------------------------------------------------------------------------------------------


class Right(StrEnum):
    VIEW = "view"
    DELIVER = "deliver"
    INVITE = "invite"
    EDIT_CANDIDATES = "edit_candidates"
    EDIT_EXAMS = "edit_exams"
    SHOW_PROCTOR_LINK = "show_proctor_link"
    REOPEN = "reopen"
    RETAKE = "retake"
    RESET = "reset"
    SUBMIT_RESPONSES = "submit_responses"
    SEE_QUESTIONS = "see_questions"
    CANCEL = "cancel"
    RESOLVE = "resolve"
    MANAGE_ACCOUNTS = "manage_accounts"
    MANAGE_TEAM = "manage_team"


_VIEWER = frozenset({Right.VIEW})
_COORDINATOR = _VIEWER | {
    Right.DELIVER,
    Right.INVITE,
    Right.EDIT_CANDIDATES,
    Right.EDIT_EXAMS,
    Right.SHOW_PROCTOR_LINK,
    Right.REOPEN,
    Right.RETAKE,
}
_LEAD = _COORDINATOR | {Right.RESET, Right.SUBMIT_RESPONSES, Right.SEE_QUESTIONS, Right.CANCEL, Right.RESOLVE}
RIGHTS: Mapping[str, frozenset[Right]] = {
    Role.VIEWER: _VIEWER,
    Role.COORDINATOR: _COORDINATOR,
    Role.LEAD: _LEAD,
    Role.ADMINISTRATOR: _LEAD | {Right.MANAGE_ACCOUNTS, Right.MANAGE_TEAM},
}


def may(role: str | None, right: Right) -> bool:
    """Whether a member with this role may do that; no role, no right."""
    return right in RIGHTS.get(role or "", frozenset())


def least_role(right: Right) -> Role:
    """The least of the roles that may, for the sentence that says whom to ask."""
    return next(role for role in Role if right in RIGHTS[role])


# --- the life of an action --------------------------------------------------------------------------------------------

TRANSITIONS: Mapping[str, frozenset[str]] = {
    State.QUEUED: frozenset({State.SENDING, State.CANCELLED}),
    State.SENDING: frozenset({State.DONE, State.QUEUED, State.UNKNOWN, State.NEEDS_ATTENTION}),
    State.UNKNOWN: frozenset({State.DONE, State.QUEUED, State.CANCELLED}),
    State.NEEDS_ATTENTION: frozenset({State.QUEUED, State.DONE, State.CANCELLED}),
    State.DONE: frozenset(),
    State.CANCELLED: frozenset(),
}


def may_become(state: str, other: str) -> bool:
    return other in TRANSITIONS[state]


def is_final(state: str) -> bool:
    return not TRANSITIONS[state]


MAX_TRIES = 12
WAITS_SECONDS = (2, 5, 15, 30, 60, 120, 300, 600, 900)
LOOK_AGAIN_AFTER = timedelta(minutes=5)
LOOKS_THAT_PROVE_ABSENCE = 2
MAX_HOLD_SECONDS = 60


def retry_at(tries: int, *, now: datetime, retry_after: float | None) -> datetime | None:
    """When to try again after `tries` tries in which the vendor cannot have acted; None when they are spent."""
    if tries >= MAX_TRIES:
        return None
    wait = WAITS_SECONDS[min(tries - 1, len(WAITS_SECONDS) - 1)]
    return now + timedelta(seconds=max(wait, retry_after or 0))


def hold_until(failures: int, *, now: datetime, retry_after: float | None) -> datetime:
    """Until when the whole account waits after `failures` calls in a row that did not reach the vendor."""
    wait = min(2 ** min(failures - 1, 10), MAX_HOLD_SECONDS)
    return now + timedelta(seconds=max(wait, retry_after or 0))


def counts_as_absent(*, sent_at: datetime, looked_at: datetime) -> bool:
    """Whether "not found" says anything: a vendor may still act after we stopped waiting."""
    return looked_at >= sent_at + LOOK_AGAIN_AFTER


# --- whether a delivery may be made -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountFacts:
    """What of an account matters before anything is sent through it."""

    name: str
    is_archived: bool = False
    is_paused: bool = False
    pause_reason: str = ""
    paused_verbs: Mapping[str, str] = field(default_factory=dict)
    has_credentials: bool = True
    permissions: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class ExamFacts:
    ref: str
    is_archived: bool
    starts_at: datetime | None
    ends_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptFacts:
    """The attempts a candidate already has at an exam."""

    latest: int = 0
    latest_is_created: bool = False
    has_open_action: bool = False
    is_in_exam: bool = False  # in the middle of the latest


def account_refusal(account: AccountFacts, verb: Verb, permission: str) -> str | None:
    """Why nothing of this kind can go through the account now; None where it can."""
    if account.is_archived:
        return f"The account {account.name} is archived."
    if not account.has_credentials:
        return f"The account {account.name} has no credentials yet. An administrator can enter them."
    if account.is_paused:
        return f"The account {account.name} is paused: {account.pause_reason}"
    if verb in account.paused_verbs:
        return f"The account {account.name} may not do this: {account.paused_verbs[verb]}"
    if permission and account.permissions and permission not in account.permissions:
        return f"The account {account.name} was not granted the permission “{permission}”, which this needs."
    return None


def exam_refusal(exam: ExamFacts, *, now: datetime, needs_ref: bool) -> str | None:
    """Why no delivery of this exam can be made now; None where one can."""
    if exam.is_archived:
        return "The exam is archived."
    if needs_ref and not exam.ref:
        return "The exam has no vendor's reference yet. Open the exam and enter it."
    if exam.ends_at is not None and exam.ends_at <= now:
        return "The exam's window has closed. Move the window first."
    return None


def attempt_refusal(attempts: AttemptFacts, *, is_retake: bool) -> str | None:
    """Why this candidate gets no new delivery; None where they may have one."""
    if not is_retake:
        return (
            None if attempts.latest == 0 else "Has a delivery for this exam already. Choose “retake” for a new attempt."
        )
    if attempts.latest == 0:
        return "Has no delivery for this exam yet, so there is nothing to retake."
    if attempts.has_open_action or not attempts.latest_is_created:
        return f"Attempt {attempts.latest} is not settled yet. Finish or cancel it first."
    return None


BEGUN_AND_NOT_OVER = frozenset({"in_progress", "paused", "suspended"})
OVER = frozenset({"submitted", "complete"})
LONGEST_SITTING = timedelta(hours=4)  # where the exam's duration is not known
IN_EXAM = "Is in the middle of the exam: a retake ends that attempt."


def is_in_exam(state: str, *, opened_at: datetime | None = None, lasts: timedelta | None = None, now: datetime) -> bool:
    """Whether somebody is in the middle of their exam, by the vendor's word; where it has none, by ours: they began here,
    and the time they have is not over.
    """
    if state in BEGUN_AND_NOT_OVER or state in OVER:
        return state in BEGUN_AND_NOT_OVER
    return opened_at is not None and now < opened_at + (lasts or LONGEST_SITTING)


def split_objections(objections: Sequence[Objection], *, is_arranged: bool) -> tuple[list[str], list[str]]:
    """The sentences that refuse, and those a coordinator may answer with “arranged at the vendor by hand”."""
    refused = [item.message for item in objections if not item.can_be_arranged]
    asks = [item.message for item in objections if item.can_be_arranged and not is_arranged]
    return refused, asks


# --- what does not belong into a mail ---------------------------------------------------------------------------------

# What follows a word is taken whole or not at all (`*+`) and bounded: text of any length is read in one go.
_CODE = re.compile(
    r"""\b(?P<word>pin(?:[ -]?code)?|pass(?:word|code|phrase)|(?:key|access|unlock|entry|login)[ -]?code
        |passwort|kennwort|zugangscode|mot\ de\ passe|contraseña|wachtwoord|passord|lösenord)\b
    (?:\s++(?:is|ist|lautet|est|es|är|er))?\s*+
    (?:(?:[:=–-]\s*+)?(?:["“”„«'‘`][^\s"“”»'’`]{3,200}["“”»'’`]|(?=[^\s,;]{0,200}\d)[^\s,;]{3})  # quoted, or with a digit
      |[:=]\s*+[^\s.,;]{4,200}+[^\S\n]*+(?:[.,;]|$))  # or all that follows a colon
    """,
    re.IGNORECASE | re.VERBOSE | re.MULTILINE,
)


def code_in(text: str) -> str:
    """By which word a text seems to give away a PIN, a password or a key code; "" where it does not."""
    found = _CODE.search(text)
    return found["word"] if found else ""


# --- whether a session may be reset, reopened or retaken --------------------------------------------------------------

WORDS = {
    Verb.CREATE_EXAM: "create the exam",
    Verb.UPDATE_EXAM: "update the exam",
    Verb.CREATE_DELIVERIES: "create deliveries",
    Verb.REISSUE_LINK: "issue a new link",
    Verb.SUBMIT_RESPONSES: "set responses",
    Verb.RESET: "reset a session",
    Verb.REOPEN: "reopen a session",
    Verb.RETAKE: "prepare a retake",
    Verb.SEND_MESSAGE: "send mail",
}
SESSION_RIGHTS = {
    Verb.RESET: Right.RESET,
    Verb.REOPEN: Right.REOPEN,
    Verb.RETAKE: Right.RETAKE,
    Verb.SUBMIT_RESPONSES: Right.SUBMIT_RESPONSES,
}
# Who may ask for an effect, wherever it is asked for: on its own page, again after a failure, from the command line.
VERB_RIGHTS = {
    Verb.CREATE_EXAM: Right.EDIT_EXAMS,
    Verb.UPDATE_EXAM: Right.EDIT_EXAMS,
    Verb.CREATE_DELIVERIES: Right.DELIVER,
    Verb.REISSUE_LINK: Right.RETAKE,
    Verb.SEND_MESSAGE: Right.INVITE,
    **SESSION_RIGHTS,
}


def words(verb: Verb) -> str:
    return WORDS.get(verb, verb.value.replace("_", " "))


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionFacts:
    """What of a session matters before something is done to it."""

    state: str
    has_responses: bool | None = None
    score: float | None = None
    has_open_action: bool = False
    allows_retakes: bool | None = None  # as the exam's own page here says
    vendor_allows_retakes: bool | None = None  # as the vendor says, which counts first
    was_read: bool = True

    @property
    def may_be_retaken(self) -> bool | None:
        return self.allows_retakes if self.vendor_allows_retakes is None else self.vendor_allows_retakes


def session_refusal(session: SessionFacts, verb: Verb) -> str | None:
    """Why this cannot be done to the session now; None where it can."""
    if session.has_open_action:
        return "Something is under way with this session already. Wait for it, or settle it first."
    if not session.was_read:
        return "The session has not been read from the vendor yet."
    if verb is Verb.REOPEN and session.state == "in_progress":
        return "The session is open already."
    if verb is Verb.RETAKE and session.vendor_allows_retakes is False:
        return "The vendor says that this exam allows no retakes. Change it there, then read the session again."
    if verb is Verb.RETAKE and session.may_be_retaken is False:
        return "The exam does not allow retakes. The exam's own page says so; change it at the vendor first."
    return None


def session_warnings(session: SessionFacts, verb: Verb) -> list[str]:
    """What to mind before doing it."""
    warnings = []
    if verb is Verb.RESET and session.state in BEGUN_AND_NOT_OVER:
        warnings.append("Is in the middle of the exam, and loses what was answered while they look on.")
    if verb is Verb.RETAKE and session.may_be_retaken is None:
        warnings.append(
            "It is not known whether this exam allows retakes: only a multi-attempt session can be retaken."
        )
    if verb is Verb.REOPEN:
        warnings.append("The candidate can enter only if the exam's other settings at the vendor still allow it.")
    if verb is Verb.RESET:
        warnings.append(
            "A reset cannot be undone. What is lost is kept here first; if it cannot be read, nothing is reset."
        )
    return warnings


def what_a_reset_loses(session: SessionFacts) -> str:
    """What a reset takes from the candidate, in words."""
    answers = {True: "all answers", False: "no answers", None: "any answers there are"}[session.has_responses]
    score = "no score" if session.score is None else f"the score {session.score:g}"
    return f"{answers} and {score}"
