"""Every address of the router and every action of the admin, asked by every kind of visitor."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.contrib import admin
from django.core.cache import cache
from django.db import connection, transaction
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from proctoring import policy
from proctoring.models import Role
from proctoring.policy import Right
from tests import factories
from tests.access.rules import RULES, Out, Rule
from tests.access.site import OURS, Site, Visitor

METHODS = ("GET", "POST")
SIGN_IN = "/admin/login/"
CODES = {403: Out.REFUSED, 404: Out.HIDDEN, 405: Out.NO_METHOD, 409: Out.TURNED_AWAY}
CHANGES = ("INSERT", "UPDATE", "DELETE")
SESSIONS, JOURNAL = "django_session", "proctoring_journalentry"


# --- what there is --------------------------------------------------------------------------------------------------------


def addresses() -> Mapping[str, str]:
    """Every address: its name, or its route where it has none, and the route to it."""
    return dict(_addresses(get_resolver().url_patterns, "", ""))


def _addresses(patterns: Sequence[URLPattern | URLResolver], route: str, space: str) -> Iterator[tuple[str, str]]:
    for pattern in patterns:
        whole = route + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            inner = f"{space}{pattern.namespace}:" if pattern.namespace else space
            yield from _addresses(pattern.url_patterns, whole, inner)
        else:
            yield (f"{space}{pattern.name}" if pattern.name else whole), whole


def admin_actions() -> set[tuple[str, str]]:
    """(model, action) of all that a list or a row of the admin offers, whoever it is offered to."""
    found = set()
    registry: dict[Any, Any] = admin.site._registry
    for model, pages in registry.items():
        names = [name for _, name, _ in pages._get_base_actions()]
        for place in ("actions_list", "actions_row", "actions_detail", "actions_submit_line"):
            names += [str(name) for name in getattr(pages, place, ())]
        found |= {(str(model._meta.model_name), name) for name in names}
    return found


def ruled_actions() -> set[tuple[str, str]]:
    return {(rule.name.split("_")[1], rule.data["action"]) for rule in RULES if "action" in rule.data}


# --- what a rule says -----------------------------------------------------------------------------------------------------


def unruled() -> list[Rule]:
    """The methods for which no rule stands: nobody may use them."""
    args = {rule.name: rule.args for rule in RULES}
    ruled = {(rule.name, rule.method) for rule in RULES}
    missing = ((name, method) for name in args for method in METHODS if (name, method) not in ruled)
    return [Rule(name=name, method=method, args=args[name], does=Out.NO_METHOD) for name, method in missing]


def expected(rule: Rule, visitor: Visitor) -> Out:
    """What the rule comes to for this visitor."""
    if rule.is_public:
        return rule.does
    if not (visitor.is_signed_in and visitor.is_staff):
        is_asked = not visitor.is_signed_in or rule.name.startswith("admin")
        return rule.outside or (Out.SIGN_IN if is_asked else Out.REFUSED)
    if visitor.name in rule.but:
        return rule.but[visitor.name]
    if rule.does is Out.NO_METHOD:
        return rule.does
    if rule.nowhere and not policy.may(visitor.own, rule.nowhere):
        return Out.REFUSED
    if rule.is_ours and visitor.here is None and rule.stranger is not None:
        return rule.stranger
    role = visitor.here if rule.is_ours else visitor.own
    return rule.does if rule.right is None or policy.may(role, rule.right) else rule.refused


def tells(rule: Rule, visitor: Visitor) -> bool:
    """Whether this visitor's answer can be another than that of those who ask in any case.

    What all of the team see, the least of them asks for; what nobody may, the most powerful; one stranger asks for everything.
    HTMX makes no difference to the admin.
    """
    if not (visitor.is_signed_in and visitor.is_staff) or visitor.name == "viewer":
        return True
    if visitor.htmx and rule.name.startswith("admin"):
        return False
    acts = rule.does is Out.ACTS
    if visitor.here is None and visitor.own in (None, Role.ADMINISTRATOR):
        return acts or rule.right is not None or not visitor.htmx
    if visitor.here is None:
        return acts and rule.is_ours
    if rule.right in (None, Right.VIEW) and not acts:
        return visitor.name == "superuser" and rule.does not in (Out.SHOWN, Out.LEADS_ON)
    return True


# --- asking ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, and which tables are another now."""

    status: int
    location: str
    text: str
    changed: frozenset[str]

    def out(self, rule: Rule) -> Out:
        if SIGN_IN in self.location and rule.name != "admin:login":
            return Out.SIGN_IN
        if self.status in CODES:
            return CODES[self.status]
        if self.changed - {SESSIONS} or (rule.is_kept_in_session and self.changed):
            return Out.ACTS
        return Out.LEADS_ON if 300 <= self.status < 400 else Out.SHOWN


class Walk:
    """The site, asked again and again: whatever a request changed is taken back."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.tables = [m._meta.db_table for m in apps.get_models() if m._meta.app_label in ("proctoring", "sessions")]
        self.before = self._prints()

    def url(self, rule: Rule) -> str:
        args = [self.site.fill(text) for text in rule.args]
        if "/" not in rule.name:
            return reverse(rule.name, args=args)
        return f"/{_route(rule.name, args)}"

    def ask(self, rule: Rule, client: Client, *, url: str = "", query: Any = None, data: Any = None) -> Answer:
        cache.clear()  # nobody asks too often here
        url = url or self.url(rule)
        cookies = deepcopy(client.cookies)
        query = self.filled(rule.query) if query is None else query
        with self._taken_back() as writes:
            if rule.method == "GET":
                response = client.get(url, query)
            else:
                response = client.post(url, self.filled(rule.data) if data is None else data, query_params=query)
            text = (b"".join(response) if response.streaming else response.content).decode(errors="replace")
            changed = self._changed() if writes else frozenset()
        client.cookies = cookies  # a sign-in that was taken back
        location = response.headers.get("Location", "") or response.headers.get("HX-Redirect", "")
        return Answer(response.status_code, location, text, changed)

    def filled(self, values: Mapping[str, Any]) -> dict[str, Any]:
        return {name: self.site.fill(value) if isinstance(value, str) else value for name, value in values.items()}

    @contextmanager
    def _taken_back(self) -> Iterator[list[str]]:
        """Notes the statements that write."""
        writes: list[str] = []

        def note(execute: Any, sql: str, *args: Any) -> Any:
            if sql.lstrip().upper().startswith(CHANGES):
                writes.append(sql)
            return execute(sql, *args)

        with transaction.atomic(), connection.execute_wrapper(note):
            yield writes
            transaction.set_rollback(True)

    def _changed(self) -> frozenset[str]:
        after = self._prints()
        return frozenset(table for table in self.tables if after[table] != self.before[table])

    def _prints(self) -> dict[str, str]:
        """A fingerprint of every table's rows."""
        prints = {}
        with connection.cursor() as cursor:
            for table in self.tables:
                columns = "session_key, session_data" if table == SESSIONS else "*"
                cursor.execute(f"SELECT {columns} FROM {table} ORDER BY 1")
                prints[table] = hashlib.sha256(repr(cursor.fetchall()).encode()).hexdigest()
        return prints

    # --- judging ------------------------------------------------------------------------------------------------------

    def complaints(self, rule: Rule, visitor: Visitor, client: Client) -> Iterator[str]:
        """What of the answer is not as the rule says."""
        should = expected(rule, visitor)
        try:
            answer = self.ask(rule, client)
        except Exception as error:
            yield f"{visitor.name}: {rule} {should.value}, but it raised {error!r}"
            return
        out = answer.out(rule)
        also = f" ({answer.status}, changed: {', '.join(sorted(answer.changed)) or 'nothing'})"
        quiet = {Out.SHOWN, Out.LEADS_ON}
        is_action = "action" in rule.data and rule.name.endswith("_changelist")
        if out is not should and not (is_action and {out, should} <= quiet):
            yield f"{visitor.name}: {rule} {should.value}, but it {out.value}{also}"
        elif should is not Out.ACTS and answer.changed - {SESSIONS}:
            yield f"{visitor.name}: {rule} {should.value}, but had an effect{also}"
        elif should is Out.ACTS and rule.is_journalled and visitor.own and JOURNAL not in answer.changed:
            yield f"{visitor.name}: {rule} leaves no trace in the journal{also}"
        for secret in self._secrets(rule, visitor):
            if secret in answer.text:
                yield f"{visitor.name}: {rule} tells “{secret}”"

    def _secrets(self, rule: Rule, visitor: Visitor) -> Iterator[str]:
        """What this visitor must not read there."""
        if not rule.shows_secrets:
            yield from (factories.TOKEN, "proctor-secret")
        if visitor.here is None and not rule.is_public:
            yield OURS
        if not policy.may(visitor.here, Right.DELIVER) and not rule.is_public:
            yield "take-secret"
            if rule.query.get("q") != "{link}":
                yield self.site.keys["link"]


def _route(route: str, args: Sequence[str]) -> str:
    """An address without a name, with what stands for its arguments."""
    parts = iter(args)
    return re.sub(r"<[^>]+>|\(\?P<url>\.\*\)\$", lambda _: next(parts), route)
