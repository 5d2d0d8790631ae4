from __future__ import annotations

import io
import random
import time
import zipfile
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import openpyxl
import pytest
from openpyxl.worksheet.worksheet import Worksheet

from proctoring import rosters
from proctoring.rosters import Entry, Problem, Roster

HEADER = "First name,Last name,E-mail"
ALL = "First name,Last name,E-mail,Phone,External id,Time zone,Language,Special needs,Extra time (%)"


def read(text: str, *, filename: str = "roster.csv") -> Roster:
    return rosters.read(text.encode(), filename=filename)


def one(field: str, value: str) -> Entry:
    """The one entry of a roster with this value in this field, quoted."""
    values = {"first_name": "Ann", "last_name": "Lee", "email": "ann@example.org", field: value}
    quoted = ",".join('"{}"'.format(values.get(name, "").replace('"', '""')) for name in rosters.HEADERS)
    [entry] = read(f"{ALL}\n{quoted}\n").entries
    return entry


def only_problem(roster: Roster) -> Problem:
    [problem] = roster.all_problems
    return problem


def workbook(*rows: list[Any], change: Callable[[Worksheet], None] | None = None) -> bytes:
    book = openpyxl.Workbook()
    sheet = book.worksheets[0]
    for row in rows:
        sheet.append(row)
    if change is not None:
        change(sheet)
    return saved(book)


def saved(book: openpyxl.Workbook) -> bytes:
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def repacked(data: bytes, replaced: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(file, "w", method) as new:
        for name in {*old.namelist(), *replaced}:
            new.writestr(name, replaced.get(name) or old.read(name))
    return file.getvalue()


def read_xlsx(data: bytes) -> Roster:
    return rosters.read(data, filename="roster.xlsx")


TITLES = ["First name", "Last name", "E-mail"]
ANN = ["Ann", "Lee", "ann@example.org"]


class TestRead:
    def test_understands_every_column(self) -> None:
        roster = read(f"{ALL}\nAnn,Lee,ann@example.org,+44 20 7946 0000,C-1,europe/berlin,pt_br,yes,25%\n")

        assert roster.is_clean
        assert roster.columns == tuple(rosters.HEADERS)
        assert roster.entries == (
            Entry(
                line=2,
                first_name="Ann",
                last_name="Lee",
                email="ann@example.org",
                phone="+44 20 7946 0000",
                external_id="C-1",
                time_zone="Europe/Berlin",
                language="pt-BR",
                special_needs=True,
                extra_time_percent=25,
                given=frozenset(rosters.HEADERS),
            ),
        )

    @pytest.mark.parametrize("delimiter", [",", ";", "\t"])
    @pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
    def test_takes_any_usual_separator_and_line_ending(self, delimiter: str, ending: str) -> None:
        lines = ["First name,Last name,E-mail", "Ann,Lee,ann@example.org", "", "Bob,Ray,bob@example.org"]

        roster = read(ending.join(lines).replace(",", delimiter))

        assert roster.is_clean
        assert [(entry.line, entry.first_name) for entry in roster.entries] == [(2, "Ann"), (4, "Bob")]

    def test_follows_a_line_that_names_the_separator(self) -> None:
        roster = read(f"sep=;\n{HEADER}\nAnn,Lee,ann@example.org".replace(",", ";"))

        assert [entry.line for entry in roster.entries] == [3]

    def test_counts_lines_as_an_editor_does_where_quoted_values_hold_line_breaks(self) -> None:
        roster = read(f'{HEADER},Note\nAnn,Lee,ann@example.org,"one\r\ntwo\nthree"\n\nBob,Ray,nowhere,x\n')

        assert only_problem(roster) == Problem(
            6, "email", "“nowhere” is not an e-mail address. Write one, such as ann@example.org."
        )

    def test_says_the_line_and_the_field(self) -> None:
        problem = only_problem(read(f"{HEADER}\nAnn,Lee,nowhere"))

        assert str(problem).startswith("Line 2, E-mail: “nowhere” is not")

    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
    def test_reads_unicode_encodings(self, encoding: str) -> None:
        roster = rosters.read(f"{HEADER}\nZoë,Łuć,z@example.org".encode(encoding), filename="r.csv")

        assert roster.is_clean
        assert (roster.entries[0].first_name, roster.entries[0].last_name) == ("Zoë", "Łuć")

    def test_refuses_another_encoding_and_names_the_line(self) -> None:
        data = f"{HEADER}\r\nAnn,Lee,a@example.org\r\nRené,Roux,r@example.org".encode("cp1252")

        problem = only_problem(rosters.read(data, filename="r.csv"))

        assert problem.line == 3
        assert "“René”" in problem.message
        assert "CSV UTF-8" in problem.message

    def test_counts_the_line_of_a_wrong_byte_after_a_byte_order_mark(self) -> None:
        problem = only_problem(rosters.read(b"\xef\xbb\xbfa\n\xff", filename="r.csv"))

        assert problem.line == 2

    @pytest.mark.parametrize("data", [b"\xff\xfea", f"{HEADER}\nA\0".encode(), HEADER.encode("utf-16-le")])
    def test_refuses_damaged_and_unmarked_text(self, data: bytes) -> None:
        assert "CSV UTF-8" in only_problem(rosters.read(data, filename="r.csv")).message

    def test_reports_a_quotation_mark_that_is_never_closed(self) -> None:
        problem = only_problem(read(f'{HEADER}\nAnn,Lee,a@example.org\n"Bob,Ray,b@example.org\nx,y,z\n'))

        assert problem.line == 3
        assert "not closed" in problem.message

    def test_reports_values_without_a_column(self) -> None:
        problem = only_problem(read(f"{HEADER}\nAnn,Lee,ann@example.org,Jr\nBob,Ray,b@example.org,,\n"))

        assert problem.line == 2
        assert "4 values and 3 columns" in problem.message

    def test_reports_each_empty_value_that_is_needed(self) -> None:
        [entry] = read(f"{HEADER},Phone\n ,,\u200b,020 7946 0000").entries

        assert [problem.field for problem in entry.problems] == ["first_name", "last_name", "email"]

    @pytest.mark.parametrize(
        ("data", "words"),
        [
            (b"", "is empty"),
            (b" \r\n", "is empty"),
            (b"\xef\xbb\xbf", "no filled cells"),
            (b",,\n,,", "no filled cells"),
            (HEADER.encode(), "nobody below it"),
            (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "old Excel workbook"),
            (b"\xd0\xcf\x11\xe0" + "EncryptedPackage".encode("utf-16-le"), "password"),
            (b"%PDF-1.7", "a PDF"),
            (b"\x89PNG\r\n", "an image"),
            (b"\xff\xd8\xff\xe0", "an image"),
            (b"\x00\x00\x00\x18ftypheic", "an image"),
            (b"\x1f\x8b\x08", "a compressed archive"),
            (b"\n<!DOCTYPE html><table>", "a web page"),
            (b"<html><table>", "a web page"),
            (b'<?xml version="1.0"?>', "XML"),
            (b"PK\x05\x06" + bytes(18), "a zip archive"),
            (b"PK\x03\x04 broken", "damaged"),
        ],
    )
    def test_says_what_a_wrong_file_is(self, data: bytes, words: str) -> None:
        assert words in only_problem(rosters.read(data, filename="roster.xls")).message

    def test_refuses_more_than_the_limits(self) -> None:
        row = "Ann,Lee,{}@example.org\n"
        many = f"{HEADER}\n" + "".join(row.format(number) for number in range(20_001))
        wide = ",".join(f"c{number}" for number in range(300))
        long = f"{HEADER},Note\n" + f"Ann,Lee,a@example.org,{'x' * 100_000}\n" * 60

        assert "more than 20,000 candidates" in only_problem(read(many)).message
        assert "more than 256 columns" in only_problem(read(wide)).message
        assert "5 MiB of text" in only_problem(read(long)).message
        assert "larger than 10 MiB" in only_problem(rosters.read(b"x" * 10 * 1024**2 + b"x", filename="r")).message
        assert only_problem(read(f"{HEADER}\n{'x' * 200_000},Lee,a@example.org")).line == 2


class TestHeaders:
    @pytest.mark.parametrize(
        ("title", "field"),
        [
            ("PHONE", "phone"),
            ("phone_number", "phone"),
            ("Mobile", "phone"),
            ("Candidate ID", "external_id"),
            ("student-id", "external_id"),
            ("External id", "external_id"),
            ("TZ", "time_zone"),
            ("timezone", "time_zone"),
            ("Lang", "language"),
            ("SpecialNeeds", "special_needs"),
            ("Extra time", "extra_time_percent"),
            ("Extra time (%)", "extra_time_percent"),
            ("EXTRA_TIME_PERCENT", "extra_time_percent"),
        ],
    )
    def test_are_known_by_many_names(self, title: str, field: str) -> None:
        roster = read(f"\ufeffGiven name,FAMILY-NAME , E-mail address,{title}\nAnn,Lee,ann@example.org,")

        assert roster.columns == ("first_name", "last_name", "email", field)
        assert roster.ignored_columns == ()
        assert roster.entries[0].given == {"first_name", "last_name", "email"}

    def test_that_mean_nothing_are_reported_as_ignored(self) -> None:
        assert read(f"{HEADER},Shoe size\nAnn,Lee,ann@example.org,42").ignored_columns == ("Shoe size",)

    def test_that_mean_the_same_are_refused_with_both_named(self) -> None:
        problem = only_problem(read(f"{HEADER},Phone,Mobile\nAnn,Lee,ann@example.org,,"))

        assert problem.line == 1
        assert problem.field == "phone"
        assert "“Phone” (column 4) and “Mobile” (column 5)" in problem.message

    def test_that_are_missing_are_named_with_what_was_found_and_what_is_accepted(self) -> None:
        roster = read("\nVorname,Surname,Telefon\nAnn,Lee,1")

        assert [(problem.line, problem.field) for problem in roster.problems] == [(2, "first_name"), (2, "email")]
        assert "Found in this line: “Vorname”, “Surname”, “Telefon”" in roster.problems[0].message
        assert "“Given name”" in roster.problems[0].message
        assert "“Full name”" in roster.problems[0].message

    def test_of_extra_time_in_minutes_are_refused(self) -> None:
        assert "in minutes" in only_problem(read(f"{HEADER},Extra time (minutes)\nAnn,Lee,a@example.org,10")).message

    @pytest.mark.parametrize(
        ("full_name", "names"),
        [
            ("Ann Lee", ("Ann", "Lee")),
            ("Ann Mary Lee", ("Ann Mary", "Lee")),
            ('"Lee, Ann Mary"', ("Ann Mary", "Lee")),
            ("María de la Cruz", ("María", "de la Cruz")),
            ("ann mary lee", ("ann mary", "lee")),
        ],
    )
    def test_may_keep_both_names_in_one_column(self, full_name: str, names: tuple[str, str]) -> None:
        roster = read(f"Name,E-mail\n{full_name},ann@example.org")

        assert roster.is_clean
        assert (roster.entries[0].first_name, roster.entries[0].last_name) == names
        assert roster.columns == ("first_name", "last_name", "email")

    def test_of_a_full_name_need_two_words(self) -> None:
        problem = only_problem(read("Name,E-mail\nAnn,ann@example.org"))

        assert (problem.line, problem.field) == (2, "full_name")
        assert "one word" in problem.message

    def test_of_a_full_name_are_ignored_beside_both_names(self) -> None:
        assert read(f"{HEADER},Full name\nAnn,Lee,ann@example.org,x").ignored_columns == ("Full name",)


class TestNames:
    @pytest.mark.parametrize(
        "name",
        [
            "محمد",
            "נועה",
            "q\u0323x\u0301",
            "می\u200cخواهم",
            "क्\u200dष",
            "O'Neill",
            "'t Hooft",
            "李",
            "Ann-Mary",
            "x" * 150,
        ],
    )
    def test_are_kept_in_any_script(self, name: str) -> None:
        entry = one("first_name", name)

        assert entry.problems == ()
        assert entry.first_name == name

    @pytest.mark.parametrize("padding", ["  ", "\u00a0", "\ufeff", "\u200b", "\u3000", "\u200e"])
    def test_lose_outer_blanks(self, padding: str) -> None:
        assert one("first_name", f"{padding}Ann{padding}").first_name == "Ann"

    def test_are_composed(self) -> None:
        assert one("first_name", "Zoe\u0308").first_name == "Zoë"

    @pytest.mark.parametrize(
        ("name", "words"),
        [
            ("Ann\u202eeeL", "U+202E (right-to-left override), an invisible sign that turns text around"),
            ("\u2066Ann\u2069", "U+2066"),
            ("A\x07nn", "U+0007 (control character)"),
            ("A\tnn", "U+0009"),
            ("A\nnn", "a line break"),
            ("A\u2028nn", "a line break"),
            ("A\u200bnn", "U+200B"),
            ("Ren\ufffd", "lost in an earlier conversion"),
            ("A\ufffenn", "U+FFFE"),
            ("x" * 151, "151 characters long, and 150 are allowed"),
        ],
    )
    def test_are_refused_with_what_cannot_be_seen(self, name: str, words: str) -> None:
        entry = one("last_name", name)

        assert entry.last_name == ""
        [problem] = entry.problems
        assert words in problem.message
        assert problem.message.isprintable()


class TestValues:
    @pytest.mark.parametrize("email", ["Ann.Lee+x@Example.org", "ann@bücher.example", "mailto:ann@example.org"])
    def test_take_e_mail_addresses(self, email: str) -> None:
        entry = one("email", email)

        assert entry.problems == ()
        assert entry.email == email.removeprefix("mailto:")

    @pytest.mark.parametrize(
        "email",
        [
            "ann",
            "ann@",
            "a b@example.org",
            "ann@exam\u200bple.org",
            "ann@example.org\x01b",
            f"{'x' * 250}@a.org",
            "a@b@c",
        ],
    )
    def test_refuse_what_is_no_e_mail_address(self, email: str) -> None:
        entry = one("email", email)

        assert entry.email == ""
        assert [problem.field for problem in entry.problems] == ["email"]

    @pytest.mark.parametrize(
        ("written", "phone"),
        [
            ("+44 (0)20-7946.0000 ext. 12", "+44 (0)20-7946.0000 ext. 12"),
            ("'+44 20 7946 0000", "+44 20 7946 0000"),
            ("020\u00a07946\u20110000", "020 7946-0000"),
            ("02079460000x12", "02079460000x12"),
        ],
    )
    def test_take_phone_numbers(self, written: str, phone: str) -> None:
        entry = one("phone", written)

        assert (entry.phone, entry.problems) == (phone, ())

    @pytest.mark.parametrize(
        "phone", ["none", "1234", "+", "4.47E+11", "=1+12345", "1" * 51, "\u202a+442079460000\u202c"]
    )
    def test_refuse_what_is_no_phone_number(self, phone: str) -> None:
        assert [problem.field for problem in one("phone", phone).problems] == ["phone"]

    @pytest.mark.parametrize("external_id", ["x" * 256, "1.23457E+15", "a\u202eb", "#REF!"])
    def test_refuse_an_external_id_that_is_damaged(self, external_id: str) -> None:
        assert [problem.field for problem in one("external_id", external_id).problems] == ["external_id"]

    def test_lose_the_apostrophe_that_protects_from_formulas(self) -> None:
        assert [one("external_id", written).external_id for written in ("'=A1", "''=A1", "'A1")] == [
            "=A1",
            "'=A1",
            "'A1",
        ]

    @pytest.mark.parametrize(
        ("written", "zone"),
        [("europe/berlin", "Europe/Berlin"), ("America/New York", "America/New_York"), ("utc", "UTC")],
    )
    def test_take_time_zones(self, written: str, zone: str) -> None:
        entry = one("time_zone", written)

        assert (entry.time_zone, entry.problems) == (zone, ())

    @pytest.mark.parametrize(
        ("written", "words"),
        [
            ("CET", "Did you mean Europe/Berlin?"),
            ("est", "Did you mean America/New_York?"),
            ("Europe/Berln", "Did you mean Europe/Berlin?"),
            ("Berlin", "Did you mean Europe/Berlin?"),
            ("Asia/Calcuta", "Did you mean Asia/Calcutta?"),
            ("+01:00", "such as Europe/Berlin"),
            ("localtime", "such as Europe/Berlin"),
            ("../../etc/passwd", "such as Europe/Berlin"),
        ],
    )
    def test_refuse_other_time_zones_with_advice(self, written: str, words: str) -> None:
        [problem] = one("time_zone", written).problems

        assert words in problem.message

    @pytest.mark.parametrize(
        ("written", "tag"),
        [
            ("EN", "en"),
            ("en_gb", "en-GB"),
            ("zh-hant-tw", "zh-Hant-TW"),
            ("es-419", "es-419"),
            ("de-CH-1996", "de-CH-1996"),
        ],
    )
    def test_normalise_language_codes(self, written: str, tag: str) -> None:
        entry = one("language", written)

        assert (entry.language, entry.problems) == (tag, ())

    @pytest.mark.parametrize(
        ("written", "words"),
        [("English", "Write en."), ("deutsch", "Write de."), ("e", "such as en"), ("en--GB", "such as")],
    )
    def test_refuse_other_languages_with_advice(self, written: str, words: str) -> None:
        [problem] = one("language", written).problems

        assert words in problem.message

    @pytest.mark.parametrize(
        ("written", "expected"),
        [
            ("Yes", True),
            ("TRUE", True),
            ("1", True),
            ("X", True),
            ("no", False),
            ("false", False),
            ("0", False),
            ("", False),
        ],
    )
    def test_take_yes_and_no(self, written: str, expected: bool) -> None:
        entry = one("special_needs", written)

        assert (entry.special_needs, entry.problems) == (expected, ())
        assert ("special_needs" in entry.given) is bool(written)

    def test_refuse_special_needs_in_words(self) -> None:
        [problem] = one("special_needs", "dyslexia").problems

        assert "neither yes nor no" in problem.message

    @pytest.mark.parametrize(
        ("written", "percent"), [("25", 25), ("25%", 25), ("25 %", 25), ("25.0", 25), ("999", 999)]
    )
    def test_take_percentages_which_imply_special_needs(self, written: str, percent: int) -> None:
        entry = one("extra_time_percent", written)

        assert (entry.extra_time_percent, entry.special_needs, entry.problems) == (percent, True, ())
        assert "special_needs" in entry.given

    def test_take_no_extra_time_for_no_special_needs(self) -> None:
        entry = one("extra_time_percent", "0")

        assert (entry.special_needs, entry.problems) == (False, ())
        assert "special_needs" not in entry.given

    @pytest.mark.parametrize("written", ["-5", "1000", "0.25", "12.5", "a quarter", "30 min", "1e2"])
    def test_refuse_other_percentages(self, written: str) -> None:
        entry = one("extra_time_percent", written)

        assert (entry.extra_time_percent, entry.special_needs) == (0, False)
        assert [problem.field for problem in entry.problems] == ["extra_time_percent"]

    def test_refuse_extra_time_where_special_needs_are_denied(self) -> None:
        problem = only_problem(read(f"{HEADER},Special needs,Extra time\nAnn,Lee,ann@example.org,no,25"))

        assert (problem.line, problem.field) == (2, "special_needs")

    @pytest.mark.parametrize("field", ["first_name", "email", "phone", "extra_time_percent"])
    def test_refuse_the_errors_of_a_spreadsheet(self, field: str) -> None:
        [problem] = one(field, "#N/A").problems

        assert problem.field == field
        assert "error #N/A" in problem.message


class TestRepeats:
    def test_are_reported_on_the_later_line_with_the_first_named(self) -> None:
        roster = read(f"{HEADER},ID\nAnn,Lee,ann@example.org,7\nBob,Ray,ANN@example.org,8\nCy,Roe,cy@example.org,7")

        assert [(problem.line, problem.field) for problem in roster.all_problems] == [(3, "email"), (4, "external_id")]
        assert all("already on line 2" in problem.message for problem in roster.all_problems)

    def test_are_found_on_one_pasted_line(self) -> None:
        assert only_problem(rosters.read_text("a@example.org; a@example.org")).line == 1


class TestReadText:
    @pytest.mark.parametrize("delimiter", ["\t", ",", ";"])
    def test_takes_a_table_with_a_header(self, delimiter: str) -> None:
        roster = rosters.read_text("Surname,Given name,Mail,Note\nLee,Ann,ann@example.org,x".replace(",", delimiter))

        assert roster.is_clean
        assert roster.entries[0].first_name == "Ann"
        assert roster.ignored_columns == ("Note",)

    def test_follows_a_line_that_names_the_separator(self) -> None:
        assert [entry.line for entry in rosters.read_text("sep=;\nName;Mail\nAnn Lee;ann@example.org").entries] == [3]

    @pytest.mark.parametrize(
        "line",
        [
            "Ann Lee <ann@example.org>",
            '"Lee, Ann" <ann@example.org>,',
            "Lee, Ann <ann@example.org>;",
            "Ann\tLee\tann@example.org",
            "Ann;Lee;ann@example.org",
            "Ann,Lee,ann@example.org",
            "ann@example.org, Ann, Lee",
            "Ann Lee, ann@example.org",
            "Ann Lee ann@example.org",
        ],
    )
    def test_takes_a_person_on_a_line(self, line: str) -> None:
        roster = rosters.read_text(f"\n{line}\n")

        assert roster.all_problems == ()
        assert [(e.line, e.first_name, e.last_name, e.email) for e in roster.entries] == [
            (2, "Ann", "Lee", "ann@example.org")
        ]

    def test_takes_the_documented_order_without_a_header(self) -> None:
        [entry] = rosters.read_text("Ann\tLee\tann@example.org\t+44 20 7946 0000\tC1\tUTC\ten\tx\t25").entries

        assert entry.problems == ()
        assert (entry.phone, entry.external_id, entry.extra_time_percent) == ("+44 20 7946 0000", "C1", 25)

    @pytest.mark.parametrize(
        "text", ["a@example.org\nb@example.org", "a@example.org, b@example.org", "E-mail\na@example.org\nb@example.org"]
    )
    def test_takes_addresses_alone_without_asking_for_names(self, text: str) -> None:
        roster = rosters.read_text(text)

        assert roster.is_clean
        assert [entry.email for entry in roster.entries] == ["a@example.org", "b@example.org"]
        assert {entry.given for entry in roster.entries} == {frozenset({"email"})}

    def test_takes_the_recipients_of_a_mail(self) -> None:
        roster = rosters.read_text("Ann Lee <a@example.org>; Ray, Bob <b@example.org>; c@example.org <c@example.org>")

        assert [(entry.first_name, entry.email) for entry in roster.entries] == [
            ("Ann", "a@example.org"),
            ("Bob", "b@example.org"),
            ("", "c@example.org"),
        ]

    @pytest.mark.parametrize(
        ("line", "words"),
        [
            ("Ann Lee", "no e-mail address"),
            ("Vorname;Nachname", "header line"),
            ("Ann Lee <ann@example.org> x", "follows the address"),
            ("x@example.org; Ann <ann@example.org>", "line of their own"),
            ("a@example.org, Ann Lee, b@example.org", "line of their own"),
            ("1,Ann,Lee,x,ann@example.org", "with its header line"),
            ('"Ann,ann@example.org', "not closed"),
            ("Ann <ann@example.org>", "one word"),
            ("Ann Lee <nowhere>", "not an e-mail address"),
        ],
    )
    def test_says_what_is_wrong_with_a_line(self, line: str, words: str) -> None:
        problem = only_problem(rosters.read_text(f"Bob Ray <bob@example.org>\n{line}"))

        assert problem.line == 2
        assert words in problem.message

    def test_still_asks_for_names_in_a_table(self) -> None:
        problem = only_problem(rosters.read_text("First name,Last name,E-mail\nAnn,,ann@example.org"))

        assert (problem.line, problem.field) == (2, "last_name")

    @pytest.mark.parametrize(
        "text", ["", " \n", "a\0@example.org", "a@example.org\n" * 20_001, "x" * (5 * 1024**2 + 1), "\ud800 <a@b.org>"]
    )
    def test_refuses_what_is_empty_broken_or_too_long(self, text: str) -> None:
        assert not rosters.read_text(text).is_clean


class TestWorkbooks:
    def test_turns_cells_into_sensible_text(self) -> None:
        def change(sheet: Worksheet) -> None:
            sheet["E2"].number_format = "0000"
            sheet["I2"].number_format = "0%"

        titles = [*TITLES, "Phone", "ID", "TZ", "Language", "Special needs", "Extra time"]
        roster = read_xlsx(workbook(titles, [*ANN, 447700900123.0, 12, "UTC", "en", True, 0.07], change=change))

        assert roster.all_problems == ()
        [entry] = roster.entries
        assert (entry.phone, entry.external_id) == ("447700900123", "0012")
        assert (entry.special_needs, entry.extra_time_percent) == (True, 7)

    def test_reads_numbers_with_a_percent_sign_of_their_own(self) -> None:
        data = workbook([*TITLES, "Extra time"], [*ANN, 25], change=lambda sheet: percent_sign(sheet["D2"]))

        assert read_xlsx(data).entries[0].extra_time_percent == 25

    def test_refuses_a_fraction_that_is_not_formatted_as_a_percentage(self) -> None:
        assert only_problem(read_xlsx(workbook([*TITLES, "Extra time"], [*ANN, 0.25]))).line == 2

    def test_refuses_a_number_of_which_digits_are_lost(self) -> None:
        problem = only_problem(read_xlsx(workbook([*TITLES, "ID"], [*ANN, 1234567890123450])))

        assert "shortened by the spreadsheet" in problem.message

    def test_turns_dates_into_text(self) -> None:
        roster = read_xlsx(workbook([*TITLES, "ID"], [*ANN, datetime(2026, 3, 1)]))  # noqa: DTZ001 - as a sheet has it

        assert roster.entries[0].external_id == "2026-03-01"

    def test_counts_rows_as_the_spreadsheet_does(self) -> None:
        roster = read_xlsx(workbook([], TITLES, [], ANN, ["Bob\nX", "Ray", "bob@example.org"]))

        assert [entry.line for entry in roster.entries] == [4, 5]
        assert only_problem(roster).line == 5

    def test_takes_the_first_visible_sheet_and_names_the_others(self) -> None:
        book = openpyxl.load_workbook(io.BytesIO(workbook(["nothing"])))
        book.worksheets[0].sheet_state = "hidden"
        for title in ("People", "More"):
            sheet = book.create_sheet(title)
            sheet.append(TITLES)
            sheet.append(ANN)

        roster = read_xlsx(saved(book))

        assert roster.is_clean
        assert [entry.email for entry in roster.entries] == ["ann@example.org"]
        assert roster.ignored_sheets == ("More",)

    @pytest.mark.parametrize(
        ("cell", "words"),
        [
            (b'<c r="D2" t="e"><f>A99</f><v>#REF!</v></c>', "error #REF!"),
            (b'<c r="D2"><f>A99</f><v></v></c>', "without a stored result"),
            (b'<c r="D2" s="0" t="n"><f>A99</f></c>', "without a stored result"),
        ],
    )
    def test_names_the_cell_that_holds_an_error_or_no_result(self, cell: bytes, words: str) -> None:
        problem = only_problem(read_xlsx(with_cell(cell)))

        assert (problem.line, problem.field) == (2, "phone")
        assert words in problem.message

    @pytest.mark.parametrize(
        ("cell", "phone"),
        [
            (b'<c r="D2" t="str"><f>A99</f><v>020 7946 0000</v></c>', "020 7946 0000"),
            (b'<c r="D2"><f t="shared" si="0"/><v>2079460000</v></c>', "2079460000"),
            (b'<c r="D2" t="str"><f>A99</f><v></v></c>', ""),
        ],
    )
    def test_takes_the_stored_result_of_a_formula(self, cell: bytes, phone: str) -> None:
        roster = read_xlsx(with_cell(cell))

        assert roster.is_clean
        assert roster.entries[0].phone == phone

    def test_does_not_believe_a_sheet_about_its_size(self) -> None:
        data = workbook(TITLES, ANN)
        sheet = member(data, "xl/worksheets/sheet1.xml").replace(b'ref="A1:C2"', b'ref="A1:A1"')

        assert read_xlsx(repacked(data, {"xl/worksheets/sheet1.xml": sheet})).is_clean

    @pytest.mark.parametrize(
        ("old", "new"),
        [(b'<row r="2"', b'<row r="99999999999"'), (b'r="C2"', b'r="XFD2"'), (b'r="C2"', b'r="ZZZZZZZ2"')],
    )
    def test_is_not_led_astray_by_cells_far_away(self, old: bytes, new: bytes) -> None:
        data = workbook(TITLES, ANN)
        sheet = member(data, "xl/worksheets/sheet1.xml").replace(old, new)

        assert not read_xlsx(repacked(data, {"xl/worksheets/sheet1.xml": sheet})).is_clean

    def test_refuses_to_unpack_a_bomb(self) -> None:
        bomb = repacked(workbook(TITLES, ANN), {"xl/media/image.png": bytes(33 * 1024**2)})

        assert "unpacks to more than 32 MiB" in only_problem(read_xlsx(bomb)).message

    def test_refuses_a_bomb_that_lies_about_its_size(self) -> None:
        size = 33 * 1024**2
        bomb = repacked(workbook(TITLES, ANN), {"xl/sharedStrings.xml": bytes(size)})

        lying = bomb.replace(size.to_bytes(4, "little"), (100).to_bytes(4, "little"))

        assert lying != bomb
        assert "damaged" in only_problem(read_xlsx(lying)).message

    def test_refuses_other_ways_of_packing(self) -> None:
        packed = repacked(workbook(TITLES, ANN), {}, method=zipfile.ZIP_BZIP2)

        assert "unusual way" in only_problem(read_xlsx(packed)).message

    def test_refuses_xml_that_grows(self) -> None:
        grown = b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><worksheet>&b;</worksheet>'

        assert (
            "damaged"
            in only_problem(read_xlsx(repacked(workbook(TITLES), {"xl/worksheets/sheet1.xml": grown}))).message
        )

    @pytest.mark.parametrize(
        ("names", "words"),
        [
            (["a.txt"], "a zip archive"),
            (["[Content_Types].xml", "word/document.xml"], "a document"),
            (["[Content_Types].xml", "xl/workbook.bin"], "(.xlsb)"),
            (["[Content_Types].xml", "xl/workbook.xml"], "damaged"),
        ],
    )
    def test_says_what_another_archive_is(self, names: list[str], words: str) -> None:
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            for name in names:
                archive.writestr(name, "x")

        assert words in only_problem(read_xlsx(file.getvalue())).message


def percent_sign(cell: Any) -> None:
    cell.number_format = '0"%"'


def member(data: bytes, name: str) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return archive.read(name)


def with_cell(cell: bytes) -> bytes:
    """A roster whose phone number is this cell, as a spreadsheet would have written it."""
    data = workbook([*TITLES, "Phone"], [*ANN, 1])
    written = b'<c r="D2" t="n"><v>1</v></c>'
    sheet = member(data, "xl/worksheets/sheet1.xml")
    assert written in sheet
    return repacked(data, {"xl/worksheets/sheet1.xml": sheet.replace(written, cell)})


class TestRubbish:
    def test_never_raises(self) -> None:
        source = random.Random(7)
        good = [f"{ALL}\nAnn,Lee,ann@example.org,+44 20 7946 0000,1,UTC,en,yes,25\n".encode(), workbook(TITLES, ANN)]
        good.append(good[0].decode().encode("utf-16"))

        for _ in range(400):
            data = bytearray(source.choice(good) if source.random() < 0.8 else source.randbytes(source.randrange(300)))
            for _ in range(source.randrange(6)):
                place = source.randrange(len(data) + 1)
                data[place : place + source.randrange(9)] = source.randbytes(source.randrange(9))
            assert isinstance(rosters.read(bytes(data), filename="rubbish"), Roster)

    def test_never_raises_for_text(self) -> None:
        source = random.Random(11)
        signs = "a@.,;\t\n\r\"'<>=+-% \u202e\u200d\ufeff\ud800é१25" + HEADER

        for _ in range(2_000):
            text = "".join(source.choices(signs, k=source.randrange(60)))
            for roster in (rosters.read_text(text), rosters.read_text(f"{ALL}\n{text}")):
                assert all(problem.message.encode("utf-8") for problem in roster.all_problems)


class TestSpeed:
    def test_reads_5000_lines_with_faults_quickly(self) -> None:
        lines = [
            f"Zoë{number},Lee,{'nowhere' if number % 7 == 0 else f'a{number}@example.org'},12,{number % 4000},"
            f"Europe/Berln{number},Englisch,perhaps,{number}%"
            for number in range(5_000)
        ]
        started_at = time.process_time()

        roster = read("\n".join([ALL, *lines]))

        assert time.process_time() - started_at < 3  # 0.5 s on a quiet machine
        assert len(roster.entries) == 5_000
        assert len(roster.all_problems) > 20_000
