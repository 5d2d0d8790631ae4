"""What stopped and waits for a person: ailing accounts first, then each action with what happened and its next steps."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import Case, Count, IntegerField, Q, QuerySet, Value, When
from django.http import Http404, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from proctoring import attention, deliveries, ledger, policy, refusals
from proctoring.attention import Button, LinkButton, LinkStep, Step
from proctoring.forms.attention import MANY, ManyForm, PickForm, ReasonForm, found_form
from proctoring.models import Account, Action, ActionState, Call, Candidate, Delivery, Exam, Session
from proctoring.policy import Right
from proctoring.views import words
from proctoring.views.access import (
    ConsoleRequest,
    console,
    fragment,
    may,
    next_url,
    now,
    page,
    teams_where,
    whom_to_ask,
)

PAGE = 50
SHOWN_LINKLESS = 100
LINKLESS = "no_link"  # a kind beside those of actions
SHOWN_CALLS = 5
RESULTS = "attention_results"  # the session's key between taking many steps and showing what came of each
PRESS = {Step.FOUND: "Settle it as created", Step.PICK: "Settle it as this one"}  # where the label is no order
DONE = {
    Step.LOOK_UP: "will be looked up at the vendor; the answer appears here",
    Step.SEND_AGAIN: "is queued to be sent again",
    Step.FOUND: "is settled with what you entered",
    Step.HAPPENED: "is settled as done",
    Step.PICK: "is settled with the one you picked",
    Step.RETRY: "is queued again",
    Step.CANCEL: "is cancelled",
}

RELATED = (
    *("account", "delivery__candidate", "delivery__exam", "session__candidate", "session__exam", "exam"),
    *("invitation__delivery__candidate", "invitation__delivery__exam"),
)
SECRETS = (
    *("payload", "delivery__take_url", "delivery__proctor_url", "session__content"),
    *("invitation__text", "invitation__html", "invitation__calendar"),
    *("invitation__delivery__take_url", "invitation__delivery__proctor_url"),
)


def _about(action: Action) -> Delivery | Session | None:
    """What has the exam and the candidate of an action; None where it is about an exam alone."""
    return action.delivery or action.session or (action.invitation.delivery if action.invitation else None)


@dataclass(frozen=True, slots=True)
class Stopped:
    """One action that waits for a person."""

    action: Action
    buttons: Sequence[Button]
    calls: Sequence[Call]

    @property
    def badge(self) -> words.Badge:
        return words.badge(self.action)

    @property
    def kind(self) -> str:
        return words.kind(self.action)

    @property
    def explanation(self) -> str:
        return words.explanation(self.action)

    @property
    def what(self) -> str:
        return words.verb(self.action.verb)

    @property
    def refused(self) -> Sequence[refusals.Named]:
        """The fields that the refusal is about."""
        return refusals.of_action(self.action)

    @property
    def exam(self) -> Exam | None:
        target = _about(self.action)
        return target.exam if target else self.action.exam

    @property
    def candidate(self) -> Candidate | None:
        target = _about(self.action)
        return target.candidate if target else None


@dataclass(frozen=True, slots=True)
class Ailing:
    """One account that is paused, and how much waits for it."""

    account: Account
    waiting: int
    may_mend: bool
    ask: str

    @property
    def badge(self) -> words.Badge:
        return words.account_badge(self.account)

    @property
    def pauses(self) -> Sequence[tuple[str, str]]:
        return words.pauses(self.account)


@dataclass(frozen=True, slots=True)
class Linkless:
    """One delivery that was created and has no link."""

    delivery: Delivery
    buttons: Sequence[LinkButton]


# --- the page ---------------------------------------------------------------------------------------------------------


@console
@require_GET
def attention_page(request: ConsoleRequest) -> HttpResponse:
    kind, exam, text = (request.GET.get(name, "").strip() for name in ("kind", "exam", "q"))
    everything = attention.waiting_for_a_person(request.user)
    found = _filtered(everything, kind, exam, text)
    linkless = attention.without_a_link(request.user)
    wanted = _filtered_linkless(linkless, kind, exam, text)
    links = _linkless(wanted[:SHOWN_LINKLESS], request)
    shown = Paginator(_by_kind(found), PAGE).get_page(request.GET.get("page"))
    context = {
        "title": "Needs attention",
        "accounts": _ailing(request),
        "groups": _grouped(_stopped(shown.object_list, request)),
        "page": shown,
        "links": links,
        "linkless": words.LINKLESS,
        "more_links": wanted.count() - len(links) if len(links) == SHOWN_LINKLESS else 0,
        "kinds": [*_kinds(everything), *_kind_of(linkless)],
        "exams": _exams(everything, linkless),
        "filters": {"kind": kind, "exam": exam, "q": text},
        "is_filtered": bool(kind or exam or text),
        "many": _many_form(),
        "results": request.session.pop(RESULTS, None),
        "next": request.get_full_path(),
        "has_team": bool(teams_where(request, Right.VIEW)),
    }
    return page(request, "proctoring/attention.html", **context)


def _filtered(actions: QuerySet[Action], kind: str, exam: str, text: str) -> QuerySet[Action]:
    if kind == LINKLESS:
        return actions.none()
    if kind == ActionState.UNKNOWN:
        actions = actions.filter(state=ActionState.UNKNOWN)
    elif kind in words.KINDS:
        actions = actions.filter(state=ActionState.NEEDS_ATTENTION, attention=kind)
    if exam:
        key = _uuid(exam)
        about = Q(delivery__exam=key) | Q(session__exam=key) | Q(exam=key) | Q(invitation__delivery__exam=key)
        actions = actions.filter(about)
    for word in text.split()[:8]:
        actions = actions.filter(_matches(word))
    return actions


def _matches(word: str) -> Q:
    fields = ("first_name", "last_name", "email", "external_id")
    match = Q(message__icontains=word)
    for field in fields:
        match |= Q(**{f"delivery__candidate__{field}__icontains": word})
        match |= Q(**{f"invitation__delivery__candidate__{field}__icontains": word})
    return match


def _filtered_linkless(rows: QuerySet[Delivery], kind: str, exam: str, text: str) -> QuerySet[Delivery]:
    if kind not in ("", LINKLESS):
        return rows.none()
    if exam:
        rows = rows.filter(exam=_uuid(exam))
    for word in text.split()[:8]:
        rows = rows.filter(candidate__in=Candidate.objects.matching(word))
    return rows


def _linkless(rows: QuerySet[Delivery], request: ConsoleRequest) -> list[Linkless]:
    found = rows.select_related("exam__account", "candidate").defer("proctor_url", "options", "exam__settings")
    return [Linkless(row, attention.link_buttons(row, request.user)) for row in found]


def _kind_of(linkless: QuerySet[Delivery]) -> list[tuple[str, str, int]]:
    number = linkless.order_by().count()
    return [(LINKLESS, words.LINKLESS[0], number)] if number else []


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise Http404 from None


def _by_kind(actions: QuerySet[Action]) -> QuerySet[Action]:
    """In the order of the groups, the oldest of each first, with all that a row shows."""
    places = [
        When(state=ActionState.NEEDS_ATTENTION, attention=kind, then=Value(place))
        for place, kind in enumerate(words.KINDS)
        if kind != ActionState.UNKNOWN
    ]
    unknown = When(state=ActionState.UNKNOWN, then=Value(0))
    place = Case(unknown, *places, default=Value(len(words.KINDS)), output_field=IntegerField())
    return actions.select_related(*RELATED, "by").defer(*SECRETS).order_by(place, "changed_at", "id")


def _stopped(actions: Iterable[Action], request: ConsoleRequest) -> list[Stopped]:
    rows = list(actions)
    calls = _calls(rows)
    return [Stopped(row, buttons(row, request), calls.get(row.group, [])) for row in rows]


def buttons(action: Action, request: ConsoleRequest) -> list[Button]:
    """The next steps; where a look-up found several that it could be, picking one comes first."""
    steps = attention.buttons(action, request.user)
    if not action.choices:
        return steps
    why_not = attention.why_not(action, Step.PICK, request.user)
    pick = Button(step=Step.PICK, label="Pick which one it is", right=Right.RESOLVE, why_not=why_not)
    return [pick, *steps]


def _calls(actions: Sequence[Action]) -> Mapping[UUID, Sequence[Call]]:
    """What was sent for each of them, the latest first, without the bodies."""
    groups = [action.group for action in actions]
    sent = Call.objects.filter(group__in=groups).exclude(sent_at=None).order_by("-sent_at")
    calls: dict[UUID, list[Call]] = defaultdict(list)
    for call in sent.defer("request_body", "response_body", "request_headers", "response_headers"):
        if call.group and len(calls[call.group]) < SHOWN_CALLS:
            calls[call.group].append(call)
    return calls


def _grouped(rows: Iterable[Stopped]) -> list[tuple[str, str, list[Stopped]]]:
    """(heading, what it means, rows) in the order of the kinds."""
    groups: dict[str, list[Stopped]] = defaultdict(list)
    for row in rows:
        groups[row.kind].append(row)
    return [(*words.KINDS[kind], groups[kind]) for kind in words.KINDS if kind in groups]


def _kinds(actions: QuerySet[Action]) -> list[tuple[str, str, int]]:
    numbers: dict[str, int] = defaultdict(int)
    for state, why, number in actions.order_by().values_list("state", "attention").annotate(n=Count("pk")):
        numbers[state if state == ActionState.UNKNOWN else why] += number
    return [(kind, words.KINDS[kind][0], numbers[kind]) for kind in words.KINDS if numbers[kind]]


def _exams(actions: QuerySet[Action], linkless: QuerySet[Delivery]) -> QuerySet[Exam]:
    """The exams among which it makes sense to choose."""
    stopped = actions.order_by()
    return Exam.objects.filter(
        Q(pk__in=stopped.values("delivery__exam"))
        | Q(pk__in=stopped.values("exam"))
        | Q(pk__in=stopped.values("session__exam"))
        | Q(pk__in=stopped.values("invitation__delivery__exam"))
        | Q(pk__in=linkless.order_by().values("exam"))
    ).order_by("title")


def _ailing(request: ConsoleRequest) -> list[Ailing]:
    accounts = list(
        attention.ailing_accounts(request.user)
        .select_related("team")
        .annotate(waiting=Count("actions", filter=Q(actions__state=ActionState.QUEUED)))
    )
    asks = {account.team_id: "" for account in accounts}
    for team in asks:
        asks[team] = "" if may(request, team, Right.MANAGE_ACCOUNTS) else whom_to_ask(team, Right.MANAGE_ACCOUNTS)
    return [Ailing(row, getattr(row, "waiting", 0), not asks[row.team_id], asks[row.team_id]) for row in accounts]


def _many_form() -> list[tuple[str, str]]:
    return [(step.value, attention.LABELS[step]) for step in MANY]


# --- one step ---------------------------------------------------------------------------------------------------------


@console
@require_http_methods(["GET", "HEAD", "POST"])
def attention_step(request: ConsoleRequest, action: UUID, step: str) -> HttpResponseBase:
    """One next step of one action: its form, with a reason, and taking it."""
    row, chosen = _action(request, action), _step(step)
    back = next_url(request, "attention")
    if sentence := attention.why_not(row, chosen, request.user):
        _turn_away(request, row.team_id, attention.right_of(row, chosen), name=_name(row), sentence=sentence)
        return redirect(back)
    parts = _forms(row, chosen, request.POST if request.method == "POST" else None)
    answers = [part.is_valid() for part in parts]  # each, so that every form says what is wrong with it
    if request.method == "POST" and all(answers):
        _take(request, row, chosen, parts)
        return redirect(back)
    return _step_page(request, row, chosen, parts, back)


def _step(text: str) -> Step:
    try:
        return Step(text)
    except ValueError:
        raise Http404 from None


def _action(request: ConsoleRequest, key: UUID) -> Action:
    found: Action = get_object_or_404(Action.objects.visible_to(request.user).select_related(*RELATED), pk=key)
    return found


def _forms(action: Action, step: Step, data: Mapping[str, Any] | None) -> list[forms.Form]:
    if step is Step.LOOK_UP:
        return []
    if step is Step.PICK:
        return [PickForm(data, action=action)]
    if step is Step.FOUND:
        return [found_form(action.account)(data, prefix="found"), ReasonForm(data)]
    return [ReasonForm(data)]


def _take(request: ConsoleRequest, action: Action, step: Step, parts: Sequence[forms.Form]) -> None:
    reason = parts[-1].cleaned_data["reason"] if parts else ""
    found = parts[0].cleaned_data if step is Step.FOUND else None
    choice = parts[0].cleaned_data["choice"] if step is Step.PICK else None
    try:
        attention.take(action, step, by=request.user, reason=reason, now=now(), found=found, choice=choice)
    except (attention.NotAllowed, ledger.Conflict) as error:
        messages.warning(request, f"{_name(action)}: {error}")
    else:
        messages.success(request, f"{_name(action)} {DONE[step]}.")


def _name(action: Action) -> str:
    """Whom or what a message is about."""
    target = _about(action)
    candidate, exam = (target.candidate, target.exam) if target else (None, action.exam)
    return f"{candidate} · {exam}" if candidate else str(exam)


def _step_page(
    request: ConsoleRequest, action: Action, step: Step, parts: Sequence[forms.Form], back: str
) -> HttpResponse:
    context: dict[str, Any] = {
        "title": attention.label(action, step),
        "row": _stopped([action], request)[0],
        "post_to": reverse("attention_step", args=[action.pk, step.value]),
        "label": attention.label(action, step),
        "press": PRESS.get(step, attention.label(action, step)),
        "is_destructive": step is Step.CANCEL,
        "warning": _warning(action, step),
        "parts": parts,
        "next": back,
    }
    if request.htmx:
        return fragment(request, "proctoring/attention_step_form.html", **context)
    status = 422 if request.method == "POST" else 200
    return page(request, "proctoring/attention_step.html", status=status, **context)


def _warning(action: Action, step: Step) -> str:
    if step is Step.SEND_AGAIN or (step is Step.RETRY and action.may_have_acted):
        return "If the vendor did create it, this makes a second one. Look there first."
    if step is Step.CANCEL and action.may_have_acted:
        return "This ends it here only. If the vendor created it, it stays there: remove it there, too."
    return ""


def _turn_away(request: ConsoleRequest, team_id: int, right: Right, *, name: str, sentence: str) -> None:
    """Leaves the sentence for the next page. Raises PermissionDenied where a right is what is missing."""
    if not policy.may(request.user.role_in(team_id), right):
        raise PermissionDenied(f"{sentence} {whom_to_ask(team_id, right)}")
    messages.warning(request, f"{name}: {sentence}")


# --- a link that is missing -------------------------------------------------------------------------------------------


@console
@require_http_methods(["GET", "HEAD", "POST"])
def attention_link(request: ConsoleRequest, delivery: UUID, step: str) -> HttpResponseBase:
    """One way to the missing link of one delivery: its form, with a reason, and taking it."""
    rows = Delivery.objects.visible_to(request.user).select_related("exam__account", "candidate")
    row: Delivery = get_object_or_404(rows, pk=delivery)
    if step not in list(LinkStep):
        raise Http404
    chosen, back = LinkStep(step), next_url(request, "attention")
    if sentence := attention.why_no_link(row, chosen, request.user):
        _turn_away(
            request, row.team_id, attention.LINK_RIGHTS[chosen], name=f"{row.candidate} · {row.exam}", sentence=sentence
        )
        return redirect(back)
    parts = _link_forms(row, chosen, request.POST if request.method == "POST" else None)
    answers = [part.is_valid() for part in parts]
    if request.method == "POST" and all(answers) and _take_link_step(request, row, chosen, parts):
        return redirect(back)
    context: dict[str, Any] = {
        "title": attention.LINK_LABELS[chosen],
        "delivery": row,
        "post_to": reverse("attention_link", args=[row.pk, chosen.value]),
        "label": attention.LINK_LABELS[chosen],
        "press": "Keep this link" if chosen is LinkStep.ENTER else attention.LINK_LABELS[chosen],
        "warning": "The old link, if there is one, may stop working." if chosen is LinkStep.ASK else "",
        "parts": parts,
        "next": back,
    }
    if request.htmx:
        return fragment(request, "proctoring/attention_step_form.html", **context)
    return page(request, "proctoring/attention_link.html", status=422 if request.method == "POST" else 200, **context)


def _link_forms(row: Delivery, step: LinkStep, data: Mapping[str, Any] | None) -> list[forms.Form]:
    if step is LinkStep.ASK:
        return [ReasonForm(data)]
    form = found_form(row.exam.account)(data, prefix="found")
    for known in ("ref", "person_ref"):
        form.fields.pop(known, None)
    return [form, ReasonForm(data)]


def _take_link_step(request: ConsoleRequest, row: Delivery, step: LinkStep, parts: Sequence[forms.Form]) -> bool:
    """False where the form is to be shown again, with what is wrong with it."""
    reason = parts[-1].cleaned_data["reason"]
    try:
        if step is LinkStep.ASK:
            attention.ask_for_link(row, by=request.user, reason=reason, now=now())
        else:
            attention.enter_link(row, parts[0].cleaned_data, by=request.user, reason=reason, now=now())
    except (attention.NotAllowed, deliveries.Refused, ledger.Conflict) as error:
        parts[0].add_error(None, str(error))
        return False
    done = "a new link is asked for at the vendor" if step is LinkStep.ASK else "it has its link now"
    messages.success(request, f"{row.candidate} · {row.exam}: {done}.")
    return True


# --- many at a time ---------------------------------------------------------------------------------------------------


@console
@require_POST
def attention_many(request: ConsoleRequest) -> HttpResponse:
    """The same step for all rows that are ticked; what came of each is shown on the page that follows."""
    form = ManyForm(request.POST)
    back = next_url(request, "attention")
    if not form.is_valid():
        for error in (str(message) for field in form.errors.values() for message in field):
            messages.error(request, error)
        return redirect(back)
    step, reason = Step(form.cleaned_data["step"]), form.cleaned_data["reason"]
    actions = Action.objects.visible_to(request.user).filter(pk__in=form.cleaned_data["actions"])
    taken = attention.take_many(
        actions.select_related(*RELATED).order_by("id"), step, by=request.user, reason=reason, now=now()
    )
    results = [
        {"ok": not why_not, "name": _name(action), "text": why_not or f"{DONE[step]}."} for action, why_not in taken
    ]
    request.session[RESULTS] = {"label": attention.LABELS[step], "rows": results, "done": sum(r["ok"] for r in results)}
    return redirect(back)
