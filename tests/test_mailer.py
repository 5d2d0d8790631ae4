"""One mail handed over: what each fault of a mail server at each step allows us to say."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from django.conf import LazySettings
from django.core import mail

from proctoring import mailer
from proctoring.vendors.base import HttpRequest
from proctoring.vendors.errors import Misconfigured, OutcomeUnknown, Rejected, Scope, Unavailable, VendorError
from proctoring.vendors.mail.adapter import SENDER as SENDER_HEADER
from tests import smtp
from tests.smtp import Fault, MailServer, Step

SENDER, TO = "exams@console.example", "ann@example.org"
BODY = b"From: exams@console.example\r\nSubject: Your exam\r\nMessage-ID: <1@console.example>\r\n\r\nHello.\r\n"
LARGE = BODY + b"0123456789" * 7 + (b"\r\n" + b"0123456789" * 7) * 60_000  # more than the buffers between us hold
STEP_SECONDS, DEADLINE = 0.25, 2.0


@pytest.fixture
def server(settings: LazySettings) -> Iterator[MailServer]:
    with smtp.running() as running:
        use(running, settings)
        yield running


@pytest.fixture
def asking(settings: LazySettings) -> Iterator[MailServer]:
    """A server that asks for the password, and gets it."""
    with smtp.running(asks_for_password=True) as running:
        use(running, settings)
        settings.EMAIL_HOST_USER, settings.EMAIL_HOST_PASSWORD = smtp.USER, smtp.PASSWORD
        yield running


def use(server: MailServer, settings: LazySettings) -> None:
    settings.EMAIL_BACKEND = mailer.SMTP_BACKEND
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", server.port
    settings.EMAIL_HOST_USER = settings.EMAIL_HOST_PASSWORD = ""
    settings.EMAIL_USE_TLS, settings.EMAIL_USE_SSL = server.tls == "starttls", server.tls == "connect"
    settings.EMAIL_TIMEOUT = STEP_SECONDS


def hand_over(body: bytes = BODY, *, to: str = TO, sender: str = SENDER, seconds: float = DEADLINE) -> None:
    request = HttpRequest(method="MAIL", url=f"mailto:{to}", headers={SENDER_HEADER: sender}, body=body)
    mailer.exchange(request, deadline_seconds=seconds, before_the_end=lambda: None)


def failure(*args: Any, **options: Any) -> VendorError:
    with pytest.raises(VendorError) as caught:
        hand_over(*args, **options)
    return caught.value


# What a server's no means: before it heard of the message it is about us, then about the sender, the address, the mail.
REFUSED: dict[Step, type[VendorError]] = {
    Step.GREETING: Misconfigured,
    Step.EHLO: Misconfigured,
    Step.AUTH: Misconfigured,
    Step.MAIL: Misconfigured,
    Step.RCPT: Rejected,
    Step.DATA: Rejected,
    Step.END: Rejected,
}
STEPS = [*REFUSED]
ANSWERED_BEFORE_THE_END = [step for step in STEPS if step is not Step.END]
SILENCE = [Fault.HANG_UP, Fault.HANG, Fault.RUBBISH]


class TestAServerThatAnswers:
    def test_gets_the_message_once_with_its_envelope(self, server: MailServer) -> None:
        hand_over()

        assert [(item.sender, item.to, item.data) for item in server.stored] == [(SENDER, TO, BODY)]

    def test_may_take_its_time_within_the_deadline(self, server: MailServer) -> None:
        for step in (Step.GREETING, Step.RCPT, Step.BODY, Step.END, Step.QUIT):
            server.fault(step, Fault.LATE, seconds=0.05)

        hand_over()

        assert len(server.stored) == 1

    @pytest.mark.parametrize("step", STEPS)
    def test_is_believed_when_it_refuses(self, asking: MailServer, step: Step) -> None:
        asking.fault(step, Fault.REFUSE)

        error = failure()

        assert type(error) is REFUSED[step]
        assert not asking.stored
        assert "5" in error.message

    @pytest.mark.parametrize("step", STEPS)
    def test_is_asked_again_later_when_it_puts_us_off(self, asking: MailServer, step: Step) -> None:
        asking.fault(step, Fault.DEFER)

        assert type(failure()) is Unavailable
        assert not asking.stored

    def test_pauses_the_whole_account_when_it_refuses_us(self, asking: MailServer) -> None:
        asking.fault(Step.AUTH, Fault.REFUSE)

        error = failure()

        assert isinstance(error, Misconfigured)
        assert error.scope is Scope.ACCOUNT
        assert "user name and password" in error.message
        assert smtp.PASSWORD not in error.message

    def test_that_wants_no_password_though_we_have_one_is_a_matter_of_our_settings(
        self, server: MailServer, settings: LazySettings
    ) -> None:
        settings.EMAIL_HOST_USER = smtp.USER

        assert type(failure()) is Misconfigured

    def test_refuses_one_address_and_takes_the_next(self, server: MailServer) -> None:
        server.fault(Step.RCPT, Fault.REFUSE, to="gone@example.org")

        error = failure(to="gone@example.org")
        hand_over()

        assert type(error) is Rejected
        assert [item.to for item in server.stored] == [TO]

    def test_is_quoted_without_the_address_that_it_refused(self, server: MailServer) -> None:
        server.fault(Step.RCPT, Fault.REFUSE)

        error = failure(to="Ann.Lee@example.org")

        assert "unknown here" in error.message
        assert "ann.lee" not in error.message.lower()


class TestAServerThatFallsSilent:
    @pytest.mark.parametrize("kind", SILENCE)
    @pytest.mark.parametrize("step", ANSWERED_BEFORE_THE_END)
    def test_before_the_end_cannot_have_taken_it(
        self, asking: MailServer, settings: LazySettings, step: Step, kind: Fault
    ) -> None:
        settings.EMAIL_TIMEOUT = 0.1
        asking.fault(step, kind)

        assert type(failure()) is Unavailable
        assert not asking.stored

    @pytest.mark.parametrize("kind", [Fault.HANG_UP, Fault.HANG, Fault.REFUSE, Fault.RUBBISH, Fault.OK_TOO_EARLY])
    def test_in_the_middle_of_the_message_cannot_have_taken_it(self, server: MailServer, kind: Fault) -> None:
        server.fault(Step.BODY, kind, seconds=0.5)

        assert type(failure(LARGE)) is Unavailable
        assert not server.stored

    @pytest.mark.parametrize("stores", [True, False])
    @pytest.mark.parametrize("kind", SILENCE)
    def test_after_the_end_may_have_taken_it(self, server: MailServer, kind: Fault, stores: bool) -> None:
        server.fault(Step.END, kind, stores=stores)

        error = failure()

        assert type(error) is OutcomeUnknown
        assert len(server.stored) == int(stores)

    def test_after_it_took_the_message_costs_nothing(self, server: MailServer) -> None:
        for kind in (Fault.HANG_UP, Fault.HANG, Fault.RUBBISH, Fault.REFUSE, Fault.DEFER):
            server.fault(Step.QUIT, kind, times=1)

        for _ in range(5):
            hand_over()

        assert len(server.stored) == 5

    def test_is_not_told_more_once_the_line_is_broken(self, server: MailServer) -> None:
        server.fault(Step.BODY, Fault.HANG, seconds=0.5)

        started = time.monotonic()
        failure(LARGE)

        assert time.monotonic() - started < 5
        assert server.steps[Step.QUIT] == 0

    def test_is_not_believed_when_it_says_yes_before_it_has_the_message(self, server: MailServer) -> None:
        server.fault(Step.DATA, Fault.OK_TOO_EARLY)

        assert type(failure()) is Unavailable
        assert not server.stored

    def test_that_is_not_there_at_all_cannot_have_taken_it(self, server: MailServer) -> None:
        server.die()

        error = failure()

        assert type(error) is Unavailable
        assert "could not be reached" in error.message

    def test_that_comes_back_at_its_port_takes_the_next(self, server: MailServer) -> None:
        server.die()
        failure()

        server.rise()
        hand_over()

        assert len(server.stored) == 1

    def test_that_dies_having_taken_it_leaves_open_whether_it_has(self, server: MailServer) -> None:
        server.die_at(1)

        assert type(failure()) is OutcomeUnknown
        assert len(server.stored) == 1


class TestTheDeadline:
    @pytest.mark.parametrize("step", [*ANSWERED_BEFORE_THE_END, Step.END])
    def test_holds_for_the_whole_conversation_however_slowly_it_drips(self, asking: MailServer, step: Step) -> None:
        asking.fault(step, Fault.DRIP)

        started = time.monotonic()
        error = failure(seconds=0.2)

        assert time.monotonic() - started < 5
        assert type(error) is (OutcomeUnknown if step is Step.END else Unavailable)

    def test_holds_for_many_answers_each_in_time(self, server: MailServer) -> None:
        for step in (Step.GREETING, Step.EHLO, Step.MAIL, Step.RCPT, Step.DATA):
            server.fault(step, Fault.LATE, seconds=0.12)

        started = time.monotonic()
        error = failure(seconds=0.2)

        assert time.monotonic() - started < 5
        assert type(error) is Unavailable
        assert "too long" in error.message

    def test_holds_for_a_good_bye_too(self, server: MailServer) -> None:
        server.fault(Step.QUIT, Fault.DRIP)

        started = time.monotonic()
        hand_over(seconds=0.25)

        assert time.monotonic() - started < 5
        assert len(server.stored) == 1

    def test_leaves_no_connection_behind(self, server: MailServer) -> None:
        server.fault(Step.EHLO, Fault.HANG)

        failure(seconds=0.2)
        ends = time.monotonic() + 1
        while server.open_lines and time.monotonic() < ends:
            time.sleep(0.01)

        assert server.open_lines == 0


class TestTheMessage:
    @pytest.mark.parametrize(
        ("given", "arrives"),
        [
            (b".\r\n..\r\n.hidden\r\n", b".\r\n..\r\n.hidden\r\n"),
            (b"a\nb\n", b"a\r\nb\r\n"),
            (b"a\rb\r", b"a\r\nb\r\n"),
            (b"a\n.\nMAIL FROM:<x@y.z>\n", b"a\r\n.\r\nMAIL FROM:<x@y.z>\r\n"),
            (b"a\r.\rb", b"a\r\n.\r\nb\r\n"),
            (b"a\r\n\r\r\n", b"a\r\n\r\n\r\n"),
            ("Zoë “Ænes”\r\n".encode(), "Zoë “Ænes”\r\n".encode()),
            (b"\xff\xfe\x80\r\n", b"\xff\xfe\x80\r\n"),
            (b"x" * 5000 + b"\r\n", b"x" * 5000 + b"\r\n"),
            (b"no end", b"no end\r\n"),
        ],
    )
    def test_arrives_as_it_is_with_its_line_ends_set_right(
        self, server: MailServer, given: bytes, arrives: bytes
    ) -> None:
        hand_over(BODY + given)

        assert [item.data for item in server.stored] == [BODY + arrives]

    def test_may_be_large(self, server: MailServer) -> None:
        hand_over(LARGE, seconds=10)

        assert server.stored[0].data == LARGE + b"\r\n"

    @pytest.mark.parametrize(
        "to",
        [
            "",
            "ann",
            "@example.org",
            "ann@",
            "ann lee@example.org",
            "ann@example.org,bob@example.org",
            "<ann@example.org>",
            "ann@example.org> NOTIFY=NEVER",
            "ann@example.org\r\nRCPT TO:<bob@example.org>",
            "ann@example.org\n",
            "jörg@example.org",
            "ann@münchen.example",
            "ann\u202e@example.org",
            "a@b@example.org",
            '"ann"@example.org',
        ],
    )
    def test_is_not_addressed_to_what_is_no_plain_address(self, server: MailServer, to: str) -> None:
        assert type(failure(to=to)) is Rejected
        assert server.steps[Step.GREETING] == 0

    def test_is_not_sent_in_the_name_of_what_is_no_address(self, server: MailServer) -> None:
        assert type(failure(sender="Exams")) is Misconfigured
        assert server.steps[Step.GREETING] == 0


class TestASecureLine:
    @pytest.fixture
    def certificate(self, tmp_path: Path) -> Path:
        return certificate_for_loopback(tmp_path)

    @pytest.fixture(params=["connect", "starttls"])
    def secure(self, request: pytest.FixtureRequest, certificate: Path, settings: LazySettings) -> Iterator[MailServer]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        with smtp.running(tls=request.param, context=context, asks_for_password=True) as running:
            use(running, settings)
            yield running

    def test_is_refused_when_nobody_vouches_for_the_server(self, secure: MailServer, settings: LazySettings) -> None:
        settings.EMAIL_HOST_USER, settings.EMAIL_HOST_PASSWORD = smtp.USER, smtp.PASSWORD

        error = failure()

        assert type(error) is Unavailable
        assert "No secure connection" in error.message
        assert "self-signed" in error.message
        assert secure.steps[Step.AUTH] == secure.steps[Step.MAIL] == 0

    def test_carries_the_password_and_the_message(
        self, secure: MailServer, certificate: Path, settings: LazySettings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        settings.EMAIL_HOST_USER, settings.EMAIL_HOST_PASSWORD = smtp.USER, smtp.PASSWORD

        hand_over()

        assert len(secure.stored) == 1

    def test_is_greeted_anew_where_no_password_is_needed(
        self, secure: MailServer, certificate: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        secure.asks_for_password = False

        hand_over()

        assert len(secure.stored) == 1

    @pytest.mark.parametrize("kind", SILENCE)
    def test_knows_how_far_the_message_got(
        self,
        secure: MailServer,
        certificate: Path,
        settings: LazySettings,
        monkeypatch: pytest.MonkeyPatch,
        kind: Fault,
    ) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        settings.EMAIL_HOST_USER, settings.EMAIL_HOST_PASSWORD = smtp.USER, smtp.PASSWORD
        secure.fault(Step.DATA, kind, times=1)
        secure.fault(Step.END, kind, times=1, stores=True)

        assert [type(failure()), type(failure())] == [Unavailable, OutcomeUnknown]
        assert len(secure.stored) == 1

    def test_holds_to_the_deadline_when_it_drips(
        self, secure: MailServer, certificate: Path, settings: LazySettings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        settings.EMAIL_HOST_USER, settings.EMAIL_HOST_PASSWORD = smtp.USER, smtp.PASSWORD
        secure.fault(Step.MAIL, Fault.DRIP)

        started = time.monotonic()
        error = failure(seconds=0.3)

        assert type(error) is Unavailable
        assert time.monotonic() - started < 5

    def test_is_not_given_up_for_an_open_one(self, server: MailServer, settings: LazySettings) -> None:
        settings.EMAIL_USE_TLS = True

        assert type(failure()) is Misconfigured
        assert server.steps[Step.MAIL] == 0

    @pytest.mark.parametrize(
        ("kind", "error"),
        [
            (Fault.REFUSE, Misconfigured),
            (Fault.DEFER, Unavailable),
            (Fault.RUBBISH, Unavailable),
            (Fault.HANG_UP, Unavailable),
        ],
    )
    def test_that_the_server_offered_and_then_did_not_give_sends_nothing(
        self, certificate: Path, settings: LazySettings, kind: Fault, error: type[VendorError]
    ) -> None:
        with smtp.running(tls="starttls") as server:
            use(server, settings)
            server.fault(Step.STARTTLS, kind)

            assert type(failure()) is error
            assert server.steps[Step.MAIL] == 0

    def test_with_a_server_that_speaks_in_the_clear_is_not_made(
        self, server: MailServer, settings: LazySettings
    ) -> None:
        settings.EMAIL_USE_SSL = True

        assert type(failure()) is Unavailable


def certificate_for_loopback(folder: Path) -> Path:
    """A certificate for 127.0.0.1 that only itself vouches for, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test mail")])
    today = datetime.now(UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(today - timedelta(days=1)).not_valid_after(today + timedelta(days=1))
    builder = builder.add_extension(address, critical=False)
    made = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True).sign(
        key, hashes.SHA256()
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = folder / "server.pem"
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


class TestAFolder:
    def test_gets_one_whole_file_a_message(self, settings: LazySettings, tmp_path: Path) -> None:
        settings.EMAIL_BACKEND, settings.EMAIL_FILE_PATH = mailer.FILE_BACKEND, str(tmp_path / "mail")

        hand_over()
        hand_over()

        assert [path.read_bytes() for path in (tmp_path / "mail").glob("*.eml")] == [BODY, BODY]

    def test_that_cannot_be_written_has_taken_nothing(self, settings: LazySettings, tmp_path: Path) -> None:
        (tmp_path / "mail").write_text("a file where the folder should be")
        settings.EMAIL_BACKEND, settings.EMAIL_FILE_PATH = mailer.FILE_BACKEND, str(tmp_path / "mail")

        assert type(failure()) is Unavailable


ANYMAIL = "anymail.backends.test.EmailBackend"
POSTMARK = "anymail.backends.postmark.EmailBackend"


class TestAMailService:
    def test_takes_the_message(self, settings: LazySettings) -> None:
        settings.EMAIL_BACKEND = ANYMAIL

        hand_over()

        assert [message.to for message in mail.outbox] == [[TO]]

    def test_that_the_settings_get_wrong_is_a_matter_of_the_account(self, settings: LazySettings) -> None:
        for settings.EMAIL_BACKEND in (POSTMARK, "no.such.backend.EmailBackend"):
            assert type(failure()) is Misconfigured

    def test_that_nobody_answers_for_has_taken_nothing(self, settings: LazySettings) -> None:
        settings.EMAIL_BACKEND = POSTMARK
        settings.ANYMAIL = {"POSTMARK_SERVER_TOKEN": "t", "POSTMARK_API_URL": f"http://127.0.0.1:{unused_port()}/"}

        assert type(failure()) is Unavailable

    def test_that_breaks_off_may_have_taken_it(self, settings: LazySettings, server: MailServer) -> None:
        settings.EMAIL_BACKEND = POSTMARK
        settings.ANYMAIL = {"POSTMARK_SERVER_TOKEN": "t", "POSTMARK_API_URL": f"http://127.0.0.1:{server.port}/"}

        assert type(failure()) is OutcomeUnknown


def unused_port() -> int:
    with socket.socket() as line:
        line.bind(("127.0.0.1", 0))
        return int(line.getsockname()[1])
