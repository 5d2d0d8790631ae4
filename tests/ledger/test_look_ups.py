"""Unknown outcomes: looked up, decided by a person, never sent again blindly."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection

from proctoring import attention, deliveries, exams, ledger, values
from proctoring.attention import Step
from proctoring.deliveries import LINK_IN_DOUBT
from proctoring.ledger import Claim, Outcome
from proctoring.ledger.performing import LeaseLost
from proctoring.models import Action, Call, Delivery, Exam, Membership, Role, User
from proctoring.vendors.base import Created, Verb
from proctoring.verbs import VERBS
from tests.processes import eventually
from tests.world import World, now


@pytest.fixture
def lost(world: World) -> Action:
    """An action whose vendor acted and never answered."""
    return _unknown(world, "timeout_after")


@pytest.fixture
def never(world: World) -> Action:
    """An action whose vendor neither acted nor answered."""
    return _unknown(world, "timeout_before")


def _unknown(world: World, fault: str) -> Action:
    world.sandbox.fault("scorpion", fault, calls=1)
    world.deliver(1)
    world.drain(seconds=0.1)
    world.make_due()
    action: Action = Action.objects.select_related("account").get()
    assert action.state == "unknown"
    return action


def _look(world: World, action: Action) -> Action:
    attention.take(action, Step.LOOK_UP, by=world.lead, reason="", now=now())
    world.drain()
    found: Action = Action.objects.select_related("account").get(pk=action.pk)
    return found


class TestLookingUp:
    def test_finds_what_was_created_and_its_take_link(self, world: World, lost: Action) -> None:
        action = _look(world, lost)

        delivery = Delivery.objects.get()
        assert action.state == "done"
        assert delivery.state == "created"
        assert "/take?launch_token=" in delivery.take_url
        assert len(world.at_vendor()) == 1
        world.assert_agrees()

    def test_that_finds_nothing_soon_after_sending_decides_nothing(self, world: World, never: Action) -> None:
        action = _look(world, never)

        assert action.state == "unknown"
        assert action.looks_absent == 0
        assert action.look_due_at is not None

    def test_that_finds_nothing_twice_after_five_minutes_sends_again(self, world: World, never: Action) -> None:
        Action.objects.update(sent_at=now() - timedelta(minutes=6))
        once = _look(world, never)
        world.make_due()

        world.drain()

        assert (once.state, once.looks_absent) == ("unknown", 1)
        assert world.states() == {"done": 1}
        assert len(world.at_vendor()) == 1
        world.assert_agrees()

    def test_that_fails_leaves_it_unknown_and_says_so(self, world: World, lost: Action) -> None:
        world.sandbox.fault("scorpion", "500_before", calls=1)

        action = _look(world, lost)

        assert action.state == "unknown"
        assert "could not be looked up" in action.message

    def test_is_not_offered_without_the_permission_to_view(self, world: World, lost: Action) -> None:
        lost.account.permissions = ["create"]

        button = next(item for item in attention.buttons(lost, world.lead) if item.step is Step.LOOK_UP)

        assert "view" in button.why_not


def _ask_look(world: World, action: Action) -> Claim:
    """A worker has taken the look-up up, and sent nothing yet."""
    attention.take(action, Step.LOOK_UP, by=world.lead, reason="", now=now())
    return _claim(world)


def _claim(world: World) -> Claim:
    world.make_due()
    (claim,) = world.claim(1)
    return claim


def _perform_and_close(claim: Claim) -> Outcome:
    try:
        return ledger.perform(claim, VERBS)
    finally:
        connection.close()


def _lose(claim: Claim) -> None:
    """As if the worker had been silent for longer than its lease lasts, and the sweep had given its call up."""
    Call.objects.filter(pk=claim.call.pk).update(lease_until=now() - timedelta(seconds=1))
    ledger.sweep()


class TestTwoLookUps:
    """Each makes new links, and the newest alone works."""

    def test_are_decided_by_the_one_that_began_later(self, world: World, lost: Action) -> None:
        first = _ask_look(world, lost)
        early = ledger.perform(first, VERBS)
        _lose(first)
        second = _claim(world)
        late = ledger.perform(second, VERBS)

        ledger.settle(first, early, VERBS)
        still = Action.objects.get().state
        ledger.settle(second, late, VERBS)

        assert still == "unknown"
        assert world.states() == {"done": 1}
        world.assert_agrees()

    def test_cannot_overlap_by_a_worker_that_wakes_after_its_lease(self, world: World, lost: Action) -> None:
        (before,) = world.at_vendor().values()
        first = _ask_look(world, lost)
        world.sandbox.fault("scorpion", "slow", calls=1, seconds=0.5)

        with ThreadPoolExecutor(1) as worker:
            performing = worker.submit(_perform_and_close, first)
            assert eventually(lambda: Call.objects.get(pk=first.call.pk).sent_at is not None)
            Call.objects.filter(pk=first.call.pk).update(lease_until=now() - timedelta(seconds=1))
            outcome = performing.result()

        assert isinstance(outcome.error, LeaseLost)
        assert world.at_vendor()[before["id"]]["launch_token"] == before["launch_token"], "it has made no new link"

    def test_are_not_begun_at_once_however_often_it_is_pressed(self, world: World, lost: Action) -> None:
        first = _ask_look(world, lost)
        attention.take(lost, Step.LOOK_UP, by=world.lead, reason="", now=now())
        world.make_due()

        meanwhile = world.claim(1)
        ledger.settle(first, ledger.perform(first, VERBS), VERBS)

        assert meanwhile == ()
        assert world.states() == {"done": 1}
        world.assert_agrees()

    def test_say_nothing_about_what_was_sent_since(self, world: World, never: Action) -> None:
        """The second “not there” of the first sending would send the second one once more."""
        Action.objects.update(sent_at=now() - timedelta(minutes=6))
        _look(world, never)
        look = _ask_look(world, never)
        absent = ledger.perform(look, VERBS)
        attention.take(Action.objects.get(), Step.SEND_AGAIN, by=world.lead, reason="Not there", now=now())
        world.sandbox.fault("scorpion", "timeout_after", calls=1)
        world.make_due()
        world.drain(seconds=0.1)

        ledger.settle(look, absent, VERBS)
        world.make_due()
        world.drain()

        assert world.states() == {"unknown": 1}
        assert len(world.at_vendor()) == 1

    def test_say_that_a_link_may_be_dead_where_the_first_was_never_answered(self, world: World, lost: Action) -> None:
        world.sandbox.fault("scorpion", "timeout_before", calls=1, match="get_launch_token")
        first = _ask_look(world, lost)
        ledger.perform(first, VERBS)
        _lose(first)

        world.make_due()
        world.drain()

        delivery = Delivery.objects.get()
        assert delivery.state == "created"
        assert LINK_IN_DOUBT in delivery.note

    def test_of_a_delivery_that_was_settled_meanwhile_leave_the_newest_link(self, world: World) -> None:
        world.deliver(1)
        (sending,) = world.claim(1)
        answered = ledger.perform(sending, VERBS)
        _lose(sending)
        action = Action.objects.select_related("account").get()
        look = _ask_look(world, action)
        found = ledger.perform(look, VERBS)

        ledger.settle(sending, answered, VERBS)
        ledger.settle(look, found, VERBS)

        assert world.states() == {"done": 1}
        world.assert_agrees()


class TestWhatBelongsToAnother:
    @pytest.fixture
    def again(self, world: World) -> Action:
        """A retake that never reached the vendor, whose first attempt somebody made there by hand."""
        world.deliver(1)
        world.drain()
        (there,) = world.at_vendor().values()
        world.sandbox.vendors["scorpion"].simulator.store.put("deliveries", there["id"], {**there, "meta": {}})
        world.sandbox.fault("scorpion", "timeout_before", calls=1)
        world.deliver([Delivery.objects.get().candidate], is_retake=True)
        world.drain(seconds=0.1)
        action: Action = Action.objects.select_related("account").get(state="unknown")
        return action

    def test_is_neither_found_nor_offered(self, world: World, again: Action) -> None:
        action = _look(world, again)

        assert (action.state, action.choices) == ("unknown", None)
        assert "Not found" in action.message

    def test_is_not_taken_from_a_person_either(self, world: World, again: Action) -> None:
        first = Delivery.objects.get(attempt=1)

        for found in ({"ref": first.ref}, {"ref": first.ref.upper()}):
            with pytest.raises(ledger.Conflict, match=f"belongs to {first.code} already"):
                attention.take(again, Step.FOUND, by=world.lead, reason="Seen there", now=now(), found=found)

        assert Delivery.objects.get(attempt=2).state == "requested"

    def test_is_not_taken_from_choices_that_were_offered_before(self, world: World, again: Action) -> None:
        choice = Created(reference=again.pk, ref=Delivery.objects.get(attempt=1).ref)
        Action.objects.filter(pk=again.pk).update(choices=[values.pack(choice)])
        again.refresh_from_db()

        with pytest.raises(ledger.Conflict, match="already"):
            attention.take(again, Step.PICK, by=world.lead, reason="Same name", now=now(), choice=0)

    def test_is_not_found_where_it_was_taken_while_the_look_up_was_under_way(self, world: World, lost: Action) -> None:
        look = _ask_look(world, lost)
        found = ledger.perform(look, VERBS)
        (ref,) = world.at_vendor()
        world.deliver(1)
        Delivery.objects.filter(state="requested").exclude(actions=lost).update(ref=ref, state="created")

        ledger.settle(look, found, VERBS)

        lost.refresh_from_db()
        assert lost.state == "unknown"
        assert "already" in lost.message

    def test_goes_for_exams_too(self, world: World) -> None:
        exam = Exam.objects.create(team=world.team, account=world.account, title="Gadgets", created_at=now())
        (action,) = ledger.request(
            [ledger.Draft(target=exam, payload={})],
            account=world.account,
            verb=Verb.CREATE_EXAM,
            by=world.lead,
            now=now(),
        )

        assert "belongs to “Widgets” already" in exams.why_not_its(action, world.exam.ref)
        assert exams.why_not_its(action, "another") == ""


class TestANewLink:
    @pytest.fixture
    def delivery(self, world: World) -> Delivery:
        world.deliver(1)
        world.drain()
        delivery: Delivery = Delivery.objects.select_related("exam__account", "candidate", "team").get()
        return delivery

    def test_that_was_answered_at_once_is_not_in_doubt(self, world: World, delivery: Delivery) -> None:
        deliveries.let_back_in(delivery, by=world.lead, reason="Thrown out", now=now())
        world.drain()

        delivery.refresh_from_db()
        assert delivery.note == ""
        world.assert_agrees()

    @pytest.mark.parametrize("fault", ["timeout_before", "late_effect", "500_before", "503_before"])
    def test_says_that_it_may_be_dead_after_a_request_without_an_answer(
        self, world: World, delivery: Delivery, fault: str
    ) -> None:
        world.sandbox.fault("scorpion", fault, calls=1, match="get_launch_token")
        deliveries.let_back_in(delivery, by=world.lead, reason="Thrown out", now=now())
        world.drain(seconds=0.1)
        world.make_due()

        world.drain()

        delivery.refresh_from_db()
        assert delivery.note == LINK_IN_DOUBT
        assert LINK_IN_DOUBT in Action.objects.get(verb="reissue_link").message

    def test_is_beyond_doubt_once_the_vendor_has_had_time_to_act(self, world: World, delivery: Delivery) -> None:
        world.sandbox.fault("scorpion", "timeout_before", calls=1, match="get_launch_token")
        deliveries.let_back_in(delivery, by=world.lead, reason="Thrown out", now=now())
        world.drain(seconds=0.1)
        Call.objects.filter(verb="reissue_link").update(sent_at=now() - timedelta(minutes=6))
        world.make_due()

        world.drain()

        delivery.refresh_from_db()
        assert delivery.note == ""
        world.assert_agrees()


class TestAPersonsDecision:
    def test_it_was_not_created_sends_it_once_more(self, world: World, never: Action) -> None:
        attention.take(never, Step.SEND_AGAIN, by=world.lead, reason="Not in Scorpion's list", now=now())

        world.drain()

        assert world.states() == {"done": 1}
        assert len(world.at_vendor()) == 1

    def test_it_was_created_takes_the_ids_and_tokens_that_were_found(self, world: World, lost: Action) -> None:
        (there,) = world.at_vendor().values()
        found = {"ref": there["id"], "launch_token": there["launch_token"], "proctor_token": there["proctor_token"]}

        attention.take(lost, Step.FOUND, by=world.lead, reason="Seen in Scorpion", now=now(), found=found)

        assert world.states() == {"done": 1}
        assert Delivery.objects.get().proctor_url.endswith(there["proctor_token"])
        world.assert_agrees()

    def test_cancelled_frees_the_candidate_for_another_delivery(self, world: World, never: Action) -> None:
        attention.take(never, Step.CANCEL, by=world.lead, reason="Not needed", now=now())

        world.deliver([Delivery.objects.get().candidate])
        world.drain()

        assert world.states() == {"cancelled": 1, "done": 1}
        assert list(Delivery.objects.order_by("requested_at").values_list("state", flat=True)) == [
            "cancelled",
            "created",
        ]

    def test_loses_against_one_that_was_faster(self, world: World, never: Action) -> None:
        stale = Action.objects.get(pk=never.pk)
        attention.take(never, Step.CANCEL, by=world.lead, reason="Not needed", now=now())

        with pytest.raises(ledger.Conflict):
            attention.take(stale, Step.SEND_AGAIN, by=world.lead, reason="Again", now=now())

    @pytest.mark.parametrize("step", [Step.SEND_AGAIN, Step.FOUND, Step.CANCEL])
    def test_is_a_leads_to_take(self, world: World, never: Action, step: Step) -> None:
        coordinator = User.objects.create_user("coordinator")
        Membership.objects.create(user=coordinator, team=world.team, role=Role.COORDINATOR)

        with pytest.raises(attention.NotAllowed, match="lead"):
            attention.take(never, step, by=coordinator, reason="", now=now(), found={"ref": "x"})

    def test_of_a_stranger_is_refused(self, world: World, never: Action) -> None:
        with pytest.raises(attention.NotAllowed):
            attention.take(never, Step.LOOK_UP, by=User.objects.create_user("stranger"), reason="", now=now())
