"""Takes in the sessions that vendors list."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import CommandError

from proctoring import ledger, sessions
from proctoring.management.console import ConsoleCommand, find_account
from proctoring.models import Account, Reading
from proctoring.tasks import worker_name
from proctoring.vendors import registry
from proctoring.vendors.base import Verb
from proctoring.verbs import VERBS


class Command(ConsoleCommand):
    help = "Lists the sessions of an account, or of every account whose vendor can, and takes them in."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("account", metavar="ACCOUNT", nargs="?")
        parser.add_argument("--team")
        parser.add_argument("--timeout", type=float, default=600.0, metavar="SECONDS")

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
    asked_at = datetime.now(UTC)
    sessions.ask_sync(account, by=None, now=asked_at)
    ledger.drain(account.pk, VERBS, worker=worker_name(), should_stop=_until_read(account, asked_at), seconds=seconds)
    reading = Reading.objects.get(account=account, session=None, verb=Verb.LIST_SESSIONS.value)
    error = reading.error or ("" if reading.read_at and reading.read_at >= asked_at else "It was not read in time.")
    return {"account": account.name, "message": reading.message, "error": error, "sessions": account.sessions.count()}


def _until_read(account: Account, asked_at: datetime) -> Callable[[], bool]:
    def is_read() -> bool:
        return Reading.objects.filter(
            account=account, session=None, verb=Verb.LIST_SESSIONS.value, read_at__gte=asked_at
        ).exists()

    return is_read
