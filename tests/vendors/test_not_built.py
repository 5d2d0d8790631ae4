"""Whose lack it is, is said: the vendor's, or this console's."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.test import Client
from django.urls import reverse

from proctoring import exams, planning, sessions
from proctoring.models import Role, Team
from proctoring.vendors import registry
from proctoring.vendors.base import Verb
from tests import factories
from tests.commands.console import say

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
NOT_YET = "but this console does not do that yet."


@pytest.fixture
def team(db: None) -> Team:
    return factories.make_team()


@pytest.mark.parametrize("vendor", registry.VENDORS)
def test_nothing_is_offered_and_called_not_built(vendor: str) -> None:
    facts = registry.facts(vendor)

    assert not facts.not_built & set(facts.capabilities)


@pytest.mark.parametrize(
    ("vendor", "is_there"), [("campfire", True), ("proctorexam", True), ("smarterproctoring", True)]
)
def test_of_creating_deliveries(team: Team, vendor: str, is_there: bool) -> None:
    exam = factories.make_exam(factories.make_account(team, vendor=vendor))

    assert planning.refusal(exam, NOW).endswith(NOT_YET) is is_there


@pytest.mark.parametrize(
    ("vendor", "verb", "is_there"),
    [
        ("smarterproctoring", Verb.RESET, True),
        ("smarterproctoring", Verb.REOPEN, False),
        ("proctorexam", Verb.RETAKE, True),
        ("proctorexam", Verb.RESET, False),
        ("scorpion", Verb.RESET, False),
        ("cirrus", Verb.REOPEN, False),
    ],
)
def test_of_what_is_done_to_a_session(team: Team, vendor: str, verb: Verb, is_there: bool) -> None:
    sentence = sessions.refusal(factories.make_account(team, vendor=vendor), verb)

    assert sentence.endswith(NOT_YET) is is_there
    assert ("has no call to" in sentence) is not is_there


@pytest.mark.parametrize(("vendor", "is_there"), [("scorpion", False), ("campfire", False), ("cirrus", False)])
def test_of_sending_an_exam(team: Team, vendor: str, is_there: bool) -> None:
    exam = factories.make_exam(factories.make_account(team, vendor=vendor), ref="")

    assert exams.preview(exam, now=NOW).why_not.endswith(NOT_YET) is is_there


@pytest.mark.parametrize(("vendor", "is_there"), [("scorpion", True), ("cirrus", False), ("proctorexam", True)])
def test_of_listing_sessions_by_command(team: Team, vendor: str, is_there: bool) -> None:
    account = factories.make_account(team, vendor=vendor, name="Theirs")

    said = say("sync", account.name)

    assert said.error is not None
    assert said.error.endswith(NOT_YET) is is_there


def test_of_the_state_on_the_board(team: Team) -> None:
    for vendor in ("cirrus", "proctorexam"):
        factories.make_account(team, vendor=vendor, name=f"At {vendor}")
    client = Client()
    client.force_login(factories.make_user(role=Role.VIEWER, team=team))

    page = " ".join(client.get(reverse("sessions")).content.decode().split())

    assert "Not read by this console yet: At proctorexam (ProctorExam)." in page
    assert "Not reported by this vendor: At cirrus (Cirrus)." in page
