"""Judging a reply by its status and shape, the same for every vendor. An adapter adds what its own page says."""

from __future__ import annotations

import json
from datetime import datetime
from email.utils import parsedate_to_datetime

from proctoring.vendors.base import JSON, HttpResponse
from proctoring.vendors.cleaning import clean
from proctoring.vendors.errors import Misconfigured, OutcomeUnknown, Rejected, Scope, Unavailable, VendorError

MAX_WORDS = 500  # characters of a vendor's message that are shown


def judge(response: HttpResponse, *, is_effect: bool, is_repeatable: bool, now: datetime) -> None:
    """Raises the error class that the status of `response` stands for; returns on any 2xx."""
    status = response.status
    if 200 <= status < 300:
        return
    words = vendor_words(response)
    if status == 401:
        raise Misconfigured(
            f"The vendor refused the credentials (401). {words}".strip(), scope=Scope.ACCOUNT, status=401
        )
    if status == 403:
        raise Misconfigured(f"The vendor refused permission (403). {words}".strip(), scope=Scope.VERB, status=403)
    if status == 429:
        raise Unavailable("The vendor asked us to slow down (429).", status=429, retry_after=retry_after(response, now))
    if 400 <= status < 500 and status != 408:
        raise Rejected(words or f"The vendor answered {status} without a reason.", status=status)
    if not is_effect or (status == 503 and is_repeatable):
        raise Unavailable(
            f"The vendor answered {status}. {words}".strip(), status=status, retry_after=retry_after(response, now)
        )
    raise OutcomeUnknown(f"The vendor answered {status}: it may or may not have acted. {words}".strip(), status=status)


def read_object(response: HttpResponse, *, is_effect: bool) -> dict[str, JSON]:
    """The JSON object in a 2xx reply. Raises OutcomeUnknown (an effect) or Unavailable (a read) where there is none."""
    value = parse(response.body)
    if isinstance(value, dict):
        return value
    raise unreadable(response, is_effect=is_effect)


def unreadable(response: HttpResponse, *, is_effect: bool, what: str = "a JSON object") -> VendorError:
    sentence = f"The vendor answered {response.status}, but its reply is not {what}."
    return (
        OutcomeUnknown(sentence, status=response.status) if is_effect else Unavailable(sentence, status=response.status)
    )


def parse(body: bytes) -> JSON:
    """The JSON value in `body`, or None where it holds none. Deep nesting, NaN and bad UTF-8 count as none.

    Its texts are fit to keep: what cannot be stored or encoded is replaced, visibly.
    """
    try:
        return clean(json.loads(body.decode("utf-8-sig"), parse_constant=_refuse))
    except (ValueError, RecursionError):
        return None


def _refuse(name: str) -> JSON:
    raise ValueError(f"{name} is not JSON")


def vendor_words(response: HttpResponse) -> str:
    """The vendor's own explanation, from the usual places of a JSON body; "" where there is none to show."""
    value = parse(response.body)
    if isinstance(value, dict):
        value = next((value[key] for key in MESSAGE_KEYS if value.get(key)), None)
    return _flatten(value)[:MAX_WORDS]


MESSAGE_KEYS = ("messages", "message", "Message", "errors", "Errors", "error", "detail")


def _flatten(value: JSON) -> str:
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, list):
        return "; ".join(filter(None, map(_flatten, value)))
    if isinstance(value, dict):
        return "; ".join(f"{key}: {_flatten(part)}" for key, part in value.items() if _flatten(part))
    return "" if value is None or isinstance(value, bool) else str(value)


def retry_after(response: HttpResponse, now: datetime) -> float | None:
    """Seconds the vendor asks us to wait: `Retry-After` in seconds or as a date; None where it does not say."""
    text = response.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(min(int(text[:9]), 86_400))
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, IndexError):
        return None
    if date.tzinfo is None:
        return None
    return max(0.0, min((date - now).total_seconds(), 86_400.0))
