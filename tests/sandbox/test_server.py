from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from proctoring.sandbox.server import Sandbox, load
from proctoring.vendors.scorpion.sandbox import ScorpionSimulator
from tests.sandbox.counter import CounterSimulator

PROCESS = """
import pathlib, sys
from proctoring.sandbox.server import Sandbox
from tests.sandbox.counter import CounterSimulator
sandbox = Sandbox([CounterSimulator], control_port=0, folder=pathlib.Path(sys.argv[1]))
print(sandbox.url("counter"), flush=True)
sandbox.run_until_signalled()
print("stopped", flush=True)
"""


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox.running([CounterSimulator]) as sandbox:
        yield sandbox


@pytest.fixture
def url(sandbox: Sandbox) -> str:
    return sandbox.url("counter")


def add(url: str, id: str = "a") -> requests.Response:
    return requests.post(f"{url}/things", json={"id": id}, timeout=5)


def raw(url: str, data: bytes) -> bytes:
    address = urlsplit(url)
    with socket.create_connection((address.hostname, address.port), timeout=2) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65_536), b""))


class TestVendorPort:
    def test_answers_as_the_simulator_does(self, url: str) -> None:
        created = add(url)
        read = requests.get(f"{url}/things/x%20y?colour=a&colour=b", timeout=5)

        assert (created.status_code, created.json()) == (201, {"id": "a", "made": True})
        assert read.json() == {"id": "x y", "colours": ["a", "b"]}

    def test_keeps_a_connection_for_several_requests(self, url: str) -> None:
        one = b"GET /things/a HTTP/1.1\r\nHost: x\r\n\r\n"

        assert raw(url, one * 3).count(b"HTTP/1.1 200 OK") == 3

    def test_closes_the_connection_when_asked(self, url: str) -> None:
        received = raw(url, b"GET /things/a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" * 2)

        assert received.count(b"HTTP/1.1 200 OK") == 1
        assert b"Connection: close" in received

    @pytest.mark.parametrize(
        ("data", "status"),
        [
            (b"POST /things HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"411"),
            (b"POST /things HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", b"400"),
            (b"POST /things HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n", b"413"),
            (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n", b"414"),
            (b"nonsense\r\n\r\n", b"400"),
            (b"PURGE /things HTTP/1.1\r\nHost: x\r\n\r\n", b"405"),
        ],
    )
    def test_refuses_what_it_cannot_read(self, url: str, data: bytes, status: bytes) -> None:
        assert status in raw(url, data)[:400]  # a line that is no HTTP is answered without a status line

    def test_does_nothing_for_a_request_that_did_not_come_whole(self, sandbox: Sandbox, url: str) -> None:
        received = raw(url, b"POST /things HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 90\r\n\r\n{")

        assert received == b""
        assert "things" not in sandbox.state("counter")

    def test_answers_500_and_goes_on_after_a_defect_of_the_simulator(
        self, url: str, capfd: pytest.CaptureFixture[str]
    ) -> None:
        assert requests.post(f"{url}/defect", timeout=5).status_code == 500
        assert add(url).status_code == 201
        assert "a defect of the simulator" in capfd.readouterr().err

    def test_spares_human_pages_the_faults(self, sandbox: Sandbox, url: str) -> None:
        sandbox.fault("counter", "500_before", calls=1)

        assert requests.get(f"{url}/page", timeout=5).text == "<h1>Page</h1>"
        assert add(url).status_code == 500

    def test_lets_each_request_act_alone(self, sandbox: Sandbox, url: str) -> None:
        with ThreadPoolExecutor(8) as pool:
            statuses = list(pool.map(lambda n: add(url, str(n)).status_code, range(80)))

        assert statuses == [201] * 80
        assert len(sandbox.state("counter")["things"]) == 80


class TestConsole:
    @pytest.fixture(params=["vendor port", "control port"])
    def console(self, request: pytest.FixtureRequest, sandbox: Sandbox) -> str:
        base = sandbox.url("counter") if request.param == "vendor port" else f"{sandbox.control_url}/counter"
        return f"{base}/_sandbox"

    def test_shows_everything_that_exists(self, console: str, url: str) -> None:
        add(url)

        state = requests.get(f"{console}/state", timeout=5).json()

        assert state == {"accounts": [{"id": "demo", "name": "<Demo>"}], "things": [{"id": "a"}]}

    def test_shows_the_requests_received(self, console: str, url: str) -> None:
        requests.post(f"{url}/things?x=1", json={"id": "a"}, headers={"X-Mark": "m"}, timeout=5)

        shown = requests.get(f"{console}/requests", timeout=5).json()

        entry = shown["requests"][0]
        assert shown["count"] == 1
        assert (entry["method"], entry["path"], entry["query"]) == ("POST", "/things", "x=1")
        assert (entry["headers"]["x-mark"], entry["body"], entry["status"]) == ("m", '{"id": "a"}', 201)

    def test_sets_lists_and_clears_faults(self, console: str, url: str) -> None:
        made = requests.post(f"{console}/faults", json={"kind": "503_before", "calls": 2}, timeout=5)
        assert add(url).status_code == 503

        listed = requests.get(f"{console}/faults", timeout=5).json()["faults"]
        cleared = requests.delete(f"{console}/faults?number={made.json()['number']}", timeout=5)

        assert made.status_code == 201
        assert [(fault["kind"], fault["calls"]) for fault in listed] == [("503_before", 1)]
        assert cleared.status_code == 204
        assert add(url).status_code == 201

    @pytest.mark.parametrize("body", ["[]", "{", '{"kind": "melt"}', '{"kind": "slow", "calls": 0}'])
    def test_refuses_a_fault_that_makes_no_sense(self, console: str, body: str) -> None:
        response = requests.post(f"{console}/faults", data=body, timeout=5)

        assert response.status_code == 400
        assert response.json()["message"]

    def test_acts_on_controls(self, console: str, sandbox: Sandbox) -> None:
        response = requests.post(f"{console}/controls/paint", json={"colour": "blue"}, timeout=5)

        assert response.json() == {"painted": "blue"}
        assert sandbox.state("counter")["accounts"][0]["colour"] == "blue"
        assert requests.post(f"{console}/controls/melt", timeout=5).status_code == 404

    def test_is_a_page_with_forms_that_work_and_escapes_what_it_shows(self, console: str) -> None:
        after = requests.post(f"{console}/controls/paint", data={"colour": "blue"}, timeout=5)
        fault = requests.post(f"{console}/faults", data={"kind": "slow", "calls": "", "seconds": "1"}, timeout=5)
        cleared = requests.post(f"{console}/faults/clear", data={"number": "1"}, timeout=5)

        assert "painted: blue" in after.text
        assert "Answers after 1 s. Every call until cleared." in fault.text
        assert "Answers after 1 s. Every call" not in cleared.text
        assert "Counter &amp; Co" in after.text
        assert "&lt;Demo&gt;" in after.text
        assert "<Demo>" not in after.text

    def test_refuses_changes_from_another_web_site(self, console: str) -> None:
        headers = {"Sec-Fetch-Site": "cross-site"}

        assert requests.post(f"{console}/controls/clear", headers=headers, timeout=5).status_code == 403

    def test_answers_404_elsewhere(self, console: str) -> None:
        assert requests.get(f"{console}/nothing", timeout=5).status_code == 404
        assert requests.put(f"{console}/faults", timeout=5).status_code == 404

    def test_is_itself_spared_faults_and_log(self, console: str, sandbox: Sandbox) -> None:
        sandbox.fault("counter", "500_before")

        assert requests.get(f"{console}/state", timeout=5).status_code == 200
        assert sandbox.requests("counter") == []


class TestControlPort:
    def test_lists_the_vendors(self, sandbox: Sandbox) -> None:
        page = requests.get(f"{sandbox.control_url}/", timeout=5).text

        assert "Counter &amp; Co" in page
        assert "href='/counter/_sandbox/'" in page
        assert requests.get(f"{sandbox.control_url}/other/_sandbox/", timeout=5).status_code == 404
        assert requests.get(f"{sandbox.control_url}/counter/things/a", timeout=5).status_code == 404


class TestTraffic:
    def test_counts_the_most_requests_under_way_at_once(self, sandbox: Sandbox, url: str) -> None:
        sandbox.fault("counter", "slow", seconds=0.1)

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda n: add(url, str(n)), range(12)))

        load = requests.get(f"{url}/_sandbox/load", timeout=5).json()
        assert (load["peak"], load["under_way"], len(load["arrivals"])) == (4, 0, 12)
        assert load["arrivals"] == sorted(load["arrivals"])

    def test_does_not_count_clients_that_gave_up(self, sandbox: Sandbox, url: str) -> None:
        sandbox.fault("counter", "timeout_before", calls=5)

        for _ in range(5):
            with pytest.raises(requests.ReadTimeout):
                requests.get(f"{url}/things/a", timeout=0.02)
        add(url)

        assert sandbox.load("counter")["peak"] == 1

    def test_keeps_the_last_500_requests(self, sandbox: Sandbox, url: str) -> None:
        raw(url, b"GET /things/a HTTP/1.1\r\nHost: x\r\n\r\n" * 510)

        shown = requests.get(f"{url}/_sandbox/requests", timeout=5).json()

        assert (shown["count"], len(shown["requests"]), shown["requests"][0]["number"]) == (510, 500, 11)

    def test_keeps_at_most_a_part_of_a_large_body(self, sandbox: Sandbox, url: str) -> None:
        requests.post(f"{url}/things", data=b"x" * 300_000, timeout=5)

        entry = sandbox.requests("counter")[0]
        assert (len(entry["body"]), entry["is_body_cut"]) == (256 * 1024, True)

    def test_forgets_when_asked(self, sandbox: Sandbox, url: str) -> None:
        add(url)

        requests.delete(f"{url}/_sandbox/requests", timeout=5)

        assert sandbox.requests("counter") == []
        assert sandbox.load("counter") == {"peak": 0, "under_way": 0, "arrivals": []}


class TestSandbox:
    def test_keeps_its_state_across_a_restart(self, tmp_path: Path) -> None:
        with Sandbox.running([CounterSimulator], folder=tmp_path) as sandbox:
            add(sandbox.url("counter"))
            before = sandbox.state("counter")

        with Sandbox.running([CounterSimulator], folder=tmp_path) as sandbox:
            assert sandbox.state("counter") == before

    def test_finds_simulators_by_the_vendor_s_name(self) -> None:
        assert load("scorpion") is ScorpionSimulator
        with Sandbox.running({"scorpion": 0}) as sandbox:
            assert requests.get(f"{sandbox.url('scorpion')}/_sandbox/state", timeout=5).status_code == 200

    def test_says_when_a_port_is_taken(self, sandbox: Sandbox) -> None:
        port = urlsplit(sandbox.url("counter")).port
        assert port is not None

        with pytest.raises(OSError, match="in use"):
            Sandbox([CounterSimulator], ports={"counter": port}, control_port=0)

    def test_lets_requests_under_way_end_and_hung_ones_go(self) -> None:
        with Sandbox.running([CounterSimulator]) as sandbox, ThreadPoolExecutor(2) as pool:
            sandbox.fault("counter", "slow", calls=1, seconds=60, match="POST")
            sandbox.fault("counter", "timeout_before", calls=1, match="GET")
            slow = pool.submit(add, sandbox.url("counter"))
            hung = pool.submit(requests.get, f"{sandbox.url('counter')}/things/a", timeout=30)
            while sandbox.load("counter")["under_way"] < 2:
                time.sleep(0.01)
            started_at = time.monotonic()

            sandbox.stop()

            assert slow.result().status_code == 201
            assert isinstance(hung.exception(), requests.ConnectionError)
            assert time.monotonic() - started_at < 20

    def test_leaves_no_thread_behind(self) -> None:
        before = threading.active_count()
        with Sandbox.running([CounterSimulator]) as sandbox, requests.Session() as idle:
            idle.get(f"{sandbox.url('counter')}/things/a", timeout=5)

            sandbox.stop()

            assert threading.active_count() == before

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_stops_on_a_signal_and_answers_what_is_under_way(self, tmp_path: Path, number: signal.Signals) -> None:
        command = [sys.executable, "-c", PROCESS, str(tmp_path)]
        root = Path(__file__).parents[2]
        environment = {**os.environ, "PYTHONPATH": str(root)}
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root, env=environment) as process:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            requests.post(f"{url}/_sandbox/faults", json={"kind": "slow", "seconds": 30}, timeout=5)
            with ThreadPoolExecutor(1) as pool:
                slow = pool.submit(add, url)
                while requests.get(f"{url}/_sandbox/load", timeout=5).json()["under_way"] == 0:
                    time.sleep(0.01)

                process.send_signal(number)

                assert slow.result(timeout=5).status_code == 201
            assert process.wait(timeout=5) == 0
            assert process.stdout.read() == "stopped\n"
