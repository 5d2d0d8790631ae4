from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from proctoring.admin import candidates
from proctoring.models import Candidate, CandidateReference, JournalEntry, Role
from tests import factories
from tests.admin.conftest import World, signed_in

pytestmark = pytest.mark.django_db

LIST = "/admin/proctoring/candidate/"


@pytest.fixture
def client(world: World) -> Client:
    return signed_in(world.members[Role.COORDINATOR])


def filled(world: World, **changes: Any) -> dict[str, Any]:
    data = {
        "team": str(world.team.pk),
        "first_name": "مریم",
        "last_name": "رضایی",
        "email": "maryam@example.com",
        "phone": "",
        "external_id": "C-7",
        "time_zone": "Asia/Tehran",
        "language": "fa",
        "special_needs": "on",
        "extra_time_percent": "25",
        "references-TOTAL_FORMS": "0",
        "references-INITIAL_FORMS": "0",
    }
    return {**data, **changes}


class TestForm:
    def test_adds_a_candidate_with_a_journal_row_that_holds_no_details(self, world: World, client: Client) -> None:
        response = client.post(reverse("admin:proctoring_candidate_add"), filled(world))

        candidate = Candidate.objects.get(email="maryam@example.com")
        entry = JournalEntry.objects.get(event="candidate.added", target=str(candidate.pk))
        assert response.status_code == 302
        assert (candidate.extra_time_percent, candidate.time_zone) == (25, "Asia/Tehran")
        assert "email" in entry.facts["fields"]
        assert "maryam" not in str(entry.facts)

    def test_changes_a_candidate_and_names_the_fields(self, world: World, client: Client) -> None:
        address = reverse("admin:proctoring_candidate_change", args=[world.candidate.pk])
        data = filled(world, first_name="Grace", last_name="Hopper", email="grace@example.com")

        client.post(address, {**data, "external_id": "C-8"})

        entry = JournalEntry.objects.get(event="candidate.changed")
        assert "external_id" in entry.facts["fields"]
        assert "first_name" not in entry.facts["fields"]

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"email": "GRACE@example.com"}, "Another candidate of this team has this e-mail address"),
            ({"email": "grace@"}, "Enter a valid email address"),
            ({"time_zone": "Mars/Base"}, "is not a time zone"),
            ({"extra_time_percent": "-5"}, "greater than or equal to 0"),
        ],
    )
    def test_says_what_is_wrong_and_saves_nothing(
        self, world: World, client: Client, changes: dict[str, Any], words: str
    ) -> None:
        response = client.post(reverse("admin:proctoring_candidate_add"), filled(world, **changes))

        assert response.status_code == 200
        assert words in response.content.decode()
        assert Candidate.objects.count() == 1

    def test_keeps_an_address_apart_within_the_team_when_changed(self, world: World, client: Client) -> None:
        other = factories.make_candidate(world.team)
        address = reverse("admin:proctoring_candidate_change", args=[other.pk])

        response = client.post(address, filled(world, email="grace@example.com"))

        assert "Another candidate of this team has this e-mail address" in response.content.decode()

    def test_never_moves_a_candidate_to_another_team(self, world: World, client: Client) -> None:
        other = factories.make_team()
        address = reverse("admin:proctoring_candidate_change", args=[world.candidate.pk])

        client.post(address, filled(world, team=str(other.pk)))

        world.candidate.refresh_from_db()
        assert world.candidate.team == world.team

    def test_shows_the_ids_at_vendors(self, world: World, client: Client) -> None:
        CandidateReference.objects.create(candidate=world.candidate, account=world.account, ref="examinee-77")

        page = client.get(reverse("admin:proctoring_candidate_change", args=[world.candidate.pk])).content.decode()

        assert "examinee-77" in page


class TestList:
    def test_is_searched_by_every_word(self, world: World, client: Client) -> None:
        factories.make_candidate(world.team, first_name="Grace", last_name="Kelly")

        page = client.get(LIST, {"q": "grace hopp"}).content.decode()

        assert "Grace Hopper" in page
        assert "Grace Kelly" not in page

    @pytest.mark.parametrize(
        ("query", "names"),
        [
            ("accommodation=time", {"Slow"}),
            ("accommodation=needs", {"Needy"}),
            ("accommodation=some", {"Slow", "Needy"}),
            ("language=fa", {"Persian"}),
            ("time_zone=Asia/Tokyo", {"Tokyoite"}),
        ],
    )
    def test_is_filtered(self, world: World, client: Client, query: str, names: set[str]) -> None:
        factories.make_candidate(world.team, first_name="Slow", extra_time_percent=50)
        factories.make_candidate(world.team, first_name="Needy", special_needs=True)
        factories.make_candidate(world.team, first_name="Persian", language="fa")
        factories.make_candidate(world.team, first_name="Tokyoite", time_zone="Asia/Tokyo")

        page = client.get(f"{LIST}?{query}").content.decode()

        assert {name for name in ("Slow", "Needy", "Persian", "Tokyoite", "Grace") if f"{name} " in page} == names

    def test_offers_only_the_users_own_words_in_filters(self, world: World, client: Client) -> None:
        factories.make_candidate(factories.make_team(), language="tlh")

        assert "tlh" not in client.get(LIST).content.decode()


class TestDeliver:
    def press(self, client: Client, ids: list[str], **more: str) -> Any:
        return client.post(LIST, {"action": "deliver", "_selected_action": ids, **more})

    def test_hands_the_chosen_over(self, world: World, client: Client) -> None:
        other = factories.make_candidate(world.team)
        factories.make_candidate(world.team)

        response = self.press(client, [str(world.candidate.pk), str(other.pk)])

        assert response.headers["Location"] == reverse("deliver")
        assert set(client.session["deliver_candidates"]) == {str(world.candidate.pk), str(other.pk)}

    def test_hands_over_all_that_a_search_found_across_pages(self, world: World, client: Client) -> None:
        factories.make_candidates(world.team, 60)

        client.post(
            f"{LIST}?q=Ada", {"action": "deliver", "_selected_action": [str(world.candidate.pk)], "select_across": "1"}
        )

        assert len(client.session["deliver_candidates"]) == 60

    def test_stops_at_five_thousand(self, world: World, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(candidates, "MOST", 2)
        people = factories.make_candidates(world.team, 3)

        response = self.press(client, [str(person.pk) for person in people])

        assert response.status_code == 302
        assert "deliver_candidates" not in client.session

    def test_leaves_out_teams_where_the_user_only_looks(self, world: World) -> None:
        other = factories.make_team()
        user = factories.make_user(role=Role.COORDINATOR, team=other)
        user.memberships.create(team=world.team, role=Role.VIEWER)
        client = signed_in(user)

        self.press(client, [str(world.candidate.pk)])

        assert "deliver_candidates" not in client.session

    def test_is_not_offered_to_viewers(self, world: World) -> None:
        client = signed_in(world.members[Role.VIEWER])

        self.press(client, [str(world.candidate.pk)])

        assert "deliver_candidates" not in client.session
