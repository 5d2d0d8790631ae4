from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import pytest

from proctoring.vendors.base import (
    AccountValues,
    ExamResult,
    ExamValues,
    FieldVerdict,
    HttpRequest,
    HttpResponse,
    Repeat,
    Sending,
    Verb,
)
from proctoring.vendors.errors import (
    Misconfigured,
    OutcomeUnknown,
    Rejected,
    Scope,
    Unavailable,
    Unsupported,
    VendorError,
)
from proctoring.vendors.http import Limits, exchange
from proctoring.vendors.smarterproctoring.adapter import (
    ADAPTER,
    PROCTOR_TYPE_SID,
    PROCTOR_TYPES,
    SmarterProctoringAdapter,
    exam_body,
    exam_warnings,
    problems,
    token_expires_at,
    visibility_note,
)
from tests.vendors.smarterproctoring.recording import EXAM, Answer, Smarter

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
REFERENCE = UUID("6f0c2b1e-3a44-4e57-9f5e-0d5b8f0a1c22")
INSTALL = "AI1234567890abcdef1234567890abcdef"
COURSE = "CU1234567890abcdef1234567890abcdef"
LIVE = "TS4b894875d26194988853e490dfb9bc41"
PATH = f"/v1/installs/{INSTALL}/courses/{COURSE}/exams"

# The page's sample; its 1970 dates stay, its close and end are moved so that they lie after the start, its proctor
# type is one that exists, its modality options hold one.
SAMPLE: dict[str, Any] = {
    "title": "Midterm Exam 1",
    "type": "Online",
    "useProctorManager": True,
    "requireApproval": False,
    "url": "<string>",
    "enableAppointmentSuggestions": True,
    "examDeliverySystemModule": "canvas",
    "configuration": {
        "instructorAsProctor": [
            {
                "location": "<string>",
                "timeType": "between",
                "startTime": "1970-01-01T00:00:00.000Z",
                "endTime": "<string>",
                "capacity": 123,
            }
        ],
        "examOpenDate": "1970-01-01T00:00:00.000Z",
        "examCloseDate": "1970-01-02T00:00:00.000Z",
        "password": "<string>",
        "duration": 123,
        "attempts": 123,
        "requiredSoftware": "<string>",
        "studentNotes": "<string>",
        "permittedBathroomBreak": True,
        "permittedBathroomBreakInformation": "<string>",
        "permittedBlankPaper": True,
        "permittedBlankPaperInformation": "<string>",
        "permittedCalculator": True,
        "permittedCalculatorInformation": "<string>",
        "permittedDictionary": True,
        "permittedDictionaryInformation": "<string>",
        "permittedEarplugs": True,
        "permittedEarplugsInformation": "<string>",
        "permittedFormulaSheet": True,
        "permittedFormulaSheetInformation": "<string>",
        "permittedNotes": True,
        "permittedNotesInformation": "<string>",
        "permittedOtherItems": "<string>",
        "permittedTextbook": True,
        "permittedTextbookInformation": "<string>",
        "permittedWebsites": True,
        "permittedWebsitesInformation": "<string>",
        "proctorNotes": "<string>",
        "proctorTypes": [LIVE],
        "scheduleOpenDate": "1970-01-01T00:00:00.000Z",
        "scheduleCloseDate": "1970-01-02T00:00:00.000Z",
        "apiExamId": str(REFERENCE),
        "modalityOptions": {"recordScreen": True},
        "virtualCalculatorType": "scientific-calc",
    },
    "description": "Covers chapters 1-5",
    "contactUserSid": "US1234567890abcdef1234567890abcdef",
    "isLimitedScope": False,
    "status": "active",
}
OPTIONAL = {"scheduleOpenDate", "scheduleCloseDate", "modalityOptions", "virtualCalculatorType"}
RESPONSE_FIELDS = [
    "sessionStatus",
    "sid",
    "courseSid",
    "applicationInstallSid",
    "title",
    "bVirtualTitle",
    "type",
    "description",
    "useProctorManager",
    "requireApproval",
    "enableAppointmentSuggestions",
    "url",
    "status",
    "createdDate",
    "editDate",
    "contactUserSid",
    "examDeliverySystemModule",
    "summary",
    "pendingApprovals",
    "openSessionEvents",
    "course",
    "configuration",
    "examSession",
    "instructorName",
    "courseName",
    "totalSessions",
    "needsProctorSessions",
    "scriptName",
    "systemName",
    "isLimitedScope",
    "platformVersion",
]


def transport(request: HttpRequest, *, is_effect: bool) -> HttpResponse:
    return exchange(request, is_effect=is_effect, limits=Limits(allow_private=True))


def jwt(claims: Any) -> str:
    def part(value: Any) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    return f"{part({'alg': 'HS256'})}.{part(claims)}.c2ln"


TOKEN = jwt({"exp": int((NOW + timedelta(days=90)).timestamp())})


def adapter(base_url: str = "", *, token: str = TOKEN, install_sid: Any = INSTALL) -> SmarterProctoringAdapter:
    account = AccountValues(base_url=base_url, credentials={"token": token}, settings={"install_sid": install_sid})
    return SmarterProctoringAdapter(account, transport, lambda: NOW)


def exam(
    *, configuration: dict[str, Any] | None = None, settings: dict[str, Any] | None = None, **changes: Any
) -> ExamValues:
    own = {"password": "pass", "attempts": 1, "proctorTypes": [LIVE], **(configuration or {})}
    top = {
        "courseSid": COURSE,
        "type": "Online",
        "url": "https://lms.example.com/1",
        "examDeliverySystemModule": "canvas",
    }
    values: dict[str, Any] = {
        "reference": REFERENCE,
        "title": "Midterm",
        "starts_at": datetime(2026, 3, 9, 8, 0, tzinfo=UTC),
        "ends_at": datetime(2026, 3, 9, 18, 0, tzinfo=UTC),
        "duration_minutes": 90,
        "settings": {**top, "configuration": own, **(settings or {})},
    }
    return ExamValues(**{**values, **changes})


def sample_exam() -> ExamValues:
    settings = {"courseSid": COURSE, **{key: value for key, value in SAMPLE.items() if key != "title"}}
    return ExamValues(
        reference=REFERENCE,
        title=SAMPLE["title"],
        starts_at=EPOCH,
        ends_at=EPOCH + timedelta(days=1),
        duration_minutes=123,
        settings=settings,
    )


def create(smarter: Smarter, one: ExamValues | None = None) -> ExamResult:
    return adapter(smarter.url).create_exam(one or exam(), Sending(group=UUID(int=1)))


def fields(one: ExamValues) -> set[str]:
    return {problem.field for problem in problems(one)}


def listed(one: ExamValues, **changes: Any) -> dict[str, Any]:
    return {"sid": EXAM, "title": one.title, "configuration": exam_body(one)["configuration"], **changes}


class TestTheRequest:
    def test_is_a_post_with_the_headers_of_the_page(self, smarter: Smarter) -> None:
        create(smarter)

        method, path, headers, _ = smarter.requests[-1]
        assert (method, path) == ("POST", PATH)
        assert headers["token"] == TOKEN
        assert headers["content-type"] == "application/json"

    def test_equals_the_mended_sample_for_its_values(self, smarter: Smarter) -> None:
        create(smarter, sample_exam())

        assert smarter.body == SAMPLE

    def test_holds_every_required_key_and_no_optional_one_where_nothing_is_set(self, smarter: Smarter) -> None:
        create(smarter)

        configuration = smarter.body["configuration"]
        assert set(SAMPLE["configuration"]) - set(configuration) == OPTIONAL
        assert configuration == {
            **{
                key: ""
                for key, value in SAMPLE["configuration"].items()
                if isinstance(value, str)
                if key not in OPTIONAL
            },
            **{key: False for key, value in SAMPLE["configuration"].items() if value is True},
            "instructorAsProctor": [],
            "examOpenDate": "2026-03-09T08:00:00.000Z",
            "examCloseDate": "2026-03-09T18:00:00.000Z",
            "password": "pass",
            "duration": 90,
            "attempts": 1,
            "proctorTypes": [LIVE],
            "apiExamId": str(REFERENCE),
        }

    @pytest.mark.parametrize("nothing", [None, ""])
    def test_leaves_out_an_optional_key_that_holds_nothing(self, smarter: Smarter, nothing: Any) -> None:
        create(smarter, exam(configuration=dict.fromkeys(OPTIONAL, nothing)))

        assert not OPTIONAL & set(smarter.body["configuration"])

    def test_leaves_out_only_the_optional_fields_that_are_not_set(self, smarter: Smarter) -> None:
        create(smarter, exam(settings={"description": "", "status": None}))

        assert set(SAMPLE) - set(smarter.body) == {"description", "contactUserSid", "isLimitedScope", "status"}
        assert all(smarter.body[key] is False for key in ("useProctorManager", "requireApproval"))

    def test_sends_a_written_exam_with_an_empty_url(self, smarter: Smarter) -> None:
        create(smarter, exam(settings={"type": "Written"}, configuration={"password": ""}))

        assert (smarter.body["url"], smarter.body["configuration"]["password"]) == ("", "")

    def test_writes_every_date_in_utc_with_a_z(self, smarter: Smarter) -> None:
        row = {
            "location": "R1",
            "timeType": "between",
            "startTime": "2026-03-09T10:00+02:00",
            "endTime": "2026-03-09T11:00Z",
        }

        create(
            smarter, exam(configuration={"instructorAsProctor": [row], "scheduleOpenDate": "2026-01-01T01:00+01:00"})
        )

        configuration = smarter.body["configuration"]
        assert configuration["scheduleOpenDate"] == "2026-01-01T00:00:00.000Z"
        assert configuration["instructorAsProctor"] == [
            {
                "location": "R1",
                "timeType": "between",
                "startTime": "2026-03-09T08:00:00.000Z",
                "endTime": "2026-03-09T11:00:00.000Z",
            }
        ]

    def test_can_be_looked_at_without_the_token(self) -> None:
        request = adapter().exam_request(sample_exam())

        assert request.url == f"https://api.smarterproctoring.com{PATH}"
        assert TOKEN not in str(request.headers)
        assert json.loads(request.body) == SAMPLE

    def test_can_be_looked_at_while_it_is_still_wrong(self) -> None:
        wrong = exam(
            settings={"courseSid": None, "type": None},
            configuration={"instructorAsProctor": ["x"], "proctorTypes": "x", "scheduleOpenDate": "soon"},
            starts_at=None,
        )

        assert json.loads(adapter(install_sid=None).exam_request(wrong).body)["configuration"]["examOpenDate"] == ""


class TestProblems:
    def test_are_none_for_a_complete_exam(self) -> None:
        assert problems(exam()) == ()
        assert problems(sample_exam()) == ()

    @pytest.mark.parametrize(
        ("field", "settings"),
        [
            ("courseSid", {"courseSid": COURSE.upper()}),
            ("courseSid", {"courseSid": None}),
            ("courseSid", {"courseSid": COURSE + "\n"}),
            ("contactUserSid", {"contactUserSid": "US12"}),
            ("type", {"type": "online"}),
            ("status", {"status": "deleted"}),
            ("url", {"url": ""}),
            ("url", {"url": 5}),
            ("examDeliverySystemModule", {"examDeliverySystemModule": " "}),
            ("isLimitedScope", {"isLimitedScope": "no"}),
            ("requireApproval", {"requireApproval": 1}),
            ("description", {"description": ["x"]}),
            ("description", {"description": "half a pair \ud83d"}),
        ],
    )
    def test_name_the_field(self, field: str, settings: dict[str, Any]) -> None:
        assert fields(exam(settings=settings)) == {field}

    @pytest.mark.parametrize(
        ("field", "configuration"),
        [
            ("password", {"password": ""}),
            ("attempts", {"attempts": 0}),
            ("attempts", {"attempts": "2"}),
            ("virtualCalculatorType", {"virtualCalculatorType": "abacus"}),
            ("proctorTypes", {"proctorTypes": []}),
            ("proctorTypes", {"proctorTypes": None}),
            ("proctorTypes", {"proctorTypes": ["live"]}),
            ("proctorTypes", {"proctorTypes": LIVE}),
            ("modalityOptions", {"modalityOptions": ["verifyId"]}),
            ("permittedNotes", {"permittedNotes": "yes"}),
            ("permittedNotesInformation", {"permittedNotesInformation": True}),
            ("scheduleOpenDate", {"scheduleOpenDate": "2026-01-01T00:00"}),
            ("scheduleCloseDate", {"scheduleOpenDate": "2026-01-02T00:00Z", "scheduleCloseDate": "2026-01-01T00:00Z"}),
            ("scheduleOpenDate", {"scheduleOpenDate": "0001-01-01T00:00+05:00"}),
            ("modalityOptions", {"modalityOptions": {"note": "\ud83d"}}),
            ("proctorNotes", {"proctorNotes": "half a pair \ud83d"}),
            ("permitedNotes", {"permitedNotes": True}),
            ("instructorAsProctor", {"instructorAsProctor": ["x"]}),
        ],
    )
    def test_name_the_field_of_the_configuration(self, field: str, configuration: dict[str, Any]) -> None:
        assert fields(exam(configuration=configuration)) == {f"configuration.{field}"}

    @pytest.mark.parametrize(
        ("words", "change"),
        [
            ("location", {"location": ""}),
            ("time type", {"timeType": "after"}),
            ("start", {"startTime": "2026-03-09T08:00:00"}),
            ("end", {"endTime": ""}),
            ("end", {"endTime": "2026-03-09T07:00Z"}),
            ("end", {"endTime": 5}),
            ("cannot be sent", {"location": "R\ud83d"}),
            ("capacity", {"capacity": 0}),
            ("no field sid", {"sid": "CP1"}),
        ],
    )
    def test_name_the_row_of_the_instructor(self, words: str, change: dict[str, Any]) -> None:
        row = {
            "location": "R1",
            "timeType": "between",
            "startTime": "2026-03-09T08:00Z",
            "endTime": "2026-03-09T09:00Z",
        }

        found = problems(exam(configuration={"instructorAsProctor": [row, {**row, **change}]}))

        assert [problem.message.startswith("Instructor row 2:") and words in problem.message for problem in found] == [
            True
        ]

    @pytest.mark.parametrize(
        ("field", "change"),
        [
            ("title", {"title": " "}),
            ("starts_at", {"starts_at": None}),
            ("ends_at", {"ends_at": None}),
            ("ends_at", {"ends_at": datetime(2026, 3, 9, 8, 0, tzinfo=UTC)}),
            ("duration_minutes", {"duration_minutes": None}),
            ("duration_minutes", {"duration_minutes": 0}),
        ],
    )
    def test_name_what_the_exam_itself_lacks(self, field: str, change: dict[str, Any]) -> None:
        assert fields(exam(**change)) == {field}

    def test_stop_the_call(self, smarter: Smarter) -> None:
        with pytest.raises(Rejected) as caught:
            create(smarter, exam(settings={"url": ""}))

        assert "url" in caught.value.fields
        assert smarter.requests == []

    @pytest.mark.parametrize("install_sid", ["", None, "IN" + "0" * 32, "AI" + "g" * 32])
    def test_of_the_install_are_the_accounts(self, smarter: Smarter, install_sid: Any) -> None:
        one = adapter(smarter.url, install_sid=install_sid)

        with pytest.raises(Misconfigured) as caught:
            one.create_exam(exam(), Sending(group=UUID(int=1)))

        assert caught.value.scope is Scope.ACCOUNT
        assert "install SID" in one.warnings()[0]
        assert smarter.requests == []

    def test_do_not_include_a_long_duration_which_is_only_a_warning(self) -> None:
        assert problems(exam(duration_minutes=481)) == ()
        assert "480" in exam_warnings(exam(duration_minutes=481))[0]
        assert exam_warnings(exam(duration_minutes=480)) == ()


class TestTheReply:
    def test_with_only_nulls_beside_the_sid_is_enough(self, smarter: Smarter) -> None:
        smarter.answers({**dict.fromkeys(RESPONSE_FIELDS), "sid": EXAM})

        result = create(smarter)

        assert result.ref == EXAM
        assert {check.verdict for check in result.checks} == {FieldVerdict.NOT_REPORTED}
        assert result.confirmed == {}

    def test_of_the_page_with_strings_everywhere_is_enough(self, smarter: Smarter) -> None:
        smarter.answers({**dict.fromkeys(RESPONSE_FIELDS, "<string>"), "sid": "whatever-it-is"})

        assert create(smarter).ref == "whatever-it-is"

    def test_is_compared_field_by_field(self, smarter: Smarter) -> None:
        configuration = {
            "duration": "90",
            "attempts": 2,
            "examOpenDate": "2026-03-09T09:00:00+01:00",
            "password": "other",
            "permittedNotes": "false",
        }
        reply = {
            "sid": EXAM,
            "title": "Midterm",
            "requireApproval": True,
            "courseSid": COURSE,
            "configuration": configuration,
        }
        smarter.answers(reply)

        result = create(smarter)

        verdicts = {check.name: check.verdict.value for check in result.checks if check.reported is not None}
        assert verdicts == {
            "title": "confirmed",
            "courseSid": "confirmed",
            "requireApproval": "differs",
            "configuration.duration": "confirmed",
            "configuration.attempts": "differs",
            "configuration.examOpenDate": "confirmed",
            "configuration.password": "differs",
            "configuration.permittedNotes": "confirmed",
        }
        assert result.confirmed["configuration.duration"] == 90
        assert "other" not in str(result)
        assert "'pass'" not in str(result)

    def test_may_hold_the_configuration_as_a_text(self, smarter: Smarter) -> None:
        smarter.answers({"sid": EXAM, "configuration": json.dumps({"duration": 90.0})})

        assert create(smarter).confirmed == {"configuration.duration": 90}

    @pytest.mark.parametrize(
        "body",
        [{"sid": None}, {"sid": ""}, {"sid": " "}, {"sid": 5}, {}, [], None, b"<html>", b"", b'{"sid": "EX'],
    )
    def test_without_a_sid_leaves_the_outcome_unknown(self, smarter: Smarter, body: Any) -> None:
        smarter.answers(body)

        with pytest.raises(OutcomeUnknown):
            create(smarter)

    @pytest.mark.parametrize(
        ("status", "error"),
        [
            (400, Rejected),
            (401, Misconfigured),
            (403, Misconfigured),
            (404, Rejected),
            (429, Unavailable),
            (302, OutcomeUnknown),
            (500, OutcomeUnknown),
            (503, OutcomeUnknown),
        ],
    )
    def test_is_judged_by_its_status(self, smarter: Smarter, status: int, error: type[VendorError]) -> None:
        smarter.answers({"message": "course not found"}, status)

        with pytest.raises(error) as caught:
            create(smarter)

        assert caught.value.status == status


class TestFindExam:
    def find(self, smarter: Smarter) -> ExamResult | None:
        return adapter(smarter.url).find_exam(exam())

    @pytest.mark.parametrize("shape", [lambda items: items, lambda items: {"results": items}])
    def test_finds_it_by_our_reference(self, smarter: Smarter, shape: Callable[[Any], Any]) -> None:
        other = listed(exam(), sid="EX0", configuration={"apiExamId": "another"})
        smarter.answers(shape([other, listed(exam(), title="Renamed")]))

        result = self.find(smarter)

        assert result is not None
        assert result.ref == EXAM
        assert smarter.requests[-1][:2] == ("GET", f"{PATH}?offset=0&limit=50")
        assert next(check for check in result.checks if check.name == "title").verdict is FieldVerdict.DIFFERS

    def test_goes_on_to_the_last_page(self, smarter: Smarter) -> None:
        exams = [{"sid": f"EX{number}", "title": "Other"} for number in range(119)] + [listed(exam())]

        def answer(method: str, target: str) -> Answer:
            query = parse_qs(urlsplit(target).query)
            offset = int(query["offset"][0])
            return 200, {"total": len(exams), "results": exams[offset : offset + 25]}

        smarter.answer = answer

        result = self.find(smarter)

        assert result is not None
        assert result.ref == EXAM
        assert len(smarter.requests) == 5

    @pytest.mark.parametrize("body", [[], {"results": [], "total": 0}, [{"sid": "EX1", "title": "Other"}]])
    def test_says_that_it_is_not_there(self, smarter: Smarter, body: Any) -> None:
        smarter.answers(body)

        assert self.find(smarter) is None

    @pytest.mark.parametrize(
        "item",
        [
            {"sid": "EX1", "title": "Midterm", "configuration": None},
            {"sid": "EX1", "title": "Midterm", "configuration": {"examOpenDate": "2026-03-09T08:00:00Z"}},
            {"sid": "EX1"},
            {"title": "Midterm", "configuration": {"apiExamId": str(REFERENCE)}},
        ],
    )
    def test_only_notes_an_exam_that_may_be_it(self, smarter: Smarter, item: dict[str, Any]) -> None:
        smarter.answers([item])

        result = self.find(smarter)

        assert result is not None
        assert result.ref == ""
        assert (item.get("sid") or "without sid") in result.note

    def test_takes_no_exam_of_another_window_for_it(self, smarter: Smarter) -> None:
        smarter.answers([{"sid": "EX1", "title": "Midterm", "configuration": {"examOpenDate": "2025-03-09T08:00:00Z"}}])

        assert self.find(smarter) is None

    def test_names_others_that_carry_our_reference(self, smarter: Smarter) -> None:
        smarter.answers([listed(exam()), listed(exam(), sid="EX2")])

        result = self.find(smarter)

        assert result is not None
        assert "EX2" in result.note

    @pytest.mark.parametrize(
        "body",
        [
            {"results": [{"sid": "EX1", "title": "Other"}], "total": 3},
            [{"sid": f"EX{number}", "title": "Other"} for number in range(50)],
            {"results": None},
            ["EX1"],
            b"<html>",
        ],
    )
    def test_does_not_call_a_list_that_it_cannot_read_to_its_end_empty(self, smarter: Smarter, body: Any) -> None:
        smarter.answers(body)

        with pytest.raises(Unavailable):
            self.find(smarter)

    def test_gives_up_on_a_list_without_an_end(self, smarter: Smarter, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("proctoring.vendors.smarterproctoring.adapter.MAX_PAGES", 3)
        smarter.answer = lambda method, target: (200, [{"sid": target, "title": "Other"}])

        with pytest.raises(Unavailable):
            self.find(smarter)

        assert len(smarter.requests) == 3


class TestCheck:
    @pytest.mark.parametrize("body", [{"ok": True}, b"OK", b""])
    def test_takes_any_answer_that_is_no_web_page(self, smarter: Smarter, body: Any) -> None:
        smarter.answers(body)

        assert adapter(smarter.url).check().is_conclusive
        assert smarter.requests[-1][:2] == ("GET", "/v1/check")
        assert smarter.requests[-1][2]["token"] == TOKEN

    @pytest.mark.parametrize(("status", "body"), [(404, b""), (405, b""), (400, b""), (200, b" <!doctype html>")])
    def test_cannot_tell_from_anything_else(self, smarter: Smarter, status: int, body: bytes) -> None:
        smarter.answers(body, status)

        assert not adapter(smarter.url).check().is_conclusive

    def test_says_that_the_token_is_refused(self, smarter: Smarter) -> None:
        smarter.answers(b"", 401)

        with pytest.raises(Misconfigured) as caught:
            adapter(smarter.url).check()

        assert caught.value.scope is Scope.ACCOUNT

    def test_without_a_token_asks_nothing(self, smarter: Smarter) -> None:
        with pytest.raises(Misconfigured):
            adapter(smarter.url, token="").check()

        assert smarter.requests == []


class TestWarnings:
    def test_say_that_the_token_has_expired(self) -> None:
        expired = jwt({"exp": int((NOW - timedelta(minutes=1)).timestamp())})

        assert "expired on 2026-03-02 at 08:59 UTC" in adapter(token=expired).warnings()[0]

    def test_say_that_the_token_expires_soon(self) -> None:
        assert "expires on" in adapter(token=jwt({"exp": (NOW + timedelta(days=6)).timestamp()})).warnings()[0]

    def test_are_none_for_a_lasting_token(self) -> None:
        assert adapter().warnings() == ()

    @pytest.mark.parametrize(
        "token",
        [
            "",
            "plain",
            "a.b.c",
            "é.é.é",
            "..",
            "a.e30.c",
            jwt([]),
            jwt({"exp": "soon"}),
            jwt({"exp": True}),
            jwt({"exp": 1e300}),
        ],
    )
    def test_tolerate_rubbish(self, token: str) -> None:
        assert token_expires_at(token) is None
        assert adapter(token=token).warnings() == ()


class TestVisibilityNote:
    @pytest.mark.parametrize(
        ("settings", "words"),
        [
            ({}, "at once"),
            ({"status": "active", "isLimitedScope": False}, "at once"),
            ({"isLimitedScope": True}, "until students are assigned"),
            ({"status": "draft"}, "draft"),
            ({"status": "draft", "isLimitedScope": True}, "only students assigned"),
        ],
    )
    def test_says_who_will_see_it(self, settings: dict[str, Any], words: str) -> None:
        assert words in visibility_note(settings)


class TestTheAdapter:
    def test_declares_what_the_page_offers(self) -> None:
        offered = SmarterProctoringAdapter.FACTS.capabilities

        assert set(offered) == {Verb.CREATE_EXAM, Verb.FIND_EXAM, Verb.CHECK}
        assert offered[Verb.CREATE_EXAM].repeat is Repeat.NEVER
        with pytest.raises(Unsupported):
            adapter().update_exam(exam(), Sending(group=UUID(int=1)))

    def test_names_proctor_types_by_well_formed_sids(self) -> None:
        assert all(PROCTOR_TYPE_SID.fullmatch(sid) for sid in PROCTOR_TYPES)
        assert len(set(PROCTOR_TYPES.values())) == len(PROCTOR_TYPES)

    def test_needs_no_django(self) -> None:
        code = "import sys, proctoring.vendors.smarterproctoring.adapter; sys.exit('django' in sys.modules)"

        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

    def test_is_the_one_the_registry_loads(self) -> None:
        assert ADAPTER is SmarterProctoringAdapter
