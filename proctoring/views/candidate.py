"""The candidate's own page: a GET shows it and changes nothing, only the button goes on to the vendor."""

from __future__ import annotations

import zoneinfo
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import cache
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils.encoding import iri_to_uri
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods, require_safe

from proctoring import deliveries, invitations, links, sessions
from proctoring.models import Action, ActionState, Delivery, DeliveryState, Exam, Session
from proctoring.vendors import registry
from proctoring.vendors.base import SessionState, Verb
from proctoring.views.access import ConsoleRequest, console
from proctoring.views.public import address_of, policy_for, protect, public, seconds_to_wait

MOST_A_MINUTE = 60  # for one link from one address: a whole exam hall may share an address
MOST_UNKNOWN_A_MINUTE = 20  # links that are none, from one address
COOKIE = "candidate_time_zone"
COOKIE_SECONDS = 365 * 86_400
REGIONS = (
    *("Africa", "America", "Antarctica", "Arctic", "Asia", "Atlantic", "Australia", "Europe", "Indian", "Pacific"),
)


class State(StrEnum):
    """Where the candidate stands. Each has its own sentence on the page."""

    REPLACED = "replaced"
    REVOKED = "revoked"
    CANCELLED = "cancelled"
    FINISHED = "finished"
    TOO_LATE = "too_late"
    TOO_EARLY = "too_early"
    NOT_READY = "not_ready"
    OPENED = "opened"
    READY = "ready"


MAY_BEGIN = (State.READY, State.OPENED)
TELLS_NOTHING = (State.REPLACED, State.REVOKED)  # whoever holds such a link is perhaps not the candidate
COUNTS_TO_START = (State.TOO_EARLY,)
COUNTS_TO_END = (State.READY, State.OPENED, State.NOT_READY)
OVER = (SessionState.SUBMITTED, SessionState.COMPLETE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Countdown:
    """To the opening or the closing of the window: in words as of now, and for the script that goes on counting."""

    to: datetime
    at: datetime
    is_to_start: bool

    @property
    def words(self) -> str:
        return duration(self.to - self.at)


# --- the page ---------------------------------------------------------------------------------------------------------


# No cookie takes part, so nothing can be forged in the candidate's name: the token alone lets them in. And a browser that
# sends no referrer sends "Origin: null" with the form, which the check would refuse.
@csrf_exempt
@public
@require_http_methods(["GET", "HEAD", "POST"])
def candidate(request: HttpRequest, token: str) -> HttpResponse:
    """Whatever is wrong with a token that we did not make, the answer is the same."""
    claimed = links.read(token)
    delivery = _claimed(claimed.delivery_id) if claimed else None
    if claimed is None or delivery is None:
        return _nothing(request)
    if wait := seconds_to_wait(f"{address_of(request)} {delivery.pk}", most=MOST_A_MINUTE):
        return _busy(request, wait)
    at = _now()
    newest = deliveries.newest(delivery)
    is_replaced = claimed.version < delivery.link_version
    state = State.REPLACED if is_replaced else state_of(newest, at)
    if request.method == "POST":
        return _open(request, newest, state, at)
    return _shown(request, newest, state, at)


def _now() -> datetime:
    return datetime.now(UTC)


def _claimed(key: UUID) -> Delivery | None:
    found: Delivery | None = (
        Delivery.objects.select_related("exam__account", "candidate", "team")
        .defer("exam__account__credentials", "proctor_url")
        .filter(pk=key)
        .first()
    )
    return found


def _nothing(request: HttpRequest) -> HttpResponse:
    if wait := seconds_to_wait(f"{address_of(request)} unknown", most=MOST_UNKNOWN_A_MINUTE):
        return _busy(request, wait)
    return render(request, "candidate/nothing.html", status=404)


def _busy(request: HttpRequest, seconds: int) -> HttpResponse:
    response = render(request, "candidate/busy.html", status=429)
    response.headers["Retry-After"] = str(seconds)
    return response


def _open(request: HttpRequest, delivery: Delivery, state: State, at: datetime) -> HttpResponse:
    """Goes on to the vendor, once the opening is written down; else shows why not."""
    if state not in MAY_BEGIN:
        return _shown(request, delivery, state, at, status=409)
    with transaction.atomic():
        link = deliveries.open_link(delivery, now=at)
        sessions.watch_closely(delivery, now=at)
    return HttpResponse(status=303, headers={"Location": iri_to_uri(link)})


def _shown(request: HttpRequest, delivery: Delivery, state: State, at: datetime, *, status: int = 200) -> HttpResponse:
    chosen = _chosen_zone(request)
    context = context_of(delivery, state, at, zone=chosen)
    response = render(request, "candidate/page.html", context, status=status)
    response.headers["Content-Security-Policy"] = policy_for(delivery.take_url if state in MAY_BEGIN else "")
    if chosen is not None and "zone" in request.GET:
        response.set_cookie(
            COOKIE,
            chosen.key,
            max_age=COOKIE_SECONDS,
            path="/c/",
            secure=settings.SITE_IS_SECURE,
            httponly=True,
            samesite="Lax",
        )
    return response


@console
@require_safe
def as_candidate(request: ConsoleRequest, delivery: UUID) -> HttpResponse:
    """The same page for the staff: its button does nothing, and nothing is recorded."""
    rows = Delivery.objects.visible_to(request.user).select_related("exam__account", "candidate", "team")
    row: Delivery = get_object_or_404(rows, pk=delivery)
    at, newest = _now(), deliveries.newest(row)
    context = context_of(newest, state_of(newest, at), at, zone=_chosen_zone(request, remembers=False))
    return protect(render(request, "candidate/page.html", {**context, "is_preview": True, "delivery": row}))


# --- where they stand -------------------------------------------------------------------------------------------------


def state_of(delivery: Delivery, at: datetime) -> State:
    """Where the candidate stands with the newest attempt. What closes the way for good comes first."""
    exam = delivery.exam
    if delivery.state == DeliveryState.CANCELLED:
        return State.CANCELLED
    if delivery.is_revoked:
        return State.REVOKED
    if Session.objects.filter(delivery=delivery, state__in=OVER).exists():
        return State.FINISHED
    if exam.has_closed(at):
        return State.TOO_LATE
    if exam.starts_at is not None and exam.starts_at > at:
        return State.TOO_EARLY
    if not _has_link(delivery):
        return State.NOT_READY
    return State.OPENED if delivery.opened_at and not _is_fresh(delivery) else State.READY


def _is_fresh(delivery: Delivery) -> bool:
    """Whether the vendor gave a new link since the candidate last opened one: it knows no browser yet."""
    since = delivery.last_opened_at or delivery.opened_at
    made = Action.objects.filter(delivery=delivery, verb=Verb.REISSUE_LINK, state=ActionState.DONE)
    return made.filter(changed_at__gt=since).exists()


def _has_link(delivery: Delivery) -> bool:
    """Whether there is a link that a browser may follow, and none is being made in its place."""
    if delivery.state != DeliveryState.CREATED or urlsplit(delivery.take_url).scheme not in ("http", "https"):
        return False
    moving = (ActionState.QUEUED, ActionState.SENDING)
    return not Action.objects.filter(delivery=delivery, verb=Verb.REISSUE_LINK, state__in=moving).exists()


# --- what the page says -----------------------------------------------------------------------------------------------


def context_of(delivery: Delivery, state: State, at: datetime, *, zone: zoneinfo.ZoneInfo | None) -> dict[str, Any]:
    """Without anything about the exam or the person where the link may be in other hands."""
    context: dict[str, Any] = {"state": state.value, "team": delivery.team, "code": delivery.code}
    if state in TELLS_NOTHING:
        return context
    exam, person = delivery.exam, delivery.candidate
    zone = zone or invitations.zone_of(delivery)
    facts = registry.facts(exam.account.vendor)
    return {
        **context,
        "exam": exam,
        "candidate": person,
        "zone": zone.key,
        "offset": offset(zone, exam.starts_at or at),
        "starts": invitations.local(exam.starts_at, zone),
        "ends": invitations.local(exam.ends_at, zone),
        "opened": invitations.local(delivery.last_opened_at or delivery.opened_at, zone),
        "minutes": invitations.minutes_of(delivery),
        "extra": person.extra_time_percent if exam.duration_minutes else 0,
        "codes": registry.adapter_class(exam.account.vendor).code_notes(exam.settings, delivery.options),
        "works_once": facts.take_link_works_once,
        "countdown": _countdown(exam, state, at),
        "may_begin": state in MAY_BEGIN,
        "prepares": state in (*COUNTS_TO_START, *COUNTS_TO_END),
        "zones": zone_choices(exam.starts_at or at, zone.key),
    }


def _countdown(exam: Exam, state: State, at: datetime) -> Countdown | None:
    if state in COUNTS_TO_START and exam.starts_at:
        return Countdown(to=exam.starts_at, at=at, is_to_start=True)
    if state in COUNTS_TO_END and exam.ends_at:
        return Countdown(to=exam.ends_at, at=at, is_to_start=False)
    return None


def duration(length: timedelta) -> str:
    """“2 days 3 hours”: the two largest units, rounded down."""
    minutes = int(length.total_seconds()) // 60
    if minutes < 1:
        return "less than a minute"
    days, rest = divmod(minutes, 24 * 60)
    units = [(days, "day"), (rest // 60, "hour"), (rest % 60, "minute")]
    largest = next(place for place, (number, _) in enumerate(units) if number)
    shown = [(number, word) for number, word in units[largest : largest + 2] if number]
    return " ".join(f"{number} {word}{'' if number == 1 else 's'}" for number, word in shown)


# --- time zones -------------------------------------------------------------------------------------------------------


@cache
def _zones() -> Mapping[str, zoneinfo.ZoneInfo]:
    """Every time zone that is named after a place, and UTC."""
    names = (name for name in zoneinfo.available_timezones() if name == "UTC" or name.partition("/")[0] in REGIONS)
    return {name: zoneinfo.ZoneInfo(name) for name in sorted(names)}


def _chosen_zone(request: HttpRequest, *, remembers: bool = True) -> zoneinfo.ZoneInfo | None:
    """What the candidate chose, now or before; None where they chose nothing that is a time zone."""
    names = [request.GET.get("zone", ""), request.COOKIES.get(COOKIE, "") if remembers else ""]
    return next((_zones()[name] for name in names if name in _zones()), None)


def zone_choices(at: datetime, current: str) -> Sequence[tuple[str, Sequence[tuple[str, str, bool]]]]:
    """(region, [(name, words, is the current one)]) with the offset that each place has at that moment."""
    groups: dict[str, list[tuple[str, str, bool]]] = {}
    zones = _zones() if current in _zones() else {**_zones(), current: zoneinfo.ZoneInfo(current)}
    for name, zone in zones.items():
        region, _, place = name.partition("/")
        words = f"{(place or region).replace('_', ' ').replace('/', ', ')} ({offset(zone, at)})"
        groups.setdefault(region if place else "Other", []).append((name, words, name == current))
    return sorted(groups.items(), key=lambda group: (group[0] == "Other", group[0]))


def offset(zone: zoneinfo.ZoneInfo, at: datetime) -> str:
    """“UTC+05:45”: what the zone is ahead of UTC at that moment."""
    minutes = int((at.astimezone(zone).utcoffset() or timedelta()).total_seconds()) // 60
    return f"UTC{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"
