"""`vendors`: the capability table, from the registry."""

from __future__ import annotations

import json
import re

from proctoring.vendors import registry
from proctoring.vendors.base import Verb
from tests import processes
from tests.commands.console import well


class TestVendors:
    def test_prints_a_row_for_every_verb_that_somebody_offers_and_a_column_for_every_vendor(self) -> None:
        lines = well("vendors").out.splitlines()

        offered = [verb for verb in Verb if any(verb in facts.capabilities for facts in registry.all_facts())]
        assert lines[0].split() == list(registry.VENDORS)
        assert [line.split()[0] for line in lines[2 : 2 + len(offered)]] == [verb.value for verb in offered]

    def test_says_what_a_verb_rests_on_what_a_repeat_does_and_what_it_needs(self) -> None:
        (line,) = [line for line in well("vendors").out.splitlines() if line.startswith("create_deliveries")]

        assert "page, again never, needs “create”" in line
        assert "many" in line

    def test_tells_what_the_vendor_lacks_from_what_this_console_does_not_do_yet(self) -> None:
        line = next(line for line in well("vendors").out.splitlines() if line.startswith("create_exam"))
        cells = dict(zip(registry.VENDORS, re.split(r"  +", line.strip())[1:], strict=True))

        assert (cells["scorpion"], cells["proctorexam"]) == ("—", "not yet")

    def test_prints_the_same_as_json(self) -> None:
        vendors = {item["vendor"]: item for item in well("vendors", "--format", "json").json}

        assert list(vendors) == list(registry.VENDORS)
        for key, item in vendors.items():
            assert set(item["capabilities"]) == {verb.value for verb in registry.facts(key).capabilities}
        assert vendors["scorpion"]["capabilities"]["create_deliveries"] == {
            "basis": "page",
            "repeat": "never",
            "many": 1,
            "permission": "create",
            "note": "",
        }
        assert set(vendors["scorpion"]) == {
            *("vendor", "title", "base_url", "reports_state", "take_link_works_once", "permissions", "capabilities"),
            "not_built",
        }

    def test_needs_no_database(self, tmp_path: object) -> None:
        done = processes.run("manage.py", "vendors", "--format", "json", DATABASE_URL=f"sqlite:///{tmp_path}/none/x.db")

        assert done.returncode == 0, done.stderr
        assert [item["vendor"] for item in json.loads(done.stdout)] == list(registry.VENDORS)

    def test_knows_no_other_format(self) -> None:
        done = processes.run("manage.py", "vendors", "--format", "yaml")

        assert done.returncode != 0
        assert "--format" in done.stderr
        assert "Traceback" not in done.stderr
