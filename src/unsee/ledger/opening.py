"""Making a ledger, and opening one: migration, and the sweeping of what a crash has left."""

import os
import secrets
from datetime import datetime
from pathlib import Path
from sqlite3 import Connection

from unsee.erase.artifact_files import sync_folder
from unsee.errors import SaveError
from unsee.ledger import audit, tables
from unsee.ledger.artifacts import ArtifactFolder
from unsee.ledger.database import Database
from unsee.ledger.decision import SYSTEM, Decision
from unsee.ledger.errors import LedgerError
from unsee.ledger.keys import SubjectKey
from unsee.ledger.lifecycle import HOLDING
from unsee.ledger.policy import FILE_NAME, default_policy
from unsee.ledger.schema import migrate, version_of

DATABASE = "ledger.db"
ARTIFACTS = "artifacts"
_DRAFT = ".policy.saving"


def create(home: Path, key: SubjectKey, by: Decision, now: datetime, busy_seconds: float) -> None:
    """Make a ledger in a new or empty folder; a creation that was cut off is finished.

    Args:
        home: the folder; only this user may enter it.
        key: of the pseudonyms; the ledger keeps a check value and not the key.
        by: who makes it.
        now: what time it is.
        busy_seconds: how long to wait for another process.

    Raises:
        LedgerError: there is a ledger, or the folder holds other things.
        SaveError: the folder cannot be made.
    """
    ours = {DATABASE, *(f"{DATABASE}-{end}" for end in ("wal", "shm", "journal")), "lock", ARTIFACTS, FILE_NAME, _DRAFT}
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        strange = sorted({entry.name for entry in home.iterdir()} - ours)
        if strange:
            raise LedgerError(f"{home}: holds {strange[:5]}, expected a new or empty folder. Choose another.")
        (home / ARTIFACTS).mkdir(exist_ok=True)
        if not (home / FILE_NAME).exists():
            (home / _DRAFT).write_text(default_policy(), encoding="utf-8")
            os.replace(home / _DRAFT, home / FILE_NAME)
        os.close(os.open(home / DATABASE, os.O_RDWR | os.O_CREAT, 0o600))
        for folder in (home, home.parent):
            sync_folder(folder)
    except OSError as error:
        raise SaveError(f"cannot make a ledger in {home}: {error.strerror}. Choose another folder.") from error
    database = Database(home / DATABASE, busy_seconds)
    try:
        with database.write() as connection:
            if version_of(connection):
                raise LedgerError(f"{home}: there is a ledger already. Open it, or choose another folder.")
            migrate(connection)
            ledger_id = secrets.token_hex(16)
            facts = {"ledger_id": ledger_id, "subject_key_check": key.check_value(ledger_id)}
            connection.executemany("INSERT INTO meta VALUES (?, ?)", facts.items())
            entry = audit.Entry("created", by.who, by.why, details=facts | {"schema": version_of(connection)})
            audit.append(connection, ledger_id, entry, now)
    finally:
        database.close()


def recover(connection: Connection, files: ArtifactFolder, now: datetime) -> list[str]:
    """Migrate, sweep, and name the requests whose files are gone; inside the caller's transaction.

    Returns:
        For each request without files, a line that says which.

    Raises:
        LedgerError: the file is empty.
        SchemaError: a newer unsee wrote it.
    """
    if version_of(connection) == 0:
        raise LedgerError(f"{files.home.parent}: the ledger was never finished. Run 'unsee ledger init' again.")
    before, after = migrate(connection)
    ledger_id = tables.meta(connection)["ledger_id"]
    if after > before:
        entry = audit.Entry("migrated", SYSTEM.who, SYSTEM.why, details={"from": before, "to": after})
        audit.append(connection, ledger_id, entry, now)
    try:
        files.home.mkdir(exist_ok=True)
    except FileExistsError as error:
        raise LedgerError(f"{files.home}: is a file, expected the folder of artifacts. Restore it.") from error
    kept = [artifact for artifact in tables.artifacts(connection) if artifact.purged is None]
    removed = files.sweep({artifact.content_id for artifact in kept})
    if removed:
        why = "an operation was cut off and left them"
        entry = audit.Entry("recovered", SYSTEM.who, why, details={"swept": removed})
        audit.append(connection, ledger_id, entry, now)
    there = {a.content_id: a for a in kept if files.missing(a.content_id, a.files)}
    held = [r for r in tables.requests_where(connection, HOLDING) if r.content_id in there]
    return [f"{r.id} ({r.state}, artifact {(r.content_id or '')[:19]}...)" for r in held]
