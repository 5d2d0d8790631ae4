from __future__ import annotations

import pytest

from proctoring.models import ActionState
from proctoring.templatetags.console import percent_of
from proctoring.views import words


class TestProgress:
    @pytest.mark.parametrize(
        ("counts", "headline"),
        [
            ({"queued": 3}, "0 of 3 finished"),
            ({"queued": 1, "done": 2}, "2 of 3 finished"),
            ({"sending": 1, "done": 1, "unknown": 1}, "1 of 3 finished, 1 needs you"),
            ({"unknown": 2}, "Finished: 2 need you"),
            ({"unknown": 1, "needs_attention": 2, "done": 5}, "Finished: 3 need you"),
            ({"needs_attention": 1, "done": 5}, "Finished: 1 needs you"),
            ({"done": 2, "cancelled": 1}, "All 3 finished"),
            ({"done": 1}, "Finished"),
            ({}, "Nothing to do"),
        ],
    )
    def test_never_calls_finished_what_needs_somebody(self, counts: dict[str, int], headline: str) -> None:
        whole = {state.value: counts.get(state.value, 0) for state in ActionState} | {"total": sum(counts.values())}

        assert words.progress(whole).headline == headline


def test_the_parts_of_a_bar_leave_no_gap() -> None:
    parts = [float(percent_of(part, 3)) for part in (1, 2)]

    assert sum(parts) == pytest.approx(100, abs=0.02)
    assert percent_of(0, 0) == "0.00"
