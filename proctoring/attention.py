"""What a person can do about an action that stopped, and doing it. The pages' buttons and the commands come from here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet

from proctoring import deliveries, exams, invitations, ledger, planning, policy, sessions, values
from proctoring.models import Account, Action, ActionState, User
from proctoring.policy import Right
from proctoring.vendors import registry
from proctoring.vendors.base import LOOKED_UP_BY, Created, ExamResult, Verb


class Step(StrEnum):
    LOOK_UP = "look_up"
    SEND_AGAIN = "send_again"
    FOUND = "found"
    HAPPENED = "happened"
    PICK = "pick"
    RETRY = "retry"
    CANCEL = "cancel"


@dataclass(frozen=True, slots=True, kw_only=True)
class Button:
    """One next step. `why_not` is the sentence where this user, or this vendor, cannot; "" where it can be pressed."""

    step: Step
    label: str
    right: Right
    why_not: str = ""
    is_destructive: bool = False


LABELS = {
    Step.LOOK_UP: "Look it up at the vendor",
    Step.SEND_AGAIN: "It was not created: send again",
    Step.FOUND: "It was created: enter its ids",
    Step.HAPPENED: "It did happen",
    Step.PICK: "It is this one",
    Step.RETRY: "Try again",
    Step.CANCEL: "Cancel it",
}
RIGHTS = {
    Step.LOOK_UP: Right.DELIVER,
    Step.SEND_AGAIN: Right.RESOLVE,
    Step.FOUND: Right.RESOLVE,
    Step.HAPPENED: Right.RESOLVE,
    Step.PICK: Right.RESOLVE,
    Step.RETRY: Right.DELIVER,
    Step.CANCEL: Right.CANCEL,
}
STEPS: Mapping[str, Sequence[Step]] = {
    ActionState.QUEUED: (Step.CANCEL,),
    ActionState.UNKNOWN: (Step.LOOK_UP, Step.SEND_AGAIN, Step.FOUND, Step.CANCEL),
    ActionState.NEEDS_ATTENTION: (Step.RETRY, Step.CANCEL),
}
# What creates nothing has no ids to enter: that it happened says all.
PLAIN_STEPS: Mapping[str, Sequence[Step]] = {
    **STEPS,
    ActionState.UNKNOWN: (Step.LOOK_UP, Step.HAPPENED, Step.SEND_AGAIN, Step.CANCEL),
}
PLAIN_LABELS = {Step.LOOK_UP: "Read it at the vendor", Step.SEND_AGAIN: "It did not happen: send again"}
# And a mail server keeps nothing that could be looked up.
MAIL_STEPS: Mapping[str, Sequence[Step]] = {
    **STEPS,
    ActionState.UNKNOWN: (Step.HAPPENED, Step.SEND_AGAIN, Step.CANCEL),
}
MAIL_LABELS = {
    Step.HAPPENED: "It did arrive",
    Step.SEND_AGAIN: "It did not arrive: send again",
    Step.RETRY: "Try again, to the same address",
    Step.CANCEL: "Leave it at that",
}
CREATES = frozenset({Verb.CREATE_DELIVERIES, Verb.CREATE_EXAM})


class NotAllowed(Exception):
    """The user's role, or the vendor, does not allow this step; the message says so."""


def buttons(action: Action, user: User) -> list[Button]:
    """The next steps of an action in the order to try them, each with why not where it cannot be pressed."""
    return [
        Button(
            step=step,
            label=label(action, step),
            right=RIGHTS[step],
            why_not=why_not(action, step, user),
            is_destructive=step is Step.CANCEL,
        )
        for step in _steps(action)
    ]


def label(action: Action, step: Step) -> str:
    if action.verb == Verb.SEND_MESSAGE:
        return MAIL_LABELS.get(step, LABELS[step])
    return LABELS[step] if action.verb in CREATES else PLAIN_LABELS.get(step, LABELS[step])


def _steps(action: Action) -> Sequence[Step]:
    if action.verb == Verb.SEND_MESSAGE:
        return MAIL_STEPS.get(action.state, ())
    return (STEPS if action.verb in CREATES else PLAIN_STEPS).get(action.state, ())


def why_not(action: Action, step: Step, user: User) -> str:
    """Why this user cannot take this step now; "" where they can."""
    if step is not Step.PICK and step not in _steps(action):
        return f"It is {action.get_state_display().lower()} now."
    if not policy.may(user.role_in(action.team_id), RIGHTS[step]):
        return f"Ask a {policy.least_role(RIGHTS[step]).label.lower()} of the team."
    if step is Step.LOOK_UP:
        return _why_no_look_up(action)
    return ""


def _why_no_look_up(action: Action) -> str:
    facts = registry.facts(action.account.vendor)
    verb = LOOKED_UP_BY.get(Verb(action.verb))
    capability = facts.capabilities.get(verb) if verb else None
    if verb is None or capability is None:
        return f"{facts.title} has no call to look this up. Look at the vendor's own pages."
    account = values.facts_of_account(action.account)
    return policy.account_refusal(account, verb, capability.permission) or ""


def take(
    action: Action,
    step: Step,
    *,
    by: User,
    reason: str,
    now: datetime,
    found: Mapping[str, str] | None = None,
    choice: int | None = None,
) -> None:
    """Takes a step. Raises NotAllowed, or ledger.Conflict where somebody was faster.

    `found` are the cleaned values of the vendor's FoundForm (for FOUND), `choice` the number of a choice (for PICK).
    """
    if sentence := why_not(action, step, by):
        raise NotAllowed(sentence)
    if step is Step.LOOK_UP:
        ledger.ask_look_up(action, by=by, now=now)
    elif step in (Step.SEND_AGAIN, Step.RETRY):
        ledger.retry(action, by=by, reason=reason, now=now)
    elif step is Step.CANCEL:
        deliveries.cancel(action, by=by, reason=reason, now=now)
    elif step is Step.HAPPENED:
        _resolve_happened(action, by=by, reason=reason, now=now)
    elif step is Step.FOUND:
        _resolve_found(action, created_by_hand(action, found or {}), by=by, reason=reason, now=now)
    else:
        deliveries.resolve_created(action, _choice(action, choice), by=by, reason=reason, now=now)


@transaction.atomic
def _resolve_happened(action: Action, *, by: User, reason: str, now: datetime) -> None:
    ledger.resolve_created(action, by=by, reason=reason, now=now)
    if action.session is not None:
        sessions.ask_reading(action.session, by=by, now=now)
    elif action.invitation_id is not None:
        invitations.apply_sent(action, now=now)


@transaction.atomic
def _resolve_found(action: Action, created: Created, *, by: User, reason: str, now: datetime) -> None:
    if action.verb == Verb.CREATE_EXAM:
        ledger.resolve_created(action, by=by, reason=reason, now=now)
        exams.apply_sent(action, ExamResult(ref=created.ref), now=now)
    else:
        deliveries.resolve_created(action, created, by=by, reason=reason, now=now)


@transaction.atomic
def take_many(
    actions: Iterable[Action], step: Step, *, by: User, reason: str, now: datetime
) -> list[tuple[Action, str]]:
    """Takes a step for each, all at once; returns with each why it could not be taken, or "".

    Actions of one group that are tried again together travel together again, in one call.
    """
    results = []
    for action in actions:
        try:
            with transaction.atomic():
                take(action, step, by=by, reason=reason, now=now)
        except (NotAllowed, ledger.Conflict) as error:
            results.append((action, str(error)))
        else:
            results.append((action, ""))
    return results


def created_by_hand(action: Action, found: Mapping[str, str]) -> Created:
    """What a person found at the vendor, as the vendor's adapter understands it."""
    account = action.account
    adapter = registry.adapter(
        account.vendor, values.of_account(account), planning.no_transport, clock=lambda: action.created_at
    )
    return adapter.created_by_hand(action.pk, found)


def _choice(action: Action, number: int | None) -> Created:
    choices: list[Any] = action.choices or []
    if number is None or not 0 <= number < len(choices):
        raise NotAllowed("That choice is not there any more. Look it up again.")
    return values.unpack(choices[number], Created)


def waiting_for_a_person(user: User) -> QuerySet[Action]:
    """What in the user's teams stopped and waits for somebody, oldest first."""
    stopped = Q(state__in=[ActionState.UNKNOWN, ActionState.NEEDS_ATTENTION])
    actions: QuerySet[Action] = Action.objects.visible_to(user).filter(stopped).order_by("changed_at", "id")
    return actions


def ailing_accounts(user: User) -> QuerySet[Account]:
    """Accounts in the user's teams that are paused, whole or for one kind of call."""
    accounts: QuerySet[Account] = Account.objects.visible_to(user).filter(is_archived=False)
    return accounts.filter(~Q(paused_at=None) | ~Q(paused_verbs={})).order_by("name")
