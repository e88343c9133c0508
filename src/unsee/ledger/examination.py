"""Is everything still what was written? The log was read to open the ledger; here the rest of it is."""

import sqlite3
from collections.abc import Iterator

from unsee.ledger.database import migrations
from unsee.ledger.errors import LedgerError, MissingArtifactError
from unsee.ledger.log import MOST_BEHIND
from unsee.ledger.store import Ledger

Remark = tuple[str, str]
"""Severity, "fail" or "warn", and text."""
_LISTING = "SELECT name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'"


def examine(ledger: Ledger) -> list[Remark]:
    """Tables and triggers, SQLite's own check, clocks, artifacts, the vault, the policy; empty when all is well.

    The chain of the log needs no word here: a ledger whose log is not what was written does not open.
    """
    with ledger.reading() as (connection, _):
        found = list(_tables(connection))
        if ledger.has_keys:
            found += list(_vault(ledger, connection))
    found += _clocks(ledger) + _artifacts(ledger)
    try:
        _ = ledger.policy
    except LedgerError as error:
        found.append(("fail", f"nothing is verified, activated or served meanwhile: {error}"))
    return found


def _tables(connection: sqlite3.Connection) -> Iterator[Remark]:
    fresh = sqlite3.connect(":memory:")
    for script in migrations().values():
        fresh.executescript(script)
    expected, there = dict(fresh.execute(_LISTING).fetchall()), dict(connection.execute(_LISTING).fetchall())
    fresh.close()
    for name in sorted(expected.keys() | there.keys()):
        if expected.get(name) != there.get(name):
            yield "fail", f"table, index or trigger {name!r} is not as it was made"
    for (text,) in connection.execute("PRAGMA integrity_check").fetchall():
        if text != "ok":
            yield "fail", f"SQLite finds damage: {text}"


def _vault(ledger: Ledger, connection: sqlite3.Connection) -> Iterator[Remark]:
    for (record,) in connection.execute("SELECT DISTINCT record FROM vault").fetchall():
        try:
            ledger.vault.get(connection, record)
        except LedgerError as error:
            yield "fail", str(error)


def _clocks(ledger: Ledger) -> list[Remark]:
    behind = [row.seq for row in ledger.history() if row.clock < row.at]
    text = f"the clock stood behind the row before, by at most {MOST_BEHIND}, or was said to have run ahead, in rows"
    return [("warn", f"{text} {behind[:5]}")] if behind else []


def _artifacts(ledger: Ledger) -> list[Remark]:
    found = list[Remark]()
    for request in ledger.requests():
        for content_id in sorted({request.holding, request.in_force} - {None}, key=str):
            artifact = ledger.artifact(str(content_id))
            try:
                assert artifact is not None, "what is held is not purged"
                ledger.files.require(request.id, artifact)
            except MissingArtifactError as error:
                found.append(("fail" if request.in_force == content_id else "warn", str(error)))
    return found
