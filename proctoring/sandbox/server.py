"""The sandbox: one port per simulated vendor and a control port, in one process."""

from __future__ import annotations

import importlib
import logging
import signal
import socket
import socketserver
import sqlite3
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

from proctoring.sandbox import console
from proctoring.sandbox.exchange import Exchange, Incoming
from proctoring.sandbox.faults import REFUSED, Fault, FaultPlan
from proctoring.sandbox.simulator import Clock, Document, Problem, Reply, Simulator, Store, utc_now
from proctoring.sandbox.traffic import Traffic

log = logging.getLogger(__name__)

CONTROL_PORT = 8100
GRACE_SECONDS = 5.0  # how long requests under way may take once the sandbox stops
ACCEPT_POLL_SECONDS = 0.05
MAX_LINE_BYTES = 65_536


class Listener(ThreadingHTTPServer):
    """One bound port. `close` ends accepting at once and cuts connections that carry no request."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def __init__(self, address: tuple[str, int], owner: Port) -> None:
        self.owner = owner
        self.connections: set[socket.socket] = set()
        self.busy: set[socket.socket] = set()
        self._accepting: threading.Thread | None = None
        super().__init__(address, Handler)

    def server_bind(self) -> None:
        socketserver.TCPServer.server_bind(self)  # HTTPServer's own would look the host's name up

    def start(self) -> None:
        self._accepting = threading.Thread(target=self.serve_forever, args=(ACCEPT_POLL_SECONDS,), daemon=True)
        self._accepting.start()

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        super().shutdown_request(request)
        self.connections.discard(request)

    def close(self) -> None:
        if self._accepting is not None:
            self.shutdown()
        self.server_close()
        for connection in self.connections - self.busy:
            _shut(connection, socket.SHUT_RD)  # a request that is already here is still answered

    def wait_until_quiet(self, seconds: float) -> None:
        """Waits for the requests under way; those that take longer are cut off."""
        ends_at = time.monotonic() + seconds
        while self.connections and time.monotonic() < ends_at:
            time.sleep(0.005)
        for connection in tuple(self.connections):
            _shut(connection, socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):  # clients come and go
            super().handle_error(request, client_address)


def _shut(connection: socket.socket, how: int) -> None:
    with suppress(OSError):  # the client may have been quicker
        connection.shutdown(how)


class Handler(BaseHTTPRequestHandler):
    """One connection; kept alive between requests as HTTP/1.1 asks."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def handle_one_request(self) -> None:
        listener = cast(Listener, self.server)
        self.raw_requestline = self.rfile.readline(MAX_LINE_BYTES + 1)
        listener.busy.add(self.connection)
        try:
            self._serve(listener)
        finally:
            listener.busy.discard(self.connection)
        self.close_connection = self.close_connection or listener.owner.is_closed

    def _serve(self, listener: Listener) -> None:
        if not self.raw_requestline or listener.owner.has_left(listener):
            self.close_connection = True
        elif len(self.raw_requestline) > MAX_LINE_BYTES:
            self.requestline, self.request_version, self.command = "", "HTTP/1.1", ""
            self.send_error(414)
        elif self.parse_request():
            listener.owner.serve(self)

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet: the request log is a page of its own."""


class Port(ABC):
    """A listener that can be closed and opened again at the same number."""

    def __init__(self, host: str, number: int, stopping: threading.Event) -> None:
        self._host = host
        self.number = number
        self.stopping = stopping
        self._lock = threading.RLock()
        self._listener: Listener | None = None

    @property
    def is_closed(self) -> bool:
        return self._listener is None

    def has_left(self, listener: Listener) -> bool:
        """Whether connections of `listener` are refused by now; a stopping sandbox still answers what has come."""
        return self._listener is not listener and not self.stopping.is_set()

    def bind(self) -> Listener:
        """Takes the port; what connects waits until the listener is started."""
        with self._lock:
            if self._listener is None:
                self._listener = Listener((self._host, self.number), self)
                self.number = self._listener.server_address[1]
            return self._listener

    def open(self) -> None:
        with self._lock:
            if self._listener is None:
                self.bind().start()

    def close(self) -> Listener | None:
        with self._lock:
            listener, self._listener = self._listener, None
            if listener is not None:
                listener.close()
            return listener

    @abstractmethod
    def serve(self, handler: Handler) -> None:
        """Answers the request that the handler holds."""


class VendorPort(Port):
    """One simulated vendor at its port: the simulator, its faults and its traffic."""

    def __init__(self, simulator: type[Simulator], sandbox: Sandbox, number: int) -> None:
        super().__init__(sandbox.host, number, sandbox.stopping)
        self.faults = FaultPlan()
        self.traffic = Traffic()
        self.notice = ""  # what a control answered, for the next view of the page
        listener = self.bind()
        self._store = sandbox.store(simulator.vendor)
        self.simulator = simulator(self._store, base_url=sandbox.address(self.number), clock=sandbox.clock)
        if self._store.is_empty():
            self.simulator.seed()
        listener.start()

    def serve(self, handler: Handler) -> None:
        path = handler.path.partition("?")[0]
        if path.startswith(console.PREFIX):
            incoming = Incoming(handler, self.stopping)
            send(incoming, lambda: console.respond(self, incoming.read(), home=console.PREFIX))
            return
        is_page = path.startswith((*self.simulator.page_prefixes, "/favicon.ico"))
        fault = None if is_page else self.faults.take(f"{handler.command} {path}")
        Exchange(handler, self.stopping, self.simulator, self.traffic).run(fault)

    def state(self) -> dict[str, list[Document]]:
        with self.simulator.lock:
            return self.simulator.state()

    def control(self, name: str, values: Mapping[str, str]) -> Document:
        with self.simulator.lock:
            return self.simulator.control(name, values)

    def set_fault(self, values: Mapping[str, Any]) -> Fault:
        """Raises ValueError with a sentence where the values make no sense."""
        fault = self.faults.set(values)
        if fault.kind == REFUSED:
            self.close()
            if fault.seconds:
                self._later(fault)
        return fault

    def _later(self, fault: Fault) -> None:
        timer = threading.Timer(fault.seconds, self.clear_faults, kwargs={"number": fault.number})
        timer.daemon = True
        timer.start()

    def clear_faults(self, number: int | None = None) -> None:
        self.faults.clear(number)
        if not self.faults.is_refusing and not self.stopping.is_set():
            self.open()

    def release(self) -> None:
        """Closes the store, after the request that holds it."""
        with self.simulator.lock:
            self._store.close()


class ControlPort(Port):
    """The port that always answers: an index, and every vendor's own `/_sandbox/` below `/<vendor>`."""

    def __init__(self, sandbox: Sandbox, number: int) -> None:
        super().__init__(sandbox.host, number, sandbox.stopping)
        self._sandbox = sandbox

    def serve(self, handler: Handler) -> None:
        incoming = Incoming(handler, self.stopping)
        vendor = self._sandbox.vendors.get(incoming.path.split("/")[1])
        if vendor is not None:
            home = f"/{vendor.simulator.vendor}{console.PREFIX}"
            send(incoming, lambda: console.respond(vendor, incoming.read(), home=home))
        elif incoming.path == "/":
            send(incoming, lambda: console.index(self._sandbox.vendors.values()))
        else:
            send(incoming, lambda: Reply(404, json={"message": "There is nothing at this address."}))


def send(incoming: Incoming, respond: Callable[[], Reply]) -> None:
    """Sends what `respond` returns, or the Problem it raises."""
    try:
        reply = incoming.refusal() or respond()
    except Problem as problem:
        reply = problem.reply
    incoming.send_bytes(incoming.wire(reply))


class Sandbox:
    """Simulators, each at its own port, and a control port. Opens its ports at once; `stop` ends it.

    `ports` maps a vendor to its port, else it is the simulator's own; 0 picks a free one. `folder` keeps the vendors'
    state; without one it is forgotten.
    """

    def __init__(
        self,
        simulators: Iterable[type[Simulator]],
        *,
        ports: Mapping[str, int] | None = None,
        host: str = "127.0.0.1",
        control_port: int = CONTROL_PORT,
        folder: Path | None = None,
        clock: Clock = utc_now,
    ) -> None:
        self.host = host
        self.clock = clock
        self.stopping = threading.Event()
        self._folder = folder
        self.vendors: dict[str, VendorPort] = {}
        self._control = ControlPort(self, control_port)
        try:
            self._open(simulators, ports or {})
        except BaseException:
            self.stop()
            raise

    def _open(self, simulators: Iterable[type[Simulator]], ports: Mapping[str, int]) -> None:
        for simulator in simulators:
            number = ports.get(simulator.vendor, simulator.default_port)
            self.vendors[simulator.vendor] = VendorPort(simulator, self, number)
        self._control.open()

    @classmethod
    @contextmanager
    def running(
        cls,
        vendors: Mapping[str, int] | Iterable[type[Simulator]],
        *,
        folder: Path | None = None,
        clock: Clock = utc_now,
    ) -> Iterator[Sandbox]:
        """A sandbox for the length of a `with`: vendors by name with their ports, or simulators at free ports."""
        simulators = [load(key) if isinstance(key, str) else key for key in vendors]
        ports = dict(vendors) if isinstance(vendors, Mapping) else {key.vendor: 0 for key in simulators}
        sandbox = cls(simulators, ports=ports, control_port=0, folder=folder, clock=clock)
        try:
            yield sandbox
        finally:
            sandbox.stop()

    def store(self, vendor: str) -> Store:
        if self._folder is None:
            return Store()
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{vendor}.sqlite3"
        try:
            return Store(path)
        except (sqlite3.Error, ValueError) as error:
            if not _is_broken(path, error):
                raise
            log.warning("%s cannot be read (%s) and was set aside as *.broken: the simulator starts anew.", path, error)
            _set_aside(path)
            return Store(path)

    def address(self, number: int) -> str:
        host = "127.0.0.1" if self.host in ("", "0.0.0.0") else self.host  # noqa: S104
        return f"http://{host}:{number}"

    def url(self, vendor: str) -> str:
        """The base URL of a vendor, without a slash at the end."""
        return self.vendors[vendor].simulator.base_url

    @property
    def control_url(self) -> str:
        return self.address(self._control.number)

    def simulator(self, vendor: str) -> Simulator:
        return self.vendors[vendor].simulator

    def state(self, vendor: str) -> dict[str, list[Document]]:
        return self.vendors[vendor].state()

    def control(self, vendor: str, name: str, /, **values: str) -> Document:
        return self.vendors[vendor].control(name, values)

    def fault(self, vendor: str, kind: str, /, **values: Any) -> Fault:
        """Sets a fault: `fault("scorpion", "slow", seconds=0.1, calls=3, match="POST")`."""
        return self.vendors[vendor].set_fault({"kind": kind, **values})

    def clear_faults(self, vendor: str) -> None:
        self.vendors[vendor].clear_faults()

    def requests(self, vendor: str) -> list[dict[str, Any]]:
        """The last requests this vendor received, oldest first."""
        entries: list[dict[str, Any]] = self.vendors[vendor].traffic.requests()["requests"]
        return entries

    def load(self, vendor: str) -> dict[str, Any]:
        return self.vendors[vendor].traffic.load()

    def stop(self, grace_seconds: float = GRACE_SECONDS) -> None:
        """Accepts nothing more, lets requests under way end (at most `grace_seconds`), lets hung ones go."""
        self.stopping.set()
        ports: list[Port] = [*self.vendors.values(), self._control]
        listeners = [port.close() for port in ports]
        for listener in filter(None, listeners):
            listener.wait_until_quiet(grace_seconds)
        for vendor in self.vendors.values():
            vendor.release()

    def run_until_signalled(self) -> None:
        """Serves until SIGTERM or SIGINT, then stops. For the main thread of a process."""
        asked = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: asked.set())
        asked.wait()
        self.stop()


BROKEN = {sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_ERROR}


def _is_broken(path: Path, error: sqlite3.Error | ValueError) -> bool:
    """Whether the file itself is at fault: a full disk or another process that holds it are not."""
    return path.is_dir() or not isinstance(error, sqlite3.Error) or error.sqlite_errorcode & 0xFF in BROKEN


def _set_aside(path: Path) -> None:
    at = f"{time.time():.0f}.broken"
    for part in (path, *(path.with_name(f"{path.name}-{ending}") for ending in ("wal", "shm"))):
        if part.exists():
            part.replace(part.with_name(f"{part.name}.{at}"))


def load(vendor: str) -> type[Simulator]:
    """The simulator in `proctoring.vendors.<vendor>.sandbox`."""
    module = importlib.import_module(f"proctoring.vendors.{vendor}.sandbox")
    for value in vars(module).values():
        if isinstance(value, type) and issubclass(value, Simulator) and value.__module__ == module.__name__:
            return value
    raise LookupError(f"{module.__name__} defines no Simulator")
