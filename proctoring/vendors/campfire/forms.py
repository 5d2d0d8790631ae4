"""What Campfire Learning asks of an account and an exam. Its deliveries are made by the vendor's own platform."""

from __future__ import annotations

from django import forms
from django.core.exceptions import ValidationError

from proctoring.vendors.campfire.adapter import CURSOR_PLACES, EVERYTHING, UUID_FORM, UUID_WORDS
from proctoring.vendors.formfields import CredentialField, NamedChoicesField, ThreeWayField, VendorForm, WordsField

CURSOR_PLACE_LABELS = {"body": "In the body", "query": "In the address (query)"}
INCLUDE_LABELS = {"results": "Results (points, objectives)", "responses": "Responses"}


class CredentialsForm(VendorForm):
    SECTIONS = [("API key", ["app_key", "app_secret"])]

    app_key = CredentialField(label="App key", help_text="From the keys of the Campfire workspace.")
    app_secret = CredentialField(label="App secret", help_text="Shown at Campfire next to the app key.")

    def clean_app_key(self) -> str:
        key: str = self.cleaned_data["app_key"]
        if ":" in key:
            raise ValidationError("An app key holds no colon. Is this the key and the secret together?")
        return key


class AccountForm(VendorForm):
    SECTIONS = [("Lists", ["next_token_in"])]

    next_token_in = forms.ChoiceField(
        label="The next page is asked for",
        required=False,
        initial=CURSOR_PLACES[0],
        choices=[(place, CURSOR_PLACE_LABELS[place]) for place in CURSOR_PLACES],
        help_text="Campfire does not document it. If lists end after their first page, or repeat it, try the other one.",
    )

    def clean_next_token_in(self) -> str:
        return self.cleaned_data["next_token_in"] or CURSOR_PLACES[0]


class ExamForm(VendorForm):
    SECTIONS = [
        ("Which sessions", ["config_refs", "include"]),
        ("Retakes", ["allows_retakes"]),
    ]

    config_refs = WordsField(
        label="Exam configurations",
        word_length=250,
        help_text="The ids of the exam's configurations at Campfire, one a line. Their sessions are listed here. "
        "Empty: every session of the workspace is asked for, and those of another exam are left out.",
    )
    include = NamedChoicesField(
        label="Read with every list",
        required=False,
        choices=[(part, INCLUDE_LABELS[part]) for part in EVERYTHING],
        widget=forms.CheckboxSelectMultiple,
        help_text="State and score come without either. Each makes lists longer and slower; "
        "a session that is opened is always read with both.",
    )
    allows_retakes = ThreeWayField(
        label="Sessions may be retaken",
        unset="Not known",
        yes="Yes: multi-attempt sessions",
        no="No",
        help_text="Counts where Campfire’s exam configuration does not say. No refuses retakes, “not known” warns first.",
    )

    def clean_config_refs(self) -> list[str]:
        refs: list[str] = self.cleaned_data["config_refs"]
        if wrong := next((ref for ref in refs if not UUID_FORM.fullmatch(ref)), None):
            raise ValidationError(f"“{wrong}” cannot be an exam configuration's id, which is {UUID_WORDS}.")
        return refs


class DeliveryForm(VendorForm):
    """Nothing to ask: no delivery is created at this vendor from here."""


class FoundForm(VendorForm):
    SECTIONS = [("Found at Campfire", ["ref"])]

    ref = forms.RegexField(
        rf"\A{UUID_FORM.pattern}\Z",
        label="Exam session id",
        strip=True,
        max_length=50,
        error_messages={"invalid": f"The exam session's id is {UUID_WORDS}."},
        help_text="As Campfire shows it.",
    )
