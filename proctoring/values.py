"""Rows turned into the frozen values that adapters get, and those into JSON that an action keeps."""

from __future__ import annotations

from typing import Any, TypeVar
from uuid import UUID

import msgspec

from proctoring.models import Account, Candidate, Exam
from proctoring.policy import AccountFacts, ExamFacts
from proctoring.vendors import registry
from proctoring.vendors.base import AccountValues, ExamValues, Person

T = TypeVar("T")


def pack(value: Any) -> Any:
    """A frozen value as JSON."""
    return msgspec.to_builtins(value)


def unpack(data: Any, cls: type[T]) -> T:
    """The frozen value that `pack` packed. Raises msgspec.ValidationError where it does not fit."""
    return msgspec.convert(data, cls)


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
