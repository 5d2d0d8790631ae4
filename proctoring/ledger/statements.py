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


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """An account as it stands while its row is locked, and what is due there first."""

    account: Account
    now: datetime  # by the database's clock
    under_way: list[str]  # the verb of every call that holds a lease
    looks: list[Action]  # to be looked up, by (due, id)
    queued: list[Action]  # the queued actions of the groups to be sent, locked, by id


def look(account_id: int, most: int, *, after: Sequence[sql.Statement] = ()) -> tuple[list[int], Sight | None]:
    """Locks the account's row until the transaction ends and looks about, once `after` is written. One round trip.

    Returns how many rows each of `after` changed, and what there is to see: `most` of each. None: there is no such account.
    """
    lock = sql.selecting(Account, f"id = %s{sql.locked_sql()}", [account_id])
    # What is under way is counted by a statement of its own: one that waited for the lock would count as of before.
    queries = [lock, _under_way(account_id), _looks(account_id, most), _queued(account_id, (), most)]
    changed, (account, under_way, looks, queued) = sql.exchange(after, queries)
    if not account:
        return changed, None
    sight = Sight(
        account=sql.loaded(Account, account)[0],
        now=sql.moment(under_way[0][0]),
        under_way=[verb for _, verb in under_way if verb is not None],
        looks=sql.loaded(Action, looks),
        queued=sql.loaded(Action, queued),
    )
    return changed, sight


def look_past(account_id: int, shut_verbs: Sequence[str], most: int) -> list[Action]:
    """`Sight.queued` without these verbs."""
    return sql.loaded(Action, sql.exchange((), [_queued(account_id, shut_verbs, most)])[1][0])


def _under_way(account_id: int) -> sql.Query:
    """The clock, and the verb of each call that holds a lease; one that stands behind another counts when that no longer
    does.
    """
    now = sql.now_sql()
    select = (
        f"SELECT {now}, call.verb FROM (SELECT 1) AS always "  # noqa: S608
        f"LEFT JOIN {CALL} AS call ON call.account_id = %s AND call.lead_id IS NULL AND call.ended_at IS NULL "
        f"AND call.lease_until > {now} AND (call.behind IS NULL OR NOT EXISTS "
        f"(SELECT 1 FROM {CALL} AS leader WHERE leader.id = call.behind AND leader.ended_at IS NULL "
        f"AND leader.lease_until > {now}))"
    )
    return select, [account_id]


def _looks(account_id: int, most: int) -> sql.Query:
    where = (
        f"account_id = %s AND state = '{ActionState.UNKNOWN.value}' AND look_due_at IS NOT NULL "
        f"AND look_due_at <= {sql.now_sql()} ORDER BY look_due_at, id LIMIT %s"
    )
    return sql.selecting(Action, where, [account_id, most])


def _queued(account_id: int, shut_verbs: Sequence[str], most: int) -> sql.Query:
    """All queued actions of the groups that are due first by (priority, due, id), nobody else's to change meanwhile.

    The state stands in the SQL itself: only so may a prepared statement use the index of what is queued.
    """
    is_queued = f"state = '{ActionState.QUEUED.value}'"
    shut = f"AND verb NOT IN ({', '.join(['%s'] * len(shut_verbs))}) " if shut_verbs else ""
    where = (
        f'{is_queued} AND "group" IN (SELECT "group" FROM (SELECT "group" FROM {ACTION} '  # noqa: S608
        f"WHERE account_id = %s AND {is_queued} AND due_at <= {sql.now_sql()} {shut}"
        f"ORDER BY priority, due_at, id LIMIT %s) AS head) ORDER BY id{sql.locked_sql()}"
    )
    return sql.selecting(Action, where, [account_id, *shut_verbs, most])


_OPENED = (
    "id",
    "account_id",
    "behind",
    "verb",
    "group",
    "is_effect",
    "is_repeat",
    "worker",
    "claimed_at",
    "lease_until",
)
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


def finishing(
    endings: Sequence[Ending], finishes: Sequence[Finish], entries: Sequence[JournalEntry]
) -> list[sql.Statement]:
    """What ends calls, makes their actions DONE and writes the journal: each must change as many rows as it is given."""
    return [_end_calls(endings), _finish_actions(finishes), journal.inserting(entries)]


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
