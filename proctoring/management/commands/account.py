"""Adds accounts, gives them credentials, and tests them."""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import UTC, datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError
from django.forms import Form

from proctoring import accounts, waiting
from proctoring.management.console import (
    ConsoleCommand,
    by_argument,
    check_right,
    clean,
    find_account,
    find_team,
    find_user,
    local,
    pairs,
    read_input,
    seconds_argument,
    validation_text,
)
from proctoring.models import Account, Call, Team, User
from proctoring.policy import Right
from proctoring.vendors import registry
from proctoring.vendors.base import Verb

CHECK_SECONDS = 60.0


class Command(ConsoleCommand):
    help = "Adds an account at a vendor, gives it new credentials, or tests it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        commands = parser.add_subparsers(dest="command", required=True)
        add = commands.add_parser("add", help="Add an account.")
        super().add_arguments(add)
        by_argument(add)
        add.add_argument("name", metavar="NAME")
        add.add_argument("--team", required=True)
        add.add_argument("--vendor", required=True, choices=list(registry.VENDORS))
        add.add_argument("--base-url", default="", help="Where the vendor's API is. Empty: its documented address.")
        _credential_argument(add)
        add.add_argument(
            "--set", action="append", default=[], metavar="K=V", help="A setting of this vendor's accounts."
        )
        add.add_argument(
            "--permission", action="append", default=[], help="A right that the vendor granted. Repeatable."
        )
        add.add_argument("--calls-at-once", type=int, default=4)
        add.add_argument("--calls-per-minute", type=int)
        check = commands.add_parser("check", help="Test an account's credentials by something harmless.")
        super().add_arguments(check)
        by_argument(check)
        check.add_argument("name", metavar="NAME")
        check.add_argument("--team")
        check.add_argument(
            "--timeout",
            type=seconds_argument,
            default=CHECK_SECONDS,
            metavar="SECONDS",
            help="How long to wait for the answer.",
        )
        change = commands.add_parser("credentials", help="Give an account new credentials.")
        super().add_arguments(change)
        by_argument(change)
        change.add_argument("name", metavar="NAME")
        change.add_argument("--team")
        _credential_argument(change)

    def handle(self, *args: Any, **options: Any) -> None:
        getattr(self, f"handle_{options['command']}")(options)

    def handle_add(self, options: dict[str, Any]) -> None:
        forms = registry.forms(options["vendor"])
        team = find_team(options["team"])
        by = _find_by(options, team)
        account = Account(
            team=team,
            name=options["name"],
            vendor=options["vendor"],
            base_url=options["base_url"] or registry.facts(options["vendor"]).base_url,
            settings=clean(forms.AccountForm, pairs(options["set"], option="--set")),
            permissions=_permissions(options["vendor"], options["permission"]),
            calls_at_once=options["calls_at_once"],
            calls_per_minute=options["calls_per_minute"],
        )
        credentials = _clean_credentials(forms.CredentialsForm, options)
        try:
            accounts.add(account, credentials=credentials, by=by, now=datetime.now(UTC))
        except ValidationError as error:
            raise CommandError(validation_text(error)) from None
        self._say(account, options, f"Added the account {account.name}. Test it with: account check {account.name!r}")

    def handle_credentials(self, options: dict[str, Any]) -> None:
        account = find_account(options["name"], options["team"])
        by = _find_by(options, account.team)
        credentials = _clean_credentials(registry.forms(account.vendor).CredentialsForm, options)
        accounts.set_credentials(account, credentials, by=by, now=datetime.now(UTC))
        self._say(account, options, f"Saved. The fingerprint is {account.fingerprint}.")

    def handle_check(self, options: dict[str, Any]) -> None:
        account = find_account(options["name"], options["team"])
        accounts.ask_check(account, by=_find_by(options, account.team), now=datetime.now(UTC))
        asked = Account.objects.filter(pk=account.pk)
        waiting.work_until(
            asked.exclude(checked_at=None).exists, drains=[account.pk], seconds=options["timeout"]
        )  # here, or by a worker that was faster
        account.refresh_from_db()
        self._say(account, options, account.check_message or "No answer yet; a worker goes on trying.")
        if failure := _why_check_failed(account, options["timeout"]):
            raise CommandError(failure)

    def _say(self, account: Account, options: dict[str, Any], sentence: str) -> None:
        if options["format"] == "text":
            self.stdout.write(sentence)
            for warning in accounts.warnings(account):
                self.stdout.write(f"Note: {warning}")
            return
        self.print_json(
            {
                "id": account.pk,
                "name": account.name,
                "team": account.team.name,
                "vendor": account.vendor,
                "base_url": account.base_url,
                "fingerprint": account.fingerprint,
                "is_paused": account.is_paused,
                "pause_reason": account.pause_reason,
                "checked_at": local(account.checked_at),
                "message": sentence,
                "warnings": list(accounts.warnings(account)),
            }
        )


def _find_by(options: dict[str, Any], team: Team) -> User | None:
    by = find_user(options["by"])
    check_right(by, team, Right.MANAGE_ACCOUNTS, "manage accounts")
    return by


def _credential_argument(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--credential",
        action="append",
        default=[],
        metavar="K=V",
        help="A credential. “-” reads K=V lines from standard input, so that they stay out of the shell's history.",
    )


def _credentials(options: dict[str, Any]) -> dict[str, str]:
    items = [item for item in options["credential"] if item != "-"]
    if "-" in options["credential"]:
        try:
            typed = read_input("-")[0].decode()
        except UnicodeDecodeError:
            raise CommandError("--credential -: what standard input says is not UTF-8.") from None
        items += [line.strip() for line in typed.splitlines() if line.strip()]
    return pairs(items, option="--credential", is_secret=True)


def _clean_credentials(form: type[Form], options: dict[str, Any]) -> dict[str, Any]:
    return clean(form, _credentials(options), option="--credential", is_secret=True)


def _permissions(vendor: str, permissions: list[str]) -> list[str]:
    known = registry.facts(vendor).permissions
    names = [name.strip() for item in permissions for name in item.split(",") if name.strip()]
    for name in names:
        if name not in known:
            raise CommandError(f"--permission {name}: this vendor's rights are {', '.join(known) or 'none'}.")
    return sorted(set(names))


def _why_check_failed(account: Account, seconds: float) -> str:
    """ "" where the vendor was asked and did not refuse, even if its answer tells nothing."""
    if account.is_paused:
        return "The account does not work."
    if not account.checked_at:
        return f"The test did not end within {seconds:g} seconds."
    call = Call.objects.filter(account=account, verb=Verb.CHECK, lead=None).order_by("-claimed_at").first()
    return "The vendor could not be asked." if call is not None and call.error else ""
