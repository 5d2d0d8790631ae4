"""Freezes this version's day, or keeps what this version makes of a frozen one. `tests.frozen` says how to call it."""

from __future__ import annotations

import argparse
import json
import lzma
import os
import sqlite3
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests import servers, smtp
from tests.frozen import DAY_FILE, FOLDER, ROOT, STORES, VENDORS, environment
from tests.frozen.play import database, played


def freeze(name: str) -> None:
    """Builds the day in both stores and writes its folder."""
    folder = FOLDER / name
    folder.mkdir()
    days = {store: _live(store) for store in STORES}
    dumps = {store: dump for store, (dump, _) in days.items()}
    elsewhere = {store: there for store, (_, there) in days.items()}

    assert elsewhere["sqlite"] == elsewhere["postgres"], "the two stores did not live the same day"
    # Together, because what is encrypted is the same in both, and cannot be compressed otherwise.
    text = json.dumps({"dumps": dumps, **elsewhere["sqlite"]}, ensure_ascii=False)
    path = folder / DAY_FILE
    path.write_bytes(lzma.compress(text.encode(), preset=9 | lzma.PRESET_EXTREME))
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size:,} bytes")


def _live(store: str) -> tuple[str, dict[str, Any]]:
    """The day lived in one store: its dump, and what exists elsewhere."""
    with tempfile.TemporaryDirectory() as name, database(store, Path(name)) as url:
        there = Path(name) / "elsewhere.json"
        command = [sys.executable, "-m", "tests.frozen.make", "--build", str(there)]
        subprocess.run(command, cwd=ROOT, env={**os.environ, **environment(Path(name), url)}, check=True)
        dump = _sqlite_dump(Path(name)) if store == "sqlite" else _postgres_dump(url)
        return dump, json.loads(there.read_text())


def _sqlite_dump(folder: Path) -> str:
    (path,) = folder.glob("*.sqlite3")
    with sqlite3.connect(path) as connection:
        return "\n".join(connection.iterdump())


def _postgres_dump(url: str) -> str:
    """Without what only psql understands, or only this version of the server."""
    program = servers.postgres_program("pg_dump")
    command = [program, "--inserts", "--no-owner", "--no-privileges", "--no-comments", url]
    dump = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    unwanted = ("--", "\\", "SET ", "SELECT pg_catalog.set_config(")
    return "\n".join(line for line in dump.splitlines() if line and not line.startswith(unwanted))


def _build(there: Path) -> None:
    """In a process of its own: lives the day and writes what exists outside the database."""
    folder = Path(os.environ["VAR_DIR"]) / "vendors"
    with smtp.running() as mail:
        os.environ["EMAIL_URL"] = f"smtp://127.0.0.1:{mail.port}"
        import django

        django.setup()
        from django.core.management import call_command

        from proctoring.sandbox.server import Sandbox
        from tests.frozen import world

        call_command("migrate", verbosity=0)
        began = datetime.now(UTC)
        with world.fixed_chance(), Sandbox.running(dict.fromkeys(VENDORS, 0), folder=folder) as sandbox:
            world.build(sandbox, mail)
        vendors = {vendor: _documents(folder / f"{vendor}.sqlite3", began) for vendor in VENDORS}
        mails = [[item.sender, item.to, item.data.decode()] for item in mail.stored]
        there.write_text(json.dumps({"vendors": vendors, "mail": mails}))


def _documents(path: Path, began: datetime) -> list[list[Any]]:
    """What exists at a vendor: kind, id and document in the order in which they came to be."""
    from tests.frozen.world import set_back

    with sqlite3.connect(path) as connection:
        rows = connection.execute("SELECT kind, id, body FROM documents ORDER BY position").fetchall()
    # A nonce is made of the time, too, and means nothing the next day.
    return [[kind, id, json.loads(set_back(body, began))] for kind, id, body in rows if kind != "nonces"]


def record(name: str) -> None:
    """Plays a frozen day and keeps what comes of it; both stores must come to the same."""
    outcomes = []
    for store in STORES:
        with tempfile.TemporaryDirectory() as folder, database(store, Path(folder)) as url:
            outcomes.append(played(name, store, url, Path(folder)))
    assert outcomes[0] == outcomes[1], "the two stores come to different ends"
    for part in ("wire", "state"):
        path = FOLDER / name / f"expected-{part}.json"
        path.write_text(json.dumps(outcomes[0][part], indent=1, ensure_ascii=False, sort_keys=True) + "\n")
        print(f"{path.relative_to(ROOT)}: {path.stat().st_size:,} bytes")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.frozen.make")
    parser.add_argument("name", nargs="?", default="", help="the folder's name: this version's commit")
    parser.add_argument("--record", action="store_true", help="keep what this version makes of a day frozen before")
    parser.add_argument("--build", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.build:
        _build(options.build)
    elif not options.name:
        parser.error("name the day")
    elif not options.record and (FOLDER / options.name).exists():
        parser.error(f"{options.name} is frozen already: choose another name, or --record")
    else:
        if not options.record:
            freeze(options.name)
        record(options.name)


if __name__ == "__main__":
    main()
