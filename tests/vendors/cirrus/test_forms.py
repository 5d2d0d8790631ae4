from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from proctoring.vendors.base import AccountValues, DeliveryOrder, ExamValues, Person, Sending
from proctoring.vendors.cirrus.adapter import OPTION_TEXTS, SCHEDULE_FLAGS, SCHEDULE_TEXTS, CirrusAdapter
from proctoring.vendors.cirrus.forms import AccountForm, CredentialsForm, DeliveryForm, ExamForm, FoundForm
from proctoring.vendors.formfields import VendorForm
from tests.vendors.pages import no_call, posted, unlisted

FORMS: list[type[VendorForm]] = [CredentialsForm, AccountForm, ExamForm, DeliveryForm, FoundForm]

SETTINGS: dict[str, Any] = {
    "title": "Winter exam",
    "workflow": "EXTERNAL_ATTEMPTS",
    "owner": "mormont",
    "group_ext_id": "WINTERFELL",
    "group_name": "Winterfell",
    "schedule_group_ext_id": "NORTH",
    "schedule_group_name": "The North",
    "pin": "1234",
    "use_key_code": True,
    "lock_exam_on_connection_loss": False,
    "use_proctorio": True,
    "proctorio_template_external_id": "template1",
    "assessment_extra_minutes": 60,
}
FEWEST = {"group_ext_id": "CPI", "group_name": "ComputerInc"}
OPTIONS: dict[str, Any] = {
    **{text.key: f"A {text.key}" for text in OPTION_TEXTS},
    "proctor_uids": ["1235", "234"],
    "attempt_ext_id": "attempt-1",
}


def as_text(settings: dict[str, Any]) -> dict[str, str]:
    """Settings as the command line gives them."""
    named = {"schedule_title" if name == "title" else name: value for name, value in settings.items()}
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in named.items()}


def adapter(settings: dict[str, Any] | None = None) -> CirrusAdapter:
    account = AccountValues(base_url="http://127.0.0.1:9", credentials={"token": "t"}, settings=settings or {})
    return CirrusAdapter(account, no_call, lambda: datetime.now(UTC))


def exam(settings: dict[str, Any]) -> ExamValues:
    return ExamValues(
        reference=uuid4(), ref="NORTH000", starts_at=datetime(2026, 4, 21, 7, 30, tzinfo=UTC), settings=settings
    )


def order(options: dict[str, Any]) -> DeliveryOrder:
    person = Person(reference=uuid4(), first_name="Eddard", last_name="Stark", email="estark@example.com")
    return DeliveryOrder(reference=uuid4(), person=person, options=options)


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
def test_every_field_is_in_one_section(form: type[VendorForm]) -> None:
    assert not unlisted(form)


class TestCredentialsForm:
    @pytest.mark.parametrize("given", ["abc", "EAPI abc", " eapi abc "])
    def test_takes_a_token_with_or_without_its_word(self, given: str) -> None:
        form = CredentialsForm({"token": given})

        assert form.is_valid() and form.cleaned_data == {"token": "abc"}

    def test_needs_it(self) -> None:
        assert set(CredentialsForm({"token": ""}).errors) == {"token"}


class TestAccountForm:
    def test_begins_with_what_the_page_says(self) -> None:
        form = AccountForm({})

        assert form.is_valid()
        assert form.settings() == {
            "site_url": "",
            "owner": "",
            "authorization_header": "EAPI {token}",
            "ask_for_json": False,
        }

    def test_takes_text(self) -> None:
        form = AccountForm(
            {
                "site_url": "demo.cirrusplatform.com",
                "owner": "mormont",
                "authorization_header": "EAPI{token}",
                "ask_for_json": "true",
            }
        )

        assert form.is_valid() and form.settings() == {
            "site_url": "https://demo.cirrusplatform.com",
            "owner": "mormont",
            "authorization_header": "EAPI{token}",
            "ask_for_json": True,
        }

    def test_is_what_the_adapter_understands(self) -> None:
        form = AccountForm({"owner": "mormont", "authorization_header": "EAPI{token}", "ask_for_json": "yes"})
        assert form.is_valid()

        request = adapter(form.settings()).schedule_request(exam(FEWEST), [order({})], Sending(group=uuid4()))

        assert request.headers["Authorization"] == "EAPIt"
        assert request.url.endswith("?type=json")
        assert json.loads(request.body)["Schedule"]["Owner"] == "mormont"

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("site_url", "ftp://demo.cirrusplatform.com"),
            ("site_url", "two words"),
            ("owner", "x" * 501),
            ("authorization_header", "EAPI token"),
            ("authorization_header", "ÉAPI {token}"),
            ("ask_for_json", "perhaps"),
        ],
    )
    def test_refuses_at_the_field(self, field: str, value: str) -> None:
        assert set(AccountForm({field: value}).errors) == {field}

    def test_keeps_its_settings_on_the_way_through_a_page(self) -> None:
        settings = {
            "site_url": "https://demo.cirrusplatform.com",
            "owner": "mormont",
            "authorization_header": "EAPI{token}",
            "ask_for_json": True,
        }

        form = AccountForm(posted(AccountForm(initial=AccountForm.initial_from(settings))))

        assert form.is_valid() and form.settings() == settings


class TestExamForm:
    def test_stores_every_schedule_field_of_the_adapter(self) -> None:
        form = ExamForm(as_text(FEWEST))

        assert form.is_valid()
        own = {"workflow", "assessment_extra_minutes"}
        assert set(form.settings()) == {text.key for text in SCHEDULE_TEXTS} | set(SCHEDULE_FLAGS) | own

    def test_turns_text_into_settings_that_can_be_sent(self) -> None:
        form = ExamForm(as_text(SETTINGS))

        assert form.is_valid(), form.errors
        assert form.settings() == SETTINGS
        assert not adapter().objections(exam(form.settings()), order({}))

    def test_sends_only_what_is_filled_in(self) -> None:
        form = ExamForm(as_text(FEWEST))
        assert form.is_valid()

        request = adapter().schedule_request(exam(form.settings()), [order({})], Sending(group=uuid4()))

        assert set(json.loads(request.body)["Schedule"]) == {
            "AssessmentExtId",
            "ScheduleExtId",
            "StartDateTime",
            "GroupExtId",
            "GroupName",
        }

    @pytest.mark.parametrize("flag", [True, False, None])
    def test_keeps_its_settings_on_the_way_through_a_page(self, flag: bool | None) -> None:
        settings = {**SETTINGS, **dict.fromkeys(SCHEDULE_FLAGS, flag)}
        initial = ExamForm.initial_from(settings)

        form = ExamForm(posted(ExamForm(initial=initial)), initial=initial)

        assert form.is_valid() and form.settings() == settings

    def test_never_shows_the_pin(self) -> None:
        assert "1234" not in ExamForm(initial=ExamForm.initial_from(SETTINGS)).as_p()

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("schedule_title", "x" * 101),
            ("workflow", "EXTERNAL_ATTEMPT"),
            ("owner", "x" * 501),
            ("group_ext_id", ""),
            ("group_ext_id", "x" * 65),
            ("group_ext_id", "under_score"),
            ("group_name", ""),
            ("group_name", "x" * 501),
            ("schedule_group_ext_id", "x" * 65),
            ("schedule_group_name", "x" * 501),
            ("pin", "12345"),
            ("use_key_code", "perhaps"),
            ("lock_exam_on_connection_loss", "perhaps"),
            ("use_proctorio", "perhaps"),
            ("proctorio_template_external_id", "x" * 65),
            ("proctorio_template_external_id", "with-dash"),
            ("assessment_extra_minutes", "-1"),
            ("assessment_extra_minutes", "10001"),
            ("assessment_extra_minutes", "1.5"),
        ],
    )
    def test_refuses_at_the_field(self, field: str, value: str) -> None:
        assert set(ExamForm({**as_text(FEWEST), field: value}).errors) == {field}

    def test_can_be_stored(self) -> None:
        form = ExamForm(as_text(SETTINGS))

        assert form.is_valid() and json.loads(json.dumps(form.settings())) == form.settings()


class TestDeliveryForm:
    def test_stores_every_option_of_the_adapter(self) -> None:
        assert set(DeliveryForm.base_fields) == {text.key for text in OPTION_TEXTS} | {"proctor_uids", "attempt_ext_id"}

    def test_turns_text_into_options_that_can_be_sent(self) -> None:
        form = DeliveryForm({**OPTIONS, "proctor_uids": json.dumps(OPTIONS["proctor_uids"])})

        assert form.is_valid(), form.errors
        assert form.settings() == OPTIONS
        assert not adapter().objections(exam(SETTINGS), order(form.settings()))

    def test_needs_nothing(self) -> None:
        form = DeliveryForm({})

        assert form.is_valid() and not any(form.settings().values())

    @pytest.mark.parametrize("field", [text.key for text in OPTION_TEXTS] + ["attempt_ext_id"])
    def test_keeps_every_limit(self, field: str) -> None:
        assert set(DeliveryForm({field: "x" * 501}).errors) == {field}

    def test_shows_the_adapters_objection_at_its_field(self) -> None:
        form = DeliveryForm({"password": "   "})

        assert "blank" in str(form.errors["password"])

    def test_refuses_proctors_that_are_no_texts(self) -> None:
        assert set(DeliveryForm({"proctor_uids": "[{}]"}).errors) == {"proctor_uids"}

    def test_keeps_its_options_on_the_way_through_a_page(self) -> None:
        initial = DeliveryForm.initial_from(OPTIONS)

        form = DeliveryForm(posted(DeliveryForm(initial=initial)), initial=initial)

        assert form.is_valid() and form.settings() == OPTIONS


class TestFoundForm:
    def test_gives_the_adapter_what_it_needs(self) -> None:
        form = FoundForm({"ref": "WINTER000", "take_url": "https://getproctorio.com?a#b"})
        assert form.is_valid()

        created = adapter().created_by_hand(uuid4(), form.cleaned_data)

        assert (created.ref, created.take_url) == ("WINTER000", "https://getproctorio.com?a#b")

    def test_goes_without_a_link(self) -> None:
        form = FoundForm({"ref": "WINTER000"})

        assert form.is_valid() and form.cleaned_data["take_url"] == ""

    @pytest.mark.parametrize(
        ("field", "value"),
        [("ref", ""), ("take_url", "/delivery/external-login?session=1"), ("take_url", "javascript:x")],
    )
    def test_refuses_at_the_field(self, field: str, value: str) -> None:
        assert set(FoundForm({"ref": "W", "take_url": "", field: value}).errors) == {field}
