"""Every fault of the sandbox against every verb of every vendor: what the adapter says, and what the vendor then has.

python -m tests.vendors.reliability [VENDOR …] > docs/reliability.md
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from itertools import groupby
from typing import Any

from proctoring.sandbox.faults import KINDS
from proctoring.vendors import registry
from proctoring.vendors.base import Verb
from tests.vendors.contract import SECONDS, AdapterContract, Fault, Said, Scenario, Stage

Outcome = dict[str, Any]

MEANING = {
    Said.DONE: "It took place; of a read: it was answered.",
    Said.NO_LINK: "It is there; its link can be asked for later.",
    Said.CANNOT_TELL: "What came back does not settle it: a person decides, or it is looked up.",
    Said.UNAVAILABLE: "`Unavailable`: the vendor did not act, or it was only a read. Asked again later by itself.",
    Said.UNKNOWN: "`OutcomeUnknown`: the vendor may have acted. Never sent again by itself: looked up, or a person decides.",
    Said.NOT_FOUND: "It is not there.",
    Said.DID_NOT: "It did not take place.",
    Said.REJECTED: "`Rejected`: the vendor understood and said no.",
    Said.CHANGED: "`Changed`: the target is no longer what the preview showed; nothing was sent.",
    Said.MISCONFIGURED: "`Misconfigured`: the account is at fault.",
    Said.UNSUPPORTED: "`Unsupported`: this vendor cannot express it.",
}


def contract_of(vendor: str) -> type[AdapterContract]:
    """The contract in a vendor's own tests. Raises LookupError where there is none."""
    module = import_module(f"tests.vendors.{vendor}.test_contract")
    for value in vars(module).values():
        if isinstance(value, type) and issubclass(value, AdapterContract) and value is not AdapterContract:
            return value
    raise LookupError(f"{module.__name__} has no subclass of AdapterContract")


def outcomes(vendor: str) -> list[Outcome]:
    """One row for each verb of a vendor, exchange of it and kind of fault, from a run against the simulator.

    `says` is a word of Said, `message` the adapter's sentence; `at_vendor` is how often the effect took place there,
    None for a read.
    """
    contract = contract_of(vendor)
    with Stage.of(contract) as stage:
        return [
            _outcome(stage, verb, fault) for verb in contract.facts().capabilities for fault in contract.faults(verb)
        ]


def _outcome(stage: Stage, verb: Verb, fault: Fault) -> Outcome:
    scenario = stage.contract.scenarios[verb]
    stage.begin()
    scenario.prepare(stage)
    run = stage.run(scenario.call, fault=fault)
    return {
        "vendor": stage.vendor,
        "verb": verb.value,
        "exchange": fault.at,
        "part": _part(verb, scenario, fault.at),
        "fault": fault.kind,
        "says": run.said.value,
        "message": run.message,
        "at_vendor": scenario.times(stage) if verb.is_effect and scenario.times else None,
    }


def _part(verb: Verb, scenario: Scenario, at: int) -> str:
    """What the exchange is for, in the words of the page."""
    if not verb.is_effect:
        return "the read" if scenario.exchanges == 1 else f"exchange {at} of {scenario.exchanges}"
    if at == scenario.effect_at:
        return "the effect"
    return "the read before it" if at < scenario.effect_at else "the read after it"


def document(vendors: Sequence[str]) -> str:
    """The whole page as Markdown."""
    with ThreadPoolExecutor(max_workers=len(vendors) or 1) as pool:
        found = list(pool.map(outcomes, vendors))
    lines = [*_introduction(), *(line for rows in found for line in _vendor(rows))]
    return "\n".join(lines) + "\n"


def _introduction() -> Iterator[str]:
    yield "# What happens when a vendor fails"
    yield ""
    yield "Printed by `python -m tests.vendors.reliability`: every fault that the sandbox knows, against every exchange of"
    yield "every verb of every vendor, over HTTP. “There” counts how often the effect then took place at the vendor."
    yield ""
    yield from _table(("The adapter says", "Meaning"), [(said.value, meaning) for said, meaning in MEANING.items()])
    yield from _table(("Fault", "What the vendor does"), [(f"`{kind}`", _sentence(kind)) for kind in KINDS])


def _sentence(kind: str) -> str:
    return KINDS[kind].sentence.format(seconds=f"{SECONDS.get(kind, 0):g}")


def _vendor(rows: Sequence[Outcome]) -> Iterator[str]:
    yield f"## {registry.facts(rows[0]['vendor']).title}"
    yield ""
    for verb, of_verb in groupby(rows, key=lambda row: row["verb"]):
        yield f"### {verb.replace('_', ' ').capitalize()}"
        yield ""
        header = ("The fault hits", "The adapter says", "There", "After")
        yield from _table(header, _merged(list(of_verb)))


def _merged(rows: Sequence[Outcome]) -> list[tuple[str, ...]]:
    """Faults that end alike share a row; the longest of them need not be named."""
    alike: dict[tuple[str, str, str], list[str]] = {}
    for row in rows:
        there = "–" if row["at_vendor"] is None else str(row["at_vendor"])
        alike.setdefault((row["part"], row["says"], there), []).append(f"`{row['fault']}`")
    return [(*key, _listed(faults)) for key, faults in alike.items()]


def _listed(faults: Sequence[str]) -> str:
    if len(faults) == len(KINDS):
        return "every fault"
    return "every other fault" if len(faults) > len(KINDS) / 2 else ", ".join(faults)


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(header)} |"
    yield f"|{'---|' * len(header)}"
    yield from (f"| {' | '.join(row)} |" for row in rows)
    yield ""


def main(arguments: Sequence[str]) -> int:
    unknown = [vendor for vendor in arguments if vendor not in registry.VENDORS]
    if unknown:
        print(f"There is no vendor {unknown[0]}. Known are: {', '.join(registry.VENDORS)}.", file=sys.stderr)
        return 2
    print(document(list(arguments) or list(registry.VENDORS)), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
