"""Exams as a team plans them."""

from __future__ import annotations

import uuid
from datetime import datetime

from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import F, Q

from proctoring.models.account import Account
from proctoring.models.fields import EncryptedJSONField
from proctoring.models.team import Team, TeamScoped, validate_time_zone


class Exam(models.Model):
    """One exam at one vendor. `ref` is the vendor's identifier, `settings` the cleaned values of the vendor's exam form."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="exams")
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="exams")
    title = models.CharField(max_length=250)
    ref = models.CharField("vendor's reference", max_length=250, blank=True)
    starts_at = models.DateTimeField("window opens", null=True, blank=True)
    ends_at = models.DateTimeField("window closes", null=True, blank=True)
    time_zone = models.CharField(max_length=64, default="UTC", validators=[validate_time_zone])
    duration_minutes = models.PositiveIntegerField(null=True, blank=True, validators=[MinValueValidator(1)])
    instructions = models.TextField("instructions for candidates", blank=True)
    settings = EncryptedJSONField(default=dict, blank=True, editable=False)  # holds passwords and PINs, at some vendors
    confirmed = models.JSONField(default=dict, blank=True, editable=False)
    sent_at = models.DateTimeField(null=True, editable=False)
    is_archived = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = TeamScoped.as_manager()

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.CheckConstraint(
                condition=Q(starts_at__isnull=True) | Q(ends_at__isnull=True) | Q(ends_at__gt=F("starts_at")),
                name="exam_window_ends_after_it_starts",
                violation_error_message="The window must close after it opens.",
            )
        ]

    def __str__(self) -> str:
        return self.title

    def clean(self) -> None:
        if self.starts_at and self.ends_at and self.ends_at <= self.starts_at:
            raise ValidationError({"ends_at": "The window must close after it opens."})

    def has_closed(self, now: datetime) -> bool:
        return self.ends_at is not None and self.ends_at <= now
