"""What is done to sessions needs from a person: which ones, a reason, and for some a number or answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms

from proctoring.forms.fields import UuidListField
from proctoring.questions import Question
from proctoring.sessions import CATEGORIES
from proctoring.vendors.base import Response, Verb

CHOSEN_VERBS = (Verb.RESET, Verb.REOPEN, Verb.RETAKE)


class ChooseForm(forms.Form):
    """The ticked rows of the board, or all that its filters show, and what is to be done to them."""

    verb = forms.ChoiceField(choices=[(verb.value, verb.value) for verb in CHOSEN_VERBS])
    everything = forms.BooleanField(required=False)
    sessions = UuidListField(label="Sessions", required=False)

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if not data.get("everything") and not data.get("sessions"):
            self.add_error("sessions", "Tick the sessions first.")
        return data


class ConfirmForm(forms.Form):
    """Why; and where a mistake would cost many candidates their answers, how many."""

    category = forms.ChoiceField(label="Why", choices=[("", "Choose …"), *CATEGORIES.items()])
    reason = forms.CharField(
        label="In your words",
        max_length=500,
        help_text="Kept in the journal for whoever asks later.",
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    includes_in_exam = forms.BooleanField(required=False)
    number = forms.CharField(label="How many", widget=forms.TextInput(attrs={"autocomplete": "off"}))

    def __init__(self, *args: Any, number: int, asks_number: bool, in_exam: int = 0, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.wanted = number
        self.fields["includes_in_exam"].label = (
            "Also the one who is in the exam now" if in_exam == 1 else f"Also the {in_exam} who are in their exam now"
        )
        self.fields["includes_in_exam"].help_text = "A retake ends the attempt that they are in."
        if not in_exam:
            del self.fields["includes_in_exam"]
        if asks_number:
            self.fields["number"].widget.attrs["inputmode"] = "numeric"
            self.fields["number"].help_text = f"Type {number}: so many sessions lose their answers and scores."
        else:
            del self.fields["number"]

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if not self.wanted and not data.get("includes_in_exam"):
            self.add_error("includes_in_exam", "All of them are in their exam now. Tick this if they are meant.")
        return data

    def clean_number(self) -> str:
        text: str = self.cleaned_data["number"].strip()
        if text != str(self.wanted):
            raise forms.ValidationError(f"{self.wanted} sessions would be reset. Type that number.")
        return text


class ResponsesForm(forms.Form):
    """One field for each multiple-choice question, its choices being the vendor's own option indexes."""

    submit_for_scoring = forms.BooleanField(
        label="Submit for scoring, too",
        required=False,
        help_text="The vendor then scores the session. Without it the responses are only set.",
    )

    def __init__(self, *args: Any, questions: Sequence[Question], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.questions = [question for question in questions if question.is_choice]
        for number, question in enumerate(self.questions):
            self.fields[f"q{number}"] = forms.TypedMultipleChoiceField(
                label=f"Question {question.number}",
                coerce=int,
                required=False,
                choices=[(str(option.index), option.label) for option in question.options],
                initial=[str(index) for index in question.chosen],
                widget=forms.CheckboxSelectMultiple,
            )

    def rows(self) -> list[tuple[Question, Any]]:
        return [(question, self[f"q{number}"]) for number, question in enumerate(self.questions)]

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        answers = [tuple(sorted(data.get(f"q{number}", []))) for number in range(len(self.questions))]
        emptied = [q.number for q, answer in zip(self.questions, answers, strict=True) if q.chosen and not answer]
        if emptied:
            self.add_error(None, f"The vendor has no way to take an answer away (question {emptied[0]}).")
        is_same = answers == [tuple(sorted(question.chosen)) for question in self.questions]
        if is_same and not data.get("submit_for_scoring"):
            self.add_error(None, "Nothing would change. Choose other options, or submit for scoring.")
        if not any(answers):
            self.add_error(None, "Choose at least one option.")
        return data

    def responses(self) -> tuple[Response, ...]:
        """Every answer there is, changed or not: the vendor takes an item's answers as a whole. Only after is_valid()."""
        return tuple(
            Response(item_ref=question.item_ref, question_ref=question.ref, option_indexes=tuple(sorted(answer)))
            for number, question in enumerate(self.questions)
            if (answer := self.cleaned_data[f"q{number}"])
        )
