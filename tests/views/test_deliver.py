from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from proctoring import deliveries
from proctoring.models import Account, Action, Batch, Candidate, Delivery, DeliveryState, Exam, JournalEntry
from tests import factories
from tests.views.conftest import Office

HOSTILE = '<img src=x onerror="alert(1)">'
ROSTER = "First name,Last name,E-mail\nAnn,Lee,ann@example.org\nBo,Ek,not-an-address\n"


class TestDeliver:
    def test_lists_the_exams_that_can_be_delivered_before_those_that_cannot(self, office: Office) -> None:
        factories.make_exam(office.account, title="Aardvark", ends_at=datetime.now(UTC) - timedelta(hours=1))

        page = office.as_("coordinator").get(reverse("deliver")).content.decode()

        assert page.index("Widgets") < page.index("Not possible now") < page.index("Aardvark")

    def test_says_why_the_chosen_exam_cannot_be_delivered(self, office: Office) -> None:
        Exam.objects.filter(pk=office.exam.pk).update(ends_at=datetime.now(UTC) - timedelta(hours=1))

        answer = office.as_("coordinator").get(reverse("deliver"), {"exam": str(office.exam.pk)})

        assert "window has closed" in answer.content.decode()

    def test_does_not_know_a_strangers_exam(self, office: Office) -> None:
        client = office.as_stranger()

        assert client.get(reverse("deliver"), {"exam": str(office.exam.pk)}).status_code == 404
        assert client.post(reverse("deliver"), {"exam": str(office.exam.pk)}).status_code == 404
        assert client.post(reverse("deliver_exam"), {"exam": str(office.exam.pk)}).status_code == 404
        assert client.post(reverse("deliver_candidates"), {"exam": str(office.exam.pk)}).status_code == 404

    def test_tells_a_viewer_whom_to_ask(self, office: Office) -> None:
        answer = office.as_("viewer").get(reverse("deliver"))

        assert answer.status_code == 403
        assert "Ask a coordinator of Northern exams: the-" in answer.content.decode()

    def test_refuses_a_viewer_each_fragment(self, office: Office) -> None:
        client, data = office.as_("viewer"), {"exam": str(office.exam.pk)}

        assert client.post(reverse("deliver_exam"), data).status_code == 403
        assert client.post(reverse("deliver_candidates"), data).status_code == 403

    def test_drafts_a_batch_and_asks_for_nothing_yet(self, office: Office) -> None:
        answer = office.post_roster(office.as_("coordinator"), ROSTER)

        batch = Batch.objects.get()
        assert answer.headers["Location"] == reverse("deliver_preview", args=[batch.pk])
        assert batch.confirmed_at is None
        assert not Candidate.objects.exists()
        assert not Action.objects.exists()

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("First name,Last name\nAnn,Lee\n", "Line 1"),
            ("First name,Last name,E-mail\n", "nobody below it"),
            ("", "is empty"),
        ],
    )
    def test_shows_what_is_wrong_with_a_file_and_saves_nothing(self, office: Office, text: str, words: str) -> None:
        answer = office.post_roster(office.as_("coordinator"), text)

        assert answer.status_code == 422
        assert words in answer.content.decode()
        assert not Batch.objects.exists()

    def test_takes_a_pasted_list(self, office: Office) -> None:
        data = {"exam": office.exam.pk, "mode": "first", "source": "pasted", "pasted": "Ann Lee <ann@example.org>"}

        office.as_("coordinator").post(reverse("deliver"), data)

        assert [row.person.email for row in deliveries.plan_of(Batch.objects.get()).ready] == ["ann@example.org"]

    def test_takes_ticked_candidates_of_the_exams_team_only(self, office: Office) -> None:
        ours = factories.make_candidate(office.team)
        theirs = factories.make_candidate(factories.make_team())
        data = {"exam": office.exam.pk, "mode": "first", "source": "known", "candidates": [ours.pk, theirs.pk]}

        office.as_("coordinator").post(reverse("deliver"), data)

        rows = deliveries.plan_of(Batch.objects.get()).rows
        assert [row.person.reference for row in rows] == [ours.pk]

    def test_asks_for_a_reason_before_a_retake(self, office: Office) -> None:
        candidate = factories.make_candidate(office.team)
        data = {"exam": office.exam.pk, "mode": "retake", "source": "known", "candidates": [candidate.pk]}

        answer = office.as_("coordinator").post(reverse("deliver"), data)

        assert "Say why there is a retake." in answer.content.decode()
        assert not Batch.objects.exists()

    def test_shows_what_is_wrong_with_the_vendors_own_options(self, office: Office) -> None:
        candidate = factories.make_candidate(office.team)
        data = {"exam": office.exam.pk, "mode": "first", "source": "known", "candidates": [candidate.pk]}

        answer = office.as_("coordinator").post(reverse("deliver"), {**data, "options-form_id": "seven"})

        assert answer.status_code == 422
        assert "This is not a UUID" in answer.content.decode()

    def test_searches_without_a_script_and_keeps_what_was_entered(self, office: Office) -> None:
        factories.make_candidate(office.team, first_name="Grace")
        data = {"exam": office.exam.pk, "find": "words", "words": "grace", "mode": "retake", "reason": "Power cut"}

        page = office.as_("coordinator").post(reverse("deliver"), data).content.decode()

        assert "Grace" in page
        assert "Power cut" in page
        assert "1 candidate found" in page

    def test_ticks_those_whom_the_admin_chose(self, office: Office) -> None:
        candidate = factories.make_candidate(office.team)
        client = office.as_("coordinator")
        session = client.session
        session["deliver_candidates"] = [str(candidate.pk)]
        session.save()

        page = client.get(reverse("deliver")).content.decode()

        assert f'value="{candidate.pk}" checked' in page
        assert "deliver_candidates" not in client.session

    def test_escapes_hostile_names(self, office: Office) -> None:
        factories.make_candidate(office.team, first_name=HOSTILE)
        Exam.objects.filter(pk=office.exam.pk).update(title=HOSTILE)

        page = office.as_("coordinator").get(reverse("deliver"), {"exam": str(office.exam.pk)}).content.decode()

        assert HOSTILE not in page
        assert "&lt;img src=x" in page


class TestDeliverFragments:
    def test_bring_the_vendors_options_only_where_the_vendor_is_another(self, office: Office) -> None:
        client, data = office.as_("coordinator"), {"exam": str(office.exam.pk)}

        first = client.post(reverse("deliver_exam"), data).content.decode()
        again = client.post(reverse("deliver_exam"), {**data, "vendor": "scorpion"}).content.decode()

        assert "options-form_id" in first
        assert "options-form_id" not in again

    def test_keep_the_ticked_on_top_of_what_is_found(self, office: Office) -> None:
        chosen = factories.make_candidate(office.team, first_name="Chosen")
        factories.make_candidate(office.team, first_name="Found")
        data = {"exam": office.exam.pk, "words": "found", "candidates": [chosen.pk]}

        page = office.as_("coordinator").post(reverse("deliver_candidates"), data).content.decode()

        assert page.index(f'value="{chosen.pk}" checked') < page.index("1 candidate found")

    def test_select_all_that_are_found(self, office: Office) -> None:
        factories.make_candidates(office.team, 130)
        data = {"exam": office.exam.pk, "words": "ada", "find": "all"}

        page = office.as_("coordinator").post(reverse("deliver_candidates"), data).content.decode()

        assert "130 chosen" in page
        assert page.count('name="candidates"') == 130

    def test_find_exams_by_part_of_the_title(self, office: Office) -> None:
        factories.make_exam(office.account, title="Gadgets")

        page = office.as_("coordinator").get(reverse("deliver_exams"), {"exam_words": "gadg"}).content.decode()

        assert "Gadgets" in page
        assert "Widgets" not in page

    def test_offer_a_roster_to_start_from_that_can_be_read(self, office: Office) -> None:
        client = office.as_("coordinator")
        text = b"".join(client.get(reverse("deliver_sample")).streaming_content).decode()  # type: ignore[attr-defined]

        answer = office.post_roster(client, text)

        assert answer.status_code == 302
        assert not deliveries.plan_of(Batch.objects.get()).refused


class TestPreview:
    def test_is_named_after_what_its_button_does(self, office: Office) -> None:
        client, people = office.as_("coordinator"), factories.make_candidates(office.team, 2)

        first = client.get(reverse("deliver_preview", args=[office.draft(people).pk])).content.decode()
        nothing = client.get(reverse("deliver_preview", args=[office.draft(people, is_retake=True).pk]))

        assert "Deliver to 2 candidates: check before you press" in first
        assert "Nothing to deliver" in nothing.content.decode()

    def test_asks_for_the_name_of_whom_nobody_knows(self, office: Office) -> None:
        known = factories.make_candidate(office.team, email="ann@example.org")
        data = {
            "exam": office.exam.pk,
            "source": "pasted",
            "mode": "first",
            "pasted": "ann@example.org\nbo@example.org",
        }

        office.as_("coordinator").post(reverse("deliver"), data)

        plan = deliveries.plan_of(Batch.objects.get())
        assert [row.person.reference for row in plan.ready] == [known.pk]
        assert "Write first and last name" in plan.refused[0].sentences[0]

    def test_shows_who_will_and_who_will_not_with_line_and_reason(self, office: Office) -> None:
        client = office.as_("coordinator")
        url = office.post_roster(client, ROSTER).headers["Location"]

        page = client.get(url).content.decode()

        assert "Deliver to 1 candidate" in page
        assert 'data-label="Line">3<' in page
        assert "E-mail: “not-an-address” is not an e-mail address." in page

    def test_shows_what_changes_in_known_candidates(self, office: Office) -> None:
        factories.make_candidate(office.team, email="ann@example.org", phone="1")
        client = office.as_("coordinator")
        roster = "First name,Last name,E-mail,Phone,Shoe size\nAnn,Lee,ann@example.org,+47 22 00 00 00,38\n"

        page = client.get(office.post_roster(client, roster).headers["Location"]).content.decode()

        assert "Phone becomes" in page
        assert "+47 22 00 00 00" in page
        assert "These columns are not used: Shoe size." in page

    def test_does_not_exist_for_a_stranger(self, office: Office) -> None:
        batch = office.draft(factories.make_candidates(office.team, 1))
        client = office.as_stranger()

        for name in ("deliver_preview", "deliver_plan", "batch", "batch_progress"):
            assert client.get(reverse(name, args=[batch.pk])).status_code == 404
        assert client.post(reverse("deliver_preview", args=[batch.pk])).status_code == 404
        assert not Action.objects.exists()

    def test_is_not_for_a_viewer(self, office: Office) -> None:
        batch = office.draft(factories.make_candidates(office.team, 1))
        url = reverse("deliver_preview", args=[batch.pk])

        assert office.as_("viewer").get(url).status_code == 403
        assert office.as_("viewer").post(url).status_code == 403
        assert not Action.objects.exists()

    def test_delivers_once_however_often_and_by_whomever_it_is_pressed(self, office: Office) -> None:
        batch = office.draft(factories.make_candidates(office.team, 3))
        url, there = reverse("deliver_preview", args=[batch.pk]), reverse("batch", args=[batch.pk])

        answers = [office.as_(role).post(url) for role in ("coordinator", "coordinator", "lead")]

        assert [answer.headers["Location"] for answer in answers] == [there] * 3
        assert Action.objects.count() == Delivery.objects.count() == 3
        assert office.as_("coordinator").get(url).headers["Location"] == there

    def test_makes_no_second_delivery_from_two_drafts_of_the_same_people(self, office: Office) -> None:
        people = factories.make_candidates(office.team, 2)
        first, second = office.draft(people), office.draft(people)
        office.as_("coordinator").post(reverse("deliver_preview", args=[first.pk]))

        answer = office.as_("lead").post(reverse("deliver_preview", args=[second.pk]))

        assert answer.status_code == 409
        assert "None of these candidates can get a delivery now." in answer.content.decode()
        assert Delivery.objects.count() == 2

    def test_makes_no_second_retake_from_two_drafts(self, office: Office) -> None:
        person = factories.make_candidate(office.team)
        factories.make_delivery(office.exam, person, state=DeliveryState.CREATED, person_ref=str(uuid4()))
        first, second = (office.draft([person], is_retake=True) for _ in range(2))
        office.as_("coordinator").post(reverse("deliver_preview", args=[first.pk]))

        answer = office.as_("lead").post(reverse("deliver_preview", args=[second.pk]))

        assert answer.status_code == 409
        assert Delivery.objects.count() == 2

    def test_says_when_the_account_was_paused_meanwhile(self, office: Office) -> None:
        batch = office.draft(factories.make_candidates(office.team, 1))
        Account.objects.update(paused_at=datetime.now(UTC), pause_reason="The token was refused.")
        url = reverse("deliver_preview", args=[batch.pk])

        shown, pressed = office.as_("coordinator").get(url), office.as_("coordinator").post(url)

        assert "The token was refused." in shown.content.decode()
        assert "Nothing to deliver" in shown.content.decode()
        assert pressed.status_code == 409
        assert not Action.objects.exists()

    @pytest.mark.parametrize(("tick", "number"), [({}, 1), ({"arranged": "1"}, 2), ({"arranged_all": "1"}, 3)])
    def test_delivers_with_an_accommodation_only_where_it_is_ticked(
        self, office: Office, tick: dict[str, str], number: int
    ) -> None:
        plain = factories.make_candidate(office.team)
        special = [factories.make_candidate(office.team, extra_time_percent=25) for _ in range(2)]
        batch = office.draft([plain, *special])

        office.as_("coordinator").post(reverse("deliver_preview", args=[batch.pk]), tick)

        assert Delivery.objects.count() == number
        assert JournalEntry.objects.filter(event="delivery.arranged").count() == number - 1

    def test_bears_five_thousand_rows(
        self, office: Office, django_assert_max_num_queries: DjangoAssertNumQueries
    ) -> None:
        lines = [f"Ann,Lee{n},{'bad' if n % 10 == 0 else f'ann{n}@example.org'}" for n in range(5_000)]
        client = office.as_("coordinator")
        url = office.post_roster(client, "First name,Last name,E-mail\n" + "\n".join(lines)).headers["Location"]

        with django_assert_max_num_queries(30):
            page = client.get(url).content.decode()

        assert "Deliver to 4500 candidates" in page
        assert "and 400 more" in page
        assert len(page) < 400_000

    def test_can_be_had_whole_as_a_file_without_formulas(self, office: Office) -> None:
        client = office.as_("coordinator")
        roster = "First name,Last name,E-mail\n=1+1,Lee,ann@example.org\nBo,Ek,bad\n"
        url = office.post_roster(client, roster).headers["Location"]

        answer = client.get(f"{url}preview.csv")
        text = b"".join(answer.streaming_content).decode("utf-8-sig")  # type: ignore[attr-defined]

        rows = list(csv.reader(io.StringIO(text)))
        assert rows[1][:2] == ["2", "'=1+1"]
        assert rows[2][6] == "will not get a delivery"

    def test_escapes_hostile_names(self, office: Office) -> None:
        batch = office.draft([factories.make_candidate(office.team, first_name=HOSTILE)])

        page = office.as_("coordinator").get(reverse("deliver_preview", args=[batch.pk])).content.decode()

        assert HOSTILE not in page


class TestWhoIsInTheExam:
    """A new attempt takes them out of the one that they are in: said, counted, and off unless ticked."""

    @pytest.fixture
    def people(self, office: Office) -> list[Candidate]:
        people = factories.make_candidates(office.team, 3)
        for number, person in enumerate(people):
            began = datetime.now(UTC) if number < 2 else None
            delivery = factories.make_delivery(
                office.exam, person, state=DeliveryState.CREATED, opened_at=began, person_ref=str(uuid4())
            )
            if number == 1:
                factories.make_session(office.exam, delivery=delivery, state="paused", name=str(person))
        return people

    def test_is_counted_and_listed(self, office: Office, people: list[Candidate]) -> None:
        draft = office.draft(people, is_retake=True)

        page = office.as_("coordinator").get(reverse("deliver_preview", args=[draft.pk])).content.decode()

        assert "End these 2 attempts" in page
        assert page.count('name="interrupted"') == 2
        assert "Retake for 1 candidate" in page

    @pytest.mark.parametrize(
        ("tick", "number"),
        [({}, 1), ({"interrupted": "0"}, 2), ({"interrupted_all": "2"}, 3), ({"interrupted_all": "1"}, 1)],
    )
    def test_is_left_out_unless_ticked(
        self, office: Office, people: list[Candidate], tick: dict[str, str], number: int
    ) -> None:
        draft = office.draft(people, is_retake=True)

        office.as_("coordinator").post(reverse("deliver_preview", args=[draft.pk]), tick)

        assert Delivery.objects.filter(attempt=2).count() == number
        assert len(Batch.objects.get(pk=draft.pk).plan["skipped"]) == 3 - number

    def test_is_let_back_in_without_a_tick(self, office: Office, people: list[Candidate]) -> None:
        office.account.permissions = ["create"]
        office.account.save()
        first = Delivery.objects.get(candidate=people[0])

        deliveries.let_back_in(first, by=office.members["coordinator"], reason="Thrown out", now=datetime.now(UTC))

        assert Delivery.objects.filter(attempt=2, candidate=people[0]).exists()
