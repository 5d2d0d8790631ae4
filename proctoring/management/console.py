"""What the console's commands share: output as text or JSON, finding things by the words a person types, `k=v` settings."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

from django import forms
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.db.models import Model, Q, QuerySet

from proctoring.models import Account, Exam, Team, User
from proctoring.vendors.formfields import yes_no

M = TypeVar("M", bound=Model)


class ConsoleCommand(BaseCommand):
    """A command with `--format text|json`. Problems are sentences on standard error and exit code 1."""

    requires_migrations_checks = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--format", choices=["text", "json"], default="text", help="How to print the result.")

    def print_json(self, value: Any) -> None:
        self.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, default=str))

    def print_table(self, headers: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """A table with aligned columns."""
        lines = [list(headers), *[[str(cell) for cell in row] for row in rows]]
        widths = [max(len(line[column]) for line in lines) for column in range(len(headers))]
        for number, line in enumerate(lines):
            self.stdout.write("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
            if number == 0:
                self.stdout.write("  ".join("-" * width for width in widths))


def by_argument(parser: ArgumentParser) -> None:
    parser.add_argument("--by", metavar="USER", help="The user in whose name this is done; for the journal.")


def find_user(name: str | None) -> User | None:
    if not name:
        return None
    user = User.objects.filter(username=name).first()
    if user is None:
        raise CommandError(f"There is no user “{name}”.")
    return user


def find_team(name: str) -> Team:
    return _one(Team.objects.filter(name__iexact=name), f"team “{name}”", Team.objects.values_list("name", flat=True))


def find_account(name: str, team: str | None = None) -> Account:
    accounts = Account.objects.select_related("team")
    if team:
        accounts = accounts.filter(team=find_team(team))
    wanted = Q(name__iexact=name) | (Q(pk=int(name)) if name.isdecimal() else Q())
    account: Account = _one(accounts.filter(wanted), f"account “{name}”", accounts.values_list("name", flat=True))
    return account


def find_exam(name: str, team: str | None = None) -> Exam:
    """An exam by its id, its title or the vendor's reference."""
    exams = Exam.objects.select_related("account", "team")
    if team:
        exams = exams.filter(team=find_team(team))
    wanted = Q(title__iexact=name) | Q(ref=name)
    try:
        wanted |= Q(pk=UUID(name))
    except ValueError:
        pass
    exam: Exam = _one(exams.filter(wanted), f"exam “{name}”", exams.values_list("title", flat=True))
    return exam


def _one(found: QuerySet[M], what: str, known: Iterable[str]) -> M:
    rows = list(found[:2])
    if len(rows) == 1:
        return rows[0]
    if rows:
        raise CommandError(f"There is more than one {what}. Say which with --team, or by its id.")
    names = ", ".join(sorted(set(known))[:10])
    raise CommandError(f"There is no {what}. " + (f"Known are: {names}." if names else "There are none yet."))


def pairs(items: Sequence[str], *, option: str, is_secret: bool = False) -> dict[str, str]:
    """`["a=1", "b=2"]` as a mapping. Raises CommandError naming the option and, unless it is secret, the item."""
    result: dict[str, str] = {}
    for item in items:
        name, equals, value = item.partition("=")
        key = name.strip()
        if not equals or not key:
            raise CommandError(f"{option}{'' if is_secret else f' {item!r}'}: write it as key=value.")
        if key in result:
            raise CommandError(f"{option}{'' if is_secret else f' {key}'}: it is given twice.")
        result[key] = value
    return result


def read_input(path: str) -> tuple[bytes, str]:
    """The bytes of a file and its name; `-` is standard input."""
    if path == "-":
        return sys.stdin.buffer.read(), "standard input.csv"
    try:
        return Path(path).read_bytes(), Path(path).name
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}.") from None


def clean(
    form_class: type[forms.Form], data: Mapping[str, str], *, option: str = "--set", is_secret: bool = False
) -> dict[str, Any]:
    """What the form would store, with its initial values where nothing is given. Raises CommandError naming every field."""
    form = form_class()
    check_names(data, form.fields, option=option, is_secret=is_secret)
    initial = {name: field.initial for name, field in form.fields.items() if field.initial is not None}
    bound = form_class(data={**initial, **ticks(data, form.fields, option=option)})
    if not bound.is_valid():
        raise CommandError(errors_text(bound.errors.get_json_data(), option))
    return stored_settings(bound)


def check_names(names: Iterable[str], known: Iterable[str], *, option: str, is_secret: bool = False) -> None:
    """Raises CommandError for a name that is none of the known. A secret may be typed where a name belongs: no echo."""
    known = sorted(known)
    for name in names:
        if name not in known:
            shown = "" if is_secret else f" {name}"
            raise CommandError(f"{option}{shown}: there is no such field. Known are: {', '.join(known) or 'none'}.")


def ticks(data: Mapping[str, str], fields: Mapping[str, forms.Field], *, option: str) -> dict[str, Any]:
    """The data with the words for yes and no understood: to a plain checkbox every word is a tick. Raises CommandError."""
    result: dict[str, Any] = dict(data)
    for name, text in data.items():
        if isinstance(fields[name].widget, forms.CheckboxInput):
            result[name] = yes_no(text or "no")
            if result[name] is None:
                raise CommandError(f"{option} {name}: Enter yes or no.")
    return result


def stored_settings(form: forms.Form) -> dict[str, Any]:
    """What a bound, valid vendor's form stores: its own `settings()` where it has one, else its cleaned data."""
    own = getattr(form, "settings", None)
    return dict(own()) if callable(own) else dict(form.cleaned_data)


def errors_text(errors: Mapping[str, Sequence[Mapping[str, Any]]], option: str) -> str:
    lines = [f"{option} {name}: {item['message']}" for name, items in errors.items() for item in items]
    return "\n".join(line.replace(f"{option} __all__: ", "") for line in lines)


def validation_text(error: ValidationError, option: str = "") -> str:
    if not hasattr(error, "error_dict"):
        return " ".join(error.messages)
    return "\n".join(
        f"{option} {name}: {message}".replace("__all__: ", "").strip()
        for name, messages in error.message_dict.items()
        for message in messages
    )


def local(value: datetime | None) -> str:
    return value.isoformat(timespec="seconds") if value else ""
