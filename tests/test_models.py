"""Tables: what they refuse, what is encrypted in them, and what is nowhere readable."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from cryptography.fernet import Fernet
from django.apps import apps
from django.conf import LazySettings
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.db import IntegrityError, connection, models, transaction
from django.db.models import ProtectedError

from proctoring import attention, deliveries
from proctoring.models import (
    OPEN_STATES,
    Account,
    Action,
    ActionState,
    Batch,
    Call,
    Candidate,
    CandidateReference,
    Delivery,
    DeliveryState,
    Exam,
    JournalEntry,
    Membership,
    Session,
    Team,
    User,
)
from proctoring.models.fields import EncryptedJSONField, EncryptedTextField, WrongKey, decrypt, encrypt
from proctoring.models.team import validate_time_zone
from tests import factories
from tests.world import World

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


@pytest.fixture
def team(db: None) -> Team:
    return factories.make_team()


@pytest.fixture
def exam(team: Team) -> Exam:
    return factories.make_exam(factories.make_account(team))


@pytest.fixture
def delivery(exam: Exam) -> Delivery:
    return factories.make_delivery(exam, factories.make_candidate(exam.team))


@contextmanager
def refused(name: str) -> Iterator[None]:
    """The database itself refuses it; SQLite names columns, and not always the constraint."""
    with pytest.raises(IntegrityError) as caught, transaction.atomic():
        yield
    if connection.vendor == "postgresql":
        assert name in str(caught.value)


class TestAction:
    def _draft(self, team: Team, account: Account, **values: Any) -> Action:
        times = {"due_at": NOW, "created_at": NOW, "changed_at": NOW}
        return Action(team=team, account=account, verb="create_deliveries", group=uuid4(), **times, **values)

    @pytest.mark.parametrize("state", OPEN_STATES)
    def test_is_the_only_open_one_of_its_delivery(self, delivery: Delivery, state: str) -> None:
        factories.make_action(delivery, state=state)

        with refused("one_open_action_a_delivery"):
            factories.make_action(delivery, state=ActionState.QUEUED)

    @pytest.mark.parametrize("state", [ActionState.DONE, ActionState.CANCELLED])
    def test_may_follow_one_that_is_over(self, delivery: Delivery, state: str) -> None:
        factories.make_action(delivery, state=state)
        factories.make_action(delivery, state=state)

        assert factories.make_action(delivery)

    def test_is_the_only_open_one_of_its_exam_and_of_its_session(self, exam: Exam) -> None:
        session = factories.make_session(exam)
        self._draft(exam.team, exam.account, exam=exam).save()
        self._draft(exam.team, exam.account, session=session).save()

        with refused("one_open_action_an_exam"):
            self._draft(exam.team, exam.account, exam=exam).save()
        with refused("one_open_action_a_session"):
            self._draft(exam.team, exam.account, session=session).save()

    def test_has_exactly_one_target(self, exam: Exam, delivery: Delivery) -> None:
        with refused("an_action_has_one_target"):
            self._draft(exam.team, exam.account).save()
        with refused("an_action_has_one_target"):
            self._draft(exam.team, exam.account, exam=exam, delivery=delivery).save()

    def test_says_what_its_target_is(self, exam: Exam, delivery: Delivery) -> None:
        action = factories.make_action(delivery)

        assert (action.target_kind, action.target_id) == ("delivery", delivery.pk)
        assert self._draft(exam.team, exam.account, exam=exam).target_kind == "exam"


class TestDelivery:
    @pytest.mark.parametrize("state", [DeliveryState.REQUESTED, DeliveryState.CREATED])
    def test_is_one_an_attempt(self, delivery: Delivery, state: str) -> None:
        Delivery.objects.update(state=state)

        with refused("one_delivery_an_attempt"):
            factories.make_delivery(delivery.exam, delivery.candidate)

    def test_may_follow_cancelled_ones(self, delivery: Delivery) -> None:
        Delivery.objects.update(state=DeliveryState.CANCELLED)

        assert factories.make_delivery(delivery.exam, delivery.candidate)
        assert factories.make_delivery(delivery.exam, delivery.candidate, attempt=2)


class TestCandidate:
    def test_has_an_e_mail_address_of_their_own_in_any_case(self, team: Team) -> None:
        factories.make_candidate(team, email="ann@example.org")
        factories.make_candidate(factories.make_team(), email="ann@example.org")

        with refused("one_candidate_an_email_in_a_team"):
            factories.make_candidate(team, email="ANN@Example.org")

    def test_has_an_external_id_of_their_own_or_none(self, team: Team) -> None:
        factories.make_candidate(team, external_id="C-1")
        factories.make_candidate(team, external_id="")
        factories.make_candidate(team, external_id="")

        with refused("one_candidate_an_external_id_in_a_team"):
            factories.make_candidate(team, external_id="C-1")

    def test_has_one_reference_at_an_account(self, exam: Exam, delivery: Delivery) -> None:
        CandidateReference.objects.create(candidate=delivery.candidate, account=exam.account, ref="a")

        with refused("one_reference_at_an_account"):
            CandidateReference.objects.create(candidate=delivery.candidate, account=exam.account, ref="b")

    @pytest.mark.parametrize(
        ("words", "is_found"),
        [("ann", True), ("LEE ann", True), ("555 ann@", True), ("C-1", True), ("ann bo", False), ("", True)],
    )
    def test_is_found_by_every_word(self, team: Team, words: str, is_found: bool) -> None:
        factories.make_candidate(
            team, first_name="Ann", last_name="Lee", email="ann@example.org", phone="+1 555", external_id="C-1"
        )

        assert Candidate.objects.all().matching(words).exists() is is_found

    def test_with_deliveries_cannot_be_deleted(self, delivery: Delivery) -> None:
        with pytest.raises(ProtectedError):
            delivery.candidate.delete()


class TestExam:
    def test_cannot_close_before_it_opens_whoever_writes_it(self, exam: Exam) -> None:
        with refused("exam_window_ends_after_it_starts"):
            Exam.objects.filter(pk=exam.pk).update(starts_at=NOW, ends_at=NOW)

    @pytest.mark.parametrize(("seconds", "expected"), [(-1, False), (0, True), (1, True)])
    def test_has_closed_at_its_end(self, seconds: int, expected: bool) -> None:
        assert Exam(ends_at=NOW).has_closed(NOW + timedelta(seconds=seconds)) is expected
        assert not Exam().has_closed(NOW)


class TestNames:
    def test_of_teams_accounts_roles_and_sessions_are_there_once(self, exam: Exam) -> None:
        team, user = exam.team, factories.make_user(team=exam.team)
        factories.make_session(exam, ref="s")

        with refused("proctoring_team_name"):
            Team.objects.create(name=team.name)
        with refused("one_account_of_a_name_in_a_team"):
            factories.make_account(team, name=exam.account.name)
        with refused("one_role_in_a_team"):
            Membership.objects.create(team=team, user=user, role="lead")
        with refused("one_session_a_reference"):
            factories.make_session(exam, ref="s")


class TestVisibleTo:
    SCOPED = [Account, Action, Batch, Call, Candidate, Delivery, Exam, JournalEntry, Session]

    @pytest.fixture
    def everything(self, exam: Exam, delivery: Delivery) -> Team:
        factories.make_call(exam.account, actions=[factories.make_action(delivery)])
        factories.make_batch(exam)
        factories.make_session(exam)
        factories.make_entry(delivery)
        return exam.team

    @pytest.mark.parametrize("model", SCOPED)
    def test_shows_a_teams_rows_to_its_members_only(self, everything: Team, model: type[Any]) -> None:
        member, stranger = factories.make_user(team=everything), factories.make_user(team=factories.make_team())
        everyone: User = factories.make_user(is_superuser=True)

        assert model.objects.visible_to(member).count() == 1
        assert model.objects.visible_to(everyone).count() == 1
        assert model.objects.visible_to(stranger).count() == 0
        assert model.objects.visible_to(factories.make_user()).count() == 0

    def test_gives_no_role_to_somebody_who_left(self, team: Team) -> None:
        user = factories.make_user(team=team, is_active=False)

        assert user.role_in(team.pk) is None


class TestValidateTimeZone:
    @pytest.mark.parametrize("name", ["", "Oslo", "europe/oslo", "../etc/passwd", "UTC+1"])
    def test_refuses_what_is_none(self, name: str) -> None:
        with pytest.raises(ValidationError):
            validate_time_zone(name)


# --- encryption -------------------------------------------------------------------------------------------------------


def keys(count: int) -> list[str]:
    return [Fernet.generate_key().decode() for _ in range(count)]


class TestEncryptedFields:
    @pytest.mark.parametrize(
        "value", [{}, {"token": "x"}, {"a": [1, 2.5, None, True], "b": {"c": "مريم e\u0301 \U0001f511"}}, [], "text"]
    )
    def test_give_back_what_was_put_in(self, team: Team, value: Any) -> None:
        account = factories.make_account(team, credentials=value)

        account.refresh_from_db()

        assert account.credentials == value

    def test_keep_an_empty_text_and_nothing_as_they_are(self, delivery: Delivery) -> None:
        action = factories.make_action(delivery)

        assert Delivery.objects.filter(take_url="").exists()
        assert Action.objects.filter(pk=action.pk, choices=None).exists()

    def test_look_different_each_time(self) -> None:
        assert encrypt("same") != encrypt("same")

    def test_fail_loudly_on_a_wrong_key(self, team: Team, settings: LazySettings) -> None:
        account = factories.make_account(team, credentials={"token": "x"})
        settings.FIELD_ENCRYPTION_KEYS = keys(1)

        with pytest.raises(WrongKey, match="credentials was encrypted with a key"):
            Account.objects.get(pk=account.pk)
        with pytest.raises(ImproperlyConfigured):
            list(Account.objects.all())

    def test_fail_loudly_on_a_wrong_key_in_a_text(self, delivery: Delivery, settings: LazySettings) -> None:
        Delivery.objects.update(take_url=factories.TAKE_URL)
        settings.FIELD_ENCRYPTION_KEYS = keys(1)

        with pytest.raises(WrongKey):
            Delivery.objects.values_list("take_url").get()

    @pytest.mark.parametrize("stored", ["plain text", "gAAAAA", '{"token": "x"}', "нет"])
    def test_never_hand_on_what_was_not_encrypted(self, stored: str) -> None:
        with pytest.raises((WrongKey, ValueError)):
            decrypt(stored)

    def test_fail_loudly_on_a_token_that_was_tampered_with(self) -> None:
        token = encrypt("secret")

        with pytest.raises(WrongKey):
            decrypt(token[:-6] + ("AAAA==" if not token.endswith("AAAA==") else "BBBB=="))

    def test_do_not_repeat_the_value_in_the_error(self, settings: LazySettings) -> None:
        token = encrypt("secret")
        settings.FIELD_ENCRYPTION_KEYS = keys(1)

        with pytest.raises(WrongKey) as caught:
            decrypt(token)

        assert token not in str(caught.value)

    def test_are_read_under_an_older_key_and_written_under_the_newest(self, team: Team, settings: LazySettings) -> None:
        old, new = keys(2)
        settings.FIELD_ENCRYPTION_KEYS = [old]
        account = factories.make_account(team, credentials={"token": "x"})
        settings.FIELD_ENCRYPTION_KEYS = [new, old]

        account = Account.objects.get(pk=account.pk)
        account.save()
        settings.FIELD_ENCRYPTION_KEYS = [new]

        assert Account.objects.get(pk=account.pk).credentials == {"token": "x"}

    def test_of_rows_not_written_since_need_the_older_key(self, team: Team, settings: LazySettings) -> None:
        old, new = keys(2)
        settings.FIELD_ENCRYPTION_KEYS = [old]
        factories.make_account(team)
        settings.FIELD_ENCRYPTION_KEYS = [new]

        with pytest.raises(WrongKey):
            Account.objects.get()

    def test_hold_all_that_the_design_calls_secret(self) -> None:
        encrypted = {
            f"{model.__name__}.{field.name}"
            for model in apps.get_app_config("proctoring").get_models()
            for field in model._meta.get_fields()
            if isinstance(field, EncryptedJSONField | EncryptedTextField)
        }

        assert encrypted >= {
            *("Account.credentials", "Exam.settings", "Delivery.take_url", "Delivery.proctor_url", "Delivery.options"),
            *(
                "Action.payload",
                "Action.choices",
                "Action.kept",
                "Batch.plan",
                "Call.request_body",
                "Call.response_body",
            ),
        }

    def test_are_dumped_as_what_they_hold(self, team: Team) -> None:
        account = factories.make_account(team, credentials={"a": "b"})
        field = Account._meta.get_field("credentials")

        assert isinstance(field, models.Field)
        assert json.loads(field.value_to_string(account)) == {"a": "b"}


# --- nothing secret is readable ---------------------------------------------------------------------------------------

NAMES = ("Zenobia", "Quackenbush")
EMAIL = "zenobia.quackenbush@example.org"
PHONE = "+47 555 98765"


def stored_rows(table: str) -> str:
    """Every value of a table, as the database has it."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
        return "\n".join(repr(row) for row in cursor.fetchall())


def whole_database() -> str:
    return "\n".join(stored_rows(table) for table in connection.introspection.table_names())


class TestWhatIsReadable:
    @pytest.fixture
    def delivered(self, world: World) -> World:
        """Deliveries that went every way: done, unknown and resolved, refused, retaken, shown, and a test of the account."""
        details = {"first_name": NAMES[0], "last_name": NAMES[1], "email": EMAIL, "phone": PHONE}
        person = factories.make_candidate(world.team, **details)
        world.deliver([person])
        world.drain()
        world.deliver([person], is_retake=True)
        world.sandbox.fault("scorpion", "timeout_after", calls=1)
        world.drain(seconds=0.1)
        action = Action.objects.select_related("account").get(state="unknown")
        there = world.at_vendor()[next(iter(set(world.at_vendor()) - {Delivery.objects.exclude(ref="").get().ref}))]
        found = {"ref": there["id"], "launch_token": there["launch_token"], "proctor_token": there["proctor_token"]}
        attention.take(action, attention.Step.FOUND, by=world.lead, reason="Seen", now=NOW, found=found)
        deliveries.show_proctor_link(Delivery.objects.get(attempt=2), by=world.lead, now=NOW)
        return world

    def _secrets(self, world: World) -> list[str]:
        tokens = [item[name] for item in world.at_vendor().values() for name in ("launch_token", "proctor_token")]
        return [*tokens, *world.account.credentials.values()]

    def test_in_the_database_is_no_token_and_no_credential(self, delivered: World) -> None:
        secrets = self._secrets(delivered)
        stored = whole_database()

        assert len(secrets) == 5
        assert "proctoring_reference" not in stored, "bodies are encrypted"
        assert [secret for secret in secrets if secret in stored] == []

    def test_in_its_files_is_none_either(self, delivered: World) -> None:
        if connection.vendor != "sqlite":
            return  # the rows are all that can be looked at there
        path = Path(str(connection.settings_dict["NAME"]))
        files = [file for file in path.parent.glob(f"{path.name}*") if file.is_file()]
        content = b"".join(file.read_bytes() for file in files)

        assert EMAIL.encode() in content, "the right file was read"
        assert [secret for secret in self._secrets(delivered) if secret.encode() in content] == []

    def test_in_the_journal_is_nobodys_name_or_address(self, delivered: World) -> None:
        stored = stored_rows("proctoring_journalentry")

        assert JournalEntry.objects.filter(event="action.resolved").exists()
        assert [text for text in (*NAMES, EMAIL, PHONE, "vendor/take") if text in stored] == []

    @pytest.mark.parametrize(
        "table", ["proctoring_call", "proctoring_action", "proctoring_batch", "proctoring_delivery"]
    )
    def test_in_the_ledger_is_nobodys_name_or_address(self, delivered: World, table: str) -> None:
        stored = stored_rows(table)

        assert [text for text in (*NAMES, EMAIL, PHONE) if text in stored] == []

    def test_in_what_an_exchange_keeps_is_no_secret_even_decrypted(self, delivered: World) -> None:
        calls = Call.objects.filter(verb="create_deliveries")
        kept = "\n".join(
            f"{c.url} {c.request_headers} {c.request_body} {c.response_headers} {c.response_body}" for c in calls
        )

        assert calls.count() == 2
        assert EMAIL in kept, "full exchanges are kept for troubleshooting"
        assert [secret for secret in self._secrets(delivered) if secret in kept] == []
