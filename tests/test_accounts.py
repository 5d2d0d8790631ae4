"""Accounts: where they may be, what is kept of their credentials, and what lets them work again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.conf import LazySettings
from django.core.exceptions import ValidationError
from django.db import connection

from proctoring import accounts
from proctoring.models import Account, JournalEntry, Team
from tests import factories

SECRET = "dG9wLXNlY3JldC10b2tlbg"
NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


@pytest.fixture
def team(db: None) -> Team:
    return factories.make_team()


def refusal(url: str) -> str:
    with pytest.raises(ValidationError) as caught:
        accounts.check_url(url)
    return " ".join(caught.value.messages)


class TestOrigin:
    @pytest.mark.parametrize(
        "url",
        [
            "https://vendor.example.com",
            "HTTPS://Vendor.Example.COM/",
            " https://vendor.example.com:443/api/v1 ",
            "https://vendor.example.com./x",
            "https://vendor\u3002example.com",
        ],
    )
    def test_is_the_same_for_all_spellings_of_an_address(self, url: str) -> None:
        assert accounts.origin(url) == ("https", "vendor.example.com", 443)

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("https://bücher.example", "https://xn--bcher-kva.example"),
            ("https://BÜCHER.example.", "https://xn--bcher-kva.EXAMPLE:443"),
            ("http://[::1]", "http://[0:0:0:0:0:0:0:1]:80"),
        ],
    )
    def test_knows_a_name_in_other_letters_and_an_address_written_out(self, one: str, other: str) -> None:
        assert accounts.origin(one) == accounts.origin(other) != None  # noqa: E711

    @pytest.mark.parametrize(
        "url",
        [
            *("http://vendor.example.com", "https://vendor.example.com:8443", "https://api.vendor.example.com"),
            *("https://vendor.example.com.evil.example", "https://vendor.example.com@evil.example"),
            *("https://vendor.example.com:80", "https://vendor.example", "vendor.example.com", "", "https://[::1"),
        ],
    )
    def test_differs_by_scheme_host_and_port(self, url: str) -> None:
        assert accounts.origin(url) != accounts.origin("https://vendor.example.com")


class TestCheckUrl:
    @pytest.mark.parametrize(
        ("url", "kept"),
        [
            ("https://vendor.example.com", "https://vendor.example.com"),
            ("  https://vendor.example.com/api/  ", "https://vendor.example.com/api"),
            ("https://vendor.example.com:8443", "https://vendor.example.com:8443"),
            ("https://8.8.8.8/", "https://8.8.8.8"),
            ("https://[2001:4860:4860::8888]/x", "https://[2001:4860:4860::8888]/x"),
            ("https://bücher.example", "https://bücher.example"),
        ],
    )
    def test_takes_a_public_one_without_its_last_slash(self, settings: LazySettings, url: str, kept: str) -> None:
        settings.ALLOW_LOCAL_VENDORS = False

        assert accounts.check_url(url) == kept

    @pytest.mark.parametrize(
        "url",
        [
            *("https://127.0.0.1", "https://127.8.9.1:8443/x", "https://10.0.0.5", "https://192.168.1.1"),
            *(
                "https://172.16.0.1",
                "https://169.254.169.254/latest/meta-data",
                "https://100.64.0.1",
                "https://0.0.0.0",
            ),
            *("https://224.0.0.1", "https://240.0.0.1", "https://255.255.255.255"),
            *("https://[::1]", "https://[::]", "https://[fe80::1]", "https://[fe80::1%25eth0]", "https://[fc00::1]"),
            *(
                "https://[::ffff:127.0.0.1]",
                "https://[::ffff:10.0.0.1]",
                "https://[2002:7f00:1::]",
                "https://[ff02::1]",
            ),
            *(
                "https://localhost",
                "https://LOCALHOST",
                "https://localhost.",
                "https://intranet",
                "https://a.localhost",
            ),
            *("https://printer.local", "https://db.internal", "https://db.internal.", "https://nas.lan"),
            *("https://127.1", "https://2130706433", "https://0x7f.0.0.1", "https://0177.0.0.1", "https://127.0.0.1."),
            "https://127.0.0.0x1",
        ],
    )
    def test_refuses_what_is_inside_this_network(self, settings: LazySettings, url: str) -> None:
        settings.ALLOW_LOCAL_VENDORS = False

        assert "public address" in refusal(url)

    @pytest.mark.parametrize("url", ["http://vendor.example.com", "HTTP://vendor.example.com", "http://127.0.0.1"])
    def test_refuses_plain_http(self, settings: LazySettings, url: str) -> None:
        settings.ALLOW_LOCAL_VENDORS = False

        assert "https://" in refusal(url)

    @pytest.mark.parametrize(
        "url", ["http://127.0.0.1:8101", "http://localhost", "https://10.0.0.5", "http://[::1]:8101", "http://vendor"]
    )
    def test_takes_those_where_the_setting_allows_them(self, settings: LazySettings, url: str) -> None:
        settings.ALLOW_LOCAL_VENDORS = True

        assert accounts.check_url(url) == url

    @pytest.mark.parametrize("allows_local", [True, False])
    @pytest.mark.parametrize(
        "url",
        [
            "https://user:secret@vendor.example.com",
            "https://user@vendor.example.com",
            "https://@vendor.example.com",
            "https://:@vendor.example.com",
            "https://vendor.example.com@127.0.0.1",
        ],
    )
    def test_refuses_user_names_and_does_not_repeat_them(
        self, settings: LazySettings, url: str, allows_local: bool
    ) -> None:
        settings.ALLOW_LOCAL_VENDORS = allows_local

        sentence = refusal(url)

        assert "user name and password" in sentence
        assert "secret" not in sentence

    @pytest.mark.parametrize("allows_local", [True, False])
    @pytest.mark.parametrize(
        "url",
        [
            *("", "   ", "vendor.example.com", "//vendor.example.com", "https://", "https:///path", "https://:443"),
            *("ftp://vendor.example.com", "file:///etc/passwd", "javascript:alert(1)", "gopher://vendor.example.com"),
            *("https://vendor.example.com:port", "https://vendor.example.com:99999", "https://[::1", "https://vendor]"),
            *(
                "https://ven dor.example.com",
                "https://vendor.example.com/a\tb",
                "https://vendor.example.com\n.evil.com",
            ),
            *("https://vendor.example.com\\@127.0.0.1", "https://vendor.example.com/\0"),
            *("https://vendor.example.com?x=1", "https://vendor.example.com/#here"),
        ],
    )
    def test_refuses_what_is_no_whole_url(self, settings: LazySettings, url: str, allows_local: bool) -> None:
        settings.ALLOW_LOCAL_VENDORS = allows_local

        assert refusal(url)


class TestAdd:
    def _add(self, team: Team, **values: Any) -> Account:
        details: dict[str, Any] = {"name": "North", "vendor": "scorpion", "base_url": "https://vendor.example.com/"}
        account = Account(team=team, **{**details, **values})
        return accounts.add(account, credentials={"token": SECRET}, by=None, now=NOW)

    def test_saves_it_with_its_credentials_and_a_journal_row(self, team: Team) -> None:
        account = self._add(team)

        saved = Account.objects.get()
        assert saved.credentials == {"token": SECRET}
        assert (saved.base_url, saved.credentials_changed_at) == ("https://vendor.example.com", NOW)
        entry = JournalEntry.objects.get()
        assert (entry.event, entry.target, entry.facts) == ("account.added", str(account.pk), {"vendor": "scorpion"})

    @pytest.mark.parametrize(
        ("values", "field"),
        [
            ({"base_url": "http://[::1"}, "base_url"),
            ({"base_url": ""}, "base_url"),
            ({"name": ""}, "name"),
            ({"name": "x" * 151}, "name"),
            ({"calls_at_once": 0}, "calls_at_once"),
            ({"calls_per_minute": 0}, "calls_per_minute"),
        ],
    )
    def test_names_the_field_and_saves_nothing(self, team: Team, values: dict[str, Any], field: str) -> None:
        with pytest.raises(ValidationError) as caught:
            self._add(team, **values)

        assert list(caught.value.message_dict) == [field]
        assert not Account.objects.exists()
        assert not JournalEntry.objects.exists()

    def test_refuses_a_name_twice_in_a_team_and_takes_it_in_another(self, team: Team) -> None:
        self._add(team)
        self._add(factories.make_team())

        with pytest.raises(ValidationError):
            self._add(team)

        assert Account.objects.count() == 2


class TestSetCredentials:
    def test_puts_a_paused_account_and_its_paused_verbs_on_probation(self, team: Team) -> None:
        pause = {"create_deliveries": {"reason": "403", "at": "then"}}
        account = factories.make_account(
            team, paused_at=NOW, pause_reason="401", paused_verbs=pause, failures_in_a_row=7, next_call_at=NOW
        )

        accounts.set_credentials(account, {"token": SECRET}, by=None, now=NOW)

        saved = Account.objects.get()
        assert saved.is_paused
        assert saved.is_probing
        assert saved.paused_verbs["create_deliveries"] == {"reason": "403", "at": "then", "probing": True}
        assert (saved.failures_in_a_row, saved.next_call_at) == (0, None)
        assert saved.credentials == account.credentials == {"token": SECRET}

    def test_leaves_a_working_account_working(self, team: Team) -> None:
        account = factories.make_account(team)

        accounts.set_credentials(account, {"token": SECRET}, by=None, now=NOW)

        assert not Account.objects.get().is_probing

    def test_keeps_a_fingerprint_and_no_secret_in_the_journal(self, team: Team) -> None:
        account = factories.make_account(team)
        before = account.fingerprint

        accounts.set_credentials(account, {"token": SECRET}, by=None, now=NOW)

        entry = JournalEntry.objects.get()
        assert entry.facts == {"fingerprint": account.fingerprint}
        assert account.fingerprint != before
        assert len(account.fingerprint) == 8
        assert SECRET not in str(entry.facts)


class TestSetPermissions:
    def test_records_them_sorted_and_tries_a_paused_verb_again(self, team: Team) -> None:
        account = factories.make_account(team, paused_verbs={"create_deliveries": {"reason": "403"}})

        accounts.set_permissions(account, ["view", "create"], by=None, now=NOW)

        saved = Account.objects.get()
        assert saved.permissions == ["create", "view"]
        assert saved.paused_verbs["create_deliveries"]["probing"] is True
        assert JournalEntry.objects.get().facts == {"permissions": ["create", "view"]}


class TestAskCheck:
    def test_makes_a_test_due_and_forgets_the_last_answer(self, team: Team) -> None:
        account = factories.make_account(team, checked_at=NOW, check_message="The token is accepted.")

        accounts.ask_check(account, by=None, now=NOW)

        saved = Account.objects.get()
        assert (saved.check_due_at, saved.checked_at, saved.check_message) == (NOW, None, "")
        assert JournalEntry.objects.get().event == "account.check_asked"


class TestLastAnswers:
    def test_are_the_latest_good_ones_of_each_account(self, team: Team) -> None:
        quiet, busy = factories.make_account(team), factories.make_account(team)
        for hours in (0, 2, 1):
            factories.make_call(busy, ended_at=NOW + timedelta(hours=hours))
        factories.make_call(busy, ended_at=NOW + timedelta(hours=3), status=401)

        assert accounts.last_answers([quiet, busy]) == {busy.pk: NOW + timedelta(hours=2)}

    def test_say_nothing_of_credentials_that_came_later(self, team: Team) -> None:
        account = factories.make_account(team, credentials_changed_at=NOW)
        factories.make_call(account, ended_at=NOW - timedelta(minutes=1))

        assert accounts.last_answers([account]) == {}


class TestWarnings:
    @pytest.mark.parametrize(
        ("permissions", "unused"),
        [([], []), (["create", "view"], []), (["create", "delete", "edit", "view"], ["delete, edit"])],
    )
    def test_name_the_rights_that_nothing_uses(self, team: Team, permissions: list[str], unused: list[str]) -> None:
        account = factories.make_account(team, permissions=permissions)

        found = accounts.warnings(account)

        assert len(found) == len(unused)
        assert all(words in sentence for words, sentence in zip(unused, found, strict=True))


class TestFingerprint:
    def _with(self, **credentials: str) -> Account:
        account = Account()
        account.credentials = credentials
        return account

    def test_is_empty_without_credentials(self, team: Team) -> None:
        assert factories.make_account(team, credentials={}).fingerprint == ""
        assert factories.make_account(team, credentials={"token": ""}).fingerprint == ""

    def test_tells_credentials_apart_whatever_their_order(self) -> None:
        one = self._with(id="a", secret="b")
        same = self._with(secret="b", id="a")
        other = self._with(id="a", secret="c")

        assert one.fingerprint == same.fingerprint != other.fingerprint


class TestStoredCredentials:
    def test_are_unreadable_in_the_row(self, team: Team) -> None:
        factories.make_account(team, credentials={"token": SECRET})

        with connection.cursor() as cursor:
            cursor.execute("SELECT credentials FROM proctoring_account")
            (stored,) = cursor.fetchone()

        assert SECRET not in stored
