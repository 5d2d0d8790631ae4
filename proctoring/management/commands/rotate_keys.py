"""Encrypts every stored secret anew with the newest key."""

from __future__ import annotations

from typing import Any

from cryptography.fernet import InvalidToken
from django.apps import apps
from django.db import models
from django.db.models.functions import Cast

from proctoring.management.console import ConsoleCommand
from proctoring.models.fields import EncryptedJSONField, EncryptedTextField, WrongKey, fernet

CHUNK = 500


class Command(ConsoleCommand):
    help = "Encrypts every encrypted column anew with the first of FIELD_ENCRYPTION_KEYS, so that older keys can go."

    def handle(self, *args: Any, **options: Any) -> None:
        done = {model._meta.label: _rotate(model, fields) for model, fields in _encrypted().items()}
        if options["format"] == "json":
            self.print_json(done)
        else:
            self.print_table(["table", "values"], list(done.items()))


def _encrypted() -> dict[type[models.Model], list[str]]:
    kinds = (EncryptedTextField, EncryptedJSONField)
    found = {
        model: [field.name for field in model._meta.concrete_fields if isinstance(field, kinds)]
        for model in apps.get_app_config("proctoring").get_models()
    }
    return {model: fields for model, fields in found.items() if fields}


def _rotate(model: type[models.Model], fields: list[str]) -> int:
    """How many values were written. One that changes meanwhile is left alone: it is written with the newest key anyway."""
    return sum(_rotate_field(model, name) for name in fields)


def _rotate_field(model: type[models.Model], name: str) -> int:
    stored_text = Cast(name, models.TextField())
    rows = model._base_manager.alias(stored=stored_text)
    filled = model._base_manager.annotate(stored=stored_text).exclude(stored=None).exclude(stored="")
    written = 0
    for pk, stored in filled.order_by("pk").values_list("pk", "stored").iterator(CHUNK):
        fresh = models.Value(_rotated(stored, f"{model._meta.label}.{name}"), output_field=models.TextField())
        written += rows.filter(pk=pk, stored=stored).update(**{name: fresh})
    return written


def _rotated(stored: str, column: str) -> str:
    try:
        return fernet().rotate(stored.encode()).decode()
    except InvalidToken:
        raise WrongKey(
            f"{column} was encrypted with a key that FIELD_ENCRYPTION_KEYS does not hold. Put that key behind the "
            "others, and run this again; what was written so far is good."
        ) from None
