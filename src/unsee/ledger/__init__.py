"""Erasure requests with a life cycle: received, fitted, verified, active, revoked; stored, logged, provable.

Nothing here imports torch except `erasers` and `measure`, which read erasers and ask the model.
"""

from unsee.ledger.active import ActiveSet
from unsee.ledger.decision import Decision
from unsee.ledger.framing import active_digest
from unsee.ledger.keys import SubjectKey
from unsee.ledger.lifecycle import STATES, Request, State
from unsee.ledger.policy import Policy, read_policy
from unsee.ledger.store import Ledger

__all__ = [
    "STATES",
    "ActiveSet",
    "Decision",
    "Ledger",
    "Policy",
    "Request",
    "State",
    "SubjectKey",
    "active_digest",
    "read_policy",
]
