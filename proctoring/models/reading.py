"""What is to be read from vendors: lists and single sessions, once or again and again. Waits live here."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from proctoring.models.account import Account
from proctoring.models.session import Session
from proctoring.models.team import TeamScoped, User


class ReadingQuerySet(TeamScoped):
    team_path = "account__team"


class Reading(models.Model):
    """One thing to read. `due_at` empty: given up, `error` says why; `every_seconds` empty: read once."""

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="readings")
    session = models.ForeignKey(Session, on_delete=models.CASCADE, null=True, blank=True, related_name="readings")
    verb = models.CharField(max_length=30)
    due_at = models.DateTimeField(null=True)
    every_seconds = models.PositiveIntegerField(null=True)
    tries = models.PositiveSmallIntegerField(default=0)
    by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    read_at = models.DateTimeField(null=True)
    message = models.TextField(blank=True)
    error = models.TextField(blank=True)

    objects = ReadingQuerySet.as_manager()

    class Meta:
        ordering = ["due_at", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["account", "verb"], condition=Q(session=None), name="one_reading_an_account"
            ),
            models.UniqueConstraint(fields=["session", "verb"], name="one_reading_a_session"),
        ]
        indexes = [models.Index(fields=["account", "due_at"], condition=Q(due_at__isnull=False), name="readings_due")]

    def __str__(self) -> str:
        return f"{self.verb} · {self.session or self.account}"
