"""Candidates: found, corrected, and handed over to be delivered an exam."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db import transaction
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from proctoring import journal
from proctoring.admin.base import (
    DropdownFilter,
    LedgerInline,
    ScopedFilter,
    TeamAdmin,
    bulk,
    column,
    may_anywhere,
    teams_where,
    time_column,
    user_of,
)
from proctoring.models import Candidate, CandidateReference, DeliveryState
from proctoring.policy import Right

MOST = 5_000
SESSION_KEY = "deliver_candidates"


class CandidateForm(forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        model = Candidate
        fields = "__all__"  # noqa: DJ007 - the admin's fieldsets say which

    def _get_validation_exclusions(self) -> set[str]:
        # The team of a known candidate is no field of the form, and its constraints must be checked all the same.
        return super()._get_validation_exclusions() - {"team"}  # type: ignore[misc, no-any-return]


class AccommodationFilter(DropdownFilter):
    title = "accommodation"
    parameter_name = "accommodation"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("some", "Some"), ("time", "Extra time"), ("needs", "Special needs"), ("none", "None")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Candidate]) -> QuerySet[Candidate]:
        time, needs = Q(extra_time_percent__gt=0), Q(special_needs=True)
        chosen = {"some": time | needs, "time": time, "needs": needs, "none": ~time & ~needs}
        return queryset.filter(chosen[self.value()]) if self.value() in chosen else queryset


class WordFilter(DropdownFilter):
    """A filter by a text column that offers the words found in the user's own rows."""

    field = ""

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        rows = Candidate.objects.visible_to(user_of(request)).exclude(**{self.field: ""})
        words = rows.order_by(self.field).values_list(self.field, flat=True).distinct()
        return [(word, word) for word in words[:500]]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Candidate]) -> QuerySet[Candidate]:
        return queryset.filter(**{self.field: self.value()}) if self.value() else queryset


class LanguageFilter(WordFilter):
    title = parameter_name = field = "language"


class ZoneFilter(WordFilter):
    title = "time zone"
    parameter_name = field = "time_zone"


class ReferenceInline(LedgerInline):
    model = CandidateReference
    verbose_name_plural = "Ids at vendors"
    fields = ("account", "ref")
    readonly_fields = ("account", "ref")
    hide_title = True

    def get_queryset(self, request: HttpRequest) -> QuerySet[CandidateReference]:
        references: QuerySet[CandidateReference] = super().get_queryset(request).select_related("account")
        return references


@admin.register(Candidate)
class CandidateAdmin(TeamAdmin):
    right_to_add = right_to_change = Right.EDIT_CANDIDATES
    form = CandidateForm
    empty_text = "No candidates yet. Add one here, or deliver an exam to a roster: who is new in it is added."
    list_display = ("name", "email", "external_id", "language", "time_zone", "accommodation", "delivered")
    list_filter = (AccommodationFilter, LanguageFilter, ZoneFilter, ("team", ScopedFilter))
    search_fields = ("last_name", "first_name", "email", "phone", "external_id")
    search_help_text = "Name, e-mail, phone or external id"
    actions = ("deliver",)
    inlines = (ReferenceInline,)
    ordering = ("last_name", "first_name", "id")
    warn_unsaved_form = True

    added = time_column("created_at", "Added")

    @column("Name", ordering="last_name")
    def name(self, obj: Candidate) -> str:
        return str(obj)

    @column("Accommodation", ordering="extra_time_percent")
    def accommodation(self, obj: Candidate) -> str:
        time = f"{obj.extra_time_percent} % extra time" if obj.extra_time_percent else ""
        return ", ".join(filter(None, [time, "special needs" if obj.special_needs else ""]))

    @column("Deliveries", ordering="delivery_count")
    def delivered(self, obj: Any) -> int:
        count: int = obj.delivery_count
        return count

    def get_queryset(self, request: HttpRequest) -> QuerySet[Candidate]:
        counted = Count("deliveries", filter=~Q(deliveries__state=DeliveryState.CANCELLED))
        rows: QuerySet[Candidate] = super().get_queryset(request).annotate(delivery_count=counted)
        return rows.select_related("team")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Candidate], search_term: str
    ) -> tuple[QuerySet[Candidate], bool]:
        return queryset.matching(search_term), False  # type: ignore[attr-defined]

    def get_fieldsets(self, request: HttpRequest, obj: Candidate | None = None) -> Any:
        known = ["added"] if obj else []
        return [
            (None, {"fields": ["team", "first_name", "last_name", "email", "phone", "external_id", *known]}),
            ("Where and in which language", {"fields": ["time_zone", "language"]}),
            ("Accommodation", {"fields": ["special_needs", "extra_time_percent"]}),
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: Candidate | None = None) -> list[str]:
        return ["team", "added"] if obj else []

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        first = teams_where(request, Right.EDIT_CANDIDATES).first()
        return {"team": first.pk} if first else {}

    def get_inlines(self, request: HttpRequest, obj: Candidate | None) -> list[Any]:
        return list(self.inlines) if obj else []

    @transaction.atomic
    def save_model(self, request: HttpRequest, obj: Candidate, form: Any, change: bool) -> None:
        obj.save()
        event = "candidate.changed" if change else "candidate.added"
        fields = sorted(form.changed_data)
        journal.record(event, obj, team=obj.team_id, at=datetime.now(UTC), by=user_of(request), fields=fields)

    def has_deliver_permission(self, request: HttpRequest) -> bool:
        return may_anywhere(request, Right.DELIVER)

    @bulk("Deliver an exam to the chosen…", permission="deliver")
    def deliver(self, request: HttpRequest, queryset: QuerySet[Candidate]) -> HttpResponse | None:
        allowed = queryset.filter(team__in=teams_where(request, Right.DELIVER))
        ids = [str(pk) for pk in allowed.values_list("pk", flat=True)[: MOST + 1]]
        if len(ids) > MOST:
            messages.warning(request, f"Choose at most {MOST:,} candidates at a time: narrow the list with a filter.")
            return None
        if not ids:
            messages.warning(request, "Your role lets you deliver to none of these.")
            return None
        request.session[SESSION_KEY] = ids
        return redirect("deliver")
