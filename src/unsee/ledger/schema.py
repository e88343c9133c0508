"""The version of the tables, and how an older ledger gets to the newest one.

Tables and triggers stand in `migrations/*.sql`, one file a version. The life cycle and the append-only log are written
there too, so that they hold for whoever writes SQL and not only for this package.
"""

import sqlite3
from functools import cache
from importlib.resources import files

from unsee.ledger.errors import SchemaError

APPLICATION_ID = int.from_bytes(b"unse", "big")
"""Tells a ledger from other SQLite files, also to `file(1)`."""


@cache
def migrations() -> tuple[str, ...]:
    """The scripts in order; a file of version n has been through the first n."""
    folder = files("unsee.ledger").joinpath("migrations")
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return tuple(folder.joinpath(name).read_text(encoding="utf-8") for name in names)


def version_of(connection: sqlite3.Connection) -> int:
    """The schema version of an open file; 0 is an empty one.

    Raises:
        SchemaError: written by a newer unsee, or not a ledger at all.
    """
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    application = int(connection.execute("PRAGMA application_id").fetchone()[0])
    tables = int(connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])
    if (version, application, tables) == (0, 0, 0):
        return 0
    if application != APPLICATION_ID or version < 1:
        raise SchemaError(
            f"the database has application id {application:#x} and version {version}, expected {APPLICATION_ID:#x} "
            f"and 1 to {len(migrations())}: it is not a ledger. Check the path."
        )
    if version > len(migrations()):
        raise SchemaError(
            f"the ledger has schema version {version}, this unsee knows versions up to {len(migrations())}: a newer "
            "unsee wrote it. Nothing was changed. Update unsee to open it."
        )
    return version


def migrate(connection: sqlite3.Connection, to: int | None = None) -> tuple[int, int]:
    """Bring an open file up to a version, inside the caller's transaction; returns the old and the new version.

    Args:
        connection: in a transaction, so that all of it happens or nothing.
        to: the newest by default.

    Raises:
        SchemaError: written by a newer unsee, or not a ledger at all.
    """
    before, after = version_of(connection), len(migrations()) if to is None else to
    for script in migrations()[before:after]:
        for statement in _statements(script):
            connection.execute(statement)
    if after > before:
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {after}")
    return before, max(before, after)


def differences(connection: sqlite3.Connection) -> list[str]:
    """Names of tables, triggers and indexes that are missing, strange or changed; empty when all is as made."""
    listing = "SELECT name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'"
    fresh = sqlite3.connect(":memory:", isolation_level=None)
    try:
        migrate(fresh)
        expected = dict(fresh.execute(listing).fetchall())
    finally:
        fresh.close()
    found = dict(connection.execute(listing).fetchall())
    return sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))


def _statements(script: str) -> list[str]:
    """The statements one by one: `executescript` would commit the caller's transaction."""
    found, text = [], ""
    for line in script.splitlines(keepends=True):
        text += line
        if sqlite3.complete_statement(text):
            found.append(text.strip())
            text = ""
    return found
