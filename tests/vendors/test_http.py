from __future__ import annotations

import gzip
import socket
import ssl
import threading
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from proctoring.vendors import http
from proctoring.vendors.base import HttpRequest, HttpResponse
from proctoring.vendors.errors import Misconfigured, OutcomeUnknown, Scope, Unavailable, VendorError
from proctoring.vendors.http import Limits, exchange, is_public

Script = Callable[[socket.socket], None]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: application/json\r\n\r\n{}"
SECRET = "s3cret-in-the-query"


class LocalServer:
    """Accepts connections on the loopback address and plays one script with each."""

    def __init__(self, script: Script, tls: ssl.SSLContext | None = None) -> None:
        self.script = script
        self.tls = tls
        self.accepted = 0
        self.requests: list[bytes] = []
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                self.accepted += 1
                threading.Thread(target=self._play, args=[connection], daemon=True).start()

    def _play(self, connection: socket.socket) -> None:
        with suppress(OSError), connection:
            if self.tls is None:
                self.script(connection)
            else:
                with self.tls.wrap_socket(connection, server_side=True) as secured:
                    self.script(secured)

    def stop(self) -> None:
        self.listener.close()

    def url(self, path: str = "/things", scheme: str = "http", host: str = "127.0.0.1") -> str:
        return f"{scheme}://{host}:{self.port}{path}"


@pytest.fixture
def serve() -> Iterator[Callable[..., LocalServer]]:
    servers: list[LocalServer] = []

    def start(script: Script, tls: ssl.SSLContext | None = None) -> LocalServer:
        servers.append(LocalServer(script, tls))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


Serve = Callable[..., LocalServer]


def receive(connection: socket.socket) -> bytes:
    data = connection.recv(65536)
    if not data:
        raise ConnectionError("the client has left")
    return data


def read_request(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        data += receive(connection)
    head, _, body = data.partition(b"\r\n\r\n")
    length = next((int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
    while len(body) < length:
        body += receive(connection)
    return head + b"\r\n\r\n" + body


def answering(answer: bytes) -> Script:
    def script(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(answer)

    return script


def dripping(start: bytes, drop: bytes) -> Script:
    def script(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(start)
        for _ in range(100):
            connection.sendall(drop)
            time.sleep(0.02)

    return script


def post(url: str, body: bytes = b'{"a":1}', limits: Limits | None = None, is_effect: bool = True) -> HttpResponse:
    request = HttpRequest(method="POST", url=url, headers={"Content-Type": "application/json"}, body=body)
    return exchange(request, is_effect=is_effect, limits=limits or Limits(deadline_seconds=5, allow_private=True))


def get(url: str, limits: Limits | None = None) -> HttpResponse:
    request = HttpRequest(method="GET", url=url)
    return exchange(request, is_effect=False, limits=limits or Limits(deadline_seconds=5, allow_private=True))


def brief(seconds: float = 0.25, **more: int) -> Limits:
    return Limits(deadline_seconds=seconds, allow_private=True, **more)


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


class TestExchange:
    def test_sends_the_request_as_it_is_and_returns_the_whole_answer(self, serve: Serve) -> None:
        seen: list[bytes] = []

        def script(connection: socket.socket) -> None:
            seen.append(read_request(connection))
            connection.sendall(b"HTTP/1.1 418 Teapot\r\nX-Two: a\r\nX-Two: b\r\nContent-Length: 5\r\n\r\nshort")

        server = serve(script)

        response = post(server.url("/a%2Fb/%7e?x=1&y=%20"), body="é".encode())

        assert (response.status, response.body) == (418, b"short")
        assert response.headers["x-two"] == "a, b"
        head, _, body = seen[0].partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        assert lines[0].startswith("POST /a%2Fb/%7E?x=1&y=%20 HTTP/1.1")
        assert body == "é".encode()
        assert set(lines[1:]) == {
            f"Host: 127.0.0.1:{server.port}",
            "Content-Type: application/json",
            f"User-Agent: {http.USER_AGENT}",
            "Accept-Encoding: identity",
            "Connection: close",
            "Content-Length: 2",
        }

    def test_sends_a_length_of_zero_with_an_effect_without_a_body(self, serve: Serve) -> None:
        seen: list[bytes] = []

        def script(connection: socket.socket) -> None:
            seen.append(read_request(connection))
            connection.sendall(OK)

        post(serve(script).url(), body=b"")

        assert b"content-length: 0" in seen[0].lower()

    def test_follows_no_redirect_and_keeps_no_cookie(self, serve: Serve) -> None:
        seen: list[bytes] = []

        def script(connection: socket.socket) -> None:
            seen.append(read_request(connection))
            connection.sendall(b"HTTP/1.1 302 Found\r\nLocation: /on\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n")

        server = serve(script)

        responses = [get(server.url()), get(server.url())]

        assert [response.status for response in responses] == [302, 302]
        assert responses[0].headers["location"] == "/on"
        assert server.accepted == 2
        assert not any(b"cookie" in request.lower() for request in seen)

    def test_takes_nothing_from_the_environment(
        self, serve: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        seen: list[bytes] = []

        def script(connection: socket.socket) -> None:
            seen.append(read_request(connection))
            connection.sendall(OK)

        netrc = tmp_path / "netrc"
        netrc.write_text("machine 127.0.0.1 login someone password something\n")
        monkeypatch.setenv("NETRC", str(netrc))
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, "http://127.0.0.1:9")

        response = get(serve(script).url())

        assert response.status == 200
        assert b"authorization" not in seen[0].lower()

    def test_opens_a_new_connection_each_time_though_the_server_would_keep_it(self, serve: Serve) -> None:
        def script(connection: socket.socket) -> None:
            while read_request(connection):
                connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n")

        server = serve(script)

        for _ in range(3):
            get(server.url())

        assert server.accepted == 3

    def test_tries_once_only(self, serve: Serve) -> None:
        server = serve(lambda connection: None)

        with pytest.raises(Unavailable):
            get(server.url())

        assert server.accepted == 1

    def test_leaves_no_socket_open(self, serve: Serve) -> None:
        server = serve(answering(OK))
        broken = serve(lambda connection: None)
        before = open_files()

        for _ in range(10):
            get(server.url())
            with pytest.raises(Unavailable):
                get(broken.url())

        time.sleep(0.05)
        assert open_files() <= before + 2

    def test_serves_many_threads_at_once(self, serve: Serve) -> None:
        def script(connection: socket.socket) -> None:
            head = read_request(connection).split(b" ")[1]
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(head), head))

        server = serve(script)

        with ThreadPoolExecutor(16) as pool:
            bodies = list(pool.map(lambda number: get(server.url(f"/{number}")).body, range(100)))

        assert bodies == [f"/{number}".encode() for number in range(100)]

    def test_looks_a_server_name_up(self, serve: Serve) -> None:
        server = serve(answering(OK))

        response = get(server.url(host="localhost"))

        assert response.status == 200

    def test_reads_chunks_and_a_body_that_ends_with_the_connection(self, serve: Serve) -> None:
        chunked = serve(
            answering(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
        )
        closing = serve(answering(b"HTTP/1.1 200 OK\r\n\r\nabcde"))

        assert post(chunked.url()).body == b"abcde"
        assert post(closing.url()).body == b"abcde"

    def test_passes_over_continue(self, serve: Serve) -> None:
        server = serve(answering(b"HTTP/1.1 100 Continue\r\n\r\n" + OK))

        assert post(server.url()).status == 200

    def test_reads_an_answer_that_came_before_all_was_sent(self, serve: Serve) -> None:
        def script(connection: socket.socket) -> None:
            connection.recv(100)
            connection.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
            time.sleep(0.1)
            while connection.recv(65536):
                pass

        response = post(serve(script).url(), body=bytes(2_000_000))

        assert response.status == 413


class TestTotalDeadline:
    @pytest.mark.parametrize(
        "script",
        [
            pytest.param(lambda connection: time.sleep(2), id="says nothing"),
            pytest.param(dripping(b"HTTP/1.1 200 OK\r\nX-Slow: ", b"a"), id="drips a header"),
            pytest.param(dripping(b"HTTP/1.1 200 OK\r\n", b"X-More: a\r\n"), id="drips headers"),
            pytest.param(dripping(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), id="drips continues"),
            pytest.param(dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n", b"a"), id="drips a body"),
            pytest.param(dripping(b"HTTP/1.1 200 OK\r\n\r\n", b"a"), id="drips a body without length"),
            pytest.param(
                dripping(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n"), id="drips chunks"
            ),
        ],
    )
    def test_ends_an_exchange_with_a_server_that(self, serve: Serve, script: Script) -> None:
        server = serve(script)
        started = time.monotonic()

        with pytest.raises(OutcomeUnknown) as caught:
            post(server.url(f"/?token={SECRET}"), limits=brief())

        assert 0.2 < time.monotonic() - started < 5
        assert caught.value.message == "The vendor did not answer completely in time. It may or may not have acted."

    def test_ends_an_exchange_with_a_server_that_reads_slowly(self, serve: Serve) -> None:
        def script(connection: socket.socket) -> None:
            for _ in range(100):
                connection.recv(1000)
                time.sleep(0.02)

        started = time.monotonic()

        with pytest.raises(OutcomeUnknown, match="in time"):
            post(serve(script).url(), body=bytes(20_000_000), limits=brief())

        assert time.monotonic() - started < 5

    def test_leaves_a_read_unavailable(self, serve: Serve) -> None:
        server = serve(lambda connection: time.sleep(1))

        with pytest.raises(Unavailable, match="did not answer completely in time"):
            get(server.url(), limits=brief())

    def test_bounds_a_handshake_that_never_comes(self, serve: Serve) -> None:
        server = serve(lambda connection: time.sleep(1))
        started = time.monotonic()

        with pytest.raises(Unavailable, match="could not be reached in time"):
            post(server.url(scheme="https"), limits=brief())

        assert time.monotonic() - started < 5

    def test_bounds_a_handshake_that_drips(self, serve: Serve) -> None:
        def script(connection: socket.socket) -> None:
            connection.sendall(b"\x16\x03\x03\x40\x00")
            for _ in range(100):
                connection.sendall(b"\x02")
                time.sleep(0.02)

        started = time.monotonic()

        with pytest.raises(Unavailable, match="in time"):
            post(serve(script).url(scheme="https"), limits=brief())

        assert time.monotonic() - started < 5

    def test_bounds_connecting_apart(self) -> None:
        listener = socket.create_server(("127.0.0.1", 0), backlog=0)
        port = listener.getsockname()[1]
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(("127.0.0.1", port))
        limits = Limits(deadline_seconds=5, connect_seconds=0.2, allow_private=True)
        started = time.monotonic()

        with pytest.raises(Unavailable, match="it did not answer in time"):
            post(f"http://127.0.0.1:{port}/", limits=limits)

        assert time.monotonic() - started < 5
        for each in [listener, *waiting]:
            each.close()

    def test_bounds_a_name_that_nobody_answers_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        # The resolver is the machine's own; only its slowness is played here.
        real = socket.getaddrinfo

        def slow(host: str, port: int, *, type: int, flags: int = 0) -> object:
            if not flags & socket.AI_NUMERICHOST:
                time.sleep(1)
            return real(host, port, type=type, flags=flags)

        monkeypatch.setattr(socket, "getaddrinfo", slow)
        started = time.monotonic()

        with pytest.raises(Unavailable, match="could not be looked up in time"):
            post("http://slow.example/", limits=brief())

        assert time.monotonic() - started < 5


class TestSize:
    def test_stops_at_a_declared_length_without_reading(self, serve: Serve) -> None:
        server = serve(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n"))

        with pytest.raises(OutcomeUnknown, match="larger than 1,000 bytes"):
            post(server.url(), limits=brief(5, max_bytes=1000))

    @pytest.mark.parametrize("head", [b"", b"Transfer-Encoding: chunked\r\n"])
    def test_stops_at_a_body_that_does_not_end(self, serve: Serve, head: bytes) -> None:
        def script(connection: socket.socket) -> None:
            read_request(connection)
            connection.sendall(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n")
            while True:
                connection.sendall(b"fff\r\n" + bytes(0xFFF) + b"\r\n")

        with pytest.raises(OutcomeUnknown, match="larger than"):
            post(serve(script).url(), limits=brief(5, max_bytes=100_000))

    def test_stops_at_framing_that_does_not_end(self, serve: Serve) -> None:
        def script(connection: socket.socket) -> None:
            read_request(connection)
            connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n")
            while True:
                connection.sendall(b"X-Trailer: more\r\n" * 1000)

        with pytest.raises(OutcomeUnknown, match="larger than"):
            post(serve(script).url(), limits=brief(5, max_bytes=1000))

    @pytest.mark.parametrize("coding", ["gzip", "deflate"])
    @pytest.mark.parametrize("is_chunked", [False, True])
    def test_does_not_expand_a_bomb(self, serve: Serve, coding: str, is_chunked: bool) -> None:
        body = (gzip.compress if coding == "gzip" else zlib.compress)(bytes(50_000_000))
        frame = b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        if not is_chunked:
            frame = b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
        server = serve(answering(b"HTTP/1.1 200 OK\r\nContent-Encoding: " + coding.encode() + b"\r\n" + frame))
        tracemalloc.start()

        with pytest.raises(Unavailable, match="larger than"):
            get(server.url(), limits=brief(5, max_bytes=100_000))

        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 3_000_000

    def test_reads_what_was_compressed_although_not_asked_for(self, serve: Serve) -> None:
        body = gzip.compress(b'{"a": 1}')
        head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body)

        assert post(serve(answering(head + body)).url()).body == b'{"a": 1}'


BROKEN_ANSWERS = {
    "nothing": b"",
    "half a status": b"HTTP/1.1 2",
    "no HTTP": b"SSH-2.0-OpenSSH\r\n\r\n",
    "half its headers": b"HTTP/1.1 200 OK\r\nContent-Len",
    "a short body": b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{}",
    "a length that is no number": b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n{}",
    "a negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\n{}",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 1\r\n\r\n{}",
    "a header without a colon": b"HTTP/1.1 200 OK\r\nnonsense\r\nContent-Length: 2\r\n\r\n{}",
    "too many headers": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"Content-Length: 2\r\n\r\n{}",
    "an endless header": b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n{}",
    "a chunk size that is no number": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
    "a negative chunk size": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\n{}\r\n0\r\n\r\n",
    "a chunk cut short": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{}",
    "chunks without an end": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n",
    "bad compression": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
}


class TestClassification:
    @pytest.mark.parametrize("answer", BROKEN_ANSWERS.values(), ids=BROKEN_ANSWERS.keys())
    def test_does_not_know_what_became_of_an_effect_answered_with(self, serve: Serve, answer: bytes) -> None:
        server = serve(answering(answer))

        with pytest.raises(OutcomeUnknown) as caught:
            post(server.url(f"/things?token={SECRET}"))

        assert_says_nothing_secret(caught.value)

    @pytest.mark.parametrize("answer", BROKEN_ANSWERS.values(), ids=BROKEN_ANSWERS.keys())
    def test_asks_again_later_for_a_read_answered_with(self, serve: Serve, answer: bytes) -> None:
        server = serve(answering(answer))

        with pytest.raises(Unavailable) as caught:
            get(server.url(f"/things?token={SECRET}"))

        assert_says_nothing_secret(caught.value)

    def test_does_not_know_after_a_reset(self, serve: Serve) -> None:
        def script(connection: socket.socket) -> None:
            connection.recv(10)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")

        with pytest.raises(OutcomeUnknown, match="closed the connection without a complete answer"):
            post(serve(script).url())

    def test_knows_that_a_refused_connection_carried_nothing(self) -> None:
        free = socket.create_server(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()

        with pytest.raises(Unavailable, match="Connection refused"):
            post(f"http://127.0.0.1:{port}/")

    def test_knows_that_an_unknown_name_carried_nothing(self) -> None:
        with pytest.raises(Unavailable, match="name could not be found"):
            post("http://no-such-name.invalid/")

    def test_knows_that_a_connection_without_tls_carried_nothing(self, serve: Serve) -> None:
        def script(connection: socket.socket) -> None:
            connection.recv(10)
            connection.sendall(OK)

        server = serve(script)

        with pytest.raises(Unavailable, match="No secure connection"):
            post(server.url(scheme="https"))


def assert_says_nothing_secret(error: VendorError) -> None:
    assert error.message.startswith("The vendor")
    assert SECRET not in error.message
    assert error.__cause__ is None
    assert error.__context__ is None


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "localhost.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + built.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture
def server_tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


@pytest.fixture
def trusted(certificate: Path) -> Iterator[None]:
    http.tls_context.cache_clear()
    http.tls_context().load_verify_locations(certificate)
    yield
    http.tls_context.cache_clear()


class TestTls:
    @pytest.mark.usefixtures("trusted")
    def test_carries_an_exchange(self, serve: Serve, server_tls: ssl.SSLContext) -> None:
        server = serve(answering(OK), server_tls)

        response = post(server.url(scheme="https", host="localhost"), body=bytes(200_000))

        assert (response.status, response.body) == (200, b"{}")

    @pytest.mark.usefixtures("trusted")
    def test_ends_an_exchange_with_a_server_that_drips(self, serve: Serve, server_tls: ssl.SSLContext) -> None:
        server = serve(dripping(b"HTTP/1.1 200 OK\r\nX-Slow: ", b"a"), server_tls)
        started = time.monotonic()

        with pytest.raises(OutcomeUnknown, match="in time"):
            post(server.url(scheme="https", host="localhost"), limits=brief())

        assert time.monotonic() - started < 5

    @pytest.mark.usefixtures("trusted")
    def test_ends_an_exchange_with_a_server_that_does_not_read(self, serve: Serve, server_tls: ssl.SSLContext) -> None:
        server = serve(lambda connection: time.sleep(1), server_tls)
        started = time.monotonic()

        with pytest.raises(OutcomeUnknown, match="in time"):
            post(server.url(scheme="https", host="localhost"), body=bytes(20_000_000), limits=brief())

        assert time.monotonic() - started < 5

    def test_refuses_a_certificate_that_nobody_vouches_for(self, serve: Serve, server_tls: ssl.SSLContext) -> None:
        server = serve(answering(OK), server_tls)

        with pytest.raises(Unavailable, match="self-signed certificate"):
            post(server.url(scheme="https", host="localhost"))

    @pytest.mark.usefixtures("trusted")
    def test_refuses_a_certificate_for_another_name(self, serve: Serve, server_tls: ssl.SSLContext) -> None:
        server = serve(answering(OK), server_tls)

        with pytest.raises(Unavailable, match="not valid for"):
            post(server.url(scheme="https"))

    @pytest.mark.usefixtures("trusted")
    def test_does_not_know_after_a_close_in_the_middle(self, serve: Serve, server_tls: ssl.SSLContext) -> None:
        server = serve(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"), server_tls)

        with pytest.raises(OutcomeUnknown):
            post(server.url(scheme="https", host="localhost"))


class TestForbiddenAddress:
    @pytest.mark.parametrize(
        "url",
        [
            "http://scorpion.caveon.com/",
            "ftp://scorpion.caveon.com/",
            "https://someone:something@scorpion.caveon.com/",
            "https://@scorpion.caveon.com/",
            "https:///path",
            "https://[::1/",
            "https://host:port/",
            "https://host:99999/",
            "https://host/a b",
            "https://host/a\nb",
            "https://host\\@other/",
            "https://hôst/",
            "",
        ],
    )
    def test_is_refused_before_anything_is_looked_up(self, url: str) -> None:
        with pytest.raises(Misconfigured) as caught:
            post(url, limits=Limits())

        assert caught.value.scope is Scope.ACCOUNT

    @pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1", "2130706433", "0.0.0.0", "[::1]", "10.1.2.3"])
    def test_is_refused_where_it_is_not_public(self, serve: Serve, host: str) -> None:
        server = serve(answering(OK))

        with pytest.raises(Misconfigured, match="not public"):
            post(server.url(scheme="https", host=host), limits=Limits(deadline_seconds=2))

        assert server.accepted == 0

    def test_is_refused_where_one_of_several_is_not_public(self, monkeypatch: pytest.MonkeyPatch) -> None:
        stream = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
        both = [(*stream, ("8.8.8.8", 443)), (*stream, ("10.0.0.1", 443))]
        monkeypatch.setattr(http, "_look_up", lambda *args: both)

        with pytest.raises(Misconfigured, match="not public"):
            post("https://two.example/", limits=Limits(deadline_seconds=2))

    def test_still_takes_no_user_name_where_private_ones_are_allowed(self) -> None:
        with pytest.raises(Misconfigured):
            post("http://someone@127.0.0.1/")


class TestHeaders:
    @pytest.mark.parametrize(
        ("name", "value"), [("Authorization", "Basic a\r\nX: y"), ("X: y", "a"), ("", "a"), ("X", "é"), ("X", "\x00")]
    )
    def test_that_cannot_be_sent_are_refused(self, serve: Serve, name: str, value: str) -> None:
        server = serve(answering(OK))
        request = HttpRequest(method="GET", url=server.url(), headers={name: value})

        with pytest.raises(Misconfigured) as caught:
            exchange(request, is_effect=True, limits=brief())

        assert "Basic" not in caught.value.message
        assert server.accepted == 0

    def test_of_the_connection_are_not_for_an_adapter_to_set(self, serve: Serve) -> None:
        seen: list[bytes] = []

        def script(connection: socket.socket) -> None:
            seen.append(read_request(connection))
            connection.sendall(OK)

        headers = {"host": "elsewhere", "connection": "keep-alive", "accept-encoding": "gzip", "content-length": "9"}
        request = HttpRequest(method="POST", url=serve(script).url(), headers=headers, body=b"{}")

        exchange(request, is_effect=True, limits=brief())

        sent = seen[0].lower()
        assert b"elsewhere" not in sent
        assert b"keep-alive" not in sent
        assert b"gzip" not in sent
        assert sent.count(b"content-length: 2") == 1


class TestIsPublic:
    @pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111"])
    def test_takes_the_open_internet(self, address: str) -> None:
        assert is_public(address)

    @pytest.mark.parametrize(
        "address",
        [
            "127.0.0.1",
            "10.0.0.1",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "192.0.2.1",
            "198.18.0.1",
            "::1",
            "::",
            "fe80::1%eth0",
            "fc00::1",
            "fec0::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "2002:7f00:1::",
            "2001:0:1::1",
            "64:ff9b::7f00:1",
            "2001:db8::1",
        ],
    )
    def test_leaves_out(self, address: str) -> None:
        assert not is_public(address)
