"""An exam's own fields, the same at every vendor."""

from __future__ import annotations

import zoneinfo
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django import forms
from django.core.exceptions import ValidationError
from django.core.validators import MaxLengthValidator
from django.utils.dateparse import parse_datetime

from proctoring.models import Account, Exam
from proctoring.models.team import validate_time_zone
from proctoring.vendors.registry import exam_ref_fault

TIMES = ("starts_at", "ends_at")
MAX_INSTRUCTIONS = (
    10_000  # they go into every candidate's mail, and each time they are saved are looked through for codes
)
LONGEST_TIME = 50
YEARS = range(2000, 2101)  # a slip of the finger, such as 0226, is no plan


class WallClockField(forms.CharField):
    """A date and time as written, with or without an offset; the form places it in the exam's time zone."""

    widget = forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M")

    def clean(self, value: Any) -> datetime | None:
        if isinstance(value, datetime):
            return value
        text = super().clean(value).strip()
        if not text:
            return None
        try:
            moment = parse_datetime(text.replace(" ", "T", 1)) if len(text) <= LONGEST_TIME else None
        except ValueError:
            moment = None
        if moment is None:
            raise ValidationError("Enter a date and time, such as 2026-12-01 09:00.")
        if moment.year not in YEARS:
            raise ValidationError(f"Enter a year from {YEARS[0]} to {YEARS[-1]}.")
        return moment


if TYPE_CHECKING:
    _ExamForm = forms.ModelForm[Exam]
else:
    _ExamForm = forms.ModelForm


class ExamDetailsForm(_ExamForm):
    """Title, window and words of an exam. The window is entered in the exam's own time zone."""

    starts_at = WallClockField(label="Window opens", required=False)
    ends_at = WallClockField(label="Window closes", required=False)
    time_zone = forms.CharField(
        required=False, max_length=64, validators=[validate_time_zone], help_text="Such as Europe/Oslo."
    )

    class Meta:
        model = Exam
        fields = ["title", "ref", "time_zone", "starts_at", "ends_at", "duration_minutes", "instructions"]

    def __init__(self, *args: Any, account: Account | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["instructions"].validators.append(MaxLengthValidator(MAX_INSTRUCTIONS))
        if account is not None:
            self.instance.account = account
            self.instance.team = account.team
        self._saved: dict[str, Any] = {}
        if not self.instance._state.adding:
            self._saved = {name: getattr(self.instance, name) for name in (*TIMES, "time_zone")}
            zone = zoneinfo.ZoneInfo(self.instance.time_zone)
            for name in TIMES:
                moment = getattr(self.instance, name)
                self.initial[name] = moment.astimezone(zone).strftime("%Y-%m-%dT%H:%M") if moment else ""

    def clean_ref(self) -> str:
        """Refuses what cannot be the vendor's; what was saved before stays until it is changed."""
        ref: str = self.cleaned_data["ref"]
        is_changed = self.instance._state.adding or ref != self.instance.ref
        if is_changed and self.instance.account_id and (fault := exam_ref_fault(self.instance.account.vendor, ref)):
            raise ValidationError(fault)
        return ref

    def clean_time_zone(self) -> str:
        return self.cleaned_data["time_zone"] or self.instance.team.time_zone

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        zone = zoneinfo.ZoneInfo(data["time_zone"]) if "time_zone" in data else None
        for name in TIMES:
            if isinstance(data.get(name), datetime):
                self._place(name, data, zone)
        return data

    def _place(self, name: str, data: dict[str, Any], zone: zoneinfo.ZoneInfo | None) -> None:
        if zone is None:  # the zone's own error is shown; without it the time means nothing
            del data[name]
            return
        if (kept := self._unchanged(name, data[name], zone)) is not None:
            data[name] = kept
            return
        try:
            data[name] = in_zone(data[name], zone)
        except ValidationError as error:
            self.add_error(name, error)

    def _unchanged(self, name: str, moment: datetime, zone: zoneinfo.ZoneInfo) -> datetime | None:
        """The moment as saved where its wall clock stayed: what is shown knows no seconds, and no offset at a fold."""
        saved: datetime | None = self._saved.get(name)
        shown = saved.astimezone(zone).replace(tzinfo=None, second=0, microsecond=0) if saved else None
        return saved if zone.key == self._saved.get("time_zone") and shown == moment else None


def in_zone(moment: datetime, zone: zoneinfo.ZoneInfo) -> datetime:
    """The moment that a wall clock in `zone` shows. Raises ValidationError for a time that never or twice happens there."""
    if moment.tzinfo is not None:
        return moment
    early, late = moment.replace(tzinfo=zone, fold=0), moment.replace(tzinfo=zone, fold=1)
    if early.utcoffset() == late.utcoffset():
        return early
    if early.astimezone(zoneinfo.ZoneInfo("UTC")).astimezone(zone).replace(tzinfo=None) != moment:
        raise ValidationError(
            f"The clocks in {zone.key} skip {moment:%H:%M} on {moment:%d %B %Y} (daylight saving). Choose another time."
        )
    raise ValidationError(
        f"{moment:%H:%M} on {moment:%d %B %Y} happens twice in {zone.key} (daylight saving). "
        f"Write it with its offset, such as {early.isoformat(timespec='minutes')}."
    )
