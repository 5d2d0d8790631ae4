from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone

from proctoring.vendors.base import ExamValues
from proctoring.vendors.formfields import VendorForm
from proctoring.vendors.smarterproctoring.adapter import (
    CALCULATORS,
    CONFIGURATION_FLAGS,
    CONFIGURATION_KEYS,
    CONFIGURATION_TEXTS,
    MODALITY_OPTIONS,
    OPTIONAL_TOP,
    PROCTOR_TYPES,
    TOP_FLAGS,
    exam_body,
    problems,
)
from proctoring.vendors.smarterproctoring.forms import AccountForm, CredentialsForm, DeliveryForm, ExamForm, FoundForm
from tests.vendors.pages import posted, unlisted

FORMS: list[type[VendorForm]] = [CredentialsForm, AccountForm, ExamForm, DeliveryForm, FoundForm]
OWN_TO_THE_EXAM = {"examOpenDate", "examCloseDate", "duration", "apiExamId"}

COURSE = "CU1234567890abcdef1234567890abcdef"
LIVE, REVIEWED = "TS4b894875d26194988853e490dfb9bc41", "TS9531c6b112f145018dae3cd2a9f60c4c"
UNLISTED = "TS" + "0" * 32

CONFIGURATION: dict[str, Any] = {
    **dict.fromkeys(CONFIGURATION_FLAGS, True),
    **{name: f"About {name}\non two lines" for name in CONFIGURATION_TEXTS},
    "password": " pass word ",
    "virtualCalculatorType": "scientific-calc",
    "attempts": 2,
    "instructorAsProctor": [
        {
            "location": "Room 5",
            "timeType": "between",
            "startTime": "2026-03-09T08:00:00Z",
            "endTime": "2026-03-09T10:00:00Z",
            "capacity": 12,
        },
        {"location": "Room 6", "timeType": "at", "startTime": "2026-03-09T08:00:00Z", "endTime": "at noon"},
    ],
    "proctorTypes": [LIVE, REVIEWED, UNLISTED],
    "scheduleOpenDate": "2026-01-01T00:00:00Z",
    "scheduleCloseDate": "2026-03-08T00:00:00Z",
    "modalityOptions": {"recordScreen": True, "roomScan": True},
}
SETTINGS: dict[str, Any] = {
    "courseSid": COURSE,
    "type": "Online",
    "url": "https://canvas.example.edu/quizzes/1",
    "examDeliverySystemModule": "canvas",
    "useProctorManager": True,
    "requireApproval": False,
    "enableAppointmentSuggestions": True,
    "description": "Covers chapters 1-5",
    "contactUserSid": "US1234567890abcdef1234567890abcdef",
    "isLimitedScope": True,
    "status": "draft",
    "configuration": CONFIGURATION,
}
FEWEST = {
    "courseSid": COURSE,
    "type": "Online",
    "url": "https://canvas.example.edu/quizzes/1",
    "examDeliverySystemModule": "canvas",
    "password": "pw",
    "proctorTypes": LIVE,
}


def as_text(settings: dict[str, Any]) -> dict[str, str]:
    """Settings as the command line gives them, field by field."""
    top = {name: value for name, value in settings.items() if name != "configuration"}
    flat = {**top, **settings["configuration"]}
    flat["proctorTypes"] = [sid for sid in flat["proctorTypes"] if sid in PROCTOR_TYPES]
    flat["other_proctor_types"] = [sid for sid in settings["configuration"]["proctorTypes"] if sid not in PROCTOR_TYPES]
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in flat.items()}


def exam(settings: dict[str, Any], **own: Any) -> ExamValues:
    window = {"starts_at": datetime(2026, 3, 9, 8, tzinfo=UTC), "ends_at": datetime(2026, 3, 9, 18, tzinfo=UTC)}
    values = {"title": "Midterm Exam 1", "duration_minutes": 60, **window, **own}
    return ExamValues(reference=uuid4(), settings=settings, **values)


def stored(data: Any, **kwargs: Any) -> dict[str, Any]:
    form = ExamForm(data, **kwargs)
    assert form.is_valid(), form.errors
    return form.settings()


def errors(**data: str) -> set[str]:
    return set(ExamForm({**FEWEST, **data}).errors)


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
def test_every_field_is_in_one_section(form: type[VendorForm]) -> None:
    assert not unlisted(form)


class TestCredentialsForm:
    def test_takes_a_token(self) -> None:
        form = CredentialsForm({"token": " a.b.c\n"})

        assert form.is_valid() and form.cleaned_data == {"token": "a.b.c"}

    @pytest.mark.parametrize("value", ["", "a.b\n.c"])
    def test_refuses_what_is_none(self, value: str) -> None:
        assert set(CredentialsForm({"token": value}).errors) == {"token"}


class TestAccountForm:
    def test_takes_an_install_sid(self) -> None:
        sid = "AI1234567890abcdef1234567890abcdef"

        form = AccountForm({"install_sid": f" {sid} "})

        assert form.is_valid() and form.settings() == {"install_sid": sid}

    @pytest.mark.parametrize("value", ["", "IN" + "0" * 32, "AI" + "0" * 31, "xAI" + "0" * 32, "AI" + "A" * 32])
    def test_refuses_other_texts(self, value: str) -> None:
        assert set(AccountForm({"install_sid": value}).errors) == {"install_sid"}


class TestExamForm:
    def test_has_every_field_that_is_not_the_exams_own(self) -> None:
        top = {"courseSid", "type", "url", "examDeliverySystemModule", *TOP_FLAGS, *OPTIONAL_TOP}

        assert set(ExamForm.base_fields) == top | (CONFIGURATION_KEYS - OWN_TO_THE_EXAM) | {
            "other_proctor_types",
            "configuration",
        }

    def test_offers_every_choice_of_the_adapter(self) -> None:
        offered = {name: set(dict(getattr(field, "choices", ()))) for name, field in ExamForm.base_fields.items()}

        assert offered["virtualCalculatorType"] == {"", *CALCULATORS}
        assert offered["modalityOptions"] == set(MODALITY_OPTIONS)
        assert offered["proctorTypes"] == set(PROCTOR_TYPES)
        assert offered["status"] == {"active", "draft"}

    def test_turns_text_into_nested_settings_that_can_be_sent(self) -> None:
        settings = stored(as_text(SETTINGS))

        assert settings == SETTINGS
        assert not problems(exam(settings))
        assert set(exam_body(exam(settings))["configuration"]) == CONFIGURATION_KEYS

    def test_needs_little(self) -> None:
        settings = stored(FEWEST)

        assert not problems(exam(settings))
        assert settings["status"] == ""
        assert settings["configuration"]["attempts"] is None

    @pytest.mark.parametrize("data", [as_text(SETTINGS), {**FEWEST, "status": "active", "attempts": "1"}])
    def test_keeps_its_settings_on_the_way_through_a_page(self, data: dict[str, str]) -> None:
        before = stored(data)
        initial = ExamForm.initial_from(before)

        with timezone.override("America/New_York"):
            after = stored(posted(ExamForm(initial=initial)), initial=initial)

        assert after == before

    def test_never_shows_the_password(self) -> None:
        form = ExamForm(initial=ExamForm.initial_from(SETTINGS))

        assert "pass word" not in str(form["password"]) + str(form["configuration"])

    def test_can_be_stored(self) -> None:
        settings = stored(as_text(SETTINGS))

        assert json.loads(json.dumps(settings)) == settings

    def test_reads_times_in_the_current_time_zone(self) -> None:
        rows = [
            {"location": "Room 5", "timeType": "at", "startTime": "2026-07-01 09:00", "endTime": "2026-07-01T11:00"}
        ]

        with timezone.override("Europe/Oslo"):
            own = stored({**FEWEST, "scheduleOpenDate": "2026-07-01T09:00", "instructorAsProctor": json.dumps(rows)})

        row = own["configuration"]["instructorAsProctor"][0]
        assert own["configuration"]["scheduleOpenDate"] == row["startTime"] == "2026-07-01T07:00:00Z"
        assert row["endTime"] == "2026-07-01T09:00:00Z"

    def test_takes_proctor_types_by_name(self) -> None:
        settings = stored({**FEWEST, "proctorTypes": '["Live online", "Notary public"]'})

        assert settings["configuration"]["proctorTypes"] == [LIVE, "TS884e9462ccf044ab961c56d8a339e5bb"]


class TestExamFormRefusals:
    @pytest.mark.parametrize("field", ["courseSid", "examDeliverySystemModule", "type"])
    def test_names_the_field_that_is_missing(self, field: str) -> None:
        assert set(ExamForm({**FEWEST, field: ""}).errors) >= {field}

    @pytest.mark.parametrize("field", ["url", "password"])
    def test_wants_address_and_password_of_an_online_exam(self, field: str) -> None:
        assert errors(**{field: ""}) == {field}

    @pytest.mark.parametrize("type_", ["Online", "Written"])
    def test_wants_a_proctor_type_of_every_exam(self, type_: str) -> None:
        form = ExamForm({**FEWEST, "type": type_, "proctorTypes": ""})

        assert dict(form.errors) == {"proctorTypes": ["Choose at least one proctor type."]}

    def test_takes_a_proctor_type_that_is_not_in_the_list_for_one(self) -> None:
        assert not errors(proctorTypes="", other_proctor_types=UNLISTED)

    @pytest.mark.parametrize(("field", "value"), [("proctorTypes", "Hologram"), ("other_proctor_types", '[{"a": 1}]')])
    def test_asks_for_no_other_proctor_type_where_one_cannot_be_read(self, field: str, value: str) -> None:
        assert errors(**{"proctorTypes": "", field: value}) == {field}

    def test_wants_neither_of_a_written_one(self) -> None:
        assert not errors(type="Written", url="", password="")

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("courseSid", "CO" + "0" * 32),
            ("type", "Oral"),
            ("url", "not an address"),
            ("contactUserSid", "US1"),
            ("status", "deleted"),
            ("isLimitedScope", "perhaps"),
            ("useProctorManager", "perhaps"),
            ("requireApproval", "perhaps"),
            ("enableAppointmentSuggestions", "perhaps"),
            ("scheduleOpenDate", "soon"),
            ("scheduleCloseDate", "1999-01-01T00:00Z"),
            ("attempts", "0"),
            ("attempts", "two"),
            ("proctorTypes", "Hologram"),
            ("other_proctor_types", "TS1"),
            ("modalityOptions", '["levitate"]'),
            ("modalityOptions", '{"recordScreen": 3}'),
            ("virtualCalculatorType", "abacus"),
            *((name, "perhaps") for name in CONFIGURATION_FLAGS),
            ("configuration", "{"),
            ("configuration", "[1]"),
            ("configuration", '{"permittedPets": true}'),
            ("configuration", '{"apiExamId": "mine"}'),
            ("configuration", '{"examOpenDate": "soon"}'),
            ("configuration", '{"duration": -5}'),
        ],
    )
    def test_are_at_the_field(self, field: str, value: str) -> None:
        assert errors(**{field: value}) == {field}

    def test_name_the_close_that_lies_before_the_opening(self) -> None:
        assert errors(scheduleOpenDate="2071-01-01T00:00Z") == {"scheduleCloseDate"}

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"location": ""}, "Location"),
            ({"timeType": "whenever"}, "When"),
            ({"startTime": "soon"}, "Start"),
            ({"startTime": ""}, "Start"),
            ({"endTime": ""}, "end is required"),
            ({"endTime": "2026-03-09T07:00Z"}, "after the start"),
            ({"capacity": "0"}, "capacity"),
            ({"capacity": "ten"}, "Places"),
            ({"capacity": "-1"}, "Places"),
            ({"sid": "CP1"}, "sid"),
        ],
    )
    def test_name_the_row(self, change: dict[str, str], words: str) -> None:
        row = {**CONFIGURATION["instructorAsProctor"][0], **change}

        form = ExamForm({**FEWEST, "instructorAsProctor": json.dumps([row])})

        assert set(form.errors) == {"instructorAsProctor"}
        text = str(form.errors["instructorAsProctor"])
        assert words in text and "ow 1" in text


class TestWholeConfiguration:
    def test_is_taken_as_json(self) -> None:
        top = {name: value for name, value in FEWEST.items() if name != "password"}

        settings = stored({**top, "attempts": 1, "configuration": json.dumps(CONFIGURATION)})

        assert settings["configuration"] == CONFIGURATION

    def test_is_judged_at_its_fields(self) -> None:
        assert errors(configuration='{"virtualCalculatorType": "abacus", "attempts": 0}') == {
            "virtualCalculatorType",
            "attempts",
        }

    @pytest.mark.parametrize(
        ("key", "value", "field"),
        [
            ("proctorTypes", "TS1", "proctorTypes"),
            ("proctorTypes", [{}], "other_proctor_types"),
            ("modalityOptions", 5, "modalityOptions"),
            ("instructorAsProctor", 5, "instructorAsProctor"),
        ],
    )
    def test_is_refused_where_it_has_the_wrong_shape(self, key: str, value: Any, field: str) -> None:
        assert errors(configuration=json.dumps({key: value})) == {field}

    def test_carries_along_what_no_field_shows(self) -> None:
        unseen = {
            "examOpenDate": "2026-03-09T08:00:00Z",
            "examCloseDate": "2026-03-09T18:00:00Z",
            "duration": 45,
            "modalityOptions": {"recordScreen": True, "recordAudio": False, "newThing": "soft"},
        }
        before = stored({**FEWEST, "status": "active", "attempts": "1", "configuration": json.dumps(unseen)})
        initial = ExamForm.initial_from(before)

        after = stored(posted(ExamForm(initial=initial)), initial=initial)

        assert after == before
        assert unseen.items() <= after["configuration"].items()
        assert not problems(exam(after, starts_at=None, ends_at=None, duration_minutes=None))

    def test_does_not_undo_what_is_changed_in_the_page(self) -> None:
        initial = ExamForm.initial_from(SETTINGS | {"configuration": CONFIGURATION | {"duration": 45}})
        data = posted(ExamForm(initial=initial), attempts="3")

        settings = stored(data, initial=initial)

        assert settings["configuration"]["attempts"] == 3
        assert settings["configuration"]["duration"] == 45

    def test_does_not_undo_what_is_mended_after_a_refusal(self) -> None:
        refused = ExamForm({**FEWEST, "courseSid": "", "configuration": '{"attempts": 2, "duration": 45}'})
        assert not refused.is_valid()

        settings = stored(posted(refused, courseSid=COURSE, attempts="3", password="pw"))

        assert settings["configuration"]["attempts"] == 3
        assert settings["configuration"]["duration"] == 45


class TestFoundForm:
    def test_takes_a_sid(self) -> None:
        form = FoundForm({"ref": "EX1234567890abcdef1234567890abcdef"})

        assert form.is_valid() and form.cleaned_data["ref"].startswith("EX")
