"""Who works here: users, teams, and what each may see."""

from __future__ import annotations

import zoneinfo

from django.contrib.auth.models import AbstractUser
from django.core.exceptions import ValidationError
from django.db import models


def validate_time_zone(name: str) -> None:
    """Raises ValidationError unless `name` is an IANA time zone."""
    if name not in zoneinfo.available_timezones():
        raise ValidationError("“%(name)s” is not a time zone such as Europe/Oslo.", params={"name": name})


class User(AbstractUser):
    """A person who signs in. Times are shown to them in `time_zone`."""

    time_zone = models.CharField(max_length=64, default="UTC", validators=[validate_time_zone])

    def __str__(self) -> str:
        return self.get_full_name() or self.username

    def role_in(self, team_id: int) -> str | None:
        """The user's role in a team, None for a stranger. A superuser may do everything everywhere."""
        if self.is_superuser:
            return Role.ADMINISTRATOR
        if not hasattr(self, "_roles"):
            self._roles = dict(self.memberships.values_list("team_id", "role")) if self.is_active else {}
        return self._roles.get(team_id)


class Role(models.TextChoices):
    VIEWER = "viewer", "Viewer"
    COORDINATOR = "coordinator", "Coordinator"
    LEAD = "lead", "Lead"
    ADMINISTRATOR = "administrator", "Administrator"


class TeamQuerySet(models.QuerySet["Team"]):
    def visible_to(self, user: User) -> TeamQuerySet:
        return self if user.is_superuser else self.filter(memberships__user=user)


class Team(models.Model):
    """A group of staff who share accounts, exams and candidates. Nothing is shared between teams."""

    name = models.CharField(max_length=150, unique=True)
    reply_to = models.EmailField("reply-to address", blank=True, help_text="Where candidates' answers go.")
    phone = models.CharField(max_length=50, blank=True, help_text="The number a candidate may ring.")
    time_zone = models.CharField(max_length=64, default="UTC", validators=[validate_time_zone])
    created_at = models.DateTimeField(auto_now_add=True)

    objects = TeamQuerySet.as_manager()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Membership(models.Model):
    """One user's role in one team."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=20, choices=Role, default=Role.COORDINATOR)

    class Meta:
        ordering = ["team__name", "user__username"]
        constraints = [models.UniqueConstraint(fields=["user", "team"], name="one_role_in_a_team")]

    def __str__(self) -> str:
        return f"{self.user} in {self.team}: {self.get_role_display()}"


class TeamScoped(models.QuerySet):  # type: ignore[type-arg]
    """Rows of a team: what a user may see is decided here and nowhere else."""

    team_path = "team"

    def visible_to(self, user: User) -> TeamScoped:
        if user.is_superuser:
            return self
        return self.filter(**{f"{self.team_path}__in": Membership.objects.filter(user=user).values("team")})
