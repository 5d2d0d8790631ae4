"""Handing one mail over, knowing how far it got: SMTP step by step, a file, or any Django mail backend."""

from __future__ import annotations

import email
import email.policy
import os
import re
import select
import smtplib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.mail import DNS_NAME, EmailMultiAlternatives, get_connection

from proctoring.vendors.base import HttpRequest, HttpResponse
from proctoring.vendors.errors import Misconfigured, OutcomeUnknown, Rejected, Scope, Unavailable, VendorError
from proctoring.vendors.mail.adapter import SENDER

SMTP_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
FILE_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
TAKEN = HttpResponse(status=250)
ADDRESS = re.compile(r"[!-~]{1,250}@[!-~]+")  # what may stand in a command of SMTP: visible ASCII, no spaces
NOT_IN_ADDRESS = frozenset('<>,;()[]:\\"')
LEAVING_SECONDS = 2.0  # how long a server may take over the good-bye, which changes nothing
MAY_HAVE_GONE = "The message was sent and the mail server did not answer readably: it may have gone."


def exchange(request: HttpRequest, *, deadline_seconds: float, before_the_end: Callable[[], None]) -> HttpResponse:
    """Hands over the message in `request`. Raises the classes of `vendors.errors`.

    Calls `before_the_end` at the last moment at which nothing can have been taken; if that raises, nothing is.
    """
    to, sender = request.url.removeprefix("mailto:"), request.headers[SENDER]
    if not is_address(to):
        raise Rejected("Mail cannot be addressed to this: it is no plain e-mail address.")
    if not is_address(sender):
        raise _account("The sender that the settings name (DEFAULT_FROM_EMAIL) is no plain e-mail address.")
    if settings.EMAIL_BACKEND == SMTP_BACKEND:
        return _by_smtp(sender, to, request.body, _Line(deadline_seconds, before_the_end))
    if settings.EMAIL_BACKEND == FILE_BACKEND:
        return _to_file(request.body, before_the_end)
    before_the_end()
    return _by_backend(to, request.body)


def is_address(text: str) -> bool:
    """Whether this is one e-mail address that every mail server can be given: ASCII, nothing quoted, one @."""
    return bool(ADDRESS.fullmatch(text)) and text.count("@") == 1 and not NOT_IN_ADDRESS.intersection(text)


# --- SMTP -------------------------------------------------------------------------------------------------------------


class _Line:
    """One connection under one deadline: when it is over the line is cut, however slowly the server drips."""

    client: _Steps | None = None
    is_over = False

    def __init__(self, seconds: float, before_the_end: Callable[[], None]) -> None:
        self.before_the_end = before_the_end
        self.step_seconds = min(seconds, settings.EMAIL_TIMEOUT or seconds)
        self._watch = threading.Timer(seconds, self._cut)
        self._watch.daemon = True
        self._watch.start()

    def _cut(self) -> None:
        self.is_over = True
        connection = self.client.sock if self.client else None
        if connection is not None:
            with suppress(OSError):
                # Of a TLS socket too only the plain part: its own shutdown() would let the rest go out unencrypted.
                socket.socket.shutdown(connection, socket.SHUT_RDWR)

    def leave(self, *, says_so: bool) -> None:
        """Ends the conversation: with a QUIT, or at once where words could be taken for more of the message."""
        if self.client is not None:
            if says_so and self.client.sock is not None:
                with suppress(OSError):
                    self.client.sock.settimeout(min(LEAVING_SECONDS, self.step_seconds))
                    self.client.docmd("QUIT")
            with suppress(OSError):
                self.client.close()
        self._watch.cancel()


class _Steps(smtplib.SMTP):
    """An SMTP client that knows whether the end of the message has left: before it, the server cannot have taken it."""

    has_ended = False

    def __init__(self, line: _Line, **options: Any) -> None:
        self.line = line
        line.client = self
        host, port = settings.EMAIL_HOST, settings.EMAIL_PORT
        super().__init__(host, port, local_hostname=DNS_NAME.get_fqdn(), timeout=line.step_seconds, **options)

    def getreply(self) -> tuple[int, bytes]:
        self._look_at_the_clock()  # it may have been over while there was no line to cut yet
        try:
            reply = super().getreply()
        except smtplib.SMTPResponseException:  # a line without an end
            raise smtplib.SMTPServerDisconnected("it does not speak SMTP") from None
        self._look_at_the_clock()  # what was cut off is no answer, whatever it begins with
        return reply

    def _look_at_the_clock(self) -> None:
        if self.line.is_over:
            raise TimeoutError

    def data(self, msg: Any) -> tuple[int, bytes]:
        """What the server answered to the whole message. Raises SMTPDataError where it did not want to have it."""
        code, words = self.docmd("DATA")
        if code != 354:
            raise smtplib.SMTPDataError(code, words)
        body = re.sub(rb"(?m)^\.", b"..", re.sub(rb"(?:\r\n|\n|\r(?!\n))", b"\r\n", msg))
        self._send_all(body if body.endswith(b"\r\n") else body + b"\r\n")
        self.line.before_the_end()
        if self.line.is_over or not self._is_quiet():
            raise smtplib.SMTPServerDisconnected("before the end of the message")
        self._end_message()
        return self.getreply()

    def _end_message(self) -> None:
        self.has_ended = True  # from the next byte on the message may be taken
        self._send_all(b".\r\n")

    def _send_all(self, data: bytes) -> None:
        if self.sock is None:
            raise smtplib.SMTPServerDisconnected("before the message")
        self.sock.sendall(data)

    def _is_quiet(self) -> bool:
        """Whether the server neither hung up nor spoke out of turn, which would be taken for its answer to the message."""
        connection, words = cast(socket.socket, self.sock), cast(Any, self.file)
        connection.settimeout(0)
        try:
            if words.peek(1):
                return False
        except ssl.SSLWantReadError:
            pass
        finally:
            connection.settimeout(self.line.step_seconds)
        poll = select.poll()
        poll.register(connection, select.POLLIN)
        return not poll.poll(0)


class _SecureSteps(_Steps, smtplib.SMTP_SSL):
    """The same over TLS from the first byte."""


def _by_smtp(sender: str, to: str, body: bytes, line: _Line) -> HttpResponse:
    is_orderly = True
    try:
        client = _signed_in(line)
        _envelope(client, sender, to)
        return _answer(*client.data(body), to)
    except VendorError:
        raise
    except smtplib.SMTPDataError as error:
        raise _refusal(error.smtp_code, error.smtp_error, "the message", to) from None
    except (OSError, EOFError) as error:
        is_orderly = False
        raise _broken(error, line) from None
    except BaseException:  # `before_the_end` said no: a QUIT would become a line of the message
        is_orderly = False
        raise
    finally:
        line.leave(says_so=is_orderly)


def check(*, deadline_seconds: float) -> HttpResponse:
    """Goes as far as a mail server lets us in and takes our leave. Raises as `exchange` does, never OutcomeUnknown."""
    if settings.EMAIL_BACKEND != SMTP_BACKEND:
        return TAKEN
    line = _Line(deadline_seconds, lambda: None)
    try:
        _signed_in(line)
        return TAKEN
    except (OSError, EOFError) as error:
        raise _broken(error, line) from None
    finally:
        line.leave(says_so=True)


def _signed_in(line: _Line) -> _Steps:
    """A client to which the server has listened so far. What it refuses here, it refuses whatever the message is."""
    try:
        client = _connected(line)
        if settings.EMAIL_HOST_USER:
            client.login(settings.EMAIL_HOST_USER, settings.EMAIL_HOST_PASSWORD)
    except smtplib.SMTPAuthenticationError as error:
        raise _unwelcome(error, "refused our user name and password") from None
    except smtplib.SMTPResponseException as error:
        raise _unwelcome(error, "refused us") from None
    except smtplib.SMTPServerDisconnected:
        raise
    except smtplib.SMTPException:
        raise _account("The mail server does not offer what the settings ask for (STARTTLS or signing in).") from None
    except UnicodeError:
        raise _account(
            "The mail server's name, our user name or password hold letters that they cannot have."
        ) from None
    return client


def _connected(line: _Line) -> _Steps:
    if settings.EMAIL_USE_SSL:
        return _SecureSteps(line, context=ssl.create_default_context())
    client = _Steps(line)
    if settings.EMAIL_USE_TLS:
        client.starttls(context=ssl.create_default_context())
    return client


def _envelope(client: _Steps, sender: str, to: str) -> None:
    client.ehlo_or_helo_if_needed()
    code, words = client.mail(sender)
    if 500 <= code < 600:
        raise _account(f"The mail server refuses our sender address ({code}): {_words(words)}")
    if code != 250:
        raise _refusal(code, words, "our sender address")
    code, words = client.rcpt(to)
    if code not in (250, 251):
        raise _refusal(code, words, "this address", to)


def _answer(code: int, words: Any, to: str) -> HttpResponse:
    """What the server said to the whole message. Words that are no answer leave open whether it took it."""
    if code == 250:
        return TAKEN
    if 400 <= code < 600:
        raise _refusal(code, words, "the message", to)
    raise OutcomeUnknown(MAY_HAVE_GONE)


def _refusal(code: int, words: Any, what: str, to: str = "") -> VendorError:
    """A server's no before it took the message: for good, for now, or in words that are no answer."""
    if 500 <= code < 600:
        return Rejected(f"The mail server refused {what} ({code}): {_words(words, to)}", status=code)
    if 400 <= code < 500:
        sentence = f"The mail server put {what} off ({code}): {_words(words, to)}"
        return Unavailable(sentence, status=code, is_about_target=bool(to))
    return Unavailable(f"The mail server answered in words that make no sense: {_words(words, to)}")


def _unwelcome(error: smtplib.SMTPResponseException, did: str) -> VendorError:
    if 500 <= error.smtp_code < 600:
        return _account(f"The mail server {did} ({error.smtp_code}): {_words(error.smtp_error)}")
    return _refusal(error.smtp_code, error.smtp_error, "us")


def _account(sentence: str) -> Misconfigured:
    return Misconfigured(sentence, scope=Scope.ACCOUNT)


def _broken(error: Exception, line: _Line) -> VendorError:
    if line.client is not None and line.client.has_ended:
        return OutcomeUnknown(MAY_HAVE_GONE)
    if isinstance(error, ssl.SSLError):
        reason = getattr(error, "verify_message", "") or error.reason or "the handshake failed"
        return Unavailable(f"No secure connection to the mail server could be made: {reason}.")
    if line.is_over or isinstance(error, TimeoutError):
        return Unavailable("The mail server took too long, before it could take the message.")
    name = type(error).__name__
    return Unavailable(f"The mail server could not be reached, or broke off before it could take the message ({name}).")


def _words(words: Any, to: str = "") -> str:
    """A server's words for a coordinator, without the address, which is a person's and kept encrypted."""
    text = words.decode("utf-8", "replace") if isinstance(words, bytes) else str(words)
    text = " ".join(text.replace("\0", "").split())
    return re.sub(re.escape(to), "this address", text, flags=re.IGNORECASE)[:300] if to else text[:300]


# --- files and other backends -----------------------------------------------------------------------------------------


def _to_file(body: bytes, before_the_end: Callable[[], None]) -> HttpResponse:
    """One file a message, whole or not there at all."""
    folder = Path(settings.EMAIL_FILE_PATH)
    name = f"{time.time_ns()}-{os.getpid()}-{threading.get_ident() % 10_000}.eml"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        draft = folder / f".{name}"
        draft.write_bytes(body)
        before_the_end()
        draft.rename(folder / name)
    except OSError as error:
        raise Unavailable(f"The mail could not be written to its folder: {error.strerror}.") from None
    return TAKEN


def _by_backend(to: str, body: bytes) -> HttpResponse:
    """Any other Django backend, e.g. an anymail provider. What it raises before a connection is told from the rest."""
    try:
        connection = get_connection(fail_silently=False)
    except (ImproperlyConfigured, ImportError) as error:
        raise _account(f"The settings of the mail service are wrong: {_words(error)}") from None
    try:
        sent = connection.send_messages([as_django(to, body)])
    except Exception as error:
        raise _backend_error(error, to) from None
    if not sent:
        raise OutcomeUnknown("The mail service said neither yes nor no: it may have gone.")
    return TAKEN


NOT_SENT = frozenset({"ConnectTimeout", "NewConnectionError", "NameResolutionError", "SSLCertVerificationError"})
NOT_POSSIBLE = frozenset(
    {"AnymailRecipientsRefused", "AnymailInvalidAddress", "AnymailUnsupportedFeature", "AnymailSerializationError"}
)


def _backend_error(error: Exception, to: str) -> VendorError:
    status = getattr(error, "status_code", None) or getattr(getattr(error, "response", None), "status_code", None)
    sentence = f"The mail service refused it: {_words(error, to)}"
    if status in (401, 403):
        return _account(sentence)
    if status == 429:
        return Unavailable("The mail service asked us to slow down (429).", status=429)
    if isinstance(status, int) and 400 <= status < 500:
        return Rejected(sentence, status=status)
    names = set(_names_within(error))
    if status is None and names & NOT_SENT:
        return Unavailable("The mail service could not be reached.")
    if names & NOT_POSSIBLE:
        return Rejected(sentence)
    return OutcomeUnknown("The mail service did not answer readably: it may have gone.")


def _names_within(error: object) -> Iterator[str]:
    """The class names of an error and of those it was made from: libraries wrap the one that says whether it connected."""
    while isinstance(error, BaseException):
        yield from (cls.__name__ for cls in type(error).__mro__)
        inner = getattr(error, "reason", None) or next((arg for arg in error.args if isinstance(arg, Exception)), None)
        error = inner or error.__cause__


KEPT_HEADERS = ("Message-ID", "Date", "Auto-Submitted")


def as_django(to: str, body: bytes) -> EmailMultiAlternatives:
    """The message as Django's backends take it."""
    parsed = email.message_from_bytes(body, policy=email.policy.default)
    text, html = parsed.get_body(("plain",)), parsed.get_body(("html",))
    message = EmailMultiAlternatives(
        subject=str(parsed["Subject"]),
        body=cast(str, text.get_content()) if text else "",
        from_email=str(parsed["From"]),
        to=[to],
        reply_to=[str(parsed["Reply-To"])] if parsed["Reply-To"] else [],
        headers={name: str(parsed[name]) for name in KEPT_HEADERS if parsed[name]},
    )
    if html:
        message.attach_alternative(cast(str, html.get_content()), "text/html")
    for part in parsed.iter_attachments():
        message.attach(part.get_filename() or "attachment", part.get_content(), part.get_content_type())
    return message
