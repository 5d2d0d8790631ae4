"""The verb table: how an adapter is asked for each verb, and what the domain does with the answer. Only tasks import it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TypeVar

from proctoring import deliveries, exams, invitations, sessions, sql, values
from proctoring.ledger import Done, Entry, Looked, Settled, Verbs
from proctoring.models import Action
from proctoring.values import DeliveryPayload, ExamPayload, Kept, LinkPayload, MessagePayload, SessionPayload
from proctoring.vendors.base import (
    Adapter,
    Ambiguous,
    Created,
    DeliveryResult,
    ExamResult,
    Found,
    LookUp,
    Refused,
    Sending,
    SessionOrder,
    SessionResult,
    Verb,
    Verdict,
)

P = TypeVar("P")


def _payloads(actions: Sequence[Action], cls: type[P]) -> list[P]:
    """What was asked for. Raises values.Unreadable, naming the actions that it is about."""
    found, faults = [], {}
    for action in actions:
        try:
            found.append(values.unpack(action.payload, cls))
        except values.Unreadable as error:
            faults[action.pk] = error
    if faults:
        first = next(iter(faults.values()))
        raise type(first)(first.message, culprits=frozenset(faults))
    return found


def _create_deliveries(adapter: Adapter, actions: Sequence[Action], sending: Sending) -> Sequence[Settled]:
    asked = _payloads(actions, DeliveryPayload)
    results = adapter.create_deliveries(asked[0].exam, [item.order for item in asked], sending)
    return [_settled(result) for result in results]


def _settled(result: DeliveryResult) -> Settled:
    if isinstance(result, Created):
        return Settled(reference=result.reference, verdict=Verdict.HAPPENED, message=result.note, value=result)
    verdict = Verdict.DID_NOT if isinstance(result, Refused) else Verdict.CANNOT_TELL
    return Settled(reference=result.reference, verdict=verdict, message=result.message)


def _find_deliveries(adapter: Adapter, actions: Sequence[Action]) -> Sequence[Looked]:
    sent_at = min(action.sent_at or action.created_at for action in actions)
    taken = frozenset(ref for action in actions for ref in deliveries.refs_of_others(action))
    doubts = {action.pk: deliveries.doubt_about_links(action) for action in actions}
    asked = _payloads(actions, DeliveryPayload)
    found = adapter.find_deliveries(asked[0].exam, [item.order for item in asked], sent_at, taken)
    return [_looked(item, doubts.get(item.reference, "")) for item in found]


def _looked(item: LookUp, doubt: str) -> Looked:
    if isinstance(item, Found):
        return Looked(reference=item.reference, found=_settled(_doubted(item.created, doubt)))
    if isinstance(item, Ambiguous):
        return Looked(reference=item.reference, choices=tuple(values.pack(choice) for choice in item.choices))
    return Looked(reference=item.reference)


def _doubted(created: Created, doubt: str) -> Created:
    return replace(created, note=f"{created.note} {doubt}".strip()) if doubt and created.take_url else created


def _why_not_created(action: Action, settled: Settled) -> str:
    return deliveries.why_not_its(action, settled.value.ref)


def _apply_late_links(action: Action, settled: Settled, *, began_at: datetime) -> None:
    deliveries.apply_late_links(action, settled.value, began_at=began_at)


def _apply_created(action: Action, settled: Settled, *, now: datetime) -> None:
    deliveries.apply_created(action, settled.value, now=now)


def _writing_created(done: Sequence[Done]) -> list[sql.Statement]:
    return deliveries.writing_created([(item.action, item.settled.value, item.at) for item in done])


def _reissue_link(adapter: Adapter, actions: Sequence[Action], sending: Sending) -> Sequence[Settled]:
    (asked,) = _payloads(actions, LinkPayload)
    doubt = deliveries.doubt_about_links(actions[0])
    created = _doubted(adapter.reissue_link(asked.exam, asked.order, asked.ref), doubt)
    return [Settled(reference=actions[0].pk, verdict=Verdict.HAPPENED, message=created.note, value=created)]


def _apply_reissued(action: Action, settled: Settled, *, now: datetime) -> None:
    deliveries.apply_reissued(action, settled.value, now=now)


# --- exams ------------------------------------------------------------------------------------------------------------


def _create_exam(adapter: Adapter, actions: Sequence[Action], sending: Sending) -> Sequence[Settled]:
    (asked,) = _payloads(actions, ExamPayload)
    return [_settled_exam(actions[0], adapter.create_exam(asked.exam, sending))]


def _update_exam(adapter: Adapter, actions: Sequence[Action], sending: Sending) -> Sequence[Settled]:
    (asked,) = _payloads(actions, ExamPayload)
    doubt = exams.doubt_about_update(actions[0])
    result = adapter.update_exam(asked.exam, sending)
    return [_settled_exam(actions[0], replace(result, note=f"{result.note} {doubt}".strip()))]


def _settled_exam(action: Action, result: ExamResult) -> Settled:
    return Settled(
        reference=action.pk,
        verdict=Verdict.HAPPENED,
        message=result.note,
        value=result,
        facts={"ref": result.ref, "checks": values.pack(result.checks)},
    )


def _find_exam(adapter: Adapter, actions: Sequence[Action]) -> Sequence[Looked]:
    (asked,) = _payloads(actions, ExamPayload)
    found = adapter.find_exam(asked.exam)
    if found is None:
        return [Looked(reference=actions[0].pk)]
    if not found.ref:
        return [Looked(reference=actions[0].pk, note=found.note or "Exams there could be this one; none says so.")]
    return [Looked(reference=actions[0].pk, found=_settled_exam(actions[0], found))]


def _why_not_created_exam(action: Action, settled: Settled) -> str:
    return exams.why_not_its(action, settled.value.ref)


def _apply_exam(action: Action, settled: Settled, *, now: datetime) -> None:
    exams.apply_sent(action, settled.value, now=now)


# --- sessions ---------------------------------------------------------------------------------------------------------


def _session_verb(verb: Verb) -> Entry:
    def perform(adapter: Adapter, actions: Sequence[Action], sending: Sending) -> Sequence[Settled]:
        method: Callable[[SessionOrder, Sending], SessionResult] = getattr(adapter, verb.value)
        return [_settled_session(method(_session_order(actions), sending))]

    def look_up(adapter: Adapter, actions: Sequence[Action]) -> Sequence[Looked]:
        result = adapter.look_at(_session_order(actions), verb)
        if result.verdict is Verdict.HAPPENED:
            return [Looked(reference=result.reference, found=_settled_session(result))]
        # "It did not" proves nothing, whatever was read: sent again, it would meet what the candidate did meanwhile.
        note = result.message or "Reading the session does not tell what happened. A person has to decide."
        return [Looked(reference=result.reference, note=note)]

    return Entry(perform=perform, apply=_apply_session, look_up=look_up, after=sessions.after_effect)


def _session_order(actions: Sequence[Action]) -> SessionOrder:
    """What was asked for. Once it may have been sent, it is compared with what was read just before, not with the preview."""
    (asked,) = _payloads(actions, SessionPayload)
    kept = actions[0].kept
    before = values.unpack(kept, Kept).before if kept is not None else None
    return asked.order if before is None else replace(asked.order, expected=before)


def _settled_session(result: SessionResult) -> Settled:
    return Settled(
        reference=result.reference,
        # What a session shows never proves that an effect will not come: only an error says "refused".
        verdict=Verdict.CANNOT_TELL if result.verdict is Verdict.DID_NOT else result.verdict,
        message=result.message,
        value=result,
        facts=sessions.facts_of_result(result),
        kept=sessions.kept_of_result(result),
    )


def _apply_session(action: Action, settled: Settled, *, now: datetime) -> None:
    sessions.apply_result(action, settled.value, now=now)


# --- mail -------------------------------------------------------------------------------------------------------------


def _send_message(adapter: Adapter, actions: Sequence[Action], sending: Sending) -> Sequence[Settled]:
    (asked,) = _payloads(actions, MessagePayload)
    adapter.send_message(asked.message, sending)
    return [Settled(reference=actions[0].pk, verdict=Verdict.HAPPENED)]


def _apply_message(action: Action, settled: Settled, *, now: datetime) -> None:
    invitations.apply_sent(action, now=now)


# --- the table --------------------------------------------------------------------------------------------------------

VERBS = Verbs(
    effects={
        Verb.SEND_MESSAGE: Entry(perform=_send_message, apply=_apply_message),
        Verb.REISSUE_LINK: Entry(perform=_reissue_link, apply=_apply_reissued),
        Verb.CREATE_DELIVERIES: Entry(
            perform=_create_deliveries,
            apply=_apply_created,
            writing=_writing_created,
            look_up=_find_deliveries,
            why_not=_why_not_created,
            apply_late=_apply_late_links,
        ),
        Verb.CREATE_EXAM: Entry(
            perform=_create_exam, apply=_apply_exam, look_up=_find_exam, why_not=_why_not_created_exam
        ),
        Verb.UPDATE_EXAM: Entry(perform=_update_exam, apply=_apply_exam),
        **{verb: _session_verb(verb) for verb in sessions.VERBS},
    },
    reads={
        Verb.LIST_SESSIONS: sessions.read_list,
        Verb.READ_SESSION: sessions.read_session,
        Verb.READ_RESULTS: sessions.read_results,
        Verb.READ_EXAM_CONFIG: sessions.read_exam_configs,
        Verb.READ_DELIVERY: sessions.read_delivery,
    },
)
