"""Plays a frozen day on with this version: loads it, migrates it, lets workers and people go on, and says what came of it.

In a process of its own, whose settings are those of the frozen installation: `played` starts it.
"""

from __future__ import annotations

import json
import lzma
import os
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from uuid import UUID

from tests import servers, smtp
from tests.frozen import DAY_FILE, FOLDER, ROOT, VENDORS, environment

if TYPE_CHECKING:
    from django.test import Client

    from proctoring.sandbox.server import Sandbox

MOST_ROUNDS = 20
VOLATILE_HEADERS = {"host", "content-length", "user-agent"}
MOMENT = re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)?")
PROOF = re.compile(r'"(nonce|timestamp)":\d+|"(signature)":"[0-9a-f]{64}"')
# What a vendor makes up for what it creates, and we for what is asked for now: by its name in the vendor's documents.
MINTED = ("id", "sid", "ext_id", "launch_token", "proctor_token", "session", "proctoring_reference")
SPENT = {"nonces", "reads"}  # kinds of documents that count requests


@contextmanager
def database(store: str, folder: Path) -> Iterator[str]:
    """The address of an empty database. Raises servers.NotInstalled."""
    if store == "sqlite":
        yield f"sqlite:///{folder / 'frozen.sqlite3'}"
    else:
        with servers.postgres() as server:
            yield server.url


def played(name: str, store: str, database_url: str, folder: Path) -> dict[str, Any]:
    """What comes of a frozen day, loaded into this database: `wire` and `state`."""
    outcome = folder / "outcome.json"
    settings = environment(folder / "var", database_url)
    command = [sys.executable, "-m", "tests.frozen.play", name, store, str(outcome)]
    run = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **settings}, check=False, capture_output=True, text=True, timeout=120
    )
    assert run.returncode == 0, f"the frozen day could not be played: {run.stderr[-6000:]}"
    found: dict[str, Any] = json.loads(outcome.read_text())
    return found


class Play:
    """One frozen day in the database at hand, at simulators that know what the vendors knew."""

    def __init__(self, sandbox: Sandbox, mail: smtp.MailServer, mailed: list[list[str]]) -> None:
        self.sandbox, self.mail, self.mailed = sandbox, mail, mailed
        self.wire: dict[str, dict[str, list[Any]]] = {}
        self.actions: dict[str, dict[str, list[str]]] = {}
        self.pages: dict[str, Any] = {}
        self.seen = dict.fromkeys(VENDORS, 0)
        self.seen_mails = 0

    # --- people and workers -------------------------------------------------------------------------------------------

    def run(self) -> None:
        client = _lead()
        self.look_at_pages(client)
        self.phase("upgraded", _sweep)
        self.phase("drafts confirmed", partial(self.confirm_drafts, client))
        self.phase("looked up", partial(self.step, client, "look_up", state="unknown"))
        self.phase("looked up again", _let_waits_pass)
        self.phase("picked", partial(self.step, client, "pick", state="unknown", choice="1"))
        self.phase("tried again", partial(self.step, client, "retry", state="needs_attention"))
        self.phase("sent again", partial(self.step, client, "send_again", state="unknown"))

    def phase(self, name: str, begin: Callable[[], None]) -> None:
        begin()
        _work_off()
        self.wire[name] = {vendor: sorted(self.requests(vendor), key=_key) for vendor in VENDORS}
        self.wire[name]["mail"] = sorted(self.mails(), key=_key)
        self.actions[name] = _actions()

    def requests(self, vendor: str) -> Iterator[Any]:
        entries = self.sandbox.requests(vendor)[self.seen[vendor] :]
        self.seen[vendor] += len(entries)
        for entry in entries:
            assert not entry["is_body_cut"]
            query = f"?{entry['query']}" if entry["query"] else ""
            headers = {name: text for name, text in entry["headers"].items() if name not in VOLATILE_HEADERS}
            yield {
                "request": f"{entry['method']} {entry['path']}{query}",
                "headers": headers,
                "body": PROOF.sub(lambda found: f'"{found[1] or found[2]}":«{found[1] or found[2]}»', entry["body"]),
                "status": entry["status"],
            }

    def mails(self) -> Iterator[Any]:
        items = self.mail.stored[self.seen_mails :]
        self.seen_mails += len(items)
        for item in items:
            yield {"sender": item.sender, "to": item.to, "data": item.data.decode()}

    def step(self, client: Client, step: str, *, state: str, **data: str) -> None:
        """A person's step for every action in that state that offers it."""
        from proctoring.models import Action

        actions = Action.objects.filter(state=state).order_by("id")
        if state == "unknown":
            actions = actions.exclude(choices=None) if step == "pick" else actions.filter(choices=None)
        for pk in actions.values_list("pk", flat=True):
            _post(client, "attention_step", pk, step, reason="As it was then", **data)

    def confirm_drafts(self, client: Client) -> None:
        from proctoring.models import Batch

        for pk, kind in list(Batch.objects.filter(confirmed_at=None).order_by("id").values_list("pk", "kind")):
            page = "deliver_preview" if kind == "deliver" else "session_action"
            self.pages[f"the draft, {kind}"] = _get(client, page, pk).status_code
            _post(client, page, pk, category="technical", reason="As it was then")
            assert Batch.objects.exclude(confirmed_at=None).filter(pk=pk).exists(), f"the draft, {kind}"

    # --- what pages show ----------------------------------------------------------------------------------------------

    def look_at_pages(self, client: Client) -> None:
        from django.test import Client

        from proctoring.models import Action, Batch

        link = self.mailed_link()
        page = Client(SERVER_NAME="127.0.0.1").get(link)
        self.pages["the mailed link"] = [page.status_code, "Widgets" in page.content.decode()]
        onwards = Client(SERVER_NAME="127.0.0.1").post(link)
        self.pages["the mailed link, pressed"] = [onwards.status_code, onwards.headers.get("Location", "")]
        for pk in Action.objects.exclude(kept=None).order_by("id").values_list("pk", flat=True):
            kept = json.loads(_post(client, "session_kept", pk).content)
            self.pages[f"kept: {kept['verb']} {kept['session']}"] = kept
        twice = [pk for pk in Batch.objects.order_by("id").values_list("pk", flat=True) if _is_short(pk)]
        self.pages["a batch with somebody left out"] = [
            "already" in _get(client, "batch", pk).content.decode() for pk in twice
        ]

    def mailed_link(self) -> str:
        """The candidate's link as it stands in the first mail that went out."""
        import email
        import email.policy

        message = email.message_from_string(self.mailed[0][2], policy=email.policy.default)
        text = message.get_body(("plain",)).get_content()  # type: ignore[union-attr]
        found = re.search(r"https?://\S+/c/\S+/", text)
        assert found, "the mail held no link"
        return urlsplit(found[0]).path

    # --- what came of it ----------------------------------------------------------------------------------------------

    def outcome(self, before: str) -> dict[str, Any]:
        states = {vendor: self.sandbox.state(vendor) for vendor in VENDORS}
        vendors = {
            vendor: {kind: sorted(found, key=_key) for kind, found in kinds.items() if kind not in SPENT}
            for vendor, kinds in states.items()
        }
        state = {"vendors": vendors, "actions": self.actions, "pages": self.pages, "rows": _rows()}
        names = {self.sandbox.url(vendor): f"«{vendor}»" for vendor in VENDORS}
        names |= {value: f"«{name}»" for name, value in _minted(states) if value not in before and not _is_ours(value)}
        return {"wire": _normal(self.wire, names), "state": _normal(state, names)}


def _minted(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from _minted(part, key)
    elif isinstance(value, list):
        for part in value:
            yield from _minted(part, name)
    elif name in MINTED and isinstance(value, str) and len(value) > 16:
        yield name, value


def _is_ours(text: str) -> bool:
    return text.startswith("f0000000")


def _normal(value: Any, names: Mapping[str, str]) -> Any:
    """Without what is made up anew each time: ids, tokens, ports, moments."""
    text = json.dumps(value, ensure_ascii=False)
    for known in sorted(names, key=len, reverse=True):
        text = text.replace(known, names[known])
    now = datetime.now(UTC)

    def moment(found: re.Match[str]) -> str:
        at = datetime.fromisoformat(found[0])
        is_now = abs((at if at.tzinfo else at.replace(tzinfo=UTC)) - now) < timedelta(days=1)
        return "«now»" if is_now else found[0]

    return _sorted(json.loads(MOMENT.sub(moment, text)))


def _sorted(value: Any) -> Any:
    """Lists of objects in an order that does not depend on what was made up."""
    if isinstance(value, Mapping):
        return {key: _sorted(part) for key, part in value.items()}
    if isinstance(value, list):
        parts = [_sorted(part) for part in value]
        return sorted(parts, key=_key) if all(isinstance(part, dict) for part in parts) else parts
    return value


def _key(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


# --- the database -----------------------------------------------------------------------------------------------------


def load(dump: str, base_urls: Mapping[str, str]) -> None:
    """Loads a dump into the empty database and, in its own columns, moves what cannot stay: the vendors' ports, and drafts
    to today, because nobody confirms one that is older.
    """
    from django.db import connection

    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.connection.executescript(f"PRAGMA foreign_keys=OFF; {dump} PRAGMA foreign_keys=ON;")
        else:
            cursor.execute(dump)
            cursor.execute("SET search_path = public")
        for vendor, url in base_urls.items():
            cursor.execute("UPDATE proctoring_account SET base_url = %s WHERE vendor = %s", [url, vendor])
        now = datetime.now(UTC) if connection.vendor == "postgresql" else f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}"
        cursor.execute("UPDATE proctoring_batch SET created_at = %s WHERE confirmed_at IS NULL", [now])


def _sweep() -> None:
    """All that the scheduler does. Once: what is created from now on would be watched on a slow machine only."""
    from proctoring import tasks

    tasks.sweep()


def _work_off() -> None:
    """Sweeps and drains until nothing moves."""
    from proctoring import ledger, tasks
    from proctoring.models import Account, Call

    for _ in range(MOST_ROUNDS):
        calls = Call.objects.count()
        ledger.sweep()
        for pk in Account.objects.order_by("pk").values_list("pk", flat=True):
            tasks.drain(pk)
        if Call.objects.count() == calls:
            return
    raise AssertionError("it never comes to rest")


def _let_waits_pass() -> None:
    from proctoring.models import Action

    Action.objects.exclude(look_due_at=None).update(look_due_at=datetime.now(UTC) - timedelta(seconds=1))


def _actions() -> dict[str, list[str]]:
    """By why it was asked for, which says what it is: state and, where one is needed, what for."""
    from proctoring.models import Action

    found: dict[str, list[str]] = defaultdict(list)
    for reason, verb, state, attention in Action.objects.values_list("reason", "verb", "state", "attention"):
        found[reason or verb].append(f"{state} {attention}".strip())
    return {name: sorted(states) for name, states in sorted(found.items())}


def _rows() -> dict[str, list[str]]:
    """What the console believes of what the actions were about."""
    from proctoring.models import Account, Delivery, Exam, Invitation, JournalEntry, Membership, Session

    earlier = JournalEntry.objects.filter(at__lt=datetime.now(UTC) - timedelta(days=1))
    deliveries = Delivery.objects.select_related("candidate")
    return {
        "accounts": sorted(
            f"{row.name}: {row.pause_reason or sorted(row.paused_verbs)}" for row in Account.objects.all()
        ),
        "members": sorted(f"{row.user.username}: {row.role}" for row in Membership.objects.select_related("user")),
        "journal": [f"{earlier.count()} entries of that day"],
        "deliveries": sorted(
            f"{row.candidate} {row.attempt}: {row.state}, {'a link' if row.take_url else 'no link'}"
            for row in deliveries
        ),
        "exams": sorted(f"{row.title}: {'there' if row.ref else 'not there'}" for row in Exam.objects.all()),
        "invitations": sorted(f"{row.to}: {'sent' if row.sent_at else 'not sent'}" for row in Invitation.objects.all()),
        "sessions": sorted(f"{row.name}: {row.vendor_state} {row.score}" for row in Session.objects.all()),
    }


# --- pages ------------------------------------------------------------------------------------------------------------


def _lead() -> Client:
    from django.test import Client

    from proctoring.models import User

    client = Client(SERVER_NAME="127.0.0.1")
    client.force_login(User.objects.get(username="lead"))
    return client


def _is_short(batch: UUID) -> bool:
    from proctoring.models import Batch

    return bool(Batch.objects.get(pk=batch).plan.get("skipped"))


def _get(client: Client, name: str, *args: Any) -> Any:
    from django.urls import reverse

    return client.get(reverse(name, args=args))


def _post(client: Client, name: str, *args: Any, **data: str) -> Any:
    from django.urls import reverse

    return client.post(reverse(name, args=args), data)


def main(name: str, store: str, outcome: str) -> None:
    folder = Path(os.environ["VAR_DIR"]) / "vendors"
    day = json.loads(lzma.decompress((FOLDER / name / DAY_FILE).read_bytes()))
    with smtp.running() as mail:
        os.environ["EMAIL_URL"] = f"smtp://127.0.0.1:{mail.port}"
        import django

        django.setup()
        from django.core.management import call_command

        from proctoring.sandbox.server import Sandbox

        _restore(folder, day["vendors"])
        with Sandbox.running(dict.fromkeys(VENDORS, 0), folder=folder) as sandbox:
            load(day["dumps"][store], {vendor: sandbox.url(vendor) for vendor in VENDORS})
            call_command("migrate", verbosity=0)
            play = Play(sandbox, mail, day["mail"])
            play.run()
            found = play.outcome(json.dumps(day["vendors"], ensure_ascii=False))
    Path(outcome).write_text(json.dumps(found, ensure_ascii=False))


def _restore(folder: Path, vendors: Mapping[str, Iterable[tuple[str, str, Any]]]) -> None:
    from proctoring.sandbox.simulator import Store

    folder.mkdir(parents=True)
    for vendor, documents in vendors.items():
        store = Store(folder / f"{vendor}.sqlite3")
        for kind, key, document in documents:
            store.put(kind, key, document)
        store.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
