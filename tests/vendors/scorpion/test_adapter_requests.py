from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import UUID

import pytest

from proctoring.vendors.base import (
    Absent,
    AccountValues,
    Ambiguous,
    Created,
    DeliveryOrder,
    ExamValues,
    Found,
    HttpRequest,
    HttpResponse,
    Person,
    Repeat,
    Sending,
    SessionState,
    Verb,
)
from proctoring.vendors.errors import Misconfigured, OutcomeUnknown, Rejected, Scope, Unavailable, Unsupported
from proctoring.vendors.http import Limits, exchange
from proctoring.vendors.scorpion.adapter import FACTS, NO_EXAM, PER_PAGE, REFERENCE_KEY, ScorpionAdapter

NOW = datetime(2025, 3, 1, 12, 0, tzinfo=UTC)
TOKEN = "YWJjOmRlZg=="
EXAM_ID = "7f6d4f5e-8f0c-4f6f-9a44-2f6f0c1f2a10"
DELIVERY_ID = "40cabced-6377-41cf-9020-befd582fa956"
EXAMINEE_ID = "923ca054-59fe-42e8-a06d-74d499d4c31a"
FORM_ID = "c1a9c0de-0000-4000-8000-00000000f0f0"
OTHER_FORM_ID = "c1a9c0de-0000-4000-8000-00000000f0f1"
REFERENCE = UUID("11111111-1111-4111-8111-111111111111")
PERSON_REFERENCE = UUID("22222222-2222-4222-8222-222222222222")
GROUP = Sending(group=UUID("33333333-3333-4333-8333-333333333333"))

# The example bodies and the reply of the vendor's page.
SAMPLE_INFO = {"First Name": "Amos", "Last Name": "Burton", "Email": "amos.burton@example.com"}
SAMPLE_META = {"sample_meta_value_1": "Meta 1", "sample_meta_value_2": "Meta 2"}
SAMPLE_REPLY = {
    "delivery_id": DELIVERY_ID,
    "examinee_id": EXAMINEE_ID,
    "launch_token": "a/b c+d",
    "proctor_token": "p?q",
}

AMOS = Person(
    reference=PERSON_REFERENCE,
    first_name="Amos",
    last_name="Burton",
    email="amos.burton@example.com",
    external_id="E-17",
)
EXAM = ExamValues(reference=UUID(int=1), ref=EXAM_ID, settings={"external_id": "none"})
ORDER = DeliveryOrder(reference=REFERENCE, person=AMOS)


class Sent:
    """One request as the vendor's side saw it."""

    def __init__(self, handler: BaseHTTPRequestHandler) -> None:
        self.method = handler.command
        self.path = handler.path
        self.headers = {name.lower(): value for name, value in handler.headers.items()}
        raw = handler.rfile.read(int(self.headers.get("content-length", "0")))
        self.json: Any = json.loads(raw) if raw else None


Answer = tuple[int, Any]
Answers = Callable[[Sent], Answer]


class LocalVendor:
    """A server on the loopback address that answers as it is told: (status, a value for JSON, or bytes as they are)."""

    def __init__(self) -> None:
        self.sent: list[Sent] = []
        self.answers: Answers = lambda sent: (200, SAMPLE_REPLY)
        self.headers: dict[str, str] = {}
        vendor = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                sent = Sent(self)
                vendor.sent.append(sent)
                status, value = vendor.answers(sent)
                body = value if isinstance(value, bytes) else json.dumps(value).encode()
                self.send_response(status)
                for name, text in vendor.headers.items():
                    self.send_header(name, text)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = answer

            def log_message(self, format: str, *args: Any) -> None:
                """Says nothing: the test reads what was sent."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=[0.01], daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def vendor() -> Iterator[LocalVendor]:
    local = LocalVendor()
    yield local
    local.stop()


class Recorder:
    """A transport that remembers which requests were said to be effects."""

    def __init__(self) -> None:
        self.effects: list[bool] = []

    def __call__(self, request: HttpRequest, *, is_effect: bool) -> HttpResponse:
        self.effects.append(is_effect)
        return exchange(request, is_effect=is_effect, limits=Limits(deadline_seconds=5, allow_private=True))


def adapter(
    vendor: LocalVendor,
    *,
    token: str = TOKEN,
    settings: Mapping[str, Any] | None = None,
    permissions: frozenset[str] = frozenset(),
    transport: Recorder | None = None,
) -> ScorpionAdapter:
    account = AccountValues(
        base_url=vendor.url + "/", credentials={"token": token}, settings=settings or {}, permissions=permissions
    )
    return ScorpionAdapter(account, transport or Recorder(), lambda: NOW)


def create(scorpion: ScorpionAdapter, exam: ExamValues = EXAM, order: DeliveryOrder = ORDER) -> Created:
    (result,) = scorpion.create_deliveries(exam, [order], GROUP)
    assert isinstance(result, Created)
    return result


def exam_with(**settings: Any) -> ExamValues:
    return replace(EXAM, settings={"external_id": "none", **settings})


def person_with(**values: Any) -> DeliveryOrder:
    return replace(ORDER, person=replace(AMOS, **values))


def fields(scorpion: ScorpionAdapter, exam: ExamValues, order: DeliveryOrder) -> list[str]:
    return [objection.field for objection in scorpion.objections(exam, order)]


class TestCreateDeliveries:
    def test_sends_the_sample_of_the_page_with_our_reference(self, vendor: LocalVendor) -> None:
        transport = Recorder()

        create(adapter(vendor, transport=transport))

        (sent,) = vendor.sent
        assert (sent.method, sent.path) == ("POST", f"/api/exams/{EXAM_ID}/deliveries")
        assert sent.headers["authorization"] == f"Basic {TOKEN}"
        assert sent.headers["content-type"] == "application/json"
        assert sent.json == {"examinee_info": SAMPLE_INFO, "meta": {REFERENCE_KEY: str(REFERENCE)}}
        assert transport.effects == [True]

    def test_sends_the_sample_with_meta(self, vendor: LocalVendor) -> None:
        create(adapter(vendor), exam_with(meta=SAMPLE_META))

        assert vendor.sent[0].json == {
            "examinee_info": SAMPLE_INFO,
            "meta": {**SAMPLE_META, REFERENCE_KEY: str(REFERENCE)},
        }

    def test_sends_every_optional_field(self, vendor: LocalVendor) -> None:
        exam = replace(exam_with(external_id="uuid", form_id=FORM_ID), duration_minutes=61)
        order = person_with(ref=EXAMINEE_ID, extra_time_percent=33)

        create(adapter(vendor, settings={"sends_accommodations": True}), exam, order)

        assert vendor.sent[0].json == {
            "examinee_info": SAMPLE_INFO,
            "examinee_id": EXAMINEE_ID,
            "external_id": str(PERSON_REFERENCE),
            "form_id": FORM_ID,
            "meta": {REFERENCE_KEY: str(REFERENCE)},
            "accommodations": {"time_limit": 4868},
        }

    def test_returns_what_the_vendor_made(self, vendor: LocalVendor) -> None:
        created = create(adapter(vendor))

        assert created == Created(
            reference=REFERENCE,
            ref=DELIVERY_ID,
            person_ref=EXAMINEE_ID,
            take_url=f"{vendor.url}/take?launch_token=a%2Fb%20c%2Bd",
            proctor_url=f"{vendor.url}/proctor/p%3Fq",
        )

    def test_builds_links_from_the_accounts_own_beginnings(self, vendor: LocalVendor) -> None:
        settings = {"take_url": "https://exams.example/go?t=", "proctor_url": "{base_url}/watch/"}

        created = create(adapter(vendor, settings=settings))

        assert created.take_url == "https://exams.example/go?t=a%2Fb%20c%2Bd"
        assert created.proctor_url == f"{vendor.url}/watch/p%3Fq"

    def test_fills_the_fields_that_the_project_names(self, vendor: LocalVendor) -> None:
        sources = ["full_name", "email", "phone", "external_id", "language", "time_zone"]
        rows = [{"key": f"The {source}", "source": source, "is_required": False} for source in sources]
        order = person_with(phone="+49 1", language="de")

        create(adapter(vendor), exam_with(examinee_info=rows), order)

        assert vendor.sent[0].json["examinee_info"] == {
            "The full_name": "Amos Burton",
            "The email": "amos.burton@example.com",
            "The phone": "+49 1",
            "The external_id": "E-17",
            "The language": "de",
        }

    def test_sends_a_free_external_id_where_the_account_allows_it(self, vendor: LocalVendor) -> None:
        scorpion = adapter(vendor, settings={"external_id_is_free_text": True})

        create(scorpion, exam_with(external_id="external_id"))

        assert vendor.sent[0].json["external_id"] == "E-17"

    def test_sends_one_uuid_for_a_candidate_where_the_exam_does_not_say(self, vendor: LocalVendor) -> None:
        create(adapter(vendor), replace(EXAM, settings={}))

        assert vendor.sent[0].json["external_id"] == str(PERSON_REFERENCE)

    def test_merges_meta_and_never_gives_up_our_reference(self, vendor: LocalVendor) -> None:
        order = replace(ORDER, options={"meta": {"b": "2", REFERENCE_KEY: "mine"}})

        create(adapter(vendor), exam_with(meta={"a": "1", "b": "1", REFERENCE_KEY: "mine"}), order)

        assert vendor.sent[0].json["meta"] == {"a": "1", "b": "2", REFERENCE_KEY: str(REFERENCE)}

    def test_forces_no_form_at_a_retake_unless_one_is_chosen(self, vendor: LocalVendor) -> None:
        scorpion, exam = adapter(vendor), exam_with(form_id=FORM_ID)
        retake = replace(person_with(ref=EXAMINEE_ID), attempt=2, previous_ref=DELIVERY_ID)

        create(scorpion, exam, retake)
        create(scorpion, exam, replace(retake, options={"form_id": OTHER_FORM_ID}))

        assert "form_id" not in vendor.sent[0].json
        assert vendor.sent[0].json["examinee_id"] == EXAMINEE_ID
        assert vendor.sent[1].json["form_id"] == OTHER_FORM_ID

    def test_sends_no_accommodation_that_was_arranged_by_hand(self, vendor: LocalVendor) -> None:
        order = replace(person_with(special_needs=True), is_arranged_by_hand=True)

        create(adapter(vendor), EXAM, order)

        assert "accommodations" not in vendor.sent[0].json

    def test_asks_nobody_when_a_required_field_is_missing(self, vendor: LocalVendor) -> None:
        with pytest.raises(Rejected, match="requires “Email”") as caught:
            create(adapter(vendor), EXAM, person_with(email=" "))

        assert list(caught.value.fields) == ["Email"]
        assert vendor.sent == []

    def test_asks_nobody_without_the_permission(self, vendor: LocalVendor) -> None:
        with pytest.raises(Unsupported, match="“create”"):
            create(adapter(vendor, permissions=frozenset({"view"})))

        assert vendor.sent == []

    def test_needs_the_permission_only_where_they_are_known(self, vendor: LocalVendor) -> None:
        create(adapter(vendor, permissions=frozenset({"create"})))
        create(adapter(vendor))

        assert len(vendor.sent) == 2

    @pytest.mark.parametrize("status", [200, 201, 202])
    def test_takes_any_success(self, vendor: LocalVendor, status: int) -> None:
        vendor.answers = lambda sent: (status, SAMPLE_REPLY)

        assert create(adapter(vendor)).ref == DELIVERY_ID

    @pytest.mark.parametrize("launch_token", [None, "", 5, {}])
    def test_says_when_links_are_missing(self, vendor: LocalVendor, launch_token: object) -> None:
        vendor.answers = lambda sent: (201, {"delivery_id": DELIVERY_ID, "launch_token": launch_token, "more": 1})

        created = create(adapter(vendor))

        assert created.links_missing
        assert (created.ref, created.person_ref, created.proctor_url) == (DELIVERY_ID, "", "")
        assert created.note

    @pytest.mark.parametrize(
        "answer",
        [
            (200, {}),
            (200, {"delivery_id": ""}),
            (200, {"delivery_id": 7}),
            (200, []),
            (200, b"<html>OK</html>"),
            (200, b'{"delivery_id": "40ca'),
            (204, b""),
            (302, b""),
            (408, b""),
            (500, {}),
            (502, b"<html>"),
            (503, b""),
        ],
    )
    def test_does_not_know_after(self, vendor: LocalVendor, answer: Answer) -> None:
        vendor.answers = lambda sent: answer

        with pytest.raises(OutcomeUnknown):
            create(adapter(vendor))

        assert len(vendor.sent) == 1

    def test_pauses_the_account_for_a_bad_token(self, vendor: LocalVendor) -> None:
        vendor.answers = lambda sent: (401, {"messages": ["Invalid token"]})

        with pytest.raises(Misconfigured, match="Invalid token") as caught:
            create(adapter(vendor))

        assert caught.value.scope is Scope.ACCOUNT

    def test_pauses_the_verb_for_a_missing_permission(self, vendor: LocalVendor) -> None:
        vendor.answers = lambda sent: (403, b"")

        with pytest.raises(Misconfigured) as caught:
            create(adapter(vendor))

        assert caught.value.scope is Scope.VERB

    def test_shows_the_vendors_words_for_a_refusal(self, vendor: LocalVendor) -> None:
        vendor.answers = lambda sent: (400, {"messages": ["Email is required", "bad UUID"]})

        with pytest.raises(Rejected, match="Email is required; bad UUID"):
            create(adapter(vendor))

    def test_waits_as_long_as_asked(self, vendor: LocalVendor) -> None:
        vendor.headers = {"Retry-After": "17"}
        vendor.answers = lambda sent: (429, b"")

        with pytest.raises(Unavailable) as caught:
            create(adapter(vendor))

        assert caught.value.retry_after == 17


class TestToken:
    @pytest.mark.parametrize(
        "written", [TOKEN, f"Basic {TOKEN}", f"  basic  {TOKEN}\n", f"BASIC Basic\t{TOKEN} ", f"\tBasic {TOKEN}"]
    )
    def test_is_sent_with_one_scheme(self, vendor: LocalVendor, written: str) -> None:
        create(adapter(vendor, token=written))

        assert vendor.sent[0].headers["authorization"] == f"Basic {TOKEN}"

    def test_may_begin_like_the_scheme(self, vendor: LocalVendor) -> None:
        create(adapter(vendor, token="basicYWJj"))

        assert vendor.sent[0].headers["authorization"] == "Basic basicYWJj"

    @pytest.mark.parametrize("written", ["", "Basic", " Basic ", "ab\r\nX: y", "Basic\nabc", "ab\x00c", "a b", "tökén"])
    def test_that_cannot_be_sent_is_refused(self, vendor: LocalVendor, written: str) -> None:
        with pytest.raises(Misconfigured) as caught:
            create(adapter(vendor, token=written))

        assert caught.value.scope is Scope.ACCOUNT
        assert vendor.sent == []

    def test_is_in_no_repr(self, vendor: LocalVendor) -> None:
        assert TOKEN not in repr(adapter(vendor).account)


class TestObjections:
    def test_are_none_for_the_sample(self, vendor: LocalVendor) -> None:
        assert adapter(vendor).objections(EXAM, ORDER) == ()

    @pytest.mark.parametrize("ref", ["", "7f6d", "{7f6d4f5e-8f0c-4f6f-9a44-2f6f0c1f2a10}", "../" + EXAM_ID])
    def test_name_an_exam_without_a_uuid(self, vendor: LocalVendor, ref: str) -> None:
        assert fields(adapter(vendor), replace(EXAM, ref=ref), ORDER) == ["exam"]

    def test_name_every_required_field_that_is_missing(self, vendor: LocalVendor) -> None:
        assert fields(adapter(vendor), EXAM, person_with(first_name="", email="")) == ["First Name", "Email"]

    def test_name_a_source_that_nobody_has(self, vendor: LocalVendor) -> None:
        rows = [{"key": "Shoe", "source": "shoe_size", "is_required": False}]

        assert fields(adapter(vendor), exam_with(examinee_info=rows), ORDER) == ["Shoe"]

    def test_name_identifiers_that_are_no_uuid(self, vendor: LocalVendor) -> None:
        order = replace(person_with(ref="17"), options={"form_id": "A"})

        assert fields(adapter(vendor), EXAM, order) == ["examinee_id", "form_id"]

    def test_name_a_free_external_id_that_the_account_does_not_allow(self, vendor: LocalVendor) -> None:
        assert fields(adapter(vendor), exam_with(external_id="external_id"), ORDER) == ["external_id"]

    @pytest.mark.parametrize("meta", [["a"], {1: "a"}, {"": "a"}])
    def test_name_meta_without_keys(self, vendor: LocalVendor, meta: object) -> None:
        assert fields(adapter(vendor), EXAM, replace(ORDER, options={"meta": meta})) == ["meta"]

    def test_ask_for_a_form_where_nothing_links_a_retake(self, vendor: LocalVendor) -> None:
        retake = replace(ORDER, attempt=2, previous_ref=DELIVERY_ID)
        scorpion = adapter(vendor)

        assert fields(scorpion, EXAM, retake) == ["form_id"]
        assert fields(scorpion, EXAM, replace(retake, options={"form_id": FORM_ID})) == []
        assert fields(scorpion, exam_with(external_id="uuid"), retake) == []

    @pytest.mark.parametrize("needs", [{"special_needs": True}, {"extra_time_percent": 25}])
    def test_stop_an_accommodation_that_is_not_sent(self, vendor: LocalVendor, needs: dict[str, Any]) -> None:
        order = person_with(**needs)

        (objection,) = adapter(vendor).objections(replace(EXAM, duration_minutes=60), order)

        assert (objection.field, objection.can_be_arranged) == ("accommodations", True)
        assert adapter(vendor).objections(EXAM, replace(order, is_arranged_by_hand=True)) == ()

    @pytest.mark.parametrize(
        ("needs", "minutes", "is_sent"),
        [
            ({"extra_time_percent": 25}, 60, True),
            ({"extra_time_percent": 25, "special_needs": True}, 60, True),
            ({"extra_time_percent": 25}, None, False),
            ({"special_needs": True}, 60, False),
        ],
    )
    def test_let_through_only_what_can_be_expressed(
        self, vendor: LocalVendor, needs: dict[str, Any], minutes: int | None, is_sent: bool
    ) -> None:
        scorpion = adapter(vendor, settings={"sends_accommodations": True})

        objections = scorpion.objections(replace(EXAM, duration_minutes=minutes), person_with(**needs))

        assert (objections == ()) is is_sent
        assert all(objection.can_be_arranged for objection in objections)


class TestWarnings:
    def test_name_each_permission_that_nothing_uses(self, vendor: LocalVendor) -> None:
        warnings = adapter(vendor, permissions=frozenset({"create", "view", "edit", "delete"})).warnings()

        assert [("delete" in warnings[0]), ("edit" in warnings[1]), len(warnings)] == [True, True, 2]

    def test_are_none_for_what_is_needed(self, vendor: LocalVendor) -> None:
        assert adapter(vendor, permissions=frozenset({"create", "view"})).warnings() == ()
        assert adapter(vendor).warnings() == ()


class TestCheck:
    @pytest.mark.parametrize(("refs", "asked"), [([], NO_EXAM), (["", "x", EXAM_ID], EXAM_ID)])
    def test_reads_an_exam_and_changes_nothing(self, vendor: LocalVendor, refs: list[str], asked: str) -> None:
        transport = Recorder()

        adapter(vendor, transport=transport).check(refs)

        assert [(sent.method, sent.path) for sent in vendor.sent] == [("GET", f"/api/exams/{asked}")]
        assert transport.effects == [False]

    @pytest.mark.parametrize("answer", [(200, {"id": EXAM_ID}), (403, b""), (404, {"messages": ["?"]}), (400, b"")])
    def test_takes_any_answer_of_the_api_for_a_good_token(self, vendor: LocalVendor, answer: Answer) -> None:
        vendor.answers = lambda sent: answer

        checked = adapter(vendor).check()

        assert checked.is_conclusive
        assert checked.message.startswith("The token is accepted.")

    @pytest.mark.parametrize("answer", [(302, b""), (200, b"<html>Welcome</html>"), (404, b"<html>"), (403, b"no")])
    def test_cannot_tell_from_a_page_or_a_redirect(self, vendor: LocalVendor, answer: Answer) -> None:
        vendor.answers = lambda sent: answer

        checked = adapter(vendor).check()

        assert not checked.is_conclusive
        assert "cannot be tested without creating a delivery" in checked.message

    def test_says_that_the_token_is_bad(self, vendor: LocalVendor) -> None:
        vendor.answers = lambda sent: (401, b"")

        with pytest.raises(Misconfigured) as caught:
            adapter(vendor).check()

        assert caught.value.scope is Scope.ACCOUNT

    @pytest.mark.parametrize("status", [408, 429, 500, 503])
    def test_asks_again_later_after(self, vendor: LocalVendor, status: int) -> None:
        vendor.answers = lambda sent: (status, b"")

        with pytest.raises(Unavailable):
            adapter(vendor).check()


class TestReissueLink:
    def test_asks_for_a_new_token_as_an_effect(self, vendor: LocalVendor) -> None:
        vendor.answers = lambda sent: (200, {"launch_token": "new/one"})
        transport = Recorder()

        created = adapter(vendor, transport=transport).reissue_link(EXAM, ORDER, DELIVERY_ID)

        assert created.take_url == f"{vendor.url}/take?launch_token=new%2Fone"
        assert (created.reference, created.ref) == (REFERENCE, DELIVERY_ID)
        assert [(sent.method, sent.path) for sent in vendor.sent] == [
            ("GET", f"/api/exams/{EXAM_ID}/deliveries/{DELIVERY_ID}/get_launch_token")
        ]
        assert transport.effects == [True]

    def test_keeps_a_strange_id_in_its_place(self, vendor: LocalVendor) -> None:
        vendor.answers = lambda sent: (200, {"launch_token": "new"})

        adapter(vendor).reissue_link(EXAM, ORDER, "a/../b?c")

        assert vendor.sent[0].path.endswith("/deliveries/a%2F..%2Fb%3Fc/get_launch_token")

    @pytest.mark.parametrize("ref", ["", ".", ".."])
    def test_refuses_what_is_no_id(self, vendor: LocalVendor, ref: str) -> None:
        with pytest.raises(Rejected):
            adapter(vendor).reissue_link(EXAM, ORDER, ref)

        assert vendor.sent == []

    @pytest.mark.parametrize("answer", [(200, {}), (200, {"launch_token": 5}), (500, b""), (302, b"")])
    def test_does_not_know_without_a_token(self, vendor: LocalVendor, answer: Answer) -> None:
        vendor.answers = lambda sent: answer

        with pytest.raises(OutcomeUnknown):
            adapter(vendor).reissue_link(EXAM, ORDER, DELIVERY_ID)

    def test_is_in_doubt_when_the_vendor_is_busy_since_it_may_act_yet(self, vendor: LocalVendor) -> None:
        vendor.answers = lambda sent: (503, b"")

        with pytest.raises(OutcomeUnknown):
            adapter(vendor).reissue_link(EXAM, ORDER, DELIVERY_ID)

    def test_needs_the_permission(self, vendor: LocalVendor) -> None:
        with pytest.raises(Unsupported, match="“view”"):
            adapter(vendor, permissions=frozenset({"create"})).reissue_link(EXAM, ORDER, DELIVERY_ID)


def entry(number: int, **values: Any) -> dict[str, Any]:
    """A delivery in the vendor's list, created an hour before anything was sent and somebody else's."""
    created_at = values.pop("created_at", NOW - timedelta(hours=1))
    stamp = created_at.isoformat() if isinstance(created_at, datetime) else created_at
    return {"id": f"delivery-{number}", "examinee_id": f"examinee-{number}", "created_at": stamp, **values}


class Listing:
    """The vendor's list in pages of two, and its new tokens."""

    def __init__(self, entries: list[dict[str, Any]], token_status: int = 200) -> None:
        self.entries = entries
        self.token_status = token_status

    def __call__(self, sent: Sent) -> Answer:
        if "/get_" in sent.path:
            name = "launch_token" if sent.path.endswith("launch_token") else "proctor_token"
            return self.token_status, {name: f"new {name}"}
        page = int(sent.path.partition("page=")[2].partition("&")[0])
        return 200, {
            "results": self.entries[2 * page - 2 : 2 * page],
            "total": len(self.entries),
            "has_next": 2 * page < len(self.entries),
        }


OURS = {"meta": {REFERENCE_KEY: str(REFERENCE)}}
ANOTHERS = {"meta": {REFERENCE_KEY: str(UUID(int=9))}}
LIKE_AMOS = {"examinee": {"info": {"E-Mail": "Amos.Burton@example.com", "Age": 5}}}


class TestFindDeliveries:
    def look_up(self, vendor: LocalVendor, order: DeliveryOrder = ORDER) -> Found | Absent | Ambiguous:
        (result,) = adapter(vendor).find_deliveries(EXAM, [order], NOW)
        assert result.reference == order.reference
        return result

    def test_reads_every_page_and_takes_the_one_with_our_reference(self, vendor: LocalVendor) -> None:
        vendor.answers = Listing([*(entry(number) for number in range(6)), entry(7, **OURS)])

        found = self.look_up(vendor)

        assert isinstance(found, Found)
        assert (found.created.ref, found.created.person_ref) == ("delivery-7", "examinee-7")
        assert found.created.take_url == f"{vendor.url}/take?launch_token=new%20launch_token"
        assert found.created.proctor_url == f"{vendor.url}/proctor/new%20proctor_token"
        base = f"/api/exams/{EXAM_ID}/deliveries"
        pages = [f"{base}?page={page}&per_page={PER_PAGE}&include=examinee" for page in (1, 2, 3, 4)]
        tokens = [f"{base}/delivery-7/get_launch_token", f"{base}/delivery-7/get_proctor_token"]
        assert [sent.path for sent in vendor.sent] == pages + tokens

    def test_says_which_of_its_exchanges_change_something(self, vendor: LocalVendor) -> None:
        vendor.answers = Listing([entry(7, **OURS)])
        transport = Recorder()

        adapter(vendor, transport=transport).find_deliveries(EXAM, [ORDER], NOW)

        assert transport.effects == [False, True, True]

    @pytest.mark.parametrize("status", [403, 404, 429, 500])
    def test_finds_it_though_its_links_cannot_be_had(self, vendor: LocalVendor, status: int) -> None:
        vendor.answers = Listing([entry(7, **OURS)], token_status=status)

        found = self.look_up(vendor)

        assert isinstance(found, Found)
        assert found.created.links_missing
        assert "not all links could be had" in found.created.note

    def test_takes_the_examinees_one_delivery_since_then(self, vendor: LocalVendor) -> None:
        vendor.answers = Listing(
            [
                entry(1, examinee_id=EXAMINEE_ID),
                entry(2, examinee_id=EXAMINEE_ID, created_at=NOW + timedelta(seconds=2), meta={}),
            ]
        )

        found = self.look_up(vendor, person_with(ref=EXAMINEE_ID))

        assert isinstance(found, Found)
        assert found.created.ref == "delivery-2"

    def test_is_absent_where_nothing_agrees(self, vendor: LocalVendor) -> None:
        vendor.answers = Listing([entry(1), entry(2, created_at=NOW), entry(3, **LIKE_AMOS)])

        assert isinstance(self.look_up(vendor), Absent)

    def test_is_absent_from_an_empty_list(self, vendor: LocalVendor) -> None:
        vendor.answers = Listing([])

        assert isinstance(self.look_up(vendor), Absent)

    def test_leaves_alone_what_carries_another_reference(self, vendor: LocalVendor) -> None:
        vendor.answers = Listing([entry(1, examinee_id=EXAMINEE_ID, created_at=NOW, **LIKE_AMOS, **ANOTHERS)])

        assert isinstance(self.look_up(vendor, person_with(ref=EXAMINEE_ID)), Absent)

    @pytest.mark.parametrize(
        "entries",
        [
            pytest.param([entry(1, **OURS), entry(2, **OURS)], id="our reference twice"),
            pytest.param([entry(1, created_at=NOW, **LIKE_AMOS)], id="only e-mail and time"),
            pytest.param(
                [entry(1, created_at=NOW, examinee={"info": {"a": "BURTON ", "b": "Amos"}})], id="only name and time"
            ),
            pytest.param([entry(1, created_at=NOW, examinee={"info": {"n": "Amos Burton"}})], id="one name field"),
            pytest.param([entry(1, created_at="soon", **LIKE_AMOS)], id="no readable time"),
            pytest.param(
                [entry(1, created_at=NOW - timedelta(minutes=1), examinee_id=EXAMINEE_ID)], id="clocks differ"
            ),
            pytest.param(
                [entry(1, created_at=NOW, examinee_id=EXAMINEE_ID), entry(2, created_at=NOW, examinee_id=EXAMINEE_ID)],
                id="examinee twice",
            ),
        ],
    )
    def test_leaves_it_to_a_person_for(self, vendor: LocalVendor, entries: list[dict[str, Any]]) -> None:
        vendor.answers = Listing(entries)

        result = self.look_up(vendor, person_with(ref=EXAMINEE_ID))

        assert isinstance(result, Ambiguous)
        assert [choice.ref for choice in result.choices] == [each["id"] for each in entries]
        assert all("created" in choice.note for choice in result.choices)
        assert not any("/get_" in sent.path for sent in vendor.sent)

    @pytest.mark.parametrize("page", [[entry(1)], []])
    def test_notices_a_list_that_repeats_itself(self, vendor: LocalVendor, page: list[Any]) -> None:
        vendor.answers = lambda sent: (200, {"results": page, "has_next": True})

        with pytest.raises(Unavailable, match="repeats itself"):
            self.look_up(vendor)

        assert len(vendor.sent) <= 2

    def test_goes_on_by_the_total_where_nothing_says_that_there_is_more(self, vendor: LocalVendor) -> None:
        pages = [[entry(1)], [entry(7, **OURS)]]
        vendor.answers = lambda sent: (
            (200, {"launch_token": "a", "proctor_token": "b"})
            if "/get_" in sent.path
            else (200, {"results": pages["page=2" in sent.path], "total": 2})
        )

        assert isinstance(self.look_up(vendor), Found)

    @pytest.mark.parametrize("reply", [{}, {"results": None}, [], {"results": {}}, b"<html>"])
    def test_takes_no_other_answer_for_an_empty_list(self, vendor: LocalVendor, reply: object) -> None:
        vendor.answers = lambda sent: (200, reply)

        with pytest.raises(Unavailable):
            self.look_up(vendor)

    def test_passes_over_entries_that_cannot_be_read(self, vendor: LocalVendor) -> None:
        rubbish: list[Any] = [7, {"id": 5, **OURS}, {"id": "", **OURS}, {"id": "x", "meta": [], "examinee": "y"}]
        vendor.answers = lambda sent: (200, {"results": [*rubbish, entry(7, **OURS)]})

        (result,) = adapter(vendor).find_deliveries(EXAM, [ORDER], NOW)

        assert isinstance(result, Found)
        assert result.created.ref == "delivery-7"

    def test_needs_the_permission(self, vendor: LocalVendor) -> None:
        with pytest.raises(Unsupported):
            adapter(vendor, permissions=frozenset({"create"})).find_deliveries(EXAM, [ORDER], NOW)


class TestReadDelivery:
    def test_reads_what_is_proven(self, vendor: LocalVendor) -> None:
        reply = {"id": DELIVERY_ID, "exam_id": EXAM_ID, "examinee_id": EXAMINEE_ID, "status": "complete", "score": 81.5}
        reply = {**reply, "is_paused": False, "points_earned": 8, "points_available": 10, "passed": True, "new": "x"}
        vendor.answers = lambda sent: (200, reply)

        snapshot = adapter(vendor).read_delivery(EXAM, DELIVERY_ID)

        assert (vendor.sent[0].method, vendor.sent[0].path) == ("GET", f"/api/exams/{EXAM_ID}/deliveries/{DELIVERY_ID}")
        assert (snapshot.state, snapshot.vendor_state) == (SessionState.COMPLETE, "complete")
        assert (snapshot.ref, snapshot.person_ref, snapshot.exam_ref) == (DELIVERY_ID, EXAMINEE_ID, EXAM_ID)
        assert (snapshot.score, snapshot.score_max) == (81.5, None)
        assert snapshot.results == {"passed": True, "score": 81.5, "points_earned": 8, "points_available": 10}
        assert snapshot.raw == reply

    @pytest.mark.parametrize(
        ("reply", "state", "raw"),
        [
            ({}, SessionState.UNKNOWN, ""),
            ({"status": None}, SessionState.UNKNOWN, ""),
            ({"status": "zapping"}, SessionState.UNKNOWN, "zapping"),
            ({"status": 7}, SessionState.UNKNOWN, "7"),
            ({"status": "started", "is_paused": True}, SessionState.PAUSED, "started"),
            ({"status": "started", "is_paused": "yes"}, SessionState.UNKNOWN, "started"),
            ({"status": "complete", "is_paused": True}, SessionState.COMPLETE, "complete"),
        ],
    )
    def test_never_guesses_a_state(
        self, vendor: LocalVendor, reply: dict[str, Any], state: SessionState, raw: str
    ) -> None:
        vendor.answers = lambda sent: (200, reply)

        snapshot = adapter(vendor).read_delivery(EXAM, DELIVERY_ID)

        assert (snapshot.state, snapshot.vendor_state) == (state, raw)

    @pytest.mark.parametrize(
        ("reply", "scores"),
        [
            ({"points_earned": 8, "points_available": 10}, (8, 10)),
            ({"score": "high", "points_earned": True}, (None, None)),
            ({}, (None, None)),
        ],
    )
    def test_takes_only_numbers_for_scores(
        self, vendor: LocalVendor, reply: dict[str, Any], scores: tuple[float | None, float | None]
    ) -> None:
        vendor.answers = lambda sent: (200, reply)

        snapshot = adapter(vendor).read_delivery(EXAM, DELIVERY_ID)

        assert (snapshot.score, snapshot.score_max) == scores

    @pytest.mark.parametrize(
        "answer", [(200, b"<html>"), (200, []), (200, {"id": None}), (200, {"id": EXAM_ID}), (302, b""), (500, b"")]
    )
    def test_asks_again_later_after(self, vendor: LocalVendor, answer: Answer) -> None:
        vendor.answers = lambda sent: answer

        with pytest.raises(Unavailable):
            adapter(vendor).read_delivery(EXAM, DELIVERY_ID)


class TestFacts:
    def test_say_what_the_page_says(self) -> None:
        assert (FACTS.key, FACTS.base_url) == ("scorpion", "https://scorpion.caveon.com")
        assert FACTS.take_link_works_once
        assert FACTS.reports_state
        assert set(FACTS.permissions) == {"create", "view", "proctor", "edit", "delete"}

    def test_never_repeat_what_would_create_a_second_delivery(self) -> None:
        assert FACTS.capabilities[Verb.CREATE_DELIVERIES].repeat is Repeat.NEVER
        assert FACTS.capabilities[Verb.CREATE_DELIVERIES].many == 1

    def test_offer_nothing_that_is_not_there(self, vendor: LocalVendor) -> None:
        with pytest.raises(Unsupported, match="Caveon Scorpion has no call"):
            adapter(vendor).create_exam(EXAM, GROUP)


class TestModule:
    @pytest.mark.parametrize("name", ["scorpion.adapter", "http", "masking"])
    def test_needs_no_django(self, name: str) -> None:
        code = f"import sys, proctoring.vendors.{name}; sys.exit('django' in sys.modules)"

        finished = subprocess.run([sys.executable, "-c", code], check=False)

        assert finished.returncode == 0
