"""The one HTTP client: one request, one fresh connection, one complete answer or an error that says what is known.

Nothing is followed, remembered or tried again, and nothing is taken from the environment. Plain Python, thread-safe,
and safe in a forked process: it keeps no connection and no thread of its own.
"""

from __future__ import annotations

import http.client
import io
import ipaddress
import queue
import re
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.errors import MultipartInvariantViolationDefect, StartBoundaryNotFoundDefect
from functools import lru_cache
from typing import Any, cast
from urllib.parse import SplitResult, urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError

from proctoring.vendors.base import HttpRequest, HttpResponse
from proctoring.vendors.cleaning import clean_text
from proctoring.vendors.errors import Misconfigured, OutcomeUnknown, Scope, Unavailable, VendorError

VERSION = "0.1.0"
USER_AGENT = f"proctoring-console/{VERSION}"
MEBIBYTE = 1024 * 1024
READ_BYTES = 64 * 1024

NO_CONNECTION = "No connection to the vendor's server could be made"
NOT_IN_TIME = "The vendor's server could not be reached in time."
ANSWER_TOO_LATE = "The vendor did not answer completely in time."
ANSWER_BROKEN = "The vendor closed the connection without a complete answer."
ANSWER_UNREADABLE = "The vendor's answer is not proper HTTP."

TRANSPORT_ERRORS = (requests.RequestException, HTTPError, http.client.HTTPException, OSError, ValueError)

Address = tuple[socket.AddressFamily, socket.SocketKind, int, str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long one exchange may take in all, how long of that to connect, and how large a decoded body may be.

    `allow_private` admits plain http and addresses that are not public.
    """

    deadline_seconds: float = 30.0
    connect_seconds: float = 10.0
    max_bytes: int = 5 * MEBIBYTE
    allow_private: bool = False


def exchange(request: HttpRequest, *, is_effect: bool, limits: Limits | None = None) -> HttpResponse:
    """Sends `request` and returns the complete answer, whatever its status.

    Raises Misconfigured for an address that may not be called; Unavailable where no byte of the request can have left,
    or where it was only a read; OutcomeUnknown where an effect may have been sent and no complete answer came.
    """
    limits = limits or Limits()
    target = _checked_target(request, limits)
    line = _Line(limits)
    try:
        return _converse(request, target, line)
    except _BrokenOff as broken:
        sentence = broken.sentence
    except TRANSPORT_ERRORS as error:
        sentence = _sentence(error, line)
    finally:
        line.close()
    # Raised outside the handlers: what the libraries say may hold the URL with its query, and must not be chained on.
    raise _verdict(sentence, is_effect=is_effect, has_sent=line.has_sent)


def _verdict(sentence: str, *, is_effect: bool, has_sent: bool) -> VendorError:
    if is_effect and has_sent:
        return OutcomeUnknown(f"{sentence} It may or may not have acted.")
    return Unavailable(sentence)


def _sentence(error: Exception, line: _Line) -> str:
    if not line.has_sent:
        return f"{NO_CONNECTION}."
    is_lost = isinstance(error, (requests.ConnectionError, ConnectionError))
    return ANSWER_BROKEN if is_lost else ANSWER_UNREADABLE


class _BrokenOff(Exception):
    """The exchange ended without a complete answer, for a reason that we can name."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


# What may be called


def _checked_target(request: HttpRequest, limits: Limits) -> SplitResult:
    if re.search(r"[^\x21-\x7e]|\\", request.url):
        raise _misconfigured("The vendor's address holds characters that an address cannot have.")
    try:
        target = urlsplit(request.url)
        is_complete = bool(target.hostname) and target.port != 0
    except ValueError:
        is_complete = False
    if not is_complete:
        raise _misconfigured("The vendor's address is not complete.")
    _check_form(target, limits)
    _check_headers(request.headers)
    return target


def _check_form(target: SplitResult, limits: Limits) -> None:
    if target.scheme not in (("https", "http") if limits.allow_private else ("https",)):
        raise _misconfigured("The vendor's address must begin with https.")
    if "@" in target.netloc:
        raise _misconfigured("The vendor's address must not hold a user name or password.")


def _check_headers(headers: Mapping[str, str]) -> None:
    for name, value in headers.items():
        if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name) or not re.fullmatch(r"[\x20-\x7e\t]*", value):
            raise _misconfigured(f"The header {name!a} cannot be sent: it holds characters that a header cannot have.")


def _misconfigured(sentence: str) -> Misconfigured:
    return Misconfigured(sentence, scope=Scope.ACCOUNT)


def is_public(address: str) -> bool:
    """Whether an IP address is one of the open internet; those that carry another address inside them are not."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address) and (ip.ipv4_mapped or ip.sixtofour or ip.teredo or ip.is_site_local):
        return False
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or ip.is_unspecified)


# One connection, and its time


class _Line:
    """The connection of one exchange: how much time it has left, and whether a byte of the request may have left."""

    def __init__(self, limits: Limits) -> None:
        now = time.monotonic()
        self.limits = limits
        self.ends_at = now + limits.deadline_seconds
        self.connected_by = min(self.ends_at, now + limits.connect_seconds)
        self.has_sent = False
        self.received = 0
        self.socket: socket.socket | None = None

    def time_to_connect(self) -> float:
        return _time_until(self.connected_by, NOT_IN_TIME)

    def time_left(self) -> float:
        return _time_until(self.ends_at, ANSWER_TOO_LATE if self.has_sent else NOT_IN_TIME)

    def count(self, received: int) -> None:
        # Headers, chunk sizes and trailers count as well: a body within its limit may be wrapped in endless framing.
        self.received += received
        if self.received > 2 * self.limits.max_bytes + MEBIBYTE:
            raise self.too_large()

    def too_large(self) -> _BrokenOff:
        return _BrokenOff(f"The vendor's answer is larger than {self.limits.max_bytes:,} bytes.")

    def close(self) -> None:
        if self.socket is not None:
            self.socket.close()

    def connect(self, host: str, port: int) -> socket.socket:
        """A TCP connection to the first address that answers. The addresses checked are the addresses connected to."""
        addresses = _resolve(host.strip("[]"), port, self.time_to_connect())
        if not self.limits.allow_private and not all(is_public(address[4][0]) for address in addresses):
            raise _misconfigured("The vendor's address leads to a network that is not public.")
        failure = "."
        for left, address in zip(range(len(addresses), 0, -1), addresses, strict=True):
            try:
                return self._connect_to(address, self.time_to_connect() / left)
            except OSError as error:
                failure = f": {error.strerror or 'it did not answer in time'}."
        raise _BrokenOff(NO_CONNECTION + failure)

    def _connect_to(self, address: Address, seconds: float) -> socket.socket:
        family, kind, protocol, _, where = address
        connection = socket.socket(family, kind, protocol)
        try:
            connection.settimeout(seconds)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.connect(where)
            connection.settimeout(self.time_to_connect())
        except BaseException:
            connection.close()
            raise
        self.socket = connection
        return connection


def _time_until(moment: float, sentence: str) -> float:
    seconds = moment - time.monotonic()
    if seconds <= 0:
        raise _BrokenOff(sentence)
    return seconds


def _resolve(host: str, port: int, seconds: float) -> list[Address]:
    try:
        return _look_up(host, port, socket.AI_NUMERICHOST)
    except OSError:
        answer = _look_up_within(host, port, seconds)
    if isinstance(answer, Exception):
        raise _BrokenOff("The vendor's server name could not be found.")
    return answer


def _look_up_within(host: str, port: int, seconds: float) -> list[Address] | Exception:
    """A look-up cannot be interrupted, so it has a thread of its own, which is left behind when time is up."""
    answers: queue.SimpleQueue[list[Address] | Exception] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put(_look_up(host, port))
        except (OSError, UnicodeError) as error:
            answers.put(error)

    threading.Thread(target=ask, name="vendor-name", daemon=True).start()
    try:
        return answers.get(timeout=seconds)
    except queue.Empty:
        raise _BrokenOff("The vendor's server name could not be looked up in time.") from None


def _look_up(host: str, port: int, flags: int = 0) -> list[Address]:
    return list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags))


class _TimedSocket:
    """What http.client asks of a socket; each send and receive gets only the time that the whole exchange has left."""

    def __init__(self, connection: socket.socket, line: _Line) -> None:
        self._connection = connection
        self._line = line

    def sendall(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            self._connection.settimeout(self._line.time_left())
            self._line.has_sent = True
            try:
                rest = rest[self._connection.send(rest) :]
            except TimeoutError:
                raise _BrokenOff(ANSWER_TOO_LATE) from None

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Incoming(self._connection, self._line), READ_BYTES)

    def settimeout(self, seconds: float | None) -> None:
        """Left alone: the time is the exchange's."""

    def close(self) -> None:
        """Left to the exchange: http.client closes its socket while the answer is still being read from the file."""


class _Incoming(io.RawIOBase):
    def __init__(self, connection: socket.socket, line: _Line) -> None:
        self._connection = connection
        self._line = line

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._connection.settimeout(self._line.time_left())
        try:
            received = self._connection.recv_into(buffer)
        except TimeoutError:
            raise _BrokenOff(ANSWER_TOO_LATE) from None
        self._line.count(received)
        return received


# What urllib3 and requests are given


class _StrictResponse(http.client.HTTPResponse):
    """Refuses headers that the standard library would read leniently: a length guessed wrong is a body cut short."""

    def begin(self) -> None:
        super().begin()
        lengths = {length.strip() for value in self.msg.get_all("content-length", []) for length in value.split(",")}
        is_clear = len(lengths) <= 1 and all(length.isascii() and length.isdigit() for length in lengths)
        harmless = (StartBoundaryNotFoundDefect, MultipartInvariantViolationDefect)
        if not is_clear or any(not isinstance(defect, harmless) for defect in self.msg.defects):
            raise _BrokenOff(ANSWER_UNREADABLE)


class _PlainConnection(HTTPConnection):
    response_class = _StrictResponse

    def __init__(self, *args: Any, line: _Line, **options: Any) -> None:
        super().__init__(*args, **options)
        self.line = line

    def _new_conn(self) -> socket.socket:
        return self.line.connect(self.host, self.port)

    def connect(self) -> None:
        super().connect()
        self.sock = cast(socket.socket, _TimedSocket(self.sock, self.line))


class _SecureConnection(HTTPSConnection):
    response_class = _StrictResponse

    def __init__(self, *args: Any, line: _Line, **options: Any) -> None:
        super().__init__(*args, **options)
        self.line = line

    def _new_conn(self) -> socket.socket:
        return self.line.connect(self.host, self.port)

    def connect(self) -> None:
        try:
            super().connect()  # the handshake as a whole keeps within the time that connect() left on the socket
        except TimeoutError:
            raise _BrokenOff(NOT_IN_TIME) from None
        except ssl.SSLError as error:
            reason = getattr(error, "verify_message", "") or error.reason or "the handshake failed"
            raise _BrokenOff(f"No secure connection to the vendor's server could be made: {reason}.") from None
        self.line.socket = self.sock
        self.sock = cast(socket.socket, _TimedSocket(self.sock, self.line))


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _PlainConnection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


@lru_cache(maxsize=1)
def tls_context() -> ssl.SSLContext:
    """The one TLS context, made once because reading the authorities takes long: requests' own and the system's."""
    context = ssl.create_default_context(cafile=DEFAULT_CA_BUNDLE_PATH)
    context.load_default_certs()
    return context


class _Prepared(requests.PreparedRequest):
    """A request as it is, past requests' own preparing: the bytes that were signed or stored are the bytes sent."""

    def __init__(self, request: HttpRequest, target: SplitResult, line: _Line) -> None:
        super().__init__()
        self.method = request.method
        self.url = request.url
        self.headers = CaseInsensitiveDict(request.headers)
        self.headers.update({"User-Agent": USER_AGENT, "Accept-Encoding": "identity", "Connection": "close"})
        for name in ("Content-Length", "Transfer-Encoding", "Host"):
            self.headers.pop(name, None)
        if request.body:
            self.headers["Content-Length"] = str(len(request.body))
        self.body = request.body or None
        self.target = target
        self.line = line


class _Connector(HTTPAdapter):
    """Gives every request a connection of its own: one kept from before may be dead, and the outcome unknowable."""

    def get_connection_with_tls_context(self, request: Any, verify: Any, proxies: Any = None, cert: Any = None) -> Any:
        host, port, line = request.target.hostname, request.target.port, request.line
        if request.target.scheme == "http":
            return _PlainPool(host, port, maxsize=1, line=line)
        return _SecurePool(host, port, maxsize=1, line=line, ssl_context=tls_context())

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Left alone: the context already verifies, and would read its authorities anew for every call."""


CONNECTOR = _Connector(max_retries=0)


def _converse(request: HttpRequest, target: SplitResult, line: _Line) -> HttpResponse:
    # Past requests' Session: that is where cookies, redirects, netrc and proxies live.
    answer = CONNECTOR.send(_Prepared(request, target, line), stream=True)
    declared = answer.headers.get("content-length", "0")
    if declared.isdigit() and int(declared) > line.limits.max_bytes:
        raise line.too_large()
    headers = {clean_text(name.lower()): clean_text(value) for name, value in answer.headers.items()}
    return HttpResponse(status=answer.status_code, headers=headers, body=_read(answer, line))


def _read(answer: requests.Response, line: _Line) -> bytes:
    body = bytearray()
    for part in answer.raw.stream(READ_BYTES, decode_content=True):
        body += part
        if len(body) > line.limits.max_bytes:
            raise line.too_large()
    return bytes(body)
