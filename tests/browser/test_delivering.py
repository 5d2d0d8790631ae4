"""Delivering an exam, from the roster to the links, as a coordinator does it."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from django.urls import reverse
from playwright.sync_api import Locator, Page, expect

from proctoring.models import Account, Candidate, Delivery, JournalEntry, Role, User
from proctoring.vendors.scorpion.demo import CREDENTIALS
from tests import processes
from tests.browser.conftest import PASSWORD, AtWork, Visits, member
from tests.world import World

pytestmark = pytest.mark.browser

POLL_MILLISECONDS = 1_500
ROSTER = "First name,Last name,E-mail\n" + "".join(f"Ann,Lee {n},ann{n}@example.org\n" for n in range(8))
BAD_LINE = "Bo,Ek,bo at example.org\n"


def progress(page: Page) -> Locator:
    return page.get_by_role("progressbar", name="Progress")


def take_links(page: Page) -> Locator:
    return page.get_by_role("button", name=re.compile("^Copy the take link of"))


def choose(page: Page, world: World, people: list[Candidate]) -> None:
    """Up to the preview, with known candidates."""
    page.goto(f"{reverse('deliver')}?exam={world.exam.pk}")
    for person in people:
        page.get_by_role("checkbox", name=f"{person} ").check()
    page.get_by_role("button", name="Preview").click()
    page.wait_for_url("**/deliver/*-*/")


def press(page: Page, number: int) -> None:
    page.get_by_role("button", name=f"Deliver to {number} candidate").click()
    page.wait_for_url("**/batches/**")


class TestACoordinator:
    def test_signs_in_brings_a_roster_sees_who_gets_one_presses_once_and_gets_the_links(
        self, world: World, visits: Visits, coordinator: User, at_work: AtWork
    ) -> None:
        Account.objects.update(calls_per_minute=20)
        roster = (ROSTER + BAD_LINE).encode()
        page = visits.by(permissions=["clipboard-read", "clipboard-write"])
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))

        with at_work():
            page.goto("/")
            page.get_by_label("Username").fill(coordinator.username)
            page.get_by_label("Password").fill(PASSWORD)
            page.get_by_role("button", name="Log in").click()
            page.get_by_role("link", name="Deliver an exam").click()
            page.get_by_label("Exam (needed)").select_option(label=world.exam.title)
            page.get_by_label("Upload a file").check()
            page.get_by_label("File", exact=True).set_input_files(
                {"name": "roster.csv", "mimeType": "text/csv", "buffer": roster}
            )
            page.get_by_role("button", name="Preview").click()

            refused = page.get_by_role("region", name="Will not get a delivery")
            expect(refused.get_by_role("cell", name="10", exact=True)).to_be_visible()
            expect(refused).to_contain_text("“bo at example.org” is not an e-mail address")
            ready = page.get_by_role("region", name="Will get a delivery")
            expect(ready.get_by_role("row")).to_have_count(1 + 8)
            assert not world.at_vendor()

            press(page, 8)
            page.evaluate("window.isTheSamePage = true")
            expect(progress(page)).to_have_attribute("aria-valuenow", re.compile("^[1-7]$"))
            Account.objects.update(calls_per_minute=None, next_call_at=None)
            expect(progress(page)).to_have_attribute("aria-valuenow", "8")

        assert page.evaluate("window.isTheSamePage")
        expect(take_links(page)).to_have_count(8)
        bar, full = (progress(page).locator(part).bounding_box() for part in ("span", "xpath=."))
        assert bar and full and bar["width"] == full["width"]
        world.assert_agrees()
        assert len(world.at_vendor()) == 8
        self._sees_a_proctor_link_by_a_press_only(page, coordinator)
        self._copies_a_take_link(page)
        self._is_left_in_peace(page, asked)

    def _sees_a_proctor_link_by_a_press_only(self, page: Page, by: User) -> None:
        delivery = Delivery.objects.select_related("candidate").get(candidate__last_name="Lee 0")
        assert not any(url in page.content() for url in Delivery.objects.values_list("proctor_url", flat=True))

        page.get_by_role("button", name=f"Show the proctor link of {delivery.candidate};").click()

        copy = page.get_by_role("button", name=f"Copy the proctor link of {delivery.candidate}")
        expect(copy).to_have_attribute("data-copy", delivery.proctor_url)
        expect(copy).to_be_focused()
        shown = JournalEntry.objects.get(event="delivery.proctor_link_shown")
        assert (shown.by, shown.target) == (by, str(delivery.pk))

    def _copies_a_take_link(self, page: Page) -> None:
        delivery = Delivery.objects.select_related("candidate").get(candidate__last_name="Lee 3")

        page.get_by_role("button", name=f"Copy the take link of {delivery.candidate}").click()

        expect(page.locator("#spoken")).to_have_text("Copied")
        assert page.evaluate("navigator.clipboard.readText()") == delivery.take_url

    def _is_left_in_peace(self, page: Page, asked: list[str]) -> None:
        assert any("/progress/" in url for url in asked)
        asked.clear()
        page.wait_for_timeout(POLL_MILLISECONDS + 300)
        assert asked == []

    def test_keeps_selection_scroll_and_focus_while_the_page_fills_in(
        self, world: World, visits: Visits, coordinator: User
    ) -> None:
        batch = world.deliver(12)
        world.sandbox.fault("scorpion", "slow", seconds=0.2, calls=1)
        world.drain(seconds=0.1)
        page = visits.by(coordinator, viewport={"width": 1000, "height": 500})
        page.goto(reverse("batch", args=[batch.pk]))
        expect(take_links(page)).to_have_count(1)

        take_links(page).focus()
        page.evaluate("window.getSelection().selectAllChildren(document.querySelector('.console .lead'))")
        page.evaluate("window.scrollTo(0, 137)")
        world.drain()
        expect(progress(page)).to_have_attribute("aria-valuenow", "12")

        expect(take_links(page)).to_have_count(12)
        assert page.evaluate("window.scrollY") == 137
        assert "Widgets" in page.evaluate("window.getSelection().toString()")
        assert "take link" in page.evaluate("document.activeElement.textContent")


class TestPressing:
    def test_twice_again_after_a_reload_or_by_a_second_coordinator_delivers_once(
        self, world: World, visits: Visits, coordinator: User
    ) -> None:
        people = world.candidates(3)
        first, other_tab = visits.by(coordinator), visits.by(coordinator)
        second = visits.by(member(world.team, Role.COORDINATOR, "colleague"))
        visits.expected_statuses.add(409)
        for page in (first, second):
            choose(page, world, people)
        preview = first.url
        other_tab.goto(preview)

        first.get_by_role("button", name="Deliver to 3").dblclick()
        first.wait_for_url("**/batches/**")
        other_tab.get_by_role("button", name="Deliver to 3").click()
        other_tab.wait_for_url("**/batches/**")
        second.get_by_role("button", name="Deliver to 3").click()
        expect(second.get_by_role("alert").filter(has_text=re.compile("."))).to_be_visible()
        first.reload()
        first.go_back()
        first.goto(preview)
        world.drain()

        assert first.url == other_tab.url
        assert Delivery.objects.count() == len(world.at_vendor()) == 3
        assert world.states() == {"done": 3}
        world.assert_agrees()

    def test_the_bulk_action_on_candidates_leads_to_the_same_preview(
        self, world: World, visits: Visits, coordinator: User
    ) -> None:
        world.candidates(3)
        page = visits.by(coordinator)

        page.goto(reverse("admin:proctoring_candidate_changelist"))
        page.locator("#action-toggle:visible").check()
        page.locator("select[name=action]:visible").select_option(label="Deliver an exam to the chosen…")
        page.get_by_role("button", name="Run", exact=True).click()
        page.wait_for_url("**/deliver/")
        expect(page.get_by_role("group", name="3 chosen")).to_be_visible()
        page.get_by_label("Exam (needed)").select_option(label=world.exam.title)
        page.get_by_role("button", name="Preview").click()
        press(page, 3)
        world.drain()

        expect(take_links(page)).to_have_count(3)
        assert len(world.at_vendor()) == 3
        world.assert_agrees()


class TestARefusedToken:
    def test_pauses_the_account_says_so_and_all_flows_once_an_administrator_enters_the_new_one(
        self, world: World, visits: Visits, coordinator: User, at_work: AtWork
    ) -> None:
        administrator = member(world.team, Role.ADMINISTRATOR)
        token = world.sandbox.control("scorpion", "regenerate_credentials")["token"]
        assert token != CREDENTIALS["token"]
        page, desk = visits.by(coordinator), visits.by(administrator)

        with at_work():
            choose(page, world, world.candidates(4))
            press(page, 4)
            expect(page.locator("#progress .alert")).to_contain_text("paused")
            page.goto(reverse("attention"))
            paused = page.get_by_role("region", name="Accounts that are paused")
            expect(paused).to_contain_text("4 deliveries wait; nothing is lost.")
            expect(paused).to_contain_text(f"Ask an administrator of {world.team}")
            page.go_back()

            desk.goto(reverse("attention"))
            desk.get_by_role("link", name="Open the account and enter new credentials").click()
            desk.get_by_label("Basic authorization token").fill(token)
            desk.get_by_role("button", name="Save", exact=True).click()
            desk.wait_for_url("**/account/")

            expect(progress(page)).to_have_attribute("aria-valuenow", "4")

        expect(take_links(page)).to_have_count(4)
        expect(page.locator("#progress .alert")).to_have_count(0)
        assert not Account.objects.get().is_paused
        assert Counter(JournalEntry.objects.values_list("event", flat=True))["account.paused"] == 1
        assert processes.eventually(lambda: len(world.at_vendor()) == 4)
        world.assert_agrees()
