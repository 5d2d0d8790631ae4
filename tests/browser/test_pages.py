"""What every page owes its reader: no errors, no foreign hosts, a phone's width, both themes, no barrier."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from typing import Any
from uuid import UUID

import pytest
from django.urls import reverse
from playwright.sync_api import Page, ViewportSize

from proctoring import deliveries, planning, rosters
from proctoring.models import Role, User
from tests.browser.conftest import Visits, member
from tests.world import World, now

pytestmark = pytest.mark.browser

DESK: ViewportSize = {"width": 1280, "height": 900}
PHONE: ViewportSize = {"width": 390, "height": 844}
MODELS = ("exam", "candidate", "delivery", "account", "team", "user", "action", "call", "batch", "journalentry")
AXE = files("axe_playwright_python").joinpath("axe.min.js")
WCAG: dict[str, Any] = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}}
SHELLS_OWN = ["target-size"]  # the button inside the search field of the shell's lists is 18 pixels high
WIDER = """() => document.documentElement.scrollWidth > document.documentElement.clientWidth
    ? [...document.querySelectorAll("body *")].filter(part => part.getBoundingClientRect().right > innerWidth + 1)
        .slice(0, 3).map(part => part.outerHTML.slice(0, 120))
    : null"""


@pytest.fixture
def busy(world: World) -> dict[str, str]:
    """Addresses of pages that show every kind of row: done, unknown, refused, waiting, left out."""
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


def barriers(page: Page, without: Sequence[str]) -> list[str]:
    """What axe finds against WCAG 2.2 A and AA, except the rules named."""
    page.evaluate(AXE.read_text())
    rules = {rule: {"enabled": False} for rule in without}
    found = page.evaluate("options => axe.run(options)", {**WCAG, "rules": rules})["violations"]
    return [f"{page.url}: {item['id']}: {item['nodes'][0]['html'][:160]}" for item in found]


def paint(page: Page, theme: str) -> None:
    """As the shell's own menu does."""
    page.evaluate("theme => { Alpine.$data(document.documentElement).adminTheme = theme }", theme)
    page.wait_for_function("theme => document.documentElement.classList.contains(theme)", arg=theme)


def faults_of(page: Page, address: str, *, without: Sequence[str] = ()) -> list[str]:
    """One load; its width and theme are changed under it, as a reader might."""
    page.set_viewport_size(DESK)
    page.goto(address)
    paint(page, "light")
    found = barriers(page, without)
    page.set_viewport_size(PHONE)
    paint(page, "dark")
    found += barriers(page, without)
    wide = page.evaluate(WIDER)
    return [*found, f"{address} is wider than a phone: {wide}"] if wide else found


class TestEveryPage:
    def test_for_coordinators_fits_a_phone_and_has_no_barrier_in_either_theme(
        self, world: World, visits: Visits, coordinator: User, busy: dict[str, str]
    ) -> None:
        page = visits.by(coordinator, reduced_motion="reduce")
        addresses = [*map(reverse, ("home", "deliver", "attention")), *busy.values()]
        addresses.append(f"{reverse('deliver')}?exam={world.exam.pk}")

        found = [fault for address in addresses for fault in faults_of(page, address)]

        assert found == []

    def test_of_the_admins_lists_fits_a_phone_and_has_no_barrier_in_either_theme(
        self, world: World, visits: Visits, busy: dict[str, str]
    ) -> None:
        page = visits.by(member(world.team, Role.ADMINISTRATOR), reduced_motion="reduce")
        addresses = [reverse(f"admin:proctoring_{model}_changelist") for model in MODELS]

        found = [fault for address in addresses for fault in faults_of(page, address, without=SHELLS_OWN)]

        assert found == []

    def test_to_sign_in_fits_a_phone_and_has_no_barrier_in_either_theme(self, visits: Visits) -> None:
        assert faults_of(visits.by(), "/") == []
