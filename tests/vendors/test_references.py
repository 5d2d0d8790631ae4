"""What a person types as a vendor's identifier: refused where it cannot be one, and said where it was saved before."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.test import Client
from django.urls import reverse

from proctoring import exams
from proctoring.models import Account, Action, ActionState, Batch, Exam, Role, Team
from proctoring.vendors import registry
from proctoring.vendors.base import Verb
from tests import factories
from tests.commands.console import say

UUID = "a0829bc3-8291-43dd-9181-478e7411c1df"
HEX = "1234567890abcdef1234567890abcdef"
WORDS = {
    "scorpion": "cannot be an exam's id at Caveon Scorpion, which is a UUID such as",
    "campfire": "cannot be an exam's id at Campfire Learning, which is a UUID in small letters, such as",
    "proctorexam": "cannot be an exam's id at ProctorExam, which is a number such as 4711.",
    "smarterproctoring": "cannot be an exam's id at SmarterProctoring, which is EX and 32 of the characters 0-9 and a-f.",
    "cirrus": "cannot be an exam's id at Cirrus, which is an AssessmentExtId: at most 64 letters without accents, digits",
}
RIGHT = [
    *[("scorpion", UUID), ("scorpion", UUID.upper())],
    *[("campfire", UUID), ("campfire", f"{UUID}/exam#v0")],
    *[("proctorexam", "1"), ("proctorexam", "4711")],
    ("smarterproctoring", f"EX{HEX}"),
    *[("cirrus", "1111"), ("cirrus", "NORTH-000"), ("cirrus", "x" * 64)],
]
WRONG = [
    *[("scorpion", "Widgets"), ("scorpion", UUID[:-1]), ("scorpion", f"{{{UUID}}}"), ("scorpion", f"EX{HEX}")],
    *[("campfire", "Widgets"), ("campfire", UUID.upper()), ("campfire", f"{UUID}/exam")],
    *[("proctorexam", "0"), ("proctorexam", "12a"), ("proctorexam", "-1"), ("proctorexam", "٣")],
    *[("smarterproctoring", f"CU{HEX}"), ("smarterproctoring", f"EX{HEX.upper()}"), ("smarterproctoring", f"EX{HEX}0")],
    *[("cirrus", "two words"), ("cirrus", "EXT_sch_1"), ("cirrus", "x" * 65), ("cirrus", "é")],
]
ONE_WRONG = list({vendor: (vendor, ref) for vendor, ref in reversed(WRONG)}.values())

pytestmark = pytest.mark.django_db


@pytest.fixture
def team() -> Team:
    return factories.make_team()


@pytest.fixture
def client(team: Team) -> Client:
    client = Client()
    client.force_login(factories.make_user(team=team, role=Role.LEAD))
    return client


def account_of(team: Team, vendor: str) -> Account:
    demo = registry.demo(vendor)
    account: Account = factories.make_account(
        team,
        vendor=vendor,
        name="The account",
        base_url="https://vendor.example.com",
        credentials=demo.CREDENTIALS,
        settings=demo.SETTINGS,
        permissions=demo.PERMISSIONS,
    )
    return account


def demo_exam(team: Team, vendor: str, **kw: Any) -> Exam:
    """The demo's exam, its row as somebody saved it once."""
    soon = datetime.now(UTC).replace(microsecond=0) + timedelta(days=3)
    window = {"starts_at": soon, "ends_at": soon + timedelta(days=3)}
    return factories.make_exam(
        account_of(team, vendor), **{"ref": "", **registry.demo(vendor).EXAMS[0], **window, **kw}
    )


def add(vendor: str, ref: str) -> Any:
    settings = registry.demo(vendor).EXAMS[0]["settings"]
    given = {k: v if isinstance(v, str) else json.dumps(v) for k, v in settings.items() if v is not None}
    sets = [part for name, value in {**given, "ref": ref}.items() for part in ("--set", f"{name}={value}")]
    return say("exam", "add", "Widgets", "--account", "The account", *sets)


def sent_back(client: Client, exam: Exam, **changes: str) -> Any:
    """The exam's own page in the admin, saved with these changes."""
    url = reverse("admin:proctoring_exam_change", args=[exam.pk])
    form = client.get(url).context["adminform"].form
    data = {
        f.html_name: "" if f.value() in (None, False) else f.value() for f in form if f.html_name != "settings-meta"
    }
    return client.post(url, {**data, **changes}, follow=True)


class TestAnExamsReference:
    @pytest.mark.parametrize(("vendor", "ref"), RIGHT)
    def test_is_taken_where_it_can_be_one(self, team: Team, vendor: str, ref: str) -> None:
        account_of(team, vendor)

        said = add(vendor, ref)

        assert said.error is None
        assert Exam.objects.get().ref == ref

    @pytest.mark.parametrize(("vendor", "ref"), WRONG)
    def test_is_refused_by_the_command_where_it_cannot(self, team: Team, vendor: str, ref: str) -> None:
        account_of(team, vendor)

        said = add(vendor, ref)

        assert f"--set ref: “{ref}” {WORDS[vendor]}" in (said.error or "")
        assert not Exam.objects.exists()

    @pytest.mark.parametrize(("vendor", "ref"), ONE_WRONG)
    def test_is_refused_at_its_field_in_the_admin(self, client: Client, team: Team, vendor: str, ref: str) -> None:
        data = {"account": account_of(team, vendor).pk, "shown_vendor": vendor, "title": "Widgets", "ref": ref}

        answer = client.post(reverse("admin:proctoring_exam_add"), data)

        assert answer.status_code == 200
        (error,) = answer.context["adminform"].form.errors["ref"]
        assert WORDS[vendor] in error
        assert not Exam.objects.exists()

    @pytest.mark.parametrize(("vendor", "ref"), ONE_WRONG)
    def test_is_refused_whoever_saves_the_exam(self, team: Team, vendor: str, ref: str) -> None:
        exam = Exam(team=team, account=account_of(team, vendor), title="Widgets", ref=ref)

        with pytest.raises(ValidationError) as caught:
            exams.save(exam, vendor_settings={}, by=None, now=datetime.now(UTC))

        assert list(caught.value.message_dict) == ["ref"]


class TestAReferenceThatWasSavedWrong:
    @pytest.mark.parametrize(("vendor", "ref"), ONE_WRONG)
    def test_is_said_on_the_exams_page(self, client: Client, team: Team, vendor: str, ref: str) -> None:
        page = client.get(reverse("exam", args=[demo_exam(team, vendor, ref=ref).pk])).content.decode()

        assert "The vendor&#x27;s reference of this exam is wrong" in page

    @pytest.mark.parametrize("vendor", registry.VENDORS)
    def test_is_not_said_of_a_right_one(self, client: Client, team: Team, vendor: str) -> None:
        page = client.get(reverse("exam", args=[demo_exam(team, vendor).pk])).content.decode()

        assert "of this exam is wrong" not in page

    def test_is_not_said_of_one_that_the_vendor_gave(self, client: Client, team: Team) -> None:
        exam = demo_exam(team, "smarterproctoring", ref="TE1234", sent_at=datetime.now(UTC))

        assert "of this exam is wrong" not in client.get(reverse("exam", args=[exam.pk])).content.decode()

    @pytest.mark.parametrize(("vendor", "ref"), [("scorpion", "Widgets"), ("cirrus", "two words")])
    def test_delivers_nothing(self, client: Client, team: Team, tmp_path: Path, vendor: str, ref: str) -> None:
        exam = demo_exam(team, vendor, ref=ref)
        roster = tmp_path / "roster.csv"
        roster.write_text("First name,Last name,E-mail\nAnn,Lee,ann@example.org\n")
        data = {"exam": exam.pk, "mode": "first", "source": "pasted", "pasted": "Ann Lee <ann@example.org>"}

        page = client.post(reverse("deliver"), data)
        said = say("deliver", exam.pk, roster)

        assert page.status_code == 422
        assert "The vendor&#x27;s reference of this exam is wrong" in page.content.decode()
        assert f"“{ref}” {WORDS[vendor]}" in (said.error or "")
        assert not Batch.objects.exists()

    def test_is_not_sent_as_an_update(self, team: Team) -> None:
        exam = demo_exam(team, "proctorexam", ref="Bookkeeping")

        said = say("exam", "send", exam.pk)

        assert WORDS["proctorexam"] in (said.error or "")
        assert not Action.objects.exists()

    def test_does_not_hinder_another_change_which_says_it(self, client: Client, team: Team) -> None:
        exam = demo_exam(team, "proctorexam", ref="Bookkeeping")

        said = [str(message) for message in sent_back(client, exam, title="Bookkeeping II").context["messages"]]

        exam.refresh_from_db()
        assert (exam.title, exam.ref) == ("Bookkeeping II", "Bookkeeping")
        assert any("of this exam is wrong" in text for text in said)

    def test_cannot_be_changed_to_another_wrong_one(self, client: Client, team: Team) -> None:
        exam = demo_exam(team, "proctorexam", ref="Bookkeeping")

        wrong = sent_back(client, exam, ref="Accounting").context["adminform"].form.errors
        sent_back(client, exam, ref="12")

        exam.refresh_from_db()
        assert list(wrong) == ["ref"]
        assert exam.ref == "12"


class TestAnIdFoundAtTheVendor:
    @pytest.mark.parametrize("ref", ["EX", f"CU{HEX}", "Biology"])
    def test_is_refused_for_an_exam_whose_outcome_is_unknown(self, client: Client, team: Team, ref: str) -> None:
        exam = demo_exam(team, "smarterproctoring", ref="")
        now = datetime.now(UTC)
        times = {"due_at": now, "created_at": now, "changed_at": now, "sent_at": now}
        action = Action.objects.create(
            team=team,
            account=exam.account,
            exam=exam,
            verb=Verb.CREATE_EXAM.value,
            group=exam.pk,
            state=ActionState.UNKNOWN,
            **times,
        )
        url = reverse("attention_step", args=[action.pk, "found"])

        answer = client.post(url, {"found-ref": ref, "reason": "Seen there"})

        action.refresh_from_db()
        assert answer.status_code == 422
        assert "SID is EX and 32 of the characters 0-9 and a-f." in answer.content.decode()
        assert action.state == ActionState.UNKNOWN
