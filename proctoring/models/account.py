"""Outside services that act for a team."""

from __future__ import annotations

import hashlib

from django.core.serializers.json import DjangoJSONEncoder
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from proctoring.models.fields import EncryptedJSONField
from proctoring.models.team import Team, TeamScoped

MOST_CALLS_AT_ONCE = 64


class Account(models.Model):
    """One set of credentials at one vendor, its limits and its health.

    Health: paused as a whole (`paused_at`), letting one action through to try a new credential (`is_probing`), or paused for
    single verbs (`paused_verbs`: verb → the vendor's words). Only `proctoring.ledger` and `proctoring.accounts` write it.
    """

    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="accounts")
    name = models.CharField(max_length=150)
    vendor = models.CharField(max_length=50)
    base_url = models.CharField("base URL", max_length=500, help_text="Where the vendor's API is, with https://")
    credentials = EncryptedJSONField(default=dict, editable=False)
    credentials_changed_at = models.DateTimeField(null=True, editable=False)
    settings = models.JSONField(default=dict, encoder=DjangoJSONEncoder, blank=True)
    permissions = models.JSONField(
        default=list, blank=True, help_text="The rights the vendor granted to these credentials."
    )

    calls_at_once = models.PositiveSmallIntegerField(
        default=4, validators=[MinValueValidator(1), MaxValueValidator(MOST_CALLS_AT_ONCE)]
    )
    calls_per_minute = models.PositiveIntegerField(
        null=True, blank=True, validators=[MinValueValidator(1)], help_text="Empty: no limit of that kind."
    )

    paused_at = models.DateTimeField(null=True, editable=False)
    pause_reason = models.TextField(blank=True, editable=False)
    is_probing = models.BooleanField(default=False, editable=False)
    paused_verbs = models.JSONField(default=dict, editable=False)
    suspicion = models.JSONField(default=dict, editable=False)
    failures_in_a_row = models.PositiveIntegerField(default=0, editable=False)
    next_call_at = models.DateTimeField(null=True, editable=False)
    poll_seconds = models.PositiveIntegerField(
        "read every (seconds)", default=300, help_text="How often sessions are read by itself; 0: never."
    )
    check_due_at = models.DateTimeField(null=True, editable=False)
    checked_at = models.DateTimeField(null=True, editable=False)
    check_message = models.TextField(blank=True, editable=False)
    is_archived = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = TeamScoped.as_manager()

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["team", "name"], name="one_account_of_a_name_in_a_team")]

    def __str__(self) -> str:
        return self.name

    @property
    def is_paused(self) -> bool:
        return self.paused_at is not None

    @property
    def fingerprint(self) -> str:
        """Eight characters that tell two credentials apart and nothing else."""
        if not any(self.credentials.values()):
            return ""
        text = "\0".join(f"{key}={value}" for key, value in sorted(self.credentials.items()))
        return hashlib.scrypt(text.encode(), salt=b"account-fingerprint", n=2**12, r=8, p=1, dklen=4).hex()
