"""Pages that need no sign-in: nothing of them is kept or passed on, and nobody may ask for them too often."""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Callable
from functools import wraps
from time import time
from typing import Concatenate, ParamSpec
from urllib.parse import urlsplit

from django.conf import settings
from django.core.cache import cache
from django.http import HttpRequest, HttpResponse

P = ParamSpec("P")

HEADERS = {
    "Cache-Control": "no-store",
    "X-Robots-Tag": "noindex, nofollow, noarchive",
    "Referrer-Policy": "no-referrer",
}
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'"
)
WINDOW_SECONDS = 60


def public(
    view: Callable[Concatenate[HttpRequest, P], HttpResponse],
) -> Callable[Concatenate[HttpRequest, P], HttpResponse]:
    """Protects whatever the view answers."""

    @wraps(view)
    def wrapped(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        return protect(view(request, *args, **kwargs))

    return wrapped


def protect(response: HttpResponse) -> HttpResponse:
    """Nothing of the page is stored, indexed, framed or told to another site."""
    for name, value in HEADERS.items():
        response.headers[name] = value
    response.headers.setdefault("Content-Security-Policy", policy_for(""))
    return response


def policy_for(link: str) -> str:
    """The content security policy of a page whose button leads on to `link`; "" where it has no such button.

    Chromium holds every redirect after a form's submission against `form-action`, those at the vendor, too: one that sends
    its candidates on to another of its hosts would be stopped after its link was used up. So the scheme is all that counts.
    """
    schemes = {"https": " https:", "http": " http: https:"}
    return f"{POLICY}; form-action 'self'{schemes.get(urlsplit(link).scheme, '')}"


def seconds_to_wait(what: str, *, most: int) -> int:
    """Counts one more `what` in this minute. 0 where that is no more than `most`, else how long to wait."""
    number, over = divmod(time(), WINDOW_SECONDS)
    key = f"public:{int(number)}:{hashlib.sha256(what.encode()).hexdigest()[:32]}"
    cache.add(key, 0, timeout=2 * WINDOW_SECONDS)
    try:
        count = cache.incr(key)
    except ValueError:  # a full cache has dropped it between the two
        return 0
    return 0 if count <= most else max(1, round(WINDOW_SECONDS - over))


def address_of(request: HttpRequest) -> str:
    """Who asks: an address, or the network of one that holds many.

    Behind our own proxy it is the last one in X-Forwarded-For; what stands before that anybody can write.
    """
    text = str(request.META.get("REMOTE_ADDR", ""))
    if settings.SECURE_PROXY_SSL_HEADER:
        text = request.headers.get("X-Forwarded-For", "").rpartition(",")[2].strip() or text
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return text[:64]
    return str(ipaddress.ip_network((address, 64), strict=False)) if address.version == 6 else str(address)
