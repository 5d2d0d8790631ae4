"""Fields that several forms use."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django import forms
from django.core.exceptions import ValidationError


class UuidListField(forms.Field):
    """The ticked rows of a list, by id, each once. Whether the rows exist is for who looks them up."""

    widget = forms.MultipleHiddenInput
    hidden_widget = forms.MultipleHiddenInput

    def clean(self, value: Any) -> list[UUID]:
        try:
            found = uuids(value or [])
        except ValueError:
            raise ValidationError("A tick could not be read. Load the page again.") from None
        if self.required and not found:
            raise ValidationError("Tick the rows first.")
        return found


def uuids(texts: Iterable[str]) -> list[UUID]:
    """Raises ValueError where one is no UUID."""
    return list(dict.fromkeys(UUID(str(text)) for text in texts))
