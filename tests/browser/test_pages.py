"""What every page owes its reader: no errors, no foreign hosts, a phone's width, both themes, no barrier."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from importlib.resources import files
from typing import Any
from uuid import UUID

import pytest
from django.conf import LazySettings
from django.core.cache import cache
from django.db.models import Model
from django.urls import reverse
from playwright.sync_api import Page, ViewportSize, expect

from proctoring import deliveries, invitations, ledger, links, planning, rosters
from proctoring.models import (
    Action,
    ActionState,
    Batch,
    Call,
    Delivery,
    DeliveryState,
    Exam,
    Invitation,
    JournalEntry,
    Role,
    Session,
    Team,
    User,
)
from proctoring.vendors.base import Verb
from proctoring.verbs import VERBS
from proctoring.views import public
from proctoring.views.candidate import MOST_UNKNOWN_A_MINUTE
from tests import factories
from tests.browser.conftest import Visits, member
from tests.views.conftest import Office
from tests.views.test_candidate import STATES
from tests.views.test_sessions import READ, Board
from tests.world import World, now

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

DESK: ViewportSize = {"width": 1280, "height": 900}
PHONE: ViewportSize = {"width": 390, "height": 844}
MODELS = (
    *("exam", "candidate", "delivery", "account", "team", "user", "action", "call", "batch", "journalentry", "session"),
)
ADDED = ("exam", "candidate", "account", "user")
AXE = files("axe_playwright_python").joinpath("axe.min.js")
WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
SHELLS_OWN = ["target-size"]  # the button inside the search field of the shell's lists is 18 pixels high
WIDER = """() => document.documentElement.scrollWidth > document.documentElement.clientWidth
    ? [...document.querySelectorAll("body *")].filter(part => part.getBoundingClientRect().right > innerWidth + 1)
        .slice(0, 3).map(part => part.outerHTML.slice(0, 120))
    : null"""
PATIENT_SECONDS = 10.0  # no call may be given up on a busy machine: the pages would show something else
Then = Callable[[Page], object]


# --- looking ----------------------------------------------------------------------------------------------------------


def barriers(page: Page, *, tags: Sequence[str] = WCAG, without: Sequence[str] = ()) -> list[str]:
    """What axe finds against WCAG 2.2 A and AA, or the rules with these tags, except the rules named."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE.read_text())
    rules = {rule: {"enabled": False} for rule in without}
    options = {"runOnly": {"type": "tag", "values": tags}, "rules": rules, "resultTypes": ["violations"]}
    found = page.evaluate("async options => (await axe.run(options)).violations", options)
    return [f"{page.url}: {item['id']}: {item['nodes'][0]['html'][:160]}" for item in found]


def too_wide(page: Page) -> list[str]:
    wide = page.evaluate(WIDER)
    return [] if wide is None else [f"{page.url} is wider than a phone: {wide}"]


def open_all(page: Page) -> None:
    """Opens what a press would: what is hidden is not looked at."""
    page.evaluate(
        "document.querySelectorAll('.console details, main > section details').forEach(one => one.open = true)"
    )


def paint(page: Page, theme: str) -> None:
    """As the shell's own menu does."""
    page.evaluate("theme => { Alpine.$data(document.documentElement).adminTheme = theme }", theme)
    page.wait_for_function("theme => document.documentElement.classList.contains(theme)", arg=theme)


def faults_of(page: Page, address: str, *, then: Then | None = None, without: Sequence[str] = ()) -> list[str]:
    """One load of a page in the shell; its width and theme are changed under it, as a reader might."""
    page.set_viewport_size(DESK)
    answer = page.goto(address)
    if answer is None or not answer.ok:
        return [f"{address} is not there"]
    if then is not None:
        then(page)
    open_all(page)
    paint(page, "light")
    found = barriers(page, without=without)
    page.set_viewport_size(PHONE)
    paint(page, "dark")
    return [*found, *barriers(page, without=without), *too_wide(page)]


def faults_outside(page: Page, address: str, words: str, *, then: Then | None = None) -> list[str]:
    """One load of a page without the shell, which follows the reader's own theme and has to say `words`."""
    page.goto(address)
    if then is not None:
        then(page)
    open_all(page)
    found = [] if words in page.inner_text("body") else [f"{page.url} does not say “{words}”"]
    grounds = []
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        grounds.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        found += barriers(page, tags=[*WCAG, "best-practice"])
    if grounds[0] == grounds[1]:
        found.append(f"{page.url} is {grounds[0]} in the dark, too")
    return [*found, *too_wide(page)]


# --- the coordinators' pages ------------------------------------------------------------------------------------------


@pytest.fixture
def busy(world: World, settings: LazySettings) -> dict[str, str]:
    """Addresses of pages that show every kind of row: done, unknown, refused, waiting, left out."""
    settings.CALL_DEADLINE_SECONDS = PATIENT_SECONDS
    batch = world.deliver(3)
    world.drain()
    world.sandbox.fault("scorpion", "500_after", calls=1)
    stopped = world.deliver(2)
    world.drain(seconds=0.1)
    draft = _draft(world)
    return {
        "batch": reverse("batch", args=[batch.pk]),
        "stopped": reverse("batch", args=[stopped.pk]),
        "preview": reverse("deliver_preview", args=[draft]),
    }


def _draft(world: World) -> UUID:
    text = "First name,Last name,E-mail,Extra time %\nBo,Ek,bo@example.org,\nAl,Ng,al@example.org,25\nX,Y,nowhere,\n"
    entries = rosters.read(text.encode(), filename="roster.csv").entries
    plan = planning.plan_entries(world.exam, entries, now=now(), options={})
    return deliveries.draft(plan, exam=world.exam, by=world.lead, now=now()).pk


@pytest.fixture
def lived_in(world: World, settings: LazySettings) -> list[str]:
    """Pages about deliveries in which much has happened: invited, opened, complete, lost, revoked, attempted again."""
    settings.CALL_DEADLINE_SECONDS = PATIENT_SECONDS
    Team.objects.update(phone="+47 22 00 00 00", reply_to="exams@example.org")
    batch = world.deliver(4)
    world.drain()
    first, second, third, fourth = Delivery.objects.order_by("candidate__last_name")
    invited = invitations.request([first, second], by=world.lead, now=now())
    ledger.drain(invitations.account_of(world.team.pk).pk, VERBS, worker="test", should_stop=lambda: False, seconds=10)
    moving = invitations.request([third], by=world.lead, now=now())
    deliveries.open_link(first, now=now())
    sat = {"state": "complete", "vendor_state": "complete", "score": 66.67, "asked_at": now()}
    factories.make_session(world.exam, delivery=first, candidate=first.candidate, **sat)
    deliveries.revoke_candidate_link(second, by=world.lead, reason="Sent to the wrong person", now=now())
    world.deliver([fourth.candidate], is_retake=True)
    world.sandbox.fault("scorpion", "500_after", calls=1)
    world.drain()
    lost = Action.objects.get(state=ActionState.UNKNOWN)
    mails = Invitation.objects.order_by("created_at")
    return [
        *(reverse("delivery", args=[row.pk]) for row in (first, second, third, fourth, lost.delivery) if row),
        *(reverse("invited", args=[row.pk]) for row in (invited, moving)),
        *(reverse("invitation", args=[row.pk]) for row in mails[:1]),
        reverse("delivery_mail", args=[fourth.pk]),
        f"{reverse('invite')}?batch={batch.pk}",
        reverse("attention_step", args=[lost.pk, "found"]),
        reverse("exam", args=[world.exam.pk]),
        f"{reverse('search')}?q=Lee",
        f"{reverse('search')}?q=nobody",
    ]


@pytest.fixture
def board(world: World) -> Board:
    """Sessions of a vendor that lists them, on which a lead may act."""
    members = {Role.LEAD.value: world.lead}
    office = Office(team=world.team, account=world.account, exam=world.exam, members=members, stranger=world.lead)
    return Board(office)


class TestEveryPage:
    def test_for_coordinators_fits_a_phone_and_has_no_barrier_in_either_theme(
        self, world: World, visits: Visits, coordinator: User, busy: dict[str, str]
    ) -> None:
        page = visits.by(coordinator, reduced_motion="reduce")
        addresses = [*map(reverse, ("home", "deliver", "attention")), *busy.values()]
        addresses.append(f"{reverse('deliver')}?exam={world.exam.pk}")

        found = [fault for address in addresses for fault in faults_of(page, address)]

        assert found == []

    def test_about_a_delivery_fits_a_phone_and_has_no_barrier_in_either_theme(
        self, world: World, visits: Visits, lived_in: list[str]
    ) -> None:
        page = visits.by(world.lead, reduced_motion="reduce")

        found = [fault for address in lived_in for fault in faults_of(page, address)]
        found += faults_of(page, lived_in[0], then=self._shows_the_proctor_link)
        found += faults_of(page, lived_in[0], then=self._shows_the_proctor_link_without_a_script)

        assert found == []

    def _shows_the_proctor_link(self, page: Page) -> None:
        page.get_by_role("button", name="Show the proctor link").click()
        page.get_by_role("button", name="Copy the proctor link").wait_for()

    def _shows_the_proctor_link_without_a_script(self, page: Page) -> None:
        with page.expect_navigation():
            page.locator("form[action$='/proctor-link/']").evaluate("form => form.submit()")

    def test_about_sessions_fits_a_phone_and_has_no_barrier_in_either_theme(
        self, world: World, visits: Visits, board: Board
    ) -> None:
        page = visits.by(world.lead, reduced_motion="reduce")
        read, other = board.session("Ann Lee", content=READ), board.session("Bo Berg", state="unknown")
        unsure = board.asked(Verb.RESET, board.session("Cy Dahl"))
        Action.objects.update(state=ActionState.UNKNOWN, message="The vendor answered 500.", sent_at=now())
        addresses = [
            reverse("sessions"),
            *(reverse("session", args=[row.pk]) for row in (read, other)),
            *(
                reverse("session_action", args=[board.draft(verb, [read, other]).pk])
                for verb in (Verb.RESET, Verb.RETAKE)
            ),
            reverse("session_action", args=[board.asked(Verb.REOPEN, other).pk]),
            reverse("session_action", args=[unsure.pk]),
        ]

        found = [fault for address in addresses for fault in faults_of(page, address)]
        for button in ("Show questions and keys", "Set responses…"):
            found += faults_of(page, reverse("session", args=[read.pk]), then=_pressing(button))

        assert found == []

    def test_of_the_admins_lists_fits_a_phone_and_has_no_barrier_in_either_theme(
        self, world: World, visits: Visits, busy: dict[str, str]
    ) -> None:
        page = visits.by(member(world.team, Role.ADMINISTRATOR), reduced_motion="reduce")
        addresses = [reverse(f"admin:proctoring_{model}_changelist") for model in MODELS]

        found = [fault for address in addresses for fault in faults_of(page, address, without=SHELLS_OWN)]

        assert found == []

    def test_of_the_admins_forms_fits_a_phone_and_has_no_barrier_in_either_theme(
        self, world: World, visits: Visits, lived_in: list[str]
    ) -> None:
        page = visits.by(member(world.team, Role.ADMINISTRATOR), reduced_motion="reduce")
        addresses = [reverse(f"admin:proctoring_{model}_add") for model in ADDED]
        addresses += [reverse(f"admin:proctoring_{row._meta.model_name}_change", args=[row.pk]) for row in _rows(world)]

        found = [fault for address in addresses for fault in faults_of(page, address, without=SHELLS_OWN)]

        assert found == []

    def test_to_sign_in_fits_a_phone_and_has_no_barrier_in_either_theme(self, visits: Visits) -> None:
        assert faults_of(visits.by(), "/") == []

    def test_that_says_no_fits_a_phone_and_has_no_barrier_in_light_or_dark(
        self, world: World, visits: Visits, lived_in: list[str]
    ) -> None:
        page = visits.by(member(world.team, Role.VIEWER), viewport=PHONE)
        visits.expected_statuses |= {403, 404}

        found = faults_outside(page, "/nowhere/", "404")
        found += faults_outside(page, reverse("delivery_mail", args=[Delivery.objects.all()[0].pk]), "403")

        assert found == []


class TestTheMenu:
    def test_opens_without_a_mouse_on_a_phone(self, visits: Visits, coordinator: User) -> None:
        page = visits.by(coordinator, viewport=PHONE)
        page.goto(reverse("home"))
        menu = page.get_by_role("button", name="Menu")
        link = page.locator("#nav-sidebar").get_by_role("link", name="Candidates")
        expect(link).to_be_hidden()

        menu.focus()
        page.keyboard.press("Enter")

        expect(link).to_be_visible()
        expect(menu).to_have_attribute("aria-expanded", "true")


def _rows(world: World) -> list[Model]:
    """One row of each model that the admin shows; of what was sent to a vendor and to the mail server one each."""
    delivery = Delivery.objects.select_related("candidate").order_by("candidate__last_name")[0]
    sent = (Verb.CREATE_DELIVERIES, Verb.SEND_MESSAGE)
    return [
        *(world.exam, world.account, world.team, world.lead, delivery, delivery.candidate, Session.objects.get()),
        *(Action.objects.filter(verb=verb).order_by("created_at")[0] for verb in sent),
        *(Call.objects.filter(verb=verb).order_by("claimed_at")[0] for verb in sent),
        *(Batch.objects.order_by("created_at")[0], JournalEntry.objects.order_by("at")[0]),
    ]


def _pressing(button: str) -> Then:
    def press(page: Page) -> None:
        with page.expect_navigation():
            page.get_by_role("button", name=button).click()

    return press


# --- the candidate's page ---------------------------------------------------------------------------------------------


@pytest.fixture
def within_one_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(public, "time", lambda: 1_900_000_030.0)
    cache.clear()


def invited(world: World, **exam: Any) -> Delivery:
    """A candidate's delivery with all that their page can say, in an open window."""
    Team.objects.update(phone="+47 22 00 00 00", reply_to="exams@example.org")
    window = {"starts_at": now() - timedelta(hours=1), "ends_at": now() + timedelta(days=2), "time_zone": "Europe/Oslo"}
    rules = {"title": "Widgets, part two", "instructions": "One sheet of notes.\nNo calculator."}
    made = factories.make_exam(exam.pop("account", world.account), **{**window, **rules, **exam})
    person = factories.make_candidate(world.team, extra_time_percent=25)
    delivery: Delivery = Delivery.objects.select_related("exam__account", "candidate", "team").get(
        pk=factories.make_delivery(made, person, state=DeliveryState.CREATED).pk
    )
    return delivery


def address_of(delivery: Delivery) -> str:
    return reverse("candidate", args=[links.token_of(delivery)])


@pytest.mark.usefixtures("within_one_minute")
class TestTheCandidatesPage:
    @pytest.fixture
    def page(self, visits: Visits) -> Page:
        return visits.by(viewport=PHONE, is_mobile=True, has_touch=True)

    def test_has_no_barrier_wherever_they_stand_on_a_phone_in_light_or_dark(self, world: World, page: Page) -> None:
        found = []
        for into, sentence in STATES.values():
            delivery = invited(world)
            address = address_of(delivery)
            into(delivery)
            found += faults_outside(page, address, sentence)

        assert found == []

    def test_has_no_barrier_in_another_time_zone_with_codes_or_without_anybody_to_ask(
        self, world: World, page: Page
    ) -> None:
        hosted = factories.make_account(world.team, vendor="cirrus")
        coded = invited(world, account=hosted, settings={"pin": "9876", "use_key_code": True})

        found = faults_outside(page, f"{address_of(coded)}?zone=Pacific/Apia", "Times are shown in Pacific/Apia")
        found += faults_outside(page, address_of(coded), "You will be asked for a PIN")
        Team.objects.update(phone="", reply_to="")
        found += faults_outside(page, address_of(coded), "Ask whoever invited you")

        assert found == []

    def test_has_no_barrier_once_the_time_has_come_or_is_over(self, world: World, visits: Visits, page: Page) -> None:
        visits.expected_statuses.add(409)
        early, late = invited(world, starts_at=now() + timedelta(minutes=30)), invited(world)

        def close_it_and_press(page: Page) -> None:
            Exam.objects.filter(pk=late.exam_id).update(ends_at=now())
            with page.expect_navigation():
                page.get_by_role("button", name="Begin my exam").click()

        found = faults_outside(page, address_of(late), "You are too late", then=close_it_and_press)
        page.clock.install()
        found += faults_outside(
            page, address_of(early), "It is open now", then=lambda page: page.clock.fast_forward("31:00")
        )

        assert found == []

    def test_has_no_barrier_for_a_link_that_is_none_or_too_many_of_them(
        self, world: World, visits: Visits, page: Page
    ) -> None:
        visits.expected_statuses |= {404, 429}

        found = faults_outside(page, "/c/nothing/", "This link does not work")
        for _ in range(MOST_UNKNOWN_A_MINUTE):
            page.request.get("/c/nothing/")
        found += faults_outside(page, "/c/nothing/", "This page was asked for too often")

        assert found == []

    def test_has_no_barrier_as_the_staff_look_at_it(self, world: World, visits: Visits, coordinator: User) -> None:
        page = visits.by(coordinator, viewport=PHONE)
        address = reverse("as_candidate", args=[invited(world).pk])

        assert faults_outside(page, address, "This is what the candidate sees") == []
