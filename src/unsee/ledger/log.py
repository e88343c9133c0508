"""The log of everything that was done: rows that only follow one another, each bound to the one before.

`hash_n = SHA-256(hash_{n-1} body_n)` where the body is the row as canonical JSON, its number in it. The first row says
which ledger it is. The log is all there is: what a request is at any moment is read from its rows.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, final

from sqlalchemy import Connection, insert, select

from unsee.ledger.canonical import canonical, plain_text, stamp
from unsee.ledger.database import LOG
from unsee.ledger.errors import AuditError, LifeCycleError
from unsee.schema import Schema

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
        for name, value in vars(self).items():
            if value or name != "rests_on":
                object.__setattr__(self, name, plain_text(name.replace("_", " "), value))


@final
class Row(Schema):
    """A row.

    Attributes:
        seq: its number, from 1, without gaps.
        record: id of the request or complaint; None for the ledger as a whole.
        changes: no personal data: the fields of `Request` that it sets, or facts of the ledger as a whole.
    """

    seq: int
    at: str
    record: str | None
    step: str
    who: str
    why: str
    rests_on: str
    changes: dict[str, Any]
    hash: str


def chained(before: str, body: str) -> str:
    """The hash of a row after the one of that hash."""
    return hashlib.sha256(f"{before}{body}".encode()).hexdigest()


def rows(connection: Connection, last: Row | None = None) -> Iterator[Row]:
    """The rows after the last one that was read; AuditError names the first that does not follow."""
    query = select(LOG).where(LOG.c.seq > (last.seq if last else 0)).order_by(LOG.c.seq)
    for seq, body, digest in connection.execute(query).all():  # an open cursor would hold a lock
        last = _read(last, seq, body, digest)
        yield last


def append(
    connection: Connection, last: Row | None, by: Decision, step: str, now: datetime, record: str | None = None,
    changes: Mapping[str, Any] | None = None,
) -> Row:  # fmt: skip
    """Write one row after the last one, in a transaction; LifeCycleError where the clock stands far behind that."""
    if last and step != CLOCK_AHEAD and now < datetime.fromisoformat(last.at) - MOST_BEHIND:
        raise LifeCycleError(
            f"the clock says {stamp(now)[:19]}, but row {last.seq} of the log was written at {last.at[:19]}: deadlines "
            "would be wrong. Nothing was done. Set this machine's clock; if it was that row's clock that ran ahead, "
            "say so with 'unsee ledger note --clock-was-ahead', and go on."
        )
    seq = last.seq + 1 if last else 1
    fields = {"seq": seq, "at": stamp(now), "record": record, "step": step, "changes": changes or {}}
    body = canonical(fields | asdict(by)).decode()
    row = _read(last, seq, body, chained(last.hash if last else "", body))  # what cannot be read is not written
    connection.execute(insert(LOG).values(seq=seq, body=body, hash=row.hash))
    return row


def _read(before: Row | None, seq: int, body: str, digest: str) -> Row:
    expected = before.seq + 1 if before else 1
    with suppress(ValueError, TypeError, RecursionError):
        row = Row(**json.loads(body), hash=digest)
        if row.seq == seq == expected and digest == chained(before.hash if before else "", body):
            return row
    raise AuditError(
        f"row {expected} of the log is not what was written: a row was altered, deleted or moved there. Nothing is "
        "done and nothing served. Compare the file with a backup and with heads that were kept elsewhere."
    )
