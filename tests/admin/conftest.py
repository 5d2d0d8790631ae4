"""A team with one of everything, its people, and a stranger from another team."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from django.db.models import Model
from django.test import Client

from proctoring.models import Account, ActionState, Candidate, Delivery, DeliveryState, Exam, Role, Team, User
from tests import factories


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """One team's rows. `rows` has one of every model that the admin shows."""

    team: Team
    account: Account
    exam: Exam
    candidate: Candidate
    delivery: Delivery
    rows: dict[str, Model]
    members: dict[str, User]
    stranger: User
    superuser: User


@pytest.fixture
def world(db: None) -> World:
    team = factories.make_team("Ours")
    members = {role.value: factories.make_user(role=role, team=team, username=f"our-{role.value}") for role in Role}
    account = factories.make_account(team, name="Our account")
    exam = factories.make_exam(account, title="Our exam")
    candidate = factories.make_candidate(team, first_name="Grace", last_name="Hopper", email="grace@example.com")
    delivery = factories.make_delivery(exam, candidate, state=DeliveryState.CREATED)
    action = factories.make_action(delivery, state=ActionState.DONE)
    rows: dict[str, Model] = {
        "team": team,
        "user": members[Role.VIEWER],
        "account": account,
        "exam": exam,
        "candidate": candidate,
        "delivery": delivery,
        "action": action,
        "call": factories.make_call(
            account, actions=[action], request_body='{"examinee_info":{"Email":"grace@example.com"}}'
        ),
        "batch": factories.make_batch(exam, by=members[Role.COORDINATOR], plan={"rows": ["grace@example.com"]}),
        "session": factories.make_session(exam, candidate=candidate, name="Our session"),
        "journalentry": factories.make_entry(delivery, by=members[Role.COORDINATOR]),
    }
    return World(
        team=team,
        account=account,
        exam=exam,
        candidate=candidate,
        delivery=delivery,
        rows=rows,
        members=members,
        stranger=factories.make_user(
            role=Role.ADMINISTRATOR, team=factories.make_team("Theirs"), username="a-stranger"
        ),
        superuser=factories.make_user(role=None, username="root", is_superuser=True),
    )


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client
