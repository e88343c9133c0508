"""Making a ledger, and taking an older copy for the true one."""

import os
import secrets
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path

from unsee.erase.artifact_files import sync_folder
from unsee.errors import SaveError
from unsee.ledger import log
from unsee.ledger.database import DATABASE, Database
from unsee.ledger.errors import LedgerError
from unsee.ledger.framing import utc_now
from unsee.ledger.keys import SEEN, Keys
from unsee.ledger.log import Decision
from unsee.ledger.policy import FILE_NAME, default_policy
from unsee.ledger.store import BUSY_SECONDS, Ledger


def create(home: Path | str, keys: Keys, by: Decision, *, clock: Callable[[], datetime] = utc_now) -> Ledger:
    """Make a ledger in a new or empty folder, and open it; a creation that was cut off is finished.

    Args:
        home: the folder; only this user may enter it.
        keys: new ones; the ledger keeps a check value and the public key.
        by: who makes it.
        clock: says what time it is.

    Raises:
        LedgerError: there is a ledger, or the folder holds other things.
        SaveError: the folder cannot be made.
    """
    home = Path(home)
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        strange = sorted({e.name for e in home.iterdir()} - {DATABASE, f"{DATABASE}-journal", FILE_NAME})
        if strange:
            raise LedgerError(f"{home}: holds {strange[:5]}, expected a new or empty folder. Choose another.")
        if not (home / FILE_NAME).exists() or not (home / FILE_NAME).stat().st_size:
            (home / FILE_NAME).write_text(default_policy(), encoding="utf-8")
        os.close(os.open(home / DATABASE, os.O_RDWR | os.O_CREAT, 0o600))
        for folder in (home, home.parent):
            sync_folder(folder)
    except OSError as error:
        raise SaveError(f"cannot make a ledger in {home}: {error.strerror}. Choose another folder.") from error
    database = Database(home / DATABASE, BUSY_SECONDS, create=True)
    try:
        with database.write() as connection:
            if connection.execute("SELECT count(*) FROM meta").fetchone()[0]:
                raise LedgerError(f"{home}: there is a ledger already. Open it, or choose another folder.")
            ledger_id = secrets.token_hex(16)
            facts: Mapping[str, str] = {
                "ledger_id": ledger_id, "check_value": keys.check_value(ledger_id), "public_key": keys.public_key,
            }  # fmt: skip
            connection.executemany("INSERT INTO meta VALUES (?, ?)", facts.items())
            log.append(connection, None, ledger_id, by, "created", clock(), changes=facts)
    finally:
        database.close()
    return Ledger(home, keys, clock=clock)


def adopt(home: Path | str, keys: Keys, by: Decision) -> log.Row:
    """Go on from an older copy of the ledger, because a newer one is lost; the log says what is missing."""
    seq, digest = keys.noticed()
    (keys.folder / SEEN).unlink(missing_ok=True)
    with Ledger(home, keys) as ledger:
        return ledger.note("adopted", by, seen=seq, hash=digest)
