"""Real processes against the test database: drains that crash, workers, schedulers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from django.conf import settings
from django.db import connection

ROOT = Path(__file__).resolve().parent.parent


def environment(**values: str) -> dict[str, str]:
    """What a process needs to work on the same database, with the same keys and deadlines, as this test."""
    database = connection.settings_dict
    name = quote(str(database["NAME"]))
    if connection.vendor == "sqlite":
        url = f"sqlite:///{name}"
    else:
        url = f"postgres://{database['USER']}@{database['HOST']}:{database['PORT']}/{name}"
    return {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "DATABASE_URL": url,
        "SECRET_KEY": settings.SECRET_KEY,
        "FIELD_ENCRYPTION_KEYS": ",".join(settings.FIELD_ENCRYPTION_KEYS),
        "CALL_DEADLINE_SECONDS": str(settings.CALL_DEADLINE_SECONDS),
        "LEASE_MARGIN_SECONDS": str(settings.LEASE_MARGIN_SECONDS),
        "ALLOW_LOCAL_VENDORS": "yes",
        "SWEEP_SECONDS": "1",
        "LOG_LEVEL": "WARNING",
        **values,
    }


def run(*arguments: str, **values: str) -> subprocess.CompletedProcess[str]:
    """Runs Python with these arguments to its end."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=environment(**values),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@contextmanager
def running(*arguments: str, **values: str) -> Iterator[subprocess.Popen[bytes]]:
    """Python with these arguments in the background; killed at the end if it is still there."""
    child = subprocess.Popen([sys.executable, *arguments], cwd=ROOT, env=environment(**values))
    try:
        yield child
    finally:
        if child.poll() is None:
            child.send_signal(signal.SIGCONT)
            child.kill()
        child.wait(timeout=20)


def worker(**values: str) -> Any:
    """A Celery worker as `make run` starts it."""
    return running(
        "-m",
        "celery",
        "-A",
        "config",
        "worker",
        "--loglevel",
        "WARNING",
        "--without-gossip",
        "--without-mingle",
        **values,
    )


def scheduler(**values: str) -> Any:
    return running("-m", "celery", "-A", "config", "beat", "--loglevel", "WARNING", "--pidfile=", **values)


def eventually(claim: Callable[[], bool], *, seconds: float = 60.0, every: float = 0.1) -> bool:
    """Whether a claim becomes true in time."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        if claim():
            return True
        time.sleep(every)
    return claim()
