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
READ_ONLY = ["action", "batch", "call", "delivery", "journalentry", "session"]
SECRETS = [factories.TOKEN, "proctor-secret"]


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

    def test_asks_a_visitor_to_sign_in(self, world: World) -> None:
        for model in MODELS:
            response = Client().get(url(model, "change", world.rows[model].pk))

            assert response.status_code == 302
            assert response.headers["Location"].startswith("/admin/login/")

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
    @pytest.mark.parametrize("role", [role.value for role in Role])
    @pytest.mark.parametrize("model", MODELS)
    def test_see_every_list_and_every_row(self, world: World, role: str, model: str) -> None:
        client = signed_in(world.members[role])

        listed = client.get(url(model, "changelist"))
        shown = client.get(url(model, "change", world.rows[model].pk))

        assert listed.status_code == shown.status_code == 200
        for secret in SECRETS:
            assert secret not in listed.content.decode() + shown.content.decode()

    @pytest.mark.parametrize(
        ("model", "adders"),
        [
            ("candidate", {"coordinator", "lead", "administrator"}),
            ("exam", {"coordinator", "lead", "administrator"}),
            ("account", {"administrator"}),
            ("user", {"administrator"}),
            ("team", set()),
            *[(model, set()) for model in READ_ONLY],
        ],
    )
    def test_add_what_their_role_allows(self, world: World, model: str, adders: set[str]) -> None:
        for role, member in world.members.items():
            response = signed_in(member).get(url(model, "add"))

            assert response.status_code == (200 if role in adders else 403), role

    @pytest.mark.parametrize(
        ("model", "changers"),
        [
            ("candidate", {"coordinator", "lead", "administrator"}),
            ("exam", {"coordinator", "lead", "administrator"}),
            ("account", {"administrator"}),
            ("team", {"administrator"}),
            *[(model, set()) for model in READ_ONLY],
        ],
    )
    def test_change_what_their_role_allows(self, world: World, model: str, changers: set[str]) -> None:
        for role, member in world.members.items():
            client = signed_in(member)
            address = url(model, "change", world.rows[model].pk)

            has_button = 'name="_save"' in client.get(address).content.decode()
            posted = client.post(address, {})

            assert has_button == (role in changers), role
            assert (posted.status_code == 403) == (role not in changers), role

    def test_delete_nothing(self, world: World) -> None:
        client = signed_in(world.superuser)

        for model in MODELS:
            assert client.post(url(model, "delete", world.rows[model].pk), {"post": "yes"}).status_code == 403

    def test_read_the_journal_of_a_row_as_its_history(self, world: World) -> None:
        page = signed_in(world.members[Role.VIEWER]).get(url("delivery", "history", world.delivery.pk)).content.decode()

        assert "Delivery asked for" in page


class TestReadOnly:
    @pytest.mark.parametrize("model", READ_ONLY)
    def test_holds_for_a_superuser_too(self, world: World, model: str) -> None:
        client = signed_in(world.superuser)

        assert client.get(url(model, "add")).status_code == 403
        assert client.post(url(model, "change", world.rows[model].pk), {}).status_code == 403
        assert 'name="_save"' not in client.get(url(model, "change", world.rows[model].pk)).content.decode()


class TestStrangers:
    @pytest.mark.parametrize("model", MODELS)
    def test_get_404_on_every_page_of_a_row(self, world: World, model: str) -> None:
        client = signed_in(world.stranger)
        pk = world.rows[model].pk

        for page in ("change", "history", "delete"):
            assert client.get(url(model, page, pk)).status_code == 404
            assert client.post(url(model, page, pk), {"post": "yes"}).status_code == 404 or page == "history"
        assert client.get(url(model, "change", pk), {"_popup": "1"}).status_code == 404

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

    def test_post_to_no_page_of_ours(self, world: World) -> None:
        client = signed_in(world.stranger)

        assert client.post(url("account", "check", world.account.pk)).status_code == 404
        assert client.post(url("delivery", "proctor_link", world.delivery.pk)).status_code == 404
        assert client.get(f"/admin/proctoring/user/{world.members['viewer'].pk}/password/").status_code == 404

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

    def test_without_any_team_see_nothing(self, world: World) -> None:
        client = signed_in(factories.make_user(role=None))

        for model in MODELS:
            assert client.get(url(model, "changelist")).status_code in (200, 403)
            assert client.get(url(model, "change", world.rows[model].pk)).status_code == 404


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
