"""What holds for every request: times in the viewer's zone, a sentence where the stored secrets cannot be read."""

from __future__ import annotations

import logging
import zoneinfo
from collections.abc import Callable

from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.cache import add_never_cache_headers

from proctoring.models.fields import WrongKey

log = logging.getLogger(__name__)


class ViewerTimeZone:
    """Activates the signed-in user's own time zone for the request."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        name = getattr(request.user, "time_zone", "") or "UTC"
        try:
            timezone.activate(zoneinfo.ZoneInfo(name))
        except (zoneinfo.ZoneInfoNotFoundError, ValueError):
            timezone.deactivate()
        try:
            return self.get_response(request)
        finally:
            timezone.deactivate()


def _is_candidates(request: HttpRequest) -> bool:
    return request.path_info.startswith("/c/")


class ReadableAddress:
    """Refuses an address with a NUL in it, which PostgreSQL takes in no text and nobody types.

    The candidate's page looks nothing up by its words, and answers every wrong link alike.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        named = [name for name, values in request.GET.lists() if "\0" in name or any("\0" in value for value in values)]
        if ("\0" in request.path_info or named) and not _is_candidates(request):
            raise BadRequest("The address holds a NUL character.")
        return self.get_response(request)


class StoredSecrets:
    """Where they do not decrypt, the page says so and what to do. A candidate is told no more than to come back."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        if not isinstance(error, WrongKey):
            return None
        is_candidate = _is_candidates(request)
        log.error("%s cannot be shown: %s", "A candidate's page" if is_candidate else request.path, error)
        response = render(request, "503.html", {"is_candidate": is_candidate}, status=503)
        response.headers["Retry-After"] = "300"
        add_never_cache_headers(response)
        return response
