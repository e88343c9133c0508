"""Is everything still what was written? The log was read to open the ledger; here the rest of it is."""

import sqlite3
from collections.abc import Iterator

from unsee.ledger.artifacts import read_files
from unsee.ledger.board import Board
from unsee.ledger.database import schema
from unsee.ledger.errors import LedgerError, MissingArtifactError
from unsee.ledger.log import MOST_BEHIND, rows
from unsee.ledger.store import Ledger

Remark = tuple[str, str]
"""Severity, "fail" or "warn", and text."""
_LISTING = "SELECT name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'"


def examine(ledger: Ledger) -> list[Remark]:
    """Tables and triggers, SQLite's own check, clocks, erasers, the vault, the policy; empty when all is well.

    The chain of the log needs no word here: a ledger whose log is not what was written does not open.
    """
    with ledger.reading() as (connection, board):
        found = [*_tables(connection), *_files(connection, board)]
        if ledger.has_keys:
            found += _vault(ledger, connection)
        behind = [row.seq for row in rows(connection) if row.clock < row.at]
    if behind:
        text = (
            f"the clock stood behind the row before, by at most {MOST_BEHIND}, or was said to have run ahead, in rows"
        )
        found.append(("warn", f"{text} {behind[:5]}"))
    try:
        _ = ledger.policy
    except LedgerError as error:
        found.append(("fail", f"nothing is verified, activated or served meanwhile: {error}"))
    return found


def _tables(connection: sqlite3.Connection) -> Iterator[Remark]:
    fresh = sqlite3.connect(":memory:")
    fresh.executescript(schema())
    expected, there = dict(fresh.execute(_LISTING).fetchall()), dict(connection.execute(_LISTING).fetchall())
    fresh.close()
    for name in sorted(expected.keys() | there.keys()):
        if expected.get(name) != there.get(name):
            yield "fail", f"table, index or trigger {name!r} is not as it was made"
    for (text,) in connection.execute("PRAGMA integrity_check").fetchall():
        if text != "ok":
            yield "fail", f"SQLite finds damage: {text}"


def _files(connection: sqlite3.Connection, board: Board) -> Iterator[Remark]:
    for request in board.requests.values():
        for artifact in request.artifacts.values():
            try:
                read_files(connection, artifact)
            except MissingArtifactError as error:
                yield "fail" if request.in_force == artifact else "warn", f"request {request.id}: {error}"
    stored = {content_id for (content_id,) in connection.execute("SELECT DISTINCT content_id FROM files")}
    for content_id in sorted(stored - set(board.artifacts)):
        yield "fail", f"files of the eraser {content_id[:19]}... are kept, and no request holds it"


def _vault(ledger: Ledger, connection: sqlite3.Connection) -> Iterator[Remark]:
    for record in sorted(ledger.vault.held(connection)):
        try:
            ledger.vault.get(connection, record)
            ledger.vault.get(connection, record, "whole")
        except LedgerError as error:
            yield "fail", str(error)
