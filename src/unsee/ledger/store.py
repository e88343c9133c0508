"""The ledger: requests from receipt to their end, their artifacts, and the log of who did what and why.

Files are synced before the row that names them is committed, and deleted after the row that says so. What a crash
leaves between the two is swept at the next opening. No torch here: the check that reads an eraser is handed in.
"""

import hmac
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self, final

from unsee.ledger import log
from unsee.ledger.active import ActiveSet, active_set
from unsee.ledger.artifacts import ARTIFACTS, Artifact, ArtifactFolder
from unsee.ledger.board import Board, Request
from unsee.ledger.database import DATABASE, Database
from unsee.ledger.errors import AuditError, KeyFileError, MissingArtifactError
from unsee.ledger.framing import utc_now
from unsee.ledger.keys import Keys
from unsee.ledger.log import Decision, Row
from unsee.ledger.names import Names
from unsee.ledger.policy import FILE_NAME, Policy, read_policy
from unsee.ledger.states import State, require
from unsee.ledger.steps import TYPED, Moment, details
from unsee.ledger.vault import IMAGE, Person, Vault
from unsee.ledger.writing import Writing

BUSY_SECONDS = 30.0
SYSTEM = Decision("unsee", "done by the program itself")


@final
class Ledger:
    """An open ledger; several threads may use it, and several processes may each open it.

    Attributes:
        home: its folder.
        id: random, made with it.
        files: where artifacts lie.
    """

    def __init__(
        self,
        home: Path | str,
        keys: Keys | None = None,
        *,
        clock: Callable[[], datetime] = utc_now,
        busy_seconds: float = BUSY_SECONDS,
    ) -> None:
        """Open, and read the whole log; without keys, only to read.

        Args:
            home: folder of the ledger.
            keys: the operator's.
            clock: says what time it is.
            busy_seconds: how long to wait for another process.

        Raises:
            LedgerError: there is no ledger, or it is damaged.
            AuditError: its log is not what was written, or an older one than these keys have seen.
            KeyFileError: the keys are another ledger's.
            LedgerUnavailableError: locked, read-only, or the disk is full.
        """
        self.home, self.clock, self._keys = Path(home), clock, keys
        self.files = ArtifactFolder(self.home / ARTIFACTS)
        self._database = Database(self.home / DATABASE, busy_seconds, read_only=keys is None)
        try:
            with self._database.read() as connection:
                meta = dict(connection.execute("SELECT name, value FROM meta").fetchall())
                self.id, self.public_key = meta["ledger_id"], meta["public_key"]
            self._board, self._names = Board(log.genesis(self.id)), Names()
            if keys is not None and not hmac.compare_digest(meta["check_value"], keys.check_value(self.id)):
                raise KeyFileError(f"{keys.folder} holds another ledger's keys. Give those made with {self.home}.")
            self._now()
            if keys is not None:
                self._sweep(keys)
        except BaseException:
            self._database.close()
            raise

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

    def requests(self, states: Sequence[str] | None = None, subject: str | None = None) -> list[Request]:
        """Requests and complaints in order of receipt, those in some states or of one pseudonym."""
        with self.reading() as (_, board):
            found = list(board.requests.values())
        return [r for r in found if (not states or r.state in states) and subject in (None, r.subject)]

    def request(self, prefix: str) -> Request:
        """The one whose id begins so; see `Board.find`."""
        with self.reading() as (_, board):
            return board.find(prefix)

    def artifact(self, content_id: str) -> Artifact | None:
        """What is known of an artifact whose files are kept."""
        with self.reading() as (_, board):
            return board.artifacts.get(content_id)

    def history(self, record: str | None = None) -> list[Row]:
        """Rows of the log, of one request or all."""
        with self.reading() as (connection, _):
            return list(log.rows(connection, record=record))

    def version(self) -> int:
        """Number of the newest row: it grows with every change of what is in force.

        Raises:
            AuditError: the log is older than it was, or another one.
        """
        return self._now().seq

    def head(self) -> Row:
        """The newest row."""
        last = self._now().last
        assert last is not None, "a ledger begins with a row"
        return last

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
        while True:
            found = self.active()
            try:
                return found, found.folders(self.files)
            except MissingArtifactError:
                if self.active().digest == found.digest:  # else it was revoked and purged while we read
                    raise

    def person(self, record: str) -> Person | None:
        """Whom a record is about, from the vault; None once that was destroyed."""
        with self.reading() as (connection, board):
            return self.vault.person(connection, board.find(record).id)

    def images(self, record: str) -> list[bytes]:
        """Images of the person, from the vault."""
        with self.reading() as (connection, board):
            return list(self.vault.get(connection, board.find(record).id, IMAGE).values())

    def take(self, step: str, prefix: str, by: Decision, **given: str) -> Request:
        """Take a step of the table in `states`.

        Args:
            step: its name.
            prefix: of the record's id.
            by: who decides, and why.
            **given: what the step needs beside, as the command's options.

        Raises:
            LifeCycleError: the table has no such step from here, or something must come first.
            PersonalDataError: a text names somebody.
            OptionError: an option is missing or strange.
        """
        with self.writing() as writing:
            request = self._board.find(prefix)
            row = require(request, step)
            said = details(step, request, self._moment(), given)
            if row.after in (State.REVOKED, State.EXPIRED):
                said |= {"destroyed": self.vault.delete(writing.connection, request.id)}
            typed = {name: text for name, text in given.items() if name in TYPED}
            writing.log(by, step, request.id, row.after or request.state, said, typed)
        if row.after in (State.REVOKED, State.EXPIRED):
            self.keys.destroy(request.id)
        return self.request(request.id)

    def activate(self, prefix: str, by: Decision, until: str = "") -> Request:
        """Switch a verified request on."""
        return self.take("activate", prefix, by, until=until)

    def revoke(self, prefix: str, by: Decision) -> Request:
        """Take a request back, and destroy what the vault holds on it."""
        return self.take("revoke", prefix, by)

    def note(self, step: str, by: Decision, details: Mapping[str, Any] | None = None, record: str | None = None) -> Row:
        """Write something else into the log: an export, or what was done outside, such as about training data."""
        with self.writing() as writing:
            request = None if record is None else self._board.find(record)
            return writing.log(by, step, request and request.id, request and request.state, dict(details or {}))

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

    @property
    def vault(self) -> Vault:
        """What protects personal data."""
        return Vault(self.keys, self.id)

    def _moment(self) -> Moment:
        return Moment(self._board, self.policy, self.files, self.today)

    @contextmanager
    def reading(self) -> Iterator[tuple[sqlite3.Connection, Board]]:
        """Everything as of now; no other thread reads on meanwhile."""
        with self._database.read() as connection:
            self._catch_up(connection)
            yield connection, self._board

    def _now(self) -> Board:
        with self.reading() as (_, board):
            return board

    def _catch_up(self, connection: sqlite3.Connection) -> None:
        """Read what was written since; the row that was newest before must still be there, and be the same."""
        board, seen = self._board, (0, "") if self._keys is None else self._keys.noticed()
        for seq, digest in {(board.seq, board.hash), seen} - {(0, ""), (0, board.hash)}:
            found = connection.execute("SELECT hash FROM log WHERE seq = ?", (seq,)).fetchone()
            if found != (digest,):
                gone = "is another" if found else "is missing"
                raise AuditError(
                    f"{self.home}: row {seq} of the log, which was seen before, {gone}: "
                    "an older file was put in its place, or it was rewritten. Nothing is done and nothing served. Put "
                    "back the newest; if this is all that there is, 'unsee ledger adopt' goes on from it, and says so."
                )
        board.follow(log.rows(connection, board.seq))
        if self._keys is not None and board.seq > seen[0]:
            self._keys.notice(board.seq, board.hash)

    @contextmanager
    def writing(self) -> Iterator[Writing]:
        """A transaction that is alone: all that is logged in it is on disk when the block ends, or nothing is."""
        try:
            with self._database.write() as connection:
                self._catch_up(connection)
                self.vault.learn(connection, self._names)
                yield Writing(connection, self.id, self._board, self._names, self.clock())
        except BaseException:
            self._board = Board(log.genesis(self.id))  # it may hold rows that were not committed: read it again
            raise
        self._now()

    def _sweep(self, keys: Keys) -> None:
        """Delete what a crash left; looked at without the write lock first, so that opening does not wait for it."""
        with self.reading() as (connection, board):
            held = {record for (record,) in connection.execute("SELECT DISTINCT record FROM vault")}
        if self.files.orphans(board.artifacts) or keys.records() - held:
            with self.writing() as writing:
                left = {"files": self.files.sweep(self._board.artifacts), "keys": self.vault.sweep(writing.connection)}
                if any(left.values()):
                    writing.log(Decision(SYSTEM.who, "an operation was cut off and left them"), "swept", details=left)
