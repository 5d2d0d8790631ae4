"""Resets, reopens and retakes sessions from the command line."""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.core.management.base import CommandError

from proctoring import policy, sessions, waiting
from proctoring.management.console import ConsoleCommand, find_user
from proctoring.models import Action, ActionState, Batch, Session
from proctoring.vendors.base import Verb

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
            sub.add_argument("--timeout", type=float, default=300.0, metavar="SECONDS")

    def handle(self, *args: Any, **options: Any) -> None:
        verb, by, now = COMMANDS[options["command"]], find_user(options["by"]), datetime.now(UTC)
        found = [_find(name) for name in options["session"]]
        for session in found:
            if by is None or not policy.may(by.role_in(session.team_id), policy.SESSION_RIGHTS[verb]):
                least = policy.least_role(policy.SESSION_RIGHTS[verb]).label.lower()
                raise CommandError(f"{options['by']} may not {policy.words(verb)} in this team. It takes a {least}.")
        if len({session.team_id for session in found}) > 1:
            raise CommandError("These sessions belong to different teams. Do them one team at a time.")
        plan = sessions.plan(found, verb)
        batch = sessions.draft(plan, team_id=found[0].team_id, by=by, now=now)
        includes = options.get("include_in_progress", False)
        reason = {"category": options["category"], "reason": options["reason"]}
        try:
            batch = sessions.request(batch, **reason, includes_in_exam=includes, by=by, now=now)
        except sessions.Refused as error:
            sentences = [line for row in (*plan.refused, *plan.in_exam) for line in row.sentences]
            hint = ["Say --include-in-progress if they are meant."] if plan.in_exam else []
            raise CommandError(" ".join([str(error), *sentences, *hint])) from None
        if options["wait"]:
            waiting.work_until_settled(Action.objects.filter(batch=batch), seconds=options["timeout"])
        self._say(batch, options)

    def _say(self, batch: Batch, options: dict[str, Any]) -> None:
        rows = _results(batch)
        if options["format"] == "json":
            self.print_json(rows)
        else:
            columns = ["session", "name", "state", "maturity", "score", "message"]
            self.print_table(columns, [["" if row[c] is None else row[c] for c in columns] for row in rows])
        short = [row for row in rows if row["state"] != ActionState.DONE]
        if options["wait"] and short:
            raise CommandError(f"{len(short)} of {len(rows)} are not done. The page “Needs attention” says what to do.")


def _find(name: str) -> Session:
    sessions_ = Session.objects.select_related("account")
    try:
        by_id = sessions_.filter(pk=UUID(name)).first()
    except ValueError:
        by_id = None
    found = [by_id] if by_id else list(sessions_.filter(ref=name)[:2])
    if len(found) != 1:
        what = "more than one session" if found else "no session"
        raise CommandError(f"There is {what} “{name}”. `sync` takes in what the vendors have.")
    session: Session = found[0]
    return session


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
    skipped = batch.plan.get("skipped_sessions", [])
    return rows + [
        {
            "session": item["expected"]["ref"],
            "id": item["session_id"],
            "name": item["name"],
            "state": item["standing"],
            "maturity": item["expected"].get("vendor_state", ""),
            "score": item["expected"].get("score"),
            "message": " ".join(item["sentences"]),
        }
        for item in skipped
    ]
