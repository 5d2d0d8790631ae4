from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.urls import reverse

from proctoring import invitations, links
from proctoring.models import Action, Call, Role, Session
from proctoring.vendors.base import Verb
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


class TestQuestions:
    """Keys are shown by a press on the session's own page, which the journal keeps."""

    def test_are_not_among_what_the_admin_shows_of_a_session(self, world: World) -> None:
        content = {"questions": {"items": [{"id": "the-key-is-b"}]}, "state": "as it was said"}
        session = world.rows["session"]
        assert isinstance(session, Session)
        session.content = content
        session.save()

        page = page_of(world, Role.ADMINISTRATOR, "session")

        assert "the-key-is-b" not in page
        assert "as it was said" in page
        assert "own page, and the journal keeps to whom" in page

    def test_are_not_among_what_calls_brought(self, world: World) -> None:
        changes = {"verb": Verb.READ_RESULTS.value, "response_body": '{"keys": "the-key-is-b"}'}
        Call.objects.filter(pk=world.rows["call"].pk).update(**changes)

        page = page_of(world, Role.VIEWER, "call")

        assert "the-key-is-b" not in page
        assert "own page, and the journal keeps to whom" in page


class TestMails:
    @pytest.fixture
    def action(self, world: World) -> Action:
        """A mail that was sent, with its call in the world's rows."""
        invitations.request([world.delivery], by=world.members[Role.COORDINATOR], now=datetime.now(UTC))
        action: Action = Action.objects.select_related("account", "invitation").get(verb=Verb.SEND_MESSAGE)
        sent = {"verb": Verb.SEND_MESSAGE, "request_body": action.invitation and action.invitation.text}
        world.rows.update(action=action, call=factories.make_call(action.account, actions=[action], **sent))
        return action

    @pytest.mark.parametrize("role", [Role.VIEWER, Role.LEAD])
    def test_are_read_on_their_own_page_by_those_who_may_have_the_candidates_link(
        self, world: World, action: Action, role: str
    ) -> None:
        assert links.token_of(world.delivery) in Call.objects.get(verb=Verb.SEND_MESSAGE).request_body

        page = page_of(world, role, "call")

        assert links.token_of(world.delivery) not in page
        assert reverse("invitation", args=[action.invitation_id]) in page

    def test_say_whom_they_are_for(self, world: World, action: Action) -> None:
        assert str(world.delivery) in page_of(world, Role.VIEWER, "action")


class TestBatches:
    def test_lead_to_their_own_page(self, world: World) -> None:
        assert reverse("batch", args=[world.rows["batch"].pk]) in page_of(world, Role.VIEWER, "batch")
