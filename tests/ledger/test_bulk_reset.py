"""A reset of 1,000 sessions, by several threads, while the vendor fails in every way: each is accounted for, none twice."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import pytest
from django.conf import LazySettings

from proctoring import attention, policy
from proctoring.attention import Step
from proctoring.models import Action, ActionState, Batch, Reading, Session
from proctoring.sandbox.faults import KINDS
from proctoring.sandbox.server import Sandbox
from proctoring.sandbox.simulator import Document
from proctoring.vendors.base import Verb
from tests.hall import LARGE_CONFIG, Hall

SIZE = 1_000
THREADS = 8
WHOLE_DEADLINE = ("timeout_before", "timeout_after", "late_effect", "drip")  # each takes a thread that long
AT_THE_RESET = tuple(sorted(set(KINDS) - {*WHOLE_DEADLINE, "slow", "refused"}))
AT_THE_READING_BEFORE = ("timeout_before", "500_before", "503_before", "429", "reset", "truncated_json", "null_json")
AT_THE_READING_AFTER = ("500_before", "429", "reset", "short_body", "wrong_json")
WHERE_NOTHING_IS_PROVED = ("timeout_after", "reset_after", "500_before", "redirect")

There = dict[str, Document]


@pytest.fixture
def hall(transactional_db: None, settings: LazySettings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hall]:
    settings.CALL_DEADLINE_SECONDS = 3.0
    monkeypatch.setattr(policy, "MAX_HOLD_SECONDS", 0)  # as if the time had passed
    monkeypatch.setattr(policy, "WAITS_SECONDS", (0,))
    with Sandbox.running({"campfire": 0}) as sandbox:
        hall = Hall.at(sandbox, config=LARGE_CONFIG, calls_at_once=THREADS)
        there_already = len(at_campfire(hall, LARGE_CONFIG))
        sandbox.control("campfire", "add_sessions", exam_config_id=LARGE_CONFIG, count=str(SIZE - there_already))
        sandbox.control("campfire", "set_paging", page_size="100", cursor_place="body", cursor="ends", end="null")
        yield hall


def at_campfire(hall: Hall, config: str = "") -> There:
    """Everything that is there of sessions, by id."""
    sessions = hall.sandbox.state("campfire")["sessions"]
    return {item["id"]: item for item in sessions if config in ("", item["exam_config_id"])}


def set_faults(hall: Hall, chosen: Sequence[Session]) -> None:
    """Every kind of fault at some session's reset, others at the reading before or after it."""
    answered = iter([session.ref for session in chosen if session.has_responses][::3])
    empty = iter([session.ref for session in chosen if not session.has_responses])
    for kind in AT_THE_RESET * 6 + WHOLE_DEADLINE * 2:
        more = {"seconds": 1.0} if kind == "drip" else {}
        hall.sandbox.fault("campfire", kind, calls=1, match=f"/{next(answered)}/reset", **more)
    for kind in AT_THE_READING_BEFORE * 3:
        hall.sandbox.fault("campfire", kind, calls=1, match=next(answered))
    for kind in AT_THE_READING_AFTER * 4:
        ref = next(answered)
        hall.sandbox.fault("campfire", "slow", calls=2, match=ref)  # no slower: the reading before, and the reset
        hall.sandbox.fault("campfire", kind, calls=1, match=ref)
    for kind in WHERE_NOTHING_IS_PROVED:
        hall.sandbox.fault("campfire", kind, calls=1, match=f"/{next(empty)}/reset")


def work_off(hall: Hall) -> None:
    hall.drain(threads=THREADS, seconds=200)
    ends_at = time.monotonic() + 60
    while hall.sandbox.load("campfire")["under_way"]:  # what acts only once we have left
        assert time.monotonic() < ends_at
        time.sleep(0.01)


def unknown(batch: Batch) -> list[Action]:
    return list(
        Action.objects.filter(batch=batch, state=ActionState.UNKNOWN)
        .select_related("account", "session")
        .order_by("id")
    )


def look_up_what_is_unknown(hall: Hall, batch: Batch) -> None:
    for _ in range(2):  # looking twice, long after, proves no more than once: nothing is sent again by itself
        for action in unknown(batch):
            attention.take(action, Step.LOOK_UP, by=hall.lead, reason="", now=datetime.now(UTC))
        hall.let_five_minutes_pass()
        work_off(hall)


def send_again_what_did_not_happen(hall: Hall, batch: Batch, there: There) -> None:
    """As a lead who looks at the vendor's own pages does."""
    lost = [action for action in unknown(batch) if action.session and there[action.session.ref]["resets"] == 0]
    attention.take_many(lost, Step.SEND_AGAIN, by=hall.lead, reason="Not reset there", now=datetime.now(UTC))
    work_off(hall)


def assert_accounted_for(batch: Batch, before: There, after: There) -> None:
    """The vendor's whole state against ours: what is done happened once, nothing happened twice, and nothing else did."""
    actions = {a.session.ref: a for a in Action.objects.filter(batch=batch).select_related("session") if a.session}
    assert set(after) == set(before)
    for ref, was in before.items():
        action, now = actions.get(ref), after[ref]
        if now["resets"] == 0:
            assert now == was
            assert action is None or action.state != ActionState.DONE
            continue
        assert action is not None and action.session is not None
        assert now == {**was, "answers": {}, "scores": {}, "score_actual": None, "resets": 1}
        assert action.state in (ActionState.DONE, ActionState.UNKNOWN)
        assert action.kept["before"]["responses"] == was["answers"], "what the candidate had answered is lost"
        assert action.kept["before"]["score"] == was["score_actual"]


@pytest.mark.timeout(300)
def test_ends_with_each_session_accounted_for(hall: Hall) -> None:
    hall.sync(seconds=0.1)
    Reading.objects.update(due_at=None)  # who the candidates are is another matter
    chosen = list(Session.objects.order_by("ref"))
    before = at_campfire(hall)
    set_faults(hall, chosen)

    batch = hall.ask(Verb.RESET, *chosen)
    work_off(hall)

    assert hall.sandbox.vendors["campfire"].faults.all() == (), "a fault has met nobody"
    assert len(chosen) == sum(hall.states().values()) == SIZE
    assert set(hall.states()) == {"done", "unknown"}
    assert_accounted_for(batch, before, at_campfire(hall))

    look_up_what_is_unknown(hall, batch)

    looked_up = at_campfire(hall)
    still_unknown = unknown(batch)
    assert_accounted_for(batch, before, looked_up)
    assert not any(
        looked_up[a.session.ref]["resets"] and before[a.session.ref]["answers"] for a in still_unknown if a.session
    )
    assert any(not looked_up[a.session.ref]["resets"] for a in still_unknown if a.session)

    send_again_what_did_not_happen(hall, batch, looked_up)

    left = [action.session for action in unknown(batch)]
    assert hall.states() == {"done": SIZE - len(left), "unknown": len(left)}
    assert left and not any(before[session.ref]["answers"] for session in left if session)
    assert_accounted_for(batch, before, at_campfire(hall))
