from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.http import QueryDict
from django.utils import timezone

from proctoring.vendors.base import Objection
from proctoring.vendors.formfields import (
    Column,
    CredentialField,
    LongTextField,
    MomentField,
    NamedChoicesField,
    RowsField,
    SecretField,
    ThreeWayField,
    TickField,
    VendorForm,
    WordsField,
    validate_web_address,
    yes_no,
)
from tests.vendors.pages import posted, unlisted

CHOICES = [("TS1", "Live online"), ("TS2", "Instructor, K-12")]


class Sample(VendorForm):
    SECTIONS = [("All", ["ticked", "maybe", "words", "kinds", "secret", "at", "text"])]

    ticked = TickField()
    maybe = ThreeWayField(unset="As it is")
    words = WordsField(word_length=5)
    kinds = NamedChoicesField(choices=CHOICES, required=False)
    secret = SecretField(max_length=4)
    at = MomentField()
    text = LongTextField()


def cleaned(field: str, value: Any) -> Any:
    form = Sample({field: value})
    assert form.is_valid(), form.errors
    return form.cleaned_data[field]


def error(field: str, value: Any) -> str:
    form = Sample({field: value})
    assert not form.is_valid()
    return " ".join(map(str, form.errors[field]))


class TestYesNo:
    @pytest.mark.parametrize("value", [True, "true", "True", "on", "yes", "1", 1])
    def test_takes_the_words_for_yes(self, value: Any) -> None:
        assert yes_no(value) is True

    @pytest.mark.parametrize("value", [False, "false", "OFF", "no", "0", 0])
    def test_takes_the_words_for_no(self, value: Any) -> None:
        assert yes_no(value) is False

    @pytest.mark.parametrize("value", [None, "", "maybe", "2", []])
    def test_knows_no_other(self, value: Any) -> None:
        assert yes_no(value) is None


class TestTickField:
    def test_is_off_when_it_is_absent(self) -> None:
        form = Sample({})

        assert form.is_valid() and form.cleaned_data["ticked"] is False

    @pytest.mark.parametrize(
        ("value", "meant"), [("on", True), ("true", True), ("false", False), ("no", False), ("", False)]
    )
    def test_reads_words(self, value: str, meant: bool) -> None:
        assert cleaned("ticked", value) is meant

    def test_refuses_a_word_it_does_not_know(self) -> None:
        assert "yes or no" in error("ticked", "nope")

    def test_shows_what_was_stored(self) -> None:
        assert "checked" in str(Sample(initial={"ticked": True})["ticked"])
        assert "checked" not in str(Sample(initial={"ticked": False})["ticked"])


class TestThreeWayField:
    @pytest.mark.parametrize(
        ("value", "meant"), [("", None), ("true", True), ("no", False), (True, True), (False, False)]
    )
    def test_reads_three_values(self, value: Any, meant: bool | None) -> None:
        assert cleaned("maybe", value) is meant

    def test_refuses_another_word(self) -> None:
        assert "yes or no" in error("maybe", "perhaps")

    @pytest.mark.parametrize("value", [None, True, False])
    def test_comes_back_from_a_page_as_it_was(self, value: bool | None) -> None:
        form = Sample(posted(Sample(initial={"maybe": value})))

        assert form.is_valid() and form.cleaned_data["maybe"] is value


class TestWordsField:
    @pytest.mark.parametrize("value", ["a\r\nb", "a, b", '["a", "b"]', ["a", "b", "a"], " a ,\n,b\n"])
    def test_reads_lines_commas_and_json(self, value: Any) -> None:
        assert cleaned("words", value) == ["a", "b"]

    def test_is_empty_when_nothing_is_said(self) -> None:
        assert cleaned("words", "") == []

    @pytest.mark.parametrize("value", ['["a"', '[["a"]]', "[null]"])
    def test_refuses_other_json(self, value: str) -> None:
        assert error("words", value)

    def test_refuses_a_word_that_is_too_long(self) -> None:
        assert "more than 5 characters" in error("words", "ok, abcdef")

    def test_comes_back_from_a_page_as_it_was(self) -> None:
        form = Sample(posted(Sample(initial={"words": ["a", "b"]})))

        assert form.is_valid() and form.cleaned_data["words"] == ["a", "b"]


class TestNamedChoicesField:
    @pytest.mark.parametrize(
        "value",
        [
            ["TS1", "TS2"],
            "TS1,TS2",
            '["TS1", "instructor, k-12"]',
            '{"TS1": true, "TS2": "yes"}',
            {"TS1": True, "TS2": True},
        ],
    )
    def test_reads_keys_names_lists_and_mappings(self, value: Any) -> None:
        assert cleaned("kinds", value) == ["TS1", "TS2"]

    def test_takes_one_name_with_a_comma_in_it(self) -> None:
        assert cleaned("kinds", "Instructor, K-12") == ["TS2"]

    def test_leaves_out_what_a_mapping_says_no_to(self) -> None:
        assert cleaned("kinds", '{"TS1": false}') == []

    @pytest.mark.parametrize("value", ["TS3", '["TS1", 5]', '{"TS1": "hm"}', "[", 5])
    def test_refuses_what_is_no_choice(self, value: Any) -> None:
        assert error("kinds", value)

    def test_reads_a_page(self) -> None:
        form = Sample(QueryDict("kinds=TS1&kinds=TS2"))

        assert form.is_valid() and form.cleaned_data["kinds"] == ["TS1", "TS2"]

    def test_reads_json_from_a_page(self) -> None:
        data = QueryDict(mutable=True)
        data["kinds"] = '["Live online"]'

        form = Sample(data)

        assert form.is_valid() and form.cleaned_data["kinds"] == ["TS1"]


class TestSecretField:
    def test_shows_nothing_of_what_is_saved(self) -> None:
        html = str(Sample(initial={"secret": "s3cr"})["secret"])

        assert "s3cr" not in html and 'type="password"' in html and "secret-remove" in html

    def test_offers_no_removal_where_nothing_is_saved(self) -> None:
        assert "secret-remove" not in str(Sample()["secret"])

    def test_does_not_echo_what_was_typed(self) -> None:
        form = Sample({"secret": "typd", "at": "nonsense"})

        assert not form.is_valid() and "typd" not in str(form["secret"])

    def test_keeps_the_saved_one_when_it_is_left_empty(self) -> None:
        form = Sample(posted(Sample(initial={"secret": "s3cr"})), initial={"secret": "s3cr"})

        assert form.is_valid() and form.settings()["secret"] == "s3cr"

    def test_takes_a_new_one(self) -> None:
        form = Sample({"secret": " new"}, initial={"secret": "s3cr"})

        assert form.is_valid() and form.cleaned_data["secret"] == " new"

    def test_removes_the_saved_one_when_told(self) -> None:
        form = Sample({"secret": "", "secret-remove": "on"}, initial={"secret": "s3cr"})

        assert form.is_valid() and form.cleaned_data["secret"] == ""

    def test_keeps_its_limit(self) -> None:
        assert "at most 4" in error("secret", "12345")

    def test_works_under_a_prefix(self) -> None:
        data = {"v-secret": "", "v-secret-remove": "on"}

        form = Sample(data, initial={"secret": "s3cr"}, prefix="v")

        assert form.is_valid() and form.cleaned_data["secret"] == ""


class TestCredentialField:
    def test_is_not_echoed(self) -> None:
        class Credentials(VendorForm):
            token = CredentialField(is_header=True)

        form = Credentials({"token": "abc\x7fdef"})

        assert not form.is_valid()
        assert "abc" not in str(form["token"])

    @pytest.mark.parametrize("value", ["tok\nen", "tök", "a\x00b"])
    def test_refuses_what_no_header_carries(self, value: str) -> None:
        with pytest.raises(ValidationError):
            CredentialField(is_header=True).clean(value)


class TestMomentField:
    @pytest.mark.parametrize(
        ("value", "meant"),
        [
            ("2026-03-09T08:00:00.000Z", "2026-03-09T08:00:00Z"),
            ("2026-03-09T08:00+01:00", "2026-03-09T07:00:00Z"),
            ("2026-03-09 08:00", "2026-03-09T08:00:00Z"),
            ("", None),
        ],
    )
    def test_becomes_utc(self, value: str, meant: str | None) -> None:
        assert cleaned("at", value) == meant

    def test_is_in_the_current_time_zone_without_an_offset(self) -> None:
        with timezone.override("Europe/Oslo"):
            assert cleaned("at", "2026-07-01T09:00") == "2026-07-01T07:00:00Z"

    @pytest.mark.parametrize("value", ["2026-03-29T02:30", "2026-10-25T02:30"])
    def test_refuses_a_time_that_the_clocks_skip_or_repeat(self, value: str) -> None:
        with timezone.override("Europe/Oslo"):
            assert "daylight saving" in error("at", value)

    @pytest.mark.parametrize("value", ["soon", "2026-13-01T00:00", "0001-01-01T00:00+05:00", "1764547200"])
    def test_refuses_what_is_no_time(self, value: str) -> None:
        assert "date and time" in error("at", value)

    @pytest.mark.parametrize("stored", ["2026-03-09T08:00:00Z", "2026-03-09T08:00:07Z"])
    def test_comes_back_from_a_page_as_it_was(self, stored: str) -> None:
        with timezone.override("America/New_York"):
            form = Sample(posted(Sample(initial={"at": stored})))

            assert form.is_valid() and form.cleaned_data["at"] == stored


class TestLongTextField:
    def test_comes_back_from_a_page_as_it_was(self) -> None:
        form = Sample(posted(Sample(initial={"text": "one\ntwo <b>&"})))

        assert form.is_valid() and form.cleaned_data["text"] == "one\ntwo <b>&"


class TestRowsField:
    FIELD = RowsField(columns=(Column(name="key", label="Key", is_required=True), Column(name="count", label="Count")))

    def test_takes_a_null_in_json_as_empty(self) -> None:
        assert self.FIELD.clean('[{"key": "a", "count": null}]') == [{"key": "a", "count": ""}]

    def test_leaves_out_rows_of_nulls(self) -> None:
        assert self.FIELD.clean('[{"key": "a"}, {"key": null, "count": null}]') == [{"key": "a", "count": ""}]


class TestJsonFromPeople:
    FIELD = RowsField(columns=(Column(name="key", label="Key"),))

    @pytest.mark.parametrize("text", ["[" * 100_000, "[NaN]", "[Infinity]", "{", '[{"key": "a"}'])
    def test_that_is_none_is_refused(self, text: str) -> None:
        with pytest.raises(ValidationError, match="not JSON"):
            self.FIELD.clean(text)

    @pytest.mark.parametrize("text", ["\\ud800", "\\u0000", "\\u001b"])
    def test_with_what_no_database_takes_is_refused(self, text: str) -> None:
        with pytest.raises(ValidationError, match="cannot be stored"):
            self.FIELD.clean(f'[{{"key": "a{text}"}}]')

    @pytest.mark.parametrize("value", ["[]", "{}", '[{"index": []}]'])
    def test_with_a_list_where_a_text_belongs_names_the_cell(self, value: str) -> None:
        with pytest.raises(ValidationError, match="Row 1, Key: enter a text"):
            self.FIELD.clean(f'[{{"key": {value}}}]')


class TestValidateWebAddress:
    @pytest.mark.parametrize("value", ["https://a.example/x?y#z", "http://127.0.0.1:8100/"])
    def test_takes_addresses(self, value: str) -> None:
        validate_web_address(value)

    @pytest.mark.parametrize(
        "value", ["a.example", "javascript:alert(1)", "https://", "https://a b", "http://[", "//a"]
    )
    def test_refuses_the_rest(self, value: str) -> None:
        with pytest.raises(ValidationError):
            validate_web_address(value)


class TestVendorForm:
    def test_lists_its_fields_in_sections(self) -> None:
        assert not unlisted(Sample)

    def test_stores_its_cleaned_data(self) -> None:
        form = Sample({"ticked": "on"})

        assert form.is_valid() and form.settings() == form.cleaned_data

    def test_shows_an_objection_at_its_field_and_no_other_field(self) -> None:
        class Objecting(Sample):
            def clean(self) -> dict[str, Any]:
                data = super().clean()
                self.add_objections(
                    [
                        Objection(field="at", message="Second."),
                        Objection(field="text", message="First."),
                        Objection(field="text", message="Next."),
                        Objection(field="elsewhere", message="Not here."),
                    ]
                )
                return data

        form = Objecting({"at": "nonsense"})

        assert not form.is_valid()
        assert form.errors["text"] == ["First.", "Next."]
        assert "Second." not in form.errors["at"]
        assert set(form.errors) == {"at", "text"}
