"""What reached a vendor's port: the last requests, how many at once, and when they came."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

KEPT_REQUESTS = 500
KEPT_BODY_BYTES = 256 * 1024  # of one request
KEPT_BYTES = 32 * 1024 * 1024  # of all bodies together
KEPT_ARRIVALS = 100_000


@dataclass
class Entry:
    """One request received. `status` is None until an answer begins, and stays so where none is given."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    at: float = field(default_factory=time.time)
    number: int = 0
    body: bytes = b""
    is_body_cut: bool = False
    status: int | None = None
    fault: str = ""

    def keep_body(self, body: bytes) -> None:
        self.body, self.is_body_cut = body[:KEPT_BODY_BYTES], len(body) > KEPT_BODY_BYTES

    def as_json(self) -> dict[str, Any]:
        return {
            "number": self.number,
            "at": self.at,
            "method": self.method,
            "path": self.path,
            "query": self.query,
            "headers": dict(self.headers),
            "body": self.body.decode("utf-8", errors="replace"),
            "is_body_cut": self.is_body_cut,
            "status": self.status,
            "fault": self.fault,
        }


class UnderWay(Protocol):
    def has_left(self) -> bool:
        """Whether the client has closed its end."""


class Traffic:
    """The log of one vendor's port. Thread-safe and bounded."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: deque[Entry] = deque()
        self._bytes = 0
        self._under_way: set[UnderWay] = set()
        self._arrivals: deque[float] = deque(maxlen=KEPT_ARRIVALS)
        self._count = 0
        self._peak = 0

    def begin(self, entry: Entry, exchange: UnderWay) -> None:
        with self._lock:
            self._count += 1
            entry.number = self._count
            self._arrivals.append(entry.at)
            self._entries.append(entry)
            self._under_way.add(exchange)
            # A client that gave up no longer has a request under way, even where a fault still holds on to it.
            self._peak = max(self._peak, sum(not other.has_left() for other in self._under_way))
            self._forget_oldest()

    def keep_body(self, entry: Entry, body: bytes) -> None:
        with self._lock:
            entry.keep_body(body)
            self._bytes += len(entry.body)
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        while len(self._entries) > KEPT_REQUESTS or (self._bytes > KEPT_BYTES and len(self._entries) > 1):
            self._bytes -= len(self._entries.popleft().body)

    def end(self, exchange: UnderWay) -> None:
        with self._lock:
            self._under_way.discard(exchange)

    def requests(self) -> dict[str, Any]:
        with self._lock:
            return {"count": self._count, "requests": [entry.as_json() for entry in self._entries]}

    def load(self) -> dict[str, Any]:
        """`peak`: most requests under way at once; `arrivals`: when they came, in seconds since 1970."""
        with self._lock:
            return {"peak": self._peak, "under_way": len(self._under_way), "arrivals": list(self._arrivals)}

    def clear(self) -> None:
        with self._lock:
            self._entries.clear()
            self._arrivals.clear()
            self._bytes = self._count = self._peak = 0
