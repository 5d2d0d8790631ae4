from __future__ import annotations

import json
import re
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group
from django.test import Client
from django.urls import reverse

from proctoring.models import Account, ActionState, Candidate, DeliveryState, Membership, Role, Team, User
from tests import factories
from tests.admin.conftest import World, signed_in

pytestmark = pytest.mark.django_db

MODELS = [
    "account",
    "action",
    "batch",
    "call",
    "candidate",
    "delivery",
    "exam",
    "journalentry",
    "session",
    "team",
    "user",
]


def url(model: str, page: str, *args: Any) -> str:
    return reverse(f"admin:proctoring_{model}_{page}", args=args)


class TestSite:
    def test_shows_every_model_that_is_not_a_mere_part_of_another(self) -> None:
        ours = {model._meta.model_name for model in admin.site._registry if model._meta.app_label == "proctoring"}

        assert ours == set(MODELS)
        assert not admin.site.is_registered(Group)

    def test_sends_its_index_to_the_home_page(self, world: World) -> None:
        client = signed_in(world.members[Role.VIEWER])

        assert client.get("/admin/").headers["Location"] == reverse("home")
        assert client.get("/admin/proctoring/").headers["Location"] == reverse("home")

    def test_has_a_login_page_with_a_name(self) -> None:
        page = Client().get("/admin/login/").content.decode()

        assert "Proctoring console" in page
        assert 'name="password"' in page

    def test_counts_what_waits_for_a_person_in_the_navigation(self, world: World) -> None:
        candidate = factories.make_candidate(world.team)
        delivery = factories.make_delivery(world.exam, candidate)
        factories.make_action(delivery, state=ActionState.UNKNOWN)

        page = signed_in(world.members[Role.VIEWER]).get(url("exam", "changelist")).content.decode()

        assert re.search(r"Needs attention.*?<span[^>]*>\s*1\s*</span>", page, re.DOTALL)


class TestMembers:
    def test_read_the_journal_of_a_row_as_its_history(self, world: World) -> None:
        page = signed_in(world.members[Role.VIEWER]).get(url("delivery", "history", world.delivery.pk)).content.decode()

        assert "Delivery asked for" in page


class TestStrangers:
    @pytest.mark.parametrize("model", MODELS)
    def test_find_nothing_in_the_lists(self, world: World, model: str) -> None:
        client = signed_in(world.stranger)

        for query in ({}, {"q": "Hopper"}, {"q": str(world.rows[model].pk)}, {"all": ""}):
            page = client.get(url(model, "changelist"), query).content.decode()

            assert str(world.rows[model].pk) not in re.findall(r"/admin/proctoring/\w+/([^/]+)/change/", page)
            assert "Our exam" not in page
            assert "Our account" not in page
            assert "our-" not in page

    @pytest.mark.parametrize("model", MODELS)
    def test_reach_no_row_through_another_field(self, world: World, model: str) -> None:
        client = signed_in(world.stranger)

        for field in ("id", "team", "exam", "username", "name"):
            response = client.get(url(model, "change", world.rows[model].pk), {"_to_field": field})

            assert response.status_code in (400, 404)

    def test_choose_no_foreign_rows_in_actions(self, world: World) -> None:
        client = signed_in(world.stranger)
        waiting = factories.make_delivery(world.exam, factories.make_candidate(world.team))
        action = factories.make_action(waiting)

        for model, name in (("candidate", "deliver"), ("exam", "deliver"), ("delivery", "cancel_waiting")):
            data = {"action": name, "_selected_action": [str(world.rows[model].pk), str(waiting.pk)], "confirmed": "1"}
            client.post(url(model, "changelist"), {**data, "reason": "Mine now", "select_across": "1"})

        action.refresh_from_db()
        assert action.state == ActionState.QUEUED
        assert "deliver_candidates" not in client.session

    def test_learn_nothing_from_autocompletion(self, world: World) -> None:
        client = signed_in(world.stranger)
        fields = [
            ("exam", "account"),
            ("delivery", "exam"),
            ("delivery", "candidate"),
            ("action", "account"),
            ("action", "delivery"),
            ("action", "batch"),
            ("membership", "user"),
            ("membership", "team"),
            ("candidatereference", "candidate"),
            ("session", "delivery"),
        ]

        for model, field in fields:
            query = {"app_label": "proctoring", "model_name": model, "field_name": field, "term": ""}
            response = client.get("/admin/autocomplete/", query)

            found = json.loads(response.content)["results"] if response.status_code == 200 else []
            assert {item["id"] for item in found} <= {str(world.stranger.pk), str(_team_of(world.stranger).pk)}

    def test_are_offered_none_of_our_rows_in_forms(self, world: World) -> None:
        client = signed_in(world.stranger)

        for page in (url("candidate", "add"), url("exam", "add"), url("account", "add"), url("user", "add")):
            text = client.get(page).content.decode()

            assert "Ours" not in text
            assert "Our account" not in text

    def test_add_nothing_to_our_team(self, world: World) -> None:
        client = signed_in(world.stranger)
        person = {"first_name": "Eve", "last_name": "X", "email": "eve@example.com", "extra_time_percent": "0"}

        client.post(url("candidate", "add"), {**person, "team": str(world.team.pk)})
        asked = [
            client.get(url("exam", "add"), {"account": str(world.account.pk)}),
            client.get(url("account", "add"), {"team": str(world.team.pk), "vendor": "scorpion"}),
        ]

        assert not Candidate.objects.filter(email="eve@example.com").exists()
        assert [response.status_code for response in asked] == [404, 404]

    def test_cannot_probe_passwords_or_other_teams_through_filters(self, world: World) -> None:
        client = signed_in(world.stranger)

        for model, query in (
            ("user", "password__startswith"),
            ("user", "memberships__team"),
            ("action", "by__password__startswith"),
            ("delivery", "exam__account__name__startswith"),
        ):
            response = client.get(url(model, "changelist"), {query: "pbkdf2"})

            assert response.status_code in (302, 400)


def _team_of(user: Any) -> Team:
    return Membership.objects.get(user=user).team


class TestLists:
    @pytest.mark.parametrize("model", MODELS)
    def test_take_a_constant_number_of_queries(
        self, world: World, model: str, django_assert_max_num_queries: Any
    ) -> None:
        client = signed_in(world.members[Role.ADMINISTRATOR])
        _fill(world, 3)
        few = _queries(client, url(model, "changelist"))

        _fill(world, 27)

        with django_assert_max_num_queries(few):
            response = client.get(url(model, "changelist"))
        assert response.status_code == 200

    @pytest.mark.parametrize("model", MODELS)
    def test_can_be_searched_and_filtered_without_an_error(self, world: World, model: str) -> None:
        client = signed_in(world.members[Role.VIEWER])
        model_admin = next(page for kind, page in admin.site._registry.items() if kind._meta.model_name == model)

        response = client.get(url(model, "changelist"), {"q": "our’s “x” 😀"})

        assert response.status_code == 200
        assert model_admin.search_fields
        assert model_admin.list_per_page == 50

    def test_say_what_to_do_when_they_are_empty(self, world: World) -> None:
        page = signed_in(world.stranger).get(url("account", "changelist")).content.decode()

        assert "An administrator of the team adds one" in page

    def test_say_yes_and_no_in_words_without_an_alarm(self, world: World) -> None:
        """One person may sign in, another may not: neither is a fault."""
        User.objects.filter(pk=world.members[Role.LEAD].pk).update(is_active=False)

        page = signed_in(world.superuser).get(url("user", "changelist")).content.decode()
        delivery = signed_in(world.superuser).get(url("delivery", "change", world.delivery.pk)).content.decode()

        assert "<span>Yes</span>" in page
        assert "<span>No</span>" in page
        assert "close_small" not in page + delivery

    def test_show_times_in_the_viewers_zone_with_its_name(self, world: World) -> None:
        viewer = factories.make_user(role=Role.VIEWER, team=world.team, time_zone="Asia/Tokyo")

        page = signed_in(viewer).get(url("delivery", "changelist")).content.decode()

        assert "JST" in page


def _queries(client: Client, address: str) -> int:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    client.get(address)
    with CaptureQueriesContext(connection) as queries:
        client.get(address)
    return len(queries)


def _fill(world: World, number: int) -> None:
    for _ in range(number):
        account = factories.make_account(world.team)
        exam = factories.make_exam(account)
        candidate = factories.make_candidate(world.team)
        delivery = factories.make_delivery(exam, candidate, state=DeliveryState.CREATED)
        user = factories.make_user(team=world.team)
        batch = factories.make_batch(exam, by=user)
        action = factories.make_action(delivery, state=ActionState.DONE, batch=batch, by=user)
        factories.make_call(account, actions=[action])
        factories.make_session(exam, candidate=candidate)
        factories.make_entry(delivery, by=user)
        Membership.objects.create(user=user, team=factories.make_team(), role=Role.VIEWER)
    assert Account.objects.filter(team=world.team).count() > number
