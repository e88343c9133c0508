"""Where a ledger lies: one SQLite file, or a PostgreSQL database that several servers share; one code path for both.

Writers are alone: SQLite by its own lock, PostgreSQL by one on the log. A commit is on disk before it returns. A killed
process loses its lock, and what it had begun is rolled back.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import final

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError, SQLAlchemyError

from unsee.ledger.errors import LedgerError, LedgerUnavailableError, PolicyError

DATABASE = "ledger.db"
PRAGMAS = (
    "PRAGMA synchronous = EXTRA",
    "PRAGMA fullfsync = ON",  # macOS keeps what fsync wrote in the drive's cache without it
    "PRAGMA secure_delete = ON",  # what the vault deletes is overwritten
    "PRAGMA trusted_schema = OFF",
    "PRAGMA cell_size_check = ON",
)
BEGIN = {
    "sqlite": {True: "BEGIN IMMEDIATE", False: "BEGIN"},
    "postgresql": {True: "LOCK TABLE log IN EXCLUSIVE MODE", False: "SET TRANSACTION READ ONLY"},
}
"""What begins a transaction that writes, or one that reads."""

TABLES = sa.MetaData()
LOG = sa.Table(
    "log", TABLES, sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("body", sa.Text, nullable=False), sa.Column("hash", sa.Text, nullable=False),
)  # fmt: skip
VAULT = sa.Table(
    "vault", TABLES, sa.Column("record", sa.Text, primary_key=True), sa.Column("part", sa.Text, primary_key=True),
    sa.Column("body", sa.LargeBinary, nullable=False),
)  # fmt: skip
"""Ciphertext only; each record's key lies in the operator's key folder, outside the ledger."""
FILES = sa.Table(
    "files", TABLES, sa.Column("content_id", sa.Text, primary_key=True),
    sa.Column("body", sa.LargeBinary, nullable=False),
)  # fmt: skip
"""Of erasers that some request holds; the log has the digest of each."""


@final
class Database:
    """The tables of one ledger, for any number of threads and processes."""

    def __init__(self, home: Path, url: str, busy_seconds: float, *, read_only: bool = False) -> None:
        """Nothing is opened yet; PolicyError where the address is none, or its driver is not installed."""
        self._file, self._seconds = (home / DATABASE).absolute(), busy_seconds
        self._remote = bool(url)
        self.place = url.partition("?")[0].rpartition("@")[2] if url else str(home / DATABASE)
        try:
            if not url:  # a connection a transaction: a file that was put in another's place is seen
                address = f"{self._file.as_uri()}?mode={'ro' if read_only else 'rw'}"
                self._engine = sa.create_engine(
                    "sqlite://", creator=lambda: _sqlite(address, busy_seconds), poolclass=sa.NullPool
                )
            elif sa.make_url(url).get_backend_name() != "postgresql":
                raise ArgumentError("it is no PostgreSQL address")
            else:
                own = sa.make_url(url).query.get("options", "")
                waits = f"{own} -c lock_timeout={int(1000 * busy_seconds)} -c synchronous_commit=on"
                self._engine = sa.create_engine(
                    url, isolation_level="REPEATABLE READ", pool_pre_ping=True, connect_args={"options": waits}
                )
        except (SQLAlchemyError, ImportError) as error:
            raise PolicyError(
                f"the database {self.place!r} cannot be used: {type(error).__name__}: {error}. Expected an empty "
                "address or postgresql+psycopg://USER@HOST/NAME, and pip install 'unsee[postgres]'."
            ) from error

        @sa.event.listens_for(self._engine, "begin")
        def begin(connection: sa.Connection) -> None:
            if (writes := connection.get_execution_options().get("writes")) is not None:
                connection.exec_driver_sql(BEGIN[connection.dialect.name][writes])

    def close(self) -> None:
        """Close what is open; a later transaction opens it again."""
        self._engine.dispose()

    def stamp(self) -> tuple[object, ...] | None:
        """Another one after every commit, and of another file in its place, within microseconds; None where none is.

        SQLite counts commits in the head of its file, at byte 24, but where it keeps a log beside it (WAL).
        """
        if self._remote or self._file.with_name(f"{DATABASE}-wal").exists():
            return None
        try:
            with self._file.open("rb", buffering=0) as file:
                about, commits = os.fstat(file.fileno()), os.pread(file.fileno(), 4, 24)
        except OSError as error:
            raise LedgerUnavailableError(
                f"cannot read {self._file}: {error.strerror}. Nothing is done. Put it back."
            ) from error
        return about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns, commits

    def newest(self) -> tuple[object, ...]:
        """Number and hash of the newest row of the log: in place of a stamp, by one query and no transaction."""
        with self._worded(), self._engine.connect() as connection:
            asked = connection.execution_options(isolation_level="AUTOCOMMIT")
            return tuple(asked.execute(sa.select(LOG.c.seq, LOG.c.hash).order_by(LOG.c.seq.desc()).limit(1)).one())

    def make(self) -> None:
        """Make the tables that are missing."""
        with self._worded(), self._engine.connect() as connection:
            if self._engine.dialect.name == "sqlite":
                connection.exec_driver_sql(BEGIN["sqlite"][True])
            TABLES.create_all(connection)
            connection.commit()

    @contextmanager
    def transaction(self, *, writes: bool = False) -> Iterator[sa.Connection]:
        """One state of the ledger throughout; what is written is all on disk when the block ends, or nothing is."""
        options = {"writes": writes}
        with self._worded(), self._engine.connect().execution_options(**options) as connection, connection.begin():
            yield connection

    @contextmanager
    def _worded(self) -> Iterator[None]:
        try:
            yield
        except OperationalError as error:  # in use, full, read-only, gone: what it says of the machine
            raise LedgerUnavailableError(
                f"{self.place}: {error.orig} (waited up to {self._seconds:g} s). Nothing was done, and what was "
                "acknowledged before is kept. Expected a database with room that this user may write; see to that and "
                "try again."
            ) from error
        except DBAPIError as error:
            raise LedgerError(
                f"{self.place}: is damaged, or no ledger's database ({error.orig}). Nothing was changed. Restore it "
                "from a backup, and keep the damaged one."
            ) from error


def unlike_made(connection: sa.Connection, table: sa.Table) -> bool:
    """Whether a table is missing, or has other columns than it was made with."""
    there = sa.inspect(connection)
    return not there.has_table(table.name) or {c["name"] for c in there.get_columns(table.name)} != {*table.c.keys()}


def _sqlite(address: str, seconds: float) -> sqlite3.Connection:
    connection = sqlite3.connect(address, uri=True, timeout=seconds, isolation_level=None, check_same_thread=False)
    for pragma in PRAGMAS:
        connection.execute(pragma)
    return connection
