"""Erasure requests with their whole life: received, decided, fitted, verified, in force, answered, ended; provable.

Nothing here imports torch except `erasers` and `asking`, which read erasers and ask the model.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from unsee.extras import extra

if TYPE_CHECKING:
    from unsee.ledger.keys import Keys
    from unsee.ledger.log import Decision
    from unsee.ledger.making import create
    from unsee.ledger.request import Request
    from unsee.ledger.states import State
    from unsee.ledger.store import Ledger
    from unsee.ledger.vault import Person

__all__ = ["Decision", "Keys", "Ledger", "Person", "Request", "State", "create"]
_HOME = dict(zip(__all__, ("log", "keys", "store", "vault", "request", "states", "making"), strict=True))


def __getattr__(name: str) -> Any:
    # On first use, so that `unsee --help` needs no database library, and who lacks it is told.
    if name not in _HOME:
        raise AttributeError(f"module 'unsee.ledger' has no attribute {name!r}; it offers {__all__}")
    for library in ("sqlalchemy", "cryptography"):
        extra(library, "ledger")
    return getattr(import_module(f"unsee.ledger.{_HOME[name]}"), name)
