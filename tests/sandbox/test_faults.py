"""Every fault as a client on the other side of a real socket sees it."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from proctoring.sandbox.faults import ECHOES, KINDS, Fault, FaultPlan, read_fault
from proctoring.sandbox.server import Sandbox
from tests.sandbox.counter import CounterSimulator

EFFECT_DONE = {
    "slow",
    "drip",
    "reset_after",
    "timeout_after",
    "late_effect",
    "500_after",
    "502_after",
    "503_after",
    "html",
    "empty_204",
    "short_body",
    "truncated_json",
    "wrong_json",
    "null_json",
}
STATUSES = {
    "429": 429,
    "429_retry_after": 429,
    "500_before": 500,
    "500_after": 500,
    "502_before": 502,
    "502_after": 502,
    "503_before": 503,
    "503_after": 503,
    "html": 200,
    "empty_204": 204,
    "truncated_json": 201,
    "wrong_json": 200,
    "null_json": 200,
    "redirect": 302,
    "slow": 201,
    "drip": 201,
}


@pytest.fixture(scope="module")
def running() -> Iterator[Sandbox]:
    with Sandbox.running([CounterSimulator]) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(running: Sandbox) -> Sandbox:
    running.clear_faults("counter")
    running.control("counter", "clear")
    return running


def add(sandbox: Sandbox, id: str = "a", timeout: float = 2.0) -> requests.Response:
    return requests.post(f"{sandbox.url('counter')}/things", json={"id": id}, timeout=timeout, allow_redirects=False)


def things(sandbox: Sandbox) -> list[str]:
    return [thing["id"] for thing in sandbox.state("counter").get("things", [])]


def raw(sandbox: Sandbox, body: bytes = b'{"id": "a"}') -> socket.socket:
    address = urlsplit(sandbox.url("counter"))
    connection = socket.create_connection((address.hostname, address.port), timeout=2)
    head = f"POST /things HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    connection.sendall(head.encode() + body)
    return connection


def eventually(says: Any, seconds: float = 2.0) -> bool:
    ends_at = time.monotonic() + seconds
    while time.monotonic() < ends_at:
        if says():
            return True
        time.sleep(0.01)
    return False


class TestKinds:
    @pytest.mark.parametrize("kind", sorted(STATUSES))
    def test_answers_with_the_status_of_the_kind_and_acts_or_not(self, sandbox: Sandbox, kind: str) -> None:
        sandbox.fault("counter", kind, calls=1, seconds=0)

        response = add(sandbox)

        assert response.status_code == STATUSES[kind]
        assert things(sandbox) == (["a"] if kind in EFFECT_DONE else [])
        assert sandbox.requests("counter")[-1]["fault"] == kind
        assert sandbox.requests("counter")[-1]["status"] == STATUSES[kind]

    @pytest.mark.parametrize("kind", ["reset", "reset_after"])
    def test_resets_the_connection(self, sandbox: Sandbox, kind: str) -> None:
        sandbox.fault("counter", kind, calls=1)

        with raw(sandbox) as connection, pytest.raises(ConnectionResetError):
            connection.recv(1000)

        assert things(sandbox) == (["a"] if kind in EFFECT_DONE else [])

    @pytest.mark.parametrize("kind", ["timeout_before", "timeout_after", "late_effect"])
    def test_never_answers(self, sandbox: Sandbox, kind: str) -> None:
        sandbox.fault("counter", kind, calls=1)

        with pytest.raises(requests.ReadTimeout):
            add(sandbox, timeout=0.1)

        # A client that leaves so soon may be gone before it is noticed that it came.
        assert eventually(lambda: bool(sandbox.requests("counter")) and sandbox.load("counter")["under_way"] == 0)
        assert things(sandbox) == (["a"] if kind in EFFECT_DONE else [])
        assert sandbox.requests("counter")[-1]["status"] is None

    def test_acts_late_only_once_the_client_has_left(self, sandbox: Sandbox) -> None:
        sandbox.fault("counter", "late_effect", calls=1)

        with raw(sandbox):
            assert eventually(lambda: sandbox.load("counter")["under_way"] == 1)
            time.sleep(0.1)
            before = things(sandbox)

        assert before == []
        assert eventually(lambda: things(sandbox) == ["a"])

    def test_acts_before_it_hangs_after_the_effect(self, sandbox: Sandbox) -> None:
        sandbox.fault("counter", "timeout_after", calls=1)

        with raw(sandbox):
            assert eventually(lambda: things(sandbox) == ["a"])

    def test_refuses_connections_until_cleared(self, sandbox: Sandbox) -> None:
        with requests.Session() as session:
            session.get(f"{sandbox.url('counter')}/things/a", timeout=2)
            sandbox.fault("counter", "refused")

            with pytest.raises(requests.ConnectionError):
                session.get(f"{sandbox.url('counter')}/things/a", timeout=2)

        with pytest.raises(ConnectionRefusedError):
            raw(sandbox)
        requests.delete(f"{sandbox.control_url}/counter/_sandbox/faults", timeout=2)
        assert add(sandbox).status_code == 201

    def test_refuses_connections_for_its_seconds(self, sandbox: Sandbox) -> None:
        sandbox.fault("counter", "refused", seconds=1.0)  # long enough for a busy machine to be refused in

        with pytest.raises(requests.ConnectionError):
            add(sandbox)

        assert eventually(lambda: not sandbox.vendors["counter"].is_closed)
        assert add(sandbox).status_code == 201

    def test_answers_slowly_without_holding_others_up(self, sandbox: Sandbox) -> None:
        sandbox.fault("counter", "slow", calls=1, seconds=0.3)
        slow = threading.Thread(target=add, args=(sandbox, "slow"))
        started_at = time.monotonic()
        slow.start()
        assert eventually(lambda: sandbox.load("counter")["under_way"] == 1)

        add(sandbox, "quick")
        quick_seconds = time.monotonic() - started_at
        slow.join()

        assert quick_seconds < 0.25
        assert time.monotonic() - started_at >= 0.3

    def test_drips_the_reply_a_byte_at_a_time(self, sandbox: Sandbox) -> None:
        sandbox.fault("counter", "drip", calls=1, seconds=0.02)

        with raw(sandbox) as connection:
            first = connection.recv(1000)
            second = connection.recv(1000)

        assert first + second == b"HT"

    def test_says_how_long_to_wait(self, sandbox: Sandbox) -> None:
        sandbox.fault("counter", "429_retry_after", calls=1, seconds=7)

        assert add(sandbox).headers["Retry-After"] == "7"
        sandbox.fault("counter", "429", calls=1)
        assert "Retry-After" not in add(sandbox).headers

    def test_sends_half_of_the_body_it_announced(self, sandbox: Sandbox) -> None:
        sandbox.fault("counter", "short_body", calls=1)

        with raw(sandbox) as connection:
            received = b"".join(iter(lambda: connection.recv(1000), b""))

        head, _, body = received.partition(b"\r\n\r\n")
        assert b"Content-Length: 25" in head
        assert body == b'{"id": "a", '
        assert things(sandbox) == ["a"]

    def test_spoils_json_in_three_ways(self, sandbox: Sandbox) -> None:
        bodies = []
        for kind in ("truncated_json", "wrong_json", "null_json"):
            sandbox.fault("counter", kind, calls=1)
            bodies.append(add(sandbox).text)

        assert bodies == ['{"id": "a", ', '[null, {"unexpected": true}]', '{"id": null, "made": null}']

    def test_redirects_elsewhere_at_the_vendor(self, sandbox: Sandbox) -> None:
        sandbox.fault("counter", "redirect", calls=1)

        assert add(sandbox).headers["Location"] == f"{sandbox.url('counter')}/elsewhere"

    def test_all_have_a_test_here(self) -> None:
        tested = {
            *STATUSES,
            "reset",
            "reset_after",
            "timeout_before",
            "timeout_after",
            "late_effect",
            "refused",
            "short_body",
        }

        assert tested == set(KINDS)

    @pytest.mark.parametrize("kind", sorted(ECHOES))
    def test_repeats_the_callers_headers_or_the_content_as_the_status_asks(self, sandbox: Sandbox, kind: str) -> None:
        sandbox.fault("counter", kind, calls=1)
        url = f"{sandbox.url('counter')}/things?key=in-the-query"

        response = requests.post(url, json={"id": "in-the-body"}, headers={"Authorization": "Basic in-a-header"})

        assert response.status_code == int(kind.removeprefix("echo_"))
        words = {word for word in ("in-the-query", "in-the-body", "in-a-header") if word in response.text}
        assert words == ({"in-a-header"} if kind in ("echo_401", "echo_403") else {"in-the-query", "in-the-body"})
        assert things(sandbox) == []


class TestFaultPlan:
    def test_hits_the_next_calls_and_no_more(self) -> None:
        plan = FaultPlan()
        plan.set({"kind": "reset", "calls": 2})

        hit = [plan.take("GET /") is not None for _ in range(3)]

        assert hit == [True, True, False]
        assert plan.all() == ()

    def test_hits_only_calls_that_match(self) -> None:
        plan = FaultPlan()
        plan.set({"kind": "reset", "calls": 1, "match": "POST /things"})

        assert plan.take("GET /things/a") is None
        assert plan.take("POST /things") is not None

    def test_hits_a_share_of_calls(self) -> None:
        chances = iter([0.1, 0.9, 0.29])
        plan = FaultPlan(chance=lambda: next(chances))
        plan.set({"kind": "reset", "rate": 0.3})

        assert [plan.take("GET /") is not None for _ in range(3)] == [True, False, True]

    def test_goes_on_until_cleared(self) -> None:
        plan = FaultPlan()
        fault = plan.set({"kind": "reset"})
        other = plan.set({"kind": "html"})

        assert [plan.take("GET /") for _ in range(3)] == [fault] * 3
        plan.clear(fault.number)
        assert plan.take("GET /") == other

    def test_counts_each_call_once_between_threads(self) -> None:
        plan = FaultPlan()
        hits: list[Fault] = []
        plan.set({"kind": "reset", "calls": 100})

        def call() -> None:
            hits.extend(fault for _ in range(50) if (fault := plan.take("GET /")))

        threads = [threading.Thread(target=call) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert len(hits) == 100


class TestReadFault:
    def test_reads_the_text_of_a_form(self) -> None:
        fault = read_fault({"kind": "slow", "calls": "3", "rate": "", "seconds": "0.5", "match": "POST"})

        assert (fault.calls, fault.rate, fault.seconds, fault.match) == (3, None, 0.5, "POST")
        assert fault.describe() == "Answers after 0.5 s. The next 3 calls whose line contains “POST”."

    @pytest.mark.parametrize(
        "values",
        [
            {},
            {"kind": "melt"},
            {"kind": "slow", "calls": 0},
            {"kind": "slow", "calls": 1.5},
            {"kind": "slow", "calls": True},
            {"kind": "slow", "calls": "many"},
            {"kind": "slow", "rate": 1.1},
            {"kind": "slow", "calls": 1, "rate": 1},
            {"kind": "slow", "seconds": -1},
            {"kind": "slow", "seconds": "nan"},
            {"kind": "slow", "until": "noon"},
            {"kind": "refused", "calls": 1},
            {"kind": "refused", "match": "POST"},
        ],
    )
    def test_refuses_what_makes_no_sense(self, values: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match=r"\.$"):
            read_fault(values)
