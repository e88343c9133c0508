"""Is everything still what was written? The log was read to open the ledger; here the rest of it is."""

from collections.abc import Iterator

from sqlalchemy import Connection, select

from unsee.ledger.artifacts import read_files
from unsee.ledger.board import Board
from unsee.ledger.database import FILES
from unsee.ledger.errors import LedgerError, MissingArtifactError
from unsee.ledger.store import Ledger

Remark = tuple[str, str]
"""Severity, "fail" or "warn", and text."""


def examine(ledger: Ledger) -> list[Remark]:
    """Tables, the database's own check, erasers, the vault, the policy; empty when all is well.

    The chain of the log needs no word here: a ledger whose log is not what was written does not open.
    """
    with ledger.reading() as (connection, board):
        found = [("fail", text) for text in ledger.remarks(connection)]
        found += [*_files(connection, board), *(_vault(ledger, connection) if ledger.has_keys else ())]
    try:
        _ = ledger.policy
    except LedgerError as error:
        found.append(("fail", f"nothing is verified, activated or served meanwhile: {error}"))
    return found


def _files(connection: Connection, board: Board) -> Iterator[Remark]:
    for request in board.requests.values():
        for artifact in request.artifacts.values():
            try:
                read_files(connection, artifact)
            except MissingArtifactError as error:
                yield "fail" if request.in_force == artifact else "warn", f"request {request.id}: {error}"
    stored = set(connection.scalars(select(FILES.c.content_id).distinct()))
    for content_id in sorted(stored - set(board.artifacts)):
        yield "fail", f"files of the eraser {content_id[:19]}... are kept, and no request holds it"


def _vault(ledger: Ledger, connection: Connection) -> Iterator[Remark]:
    for record in sorted(ledger.vault.held(connection)):
        try:
            ledger.vault.get(connection, record)
            ledger.vault.get(connection, record, "whole")
        except LedgerError as error:
            yield "fail", str(error)
