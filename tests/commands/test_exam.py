"""`exam add`: any field of the exam or of its vendor's form, and nothing saved that is wrong."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from proctoring.forms.exam import ExamDetailsForm
from proctoring.management.commands.exam import DetailsForm
from proctoring.models import Account, Exam
from proctoring.vendors import registry
from tests import factories
from tests.commands.console import Said, rows, say, well

pytestmark = pytest.mark.django_db
INFO = [
    {"key": "Given", "source": "first_name", "is_required": True},
    {"key": "ID", "source": "external_id", "is_required": False},
]


@pytest.fixture
def account() -> Account:
    return factories.make_account(factories.make_team("Northern exams", time_zone="Europe/Oslo"), name="North")


def add(*settings: str, title: str = "Widgets", account: str = "North", options: tuple[str, ...] = ()) -> Said:
    given = [part for item in settings for part in ("--set", item)]
    return say("exam", "add", title, "--account", account, *given, *options)


class TestAdd:
    def test_needs_a_title_and_an_account_only(self, account: Account) -> None:
        said = add()

        exam = Exam.objects.get()
        assert said.error is None
        assert "Added the exam Widgets" in said.out
        assert (exam.account, exam.team, exam.time_zone) == (account, account.team, "Europe/Oslo")
        assert exam.settings["external_id"] == "uuid"

    def test_warns_of_a_code_that_every_candidate_would_be_mailed(self, account: Account) -> None:
        said = add("instructions=The password is Sunshine7.")

        assert said.error is None
        assert "seems to give away a code, after the word “password”" in said.notes
        assert Exam.objects.exists()

    def test_takes_every_field_of_the_model(self, account: Account) -> None:
        said = add(
            *("ref=b5a7c9d0-1f2e-4a3b-8c4d-000000000101", "time_zone=America/New_York", "duration_minutes=90"),
            *("starts_at=2026-12-01 09:00", "ends_at=2026-12-01T12:00-05:00", "is_archived=yes"),
            "instructions=Line 1\nمرحبا = hello",
        )

        exam = Exam.objects.get()
        assert said.error is None
        assert (exam.ref, exam.duration_minutes) == ("b5a7c9d0-1f2e-4a3b-8c4d-000000000101", 90)
        assert exam.starts_at == datetime(2026, 12, 1, 14, 0, tzinfo=UTC)
        assert exam.ends_at == datetime(2026, 12, 1, 17, 0, tzinfo=UTC)
        assert exam.instructions == "Line 1\nمرحبا = hello"
        assert exam.is_archived

    def test_offers_every_field_that_a_person_may_edit(self) -> None:
        editable = {field.name for field in Exam._meta.fields if field.editable and not field.auto_created}

        assert {*DetailsForm.base_fields} == editable - {"team", "account", "created_at", "id"}

    @pytest.mark.parametrize("vendor", registry.VENDORS)
    def test_can_tell_the_models_fields_from_the_vendors(self, vendor: str) -> None:
        assert not {*DetailsForm.base_fields} & {*registry.forms(vendor).ExamForm.base_fields}
        assert {*ExamDetailsForm.base_fields} < {*DetailsForm.base_fields}

    def test_takes_every_field_of_the_vendors_form_rows_and_pairs_as_json(self, account: Account) -> None:
        form = str(uuid4())

        said = add(
            *(f"examinee_info={json.dumps(INFO)}", "external_id=none", f"form_id={form.upper()}"),
            *('meta={"cohort": "spring", "centre": "Malmö"}',),
            options=("--format", "json"),
        )

        stored = {
            "examinee_info": INFO,
            "external_id": "none",
            "form_id": form,
            "meta": {"cohort": "spring", "centre": "Malmö"},
        }
        exam = Exam.objects.get()
        assert exam.settings == stored
        assert said.json == {
            "id": str(exam.pk),
            "title": "Widgets",
            "account": "North",
            "ref": "",
            "starts_at": "",
            "ends_at": "",
            "settings": stored,
        }

    @pytest.mark.parametrize("vendor", registry.VENDORS)
    def test_takes_the_demo_exams_of_every_vendor(self, account: Account, vendor: str) -> None:
        factories.make_account(account.team, vendor=vendor, name="Other")

        for values in registry.demo(vendor).EXAMS:
            details = {k: v for k, v in values.items() if k not in ("title", "settings")} | values["settings"]
            given = [f"{k}={v if isinstance(v, str) else json.dumps(v)}" for k, v in details.items() if v is not None]
            said = add(*given, title=values["title"], account="Other")
            assert said.error is None, said.error

        assert Exam.objects.count() == len(registry.demo(vendor).EXAMS)

    def test_asks_for_a_proctor_type_where_the_vendor_wants_one(self, account: Account) -> None:
        factories.make_account(account.team, vendor="smarterproctoring", name="Other")
        settings = ["courseSid=CU" + 32 * "a", "type=Written", "examDeliverySystemModule=canvas"]

        said = add(*settings, account="Other")

        assert said.error == "--set proctorTypes: Choose at least one proctor type."
        assert not Exam.objects.exists()

    def test_reads_the_vendors_times_on_the_exams_clock(self, account: Account) -> None:
        factories.make_account(account.team, vendor="smarterproctoring", name="Other")

        settings = registry.demo("smarterproctoring").EXAMS[0]["settings"]
        given = [f"{k}={v if isinstance(v, str) else json.dumps(v)}" for k, v in settings.items()]
        times = ("time_zone=Europe/Oslo", "duration_minutes=60", "scheduleOpenDate=2026-12-01T09:00")

        said = add(*[item for item in given if not item.startswith("schedule")], *times, account="Other")

        assert said.error is None, said.error
        assert '"2026-12-01T08:00:00Z"' in json.dumps(Exam.objects.get().settings)

    @pytest.mark.parametrize(
        ("settings", "words"),
        [
            (["colour=red"], "--set colour: there is no such field. Known are: duration_minutes, ends_at"),
            (["team=1"], "--set team: there is no such field."),
            (["starts_at"], "--set 'starts_at': write it as key=value."),
            (["=x"], "--set '=x': write it as key=value."),
            (["ref=a", "ref=b"], "--set ref: it is given twice."),
            (["starts_at=soon"], "--set starts_at: Enter a date and time, such as 2026-12-01 09:00."),
            (["starts_at=2026-03-29T02:30"], "--set starts_at: The clocks in Europe/Oslo skip 02:30"),
            (["starts_at=2026-10-25T02:30"], "--set starts_at: 02:30 on 25 October 2026 happens twice"),
            (["starts_at=0001-01-01T00:00"], "--set starts_at: Enter a year"),
            (
                ["starts_at=2026-12-01T09:00", "ends_at=2026-12-01T08:00"],
                "--set ends_at: The window must close after it opens.",
            ),
            (["time_zone=Mars/Olympus"], "--set time_zone: “Mars/Olympus” is not a time zone"),
            (["duration_minutes=long"], "--set duration_minutes: Enter a whole number."),
            (["duration_minutes=0"], "--set duration_minutes: Ensure this value is greater than or equal to 1."),
            (["title="], "--set title: This field is required."),
            (["form_id=x"], "--set form_id: This is not a UUID"),
            (["external_id=all"], "--set external_id: Select a valid choice."),
            (["examinee_info=[{"], "--set examinee_info: This is not JSON."),
            (["examinee_info={}"], "--set examinee_info: Enter a list of rows."),
            (['examinee_info=[{"key": "A", "source": "shoe"}]'], "--set examinee_info: Row 1, Filled with"),
            (['examinee_info=[{"key": "A", "size": 9}]'], "--set examinee_info: Row 1: there is no column “size”."),
            (['meta={"proctoring_reference": "x"}'], "--set meta: The key “proctoring_reference” is taken"),
            (["meta=[1, 2]"], "--set meta: Enter a list of rows."),
        ],
    )
    def test_says_what_is_wrong_and_saves_nothing(self, account: Account, settings: list[str], words: str) -> None:
        before = rows()

        said = add(*settings)

        assert words in (said.error or "")
        assert rows() == before

    def test_names_every_field_that_is_wrong(self, account: Account) -> None:
        said = add("form_id=x", "external_id=all")

        assert {line.partition(":")[0] for line in (said.error or "").splitlines()} == {
            "--set form_id",
            "--set external_id",
        }

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            (("--by", "nobody"), "There is no user “nobody”."),
            (("--team", "Elsewhere"), "There is no team “Elsewhere”."),
        ],
    )
    def test_knows_its_people_and_teams(self, account: Account, options: tuple[str, ...], words: str) -> None:
        assert words in (add(options=options).error or "")
        assert not Exam.objects.exists()

    def test_finds_an_account_by_its_number(self, account: Account) -> None:
        well("exam", "add", "Widgets", "--account", account.pk)

        assert Exam.objects.get().account == account
