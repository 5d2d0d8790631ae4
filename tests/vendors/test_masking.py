from __future__ import annotations

import base64
import json
import logging
import random
import time
from collections.abc import Callable
from urllib.parse import quote

import pytest

from proctoring.vendors.masking import (
    MASK,
    MaskingFilter,
    mask_body,
    mask_headers,
    mask_json,
    mask_text,
    mask_url,
    secrets_in_body,
    secrets_in_headers,
    secrets_in_link,
)

SECRET = "sEcReT+123/x="
FIELDS = frozenset({"launch_token"})
JSON_TYPE = "application/json"
FORM_TYPE = "application/x-www-form-urlencoded"


class TestMaskHeaders:
    @pytest.mark.parametrize(
        "name",
        ["Authorization", "authorization", "token", "X-Auth-Token", "Set-Cookie", "X-Api-Key", "x-sei-role-secret"],
    )
    def test_masks_secret_headers(self, name: str) -> None:
        assert mask_headers({name: SECRET}) == {name: f"{MASK} (up to 16 characters)"}

    @pytest.mark.parametrize("scheme", ["Basic", "Bearer", "EAPI"])
    def test_keeps_the_scheme(self, scheme: str) -> None:
        masked = mask_headers({"Authorization": f"{scheme} {SECRET}"})

        assert masked == {"Authorization": f"{scheme} {MASK} (up to 16 characters)"}

    def test_keeps_what_is_no_secret(self) -> None:
        headers = {"Content-Type": "application/json", "Retry-After": "5", "WWW-Authenticate": 'Basic realm="App"'}

        assert mask_headers(headers) == headers

    def test_tells_lengths_only_roughly(self) -> None:
        assert mask_headers({"token": "x" * 33}) == mask_headers({"token": "y" * 64})

    def test_shows_that_a_secret_is_missing(self) -> None:
        assert mask_headers({"token": ""}) == {"token": ""}


class TestMaskUrl:
    def test_masks_secret_parameters_and_leaves_the_rest(self) -> None:
        masked = mask_url("https://host/take?Launch_Token=abc&page=2&empty=#token=x", FIELDS)

        assert masked == f"https://host/take?Launch_Token={MASK}&page=2&empty=#token={MASK}"

    def test_masks_a_path_segment_that_is_a_secret(self) -> None:
        masked = mask_url("https://host/proctor/a%2Fb%2Bc", FIELDS, ["a/b+c"])

        assert masked == f"https://host/proctor/{MASK}"

    def test_masks_an_encoded_name_and_a_user(self) -> None:
        masked = mask_url("https://someone:something@host/?launch%5Ftoken=abc", FIELDS)

        assert masked == f"https://{MASK}@host/?launch%5Ftoken={MASK}"

    @pytest.mark.parametrize("url", ["", "https://[::1", "?", "://@", "\0", "%%%=%%%&&=="])
    def test_takes_rubbish(self, url: str) -> None:
        assert isinstance(mask_url(url, FIELDS), str)


class TestMaskBody:
    def test_masks_json_by_its_structure_in_any_case_and_depth(self) -> None:
        body = {
            "a": [{"Launch_Token": SECRET, "b": 1}],
            "TOKEN": ["x", {"y": "z"}],
            "password": 12345,
            "launch_token": None,
        }

        masked = json.loads(mask_body(json.dumps(body).encode(), JSON_TYPE, FIELDS))

        assert masked["a"] == [{"Launch_Token": f"{MASK} (up to 16 characters)", "b": 1}]
        assert masked["TOKEN"].startswith(MASK)
        assert masked["password"].startswith(MASK)
        assert masked["launch_token"] is None

    def test_leaves_a_body_without_secrets_as_it_came(self) -> None:
        text = '{ "nextToken" : "é\\u00e9", "n": 1.50, "messages": ["The token is missing"] }'

        assert mask_body(text.encode(), JSON_TYPE, FIELDS) == text

    @pytest.mark.parametrize(
        "template",
        [
            '{"launch_token": "%s',
            '{"launch_token": "a\\"%s',
            '{"launch_token": ["%s", "b", {',
            '{"launch_token": {"v": "%s"',
            '{"launch_token": %s',
            '{"launch_token":"%s"} and more',
            "{'launch_token': '%s'}",
            '{"x": "{\\"launch_token\\": \\"%s\\"}"}',
            '{"x": "{\\"launch_token\\": \\"%s',
            "launch_token=%s&page=2",
            "launch_token => '%s'",
            "launch_token: %s",
            "Authorization: EAPI %s",
            '{"x": "sent Basic %s',
            '<a href="/take?launch_token=%s">here</a>',
            '<input name="launch_token" type="hidden" value="%s">',
            "<input value='%s' name='launch_token'>",
            "<launch_token>%s</launch_token>",
            '--x\r\nContent-Disposition: form-data; name="launch_token"\r\n\r\n%s\r\n--x--',
        ],
    )
    @pytest.mark.parametrize("content_type", [JSON_TYPE, FORM_TYPE, "text/html", ""])
    def test_masks_by_look_what_is_not_whole_json(self, template: str, content_type: str) -> None:
        masked = mask_body((template % "sEcReT123").encode(), content_type, FIELDS)

        assert "sEcReT" not in masked
        assert MASK in masked

    @pytest.mark.parametrize(
        "body", ["LAUNCH%5FTOKEN=sEcReT123&a=b", "payload=%7B%22launch_token%22%3A%22sEcReT123%22%7D&a=b"]
    )
    @pytest.mark.parametrize("content_type", [FORM_TYPE, ""])
    def test_reads_what_a_form_encodes(self, body: str, content_type: str) -> None:
        masked = mask_body(body.encode(), content_type, FIELDS)

        assert "sEcReT" not in masked
        assert masked.endswith("&a=b")

    @pytest.mark.parametrize(
        "body",
        [
            '{"note": "it is %s"}',
            '{"%s": 1}',
            "<p>%s</p>",
            "note=%s",
        ],
    )
    def test_masks_given_values_wherever_they_are(self, body: str) -> None:
        masked = mask_body((body % SECRET).encode(), "", (), [SECRET])

        assert "sEcReT" not in masked

    @pytest.mark.parametrize("written", ["a%2Fb%22%3C", "a%2fb%22%3C", 'a/b\\"<', "a/b&quot;&lt;", "a/b%22%3C"])
    def test_masks_given_values_however_they_are_written(self, written: str) -> None:
        assert mask_text(f"x {written} y", ['a/b"<']) == f"x {MASK} y"

    def test_masks_a_given_number(self) -> None:
        assert json.loads(mask_body(b'{"code": 123456}', JSON_TYPE, (), ["123456"])) == {"code": MASK}

    @pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "utf-8-sig"])
    def test_reads_other_encodings(self, encoding: str) -> None:
        masked = mask_body('{"launch_token": "sEcReT123"}'.encode(encoding), JSON_TYPE, FIELDS)

        assert json.loads(masked)["launch_token"].startswith(MASK)

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"\xff\xfe",
            b"\0",
            b"[" * 100_000,
            b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
            b"1" * 10_000,
            b'{"token": "\\ud800", "a": "\\ud800"}',
            b"{",
            bytes(range(256)),
        ],
    )
    def test_takes_rubbish(self, body: bytes) -> None:
        masked = mask_body(body, JSON_TYPE, FIELDS, ["\ud800\ud800"])

        assert isinstance(masked.encode(), bytes)

    def test_takes_any_bytes_and_never_shows_the_value(self) -> None:
        dice = random.Random(1)
        pieces = [
            b'"launch_token"',
            b":",
            b"=",
            b'"',
            b"\\",
            b"{",
            b"[",
            b"&",
            b"<",
            b">",
            b"%22",
            b"\n",
            b" ",
            b"\xff",
        ]

        for _ in range(500):
            body = b"".join(dice.choices(pieces, k=12)) + b"sEcReT123"
            assert "sEcReT123" not in mask_body(body, JSON_TYPE, FIELDS, ["sEcReT123"])

    @pytest.mark.parametrize(
        "start", ["name=token ", "<token ", '"token":', "value='", "a=b&", "Basic ", "=&", "token=\\"]
    )
    def test_takes_no_longer_for_hostile_text(self, start: str) -> None:
        started = time.process_time()

        mask_body(start.encode() * 5_000, "", FIELDS)

        assert time.process_time() - started < 1

    def test_takes_little_time_for_a_long_list(self) -> None:
        body = json.dumps([{"name": "Amos Burton", "state": "complete", "id": str(n)} for n in range(10_000)]).encode()
        started = time.process_time()

        mask_body(body, JSON_TYPE, FIELDS, ["a-secret-value"])

        assert time.process_time() - started < 1


class TestMaskText:
    def test_masks_credentials_after_their_scheme(self) -> None:
        text = mask_text("sent Basic YWJjOmRlZg==, EAPI abcdef and token=abc; then Bearer eyJhbGciOi.x")

        assert text == f"sent Basic {MASK}, EAPI {MASK} and token={MASK}; then Bearer {MASK}"

    def test_leaves_prose_about_credentials(self) -> None:
        text = "Basic authentication is needed: a Basic token, the token is missing, Bearer tokens are not."

        assert mask_text(text) == text

    def test_leaves_values_too_short_to_be_told_apart(self) -> None:
        assert mask_text("1 of 10", ["1", ""]) == "1 of 10"

    @pytest.mark.parametrize(
        ("text", "expected"),
        [("PIN 4711 is wrong", f"PIN {MASK} is wrong"), ("PIN4711", f"PIN{MASK}"), ("(4711)", f"({MASK})")]
        + [(same, same) for same in ("No. 147110", "24711", "47112 of 9")],
    )
    def test_masks_a_short_value_only_where_it_stands_alone(self, text: str, expected: str) -> None:
        assert mask_text(text, ["4711"]) == expected

    @pytest.mark.parametrize(
        "spell",
        [
            str,
            str.upper,
            quote,
            lambda value: quote(quote(value, safe=""), safe=""),
            lambda value: json.dumps(value).replace("/", "\\/"),
            lambda value: value.encode().hex().upper(),
            lambda value: base64.b64encode(value.encode()).decode(),
            lambda value: base64.b64encode(f"\0ann\0{value}".encode()).decode(),
            lambda value: base64.b64encode(f"user:{value}".encode()).decode(),
            lambda value: base64.urlsafe_b64encode(f"x{value}".encode()).decode(),
            lambda value: f"cut off: {value[:12]}",
        ],
    )
    def test_masks_a_value_however_it_is_spelled(self, spell: Callable[[str], str]) -> None:
        value = "pa/é?w0rd-Zq8~K>>long"

        masked = mask_text(f"It was: {spell(value)}", [value])

        assert MASK in masked
        assert not any(value[at : at + 6].lower() in masked.lower() for at in range(len(value) - 5))
        assert len(masked) < len("It was: ") + len(MASK) + 16  # of what is around it in base64 a little may stay

    def test_masks_both_halves_of_a_pair_that_is_given_in_base64(self) -> None:
        pair = base64.b64encode(b"user-7f31aa:secret-91be02").decode()

        assert mask_text("user-7f31aa has no secret-91be02", [pair]) == f"{MASK} has no {MASK}"

    def test_leaves_a_word_with_which_a_password_begins(self) -> None:
        assert mask_text("The password is wrong", ["password-9f1c27aa"]) == "The password is wrong"

    def test_leaves_an_address_with_which_a_link_begins(self) -> None:
        text = mask_text("https://v.example.com/take is down", ["https://v.example.com/take?launch=9f1c27aa"])

        assert text == "https://v.example.com/take is down"

    @pytest.mark.parametrize(
        "text",
        ["Conflict: /c/{}", "GET /c/{} HTTP/1.1", "?q=https%3A%2F%2Fx.example%2Fc%2F{}", "https://v/proctor/{}"],
    )
    def test_masks_the_last_part_of_a_link_that_lets_its_holder_in(self, text: str) -> None:
        token = "9C2rYk1LQfCqk3s-dYb3-wAAAfH3cWwQqLJx0lXkY4yU1Zo"

        assert mask_text(text.format(token)) == text.format(MASK)

    def test_masks_the_longer_of_two_values_first(self) -> None:
        assert mask_text("abcdef", ["abcd", "abcdef"]) == MASK


class TestMaskJson:
    def test_masks_texts_and_secret_fields_and_changes_nothing_else(self) -> None:
        value = {"Launch_Token": "abc", "words": ["it was top-secret-1"], "count": 4711, "none": None, "yes": True}

        masked = mask_json(value, FIELDS, ["top-secret-1", "4711"])

        assert masked == {"Launch_Token": MASK, "words": [f"it was {MASK}"], "count": 4711, "none": None, "yes": True}


class TestWhatIsASecret:
    def test_is_the_value_of_a_secret_header_without_its_scheme(self) -> None:
        headers = {
            "Authorization": "Basic abc=",
            "token": "eyJ",
            "Accept": "*/*",
            "WWW-Authenticate": 'Basic realm="A"',
        }

        assert list(secrets_in_headers(headers)) == ["abc=", "eyJ"]

    @pytest.mark.parametrize(
        "body", [b'{"a": [{"launch_token": "abc", "b": "x"}], "pin": 4711}', b"launch_token=abc&a=b&pin=4711"]
    )
    def test_is_the_value_of_a_secret_field(self, body: bytes) -> None:
        assert list(secrets_in_body(body, {"launch_token", "PIN"})) == ["abc", "4711"]

    @pytest.mark.parametrize("body", [b"", b"\xff\xfe", b"[" * 100_000, b"<launch_token>"])
    def test_is_nothing_in_rubbish(self, body: bytes) -> None:
        assert list(secrets_in_body(body, FIELDS)) == []

    def test_is_what_of_a_link_lets_its_holder_in(self) -> None:
        link = "https://v.example.com/candidates/start/9f1c27aa41d0?launch_token=aaaabbbbccccddddeeeeffff&page=2"

        assert list(secrets_in_link(link)) == [link, "9f1c27aa41d0", "aaaabbbbccccddddeeeeffff"]


class TestMaskingFilter:
    def record(self, message: object, *args: object, exception: Exception | None = None) -> logging.LogRecord:
        info = (type(exception), exception, exception.__traceback__) if exception else None
        return logging.LogRecord("x", logging.INFO, "x.py", 1, message, args, info)

    def test_masks_message_and_arguments(self) -> None:
        record = self.record("GET %s with %s", "/take?launch_token=sEcReT", {"Authorization": "Basic sEcReT"})

        assert MaskingFilter().filter(record)

        assert record.getMessage() == f"GET /take?launch_token={MASK} with {{'Authorization': '{MASK}'}}"

    def test_leaves_a_record_without_secrets_alone(self) -> None:
        record = self.record("call %s took %d ms", "abc", 5)

        MaskingFilter().filter(record)

        assert (record.msg, record.args) == ("call %s took %d ms", ("abc", 5))

    def test_masks_a_traceback(self) -> None:
        try:
            raise ValueError("bad header Basic sEcReT123")
        except ValueError as error:
            record = self.record("failed", exception=error)

        MaskingFilter().filter(record)

        text = logging.Formatter().format(record)
        assert "sEcReT123" not in text
        assert "ValueError" in text

    def test_masks_a_stack(self) -> None:
        record = self.record("here")
        record.stack_info = "Stack: token=sEcReT123"

        MaskingFilter().filter(record)

        assert record.stack_info == f"Stack: token={MASK}"

    def test_takes_arguments_that_do_not_fit(self) -> None:
        record = self.record("%d and %s", "Basic sEcReT123")

        MaskingFilter().filter(record)

        assert "sEcReT123" not in record.getMessage()

    def test_takes_an_argument_that_cannot_be_written(self) -> None:
        class Rude:
            def __str__(self) -> str:
                raise RuntimeError("no")

        record = self.record("value %s", Rude())

        assert MaskingFilter().filter(record)
        assert "value" in record.getMessage()
