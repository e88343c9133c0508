"""Erasure requests with their whole life: received, decided, fitted, verified, in force, answered, ended; provable.

Nothing here imports torch except `erasers` and `asking`, which read erasers and ask the model.
"""

from unsee.ledger.active import ActiveSet, active_digest
from unsee.ledger.keys import Keys
from unsee.ledger.log import Decision
from unsee.ledger.making import create
from unsee.ledger.policy import Policy, read_policy
from unsee.ledger.request import Request
from unsee.ledger.states import STEPS, State
from unsee.ledger.store import Ledger
from unsee.ledger.vault import Person

__all__ = [
    "STEPS", "ActiveSet", "Decision", "Keys", "Ledger", "Person", "Policy", "Request", "State", "active_digest",
    "create", "read_policy",
]  # fmt: skip
