"""The first lines of every view: who may come in, whose rows they see, what they may do there."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from functools import wraps
from typing import Any, Concatenate, ParamSpec, cast
from urllib.parse import urlsplit

from django.contrib import admin
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils.cache import add_never_cache_headers
from django.utils.http import url_has_allowed_host_and_scheme
from django_htmx.http import HttpResponseClientRedirect
from django_htmx.middleware import HtmxDetails

from proctoring import policy, values
from proctoring.models import Membership, Role, Team, User
from proctoring.policy import Right

log = logging.getLogger(__name__)

P = ParamSpec("P")

DOES = {
    Right.VIEW: "see this",
    Right.DELIVER: "deliver exams",
    Right.INVITE: "invite candidates",
    Right.EDIT_CANDIDATES: "change candidates",
    Right.EDIT_EXAMS: "change exams",
    Right.SHOW_PROCTOR_LINK: "see proctor links",
    Right.REOPEN: "reopen sessions",
    Right.RETAKE: "ask for retakes",
    Right.RESET: "reset sessions",
    Right.SUBMIT_RESPONSES: "submit responses",
    Right.SEE_QUESTIONS: "see questions and keys",
    Right.CANCEL: "cancel deliveries",
    Right.RESOLVE: "decide what happened at the vendor",
    Right.MANAGE_ACCOUNTS: "change accounts",
    Right.MANAGE_TEAM: "change the team",
}


class ConsoleRequest(HttpRequest):
    """A request of somebody who is signed in and belongs to the staff."""

    user: User
    htmx: HtmxDetails


def console(
    view: Callable[Concatenate[ConsoleRequest, P], HttpResponseBase],
) -> Callable[Concatenate[HttpRequest, P], HttpResponseBase]:
    """Lets staff in and sends the others to the sign-in page. What a page shows is never stored by a browser."""

    @wraps(view)
    def wrapped(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        if not request.user.is_authenticated:
            return _to_sign_in(cast(ConsoleRequest, request))
        if not request.user.is_staff:
            raise PermissionDenied("This console is for the staff who run exams. Ask an administrator to let you in.")
        try:
            response = view(cast(ConsoleRequest, request), *args, **kwargs)
        except values.Unreadable as error:
            response = _unreadable(cast(ConsoleRequest, request), error)
        add_never_cache_headers(response)
        return response

    return wrapped


def _unreadable(request: ConsoleRequest, error: values.Unreadable) -> HttpResponse:
    """In place of a page about something that another version of the console wrote."""
    log.error("%s cannot be shown: %s", request.path, error)
    is_newer = isinstance(error, values.Newer)
    context = {
        "title": "This cannot be shown" + (" yet" if is_newer else ""),
        "sentence": "A newer version of the console wrote this, and is being installed. Open it again in a minute."
        if is_newer
        else "Another version of the console wrote this, and it cannot be read any more. Ask for it anew.",
        "details": error.message,
    }
    return page(request, "proctoring/unreadable.html", status=503 if is_newer else 409, **context)


def _to_sign_in(request: ConsoleRequest) -> HttpResponse:
    if not request.htmx:
        return redirect_to_login(request.get_full_path())
    # A redirect would put the sign-in page into the middle of the page that asked.
    place = urlsplit(request.htmx.current_url_abs_path or "/")
    return HttpResponseClientRedirect(redirect_to_login(place.geturl()).url)


def may(request: ConsoleRequest, team_id: int, right: Right) -> bool:
    return policy.may(request.user.role_in(team_id), right)


def require(request: ConsoleRequest, team_id: int, right: Right) -> None:
    """Raises PermissionDenied with a sentence that says whom to ask."""
    if not may(request, team_id, right):
        raise PermissionDenied(f"Your role in this team does not let you {DOES[right]}. {whom_to_ask(team_id, right)}")


def whom_to_ask(team_id: int, right: Right) -> str:
    """A sentence that names those in the team who may."""
    roles = [role for role in Role if policy.may(role, right)]
    members = Membership.objects.filter(team_id=team_id, role__in=roles, user__is_active=True).select_related("user")
    names = [str(member.user) for member in members[:3]]
    who = with_article(policy.least_role(right))
    team = Team.objects.values_list("name", flat=True).get(pk=team_id)
    return f"Ask {who} of {team}" + (f": {', '.join(names)}." if names else ".")


def with_article(role: Role) -> str:
    word = role.label.lower()
    return f"{'an' if word[0] in 'aeiou' else 'a'} {word}"


def teams_where(request: ConsoleRequest, right: Right) -> list[int]:
    """The teams in which this user may do that."""
    teams = Team.objects.visible_to(request.user).values_list("pk", flat=True)
    return [team for team in teams if may(request, team, right)]


def page(request: ConsoleRequest, template: str, *, status: int = 200, **context: Any) -> HttpResponse:
    """A whole page inside the shell that the admin has, too."""
    return render(request, template, {**admin.site.each_context(request), **context}, status=status)


def fragment(request: ConsoleRequest, template: str, *, status: int = 200, **context: Any) -> HttpResponse:
    """A part of a page, for HTMX to put in its place."""
    return render(request, template, context, status=status)


def now() -> datetime:
    return datetime.now(UTC)


def next_url(request: ConsoleRequest, otherwise: str) -> str:
    """Where a form was shown, if that is a page of ours."""
    url = request.POST.get("next", "") or request.GET.get("next", "")
    is_ours = url_has_allowed_host_and_scheme(
        url, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return url if url.startswith("/") and is_ours else reverse(otherwise)
