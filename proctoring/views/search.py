"""One field that finds a person by name, e-mail, id, phone or the short reference, while the caller waits."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import CharField, F, QuerySet, Value
from django.db.models.expressions import Combinable
from django.db.models.functions import Replace
from django.http import HttpResponseBase
from django.shortcuts import redirect
from django.views.decorators.http import require_GET

from proctoring import glance, links
from proctoring.models import Candidate, Delivery
from proctoring.views.access import ConsoleRequest, console, page

PEOPLE = 20
DELIVERIES = 8
LONGEST = 200
PHONE = re.compile(r"[+()\d\s./-]{5,}")
BETWEEN_DIGITS = " -()./+"
OUR_LINK = re.compile(r"/c/([\w-]+)")


@dataclass(frozen=True, slots=True)
class FoundDelivery:
    delivery: Delivery
    marks: Sequence[glance.Mark]


@dataclass(frozen=True, slots=True)
class Person:
    candidate: Candidate
    deliveries: Sequence[FoundDelivery]
    more: int


@console
@require_GET
def search(request: ConsoleRequest) -> HttpResponseBase:
    """A reference leads straight to its delivery; anything else to a list of people."""
    words = " ".join(request.GET.get("q", "").split())[:LONGEST]
    if (delivery := _by_reference(request, words)) is not None:
        return redirect("delivery", delivery=delivery)
    people = list(_people(request, words)[: PEOPLE + 1]) if words else []
    context: dict[str, Any] = {
        "title": "Search",
        "q": words,
        "people": _with_deliveries(people[:PEOPLE]),
        "has_more": len(people) > PEOPLE,
        "most": PEOPLE,
    }
    return page(request, "proctoring/search.html", **context)


def _by_reference(request: ConsoleRequest, words: str) -> UUID | None:
    """The delivery whose short reference, or whose candidate link, this is."""
    ours = Delivery.objects.visible_to(request.user)
    if (link := OUR_LINK.search(words)) and (claimed := links.read(link[1])):
        return ours.filter(pk=claimed.delivery_id).values_list("pk", flat=True).first()
    found = list(Delivery.objects.with_code(words).visible_to(request.user).values_list("pk", flat=True)[:2])
    return found[0] if len(found) == 1 else None


def _people(request: ConsoleRequest, words: str) -> QuerySet[Candidate]:
    people: QuerySet[Candidate] = Candidate.objects.matching(words)
    if PHONE.fullmatch(words):
        people = people | _with_phone(words)
    ours: QuerySet[Candidate] = Candidate.objects.visible_to(request.user).filter(pk__in=people.order_by().values("pk"))
    return ours.select_related("team").order_by("last_name", "first_name", "id")


def _with_phone(words: str) -> QuerySet[Candidate]:
    """Those in whose number these digits are, however either is written; a first zero may be left out."""
    digits = re.sub(r"\D", "", words).lstrip("0")
    bare: Combinable = F("phone")
    for sign in BETWEEN_DIGITS:
        bare = Replace(bare, Value(sign), Value(""), output_field=CharField())
    return Candidate.objects.alias(bare_phone=bare).filter(bare_phone__contains=digits or "-")


def _with_deliveries(people: Sequence[Candidate]) -> list[Person]:
    rows = Delivery.objects.filter(candidate__in=[person.pk for person in people])
    rows = rows.select_related("exam__account", "session__account").defer(
        *("take_url", "proctor_url", "options", "exam__settings", "exam__account__credentials", "session__content"),
    )
    by_person: dict[UUID, list[Delivery]] = defaultdict(list)
    for row in rows.order_by("-requested_at", "id"):
        by_person[row.candidate_id].append(row)
    shown = [row.pk for found in by_person.values() for row in found[:DELIVERIES]]
    mail = glance.mailed(shown)
    return [_person(person, by_person[person.pk], mail) for person in people]


def _person(candidate: Candidate, rows: Sequence[Delivery], mail: Mapping[UUID, glance.Mailed]) -> Person:
    shown = [FoundDelivery(row, glance.marks(row, mail.get(row.pk))) for row in rows[:DELIVERIES]]
    return Person(candidate, shown, len(rows) - len(shown))
