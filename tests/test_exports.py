from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import openpyxl
import pytest

from proctoring import exports, rosters

DANGEROUS = [
    "=1+1",
    "+1",
    "-1",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    "  =1",
    "\u00a0=1",
    "\u200b=1",
    "\ufeff@x",
    "＝1",
    "＋1",
    "－1",
    "＠x",
    "|calc",
    "=cmd|' /C calc'!A0",
    "'=1",
]
HARMLESS = ["", "Ann", "'t Hooft", "O'Neill-Lee", "a=b", "1+1", "ann@example.org", "’=1"]


def csv_rows(*rows: list[object], headers: tuple[str, ...] = ("A", "B")) -> list[list[str]]:
    text = b"".join(exports.write_csv(headers, rows)).decode("utf-8-sig")
    return list(csv.reader(io.StringIO(text, newline="")))


def xlsx_cell(value: object) -> Any:
    book = openpyxl.load_workbook(io.BytesIO(exports.write_xlsx("List", ["A"], [[value]])))
    return book.worksheets[0]["A2"]


class TestDefuse:
    @pytest.mark.parametrize("text", DANGEROUS)
    def test_puts_an_apostrophe_before_what_could_be_a_formula(self, text: str) -> None:
        assert exports.defuse(text) == "'" + text

    @pytest.mark.parametrize("text", HARMLESS)
    def test_leaves_other_text_alone(self, text: str) -> None:
        assert exports.defuse(text) == text

    @pytest.mark.parametrize("text", [*DANGEROUS, *HARMLESS, "''=1", "'", "''"])
    def test_is_undone_by_restore(self, text: str) -> None:
        assert exports.restore(exports.defuse(text)) == text


class TestWriteCsv:
    def test_starts_with_a_byte_order_mark_and_ends_lines_with_cr_lf(self) -> None:
        data = b"".join(exports.write_csv(["Name", "Score"], [["Zoë", 3]]))

        assert data == b"\xef\xbb\xbfName,Score\r\n" + "Zoë,3\r\n".encode()

    def test_keeps_numbers_and_defuses_text_and_headers(self) -> None:
        rows = csv_rows([-5, "-5"], [Decimal("-1.50"), float("-inf")], headers=("=A", "B"))

        assert rows == [["'=A", "B"], ["-5", "'-5"], ["-1.50", "'-inf"]]

    def test_writes_times_with_their_offset_and_truth_as_words(self) -> None:
        at = datetime(2026, 3, 1, 9, 30, tzinfo=timezone(timedelta(hours=2)))

        assert csv_rows([at, date(2026, 3, 1)], [True, None])[1:] == [
            ["2026-03-01T09:30:00+02:00", "2026-03-01"],
            ["yes", ""],
        ]

    def test_quotes_separators_quotation_marks_and_line_breaks(self) -> None:
        assert csv_rows(['a,"b"', "c\r\nd"])[1:] == [['a,"b"', "c\r\nd"]]

    def test_replaces_what_no_file_can_hold(self) -> None:
        assert csv_rows(["a\0b", "c\ud800d"])[1:] == [["a\ufffdb", "c\ufffdd"]]

    def test_cuts_a_cell_that_would_run_over_into_others(self) -> None:
        [[cell, _]] = csv_rows(["=" + "x" * 40_000, ""])[1:]

        assert len(cell) == 32_767
        assert cell.startswith("'=x")
        assert cell.endswith("… [cut]")

    def test_comes_in_pieces_while_rows_are_still_being_made(self) -> None:
        taken = []

        def rows() -> Iterator[list[object]]:
            for number in range(20_000):
                taken.append(number)
                yield [number, "x" * 20]

        pieces = exports.write_csv(["A", "B"], rows())

        assert len(next(pieces)) >= 64 * 1024
        assert len(taken) < 5_000
        assert sum(1 for _ in pieces) > 3

    def test_refuses_a_row_of_another_length(self) -> None:
        with pytest.raises(ValueError, match="row 2 has 1 cells for 2 headers"):
            csv_rows([1, 2], [3])


class TestWriteXlsx:
    @pytest.mark.parametrize("text", [text for text in DANGEROUS if "\r" not in text])
    def test_stores_what_could_be_a_formula_as_text_that_stays_text(self, text: str) -> None:
        cell = xlsx_cell(text)

        assert (cell.value, cell.data_type, cell.quotePrefix) == (text, "s", True)

    @pytest.mark.parametrize("text", ["#REF!", "#N/A", "2026-03-01", "25%", "'t Hooft", "0012"])
    def test_stores_text_that_looks_like_something_else_as_text(self, text: str) -> None:
        cell = xlsx_cell(text)

        assert (cell.value, cell.quotePrefix) == (text, False)
        assert "<f>" not in sheet_xml(text)
        assert 't="inlineStr"' in sheet_xml(text)

    @pytest.mark.parametrize("number", [-5, 0, 2.5, 10**14])
    def test_keeps_numbers(self, number: float) -> None:
        cell = xlsx_cell(number)

        assert (cell.value, cell.data_type) == (number, "n")

    @pytest.mark.parametrize("number", [1234567890123456, float("nan"), float("-inf")])
    def test_writes_numbers_that_a_spreadsheet_would_spoil_as_text(self, number: float) -> None:
        assert xlsx_cell(number).value == str(number)

    def test_turns_aware_times_into_real_ones_in_utc_that_say_so(self) -> None:
        cell = xlsx_cell(datetime(2026, 3, 1, 9, 30, tzinfo=timezone(timedelta(hours=2))))

        assert cell.value == datetime(2026, 3, 1, 7, 30)  # noqa: DTZ001 - a sheet's times have no zone
        assert cell.number_format.endswith('"UTC"')

    def test_writes_a_time_before_the_first_that_a_sheet_knows_as_text(self) -> None:
        assert xlsx_cell(datetime(1850, 1, 1, tzinfo=UTC)).value == "1850-01-01T00:00:00+00:00"

    def test_replaces_illegal_characters_and_keeps_line_breaks(self) -> None:
        assert xlsx_cell("a\x00b\x1fc\ufffed\ud800e\r\nf").value == "a\ufffdb\ufffdc\ufffdd\ufffde\nf"

    def test_escapes_what_excel_would_take_for_a_coded_character(self) -> None:
        assert xlsx_cell("_x0041_").value == "_x005F_x0041_"

    @pytest.mark.parametrize("letter", ["x", "𝔛"])
    def test_cuts_long_cells_with_a_mark(self, letter: str) -> None:
        value = xlsx_cell(letter * 40_000).value

        assert value.endswith("… [cut]")
        assert len(value.encode("utf-16-le")) // 2 in (32_766, 32_767)

    def test_keeps_the_header_in_view(self) -> None:
        book = openpyxl.load_workbook(io.BytesIO(exports.write_xlsx("List", ["A"], [])))

        assert book.worksheets[0].freeze_panes == "A2"
        assert book.worksheets[0]["A1"].font.b is True

    def test_refuses_a_row_of_another_length(self) -> None:
        with pytest.raises(ValueError, match="row 1 has 2 cells for 1 headers"):
            exports.write_xlsx("List", ["A"], [[1, 2]])


def sheet_xml(value: object) -> str:
    with zipfile.ZipFile(io.BytesIO(exports.write_xlsx("List", ["A"], [[value]]))) as archive:
        return archive.read("xl/worksheets/sheet1.xml").decode()


class TestSheetTitle:
    @pytest.mark.parametrize(
        ("title", "expected"),
        [
            ("Spring 2026", "Spring 2026"),
            ("a/b\\c*d?e:f[g]", "a b c d e f g"),
            ("'quoted'", "quoted"),
            ("", "Sheet"),
            ("[]", "Sheet"),
            ("History", "Sheet"),
            ("x" * 40, "x" * 31),
            ("𝔛" * 40, "𝔛" * 15),
            ("a\nb\x07", "a b"),
            ("x" * 30 + "'y", "x" * 30),
        ],
    )
    def test_is_what_a_spreadsheet_allows(self, title: str, expected: str) -> None:
        assert exports.sheet_title(title) == expected

    def test_is_used(self) -> None:
        book = openpyxl.load_workbook(io.BytesIO(exports.write_xlsx("A/B", ["A"], [])))

        assert book.sheetnames == ["A B"]


PEOPLE: list[list[object]] = [
    ["Ann", "Lee", "ann@example.org", "+44 20 7946 0000", "0012", "Europe/London", "en-GB", False, 0],
    ["محمد", "الأحمد", "m@example.org", "020 7946 0000 x12", "=A1", "Asia/Riyadh", "ar", True, 25],
    ["נועה", "כהן־לוי", "n@example.org", "", "@42", "", "he", True, 0],
    ["Nguye\u0302\u0303n".replace("e\u0302\u0303", "ễ"), "q\u0323x\u0301", "v@example.org", "", "-7", "", "", False, 0],
    ["'t", "O'Neill", "o@example.org", "(020) 7946", "a,b;c", "America/New_York", "pt-BR", False, 0],
    ["می\u200cخواهم", "क्\u200dष", "f@example.org", "", '"x"', "UTC", "sr-Latn-RS", False, 0],
    ["-", "+", "d@bücher.example", "", "_x0041_", "", "", False, 0],
]


class TestARosterExportedAndReadAgain:
    @pytest.mark.parametrize("kind", ["csv", "xlsx"])
    def test_has_the_same_values(self, kind: str) -> None:
        headers = list(rosters.HEADERS.values())
        data = (
            b"".join(exports.write_csv(headers, PEOPLE))
            if kind == "csv"
            else exports.write_xlsx("Candidates", headers, PEOPLE)
        )

        roster = rosters.read(data, filename=f"candidates.{kind}")

        assert roster.all_problems == ()
        assert [[getattr(entry, field) for field in rosters.HEADERS] for entry in roster.entries] == PEOPLE
