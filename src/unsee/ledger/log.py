"""The log of everything that was done: rows that only follow one another, each holding the hash of the one before.

`hash_n = sha256(p(hash_{n-1}) p(f_1) ... p(f_m))` where `f` are the row's fields, its number among them, each as
canonical JSON, and `p(x)` is the length of `x` and `x`. The first row says which ledger it is. The log is all there
is: what a request is at any moment is read from its rows.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, final

from sqlalchemy import Connection, insert, select

from unsee.errors import ArtifactError
from unsee.ledger.database import LOG
from unsee.ledger.errors import AuditError, LifeCycleError
from unsee.ledger.framing import canonical, framed, stamp
from unsee.ledger.texts import plain_text

FIELDS = ("seq", "at", "record", "step", "who", "why", "rests_on", "changes")
"""What a row's hash covers, in this order."""
MOST_BEHIND = timedelta(hours=1)
"""By how much a clock may stand behind the newest row's; clocks are corrected by seconds, zones do not enter."""
CLOCK_AHEAD = "clock was ahead"


@final
@dataclass(frozen=True)
class Decision:
    """Who answers for a step, why, and where the reason can be looked up; texts are trimmed and checked."""

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
        record: id of the request or complaint; None for the ledger as a whole.
        changes: canonical JSON, no personal data: the fields of `Request` that it sets, or of the ledger as a whole.
    """

    seq: int
    at: str
    record: str | None
    step: str
    who: str
    why: str
    rests_on: str
    changes: str
    hash: str

    @property
    def said(self) -> dict[str, Any]:
        """The changes, parsed.

        Raises:
            AuditError: they are none.
        """
        with suppress(ValueError, TypeError, RecursionError):
            found = json.loads(self.changes)
            if isinstance(found, dict):
                return found
        raise _not_as_written(self.seq)


def chained(prev: str, fields: Mapping[str, object]) -> str:
    """The hash of a row after `prev`."""
    return hashlib.sha256(framed(prev.encode(), *(canonical(fields[name]).encode() for name in FIELDS))).hexdigest()


def rows(connection: Connection, after: int = 0, record: str | None = None) -> Iterator[Row]:
    """Rows in order, those after a number, of one record or of all; no cursor is left open that would hold a lock."""
    query = select(LOG).where(LOG.c.seq > after).order_by(LOG.c.seq)
    found = connection.execute(query if record is None else query.where(LOG.c.record == record)).mappings().all()
    return (Row(**row) for row in found)


def first_row(connection: Connection) -> Row | None:
    """What says which ledger this is; None in one that was not finished."""
    found = connection.execute(select(LOG).where(LOG.c.seq == 1)).mappings().first()
    return None if found is None else Row(**found)


def require_chained(row: Row, seq: int, prev: str) -> None:
    """Refuse a row that does not follow the one of that number and hash.

    Raises:
        AuditError: names it.
    """
    with suppress(ArtifactError):  # a value that is no JSON
        if row.seq == seq + 1 and row.hash == chained(prev, vars(row)):
            return
    raise _not_as_written(seq + 1)


def append(
    connection: Connection, last: Row | None, by: Decision, step: str, now: datetime, record: str | None = None,
    changes: Mapping[str, Any] | None = None,
) -> Row:  # fmt: skip
    """Write one row after the last one, inside the caller's transaction.

    Raises:
        LifeCycleError: the clock stands far behind the row before, so that dates would be wrong.
    """
    if last and step != CLOCK_AHEAD and now < datetime.fromisoformat(last.at) - MOST_BEHIND:
        raise LifeCycleError(
            f"the clock says {stamp(now)[:19]}, but row {last.seq} of the log was written at {last.at[:19]}: deadlines "
            "would be wrong. Nothing was done. Set this machine's clock; if it was that row's clock that ran ahead, "
            "say so with 'unsee ledger note --clock-was-ahead', and go on."
        )
    seq, prev = (last.seq + 1, last.hash) if last else (1, "")
    fields = {"seq": seq, "at": stamp(now), "record": record, "step": step, **asdict(by)}
    fields["changes"] = canonical(dict(changes or {}))
    row = Row(**fields, hash=chained(prev, fields))
    connection.execute(insert(LOG).values(**vars(row)))
    return row


def _not_as_written(seq: int) -> AuditError:
    return AuditError(
        f"row {seq} of the log is not what was written: a row was altered, deleted or moved there. Nothing is done and "
        "nothing served. Compare the file with a backup and with heads that were kept elsewhere."
    )
