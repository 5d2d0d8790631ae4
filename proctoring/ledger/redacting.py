"""Redacting: the words of a vendor as they may be stored and shown. It may repeat in them any secret that it was told."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator
from typing import Any, TypeVar

from django.conf import settings
from django.db import InterfaceError, OperationalError, connection
from django.db.models import QuerySet

from proctoring import keys, links, values
from proctoring.ledger.claiming import Claim
from proctoring.models import Delivery
from proctoring.vendors import masking
from proctoring.vendors.base import Created, HttpRequest, HttpResponse, SessionSnapshot
from proctoring.vendors.errors import Rejected, VendorError

log = logging.getLogger(__name__)

T = TypeVar("T")
KEPT_EXCHANGES = 4  # as many as a verb may take; of a list of pages only the last can have been repeated


class Fault(Exception):
    """A fault of ours whose words held a secret, without it."""


class Redactor:
    """Masks the texts of one claim's outcome. What is a secret in them is gathered only where there are texts."""

    def __init__(self, claim: Claim, fields: frozenset[str]) -> None:
        self.claim = claim
        self.fields = fields
        self.credentials = credentials_of(claim)
        self.exchanges: deque[tuple[HttpRequest, HttpResponse | None]] = deque(maxlen=KEPT_EXCHANGES)
        self._links: tuple[str, ...] = ()
        self._secrets: tuple[str, ...] | None = None

    def text(self, text: str) -> str:
        return masking.mask_text(text, self._known(), self.fields) if text else text

    def json(self, value: T) -> T:
        masked: T = masking.mask_json(value, self.fields, self._known()) if value else value
        return masked

    def kept(self, value: Any) -> Any:
        """What is kept for a dispute stays as the vendor said it, but for what we know to be a secret."""
        return masking.mask_json(value, (), self._known()) if value else value

    def error(self, error: Exception | None) -> Exception | None:
        """The same error with its words masked; a fault of ours only where it holds a secret."""
        if isinstance(error, VendorError):
            error.message = self.text(error.message)
            error.args = (error.message,)
            if isinstance(before := getattr(error, "before", None), SessionSnapshot):
                error.before = values.unpack(self.kept(values.pack(before)), SessionSnapshot)  # type: ignore[attr-defined]
            if isinstance(error, Rejected):
                error.fields = {name: self.text(words) for name, words in error.fields.items()}
            return error
        if error is None or (words := self.text(str(error))) == str(error):
            return error
        return Fault(words)

    def learn_links(self, *created: Created) -> None:
        """Links that the vendor has just given are secrets in its words, too."""
        self._links += tuple(link for item in created for link in (item.take_url, item.proctor_url))
        self._secrets = None

    def _known(self) -> tuple[str, ...]:
        if self._secrets is None:
            self._secrets = tuple(dict.fromkeys(filter(None, self._gather())))
        return self._secrets

    def _gather(self) -> Iterator[str]:
        yield from self.credentials
        yield from keys.of_settings()
        for action in self.claim.actions:
            yield from masking.secrets_in_json(action.payload, self.fields)
        for request, response in self.exchanges:
            yield from masking.secrets_in_headers(request.headers)
            yield from masking.secrets_in_url(request.url, self.fields)
            yield from masking.secrets_in_body(request.body, self.fields)
            if response is not None:
                yield from masking.secrets_in_headers(response.headers)
                yield from masking.secrets_in_body(response.body, self.fields)
        for link in (*self._links, *_stored_links(self.claim)):
            yield from masking.secrets_in_link(link)


def credentials_of(claim: Claim) -> tuple[str, ...]:
    """All credentials of the account; a mail account's are the console's own settings."""
    own = (settings.EMAIL_HOST_USER, settings.EMAIL_HOST_PASSWORD) if claim.account.vendor == "mail" else ()
    return tuple(str(value) for value in (*claim.account.credentials.values(), *own) if value)


def _stored_links(claim: Claim) -> list[str]:
    """The links of the deliveries concerned, and the candidates' own."""
    try:
        rows = list(_deliveries(claim).only("take_url", "proctor_url", "link_version"))
    except (OperationalError, InterfaceError) as error:
        log.warning("The links of call %s could not be read, to mask them: %s", claim.call.pk, error)
        connection.close()
        return []
    return [link for row in rows for link in (row.take_url, row.proctor_url, links.url_of(row))]


def _deliveries(claim: Claim) -> QuerySet[Delivery]:
    deliveries = Delivery.objects.all()
    if keys_ := [action.delivery_id for action in claim.actions if action.delivery_id]:
        return deliveries.filter(pk__in=keys_)
    if mails := [action.invitation_id for action in claim.actions if action.invitation_id]:
        return deliveries.filter(invitations__in=mails)
    sessions = [action.session_id for action in claim.actions if action.session_id]
    if claim.reading is not None and claim.reading.session_id:
        sessions.append(claim.reading.session_id)
    return deliveries.filter(session__in=sessions) if sessions else deliveries.none()
