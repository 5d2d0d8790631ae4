"""Performing: the HTTP exchanges of a claim, each written before it is sent, with no transaction open."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

from django.conf import settings
from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models.functions import Now

from proctoring import mailer, sql, values
from proctoring.ledger import statements
from proctoring.ledger.claiming import Claim, Kind
from proctoring.ledger.redacting import Redactor, credentials_of
from proctoring.models import Account, Action, Call, Reading
from proctoring.vendors import http, masking, registry
from proctoring.vendors.base import (
    Adapter,
    Checked,
    Clock,
    Created,
    ExamResult,
    HttpRequest,
    HttpResponse,
    Sending,
    SessionResult,
    Verb,
    Verdict,
)
from proctoring.vendors.errors import OutcomeUnknown, Unavailable, VendorError

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What one action came to. `value` is the adapter's own result, for the domain to apply."""

    reference: UUID
    verdict: Verdict
    message: str = ""
    value: Any = field(default=None, repr=False)
    facts: Mapping[str, Any] = field(default_factory=dict)  # kept on the action, readable
    kept: Any = field(default=None, repr=False)  # kept on the action, encrypted


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """What looking one action up showed: it happened, one of several, or it is not there (all empty).

    A `note` alone says that this look decides nothing.
    """

    reference: UUID
    found: Settled | None = None
    choices: tuple[dict[str, Any], ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class Done:
    """An action that the vendor did, what it came to, and when."""

    action: Action
    settled: Settled
    at: datetime


class Apply(Protocol):
    def __call__(self, action: Action, settled: Settled, *, now: datetime) -> None: ...


class ApplyLate(Protocol):
    def __call__(self, action: Action, settled: Settled, *, began_at: datetime) -> None: ...


class After(Protocol):
    """Called for every outcome of an effect that left us, known or not, before the action's own state is written."""

    def __call__(self, action: Action, settled: Settled | None, error: Exception | None, *, now: datetime) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One row of the verb table: how an adapter is asked, and what the domain does with the answer.

    `writing` says in SQL what `apply` does, for many at once: for a verb that is settled by the thousand. `why_not` says why
    what a look-up found cannot be this action's. `apply_late` is for what a look-up found of an action that became DONE by
    another way meanwhile; `began_at` is when the look-up was claimed.
    """

    perform: Callable[[Adapter, Sequence[Action], Sending], Sequence[Settled]]
    apply: Apply
    writing: Callable[[Sequence[Done]], list[sql.Statement]] | None = None
    look_up: Callable[[Adapter, Sequence[Action]], Sequence[Looked]] | None = None
    after: After | None = None
    why_not: Callable[[Action, Settled], str] | None = None
    apply_late: ApplyLate | None = None


Read = Callable[[Adapter, Reading, Clock], str]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Verbs:
    """The verb table: what is done to a vendor, and what is only read. A read stores what it learnt and says it."""

    effects: Mapping[Verb, Entry]
    reads: Mapping[Verb, Read]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What performing a claim left in our hands; it is kept until it is settled."""

    answer: Sequence[Settled] | Sequence[Looked] | Checked | str | None = None
    error: Exception | None = None
    call_values: Mapping[str, Any] = field(default_factory=dict, repr=False)
    was_sent: bool = False  # an effect left us
    was_answered: bool = False  # and a complete 2xx came back


class LeaseLost(Exception):
    """Our lease ended before the effect was sent: nothing was sent, and it is no longer ours to send."""


class NoPlace(LeaseLost):
    """The call that ours was claimed behind took too long or went wrong, or the worker stops: ours never began."""


class DatabaseAway(Exception):
    """Our own database did not take what must be written before sending."""

    message = "The console's own database did not answer."

    def __str__(self) -> str:
        return self.message


class Recorder:
    """The transport of one claim: writes each exchange, masked, before it leaves and keeps what came back."""

    def __init__(self, claim: Claim, secret_fields: frozenset[str], redactor: Redactor) -> None:
        self.claim = claim
        self.secret_fields = secret_fields
        self.secret_values = credentials_of(claim)
        self.redactor = redactor
        self.limits = http.Limits(
            deadline_seconds=settings.CALL_DEADLINE_SECONDS,
            max_bytes=settings.CALL_MAX_BYTES,
            allow_private=settings.ALLOW_LOCAL_VENDORS,
        )
        self.lead_values: dict[str, Any] = {}
        self.lead_is_used = False
        self.exchanges = 0
        self.was_sent = self.was_answered = False

    def __call__(self, request: HttpRequest, *, is_effect: bool) -> HttpResponse:
        self.exchanges += 1
        if self.exchanges > 1:
            _wait_for_a_turn(self.claim.account)
        if request.url.startswith("mailto:") and is_effect:
            return self._mail(request)
        is_lead = not self.lead_is_used and is_effect == self.claim.call.is_effect
        call = self._write_lead(request) if is_lead else self._write_part(request, is_effect)
        self.was_sent = self.was_sent or is_effect
        try:
            response = self._exchange(request, is_effect)
        except VendorError as error:
            self.redactor.exchanges.append((request, None))
            self._keep(call, {"outcome": _outcome_of(error), "error": self.redactor.text(error.message)})
            raise
        self.redactor.exchanges.append((request, response))
        self._keep(call, self._answer(response))
        self.was_answered = self.was_answered or (is_effect and 200 <= response.status < 300)
        return response

    def _exchange(self, request: HttpRequest, is_effect: bool) -> HttpResponse:
        if request.url.startswith("mailto:"):
            return mailer.check(deadline_seconds=self.limits.deadline_seconds)
        return http.exchange(request, is_effect=is_effect, limits=self.limits)

    def _mail(self, request: HttpRequest) -> HttpResponse:
        """A mail leaves us with its last line: what goes wrong before, our own death included, sent nothing."""
        try:
            seconds = self.limits.deadline_seconds
            response = mailer.exchange(request, deadline_seconds=seconds, before_the_end=lambda: self._leaves(request))
        except VendorError as error:
            self.lead_values = {"outcome": _outcome_of(error), "error": self.redactor.text(error.message)}
            raise
        self.lead_values = self._answer(response)
        self.was_answered = True
        return response

    def _leaves(self, request: HttpRequest) -> None:
        self._write_lead(request)
        self.was_sent = True

    def _write_lead(self, request: HttpRequest) -> Call:
        call = self.claim.call
        if not statements.begin_sending(call.pk, self.claim.now(), self._request(request)):
            raise LeaseLost
        self.lead_is_used = True
        return call

    def _write_part(self, request: HttpRequest, is_effect: bool) -> Call:
        lead, now = self.claim.call, datetime.now(UTC)
        seconds = settings.CALL_DEADLINE_SECONDS + settings.LEASE_MARGIN_SECONDS
        until = max(lead.lease_until, now + timedelta(seconds=seconds))
        ours = Call.objects.filter(pk=lead.pk, ended_at=None)
        if is_effect:  # past its lease another may have taken this up, and must not be followed by what we began before
            ours = ours.filter(lease_until__gt=Now())
        if not ours.update(lease_until=until):
            raise LeaseLost
        part = Call(
            account_id=lead.account_id,
            lead=lead,
            verb=lead.verb,
            group=lead.group,
            is_effect=is_effect,
            worker=lead.worker,
            claimed_at=now,
            lease_until=until,
            sent_at=now,
            **{name: getattr(value, "value", value) for name, value in self._request(request).items()},
        )
        part.save(force_insert=True)
        return part

    def _request(self, request: HttpRequest) -> dict[str, Any]:
        kind = request.headers.get("Content-Type", "")
        return {
            "method": request.method,
            "url": _shown_url(request.url, self.secret_fields, self.secret_values),
            "request_headers": masking.mask_headers(request.headers),
            "request_body": self._body(request.body, kind),
        }

    def _answer(self, response: HttpResponse) -> dict[str, Any]:
        return {
            "outcome": Call.Outcome.ANSWERED,
            "status": response.status,
            "response_headers": masking.mask_headers(response.headers),
            "response_body": self._body(response.body, response.headers.get("content-type", "")),
        }

    def _body(self, body: bytes, kind: str) -> str:
        # PostgreSQL refuses NUL in text, and a vendor may send anything.
        return masking.mask_body(body, kind, self.secret_fields, values=self.secret_values).replace("\0", "␀")

    def _keep(self, call: Call, values: dict[str, Any]) -> None:
        """The lead's reply waits for the settling transaction; a part's is written at once."""
        if call.pk == self.claim.call.pk:
            self.lead_values = values
        else:
            Call.objects.filter(pk=call.pk).update(ended_at=Now(), **values)


def _shown_url(url: str, fields: frozenset[str], secrets: tuple[str, ...]) -> str:
    if url.startswith("mailto:"):  # an address is a person's: the invitation has it, encrypted
        return f"mailto:{masking.MASK}@{url.rpartition('@')[2]}"
    return masking.mask_url(url, fields, values=secrets)


def _outcome_of(error: VendorError) -> Call.Outcome:
    return Call.Outcome.NO_ANSWER if isinstance(error, OutcomeUnknown) else Call.Outcome.UNAVAILABLE


def _wait_for_a_turn(account: Account) -> None:
    """Every exchange after a claim's first takes its own turn under the account's calls a minute."""
    if not account.calls_per_minute:
        return
    with transaction.atomic():
        row = Account.objects.select_for_update(no_key=True).annotate(db_now=Now()).get(pk=account.pk)
        now: datetime = row.db_now
        turn = max(now, row.next_call_at or now)
        Account.objects.filter(pk=account.pk).update(
            next_call_at=turn + timedelta(seconds=60 / account.calls_per_minute)
        )
    time.sleep((turn - now).total_seconds())


def perform(claim: Claim, verbs: Verbs) -> Outcome:
    """Asks the vendor. Never raises for what a vendor or an adapter does; what is not a VendorError is a fault of ours."""
    fields = registry.adapter_class(claim.account.vendor).SECRET_FIELDS
    redactor = Redactor(claim, fields)
    recorder = Recorder(claim, fields, redactor)
    adapter = registry.adapter(
        claim.account.vendor, values.of_account(claim.account), recorder, clock=lambda: datetime.now(UTC)
    )
    answer: Any = None
    error: Exception | None = None
    try:
        answer = _ask(adapter, claim, verbs)
    except VendorError as caught:
        error = caught
    except LeaseLost as caught:
        error = caught
    except values.Unreadable as caught:
        log.error("%s for account %s cannot be read: %s", claim.verb, claim.account.pk, caught)
        error = caught
    except (OperationalError, InterfaceError) as caught:
        log.warning(
            "The database was away while performing %s for account %s: %s", claim.verb, claim.account.pk, caught
        )
        connection.close()
        error = DatabaseAway()
    except Exception as caught:
        trace = redactor.text(traceback.format_exc())
        log.error("A fault of ours while performing %s for account %s\n%s", claim.verb, claim.account.pk, trace)
        error = caught
    return Outcome(
        answer=_redacted(answer, redactor),
        error=redactor.error(error),
        call_values=recorder.lead_values,
        was_sent=recorder.was_sent,
        was_answered=recorder.was_answered,
    )


def _redacted(answer: Any, redactor: Redactor) -> Any:
    """The answer with its texts masked. Its values are not: a take link that was created stays usable."""
    if isinstance(answer, str):
        return redactor.text(answer)
    if isinstance(answer, Checked):
        return replace(answer, message=redactor.text(answer.message))
    if not isinstance(answer, Sequence):
        return answer
    redactor.learn_links(*_links_in(answer))
    return [_redacted_item(item, redactor) for item in answer]


def _links_in(answer: Sequence[Any]) -> list[Created]:
    settled = [item.found if isinstance(item, Looked) else item for item in answer]
    return [item.value for item in settled if isinstance(item, Settled) and isinstance(item.value, Created)]


def _redacted_item(item: Any, redactor: Redactor) -> Any:
    if isinstance(item, Settled):
        return replace(
            item,
            message=redactor.text(item.message),
            value=_redacted_value(item.value, redactor),
            facts=redactor.json(item.facts),
            kept=redactor.kept(item.kept),
        )
    if isinstance(item, Looked):
        choices = tuple({**choice, "note": redactor.text(choice.get("note", ""))} for choice in item.choices)
        return replace(item, found=_redacted_item(item.found, redactor), note=redactor.text(item.note), choices=choices)
    return item


def _redacted_value(value: Any, redactor: Redactor) -> Any:
    if isinstance(value, Created):
        return replace(value, note=redactor.text(value.note))
    if isinstance(value, ExamResult):
        return replace(value, note=redactor.text(value.note), confirmed=redactor.json(value.confirmed))
    if isinstance(value, SessionResult):
        return replace(value, message=redactor.text(value.message))
    return value


def _ask(adapter: Adapter, claim: Claim, verbs: Verbs) -> Any:
    if claim.kind is Kind.CHECK:
        return adapter.check(_exam_refs(claim.account))
    if claim.reading is not None:
        return verbs.reads[claim.verb](adapter, claim.reading, claim.now)
    entry = verbs.effects[claim.verb]
    if claim.kind is Kind.EFFECT:
        return entry.perform(adapter, claim.actions, Sending(group=claim.actions[0].group, is_repeat=claim.is_repeat))
    if entry.look_up is None:
        raise Unavailable("This cannot be looked up at the vendor.")
    return entry.look_up(adapter, claim.actions)


def _exam_refs(account: Account) -> list[str]:
    return list(account.exams.exclude(ref="").order_by("-created_at").values_list("ref", flat=True)[:3])
