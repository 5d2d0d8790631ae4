"""The board of all sessions, and one session with all that is known of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, cast
from uuid import UUID

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import BooleanField, Case, F, Q, QuerySet, Value, When
from django.http import Http404, HttpResponse, JsonResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect
from django.utils.http import urlencode
from django.utils.text import slugify
from django.views.decorators.http import require_GET, require_http_methods, require_POST
from django_htmx.http import HttpResponseClientRefresh

from proctoring import journal, policy, questions, sessions
from proctoring.forms.sessions import CHOSEN_VERBS, ResponsesForm
from proctoring.models import (
    OPEN_STATES,
    SESSION_STATES,
    Account,
    Action,
    ActionState,
    Call,
    Exam,
    JournalEntry,
    Reading,
    Session,
)
from proctoring.policy import Right
from proctoring.vendors import registry
from proctoring.vendors.base import Verb
from proctoring.views import session_words, words
from proctoring.views.access import (
    ConsoleRequest,
    console,
    fragment,
    may,
    next_url,
    now,
    page,
    require,
    teams_where,
    whom_to_ask,
)

PAGE = 50
TIMELINE = 200
LONGEST = 200  # characters of a filter: nobody types more, and databases refuse to look for very long texts
FILTERS = ("q", "exam", "account", "state", "matched")
STOP_POLLING = 286  # htmx's own status: show this and ask no more
QUICK, SLOW = "2s", "20s"
SOON = timedelta(seconds=5)
MOVING = (ActionState.QUEUED, ActionState.SENDING)


@dataclass(frozen=True, slots=True)
class BoardRow:
    """One session as the board shows it. `seen` says which version of it the page holds."""

    session: Session
    action: Action | None

    @property
    def badge(self) -> words.Badge:
        return session_words.state_badge(self.session)

    @property
    def vendors_word(self) -> str:
        return session_words.vendors_word(self.session)

    @property
    def score(self) -> str:
        return session_words.score(self.session)

    @property
    def person(self) -> str:
        return session_words.person(self.session)

    @property
    def action_badge(self) -> words.Badge | None:
        return words.badge(self.action) if self.action else None

    @property
    def action_title(self) -> str:
        return session_words.title(self.action.verb) if self.action else ""

    @property
    def seen(self) -> str:
        row, action = self.session, self.action
        parts = (row.state, row.vendor_state, row.score, row.asked_at, row.candidate_id, row.exam_id)
        return f"{row.pk.hex}.{session_words.version(*parts, action and (action.pk, action.changed_at))}"


@dataclass(frozen=True, slots=True)
class Listing:
    """One account and its list of sessions: when it was read last, what came of it, when it is read again."""

    account: Account
    vendor: str
    reading: Reading | None
    reports: bool
    why_not: str
    may_ask: bool

    @property
    def reads_deliveries(self) -> bool:
        return not self.reports and registry.capability(self.account.vendor, Verb.READ_DELIVERY) is not None

    @property
    def why_silent(self) -> str:
        return registry.facts(self.account.vendor).why_no_state

    @property
    def is_asked(self) -> bool:
        return bool(self.reading and not self.why_not and (_is_due(self.reading) or _is_under_way(self.reading)))

    @property
    def seen(self) -> str:
        reading = self.reading
        parts = (reading.read_at, reading.due_at, reading.error, reading.tries) if reading else ()
        return session_words.seen(f"list{self.account.pk:04}", *parts, self.why_not, self.is_asked)


# --- the board --------------------------------------------------------------------------------------------------------


@console
@require_GET
def board(request: ConsoleRequest) -> HttpResponse:
    """All sessions of the user's teams, over all exams and vendors."""
    filters = filters_of(request.GET)
    found = filtered(request, filters)
    shown = Paginator(found, PAGE).get_page(request.GET.get("page"))
    rows, listings = _rows(shown.object_list), _listings(request)
    context: dict[str, Any] = {
        "title": "Sessions",
        "rows": rows,
        "page": shown,
        "total": shown.paginator.count,
        "listings": listings,
        "one_by_one": [row for row in listings if row.reads_deliveries],
        "silent": [row for row in listings if not row.reports and not row.reads_deliveries],
        "filters": filters,
        "is_filtered": any(filters.values()),
        "place": place_of(request.GET),
        "exams": Exam.objects.visible_to(request.user).filter(sessions__isnull=False).distinct().order_by("title"),
        "states": SESSION_STATES,
        "verbs": _verbs(request),
        "has_team": bool(teams_where(request, Right.VIEW)),
        "interval": _interval(rows, listings),
    }
    return page(request, "proctoring/sessions.html", **context)


def filters_of(data: QueryDict | Mapping[str, str]) -> dict[str, str]:
    return {name: str(data.get(name, ""))[:LONGEST].strip() for name in FILTERS}


def place_of(data: QueryDict) -> str:
    """The filters and the page, as an address has them."""
    return urlencode({name: str(data[name]) for name in (*FILTERS, "page") if data.get(name)})


def filtered(request: ConsoleRequest, filters: Mapping[str, str]) -> QuerySet[Session]:
    """The sessions that the board shows with these filters, by exam and name. Raises Http404 for ids that are none."""
    found: QuerySet[Session] = Session.objects.visible_to(request.user)
    if filters["exam"]:
        found = found.filter(exam=_uuid(filters["exam"]))
    if filters["account"]:
        found = found.filter(account=_number(filters["account"]))
    if filters["state"]:
        found = found.filter(state=filters["state"])
    if filters["matched"] in ("yes", "no"):
        found = found.filter(candidate__isnull=filters["matched"] == "no")
    for word in filters["q"].split()[:8]:
        found = found.filter(_matches(word))
    return found.order_by(F("exam__title").asc(nulls_last=True), "name", "id")


def _matches(word: str) -> Q:
    fields = ("name", "ref", "person_ref", "person_hint", "vendor_state", "exam__title")
    people = ("first_name", "last_name", "email", "external_id")
    match = Q()
    for name in (*fields, *(f"candidate__{field}" for field in people)):
        match |= Q(**{f"{name}__icontains": word})
    return match


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise Http404 from None


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise Http404
    return int(text[:18])


def _rows(found: Iterable[Session] | QuerySet[Session]) -> list[BoardRow]:
    if isinstance(found, QuerySet):
        hidden = ("content", "exam__settings", "account__credentials")
        found = found.select_related("account", "exam", "candidate").defer(*hidden)
    rows = list(found)
    actions = open_actions(rows)
    return [BoardRow(row, actions.get(row.pk)) for row in rows]


def open_actions(rows: Sequence[Session]) -> dict[UUID, Action]:
    """What is under way with each of them, by session."""
    found = Action.objects.filter(session__in=[row.pk for row in rows], state__in=OPEN_STATES)
    return {action.session_id: action for action in found.defer("payload", "kept", "choices") if action.session_id}


def _listings(request: ConsoleRequest) -> list[Listing]:
    accounts: QuerySet[Account] = Account.objects.visible_to(request.user).filter(is_archived=False).order_by("name")
    accounts = accounts.filter(vendor__in=registry.VENDORS)
    listed = Reading.objects.filter(session=None, verb=Verb.LIST_SESSIONS.value)
    readings = {reading.account_id: reading for reading in listed.filter(account__in=accounts.order_by())}
    return [_listing(request, account, readings.get(account.pk)) for account in accounts]


def _listing(request: ConsoleRequest, account: Account, reading: Reading | None) -> Listing:
    facts = registry.facts(account.vendor)
    return Listing(
        account=account,
        vendor=facts.title,
        reading=reading,
        reports=Verb.LIST_SESSIONS in facts.capabilities,
        why_not=sessions.refusal(account, Verb.LIST_SESSIONS),
        may_ask=may(request, account.team_id, Right.DELIVER),
    )


def _verbs(request: ConsoleRequest) -> list[tuple[str, str]]:
    """What this user's roles let them do somewhere. A confirmation asks again, for the team of the sessions."""
    rights = {verb: policy.SESSION_RIGHTS[verb] for verb in CHOSEN_VERBS}
    return [(verb.value, session_words.title(verb)) for verb in CHOSEN_VERBS if teams_where(request, rights[verb])]


def _interval(rows: Sequence[BoardRow], listings: Sequence[Listing]) -> str:
    """How often it makes sense to look for changes; "" where nothing changes by itself."""
    if any(row.action and row.action.state in MOVING for row in rows) or any(row.is_asked for row in listings):
        return QUICK
    if any(row.reading and row.reading.due_at for row in listings):
        return SLOW
    shown = [row.session.pk for row in rows]
    return SLOW if Reading.objects.filter(session__in=shown).exclude(due_at=None).exists() else ""


@console
@require_GET
def board_changes(request: ConsoleRequest) -> HttpResponse:
    """What changed since the page last looked, row by row; nothing (204) where nothing did.

    Sessions that came in are counted and not put between the rows: somebody may be ticking them. An empty board shows them.
    """
    held = set(request.GET.getlist("seen"))
    rows, listings = _rows(_held(request, held)), _listings(request)
    newcomers = _newcomers(request, rows)
    if newcomers and not rows and not any(filters_of(request.GET).values()):
        return HttpResponseClientRefresh()
    interval = _interval(rows, listings)
    changed = [row for row in rows if row.seen not in held]
    news = [row for row in listings if row.reports and row.seen not in held]
    told = {text for text in held if text.startswith("new.")}
    is_told = told == ({f"new.{newcomers}"} if newcomers else set())
    if not changed and not news and is_told and request.GET.get("interval") == interval:
        return HttpResponse(status=204)
    context: dict[str, Any] = {"rows": changed, "listings": news, "interval": interval}
    context |= {"newcomers": newcomers, "place": place_of(request.GET)}
    return fragment(request, "proctoring/sessions_changes.html", **context)


def _newcomers(request: ConsoleRequest, rows: Sequence[BoardRow]) -> int:
    """How many sessions belong on the page that it does not show."""
    there = Paginator(filtered(request, filters_of(request.GET)), PAGE).get_page(request.GET.get("page")).object_list
    shown = {row.session.pk for row in rows}
    return sum(key not in shown for key in cast("QuerySet[Session]", there).values_list("pk", flat=True))


def _held(request: ConsoleRequest, held: Iterable[str]) -> QuerySet[Session]:
    """The rows that the page shows: it names them, as its filters might find others by now."""
    keys = [UUID(key) for key in (text.partition(".")[0] for text in held) if re.fullmatch("[0-9a-f]{32}", key)]
    found: QuerySet[Session] = Session.objects.visible_to(request.user).filter(pk__in=keys[:PAGE])
    return found


@console
@require_POST
def take_in(request: ConsoleRequest) -> HttpResponse:
    """Asks a worker to list an account's sessions now."""
    accounts = Account.objects.visible_to(request.user)
    account: Account = get_object_or_404(accounts, pk=_number(request.POST.get("account", "")))
    require(request, account.team_id, Right.DELIVER)
    if sentence := sessions.refusal(account, Verb.LIST_SESSIONS):
        messages.warning(request, sentence)
    else:
        sessions.ask_sync(account, by=request.user, now=now())
        messages.success(request, f"The sessions of {account.name} are being taken in.")
    return redirect(next_url(request, "sessions"))


# --- one session ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Deed:
    """One thing that can be done to a session, and why not where it cannot."""

    verb: str
    title: str
    why_not: str
    is_destructive: bool


@console
@require_GET
def session(request: ConsoleRequest, session: UUID) -> HttpResponse:
    row = _session(request, session)
    return page(request, "proctoring/session.html", **_context(request, row))


def _session(request: ConsoleRequest, key: UUID) -> Session:
    related = ("account__team", "exam", "candidate", "delivery")
    secrets = ("exam__settings", "delivery__take_url", "delivery__proctor_url")
    found: QuerySet[Session] = Session.objects.visible_to(request.user).select_related(*related).defer(*secrets)
    return get_object_or_404(found, pk=key)


def _context(request: ConsoleRequest, row: Session, **more: Any) -> dict[str, Any]:
    actions = _actions(row)
    opened = next((action for action in actions if action.state in OPEN_STATES), None)
    readings = list(Reading.objects.filter(session=row))
    shown = BoardRow(row, opened)
    may_read = may(request, row.team_id, Right.DELIVER)
    sees_questions = may(request, row.team_id, Right.SEE_QUESTIONS)
    kept = [(item, session_words.title(item.verb)) for item in actions if getattr(item, "has_kept", False)]
    objectives, asked_at = questions.objectives_of(row), questions.asked_at(row)
    return {
        "title": shown.person,
        "row": shown,
        "session": row,
        "vendor": registry.facts(row.account.vendor),
        "opened": opened,
        "buttons": session_words.buttons(opened, request.user) if opened else [],
        "objectives": objectives,
        "deeds": _deeds(request, row),
        "readings": [(reading, _is_asked(reading)) for reading in readings],
        "may_read": may_read,
        "read_refusal": sessions.refusal(row.account, _reading_verb(row)),
        "results_refusal": sessions.refusal(row.account, Verb.READ_RESULTS),
        "has_questions": row.content.get("questions") is not None,
        "are_current": questions.are_current(row),
        "questions_asked_at": asked_at,
        "sees_questions": sees_questions,
        "ask_for_questions": "" if sees_questions else whom_to_ask(row.team_id, Right.SEE_QUESTIONS),
        "may_set": _may_set(request, row),
        "timeline": _timeline(row, actions),
        "kept": kept,
        "may_export": may(request, row.team_id, Right.RESET),
        "is_moving": _is_moving(opened, readings),
        "seen": _version(shown, actions, readings),
        "rest_seen": session_words.seen(row.pk, asked_at, row.effect_ended_at, bool(opened), objectives, len(kept)),
        **more,
    }


def _actions(row: Session) -> list[Action]:
    """Newest first, each with whether something was kept; what was kept stays encrypted where it is."""
    has_kept = Case(When(kept__isnull=False, then=Value(True)), default=False, output_field=BooleanField())
    found = Action.objects.filter(session=row).select_related("account", "by").annotate(has_kept=has_kept)
    return list(found.defer("payload", "kept", "choices").order_by("-created_at", "id"))


def _is_moving(opened: Action | None, readings: Iterable[Reading]) -> bool:
    return bool(opened and opened.state in MOVING) or any(_is_asked(reading) for reading in readings)


def _is_asked(reading: Reading) -> bool:
    """Soon, or just now: what is read again and again is not always about to be."""
    return reading.due_at is not None and (not reading.every_seconds or _is_due(reading) or _is_under_way(reading))


def _is_due(reading: Reading) -> bool:
    return reading.due_at is not None and reading.due_at <= now() + SOON


def _is_under_way(reading: Reading) -> bool:
    """A worker has it: it was put off past the worker's lease, so that it comes back by itself if that one dies."""
    return reading.due_at is not None and reading.tries > 0 and not reading.error


def _version(shown: BoardRow, actions: Sequence[Action], readings: Iterable[Reading]) -> str:
    last = max((action.changed_at for action in actions), default=None)
    read = [(reading.verb, reading.read_at, reading.due_at, reading.error) for reading in readings]
    return session_words.seen(shown.session.pk, shown.seen, last, sorted(read, key=str))


def _deeds(request: ConsoleRequest, row: Session) -> list[Deed]:
    return [
        Deed(verb.value, session_words.title(verb), _why_not(request, row, verb), verb is Verb.RESET)
        for verb in CHOSEN_VERBS
        if registry.capability(row.account.vendor, verb) is not None
    ]


def _why_not(request: ConsoleRequest, row: Session, verb: Verb) -> str:
    if not may(request, row.team_id, policy.SESSION_RIGHTS[verb]):
        return session_words.refusal(verb)
    return " ".join(sessions.plan([row], verb).rows[0].sentences)


def _may_set(request: ConsoleRequest, row: Session) -> bool:
    is_offered = registry.capability(row.account.vendor, Verb.SUBMIT_RESPONSES) is not None
    return is_offered and may(request, row.team_id, Right.SUBMIT_RESPONSES)


def _timeline(row: Session, actions: Sequence[Action]) -> list[dict[str, Any]]:
    """The journal and the calls, newest first."""
    entries = JournalEntry.objects.filter(target=str(row.pk), target_kind="session").select_related("by")
    calls = Call.objects.filter(group__in=[action.group for action in actions]).exclude(sent_at=None)
    bodies = ("request_body", "response_body", "request_headers", "response_headers")
    lines = [
        session_words.line_of_entry(entry, journal.words(entry.event)) for entry in entries.order_by("-at")[:TIMELINE]
    ]
    for call in calls.defer(*bodies).order_by("-sent_at")[:TIMELINE]:
        lines.append(session_words.line_of_call(call, call.sent_at or call.claimed_at))
    return sorted(lines, key=lambda line: line["at"], reverse=True)


@console
@require_GET
def session_live(request: ConsoleRequest, session: UUID) -> HttpResponse:
    """The part of the page that changes by itself; with the rest where that is another by now and shows no questions."""
    row = _session(request, session)
    context = _context(request, row)
    has_news = request.GET.get("rest", context["rest_seen"]) != context["rest_seen"]
    if context["is_moving"] and not has_news and request.GET.get("seen") == context["seen"]:
        return HttpResponse(status=204)
    status = 200 if context["is_moving"] else STOP_POLLING
    return fragment(request, "proctoring/session_changes.html", status=status, has_news=has_news, **context)


def _reading_verb(row: Session) -> Verb:
    """How its vendor is asked: for the session, or for the delivery that it belongs to."""
    reads_delivery = registry.capability(row.account.vendor, Verb.READ_DELIVERY) is not None
    return Verb.READ_DELIVERY if row.delivery_id and reads_delivery else Verb.READ_SESSION


@console
@require_POST
def session_read(request: ConsoleRequest, session: UUID) -> HttpResponse:
    """Asks a worker to read the session again, or its questions."""
    row = _session(request, session)
    require(request, row.team_id, Right.DELIVER)
    verb = Verb.READ_RESULTS if request.POST.get("what") == "questions" else _reading_verb(row)
    if sentence := sessions.refusal(row.account, verb):
        messages.warning(request, sentence)
    else:
        sessions.ask_reading(row, by=request.user, now=now(), verb=verb)
        messages.success(request, "It is being read; the answer appears here.")
    return redirect("session", session=row.pk)


# --- its questions ----------------------------------------------------------------------------------------------------


@console
@require_POST
def session_questions(request: ConsoleRequest, session: UUID) -> HttpResponse:
    """Shows questions, keys and responses to whoever pressed for them; the journal remembers who."""
    row = _session(request, session)
    require(request, row.team_id, Right.SEE_QUESTIONS)
    _record_showing(request, row)
    context = _context(request, row, questions=questions.questions_of(row.content.get("questions")))
    if request.htmx:
        return fragment(request, "proctoring/session_questions.html", **context)
    return page(request, "proctoring/session.html", **context)


def _record_showing(request: ConsoleRequest, row: Session, **facts: Any) -> None:
    journal.record("session.questions_shown", row, team=row.team_id, at=now(), by=request.user, **facts)


@console
@require_http_methods(["GET", "HEAD", "POST"])
def session_responses(request: ConsoleRequest, session: UUID) -> HttpResponse:
    """The form that sets responses: asked for by a POST, as it shows the questions, and then sent."""
    row = _session(request, session)
    require(request, row.team_id, Right.SUBMIT_RESPONSES)
    require(request, row.team_id, Right.SEE_QUESTIONS)
    if request.method != "POST":
        return redirect("session", session=row.pk)
    form = _responses_form(request.POST, row)
    if form.is_valid():
        return _draft_responses(request, row, form)
    if not form.questions:
        messages.warning(request, "There is no multiple-choice question to answer. Read the questions again first.")
        return redirect("session", session=row.pk)
    _record_showing(request, row, where="set responses")
    context = {"title": f"Set responses: {session_words.person(row)}", "session": row, "form": form}
    status = 422 if form.is_bound else 200
    return page(request, "proctoring/session_responses.html", status=status, **context)


def _responses_form(data: QueryDict, row: Session) -> ResponsesForm:
    found = questions.questions_of(row.content.get("questions")) if questions.are_current(row) else []
    return ResponsesForm(data if "set" in data else None, questions=found)


def _draft_responses(request: ConsoleRequest, row: Session, form: ResponsesForm) -> HttpResponse:
    plan = sessions.plan([row], Verb.SUBMIT_RESPONSES)
    is_scored = bool(form.cleaned_data["submit_for_scoring"])
    plan = replace(plan, responses=form.responses(), submit_for_scoring=is_scored)
    batch = sessions.draft(plan, team_id=row.team_id, by=request.user, now=now())
    return redirect("session_action", batch=batch.pk)


@console
@require_POST
def session_kept(request: ConsoleRequest, action: UUID) -> HttpResponse:
    """What was kept before an effect, whole, as a file; the journal remembers who took it."""
    found: QuerySet[Action] = Action.objects.visible_to(request.user).select_related("session")
    row = get_object_or_404(found.exclude(session=None).exclude(kept=None), pk=action)
    require(request, row.team_id, Right.RESET)
    assert row.session is not None  # noqa: S101 - as asked for two lines above
    data = {
        "session": row.session.ref,
        "action": str(row.pk),
        "verb": row.verb,
        "sent_at": row.sent_at,
        "reason": row.reason,
        **sessions.kept_of(row),
    }
    journal.record("session.kept_exported", row.session, team=row.team_id, at=now(), by=request.user, action=row)
    name = f"session-{slugify(row.session.ref)[:60]}-before-{slugify(row.verb)}.json"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return JsonResponse(data, headers=headers, json_dumps_params={"indent": 2, "ensure_ascii": False})
