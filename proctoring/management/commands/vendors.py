"""The capability table, printed from the registry."""

from __future__ import annotations

from typing import Any

from proctoring.management.console import ConsoleCommand
from proctoring.vendors import registry
from proctoring.vendors.base import Facts, Verb


class Command(ConsoleCommand):
    help = "Prints which vendor can do what: on its page, in other documents of the vendor, or only by what clients do."

    def handle(self, *args: Any, **options: Any) -> None:
        vendors = registry.all_facts()
        if options["format"] == "json":
            self.print_json([_as_json(facts) for facts in vendors])
            return
        verbs = [verb for verb in Verb if any(verb in facts.capabilities for facts in vendors)]
        headers = ["", *(facts.key for facts in vendors)]
        self.print_table(headers, [[verb.value, *(_cell(facts, verb) for facts in vendors)] for verb in verbs])
        self.stdout.write(
            "\n— the vendor has no such call · not yet: this console does not make it"
            " · “again”: what sending it twice does · “many”: in one call"
        )


def _cell(facts: Facts, verb: Verb) -> str:
    item = facts.capabilities.get(verb)
    if item is None:
        return "not yet" if verb in facts.not_built else "—"
    words = [item.basis.value]
    words += [f"many {item.many}"] if item.many > 1 else []
    words += [f"again {item.repeat.value}"] if verb.is_effect else []
    words += [f"needs “{item.permission}”"] if item.permission else []
    return ", ".join(words)


def _as_json(facts: Facts) -> dict[str, Any]:
    return {
        "vendor": facts.key,
        "title": facts.title,
        "base_url": facts.base_url,
        "reports_state": facts.reports_state,
        "take_link_works_once": facts.take_link_works_once,
        "permissions": dict(facts.permissions),
        "not_built": sorted(verb.value for verb in facts.not_built),
        "capabilities": {
            verb.value: {
                "basis": item.basis.value,
                "repeat": item.repeat.value,
                "many": item.many,
                "permission": item.permission,
                "note": item.note,
            }
            for verb, item in facts.capabilities.items()
        },
    }
