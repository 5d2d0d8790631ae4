"""Settling decides as it did when its decisions were recorded. What was changed on purpose is recorded anew, and reviewed as
a diff: `python -m tests.ledger.golden --record`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from proctoring import policy
from tests.ledger.golden.axes import all_cases, groups
from tests.ledger.golden.decisions import by_road, decide, differences, recorded

GROUPS = groups()
MOST_SHOWN = 60

# A late answer of the call that the sweep gave up: the table knows no such step, settling takes it.
BEYOND_THE_TABLE = {"unknown -> needs_attention"}


@pytest.fixture
def _quiet() -> Iterator[None]:
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


class TestTheGoldenDecisions:
    @pytest.mark.django_db
    @pytest.mark.usefixtures("_quiet")
    @pytest.mark.parametrize("group", GROUPS)
    def test_are_made_as_they_were_recorded(self, group: str) -> None:
        before = {name: record for name, record in recorded().items() if name.partition(" / ")[0] == group}

        found = differences(before, decide(GROUPS[group]))

        if found:
            pytest.fail("\n".join([f"{len(found)} differences:", *found[:MOST_SHOWN]]), pytrace=False)

    def test_are_recorded_for_every_case_and_no_other(self) -> None:
        names = [case.name for case in all_cases()]

        assert len(names) == len(set(names))
        assert set(recorded()) == set(names)

    def test_move_actions_only_as_the_policy_allows(self) -> None:
        moves = {
            action["state"]
            for record in recorded().values()
            for of_road in by_road(record).values()
            for action in of_road.get("actions", [])
            if "->" in action["state"]
        }

        forbidden = {move for move in moves if not policy.may_become(*move.split(" -> "))}

        assert forbidden == BEYOND_THE_TABLE

    def test_are_the_same_by_both_roads(self) -> None:
        differing = [name for name, record in recorded().items() if "turn" in record]

        assert differing == []


class TestDifferences:
    def test_name_the_case_and_the_field(self) -> None:
        before = {"a case": {"actions": [{"state": "sending -> done"}], "account": {"paused_at": "+0 s"}}}
        now = {"a case": {"actions": [{"state": "sending -> done", "tries": 3}]}}

        assert differences(before, now) == [
            "a case: account was {'paused_at': '+0 s'}, is 'as before'",
            "a case: actions[0].tries was 'as before', is 3",
        ]

    def test_name_the_road_where_only_one_has_changed(self) -> None:
        before = {"a case": {"woken": True}}
        now = {"a case": {"turn": {"woken": True}, "settle": {}}}

        assert differences(before, now) == ["a case (settle): woken was True, is 'as before'"]

    def test_name_cases_that_came_and_went(self) -> None:
        assert differences({"old": {}}, {"new": {}}) == [
            "old: is recorded, but no case any more",
            "new: is not recorded yet",
        ]
