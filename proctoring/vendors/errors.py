"""What can go wrong with a vendor, named by what happens next. The ledger decides by class alone."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from uuid import UUID

from proctoring.vendors.cleaning import LONGEST, clean_text


class Scope(StrEnum):
    """How much a misconfiguration stops: everything on the account, or one verb on it."""

    ACCOUNT = "account"
    VERB = "verb"


class VendorError(Exception):
    """A call did not do what was asked. `message` is a sentence for a coordinator; it holds no secret."""

    def __init__(self, message: str, *, status: int | None = None) -> None:
        self.message = clean_text(message, most=LONGEST)  # it may hold the vendor's own words
        super().__init__(self.message)
        self.status = status


class Unavailable(VendorError):
    """The vendor cannot have acted: DNS, connect, TLS, 429. Asked again later, `retry_after` seconds at the earliest.

    `is_about_target`: only this target is put off, e.g. one mail address; the account's other work goes on.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        retry_after: float | None = None,
        is_about_target: bool = False,
    ) -> None:
        super().__init__(message, status=status)
        self.retry_after = retry_after
        self.is_about_target = is_about_target


class Rejected(VendorError):
    """The vendor understood and said no.

    `fields` maps the vendor's field names to its words; `culprits` are the references it blames, where it names some.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        fields: Mapping[str, str] | None = None,
        culprits: frozenset[UUID] = frozenset(),
    ) -> None:
        super().__init__(message, status=status)
        self.fields = dict(fields or {})
        self.culprits = culprits


class Changed(Rejected):
    """Read just before the effect, the target was no longer what the preview showed: nothing was sent."""


class Misconfigured(VendorError):
    """The account is at fault. `scope` says what pauses; `suspected` pauses only once a second target fails alike."""

    def __init__(self, message: str, *, scope: Scope, status: int | None = None, suspected: bool = False) -> None:
        super().__init__(message, status=status)
        self.scope = scope
        self.suspected = suspected


class Unsupported(VendorError):
    """This vendor cannot express it. Refused before it is queued."""


class OutcomeUnknown(VendorError):
    """It was sent and no readable answer came: the vendor may or may not have acted."""
