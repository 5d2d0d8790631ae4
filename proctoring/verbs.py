"""The verb table: how an adapter is asked for each verb, and what the domain does with the answer. Only tasks import it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from proctoring import deliveries, exams, invitations, sessions, sql, values
from proctoring.ledger import Done, Entry, Looked, Settled, Verbs
from proctoring.models import Action
from proctoring.vendors.base import (
    Adapter,
    Ambiguous,
    Created,
    DeliveryOrder,
    DeliveryResult,
    ExamResult,
    ExamValues,
    Found,
    LookUp,
    Message,
    Refused,
    Sending,
    SessionOrder,
    SessionResult,
    SessionSnapshot,
    Verb,
    Verdict,
)


def _exam(actions: Sequence[Action]) -> ExamValues:
    return values.unpack(actions[0].payload["exam"], ExamValues)


def _orders(actions: Sequence[Action]) -> list[DeliveryOrder]:
    return [values.unpack(action.payload["order"], DeliveryOrder) for action in actions]


def _create_deliveries(adapter: Adapter, actions: Sequence[Action], sending: Sending) -> Sequence[Settled]:
    return [_settled(result) for result in adapter.create_deliveries(_exam(actions), _orders(actions), sending)]


def _settled(result: DeliveryResult) -> Settled:
    if isinstance(result, Created):
        return Settled(reference=result.reference, verdict=Verdict.HAPPENED, message=result.note, value=result)
    verdict = Verdict.DID_NOT if isinstance(result, Refused) else Verdict.CANNOT_TELL
    return Settled(reference=result.reference, verdict=verdict, message=result.message)


def _find_deliveries(adapter: Adapter, actions: Sequence[Action]) -> Sequence[Looked]:
    sent_at = min(action.sent_at or action.created_at for action in actions)
    taken = frozenset(ref for action in actions for ref in deliveries.refs_of_others(action))
    doubts = {action.pk: deliveries.doubt_about_links(action) for action in actions}
    found = adapter.find_deliveries(_exam(actions), _orders(actions), sent_at, taken)
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
    ref, doubt = actions[0].payload["ref"], deliveries.doubt_about_links(actions[0])
    created = _doubted(adapter.reissue_link(_exam(actions), _orders(actions)[0], ref), doubt)
    return [Settled(reference=actions[0].pk, verdict=Verdict.HAPPENED, message=created.note, value=created)]


def _apply_reissued(action: Action, settled: Settled, *, now: datetime) -> None:
    deliveries.apply_reissued(action, settled.value, now=now)


# --- exams ------------------------------------------------------------------------------------------------------------


def _create_exam(adapter: Adapter, actions: Sequence[Action], sending: Sending) -> Sequence[Settled]:
    return [_settled_exam(actions[0], adapter.create_exam(_exam(actions), sending))]


def _update_exam(adapter: Adapter, actions: Sequence[Action], sending: Sending) -> Sequence[Settled]:
    doubt = exams.doubt_about_update(actions[0])
    result = adapter.update_exam(_exam(actions), sending)
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
    found = adapter.find_exam(_exam(actions))
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
        return [_settled_session(method(_session_order(actions[0]), sending))]

    def look_up(adapter: Adapter, actions: Sequence[Action]) -> Sequence[Looked]:
        result = adapter.look_at(_session_order(actions[0]), verb)
        if result.verdict is Verdict.HAPPENED:
            return [Looked(reference=result.reference, found=_settled_session(result))]
        # "It did not" proves nothing, whatever was read: sent again, it would meet what the candidate did meanwhile.
        note = result.message or "Reading the session does not tell what happened. A person has to decide."
        return [Looked(reference=result.reference, note=note)]

    return Entry(perform=perform, apply=_apply_session, look_up=look_up, after=sessions.after_effect)


def _session_order(action: Action) -> SessionOrder:
    """What was asked for. Once it may have been sent, it is compared with what was read just before, not with the preview."""
    order = values.unpack(action.payload["order"], SessionOrder)
    before = (action.kept or {}).get("before")
    return order if before is None else replace(order, expected=values.unpack(before, SessionSnapshot))


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
    adapter.send_message(values.unpack(actions[0].payload["message"], Message), sending)
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
