"""The contract suite itself: nothing escapes it, and what proves too little fails."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import pytest

from proctoring.sandbox.faults import KINDS
from proctoring.vendors import registry
from tests.vendors.contract import TELLS, vendor_acts
from tests.vendors.reliability import contract_of

ROOT = Path(__file__).resolve().parent.parent.parent
ENOUGH = "not django and (not says_only or 500_after or html)"

# Contract → the tests that have to fail for it.
CAUGHT = {
    "TestWhole": set(),
    "TestNoScenario": {
        "test_does_what_was_asked",
        "test_is_refused_in_the_vendors_way",
        "test_says_only_what_is_known",
        "test_has_a_scenario_for_each_declared_verb_and_no_other",
    },
    "TestNoRefusal": {"test_is_refused_in_the_vendors_way"},
    "TestNoVendor": {
        "test_does_what_was_asked",
        "test_is_refused_in_the_vendors_way",
        "test_says_only_what_is_known",
    },
    "TestRefusalNotOverHttp": {"test_is_refused_in_the_vendors_way"},
    "TestOneScenarioTooMany": {"test_has_a_scenario_for_each_declared_verb_and_no_other"},
    "TestLeaking": {"test_is_refused_in_the_vendors_way", "test_does_what_was_asked"},
    "TestCrashing": {"test_says_only_what_is_known"},
    "TestGuessing": {"test_says_only_what_is_known"},
    "TestSilent": {"test_declares_exactly_the_verbs_that_it_overrides"},
    "TestUncounted": {"test_does_what_was_asked", "test_says_only_what_is_known"},
    "TestDoubling": {"test_says_only_what_is_known"},
    "TestMislabelling": {"test_does_what_was_asked"},
}


@pytest.fixture(scope="module")
def failed() -> Mapping[str, set[str]]:
    """What fails of `lacking.py`, by class, in a pytest of its own."""
    options = ["-p", "no:django", "-p", "no:cacheprovider", "-p", "no:xdist", "-o", "addopts=", "--noconftest"]
    command = [*options, "-q", "--tb=no", "-rA", "-k", ENOUGH, "tests/vendors/lacking.py"]
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    found: dict[str, set[str]] = defaultdict(set)
    for outcome, cls, test in re.findall(r"^(PASSED|FAILED|ERROR) \S+?::(\w+)::(\w+)", ran.stdout, re.MULTILINE):
        found[cls] |= {test} if outcome != "PASSED" else set()
    return found


class TestAdapterContract:
    @pytest.mark.parametrize("name", CAUGHT)
    def test_catches(self, failed: Mapping[str, set[str]], name: str) -> None:
        assert name in failed
        assert failed[name] >= CAUGHT[name]
        assert CAUGHT[name] or not failed[name]

    @pytest.mark.parametrize("vendor", registry.VENDORS)
    def test_is_subclassed_by_every_vendor(self, vendor: str) -> None:
        contract = contract_of(vendor)

        assert contract.vendor == vendor
        assert contract.adapter_class() is registry.adapter_class(vendor)

    def test_judges_every_kind_of_fault(self) -> None:
        assert set(TELLS) == set(KINDS)

    def test_reads_from_a_faults_description_whether_the_vendor_acts(self) -> None:
        idle = {kind for kind in KINDS if not vendor_acts(kind)}

        assert {kind for kind in KINDS if "after" in kind and "retry" not in kind}.isdisjoint(idle)
        assert {kind for kind in KINDS if "before" in kind} | {"refused", "reset", "429", "redirect"} <= idle
