"""Invitations: who gets one, what it says and never says, and how it is written for mail and calendars."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from email import message_from_string, policy
from email.message import EmailMessage
from typing import Any, cast
from uuid import uuid4

import icalendar
import pytest
from django.conf import LazySettings
from django.core import mail
from django.core.mail import EmailMultiAlternatives
from django.db import connection

from proctoring import invitations, ledger, links, mailer
from proctoring.models import Action, Batch, Delivery, DeliveryState, Exam, Invitation, JournalEntry, Team
from proctoring.vendors.errors import Scope
from proctoring.verbs import VERBS
from tests import factories

NOW = datetime(2026, 9, 1, 12, 0, tzinfo=UTC)
STARTS = datetime(2026, 9, 10, 8, 0, tzinfo=UTC)
ENDS = datetime(2026, 9, 10, 16, 0, tzinfo=UTC)
PIN, PASSWORD, KEY_CODE = "8641-PIN", "candidates-password", "KEYCODE-77"
BIDI = "\u202e\u2066\u200f"


@pytest.fixture
def team(db: None) -> Team:
    return factories.make_team(name="Northern exams", reply_to="help@example.org", phone="+47 555 01 23")


@pytest.fixture
def exam(team: Team) -> Exam:
    """An exam of a vendor that has PINs, passwords and links that are secrets."""
    account = factories.make_account(team, vendor="cirrus")
    return factories.make_exam(
        account,
        title="Widget Theory",
        starts_at=STARTS,
        ends_at=ENDS,
        time_zone="Europe/Oslo",
        duration_minutes=90,
        instructions="Have your identity card ready.",
        settings={"pin": PIN, "use_key_code": True, "group_ext_id": "WIDGETS", "group_name": "Widget candidates"},
    )


def a_delivery(exam: Exam, *, delivery: dict[str, Any] | None = None, **candidate: Any) -> Delivery:
    person = factories.make_candidate(exam.team, **candidate)
    options = {"user_name": "ann7", "password": PASSWORD, "key_code": KEY_CODE}
    return factories.make_delivery(exam, person, state=DeliveryState.CREATED, options=options, **(delivery or {}))


def ask(*deliveries: Delivery, **options: Any) -> Batch:
    return invitations.request(deliveries, by=None, now=NOW, **options)


def send(team: Team) -> None:
    """Works off the team's mail account, into Django's own outbox."""
    account = invitations.account_of(team.pk)
    ledger.drain(account.pk, VERBS, worker="test", should_stop=lambda: False, seconds=10)


def message_of(delivery: Delivery) -> EmailMessage:
    """The message as it is queued, read back."""
    action = Action.objects.get(invitation__delivery=delivery)
    return parsed(action.payload["message"]["body"])


def parsed(body: str) -> EmailMessage:
    return message_from_string(body, policy=policy.default)


def part(message: EmailMessage, kind: str) -> str:
    return next(str(item.get_content()) for item in message.walk() if item.get_content_type() == kind)


def event_of(text: str) -> icalendar.Event:
    (event,) = cast(Sequence[icalendar.Event], icalendar.Calendar.from_ical(text).walk("VEVENT"))
    return event


class TestRefusal:
    @pytest.mark.parametrize(
        ("values", "sentence"),
        [
            ({"state": DeliveryState.CANCELLED}, "The delivery is cancelled."),
            ({"state": DeliveryState.REQUESTED}, "The vendor has not created the delivery yet."),
            ({"take_url": ""}, "The vendor gave no take link, so there is nothing to invite to."),
            ({"is_revoked": True}, "The candidate's link is revoked. Make a new one first."),
        ],
    )
    def test_is_a_sentence_about_the_delivery(self, exam: Exam, values: dict[str, Any], sentence: str) -> None:
        delivery = a_delivery(exam)
        for name, value in values.items():
            setattr(delivery, name, value)

        assert invitations.refusal(delivery, NOW) == sentence

    def test_comes_when_the_window_has_closed(self, exam: Exam) -> None:
        assert invitations.refusal(a_delivery(exam), ENDS) == "The exam's window has closed."

    def test_is_empty_for_who_can_be_invited(self, exam: Exam) -> None:
        assert invitations.refusal(a_delivery(exam), NOW) == ""

    @pytest.mark.parametrize(
        "email",
        [
            "",
            "ann",
            "jörg@example.org",
            "ann@example.org,bob@example.org",
            "ann@example.org\r\nBcc: bob@example.org",
            "Ann <ann@example.org>",
            f"ann{BIDI}@example.org",
            "ann@exa\u202emple.org",
            "ann@-\u2028.example",
            "ann lee@example.org",
        ],
    )
    def test_names_an_address_that_mail_servers_do_not_take(self, exam: Exam, email: str) -> None:
        delivery = a_delivery(exam, email=email)

        assert "e-mail address" in invitations.refusal(delivery, NOW)


class TestAddressOf:
    @pytest.mark.parametrize(
        ("written", "plain"),
        [
            ("ann.o'neil+exam@example.org", "ann.o'neil+exam@example.org"),
            ("ann@münchen.example", "ann@xn--mnchen-3ya.example"),
            ("ann@straße.example", "ann@xn--strae-oqa.example"),
            ("ann@例え.example", "ann@xn--r8jz45g.example"),
        ],
    )
    def test_writes_the_domain_in_letters_that_every_server_takes(self, written: str, plain: str) -> None:
        assert invitations.address_of(written) == plain


class TestRequest:
    def test_queues_one_message_with_all_that_was_written(self, exam: Exam) -> None:
        delivery = a_delivery(exam, email="ann@example.org")

        batch = ask(delivery)

        invitation = Invitation.objects.get()
        assert (invitation.delivery, invitation.to) == (delivery, "ann@example.org")
        assert invitation.subject == "Your exam: Widget Theory"
        assert invitation.sent_at is None
        assert batch.kind == "invite"
        assert Action.objects.get(batch=batch).state == "queued"
        assert JournalEntry.objects.filter(event="invitation.requested", target=str(delivery.pk)).count() == 1

    def test_notes_when_the_mail_was_taken(self, exam: Exam) -> None:
        ask(a_delivery(exam, email="ann@example.org"))

        send(exam.team)

        assert [message.to for message in mail.outbox] == [["ann@example.org"]]
        assert Invitation.objects.exclude(sent_at=None).count() == 1
        assert Action.objects.get().state == "done"

    def test_invites_all_who_have_no_invitation(self, exam: Exam) -> None:
        first, second, third = (a_delivery(exam) for _ in range(3))
        ask(first)

        batch = ask(first, second, third)

        asked = Action.objects.filter(batch=batch).values_list("invitation__delivery", flat=True)
        assert set(asked) == {second.pk, third.pk}

    def test_counts_a_cancelled_invitation_as_none(self, exam: Exam) -> None:
        delivery = a_delivery(exam)
        ask(delivery)
        ledger.cancel(Action.objects.get(), by=None, reason="", now=NOW)

        ask(delivery)

        assert Invitation.objects.count() == 2

    def test_sends_again_only_when_it_is_told_to(self, exam: Exam) -> None:
        delivery = a_delivery(exam)
        ask(delivery)
        send(exam.team)

        with pytest.raises(invitations.Refused, match="all have an invitation"):
            ask(delivery)
        ask(delivery, is_again=True)

        assert Invitation.objects.count() == 2

    def test_does_not_send_again_while_the_first_is_under_way(self, exam: Exam) -> None:
        delivery = a_delivery(exam)
        ask(delivery)

        with pytest.raises(invitations.Refused):
            ask(delivery, is_again=True)

    def test_says_in_the_second_message_that_it_replaces_the_first(self, exam: Exam) -> None:
        delivery = a_delivery(exam)
        ask(delivery)
        send(exam.team)

        again = invitations.write(delivery, now=NOW)

        assert "replaces our earlier message" in again.text
        assert "replaces our earlier message" in again.html

    def test_rehearses_to_oneself_without_telling_the_candidate(self, exam: Exam) -> None:
        delivery = a_delivery(exam, email="ann@example.org")

        ask(delivery, rehearse_to="lead@example.org")
        send(exam.team)
        ask(delivery)

        assert [message.to for message in mail.outbox] == [["lead@example.org"]]
        assert list(Invitation.objects.order_by("is_rehearsal").values_list("is_rehearsal", flat=True)) == [False, True]

    def test_changes_nothing_at_a_second_press(self, exam: Exam) -> None:
        deliveries, press = [a_delivery(exam), a_delivery(exam)], uuid4()

        first = ask(*deliveries, batch_id=press, is_again=True)
        second = ask(*deliveries, batch_id=press, is_again=True)

        assert first == second
        assert Invitation.objects.count() == 2

    def test_leaves_out_who_cannot_be_invited_and_goes_on_with_the_rest(self, exam: Exam) -> None:
        good, bad = a_delivery(exam), a_delivery(exam, email="ann@example.org\nBcc: bob@example.org")

        ask(bad, good)

        assert [invitation.delivery for invitation in Invitation.objects.all()] == [good]

    def test_looks_at_the_deliveries_as_they_are_now(self, exam: Exam) -> None:
        delivery = a_delivery(exam)
        Delivery.objects.update(is_revoked=True)

        with pytest.raises(invitations.Refused):
            ask(delivery)

    def test_refuses_where_there_is_nobody(self, exam: Exam) -> None:
        with pytest.raises(invitations.Refused, match="Choose at least one"):
            ask()
        with pytest.raises(invitations.Refused, match="None of these"):
            ask(a_delivery(exam, delivery={"is_revoked": True}))
        assert not Batch.objects.exists()

    def test_refuses_two_teams_at_once(self, exam: Exam) -> None:
        other = factories.make_exam(factories.make_account(factories.make_team()), ends_at=ENDS)

        with pytest.raises(invitations.Refused, match="one team"):
            ask(a_delivery(exam), a_delivery(other))

    def test_refuses_addresses_of_ours_that_are_none(self, exam: Exam) -> None:
        delivery = a_delivery(exam)

        with pytest.raises(invitations.Refused, match="rehearsal"):
            ask(delivery, rehearse_to="lead@example.org, all@example.org")
        Team.objects.update(reply_to="help@example.org\r\nBcc: all@example.org")
        with pytest.raises(invitations.Refused, match="reply-to"):
            ask(delivery)
        assert not Invitation.objects.exists()

    def test_says_why_a_paused_account_sends_nothing(self, exam: Exam) -> None:
        account = invitations.account_of(exam.team_id)
        account.paused_at, account.pause_reason = NOW, "The mail server refused us."
        account.save()

        with pytest.raises(invitations.Refused, match="refused us"):
            ask(a_delivery(exam))

    def test_finds_its_account_beside_another_of_that_name(self, exam: Exam) -> None:
        factories.make_account(exam.team, name="Mail")

        ask(a_delivery(exam))

        assert Action.objects.get().account.vendor == "mail"

    def test_is_read_from_as_many_rows_for_many_as_for_few(
        self, exam: Exam, django_assert_max_num_queries: Callable[[int], Any]
    ) -> None:
        deliveries = [a_delivery(exam) for _ in range(30)]

        with django_assert_max_num_queries(30):
            ask(*deliveries)


class TestTwoPressesAtOnce:
    def test_send_one_message(self, transactional_db: None) -> None:
        exam = factories.make_exam(factories.make_account(factories.make_team()))
        delivery, start, refused = a_delivery(exam), threading.Barrier(4), []

        def press() -> None:
            start.wait(timeout=10)
            try:
                ask(delivery)
            except invitations.Refused as error:
                refused.append(error)
            finally:
                connection.close()

        threads = [threading.Thread(target=press) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert len(refused) == 3
        assert Invitation.objects.count() == 1


class TestWhatItNeverSays:
    @pytest.mark.parametrize("kind", ["text", "html", "calendar", "subject"])
    def test_are_the_secrets_of_the_vendor(self, exam: Exam, kind: str) -> None:
        delivery = a_delivery(exam)

        said = getattr(invitations.write(delivery, now=NOW), kind)

        secrets = [PIN, PASSWORD, KEY_CODE, "ann7", "take-secret", "proctor-secret", "vendor.example.com"]
        secrets += [factories.TOKEN, delivery.ref, exam.ref]
        assert [secret for secret in secrets if secret in said] == []

    def test_is_in_no_part_of_the_message_as_it_goes_out(self, exam: Exam) -> None:
        delivery = a_delivery(exam)
        ask(delivery)
        send(exam.team)

        whole = mail.outbox[0].message().as_string() + "".join(
            str(item.get_content()) for item in message_of(delivery).walk() if not item.is_multipart()
        )

        assert not any(secret in whole for secret in (PIN, PASSWORD, KEY_CODE, "take-secret", "proctor-secret"))
        assert links.url_of(delivery) in whole

    def test_is_readable_in_the_database(self, exam: Exam) -> None:
        delivery = a_delivery(exam, email="ann.unreadable@example.org")
        ask(delivery)
        send(exam.team)

        stored = "\n".join(_raw(table) for table in ("invitation", "action", "call", "batch", "journalentry"))

        assert str(delivery.pk) in stored or delivery.pk.hex in stored
        assert "ann.unreadable" not in stored
        assert links.token_of(delivery) not in stored
        assert delivery.code not in stored


def _raw(table: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM proctoring_{table}")
        return "\n".join(repr(row) for row in cursor.fetchall())


class TestWhatItSays:
    def test_is_all_that_a_candidate_needs(self, exam: Exam) -> None:
        delivery = a_delivery(exam, first_name="Ann", last_name="Lee", extra_time_percent=25)

        draft = invitations.write(delivery, now=NOW)

        for said in (draft.text, draft.html):
            for words in ("Ann Lee", "Widget Theory", delivery.code, links.url_of(delivery), "113 minutes"):
                assert words in said
            assert "Have your identity card ready." in said
            assert "+47 555 01 23" in said
            assert "Thursday, 10 September 2026, 10:00 CEST (Europe/Oslo)" in said

    def test_is_harmless_html_whatever_the_names_are(self, exam: Exam) -> None:
        exam.title, exam.instructions = "<script>a</script>", "<img src=x onerror=alert(1)>"
        exam.save()
        Team.objects.update(name="<b>Team</b>", phone="<i>1</i>")
        delivery = a_delivery(exam, first_name='"><script>b</script>')
        delivery.refresh_from_db()

        html = invitations.write(Delivery.objects.get(), now=NOW).html

        assert not [tag for tag in ("<script", "<img", "<b>", "<i>") if tag in html]

    @pytest.mark.parametrize("name", ["Ann\r\n\r\nhttps://evil.example", "Ann\u2028https://evil.example", f"{BIDI}Ann"])
    def test_keeps_a_name_on_its_line(self, exam: Exam, name: str) -> None:
        delivery = a_delivery(exam, first_name=name, last_name="Lee")

        text = invitations.write(delivery, now=NOW).text

        greeting = text.splitlines()[0]
        assert greeting.startswith("Dear Ann")
        assert greeting.endswith("Lee,")
        assert not set(BIDI) & set(text)


# Zone, moment in UTC → what the candidate reads. Days of change, half and quarter hours, both sides of the date line.
TIMES = [
    ("Europe/Oslo", datetime(2027, 3, 28, 0, 30, tzinfo=UTC), "Sunday, 28 March 2027, 01:30 CET"),
    ("Europe/Oslo", datetime(2027, 3, 28, 1, 30, tzinfo=UTC), "Sunday, 28 March 2027, 03:30 CEST"),
    ("Europe/Oslo", datetime(2026, 10, 25, 0, 30, tzinfo=UTC), "Sunday, 25 October 2026, 02:30 CEST"),
    ("Europe/Oslo", datetime(2026, 10, 25, 1, 30, tzinfo=UTC), "Sunday, 25 October 2026, 02:30 CET"),
    ("Pacific/Apia", datetime(2026, 12, 31, 11, 0, tzinfo=UTC), "Friday, 1 January 2027, 00:00 UTC+13:00"),
    ("Pacific/Pago_Pago", datetime(2027, 1, 1, 10, 0, tzinfo=UTC), "Thursday, 31 December 2026, 23:00 SST"),
    ("Pacific/Kiritimati", datetime(2026, 12, 31, 10, 0, tzinfo=UTC), "Friday, 1 January 2027, 00:00 UTC+14:00"),
    ("Asia/Kathmandu", datetime(2026, 11, 30, 18, 15, tzinfo=UTC), "Tuesday, 1 December 2026, 00:00 UTC+05:45"),
    ("America/St_Johns", datetime(2026, 11, 1, 4, 0, tzinfo=UTC), "Sunday, 1 November 2026, 01:30 NDT"),
    ("America/St_Johns", datetime(2026, 11, 1, 5, 0, tzinfo=UTC), "Sunday, 1 November 2026, 01:30 NST"),
    ("Australia/Lord_Howe", datetime(2026, 10, 3, 15, 29, tzinfo=UTC), "Sunday, 4 October 2026, 01:59 UTC+10:30"),
    ("Australia/Lord_Howe", datetime(2026, 10, 3, 15, 30, tzinfo=UTC), "Sunday, 4 October 2026, 02:30 UTC+11:00"),
]


class TestTheCandidatesTime:
    @pytest.mark.parametrize(("zone", "moment", "reads"), TIMES)
    def test_is_written_in_their_zone(self, exam: Exam, zone: str, moment: datetime, reads: str) -> None:
        exam.starts_at, exam.ends_at = moment, moment + timedelta(days=2)
        delivery = a_delivery(exam, time_zone=zone)

        draft = invitations.write(delivery, now=NOW)

        assert f"{reads} ({zone})" in draft.text
        assert f"{reads} ({zone})" in draft.html
        assert event_of(draft.calendar).decoded("dtstart") == moment

    @pytest.mark.parametrize("zone", ["", "Nowhere/Atall", "Europe", "../../etc/passwd"])
    def test_is_the_exams_where_theirs_is_not_known(self, exam: Exam, zone: str) -> None:
        delivery = a_delivery(exam, time_zone=zone)

        assert "10:00 CEST (Europe/Oslo)" in invitations.write(delivery, now=NOW).text

    def test_is_utc_where_neither_is_known(self, exam: Exam) -> None:
        exam.time_zone = "Nowhere/Atall"

        assert "08:00 UTC (UTC)" in invitations.write(a_delivery(exam), now=NOW).text

    @pytest.mark.parametrize(
        ("starts_at", "ends_at", "words"),
        [
            (None, ENDS, "You can sit it until Thursday"),
            (STARTS, None, "You can sit it from Thursday"),
            (None, None, "You have 90 minutes."),
        ],
    )
    def test_is_left_out_where_there_is_none(
        self, exam: Exam, starts_at: datetime | None, ends_at: datetime | None, words: str
    ) -> None:
        exam.starts_at, exam.ends_at = starts_at, ends_at

        text = invitations.write(a_delivery(exam), now=NOW).text

        assert words in text
        assert "None" not in text


class TestCalendar:
    def test_is_an_entry_in_utc_with_our_link(self, exam: Exam) -> None:
        delivery = a_delivery(exam)

        text = invitations.calendar(delivery, now=NOW)

        event = event_of(text)
        assert "DTSTART:20260910T080000Z\r\n" in text
        assert "DTEND:20260910T160000Z\r\n" in text
        assert str(event["summary"]) == "Widget Theory"
        assert str(event["url"]) == links.url_of(delivery)
        assert delivery.code in str(event["description"])

    def test_updates_the_same_entry_when_the_window_moves(self, exam: Exam) -> None:
        delivery = a_delivery(exam)
        before = event_of(invitations.calendar(delivery, now=NOW))
        exam.starts_at, exam.ends_at = STARTS + timedelta(days=7), ENDS + timedelta(days=7)
        delivery.exam = exam

        after = event_of(invitations.calendar(delivery, now=NOW + timedelta(seconds=1)))

        assert after["uid"] == before["uid"]
        assert after.sequence > before.sequence >= 0
        assert after.decoded("dtstart") - before.decoded("dtstart") == timedelta(days=7)

    def test_keeps_its_sequence_within_what_the_format_allows(self, exam: Exam) -> None:
        late = datetime(2090, 1, 1, tzinfo=UTC)

        assert event_of(invitations.calendar(a_delivery(exam), now=late)).sequence < 2**31

    def test_has_its_own_entry_for_every_delivery(self, exam: Exam) -> None:
        uids = {event_of(invitations.calendar(a_delivery(exam), now=NOW))["uid"] for _ in range(3)}

        assert len(uids) == 3

    def test_has_lines_that_the_format_allows_and_no_line_of_a_titles_own(self, exam: Exam) -> None:
        exam.title = "Ærlig; talt, \\ “prøve”\r\nATTENDEE:mailto:bob@example.org\r\n" + "ø" * 120

        text = invitations.calendar(a_delivery(exam), now=NOW)

        assert all(len(line.encode()) <= 75 for line in text.split("\r\n"))
        assert "\nATTENDEE" not in text
        assert "ATTENDEE:mailto" in str(event_of(text)["summary"])

    def test_is_none_where_the_exam_has_no_window(self, exam: Exam) -> None:
        exam.starts_at = None

        assert invitations.calendar(a_delivery(exam), now=NOW) == ""

    def test_lasts_as_long_as_the_candidate_has_where_the_window_does_not_close(self, exam: Exam) -> None:
        exam.ends_at = None

        event = event_of(invitations.calendar(a_delivery(exam, extra_time_percent=50), now=NOW))

        assert event.decoded("dtend") - event.decoded("dtstart") == timedelta(minutes=135)

    def test_takes_its_name_from_the_site_whatever_its_address_looks_like(
        self, exam: Exam, settings: LazySettings
    ) -> None:
        delivery = a_delivery(exam)
        for settings.SITE_URL, host in (
            ("https://exams.example.org:8443", "exams.example.org"),
            ("http://[::1]:8", "::1"),
        ):
            assert str(event_of(invitations.calendar(delivery, now=NOW))["uid"]) == f"{delivery.pk}@{host}"


class TestTheMessage:
    def test_has_text_html_and_calendar(self, exam: Exam) -> None:
        exam.title = "Prøve i “Ærlighet”"
        exam.save()
        delivery = a_delivery(exam, email="ann@example.org")
        ask(delivery)

        message = message_of(delivery)

        assert str(message["Subject"]) == "Your exam: Prøve i “Ærlighet”"
        assert str(message["To"]) == "ann@example.org"
        assert "“Prøve i “Ærlighet””" in part(message, "text/plain")
        assert "Prøve i “Ærlighet”</strong>" in part(message, "text/html")
        assert str(event_of(part(message, "text/calendar"))["summary"]) == "Prøve i “Ærlighet”"
        assert not any(item.defects for item in message.walk())

    def test_says_whom_to_answer_and_that_a_machine_wrote_it(self, exam: Exam) -> None:
        delivery = a_delivery(exam)
        ask(delivery)

        message = message_of(delivery)

        assert str(message["Reply-To"]) == "help@example.org"
        assert str(message["Auto-Submitted"]) == "auto-generated"
        assert message["Date"].datetime == NOW

    def test_has_no_reply_to_where_the_team_has_none(self, exam: Exam) -> None:
        Team.objects.update(reply_to="")
        delivery = a_delivery(exam)
        ask(delivery)

        assert message_of(delivery)["Reply-To"] is None
        assert "answer this message" not in part(message_of(delivery), "text/plain")

    def test_has_an_id_of_its_own(self, exam: Exam, settings: LazySettings) -> None:
        settings.DEFAULT_FROM_EMAIL = "Prøver <exams@console.example>"
        ask(*(a_delivery(exam) for _ in range(5)))

        bodies = [parsed(action.payload["message"]["body"]) for action in Action.objects.all()]

        ids = {str(message["Message-ID"]) for message in bodies}
        assert len(ids) == 5
        assert all(written.endswith("@console.example>") for written in ids)
        assert {str(message["From"]) for message in bodies} == {"Prøver <exams@console.example>"}
        assert {action.payload["message"]["sender"] for action in Action.objects.all()} == {"exams@console.example"}

    def test_is_plain_ascii_in_lines_that_every_server_takes(self, exam: Exam) -> None:
        exam.title, exam.instructions = "ж" * 250, "word " * 2000 + "\n.\n" + "x" * 3000
        exam.save()
        delivery = a_delivery(exam, first_name="名" * 150)
        ask(delivery)

        body = Action.objects.get().payload["message"]["body"]

        assert body.isascii()
        assert max(len(line) for line in body.split("\r\n")) <= 998
        assert "\n" not in body.replace("\r\n", "")
        assert "\r" not in body.replace("\r\n", "")

    def test_goes_to_a_domain_in_any_script(self, exam: Exam) -> None:
        delivery = a_delivery(exam, email="ann@münchen.example")
        ask(delivery)

        assert str(message_of(delivery)["To"]) == "ann@xn--mnchen-3ya.example"
        assert Action.objects.get().payload["message"]["to"] == "ann@xn--mnchen-3ya.example"
        assert Invitation.objects.get().to == "ann@münchen.example"

    @pytest.mark.parametrize(
        "text",
        [
            "Widgets\r\nBcc: bob@example.org",
            "Widgets\nBcc: bob@example.org\n\nbody",
            "Widgets\rBcc: bob@example.org",
            "Widgets\x0bBcc: bob@example.org",
            "Widgets\x85Bcc: bob@example.org",
            "Widgets\u2028Bcc: bob@example.org",
            "=?utf-8?q?Widgets=0D=0ABcc:_bob=40example.org?=",
            f"{BIDI}Widgets, <bob@example.org>",
            "=?utf-8?b?" + "A" * 130,
        ],
    )
    def test_lets_no_title_or_name_write_a_header(self, exam: Exam, text: str) -> None:
        exam.title = text
        exam.save()
        Team.objects.update(name=text)
        delivery = a_delivery(exam, first_name=text, last_name=text)
        ask(delivery)

        message = message_of(delivery)

        assert message["Bcc"] is None
        assert [str(value) for value in message.get_all("To", [])] == [delivery.candidate.email]
        assert set(message.keys()) == {
            "Subject",
            "From",
            "To",
            "Reply-To",
            "Date",
            "Message-ID",
            "Auto-Submitted",
            "MIME-Version",
            "Content-Type",
        }
        assert not set(str(message["Subject"])) & set("\r\n\x0b\x85\u2028" + BIDI)


class TestAsDjango:
    def test_hands_a_mail_service_the_whole_message(self, exam: Exam, settings: LazySettings) -> None:
        settings.EMAIL_BACKEND = "anymail.backends.test.EmailBackend"
        exam.title = "Prøve"
        exam.save()
        delivery = a_delivery(exam, email="ann@example.org")
        ask(delivery)
        queued = message_of(delivery)

        send(exam.team)

        (sent,) = cast(list[EmailMultiAlternatives], mail.outbox)
        assert (sent.subject, sent.to, sent.reply_to) == ("Your exam: Prøve", ["ann@example.org"], ["help@example.org"])
        assert sent.body == part(queued, "text/plain")
        assert sent.alternatives == [(part(queued, "text/html"), "text/html")]
        assert sent.extra_headers["Message-ID"] == str(queued["Message-ID"])
        assert sent.extra_headers["Auto-Submitted"] == "auto-generated"
        ((name, calendar, kind),) = sent.attachments
        assert (name, kind) == ("exam.ics", "text/calendar")
        assert str(event_of(str(calendar))["summary"]) == "Prøve"

    def test_keeps_what_the_service_says_of_a_refusal_without_the_address(self) -> None:
        class Refusal(Exception):
            status_code = 422

        error = mailer._backend_error(Refusal("Inactive recipient Ann@example.org"), "ann@example.org")

        assert error.message == "The mail service refused it: Inactive recipient this address"

    def test_pauses_the_account_when_the_service_refuses_us(self) -> None:
        class Refusal(Exception):
            status_code = 401

        error = mailer._backend_error(Refusal("bad key"), "ann@example.org")

        assert getattr(error, "scope", None) is Scope.ACCOUNT
