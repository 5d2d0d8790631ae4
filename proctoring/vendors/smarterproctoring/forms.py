"""What SmarterProctoring asks of an account and an exam. Title, window and duration are the exam's own.

The fields of the vendor's `configuration` stand beside the others and are named as on its page; the settings hold them
nested. A whole `configuration` may be given as JSON too: what no field shows of it is carried along unseen.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from django import forms
from django.core.exceptions import ValidationError
from django.utils.dateparse import parse_datetime

from proctoring.vendors.base import ExamValues
from proctoring.vendors.formfields import (
    Column,
    CredentialField,
    LongTextField,
    MomentField,
    NamedChoicesField,
    RowsField,
    SecretField,
    TickField,
    VendorForm,
    WordsField,
    moment_text,
    read_moment,
    validate_web_address,
)
from proctoring.vendors.smarterproctoring.adapter import (
    ACTIVE,
    AT,
    BETWEEN,
    CONFIGURATION_DATES,
    CONFIGURATION_FLAGS,
    CONFIGURATION_TEXTS,
    DRAFT,
    EXAM_SID,
    INSTALL_SID,
    MODALITY_OPTIONS,
    ONLINE,
    OPTIONAL_TOP,
    PERMITTED_ITEMS,
    PROCTOR_TYPES,
    TOP_FLAGS,
    WRITTEN,
    problems,
)

CONFIGURATION = "configuration"
OTHER_PROCTOR_TYPES = "other_proctor_types"
TOP_KEYS: Final = ("courseSid", "type", "url", "examDeliverySystemModule", *TOP_FLAGS, *OPTIONAL_TOP)
PLAIN_KEYS: Final = (
    *CONFIGURATION_FLAGS,
    *CONFIGURATION_TEXTS,
    *CONFIGURATION_DATES,
    "virtualCalculatorType",
    "attempts",
    "instructorAsProctor",
)
OUR_REFERENCE = "apiExamId"
EXAMS_OWN = ("starts_at", "ends_at", "duration_minutes")  # judged here only where the configuration holds them

TYPE_LABELS = [(ONLINE, "Online: on the web, with an address and a password"), (WRITTEN, "Written: on paper")]
STATUS_LABELS = [(ACTIVE, "Active: students see it as soon as it is sent"), (DRAFT, "Draft: no student sees it")]
TIME_TYPE_LABELS = [(BETWEEN, "between two times"), (AT, "at a set time")]
CALCULATOR_LABELS = [
    ("", "None"),
    ("four-function-calc", "Four functions"),
    ("scientific-calc", "Scientific"),
    ("graphing-calc", "Graphing"),
    ("matrix-calc", "Matrix"),
]
ROW_COLUMNS = (
    Column(name="location", label="Location", is_required=True),
    Column(name="timeType", label="When", choices=TIME_TYPE_LABELS),
    Column(name="startTime", label="Start", is_required=True, max_length=50),
    Column(name="endTime", label="End"),
    Column(name="capacity", label="Places", max_length=10),
)

# Stand-ins for what the exam itself holds, so that the adapter judges the rest.
ANY_REFERENCE: Final = UUID(int=0)
ANY_TITLE = "A"
ANY_OPENING: Final = datetime(1, 1, 2, tzinfo=UTC)
ANY_CLOSING: Final = datetime(9999, 12, 30, tzinfo=UTC)
ANY_DURATION = 1


def _permitted(label: str) -> TickField:
    return TickField(label=label)


def _information(label: str) -> LongTextField:
    return LongTextField(label=f"{label}: details", rows=1, help_text="What exactly; the proctor goes by it.")


class CredentialsForm(VendorForm):
    SECTIONS = [("API access", ["token"])]

    token = CredentialField(
        label="Token",
        is_header=True,
        help_text="The JWT from the account manager. It expires; the account warns a week before where the token says when.",
    )


class AccountForm(VendorForm):
    SECTIONS = [("Install", ["install_sid"])]

    install_sid = forms.RegexField(
        rf"\A{INSTALL_SID.pattern}\Z",
        label="Install SID",
        strip=True,
        max_length=50,
        error_messages={"invalid": "The install SID is AI and 32 of the characters 0-9 and a-f."},
        help_text="AI and 32 of the characters 0-9 and a-f. Exams are created in this install.",
    )


class ExamForm(VendorForm):
    SECTIONS = [
        ("Exam", ["courseSid", "type", "url", "password", "examDeliverySystemModule", "description", "contactUserSid"]),
        ("Who sees it", ["status", "isLimitedScope"]),
        (
            "Appointments",
            [
                "scheduleOpenDate",
                "scheduleCloseDate",
                "attempts",
                "enableAppointmentSuggestions",
                "requireApproval",
            ],
        ),
        ("Proctors", ["useProctorManager", "proctorTypes", OTHER_PROCTOR_TYPES, "instructorAsProctor", "proctorNotes"]),
        ("Monitoring", ["modalityOptions"]),
        ("Students", ["requiredSoftware", "studentNotes", "virtualCalculatorType"]),
        (
            "Permitted items",
            [
                *(f"permitted{item}{part}" for item in PERMITTED_ITEMS for part in ("", "Information")),
                "permittedOtherItems",
            ],
        ),
    ]
    SIDE_BY_SIDE = [(f"permitted{item}", f"permitted{item}Information") for item in PERMITTED_ITEMS]
    OWN_NAMES = {
        "configuration.examOpenDate": "starts_at",
        "configuration.examCloseDate": "ends_at",
        "configuration.duration": "duration_minutes",
    }

    courseSid = forms.CharField(
        label="Course SID",
        max_length=50,
        help_text="CU and 32 of the characters 0-9 and a-f. Its students may be enrolled.",
    )
    type = forms.ChoiceField(label="Type", choices=TYPE_LABELS, initial=ONLINE)
    url = forms.CharField(
        label="Exam address",
        required=False,
        max_length=2000,
        validators=[validate_web_address],
        help_text="Where the exam is taken. Required for an Online exam; not sent for a Written one.",
    )
    password = SecretField(
        label="Exam password",
        help_text="Required for an Online exam. SmarterProctoring gets it; no mail of ours holds it.",
    )
    examDeliverySystemModule = forms.CharField(
        label="Exam delivery system",
        max_length=200,
        help_text="Such as canvas. Which names are valid in an install only SmarterProctoring can say.",
    )
    description = LongTextField(label="Description", help_text="Such as: covers chapters 1-5.")
    contactUserSid = forms.CharField(
        label="Contact's user SID",
        required=False,
        max_length=50,
        help_text="Whom to ask about the exam: US and 32 of the characters 0-9 and a-f.",
    )
    status = forms.ChoiceField(label="Status", required=False, choices=STATUS_LABELS, initial=ACTIVE)
    isLimitedScope = TickField(
        label="Assigned students only",
        help_text="Ticked: nobody sees it until students are assigned at SmarterProctoring. "
        "Off: every student enrolled in the course may take it.",
    )
    scheduleOpenDate = MomentField(
        label="Appointments may be made from", help_text="Empty: at once. In the exam's time zone."
    )
    scheduleCloseDate = MomentField(
        label="Appointments may be made until", help_text="Empty: no end. In the exam's time zone."
    )
    attempts = forms.IntegerField(label="Attempts", required=False, min_value=1, initial=1, help_text="1 or more.")
    enableAppointmentSuggestions = TickField(
        label="Suggest appointments", help_text="Students are shown suggested time slots while they schedule."
    )
    requireApproval = TickField(
        label="Sessions need approval", help_text="Ticked: no student can begin before somebody approves the session."
    )
    useProctorManager = TickField(
        label="Use the proctor manager", help_text="SmarterProctoring assigns proctors automatically."
    )
    proctorTypes = NamedChoicesField(
        label="Proctor types",
        required=False,
        choices=list(PROCTOR_TYPES.items()),
        widget=forms.SelectMultiple(attrs={"size": 10}),
        help_text="Which kinds of proctoring students may choose from: at least one, here or below. "
        "Hold Ctrl (or ⌘) to choose several.",
    )
    other_proctor_types = WordsField(
        label="Other proctor types",
        rows=2,
        help_text="SIDs that are not in the list, one a line: TS and 32 of the characters 0-9 and a-f.",
    )
    instructorAsProctor = RowsField(
        label="Instructors who proctor",
        required=False,
        columns=ROW_COLUMNS,
        help_text="A row for each place and time. Times such as 2026-12-01T09:00+01:00; without an offset they are in the "
        "exam's time zone. “Between” needs an end. Places: how many students, empty for no limit.",
    )
    proctorNotes = LongTextField(label="Notes for proctors")
    modalityOptions = NamedChoicesField(
        label="Monitoring and lockdown",
        required=False,
        choices=list(MODALITY_OPTIONS.items()),
        widget=forms.CheckboxSelectMultiple,
        help_text="Only what is ticked is sent. What an online proctor type can do of it, SmarterProctoring decides.",
    )
    requiredSoftware = LongTextField(label="Required software", help_text="What students need on their computers.")
    studentNotes = LongTextField(label="Notes for students")
    virtualCalculatorType = forms.ChoiceField(
        label="Calculator on the screen", required=False, choices=CALCULATOR_LABELS
    )
    permittedBathroomBreak = _permitted("Bathroom break")
    permittedBathroomBreakInformation = _information("Bathroom break")
    permittedBlankPaper = _permitted("Blank paper")
    permittedBlankPaperInformation = _information("Blank paper")
    permittedCalculator = _permitted("Calculator")
    permittedCalculatorInformation = _information("Calculator")
    permittedDictionary = _permitted("Dictionary")
    permittedDictionaryInformation = _information("Dictionary")
    permittedEarplugs = _permitted("Earplugs")
    permittedEarplugsInformation = _information("Earplugs")
    permittedFormulaSheet = _permitted("Formula sheet")
    permittedFormulaSheetInformation = _information("Formula sheet")
    permittedNotes = _permitted("Notes")
    permittedNotesInformation = _information("Notes")
    permittedTextbook = _permitted("Textbook")
    permittedTextbookInformation = _information("Textbook")
    permittedWebsites = _permitted("Websites")
    permittedWebsitesInformation = _information("Websites")
    permittedOtherItems = LongTextField(label="Other permitted items", help_text="Whatever the list above has not.")
    configuration = forms.JSONField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.is_bound:
            self.data = self._spread(self.data)

    @classmethod
    def initial_from(cls, settings: Mapping[str, Any]) -> dict[str, Any]:
        own = settings.get(CONFIGURATION)
        top = {key: settings[key] for key in TOP_KEYS if key in settings}
        return top | _flat(own if isinstance(own, Mapping) else {})

    def settings(self) -> dict[str, Any]:
        return _nested(self.cleaned_data)

    def field_for(self, name: str) -> str:
        inner = name.removeprefix(f"{CONFIGURATION}.")
        if inner == "proctorTypes" and self._has_other_proctor_types():
            return OTHER_PROCTOR_TYPES  # those of the list cannot be wrong
        is_carried_along = name in EXAMS_OWN or (inner != name and inner not in self.fields)
        return CONFIGURATION if is_carried_along else inner

    def _has_other_proctor_types(self) -> bool:
        given = self.cleaned_data if self.is_bound else self.initial
        return OTHER_PROCTOR_TYPES in self.errors or bool(given.get(OTHER_PROCTOR_TYPES))

    def clean_instructorAsProctor(self) -> list[dict[str, Any]]:
        return [_row(number, row) for number, row in enumerate(self.cleaned_data["instructorAsProctor"], start=1)]

    def clean_configuration(self) -> dict[str, Any]:
        own = self.cleaned_data[CONFIGURATION] or {}
        if not isinstance(own, dict):
            raise ValidationError("The configuration is a JSON object.")
        if own.get(OUR_REFERENCE):
            raise ValidationError(f"{OUR_REFERENCE} is this console's own reference of the exam: leave it out.")
        return {key: value for key, value in own.items() if not _says_nothing(value)}

    def clean(self) -> dict[str, Any]:
        data = super().clean()
        self.add_objections(problems(self._probe(data)))
        return data

    def _probe(self, data: Mapping[str, Any]) -> ExamValues:
        """An exam of these settings that has nothing else to object to; its window gives way to one in the settings."""
        settings = _nested(data)
        own = settings[CONFIGURATION]
        return ExamValues(
            reference=ANY_REFERENCE,
            title=ANY_TITLE,
            starts_at=None if "examOpenDate" in own else ANY_OPENING,
            ends_at=None if "examCloseDate" in own else ANY_CLOSING,
            duration_minutes=None if "duration" in own else ANY_DURATION,
            settings=settings,
        )

    def _spread(self, data: Any) -> Any:
        """A whole configuration given as JSON, each value at its field; it wins over a field given beside it."""
        own = _parsed(data.get(self.add_prefix(CONFIGURATION)))
        if not isinstance(own, Mapping):
            return data
        spread = data.copy()
        flat = _flat(own)
        for key, value in {**flat, CONFIGURATION: json.dumps(flat[CONFIGURATION])}.items():
            spread[self.add_prefix(key)] = value
        return spread


class DeliveryForm(VendorForm):
    """Nothing to ask: no delivery is created at this vendor from here."""


class FoundForm(VendorForm):
    SECTIONS = [("Found at SmarterProctoring", ["ref"])]

    ref = forms.RegexField(
        rf"\A{EXAM_SID.pattern}\Z",
        label="Exam SID",
        strip=True,
        max_length=50,
        error_messages={"invalid": "The exam's SID is EX and 32 of the characters 0-9 and a-f."},
        help_text="EX and 32 of the characters 0-9 and a-f.",
    )


def _flat(own: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration as values of the form's fields; under `configuration` what no field shows."""
    flat = {key: own[key] for key in PLAIN_KEYS if key in own}
    rest = {key: own[key] for key in own if key not in (*PLAIN_KEYS, "proctorTypes", "modalityOptions")}
    if "proctorTypes" in own:
        flat["proctorTypes"], flat[OTHER_PROCTOR_TYPES] = _split_types(own["proctorTypes"])
    if "modalityOptions" in own:
        ticked, unseen = _split_options(own["modalityOptions"])
        # Both left out where empty: what the page carries along unseen must not untick what is ticked beside it.
        flat |= {"modalityOptions": ticked} if ticked else {}
        rest |= {"modalityOptions": unseen} if unseen else {}
    return flat | {CONFIGURATION: rest}


def _split_types(types: Any) -> tuple[Any, Any]:
    if not isinstance(types, list):
        return types, []
    known = [sid for sid in types if isinstance(sid, str) and sid in PROCTOR_TYPES]
    return known, [sid for sid in types if sid not in known]


def _split_options(options: Any) -> tuple[Any, dict[str, Any]]:
    if not isinstance(options, Mapping):
        return options, {}
    ticked = [key for key, value in options.items() if value is True and key in MODALITY_OPTIONS]
    return ticked, {key: value for key, value in options.items() if key not in ticked}


def _nested(data: Mapping[str, Any]) -> dict[str, Any]:
    rest = data.get(CONFIGURATION) or {}
    types = [*data.get("proctorTypes", ()), *data.get(OTHER_PROCTOR_TYPES, ())]
    own = {
        **rest,
        **{key: data[key] for key in PLAIN_KEYS if key in data},
        "proctorTypes": list(dict.fromkeys(types)),
        "modalityOptions": {
            **rest.get("modalityOptions", {}),
            **dict.fromkeys(data.get("modalityOptions", ()), True),
        },
    }
    return {key: data[key] for key in TOP_KEYS if key in data} | {CONFIGURATION: own}


def _row(number: int, row: Mapping[str, Any]) -> dict[str, Any]:
    try:
        start = moment_text(read_moment(row["startTime"]))
    except ValidationError as error:
        raise ValidationError(f"Row {number}, Start: {' '.join(error.messages)}") from None
    cleaned = {**row, "startTime": start, "endTime": _end(number, row["endTime"])}
    if not row["capacity"]:
        return {key: value for key, value in cleaned.items() if key != "capacity"}
    if not row["capacity"].isascii() or not row["capacity"].isdecimal():
        raise ValidationError(f"Row {number}, Places: Enter a whole number, 1 or more.")
    return {**cleaned, "capacity": int(row["capacity"])}


def _end(number: int, text: str) -> str:
    """The end as a moment where it names one; the vendor takes any other text too."""
    if not _names_a_moment(text):
        return text
    try:
        return moment_text(read_moment(text))
    except ValidationError as error:
        raise ValidationError(f"Row {number}, End: {' '.join(error.messages)}") from None


def _names_a_moment(text: str) -> bool:
    try:
        return parse_datetime(text.replace(" ", "T", 1)) is not None
    except ValueError:
        return False


def _parsed(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return None  # the field itself says so


def _says_nothing(value: Any) -> bool:
    return value is None or value in ("", [], {})
