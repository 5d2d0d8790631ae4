"""Sessions: what a vendor says happened."""

from __future__ import annotations

import uuid

from django.db import models

from proctoring.models.account import Account
from proctoring.models.candidate import Candidate
from proctoring.models.delivery import Delivery
from proctoring.models.exam import Exam
from proctoring.models.fields import EncryptedJSONField
from proctoring.models.team import Team, TeamScoped
from proctoring.vendors.base import SessionState

SESSION_STATES = [
    (SessionState.NOT_STARTED.value, "Not started"),
    (SessionState.IN_PROGRESS.value, "In progress"),
    (SessionState.PAUSED.value, "Paused"),
    (SessionState.SUSPENDED.value, "Suspended"),
    (SessionState.SUBMITTED.value, "Submitted"),
    (SessionState.COMPLETE.value, "Complete"),
    (SessionState.UNKNOWN.value, "Unknown"),
    (SessionState.NOT_REPORTED.value, "Not reported by this vendor"),
]


class Session(models.Model):
    """One sitting at a vendor: our few words for its state beside the vendor's own, its score and results."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="sessions")
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="sessions")
    exam = models.ForeignKey(Exam, on_delete=models.PROTECT, null=True, blank=True, related_name="sessions")
    delivery = models.OneToOneField(Delivery, on_delete=models.PROTECT, null=True, blank=True, related_name="session")
    candidate = models.ForeignKey(Candidate, on_delete=models.PROTECT, null=True, blank=True, related_name="sessions")
    ref = models.CharField("vendor's id", max_length=500)
    state = models.CharField(max_length=20, choices=SESSION_STATES, default=SessionState.NOT_REPORTED.value)
    vendor_state = models.CharField("vendor's own word", max_length=250, blank=True)
    name = models.CharField(max_length=500, blank=True)
    score = models.FloatField(null=True, blank=True)
    score_min = models.FloatField(null=True, blank=True)
    score_max = models.FloatField(null=True, blank=True)
    person_ref = models.CharField("vendor's id for the candidate", max_length=500, blank=True)
    person_hint = models.CharField(max_length=500, blank=True)
    config_ref = models.CharField("vendor's exam configuration", max_length=500, blank=True)
    has_responses = models.BooleanField(null=True, blank=True)
    allows_retakes = models.BooleanField("retakes allowed by the vendor", null=True, blank=True)  # by `config_ref`
    content = EncryptedJSONField(default=dict, editable=False)
    asked_at = models.DateTimeField(null=True, blank=True)  # when the observation now shown was asked for
    effect_ended_at = models.DateTimeField(null=True, blank=True)  # older observations count no more
    created_at = models.DateTimeField(auto_now_add=True)

    objects = TeamScoped.as_manager()

    class Meta:
        ordering = ["-created_at"]
        constraints = [models.UniqueConstraint(fields=["account", "ref"], name="one_session_a_reference")]

    def __str__(self) -> str:
        return self.name or self.ref
