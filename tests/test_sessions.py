"""Sessions at a vendor whose calls cannot be taken back: read first, sent once, and what happened found out."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from django.conf import LazySettings

from proctoring import attention, ledger, sessions
from proctoring.attention import Step
from proctoring.models import Account, Action, ActionState, Attention, Batch, Candidate, JournalEntry, Reading, Session
from proctoring.sandbox.server import Sandbox
from proctoring.vendors.base import Response, Verb
from proctoring.verbs import VERBS
from tests.conftest import with_patience
from tests.hall import DEMO_CONFIG, LARGE_CONFIG, RETAKES_CONFIG, Hall
from tests.processes import eventually


@pytest.fixture
def hall(transactional_db: None, settings: LazySettings) -> object:
    with Sandbox.running({"campfire": 0}) as sandbox:
        yield Hall.at(with_patience(sandbox, settings))


def action_of(batch: Batch) -> Action:
    action: Action = Action.objects.select_related("account", "session").get(batch=batch)
    return action


class TestPlan:
    def test_says_what_a_reset_takes_from_each(self, hall: Hall) -> None:
        hall.sync()

        rows = {row.name: row for row in sessions.plan(list(Session.objects.all()), Verb.RESET).rows}

        assert rows["Amos Burton"].loses == "all answers and the score 100"
        assert rows["Robin Roe"].loses == "no answers and no score"

    def test_refuses_what_is_open_already(self, hall: Hall) -> None:
        hall.sync()

        plan = sessions.plan([hall.named("Amos Burton"), hall.named("Robin Roe")], Verb.REOPEN)

        assert [row.name for row in plan.ready] == ["Amos Burton"]
        assert plan.refused[0].sentences == ("The session is open already.",)

    def test_refuses_a_second_action_while_one_is_under_way(self, hall: Hall) -> None:
        hall.sync()
        hall.ask(Verb.RESET, hall.named("Amos Burton"))

        plan = sessions.plan([hall.named("Amos Burton")], Verb.REOPEN)

        assert "under way" in plan.refused[0].sentences[0]

    def test_refuses_a_retake_that_the_exam_does_not_allow(self, hall: Hall) -> None:
        hall.sync()
        hall.exam.settings = {**hall.exam.settings, "allows_retakes": False}
        hall.exam.save()

        assert not sessions.plan([hall.named("Amos Burton")], Verb.RETAKE).ready


class TestWhoIsInTheExam:
    """A retake ends the attempt that somebody is in, so they are left out unless that is said."""

    def plan(self, hall: Hall, verb: Verb = Verb.RETAKE) -> sessions.Plan:
        hall.sync()
        Session.objects.update(allows_retakes=True)
        return sessions.plan([hall.named("Amos Burton"), hall.named("Robin Roe")], verb)

    def draft(self, hall: Hall, plan: sessions.Plan) -> Batch:
        return sessions.draft(plan, team_id=hall.team.pk, by=hall.lead, now=datetime.now(UTC))

    def request(self, hall: Hall, batch: Batch, **values: Any) -> list[str]:
        common: dict[str, Any] = {
            "category": "technical",
            "reason": "Fire alarm",
            "by": hall.lead,
            "now": datetime.now(UTC),
        }
        sessions.request(batch, **common, **values)
        return sorted(str(action.session) for action in Action.objects.select_related("session"))

    def test_is_counted_and_left_out(self, hall: Hall) -> None:
        plan = self.plan(hall)

        asked = self.request(hall, self.draft(hall, plan))

        assert ([row.name for row in plan.ready], [row.name for row in plan.in_exam]) == (
            ["Amos Burton"],
            ["Robin Roe"],
        )
        assert asked == ["Amos Burton"]
        assert [item["name"] for item in Batch.objects.get().plan["skipped_sessions"]] == ["Robin Roe"]

    def test_is_taken_along_once_that_is_said(self, hall: Hall) -> None:
        assert self.request(hall, self.draft(hall, self.plan(hall)), includes_in_exam=True) == [
            "Amos Burton",
            "Robin Roe",
        ]

    def test_is_never_somebody_who_began_after_the_preview(self, hall: Hall) -> None:
        batch = self.draft(hall, self.plan(hall))
        Session.objects.filter(name="Amos Burton").update(state="in_progress", vendor_state="IN_PROGRESS")

        assert self.request(hall, batch, includes_in_exam=True) == ["Robin Roe"]

    def test_is_said_of_a_reset_too(self, hall: Hall) -> None:
        rows = {row.name: row for row in self.plan(hall, Verb.RESET).rows}

        assert any("middle of the exam" in text for text in rows["Robin Roe"].warnings)
        assert not any("middle of the exam" in text for text in rows["Amos Burton"].warnings)


class TestRequest:
    def test_a_second_press_changes_nothing(self, hall: Hall) -> None:
        hall.sync()
        batch = hall.draft(Verb.RESET, [hall.named("Amos Burton")])

        hall.confirm(batch)
        hall.confirm(batch)

        assert Action.objects.count() == 1

    def test_needs_a_category_and_words(self, hall: Hall) -> None:
        hall.sync()
        batch = hall.draft(Verb.RESET, [hall.named("Amos Burton")])

        for category, reason in (("", "Power cut"), ("technical", " "), ("weather", "Rain")):
            with pytest.raises(sessions.Refused):
                sessions.request(batch, category=category, reason=reason, by=hall.lead, now=datetime.now(UTC))
        assert not Action.objects.exists()

    def test_leaves_out_what_somebody_else_asked_for_meanwhile(self, hall: Hall) -> None:
        hall.sync()
        batch = hall.draft(Verb.RESET, [hall.named("Amos Burton"), hall.named("Jordan Doe")])
        hall.ask(Verb.RESET, hall.named("Amos Burton"))

        confirmed = hall.confirm(batch)

        assert action_of(confirmed).session == hall.named("Jordan Doe")
        assert [item["name"] for item in confirmed.plan["skipped_sessions"]] == ["Amos Burton"]


class TestReset:
    def test_takes_answers_and_score_and_keeps_what_was_there(self, hall: Hall) -> None:
        hall.sync()
        batch = hall.ask(Verb.RESET, hall.named("Amos Burton"))

        hall.drain()

        action, session = action_of(batch), hall.named("Amos Burton")
        assert action.state == ActionState.DONE
        assert (session.score, session.has_responses) == (None, False)
        assert action.kept["before"]["score"] == 100
        assert action.kept["before"]["responses"]
        assert hall.there(session)["resets"] == 1

    def test_of_a_complete_session_says_that_it_is_still_complete(self, hall: Hall) -> None:
        hall.sync()
        batch = hall.ask(Verb.RESET, hall.named("Amos Burton"))

        hall.drain()

        assert "still COMPLETE" in action_of(batch).message
        assert hall.named("Amos Burton").state == "complete"

    @pytest.mark.parametrize(
        ("change", "what"),
        [
            ({"maturity": "IN_PROGRESS", "answers": "keep"}, "maturity"),
            ({"maturity": "COMPLETE", "answers": "wrong"}, "score"),
        ],
    )
    def test_is_refused_where_the_session_changed_since_the_preview(
        self, hall: Hall, change: dict[str, str], what: str
    ) -> None:
        hall.sync()
        session = hall.named("Amos Burton")
        batch = hall.ask(Verb.RESET, session)
        hall.sandbox.control("campfire", "set_session", session_id=session.ref, **change)

        hall.drain()

        action = action_of(batch)
        assert (action.state, action.attention) == (ActionState.NEEDS_ATTENTION, Attention.CHANGED)
        assert what in action.message
        assert hall.there(session)["resets"] == 0

    def test_is_not_sent_where_the_session_cannot_be_read_and_says_so(self, hall: Hall) -> None:
        hall.sync()
        batch = hall.ask(Verb.RESET, hall.named("Amos Burton"))
        hall.sandbox.fault("campfire", "500_before", calls=1, match="GET")

        hall.drain(seconds=0.1)

        action = action_of(batch)
        assert action.state == ActionState.QUEUED
        assert "500" in action.message
        assert hall.sent("reset") == 0

    def test_that_timed_out_after_it_took_effect_is_found_out_and_not_sent_again(self, hall: Hall) -> None:
        hall.sync()
        batch = hall.ask(Verb.RESET, hall.named("Amos Burton"))
        hall.sandbox.fault("campfire", "timeout_after", calls=1, match="/reset")
        hall.drain(seconds=0.1)
        lost = action_of(batch)

        attention.take(lost, Step.LOOK_UP, by=hall.lead, reason="", now=datetime.now(UTC))
        hall.make_due()
        hall.drain()

        assert lost.state == ActionState.UNKNOWN
        assert action_of(batch).state == ActionState.DONE
        assert (hall.sent("reset"), hall.there(hall.named("Amos Burton"))["resets"]) == (1, 1)
        assert action_of(batch).kept["before"]["score"] == 100
        assert hall.named("Amos Burton").score is None

    def test_of_a_session_without_answers_proves_nothing_after_a_time_out(self, hall: Hall) -> None:
        hall.sync()
        batch = hall.ask(Verb.RESET, hall.named("Robin Roe"))
        hall.sandbox.fault("campfire", "timeout_after", calls=1, match="/reset")
        hall.drain(seconds=0.1)

        attention.take(action_of(batch), Step.LOOK_UP, by=hall.lead, reason="", now=datetime.now(UTC))
        hall.let_five_minutes_pass()
        hall.drain()

        assert action_of(batch).state == ActionState.UNKNOWN
        assert hall.sent("reset") == 1

    @pytest.mark.parametrize("verb", [Verb.RESET, Verb.REOPEN])
    def test_that_is_not_seen_after_a_time_out_is_never_sent_again_by_itself(self, hall: Hall, verb: Verb) -> None:
        hall.sync()
        batch = hall.ask(verb, hall.named("Amos Burton"))
        hall.sandbox.fault("campfire", "timeout_before", calls=1, match=f"/{verb.value}")
        hall.drain(seconds=0.1)

        for _ in range(3):
            attention.take(action_of(batch), Step.LOOK_UP, by=hall.lead, reason="", now=datetime.now(UTC))
            hall.let_five_minutes_pass()
            hall.drain()

        assert action_of(batch).state == ActionState.UNKNOWN
        assert "a person has to decide" in action_of(batch).message
        assert hall.sent(verb.value) == 1

    def test_that_a_person_sends_again_spares_what_the_candidate_wrote_meanwhile(self, hall: Hall) -> None:
        hall.exam.settings = {**hall.exam.settings, "include": []}  # so the preview knows of no answers
        hall.exam.save()
        hall.sync()
        session = hall.named("Amos Burton")
        batch = hall.ask(Verb.RESET, session)
        hall.sandbox.fault("campfire", "timeout_before", calls=1, match="/reset")
        hall.drain(seconds=0.1)
        written = hall.write_answers(session)

        attention.take(action_of(batch), Step.SEND_AGAIN, by=hall.lead, reason="Not reset there", now=datetime.now(UTC))
        hall.make_due()
        hall.drain()

        action = action_of(batch)
        assert (action.state, action.attention) == (ActionState.NEEDS_ATTENTION, Attention.CHANGED)
        assert "its responses" in action.message
        assert hall.there(session)["answers"] == written


class TestReopen:
    def test_opens_a_complete_session(self, hall: Hall) -> None:
        hall.sync()
        batch = hall.ask(Verb.REOPEN, hall.named("Amos Burton"))

        hall.drain()

        assert action_of(batch).state == ActionState.DONE
        assert hall.named("Amos Burton").state == "in_progress"
        assert hall.named("Amos Burton").score == 100

    def test_after_a_reset_is_possible_and_lets_the_candidate_in(self, hall: Hall) -> None:
        hall.sync()
        hall.ask(Verb.RESET, hall.named("Amos Burton"))
        hall.drain()

        hall.ask(Verb.REOPEN, hall.named("Amos Burton"))
        hall.drain()

        assert hall.states() == {"done": 2}
        assert hall.there(hall.named("Amos Burton"))["maturity"] == "IN_PROGRESS"

    def test_that_timed_out_after_it_took_effect_is_found_out_and_not_sent_again(self, hall: Hall) -> None:
        hall.sync()
        batch = hall.ask(Verb.REOPEN, hall.named("Amos Burton"))
        hall.sandbox.fault("campfire", "timeout_after", calls=1, match="/reopen")
        hall.drain(seconds=0.1)

        attention.take(action_of(batch), Step.LOOK_UP, by=hall.lead, reason="", now=datetime.now(UTC))
        hall.make_due()
        hall.drain()

        assert action_of(batch).state == ActionState.DONE
        assert hall.sent("reopen") == 1

    def test_that_took_effect_late_is_shown_as_soon_as_it_is_found_out(self, hall: Hall) -> None:
        hall.sync()
        batch = hall.ask(Verb.REOPEN, hall.named("Amos Burton"))
        hall.sandbox.fault("campfire", "late_effect", calls=1, match="/reopen")
        hall.drain(seconds=0.1)
        Reading.objects.update(due_at=None)
        Session.objects.update(vendor_state="COMPLETE", state="complete")  # as if read before the vendor acted
        assert eventually(lambda: hall.there(hall.named("Amos Burton"))["maturity"] == "IN_PROGRESS")

        attention.take(action_of(batch), Step.LOOK_UP, by=hall.lead, reason="", now=datetime.now(UTC))
        Action.objects.update(look_due_at=datetime.now(UTC))
        Account.objects.update(next_call_at=None)
        hall.drain()

        assert action_of(batch).state == ActionState.DONE
        assert hall.named("Amos Burton").vendor_state == hall.there(hall.named("Amos Burton"))["maturity"]


class TestRetake:
    @pytest.fixture
    def hall(self, transactional_db: None, settings: LazySettings) -> object:
        with Sandbox.running({"campfire": 0}) as sandbox:
            yield Hall.at(with_patience(sandbox, settings), config=RETAKES_CONFIG)

    def test_prepares_a_new_attempt(self, hall: Hall) -> None:
        hall.sync()
        batch = hall.ask(Verb.RETAKE, hall.named("Amos Burton"))

        hall.drain()

        assert action_of(batch).state == ActionState.DONE
        assert hall.there(hall.named("Amos Burton"))["attempt"] == 2

    def test_with_an_unknown_outcome_waits_for_a_person_and_is_never_sent_again_by_itself(self, hall: Hall) -> None:
        hall.sync()
        batch = hall.ask(Verb.RETAKE, hall.named("Amos Burton"))
        hall.sandbox.fault("campfire", "timeout_after", calls=1, match="/retake")
        hall.drain(seconds=0.1)

        for _ in range(3):
            attention.take(action_of(batch), Step.LOOK_UP, by=hall.lead, reason="", now=datetime.now(UTC))
            hall.let_five_minutes_pass()
            hall.drain()

        assert action_of(batch).state == ActionState.UNKNOWN
        assert hall.sent("retake") == 1


class TestWhetherRetakesAreAllowed:
    """Only the exam's configuration says so; it is read apart from its sessions, now and then."""

    def refused(self, hall: Hall) -> list[str]:
        row = sessions.plan([hall.named("Amos Burton")], Verb.RETAKE).rows[0]
        return [*row.sentences, *(["not known"] if any("not known" in text for text in row.warnings) else [])]

    def test_is_refused_where_the_vendor_says_no_whatever_the_exam_says_here(self, hall: Hall) -> None:
        hall.exam.settings = {**hall.exam.settings, "allows_retakes": True}
        hall.exam.save()

        hall.sync()

        assert hall.named("Amos Burton").allows_retakes is False
        assert "vendor says" in self.refused(hall)[0]

    def test_is_possible_where_the_vendor_says_yes_whatever_the_exam_says_here(self, hall: Hall) -> None:
        hall.exam.settings = {**hall.exam.settings, "config_refs": [RETAKES_CONFIG], "allows_retakes": False}
        hall.exam.save()

        hall.sync()

        assert self.refused(hall) == []

    def test_is_asked_for_again_with_a_session_that_somebody_reads_again(self, hall: Hall) -> None:
        hall.sync()
        hall.sandbox.control("campfire", "set_exam_config", exam_config_id=DEMO_CONFIG, allow_retakes="yes")
        before = self.refused(hall)

        sessions.ask_reading(hall.named("Amos Burton"), by=hall.lead, now=datetime.now(UTC))
        hall.drain()

        assert (len(before), self.refused(hall)) == (1, [])

    def test_is_not_known_and_not_refused_where_the_vendor_does_not_show_the_configuration(self, hall: Hall) -> None:
        hall.sync()
        Session.objects.update(config_ref="00000000-0000-4000-8000-000000000404", allows_retakes=None)

        Reading.objects.filter(verb=Verb.READ_EXAM_CONFIG).update(due_at=datetime.now(UTC))
        hall.drain()

        reading = Reading.objects.get(verb=Verb.READ_EXAM_CONFIG)
        assert (reading.message, reading.error) == ("1 exam configuration, 1 not shown to us", "")
        assert self.refused(hall) == ["not known"]

    def test_stays_as_it_was_heard_while_the_vendor_does_not_answer(self, hall: Hall) -> None:
        hall.sync()
        hall.sandbox.fault("campfire", "500_before", match="exam-config/")

        sessions.ask_reading(hall.named("Amos Burton"), by=hall.lead, now=datetime.now(UTC))
        hall.make_due()
        hall.drain()

        assert "500" in Reading.objects.get(verb=Verb.READ_EXAM_CONFIG).error
        assert hall.named("Amos Burton").allows_retakes is False

    def test_is_known_of_a_new_session_at_once(self, hall: Hall) -> None:
        hall.sync()
        hall.sandbox.control("campfire", "add_session", name="Newcomer")

        hall.sync(seconds=0.1)

        assert hall.named("Newcomer").allows_retakes is False

    def test_is_asked_for_at_once_where_a_configuration_is_new(self, hall: Hall) -> None:
        hall.sync()
        made = hall.sandbox.control("campfire", "add_exam_config", name="Autumn", allow_retakes="no")["exam_config_id"]
        hall.sandbox.control("campfire", "add_session", name="Newcomer", exam_config_id=made)
        hall.exam.settings = {**hall.exam.settings, "config_refs": [DEMO_CONFIG, made]}
        hall.exam.save()

        hall.sync()

        assert hall.named("Newcomer").allows_retakes is False


class TestSetResponses:
    def test_sends_the_vendors_own_option_indexes_and_keeps_before_and_after(self, hall: Hall) -> None:
        batch = self.asked(hall)
        session = hall.named("Zoë Müller-Lüdenscheidt")

        hall.drain()

        action = action_of(batch)
        (sent,) = action.payload["order"]["responses"]
        assert action.state == ActionState.DONE
        assert hall.there(session)["answers"][sent["item_ref"]] == {sent["question_ref"]: {"options": [{"index": 2}]}}
        assert action.kept["before"]["responses"] != action.kept["after"]["responses"]
        assert hall.named(session.name).score == 33

    def test_after_a_time_out_are_settled_by_a_session_that_shows_exactly_what_was_sent(self, hall: Hall) -> None:
        batch = self.asked(hall)
        hall.sandbox.fault("campfire", "timeout_after", calls=1, match="/responses")
        hall.drain(seconds=0.1)

        attention.take(action_of(batch), Step.LOOK_UP, by=hall.lead, reason="", now=datetime.now(UTC))
        hall.make_due()
        hall.drain()

        assert action_of(batch).state == ActionState.DONE
        assert "exactly the responses" in action_of(batch).message
        assert hall.sent("responses") == 1

    def test_after_a_time_out_stay_unknown_where_the_session_does_not_show_them(self, hall: Hall) -> None:
        batch = self.asked(hall)
        hall.sandbox.fault("campfire", "timeout_before", calls=1, match="/responses")
        hall.drain(seconds=0.1)

        for _ in range(2):
            attention.take(action_of(batch), Step.LOOK_UP, by=hall.lead, reason="", now=datetime.now(UTC))
            hall.let_five_minutes_pass()
            hall.drain()

        assert action_of(batch).state == ActionState.UNKNOWN
        assert hall.sent("responses") == 1

    def asked(self, hall: Hall) -> Batch:
        hall.sync()
        session = hall.named("Zoë Müller-Lüdenscheidt")
        item, answers = next(iter(hall.there(session)["answers"].items()))
        response = Response(item_ref=item, question_ref=next(iter(answers)), option_indexes=(2,))
        plan = replace(sessions.plan([session], Verb.SUBMIT_RESPONSES), responses=(response,), submit_for_scoring=True)
        return hall.confirm(sessions.draft(plan, team_id=hall.team.pk, by=hall.lead, now=datetime.now(UTC)))


class TestReadingAgain:
    def test_is_not_lost_where_it_was_asked_for_while_the_session_was_being_read(self, hall: Hall) -> None:
        hall.sync()
        session = hall.named("Amos Burton")
        sessions.ask_reading(session, by=hall.lead, now=datetime.now(UTC))
        (reading,) = hall.claim(1)
        read = ledger.perform(reading, VERBS)

        sessions.ask_reading(session, by=hall.lead, now=datetime.now(UTC))
        ledger.settle(reading, read, VERBS)

        asked = Reading.objects.get(session=session, verb=Verb.READ_SESSION.value)
        assert asked.due_at is not None
        assert asked.due_at <= datetime.now(UTC)


class TestList:
    def test_matches_by_student_id_then_by_the_lti_user_and_leaves_the_others_unmatched(self, hall: Hall) -> None:
        by_id = Candidate.objects.create(
            team=hall.team, first_name="S", last_name="O", email="other@example.org", external_id="C-1005"
        )
        by_mail = Candidate.objects.create(
            team=hall.team, first_name="A", last_name="B", email="Amos.Burton@example.com"
        )
        hall.sync()

        Reading.objects.filter(verb=Verb.READ_RESULTS).update(due_at=datetime.now(UTC))
        hall.drain()

        assert hall.named("Siobhán O’Neill").candidate == by_id
        assert hall.named("Amos Burton").candidate == by_mail
        assert hall.named("Robin Roe").candidate is None

    def test_keeps_a_word_that_is_not_known_raw(self, hall: Hall) -> None:
        hall.sync()

        session = hall.named("Nguyễn Thị Hương")

        assert (session.state, session.vendor_state) == ("unknown", "AWAITING_REVIEW")

    @pytest.mark.timeout(240)
    def test_of_10_000_sessions_is_taken_in_completely(self, hall: Hall, settings: LazySettings) -> None:
        settings.CALL_DEADLINE_SECONDS = 30.0
        hall.exam.settings = {**hall.exam.settings, "config_refs": [LARGE_CONFIG], "include": []}
        hall.exam.save()
        hall.sandbox.control("campfire", "add_sessions", exam_config_id=LARGE_CONFIG, count="9940")
        hall.sandbox.control("campfire", "set_paging", page_size="1000", cursor_place="body", cursor="ends", end="null")

        reading = hall.sync(seconds=0.1)

        assert reading.error == ""
        assert reading.message == "10000 sessions"
        assert Session.objects.count() == 10_000

    @pytest.mark.parametrize(
        ("cursor", "words"),
        [
            ("repeats", "repeats a next token"),
            ("circles", "repeats a next token"),
            ("never_ends", "does not seem to end"),
        ],
    )
    def test_notices_a_cursor_that_does_not_lead_to_the_end(self, hall: Hall, cursor: str, words: str) -> None:
        hall.exam.settings = {**hall.exam.settings, "config_refs": [LARGE_CONFIG], "include": []}
        hall.exam.save()
        hall.sandbox.control("campfire", "set_paging", page_size="10", cursor_place="body", cursor=cursor, end="null")

        reading = hall.sync(seconds=0.1)

        assert words in reading.error
        assert Session.objects.exists()
        assert reading.due_at is not None, "it is read again at its next turn"


class TestAskSync:
    def test_is_refused_by_a_vendor_that_has_no_list(self, hall: Hall) -> None:
        account = Account(team=hall.team, name="Cirrus", vendor="cirrus", base_url="http://127.0.0.1:9")
        account.save()

        assert not sessions.ask_sync(account, by=None, now=datetime.now(UTC))
        assert not Reading.objects.filter(account=account).exists()


class TestJournal:
    def test_holds_who_asked_for_what_and_why_and_no_name(self, hall: Hall) -> None:
        hall.sync()
        hall.ask(Verb.RESET, hall.named("Amos Burton"))

        entry = JournalEntry.objects.get(event="session.requested")

        assert (entry.by, entry.reason) == (hall.lead, "Technical trouble: The hall lost power")
        assert "Amos" not in str(entry.facts)
