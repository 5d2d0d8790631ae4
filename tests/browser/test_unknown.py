"""The vendor acts and its answer is lost: one delivery there, one row here that a person settles from the page."""

from __future__ import annotations

import pytest
from django.urls import reverse
from playwright.sync_api import Page, expect

from proctoring.models import Action, JournalEntry, User
from tests import processes
from tests.browser.conftest import AtWork, Visits
from tests.browser.test_delivering import choose, press, progress, take_links
from tests.world import World

pytestmark = pytest.mark.browser


def is_settled(page: Page) -> bool:
    page.reload()
    return page.get_by_text("Nothing needs you").is_visible()


class TestALostAnswer:
    def test_needs_attention_is_not_sent_again_and_is_settled_by_looking_it_up(
        self, world: World, visits: Visits, coordinator: User, at_work: AtWork
    ) -> None:
        world.sandbox.fault("scorpion", "timeout_after", calls=1)
        page = visits.by(coordinator)

        with at_work(deadline=2.5):
            choose(page, world, world.candidates(3))
            press(page, 3)
            expect(progress(page)).to_have_attribute("aria-valuenow", "3")
            expect(page.get_by_role("row").filter(has_text="Outcome unknown")).to_have_count(1)
            expect(take_links(page)).to_have_count(2)
            assert len(world.at_vendor()) == 3
            world.assert_agrees()

            page.get_by_role("link", name="Needs attention").click()
            lost = page.get_by_role("article")
            expect(lost).to_have_count(1)
            expect(lost).to_contain_text("POST")
            lost.get_by_role("link", name="Look it up at the vendor").click()
            lost.get_by_role("button", name="Look it up at the vendor").click()
            expect(page.get_by_text("will be looked up at the vendor")).to_be_visible()
            assert processes.eventually(lambda: is_settled(page), every=0.3)

        page.goto(reverse("batch", args=[Action.objects.values_list("batch", flat=True).distinct().get()]))
        expect(take_links(page)).to_have_count(3)
        assert world.states() == {"done": 3}
        assert len(world.at_vendor()) == 3
        world.assert_agrees()

    def test_is_settled_with_the_ids_that_a_lead_found_at_the_vendor(self, world: World, visits: Visits) -> None:
        world.sandbox.fault("scorpion", "timeout_after", calls=1)
        batch = world.deliver(1)
        world.drain(seconds=0.1)
        (there,) = world.at_vendor().values()
        page = visits.by(world.lead)

        page.goto(reverse("batch", args=[batch.pk]))
        page.get_by_role("link", name="It was created: enter its ids").click()
        form = page.locator("form").filter(has_text="It was created: enter its ids")
        expect(form.get_by_role("textbox").first).to_be_focused()
        form.locator("[name=found-ref]").fill(there["id"])
        form.locator("[name=found-launch_token]").fill(there["launch_token"])
        form.locator("[name=found-proctor_token]").fill(there["proctor_token"])
        form.locator("[name=reason]").fill("Seen in Scorpion")
        form.get_by_role("button", name="Settle it as created").click()

        expect(take_links(page)).to_have_count(1)
        assert world.states() == {"done": 1}
        assert len(world.at_vendor()) == 1
        assert JournalEntry.objects.filter(by=world.lead, reason="Seen in Scorpion").exists()
        world.assert_agrees()
