"""The form of an exam: its own fields with those of its vendor."""

from __future__ import annotations

from typing import Any, ClassVar

from proctoring.admin.base import dress, zone_field
from proctoring.admin.parts import PartedForm
from proctoring.forms.exam import ExamDetailsForm
from proctoring.models import Account


class ExamForm(PartedForm, ExamDetailsForm):
    """The exam's own fields with those of its vendor."""

    account: ClassVar[Account | None] = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, account=self.account, **kwargs)
        self.add_parts()
        zone_field(self.fields["time_zone"], empty="The team's time zone")
        for name in ("starts_at", "ends_at"):
            self.fields[name].help_text = "On the clock of the exam's time zone."
            dress(self.fields[name])

    def part_initial(self, name: str) -> dict[str, Any]:
        return dict(self.instance.settings)

    def clean(self) -> dict[str, Any]:
        data = super().clean()
        self.clean_parts()
        return data
