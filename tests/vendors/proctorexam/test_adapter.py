from __future__ import annotations

import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from uuid import uuid4

import pytest

from proctoring.vendors import errors, http
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
from proctoring.vendors.proctorexam.adapter import (
    ProctorExamAdapter,
    api_root,
    compare,
    instant,
    nonce,
    parameters_to_send,
    problems,
    signature,
    signed_text,
)

NOW = datetime(2026, 3, 2, 9, 0, 0, 123000, tzinfo=UTC)
SECRET = "sécret"
STARTS_AT = datetime(2018, 11, 20, 23, 54, tzinfo=UTC)
ENDS_AT = datetime(2018, 11, 21, 23, 54, tzinfo=UTC)
SENDING = Sending(group=uuid4())

# The page's own sample, with the corrections that its tables ask for: times in epoch seconds, a nonce that is a number.
SAMPLE_SETTINGS: dict[str, Any] = {
    "type": "record_review",
    "institute_id": 1,
    "use_duration": True,
    "global_proctoring": True,
    "global_reviewing": True,
    "for_reviewing": True,
    "upload_answers": False,
    "mobile_cam": True,
    "restrictions": "Example of restrictions to be added.",
    "allow_websites": True,
    "allow_external_applications": True,
    "allow_textbooks": True,
    "allow_calculator": True,
    "allow_pen_paper": True,
    "allow_additional": True,
    "allowed_websites": "www.proctorexam.com, docs.proctorexam.com",
    "allowed_external_applications": "External application",
    "allowed_textbooks": "Reference book",
    "allowed_calculator_type": "Basic",
    "allowed_additional": "Headphones",
    "student_experience": True,
}
SAMPLE_REPLY: dict[str, Any] = {
    "id": 1,
    "institute_id": 1,
    "name": "Psychostasia",
    "terms": None,
    "duration_minutes": 90,
    "start_time": "2018-11-21T00:54:00.000+01:00",
    "mode": "01110000",
    "upload_answers": False,
    "token": "b1342678e28f2b895ff6834408a33bd7",
    "end_time": None,
    "restrictions": "[[false,['']],[true,['']]]",
    "for_reviewing": True,
    "use_duration": True,
    "global_proctoring": True,
    "global_reviewing": True,
    "exam_language": "fr,nl,es,ar,no",
    "mobile_cam": True,
    "live_proctoring": False,
    "student_experience": False,
}


@dataclass
class Seen:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Vendor:
    status: int = 200
    body: bytes = json.dumps({"exam": SAMPLE_REPLY}).encode()
    date: str | None = None
    seen: list[Seen] = field(default_factory=list)
    base_url: str = ""


@pytest.fixture
def vendor() -> Iterator[Vendor]:
    state = Vendor()

    class Handler(BaseHTTPRequestHandler):
        def do_PATCH(self) -> None:
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            query = dict(parse_qsl(parts.query, strict_parsing=bool(parts.query)))
            state.seen.append(Seen(self.command, parts.path, query, headers, body))
            if state.status == 0:
                self.connection.close()
                return
            self.send_response_only(state.status)
            if state.date is not None:
                self.send_header("Date", state.date)
            self.send_header("Content-Length", str(len(state.body)))
            self.end_headers()
            self.wfile.write(state.body)

        do_PUT = do_GET = do_PATCH

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    state.base_url = f"http://127.0.0.1:{server.server_port}"
    yield state
    server.shutdown()
    server.server_close()


def transport(request: HttpRequest, *, is_effect: bool) -> HttpResponse:
    assert is_effect == (request.method != "GET")
    return http.exchange(request, is_effect=is_effect, limits=http.Limits(deadline_seconds=5, allow_private=True))


@dataclass
class Clock:
    now: datetime = NOW

    def __call__(self) -> datetime:
        return self.now


def made(vendor: Vendor, clock: Clock | None = None, **settings: Any) -> ProctorExamAdapter:
    credentials = {"api_token": "tok-1", "secret_key": SECRET}
    account = AccountValues(base_url=vendor.base_url, credentials=credentials, settings=settings)
    return ProctorExamAdapter(account, transport, clock or Clock())


@pytest.fixture
def adapter(vendor: Vendor) -> ProctorExamAdapter:
    return made(vendor)


def exam(**changes: Any) -> ExamValues:
    whole: dict[str, Any] = {
        "reference": uuid4(),
        "ref": "1",
        "title": "Psychostasia",
        "starts_at": STARTS_AT,
        "duration_minutes": 90,
        "time_zone": "Europe/Amsterdam",
        "settings": SAMPLE_SETTINGS,
    }
    return ExamValues(**(whole | changes))


def bare(**settings: Any) -> ExamValues:
    return exam(title="", starts_at=None, duration_minutes=None, settings=settings)


def recomputed(body: dict[str, Any]) -> str:
    """The page's rule, read again: values as the JSON shows them, by name, joined by a question mark."""
    shown = {name: value if isinstance(value, str) else json.dumps(value) for name, value in body.items()}
    text = "?".join(f"{name}={shown[name]}" for name in sorted(shown) if name != "signature")
    return hmac.new(SECRET.encode(), text.encode(), hashlib.sha256).hexdigest()


def verdicts(result: ExamResult) -> dict[str, FieldVerdict]:
    return {check.name: check.verdict for check in result.checks}


class TestSignature:
    PARAMETERS = {
        "timestamp": 1772442000123,
        "student_experience": False,
        "nonce": 77,
        "name": "Psycho stasia",
        "id": 1,
        "duration_minutes": 90,
        "allowed_calculator_type": "Ünï ?&=+%20",
        "allow_calculator": True,
        "signature": "not part of it",
    }

    def test_signs_names_in_order_joined_by_a_question_mark_and_nothing_escaped(self) -> None:
        assert signed_text(self.PARAMETERS) == (
            "allow_calculator=true?allowed_calculator_type=Ünï ?&=+%20?duration_minutes=90?id=1?name=Psycho stasia"
            "?nonce=77?student_experience=false?timestamp=1772442000123"
        )

    def test_equals_what_openssl_computes(self) -> None:
        assert signature(self.PARAMETERS, SECRET) == "2a1c08c1841b9e327599d12937ecb2c40604bdbc86b2b1b16115ae9bc9d6e411"

    @pytest.mark.parametrize("value", [[1], {"a": 1}, 1.5, None])
    def test_refuses_values_without_one_notation(self, value: Any) -> None:
        with pytest.raises(errors.Unsupported):
            signature({"id": value}, SECRET)


class TestNonce:
    def test_differs_each_time_within_one_moment(self) -> None:
        assert len({nonce(NOW) for _ in range(500)}) == 500

    def test_cannot_be_equal_at_two_seconds_of_one_day(self) -> None:
        day = [nonce(NOW + timedelta(seconds=second)) for second in (0, 1, 3600, 86_400)]

        assert len({value // 90_000_000_000 for value in day}) == 4

    def test_is_a_number_that_every_json_parser_reads_exactly(self) -> None:
        assert all(0 <= nonce(NOW + timedelta(hours=hour)) < 2**53 for hour in range(48))


class TestUpdateExam:
    def test_sends_the_pages_sample(self, vendor: Vendor, adapter: ProctorExamAdapter) -> None:
        adapter.update_exam(exam(), SENDING)

        [seen] = vendor.seen
        body = seen.json
        made_when_sent = {name: body.pop(name) for name in ("nonce", "timestamp", "signature")}
        assert (seen.method, seen.path, seen.query) == ("PATCH", "/api/v3/exams/1", {})
        assert seen.headers["accept"] == "application/vnd.procwise.v3"
        assert seen.headers["authorization"] == "Token token=tok-1"
        assert seen.headers["content-type"] == "application/json"
        assert body == SAMPLE_SETTINGS | {
            "id": 1,
            "name": "Psychostasia",
            "duration_minutes": 90,
            "start_time": 1542758040,
        }
        assert type(made_when_sent["nonce"]) is int
        assert made_when_sent["timestamp"] == int(NOW.timestamp() * 1000)

    def test_signs_what_it_sends(self, vendor: Vendor, adapter: ProctorExamAdapter) -> None:
        adapter.update_exam(exam(title="Prüfung “A” ? b=c & d\n% 1/2 \\ é\u2028"), SENDING)

        body = vendor.seen[0].json
        assert body["signature"] == recomputed(body)
        assert body["name"] == "Prüfung “A” ? b=c & d\n% 1/2 \\ é\u2028"

    def test_makes_nonce_and_timestamp_when_sending_however_long_it_waited(self, vendor: Vendor) -> None:
        clock = Clock()
        adapter = made(vendor, clock)
        clock.now = NOW + timedelta(hours=1)

        adapter.update_exam(exam(), SENDING)
        adapter.update_exam(exam(), SENDING)

        first, second = (seen.json for seen in vendor.seen)
        assert first["timestamp"] == second["timestamp"] == int((NOW + timedelta(hours=1)).timestamp() * 1000)
        assert first["nonce"] != second["nonce"]
        assert first["signature"] != second["signature"]
        assert second["signature"] == recomputed(second)

    def test_uses_put_where_the_account_says_so(self, vendor: Vendor) -> None:
        made(vendor, method="put").update_exam(exam(), SENDING)

        assert vendor.seen[0].method == "PUT"

    def test_sends_iso_times_in_the_exams_zone_where_the_account_says_so(self, vendor: Vendor) -> None:
        made(vendor, time_format="iso").update_exam(exam(ends_at=ENDS_AT), SENDING)

        body = vendor.seen[0].json
        assert body["start_time"] == "2018-11-21T00:54:00.000+01:00"
        assert body["end_time"] == "2018-11-22T00:54:00.000+01:00"
        assert body["signature"] == recomputed(body)

    @pytest.mark.parametrize("settings", [{"method": "POST"}, {"time_format": "rfc"}])
    def test_refuses_a_setting_it_does_not_know(self, vendor: Vendor, settings: dict[str, Any]) -> None:
        with pytest.raises(errors.Misconfigured):
            made(vendor, **settings).update_exam(exam(), SENDING)

        assert vendor.seen == []

    @pytest.mark.parametrize("missing", ["api_token", "secret_key"])
    def test_names_the_missing_credential(self, vendor: Vendor, missing: str) -> None:
        credentials = {name: "x" for name in ("api_token", "secret_key") if name != missing}
        account = AccountValues(base_url=vendor.base_url, credentials=credentials)

        with pytest.raises(errors.Misconfigured, match=missing.replace("_", " ")):
            ProctorExamAdapter(account, transport, Clock()).update_exam(exam(), SENDING)

    @pytest.mark.parametrize(
        ("changes", "named"),
        [
            ({"ref": "abc"}, "id"),
            ({"ref": ""}, "id"),
            ({"ref": "1/../2"}, "id"),
            ({"settings": {"exam_language": ["fr", "nl"]}}, "exam_language"),
            ({"settings": {"restrictions": {"a": 1}}}, "restrictions"),
            ({"settings": {"colour": "blue"}}, "colour"),
            ({"ends_at": STARTS_AT - timedelta(hours=1)}, "end_time"),
        ],
    )
    def test_refuses_before_signing_and_names_the_field(
        self, vendor: Vendor, adapter: ProctorExamAdapter, changes: dict[str, Any], named: str
    ) -> None:
        with pytest.raises(errors.Unsupported, match=named):
            adapter.update_exam(exam(**changes), SENDING)

        assert vendor.seen == []


class TestReply:
    def test_confirms_differs_or_is_silent_field_by_field(self, adapter: ProctorExamAdapter) -> None:
        result = adapter.update_exam(exam(), SENDING)

        found = verdicts(result)
        assert found["name"] is FieldVerdict.CONFIRMED
        assert found["start_time"] is FieldVerdict.CONFIRMED
        assert found["duration_minutes"] is FieldVerdict.CONFIRMED
        assert found["student_experience"] is FieldVerdict.DIFFERS
        assert found["restrictions"] is FieldVerdict.NOT_REPORTED
        assert {found[name] for name in found if name.startswith("allow") or name == "type"} == {
            FieldVerdict.NOT_REPORTED
        }
        assert result.ref == "1"
        assert result.note == "ProctorExam reports something else for: student_experience."

    def test_confirms_only_what_the_vendor_said_and_no_token(self, adapter: ProctorExamAdapter) -> None:
        confirmed = adapter.update_exam(exam(), SENDING).confirmed

        assert confirmed["student_experience"] is False
        assert confirmed["exam_language"] == "fr,nl,es,ar,no"
        known = {name for name, value in confirmed.items() if value is not None}
        assert not {"token", "mode", "restrictions", "type", "id"} & known

    def test_shows_a_last_start_that_stayed_although_none_is_wanted(
        self, vendor: Vendor, adapter: ProctorExamAdapter
    ) -> None:
        vendor.body = json.dumps({"exam": SAMPLE_REPLY | {"end_time": "2018-12-01T00:00:00Z"}}).encode()

        assert verdicts(adapter.update_exam(exam(), SENDING))["end_time"] is FieldVerdict.DIFFERS

    def test_shows_the_answer_of_another_exam(self, vendor: Vendor, adapter: ProctorExamAdapter) -> None:
        vendor.body = json.dumps({"exam": SAMPLE_REPLY | {"id": 2}}).encode()

        result = adapter.update_exam(exam(), SENDING)

        assert (result.ref, verdicts(result)["id"]) == ("1", FieldVerdict.DIFFERS)

    @pytest.mark.parametrize("body", [b"", b"<html>ok</html>", b"[]", b'{"exam": null}', b'{"exam": {"id": 1'])
    def test_leaves_the_outcome_open_when_the_reply_cannot_be_read(
        self, vendor: Vendor, adapter: ProctorExamAdapter, body: bytes
    ) -> None:
        vendor.body = body

        with pytest.raises(errors.OutcomeUnknown):
            adapter.update_exam(exam(), SENDING)

    def test_reads_an_exam_without_its_envelope(self, vendor: Vendor, adapter: ProctorExamAdapter) -> None:
        vendor.body = json.dumps(SAMPLE_REPLY).encode()

        assert verdicts(adapter.update_exam(exam(), SENDING))["name"] is FieldVerdict.CONFIRMED


class TestCompare:
    @pytest.mark.parametrize(
        ("name", "sent", "reported", "verdict"),
        [
            ("mobile_cam", True, 1, FieldVerdict.CONFIRMED),
            ("mobile_cam", False, "0", FieldVerdict.CONFIRMED),
            ("mobile_cam", True, "maybe", FieldVerdict.DIFFERS),
            ("mobile_cam", True, None, FieldVerdict.DIFFERS),
            ("mobile_cam", False, None, FieldVerdict.NOT_REPORTED),
            ("duration_minutes", 90, "90", FieldVerdict.CONFIRMED),
            ("duration_minutes", 90, 90.0, FieldVerdict.CONFIRMED),
            ("duration_minutes", 90, 91, FieldVerdict.DIFFERS),
            ("start_time", 1542758040, "2018-11-20T23:54:00Z", FieldVerdict.CONFIRMED),
            ("start_time", 1542758040, "2018-11-20 23:54:00 UTC", FieldVerdict.CONFIRMED),
            ("start_time", 1542758040, 1542758040000, FieldVerdict.CONFIRMED),
            ("start_time", "2018-11-21T00:54:00.000+01:00", "1542758040", FieldVerdict.CONFIRMED),
            ("start_time", 1542758040, "2018-11-21T00:54:00Z", FieldVerdict.DIFFERS),
            ("start_time", 1542758040, "soon", FieldVerdict.DIFFERS),
            ("end_time", 1542758040, None, FieldVerdict.DIFFERS),
            ("exam_language", "nl, FR", "fr,nl", FieldVerdict.CONFIRMED),
            ("exam_language", "nl,fr", "fr", FieldVerdict.DIFFERS),
            ("name", "A ", "A", FieldVerdict.CONFIRMED),
            ("name", "A", {"text": "A"}, FieldVerdict.DIFFERS),
            ("allowed_websites", "", None, FieldVerdict.CONFIRMED),
            ("restrictions", "Be kind", "Be kind", FieldVerdict.CONFIRMED),
            ("restrictions", "Be kind", "Be quick", FieldVerdict.DIFFERS),
            ("restrictions", "Be kind", "[[false,['']]]", FieldVerdict.NOT_REPORTED),
            ("restrictions", "", "[[false,['']],[true,['']]]", FieldVerdict.CONFIRMED),
            ("restrictions", "", "[[false,['']],[true,['Be kind']]]", FieldVerdict.DIFFERS),
            ("restrictions", "Be kind", "[[false,['']],[true,['Be kind']]]", FieldVerdict.CONFIRMED),
            ("restrictions", "Be kind", "[[false,['']],[true,['Be quick']]]", FieldVerdict.DIFFERS),
            ("restrictions", "Be “kind”,\nit's fair", '[[true, ["Be “kind”,\\nit\'s fair"]]]', FieldVerdict.CONFIRMED),
            ("restrictions", r"C:\new [1]", r'[[true, ["C:\\new [1]"]]]', FieldVerdict.CONFIRMED),
            ("restrictions", "Be kind", [[False, [""]], [True, ["Be kind"]]], FieldVerdict.CONFIRMED),
            ("restrictions", "", [[False, [""]], [True, ["Be kind"]]], FieldVerdict.DIFFERS),
        ],
    )
    def test_reads_every_notation(self, name: str, sent: Any, reported: Any, verdict: FieldVerdict) -> None:
        assert compare(name, sent, reported) is verdict


class TestParametersToSend:
    CONFIRMED = {
        "name": "Psychostasia",
        "start_time": "2018-11-21T00:54:00.000+01:00",
        "duration_minutes": 90,
        "use_duration": True,
        "mobile_cam": True,
        "exam_language": "fr,nl",
        "student_experience": True,
        "restrictions": "old",
    }

    def test_leaves_out_what_the_vendor_last_confirmed_but_not_what_has_defaults(self) -> None:
        settings = {
            "mobile_cam": True,
            "exam_language": "nl, fr",
            "for_reviewing": False,
            "student_experience": True,
            "allow_websites": False,
            "allowed_websites": "",
            "last_confirmed": self.CONFIRMED,
        }

        sent = parameters_to_send(exam(settings=settings))

        assert sent == {
            "id": 1,
            "use_duration": True,
            "duration_minutes": 90,
            "start_time": 1542758040,
            "for_reviewing": False,
            "allow_websites": False,
            "allowed_websites": "",
            "student_experience": True,
        }

    def test_sends_what_differs_from_the_last_confirmation(self) -> None:
        settings = {"mobile_cam": False, "restrictions": "", "last_confirmed": self.CONFIRMED}

        sent = parameters_to_send(exam(title="New", settings=settings))

        assert (sent["name"], sent["mobile_cam"], sent["restrictions"]) == ("New", False, "")

    def test_repeats_a_confirmed_switch_about_which_the_settings_are_silent(self) -> None:
        sent = parameters_to_send(bare(last_confirmed={"student_experience": True, "institute_id": 4}))

        assert sent == {"id": 1, "student_experience": True}

    def test_leaves_absent_and_blank_values_out(self) -> None:
        assert parameters_to_send(bare(type="", name="", restrictions=None, exam_language=None)) == {"id": 1}

    def test_lets_the_settings_override_the_exam(self) -> None:
        settings = {"name": "Other", "start_time": "2020-01-01T01:00:00+01:00", "duration_minutes": 5}

        sent = parameters_to_send(exam(settings=settings))

        assert (sent["name"], sent["start_time"], sent["duration_minutes"]) == ("Other", 1577836800, 5)

    def test_uses_a_duration_that_is_given_unless_told_not_to(self) -> None:
        assert parameters_to_send(exam(settings={}))["use_duration"] is True
        assert parameters_to_send(exam(settings={"use_duration": False}))["use_duration"] is False

    @pytest.mark.parametrize("given", [True, 1, "1", "true"])
    def test_writes_yes_and_no_in_one_way(self, given: Any) -> None:
        assert parameters_to_send(bare(mobile_cam=given))["mobile_cam"] is True


class TestRemoving:
    """What was sent once and is empty now: removed there, or said to stand."""

    NESTED = "[[false,['']],[true,['']]]"

    def test_sends_an_empty_text_whatever_was_confirmed_of_it(self) -> None:
        for known in ({}, {"restrictions": "old"}, {"restrictions": self.NESTED}, {"name": "x"}):
            assert parameters_to_send(bare(restrictions="", last_confirmed=known))["restrictions"] == ""

        known = {"exam_language": "fr,nl"}
        assert parameters_to_send(bare(exam_language="", last_confirmed=known))["exam_language"] == ""

    def test_does_not_send_again_what_the_vendor_says_is_empty(self) -> None:
        known = {"exam_language": "", "restrictions": ""}

        assert parameters_to_send(bare(exam_language="", restrictions="", last_confirmed=known)) == {"id": 1}

    def test_forgets_what_was_confirmed_once_the_vendor_is_silent_about_what_it_got(
        self, vendor: Vendor, adapter: ProctorExamAdapter
    ) -> None:
        known: dict[str, Any] = {"restrictions": self.NESTED, "allow_websites": True}
        settings = {"restrictions": "Be kind", "allow_websites": False}

        confirmed = adapter.update_exam(exam(settings=settings | {"last_confirmed": known}), SENDING).confirmed

        assert {**known, **confirmed}["restrictions"] is None
        assert {**known, **confirmed}["allow_websites"] is None
        after = exam(settings={"restrictions": "", "last_confirmed": {**known, **confirmed}})
        assert parameters_to_send(after)["restrictions"] == ""
        assert "allow_websites" not in parameters_to_send(after)

    def test_says_that_texts_will_be_removed(self, adapter: ProctorExamAdapter) -> None:
        notes = adapter.exam_notes(bare(restrictions="", exam_language=""))

        assert notes == (
            "Removed here, and so removed at ProctorExam: the languages, the instructions for the reviewer.",
        )

    def test_switches_the_limit_off_where_a_duration_was_removed_and_says_that_its_number_stays(
        self, vendor: Vendor, adapter: ProctorExamAdapter
    ) -> None:
        before = adapter.update_exam(exam(settings={}), SENDING).confirmed
        removed = exam(duration_minutes=None, settings={"last_confirmed": before})
        vendor.body = json.dumps({"exam": SAMPLE_REPLY | {"use_duration": False}}).encode()

        notes, result = adapter.exam_notes(removed), adapter.update_exam(removed, SENDING)

        assert "told not to limit" in notes[0]
        assert "duration in minutes stands at ProctorExam as 90" in notes[1]
        assert vendor.seen[-1].json["use_duration"] is False
        assert "duration_minutes" not in vendor.seen[-1].json
        assert verdicts(result)["duration_minutes"] is FieldVerdict.DIFFERS
        assert "Still there, because an update cannot empty it: duration in minutes (90)." in result.note
        again = exam(duration_minutes=None, settings={"last_confirmed": {**before, **result.confirmed}})
        assert parameters_to_send(again)["use_duration"] is False
        assert len(adapter.exam_notes(again)) == 1

    @pytest.mark.parametrize(
        ("change", "name", "shown"),
        [
            ({"starts_at": None}, "start_time", "first start stands at ProctorExam as 2018-11-20 23:54 UTC"),
            ({"ends_at": None}, "end_time", "last start stands at ProctorExam as 2018-11-21 23:54 UTC"),
            ({"settings": {"institute_id": None}}, "institute_id", "institute id stands at ProctorExam as 1"),
        ],
    )
    def test_says_before_and_after_that_what_has_no_empty_form_stands(
        self, vendor: Vendor, adapter: ProctorExamAdapter, change: dict[str, Any], name: str, shown: str
    ) -> None:
        vendor.body = json.dumps({"exam": SAMPLE_REPLY | {"end_time": ENDS_AT.isoformat()}}).encode()
        whole: dict[str, Any] = {"ends_at": ENDS_AT, "settings": {"institute_id": 1}}
        confirmed = adapter.update_exam(exam(**whole), SENDING).confirmed
        changed = whole | change
        removed = exam(**changed | {"settings": changed["settings"] | {"last_confirmed": confirmed}})

        notes, result = adapter.exam_notes(removed), adapter.update_exam(removed, SENDING)

        assert [note for note in notes if shown in note]
        assert name not in vendor.seen[-1].json
        assert verdicts(result)[name] is FieldVerdict.DIFFERS
        assert "Still there, because an update cannot empty it" in result.note
        assert {**confirmed, **result.confirmed}[name] is not None

    def test_says_nothing_of_what_was_never_set_from_here(self, vendor: Vendor, adapter: ProctorExamAdapter) -> None:
        """The vendor reports a first start, a duration and an institute, whoever set them."""
        first = adapter.update_exam(bare(), SENDING)

        second = bare(last_confirmed=first.confirmed)

        assert adapter.exam_notes(second) == ()
        assert parameters_to_send(second).keys() <= {"id", "student_experience"}
        result = adapter.update_exam(second, SENDING)
        assert (result.note, FieldVerdict.DIFFERS in verdicts(result).values()) == ("", False)

    def test_takes_a_first_start_that_went_back_to_its_default_for_removed(
        self, vendor: Vendor, adapter: ProctorExamAdapter
    ) -> None:
        confirmed = adapter.update_exam(exam(), SENDING).confirmed
        vendor.body = json.dumps({"exam": SAMPLE_REPLY | {"start_time": "2018-11-01T00:00:00Z"}}).encode()

        result = adapter.update_exam(exam(starts_at=None, settings={"last_confirmed": confirmed}), SENDING)

        assert "start_time" not in verdicts(result)
        assert {**confirmed, **result.confirmed}["start_time"] is None


class TestProblems:
    def test_has_none_for_the_pages_sample(self) -> None:
        assert problems(SAMPLE_SETTINGS | {"duration_minutes": 90}) == ()

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("name", 5),
            ("type", "webinar"),
            ("use_duration", "maybe"),
            ("use_duration", 2),
            ("duration_minutes", "90"),
            ("duration_minutes", 1.5),
            ("duration_minutes", -1),
            ("duration_minutes", True),
            ("start_time", "tomorrow"),
            ("start_time", "2020-01-01T00:00:00"),
            ("start_time", datetime(2020, 1, 1)),  # noqa: DTZ001
            ("end_time", True),
            ("mobile_cam", []),
            ("allowed_websites", ["a", "b"]),
            ("restrictions", "\ud800"),
            ("nonce", 5),
        ],
    )
    def test_names_the_field_that_is_not_what_the_page_says(self, name: str, value: Any) -> None:
        assert [problem.field for problem in problems({name: value})] == [name]

    @pytest.mark.parametrize("value", [1542758040, "2018-11-21T00:54:00+0100", datetime(2018, 1, 1, tzinfo=UTC)])
    def test_accepts_a_time_in_any_clear_notation(self, value: Any) -> None:
        assert problems({"start_time": value}) == ()

    def test_wants_the_duration_that_is_used(self) -> None:
        assert [problem.field for problem in problems({"use_duration": True})] == ["duration_minutes"]

    def test_ignores_what_is_absent(self) -> None:
        assert problems({"name": None, "type": "", "last_confirmed": {"name": 5}}) == ()


class TestRefusals:
    def test_names_all_four_causes_of_a_403_and_compares_the_clocks(
        self, vendor: Vendor, adapter: ProctorExamAdapter
    ) -> None:
        vendor.status, vendor.date = 403, "Mon, 02 Mar 2026 09:05:00 GMT"
        vendor.body = b"You are not authorized to access this page."

        with pytest.raises(errors.Misconfigured) as caught:
            adapter.update_exam(exam(), SENDING)

        error = caught.value
        assert (error.scope, error.suspected, error.status) == (errors.Scope.ACCOUNT, True, 403)
        for cause in ("signature", "clock", "nonce", "right"):
            assert cause in error.message
        assert "2026-03-02 09:00:00 UTC, the vendor's 2026-03-02 09:05:00 UTC: 300 seconds apart" in error.message
        assert "You are not authorized" in error.message
        assert SECRET not in error.message

    @pytest.mark.parametrize("date", [None, "yesterday"])
    def test_says_when_the_vendor_gives_no_date(
        self, vendor: Vendor, adapter: ProctorExamAdapter, date: str | None
    ) -> None:
        vendor.status, vendor.date, vendor.body = 403, date, b"<html><h1>403</h1></html>"

        with pytest.raises(errors.Misconfigured, match="carries no date") as caught:
            adapter.update_exam(exam(), SENDING)

        assert "<" not in caught.value.message

    @pytest.mark.parametrize(
        ("body", "fields"),
        [
            (b"Param is missing or the value is empty: 'name'", {"name": "is missing or empty"}),
            (b"<p>Param is missing or the value is empty: &#39;id&#39;</p>", {"id": "is missing or empty"}),
            (b'{"error": "param is missing or the value is empty: nonce"}', {"nonce": "is missing or empty"}),
            (b'{"name": ["has already been taken", "is odd"]}', {"name": "has already been taken, is odd"}),
            (b'{"errors": {"type": ["is unknown"]}}', {"type": "is unknown"}),
            (b'{"status": "failed", "duration_minutes": "is odd"}', {"duration_minutes": "is odd"}),
            (b"", {}),
            (b"<html>", {}),
            (b'{"error": "no"}', {}),
        ],
    )
    def test_puts_a_422_at_its_fields(
        self, vendor: Vendor, adapter: ProctorExamAdapter, body: bytes, fields: dict[str, str]
    ) -> None:
        vendor.status, vendor.body = 422, body

        with pytest.raises(errors.Rejected) as caught:
            adapter.update_exam(exam(), SENDING)

        assert (caught.value.status, caught.value.fields) == (422, fields)
        assert caught.value.message
        assert "<" not in caught.value.message

    @pytest.mark.parametrize(
        ("status", "error"),
        [
            (400, errors.Rejected),
            (401, errors.Misconfigured),
            (404, errors.Rejected),
            (429, errors.Unavailable),
            (503, errors.Unavailable),
            (302, errors.OutcomeUnknown),
            (500, errors.OutcomeUnknown),
            (0, errors.OutcomeUnknown),
        ],
    )
    def test_names_a_failure_by_what_happens_next(
        self, vendor: Vendor, adapter: ProctorExamAdapter, status: int, error: type[Exception]
    ) -> None:
        vendor.status, vendor.body = status, b"<html>"

        with pytest.raises(error):
            adapter.update_exam(exam(), SENDING)

    def test_shows_the_vendors_plain_words(self, vendor: Vendor, adapter: ProctorExamAdapter) -> None:
        vendor.status, vendor.body = 404, b"Couldn't find Exam with 'id'=1"

        with pytest.raises(errors.Rejected, match="Couldn't find Exam"):
            adapter.update_exam(exam(), SENDING)


class TestExamRequest:
    def test_shows_the_request_without_secrets_and_sends_nothing(
        self, vendor: Vendor, adapter: ProctorExamAdapter
    ) -> None:
        preview = adapter.exam_request(exam())

        body = json.loads(preview.body)
        made_later = {name: body.pop(name) for name in ("nonce", "timestamp", "signature")}
        assert (preview.method, preview.url) == ("PATCH", f"{vendor.base_url}/api/v3/exams/1")
        assert "tok-1" not in str(preview.headers)
        assert set(made_later.values()) == {"(made when it is sent)"}
        assert body == parameters_to_send(exam())
        assert vendor.seen == []


class TestCheck:
    def test_reads_an_exam_with_everything_signed_in_the_query(
        self, vendor: Vendor, adapter: ProctorExamAdapter
    ) -> None:
        checked = adapter.check(["", "7"])

        [seen] = vendor.seen
        assert checked.is_conclusive
        assert (seen.method, seen.path, seen.body) == ("GET", "/api/v3/exams/7", b"")
        assert set(seen.query) == {"id", "nonce", "timestamp", "signature"}
        assert seen.query["signature"] == recomputed(seen.query)
        assert seen.headers["authorization"] == "Token token=tok-1"
        assert seen.headers["accept"] == "application/vnd.procwise.v3"

    def test_reads_the_list_when_there_is_no_exam_yet(self, vendor: Vendor, adapter: ProctorExamAdapter) -> None:
        vendor.body = b'{"exams": []}'

        checked = adapter.check()

        assert checked.is_conclusive
        assert vendor.seen[0].path == "/api/v3/exams"
        assert vendor.seen[0].query["limit"] == "1"

    @pytest.mark.parametrize("status", [403, 404, 422])
    def test_does_not_conclude_from_a_refusal(self, vendor: Vendor, adapter: ProctorExamAdapter, status: int) -> None:
        vendor.status, vendor.body = status, b"no"

        checked = adapter.check(["7"])

        assert not checked.is_conclusive
        assert str(status) in checked.message

    @pytest.mark.parametrize(
        ("status", "body", "error"),
        [(401, b"", errors.Misconfigured), (500, b"", errors.Unavailable), (200, b"<html>", errors.Unavailable)],
    )
    def test_raises_what_says_nothing_about_the_key(
        self, vendor: Vendor, adapter: ProctorExamAdapter, status: int, body: bytes, error: type[Exception]
    ) -> None:
        vendor.status, vendor.body = status, body

        with pytest.raises(error):
            adapter.check(["7"])


class TestAccount:
    @pytest.mark.parametrize(
        "base_url",
        [
            "https://i.example",
            "https://i.example/",
            "https://i.example/api/v3",
            "https://i.example/api/v3/",
            "i.example",
        ],
    )
    def test_accepts_the_address_in_any_of_these_forms(self, base_url: str) -> None:
        assert api_root(base_url) == "https://i.example/api/v3"

    def test_needs_an_address(self) -> None:
        account = AccountValues(base_url="", credentials={"api_token": "t", "secret_key": "s"})

        with pytest.raises(errors.Misconfigured):
            ProctorExamAdapter(account, transport, Clock()).update_exam(exam(), SENDING)

    def test_may_repeat_an_update(self) -> None:
        assert ProctorExamAdapter.FACTS.capabilities[Verb.UPDATE_EXAM].repeat is Repeat.HARMLESS


class TestInstant:
    @pytest.mark.parametrize(
        "value",
        [
            1542758040,
            1542758040000,
            "1542758040",
            "2018-11-21T00:54:00.000+01:00",
            "2018-11-20 23:54:00 UTC",
            datetime(2018, 11, 21, 0, 54, tzinfo=timezone(timedelta(hours=1))),
        ],
    )
    def test_is_the_same_in_every_notation(self, value: Any) -> None:
        assert instant(value) == STARTS_AT

    @pytest.mark.parametrize("value", [None, True, [], "soon", 10**30, float("nan")])
    def test_is_none_where_there_is_none(self, value: Any) -> None:
        assert instant(value) is None
