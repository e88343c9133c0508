"""What happens inside a write transaction: rows follow the last one, and what they release goes with them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, final

from pydantic_core import to_jsonable_python
from sqlalchemy import Connection, delete

from unsee.ledger import log
from unsee.ledger.board import Board
from unsee.ledger.database import FILES
from unsee.ledger.log import Decision, Row
from unsee.ledger.names import Names
from unsee.ledger.states import ENDED
from unsee.ledger.vault import Vault


@final
@dataclass
class Writing:
    """A transaction that may write."""

    connection: Connection
    board: Board
    names: Names
    vault: Vault
    now: datetime
    gone: set[str] = field(default_factory=set)

    def log(
        self, by: Decision, step: str, record: str | None, changes: Mapping[str, Any],
        texts: Mapping[str, str] | None = None,
    ) -> Row:  # fmt: skip
        """Write one row, and delete erasers and personal data that nothing holds after it.

        Raises:
            PersonalDataError: who, why, what it rests on, or another text that was typed names somebody.
        """
        for name, text in (vars(by) | dict(texts or {})).items():
            self.names.require_absent(name.replace("_", " "), text, record)
        before, plain = set(self.board.artifacts), to_jsonable_python(dict(changes))
        row = log.append(self.connection, self.board.last, by, step, self.now, record, plain)
        self.board.follow([row])  # what cannot be read back is not written
        released = before - set(self.board.artifacts)
        if released:
            self.connection.execute(delete(FILES).where(FILES.c.content_id.in_(released)))
        if record is not None and self.board.requests[record].state in ENDED:
            self.vault.delete(self.connection, record)
            self.gone.add(record)
        return row
