"""What the pages say of the body of "Create Exam", as a table: which keys there are, which are required, what each holds."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

PERMITTED = (
    *("BathroomBreak", "BlankPaper", "Calculator", "Dictionary", "Earplugs", "FormulaSheet", "Notes"),
    *("Textbook", "Websites"),
)


@dataclass(frozen=True, slots=True)
class Rule:
    what: str
    holds: Callable[[Any], bool]
    is_required: bool = True


def optional(rule: Rule) -> Rule:
    return Rule(rule.what, rule.holds, is_required=False)


def matching(pattern: str) -> Rule:
    found = re.compile(pattern)
    return Rule(f"a text like {pattern}", lambda value: isinstance(value, str) and bool(found.search(value)))


def one_of(*values: str) -> Rule:
    return Rule(f"one of {', '.join(values)}", lambda value: isinstance(value, str) and value in values)


TEXT = Rule("a text", lambda value: isinstance(value, str))
FILLED = Rule("a text with something in it", lambda value: isinstance(value, str) and bool(value.strip()))
FLAG = Rule("true or false", lambda value: isinstance(value, bool))
COUNT = Rule("a whole number, 1 or more", lambda value: type(value) is int and value > 0)
MOMENT = matching(r"\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\Z")
OBJECT = Rule("an object", lambda value: isinstance(value, dict))
LIST = Rule("a list", lambda value: isinstance(value, list))
TYPES = Rule(
    "a list of one or more proctor types",
    lambda value: isinstance(value, list) and bool(value) and all(map(matching(r"\ATS[a-f0-9]{32}\Z").holds, value)),
)

BODY: Mapping[str, Rule] = {
    "title": FILLED,
    "type": one_of("Online", "Written"),
    "useProctorManager": FLAG,
    "requireApproval": FLAG,
    "url": TEXT,
    "enableAppointmentSuggestions": FLAG,
    "examDeliverySystemModule": FILLED,
    "configuration": OBJECT,
    "description": optional(FILLED),
    "contactUserSid": optional(matching(r"\AUS[a-f0-9]{32}\Z")),
    "isLimitedScope": optional(FLAG),
    "status": optional(one_of("active", "draft")),
}
CONFIGURATION: Mapping[str, Rule] = {
    "instructorAsProctor": LIST,
    "examOpenDate": MOMENT,
    "examCloseDate": MOMENT,
    "password": TEXT,
    "duration": COUNT,
    "attempts": COUNT,
    "requiredSoftware": TEXT,
    "studentNotes": TEXT,
    **{f"permitted{kind}": FLAG for kind in PERMITTED},
    **{f"permitted{kind}Information": TEXT for kind in PERMITTED},
    "permittedOtherItems": TEXT,
    "proctorNotes": TEXT,
    "proctorTypes": TYPES,
    "scheduleOpenDate": optional(MOMENT),
    "scheduleCloseDate": optional(MOMENT),
    "apiExamId": optional(FILLED),
    "modalityOptions": optional(OBJECT),
    "virtualCalculatorType": optional(one_of("scientific-calc", "graphing-calc", "matrix-calc", "four-function-calc")),
}
ROW: Mapping[str, Rule] = {
    "location": FILLED,
    "timeType": one_of("between", "at"),
    "startTime": MOMENT,
    "endTime": TEXT,
    "capacity": optional(COUNT),
}


def mistakes(body: Any) -> list[str]:
    """What in the body is not as the pages say; nothing where all is."""
    return list(_mistakes(body))


def _mistakes(body: Any) -> Iterator[str]:
    yield from _broken(body, BODY, "")
    own = body.get("configuration")
    if not isinstance(own, dict):
        return
    yield from _broken(own, CONFIGURATION, "configuration.")
    for number, row in enumerate(own.get("instructorAsProctor", ())):
        yield from _broken(row, ROW, f"configuration.instructorAsProctor[{number}].")
    if body.get("type") == "Online" and not (body.get("url") and own.get("password")):
        yield "an Online exam has an address and a password"


def _broken(value: Mapping[str, Any], rules: Mapping[str, Rule], prefix: str) -> Iterator[str]:
    yield from (f"{prefix}{key} is no key of the page" for key in value if key not in rules)
    for key, rule in rules.items():
        if key in value and not rule.holds(value[key]):
            yield f"{prefix}{key} must be {rule.what}, not {value[key]!r}"
        elif key not in value and rule.is_required:
            yield f"{prefix}{key} is missing"
