"""Exams: one form of the exam's own fields and its vendor's, which comes as soon as an account is chosen."""

from __future__ import annotations

import zoneinfo
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from proctoring import exams, refusals
from proctoring.admin.accounts import VendorFilter
from proctoring.admin.base import (
    DropdownFilter,
    ScopedFilter,
    TeamAdmin,
    bulk,
    column,
    may_anywhere,
    pretty,
    teams_where,
    time_column,
    user_of,
    when,
)
from proctoring.admin.exam_form import SHOWN, ExamForm
from proctoring.admin.parts import masked, part_sections
from proctoring.models import Account, DeliveryState, Exam
from proctoring.policy import Right
from proctoring.vendors import registry
from proctoring.vendors.formfields import VendorForm

OWN = ["title", "ref"]
WINDOW = ["time_zone", "starts_at", "ends_at", "duration_minutes"]
WORDS = ["instructions"]
THEIRS, LAST = "theirs", "last"  # mark the sections that change with the account, and what comes after them


def deliver_url(exam: Exam) -> str:
    return f"{reverse('deliver')}?{urlencode({'exam': exam.pk})}"


class ExamVendorFilter(VendorFilter):
    path = "account__vendor"


class WindowFilter(DropdownFilter):
    title = "window"
    parameter_name = "window"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("open", "Open now"), ("coming", "Not open yet"), ("closed", "Closed"), ("archived", "Archived")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Exam]) -> QuerySet[Exam]:
        now = timezone.now()
        begun = Q(starts_at=None) | Q(starts_at__lte=now)
        going = Q(ends_at=None) | Q(ends_at__gt=now)
        chosen = {
            "open": begun & going & Q(is_archived=False),
            "coming": Q(starts_at__gt=now, is_archived=False),
            "closed": Q(ends_at__lte=now),
            "archived": Q(is_archived=True),
        }
        return queryset.filter(chosen[self.value()]) if self.value() in chosen else queryset


@admin.register(Exam)
class ExamAdmin(TeamAdmin):
    right_to_add = right_to_change = Right.EDIT_EXAMS
    form = ExamForm
    empty_text = "No exams yet. Add one at an account of the team, then deliver it."
    list_display = ("title", "account_name", "vendor_title", "window", "delivered", "deliver_link")
    list_filter = (ExamVendorFilter, ("account", ScopedFilter), WindowFilter, ("team", ScopedFilter))
    search_fields = ("title", "ref", "account__name")
    actions = ("deliver",)
    ordering = ("-created_at",)
    warn_unsaved_form = True
    change_form_outer_before_template = "admin/proctoring/exam/deliver.html"

    added = time_column("created_at", "Added")

    @column("Account", ordering="account__name")
    def account_name(self, obj: Exam) -> str:
        return obj.account.name

    @column("Vendor", ordering="account__vendor")
    def vendor_title(self, obj: Exam) -> str:
        return registry.facts(obj.account.vendor).title

    @column("Window", ordering="starts_at")
    def window(self, obj: Exam) -> SafeString | str:
        """On the exam's own clock, as it was entered."""
        if obj.starts_at is None and obj.ends_at is None:
            return "Always open"
        zone = zoneinfo.ZoneInfo(obj.time_zone)
        begins = when(obj.starts_at, zone) or "open"
        ends = when(obj.ends_at, zone) or "no end"
        return format_html(
            '<span title="{}" class="whitespace-nowrap">{} –</span> <span class="whitespace-nowrap">{}</span>',
            obj.time_zone,
            begins,
            ends,
        )

    @column("Deliveries", ordering="delivery_count")
    def delivered(self, obj: Any) -> int:
        count: int = obj.delivery_count
        return count

    @column("")
    def deliver_link(self, obj: Exam) -> SafeString | str:
        if obj.is_archived:
            return "Archived"
        return format_html('<a class="text-primary-600 dark:text-primary-500" href="{}">Deliver…</a>', deliver_url(obj))

    @column("Vendor's settings")
    def shown_settings(self, obj: Exam) -> Any:
        return pretty(masked(obj.settings, obj.account.vendor))

    def get_queryset(self, request: HttpRequest) -> QuerySet[Exam]:
        counted = Count("deliveries", filter=~Q(deliveries__state=DeliveryState.CANCELLED))
        rows: QuerySet[Exam] = super().get_queryset(request).annotate(delivery_count=counted)
        return rows.select_related("account", "team").defer("account__credentials")

    def get_list_display(self, request: HttpRequest) -> list[str]:
        may = self.has_deliver_permission(request)
        return [name for name in self.list_display if may or name != "deliver_link"]

    def has_deliver_permission(self, request: HttpRequest) -> bool:
        return may_anywhere(request, Right.DELIVER)

    # Which form

    def get_fieldsets(self, request: HttpRequest, obj: Exam | None = None) -> Any:
        own = [*OWN, "account_name", "vendor_title", "is_archived"] if obj else ["account", *OWN]
        account = obj.account if obj else self._account(request)
        return [
            (None, {"fields": own}),
            ("When", {"fields": WINDOW}),
            *(self._their_sections(request, account, obj) if account else []),
            ("For candidates", {"fields": WORDS, "classes": [LAST]}),
        ]

    def _their_sections(self, request: HttpRequest, account: Account, obj: Exam | None) -> list[tuple[str, Any]]:
        title = registry.facts(account.vendor).title
        if obj is not None and not self.has_change_permission(request, obj):
            return [(title, {"fields": ["shown_settings"], "classes": [THEIRS]})]
        sections = part_sections(_parts(account)["settings"], "settings", title=title)
        return [(name, {**section, "classes": [THEIRS]}) for name, section in sections]

    def get_readonly_fields(self, request: HttpRequest, obj: Exam | None = None) -> list[str]:
        return ["account_name", "vendor_title", "shown_settings"] if obj else []

    def get_form(self, request: HttpRequest, obj: Exam | None = None, change: bool = False, **kwargs: Any) -> Any:
        kwargs["fields"] = [*OWN, *WINDOW, *WORDS, *(["is_archived"] if obj else [])]
        if obj is not None and not self.has_change_permission(request, obj):
            return forms.modelform_factory(Exam, fields=[])
        form: Any = super().get_form(request, obj, change, **kwargs)
        if obj is not None:
            refused = refusals.notes_by_field(refusals.of_exam(obj))
            return type(form.__name__, (form,), {"part_forms": _parts(obj.account), "refused": refused})
        account = self._account(request)
        own = {
            "account": account,
            "accounts": self._accounts(request),
            "part_forms": _parts(account) if account else {},
        }
        return type(form.__name__, (form,), own)

    def _account(self, request: HttpRequest) -> Account | None:
        """The account that was chosen for a new exam, or the only one there is. Raises Http404 for a foreign one."""
        found = self._accounts(request)
        key = request.POST.get("account", request.GET.get("account"))
        if key is None:
            return found.first() if found.count() == 1 else None
        if not key:
            return None
        account = found.filter(pk=key).first() if key.isascii() and key.isdigit() else None
        if account is None:
            raise Http404
        return account

    def _accounts(self, request: HttpRequest) -> QuerySet[Account]:
        teams = teams_where(request, Right.EDIT_EXAMS)
        return (
            Account.objects.filter(team__in=teams, is_archived=False, vendor__in=registry.VENDORS)
            .select_related("team")
            .order_by("team__name", "name")
        )

    # Adding and changing

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        account = self._account(request)
        if not self._accounts(request).exists():
            nothing = "The team has no account yet. An administrator adds one under Accounts."
            return self.render_page(request, "admin/proctoring/choose.html", title="Add an exam", nothing=nothing)
        if request.method == "POST" and account and request.POST.get(SHOWN) != account.vendor:
            title = registry.facts(account.vendor).title
            messages.warning(request, f"Nothing is saved yet: below is what {title} asks.")
        response: HttpResponse = super().add_view(request, form_url, extra_context)
        return response

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        exam = self.get_object(request, object_id)
        may = self._may(request, Right.DELIVER, exam) and not exam.is_archived
        page = reverse("exam", args=[exam.pk])
        context = {"deliver_url": deliver_url(exam) if may else "", "exam_page": page, **(extra_context or {})}
        if refusal := refusals.of_exam(exam):
            context |= {"refusal": refusal, "vendor": registry.facts(exam.account.vendor)}
        response: HttpResponse = super().change_view(request, object_id, form_url, context)
        return response

    def save_model(self, request: HttpRequest, obj: Exam, form: Any, change: bool) -> None:
        settings = form.part_settings("settings")
        exams.save(obj, vendor_settings=settings, by=user_of(request), now=datetime.now(UTC))
        for sentence in exams.warnings(obj):
            messages.warning(request, sentence)

    def response_post_save_add(self, request: HttpRequest, obj: Exam) -> HttpResponse:
        """On to the exam's page, which says what would be sent."""
        return redirect("exam", exam=obj.pk)

    response_post_save_change = response_post_save_add

    @bulk("Deliver…", permission="deliver")
    def deliver(self, request: HttpRequest, queryset: QuerySet[Exam]) -> HttpResponse | None:
        chosen = list(queryset[:2])
        if len(chosen) == 1:
            return redirect(deliver_url(chosen[0]))
        messages.warning(request, "Choose one exam: each is delivered by itself.")
        return None


def _parts(account: Account) -> Mapping[str, type[VendorForm]]:
    return {"settings": registry.forms(account.vendor).ExamForm}
