"""Loaded before Django's settings: tests keep their files away from the developer's own data."""

import os
from pathlib import Path

import pytest

_worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
_root = os.environ.get("TEST_VAR_DIR") or str(
    Path(os.environ.get("VAR_DIR") or Path(__file__).parent.parent / "var") / "test"
)
os.environ["TEST_VAR_DIR"] = _root
os.environ["VAR_DIR"] = str(Path(_root) / _worker)
for name in ("PORT", "SITE_URL", "DEBUG", "SANDBOX_PORT", "EMAIL_URL"):
    os.environ.pop(name, None)

if (_broker := os.environ.get("CELERY_BROKER_URL", "")).startswith("redis"):
    # A database of its own for each process of pytest-xdist: another's worker would take this one's messages away.
    _number = int(_worker.removeprefix("gw")) % 16 if _worker.startswith("gw") else 0
    os.environ["CELERY_BROKER_URL"] = f"{_broker.rpartition('/')[0]}/{_number}"


@pytest.hookimpl(tryfirst=True)
def pytest_xdist_auto_num_workers() -> int | None:
    """Twice the cores: half of its time a test waits, for a deadline or another process. In CI the usual one for each."""
    return None if os.environ.get("CI") else 2 * (os.cpu_count() or 1)
