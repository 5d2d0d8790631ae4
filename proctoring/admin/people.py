"""Teams, their members, and the people who sign in."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Count, Prefetch, QuerySet
from django.forms.models import BaseInlineFormSet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from proctoring import journal
from proctoring.admin.base import (
    DropdownFilter,
    TabularInline,
    TeamAdmin,
    column,
    is_superuser,
    may_in,
    password_forms,
    record_password,
    teams_where,
    time_column,
    user_of,
    visible_users,
)
from proctoring.models import Membership, Role, Team, User
from proctoring.policy import Right

log = logging.getLogger(__name__)

# --- teams ------------------------------------------------------------------------------------------------------------


class MemberFormSet(BaseInlineFormSet):  # type: ignore[type-arg]
    """A team's members. One administrator must stay, or nobody could put the team right."""

    def clean(self) -> None:
        super().clean()
        if any(self.errors) or self.instance.pk is None:
            return
        kept = [form.cleaned_data for form in self.forms if form.cleaned_data and not form.cleaned_data.get("DELETE")]
        if self.initial_form_count() and not any(data.get("role") == Role.ADMINISTRATOR for data in kept):
            raise ValidationError("Keep at least one administrator in the team.")


class MemberInline(TabularInline):
    model = Membership
    formset = MemberFormSet
    verbose_name = "member"
    verbose_name_plural = "members"
    fields = ("user", "role")

    def _may(self, request: HttpRequest, obj: Team | None) -> bool:
        return is_superuser(request) if obj is None else may_in(request, obj.pk, Right.MANAGE_TEAM)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, obj)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, obj)

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        people = visible_users(request).order_by("username")
        return super().formfield_for_foreignkey(db_field, request, **{**kwargs, "queryset": people})

    def get_queryset(self, request: HttpRequest) -> QuerySet[Membership]:
        members: QuerySet[Membership] = super().get_queryset(request).select_related("user", "team")
        return members


@admin.register(Team)
class TeamAdminPage(TeamAdmin):
    right_to_change = Right.MANAGE_TEAM
    inlines = (MemberInline,)
    empty_text = "You are in no team yet. Ask an administrator to add you."
    list_display = ("name", "member_count", "reply_to", "phone", "time_zone")
    search_fields = ("name",)
    ordering = ("name",)
    fields = ("name", "reply_to", "phone", "time_zone")
    warn_unsaved_form = True

    @column("Members", ordering="members")
    def member_count(self, obj: Any) -> int:
        count: int = obj.members
        return count

    def team_of(self, obj: Team) -> int:
        return obj.pk

    def get_queryset(self, request: HttpRequest) -> QuerySet[Team]:
        # Counted apart: the queryset is filtered by the user's own membership, which a plain Count would count.
        ids = super().get_queryset(request).order_by().values("pk")
        return Team.objects.filter(pk__in=ids).annotate(members=Count("memberships")).order_by("name")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return is_superuser(request)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        team = form.instance
        with transaction.atomic():
            before = _roles(team.memberships, "user")
            super().save_related(request, form, formsets, change)
            members = _member_changes(before, _roles(team.memberships, "user"))
            facts: dict[str, Any] = {"fields": sorted(form.changed_data), "members": members}
            journal.record("team.changed", team, team=team.pk, at=datetime.now(UTC), by=user_of(request), **facts)


def _roles(memberships: Any, side: str) -> dict[int, str]:
    """The role in each team of a person, or of each person in a team."""
    return dict(memberships.values_list(side, "role"))


def _member_changes(before: Mapping[int, str], after: Mapping[int, str]) -> list[str]:
    """What became of whom, by the users' ids."""
    changes = [f"{user} added as {after[user]}" for user in after if user not in before]
    changes += [f"{user} is now {after[user]}" for user in after if user in before and after[user] != before[user]]
    return [*changes, *(f"{user} removed" for user in before if user not in after)]


# --- users ------------------------------------------------------------------------------------------------------------


class MembershipInline(TabularInline):
    """A user's roles in the teams that the viewer administers; other teams are not shown."""

    model = Membership
    verbose_name = "team"
    verbose_name_plural = "teams"
    fields = ("team", "role")

    def get_min_num(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> int:
        return 1 if obj is None and not is_superuser(request) else 0

    def get_formset(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> Any:
        # A user outside every team of ours would be out of our sight the moment they are saved.
        return super().get_formset(request, obj, **{**kwargs, "validate_min": obj is None})

    def _may(self, request: HttpRequest, obj: User | None) -> bool:
        is_other = obj is None or obj.pk != user_of(request).pk
        return is_superuser(request) or (is_other and teams_where(request, Right.MANAGE_TEAM).exists())

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, obj)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, obj)

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        teams = teams_where(request, Right.MANAGE_TEAM)
        return super().formfield_for_foreignkey(db_field, request, **{**kwargs, "queryset": teams})

    def get_queryset(self, request: HttpRequest) -> QuerySet[Membership]:
        mine = teams_where(request, Right.MANAGE_TEAM)
        memberships: QuerySet[Membership] = super().get_queryset(request).select_related("team", "user")
        return memberships.filter(team__in=mine)


class RoleFilter(DropdownFilter):
    title = "role"
    parameter_name = "role"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(value, str(label)) for value, label in Role.choices]

    def queryset(self, request: HttpRequest, queryset: QuerySet[User]) -> QuerySet[User]:
        if not self.value():
            return queryset
        seen = Membership.objects.filter(team__in=teams_where(request, Right.VIEW), role=self.value())
        return queryset.filter(pk__in=seen.values("user"))


class TeamFilter(DropdownFilter):
    """By the viewer's own teams: whether a colleague is in another team is not to be found out."""

    title = "team"
    parameter_name = "team"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(str(team.pk), team.name) for team in teams_where(request, Right.VIEW)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[User]) -> QuerySet[User]:
        if self.value() not in dict(self.lookup_choices):
            return queryset
        return queryset.filter(pk__in=Membership.objects.filter(team=self.value()).values("user"))


class ActiveFilter(DropdownFilter):
    title = "may sign in"
    parameter_name = "active"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("1", "Yes"), ("0", "No")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[User]) -> QuerySet[User]:
        return queryset.filter(is_active=self.value() == "1") if self.value() in ("0", "1") else queryset


PERSON = ["first_name", "last_name", "email", "time_zone"]


@admin.register(User)
class PersonAdmin(DjangoUserAdmin, TeamAdmin):  # type: ignore[type-arg, misc]
    """People of the user's teams. An administrator changes those whose every team is theirs to administer, each their own."""

    form, add_form, change_password_form = password_forms()
    right_to_add = Right.MANAGE_TEAM
    inlines = (MembershipInline,)
    empty_text = "Nobody yet."
    list_display = ("username", "full_name", "email", "roles", "active", "last_seen")
    list_filter = (TeamFilter, RoleFilter, ActiveFilter)
    search_fields = ("username", "first_name", "last_name", "email")
    ordering = ("username",)
    filter_horizontal = ()

    last_seen = time_column("last_login", "Last signed in")
    joined = time_column("date_joined", "Added")

    @column("Name", ordering="last_name")
    def full_name(self, obj: User) -> str:
        return obj.get_full_name()

    @column("May sign in", ordering="is_active", boolean=True)
    def active(self, obj: User) -> bool:
        return obj.is_active and obj.is_staff

    @column("Roles")
    def roles(self, obj: Any) -> str:
        if obj.is_superuser:
            return "Superuser"
        return ", ".join(f"{item.get_role_display()} in {item.team}" for item in obj.shown_memberships)

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        seen = Membership.objects.filter(team__in=teams_where(request, Right.VIEW)).select_related("team")
        people = visible_users(request).order_by("username")
        return people.prefetch_related(Prefetch("memberships", queryset=seen, to_attr="shown_memberships"))

    # Who may

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, Right.VIEW)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        if obj is None or is_superuser(request):
            return self._may(request, Right.MANAGE_TEAM)
        return obj.pk == user_of(request).pk or self._administers(request, obj)

    def _administers(self, request: HttpRequest, person: User) -> bool:
        """Whoever can change a person can sign in as them: so every team of theirs must be the viewer's to administer."""
        teams = set(Membership.objects.filter(user=person).values_list("team_id", flat=True))
        mine = set(teams_where(request, Right.MANAGE_TEAM).values_list("pk", flat=True))
        return not person.is_superuser and bool(teams) and teams <= mine

    # Which form

    def get_fieldsets(self, request: HttpRequest, obj: User | None = None) -> Any:
        power = ["is_superuser"] if is_superuser(request) else []
        if obj is None:
            names = ["username", "usable_password", "password1", "password2"]
            return [(None, {"fields": names}), ("Person", {"fields": [*PERSON, *power]})]
        if not self.has_change_permission(request, obj):
            return [(None, {"fields": ["username", *PERSON, "active", "last_seen"]})]
        is_own = obj.pk == user_of(request).pk
        standing = [*power] if is_own else ["is_active", *power]
        return [
            (None, {"fields": ["username", "password"]}),
            ("Person", {"fields": PERSON}),
            ("Standing", {"fields": [*standing, "last_seen", "joined"]}),
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> list[str]:
        if obj is None:
            return []
        is_own = obj.pk == user_of(request).pk and not is_superuser(request)
        return ["active", "last_seen", "joined", *(["username"] if is_own else [])]

    # Saving

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:
        """One's own password is changed by whoever knows the old one. An address may write a number in many ways."""
        person: Any = self.get_object(request, unquote(id))
        if person.pk == user_of(request).pk:
            return redirect("admin:password_change")
        with transaction.atomic(), record_password(person, by=user_of(request)):
            return super().user_change_password(request, str(person.pk), form_url)

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        obj.is_staff = True if not change else obj.is_staff  # everybody works in these pages
        super().save_model(request, obj, form, change)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Each team that the person is in, or was, has its own row of what changed."""
        now, by, person = datetime.now(UTC), user_of(request), form.instance
        with transaction.atomic():
            before = _roles(person.memberships, "team")
            super().save_related(request, form, formsets, change)
            after = _roles(person.memberships, "team")
            facts: dict[str, Any] = {"user": person.pk, "fields": sorted(form.changed_data)}
            for team in sorted({*before, *after}):
                role = after.get(team, "none")
                journal.record("team.changed", Team(pk=team), team=team, at=now, by=by, role=role, **facts)
        if not (before or after):  # the journal is the teams'
            log.info("User %s changed user %s, who is in no team: %s", by.pk, person.pk, ", ".join(facts["fields"]))
