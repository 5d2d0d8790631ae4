"""`session`, `sync` and what waits beside a worker: each session once, by either id, and an outcome whoever brings it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.conf import LazySettings

from proctoring.models import Account, Action, Reading, Session
from proctoring.sandbox.server import Sandbox
from proctoring.vendors.base import Verb
from tests import factories, processes
from tests.commands.console import Said, say, well
from tests.conftest import with_patience
from tests.hall import Hall
from tests.world import now

WHY = ("--category", "technical", "--reason", "Power cut", "--by", "lead")


@pytest.fixture
def hall(transactional_db: None, settings: LazySettings) -> Iterator[Hall]:
    with Sandbox.running({"campfire": 0}) as sandbox:
        yield Hall.at(with_patience(sandbox, settings))


@pytest.fixture
def amos(hall: Hall) -> Session:
    well("sync")
    Session.objects.update(allows_retakes=True)
    return hall.named("Amos Burton")


def ask(verb: str, *arguments: object) -> Said:
    return say("session", verb, *arguments, *WHY)


class TestTheSameSession:
    @pytest.mark.parametrize("verb", ["reset", "reopen", "retake"])
    def test_given_twice_and_by_both_its_ids_is_taken_once_and_said(self, amos: Session, verb: str) -> None:
        said = ask(verb, amos.ref, amos.ref, amos.pk, str(amos.pk).upper(), "--format", "json")

        assert said.error is None
        assert [(row["id"], row["state"]) for row in said.json] == [(str(amos.pk), "queued")]
        assert said.notes.splitlines() == [
            f"“{amos.ref}” is given twice; it is taken once.",
            f"“{amos.pk}” is the same session as “{amos.ref}”; it is taken once.",
            f"“{str(amos.pk).upper()}” is the same session as “{amos.ref}”; it is taken once.",
        ]
        assert Action.objects.count() == 1

    def test_under_one_number_at_two_accounts_is_asked_about(self, hall: Hall, amos: Session) -> None:
        other = factories.make_exam(factories.make_account(hall.team, vendor="campfire", name="Second"))
        twin = factories.make_session(other, ref=amos.ref)

        said = ask("reset", amos.ref)

        assert f"There is more than one session “{amos.ref}”. Say which by its id here:" in (said.error or "")
        assert f"{amos.pk} at Campfire" in (said.error or "")
        assert f"{twin.pk} at Second" in (said.error or "")


class TestSession:
    def test_that_is_refused_beside_one_that_is_not_ends_badly_and_is_named(self, hall: Hall, amos: Session) -> None:
        robin = hall.named("Robin Roe")

        said = ask("reopen", amos.ref, robin.ref, "--format", "json")

        assert said.error == "1 of 2 is refused; each message says why."
        assert {row["name"]: row["state"] for row in said.json} == {"Amos Burton": "queued", "Robin Roe": "refused"}

    def test_that_is_refused_alone_is_named(self, hall: Hall, amos: Session) -> None:
        said = ask("reopen", hall.named("Robin Roe").ref, "--format", "json")

        assert said.error == "None of these sessions can be done now. Robin Roe: The session is open already."
        assert said.json == {"error": said.error}

    def test_that_is_not_done_in_time_says_who_goes_on(self, hall: Hall, amos: Session) -> None:
        hall.sandbox.fault("campfire", "refused")

        said = say("session", "reset", amos.ref, *WHY, "--wait", "--timeout", "0.5")

        assert said.error == "1 of 1 is not done. A worker goes on with the one that waits."

    @pytest.mark.parametrize(
        ("user", "words"),
        [
            ("nobody", "There is no user “nobody”."),
            ("", "There is no user “”."),
            ("una", "una may not reset a session of Northern exams. It takes a lead of that team."),
            ("gone", "The user “gone” is not active."),
        ],
    )
    def test_is_not_for_everybody(self, hall: Hall, amos: Session, user: str, words: str) -> None:
        factories.make_user(username="una")
        factories.make_user(username="gone", team=hall.team, is_active=False)

        said = say("session", "reset", amos.ref, "--reason", "Power cut", "--by", user)

        assert said.error == words
        assert not Action.objects.exists()


class TestSync:
    def test_says_how_many_came(self, hall: Hall) -> None:
        said = well("sync", "--format", "json")

        assert said.json == [
            {
                "account": "Campfire",
                "message": said.json[0]["message"],
                "error": "",
                "sessions": Session.objects.count(),
            }
        ]
        assert Session.objects.exists()

    def test_of_a_paused_account_says_so_at_once(self, hall: Hall) -> None:
        Account.objects.update(paused_at=now(), pause_reason="401.")

        said = say("sync", "--format", "json")

        assert said.error == "Not everything could be read."
        assert "Campfire is paused: 401." in said.json[0]["error"]

    def test_that_takes_too_long_says_so(self, hall: Hall, amos: Session) -> None:
        Account.objects.update(calls_at_once=1)
        hall.ask(Verb.RESET, amos)
        assert hall.claim(1), "somebody has the account's only place"

        said = say("sync", "--timeout", "0.3")

        assert "It was not read within 0.3 seconds. A worker goes on." in said.out
        assert said.error == "Not everything could be read."

    def test_ends_with_what_the_vendor_answers_in_the_end(self, hall: Hall) -> None:
        Account.objects.update(poll_seconds=0)
        hall.sandbox.fault("campfire", "500_before", calls=1)

        said = well("sync", "--format", "json")

        assert said.json[0]["error"] == ""


class TestBesideAWorker:
    def test_a_list_and_a_test_end_well_though_the_worker_has_the_accounts_only_place(
        self, hall: Hall, amos: Session
    ) -> None:
        Account.objects.update(calls_at_once=1, poll_seconds=0)
        vendor = hall.sandbox.vendors["campfire"]

        with processes.worker():
            for name, command in (("Amos Burton", ["account", "check", "campfire"]), ("Jordan Doe", ["sync"])):
                vendor.set_fault({"kind": "slow", "seconds": 1.0, "calls": 3})
                hall.ask(Verb.RESET, hall.named(name))
                assert processes.eventually(lambda: hall.states()["sending"] == 1, seconds=30)

                said = say(*command)

                assert said.error is None, said
                vendor.clear_faults()
                assert processes.eventually(lambda: hall.states()["sending"] == 0, seconds=30)

        assert Reading.objects.get(session=None, verb=Verb.LIST_SESSIONS.value).read_at is not None
