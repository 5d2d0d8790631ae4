"""What the console wrote: actions, calls, batches, the journal and sessions. Looked at, never changed."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from django.contrib import admin, messages
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from proctoring import journal, policy, refusals, sessions
from proctoring.admin.base import (
    ChoicesDropdownFilter,
    DropdownFilter,
    RangeDateFilter,
    ReadOnlyAdmin,
    ScopedFilter,
    bulk,
    column,
    may_anywhere,
    pretty,
    teams_where,
    time_column,
    user_of,
)
from proctoring.admin.colours import ACTION_COLOURS, CALL_COLOURS, action_state
from proctoring.admin.parts import masked
from proctoring.models import Action, Batch, Call, JournalEntry, Session
from proctoring.policy import Right
from proctoring.vendors.base import Verb

HIDDEN = "Only those who settle what went wrong (leads and administrators) see this."
ON_ITS_PAGE = "Questions and keys are shown on the session's own page, and the journal keeps to whom."
MESSAGE_LENGTH = 90


def words(verb: str) -> str:
    return verb.replace("_", " ").capitalize()


def short(text: str) -> str:
    return text if len(text) <= MESSAGE_LENGTH else f"{text[: MESSAGE_LENGTH - 1]}…"


def body(text: str) -> SafeString | str:
    """A stored body: JSON indented, anything else as it is."""
    if not text:
        return ""
    try:
        shown = json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except ValueError:
        shown = text
    # Focusable, so that the keyboard can scroll it.
    return format_html('<pre class="text-xs" tabindex="0">{}</pre>', shown)


def message_sent(call: Call) -> SafeString | str:
    """Where a mail can be read. It holds the candidate's own link, which not everybody who sees calls may have."""
    actions = Action.objects.filter(group=call.group or call.pk)
    key = actions.values_list("invitation", flat=True).first()
    if key is None:
        return HIDDEN
    style, url = "underline text-primary-600 dark:text-primary-500", reverse("invitation", args=[key])
    return format_html('<a class="{}" href="{}">The message</a>, for those who may invite', style, url)


class VerbFilter(DropdownFilter):
    title = "verb"
    parameter_name = "verb"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(verb.value, words(verb)) for verb in Verb]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(verb=self.value()) if self.value() else queryset


class EventFilter(DropdownFilter):
    title = "event"
    parameter_name = "event"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return list(journal.EVENTS.items())

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(event=self.value()) if self.value() else queryset


@admin.register(Action)
class ActionAdmin(ReadOnlyAdmin):
    empty_text = "Nothing was asked of a vendor yet."
    list_display = ("verb_words", "target", "account", "shown_state", "said", "tries", "asked", "changed")
    list_filter = (
        ("state", ChoicesDropdownFilter),
        ("attention", ChoicesDropdownFilter),
        VerbFilter,
        ("account", ScopedFilter),
        ("by", ScopedFilter),
        ("created_at", RangeDateFilter),
    )
    search_fields = (
        "delivery__candidate__last_name",
        "delivery__candidate__first_name",
        "delivery__candidate__email",
        "message",
        "reason",
        "id",
    )
    ordering = ("-created_at", "id")
    fieldsets = (
        (None, {"fields": ("verb_words", "target", "account", "shown_state", "attention", "message", "named")}),
        ("Who asked, and why", {"fields": ("by", "reason", "batch", "asked")}),
        ("Sending", {"fields": ("tries", "due", "sent", "call", "may_have_acted", "looked", "looks_absent", "id")}),
        ("What was sent", {"fields": ("shown_payload",)}),
    )
    readonly_fields = (
        *("verb_words", "target", "shown_state", "named", "asked", "due", "sent", "looked"),
        "shown_payload",
    )

    asked = time_column("created_at", "Asked")
    changed = time_column("changed_at", "Last change")
    due = time_column("due_at", "Due")
    sent = time_column("sent_at", "Sent")
    looked = time_column("looked_at", "Looked up")

    @column("Action", ordering="verb")
    def verb_words(self, obj: Action) -> str:
        return words(obj.verb)

    @column("For")
    def target(self, obj: Action) -> str:
        target: Any = obj.delivery or obj.session or obj.exam or (obj.invitation and obj.invitation.delivery)
        return str(target)

    @column("State", ordering="state", colours=ACTION_COLOURS)
    def shown_state(self, obj: Action) -> Any:
        return action_state(obj.state)

    @column("What was said", ordering="message")
    def said(self, obj: Action) -> str:
        return short(obj.message)

    @column("Fields it is about")
    def named(self, obj: Action) -> SafeString | str:
        lines = [(item.url, item.label, item.words) for item in refusals.of_action(obj)]
        linked = '<p><a class="underline text-primary-600 dark:text-primary-500" href="{}">{}</a>: {}</p>'
        return format_html_join("", linked, [line for line in lines if line[0]]) + format_html_join(
            "", "<p><code>{}</code>: {}</p>", [line[1:] for line in lines if not line[0]]
        )

    @column("Payload")
    def shown_payload(self, obj: Any) -> Any:
        return pretty(masked(obj.payload, obj.account.vendor)) if obj.may_see_contents else HIDDEN

    def get_queryset(self, request: HttpRequest) -> QuerySet[Action]:
        related = ("account", "delivery__candidate", "delivery__exam", "session", "exam", "by", "batch", "call")
        mailed = ("invitation__delivery__candidate", "invitation__delivery__exam")
        rows = super().get_queryset(request).select_related(*related, *mailed)
        return rows.defer(
            "choices",
            "account__credentials",
            "delivery__take_url",
            "delivery__proctor_url",
            "invitation__text",
            "invitation__html",
            "invitation__calendar",
            "invitation__delivery__take_url",
            "invitation__delivery__proctor_url",
            "session__content",
            "batch__plan",
            "call__request_body",
            "call__response_body",
        )

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        action = super().get_object(request, object_id, from_field)
        action.may_see_contents = self.may_see_contents(request, action)
        return action


@admin.register(Call)
class CallAdmin(ReadOnlyAdmin):
    empty_text = "No call was made yet."
    list_display = ("verb_words", "account", "shown_outcome", "status", "address", "problem", "claimed", "ended")
    list_filter = (
        ("outcome", ChoicesDropdownFilter),
        VerbFilter,
        ("account", ScopedFilter),
        ("claimed_at", RangeDateFilter),
    )
    search_fields = ("url", "error", "worker", "id")
    ordering = ("-claimed_at",)
    fieldsets = (
        (None, {"fields": ("verb_words", "account", "shown_outcome", "status", "error")}),
        ("When", {"fields": ("claimed", "sent", "ended", "lease", "worker", "is_effect", "is_repeat", "lead")}),
        ("Request, secrets masked", {"fields": ("address", "shown_request_headers", "shown_request")}),
        ("Response, secrets masked", {"fields": ("shown_response_headers", "shown_response")}),
    )
    readonly_fields = (
        "verb_words",
        "shown_outcome",
        "claimed",
        "sent",
        "ended",
        "lease",
        "address",
        "shown_request_headers",
        "shown_request",
        "shown_response_headers",
        "shown_response",
    )

    claimed = time_column("claimed_at", "Claimed")
    sent = time_column("sent_at", "Sent")
    ended = time_column("ended_at", "Ended")
    lease = time_column("lease_until", "Lease until")

    @column("Call", ordering="verb")
    def verb_words(self, obj: Call) -> str:
        return words(obj.verb)

    @column("Outcome", ordering="outcome", colours=CALL_COLOURS)
    def shown_outcome(self, obj: Call) -> tuple[str, str]:
        return obj.outcome, str(obj.get_outcome_display())

    @column("Address", ordering="url")
    def address(self, obj: Call) -> SafeString:
        return format_html('<span class="break-all">{} {}</span>', obj.method, obj.url)

    @column("What went wrong", ordering="error")
    def problem(self, obj: Call) -> str:
        return short(obj.error)

    @column("Headers")
    def shown_request_headers(self, obj: Call) -> Any:
        return pretty(obj.request_headers)

    @column("Body")
    def shown_request(self, obj: Call) -> Any:
        return message_sent(obj) if obj.verb == Verb.SEND_MESSAGE else body(obj.request_body)

    @column("Headers")
    def shown_response_headers(self, obj: Call) -> Any:
        return pretty(obj.response_headers)

    @column("Body")
    def shown_response(self, obj: Call) -> Any:
        return ON_ITS_PAGE if obj.verb == Verb.READ_RESULTS else body(obj.response_body)

    def team_of(self, obj: Call) -> int:
        return obj.account.team_id

    def get_queryset(self, request: HttpRequest) -> QuerySet[Call]:
        rows = super().get_queryset(request).select_related("account", "lead")
        return rows.defer("account__credentials", "lead__request_body", "lead__response_body")


@admin.register(Batch)
class BatchAdmin(ReadOnlyAdmin):
    empty_text = "Nothing was delivered yet."
    list_display = ("kind_words", "exam", "by", "asked_for", "created", "confirmed", "page_link")
    list_filter = (("exam", ScopedFilter), ("by", ScopedFilter), ("created_at", RangeDateFilter))
    search_fields = ("exam__title", "reason", "id")
    ordering = ("-created_at",)
    fieldsets = (
        (None, {"fields": ("kind_words", "exam", "by", "reason", "asked_for", "page_link")}),
        ("When", {"fields": ("created", "confirmed")}),
        ("Plan", {"fields": ("shown_plan",)}),
    )
    readonly_fields = ("kind_words", "asked_for", "page_link", "created", "confirmed", "shown_plan")

    created = time_column("created_at", "Drafted")
    confirmed = time_column("confirmed_at", "Asked")

    @column("Kind", ordering="kind")
    def kind_words(self, obj: Batch) -> str:
        return obj.kind.capitalize()

    @column("Deliveries", ordering="action_count")
    def asked_for(self, obj: Any) -> int:
        count: int = obj.action_count
        return count

    @column("")
    def page_link(self, obj: Batch) -> SafeString | str:
        if obj.confirmed_at is None:
            return "A draft that nobody confirmed"
        url = reverse("batch", args=[obj.pk])
        return format_html('<a class="text-primary-600 dark:text-primary-500" href="{}">Progress and links</a>', url)

    @column("What the preview showed, and what was left out")
    def shown_plan(self, obj: Any) -> Any:
        vendor = obj.exam.account.vendor if obj.exam else ""
        return pretty(masked(obj.plan, vendor)) if obj.may_see_contents else HIDDEN

    def get_queryset(self, request: HttpRequest) -> QuerySet[Batch]:
        rows: QuerySet[Batch] = super().get_queryset(request).annotate(action_count=Count("actions"))
        return rows.select_related("exam__account", "by").defer("exam__account__credentials", "exam__settings")

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        batch = super().get_object(request, object_id, from_field)
        batch.may_see_contents = self.may_see_contents(request, batch)
        return batch


@admin.register(JournalEntry)
class JournalAdmin(ReadOnlyAdmin):
    empty_text = "Nothing happened yet."
    list_display = ("moment", "event_words", "by_whom", "target_link", "reason")
    list_filter = (EventFilter, ("by", ScopedFilter), ("at", RangeDateFilter), ("team", ScopedFilter))
    search_fields = ("target", "reason", "event")
    search_help_text = "The id of what it happened to, a reason, or an event"
    ordering = ("-at", "-id")
    fieldsets = (
        (None, {"fields": ("moment", "event_words", "by_whom", "target_link", "reason")}),
        ("Facts", {"fields": ("facts", "action_id")}),
    )
    readonly_fields = ("moment", "event_words", "by_whom", "target_link")

    moment = time_column("at", "When")

    @column("What", ordering="event")
    def event_words(self, obj: JournalEntry) -> str:
        return journal.words(obj.event)

    @column("By", ordering="by")
    def by_whom(self, obj: JournalEntry) -> str:
        return str(obj.by) if obj.by else "The console"

    @column("To what", ordering="target")
    def target_link(self, obj: JournalEntry) -> SafeString | str:
        if obj.target_kind not in LINKED_KINDS:
            return f"{obj.target_kind} {obj.target}"
        url = reverse(f"admin:proctoring_{obj.target_kind}_change", args=[obj.target])
        text = f"{obj.target_kind} {obj.target[:8]}"
        return format_html('<a class="text-primary-600 dark:text-primary-500" href="{}">{}</a>', url, text)

    def get_queryset(self, request: HttpRequest) -> QuerySet[JournalEntry]:
        return super().get_queryset(request).select_related("by", "team")


LINKED_KINDS = frozenset({"account", "exam", "candidate", "delivery", "session", "team", "batch", "action"})


@admin.register(Session)
class SessionAdmin(ReadOnlyAdmin):
    empty_text = "No sessions yet. They appear here once a vendor reports them."
    list_display = ("name", "exam", "candidate", "account", "state", "vendor_state", "score", "asked", "page_link")
    actions = ("reset", "reopen", "retake")
    list_filter = (("state", ChoicesDropdownFilter), ("exam", ScopedFilter), ("account", ScopedFilter))
    search_fields = ("name", "ref", "candidate__last_name", "candidate__first_name", "candidate__email", "exam__title")
    ordering = ("-created_at",)
    fieldsets = (
        (None, {"fields": ("name", "exam", "candidate", "delivery", "account")}),
        ("What the vendor says", {"fields": ("ref", "state", "vendor_state", "score", "score_min", "score_max")}),
        ("When", {"fields": ("asked", "created")}),
        ("As it was said", {"fields": ("shown_content",)}),
    )
    readonly_fields = ("asked", "created", "shown_content")

    asked = time_column("asked_at", "As of")
    created = time_column("created_at", "Known since")

    @column("")
    def page_link(self, obj: Session) -> SafeString:
        url = reverse("session", args=[obj.pk])
        return format_html('<a class="text-primary-600 dark:text-primary-500" href="{}">Page</a>', url)

    def has_reset_permission(self, request: HttpRequest) -> bool:
        return may_anywhere(request, Right.RESET)

    def has_reopen_permission(self, request: HttpRequest) -> bool:
        return may_anywhere(request, Right.REOPEN)

    def has_retake_permission(self, request: HttpRequest) -> bool:
        return may_anywhere(request, Right.RETAKE)

    @bulk("Reset…", permission="reset")
    def reset(self, request: HttpRequest, queryset: QuerySet[Session]) -> HttpResponse | None:
        return self._preview(request, queryset, Verb.RESET)

    @bulk("Reopen…", permission="reopen")
    def reopen(self, request: HttpRequest, queryset: QuerySet[Session]) -> HttpResponse | None:
        return self._preview(request, queryset, Verb.REOPEN)

    @bulk("Retake…", permission="retake")
    def retake(self, request: HttpRequest, queryset: QuerySet[Session]) -> HttpResponse | None:
        return self._preview(request, queryset, Verb.RETAKE)

    def _preview(self, request: HttpRequest, queryset: QuerySet[Session], verb: Verb) -> HttpResponse | None:
        """Drafts what was chosen and shows the preview, where it is confirmed."""
        allowed = queryset.filter(team__in=teams_where(request, policy.SESSION_RIGHTS[verb]))
        chosen = list(allowed.order_by("name", "id")[: sessions.MOST_AT_ONCE + 1])
        if sentence := sessions.objection(chosen):
            messages.error(request, sentence)
            return None
        batch = sessions.draft(
            sessions.plan(chosen, verb), team_id=chosen[0].team_id, by=user_of(request), now=datetime.now(UTC)
        )
        return redirect("session_action", batch=batch.pk)

    @column("Content")
    def shown_content(self, obj: Any) -> Any:
        if not obj.may_see_contents:
            return HIDDEN
        content = {name: ON_ITS_PAGE if name == "questions" else part for name, part in obj.content.items()}
        return pretty(masked(content, obj.account.vendor))

    def get_queryset(self, request: HttpRequest) -> QuerySet[Session]:
        related = ("account", "exam", "candidate", "delivery__candidate", "delivery__exam")
        rows = super().get_queryset(request).select_related(*related)
        return rows.defer("account__credentials", "delivery__take_url", "delivery__proctor_url")

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        session = super().get_object(request, object_id, from_field)
        session.may_see_contents = self.may_see_contents(request, session)
        return session
