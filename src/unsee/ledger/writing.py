"""One transaction that writes rows of the log, and keeps names out of them."""

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, final

from unsee.ledger import log
from unsee.ledger.board import Board
from unsee.ledger.log import Decision, Row
from unsee.ledger.names import Names


@final
@dataclass
class Writing:
    """A transaction that may write, and the newest row in it."""

    connection: sqlite3.Connection
    ledger_id: str
    board: Board
    names: Names
    now: datetime

    def log(
        self,
        by: Decision,
        step: str,
        record: str | None = None,
        state: str | None = None,
        details: Mapping[str, Any] | None = None,
        texts: Mapping[str, str] | None = None,
    ) -> Row:
        """Write one row; nobody is named in who, why, what it rests on, nor in any other text that was typed."""
        for name, text in ({**vars(by)} | dict(texts or {})).items():
            self.names.require_absent(name.replace("_", " "), text, record)
        row = log.append(
            self.connection,
            self.board.last,
            self.ledger_id,
            by,
            step,
            self.now,
            record=record,
            state=state,
            details=details,
        )
        self.board.follow([row])  # what cannot be read back is not written
        return row
