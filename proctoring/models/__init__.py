"""Tables, constraints and what a user may see. No side effects."""

from proctoring.models.account import Account
from proctoring.models.action import OPEN_STATES, Action, ActionState, Attention, Batch, Call
from proctoring.models.candidate import Candidate, CandidateReference
from proctoring.models.delivery import Delivery, DeliveryState
from proctoring.models.exam import Exam
from proctoring.models.invitation import Invitation
from proctoring.models.journal import JournalEntry
from proctoring.models.reading import Reading
from proctoring.models.session import SESSION_STATES, Session
from proctoring.models.team import Membership, Role, Team, User

__all__ = [
    "OPEN_STATES",
    "SESSION_STATES",
    "Account",
    "Action",
    "ActionState",
    "Attention",
    "Batch",
    "Call",
    "Candidate",
    "CandidateReference",
    "Delivery",
    "DeliveryState",
    "Exam",
    "Invitation",
    "JournalEntry",
    "Membership",
    "Reading",
    "Role",
    "Session",
    "Team",
    "User",
]
