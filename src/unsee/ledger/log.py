"""The log of everything that was done: rows that only follow one another, each holding the hash of the one before.

`hash_n = sha256(p(hash_{n-1}) p(f_1) ... p(f_m))` where `f` are the row's fields, its number among them, each as
canonical JSON, and `p(x)` is the length of `x` and `x`. The first row follows the ledger's own id. The log is all there
is: what a request is at any moment is read from its rows.
"""

import hashlib
import json
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, final

from unsee.ledger.errors import AuditError, LifeCycleError
from unsee.ledger.framing import canonical, framed, stamp
from unsee.ledger.texts import plain_text

FIELDS = ("seq", "at", "clock", "record", "step", "who", "why", "rests_on", "changes")
"""What a row's hash covers, in this order."""
MOST_BEHIND = timedelta(hours=1)
"""By how much a clock may stand behind the newest row's; clocks are corrected by seconds, zones do not enter."""
CLOCK_AHEAD = "clock was ahead"


@final
@dataclass(frozen=True)
class Decision:
    """Who answers for a step, why, and what that rests on; texts are trimmed and checked.

    Attributes:
        who: a person or a role.
        why: the reason, in a sentence.
        rests_on: a document, a law, a measurement: where the reason can be looked up.
    """

    who: str
    why: str
    rests_on: str = ""

    def __post_init__(self) -> None:
        for name in ("who", "why", "rests_on"):
            value = getattr(self, name)
            if value or name != "rests_on":
                object.__setattr__(self, name, plain_text(name.replace("_", " "), value))


@final
@dataclass(frozen=True)
class Row:
    """A row as it is stored.

    Attributes:
        seq: its number, from 1, without gaps.
        at: when, never before the row before: the later of that row's time and the clock.
        clock: what the clock said, even where it stands behind the row before.
        record: id of the request or complaint; None for the ledger as a whole.
        step: what was done.
        who: answers for it.
        why: the reason.
        rests_on: where that can be looked up.
        changes: canonical JSON, no personal data: the fields of `Request` that it sets, or of the ledger as a whole.
        prev: hash of the row before.
        hash: its own.
    """

    seq: int
    at: str
    clock: str
    record: str | None
    step: str
    who: str
    why: str
    rests_on: str
    changes: str
    prev: str
    hash: str

    @property
    def said(self) -> dict[str, Any]:
        """The changes, parsed."""
        return json.loads(self.changes)


def genesis(ledger_id: str) -> str:
    """What the first row follows."""
    return hashlib.sha256(framed(b"unsee ledger 3", ledger_id.encode())).hexdigest()


def chained(prev: str, fields: Mapping[str, object]) -> str:
    """The hash of a row after `prev`."""
    return hashlib.sha256(framed(prev.encode(), *(canonical(fields[name]).encode() for name in FIELDS))).hexdigest()


def rows(connection: sqlite3.Connection, after: int = 0, record: str | None = None) -> Iterator[Row]:
    """Rows in order, those after a number, or those of one record."""
    where, value = ("seq > ?", after) if record is None else ("record = ?", record)
    query = f"SELECT {', '.join((*FIELDS, 'prev', 'hash'))} FROM log WHERE {where} ORDER BY seq"
    return (Row(*found) for found in connection.execute(query, (value,)))


def require_chained(row: Row, seq: int, digest: str) -> None:
    """Refuse a row that does not follow, number by number and hash by hash, or is not what its own hash says.

    Raises:
        AuditError: names the row.
    """
    if row.seq != seq + 1 or row.prev != digest or row.hash != chained(digest, vars(row)):
        raise AuditError(
            f"row {seq + 1} of the log is not what was written: a row was altered, deleted or moved there. Nothing is "
            "done and nothing served. Compare the file with a backup and with heads that were kept elsewhere."
        )


def append(
    connection: sqlite3.Connection,
    last: Row | None,
    ledger_id: str,
    by: Decision,
    step: str,
    now: datetime,
    record: str | None = None,
    changes: Mapping[str, Any] | None = None,
) -> Row:
    """Write one row after the last one, inside the caller's transaction.

    Raises:
        LifeCycleError: the clock stands far behind the row before, so that dates would be wrong.
    """
    clock = stamp(now)
    if last and step != CLOCK_AHEAD and now < datetime.fromisoformat(last.clock) - MOST_BEHIND:
        raise LifeCycleError(
            f"the clock says {clock[:19]}, but row {last.seq} of the log was written at {last.clock[:19]}: deadlines "
            "would be wrong. Nothing was done. Set this machine's clock; if it was that row's clock that ran ahead, "
            "say so with 'unsee ledger note --clock-was-ahead', and go on."
        )
    seq, prev = (1, genesis(ledger_id)) if last is None else (last.seq + 1, last.hash)
    at = clock if last is None else max(clock, last.at)
    values = (seq, at, clock, record, step, by.who, by.why, by.rests_on, canonical(dict(changes or {})))
    row = Row(*values, prev, chained(prev, dict(zip(FIELDS, values, strict=True))))
    connection.execute(f"INSERT INTO log VALUES ({', '.join('?' * 11)})", (*values, prev, row.hash))
    return row
