"""Working in this process until actions are settled: for commands that wait, with or without workers elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from django.db import connection
from django.db.models import Q, QuerySet

from proctoring import ledger
from proctoring.ledger.waking import drains_for
from proctoring.models import Account, Action, ActionState
from proctoring.tasks import worker_name
from proctoring.verbs import VERBS

LOOK_SECONDS = 0.2


def work_until_settled(actions: QuerySet[Action], *, seconds: float) -> bool:
    """Drains the actions' accounts with as many threads as their calls can use; True once nothing moves by itself.

    Stops early where nothing can move: the account is paused and nobody gave it new credentials.
    """
    accounts = list(Account.objects.filter(actions__in=actions).distinct())
    drains = [account.pk for account in accounts for _ in range(drains_for(account.calls_at_once))]
    return work_until(lambda: _is_settled(actions), drains=drains, seconds=seconds)


def work_until(is_over: Callable[[], bool], *, drains: Sequence[int], seconds: float) -> bool:
    """Drains accounts, a thread for each id in `drains`, until it is over, by whomever. False where it is not in time."""
    stop = threading.Event()
    ends = time.monotonic() + seconds
    with ThreadPoolExecutor(max_workers=max(1, len(drains)), thread_name_prefix="wait") as pool:
        workers = [pool.submit(_work, account_id, stop) for account_id in drains]
        try:
            while time.monotonic() < ends and not is_over():
                ledger.sweep()
                time.sleep(LOOK_SECONDS)
        finally:
            stop.set()
        for worker in workers:
            worker.result()
    return is_over()


def _is_settled(actions: QuerySet[Action]) -> bool:
    if actions.filter(state=ActionState.SENDING).exists():
        return False
    can_move = ~Q(account__is_archived=True) & (Q(account__paused_at=None) | Q(account__is_probing=True))
    waiting = actions.filter(state=ActionState.QUEUED).filter(can_move).select_related("account")
    return not any(_may_be_tried(action) for action in waiting[:200])


def _may_be_tried(action: Action) -> bool:
    pause = action.account.paused_verbs.get(action.verb)
    return pause is None or bool(pause.get("probing"))


def _work(account_id: int, stop: threading.Event) -> None:
    try:
        while not stop.is_set():
            ledger.drain(account_id, VERBS, worker=worker_name(), should_stop=stop.is_set)
            stop.wait(LOOK_SECONDS)
    finally:
        connection.close()
