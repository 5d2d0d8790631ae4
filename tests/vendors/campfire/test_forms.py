from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from proctoring.vendors.base import AccountValues, SessionQuery
from proctoring.vendors.campfire.adapter import CampfireAdapter
from proctoring.vendors.campfire.forms import AccountForm, CredentialsForm, DeliveryForm, ExamForm, FoundForm
from proctoring.vendors.formfields import VendorForm
from tests.vendors.pages import no_call, posted, unlisted

FORMS: list[type[VendorForm]] = [CredentialsForm, AccountForm, ExamForm, DeliveryForm, FoundForm]
CONFIGS = ["0007622b-b727-4d64-8454-4b3383ed9509", "d7a56ac9-2e3d-4a86-814a-0ddf7fbf7f8c"]
SETTINGS: dict[str, Any] = {"config_refs": CONFIGS, "include": ["results", "responses"], "allows_retakes": True}


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
def test_every_field_is_in_one_section(form: type[VendorForm]) -> None:
    assert not unlisted(form)


class TestCredentialsForm:
    def test_takes_key_and_secret(self) -> None:
        form = CredentialsForm({"app_key": " key ", "app_secret": "sécret"})

        assert form.is_valid() and form.cleaned_data == {"app_key": "key", "app_secret": "sécret"}

    def test_needs_both(self) -> None:
        form = CredentialsForm({})

        assert set(form.errors) == {"app_key", "app_secret"}

    def test_refuses_key_and_secret_in_one(self) -> None:
        form = CredentialsForm({"app_key": "key:secret", "app_secret": "secret"})

        assert "colon" in str(form.errors["app_key"])

    def test_echoes_nothing(self) -> None:
        form = CredentialsForm({"app_key": "key-value", "app_secret": "secret-value"})

        assert "-value" not in str(form["app_key"]) + str(form["app_secret"])


class TestAccountForm:
    @pytest.mark.parametrize(("given", "stored"), [({}, "body"), ({"next_token_in": "query"}, "query")])
    def test_says_where_the_next_token_goes(self, given: dict[str, str], stored: str) -> None:
        form = AccountForm(given)

        assert form.is_valid() and form.settings() == {"next_token_in": stored}

    def test_refuses_another_place(self) -> None:
        assert "next_token_in" in AccountForm({"next_token_in": "header"}).errors

    def test_is_what_the_adapter_understands(self) -> None:
        form = AccountForm({"next_token_in": "query"})
        assert form.is_valid()
        account = AccountValues(
            base_url="http://127.0.0.1:9",
            credentials={"app_key": "k", "app_secret": "s"},
            settings=form.settings(),
        )
        adapter = CampfireAdapter(account, no_call, lambda: datetime.now(UTC))

        request = adapter._list_request(SessionQuery(config_refs=tuple(CONFIGS)), "cursor")

        assert "nextToken=cursor" in request.url


class TestExamForm:
    def test_turns_a_page_into_settings(self) -> None:
        form = ExamForm(
            {"config_refs": "\r\n".join(CONFIGS), "include": ["results", "responses"], "allows_retakes": "true"}
        )

        assert form.is_valid() and form.settings() == SETTINGS

    def test_turns_the_command_line_into_settings(self) -> None:
        form = ExamForm(
            {
                "config_refs": json.dumps(CONFIGS),
                "include": '{"results": true, "responses": true}',
                "allows_retakes": "yes",
            }
        )

        assert form.is_valid() and form.settings() == SETTINGS

    def test_needs_nothing(self) -> None:
        form = ExamForm({})

        assert form.is_valid()
        assert form.settings() == {"config_refs": [], "include": [], "allows_retakes": None}

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("config_refs", "x" * 251),
            ("config_refs", "Algebra"),
            ("config_refs", f"{CONFIGS[0]}\n7"),
            ("include", "answers"),
            ("allows_retakes", "perhaps"),
        ],
    )
    def test_refuses_at_the_field(self, field: str, value: str) -> None:
        assert set(ExamForm({field: value}).errors) == {field}

    @pytest.mark.parametrize("allows_retakes", [True, False, None])
    def test_keeps_its_settings_on_the_way_through_a_page(self, allows_retakes: bool | None) -> None:
        settings = {**SETTINGS, "allows_retakes": allows_retakes}
        shown = ExamForm(initial=ExamForm.initial_from(settings))

        form = ExamForm(posted(shown))

        assert form.is_valid() and form.settings() == settings


class TestFoundForm:
    def test_takes_a_session_id(self) -> None:
        form = FoundForm({"ref": CONFIGS[0]})

        assert form.is_valid() and form.cleaned_data == {"ref": CONFIGS[0]}

    def test_refuses_what_is_none(self) -> None:
        assert "UUID" in str(FoundForm({"ref": "Ann Lee"}).errors["ref"])
