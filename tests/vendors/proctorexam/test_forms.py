from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from proctoring.vendors.base import ExamValues
from proctoring.vendors.formfields import VendorForm
from proctoring.vendors.proctorexam.adapter import PARAMETERS, TYPES, Kind, parameters_to_send, problems, wanted
from proctoring.vendors.proctorexam.forms import AccountForm, CredentialsForm, DeliveryForm, ExamForm, FoundForm
from tests.vendors.pages import posted, unlisted

FORMS: list[type[VendorForm]] = [CredentialsForm, AccountForm, ExamForm, DeliveryForm, FoundForm]
OWN_TO_THE_EXAM = {"id", "name", "start_time", "end_time", "duration_minutes"}
SWITCHES = [name for name, kind in PARAMETERS.items() if kind is Kind.YES_NO]
TEXTS = [name for name, kind in PARAMETERS.items() if kind is Kind.TEXT and name not in ("name", "type")]

# The page's own sample.
SETTINGS: dict[str, Any] = {
    "type": "record_review",
    "institute_id": 1,
    "use_duration": True,
    "global_proctoring": True,
    "global_reviewing": True,
    "for_reviewing": True,
    "upload_answers": False,
    "mobile_cam": True,
    "exam_language": "fr,nl",
    "restrictions": "Example of restrictions to be added.\nOn two lines.",
    "allow_websites": True,
    "allow_external_applications": True,
    "allow_textbooks": True,
    "allow_calculator": True,
    "allow_pen_paper": True,
    "allow_additional": True,
    "allowed_websites": "www.proctorexam.com, docs.proctorexam.com",
    "allowed_external_applications": "External application",
    "allowed_textbooks": "Reference book",
    "allowed_calculator_type": "Basic",
    "allowed_additional": "Headphones",
    "student_experience": True,
}
SILENT: dict[str, Any] = dict.fromkeys(SETTINGS)


def exam(settings: dict[str, Any]) -> ExamValues:
    return ExamValues(
        reference=uuid4(),
        ref="1",
        title="Psychostasia",
        starts_at=datetime(2026, 11, 20, 23, 54, tzinfo=UTC),
        duration_minutes=90,
        settings=settings,
    )


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
def test_every_field_is_in_one_section(form: type[VendorForm]) -> None:
    assert not unlisted(form)


class TestCredentialsForm:
    def test_takes_token_and_key(self) -> None:
        form = CredentialsForm({"api_token": "token", "secret_key": "sécret"})

        assert form.is_valid() and form.cleaned_data == {"api_token": "token", "secret_key": "sécret"}

    def test_needs_both(self) -> None:
        assert set(CredentialsForm({}).errors) == {"api_token", "secret_key"}

    def test_refuses_a_token_that_no_header_carries(self) -> None:
        assert set(CredentialsForm({"api_token": "tok\nen", "secret_key": "s"}).errors) == {"api_token"}


class TestAccountForm:
    def test_begins_with_what_the_page_says(self) -> None:
        form = AccountForm({})

        assert form.is_valid() and form.settings() == {"method": "PATCH", "time_format": "epoch"}

    def test_takes_the_other_choices(self) -> None:
        form = AccountForm({"method": "PUT", "time_format": "iso"})

        assert form.is_valid() and form.settings() == {"method": "PUT", "time_format": "iso"}

    @pytest.mark.parametrize(("field", "value"), [("method", "POST"), ("time_format", "words")])
    def test_refuses_others(self, field: str, value: str) -> None:
        assert set(AccountForm({field: value}).errors) == {field}


class TestExamForm:
    def test_has_every_parameter_that_is_not_the_exams_own(self) -> None:
        assert set(ExamForm.base_fields) == set(PARAMETERS) - OWN_TO_THE_EXAM

    def test_offers_every_type(self) -> None:
        choices = dict(ExamForm.base_fields["type"].choices)  # type: ignore[attr-defined]

        assert set(choices) == {"", *TYPES}

    def test_turns_text_into_settings_that_can_be_sent(self) -> None:
        form = ExamForm(
            {name: json.dumps(value) if isinstance(value, bool) else value for name, value in SETTINGS.items()}
        )

        assert form.is_valid(), form.errors
        assert form.settings() == SETTINGS
        assert not problems(wanted(exam(form.settings())))
        assert {**SETTINGS, "id": 1}.items() <= parameters_to_send(exam(form.settings())).items()

    def test_says_nothing_when_nothing_is_filled_in(self) -> None:
        form = ExamForm({})

        assert form.is_valid() and form.settings() == SILENT
        assert set(parameters_to_send(exam(form.settings()))) == {
            "id",
            "name",
            "use_duration",
            "duration_minutes",
            "start_time",
        }

    @pytest.mark.parametrize(
        "before", [SETTINGS, SILENT, {**SETTINGS, "allow_websites": False, "allowed_websites": ""}]
    )
    def test_keeps_its_settings_on_the_way_through_a_page(self, before: dict[str, Any]) -> None:
        initial = ExamForm.initial_from(before)

        form = ExamForm(posted(ExamForm(initial=initial)), initial=initial)

        assert form.is_valid() and form.settings() == before

    def test_leaves_out_of_the_page_what_no_field_holds(self) -> None:
        assert ExamForm.initial_from({"type": "demo", "last_confirmed": {"name": "x"}}) == {"type": "demo"}

    @pytest.mark.parametrize("name", TEXTS)
    def test_removes_a_text_that_was_there(self, name: str) -> None:
        form = ExamForm({name: ""}, initial={name: "was there"})

        assert form.is_valid() and form.settings()[name] == ""

    def test_sends_an_empty_detail_with_its_switch(self) -> None:
        form = ExamForm({"allow_websites": "true", "allowed_websites": ""})

        assert form.is_valid()
        assert form.settings()["allowed_websites"] == ""
        assert form.settings()["allowed_textbooks"] is None

    @pytest.mark.parametrize("name", SWITCHES)
    def test_has_three_values_for_every_switch(self, name: str) -> None:
        stored = []
        for text in ("", "1", "0", "true", "false"):
            form = ExamForm({name: text})
            assert form.is_valid(), form.errors
            stored.append(form.settings()[name])

        assert stored == [None, True, False, True, False]

    @pytest.mark.parametrize("name", SWITCHES)
    def test_refuses_other_words_at_the_switch(self, name: str) -> None:
        assert set(ExamForm({name: "perhaps"}).errors) == {name}

    @pytest.mark.parametrize(
        ("name", "value"),
        [("type", "oral"), ("institute_id", "-1"), ("institute_id", "one"), ("institute_id", "1.5")],
    )
    def test_refuses_at_the_field(self, name: str, value: str) -> None:
        assert set(ExamForm({name: value}).errors) == {name}

    @pytest.mark.parametrize("name", TEXTS)
    def test_shows_the_adapters_objection_at_the_text(self, name: str) -> None:
        form = ExamForm({name: "half a pair: \ud800"})

        assert "cannot be sent" in str(form.errors[name].as_data())

    def test_can_be_stored(self) -> None:
        form = ExamForm(SETTINGS)

        assert form.is_valid() and json.loads(json.dumps(form.settings())) == form.settings()


class TestFoundForm:
    def test_takes_a_number(self) -> None:
        form = FoundForm({"ref": " 17 "})

        assert form.is_valid() and form.cleaned_data == {"ref": "17"}

    def test_refuses_anything_else(self) -> None:
        assert "number" in str(FoundForm({"ref": "EX17"}).errors["ref"])
