from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone

from proctoring.admin.accounts import signs
from proctoring.models import Account, ActionState, Call, JournalEntry, Role
from tests import factories
from tests.admin.conftest import World, signed_in

pytestmark = pytest.mark.django_db

NEW_TOKEN = "bmV3LXRva2VuLW9mLXRlc3Rz"


def change_url(account: Account) -> str:
    return reverse("admin:proctoring_account_change", args=[account.pk])


def add_url(world: World, vendor: str = "scorpion") -> str:
    return f"{reverse('admin:proctoring_account_add')}?team={world.team.pk}&vendor={vendor}"


def filled(account: Account, **changes: Any) -> dict[str, Any]:
    """The change form as a browser posts it back."""
    data = {
        "name": account.name,
        "base_url": account.base_url,
        "calls_at_once": str(account.calls_at_once),
        "calls_per_minute": "",
        "poll_seconds": "300",
        "granted": account.permissions,
        "settings-take_url": account.settings.get("take_url", ""),
        "settings-proctor_url": "",
        "credentials-token": "",
        "_continue": "1",
    }
    return {**data, **changes}


class TestAdding:
    def test_asks_for_the_team_and_the_vendor_first(self, world: World) -> None:
        page = (
            signed_in(world.members[Role.ADMINISTRATOR]).get(reverse("admin:proctoring_account_add")).content.decode()
        )

        assert "Caveon Scorpion" in page
        assert "Ours" in page

    def test_then_shows_the_vendors_own_fields(self, world: World) -> None:
        page = signed_in(world.members[Role.ADMINISTRATOR]).get(add_url(world)).content.decode()

        assert 'name="credentials-token"' in page
        assert 'name="settings-take_url"' in page
        assert "https://scorpion.caveon.com" in page

    def test_saves_all_of_it_with_a_journal_row(self, world: World) -> None:
        data = {
            "name": "New one",
            "base_url": "http://127.0.0.1:8101/",
            "calls_at_once": "3",
            "poll_seconds": "0",
            "granted": ["create", "view"],
            "credentials-token": NEW_TOKEN,
            "settings-sends_accommodations": "on",
        }

        response = signed_in(world.members[Role.ADMINISTRATOR]).post(add_url(world), data)

        account = Account.objects.get(name="New one")
        assert response.status_code == 302
        assert (account.team, account.vendor, account.base_url) == (world.team, "scorpion", "http://127.0.0.1:8101")
        assert account.credentials == {"token": NEW_TOKEN}
        assert account.settings["sends_accommodations"] is True
        assert account.permissions == ["create", "view"]
        entry = JournalEntry.objects.get(target=str(account.pk), event="account.added")
        assert entry.by == world.members[Role.ADMINISTRATOR]

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"credentials-token": ""}, "This field is required"),
            ({"base_url": "ftp://vendor.example.com"}, "Enter a whole URL"),
            ({"base_url": "https://user:pw@vendor.example.com"}, "Leave user name and password out"),
            ({"name": "Our account"}, "Another account of this team has this name"),
            ({"calls_at_once": "0"}, "greater than or equal to 1"),
            ({"granted": ["everything"]}, "Select a valid choice"),
        ],
    )
    def test_says_what_is_wrong_and_saves_nothing(self, world: World, changes: dict[str, Any], words: str) -> None:
        data = {
            "name": "New one",
            "base_url": "http://127.0.0.1:8101",
            "calls_at_once": "3",
            "poll_seconds": "0",
            "credentials-token": NEW_TOKEN,
        }

        response = signed_in(world.members[Role.ADMINISTRATOR]).post(add_url(world), {**data, **changes})

        assert response.status_code == 200
        assert words in response.content.decode()
        assert NEW_TOKEN not in response.content.decode()
        assert Account.objects.count() == 1

    def test_refuses_a_private_address_where_vendors_must_be_public(self, world: World, settings: Any) -> None:
        settings.ALLOW_LOCAL_VENDORS = False
        data = {
            "name": "New one",
            "base_url": "https://10.0.0.1",
            "calls_at_once": "3",
            "poll_seconds": "0",
            "credentials-token": NEW_TOKEN,
        }

        response = signed_in(world.members[Role.ADMINISTRATOR]).post(add_url(world), data)

        assert "public address" in response.content.decode()

    def test_knows_no_other_vendor(self, world: World) -> None:
        assert signed_in(world.members[Role.ADMINISTRATOR]).get(add_url(world, "nobody")).status_code == 404


class TestCredentials:
    def test_are_never_shown_again(self, world: World) -> None:
        client = signed_in(world.members[Role.ADMINISTRATOR])

        page = client.get(change_url(world.account)).content.decode()
        refused = client.post(change_url(world.account), filled(world.account, name="")).content.decode()

        assert factories.TOKEN not in page + refused
        assert world.account.fingerprint in page

    def test_stay_when_their_field_is_left_empty(self, world: World) -> None:
        data = filled(world.account, name="Renamed")

        response = signed_in(world.members[Role.ADMINISTRATOR]).post(change_url(world.account), data)

        world.account.refresh_from_db()
        assert response.status_code == 302
        assert world.account.name == "Renamed"
        assert world.account.credentials == {"token": factories.TOKEN}
        assert not JournalEntry.objects.filter(event="account.credentials").exists()

    def test_are_replaced_and_put_a_paused_account_on_probation(self, world: World) -> None:
        Account.objects.update(paused_at=timezone.now(), pause_reason="The token is wrong.")
        data = filled(world.account, **{"credentials-token": NEW_TOKEN})

        response = signed_in(world.members[Role.ADMINISTRATOR]).post(change_url(world.account), data, follow=True)

        world.account.refresh_from_db()
        assert world.account.credentials == {"token": NEW_TOKEN}
        assert world.account.is_probing
        assert NEW_TOKEN not in response.content.decode()
        assert "On probation" in response.content.decode()
        entry = JournalEntry.objects.get(event="account.credentials")
        assert NEW_TOKEN not in str(entry.facts)

    def test_are_not_sent_to_a_new_address_unseen(self, world: World) -> None:
        data = filled(world.account, base_url="http://127.0.0.1:6666")

        response = signed_in(world.members[Role.ADMINISTRATOR]).post(change_url(world.account), data)

        world.account.refresh_from_db()
        assert "Enter the credentials again" in response.content.decode()
        assert world.account.base_url == "http://127.0.0.1:9"

    def test_entered_again_let_the_address_change(self, world: World) -> None:
        data = filled(world.account, base_url="http://127.0.0.1:6666", **{"credentials-token": NEW_TOKEN})

        signed_in(world.members[Role.ADMINISTRATOR]).post(change_url(world.account), data)

        world.account.refresh_from_db()
        assert world.account.base_url == "http://127.0.0.1:6666"

    @pytest.mark.parametrize("kept", ["app_key", "app_secret"])
    def test_are_all_asked_for_again_at_a_new_address(self, world: World, kept: str) -> None:
        stored = {"app_key": "stored-key-1", "app_secret": "stored-secret-1"}
        account = factories.make_account(world.team, vendor="campfire", credentials=stored, permissions=[])
        entered = {"credentials-app_key": "new-key-2", "credentials-app_secret": "new-secret-2"}
        client, elsewhere = signed_in(world.members[Role.ADMINISTRATOR]), {"base_url": "http://127.0.0.1:6666"}

        one = client.post(change_url(account), filled(account, **elsewhere, **{**entered, f"credentials-{kept}": ""}))
        account.refresh_from_db()
        unchanged = (account.base_url, account.credentials)
        both = client.post(change_url(account), filled(account, **elsewhere, **entered))
        account.refresh_from_db()

        assert "Enter the credentials again, all of them" in one.content.decode()
        assert "This field is required" in one.content.decode()
        assert unchanged == ("http://127.0.0.1:9", stored)
        assert both.status_code == 302
        assert account.base_url == "http://127.0.0.1:6666"
        assert account.credentials == {"app_key": "new-key-2", "app_secret": "new-secret-2"}

    @pytest.mark.parametrize("url", ["http://127.0.0.1:9/api", "HTTP://127.0.0.1:9", " http://127.0.0.1:9/ "])
    def test_stay_where_the_address_leads_to_the_same_server(self, world: World, url: str) -> None:
        response = signed_in(world.members[Role.ADMINISTRATOR]).post(
            change_url(world.account), filled(world.account, base_url=url)
        )

        world.account.refresh_from_db()
        assert response.status_code == 302
        assert world.account.credentials == {"token": factories.TOKEN}

    @pytest.mark.parametrize(
        ("url", "is_asked"),
        [
            ("https://elsewhere.example/take?launch_token=", True),
            ("https:elsewhere.example/take?launch_token=", True),
            ("{base_url}/go?t=", False),
            ("http://127.0.0.1:9/go?t=", False),
            ("", False),
        ],
    )
    def test_are_asked_for_where_candidates_would_be_sent_elsewhere(
        self, world: World, url: str, is_asked: bool
    ) -> None:
        data = filled(world.account, **{"settings-take_url": url})

        response = signed_in(world.members[Role.ADMINISTRATOR]).post(change_url(world.account), data)

        world.account.refresh_from_db()
        assert (response.status_code == 200) is is_asked
        assert ("Enter the credentials again" in response.content.decode()) is is_asked
        assert world.account.settings.get("take_url", "") == ("" if is_asked else url)

    def test_are_not_even_asked_of_others(self, world: World) -> None:
        page = signed_in(world.members[Role.LEAD]).get(change_url(world.account)).content.decode()

        assert "credentials-token" not in page
        assert factories.TOKEN not in page
        assert "Test connection</" not in page


class TestChanging:
    def test_leaves_the_health_that_a_worker_writes_alone(self, world: World) -> None:
        client = signed_in(world.members[Role.ADMINISTRATOR])
        account = Account.objects.get(pk=world.account.pk)
        Account.objects.update(failures_in_a_row=3, paused_at=timezone.now(), pause_reason="The token is wrong.")

        client.post(change_url(account), filled(account, calls_at_once="9"))

        account.refresh_from_db()
        assert (account.calls_at_once, account.failures_in_a_row) == (9, 3)
        assert account.is_paused

    def test_records_permissions_and_tries_a_paused_verb_again(self, world: World) -> None:
        Account.objects.update(paused_verbs={"create_deliveries": {"reason": "No.", "at": "2026-01-01T10:00:00+00:00"}})
        data = filled(world.account, granted=["create"])

        signed_in(world.members[Role.ADMINISTRATOR]).post(change_url(world.account), data)

        world.account.refresh_from_db()
        assert world.account.permissions == ["create"]
        assert world.account.paused_verbs["create_deliveries"]["probing"]

    def test_explains_each_permission(self, world: World) -> None:
        page = signed_in(world.members[Role.ADMINISTRATOR]).get(change_url(world.account)).content.decode()

        assert 'name="granted"' in page
        assert "create: " in page


class TestHealth:
    def test_warns_of_permissions_that_are_not_used(self, world: World) -> None:
        Account.objects.update(permissions=["create", "view", "delete"])

        page = signed_in(world.members[Role.VIEWER]).get(change_url(world.account)).content.decode()

        assert "The vendor granted more than this console uses: delete" in page

    def test_says_why_it_is_paused_and_what_to_do(self, world: World) -> None:
        Account.objects.update(paused_at=timezone.now(), pause_reason="Scorpion refused the token.")

        page = signed_in(world.members[Role.VIEWER]).get(change_url(world.account)).content.decode()

        assert "Paused since" in page
        assert "Scorpion refused the token." in page
        assert "Enter working credentials" in page

    def test_counts_what_waits(self, world: World) -> None:
        for state in (ActionState.QUEUED, ActionState.QUEUED, ActionState.UNKNOWN):
            delivery = factories.make_delivery(world.exam, factories.make_candidate(world.team))
            factories.make_action(delivery, state=state)

        page = signed_in(world.members[Role.VIEWER]).get(change_url(world.account)).content.decode()

        assert "2 actions wait for this account" in " ".join(page.split())

    def test_asks_for_a_test_by_a_post_only(self, world: World) -> None:
        client = signed_in(world.members[Role.ADMINISTRATOR])
        address = reverse("admin:proctoring_account_check", args=[world.account.pk])

        assert client.get(address).status_code == 405
        page = client.post(address, follow=True).content.decode()

        world.account.refresh_from_db()
        assert world.account.check_due_at is not None
        assert "Being tested" in page
        assert JournalEntry.objects.filter(event="account.check_asked").exists()

    def test_lets_only_administrators_ask_for_a_test(self, world: World) -> None:
        address = reverse("admin:proctoring_account_check", args=[world.account.pk])

        assert signed_in(world.members[Role.LEAD]).post(address).status_code == 403

    def test_shows_what_the_test_said(self, world: World) -> None:
        Account.objects.update(checked_at=timezone.now(), check_message="The token works.")

        page = signed_in(world.members[Role.VIEWER]).get(change_url(world.account)).content.decode()

        assert "The token works." in page

    def test_says_when_the_vendor_last_answered_where_nobody_tested_it(self, world: World) -> None:
        client = signed_in(world.members[Role.VIEWER])
        Call.objects.update(status=500)
        before = client.get(change_url(world.account)).content.decode()
        Call.objects.update(status=200, ended_at=datetime(2026, 3, 1, 12, 0, tzinfo=UTC))

        page = client.get(change_url(world.account)).content.decode()

        assert "Not tested yet." in before
        assert "Not tested yet." not in page
        assert "The vendor last answered well 1 Mar 2026, 12:00" in page


class TestSigns:
    NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)

    def account(self, **kw: Any) -> Account:
        return Account(name="A", vendor="scorpion", **{"credentials": {"token": "x"}, **kw})

    @pytest.mark.parametrize(
        ("values", "titles"),
        [
            ({"checked_at": NOW}, ["Works"]),
            ({}, ["Nothing is wrong that we know of"]),
            ({"is_archived": True}, ["Archived"]),
            ({"credentials": {}}, ["No credentials yet"]),
            ({"paused_at": NOW, "is_probing": True}, ["On probation"]),
            ({"paused_at": NOW}, ["Paused since 1 Mar 2026, 12:00 UTC"]),
            (
                {"failures_in_a_row": 2, "next_call_at": NOW + timedelta(minutes=1)},
                ["Held back until 1 Mar 2026, 12:01 UTC"],
            ),
            (
                {"paused_verbs": {"create_deliveries": {"reason": "No.", "at": "2026-03-01T10:00:00+00:00"}}},
                ["May not create deliveries since 1 Mar 2026, 10:00 UTC"],
            ),
            ({"paused_verbs": {"check": {"reason": "No.", "probing": True}}}, ["On probation: check"]),
        ],
    )
    def test_say_how_an_account_is(self, values: dict[str, Any], titles: list[str]) -> None:
        assert [sign.title for sign in signs(self.account(**values), now=self.NOW)] == titles
