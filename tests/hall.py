"""A team whose sessions are at the sandbox's Campfire, and what is there of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import Q

from proctoring import accounts, exams, sessions
from proctoring.models import Account, Action, Batch, Exam, Membership, Reading, Role, Session, Team, User
from proctoring.sandbox.server import Sandbox
from proctoring.vendors.base import Verb
from proctoring.vendors.registry import demo
from tests.world import World

DEMO_CONFIG = "0007622b-b727-4d64-8454-4b3383ed9509"
RETAKES_CONFIG = "d7a56ac9-2e3d-4a86-814a-0ddf7fbf7f8c"
LARGE_CONFIG = "5e3c9d10-7b42-4f86-a1d5-60f2b8c74e93"


@dataclass
class Hall(World):
    """As World, with sessions that the vendor lists in place of deliveries."""

    @classmethod
    def at(cls, sandbox: Sandbox, **values: Any) -> Hall:
        config = values.pop("config", DEMO_CONFIG)
        team = Team.objects.create(name="Northern exams", time_zone="Europe/Oslo")
        lead = User.objects.create_user("lead", password="a-long-password", is_staff=True)
        Membership.objects.create(user=lead, team=team, role=Role.LEAD)
        account = Account(
            team=team,
            name="Campfire",
            vendor="campfire",
            base_url=sandbox.url("campfire"),
            settings=demo("campfire").SETTINGS,
            **{"calls_at_once": 4, **values},
        )
        now = datetime.now(UTC)
        accounts.add(account, credentials=demo("campfire").CREDENTIALS, by=None, now=now)
        exam = Exam(team=team, account=account, title="Saving", ref="a0829bc3-8291-43dd-9181-478e7411c1df")
        settings = {"config_refs": [config], "include": ["results", "responses"], "allows_retakes": None}
        exams.save(exam, vendor_settings=settings, by=None, now=now)
        return cls(sandbox=sandbox, team=team, account=account, exam=exam, lead=lead)

    def sync(self, *, seconds: float = 60.0) -> Reading:
        """Lists the account's sessions, and stops as soon as that is done."""
        asked_at = datetime.now(UTC)
        sessions.ask_sync(self.account, by=self.lead, now=asked_at)
        Reading.objects.exclude(session=None).update(due_at=None)
        self.drain(seconds=seconds)
        return Reading.objects.get(session=None, verb=Verb.LIST_SESSIONS.value)

    def named(self, name: str) -> Session:
        session: Session = Session.objects.select_related("account").get(name=name)
        return session

    def draft(self, verb: Verb, chosen: Sequence[Session]) -> Batch:
        plan = sessions.plan(chosen, verb)
        return sessions.draft(plan, team_id=self.team.pk, by=self.lead, now=datetime.now(UTC))

    def confirm(self, batch: Batch) -> Batch:
        now = datetime.now(UTC)
        return sessions.request(batch, category="technical", reason="The hall lost power", by=self.lead, now=now)

    def ask(self, verb: Verb, *chosen: Session) -> Batch:
        return self.confirm(self.draft(verb, chosen))

    def there(self, session: Session) -> dict[str, Any]:
        """The session as the vendor keeps it."""
        return next(item for item in self.sandbox.state("campfire")["sessions"] if item["id"] == session.ref)

    def write_answers(self, session: Session) -> dict[str, Any]:
        """The candidate answers on: other options than those that were there. Returns what is there now."""
        there = self.there(session)
        answers = {
            item: {question: {"options": [{"index": 0}]} for question in questions}
            for item, questions in there["answers"].items()
        }
        assert answers != there["answers"]
        self.sandbox.vendors["campfire"].simulator.store.put("sessions", there["id"], {**there, "answers": answers})
        return answers

    def sent(self, verb: str) -> int:
        """How many calls of a kind that changes state reached the vendor."""
        return Counter(item["path"].rpartition("/")[2] for item in self.sandbox.requests("campfire"))[verb]

    def work_off(self) -> None:
        """With four threads until nothing waits any more, however often the vendor made us hold."""
        for _ in range(40):
            self.make_due()
            self.drain(threads=4, seconds=2)
            if not Action.objects.filter(Q(state="queued") | Q(look_due_at__isnull=False)).exists():
                break

    def let_five_minutes_pass(self) -> None:
        Action.objects.update(sent_at=datetime.now(UTC) - timedelta(minutes=6))
        self.make_due()
