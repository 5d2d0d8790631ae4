"""What a person can do about an action that stopped, and doing it. The pages' buttons and the commands come from here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Now

from proctoring import deliveries, exams, invitations, journal, ledger, planning, policy, sessions, values
from proctoring.models import OPEN_STATES, Account, Action, ActionState, Delivery, DeliveryState, User
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
            right=right_of(action, step),
            why_not=why_not(action, step, user),
            is_destructive=step is Step.CANCEL,
        )
        for step in _steps(action)
    ]


def right_of(action: Action, step: Step) -> Right:
    """What a step takes. To try an action again takes what it took to ask for it."""
    return policy.VERB_RIGHTS[Verb(action.verb)] if step is Step.RETRY else RIGHTS[step]


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
    right = right_of(action, step)
    if not policy.may(user.role_in(action.team_id), right):
        return f"Ask a {policy.least_role(right).label.lower()} of the team."
    if step is Step.LOOK_UP:
        return _why_no_look_up(action)
    return ""


def _why_no_look_up(action: Action) -> str:
    facts = registry.facts(action.account.vendor)
    verb = LOOKED_UP_BY.get(Verb(action.verb))
    capability = facts.capabilities.get(verb) if verb else None
    if verb is None or capability is None:
        return f"{facts.why_not(verb or Verb.CHECK, 'look this up')} Look at the vendor's own pages."
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
        if sentence := exams.why_not_its(action, created.ref):
            raise ledger.Conflict(sentence)
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
    return _by_hand(action.account, action.pk, found, at=action.created_at)


def _by_hand(account: Account, reference: UUID, found: Mapping[str, str], *, at: datetime) -> Created:
    adapter = registry.adapter(account.vendor, values.of_account(account), planning.no_transport, clock=lambda: at)
    return adapter.created_by_hand(reference, found)


def _choice(action: Action, number: int | None) -> Created:
    choices = choices_of(action)
    if number is None or not 0 <= number < len(choices):
        raise NotAllowed("That choice is not there any more. Look it up again.")
    return choices[number]


def choices_of(action: Action) -> list[Created]:
    """What was found at the vendor and could be it. Raises values.Unreadable."""
    return [values.unpack(choice, Created) for choice in action.choices or []]


def waiting_for_a_person(user: User) -> QuerySet[Action]:
    """What in the user's teams stopped and waits for somebody, oldest first."""
    stopped = Q(state__in=[ActionState.UNKNOWN, ActionState.NEEDS_ATTENTION])
    actions: QuerySet[Action] = Action.objects.visible_to(user).filter(stopped).order_by("changed_at", "id")
    return actions


def number_waiting(user: User) -> int:
    """How many decisions in the user's teams wait for somebody."""
    return waiting_for_a_person(user).order_by().count() + without_a_link(user).order_by().count()


def ailing_accounts(user: User) -> QuerySet[Account]:
    """Accounts in the user's teams that are paused, whole or for one kind of call."""
    accounts: QuerySet[Account] = Account.objects.visible_to(user).filter(is_archived=False)
    return accounts.filter(~Q(paused_at=None) | ~Q(paused_verbs={})).order_by("name")


# --- created, and no link came ----------------------------------------------------------------------------------------


class LinkStep(StrEnum):
    ASK = "ask"
    ENTER = "enter"


LINK_LABELS = {LinkStep.ASK: "Ask the vendor for a new link", LinkStep.ENTER: "Enter its link"}
LINK_RIGHTS = {LinkStep.ASK: Right.RETAKE, LinkStep.ENTER: Right.RESOLVE}


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkButton:
    """One way to a missing link; `why_not` as with a Button."""

    step: LinkStep
    label: str
    why_not: str = ""


def without_a_link(user: User) -> QuerySet[Delivery]:
    """What vendors created in the user's teams without a link for the candidate, who still has time to need one."""
    created: QuerySet[Delivery] = Delivery.objects.visible_to(user).filter(state=DeliveryState.CREATED, take_url="")
    open_exam = Q(exam__ends_at=None) | Q(exam__ends_at__gt=Now())
    newer = Delivery.objects.filter(exam=OuterRef("exam"), candidate=OuterRef("candidate"))
    newer = newer.filter(attempt__gt=OuterRef("attempt")).exclude(state=DeliveryState.CANCELLED)
    busy = Action.objects.filter(delivery=OuterRef("pk"), state__in=OPEN_STATES)
    wanted = created.filter(open_exam, exam__is_archived=False, is_revoked=False)
    return wanted.exclude(Exists(newer)).exclude(Exists(busy)).order_by("created_at", "id")


def link_buttons(delivery: Delivery, user: User) -> list[LinkButton]:
    """The ways to a link in the order to try them."""
    return [
        LinkButton(step=step, label=LINK_LABELS[step], why_not=why_no_link(delivery, step, user))
        for step in LinkStep
        if step is not LinkStep.ASK or registry.capability(delivery.exam.account.vendor, Verb.REISSUE_LINK)
    ]


def why_no_link(delivery: Delivery, step: LinkStep, user: User) -> str:
    """Why this user cannot take this step now; "" where they can."""
    if not delivery.links_missing:
        return "It has a link by now."
    if not policy.may(user.role_in(delivery.team_id), LINK_RIGHTS[step]):
        return f"Ask a {policy.least_role(LINK_RIGHTS[step]).label.lower()} of the team."
    if step is LinkStep.ENTER:
        return ""
    account = delivery.exam.account
    capability = registry.capability(account.vendor, Verb.REISSUE_LINK)
    if capability is None:
        return registry.facts(account.vendor).why_not(Verb.REISSUE_LINK, policy.words(Verb.REISSUE_LINK))
    return policy.account_refusal(values.facts_of_account(account), Verb.REISSUE_LINK, capability.permission) or ""


def ask_for_link(delivery: Delivery, *, by: User, reason: str, now: datetime) -> None:
    """Asks the vendor for a new link. Raises NotAllowed, deliveries.Refused, or ledger.Conflict."""
    if sentence := why_no_link(delivery, LinkStep.ASK, by):
        raise NotAllowed(sentence)
    deliveries.let_back_in(delivery, by=by, reason=reason, now=now)


@transaction.atomic
def enter_link(delivery: Delivery, found: Mapping[str, str], *, by: User, reason: str, now: datetime) -> None:
    """Keeps the link that a person found at the vendor; `found` as in `take`. Raises NotAllowed."""
    if sentence := why_no_link(delivery, LinkStep.ENTER, by):
        raise NotAllowed(sentence)
    known = {"ref": delivery.ref, "person_ref": delivery.person_ref}
    created = _by_hand(delivery.exam.account, delivery.pk, {**found, **known}, at=now)
    if not created.take_url:
        raise NotAllowed("That holds no take link.")
    links = {"take_url": created.take_url} | ({"proctor_url": created.proctor_url} if created.proctor_url else {})
    if not Delivery.objects.filter(pk=delivery.pk, state=DeliveryState.CREATED, take_url="").update(**links):
        raise NotAllowed("Somebody else was faster: it has a link by now.")
    journal.record("delivery.link_entered", delivery, team=delivery.team_id, at=now, by=by, reason=reason)
