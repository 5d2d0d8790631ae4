"""One HTTP request on a live socket, answered as the simulator says or as a fault spoils it."""

from __future__ import annotations

import os
import socket
import struct
import sys
import threading
import traceback
from datetime import UTC, datetime
from email.utils import format_datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import cast

from proctoring.sandbox.faults import Fault, kind_of
from proctoring.sandbox.simulator import Reply, Request, Simulator
from proctoring.sandbox.traffic import Entry, Traffic

MAX_BODY_BYTES = 16 * 1024 * 1024
OF_THE_CLIENT = {"host", "user-agent", "accept", "accept-encoding", "connection", "content-length", "content-type"}
POLL_SECONDS = 0.02  # how often a held connection is looked at
_NO_LINGER = struct.pack("ii", 1, 0)  # closing sends a RST


class ClientLeft(ConnectionError):
    """The client closed its end before its request was complete."""


class Incoming:
    """One request on a handler's connection, read when asked for, and the reply to it."""

    def __init__(self, handler: BaseHTTPRequestHandler, stopping: threading.Event) -> None:
        self._handler = handler
        self._stopping = stopping
        self._body: bytes | None = None
        self.method = handler.command
        self.path, _, self.raw_query = handler.path.partition("?")
        self.headers = _headers(handler)
        self.closes = handler.close_connection

    def read(self) -> Request:
        """The whole request. Raises ClientLeft where it does not come whole."""
        if self._body is None:
            length = int(self.headers.get("content-length") or 0)
            self._body = self._handler.rfile.read(length)
            if len(self._body) < length:
                raise ClientLeft
        return Request(self.method, self.path, self.raw_query, self.headers, self._body)

    def refusal(self) -> Reply | None:
        """The reply to a request whose body cannot be read, else None."""
        length = self.headers.get("content-length", "0")
        if "transfer-encoding" in self.headers:
            return Reply(411, text="A Content-Length is required.")
        if not (length.isascii() and length.isdigit()):
            return Reply(400, text="Bad Content-Length.")
        return Reply(413, text="The request is too large.") if int(length) > MAX_BODY_BYTES else None

    def wire(self, reply: Reply) -> bytes:
        body = reply.body()
        lines = [f"HTTP/1.1 {reply.status} {_phrase(reply.status)}", "Server: sandbox"]
        if "date" not in {name.lower() for name in reply.headers}:  # a simulated vendor's clock may be wrong
            lines.append(f"Date: {format_datetime(datetime.now(UTC), usegmt=True)}")
        lines += [f"{name}: {value}" for name, value in reply.headers.items() if name.lower() != "content-type"]
        if reply.content_type():
            lines.append(f"Content-Type: {reply.content_type()}")
        if reply.status not in (204, 304):
            lines.append(f"Content-Length: {len(body)}")
        if self.closes or self._stopping.is_set():
            self.closes = True
            lines.append("Connection: close")
        head = "\r\n".join(lines).encode("latin-1", errors="replace") + b"\r\n\r\n"
        return head if self.method == "HEAD" or reply.status in (204, 304) else head + body

    def send_bytes(self, data: bytes) -> None:
        self._handler.connection.sendall(data)
        self._handler.close_connection = self.closes


class Exchange(Incoming):
    """A vendor's request under way: what `faults.Exchange` asks for."""

    def __init__(
        self, handler: BaseHTTPRequestHandler, stopping: threading.Event, simulator: Simulator, traffic: Traffic
    ) -> None:
        super().__init__(handler, stopping)
        self._simulator = simulator
        self._traffic = traffic
        self._entry = Entry(self.method, self.path, self.raw_query, self.headers)

    def run(self, fault: Fault | None) -> None:
        self._entry.fault = fault.kind if fault else ""
        self._traffic.begin(self._entry, self)
        try:
            self._answer(fault)
        finally:
            self._traffic.end(self)

    def _answer(self, fault: Fault | None) -> None:
        refusal = self.refusal()
        self.closes = self._handler.close_connection = self.closes or fault is not None or refusal is not None
        if refusal is not None:
            self.send(self.wire(refusal), status=refusal.status)
        elif fault is not None:
            kind_of(fault.kind).act(fault, self)
        else:
            reply = self.perform()
            self.send(self.wire(reply), status=reply.status)

    def receive(self) -> None:
        if self._body is None:
            self._traffic.keep_body(self._entry, self.read().body)

    def perform(self) -> Reply:
        self.receive()
        with self._simulator.lock:
            try:
                return self._simulator.answer(self.read())
            except Exception:
                traceback.print_exc(file=sys.stderr)
                return Reply(500, text="The simulator itself failed; its standard error says how.")

    def problem(self, status: int, message: str) -> Reply:
        return self._simulator.problem(status, message).reply

    def send(self, data: bytes, *, status: int, is_last: bool = True) -> None:
        self._entry.status = status
        if is_last:
            self._traffic.end(self)  # before the client can see the end and send its next request
        self.send_bytes(data)

    def elsewhere(self) -> str:
        return f"{self._simulator.base_url}/elsewhere"

    def heard(self) -> tuple[str, str]:
        headers = [f"{name}: {value}" for name, value in self.headers.items() if name not in OF_THE_CLIENT]
        request = self.read()
        return "; ".join(headers), " ".join(filter(None, (request.raw_query, request.body.decode(errors="replace"))))

    def wait(self, seconds: float) -> bool:
        return not self._stopping.wait(seconds)

    def wait_until_left(self) -> bool:
        while not self.has_left():
            if self._stopping.wait(POLL_SECONDS):
                return False
        return True

    def has_left(self) -> bool:
        try:
            return not self._handler.connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def reset(self) -> None:
        self._traffic.end(self)
        connection = cast(socket.socket, self._handler.connection)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        os.close(connection.detach())  # the handler's own close would send a FIN first


def _headers(handler: BaseHTTPRequestHandler) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in handler.headers.items():
        name = name.lower()
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found


def _phrase(status: int) -> str:
    return HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else ""
