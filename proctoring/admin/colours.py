"""The colours of states. The text beside each says the same."""

from __future__ import annotations

from proctoring.models import ActionState, Call, DeliveryState

ACTION_COLOURS = {
    ActionState.QUEUED.value: "info",
    ActionState.SENDING.value: "info",
    ActionState.UNKNOWN.value: "warning",
    ActionState.NEEDS_ATTENTION.value: "danger",
    ActionState.DONE.value: "success",
    ActionState.CANCELLED.value: "default",
}
DELIVERY_COLOURS = {
    DeliveryState.REQUESTED.value: "info",
    DeliveryState.CREATED.value: "success",
    DeliveryState.CANCELLED.value: "default",
}
CALL_COLOURS = {
    Call.Outcome.OPEN.value: "info",
    Call.Outcome.ANSWERED.value: "success",
    Call.Outcome.UNAVAILABLE.value: "warning",
    Call.Outcome.NO_ANSWER.value: "danger",
    Call.Outcome.NOT_SENT.value: "default",
    Call.Outcome.LOST.value: "danger",
}


def action_state(state: str | None) -> tuple[str, str]:
    """The key and the words of an action's state."""
    return (state, str(ActionState(state).label)) if state else ("", "")
