"""The ledger's hot path in SQL: a worker runs each of these once a call, and building them anew by the ORM took two thirds
of its time. Everything else goes through the ORM.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from proctoring import journal, sql
from proctoring.models import Account, Action, ActionState, Call, JournalEntry
from proctoring.models.fields import encrypt

ACCOUNT, ACTION, CALL = (model._meta.db_table for model in (Account, Action, Call))


def lock_account(account_id: int) -> Account | None:
    """The account with its row locked until the transaction ends. None: there is none."""
    return next(iter(sql.load(Account, f"id = %s{sql.locked_sql()}", [account_id])), None)


def under_way(account_id: int) -> tuple[datetime, list[str]]:
    """The database's clock, and the verb of every call of the account that holds a lease by it."""
    now = sql.now_sql()
    select = (
        f"SELECT {now}, verb FROM (SELECT 1) AS always LEFT JOIN {CALL} "  # noqa: S608
        f"ON account_id = %s AND lead_id IS NULL AND ended_at IS NULL AND lease_until > {now}"
    )
    found = sql.rows(select, [account_id])
    return sql.moment(found[0][0]), [verb for _, verb in found if verb is not None]


def due(account_id: int, now: datetime, shut_verbs: Sequence[str], most: int) -> tuple[list[UUID], list[UUID]]:
    """What is due first: actions to be looked up, and groups of queued actions by (priority, due, id). `most` of each."""
    shut = f"AND verb NOT IN ({', '.join(['%s'] * len(shut_verbs))}) " if shut_verbs else ""
    select = (
        f"SELECT state, id FROM (SELECT state, id FROM {ACTION} WHERE account_id = %s AND state = %s "  # noqa: S608
        "AND look_due_at IS NOT NULL AND look_due_at <= %s ORDER BY look_due_at, id LIMIT %s) AS looks UNION ALL "
        f'SELECT state, "group" FROM (SELECT state, "group" FROM {ACTION} WHERE account_id = %s AND state = %s '
        f"AND due_at <= %s {shut}ORDER BY priority, due_at, id LIMIT %s) AS groups"
    )
    unknown, queued = ActionState.UNKNOWN.value, ActionState.QUEUED.value
    found = sql.rows(select, [account_id, unknown, now, most, account_id, queued, now, *shut_verbs, most])
    ids = [(state, value if isinstance(value, UUID) else UUID(value)) for state, value in found]
    looks = [value for state, value in ids if state == unknown]
    return looks, list(dict.fromkeys(value for state, value in ids if state == queued))


def lock_groups(groups: Sequence[UUID]) -> list[Action]:
    """The queued actions of these groups, nobody else's to change until the transaction ends."""
    if not groups:
        return []
    where = f'"group" IN ({", ".join(["%s"] * len(groups))}) AND state = %s ORDER BY id{sql.locked_sql()}'
    return sql.load(Action, where, [*groups, ActionState.QUEUED.value])


_OPENED = ("id", "account_id", "verb", "group", "is_effect", "is_repeat", "worker", "claimed_at", "lease_until")
_EMPTY = ("outcome", "method", "url", "request_body", "response_body", "error")
_HEADERS = ("request_headers", "response_headers")
_OPEN = sql.insert_sql(Call, [*_OPENED, *_EMPTY, *_HEADERS])


def open_calls(calls: Sequence[Call], *, taking: bool = False) -> None:
    """Inserts claimed calls, of which nothing is sent yet; `taking`, the queued actions of their groups become SENDING."""
    blank = [*[""] * len(_EMPTY), *[sql.json(Call, name, {}) for name in _HEADERS]]
    opened = [[*(getattr(call, name) for name in _OPENED), *blank] for call in calls]
    sql.execute_many((_OPEN, opened), _take_groups(calls if taking else []))


def _take_groups(calls: Sequence[Call]) -> sql.Statement:
    update = (
        f"UPDATE {ACTION} SET state = %s, call_id = %s, sent_at = %s, changed_at = %s, tries = tries + 1 "  # noqa: S608
        'WHERE "group" = %s AND state = %s'
    )
    sending, queued = ActionState.SENDING.value, ActionState.QUEUED.value
    return update, [[sending, call.pk, call.claimed_at, call.claimed_at, call.group, queued] for call in calls]


def begin_sending(call_id: UUID, now: datetime, request: dict[str, Any]) -> bool:
    """Writes the request of a claimed call just before it leaves. False where the lease is over."""
    update = (
        f"UPDATE {CALL} SET sent_at = %s, method = %s, url = %s, request_headers = %s, request_body = %s "  # noqa: S608
        f"WHERE id = %s AND sent_at IS NULL AND ended_at IS NULL AND lease_until > {sql.now_sql()}"
    )
    body = encrypt(request["request_body"]) if request["request_body"] else ""
    headers = sql.json(Call, "request_headers", request["request_headers"])
    with sql.write_turn():
        return bool(sql.execute(update, [now, request["method"], request["url"], headers, body, call_id]))


@dataclass(frozen=True, slots=True)
class Ending:
    """How a call ended: when, and what there is to keep of its answer."""

    call: UUID
    at: datetime
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Finish:
    """An action that its call brought to DONE."""

    action: UUID
    call: UUID
    at: datetime
    message: str
    facts: Mapping[str, Any]


def end_call(ending: Ending) -> bool:
    """Ends a call that is open, or was given up as lost. False where it was ended otherwise."""
    return sql.execute_many(_end_calls([ending])) == [1]


def finish_action(finish: Finish) -> bool:
    """Makes an action DONE that its call still holds. False where it has moved on."""
    return sql.execute_many(_finish_actions([finish])) == [1]


def finish_all(endings: Sequence[Ending], finishes: Sequence[Finish], entries: Sequence[JournalEntry]) -> bool:
    """Ends calls, makes their actions DONE and writes the journal. False where any had moved on: then roll back."""
    changed = sql.execute_many(_end_calls(endings), _finish_actions(finishes), journal.inserting(entries))
    return changed == [len(endings), len(finishes), len(entries)]


def _end_calls(endings: Sequence[Ending]) -> sql.Statement:
    update = (
        f"UPDATE {CALL} SET ended_at = %s, outcome = %s, status = %s, response_headers = %s, response_body = %s, error = %s "  # noqa: S608
        "WHERE id = %s AND (ended_at IS NULL OR outcome = %s)"
    )
    return update, [[ending.at, *_kept(ending.facts), ending.call, Call.Outcome.LOST.value] for ending in endings]


def _kept(facts: Mapping[str, Any]) -> list[Any]:
    body = encrypt(facts["response_body"]) if facts.get("response_body") else ""
    headers = sql.json(Call, "response_headers", facts.get("response_headers", {}))
    return [str(facts["outcome"]), facts.get("status"), headers, body, facts.get("error", "")]


def _finish_actions(finishes: Sequence[Finish]) -> sql.Statement:
    update = (
        f"UPDATE {ACTION} SET state = %s, changed_at = %s, message = %s, result = %s, attention = '', may_have_acted = %s "  # noqa: S608
        "WHERE id = %s AND call_id = %s AND state IN (%s, %s)"
    )
    end, *holders = ActionState.DONE.value, ActionState.SENDING.value, ActionState.UNKNOWN.value
    return update, [
        [
            end,
            item.at,
            item.message,
            sql.json(Action, "result", dict(item.facts)),
            False,
            item.action,
            item.call,
            *holders,
        ]
        for item in finishes
    ]
