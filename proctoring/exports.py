"""Tables as files: CSV and XLSX that a spreadsheet opens as they are, and in which no cell can act as a formula."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, TypeGuard

from openpyxl import Workbook
from openpyxl.cell import Cell, WriteOnlyCell
from openpyxl.styles import Font

CSV_TYPE = "text/csv; charset=utf-8"
XLSX_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"

MAX_CELL = 32_767  # what a spreadsheet's cell holds, in UTF-16 units
MAX_SHEET_ROWS = 1_048_576
MAX_EXACT = 10**15  # a spreadsheet rounds whole numbers from here on
CUT = "… [cut]"

_PIECE = 64 * 1024
_INVISIBLE = r"\s\x00\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff"
_SIGNS = "=+\\-@|＝＋－＠｜﹦﹢﹣﹫−"
# Spreadsheets look past blanks, and some turn full-width signs into plain ones. Apostrophes are part of the pattern so
# that a value which has them already gets one more, and taking one away gives back the value.
_FORMULA = re.compile(f"'*(?:[\\t\\r\\n]|[{_INVISIBLE}]*[{_SIGNS}])")
_ILLEGAL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_ESCAPE_LIKE = re.compile("_(?=x[0-9A-Fa-f]{4}_)")
_NOT_IN_TITLE = re.compile(r"[\[\]:*?/\\\x00-\x1f\ud800-\udfff\ufffe\uffff]")


def defuse(text: str) -> str:
    """The text with an apostrophe in front where a spreadsheet could take it for a formula."""
    return "'" + text if _FORMULA.match(text) else text


def restore(text: str) -> str:
    """What `defuse` was given."""
    return text[1:] if text.startswith("'") and _FORMULA.match(text[1:]) else text


def write_csv(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[bytes]:
    """A CSV file in pieces, for a streamed response or `b"".join`: UTF-8 with a byte order mark, lines ending in CR LF.

    Times keep their offset, yes and no are words. Raises ValueError for a row of another length than the headers.
    """
    buffer = io.StringIO(newline="")
    buffer.write("\ufeff")  # without it Excel takes the file for the local code page
    writer = csv.writer(buffer, lineterminator="\r\n")
    for row in _table(headers, rows):
        writer.writerow([_csv_value(value) for value in row])
        if buffer.tell() >= _PIECE:
            yield _drain(buffer)
    yield _drain(buffer)


def write_xlsx(title: str, headers: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    """A workbook of one sheet. Times are real ones in UTC, and their format says so.

    Raises ValueError for a row of another length than the headers, and for more rows than a sheet holds.
    """
    table = list(_table(headers, rows))  # checked as a whole: a book begun and given up leaves a temporary file behind
    if len(table) > MAX_SHEET_ROWS:
        raise ValueError(f"a sheet holds {MAX_SHEET_ROWS} rows, not {len(table)}")
    book = Workbook(write_only=True)
    sheet = book.create_sheet(sheet_title(title))
    sheet.freeze_panes = "A2"
    for number, row in enumerate(table):
        cells = [_xlsx_cell(sheet, value) for value in row]
        if number == 0:
            _embolden(cells)
        sheet.append(cells)
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def sheet_title(title: str) -> str:
    """The title as a spreadsheet allows it for a sheet: 31 characters, without []:*?/\\ or outer apostrophes."""
    plain = " ".join(_NOT_IN_TITLE.sub(" ", title).split())
    short = _first_units(plain.strip("'"), 31).strip("' ")
    # Excel keeps this one name for itself.
    return "Sheet" if not short or short.casefold() == "history" else short


def _table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[Sequence[object]]:
    yield headers
    for number, row in enumerate(rows, start=1):
        if len(row) != len(headers):
            raise ValueError(f"row {number} has {len(row)} cells for {len(headers)} headers")
        yield row


def _drain(buffer: io.StringIO) -> bytes:
    piece = buffer.getvalue().encode()
    buffer.seek(0)
    buffer.truncate()
    return piece


def _csv_value(value: object) -> str:
    text = _ILLEGAL.sub("\ufffd", _text(value))
    # Excel lets what does not fit run over into cells of its own, where it could be a formula.
    return _cut(text if _is_number(value) else defuse(text))


def _xlsx_cell(sheet: Any, value: object) -> Cell:
    cell = WriteOnlyCell(sheet)
    if _is_number(value) and -MAX_EXACT < value < MAX_EXACT:
        cell.value = value
    elif isinstance(value, datetime) and value.year >= 1900:
        cell.value = value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
        cell.number_format = 'yyyy-mm-dd hh:mm:ss "UTC"' if value.tzinfo else "yyyy-mm-dd hh:mm:ss"
    elif isinstance(value, date) and value.year >= 1900:
        cell.value = value
        cell.number_format = "yyyy-mm-dd"
    else:
        _put_text(cell, _text(value))
    return cell


def _put_text(cell: Cell, text: str) -> None:
    legal = _ILLEGAL.sub("\ufffd", re.sub("\r\n?", "\n", text))
    cell.value = _ESCAPE_LIKE.sub("_x005F_", _cut(legal))
    # openpyxl guesses a formula from "=" and an error from "#N/A"; this is text whatever it says.
    cell.data_type = "s"
    if _FORMULA.match(text):
        cell.quotePrefix = True  # editing the cell in a spreadsheet leaves it text, too


def _embolden(cells: Iterable[Cell]) -> None:
    for cell in cells:
        cell.font = Font(bold=True)


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return f"{value:f}"
    return str(value)


def _is_number(value: object) -> TypeGuard[int | float | Decimal]:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool) and math.isfinite(value)


def _cut(text: str) -> str:
    if 2 * len(text) <= MAX_CELL or _units(text) <= MAX_CELL:
        return text
    return _first_units(text, MAX_CELL - len(CUT)) + CUT


def _units(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def _first_units(text: str, count: int) -> str:
    return text.encode("utf-16-le", "surrogatepass")[: 2 * count].decode("utf-16-le", "ignore")
