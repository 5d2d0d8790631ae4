"""Who will get a delivery and who will not: matched, merged, judged, with a constant number of queries."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from proctoring import deliveries, planning, rosters
from proctoring.models import Account, Candidate, CandidateReference, Delivery, DeliveryState, Exam, Team
from proctoring.planning import Plan, Row, Standing
from proctoring.rosters import Entry, Problem
from proctoring.vendors.base import Person
from tests import factories

pytestmark = pytest.mark.django_db

Queries = Callable[[int], AbstractContextManager[Any]]


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def team() -> Team:
    return factories.make_team()


@pytest.fixture
def account(team: Team) -> Account:
    return factories.make_account(team, name="North")


@pytest.fixture
def exam(account: Account) -> Exam:
    return factories.make_exam(account)


def entry(line: int = 2, **details: Any) -> Entry:
    given = frozenset(details) - {"problems"}
    return Entry(line=line, given=given, **details)


def ann(line: int = 2, **details: Any) -> Entry:
    return entry(line, **{"first_name": "Ann", "last_name": "Lee", "email": "ann@example.org", **details})


def planned(exam: Exam, *entries: Entry, **options: Any) -> tuple[Row, ...]:
    return planning.plan_entries(exam, entries, now=now(), options={}, **options).rows


def plan_people(exam: Exam, people: Sequence[Candidate], **options: Any) -> Plan:
    return planning.plan_candidates(exam, people, now=now(), options={}, **options)


class TestMatching:
    def test_finds_a_candidate_by_external_id_before_the_e_mail(self, exam: Exam, team: Team) -> None:
        known = factories.make_candidate(team, external_id="C-1", email="old@example.org")

        (row,) = planned(exam, ann(external_id="C-1", email="new@example.org"))

        assert row.is_known
        assert row.person.reference == known.pk
        assert row.changes["email"] == "new@example.org"

    @pytest.mark.parametrize("email", ["ann@example.org", "ANN@example.org", "Ann@Example.ORG"])
    def test_finds_a_candidate_by_e_mail_in_any_case(self, exam: Exam, team: Team, email: str) -> None:
        known = factories.make_candidate(team, first_name="Ann", last_name="Lee", email="Ann@Example.org")

        (row,) = planned(exam, ann(email=email))

        assert row.person.reference == known.pk
        assert row.changes == {}

    def test_knows_nobody_of_another_team(self, exam: Exam) -> None:
        factories.make_candidate(factories.make_team(), email="ann@example.org", external_id="C-1")

        (row,) = planned(exam, ann(external_id="C-1"))

        assert not row.is_known
        assert row.standing is Standing.READY

    def test_refuses_an_external_id_and_an_e_mail_of_two_people(self, exam: Exam, team: Team) -> None:
        factories.make_candidate(team, first_name="Bo", last_name="Ek", external_id="C-1")
        factories.make_candidate(team, first_name="Cy", last_name="Au", email="ann@example.org")

        (row,) = planned(exam, ann(external_id="C-1"))

        assert row.standing is Standing.REFUSED
        assert "Bo Ek" in row.sentences[0]
        assert "Cy Au" in row.sentences[0]

    def test_refuses_the_e_mail_of_somebody_with_another_external_id(self, exam: Exam, team: Team) -> None:
        factories.make_candidate(team, email="ann@example.org", external_id="C-1")

        (row,) = planned(exam, ann(external_id="C-2"))

        assert row.standing is Standing.REFUSED
        assert "C-1" in row.sentences[0]

    def test_gives_an_external_id_to_somebody_who_had_none(self, exam: Exam, team: Team) -> None:
        factories.make_candidate(team, first_name="Ann", last_name="Lee", email="ann@example.org")

        (row,) = planned(exam, ann(external_id="C-2"))

        assert row.standing is Standing.READY
        assert row.changes == {"external_id": "C-2"}

    def test_refuses_the_second_of_two_lines_that_are_one_candidate(self, exam: Exam, team: Team) -> None:
        factories.make_candidate(team, external_id="C-1", email="ann@example.org")

        first, second = planned(exam, ann(2, external_id="C-1", email="new@example.org"), ann(3))

        assert first.standing is Standing.READY
        assert second.standing is Standing.REFUSED
        assert second.sentences == ("The same candidate as line 2.",)

    def test_needs_names_for_somebody_new_only(self, exam: Exam, team: Team) -> None:
        factories.make_candidate(team, email="known@example.org")

        known, new = planned(exam, entry(1, email="known@example.org"), entry(2, email="new@example.org"))

        assert known.standing is Standing.READY
        assert new.standing is Standing.REFUSED
        assert "first and last name" in new.sentences[0]

    def test_keeps_the_problems_of_a_line_with_their_field(self, exam: Exam) -> None:
        problem = Problem(7, "email", "“x” is not an e-mail address.")

        (row,) = planned(exam, ann(7, problems=(problem,)))

        assert row.standing is Standing.REFUSED
        assert row.line == 7
        assert row.sentences == ("E-mail: “x” is not an e-mail address.",)


class TestMerging:
    def test_shows_what_the_roster_says_differently(self, exam: Exam, team: Team) -> None:
        factories.make_candidate(
            team, first_name="Ann", last_name="Lee", email="ann@example.org", phone="+1 555 0100", language="en"
        )

        (row,) = planned(exam, ann(last_name="Lee-Ek", phone="+1 555 0100", time_zone="Europe/Oslo"))

        assert row.changes == {"last_name": "Lee-Ek", "time_zone": "Europe/Oslo"}
        assert (row.person.last_name, row.person.language) == ("Lee-Ek", "en")

    def test_leaves_alone_what_the_roster_says_nothing_about(self, exam: Exam, team: Team) -> None:
        factories.make_candidate(
            team, first_name="Ann", last_name="Lee", email="ann@example.org", phone="+1 555 0100", extra_time_percent=0
        )

        (row,) = planned(exam, entry(2, email="ann@example.org"))

        assert row.changes == {}
        assert row.person.phone == "+1 555 0100"

    def test_can_take_an_accommodation_away(self, exam: Exam, team: Team) -> None:
        factories.make_candidate(team, email="ann@example.org", special_needs=True, extra_time_percent=25)

        (row,) = planned(exam, entry(2, email="ann@example.org", special_needs=False, extra_time_percent=0))

        assert row.changes == {"special_needs": "False", "extra_time_percent": "0"}
        assert row.standing is Standing.READY

    @pytest.mark.parametrize("name", ["مريم", "e\u0301", "שׁלום", "O’Neill", "ณัฐวุฒิ", "𠮷田"])
    def test_keeps_names_as_they_are(self, exam: Exam, name: str) -> None:
        (row,) = planned(exam, ann(first_name=name))

        assert row.person.first_name == name

    def test_survives_being_kept_for_the_preview(self, exam: Exam, team: Team) -> None:
        factories.make_candidate(team, first_name="Ann", email="ann@example.org")
        plan = planning.plan_entries(exam, [ann(), ann(3, email="b@example.org")], now=now(), options={"meta": {}})

        batch = deliveries.draft(plan, exam=exam, by=None, now=now())
        batch.refresh_from_db()

        assert deliveries.plan_of(batch) == plan


class TestAttempts:
    def _delivered(self, exam: Exam, team: Team, **details: Any) -> Candidate:
        candidate = factories.make_candidate(team)
        factories.make_delivery(exam, candidate, **{"state": DeliveryState.CREATED, **details})
        return candidate

    def test_refuse_a_second_first_attempt(self, exam: Exam, team: Team) -> None:
        (row,) = plan_people(exam, [self._delivered(exam, team)]).rows

        assert row.standing is Standing.REFUSED
        assert "Has a delivery for this exam already" in row.sentences[0]

    def test_of_another_exam_do_not_count(self, exam: Exam, account: Account, team: Team) -> None:
        candidate = self._delivered(factories.make_exam(account), team)

        assert plan_people(exam, [candidate]).ready

    def test_that_were_cancelled_do_not_count(self, exam: Exam, team: Team) -> None:
        candidate = self._delivered(exam, team, state=DeliveryState.CANCELLED)

        (row,) = plan_people(exam, [candidate]).rows

        assert (row.standing, row.attempt) == (Standing.READY, 1)

    def test_go_on_counting_with_a_retake(self, exam: Exam, team: Team) -> None:
        candidate = self._delivered(exam, team, ref="first", person_ref="")
        factories.make_delivery(exam, candidate, state=DeliveryState.CANCELLED, attempt=2)

        (row,) = plan_people(exam, [candidate], is_retake=True).rows

        assert (row.standing, row.attempt, row.previous_ref) == (Standing.READY, 2, "first")

    def test_take_the_vendors_id_of_the_candidate_from_the_last_one(
        self, exam: Exam, account: Account, team: Team
    ) -> None:
        person = str(uuid4())
        candidate = self._delivered(exam, team, person_ref=person)
        CandidateReference.objects.create(candidate=candidate, account=account, ref=str(uuid4()))

        (row,) = plan_people(exam, [candidate], is_retake=True).rows

        assert row.person.ref == person

    def test_use_the_id_known_at_the_account_for_a_first_one(self, exam: Exam, account: Account, team: Team) -> None:
        candidate, ref = factories.make_candidate(team), str(uuid4())
        CandidateReference.objects.create(candidate=candidate, account=account, ref=ref)
        CandidateReference.objects.create(
            candidate=candidate, account=factories.make_account(team), ref="somewhere else"
        )

        (row,) = plan_people(exam, [candidate]).rows

        assert row.person.ref == ref

    def test_refuse_the_retake_of_one_that_is_not_settled(self, exam: Exam, team: Team) -> None:
        requested = self._delivered(exam, team, state=DeliveryState.REQUESTED)
        under_way = self._delivered(exam, team)
        factories.make_action(Delivery.objects.get(candidate=under_way), state="unknown")

        plan = plan_people(exam, [requested, under_way], is_retake=True)

        assert [row.standing for row in plan.rows] == [Standing.REFUSED] * 2
        assert all("Attempt 1 is not settled yet" in row.sentences[0] for row in plan.rows)

    def test_refuse_the_retake_of_none(self, exam: Exam, team: Team) -> None:
        (row,) = plan_people(exam, [factories.make_candidate(team)], is_retake=True).rows

        assert "nothing to retake" in row.sentences[0]


class TestJudging:
    def test_asks_for_what_the_vendor_cannot_be_told_of(self, exam: Exam, team: Team) -> None:
        people = [factories.make_candidate(team), factories.make_candidate(team, extra_time_percent=25)]

        plan = plan_people(exam, people)

        assert [row.standing for row in plan.rows] == [Standing.READY, Standing.ASKS]
        assert "accommodation" in plan.asks[0].sentences[0]

    def test_refuses_what_no_tick_can_mend_even_where_there_is_something_to_ask(self, account: Account) -> None:
        info = [{"key": "Candidate ID", "source": "external_id", "is_required": True}]
        exam = factories.make_exam(account, settings={"examinee_info": info})
        candidate = factories.make_candidate(account.team, special_needs=True)

        (row,) = plan_people(exam, [candidate]).rows

        assert row.standing is Standing.REFUSED
        assert row.sentences == ("The exam requires “Candidate ID”, and the candidate has none.",)

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"is_archived": True}, "The exam is archived."),
            ({"ref": ""}, "no vendor's reference"),
            ({"ends_at": datetime(2020, 1, 1, tzinfo=UTC)}, "window has closed"),
        ],
    )
    def test_says_why_nobody_can_get_one_of_this_exam(
        self, exam: Exam, team: Team, changes: dict[str, Any], words: str
    ) -> None:
        for name, value in changes.items():
            setattr(exam, name, value)

        assert words in plan_people(exam, [factories.make_candidate(team)]).refusal

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"is_archived": True}, "North is archived"),
            ({"credentials": {}}, "no credentials yet"),
            ({"credentials": {"token": ""}}, "no credentials yet"),
            ({"paused_at": datetime(2026, 1, 1, tzinfo=UTC), "pause_reason": "401"}, "North is paused: 401"),
            ({"paused_verbs": {"create_deliveries": {"reason": "403: no"}}}, "may not do this: 403: no"),
            ({"permissions": ["view"]}, "was not granted the permission “create”"),
        ],
    )
    def test_says_why_nobody_can_get_one_through_this_account(
        self, exam: Exam, changes: dict[str, Any], words: str
    ) -> None:
        for name, value in changes.items():
            setattr(exam.account, name, value)

        assert words in planning.refusal(exam, now())

    @pytest.mark.parametrize(
        "changes",
        [
            {"paused_at": datetime(2026, 1, 1, tzinfo=UTC), "is_probing": True},
            {"paused_verbs": {"create_deliveries": {"reason": "403", "probing": True}}},
            {"paused_verbs": {"reissue_link": {"reason": "403"}}},
            {"permissions": []},
        ],
    )
    def test_lets_an_account_on_probation_try(self, exam: Exam, changes: dict[str, Any]) -> None:
        for name, value in changes.items():
            setattr(exam.account, name, value)

        assert planning.refusal(exam, now()) == ""

    def test_says_at_which_vendors_this_console_does_not_do_it_yet(self, team: Team) -> None:
        exam = factories.make_exam(factories.make_account(team, vendor="campfire", credentials={"secret": "x"}))

        assert "this console does not do that yet" in planning.refusal(exam, now())

    def test_refuses_an_attempt_that_somebody_else_made_between_preview_and_confirmation(
        self, exam: Exam, team: Team
    ) -> None:
        candidate = factories.make_candidate(team)
        factories.make_delivery(exam, candidate, state=DeliveryState.CREATED)
        preview = plan_people(exam, [candidate], is_retake=True)
        factories.make_delivery(exam, candidate, state=DeliveryState.CREATED, attempt=2)

        (row,) = planning.judge(preview, exam, now=now(), keeps_attempts=True).rows

        assert row.standing is Standing.REFUSED
        assert row.sentences == ("Attempt 2 was made by somebody else meanwhile.",)

    def test_never_forgives_what_the_preview_refused(self, exam: Exam, team: Team) -> None:
        candidate = factories.make_candidate(team)
        delivery = factories.make_delivery(exam, candidate)
        preview = plan_people(exam, [candidate])
        Delivery.objects.filter(pk=delivery.pk).update(state=DeliveryState.CANCELLED)

        (row,) = planning.judge(preview, exam, now=now(), keeps_attempts=True).rows

        assert row.standing is Standing.REFUSED

    def test_notices_a_window_that_closed_since(self, exam: Exam, team: Team) -> None:
        exam.ends_at = now() + timedelta(minutes=1)
        preview = plan_people(exam, [factories.make_candidate(team)])

        later = planning.judge(preview, exam, now=now() + timedelta(minutes=2), keeps_attempts=True)

        assert (preview.refusal, later.refusal) == ("", "The exam's window has closed. Move the window first.")

    def test_asks_no_vendor(self) -> None:
        with pytest.raises(AssertionError):
            planning.no_transport(None, is_effect=False)  # type: ignore[arg-type]


class TestOrderOf:
    PERSON = Person(reference=UUID(int=7), first_name="Ann", last_name="Lee")
    ROW = Row(key=0, person=PERSON, is_known=True, attempt=2, previous_ref="first")

    def test_names_the_last_attempt_of_a_retake_only(self) -> None:
        retake = planning.order_of(self.ROW, Plan(exam_id=UUID(int=1), is_retake=True), is_arranged_by_hand=False)
        first = planning.order_of(self.ROW, Plan(exam_id=UUID(int=1)), is_arranged_by_hand=False)

        assert (retake.previous_ref, first.previous_ref) == ("first", "")


class TestChunks:
    def test_are_sorted_and_whole(self) -> None:
        parts = list(planning.chunks(range(1200, 0, -1)))

        assert [len(part) for part in parts] == [500, 500, 200]
        assert [item for part in parts for item in part] == list(range(1, 1201))


class TestQueries:
    """Of a plan for 500 as many as of one for 10."""

    LIMIT = 7

    def _lines(self, count: int) -> str:
        lines = [f"Ann,Lee {n},ann{n}@example.org,C-{n}" for n in range(count)]
        return "\n".join(["First name,Last name,E-mail,External id", *lines])

    @pytest.fixture(params=[10, 500])
    def people(self, request: pytest.FixtureRequest, team: Team, exam: Exam) -> Iterator[list[Candidate]]:
        people = Candidate.objects.bulk_create(
            Candidate(
                team=team, first_name="Ann", last_name=f"Lee {n}", email=f"ann{n}@example.org", external_id=f"C-{n}"
            )
            for n in range(request.param)
        )
        Delivery.objects.bulk_create(
            Delivery(
                team=team, exam=exam, candidate=person, state=DeliveryState.CREATED, ref=str(n), requested_at=now()
            )
            for n, person in enumerate(people[::2])
        )
        yield people

    def test_of_a_roster_are_constant(
        self, exam: Exam, people: list[Candidate], django_assert_max_num_queries: Queries
    ) -> None:
        exam = Exam.objects.select_related("account", "team").get(pk=exam.pk)
        roster = rosters.read(self._lines(len(people)).encode(), filename="roster.csv")

        with django_assert_max_num_queries(self.LIMIT):
            plan = planning.plan_entries(exam, roster.entries, now=now(), options={})

        assert len(plan.rows) == len(people)
        assert len(plan.refused) == len(people) / 2

    def test_of_chosen_candidates_are_constant(
        self, exam: Exam, people: list[Candidate], django_assert_max_num_queries: Queries
    ) -> None:
        exam = Exam.objects.select_related("account", "team").get(pk=exam.pk)

        with django_assert_max_num_queries(self.LIMIT):
            plan = plan_people(exam, people, is_retake=True)

        assert len(plan.ready) == len(people) / 2
