"""Rows turned into the frozen values that adapters get, and those into JSON that is stored.

What is stored outlives the version that stored it, so `pack` writes a version into every object, inner ones, too:
`{"v": 1, "order": {"v": 1, "person": {"v": 1, …}}}`. `unpack` takes exactly the keys of the version at hand: one that is
missing or not known is an error that names it, never a default, because a default may switch an option off.

A class begins with version 1; without `v` an object is of version 0, from before there were versions. Whoever adds,
renames or removes a field adds a step to UPGRADES, from the last version to the new one. A field with a default gets it
there, too. A step sees one object, wherever it lies: what holds it, and what it holds, have versions of their own.

Workers of two versions run together while one is replaced by the other. The newer reads what the older writes. The older
says Newer of a shape that changed, and leaves the row as it is for a worker of that version; all other shapes it reads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, is_dataclass
from functools import cache
from typing import Any, TypeVar, get_args, get_type_hints
from uuid import UUID

import msgspec

from proctoring.models import Account, Candidate, Exam
from proctoring.policy import AccountFacts, ExamFacts
from proctoring.vendors import registry
from proctoring.vendors.base import (
    AccountValues,
    DeliveryOrder,
    ExamValues,
    Message,
    Person,
    SessionOrder,
    SessionSnapshot,
)

T = TypeVar("T")
VERSION = "v"


# --- what an action keeps ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ExamPayload:
    """What creates or updates an exam."""

    exam: ExamValues


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryPayload:
    """What creates a delivery."""

    exam: ExamValues
    order: DeliveryOrder


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkPayload:
    """What asks for a new link to a delivery that the vendor knows as `ref`."""

    exam: ExamValues
    order: DeliveryOrder
    ref: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionPayload:
    """What resets, reopens or retakes a session, or sets its responses."""

    order: SessionOrder


@dataclass(frozen=True, slots=True, kw_only=True)
class MessagePayload:
    """What sends one mail."""

    message: Message


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A session whole, before and after an effect. Without an answer there is nothing after."""

    before: SessionSnapshot | None
    after: SessionSnapshot | None = None


# --- versions ---------------------------------------------------------------------------------------------------------

Step = Callable[[dict[str, Any]], dict[str, Any]]


def same(data: dict[str, Any]) -> dict[str, Any]:
    """The step to a version that has the fields of the one before."""
    return data


def _with_after(data: dict[str, Any]) -> dict[str, Any]:
    return {"after": None, **data}


# The steps from version 0 to 1, from 1 to 2 and so on. What is not listed has its first version, and had it before there
# were any. A module adds the shapes that it stores itself.
UPGRADES: dict[type, tuple[Step, ...]] = {
    Kept: (_with_after,),
}


class Unreadable(Exception):
    """What is stored is not what this version can read. `message` names the type and the key, and no value.

    `culprits` are the actions whose payloads it is, where several travel in one call.
    """

    def __init__(self, message: str, *, culprits: frozenset[UUID] = frozenset()) -> None:
        super().__init__(message)
        self.message = message
        self.culprits = culprits


class Newer(Unreadable):
    """A newer version wrote it, which can read it."""


def _steps(cls: type) -> tuple[Step, ...]:
    return UPGRADES.get(cls, (same,))


def pack(value: Any) -> Any:
    """A frozen value as JSON to store, each object with its version."""
    if isinstance(value, list | tuple):
        return [pack(part) for part in value]
    data = msgspec.to_builtins(value)
    return _versioned(data, type(value)) if is_dataclass(value) else data


def _versioned(data: dict[str, Any], cls: type) -> dict[str, Any]:
    return {VERSION: len(_steps(cls)), **data, **_inner(data, cls, _versioned)}


def plain(value: Any) -> Any:
    """A frozen value as JSON to show, without versions. It cannot be unpacked."""
    return msgspec.to_builtins(value)


def unpack(data: Any, cls: type[T]) -> T:
    """The frozen value that `pack` packed, in this version or an earlier one. Raises Unreadable, and Newer."""
    try:
        return msgspec.convert(_upgraded(data, cls), cls)
    except msgspec.ValidationError as error:
        raise Unreadable(f"{cls.__name__}: {error}.") from None


def _upgraded(data: Any, cls: type) -> dict[str, Any]:
    """The object's fields as this version has them, and those of the objects in it."""
    if not isinstance(data, Mapping):
        raise Unreadable(f"{cls.__name__} is not an object.")
    content = dict(data)
    version, steps = content.pop(VERSION, 0), _steps(cls)
    if type(version) is not int or version < 0:
        raise Unreadable(f"{cls.__name__} has no version that could be read.")
    if version > len(steps):
        raise Newer(
            f"{cls.__name__} is of version {version}, and this version of the console reads up to {len(steps)}."
        )
    for number, step in enumerate(steps[version:], start=version):
        try:
            content = step(content)
        except (LookupError, TypeError, ValueError) as error:
            sentence = f"{cls.__name__} cannot be brought from version {number} to {number + 1}"
            raise Unreadable(f"{sentence} ({type(error).__name__}).") from error
    known = _fields(cls).keys()
    _refuse(cls, "lacks", known - content.keys())
    _refuse(cls, "has what is not known here:", content.keys() - known)
    return content | _inner(content, cls, _upgraded)


def _refuse(cls: type, what: str, names: set[str]) -> None:
    if names:
        raise Unreadable(f"{cls.__name__} {what} {', '.join(f'“{name}”' for name in sorted(names))}.")


def _inner(data: dict[str, Any], cls: type, change: Callable[[Any, type], Any]) -> dict[str, Any]:
    """What an object holds of other objects, each of them changed."""
    held = [(name, data[name], inner) for name, inner in _fields(cls).items() if inner is not None]
    return {
        name: [change(item, inner) for item in part] if isinstance(part, list | tuple) else change(part, inner)
        for name, part, inner in held
        if part is not None
    }


@cache
def _fields(cls: type) -> dict[str, type | None]:
    """The fields of a frozen value, each with the class of the object, or objects, that it holds."""
    return {name: _frozen_in(hint) for name, hint in get_type_hints(cls).items()}


def _frozen_in(hint: Any) -> type | None:
    if isinstance(hint, type) and is_dataclass(hint):
        return hint
    return next(filter(None, map(_frozen_in, get_args(hint))), None)


# --- rows -------------------------------------------------------------------------------------------------------------


def of_account(account: Account) -> AccountValues:
    return AccountValues(
        base_url=account.base_url.rstrip("/"),
        credentials=account.credentials,
        settings=account.settings,
        permissions=frozenset(account.permissions),
    )


def of_exam(exam: Exam) -> ExamValues:
    return ExamValues(
        reference=exam.pk,
        ref=exam.ref,
        title=exam.title,
        starts_at=exam.starts_at,
        ends_at=exam.ends_at,
        time_zone=exam.time_zone,
        duration_minutes=exam.duration_minutes,
        settings=exam.settings,
    )


def of_candidate(candidate: Candidate, *, ref: str = "") -> Person:
    return Person(
        reference=candidate.pk if isinstance(candidate.pk, UUID) else UUID(str(candidate.pk)),
        first_name=candidate.first_name,
        last_name=candidate.last_name,
        email=candidate.email,
        phone=candidate.phone,
        external_id=candidate.external_id,
        time_zone=candidate.time_zone,
        language=candidate.language,
        special_needs=candidate.special_needs,
        extra_time_percent=candidate.extra_time_percent,
        ref=ref,
    )


def facts_of_account(account: Account) -> AccountFacts:
    return AccountFacts(
        name=account.name,
        is_archived=account.is_archived,
        is_paused=account.is_paused and not account.is_probing,
        pause_reason=account.pause_reason,
        paused_verbs={
            verb: pause["reason"] for verb, pause in account.paused_verbs.items() if not pause.get("probing")
        },
        has_credentials=any(account.credentials.values()) or not registry.facts(account.vendor).needs_credentials,
        permissions=frozenset(account.permissions),
    )


def facts_of_exam(exam: Exam) -> ExamFacts:
    return ExamFacts(ref=exam.ref, is_archived=exam.is_archived, starts_at=exam.starts_at, ends_at=exam.ends_at)
