"""Everything on one machine with one command: the sandbox, a worker, the scheduler and the web server."""

from __future__ import annotations

import io
import logging
import os
import signal
import socket
import sys
import threading
import time
import urllib.error
import urllib.request
from argparse import ArgumentParser
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import CommandError
from honcho import manager as honcho
from honcho.printer import Printer

from proctoring import demo
from proctoring.management.console import ConsoleCommand, port_argument
from proctoring.management.leftovers import Note
from proctoring.sandbox.server import load
from proctoring.vendors import registry

log = logging.getLogger(__name__)

SANDBOX = "sandbox"
WRITTEN_TO = ("queue/messages", "sandbox", "mail")
READY_SECONDS = 60


class Audience(Printer):
    """Whoever reads what the processes say. Nobody is there any more: that is a Ctrl-C, too."""

    def write(self, message: Any) -> None:
        try:
            super().write(message)
        except OSError:
            _hang_up()


class Conductor(honcho.Manager):
    """Stops the vendors' simulators last, so that calls under way end with an answer."""

    _terminating: bool

    def __init__(self, note: Note) -> None:
        super().__init__(Audience(sys.stdout))
        self._note = note
        self._noted: set[str] = set()

    def _all_started(self) -> bool:
        for name, process in self._processes.items():
            if "pid" in process and name not in self._noted:
                self._noted.add(name)
                _write_down(self._note, name, process["pid"], process["obj"].cmd.partition(" ")[2].partition(" ")[2])
        return bool(super()._all_started())

    def terminate(self) -> None:
        self._terminating = True  # who is to stop is told at the next turn: by then each has started and has its id

    def _all_stopped(self) -> bool:
        running = [name for name, process in self._processes.items() if "returncode" not in process]
        if self._terminating:
            for name in [name for name in running if name != SANDBOX] or running:
                self._stop(self._processes[name])
        return not running

    def _stop(self, process: dict[str, Any]) -> None:
        if not process.get("is_told"):
            process["is_told"] = True
            self._procmgr.terminate(process["pid"])


class Command(ConsoleCommand):
    help = (
        "Migrates, loads the demo team, and runs the sandbox, a worker, the scheduler and the web server until Ctrl-C."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--port", type=port_argument, default=urlsplit(settings.SITE_URL).port or 8000)
        parser.add_argument("--no-demo", action="store_true", help="Without the demo team.")

    def handle(self, *args: Any, **options: Any) -> None:
        port = options["port"]
        note = Note(settings.VAR_DIR / "run.json")
        self._check_former(note)
        _check_writable()
        _check_free(port, "the web server", "PORT", port + 1000)
        for taken in _sandbox_ports():
            _check_free(taken, "the sandbox", "SANDBOX_PORT", settings.SANDBOX_PORT + 1000)
        call_command("migrate", verbosity=0, interactive=False)
        if not options["no_demo"]:
            call_command("demo_data", stdout=io.StringIO())
        conductor = Conductor(note)
        environment = {**os.environ, "PYTHONUNBUFFERED": "1", "PORT": str(port)}
        for name, command in _processes(port).items():
            conductor.add_process(name, command, env=environment)
        threading.Thread(target=self._welcome, args=(port, options["no_demo"]), daemon=True).start()
        signal.signal(signal.SIGHUP, _hang_up)
        honcho.KILL_WAIT = settings.CALL_DEADLINE_SECONDS + settings.LEASE_MARGIN_SECONDS
        _write_down(note, "run", os.getpid(), "manage.py run")
        conductor.loop()
        note.remove()
        self.stdout.write("Stopped. Everything is kept; `make run` goes on from here.")
        sys.exit(0 if conductor.returncode in (0, 130, 143) else conductor.returncode)

    def _check_former(self, note: Note) -> None:
        """Raises CommandError where a former run, or what it left, still runs."""
        try:
            left = dict(note.left_running())
        except (OSError, ValueError) as error:
            aside = note.set_aside()
            self.stderr.write(f"{note.path} cannot be read ({error}) and was set aside as {aside.name}.")
            return
        if (run := left.get("run")) is not None:
            raise CommandError(f"It is running already. Press Ctrl-C where it runs, or end it with:\n    kill {run}")
        if left:
            raise CommandError(_what_is_left(left))

    def _welcome(self, port: int, is_bare: bool) -> None:
        address = f"http://127.0.0.1:{port}/"
        if not _is_ready(address):
            return
        lines = [f"  The console is at  {address}"]
        if not is_bare:
            lines += [
                f"  Sign in as         coordinator  (or lead, administrator, viewer), password {demo.PASSWORD}",
                "  Try first          Deliver › choose “Certified Widget Inspector” and the demo candidates › Deliver",
            ]
        lines += [
            f"  The vendors        http://127.0.0.1:{settings.SANDBOX_PORT}/ simulates them; make them fail there"
        ]
        lines += ["  Ctrl-C stops everything and loses nothing."]
        bar = "─" * max(map(len, lines))
        with suppress(OSError):
            self.stdout.write("\n".join(["", bar, *lines, bar, ""]))
            self.stdout.flush()


def _what_is_left(left: Mapping[str, int]) -> str:
    names = ", ".join(f"{name} (pid {pid})" for name, pid in left.items())
    patience = 3 * settings.CALL_DEADLINE_SECONDS + settings.LEASE_MARGIN_SECONDS
    return (
        f"A former run was killed and left running: {names}. Nothing is lost. End "
        f"{'it' if len(left) == 1 else 'them'} with\n    kill {' '.join(map(str, left.values()))}\n"
        f"and start again. Calls under way are ended first; that may take {patience:.0f} seconds."
    )


def _write_down(note: Note, name: str, pid: int, command: str) -> None:
    """What it is for is worth a line where it fails, not more."""
    try:
        note.add(name, pid, command)
    except OSError as error:
        log.warning("%s cannot be written: %s. A run that is killed could not be tidied up after.", note.path, error)


def _check_writable() -> None:
    folders = [Path(settings.VAR_DIR), *filter(Path.is_dir, (settings.VAR_DIR / name for name in WRITTEN_TO))]
    for folder in folders:
        if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
            raise CommandError(
                f"{folder} cannot be written by this user. Let it and what is in it belong to this user, or set VAR_DIR."
            )


def _processes(port: int) -> dict[str, str]:
    python = f"exec {sys.executable}"
    return {
        SANDBOX: f"{python} manage.py sandbox",
        "worker": f"{python} -m celery -A config worker --loglevel WARNING --without-gossip --without-mingle",
        "scheduler": f"{python} -m celery -A config beat --loglevel WARNING --pidfile=",
        "web": f"{python} -m gunicorn config.wsgi --bind 127.0.0.1:{port} --threads 8 --log-level warning",
    }


def _sandbox_ports() -> list[int]:
    """The control page's, then each vendor's."""
    shift = settings.SANDBOX_PORT - settings.SANDBOX_DEFAULT_PORT
    return [settings.SANDBOX_PORT, *(load(key).default_port + shift for key in registry.VENDORS)]


def _hang_up(*_: object) -> None:
    """A terminal that was closed is a Ctrl-C, and nobody reads on: without this the processes would outlive it."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(nowhere, stream.fileno())
    os.kill(os.getpid(), signal.SIGTERM)


def _check_free(port: int, what: str, variable: str, other: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            raise CommandError(
                f"Port {port}, for {what}, is taken. Is it running already? Else choose another: "
                f"{variable}={other} make run"
            ) from None


def _is_ready(address: str) -> bool:
    ends = time.monotonic() + READY_SECONDS
    while time.monotonic() < ends:
        try:
            urllib.request.urlopen(address, timeout=5).close()  # noqa: S310 - our own http address
            return True
        except urllib.error.HTTPError:
            return True
        except OSError:
            time.sleep(0.2)
    return False
