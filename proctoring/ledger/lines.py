"""Lines: what many threads ask for at the same moment is done together."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

Q = TypeVar("Q")
A = TypeVar("A")


class _Ticket(Generic[Q, A]):
    def __init__(self, request: Q) -> None:
        self.request = request
        self.called = threading.Event()  # served, or first in line
        self.answers: list[A] = []
        self.error: BaseException | None = None

    @property
    def is_served(self) -> bool:
        return bool(self.answers) or self.error is not None

    def result(self) -> A:
        if self.error is not None:
            raise self.error
        return self.answers[0]


class Line(Generic[Q, A]):
    """The first in line serves all who stand there; who comes meanwhile is served next, by the first of them.

    `serve` gets the requests and returns as many answers, in their order. What it raises, each of them gets. It may be
    put off by `slack_seconds()`, so that more stand there.
    """

    def __init__(
        self, serve: Callable[[Sequence[Q]], Sequence[A]], *, slack_seconds: Callable[[], float] = lambda: 0.0
    ) -> None:
        self._serve = serve
        self._slack_seconds = slack_seconds
        self._lock = threading.Lock()
        self._standing: list[_Ticket[Q, A]] = []
        self._is_busy = False

    def ask(self, request: Q) -> A:
        ticket: _Ticket[Q, A] = _Ticket(request)
        with self._lock:
            self._standing.append(ticket)
            is_first, self._is_busy = not self._is_busy, True
        if not is_first:
            ticket.called.wait()
        if not ticket.is_served:
            self._serve_all()
        return ticket.result()

    def _serve_all(self) -> None:
        if seconds := self._slack_seconds():
            time.sleep(seconds)
        with self._lock:
            tickets, self._standing = self._standing, []
        try:
            answers = self._serve([ticket.request for ticket in tickets])
            for ticket, answer in zip(tickets, answers, strict=True):
                ticket.answers.append(answer)
        except BaseException as error:  # a thread that asked must not wait for ever
            for ticket in tickets:
                ticket.error = error
        finally:
            with self._lock:
                following = self._standing[0] if self._standing else None
                self._is_busy = following is not None
            for ticket in tickets:
                ticket.called.set()
            if following is not None:
                following.called.set()
