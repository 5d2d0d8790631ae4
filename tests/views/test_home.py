from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from proctoring.models import ActionState, DeliveryState, Exam, User
from tests import factories
from tests.views.conftest import Office


def home(client: Client) -> str:
    return client.get(reverse("home")).content.decode()


class TestHome:
    def test_shows_the_window_in_the_viewers_zone_and_in_the_exams_own(self, office: Office) -> None:
        starts = datetime.now(UTC).replace(hour=10, minute=0) + timedelta(days=2)
        Exam.objects.filter(pk=office.exam.pk).update(
            starts_at=starts, ends_at=starts + timedelta(hours=2), time_zone="Asia/Tokyo"
        )
        User.objects.filter(pk=office.members["viewer"].pk).update(time_zone="Asia/Kolkata")

        page = home(office.as_("viewer"))

        assert "15:30 – 17:30 IST" in page
        assert "19:00 – 21:00 JST in Asia/Tokyo" in page

    def test_counts_deliveries_and_what_needs_a_decision(self, office: Office) -> None:
        candidates = factories.make_candidates(office.team, 3)
        factories.make_delivery(office.exam, candidates[0], state=DeliveryState.CREATED)
        factories.make_delivery(office.exam, candidates[1], state=DeliveryState.CANCELLED)
        office.stopped(candidate=candidates[2])

        page = home(office.as_("coordinator"))

        assert "1 of 2 created" in page
        assert "delivery needs a decision" in page

    def test_leaves_out_exams_that_closed_or_open_late(self, office: Office) -> None:
        now = datetime.now(UTC)
        factories.make_exam(office.account, title="Closed", ends_at=now - timedelta(minutes=1))
        factories.make_exam(office.account, title="Far away", starts_at=now + timedelta(days=40))

        page = home(office.as_("coordinator"))

        assert "Widgets" in page
        assert "Closed" not in page
        assert "Far away" not in page

    def test_says_when_an_account_that_nobody_tested_last_answered_well(self, office: Office) -> None:
        before = home(office.as_("viewer"))
        at = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
        factories.make_call(office.account, ended_at=at)
        factories.make_call(office.account, ended_at=at + timedelta(hours=1), status=500)

        page = home(office.as_("viewer"))

        assert "Not tested yet" in before
        assert "Not tested yet" not in page
        assert "Answered last" in page
        assert "1 Mar 2026, 12:00 UTC" in page

    def test_says_that_an_account_is_paused_and_why(self, office: Office) -> None:
        office.account.paused_at = datetime.now(UTC)
        office.account.pause_reason = "The token was refused."
        office.account.save()

        page = home(office.as_("viewer"))

        assert "account is paused" in page
        assert "The token was refused." in page

    def test_shows_nothing_of_another_team(self, office: Office) -> None:
        office.batch(1)

        page = home(office.as_stranger())

        assert "Widgets" not in page
        assert "Scorpion" not in page

    @pytest.mark.parametrize(
        ("role", "words"),
        [("administrator", "Begin with an account"), ("coordinator", "Ask an administrator of Empty")],
    )
    def test_says_where_to_begin(self, office: Office, role: str, words: str) -> None:
        team = factories.make_team("Empty")
        client = Client()
        client.force_login(factories.make_user(team=team, role=role))

        assert words in home(client)

    def test_takes_as_many_queries_for_many_rows_as_for_few(
        self, office: Office, django_assert_max_num_queries: DjangoAssertNumQueries
    ) -> None:
        client = office.as_("coordinator")
        office.batch(2)
        office.stopped()
        with django_assert_max_num_queries(40) as few:
            home(client)
        for _ in range(5):
            factories.make_exam(factories.make_account(office.team))
            office.batch(3)
            office.stopped(state=ActionState.NEEDS_ATTENTION, attention="refused")

        with django_assert_max_num_queries(len(few)):
            home(client)
