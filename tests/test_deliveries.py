"""Deliveries: asked for once however often and by whomever, applied, cancelled, counted."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection

from proctoring import deliveries, ledger, planning, rosters
from proctoring.models import (
    Account,
    Action,
    ActionState,
    Batch,
    Candidate,
    CandidateReference,
    Delivery,
    DeliveryState,
    Exam,
    JournalEntry,
    Team,
    User,
)
from proctoring.planning import Plan, Standing
from proctoring.vendors.base import Created
from tests import factories

Queries = Callable[[int], AbstractContextManager[Any]]
HEADER = "First name,Last name,E-mail,External id\n"


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def team(db: None) -> Team:
    return factories.make_team()


@pytest.fixture
def account(team: Team) -> Account:
    return factories.make_account(team, name="North")


@pytest.fixture
def exam(account: Account) -> Exam:
    return factories.make_exam(account)


@pytest.fixture
def ann(team: Team) -> User:
    return factories.make_user(team=team)


def roster_plan(exam: Exam, *lines: str, **options: Any) -> Plan:
    roster = rosters.read((HEADER + "\n".join(lines)).encode(), filename="roster.csv")
    return planning.plan_entries(exam, roster.entries, now=now(), options={}, **options)


def drafted(exam: Exam, people: Sequence[Candidate] | Plan, *, reason: str = "", **options: Any) -> Batch:
    if not isinstance(people, Plan):
        people = planning.plan_candidates(exam, people, now=now(), **{"options": {}, **options})
    return deliveries.draft(people, exam=exam, by=None, now=now(), reason=reason)


def requested(batch: Batch, **options: Any) -> Batch:
    return deliveries.request(batch, **{"by": None, "now": now(), **options})


def skipped(batch: Batch) -> list[planning.Row]:
    return list(deliveries.skipped_of(batch))


def counts() -> tuple[int, ...]:
    return tuple(model.objects.count() for model in (Candidate, Delivery, Action, JournalEntry))


class TestDraft:
    def test_asks_for_nothing(self, exam: Exam, team: Team) -> None:
        batch = drafted(exam, factories.make_candidates(team, 2))

        assert batch.confirmed_at is None
        assert (batch.kind, len(deliveries.plan_of(batch).rows)) == ("deliver", 2)
        assert counts() == (2, 0, 0, 0)

    def test_of_retakes_says_so(self, exam: Exam, team: Team) -> None:
        assert drafted(exam, factories.make_candidates(team, 1), is_retake=True).kind == "retake"

    def test_is_forgotten_after_a_day_unless_it_was_confirmed(self, exam: Exam, team: Team) -> None:
        old, confirmed, new = (drafted(exam, factories.make_candidates(team, 1)) for _ in range(3))
        requested(confirmed)
        Batch.objects.exclude(pk=new.pk).update(created_at=now() - timedelta(hours=25))

        forgotten = deliveries.forget_drafts(now=now())

        assert forgotten == 1
        assert set(Batch.objects.all()) == {confirmed, new}
        assert old not in Batch.objects.all()


class TestRequest:
    def test_writes_a_delivery_an_action_and_their_journal_rows_for_each(
        self, exam: Exam, team: Team, ann: User
    ) -> None:
        people = factories.make_candidates(team, 3)

        batch = requested(drafted(exam, people, reason="Spring session"), by=ann)

        assert (batch.by, batch.confirmed_at is not None) == (ann, True)
        assert set(Delivery.objects.values_list("candidate", "state")) == {(p.pk, "requested") for p in people}
        assert set(Action.objects.values_list("state", "reason", "batch")) == {("queued", "Spring session", batch.pk)}
        events = JournalEntry.objects.values_list("event", "by", "reason", "action_id")
        assert {(event, by, reason) for event, by, reason, _ in events} == {
            ("delivery.requested", ann.pk, "Spring session")
        }
        assert {action for *_, action in events} == set(Action.objects.values_list("pk", flat=True))

    def test_copies_all_that_is_sent_into_the_action(self, exam: Exam, team: Team) -> None:
        person = factories.make_candidate(team, first_name="Ann", phone="+1 555 0100")
        options = {"form_id": str(uuid4()), "meta": {"a": "b"}}
        requested(drafted(exam, [person], options=options))
        Candidate.objects.update(first_name="Else")
        Exam.objects.update(ref="other")

        payload = Action.objects.get().payload

        assert payload["order"]["person"]["first_name"] == "Ann"
        assert payload["order"]["options"] == options
        assert payload["order"]["reference"] == str(Action.objects.get().pk)
        assert payload["exam"]["ref"] == exam.ref

    def test_returns_the_same_batch_at_a_second_press(self, exam: Exam, team: Team, ann: User) -> None:
        batch = drafted(exam, factories.make_candidates(team, 2))
        first = requested(batch, by=ann)
        before = counts()

        second = requested(batch, by=None)

        assert second == first
        assert (second.by, second.confirmed_at, second.plan) == (ann, first.confirmed_at, first.plan)
        assert counts() == before

    def test_leaves_out_who_cannot_get_one_and_says_why(self, exam: Exam, team: Team) -> None:
        has_one, needs_time, fine = factories.make_candidates(team, 3)
        factories.make_delivery(exam, has_one)
        Candidate.objects.filter(pk=needs_time.pk).update(extra_time_percent=25)
        needs_time.refresh_from_db()

        batch = requested(drafted(exam, [has_one, needs_time, fine]))

        assert [action.delivery.candidate for action in batch.actions.all() if action.delivery] == [fine]
        first, second = skipped(batch)
        assert (first.standing, "already" in first.sentences[0]) == (Standing.REFUSED, True)
        assert (second.standing, "accommodation" in second.sentences[0]) == (Standing.ASKS, True)

    def test_sends_an_accommodation_that_was_ticked_as_arranged_and_journals_it(self, exam: Exam, team: Team) -> None:
        people = [factories.make_candidate(team, extra_time_percent=25) for _ in range(2)]

        batch = requested(drafted(exam, people), arranged=[1, 99])

        delivery = Delivery.objects.get()
        assert (delivery.candidate, delivery.is_arranged_by_hand) == (people[1], True)
        assert Action.objects.get().payload["order"]["is_arranged_by_hand"] is True
        assert list(JournalEntry.objects.filter(event="delivery.arranged").values_list("target", flat=True)) == [
            str(delivery.pk)
        ]
        assert len(skipped(batch)) == 1

    def test_does_not_call_arranged_what_needed_nothing(self, exam: Exam, team: Team) -> None:
        requested(drafted(exam, factories.make_candidates(team, 1)), arranged=[0])

        assert Delivery.objects.get().is_arranged_by_hand is False
        assert not JournalEntry.objects.filter(event="delivery.arranged").exists()

    @pytest.mark.parametrize(
        ("model", "changes", "words"),
        [
            (Account, {"paused_at": datetime(2026, 1, 1, tzinfo=UTC), "pause_reason": "401"}, "North is paused: 401"),
            (Account, {"is_archived": True}, "North is archived"),
            (Account, {"permissions": ["view"]}, "was not granted"),
            (Exam, {"is_archived": True}, "The exam is archived."),
            (Exam, {"ref": ""}, "no vendor's reference"),
            (Exam, {"ends_at": datetime(2026, 1, 1, tzinfo=UTC)}, "window has closed"),
        ],
    )
    def test_refuses_what_became_impossible_since_the_preview_and_saves_nothing(
        self, exam: Exam, model: type[Account] | type[Exam], changes: dict[str, Any], words: str
    ) -> None:
        batch = drafted(exam, roster_plan(exam, "Ann,Lee,ann@example.org,C-1"))
        model.objects.update(**changes)
        before = counts()

        with pytest.raises(deliveries.Refused, match=words):
            requested(batch)

        assert counts() == before
        assert Batch.objects.get().confirmed_at is None

    def test_can_be_pressed_again_after_what_hindered_is_gone(self, exam: Exam, team: Team) -> None:
        batch = drafted(exam, factories.make_candidates(team, 1))
        Exam.objects.update(is_archived=True)
        with pytest.raises(deliveries.Refused):
            requested(batch)
        Exam.objects.update(is_archived=False)

        requested(batch)

        assert Delivery.objects.count() == 1

    def test_refuses_a_batch_in_which_nobody_can_get_one(self, exam: Exam, team: Team) -> None:
        person = factories.make_candidate(team)
        factories.make_delivery(exam, person)
        before = counts()

        with pytest.raises(deliveries.Refused, match="None of these"):
            requested(drafted(exam, [person]))

        assert counts() == before

    def test_makes_no_second_delivery_from_another_draft(self, exam: Exam, team: Team) -> None:
        people = factories.make_candidates(team, 2)
        first, second = drafted(exam, people), drafted(exam, people)
        requested(first)

        with pytest.raises(deliveries.Refused):
            requested(second)

        assert Delivery.objects.count() == Action.objects.count() == 2

    def test_makes_no_second_retake_from_another_draft(self, exam: Exam, team: Team) -> None:
        people = factories.make_candidates(team, 2)
        for person in people:
            factories.make_delivery(exam, person, state=DeliveryState.CREATED)
        first, second = (drafted(exam, people, is_retake=True) for _ in range(2))
        requested(first)
        Delivery.objects.update(state=DeliveryState.CREATED)
        Action.objects.update(state=ActionState.DONE)

        with pytest.raises(deliveries.Refused):
            requested(second)

        assert sorted(Delivery.objects.values_list("attempt", flat=True)) == [1, 1, 2, 2]

    def test_keeps_what_one_delivery_in_a_hundred_lost_to_somebody_else(self, exam: Exam, team: Team) -> None:
        people = factories.make_candidates(team, 3)
        batch = drafted(exam, people)
        requested(drafted(exam, people[:1]))

        done = requested(batch)

        assert done.actions.count() == 2
        assert [row.sentences for row in skipped(done)] == [
            ("Has a delivery for this exam already. Choose “retake” for a new attempt.",)
        ]

    def test_groups_as_many_as_the_vendor_takes_in_one_call(self, team: Team) -> None:
        account = factories.make_account(team, vendor="cirrus", credentials={"token": "x"}, permissions=[])
        group = {"group_ext_id": "WIDGETS", "group_name": "Widget candidates"}
        exam = factories.make_exam(account, ref="WIDGET-101", settings=group, starts_at=now())

        requested(drafted(exam, factories.make_candidates(team, 3)))

        assert Action.objects.values("group").distinct().count() == 1

    def test_gives_each_its_own_group_where_the_vendor_takes_one(self, exam: Exam, team: Team) -> None:
        requested(drafted(exam, factories.make_candidates(team, 3)))

        assert Action.objects.values("group").distinct().count() == 3

    def test_keeps_nobodys_details_after_the_press_but_of_those_left_out(self, exam: Exam, team: Team) -> None:
        batch = requested(drafted(exam, factories.make_candidates(team, 1)))

        assert batch.plan == {"v": 1, "is_retake": False, "skipped": []}


class TestRequestWithARoster:
    def test_adds_and_changes_candidates_with_journal_rows_that_name_fields_only(self, exam: Exam, team: Team) -> None:
        known = factories.make_candidate(team, first_name="Ann", last_name="Old", email="ann@example.org")

        requested(drafted(exam, roster_plan(exam, "Ann,Lee,ann@example.org,C-1", "Bo,Ek,bo@example.org,C-2")))

        known.refresh_from_db()
        assert (known.last_name, known.external_id) == ("Lee", "C-1")
        assert Candidate.objects.get(email="bo@example.org").external_id == "C-2"
        entries = {e.event: e for e in JournalEntry.objects.filter(target_kind="candidate")}
        assert set(entries) == {"candidate.added", "candidate.changed"}
        assert entries["candidate.changed"].facts == {"fields": ["external_id", "last_name"]}
        assert entries["candidate.added"].facts == {"fields": []}

    def test_saves_no_candidate_who_gets_no_delivery(self, exam: Exam, team: Team) -> None:
        known = factories.make_candidate(team, first_name="Ann", last_name="Old", email="ann@example.org")
        factories.make_delivery(exam, known)

        requested(
            drafted(exam, roster_plan(exam, "Ann,New,ann@example.org,", "Bo,Ek,bo@example.org,", "Cy,Au,nonsense,"))
        )

        known.refresh_from_db()
        assert known.last_name == "Old"
        assert set(Candidate.objects.values_list("email", flat=True)) == {"ann@example.org", "bo@example.org"}

    @pytest.mark.parametrize(
        "taken", [{"email": "ANN@example.org"}, {"email": "else@example.org", "external_id": "C-1"}]
    )
    def test_skips_a_new_candidate_whose_address_or_id_was_taken_meanwhile_and_says_so(
        self, exam: Exam, team: Team, taken: dict[str, str]
    ) -> None:
        batch = drafted(exam, roster_plan(exam, "Ann,Lee,ann@example.org,C-1", "Bo,Ek,bo@example.org,C-2"))
        factories.make_candidate(team, **taken)

        done = requested(batch)

        assert [d.candidate.email for d in Delivery.objects.select_related("candidate")] == ["bo@example.org"]
        (row,) = skipped(done)
        assert (row.person.email, row.standing) == ("ann@example.org", Standing.REFUSED)
        assert "Meanwhile somebody else added" in row.sentences[0]

    @pytest.mark.parametrize(
        "taken", [{"email": "new@example.org"}, {"email": "else@example.org", "external_id": "C-9"}]
    )
    def test_skips_a_known_candidate_whose_new_address_or_id_was_taken_meanwhile(
        self, exam: Exam, team: Team, taken: dict[str, str]
    ) -> None:
        known = factories.make_candidate(team, first_name="Ann", last_name="Lee", email="ann@example.org")
        other = factories.make_candidate(
            team, first_name="Bo", last_name="Ek", email="bo@example.org", external_id="C-2"
        )
        line = "Ann,Lee,ann@example.org,C-9" if "external_id" in taken else "Bo,Ek,new@example.org,C-2"
        batch = drafted(exam, roster_plan(exam, line, "Cy,Au,cy@example.org,C-3"))
        factories.make_candidate(team, **taken)

        done = requested(batch)

        assert [d.candidate.email for d in Delivery.objects.select_related("candidate")] == ["cy@example.org"]
        assert [row.person.reference for row in skipped(done)] == [known.pk if "external_id" in taken else other.pk]
        assert not JournalEntry.objects.filter(event="candidate.changed").exists()
        known.refresh_from_db()
        assert known.external_id == ""

    def test_skips_a_candidate_who_was_removed_meanwhile(self, exam: Exam, team: Team) -> None:
        gone, there = factories.make_candidates(team, 2)
        batch = drafted(exam, [gone, there])
        Candidate.objects.filter(pk=gone.pk).delete()

        done = requested(batch)

        assert Delivery.objects.get().candidate == there
        assert "removed a candidate" in skipped(done)[0].sentences[0]

    def test_is_refused_to_the_second_of_two_coordinators_with_the_same_new_people(self, exam: Exam) -> None:
        first, second = (drafted(exam, roster_plan(exam, "Ann,Lee,ann@example.org,C-1")) for _ in range(2))
        requested(first)
        before = counts()

        with pytest.raises(deliveries.Refused, match="somebody else"):
            requested(second)

        assert counts() == before

    def test_takes_few_queries(self, exam: Exam, django_assert_max_num_queries: Queries) -> None:
        for count in (10, 400):
            lines = [f"Ann,Lee {n},ann{count}x{n}@example.org,C-{count}-{n}" for n in range(count)]
            batch = drafted(exam, roster_plan(exam, *lines))

            # SQLite takes 999 values in one statement, so that a few more are written for more rows.
            with django_assert_max_num_queries(60):
                requested(batch)

        assert Delivery.objects.count() == 410


class TestTwoPresses:
    """At the same moment, each in a thread and a transaction of its own."""

    def _press(self, batches: Sequence[Batch]) -> list[str]:
        outcomes: list[str] = []
        start = threading.Barrier(len(batches))

        def press(batch: Batch) -> None:
            try:
                start.wait()
                outcomes.append(f"{requested(batch).actions.count()} asked for")
            except deliveries.Refused:
                outcomes.append("refused")
            except Exception as error:
                outcomes.append(repr(error))
            finally:
                connection.close()

        threads = [threading.Thread(target=press, args=(batch,)) for batch in batches]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sorted(outcomes)

    @pytest.mark.django_db(transaction=True)
    def test_of_one_draft_make_one_delivery_each(self) -> None:
        exam = factories.make_exam(factories.make_account(factories.make_team()))
        batch = drafted(exam, factories.make_candidates(exam.team, 5))

        outcomes = self._press([batch] * 4)

        assert outcomes == ["5 asked for"] * 4
        assert Delivery.objects.count() == Action.objects.count() == 5
        assert JournalEntry.objects.filter(event="delivery.requested").count() == 5

    @pytest.mark.django_db(transaction=True)
    def test_of_two_drafts_in_opposite_order_make_one_delivery_each(self) -> None:
        exam = factories.make_exam(factories.make_account(factories.make_team()))
        people = factories.make_candidates(exam.team, 20)

        outcomes = self._press([drafted(exam, people), drafted(exam, people[::-1])])

        assert outcomes == ["20 asked for", "refused"]
        assert Delivery.objects.count() == Action.objects.count() == 20

    @pytest.mark.django_db(transaction=True)
    def test_of_two_rosters_with_the_same_new_and_changed_people_make_each_once(self) -> None:
        exam = factories.make_exam(factories.make_account(factories.make_team()))
        for number in range(5):
            factories.make_candidate(exam.team, email=f"p{number}@example.org", external_id="")
        lines = [f"Pat,Lee {n},p{n}@example.org,C-{n}" for n in range(10)]
        plans = [roster_plan(exam, *lines), roster_plan(exam, *lines[::-1])]

        outcomes = self._press([drafted(exam, plan) for plan in plans])

        assert outcomes == ["10 asked for", "refused"]
        assert Candidate.objects.count() == Delivery.objects.count() == Action.objects.count() == 10

    @pytest.mark.django_db(transaction=True)
    def test_of_two_retakes_make_one_attempt(self) -> None:
        exam = factories.make_exam(factories.make_account(factories.make_team()))
        person = factories.make_candidate(exam.team)
        factories.make_delivery(exam, person, state=DeliveryState.CREATED)

        outcomes = self._press([drafted(exam, [person], is_retake=True) for _ in range(3)])

        assert outcomes == ["1 asked for", "refused", "refused"]
        assert sorted(Delivery.objects.values_list("attempt", flat=True)) == [1, 2]


def created(action: Action, **values: str) -> Created:
    links = {"take_url": factories.TAKE_URL, "proctor_url": factories.PROCTOR_URL}
    return Created(reference=action.pk, **{"ref": "there", "person_ref": str(uuid4()), **links, **values})


def asked(exam: Exam, **values: Any) -> Action:
    return factories.make_action(factories.make_delivery(exam, factories.make_candidate(exam.team)), **values)


class TestApplyCreated:
    def test_writes_ids_links_and_the_vendors_id_for_the_candidate(self, exam: Exam) -> None:
        action = asked(exam)

        deliveries.apply_created(action, created(action, person_ref="person"), now=now())

        delivery = Delivery.objects.get()
        assert (delivery.state, delivery.ref, delivery.person_ref) == ("created", "there", "person")
        assert (delivery.take_url, delivery.proctor_url) == (factories.TAKE_URL, factories.PROCTOR_URL)
        assert delivery.created_at is not None
        assert CandidateReference.objects.values_list("candidate", "account", "ref").get() == (
            delivery.candidate.pk,
            exam.account.pk,
            "person",
        )

    def test_keeps_the_newest_id_for_the_candidate(self, exam: Exam) -> None:
        action = asked(exam)
        assert action.delivery is not None
        CandidateReference.objects.create(candidate=action.delivery.candidate, account=exam.account, ref="old")

        deliveries.apply_created(action, created(action, person_ref="new"), now=now())

        assert CandidateReference.objects.get().ref == "new"

    def test_changes_nothing_of_a_delivery_that_is_no_longer_asked_for(self, exam: Exam) -> None:
        action = asked(exam)
        Delivery.objects.update(state=DeliveryState.CANCELLED)

        deliveries.apply_created(action, created(action), now=now())

        assert Delivery.objects.get().take_url == ""
        assert not CandidateReference.objects.exists()

    def test_says_when_links_are_missing(self, exam: Exam) -> None:
        action = asked(exam)

        deliveries.apply_created(action, created(action, take_url="", note="No token."), now=now())

        assert Delivery.objects.get().links_missing
        assert Delivery.objects.get().note == "No token."


class TestDecisions:
    def test_cancel_ends_the_delivery_with_its_action_so_that_another_may_be_made(self, exam: Exam, ann: User) -> None:
        action = asked(exam)
        assert action.delivery is not None

        deliveries.cancel(action, by=ann, reason="Ill", now=now())

        delivery = Delivery.objects.get()
        assert (delivery.state, delivery.cancelled_at is not None) == ("cancelled", True)
        assert planning.plan_candidates(exam, [delivery.candidate], now=now(), options={}).ready[0].attempt == 1
        entry = JournalEntry.objects.get(event="action.cancelled")
        assert (entry.by, entry.reason, entry.target) == (ann, "Ill", str(delivery.pk))

    @pytest.mark.parametrize("state", [ActionState.SENDING, ActionState.DONE, ActionState.CANCELLED])
    def test_cancel_leaves_alone_what_is_being_sent_or_over(self, exam: Exam, state: ActionState) -> None:
        action = asked(exam, state=state)

        with pytest.raises(ledger.Conflict):
            deliveries.cancel(action, by=None, reason="", now=now())

        assert Delivery.objects.get().state == "requested"

    def test_resolve_created_needs_a_state_that_can_be_resolved_and_writes_nothing_else(self, exam: Exam) -> None:
        action = asked(exam, state=ActionState.DONE)

        with pytest.raises(ledger.Conflict):
            deliveries.resolve_created(action, created(action), by=None, reason="", now=now())

        assert Delivery.objects.get().state == "requested"

    def test_resolve_created_writes_what_a_person_found(self, exam: Exam, ann: User) -> None:
        action = asked(exam, state=ActionState.UNKNOWN)

        deliveries.resolve_created(action, created(action), by=ann, reason="Seen there", now=now())

        assert Action.objects.get().state == "done"
        assert Delivery.objects.get().take_url == factories.TAKE_URL
        assert JournalEntry.objects.get().event == "action.resolved"

    def test_cancel_waiting_cancels_only_what_has_not_started(self, exam: Exam) -> None:
        batch = factories.make_batch(exam)
        for state in (
            ActionState.QUEUED,
            ActionState.QUEUED,
            ActionState.SENDING,
            ActionState.UNKNOWN,
            ActionState.DONE,
        ):
            asked(exam, state=state, batch=batch)
        asked(exam)

        cancelled = deliveries.cancel_waiting(batch, by=None, reason="", now=now())

        assert cancelled == 2
        assert Action.objects.filter(state="queued").count() == 1
        assert Delivery.objects.filter(state="cancelled").count() == 2

    def test_show_proctor_link_is_journalled_without_the_link(self, exam: Exam, ann: User) -> None:
        delivery = factories.make_delivery(exam, factories.make_candidate(exam.team), state=DeliveryState.CREATED)

        link = deliveries.show_proctor_link(delivery, by=ann, now=now())

        entry = JournalEntry.objects.get()
        assert link == factories.PROCTOR_URL
        assert (entry.event, entry.by, entry.facts) == ("delivery.proctor_link_shown", ann, {})


class TestProgress:
    def test_counts_every_state_and_what_may_still_move(self, exam: Exam) -> None:
        batch = factories.make_batch(exam)
        for state in ActionState:
            asked(exam, state=state, batch=batch)
        asked(exam, state=ActionState.UNKNOWN, batch=batch, look_due_at=now())

        progress = deliveries.progress(batch)

        assert [progress[state] for state in ActionState] == [1, 1, 2, 1, 1, 1]
        assert (progress["total"], progress["settled"], progress["moving"]) == (7, 5, 3)

    def test_of_an_empty_batch_is_nothing(self, exam: Exam) -> None:
        assert set(deliveries.progress(factories.make_batch(exam)).values()) == {0}
