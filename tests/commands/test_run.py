"""Everything on one machine, as `make run` starts it: real processes, ports and files of their own."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import socket
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from django.conf import LazySettings
from django.core.management import call_command
from django.core.management.base import CommandError

from proctoring.management.leftovers import Note
from tests.processes import ROOT, eventually, running

RUN = [sys.executable, "manage.py", "run"]
EXAM = "Certified Widget Inspector"
PORTS = 8  # the web server's, the sandbox's own and one for each vendor, in a row
OTHERS = ("DATABASE_URL", "CELERY_BROKER_URL", "EMAIL_URL", "SITE_URL", "SECRET_KEY")
STOPS_WITHIN_SECONDS = 20


@dataclass(frozen=True)
class Machine:
    """A folder and ports that nobody else uses."""

    folder: Path
    port: int

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def scorpion(self) -> str:
        return f"http://127.0.0.1:{self.port + 1}/scorpion/_sandbox"

    @property
    def environment(self) -> dict[str, str]:
        embedded = {name: value for name, value in os.environ.items() if name not in OTHERS}
        ports = {"PORT": str(self.port), "SANDBOX_PORT": str(self.port + 1), "SWEEP_SECONDS": "1"}
        return {**embedded, **ports, "VAR_DIR": str(self.folder), "DJANGO_SETTINGS_MODULE": "config.settings"}

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        """`manage.py run`, from its welcome on."""
        with (self.folder / "log").open("wb") as log:
            child = subprocess.Popen(
                RUN, cwd=ROOT, env=self.environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
        try:
            assert eventually(lambda: "Ctrl-C stops" in self.log or child.poll() is not None, seconds=60), self.log
            yield child
        finally:
            if child.poll() is None:
                child.terminate()
                child.wait(timeout=60)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`manage.py run` that is to end at once."""
        return subprocess.run(
            [*RUN, *arguments],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    def states(self) -> Counter[str]:
        with closing(sqlite3.connect(f"file:{self.folder}/console.sqlite3?mode=ro", uri=True)) as database:
            return Counter(state for (state,) in database.execute("SELECT state FROM proctoring_action"))

    def refs(self) -> set[str]:
        with closing(sqlite3.connect(f"file:{self.folder}/console.sqlite3?mode=ro", uri=True)) as database:
            return {ref for (ref,) in database.execute("SELECT ref FROM proctoring_delivery WHERE ref <> ''")}

    def refs_at_vendor(self) -> list[str]:
        return [item["id"] for item in requests.get(f"{self.scorpion}/state", timeout=10).json()["deliveries"]]

    def is_silent(self) -> bool:
        return all(_is_free(self.port + number) for number in range(PORTS))


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


class Reader:
    """Whoever reads the welcome and does as it says, without a browser."""

    def __init__(self, machine: Machine) -> None:
        found = re.search(r"Sign in as +(\w+).*password (\S+)", machine.log)
        assert found, machine.log
        self._browser = requests.Session()
        self._page = self._browser.get(machine.address, timeout=10)
        self.first_page = self._send(username=found[1], password=found[2])
        self._address = f"{machine.address}/deliver/"

    def deliver(self, name: str, number: int) -> None:
        """A pasted list, its preview, and the press."""
        people = "\n".join(f"{name} Lee {n} <{name.lower()}{n}@example.org>" for n in range(number))
        self._page = self._browser.get(self._address, timeout=10)
        exam = re.search(rf'value="([\w-]+)"[^>]*>{EXAM}', self._page.text)
        assert exam, self._page.text
        self._send(exam=exam[1], mode="first", source="pasted", pasted=people)
        self._send()
        assert "/batches/" in self._page.url, self._page.text

    def _send(self, **values: str) -> str:
        """The form of the page that is open."""
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', self._page.text)
        assert token, self._page.text
        self._page = self._browser.post(self._page.url, data={"csrfmiddlewaretoken": token[1], **values}, timeout=10)
        return self._page.text


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    # Below the ports that the system hands out by itself.
    starts = (random.randrange(20_000, 32_000) for _ in range(100))
    return Machine(tmp_path, next(port for port in starts if all(_is_free(port + n) for n in range(PORTS))))


class TestRun:
    def test_welcomes_works_stops_in_the_middle_of_calls_and_goes_on_where_it_was(self, machine: Machine) -> None:
        with machine.running() as run:
            assert f"The console is at  {machine.address}/" in machine.log, (run.poll(), machine.log)
            reader = Reader(machine)
            assert EXAM in reader.first_page
            reader.deliver("Ann", 2)
            assert eventually(lambda: machine.states() == {"done": 2}), machine.log

            requests.post(f"{machine.scorpion}/faults", json={"kind": "slow", "seconds": 1.5}, timeout=10)
            reader.deliver("Bo", 12)
            assert eventually(lambda: machine.states()["sending"] > 0), machine.log
            run.send_signal(signal.SIGINT)
            code = run.wait(timeout=STOPS_WITHIN_SECONDS)

        stopped = machine.states()
        assert code == 0, machine.log
        assert "Everything is kept" in machine.log
        assert "Traceback" not in machine.log
        assert set(stopped) == {"done", "queued"}
        assert stopped["done"] > 2
        assert machine.is_silent()

        with machine.running() as run:
            assert eventually(lambda: machine.states() == {"done": 14}), machine.log
            at_vendor = machine.refs_at_vendor()
            run.send_signal(signal.SIGHUP)  # the terminal is closed
            run.wait(timeout=STOPS_WITHIN_SECONDS)

        assert len(at_vendor) == 14
        assert set(at_vendor) == machine.refs()
        assert machine.is_silent()

    def test_starts_over_broken_files_and_says_what_a_killed_run_left_running(self, machine: Machine) -> None:
        broken = {"run.json": b"[", "sandbox/scorpion.sqlite3": b"rubbish" * 200, "queue/messages/!.celery.msg": b""}
        for name, data in broken.items():
            (machine.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (machine.folder / name).write_bytes(data)

        with machine.running() as run:
            assert f"{machine.folder / 'run.json'} cannot be read" in machine.log
            assert f"{machine.folder / 'sandbox' / 'scorpion.sqlite3'} cannot be read" in machine.log
            assert eventually(lambda: "!.celery.msg is no message and was set aside" in machine.log)
            assert requests.get(f"{machine.scorpion}/state", timeout=10).json()["exams"]
            run.kill()
            run.wait(timeout=10)
        again = machine.run()

        kill = re.search(r"kill ([\d ]+)\n", again.stderr)
        assert again.returncode == 1
        assert kill, again.stderr
        assert "A former run was killed and left running: " in again.stderr
        assert {"sandbox", "worker", "scheduler", "web"} == set(re.findall(r"(\w+) \(pid", again.stderr))
        subprocess.run(["kill", *kill[1].split()], check=True)
        assert eventually(machine.is_silent, seconds=30)
        assert eventually(lambda: not Note(machine.folder / "run.json").left_running(), seconds=30)

    def test_says_that_it_is_running_already(self, machine: Machine) -> None:
        with running("-c", "import time; time.sleep(60)", "manage.py run") as other:
            (machine.folder / "run.json").write_text(json.dumps({"run": [other.pid, "manage.py run"]}))

            again = machine.run()

        assert (again.returncode, again.stdout) == (1, "")
        assert (
            f"It is running already. Press Ctrl-C where it runs, or end it with:\n    kill {other.pid}" in again.stderr
        )

    @pytest.mark.parametrize(
        "noted",
        [
            {"run": [2**22 + 1, "manage.py run"]},  # no process has this number
            {"worker": [os.getpid(), "celery -A config worker"]},  # another process has it by now
        ],
    )
    def test_minds_no_process_that_is_gone(self, machine: Machine, noted: dict[str, Any]) -> None:
        note = Note(machine.folder / "run.json")
        note.path.write_text(json.dumps(noted))

        assert note.left_running() == {}

    @pytest.mark.parametrize("data", [b"", b"{", b"\xff\x00", b"[]", b'{"run": 7}', b'{"run": ["x", "y"]}', None])
    def test_sets_a_broken_note_aside(self, machine: Machine, data: bytes | None) -> None:
        note = Note(machine.folder / "run.json")
        note.path.mkdir() if data is None else note.path.write_bytes(data)

        with pytest.raises((OSError, ValueError)):
            note.left_running()
        note.set_aside()
        note.add("worker", os.getppid(), "")

        assert note.left_running() == {"worker": os.getppid()}

    @pytest.mark.parametrize(("number", "variable"), [(0, "PORT"), (1, "SANDBOX_PORT"), (3, "SANDBOX_PORT")])
    def test_says_so_where_a_port_is_taken(
        self, machine: Machine, settings: LazySettings, number: int, variable: str
    ) -> None:
        settings.SANDBOX_PORT = machine.port + 1
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", machine.port + number))
            taken.listen()

            with pytest.raises(CommandError, match=f"Port {machine.port + number}, for .* is taken.*{variable}="):
                call_command("run", port=machine.port)


class TestAKeyFile:
    """Where something would be lost, nothing is mended: a sentence names the file and says what to do."""

    @pytest.mark.parametrize("name", ["field-key", "secret-key"])
    @pytest.mark.parametrize(
        ("data", "words"),
        [
            (b"", "is empty."),
            (b"cut-off", "holds no whole key."),
            (b"\xff\x00\x80", "cannot be read: it is not text."),
            (None, "cannot be read: Is a directory."),
        ],
    )
    def test_that_is_broken_stops_with_a_sentence_and_stays(
        self, machine: Machine, name: str, data: bytes | None, words: str
    ) -> None:
        path = machine.folder / name
        path.mkdir() if data is None else path.write_bytes(data)

        run = machine.run()

        assert run.returncode == 1
        assert run.stderr.startswith(f"{path} {words} Put it back from a backup. Only where there is none, delete it")
        assert "Traceback" not in run.stderr
        assert path.is_dir() if data is None else path.read_bytes() == data

    def test_is_made_whole_and_no_draft_of_it_stays(self, machine: Machine) -> None:
        machine.run("--help")

        names = {path.name for path in machine.folder.iterdir()}
        assert {name for name in names if "key" in name} == {"field-key", "secret-key"}
        assert len((machine.folder / "secret-key").read_text()) >= 50


class TestTheDatabase:
    def test_that_is_none_is_named(self, machine: Machine) -> None:
        (machine.folder / "console.sqlite3").write_bytes(b"rubbish" * 200)

        run = machine.run()

        assert run.returncode == 1
        assert (
            f"The database {machine.folder / 'console.sqlite3'} cannot be used: file is not a database." in run.stderr
        )
        assert "Traceback" not in run.stderr

    def test_folder_that_is_a_file_is_named(self, machine: Machine) -> None:
        (machine.folder / "queue").write_bytes(b"")

        run = machine.run()

        assert run.returncode == 1
        assert f"{machine.folder / 'queue' / 'messages'} cannot be used as a folder: Not a directory." in run.stderr
        assert "Traceback" not in run.stderr
