"""Loads the demo team."""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import UTC, datetime
from typing import Any

from django.conf import settings

from proctoring import demo
from proctoring.management.console import ConsoleCommand, port_argument
from proctoring.sandbox.server import load
from proctoring.vendors import registry


class Command(ConsoleCommand):
    help = "Loads the demo team with an account at each vendor's simulator. Loading it again changes nothing."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--sandbox-port", type=port_argument, default=settings.SANDBOX_PORT)

    def handle(self, *args: Any, **options: Any) -> None:
        shift = options["sandbox_port"] - settings.SANDBOX_DEFAULT_PORT
        urls = {key: f"http://127.0.0.1:{load(key).default_port + shift}" for key in registry.VENDORS}
        team = demo.load(sandbox_urls=urls, now=datetime.now(UTC))
        if options["format"] == "json":
            users = [{"username": name, "role": role.value, "password": demo.PASSWORD} for name, role in demo.USERS]
            self.print_json({"team": team.name, "users": users, "accounts": urls})
        else:
            self.stdout.write(f"The demo team is there. Sign in as coordinator, password {demo.PASSWORD}.")
