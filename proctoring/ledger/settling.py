"""Settling: what came of a claim, in one transaction with its journal row. Only who holds the call may settle it."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from proctoring import journal, policy, sql, values
from proctoring.ledger import health, statements
from proctoring.ledger.claiming import Claim, Kind
from proctoring.ledger.performing import DatabaseAway, Entry, LeaseLost, Looked, NoPlace, Outcome, Settled, Verbs
from proctoring.ledger.waking import wake
from proctoring.models import Account, Action, ActionState, Attention, Call, JournalEntry, Reading
from proctoring.vendors import registry
from proctoring.vendors.base import Checked, Repeat, Verb, Verdict
from proctoring.vendors.errors import (
    Changed,
    Misconfigured,
    OutcomeUnknown,
    Rejected,
    Unavailable,
    Unsupported,
    VendorError,
)

log = logging.getLogger(__name__)

RETRY_SECONDS = 0.5
READ_TRIES = 3
NEWER_WAITS = timedelta(seconds=15)  # an older worker looks again; one of the new version may come meanwhile
NO_CALL = UUID(int=0)
MAX_FIELDS, MAX_NAME, MAX_WORDS = 100, 200, 500  # of what a refusal names


def settle(claim: Claim, outcome: Outcome, verbs: Verbs) -> bool:
    """Writes what happened; tries again while the lease lasts, because the reply is only in our memory.

    True where it was written, False where the call was no longer ours to settle.
    """
    is_fault = False
    while True:
        try:
            with sql.transact():
                return _settle(claim, outcome, verbs)
        except (OperationalError, InterfaceError) as error:
            if not claim.has_lease:
                log.error("Call %s could not be settled within its lease: %s", claim.call.pk, error)
                return False
            log.warning("The database did not take the outcome of call %s; trying again. %s", claim.call.pk, error)
            connection.close()
            time.sleep(RETRY_SECONDS)
        except Exception as fault:
            log.exception("The outcome of call %s could not be applied", claim.call.pk)
            outcome = replace(outcome, answer=None, error=fault)
            if is_fault:
                return False
            is_fault = True


def _settle(claim: Claim, outcome: Outcome, verbs: Verbs) -> bool:
    now = claim.now()
    if not _close_call(claim, outcome, now):
        return False
    if claim.kind is Kind.CHECK:
        _settle_check(claim, outcome, now)
    elif claim.kind is Kind.READ:
        _settle_reading(claim, outcome, now)
    elif claim.kind is Kind.LOOK_UP:
        _settle_look_up(claim, outcome, verbs, now)
    else:
        _settle_effect(claim, outcome, verbs, now)
    return True


def _close_call(claim: Claim, outcome: Outcome, now: datetime) -> bool:
    """Ends the call if it is still ours; a call that the sweep gave up may still be answered late."""
    return statements.end_call(statements.Ending(claim.call.pk, now, facts_of(outcome)))


def facts_of(outcome: Outcome) -> dict[str, Any]:
    facts = dict(outcome.call_values) or {"outcome": Call.Outcome.NOT_SENT}
    if outcome.error is not None and "error" not in facts:
        facts["error"] = str(outcome.error)[:2000]
    return facts


def _settle_check(claim: Claim, outcome: Outcome, now: datetime) -> None:
    if isinstance(outcome.error, DatabaseAway | LeaseLost):
        _give_back_read(claim.call, now)
        return
    answer = outcome.answer
    message = answer.message if isinstance(answer, Checked) else str(outcome.error)
    Account.objects.filter(pk=claim.account.pk).update(checked_at=now, check_message=message)
    journal.record(
        "account.checked", claim.account, team=claim.account.team_id, at=now, conclusive=_is_conclusive(answer)
    )
    health.learn(claim, outcome.error, now=now, proves_health=_is_conclusive(answer))


def _is_conclusive(answer: Any) -> bool:
    return isinstance(answer, Checked) and answer.is_conclusive


def _settle_reading(claim: Claim, outcome: Outcome, now: datetime) -> None:
    """Puts a poll to its next turn, ends a single reading; one that failed is tried again, not for ever."""
    reading, error = claim.reading, outcome.error
    turn: dict[str, Any] = {"due_at": None, "error": _sentence(error) if error else ""}
    if error is None:
        turn |= {"read_at": now, "message": str(outcome.answer or ""), "tries": 0}
    if reading is not None:
        if reading.every_seconds:
            turn["due_at"] = now + timedelta(seconds=reading.every_seconds)
        elif reading.tries < READ_TRIES and isinstance(error, Unavailable | DatabaseAway | LeaseLost):
            after = error.retry_after if isinstance(error, Unavailable) else None
            turn["due_at"] = policy.retry_at(reading.tries, now=now, retry_after=after)
        due_at, row = turn.pop("due_at"), Reading.objects.filter(pk=reading.pk)
        row.update(**turn)
        row.filter(due_at=claim.call.lease_until).update(due_at=due_at)  # asked for again meanwhile, it stays due
    health.learn(claim, error, now=now, proves_health=error is None)


# --- effects ----------------------------------------------------------------------------------------------------------


def _settle_effect(claim: Claim, outcome: Outcome, verbs: Verbs, now: datetime) -> None:
    settled = {item.reference: item for item in settled_of(outcome.answer)}
    after = verbs.effects[claim.verb].after
    for action in claim.actions:
        if after is not None and outcome.was_sent:
            after(action, settled.get(action.pk), outcome.error, now=now)
        _keep(action, settled.get(action.pk), outcome.error)
        if outcome.error is None:
            _write(action, settled.get(action.pk), claim, verbs, now)
        else:
            _write_failure(action, claim, outcome, now)
    health.learn(claim, outcome.error, now=now, proves_health=outcome.error is None)


def _keep(action: Action, settled: Settled | None, error: Exception | None) -> None:
    """What was there before (and after) an effect outlives it, whatever became of it."""
    before = getattr(error, "before", None)
    kept = settled.kept if settled else values.pack(values.Kept(before=before)) if before is not None else None
    if kept is not None:
        _held(action).update(kept=kept)


def _held(action: Action) -> QuerySet[Action]:
    """The action as long as it is its call's, and nobody has decided about it meanwhile."""
    states = [ActionState.SENDING, ActionState.UNKNOWN]
    return Action.objects.filter(pk=action.pk, call=action.call_id or NO_CALL, state__in=states)


def settled_of(answer: object) -> Sequence[Settled]:
    """What an adapter's answer says of each action; nothing where it is no such answer."""
    return [item for item in answer if isinstance(item, Settled)] if isinstance(answer, Sequence) else []


def _write(action: Action, settled: Settled | None, claim: Claim, verbs: Verbs, now: datetime) -> None:
    if settled is None or settled.verdict is Verdict.CANNOT_TELL:
        message = settled.message if settled else "The vendor's reply does not mention it."
        _become_unknown(action, message, now)
    elif settled.verdict is Verdict.DID_NOT:
        _need_attention(action, Attention.REFUSED, settled.message, now)
    elif _finish(action, settled, claim, now):
        verbs.effects[claim.verb].apply(action, settled, now=now)


def _write_failure(action: Action, claim: Claim, outcome: Outcome, now: datetime) -> None:
    """What an exception leaves behind is read from its calls: an effect that left us without a clean refusal is unknown."""
    error = outcome.error
    if isinstance(error, LeaseLost) and not outcome.was_sent:
        tries = action.tries - isinstance(error, NoPlace)
        _move(action, ActionState.QUEUED, now, "action.waits", due_at=now, tries=tries)
    elif isinstance(error, DatabaseAway) and not outcome.was_sent:
        _wait(action, Unavailable(error.message), now)
    elif isinstance(error, values.Unreadable) and not outcome.was_sent:
        _write_unreadable(action, error, now)
    elif isinstance(error, OutcomeUnknown) or (outcome.was_sent and not _is_refusal(error, outcome)):
        _unknown_or_again(action, claim, _sentence(error), now)
    elif isinstance(error, Unavailable):
        _wait(action, error, now)
    elif isinstance(error, Misconfigured):
        _wait_for_the_account(action, claim, error, now)
    elif action.may_have_acted and isinstance(error, Rejected) and not isinstance(error, Changed):
        _become_unknown(
            action, f"Sent again, it was refused: {error.message} That says nothing about the first time.", now
        )
    elif isinstance(error, Rejected) and error.culprits and action.pk not in error.culprits:
        _need_attention(action, Attention.REFUSED, f"{_NOT_TO_BLAME} {error.message}", now)
    else:
        _need_attention(action, *_attention(error), now, fields=error.fields if isinstance(error, Rejected) else None)


def _write_unreadable(action: Action, error: values.Unreadable, now: datetime) -> None:
    """Nothing was sent. What a newer version wrote waits for a worker of that version; all else needs a person."""
    if isinstance(error, values.Newer):
        waits = {"due_at": now + NEWER_WAITS, "tries": max(action.tries - 1, 0), "message": f"{_NEWER} {error.message}"}
        _move(action, ActionState.QUEUED, now, "action.waits", **waits)
    elif action.may_have_acted:
        _become_unknown(action, f"It was sent before and got no answer. {_UNREADABLE} {error.message}", now)
    elif action.pk not in error.culprits:
        sentence = "Nothing was sent because of somebody else in the same call: try again without them."
        _need_attention(action, Attention.BROKEN, f"{sentence} {error.message}", now)
    else:
        sentence = f"Nothing was sent. {_UNREADABLE} Cancel it and ask for it again. {error.message}"
        _need_attention(action, Attention.BROKEN, sentence, now)


_UNREADABLE = "This version of the console cannot read what was asked for."
_NEWER = "A newer version of the console asked for this: it waits for a worker of that version."
_NOT_TO_BLAME = "The whole call was refused because of somebody else in it: try again without them."
_FAULT = "Something went wrong in this console while it was sent. The log has the details."


def _is_refusal(error: Exception | None, outcome: Outcome) -> bool:
    """Whether the vendor itself said that it did not act. After a clean 2xx nothing later can say so."""
    return isinstance(error, Unavailable | Rejected | Misconfigured) and not outcome.was_answered


def _attention(error: Exception | None) -> tuple[Attention, str]:
    if isinstance(error, Changed):
        return Attention.CHANGED, error.message
    if isinstance(error, Unsupported):
        return Attention.UNSUPPORTED, error.message
    if isinstance(error, Rejected):
        return Attention.REFUSED, error.message
    return Attention.BROKEN, _FAULT


def _unknown_or_again(action: Action, claim: Claim, message: str, now: datetime) -> None:
    capability = registry.capability(claim.account.vendor, claim.verb)
    again = policy.retry_at(action.tries, now=now, retry_after=None)
    if capability and capability.repeat is not Repeat.NEVER and again is not None:
        _move(action, ActionState.QUEUED, now, "action.waits", due_at=again, message=message, may_have_acted=True)
    else:
        _become_unknown(action, message, now)


def _become_unknown(action: Action, message: str, now: datetime) -> None:
    _move(action, ActionState.UNKNOWN, now, "action.unknown", message=message, may_have_acted=True)


def _need_attention(
    action: Action, attention: Attention, message: str, now: datetime, *, fields: Mapping[str, str] | None = None
) -> None:
    """`fields` are those that a refusal names, with its words; they stay until the next outcome."""
    named = {name[:MAX_NAME]: words[:MAX_WORDS] for name, words in [*(fields or {}).items()][:MAX_FIELDS]}
    values: dict[str, Any] = {"attention": attention, "message": message, "result": {"fields": named} if named else {}}
    _move(action, ActionState.NEEDS_ATTENTION, now, "action.needs_attention", **values)


def _wait(action: Action, error: Unavailable, now: datetime) -> None:
    again = policy.retry_at(action.tries, now=now, retry_after=error.retry_after)
    if again is None:
        _need_attention(action, Attention.EXHAUSTED, error.message, now)
    else:
        _move(action, ActionState.QUEUED, now, "action.waits", due_at=again, message=error.message)


def _wait_for_the_account(action: Action, claim: Claim, error: Misconfigured, now: datetime) -> None:
    """The action is not at fault: it waits, and its try does not count. A mere suspicion needs a person."""
    if error.suspected and not health.is_second_suspect(claim, error):
        _need_attention(action, Attention.REFUSED, error.message, now)
    else:
        tries = max(action.tries - 1, 0)
        _move(action, ActionState.QUEUED, now, "action.waits", due_at=now, message=error.message, tries=tries)


def _finish(action: Action, settled: Settled, claim: Claim, now: datetime) -> bool:
    """DONE, by the holder of the call: the road that nearly every action takes."""
    if not statements.finish_action(finish_of(action, settled, claim, now)):
        log.warning("Action %s had moved on before its call was settled as done", action.pk)
        return False
    action.state = ActionState.DONE
    journal.record_all([done_entry(action, claim, now)])
    return True


def finish_of(action: Action, settled: Settled, claim: Claim, now: datetime) -> statements.Finish:
    return statements.Finish(action.pk, claim.call.pk, now, settled.message, settled.facts)


def done_entry(action: Action, claim: Claim, now: datetime) -> JournalEntry:
    return journal.action_entry("action.done", action, at=now, call=str(claim.call.pk))


def _move(action: Action, to: ActionState, now: datetime, event: str, **values: Any) -> bool:
    """A guarded update by the holder of the call, with its journal row. False where a person was faster."""
    if not _held(action).update(state=to, changed_at=now, **values):
        log.warning("Action %s had moved on before its call was settled as %s", action.pk, to)
        return False
    action.state = to
    journal.record_action(event, action, at=now, call=str(action.call_id))
    return True


# --- look-ups ---------------------------------------------------------------------------------------------------------


def _settle_look_up(claim: Claim, outcome: Outcome, verbs: Verbs, now: datetime) -> None:
    if isinstance(outcome.error, DatabaseAway | LeaseLost):
        _give_back_read(claim.call, now)
        return
    answer = outcome.answer if isinstance(outcome.answer, Sequence) else ()
    looked = {item.reference: item for item in answer if isinstance(item, Looked)}
    for action in claim.actions:
        if _is_superseded(action, claim):
            log.info("Look-up %s came back after a later one had begun, which decides", claim.call.pk)
        elif isinstance(outcome.error, values.Newer):
            _note_look(action, now, f"{_NEWER} {outcome.error.message}", look_due_at=now + NEWER_WAITS)
        elif outcome.error is not None:
            _note_look(action, now, f"It could not be looked up: {_sentence(outcome.error)}")
        else:
            _write_look(action, looked.get(action.pk), claim, verbs, now)
    health.learn(claim, outcome.error, now=now, proves_health=outcome.error is None)


def _is_superseded(action: Action, claim: Claim) -> bool:
    """Of two look-ups the one that began later decides: it may have made links that end the other's. Locks the action."""
    Action.objects.select_for_update(no_key=True).filter(pk=action.pk).first()
    later = Call.objects.filter(group=claim.call.group, verb=claim.call.verb, lead=None)
    return later.filter(claimed_at__gt=claim.call.claimed_at).exists()


def _sentence(error: Exception | None) -> str:
    if isinstance(error, values.Unreadable):
        return f"{_UNREADABLE} {error.message}"
    return error.message if isinstance(error, VendorError | DatabaseAway) else _FAULT


def _write_look(action: Action, looked: Looked | None, claim: Claim, verbs: Verbs, now: datetime) -> None:
    if looked is not None and looked.found is not None:
        _write_found(action, looked.found, claim, verbs.effects[claim.verb], now)
    elif looked is not None and looked.choices:
        _note_look(action, now, "Several deliveries at the vendor could be it. Pick one.", choices=list(looked.choices))
    elif looked is not None and looked.note:
        _note_look(action, now, looked.note)
    else:
        _write_absent(action, now)


def _write_found(action: Action, found: Settled, claim: Claim, entry: Entry, now: datetime) -> None:
    if entry.why_not is not None and (sentence := entry.why_not(action, found)):
        _note_look(action, now, sentence)
        return
    done = {"message": found.message, "choices": None, "look_due_at": None, "result": dict(found.facts)}
    if _move_unknown(action, ActionState.DONE, now, "action.done", **done):
        entry.apply(action, found, now=now)
    elif entry.apply_late is not None and Action.objects.filter(pk=action.pk, state=ActionState.DONE).exists():
        entry.apply_late(action, found, began_at=claim.call.claimed_at)


def _write_absent(action: Action, now: datetime) -> None:
    """Absent counts only where the vendor has had time to act, and twice; until then another look is due."""
    if action.sent_at is None or not policy.counts_as_absent(sent_at=action.sent_at, looked_at=now):
        due = (action.sent_at or now) + policy.LOOK_AGAIN_AFTER
        _note_look(action, now, "Not found at the vendor yet. It is looked up again by itself.", look_due_at=due)
        return
    looks = action.looks_absent + 1
    if looks >= policy.LOOKS_THAT_PROVE_ABSENCE:
        message = "Looked up twice and not found at the vendor: sent again."
        fields = {"look_due_at": None, "looked_at": now, "looks_absent": 0, "due_at": now, "may_have_acted": False}
        if _move_unknown(action, ActionState.QUEUED, now, "action.retried", message=message, **fields):
            wake(action.account_id)
    else:
        due = now + policy.LOOK_AGAIN_AFTER
        sentence = "Not found at the vendor. One more look decides, by itself."
        _note_look(action, now, sentence, looks_absent=looks, look_due_at=due)


def _unknown_as_looked_up(action: Action) -> QuerySet[Action]:
    """The action while it is unknown by the call that was looked up: of a later one that look says nothing."""
    same_call = Q(call=action.call_id) if action.call_id else Q(call=None)
    return Action.objects.filter(same_call, pk=action.pk, state=ActionState.UNKNOWN)


def _note_look(action: Action, now: datetime, message: str, **values: Any) -> None:
    if _unknown_as_looked_up(action).update(looked_at=now, changed_at=now, message=message, **values):
        journal.record_action("action.looked", action, at=now)


def _move_unknown(action: Action, to: ActionState, now: datetime, event: str, **values: Any) -> bool:
    if not _unknown_as_looked_up(action).update(state=to, changed_at=now, **values):
        return False
    action.state = to
    journal.record_action(event, action, at=now, by_look_up=True)
    return True


# --- dead workers -----------------------------------------------------------------------------------------------------


def bury(call: Call) -> None:
    """Ends a call whose worker is gone: sent without an answer is unknown; never sent goes back to the queue."""
    with transaction.atomic():
        lost = Call.objects.filter(pk=call.pk, ended_at=None, lease_until__lt=Now())
        if not lost.update(ended_at=Now(), outcome=Call.Outcome.LOST):
            return
        Call.objects.filter(lead=call, ended_at=None).update(ended_at=Now(), outcome=Call.Outcome.LOST)
        call.refresh_from_db()
        now = call.ended_at
        assert now is not None  # noqa: S101 - written two lines above
        if not call.is_effect:
            _give_back_read(call, now)
        for action in Action.objects.filter(call=call, state=ActionState.SENDING).order_by("id"):
            _bury_action(action, call, now)


def _bury_action(action: Action, call: Call, now: datetime) -> None:
    if call.sent_at is None:
        _move(action, ActionState.QUEUED, now, "action.waits", due_at=now, tries=max(action.tries - 1, 0))
        return
    capability = registry.capability(call.account.vendor, Verb(call.verb))
    if capability and capability.repeat is not Repeat.NEVER:
        _move(action, ActionState.QUEUED, now, "action.waits", due_at=now, may_have_acted=True)
    else:
        _become_unknown(action, "The worker that sent it was lost before the vendor's answer was stored.", now)


def _give_back_read(call: Call, now: datetime) -> None:
    if call.verb == Verb.CHECK and call.group is None:
        Account.objects.filter(pk=call.account_id).update(check_due_at=now)
    elif call.group is not None:
        Action.objects.filter(group=call.group, state=ActionState.UNKNOWN, look_due_at=None).update(look_due_at=now)
