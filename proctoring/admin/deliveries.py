"""Deliveries: looked at, their links handed out, and cancelled while nothing has started."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import PermissionDenied
from django.db.models import OuterRef, Q, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST

from proctoring import deliveries, glance, ledger
from proctoring.admin.base import (
    ChoicesDropdownFilter,
    DropdownFilter,
    RangeDateFilter,
    ReadOnlyAdmin,
    ScopedFilter,
    bulk,
    column,
    dress,
    entries_about,
    may_anywhere,
    pretty,
    teams_where,
    time_column,
    user_of,
    when,
)
from proctoring.admin.colours import ACTION_COLOURS, DELIVERY_COLOURS, action_state
from proctoring.admin.parts import masked
from proctoring.models import Action, ActionState, Call, Candidate, Delivery, DeliveryState
from proctoring.policy import Right
from proctoring.vendors import registry

CALLS_SHOWN = 100
MOST = 5_000
SESSION_KEY = "invite_deliveries"
ACTION_HEADERS = ["Asked", "Action", "State", "By", "Tries", "What was said"]
CALL_HEADERS = ["Sent", "Call", "Outcome", "Status", "What went wrong"]


class ActionStateFilter(DropdownFilter):
    title = "action"
    parameter_name = "action"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(value, str(label)) for value, label in ActionState.choices]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Delivery]) -> QuerySet[Delivery]:
        return queryset.filter(Q(last_state=self.value())) if self.value() else queryset


class ReasonForm(forms.Form):
    reason = forms.CharField(
        widget=forms.Textarea(attrs={"rows": 3}), max_length=1000, help_text="It is kept in the journal."
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        dress(self.fields["reason"])


@admin.register(Delivery)
class DeliveryAdmin(ReadOnlyAdmin):
    empty_text = "No deliveries yet. Choose an exam and deliver it to candidates."
    list_display = ("candidate", "exam_title", "attempt", "shown_state", "progress", "shown_action", "requested")
    list_filter = (
        ("state", ChoicesDropdownFilter),
        ActionStateFilter,
        ("exam", ScopedFilter),
        ("exam__account", ScopedFilter),
        ("requested_at", RangeDateFilter),
        ("team", ScopedFilter),
    )
    search_fields = ("candidate__last_name", "exam__title", "ref")
    search_help_text = "Candidate, exam or the vendor's id"
    ordering = ("-requested_at", "id")
    actions = ("invite", "cancel_waiting")
    change_form_outer_before_template = "admin/proctoring/delivery/links.html"
    change_form_outer_after_template = "admin/proctoring/delivery/timeline.html"
    fieldsets = (
        (None, {"fields": ("candidate", "exam", "attempt", "shown_state", "is_arranged_by_hand")}),
        ("At the vendor", {"fields": ("ref", "person_ref", "note", "shown_options")}),
        ("When", {"fields": ("requested", "created", "cancelled")}),
    )
    readonly_fields = ("shown_state", "shown_options", "requested", "created", "cancelled")

    requested = time_column("requested_at", "Requested")
    created = time_column("created_at", "Created at the vendor")
    cancelled = time_column("cancelled_at", "Cancelled")

    @column("Exam", ordering="exam__title")
    def exam_title(self, obj: Delivery) -> str:
        return obj.exam.title

    @column("Delivery", ordering="state", colours=DELIVERY_COLOURS)
    def shown_state(self, obj: Delivery) -> tuple[str, str]:
        return obj.state, str(obj.get_state_display())

    @column("At a glance")
    def progress(self, obj: Any) -> str:
        if obj.state == DeliveryState.REQUESTED:
            return ""
        mail = glance.Mailed(obj.mail_state, obj.mailed_at) if obj.mail_state else None
        stages = format_html_join(" · ", "{}", ((mark.text,) for mark in glance.marks(obj, mail)))
        return format_html(
            '{} <a class="underline text-primary-600 dark:text-primary-500" href="{}">Open</a>', stages, _page(obj)
        )

    @column("Latest action", ordering="last_state", colours=ACTION_COLOURS)
    def shown_action(self, obj: Any) -> Any:
        return action_state(obj.last_state)

    @column("Options of this delivery")
    def shown_options(self, obj: Delivery) -> Any:
        return pretty(masked(obj.options, obj.exam.account.vendor))

    def get_queryset(self, request: HttpRequest) -> QuerySet[Delivery]:
        latest = Action.objects.filter(delivery=OuterRef("pk")).order_by("-created_at", "id").values("state")[:1]
        mail = Action.objects.filter(invitation__delivery=OuterRef("pk"), invitation__is_rehearsal=False)
        mail = mail.exclude(state=ActionState.CANCELLED).order_by("-created_at", "id")
        sent = mail.exclude(invitation__sent_at=None).values("invitation__sent_at")[:1]
        rows = super().get_queryset(request).select_related("exam__account", "candidate", "team", "session__account")
        annotated: QuerySet[Delivery] = rows.annotate(
            last_state=Subquery(latest), mail_state=Subquery(mail.values("state")[:1]), mailed_at=Subquery(sent)
        )
        return annotated.defer("exam__account__credentials", "session__content", "session__account__credentials")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Delivery], search_term: str
    ) -> tuple[QuerySet[Delivery], bool]:
        """Every word in the candidate, or the whole term in the exam's title or the vendor's id."""
        if not search_term.strip():
            return queryset, False
        people = Candidate.objects.matching(search_term).visible_to(user_of(request))
        found = Q(candidate__in=people.order_by().values("pk"))
        return queryset.filter(found | Q(exam__title__icontains=search_term) | Q(ref__icontains=search_term)), False

    def get_urls(self) -> list[URLPattern]:
        show = self.admin_site.admin_view(require_POST(self.proctor_link_view))
        urls: list[URLPattern] = super().get_urls()
        return [path("<path:object_id>/proctor-link/", show, name="proctoring_delivery_proctor_link"), *urls]

    # One delivery

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        delivery = self.get_object(request, object_id)
        context = {**self._links(request, delivery), **_timeline(delivery), **(extra_context or {})}
        response: HttpResponse = super().change_view(request, object_id, form_url, context)
        response["Cache-Control"] = "no-store"
        return response

    def _links(self, request: HttpRequest, delivery: Delivery) -> dict[str, Any]:
        """The take link for those who hand it out. The proctor link is not even among what the page is given."""
        facts = registry.facts(delivery.exam.account.vendor)
        may_hand_out = self._may(request, Right.DELIVER, delivery)
        return {
            "vendor": facts.title,
            "works_once": facts.take_link_works_once,
            "may_hand_out": may_hand_out,
            "take_url": delivery.take_url if may_hand_out else "",
            "has_proctor_link": bool(delivery.proctor_url),
            "may_show_proctor_link": self._may(request, Right.SHOW_PROCTOR_LINK, delivery),
        }

    def proctor_link_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Shows the proctor link once, on a page of its own that nothing keeps."""
        delivery = self.get_object(request, object_id)
        if not self._may(request, Right.SHOW_PROCTOR_LINK, delivery):
            raise PermissionDenied
        link = deliveries.show_proctor_link(delivery, by=user_of(request), now=datetime.now(UTC))
        template = "admin/proctoring/delivery/proctor_link.html"
        title = f"Proctor link: {delivery.candidate}"
        response = self.render_page(request, template, title=title, link=link, original=delivery)
        response["Cache-Control"] = "no-store"
        return response

    # Many

    def has_invite_permission(self, request: HttpRequest) -> bool:
        return may_anywhere(request, Right.INVITE)

    @bulk("Invite the candidates of the chosen…", permission="invite")
    def invite(self, request: HttpRequest, queryset: QuerySet[Delivery]) -> HttpResponse | None:
        allowed = queryset.filter(team__in=teams_where(request, Right.INVITE))
        ids = [str(pk) for pk in allowed.order_by().values_list("pk", flat=True)[: MOST + 1]]
        if len(ids) > MOST:
            messages.warning(request, f"Choose at most {MOST:,} deliveries at a time: narrow the list with a filter.")
            return None
        if not ids:
            messages.warning(request, "Your role lets you invite none of these.")
            return None
        request.session[SESSION_KEY] = ids
        return redirect("invite")

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        return may_anywhere(request, Right.CANCEL)

    @bulk("Cancel what has not started…", permission="cancel")
    def cancel_waiting(self, request: HttpRequest, queryset: QuerySet[Delivery]) -> HttpResponse | None:
        allowed = queryset.filter(team__in=teams_where(request, Right.CANCEL))
        waiting = Action.objects.filter(state=ActionState.QUEUED, delivery__in=allowed.order_by().values("pk"))
        form = ReasonForm(request.POST if "confirmed" in request.POST else None)
        if not form.is_valid():
            return self._ask_reason(request, queryset, waiting, form)
        cancelled, started = _cancel(waiting, reason=form.cleaned_data["reason"], by=user_of(request))
        messages.success(request, f"Cancelled: {cancelled}.")
        if started:
            messages.warning(
                request, f"Started meanwhile, and not cancelled: {started}. Their outcome shows in the list."
            )
        return None

    def _ask_reason(
        self, request: HttpRequest, queryset: QuerySet[Delivery], waiting: QuerySet[Action], form: ReasonForm
    ) -> HttpResponse:
        chosen, count = queryset.count(), waiting.count()
        context = {
            "form": form,
            "waiting": count,
            "others": chosen - count,
            "selected": request.POST.getlist(ACTION_CHECKBOX_NAME),
            "select_across": request.POST.get("select_across", "0"),
            "action": "cancel_waiting",
            "back": self.url_of("changelist"),
        }
        return self.render_page(
            request, "admin/proctoring/delivery/cancel.html", title="Cancel what has not started", **context
        )


def _page(obj: Delivery) -> str:
    return reverse("delivery", args=[obj.pk])


def _cancel(waiting: QuerySet[Action], *, reason: str, by: Any) -> tuple[int, int]:
    """How many were cancelled, and how many a worker took first."""
    cancelled = started = 0
    for action in waiting.order_by("id"):
        try:
            deliveries.cancel(action, by=by, reason=reason, now=datetime.now(UTC))
            cancelled += 1
        except ledger.Conflict:
            started += 1
    return cancelled, started


# --- its timeline -----------------------------------------------------------------------------------------------------


def _timeline(delivery: Delivery) -> dict[str, Any]:
    """What was intended, what was exchanged, and the journal, each as a table."""
    actions = list(delivery.actions.select_related("by", "batch").defer("payload", "choices", "batch__plan"))
    groups, ids = [action.group for action in actions], [action.call_id for action in actions if action.call_id]
    calls = Call.objects.filter(account_id=delivery.exam.account_id).filter(Q(group__in=groups) | Q(pk__in=ids))
    light = calls.defer("request_body", "response_body", "request_headers", "response_headers").order_by("claimed_at")
    return {
        "action_table": {"headers": ACTION_HEADERS, "rows": [_action_row(action) for action in actions]},
        "call_table": {"headers": CALL_HEADERS, "rows": [_call_row(call) for call in light[:CALLS_SHOWN]]},
        "entries": entries_about(str(delivery.pk), kind="delivery"),
    }


def _link(kind: str, pk: Any, text: str) -> SafeString:
    url = reverse(f"admin:proctoring_{kind}_change", args=[pk])
    return format_html('<a class="text-primary-600 dark:text-primary-500" href="{}">{}</a>', url, text)


def _action_row(action: Action) -> list[Any]:
    name = _link("action", action.pk, action.verb.replace("_", " "))
    who = str(action.by) if action.by else "The console"
    return [when(action.created_at), name, action.get_state_display(), who, action.tries, action.message or "–"]


def _call_row(call: Call) -> list[Any]:
    name = _link("call", call.pk, f"{call.method} {call.verb.replace('_', ' ')}".strip())
    moment = when(call.sent_at or call.claimed_at)
    return [moment, name, call.get_outcome_display(), call.status or "–", call.error or "–"]
