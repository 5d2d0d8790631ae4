"""What vendors say counts by when they were asked, never by rank."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from proctoring import observing
from proctoring.models import Account, CandidateReference, Exam, Session
from proctoring.vendors.base import SessionSnapshot, SessionState
from tests import factories

T0 = datetime(2026, 3, 1, 9, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def account(db: None) -> Account:
    return factories.make_account(factories.make_team(), vendor="campfire")


def said(state: SessionState = SessionState.COMPLETE, **kw: Any) -> SessionSnapshot:
    defaults: dict[str, Any] = {"ref": "s-1", "vendor_state": state.name, "name": "Ann Lee"}
    return SessionSnapshot(**{**defaults, "state": state, **kw})


def observe(account: Account, *snapshots: SessionSnapshot, at: datetime) -> Session:
    observing.observe(account, snapshots, asked_at=at, now=at)
    session: Session = Session.objects.get(ref="s-1")
    return session


class TestObserve:
    def test_takes_in_a_session_that_is_new(self, account: Account) -> None:
        session = observe(account, said(score=80.0), at=T0)

        assert (session.state, session.score, session.asked_at, session.team_id) == (
            "complete",
            80.0,
            T0,
            account.team_id,
        )

    def test_lets_a_later_one_go_back(self, account: Account) -> None:
        observe(account, said(score=80.0), at=T0)

        session = observe(account, said(SessionState.IN_PROGRESS), at=T0 + MINUTE)

        assert (session.state, session.score) == ("in_progress", None)

    def test_never_lets_an_older_one_undo_a_newer(self, account: Account) -> None:
        observe(account, said(score=80.0), at=T0)

        session = observe(account, said(SessionState.IN_PROGRESS), at=T0 - MINUTE)

        assert (session.state, session.score, session.asked_at) == ("complete", 80.0, T0)

    def test_counts_a_repeated_one_once(self, account: Account) -> None:
        observe(account, said(score=80.0), at=T0)

        session = observe(account, said(score=20.0), at=T0)

        assert session.score == 80.0

    def test_ignores_what_was_asked_before_the_last_effect_ended(self, account: Account) -> None:
        observe(account, said(SessionState.IN_PROGRESS), at=T0)
        Session.objects.update(effect_ended_at=T0 + 3 * MINUTE)

        late = observe(account, said(score=80.0), at=T0 + 2 * MINUTE)
        fresh = observe(account, said(SessionState.PAUSED), at=T0 + 4 * MINUTE)

        assert (late.state, fresh.state) == ("in_progress", "paused")

    def test_keeps_what_was_not_asked_for_as_it_was_last_seen(self, account: Account) -> None:
        observe(account, said(responses={"q": 1}, results={"points": 3}), at=T0)

        session = observe(account, said(results={"points": 4}), at=T0 + MINUTE)

        assert session.content["responses"] == {"q": 1}
        assert session.content["results"] == {"points": 4}

    def test_keeps_two_accounts_apart(self, account: Account) -> None:
        other = factories.make_account(account.team, vendor="campfire")

        observing.observe(account, [said()], asked_at=T0, now=T0)
        observing.observe(other, [said()], asked_at=T0, now=T0)

        assert Session.objects.filter(ref="s-1").count() == 2

    def test_takes_the_last_of_two_that_name_the_same_session(self, account: Account) -> None:
        session = observe(account, said(score=1.0), said(score=2.0), at=T0)

        assert session.score == 2.0

    def test_leaves_out_what_has_no_id(self, account: Account) -> None:
        assert observing.observe(account, [said(ref="")], asked_at=T0, now=T0) == []


class TestMatching:
    def test_by_the_vendors_id_for_the_person(self, account: Account) -> None:
        candidate = factories.make_candidate(account.team)
        CandidateReference.objects.create(candidate=candidate, account=account, ref="p-7")

        assert observe(account, said(person_ref="p-7"), at=T0).candidate == candidate

    def test_by_our_own_number_for_the_person(self, account: Account) -> None:
        candidate = factories.make_candidate(account.team, external_id="C-7")

        assert observe(account, said(person_ref="C-7"), at=T0).candidate == candidate

    def test_by_an_e_mail_address_in_any_case(self, account: Account) -> None:
        candidate = factories.make_candidate(account.team, email="Ann@Example.org")

        assert observe(account, said(person_hint="ann@example.ORG"), at=T0).candidate == candidate

    def test_never_by_a_name(self, account: Account) -> None:
        factories.make_candidate(account.team, first_name="Ann", last_name="Lee")

        assert observe(account, said(name="Ann Lee"), at=T0).candidate is None

    def test_never_with_somebody_of_another_team(self, account: Account) -> None:
        factories.make_candidate(factories.make_team(), email="ann@example.org", external_id="C-7")

        assert observe(account, said(person_ref="C-7", person_hint="ann@example.org"), at=T0).candidate is None

    def test_with_nobody_where_there_is_no_number_on_either_side(self, account: Account) -> None:
        factories.make_candidate(account.team, external_id="")

        assert observe(account, said(person_ref=""), at=T0).candidate is None

    def test_stays_once_it_was_made(self, account: Account) -> None:
        candidate = factories.make_candidate(account.team, external_id="C-7")
        observe(account, said(person_ref="C-7"), at=T0)
        factories.make_candidate(account.team, external_id="C-8")

        session = observe(account, said(person_ref="C-8"), at=T0 + MINUTE)

        assert session.candidate == candidate

    def test_with_an_exam_by_its_configuration(self, account: Account) -> None:
        exam = factories.make_exam(account, settings={"config_refs": ["c-1"]})

        assert observe(account, said(config_ref="c-1"), at=T0).exam == exam

    def test_with_no_exam_where_two_could_be_it(self, account: Account) -> None:
        for _ in range(2):
            factories.make_exam(account, settings={"config_refs": ["c-1"]})

        assert observe(account, said(config_ref="c-1"), at=T0).exam is None

    def test_with_an_exam_on_the_part_before_the_slash(self, account: Account) -> None:
        exam: Exam = factories.make_exam(account, ref="e-1")

        assert observe(account, said(exam_ref="e-1/exam#v0"), at=T0).exam == exam


class TestSnapshotOf:
    def test_is_what_the_console_shows(self, account: Account) -> None:
        session = observe(account, said(score=80.0, score_max=100.0, has_responses=True, responses={"q": 1}), at=T0)

        snapshot = observing.snapshot_of(session)

        assert (snapshot.score, snapshot.has_responses, snapshot.responses) == (80.0, True, {"q": 1})
        assert snapshot.vendor_state == "COMPLETE"
