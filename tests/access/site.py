"""Two teams with one of everything, so that every press has its effect; and all kinds of visitors.

Everything of ours has the word OURS in it: who may not see it must never read that word.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from django.conf import settings
from django.db import transaction
from django.db.models import Model
from django.test import Client
from django.test.utils import override_settings

from proctoring import deliveries, invitations, links, planning, sessions, values
from proctoring.models import (
    Account,
    Action,
    ActionState,
    Attention,
    Batch,
    Candidate,
    Delivery,
    DeliveryState,
    Exam,
    Invitation,
    Membership,
    Role,
    Session,
    Team,
    User,
)
from proctoring.vendors import registry
from proctoring.vendors.base import Created, Response, SessionSnapshot, SessionState, Verb
from tests import factories
from tests.access.rules import PLACE

OURS = "Zebra"
QUICK_HASHES = {"PASSWORD_HASHERS": ["django.contrib.auth.hashers.MD5PasswordHasher"]}
QUESTION = {
    "id": "question-1",
    "interactionType": "choice",
    "options": [{"content": "<p>yes</p>", "isKey": True, "index": 0}, {"content": "<p>no</p>", "index": 1}],
    "response": {"options": [{"index": 0}]},
}
QUESTIONS = {
    "questions": {"items": [{"id": "item-1", "questions": [QUESTION]}]},
    "questions_asked_at": "2026-03-01T09:00:00+00:00",
}
VISITORS = [
    *("somebody who is not signed in", "somebody who is not signed in, over HTMX", "a user who was deactivated"),
    *("a user who is not of the staff", "a user without a team"),
    *(role.value for role in Role),
    *(f"{role.value} of another team" for role in Role),
    *("superuser", "administrator, over HTMX", "administrator of another team, over HTMX"),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """Who asks. `here` is the role in our team, `own` the best role anywhere; `user` is signed in, if anybody is."""

    name: str
    user: User | None = None
    here: Role | None = None
    own: Role | None = None
    is_staff: bool = True
    htmx: bool = False
    session_key: str = ""

    @property
    def is_signed_in(self) -> bool:
        return bool(self.session_key) and self.user is not None and self.user.is_active

    def client(self) -> Client:
        headers = {"HX-Request": "true", "HX-Current-URL": "http://testserver/"} if self.htmx else {}
        client = Client(headers=headers)
        if self.session_key:
            client.cookies[settings.SESSION_COOKIE_NAME] = self.session_key
        return client


@dataclass(slots=True)
class Site:
    """Our rows by name. `keys` are what stands in an address or a form for each, as text."""

    rows: dict[str, Model] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    visitors: dict[str, Visitor] = field(default_factory=dict)

    def put(self, **rows: Model) -> None:
        self.rows |= rows
        self.keys |= {name: str(row.pk) for name, row in rows.items()}

    def fill(self, text: str) -> str:
        return PLACE.sub(lambda found: self.keys[found[1]], text)


@contextmanager
def built() -> Iterator[Site]:
    """The site in a transaction that is rolled back at the end."""
    with override_settings(**QUICK_HASHES), transaction.atomic():
        yield _build()
        transaction.set_rollback(True)


def _build() -> Site:
    site, now = Site(), datetime.now(UTC)
    team = factories.make_team(f"{OURS} team")
    theirs = factories.make_team("Their team")
    _people(site, team, theirs)
    account = factories.make_account(team, name=f"{OURS} account")
    exam = factories.make_exam(account, title=f"{OURS} exam")
    site.put(team=team, account=account, exam=exam, their_exam=factories.make_exam(factories.make_account(theirs)))
    _deliveries(site, exam, now)
    _sessions(site, team, now)
    _exams(site, team, now)
    return site


def _people(site: Site, team: Team, theirs: Team) -> None:
    members = {role: factories.make_user(role=role, team=team, username=f"{OURS}-{role.value}") for role in Role}
    strangers = {role: factories.make_user(role=role, team=theirs, username=f"their-{role.value}") for role in Role}
    nobody, guest = factories.make_user(role=None), factories.make_user(role=None, is_staff=False)
    former = factories.make_user(role=Role.ADMINISTRATOR, team=team, username=f"{OURS}-former")
    root = factories.make_user(role=Role.VIEWER, team=theirs, is_superuser=True, username="root")
    site.put(viewer=members[Role.VIEWER], their_viewer=strangers[Role.VIEWER], root=root)
    administrator, stranger = Role.ADMINISTRATOR, strangers[Role.ADMINISTRATOR]
    visitors = [
        Visitor(name="somebody who is not signed in"),
        Visitor(name="somebody who is not signed in, over HTMX", htmx=True),
        Visitor(name="a user who was deactivated", user=former, session_key=_signed_in(former)),
        Visitor(name="a user who is not of the staff", user=guest, is_staff=False, session_key=_signed_in(guest)),
        Visitor(name="a user without a team", user=nobody, session_key=_signed_in(nobody)),
        *[
            Visitor(name=role.value, user=user, here=role, own=role, session_key=_signed_in(user))
            for role, user in members.items()
        ],
        *[
            Visitor(name=f"{role.value} of another team", user=user, own=role, session_key=_signed_in(user))
            for role, user in strangers.items()
        ],
        Visitor(name="superuser", user=root, here=administrator, own=administrator, session_key=_signed_in(root)),
    ]
    site.visitors = {visitor.name: visitor for visitor in visitors}
    for name, here, user in (
        ("administrator, over HTMX", administrator, members[administrator]),
        ("administrator of another team, over HTMX", None, stranger),
    ):
        plain = _signed_in(user)
        site.visitors[name] = Visitor(name=name, user=user, here=here, own=administrator, htmx=True, session_key=plain)
    User.objects.filter(pk=former.pk).update(is_active=False)
    former.is_active = False
    site.keys["membership_ids"] = ",".join(map(str, Membership.objects.filter(team=team).values_list("pk", flat=True)))


def _signed_in(user: User) -> str:
    client = Client()
    client.force_login(user)
    return client.cookies[settings.SESSION_COOKIE_NAME].value


def _person(team: Team) -> Candidate:
    person = factories.make_candidate(team)
    person.last_name = f"{OURS} {person.last_name}"
    person.save()
    return person


# --- deliveries, their links and their mails ----------------------------------------------------------------------------


def _deliveries(site: Site, exam: Exam, now: datetime) -> None:
    team = exam.team
    by = User.objects.get(username=f"{OURS}-coordinator")
    created = factories.make_delivery(exam, _person(team), state=DeliveryState.CREATED)
    linkless = factories.make_delivery(exam, _person(team), state=DeliveryState.CREATED, take_url="")
    drafts = {
        "draft": _draft(exam, [_person(team)], by, now),
        "again_draft": _draft(exam, [created.candidate], by, now, is_retake=True),
    }
    batch = deliveries.request(_draft(exam, [_person(team)], by, now), by=by, now=now)
    queued = Action.objects.get(batch=batch)
    site.put(candidate=created.candidate, delivery=created, linkless=linkless, batch=batch, queued=queued, **drafts)
    site.put(requested=Delivery.objects.get(actions=queued))
    done = factories.make_action(created, state=ActionState.DONE, batch=_batch_of(exam, by))
    site.put(done_batch=_row(done.batch), action=done, call=factories.make_call(exam.account, actions=[done]))
    choice = Created(reference=uuid4(), ref=str(uuid4()), take_url=factories.TAKE_URL)
    site.put(
        unknown=_stopped(exam, ActionState.UNKNOWN, now, choices=[values.pack(choice)]),
        failed=_stopped(exam, ActionState.NEEDS_ATTENTION, now, attention=Attention.REFUSED),
        journalentry=factories.make_entry(created, by=by),
    )
    _candidates_links(site, exam)
    _mails(site, exam, by, now)


def _draft(exam: Exam, people: list[Candidate], by: User, now: datetime, *, is_retake: bool = False) -> Batch:
    plan = planning.plan_candidates(exam, people, now=now, options={}, is_retake=is_retake)
    return deliveries.draft(plan, exam=exam, by=by, now=now, reason="A reason")


def _batch_of(exam: Exam, by: User) -> Batch:
    return factories.make_batch(exam, by=by, plan=values.pack(deliveries.Skipped(is_retake=False, skipped=())))


def _row(found: Batch | None) -> Batch:
    assert found is not None
    return found


def _stopped(exam: Exam, state: str, now: datetime, **kw: Any) -> Action:
    delivery = factories.make_delivery(exam, _person(exam.team))
    return factories.make_action(delivery, state=state, message="The vendor answered 500.", sent_at=now, **kw)


def _candidates_links(site: Site, exam: Exam) -> None:
    """The links that candidates hold: one that leads on, and those that lead nowhere."""
    team = exam.team
    replaced = factories.make_delivery(exam, _person(team), state=DeliveryState.CREATED)
    old = links.token_of(replaced)
    Delivery.objects.filter(pk=replaced.pk).update(link_version=2)
    revoked = factories.make_delivery(exam, _person(team), state=DeliveryState.CREATED, is_revoked=True)
    cancelled = factories.make_delivery(exam, _person(team), state=DeliveryState.CANCELLED)
    own = links.token_of(Delivery.objects.get(pk=UUID(site.keys["delivery"])))
    forged = own[:-2] + ("AA" if own[-2:] != "AA" else "BA")
    site.keys |= {"link": own, "old_link": old, "forged_link": forged}
    site.keys |= {"revoked_link": links.token_of(revoked), "cancelled_link": links.token_of(cancelled)}


def _mails(site: Site, exam: Exam, by: User, now: datetime) -> None:
    invited = factories.make_delivery(exam, _person(exam.team), state=DeliveryState.CREATED)
    batch = invitations.request([invited], by=by, now=now)
    mail = Action.objects.get(batch=batch)
    Action.objects.filter(pk=mail.pk).update(state=ActionState.UNKNOWN)
    site.put(invited=batch, mail=mail, invitation=Invitation.objects.get(actions=mail))
    told = factories.make_delivery(exam, _person(exam.team), state=DeliveryState.CREATED)
    Action.objects.filter(batch=invitations.request([told], by=by, now=now)).update(state=ActionState.DONE)
    site.put(told=told)


# --- sessions -----------------------------------------------------------------------------------------------------------


def _sessions(site: Site, team: Team, now: datetime) -> None:
    demo = registry.demo("campfire")
    account = factories.make_account(
        team, name=f"{OURS} board", vendor="campfire", credentials=demo.CREDENTIALS, permissions=[]
    )
    exam = factories.make_exam(account, title=f"{OURS} sitting")
    lead = User.objects.get(username=f"{OURS}-lead")
    site.put(board=account, session=_session(exam, now))
    for verb in sessions.VERBS:
        site.put(
            **{
                f"{verb.value}_draft": _session_draft(verb, [_session(exam, now)], lead, now),
                f"{verb.value}_batch": _session_batch(verb, exam, lead, now),
            }
        )
    reset = Batch.objects.get(pk=UUID(site.keys["reset_batch"]))
    kept = Action.objects.filter(batch=reset, state=ActionState.DONE).get()
    before = SessionSnapshot(ref=str(kept.session_id), state=SessionState.COMPLETE, name=OURS)
    Action.objects.filter(pk=kept.pk).update(kept=values.pack(values.Kept(before=before)))
    unknown = _session_action(Verb.REOPEN, _session(exam, now), None, ActionState.UNKNOWN, now)
    site.put(kept=kept, unknown_reopen=unknown)
    for verb in (Verb.RESET, Verb.REOPEN):
        failed = _session_action(verb, _session(exam, now), None, ActionState.NEEDS_ATTENTION, now)
        site.put(**{f"failed_{verb.value}": failed})


def _session(exam: Exam, now: datetime) -> Session:
    seen: dict[str, Any] = {"state": "complete", "vendor_state": "COMPLETE", "asked_at": now, "content": QUESTIONS}
    return factories.make_session(exam, name=f"{OURS} session {uuid4().hex[:6]}", score=80.0, **seen)


def _session_draft(verb: Verb, chosen: list[Session], by: User, now: datetime) -> Batch:
    plan = sessions.plan(chosen, verb)
    if verb is Verb.SUBMIT_RESPONSES:
        answer = Response(item_ref="item-1", question_ref="question-1", option_indexes=(1,))
        plan = sessions.Plan(verb=verb, rows=plan.rows, responses=(answer,))
    return sessions.draft(plan, team_id=chosen[0].team_id, by=by, now=now)


def _session_batch(verb: Verb, exam: Exam, by: User, now: datetime) -> Batch:
    """A confirmed batch: one of it waits, one failed, and one is done and its session still complete."""
    chosen = [_session(exam, now) for _ in range(3)]
    batch = _session_draft(verb, chosen, by, now)
    batch = sessions.request(batch, category="other", reason="A reason", by=by, now=now)
    _, failed, done = Action.objects.filter(batch=batch).order_by("id")
    Action.objects.filter(pk=failed.pk).update(state=ActionState.NEEDS_ATTENTION, attention=Attention.REFUSED)
    Action.objects.filter(pk=done.pk).update(state=ActionState.DONE)
    return batch


def _session_action(verb: Verb, session: Session, batch: Batch | None, state: str, now: datetime) -> Action:
    moments = {"due_at": now, "created_at": now, "changed_at": now, "sent_at": now}
    return Action.objects.create(
        team=session.team,
        account=session.account,
        session=session,
        verb=verb.value,
        group=uuid4(),
        batch=batch,
        state=state,
        **moments,
    )


# --- exams that can be sent ---------------------------------------------------------------------------------------------


def _exams(site: Site, team: Team, now: datetime) -> None:
    demo = registry.demo("proctorexam")
    account: Account = factories.make_account(
        team,
        name=f"{OURS} sender",
        vendor="proctorexam",
        base_url="https://vendor.example.com",
        credentials=demo.CREDENTIALS,
        settings=demo.SETTINGS,
        permissions=demo.PERMISSIONS,
    )
    window = {"starts_at": now + timedelta(days=3), "ends_at": now + timedelta(days=33)}
    sendable = factories.make_exam(account, **{**demo.EXAMS[0], **window, "title": f"{OURS} sendable"})
    site.put(sendable=sendable, sender=account)
