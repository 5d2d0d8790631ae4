"""A model's form with other forms inside it: what a vendor asks beside what the model has."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any, ClassVar

from django import forms
from django.core.exceptions import ValidationError

from proctoring.admin.base import dress
from proctoring.vendors import registry
from proctoring.vendors.formfields import VendorForm


class PartedForm:
    """Mixed into a ModelForm: every field of its parts appears in it as `<part>-<field>`, and each part cleans its own.

    `part_forms` names the parts, `part_initial(name)` is what is stored of one, `skips_part(name)` whether it is left alone.
    """

    part_forms: ClassVar[Mapping[str, type[VendorForm]]] = {}
    data: Any
    is_bound: bool
    fields: dict[str, forms.Field]
    initial: MutableMapping[str, Any]

    def add_parts(self) -> None:
        self.parts = {name: self._part(name, form) for name, form in self.part_forms.items()}
        for name, part in self.parts.items():
            for key, field in part.fields.items():
                self.fields[f"{name}-{key}"] = dress(copy.deepcopy(field))
                self.initial[f"{name}-{key}"] = part.get_initial_for_field(field, key)

    def _part(self, name: str, form: type[VendorForm]) -> VendorForm:
        data = self.part_data(name, form) if self.is_bound else None
        stored = self.part_initial(name)
        return form(data, prefix=name, initial=form.initial_from(stored) if stored else {})

    def part_data(self, name: str, form: type[VendorForm]) -> Any:
        return self.data

    def part_initial(self, name: str) -> dict[str, Any]:
        return {}

    def skips_part(self, name: str) -> bool:
        """Whether a part is left as it is, so that it is not cleaned."""
        return False

    def clean_parts(self) -> None:
        for name, part in self.parts.items():
            if not self.skips_part(name) and not part.is_valid():
                for key, errors in part.errors.as_data().items():
                    self._add_part_errors(f"{name}-{key}" if key in part.fields else None, errors)

    def _add_part_errors(self, field: str | None, errors: list[ValidationError]) -> None:
        form: Any = self
        if field is not None and self.fields[field].widget.is_hidden:
            field = None
        # The field was cleaned here as well, and has said the same already.
        if field is None or not form.has_error(field):
            form.add_error(field, errors)

    def part_settings(self, name: str) -> dict[str, Any]:
        """What is stored of a part. Only after it was cleaned."""
        return self.parts[name].settings()


def part_fields(form: type[forms.Form], name: str) -> Iterator[str]:
    """The names under which the fields of a part appear."""
    return (f"{name}-{key}" for key in form.base_fields)


def part_sections(form: type[VendorForm], name: str, *, title: str) -> list[tuple[str, dict[str, Any]]]:
    """A part's sections as the admin's fieldsets, its pairs on one line each."""
    return [
        (f"{title}: {section}", {"fields": _lines(keys, dict(form.SIDE_BY_SIDE), name)})
        for section, keys in form.SECTIONS
    ]


def _lines(keys: list[str], pairs: Mapping[str, str], name: str) -> list[Any]:
    seconds = set(pairs.values())
    lines = [(key, pairs[key]) if pairs.get(key) in keys else key for key in keys if key not in seconds]
    return [tuple(f"{name}-{key}" for key in line) if isinstance(line, tuple) else f"{name}-{line}" for line in lines]


# --- showing what is stored -------------------------------------------------------------------------------------------

MASK = "•••"
LINKS = frozenset({"take_url", "proctor_url"})


def masked(value: Any, vendor: str) -> Any:
    """A stored value with the links, and the passwords and PINs of the vendor's forms and messages, hidden."""
    return _masked(value, LINKS | (_secret_names(vendor) if vendor else frozenset()))


def _secret_names(vendor: str) -> frozenset[str]:
    module = registry.forms(vendor)
    fields = [*module.ExamForm.base_fields.items(), *module.DeliveryForm.base_fields.items()]
    ours = {name for name, field in fields if isinstance(field.widget, forms.PasswordInput)}
    return frozenset(name.casefold() for name in ours | registry.adapter_class(vendor).SECRET_FIELDS)


def _masked(value: Any, names: frozenset[str]) -> Any:
    if isinstance(value, Mapping):
        return {
            key: MASK if str(key).casefold() in names and item else _masked(item, names) for key, item in value.items()
        }
    return [_masked(item, names) for item in value] if isinstance(value, list) else value
