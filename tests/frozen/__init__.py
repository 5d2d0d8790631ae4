"""Databases as earlier versions left them, and what came of the work in them. `test_upgrade` shows that it still does.

A folder is named by the commit that made it and holds

    day.json.xz            the database as SQL for each store, what exists at the simulated vendors, the mail that went out
    expected-wire.json     each request and each mail that the upgraded work sends, by phase
    expected-state.json    what then exists at the vendors, the states of all actions, and what pages show

`make` writes them, and no test ever does:

    python -m tests.frozen.make NAME              freezes this version's day under a new name
    python -m tests.frozen.make NAME --record     plays a frozen day with this version and keeps what comes of it
"""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parent.parent
VENDORS = ("scorpion", "campfire", "proctorexam", "smarterproctoring", "cirrus")
STORES = ("sqlite", "postgres")
DAY_FILE = "day.json.xz"

# For frozen databases alone: published, and of no other use.
SECRET_KEY = "frozen-for-tests-only-0123456789-abcdefghijklmnopqrstuvwxyz-not-a-secret"
FIELD_ENCRYPTION_KEYS = "ZnJvemVuLWZvci10ZXN0cy1vbmx5LTAxMjM0NTY3ODk="
SITE_URL = "http://127.0.0.1:8000"


def frozen_days() -> list[str]:
    return sorted(path.parent.name for path in FOLDER.glob(f"*/{DAY_FILE}"))


def environment(folder: Path, database_url: str) -> dict[str, str]:
    """The settings of a frozen installation; `folder` is its own."""
    return {
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "VAR_DIR": str(folder),
        "DATABASE_URL": database_url,
        "SECRET_KEY": SECRET_KEY,
        "SECRET_KEY_FALLBACKS": "",
        "FIELD_ENCRYPTION_KEYS": FIELD_ENCRYPTION_KEYS,
        "SITE_URL": SITE_URL,
        "DEFAULT_FROM_EMAIL": "Exams <exams@console.example>",
        "ALLOW_LOCAL_VENDORS": "yes",
        "CELERY_BROKER_URL": "filesystem://",
        "CACHE_URL": "locmemcache://",
    }
