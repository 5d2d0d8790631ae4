"""The one search field: who calls is found at once, and nobody of another team."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from proctoring import links
from proctoring.models import Candidate, Delivery, DeliveryState
from tests import factories
from tests.views.conftest import Office


@pytest.fixture
def delivery(office: Office) -> Delivery:
    person = factories.make_candidate(
        office.team,
        first_name="Zoë",
        last_name="Müller",
        email="zoe@example.org",
        phone="+49 (30) 555-0102",
        external_id="C-1002",
    )
    return factories.make_delivery(office.exam, person, state=DeliveryState.CREATED)


def search(client: Client, words: str) -> Any:
    return client.get(reverse("search"), {"q": words})


class TestSearch:
    @pytest.mark.parametrize(
        "words", ["müll", "zoë müller", "ZOE@", "c-1002", "+49 (30)", "0305550102", "555 0102", "+49 30 5550102"]
    )
    def test_finds_a_person_by_whatever_they_say(self, delivery: Delivery, office: Office, words: str) -> None:
        page = search(office.as_("viewer"), words).content.decode()

        assert reverse("delivery", args=[delivery.pk]) in page
        assert delivery.code in page
        assert "Not invited" in page

    @pytest.mark.parametrize("words", ["schmidt", "999 9999", "müller schmidt", "%", "_____"])
    def test_finds_nobody_else(self, delivery: Delivery, office: Office, words: str) -> None:
        answer = search(office.as_("viewer"), words)

        assert answer.status_code == 200
        assert reverse("delivery", args=[delivery.pk]) not in answer.content.decode()

    def test_goes_straight_to_the_delivery_by_its_reference(self, delivery: Delivery, office: Office) -> None:
        code = delivery.code
        spoken = [code, code.lower(), code.replace("-", " "), f" {code} ", code.replace("0", "O").replace("1", "L")]

        for words in spoken:
            answer = search(office.as_("viewer"), words)
            assert answer.headers["Location"] == reverse("delivery", args=[delivery.pk])

    def test_goes_there_by_the_link_of_the_mail(self, delivery: Delivery, office: Office) -> None:
        answer = search(office.as_("viewer"), links.url_of(delivery))

        assert answer.headers["Location"] == reverse("delivery", args=[delivery.pk])

    def test_takes_a_name_of_eight_letters_for_a_name(self, office: Office) -> None:
        factories.make_candidate(office.team, last_name="Bertrand")

        assert "Bertrand" in search(office.as_("viewer"), "bertrand").content.decode()

    def test_shows_strangers_nothing(self, delivery: Delivery, office: Office) -> None:
        client = office.as_stranger()

        for words in ("müller", delivery.code, links.url_of(delivery), "0305550102"):
            answer = search(client, words)
            assert answer.status_code == 200
            assert "Nobody matches" in answer.content.decode()

    def test_shows_the_first_and_says_that_there_are_more(self, office: Office) -> None:
        factories.make_candidates(office.team, 25)

        page = search(office.as_("viewer"), "ada").content.decode()

        assert page.count('class="person"') == 20
        assert "More than 20 people match" in page

    def test_escapes_what_was_typed_and_what_was_found(self, delivery: Delivery, office: Office) -> None:
        hostile = '"><script>alert(1)</script>'
        Candidate.objects.update(last_name=hostile)

        assert hostile not in search(office.as_("viewer"), hostile).content.decode()

    def test_asks_when_nothing_was_typed(self, office: Office) -> None:
        assert "Type what the caller says" in search(office.as_("viewer"), " ").content.decode()

    @pytest.mark.parametrize("name", ["home", "attention", "admin:proctoring_delivery_changelist"])
    def test_is_on_every_page(self, office: Office, name: str) -> None:
        page = office.as_("viewer").get(reverse(name)).content.decode()

        assert f'action="{reverse("search")}"' in page
        assert 'id="find-person"' in page

    def test_is_not_shown_before_signing_in(self, db: None) -> None:
        assert "find-person" not in Client().get(reverse("admin:login")).content.decode().replace("search.css", "")

    def test_takes_as_many_queries_for_many_people_as_for_few(
        self, office: Office, django_assert_max_num_queries: DjangoAssertNumQueries
    ) -> None:
        client = office.as_("viewer")
        for person in factories.make_candidates(office.team, 2):
            factories.make_delivery(office.exam, person, state=DeliveryState.CREATED)
        with django_assert_max_num_queries(30) as few:
            search(client, "ada")
        for person in factories.make_candidates(office.team, 15):
            factories.make_delivery(office.exam, person, state=DeliveryState.CREATED)

        with django_assert_max_num_queries(len(few)):
            search(client, "ada")
