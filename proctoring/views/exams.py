"""One exam: its facts, what sending it would send and what came of that, its deliveries, its sessions and their scores."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import floor
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.db.models import Avg, Count, Max, Min, QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.http import require_GET, require_POST

from proctoring import exams, planning, refusals, values
from proctoring.forms.attention import ReasonForm
from proctoring.models import OPEN_STATES, SESSION_STATES, Action, ActionState, DeliveryState, Exam, Session
from proctoring.policy import Right
from proctoring.vendors import masking, registry
from proctoring.vendors.base import Adapter, FieldCheck, FieldVerdict, HttpRequest, Verb
from proctoring.vendors.errors import VendorError
from proctoring.views import session_words, words
from proctoring.views.access import ConsoleRequest, console, fragment, may, now, page, require
from proctoring.views.sessions import STOP_POLLING

BINS = 10
WIDTH, HEIGHT, GAP = 440, 150, 4
VERDICTS: Mapping[str, words.Badge] = {
    FieldVerdict.CONFIRMED: words.Badge("Confirmed", "success", "check"),
    FieldVerdict.DIFFERS: words.Badge("Differs", "danger", "error"),
    FieldVerdict.NOT_REPORTED: words.Badge("Not reported", "default", "visibility_off"),
}
MISSING = object()


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of the chart, in its own units; `least` to `most` are the scores it stands for."""

    least: float
    most: float
    count: int
    x: float
    y: float
    width: float
    height: float

    @property
    def middle(self) -> float:
        return round(self.x + self.width / 2, 2)

    @property
    def label(self) -> str:
        return f"{self.least:g}" if self.least == self.most else f"{self.least:g}–{self.most:g}"


@dataclass(frozen=True, slots=True)
class Check:
    """One field that was sent, what the vendor's reply says of it, and what it would be now."""

    name: str
    sent: str
    reported: str
    badge: words.Badge
    now: str
    has_changed: bool


# --- the page ---------------------------------------------------------------------------------------------------------


@console
@require_GET
def exam(request: ConsoleRequest, exam: UUID) -> HttpResponse:
    row = _exam(request, exam)
    return page(request, "proctoring/exam.html", **_context(request, row))


def _exam(request: ConsoleRequest, key: UUID) -> Exam:
    found: QuerySet[Exam] = Exam.objects.visible_to(request.user).select_related("account__team", "team")
    return get_object_or_404(found, pk=key)


def _context(request: ConsoleRequest, row: Exam) -> dict[str, Any]:
    facts = registry.facts(row.account.vendor)
    reports = facts.reports_state
    return {
        "title": row.title,
        "exam": row,
        "vendor": facts,
        "may_edit": may(request, row.team_id, Right.EDIT_EXAMS),
        "may_deliver": may(request, row.team_id, Right.DELIVER) and Verb.CREATE_DELIVERIES in facts.capabilities,
        "ref_refusal": exams.ref_refusal(row),
        "deliveries": _deliveries(row),
        "reports": reports,
        "sessions": _sessions(row),
        "scores": _scores(row),
        **_sending(request, row),
    }


def _deliveries(row: Exam) -> list[tuple[str, int]]:
    counts = dict(row.deliveries.order_by().values_list("state").annotate(n=Count("pk")))
    return [(str(label), counts[state]) for state, label in DeliveryState.choices if counts.get(state)]


def _sessions(row: Exam) -> list[tuple[str, str, int]]:
    counts = dict(row.sessions.order_by().values_list("state").annotate(n=Count("pk")))
    return [(state, label, counts[state]) for state, label in SESSION_STATES if counts.get(state)]


# --- its scores -------------------------------------------------------------------------------------------------------


def _scores(row: Exam) -> dict[str, Any]:
    """Least, average and greatest, and how many sessions lie where; {} where no session has a score."""
    scored: QuerySet[Session] = row.sessions.exclude(score=None).order_by()
    numbers = scored.aggregate(
        count=Count("pk"),
        least=Min("score"),
        average=Avg("score"),
        most=Max("score"),
        scale_least=Min("score_min"),
        scale_most=Max("score_max"),
    )
    if not numbers["count"]:
        return {}
    low = min(value for value in (numbers["scale_least"], numbers["least"]) if value is not None)
    high = max(value for value in (numbers["scale_most"], numbers["most"]) if value is not None)
    bars = bars_of([score for score in scored.values_list("score", flat=True) if score is not None], low, high)
    return {**numbers, "bars": bars, "width": WIDTH, "height": HEIGHT, "tallest": max(bar.count for bar in bars)}


def bars_of(scores: Sequence[float], low: float, high: float) -> list[Bar]:
    """Ten bars of equal width over the scale, or one where all scores and the scale are the same."""
    number = BINS if high > low else 1
    counts = [0] * number
    for score in scores:
        share = (score - low) / (high - low) if high > low else 0
        counts[min(floor(share * number), number - 1)] += 1
    step, wide, tallest = (high - low) / number, WIDTH / number, max(counts)
    return [
        Bar(
            least=round(low + place * step, 2),
            most=round(low + (place + 1) * step, 2),
            count=count,
            x=round(place * wide + GAP / 2, 2),
            y=round(HEIGHT - HEIGHT * count / tallest, 2),
            width=round(wide - GAP, 2),
            height=round(HEIGHT * count / tallest, 2),
        )
        for place, count in enumerate(counts)
    ]


# --- sending it -------------------------------------------------------------------------------------------------------


def _sending(request: ConsoleRequest, row: Exam) -> dict[str, Any]:
    preview = exams.preview(row, now=now())
    adapter = _adapter(row)
    would_send = preview.request or _request_now(adapter, row)
    sent = list(_actions(row)[:5])
    last = next((action for action in sent if action.result.get("checks")), None)
    opened = next((action for action in sent if action.state in OPEN_STATES), None)
    offered = {Verb.CREATE_EXAM, Verb.UPDATE_EXAM} & set(registry.facts(row.account.vendor).capabilities)
    body = _body(would_send, adapter) if would_send else None
    checks = _checks(last, row, body)
    return {
        "preview": preview,
        "verb_title": session_words.title(preview.verb) if preview.verb else "",
        "is_sendable": bool(offered),
        "shown": _shown(preview.request, adapter) if preview.request else None,
        "adapter_warnings": (*adapter.warnings(), *preview.notes) if offered else (),
        "sent": [(action, session_words.title(action.verb), words.badge(action)) for action in sent],
        "opened": opened,
        "buttons": session_words.buttons(opened, request.user) if opened else [],
        "checks": checks,
        "is_comparable": would_send is not None,
        "refusal": None if opened and opened.state not in refusals.STILL_REFUSED else refusals.of_exam(row),
        "objected": refusals.of_objections(row, preview.objections),
        "changed": [check for check in checks if check.has_changed],
        "differing": [check for check in checks if check.badge is VERDICTS[FieldVerdict.DIFFERS]],
        "checked_at": last.changed_at if last else None,
        "is_moving": bool(opened and opened.state in (ActionState.QUEUED, ActionState.SENDING)),
        "seen": session_words.seen(row.pk, row.ref, row.sent_at, [(a.pk, a.changed_at) for a in sent]),
    }


def _actions(row: Exam) -> QuerySet[Action]:
    found = Action.objects.filter(exam=row).select_related("account", "by").defer("payload", "kept", "choices")
    ordered: QuerySet[Action] = found.order_by("-created_at", "id")
    return ordered


def _adapter(row: Exam) -> Adapter:
    account = values.of_account(row.account)
    return registry.adapter(row.account.vendor, account, planning.no_transport, clock=now)


def _request_now(adapter: Adapter, row: Exam) -> HttpRequest | None:
    """For an exam that cannot be sent (again): what it would be now, to tell it from what the vendor has."""
    try:
        return adapter.exam_request(exams.values_to_send(row))
    except VendorError:
        return None


def _shown(request: HttpRequest, adapter: Adapter) -> dict[str, Any]:
    """The request as a page may show it: no credential, no password, no PIN."""
    secrets = tuple(str(value) for value in adapter.account.credentials.values() if value)
    body = _body(request, adapter)
    return {
        "method": request.method,
        "url": masking.mask_url(request.url, _secret_names(adapter), values=secrets),
        "headers": masking.mask_headers(request.headers),
        "body": json.dumps(body, indent=2, ensure_ascii=False) if isinstance(body, dict | list) else body,
    }


def _body(request: HttpRequest, adapter: Adapter) -> Any:
    """The body, parsed where it is JSON, masked in any case."""
    secrets = tuple(str(value) for value in adapter.account.credentials.values() if value)
    kind = request.headers.get("Content-Type", "application/json")
    text = masking.mask_body(request.body, kind, _secret_names(adapter), values=secrets)
    try:
        return json.loads(text)
    except ValueError:
        return text


def _secret_names(adapter: Adapter) -> frozenset[str]:
    """What the adapter calls secret, and what its form asks for as a password."""
    form = registry.forms(adapter.FACTS.key).ExamForm
    hidden = {name for name, field in form.base_fields.items() if isinstance(field.widget, forms.PasswordInput)}
    return adapter.SECRET_FIELDS | hidden


def _checks(last: Action | None, row: Exam, body: Any) -> list[Check]:
    """Each field that was sent last against the vendor's reply, and against what would be sent now."""
    fields = _flat(body) if isinstance(body, dict) else {}
    found = exams.checks_of(last) if last else []
    return [_check(item, row, fields) for item in found]


def _check(item: FieldCheck, row: Exam, fields: Mapping[str, Any]) -> Check:
    name, sent = item.name, item.sent
    current = fields.get(name, MISSING)
    known = (sent, row.confirmed.get(name, sent))
    has_changed = current is not MISSING and not _is_masked(current) and current not in known
    return Check(
        name=name,
        sent=_text(sent),
        reported=_text(item.reported),
        badge=VERDICTS[item.verdict],
        now=_text(current) if has_changed else "",
        has_changed=has_changed,
    )


def _flat(body: Mapping[str, Any]) -> dict[str, Any]:
    """One level of objects inside, by names with a dot, as the checks name them."""
    found = dict(body)
    for name, value in body.items():
        if isinstance(value, dict):
            found |= {f"{name}.{key}": part for key, part in value.items()}
    return found


def _is_masked(value: Any) -> bool:
    return isinstance(value, str) and value.startswith(masking.MASK)


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


@console
@require_GET
def exam_state(request: ConsoleRequest, exam: UUID) -> HttpResponse:
    """What changes by itself while the exam is being sent; nothing (204) where nothing did."""
    row = _exam(request, exam)
    context = _context(request, row)
    if context["is_moving"] and request.GET.get("seen") == context["seen"]:
        return HttpResponse(status=204)
    status = 200 if context["is_moving"] else STOP_POLLING
    return fragment(request, "proctoring/exam_state.html", status=status, **context)


@console
@require_POST
def exam_send(request: ConsoleRequest, exam: UUID) -> HttpResponse:
    """Asks for the exam to be created or updated at its vendor."""
    row = _exam(request, exam)
    require(request, row.team_id, Right.EDIT_EXAMS)
    form = ReasonForm(request.POST)
    if not form.is_valid():
        messages.error(request, "Nothing was sent: say why, it is kept in the journal.")
        return redirect("exam", exam=row.pk)
    try:
        exams.send(row, by=request.user, reason=form.cleaned_data["reason"], now=now())
    except exams.Refused as error:
        messages.error(request, f"Nothing was sent. {error}")
    else:
        messages.success(request, "Asked for. What the vendor says appears here.")
    return redirect("exam", exam=row.pk)
