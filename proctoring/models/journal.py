"""The journal: who did what to what, when and why. Ids and facts, no names or addresses."""

from __future__ import annotations

import uuid
from typing import Any, NoReturn

from django.db import models

from proctoring.models.team import Team, TeamScoped, User


class JournalQuerySet(TeamScoped):
    def update(self, **kwargs: Any) -> NoReturn:
        raise TypeError("The journal is append-only.")

    def delete(self) -> NoReturn:
        raise TypeError("The journal is append-only.")


class JournalEntry(models.Model):
    """One fact. `event` is a word of `proctoring.journal`, `target` the id of what it happened to."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="journal")
    at = models.DateTimeField()
    by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    event = models.CharField(max_length=50)
    target_kind = models.CharField(max_length=30)
    target = models.CharField(max_length=36)
    action_id = models.UUIDField(null=True)
    reason = models.TextField(blank=True)
    facts = models.JSONField(default=dict)

    objects = JournalQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "journal"
        ordering = ["-at", "-id"]
        indexes = [models.Index(fields=["target", "at"], name="journal_of_a_target")]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S} UTC {self.event}"
