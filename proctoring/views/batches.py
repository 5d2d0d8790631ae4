"""One batch: its progress while it runs, what came of each row, and its export."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID
from zlib import crc32

from django.contrib import messages
from django.core.paginator import Page, Paginator
from django.db.models import BooleanField, Case, Exists, OuterRef, Q, QuerySet, Value, When
from django.http import Http404, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.text import slugify
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from proctoring import attention, deliveries, exports, glance, journal, planning, sessions
from proctoring.attention import Button
from proctoring.forms.attention import ReasonForm
from proctoring.models import Action, ActionState, Batch, Delivery, DeliveryState, Invitation
from proctoring.policy import Right
from proctoring.vendors import registry
from proctoring.views import words
from proctoring.views.access import ConsoleRequest, console, fragment, may, next_url, now, page, require

PAGE = 100
SHOWN_SKIPPED = 200
STOP_POLLING = 286  # htmx's own status: show this and ask no more
BY_NAME = ("delivery__candidate__last_name", "delivery__candidate__first_name", "delivery__candidate_id", "id")
EPOCH, MICROSECOND = datetime(2020, 1, 1, tzinfo=UTC), timedelta(microseconds=1)
STOPPED = (ActionState.UNKNOWN, ActionState.NEEDS_ATTENTION)


@dataclass(frozen=True, slots=True)
class BatchRow:
    """One action as the page shows it. `seen` says which version of it the page holds."""

    action: Action
    buttons: Sequence[Button]
    has_proctor_link: bool
    marks: Sequence[glance.Mark] = ()

    @property
    def badge(self) -> words.Badge:
        return words.badge(self.action)

    @property
    def seen(self) -> str:
        return seen(self.action.pk, self.action.changed_at)

    @property
    def glanced(self) -> str:
        """How far the delivery is, as one version of it."""
        state = self.action.delivery.state if self.action.delivery else ""
        return f"{self.action.pk.hex[:8]}.{glance.version(self.marks)}.{state[:2]}"

    @property
    def take_url(self) -> str:
        return self.action.delivery.take_url if self.action.delivery else ""


def seen(key: UUID, changed_at: datetime) -> str:
    """A row's version, short enough for a hundred of them in one address."""
    microseconds = (changed_at - EPOCH) // MICROSECOND
    return f"{key.hex[:8]}.{microseconds & 0xFFFFFFFF:x}"


# --- the page ---------------------------------------------------------------------------------------------------------


@console
@require_GET
def batch(request: ConsoleRequest, batch: UUID) -> HttpResponseBase:
    """The page of a batch; a draft's is its preview."""
    row = _batch(request, batch)
    if row.exam_id is None and row.kind in list(sessions.VERBS):  # a delivery's retake has the same word
        return redirect("session_action", batch=row.pk)
    if row.confirmed_at is None:
        return redirect("deliver_preview", batch=row.pk)
    counts = deliveries.progress(row)
    state = request.GET.get("state", "")
    shown = _page(row, state if state in ActionState.values else "", request.GET.get("page"))
    skipped = deliveries.skipped_of(row)
    context = {
        "title": str(row.exam or "Batch"),
        "rows": _rows(shown.object_list, request),
        "page": shown,
        "state": state,
        "skipped": skipped[:SHOWN_SKIPPED],
        "more_skipped": max(len(skipped) - SHOWN_SKIPPED, 0),
        "skipped_total": len(skipped),
        **_progress_context(row, counts),
        **_may(request, row),
    }
    return page(request, "proctoring/batch.html", **context)


def _batch(request: ConsoleRequest, key: UUID, *defer: str) -> Batch:
    """A batch of deliveries: what is done to sessions has pages of its own."""
    batches = (
        Batch.objects.visible_to(request.user)
        .filter(kind__in=deliveries.BATCH_KINDS)
        .select_related("exam__account", "exam__team", "by")
    )
    found: Batch = get_object_or_404(batches.defer(*defer), pk=key)
    return found


def _actions(batch: Batch) -> QuerySet[Action]:
    """Without the proctor links: they are read only for whoever presses for one."""
    has_link = Case(When(~Q(delivery__proctor_url=""), then=Value(True)), default=False, output_field=BooleanField())
    actions: QuerySet[Action] = Action.objects.filter(batch=batch)
    actions = actions.select_related(
        "account", "delivery__candidate", "delivery__exam__account", "delivery__session__account"
    )
    actions = actions.annotate(has_proctor_link=has_link).defer(
        "payload", "delivery__proctor_url", "delivery__session__content"
    )
    return actions.order_by(*BY_NAME)


def _page(batch: Batch, state: str, number: str | None) -> Page[Action]:
    actions = _actions(batch).filter(state=state) if state else _actions(batch)
    return Paginator(actions, PAGE).get_page(number)


def _rows(actions: Iterable[Action], request: ConsoleRequest) -> list[BatchRow]:
    rows = list(actions)
    mail = glance.mailed(action.delivery_id for action in rows if action.delivery_id)
    return [
        BatchRow(
            action=action,
            buttons=attention.buttons(action, request.user) if action.state in STOPPED else (),
            has_proctor_link=bool(getattr(action, "has_proctor_link", False)),
            marks=glance.marks(action.delivery, mail.get(action.delivery.pk)) if action.delivery else (),
        )
        for action in rows
    ]


def _to_invite(request: ConsoleRequest, batch: Batch) -> dict[str, Any]:
    """How many of the batch's candidates could be invited and have no invitation."""
    if not may(request, batch.team_id, Right.INVITE):
        return {"may_invite": False}
    created = Delivery.objects.filter(actions__batch=batch, state=DeliveryState.CREATED, is_revoked=False)
    invited = Invitation.objects.filter(delivery=OuterRef("pk"), is_rehearsal=False)
    invited = invited.exclude(actions__state=ActionState.CANCELLED)
    number = created.exclude(take_url="").exclude(Exists(invited)).distinct().count()
    is_over = batch.exam is not None and batch.exam.has_closed(now())
    return {"may_invite": True, "uninvited": 0 if is_over else number, "invite_seen": f"invite.{number:x}"}


def _may(request: ConsoleRequest, batch: Batch) -> dict[str, Any]:
    facts = registry.facts(batch.exam.account.vendor) if batch.exam else None
    return {
        "may_deliver": may(request, batch.team_id, Right.DELIVER),
        "may_see_proctor_links": may(request, batch.team_id, Right.SHOW_PROCTOR_LINK),
        "may_cancel": may(request, batch.team_id, Right.CANCEL),
        **_to_invite(request, batch),
        "vendor": facts,
        "next": (request.htmx and request.htmx.current_url_abs_path) or request.get_full_path(),
    }


# --- its progress -----------------------------------------------------------------------------------------------------


def _progress_context(batch: Batch, counts: Mapping[str, int]) -> dict[str, Any]:
    account = batch.exam.account if batch.exam else None
    waits_for = words.account_refusal(account) if account and counts[ActionState.QUEUED] else ""
    summary = words.summary(counts)
    return {
        "batch": batch,
        "counts": counts,
        "counted": words.counted(counts),
        "progress": words.progress(counts),
        "waits_for": waits_for,
        "summary": summary,
        "progress_seen": f"progress.{_fingerprint(*counts.values(), waits_for)}",
        "summary_seen": f"summary.{_fingerprint(summary)}",
    }


def _fingerprint(*parts: object) -> str:
    return f"{crc32(repr(parts).encode()):x}"


@console
@require_GET
def batch_progress(request: ConsoleRequest, batch: UUID) -> HttpResponse:
    """What changed since the page last looked, cell by cell; nothing (204) where nothing did.

    The page says which version of each row it holds (`seen`), so that neither two changes in one microsecond nor a late
    commit is missed. The status that ends the polling comes once nothing can change by itself.
    """
    row = _batch(request, batch, "plan")
    held = set(request.GET.getlist("seen"))
    counts = deliveries.progress(row)  # before the rows: these are then at least as new
    context = _progress_context(row, counts)
    changed = _changed(row, held)
    is_over = counts["moving"] == 0
    if not (changed or is_over) and {context["progress_seen"], context["summary_seen"]} <= held:
        return HttpResponse(status=204)
    context |= {
        "rows": _rows(changed, request),
        "has_new_summary": context["summary_seen"] not in held,
        "is_over": is_over,
        **_may(request, row),
    }
    return fragment(request, "proctoring/batch_progress.html", status=STOP_POLLING if is_over else 200, **context)


def _changed(batch: Batch, held: set[str]) -> list[Action]:
    """The rows that the page shows in another version."""
    shown = {text.partition(".")[0] for text in held}
    versions = Action.objects.filter(batch=batch).order_by().values_list("pk", "changed_at")
    changed = [key for key, at in versions if key.hex[:8] in shown and seen(key, at) not in held]
    return list(_actions(batch).filter(pk__in=changed)) if changed else []


@console
@require_GET
def batch_glance(request: ConsoleRequest, batch: UUID) -> HttpResponse:
    """How far the shown deliveries are, where that changed: it goes on long after the batch itself has settled."""
    row = _batch(request, batch, "plan")
    held = set(request.GET.getlist("glanced"))
    shown = {text.partition(".")[0] for text in held}
    keys = Action.objects.filter(batch=row).order_by().values_list("pk", flat=True)
    rows = _rows(_actions(row).filter(pk__in=[key for key in keys if key.hex[:8] in shown]), request)
    context = _may(request, row)
    changed = [item for item in rows if item.glanced not in held]
    has_new_number = context["may_invite"] and context["invite_seen"] not in held
    if not changed and not has_new_number:
        return HttpResponse(status=204)
    context |= {"batch": row, "rows": changed, "has_new_number": has_new_number, "oob": True}
    return fragment(request, "proctoring/batch_glances.html", **context)


# --- links ------------------------------------------------------------------------------------------------------------


@console
@require_POST
def proctor_link(request: ConsoleRequest, delivery: UUID) -> HttpResponse:
    """Shows a proctor link to whoever pressed for it; the journal remembers who."""
    deliveries_ = Delivery.objects.visible_to(request.user).select_related("candidate", "exam__account")
    row: Delivery = get_object_or_404(deliveries_, pk=delivery)
    require(request, row.team_id, Right.SHOW_PROCTOR_LINK)
    link = deliveries.show_proctor_link(row, by=request.user, now=now()) if row.proctor_url else ""
    context: dict[str, Any] = {
        "title": "Proctor link",
        "delivery": row,
        "link": link,
        "back": next_url(request, "home"),
    }
    if request.htmx:
        return fragment(request, "proctoring/proctor_link.html", **context)
    return page(request, "proctoring/proctor_link_page.html", **context)


# --- a person's decisions ---------------------------------------------------------------------------------------------


@console
@require_POST
def batch_cancel(request: ConsoleRequest, batch: UUID) -> HttpResponse:
    """Cancels what has not started."""
    row = _batch(request, batch, "plan")
    require(request, row.team_id, Right.CANCEL)
    form = ReasonForm(request.POST)
    if not form.is_valid():
        messages.error(request, "Nothing was cancelled: say why, it is kept in the journal.")
        return redirect("batch", batch=row.pk)
    number = deliveries.cancel_waiting(row, by=request.user, reason=form.cleaned_data["reason"], now=now())
    if number:
        messages.success(
            request, f"{words.plural(number, 'delivery', 'deliveries')} cancelled before anything was sent."
        )
    else:
        messages.info(request, "Nothing was waiting any more, so nothing was cancelled.")
    return redirect("batch", batch=row.pk)


# --- the export -------------------------------------------------------------------------------------------------------

HEADERS = (
    *("First name", "Last name", "E-mail", "External id", "Attempt", "State", "Vendor's id", "Vendor's candidate id"),
    *("Take link", "Message"),
)
PROCTOR_HEADER = "Proctor link"
FORMATS = ("csv", "xlsx")


@console
@require_http_methods(["GET", "HEAD", "POST"])
def batch_export(request: ConsoleRequest, batch: UUID, format: str) -> HttpResponseBase:
    """The results as a file. With proctor links only by a POST that asks for them, and then the journal says so."""
    if format not in FORMATS:
        raise Http404
    row = _batch(request, batch)
    with_proctor = request.method == "POST" and bool(request.POST.get("proctor_links"))
    require(request, row.team_id, Right.DELIVER)
    if with_proctor:
        require(request, row.team_id, Right.SHOW_PROCTOR_LINK)
    actions = list(_actions(row).defer(None).defer("payload") if with_proctor else _actions(row))
    if with_proctor:
        _record_proctor_links(request, actions)
    cells = [_cells(action, with_proctor) for action in actions] + [
        _skipped(item, with_proctor) for item in deliveries.skipped_of(row)
    ]
    headers = [*HEADERS, PROCTOR_HEADER] if with_proctor else list(HEADERS)
    return _file(row, format, headers, cells)


def _record_proctor_links(request: ConsoleRequest, actions: Iterable[Action]) -> None:
    at = now()
    shown = [action.delivery for action in actions if action.delivery and action.delivery.proctor_url]
    journal.record_all(
        journal.entry("delivery.proctor_link_shown", row, team=row.team_id, at=at, by=request.user, where="export")
        for row in shown
    )


def _cells(action: Action, with_proctor: bool) -> list[object]:
    delivery = action.delivery
    assert delivery is not None  # noqa: S101 - a delivery batch holds nothing else
    person = delivery.candidate
    cells: list[object] = [person.first_name, person.last_name, person.email, person.external_id, delivery.attempt]
    cells += [words.badge(action).text, delivery.ref, delivery.person_ref, delivery.take_url, action.message]
    return [*cells, delivery.proctor_url] if with_proctor else cells


def _skipped(row: planning.Row, with_proctor: bool) -> list[object]:
    person = row.person
    cells: list[object] = [person.first_name, person.last_name, person.email, person.external_id, "", "Left out"]
    cells += ["", "", "", " ".join(row.sentences)]
    return [*cells, ""] if with_proctor else cells


def _file(batch: Batch, format: str, headers: Sequence[str], rows: Sequence[Sequence[object]]) -> HttpResponseBase:
    title = str(batch.exam or "batch")
    name = f"{slugify(title) or 'deliveries'}-{batch.created_at:%Y-%m-%d}.{format}"
    disposition = {"Content-Disposition": f'attachment; filename="{name}"'}
    if format == "xlsx":
        return HttpResponse(
            exports.write_xlsx(title, headers, rows), content_type=exports.XLSX_TYPE, headers=disposition
        )
    return StreamingHttpResponse(exports.write_csv(headers, rows), content_type=exports.CSV_TYPE, headers=disposition)
