"""One day in the life of an installation: every effect, at every vendor that offers it, in every state that an upgrade can
meet, made by this version's own domain, ledger and workers. Ids and times are the same each time that it is built.
"""

from __future__ import annotations

import hashlib
import os
import random
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, cast
from unittest import mock

from django.apps import apps
from django.db import models
from django.db.models import F

from proctoring import accounts, deliveries, exams, invitations, ledger, planning, sessions, values
from proctoring.ledger.turns import take_turn
from proctoring.models import (
    Account,
    Action,
    Batch,
    Call,
    Candidate,
    Delivery,
    Exam,
    Membership,
    Reading,
    Role,
    Session,
    Team,
    User,
)
from proctoring.rosters import Entry
from proctoring.sandbox.server import Sandbox
from proctoring.vendors import registry
from proctoring.vendors.base import Created, Response, Verb
from proctoring.vendors.scorpion.forms import DEFAULT_EXAMINEE_INFO
from proctoring.verbs import VERBS
from tests.smtp import Fault, MailServer, Step

DAY = datetime(2026, 1, 5, 8, tzinfo=UTC)  # when all of it happened
ENDS = datetime(2099, 6, 30, 16, tzinfo=UTC)  # no window closes before
ALMOST_SPENT = 11  # of twelve tries: the next one decides
STATES = ("unknown, it happened", "unknown, it did not", "needs attention")
LOST_STATES = ("lost before sending", "lost, it happened", "lost, it did not")
QUEUED = "queued"
LABELS = (*STATES, *LOST_STATES, QUEUED)
EFFECTS = {  # what of its request's line tells an effect from what is only read
    Verb.CREATE_DELIVERIES: "POST",
    Verb.REISSUE_LINK: "get_launch_token",
    Verb.CREATE_EXAM: "POST",
    Verb.UPDATE_EXAM: "PATCH",
    Verb.SUBMIT_RESPONSES: "/responses",
    Verb.RESET: "/reset",
    Verb.REOPEN: "/reopen",
    Verb.RETAKE: "/retake",
}
STUDENT = "S-1"  # who sits in all sessions: nobody has to be asked for
Ask = Callable[[str], Sequence[Action]]  # asks for one effect, labelled so


@contextmanager
def fixed_chance() -> Iterator[None]:
    """Makes all that is drawn at random the same each time: ids, vendors' tokens, salts, ciphers. Ids begin with f0000000."""
    numbers = count(1)

    def draw(size: int) -> bytes:
        number = next(numbers)
        if size == 16:
            return bytes.fromhex("f0000000") + number.to_bytes(12, "big")
        blocks = (hashlib.sha256(f"{number}/{block}".encode()).digest() for block in range(size // 32 + 1))
        return b"".join(blocks)[:size]

    random.seed(1)
    with (
        mock.patch.object(os, "urandom", draw),
        mock.patch.object(random, "_urandom", draw),
        mock.patch("cryptography.fernet.time", mock.Mock(time=DAY.timestamp)),
    ):
        yield


@dataclass
class Day:
    """The team, its accounts and who works there; each method does one part of the day."""

    sandbox: Sandbox
    mail: MailServer
    team: Team
    lead: User
    began: datetime
    accounts: dict[str, Account] = field(default_factory=dict)
    exams: dict[str, Exam] = field(default_factory=dict)
    people: Iterator[int] = field(default_factory=lambda: count(1))
    created: Iterator[Delivery] = field(
        default_factory=lambda: iter(())
    )  # at the vendor, and nothing under way with them

    @classmethod
    def begin(cls, sandbox: Sandbox, mail: MailServer) -> Day:
        team = Team.objects.create(
            name="Northern exams", time_zone="Europe/Oslo", reply_to="office@example.org", phone="+47 555 0100"
        )
        people = {role: _member(team, role) for role in Role}
        User.objects.create_superuser("root", email="root@example.org", password="frozen-for-tests-only")
        return cls(sandbox, mail, team, people[Role.LEAD], began=datetime.now(UTC))

    # --- who and what there is ----------------------------------------------------------------------------------------

    def account(self, vendor: str, name: str = "", **kw: Any) -> Account:
        demo = registry.demo(vendor)
        facts = {"settings": demo.SETTINGS, "permissions": demo.PERMISSIONS, "poll_seconds": 300, **kw}
        account = Account(
            team=self.team,
            name=name or vendor.title(),
            vendor=vendor,
            base_url=self.sandbox.url(vendor),
            calls_at_once=64,
            **facts,
        )
        accounts.add(account, credentials=demo.CREDENTIALS, by=self.lead, now=DAY)
        self.accounts[account.name] = account
        return account

    def exam(self, account: Account, title: str, settings: dict[str, Any], **kw: Any) -> Exam:
        facts = {"starts_at": DAY, "ends_at": ENDS, "duration_minutes": 90, "time_zone": "Europe/Oslo", **kw}
        exam = Exam(team=self.team, account=account, title=title, instructions="Bring a pen.", **facts)
        return exams.save(exam, vendor_settings=settings, by=self.lead, now=DAY)

    def candidate(self, **kw: Any) -> Candidate:
        number = next(self.people)
        facts = {"first_name": "Zoë", "last_name": f"Lee {number}", "email": f"zoe{number}@example.org", **kw}
        return Candidate.objects.create(team=self.team, time_zone="Asia/Tehran", phone="+98 21 555", **facts)

    def plan(self, exam: Exam, people: Sequence[Candidate], **kw: Any) -> planning.Plan:
        return planning.plan_candidates(exam, people, now=DAY, **{"options": {}, **kw})

    def deliver(self, exam: Exam, people: Sequence[Candidate], **kw: Any) -> list[Action]:
        plan = self.plan(exam, people, **kw)
        batch = deliveries.draft(plan, exam=exam, by=self.lead, now=DAY)
        return self.actions_of(deliveries.request(batch, by=self.lead, now=DAY))

    def actions_of(self, batch: Batch) -> list[Action]:
        return list(Action.objects.filter(batch=batch).order_by("id"))

    # --- what workers do ----------------------------------------------------------------------------------------------

    def drain(self, account: Account, *, seconds: float = 20) -> None:
        ledger.drain(account.pk, VERBS, worker="frozen", should_stop=lambda: False, seconds=seconds)
        Account.objects.filter(pk=account.pk).update(next_call_at=None, failures_in_a_row=0)

    def claim(self, account: Account) -> ledger.Claim:
        claims = take_turn(account.pk, VERBS, [], most=1, worker="frozen", prefers_reading=False)
        assert not isinstance(claims, ledger.Idle)
        return claims[0]

    # --- one effect in each state -------------------------------------------------------------------------------------

    def bring_about(self, account: Account, verb: Verb, ask: Ask) -> None:
        """One action, or group, for each state but QUEUED, which nobody may take up: `queue` comes last."""
        for label in STATES:
            actions = self._ask(account, verb, ask, label)
            if label == "needs attention" or self._is_repeated(account, verb):
                Action.objects.filter(pk__in=[action.pk for action in actions]).update(tries=ALMOST_SPENT)
            self._go_wrong(account, verb, label)
            self.drain(account, seconds=0.9)  # less than the account is held back for
        for label in LOST_STATES:
            self._ask(account, verb, ask, label)
            claim = self.claim(account)
            if label != "lost before sending":
                self._go_wrong(account, verb, label)
                ledger.perform(claim, VERBS)  # and the worker is lost before it settles
        for label in (*STATES, *LOST_STATES):
            states = {"unknown": "unknown", "needs": "needs_attention", "lost": "sending"}
            found = Action.objects.filter(reason=f"{account.name} {verb}: {label}").values_list("state", flat=True)
            wanted = states[label.split()[0].strip(",")]
            assert set(found) == {wanted}, f"{account.name} {verb}, {label}: {list(found)}"

    def queue(self, account: Account, verb: Verb, ask: Ask) -> None:
        self._ask(account, verb, ask, QUEUED)

    def _ask(self, account: Account, verb: Verb, ask: Ask, label: str) -> Sequence[Action]:
        actions = ask(label)
        Action.objects.filter(pk__in=[action.pk for action in actions]).update(reason=f"{account.name} {verb}: {label}")
        return actions

    def _is_repeated(self, account: Account, verb: Verb) -> bool:
        capability = registry.capability(account.vendor, verb)
        return capability is not None and capability.repeat != "never"

    def _go_wrong(self, account: Account, verb: Verb, label: str) -> None:
        if verb is Verb.SEND_MESSAGE:
            self._mail_goes_wrong(label)
            return
        kind = {"needs attention": "429", "unknown, it happened": "502_after", "lost, it did not": "502_before"}
        kind["unknown, it did not"] = "502_before"
        if label in kind:
            self.sandbox.fault(account.vendor, kind[label], calls=1, match=EFFECTS[verb])

    def _mail_goes_wrong(self, label: str) -> None:
        self.mail.mend()
        if label == "needs attention":
            self.mail.fault(Step.RCPT, Fault.DEFER, times=1)
        elif label != "lost, it happened":
            self.mail.fault(Step.END, Fault.HANG_UP, times=1, stores=label == "unknown, it happened")

    # --- each vendor's part of the day --------------------------------------------------------------------------------

    def scorpion(self) -> list[tuple[Account, Verb, Ask]]:
        account = self.account("scorpion")
        settings = {"examinee_info": DEFAULT_EXAMINEE_INFO, "external_id": "uuid", "meta": {"room": "4b"}}
        exam = self.exams["widgets"] = self.exam(
            account, "Widgets", settings, ref=registry.demo("scorpion").EXAMS[0]["ref"]
        )
        self.created = self._create(exam, 2 * len(LABELS) + 2)
        return [
            (account, Verb.CREATE_DELIVERIES, lambda label: self.deliver(exam, [self.candidate()])),
            (account, Verb.REISSUE_LINK, lambda label: [self._let_in(next(self.created))]),
        ]

    def _create(self, exam: Exam, number: int) -> Iterator[Delivery]:
        self.deliver(exam, [self.candidate() for _ in range(number)])
        self.drain(exam.account)
        found = Delivery.objects.select_related("exam__account", "candidate", "team").filter(exam=exam)
        assert {delivery.state for delivery in found} == {"created"}
        return iter(found.order_by("id"))

    def _let_in(self, delivery: Delivery) -> Action:
        asked = deliveries.let_back_in(delivery, by=self.lead, reason="", now=DAY)
        assert isinstance(asked, Action)
        return asked

    def cirrus(self) -> list[tuple[Account, Verb, Ask]]:
        account = self.account("cirrus")
        demo = registry.demo("cirrus").EXAMS[0]
        settings = {**demo["settings"], "pin": "4711"}
        exam = self.exam(account, "Widget Theory", settings, ref=demo["ref"], starts_at=DAY)

        def ask(label: str) -> list[Action]:
            people = [self.candidate(), self.candidate(external_id=f"C-{label[:3]}-{len(label)}")]
            return self.deliver(exam, people)

        return [(account, Verb.CREATE_DELIVERIES, ask)]

    def proctorexam(self) -> list[tuple[Account, Verb, Ask]]:
        account = self.account("proctorexam")
        simulator = cast(Any, self.sandbox.simulator("proctorexam"))
        refs = count(11)

        def ask(label: str) -> list[Action]:
            ref = next(refs)
            simulator._put_exam(ref, f"Before: {label}")
            settings = registry.demo("proctorexam").EXAMS[0]["settings"]
            exam = self.exam(account, f"Bookkeeping: {label}", settings, ref=str(ref))
            Exam.objects.filter(pk=exam.pk).update(confirmed={"student_experience": False, "allow_textbooks": True})
            exam.refresh_from_db()
            return [exams.send(exam, by=self.lead, now=DAY)]

        return [(account, Verb.UPDATE_EXAM, ask)]

    def smarterproctoring(self) -> list[tuple[Account, Verb, Ask]]:
        account = self.account("smarterproctoring")

        def ask(label: str) -> list[Action]:
            settings = registry.demo("smarterproctoring").EXAMS[0]["settings"]
            return [exams.send(self.exam(account, f"Biology: {label}", settings), by=self.lead, now=DAY)]

        return [(account, Verb.CREATE_EXAM, ask)]

    def campfire(self) -> list[tuple[Account, Verb, Ask]]:
        account = self.account("campfire")
        simulator = cast(Any, self.sandbox.simulator("campfire"))
        for known in simulator.state()["sessions"]:
            self.sandbox.control("campfire", "remove_session", session_id=known["id"])
        wanted = {
            Verb.RESET: (simulator.DEMO_CONFIG, "COMPLETE", "right"),
            Verb.REOPEN: (simulator.DEMO_CONFIG, "COMPLETE", "wrong"),
            Verb.RETAKE: (simulator.RETAKES_CONFIG, "COMPLETE", "wrong"),
            Verb.SUBMIT_RESPONSES: (simulator.DEMO_CONFIG, "IN_PROGRESS", "none"),
        }
        for verb, how in wanted.items():
            for label in LABELS:
                self._sit(f"{verb} {label}", *how)
        for name in ("reset, done", "reset, while paused", "reopen, a draft", "only read"):
            self._sit(name, simulator.DEMO_CONFIG, "COMPLETE", "right")
        self._sit("of a stranger", simulator.DEMO_CONFIG, "COMPLETE", "right", student="******")
        self.candidate(external_id=STUDENT)
        settings = {"config_refs": [simulator.DEMO_CONFIG, simulator.RETAKES_CONFIG], "include": ["responses"]}
        self.exam(account, "Saving", {**settings, "allows_retakes": None}, ref=simulator.DEMO_EXAM)
        sessions.ask_sync(account, by=self.lead, now=DAY)
        self.drain(account)
        return [(account, verb, self._session_ask(verb)) for verb in wanted]

    def _sit(self, name: str, config: str, maturity: str, answers: str, *, student: str = STUDENT) -> None:
        user = f"{name.replace(' ', '-').replace(',', '')}@example.org"
        facts = {"name": name, "user_id": user, "student_id": student, "maturity": maturity, "answers": answers}
        self.sandbox.control("campfire", "add_session", exam_config_id=config, **facts)

    def _session_ask(self, verb: Verb) -> Ask:
        return lambda label: self.act(verb, f"{verb} {label}")

    def act(self, verb: Verb, name: str) -> list[Action]:
        batch = self.session_draft(verb, name)
        return self.actions_of(
            sessions.request(batch, category="technical", reason="The hall lost power", by=self.lead, now=DAY)
        )

    def session_draft(self, verb: Verb, name: str) -> Batch:
        chosen = list(Session.objects.select_related("account").filter(name=name))
        assert len(chosen) == 1, name
        plan = sessions.plan(chosen, verb)
        if verb is Verb.SUBMIT_RESPONSES:
            answer = Response(
                item_ref="b842bb5e-9957-403e-bc54-9a054b290158", question_ref="1CkpwzuRQSfg", option_indexes=(2,)
            )
            plan = sessions.Plan(verb=verb, rows=plan.rows, responses=(answer,), submit_for_scoring=True)
        return sessions.draft(plan, team_id=self.team.pk, by=self.lead, now=DAY)

    def invitations(self) -> list[tuple[Account, Verb, Ask]]:
        account = invitations.account_of(self.team.pk)
        self.invite(next(self.created))
        self.drain(account)
        return [(account, Verb.SEND_MESSAGE, lambda label: self.invite(next(self.created)))]

    def invite(self, delivery: Delivery) -> list[Action]:
        return self.actions_of(invitations.request([delivery], by=self.lead, now=DAY))

    # --- what else lies about -----------------------------------------------------------------------------------------

    def kept_before_a_reset(self) -> None:
        (action,) = self.act(Verb.RESET, "reset, done")
        self.drain(self.accounts["Campfire"])
        assert Action.objects.exclude(kept=None).get(pk=action.pk).state == "done"

    def left_out(self) -> None:
        """A batch with somebody who was refused, which its page shows for ever."""
        exam = self.exams["widgets"]
        twice = next(self.created).candidate
        self.deliver(exam, [twice, self.candidate()])
        self.drain(exam.account)

    def to_be_picked(self) -> None:
        """Looked up, and several deliveries at the vendor could be it."""
        account = self.accounts["Scorpion"]
        (action,) = self._ask(
            account,
            Verb.CREATE_DELIVERIES,
            lambda label: self.deliver(self.exams["widgets"], [self.candidate()]),
            "one of several",
        )
        self._go_wrong(account, Verb.CREATE_DELIVERIES, "unknown, it happened")
        self.drain(account)
        choices = [
            Created(
                reference=action.pk,
                ref=f"5c0e1d00-0000-4000-8000-00000000000{number}",
                person_ref="5c0e1d00-0000-4000-8000-0000000000aa",
                note=f"Made at {number} o'clock",
            )
            for number in (8, 9)
        ]
        Action.objects.filter(pk=action.pk).update(choices=[values.pack(choice) for choice in choices])

    def drafts(self) -> None:
        exam = self.exams["widgets"]
        known = self.candidate()
        entries = [
            Entry(line=2, first_name="Bo", last_name="Berg", email="bo@example.org", given=_given("email")),
            Entry(line=3, last_name="Lee-Berg", email=known.email, given=frozenset({"email", "last_name"})),
            Entry(line=4, email="nobody@example.org", given=frozenset({"email"})),
        ]
        plan = planning.plan_entries(exam, entries, now=DAY, options={})
        deliveries.draft(plan, exam=exam, by=self.lead, now=DAY, reason="For the afternoon")
        self.session_draft(Verb.REOPEN, "reopen, a draft")

    def paused(self) -> None:
        """An account that is paused as a whole and one that may not reset, each with work that waits."""
        account = self.account("scorpion", "Scorpion, paused")
        settings = {"examinee_info": DEFAULT_EXAMINEE_INFO, "external_id": "uuid"}
        exam = self.exam(account, "Gadgets", settings, ref=self.exams["widgets"].ref)
        self._ask(account, Verb.CREATE_DELIVERIES, lambda label: self.deliver(exam, [self.candidate()]), QUEUED)
        Account.objects.filter(pk=account.pk).update(paused_at=DAY, pause_reason="The vendor refuses the token (401).")
        account = self.account("campfire", "Campfire, no resets", poll_seconds=0)
        Session.objects.filter(name="reset, while paused").update(account=account, exam=None)
        self._ask(account, Verb.RESET, lambda label: self.act(Verb.RESET, "reset, while paused"), QUEUED)
        pauses = {"reset": {"reason": "The vendor refuses resets (403).", "at": DAY.isoformat()}}
        Account.objects.filter(pk=account.pk).update(paused_verbs=pauses)

    def readings(self) -> None:
        """What is read again and again, and one session that is to be read once."""
        sessions.keep_polling(now=DAY)
        sessions.keep_watching(now=datetime.now(UTC) + timedelta(hours=1))
        for reading in Reading.objects.filter(verb=Verb.READ_DELIVERY.value).order_by("id")[1:]:
            reading.delete()  # of one delivery is enough
        once = Session.objects.select_related("account").get(name="only read")
        sessions.ask_reading(once, by=None, now=DAY)

    # --- the same times each time -------------------------------------------------------------------------------------

    def set_clocks_back(self) -> None:
        """All that has happened since the build began happened on that day; sessions one after the other."""
        for model in apps.get_app_config("proctoring").get_models():
            for column in model._meta.concrete_fields:
                if isinstance(column, models.DateTimeField):
                    self._set_back(model, column.name)
        for number, session in enumerate(Session.objects.order_by("name", "ref")):
            Session.objects.filter(pk=session.pk).update(created_at=DAY + timedelta(seconds=number))
        Call.objects.filter(ended_at=None).update(lease_until=F("claimed_at") + timedelta(minutes=1))

    def _set_back(self, model: type[models.Model], name: str) -> None:
        recent = {f"{name}__gte": self.began - timedelta(minutes=1), f"{name}__lt": self.began + timedelta(days=1)}
        models.QuerySet(model).filter(**recent).update(**{name: DAY})

    def give_vendors_their_names(self) -> None:
        """In place of the ports where they were."""
        for vendor in self.sandbox.vendors:
            here, there = self.sandbox.url(vendor), f"http://{vendor}.example"
            Account.objects.filter(base_url=here).update(base_url=there)
            for call in Call.objects.filter(url__startswith=here):
                Call.objects.filter(pk=call.pk).update(url=call.url.replace(here, there))
            for delivery in Delivery.objects.filter(exam__account__vendor=vendor, state="created").order_by("id"):
                links = {"take_url": delivery.take_url, "proctor_url": delivery.proctor_url}
                changed = {name: link.replace(here, there) for name, link in links.items()}
                Delivery.objects.filter(pk=delivery.pk).update(**changed)


MOMENT = re.compile(r"(20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?")


def set_back(text: str, began: datetime) -> str:
    """The text with every moment of the build as one of that day."""

    def moment(found: re.Match[str]) -> str:
        at = datetime.fromisoformat(found[1]).replace(tzinfo=UTC)
        is_recent = abs(at - began) < timedelta(days=1)
        return (
            f"{DAY:%Y-%m-%dT%H:%M:%S}{'.' + '0' * (len(found[2]) - 1) if found[2] else ''}" if is_recent else found[0]
        )

    return MOMENT.sub(moment, text)


def _given(*more: str) -> frozenset[str]:
    return frozenset({"first_name", "last_name", *more})


def _member(team: Team, role: str) -> User:
    user = User.objects.create_user(role, email=f"{role}@example.org", password="frozen-for-tests-only", is_staff=True)
    Membership.objects.create(user=user, team=team, role=role)
    return user


def build(sandbox: Sandbox, mail: MailServer) -> None:
    """Lives the day in the database at hand, by `fixed_chance`."""
    day = Day.begin(sandbox, mail)
    parts = [*day.scorpion(), *day.cirrus(), *day.proctorexam(), *day.smarterproctoring(), *day.campfire()]
    day.kept_before_a_reset()
    day.left_out()
    parts += day.invitations()
    for account, verb, ask in parts:
        day.bring_about(account, verb, ask)
    mail.mend()
    day.to_be_picked()
    for account, verb, ask in parts:
        day.queue(account, verb, ask)
    day.paused()
    day.drafts()
    day.readings()
    ledger.erase_bodies(before=datetime.now(UTC))  # nothing needs them, and they are most of it
    day.set_clocks_back()
    day.give_vendors_their_names()
