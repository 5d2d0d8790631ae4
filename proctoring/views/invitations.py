"""Invitations: a message before it goes, as it went, and many at once with what became of each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from django.contrib import messages
from django.core.paginator import Page, Paginator
from django.db.models import QuerySet
from django.http import Http404, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods

from proctoring import attention, deliveries, glance, invitations, policy, values
from proctoring.attention import Button
from proctoring.forms.fields import uuids
from proctoring.forms.invitations import InviteForm
from proctoring.models import Account, Action, ActionState, Batch, Delivery, Invitation, Team
from proctoring.policy import Right
from proctoring.vendors.base import Verb
from proctoring.views import session_words, words
from proctoring.views.access import ConsoleRequest, console, fragment, may, now, page, require, teams_where

PAGE = 100
SHOWN = 100
MOST = 5_000
STOP_POLLING = 286  # htmx's own status: show this and ask no more
CHOSEN_BY_ADMIN = "invite_deliveries"  # the session's key under which the admin's bulk action leaves ids
STOPPED = (ActionState.UNKNOWN, ActionState.NEEDS_ATTENTION)


# --- one message ------------------------------------------------------------------------------------------------------


@console
@require_GET
def invitation(request: ConsoleRequest, invitation: UUID) -> HttpResponse:
    """A message as it was sent. It holds the candidate's own link, so it is for those who may send it."""
    rows = Invitation.objects.visible_to(request.user)
    related = rows.select_related("delivery__candidate", "delivery__exam", "delivery__team", "by")
    row: Invitation = get_object_or_404(related, pk=invitation)
    require(request, row.team_id, Right.INVITE)
    action = row.actions.select_related("account").defer("payload", "kept").first()
    context: dict[str, Any] = {
        "title": row.subject,
        "message": row,
        "delivery": row.delivery,
        "invitation": row,
        "action": action,
        "badge": words.mail_badge(action),
        "buttons": attention.buttons(action, request.user) if action and action.state in STOPPED else (),
        "next": request.get_full_path(),
    }
    return page(request, "proctoring/invitation.html", **context)


@console
@require_GET
def delivery_mail(request: ConsoleRequest, delivery: UUID) -> HttpResponse:
    """The message as it would go out now."""
    rows = Delivery.objects.visible_to(request.user).select_related("exam", "candidate", "team")
    row: Delivery = get_object_or_404(rows, pk=delivery)
    require(request, row.team_id, Right.INVITE)
    context: dict[str, Any] = {
        "title": "The invitation as it would go out now",
        "message": invitations.write(row, now=now()),
        "delivery": row,
        "why_not": invitations.refusal(row, now()),
    }
    return page(request, "proctoring/invitation.html", **context)


# --- many: the preview ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Choice:
    """One delivery of the preview and, in a sentence, why it gets no message."""

    delivery: Delivery
    why_not: str = ""


@dataclass(frozen=True, slots=True)
class Choices:
    """Who gets a message, who has one already, and who cannot get one."""

    ready: Sequence[Choice]
    invited: Sequence[Choice]
    refused: Sequence[Choice]

    @classmethod
    def of(cls, rows: Sequence[Delivery], at: datetime) -> Choices:
        team = rows[0].team_id if rows else None
        judged = [Choice(row, _refusal(row, team, at)) for row in rows]
        possible = [choice for choice in judged if not choice.why_not]
        mail = glance.mailed(choice.delivery.pk for choice in possible)
        ready = [choice for choice in possible if choice.delivery.pk not in mail]
        invited = [Choice(c.delivery, _was_mailed(mail[c.delivery.pk])) for c in possible if c.delivery.pk in mail]
        return cls(ready, invited, [choice for choice in judged if choice.why_not])


def _refusal(row: Delivery, team: int | None, at: datetime) -> str:
    if row.team_id != team:
        return "Belongs to another team. Invite its candidates by themselves."
    return invitations.refusal(row, at)


def _was_mailed(mail: glance.Mailed) -> str:
    sentence = f"{glance.invited(mail).text}."
    return (
        sentence
        if mail.state != ActionState.DONE or mail.sent_at is None
        else f"{sentence[:-1]} {_when(mail.sent_at)}."
    )


def _when(at: datetime) -> str:
    local = timezone.localtime(at)
    return f"{local.day} {local:%b %Y, %H:%M}"


@console
@require_http_methods(["GET", "HEAD", "POST"])
def invite(request: ConsoleRequest) -> HttpResponseBase:
    """Who will get a message and how it reads; a POST sends them, and the same token twice sends them once."""
    if request.method == "POST":
        return _send(request)
    rows, batch = _chosen(request)
    return _preview(request, rows, batch)


def _chosen(request: ConsoleRequest) -> tuple[list[Delivery], Batch | None]:
    """The deliveries of a batch, or those that were chosen in the list."""
    rows = Delivery.objects.visible_to(request.user)
    if key := request.GET.get("batch", ""):
        batches = Batch.objects.visible_to(request.user).filter(kind__in=deliveries.BATCH_KINDS).defer("plan")
        batch: Batch = get_object_or_404(batches, pk=_uuid(key))
        require(request, batch.team_id, Right.INVITE)
        return _in_order(rows.filter(actions__batch=batch)), batch
    ids = uuids(request.session.get(CHOSEN_BY_ADMIN, []))[:MOST]
    teams = teams_where(request, Right.INVITE)
    return _in_order(rows.filter(pk__in=ids, team__in=teams)), None


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise Http404 from None


def _in_order(rows: QuerySet[Delivery]) -> list[Delivery]:
    """By name, without what no message needs."""
    light = rows.select_related("exam", "candidate", "team").defer("proctor_url", "options", "exam__settings")
    return list(light.order_by("candidate__last_name", "candidate__first_name", "candidate_id", "attempt").distinct())


def _preview(
    request: ConsoleRequest,
    rows: Sequence[Delivery],
    batch: Batch | None,
    *,
    token: UUID | None = None,
    status: int = 200,
) -> HttpResponse:
    at = now()
    choices = Choices.of(rows, at)
    sample = next((choice.delivery for choice in (*choices.ready, *choices.invited)), None)
    team = rows[0].team if rows else None
    context: dict[str, Any] = {
        "title": "Invite candidates",
        "batch": batch,
        "team": team,
        "choices": choices,
        "shown": SHOWN,
        "keys": [choice.delivery.pk for choice in (*choices.ready, *choices.invited)],
        "sample": invitations.write(sample, now=at) if sample else None,
        "token": token or uuid4(),
        "stops": _account_refusal(team) if team else "",
    }
    return page(request, "proctoring/invitations.html", status=status, **context)


def _account_refusal(team: Team) -> str:
    """Why nothing can be mailed for the team now; "" where it can, or where its mail account is yet to be made."""
    account: Account | None = Account.objects.filter(team=team, vendor=invitations.MAIL).first()
    if account is None:
        return ""
    return policy.account_refusal(values.facts_of_account(account), Verb.SEND_MESSAGE, "") or ""


def _send(request: ConsoleRequest) -> HttpResponseBase:
    form = InviteForm(request.POST)
    if not form.is_valid():
        messages.error(request, "Nothing was sent: choose the deliveries again.")
        return redirect("home")
    rows = _in_order(Delivery.objects.visible_to(request.user).filter(pk__in=form.cleaned_data["deliveries"][:MOST]))
    if not rows:
        raise Http404
    for team in {row.team_id for row in rows}:
        require(request, team, Right.INVITE)
    token, is_again = form.cleaned_data["token"], form.cleaned_data["is_again"]
    try:
        batch = invitations.request(rows, by=request.user, now=now(), batch_id=token, is_again=is_again)
    except invitations.Refused as error:
        messages.warning(request, str(error))
        return _preview(request, rows, None, token=token, status=422)
    request.session.pop(CHOSEN_BY_ADMIN, None)
    return redirect("invited", batch=batch.pk)


# --- many: what became of them ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SentRow:
    """One message of a batch. `seen` says which version of it the page holds."""

    action: Action
    buttons: Sequence[Button]

    @property
    def badge(self) -> words.Badge:
        return words.mail_badge(self.action)

    @property
    def seen(self) -> str:
        return session_words.seen(self.action.pk, self.action.changed_at)


@console
@require_GET
def invited(request: ConsoleRequest, batch: UUID) -> HttpResponse:
    """The messages of a batch, live."""
    row = _batch(request, batch)
    context = _progress(request, row)  # before the rows: nothing is shown as moving once the page asks no more
    state = request.GET.get("state", "")
    shown = _page(row, state if state in ActionState.values else "", request.GET.get("page"))
    context |= {"title": "Invitations", "rows": _rows(shown.object_list, request), "page": shown, "state": state}
    return page(request, "proctoring/invitations_sent.html", **context)


@console
@require_GET
def invited_progress(request: ConsoleRequest, batch: UUID) -> HttpResponse:
    """What changed since the page last looked; nothing (204) where nothing did."""
    row = _batch(request, batch)
    held = set(request.GET.getlist("seen"))
    context = _progress(request, row)  # before the rows: these are then at least as new
    changed = _changed(row, held)
    is_over = context["counts"]["moving"] == 0
    if not (changed or is_over) and context["progress_seen"] in held:
        return HttpResponse(status=204)
    status = STOP_POLLING if is_over else 200
    context["rows"] = _rows(changed, request)
    return fragment(request, "proctoring/invitations_progress.html", status=status, **context)


def _batch(request: ConsoleRequest, key: UUID) -> Batch:
    rows = (
        Batch.objects.visible_to(request.user)
        .filter(kind=invitations.KIND)
        .select_related("team", "exam", "by")
        .defer("plan")
    )
    row: Batch = get_object_or_404(rows, pk=key)
    return row


def _actions(batch: Batch) -> QuerySet[Action]:
    related = ("account", "invitation__delivery__candidate", "invitation__delivery__exam")
    heavy = (
        "payload",
        "invitation__text",
        "invitation__html",
        "invitation__calendar",
        "invitation__delivery__take_url",
    )
    rows: QuerySet[Action] = Action.objects.filter(batch=batch).select_related(*related)
    rows = rows.defer(*heavy, "invitation__delivery__proctor_url", "invitation__delivery__exam__settings")
    name = "invitation__delivery__candidate"
    return rows.order_by(f"{name}__last_name", f"{name}__first_name", "id")


def _page(batch: Batch, state: str, number: str | None) -> Page[Action]:
    rows = _actions(batch).filter(state=state) if state else _actions(batch)
    return Paginator(rows, PAGE).get_page(number)


def _rows(actions: Iterable[Action], request: ConsoleRequest) -> list[SentRow]:
    return [
        SentRow(action, attention.buttons(action, request.user) if action.state in STOPPED else ())
        for action in actions
    ]


def _changed(batch: Batch, held: set[str]) -> list[Action]:
    shown = {text.partition(".")[0] for text in held}
    versions = Action.objects.filter(batch=batch).order_by().values_list("pk", "changed_at")
    changed = [key for key, at in versions if key.hex[:8] in shown and session_words.seen(key, at) not in held]
    return list(_actions(batch).filter(pk__in=changed)) if changed else []


def _progress(request: ConsoleRequest, batch: Batch) -> dict[str, Any]:
    counts = deliveries.progress(batch)
    waits_for = _account_refusal(batch.team) if counts[ActionState.QUEUED] else ""
    return {
        "batch": batch,
        "counts": counts,
        "progress": words.progress(counts),
        "counted": counted(counts),
        "waits_for": waits_for,
        "progress_seen": f"progress.{session_words.version(counts, waits_for)}",
        "may_invite": may(request, batch.team_id, Right.INVITE),
        "next": (request.htmx and request.htmx.current_url_abs_path) or request.get_full_path(),
    }


def counted(counts: Mapping[str, int]) -> list[tuple[str, int, str]]:
    """(state, how many, in words) for the states that occur."""
    return [(state, counts[state], badge.text.lower()) for state, badge in words.MAIL_BADGES.items() if counts[state]]
