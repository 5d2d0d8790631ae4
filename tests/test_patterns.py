"""Text of any length is read in one go: no pattern and no reader of foreign text takes longer than in proportion to it."""

from __future__ import annotations

import ast
import importlib
import json
import pkgutil
import re
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import proctoring
from proctoring import accounts, exports, invitations, links, mailer, policy, questions, rosters
from proctoring.vendors import masking, registry, replies
from proctoring.vendors.base import HttpResponse

ROOT = Path(proctoring.__file__).parent
SMALL, FACTOR = 500, 8
MOST = 3 * FACTOR  # of the time for a text so many times as long; in proportion it is FACTOR, squared 64
MEASURABLE_SECONDS = 0.08
PUMPS = (" ", "\n", "a", "1", "a1", ".", ",", "=", "'", '"', "\\", '\\"', "<", ">", "/", "&", "@", "a.")


def takes_in_proportion(read: Callable[[str], object], start: str, pump: str, *, whole: bool, end: str) -> bool:
    """Whether a text eight times as long takes about eight times as long; so short that it cannot be told, it does."""

    def seconds(times: int) -> float:
        text = (start + pump) * times + end if whole else start + pump * times + end
        began = time.process_time()
        read(text)
        return time.process_time() - began

    if seconds(SMALL * FACTOR) < MEASURABLE_SECONDS:
        return True
    # The least of several: what a busy machine adds is in none of them at its best.
    long = min(seconds(SMALL * FACTOR) for _ in range(3))
    short = min(seconds(SMALL) for _ in range(25))
    return long < MEASURABLE_SECONDS or long < short * MOST


def slow_texts(read: Callable[[str], object], starts: list[str], pumps: Sequence[str] = PUMPS) -> list[str]:
    """The texts, as a start and what is repeated after it, that a reader takes too long for."""
    return [
        f"{start!r} and {pump!r} repeated"
        for start in starts
        for pump in pumps
        for whole in ([False, True] if start else [False])
        if not takes_in_proportion(read, start, pump, whole=whole, end="!\0")
    ]


# --- every pattern ----------------------------------------------------------------------------------------------------


Pattern = re.Pattern[Any]
GOES_ALONG = (
    r"(?:search|sub|subn|findall|finditer|split)"  # tries every place of a text; match and fullmatch only the first
)


def patterns() -> dict[str, tuple[Pattern, bool]]:
    """Every regular expression of the project, and whether it is tried at every place of a text."""
    sources = "\n".join(path.read_text() for path in ROOT.rglob("*.py"))
    found = {pattern.pattern: (pattern, goes_along) for pattern, goes_along in _kept(sources)}
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if (written := _written(node)) is not None:
                found.setdefault(written[0], (re.compile(written[0], re.IGNORECASE), written[1]))
    return {str(key): value for key, value in found.items()}


def _kept(sources: str) -> Iterator[tuple[Pattern, bool]]:
    """Those that modules keep by a name, and those that are made of the names of secrets."""
    for module in pkgutil.walk_packages([str(ROOT)], "proctoring."):
        if ".migrations" not in module.name:
            for name, value in vars(importlib.import_module(module.name)).items():
                if isinstance(value, re.Pattern):
                    yield value, bool(re.search(rf"\b{name}\.{GOES_ALONG}\(", sources))
    for vendor in registry.VENDORS:
        names = masking.SECRET_NAMES | {name.lower() for name in registry.adapter_class(vendor).SECRET_FIELDS}
        yield from ((pattern, True) for pattern in masking._patterns(frozenset(names)))


def _written(node: ast.AST) -> tuple[Any, bool] | None:
    """One that is written where it is used."""
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args):
        return None
    is_of_re = isinstance(node.func.value, ast.Name) and node.func.value.id == "re" and node.func.attr != "escape"
    first = node.args[0]
    if not (is_of_re and isinstance(first, ast.Constant)) or node.func.attr == "compile":
        return None
    return first.value, bool(re.fullmatch(GOES_ALONG, node.func.attr))


def _starts(pattern: Pattern) -> list[str]:
    """What may lead into a pattern: its own words, alone and assigned to."""
    text = pattern.pattern if isinstance(pattern.pattern, str) else pattern.pattern.decode()
    words = sorted({word for word in re.findall("[A-Za-z]+", text) if len(word) > 1}, key=len)[:1]
    return ["", *words, *(f"{word}=" for word in words), *(f"{word}: '" for word in words), "PIN", "<c><f/>", "/c/"]


ALL = patterns()


class TestEveryPattern:
    def test_is_found(self) -> None:
        assert policy._CODE.pattern in ALL
        assert len(ALL) > 50

    @pytest.mark.parametrize(("pattern", "goes_along"), list(ALL.values()), ids=range(len(ALL)))
    def test_takes_any_text_in_one_go(self, pattern: Pattern, goes_along: bool) -> None:
        tries = pattern.search if goes_along else pattern.fullmatch

        def read(text: str) -> object:
            return tries(text if isinstance(pattern.pattern, str) else text.encode())

        assert slow_texts(read, _starts(pattern)) == [], pattern.pattern

    def test_would_be_found_if_it_went_back_again_and_again(self) -> None:
        compiled = re.compile(r"PIN\s*:?\s*\d")

        assert not takes_in_proportion(lambda text: compiled.search(text * 3), "PIN", " ", whole=False, end="!")


# --- every reader of foreign text -------------------------------------------------------------------------------------


def _quiet(read: Callable[[str], object], *errors: type[Exception]) -> Callable[[str], object]:
    def quiet(text: str) -> object:
        try:
            return read(text)
        except errors:
            return None

    return quiet


NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
SECRET = "t0p-secret-value-of-this-account"
READERS: dict[str, Callable[[str], object]] = {
    "code_in": policy.code_in,
    "mask_text": lambda text: masking.mask_text(text, [SECRET, "4711", "aaaaaaaaaaaaaaaa"], {"pin"}),
    "mask_body": lambda text: masking.mask_body(text.encode(), "text/html", {"pin"}, [SECRET]),
    "mask_body of a form": lambda text: masking.mask_body(
        text.encode(), "application/x-www-form-urlencoded", {"pin"}, [SECRET]
    ),
    "mask_url": lambda text: masking.mask_url(f"https://v.example.com/{text}", {"pin"}, [SECRET]),
    "mask_headers": lambda text: masking.mask_headers({"Authorization": text, "X-Other": text}),
    "mask_json": lambda text: masking.mask_json({"a": [text]}, {"pin"}, [SECRET]),
    "what is a secret": lambda text: [
        *masking.secrets_in_body(text.encode(), {"pin"}),
        *masking.secrets_in_headers({"Authorization": text}),
        *masking.secrets_in_link(f"https://v.example.com/{text}"),
    ],
    "a pasted list": _quiet(rosters.read_text, Exception),
    "a roster": _quiet(lambda text: rosters.read(text.encode(), filename="roster.csv"), Exception),
    "safe_html": questions.safe_html,
    "vendor_words": lambda text: replies.vendor_words(
        HttpResponse(status=400, body=json.dumps({"message": text}).encode())
    ),
    "retry_after": lambda text: replies.retry_after(HttpResponse(status=429, headers={"retry-after": text}), NOW),
    "a mail server's words": lambda text: mailer._words(text.encode(), "ann@example.org"),
    "is_address": mailer.is_address,
    "check_url": _quiet(accounts.check_url, Exception),
    "origin": accounts.origin,
    "one_line": invitations.one_line,
    "a candidate's link": links.read,
    "a cell of an export": lambda text: list(exports.write_csv(["A"], [[text]])),
}


class TestEveryReaderOfForeignText:
    @pytest.mark.parametrize("name", READERS)
    def test_takes_any_text_in_one_go(self, name: str) -> None:
        starts = [
            "",
            "PIN",
            "pin:",
            "token=",
            '"token": "',
            "<token>",
            "name=token ",
            "Basic ",
            "Ann <",
            "//",
            "=",
            "/c/",
        ]

        # Masking reads with a dozen patterns, each of which is looked at above.
        pumps = PUMPS[::9] if name.startswith("mask") else PUMPS

        assert slow_texts(READERS[name], starts, pumps) == []
