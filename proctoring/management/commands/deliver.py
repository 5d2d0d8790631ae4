"""Delivers an exam to a roster from the command line."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.core.management.base import CommandError

from proctoring import deliveries, invitations, journal, planning, policy, rosters, waiting
from proctoring.management.console import (
    EXIT_CODES,
    ConsoleCommand,
    by_argument,
    check_right,
    clean,
    find_exam,
    find_user,
    pairs,
    read_input,
    seconds_argument,
    some,
    why_not_done,
)
from proctoring.models import Action, ActionState, Batch, Delivery, DeliveryState, Exam, User
from proctoring.planning import Plan, Row, Standing
from proctoring.policy import Right
from proctoring.rosters import Entry, Roster
from proctoring.vendors import registry
from proctoring.vendors.base import Verb


class Command(ConsoleCommand):
    help = "Delivers an exam to the candidates of a roster (CSV or XLSX, “-” for standard input)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        by_argument(parser)
        parser.add_argument("exam", metavar="EXAM", help="The exam's title, id or vendor's reference.")
        parser.add_argument("roster", metavar="ROSTER")
        parser.add_argument("--team")
        parser.add_argument("--retake", action="store_true", help="A new attempt for candidates who have one.")
        parser.add_argument(
            "--include-in-progress",
            action="store_true",
            help="With --retake: also those who are in the middle of the exam; it ends that attempt.",
        )
        parser.add_argument("--reason", default="", help="Why; kept in the journal.")
        parser.add_argument(
            "--arranged", action="store_true", help="Accommodations are arranged at the vendor by hand."
        )
        parser.add_argument(
            "--set", action="append", default=[], metavar="K=V", help="A field of the vendor's delivery form."
        )
        parser.add_argument(
            "--invite",
            action="store_true",
            help="Mail our link to each candidate who gets a delivery now, once it is there; goes with --wait.",
        )
        parser.add_argument(
            "--dry-run", action="store_true", help="Only say who would get a delivery and who would not."
        )
        parser.add_argument(
            "--wait", action="store_true", help="Work until every outcome is there, and print the links."
        )
        parser.add_argument(
            "--proctor-links", action="store_true", help="Print the proctor links, too; the journal keeps who saw them."
        )
        parser.add_argument(
            "--strict",
            action="store_true",
            help="Deliver to nobody unless everybody on the roster has a delivery already or gets one.",
        )
        parser.epilog = (
            "A line that cannot be used is left out and named with its field; the others are delivered. Who has a "
            "delivery already is “unchanged”, and a person who is on two lines is taken once: both are no errors. "
            f"{EXIT_CODES} A dry run ends with 1 where a line cannot be used."
        )
        parser.add_argument(
            "--timeout", type=seconds_argument, default=600.0, metavar="SECONDS", help="How long --wait goes on."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        exam = find_exam(options["exam"], options["team"])
        if options["invite"] and not options["wait"]:
            raise CommandError("--invite goes with --wait: a mail needs a link.")
        by, now = find_user(options["by"]), datetime.now(UTC)
        check_right(by, exam.team, Right.DELIVER, "deliver exams")
        if options["proctor_links"]:
            check_right(by, exam.team, Right.SHOW_PROCTOR_LINK, "see proctor links")
        roster = self._read(options)
        plan = self._plan(exam, roster, options, now)
        repeats = _repeats(roster)
        planned = [_plan_row(row, repeats, options) for row in plan.rows]
        if options["dry_run"] or (options["strict"] and any(row["state"] in LACKING for row in planned)):
            self._print(options, planned)
            self._stop(planned, roster, options)
            return
        batch = self._request(plan, planned, exam, options, by, now)
        left_out = deliveries.skipped_of(batch) if batch else plan.rows
        had = [row.person.reference for row in left_out if row.sentences == (HAS_ONE,)]
        under_way = [delivery for delivery in _deliveries(exam, had) if delivery.state != DeliveryState.CREATED]
        asked_before = Action.objects.filter(delivery__in=under_way, verb=CREATE)
        if options["wait"]:
            actions = Action.objects.filter(batch__in=[batch] if batch else []) | asked_before
            waiting.work_until_settled(actions, seconds=options["timeout"])
        mails = self._invite(batch, options, by) if batch and options["invite"] else {}
        lines = {row.person.reference: row.line for row in reversed(plan.rows)}
        before = {action.delivery_id: action for action in asked_before.order_by("created_at")}
        there = {
            delivery.candidate_id: _had(delivery, before.get(delivery.pk), waits=options["wait"])
            for delivery in _deliveries(exam, had)
        }
        rows = _results(batch, lines) if batch else []
        rows += [_with(_plan_row(row, repeats, options), there.get(row.person.reference)) for row in left_out]
        rows = [{**row, **mails.get(row["delivery"], {})} for row in sorted(rows, key=lambda row: row["line"] or 0)]
        _keep_or_hide_proctor_links(rows, exam, by, is_shown=options["proctor_links"])
        self._print(options, rows)
        self._judge(rows, roster, exam, options)

    def _invite(self, batch: Batch, options: dict[str, Any], by: User | None) -> dict[str, dict[str, Any]]:
        """Mails whoever has a link now; returns the mail's state by delivery."""
        created = Delivery.objects.filter(actions__batch=batch, state=DeliveryState.CREATED)
        people = list(created.select_related("exam__account", "candidate", "team"))
        try:
            mails = invitations.request(people, by=by, now=datetime.now(UTC))
        except invitations.Refused as error:
            self.stderr.write(str(error))
            return {}
        waiting.work_until_settled(Action.objects.filter(batch=mails), seconds=options["timeout"])
        actions = Action.objects.filter(batch=mails).select_related("invitation")
        return {
            str(action.invitation.delivery_id): {"invitation": action.state, "invitation_message": action.message}
            for action in actions
            if action.invitation is not None
        }

    def _read(self, options: dict[str, Any]) -> Roster:
        data, name = read_input(options["roster"])
        roster = rosters.read(data, filename=name)
        if roster.problems:  # of the whole file: nobody knows who is missing
            sentences = [_problem(problem) for problem in roster.all_problems]
            raise CommandError("\n".join([*sentences, NOTHING_DELIVERED]))
        if not roster.entries:
            raise CommandError(f"{options['roster']} holds no candidates.")
        return roster

    def _plan(self, exam: Exam, roster: Roster, options: dict[str, Any], now: datetime) -> Plan:
        form = registry.forms(exam.account.vendor).DeliveryForm
        settings = clean(form, pairs(options["set"], option="--set"))
        plan = planning.plan_entries(exam, roster.entries, now=now, is_retake=options["retake"], options=settings)
        if plan.refusal and (plan.ready or plan.asks):
            raise CommandError(plan.refusal)
        return plan

    def _request(
        self,
        plan: Plan,
        planned: list[dict[str, Any]],
        exam: Exam,
        options: dict[str, Any],
        by: User | None,
        now: datetime,
    ) -> Batch | None:
        """Asks for those who have none yet. None where that is nobody."""
        arranged = [row.key for row in plan.asks] if options["arranged"] else []
        interrupted = [row.key for row in plan.in_exam] if options["include_in_progress"] else []
        goes = any(row.may_go(arranged=arranged, interrupted=interrupted) for row in plan.rows)
        if not goes and any(row["state"] == UNCHANGED for row in planned):
            return None
        batch = deliveries.draft(plan, exam=exam, by=by, now=now, reason=options["reason"])
        try:
            return deliveries.request(batch, arranged=arranged, interrupted=interrupted, by=by, now=now)
        except deliveries.Refused as error:
            self._print(options, planned)
            raise CommandError(str(error)) from None

    def _print(self, options: dict[str, Any], rows: list[dict[str, Any]]) -> None:
        if options["format"] == "json":
            self.print_json(rows)
            return
        for row in rows:
            where = f"line {row['line']}: " if row.get("line") else ""
            attempt = f", attempt {row['attempt']}" if row["attempt"] > 1 else ""
            self.stdout.write(f"{where}{row['candidate']} <{row['email']}>{attempt}: {row['state'].replace('_', ' ')}")
            pairs_ = (
                ("take", "take_link"),
                ("proctor", "proctor_link"),
                ("mail", "invitation"),
                ("", "invitation_message"),
            )
            for label, key in (*pairs_, ("", "message")):
                if row.get(key):
                    self.stdout.write(f"    {label:<8}{row[key]}" if label else f"    {row[key]}")

    def _stop(self, rows: list[dict[str, Any]], roster: Roster, options: dict[str, Any]) -> None:
        """Ends with an error where lines cannot be used, or (strict) where somebody would get no delivery."""
        sentences = _bad_lines(roster)
        if options["strict"] and any(row["state"] in LACKING for row in rows):
            sentences.append(NOTHING_DELIVERED)
        if sentences:
            raise CommandError("\n".join(sentences))

    def _judge(self, rows: list[dict[str, Any]], roster: Roster, exam: Exam, options: dict[str, Any]) -> None:
        """Ends with an error where a candidate of the roster has no delivery, or (waiting) none yet."""
        lacking = [row for row in rows if row["state"] in LACKING]
        states = [row["state"] for row in rows if row["state"] not in {*LACKING, TWICE}]
        queued = len([state for state in states if state in (ActionState.QUEUED, ActionState.SENDING)])
        sentences = []
        if lacking:
            sentences.append(f"{some(len(lacking), len(rows), 'gets', 'get')} no delivery; each line says why.")
        is_fine = {UNCHANGED, ActionState.DONE} | (
            set() if options["wait"] else {ActionState.QUEUED, ActionState.SENDING}
        )
        sentences += why_not_done(
            [ActionState.DONE if state in is_fine else state for state in states],
            lambda: _why_paused(exam),
        )
        if options["format"] == "text" and not options["wait"]:
            them = "it" if queued == 1 else "them"
            sent = f"{queued} queued. A worker sends {them}; --wait waits for the links."
            self.stdout.write(f"\n{sent if queued else 'Nothing new was asked for.'}")
        if sentences:
            raise CommandError("\n".join([*_bad_lines(roster), " ".join(sentences)]))


def _why_paused(exam: Exam) -> str:
    exam.account.refresh_from_db()
    return planning.refusal(exam, datetime.now(UTC))


def _bad_lines(roster: Roster) -> list[str]:
    repeats = _repeats(roster)
    return [_problem(problem) for problem in roster.all_problems if problem.line not in repeats]


def _repeats(roster: Roster) -> dict[int, int]:
    """The lines that say the same of the same person as an earlier one, which is the other number."""
    first: dict[Entry, int] = {}
    repeats = {}
    for entry in roster.entries:
        person = replace(entry, line=0, problems=(), email=entry.email.casefold())
        if person in first:
            repeats[entry.line] = first[person]
        elif not entry.problems:
            first[person] = entry.line
    return repeats


def _problem(problem: rosters.Problem) -> str:
    where = f"line {problem.line}, " if problem.line else ""
    return f"{where}{problem.field}: {problem.message}" if problem.field else f"{where}{problem.message}"


UNCHANGED, TWICE = "unchanged", "duplicate"
LACKING = {Standing.REFUSED.value, Standing.ASKS.value, Standing.IN_EXAM.value}
CREATE = Verb.CREATE_DELIVERIES.value
HAS_ONE = policy.attempt_refusal(policy.AttemptFacts(latest=1), is_retake=False)
NOTHING_DELIVERED = "Nothing was delivered. Correct the roster first."

# What a script gets of each line of the roster, always all of it. The proctor link is null unless it was asked for.
BLANK: dict[str, Any] = {
    "line": None,
    "candidate": "",
    "email": "",
    "attempt": 1,
    "state": "",
    "delivery": None,
    "vendor_ref": "",
    "examinee_ref": "",
    "take_link": "",
    "proctor_link": None,
    "message": "",
}


def _plan_row(row: Row, repeats: Mapping[int, int], options: Mapping[str, Any]) -> dict[str, Any]:
    is_arranged, is_included = options["arranged"], options["include_in_progress"]
    keys = {row.key}
    goes = row.may_go(arranged=keys if is_arranged else (), interrupted=keys if is_included else ())
    hints = []
    if row.standing is Standing.ASKS and not is_arranged:
        hints.append("If it is arranged at the vendor by hand, say so with --arranged.")
    if row.is_in_exam and not is_included:
        hints.append("If that is meant, say --include-in-progress.")
    return {
        **BLANK,
        "line": row.line,
        "candidate": f"{row.person.first_name} {row.person.last_name}".strip(),
        "email": row.person.email,
        "attempt": row.attempt,
        "state": Standing.READY.value if goes else row.standing.value,
        "message": " ".join([*row.sentences, *hints]),
        **_no_error(row, repeats),
    }


def _no_error(row: Row, repeats: Mapping[int, int]) -> dict[str, Any]:
    """What a refused row is called where nothing is wrong with it: it has a delivery, or stands there twice."""
    if first := repeats.get(row.line or 0):
        return {"state": TWICE, "message": f"{planning.SAME_AS} {first}. Taken once."}
    if row.sentences[:1] and row.sentences[0].startswith(planning.SAME_AS):
        return {"state": TWICE, "message": f"{row.sentences[0]} Taken once."}
    if row.sentences == (HAS_ONE,):
        ignored = f" What the roster says anew was left alone: {', '.join(sorted(row.changes))}." if row.changes else ""
        return {
            "state": UNCHANGED,
            "message": f"Has a delivery for this exam already; --retake makes a new attempt.{ignored}",
        }
    return {}


def _deliveries(exam: Exam, candidates: Sequence[UUID]) -> list[Delivery]:
    """The latest of each."""
    found = Delivery.objects.filter(exam=exam).exclude(state=DeliveryState.CANCELLED).select_related("candidate")
    parts = [found.filter(candidate__in=part).order_by("attempt") for part in planning.chunks(candidates)]
    return list({delivery.candidate_id: delivery for part in parts for delivery in part}.values())


def _had(delivery: Delivery, asked: Action | None, *, waits: bool) -> dict[str, Any]:
    """What became of a delivery that was asked for before, by `asked` if it was not there when this command began."""
    result = _result(delivery)
    if asked is None or asked.state == ActionState.DONE:
        return result
    if asked.state in (ActionState.QUEUED, ActionState.SENDING) and not waits:
        return {**result, "message": f"It is {asked.get_state_display().lower()}."}
    return {**result, "state": asked.state, "message": asked.message}


def _with(planned: dict[str, Any], had: dict[str, Any] | None) -> dict[str, Any]:
    """A line for which nothing was asked now, with what there was before."""
    if had is None or planned["state"] != UNCHANGED:
        return planned
    message = " ".join(filter(None, [planned["message"], had["message"]]))
    return {**had, "line": planned["line"], "state": had["state"] or UNCHANGED, "message": message}


def _results(batch: Batch, lines: Mapping[UUID, int | None]) -> list[dict[str, Any]]:
    actions = Action.objects.filter(batch=batch).select_related("delivery__candidate").order_by("delivery__candidate")
    return [
        {
            **_result(action.delivery),
            "line": lines.get(action.delivery.candidate_id),
            "state": action.state,
            "message": _message(action),
        }
        for action in actions
        if action.delivery is not None
    ]


def _result(delivery: Delivery) -> dict[str, Any]:
    return {
        **BLANK,
        "candidate": str(delivery.candidate),
        "email": delivery.candidate.email,
        "attempt": delivery.attempt,
        "delivery": str(delivery.pk),
        "vendor_ref": delivery.ref,
        "examinee_ref": delivery.person_ref,
        "take_link": delivery.take_url,
        "proctor_link": delivery.proctor_url,
    }


def _keep_or_hide_proctor_links(rows: list[dict[str, Any]], exam: Exam, by: User | None, *, is_shown: bool) -> None:
    """Who gets to see them is journaled; nobody does who did not ask."""
    if not is_shown:
        for row in rows:
            row["proctor_link"] = None
        return
    common: dict[str, Any] = {"team": exam.team_id, "at": datetime.now(UTC), "by": by, "where": "deliver"}
    shown = [Delivery(pk=UUID(row["delivery"])) for row in rows if row["proctor_link"]]
    journal.record_all([journal.entry("delivery.proctor_link_shown", delivery, **common) for delivery in shown])


def _message(action: Action) -> str:
    if action.state == ActionState.DONE and action.delivery and action.delivery.links_missing:
        return action.message or "Created, links missing."
    return action.message if action.state != ActionState.DONE else ""
