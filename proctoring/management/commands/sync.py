"""Takes in the sessions that vendors list."""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import CommandError

from proctoring import sessions, waiting
from proctoring.management.console import ConsoleCommand, find_account, seconds_argument
from proctoring.models import Account, Reading
from proctoring.vendors import registry
from proctoring.vendors.base import Verb


class Command(ConsoleCommand):
    help = "Lists the sessions of an account, or of every account whose vendor can, and takes them in."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("account", metavar="ACCOUNT", nargs="?")
        parser.add_argument("--team")
        parser.add_argument(
            "--timeout",
            type=seconds_argument,
            default=600.0,
            metavar="SECONDS",
            help="How long to wait for each account.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        rows = [_sync(account, options["timeout"]) for account in self._accounts(options)]
        if options["format"] == "json":
            self.print_json(rows)
        else:
            self.print_table(["account", "result"], [[row["account"], row["error"] or row["message"]] for row in rows])
        if any(row["error"] for row in rows):
            raise CommandError("Not everything could be read.")

    def _accounts(self, options: dict[str, Any]) -> list[Account]:
        if options["account"]:
            account = find_account(options["account"], options["team"])
            if registry.capability(account.vendor, Verb.LIST_SESSIONS) is None:
                raise CommandError(registry.facts(account.vendor).why_not(Verb.LIST_SESSIONS, "list sessions"))
            return [account]
        listing = [facts.key for facts in registry.all_facts() if Verb.LIST_SESSIONS in facts.capabilities]
        return list(Account.objects.filter(vendor__in=listing, is_archived=False))


def _sync(account: Account, seconds: float) -> dict[str, Any]:
    """Asks for the list and waits until it was read, here or by a worker that was faster."""
    before = _reading(account)
    read_before = before.read_at if before else None
    sessions.ask_sync(account, by=None, now=datetime.now(UTC))

    def is_over() -> bool:
        reading = _asked(account)
        return reading.read_at != read_before or bool(_why_not_read(reading))

    waiting.work_until(is_over, drains=[account.pk], seconds=seconds)
    reading = _asked(account)
    is_read = reading.read_at != read_before and not reading.error
    late = f"It was not read within {seconds:g} seconds. A worker goes on."
    error = "" if is_read else _why_not_read(reading) or reading.error or late
    return {"account": account.name, "message": reading.message, "error": error, "sessions": account.sessions.count()}


def _why_not_read(reading: Reading) -> str:
    """Why it will not be read now; "" where it has been or may be yet. One that is tried again soon is waited for."""
    if reading.error and (reading.due_at is None or reading.every_seconds):
        return str(reading.error)
    if reading.due_at is not None:
        return sessions.refusal(reading.account, Verb.LIST_SESSIONS)
    return ""


def _asked(account: Account) -> Reading:
    reading = _reading(account)
    assert reading is not None  # noqa: S101 - it was asked for
    return reading


def _reading(account: Account) -> Reading | None:
    found = Reading.objects.filter(account=account, session=None, verb=Verb.LIST_SESSIONS.value)
    return found.select_related("account").first()
