"""Rosters: people in a CSV or XLSX file, or in pasted text, read into entries and the problems found in them.

Nothing in a file makes reading it raise: what is wrong is a `Problem` that names its line and field. Lines are counted
as an editor counts them (in XLSX, rows as the spreadsheet numbers them), so that a header at the top is line 1.
"""

from __future__ import annotations

import csv
import difflib
import functools
import io
import logging
import math
import re
import unicodedata
import zipfile
import zoneinfo
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time
from typing import Any, NoReturn

import openpyxl
from django.conf.locale import LANG_INFO
from django.core.exceptions import ValidationError
from django.core.validators import EmailValidator

from proctoring import exports

logger = logging.getLogger(__name__)

MAX_ROWS = 20_000
MAX_BYTES = 10 * 1024 * 1024
MAX_TEXT = 5 * 1024 * 1024  # characters in all cells together
MAX_COLUMNS = 256
MAX_UNPACKED = 32 * 1024 * 1024
MAX_MEMBERS = 2_000
MAX_SHEET_ROWS = 100_000  # with the blank ones: each takes time to read

# Each field with its header in exports.
HEADERS: Mapping[str, str] = {
    "first_name": "First name",
    "last_name": "Last name",
    "email": "E-mail",
    "phone": "Phone",
    "external_id": "External id",
    "time_zone": "Time zone",
    "language": "Language",
    "special_needs": "Special needs",
    "extra_time_percent": "Extra time (%)",
}
_LABELS = {**HEADERS, "full_name": "Full name"}
_NAMES = frozenset({"first_name", "last_name"})

# Other headers that are understood, written without case, blanks and punctuation.
_SYNONYMS: Mapping[str, str] = {
    "first_name": "first given givenname givennames forename forenames firstnames candidatefirstname studentfirstname",
    "last_name": "last surname surnames familyname family lastnames candidatelastname studentlastname",
    "full_name": "name candidate candidatename studentname displayname student learner learnername",
    "email": "mail emailaddress mailaddress emailid emails candidateemail studentemail primaryemail",
    "phone": "phonenumber telephone telephonenumber tel mobile mobilephone mobilenumber cell cellphone contactnumber",
    "external_id": "externalreference id candidateid candidatenumber studentid studentnumber learnerid personid userid "
    "examineeid registrationnumber matriculationnumber",
    "time_zone": "tz timezonename ianatimezone",
    "language": "lang locale preferredlanguage languagecode",
    "special_needs": "specialneed accommodation accommodations accommodated needsaccommodation reasonableadjustment "
    "reasonableadjustments",
    "extra_time_percent": "extratimepercent extratimepercentage extratimeinpercent additionaltime "
    "additionaltimepercent reasonableadjustmentpercentage",
}
_MINUTES = frozenset({"extratimeminutes", "extratimemin", "extratimemins", "extraminutes", "additionaltimeminutes"})

_SIGNATURES: Sequence[tuple[bytes, str]] = (
    (b"%PDF", "a PDF document"),
    (b"\x89PNG", "an image"),
    (b"\xff\xd8\xff", "an image"),
    (b"GIF8", "an image"),
    (b"II*\x00", "an image"),
    (b"MM\x00*", "an image"),
    (b"RIFF", "an image or a recording"),
    (b"\x1f\x8b", "a compressed archive"),
    (b"7z\xbc\xaf", "a compressed archive"),
    (b"Rar!", "a compressed archive"),
    (b"{\\rtf", "a text document (RTF)"),
)
_MARKUP = (b"<!doctype", b"<html", b"<head", b"<meta", b"<body", b"<table", b"<?xml", b"<!--")
_MARKS = {b"\xef\xbb\xbf": "utf-8", b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}
_EXPORT_ADVICE = "Open the list in a spreadsheet and save it as XLSX or as “CSV UTF-8”."

_BLANKS = "".join(filter(str.isspace, map(chr, range(0x3001))))
_EDGES = _BLANKS + "\u00ad\u061c\u180e\u200b\u200c\u200d\u200e\u200f\u2060\ufeff"
# Persian, Urdu and the scripts of India need the joiners inside a word; the marks only say which way letters run.
_ALLOWED_INSIDE_NAMES = frozenset("\u200c\u200d\u200e\u200f\u061c")
_NOT_CALCULATED = "#NOT CALCULATED"
_CELL_ERRORS = frozenset({"#REF!", "#N/A", "#NAME?", "#VALUE!", "#DIV/0!", "#NULL!", "#NUM!", "#SPILL!", "#CALC!"})

_YES = frozenset({"yes", "y", "true", "t", "1", "x", "on", "✓", "✔", "☑"})
_NO = frozenset({"no", "n", "false", "f", "0", "off", "-", "–", "—", "☐"})
_PHONE = re.compile(r"\+?[0-9 ().\-/]*(?:(?:x|ext\.?|#) ?[0-9]+)?", re.IGNORECASE)
_PHONE_SIGNS = str.maketrans("\u00a0\u202f\u2009\u2010\u2011\u2012\u2013\u2212", "   -----")
_SHORTENED = re.compile(r"[0-9](?:[.,][0-9]+)?E\+[0-9]+", re.IGNORECASE)
_PERCENT = re.compile(r"\+?([0-9]{1,6})(?:[.,]0+)?\s?%?")
_LANGUAGE = re.compile(
    r"(?P<language>[a-z]{2,3})(?:-(?P<script>[a-z]{4}))?(?:-(?P<region>[a-z]{2}|[0-9]{3}))?"
    r"(?P<variants>(?:-(?:[a-z0-9]{5,8}|[0-9][a-z0-9]{3}))*)",
    re.IGNORECASE,
)
_SEPARATOR_LINE = re.compile(r"sep=([,;\t])[\r\n]", re.IGNORECASE)  # Excel's own way to name the separator
_LINE_END = re.compile(r"\r\n|\r|\n")
_LITERAL = re.compile(r'"[^"]*"|\\.')  # in a number format
_ESCAPED = re.compile("_x([0-9A-Fa-f]{4})_")
# A formula cell that holds no result: written by a program and never opened in a spreadsheet. t="str" is an empty one.
_UNCALCULATED = re.compile(
    rb"<c\b(?P<attributes>[^<>]*)>\s*+<f\b[^<>]*(?:/>|>[^<]*+</f>)\s*+(?:<v\s*+/>|<v>\s*+</v>)?\s*+</c>"
)

_ABBREVIATIONS: Mapping[str, str] = {
    abbreviation: name
    for name, abbreviations in {
        "Africa/Johannesburg": "SAST",
        "America/Anchorage": "AKST AKDT",
        "America/Chicago": "CST CDT CT CST6CDT",
        "America/Denver": "MST MDT MT MST7MDT",
        "America/Halifax": "AST ADT",
        "America/Los_Angeles": "PST PDT PT PST8PDT",
        "America/New_York": "EST EDT ET EST5EDT",
        "America/Sao_Paulo": "BRT",
        "Asia/Dubai": "GST",
        "Asia/Hong_Kong": "HKT",
        "Asia/Kolkata": "IST",
        "Asia/Seoul": "KST",
        "Asia/Singapore": "SGT",
        "Asia/Tokyo": "JST",
        "Australia/Perth": "AWST",
        "Australia/Sydney": "AEST AEDT AET",
        "Europe/Athens": "EET EEST",
        "Europe/Berlin": "CET CEST MET MEST",
        "Europe/Lisbon": "WET WEST",
        "Europe/London": "GMT BST",
        "Europe/Moscow": "MSK",
        "Pacific/Auckland": "NZST NZDT",
        "Pacific/Honolulu": "HST",
        "UTC": "Z ZULU UCT",
    }.items()
    for abbreviation in abbreviations.split()
}
_AREAS = frozenset("Africa America Antarctica Arctic Asia Atlantic Australia Europe Indian Pacific".casefold().split())
_NO_ZONES = frozenset({"factory", "localtime"})


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong and what to do about it. `line` is None and `field` "" where it is about the whole file."""

    line: int | None
    field: str
    message: str

    def __str__(self) -> str:
        place = [f"Line {self.line}"] if self.line is not None else []
        if self.field:
            place.append(_LABELS.get(self.field, self.field))
        return f"{', '.join(place)}: {self.message}" if place else self.message


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One person. A value that could not be understood is empty and has its problem.

    `given` names the fields that were filled in (and `special_needs` where extra time implies it), so that a caller can
    leave alone what a roster says nothing about.
    """

    line: int
    first_name: str = ""
    last_name: str = ""
    email: str = ""
    phone: str = ""
    external_id: str = ""
    time_zone: str = ""
    language: str = ""
    special_needs: bool = False
    extra_time_percent: int = 0
    given: frozenset[str] = frozenset()
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Roster:
    """A roster as read. `problems` are those of the whole file; where there are any, entries may be missing.

    `columns` are the fields found, `ignored_columns` the headers and `ignored_sheets` the visible sheets left out.
    """

    entries: tuple[Entry, ...] = ()
    problems: tuple[Problem, ...] = ()
    columns: tuple[str, ...] = ()
    ignored_columns: tuple[str, ...] = ()
    ignored_sheets: tuple[str, ...] = ()

    @property
    def is_clean(self) -> bool:
        return not self.problems and not any(entry.problems for entry in self.entries)

    @property
    def all_problems(self) -> tuple[Problem, ...]:
        """Those of the file, then those of each entry in the order of the lines."""
        return self.problems + tuple(problem for entry in self.entries for problem in entry.problems)


class _Unreadable(Exception):
    """The file as a whole cannot be used."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__(*problems)
        self.problems = problems


class _Invalid(ValueError):
    """One value cannot be used; the text says why and what to do."""


Row = tuple[int, Sequence[str]]


def read(data: bytes, *, filename: str) -> Roster:
    """The roster in a CSV, TSV or XLSX file with a header line. The content decides what it is; never raises."""
    try:
        if not data.strip():
            _refuse(f"{_shown(filename)} is empty. Choose the file that holds the roster.")
        if len(data) > MAX_BYTES:
            _refuse(f"The file is larger than {MAX_BYTES // 1024**2} MiB. Split it, or remove pictures from it.")
        if data.startswith((b"PK\x03\x04", b"PK\x05\x06")):
            rows, ignored_sheets = _workbook_rows(data)
            return replace(_table(rows), ignored_sheets=ignored_sheets)
        _refuse_what_is_no_table(data)
        return _table(_text_rows(_decoded(data)))
    except _Unreadable as unreadable:
        return Roster(problems=unreadable.problems)


def read_text(text: str) -> Roster:
    """The roster in pasted text: a table with or without a header, `Ann Lee <ann@example.org>`, or e-mail addresses.

    A list of addresses alone gives entries without names and no problem for that. Never raises.
    """
    try:
        text = text.lstrip("\ufeff")
        if not text.strip():
            _refuse("Nothing was pasted. Paste a table, or one e-mail address on each line.")
        if len(text) > MAX_TEXT:
            _refuse(f"The text is longer than {MAX_TEXT // 1024**2} MiB. Paste it in parts.")
        _refuse_nul(text)
        return _table(_text_rows(text), names_required=False) if _has_header(text) else _list(text)
    except _Unreadable as unreadable:
        return Roster(problems=unreadable.problems)


def _refuse(message: str, line: int | None = None, field: str = "") -> NoReturn:
    raise _Unreadable(Problem(line, field, message))


# --- from bytes to text -----------------------------------------------------------------------------------------------


def _refuse_what_is_no_table(data: bytes) -> None:
    if data.startswith(b"\xd0\xcf\x11\xe0"):
        if "EncryptedPackage".encode("utf-16-le") in data:
            _refuse("The workbook is protected by a password. Save a copy without one.")
        _refuse("This is an old Excel workbook (.xls). Open it in Excel and save it as “Excel Workbook (.xlsx)”.")
    for signature, what in _SIGNATURES:
        if data.startswith(signature):
            _refuse(f"This is {what}, not a table. {_EXPORT_ADVICE}")
    if data[4:8] == b"ftyp":
        _refuse(f"This is an image or a recording, not a table. {_EXPORT_ADVICE}")
    if data[:1024].removeprefix(b"\xef\xbb\xbf").lstrip().lower().startswith(_MARKUP):
        _refuse(f"This is a web page (HTML) or XML, whatever its name ends in. {_EXPORT_ADVICE}")


def _decoded(data: bytes) -> str:
    """UTF-8 or, with its mark, UTF-16. Never a guess: a name read in the wrong code page looks like a name."""
    mark, encoding = next(((mark, name) for mark, name in _MARKS.items() if data.startswith(mark)), (b"", "utf-8"))
    data = data.removeprefix(mark)
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        before = data[: error.start].decode(encoding, "ignore")
        _refuse(_encoding_message(data, error.start, encoding), line=_line_after(before))
    _refuse_nul(text)
    return text


def _encoding_message(data: bytes, start: int, encoding: str) -> str:
    if encoding != "utf-8":
        return "The file is damaged here: it is not whole UTF-16 text. Save it again as “CSV UTF-8”."
    around = data[max(0, start - 12) : start + 12].decode("cp1252", "replace")
    word = next((word for word in re.split(r"[\s,;\"]+", around) if not word.isascii()), around)
    return (
        f"The file is not in UTF-8 (near what may be {_shown(word)}), and guessing would spoil names. "
        "In Excel choose “Save as” and then “CSV UTF-8”, or save it as XLSX."
    )


def _refuse_nul(text: str) -> None:
    position = text.find("\0")
    if position >= 0:
        _refuse(
            "There are NUL characters, so that this is no plain text, or is UTF-16 without its mark. "
            "Save it as “CSV UTF-8” or as XLSX.",
            line=_line_after(text[:position]),
        )


def _line_after(text: str) -> int:
    return sum(1 for _ in _LINE_END.finditer(text)) + 1


def _text_rows(text: str) -> Iterator[Row]:
    told = _SEPARATOR_LINE.match(text)
    rows = _records(text, told[1] if told else _delimiter(text))
    return _limited((line, cells) for line, cells in rows if not (told and line == 1))


def _delimiter(text: str) -> str:
    return max(",;\t", key=lambda delimiter: _fit(_first_row(text, delimiter)))


def _fit(header: Sequence[str]) -> tuple[int, int]:
    return sum(_field_of(cell) is not None for cell in header), len(header)


def _first_row(text: str, delimiter: str) -> Sequence[str]:
    rows = _records(text, delimiter)
    try:
        return next((cells for _, cells in rows if any(cell.strip(_EDGES + ",;") for cell in cells)), ())
    except _Unreadable:
        return ()  # a broken quotation is reported when the rows are read with the delimiter chosen


def _records(text: str, delimiter: str) -> Iterator[Row]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True, skipinitialspace=True)
    line = 1
    try:
        for cells in reader:
            yield line, cells
            line = reader.line_num + 1
    except csv.Error:
        _refuse(
            'A quotation mark (") in the record that begins here is not closed, or not doubled inside a quoted value. '
            "Nothing after it can be read. Mend it, or save the file again from a spreadsheet.",
            line=line,
        )


# --- from a workbook to text ------------------------------------------------------------------------------------------


def _workbook_rows(data: bytes) -> tuple[list[Row], tuple[str, ...]]:
    try:
        book = openpyxl.load_workbook(_unpacked(data), read_only=True, data_only=True, keep_links=False)
        visible = [sheet for sheet in book.worksheets if sheet.sheet_state == "visible"]
        if not visible:
            _refuse("The workbook has no visible sheet. Show the sheet with the roster and save it.")
        return list(_limited(_sheet_rows(visible[0]))), tuple(_visible(sheet.title) for sheet in visible[1:])
    except _Unreadable:
        raise
    except Exception as error:
        # A damaged workbook makes zipfile, the XML parser and openpyxl raise almost anything; it is the file's fault.
        logger.info("A workbook could not be read: %s", type(error).__name__)
        message = "The workbook is damaged. Open it in Excel and save it again as XLSX or as “CSV UTF-8”."
        raise _Unreadable(Problem(None, "", message)) from error


def _unpacked(data: bytes) -> io.BytesIO:
    """The same workbook, stored: what a member unpacks to is bounded here, since its own header may lie about it."""
    copy = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as packed, zipfile.ZipFile(copy, "w") as stored:
        members = {member.filename: member for member in packed.infolist()}
        _refuse_other_archives(members, packed)
        for name, member in members.items():
            content = _member(packed, member)
            if name.startswith("xl/worksheets/"):
                content = _UNCALCULATED.sub(_mark_uncalculated, content)
            stored.writestr(name, content)
    return copy


def _refuse_other_archives(members: Mapping[str, zipfile.ZipInfo], packed: zipfile.ZipFile) -> None:
    if "xl/workbook.bin" in members:
        _refuse("This is a binary Excel workbook (.xlsb). Save it as “Excel Workbook (.xlsx)”.")
    if "[Content_Types].xml" not in members:
        _refuse(f"This is a zip archive or another program’s file, not an Excel workbook. {_EXPORT_ADVICE}")
    if not any(name.startswith("xl/") for name in members):
        _refuse(f"This is a document, not an Excel workbook. {_EXPORT_ADVICE}")
    if any(member.flag_bits & 1 for member in members.values()):
        _refuse("The workbook is protected by a password. Save a copy without one.")
    if len(packed.infolist()) > MAX_MEMBERS or sum(member.file_size for member in packed.infolist()) > MAX_UNPACKED:
        _refuse(
            f"The workbook unpacks to more than {MAX_UNPACKED // 1024**2} MiB. "
            "Copy the roster’s cells alone into a new workbook and save that."
        )


def _member(packed: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    # The other methods are unpacked without a bound, and no spreadsheet uses them.
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        _refuse(f"The workbook is packed in an unusual way. {_EXPORT_ADVICE}")
    with packed.open(member) as source:
        return b"".join(iter(lambda: source.read(64 * 1024), b""))


def _mark_uncalculated(cell: re.Match[bytes]) -> bytes:
    attributes = cell["attributes"]
    if b't="str"' in attributes:
        return cell[0]
    others = re.sub(rb'\st="[^"]*"', b"", attributes)
    return b'<c%s t="e"><v>%s</v></c>' % (others, _NOT_CALCULATED.encode())


def _sheet_rows(sheet: Any) -> Iterator[Row]:
    # What a sheet says of its own size may be wrong.
    sheet.reset_dimensions()
    width = MAX_COLUMNS + 1
    is_header_read = False
    for line, row in enumerate(sheet.iter_rows(max_col=width), start=1):
        if line > MAX_SHEET_ROWS:
            _refuse(
                f"The sheet goes on below row {MAX_SHEET_ROWS:,}. Copy the roster’s cells alone into a new workbook."
            )
        cells = [_cell_text(cell) for cell in row[:width]]
        if not is_header_read and _is_filled(cells):
            is_header_read = True
            width = max(number for number, cell in enumerate(cells, start=1) if cell.strip())
        yield line, cells[:width]


def _cell_text(cell: Any) -> str:
    value = cell.value
    match value:
        case None:
            return ""
        case str():
            return _ESCAPED.sub(lambda code: chr(int(code[1], 16)), value) if "_x" in value else value
        case bool():
            return "yes" if value else "no"
        case int() | float():
            return _number_text(value, cell.number_format)
        case datetime() if value.time() == time():
            return value.date().isoformat()
        case date() | time():
            return value.isoformat()
    return str(value)


def _number_text(value: float, number_format: str) -> str:
    if not math.isfinite(value):
        return "#NUM!"
    if "%" in _LITERAL.sub("", number_format):
        return f"{round(value * 100, 6):.15g}%"
    if abs(value) >= exports.MAX_EXACT:
        return f"{value:.14E}"  # reported as shortened: the last digits are lost already
    if value != int(value):
        return repr(value)
    is_padded = len(number_format) > 1 and not number_format.strip("0")
    return str(int(value)).zfill(len(number_format)) if is_padded else str(int(value))


# --- from rows to entries ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Columns:
    places: Mapping[str, int]
    width: int
    ignored: tuple[str, ...]


def _table(rows: Iterable[Row], *, names_required: bool = True) -> Roster:
    remaining = iter(rows)
    first = next(remaining, None)
    if first is None:
        _refuse("There are no filled cells. Choose the file that holds the roster.")
    line, header = first
    columns = _columns(line, header, names_required=names_required)
    names_required = names_required or not columns.places.keys() <= {"email"}
    entries = [_table_entry(line, cells, columns, names_required) for line, cells in remaining]
    if not entries:
        _refuse("There is a header line and nobody below it. Add a line for each candidate.", line=line)
    found = _with_both_names(columns.places)
    return Roster(entries=_marking_repeats(entries), columns=found, ignored_columns=columns.ignored)


def _with_both_names(fields: Iterable[str]) -> tuple[str, ...]:
    found = set(fields)
    if "full_name" in found:
        found |= _NAMES
    return tuple(field for field in HEADERS if field in found)


def _limited(rows: Iterable[Row]) -> Iterator[Row]:
    """The rows that hold something, as long as they keep to the limits."""
    filled = size = 0
    for line, cells in rows:
        if not _is_filled(cells):
            continue
        filled += 1
        size += sum(map(len, cells))
        if filled > MAX_ROWS + 1:
            _refuse(f"There are more than {MAX_ROWS:,} candidates. Split the roster.", line=line)
        if size > MAX_TEXT:
            _refuse(f"The cells hold more than {MAX_TEXT // 1024**2} MiB of text. Remove what is no roster.", line=line)
        yield line, cells


def _is_filled(cells: Iterable[str]) -> bool:
    return any(cell.strip(_EDGES) for cell in cells)


def _columns(line: int, header: Sequence[str], *, names_required: bool) -> _Columns:
    if len(header) > MAX_COLUMNS:
        _refuse(f"There are more than {MAX_COLUMNS} columns. Keep those of the roster.", line=line)
    titles = [_clean(cell) for cell in header]
    places: dict[str, list[int]] = {}
    for place, title in enumerate(titles):
        if (field := _field_of(title)) is not None:
            places.setdefault(field, []).append(place)
    if places.keys() >= {"first_name", "last_name"}:
        places.pop("full_name", None)
    problems = [*_header_problems(line, titles, places), *_missing(line, titles, places.keys(), names_required)]
    if problems:
        raise _Unreadable(*problems)
    used = {found[0] for found in places.values()}
    ignored = tuple(_visible(title) for place, title in enumerate(titles) if title and place not in used)
    return _Columns({field: found[0] for field, found in places.items()}, len(header), ignored)


def _header_problems(line: int, titles: Sequence[str], places: Mapping[str, Sequence[int]]) -> Iterator[Problem]:
    for field, found in places.items():
        if len(found) > 1:
            names = " and ".join(f"{_shown(titles[place])} (column {place + 1})" for place in found)
            yield Problem(line, field, f"{names} both mean “{_LABELS[field]}”. Remove or rename all but one of them.")
    for title in titles:
        if _folded(title) in _MINUTES:
            yield Problem(
                line,
                "extra_time_percent",
                f"{_shown(title)} is in minutes, and extra time is kept as a percentage of the duration. "
                "Convert it and name the column “Extra time (%)”.",
            )


def _missing(line: int, titles: Sequence[str], found: Iterable[str], names_required: bool) -> Iterator[Problem]:
    fields = set(found)
    is_named = fields >= _NAMES or "full_name" in fields or (fields == {"email"} and not names_required)
    required = ("email",) if is_named else ("first_name", "last_name", "email")
    lacking = [field for field in required if field not in fields]
    seen = ", ".join(_shown(title) for title in titles[:20] if title)
    for field in lacking:
        yield Problem(
            line,
            field,
            f"There is no column for “{_LABELS[field]}”. Found in this line: {seen}. Name it {_ACCEPTED[field]}.",
        )


_OR_BOTH = "or keep both names in one column “Full name”"
_ACCEPTED = {
    "first_name": f"“First name”, “Given name”, “Forename” or similar, {_OR_BOTH}",
    "last_name": f"“Last name”, “Surname”, “Family name” or similar, {_OR_BOTH}",
    "email": "“E-mail”, “E-mail address”, “Mail” or similar",
}


def _folded(header: str) -> str:
    return "".join(filter(str.isalnum, unicodedata.normalize("NFKC", header[:200]).casefold()))


@functools.cache
def _fields_by_header() -> Mapping[str, str]:
    named = {_folded(label): field for field, label in _LABELS.items()}
    return named | {word: field for field, words in _SYNONYMS.items() for word in words.split()}


def _field_of(header: str) -> str | None:
    return _fields_by_header().get(_folded(header))


def _table_entry(line: int, cells: Sequence[str], columns: _Columns, names_required: bool) -> Entry:
    raw = {field: cells[place] for field, place in columns.places.items() if place < len(cells)}
    problems = []
    if _is_filled(cells[columns.width :]):
        problems.append(
            Problem(
                line,
                "",
                f"There are {len(cells)} values and {columns.width} columns. "
                'Put a value that holds the separator between quotation marks ("…").',
            )
        )
    return _entry(line, raw, names_required=names_required, problems=problems)


def _entry(line: int, raw: Mapping[str, str], *, names_required: bool, problems: Iterable[Problem] = ()) -> Entry:
    found = list(problems)
    texts = _split_full_name(line, {field: text for field, cell in raw.items() if (text := _clean(cell))}, found)
    values: dict[str, Any] = {}
    for field, text in texts.items():
        try:
            values[field] = _parsed(field, text)
        except _Invalid as invalid:
            found.append(Problem(line, field, str(invalid)))
    for field in (*sorted(_NAMES), "email") if names_required else ("email",):
        if field not in texts:
            found.append(Problem(line, field, f"The {_LABELS[field].lower()} is empty. Fill it in."))
    implied = _imply_special_needs(line, values, texts, found)
    return Entry(line=line, given=frozenset(texts) | implied, problems=tuple(found), **values)


def _split_full_name(line: int, texts: dict[str, str], problems: list[Problem]) -> dict[str, str]:
    full_name = texts.pop("full_name", "")
    if not full_name:
        return texts
    try:
        first_name, last_name = _names(full_name)
    except _Invalid as invalid:
        problems.append(Problem(line, "full_name", str(invalid)))
        first_name = last_name = ""  # reported already, so neither counts as missing
    return {**texts, "first_name": first_name, "last_name": last_name}


def _imply_special_needs(
    line: int, values: dict[str, Any], texts: Mapping[str, str], problems: list[Problem]
) -> frozenset[str]:
    if not values.get("extra_time_percent") or values.get("special_needs"):
        return frozenset()
    if "special_needs" not in texts:
        values["special_needs"] = True
        return frozenset({"special_needs"})
    if "special_needs" in values:
        message = "This says no, but there is extra time. Write yes, or remove the extra time."
        problems.append(Problem(line, "special_needs", message))
    return frozenset()


def _marking_repeats(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    seen: dict[tuple[str, str], int] = {}
    return tuple(_marking_repeat(entry, seen) for entry in entries)


def _marking_repeat(entry: Entry, seen: dict[tuple[str, str], int]) -> Entry:
    problems = []
    for field, value in (("email", entry.email.casefold()), ("external_id", entry.external_id)):
        if (first := seen.get((field, value))) is not None:
            message = f"{_shown(value)} is already on line {first}. Remove one of the two, or correct it."
            problems.append(Problem(entry.line, field, message))
        elif value:
            seen[field, value] = entry.line
    return replace(entry, problems=(*entry.problems, *problems)) if problems else entry


# --- pasted lists -----------------------------------------------------------------------------------------------------


def _has_header(text: str) -> bool:
    if _SEPARATOR_LINE.match(text):
        return True
    first = _first_row(text, _delimiter(text))
    return any(_field_of(cell) for cell in first) and not any("@" in cell for cell in first)


def _list(text: str) -> Roster:
    lines = ((number, (line,)) for number, line in enumerate(_LINE_END.split(text), start=1))
    entries = [entry for number, (line,) in _limited(lines) for entry in _line_entries(number, line)]
    if len(entries) > MAX_ROWS:
        _refuse(f"There are more than {MAX_ROWS:,} candidates. Paste them in parts.")
    given = {field for entry in entries for field in entry.given}
    return Roster(entries=_marking_repeats(entries), columns=_with_both_names(given))


def _line_entries(number: int, line: str) -> list[Entry]:
    try:
        return [_entry(number, raw, names_required=False) for raw in _people(line)]
    except _Invalid as invalid:
        return [Entry(line=number, problems=(Problem(number, "", str(invalid)),))]


def _people(line: str) -> list[dict[str, str]]:
    if "<" in line:
        return _addressed(line)
    words = re.split(r"[\s,;]+", line.strip(_EDGES + ",;"))
    if all("@" in word for word in words):
        return [{"email": word} for word in words]
    return [_by_position(_cells(line))]


def _addressed(line: str) -> list[dict[str, str]]:
    """`Ann Lee <ann@example.org>`, one or several with commas or semicolons between, as mail programs copy them."""
    *pieces, rest = line.split(">")
    people = []
    for piece in pieces:
        name, bracket, address = piece.partition("<")
        name = name.strip(_EDGES + ",;\"'")
        if not bracket or ("@" in name and name != address):
            raise _Invalid(_SEVERAL_ADDRESSES)
        people.append({"email": address} if name in ("", address) else {"full_name": name, "email": address})
    if rest.strip(_EDGES + ",;"):
        raise _Invalid(f"{_shown(rest)} follows the address. Write a line such as Ann Lee <ann@example.org>.")
    return people


def _cells(line: str) -> list[str]:
    delimiter = next((sign for sign in "\t;," if sign in line), None)
    if delimiter is None:
        words = line.split()
        return [" ".join(word for word in words if "@" not in word), *(word for word in words if "@" in word)]
    try:
        return next(csv.reader([line], delimiter=delimiter, strict=True, skipinitialspace=True))
    except csv.Error:
        raise _Invalid('A quotation mark (") in this line is not closed. Close it or remove it.') from None


def _by_position(cells: Sequence[str]) -> dict[str, str]:
    places = [place for place, cell in enumerate(cells) if "@" in cell]
    if len(places) != 1:
        raise _Invalid(_SEVERAL_ADDRESSES if places else _NO_ADDRESS)
    others = [cell for place, cell in enumerate(cells) if place != places[0] and _clean(cell)]
    email = {"email": cells[places[0]]}
    if len(others) <= 2:
        names = (["full_name"], ["first_name", "last_name"])[len(others) == 2]
        return email | dict(zip(names, others, strict=False))
    if places[0] == 2 and len(cells) <= len(HEADERS):
        return dict(zip(HEADERS, cells, strict=False))
    raise _Invalid("There is more than names and an address. Paste the table with its header line.")


_SEVERAL_ADDRESSES = "Names and addresses cannot be told apart. Put each person on a line of their own."
_NO_ADDRESS = (
    "There is no e-mail address. Write a line such as Ann Lee <ann@example.org>; if this is a header line, name the "
    "columns “First name”, “Last name” and “E-mail”."
)


# --- values -----------------------------------------------------------------------------------------------------------


def _clean(cell: str) -> str:
    text = exports.restore(cell.strip(_EDGES)).strip(_EDGES)
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def _parsed(field: str, text: str) -> object:
    _refuse_cell_error(text)
    return _PARSERS[field](text)


def _refuse_cell_error(text: str) -> None:
    if text == _NOT_CALCULATED:
        raise _Invalid("The cell is a formula without a stored result. Open the workbook in a spreadsheet and save it.")
    if text.startswith("#") and text.upper() in _CELL_ERRORS:
        raise _Invalid(f"The cell holds the spreadsheet’s error {text.upper()}. Mend its formula or type the value.")


def _names(full_name: str) -> tuple[str, str]:
    """First and last name: `Lee, Ann`, or the last word, or from the first word in small letters on (`de la Cruz`)."""
    _refuse_cell_error(full_name)
    last_name, comma, first_name = (part.strip() for part in full_name.partition(","))
    if comma and first_name and last_name:
        return first_name, last_name
    words = full_name.replace(",", " ").split()
    if len(words) < 2:
        raise _Invalid(f"{_shown(full_name)} is one word. Write first and last name, such as Ann Lee.")
    start = len(words) - 1
    if not words[0].islower():
        start = next((place for place, word in enumerate(words[1:-1], start=1) if word.islower()), start)
    return " ".join(words[:start]), " ".join(words[start:])


def _name(text: str) -> str:
    return _text(text, longest=150, allowed=_ALLOWED_INSIDE_NAMES)


def _text(text: str, *, longest: int, allowed: frozenset[str] = frozenset()) -> str:
    if (unsafe := _unsafe(text, allowed)) is not None:
        raise _Invalid(f"{_shown(text)} contains {_described(unsafe)}. Type it again without.")
    if len(text) > longest:
        raise _Invalid(f"It is {len(text)} characters long, and {longest} are allowed. Shorten it.")
    return text


def _unsafe(text: str, allowed: frozenset[str]) -> str | None:
    if text.isprintable() and "\ufffd" not in text:
        return None
    return next((character for character in text if character not in allowed and _is_unsafe(character)), None)


def _is_unsafe(character: str) -> bool:
    is_no_character = ord(character) & 0xFFFE == 0xFFFE or 0xFDD0 <= ord(character) <= 0xFDEF
    return is_no_character or character == "\ufffd" or unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"}


def _described(character: str) -> str:
    code = f"U+{ord(character):04X}"
    if character in "\r\n\x85\u2028\u2029":
        return f"a line break ({code})"
    if character == "\ufffd":
        return f"{code}, the sign that letters were lost in an earlier conversion"
    if "\u202a" <= character <= "\u202e" or "\u2066" <= character <= "\u2069":
        return f"{code} ({unicodedata.name(character).lower()}), an invisible sign that turns text around"
    return f"{code} ({unicodedata.name(character, 'control character').lower()}), an invisible character"


def _email(text: str) -> str:
    address = _text(text[7:] if text[:7].lower() == "mailto:" else text, longest=254)
    try:
        _EMAIL(address)
    except ValidationError:
        raise _Invalid(f"{_shown(text)} is not an e-mail address. Write one, such as ann@example.org.") from None
    return address


def _phone(text: str) -> str:
    phone = _text(_whole(text).translate(_PHONE_SIGNS), longest=50)
    if not _PHONE.fullmatch(phone):
        raise _Invalid(
            f"{_shown(text)} is not a phone number. Write one such as +44 20 7946 0000 or 020 7946 0000 x12."
        )
    if sum(map(str.isdigit, phone)) < 5:
        raise _Invalid(f"{_shown(text)} is too short for a phone number. Write it with its area code.")
    return phone


def _external_id(text: str) -> str:
    return _text(_whole(text), longest=255)


def _whole(text: str) -> str:
    if _SHORTENED.fullmatch(text):
        raise _Invalid(f"{_shown(text)} was shortened by the spreadsheet. Format the column as text and type it again.")
    return text


def _time_zone(text: str) -> str:
    name = _zones().get("_".join(text.casefold().split()))
    if name is not None:
        return name
    nearest = _nearest_zone(text[:64])
    advice = f"Did you mean {nearest}?" if nearest else "Write an area and a city, such as Europe/Berlin, or UTC."
    raise _Invalid(f"{_shown(text)} is not a time zone’s IANA name. {advice}")


@functools.cache
def _zones() -> Mapping[str, str]:
    """By their folded names. Abbreviations that happen to be names are left out: they know no summer time."""
    known = {name.casefold(): name for name in zoneinfo.available_timezones()}
    refused = _NO_ZONES | {abbreviation.casefold() for abbreviation in _ABBREVIATIONS}
    return {folded: name for folded, name in known.items() if folded not in refused}


@functools.cache
def _cities() -> Mapping[str, Mapping[str, str]]:
    """Zones by their folded city, under its first letter: comparing with these few keeps 20,000 wrong ones quick."""
    cities: dict[str, dict[str, str]] = {}
    for name in sorted(_zones().values()):
        area, _, city = name.casefold().rpartition("/")
        if area.partition("/")[0] in _AREAS:
            cities.setdefault(city[0], {}).setdefault(city, name)
    return cities


@functools.lru_cache(maxsize=1024)
def _nearest_zone(text: str) -> str | None:
    if (name := _ABBREVIATIONS.get(text.upper())) is not None:
        return name
    city = "_".join(text.casefold().rpartition("/")[2].split())
    alike = _cities().get(city[:1], {})
    near = difflib.get_close_matches(city, alike, n=1, cutoff=0.7)
    return alike[near[0]] if near else None


def _language(text: str) -> str:
    tag = text.replace("_", "-")
    parts = _LANGUAGE.fullmatch(tag) if len(tag) <= 35 else None
    if parts is not None:
        subtags = [parts["language"].lower(), (parts["script"] or "").title(), (parts["region"] or "").upper()]
        return "-".join(filter(None, subtags)) + parts["variants"].lower()
    code = _languages_by_name().get(text.casefold())
    advice = f"Write {code}." if code else "Write a code such as en, en-GB or pt-BR."
    raise _Invalid(f"{_shown(text)} is not a language code. {advice}")


@functools.cache
def _languages_by_name() -> Mapping[str, str]:
    named = [(info[key], code) for code, info in LANG_INFO.items() for key in ("name", "name_local") if key in info]
    return {name.casefold(): _language(code) for name, code in reversed(named)}


def _special_needs(text: str) -> bool:
    word = text.casefold()
    if word in _YES:
        return True
    if word in _NO:
        return False
    raise _Invalid(f"{_shown(text)} is neither yes nor no. Write yes or no, and a percentage under “Extra time (%)”.")


def _extra_time_percent(text: str) -> int:
    percent = _PERCENT.fullmatch(text)
    if percent is not None and int(percent[1]) <= 999:
        return int(percent[1])
    raise _Invalid(f"{_shown(text)} is not a whole percentage from 0 to 999. Write 25 for a quarter more time.")


_EMAIL = EmailValidator()
_PARSERS: Mapping[str, Callable[[str], object]] = {
    "first_name": _name,
    "last_name": _name,
    "email": _email,
    "phone": _phone,
    "external_id": _external_id,
    "time_zone": _time_zone,
    "language": _language,
    "special_needs": _special_needs,
    "extra_time_percent": _extra_time_percent,
}


def _shown(text: str) -> str:
    return f"“{_visible(text)}”"


def _visible(text: str) -> str:
    """At most 60 characters, with those that cannot be seen or could disturb the sentence as their code."""
    shown = "".join(
        f"[U+{ord(character):04X}]" if _is_unsafe(character) and character not in _ALLOWED_INSIDE_NAMES else character
        for character in text[:60]
    )
    return shown + ("…" if len(text) > 60 else "")
