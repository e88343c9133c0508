"""Erasure requests with their whole life: received, decided, fitted, verified, in force, answered, ended; provable.

Nothing here imports torch except `erasers` and `asking`, which read erasers and ask the model.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from unsee.extras import extra

if TYPE_CHECKING:
    from unsee.ledger.active import ActiveSet, active_digest
    from unsee.ledger.keys import Keys
    from unsee.ledger.log import Decision
    from unsee.ledger.making import create
    from unsee.ledger.policy import Policy, read_policy
    from unsee.ledger.request import Request
    from unsee.ledger.states import STEPS, State
    from unsee.ledger.store import Ledger
    from unsee.ledger.vault import Person

_HOME = {
    "active": ("ActiveSet", "active_digest"), "keys": ("Keys",), "log": ("Decision",), "making": ("create",),
    "policy": ("Policy", "read_policy"), "request": ("Request",), "states": ("STEPS", "State"), "store": ("Ledger",),
    "vault": ("Person",),
}  # fmt: skip
__all__ = [
    "STEPS", "ActiveSet", "Decision", "Keys", "Ledger", "Person", "Policy", "Request", "State", "active_digest",
    "create", "read_policy",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    # On first use, so that `unsee --help` needs no database library, and who lacks it is told.
    for module, names in _HOME.items():
        if name in names:
            extra("sqlalchemy", "ledger")
            return getattr(import_module(f"unsee.ledger.{module}"), name)
    raise AttributeError(f"module 'unsee.ledger' has no attribute {name!r}; it offers {__all__}")
