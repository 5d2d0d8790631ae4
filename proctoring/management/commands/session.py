"""Resets, reopens and retakes sessions from the command line."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.core.management.base import CommandError

from proctoring import policy, sessions, waiting
from proctoring.management.console import (
    ConsoleCommand,
    check_right,
    find_user,
    seconds_argument,
    some,
    why_not_done,
)
from proctoring.models import Action, ActionState, Batch, Session
from proctoring.planning import Standing
from proctoring.vendors.base import Verb

LEFT_OUT = {Standing.REFUSED.value, Standing.IN_EXAM.value}
COMMANDS = {"reset": Verb.RESET, "reopen": Verb.REOPEN, "retake": Verb.RETAKE}


class Command(ConsoleCommand):
    help = "Resets, reopens or prepares the retake of sessions: `session reset SESSION --reason … --by …`"

    def add_arguments(self, parser: ArgumentParser) -> None:
        commands = parser.add_subparsers(dest="command", required=True)
        for name, verb in COMMANDS.items():
            sub = commands.add_parser(name, help=f"Ask the vendor to {policy.words(verb)}.")
            super().add_arguments(sub)
            sub.add_argument("session", metavar="SESSION", nargs="+", help="A session's id, here or at the vendor.")
            sub.add_argument("--reason", required=True, help="Why; kept in the journal.")
            sub.add_argument("--category", choices=list(sessions.CATEGORIES), default="other")
            sub.add_argument("--by", metavar="USER", required=True, help="The user in whose name this is done.")
            if verb is Verb.RETAKE:
                what = "Also those who are in the middle of their exam: it ends that attempt."
                sub.add_argument("--include-in-progress", action="store_true", help=what)
            sub.add_argument("--wait", action="store_true", help="Work until the outcome is there.")
            sub.add_argument(
                "--timeout", type=seconds_argument, default=300.0, metavar="SECONDS", help="How long --wait goes on."
            )

    def handle(self, *args: Any, **options: Any) -> None:
        verb, by, now = COMMANDS[options["command"]], find_user(options["by"]), datetime.now(UTC)
        found = self._find_all(options["session"])
        for session in found:
            check_right(by, session.team, policy.SESSION_RIGHTS[verb], policy.words(verb))
        if objection := sessions.objection(found):
            raise CommandError(objection)
        plan = sessions.plan(found, verb)
        batch = sessions.draft(plan, team_id=found[0].team_id, by=by, now=now)
        includes = options.get("include_in_progress", False)
        reason = {"category": options["category"], "reason": options["reason"]}
        try:
            batch = sessions.request(batch, **reason, includes_in_exam=includes, by=by, now=now)
        except sessions.Refused as error:
            refused = (*plan.refused, *plan.in_exam)
            sentences = [f"{row.name}: {line}" for row in refused for line in row.sentences]
            hint = ["Say --include-in-progress if they are meant."] if plan.in_exam else []
            raise CommandError(" ".join([str(error), *sentences, *hint])) from None
        if options["wait"]:
            waiting.work_until_settled(Action.objects.filter(batch=batch), seconds=options["timeout"])
        self._say(batch, options)

    def _find_all(self, names: Sequence[str]) -> list[Session]:
        """Each session once, however often and by whichever of its ids it is given."""
        found: dict[UUID, tuple[str, Session]] = {}
        for name in names:
            session = _find(name)
            first, _ = found.setdefault(session.pk, (name, session))
            if session is not found[session.pk][1]:
                same = "is given twice" if name == first else f"is the same session as “{first}”"
                self.stderr.write(f"“{name}” {same}; it is taken once.")
        return [session for _, session in found.values()]

    def _say(self, batch: Batch, options: dict[str, Any]) -> None:
        rows = _results(batch)
        if options["format"] == "json":
            self.print_json(rows)
        else:
            columns = ["session", "name", "state", "maturity", "score", "message"]
            self.print_table(columns, [["" if row[c] is None else row[c] for c in columns] for row in rows])
        asked = [row["state"] for row in rows if row["state"] not in LEFT_OUT]
        sentences = []
        if len(asked) < len(rows):
            refused = some(len(rows) - len(asked), len(rows), "is refused", "are refused")
            sentences.append(f"{refused}; each message says why.")
        if options["wait"]:
            sentences += why_not_done(asked, lambda: _refusal(batch))
        if sentences:
            raise CommandError(" ".join(sentences))


def _find(name: str) -> Session:
    sessions_ = Session.objects.select_related("account", "team")
    try:
        by_id = sessions_.filter(pk=UUID(name)).first()
    except ValueError:
        by_id = None
    found = [by_id] if by_id else list(sessions_.filter(ref=name)[:10])
    if not found:
        raise CommandError(f"There is no session “{name}”. `sync` takes in what the vendors have.")
    if len(found) > 1:
        each = ", ".join(f"{session.pk} at {session.account}" for session in found)
        raise CommandError(f"There is more than one session “{name}”. Say which by its id here: {each}.")
    session: Session = found[0]
    return session


def _refusal(batch: Batch) -> str:
    """Why what waits cannot go on; "" where it can."""
    waiting_ = Action.objects.filter(batch=batch, state=ActionState.QUEUED).select_related("account")
    reasons = {action.account_id: sessions.refusal(action.account, Verb(action.verb)) for action in waiting_}
    return " ".join(sorted({reason for reason in reasons.values() if reason}))


def _results(batch: Batch) -> list[dict[str, Any]]:
    rows = [
        {
            "session": action.session.ref,
            "id": str(action.session_id),
            "name": action.session.name,
            "state": action.state,
            "maturity": action.session.vendor_state,
            "score": action.session.score,
            "message": action.message,
        }
        for action in Action.objects.filter(batch=batch).select_related("session").order_by("session__name")
        if action.session is not None
    ]
    return rows + [
        {
            "session": item.expected.ref,
            "id": str(item.session_id),
            "name": item.name,
            "state": item.standing.value,
            "maturity": item.expected.vendor_state,
            "score": item.expected.score,
            "message": " ".join(item.sentences),
        }
        for item in sessions.skipped_of(batch)
    ]
