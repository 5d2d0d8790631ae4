"""Times with their zone, and links that are safe to show."""

from __future__ import annotations

import zoneinfo
from datetime import datetime
from urllib.parse import urlsplit

from django import template
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString

from proctoring.models import Exam

register = template.Library()


@register.filter
def moment(value: datetime | None) -> str:
    """A time in the viewer's zone with the zone's name; "" where there is none."""
    if value is None:
        return ""
    local = timezone.localtime(value)
    text = f"{date_format(local, 'j M Y, H:i')} {zone_letters(local)}"
    return _time(value, text)


@register.filter
def clock(value: datetime | None) -> str:
    """The same to the second, for what happened lately."""
    if value is None:
        return ""
    local = timezone.localtime(value)
    return _time(value, f"{date_format(local, 'j M Y, H:i:s')} {zone_letters(local)}")


def _time(value: datetime, text: str) -> SafeString:
    zone = timezone.get_current_timezone_name()
    return format_html('<time datetime="{}" title="{}">{}</time>', value.isoformat(timespec="seconds"), zone, text)


def zone_letters(local: datetime) -> str:
    """CEST where the zone has letters, else UTC+05:30."""
    name = local.tzname() or ""
    if name.isalpha():
        return name
    offset = local.strftime("%z")
    return f"UTC{offset[:3]}:{offset[3:5]}"


@register.simple_tag
def zone_name() -> str:
    return timezone.get_current_timezone_name()


@register.filter
def window(exam: Exam) -> str:
    """The exam's window in the viewer's zone."""
    return _window(exam, timezone.get_current_timezone())


@register.filter
def window_there(exam: Exam) -> str:
    """The exam's window in its own zone; "" where that shows the viewer the same clock."""
    here, there = timezone.get_current_timezone(), zoneinfo.ZoneInfo(exam.time_zone)
    ends = [end for end in (exam.starts_at, exam.ends_at) if end]
    if all(end.astimezone(here).utcoffset() == end.astimezone(there).utcoffset() for end in ends):
        return ""
    return f"{_window(exam, there)} in {exam.time_zone}"


def _window(exam: Exam, zone: object) -> str:
    starts, ends = (timezone.localtime(end, zone) if end else None for end in (exam.starts_at, exam.ends_at))  # type: ignore[arg-type]
    if starts and ends:
        is_same_day, is_same_zone = starts.date() == ends.date(), starts.utcoffset() == ends.utcoffset()
        first = _day_and_time(starts) + ("" if is_same_zone else f" {zone_letters(starts)}")
        last = date_format(ends, "H:i") if is_same_day else _day_and_time(ends)
        return f"{first} – {last} {zone_letters(ends)}"
    if starts:
        return f"from {_day_and_time(starts)} {zone_letters(starts)}"
    return f"until {_day_and_time(ends)} {zone_letters(ends)}" if ends else "No window"


def _day_and_time(local: datetime) -> str:
    return date_format(local, "j M Y, H:i")


@register.filter
def web_link(url: str) -> str:
    """The link if a browser may follow it: a vendor's words are never run as a script."""
    return url if urlsplit(url).scheme in {"http", "https"} else ""


@register.filter
def percent_of(part: int, whole: int) -> str:
    """For a style: with a point whatever the language, and so fine that parts of a whole leave no gap."""
    return f"{100 * part / whole if whole else 0:.2f}"
