"""The Celery application. It carries wake-ups only; see `proctoring.ledger`."""

import os

from celery import Celery

import config.broker  # noqa: F401 - what “filesystem://” means here

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("proctoring")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
