"""The log of everything that was done: rows that only follow one another, each holding the hash of the one before.

`hash_n = sha256(p(hash_{n-1}) p(f_1) ... p(f_m))` where `f` are the row's fields, its number among them, each as
canonical JSON, and `p(x)` is the length of `x` and `x`. The first row follows the ledger's own id.
"""

import hashlib
import json
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, final

from unsee.ledger.framing import canonical, framed
from unsee.ledger.lifecycle import State, moment, stamp

FIELDS = ("seq", "at", "clock", "request_id", "event", "state", "who", "why", "legal_basis", "scope", "details")
"""What a row's hash covers, in this order."""


@final
@dataclass(frozen=True)
class Entry:
    """Something that somebody did.

    Attributes:
        event: what.
        who: who decided it.
        why: on what grounds.
        request_id: to which request; None for the ledger as a whole.
        state: where that leaves the request.
        legal_basis: of the step.
        scope: of the step.
        details: what else an audit wants; JSON values, no names.
    """

    event: str
    who: str
    why: str
    request_id: str | None = None
    state: State | None = None
    legal_basis: str = ""
    scope: str = ""
    details: Mapping[str, Any] | None = None


@final
@dataclass(frozen=True)
class AuditRow:
    """A row as it is stored.

    Attributes:
        seq: its number, from 1, without gaps.
        at: when, never before the row before: the later of that row's time and the clock.
        clock: what the clock said, even where it stands behind the row before.
        prev: hash of the row before.
        hash: its own.
    """

    seq: int
    at: str
    clock: str
    request_id: str | None
    event: str
    state: State | None
    who: str
    why: str
    legal_basis: str
    scope: str
    details: str
    prev: str
    hash: str

    @property
    def said(self) -> dict[str, Any]:
        """The details, parsed."""
        return json.loads(self.details)

    @property
    def clock_behind(self) -> float:
        """Seconds by which the clock stood behind the row before; 0 as a rule."""
        return (moment(self.at) - moment(self.clock)).total_seconds()


def genesis(ledger_id: str) -> str:
    """What the first row follows."""
    return hashlib.sha256(framed(b"unsee ledger 1", ledger_id.encode())).hexdigest()


def chained(prev: str, fields: Mapping[str, object], seq: int | None = None) -> str:
    """The hash of a row after `prev`; `seq` puts another number in place of its own."""
    values = [seq if name == "seq" and seq is not None else fields[name] for name in FIELDS]
    parts = [canonical(value).encode() for value in values]
    return hashlib.sha256(framed(prev.encode(), *parts)).hexdigest()


def last_row(connection: sqlite3.Connection) -> AuditRow | None:
    """The newest row, or None in an empty log."""
    found = connection.execute(f"{_SELECT} ORDER BY seq DESC LIMIT 1").fetchone()
    return None if found is None else AuditRow(*found)


def rows(connection: sqlite3.Connection, request_id: str | None = None) -> Iterator[AuditRow]:
    """All rows in order, or those of one request."""
    where, values = ("", ()) if request_id is None else (" WHERE request_id = ?", (request_id,))
    for found in connection.execute(f"{_SELECT}{where} ORDER BY seq", values):
        yield AuditRow(*found)


def row_of(connection: sqlite3.Connection, seq: int) -> AuditRow:
    """The row of that number, which the caller knows to be there."""
    return AuditRow(*connection.execute(f"{_SELECT} WHERE seq = ?", (seq,)).fetchone())


def append(connection: sqlite3.Connection, ledger_id: str, entry: Entry, now: datetime) -> AuditRow:
    """Write one row after the last one, inside the caller's transaction.

    A clock that has been set back is written down as it is; the row's time stays at the row before's.
    """
    last = last_row(connection)
    seq, prev = (1, genesis(ledger_id)) if last is None else (last.seq + 1, last.hash)
    clock = stamp(now)
    fields: dict[str, Any] = {
        "seq": seq,
        "at": clock if last is None else max(clock, last.at),
        "clock": clock,
        "request_id": entry.request_id,
        "event": entry.event,
        "state": entry.state,
        "who": entry.who,
        "why": entry.why,
        "legal_basis": entry.legal_basis,
        "scope": entry.scope,
        "details": canonical(dict(entry.details or {})),
    }
    row = AuditRow(**fields, prev=prev, hash=chained(prev, fields))
    columns = (*FIELDS, "prev", "hash")
    connection.execute(
        f"INSERT INTO audit ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})",
        [getattr(row, name) for name in columns],
    )
    return row


_SELECT = f"SELECT {', '.join((*FIELDS, 'prev', 'hash'))} FROM audit"
