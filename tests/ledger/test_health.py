"""What outcomes say about an account: paused once, on probation, held back, working again."""

from __future__ import annotations

from django.core import mail

from proctoring import accounts
from proctoring.models import Account, Action, JournalEntry, Membership, Role, User
from tests.world import World, now

BAD = {"token": "bm90OmtpdGNoZW4="}


def _events(event: str) -> int:
    return JournalEntry.objects.filter(event=event).count()


class TestARefusedCredential:
    def test_pauses_the_account_once_and_its_deliveries_wait(self, world: World) -> None:
        world.sandbox.control("scorpion", "regenerate_credentials")
        world.deliver(5)

        world.drain(threads=4)

        account = Account.objects.get()
        assert account.is_paused
        assert "401" in account.pause_reason
        assert world.states() == {"queued": 5}
        assert _events("account.paused") == 1
        assert len(world.at_vendor()) == 0

    def test_alerts_the_administrators_once(self, world: World) -> None:
        boss = User.objects.create_user("boss", email="boss@example.org")
        Membership.objects.create(user=boss, team=world.team, role=Role.ADMINISTRATOR)
        world.sandbox.control("scorpion", "regenerate_credentials")
        world.deliver(5)

        world.drain(threads=4)

        assert [message.to for message in mail.outbox] == [["boss@example.org"]]
        assert "/admin/" in mail.outbox[0].body

    def test_does_not_use_up_the_tries_of_what_waits(self, world: World) -> None:
        world.sandbox.control("scorpion", "regenerate_credentials")
        world.deliver(1)

        world.drain()

        assert Action.objects.get().tries == 0

    def test_is_mended_by_a_new_one_that_lets_a_single_action_through_first(self, world: World) -> None:
        new = world.sandbox.control("scorpion", "regenerate_credentials")["token"]
        world.deliver(6)
        world.drain(threads=4)
        world.sandbox.fault("scorpion", "slow", seconds=0.1, calls=1)
        before = len(world.sandbox.requests("scorpion"))

        accounts.set_credentials(world.account, {"token": new}, by=None, now=now())
        world.drain(threads=4)
        alone = len(world.sandbox.requests("scorpion")) - before
        world.drain(threads=4)

        assert alone >= 1
        assert not Account.objects.get().is_paused
        assert world.states() == {"done": 6}
        assert _events("account.resumed") == 1
        world.assert_agrees()

    def test_pauses_again_when_the_new_one_is_wrong_too_without_a_second_alert(self, world: World) -> None:
        world.sandbox.control("scorpion", "regenerate_credentials")
        world.deliver(6)
        world.drain()
        before = len(world.sandbox.requests("scorpion"))

        accounts.set_credentials(world.account, BAD, by=None, now=now())
        world.drain(threads=4)

        assert len(world.sandbox.requests("scorpion")) - before == 1
        assert Account.objects.get().is_paused
        assert _events("account.paused") == 1
        assert world.states() == {"queued": 6}

    def test_of_an_older_call_says_nothing_about_a_new_credential(self, world: World) -> None:
        from proctoring import ledger
        from proctoring.verbs import VERBS

        new = world.sandbox.control("scorpion", "regenerate_credentials")["token"]
        world.deliver(1)
        (claim,) = world.claim(1)
        accounts.set_credentials(world.account, {"token": new}, by=None, now=now())

        ledger.settle(claim, ledger.perform(claim, VERBS), VERBS)

        assert not Account.objects.get().is_paused
        assert world.states() == {"queued": 1}


class TestAMissingPermission:
    def test_pauses_that_verb_only(self, world: World) -> None:
        world.sandbox.control("scorpion", "set_permission", permission="create", is_granted="no")
        world.deliver(3)

        world.drain(threads=2)

        account = Account.objects.get()
        assert not account.is_paused
        assert list(account.paused_verbs) == ["create_deliveries"]
        assert world.states() == {"queued": 3}
        assert _events("account.verb_paused") == 1

    def test_is_tried_again_once_the_vendor_granted_it(self, world: World) -> None:
        world.sandbox.control("scorpion", "set_permission", permission="create", is_granted="no")
        world.deliver(3)
        world.drain()
        world.sandbox.control("scorpion", "set_permission", permission="create", is_granted="yes")

        accounts.set_permissions(world.account, ["create", "view"], by=None, now=now())
        world.drain()

        assert Account.objects.get().paused_verbs == {}
        assert world.states() == {"done": 3}


class TestAVendorThatDoesNotAnswer:
    def test_is_asked_ever_less_often_by_the_whole_account(self, world: World) -> None:
        world.deliver(10)
        world.sandbox.fault("scorpion", "refused")

        world.drain(seconds=0.5)

        account = Account.objects.get()
        assert account.failures_in_a_row >= 1
        assert account.next_call_at is not None
        assert Action.objects.filter(tries__gt=0).count() < 10

    def test_that_asks_for_time_gets_it(self, world: World) -> None:
        world.deliver(2)
        world.sandbox.fault("scorpion", "429_retry_after", seconds=120, calls=1)

        world.drain(seconds=0.2)

        wait = (Account.objects.get().next_call_at or now()) - now()
        assert 110 < wait.total_seconds() <= 120

    def test_needs_a_person_when_its_tries_are_spent(self, world: World) -> None:
        world.deliver(1)
        world.sandbox.fault("scorpion", "refused")
        Action.objects.update(tries=11)

        world.drain(seconds=0.2)

        action = Action.objects.get()
        assert (action.state, action.attention) == ("needs_attention", "exhausted")


class TestTheTestOfAnAccount:
    def test_says_that_a_good_token_is_accepted(self, world: World) -> None:
        accounts.ask_check(world.account, by=None, now=now())

        world.drain()

        assert "accepted" in Account.objects.get().check_message

    def test_pauses_an_account_whose_token_is_refused(self, world: World) -> None:
        world.sandbox.control("scorpion", "regenerate_credentials")
        accounts.ask_check(world.account, by=None, now=now())

        world.drain()

        assert Account.objects.get().is_paused

    def test_resumes_a_paused_account_whose_token_works_again(self, world: World) -> None:
        Account.objects.update(paused_at=now(), pause_reason="401")
        world.deliver_anyway(1)
        accounts.ask_check(world.account, by=None, now=now())

        world.drain()

        assert not Account.objects.get().is_paused
        assert world.states() == {"done": 1}
