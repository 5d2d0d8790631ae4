"""What a vendor's simulator is: requests in, replies out, and documents that survive a restart."""

from __future__ import annotations

import json
import re
import sqlite3
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qsl, unquote

Clock = Callable[[], datetime]
Document = dict[str, Any]


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class Reply:
    """One answer: JSON with `json` set, HTML with `text` (unless `headers` say otherwise), with neither no body."""

    status: int = 200
    json: Any = None
    text: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def body(self) -> bytes:
        if self.text is not None:
            return self.text.encode(errors="replace")
        if self.json is None:
            return b""
        # A lone surrogate has no UTF-8; written with a backslash it is what JSON itself would write.
        return json.dumps(self.json, ensure_ascii=False).encode(errors="backslashreplace")

    def content_type(self) -> str:
        given = {name.lower(): value for name, value in self.headers.items()}.get("content-type")
        if given:
            return given
        if self.text is not None:
            return "text/html; charset=utf-8"
        return "" if self.json is None else "application/json"


class Problem(Exception):
    """The vendor refuses: the request ends with `reply` and changes nothing."""

    def __init__(self, status: int, json: Any = None, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(f"{status}: {json}")
        self.reply = Reply(status=status, json=json, headers=headers or {})


@dataclass(frozen=True)
class Request:
    """One request as it came: `path` and `raw_query` undecoded, header names in lower case, repeats joined by ", "."""

    method: str
    path: str
    raw_query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def query(self) -> tuple[tuple[str, str], ...]:
        """Decoded, in order, repeated keys kept."""
        return tuple(parse_qsl(self.raw_query, keep_blank_values=True))

    def first(self, name: str, default: str = "") -> str:
        """The first value of the query parameter `name`."""
        return next((value for key, value in self.query if key == name), default)

    def values(self, name: str) -> tuple[str, ...]:
        return tuple(value for key, value in self.query if key == name)

    def header(self, name: str) -> str:
        return self.headers.get(name.lower(), "")

    @property
    def content_type(self) -> str:
        """The media type alone, in lower case."""
        return self.header("content-type").partition(";")[0].strip().lower()

    def json(self) -> Any:
        """The JSON value of the body. Raises Problem(400) where it holds none; NaN and repeated keys count as none."""
        try:
            return json.loads(self.body.decode("utf-8"), parse_constant=_refuse, object_pairs_hook=_unique)
        except (ValueError, RecursionError) as error:
            raise Problem(400, {"message": f"The request body is not JSON: {error}"}) from error


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _unique(pairs: list[tuple[str, Any]]) -> Document:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is repeated")
    return found


class Store:
    """Documents by kind and id, kept in one SQLite file (or ":memory:") and, for quick reading, in memory.

    One process owns a file. Thread-safe. What is returned is a copy.
    """

    def __init__(self, path: Path | str = ":memory:") -> None:
        self._lock = threading.RLock()
        self._documents: dict[str, dict[str, Document]] = {}
        self._indexes: dict[tuple[str, str], Index] = {}
        self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=OFF")
        self._database.execute(
            "CREATE TABLE IF NOT EXISTS documents"
            " (position INTEGER PRIMARY KEY, kind TEXT NOT NULL, id TEXT NOT NULL, body TEXT NOT NULL,"
            " UNIQUE (kind, id))"
        )
        for kind, id, body in self._database.execute("SELECT kind, id, body FROM documents ORDER BY position"):
            self._remember(kind, id, json.loads(body))

    def put(self, kind: str, id: str, document: Mapping[str, Any]) -> None:
        """Adds or replaces; a replaced document keeps its place in the order."""
        body = json.dumps(document)
        with self._lock:
            self._database.execute(
                "INSERT INTO documents (kind, id, body) VALUES (?, ?, ?)"
                " ON CONFLICT (kind, id) DO UPDATE SET body = excluded.body",
                (kind, id, body),
            )
            self._remember(kind, id, json.loads(body))

    def _remember(self, kind: str, id: str, document: Document) -> None:
        self._forget(kind, id)
        self._documents.setdefault(kind, {})[id] = document
        for (indexed, name), index in self._indexes.items():
            if indexed == kind:
                index.setdefault(_key(document.get(name)), set()).add(id)

    def _forget(self, kind: str, id: str) -> None:
        document = self._documents.get(kind, {}).get(id)
        for (indexed, name), index in self._indexes.items():
            if indexed == kind and document is not None:
                index[_key(document.get(name))].discard(id)

    def get(self, kind: str, id: str) -> Document | None:
        with self._lock:
            document: Document | None = _copy(self._documents.get(kind, {}).get(id))
            return document

    def all(self, kind: str) -> list[Document]:
        """In the order in which they were first put."""
        with self._lock:
            return [_copy(document) for document in self._documents.get(kind, {}).values()]

    def find(self, kind: str, **fields: Any) -> list[Document]:
        """Those whose top-level fields have these values: `find("delivery", exam_id=exam)`. Indexed."""
        with self._lock:
            documents = self._documents.get(kind, {})
            if not fields:
                return self.all(kind)
            hits = set.intersection(
                *(self._index(kind, name).get(_key(value), set()) for name, value in fields.items())
            )
            if len(hits) > 1:
                return [_copy(document) for id, document in documents.items() if id in hits]
            return [_copy(documents[id]) for id in hits]

    def _index(self, kind: str, name: str) -> Index:
        if (kind, name) not in self._indexes:
            index = self._indexes[kind, name] = {}
            for id, document in self._documents.get(kind, {}).items():
                index.setdefault(_key(document.get(name)), set()).add(id)
        return self._indexes[kind, name]

    def count(self, kind: str) -> int:
        with self._lock:
            return len(self._documents.get(kind, {}))

    def kinds(self) -> list[str]:
        with self._lock:
            return [kind for kind, documents in self._documents.items() if documents]

    def is_empty(self) -> bool:
        return not self.kinds()

    def delete(self, kind: str, id: str) -> None:
        with self._lock:
            self._database.execute("DELETE FROM documents WHERE kind = ? AND id = ?", (kind, id))
            self._forget(kind, id)
            self._documents.get(kind, {}).pop(id, None)

    def clear(self) -> None:
        with self._lock:
            self._database.execute("DELETE FROM documents")
            self._documents.clear()
            self._indexes.clear()

    def close(self) -> None:
        with self._lock:
            self._database.close()


Index = dict[str, set[str]]  # the JSON of a field's value → ids


def _key(value: Any) -> str:
    return value if isinstance(value, str) else f"\0{json.dumps(value, sort_keys=True)}"


def _copy(value: Any) -> Any:
    """A deep copy of a JSON value; several times quicker than copy.deepcopy."""
    if isinstance(value, dict):
        return {key: _copy(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_copy(part) for part in value]
    return value


@dataclass(frozen=True)
class Parameter:
    """One value a control asks for; with `choices` it is one of them."""

    name: str
    title: str
    default: str = ""
    choices: tuple[str, ...] = ()
    is_required: bool = True


@dataclass(frozen=True)
class Control:
    """Something a person does in the vendor's own back office, e.g. regenerate credentials.

    `act` gets the cleaned values, all of them strings, and returns what the person would see.
    """

    name: str
    title: str
    description: str
    act: Callable[[Mapping[str, str]], Document]
    parameters: tuple[Parameter, ...] = ()


@dataclass(frozen=True)
class Route:
    """A method and a path such as `/api/exams/{exam_id}`; the decoded parts go to `respond` as keyword arguments."""

    method: str
    path: str
    respond: Callable[..., Reply]

    def match(self, path: str) -> dict[str, str] | None:
        found = _pattern(self.path).fullmatch(path)
        return {name: unquote(part) for name, part in found.groupdict().items()} if found else None


_patterns: dict[str, re.Pattern[str]] = {}


def _pattern(path: str) -> re.Pattern[str]:
    if path not in _patterns:
        _patterns[path] = re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(path)))
    return _patterns[path]


class Simulator:
    """One vendor, as its page describes it. Subclasses say `vendor`, `title`, `default_port`, `routes()` and `seed()`.

    Each request runs alone (the server holds `lock` around `answer`), so what it does is atomic. Validate first, then
    put: a Problem raised after a `put` does not undo it.
    """

    vendor: ClassVar[str]
    title: ClassVar[str]
    default_port: ClassVar[int]
    page_prefixes: ClassVar[tuple[str, ...]] = ()  # paths of human pages: they go to `page` and never meet a fault

    def __init__(self, store: Store, *, base_url: str, clock: Clock = utc_now) -> None:
        self.store = store
        self.base_url = base_url
        self.clock = clock
        self.lock = threading.RLock()

    def seed(self) -> None:
        """Puts the demo account and exams; called when the store is empty."""

    def routes(self) -> Sequence[Route]:
        return ()

    def answer(self, request: Request) -> Reply:
        """The reply to any request: a human page, else the API; a Problem becomes its reply."""
        try:
            page = self.page(request) if request.path.startswith(self.page_prefixes) else None
            return page if page is not None else self.handle(request)
        except Problem as problem:
            return problem.reply

    def handle(self, request: Request) -> Reply:
        allowed = []
        for route in self.routes():
            parts = route.match(request.path)
            if parts is not None and route.method == request.method:
                return route.respond(request, **parts)
            if parts is not None:
                allowed.append(route.method)
        if allowed:
            refusal = self.problem(405, f"{request.method} is not allowed here.").reply
            return Reply(status=405, json=refusal.json, headers={"Allow": ", ".join(sorted(set(allowed)))})
        raise self.problem(404, "There is nothing at this address.")

    def page(self, request: Request) -> Reply | None:
        """A page for a candidate or a proctor; None where the path is not one."""
        return None

    def problem(self, status: int, message: str) -> Problem:
        """A refusal in this vendor's own shape; override where its page shows one."""
        return Problem(status, {"message": message})

    def read_object(self, request: Request) -> Document:
        """The JSON object of the body. Raises `problem(400)`, and 415 where it is not said to be JSON."""
        if request.content_type != "application/json":
            raise self.problem(415, "The Content-Type must be application/json.")
        try:
            value = request.json()
        except Problem as problem:
            raise self.problem(400, problem.reply.json["message"]) from problem
        if not isinstance(value, dict):
            raise self.problem(400, "A JSON object is expected.")
        return value

    def state(self) -> dict[str, list[Document]]:
        """Everything that exists at the vendor, by kind, in the order in which it came to be."""
        return {kind: self.store.all(kind) for kind in self.store.kinds()}

    def controls(self) -> Sequence[Control]:
        description = "Everything is removed; the demo account and exams return."
        return (Control("clear", "Clear everything", description, self._clear),)

    def control(self, name: str, values: Mapping[str, str]) -> Document:
        """Acts as the vendor's back office would. Raises Problem: 404 for an unknown control, 400 for bad values."""
        control = next((control for control in self.controls() if control.name == name), None)
        if control is None:
            raise Problem(404, {"message": f"There is no control {name!r}."})
        return control.act(_cleaned(control.parameters, values))

    def _clear(self, values: Mapping[str, str]) -> Document:
        self.store.clear()
        self.seed()
        return {"cleared": True}


def _cleaned(parameters: Iterable[Parameter], values: Mapping[str, str]) -> dict[str, str]:
    parameters = tuple(parameters)
    unknown = sorted(set(values) - {parameter.name for parameter in parameters})
    if unknown:
        raise Problem(400, {"message": f"Unknown values: {', '.join(unknown)}."})
    return {parameter.name: _value(parameter, values) for parameter in parameters}


def _value(parameter: Parameter, values: Mapping[str, str]) -> str:
    value = str(values.get(parameter.name, parameter.default)).strip()
    if not value and parameter.is_required:
        raise Problem(400, {"message": f"{parameter.name} is required."})
    if value and parameter.choices and value not in parameter.choices:
        raise Problem(400, {"message": f"{parameter.name} must be one of {', '.join(parameter.choices)}."})
    return value


_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def is_uuid(value: Any) -> bool:
    """Whether `value` is a UUID in its usual written form, with hyphens."""
    return isinstance(value, str) and _UUID.fullmatch(value) is not None
