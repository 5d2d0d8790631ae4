from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from proctoring.vendors import replies
from proctoring.vendors.base import HttpResponse
from proctoring.vendors.errors import (
    Misconfigured,
    OutcomeUnknown,
    Rejected,
    Scope,
    Unavailable,
    VendorError,
)

NOW = datetime(2025, 3, 1, 12, 0, tzinfo=UTC)


def response(status: int = 200, body: bytes = b"", **headers: str) -> HttpResponse:
    return HttpResponse(
        status=status, headers={name.replace("_", "-"): text for name, text in headers.items()}, body=body
    )


def judged(status: int, body: bytes = b"", *, is_effect: bool = True, is_repeatable: bool = False) -> VendorError:
    with pytest.raises(VendorError) as caught:
        replies.judge(response(status, body), is_effect=is_effect, is_repeatable=is_repeatable, now=NOW)
    assert caught.value.status == status
    return caught.value


class TestJudge:
    @pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
    def test_lets_success_pass(self, status: int) -> None:
        replies.judge(response(status), is_effect=True, is_repeatable=False, now=NOW)

    @pytest.mark.parametrize(("status", "scope"), [(401, Scope.ACCOUNT), (403, Scope.VERB)])
    def test_says_how_far_a_misconfiguration_goes(self, status: int, scope: Scope) -> None:
        error = judged(status, b'{"message": "no such token"}')

        assert isinstance(error, Misconfigured)
        assert error.scope is scope
        assert "no such token" in error.message

    @pytest.mark.parametrize("status", [400, 404, 409, 418, 422])
    def test_takes_other_client_errors_for_a_refusal(self, status: int) -> None:
        assert isinstance(judged(status), Rejected)

    @pytest.mark.parametrize("status", [100, 301, 302, 304, 408, 500, 502, 503, 504, 599, 600])
    def test_does_not_know_what_became_of_an_effect(self, status: int) -> None:
        assert type(judged(status)) is OutcomeUnknown

    @pytest.mark.parametrize("status", [302, 408, 500, 503])
    def test_asks_a_read_again(self, status: int) -> None:
        assert type(judged(status, is_effect=False)) is Unavailable

    def test_asks_again_where_repeating_is_harmless_and_the_vendor_is_busy(self) -> None:
        assert type(judged(503, is_repeatable=True)) is Unavailable
        assert type(judged(500, is_repeatable=True)) is OutcomeUnknown

    def test_slows_down_when_asked(self) -> None:
        with pytest.raises(Unavailable) as caught:
            replies.judge(response(429, retry_after="9"), is_effect=True, is_repeatable=False, now=NOW)

        assert caught.value.retry_after == 9


class TestReadObject:
    def test_returns_the_object(self) -> None:
        assert replies.read_object(response(body=b'{"a": 1}'), is_effect=True) == {"a": 1}

    @pytest.mark.parametrize("body", [b"", b"[]", b"null", b"<html>", b'{"a": ', b'"text"', b"\xff\xfe{"])
    def test_does_not_know_what_an_effect_did_without_one(self, body: bytes) -> None:
        with pytest.raises(OutcomeUnknown):
            replies.read_object(response(body=body), is_effect=True)
        with pytest.raises(Unavailable):
            replies.read_object(response(body=body), is_effect=False)


class TestParse:
    @pytest.mark.parametrize(
        ("body", "value"), [(b"\xef\xbb\xbf[1]", [1]), ('"é"'.encode(), "é"), (b" {} ", {}), (b"0", 0), (b"null", None)]
    )
    def test_reads_json(self, body: bytes, value: Any) -> None:
        assert replies.parse(body) == value

    @pytest.mark.parametrize("body", [b"", b"\xff", b"NaN", b'{"a": Infinity}', b"[" * 100_000, b"1" * 5_000, b"{} {}"])
    def test_finds_none_in_rubbish(self, body: bytes) -> None:
        assert replies.parse(body) is None


class TestVendorWords:
    @pytest.mark.parametrize(
        ("value", "words"),
        [
            ({"messages": ["one", "two"]}, "one; two"),
            ({"message": " one "}, "one"),
            ({"errors": {"Email": ["missing", "bad"], "Name": ""}}, "Email: missing; bad"),
            ({"error": {"code": 17}}, "code: 17"),
            ({"messages": [], "detail": "why"}, "why"),
            (["a", None, True, "b"], "a; b"),
            ({"other": "x"}, ""),
            ("plain", "plain"),
            (None, ""),
        ],
    )
    def test_come_from_the_usual_places(self, value: Any, words: str) -> None:
        assert replies.vendor_words(response(body=json.dumps(value).encode())) == words

    def test_are_none_in_a_page(self) -> None:
        assert replies.vendor_words(response(body=b"<html>Error</html>")) == ""

    def test_are_cut_to_what_can_be_shown(self) -> None:
        body = json.dumps({"message": "x" * 10_000}).encode()

        assert len(replies.vendor_words(response(body=body))) == replies.MAX_WORDS


class TestRetryAfter:
    @pytest.mark.parametrize(
        ("text", "seconds"),
        [
            ("0", 0),
            ("120", 120),
            ("99999999999999", 86_400),
            ("Sat, 01 Mar 2025 12:00:30 GMT", 30),
            ("Sat, 01 Mar 2025 11:00:00 GMT", 0),
            ("Fri, 01 Mar 2030 11:00:00 GMT", 86_400),
            ("Sat, 01 Mar 2025 12:00:30 -0000", None),
            ("", None),
            ("soon", None),
            ("-5", None),
            ("1.5", None),
            ("٣", None),
            ("Sat, 99 Mar 2025 12:00:30 GMT", None),
        ],
    )
    def test_is_read_in_seconds_or_as_a_date(self, text: str, seconds: float | None) -> None:
        assert replies.retry_after(response(429, retry_after=text), NOW) == seconds

    def test_is_none_without_the_header(self) -> None:
        assert replies.retry_after(response(429), NOW) is None
