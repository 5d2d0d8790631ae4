from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import UUID

import pytest

from proctoring.vendors.base import (
    AccountValues,
    Created,
    DeliveryOrder,
    DeliveryResult,
    ExamValues,
    HttpRequest,
    HttpResponse,
    Person,
    Repeat,
    Sending,
    Unclear,
    Verb,
)
from proctoring.vendors.cirrus.adapter import ADAPTER, CirrusAdapter, attempt_ext_id, candidate_ext_id, code_notes
from proctoring.vendors.errors import Misconfigured, OutcomeUnknown, Rejected, Scope, Unavailable, VendorError
from proctoring.vendors.http import Limits, exchange

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
START = datetime(2026, 3, 9, 7, 30, tzinfo=UTC)
GROUP = UUID("6f0c2b1e-3a44-4e57-9f5e-0d5b8f0a1c22")
TOKEN = "tok-4711-secret"
SITE = "https://demo.cirrusplatform.com"
PATH = "/api/v1/integrations"
DASHED = re.compile(r"[A-Za-z0-9-]{1,64}")

SIMPLE_SAMPLE = {
    "Schedule": {
        "AssessmentExtId": "1111",
        "ScheduleExtId": "sch1111",
        "StartDateTime": "2018-11-02T15:30:00Z",
        "GroupExtId": "CPI",
        "GroupName": "ComputerInc",
        "UseKeyCode": True,
    },
    "Candidates": [
        {
            "CandidateExtId": "ddmwhite",
            "FirstName": "Dima",
            "LastName": "White",
            "Email": "ddmwhite@winterfell.com",
            "SpecialNeeds": True,
            "ReasonableAdjustmentPercentage": 20,
        }
    ],
}
# The page's extended sample without RegNumber, which the page does not list, and with one of its two photos.
EXTENDED_SAMPLE = {
    "Schedule": {
        "AssessmentExtId": "NORTH000",
        "ScheduleExtId": "WINTER000",
        "StartDateTime": "2015-04-21T07:30:00.000Z",
        "GroupExtId": "WINTERFELL",
        "GroupName": "Winterfell",
        "UseKeyCode": True,
    },
    "Candidates": [
        {
            "CandidateExtId": "eddardstark",
            "FirstName": "Eddard",
            "LastName": "Stark",
            "Email": "estark@winterfell.com",
            "Password": "WinterIsComing",
            "Photo": "https://secure.skypeassets.com/content/dam/scom/images/newhome/promo2.jpg",
            "RegistrationNumber": "3325",
            "CompId": "COMP00102006",
            "ProctorUIds": ["1235", "234"],
        },
        {
            "CandidateExtId": "catelynstark",
            "FirstName": "Catelyn",
            "LastName": "Stark",
            "Email": "cstark@winterfell.com",
            "RegistrationNumber": "3326",
            "CompId": "COMP00102006",
            "ProctorUIds": ["1235", "234"],
        },
    ],
}


class Cirrus:
    """A server that keeps what it was sent and gives the replies it was told, the last one again and again."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        self.replies: list[tuple[int, bytes, dict[str, str]]] = [(200, b"{}", {})]
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}{PATH}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                outer.requests.append((self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body))
                status, text, headers = outer.replies.pop(0) if len(outer.replies) > 1 else outer.replies[0]
                self.send_response(status)
                for name, value in {
                    "Content-Type": "application/json",
                    "Content-Length": str(len(text)),
                    **headers,
                }.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST

            def log_message(self, *args: Any) -> None:
                return

        return Handler

    def answers(self, value: Any, status: int = 200, **headers: str) -> None:
        text = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.replies = [(status, text, headers)]

    @property
    def body(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.requests[-1][3])
        return found


@pytest.fixture
def cirrus() -> Iterator[Cirrus]:
    server = Cirrus()
    server.answers({"Content": str(GROUP), "Success": True, "Errors": None})
    yield server
    server.server.shutdown()
    server.server.server_close()


def transport(request: HttpRequest, *, is_effect: bool) -> HttpResponse:
    return exchange(request, is_effect=is_effect, limits=Limits(allow_private=True))


def adapter(base_url: str = "", *, token: str = TOKEN, **settings: Any) -> CirrusAdapter:
    account = AccountValues(base_url=base_url, credentials={"token": token}, settings={"site_url": SITE, **settings})
    return CirrusAdapter(account, transport, lambda: NOW)


def exam(**changes: Any) -> ExamValues:
    settings = {"group_ext_id": "GRP-1", "group_name": "Group one", **changes.pop("settings", {})}
    values: dict[str, Any] = {
        "reference": UUID(int=7),
        "ref": "ASSESS-1",
        "title": "Statistics",
        "starts_at": START,
        "duration_minutes": 120,
        "settings": settings,
    }
    return ExamValues(**{**values, **changes})


def person(number: int = 1, **changes: Any) -> Person:
    values: dict[str, Any] = {
        "reference": UUID(int=1000 + number),
        "first_name": "Ana",
        "last_name": f"Person{number}",
        "email": f"person{number}@example.com",
        "external_id": f"cand-{number}",
    }
    return Person(**{**values, **changes})


def order(number: int = 1, *, options: dict[str, Any] | None = None, **changes: Any) -> DeliveryOrder:
    kept = {key: changes.pop(key) for key in ("attempt", "previous_ref") if key in changes}
    return DeliveryOrder(
        reference=UUID(int=2000 + number), person=person(number, **changes), options=options or {}, **kept
    )


def deliver(cirrus: Cirrus, *orders: DeliveryOrder, is_repeat: bool = False, **changes: Any) -> list[DeliveryResult]:
    sending = Sending(group=GROUP, is_repeat=is_repeat)
    return list(adapter(cirrus.url).create_deliveries(exam(**changes), orders or (order(),), sending))


def created(result: DeliveryResult) -> Created:
    assert isinstance(result, Created)
    return result


def messages(one: ExamValues, other: DeliveryOrder) -> dict[str, str]:
    return {item.field: item.message for item in adapter().objections(one, other)}


class TestTheRequest:
    def test_is_a_post_to_schedule_with_the_headers_of_the_page(self, cirrus: Cirrus) -> None:
        deliver(cirrus)

        method, path, headers, _ = cirrus.requests[-1]
        assert (method, path) == ("POST", f"{PATH}/schedule")
        assert headers["authorization"] == f"EAPI {TOKEN}"
        assert headers["content-type"] == "application/json"

    def test_goes_to_the_documented_host_where_none_is_set(self) -> None:
        request = adapter().schedule_request(exam(), [order()], Sending(group=GROUP))

        assert request.url == "https://api.cirrusplatform.com/api/v1/integrations/schedule"

    def test_takes_a_base_url_with_a_slash_and_another_header_text(self, cirrus: Cirrus) -> None:
        one = adapter(cirrus.url + "/", authorization_header="EAPI{token}", ask_for_json=True)

        one.create_deliveries(exam(), [order()], Sending(group=GROUP))

        assert cirrus.requests[-1][1] == f"{PATH}/schedule?type=json"
        assert cirrus.requests[-1][2]["authorization"] == f"EAPI{TOKEN}"

    def test_equals_the_simple_sample_for_its_values(self, cirrus: Cirrus) -> None:
        sample = json.loads(json.dumps(SIMPLE_SAMPLE))
        sample["Schedule"] |= {
            "ScheduleExtId": str(GROUP),
            "StartDateTime": "2018-11-02T15:30:00.000Z",
            "EndDateTime": "2018-11-02T17:42:00.000Z",
        }
        dima: dict[str, Any] = {
            "first_name": "Dima",
            "last_name": "White",
            "external_id": "ddmwhite",
            "email": "ddmwhite@winterfell.com",
        }

        deliver(
            cirrus,
            order(**dima, special_needs=True, extra_time_percent=20),
            ref="1111",
            starts_at=datetime(2018, 11, 2, 15, 30, tzinfo=UTC),
            duration_minutes=60,
            settings={"group_ext_id": "CPI", "group_name": "ComputerInc", "use_key_code": True},
        )

        assert cirrus.body == sample

    def test_equals_the_mended_extended_sample_for_its_values(self, cirrus: Cirrus) -> None:
        sample = json.loads(json.dumps(EXTENDED_SAMPLE))
        sample["Schedule"]["ScheduleExtId"] = str(GROUP)
        both = {"comp_id": "COMP00102006", "proctor_uids": ["1235", "234"]}
        photo = sample["Candidates"][0]["Photo"]
        first = {**both, "registration_number": "3325", "password": "WinterIsComing", "photo": photo}
        stark = {"last_name": "Stark"}

        deliver(
            cirrus,
            order(
                1, options=first, first_name="Eddard", external_id="eddardstark", email="estark@winterfell.com", **stark
            ),
            order(
                2,
                options={**both, "registration_number": "3326"},
                first_name="Catelyn",
                external_id="catelynstark",
                email="cstark@winterfell.com",
                **stark,
            ),
            ref="NORTH000",
            starts_at=datetime(2015, 4, 21, 7, 30, tzinfo=UTC),
            settings={"group_ext_id": "WINTERFELL", "group_name": "Winterfell", "use_key_code": True},
        )

        assert cirrus.body == sample

    def test_carries_every_field_of_the_page(self, cirrus: Cirrus) -> None:
        schedule = {
            "title": "Spring exam",
            "schedule_group_ext_id": "H1",
            "schedule_group_name": "Hierarchy",
            "lock_exam_on_connection_loss": True,
            "owner": "planner",
            "pin": "1234",
            "use_proctorio": False,
            "proctorio_template_external_id": "TPL1",
            "use_key_code": False,
            "workflow": "EXTERNAL_ATTEMPTS",
        }
        options: dict[str, Any] = {
            "user_name": "ana",
            "password": "pw",
            "photo": "p",
            "company": "c",
            "city": "ci",
            "state": "s",
            "country_code": "cc",
            "postal_code": "pc",
            "address_line1": "a1",
            "address_line2": "a2",
            "phone_number": "+31",
            "registration_number": "r",
            "voucher_id": "v",
            "comp_id": "co",
            "proctor_uids": ["1"],
            "attempt_ext_id": "att-1",
        }

        deliver(
            cirrus,
            order(options=options, special_needs=True, extra_time_percent=50),
            ends_at=START + timedelta(hours=4),
            settings=schedule,
        )

        assert cirrus.body == {
            "Workflow": "EXTERNAL_ATTEMPTS",
            "Schedule": {
                "AssessmentExtId": "ASSESS-1",
                "Title": "Spring exam",
                "ScheduleExtId": str(GROUP),
                "StartDateTime": "2026-03-09T07:30:00.000Z",
                "EndDateTime": "2026-03-09T11:30:00.000Z",
                "GroupExtId": "GRP-1",
                "GroupName": "Group one",
                "ScheduleGroupExtId": "H1",
                "ScheduleGroupName": "Hierarchy",
                "LockExamOnConnectionLoss": True,
                "Owner": "planner",
                "PIN": "1234",
                "UseProctorIo": False,
                "ProctorioTemplateExternalId": "TPL1",
                "UseKeyCode": False,
            },
            "Candidates": [
                {
                    "UserName": "ana",
                    "CandidateExtId": "cand-1",
                    "FirstName": "Ana",
                    "LastName": "Person1",
                    "Email": "person1@example.com",
                    "Password": "pw",
                    "SpecialNeeds": True,
                    "ReasonableAdjustmentPercentage": 50,
                    "AttemptExtId": "att-1",
                    "Photo": "p",
                    "Company": "c",
                    "City": "ci",
                    "State": "s",
                    "CountryCode": "cc",
                    "PostalCode": "pc",
                    "AddressLine1": "a1",
                    "AddressLine2": "a2",
                    "PhoneNumber": "+31",
                    "RegistrationNumber": "r",
                    "VoucherId": "v",
                    "CompId": "co",
                    "ProctorUIds": ["1"],
                }
            ],
        }

    def test_leaves_out_proctorio_and_workflow_where_the_assessment_decides(self, cirrus: Cirrus) -> None:
        settings = {"workflow": "DEFAULT", "use_proctorio": None, "use_key_code": "", "owner": ""}

        deliver(cirrus, order(options={"attempt_ext_id": "never-with-default"}), settings=settings)

        assert set(cirrus.body) == {"Schedule", "Candidates"}
        assert not {"UseProctorIo", "UseKeyCode", "Owner", "EndDateTime"} & set(cirrus.body["Schedule"])
        assert "AttemptExtId" not in cirrus.body["Candidates"][0]

    def test_takes_the_owner_of_the_account_where_the_exam_names_none(self, cirrus: Cirrus) -> None:
        adapter(cirrus.url, owner="house").create_deliveries(exam(), [order()], Sending(group=GROUP))

        assert cirrus.body["Schedule"]["Owner"] == "house"

    def test_repeats_the_whole_list_as_an_upsert_of_the_same_schedule(self, cirrus: Cirrus) -> None:
        deliver(cirrus, order(1), order(2))
        first = cirrus.body

        deliver(cirrus, order(1), order(2), is_repeat=True)

        assert cirrus.body == {"Upsert": True, **first}
        assert CirrusAdapter.FACTS.capabilities[Verb.CREATE_DELIVERIES].repeat is Repeat.AS_UPSERT

    def test_names_a_schedule_by_its_group_within_the_pages_rule(self, cirrus: Cirrus) -> None:
        deliver(cirrus)

        assert DASHED.fullmatch(cirrus.body["Schedule"]["ScheduleExtId"])

    def test_gives_each_attempt_an_id_of_its_own(self, cirrus: Cirrus) -> None:
        deliver(cirrus, order(1), settings={"workflow": "EXTERNAL_ATTEMPTS"})
        first = cirrus.body["Candidates"][0]["AttemptExtId"]
        deliver(cirrus, order(5, external_id="cand-1", attempt=2), settings={"workflow": "EXTERNAL_ATTEMPTS"})

        assert first == attempt_ext_id(order(1))
        assert cirrus.body["Candidates"][0]["AttemptExtId"] != first

    @pytest.mark.parametrize("external_id", ["", "with space", "under_score", "josé", "x" * 501])
    def test_never_squeezes_an_id_but_uses_a_generated_one(self, external_id: str) -> None:
        one = person(external_id=external_id)

        assert candidate_ext_id(one) == one.reference.hex

    def test_prefers_the_id_that_cirrus_already_knows(self) -> None:
        assert candidate_ext_id(person(ref="known-before")) == "known-before"

    def test_sends_nothing_for_no_orders(self, cirrus: Cirrus) -> None:
        assert adapter(cirrus.url).create_deliveries(exam(), [], Sending(group=GROUP)) == ()
        assert cirrus.requests == []


class TestTheEnd:
    @pytest.mark.parametrize(
        ("percent", "minutes"), [(20, 120 + 24 + 60), (100, 240 + 60), (33, 120 + 40 + 60), (999, 120 + 1199 + 60)]
    )
    def test_is_sent_from_the_largest_extra_time(self, cirrus: Cirrus, percent: int, minutes: int) -> None:
        deliver(
            cirrus,
            order(1),
            order(2, special_needs=True, extra_time_percent=percent),
            order(3, special_needs=True, extra_time_percent=5),
        )

        end = datetime.fromisoformat(cirrus.body["Schedule"]["EndDateTime"])
        assert end == START + timedelta(minutes=minutes)

    def test_counts_the_assessments_own_extra_time(self, cirrus: Cirrus) -> None:
        deliver(cirrus, settings={"assessment_extra_minutes": 60})

        assert cirrus.body["Schedule"]["EndDateTime"] == "2026-03-09T11:30:00.000Z"

    def test_must_lie_after_duration_and_extra_time(self) -> None:
        slow = order(special_needs=True, extra_time_percent=25)

        exactly = messages(exam(ends_at=START + timedelta(minutes=150)), slow)
        later = messages(exam(ends_at=START + timedelta(minutes=151)), slow)

        assert "The earliest possible end is 2026-03-09 10:01 (UTC)." in exactly["ends_at"]
        assert later == {}

    def test_is_said_in_the_exams_own_time_zone(self) -> None:
        found = messages(exam(ends_at=START + timedelta(minutes=30), time_zone="Europe/Amsterdam"), order())

        assert "2026-03-09 10:31 (Europe/Amsterdam)" in found["ends_at"]

    def test_cannot_be_known_without_a_duration(self) -> None:
        found = messages(exam(duration_minutes=None), order(special_needs=True, extra_time_percent=25))

        assert "duration" in found["duration_minutes"]


class TestObjections:
    def test_are_none_for_a_plain_order(self) -> None:
        assert adapter().objections(exam(), order()) == ()

    @pytest.mark.parametrize(
        ("field", "change"),
        [
            ("ref", {"ref": ""}),
            ("ref", {"ref": "has space"}),
            ("ref", {"ref": "x" * 65}),
            ("starts_at", {"starts_at": None}),
            ("group_ext_id", {"settings": {"group_ext_id": "under_score"}}),
            ("group_ext_id", {"settings": {"group_ext_id": ""}}),
            ("group_name", {"settings": {"group_name": "  "}}),
            ("group_name", {"settings": {"group_name": "x" * 501}}),
            ("title", {"settings": {"title": "x" * 101}}),
            ("pin", {"settings": {"pin": "12345"}}),
            ("pin", {"settings": {"pin": 1234}}),
            ("owner", {"settings": {"owner": "x" * 501}}),
            ("schedule_group_ext_id", {"settings": {"schedule_group_ext_id": "x" * 65}}),
            ("proctorio_template_external_id", {"settings": {"proctorio_template_external_id": "a-b"}}),
            ("use_proctorio", {"settings": {"use_proctorio": "yes"}}),
            ("workflow", {"settings": {"workflow": "EXTERNAL_ATTEMPT"}}),
            ("assessment_extra_minutes", {"settings": {"assessment_extra_minutes": -1}}),
            ("assessment_extra_minutes", {"settings": {"assessment_extra_minutes": 10**15}}),
        ],
    )
    def test_name_the_field_of_the_exam(self, field: str, change: dict[str, Any]) -> None:
        assert list(messages(exam(**change), order())) == [field]

    @pytest.mark.parametrize(
        ("field", "change"),
        [
            ("first_name", {"first_name": ""}),
            ("last_name", {"last_name": "x" * 501}),
            ("email", {"email": ""}),
            ("email", {"email": "not an address"}),
            ("phone_number", {"phone": "1" * 501}),
            ("company", {"options": {"company": "x" * 501}}),
            ("password", {"options": {"password": 1}}),
            ("proctor_uids", {"options": {"proctor_uids": "1235"}}),
            ("proctor_uids", {"options": {"proctor_uids": [1235]}}),
        ],
    )
    def test_name_the_field_of_the_candidate(self, field: str, change: dict[str, Any]) -> None:
        assert list(messages(exam(), order(**change))) == [field]

    def test_catch_249_and_250_before_cirrus_does(self) -> None:
        too_much = messages(exam(), order(special_needs=True, extra_time_percent=1000))
        not_marked = messages(exam(), order(extra_time_percent=20))

        assert "249" in too_much["extra_time_percent"]
        assert "250" in not_marked["special_needs"]

    def test_refuse_the_last_attempts_id_for_a_new_attempt(self) -> None:
        again = order(options={"attempt_ext_id": "a1"}, previous_ref="a1", attempt=2)

        assert "attempt_ext_id" in messages(exam(settings={"workflow": "EXTERNAL_ATTEMPTS"}), again)

    def test_never_repeat_a_secret(self) -> None:
        found = messages(exam(settings={"pin": "98765"}), order(options={"password": "hunter2" * 100}))

        assert not any("98765" in text or "hunter2" in text for text in found.values())

    def test_stop_the_call_itself(self, cirrus: Cirrus) -> None:
        with pytest.raises(Rejected) as caught:
            deliver(cirrus, order(1), order(2, extra_time_percent=20))

        assert caught.value.culprits == {order(2).reference}
        assert cirrus.requests == []

    def test_two_candidates_with_one_id_are_refused_together(self, cirrus: Cirrus) -> None:
        with pytest.raises(Rejected) as caught:
            deliver(cirrus, order(1, external_id="same"), order(2, external_id="SAME"), order(3))

        assert caught.value.culprits == {order(1).reference, order(2).reference}
        assert cirrus.requests == []

    @pytest.mark.parametrize("name", sorted(CirrusAdapter.PERSONAL_OPTIONS))
    def test_what_belongs_to_one_candidate_is_refused_for_several(self, cirrus: Cirrus, name: str) -> None:
        alike = {name: "X-1", "company": "Widgets Inc"}

        with pytest.raises(Rejected) as caught:
            deliver(cirrus, order(1, options=alike), order(2, options=alike), order(3, options={"company": "Other"}))

        assert caught.value.culprits == {order(1).reference, order(2).reference}
        assert list(caught.value.fields) == [name]
        assert "belongs to one candidate" in caught.value.message
        assert cirrus.requests == []

    def test_the_id_of_another_is_refused_as_a_user_name(self, cirrus: Cirrus) -> None:
        with pytest.raises(Rejected) as caught:
            deliver(cirrus, order(1, options={"user_name": "CAND-2"}), order(2))

        assert list(caught.value.fields) == ["user_name"]
        assert cirrus.requests == []


class TestTheReply:
    def test_of_the_page_creates_without_links(self, cirrus: Cirrus) -> None:
        cirrus.answers({"Content": "EXT_sch_1", "Success": True, "Errors": None})

        one, two = map(created, deliver(cirrus, order(1), order(2)))

        assert (one.ref, one.person_ref, one.links_missing) == ("EXT_sch_1", "cand-1", True)
        assert (two.reference, two.person_ref, two.links_missing) == (order(2).reference, "cand-2", True)
        assert "no link" in one.note

    def test_of_other_clients_gives_each_candidate_their_own_link(self, cirrus: Cirrus) -> None:
        launch = "https://getproctorio.com?d603%2Ch%2B" + "x" * 3000 + "%3D#proctorio-24-03-1"
        start = "/delivery/external-login?session=" + "2B" * 32
        entries = [
            {"CandidateExtId": "CAND-2", "StartupLink": start, "LaunchUrl": launch, "Password": "x"},
            {"CandidateExtId": "someone-else", "StartupLink": "/delivery/external-login?session=other"},
            {"CandidateExtId": "cand-1", "StartupLink": start, "LaunchUrl": SITE + start},
        ]
        cirrus.answers({"Result": "Schedule 12", "Schedule": {"ScheduleExtId": str(GROUP)}, "Candidates": entries})

        one, two, three = map(created, deliver(cirrus, order(1), order(2), order(3)))

        assert (one.take_url, two.take_url) == (SITE + start, launch)
        assert three.links_missing
        assert one.proctor_url == ""
        assert (one.ref, one.note) == (str(GROUP), "")

    @pytest.mark.parametrize(
        ("entry", "url"),
        [
            ({"StartupLink": "/delivery/external-login?session=AA"}, SITE + "/delivery/external-login?session=AA"),
            ({"StartupLink": "delivery/external-login?session=AA"}, SITE + "/delivery/external-login?session=AA"),
            ({"StartupLink": SITE + "/x?session=AA", "LaunchUrl": None}, SITE + "/x?session=AA"),
            ({"startupLink": SITE + "/x?session=AA", "launchUrl": "  "}, SITE + "/x?session=AA"),
            ({"StartupLink": SITE + "/x", "LaunchUrl": "javascript:alert(1)"}, ""),
            ({"StartupLink": SITE + "/x", "LaunchUrl": {"href": "y"}}, ""),
            ({"StartupLink": SITE + "/x", "LaunchUrl": "https://a b"}, ""),
            ({"StartupLink": "//evil.example/x"}, ""),
            ({"StartupLink": ""}, ""),
        ],
    )
    def test_gives_only_a_link_that_can_be_trusted(self, cirrus: Cirrus, entry: dict[str, Any], url: str) -> None:
        cirrus.answers({"Content": {"Candidates": [{"CandidateExtId": "cand-1", **entry}]}, "Success": True})

        one = created(deliver(cirrus)[0])

        assert one.take_url == url
        assert bool(one.note) is not bool(url)

    def test_with_two_links_for_one_candidate_gives_none(self, cirrus: Cirrus) -> None:
        entries = [{"CandidateExtId": "cand-1", "LaunchUrl": f"{SITE}/{name}"} for name in "ab"]
        cirrus.answers({"Schedule": {}, "Candidates": entries})

        one = created(deliver(cirrus)[0])

        assert one.links_missing
        assert "more than one LaunchUrl" in one.note

    def test_that_repeats_a_candidate_with_the_same_link_is_no_doubt(self, cirrus: Cirrus) -> None:
        entry = {"CandidateExtId": "cand-1", "LaunchUrl": f"{SITE}/a"}
        cirrus.answers(
            {"Schedule": {}, "Candidates": [entry, entry, {"CandidateExtId": "cand-1", "StartupLink": "/b"}]}
        )

        assert created(deliver(cirrus)[0]).take_url == f"{SITE}/a"

    def test_without_a_site_address_says_why_a_relative_link_is_missing(self, cirrus: Cirrus) -> None:
        cirrus.answers({"Schedule": {}, "Candidates": [{"CandidateExtId": "cand-1", "StartupLink": "/x"}]})
        one = adapter(cirrus.url, site_url="")

        result = created(one.create_deliveries(exam(), [order()], Sending(group=GROUP))[0])

        assert "site address" in result.note
        assert one.warnings()
        assert adapter().warnings() == ()

    def test_warns_where_proctorio_was_asked_for_and_only_a_startup_link_came(self, cirrus: Cirrus) -> None:
        cirrus.answers({"Schedule": {}, "Candidates": [{"CandidateExtId": "cand-1", "StartupLink": "/x"}]})

        one = created(deliver(cirrus, settings={"use_proctorio": True})[0])

        assert one.take_url == SITE + "/x"
        assert "Proctorio" in one.note

    def test_of_an_attempt_carries_its_id_and_no_other_attempts_link(self, cirrus: Cirrus) -> None:
        mine = {"CandidateExtId": "cand-1", "AttemptExtId": "a2", "LaunchUrl": f"{SITE}/new"}
        old = {"CandidateExtId": "cand-1", "AttemptExtId": "a1", "LaunchUrl": f"{SITE}/old"}
        cirrus.answers({"Schedule": {}, "Candidates": [old, mine]})

        one = created(
            deliver(cirrus, order(options={"attempt_ext_id": "a2"}), settings={"workflow": "EXTERNAL_ATTEMPTS"})[0]
        )

        assert (one.ref, one.take_url) == ("a2", f"{SITE}/new")
        assert str(GROUP) in one.note

    def test_that_succeeds_with_errors_leaves_whom_they_name_unclear(self, cirrus: Cirrus) -> None:
        cirrus.answers({"Content": str(GROUP), "Success": True, "Errors": ["Candidate cand-2 was skipped"]})

        one, two = deliver(cirrus, order(1), order(2))

        assert "cand-2 was skipped" in created(one).note
        assert isinstance(two, Unclear)

    @pytest.mark.parametrize(
        "body",
        [
            b"<html>Sign in</html>",
            b"",
            b"null",
            b"[]",
            b"{}",
            b'{"Content": "x", "Succ',
            b'{"Hello": 1}',
            b'{"Message": "Welcome"}',
            b'{"Success": null}',
        ],
    )
    def test_that_does_not_say_leaves_the_outcome_unknown(self, cirrus: Cirrus, body: bytes) -> None:
        cirrus.answers(body)

        with pytest.raises(OutcomeUnknown):
            deliver(cirrus)

    def test_that_contradicts_itself_leaves_the_outcome_unknown(self, cirrus: Cirrus) -> None:
        cirrus.answers({"Success": False, "Candidates": [{"CandidateExtId": "cand-1", "LaunchUrl": f"{SITE}/a"}]})

        with pytest.raises(OutcomeUnknown):
            deliver(cirrus)


class TestARefusal:
    @pytest.mark.parametrize("status", [200, 400])
    @pytest.mark.parametrize(
        "body",
        [
            {"Message": "A schedule with this id already exists."},
            {"Content": None, "Success": False, "Errors": "Hierarchy must be active"},
            {"Content": None, "Success": False, "Errors": ["Hierarchy must be active"]},
            {"Success": False, "Errors": [{"Code": 249, "Message": "ReasonableAdjustmentPercentage is invalid"}]},
            {"Success": False, "Errors": None},
            {"Errors": {"Schedule.PIN": ["too long"]}},
        ],
    )
    def test_is_judged_by_the_body_in_every_shape(self, cirrus: Cirrus, status: int, body: dict[str, Any]) -> None:
        cirrus.answers(body, status)

        with pytest.raises(Rejected) as caught:
            deliver(cirrus)

        assert caught.value.status == status
        assert caught.value.culprits == frozenset()

    @pytest.mark.parametrize(
        "words",
        [
            "The Email of candidate CAND-2 is taken.",
            "E-mail person2@example.com is in use",
            "Ana Person2 is archived",
            {"Candidates[1].Email": ["The Email field is not valid."]},
        ],
    )
    def test_names_the_candidate_that_the_vendor_named(self, cirrus: Cirrus, words: Any) -> None:
        cirrus.answers({"Success": False, "Errors": words}, 400)

        with pytest.raises(Rejected) as caught:
            deliver(cirrus, order(1), order(2), order(21))

        assert caught.value.culprits == {order(2).reference}

    def test_does_not_take_the_pages_own_numbers_for_ids(self, cirrus: Cirrus) -> None:
        cirrus.answers({"Errors": ["249: ReasonableAdjustmentPercentage … a value between 0 and 999"]}, 400)

        with pytest.raises(Rejected) as caught:
            deliver(cirrus, order(1, external_id="249"), order(2, external_id="0"), order(3, external_id="999"))

        assert caught.value.culprits == frozenset()

    @pytest.mark.parametrize("status", [200, 400])
    @pytest.mark.parametrize(
        "words",
        [
            "Scheduler hasn’t been set in External API settings",
            "Scheduler hasn't been set in External API settings",
            "Selected scheduler no longer has permission to create, update and delete schedules",
            "Not allowed to use external API",
        ],
    )
    def test_about_the_account_pauses_it(self, cirrus: Cirrus, status: int, words: str) -> None:
        cirrus.answers({"Content": None, "Success": False, "Errors": [words]}, status)

        with pytest.raises(Misconfigured) as caught:
            deliver(cirrus, is_repeat=True)

        assert caught.value.scope is Scope.ACCOUNT

    @pytest.mark.parametrize("status", [401, 403])
    def test_by_status_pauses_the_account(self, cirrus: Cirrus, status: int) -> None:
        cirrus.answers(b"", status)

        with pytest.raises(Misconfigured) as caught:
            deliver(cirrus)

        assert (caught.value.scope, caught.value.status) == (Scope.ACCOUNT, status)

    @pytest.mark.parametrize(
        ("status", "error"),
        [
            (500, OutcomeUnknown),
            (502, OutcomeUnknown),
            (503, OutcomeUnknown),
            (302, OutcomeUnknown),
            (429, Unavailable),
        ],
    )
    def test_by_a_fault_is_what_its_status_says(self, cirrus: Cirrus, status: int, error: type[VendorError]) -> None:
        cirrus.answers({"Message": "An error has occurred."}, status)

        with pytest.raises(error):
            deliver(cirrus)

    def test_never_shows_a_secret_that_the_vendor_repeats(self, cirrus: Cirrus) -> None:
        words = f"Password 'hunter2' and PIN 9876 are weak; {TOKEN}"
        cirrus.answers({"Errors": {"Password": words}, "Message": words}, 400)

        with pytest.raises(Rejected) as caught:
            deliver(cirrus, order(options={"password": "hunter2"}), settings={"pin": "9876"})

        shown = caught.value.message + str(caught.value.fields)
        assert not any(secret in shown for secret in ("hunter2", "9876", TOKEN))

    def test_without_a_token_is_ours(self, cirrus: Cirrus) -> None:
        with pytest.raises(Misconfigured):
            adapter(cirrus.url, token=" ").create_deliveries(exam(), [order()], Sending(group=GROUP))

        assert cirrus.requests == []


class TestARepeat:
    @pytest.mark.parametrize("status", [200, 400])
    @pytest.mark.parametrize(
        "body",
        [
            {"Message": "Schedule already exists"},
            {"Message": f"'{GROUP}' already exists"},
            {"Content": None, "Success": False, "Errors": ["Can’t update activated schedule"]},
            {"Content": None, "Success": False, "Errors": "Can't update activated schedule"},
        ],
    )
    def test_is_proof_of_the_first_try_by_the_vendors_words(
        self, cirrus: Cirrus, status: int, body: dict[str, Any]
    ) -> None:
        cirrus.answers(body, status)

        one, two = map(created, deliver(cirrus, order(1), order(2), is_repeat=True))

        assert (one.ref, one.links_missing, two.person_ref) == (str(GROUP), True, "cand-2")

    @pytest.mark.parametrize(
        "words", ["User with this e-mail already exists", "Schedule is not activated", "Bad request"]
    )
    def test_is_no_proof_by_other_words(self, cirrus: Cirrus, words: str) -> None:
        cirrus.answers({"Message": words}, 400)

        with pytest.raises(Rejected) as caught:
            deliver(cirrus, is_repeat=True)

        assert "nothing about the first try" in caught.value.message

    def test_brings_links(self, cirrus: Cirrus) -> None:
        cirrus.answers({"Schedule": {}, "Candidates": [{"CandidateExtId": "cand-1", "LaunchUrl": f"{SITE}/a"}]})

        assert created(deliver(cirrus, is_repeat=True)[0]).take_url == f"{SITE}/a"

    def test_is_asked_again_after_a_503(self, cirrus: Cirrus) -> None:
        cirrus.answers(b"", 503)

        with pytest.raises(Unavailable):
            deliver(cirrus, is_repeat=True)


class TestCheck:
    def test_reads_an_assessment(self, cirrus: Cirrus) -> None:
        cirrus.answers({"Content": {"Status": 2}, "Success": True, "Errors": None})

        found = adapter(cirrus.url).check(["", "A 1/b"])

        assert found.is_conclusive
        assert cirrus.requests[-1][:2] == ("GET", f"{PATH}/assessment/A%201%2Fb")

    def test_asks_nothing_without_an_exam(self, cirrus: Cirrus) -> None:
        assert not adapter(cirrus.url).check().is_conclusive
        assert cirrus.requests == []

    @pytest.mark.parametrize(
        ("status", "body"), [(404, b"{}"), (400, b"{}"), (200, b"<html>"), (200, b'{"Success":false}')]
    )
    def test_cannot_tell_from_anything_else(self, cirrus: Cirrus, status: int, body: bytes) -> None:
        cirrus.answers(body, status)

        assert not adapter(cirrus.url).check(["A1"]).is_conclusive

    @pytest.mark.parametrize(
        ("status", "body"), [(401, b""), (403, b""), (400, b'{"Errors":"Not allowed to use external API"}')]
    )
    def test_says_that_the_account_is_refused(self, cirrus: Cirrus, status: int, body: bytes) -> None:
        cirrus.answers(body, status)

        with pytest.raises(Misconfigured) as caught:
            adapter(cirrus.url).check(["A1"])

        assert caught.value.scope is Scope.ACCOUNT

    def test_says_that_the_vendor_is_away(self, cirrus: Cirrus) -> None:
        cirrus.answers(b"", 503)

        with pytest.raises(Unavailable):
            adapter(cirrus.url).check(["A1"])


class TestCodeNotes:
    def test_say_which_codes_will_be_asked_for_without_showing_them(self) -> None:
        notes = code_notes({"pin": "9876", "use_key_code": True}, {"password": "hunter2"})

        assert [word in note for word, note in zip(("PIN", "key code", "password"), notes, strict=True)] == [True] * 3
        assert not any("9876" in note or "hunter2" in note for note in notes)

    def test_are_none_where_no_code_is_set(self) -> None:
        assert code_notes({"pin": "", "use_key_code": None}) == ()


class TestTheAdapter:
    def test_keeps_its_secrets_out_of_reprs(self, cirrus: Cirrus) -> None:
        cirrus.answers({"Schedule": {}, "Candidates": [{"CandidateExtId": "cand-1", "LaunchUrl": f"{SITE}/hidden"}]})

        assert "hidden" not in repr(deliver(cirrus))
        assert {"StartupLink", "LaunchUrl", "Password", "PIN"} <= CirrusAdapter.SECRET_FIELDS

    def test_needs_no_django(self) -> None:
        code = "import sys, proctoring.vendors.cirrus.adapter; sys.exit('django' in sys.modules)"

        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

    def test_is_the_one_the_registry_loads(self) -> None:
        assert ADAPTER is CirrusAdapter

    def test_gives_the_same_request_for_the_same_values(self) -> None:
        one = adapter().schedule_request(exam(), [order()], Sending(group=GROUP))
        two = adapter().schedule_request(replace(exam()), [order()], Sending(group=GROUP))

        assert one == two
