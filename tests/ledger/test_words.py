"""A vendor's words, whatever is in them, change no outcome: each reply goes over HTTP, and each outcome into the database."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from proctoring.models import Account, Action, Attention, Call, CandidateReference, Delivery
from tests.world import World

UNFIT = "No \ud800 and \0 and \x1b here"
FIT = "No \ufffd and \ufffd and \ufffd here"


@contextmanager
def vendor(status: int, reply: dict[str, Any]) -> Iterator[str]:
    """A vendor that answers everything alike."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            body = json.dumps(reply).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Nobody reads it."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def ask(world: World, status: int, reply: dict[str, Any]) -> Action:
    with vendor(status, reply) as url:
        Account.objects.filter(pk=world.account.pk).update(base_url=url)
        world.exam.account.refresh_from_db()
        world.deliver(1)
        world.drain()
    return Action.objects.get()


class TestWords:
    @pytest.mark.parametrize("words", [UNFIT, UNFIT + "x" * 100_000], ids=["unfit", "long"])
    def test_of_a_refusal_leave_it_a_refusal(self, world: World, words: str) -> None:
        action = ask(world, 422, {"messages": words})

        assert (action.state, action.attention) == ("needs_attention", Attention.REFUSED)
        assert action.message.startswith(FIT)
        assert Call.objects.get().status == 422

    @pytest.mark.parametrize("status", [401, 403])
    def test_of_a_refusal_of_the_account_still_pause_it(self, world: World, status: int) -> None:
        action = ask(world, status, {"message": UNFIT})

        account = Account.objects.get()
        assert action.state == "queued"
        assert FIT in account.pause_reason + str(account.paused_verbs)

    @pytest.mark.parametrize("ref", ["d-1", UNFIT, "r" * 5_000], ids=["plain", "unfit", "long"])
    def test_of_a_success_leave_it_a_success(self, world: World, ref: str) -> None:
        reply = {"delivery_id": ref, "examinee_id": UNFIT + "x" * 5_000, "launch_token": "t-1", "note": UNFIT}

        action = ask(world, 200, reply)

        delivery = Delivery.objects.get()
        assert action.state == "done"
        assert delivery.take_url.endswith("launch_token=t-1")
        assert delivery.ref == ref.replace(UNFIT, FIT)[:500]
        assert CandidateReference.objects.get().ref.startswith(FIT)
