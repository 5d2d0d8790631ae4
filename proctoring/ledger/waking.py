"""Telling workers that an account has work. A hint only: a lost one costs a few seconds, until the next sweep."""

from __future__ import annotations

import logging
import time
from functools import partial

from celery import current_app
from django.conf import settings
from django.db import transaction

from proctoring.ledger.heels import AHEAD

log = logging.getLogger(__name__)

DRAIN_TASK = "proctoring.drain"
HINT_EXPIRES_SECONDS = 60
BROKER_SECONDS = 0.5  # what a page may lose to a broker that does not answer
BROKER_REST_SECONDS = 5.0  # after a failure the broker is left alone: the sweep finds the work

_broken_until = 0.0


def wake(account_id: int, *, calls: int = 1) -> None:
    """On commit, asks for the drains of `calls` at once, at most as many as one account may hold of the pool."""
    transaction.on_commit(partial(_send, account_id, min(drains_for(calls), most_drains())), robust=True)


def drains_for(calls: int) -> int:
    """How many threads so many calls at once keep busy: their own, and those that stand ready behind them."""
    return calls + (min(calls, AHEAD) if calls > 1 else 0)


def most_drains() -> int:
    """How many threads of the pool one account may hold: three in four."""
    return max(1, int(settings.CELERY_WORKER_CONCURRENCY) * 3 // 4)


def _send(account_id: int, calls: int) -> None:
    global _broken_until
    if time.monotonic() < _broken_until:
        return
    try:
        _publish(account_id, calls)
    except Exception as error:  # whatever the broker does wrong, the work is safe in the database
        _broken_until = time.monotonic() + BROKER_REST_SECONDS
        log.warning(
            "The broker could not be told of work for account %s; the sweep will find it. %r", account_id, error
        )


def _publish(account_id: int, calls: int) -> None:
    with (
        current_app.connection_for_write(
            connect_timeout=BROKER_SECONDS, transport_options=_impatient(), heartbeat=0
        ) as connection,
        current_app.amqp.Producer(connection, auto_declare=False) as producer,
    ):
        for _ in range(calls):
            current_app.send_task(
                DRAIN_TASK,
                args=[account_id],
                producer=producer,
                expires=HINT_EXPIRES_SECONDS,
                ignore_result=True,
                retry=False,
            )


def _impatient() -> dict[str, object]:
    """The broker's options, with time-outs short enough for a page that waits."""
    options = dict(settings.CELERY_BROKER_TRANSPORT_OPTIONS)
    if settings.CELERY_BROKER_URL.startswith("redis"):
        options |= {"socket_timeout": BROKER_SECONDS, "socket_connect_timeout": BROKER_SECONDS, "max_retries": 0}
    return options
