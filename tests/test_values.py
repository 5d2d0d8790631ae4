"""What is stored of frozen values: versions, and the steps between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import pytest

from proctoring import values


class Kind(StrEnum):
    NOVEL = "novel"


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    title: str
    pages: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelf:
    id: UUID
    kind: Kind = Kind.NOVEL
    at: datetime | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    books: tuple[Book, ...] = ()
    best: Book | None = None


ID = UUID(int=7)
SHELF = Shelf(
    id=ID,
    at=datetime(2026, 3, 2, tzinfo=UTC),
    options={"v": 9, "books": [{"title": "no book of ours"}]},
    books=(Book(title="One", pages=1), Book(title="Two")),
    best=Book(title="One", pages=1),
)


def upgrade(monkeypatch: pytest.MonkeyPatch, cls: type, *steps: values.Step) -> None:
    monkeypatch.setitem(values.UPGRADES, cls, (values.same, *steps))


def with_author(data: dict[str, Any]) -> dict[str, Any]:
    return {**data, "pages": data["pages"] + 100}


def renamed(data: dict[str, Any]) -> dict[str, Any]:
    return {"title": data["name"], **{name: part for name, part in data.items() if name != "name"}}


class TestPacking:
    def test_writes_a_version_into_every_object_and_into_nothing_else(self) -> None:
        packed = values.pack(SHELF)

        assert packed["v"] == packed["best"]["v"] == packed["books"][0]["v"] == packed["books"][1]["v"] == 1
        assert packed["options"] == {"v": 9, "books": [{"title": "no book of ours"}]}

    def test_comes_back_as_it_was(self) -> None:
        assert values.unpack(values.pack(SHELF), Shelf) == SHELF

    def test_leaves_versions_out_of_what_is_only_shown(self) -> None:
        assert values.plain(SHELF.best) == {"title": "One", "pages": 1}

    def test_of_nothing_is_nothing(self) -> None:
        assert values.pack(None) is None


class TestUnpacking:
    def test_reads_what_was_stored_before_there_were_versions(self) -> None:
        assert values.unpack({"title": "One", "pages": 1}, Book) == Book(title="One", pages=1)

    def test_refuses_a_missing_key_by_its_name_although_it_has_a_default(self) -> None:
        with pytest.raises(values.Unreadable, match="Book lacks “pages”"):
            values.unpack({"v": 1, "title": "One"}, Book)

    def test_refuses_a_key_that_is_not_known_by_its_name(self) -> None:
        with pytest.raises(values.Unreadable, match="Book has what is not known here: “author”, “year”"):
            values.unpack({"v": 1, "title": "One", "pages": 1, "year": 1999, "author": "Ann"}, Book)

    def test_refuses_an_inner_object_alike(self) -> None:
        packed = values.pack(SHELF)
        del packed["books"][1]["pages"]

        with pytest.raises(values.Unreadable, match="Book lacks “pages”"):
            values.unpack(packed, Shelf)

    def test_names_no_value(self) -> None:
        with pytest.raises(values.Unreadable, match="pages") as caught:
            values.unpack({"v": 1, "title": "One", "pages": "secret-word"}, Book)

        assert "secret-word" not in str(caught.value)

    @pytest.mark.parametrize("data", [None, [], "text", 7])
    def test_refuses_what_is_no_object(self, data: Any) -> None:
        with pytest.raises(values.Unreadable, match="Book is not an object"):
            values.unpack(data, Book)

    @pytest.mark.parametrize("version", [-1, "1", 1.0, True, None])
    def test_refuses_what_is_no_version(self, version: Any) -> None:
        with pytest.raises(values.Unreadable, match="no version that could be read"):
            values.unpack({"v": version, "title": "One", "pages": 1}, Book)

    def test_says_that_a_newer_version_wrote_it(self) -> None:
        packed = values.pack(SHELF)
        packed["best"] |= {"v": 2, "author": "Ann"}

        with pytest.raises(values.Newer, match="Book is of version 2, and this version of the console reads up to 1"):
            values.unpack(packed, Shelf)


class TestAStep:
    def test_brings_an_older_object_up_wherever_it_lies(self, monkeypatch: pytest.MonkeyPatch) -> None:
        packed = values.pack(SHELF)
        upgrade(monkeypatch, Book, with_author)

        found = values.unpack(packed, Shelf)

        assert [book.pages for book in found.books] == [101, 100]
        assert found.best == Book(title="One", pages=101)

    def test_is_taken_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        upgrade(monkeypatch, Book, with_author)

        packed = values.pack(Book(title="One", pages=1))

        assert packed["v"] == 2
        assert values.unpack(packed, Book).pages == 1

    def test_follows_upon_those_before_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        upgrade(monkeypatch, Book, renamed, with_author)

        assert values.unpack({"name": "One", "pages": 1}, Book) == Book(title="One", pages=101)
        assert values.unpack({"v": 2, "title": "One", "pages": 1}, Book) == Book(title="One", pages=101)
        assert values.unpack({"v": 3, "title": "One", "pages": 1}, Book) == Book(title="One", pages=1)

    def test_that_finds_something_else_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        upgrade(monkeypatch, Book, renamed)

        with pytest.raises(values.Unreadable, match="Book cannot be brought from version 1 to 2"):
            values.unpack({"v": 1, "title": "One", "pages": 1}, Book)

    def test_leaves_what_is_stored_alone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        upgrade(monkeypatch, Book, with_author)
        data = {"v": 1, "title": "One", "pages": 1}

        values.unpack(data, Book)

        assert data == {"v": 1, "title": "One", "pages": 1}
