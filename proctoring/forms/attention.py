"""What a next step needs from a person: a reason, and for a delivery found at the vendor its ids and links."""

from __future__ import annotations

from typing import Any

from django import forms

from proctoring.attention import LABELS, Step, choices_of
from proctoring.forms.fields import UuidListField
from proctoring.models import Account, Action
from proctoring.vendors import registry
from proctoring.vendors.base import Created

MANY = (Step.LOOK_UP, Step.SEND_AGAIN, Step.RETRY, Step.CANCEL)  # what needs no details of each


class FoundForm(forms.Form):
    """What can be copied from any vendor for a delivery that was created there."""

    ref = forms.CharField(label="The vendor's id of the delivery", max_length=500)
    person_ref = forms.CharField(label="The vendor's id of the candidate", required=False, max_length=500)
    take_url = forms.URLField(label="Take link", required=False, max_length=2000, assume_scheme="https")
    proctor_url = forms.URLField(label="Proctor link", required=False, max_length=2000, assume_scheme="https")


def found_form(account: Account) -> type[forms.Form]:
    """The vendor's own form, or the plain one where it has none."""
    form: type[forms.Form] = getattr(registry.forms(account.vendor), "FoundForm", FoundForm)
    return form


class ReasonForm(forms.Form):
    reason = forms.CharField(
        label="Reason",
        max_length=500,
        help_text="Kept in the journal for whoever asks later.",
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )


class PickForm(ReasonForm):
    choice = forms.TypedChoiceField(label="Which of these it is", coerce=int, widget=forms.RadioSelect)

    def __init__(self, *args: Any, action: Action, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choices = [(str(number), _words(choice)) for number, choice in enumerate(choices_of(action))]
        self.fields["choice"].choices = choices  # type: ignore[attr-defined]
        self.order_fields(["choice", "reason"])


def _words(choice: Created) -> str:
    parts = [f"delivery {choice.ref}"]
    if choice.person_ref:
        parts.append(f"candidate {choice.person_ref}")
    if choice.note:
        parts.append(choice.note)
    return ", ".join(parts)


class ManyForm(forms.Form):
    """One step and one reason for the rows that are ticked."""

    step = forms.ChoiceField(label="Step", choices=[(step.value, LABELS[step]) for step in MANY])
    reason = forms.CharField(label="Reason", max_length=500, required=False)
    actions = UuidListField(label="Rows")

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if data.get("step") != Step.LOOK_UP and not data.get("reason", "").strip():
            self.add_error("reason", "Say why; it is kept in the journal.")
        return data
