"""The ledger: requests from receipt to their end, their erasers, and the log of who did what and why.

Everything but keys and policy is in one database, so that what belongs together is written together or not at all. No
torch here: the check that reads an eraser is handed in.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Self, final

from pydantic_core import to_jsonable_python
from sqlalchemy import Connection, delete, select

from unsee.ledger import log
from unsee.ledger.active import ActiveSet, active_set
from unsee.ledger.database import FILES, LOG, Database, unlike_made
from unsee.ledger.errors import AuditError, KeyFileError, LedgerError
from unsee.ledger.files import Unpacked
from unsee.ledger.keys import Keys
from unsee.ledger.log import Decision, Row
from unsee.ledger.policy import FILE_NAME, Policy, read_policy
from unsee.ledger.request import Artifact, Board, Request
from unsee.ledger.states import ENDED, require
from unsee.ledger.steps import changes_of
from unsee.ledger.vault import Person, Vault

BUSY_SECONDS = 30.0
Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """The system's clock."""
    return datetime.now(UTC)


@final
class Ledger:
    """An open ledger; several threads may use it, and several processes may each open it."""

    def __init__(
        self, home: Path | str, keys: Keys | None = None, *, clock: Clock = utc_now, busy_seconds: float = BUSY_SECONDS
    ) -> None:
        """Open, and read the whole log; without keys, only to read.

        Raises:
            LedgerError: there is no ledger, it is damaged or in use, or the keys are another ledger's.
            AuditError: its log is not what was written, or an older one than these keys have seen.
        """
        self.home, self.clock, self._board = Path(home), clock, Board()
        self._vault: Vault | None = None
        self._thread, self._unpacked = threading.RLock(), Unpacked()
        if not (self.home / FILE_NAME).is_file():
            raise LedgerError(f"{home}: there is no ledger. Check the path, or make one with 'unsee ledger init'.")
        self.database = Database(self.home, self.policy.database, busy_seconds, read_only=keys is None)
        try:
            self._open(keys)
        except BaseException:
            self.close()
            raise

    def _open(self, keys: Keys | None) -> None:
        with self.database.transaction() as connection:
            first = None if unlike_made(connection, LOG) else next(log.rows(connection), None)
            if first is None:
                raise LedgerError(
                    f"{self.home}: there is no ledger of this edition yet, or it was never finished. Run 'unsee ledger "
                    "init', or use the unsee that wrote it."
                )
            self._board.follow([first])
            self.id, self.public_key = str(first.changes["ledger_id"]), str(first.changes["public_key"])
        if keys is not None:
            if keys.public_key != self.public_key:
                raise KeyFileError(f"{keys.folder} holds another ledger's keys. Give those made with {self.home}.")
            self._vault = Vault(keys, self.id)
            with self.reading() as (connection, _):
                left = keys.records() - self._vault.held(connection)
            if left:  # a crash came between a row and its key
                with self.writing() as (connection, _):
                    for record in keys.records() - self._vault.held(connection):
                        keys.destroy(record)

    def close(self) -> None:
        """Close; the object is of no use afterwards."""
        self.database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def policy(self) -> Policy:
        """The policy file as it is now."""
        return read_policy(self.home / FILE_NAME)

    @property
    def today(self) -> date:
        """The day in the policy's zone."""
        return self.policy.deadlines.day(self.clock())

    @property
    def vault(self) -> Vault:
        """What protects personal data, with its keys; KeyFileError where the ledger was opened without."""
        if self._vault is None:
            raise KeyFileError("the ledger was opened to be read; open it with its keys (--keys) to write.")
        return self._vault

    @property
    def keys(self) -> Keys:
        """The operator's keys, likewise."""
        return self.vault.keys

    @property
    def has_keys(self) -> bool:
        """Whether it was opened to write."""
        return self._vault is not None

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
            return [row for row in log.rows(connection) if record in (None, row.record)]

    def head(self) -> Row:
        """The newest row: its number grows with every change of what is in force."""
        with self.reading() as (_, board):
            return board.last

    def active(self) -> ActiveSet:
        """What is in force now; its files are not read."""
        with self.reading() as (_, board):
            return active_set(board, self.policy.steering)

    def active_folders(self) -> tuple[ActiveSet, dict[str, Path]]:
        """What is in force and, by content id and in the same order, the folders to load it from.

        Raises:
            MissingArtifactError: a file is gone or changed; nothing may be served as if it were erased.
        """
        with self.reading() as (connection, board):
            found, folder = active_set(board, self.policy.steering), self._unpacked.folder
            return found, {one.content_id: folder(connection, one) for one in found.requests.values()}

    def folder(self, artifact: Artifact) -> Path:
        """A folder to load an eraser from, likewise."""
        with self.reading() as (connection, _):
            return self._unpacked.folder(connection, artifact)

    def person(self, record: str) -> Person | None:
        """Whom a record is about, from the vault; None once that was destroyed."""
        with self.reading() as (connection, board):
            return self.vault.get(connection, board.find(record).id)

    def take(self, step: str, prefix: str, by: Decision, **given: str) -> Request:
        """Take a step of the table in `states`; what it needs beside is given as the command's options.

        Raises:
            LifeCycleError: the table has no such step from here, or something must come first.
            PersonalDataError: a text names somebody.
            OptionError: an option is missing or strange.
        """
        with self.writing() as (connection, board):
            one = board.find(prefix)
            changes = changes_of(require(one, step), one, board, self.policy, self.today, by.why, given)
            self.vault.names.require_absent("the policy's ground", changes.get("ground", ""), None)
            self.write(connection, by, step, one.id, changes, {"how": given.get("how", "")})
            return board.requests[one.id]

    def note(self, step: str, by: Decision, record: str | None = None, **facts: Any) -> Row:
        """Write something else into the log: an export, or what was done outside, such as about training data."""
        with self.writing() as (connection, board):
            # Of a record, a row says only which of its fields it sets.
            about, said = (None, facts) if record is None else (board.find(record).id, {})
            return self.write(connection, by, step, about, said)

    @contextmanager
    def reading(self) -> Iterator[tuple[Connection, Board]]:
        """Everything as of now; no other thread reads on meanwhile."""
        with self._thread, self.database.transaction() as connection:
            self._catch_up(connection)
            yield connection, self._board

    @contextmanager
    def writing(self) -> Iterator[tuple[Connection, Board]]:
        """A transaction that is alone: all that is written in it is on disk when the block ends, or nothing is."""
        with self._thread:
            vault, before = self.vault, set[str]()
            try:
                with self.database.transaction(writes=True) as connection:
                    self._catch_up(connection)
                    vault.learn(connection)
                    before = vault.held(connection)
                    yield connection, self._board
                    gone = before - vault.held(connection)
            except BaseException:
                self._board = Board()  # it may hold rows that were not committed: read it again
                vault.names.keep(set())
                raise
            for record in gone:
                self.keys.destroy(record)
            self.head()

    def write(
        self, connection: Connection, by: Decision, step: str, record: str | None, changes: Mapping[str, Any],
        texts: Mapping[str, str] | None = None,
    ) -> Row:  # fmt: skip
        """Write one row in a transaction of `writing`; erasers and personal data that nothing holds after it go.

        Raises:
            PersonalDataError: who, why, what it rests on, or another text that was typed names somebody.
        """
        for name, text in {**vars(by), **(texts or {})}.items():
            self.vault.names.require_absent(name.replace("_", " "), text, record)
        board, before = self._board, set(self._board.artifacts)
        row = log.append(connection, board.newest, by, step, self.clock(), record, to_jsonable_python(dict(changes)))
        board.follow([row])
        if released := before - set(board.artifacts):
            connection.execute(delete(FILES).where(FILES.c.content_id.in_(released)))
        if record is not None and board.requests[record].state in ENDED:
            self.vault.delete(connection, record)
        return row

    def _catch_up(self, connection: Connection) -> None:
        """Read what was written since; the row that was newest before must still be there, and be the same."""
        board, seen = self._board, (0, "") if self._vault is None else self._vault.keys.noticed()
        known = (board.newest.seq, board.newest.hash) if board.newest else (0, "")
        for seq, digest in {known, seen} - {(0, "")}:
            found = connection.scalar(select(LOG.c.hash).where(LOG.c.seq == seq))
            if found != digest:
                what = "is another" if found else "is missing"
                raise AuditError(
                    f"{self.home}: row {seq} of the log, which was seen before, {what}: an older file was put in its "
                    "place, or it was rewritten. Nothing is done and nothing served. Put back the newest; if this is "
                    "all that there is, 'unsee ledger adopt' goes on from it, and says so."
                )
        board.follow(log.rows(connection, board.newest))
        if self._vault is not None and board.last.seq > seen[0]:
            self._vault.keys.notice(board.last.seq, board.last.hash)
