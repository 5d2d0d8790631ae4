"""What pages say where the stored secrets do not decrypt with the keys that the console has."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.test import Client
from django.urls import reverse

from proctoring import links
from proctoring.models import Delivery, DeliveryState
from tests import factories
from tests.views.conftest import Office

SENTENCE = "The stored secrets cannot be read"


@pytest.fixture(params=["another key", "no key at all"])
def wrong_key(request: pytest.FixtureRequest, office: Office, settings: Any) -> Delivery:
    delivery = factories.make_delivery(office.exam, factories.make_candidate(office.team), state=DeliveryState.CREATED)
    factories.make_batch(office.exam, plan={"skipped": []})
    key = Fernet.generate_key().decode() if request.param == "another key" else "not-a-key"
    settings.FIELD_ENCRYPTION_KEYS = [key]
    return delivery


class TestAWrongKey:
    @pytest.mark.parametrize("name", ["home", "sessions", "admin:proctoring_account_changelist"])
    def test_is_named_with_what_to_do(self, office: Office, wrong_key: Delivery, name: str) -> None:
        answer = office.as_("coordinator").get(reverse(name))

        page = answer.content.decode()
        assert answer.status_code == 503
        assert SENTENCE in page
        assert "FIELD_ENCRYPTION_KEYS" in page
        assert "Traceback" not in page

    def test_is_named_by_a_press(self, office: Office, wrong_key: Delivery) -> None:
        answer = office.as_("coordinator").post(reverse("proctor_link", args=[wrong_key.pk]))

        assert answer.status_code == 503
        assert SENTENCE in answer.content.decode()

    def test_tells_a_candidate_only_to_come_back(self, wrong_key: Delivery) -> None:
        answer = Client().get(reverse("candidate", args=[links.token_of(wrong_key)]))

        page = answer.content.decode()
        assert answer.status_code == 503
        assert "Your link stays good" in page
        assert "ENCRYPTION" not in page
        assert "no-store" in answer.headers["Cache-Control"]

    def test_lets_people_sign_in(self, wrong_key: Delivery) -> None:
        assert Client().get(reverse("admin:login")).status_code == 200


class TestAnAddress:
    @pytest.mark.parametrize("address", ["/search/?q=a%00b", "/sessions/?%00=1", "/admin/proctoring/user/%00/change/"])
    def test_with_a_nul_is_refused_in_a_sentence(self, office: Office, address: str) -> None:
        answer = office.as_("coordinator").get(address)

        assert answer.status_code == 400
        assert "This request cannot be read" in answer.content.decode()
