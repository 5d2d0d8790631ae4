from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from proctoring.models import JournalEntry, Membership, Role, Team, User
from tests import factories
from tests.admin.conftest import World, signed_in

pytestmark = pytest.mark.django_db

NEW_PASSWORD = "a-long-and-odd-passphrase-42"


@pytest.fixture
def administrator(world: World) -> Client:
    return signed_in(world.members[Role.ADMINISTRATOR])


def user_url(user: User) -> str:
    return reverse("admin:proctoring_user_change", args=[user.pk])


def new_person(team: Team | None, **changes: Any) -> dict[str, Any]:
    data = {
        "username": "newcomer",
        "usable_password": "true",
        "password1": NEW_PASSWORD,
        "password2": NEW_PASSWORD,
        "first_name": "New",
        "last_name": "Comer",
        "email": "new@example.com",
        "time_zone": "Europe/Oslo",
        "memberships-TOTAL_FORMS": "1",
        "memberships-INITIAL_FORMS": "0",
        "memberships-0-team": str(team.pk) if team else "",
        "memberships-0-role": "coordinator",
    }
    return {**data, **changes}


def person(user: User, **changes: Any) -> dict[str, Any]:
    data = {
        "username": user.username,
        "first_name": "Changed",
        "last_name": "",
        "email": "",
        "time_zone": "UTC",
        "is_active": "on",
        "memberships-TOTAL_FORMS": "0",
        "memberships-INITIAL_FORMS": "0",
    }
    return {**data, **changes}


class TestAddingPeople:
    def test_puts_them_into_the_team(self, world: World, administrator: Client) -> None:
        response = administrator.post(reverse("admin:proctoring_user_add"), new_person(world.team))

        user = User.objects.get(username="newcomer")
        assert response.status_code == 302
        assert user.role_in(world.team.pk) == Role.COORDINATOR
        assert user.is_staff
        assert not user.is_superuser
        assert user.time_zone == "Europe/Oslo"
        assert Client().login(username="newcomer", password=NEW_PASSWORD)
        assert JournalEntry.objects.filter(event="team.changed", team=world.team).exists()

    def test_needs_a_team_of_ones_own(self, world: World, administrator: Client) -> None:
        other = factories.make_team("Foreign team")

        for team in (None, other):
            response = administrator.post(reverse("admin:proctoring_user_add"), new_person(team))

            assert response.status_code == 200
            assert "Foreign team" not in response.content.decode()
        assert not User.objects.filter(username="newcomer").exists()

    def test_makes_no_superuser(self, world: World, administrator: Client) -> None:
        data = new_person(world.team, is_superuser="on")

        administrator.post(reverse("admin:proctoring_user_add"), data)

        assert not User.objects.get(username="newcomer").is_superuser


class TestChangingPeople:
    def test_is_for_administrators_of_all_their_teams(self, world: World, administrator: Client) -> None:
        colleague = world.members[Role.VIEWER]
        assert administrator.post(user_url(colleague), person(colleague)).status_code == 302

        Membership.objects.create(user=colleague, team=factories.make_team(), role=Role.VIEWER)

        assert administrator.post(user_url(colleague), person(colleague)).status_code == 403
        assert administrator.get(f"/admin/proctoring/user/{colleague.pk}/password/").status_code == 403

    def test_never_reaches_a_superuser(self, world: World, administrator: Client) -> None:
        Membership.objects.create(user=world.superuser, team=world.team, role=Role.VIEWER)

        assert administrator.post(user_url(world.superuser), person(world.superuser)).status_code == 403

    def test_lets_everybody_mend_their_own_details_and_nothing_more(self, world: World) -> None:
        viewer = world.members[Role.VIEWER]
        data = person(viewer, time_zone="Asia/Tokyo", is_superuser="on", username="boss")
        membership = Membership.objects.get(user=viewer)
        data |= {
            "memberships-TOTAL_FORMS": "1",
            "memberships-INITIAL_FORMS": "1",
            "memberships-0-id": str(membership.pk),
            "memberships-0-user": str(viewer.pk),
            "memberships-0-team": str(world.team.pk),
            "memberships-0-role": "administrator",
        }

        signed_in(viewer).post(user_url(viewer), data)

        viewer = User.objects.get(pk=viewer.pk)
        assert (viewer.time_zone, viewer.is_superuser, viewer.username) == ("Asia/Tokyo", False, "our-viewer")
        assert viewer.role_in(world.team.pk) == Role.VIEWER

    def test_asks_for_ones_old_password(self, world: World) -> None:
        viewer = world.members[Role.VIEWER]

        response = signed_in(viewer).get(f"/admin/proctoring/user/{viewer.pk}/password/")

        assert response.headers["Location"] == reverse("admin:password_change")

    @pytest.mark.parametrize("spelling", ["0{}", "00{}", " {}", "+{}"])
    def test_asks_for_ones_old_password_however_the_address_writes_the_number(
        self, world: World, spelling: str
    ) -> None:
        viewer = world.members[Role.VIEWER]
        address = f"/admin/proctoring/user/{spelling.format(viewer.pk)}/password/"

        response = signed_in(viewer).post(address, {"password1": NEW_PASSWORD, "password2": NEW_PASSWORD})

        assert response.headers["Location"] == reverse("admin:password_change")
        assert not User.objects.get(pk=viewer.pk).check_password(NEW_PASSWORD)

    def test_keeps_in_the_journal_who_set_whose_password(self, world: World, administrator: Client) -> None:
        viewer = world.members[Role.VIEWER]
        passwords = {"usable_password": "true", "password1": NEW_PASSWORD, "password2": NEW_PASSWORD}

        administrator.post(f"/admin/proctoring/user/{viewer.pk}/password/", {**passwords, "password2": "another"})
        before = JournalEntry.objects.filter(event="person.password").count()
        administrator.post(f"/admin/proctoring/user/{viewer.pk}/password/", passwords)

        entry = JournalEntry.objects.get(event="person.password")
        assert before == 0
        assert (entry.team, entry.by) == (world.team, world.members[Role.ADMINISTRATOR])
        assert (entry.target_kind, entry.target) == ("user", str(viewer.pk))
        assert NEW_PASSWORD not in str(entry.facts)

    def test_keeps_in_the_journal_that_somebody_set_their_own(self, world: World) -> None:
        viewer = world.members[Role.VIEWER]
        passwords = {"new_password1": NEW_PASSWORD, "new_password2": NEW_PASSWORD}

        signed_in(viewer).post(reverse("admin:password_change"), {"old_password": factories.PASSWORD, **passwords})

        assert User.objects.get(pk=viewer.pk).check_password(NEW_PASSWORD)
        assert JournalEntry.objects.get(event="person.password").by == viewer

    def test_leaves_a_trace_in_the_team_that_they_are_taken_out_of(self, world: World, administrator: Client) -> None:
        viewer = world.members[Role.VIEWER]
        membership = Membership.objects.get(user=viewer)
        data = person(viewer) | {
            "memberships-TOTAL_FORMS": "1",
            "memberships-INITIAL_FORMS": "1",
            "memberships-0-id": str(membership.pk),
            "memberships-0-user": str(viewer.pk),
            "memberships-0-team": str(world.team.pk),
            "memberships-0-role": "viewer",
            "memberships-0-DELETE": "on",
        }

        administrator.post(user_url(viewer), data)

        entry = JournalEntry.objects.get(event="team.changed", team=world.team)
        assert not Membership.objects.filter(user=viewer).exists()
        assert (entry.facts["user"], entry.facts["role"]) == (viewer.pk, "none")

    def test_does_not_tell_of_their_other_teams(self, world: World, administrator: Client) -> None:
        other = factories.make_team("A secret team")
        Membership.objects.create(user=world.members[Role.VIEWER], team=other, role=Role.VIEWER)

        pages = [
            administrator.get(reverse("admin:proctoring_user_changelist")),
            administrator.get(user_url(world.members[Role.VIEWER])),
            administrator.get(reverse("admin:proctoring_user_changelist"), {"team": str(other.pk)}),
        ]

        for page in pages:
            assert "A secret team" not in page.content.decode()
        assert "our-lead" in pages[2].content.decode()

    def test_makes_a_superuser_only_by_one(self, world: World) -> None:
        colleague = world.members[Role.VIEWER]

        signed_in(world.superuser).post(user_url(colleague), person(colleague, is_superuser="on"))

        colleague.refresh_from_db()
        assert colleague.is_superuser


class TestTeams:
    def data(self, world: World, roles: dict[User, str], **changes: Any) -> dict[str, Any]:
        data = {"name": "Ours", "reply_to": "", "phone": "", "time_zone": "UTC", "members": ""}
        rows = list(Membership.objects.filter(team=world.team))
        for number, row in enumerate(rows):
            data |= {
                f"memberships-{number}-id": str(row.pk),
                f"memberships-{number}-team": str(world.team.pk),
                f"memberships-{number}-user": str(row.user_id),
                f"memberships-{number}-role": roles.get(row.user, row.role),
            }
        total = {"memberships-TOTAL_FORMS": str(len(rows)), "memberships-INITIAL_FORMS": str(len(rows))}
        return {**data, **total, **changes}

    def url(self, world: World) -> str:
        return reverse("admin:proctoring_team_change", args=[world.team.pk])

    def test_change_roles_with_a_journal_row(self, world: World, administrator: Client) -> None:
        viewer = world.members[Role.VIEWER]

        response = administrator.post(self.url(world), self.data(world, {viewer: "lead"}, phone="+1 555 0100"))

        entry = JournalEntry.objects.get(event="team.changed")
        assert response.status_code == 302
        assert User.objects.get(pk=viewer.pk).role_in(world.team.pk) == Role.LEAD
        assert entry.facts == {"fields": ["phone"], "members": [f"{viewer.pk} is now lead"]}

    def test_say_in_the_journal_whose_place_somebody_takes(self, world: World, administrator: Client) -> None:
        viewer, newcomer = world.members[Role.VIEWER], factories.make_user(role=None)
        other = factories.make_team()
        Membership.objects.create(user=newcomer, team=other, role=Role.VIEWER)
        Membership.objects.create(user=world.members[Role.ADMINISTRATOR], team=other, role=Role.ADMINISTRATOR)
        data = self.data(world, {})
        place = next(name for name, value in data.items() if name.endswith("-user") and value == str(viewer.pk))

        administrator.post(self.url(world), data | {place: str(newcomer.pk)})

        assert JournalEntry.objects.get(event="team.changed").facts["members"] == [
            f"{newcomer.pk} added as viewer",
            f"{viewer.pk} removed",
        ]

    def test_keep_an_administrator(self, world: World, administrator: Client) -> None:
        data = self.data(world, {world.members[Role.ADMINISTRATOR]: "viewer"})

        response = administrator.post(self.url(world), data)

        assert "Keep at least one administrator" in response.content.decode()
        assert Membership.objects.filter(team=world.team, role=Role.ADMINISTRATOR).exists()

    def test_offer_only_known_people_as_members(self, world: World, administrator: Client) -> None:
        page = administrator.get(self.url(world)).content.decode()

        assert "a-stranger" not in page
        assert "our-lead" in page

    def test_take_no_unknown_person_in(self, world: World, administrator: Client) -> None:
        data = self.data(world, {})
        number = int(data["memberships-TOTAL_FORMS"])
        data |= {
            "memberships-TOTAL_FORMS": str(number + 1),
            f"memberships-{number}-team": str(world.team.pk),
            f"memberships-{number}-user": str(world.stranger.pk),
            f"memberships-{number}-role": "viewer",
        }

        response = administrator.post(self.url(world), data)

        assert response.status_code == 200
        assert not Membership.objects.filter(user=world.stranger, team=world.team).exists()

    def test_are_added_by_superusers(self, world: World) -> None:
        response = signed_in(world.superuser).post(
            reverse("admin:proctoring_team_add"),
            {
                "name": "Fresh",
                "time_zone": "UTC",
                "memberships-TOTAL_FORMS": "1",
                "memberships-INITIAL_FORMS": "0",
                "memberships-0-user": str(world.stranger.pk),
                "memberships-0-role": "administrator",
            },
        )

        assert response.status_code == 302
        assert User.objects.get(pk=world.stranger.pk).role_in(Team.objects.get(name="Fresh").pk) == Role.ADMINISTRATOR
