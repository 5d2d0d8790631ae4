"""Reset, reopen, retake and set responses: the preview, the confirmation, and what came of each session."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.paginator import Page, Paginator
from django.db import transaction
from django.db.models import QuerySet
from django.http import Http404, HttpResponse, HttpResponseBase, QueryDict, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from proctoring import attention, deliveries, exports, journal, ledger, policy, questions, sessions
from proctoring.attention import Button
from proctoring.forms.attention import ReasonForm
from proctoring.forms.sessions import ChooseForm, ConfirmForm
from proctoring.models import OPEN_STATES, Account, Action, ActionState, Attention, Batch, Reading, Session
from proctoring.policy import Right
from proctoring.sessions import Plan
from proctoring.vendors.base import Response, SessionState, Verb
from proctoring.views import session_words, words
from proctoring.views.access import ConsoleRequest, console, fragment, may, next_url, now, page, require
from proctoring.views.sessions import STOP_POLLING, filtered, filters_of

PAGE = 100
SHOWN = 200
STOPPED = (ActionState.UNKNOWN, ActionState.NEEDS_ATTENTION)
FORMATS = ("csv", "xlsx")


@dataclass(frozen=True, slots=True)
class ResultRow:
    """One session of a confirmed batch. `seen` says which version of it the page holds."""

    action: Action
    buttons: Sequence[tuple[Button, str]]
    is_busy: bool

    @property
    def session(self) -> Session:
        assert self.action.session is not None  # noqa: S101 - a batch of this kind holds nothing else
        return self.action.session

    @property
    def person(self) -> str:
        return session_words.person(self.session)

    @property
    def badge(self) -> words.Badge:
        return words.badge(self.action)

    @property
    def before(self) -> str:
        return session_words.facts(self.action.result.get("before"))

    @property
    def after(self) -> str:
        return session_words.facts(self.action.result.get("after"))

    @property
    def is_still_complete(self) -> bool:
        """A reset takes answers and score; whether the candidate gets in again is a reopen's matter."""
        is_reset = self.action.verb == Verb.RESET and self.action.state == ActionState.DONE
        return is_reset and self.session.state == SessionState.COMPLETE and not self.is_busy

    @property
    def seen(self) -> str:
        parts = (self.action.changed_at, self.session.state, self.session.asked_at, self.is_busy)
        return session_words.seen(self.action.pk, *parts)


# --- choosing ---------------------------------------------------------------------------------------------------------


@console
@require_POST
def choose(request: ConsoleRequest) -> HttpResponse:
    """Takes the ticked sessions, or all that the filters show, to a preview. Nothing is asked for yet."""
    form, back = ChooseForm(request.POST), next_url(request, "sessions")
    if not form.is_valid():
        for errors in form.errors.values():
            messages.error(request, " ".join(map(str, errors)))
        return redirect(back)
    verb = Verb(form.cleaned_data["verb"])
    chosen = list(_chosen(request, form).order_by("name", "id")[: sessions.MOST_AT_ONCE + 1])
    if sentence := sessions.objection(chosen):
        messages.error(request, sentence)
        return redirect(back)
    require(request, chosen[0].team_id, policy.SESSION_RIGHTS[verb])
    return redirect("session_action", batch=_draft(request, chosen, verb).pk)


def _chosen(request: ConsoleRequest, form: ChooseForm) -> QuerySet[Session]:
    if form.cleaned_data["everything"]:
        return filtered(request, filters_of(request.POST))
    found: QuerySet[Session] = Session.objects.visible_to(request.user).filter(pk__in=form.cleaned_data["sessions"])
    return found


def _draft(request: ConsoleRequest, chosen: Sequence[Session], verb: Verb) -> Batch:
    plan = sessions.plan(chosen, verb)
    return sessions.draft(plan, team_id=chosen[0].team_id, by=request.user, now=now())


# --- the preview ------------------------------------------------------------------------------------------------------


@console
@require_http_methods(["GET", "HEAD", "POST"])
def session_action(request: ConsoleRequest, batch: UUID) -> HttpResponseBase:
    """A draft's preview and its confirmation; then, under the same address, what came of it."""
    row = _batch(request, batch)
    if request.method == "POST":
        require(request, row.team_id, policy.SESSION_RIGHTS[Verb(row.kind)])
    if row.confirmed_at is not None:
        return redirect("session_action", batch=row.pk) if request.method == "POST" else _result(request, row)
    plan = sessions.plan_of(row)
    form = _confirm_form(plan, request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        return _confirm(request, row, form)
    return _preview(request, row, plan, form)


def _batch(request: ConsoleRequest, key: UUID, *defer: str) -> Batch:
    kinds = [verb.value for verb in sessions.VERBS]
    # A delivery's retake has the same word, and an exam.
    batches = Batch.objects.visible_to(request.user).filter(exam=None, kind__in=kinds)
    found: Batch = get_object_or_404(batches.select_related("by").defer(*defer), pk=key)
    return found


def _confirm_form(plan: Plan, data: QueryDict | None) -> ConfirmForm:
    number = len(plan.ready)
    asks_number = plan.verb is Verb.RESET and number > 1
    return ConfirmForm(data, number=number, asks_number=asks_number, in_exam=len(plan.in_exam))


def _confirm(request: ConsoleRequest, row: Batch, form: ConfirmForm) -> HttpResponse:
    category, reason = form.cleaned_data["category"], form.cleaned_data["reason"]
    includes = form.cleaned_data.get("includes_in_exam", False)
    try:
        sessions.request(row, category=category, reason=reason, includes_in_exam=includes, by=request.user, now=now())
    except sessions.Refused as error:
        messages.error(request, f"Nothing was sent. {error}")
    return redirect("session_action", batch=row.pk)


def _preview(request: ConsoleRequest, row: Batch, plan: Plan, form: ConfirmForm) -> HttpResponse:
    may_do = may(request, row.team_id, policy.SESSION_RIGHTS[plan.verb])
    found = _sessions_of(plan)
    context = {
        "title": _preview_title(plan),
        "batch": row,
        "plan": plan,
        "verb_title": session_words.title(plan.verb),
        "ready": [_shown(item, found) for item in plan.ready[:SHOWN]],
        "more_ready": max(len(plan.ready) - SHOWN, 0),
        "in_exam": [_shown(item, found) for item in plan.in_exam[:SHOWN]],
        "more_in_exam": max(len(plan.in_exam) - SHOWN, 0),
        "refused": [_shown(item, found) for item in plan.refused[:SHOWN]],
        "more_refused": max(len(plan.refused) - SHOWN, 0),
        "warnings": Counter(text for item in plan.ready for text in item.warnings).most_common(),
        "losses": _losses(plan),
        "news": _news(row, plan, found),
        "answers": _answers(request, plan, found),
        "is_destructive": plan.verb in (Verb.RESET, Verb.SUBMIT_RESPONSES),
        "may_do": may_do,
        "ask": "" if may_do else session_words.refusal(plan.verb),
        "form": form,
    }
    return page(request, "proctoring/session_preview.html", status=422 if form.is_bound else 200, **context)


def _preview_title(plan: Plan) -> str:
    """Names what the button will do."""
    verb, number = session_words.title(plan.verb), len(plan.ready)
    if plan.in_exam and not number:
        return f"{verb}: {words.plural(len(plan.in_exam), 'candidate')} in the middle of the exam"
    if not number:
        return f"{verb}: nothing can be done now"
    what = verb if plan.verb is Verb.SUBMIT_RESPONSES else f"{verb} {words.plural(number, 'session')}"
    return f"{what}: check before you press"


def _sessions_of(plan: Plan) -> dict[UUID, Session]:
    ids = [item.session_id for item in plan.rows]
    found = Session.objects.filter(pk__in=ids).select_related("exam", "candidate").defer("exam__settings")
    return {row.pk: row for row in (found if plan.responses else found.defer("content"))}


def _shown(item: sessions.Row, found: Mapping[UUID, Session]) -> dict[str, Any]:
    """A row as the plan has it: what is shown is what the vendor's session is compared with."""
    row, then = found.get(item.session_id), item.expected
    return {
        "id": item.session_id,
        "person": session_words.person(row) if row else item.name,
        "is_matched": bool(row and row.candidate_id),
        "exam": row.exam if row else None,
        "state": then.vendor_state or session_words.LABELS[then.state],
        "score": session_words.score_text(then.score, then.score_min, then.score_max),
        "loses": item.loses,
        "sentences": item.sentences,
        "asked_at": row.asked_at if row else None,
    }


def _losses(plan: Plan) -> dict[str, int]:
    """What a reset takes, over all of them; {} where nothing is reset."""
    rows = plan.ready
    if plan.verb is not Verb.RESET or not rows:
        return {}
    return {
        "answers": sum(item.expected.has_responses is True for item in rows),
        "scores": sum(item.expected.score is not None for item in rows),
        "unknown": sum(item.expected.has_responses is None for item in rows),
    }


def _news(row: Batch, plan: Plan, found: Mapping[UUID, Session]) -> dict[str, int]:
    """What was read since the preview was made, or is about to be: confirming the old one would only be refused."""
    changed = 0
    for item in plan.ready:
        current = found.get(item.session_id)
        then = item.expected
        changed += current is not None and (then.vendor_state, then.score, then.has_responses) != (
            current.vendor_state,
            current.score,
            current.has_responses,
        )
    ids = [item.session_id for item in plan.rows]
    reading = Reading.objects.filter(session__in=ids, verb=Verb.READ_SESSION.value).exclude(due_at=None).count()
    return {"changed": changed, "reading": reading}


def _answers(request: ConsoleRequest, plan: Plan, found: Mapping[UUID, Session]) -> list[dict[str, Any]]:
    """Before and after of each question; in words only for those who may see questions, and then journalled."""
    row = found.get(plan.rows[0].session_id) if plan.rows else None
    if not plan.responses or row is None:
        return []
    sees = may(request, row.team_id, Right.SEE_QUESTIONS)
    if sees:
        facts = {"team": row.team_id, "at": now(), "by": request.user, "where": "preview"}
        journal.record("session.questions_shown", row, **facts)
    asked = {(question.item_ref, question.ref): question for question in _questions(row)}
    return [
        _answer(response, asked.get((response.item_ref, response.question_ref)), sees) for response in plan.responses
    ]


def _questions(row: Session) -> list[questions.Question]:
    return questions.questions_of(row.content.get("questions"))


def _answer(response: Response, question: questions.Question | None, sees: bool) -> dict[str, Any]:
    before = list(question.chosen) if question else []
    after = list(response.option_indexes)
    return {
        "number": question.number if question else response.question_ref,
        "text": question.text if question and sees else "",
        "before": _options(before, question, sees),
        "after": _options(after, question, sees),
        "changes": sorted(before) != sorted(after),
    }


def _options(indexes: Iterable[int], question: questions.Question | None, sees: bool) -> list[Any]:
    known = {option.index: option.label for option in question.options} if question and sees else {}
    return [known.get(index, f"option {index}") for index in indexes]


@console
@require_POST
def session_action_again(request: ConsoleRequest, batch: UUID) -> HttpResponse:
    """The same sessions in a new preview, as they are now."""
    row = _batch(request, batch)
    if row.confirmed_at is not None:
        raise Http404
    plan = sessions.plan_of(row)
    require(request, row.team_id, policy.SESSION_RIGHTS[plan.verb])
    if plan.responses:
        return redirect("session", session=plan.rows[0].session_id)
    ids = [item.session_id for item in plan.rows]
    chosen = Session.objects.visible_to(request.user).filter(pk__in=ids).order_by("name", "id")
    return redirect("session_action", batch=_draft(request, list(chosen), plan.verb).pk)


# --- what came of it --------------------------------------------------------------------------------------------------


def _result(request: ConsoleRequest, row: Batch) -> HttpResponse:
    state = request.GET.get("state", "")
    shown = _page(row, state if state in ActionState.values else "", request.GET.get("page"))
    skipped = sessions.skipped_of(row)
    context = {
        "title": session_words.title(row.kind),
        "rows": _rows(request, shown.object_list),
        "page": shown,
        "state": state,
        "skipped": skipped[:SHOWN],
        "more_skipped": max(len(skipped) - SHOWN, 0),
        "skipped_total": len(skipped),
        **_progress(request, row),
    }
    return page(request, "proctoring/session_result.html", **context)


def _actions(row: Batch) -> QuerySet[Action]:
    related = ("account", "session__account", "session__exam", "session__candidate")
    secrets = (
        "payload",
        "kept",
        "choices",
        "session__content",
        "session__exam__settings",
        "session__account__credentials",
    )
    found: QuerySet[Action] = Action.objects.filter(batch=row).select_related(*related).defer(*secrets)
    return found.order_by("session__name", "id")


def _page(row: Batch, state: str, number: str | None) -> Page[Action]:
    return Paginator(_actions(row).filter(state=state) if state else _actions(row), PAGE).get_page(number)


def _rows(request: ConsoleRequest, actions: Iterable[Action]) -> list[ResultRow]:
    found = list(actions)
    opened = Action.objects.filter(session__in=[action.session_id for action in found], state__in=OPEN_STATES)
    busy = set(opened.values_list("session_id", flat=True))
    return [
        ResultRow(
            action=action,
            buttons=session_words.buttons(action, request.user) if action.state in STOPPED else (),
            is_busy=action.session_id in busy,
        )
        for action in found
    ]


def _progress(request: ConsoleRequest, row: Batch) -> dict[str, Any]:
    counts = deliveries.progress(row)
    summary = words.summary(counts)
    waits_for = _waits_for(row) if counts[ActionState.QUEUED] else []
    facts = {
        "failed": _failed(row).count(),
        "still_complete": _still_complete(row).count() if row.kind == Verb.RESET else 0,
        "queued": counts[ActionState.QUEUED],
    }
    may_do = may(request, row.team_id, policy.SESSION_RIGHTS[Verb(row.kind)])
    may_cancel = may(request, row.team_id, Right.CANCEL)
    return {
        "batch": row,
        "verb_title": session_words.title(row.kind),
        "counts": counts,
        "counted": words.counted(counts),
        "progress": words.progress(counts),
        "summary": summary,
        "waits_for": waits_for,
        "facts": facts,
        "may_do": may_do,
        "may_reopen": may(request, row.team_id, Right.REOPEN),
        "may_cancel": may_cancel,
        "may_retry": may_do and (may_cancel or row.kind == Verb.SUBMIT_RESPONSES),
        "next": (request.htmx and request.htmx.current_url_abs_path) or request.get_full_path(),
        "progress_seen": session_words.seen("progress", counts, waits_for, facts),
    }


def _waits_for(row: Batch) -> list[str]:
    accounts: QuerySet[Account] = Account.objects.filter(actions__batch=row).distinct()
    sentences = (sessions.refusal(account, Verb(row.kind)) for account in accounts)
    return [sentence for sentence in sentences if sentence]


def _failed(row: Batch) -> QuerySet[Action]:
    """What ended without an effect and may be tried again; an outcome that was ever unknown is for a person alone."""
    return Action.objects.filter(batch=row, state=ActionState.NEEDS_ATTENTION, may_have_acted=False)


def _still_complete(row: Batch) -> QuerySet[Action]:
    found = Action.objects.filter(batch=row, state=ActionState.DONE, session__state=SessionState.COMPLETE.value)
    busy = Action.objects.filter(session__in=found.values("session"), state__in=OPEN_STATES)
    return found.exclude(session__in=busy.values("session"))


@console
@require_GET
def session_action_progress(request: ConsoleRequest, batch: UUID) -> HttpResponse:
    """What changed since the page last looked, row by row; nothing (204) where nothing did."""
    row = _batch(request, batch, "plan")
    held = set(request.GET.getlist("seen"))
    context = _progress(request, row)  # before the rows: these are then at least as new
    changed = [item for item in _rows(request, _shown_actions(request, row)) if item.seen not in held]
    is_over = context["counts"]["moving"] == 0
    if not (changed or is_over) and context["progress_seen"] in held:
        return HttpResponse(status=204)
    status = STOP_POLLING if is_over else 200
    return fragment(request, "proctoring/session_result_changes.html", status=status, rows=changed, **context)


def _shown_actions(request: ConsoleRequest, row: Batch) -> Iterator[Action]:
    shown = {text.partition(".")[0] for text in request.GET.getlist("seen")}
    keys = [key for key in Action.objects.filter(batch=row).values_list("pk", flat=True) if key.hex[:8] in shown]
    yield from _actions(row).filter(pk__in=keys)


# --- going on from there ----------------------------------------------------------------------------------------------


@console
@require_POST
def session_action_cancel(request: ConsoleRequest, batch: UUID) -> HttpResponse:
    """Cancels what has not started."""
    row = _batch(request, batch, "plan")
    require(request, row.team_id, Right.CANCEL)
    form = ReasonForm(request.POST)
    if not form.is_valid():
        messages.error(request, "Nothing was cancelled: say why, it is kept in the journal.")
        return redirect("session_action", batch=row.pk)
    number = deliveries.cancel_waiting(row, by=request.user, reason=form.cleaned_data["reason"], now=now())
    text = f"{words.plural(number, 'session')} cancelled before anything was sent."
    messages.success(request, text if number else "Nothing was waiting any more, so nothing was cancelled.")
    return redirect("session_action", batch=row.pk)


@console
@require_POST
def session_action_retry(request: ConsoleRequest, batch: UUID) -> HttpResponse:
    """Ends what failed, for which it takes the right to cancel, and shows it in a new preview, as it is now.

    What is unknown is left where it is.
    """
    row = _batch(request, batch, "plan")
    verb = Verb(row.kind)
    require(request, row.team_id, policy.SESSION_RIGHTS[verb])
    if verb is not Verb.SUBMIT_RESPONSES:
        require(request, row.team_id, Right.CANCEL)
    form = ReasonForm(request.POST)
    if not form.is_valid():
        messages.error(request, "Nothing was tried again: say why, it is kept in the journal.")
        return redirect("session_action", batch=row.pk)
    reason = form.cleaned_data["reason"]
    if verb is Verb.SUBMIT_RESPONSES:
        return _retry_as_it_was(request, row, reason)
    ended = _end_failed(request, row, reason)
    if not ended:
        messages.info(request, "Nothing of this batch needs another try.")
        return redirect("session_action", batch=row.pk)
    found = Session.objects.visible_to(request.user).select_related("account").filter(pk__in=ended)
    chosen = list(found.order_by("name", "id"))
    for session in chosen:
        if ended[session.pk] == Attention.CHANGED:  # what is here is what no longer holds
            sessions.ask_reading(session, by=request.user, now=now())
    return redirect("session_action", batch=_draft(request, chosen, verb).pk)


def _end_failed(request: ConsoleRequest, row: Batch, reason: str) -> dict[UUID, str]:
    """Session → why it had failed."""
    ended = {}
    with transaction.atomic():
        for action in _failed(row).order_by("id"):
            try:
                deliveries.cancel(action, by=request.user, reason=reason, now=now())
            except ledger.Conflict:
                continue  # somebody was faster: it is theirs now
            if action.session_id is not None:
                ended[action.session_id] = action.attention
    return ended


def _retry_as_it_was(request: ConsoleRequest, row: Batch, reason: str) -> HttpResponse:
    """Responses are not kept in the batch but in its actions, so these are queued again."""
    for action in _failed(row).select_related("account"):
        try:
            attention.take(action, attention.Step.RETRY, by=request.user, reason=reason, now=now())
        except (attention.NotAllowed, ledger.Conflict) as error:
            messages.warning(request, str(error))
    return redirect("session_action", batch=row.pk)


@console
@require_POST
def session_action_reopen(request: ConsoleRequest, batch: UUID) -> HttpResponse:
    """Takes the sessions that are still complete after a reset to the preview of a reopen."""
    row = _batch(request, batch, "plan")
    require(request, row.team_id, Right.REOPEN)
    keys = _still_complete(row).values("session")
    chosen = list(Session.objects.visible_to(request.user).filter(pk__in=keys).order_by("name", "id"))
    if not chosen:
        messages.info(request, "None of these sessions is still complete.")
        return redirect("session_action", batch=row.pk)
    return redirect("session_action", batch=_draft(request, chosen, Verb.REOPEN).pk)


# --- the report -------------------------------------------------------------------------------------------------------

HEADERS = (
    "Name",
    "Vendor's id",
    "Exam",
    "Candidate",
    "State",
    "Before",
    "After",
    "Session now",
    "Score now",
    "Message",
)


@console
@require_GET
def session_action_report(request: ConsoleRequest, batch: UUID, format: str) -> HttpResponseBase:
    """What came of each session as a file; of a draft, what is planned for each."""
    if format not in FORMATS:
        raise Http404
    row = _batch(request, batch)
    planned = list(sessions.plan_of(row).rows) if row.confirmed_at is None else list(sessions.skipped_of(row))
    cells = [_cells(ResultRow(action, (), False)) for action in _actions(row)] + [_planned(item) for item in planned]
    return _file(row, format, cells)


def _cells(row: ResultRow) -> list[object]:
    session = row.session
    now_ = session_words.state_badge(session).text
    return [
        *(session.name, session.ref, str(session.exam or ""), str(session.candidate or "")),
        *(row.badge.text, row.before, row.after, now_, session.score, row.action.message),
    ]


def _planned(item: sessions.Row) -> list[object]:
    state = "Left out" if item.sentences else "Planned"
    then = item.expected
    before = session_words.facts({"state": then.vendor_state, "score": then.score, "has_responses": then.has_responses})
    return [item.name, then.ref, "", "", state, before, "", "", then.score, " ".join(item.sentences)]


def _file(row: Batch, format: str, cells: Sequence[Sequence[object]]) -> HttpResponseBase:
    headers = {"Content-Disposition": f'attachment; filename="{row.kind}-{row.created_at:%Y-%m-%d}.{format}"'}
    if format == "xlsx":
        content = exports.write_xlsx(session_words.title(row.kind), HEADERS, cells)
        return HttpResponse(content, content_type=exports.XLSX_TYPE, headers=headers)
    return StreamingHttpResponse(exports.write_csv(HEADERS, cells), content_type=exports.CSV_TYPE, headers=headers)
