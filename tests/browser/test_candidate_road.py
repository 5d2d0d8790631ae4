"""From the roster to the exam handed in: the coordinator, the mail, a mail scanner, the candidate and the vendor."""

from __future__ import annotations

import email
import email.policy
import re
import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings
from django.conf import settings as django_settings
from django.core.cache import cache
from django.urls import reverse
from playwright.sync_api import Browser, Locator, Page, Response, expect
from pytest_django.live_server_helper import LiveServer

from proctoring import links
from proctoring.models import Account, Delivery, Invitation, JournalEntry, Session, User
from tests import processes, servers
from tests.browser.conftest import AtWork, Visits
from tests.browser.test_delivering import press, take_links
from tests.browser.test_pages import DESK, PHONE, WIDER
from tests.test_mailer import certificate_for_loopback
from tests.world import World

pytestmark = pytest.mark.browser

ROSTER = "First name,Last name,E-mail\nAnn,Lee,ann@example.org\nBo,Berg,bo@example.org\n"
PATIENCE_MILLISECONDS = 60_000  # for what goes through a worker
LOOKS_EVERY_MILLISECONDS = 10_000  # the page of a batch, at what became of its deliveries
DEVICES: dict[str, dict[str, Any]] = {
    "desktop": {"viewport": DESK},
    "phone": {"viewport": PHONE, "is_mobile": True, "has_touch": True},
}


@pytest.fixture(autouse=True)
def _our_links_lead_here(live_server: LiveServer, settings: LazySettings) -> None:
    settings.SITE_URL = live_server.url
    cache.clear()


def fits(page: Page) -> None:
    assert page.evaluate(WIDER) is None, f"{page.url} is wider than the window"


def has_finished(page: Page, number: int) -> None:
    expect(page.get_by_role("progressbar")).to_have_attribute(
        "aria-valuenow", str(number), timeout=PATIENCE_MILLISECONDS
    )


class TestTheRoad:
    @pytest.mark.timeout(300)
    @pytest.mark.parametrize("device", DEVICES)
    def test_leads_from_the_roster_through_mail_and_exam_to_complete(
        self, world: World, visits: Visits, coordinator: User, at_work: AtWork, device: str
    ) -> None:
        Account.objects.update(poll_seconds=1)
        visits.elsewhere.append(f"{world.sandbox.url('scorpion')}/")
        desk = visits.by(coordinator, **DEVICES[device])

        with at_work():
            self._links_appear(desk, world)
            batch = desk.url
            self._invites(desk)
            link = self._reads_the_mail_as_it_was_sent(desk)
            self._is_fetched_by_a_mail_scanner(visits, world, link)
            watching = visits.by(coordinator, **DEVICES[device])
            watching.clock.install()
            watching.goto(batch)
            row = watching.get_by_role("row").filter(has_text="Ann Lee")
            expect(row).to_contain_text("Not opened")
            self._sits_the_exam(visits.by(**DEVICES[device]), world, link)
            assert processes.eventually(lambda: Session.objects.filter(state="complete").exists(), seconds=60)
            watching.clock.fast_forward(LOOKS_EVERY_MILLISECONDS)
            expect(row).to_contain_text("Complete", timeout=PATIENCE_MILLISECONDS)
            expect(row).to_contain_text("Score 66.67")

        fits(watching)
        expect(watching.get_by_role("row").filter(has_text="Bo Berg")).to_contain_text("Not opened")
        self._finds_all_of_it_on_one_timeline(watching, row)
        world.assert_agrees()

    def _links_appear(self, page: Page, world: World) -> None:
        page.goto("/")
        page.get_by_role("link", name="Deliver an exam").click()
        page.get_by_label("Exam (needed)").select_option(label=world.exam.title)
        page.get_by_label("Upload a file").check()
        page.get_by_label("File", exact=True).set_input_files(
            {"name": "roster.csv", "mimeType": "text/csv", "buffer": ROSTER.encode()}
        )
        page.get_by_role("button", name="Preview").click()
        page.wait_for_url("**/deliver/*-*/")
        fits(page)
        assert not world.at_vendor()
        press(page, 2)
        has_finished(page, 2)
        expect(take_links(page)).to_have_count(2)
        fits(page)

    def _invites(self, page: Page) -> None:
        page.get_by_role("link", name="Invite all who have none (2)").click()
        page.get_by_role("button", name="Invite 2 candidates").click()
        page.wait_for_url("**/invitations/sent/**")
        has_finished(page, 2)
        fits(page)

    def _reads_the_mail_as_it_was_sent(self, page: Page) -> str:
        """Returns the link in it."""
        page.get_by_role("link", name=re.compile("message to Ann Lee$")).click()
        page.wait_for_url(re.compile(r"/invitations/[0-9a-f-]{36}/$"))
        fits(page)
        shown = page.frame_locator("iframe[title='The message as HTML']")
        link = shown.get_by_role("link", name="Go to my exam").get_attribute("href")
        assert link is not None
        text = page.get_by_role("region", name="As text").locator("pre").inner_text()
        invitation = Invitation.objects.get(pk=page.url.split("/")[-2])
        sent = mail_of(invitation)
        assert sent["To"] == "ann@example.org"
        assert lines_of(text) == lines_of(part(sent, "plain"))
        assert link in text
        assert f'href="{link}"' in part(sent, "html")
        delivery = invitation.delivery
        assert link == links.url_of(delivery)
        assert not any(secret in str(sent) for secret in (delivery.take_url, delivery.proctor_url))
        return link

    def _is_fetched_by_a_mail_scanner(self, visits: Visits, world: World, link: str) -> None:
        """One that only fetches, and one that runs the page; both follow every link on it."""
        known, state = len(reached(world)), world.sandbox.state("scorpion")
        scanner = visits.by()

        assert scanner.request.head(link).status == 200
        assert scanner.request.get(link).status == 200
        scanner.goto(link)
        expect(scanner.get_by_role("button", name="Begin my exam")).to_be_visible()
        for address in scanner.eval_on_selector_all("[href], [src]", "all => all.map(one => one.href || one.src)"):
            if address.startswith(visits.site):
                assert scanner.request.get(address).status == 200

        assert world.sandbox.state("scorpion") == state
        assert len(reached(world)) == known
        assert not Delivery.objects.exclude(opened_at=None).exists()
        assert not JournalEntry.objects.filter(event="delivery.opened").exists()

    def _sits_the_exam(self, page: Page, world: World, link: str) -> None:
        page.goto(link)
        expect(page.get_by_role("heading", name="You can begin now")).to_be_visible()
        fits(page)
        with page.expect_response(lambda answer: answer.request.method == "POST") as pressed:
            page.get_by_role("button", name="Begin my exam").click()
        page.wait_for_url("**/take?launch_token=*")
        self._was_sent_on(pressed.value, link)
        self._comes_back_in_the_same_browser(page, link)
        page.get_by_label("90", exact=True).check()
        page.get_by_role("textbox").first.fill("144")
        page.get_by_role("textbox").last.fill("locked")
        fits(page)
        page.get_by_role("button", name="Submit the exam").click()
        expect(page.get_by_role("heading", name="Exam submitted")).to_be_visible()
        (taken,) = (item for item in world.at_vendor().values() if item["status"] != "created")
        assert (taken["status"], taken["score"]) == ("complete", 66.67)

    def _was_sent_on(self, answer: Response, link: str) -> None:
        delivery = Delivery.objects.get(candidate__email="ann@example.org")
        assert (answer.status, answer.url) == (303, link)
        assert answer.headers["location"] == delivery.take_url
        assert delivery.opened_at is not None

    def _comes_back_in_the_same_browser(self, page: Page, link: str) -> None:
        page.goto(link)
        page.get_by_role("button", name="Go on with my exam").click()
        page.wait_for_url("**/take?launch_token=*")

    def _finds_all_of_it_on_one_timeline(self, page: Page, row: Locator) -> None:
        row.get_by_role("link", name="Ann Lee", exact=True).click()
        timeline = page.get_by_role("region", name="Timeline")
        for words in ("Mail taken by the mail server", "Opened", "The vendor reports: Complete"):
            expect(timeline).to_contain_text(words)
        fits(page)


def mail_of(invitation: Invitation) -> EmailMessage:
    """The one file that the worker wrote for it."""
    files = [path.read_bytes() for path in Path(django_settings.EMAIL_FILE_PATH).glob("*.eml")]
    (found,) = (content for content in files if f"Message-ID: <{invitation.pk}@".encode() in content)
    return email.message_from_bytes(found, policy=email.policy.default)


def part(message: EmailMessage, kind: str) -> str:
    body = message.get_body((kind,))
    assert body is not None
    return str(body.get_content())


def lines_of(text: str) -> list[str]:
    return text.strip().splitlines()


def reached(world: World) -> list[dict[str, Any]]:
    """What came to the vendor, without what our own worker reads there by itself."""
    requests = world.sandbox.requests("scorpion")
    return [item for item in requests if item["method"] != "GET" or "authorization" not in item["headers"]]


# --- as in production -------------------------------------------------------------------------------------------------


EXAM_PAGE = b"<!doctype html><link rel=icon href=data:,><title>Exam</title><h1>The vendor's exam</h1>"


@dataclass
class SecureVendor:
    """Over https, at an address that sends its candidates on to another of its hosts."""

    port: int
    heard: dict[str, str] = field(default_factory=dict)  # path → headers

    @property
    def take_url(self) -> str:
        return f"https://127.0.0.1:{self.port}/take?launch_token=take-secret"

    @property
    def exam_url(self) -> str:
        return f"https://localhost:{self.port}/exam"


@pytest.fixture
def pem(tmp_path: Path) -> Path:
    return certificate_for_loopback(tmp_path)


@pytest.fixture
def secure_vendor(pem: Path) -> Iterator[SecureVendor]:
    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            vendor.heard[self.path] = str(self.headers).lower()
            is_door = self.path.startswith("/take")
            self.send_response(302 if is_door else 200)
            self.send_header(*(("Location", vendor.exam_url) if is_door else ("Content-Type", "text/html")))
            self.end_headers()
            self.wfile.write(b"" if is_door else EXAM_PAGE)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        vendor = SecureVendor(server.server_address[1])
        # A browser opens connections that it does not use: each shakes hands in its own thread.
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield vendor
        server.shutdown()
        thread.join()


@pytest.fixture
def secure_visits(world: World, browser: Browser, pem: Path, secure_vendor: SecureVendor) -> Iterator[Visits]:
    """Windows at the console as it runs in production: gunicorn, https and every header that comes with it."""
    port = servers.free_port()
    site = f"https://127.0.0.1:{port}"
    tls = ("--certfile", str(pem), "--keyfile", str(pem))
    command = ("-m", "gunicorn", "config.wsgi", "--threads", "4", "--log-level", "warning", *tls)
    with processes.running(*command, "--bind", f"127.0.0.1:{port}", SITE_URL=site, ALLOW_LOCAL_VENDORS="no") as web:
        assert processes.eventually(lambda: _answers(port), seconds=60)
        visits = Visits(browser, site)
        visits.elsewhere += [secure_vendor.take_url, secure_vendor.exam_url]
        yield visits
        visits.close()
        web.terminate()  # its own worker ends with it
        web.wait(timeout=60)
    assert visits.complaints == []


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def way_in(world: World, secure_vendor: SecureVendor, settings: LazySettings) -> str:
    """The path of a candidate's link that leads to the secure vendor."""
    settings.CALL_DEADLINE_SECONDS = 10.0
    world.deliver(1)
    world.drain()
    Delivery.objects.update(take_url=secure_vendor.take_url)
    return reverse("candidate", args=[links.token_of(Delivery.objects.get())])


class TestInProduction:
    def test_the_button_leads_on_although_no_referrer_is_sent_and_forms_may_not_go_everywhere(
        self, secure_visits: Visits, secure_vendor: SecureVendor, way_in: str
    ) -> None:
        page = secure_visits.by(ignore_https_errors=True)

        shown = page.goto(way_in)
        with page.expect_response(lambda answer: answer.request.method == "POST") as pressed:
            page.get_by_role("button", name="Begin my exam").click()
        page.wait_for_url(secure_vendor.exam_url)

        expect(page.get_by_role("heading", name="The vendor's exam")).to_be_visible()
        assert shown is not None
        assert "max-age=" in shown.headers["strict-transport-security"]
        assert shown.headers["referrer-policy"] == "no-referrer"
        assert shown.headers["content-security-policy"].endswith("form-action 'self' https:")
        sent = pressed.value.request.all_headers()
        assert (pressed.value.status, sent["origin"]) == (303, "null")
        assert "referer" not in sent
        assert list(secure_vendor.heard) == ["/take?launch_token=take-secret", "/exam"]
        assert not any("referer" in headers or way_in.lower() in headers for headers in secure_vendor.heard.values())
        assert Delivery.objects.get().times_opened == 1
        self._works_without_a_script(secure_visits, way_in, secure_vendor.exam_url)

    def _works_without_a_script(self, visits: Visits, way_in: str, exam_url: str) -> None:
        page = visits.by(**DEVICES["phone"], ignore_https_errors=True, java_script_enabled=False)
        page.goto(way_in)
        page.get_by_text("Show another time zone").click()
        page.get_by_label("Time zone").select_option("Asia/Kathmandu")
        page.get_by_role("button", name="Show", exact=True).click()
        page.wait_for_url("**?zone=*")
        page.goto(way_in)
        expect(page.get_by_text("Times are shown in Asia/Kathmandu (UTC+05:45")).to_be_visible()
        page.get_by_role("button", name="Go on with my exam").click()
        page.wait_for_url(exam_url)
        assert Delivery.objects.get().times_opened == 2
