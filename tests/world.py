"""A small team at the sandbox, and the comparison of all that exists there with all that we believe."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection

from proctoring import accounts, deliveries, exams, ledger, planning
from proctoring.ledger.turns import take_turn
from proctoring.models import Account, Action, Batch, Candidate, Delivery, Exam, Membership, Role, Team, User
from proctoring.sandbox.server import Sandbox
from proctoring.vendors.registry import demo
from proctoring.vendors.scorpion.forms import DEFAULT_EXAMINEE_INFO
from proctoring.verbs import VERBS


def now() -> datetime:
    return datetime.now(UTC)


@dataclass
class World:
    """Team, people, account and exam, at a sandbox."""

    sandbox: Sandbox
    team: Team
    account: Account
    exam: Exam
    lead: User

    @classmethod
    def at(cls, sandbox: Sandbox, **account_values: Any) -> World:
        team = Team.objects.create(name="Northern exams", time_zone="Europe/Oslo")
        lead = User.objects.create_user("lead", password="a-long-password", is_staff=True)
        Membership.objects.create(user=lead, team=team, role=Role.LEAD)
        data = demo("scorpion")
        account = Account(
            team=team,
            name="Scorpion",
            vendor="scorpion",
            base_url=sandbox.url("scorpion"),
            permissions=["create", "view"],
            **{"calls_at_once": 4, **account_values},
        )
        accounts.add(account, credentials=data.CREDENTIALS, by=None, now=now())
        exam = Exam(
            team=team,
            account=account,
            title="Widgets",
            ref=data.EXAMS[0]["ref"],
            starts_at=now() - timedelta(hours=1),
            ends_at=now() + timedelta(days=3),
            duration_minutes=60,
        )
        exams.save(
            exam, vendor_settings={"examinee_info": DEFAULT_EXAMINEE_INFO, "external_id": "uuid"}, by=None, now=now()
        )
        return cls(sandbox=sandbox, team=team, account=account, exam=exam, lead=lead)

    def candidates(self, count: int) -> list[Candidate]:
        start = Candidate.objects.count()
        return Candidate.objects.bulk_create(
            Candidate(team=self.team, first_name="Ann", last_name=f"Lee {n}", email=f"ann{n}@example.org")
            for n in range(start, start + count)
        )

    def deliver(self, people: int | Sequence[Candidate], **options: Any) -> Batch:
        """Asks for a delivery for each; nothing is sent yet."""
        candidates = self.candidates(people) if isinstance(people, int) else people
        plan = planning.plan_candidates(self.exam, candidates, now=now(), options={}, **options)
        batch = deliveries.draft(plan, exam=self.exam, by=self.lead, now=now())
        return deliveries.request(batch, by=self.lead, now=now())

    def deliver_anyway(self, people: int) -> Batch:
        """As if asked for just before the account was paused."""
        pause = Account.objects.values("paused_at", "pause_reason").get()
        Account.objects.update(paused_at=None)
        self.exam.account.refresh_from_db()
        batch = self.deliver(people)
        Account.objects.update(**pause)
        return batch

    def claim(self, most: int) -> tuple[ledger.Claim, ...]:
        """What a worker would take up now; nothing is sent."""
        claims = take_turn(self.account.pk, VERBS, [], most=most, worker="test", prefers_reading=False)
        return () if isinstance(claims, ledger.Idle) else claims

    def drain(self, *, threads: int = 1, seconds: float = 10.0) -> None:
        """Works the account off, in this thread or in several; what one of them raises is raised here."""
        if threads == 1:
            self._drain(seconds)
            return
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(self._drain_and_close, [seconds] * threads))

    def _drain(self, seconds: float) -> None:
        ledger.drain(self.account.pk, VERBS, worker="test", should_stop=lambda: False, seconds=seconds)

    def _drain_and_close(self, seconds: float) -> None:
        try:
            self._drain(seconds)
        finally:
            connection.close()

    def make_due(self) -> None:
        """Lets every wait be over: as if the time had passed."""
        Action.objects.update(due_at=now() - timedelta(seconds=1))
        Action.objects.exclude(look_due_at=None).update(look_due_at=now() - timedelta(seconds=1))
        Account.objects.update(next_call_at=None)

    def states(self) -> Counter[str]:
        return Counter(Action.objects.values_list("state", flat=True))

    # --- the comparison -----------------------------------------------------------------------------------------------

    def at_vendor(self) -> dict[str, dict[str, Any]]:
        """Everything that exists at the vendor, by its own id."""
        return {item["id"]: item for item in self.sandbox.state("scorpion").get("deliveries", [])}

    def assert_agrees(self) -> None:
        """What we say was created is there, with these links, once each; what is there and we do not say is unknown."""
        there = self.at_vendor()
        ours = {delivery.ref: delivery for delivery in Delivery.objects.exclude(ref="")}
        assert set(ours) <= set(there), "we believe in deliveries that the vendor does not have"
        for ref, delivery in ours.items():
            assert delivery.take_url.endswith(there[ref]["launch_token"])
            assert not delivery.proctor_url or delivery.proctor_url.endswith(there[ref]["proctor_token"])
        references = [item["meta"]["proctoring_reference"] for item in there.values()]
        twice = [reference for reference, count in Counter(references).items() if count > 1]
        assert not twice, "the vendor has a delivery twice"
        unknown = {str(pk) for pk in Action.objects.filter(state="unknown").values_list("pk", flat=True)}
        unclaimed = {item["meta"]["proctoring_reference"] for ref, item in there.items() if ref not in ours}
        assert unclaimed <= unknown, "the vendor has deliveries that we neither know nor call unknown"
