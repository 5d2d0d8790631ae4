"""Choosing an exam and its candidates, seeing who will get a delivery, and pressing once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.core.exceptions import PermissionDenied
from django.db import IntegrityError
from django.db.models import Exists, OuterRef
from django.http import Http404, HttpResponse, HttpResponseBase, QueryDict, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.text import slugify
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from proctoring import deliveries, exports, planning, rosters
from proctoring.forms.deliver import KNOWN, DeliverForm, candidates_of
from proctoring.forms.fields import uuids
from proctoring.models import Batch, Candidate, Delivery, DeliveryState, Exam
from proctoring.planning import Plan, Row, Standing
from proctoring.policy import Right
from proctoring.vendors import registry
from proctoring.vendors.formfields import VendorForm
from proctoring.views import words
from proctoring.views.access import ConsoleRequest, console, fragment, now, page, require, teams_where, whom_to_ask

SHOWN_EXAMS = 200
SHOWN_FOUND = 50
SHOWN_CHOSEN = 100
MAX_CHOSEN = 5_000
LONGEST = 200  # characters of what is searched for
SHOWN_ROWS = 100
CHOSEN_BY_ADMIN = "deliver_candidates"  # the session's key under which the admin's bulk action leaves ids
SAMPLE = (
    ("Ann", "Lee", "ann.lee@example.org", "+44 20 7946 0101", "S-1001", "Europe/London", "en", "no", 0),
    ("José", "de la Cruz", "jose@example.org", "", "S-1002", "America/Lima", "es", "yes", 25),
)
STANDINGS = {
    Standing.READY: "will get a delivery",
    Standing.ASKS: "will, once “arranged by hand” is ticked",
    Standing.IN_EXAM: "will, once it is ticked that the attempt under way ends",
    Standing.REFUSED: "will not get a delivery",
}


# --- choosing ---------------------------------------------------------------------------------------------------------


@console
@require_http_methods(["GET", "HEAD", "POST"])
def deliver(request: ConsoleRequest) -> HttpResponseBase:
    """The form; a POST drafts a batch and goes on to its preview. Nothing is asked for here."""
    if not teams_where(request, Right.DELIVER):
        raise PermissionDenied(_nobody_may(request))
    if request.method != "POST":
        return _blank(request)
    exam = _exam(request, request.POST.get("exam", ""))
    if "find" in request.POST:
        return _form_page(request, exam, _unbound(exam, request.POST), Picker.of(exam, request.POST))
    return _draft(request, exam)


def _nobody_may(request: ConsoleRequest) -> str:
    teams = teams_where(request, Right.VIEW)
    if not teams:
        return "You are in no team yet. Ask an administrator to add you to one."
    return f"Your role does not let you deliver exams. {whom_to_ask(teams[0], Right.DELIVER)}"


def _blank(request: ConsoleRequest) -> HttpResponse:
    exam = _exam(request, request.GET.get("exam", ""))
    chosen = uuids(request.session.pop(CHOSEN_BY_ADMIN, []))
    if exam is None and chosen:
        exam = _only_exam(request, chosen)
    form = DeliverForm(exam=exam, initial={"source": KNOWN})
    return _form_page(request, exam, form, Picker(exam, "", chosen), kept=[] if exam else chosen)


def _only_exam(request: ConsoleRequest, chosen: Sequence[UUID]) -> Exam | None:
    """The exam to show candidates beside whom no exam was chosen: their team's newest that can be delivered."""
    team = Candidate.objects.visible_to(request.user).filter(pk__in=chosen[:1]).values("team")
    exams = Exam.objects.visible_to(request.user).filter(team__in=team, is_archived=False).select_related("account")
    return next((exam for exam in exams[:SHOWN_EXAMS] if not planning.refusal(exam, now())), None)


def _exam(request: ConsoleRequest, text: str) -> Exam | None:
    """The exam chosen; None where none is. 404 for a stranger's, 403 where the role does not allow deliveries."""
    if not text:
        return None
    try:
        key = UUID(text)
    except ValueError:
        raise Http404 from None
    exams = Exam.objects.visible_to(request.user).select_related("account", "team")
    exam: Exam = get_object_or_404(exams, pk=key)
    require(request, exam.team_id, Right.DELIVER)
    return exam


def _unbound(exam: Exam | None, data: QueryDict) -> DeliverForm:
    """The form with what was entered so far and no complaints: somebody only searched."""
    kept = {name: data.get(name, "") for name in ("mode", "source", "pasted", "reason")}
    return DeliverForm(exam=exam, initial={name: value for name, value in kept.items() if value})


def _draft(request: ConsoleRequest, exam: Exam | None) -> HttpResponse:
    form = DeliverForm(request.POST, request.FILES, exam=exam)
    options = _options(exam, request.POST)
    if form.is_valid() & (options is None or options.is_valid()) and exam is not None:
        require(request, exam.team_id, Right.RETAKE if form.is_retake else Right.DELIVER)
        plan = form.plan(options.cleaned_data if options else {}, now=now())
        if options is not None:
            options.add_objections(planning.option_faults(exam, plan))
        if not plan.refusal:
            reason = form.cleaned_data["reason"]
            batch = deliveries.draft(plan, exam=exam, by=request.user, now=now(), reason=reason)
            return redirect("deliver_preview", batch=batch.pk)
    picker = Picker.of(exam, request.POST)
    return _form_page(request, exam, form, picker, options=options, is_wrong=True)


def _options(exam: Exam | None, data: Mapping[str, Any] | None = None) -> VendorForm | None:
    """The vendor's own delivery form."""
    if exam is None:
        return None
    form: VendorForm = registry.forms(exam.account.vendor).DeliveryForm(data, prefix="options")
    return form


def _form_page(
    request: ConsoleRequest,
    exam: Exam | None,
    form: DeliverForm,
    picker: Picker,
    *,
    options: VendorForm | None = None,
    is_wrong: bool = False,
    kept: Sequence[UUID] = (),
) -> HttpResponse:
    context = {
        "title": "Deliver an exam",
        "form": form,
        "kept": kept,
        "exam_is_missing": is_wrong and exam is None,
        **_exam_context(request, exam),
        **_exams_context(request, exam, ""),
        "picker": picker,
    }
    if options is not None:
        context["options"] = options
    return page(request, "proctoring/deliver.html", status=422 if is_wrong else 200, **context)


def _exam_context(request: ConsoleRequest, exam: Exam | None) -> dict[str, Any]:
    if exam is None:
        return {"exam": None, "refusal": "", "options": None}
    return {"exam": exam, "refusal": planning.refusal(exam, now()), "options": _options(exam)}


def _exams_context(request: ConsoleRequest, chosen: Exam | None, words: str) -> dict[str, Any]:
    """The exams to choose from: those that can be delivered now first, each group by account."""
    exams = Exam.objects.visible_to(request.user).filter(
        team__in=teams_where(request, Right.DELIVER), is_archived=False
    )
    for word in words.split()[:8]:
        exams = exams.filter(title__icontains=word)
    rows = list(exams.select_related("account", "team").order_by("account__name", "title")[: SHOWN_EXAMS + 1])
    is_cut, rows = len(rows) > SHOWN_EXAMS, rows[:SHOWN_EXAMS]
    if chosen is not None and chosen not in rows:
        rows.insert(0, chosen)
    able = [exam for exam in rows if not planning.refusal(exam, now())]
    return {
        "exams": able,
        "exams_not_now": [exam for exam in rows if exam not in able],
        "exams_are_cut": is_cut,
        "exam": chosen,
    }


@console
@require_GET
def deliver_exams(request: ConsoleRequest) -> HttpResponse:
    """The select with the exams that match."""
    chosen = _exam(request, request.GET.get("exam", ""))
    context = _exams_context(request, chosen, request.GET.get("exam_words", ""))
    return fragment(request, "proctoring/deliver_exams.html", **context)


@console
@require_POST
def deliver_exam(request: ConsoleRequest) -> HttpResponse:
    """What changes with the exam: its facts and, where they are another's, the vendor's options and the candidates."""
    exam = _exam(request, request.POST.get("exam", ""))
    context = _exam_context(request, exam)
    if exam is not None:
        context["has_new_options"] = request.POST.get("vendor") != exam.account.vendor
        context["picker"] = Picker.of(exam, request.POST)
    return fragment(request, "proctoring/deliver_exam.html", **context)


@console
@require_POST
def deliver_candidates(request: ConsoleRequest) -> HttpResponse:
    """The known candidates that match, below those ticked already."""
    exam = _exam(request, request.POST.get("exam", ""))
    return fragment(request, "proctoring/deliver_candidates.html", exam=exam, picker=Picker.of(exam, request.POST))


class Picker:
    """Known candidates to tick: the chosen ones stay on top, whatever is searched for next."""

    def __init__(self, exam: Exam | None, words: str, chosen: Sequence[UUID], *, find: str = "") -> None:
        self.words = words
        team = Candidate.objects.filter(team_id=exam.team_id) if exam else Candidate.objects.none()
        found = team.matching(words)
        if find == "none":
            chosen = ()
        elif find == "all":
            chosen = [*chosen, *found.values_list("pk", flat=True)[:MAX_CHOSEN]]
        self.all_chosen = candidates_of(exam, list(dict.fromkeys(chosen))[:MAX_CHOSEN])
        self.chosen = self.all_chosen[:SHOWN_CHOSEN]
        self.more_chosen = self.all_chosen[SHOWN_CHOSEN:]
        self.is_full = len(self.all_chosen) == MAX_CHOSEN
        self.total = found.count()
        has_one = Delivery.objects.filter(exam=exam, candidate=OuterRef("pk")).exclude(state=DeliveryState.CANCELLED)
        ids = {candidate.pk for candidate in self.all_chosen}
        listed = found.annotate(has_delivery=Exists(has_one))[: SHOWN_FOUND + len(self.chosen)]
        self.found = [candidate for candidate in listed if candidate.pk not in ids][:SHOWN_FOUND]
        self.is_cut = self.total > SHOWN_FOUND

    @classmethod
    def of(cls, exam: Exam | None, data: QueryDict) -> Picker:
        try:
            chosen = uuids(data.getlist("candidates"))
        except ValueError:
            chosen = []  # the form itself complains about it
        return cls(exam, data.get("words", "").replace("\0", " ")[:LONGEST], chosen, find=data.get("find", ""))


@console
@require_GET
def deliver_sample(request: ConsoleRequest) -> HttpResponseBase:
    """A roster to start from."""
    headers = list(rosters.HEADERS.values())
    return _download(exports.write_csv(headers, SAMPLE), "roster-sample.csv")


def _download(pieces: Iterator[bytes], name: str) -> HttpResponseBase:
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingHttpResponse(pieces, content_type=exports.CSV_TYPE, headers=headers)


# --- seeing before anything happens -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Group:
    """One of the preview's groups: how many, and as many of its rows as a page bears."""

    total: int
    rows: Sequence[Row]

    @classmethod
    def of(cls, rows: Sequence[Row]) -> Group:
        return cls(len(rows), rows[:SHOWN_ROWS])

    @property
    def more(self) -> int:
        return self.total - len(self.rows)


@console
@require_http_methods(["GET", "HEAD", "POST"])
def deliver_preview(request: ConsoleRequest, batch: UUID) -> HttpResponseBase:
    """Who will get a delivery and who will not; a POST asks for them, once, whoever presses how often."""
    row = _draft_of(request, batch)
    if row.confirmed_at is not None:
        return redirect("batch", batch=row.pk)
    if request.method == "POST":
        return _confirm(request, row)
    plan = _judged(row)
    context = {"title": _preview_title(plan), "batch": row, "exam": row.exam, "plan": plan, **_groups(plan)}
    return page(request, "proctoring/deliver_preview.html", **context)


def _preview_title(plan: Plan) -> str:
    """Names what the button will do."""
    ready = len(plan.ready)
    if plan.refusal or not (ready or plan.asks or plan.in_exam):
        return "Nothing to deliver"
    whom = words.plural(ready, "candidate") if ready else "those you tick"
    return f"{'Retake for' if plan.is_retake else 'Deliver to'} {whom}: check before you press"


def _draft_of(request: ConsoleRequest, key: UUID) -> Batch:
    batches = Batch.objects.visible_to(request.user).filter(kind__in=deliveries.BATCH_KINDS)
    batches = batches.select_related("exam__account", "exam__team", "by")
    batch: Batch = get_object_or_404(batches.exclude(exam=None), pk=key)
    if batch.confirmed_at is None:
        require(request, batch.team_id, Right.RETAKE if batch.kind == "retake" else Right.DELIVER)
    return batch


def _judged(batch: Batch) -> Plan:
    """The plan as it stands now: what was possible when it was drafted need not be so still."""
    assert batch.exam is not None  # noqa: S101 - looked up that way
    return planning.judge(deliveries.plan_of(batch), batch.exam, now=now(), keeps_attempts=True)


def _groups(plan: Plan) -> dict[str, Any]:
    possible = [row for row in plan.rows if row.standing is not Standing.REFUSED]
    return {
        "ready": Group.of(plan.ready),
        "asks": Group.of(plan.asks),
        "in_exam": Group.of(plan.in_exam),
        "waiting_for_ticks": len(possible) - len(plan.ready),
        "refused": Group.of(plan.refused),
        "changed": Group.of([row for row in possible if row.changes]),
        "new_candidates": sum(not row.is_known for row in possible),
        "labels": {**rosters.HEADERS},
    }


def _confirm(request: ConsoleRequest, batch: Batch) -> HttpResponse:
    try:
        arranged, interrupted = (_ticked(request, batch, name) for name in ("arranged", "interrupted"))
        done = deliveries.request(batch, arranged=arranged, interrupted=interrupted, by=request.user, now=now())
    except deliveries.Refused as refused:
        return _refused(request, batch, str(refused))
    except IntegrityError:
        return _refused(request, batch, "Somebody changed these candidates at the same moment. Look at the list again.")
    return redirect("batch", batch=done.pk)


def _ticked(request: ConsoleRequest, batch: Batch, name: str) -> list[int]:
    """The keys of the rows with this tick. “All” stands for those that the page counted: who began since is not among them."""
    if everybody := request.POST.get(f"{name}_all"):
        plan = _judged(batch)
        keys = [row.key for row in (plan.asks if name == "arranged" else plan.in_exam)]
        if name == "arranged" or everybody == str(len(keys)):
            return keys
    return [int(key) for key in request.POST.getlist(name) if key.isdecimal()]


def _refused(request: ConsoleRequest, batch: Batch, sentence: str) -> HttpResponse:
    context = {"title": "Nothing was delivered", "batch": batch, "exam": batch.exam, "sentence": sentence}
    return page(request, "proctoring/deliver_refused.html", status=409, **context)


@console
@require_GET
def deliver_plan(request: ConsoleRequest, batch: UUID) -> HttpResponseBase:
    """The whole preview as a CSV file: every line, what becomes of it, and why."""
    row = _draft_of(request, batch)
    if row.confirmed_at is not None:
        return redirect("batch", batch=row.pk)
    headers = ["Line", "First name", "Last name", "E-mail", "External id", "Attempt", "What happens", "Why"]
    rows = [_plan_cells(item) for item in sorted(_judged(row).rows, key=lambda item: (item.line or 0, item.key))]
    return _download(exports.write_csv(headers, rows), f"preview-{slugify(str(row.exam)) or 'exam'}.csv")


def _plan_cells(row: Row) -> Sequence[object]:
    person = row.person
    who = (person.first_name, person.last_name, person.email, person.external_id)
    attempt = "" if row.standing is Standing.REFUSED else row.attempt
    return (row.line or "", *who, attempt, STANDINGS[row.standing], " ".join(row.sentences))
