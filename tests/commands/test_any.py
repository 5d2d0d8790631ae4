"""What holds for every command: sentences instead of tracebacks, JSON on standard output even then, and exit codes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from django.db import connection

from proctoring.models import Account, Call, Exam
from tests import factories, processes
from tests.commands.console import rows, say, type_in
from tests.processes import ROOT
from tests.world import World, now

ADD = ("account", "add", "N", "--team", "Northern exams", "--vendor", "scorpion")


@pytest.fixture
def exam(db: None) -> Exam:
    account = factories.make_account(factories.make_team("Northern exams"), name="North")
    return factories.make_exam(account, title="Widgets")


def manage(*arguments: str | bytes, folder: Path, **options: object) -> subprocess.CompletedProcess[str]:
    """`manage.py` in a folder of its own, where nothing is migrated."""
    others = ("DATABASE_URL", "CELERY_BROKER_URL")
    here = {name: value for name, value in os.environ.items() if name not in others} | {"VAR_DIR": str(folder)}
    return subprocess.run(  # type: ignore[call-overload, no-any-return]
        [sys.executable, "manage.py", *arguments],
        **{"cwd": ROOT, "env": here, "stderr": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, **options},
        check=False,
        timeout=60,
    )


class TestAMistake:
    @pytest.mark.parametrize(
        ("command", "words"),
        [
            (("sync", "Nowhere"), "There is no account “Nowhere”."),
            (("sync", "North"), "a call to list sessions, but this console does not do that yet."),
            (("account", "check", "Nowhere"), "There is no account “Nowhere”."),
            (("account", "check", "North", "--by", "nobody"), "There is no user “nobody”."),
            (("account", "credentials", "North", "--by", "una"), "It takes an administrator of that team."),
            ((*ADD, "--by", "una"), "una may not manage accounts of Northern exams."),
            (("exam", "add", "X", "--account", "North", "--by", "una"), "una may not edit exams of Northern exams."),
            (("exam", "send", "Widgets", "--by", "una"), "It takes a coordinator of that team."),
            (("exam", "send", "Gadgets"), "There is no exam “Gadgets”."),
            (("deliver", "Widgets", "/nowhere/at-all.csv"), "cannot be read: No such file or directory."),
            (("deliver", "Widgets", "/"), "/ cannot be read: Is a directory."),
            (("deliver", "Widgets", "-", "--invite"), "--invite goes with --wait"),
            (("deliver", "\udcff", "-"), r"exam: \udcff is not UTF-8."),
            (("session", "reset", "x", "--reason", "y", "--by", "una"), "There is no session “x”."),
            (("erase_bodies", "--days", "99999999999"), "--days must be from 1 to 36500."),
        ],
    )
    def test_is_a_sentence_and_json_with_it_and_changes_nothing(
        self, exam: Exam, command: tuple[str, ...], words: str
    ) -> None:
        factories.make_user(username="una", team=exam.team, role="viewer")
        before = rows()

        said = say(*command, "--format", "json")

        assert words in (said.error or "")
        assert said.json == {"error": said.error}
        assert said.code == 1
        assert rows() == before

    def test_in_the_encoding_of_a_secret_is_a_sentence(self, exam: Exam, monkeypatch: pytest.MonkeyPatch) -> None:
        type_in(monkeypatch, b"token=\xff\xfe")

        said = say(*ADD, "--credential", "-")

        assert said.error == "--credential -: what standard input says is not UTF-8."
        assert not Account.objects.filter(name="N").exists()

    @pytest.mark.parametrize("text", ["nan", "inf", "-1", "soon"])
    def test_in_a_time_is_wrong_usage(self, exam: Exam, text: str) -> None:
        assert "--timeout" in (say("sync", f"--timeout={text}").error or "")

    @pytest.mark.parametrize("text", ["99999", "-1", "1.5", "x"])
    def test_in_a_port_is_wrong_usage(self, text: str) -> None:
        assert "--port" in (say("sandbox", f"--port={text}").error or "")

    def test_in_a_key_is_a_sentence(self, exam: Exam) -> None:
        factories.make_call(exam.account)
        with connection.cursor() as cursor:
            cursor.execute(f"UPDATE {Call._meta.db_table} SET request_body = 'no token'")

        said = say("rotate_keys", "--format", "json")

        assert "was encrypted with a key that FIELD_ENCRYPTION_KEYS does not hold" in (said.error or "")
        assert said.json == {"error": said.error}


class TestAsAProcess:
    def test_says_that_the_database_is_not_migrated(self, tmp_path: Path) -> None:
        done = manage("sync", "--format", "json", folder=tmp_path)

        assert done.returncode == 1
        assert done.stderr == "CommandError: The database is not up to date. `manage.py migrate` makes it so.\n"
        assert json.loads(done.stdout) == {"error": "The database is not up to date. `manage.py migrate` makes it so."}

    def test_that_is_called_wrongly_exits_with_2_and_prints_json(self, tmp_path: Path) -> None:
        done = manage("sync", "--timeout", "nan", "--format", "json", folder=tmp_path)

        assert done.returncode == 2
        assert "argument --timeout: nan is no number of seconds" in done.stderr
        assert "error" in json.loads(done.stdout)

    def test_says_nothing_where_its_reader_has_gone(self, tmp_path: Path) -> None:
        reader, writer = os.pipe()
        os.close(reader)

        done = manage("vendors", folder=tmp_path, stdout=writer)

        os.close(writer)
        assert (done.returncode, done.stderr) == (141, "")

    def test_works_without_standard_output_and_prints_what_an_ascii_terminal_can_show(self, tmp_path: Path) -> None:
        closed = subprocess.run(
            ["sh", "-c", f"exec {sys.executable} manage.py vendors >&- <&-"],
            cwd=ROOT,
            env={**os.environ, "VAR_DIR": str(tmp_path)},
            stderr=subprocess.PIPE,
            check=False,
        )
        ascii_only = {**os.environ, "VAR_DIR": str(tmp_path), "PYTHONIOENCODING": "ascii"}
        shown = manage("vendors", "--format", "json", folder=tmp_path, env=ascii_only)

        assert (closed.returncode, closed.stderr) == (0, b"")
        assert (shown.returncode, shown.stderr) == (0, "")
        assert len(json.loads(shown.stdout)) == 5

    @pytest.mark.parametrize("command", ["deliver", "sync"])
    def test_tells_its_exit_codes(self, tmp_path: Path, command: str) -> None:
        said = " ".join(manage(command, "--help", folder=tmp_path).stdout.split())

        assert "Exit codes: 0 all of it was done" in said
        assert "130 stopped by Ctrl-C." in said

    def test_that_is_stopped_by_ctrl_c_says_who_goes_on(self, world: World, tmp_path: Path) -> None:
        roster = tmp_path / "roster.csv"
        roster.write_text("First name,Last name,E-mail\nAnn,Lee,ann@example.org\n")
        Account.objects.update(next_call_at=now().replace(year=now().year + 1))  # it will have to wait
        waits = subprocess.Popen(
            [sys.executable, "manage.py", "deliver", "Widgets", str(roster), "--wait", "--format", "json"],
            cwd=ROOT,
            env=processes.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert processes.eventually(lambda: world.states() == {"queued": 1}, seconds=30)

        waits.send_signal(signal.SIGINT)
        out, error = waits.communicate(timeout=30)

        assert waits.returncode == 130
        assert error == "CommandError: Stopped. A worker goes on with what was asked for already.\n"
        assert "Stopped." in json.loads(out)["error"]
        assert world.states() == {"queued": 1}
