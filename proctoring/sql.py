"""SQL by hand, for the few roads that are too hot for the ORM. What PostgreSQL and SQLite have in common, and where not, here.

Values go in and come out as the model's fields have them: UUIDs, moments with a time zone, encrypted text.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from datetime import datetime
from functools import lru_cache
from operator import attrgetter
from typing import Any, TypeVar
from uuid import UUID

from django.db import connection, models, transaction
from django.db.models.fields.json import JSONField

# SQLite's clock knows milliseconds, cut off: what became due in this one would not be due yet.
SQLITE_NOW = "strftime('%%Y-%%m-%%d %%H:%%M:%%f', 'now', '+0.001 seconds') || '000'"

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
Query = tuple[str, Sequence[Any]]  # SQL, and its values


def execute_many(*statements: Statement) -> list[int]:
    """Runs each statement for each of its rows of values, in order; returns how many rows each changed."""
    return exchange(statements, ())[0]


def exchange(statements: Sequence[Statement], queries: Sequence[Query]) -> tuple[list[int], list[list[Any]]]:
    """Runs statements as `execute_many` does, then queries: how many rows each changed, and the rows that each found.

    PostgreSQL gets them all before its first answer is waited for: one round trip, however many they are.
    """
    with ExitStack() as stack:
        writing = [stack.enter_context(connection.cursor()) for _ in statements]
        asking = [stack.enter_context(connection.cursor()) for _ in queries]
        with connection.wrap_database_errors, _pipeline():
            for cursor, (sql, its_rows) in zip(writing, statements, strict=True):
                if its_rows:
                    cursor.executemany(sql, [bound(values) for values in its_rows])
            for cursor, (sql, values) in zip(asking, queries, strict=True):
                cursor.execute(sql, bound(values))
        changed = [
            cursor.rowcount if its_rows else 0 for cursor, (_, its_rows) in zip(writing, statements, strict=True)
        ]
        found = [list(cursor.fetchall()) for cursor in asking]
        return changed, found


def _pipeline() -> AbstractContextManager[Any]:
    pipeline = getattr(connection.connection, "pipeline", None)
    return pipeline() if pipeline is not None else nullcontext()


def insert_sql(model: type[models.Model], columns: Sequence[str]) -> str:
    names, marks = ", ".join(f'"{name}"' for name in columns), ", ".join(["%s"] * len(columns))
    return f'INSERT INTO "{model._meta.db_table}" ({names}) VALUES ({marks})'  # noqa: S608


def inserting(model: type[M], instances: Iterable[M], *, or_skip: bool = False) -> Statement:
    """The statement that writes new rows as `bulk_create` does; `or_skip`, those that no constraint refuses."""
    columns, prepare = _row_writer(model, connection.vendor)
    skip = " ON CONFLICT DO NOTHING" if or_skip else ""
    return insert_sql(model, columns) + skip, [prepare(instance) for instance in instances]


_PLAIN = (
    models.BooleanField,
    models.CharField,
    models.DateTimeField,
    models.EmailField,
    models.ForeignKey,
    models.PositiveIntegerField,
    models.PositiveSmallIntegerField,
    models.SmallIntegerField,
    models.TextField,
    models.URLField,
    models.UUIDField,
)


@lru_cache(maxsize=32)
def _row_writer(model: type[models.Model], vendor: str) -> tuple[list[str], Callable[[models.Model], list[Any]]]:
    """Columns of a row, and its values as `bound` takes them, worked out once. Only what is special is asked for its own way."""
    fields = model._meta.concrete_fields
    special = [(index, field) for index, field in enumerate(fields) if type(field) not in _PLAIN]
    values_of = attrgetter(*[field.attname for field in fields])

    def prepare(instance: models.Model) -> list[Any]:
        values = list(values_of(instance))
        for index, field in special:
            values[index] = field.get_db_prep_save(values[index], connection)
        return values

    return [str(field.column) for field in fields], prepare


def selecting(model: type[models.Model], where: str, values: Sequence[Any]) -> Query:
    """The query for rows of a model: `where` is all that follows WHERE. `loaded` makes instances of what it finds."""
    columns = _row_reader(model, connection.vendor)[1]
    return f'SELECT {columns} FROM "{model._meta.db_table}" WHERE {where}', values  # noqa: S608


def loaded(model: type[M], found: Sequence[Sequence[Any]]) -> list[M]:
    names, _, convert = _row_reader(model, connection.vendor)
    return [model.from_db(connection.alias, names, convert(row)) for row in found]


@lru_cache(maxsize=32)
def _row_reader(
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
    return list(values) if connection.vendor == "postgresql" else [_bind(value) for value in values]


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
