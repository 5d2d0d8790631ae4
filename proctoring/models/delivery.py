"""Deliveries: one exam for one candidate, one attempt."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import Q

from proctoring.models.candidate import Candidate
from proctoring.models.exam import Exam
from proctoring.models.fields import EncryptedJSONField, EncryptedTextField
from proctoring.models.team import Team, TeamScoped


class DeliveryState(models.TextChoices):
    REQUESTED = "requested", "Requested"
    CREATED = "created", "Created"
    CANCELLED = "cancelled", "Cancelled"


CODE_LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's: no I, L, O, U
CODE_BITS = 40


def code_of(delivery_id: uuid.UUID) -> str:
    number = delivery_id.int >> (128 - CODE_BITS)
    letters = [CODE_LETTERS[(number >> shift) & 31] for shift in range(CODE_BITS - 5, -1, -5)]
    return "".join(letters[:4]) + "-" + "".join(letters[4:])


def ids_of_code(code: str) -> tuple[uuid.UUID, uuid.UUID] | None:
    """The first and last delivery id that a spoken code can mean; None where it is no code."""
    heard = code.upper().replace("-", "").replace(" ", "").translate(str.maketrans("OIL", "011"))
    if len(heard) != CODE_BITS // 5 or any(letter not in CODE_LETTERS for letter in heard):
        return None
    number = 0
    for letter in heard:
        number = number << 5 | CODE_LETTERS.index(letter)
    low = number << (128 - CODE_BITS)
    return uuid.UUID(int=low), uuid.UUID(int=low | (1 << (128 - CODE_BITS)) - 1)


class DeliveryQuerySet(TeamScoped):
    def with_code(self, code: str) -> DeliveryQuerySet:
        """Those whose short reference this is; in practice one."""
        bounds = ids_of_code(code)
        found: DeliveryQuerySet = self.filter(pk__range=bounds) if bounds else self.none()
        return found


class Delivery(models.Model):
    """What a vendor was asked to set up for one candidate, and the links it gave. The links are secrets."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="deliveries")
    exam = models.ForeignKey(Exam, on_delete=models.PROTECT, related_name="deliveries")
    candidate = models.ForeignKey(Candidate, on_delete=models.PROTECT, related_name="deliveries")
    attempt = models.PositiveSmallIntegerField(default=1)
    state = models.CharField(max_length=20, choices=DeliveryState, default=DeliveryState.REQUESTED)
    ref = models.CharField("vendor's id", max_length=500, blank=True)
    person_ref = models.CharField("vendor's id for the candidate", max_length=500, blank=True)
    take_url = EncryptedTextField("take link", blank=True, default="")
    proctor_url = EncryptedTextField("proctor link", blank=True, default="")
    note = models.TextField(blank=True)
    options = EncryptedJSONField(default=dict, blank=True)
    is_arranged_by_hand = models.BooleanField(default=False)
    link_version = models.PositiveIntegerField(default=1)
    opened_at = models.DateTimeField("first opened", null=True, blank=True)
    last_opened_at = models.DateTimeField(null=True, blank=True)
    times_opened = models.PositiveIntegerField(default=0)
    is_revoked = models.BooleanField("candidate link revoked", default=False)
    requested_at = models.DateTimeField()
    created_at = models.DateTimeField(null=True, blank=True)
    cancelled_at = models.DateTimeField(null=True, blank=True)

    objects = DeliveryQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "deliveries"
        ordering = ["-requested_at", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["exam", "candidate", "attempt"],
                condition=~Q(state="cancelled"),
                name="one_delivery_an_attempt",
            )
        ]
        indexes = [
            models.Index(fields=["team"], condition=Q(state="created", take_url=""), name="deliveries_without_link")
        ]

    def __str__(self) -> str:
        return f"{self.candidate} · {self.exam} · attempt {self.attempt}"

    @property
    def code(self) -> str:
        """The short reference that a caller can say: eight letters and digits, none of which sound or look alike."""
        return code_of(self.id)

    @property
    def links_missing(self) -> bool:
        return self.state == DeliveryState.CREATED and not self.take_url
