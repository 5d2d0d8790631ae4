"""What the body of SmarterProctoring's "create exam" may hold, as the vendor's page says it; `mistakes` holds a body to it.

Two sources: the current page, which describes the exam but of its configuration only shows a sample, and the fuller
specification that the vendor has withdrawn, which describes the configuration, too. Where they disagree the current
page counts. Known to the simulator and the tests; the console's own code does not read it, so that it cannot share a
mistake of this table.

`EXAM` is JSON Schema: the library jsonschema, `Draft202012Validator(EXAM)`, could take the place of the code below it. It
would not know "x-older" (the fuller specification's own limits, followed only when asked for), and its "date-time" asks
for seconds, which ISO 8601 does not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

Schema = Mapping[str, Any]

TEXT: Schema = {"type": "string"}
FLAG: Schema = {"type": "boolean"}
MOMENT: Schema = {"type": "string", "pattern": "^.*Z$", "format": "date-time"}
SOMETHING: Schema = {"minLength": 1}


def _object(*, required: Mapping[str, Schema], optional: Mapping[str, Schema]) -> Schema:
    """No other field has a meaning there: whatever it was to say would be lost, so it counts as a mistake."""
    return {
        "type": "object",
        "properties": {**required, **optional},
        "required": list(required),
        "additionalProperties": False,
    }


# The current page shows one row as a sample; types, the enum and what is required are the fuller specification's.
INSTRUCTOR_AS_PROCTOR = _object(
    required={
        "location": TEXT,
        "timeType": {"type": "string", "enum": ["between", "at"]},
        "startTime": MOMENT,
        "endTime": TEXT,  # a plain string, unlike startTime
    },
    optional={"capacity": {"type": "number"}},
)

MODALITY_OPTIONS = (
    "recordScreen",
    "recordWebcam",
    "recordAudio",
    "forceFullScreen",
    "onlyOneScreen",
    "disableNewTabs",
    "closeOpenTabs",
    "disablePrinting",
    "disableClipboard",
    "disableRightClick",
    "verifyId",
    "roomScan",
)

# The current page calls it a required object and shows these 34 names. Which of them are required, and their limits,
# the fuller specification says alone.
CONFIGURATION = _object(
    required={
        "instructorAsProctor": {"type": "array", "items": INSTRUCTOR_AS_PROCTOR},
        "examOpenDate": MOMENT,
        "examCloseDate": MOMENT,
        "password": TEXT,
        "duration": {"type": "integer", "minimum": 1, "x-older": {"maximum": 480}},
        "attempts": {"type": "integer", "minimum": 1},
        "requiredSoftware": TEXT,
        "studentNotes": TEXT,
        "permittedBathroomBreak": FLAG,
        "permittedBathroomBreakInformation": TEXT,
        "permittedBlankPaper": FLAG,
        "permittedBlankPaperInformation": TEXT,
        "permittedCalculator": FLAG,
        "permittedCalculatorInformation": TEXT,
        "permittedDictionary": FLAG,
        "permittedDictionaryInformation": TEXT,
        "permittedEarplugs": FLAG,
        "permittedEarplugsInformation": TEXT,
        "permittedFormulaSheet": FLAG,
        "permittedFormulaSheetInformation": TEXT,
        "permittedNotes": FLAG,
        "permittedNotesInformation": TEXT,
        "permittedOtherItems": TEXT,
        "permittedTextbook": FLAG,
        "permittedTextbookInformation": TEXT,
        "permittedWebsites": FLAG,
        "permittedWebsitesInformation": TEXT,
        "proctorNotes": TEXT,
        "proctorTypes": {"type": "array", "minItems": 1, "items": {"type": "string", "pattern": "^TS[a-f0-9]{32}$"}},
    },
    optional={
        "scheduleOpenDate": MOMENT,
        "scheduleCloseDate": MOMENT,
        "apiExamId": TEXT,
        # A bare object to the page, which shows it empty; another lists the keys known, and says nothing of their values.
        "modalityOptions": {
            **_object(required={}, optional={key: {} for key in MODALITY_OPTIONS}),
            "additionalProperties": True,
        },
        # Optional and an enum: absent where none is chosen, an empty text is none of these.
        "virtualCalculatorType": {
            "type": "string",
            "enum": ["scientific-calc", "graphing-calc", "matrix-calc", "four-function-calc"],
        },
    },
)

# The current page. The fuller specification says the same but for examDeliverySystemModule, optional there.
EXAM: Schema = {
    **_object(
        required={
            "title": TEXT,
            "type": {"type": "string", "enum": ["Online", "Written"]},
            "useProctorManager": FLAG,
            "requireApproval": FLAG,
            "url": TEXT,
            "enableAppointmentSuggestions": FLAG,
            "examDeliverySystemModule": TEXT,  # which ones there are, another route says
            "configuration": CONFIGURATION,
        },
        optional={
            "description": {"type": ["string", "null"]},
            "contactUserSid": {"type": "string", "pattern": "^US[a-f0-9]{32}$"},
            "isLimitedScope": FLAG,
            "status": {"type": "string", "enum": ["active", "draft", "deleted"]},
        },
    ),
    # "Online for web-based exams (requires URL and password)": keys that are required anyway, so it means their values.
    "if": {"required": ["type"], "properties": {"type": {"enum": ["Online"]}}},
    "then": {"properties": {"url": SOMETHING, "configuration": {"properties": {"password": SOMETHING}}}},
}

_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "string": str,
    "number": (int, float),
    "object": dict,
    "array": list,
    "null": type(None),
}
_NAMES = {
    "string": "a text",
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
    "object": "an object",
    "array": "a list",
    "null": "null",
}


def mistakes(body: Any, *, is_older: bool = False) -> list[str]:
    """A sentence for each mistake in the body of a new exam, beginning with the field's dotted path.

    `is_older` follows the fuller specification's own limits as well.
    """
    return [f"{path or 'The body'} {words}." for path, words in _found(EXAM, body, "", is_older)]


def _found(schema: Schema, value: Any, path: str, is_older: bool) -> Iterator[tuple[str, str]]:
    """The path and the words of each mistake; a keyword says nothing of a value of another type, as in JSON Schema."""
    rules = {**schema, **schema.get("x-older", {})} if is_older else schema
    types = _types(rules)
    if types and not any(_is_a(name, value) for name in types):
        yield path, f"must be {' or '.join(_NAMES[name] for name in types)}"
    elif "enum" in rules and value not in rules["enum"]:
        yield path, f"must be one of {', '.join(rules['enum'])}"
    elif isinstance(value, dict):
        yield from _found_in_object(rules, value, path, is_older)
    elif isinstance(value, list):
        yield from _found_in_list(rules, value, path, is_older)
    elif isinstance(value, str):
        yield from ((path, words) for words in _found_in_text(rules, value))
    elif _is_a("number", value):
        yield from ((path, words) for words in _found_in_number(rules, value))


def _types(rules: Schema) -> list[str]:
    types = rules.get("type", [])
    return [types] if isinstance(types, str) else types


def _is_a(name: str, value: Any) -> bool:
    """As JSON has it: true is no number, 90.0 is a whole one."""
    if isinstance(value, bool):
        return name == "boolean"
    if name == "integer":
        return isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    return name in _TYPES and isinstance(value, _TYPES[name])


def _found_in_object(rules: Schema, value: dict[str, Any], path: str, is_older: bool) -> Iterator[tuple[str, str]]:
    properties = rules.get("properties", {})
    for name in rules.get("required", []):
        if name not in value:
            yield _join(path, name), "is required"
    for name, part in value.items():
        if name in properties:
            yield from _found(properties[name], part, _join(path, name), is_older)
        elif rules.get("additionalProperties", True) is False:
            yield _join(path, name), "is not a field of this call"
    if "if" in rules and not any(_found(rules["if"], value, path, is_older)):
        yield from _found(rules["then"], value, path, is_older)


def _found_in_list(rules: Schema, value: list[Any], path: str, is_older: bool) -> Iterator[tuple[str, str]]:
    if len(value) < rules.get("minItems", 0):
        yield path, f"must name at least {rules['minItems']}"
    for number, part in enumerate(value):
        yield from _found(rules.get("items", {}), part, _join(path, str(number)), is_older)


def _found_in_text(rules: Schema, value: str) -> Iterator[str]:
    if len(value) < rules.get("minLength", 0):
        yield "must not be empty"
    elif not re.fullmatch(rules.get("pattern", ".*"), value, re.DOTALL):  # every pattern here is anchored
        yield f"must match {rules['pattern']}"
    elif rules.get("format") == "date-time" and not _is_moment(value):
        yield "must be a date and time of ISO 8601"


def _found_in_number(rules: Schema, value: float) -> Iterator[str]:
    if value < rules.get("minimum", value):
        yield f"must be at least {rules['minimum']}"
    if value > rules.get("maximum", value):
        yield f"must be at most {rules['maximum']}"


def _is_moment(value: str) -> bool:
    try:
        return "T" in value and datetime.fromisoformat(value) is not None
    except ValueError:
        return False


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
