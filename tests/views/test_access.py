"""Who comes in, and what those see who do not."""

from __future__ import annotations

from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse

from proctoring.models import Action, Batch
from tests import factories
from tests.views.conftest import Office

PAGES = ["home", "deliver", "attention"]


class TestConsole:
    def test_sends_the_whole_page_there_when_a_fragment_was_asked_for(self, office: Office) -> None:
        batch = office.batch(1)
        headers = {"HX-Request": "true", "HX-Current-URL": f"http://testserver/batches/{batch.pk}/"}

        answer = Client().get(reverse("batch_progress", args=[batch.pk]), headers=headers)

        assert answer.headers["HX-Redirect"].startswith(reverse("admin:login"))
        assert str(batch.pk) in answer.headers["HX-Redirect"]

    @pytest.mark.parametrize("name", PAGES)
    def test_refuses_who_is_not_of_the_staff_with_a_sentence(self, office: Office, name: str) -> None:
        client = Client()
        client.force_login(factories.make_user(is_staff=False))

        answer = client.get(reverse(name))

        assert answer.status_code == 403
        assert "Ask an administrator to let you in" in answer.content.decode()

    def test_says_that_a_newer_version_wrote_what_a_page_is_about(self, office: Office) -> None:
        batch = office.batch(1)
        Batch.objects.update(plan={**batch.plan, "v": 2})

        answer = office.as_("coordinator").get(reverse("batch", args=[batch.pk]))

        assert answer.status_code == 503
        assert "A newer version of the console wrote this" in answer.content.decode()

    def test_asks_nothing_of_a_draft_that_cannot_be_read(self, office: Office) -> None:
        batch = office.draft(factories.make_candidates(office.team, 1))
        Batch.objects.update(plan={name: part for name, part in batch.plan.items() if name != "is_retake"})

        answer = office.as_("coordinator").post(reverse("deliver_preview", args=[batch.pk]))

        assert answer.status_code == 409
        assert "Plan lacks “is_retake”" in answer.content.decode()
        assert not Action.objects.exists()
        assert Batch.objects.get().confirmed_at is None

    @pytest.mark.parametrize("name", PAGES)
    def test_is_never_stored_by_a_browser(self, office: Office, name: str) -> None:
        assert "no-store" in office.as_("coordinator").get(reverse(name)).headers["Cache-Control"]

    @pytest.mark.parametrize("name", ["home", "attention"])
    def test_tells_who_is_in_no_team_what_to_do(self, office: Office, name: str) -> None:
        client = Client()
        client.force_login(factories.make_user())

        assert "You are in no team yet" in client.get(reverse(name)).content.decode()


class TestErrorPages:
    def test_a_page_that_is_not_there_says_what_may_be_the_matter(self, office: Office) -> None:
        answer = office.as_("coordinator").get("/nowhere/")

        assert answer.status_code == 404
        assert "a team that you are not in" in answer.content.decode()

    def test_a_form_without_its_token_says_to_load_the_page_again(self, office: Office) -> None:
        client = Client(enforce_csrf_checks=True)
        client.force_login(office.members["coordinator"])

        answer = client.post(reverse("deliver"), {"exam": str(uuid4())})

        assert answer.status_code == 403
        assert "load the page again" in answer.content.decode()
