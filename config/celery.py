"""The Celery application. It carries wake-ups only; see `proctoring.ledger`."""

import gc
import os
from typing import Any

from celery import Celery
from celery.signals import worker_ready

import config.broker  # noqa: F401 - what “filesystem://” means here

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("proctoring")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@worker_ready.connect
def _leave_alone_what_is_loaded(**kwargs: Any) -> None:
    """Code and settings stay for good: going through them for garbage stops every thread for a tenth of a second."""
    gc.collect()
    gc.freeze()


@worker_ready.connect
def _open_connections(**kwargs: Any) -> None:
    """A worker's threads find their connections open: to open one takes longer than the work it is opened for."""
    from django.db import connection

    from proctoring.ledger.waking import most_drains

    pool = getattr(connection, "pool", None)
    if pool is not None:
        pool.open()
        pool.resize(min_size=min(most_drains(), pool.max_size))
