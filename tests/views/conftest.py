"""A team with an account and an exam, its people by role, and a stranger who belongs to another team."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from proctoring import deliveries, planning
from proctoring.models import Account, Action, ActionState, Batch, Candidate, DeliveryState, Exam, Role, Team, User
from tests import factories


@dataclass(frozen=True, slots=True, kw_only=True)
class Office:
    team: Team
    account: Account
    exam: Exam
    members: dict[str, User]
    stranger: User

    def as_(self, role: str) -> Client:
        client = Client()
        client.force_login(self.members[role])
        return client

    def as_stranger(self) -> Client:
        client = Client()
        client.force_login(self.stranger)
        return client

    def draft(self, candidates: Sequence[Candidate], **kw: Any) -> Batch:
        plan = planning.plan_candidates(self.exam, candidates, now=datetime.now(UTC), options={}, **kw)
        return deliveries.draft(plan, exam=self.exam, by=self.members["coordinator"], now=datetime.now(UTC))

    def batch(self, number: int) -> Batch:
        """A confirmed batch whose actions wait."""
        people = factories.make_candidates(self.team, number)
        return deliveries.request(self.draft(people), by=self.members["coordinator"], now=datetime.now(UTC))

    def post_roster(self, client: Client, text: str, **fields: Any) -> Any:
        file = SimpleUploadedFile("roster.csv", text.encode())
        data = {"exam": str(self.exam.pk), "mode": "first", "source": "file", "roster": file, **fields}
        return client.post(reverse("deliver"), data)

    def stopped(self, *, state: str = ActionState.UNKNOWN, **kw: Any) -> Action:
        candidate = kw.pop("candidate", None) or factories.make_candidate(self.team)
        delivery = factories.make_delivery(self.exam, candidate, requested_at=datetime.now(UTC))
        message = kw.pop("message", "The vendor answered 500.")
        return factories.make_action(delivery, state=state, message=message, sent_at=datetime.now(UTC), **kw)


def settle(action: Action, state: str = ActionState.DONE, **kw: Any) -> None:
    """What a worker does to a row, without one."""
    Action.objects.filter(pk=action.pk).update(state=state, changed_at=datetime.now(UTC), **kw)
    if state == ActionState.DONE:
        assert action.delivery is not None
        type(action.delivery).objects.filter(pk=action.delivery.pk).update(
            state=DeliveryState.CREATED, take_url=factories.TAKE_URL, proctor_url=factories.PROCTOR_URL
        )


@pytest.fixture
def office(db: None) -> Office:
    team = factories.make_team("Northern exams")
    account = factories.make_account(team, name="Scorpion")
    members = {role.value: factories.make_user(role=role, team=team, username=f"the-{role.value}") for role in Role}
    elsewhere = factories.make_team("Elsewhere")
    return Office(
        team=team,
        account=account,
        exam=factories.make_exam(account, title="Widgets"),
        members=members,
        stranger=factories.make_user(role=Role.ADMINISTRATOR, team=elsewhere, username="the-stranger"),
    )
