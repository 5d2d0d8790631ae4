"""Adds exams and sends them to their vendors."""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import UTC, datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError
from django.utils import timezone

from proctoring import exams, refusals, sessions, values, waiting
from proctoring.forms.exam import ExamDetailsForm
from proctoring.management.console import (
    ConsoleCommand,
    by_argument,
    check_names,
    check_right,
    clean,
    errors_text,
    find_account,
    find_exam,
    find_user,
    local,
    pairs,
    seconds_argument,
    ticks,
    validation_text,
    why_not_done,
)
from proctoring.models import Action, ActionState, Exam
from proctoring.policy import Right
from proctoring.vendors import registry
from proctoring.vendors.base import Verb


class DetailsForm(ExamDetailsForm):
    """Every field of an exam."""

    class Meta(ExamDetailsForm.Meta):
        fields = [*ExamDetailsForm.Meta.fields, "is_archived"]


class Command(ConsoleCommand):
    help = "Adds an exam or sends it to its vendor. `exam add TITLE --account NAME --set ref=… --set starts_at=2026-12-01T09:00`"

    def add_arguments(self, parser: ArgumentParser) -> None:
        commands = parser.add_subparsers(dest="command", required=True)
        add = commands.add_parser("add", help="Add an exam.")
        super().add_arguments(add)
        by_argument(add)
        add.add_argument("title", metavar="TITLE")
        add.add_argument("--account", required=True, metavar="NAME")
        add.add_argument("--team")
        add.add_argument(
            "--set",
            action="append",
            default=[],
            metavar="K=V",
            help="A field of the exam (ref, starts_at, ends_at, time_zone, duration_minutes, instructions, is_archived) "
            "or of the vendor's exam form. Times without an offset are in the exam's time zone; lists and mappings are JSON.",
        )

        send = commands.add_parser(
            "send", help="Create or update the exam at its vendor, where the vendor has such a call."
        )
        super().add_arguments(send)
        by_argument(send)
        send.add_argument("exam", metavar="EXAM", help="The exam's title, id or vendor's reference.")
        send.add_argument("--team")
        send.add_argument("--reason", default="", help="Why; kept in the journal.")
        send.add_argument("--wait", action="store_true", help="Work until the outcome is there.")
        send.add_argument(
            "--timeout", type=seconds_argument, default=300.0, metavar="SECONDS", help="How long --wait goes on."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        getattr(self, f"handle_{options['command']}")(options)

    def handle_send(self, options: dict[str, Any]) -> None:
        exam = find_exam(options["exam"], options["team"])
        by = find_user(options["by"])
        check_right(by, exam.team, Right.EDIT_EXAMS, "edit exams")
        for sentence in exams.preview(exam, now=datetime.now(UTC)).notes:
            self.stderr.write(self.style.WARNING(sentence))
        try:
            action = exams.send(exam, by=by, reason=options["reason"], now=datetime.now(UTC))
        except exams.Refused as error:
            raise CommandError(str(error)) from None
        if options["wait"]:
            waiting.work_until_settled(Action.objects.filter(pk=action.pk), seconds=options["timeout"])
        action.refresh_from_db()
        exam.refresh_from_db()
        self._say_sent(exam, action, options)

    def _say_sent(self, exam: Exam, action: Action, options: dict[str, Any]) -> None:
        checks, refused = exams.checks_of(action), refusals.of_action(action)
        if options["format"] == "json":
            self.print_json(
                {
                    "exam": exam.title,
                    "ref": exam.ref,
                    "state": action.state,
                    "message": action.message,
                    "checks": values.plain(checks),
                    "refused": {item.name: item.words for item in refused},
                }
            )
        else:
            self.stdout.write(f"{exam.title}: {action.get_state_display().lower()}. {action.message}".strip())
            self.stdout.write(
                f"The vendor's reference is {exam.ref}." if exam.ref else "It has no vendor's reference yet."
            )
            for item in refused:
                self.stdout.write(f"{item.label}: {item.words}")
            self.print_table(
                ["field", "sent", "vendor's reply"], [[check.name, check.sent, check.verdict.value] for check in checks]
            )
        if options["wait"] and action.state != ActionState.DONE:
            _, *sentences = why_not_done([action.state], lambda: sessions.refusal(action.account, Verb(action.verb)))
            raise CommandError(" ".join(["It is not done.", *sentences]))

    def handle_add(self, options: dict[str, Any]) -> None:
        account = find_account(options["account"], options["team"])
        by = find_user(options["by"])
        check_right(by, account.team, Right.EDIT_EXAMS, "edit exams")
        given = pairs(options["set"], option="--set")
        vendor_form = registry.forms(account.vendor).ExamForm
        own, vendors = DetailsForm.base_fields, vendor_form.base_fields
        check_names(given, {*own, *vendors}, option="--set")
        details = DetailsForm(
            {"title": options["title"], **ticks({k: v for k, v in given.items() if k in own}, own, option="--set")},
            account=account,
        )
        if not details.is_valid():
            raise CommandError(errors_text(details.errors.get_json_data(), "--set"))
        with timezone.override(details.cleaned_data["time_zone"]):
            settings = clean(vendor_form, {k: v for k, v in given.items() if k in vendors})
        exam = details.save(commit=False)
        try:
            exams.save(exam, vendor_settings=settings, by=by, now=datetime.now(UTC))
        except ValidationError as error:
            raise CommandError(validation_text(error, "--set")) from None
        for sentence in exams.warnings(exam):
            self.stderr.write(self.style.WARNING(sentence))
        self._say(exam, options)

    def _say(self, exam: Exam, options: dict[str, Any]) -> None:
        if options["format"] == "text":
            self.stdout.write(
                f"Added the exam {exam.title} ({exam.pk}). Deliver it with: deliver {exam.title!r} ROSTER --wait"
            )
            return
        self.print_json(
            {
                "id": exam.pk,
                "title": exam.title,
                "account": exam.account.name,
                "ref": exam.ref,
                "starts_at": local(exam.starts_at),
                "ends_at": local(exam.ends_at),
                "settings": exam.settings,
            }
        )
