"""The ledger's rows: what was asked for together, each intended effect, and each HTTP exchange.

Only `proctoring.ledger` writes Action and Call.
"""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import Q

from proctoring.models.account import Account
from proctoring.models.delivery import Delivery
from proctoring.models.exam import Exam
from proctoring.models.fields import EncryptedJSONField, EncryptedTextField
from proctoring.models.invitation import Invitation
from proctoring.models.session import Session
from proctoring.models.team import Team, TeamScoped, User


class ActionState(models.TextChoices):
    QUEUED = "queued", "Waiting"
    SENDING = "sending", "Sending"
    UNKNOWN = "unknown", "Outcome unknown"
    NEEDS_ATTENTION = "needs_attention", "Needs attention"
    DONE = "done", "Done"
    CANCELLED = "cancelled", "Cancelled"


OPEN_STATES = [ActionState.QUEUED, ActionState.SENDING, ActionState.UNKNOWN, ActionState.NEEDS_ATTENTION]


class Attention(models.TextChoices):
    """Why a person is needed."""

    REFUSED = "refused", "Refused by the vendor"
    EXHAUSTED = "exhausted", "The vendor could not be reached"
    UNSUPPORTED = "unsupported", "Not possible at this vendor"
    CHANGED = "changed", "Changed since the preview"
    BROKEN = "broken", "A fault of this console"


class Batch(models.Model):
    """Actions asked for together. Its id is the token that a second press repeats; `plan` is what the preview showed."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="batches")
    exam = models.ForeignKey(Exam, on_delete=models.CASCADE, null=True, related_name="batches")
    kind = models.CharField(max_length=30)
    by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    reason = models.TextField(blank=True)
    plan = EncryptedJSONField(default=dict)
    created_at = models.DateTimeField()
    confirmed_at = models.DateTimeField(null=True)

    objects = TeamScoped.as_manager()

    class Meta:
        verbose_name_plural = "batches"
        ordering = ["-created_at"]
        indexes = [models.Index(fields=["team", "-confirmed_at"], name="batches_of_a_team")]

    def __str__(self) -> str:
        return f"{self.kind} {self.created_at:%Y-%m-%d %H:%M} UTC"


class CallQuerySet(TeamScoped):
    team_path = "account__team"

    def effects_without_answer(self) -> CallQuerySet:
        """Effects that left us and of which nobody knows whether the vendor will yet carry them out."""
        unanswered = Q(outcome__in=[Call.Outcome.OPEN, Call.Outcome.NO_ANSWER, Call.Outcome.LOST])
        unclear = Q(outcome=Call.Outcome.ANSWERED) & (Q(status__gte=500) | Q(status__gte=300, status__lt=400))
        found: CallQuerySet = self.filter(unanswered | unclear, is_effect=True, sent_at__isnull=False)
        return found


class Call(models.Model):
    """One HTTP exchange, written before it is sent. Secrets are masked; the bodies are encrypted and may be erased.

    The first row of a claim is also its lease and its fence: it exists before anything is sent (`sent_at` empty), it counts
    as under way until `ended_at` or `lease_until`, and only who holds it may settle. Further exchanges of the same claim
    point at it by `lead`.

    A call with `behind` was claimed while all places at the vendor were taken: it begins when that call has its answer, and
    counts as under way once that one no longer does.
    """

    class Outcome(models.TextChoices):
        OPEN = "", "Under way"
        ANSWERED = "answered", "Answered"
        UNAVAILABLE = "unavailable", "Not reached"
        NO_ANSWER = "no_answer", "No readable answer"
        NOT_SENT = "not_sent", "Nothing was sent"
        LOST = "lost", "The worker was lost"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="calls")
    lead = models.ForeignKey("self", on_delete=models.CASCADE, null=True, related_name="parts")
    verb = models.CharField(max_length=30)
    behind = models.UUIDField(null=True)  # a call's id
    group = models.UUIDField(null=True, db_index=True)
    is_effect = models.BooleanField(default=False)
    is_repeat = models.BooleanField(default=False)
    worker = models.CharField(max_length=150, blank=True)
    claimed_at = models.DateTimeField()
    lease_until = models.DateTimeField()
    sent_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    outcome = models.CharField(max_length=20, choices=Outcome, blank=True, default=Outcome.OPEN)
    method = models.CharField(max_length=10, blank=True)
    url = models.TextField("URL", blank=True)
    request_headers = models.JSONField(default=dict, blank=True)
    request_body = EncryptedTextField(blank=True, default="")
    status = models.PositiveSmallIntegerField(null=True)
    response_headers = models.JSONField(default=dict, blank=True)
    response_body = EncryptedTextField(blank=True, default="")
    error = models.TextField(blank=True)

    objects = CallQuerySet.as_manager()

    class Meta:
        ordering = ["-claimed_at"]
        indexes = [
            models.Index(fields=["account", "lease_until"], condition=Q(ended_at__isnull=True), name="calls_under_way"),
            models.Index(
                fields=["account", "-ended_at"], condition=Q(status__gte=200, status__lt=300), name="calls_taken_well"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.method} {self.url}".strip() or self.verb


class Action(models.Model):
    """One intended effect on one target, with who asked and why. `id` is the reference that the vendor also gets."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="actions")
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="actions")
    batch = models.ForeignKey(Batch, on_delete=models.PROTECT, null=True, blank=True, related_name="actions")
    verb = models.CharField(max_length=30)
    delivery = models.ForeignKey(Delivery, on_delete=models.PROTECT, null=True, blank=True, related_name="actions")
    session = models.ForeignKey(Session, on_delete=models.PROTECT, null=True, blank=True, related_name="actions")
    exam = models.ForeignKey(Exam, on_delete=models.PROTECT, null=True, blank=True, related_name="actions")
    invitation = models.ForeignKey(Invitation, on_delete=models.PROTECT, null=True, blank=True, related_name="actions")
    group = models.UUIDField(db_index=True)
    payload = EncryptedJSONField(default=dict)
    result = models.JSONField(default=dict, blank=True)
    state = models.CharField(max_length=20, choices=ActionState, default=ActionState.QUEUED)
    attention = models.CharField(max_length=20, choices=Attention, blank=True, default="")
    message = models.TextField(blank=True)
    priority = models.SmallIntegerField(default=5)
    due_at = models.DateTimeField()
    tries = models.PositiveSmallIntegerField(default=0)
    may_have_acted = models.BooleanField(default=False)  # an earlier call got no readable answer
    call = models.ForeignKey(Call, on_delete=models.SET_NULL, null=True, blank=True, related_name="actions")
    sent_at = models.DateTimeField(null=True)
    look_due_at = models.DateTimeField(null=True)
    looked_at = models.DateTimeField(null=True)
    looks_absent = models.PositiveSmallIntegerField(default=0)
    choices = EncryptedJSONField(null=True)
    kept = EncryptedJSONField(null=True)  # what was there before and after, for a dispute
    by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    reason = models.TextField(blank=True)
    created_at = models.DateTimeField()
    changed_at = models.DateTimeField()

    objects = TeamScoped.as_manager()

    class Meta:
        ordering = ["-created_at", "id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(delivery__isnull=False, session__isnull=True, exam__isnull=True, invitation__isnull=True)
                | Q(delivery__isnull=True, session__isnull=False, exam__isnull=True, invitation__isnull=True)
                | Q(delivery__isnull=True, session__isnull=True, exam__isnull=False, invitation__isnull=True)
                | Q(delivery__isnull=True, session__isnull=True, exam__isnull=True, invitation__isnull=False),
                name="an_action_has_one_target",
            ),
            models.UniqueConstraint(
                fields=["delivery"], condition=Q(state__in=OPEN_STATES), name="one_open_action_a_delivery"
            ),
            models.UniqueConstraint(
                fields=["session"], condition=Q(state__in=OPEN_STATES), name="one_open_action_a_session"
            ),
            models.UniqueConstraint(
                fields=["exam"], condition=Q(state__in=OPEN_STATES), name="one_open_action_an_exam"
            ),
            models.UniqueConstraint(
                fields=["invitation"], condition=Q(state__in=OPEN_STATES), name="one_open_action_an_invitation"
            ),
        ]
        indexes = [
            models.Index(
                fields=["account", "priority", "due_at", "id"], condition=Q(state="queued"), name="actions_to_send"
            ),
            models.Index(
                fields=["account", "look_due_at"], condition=Q(look_due_at__isnull=False), name="actions_to_look_up"
            ),
            models.Index(fields=["batch", "changed_at"], name="actions_of_a_batch"),
            models.Index(
                fields=["team", "state"],
                condition=Q(state__in=["unknown", "needs_attention"]),
                name="actions_to_attend",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.verb} · {self.get_state_display()}"

    @property
    def target_kind(self) -> str:
        kinds = ("delivery", "session", "exam", "invitation")
        return next(kind for kind in kinds if getattr(self, f"{kind}_id"))

    @property
    def target_id(self) -> uuid.UUID | None:
        return self.delivery_id or self.session_id or self.exam_id or self.invitation_id
