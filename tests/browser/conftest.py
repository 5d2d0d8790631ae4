"""A real browser against the console; real workers where a journey needs them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, Protocol

import pytest
from django.conf import LazySettings
from django.conf import settings as django_settings
from django.test import Client
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect, sync_playwright
from pytest_django.live_server_helper import LiveServer

from proctoring.models import Membership, Role, Team, User
from tests import processes
from tests.conftest import chromium
from tests.world import World

PASSWORD = "a-long-password"
WAIT_MILLISECONDS = 60_000
SWITCHES = [
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
]


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """One browser for all of these tests."""
    before = os.environ.get("DJANGO_ALLOW_ASYNC_UNSAFE")
    # Playwright keeps an event loop in this thread; Django would take every query of a test for one inside it.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    expect.set_options(timeout=WAIT_MILLISECONDS)
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium(), args=SWITCHES)
            yield browser
            browser.close()
    finally:
        if before is None:
            del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]
        else:
            os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = before


class Visits:
    """Windows of people who use the console. What no page may do, in whichever window, is collected."""

    def __init__(self, browser: Browser, site: str) -> None:
        self.site = site
        self.complaints: list[str] = []
        self.expected_statuses: set[int] = set()
        self.elsewhere: list[str] = []  # other sites that a journey leads to
        self._browser = browser
        self._windows = ExitStack()

    def by(self, user: User | None = None, **options: Any) -> Page:
        """A fresh window; signed in where a user is given."""
        context = self._browser.new_context(base_url=self.site, **options)
        self._windows.callback(context.close)
        context.set_default_timeout(WAIT_MILLISECONDS)
        if user is not None:
            context.add_cookies([{"name": django_settings.SESSION_COOKIE_NAME, "value": _key(user), "url": self.site}])
        page = context.new_page()
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.complaints.append(f"{page.url}: {error}"))
        page.on("request", self._see)
        return page

    def close(self) -> None:
        self._windows.close()

    def _hear(self, message: ConsoleMessage) -> None:
        is_expected = any(f"status of {status}" in message.text for status in self.expected_statuses)
        if message.type in ("error", "warning") and not is_expected:
            self.complaints.append(f"{message.location.get('url')}: {message.text}")

    def _see(self, request: Request) -> None:
        if not request.url.startswith((f"{self.site}/", "data:", "blob:", *self.elsewhere)):
            self.complaints.append(f"a request to another host: {request.url}")


def _key(user: User) -> str:
    client = Client()
    client.force_login(user)
    return client.cookies[django_settings.SESSION_COOKIE_NAME].value


@pytest.fixture
def visits(world: World, browser: Browser, live_server: LiveServer) -> Iterator[Visits]:
    """Fails the test where any page logged an error or asked another host for something."""
    visits = Visits(browser, live_server.url)
    yield visits
    visits.close()
    assert visits.complaints == []


class AtWork(Protocol):
    def __call__(self, *, deadline: float = 10.0) -> AbstractContextManager[None]: ...


@pytest.fixture
def at_work(world: World, settings: LazySettings) -> AtWork:
    """A worker and a scheduler on the test's database, for the length of a `with`; a call may take `deadline` seconds."""

    @contextmanager
    def working(*, deadline: float = 10.0) -> Iterator[None]:
        settings.CALL_DEADLINE_SECONDS, settings.LEASE_MARGIN_SECONDS = deadline, 5.0
        with processes.worker(), processes.scheduler():
            yield

    return working


def member(team: Team, role: Role, username: str = "") -> User:
    user = User.objects.create_user(username or role.value, password=PASSWORD, is_staff=True)
    Membership.objects.create(user=user, team=team, role=role)
    return user


@pytest.fixture
def coordinator(world: World) -> User:
    return member(world.team, Role.COORDINATOR)
