"""The ledger: requests from receipt to their end, their erasers, and the log of who did what and why.

Everything but keys and policy is in one database, so that what belongs together is written together or not at all. No
torch here: the check that reads an eraser is handed in.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self, final

from sqlalchemy import Connection, inspect, select

from unsee.ledger import log
from unsee.ledger.active import ActiveSet, active_set
from unsee.ledger.artifacts import Unpacked
from unsee.ledger.board import Board
from unsee.ledger.database import LOG, Database
from unsee.ledger.errors import AuditError, KeyFileError, LedgerError
from unsee.ledger.framing import utc_now
from unsee.ledger.keys import Keys
from unsee.ledger.log import Decision, Row
from unsee.ledger.names import Names
from unsee.ledger.policy import FILE_NAME, Policy, read_policy
from unsee.ledger.request import Artifact, Request
from unsee.ledger.states import require
from unsee.ledger.steps import TYPED, Moment, changes_of
from unsee.ledger.vault import Part, Person, Vault
from unsee.ledger.writing import Writing

BUSY_SECONDS = 30.0


@final
class Ledger:
    """An open ledger; several threads may use it, and several processes may each open it."""

    def __init__(
        self,
        home: Path | str,
        keys: Keys | None = None,
        *,
        clock: Callable[[], datetime] = utc_now,
        busy_seconds: float = BUSY_SECONDS,
    ) -> None:
        """Open, and read the whole log; without keys, only to read.

        Raises:
            LedgerError: there is no ledger, or it is damaged.
            AuditError: its log is not what was written, or an older one than these keys have seen.
            KeyFileError: the keys are another ledger's.
            LedgerUnavailableError: locked, read-only, or the disk is full.
        """
        self.home, self.clock, self._keys = Path(home), clock, keys
        self._unpacked, self._names, self._board, self._thread = Unpacked(), Names(), Board(), threading.RLock()
        if not (self.home / FILE_NAME).is_file():
            raise LedgerError(f"{home}: there is no ledger. Check the path, or make one with 'unsee ledger init'.")
        url = self.policy.database.url
        self._database = Database(self.home, url, busy_seconds, read_only=keys is None)
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        with self._database.transaction() as connection:
            first = log.first_row(connection) if inspect(connection).has_table(LOG.name) else None
        if first is None:
            raise LedgerError(
                f"{self.home}: there is no ledger yet, or it was never finished. Run 'unsee ledger init'."
            )
        keys = self._keys
        if keys is not None and keys.public_key != first.said.get("public_key"):
            raise KeyFileError(f"{keys.folder} holds another ledger's keys. Give those made with {self.home}.")
        with self.reading() as (connection, board):
            self.id, self.public_key = str(board.created["ledger_id"]), str(board.created["public_key"])
            left = set[str]() if keys is None else keys.records() - self.vault.held(connection)
        if left:  # a crash came between a row and its key
            with self.writing() as writing:
                writing.gone |= self.keys.records() - self.vault.held(writing.connection)

    def close(self) -> None:
        """Close; the object is of no use afterwards."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @property
    def policy(self) -> Policy:
        """The policy file as it is now.

        Raises:
            PolicyError: missing, or a field is wrong.
        """
        return read_policy(self.home / FILE_NAME)

    @property
    def today(self) -> date:
        """The day in the policy's zone."""
        return self.policy.deadlines.day(self.clock())

    @property
    def keys(self) -> Keys:
        """The operator's keys.

        Raises:
            KeyFileError: the ledger was opened without.
        """
        if self._keys is None:
            raise KeyFileError("the ledger was opened to be read; open it with its keys (--keys) to write.")
        return self._keys

    @property
    def has_keys(self) -> bool:
        """Whether it was opened to write."""
        return self._keys is not None

    def remarks(self, connection: Connection) -> Iterator[str]:
        """What is not as the database was made."""
        return self._database.remarks(connection)

    @property
    def vault(self) -> Vault:
        """What protects personal data."""
        return Vault(self.keys, self.id)

    def requests(self, states: Sequence[str] | None = None, subject: str | None = None) -> list[Request]:
        """Requests and complaints in order of receipt, those in some states or of one pseudonym."""
        with self.reading() as (_, board):
            found = list(board.requests.values())
        return [r for r in found if (not states or r.state in states) and subject in (None, r.subject)]

    def request(self, prefix: str) -> Request:
        """The one whose id begins so; see `Board.find`."""
        with self.reading() as (_, board):
            return board.find(prefix)

    def history(self, record: str | None = None) -> list[Row]:
        """Rows of the log, of one request or all."""
        with self.reading() as (connection, _):
            return list(log.rows(connection, record=record))

    def head(self) -> Row:
        """The newest row: its number grows with every change of what is in force.

        Raises:
            AuditError: the log is older than it was, or another one.
        """
        with self.reading() as (_, board):
            assert board.last is not None, "a ledger begins with a row"
            return board.last

    def active(self) -> ActiveSet:
        """What is in force now; its files are not read."""
        steering = self.policy.steering
        with self.reading() as (_, board):
            return active_set(board, steering)

    def active_folders(self) -> tuple[ActiveSet, list[Path]]:
        """What is in force and the folders to load it from, every file compared with what was stored.

        Raises:
            MissingArtifactError: a file is gone or changed; nothing may be served as if it were erased.
        """
        steering = self.policy.steering
        with self.reading() as (connection, board):
            found = active_set(board, steering)
            return found, [self._unpacked.folder(connection, one.artifact) for one in found.requests]

    def folder(self, artifact: Artifact) -> Path:
        """A folder to load an eraser from, likewise."""
        with self.reading() as (connection, _):
            return self._unpacked.folder(connection, artifact)

    def person(self, record: str, part: Part = "person") -> Person | None:
        """Whom a record is about, from the vault, "whole" with the images; None once that was destroyed."""
        with self.reading() as (connection, board):
            return self.vault.get(connection, board.find(record).id, part)

    def take(self, step: str, prefix: str, by: Decision, **given: str) -> Request:
        """Take a step of the table in `states`; what it needs beside is given as the command's options.

        Raises:
            LifeCycleError: the table has no such step from here, or something must come first.
            PersonalDataError: a text names somebody.
            OptionError: an option is missing or strange.
        """
        with self.writing() as writing:
            request = writing.board.find(prefix)
            moment = Moment(writing.board, self.policy, self.today, by.why)
            changes = changes_of(require(request, step), request, moment, given)
            writing.log(by, step, request.id, changes, {n: text for n, text in given.items() if n in TYPED})
        return self.request(request.id)

    def activate(self, prefix: str, by: Decision, until: str = "") -> Request:
        """Switch a verified request on."""
        return self.take("activate", prefix, by, until=until)

    def revoke(self, prefix: str, by: Decision) -> Request:
        """Take a request back, and destroy what the vault holds on it."""
        return self.take("revoke", prefix, by)

    def note(self, step: str, by: Decision, record: str | None = None, **facts: Any) -> Row:
        """Write something else into the log: an export, or what was done outside, such as about training data."""
        with self.writing() as writing:
            if record is None:
                return writing.log(by, step, None, facts)
            return writing.log(by, step, writing.board.find(record).id, {})

    @contextmanager
    def reading(self) -> Iterator[tuple[Connection, Board]]:
        """Everything as of now; no other thread reads on meanwhile."""
        with self._thread, self._database.transaction() as connection:
            self._catch_up(connection)
            yield connection, self._board

    @contextmanager
    def writing(self) -> Iterator[Writing]:
        """A transaction that is alone: all that is logged in it is on disk when the block ends, or nothing is."""
        with self._thread:
            try:
                with self._database.transaction(writes=True) as connection:
                    self._catch_up(connection)
                    self.vault.learn(connection, self._names)
                    writing = Writing(connection, self._board, self._names, self.vault, self.clock())
                    yield writing
            except BaseException:
                self._board = Board()  # it may hold rows that were not committed: read it again
                raise
            for record in writing.gone:
                self.keys.destroy(record)
            self.head()

    def _catch_up(self, connection: Connection) -> None:
        """Read what was written since; the row that was newest before must still be there, and be the same."""
        board, seen = self._board, (0, "") if self._keys is None else self._keys.noticed()
        for seq, digest in {board.newest, seen} - {(0, "")}:
            found = connection.scalar(select(LOG.c.hash).where(LOG.c.seq == seq))
            if found != digest:
                what = "is another" if found else "is missing"
                raise AuditError(
                    f"{self.home}: row {seq} of the log, which was seen before, {what}: an older file "
                    "was put in its place, or it was rewritten. Nothing is done and nothing served. Put back the "
                    "newest; if this is all that there is, 'unsee ledger adopt' goes on from it, and says so."
                )
        board.follow(log.rows(connection, board.newest[0]))
        if self._keys is not None and board.newest[0] > seen[0]:
            self._keys.notice(*board.newest)
