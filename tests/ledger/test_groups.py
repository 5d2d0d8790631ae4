"""Many candidates in one call, at Cirrus: settled each from its own part, repeated whole, retried together."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.conf import LazySettings

from proctoring import accounts, attention, deliveries, exams, ledger, planning
from proctoring.attention import Step
from proctoring.models import Account, Action, Candidate, Delivery, Exam, Membership, Role, Team, User
from proctoring.sandbox.server import Sandbox
from proctoring.vendors.registry import demo
from proctoring.verbs import VERBS
from tests.conftest import with_patience
from tests.world import now


@pytest.fixture
def cirrus() -> Iterator[Sandbox]:
    with Sandbox.running({"cirrus": 0}) as running:
        yield running


@pytest.fixture
def exam(transactional_db: None, cirrus: Sandbox, settings: LazySettings) -> Exam:
    with_patience(cirrus, settings)
    data = demo("cirrus")
    team = Team.objects.create(name="Southern exams")
    account = Account(team=team, name="Cirrus", vendor="cirrus", base_url=cirrus.url("cirrus"), settings=data.SETTINGS)
    accounts.add(account, credentials=data.CREDENTIALS, by=None, now=now())
    values = data.EXAMS[0]
    exam = Exam(
        team=team,
        account=account,
        title=values["title"],
        ref=values["ref"],
        duration_minutes=values["duration_minutes"],
        starts_at=now() + timedelta(hours=1),
        ends_at=now() + timedelta(days=1),
    )
    return exams.save(exam, vendor_settings=values["settings"], by=None, now=now())


def _lead(exam: Exam) -> User:
    user = User.objects.create_user("lead")
    Membership.objects.create(user=user, team=exam.team, role=Role.LEAD)
    return user


def _deliver(exam: Exam, count: int) -> None:
    people = Candidate.objects.bulk_create(
        Candidate(
            team=exam.team, first_name="Ann", last_name=f"Lee {n}", email=f"ann{n}@example.org", external_id=f"C-{n}"
        )
        for n in range(count)
    )
    plan = planning.plan_candidates(exam, people, now=now(), options={})
    deliveries.request(deliveries.draft(plan, exam=exam, by=None, now=now()), by=None, now=now())


def _drain(exam: Exam) -> None:
    Action.objects.update(due_at=now() - timedelta(seconds=1))
    Account.objects.update(next_call_at=None)
    ledger.drain(exam.account_id, VERBS, worker="test", should_stop=lambda: False, seconds=0.2)


def _states() -> set[str]:
    return set(Action.objects.values_list("state", flat=True))


class TestAGroup:
    def test_is_not_sent_with_a_payload_that_cannot_be_read_and_names_whose_it_is(
        self, exam: Exam, cirrus: Sandbox
    ) -> None:
        _deliver(exam, 2)
        first, other = Action.objects.order_by("id")
        del first.payload["order"]["attempt"]
        first.save(update_fields=["payload"])

        _drain(exam)

        messages = dict(Action.objects.filter(state="needs_attention").values_list("pk", "message"))
        assert messages[first.pk].startswith("Nothing was sent. This version of the console cannot read")
        assert messages[other.pk].startswith("Nothing was sent because of somebody else in the same call")
        assert not cirrus.requests("cirrus")

    def test_travels_in_one_call_and_everyone_gets_their_own_link(self, exam: Exam, cirrus: Sandbox) -> None:
        _deliver(exam, 30)

        _drain(exam)

        assert _states() == {"done"}
        assert len(cirrus.state("cirrus")["schedules"]) == 1
        assert len(set(Delivery.objects.values_list("take_url", flat=True))) == 30 or Delivery.objects.count() == 30
        assert len({delivery.take_url for delivery in Delivery.objects.all()}) == 30

    @pytest.mark.parametrize("fault", ["timeout_after", "500_after", "timeout_before", "truncated_json"])
    def test_without_an_answer_is_repeated_whole_under_the_same_reference(
        self, exam: Exam, cirrus: Sandbox, fault: str
    ) -> None:
        _deliver(exam, 5)
        cirrus.fault("cirrus", fault, calls=1)
        _drain(exam)
        waiting = _states()

        _drain(exam)

        schedules = cirrus.state("cirrus")["schedules"]
        assert waiting == {"queued"}
        assert _states() == {"done"}
        assert len(schedules) == 1
        assert all(delivery.take_url for delivery in Delivery.objects.all())

    def test_that_may_have_been_taken_cannot_be_thinned_out_before_its_repeat(
        self, exam: Exam, cirrus: Sandbox
    ) -> None:
        lead = _lead(exam)
        _deliver(exam, 3)
        cirrus.fault("cirrus", "timeout_after", calls=1)
        _drain(exam)

        taken = attention.take_many(Action.objects.all()[:1], Step.CANCEL, by=lead, reason="Not needed", now=now())

        assert "Wait for the outcome" in taken[0][1]

    def test_that_was_refused_whole_is_tried_again_without_the_one_to_blame(self, exam: Exam, cirrus: Sandbox) -> None:
        lead = _lead(exam)
        _deliver(exam, 4)
        cirrus.control("cirrus", "set_owner", user_name="")
        cirrus.control("cirrus", "set_scheduler", user_name="")
        _drain(exam)
        assert _states() == {"queued"}, "an account's fault leaves its deliveries waiting"
        Action.objects.update(state="needs_attention", attention="refused")
        Account.objects.update(paused_at=None, pause_reason="")
        cirrus.control("cirrus", "set_scheduler", user_name="api.scheduler")
        cirrus.control("cirrus", "set_owner", user_name="api.scheduler")
        others = Action.objects.order_by("id")[1:]

        attention.take_many(others, Step.RETRY, by=lead, reason="Without the first", now=now())
        _drain(exam)

        (schedule,) = cirrus.state("cirrus")["schedules"]
        assert Action.objects.filter(state="done").count() == 3
        assert Action.objects.filter(state="needs_attention").count() == 1
        assert schedule
