"""What a delivery needs from a person: an exam, candidates in one of three ways, and a reason for a retake."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from django import forms
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import UploadedFile

from proctoring import planning, rosters
from proctoring.forms.fields import UuidListField
from proctoring.models import Candidate, Exam
from proctoring.planning import Plan
from proctoring.rosters import Roster

FIRST, RETAKE = "first", "retake"
KNOWN, PASTED, FILE = "known", "pasted", "file"
SHOWN_PROBLEMS = 50


class DeliverForm(forms.Form):
    """Exam and vendor options are the view's; this form holds the rest. `candidates` are those of the exam's team."""

    mode = forms.ChoiceField(
        label="Which attempt",
        choices=[(FIRST, "First delivery"), (RETAKE, "Retake: a new attempt for those who had one")],
        initial=FIRST,
        widget=forms.RadioSelect,
    )
    source = forms.ChoiceField(
        label="Where the candidates are",
        choices=[(KNOWN, "Choose known candidates"), (PASTED, "Paste a list"), (FILE, "Upload a file")],
        initial=KNOWN,
        widget=forms.RadioSelect,
    )
    candidates = UuidListField(label="Candidates", required=False)
    pasted = forms.CharField(
        label="Pasted list",
        required=False,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 8, "spellcheck": "false", "placeholder": "Ann Lee <ann@example.org>"}),
        help_text="A table with its header line, or one person a line: a name and an e-mail address, or the address alone "
        "of somebody who is known here.",
    )
    roster = forms.FileField(
        label="File",
        required=False,
        widget=forms.ClearableFileInput(attrs={"accept": ".csv,.tsv,.txt,.xlsx"}),
        help_text="CSV or XLSX with a header line.",
    )
    reason = forms.CharField(
        label="Reason",
        required=False,
        max_length=500,
        help_text="Kept in the journal. A retake needs one.",
    )

    def __init__(self, *args: Any, exam: Exam | None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.exam = exam
        self.chosen: list[Candidate] = []
        self.read: Roster | None = None

    @property
    def is_retake(self) -> bool:
        return bool(self.cleaned_data["mode"] == RETAKE)

    def clean_candidates(self) -> Sequence[UUID]:
        ids: list[UUID] = self.cleaned_data["candidates"]
        self.chosen = candidates_of(self.exam, ids)
        return ids

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if data.get("mode") == RETAKE and not data.get("reason", "").strip():
            self.add_error("reason", "Say why there is a retake.")
        source = data.get("source")
        if source == KNOWN and self.exam and not self.chosen:
            self.add_error("candidates", "Tick at least one candidate.")
        elif source == PASTED:
            self._read("pasted", rosters.read_text(data.get("pasted", "")))
        elif source == FILE:
            self._read_file(data.get("roster"))
        return data

    def _read_file(self, file: UploadedFile[bytes] | None) -> None:
        if file is None:
            if "roster" not in self.errors:
                self.add_error("roster", "Choose the file that holds the roster.")
        elif (file.size or 0) > rosters.MAX_BYTES:
            self.add_error("roster", f"The file is larger than {rosters.MAX_BYTES // 1024**2} MiB. Split it.")
        else:
            self._read("roster", rosters.read(file.read(), filename=file.name or ""))

    def _read(self, field: str, roster: Roster) -> None:
        for problem in roster.problems[:SHOWN_PROBLEMS]:
            self.add_error(field, str(problem))
        if (more := len(roster.problems) - SHOWN_PROBLEMS) > 0:
            self.add_error(field, f"… and {more} more.")
        if not roster.problems and not roster.entries:
            self.add_error(field, "There is nobody in it: a header and no lines below.")
        self.read = roster

    def plan(self, options: dict[str, Any], *, now: datetime) -> Plan:
        """Who will get a delivery. Only after is_valid()."""
        if self.exam is None:
            raise ValidationError("Choose an exam.")
        if self.read is None:
            return planning.plan_candidates(self.exam, self.chosen, now=now, is_retake=self.is_retake, options=options)
        plan = planning.plan_entries(self.exam, self.read.entries, now=now, is_retake=self.is_retake, options=options)
        return replace(plan, notes=notes_of(self.read))


def candidates_of(exam: Exam | None, ids: Sequence[UUID]) -> list[Candidate]:
    """The candidates of the exam's team among these ids, by name; a stranger's are left out."""
    if exam is None:
        return []
    team = Candidate.objects.filter(team_id=exam.team_id)
    found = [row for part in planning.chunks(ids) for row in team.filter(pk__in=part)]
    return sorted(found, key=lambda row: (row.last_name.casefold(), row.first_name.casefold(), str(row.pk)))


def notes_of(roster: Roster) -> tuple[str, ...]:
    notes = []
    if roster.ignored_columns:
        notes.append(f"These columns are not used: {', '.join(roster.ignored_columns)}.")
    if roster.ignored_sheets:
        notes.append(f"Only the first sheet is read. Not read: {', '.join(roster.ignored_sheets)}.")
    return tuple(notes)
