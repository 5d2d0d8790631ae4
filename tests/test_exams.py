"""Exams: saved whole or not at all, and sent once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.conf import LazySettings
from django.core.exceptions import ValidationError
from django.db.models.functions import Now

from proctoring import exams, ledger
from proctoring.exams import UPDATE_IN_DOUBT
from proctoring.models import Account, Action, Call, Exam, JournalEntry, Team
from proctoring.sandbox.server import Sandbox
from proctoring.vendors import registry
from proctoring.vendors.base import ExamResult, Verb
from proctoring.verbs import VERBS
from tests import factories
from tests.conftest import with_patience

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


@pytest.fixture
def team(db: None) -> Team:
    return factories.make_team()


@pytest.fixture
def account(team: Team) -> Account:
    return factories.make_account(team)


def unsaved(account: Account, **values: Any) -> Exam:
    return Exam(**{"team": account.team, "account": account, "title": "Widgets", **values})


class TestWarnings:
    def test_name_the_field_that_holds_the_exams_own_secret_and_do_not_show_it(self, team: Team) -> None:
        account = factories.make_account(team, vendor="cirrus")
        exam = unsaved(account, instructions="Sit down, type sunflower, begin.", settings={"pin": "sunflower"})

        (sentence,) = exams.warnings(exam)

        assert "“Instructions for candidates” holds this exam's own “PIN”" in sentence
        assert "sunflower" not in sentence

    def test_name_the_field_that_seems_to_hold_a_code(self, account: Account) -> None:
        (sentence,) = exams.warnings(unsaved(account, title="Widgets (PIN 4711)", instructions="Be on time."))

        assert "“Title” seems to give away a code, after the word “PIN”" in sentence
        assert "4711" not in sentence

    def test_are_none_where_a_code_is_only_spoken_of(self, account: Account) -> None:
        text = "You will be asked for a PIN. Your invigilator hands it out."

        assert exams.warnings(unsaved(account, instructions=text, settings={"pin": ""})) == []


class TestSave:
    def test_keeps_a_new_exam_with_its_vendors_settings_and_a_journal_row(self, account: Account) -> None:
        exam = exams.save(unsaved(account), vendor_settings={"external_id": "none"}, by=None, now=NOW)

        assert Exam.objects.get().settings == {"external_id": "none"}
        entry = JournalEntry.objects.get()
        assert (entry.event, entry.target, entry.facts) == ("exam.added", str(exam.pk), {})

    def test_journals_a_change_as_a_change(self, account: Account) -> None:
        exam = exams.save(unsaved(account), vendor_settings={}, by=None, now=NOW)

        exams.save(exam, vendor_settings={"external_id": "none"}, by=None, now=NOW)

        assert list(JournalEntry.objects.order_by("event").values_list("event", flat=True)) == [
            "exam.added",
            "exam.changed",
        ]

    @pytest.mark.parametrize(
        ("values", "field"),
        [
            ({"title": ""}, "title"),
            ({"title": "x" * 251}, "title"),
            ({"time_zone": "Oslo"}, "time_zone"),
            ({"duration_minutes": 0}, "duration_minutes"),
            ({"starts_at": NOW, "ends_at": NOW}, "ends_at"),
            ({"starts_at": NOW, "ends_at": NOW - timedelta(days=1)}, "ends_at"),
        ],
    )
    def test_names_the_field_and_saves_nothing(self, account: Account, values: dict[str, Any], field: str) -> None:
        with pytest.raises(ValidationError) as caught:
            exams.save(unsaved(account, **values), vendor_settings={}, by=None, now=NOW)

        assert field in caught.value.message_dict
        assert not Exam.objects.exists()
        assert not JournalEntry.objects.exists()

    def test_refuses_another_teams_account(self, account: Account) -> None:
        exam = unsaved(account, team=factories.make_team())

        with pytest.raises(ValidationError) as caught:
            exams.save(exam, vendor_settings={}, by=None, now=NOW)

        assert list(caught.value.message_dict) == ["account"]


class TestVerbOf:
    @pytest.mark.parametrize(
        ("vendor", "ref", "verb"),
        [
            ("smarterproctoring", "", Verb.CREATE_EXAM),
            ("proctorexam", "12", Verb.UPDATE_EXAM),
            ("scorpion", "", None),
            ("scorpion", "x", None),
        ],
    )
    def test_is_how_the_vendor_gets_the_exam(self, team: Team, vendor: str, ref: str, verb: Verb | None) -> None:
        exam = factories.make_exam(factories.make_account(team, vendor=vendor), ref=ref)

        assert exams.verb_of(exam) is verb


class TestSend:
    def test_is_refused_with_a_sentence_where_the_vendor_has_no_such_call(self, account: Account) -> None:
        with pytest.raises(exams.Refused, match="no call to send an exam"):
            exams.send(factories.make_exam(account), by=None, now=NOW)

        assert not Action.objects.exists()

    @pytest.mark.parametrize(
        ("exam_values", "account_values", "words"),
        [
            ({"is_archived": True}, {}, "archived"),
            ({"ref": ""}, {}, "Enter the vendor's reference first"),
            ({}, {"paused_at": NOW, "pause_reason": "401"}, "is paused: 401"),
            ({}, {"credentials": {}}, "no credentials"),
        ],
    )
    def test_is_refused_for_what_hinders_it(
        self, team: Team, exam_values: dict[str, Any], account_values: dict[str, Any], words: str
    ) -> None:
        account = factories.make_account(team, vendor="proctorexam", **account_values)
        exam = factories.make_exam(account, **{"ref": "12", **exam_values})

        with pytest.raises(exams.Refused, match=words):
            exams.send(exam, by=None, now=NOW)

        assert not Action.objects.exists()

    def test_is_refused_while_it_is_under_way(self, team: Team) -> None:
        exam = factories.make_exam(factories.make_account(team, vendor="proctorexam"), ref="12")
        Action.objects.create(
            team=team,
            account=exam.account,
            exam=exam,
            verb=Verb.UPDATE_EXAM,
            group=exam.pk,
            due_at=NOW,
            created_at=NOW,
            changed_at=NOW,
        )

        with pytest.raises(exams.Refused, match="being sent already"):
            exams.send(exam, by=None, now=NOW)

        assert Action.objects.count() == 1


class TestApplySent:
    def test_keeps_the_reference_and_adds_to_what_was_confirmed(self, team: Team) -> None:
        exam = factories.make_exam(factories.make_account(team, vendor="smarterproctoring"), ref="", confirmed={"a": 1})
        action = Action(team=team, account=exam.account, exam=exam, verb=Verb.CREATE_EXAM)

        exams.apply_sent(action, ExamResult(ref="EX1", confirmed={"b": 2}), now=NOW)

        exam.refresh_from_db()
        assert (exam.ref, exam.confirmed, exam.sent_at) == ("EX1", {"a": 1, "b": 2}, NOW)

    def test_never_loses_a_reference_to_an_empty_one(self, team: Team) -> None:
        exam = factories.make_exam(factories.make_account(team, vendor="proctorexam"), ref="12")
        action = Action(team=team, account=exam.account, exam=exam, verb=Verb.UPDATE_EXAM)

        exams.apply_sent(action, ExamResult(ref=""), now=NOW)

        exam.refresh_from_db()
        assert exam.ref == "12"


class TestAnUpdateAfterOneWithoutAnAnswer:
    """A vendor that still carries the first one out would put its values over the second's."""

    @pytest.fixture
    def sandbox(self, transactional_db: None, settings: LazySettings) -> Iterator[Sandbox]:
        with Sandbox.running({"proctorexam": 0}) as running:
            yield with_patience(running, settings)

    @pytest.mark.parametrize(("minutes_ago", "is_in_doubt"), [(0, True), (6, False)])
    def test_says_for_some_minutes_that_it_may_not_stand(
        self, sandbox: Sandbox, minutes_ago: int, is_in_doubt: bool
    ) -> None:
        exam = self.exam(sandbox)
        sandbox.fault("proctorexam", "timeout_before", calls=1, match="PATCH")
        self.send(exam)
        first = Action.objects.get()
        Call.objects.update(sent_at=Now() - timedelta(minutes=minutes_ago))

        second = self.send(exam, title="Renamed")

        assert (first.state, second.state) == ("done", "done")
        assert (UPDATE_IN_DOUBT in second.message) is is_in_doubt
        assert UPDATE_IN_DOUBT not in first.message, "what is repeated is the same"

    def exam(self, sandbox: Sandbox) -> Exam:
        demo = registry.demo("proctorexam")
        account = factories.make_account(
            factories.make_team(),
            vendor="proctorexam",
            base_url=sandbox.url("proctorexam"),
            credentials=demo.CREDENTIALS,
            settings=demo.SETTINGS,
            permissions=demo.PERMISSIONS,
        )
        soon = datetime.now(UTC).replace(microsecond=0) + timedelta(days=3)
        return factories.make_exam(
            account, **{**demo.EXAMS[0], "starts_at": soon, "ends_at": soon + timedelta(days=30)}
        )

    def send(self, exam: Exam, **changes: Any) -> Action:
        for name, value in changes.items():
            setattr(exam, name, value)
        exam.save()
        action = exams.send(exam, by=None, now=datetime.now(UTC))
        for _ in range(2):
            Action.objects.filter(state="queued").update(due_at=datetime.now(UTC))
            Account.objects.update(next_call_at=None)
            ledger.drain(exam.account_id, VERBS, worker="test", should_stop=lambda: False, seconds=0.1)
        action.refresh_from_db()
        return action
