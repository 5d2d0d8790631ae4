"""`account`: added, tested and given new credentials, and nothing half-saved."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.conf import LazySettings

from proctoring.models import Account, JournalEntry, Role, Team
from proctoring.vendors import registry
from tests import factories, processes
from tests.commands.console import Said, rows, say, type_in, well
from tests.world import World, now

TOKEN = "dG9wLXNlY3JldC10b2tlbg=="


@pytest.fixture
def team(db: None) -> Team:
    return factories.make_team("Northern exams")


def add(*arguments: str, name: str = "Scorpion", vendor: str = "scorpion", team: str = "northern EXAMS") -> Said:
    return say("account", "add", name, "--team", team, "--vendor", vendor, *arguments)


class TestAdd:
    def test_saves_an_account_at_the_vendors_documented_address(self, team: Team) -> None:
        said = add("--credential", f"token={TOKEN}", "--permission", "create,view")

        account = Account.objects.get()
        assert said.error is None
        assert "Added the account Scorpion" in said.out
        assert (account.team, account.base_url) == (team, registry.facts("scorpion").base_url)
        assert account.credentials == {"token": TOKEN}
        assert account.permissions == ["create", "view"]
        assert account.calls_at_once == 4

    def test_takes_every_setting_by_whom_and_prints_json_without_the_secret(self, team: Team) -> None:
        user = factories.make_user(team=team, role=Role.ADMINISTRATOR)

        said = add(
            *("--base-url", "https://scorpion.example.com/", "--credential", f"token={TOKEN}"),
            *("--set", "take_url={base_url}/go?t=", "--set", "sends_accommodations=yes"),
            *("--permission", "view", "--permission", "create", "--permission", "delete", "--by", user.username),
            *("--calls-at-once", "16", "--calls-per-minute", "600", "--format", "json"),
        )

        account = Account.objects.get()
        assert said.json == {
            "id": account.pk,
            "name": "Scorpion",
            "team": "Northern exams",
            "vendor": "scorpion",
            "base_url": "https://scorpion.example.com",
            "fingerprint": account.fingerprint,
            "is_paused": False,
            "pause_reason": "",
            "checked_at": "",
            "message": "Added the account Scorpion. Test it with: account check 'Scorpion'",
            "warnings": ["The vendor granted more than this console uses: delete. Take it away there."],
        }
        assert TOKEN not in said.out
        assert account.settings["take_url"] == "{base_url}/go?t="
        assert account.settings["sends_accommodations"] is True
        assert (account.calls_at_once, account.calls_per_minute) == (16, 600)
        assert JournalEntry.objects.get().by == user

    @pytest.mark.parametrize(
        ("word", "expected"), [("yes", True), ("true", True), ("no", False), ("0", False), ("", False)]
    )
    def test_understands_yes_and_no(self, team: Team, word: str, expected: bool) -> None:
        add("--credential", f"token={TOKEN}", "--set", f"sends_accommodations={word}")

        assert Account.objects.get().settings["sends_accommodations"] is expected

    @pytest.mark.parametrize("text", [f"token={TOKEN}", f"\n  token={TOKEN}  \r\n\n"])
    def test_reads_credentials_from_standard_input(
        self, team: Team, monkeypatch: pytest.MonkeyPatch, text: str
    ) -> None:
        type_in(monkeypatch, text.encode())

        add("--credential", "-")

        assert Account.objects.get().credentials == {"token": TOKEN}

    @pytest.mark.parametrize("vendor", registry.VENDORS)
    def test_works_for_every_vendor(self, team: Team, vendor: str) -> None:
        data = registry.demo(vendor)
        credentials = [part for key, value in data.CREDENTIALS.items() for part in ("--credential", f"{key}={value}")]
        settings = [part for key, value in data.SETTINGS.items() for part in ("--set", f"{key}={_text(value)}")]

        said = add(*credentials, *settings, "--base-url", "https://v.example.com", vendor=vendor)

        assert said.error is None
        assert Account.objects.get().credentials == data.CREDENTIALS

    @pytest.mark.parametrize(
        ("arguments", "options", "words"),
        [
            ([], {}, "--credential token: This field is required."),
            ([], {"team": "Southern exams"}, "There is no team “Southern exams”. Known are: Northern exams."),
            (["--set", "colour=red"], {}, "--set colour: there is no such field. Known are: external_id_is_free_text"),
            (["--set", "colour"], {}, "--set 'colour': write it as key=value."),
            (["--set", "take_url=a", "--set", "take_url=b"], {}, "--set take_url: it is given twice."),
            (["--set", "sends_accommodations=perhaps"], {}, "--set sends_accommodations: Enter yes or no."),
            (["--set", f"take_url={'x' * 501}"], {}, "--set take_url: Ensure this value has at most 500"),
            (["--permission", "create,fly"], {}, "--permission fly: this vendor's rights are create, view"),
            (["--by", "nobody"], {}, "There is no user “nobody”."),
            (["--base-url", "ftp://x"], {}, "base_url: Enter a whole URL"),
            (["--base-url", "https://[::1"], {}, "base_url: This is not a URL"),
            (["--base-url", "https://u:p@example.com"], {}, "base_url: Leave user name and password out"),
            (["--calls-at-once", "0"], {}, "calls_at_once: Ensure this value is greater than or equal to 1."),
            (["--calls-per-minute", "0"], {}, "calls_per_minute: Ensure this value is greater than or equal to 1."),
            ([], {"name": ""}, "name: This field cannot be blank."),
            ([], {"name": "x" * 151}, "name: Ensure this value has at most 150"),
        ],
    )
    def test_says_what_is_wrong_and_saves_nothing(
        self, team: Team, arguments: list[str], options: dict[str, str], words: str
    ) -> None:
        credential = [] if words.startswith("--credential") else ["--credential", f"token={TOKEN}"]

        said = add(*credential, *arguments, **options)

        assert words in (said.error or "")
        assert set(rows().values()) == {0}

    def test_refuses_a_name_that_is_taken(self, team: Team) -> None:
        add("--credential", f"token={TOKEN}")

        said = add("--credential", f"token={TOKEN}")

        assert "already exists" in (said.error or "")
        assert Account.objects.count() == 1

    @pytest.mark.parametrize("typed", [TOKEN, "s3cret-without-a-sign", f"{TOKEN}=x", f"token={TOKEN}\ntoken={TOKEN}"])
    def test_never_repeats_what_may_be_a_secret(self, team: Team, monkeypatch: pytest.MonkeyPatch, typed: str) -> None:
        type_in(monkeypatch, typed.encode())

        said = add("--credential", "-")

        assert (said.error or "").startswith("--credential: ")
        assert TOKEN.rstrip("=") not in (said.error or "")
        assert "s3cret" not in (said.error or "")

    @pytest.mark.parametrize("vendor", ["acme", ""])
    def test_knows_no_other_vendor(self, team: Team, vendor: str) -> None:
        assert "--vendor" in (add("--credential", f"token={TOKEN}", vendor=vendor).error or "")

    @pytest.mark.parametrize(
        ("url", "words"),
        [
            ("http://scorpion.example.com", "must begin with https://"),
            ("http://127.0.0.1:8101", "must begin with https://"),
            ("https://127.0.0.1:8101", "must be a public address"),
            ("https://localhost", "must be a public address"),
            ("https://[::1]:8101", "must be a public address"),
            ("https://[::ffff:10.0.0.1]", "must be a public address"),
            ("https://db.internal", "must be a public address"),
            ("https://2130706433", "must be a public address"),
            ("https://example.com@127.0.0.1", "Leave user name and password out"),
        ],
    )
    def test_refuses_addresses_inside_this_network_unless_the_setting_allows_them(
        self, team: Team, settings: LazySettings, url: str, words: str
    ) -> None:
        settings.ALLOW_LOCAL_VENDORS = False

        said = add("--credential", f"token={TOKEN}", "--base-url", url)

        assert words in (said.error or "")
        assert set(rows().values()) == {0}

    def test_prints_help_for_each_of_its_commands(self) -> None:
        done = processes.run("manage.py", "account", "add", "--help")

        assert done.returncode == 0
        assert all(
            option in done.stdout for option in ("--credential", "--base-url", "--set", "--permission", "--format")
        )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


class TestCheck:
    def test_of_a_good_token_ends_well(self, world: World) -> None:
        said = well("account", "check", "scorpion")

        assert said.out == "The token is accepted.\n"

    def test_of_a_bad_token_pauses_the_account_and_ends_with_an_error(self, world: World) -> None:
        world.sandbox.control("scorpion", "regenerate_credentials")

        said = say("account", "check", "scorpion", "--format", "json")

        assert said.error == "The account does not work."
        assert said.json["is_paused"] is True
        assert "401" in said.json["pause_reason"]
        assert said.json["checked_at"]

    def test_that_tells_nothing_says_so_and_is_no_error(self, world: World) -> None:
        world.sandbox.fault("scorpion", "html")

        said = say("account", "check", "scorpion")

        assert "cannot be tested without creating a delivery" in said.out
        assert said.error is None
        assert not Account.objects.get().is_paused

    @pytest.mark.parametrize("kind", ["refused", "500_before", "timeout_before"])
    def test_that_does_not_reach_the_vendor_is_an_error(self, world: World, kind: str) -> None:
        world.sandbox.fault("scorpion", kind)

        said = say("account", "check", "scorpion")

        assert said.error == "The vendor could not be asked."
        assert not Account.objects.get().is_paused

    def test_resumes_a_paused_account_whose_token_works_again(self, world: World) -> None:
        Account.objects.update(paused_at=now(), pause_reason="401")

        said = well("account", "check", "scorpion", "--format", "json")

        assert said.json["is_paused"] is False
        assert said.json["message"] == "The token is accepted."

    @pytest.mark.parametrize("name", ["Nowhere", "²", "9" * 40, ""])
    def test_of_no_account_names_those_there_are(self, team: Team, name: str) -> None:
        factories.make_account(team, name="Scorpion")

        said = say("account", "check", name)

        assert said.error == f"There is no account “{name}”. Known are: Scorpion."

    def test_asks_which_where_two_teams_have_one_of_that_name(self, team: Team) -> None:
        factories.make_account(team, name="Scorpion")
        factories.make_account(factories.make_team("Southern exams"), name="Scorpion")

        assert "Say which with --team" in (say("account", "check", "Scorpion").error or "")


class TestCredentials:
    def test_resume_a_paused_account_with_all_that_waited(self, world: World) -> None:
        new = world.sandbox.control("scorpion", "regenerate_credentials")["token"]
        world.deliver(3)
        world.drain()
        assert Account.objects.get().is_paused

        said = well("account", "credentials", "Scorpion", "--credential", f"token={new}")
        world.drain()

        assert said.out == f"Saved. The fingerprint is {Account.objects.get().fingerprint}.\n"
        assert not Account.objects.get().is_paused
        assert world.states() == {"done": 3}
        world.assert_agrees()

    def test_that_are_missing_change_nothing(self, team: Team) -> None:
        factories.make_account(team, name="Scorpion", paused_at=now())

        said = say("account", "credentials", "Scorpion")

        assert "--credential token: This field is required." in (said.error or "")
        assert Account.objects.get().credentials == {"token": factories.TOKEN}
        assert not Account.objects.get().is_probing

    def test_are_entered_all_of_them_or_none(self, team: Team) -> None:
        stored = {"app_key": "stored-key-1", "app_secret": "stored-secret-1"}
        factories.make_account(team, name="Campfire", vendor="campfire", credentials=stored, permissions=[])

        said = say("account", "credentials", "Campfire", "--credential", "app_key=new-key-2")

        assert "--credential app_secret: This field is required." in (said.error or "")
        assert Account.objects.get().credentials == stored


class TestAsAProcess:
    def test_exits_with_0_for_what_was_done_and_with_1_for_a_token_that_is_refused(self, world: World) -> None:
        url = world.sandbox.url("scorpion")
        options = ["--team", "Northern exams", "--vendor", "scorpion", "--base-url", url]

        added = processes.run(
            "manage.py", "account", "add", "Second", *options, "--credential", "token=bm90OmtpdGNoZW4="
        )
        checked = processes.run("manage.py", "account", "check", "Second")

        assert (added.returncode, added.stderr) == (0, "")
        assert checked.returncode == 1
        assert "The account does not work." in checked.stderr
        assert "Traceback" not in checked.stderr
