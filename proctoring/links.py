"""The candidates' own links: an HMAC of the delivery and its link version, so that nothing is stored to be found."""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass
from uuid import UUID

from django.conf import settings
from django.urls import reverse

from proctoring.models import Delivery

MAC_BYTES = 16
VERSION_BYTES = 3
PURPOSE = b"proctoring: candidate link"


@dataclass(frozen=True, slots=True)
class Claimed:
    """What a genuine token says. Whether its version is the newest is for the caller to see."""

    delivery_id: UUID
    version: int


def token_of(delivery: Delivery) -> str:
    """The delivery's current token: letters, digits, - and _."""
    head = delivery.pk.bytes + delivery.link_version.to_bytes(VERSION_BYTES, "big")
    return base64.urlsafe_b64encode(head + _mac(head, settings.SECRET_KEY)).decode().rstrip("=")


def url_of(delivery: Delivery) -> str:
    """The link that goes into a mail."""
    return f"{settings.SITE_URL}{reverse('candidate', args=[token_of(delivery)])}"


def read(token: str) -> Claimed | None:
    """What a token says; None for anything that we did not make, whatever is wrong with it."""
    try:
        raw = base64.urlsafe_b64decode(token.encode("ascii") + b"=" * (-len(token) % 4))
    except (ValueError, UnicodeEncodeError):
        return None
    head, mac = raw[: 16 + VERSION_BYTES], raw[16 + VERSION_BYTES :]
    if len(raw) != 16 + VERSION_BYTES + MAC_BYTES or base64.urlsafe_b64encode(raw).decode().rstrip("=") != token:
        return None
    keys = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    if not any(hmac.compare_digest(mac, _mac(head, key)) for key in keys):
        return None
    return Claimed(UUID(bytes=head[:16]), int.from_bytes(head[16:], "big"))


def _mac(head: bytes, key: str) -> bytes:
    secret = hashlib.sha256(PURPOSE + b"\0" + key.encode()).digest()
    return hmac.new(secret, head, hashlib.sha256).digest()[:MAC_BYTES]
