"""Runs the simulators of every vendor."""

from __future__ import annotations

import sqlite3
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError

from proctoring.management.console import ConsoleCommand, port_argument
from proctoring.sandbox.server import Sandbox, load
from proctoring.vendors import registry


class Command(ConsoleCommand):
    help = "Runs a strict simulator of each vendor, one port each, until it is stopped. Its state is kept."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument(
            "--port",
            type=port_argument,
            default=settings.SANDBOX_PORT,
            help="The control page; the vendors' ports follow it.",
        )
        parser.add_argument("--folder", default=str(settings.VAR_DIR / "sandbox"), help="Where the state is kept.")

    def handle(self, *args: Any, **options: Any) -> None:
        port = options["port"]
        simulators = [load(key) for key in registry.VENDORS]
        shift = port - settings.SANDBOX_DEFAULT_PORT
        ports = {simulator.vendor: simulator.default_port + shift if port else 0 for simulator in simulators}
        try:
            sandbox = Sandbox(
                simulators, ports=ports, host=options["host"], control_port=port, folder=Path(options["folder"])
            )
        except (OSError, OverflowError) as error:
            raise CommandError(
                f"The simulators cannot open their ports at {options['host']}, {port} and after, or use the folder "
                f"{options['folder']}: {error}. Choose others with --port, --host or --folder."
            ) from None
        except sqlite3.Error as error:
            raise CommandError(f"The simulators' files in {options['folder']} cannot be used: {error}.") from None
        addresses = {key: sandbox.url(key) for key in sandbox.vendors}
        if options["format"] == "json":
            self.print_json({"control": sandbox.control_url, "vendors": addresses})
        else:
            self.stdout.write(f"The sandbox's page is {sandbox.control_url}/")
            for key, url in addresses.items():
                self.stdout.write(f"  {key}: {url}")
        self.stdout.flush()
        sandbox.run_until_signalled()
