"""What Cirrus asks of an account, an exam (its schedule) and a delivery (its candidate)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django import forms
from django.core.exceptions import ValidationError

from proctoring.vendors.base import (
    AccountValues,
    DeliveryOrder,
    ExamValues,
    HttpRequest,
    HttpResponse,
    Objection,
    Person,
)
from proctoring.vendors.cirrus.adapter import (
    ASSESSMENT,
    ATTEMPT_EXT_ID,
    AUTHORIZATION,
    CANDIDATE_EXT_ID,
    DEFAULT,
    EXTERNAL_ATTEMPTS,
    MAX_ASSESSMENT_EXTRA,
    OPTION_TEXTS,
    PERSON_TEXTS,
    PROCTOR_UIDS,
    SCHEDULE_FLAGS,
    SCHEDULE_TEXTS,
    CirrusAdapter,
)
from proctoring.vendors.formfields import (
    CredentialField,
    SecretField,
    ThreeWayField,
    TickField,
    VendorForm,
    WordsField,
    validate_header_text,
    validate_web_address,
)

LIMITS: Final = {text.key: text.limit for text in (*SCHEDULE_TEXTS, *OPTION_TEXTS, ATTEMPT_EXT_ID)}
NAMES_IN_FORM: Final = {"title": "schedule_title"}  # an exam has a title of its own, on the same page
NAMES_IN_SETTINGS: Final = {ours: theirs for theirs, ours in NAMES_IN_FORM.items()}

# By the names of the page, which an installation may write in another case.
WIRE_NAMES: Final = {
    **{text.wire.casefold(): text.key for text in (*SCHEDULE_TEXTS, *OPTION_TEXTS, ATTEMPT_EXT_ID, PROCTOR_UIDS)},
    **{wire.casefold(): key for key, wire in SCHEDULE_FLAGS.items()},
}

WORKFLOWS = [
    (DEFAULT, "One schedule for these candidates (DEFAULT)"),
    (EXTERNAL_ATTEMPTS, "Attempts with ids of their own (EXTERNAL_ATTEMPTS)"),
]
AS_THE_VENDOR_SAYS = "As Cirrus does by default"
EXT_ID_WORDS = "Letters without accents, digits and dashes."
ONE_CANDIDATE = "Belongs to one candidate: it is refused when you deliver to several."

ANY_REFERENCE: Final = UUID(int=0)
ANY_START: Final = datetime(2000, 1, 1, tzinfo=UTC)
ANY_PERSON: Final = Person(reference=ANY_REFERENCE, first_name="A", last_name="B", email="a@example.com")


def _text(key: str, label: str, help_text: str = "", *, required: bool = False) -> forms.CharField:
    return forms.CharField(label=label, required=required, max_length=LIMITS[key], help_text=help_text)


def _objections(*, settings: Mapping[str, Any], options: Mapping[str, Any]) -> tuple[Objection, ...]:
    """What the adapter objects to in a schedule or a candidate, the rest of the delivery being in order."""
    adapter = CirrusAdapter(AccountValues(base_url="", credentials={}), _no_call, _no_clock)
    exam = ExamValues(
        reference=ANY_REFERENCE,
        ref="A",
        starts_at=ANY_START,
        ends_at=ANY_START + timedelta(days=3650),
        settings={"group_ext_id": "A", "group_name": "A", **settings},
    )
    return adapter.objections(exam, DeliveryOrder(reference=ANY_REFERENCE, person=ANY_PERSON, options=options))


def _no_call(request: HttpRequest, *, is_effect: bool) -> HttpResponse:
    raise AssertionError("judging a form's values asks nobody")


def _no_clock() -> datetime:
    raise AssertionError("judging a form's values needs no clock")


class CredentialsForm(VendorForm):
    SECTIONS = [("API access", ["token"])]

    token = CredentialField(
        label="External API token",
        is_header=True,
        help_text="In Cirrus: Admin › Webservices / External API. Without the word EAPI.",
    )

    def clean_token(self) -> str:
        token: str = self.cleaned_data["token"]
        return token[5:].strip() if token.upper().startswith("EAPI ") else token


class AccountForm(VendorForm):
    SECTIONS = [
        ("Candidates' site", ["site_url"]),
        ("Schedules", ["owner"]),
        ("How Cirrus is called", ["authorization_header", "ask_for_json"]),
    ]

    site_url = forms.CharField(
        label="Address of the candidates' site",
        required=False,
        max_length=500,
        help_text="Such as https://demo.cirrusplatform.com. Needed where Cirrus answers with relative links: "
        "without it such candidates get no link.",
    )
    owner = _text(
        "owner",
        "Owner of schedules",
        "A Cirrus user name, sent where an exam names none. Empty: the scheduler set in Cirrus's External API settings.",
    )
    authorization_header = forms.CharField(
        label="Authorization header",
        required=False,
        initial=AUTHORIZATION,
        max_length=200,
        validators=[validate_header_text],
        help_text=f"“{AUTHORIZATION}” as documented. Some installations want “EAPI{{token}}”, without the space.",
    )
    ask_for_json = TickField(
        label="Ask for the reply as JSON",
        help_text="Adds ?type=json to the call. Not in the vendor's page; tick it if replies come without links.",
    )

    def clean_site_url(self) -> str:
        address: str = self.cleaned_data["site_url"]
        if address and "://" not in address:
            address = f"https://{address}"
        if address:
            validate_web_address(address)
        return address

    def clean_authorization_header(self) -> str:
        header: str = self.cleaned_data["authorization_header"] or AUTHORIZATION
        if "{token}" not in header:
            raise ValidationError("The header must hold {token}, where the token is put.")
        return header


class ExamForm(VendorForm):
    OWN_NAMES = {ASSESSMENT.wire: ASSESSMENT.key, "StartDateTime": "starts_at", "EndDateTime": "ends_at"}
    SECTIONS = [
        ("Schedule", ["schedule_title", "workflow", "owner"]),
        ("The candidates' group", ["group_ext_id", "group_name"]),
        ("The schedule's group", ["schedule_group_ext_id", "schedule_group_name"]),
        ("Getting in", ["pin", "use_key_code", "lock_exam_on_connection_loss"]),
        ("Proctorio", ["use_proctorio", "proctorio_template_external_id"]),
        ("Time", ["assessment_extra_minutes"]),
    ]

    schedule_title = _text("title", "Title of the schedule", "In Cirrus's lists. Empty: Cirrus makes one.")
    workflow = forms.ChoiceField(
        label="Workflow",
        required=False,
        initial=DEFAULT,
        choices=WORKFLOWS,
        help_text="A schedule keeps the workflow it was made with. A retake is a new schedule, or a new attempt.",
    )
    owner = _text("owner", "Owner", "A Cirrus user name. Empty: the account's owner, else the one set in Cirrus.")
    group_ext_id = _text(
        "group_ext_id",
        "Group id",
        f"The hierarchy in Cirrus that new candidates are put in. {EXT_ID_WORDS}",
        required=True,
    )
    group_name = _text("group_name", "Group name", "The name of that hierarchy.", required=True)
    schedule_group_ext_id = _text(
        "schedule_group_ext_id", "Group id", "The hierarchy that the schedule belongs to. Empty: the root hierarchy."
    )
    schedule_group_name = _text("schedule_group_name", "Group name", "The name of that hierarchy.")
    pin = SecretField(
        label="PIN",
        max_length=LIMITS["pin"],
        strip=True,
        help_text="Up to 4 characters. Candidates are asked for it and no mail of ours holds it: hand it out yourself.",
    )
    use_key_code = ThreeWayField(
        label="Log in with a key code",
        unset=AS_THE_VENDOR_SAYS,
        help_text="Yes: each candidate needs a code from the slips that an invigilator prints in Cirrus.",
    )
    lock_exam_on_connection_loss = ThreeWayField(
        label="Lock the exam when the connection is lost",
        unset=AS_THE_VENDOR_SAYS,
        help_text="Yes: a candidate whose connection breaks is locked out until the exam is unlocked in Cirrus.",
    )
    use_proctorio = ThreeWayField(label="Proctor with Proctorio", unset="As the assessment's options say")
    proctorio_template_external_id = _text(
        "proctorio_template_external_id",
        "Proctorio template",
        "Its external id: letters without accents and digits. Empty: the default template of Cirrus's settings.",
    )
    assessment_extra_minutes = forms.IntegerField(
        label="Extra time of the assessment (minutes)",
        required=False,
        min_value=0,
        max_value=MAX_ASSESSMENT_EXTRA,
        help_text="The ExtraTime set in Cirrus at the assessment itself. It is not sent, but the window must hold "
        "the duration, this, and a candidate's own extra time.",
    )

    @classmethod
    def initial_from(cls, settings: Mapping[str, Any]) -> dict[str, Any]:
        return {NAMES_IN_FORM.get(name, name): value for name, value in settings.items()}

    def settings(self) -> dict[str, Any]:
        return _settings_of(self.cleaned_data)

    def field_for(self, name: str) -> str:
        key = WIRE_NAMES.get(name.casefold(), name)
        return NAMES_IN_FORM.get(key, key)

    def clean_workflow(self) -> str:
        return self.cleaned_data["workflow"] or DEFAULT

    def clean(self) -> dict[str, Any]:
        data = super().clean()
        self.add_objections(_objections(settings=_settings_of(data), options={}))
        return data


def _settings_of(data: Mapping[str, Any]) -> dict[str, Any]:
    return {NAMES_IN_SETTINGS.get(name, name): value for name, value in data.items()}


class DeliveryForm(VendorForm):
    """The candidate's fields that no roster holds: the same for every candidate of one press, or for one candidate alone."""

    OWN_NAMES = {
        **{text.wire: text.key for text in (*PERSON_TEXTS, CANDIDATE_EXT_ID)},
        "SpecialNeeds": "special_needs",
        "ReasonableAdjustmentPercentage": "extra_time_percent",
    }
    SECTIONS = [
        ("Where the candidates belong", ["company", "comp_id", "city", "state", "country_code"]),
        ("Proctors", ["proctor_uids"]),
        (
            "For one candidate only",
            [
                *("user_name", "password", "registration_number", "voucher_id", "phone_number", "photo"),
                *("address_line1", "address_line2", "postal_code", "attempt_ext_id"),
            ],
        ),
    ]

    company = _text("company", "Company")
    comp_id = _text("comp_id", "Company id")
    city = _text("city", "City")
    state = _text("state", "State")
    country_code = _text("country_code", "Country code")
    proctor_uids = WordsField(label="Proctors' ids", help_text="The proctors' ids at Cirrus, one a line.")
    user_name = _text("user_name", "User name at Cirrus", f"Empty: the candidate's id. {ONE_CANDIDATE}")
    password = SecretField(
        label="Password at Cirrus",
        max_length=LIMITS["password"],
        help_text=f"For logging in by hand. No mail of ours holds it: hand it out yourself. {ONE_CANDIDATE}",
    )
    registration_number = _text("registration_number", "Registration number", ONE_CANDIDATE)
    phone_number = _text("phone_number", "Phone", f"Empty: the candidate's phone from the roster. {ONE_CANDIDATE}")
    voucher_id = _text("voucher_id", "Voucher id", ONE_CANDIDATE)
    address_line1 = _text("address_line1", "Address, first line", ONE_CANDIDATE)
    address_line2 = _text("address_line2", "Address, second line", ONE_CANDIDATE)
    postal_code = _text("postal_code", "Postal code", ONE_CANDIDATE)
    photo = _text("photo", "Photo", f"Such as the address of a picture. {ONE_CANDIDATE}")
    attempt_ext_id = _text(
        "attempt_ext_id",
        "Attempt id",
        "Sent with the workflow EXTERNAL_ATTEMPTS only, and never used twice. Empty: a new one is made for each "
        f"candidate. {ONE_CANDIDATE}",
    )

    def field_for(self, name: str) -> str:
        return WIRE_NAMES.get(name.casefold(), name)

    def clean(self) -> dict[str, Any]:
        data = super().clean()
        self.add_objections(_objections(settings={"workflow": EXTERNAL_ATTEMPTS}, options=data))
        return data


class FoundForm(VendorForm):
    """What a person copies from Cirrus for a delivery that was created there."""

    SECTIONS = [("Found at Cirrus", ["ref", "take_url"])]

    ref = forms.CharField(
        label="Schedule id or attempt id",
        max_length=250,
        help_text="The schedule's external id; with the workflow EXTERNAL_ATTEMPTS the candidate's attempt id.",
    )
    take_url = forms.CharField(
        label="Take link",
        required=False,
        max_length=10_000,
        validators=[validate_web_address],
        help_text="The launch link where there is one, else the start-up link, whole with its https:// and what follows #. "
        "Empty: the delivery counts as created, its link as missing.",
    )
