"""What happens inside a write transaction: rows follow the last one, and what they release goes with them."""

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, final

from pydantic_core import to_jsonable_python

from unsee.ledger import log
from unsee.ledger.board import Board
from unsee.ledger.log import Decision, Row
from unsee.ledger.names import Names
from unsee.ledger.states import ENDED
from unsee.ledger.vault import Vault


@final
@dataclass
class Writing:
    """A transaction that may write.

    Attributes:
        connection: open.
        ledger_id: of the ledger.
        board: everything as it stands, rows of this transaction too.
        names: that no text may hold.
        vault: of personal data.
        now: what the clock says.
        gone: records whose keys are destroyed once this is on disk.
    """

    connection: sqlite3.Connection
    ledger_id: str
    board: Board
    names: Names
    vault: Vault
    now: datetime
    gone: set[str] = field(default_factory=set)

    def log(
        self,
        by: Decision,
        step: str,
        record: str | None,
        changes: Mapping[str, Any],
        texts: Mapping[str, str] | None = None,
    ) -> Row:
        """Write one row, and delete erasers and personal data that nothing holds after it.

        Raises:
            PersonalDataError: who, why, what it rests on, or another text that was typed names somebody.
        """
        for name, text in (vars(by) | dict(texts or {})).items():
            self.names.require_absent(name.replace("_", " "), text, record)
        before, plain = set(self.board.artifacts), to_jsonable_python(dict(changes))
        row = log.append(self.connection, self.board.last, self.ledger_id, by, step, self.now, record, plain)
        self.board.follow([row])  # what cannot be read back is not written
        for content_id in before - set(self.board.artifacts):
            self.connection.execute("DELETE FROM files WHERE content_id = ?", (content_id,))
        if record is not None and self.board.requests[record].state in ENDED:
            self.vault.delete(self.connection, record)
            self.gone.add(record)
        return row
