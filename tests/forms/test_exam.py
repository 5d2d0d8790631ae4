"""An exam's own form: wall clocks in the exam's zone, their gaps and folds, and what is no time at all."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from proctoring.forms.exam import ExamDetailsForm
from proctoring.models import Account, Exam
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def account() -> Account:
    return factories.make_account(factories.make_team(time_zone="Europe/Oslo"))


def bound(account: Account, **data: str) -> ExamDetailsForm:
    return ExamDetailsForm({"title": "Widgets", **data}, account=account)


def moment(account: Account, text: str, zone: str = "Europe/Oslo") -> datetime:
    form = bound(account, starts_at=text, time_zone=zone)
    assert form.is_valid(), form.errors
    found: datetime = form.cleaned_data["starts_at"]
    return found.astimezone(UTC)


def why_not(account: Account, **data: str) -> dict[str, list[str]]:
    form = bound(account, **data)
    assert not form.is_valid()
    return {name: [str(message) for message in messages] for name, messages in form.errors.items()}


def resubmitted(exam: Exam, **changes: str) -> ExamDetailsForm:
    """The form as a page sends it back: what it showed, with these changes."""
    shown = ExamDetailsForm(instance=exam)
    data: dict[str, Any] = {name: shown.get_initial_for_field(shown.fields[name], name) for name in shown.fields}
    return ExamDetailsForm({**{k: "" if v is None else v for k, v in data.items()}, **changes}, instance=exam)


class TestTheWindow:
    @pytest.mark.parametrize(
        ("text", "zone", "expected"),
        [
            ("2026-12-01 09:00", "Europe/Oslo", datetime(2026, 12, 1, 8, 0, tzinfo=UTC)),
            ("2026-12-01T09:00", "America/New_York", datetime(2026, 12, 1, 14, 0, tzinfo=UTC)),
            ("2026-07-01T09:00", "Europe/Oslo", datetime(2026, 7, 1, 7, 0, tzinfo=UTC)),
            ("2026-07-01T09:00:30", "Asia/Kolkata", datetime(2026, 7, 1, 3, 30, 30, tzinfo=UTC)),
            ("2026-12-01T09:00Z", "Europe/Oslo", datetime(2026, 12, 1, 9, 0, tzinfo=UTC)),
            ("2026-12-01T09:00-05:00", "Europe/Oslo", datetime(2026, 12, 1, 14, 0, tzinfo=UTC)),
            ("  2026-12-01T09:00  ", "Asia/Kathmandu", datetime(2026, 12, 1, 3, 15, tzinfo=UTC)),
        ],
    )
    def test_is_read_on_the_clock_of_the_exams_zone_unless_it_has_an_offset(
        self, account: Account, text: str, zone: str, expected: datetime
    ) -> None:
        assert moment(account, text, zone) == expected

    def test_is_in_the_teams_zone_where_none_is_given(self, account: Account) -> None:
        form = bound(account, starts_at="2026-12-01T09:00")

        assert form.is_valid(), form.errors
        assert form.cleaned_data["time_zone"] == "Europe/Oslo"
        assert form.cleaned_data["starts_at"].astimezone(UTC).hour == 8

    @pytest.mark.parametrize(
        ("text", "zone"),
        [
            ("2026-03-29T02:00", "Europe/Oslo"),
            ("2026-03-29T02:30", "Europe/Oslo"),
            ("2026-03-29T02:59", "Europe/Oslo"),
            ("2026-03-08T02:30", "America/New_York"),
            ("2026-10-04T02:15", "Australia/Lord_Howe"),  # half an hour
            ("2011-12-30T12:00", "Pacific/Apia"),  # a whole day
        ],
    )
    def test_may_not_begin_at_a_time_that_the_clocks_skip(self, account: Account, text: str, zone: str) -> None:
        errors = why_not(account, starts_at=text, time_zone=zone)

        assert list(errors) == ["starts_at"]
        assert f"The clocks in {zone} skip {text[11:]}" in errors["starts_at"][0]

    @pytest.mark.parametrize(
        ("text", "zone", "hint"),
        [
            ("2026-10-25T02:00", "Europe/Oslo", "2026-10-25T02:00+02:00"),
            ("2026-10-25T02:59", "Europe/Oslo", "2026-10-25T02:59+02:00"),
            ("2026-11-01T01:30", "America/New_York", "2026-11-01T01:30-04:00"),
        ],
    )
    def test_may_not_end_at_a_time_that_happens_twice_without_saying_which(
        self, account: Account, text: str, zone: str, hint: str
    ) -> None:
        errors = why_not(account, ends_at=text, time_zone=zone)

        assert list(errors) == ["ends_at"]
        assert "happens twice" in errors["ends_at"][0]
        assert hint in errors["ends_at"][0]

    def test_takes_the_advice_that_it_gives_for_such_a_time(self, account: Account) -> None:
        first = moment(account, "2026-10-25T02:30+02:00")
        second = moment(account, "2026-10-25T02:30+01:00")

        assert (second - first).total_seconds() == 3600

    @pytest.mark.parametrize("text", ["2026-03-29T01:59", "2026-03-29T03:00", "2026-10-25T01:59", "2026-10-25T03:00"])
    def test_may_touch_the_edges_of_a_change_of_clocks(self, account: Account, text: str) -> None:
        assert moment(account, text).tzinfo is not None

    def test_knows_no_gap_where_the_zone_has_none(self, account: Account) -> None:
        assert moment(account, "2026-03-29T02:30", "UTC") == datetime(2026, 3, 29, 2, 30, tzinfo=UTC)

    @pytest.mark.parametrize(
        "ends_at", ["2026-12-01T08:59", "2026-12-01T09:00", "2026-12-01T09:30+02:00", "2026-11-30T23:00"]
    )
    def test_must_close_after_it_opens(self, account: Account, ends_at: str) -> None:
        errors = why_not(account, starts_at="2026-12-01T09:00", ends_at=ends_at)

        assert errors == {"ends_at": ["The window must close after it opens."]}

    def test_may_be_open_at_either_end(self, account: Account) -> None:
        assert bound(account, starts_at="2026-12-01T09:00").is_valid()
        assert bound(account, ends_at="2026-12-01T09:00").is_valid()
        assert bound(account).is_valid()

    @pytest.mark.parametrize(
        "text",
        [
            "tomorrow",
            "2026-13-01T09:00",
            "2026-02-29T09:00",
            "2026-12-01T24:01",
            "2026-12-01T09:60",
            "01.12.2026 09:00",
            "12/01/2026 9am",
            "2026-12-01T09:00+99:00",
            "2026-12-01T09:00 Europe/Oslo",
            "9" * 5000,
            "2026-12-01T09:00\0",
            "\u200f2026-12-01T09:00",
            "-1",
            "{}",
        ],
    )
    def test_refuses_what_is_no_time(self, account: Account, text: str) -> None:
        errors = why_not(account, starts_at=text)

        assert list(errors) == ["starts_at"]

    @pytest.mark.parametrize(
        "text", ["0001-01-01T00:00", "0226-12-01T09:00", "9999-12-31T23:59", "0001-01-01T00:00+14:00"]
    )
    @pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/New_York"])
    def test_refuses_years_that_nobody_means(self, account: Account, text: str, zone: str) -> None:
        errors = why_not(account, starts_at=text, time_zone=zone)

        assert errors == {"starts_at": ["Enter a year from 2000 to 2100."]}

    @pytest.mark.parametrize("zone", ["Oslo", "GMT+25", "../../etc/passwd", "Europe/Oslo\0", "x" * 500])
    def test_means_nothing_in_a_zone_that_is_none(self, account: Account, zone: str) -> None:
        errors = why_not(account, starts_at="2026-12-01T09:00", ends_at="2026-12-01T08:00", time_zone=zone)

        assert list(errors) == ["time_zone"]


class TestTheOtherFields:
    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("title", ""),
            ("title", "   "),
            ("title", "x" * 251),
            ("ref", "x" * 251),
            ("duration_minutes", "0"),
            ("duration_minutes", "-5"),
            ("duration_minutes", "1.5"),
            ("duration_minutes", "an hour"),
            ("duration_minutes", "9" * 30),
        ],
    )
    def test_say_what_is_wrong_with_them(self, account: Account, field: str, value: str) -> None:
        assert list(why_not(account, **{field: value})) == [field]

    def test_keep_names_of_any_script(self, account: Account) -> None:
        form = bound(account, title="امتحان ‏e\u0301preuve", instructions="اولاً…\r\nsecond")

        assert form.is_valid(), form.errors
        assert form.cleaned_data["title"] == "امتحان ‏e\u0301preuve"


class TestAnExamThatIsChanged:
    def _exam(self, account: Account, **values: Any) -> Exam:
        return factories.make_exam(account, title="Widgets", time_zone="Europe/Oslo", **values)

    def test_shows_its_window_on_the_exams_own_clock(self, account: Account) -> None:
        exam = self._exam(account, starts_at=datetime(2026, 7, 1, 7, 0, tzinfo=UTC))

        form = ExamDetailsForm(instance=exam)

        assert form.get_initial_for_field(form.fields["starts_at"], "starts_at") == "2026-07-01T09:00"

    @pytest.mark.parametrize(
        "ends_at",
        [
            datetime(2026, 10, 25, 0, 30, tzinfo=UTC),  # the first 02:30
            datetime(2026, 10, 25, 1, 30, tzinfo=UTC),  # the second
            datetime(2026, 12, 1, 22, 59, 59, 999000, tzinfo=UTC),
        ],
    )
    def test_keeps_a_time_that_nobody_touched_to_the_second_and_at_a_fold(
        self, account: Account, ends_at: datetime
    ) -> None:
        exam = self._exam(account, ends_at=ends_at)

        form = resubmitted(exam, title="Gadgets")

        assert form.is_valid(), form.errors
        assert form.cleaned_data["ends_at"] == ends_at

    def test_moves_with_its_clock_where_the_zone_is_changed(self, account: Account) -> None:
        exam = self._exam(account, ends_at=datetime(2026, 12, 1, 8, 0, tzinfo=UTC))

        form = resubmitted(exam, time_zone="America/New_York")

        assert form.is_valid(), form.errors
        assert form.cleaned_data["ends_at"].astimezone(UTC) == datetime(2026, 12, 1, 14, 0, tzinfo=UTC)

    def test_can_be_moved_to_the_other_of_two_times(self, account: Account) -> None:
        exam = self._exam(account, ends_at=datetime(2026, 10, 25, 0, 30, tzinfo=UTC))

        form = resubmitted(exam, ends_at="2026-10-25T02:30+01:00")

        assert form.is_valid(), form.errors
        assert form.cleaned_data["ends_at"].astimezone(UTC) == datetime(2026, 10, 25, 1, 30, tzinfo=UTC)

    def test_can_lose_its_window(self, account: Account) -> None:
        exam = self._exam(account, ends_at=datetime(2026, 10, 25, 0, 30, tzinfo=UTC))

        form = resubmitted(exam, ends_at="")

        assert form.is_valid(), form.errors
        assert form.cleaned_data["ends_at"] is None
