"""One SQLite file, its pragmas, and transactions that are alone or fail in time.

Commits are synced before they return (WAL, `synchronous=FULL`). Whoever writes, checkpoints, opens or closes also holds
the lock file: SQLite 3.7.0 to 3.51.2 can corrupt a WAL file when two connections write and checkpoint at the same
moment (sqlite.org/wal.html, "the WAL-reset bug"), and Python ships such versions. A killed process loses its lock.
"""

import os
import random
import sqlite3
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import final

from unsee.errors import UnseeError
from unsee.ledger.errors import LedgerError, LedgerUnavailableError, LifeCycleError
from unsee.ledger.schema import version_of

OLDEST_SQLITE = (3, 37, 0)  # STRICT tables
PRAGMAS = (
    "PRAGMA synchronous = FULL",
    "PRAGMA fullfsync = ON",  # macOS keeps what fsync wrote in the drive's cache without it
    "PRAGMA checkpoint_fullfsync = ON",
    "PRAGMA foreign_keys = ON",
    "PRAGMA recursive_triggers = ON",  # else INSERT OR REPLACE deletes without asking the triggers
    "PRAGMA trusted_schema = OFF",
    "PRAGMA cell_size_check = ON",
)


@final
class Database:
    """The ledger's file, for any number of threads of this process; other processes open it for themselves."""

    def __init__(self, path: Path, busy_seconds: float) -> None:
        """Open an existing file.

        Raises:
            LedgerError: the file is missing or damaged, or SQLite is too old.
            LedgerUnavailableError: it is locked, or may not be written.
            SchemaError: it is not a ledger, or a newer one.
        """
        if sqlite3.sqlite_version_info < OLDEST_SQLITE:
            raise LedgerError(
                f"this Python's SQLite is {sqlite3.sqlite_version}, expected {'.'.join(map(str, OLDEST_SQLITE))} or "
                "newer, which has STRICT tables. Use a newer Python."
            )
        self.path, self._busy = path, busy_seconds
        self._thread, self._closed = threading.Lock(), False
        with self._mending():
            if not path.is_file():
                raise LedgerError(
                    f"{path.parent}: there is no ledger, expected a folder with {path.name}. Check the path, or make "
                    "one with 'unsee ledger init'."
                )
            self._lock = os.open(path.with_name("lock"), os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
            try:
                with self._alone():
                    self._connection = self._connect()
            except BaseException:
                os.close(self._lock)
                raise

    def close(self) -> None:
        """Close, once or more often; the last one to leave writes the log back into the file."""
        with self._thread:
            if self._closed:
                return
            self._closed = True
            with suppress(LedgerUnavailableError), self._alone():
                self._connection.close()
            self._connection.close()  # also where somebody holds the lock for ever: there is nothing left to write
            os.close(self._lock)

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """A transaction that sees one state of the ledger throughout."""
        with self._thread, self._mending(), self._transaction("BEGIN") as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """A transaction that is alone; when the block ends without error, all of it is on disk, else nothing.

        Raises:
            LedgerUnavailableError: somebody else writes for longer than `busy_seconds`, or the disk does not take it.
        """
        with self._thread, self._mending(), self._alone(), self._transaction("BEGIN IMMEDIATE") as connection:
            yield connection

    def checkpoint(self) -> None:
        """Write the log back into the file and empty it."""
        with self._thread, self._mending(), self._alone():
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"{self.path.absolute().as_uri()}?mode=rw",
            uri=True,
            timeout=self._busy,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            version_of(connection)  # before anything is written to a file that may not be ours
            mode = str(connection.execute("PRAGMA journal_mode = WAL").fetchone()[0])
            if mode != "wal":
                raise LedgerError(
                    f"{self.path}: the file system allows journal mode {mode!r} only, expected 'wal'. Keep the ledger "
                    "on a local disk; network file systems lose commits."
                )
            for pragma in PRAGMAS:
                connection.execute(pragma)
        except BaseException:
            connection.close()
            raise
        return connection

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[sqlite3.Connection]:
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
    def _alone(self) -> Iterator[None]:
        deadline, pause = time.monotonic() + self._busy, 0.0005
        while not _taken(self._lock):
            if time.monotonic() > deadline:
                raise self._unavailable(f"another process has been writing for {self._busy:g} s")
            time.sleep(random.uniform(0.5, 1.0) * pause)
            pause = min(2 * pause, 0.01)
        try:
            yield
        finally:
            _given_back(self._lock)

    @contextmanager
    def _mending(self) -> Iterator[None]:
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
                return self._unavailable(f"the database has been locked for {self._busy:g} s")
            case sqlite3.SQLITE_FULL:
                return self._unavailable("the disk is full")
            case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM | sqlite3.SQLITE_AUTH:
                return self._unavailable(f"it cannot be opened for writing ({error})")
            case sqlite3.SQLITE_IOERR | sqlite3.SQLITE_PROTOCOL | sqlite3.SQLITE_NOLFS:
                return self._unavailable(f"the disk reports an error ({error})")
            case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
                return LedgerError(
                    f"{self.path}: is damaged or no SQLite file ({error}). Nothing is in force until it is restored "
                    "from a backup; keep the damaged file."
                )
            case sqlite3.SQLITE_CONSTRAINT:
                return LifeCycleError(f"{self.path}: the database refused it: {error}. Nothing was changed.")
            case _:
                return LedgerError(f"{self.path}: SQLite says {type(error).__name__}: {error}. Nothing was changed.")

    def _unavailable(self, what: str) -> LedgerUnavailableError:
        return LedgerUnavailableError(
            f"{self.path.parent}: {what}. Nothing was done, and what was acknowledged before is kept. Expected a "
            "folder on a local disk with room, that this user may write; mend that and try again."
        )


if sys.platform == "win32":
    import msvcrt

    def _taken(lock: int) -> bool:
        try:
            msvcrt.locking(lock, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _given_back(lock: int) -> None:
        msvcrt.locking(lock, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _taken(lock: int) -> bool:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _given_back(lock: int) -> None:
        fcntl.flock(lock, fcntl.LOCK_UN)
