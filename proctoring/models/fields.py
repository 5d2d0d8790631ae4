"""Encrypted columns: Fernet tokens under keys of their own, newest first. A wrong key fails loudly."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import models


class WrongKey(ImproperlyConfigured):
    """A stored value does not decrypt under any of FIELD_ENCRYPTION_KEYS, or one of these is no key."""


@lru_cache(maxsize=4)
def _fernet(keys: tuple[str, ...]) -> MultiFernet:
    try:
        return MultiFernet([Fernet(key) for key in keys])
    except ValueError:
        raise WrongKey("FIELD_ENCRYPTION_KEYS holds something that is no key.") from None


def fernet() -> MultiFernet:
    return _fernet(tuple(settings.FIELD_ENCRYPTION_KEYS))


def encrypt(text: str) -> str:
    return fernet().encrypt(text.encode()).decode()


def decrypt(token: str, *, column: str = "value") -> str:
    """Raises WrongKey where no key fits: ciphertext is never handed on as if it were the text."""
    try:
        return fernet().decrypt(token).decode()
    except InvalidToken:
        raise WrongKey(f"{column} was encrypted with a key that FIELD_ENCRYPTION_KEYS does not hold.") from None


if TYPE_CHECKING:
    _Text = models.TextField[str, str]
    _Anything = models.TextField[Any, Any]
else:
    _Text = _Anything = models.TextField


class EncryptedTextField(_Text):
    """Text that is stored encrypted; the empty text is stored as it is, so that "has none" can be asked for."""

    def get_prep_value(self, value: Any) -> Any:
        value = super().get_prep_value(value)
        return encrypt(value) if value else value

    def from_db_value(self, value: str | None, expression: Any, connection: Any) -> str | None:
        return decrypt(value, column=self.attname) if value else value


class EncryptedJSONField(_Anything):
    """A JSON value that is stored encrypted as text."""

    def __init__(self, *args: Any, default: Callable[[], Any] | None = None, **kwargs: Any) -> None:
        if default is not None:
            kwargs["default"] = default
        super().__init__(*args, **kwargs)

    def get_prep_value(self, value: Any) -> Any:
        return None if value is None else encrypt(msgspec.json.encode(value).decode())

    def from_db_value(self, value: str | None, expression: Any, connection: Any) -> Any:
        return None if value is None else msgspec.json.decode(decrypt(value, column=self.attname))

    def to_python(self, value: Any) -> Any:
        return value

    def value_to_string(self, obj: models.Model) -> str:
        return msgspec.json.encode(self.value_from_object(obj)).decode()
