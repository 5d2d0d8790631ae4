"""The candidate's page: each state in its own words, no word to strangers, and only the button goes on."""

from __future__ import annotations

import base64
import re
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from django.core.cache import cache
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from proctoring import deliveries, invitations, links
from proctoring.models import ActionState, Candidate, Delivery, DeliveryState, Exam, JournalEntry, Team
from proctoring.vendors.base import SessionState, Verb
from proctoring.views import candidate, public
from tests import factories
from tests.views.conftest import Office

HOSTILE = '"><script>alert(1)</script>'


@pytest.fixture(autouse=True)
def _nobody_asked_yet() -> None:
    cache.clear()


@pytest.fixture
def delivery(office: Office) -> Delivery:
    """Created, in an open window, of a team that can be asked."""
    Team.objects.filter(pk=office.team.pk).update(phone="+47 22 00 00 00", reply_to="exams@example.org")
    Exam.objects.filter(pk=office.exam.pk).update(
        starts_at=ago(hours=1), ends_at=ahead(hours=5), time_zone="Europe/Oslo"
    )
    person = factories.make_candidate(office.team, first_name="Ann", last_name="Lee")
    made = factories.make_delivery(office.exam, person, state=DeliveryState.CREATED)
    fresh: Delivery = Delivery.objects.select_related("exam__account", "candidate", "team").get(pk=made.pk)
    return fresh


def ago(**length: float) -> datetime:
    return datetime.now(UTC) - timedelta(**length)


def ahead(**length: float) -> datetime:
    return datetime.now(UTC) + timedelta(**length)


def url(delivery: Delivery) -> str:
    return reverse("candidate", args=[links.token_of(delivery)])


def get(delivery: Delivery, **query: str) -> Any:
    return Client().get(url(delivery), query)


def text(answer: Any) -> str:
    return " ".join(answer.content.decode().split())


def press(delivery: Delivery) -> Any:
    return Client(enforce_csrf_checks=True).post(url(delivery), headers={"Origin": "null"})


def window(delivery: Delivery, **times: datetime | None) -> None:
    Exam.objects.filter(pk=delivery.exam_id).update(**times)


def put(delivery: Delivery, **values: Any) -> None:
    Delivery.objects.filter(pk=delivery.pk).update(**values)


def make_finished(delivery: Delivery) -> None:
    factories.make_session(delivery.exam, delivery=delivery, state=SessionState.COMPLETE.value)


STATES: dict[str, tuple[Any, str]] = {
    "ready": (lambda d: None, "You can begin now"),
    "opened": (lambda d: put(d, opened_at=ago(minutes=5), last_opened_at=ago(minutes=5)), "opened this exam before"),
    "too_early": (lambda d: window(d, starts_at=ahead(hours=2)), "You are early"),
    "too_late": (lambda d: window(d, ends_at=ago(minutes=1)), "You are too late"),
    "not_ready": (lambda d: put(d, state=DeliveryState.REQUESTED, take_url=""), "is being prepared"),
    "revoked": (lambda d: put(d, is_revoked=True), "This link is closed"),
    "cancelled": (lambda d: put(d, state=DeliveryState.CANCELLED), "cancelled for you"),
    "finished": (make_finished, "You have handed this exam in"),
    "replaced": (lambda d: put(d, link_version=2), "replaced by a newer one"),
}
CLOSED = [name for name in STATES if name not in ("ready", "opened")]


class TestPage:
    @pytest.mark.parametrize("state", STATES)
    def test_says_in_each_state_where_they_stand_and_whom_to_ask(self, delivery: Delivery, state: str) -> None:
        into, sentence = STATES[state]
        address = url(delivery)
        into(delivery)

        page = text(Client().get(address))

        others = [words for name, (_, words) in STATES.items() if name != state]
        assert sentence in page
        assert not any(words in page for words in others)
        assert delivery.code in page
        assert "+47 22 00 00 00" in page
        assert "exams@example.org" in page

    @pytest.mark.parametrize("method", ["get", "head"])
    @pytest.mark.parametrize("state", STATES)
    def test_changes_nothing_when_it_is_only_fetched(self, delivery: Delivery, state: str, method: str) -> None:
        address = url(delivery)
        STATES[state][0](delivery)
        before = Delivery.objects.filter(pk=delivery.pk).values().get()

        answer = getattr(Client(), method)(address)

        assert answer.status_code == 200
        assert Delivery.objects.filter(pk=delivery.pk).values().get() == before
        assert not JournalEntry.objects.exists()
        assert "take-secret" not in answer.content.decode()
        assert "proctor-secret" not in answer.content.decode()

    @pytest.mark.parametrize("state", ["replaced", "revoked"])
    def test_names_neither_exam_nor_person_where_the_link_may_be_in_other_hands(
        self, delivery: Delivery, state: str
    ) -> None:
        address = url(delivery)
        STATES[state][0](delivery)

        page = text(Client().get(address))

        assert "Ann" not in page
        assert "Widgets" not in page

    def test_tells_what_is_permitted_how_long_and_what_to_prepare(self, delivery: Delivery) -> None:
        Exam.objects.update(instructions="One sheet of notes.\nNo calculator.", duration_minutes=90)
        Candidate.objects.update(extra_time_percent=25)

        page = text(get(delivery))

        assert "One sheet of notes. No calculator." in page
        assert "113 minutes, with your extra time of 25 %" in page
        assert "Before you begin" in page

    def test_tells_which_code_will_be_asked_for_and_never_the_code(self, office: Office) -> None:
        account = factories.make_account(office.team, vendor="cirrus")
        exam = factories.make_exam(account, settings={"pin": "9876", "use_key_code": True})
        person = factories.make_candidate(office.team)
        made = factories.make_delivery(exam, person, state=DeliveryState.CREATED, options={"password": "hunter2"})

        page = text(get(made))

        assert "You will be asked for a PIN. Your exam organizer gives it to you." in page
        assert "Your invigilator hands it out" in page
        assert "9876" not in page
        assert "hunter2" not in page

    def test_leads_to_the_newest_attempt(self, delivery: Delivery) -> None:
        make_finished(delivery)
        made = factories.make_delivery(delivery.exam, delivery.candidate, state=DeliveryState.CREATED, attempt=2)

        page = text(get(delivery))

        assert "You can begin now" in page
        assert made.code in page

    def test_is_ready_again_after_the_vendor_gave_a_new_link(self, delivery: Delivery) -> None:
        put(delivery, opened_at=ago(hours=1), last_opened_at=ago(minutes=30))
        factories.make_action(delivery, verb=Verb.REISSUE_LINK.value, state=ActionState.DONE)

        assert "You can begin now" in text(get(delivery))

    def test_waits_while_a_new_way_in_is_being_made(self, delivery: Delivery) -> None:
        factories.make_action(delivery, verb=Verb.REISSUE_LINK.value, state=ActionState.SENDING)

        assert "is being prepared" in text(get(delivery))
        assert press(delivery).status_code == 409

    @pytest.mark.parametrize("link", ["", "javascript:alert(1)", "ftp://vendor.example.com/"])
    def test_is_not_ready_with_a_link_that_no_browser_may_follow(self, delivery: Delivery, link: str) -> None:
        put(delivery, take_url=link)

        assert "is being prepared" in text(get(delivery))
        assert press(delivery).status_code == 409

    def test_says_whom_to_ask_even_where_the_team_says_nothing(self, delivery: Delivery) -> None:
        Team.objects.update(phone="", reply_to="")

        assert "Ask whoever invited you" in text(get(delivery))

    def test_escapes_what_others_wrote(self, delivery: Delivery) -> None:
        Candidate.objects.update(first_name=HOSTILE, time_zone="")
        Exam.objects.update(title=HOSTILE, instructions=HOSTILE)
        Team.objects.update(phone=HOSTILE)

        page = get(delivery).content.decode()

        assert "<script>alert" not in page
        assert "&lt;script&gt;alert(1)" in page

    def test_loads_nothing_from_elsewhere(self, delivery: Delivery) -> None:
        page = get(delivery).content.decode()

        assert not re.findall(r"(?:src|href|action)=[\"'](?:https?:)?//", page)
        assert "style=" not in page
        assert not re.search(r"<script(?![^>]*src=)", page)

    def test_asks_little_of_the_database(
        self, delivery: Delivery, django_assert_max_num_queries: DjangoAssertNumQueries
    ) -> None:
        address = url(delivery)

        with django_assert_max_num_queries(6):
            Client().get(address)


class TestHeaders:
    @pytest.mark.parametrize("method", ["get", "post", "put"])
    def test_let_nothing_be_kept_indexed_framed_or_leaked(self, delivery: Delivery, method: str) -> None:
        window(delivery, ends_at=ago(minutes=1))

        for address in (url(delivery), "/c/nothing/"):
            headers = getattr(Client(), method)(address).headers
            assert headers["Cache-Control"] == "no-store"
            assert "noindex" in headers["X-Robots-Tag"]
            assert headers["Referrer-Policy"] == "no-referrer"
            assert headers["X-Content-Type-Options"] == "nosniff"
            policy = headers["Content-Security-Policy"]
            assert policy.startswith("default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'")
            assert "frame-ancestors 'none'" in policy
            assert policy.endswith("form-action 'self'")

    @pytest.mark.parametrize(
        ("link", "goes_to"),
        [("https://vendor.example.com/take", "'self' https:"), ("http://127.0.0.1:8101/take", "'self' http: https:")],
    )
    def test_let_the_button_go_where_the_vendor_sends_its_candidates(
        self, delivery: Delivery, link: str, goes_to: str
    ) -> None:
        put(delivery, take_url=link)

        policy = get(delivery).headers["Content-Security-Policy"]

        assert policy.endswith(f"form-action {goes_to}")


class TestPress:
    def test_goes_on_to_the_vendor_and_writes_it_down(self, delivery: Delivery) -> None:
        answer = press(delivery)

        delivery.refresh_from_db()
        assert answer.status_code == 303
        assert answer.headers["Location"] == factories.TAKE_URL
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert delivery.opened_at is not None
        assert delivery.times_opened == 1
        assert JournalEntry.objects.get().event == "delivery.opened"

    def test_counts_each_time_and_keeps_the_first(self, delivery: Delivery) -> None:
        press(delivery)
        first = Delivery.objects.get().opened_at

        answer = press(delivery)

        assert answer.status_code == 303
        assert (Delivery.objects.get().opened_at, Delivery.objects.get().times_opened) == (first, 2)

    def test_follows_a_link_of_any_length(self, delivery: Delivery) -> None:
        put(delivery, take_url=f"https://vendor.example.com/take?t={'x' * 20_000}")

        assert len(press(delivery).headers["Location"]) > 20_000

    @pytest.mark.parametrize("state", CLOSED)
    def test_is_refused_with_the_page_that_says_why(self, delivery: Delivery, state: str) -> None:
        address = url(delivery)
        into, sentence = STATES[state]
        into(delivery)

        answer = Client(enforce_csrf_checks=True).post(address)

        assert answer.status_code == 409
        assert sentence in text(answer)
        assert "Location" not in answer.headers
        assert Delivery.objects.get().opened_at is None
        assert not JournalEntry.objects.exists()


class TestTokens:
    def test_tell_nothing_whatever_is_wrong_with_them(self, delivery: Delivery, settings: Any) -> None:
        good = links.token_of(delivery)
        settings.SECRET_KEY, ours = "somebody-elses-key", settings.SECRET_KEY
        foreign = links.token_of(delivery)
        settings.SECRET_KEY = ours
        raw = base64.urlsafe_b64decode(good + "=" * (-len(good) % 4))
        other_version = base64.urlsafe_b64encode(raw[:18] + b"\x02" + raw[19:]).decode().rstrip("=")
        unknown = links.token_of(Delivery(pk=uuid4(), link_version=1))
        swapped = ("B" if good[0] == "A" else "A") + good[1:]
        bad = [
            foreign,
            other_version,
            unknown,
            swapped,
            good[:-1],
            good + "A",
            good[:20],
            "x",
            "é",
            "%00",
            "a.b",
            good.upper(),
        ]

        answers = [Client().get(f"/c/{token}/") for token in bad] + [Client().get("/c/"), Client().get("/c/a/b/c")]
        posts = [Client().post(f"/c/{foreign}/"), Client().post("/c/x/")]

        first = answers[0]
        assert {answer.status_code for answer in answers} == {404}
        assert {answer.content for answer in [*answers, *posts]} == {first.content}
        assert {tuple(sorted(answer.headers.items())) for answer in answers} == {tuple(sorted(first.headers.items()))}
        assert delivery.code not in first.content.decode()
        assert "console" not in first.content.decode().lower()

    def test_work_without_the_slash_that_a_mail_program_cut_off(self, delivery: Delivery) -> None:
        address = url(delivery).rstrip("/")

        assert "You can begin now" in text(Client().get(address))
        assert Client().post(address).status_code == 303

    def test_of_earlier_attempts_are_replaced_and_revoked_with_the_newest(
        self, delivery: Delivery, office: Office
    ) -> None:
        made = factories.make_delivery(delivery.exam, delivery.candidate, state=DeliveryState.CREATED, attempt=2)
        old, by = url(delivery), office.members["coordinator"]

        deliveries.revoke_candidate_link(made, by=by, reason="Sent to the wrong person", now=datetime.now(UTC))
        revoked = text(Client().get(old))
        deliveries.reissue_candidate_link(made, by=by, now=datetime.now(UTC))

        assert "This link is closed" in revoked
        assert "replaced by a newer one" in text(Client().get(old))
        assert "You can begin now" in text(get(made))


class TestLimits:
    @pytest.fixture(autouse=True)
    def _within_one_minute(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(public, "time", lambda: 1_900_000_030.0)

    def test_answer_an_address_that_tries_many_links_with_a_pause(self, db: None) -> None:
        answers = [Client().get(f"/c/{number}/") for number in range(candidate.MOST_UNKNOWN_A_MINUTE + 1)]

        assert {answer.status_code for answer in answers[:-1]} == {404}
        assert answers[-1].status_code == 429
        assert 1 <= int(answers[-1].headers["Retry-After"]) <= 60
        assert answers[-1].headers["Cache-Control"] == "no-store"

    def test_hold_for_one_link_and_leave_the_hall_alone(self, delivery: Delivery) -> None:
        neighbour = factories.make_delivery(
            delivery.exam, factories.make_candidate(delivery.team), state=DeliveryState.CREATED
        )
        statuses = [get(delivery).status_code for _ in range(candidate.MOST_A_MINUTE + 1)]

        assert statuses[:-1] == [200] * candidate.MOST_A_MINUTE
        assert statuses[-1] == 429
        assert get(neighbour).status_code == 200
        assert Client().get(url(delivery), REMOTE_ADDR="192.0.2.9").status_code == 200

    def test_count_by_the_address_that_our_own_proxy_wrote(self, delivery: Delivery, settings: Any) -> None:
        settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
        invented = [f"198.51.100.{number}, 203.0.113.7" for number in range(candidate.MOST_UNKNOWN_A_MINUTE + 1)]

        answers = [Client().get("/c/x/", headers={"X-Forwarded-For": text}) for text in invented]

        assert answers[-1].status_code == 429
        assert Client().get("/c/x/", headers={"X-Forwarded-For": "203.0.113.8"}).status_code == 404

    def test_count_a_network_of_version_six_once(self, db: None) -> None:
        statuses = [
            Client().get("/c/x/", REMOTE_ADDR=f"2001:db8::{number:x}").status_code
            for number in range(candidate.MOST_UNKNOWN_A_MINUTE + 1)
        ]

        assert statuses[-1] == 429


def at(zone: str, *parts: int) -> datetime:
    return datetime(*parts, tzinfo=ZoneInfo(zone)).astimezone(UTC)  # type: ignore[misc, arg-type]


class TestTimeZones:
    @pytest.mark.parametrize(
        ("zone", "starts", "words", "offset"),
        [
            ("Pacific/Apia", (2031, 1, 15, 9, 0), "Wednesday, 15 January 2031, 09:00 UTC+13:00", "UTC+13:00"),
            ("Asia/Kathmandu", (2031, 1, 15, 9, 0), "Wednesday, 15 January 2031, 09:00 UTC+05:45", "UTC+05:45"),
            ("America/St_Johns", (2031, 1, 15, 9, 0), "Wednesday, 15 January 2031, 09:00 NST", "UTC-03:30"),
            ("America/St_Johns", (2031, 7, 15, 9, 0), "Tuesday, 15 July 2031, 09:00 NDT", "UTC-02:30"),
            ("Europe/Oslo", (2031, 7, 15, 9, 0), "Tuesday, 15 July 2031, 09:00 CEST", "UTC+02:00"),
        ],
    )
    def test_are_the_candidates_own_on_page_mail_and_calendar(
        self, delivery: Delivery, zone: str, starts: tuple[int, ...], words: str, offset: str
    ) -> None:
        opens = at(zone, *starts)
        window(delivery, starts_at=opens, ends_at=opens + timedelta(hours=8))
        Candidate.objects.update(time_zone=zone)
        fresh = Delivery.objects.select_related("exam", "candidate", "team").get(pk=delivery.pk)

        page, draft = text(get(delivery)), invitations.write(fresh, now=datetime.now(UTC))

        assert words in page
        assert f"Times are shown in {zone} ({offset} when it opens)" in page
        assert f"{words} ({zone})" in draft.text
        assert f"{words} ({zone})" in draft.html
        assert f"DTSTART:{opens:%Y%m%dT%H%M%SZ}" in draft.calendar

    def test_change_within_a_window_that_the_clocks_change_in(self, delivery: Delivery) -> None:
        window(delivery, starts_at=at("Europe/Oslo", 2031, 3, 29, 12, 0), ends_at=at("Europe/Oslo", 2031, 3, 30, 12, 0))

        page = text(get(delivery))

        assert "29 March 2031, 12:00 CET" in page
        assert "30 March 2031, 12:00 CEST" in page
        assert "Opens in" in page

    def test_can_be_chosen_and_are_remembered(self, delivery: Delivery) -> None:
        client = Client()

        chosen = client.get(url(delivery), {"zone": "Asia/Kathmandu"})
        again = text(client.get(url(delivery)))

        assert "Times are shown in Asia/Kathmandu" in text(chosen)
        assert "Times are shown in Asia/Kathmandu" in again
        cookie = chosen.cookies[candidate.COOKIE]
        assert (cookie["path"], cookie["httponly"], cookie["samesite"]) == ("/c/", True, "Lax")

    @pytest.mark.parametrize(
        "name", ["../../etc/passwd", "Europe", "Nowhere/Land", HOSTILE, "\0", "Asia/Kathmandu\r\nX: y"]
    )
    def test_that_are_none_are_passed_over(self, delivery: Delivery, name: str) -> None:
        answer = get(delivery, zone=name)

        assert "Times are shown in Europe/Oslo" in text(answer)
        assert candidate.COOKIE not in answer.cookies
        assert "<script>alert" not in answer.content.decode()

    def test_are_offered_with_their_offset_at_the_opening(self, delivery: Delivery) -> None:
        window(delivery, starts_at=at("UTC", 2031, 7, 1, 8, 0), ends_at=at("UTC", 2031, 7, 1, 18, 0))

        page = text(get(delivery))

        assert '<option value="Europe/Oslo" selected>Oslo (UTC+02:00)</option>' in page
        assert '<option value="America/Argentina/Ushuaia">Argentina, Ushuaia (UTC-03:00)</option>' in page
        assert '<option value="Australia/Lord_Howe">Lord Howe (UTC+10:30)</option>' in page


class TestDuration:
    @pytest.mark.parametrize(
        ("length", "words"),
        [
            (timedelta(seconds=20), "less than a minute"),
            (timedelta(minutes=1, seconds=59), "1 minute"),
            (timedelta(hours=2, minutes=1), "2 hours 1 minute"),
            (timedelta(hours=3), "3 hours"),
            (timedelta(days=1, minutes=5), "1 day"),
            (timedelta(days=2, hours=3, minutes=5), "2 days 3 hours"),
        ],
    )
    def test_is_told_in_its_two_largest_units(self, length: timedelta, words: str) -> None:
        assert candidate.duration(length) == words


class TestAsCandidate:
    def test_shows_the_staff_the_same_page_with_a_dead_button(self, delivery: Delivery, office: Office) -> None:
        answer = office.as_("viewer").get(reverse("as_candidate", args=[delivery.pk]))

        page = text(answer)
        assert "This is what the candidate sees" in page
        assert "You can begin now" in page
        assert '<button type="button" class="button" disabled>' in page
        assert 'method="post"' not in page
        assert links.token_of(delivery) not in page
        assert "take-secret" not in page
        assert "no-store" in answer.headers["Cache-Control"]

    def test_records_nothing_and_remembers_nothing(self, delivery: Delivery, office: Office) -> None:
        client, address = office.as_("lead"), reverse("as_candidate", args=[delivery.pk])

        answer = client.get(address, {"zone": "Asia/Tokyo"})
        refused = client.post(address)

        assert "Times are shown in Asia/Tokyo" in text(answer)
        assert candidate.COOKIE not in answer.cookies
        assert refused.status_code == 405
        assert Delivery.objects.get().times_opened == 0
        assert not JournalEntry.objects.exists()

    def test_is_not_there_for_strangers(self, delivery: Delivery, office: Office) -> None:
        address = reverse("as_candidate", args=[delivery.pk])

        assert office.as_stranger().get(address).status_code == 404
        assert Client().get(address).status_code == 302
