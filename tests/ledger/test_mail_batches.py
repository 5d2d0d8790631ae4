"""Mail through the ledger and a real mail server: nothing twice, nothing lost, unknown only what may have gone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from threading import Thread
from uuid import uuid4

import pytest
from django.conf import LazySettings
from django.db import connection

from proctoring import accounts, invitations, ledger, mailer
from proctoring.models import (
    Account,
    Action,
    Batch,
    Call,
    Candidate,
    Delivery,
    DeliveryState,
    Exam,
    Invitation,
    JournalEntry,
    Membership,
    Role,
    User,
)
from proctoring.verbs import VERBS
from tests import factories, processes, smtp
from tests.smtp import Fault, MailServer, Step

SENDER = "exams@console.example"


def now() -> datetime:
    return datetime.now(UTC)


@dataclass
class Post:
    """A team with an exam, whose mail goes to a server of the test's own."""

    server: MailServer
    exam: Exam

    @property
    def account(self) -> Account:
        return invitations.account_of(self.exam.team_id)

    def invite(self, count: int) -> Batch:
        people = Candidate.objects.bulk_create(
            Candidate(team=self.exam.team, first_name="Ann", last_name=f"Lee {n}", email=f"ann{n}@example.org")
            for n in range(count)
        )
        deliveries = Delivery.objects.bulk_create(
            Delivery(
                team=self.exam.team,
                exam=self.exam,
                candidate=person,
                state=DeliveryState.CREATED,
                ref=str(uuid4()),
                take_url=factories.TAKE_URL,
                requested_at=now(),
                created_at=now(),
            )
            for person in people
        )
        return invitations.request(deliveries, by=None, now=now())

    def of_another_team(self) -> Post:
        return Post(self.server, _exam())

    def drain(self, *, threads: int = 1, seconds: float = 10.0) -> None:
        workers = [Thread(target=self._drain, args=(self.account.pk, seconds)) for _ in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()

    def _drain(self, account_id: int, seconds: float) -> None:
        try:
            ledger.drain(account_id, VERBS, worker="test", should_stop=lambda: False, seconds=seconds)
        finally:
            connection.close()

    def make_due(self) -> None:
        """Lets every wait be over: as if the time had passed."""
        moment = now() - timedelta(seconds=1)
        Action.objects.filter(state="queued", due_at__gt=moment).update(due_at=moment)
        Account.objects.update(next_call_at=None)

    def states(self) -> Counter[str]:
        return Counter(Action.objects.values_list("state", flat=True))

    def state_and_times_there(self) -> tuple[str, int]:
        """Of the team's only message."""
        action = Action.objects.get(team=self.exam.team)
        return action.state, sum(str(action.invitation_id) in written for written in self._there().elements())

    def _there(self) -> Counter[str]:
        """Invitation → how many times the server took it."""
        return Counter(written.strip("<>").partition("@")[0] for written in self.server.times_stored().elements())

    def assert_agrees(self) -> None:
        """Done is at the server once; unknown once or not at all; the rest not at all, nor anything that nobody sent."""
        there = self._there()
        state_of = {str(pk): state for pk, state in Action.objects.values_list("invitation", "state")}
        assert len(state_of) == Invitation.objects.count(), "an invitation has no action, or two"
        assert set(there) <= set(state_of), "the server has mail that nobody asked for"
        assert not [pk for pk, times in there.items() if times > 1], "mail went out twice"
        lost = [pk for pk, state in state_of.items() if state == "done" and not there[pk]]
        assert not lost, "we believe in mail that the server does not have"
        surprising = {state_of[pk] for pk in there} - {"done", "unknown"}
        assert not surprising, "the server has mail that we believe was not sent"
        done = Action.objects.filter(state="done").values_list("invitation", flat=True)
        assert set(Invitation.objects.exclude(sent_at=None).values_list("pk", flat=True)) == set(done)


@pytest.fixture
def post(transactional_db: None, settings: LazySettings) -> Iterator[Post]:
    settings.CALL_DEADLINE_SECONDS, settings.LEASE_MARGIN_SECONDS = 2.0, 1.0
    settings.EMAIL_BACKEND, settings.EMAIL_HOST, settings.EMAIL_TIMEOUT = mailer.SMTP_BACKEND, "127.0.0.1", 1.0
    settings.DEFAULT_FROM_EMAIL = SENDER
    with smtp.running() as server:
        settings.EMAIL_PORT = server.port
        yield Post(server, _exam())


def _exam() -> Exam:
    team = factories.make_team(reply_to="help@example.org")
    return factories.make_exam(factories.make_account(team), ends_at=now() + timedelta(days=3))


class TestAThousandInvitations:
    def test_reach_a_server_that_fails_at_every_step_and_dies_twice_each_once_or_are_known_not_to(
        self, post: Post, settings: LazySettings
    ) -> None:
        settings.EMAIL_TIMEOUT = 0.3
        kinds = [*5 * (Fault.REFUSE, Fault.DEFER, Fault.HANG_UP, Fault.RUBBISH, Fault.LATE), Fault.HANG]
        post.server.fault_at_random(0.01, kinds, seed=20)
        post.server.die_at(250, 600)
        post.invite(1000)

        for _ in range(500):
            _lead_by_the_hand(post)
            post.drain(threads=3, seconds=0.9)
            if not Action.objects.filter(state="queued").exists():
                break

        states = post.states()
        assert set(states) == {"done", "unknown", "needs_attention"}
        assert sum(states.values()) == 1000
        assert states["done"] > 900
        assert post.server.deaths == 2
        post.assert_agrees()


def _lead_by_the_hand(post: Post) -> None:
    """What time and an administrator do: waits end, the server is started again, an account's pause is ended."""
    post.make_due()
    _end_pause()
    if not post.server.is_up:
        post.server.rise()


def _end_pause() -> None:
    Account.objects.update(paused_at=None, pause_reason="")


class TestABatch:
    def test_is_not_held_up_by_one_bad_address(self, post: Post) -> None:
        post.server.fault(Step.RCPT, Fault.REFUSE, to="ann3@example.org")
        post.invite(6)

        post.drain()

        assert post.states() == {"done": 5, "needs_attention": 1}
        action = Action.objects.get(state="needs_attention")
        assert action.invitation is not None
        assert (action.invitation.to, action.attention) == ("ann3@example.org", "refused")
        assert "unknown here" in action.message
        post.assert_agrees()

    def test_waits_where_the_server_puts_an_address_off(self, post: Post) -> None:
        post.server.fault(Step.RCPT, Fault.DEFER, to="ann3@example.org", times=2)
        post.invite(6)

        for _ in range(3):
            post.drain(seconds=0.5)
            post.make_due()
        post.drain(seconds=0.5)

        assert post.states() == {"done": 6}
        post.assert_agrees()

    def test_says_nothing_of_a_person_where_the_database_is_read(self, post: Post) -> None:
        post.server.fault(Step.RCPT, Fault.REFUSE)
        post.invite(1)

        post.drain()

        with connection.cursor() as cursor:
            cursor.execute("SELECT message FROM proctoring_action UNION ALL SELECT error || url FROM proctoring_call")
            stored = repr(cursor.fetchall())
        assert "unknown here" in stored
        assert "ann0" not in stored

    @pytest.mark.parametrize("stores", [True, False])
    def test_never_sends_again_by_itself_what_may_have_gone(self, post: Post, stores: bool) -> None:
        post.server.fault(Step.END, Fault.HANG_UP, stores=stores, times=1)
        post.invite(1)

        for _ in range(3):
            post.drain(seconds=0.5)
            post.make_due()

        assert post.states() == {"unknown": 1}
        assert "may have gone" in Action.objects.get().message
        assert post.server.steps[Step.GREETING] == 1
        post.assert_agrees()

    def test_sends_again_what_a_person_says_did_not_go(self, post: Post) -> None:
        post.server.fault(Step.END, Fault.HANG_UP, times=1)
        post.invite(1)
        post.drain(seconds=0.5)

        ledger.retry(Action.objects.get(), by=None, reason="The candidate has no mail.", now=now())
        post.make_due()
        post.drain()

        assert post.states() == {"done": 1}
        post.assert_agrees()


class TestAMailServerThatRefusesUs:
    @pytest.fixture
    def locked(self, post: Post, settings: LazySettings) -> Post:
        post.server.asks_for_password = True
        settings.EMAIL_HOST_USER, settings.EMAIL_HOST_PASSWORD = smtp.USER, smtp.PASSWORD
        boss = User.objects.create_user("boss", email="boss@example.org")
        Membership.objects.create(user=boss, team=post.exam.team, role=Role.ADMINISTRATOR)
        return post

    def test_pauses_the_account_and_the_mail_waits(self, locked: Post, settings: LazySettings) -> None:
        settings.EMAIL_HOST_PASSWORD = "an-old-password"
        locked.invite(8)

        locked.drain(threads=3)

        assert locked.account.is_paused
        assert "user name and password" in locked.account.pause_reason
        assert locked.states() == {"queued": 8}
        assert set(Action.objects.values_list("tries", flat=True)) == {0}
        assert JournalEntry.objects.filter(event="account.paused").count() == 1

    def test_alerts_once(self, locked: Post) -> None:
        locked.server.fault(Step.AUTH, Fault.REFUSE, times=1)
        locked.invite(3)

        for _ in range(3):
            locked.drain()

        assert [item.to for item in locked.server.stored] == ["boss@example.org"]
        assert "is paused" in str(locked.server.stored[0].message["Subject"])
        assert locked.states() == {"queued": 3}

    def test_gets_all_that_waited_once_it_takes_us_again(self, locked: Post, settings: LazySettings) -> None:
        settings.EMAIL_HOST_PASSWORD = "an-old-password"
        locked.invite(8)
        locked.drain()
        settings.EMAIL_HOST_PASSWORD = smtp.PASSWORD

        _end_pause()
        locked.drain(threads=2)

        assert locked.states() == {"done": 8}
        locked.assert_agrees()


# Step → (state once the sweep has found the dead worker, how many messages the server has).
KILLED = {
    "before claim": ("queued", 0),
    "before writing the request": ("queued", 0),
    "before signing in": ("queued", 0),
    "after signing in": ("queued", 0),
    "after the envelope": ("queued", 0),
    "after the body": ("unknown", 0),
    "after ending the message": ("unknown", 1),
    "before reading the answer": ("unknown", 1),
    "before the good-bye": ("unknown", 1),
    "after the mail": ("unknown", 1),
    "before settling": ("unknown", 1),
    "after the invitation": ("unknown", 1),
    "after settling": ("done", 1),
}


class TestAWorkerKilled:
    def test_leaves_behind_what_its_call_says_and_another_sends_only_what_never_left(
        self, post: Post, settings: LazySettings
    ) -> None:
        settings.CALL_DEADLINE_SECONDS = 5.0
        posts = {step: post.of_another_team() for step in KILLED}
        for each in posts.values():
            each.invite(1)

        _kill(posts)
        Call.objects.filter(ended_at=None).update(lease_until=now() - timedelta(seconds=1))
        ledger.sweep()
        left = {step: each.state_and_times_there() for step, each in posts.items()}
        for each in posts.values():
            each.drain()

        assert left == KILLED
        final = {step: each.state_and_times_there() for step, each in posts.items()}
        assert final == {step: ("done", 1) if was == ("queued", 0) else was for step, was in KILLED.items()}
        post.assert_agrees()


def _kill(posts: dict[str, Post]) -> None:
    pairs = [word for step, post in posts.items() for word in (step, str(post.account.pk))]
    url = f"smtp://127.0.0.1:{next(iter(posts.values())).server.port}"
    killed = processes.run("-m", "tests.ledger.crash", *pairs, EMAIL_URL=url, DEFAULT_FROM_EMAIL=SENDER)
    assert killed.returncode == 0, killed.stderr


class TestTheTestOfTheMailAccount:
    def test_resumes_an_account_whose_server_lets_us_in_again(
        self, transactional_db: None, settings: LazySettings
    ) -> None:
        with smtp.running() as server:
            settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
            settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", server.port
            account = invitations.account_of(factories.make_team().pk)
            Account.objects.filter(pk=account.pk).update(
                paused_at=datetime.now(UTC), pause_reason="It refused our password."
            )
            accounts.ask_check(account, by=None, now=datetime.now(UTC))

            ledger.drain(account.pk, VERBS, worker="test", should_stop=lambda: False, seconds=2)

        account.refresh_from_db()
        assert not account.is_paused
        assert account.check_message == "The mail server lets us in."
        assert not server.stored
