"""On a shared machine every other local user is a stranger: nothing with details, links or credentials is theirs to read."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import LazySettings
from django.core.checks import run_checks

from config.private import OTHERS, is_open_to_others, keep_private
from tests.processes import ROOT

SENDS_A_MAIL_AND_A_WAKE_UP = """
from django.core.management import call_command
call_command("migrate", verbosity=0)
call_command("demo_data", verbosity=0)
from proctoring import mailer
from proctoring.ledger import wake
from proctoring.models import Account
from proctoring.sandbox.server import Sandbox
from django.conf import settings
mailer._to_file(b"Subject: x", lambda: None)
wake(Account.objects.first().pk)
with Sandbox.running({"scorpion": 0}, folder=settings.VAR_DIR / "sandbox"):
    call_command("collectstatic", interactive=False, verbosity=0)
"""


def run(folder: Path, *, umask: int = 0) -> None:
    others = ("DATABASE_URL", "CELERY_BROKER_URL", "EMAIL_URL")
    environment = {name: value for name, value in os.environ.items() if name not in others}
    subprocess.run(
        [sys.executable, "-c", f"import django; django.setup()\n{SENDS_A_MAIL_AND_A_WAKE_UP}"],
        cwd=ROOT,
        env={**environment, "VAR_DIR": str(folder), "DJANGO_SETTINGS_MODULE": "config.settings"},
        check=True,
        umask=umask,
    )


def everything(folder: Path) -> list[Path]:
    return [folder, *folder.rglob("*")]


def open_ones(folder: Path) -> list[str]:
    return [f"{path} {path.stat().st_mode & 0o777:o}" for path in everything(folder) if is_open_to_others(path)]


class TestFiles:
    def test_are_their_owners_alone_whatever_the_umask(self, tmp_path: Path) -> None:
        folder = tmp_path / "new" / "var"

        run(folder, umask=0)

        names = {path.name.partition(".")[0] for path in everything(folder)}
        assert {"console", "mail", "queue", "messages", "sandbox", "scorpion", "static", "field-key"} <= names
        assert any(path.suffix == ".eml" for path in everything(folder))
        assert any(path.suffix == ".msg" for path in everything(folder))
        assert open_ones(folder) == []

    def test_that_an_older_version_left_open_are_closed_at_the_next_start(self, tmp_path: Path) -> None:
        folder = tmp_path / "var"
        run(folder)
        for path in everything(folder):
            path.chmod(0o777 if path.is_dir() else 0o666)

        run(folder)

        assert open_ones(folder) == [f"{folder} 777"], "a folder that was given may be others', too"

    def test_of_others_that_stand_beside_them_are_left_alone(self, tmp_path: Path) -> None:
        ours, others = tmp_path / "mail", tmp_path / "others"
        for folder in (ours, others):
            folder.mkdir()
            (folder / "file").touch()
            (folder / "file").chmod(0o644)
            folder.chmod(0o755)
        (ours / "link").symlink_to(others / "file")

        keep_private(ours, tmp_path / "not-there")

        assert open_ones(ours) == []
        assert (others / "file").stat().st_mode & OTHERS == 0o44


class TestCheck:
    @pytest.mark.parametrize(("mode", "is_said"), [(0o600, False), (0o640, True), (0o604, True)])
    def test_names_what_others_can_read(self, tmp_path: Path, settings: LazySettings, mode: int, is_said: bool) -> None:
        settings.BASE_DIR, settings.PRIVATE_FILES = tmp_path, []
        (tmp_path / ".env").touch()
        (tmp_path / ".env").chmod(mode)

        said = [message for message in run_checks(tags=["security"]) if message.id == "proctoring.W001"]

        assert [f"chmod go= {tmp_path / '.env'}" in str(message.hint) for message in said] == [True] * is_said
