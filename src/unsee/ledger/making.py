"""Making a ledger, and taking an older copy for the true one."""

import os
import secrets
from contextlib import closing
from pathlib import Path

from unsee.erase.artifact_files import sync_folder
from unsee.errors import SaveError
from unsee.ledger import log
from unsee.ledger.database import DATABASE, Database
from unsee.ledger.errors import LedgerError, told
from unsee.ledger.keys import SEEN, Keys
from unsee.ledger.log import Decision
from unsee.ledger.policy import DEFAULT, FILE_NAME
from unsee.ledger.request import EDITION
from unsee.ledger.store import BUSY_SECONDS, Clock, Ledger, utc_now


def create(home: Path | str, keys: Keys, by: Decision, *, url: str = "", clock: Clock = utc_now) -> Ledger:
    """Make a ledger in a new or empty folder, and open it; a creation that was cut off is finished.

    Raises:
        LedgerError: there is a ledger, or the folder holds other things.
        SaveError: the folder cannot be made.
    """
    home = Path(home)
    with told(f"cannot make a ledger in {home}", "Choose another folder.", SaveError):
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        strange = sorted({e.name for e in home.iterdir()} - {DATABASE, f"{DATABASE}-journal", FILE_NAME})
        if strange:
            raise LedgerError(f"{home}: holds {strange[:5]}, expected a new or empty folder. Choose another.")
        if not (home / FILE_NAME).exists() or not (home / FILE_NAME).stat().st_size:
            text = DEFAULT.read_text(encoding="utf-8").replace('database = ""', f'database = "{url}"', 1)
            (home / FILE_NAME).write_text(text, encoding="utf-8")
        if not url:
            os.close(os.open(home / DATABASE, os.O_RDWR | os.O_CREAT, 0o600))
        for folder in (home, home.parent):
            sync_folder(folder)
    with closing(Database(home, url, BUSY_SECONDS)) as database:
        database.make()
        with database.transaction(writes=True) as connection:
            if next(log.rows(connection), None) is not None:
                raise LedgerError(f"{database.place}: there is a ledger already. Open it, or choose another.")
            facts = {"edition": EDITION, "ledger_id": secrets.token_hex(16), "public_key": keys.public_key}
            log.append(connection, None, by, "created", clock(), changes=facts)
    return Ledger(home, keys, clock=clock)


def adopt(home: Path | str, keys: Keys, by: Decision) -> log.Row:
    """Go on from an older copy of the ledger, because a newer one is lost; the log says what is missing."""
    seq, digest = keys.noticed()
    (keys.folder / SEEN).unlink(missing_ok=True)
    with Ledger(home, keys) as ledger:
        return ledger.note("adopted", by, seen=seq, hash=digest)
