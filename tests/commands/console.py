"""Running a command as a person would, and what it said."""

from __future__ import annotations

import io
import json
import sys
from dataclasses import dataclass
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from proctoring.models import Account, Action, Batch, Candidate, Delivery, Exam, JournalEntry

TABLES = (Account, Action, Batch, Candidate, Delivery, Exam, JournalEntry)


@dataclass(frozen=True, slots=True)
class Said:
    """`error` is the sentence on standard error of a command that ended badly; None where it ended well.

    `notes` is what it said there on the way.
    """

    out: str
    error: str | None
    notes: str = ""
    code: int = 0

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def say(name: str, *arguments: object) -> Said:
    """Runs the command in this process."""
    out, notes = io.StringIO(), io.StringIO()
    try:
        call_command(name, *map(str, arguments), stdout=out, stderr=notes)
    except CommandError as error:
        return Said(out.getvalue(), str(error), notes.getvalue(), error.returncode)
    return Said(out.getvalue(), None, notes.getvalue())


def well(name: str, *arguments: object) -> Said:
    """As `say`, of a command that must end well."""
    said = say(name, *arguments)
    assert said.error is None, said.error
    return said


def type_in(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    """What the command will read from standard input."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data), encoding="utf-8"))


def rows() -> dict[str, int]:
    """How many rows every table has: to see that nothing was saved."""
    return {model.__name__: model.objects.count() for model in TABLES}
