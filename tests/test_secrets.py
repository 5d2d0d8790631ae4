"""Vendors and a mail server that repeat in their words whatever they were told: nothing of it is found where it should not be."""

from __future__ import annotations

import base64
import io
import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import openpyxl
import pytest
from django.conf import LazySettings
from django.conf import settings as django_settings
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection
from django.db.models import Q
from django.test import Client
from django.urls import reverse

from config.logs import masking_filter
from proctoring import accounts, deliveries, demo, exams, invitations, ledger, links, mailer, planning, sessions
from proctoring.models import (
    Account,
    Action,
    Batch,
    Call,
    Delivery,
    Exam,
    Invitation,
    JournalEntry,
    Reading,
    Session,
    User,
)
from proctoring.sandbox.faults import ECHOES
from proctoring.sandbox.server import Sandbox
from proctoring.vendors import registry
from proctoring.vendors.base import Verb
from proctoring.vendors.masking import MASK
from proctoring.verbs import VERBS
from tests import factories, smtp
from tests.smtp import Fault, MailServer, Step

PIN, PASSWORD, EXAM_PASSWORD = "7Z#q", "Cand1date-Pa55word-Kx", "Ex4m-Pa55word-Ym"
MAIL_USER, MAIL_PASSWORD = "relay-user-5521", "relay-pa55word-Qv8"
PLANTED: Mapping[str, Mapping[str, Any]] = {
    "cirrus": {"pin": PIN},
    "smarterproctoring": {"configuration": {"password": EXAM_PASSWORD}},
}
OPTIONS: Mapping[str, Mapping[str, Any]] = {"cirrus": {"password": PASSWORD}}
# What refuses the account comes last, so that it is still paused when its pages are looked at.
WORDS = sorted(ECHOES, key=lambda kind: (kind in ("echo_403", "echo_401"), kind == "echo_401"))
MAY_HOLD_IT = {  # encrypted, and never shown but to those who may
    *("Account.credentials", "Exam.settings", "Delivery.options", "Delivery.take_url", "Delivery.proctor_url"),
    *("Action.payload", "Action.choices", "Batch.plan", "Invitation.text", "Invitation.html", "Invitation.calendar"),
}
FOR_ALL_ROLES = "scorpion"  # what a role sees does not hang on the vendor, and every page takes its time
ROLES = ("viewer", "coordinator", "lead", "administrator")


def now() -> datetime:
    return datetime.now(UTC)


@dataclass
class Found:
    """Everything that was stored, shown, logged, mailed and written, by the place where it is."""

    texts: dict[str, list[str]] = field(default_factory=dict)

    def add(self, place: str, text: str) -> None:
        self.texts.setdefault(place, []).append(text.lower())

    def places_of(self, secret: str) -> list[str]:
        spellings = {spelling.lower() for spelling in _spellings(secret)}
        return sorted(
            place for place, texts in self.texts.items() if any(one in text for one in spellings for text in texts)
        )

    def assert_nothing_of(self, secrets: Iterable[str]) -> None:
        found = {secret: places for secret in secrets if (places := self.places_of(secret))}
        assert not found, f"a secret was found: {found}"


def _spellings(secret: str) -> list[str]:
    whole = [secret, quote(secret, safe=""), json.dumps(secret)[1:-1]]
    return whole if len(secret) < 8 else [*whole, base64.b64encode(secret.encode()).decode().rstrip("=")[:-1]]


@dataclass
class Town:
    """The demo team at the sandbox, with secrets planted in every field that takes one."""

    sandbox: Sandbox
    server: MailServer
    found: Found
    log: io.StringIO

    def account(self, vendor: str) -> Account:
        return Account.objects.get(vendor=vendor)

    def exam(self, vendor: str) -> Exam:
        first: Exam = Exam.objects.select_related("account", "team").filter(account__vendor=vendor).order_by("pk")[0]
        return first

    @property
    def user(self) -> User:
        return User.objects.get(username="lead")

    def is_told(self, vendor: str, verb: Verb) -> bool:
        return registry.capability(vendor, verb) is not None

    # --- what happens -------------------------------------------------------------------------------------------------

    def hear_every_echo(self, vendor: str) -> None:
        for kind in WORDS:
            for verb in registry.facts(vendor).capabilities:
                self._begin_anew(vendor)
                self.sandbox.fault(vendor, kind)
                self._ask(vendor, verb)
                self._drain(vendor)
                self.sandbox.clear_faults(vendor)
                self.look_at_rows(Account, Action, Call, Reading)

    def do_everything_well(self, vendor: str) -> None:
        for verb in registry.facts(vendor).capabilities:
            self._ask(vendor, verb)
            self._drain(vendor)
        self._begin_anew(vendor)

    def _ask(self, vendor: str, verb: Verb) -> None:
        account, exam = self.account(vendor), self.exam(vendor)
        if verb is Verb.CHECK:
            accounts.ask_check(account, by=None, now=now())
        elif verb in (Verb.CREATE_EXAM, Verb.UPDATE_EXAM):
            exams.send(exam, by=self.user, now=now())
        elif verb is Verb.CREATE_DELIVERIES:
            person = factories.make_candidate(exam.team)
            plan = planning.plan_candidates(exam, [person], now=now(), options=OPTIONS.get(vendor, {}))
            deliveries.request(deliveries.draft(plan, exam=exam, by=self.user, now=now()), by=self.user, now=now())
        elif verb is Verb.FIND_DELIVERIES:
            for action in Action.objects.filter(account=account, state="unknown", delivery__isnull=False):
                ledger.ask_look_up(action, by=self.user, now=now())
        elif verb is Verb.LIST_SESSIONS:
            sessions.ask_sync(account, by=self.user, now=now())
        elif verb is Verb.READ_DELIVERY:
            Delivery.objects.filter(exam=exam).update(opened_at=now())
            sessions.keep_watching(now=now() + timedelta(minutes=2))
        elif verb in (Verb.READ_SESSION, Verb.READ_RESULTS):
            for session in Session.objects.filter(account=account).order_by("pk")[:1]:
                sessions.ask_reading(session, by=self.user, now=now(), verb=verb)
        elif verb in sessions.VERBS and verb is not Verb.SUBMIT_RESPONSES:
            free = Session.objects.filter(account=account).exclude(actions__state__in=("unknown", "queued"))
            plan_ = sessions.plan(list(free.order_by("pk")[:8]), verb)
            if plan_.ready:
                batch = sessions.draft(plan_, team_id=account.team_id, by=self.user, now=now())
                sessions.request(batch, category="technical", reason="Power cut", by=self.user, now=now())

    def _drain(self, vendor: str) -> None:
        self.work_off(self.account(vendor))

    def work_off(self, account: Account) -> None:
        calls = Call.objects.count() + 4
        ledger.drain(
            account.pk,
            VERBS,
            worker="test",
            should_stop=lambda: Call.objects.filter(lead=None).count() >= calls,
            seconds=0.9,  # less than any wait
        )

    def _begin_anew(self, vendor: str) -> None:
        """As if the account worked again and nothing waited; what stopped stays for its pages."""
        actions = Action.objects.filter(account__vendor=vendor)
        actions.filter(state="queued").update(state="needs_attention", attention="refused")
        actions.filter(exam__isnull=False, state__in=("unknown", "needs_attention")).update(state="cancelled")
        Reading.objects.update(due_at=None)
        if registry.capability(vendor, Verb.CREATE_EXAM):
            Exam.objects.filter(account__vendor=vendor).update(ref="")
        health: dict[str, Any] = {"paused_at": None, "paused_verbs": {}, "suspicion": {}, "failures_in_a_row": 0}
        Account.objects.filter(vendor=vendor).update(next_call_at=None, check_due_at=None, **health)

    # --- looking for it -----------------------------------------------------------------------------------------------

    def look_everywhere(self, vendor: str) -> None:
        self.look_at_the_database()
        self._look_at_pages(vendor)
        self._look_at_exports()
        for item in self.server.stored:
            texts = [str(part.get_payload(decode=True)) for part in item.message.walk() if not part.is_multipart()]
            place = "the mail to a candidate" if "ada" in item.to else f"the mail to {item.to}"
            self.found.add(place, " ".join((str(item.message["Subject"]), *texts)))
        self.found.add("the log", self.log.getvalue())
        for path in (Path(django_settings.VAR_DIR) / "queue").rglob("*"):
            if path.is_file():
                self.found.add(f"the file {path.name}", path.read_bytes().decode("latin-1"))

    def look_at_the_database(self) -> None:
        with connection.cursor() as cursor:
            for table in connection.introspection.table_names(cursor):
                cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
                names = [column[0] for column in cursor.description]
                for row in cursor.fetchall():
                    for name, value in zip(names, row, strict=True):
                        self.found.add(f"the column {table}.{name}", str(value))
        self.look_at_rows(Account, Action, Batch, Call, Delivery, Exam, Invitation, Reading, Session)

    def look_at_rows(self, *models: type[Any]) -> None:
        """As the console reads them: decrypted."""
        for model in models:
            for values in model.objects.values():
                for name, value in values.items():
                    if (place := f"{model.__name__}.{name}") not in MAY_HOLD_IT:
                        self.found.add(f"{place}, decrypted", json.dumps(value, default=str, ensure_ascii=False))

    def _look_at_pages(self, vendor: str) -> None:
        for role in ROLES if vendor == FOR_ALL_ROLES else ("viewer", "administrator"):
            client = Client(raise_request_exception=False)
            client.force_login(User.objects.get(username=role))
            for url in _addresses():
                answer = client.post(url) if "/kept/" in url else client.get(url)
                assert answer.status_code < 500, url
                self.found.add(f"{url} as {role}", b"".join(answer).decode("utf-8", "replace"))

    def _look_at_exports(self) -> None:
        client = Client()
        client.force_login(self.user)
        for batch in Batch.objects.filter(kind="deliver")[:1]:
            for format_ in ("csv", "xlsx"):
                data = b"".join(client.get(reverse("batch_export", args=[batch.pk, format_])))
                text = data.decode("utf-8", "replace") if format_ == "csv" else _cells(data)
                self.found.add(f"the {format_} export", text)
        for account in Account.objects.exclude(vendor="mail"):
            for command in (("account", "check", account.name), ("sync", account.name)):
                self.found.add(f"the command {command[0]}", _said(*command))


def _addresses() -> list[str]:
    """Lists, and pages of rows, of the admin and of the console: of those that hold a vendor's words, two of each."""
    urls = [reverse(name) for name in ("home", "sessions", "attention")]
    models: tuple[type[Any], ...] = (Account, Action, Call, Delivery, JournalEntry)
    for model in models:
        name = f"admin:proctoring_{model._meta.model_name}"
        urls.append(reverse(f"{name}_changelist"))
        urls += [reverse(f"{name}_change", args=[row.pk]) for row in _telling(model)]
    for name, model in (("delivery", Delivery), ("exam", Exam), ("session", Session)):
        urls += [reverse(name, args=[row.pk]) for row in _telling(model)]
    urls += [reverse("batch", args=[row.pk]) for row in Batch.objects.filter(kind="deliver")[:1]]
    urls += [reverse("as_candidate", args=[row.pk]) for row in _telling(Delivery)]
    urls += [reverse("invitation", args=[row.pk]) for row in _telling(Invitation)]
    urls += [reverse("session_kept", args=[row.pk]) for row in Action.objects.exclude(kept=None)[:1]]
    return urls


def _telling(model: type[Any]) -> Sequence[Any]:
    said = {
        Account: Q(vendor__in=Call.objects.values("account__vendor")),
        Action: Q(message__contains=MASK),
        Call: Q(error__contains=MASK) | Q(parts__error__contains=MASK),
        Delivery: Q(actions__message__contains=MASK),
        Exam: Q(actions__message__contains=MASK),
        Session: Q(actions__message__contains=MASK),
    }
    rows = model.objects.filter(said.get(model, Q()))
    found = [*rows.distinct()[:1], *model.objects.order_by("pk").exclude(pk__in=rows.values("pk"))[:1]][:1]
    return [*found, *Delivery.objects.exclude(take_url="")[:1]] if model is Delivery else found


def _cells(data: bytes) -> str:
    book = openpyxl.load_workbook(io.BytesIO(data))
    return "\n".join(str(cell) for sheet in book for row in sheet.iter_rows(values_only=True) for cell in row)


def _said(*command: str) -> str:
    out, err = io.StringIO(), io.StringIO()
    try:
        call_command(*command, "--format", "json", stdout=out, stderr=err)
    except CommandError as error:
        err.write(str(error))
    return out.getvalue() + err.getvalue()


# --- the secrets ------------------------------------------------------------------------------------------------------


def credentials() -> set[str]:
    """What lets us in: at the vendors, at the mail server, and what our own settings hold."""
    own = {django_settings.SECRET_KEY, *django_settings.FIELD_ENCRYPTION_KEYS, MAIL_USER, MAIL_PASSWORD}
    entered = {str(value) for account in Account.objects.all() for value in account.credentials.values()}
    pairs = {base64.b64decode(value).decode() for value in entered if value.endswith("=")}
    return own | entered | pairs | {half for pair in pairs for half in pair.split(":", 1)}


def of_exams() -> set[str]:
    return {PIN, PASSWORD, EXAM_PASSWORD}


@pytest.fixture
def town(transactional_db: None, settings: LazySettings, request: pytest.FixtureRequest) -> Iterator[Town]:
    vendor = request.getfixturevalue("vendor")
    settings.CALL_DEADLINE_SECONDS = 10.0
    log = io.StringIO()
    handler = logging.StreamHandler(log)
    handler.addFilter(masking_filter())
    logging.getLogger().addHandler(handler)
    with Sandbox.running({vendor: 0}) as sandbox, smtp.running(asks_for_password=True) as server:
        settings.EMAIL_BACKEND, settings.EMAIL_HOST, settings.EMAIL_PORT = mailer.SMTP_BACKEND, "127.0.0.1", server.port
        settings.EMAIL_HOST_USER, settings.EMAIL_HOST_PASSWORD = server.sign_in = (MAIL_USER, MAIL_PASSWORD)
        demo.load(sandbox_urls={vendor: sandbox.url(vendor)}, now=now())
        for exam in Exam.objects.select_related("account"):
            exam.settings = _merged(exam.settings, PLANTED.get(exam.account.vendor, {}))
            exam.save()
        yield Town(sandbox, server, Found(), log)
    logging.getLogger().removeHandler(handler)


def _merged(settings: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **settings,
        **{k: _merged(settings.get(k, {}), v) if isinstance(v, Mapping) else v for k, v in more.items()},
    }


WHERE_WORDS_ARE_READ = {
    *("Account.check_message, decrypted", "the column proctoring_account.pause_reason", "Action.message, decrypted"),
    *("the column proctoring_call.error", "Call.response_body, decrypted", "the log"),
    *("the mail to administrator@example.com", "/attention/ as viewer", "/admin/proctoring/call/ as viewer"),
}


def assert_links_are_only_where_they_belong(found: Found) -> None:
    """A take link and the candidate's own where those who may deliver hand them out; a proctor link nowhere unasked."""
    pages = (
        *("/deliveries/", "/admin/proctoring/delivery/", "/batches/", "the csv export", "the xlsx export"),
        *("/invitations/", "/admin/proctoring/action/"),  # the message as it is sent
    )
    for delivery in Delivery.objects.exclude(take_url=""):
        for link in (delivery.take_url, links.url_of(delivery)):
            places = [place for place in found.places_of(link) if place != "the mail to a candidate"]
            assert not [place for place in places if not place.startswith(pages) or place.endswith("viewer")], places
        assert not delivery.proctor_url or not found.places_of(delivery.proctor_url)


class TestAVendorThatRepeatsWhatItWasTold:
    @pytest.mark.parametrize("vendor", registry.VENDORS)
    def test_gives_nothing_away(self, town: Town, vendor: str) -> None:
        town.do_everything_well(vendor)
        town.hear_every_echo(vendor)

        town.look_everywhere(vendor)

        assert set(town.found.places_of("Not taken: ")) >= WHERE_WORDS_ARE_READ
        town.found.assert_nothing_of(credentials() | of_exams())
        assert_links_are_only_where_they_belong(town.found)


class TestAMailServerThatRepeatsWhatItWasTold:
    @pytest.mark.parametrize("vendor", ["scorpion"])
    def test_gives_nothing_away(self, town: Town, vendor: str) -> None:
        town.do_everything_well(vendor)
        delivery = Delivery.objects.exclude(take_url="").select_related("exam", "candidate", "team")[0]
        mail = invitations.account_of(delivery.team_id)

        for step in (Step.RCPT, Step.END, Step.MAIL, Step.AUTH):
            Account.objects.filter(pk=mail.pk).update(paused_at=None, next_call_at=None)
            town.server.fault(step, Fault.ECHO)
            if not Action.objects.filter(
                account=mail, state="queued"
            ).exists():  # what refuses us lets the last one wait
                invitations.request([delivery], by=town.user, now=now(), is_again=True)
            accounts.ask_check(mail, by=None, now=now())
            town.work_off(mail)
            town.server.mend()
            town.look_at_rows(Account, Action, Call)
        town.look_everywhere("mail")

        said = " ".join(Action.objects.exclude(invitation=None).values_list("message", flat=True))
        assert said.count("not taken: ") == 3
        assert set(town.found.places_of("not taken: ")) >= {
            *(
                "Account.check_message, decrypted",
                "Account.pause_reason, decrypted",
                "the column proctoring_call.error",
            ),
            *("Action.message, decrypted", "the log", "/attention/ as viewer", "/admin/proctoring/call/ as viewer"),
        }
        town.found.assert_nothing_of(credentials())
        assert_links_are_only_where_they_belong(town.found)
