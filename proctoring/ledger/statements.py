"""The ledger's hot path in SQL: a worker runs each of these once a call, and building them anew by the ORM took two thirds
of its time. Everything else goes through the ORM. The SQL is what PostgreSQL and SQLite have in common.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models.fields.json import JSONField

from proctoring.models import Account, Action, ActionState, Call, JournalEntry
from proctoring.models.fields import encrypt

ACCOUNT, ACTION, CALL, JOURNAL = (model._meta.db_table for model in (Account, Action, Call, JournalEntry))
SQLITE_NOW = "strftime('%%Y-%%m-%%d %%H:%%M:%%f', 'now') || '000'"


def lock_account(account_id: int) -> Account | None:
    """The account with its row locked until the transaction ends; `db_now` is the database's clock. None: there is none."""
    now, lock = (SQLITE_NOW, "") if connection.vendor == "sqlite" else ("statement_timestamp()", " FOR NO KEY UPDATE")
    rows = Account.objects.raw(f"SELECT *, {now} AS db_now FROM {ACCOUNT} WHERE id = %s{lock}", [account_id])  # noqa: S608
    account = next(iter(rows), None)
    if account is not None:
        account.db_now = _moment(account.db_now)  # type: ignore[attr-defined]
    return account


def verbs_under_way(account_id: int, now: datetime) -> list[str]:
    """The verb of every call of the account that holds a lease."""
    sql = f"SELECT verb FROM {CALL} WHERE account_id = %s AND lead_id IS NULL AND ended_at IS NULL AND lease_until > %s"  # noqa: S608
    return [verb for (verb,) in _rows(sql, [account_id, now])]


def next_due(account_id: int, now: datetime, shut_verbs: Sequence[str]) -> list[Action]:
    """The unknown action whose look-up is due first, and the queued one that is due first by (priority, due, id)."""
    shut = f"AND verb NOT IN ({', '.join(['%s'] * len(shut_verbs))}) " if shut_verbs else ""
    sql = (
        f"SELECT * FROM (SELECT * FROM {ACTION} WHERE account_id = %s AND state = '{ActionState.UNKNOWN.value}' "  # noqa: S608
        "AND look_due_at IS NOT NULL AND look_due_at <= %s ORDER BY look_due_at, id LIMIT 1) AS look_up "
        f"UNION ALL SELECT * FROM (SELECT * FROM {ACTION} WHERE account_id = %s AND state = '{ActionState.QUEUED.value}' "
        f"AND due_at <= %s {shut}ORDER BY priority, due_at, id LIMIT 1) AS queued"
    )
    return list(Action.objects.raw(sql, _bound([account_id, now, account_id, now, *shut_verbs])))


def open_call(call: Call) -> None:
    """Inserts a claimed call, of which nothing is sent yet."""
    _insert(
        CALL,
        id=call.pk,
        account_id=call.account_id,
        verb=str(call.verb),
        group=call.group,
        is_effect=call.is_effect,
        is_repeat=call.is_repeat,
        worker=call.worker,
        claimed_at=call.claimed_at,
        lease_until=call.lease_until,
        outcome="",
        method="",
        url="",
        request_headers=_json(Call, "request_headers", {}),
        request_body="",
        response_headers=_json(Call, "response_headers", {}),
        response_body="",
        error="",
    )


def take_group(group: UUID, call_id: UUID, now: datetime) -> int:
    """Makes the queued actions of a group SENDING under a call; returns how many."""
    sql = (
        f"UPDATE {ACTION} SET state = %s, call_id = %s, sent_at = %s, changed_at = %s, tries = tries + 1 "  # noqa: S608
        'WHERE "group" = %s AND state = %s'
    )
    return _execute(sql, [ActionState.SENDING.value, call_id, now, now, group, ActionState.QUEUED.value])


def begin_sending(call_id: UUID, now: datetime, request: dict[str, Any]) -> bool:
    """Writes the request of a claimed call just before it leaves. False where the lease is over."""
    sql = (
        f"UPDATE {CALL} SET sent_at = %s, method = %s, url = %s, request_headers = %s, request_body = %s "  # noqa: S608
        "WHERE id = %s AND sent_at IS NULL AND ended_at IS NULL AND lease_until > "
        + (SQLITE_NOW if connection.vendor == "sqlite" else "statement_timestamp()")
    )
    body = encrypt(request["request_body"]) if request["request_body"] else ""
    headers = _json(Call, "request_headers", request["request_headers"])
    return bool(_execute(sql, [now, request["method"], request["url"], headers, body, call_id]))


def end_call(call_id: UUID, now: datetime, values: dict[str, Any]) -> bool:
    """Ends a call that is open, or was given up as lost. False where it was ended otherwise."""
    body = encrypt(values["response_body"]) if values.get("response_body") else ""
    headers = _json(Call, "response_headers", values.get("response_headers", {}))
    sql = (
        f"UPDATE {CALL} SET ended_at = %s, outcome = %s, status = %s, response_headers = %s, response_body = %s, error = %s "  # noqa: S608
        "WHERE id = %s AND (ended_at IS NULL OR outcome = %s)"
    )
    row = [now, str(values["outcome"]), values.get("status"), headers, body, values.get("error", "")]
    return bool(_execute(sql, [*row, call_id, Call.Outcome.LOST.value]))


def finish_action(action_id: UUID, call_id: UUID, now: datetime, message: str, facts: Mapping[str, Any]) -> bool:
    """Makes an action DONE if this call still holds it."""
    sql = (
        f"UPDATE {ACTION} SET state = %s, changed_at = %s, message = %s, result = %s, attention = '', may_have_acted = %s "  # noqa: S608
        "WHERE id = %s AND call_id = %s AND state IN (%s, %s)"
    )
    holders = [ActionState.SENDING.value, ActionState.UNKNOWN.value]
    return bool(
        _execute(
            sql,
            [
                ActionState.DONE.value,
                now,
                message,
                _json(Action, "result", dict(facts)),
                False,
                action_id,
                call_id,
                *holders,
            ],
        )
    )


def _insert(table: str, **values: Any) -> None:
    columns = ", ".join(f'"{name}"' for name in values)
    marks = ", ".join(["%s"] * len(values))
    _execute(f"INSERT INTO {table} ({columns}) VALUES ({marks})", list(values.values()))  # noqa: S608


def _execute(sql: str, values: Sequence[Any]) -> int:
    with connection.cursor() as cursor:
        cursor.execute(sql, _bound(values))
        return int(cursor.rowcount)


def _rows(sql: str, values: Sequence[Any]) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(sql, _bound(values))
        return list(cursor.fetchall())


def _bound(values: Sequence[Any]) -> list[Any]:
    """Values as the database's driver wants them."""
    return [_bind(value) for value in values]


def _bind(value: Any) -> Any:
    if isinstance(value, UUID) and not connection.features.has_native_uuid_field:
        return value.hex
    return connection.ops.adapt_datetimefield_value(value) if isinstance(value, datetime) else value


def _json(model: type[Call] | type[Action], name: str, value: Any) -> Any:
    field = model._meta.get_field(name)
    assert isinstance(field, JSONField)  # noqa: S101 - the caller names a JSON column
    return field.get_db_prep_value(value, connection)


def _moment(value: Any) -> datetime:
    if isinstance(value, datetime):
        return value
    return datetime.fromisoformat(f"{value}+00:00")
