"""Loaded before Django's settings: tests keep their files away from the developer's own data."""

import os
from pathlib import Path

_worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
_root = os.environ.get("TEST_VAR_DIR") or str(
    Path(os.environ.get("VAR_DIR") or Path(__file__).parent.parent / "var") / "test"
)
os.environ["TEST_VAR_DIR"] = _root
os.environ["VAR_DIR"] = str(Path(_root) / _worker)
for name in ("PORT", "SITE_URL", "DEBUG", "SANDBOX_PORT", "EMAIL_URL"):
    os.environ.pop(name, None)
