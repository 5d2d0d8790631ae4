"""What several vendors' forms are made of: a form in sections, and the fields that Django does not have.

Every field also takes its value as one text, as it comes from the command line: lists and mappings as JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar
from urllib.parse import urlsplit

from django import forms
from django.core.exceptions import ValidationError
from django.forms.renderers import BaseRenderer
from django.forms.utils import from_current_timezone
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.html import format_html
from django.utils.safestring import SafeString

from proctoring.vendors.base import Objection
from proctoring.vendors.cleaning import clean

MAX_ROWS = 100
BLANK_ROWS = 2
MAX_TEXT = 10_000  # characters of a text for which the vendor names no limit
MAX_LIST = 200_000  # characters of a list written as one text
MAX_CREDENTIAL = 10_000
YES_NO_WORDS = {"true": True, "on": True, "yes": True, "1": True, "false": False, "off": False, "no": False, "0": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of a rows field. `choices` make a select, `is_tick` a checkbox."""

    name: str
    label: str
    choices: Sequence[tuple[str, str]] = ()
    is_tick: bool = False
    max_length: int = 500
    is_required: bool = False


class RowsWidget(forms.Widget):
    """A small table of inputs with blank rows at its end; works without JavaScript."""

    template_name = "proctoring/widgets/rows.html"

    def __init__(self, columns: Sequence[Column], attrs: dict[str, Any] | None = None) -> None:
        super().__init__(attrs)
        self.columns = columns

    def get_context(self, name: str, value: Any, attrs: dict[str, Any] | None) -> dict[str, Any]:
        context = super().get_context(name, value, attrs)
        rows = list(value) if isinstance(value, list) else []
        rows = [row if isinstance(row, Mapping) else {} for row in rows] + [{}] * BLANK_ROWS
        context["columns"] = self.columns
        context["rows"] = [self._cells(name, number, row) for number, row in enumerate(rows)]
        return context

    def _cells(self, name: str, number: int, row: Mapping[str, Any]) -> list[dict[str, Any]]:
        return [
            {"column": column, "name": f"{name}-{number}-{column.name}", "value": row.get(column.name, "")}
            for column in self.columns
        ]

    def value_from_datadict(self, data: Mapping[str, Any], files: Any, name: str) -> Any:
        if name in data:  # given whole, as JSON: the command line and tests
            return data[name]
        return [
            {column.name: self._cell(data, f"{name}-{number}-{column.name}", column) for column in self.columns}
            for number in range(MAX_ROWS)
            if any(f"{name}-{number}-{column.name}" in data for column in self.columns)
        ]

    @staticmethod
    def _cell(data: Mapping[str, Any], key: str, column: Column) -> Any:
        return key in data if column.is_tick else data.get(key, "")

    def value_omitted_from_data(self, data: Mapping[str, Any], files: Any, name: str) -> bool:
        return name not in data and not any(key.startswith(f"{name}-") for key in data)


class RowsField(forms.Field):
    """A list of mappings with the given columns; rows without any text are left out. Also takes the list as JSON text."""

    def __init__(self, *, columns: Sequence[Column], **kwargs: Any) -> None:
        super().__init__(widget=RowsWidget(columns), **kwargs)
        self.columns = columns

    def to_python(self, value: Any) -> list[dict[str, Any]]:
        if isinstance(value, str):
            value = _from_json(value)
        if not isinstance(value, list) or not all(isinstance(row, Mapping) for row in value):
            raise ValidationError("Enter a list of rows.")
        for number, row in enumerate(value, start=1):
            self._check_columns(number, row)
        rows = [self._row(number, row) for number, row in enumerate(value, start=1) if not self._is_blank(row)]
        if len(rows) > MAX_ROWS:
            raise ValidationError(f"Enter at most {MAX_ROWS} rows.")
        return rows

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return bool((initial or []) != self.to_python(data or []))
        except ValidationError:
            return True

    def _is_blank(self, row: Mapping[str, Any]) -> bool:
        return not any(_cell_text(row.get(c.name)) for c in self.columns if not c.is_tick and not c.choices)

    def _check_columns(self, number: int, row: Mapping[str, Any]) -> None:
        if unknown := sorted(set(row) - {column.name for column in self.columns}):
            raise ValidationError(f"Row {number}: there is no column “{unknown[0]}”.")

    def _row(self, number: int, row: Mapping[str, Any]) -> dict[str, Any]:
        return {column.name: _cell_value(column, number, row.get(column.name, "")) for column in self.columns}


def _cell_value(column: Column, number: int, value: Any) -> Any:
    if isinstance(value, list | dict):
        raise ValidationError(f"Row {number}, {column.label}: enter a text, not a list.")
    if column.is_tick:
        return value in (True, "on", "true", "True", "1", 1, "yes")
    text = _cell_text(value)
    if column.choices and text not in dict(column.choices):
        raise ValidationError(f"Row {number}, {column.label}: choose one of {', '.join(dict(column.choices))}.")
    if column.is_required and not text:
        raise ValidationError(f"Row {number}, {column.label}: enter a value.")
    if len(text) > column.max_length:
        raise ValidationError(f"Row {number}, {column.label}: at most {column.max_length} characters.")
    return text


def _cell_text(value: Any) -> str:
    return "" if value is None else str(value).strip()


def _from_json(text: str) -> Any:
    _refuse_long(text)
    try:
        value = json.loads(text, parse_constant=_refuse) if text.strip() else []
        is_fit = clean(value) == value
    except (ValueError, RecursionError):
        raise ValidationError("This is not JSON.") from None
    if not is_fit:
        raise ValidationError("This holds characters that cannot be stored. Take out what is not text.")
    return value


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _refuse_long(text: str) -> None:
    if len(text) > MAX_LIST:
        raise ValidationError(f"Enter at most {MAX_LIST:,} characters.")


class PairsField(RowsField):
    """Free key and value pairs, cleaned to a mapping. Also takes a JSON object as text."""

    def __init__(self, **kwargs: Any) -> None:
        columns = (
            Column(name="key", label="Key", is_required=True),
            Column(name="value", label="Value", max_length=5000),
        )
        super().__init__(columns=columns, **kwargs)

    def prepare_value(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            return [{"key": key, "value": item} for key, item in value.items()]
        return value

    def to_python(self, value: Any) -> Any:
        if isinstance(value, str):
            value = _from_json(value)
        if isinstance(value, Mapping):
            value = self.prepare_value(value)
        rows = super().to_python(value)
        keys = [row["key"] for row in rows]
        if doubled := next((key for key in keys if keys.count(key) > 1), None):
            raise ValidationError(f"The key “{doubled}” is there twice.")
        return {row["key"]: row["value"] for row in rows}


class VendorForm(forms.Form):
    """One vendor's form: `settings()` is what is stored of it, `initial_from` turns what is stored into initial values.

    SECTIONS names every visible field once, in the order of the page; SIDE_BY_SIDE the pairs that belong on one line.
    OWN_NAMES are the vendor's names of what the exam (beside an ExamForm) or the candidate (beside a DeliveryForm) has itself.
    """

    SECTIONS: ClassVar[list[tuple[str, list[str]]]] = []
    SIDE_BY_SIDE: ClassVar[list[tuple[str, str]]] = []
    OWN_NAMES: ClassVar[Mapping[str, str]] = {}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, field in self.fields.items():
            if isinstance(field.widget, SecretInput):
                field.widget.has_saved_value = bool(self.get_initial_for_field(field, name))

    @classmethod
    def initial_from(cls, settings: Mapping[str, Any]) -> dict[str, Any]:
        return dict(settings)

    def settings(self) -> dict[str, Any]:
        return dict(self.cleaned_data)

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        data.update({name: self.initial[name] for name in self._kept_secrets()})
        return data

    def add_objections(self, objections: Iterable[Objection]) -> None:
        """Shows what the adapter objects to at the fields at fault; what is about no field here is not shown."""
        faulty = set(self.errors)
        for objection in objections:
            name = self.field_for(objection.field)
            if name in self.fields and name not in faulty:
                self.add_error(name, objection.message)

    def field_for(self, name: str) -> str:
        """The field of this form that holds what the adapter, or the vendor, calls `name`."""
        return name

    @classmethod
    def own_names(cls, exam_settings: Mapping[str, Any]) -> Mapping[str, str]:
        """OWN_NAMES, with those that an exam's settings add."""
        return cls.OWN_NAMES

    def _kept_secrets(self) -> list[str]:
        return [
            name
            for name, field in self.fields.items()
            if isinstance(field.widget, SecretInput)
            and self.cleaned_data.get(name) == ""
            and self.initial.get(name)
            and not field.widget.is_removed(self.data, self.add_prefix(name))
        ]


class SecretInput(forms.PasswordInput):
    """Never shows the saved value: left empty it stays, and a tick removes it."""

    has_saved_value = False

    def __init__(self, attrs: dict[str, Any] | None = None) -> None:
        super().__init__({"autocomplete": "off", **(attrs or {})}, render_value=False)

    def render(
        self, name: str, value: Any, attrs: dict[str, Any] | None = None, renderer: BaseRenderer | None = None
    ) -> SafeString:
        if not self.has_saved_value:
            return super().render(name, value, attrs, renderer)
        attrs = {"placeholder": "saved; empty keeps it", **(attrs or {})}
        tick = '{} <label><input type="checkbox" name="{}"> Remove the saved one</label>'
        return format_html(tick, super().render(name, value, attrs, renderer), self.removal_name(name))

    def is_removed(self, data: Mapping[str, Any], name: str) -> bool:
        return yes_no(data.get(self.removal_name(name))) is True

    @staticmethod
    def removal_name(name: str) -> str:
        return f"{name}-remove"


class SecretField(forms.CharField):
    """A text that is not echoed; in a VendorForm, empty keeps the saved one. Spaces at its ends may be part of it."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(widget=SecretInput, required=False, **{"strip": False, "max_length": MAX_TEXT, **kwargs})


class CredentialField(forms.CharField):
    """A required credential that is not echoed. `is_header` where it is sent in a header as it is."""

    def __init__(self, *, is_header: bool = False, **kwargs: Any) -> None:
        widget = forms.PasswordInput(attrs={"autocomplete": "off"})
        validators = [validate_header_text] if is_header else []
        super().__init__(widget=widget, max_length=MAX_CREDENTIAL, validators=validators, **kwargs)


def validate_header_text(value: str) -> None:
    if not (value.isascii() and value.isprintable()):
        raise ValidationError("This holds characters that cannot be sent. Copy it again, without line breaks.")


def validate_web_address(value: str) -> None:
    try:
        parts = urlsplit(value)
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        is_address = False
    if not is_address or any(character.isspace() for character in value):
        raise ValidationError("Enter a web address that begins with https:// (or http://).")


class Tick(forms.CheckboxInput):
    """A checkbox that passes words on as they are, for its field to judge: Django's takes any unknown word for yes."""

    def value_from_datadict(self, data: Mapping[str, Any], files: Any, name: str) -> Any:
        return data.get(name, False)


class TickField(forms.BooleanField):
    """Yes or no, also as a word."""

    widget = Tick

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"required": False, **kwargs})

    def prepare_value(self, value: Any) -> Any:
        return bool(yes_no(value))

    def to_python(self, value: Any) -> bool:
        known = yes_no(value)
        if known is None and value not in (None, ""):
            raise ValidationError("Enter yes or no.")
        return bool(known)

    def has_changed(self, initial: Any, data: Any) -> bool:
        return bool(yes_no(initial)) != bool(yes_no(data))


class ThreeWayField(forms.Field):
    """True, False, or None for `unset`: a select, or a word."""

    def __init__(self, *, unset: str, yes: str = "Yes", no: str = "No", **kwargs: Any) -> None:
        widget = forms.Select(choices=[("", unset), ("true", yes), ("false", no)])
        super().__init__(widget=widget, required=False, **kwargs)

    def prepare_value(self, value: Any) -> Any:
        known = yes_no(value)
        return value if known is None else str(known).lower()

    def to_python(self, value: Any) -> bool | None:
        known = yes_no(value)
        if known is None and value not in (None, ""):
            raise ValidationError("Enter yes or no, or leave it empty.")
        return known


def yes_no(value: Any) -> bool | None:
    """True or False for a boolean or one of the words for it; None for everything else."""
    return value if isinstance(value, bool) else YES_NO_WORDS.get(str(value).strip().lower())


class LongTextField(forms.CharField):
    """A text of several lines, its line breaks as they were before a browser doubled them."""

    def __init__(self, *, rows: int = 3, **kwargs: Any) -> None:
        widget = forms.Textarea(attrs={"rows": rows})
        super().__init__(widget=widget, **{"required": False, "max_length": MAX_TEXT, **kwargs})

    def to_python(self, value: Any) -> str:
        return (super().to_python(value) or "").replace("\r\n", "\n")


class WordsField(forms.Field):
    """A list of texts: one a line, separated by commas, or as JSON. Each is kept once."""

    def __init__(self, *, word_length: int = 500, rows: int = 3, **kwargs: Any) -> None:
        super().__init__(widget=forms.Textarea(attrs={"rows": rows}), **{"required": False, **kwargs})
        self.word_length = word_length

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(map(str, value)) if isinstance(value, list | tuple) else value

    def to_python(self, value: Any) -> list[str]:
        if isinstance(value, str):
            _refuse_long(value)
        if isinstance(value, str) and value.strip().startswith("["):
            value = _from_json(value)
        words = list(value) if isinstance(value, list | tuple) else _split(value)
        if not all(isinstance(word, str | int) and not isinstance(word, bool) for word in words):
            raise ValidationError("Enter texts, one a line.")
        texts = list(dict.fromkeys(filter(None, (str(word).strip() for word in words))))
        if long := next((text for text in texts if len(text) > self.word_length), None):
            raise ValidationError(f"“{long[:20]}…” has more than {self.word_length} characters.")
        return texts

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return list(initial or []) != self.to_python(data)
        except ValidationError:
            return True


class NamedChoicesField(forms.MultipleChoiceField):
    """Several of the choices, by key or by name: a list, keys separated by commas, or JSON (a mapping of key to yes or no)."""

    def __init__(self, *, choices: Sequence[tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(choices=choices, **kwargs)
        self.keys_by_name = {name.casefold(): key for key, name in choices}

    def prepare_value(self, value: Any) -> Any:
        return [key for key, is_on in value.items() if is_on is True] if isinstance(value, Mapping) else value

    def to_python(self, value: Any) -> list[str]:
        return list(dict.fromkeys(self._key(word) for word in self._words(value)))

    def _words(self, value: Any) -> list[Any]:
        if isinstance(value, str):
            return self._words_of_text(value)
        if isinstance(value, Mapping):
            return _ticked(value)
        if isinstance(value, list | tuple) and len(value) == 1 and not self._is_known(value[0]):
            return self._words(value[0])  # a page sends a list, even of the one JSON text
        if isinstance(value, list | tuple):
            return list(value)
        return [] if value is None else [value]

    def _words_of_text(self, text: str) -> list[Any]:
        if text.strip().startswith(("[", "{")):
            return self._words(_from_json(text))
        return [text] if self._is_known(text) else _split(text)

    def _is_known(self, word: Any) -> bool:
        return isinstance(word, str) and (self.valid_value(word) or self._key(word) != word)

    def _key(self, word: Any) -> str:
        text = str(word).strip()
        return self.keys_by_name.get(text.casefold(), text)


def _ticked(value: Mapping[str, Any]) -> list[Any]:
    if unclear := next((key for key, is_on in value.items() if yes_no(is_on) is None), None):
        raise ValidationError(f"{unclear} must be yes or no.")
    return [key for key, is_on in value.items() if yes_no(is_on)]


def _split(text: Any) -> list[str]:
    return [part.strip() for part in re.split(r"[,\n]", str(text or "")) if part.strip()]


class MomentField(forms.CharField):
    """A date and time, cleaned to ISO 8601 text in UTC; without an offset it is in Django's current time zone."""

    def __init__(self, **kwargs: Any) -> None:
        widget = forms.DateTimeInput(attrs={"type": "datetime-local"})
        super().__init__(widget=widget, **{"required": False, **kwargs})

    def prepare_value(self, value: Any) -> Any:
        try:
            moment = read_moment(value) if value else None
        except ValidationError:
            return value
        if moment is None:
            return value
        shown = timezone.localtime(moment)
        return shown.strftime("%Y-%m-%dT%H:%M:%S" if shown.second else "%Y-%m-%dT%H:%M")

    def clean(self, value: Any) -> str | None:
        text = super().clean(value)
        return moment_text(read_moment(text)) if text else None


def read_moment(value: Any) -> datetime:
    """The moment that a text (or datetime) names, in UTC. Raises ValidationError, also where clocks skip or repeat it."""
    try:
        moment = value if isinstance(value, datetime) else parse_datetime(str(value).strip().replace(" ", "T", 1))
        if moment is not None:
            aware: datetime = moment if moment.tzinfo else from_current_timezone(moment)
            return aware.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    except ValidationError:
        zone = timezone.get_current_timezone_name()
        raise ValidationError(
            f"The clocks in {zone} skip or repeat this time (daylight saving). Choose another."
        ) from None
    raise ValidationError("Enter a date and time, such as 2026-12-01T09:00 or 2026-12-01T09:00+01:00.")


def moment_text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
