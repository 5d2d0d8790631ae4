"""The project: settings, addresses, and Celery, which must exist before any task is sent."""

from config.celery import app as celery_app

__all__ = ["celery_app"]
