"""One delivery with all that is known of it: how far it is, its links, its mails, its timeline and its next steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any
from uuid import UUID, uuid4

from django.contrib import messages
from django.db.models import BooleanField, Case, Prefetch, Q, QuerySet, Value, When
from django.http import Http404, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from proctoring import attention, deliveries, glance, invitations, journal, ledger, links, refusals
from proctoring.attention import Button
from proctoring.forms.attention import ReasonForm
from proctoring.forms.invitations import TokenForm
from proctoring.models import (
    OPEN_STATES,
    Action,
    ActionState,
    Batch,
    Call,
    Delivery,
    DeliveryState,
    Invitation,
    JournalEntry,
)
from proctoring.policy import Right
from proctoring.vendors import registry
from proctoring.vendors.base import SessionState, Verb
from proctoring.views import session_words, words
from proctoring.views.access import (
    ConsoleRequest,
    console,
    fragment,
    may,
    now,
    page,
    require,
    whom_to_ask,
)
from proctoring.views.deliver import CHOSEN_BY_ADMIN
from proctoring.views.words import Badge

TIMELINE = 200
QUICK, SLOW = "2s", "20s"
STOPPED = (ActionState.UNKNOWN, ActionState.NEEDS_ATTENTION)
MOVING = (ActionState.QUEUED, ActionState.SENDING)
NOUNS: Mapping[str, str] = {
    Verb.CREATE_DELIVERIES: "Delivery",
    Verb.REISSUE_LINK: "New vendor link",
    Verb.SEND_MESSAGE: "Mail",
}
MAIL_WORDS: Mapping[str, str] = {
    "action.sent": "Mail handed to the mail server",
    "action.done": "Mail taken by the mail server",
    "action.unknown": "Mail may have gone: the mail server did not answer",
    "action.needs_attention": "Mail not sent: somebody must decide",
    "action.waits": "Mail waits for another try",
}
DONE_WORDS: Mapping[str, str] = {
    Verb.CREATE_DELIVERIES: "Delivery created at the vendor",
    Verb.REISSUE_LINK: "The vendor gave a new link",
}
BY_CANDIDATE = ("delivery.opened",)


# --- what the page is made of -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class MailRow:
    """One message as it was sent, or is to be."""

    invitation: Invitation
    action: Action | None
    buttons: Sequence[Button]

    @property
    def badge(self) -> Badge:
        return words.mail_badge(self.action)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One thing that happened."""

    at: datetime
    what: str
    by: str = ""
    why: str = ""
    call: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NextStep:
    """One thing that can be done; `why_not` says why not now, or who may."""

    key: str
    label: str
    text: str
    right: Right
    why_not: str = ""
    asks_reason: bool = False
    is_danger: bool = False
    token: UUID = field(default_factory=uuid4)


class Shown:
    """A delivery and what belongs to it, read once a request. A fixed number of queries."""

    def __init__(self, request: ConsoleRequest, row: Delivery) -> None:
        self.request, self.row = request, row
        self.asks: dict[Right, str] = {}  # whom to ask for what this user may not do

    @cached_property
    def mail(self) -> list[MailRow]:
        actions = Prefetch("actions", queryset=Action.objects.select_related("account").defer("payload", "kept"))
        rows = Invitation.objects.filter(delivery=self.row).select_related("by").prefetch_related(actions)
        return [self._mail_row(row) for row in rows.defer("text", "html", "calendar")]

    def _mail_row(self, invitation: Invitation) -> MailRow:
        action = next(iter(invitation.actions.all()), None)
        stopped = action is not None and action.state in STOPPED
        return MailRow(invitation, action, attention.buttons(action, self.request.user) if stopped and action else ())

    @cached_property
    def actions(self) -> list[Action]:
        """What was intended for the delivery and its session, without the mails."""
        mine = Q(delivery=self.row) | Q(session__delivery=self.row)
        rows = Action.objects.filter(mine).select_related("account", "by", "delivery").defer("payload", "kept")
        return list(rows.order_by("-created_at", "id"))

    @cached_property
    def open_action(self) -> Action | None:
        return next((item for item in self.actions if item.delivery_id and item.state in OPEN_STATES), None)

    @cached_property
    def newest(self) -> Delivery:
        return deliveries.newest(self.row)

    @cached_property
    def attempts(self) -> list[Delivery]:
        rows = Delivery.objects.filter(exam=self.row.exam_id, candidate=self.row.candidate_id).exclude(pk=self.row.pk)
        return list(rows.defer("take_url", "proctor_url", "options").order_by("attempt", "requested_at"))

    @cached_property
    def marks(self) -> list[glance.Mark]:
        mail = glance.mailed([self.row.pk]).get(self.row.pk)
        stages = glance.marks(self.row, mail)
        return stages if self.row.state == DeliveryState.CANCELLED else [_created(self.row), *stages]

    @property
    def is_moving(self) -> bool:
        mails = [item.action for item in self.mail if item.action]
        return any(item.state in MOVING or item.look_due_at for item in [*self.actions, *mails])

    @property
    def interval(self) -> str:
        """How often the page asks what changed; "" where nothing can change by itself any more."""
        session = glance.session_of(self.row)
        is_over = self.row.state == DeliveryState.CANCELLED or (
            session is not None and session.state == SessionState.COMPLETE
        )
        return QUICK if self.is_moving else "" if is_over else SLOW


def _created(row: Delivery) -> glance.Mark:
    if row.state == DeliveryState.REQUESTED:
        return glance.Mark(glance.Standing.MOVING, "Asked for at the vendor", row.requested_at)
    more = "The vendor gave no take link." if row.links_missing else ""
    return glance.Mark(glance.Standing.YES, "Created at the vendor", row.created_at, more)


def delivery_of(request: ConsoleRequest, key: UUID) -> Delivery:
    """The delivery with what its page shows. The proctor link is not even read."""
    has_link = Case(When(~Q(proctor_url=""), then=Value(True)), default=False, output_field=BooleanField())
    rows: QuerySet[Delivery] = Delivery.objects.visible_to(request.user)
    related = ("exam__account", "candidate", "team", "session__account")
    rows = rows.select_related(*related).annotate(has_proctor_link=has_link).defer("proctor_url")
    row: Delivery = get_object_or_404(rows, pk=key)
    return row


# --- the page ---------------------------------------------------------------------------------------------------------


@console
@require_GET
def delivery(request: ConsoleRequest, delivery: UUID) -> HttpResponse:
    shown = Shown(request, delivery_of(request, delivery))
    context = {"title": str(shown.row.candidate), **_parts(shown), **_common(shown)}
    return page(request, "proctoring/delivery.html", **context)


@console
@require_GET
def delivery_live(request: ConsoleRequest, delivery: UUID) -> HttpResponse:
    """The parts that changed since the page last looked; nothing (204) where none did."""
    shown = Shown(request, delivery_of(request, delivery))
    held, parts = set(request.GET.getlist("seen")), _parts(shown)
    changed = [name for name, part in parts.items() if part["seen"] not in held]
    if not changed:
        return HttpResponse(status=204)
    context: dict[str, Any] = {**parts, **_common(shown), "changed": changed, "oob": True}
    return fragment(request, "proctoring/delivery_live.html", **context)


def _common(shown: Shown) -> dict[str, Any]:
    row = shown.row
    facts = registry.facts(row.exam.account.vendor)
    return {
        "delivery": row,
        "vendor": facts,
        "attempts": shown.attempts,
        "is_newest": shown.newest.pk == row.pk or row.state == DeliveryState.CANCELLED,
        "newest": shown.newest,
        "interval": shown.interval,
        "next": reverse("delivery", args=[row.pk]),
        "may_deliver": may(shown.request, row.team_id, Right.DELIVER),
        "may_invite": may(shown.request, row.team_id, Right.INVITE),
        "may_see_proctor_links": may(shown.request, row.team_id, Right.SHOW_PROCTOR_LINK),
    }


def _parts(shown: Shown) -> dict[str, dict[str, Any]]:
    """What of the page may change by itself, each part with the version of it that the page holds."""
    row, action = shown.row, shown.open_action
    lines = timeline(shown)
    session = glance.session_of(row)
    links_ = {"take_url": row.take_url, "url": links.url_of(row), "is_revoked": row.is_revoked}
    moved = [(item.invitation.pk, item.action and item.action.changed_at) for item in shown.mail]
    steps = _steps(shown)
    state = (shown.marks, action and (action.pk, action.changed_at), session and session.asked_at, shown.interval)
    return {
        "glance": {"marks": shown.marks, "session": session, **_opened(shown, action), **_seen("glance", *state)},
        "steps": {"list": steps, **_seen("steps", *((item.key, item.why_not) for item in steps))},
        "links": {**links_, **_seen("links", links_, row.state)},
        "mails": {"rows": shown.mail, **_seen("mails", moved)},
        "timeline": {"lines": lines, **_seen("timeline", len(lines), lines[:1])},
    }


def _seen(name: str, *parts: object) -> dict[str, str]:
    return {"seen": f"{name}.{session_words.version(*parts)}"}


def _opened(shown: Shown, action: Action | None) -> dict[str, Any]:
    """What is under way, and the decision that it waits for."""
    if action is None:
        return {"action": None}
    stopped = action.state in STOPPED
    action.delivery = shown.row  # with its exam, which is read already
    return {
        "action": action,
        "badge": words.badge(action),
        "what": NOUNS.get(action.verb, words.verb(action.verb)),
        "buttons": attention.buttons(action, shown.request.user),
        "explanation": words.explanation(action) if stopped else "",
        "refused": refusals.of_action(action) if stopped else [],
    }


# --- the timeline -----------------------------------------------------------------------------------------------------


def timeline(shown: Shown) -> list[Line]:
    """The journal, the calls and what the vendor reports, the newest first."""
    mails = [item.action for item in shown.mail if item.action]
    lines = [_line_of_entry(entry) for entry in _entries(shown)]
    lines += [_line_of_call(call, shown) for call in _calls([*shown.actions, *mails])]
    session = glance.session_of(shown.row)
    if session is not None and session.asked_at and session.state != SessionState.NOT_REPORTED:
        text = f"The vendor reports: {session_words.state_badge(session).text}"
        lines.append(Line(at=session.asked_at, what=text, why=session_words.vendors_word(session)))
    return sorted(lines, key=lambda line: line.at, reverse=True)[:TIMELINE]


def _entries(shown: Shown) -> QuerySet[JournalEntry]:
    session = glance.session_of(shown.row)
    targets = [shown.row.pk, *(item.invitation.pk for item in shown.mail), *([session.pk] if session else [])]
    rows = JournalEntry.objects.filter(target__in=[str(key) for key in targets]).select_related("by")
    return rows.order_by("-at", "-id")[:TIMELINE]


def _calls(actions: Sequence[Action]) -> QuerySet[Call]:
    rows = Call.objects.filter(group__in=[action.group for action in actions]).exclude(sent_at=None)
    light = rows.defer("request_body", "response_body", "request_headers", "response_headers").select_related("account")
    return light.order_by("-sent_at")[:TIMELINE]


def _line_of_entry(entry: JournalEntry) -> Line:
    by = "The candidate" if entry.event in BY_CANDIDATE else str(entry.by or "")
    return Line(at=entry.at, what=_what(entry), by=by, why=entry.reason)


def _what(entry: JournalEntry) -> str:
    text, verb = journal.words(entry.event), str(entry.facts.get("verb", ""))
    if verb == Verb.SEND_MESSAGE and entry.event in MAIL_WORDS:
        return MAIL_WORDS[entry.event]
    if entry.event == "invitation.requested" and entry.facts.get("rehearsal"):
        return "Rehearsal of the invitation asked for"
    if entry.event == "action.done" and verb in DONE_WORDS:
        return DONE_WORDS[verb]
    if not verb:
        return text
    noun = NOUNS.get(verb) or session_words.title(verb)
    return f"{noun}: {text[:1].lower()}{text[1:]}"


def _line_of_call(call: Call, shown: Shown) -> Line:
    whom = "The mail server" if call.verb == Verb.SEND_MESSAGE else registry.facts(call.account.vendor).title
    answer = {
        Call.Outcome.OPEN: "was called and has not answered yet",
        Call.Outcome.UNAVAILABLE: "was not reached",
        Call.Outcome.NO_ANSWER: "was called and gave no answer that can be read",
        Call.Outcome.LOST: "was called, and the answer was lost with the worker",
    }.get(Call.Outcome(call.outcome), f"answered {call.status}" if call.status else "was called")
    what = f"{whom} {answer}" if call.verb == Verb.SEND_MESSAGE else f"{whom} {answer}: {words.verb(call.verb)}"
    return Line(at=call.sent_at or call.claimed_at, what=what, why=call.error, call=call.pk)


# --- next steps -------------------------------------------------------------------------------------------------------


def _steps(shown: Shown) -> list[NextStep]:
    """What can be done with the newest attempt; nothing with an older one."""
    row = shown.row
    if row.state == DeliveryState.CANCELLED or shown.newest.pk != row.pk:
        return []
    return [_with_whom_to_ask(step, shown) for step in (*_mail_steps(shown), *_link_steps(shown))]


def _with_whom_to_ask(step: NextStep, shown: Shown) -> NextStep:
    if may(shown.request, shown.row.team_id, step.right):
        return step
    if step.right not in shown.asks:
        shown.asks[step.right] = whom_to_ask(shown.row.team_id, step.right)
    who = shown.asks[step.right]
    return NextStep(key=step.key, label=step.label, text=step.text, right=step.right, why_not=who)


def _mail_steps(shown: Shown) -> list[NextStep]:
    why_not = invitations.refusal(shown.row, now())
    asked = [item for item in shown.mail if not item.invitation.is_rehearsal and item.action]
    is_invited = any(item.action and item.action.state != ActionState.CANCELLED for item in asked)
    busy = next((item.badge.text for item in asked if item.action and _is_in_the_way(item.action)), "")
    person, me = shown.row.candidate, shown.request.user
    if busy:
        why_not = (
            why_not or f"An earlier message is not settled ({busy.lower()}). Wait for it, or decide about it below."
        )
    to_me = "" if me.email else "Your own account has no e-mail address. Ask an administrator to enter it."
    return [
        NextStep(
            key="again" if is_invited else "invite",
            label="Send the invitation again" if is_invited else "Invite the candidate",
            text=f"Goes to {person.email}, with the window as it is now.",
            right=Right.INVITE,
            why_not=why_not,
        ),
        NextStep(
            key="rehearse",
            label="Send it to me",
            text=f"A rehearsal: the same message to {me.email or 'you'}, and nothing to the candidate.",
            right=Right.INVITE,
            why_not=invitations.refusal(shown.row, now()) or to_me,
        ),
    ]


def _is_in_the_way(action: Action) -> bool:
    """Whether a message moves, or may have gone: then no other is sent blindly."""
    is_stopped = action.state == ActionState.NEEDS_ATTENTION and not action.may_have_acted
    return action.state in OPEN_STATES and not is_stopped


def _link_steps(shown: Shown) -> list[NextStep]:
    row = shown.row
    created = "" if row.state == DeliveryState.CREATED else "The vendor has not created the delivery yet."
    busy = "Something is under way with this delivery already." if shown.open_action else ""
    return [
        NextStep(
            key="let-back-in",
            label="Let them back in",
            text="For “it threw me out”: a new way in at the vendor, or a new attempt. The candidate’s link stays the same.",
            right=Right.RETAKE,
            why_not=created or busy,
            asks_reason=True,
        ),
        NextStep(
            key="new-link",
            label="Make a new candidate link",
            text="The old one stops working and says so. Send the new one afterwards.",
            right=Right.INVITE,
        ),
        NextStep(
            key="revoke",
            label="Revoke the candidate link",
            text="Closes the candidate’s way in. A new link opens it again.",
            right=Right.INVITE,
            why_not="It is revoked. A new link opens the way in again." if row.is_revoked else "",
            asks_reason=True,
            is_danger=True,
        ),
        NextStep(
            key="retake",
            label="Plan a retake",
            text="Goes to the page that delivers, with this exam and this candidate chosen.",
            right=Right.RETAKE,
            why_not=created,
        ),
    ]


@console
@require_POST
def delivery_step(request: ConsoleRequest, delivery: UUID, step: str) -> HttpResponseBase:
    """Takes a next step. What is not possible any more is said on the delivery's page."""
    shown = Shown(request, delivery_of(request, delivery))
    if step not in STEPS:
        raise Http404
    right, take, needs_reason = STEPS[step]
    require(request, shown.row.team_id, right)
    why_not = next((item.why_not for item in _steps(shown) if item.key == step), "")
    form = ReasonForm(request.POST)
    if needs_reason and not form.is_valid():
        messages.error(request, "Nothing was done: say why, it is kept in the journal.")
    elif why_not or not any(item.key == step for item in _steps(shown)):
        messages.warning(request, why_not or "That is not possible any more. This is how things are now.")
    else:
        return take(shown, form.cleaned_data.get("reason", "") if needs_reason else "") or redirect(
            "delivery", delivery
        )
    return redirect("delivery", delivery)


def _mail(shown: Shown, **options: Any) -> Batch | None:
    token = TokenForm(shown.request.POST)
    batch_id = token.cleaned_data["token"] if token.is_valid() else None
    try:
        return invitations.request([shown.row], by=shown.request.user, now=now(), batch_id=batch_id, **options)
    except invitations.Refused as error:
        messages.warning(shown.request, str(error))
        return None


def _invite(shown: Shown, reason: str) -> None:
    if _mail(shown):
        messages.success(shown.request, f"The invitation to {shown.row.candidate.email} is on its way.")


def _again(shown: Shown, reason: str) -> None:
    if _mail(shown, is_again=True):
        messages.success(shown.request, f"A new invitation to {shown.row.candidate.email} is on its way.")


def _rehearse(shown: Shown, reason: str) -> None:
    to = shown.request.user.email
    if _mail(shown, rehearse_to=to):
        messages.success(shown.request, f"The rehearsal to {to} is on its way. The candidate gets nothing.")


def _new_link(shown: Shown, reason: str) -> None:
    deliveries.reissue_candidate_link(shown.row, by=shown.request.user, now=now())
    messages.success(
        shown.request, "There is a new candidate link. The old one now says so; send the invitation again."
    )


def _revoke(shown: Shown, reason: str) -> None:
    deliveries.revoke_candidate_link(shown.row, by=shown.request.user, reason=reason, now=now())
    messages.success(shown.request, "The candidate link is revoked.")


def _let_back_in(shown: Shown, reason: str) -> HttpResponseBase | None:
    request = shown.request
    try:
        asked = deliveries.let_back_in(shown.row, by=request.user, reason=reason, now=now())
    except (deliveries.Refused, ledger.Conflict) as error:
        messages.warning(request, str(error))
        return None
    if isinstance(asked, Batch):
        messages.success(request, "A new attempt is being made; the candidate’s link leads to it.")
        made = Action.objects.filter(batch=asked).values_list("delivery", flat=True).first()
        return redirect("delivery", made) if made else None
    messages.success(request, "A new way in is asked for at the vendor; the candidate’s link leads to it.")
    return None


def _retake(shown: Shown, reason: str) -> HttpResponseBase:
    shown.request.session[CHOSEN_BY_ADMIN] = [str(shown.row.candidate_id)]
    return redirect(f"{reverse('deliver')}?exam={shown.row.exam_id}")


Take = Callable[[Shown, str], HttpResponseBase | None]
STEPS: Mapping[str, tuple[Right, Take, bool]] = {
    "invite": (Right.INVITE, _invite, False),
    "again": (Right.INVITE, _again, False),
    "rehearse": (Right.INVITE, _rehearse, False),
    "new-link": (Right.INVITE, _new_link, False),
    "revoke": (Right.INVITE, _revoke, True),
    "let-back-in": (Right.RETAKE, _let_back_in, True),
    "retake": (Right.RETAKE, _retake, False),
}
