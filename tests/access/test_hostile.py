"""No answer is a fault: addresses, queries and forms with what nobody should send."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest
from django.http import QueryDict
from django.test import Client

from tests.access.rules import PLACE, RULES, Rule
from tests.access.walk import Walk

KEYS = ("-1", str(2**63), "x", "²", "\0", "\ud800")
VALUES = ("9" * 30, "x", "²", "\0", "-1", '[{"index": []}]', '["\\ud800\\u0000", NaN]', "[" * 100_000)
LISTS = ("o", "p", "q", "all", "e", "nobody__knows", "id__in", "team", "_to_field")
NUMBERED = re.compile(r"-\d+-")  # one row of a table is like the others


@pytest.fixture
def client(walk: Walk) -> Client:
    return walk.site.visitors["administrator"].client()


def asked_for(walk: Walk, rule: Rule, client: Client) -> list[str]:
    """The names that the page reads from its query or its form."""
    with _noting() as names:
        walk.ask(rule, client)
    return sorted(name for name in names if not NUMBERED.search(name) or "-0-" in name)


@contextmanager
def _noting() -> Iterator[set[str]]:
    names: set[str] = set()
    kept = {name: getattr(QueryDict, name) for name in ("get", "getlist", "__getitem__", "__contains__")}

    def noting(read: Any) -> Any:
        def noted(self: QueryDict, key: Any, *args: Any) -> Any:
            names.add(str(key))
            return read(self, key, *args)

        return noted

    for name, read in kept.items():
        setattr(QueryDict, name, noting(read))
    try:
        yield names
    finally:
        for name, read in kept.items():
            setattr(QueryDict, name, read)


def faults(walk: Walk, rule: Rule, client: Client, what: str, **request: Any) -> Iterator[str]:
    try:
        answer = walk.ask(rule, client, **request)
    except Exception as error:
        yield f"{rule} with {what[:100]!r} … {what[-100:]!r}: {error!r}"[:500]
    else:
        if answer.status >= 500:
            yield f"{rule} with {what[:80]!r}: {answer.status}"


def with_key(walk: Walk, rule: Rule, key: str) -> str:
    """The address with this in the place of our row."""
    url, ours = walk.url(rule), PLACE.search(rule.args[0])
    return url.replace(walk.site.keys[ours[1]], quote(key.encode("utf-8", "surrogatepass"), safe="")) if ours else url


def rows_of(walk: Walk) -> list[str]:
    """The keys of rows of every kind, ours and another team's."""
    rows = {type(row): str(row.pk) for row in walk.site.rows.values()}
    return [*rows.values(), walk.site.keys["their_exam"]]


class TestHostileRequests:
    @pytest.mark.parametrize("method", ["GET", "POST"])
    def test_for_a_row_that_is_none_are_no_fault(self, walk: Walk, client: Client, method: str) -> None:
        rules = {rule.name: rule for rule in RULES if rule.args and rule.method == method}
        rows = [str(uuid4()), *rows_of(walk)]

        found = [
            fault
            for rule in rules.values()
            for key in (KEYS if ":" in rule.name else rows)
            for fault in faults(walk, rule, client, key, url=with_key(walk, rule, key))
        ]

        assert not found, "\n".join(found)

    def test_with_rubbish_in_the_query_are_no_fault(self, walk: Walk, client: Client) -> None:
        found: list[str] = []
        for number, rule in enumerate(one_each("GET")):
            names = {*asked_for(walk, rule, client), *(LISTS if rule.name.endswith("changelist") else ())}
            for place, name in enumerate(sorted(names)):
                query = {**rule.query, name: dealt(number + place)[:2000]}  # as long as servers take
                found += faults(walk, rule, client, str(query), query=query)

        assert not found, "\n".join(found)

    def test_with_rubbish_in_a_form_are_no_fault(self, walk: Walk, client: Client) -> None:
        found: list[str] = []
        for number, rule in enumerate(one_each("POST")):
            data = walk.filled(rule.data)
            for place, name in enumerate(sorted({*data, *asked_for(walk, rule, client)})):
                form = {**data, name: dealt(number + place)}
                found += faults(walk, rule, client, str(form), data=form)

        assert not found, "\n".join(found)


def dealt(number: int) -> str:
    """Each name gets one kind of rubbish, and the same name on another page another."""
    return VALUES[number % len(VALUES)]


def one_each(method: str) -> list[Rule]:
    """The fullest request of each address."""
    rules = sorted((rule for rule in RULES if rule.method == method), key=lambda rule: len(rule.data) + len(rule.query))
    return list({rule.name: rule for rule in rules}.values())
