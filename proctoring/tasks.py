"""Celery's tasks, one domain call each. A worker that is stopping claims nothing more and ends what it began."""

from __future__ import annotations

import os
import socket
import threading
from collections import Counter
from datetime import UTC, datetime
from typing import Any

from celery import shared_task
from celery.signals import worker_shutting_down

from proctoring import deliveries, ledger, sessions
from proctoring.ledger.waking import most_drains
from proctoring.verbs import VERBS

_stopping = threading.Event()
_draining: Counter[int] = Counter()
_lock = threading.Lock()


@worker_shutting_down.connect
def _stop(**kwargs: Any) -> None:
    _stopping.set()


def worker_name() -> str:
    return f"{socket.gethostname()}:{os.getpid()}:{threading.get_ident() % 10_000}"


@shared_task(name="proctoring.drain")
def drain(account_id: int) -> int:
    """Works off one account. Wake-ups beyond the account's share of the pool end at once."""
    with _lock:
        if _stopping.is_set() or _draining[account_id] >= most_drains():
            return 0
        _draining[account_id] += 1
    try:
        return ledger.drain(account_id, VERBS, worker=worker_name(), should_stop=_stopping.is_set)
    finally:
        with _lock:
            _draining[account_id] -= 1


@shared_task(name="proctoring.sweep")
def sweep() -> int:
    """Every few seconds: lost calls, due work, drafts that nobody confirmed."""
    woken = ledger.sweep()
    now = datetime.now(UTC)
    sessions.keep_polling(now=now)
    sessions.keep_watching(now=now)
    deliveries.forget_drafts(now=now)
    return woken
