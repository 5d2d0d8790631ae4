from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from proctoring.models import Account, Exam, JournalEntry, Role, Team
from tests import factories
from tests.admin.conftest import World, signed_in

pytestmark = pytest.mark.django_db

LIST = "/admin/proctoring/exam/"


@pytest.fixture
def client(world: World) -> Client:
    return signed_in(world.members[Role.COORDINATOR])


ADD = "/admin/proctoring/exam/add/"


def filled(**changes: Any) -> dict[str, Any]:
    data = {
        "title": "Widgets",
        "ref": str(uuid4()),
        "time_zone": "Europe/Oslo",
        "starts_at": "2026-12-01T09:00",
        "ends_at": "2026-12-02T17:00",
        "duration_minutes": "90",
        "instructions": "Bring a pencil.",
        "settings-external_id": "uuid",
        "settings-examinee_info-0-key": "Given name",
        "settings-examinee_info-0-source": "first_name",
        "settings-examinee_info-0-is_required": "on",
        "settings-examinee_info-1-key": "",
        "settings-examinee_info-1-source": "first_name",
        "settings-meta-0-key": "centre",
        "settings-meta-0-value": "North",
        "settings-form_id": "",
    }
    return {**data, **changes}


def new(account: Account, **changes: Any) -> dict[str, Any]:
    """As filled in on the page that adds one, with the part of the account's vendor."""
    return filled(account=str(account.pk), shown_vendor=account.vendor, **changes)


class TestAdding:
    def test_asks_for_the_account_on_the_same_page(self, world: World, client: Client) -> None:
        factories.make_account(world.team, name="Second one", vendor="cirrus")
        factories.make_account(world.team, name="Old one", is_archived=True)
        factories.make_account(world.team, name="Mail", vendor="mail")

        page = client.get(ADD).content.decode()

        choices = re.findall(
            "<option[^>]*>([^<]*)</option>", page.partition('name="account"')[2].partition("</select>")[0]
        )
        assert choices == ["Choose …", "Our account (Caveon Scorpion · Ours)", "Second one (Cirrus · Ours)"]
        assert 'name="title"' in page
        assert "settings-" not in page

    def test_begins_with_the_account_where_there_is_one_only(self, world: World, client: Client) -> None:
        page = client.get(ADD).content.decode()

        assert f'value="{world.account.pk}" selected' in page
        assert 'name="settings-form_id"' in page

    def test_says_whom_to_ask_where_there_is_no_account(self, world: World, client: Client) -> None:
        Account.objects.update(is_archived=True)

        assert "An administrator adds one under Accounts" in client.get(ADD).content.decode()

    def test_then_shows_one_form_of_ours_and_the_vendors_fields(self, world: World, client: Client) -> None:
        factories.make_account(world.team, vendor="cirrus")

        page = client.get(ADD, {"account": world.account.pk}).content.decode()

        for name in ("title", "starts_at", "settings-form_id", "settings-examinee_info-0-key", "settings-meta-0-key"):
            assert f'name="{name}"' in page
        assert 'value="First Name"' in page
        assert 'aria-label="Field name in the Scorpion project, row 1"' in page

    def test_saves_nothing_before_the_vendors_part_was_shown_and_keeps_what_was_typed(
        self, world: World, client: Client
    ) -> None:
        other = factories.make_account(world.team, vendor="cirrus")

        response = client.post(ADD, new(world.account) | {"account": str(other.pk)})

        page = response.content.decode()
        assert Exam.objects.count() == 1
        assert "Nothing is saved yet: below is what Cirrus asks." in page
        assert not [text for text in ("Widgets", "2026-12-01T09:00", "90") if f'value="{text}"' not in page]
        assert 'name="settings-group_ext_id"' in page
        assert "This field is required" not in page

    def test_goes_on_to_the_page_that_says_what_would_be_sent(self, world: World, client: Client) -> None:
        response = client.post(ADD, new(world.account))

        assert response.headers["Location"] == reverse("exam", args=[Exam.objects.get(title="Widgets").pk])

    def test_saves_what_gives_a_code_away_and_warns_of_it(self, world: World, client: Client) -> None:
        page = client.post(ADD, new(world.account, instructions="The PIN is 4711."), follow=True).content.decode()

        assert Exam.objects.filter(title="Widgets").exists()
        assert "The field “Instructions for candidates” seems to give away a code" in page

    def test_is_in_the_teams_time_zone_where_none_is_chosen(self, world: World, client: Client) -> None:
        Team.objects.update(time_zone="Asia/Tokyo")

        page = client.get(ADD).content.decode()
        client.post(ADD, new(world.account, time_zone=""))

        assert '<option value="" selected>The team&#x27;s time zone</option>' in page
        assert Exam.objects.get(title="Widgets").starts_at == datetime(2026, 12, 1, 0, 0, tzinfo=UTC)

    def test_takes_the_vendors_own_dates_on_the_exams_clock_too(self, world: World, client: Client) -> None:
        account = factories.make_account(world.team, vendor="smarterproctoring")
        theirs = {"courseSid": f"CU{32 * 'a'}", "type": "Written", "examDeliverySystemModule": "canvas"}
        theirs |= {"proctorTypes": "TS4b894875d26194988853e490dfb9bc41"}
        dates = {"scheduleOpenDate": "2026-11-20T08:00", "scheduleCloseDate": "2026-11-30T20:00"}
        own = {f"settings-{name}": value for name, value in {**theirs, **dates}.items()}

        response = client.post(ADD, new(account, ref="", time_zone="America/New_York", **own))

        exam = Exam.objects.get(title="Widgets")
        page = client.get(reverse("admin:proctoring_exam_change", args=[exam.pk])).content.decode()
        assert response.status_code == 302
        assert exam.settings["configuration"]["scheduleOpenDate"] == "2026-11-20T13:00:00Z"
        assert 'value="2026-11-20T08:00"' in page

    def test_saves_all_of_it_with_a_journal_row(self, world: World, client: Client) -> None:
        response = client.post(ADD, new(world.account))

        exam = Exam.objects.get(title="Widgets")
        assert response.status_code == 302
        assert (exam.team, exam.account) == (world.team, world.account)
        assert exam.starts_at == datetime(2026, 12, 1, 8, 0, tzinfo=UTC)
        assert exam.settings["meta"] == {"centre": "North"}
        assert exam.settings["examinee_info"] == [{"key": "Given name", "source": "first_name", "is_required": True}]
        assert JournalEntry.objects.filter(event="exam.added", target=str(exam.pk)).exists()

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"title": ""}, "This field is required"),
            ({"ends_at": "2026-11-30T09:00"}, "The window must close after it opens"),
            ({"starts_at": "2026-03-29T02:30"}, "daylight saving"),
            ({"time_zone": "Europe/Atlantis"}, "is not a time zone"),
            ({"settings-form_id": "no uuid"}, "This is not a UUID"),
            ({"settings-meta-1-key": "centre", "settings-meta-1-value": "South"}, "is there twice"),
            ({"settings-meta-0-key": "proctoring_reference"}, "is taken"),
            ({"duration_minutes": "0"}, "greater than or equal to 1"),
        ],
    )
    def test_says_what_is_wrong_and_saves_nothing(
        self, world: World, client: Client, changes: dict[str, Any], words: str
    ) -> None:
        response = client.post(ADD, new(world.account, **changes))

        assert response.status_code == 200
        assert response.content.decode().count(words) == 1
        assert Exam.objects.count() == 1

    def test_keeps_what_was_typed_when_something_is_wrong(self, world: World, client: Client) -> None:
        page = client.post(ADD, new(world.account, title="")).content.decode()

        assert 'value="Given name"' in page
        assert 'value="North"' in page


class TestChanging:
    def test_shows_and_saves_what_is_there(self, world: World, client: Client) -> None:
        client.post(ADD, new(world.account))
        exam = Exam.objects.get(title="Widgets")
        address = reverse("admin:proctoring_exam_change", args=[exam.pk])

        page = client.get(address).content.decode()
        response = client.post(address, filled(title="Gadgets", **{"settings-meta-0-value": "South"}))

        exam.refresh_from_db()
        assert 'value="2026-12-01T09:00"' in page
        assert 'value="Given name"' in page
        assert response.status_code == 302
        assert (exam.title, exam.settings["meta"]) == ("Gadgets", {"centre": "South"})
        assert JournalEntry.objects.filter(event="exam.changed", target=str(exam.pk)).exists()

    def test_cannot_move_an_exam_to_another_account(self, world: World, client: Client) -> None:
        other = factories.make_account(world.team)
        address = reverse("admin:proctoring_exam_change", args=[world.exam.pk])

        client.post(f"{address}?account={other.pk}", filled(account=str(other.pk)))

        world.exam.refresh_from_db()
        assert (world.exam.title, world.exam.account) == ("Widgets", world.account)

    def test_shows_the_settings_to_those_who_may_only_look(self, world: World) -> None:
        Exam.objects.update(settings={"form_id": "a-form"})

        page = signed_in(world.members[Role.VIEWER]).get(reverse("admin:proctoring_exam_change", args=[world.exam.pk]))

        assert "a-form" in page.content.decode()
        assert "settings-form_id" not in page.content.decode()


class TestList:
    def test_shows_the_window_on_the_exams_own_clock(self, world: World, client: Client) -> None:
        starts_at = datetime(2026, 1, 5, 14, 0, tzinfo=UTC)
        Exam.objects.update(starts_at=starts_at, time_zone="America/New_York")

        page = client.get(LIST).content.decode()

        assert "5 Jan 2026, 09:00 EST" in page

    @pytest.mark.parametrize(
        ("window", "found"),
        [
            ({"starts_at": timezone.now() - timedelta(days=1)}, "open"),
            ({"starts_at": timezone.now() + timedelta(days=1)}, "coming"),
            ({"ends_at": timezone.now() - timedelta(days=1)}, "closed"),
            ({"is_archived": True}, "archived"),
        ],
    )
    def test_is_filtered_by_the_window(self, world: World, client: Client, window: dict[str, Any], found: str) -> None:
        Exam.objects.update(**window)

        shown = [key for key in ("open", "coming", "closed", "archived") if _has(client, f"?window={key}")]

        assert shown == [found]

    def test_is_filtered_by_vendor_and_account(self, world: World, client: Client) -> None:
        other = factories.make_account(world.team)

        assert _has(client, "?vendor=scorpion")
        assert _has(client, f"?account__id__exact={world.account.pk}")
        assert not _has(client, f"?account__id__exact={other.pk}")

    def test_goes_on_to_deliver_the_chosen_exam(self, world: World, client: Client) -> None:
        response = client.post(LIST, {"action": "deliver", "_selected_action": [str(world.exam.pk)]})

        assert response.headers["Location"] == f"{reverse('deliver')}?exam={world.exam.pk}"

    def test_delivers_one_exam_at_a_time(self, world: World, client: Client) -> None:
        other = factories.make_exam(world.account)

        response = client.post(
            LIST, {"action": "deliver", "_selected_action": [str(world.exam.pk), str(other.pk)]}, follow=True
        )

        assert "Choose one exam" in response.content.decode()

    def test_offers_no_delivering_to_viewers(self, world: World) -> None:
        page = signed_in(world.members[Role.VIEWER]).get(LIST).content.decode()

        assert "Deliver…" not in page


def _has(client: Client, query: str) -> bool:
    page = client.get(f"{LIST}{query}").content.decode()
    return "/change/" in page
