"""Keeping secrets out of what is stored, shown and logged. Pure functions on text of any quality; none of them raises.

A name counts as a secret's if the vendor's adapter says so or if it is one of SECRET_NAMES, in any case of letters.
"""

from __future__ import annotations

import base64
import binascii
import html
import json
import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from urllib.parse import parse_qsl, quote, quote_plus, unquote_plus, urlsplit

from proctoring.vendors.base import JSON

MASK = "•••"
SHORTEST_VALUE = 4  # characters: masking every "1" would leave nothing to read
SHORTEST_PART = 8  # characters: shorter values are masked only where they stand alone, longer ones also cut short
SHORTEST_IN_LINK = 12

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

# The candidate's own link, whatever a mail program made of it, and a proctor's at the vendor: who has the last part of
# the path needs nothing else.
SLASH = r"(?:\\?/|%2F|%252F)"
LINK = re.compile(
    rf"({SLASH}c{SLASH})[^\s\"'<>?&#\\,;)]{{20,}}|({SLASH}proctor{SLASH})[\w%=.~+-]{{20,}}", re.IGNORECASE
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


def mask_json(value: JSON, fields: Iterable[str] = (), values: Iterable[str] = ()) -> JSON:
    """A JSON value with the secret fields and, in its texts, the given secret values masked; nothing else is changed."""
    names, known = _names(fields), tuple(values)

    def masked(part: JSON) -> JSON:
        if isinstance(part, Mapping):
            return {key: MASK if str(key).lower() in names and item else masked(item) for key, item in part.items()}
        if isinstance(part, (list, tuple)):
            return [masked(item) for item in part]
        return _mask_values(part, known) if isinstance(part, str) else part

    return masked(value)


def _mask_by_look(text: str, names: frozenset[str]) -> str:
    masked = LINK.sub(rf"\1\2{MASK}", CREDENTIAL.sub(rf"\1\2{MASK}", text))
    if _any_name(names).search(masked):
        for pattern in _patterns(names):
            masked = pattern.sub(rf"\1{MASK}", masked)
    return masked


def _mask_values(text: str, values: Iterable[str]) -> str:
    spellings = {spelling for value in values for spelling in _spellings(value)}
    folded = text.lower() if spellings else ""
    found = (spelling for spelling in spellings if _beginning(spelling).lower() in folded)
    pieces, at = [], 0
    for start, end in sorted(run for spelling in found for run in _runs(text, spelling)):
        if start >= at:
            pieces += [text[at:start], MASK]
        at = max(at, end)
    return "".join([*pieces, text[at:]])


def _runs(text: str, spelling: str) -> Iterator[tuple[int, int]]:
    """Where it stands in the text, from and to, also cut short."""
    if len(spelling) < SHORTEST_PART:
        pattern = _edge(spelling[0], "<!") + re.escape(spelling) + _edge(spelling[-1], "!")
        yield from (match.span() for match in re.finditer(pattern, text, re.IGNORECASE))
        return
    beginning = _beginning(spelling)
    for match in re.finditer(re.escape(beginning), text, re.IGNORECASE):
        end = _end_of_run(text, match.end(), spelling, len(beginning))
        if _gives_it_away(text[match.start() : end], spelling):
            yield match.start(), end


def _edge(character: str, look: str) -> str:
    """A short value is masked only where it is no part of a longer number or word."""
    kind = r"\d" if character.isdigit() else r"[^\W\d_]" if character.isalpha() else ""
    return f"(?{look}{kind})" if kind else ""


def _beginning(spelling: str) -> str:
    """So much of a secret in a text gives too much away: a vendor's words are cut off at a length, wherever that is."""
    if len(spelling) < SHORTEST_PART or "://" in spelling:  # links begin with what everybody knows
        return spelling
    return spelling[: max(SHORTEST_PART, len(spelling) // 4)]


def _end_of_run(text: str, end: int, spelling: str, place: int) -> int:
    while place < len(spelling) and text[end : end + 1].lower() == spelling[place].lower():
        end, place = end + 1, place + 1
    return end


def _gives_it_away(run: str, spelling: str) -> bool:
    """The whole, or a part that is no plain word: a password may begin with one."""
    return len(run) == len(spelling) or not run.isalpha()


@lru_cache(maxsize=256)  # the same few credentials, twice a call
def _spellings(value: str) -> frozenset[str]:
    """How a value may be written: as it is, in URLs, JSON, HTML and hexadecimal, in base64 and, itself base64, decoded."""
    if len(value) < SHORTEST_VALUE:
        return frozenset()
    clean = value.encode("utf-8", errors="replace").decode()
    encoded = {quote(clean, safe=""), quote(clean), quote_plus(clean), quote(quote(clean, safe=""), safe="")}
    escaped = {json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1], html.escape(value)}
    escaped |= {text.replace("/", "\\/") for text in escaped}
    spellings = {value, *encoded, *escaped}
    if len(value) >= SHORTEST_PART:
        spellings |= {clean.encode().hex(), *_in_base64(clean.encode()), *_pair_in(value)}
    return frozenset(spellings)


def _in_base64(data: bytes) -> Iterator[str]:
    """What of the value can be seen in the base64 of any text around it, such as a pair of user and password."""
    for before in range(3):
        whole = base64.b64encode(bytes(before) + data)
        seen = whole[(0, 2, 3)[before] : (before + len(data)) * 8 // 6].decode()
        yield from (seen, seen.translate(str.maketrans("+/", "-_")), quote(seen, safe=""))


def _pair_in(value: str) -> Iterator[str]:
    """A pair of user and password, and each of them, where the value is one in base64."""
    try:
        pair = base64.b64decode(value + "=" * (-len(value) % 4), validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        return
    if ":" in pair and pair.isprintable():
        yield from (part for part in (pair, *pair.split(":", 1)) if len(part) >= SHORTEST_PART)


# --- what is a secret -------------------------------------------------------------------------------------------------


def secrets_in_headers(headers: Mapping[str, str]) -> Iterator[str]:
    """The values of secret headers, without the word for their scheme."""
    for name, value in headers.items():
        if SECRET_HEADER.search(name) and name.lower() not in OPEN_HEADERS:
            yield re.sub(rf"\A\s*(?:{SCHEMES})\s+", "", value, flags=re.IGNORECASE).strip()


def secrets_in_body(body: bytes, fields: Iterable[str]) -> Iterator[str]:
    """The values of secret fields in a body of JSON or a form; none where it is neither."""
    text = _decoded(body)
    try:
        yield from secrets_in_json(json.loads(text), fields)
    except (ValueError, RecursionError):
        yield from _secrets_in_query(text, fields)


def secrets_in_url(url: str, fields: Iterable[str]) -> Iterator[str]:
    """The values of the secret parameters in its query."""
    return _secrets_in_query(url.partition("?")[2], fields)


def _secrets_in_query(text: str, fields: Iterable[str]) -> Iterator[str]:
    names = _names(fields)
    yield from (value for name, value in parse_qsl(text) if name.strip().lower() in names)


def secrets_in_json(value: JSON, fields: Iterable[str]) -> Iterator[str]:
    """The texts and numbers in the secret fields of a JSON value."""
    return _secrets_in(value, _names(fields), is_secret=False)


def _secrets_in(value: JSON, names: frozenset[str], *, is_secret: bool) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from _secrets_in(part, names, is_secret=is_secret or str(key).strip().lower() in names)
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from _secrets_in(part, names, is_secret=is_secret)
    elif is_secret and isinstance(value, (str, int, float)) and not isinstance(value, bool):
        yield str(value)


def secrets_in_link(link: str) -> Iterator[str]:
    """A whole link that lets its holder in, and the parts of it that do: those that look made up by a machine."""
    if not link:
        return
    yield link
    try:
        parts = urlsplit(link)
    except ValueError:
        return
    for part in (*parts.path.split("/"), *(value for _, value in parse_qsl(parts.query)), parts.fragment):
        if len(part) >= SHORTEST_IN_LINK and (any(map(str.isdigit, part)) or len(part) >= 2 * SHORTEST_IN_LINK):
            yield part


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
        rf"({assigned}\\+[\"'](?!\\))(?:[^\\]++|\\++(?![\"']))*+",  # JSON written inside a JSON string
        rf"({assigned}[\[{{]).*",  # a list or an object: its end cannot be told
        rf"({assigned})(?!null\b|true\b|false\b|{MASK})(?:(?:{SCHEMES})\s+)?[^\s\"'\\\[{{&,;<>}}\])][^\s\"'\\&,;<>}}\])]*",
        rf"(<{key}[^>]{{0,500}}>)(?!\s*<)[^<]+",  # XML
        rf"(\bname\s*=\s*[\"']?{key}[\"']?[^>]{{0,500}}?\bvalue\s*=\s*[\"'])[^\"'>]+",  # an HTML form, either order
        rf"(\bvalue\s*=\s*[\"'])[^\"'>]+(?=[\"'][^>]{{0,500}}?\bname\s*=\s*[\"']?{key})",
        rf"(\bname=\"?{key}\"?[^\r\n]{{0,500}}(?:\r?\n[^\r\n]{{1,500}}){{0,5}}\r?\n\r?\n)[^\r\n]+",  # multipart
    )
    return tuple(re.compile(pattern, re.IGNORECASE | re.DOTALL) for pattern in patterns)


class MaskingFilter(logging.Filter):
    """Masks credentials in a log record's message, arguments, traceback and stack. For every handler that writes.

    `values` are secrets by themselves, wherever they stand.
    """

    def __init__(self, values: Iterable[str] = ()) -> None:
        super().__init__()
        self.values = tuple(values)

    def filter(self, record: logging.LogRecord) -> bool:
        message = _message(record)
        masked = mask_text(message, self.values)
        if masked != message:
            record.msg, record.args = masked, ()
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = mask_text(record.exc_text, self.values)
        if record.stack_info:
            record.stack_info = mask_text(record.stack_info, self.values)
        return True


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:
        # An argument's own __str__ may raise anything; logging would then print message and arguments as they are.
        record.msg, record.args = f"{record.msg!r} {MASK}", ()
        return str(record.msg)
