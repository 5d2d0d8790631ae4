"""The secrets in the console's own settings, for whoever must keep them out of what is stored, shown and logged."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote, urlsplit

from django.conf import settings


def of_settings() -> tuple[str, ...]:
    """Keys, and the passwords of the database, the broker, the cache and the mail server."""
    return tuple(dict.fromkeys(filter(None, _of_settings())))


def _of_settings() -> Iterator[str]:
    yield from (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS, *settings.FIELD_ENCRYPTION_KEYS)
    yield _password(settings.EMAIL_HOST_USER, settings.EMAIL_HOST_PASSWORD)
    for database in settings.DATABASES.values():
        yield _password(str(database.get("USER") or ""), str(database.get("PASSWORD") or ""))
    yield _in_address(settings.CELERY_BROKER_URL)
    for cache in settings.CACHES.values():
        yield from map(_in_address, _addresses(cache.get("LOCATION")))


def _addresses(location: Any) -> list[str]:
    return [location] if isinstance(location, str) else list(location or ())


def _in_address(address: str) -> str:
    try:
        parts = urlsplit(address)
    except ValueError:
        return ""
    return _password(unquote(parts.username or ""), unquote(parts.password or ""))


def _password(user: str, password: str) -> str:
    """A password that is the user's own name, on a machine to practise on, is none: every text is full of it."""
    return "" if password == user else password
