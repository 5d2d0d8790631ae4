"""Which outcomes there are: all combinations of the axes, less those that cannot occur, by the rules below.

What cannot occur:
- A reply to what was not sent. An exchange is written before it leaves, so `answered` means `sent`.
- `changed`, `unsupported` and `no place` after sending: the first two are found out before, the last before anything is asked.
- `unknown` of what was not sent; with what was read before, of anything but a session: only its verbs read first.
- A verdict on what was not sent, but for `did not`: an adapter may refuse what it sees itself.
- A verdict other than `happened` where the call has no words for it: a link, an exam and a mail are taken, or an error is
  raised. `missing` where the call carries a single thing. A mail's result that is unfit: nothing is written of it.
- UNKNOWN by this call where nothing was sent or repeating is harmless: the sweep queues it again. QUEUED, and a newer call,
  can be.
- A paused account other than by a check: nothing else is claimed of it, except as a probe.
- A look-up of a verb that has none.

What is left out because it adds nothing:
- An action that has moved on meets one sending of each error, on neither its last try nor after an earlier one.
- One that was given up as unknown, and a session, is on its last try only after an earlier one without an answer.
- An exam and a mail are sent for the first time.
- What an account learns is seen on actions that stand as they were claimed, from the errors that tell.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product

from proctoring.ledger.claiming import Kind
from tests.ledger.outcomes import ERRORS, REPEATED, Case

BEFORE_SENDING = {"changed", "unsupported", "no place"}
AFTER_SENDING = {"unknown", "unknown, read before"}

VERDICTS: Mapping[str, tuple[str, ...]] = {
    "delivery": ("happened", "did not", "cannot tell", "missing", "unfit"),
    "upsert": ("happened", "did not", "cannot tell", "missing", "unfit"),
    "link": ("happened", "unfit"),
    "session": ("happened", "happened unread", "did not", "cannot tell", "unfit"),
    "new exam": ("happened", "unfit"),
    "exam": ("happened", "unfit"),
    "mail": ("happened",),
}
# Whether it was tried before without an answer, and whether this was the last try.
ALL_TRIES = list(product((False, True), (False, True)))
TRIES = {"delivery": ALL_TRIES, "upsert": ALL_TRIES, "link": ALL_TRIES, "session": [(False, False), (True, True)]}
LOOKED_UP = ("delivery", "new exam", "session")

MOVED_ON = (
    "queued",
    "done",
    "settled",
    "cancelled",
    "needs attention",
    "sending by a newer call",
    "unknown by a newer call",
)
ACCOUNTS = (
    "well",
    "failing",
    "failing since",
    "long failing",
    "held",
    "another suspected before",
    "target suspected before",
    "paused",
    "paused since",
    "probing",
    "probing new credentials since",
    "new credentials since",
    "verb paused since",
    "verb probing",
    "another verb paused",
)


def all_cases() -> list[Case]:
    return [case for cases in groups().values() for case in cases]


def groups() -> dict[str, list[Case]]:
    """The cases by the first word of their names."""
    grouped: dict[str, list[Case]] = {}
    for case in _cases():
        grouped.setdefault(case.name.partition(" / ")[0], []).append(case)
    return grouped


def _cases() -> Iterator[Case]:
    for subject in VERDICTS:
        yield from _effects(subject)
    for subject in LOOKED_UP:
        yield from _look_ups(subject)
    yield from _checks_and_readings()
    yield from _learning()
    yield from _together()


def _name(*words: str) -> str:
    return " / ".join(word for word in words if word)


# --- effects ----------------------------------------------------------------------------------------------------------


def _effects(subject: str) -> Iterator[Case]:
    tries = TRIES.get(subject, [(False, False)])
    for (what, sent), (may_have_acted, is_spent) in product(_outcomes(subject), tries):
        yield _effect(subject, what, sent, "sending", may_have_acted, is_spent)
    if subject not in REPEATED:
        came_late = [(what, sent) for what, sent in _outcomes(subject) if sent != "unsent"]
        for (what, sent), may_have_acted in product(came_late, sorted({first for first, _ in tries})):
            yield _effect(subject, what, sent, "unknown", may_have_acted, is_spent=may_have_acted)
        for what, sent in came_late if subject in LOOKED_UP else ():
            yield _effect(subject, what, sent, "unknown, being looked up", may_have_acted=False, is_spent=False)
    for (what, sent), state in product(_one_of_each(subject), MOVED_ON):
        yield _effect(subject, what, sent, state, may_have_acted=False, is_spent=False)


def _outcomes(subject: str) -> list[tuple[str, str]]:
    """What came back, and how far it had got."""
    found = [(verdict, sent) for verdict in VERDICTS[subject] for sent in ("sent", "answered")]
    found += [(verdict, "unsent") for verdict in VERDICTS[subject] if verdict == "did not"]
    for error in _errors(subject):
        found += [(error, sent) for sent in _sendings(error)]
    return found


def _one_of_each(subject: str) -> list[tuple[str, str]]:
    if subject not in TRIES:
        return [("happened", "answered"), ("rejected", "sent"), ("unknown", "sent")]
    return [(verdict, "answered") for verdict in VERDICTS[subject]] + [
        (error, "unsent" if error in BEFORE_SENDING else "sent") for error in _errors(subject)
    ]


def _errors(subject: str) -> list[str]:
    return [error for error in ERRORS if error != "unknown, read before" or subject == "session"]


def _sendings(error: str) -> tuple[str, ...]:
    if error in BEFORE_SENDING:
        return ("unsent",)
    return ("sent", "answered") if error in AFTER_SENDING else ("unsent", "sent", "answered")


def _effect(subject: str, what: str, sent: str, state: str, may_have_acted: bool, is_spent: bool) -> Case:
    is_error = what in ERRORS
    earlier = "tried before without an answer" if may_have_acted else ""
    spent = "last try" if is_spent else ""
    return Case(
        name=_name(f"effect on {_a(subject)}", f"was {state}", what, sent, earlier, spent),
        kind=Kind.EFFECT,
        subject=subject,
        error=what if is_error else "",
        verdicts=("",) if is_error else (what,),
        sent=sent,
        states=(state,),
        may_have_acted=may_have_acted,
        is_spent=is_spent,
    )


def _a(subject: str) -> str:
    return f"{'an' if subject[0] in 'aeiou' else 'a'} {subject}"


# --- look-ups ---------------------------------------------------------------------------------------------------------

LOOKS = ("early", "first", "second")
LOOKED_AT = (
    "unknown",
    "given up",
    "queued",
    "done",
    "settled",
    "cancelled",
    "needs attention",
    "sending by a newer call",
    "unknown by a newer call",
)


def _look_ups(subject: str) -> Iterator[Case]:
    shown = ["found", "unfit", "note", *(["choices"] if subject == "delivery" else [])]
    looks = [(word, "first") for word in shown] + list(product(("absent", "missing"), LOOKS))
    for (word, look), state in product(looks, LOOKED_AT):
        yield _look_up(subject, word, look, state)
    for error, state in product(_read_errors(), ("unknown", "given up", "done")):
        yield _look_up(subject, error, "first", state)


def _look_up(subject: str, what: str, look: str, state: str, account: str = "well", group: str = "look-up") -> Case:
    is_error = what in ERRORS
    return Case(
        name=_name(f"{group} of {_a(subject)}", account if group != "look-up" else "", f"was {state}", what, look),
        kind=Kind.LOOK_UP,
        subject=subject,
        error=what if is_error else "",
        verdicts=("",) if is_error else (what,),
        states=(state,),
        looks=look,
        sent="sent",
        account=account,
    )


# --- checks and readings ----------------------------------------------------------------------------------------------

CHECKED = ("conclusive", "inconclusive")
READ_TRIES = (1, 2, 3, 9)


def _read_errors() -> list[str]:
    return [error for error in ERRORS if error != "unknown, read before"]


def _checks_and_readings() -> Iterator[Case]:
    for what, state in product((*CHECKED, *_read_errors()), ("sending", "settled", "given up")):
        yield _check(what, state)
    for what, tries, turn in product(("read", *_read_errors()), READ_TRIES, ("once", "polled")):
        yield _reading(what, turn, tries)


def _check(what: str, state: str, account: str = "well", group: str = "check") -> Case:
    """Of a check only the call can have moved on: settled, or given up as lost."""
    calls = {"sending": "", "settled": "call settled before", "given up": "call given up"}
    is_error = what in ERRORS
    return Case(
        name=_name(group, account if group != "check" else "", what, calls[state]),
        kind=Kind.CHECK,
        error=what if is_error else "",
        verdicts=("",) if is_error else (what,),
        states=(state,),
        sent="sent",
        account=account,
    )


def _reading(what: str, turn: str, tries: int, account: str = "well", group: str = "reading") -> Case:
    is_error = what in ERRORS
    at = "" if group != "reading" else f"try {tries}"
    return Case(
        name=_name(group, account if group != "reading" else turn, what, at),
        kind=Kind.READ,
        error=what if is_error else "",
        sent="sent",
        account=account,
        reading=turn,
        reading_tries=tries,
    )


# --- what an account learns -------------------------------------------------------------------------------------------


TELLING = (
    "unavailable",
    "unavailable until later",
    "target unavailable",
    "rejected without status",
    "rejected",
    "changed",
    "account misconfigured",
    "verb misconfigured",
    "account suspected",
    "verb suspected",
    "unknown",
    "fault of ours",
)


def _learning() -> Iterator[Case]:
    for account in ACCOUNTS:
        for what in (*CHECKED, *TELLING):
            yield _check(what, "sending", account, "account learns from a check")
        if account == "paused":
            continue
        for what in ("happened", "did not", "cannot tell", *TELLING):
            yield _learnt_from_an_effect(what, account)
        for what in ("found", "absent", *TELLING):
            yield _look_up("delivery", what, "first", "unknown", account, "account learns from a look-up")
        for what in ("read", *TELLING):
            yield _reading(what, "polled", 1, account, "account learns from a reading")


def _learnt_from_an_effect(what: str, account: str) -> Case:
    is_error = what in ERRORS
    sent = "unsent" if what in BEFORE_SENDING else "sent"
    return Case(
        name=_name("account learns from an effect", account, what),
        kind=Kind.EFFECT,
        error=what if is_error else "",
        verdicts=("",) if is_error else (what,),
        sent=sent,
        account=account,
    )


# --- several in one call ----------------------------------------------------------------------------------------------


def _together() -> Iterator[Case]:
    """Two deliveries in one call: what becomes of one is not to depend on the other.

    That one alone has moved on takes a vendor that carries several and is never asked twice. None is so yet; the ledger does
    not know that.
    """
    verdicts = ("happened", "did not", "cannot tell", "missing", "unfit")
    for pair, other in product(product(verdicts, verdicts), ("sending", "cancelled")):
        yield _pair(pair, other)
    for error in ("rejected", "rejected, to blame", "rejected, another to blame", "unavailable", "fault of ours"):
        yield _pair(("", ""), "sending", error)


def _pair(pair: tuple[str, ...], other: str, error: str = "") -> Case:
    states = ("sending" if other == "sending" else "unknown", other)
    return Case(
        name=_name("two together", f"were {' and '.join(states)}", error or " and ".join(pair)),
        kind=Kind.EFFECT,
        subject="upsert" if other == "sending" else "delivery",
        error=error,
        verdicts=pair,
        states=states,
        sent="sent" if error else "answered",
    )
