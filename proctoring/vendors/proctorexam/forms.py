"""What ProctorExam asks of an account and an exam. Name, window and duration are the exam's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms

from proctoring.vendors.formfields import MAX_TEXT, CredentialField, LongTextField, ThreeWayField, VendorForm
from proctoring.vendors.proctorexam.adapter import METHODS, PARAMETERS, TIME_FORMATS, Kind, problems

TYPE_LABELS = [
    ("", "As it is at ProctorExam"),
    ("demo", "Demo"),
    ("classroom", "Classroom"),
    ("record_review", "Record and review"),
    ("live_proctoring", "Live proctoring"),
]
TIME_FORMAT_LABELS = {
    "epoch": "Seconds since 1970 (as the parameter table says)",
    "iso": "ISO 8601 (as the sample shows)",
}
ALLOWED_DETAILS = {
    "allow_websites": "allowed_websites",
    "allow_external_applications": "allowed_external_applications",
    "allow_textbooks": "allowed_textbooks",
    "allow_calculator": "allowed_calculator_type",
    "allow_additional": "allowed_additional",
}
SWITCH_OF = {detail: switch for switch, detail in ALLOWED_DETAILS.items()}
AS_IT_IS = "As it is at ProctorExam"
EMPTY = "Empty: as it is at ProctorExam. A text that you remove here is removed there."


def _switch(label: str, help_text: str = "", *, unset: str = AS_IT_IS) -> ThreeWayField:
    return ThreeWayField(label=label, unset=unset, help_text=help_text)


def _detail(label: str, help_text: str) -> LongTextField:
    return LongTextField(label=label, rows=2, help_text=f"{help_text} {EMPTY}".strip())


class CredentialsForm(VendorForm):
    SECTIONS = [("API access", ["api_token", "secret_key"])]

    api_token = CredentialField(
        label="API token", is_header=True, help_text="The institute's own, issued by ProctorExam."
    )
    secret_key = CredentialField(
        label="Secret key",
        help_text="Signs every call and is never sent. A wrong one is refused like a missing right (403).",
    )


class AccountForm(VendorForm):
    SECTIONS = [("How ProctorExam is called", ["method", "time_format"])]

    method = forms.ChoiceField(
        label="Updates are sent by",
        required=False,
        initial=METHODS[0],
        choices=[(name, name) for name in METHODS],
        help_text="ProctorExam documents both.",
    )
    time_format = forms.ChoiceField(
        label="Times are sent as",
        required=False,
        initial=TIME_FORMATS[0],
        choices=[(name, TIME_FORMAT_LABELS[name]) for name in TIME_FORMATS],
        help_text="ProctorExam's page says one and shows the other. Change it if a window arrives wrongly.",
    )

    def clean_method(self) -> str:
        return self.cleaned_data["method"] or METHODS[0]

    def clean_time_format(self) -> str:
        return self.cleaned_data["time_format"] or TIME_FORMATS[0]


class ExamForm(VendorForm):
    """The parameters of "update exam". None says nothing, so that the exam stays as it is at ProctorExam."""

    SECTIONS = [
        ("Kind of exam", ["type", "student_experience", "institute_id"]),
        ("Schedule", ["use_duration"]),
        ("Recording and review", ["mobile_cam", "global_proctoring", "global_reviewing", "for_reviewing"]),
        ("Answers", ["upload_answers"]),
        ("Languages", ["exam_language"]),
        (
            "What is allowed",
            [
                "allow_websites",
                "allowed_websites",
                "allow_external_applications",
                "allowed_external_applications",
                "allow_textbooks",
                "allowed_textbooks",
                "allow_calculator",
                "allowed_calculator_type",
                "allow_additional",
                "allowed_additional",
                "allow_pen_paper",
            ],
        ),
        ("Instructions for the reviewer", ["restrictions"]),
    ]
    SIDE_BY_SIDE = list(ALLOWED_DETAILS.items())
    OWN_NAMES = {"id": "ref", "name": "title", "start_time": "starts_at", "end_time": "ends_at"}

    type = forms.ChoiceField(label="Type", required=False, choices=TYPE_LABELS)
    student_experience = _switch(
        "New exam-taker experience",
        "Only where ProctorExam offers it in your environment. ProctorExam's default is no.",
    )
    institute_id = forms.IntegerField(
        label="Institute id",
        required=False,
        min_value=0,
        help_text="A number. Only if ProctorExam asked for it: it is in the vendor's sample, not in its list of parameters. "
        "An update cannot take it away again.",
    )
    use_duration = _switch(
        "Limit the time of each candidate",
        "Yes: the exam's duration in minutes applies, so the exam must have one.",
        unset="When the exam has a duration",
    )
    mobile_cam = _switch("Record with the candidate's phone too", "Yes: mobile recording is required.")
    global_proctoring = _switch("Global proctoring", "Proctoring by ProctorExam's service of this name.")
    global_reviewing = _switch("Global reviewing", "Reviewing by ProctorExam's service of this name.")
    for_reviewing = _switch("Send the recordings to reviewers")
    upload_answers = _switch(
        "Candidates upload documents at the end", "One or more documents, through ProctorExam, when the exam ends."
    )
    exam_language = forms.CharField(
        label="Languages",
        required=False,
        max_length=MAX_TEXT,
        help_text=f"In which the exam can be shown: codes separated by commas, such as en,fr,nl. {EMPTY}",
    )
    allow_websites = _switch("Websites")
    allowed_websites = _detail("Which websites", "Separated by commas.")
    allow_external_applications = _switch("Other applications")
    allowed_external_applications = _detail("Which applications", "Separated by commas.")
    allow_textbooks = _switch("Textbooks")
    allowed_textbooks = _detail("Which textbooks", "Separated by commas.")
    allow_calculator = _switch("Calculator")
    allowed_calculator_type = _detail("Which calculator", "Such as Basic or Scientific.")
    allow_additional = _switch("Other things")
    allowed_additional = _detail("Which other things", "Separated by commas, such as headphones.")
    allow_pen_paper = _switch("Pen and paper")
    restrictions = LongTextField(label="Instructions", rows=6, help_text=f"The reviewer reads them. {EMPTY}")

    @classmethod
    def initial_from(cls, settings: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in settings.items() if name in cls.base_fields}

    def clean(self) -> dict[str, Any]:
        data = super().clean()
        data.update(dict.fromkeys(self._silent_texts()))
        self.add_objections(problems(data))
        return data

    def _silent_texts(self) -> list[str]:
        """Empty texts that say nothing: an empty text that is sent would take away what is set at ProctorExam."""
        return [
            name
            for name in self.fields
            if PARAMETERS[name] is Kind.TEXT and self.cleaned_data.get(name) == "" and self._is_silent(name)
        ]

    def _is_silent(self, name: str) -> bool:
        was_never_set = self.initial.get(name) is None
        return was_never_set and self.cleaned_data.get(SWITCH_OF.get(name, "")) is None


class DeliveryForm(VendorForm):
    """Nothing to ask: no delivery is created at this vendor from here."""


class FoundForm(VendorForm):
    SECTIONS = [("Found at ProctorExam", ["ref"])]

    ref = forms.RegexField(
        r"\A[0-9]+\Z",
        label="Exam id",
        strip=True,
        max_length=20,
        error_messages={"invalid": "ProctorExam's exam id is a number."},
    )
