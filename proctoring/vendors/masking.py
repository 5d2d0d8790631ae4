"""Keeping secrets out of what is stored, shown and logged. Pure functions on text of any quality; none of them raises.

A name counts as a secret's if the vendor's adapter says so or if it is one of SECRET_NAMES, in any case of letters.
"""

from __future__ import annotations

import html
import json
import logging
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from urllib.parse import quote, quote_plus, unquote_plus

from proctoring.vendors.base import JSON

MASK = "•••"
SHORTEST_VALUE = 4  # characters: masking every "1" would leave nothing to read

SECRET_NAMES = frozenset(
    {
        "access_token",
        "api_key",
        "apikey",
        "authorization",
        "client_secret",
        "launch_token",
        "pass",
        "passwd",
        "password",
        "proctor_token",
        "refresh_token",
        "score_token",
        "secret",
        "token",
        "x-api-key",
    }
)
SECRET_HEADER = re.compile(r"auth|token|cookie|secret|key|passw|signature|credential|session", re.IGNORECASE)
OPEN_HEADERS = frozenset({"www-authenticate", "proxy-authenticate"})
SCHEMES = "Basic|Bearer|EAPI|Digest|Token|Negotiate|ApiKey|JWT"

# After a scheme, any of these is prose about credentials and not a credential.
PROSE = "auth(?:entication|orization)?|credentials?|tokens?|access|header|scheme|realm|is|was|for|and|or|not|missing"
CREDENTIAL = re.compile(
    rf"(?<![\w-])(Basic|Bearer|EAPI)((?:\s|%20|\+)+)(?!(?:{PROSE})\b)[^\s\"'<>,;\\&]{{4,}}", re.IGNORECASE
)


def mask_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers with the values of secret ones masked; the scheme word (Basic, EAPI, …) stays."""
    return {name: _mask_header(name, value) for name, value in headers.items()}


def _mask_header(name: str, value: str) -> str:
    if name.lower() in OPEN_HEADERS or not SECRET_HEADER.search(name):
        return mask_text(value)
    scheme = re.match(rf"\s*({SCHEMES})\s+", value, re.IGNORECASE)
    if scheme is None:
        return _masked(value)
    return f"{scheme[1]} {_masked(value[scheme.end() :])}"


def _masked(value: str) -> str:
    """Tells a missing, a short and a long value apart, and no more: the length is rounded up to a power of two."""
    if not value:
        return ""
    size = 8
    while size < len(value):
        size *= 2
    return f"{MASK} (up to {size} characters)"


def mask_url(url: str, fields: Iterable[str], values: Iterable[str] = ()) -> str:
    """The URL with any user name, the secret parameters, and path segments that are a secret value masked."""
    names = _names(fields)
    without_user = re.sub(r"(//)[^/@?#]*@", rf"\1{MASK}@", url)
    return mask_text(_mask_parameters(without_user, names), values)


def _mask_parameters(text: str, names: frozenset[str]) -> str:
    def replaced(match: re.Match[str]) -> str:
        is_secret = unquote_plus(match[2]).strip().lower() in names
        return f"{match[1]}{match[2]}={MASK}" if is_secret and match[3] else match[0]

    return re.sub(r"(^|[?&;#])([^=&;?#]*)=([^&;#]*)", replaced, text)


def mask_body(body: bytes, content_type: str, secret_fields: Iterable[str], values: Iterable[str] = ()) -> str:
    """The body as text with the secret fields and the given secret values masked; unchanged where it holds none.

    JSON is masked by its structure. Anything else (forms, HTML, XML, JSON cut short) is masked by the look of its
    names and values, and then to the end wherever the end of a value cannot be seen.
    """
    names = _names(secret_fields)
    known = tuple(values)
    text = _decoded(body)
    try:
        text = _mask_json_text(text, names, known)
    except (ValueError, RecursionError):
        text = _mask_by_look(_mask_form(text, content_type, names), names)
    return _mask_values(text, known)


def _mask_json_text(text: str, names: frozenset[str], values: tuple[str, ...]) -> str:
    value = json.loads(text)
    masked = _mask_json(value, names, values)
    if masked == value:
        return text
    return json.dumps(masked, ensure_ascii=False).encode("utf-8", errors="backslashreplace").decode()


def _decoded(body: bytes) -> str:
    is_wide = b"\0" in body[:4] or body.startswith((b"\xff\xfe", b"\xfe\xff"))
    return body.decode(json.detect_encoding(body) if is_wide else "utf-8-sig", errors="replace")


def _mask_json(value: JSON, names: frozenset[str], values: tuple[str, ...]) -> JSON:
    if isinstance(value, dict):
        return {_mask_by_look(key, names): _mask_member(key, part, names, values) for key, part in value.items()}
    if isinstance(value, list):
        return [_mask_json(part, names, values) for part in value]
    if isinstance(value, str):
        return _mask_by_look(value, names)
    if isinstance(value, (int, float)) and not isinstance(value, bool) and str(value) in values:
        return MASK
    return value


def _mask_member(key: str, value: JSON, names: frozenset[str], values: tuple[str, ...]) -> JSON:
    if key.strip().lower() not in names:
        return _mask_json(value, names, values)
    if value is None or value == "" or isinstance(value, bool):
        return value
    return _masked(value if isinstance(value, str) else json.dumps(value))


def _mask_form(text: str, content_type: str, names: frozenset[str]) -> str:
    if "urlencoded" not in content_type.lower() and re.search(r"[\s{<\"]", text):
        return text
    return re.sub(r"[^&;]+", lambda match: _mask_form_field(match[0], names), _mask_parameters(text, names))


def _mask_form_field(field: str, names: frozenset[str]) -> str:
    """A field may carry JSON, encoded: where its plain reading holds a secret, that reading is kept instead."""
    plain = unquote_plus(field)
    masked = _mask_by_look(plain, names)
    return field if masked == plain else masked


def mask_text(text: str, values: Iterable[str] = (), fields: Iterable[str] = ()) -> str:
    """Any text with the given secret values, credentials after their scheme, and `name=value` secrets masked."""
    return _mask_by_look(_mask_values(text, values), _names(fields))


def _mask_by_look(text: str, names: frozenset[str]) -> str:
    masked = CREDENTIAL.sub(rf"\1\2{MASK}", text)
    if _any_name(names).search(masked):
        for pattern in _patterns(names):
            masked = pattern.sub(rf"\1{MASK}", masked)
    return masked


def _mask_values(text: str, values: Iterable[str]) -> str:
    written = {form for value in values for form in _ways_to_write(value)}
    for form in sorted(written, key=len, reverse=True):
        text = text.replace(form, MASK)
    return text


@lru_cache(maxsize=256)  # the same few credentials, twice a call
def _ways_to_write(value: str) -> set[str]:
    if len(value) < SHORTEST_VALUE:
        return set()
    clean = value.encode("utf-8", errors="replace").decode()
    encoded = {quote(clean, safe=""), quote(clean), quote_plus(clean)}
    quoted = {json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1], html.escape(value)}
    return {value, *encoded, *(form.replace("%2F", "%2f") for form in encoded), *quoted}


def _names(fields: Iterable[str]) -> frozenset[str]:
    return SECRET_NAMES | {field.strip().lower() for field in fields}


@lru_cache(maxsize=64)
def _any_name(names: frozenset[str]) -> re.Pattern[str]:
    return re.compile("|".join(map(re.escape, sorted(names))), re.IGNORECASE)


@lru_cache(maxsize=64)
def _patterns(names: frozenset[str]) -> tuple[re.Pattern[str], ...]:
    """What a secret looks like in text that has no structure. Group 1 of each stays, the rest is masked.

    What may lie between a name and its value is bounded, or hostile text would take minutes.
    """
    name = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
    key = rf"(?<![\w-])(?:{name})(?![\w-])"
    assigned = rf"{key}\\*[\"']?\s*(?:[:=]|=>|%3[AD])\s*"
    patterns = (
        rf"({assigned}\"(?!\"))(?:\\.|[^\"\\])*(?=\"|\\?\Z)",  # "token": "…", also cut short
        rf"({assigned}'(?!'))(?:\\.|[^'\\])*(?='|\\?\Z)",
        rf"({assigned}\\+[\"'](?!\\))(?:(?!\\+[\"']).)*",  # JSON written inside a JSON string
        rf"({assigned}[\[{{]).*",  # a list or an object: its end cannot be told
        rf"({assigned})(?!null\b|true\b|false\b|{MASK})(?:(?:{SCHEMES})\s+)?[^\s\"'\\\[{{&,;<>}}\])][^\s\"'\\&,;<>}}\])]*",
        rf"(<{key}[^>]{{0,500}}>)(?!\s*<)[^<]+",  # XML
        rf"(\bname\s*=\s*[\"']?{key}[\"']?[^>]{{0,500}}?\bvalue\s*=\s*[\"'])[^\"'>]+",  # an HTML form, either order
        rf"(\bvalue\s*=\s*[\"'])[^\"'>]+(?=[\"'][^>]{{0,500}}?\bname\s*=\s*[\"']?{key})",
        rf"(\bname=\"?{key}\"?[^\r\n]{{0,500}}(?:\r?\n[^\r\n]{{1,500}}){{0,5}}\r?\n\r?\n)[^\r\n]+",  # multipart
    )
    return tuple(re.compile(pattern, re.IGNORECASE | re.DOTALL) for pattern in patterns)


class MaskingFilter(logging.Filter):
    """Masks credentials in a log record's message, arguments, traceback and stack. For every handler that writes."""

    def filter(self, record: logging.LogRecord) -> bool:
        message = _message(record)
        masked = mask_text(message)
        if masked != message:
            record.msg, record.args = masked, ()
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = mask_text(record.exc_text)
        if record.stack_info:
            record.stack_info = mask_text(record.stack_info)
        return True


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:
        # An argument's own __str__ may raise anything; logging would then print message and arguments as they are.
        record.msg, record.args = f"{record.msg!r} {MASK}", ()
        return str(record.msg)
