from __future__ import annotations

import pytest
from django.urls import reverse

from proctoring.models import Action, Call, Role
from tests import factories
from tests.admin.conftest import World, signed_in

pytestmark = pytest.mark.django_db


def page_of(world: World, role: str, model: str) -> str:
    address = reverse(f"admin:proctoring_{model}_change", args=[world.rows[model].pk])
    return signed_in(world.members[role]).get(address).content.decode()


class TestContents:
    @pytest.mark.parametrize("model", ["action", "batch"])
    def test_are_shown_to_those_who_settle_disputes(self, world: World, model: str) -> None:
        assert "grace@example.com" in page_of(world, Role.LEAD, model)
        assert "grace@example.com" not in page_of(world, Role.COORDINATOR, model)

    def test_never_include_the_links_among_which_a_person_picks(self, world: World) -> None:
        Action.objects.update(choices=[{"ref": "r", "take_url": factories.TAKE_URL}])

        assert "take-secret" not in page_of(world, Role.ADMINISTRATOR, "action")


class TestCalls:
    def test_show_their_bodies_indented(self, world: World) -> None:
        page = page_of(world, Role.LEAD, "call")

        assert "&quot;examinee_info&quot;: {\n" in page

    def test_show_what_is_not_json_as_it_is_and_escaped(self, world: World) -> None:
        Call.objects.filter(pk=world.rows["call"].pk).update(response_body="<script>alert(1)</script>")

        page = page_of(world, Role.LEAD, "call")

        assert "&lt;script&gt;alert(1)" in page
        assert "<script>alert(1)" not in page


class TestBatches:
    def test_lead_to_their_own_page(self, world: World) -> None:
        assert reverse("batch", args=[world.rows["batch"].pk]) in page_of(world, Role.VIEWER, "batch")
