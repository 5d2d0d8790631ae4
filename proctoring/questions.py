"""A session's questions as its vendor's results hold them, and the vendor's HTML made safe to show."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import nh3
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from proctoring.models import Session
from proctoring.vendors.cleaning import clean, clean_text

TAGS = frozenset(
    (
        *("b", "blockquote", "br", "code", "em", "i", "li", "ol", "p", "pre", "s", "small", "span", "strong"),
        *("sub", "sup", "table", "tbody", "td", "th", "thead", "tr", "u", "ul"),
    )
)
ATTRIBUTES = {"td": {"colspan", "rowspan"}, "th": {"colspan", "rowspan"}, "*": {"dir", "lang"}}
PICTURE = re.compile(r"<(?:img|svg|picture|video|audio|object|embed|iframe)\b", re.IGNORECASE)
LONGEST = 20_000  # characters of one text: longer ones are cut, so that no page is unbounded


def safe_html(text: Any) -> SafeString:
    """The words and their plain formatting: no scripts, no links, and nothing that a browser would fetch."""
    whole = clean_text(str(text if text is not None else "")[:LONGEST])
    clean = nh3.clean(whole, tags=set(TAGS), attributes=ATTRIBUTES, url_schemes=set(), link_rel=None)
    note = format_html(' <span class="soft">{}</span>', "[a picture, not shown here]") if PICTURE.search(whole) else ""
    return mark_safe(clean + note)  # noqa: S308 - nh3 made it harmless


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    index: int
    content: SafeString
    is_key: bool
    is_chosen: bool

    @property
    def label(self) -> SafeString:
        return format_html('<span class="soft">{}</span> <span class="theirs">{}</span>', self.index, self.content)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One question of one item. `chosen` are the option indexes of the response; `raw` a response of another shape."""

    number: int
    item_ref: str
    ref: str
    kind: str
    text: SafeString
    options: Sequence[Option]
    chosen: Sequence[int]
    raw: str
    score: str

    @property
    def is_choice(self) -> bool:
        return self.kind == "choice" and bool(self.options) and bool(self.ref) and bool(self.item_ref)


def questions_of(results: Any) -> list[Question]:
    """The questions in what a vendor calls results, in its order; what has another shape is left out, never guessed."""
    pairs = [(item, question) for item in _objects(_object(results).get("items")) for question in _parts(item)]
    return [_question(number, item, question) for number, (item, question) in enumerate(pairs, start=1)]


def _parts(item: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from _objects(item.get("questions"))


def _question(number: int, item: Mapping[str, Any], question: Mapping[str, Any]) -> Question:
    response = question.get("response")
    chosen = _chosen(response)
    keys = {key["index"] for key in _objects(question.get("keys")) if _index(key)}
    return Question(
        number=number,
        item_ref=str(item.get("id") or ""),
        ref=str(question.get("id") or ""),
        kind=str(question.get("interactionType") or ""),
        text=safe_html(question.get("content") or item.get("name")),
        options=[_option(option, keys, chosen) for option in _objects(question.get("options")) if _index(option)],
        chosen=chosen,
        raw="" if chosen or not response else json.dumps(clean(response), ensure_ascii=False)[:LONGEST],
        score=points(item.get("score")),
    )


def _option(option: Mapping[str, Any], keys: set[int], chosen: Sequence[int]) -> Option:
    index: int = option["index"]
    is_key = option.get("isKey") is True or index in keys
    return Option(index=index, content=safe_html(option.get("content")), is_key=is_key, is_chosen=index in chosen)


def _index(option: Mapping[str, Any]) -> bool:
    return isinstance(option.get("index"), int) and not isinstance(option["index"], bool)


def _chosen(response: Any) -> list[int]:
    options = _objects(_object(response).get("options"))
    return [option["index"] for option in options if _index(option)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    name: str
    score: str


def are_current(session: Session) -> bool:
    """Whether the questions were read, and not before something was done to the session."""
    at = asked_at(session)
    if at is None or session.content.get("questions") is None:
        return False
    return session.effect_ended_at is None or at > session.effect_ended_at


def asked_at(session: Session) -> datetime | None:
    text = session.content.get("questions_asked_at")
    return datetime.fromisoformat(text) if isinstance(text, str) else None


def objectives_of(session: Session) -> list[Objective]:
    """What was to be learnt and how far it was: with words where the questions were ever read, else by id."""
    named = _object(_object(session.content.get("questions")).get("objectives"))
    results = session.content.get("results")
    scored = _object(results).get("objectives") if results is not None else named if are_current(session) else {}
    found = []
    for key, value in _object(scored).items():
        about, score = _object(named.get(key)), _object(value).get("score")
        words = " ".join(str(about[part]) for part in ("abbreviation", "text") if about.get(part))
        found.append(Objective(name=words or f"Objective {key}", score=points(score)))
    return found


def points(score: Any) -> str:
    """“2 of 3”; "" where the vendor says nothing."""
    most = _number(_object(score).get("max"))
    if not most:
        return ""
    if score.get("isScorable") is False:
        return "not scored"
    actual = _number(score.get("actual"))
    return f"{actual} of {most}" if actual else f"no score of {most}"


def _number(value: Any) -> str:
    """A number as it is shown; "" for anything else, and for one that is beyond all measure."""
    try:
        return f"{value:g}" if isinstance(value, int | float) else ""
    except OverflowError:
        return ""


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _objects(value: Any) -> list[Mapping[str, Any]]:
    return [part for part in value if isinstance(part, dict)] if isinstance(value, list) else []
