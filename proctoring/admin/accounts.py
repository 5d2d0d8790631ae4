"""Accounts: two steps to add one, credentials that are written and never shown, and how each one is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.db.models import Count, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.views.decorators.http import require_POST

from proctoring import accounts, journal
from proctoring.admin.base import (
    DropdownFilter,
    ScopedFilter,
    TeamAdmin,
    column,
    dress,
    pretty,
    teams_where,
    time_column,
    user_of,
    when,
)
from proctoring.admin.parts import PartedForm, masked, part_fields, part_sections
from proctoring.models import Account, ActionState, Call, Team
from proctoring.policy import Right
from proctoring.vendors import registry
from proctoring.vendors.base import Facts, Verb
from proctoring.vendors.formfields import VendorForm

DETAILS = ["name", "base_url", "calls_at_once", "calls_per_minute", "poll_seconds"]
NEW_ADDRESS = (
    "The address changed. Enter the credentials again, all of them: those that are stored were entered for the other "
    "address and are not sent to a new one."
)


# --- how it is --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Sign:
    """One sentence about an account's health, with what to do. `tone` colours it; the text says all."""

    tone: str
    title: str
    text: str = ""
    advice: str = ""


def signs(account: Account, *, now: datetime, answered_at: datetime | None = None) -> list[Sign]:
    """How the account is, the most serious first; one sign says that it works where nothing else is to be said.

    `answered_at` is when the vendor last answered well.
    """
    found = [*_whole(account), *_verbs(account), *_held(account, now)]
    if not any(sign.tone in ("danger", "warning") for sign in found):
        found.append(_works(account, answered_at))
    return found


def _whole(account: Account) -> list[Sign]:
    if account.is_archived:
        return [Sign(tone="warning", title="Archived", text="Nothing is delivered through it.")]
    if not any(account.credentials.values()):
        return [Sign(tone="danger", title="No credentials yet", advice="Enter them below and save.")]
    if account.is_paused and account.is_probing:
        text = "New credentials were saved. One waiting action is let through with them; the rest follow its success."
        return [Sign(tone="warning", title="On probation", text=text, advice="“Test connection” decides at once.")]
    if account.is_paused:
        return [
            Sign(
                tone="danger",
                title=f"Paused since {when(account.paused_at)}",
                text=account.pause_reason,
                advice="Enter working credentials below and save. If it was mended at the vendor, press “Test connection”. "
                "What is queued waits; nothing is lost.",
            )
        ]
    return []


def _verbs(account: Account) -> list[Sign]:
    return [_paused_verb(account, verb, pause) for verb, pause in sorted(account.paused_verbs.items())]


def _paused_verb(account: Account, verb: str, pause: Mapping[str, Any]) -> Sign:
    words = verb.replace("_", " ")
    if pause.get("probing"):
        return Sign(
            tone="warning", title=f"On probation: {words}", text="The next action of this kind is let through to try."
        )
    since = parse_datetime(pause.get("at", ""))
    capability = registry.facts(account.vendor).capabilities.get(Verb(verb)) if verb in set(Verb) else None
    right = f" the permission “{capability.permission}”" if capability and capability.permission else " this"
    return Sign(
        tone="danger",
        title=f"May not {words}" + (f" since {when(since)}" if since else ""),
        text=str(pause.get("reason", "")),
        advice=f"Have{right} granted at the vendor, then save the permissions below: the next action tries it.",
    )


def _held(account: Account, now: datetime) -> list[Sign]:
    if account.failures_in_a_row == 0 or account.next_call_at is None or account.next_call_at <= now:
        return []
    count = account.failures_in_a_row
    calls = "the last call" if count == 1 else f"the last {count} calls"
    text = f"The vendor did not answer {calls}. The next one is made then, by itself."
    return [Sign(tone="warning", title=f"Held back until {when(account.next_call_at)}", text=text)]


def _works(account: Account, answered_at: datetime | None) -> Sign:
    if answered_at is not None:
        return Sign(tone="success", title="Works", text=f"The vendor last answered well {when(answered_at)}.")
    if account.checked_at is None:
        return Sign(
            tone="success", title="Nothing is wrong that we know of", text="It was not tested since its last change."
        )
    return Sign(tone="success", title="Works")


STANDINGS = {
    "works": "success",
    "paused": "danger",
    "verbs": "warning",
    "probing": "warning",
    "archived": "info",
    "none": "danger",
}


def standing(account: Account) -> tuple[str, str]:
    """A word for the list: its key and its text."""
    if account.is_archived:
        return "archived", "Archived"
    if account.credentials_changed_at is None and not any(account.credentials.values()):
        return "none", "No credentials"
    if account.is_paused:
        return ("probing", "On probation") if account.is_probing else ("paused", "Paused")
    return ("verbs", "Partly paused") if account.paused_verbs else ("works", "Works")


class HealthFilter(DropdownFilter):
    title = "health"
    parameter_name = "health"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("works", "Works"), ("ailing", "Paused, whole or partly"), ("archived", "Archived")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Account]) -> QuerySet[Account]:
        ailing = ~Q(paused_at=None) | ~Q(paused_verbs={})
        chosen = {"works": ~ailing & Q(is_archived=False), "ailing": ailing, "archived": Q(is_archived=True)}
        return queryset.filter(chosen[self.value()]) if self.value() in chosen else queryset


class VendorFilter(DropdownFilter):
    title = "vendor"
    parameter_name = "vendor"
    path = "vendor"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return registry.choices()

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(**{self.path: self.value()}) if self.value() else queryset


# --- its form ---------------------------------------------------------------------------------------------------------


class AccountDetailsForm(PartedForm, forms.ModelForm):  # type: ignore[type-arg]
    """An account with its vendor's credentials and settings. A credential that is left empty stays as it is."""

    facts: ClassVar[Facts]
    team: ClassVar[Team]

    class Meta:
        model = Account
        fields = [*DETAILS, "is_archived"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.is_new = self.instance._state.adding
        if self.is_new:
            self.instance.team, self.instance.vendor = self.team, self.facts.key
            self.initial.setdefault("base_url", self.facts.base_url)
        self.new_addresses = self._new_addresses()
        self.add_parts()
        self._soften_credentials()
        if self.facts.permissions:
            self.fields["granted"] = self._granted_field()

    def part_initial(self, name: str) -> dict[str, Any]:
        return dict(self.instance.settings) if name == "settings" else {}

    def part_data(self, name: str, form: type[VendorForm]) -> Any:
        """A credential that was left empty is checked as it is stored, with those that were entered; not at a new address."""
        if name != "credentials" or self.instance._state.adding or self.new_addresses:
            return self.data
        stored = {f"credentials-{key}": self.instance.credentials.get(key, "") for key in form.base_fields}
        return {key: self.data.get(key) or value for key, value in stored.items()}

    def skips_part(self, name: str) -> bool:
        return name == "credentials" and not self.is_new and not self.has_new_credentials and not self.new_addresses

    @property
    def has_new_credentials(self) -> bool:
        names = part_fields(self.part_forms["credentials"], "credentials")
        return any(str(self.data.get(name, "")).strip() for name in names)

    def _soften_credentials(self) -> None:
        for name in part_fields(self.part_forms["credentials"], "credentials"):
            field = self.fields[name]
            field.widget.attrs["autocomplete"] = "new-password"
            if not self.is_new:
                field.required = False
                field.widget.attrs["placeholder"] = "Stored. Leave empty to keep it."

    def _granted_field(self) -> forms.Field:
        return dress(
            forms.MultipleChoiceField(
                label="Granted permissions",
                required=False,
                choices=[(right, f"{right}: {purpose}") for right, purpose in self.facts.permissions.items()],
                widget=forms.CheckboxSelectMultiple,
                initial=self.instance.permissions,
                help_text="What the vendor granted to these credentials. None ticked: not recorded, so nothing is refused.",
            )
        )

    def clean_base_url(self) -> str:
        return accounts.check_url(self.cleaned_data["base_url"])

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        others = Account.objects.filter(team_id=self.instance.team_id, name=name).exclude(pk=self.instance.pk)
        if others.exists():
            raise ValidationError("Another account of this team has this name.")
        return name

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        self.clean_parts()
        self._ask_for_all_credentials()
        return data

    def _new_addresses(self) -> list[str]:
        """A stored credential must not be readable by sending it to an address of one's own."""
        if self.is_new or not self.is_bound or not any(self.instance.credentials.values()):
            return []
        entered = {key: self.data.get(f"settings-{key}", "") for key in self.part_forms["settings"].base_fields}
        return accounts.new_addresses(self.instance, base_url=str(self.data.get("base_url", "")), settings=entered)

    def _ask_for_all_credentials(self) -> None:
        missing = [name for name in part_fields(self.part_forms["credentials"], "credentials") if self.has_error(name)]
        fields = [name if name == "base_url" else f"settings-{name}" for name in self.new_addresses]
        for name in fields if missing else []:
            if not self.has_error(name):
                self.add_error(name, NEW_ADDRESS)


class ChooseForm(forms.Form):
    """The first step: whose account it is, and at which vendor."""

    team = forms.ModelChoiceField(Team.objects.none(), empty_label=None)
    vendor = forms.ChoiceField()

    def __init__(self, *args: Any, teams: QuerySet[Team], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["team"].queryset = teams  # type: ignore[attr-defined]
        self.fields["vendor"].choices = registry.choices()  # type: ignore[attr-defined]
        for field in self.fields.values():
            dress(field)


# --- the pages --------------------------------------------------------------------------------------------------------


@admin.register(Account)
class AccountAdmin(TeamAdmin):
    right_to_add = right_to_change = Right.MANAGE_ACCOUNTS
    form = AccountDetailsForm
    change_form_before_template = "admin/proctoring/hidden.html"
    change_form_outer_before_template = "admin/proctoring/account/health.html"
    empty_text = "No accounts yet. An administrator of the team adds one with the credentials that the vendor gave."
    list_display = ("name", "vendor_title", "team", "health", "waiting", "base_url", "changed")
    list_filter = (VendorFilter, HealthFilter, ("team", ScopedFilter))
    search_fields = ("name", "base_url")
    ordering = ("name",)
    warn_unsaved_form = True

    changed = time_column("credentials_changed_at", "Credentials since")

    @column("Vendor", ordering="vendor")
    def vendor_title(self, obj: Account) -> str:
        return registry.facts(obj.vendor).title

    @column("Health", colours=STANDINGS)
    def health(self, obj: Account) -> tuple[str, str]:
        return standing(obj)

    @column("Waiting actions", ordering="waiting_count")
    def waiting(self, obj: Any) -> int:
        count: int = obj.waiting_count
        return count

    @column("Fingerprint of the credentials")
    def fingerprint(self, obj: Account) -> str:
        return obj.fingerprint

    @column("Vendor's settings")
    def shown_settings(self, obj: Account) -> Any:
        return pretty(masked(obj.settings, obj.vendor))

    @column("Granted permissions")
    def shown_permissions(self, obj: Account) -> str:
        return ", ".join(obj.permissions)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Account]:
        waiting = Count("actions", filter=Q(actions__state=ActionState.QUEUED))
        rows: QuerySet[Account] = super().get_queryset(request).annotate(waiting_count=waiting)
        return rows.select_related("team")

    def get_urls(self) -> list[URLPattern]:
        check = self.admin_site.admin_view(require_POST(self.check_view))
        return [path("<path:object_id>/check/", check, name="proctoring_account_check"), *super().get_urls()]

    # Which form

    def get_fieldsets(self, request: HttpRequest, obj: Account | None = None) -> Any:
        if obj is not None and not self.has_change_permission(request, obj):
            return [
                (None, {"fields": ["vendor_title", "team", *DETAILS, "is_archived"]}),
                ("At the vendor", {"fields": ["fingerprint", "shown_permissions", "shown_settings"]}),
            ]
        vendor = self._vendor(request, obj)
        parts = _parts(vendor)
        credentials = part_fields(parts["credentials"], "credentials")
        granted = ["granted"] if registry.facts(vendor).permissions else []
        return [
            (
                None,
                {"fields": [*(["vendor_title", "team"] if obj else []), *DETAILS, *(["is_archived"] if obj else [])]},
            ),
            ("Credentials", {"fields": [*credentials, *(["fingerprint"] if obj else []), *granted]}),
            *part_sections(parts["settings"], "settings", title=registry.facts(vendor).title),
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: Account | None = None) -> list[str]:
        return ["vendor_title", "team", "fingerprint", "shown_settings", "shown_permissions"] if obj else []

    def get_form(self, request: HttpRequest, obj: Account | None = None, change: bool = False, **kwargs: Any) -> Any:
        if obj is not None and not self.has_change_permission(request, obj):
            return forms.modelform_factory(Account, fields=[])
        vendor = self._vendor(request, obj)
        team = obj.team if obj else self._chosen(request).cleaned_data["team"]
        kwargs["fields"] = [*DETAILS, *(["is_archived"] if obj else [])]
        form: Any = super().get_form(request, obj, change, **kwargs)
        own = {"facts": registry.facts(vendor), "team": team, "part_forms": _parts(vendor)}
        return type(form.__name__, (form,), own)

    def _vendor(self, request: HttpRequest, obj: Account | None) -> str:
        return obj.vendor if obj else str(self._chosen(request).cleaned_data["vendor"])

    def _chosen(self, request: HttpRequest) -> ChooseForm:
        form = ChooseForm(request.GET, teams=teams_where(request, Right.MANAGE_ACCOUNTS))
        if not form.is_valid():
            raise Http404
        return form

    # Adding and changing

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        if "vendor" in request.GET:
            response: HttpResponse = super().add_view(request, form_url, extra_context)
            return response
        form = ChooseForm(teams=teams_where(request, Right.MANAGE_ACCOUNTS))
        title = "Add an account: whose, and where?"
        return self.render_page(request, "admin/proctoring/choose.html", title=title, form=form, button="Go on")

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        account = self.get_object(request, object_id)
        context = {**self._health(request, account), **(extra_context or {})}
        response: HttpResponse = super().change_view(request, object_id, form_url, context)
        return response

    def _health(self, request: HttpRequest, account: Account) -> dict[str, Any]:
        looks = Call.objects.filter(account=account, verb=Verb.CHECK.value, ended_at=None)
        answered_at = accounts.last_answers([account]).get(account.pk)
        return {
            "signs": signs(account, now=timezone.now(), answered_at=answered_at),
            "has_answered": answered_at is not None,
            "warnings": accounts.warnings(account),
            "is_testing": account.checked_at is None and (account.check_due_at is not None or looks.exists()),
            "checked": when(account.checked_at),
            "waiting": getattr(account, "waiting_count", 0),
            "may_test": self.has_change_permission(request, account) and not account.is_archived,
        }

    def save_model(self, request: HttpRequest, obj: Account, form: Any, change: bool) -> None:
        now, by = datetime.now(UTC), user_of(request)
        obj.settings = form.part_settings("settings")
        if not change:
            obj.permissions = sorted(form.cleaned_data.get("granted", []))
            accounts.add(obj, credentials=form.part_settings("credentials"), by=by, now=now)
            return
        with transaction.atomic():
            self._change(obj, form, by=by, now=now)

    def _change(self, account: Account, form: Any, *, by: Any, now: datetime) -> None:
        """Writes the form's columns only: a worker may be writing the account's health meanwhile."""
        fields = sorted(name for name in form.changed_data if not name.startswith("credentials-") and name != "granted")
        if fields:
            account.save(update_fields=[*DETAILS, "is_archived", "settings"])
            journal.record("account.changed", account, team=account.team_id, at=now, by=by, fields=fields)
        granted = sorted(form.cleaned_data.get("granted", account.permissions))
        # Saved again unchanged, they say "it was granted at the vendor": a paused verb is tried again.
        if granted != sorted(account.permissions) or account.paused_verbs:
            accounts.set_permissions(account, granted, by=by, now=now)
        if form.has_new_credentials:
            accounts.set_credentials(account, form.part_settings("credentials"), by=by, now=now)

    def check_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Asks for a test: a page never waits for a vendor, so the answer appears on the account."""
        account = self.get_object(request, object_id)
        if not self.has_change_permission(request, account):
            raise PermissionDenied
        accounts.ask_check(account, by=user_of(request), now=datetime.now(UTC))
        messages.info(request, "The account is being tested. The answer appears below.")
        return redirect(self.url_of("change", account.pk))


def _parts(vendor: str) -> dict[str, type[VendorForm]]:
    module = registry.forms(vendor)
    return {"credentials": module.CredentialsForm, "settings": module.AccountForm}
