"""Delivers an exam to a roster from the command line."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.core.management.base import CommandError

from proctoring import deliveries, invitations, journal, planning, policy, rosters, waiting
from proctoring.management.console import ConsoleCommand, by_argument, clean, find_exam, find_user, pairs, read_input
from proctoring.models import Action, ActionState, Batch, Delivery, DeliveryState, Exam, User
from proctoring.planning import Plan, Row, Standing
from proctoring.policy import Right
from proctoring.vendors import registry


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
            "--invite", action="store_true", help="Mail each candidate our link once it is there; goes with --wait."
        )
        parser.add_argument(
            "--dry-run", action="store_true", help="Only say who would get a delivery and who would not."
        )
        parser.add_argument(
            "--wait", action="store_true", help="Work until every outcome is there, and print the links."
        )
        parser.add_argument("--timeout", type=float, default=600.0, metavar="SECONDS", help="How long --wait goes on.")

    def handle(self, *args: Any, **options: Any) -> None:
        exam = find_exam(options["exam"], options["team"])
        if options["invite"] and not options["wait"]:
            raise CommandError("--invite goes with --wait: a mail needs a link.")
        by, now = find_user(options["by"]), datetime.now(UTC)
        if by is not None and not policy.may(by.role_in(exam.team_id), Right.DELIVER):
            raise CommandError(
                f"{options['by']} may not deliver exams of {exam.team}. It takes a coordinator of that team."
            )
        plan = self._plan(exam, options, now)
        if options["dry_run"]:
            self._print(options, [_plan_row(row, options) for row in plan.rows])
            return
        batch = self._request(plan, exam, options, by, now)
        if options["wait"]:
            waiting.work_until_settled(Action.objects.filter(batch=batch), seconds=options["timeout"])
        mails = self._invite(batch, options, by) if options["invite"] else {}
        lines = {row.person.reference: row.line for row in plan.rows}
        rows = sorted(_skipped(batch, options) + _results(batch, lines, by), key=lambda row: row["line"] or 0)
        rows = [{**row, **mails.get(row.get("delivery", ""), {})} for row in rows]
        self._print(options, rows)
        self._judge(rows, exam, options)

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

    def _plan(self, exam: Exam, options: dict[str, Any], now: datetime) -> Plan:
        data, name = read_input(options["roster"])
        roster = rosters.read(data, filename=name)
        if roster.all_problems:  # nobody is looking at a preview: half a roster is never delivered
            sentences = [_problem(problem) for problem in roster.all_problems]
            raise CommandError("\n".join([*sentences, "Nothing was delivered. Correct the roster first."]))
        if not roster.entries:
            raise CommandError(f"{options['roster']} holds no candidates.")
        form = registry.forms(exam.account.vendor).DeliveryForm
        settings = clean(form, pairs(options["set"], option="--set"))
        plan = planning.plan_entries(exam, roster.entries, now=now, is_retake=options["retake"], options=settings)
        if plan.refusal:
            raise CommandError(plan.refusal)
        return plan

    def _request(self, plan: Plan, exam: Exam, options: dict[str, Any], by: User | None, now: datetime) -> Batch:
        arranged = [row.key for row in plan.asks] if options["arranged"] else []
        interrupted = [row.key for row in plan.in_exam] if options["include_in_progress"] else []
        batch = deliveries.draft(plan, exam=exam, by=by, now=now, reason=options["reason"])
        try:
            return deliveries.request(batch, arranged=arranged, interrupted=interrupted, by=by, now=now)
        except deliveries.Refused as error:
            self._print(options, [_plan_row(row, options) for row in plan.rows])
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

    def _judge(self, rows: list[dict[str, Any]], exam: Exam, options: dict[str, Any]) -> None:
        """Ends with an error where a candidate of the roster has no delivery, or (waiting) none yet."""
        asked = [row for row in rows if row["delivery"]]
        sentences = []
        if len(asked) < len(rows):
            sentences.append(f"{len(rows) - len(asked)} of {len(rows)} get no delivery; each line says why.")
        if options["wait"]:
            sentences += _why_not_done([row["state"] for row in asked], exam)
        elif options["format"] == "text":
            self.stdout.write(f"\n{len(asked)} queued. A worker sends them; --wait waits for the links.")
        if sentences:
            raise CommandError(" ".join(sentences))


def _why_not_done(states: list[str], exam: Exam) -> list[str]:
    short = [state for state in states if state != ActionState.DONE]
    if not short:
        return []
    sentences = [f"{len(short)} of {len(states)} are not done."]
    if set(short) & {ActionState.UNKNOWN, ActionState.NEEDS_ATTENTION}:
        sentences.append("The page “Needs attention” says what to do.")
    if set(short) & {ActionState.QUEUED, ActionState.SENDING}:
        exam.account.refresh_from_db()
        sentences.append(planning.refusal(exam, datetime.now(UTC)) or "A worker goes on with those that wait.")
    return sentences


def _problem(problem: rosters.Problem) -> str:
    where = f"line {problem.line}, " if problem.line else ""
    return f"{where}{problem.field}: {problem.message}" if problem.field else f"{where}{problem.message}"


# What a script gets of each line of the roster, always all of it.
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
    "proctor_link": "",
    "message": "",
}


def _plan_row(row: Row, options: Mapping[str, Any]) -> dict[str, Any]:
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
    }


def _skipped(batch: Batch, options: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [_plan_row(planning.row_from(item), options) for item in batch.plan.get("skipped", [])]


def _results(batch: Batch, lines: Mapping[UUID, int | None], by: User | None) -> list[dict[str, Any]]:
    actions = Action.objects.filter(batch=batch).select_related("delivery__candidate").order_by("delivery__candidate")
    rows, entries, now = [], [], datetime.now(UTC)
    for action in actions:
        delivery = action.delivery
        assert delivery is not None  # noqa: S101 - a delivery batch holds nothing else
        rows.append({**_result(action, delivery), "line": lines.get(delivery.candidate.pk)})
        if delivery.proctor_url:
            common: dict[str, Any] = {"team": action.team_id, "at": now, "by": by, "where": "deliver"}
            entries.append(journal.entry("delivery.proctor_link_shown", delivery, **common))
    journal.record_all(entries)
    return rows


def _result(action: Action, delivery: Delivery) -> dict[str, Any]:
    return {
        **BLANK,
        "candidate": str(delivery.candidate),
        "email": delivery.candidate.email,
        "attempt": delivery.attempt,
        "state": action.state,
        "delivery": str(delivery.pk),
        "vendor_ref": delivery.ref,
        "examinee_ref": delivery.person_ref,
        "take_link": delivery.take_url,
        "proctor_link": delivery.proctor_url,
        "message": _message(action),
    }


def _message(action: Action) -> str:
    if action.state == ActionState.DONE and action.delivery and action.delivery.links_missing:
        return action.message or "Created, links missing."
    return action.message if action.state != ActionState.DONE else ""
