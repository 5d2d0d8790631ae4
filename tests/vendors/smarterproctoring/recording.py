"""A server in SmarterProctoring's place that keeps what it was sent."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

EXAM = "EX1234567890abcdef1234567890abcdef"

Answer = tuple[int, Any]


class Smarter:
    """A server that keeps what it was sent and answers by a function of method and target."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        self.answer: Callable[[str, str], Answer] = lambda method, target: (200, {"sid": EXAM})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                outer.requests.append((self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body))
                status, value = outer.answer(self.command, self.path)
                text = value if isinstance(value, bytes) else json.dumps(value).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST

            def log_message(self, *args: Any) -> None:
                return

        return Handler

    def answers(self, value: Any, status: int = 200) -> None:
        self.answer = lambda method, target: (status, value)

    @property
    def body(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.requests[-1][3])
        return found
