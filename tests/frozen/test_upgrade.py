"""Work that stood in an earlier version's database survives an upgrade: it goes out as it would have gone out then."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import servers
from tests.frozen import FOLDER, STORES, frozen_days
from tests.frozen.play import database, played

DAYS = [(day, store) for day in frozen_days() for store in STORES]


@pytest.fixture(scope="module", params=DAYS, ids=["-".join(pair) for pair in DAYS])
def upgraded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    """A frozen day, loaded, migrated and played on with this version."""
    day, store = request.param
    folder = tmp_path_factory.mktemp("frozen")
    try:
        with database(store, folder) as url:
            yield Played(day, played(day, store, url, folder))
    except servers.NotInstalled as error:
        if os.environ.get("REQUIRE_SERVERS"):
            raise
        pytest.skip(str(error))


class Played:
    """What came of a day, beside what its own version made of it."""

    def __init__(self, day: str, found: dict[str, Any]) -> None:
        self.found, self.folder = found, FOLDER / day

    def expected(self, part: str) -> Any:
        return json.loads((self.folder / f"expected-{part}.json").read_text())


def lines(value: Any) -> list[str]:
    """So that a difference is shown where it is."""
    return json.dumps(value, indent=1, ensure_ascii=False, sort_keys=True).splitlines()


@pytest.mark.xdist_group("frozen")
class TestAnUpgrade:
    def test_sends_byte_for_byte_what_its_own_version_would_have_sent(self, upgraded: Played) -> None:
        expected = upgraded.expected("wire")

        found = upgraded.found["wire"]

        assert found.keys() == expected.keys()
        for phase in expected:
            assert lines(found[phase]) == lines(expected[phase]), phase

    def test_brings_every_action_to_the_same_end(self, upgraded: Played) -> None:
        expected = upgraded.expected("state")

        found = upgraded.found["state"]

        assert found["actions"] == expected["actions"]
        assert found["rows"] == expected["rows"]

    def test_leaves_the_same_behind_at_the_vendors(self, upgraded: Played) -> None:
        expected = upgraded.expected("state")["vendors"]

        found = upgraded.found["state"]["vendors"]

        assert found.keys() == expected.keys()
        for vendor in expected:
            assert lines(found[vendor]) == lines(expected[vendor]), vendor

    def test_keeps_the_mailed_link_the_drafts_and_what_was_kept(self, upgraded: Played) -> None:
        expected = upgraded.expected("state")["pages"]

        found = upgraded.found["state"]["pages"]

        assert lines(found) == lines(expected)


class TestTheFrozenDay:
    """Guards the guard: what is not in it cannot be shown to survive."""

    @pytest.mark.parametrize("day", frozen_days())
    def test_holds_every_effect_of_every_vendor_in_every_state(self, day: str) -> None:
        from proctoring.vendors import registry
        from tests.frozen.world import LABELS

        offered = {
            (facts.key, verb)
            for key in (*registry.VENDORS, *registry.SERVICES)
            for facts in [registry.facts(key)]
            for verb in facts.capabilities
            if verb.is_effect
        }
        actions = json.loads((FOLDER / day / "expected-state.json").read_text())["actions"]["upgraded"]

        wanted = {f"{vendor.title()} {verb}: {label}" for vendor, verb in offered for label in LABELS}

        assert wanted <= actions.keys()

    @pytest.mark.parametrize("day", frozen_days())
    def test_is_small(self, day: str) -> None:
        size = sum(path.stat().st_size for path in Path(FOLDER / day).iterdir())

        assert size < 1024 * 1024
