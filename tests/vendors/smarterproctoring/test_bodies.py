"""What the form lets through is sent as the pages ask, whatever is filled in, ticked, chosen or left empty."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from random import Random
from typing import Any
from uuid import UUID

import pytest

from proctoring.vendors.base import AccountValues, ExamValues, HttpRequest, HttpResponse, Sending
from proctoring.vendors.errors import Rejected
from proctoring.vendors.http import Limits, exchange
from proctoring.vendors.smarterproctoring import schema
from proctoring.vendors.smarterproctoring.adapter import (
    CALCULATORS,
    CONFIGURATION_FLAGS,
    CONFIGURATION_TEXTS,
    MODALITY_OPTIONS,
    PROCTOR_TYPES,
    SmarterProctoringAdapter,
)
from proctoring.vendors.smarterproctoring.forms import ExamForm
from tests.vendors.smarterproctoring import page_rules
from tests.vendors.smarterproctoring.recording import Smarter
from tests.vendors.smarterproctoring.test_adapter import SAMPLE

Mistakes = Callable[[Any], Sequence[object]]

BODIES = 240
SEED = 20260309
NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
INSTALL = "AI1234567890abcdef1234567890abcdef"
LIVE, REVIEWED = list(PROCTOR_TYPES)[:2]
UNLISTED = f"TS{'0' * 32}"
TICK = ["", "on", "off", "yes"]
ROW = {
    "location": "Room 5",
    "timeType": "between",
    "startTime": "2026-03-09T09:00+01:00",
    "endTime": "2026-03-09T11:00+01:00",
    "capacity": "12",
}
ROWS = [
    [],
    [ROW],
    [{**ROW, "timeType": "at", "endTime": ""}],
    [{**ROW, "timeType": "at", "endTime": "at noon", "capacity": ""}, ROW],
    [{**ROW, "startTime": "2026-03-09 09:00:30", "endTime": "when all are done"}],
    [dict.fromkeys(ROW, ""), {**ROW, "location": " Räume 5 & 6 "}],
]

# What may be typed, ticked or chosen in each field: every choice, and nothing where that is allowed.
CHOICES: Mapping[str, Sequence[str]] = {
    "courseSid": ["CU1234567890abcdef1234567890abcdef", " CU1234567890abcdef1234567890abcdef "],
    "type": ["Online", "Written"],
    "url": ["https://lms.example.edu/1", "http://lms.example.edu/2?a=b&c=d"],
    "password": ["pw", " two words ", "ünï “x”"],
    "examDeliverySystemModule": ["canvas", "Brightspace D2L"],
    "description": ["", "Covers chapters 1-5", "two\r\nlines"],
    "contactUserSid": ["", "US1234567890abcdef1234567890abcdef"],
    "status": ["", "active", "draft"],
    **dict.fromkeys(["isLimitedScope", "useProctorManager", "requireApproval", "enableAppointmentSuggestions"], TICK),
    **dict.fromkeys(CONFIGURATION_FLAGS, TICK),
    **{name: ["", " ", f"About {name}"] for name in CONFIGURATION_TEXTS if name != "password"},
    "scheduleOpenDate": ["", "2026-01-01T00:00", "2026-01-01T00:00+01:00"],
    "scheduleCloseDate": ["", "2026-03-08T00:00:30", "2026-03-08T00:00Z"],
    "attempts": ["", "1", "25"],
    "proctorTypes": [LIVE, f"{LIVE},{REVIEWED}", json.dumps(list(PROCTOR_TYPES)), '["Notary public"]'],
    "other_proctor_types": ["", UNLISTED, f"{UNLISTED}\r\n{LIVE}\r\n{UNLISTED}"],
    "instructorAsProctor": ["", *map(json.dumps, ROWS)],
    "modalityOptions": ["", *MODALITY_OPTIONS, json.dumps(list(MODALITY_OPTIONS)), '{"roomScan": true, "verifyId": 0}'],
    "virtualCalculatorType": ["", *CALCULATORS],
    "configuration": ["", "{}", '{"modalityOptions": {"newThing": "soft"}, "virtualCalculatorType": ""}'],
}
ONLY_ONLINE = ("url", "password")


def filled_in() -> Iterator[dict[str, str]]:
    """Every value of every field once, the other fields by chance; then by chance alone."""
    chance = Random(SEED)
    wanted = [{name: value} for name, values in CHOICES.items() for value in values]
    for fixed in wanted + [{}] * (BODIES - len(wanted)):
        data = {name: chance.choice(values) for name, values in CHOICES.items()} | fixed
        if data["type"] == "Written":
            data |= {name: chance.choice(["", data[name]]) for name in ONLY_ONLINE}
        yield {name: value for name, value in data.items() if value or chance.random() < 0.5}


def exam(data: Mapping[str, str], **own: Any) -> ExamValues:
    """The exam that the form stores, as it comes out of the database."""
    form = ExamForm(dict(data))
    assert form.is_valid(), (form.errors, data)
    window = {"starts_at": datetime(2026, 3, 9, 8, tzinfo=UTC), "ends_at": datetime(2026, 3, 9, 18, tzinfo=UTC)}
    values = {"title": "Midterm", "duration_minutes": 90, **window, **own}
    return ExamValues(reference=UUID(int=7), settings=json.loads(json.dumps(form.settings())), **values)


def transport(request: HttpRequest, *, is_effect: bool) -> HttpResponse:
    return exchange(request, is_effect=is_effect, limits=Limits(allow_private=True))


def send(smarter: Smarter, one: ExamValues) -> Any:
    """The body that arrives at the vendor."""
    account = AccountValues(base_url=smarter.url, credentials={"token": "t"}, settings={"install_sid": INSTALL})
    SmarterProctoringAdapter(account, transport, lambda: NOW).create_exam(one, Sending(group=UUID(int=1)))
    return smarter.body


class TestBodies:
    @pytest.mark.parametrize("mistakes", [page_rules.mistakes, schema.mistakes], ids=["rules", "schema"])
    def test_are_as_the_pages_ask_whatever_is_filled_in(self, smarter: Smarter, mistakes: Mistakes) -> None:
        found = [(mistakes(send(smarter, exam(data))), data) for data in filled_in()]

        assert len(found) == len(smarter.requests) == BODIES
        assert not [wrong for wrong in found if wrong[0]]

    def test_hold_every_choice_at_least_once(self, smarter: Smarter) -> None:
        bodies = [send(smarter, exam(data)) for data in filled_in()]

        own = [body["configuration"] for body in bodies]
        assert {body.get("status") for body in bodies} == {None, "active", "draft"}
        assert {one.get("virtualCalculatorType") for one in own} == {None, *CALCULATORS}
        assert {key for one in own for key in one.get("modalityOptions", {})} == {*MODALITY_OPTIONS, "newThing"}
        assert {sid for one in own for sid in one["proctorTypes"]} == {*PROCTOR_TYPES, UNLISTED}
        assert all({one[name] for one in own} == {True, False} for name in CONFIGURATION_FLAGS)
        assert {"modalityOptions" in one for one in own} == {True, False}
        assert {"scheduleOpenDate" in one for one in own} == {True, False}

    @pytest.mark.parametrize("lacking", ["starts_at", "ends_at", "duration_minutes"])
    def test_are_not_sent_where_the_exam_itself_lacks_what_the_page_requires(
        self, smarter: Smarter, lacking: str
    ) -> None:
        data = {name: values[-1] for name, values in CHOICES.items()}

        with pytest.raises(Rejected) as caught:
            send(smarter, exam(data, **{lacking: None}))

        assert list(caught.value.fields) == [lacking]
        assert not smarter.requests


class TestPageRules:
    """The table finds what it is there to find."""

    def test_find_nothing_in_the_pages_own_sample(self) -> None:
        assert page_rules.mistakes(SAMPLE) == []

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("virtualCalculatorType", ""),
            ("proctorTypes", []),
            ("proctorTypes", ["TS1"]),
            ("scheduleOpenDate", ""),
            ("attempts", 0),
            ("duration", "90"),
            ("permittedNotes", ""),
            ("examOpenDate", "2026-03-09T08:00:00+00:00"),
            ("instructorAsProctor", [{"location": "R1"}]),
            ("password", ""),
            ("colour", "blue"),
        ],
    )
    def test_find_a_wrong_value(self, key: str, value: Any) -> None:
        body = copy.deepcopy(SAMPLE)
        body["configuration"][key] = value

        assert page_rules.mistakes(body)

    @pytest.mark.parametrize("key", ["password", "permittedNotesInformation", "instructorAsProctor", "proctorTypes"])
    def test_find_a_required_key_that_is_missing(self, key: str) -> None:
        body = copy.deepcopy(SAMPLE)
        del body["configuration"][key]

        assert page_rules.mistakes(body)
