"""The people who sit exams."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from django.core.validators import MaxValueValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower

from proctoring.models.account import Account
from proctoring.models.team import Team, TeamScoped, validate_time_zone


class CandidateQuerySet(TeamScoped):
    def with_emails(self, emails: Sequence[str]) -> CandidateQuerySet:
        """Those whose e-mail address, in lower case, is one of these."""
        found: CandidateQuerySet = self.alias(lower_email=Lower("email")).filter(lower_email__in=emails)
        return found

    def matching(self, words: str) -> CandidateQuerySet:
        """Those in whom every word is found: in a name, the e-mail address, the phone number or the external id."""
        found = self
        for word in words.split()[:8]:
            found = found.filter(
                Q(first_name__icontains=word)
                | Q(last_name__icontains=word)
                | Q(email__icontains=word)
                | Q(external_id__icontains=word)
                | Q(phone__icontains=word)
            )
        return found


class Candidate(models.Model):
    """One person in one team. `id` is the stable identifier that vendors get wherever they have a field for one."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="candidates")
    first_name = models.CharField(max_length=150)
    last_name = models.CharField(max_length=150)
    email = models.EmailField("e-mail", max_length=254)
    phone = models.CharField(max_length=50, blank=True)
    external_id = models.CharField(max_length=255, blank=True, help_text="Your own number for this person.")
    time_zone = models.CharField(max_length=64, blank=True, validators=[validate_time_zone])
    language = models.CharField(max_length=35, blank=True)
    special_needs = models.BooleanField(default=False)
    extra_time_percent = models.PositiveSmallIntegerField(
        "extra time (%)", default=0, validators=[MaxValueValidator(999)]
    )
    created_at = models.DateTimeField(auto_now_add=True)

    objects = CandidateQuerySet.as_manager()

    class Meta:
        ordering = ["last_name", "first_name", "id"]
        constraints = [
            models.UniqueConstraint(
                "team",
                Lower("email"),
                name="one_candidate_an_email_in_a_team",
                violation_error_message="Another candidate of this team has this e-mail address.",
            ),
            models.UniqueConstraint(
                fields=["team", "external_id"],
                condition=~Q(external_id=""),
                name="one_candidate_an_external_id_in_a_team",
                violation_error_message="Another candidate of this team has this external id.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.first_name} {self.last_name}".strip()

    @property
    def has_accommodation(self) -> bool:
        return self.special_needs or self.extra_time_percent > 0


class CandidateReference(models.Model):
    """The vendor's own id for a candidate at one account."""

    candidate = models.ForeignKey(Candidate, on_delete=models.CASCADE, related_name="references")
    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="+")
    ref = models.CharField(max_length=500)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["candidate", "account"], name="one_reference_at_an_account")]

    def __str__(self) -> str:
        return self.ref
