"""A retake by command takes nobody out of the exam that they are in, unless it is told to."""

from __future__ import annotations

from pathlib import Path

import pytest

from proctoring.models import Action, Delivery, DeliveryState, Exam, Role, Session, User
from proctoring.vendors.registry import demo
from tests import factories
from tests.commands.console import say, well

LINE = "First name,Last name,E-mail\n{0.first_name},{0.last_name},{0.email}\n"


class TestSessionRetake:
    @pytest.fixture
    def lead(self, exam: Exam) -> User:
        return factories.make_user(role=Role.LEAD, team=exam.team)

    @pytest.fixture
    def exam(self, db: None) -> Exam:
        account = factories.make_account(
            factories.make_team(), vendor="campfire", credentials={"app_key": "k", "app_secret": "s"}, permissions=[]
        )
        return factories.make_exam(account, title="Saving")

    def session(self, exam: Exam, name: str, state: str) -> Session:
        known = {"state": state, "vendor_state": state.upper(), "asked_at": exam.created_at}
        return factories.make_session(exam, name=name, **known)

    def test_leaves_out_who_is_in_the_exam_and_says_so(self, exam: Exam, lead: User) -> None:
        inside, done = self.session(exam, "Ann Lee", "in_progress"), self.session(exam, "Bo Ek", "complete")
        command = ("session", "retake", inside.ref, done.ref, "--reason", "Fire", "--by", lead.username)

        said = say(*command, "--format", "json")

        assert said.error is not None
        assert "1 of 2" in said.error
        assert [action.session for action in Action.objects.all()] == [done]
        (left,) = [row for row in said.json if row["name"] == "Ann Lee"]
        assert (left["state"], "middle of the exam" in left["message"]) == ("in_exam", True)

    def test_of_nobody_else_fails_with_the_word_to_say(self, exam: Exam, lead: User) -> None:
        inside = self.session(exam, "Ann Lee", "paused")
        command = ("session", "retake", inside.ref, "--reason", "Fire", "--by", lead.username)

        refused = say(*command)
        well(*command, "--include-in-progress")

        assert refused.error
        assert "--include-in-progress" in refused.error
        assert Action.objects.get().session == inside


class TestDeliverRetake:
    @pytest.fixture
    def inside(self, db: None) -> Delivery:
        """Somebody who began a minute ago."""
        exam = factories.make_exam(
            factories.make_account(factories.make_team()), title="Widgets", ref=demo("scorpion").EXAMS[0]["ref"]
        )
        candidate = factories.make_candidate(exam.team)
        return factories.make_delivery(
            exam,
            candidate,
            state=DeliveryState.CREATED,
            opened_at=exam.created_at,
            person_ref=demo("scorpion").EXAMS[0]["ref"],
        )

    def test_leaves_out_who_is_in_the_exam_unless_it_is_said(self, inside: Delivery, tmp_path: Path) -> None:
        roster = tmp_path / "roster.csv"
        roster.write_text(LINE.format(inside.candidate))
        command = ("deliver", "Widgets", str(roster), "--retake")

        dry = say(*command, "--dry-run", "--format", "json")
        refused = say(*command)
        well(*command, "--include-in-progress")

        assert (dry.json[0]["state"], "--include-in-progress" in dry.json[0]["message"]) == ("in_exam", True)
        assert refused.error
        assert "--include-in-progress" in refused.out
        assert [delivery.attempt for delivery in Delivery.objects.order_by("attempt")] == [1, 2]
