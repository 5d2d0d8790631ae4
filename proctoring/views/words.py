"""What the pages say: states, reasons and progress in plain words. No queries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from proctoring import policy, values
from proctoring.models import Account, Action, ActionState, Attention, Call
from proctoring.vendors import registry
from proctoring.vendors.base import Verb


@dataclass(frozen=True, slots=True)
class Badge:
    """A state for the eye (`variant` a colour, `icon` a sign) and for everybody (`text`)."""

    text: str
    variant: str
    icon: str


STATES: Mapping[str, Badge] = {
    ActionState.QUEUED: Badge("Waiting", "default", "schedule"),
    ActionState.SENDING: Badge("Being sent", "info", "sync"),
    ActionState.UNKNOWN: Badge("Outcome unknown", "warning", "help"),
    ActionState.NEEDS_ATTENTION: Badge("Needs attention", "danger", "error"),
    ActionState.DONE: Badge("Done", "success", "check"),
    ActionState.CANCELLED: Badge("Cancelled", "default", "block"),
}

COUNTS: Sequence[tuple[str, str]] = (
    (ActionState.DONE, "done"),
    (ActionState.SENDING, "being sent"),
    (ActionState.QUEUED, "waiting"),
    (ActionState.UNKNOWN, "with an unknown outcome"),
    (ActionState.NEEDS_ATTENTION, "needing attention"),
    (ActionState.CANCELLED, "cancelled"),
)

MAIL_BADGES: Mapping[str, Badge] = {
    ActionState.QUEUED: Badge("On its way", "info", "schedule"),
    ActionState.SENDING: Badge("Being sent", "info", "sync"),
    ActionState.UNKNOWN: Badge("May have gone", "warning", "help"),
    ActionState.NEEDS_ATTENTION: Badge("Not sent", "danger", "error"),
    ActionState.DONE: Badge("Sent", "success", "check"),
    ActionState.CANCELLED: Badge("Cancelled", "default", "block"),
}
MAIL_REASONS: Mapping[str, str] = {
    Attention.REFUSED: "Refused by the mail server",
    Attention.EXHAUSTED: "Mail server not reached",
}

KINDS: Mapping[str, tuple[str, str]] = {
    ActionState.UNKNOWN: (
        "Outcome unknown",
        "Sent, and no readable answer came back. The vendor may have acted, or not. Find out first, then decide.",
    ),
    Attention.REFUSED: (
        "Refused by the vendor",
        "The vendor understood and said no: nothing was created. Once it is put right there, try again. "
        "Trying again sends the same values: what you put right here needs cancelling this and asking anew.",
    ),
    Attention.EXHAUSTED: (
        "The vendor could not be reached",
        "Every try failed before the vendor could act: nothing was created. Try again once it answers.",
    ),
    Attention.UNSUPPORTED: (
        "Not possible at this vendor",
        "Nothing was sent, because this vendor has no way to say it. Arrange it there by hand, or cancel.",
    ),
    Attention.CHANGED: (
        "Changed since the preview",
        "What is at the vendor differs from what the preview showed, so nothing was sent. Look again, then decide.",
    ),
    Attention.BROKEN: (
        "A fault of this console",
        "Something went wrong here. The details are in the log; tell whoever runs this console.",
    ),
}

LINKLESS = (
    "Created without a link",
    "It is there at the vendor, and no link for the candidate came with it. The candidate cannot begin until there is one.",
)

VERBS: Mapping[str, str] = {
    Verb.CREATE_DELIVERIES: "create the delivery",
    Verb.REISSUE_LINK: "issue a new link",
    Verb.SEND_MESSAGE: "send the mail",
}


def badge(action: Action) -> Badge:
    if action.state == ActionState.NEEDS_ATTENTION and action.attention:
        return Badge(action.get_attention_display(), "danger", "error")
    if action.state == ActionState.DONE and action.delivery is not None and action.delivery.links_missing:
        return Badge("Done, links missing", "warning", "link_off")
    return STATES[action.state]


def mail_badge(action: Action | None) -> Badge:
    if action is None:
        return Badge("Not asked for", "default", "block")
    badge = MAIL_BADGES[action.state]
    if action.state == ActionState.NEEDS_ATTENTION and action.attention in MAIL_REASONS:
        return Badge(MAIL_REASONS[action.attention], badge.variant, badge.icon)
    return badge


def kind(action: Action) -> str:
    """The group of the attention page that an action belongs to."""
    return ActionState.UNKNOWN if action.state == ActionState.UNKNOWN else action.attention or Attention.BROKEN


def verb(name: str) -> str:
    return VERBS.get(name, name.replace("_", " "))


def explanation(action: Action) -> str:
    """What may have happened, in a sentence or two."""
    if action.state == ActionState.UNKNOWN:
        return f"The request to {verb(action.verb)} left us, and no answer came that can be read. {KINDS['unknown'][1]}"
    text = KINDS[kind(action)][1]
    if action.may_have_acted:
        text += " An earlier try got no answer, though: look at the vendor whether that one was carried out."
    return text


def call_outcome(call: Call) -> str:
    if call.status is not None:
        return f"answered {call.status}"
    return call.get_outcome_display().lower()


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a batch is: `finished` for good, `stopped` until a person decides, the rest still under way."""

    total: int
    finished: int
    stopped: int

    @property
    def under_way(self) -> int:
        return self.total - self.finished - self.stopped

    @property
    def headline(self) -> str:
        """Never that all is well while something needs somebody."""
        if self.under_way:
            return f"{self.finished} of {self.total} finished" + (f", {self._need_you}" if self.stopped else "")
        if self.stopped:
            return f"Finished: {self._need_you}"
        return f"All {self.total} finished" if self.total > 1 else "Finished" if self.total else "Nothing to do"

    @property
    def _need_you(self) -> str:
        return f"{self.stopped} need{'s' if self.stopped == 1 else ''} you"


def progress(counts: Mapping[str, int]) -> Progress:
    return Progress(
        total=counts["total"],
        finished=counts[ActionState.DONE] + counts[ActionState.CANCELLED],
        stopped=counts[ActionState.UNKNOWN] + counts[ActionState.NEEDS_ATTENTION],
    )


def counted(counts: Mapping[str, int]) -> list[tuple[str, int, str]]:
    """(state, how many, in words) for the states that occur."""
    return [(state, counts[state], text) for state, text in COUNTS if counts[state]]


def summary(counts: Mapping[str, int]) -> str:
    """One sentence for a screen reader, which changes only now and then while a batch runs."""
    total = counts["total"]
    if counts["moving"] and total:
        return f"About {10 * (10 * counts['settled'] // total)} per cent of {total} settled."
    parts = [f"{number} {text}" for _, number, text in counted(counts)]
    return f"Nothing moves any more: {', '.join(parts)}." if parts else "There is nothing in this batch."


def account_refusal(account: Account) -> str:
    """Why nothing is sent through the account now; "" where it works."""
    capability = registry.capability(account.vendor, Verb.CREATE_DELIVERIES)
    permission = capability.permission if capability else ""
    return policy.account_refusal(values.facts_of_account(account), Verb.CREATE_DELIVERIES, permission) or ""


def account_badge(account: Account, *, has_answered: bool = False) -> Badge:
    if account.is_paused:
        text = "Trying the new credentials" if account.is_probing else "Paused"
        return Badge(text, "warning" if account.is_probing else "danger", "pause_circle")
    if account.paused_verbs:
        return Badge("Paused for some calls", "warning", "pause_circle")
    if not any(account.credentials.values()):
        return Badge("No credentials", "warning", "key_off")
    if account.failures_in_a_row:
        return Badge("Not answering", "warning", "cloud_off")
    if account.checked_at or has_answered:
        return Badge("Working", "success", "check")
    return Badge("Not tested yet", "default", "help")


def pauses(account: Account) -> list[tuple[str, str]]:
    """(what is paused, the vendor's words) for each kind of call that is paused alone."""
    return [(verb(name), pause.get("reason", "")) for name, pause in sorted(account.paused_verbs.items())]


def plural(number: int, one: str, several: str = "") -> str:
    return f"{number} {one if number == 1 else several or f'{one}s'}"
