"""Fixtures that every test may ask for."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings
from django.conf import settings as django_settings

from proctoring.ledger import waking
from proctoring.sandbox.server import Sandbox
from tests import servers
from tests.world import World


@pytest.fixture(autouse=True)
def _quick_and_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(django_settings, "PASSWORD_HASHERS", ["django.contrib.auth.hashers.MD5PasswordHasher"])
    monkeypatch.setattr(waking, "_broken_until", 0.0)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """Scorpion's simulator at a free port, with nothing kept."""
    with Sandbox.running({"scorpion": 0}) as running:
        yield running


PATIENT_SECONDS, HURRIED_SECONDS = 20.0, 0.8
HANGING = {"drip", "timeout_before", "timeout_after", "late_effect"}


def with_patience(sandbox: Sandbox, settings: LazySettings) -> Sandbox:
    """Deadlines that a busy machine keeps; a short one from the fault on that lets a call run into it."""
    settings.CALL_DEADLINE_SECONDS, settings.LEASE_MARGIN_SECONDS = PATIENT_SECONDS, 1.0
    set_fault = sandbox.fault

    def fault(vendor: str, kind: str, /, **values: Any) -> Any:
        hangs = kind in HANGING or (kind == "slow" and values.get("seconds", 0) >= HURRIED_SECONDS)
        if hangs and settings.CALL_DEADLINE_SECONDS == PATIENT_SECONDS:
            settings.CALL_DEADLINE_SECONDS = HURRIED_SECONDS
        return set_fault(vendor, kind, **values)

    sandbox.fault = fault  # type: ignore[method-assign]
    return sandbox


@pytest.fixture
def world(transactional_db: None, sandbox: Sandbox, settings: LazySettings) -> World:
    """A team with an account and an exam at the sandbox's Scorpion."""
    return World.at(with_patience(sandbox, settings))


SLOW = {"ledger", "commands"}  # folders of tests that start processes, beside those that drive a browser


def chromium() -> str | None:
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return next((path for path in map(shutil.which, names) if path), None)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    items[:] = _deal_out(items, getattr(config, "workerinput", {}).get("workercount", 1))
    if not chromium() and not os.environ.get("REQUIRE_BROWSER"):
        for item in items:
            if "browser" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="there is no Chromium on this machine"))


def _deal_out(items: list[pytest.Item], hands: int) -> list[pytest.Item]:
    """Each process gets its share of what takes long, and that first: a journey begun last would be waited for alone."""
    slow = [item for item in items if "browser" in item.keywords or item.path.parent.name in SLOW]
    late = set(slow)
    quick = [item for item in items if item not in late]
    share = -(-len(quick) // hands)
    shares = [[*slow[hand::hands], *quick[hand * share : (hand + 1) * share]] for hand in range(hands)]
    return [item for part in shares for item in part]


def _unless_required(error: servers.NotInstalled) -> None:
    if os.environ.get("REQUIRE_SERVERS"):
        raise error
    pytest.skip(str(error))


@pytest.fixture
def postgres_server() -> Iterator[servers.Postgres]:
    """A PostgreSQL of the test's own, to restart at will."""
    try:
        with servers.postgres() as server:
            yield server
    except servers.NotInstalled as error:
        _unless_required(error)


@pytest.fixture
def redis_server() -> Iterator[servers.Redis]:
    """A Redis of the test's own, to refuse or hang at will."""
    try:
        with servers.redis() as server:
            yield server
    except servers.NotInstalled as error:
        _unless_required(error)


@pytest.fixture
def console_dir(tmp_path: Path) -> Path:
    """A VAR_DIR for processes that a test starts."""
    folder = tmp_path / "var"
    folder.mkdir()
    return folder
