"""Erases old requests and replies from the ledger."""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import UTC, datetime, timedelta
from typing import Any

from django.core.management.base import CommandError

from proctoring import ledger
from proctoring.management.console import ConsoleCommand

MOST_DAYS = 36_500


class Command(ConsoleCommand):
    help = "Erases what was said in calls older than so many days; that they were made, when and how they ended stays."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--days", type=int, required=True)

    def handle(self, *args: Any, **options: Any) -> None:
        if not 1 <= options["days"] <= MOST_DAYS:
            raise CommandError(f"--days must be from 1 to {MOST_DAYS}.")
        erased = ledger.erase_bodies(before=datetime.now(UTC) - timedelta(days=options["days"]))
        if options["format"] == "json":
            self.print_json({"erased": erased})
        else:
            self.stdout.write(f"Erased the bodies of {erased} {'call' if erased == 1 else 'calls'}.")
