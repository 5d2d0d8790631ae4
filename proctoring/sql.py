"""SQL by hand, for the few roads that are too hot for the ORM. What PostgreSQL and SQLite have in common, and where not, here.

Values go in and come out as the model's fields have them: UUIDs, moments with a time zone, encrypted text.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from datetime import datetime
from functools import lru_cache
from typing import Any, TypeVar
from uuid import UUID

from django.db import connection, models, transaction
from django.db.models.fields.json import JSONField

SQLITE_NOW = "strftime('%%Y-%%m-%%d %%H:%%M:%%f', 'now') || '000'"

M = TypeVar("M", bound=models.Model)
_writing = threading.RLock()


def now_sql() -> str:
    """The database's own clock, as it is at this statement."""
    return SQLITE_NOW if connection.vendor == "sqlite" else "statement_timestamp()"


def locked_sql() -> str:
    """Locks the selected rows against writers. SQLite's transactions lock the whole database when they begin."""
    return "" if connection.vendor == "sqlite" else " FOR NO KEY UPDATE"


@contextmanager
def transact() -> Iterator[None]:
    """A transaction that will write. The threads of one process take turns at SQLite, which would let them sleep instead."""
    with write_turn(), transaction.atomic():
        yield


def write_turn() -> AbstractContextManager[Any]:
    """This process's turn to write, where the database takes one writer at a time."""
    return _writing if connection.vendor == "sqlite" else nullcontext()


def execute(sql: str, values: Sequence[Any]) -> int:
    """Runs one statement; returns how many rows it changed."""
    with connection.cursor() as cursor:
        cursor.execute(sql, bound(values))
        return int(cursor.rowcount)


Statement = tuple[str, Sequence[Sequence[Any]]]  # SQL, and the values of each time that it runs


def execute_many(*statements: Statement) -> list[int]:
    """Runs each statement for each of its rows of values, in order; returns how many rows each changed.

    PostgreSQL gets them all before its first answer is waited for.
    """
    with ExitStack() as stack:
        cursors = [stack.enter_context(connection.cursor()) for _ in statements]
        with _pipeline():
            for cursor, (sql, its_rows) in zip(cursors, statements, strict=True):
                if its_rows:
                    cursor.executemany(sql, [bound(values) for values in its_rows])
        return [cursor.rowcount if its_rows else 0 for cursor, (_, its_rows) in zip(cursors, statements, strict=True)]


def _pipeline() -> AbstractContextManager[Any]:
    pipeline = getattr(connection.connection, "pipeline", None)
    return pipeline() if pipeline is not None else nullcontext()


def rows(sql: str, values: Sequence[Any]) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(sql, bound(values))
        return list(cursor.fetchall())


def insert_sql(model: type[models.Model], columns: Sequence[str]) -> str:
    names, marks = ", ".join(f'"{name}"' for name in columns), ", ".join(["%s"] * len(columns))
    return f'INSERT INTO "{model._meta.db_table}" ({names}) VALUES ({marks})'  # noqa: S608


def load(model: type[M], where: str, values: Sequence[Any]) -> list[M]:
    """The rows as instances: `where` is all that follows WHERE."""
    names, columns, convert = _reading(model, connection.vendor)
    found = rows(f'SELECT {columns} FROM "{model._meta.db_table}" WHERE {where}', values)  # noqa: S608
    return [model.from_db(connection.alias, names, convert(row)) for row in found]


@lru_cache(maxsize=32)
def _reading(
    model: type[models.Model], vendor: str
) -> tuple[tuple[str, ...], str, Callable[[Sequence[Any]], list[Any]]]:
    """Names, columns and the conversion of a row, worked out once: Django does so for every query."""
    fields = model._meta.concrete_fields
    conversions = []
    for index, field in enumerate(fields):
        column = field.get_col(model._meta.db_table)
        for converter in (*connection.ops.get_db_converters(column), *column.get_db_converters(connection)):
            conversions.append((index, converter, column))

    def convert(row: Sequence[Any]) -> list[Any]:
        values = list(row)
        for index, converter, column in conversions:
            values[index] = converter(values[index], column, connection)
        return values

    return tuple(field.attname for field in fields), ", ".join(f'"{field.column}"' for field in fields), convert


def bound(values: Sequence[Any]) -> list[Any]:
    """Values as the database's driver wants them."""
    return [_bind(value) for value in values]


def _bind(value: Any) -> Any:
    if isinstance(value, UUID):
        return value if connection.features.has_native_uuid_field else value.hex
    return connection.ops.adapt_datetimefield_value(value) if isinstance(value, datetime) else value


def json(model: type[models.Model], name: str, value: Any) -> Any:
    """A value for a JSON column."""
    field = model._meta.get_field(name)
    assert isinstance(field, JSONField)  # noqa: S101 - the caller names a JSON column
    return field.get_db_prep_value(value, connection)


def moment(value: Any) -> datetime:
    """What `now_sql` gave, as a moment."""
    return value if isinstance(value, datetime) else datetime.fromisoformat(f"{value}+00:00")
