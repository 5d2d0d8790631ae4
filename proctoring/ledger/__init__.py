"""The ledger: nothing is sent to a vendor unless a row says so first, and each row is sent at most once unless repeating
it is known to be harmless. The only writer of Action and Call.

    request   queued rows, in the caller's transaction      claim    a group becomes SENDING under a lease
    perform   the HTTP exchanges, no transaction open       settle   what came of it, in one transaction
    sweep     what dead workers left behind                 retry, cancel, resolve, ask_look_up: a person's decisions
"""

from proctoring.ledger.asking import Conflict, Draft, ask_look_up, cancel, request, resolve_created, retry
from proctoring.ledger.claiming import Claim, Idle, Kind
from proctoring.ledger.draining import drain, erase_bodies, sweep
from proctoring.ledger.performing import Done, Entry, Looked, Outcome, Settled, Verbs, perform
from proctoring.ledger.settling import settle
from proctoring.ledger.waking import wake

__all__ = [
    "Claim",
    "Conflict",
    "Done",
    "Draft",
    "Entry",
    "Idle",
    "Kind",
    "Looked",
    "Outcome",
    "Settled",
    "Verbs",
    "ask_look_up",
    "cancel",
    "drain",
    "erase_bodies",
    "perform",
    "request",
    "resolve_created",
    "retry",
    "settle",
    "sweep",
    "wake",
]
