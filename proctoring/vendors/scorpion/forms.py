"""What Caveon Scorpion asks of an account, an exam and a delivery."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django import forms
from django.core.exceptions import ValidationError

from proctoring.vendors.formfields import Column, PairsField, RowsField, VendorForm

SOURCES = [
    ("first_name", "First name"),
    ("last_name", "Last name"),
    ("full_name", "Full name"),
    ("email", "E-mail"),
    ("phone", "Phone"),
    ("external_id", "External id"),
    ("language", "Language"),
    ("time_zone", "Time zone"),
]
DEFAULT_EXAMINEE_INFO = [
    {"key": "First Name", "source": "first_name", "is_required": True},
    {"key": "Last Name", "source": "last_name", "is_required": True},
    {"key": "Email", "source": "email", "is_required": True},
]
NAMED_WHOLE = {"full_name": "last_name"}  # a candidate has no field of the whole name
OUR_META_KEY = "proctoring_reference"


def validate_uuid(value: str) -> None:
    try:
        UUID(value)
    except ValueError:
        raise ValidationError("This is not a UUID such as 40cabced-6377-41cf-9020-befd582fa956.") from None


class UuidTextField(forms.CharField):
    """A UUID kept as text in its usual form."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=50, validators=[validate_uuid], **kwargs)

    def clean(self, value: Any) -> str:
        text: str = super().clean(value)
        return str(UUID(text)) if text else ""


class CredentialsForm(VendorForm):
    SECTIONS = [("API credentials", ["token"])]

    token = forms.CharField(
        label="Basic authorization token",
        widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
        max_length=2000,
        help_text="In Scorpion: App › Settings › API Credentials › Get API Credentials. With or without the word “Basic”.",
    )


class AccountForm(VendorForm):
    SECTIONS = [
        ("Links", ["take_url", "proctor_url"]),
        ("What Scorpion is told", ["sends_accommodations", "external_id_is_free_text"]),
    ]

    take_url = forms.CharField(
        label="Take link begins with",
        required=False,
        max_length=500,
        help_text="Empty: the base URL with /take?launch_token=",
    )
    proctor_url = forms.CharField(
        label="Proctor link begins with", required=False, max_length=500, help_text="Empty: the base URL with /proctor/"
    )
    sends_accommodations = forms.BooleanField(
        label="Send extra time to Scorpion",
        required=False,
        help_text="From an older guide of the vendor: ask them before you rely on it. Off: a coordinator arranges it by hand.",
    )
    external_id_is_free_text = forms.BooleanField(
        label="External ids may be any text",
        required=False,
        help_text="Off: Scorpion gets a UUID, the same for a candidate in every project.",
    )


class ExamForm(VendorForm):
    SECTIONS = [("Who the candidate is", ["examinee_info", "external_id"]), ("The delivery", ["form_id", "meta"])]
    OWN_NAMES = {"exam": "ref"}

    examinee_info = RowsField(
        label="Examinee info",
        required=False,
        initial=DEFAULT_EXAMINEE_INFO,
        columns=(
            Column(name="key", label="Field name in the Scorpion project", is_required=True),
            Column(name="source", label="Filled with", choices=SOURCES),
            Column(name="is_required", label="Required", is_tick=True),
        ),
        help_text="The names must be exactly those of the project's Examinee Info settings.",
    )
    external_id = forms.ChoiceField(
        label="Send an external id",
        required=False,
        initial="uuid",
        choices=[
            ("uuid", "Yes: a UUID, the same for the candidate everywhere"),
            ("external_id", "Yes: the candidate's external id as it is (the account must allow it)"),
            ("none", "No"),
        ],
    )
    form_id = UuidTextField(
        label="Form",
        required=False,
        help_text="A form's UUID forces that form at a first attempt. Empty: Scorpion chooses.",
    )
    meta = PairsField(
        label="Meta", required=False, help_text="Free keys and values kept with every delivery of this exam."
    )

    def clean_examinee_info(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.cleaned_data["examinee_info"] or DEFAULT_EXAMINEE_INFO
        keys = [row["key"] for row in rows]
        if doubled := next((key for key in keys if keys.count(key) > 1), None):
            raise ValidationError(f"The field name “{doubled}” is there twice.")
        return rows

    def clean_external_id(self) -> str:
        return self.cleaned_data["external_id"] or "uuid"

    def clean_meta(self) -> dict[str, str]:
        return _without_our_key(self.cleaned_data["meta"])


class DeliveryForm(VendorForm):
    SECTIONS = [("These deliveries", ["form_id", "meta"])]
    OWN_NAMES = {"accommodations": "extra_time_percent"}

    form_id = UuidTextField(
        label="Form", required=False, help_text="Forces this form for these deliveries, a retake too."
    )
    meta = PairsField(label="Meta", required=False, help_text="Free keys and values kept with these deliveries.")

    @classmethod
    def own_names(cls, exam_settings: Mapping[str, Any]) -> Mapping[str, str]:
        """The project's own names of what is sent of a candidate, too."""
        rows: list[dict[str, Any]] = exam_settings.get("examinee_info") or DEFAULT_EXAMINEE_INFO
        return {**cls.OWN_NAMES, **{row["key"]: NAMED_WHOLE.get(row["source"], row["source"]) for row in rows}}

    def clean_meta(self) -> dict[str, str]:
        return _without_our_key(self.cleaned_data["meta"])


def _without_our_key(meta: dict[str, str]) -> dict[str, str]:
    if OUR_META_KEY in meta:
        raise ValidationError(f"The key “{OUR_META_KEY}” is taken: this console puts its own reference there.")
    return meta


class FoundForm(VendorForm):
    """What a person copies from Scorpion for a delivery that was created there."""

    SECTIONS = [("At Scorpion", ["ref", "person_ref", "launch_token", "proctor_token"])]

    ref = UuidTextField(label="Delivery id")
    person_ref = UuidTextField(label="Examinee id", required=False)
    launch_token = forms.CharField(label="Launch token", required=False, max_length=2000, strip=True)
    proctor_token = forms.CharField(label="Proctor token", required=False, max_length=2000, strip=True)
