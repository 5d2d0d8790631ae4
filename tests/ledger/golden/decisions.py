"""Settles the cases, and compares with what was recorded.

decisions.jsonl holds a line for each case, sorted by name, with all that is not as it was before; the name says how it was.
Where the two roads came to the same, it stands once, else for each road. Moments are seconds from the settling.

python -m tests.ledger.golden --record    writes the file anew: what `git diff` then shows is what has changed
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.ledger import outcomes
from tests.ledger.outcomes import Case, Record, Road

DECISIONS = Path(__file__).parent / "decisions.jsonl"
AT_ONCE = 500


def decide(cases: Sequence[Case]) -> dict[str, Record]:
    """Settles each case by both roads. Needs a database, and leaves its rows there."""
    decided = {}
    for start in range(0, len(cases), AT_ONCE):
        some = cases[start : start + AT_ONCE]
        roads = {road.value: _by_road(some, road) for road in Road}
        for number, case in enumerate(some):
            records = {road: found[number] for road, found in roads.items()}
            turn, alone = records[Road.TURN], records[Road.SETTLE]
            decided[case.name] = turn if turn == alone else records
    return decided


def _by_road(cases: Sequence[Case], road: Road) -> list[Record]:
    rows = outcomes.prepare(cases)
    outcomes.hand_over(rows, road)
    return outcomes.read(rows)


def written(decided: Mapping[str, Record]) -> str:
    lines = (json.dumps({"case": name, **decided[name]}, ensure_ascii=False) for name in sorted(decided))
    return "".join(f"{line}\n" for line in lines)


def recorded() -> dict[str, Record]:
    records = [json.loads(line) for line in DECISIONS.read_text(encoding="utf-8").splitlines()]
    return {record.pop("case"): record for record in records}


def by_road(record: Record) -> dict[str, Record]:
    """The record of each road."""
    return {road.value: record.get(road.value, record) for road in Road}


def differences(before: Mapping[str, Record], now: Mapping[str, Record]) -> list[str]:
    """One sentence for each case and field that is not as it was."""
    found = [f"{name}: is recorded, but no case any more" for name in sorted(before.keys() - now.keys())]
    found += [f"{name}: is not recorded yet" for name in sorted(now.keys() - before.keys())]
    for name in sorted(before.keys() & now.keys()):
        found += _differing(name, by_road(before[name]), by_road(now[name]))
    return found


def _differing(name: str, before: Mapping[str, Record], now: Mapping[str, Record]) -> Iterable[str]:
    per_road = {road: list(_fields(before[road], now[road])) for road in before}
    turn, alone = per_road[Road.TURN], per_road[Road.SETTLE]
    if turn == alone:
        return [f"{name}: {field}" for field in turn]
    return [f"{name} ({road}): {field}" for road, fields in per_road.items() for field in fields]


def _fields(before: Any, now: Any, path: str = "") -> Iterable[str]:
    if isinstance(before, dict) and isinstance(now, dict):
        for key in sorted(before.keys() | now.keys()):
            yield from _fields(before.get(key, UNCHANGED), now.get(key, UNCHANGED), f"{path}.{key}" if path else key)
    elif isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        for number, (was, is_) in enumerate(zip(before, now, strict=True)):
            yield from _fields(was, is_, f"{path}[{number}]")
    elif before != now:
        yield f"{path} was {before!r}, is {now!r}"


UNCHANGED = "as before"
