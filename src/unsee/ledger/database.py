"""One SQLite file, its pragmas, its schema, and transactions that are alone or fail in time.

A rollback journal and `synchronous=EXTRA`: a commit is on disk before it returns, readers need no write access, and
SQLite's own lock keeps writers apart, across threads and processes. A killed process loses its lock; what it had begun
is rolled back by whoever opens the file next.
"""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import final

from unsee.errors import UnseeError
from unsee.ledger.errors import LedgerError, LedgerUnavailableError, SchemaError

DATABASE = "ledger.db"
VERSION = 5
APPLICATION_ID = int.from_bytes(b"unse", "big")
"""Tells a ledger from other SQLite files, also to `file(1)`."""
PRAGMAS = (
    "PRAGMA synchronous = EXTRA",
    "PRAGMA fullfsync = ON",  # macOS keeps what fsync wrote in the drive's cache without it
    "PRAGMA secure_delete = ON",  # what the vault deletes is overwritten
    "PRAGMA recursive_triggers = ON",  # else INSERT OR REPLACE deletes without asking the triggers
    "PRAGMA trusted_schema = OFF",
    "PRAGMA cell_size_check = ON",
)


@final
class Database:
    """The ledger's file, for any number of threads of this process; other processes open it for themselves."""

    def __init__(self, path: Path, busy_seconds: float, *, create: bool = False, read_only: bool = False) -> None:
        """Open a ledger's file, or make its tables in an empty one with `create`.

        Raises:
            LedgerError: missing or damaged.
            LedgerUnavailableError: locked, or may not be written.
            SchemaError: not a ledger, or another edition's.
        """
        self.path, self._busy, self._thread = path, busy_seconds, threading.RLock()
        if not path.is_file():
            raise LedgerError(
                f"{path.parent}: there is no ledger, expected a folder with {path.name}. Check the path, or make one "
                "with 'unsee ledger init'."
            )
        status = path.stat()
        self._file = (status.st_dev, status.st_ino)
        address = f"{path.absolute().as_uri()}?mode={'ro' if read_only else 'rw'}"
        with self._wording():
            self._connection = sqlite3.connect(
                address, uri=True, timeout=busy_seconds, isolation_level=None, check_same_thread=False
            )
        try:
            with self._wording():
                for pragma in PRAGMAS:
                    self._connection.execute(pragma)
            with self.read() as connection:
                is_made = _is_made(connection, path)
            if not is_made and not create:
                raise LedgerError(f"{path.parent}: the ledger was never finished. Run 'unsee ledger init' again.")
            if not is_made:
                with self.write() as connection:
                    if not _is_made(connection, path):
                        _make(connection)
        except BaseException:
            self._connection.close()
            raise

    def close(self) -> None:
        """Close, once or more often."""
        with self._thread:
            self._connection.close()

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """A transaction that sees one state of the ledger throughout."""
        with self._thread, self._wording(), self._transaction("BEGIN") as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """A transaction that is alone; when the block ends without error, all of it is on disk, else nothing.

        Raises:
            LedgerUnavailableError: somebody else writes for longer than `busy_seconds`, or the disk does not take it.
        """
        with self._thread, self._wording(), self._transaction("BEGIN IMMEDIATE") as connection:
            yield connection

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[sqlite3.Connection]:
        status = self.path.stat()
        if (status.st_dev, status.st_ino) != self._file:
            raise self._unavailable("it is another file than the one that was opened; open it again")
        connection = self._connection
        connection.execute(begin)
        try:
            yield connection
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:  # SQLite rolls back by itself after some errors
                connection.execute("ROLLBACK")
            raise

    @contextmanager
    def _wording(self) -> Iterator[None]:
        """Word what SQLite and the system say, by their codes and never by their texts."""
        try:
            yield
        except UnseeError:
            raise
        except OSError as error:
            raise self._unavailable(f"{error.strerror or error} (errno {error.errno})") from error
        except sqlite3.Error as error:
            raise self._worded(error) from error

    def _worded(self, error: sqlite3.Error) -> LedgerError:
        code: int | None = getattr(error, "sqlite_errorcode", None)  # absent where Python itself complains
        match None if code is None else code & 0xFF:
            case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
                return self._unavailable(f"somebody else has been writing for {self._busy:g} s")
            case sqlite3.SQLITE_FULL:
                return self._unavailable("the disk is full")
            case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM | sqlite3.SQLITE_AUTH:
                return self._unavailable(f"it cannot be opened for writing ({error})")
            case sqlite3.SQLITE_IOERR | sqlite3.SQLITE_PROTOCOL | sqlite3.SQLITE_NOLFS:
                return self._unavailable(f"the disk reports an error ({error})")
            case _:
                return LedgerError(
                    f"{self.path}: is damaged, no SQLite file, or in use by something else ({type(error).__name__}: "
                    f"{error}). Nothing was changed. Restore it from a backup, and keep the damaged file."
                )

    def _unavailable(self, what: str) -> LedgerUnavailableError:
        return LedgerUnavailableError(
            f"{self.path.parent}: {what}. Nothing was done, and what was acknowledged before is kept. Expected a "
            "folder on a local disk with room, that this user may write; see to that and try again."
        )


def schema() -> str:
    """Every table and trigger."""
    return files("unsee.ledger").joinpath("schema.sql").read_text(encoding="utf-8")


def _is_made(connection: sqlite3.Connection, path: Path) -> bool:
    """Whether the file is a ledger; an empty one is still to be made."""
    version, application, tables = (
        int(connection.execute(query).fetchone()[0])
        for query in ("PRAGMA user_version", "PRAGMA application_id", "SELECT count(*) FROM sqlite_master")
    )
    if (version, application, tables) == (0, 0, 0):
        return False
    if (application, version) != (APPLICATION_ID, VERSION):
        raise SchemaError(
            f"{path}: has application id {application:#x} and version {version}, expected {APPLICATION_ID:#x} and "
            f"{VERSION}: it is no ledger, or was written by another edition of unsee. Nothing was changed. Check the "
            "path, or use the unsee that wrote it."
        )
    return True


def _make(connection: sqlite3.Connection) -> None:
    """Make the tables, statement by statement: `executescript` would commit the caller's transaction."""
    statement = ""
    for line in schema().splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            connection.execute(statement)
            statement = ""
    connection.execute(f"PRAGMA user_version = {VERSION}")
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
