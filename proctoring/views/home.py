"""The first page: what is on today and soon, what needs somebody, and whether the accounts work."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, F, Q, QuerySet
from django.http import HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_GET

from proctoring import accounts, attention, deliveries
from proctoring.models import Account, ActionState, Batch, Delivery, DeliveryState, Exam
from proctoring.policy import Right
from proctoring.vendors import registry
from proctoring.vendors.base import Verb
from proctoring.views import words
from proctoring.views.access import ConsoleRequest, console, now, page, teams_where, whom_to_ask

SOON = timedelta(days=14)
SHOWN_EXAMS = 12
SHOWN_BATCHES = 6


@dataclass(frozen=True, slots=True)
class ExamRow:
    exam: Exam
    created: int
    total: int
    badge: words.Badge

    @property
    def is_deliverable(self) -> bool:
        return registry.capability(self.exam.account.vendor, Verb.CREATE_DELIVERIES) is not None


@dataclass(frozen=True, slots=True)
class AccountRow:
    account: Account
    badge: words.Badge
    warnings: list[str]
    answered_at: datetime | None


@dataclass(frozen=True, slots=True)
class BatchRow:
    batch: Batch
    total: int
    finished: int
    done: int
    stopped: int


@console
@require_GET
def home(request: ConsoleRequest) -> HttpResponse:
    teams = teams_where(request, Right.VIEW)
    accounts_ = _accounts(request)
    context: dict[str, Any] = {
        "title": "Today",
        "has_team": bool(teams),
        "exams": _exams(request, now()),
        "has_exams": Exam.objects.visible_to(request.user).filter(is_archived=False).exists(),
        "accounts": accounts_,
        "batches": _batches(request),
        "stopped": attention.number_waiting(request.user),
        "ailing": sum(row.account.is_paused or bool(row.account.paused_verbs) for row in accounts_),
        "may_deliver": bool(teams_where(request, Right.DELIVER)),
        "may_add_exam": bool(teams_where(request, Right.EDIT_EXAMS)),
        "may_add_account": bool(teams_where(request, Right.MANAGE_ACCOUNTS)),
        "ask_for_account": whom_to_ask(teams[0], Right.MANAGE_ACCOUNTS) if teams and not accounts_ else "",
    }
    return page(request, "proctoring/home.html", **context)


def _exams(request: ConsoleRequest, at: datetime) -> list[ExamRow]:
    """Those that are open or open soon, in the order in which they open; those without a window last."""
    ahead = Q(ends_at=None) | Q(ends_at__gt=at)
    near = Q(starts_at=None) | Q(starts_at__lt=at + SOON)
    exams = Exam.objects.visible_to(request.user).filter(ahead, near, is_archived=False).select_related("account")
    exams = exams.order_by(F("starts_at").asc(nulls_last=True), "title")[:SHOWN_EXAMS]
    rows = list(exams)
    numbers = _numbers(rows)
    return [ExamRow(exam, *numbers.get(exam.pk, (0, 0)), badge=_when(exam, at)) for exam in rows]


def _numbers(exams: list[Exam]) -> dict[object, tuple[int, int]]:
    """(created, asked for) by exam."""
    asked = Delivery.objects.filter(exam__in=exams).exclude(state=DeliveryState.CANCELLED).order_by()
    created = Count("pk", filter=Q(state=DeliveryState.CREATED))
    rows = asked.values_list("exam").annotate(created=created, total=Count("pk"))
    return {exam: (made, total) for exam, made, total in rows}


def _when(exam: Exam, at: datetime) -> words.Badge:
    if exam.starts_at is None and exam.ends_at is None:
        return words.Badge("No window", "default", "all_inclusive")
    if exam.starts_at is None or exam.starts_at <= at:
        return words.Badge("Open now", "success", "door_open")
    days = (timezone.localdate(exam.starts_at) - timezone.localdate(at)).days
    if days == 0:
        return words.Badge("Opens today", "info", "today")
    return words.Badge("Opens tomorrow" if days == 1 else f"Opens in {days} days", "default", "event")


def _accounts(request: ConsoleRequest) -> list[AccountRow]:
    rows: QuerySet[Account] = Account.objects.visible_to(request.user).filter(is_archived=False).order_by("name")
    found = list(rows.select_related("team"))
    answers = accounts.last_answers(found)
    return [
        AccountRow(
            account=row,
            badge=words.account_badge(row, has_answered=row.pk in answers),
            warnings=list(accounts.warnings(row)),
            answered_at=answers.get(row.pk),
        )
        for row in found
    ]


def _batches(request: ConsoleRequest) -> list[BatchRow]:
    batches = Batch.objects.visible_to(request.user).exclude(confirmed_at=None).select_related("exam", "by")
    batches = batches.filter(kind__in=deliveries.BATCH_KINDS).exclude(exam=None)
    numbers = {
        "total": Count("actions"),
        "done": Count("actions", filter=Q(actions__state=ActionState.DONE)),
        "moving": Count("actions", filter=Q(actions__state__in=[ActionState.QUEUED, ActionState.SENDING])),
        "stopped": Count("actions", filter=Q(actions__state__in=[ActionState.UNKNOWN, ActionState.NEEDS_ATTENTION])),
    }
    newest = list(batches.defer("plan").order_by("-confirmed_at")[:SHOWN_BATCHES])
    counted = Batch.objects.filter(pk__in=[row.pk for row in newest]).annotate(**numbers).order_by()
    found = {row[0]: row[1:] for row in counted.values_list("pk", *numbers)}
    rows = []
    for batch in newest:
        total, done, moving, stopped = found[batch.pk]
        rows.append(BatchRow(batch, total, total - moving - stopped, done, stopped))
    return rows
