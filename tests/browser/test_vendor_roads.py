"""Each vendor's main road as its coordinator goes it, through to what then is at the vendor's. Scorpion's: test_delivering."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

import pytest
from django.conf import LazySettings
from django.urls import reverse
from playwright.sync_api import Locator, Page, expect

from proctoring import accounts, exams
from proctoring.models import Account, Action, Candidate, Delivery, Exam, JournalEntry, User
from proctoring.sandbox.server import Sandbox
from proctoring.vendors import registry
from tests.browser.conftest import AtWork, Visits
from tests.browser.test_delivering import press
from tests.hall import Hall
from tests.world import World, now

pytestmark = pytest.mark.browser

DEADLINE = 30.0
THEIRS = "[name='settings-{}']"  # a field of the vendor's part


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """All the vendors' simulators."""
    with Sandbox.running(dict.fromkeys(registry.VENDORS, 0)) as running:
        yield running


def account_at(world: World, vendor: str, **settings: Any) -> Account:
    """An account of the team's at a simulated vendor, with the credentials that it documents."""
    demo = registry.demo(vendor)
    account = Account(
        team=world.team,
        name=f"Ours at {registry.facts(vendor).title}",
        vendor=vendor,
        base_url=world.sandbox.url(vendor),
        settings={**demo.SETTINGS, **settings},
    )
    accounts.add(account, credentials=demo.CREDENTIALS, by=None, now=now())
    return account


def settle(page: Page, number: int) -> None:
    """Waits until so many of a batch are settled."""
    expect(page.get_by_role("progressbar")).to_have_attribute("aria-valuenow", str(number))


# --- an exam's form and its page --------------------------------------------------------------------------------------


def begin_exam(page: Page, account: Account, **own: str) -> None:
    """On the page that adds an exam: its own fields, then the account, which brings the vendor's."""
    page.goto(reverse("admin:proctoring_exam_add"))
    expect(page.locator("#vendor-form [name^=settings-]")).to_have_count(0)
    fill(page, own, "[name='{}']")
    choose(page, account)


def choose(page: Page, account: Account) -> None:
    page.get_by_label("Account").select_option(str(account.pk))
    expect(page.locator(f"#vendor-form[data-vendor={account.vendor}]")).to_be_visible()


def fill(page: Page, values: Mapping[str, str | bool], pattern: str = THEIRS) -> None:
    for name, value in values.items():
        field = page.locator(pattern.format(name))
        if value is True:
            field.check()
        elif field.evaluate("field => field.tagName") == "SELECT":
            field.select_option(str(value))
        else:
            field.fill(str(value))


def save(page: Page) -> Exam:
    """Saves the form, which leads to the exam's page."""
    page.get_by_role("button", name="Save", exact=True).click()
    page.wait_for_url(re.compile(r"/exams/[0-9a-f-]{36}/$"))
    exam: Exam = Exam.objects.get(pk=page.url.rstrip("/").rpartition("/")[2])
    return exam


def would_send(page: Page) -> Locator:
    return page.get_by_role("region", name="What will be sent")


def send(page: Page, button: str, *, reason: str, nth: int = 1) -> None:
    """Sends the exam for the nth time, and waits until the page says that it is done."""
    would_send(page).get_by_label("Reason").fill(reason)
    would_send(page).get_by_role("button", name=button).click()
    expect(page.get_by_role("region", name="Sent before").get_by_text("Done")).to_have_count(nth)


def check_of(page: Page, field: str) -> Locator:
    """What the vendor's reply says of a field that was sent."""
    said = page.get_by_role("region", name="What the vendor last said")
    return (
        said.get_by_role("row")
        .filter(has=page.get_by_role("rowheader", name=field, exact=True))
        .get_by_role("cell")
        .nth(1)
    )


class TestAnExamsForm:
    """One page for every vendor."""

    def test_keeps_what_was_entered_while_accounts_are_changed_and_is_saved_by_one_press(
        self, world: World, visits: Visits, coordinator: User
    ) -> None:
        cirrus, smarter = account_at(world, "cirrus"), account_at(world, "smarterproctoring")
        page = visits.by(coordinator)
        posted: list[str] = []
        page.on("request", lambda request: posted.append(request.url) if request.method == "POST" else None)

        begin_exam(page, smarter, title="Widgets", duration_minutes="90")
        fill(page, {"password": "Photosynthesis-7", "courseSid": "CU12"})
        choose(page, cirrus)
        fill(page, {"group_ext_id": "WIDGETS", "group_name": "Widget candidates"})
        choose(page, smarter)
        expect(page.locator(THEIRS.format("password"))).to_have_value("Photosynthesis-7")
        expect(page.locator(THEIRS.format("courseSid"))).to_have_value("CU12")
        choose(page, cirrus)
        exam = save(page)

        assert len(posted) == 1
        assert (exam.account, exam.title, exam.duration_minutes) == (cirrus, "Widgets", 90)
        assert exam.settings["group_ext_id"] == "WIDGETS"
        assert "courseSid" not in exam.settings

    def test_saves_nothing_where_the_vendors_part_did_not_arrive(
        self, world: World, visits: Visits, coordinator: User
    ) -> None:
        cirrus = account_at(world, "cirrus")
        page = visits.by(coordinator)
        page.goto(reverse("admin:proctoring_exam_add"))
        fill(page, {"title": "Gadgets"}, "[name='{}']")
        page.route("**/exam/add/?account=*", lambda route: route.fulfill(body="The page to sign in"))

        page.get_by_label("Account").select_option(str(cirrus.pk))
        expect(page.get_by_text("What this vendor asks could not be loaded.")).to_be_visible()
        page.get_by_role("button", name="Save", exact=True).click()

        expect(page.get_by_text("Nothing is saved yet: below is what Cirrus asks.")).to_be_visible()
        expect(page.locator("[name=title]")).to_have_value("Gadgets")
        expect(page.locator(THEIRS.format("group_ext_id"))).to_be_visible()
        assert Exam.objects.get() == world.exam


class TestCampfire:
    """Sessions that the vendor lists: taken in, looked at, reset, and one of them reopened."""

    @pytest.fixture
    def world(self, transactional_db: None, sandbox: Sandbox, settings: LazySettings) -> Hall:
        return Hall.at(sandbox)

    def test_lists_its_sessions_of_which_several_are_reset_and_one_is_reopened(
        self, world: Hall, visits: Visits, at_work: AtWork
    ) -> None:
        Candidate.objects.create(
            team=world.team, first_name="Amos", last_name="Burton", email="amos.burton@example.com"
        )
        page = visits.by(world.lead)

        with at_work(deadline=DEADLINE):
            self._takes_the_sessions_in(page, world)
            self._sees_one_with_its_questions(page, world)
            self._chooses_several_and_sees_what_is_lost(page, visits)
            self._gets_a_result_for_each(page, world)
            self._reopens_the_one_that_is_still_complete(page, world)

    def _takes_the_sessions_in(self, page: Page, world: Hall) -> None:
        page.goto(reverse("sessions"))
        page.get_by_role("button", name="Take in now").click()
        rows = page.get_by_role("table", name="Sessions").locator("tbody tr")
        expect(rows).to_have_count(8)
        expect(rows.filter(has_text="Amos Burton")).not_to_contain_text("not matched")
        expect(rows.filter(has_text="Robin Roe")).to_contain_text("not matched")

    def _sees_one_with_its_questions(self, page: Page, world: Hall) -> None:
        page.get_by_role("link", name="Amos Burton").click()
        expect(page.get_by_role("heading", name="Amos Burton")).to_be_visible()
        version = page.locator("#rest [name=rest]").input_value()
        world.sandbox.fault("campfire", "slow", seconds=1.0, calls=1, match="/results")
        page.get_by_role("button", name="Read questions").click()
        expect(page.locator("#rest [name=rest]")).not_to_have_value(version)
        show = page.get_by_role("button", name="Show questions and keys")
        expect(show).to_be_visible()
        shown = JournalEntry.objects.filter(event="session.questions_shown")
        assert not shown.exists()

        show.click()

        first = page.get_by_role("article", name="Question 1")
        expect(first).to_contain_text("Cole earns $6.00 per week")
        expect(first.get_by_role("listitem").filter(has_text="cupcake")).to_contain_text("key")
        expect(first.get_by_role("listitem").filter(has_text="cupcake")).to_contain_text("chosen")
        entry = shown.get()
        assert (entry.by, entry.target) == (world.lead, str(world.named("Amos Burton").pk))

    def _chooses_several_and_sees_what_is_lost(self, page: Page, visits: Visits) -> None:
        page.get_by_role("navigation").get_by_role("link", name="Sessions").click()
        for name in ("Amos Burton", "Tāne Wiremu", "Robin Roe"):
            page.get_by_role("checkbox", name=f"Tick {name}").check()
        page.get_by_role("button", name="Reset…").click()

        expect(page.get_by_text("In all 1 session loses answers and 1 loses a score.")).to_be_visible()
        expect(page.get_by_role("row").filter(has_text="Amos Burton")).to_contain_text("100")
        visits.expected_statuses.add(422)
        page.get_by_label("Why").select_option(label="Technical trouble")
        page.get_by_label("In your words").fill("The hall lost power")
        page.get_by_label("How many").fill("9")
        page.get_by_role("button", name="Reset 3 sessions").click()
        expect(page.get_by_text("3 sessions would be reset. Type that number.")).to_be_visible()
        assert not Action.objects.exists()

        page.get_by_label("How many").fill("3")
        page.get_by_role("button", name="Reset 3 sessions").click()

    def _gets_a_result_for_each(self, page: Page, world: Hall) -> None:
        settle(page, 3)
        rows = page.get_by_role("table", name="Sessions of this batch").locator("tbody tr")
        for name in ("Amos Burton", "Tāne Wiremu", "Robin Roe"):
            expect(rows.filter(has_text=name)).to_contain_text("Done")
            assert world.there(world.named(name))["resets"] == 1
        assert world.sent("reset") == 3
        assert JournalEntry.objects.filter(reason__contains="The hall lost power", by=world.lead).exists()

    def _reopens_the_one_that_is_still_complete(self, page: Page, world: Hall) -> None:
        reopen = page.get_by_role("button", name="Still complete: reopen…")
        expect(reopen).to_have_count(1)
        reopen.click()
        page.get_by_label("Why").select_option(label="Technical trouble")
        page.get_by_label("In your words").fill("Goes on tomorrow")
        page.get_by_role("button", name="Reopen 1 session").click()
        settle(page, 1)

        amos = world.there(world.named("Amos Burton"))
        assert (amos["maturity"], amos["reopens"], amos["answers"]) == ("IN_PROGRESS", 1, {})
        page.get_by_role("link", name="Amos Burton").click()
        expect(page.get_by_role("definition").filter(has_text="In progress")).to_be_visible()
        expect(page.get_by_role("region", name="Kept from before")).to_contain_text("Reset of")
        assert world.sent("reopen") == 1


class TestProctorExam:
    """An exam that exists at the vendor: its settings sent, and what differs sent again."""

    def test_gets_an_exams_settings_says_what_it_took_and_gets_the_edit(
        self, world: World, visits: Visits, coordinator: User, at_work: AtWork
    ) -> None:
        account = account_at(world, "proctorexam")
        page = visits.by(coordinator)

        with at_work(deadline=DEADLINE):
            begin_exam(page, account, title="Bookkeeping", ref="2", starts_at="2031-03-03T09:00", duration_minutes="90")
            fill(page, {"student_experience": "true", "exam_language": "en,de"})
            fill(page, {"allow_calculator": "true", "allowed_calculator_type": "Basic"})
            exam = save(page)

            expect(would_send(page)).to_contain_text("PATCH")
            would_send(page).get_by_text("Body").click()
            expect(would_send(page)).to_contain_text('"allowed_calculator_type": "Basic"')
            assert account.credentials["secret_key"] not in page.content()
            assert account.credentials["api_token"] not in page.content()
            assert self._there(world)["name"] == "Remote Bookkeeping Certificate"

            send(page, "Update at the vendor", reason="As planned")

            expect(page.get_by_text("The vendor reports something else for student_experience.")).to_be_visible()
            for field in ("name", "start_time", "duration_minutes", "exam_language"):
                expect(check_of(page, field)).to_contain_text("Confirmed")
            expect(check_of(page, "allow_calculator")).to_contain_text("Not reported")
            expect(check_of(page, "student_experience")).to_contain_text("Differs")
            self._edits_and_sends_what_differs(page, world, exam)

    def _there(self, world: World) -> dict[str, Any]:
        return next(row for row in world.sandbox.state("proctorexam")["exams"] if row["id"] == 2)

    def _edits_and_sends_what_differs(self, page: Page, world: World, exam: Exam) -> None:
        page.get_by_role("link", name="Edit", exact=True).click()
        page.locator("[name=title]").fill("Bookkeeping, second sitting")
        fill(page, {"allowed_calculator_type": "Scientific"})
        save(page)
        said = page.get_by_role("region", name="What the vendor last said")
        expect(said.get_by_text("Changed since")).to_contain_text("name")
        expect(said.get_by_text("Changed since")).to_contain_text("allowed_calculator_type")
        expect(said.get_by_role("row").filter(has_text="Scientific")).to_have_count(1)

        send(page, "Update at the vendor", reason="A second sitting", nth=2)

        expect(page.get_by_text("The exam is as it was last sent.")).to_be_visible()
        there = self._there(world)
        assert (there["name"], there["allowed_calculator_type"]) == ("Bookkeeping, second sitting", "Scientific")
        assert (there["start_time"], there["duration_minutes"]) == ("2031-03-03T08:00:00.000+00:00", 90)
        assert [action.reason for action in Action.objects.order_by("created_at")] == ["As planned", "A second sitting"]
        assert Action.objects.filter(exam=exam, state="done").count() == 2


class TestSmarterProctoring:
    """An exam that is created there, from one form."""

    def test_creates_the_exam_as_the_form_has_it_and_gives_its_sid(
        self, world: World, visits: Visits, coordinator: User, at_work: AtWork
    ) -> None:
        account = account_at(world, "smarterproctoring")
        page = visits.by(coordinator)

        with at_work(deadline=DEADLINE):
            begin_exam(
                page,
                account,
                title="Biology midterm",
                starts_at="2031-03-03T09:00",
                ends_at="2031-03-07T17:00",
                duration_minutes="90",
            )
            self._fills_in_the_configuration(page)
            exam = save(page)
            expect(would_send(page).get_by_text("every student enrolled in the course")).to_be_visible()
            assert "Photosynthesis-7" not in page.content()
            assert not world.sandbox.state("smarterproctoring").get("exams")

            send(page, "Create at the vendor", reason="As planned")

        (there,) = world.sandbox.state("smarterproctoring")["exams"]
        expect(page.locator("#exam-ref")).to_have_text(there["sid"])
        exam.refresh_from_db()
        assert exam.ref == there["sid"]
        self._is_as_it_was_filled_in(there, exam)

    def _fills_in_the_configuration(self, page: Page) -> None:
        fill(
            page,
            {
                "courseSid": "CU1234567890abcdef1234567890abcdef",
                "url": "https://learn.example.edu/quizzes/7",
                "password": "Photosynthesis-7",
                "examDeliverySystemModule": "canvas",
                "proctorTypes": "TS4b894875d26194988853e490dfb9bc41",
                "permittedCalculator": True,
                "permittedCalculatorInformation": "Four functions",
                "permittedBathroomBreak": True,
                "permittedBathroomBreakInformation": "One, of five minutes",
            },
        )
        page.get_by_role("button", name="Add row").click()
        for number, (location, start, end) in enumerate(
            [
                ("Room 1", "2031-03-03T09:00", "2031-03-03T11:00"),
                ("Room 2", "2031-03-04T09:00", "2031-03-04T11:00"),
                ("Room 3", "2031-03-05T09:00+00:00", "2031-03-05T11:00+00:00"),
            ]
        ):
            fill(
                page,
                {
                    f"instructorAsProctor-{number}-location": location,
                    f"instructorAsProctor-{number}-startTime": start,
                    f"instructorAsProctor-{number}-endTime": end,
                    f"instructorAsProctor-{number}-capacity": "12",
                },
            )

    def _is_as_it_was_filled_in(self, there: dict[str, Any], exam: Exam) -> None:
        own = there["configuration"]
        assert (there["title"], there["status"], own["password"]) == ("Biology midterm", "active", "Photosynthesis-7")
        assert (own["permittedCalculator"], own["permittedCalculatorInformation"]) == (True, "Four functions")
        assert (own["permittedBathroomBreak"], own["permittedNotes"]) == (True, False)
        assert own["examOpenDate"] == "2031-03-03T08:00:00.000Z"
        assert own["apiExamId"] == str(exam.pk)
        rows = [
            (row["location"], row["timeType"], row["startTime"], row["capacity"]) for row in own["instructorAsProctor"]
        ]
        assert rows == [
            ("Room 1", "between", "2031-03-03T08:00:00.000Z", 12),
            ("Room 2", "between", "2031-03-04T08:00:00.000Z", 12),
            ("Room 3", "between", "2031-03-05T09:00:00.000Z", 12),
        ]


class TestCirrus:
    """One schedule for a whole roster."""

    ROSTER = (
        "First name,Last name,E-mail,External id,Special needs,Extra time (%)\n"
        "Ann,Lee,ann@example.org,S-1,,\n"
        "Bo,Ek,bo@example.org,S-2,yes,25\n"
        "Cy,Dahl,cy@example.org,S-3,yes,100\n"
        "Di,Moe,di@example.org,S-4,,\n"
    )

    @pytest.fixture
    def exam(self, world: World) -> Exam:
        account = account_at(world, "cirrus", site_url=world.sandbox.url("cirrus"))
        demo = registry.demo("cirrus").EXAMS[0]
        starts_at = now() + timedelta(days=1)
        window = {"starts_at": starts_at, "ends_at": starts_at + timedelta(minutes=150)}  # holds 90, and a quarter more
        exam = Exam(
            team=world.team, account=account, title="Widget theory", ref=demo["ref"], duration_minutes=90, **window
        )
        return exams.save(exam, vendor_settings=demo["settings"], by=None, now=now())

    def test_schedules_a_roster_gives_each_a_link_and_says_who_cannot_have_one(
        self, world: World, exam: Exam, visits: Visits, coordinator: User, at_work: AtWork
    ) -> None:
        page = visits.by(coordinator)

        with at_work(deadline=DEADLINE):
            page.goto(f"{reverse('deliver')}?exam={exam.pk}")
            page.get_by_label("Upload a file").check()
            page.get_by_label("File", exact=True).set_input_files(
                {"name": "roster.csv", "mimeType": "text/csv", "buffer": self.ROSTER.encode()}
            )
            page.get_by_role("button", name="Preview").click()
            refused = page.get_by_role("region", name="Will not get a delivery")
            expect(refused.get_by_role("row").filter(has_text="Cy Dahl")).to_contain_text("The window ends too soon")
            expect(page.get_by_role("region", name="Will get a delivery")).to_contain_text("Bo Ek")
            press(page, 3)
            settle(page, 3)

        state = world.sandbox.state("cirrus")
        (schedule,) = state["schedules"]
        there = {row["candidate_ext_id"]: row for row in state["attempts"]}
        assert schedule["assessment_ext_id"] == exam.ref
        assert sorted(there) == ["S-1", "S-2", "S-4"]
        assert {
            key: row["reasonable_adjustment_percentage"] for key, row in there.items() if row["has_special_needs"]
        } == {"S-2": 25}
        for delivery in Delivery.objects.select_related("candidate"):
            copy = page.get_by_role("button", name=f"Copy the take link of {delivery.candidate}")
            expect(copy).to_have_attribute("data-copy", delivery.take_url)
            assert delivery.take_url.endswith(there[delivery.candidate.external_id]["session"])
