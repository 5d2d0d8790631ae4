"""How a vendor can fail: the kinds of fault, where each acts on an exchange, and which of the next calls it hits."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import count
from typing import Any, Protocol

from proctoring.sandbox.simulator import Reply


class Exchange(Protocol):
    """One request under way, as a fault handles it. After a fault has acted the connection is closed."""

    def receive(self) -> None:
        """Reads the whole request."""

    def perform(self) -> Reply:
        """Lets the simulator act; nothing is sent."""

    def problem(self, status: int, message: str) -> Reply:
        """The vendor's own way to refuse; nothing happened."""

    def wire(self, reply: Reply) -> bytes:
        """The complete HTTP response."""

    def send(self, data: bytes, *, status: int, is_last: bool = True) -> None:
        """Sends as it is; `status` is what the request log shows."""

    def elsewhere(self) -> str:
        """Another URL at this vendor."""

    def heard(self) -> tuple[str, str]:
        """The request as it came: the headers that are the client's own, and its query and body."""

    def wait(self, seconds: float) -> bool:
        """True when the time has passed, False when the server stops first."""

    def wait_until_left(self) -> bool:
        """True when the client has left, False when the server stops first."""

    def reset(self) -> None:
        """Ends the connection with a TCP RST."""


@dataclass(frozen=True)
class Fault:
    """One way to fail and its extent: the next `calls`, a share of calls (`rate`, 0 to 1), or until cleared.

    `match` is a part of "METHOD path", "" for every call. `seconds` is the delay of `slow`, the pause between the bytes
    of `drip`, the Retry-After of `429_retry_after`, and how long `refused` lasts (0: until cleared).
    """

    kind: str
    calls: int | None = None
    rate: float | None = None
    match: str = ""
    seconds: float = 0.0
    number: int = 0

    def describe(self) -> str:
        """A sentence for people."""
        what = kind_of(self.kind).sentence.format(seconds=f"{self.seconds:g}")
        return f"{what} {self._extent()}{f' whose line contains “{self.match}”' if self.match else ''}."

    def _extent(self) -> str:
        if self.kind == REFUSED:
            return f"For {self.seconds:g} s" if self.seconds else "Until cleared"
        if self.calls is not None:
            return "The next call" if self.calls == 1 else f"The next {self.calls} calls"
        if self.rate is not None:
            return f"{self.rate:.0%} of the calls, until cleared"
        return "Every call until cleared"

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "description": self.describe()}


@dataclass(frozen=True)
class Kind:
    """A kind of fault: what it does, in a sentence, and how it acts. `takes_seconds`: `seconds` means something."""

    sentence: str
    act: Callable[[Fault, Exchange], None]
    takes_seconds: bool = False


class FaultPlan:
    """The faults set for one vendor. Thread-safe; of several that match a call, the one set first acts."""

    def __init__(self, chance: Callable[[], float] = random.random) -> None:
        self._chance = chance
        self._lock = threading.Lock()
        self._numbers = count(1)
        self._faults: dict[int, Fault] = {}

    def set(self, values: Mapping[str, Any]) -> Fault:
        """Adds a fault from its JSON or form values. Raises ValueError with a sentence where they make no sense."""
        fault = read_fault(values)
        with self._lock:
            number = next(self._numbers)
            self._faults[number] = Fault(**{**asdict(fault), "number": number})
            return self._faults[number]

    def take(self, line: str) -> Fault | None:
        """The fault that hits the call `line` ("METHOD path"), counted off."""
        with self._lock:
            for fault in self._faults.values():
                if fault.kind != REFUSED and fault.match in line and self._strikes(fault):
                    self._count_off(fault)
                    return fault
        return None

    def _strikes(self, fault: Fault) -> bool:
        return fault.rate is None or self._chance() < fault.rate

    def _count_off(self, fault: Fault) -> None:
        if fault.calls is None:
            return
        if fault.calls == 1:
            del self._faults[fault.number]
        else:
            self._faults[fault.number] = Fault(**{**asdict(fault), "calls": fault.calls - 1})

    def all(self) -> Sequence[Fault]:
        with self._lock:
            return tuple(self._faults.values())

    @property
    def is_refusing(self) -> bool:
        return any(fault.kind == REFUSED for fault in self.all())

    def clear(self, number: int | None = None) -> None:
        """Removes one fault, or all."""
        with self._lock:
            if number is None:
                self._faults.clear()
            else:
                self._faults.pop(number, None)


def read_fault(values: Mapping[str, Any]) -> Fault:
    """A fault from its values; text counts as a number where a number is meant. Raises ValueError with a sentence."""
    unknown = sorted(set(values) - {"kind", "calls", "rate", "match", "seconds"})
    if unknown:
        raise ValueError(f"Unknown values: {', '.join(unknown)}.")
    kind = str(values.get("kind"))
    if kind not in (*KINDS, *ECHOES):
        raise ValueError(f"kind must be one of {', '.join((*KINDS, *ECHOES))}.")
    calls, rate = _number(values, "calls", 1, 1_000_000), _number(values, "rate", 0, 1)
    if calls is not None and rate is not None:
        raise ValueError("Give calls or rate, not both.")
    if kind == REFUSED and (calls is not None or rate is not None or values.get("match")):
        raise ValueError(
            "refused lasts for its seconds or until cleared: nothing reaches the vendor that could be counted."
        )
    if calls is not None and calls != int(calls):
        raise ValueError("calls must be a whole number.")
    seconds = _number(values, "seconds", 0, 86_400) or 0.0
    return Fault(kind, int(calls) if calls is not None else None, rate, str(values.get("match") or ""), seconds)


def _number(values: Mapping[str, Any], name: str, low: float, high: float) -> float | None:
    value = values.get(name)
    if value is None or value == "":
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if isinstance(value, bool) or not low <= number <= high:
        raise ValueError(f"{name} must be a number from {low:g} to {high:g}.")
    return number


# How each kind acts.


def _respond(exchange: Exchange, reply: Reply) -> None:
    exchange.receive()  # closing with the request unread would reset the connection under the reply
    exchange.send(exchange.wire(reply), status=reply.status)


def _slow(fault: Fault, exchange: Exchange) -> None:
    reply = exchange.perform()
    exchange.wait(fault.seconds)
    _respond(exchange, reply)


def _drip(fault: Fault, exchange: Exchange) -> None:
    reply = exchange.perform()
    data = exchange.wire(reply)
    for place in range(len(data)):
        is_last = place == len(data) - 1
        exchange.send(data[place : place + 1], status=reply.status, is_last=is_last)
        if is_last or not exchange.wait(fault.seconds):
            return


def _refused(fault: Fault, exchange: Exchange) -> None:
    exchange.reset()  # a connection that was open before the port was closed


def _reset(fault: Fault, exchange: Exchange) -> None:
    exchange.reset()


def _reset_after(fault: Fault, exchange: Exchange) -> None:
    exchange.perform()
    exchange.reset()


def _timeout_before(fault: Fault, exchange: Exchange) -> None:
    exchange.receive()
    exchange.wait_until_left()


def _timeout_after(fault: Fault, exchange: Exchange) -> None:
    exchange.perform()
    exchange.wait_until_left()


def _late_effect(fault: Fault, exchange: Exchange) -> None:
    exchange.receive()
    if exchange.wait_until_left():
        exchange.perform()


def _too_many(fault: Fault, exchange: Exchange) -> None:
    _respond(exchange, exchange.problem(429, "Too many requests."))


def _too_many_retry_after(fault: Fault, exchange: Exchange) -> None:
    refusal = exchange.problem(429, "Too many requests.")
    _respond(exchange, Reply(429, refusal.json, refusal.text, {"Retry-After": str(round(fault.seconds))}))


def _before(status: int) -> Callable[[Fault, Exchange], None]:
    def act(fault: Fault, exchange: Exchange) -> None:
        _respond(exchange, _server_error(status, exchange))

    return act


def _after(status: int) -> Callable[[Fault, Exchange], None]:
    def act(fault: Fault, exchange: Exchange) -> None:
        exchange.perform()
        _respond(exchange, _server_error(status, exchange))

    return act


def _server_error(status: int, exchange: Exchange) -> Reply:
    if status == 500:
        return exchange.problem(500, "Something went wrong.")
    # A 502 or 503 comes from what stands before the vendor, which does not speak the vendor's JSON.
    title = {502: "Bad Gateway", 503: "Service Temporarily Unavailable"}[status]
    return Reply(status, text=f"<html><head><title>{status} {title}</title></head><body><h1>{title}</h1></body></html>")


def _html(fault: Fault, exchange: Exchange) -> None:
    exchange.perform()
    _respond(exchange, Reply(text="<!doctype html><title>Sign in</title><h1>Please sign in to continue</h1>"))


def _empty_204(fault: Fault, exchange: Exchange) -> None:
    exchange.perform()
    _respond(exchange, Reply(204))


def _short_body(fault: Fault, exchange: Exchange) -> None:
    reply = exchange.perform()
    whole = exchange.wire(reply if reply.body() else Reply(reply.status, json={"message": "OK"}))
    head, _, body = whole.partition(b"\r\n\r\n")
    exchange.send(head + b"\r\n\r\n" + body[: len(body) // 2], status=reply.status)


def _truncated_json(fault: Fault, exchange: Exchange) -> None:
    reply = exchange.perform()
    text = (reply.body() or b'{"message": "OK"}').decode()
    _respond(exchange, Reply(reply.status, text=text[: len(text) // 2], headers={"Content-Type": "application/json"}))


def _wrong_json(fault: Fault, exchange: Exchange) -> None:
    exchange.perform()
    _respond(exchange, Reply(json=[None, {"unexpected": True}]))


def _null_json(fault: Fault, exchange: Exchange) -> None:
    reply = exchange.perform()
    keys = reply.json if isinstance(reply.json, dict) else {"message": None}
    _respond(exchange, Reply(json=dict.fromkeys(keys)))


def _redirect(fault: Fault, exchange: Exchange) -> None:
    _respond(exchange, Reply(302, headers={"Location": exchange.elsewhere()}))


def _echo(status: int) -> Callable[[Fault, Exchange], None]:
    """A refusal of the caller repeats the headers, with the credentials; one of the content the query and the body."""

    def act(fault: Fault, exchange: Exchange) -> None:
        exchange.receive()
        headers, content = exchange.heard()
        _respond(exchange, exchange.problem(status, f"Not taken: {headers if status in (401, 403) else content}"))

    return act


REFUSED = "refused"

KINDS: Mapping[str, Kind] = {
    "slow": Kind("Answers after {seconds} s.", _slow, True),
    "drip": Kind("Sends the reply a byte at a time, {seconds} s apart.", _drip, True),
    REFUSED: Kind("Refuses connections; the control port still answers.", _refused, True),
    "reset": Kind("Resets the connection before reading; nothing happens.", _reset),
    "reset_after": Kind("Acts, then resets the connection.", _reset_after),
    "timeout_before": Kind("Never answers; nothing happens.", _timeout_before),
    "timeout_after": Kind("Acts, then never answers.", _timeout_after),
    "late_effect": Kind("Never answers, and acts once the client has left.", _late_effect),
    "429": Kind("Answers 429; nothing happens.", _too_many),
    "429_retry_after": Kind("Answers 429 with Retry-After: {seconds} s; nothing happens.", _too_many_retry_after, True),
    "500_before": Kind("Answers 500; nothing happens.", _before(500)),
    "500_after": Kind("Acts, then answers 500.", _after(500)),
    "502_before": Kind("Answers 502; nothing happens.", _before(502)),
    "502_after": Kind("Acts, then answers 502.", _after(502)),
    "503_before": Kind("Answers 503; nothing happens.", _before(503)),
    "503_after": Kind("Acts, then answers 503.", _after(503)),
    "html": Kind("Acts, then answers 200 with an HTML page.", _html),
    "empty_204": Kind("Acts, then answers 204 without a body.", _empty_204),
    "short_body": Kind("Acts, then sends half of the body it announced.", _short_body),
    "truncated_json": Kind("Acts, then answers with JSON that was cut off.", _truncated_json),
    "wrong_json": Kind("Acts, then answers 200 with JSON of another shape.", _wrong_json),
    "null_json": Kind("Acts, then answers 200 with its own keys, every value null.", _null_json),
    "redirect": Kind("Answers 302 to another address; nothing happens.", _redirect),
}

# A vendor that repeats in its words what it was told: how much of it is understood depends on the status alone.
ECHOES: Mapping[str, Kind] = {
    f"echo_{status}": Kind(f"Answers {status} and repeats what it was told; nothing happens.", _echo(status))
    for status in (400, 401, 403, 422, 500)
}


def kind_of(name: str) -> Kind:
    return KINDS.get(name) or ECHOES[name]
