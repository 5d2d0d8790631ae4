"""Invitations: one message to one candidate about one delivery, as it was sent."""

from __future__ import annotations

import uuid

from django.db import models

from proctoring.models.delivery import Delivery
from proctoring.models.fields import EncryptedTextField
from proctoring.models.team import Team, TeamScoped, User


class Invitation(models.Model):
    """The message whole, kept as it went out. A rehearsal goes to a member of staff and not to the candidate."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="invitations")
    delivery = models.ForeignKey(Delivery, on_delete=models.PROTECT, related_name="invitations")
    to = EncryptedTextField("to")
    subject = models.CharField(max_length=250)
    text = EncryptedTextField()
    html = EncryptedTextField("HTML")
    calendar = EncryptedTextField(blank=True, default="")
    link_version = models.PositiveIntegerField()
    is_rehearsal = models.BooleanField(default=False)
    by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    created_at = models.DateTimeField()
    sent_at = models.DateTimeField(null=True, blank=True)

    objects = TeamScoped.as_manager()

    class Meta:
        ordering = ["-created_at", "id"]

    def __str__(self) -> str:
        return self.subject
