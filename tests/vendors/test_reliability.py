from __future__ import annotations

from collections import Counter

import pytest

from proctoring.sandbox.faults import KINDS
from proctoring.vendors import registry
from proctoring.vendors.base import Verb
from tests.vendors.reliability import document, main, outcomes


class TestOutcomes:
    def test_has_every_fault_against_every_verb(self) -> None:
        rows = outcomes("proctorexam")

        counts = Counter((row["verb"], row["fault"]) for row in rows)
        assert counts == {
            (verb.value, kind): 1 for verb in registry.facts("proctorexam").capabilities for kind in KINDS
        }

    def test_tells_what_is_said_from_what_is_there(self) -> None:
        rows = {row["fault"]: row for row in outcomes("cirrus") if row["verb"] == Verb.CREATE_DELIVERIES}

        assert (rows["timeout_after"]["says"], rows["timeout_after"]["at_vendor"]) == ("unknown", 1)
        assert (rows["timeout_before"]["says"], rows["timeout_before"]["at_vendor"]) == ("unknown", 0)
        assert (rows["429"]["says"], rows["429"]["at_vendor"]) == ("not now", 0)
        assert (rows["slow"]["says"], rows["slow"]["at_vendor"]) == ("done", 1)


class TestDocument:
    def test_is_a_page_that_names_every_verb_and_fault(self) -> None:
        page = document(["cirrus"])

        assert "## Cirrus\n\n### Create deliveries\n" in page
        assert "| the effect | done | 1 | `slow` |" in page
        assert all(f"| `{kind}` |" in page for kind in KINDS)
        assert "{" not in page

    def test_is_not_printed_for_a_vendor_that_is_not_there(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["acme"]) == 2
        assert "There is no vendor acme" in capsys.readouterr().err
