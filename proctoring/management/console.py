"""What the console's commands share: output as text or JSON, finding things by the words a person types, `k=v` settings."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

from django import forms
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.core.management.base import BaseCommand, CommandError, OutputWrapper
from django.db import (
    DatabaseError,
    DataError,
    IntegrityError,
    InterfaceError,
    NotSupportedError,
    connection,
)
from django.db.migrations.executor import MigrationExecutor
from django.db.models import Model, Q, QuerySet

from proctoring import policy
from proctoring.models import Account, ActionState, Exam, Team, User
from proctoring.policy import Right
from proctoring.vendors.formfields import yes_no

M = TypeVar("M", bound=Model)

WRONG_USAGE, INTERRUPTED = 2, 130
EXIT_CODES = (
    "Exit codes: 0 all of it was done (without --wait: asked for); 1 some or all was not, and standard error says why; "
    "2 the command line is wrong; 130 stopped by Ctrl-C."
)
MOST_SECONDS, MOST_PORT = 7 * 24 * 3600, 65535


class ConsoleCommand(BaseCommand):
    """A command with `--format text|json`. Problems are sentences on standard error, and the exit code tells."""

    requires_migrations_checks = False
    _has_printed_json = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.epilog = parser.epilog or EXIT_CODES
        parser.add_argument("--format", choices=["text", "json"], default="text", help="How to print the result.")

    def run_from_argv(self, argv: list[str]) -> None:
        try:
            super().run_from_argv(argv)
        except SystemExit as end:
            if end.code == WRONG_USAGE and any(word in ("json", "--format=json") for word in argv):
                self.print_json({"error": "This command line is not understood. Standard error says why."})
            raise

    def execute(self, *args: Any, **options: Any) -> str | None:
        """What can go wrong for any command ends in a sentence; with `--format json` standard output is JSON even then."""
        try:
            _check_encoding(options)
            return super().execute(*args, **options)
        except KeyboardInterrupt:
            stopped = CommandError("Stopped. A worker goes on with what was asked for already.", returncode=INTERRUPTED)
            raise self._told(stopped, options) from None
        except (IntegrityError, DataError, NotSupportedError):
            raise  # a fault of ours
        except (DatabaseError, InterfaceError) as error:
            raise self._told(CommandError(_database_sentence(error)), options) from None
        except (CommandError, ImproperlyConfigured) as error:
            told = error if isinstance(error, CommandError) else CommandError(str(error))
            raise self._told(told, options) from None

    def _told(self, error: CommandError, options: Mapping[str, Any]) -> CommandError:
        if options.get("format") == "json" and not self._has_printed_json:
            self.stdout = OutputWrapper(options["stdout"]) if options.get("stdout") else self.stdout
            self.print_json({"error": str(error)})
        return error

    def print_json(self, value: Any) -> None:
        self._has_printed_json = True
        is_utf8 = (getattr(self.stdout, "encoding", None) or "utf-8").lower().replace("-", "") == "utf8"
        self.stdout.write(json.dumps(value, indent=2, ensure_ascii=not is_utf8, default=str))

    def print_table(self, headers: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """A table with aligned columns."""
        lines = [list(headers), *[[str(cell) for cell in row] for row in rows]]
        widths = [max(len(line[column]) for line in lines) for column in range(len(headers))]
        for number, line in enumerate(lines):
            self.stdout.write("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
            if number == 0:
                self.stdout.write("  ".join("-" * width for width in widths))


def _check_encoding(options: Mapping[str, Any]) -> None:
    """Raises CommandError for an argument that is no text: its bytes are not UTF-8."""
    for name, value in options.items():
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, str) and any("\ud800" <= character <= "\udfff" for character in item):
                raise CommandError(f"{name}: {item.encode('ascii', 'backslashreplace').decode()} is not UTF-8.")


def _database_sentence(error: Exception) -> str:
    try:
        executor = MigrationExecutor(connection)
        is_migrated = not executor.migration_plan(executor.loader.graph.leaf_nodes())
    except Exception:  # then that is what is wrong
        is_migrated = True
    if not is_migrated:
        return "The database is not up to date. `manage.py migrate` makes it so."
    where = connection.settings_dict["NAME"]
    return (
        f"The database {where} cannot be used: {str(error).strip()}. Is it there, whole, and may this user write to it?"
    )


def by_argument(parser: ArgumentParser) -> None:
    parser.add_argument("--by", metavar="USER", help="The user in whose name this is done; for the journal.")


def find_user(name: str | None) -> User | None:
    if name is None:
        return None
    user = User.objects.filter(username=name).first()
    if user is None:
        raise CommandError(f"There is no user “{name}”.")
    if not user.is_active:
        raise CommandError(f"The user “{name}” is not active.")
    return user


def check_right(by: User | None, team: Team, right: Right, what: str) -> None:
    """Raises CommandError unless that user may do it; nobody in particular is whoever may use this machine."""
    if by is not None and not policy.may(by.role_in(team.pk), right):
        least = policy.least_role(right).label.lower()
        article = "an" if least[0] in "aeiou" else "a"
        raise CommandError(f"{by.username} may not {what} of {team}. It takes {article} {least} of that team.")


def seconds_argument(text: str) -> float:
    number = _number(text)
    if not 0 <= number <= MOST_SECONDS:  # nor is it “nan”
        raise ArgumentTypeError(f"{text} is no number of seconds from 0 to {MOST_SECONDS}.")
    return number


def port_argument(text: str) -> int:
    number = _number(text)
    if not 0 <= number <= MOST_PORT or number != int(number):
        raise ArgumentTypeError(f"{text} is no port from 0 to {MOST_PORT}.")
    return int(number)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ArgumentTypeError(f"{text} is no number.") from None


def some(part: int, whole: int, one: str, many: str) -> str:
    """`some(1, 2, "is", "are")`: “1 of 2 is”."""
    return f"{part} of {whole} {one if part == 1 else many}"


def why_not_done(states: Sequence[str], refusal: Callable[[], str]) -> list[str]:
    """Sentences about actions that were waited for and are not done. `refusal` is why those that wait cannot go on; or ""."""
    short = [state for state in states if state != ActionState.DONE]
    if not short:
        return []
    sentences = [f"{some(len(short), len(states), 'is', 'are')} not done."]
    if set(short) & {ActionState.UNKNOWN, ActionState.NEEDS_ATTENTION}:
        sentences.append("The page “Needs attention” says what to do.")
    waits = len([state for state in short if state in (ActionState.QUEUED, ActionState.SENDING)])
    if waits:
        sentences.append(
            refusal() or f"A worker goes on with {'the one that waits' if waits == 1 else 'those that wait'}."
        )
    return sentences


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
    try:
        if path == "-":
            return sys.stdin.buffer.read(), "standard input.csv"
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
