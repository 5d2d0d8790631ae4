"""The only list of vendors. A vendor's parts are loaded when they are asked for."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from types import ModuleType

from proctoring.vendors.base import AccountValues, Adapter, Capability, Clock, Facts, Transport, Verb

VENDORS: dict[str, str] = {
    "scorpion": "proctoring.vendors.scorpion",
    "campfire": "proctoring.vendors.campfire",
    "proctorexam": "proctoring.vendors.proctorexam",
    "smarterproctoring": "proctoring.vendors.smarterproctoring",
    "cirrus": "proctoring.vendors.cirrus",
}

# Services that are accounts like a vendor's but host no exams.
SERVICES: dict[str, str] = {
    "mail": "proctoring.vendors.mail",
}


class UnknownVendor(LookupError):
    """No vendor of that key is installed."""


def _part(key: str, name: str) -> ModuleType:
    folder = VENDORS.get(key) or SERVICES.get(key)
    if folder is None:
        raise UnknownVendor(f"There is no vendor “{key}”. Known are: {', '.join(sorted(VENDORS))}.")
    return import_module(f"{folder}.{name}")


@cache
def adapter_class(key: str) -> type[Adapter]:
    """The adapter of a vendor. Raises UnknownVendor."""
    cls: type[Adapter] = _part(key, "adapter").ADAPTER
    return cls


def facts(key: str) -> Facts:
    return adapter_class(key).FACTS


def all_facts() -> list[Facts]:
    return [facts(key) for key in VENDORS]


def capability(key: str, verb: Verb) -> Capability | None:
    """How the vendor offers `verb`; None where it does not."""
    return facts(key).capabilities.get(verb)


def exam_ref_fault(key: str, ref: str) -> str:
    """Why this cannot be the vendor's reference of an exam; "" where it can, or where there is none."""
    shape = facts(key).exam_id
    if not ref or shape is None or shape.pattern.fullmatch(ref):
        return ""
    return f"“{ref}” cannot be an exam's id at {facts(key).title}, which is {shape.words}."


def adapter(key: str, account: AccountValues, transport: Transport, clock: Clock) -> Adapter:
    return adapter_class(key)(account, transport, clock)


def forms(key: str) -> ModuleType:
    """The vendor's forms: AccountForm, ExamForm and DeliveryForm."""
    return _part(key, "forms")


def choices() -> list[tuple[str, str]]:
    return [(item.key, item.title) for item in all_facts()]


def demo(key: str) -> ModuleType:
    """The vendor's demo account and exams at the sandbox."""
    return _part(key, "demo")
