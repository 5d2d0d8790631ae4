"""The form of an exam: its own fields with those of its vendor."""

from __future__ import annotations

import json
import zoneinfo
from collections.abc import Mapping
from typing import Any, ClassVar

from django import forms
from django.db.models import QuerySet
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html

from proctoring.admin.base import dress, zone_field
from proctoring.admin.parts import PartedForm
from proctoring.forms.exam import TIMES, ExamDetailsForm
from proctoring.models import Account
from proctoring.vendors import registry
from proctoring.vendors.formfields import MomentField

SHOWN = "shown_vendor"  # whose part the page held when it was sent
VENDOR_PART = "#vendor-form"


class AccountField(forms.ModelChoiceField):  # type: ignore[type-arg]
    """An account of the user's teams; choosing one brings the form of its vendor, and nothing else on the page moves."""

    def __init__(self, accounts: QuerySet[Account], **kwargs: Any) -> None:
        super().__init__(accounts, empty_label="Choose …", **kwargs)
        self.widget.attrs |= {
            "autocomplete": "off",  # a browser that puts its own choice back would not bring the form
            "data-vendors": json.dumps({account.pk: account.vendor for account in accounts}),
            "hx-get": reverse("admin:proctoring_exam_add"),
            "hx-select": VENDOR_PART,
            "hx-target": VENDOR_PART,
            "hx-swap": "outerHTML",
            "hx-sync": "this:replace",
        }

    def label_from_instance(self, obj: Account) -> str:
        return f"{obj.name} ({registry.facts(obj.vendor).title} · {obj.team})"


class ExamForm(PartedForm, ExamDetailsForm):
    """The exam's own fields with those of its vendor. A new exam is given `accounts` to choose from."""

    account: ClassVar[Account | None] = None
    accounts: ClassVar[QuerySet[Account] | None] = None
    refused: ClassVar[Mapping[str, str]] = {}  # what the vendor said when it refused the exam last, by field

    def __init__(self, data: Any = None, files: Any = None, **kwargs: Any) -> None:
        if data is not None and not self._holds_the_vendors_part(data):
            kwargs["initial"] = {name: data.get(name) for name in self._meta.fields or ()}
            data = files = None
        super().__init__(data, files, account=self.account, **kwargs)
        if self.accounts is not None:
            self.fields["account"] = dress(AccountField(self.accounts, initial=self.account))
        if self.instance._state.adding:
            self.initial["time_zone"] = kwargs.get("initial", {}).get("time_zone", "")
        self.add_parts()
        self._show_moments_on_the_exams_clock()
        zone_field(self.fields["time_zone"], empty="The team's time zone")
        for name in TIMES:
            self.fields[name].help_text = "On the clock of the exam's time zone."
            dress(self.fields[name])
        for name, words in self.refused.items():
            self._say_at(name, words)

    def _say_at(self, name: str, words: str) -> None:
        """Shows the vendor's words with the field, above what it always says."""
        if field := self.fields.get(name):
            said = '<strong class="refused">{} refused this when it was sent last: {}</strong> {}'
            field.help_text = format_html(said, self.vendor_title, words, field.help_text)

    def _holds_the_vendors_part(self, data: Any) -> bool:
        """False where the vendor's questions were not on the page: they are shown then, before anything is saved."""
        return self.accounts is None or self.account is None or data.get(SHOWN) == self.account.vendor

    @property
    def vendor(self) -> str:
        """Whose part is shown; "" before an account is chosen."""
        return self.instance.account.vendor if self.instance.account_id else ""

    @property
    def vendor_title(self) -> str:
        return registry.facts(self.vendor).title if self.vendor else ""

    def part_initial(self, name: str) -> dict[str, Any]:
        return dict(self.instance.settings)

    def _show_moments_on_the_exams_clock(self) -> None:
        if self.instance._state.adding:
            return
        with timezone.override(self.instance.time_zone):
            for name, field in self.fields.items():
                if isinstance(field, MomentField):
                    self.initial[name] = field.prepare_value(self.initial.get(name))

    def full_clean(self) -> None:
        """What is entered without an offset is on the exam's clock, wherever the one who enters it lives."""
        with timezone.override(self._zone()):
            super().full_clean()

    def _zone(self) -> str:
        team = self.instance.team.time_zone if self.instance.team_id else ""
        name = self.data.get("time_zone") or team
        return name if name in zoneinfo.available_timezones() else "UTC"  # a wrong one is an error of its own

    def clean(self) -> dict[str, Any]:
        data = super().clean()
        self.clean_parts()
        return data
