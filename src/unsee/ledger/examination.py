"""Is everything still what was written? The log was read to open the ledger; here the rest of it is."""

from collections.abc import Iterator

from sqlalchemy import Connection, select

from unsee.ledger.database import FILES, TABLES, unlike_made
from unsee.ledger.errors import LedgerError
from unsee.ledger.files import stored
from unsee.ledger.request import Board
from unsee.ledger.store import Ledger


def examine(ledger: Ledger) -> list[str]:
    """What is wrong with tables, the database's own check, erasers, the vault, the policy; empty when all is well.

    The chain of the log needs no word here: a ledger whose log is not what was written does not open.
    """
    with ledger.reading() as (connection, board):
        found = [*_database(connection), *_files(connection, board)]
        for record in sorted(ledger.vault.held(connection)) if ledger.has_keys else ():
            try:
                ledger.vault.get(connection, record)
            except LedgerError as error:
                found.append(str(error))
    try:
        _ = ledger.policy
    except LedgerError as error:
        found.append(f"nothing is verified, activated or served meanwhile: {error}")
    return found


def _database(connection: Connection) -> Iterator[str]:
    yield from (f"table {n!r} is not as it was made" for n, t in TABLES.tables.items() if unlike_made(connection, t))
    if connection.dialect.name == "sqlite":
        strange = "SELECT type || ' ' || name FROM sqlite_master WHERE type IN ('trigger', 'view')"
        yield from (f"{found} is none of the ledger's" for (found,) in connection.exec_driver_sql(strange))
        pages = (text for (text,) in connection.exec_driver_sql("PRAGMA integrity_check") if text != "ok")
        yield from (f"SQLite finds damage: {text}" for text in pages)


def _files(connection: Connection, board: Board) -> Iterator[str]:
    for request in board.requests.values():
        for artifact in request.artifacts.values():
            try:
                stored(connection, artifact)
            except LedgerError as error:
                yield f"request {request.id}: {error}"
    for content_id in sorted(set(connection.scalars(select(FILES.c.content_id))) - set(board.artifacts)):
        yield f"the file of the eraser {content_id[:19]}... is kept, and no request holds it"
