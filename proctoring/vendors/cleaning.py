"""A vendor's words made fit to keep and to show: no database, page or log chokes on them, and no outcome depends on them."""

from __future__ import annotations

import re
from typing import Any

REPLACED = "\N{REPLACEMENT CHARACTER}"
# Control characters but for tab and line ends, and halves of a pair, which no encoding has a form for.
UNFIT = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
LONGEST = 4_000  # characters of one message


def clean_text(text: str, *, most: int | None = None) -> str:
    """The text with what cannot be kept replaced visibly, and cut where it is longer than `most`."""
    cut = text if most is None or len(text) <= most else f"{text[: most - 1]}…"
    return UNFIT.sub(REPLACED, cut)


def clean(value: Any) -> Any:
    """A JSON value with every text in it cleaned, keys too."""
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, list):
        return [clean(part) for part in value]
    if isinstance(value, dict):
        return {clean_text(key): clean(part) for key, part in value.items()}
    return value
