"""The ledger: erasure requests from receipt to revocation, their artifacts, and the log of who did what and why.

Files are synced before the row that names them is committed, and deleted after the row that says so. What a crash
leaves between the two is swept at the next opening. No torch here: the check that reads an eraser is handed in.
"""

import hmac
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self, final

from unsee.ledger import audit, opening, steps, tables
from unsee.ledger.active import ActiveSet, active_set
from unsee.ledger.artifacts import ArtifactFolder, Check
from unsee.ledger.audit import AuditRow
from unsee.ledger.database import Database
from unsee.ledger.decision import Decision
from unsee.ledger.errors import KeyFileError, MissingArtifactError, PolicyError
from unsee.ledger.examination import Examination, Remark, examine
from unsee.ledger.keys import SubjectKey
from unsee.ledger.lifecycle import Request, State, stamp
from unsee.ledger.policy import FILE_NAME, Policy, read_policy
from unsee.ledger.signing import Head, Signer, signed_head
from unsee.ledger.steps import Activation, Writing
from unsee.ledger.tables import Artifact
from unsee.ledger.verification import Verification

BUSY_SECONDS = 30.0


def utc_now() -> datetime:
    """The system's clock."""
    return datetime.now(UTC)


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
        *,
        clock: Callable[[], datetime] = utc_now,
        busy_seconds: float = BUSY_SECONDS,
        mending: bool = False,
    ) -> None:
        """Open; migrates an older ledger and sweeps what a crash has left.

        Args:
            home: folder of the ledger.
            clock: says what time it is.
            busy_seconds: how long to wait for another process.
            mending: open also where files of a request are gone, to look, restore, revoke or export.

        Raises:
            LedgerError: there is no ledger, or it is damaged.
            SchemaError: a newer unsee wrote it.
            MissingArtifactError: names the requests whose files are gone.
            LedgerUnavailableError: locked, read-only, or the disk is full.
        """
        self.home, self._clock = Path(home), clock
        self.files = ArtifactFolder(self.home / opening.ARTIFACTS)
        self._database = Database(self.home / opening.DATABASE, busy_seconds)
        try:
            with self._database.write() as connection:
                missing = opening.recover(connection, self.files, clock())
                self.id = tables.meta(connection)["ledger_id"]
            if missing and not mending:
                raise MissingArtifactError(
                    f"{self.home}: files are gone of {len(missing)} request(s): {', '.join(missing[:5])}. Nothing is "
                    "loaded. Put the saved erasers back with 'unsee ledger attach', or revoke these requests."
                )
        except BaseException:
            self._database.close()
            raise

    @staticmethod
    def create(home: Path | str, key: SubjectKey, by: Decision, *, clock: Callable[[], datetime] = utc_now) -> "Ledger":
        """Make a ledger in a new or empty folder, and open it.

        Raises:
            LedgerError: there is a ledger already, or the folder holds other things.
            SaveError: the folder cannot be made.
        """
        opening.create(Path(home), key, by, clock(), BUSY_SECONDS)
        return Ledger(home, clock=clock)

    def now(self) -> datetime:
        """What the ledger's clock says."""
        return self._clock()

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

    def pseudonym(self, subject: str, key: SubjectKey) -> str:
        """What this ledger calls a subject.

        Raises:
            KeyFileError: not the key that the ledger was made with.
        """
        with self._database.read() as connection:
            known = tables.meta(connection)["subject_key_check"]
        if not hmac.compare_digest(known, key.check_value(self.id)):
            raise KeyFileError(
                f"{self.home}: was made with another subject key, expected that one: under a second key the same "
                "subject would not be found again."
            )
        return key.pseudonym(subject)

    def add(self, subject: str, key: SubjectKey, by: Decision) -> Request:
        """Receive a request.

        Args:
            subject: what your files call the person or thing; only its pseudonym is kept.
            key: the one that the ledger was made with.
            by: legal basis and scope are needed.

        Raises:
            KeyFileError: another key.
            OptionError: legal basis or scope is missing, or a text names the subject.
        """
        by.require_pseudonymous(subject)
        pseudonym = self.pseudonym(subject, key)
        with self._writing() as writing:
            return steps.receive(writing, pseudonym, by)

    def attach(self, request_id: str, source: Path | str, check: Check, by: Decision) -> Request:
        """Store the eraser that was fitted for a request; the same eraser again puts its files back.

        Args:
            request_id: received, or fitted or verified before and now fitted anew.
            source: a saved eraser; it is copied.
            check: reads the copy and says what it is, as `erasers.check_eraser` does.
            by: who fitted it.

        Raises:
            LifeCycleError: the request is past that, or another request holds this very artifact.
            ArtifactError: the eraser is damaged.
        """
        with self._writing() as writing:
            return steps.attach(writing, request_id, Path(source), check, by)

    def record(self, request_id: str, content_id: str, verification: Verification, by: Decision) -> Request:
        """Write down a verification; see `steps.record`."""
        with self._writing() as writing:
            return steps.record(writing, request_id, content_id, verification, by)

    def activate(self, request_id: str, by: Decision) -> Activation:
        """Switch a verified request on; see `steps.activate`."""
        policy = self.policy
        with self._writing() as writing:
            return steps.activate(writing, request_id, policy, by)

    def revoke(self, request_id: str, by: Decision) -> Request:
        """Take a request back; see `steps.revoke`."""
        policy = self.policy
        with self._writing() as writing:
            return steps.revoke(writing, request_id, policy, by)

    def compact(self, by: Decision) -> tuple[list[str], int]:
        """Delete artifacts that nobody holds past their retention; rows and log stay.

        Returns:
            Content ids purged, and the bytes freed.
        """
        policy = self.policy
        with self._writing() as writing:
            purged = steps.purge(writing, policy, by)
        with self._writing() as writing:  # again, because the same artifact may have been attached meanwhile
            freed = steps.delete_purged(writing, purged)
        self._database.checkpoint()
        return purged, freed

    def note(
        self, event: str, by: Decision, details: Mapping[str, object] | None = None, request_id: str | None = None
    ) -> AuditRow:
        """Write something else into the log: an export, or what was done outside, such as about training data."""
        with self._writing() as writing:
            request = None if request_id is None else tables.request_of(writing.connection, request_id)
            return writing.log(by, event, request, details=details)

    def sign(self, signer: Signer) -> Head:
        """Sign the newest row; take the result to another place."""
        with self._writing() as writing:
            last = audit.last_row(writing.connection)
            assert last is not None, "a ledger begins with a row"
            head = signed_head(self.id, last.seq, last.hash, stamp(writing.now), signer)
            tables.insert_head(writing.connection, head)
        return head

    def request(self, request_id: str) -> Request:
        """One request.

        Raises:
            UnknownRequestError: there is none of that id.
        """
        with self._database.read() as connection:
            return tables.request_of(connection, request_id)

    def requests(self, states: tuple[State, ...] | None = None, subject: str | None = None) -> list[Request]:
        """Requests in order of receipt, those of some states or of one pseudonym."""
        with self._database.read() as connection:
            return tables.requests_where(connection, states, subject)

    def artifact(self, content_id: str) -> Artifact | None:
        """What is known of an artifact, purged or not."""
        with self._database.read() as connection:
            return tables.artifact_of(connection, content_id)

    def history(self, request_id: str | None = None) -> list[AuditRow]:
        """Rows of the log, of one request or all."""
        with self._database.read() as connection:
            return list(audit.rows(connection, request_id))

    def heads(self) -> list[Head]:
        """Signed heads, oldest first."""
        with self._database.read() as connection:
            return tables.heads(connection, self.id)

    def version(self) -> int:
        """Number of the newest row of the log: it grows with every change of what is in force."""
        with self._database.read() as connection:
            last = audit.last_row(connection)
        assert last is not None, "a ledger begins with a row"
        return last.seq

    def active(self) -> ActiveSet:
        """What is in force now; its files are not read."""
        steering = self.policy.steering
        with self._database.read() as connection:
            return active_set(connection, steering)

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

    def examine(self, signer: Signer | None = None, head: Head | None = None) -> Examination:
        """Check log, tables, files and signatures; see `examination.examine`. A broken policy is remarked on."""
        with self._database.read() as connection:
            found = examine(connection, self.files, signer, head)
        try:
            _ = self.policy
        except PolicyError as error:
            text = f"the log does not rest on it, but nothing is verified, activated or served meanwhile: {error}"
            return replace(found, remarks=(*found.remarks, Remark("warn", text)))
        return found

    @contextmanager
    def _writing(self) -> Iterator[Writing]:
        with self._database.write() as connection:
            yield Writing(connection, self.id, self.files, self._clock())
