"""What the tables hold, as values; reading and writing single rows. Whoever calls has opened a transaction."""

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, final

from unsee.ledger.artifacts import Digests, Facts
from unsee.ledger.audit import AuditRow
from unsee.ledger.errors import LedgerError, UnknownRequestError
from unsee.ledger.framing import canonical
from unsee.ledger.lifecycle import HOLDING, Request, State
from unsee.ledger.signing import Head


@final
@dataclass(frozen=True)
class Artifact:
    """A row of the artifacts.

    Attributes:
        content_id: its name.
        model_id: the checkpoint it was made on.
        model_digest: of that checkpoint's weights.
        about: what the check said of it.
        files: digests of its files.
        released: when the last request let go of it, or None while one holds it.
        purged: row of the log that recorded the deletion of its files, or None while they are there.
    """

    content_id: str
    model_id: str
    model_digest: str
    about: Mapping[str, Any]
    files: Digests
    released: str | None
    purged: int | None


def meta(connection: sqlite3.Connection) -> dict[str, str]:
    """Facts about the ledger as a whole."""
    return dict(connection.execute("SELECT name, value FROM meta").fetchall())


def request_of(connection: sqlite3.Connection, request_id: str) -> Request:
    """One request.

    Raises:
        UnknownRequestError: there is none of that id.
    """
    found = connection.execute(f"{_REQUESTS} WHERE id = ?", (request_id,)).fetchone()
    if found is None:
        raise UnknownRequestError(
            f"there is no request {request_id!r:.60}. Expected an id as 'unsee ledger list' shows them, such as "
            "'r-0123456789abcdef'."
        )
    return Request(*found)


def requests_where(
    connection: sqlite3.Connection, states: tuple[State, ...] | None = None, subject: str | None = None
) -> list[Request]:
    """Requests in order of receipt, those of some states or of one pseudonym."""
    wanted: list[tuple[str, tuple[str, ...]]] = []
    if states is not None:
        wanted.append((f"state IN ({', '.join('?' * len(states))})", states))
    if subject is not None:
        wanted.append(("subject = ?", (subject,)))
    where = f" WHERE {' AND '.join(text for text, _ in wanted)}" if wanted else ""
    values = [value for _, some in wanted for value in some]
    return [Request(*row) for row in connection.execute(f"{_REQUESTS}{where} ORDER BY rowid", values)]


def holder_of(connection: sqlite3.Connection, content_id: str) -> str | None:
    """The request that holds this artifact now, if any."""
    marks = ", ".join("?" * len(HOLDING))
    query = f"SELECT id FROM requests WHERE content_id = ? AND state IN ({marks})"
    found = connection.execute(query, (content_id, *HOLDING)).fetchone()
    return None if found is None else found[0]


def artifact_of(connection: sqlite3.Connection, content_id: str) -> Artifact | None:
    """One artifact's row."""
    found = connection.execute(f"{_ARTIFACTS} WHERE content_id = ?", (content_id,)).fetchone()
    return None if found is None else _artifact(found)


def artifacts(connection: sqlite3.Connection) -> list[Artifact]:
    """All of them, by content id."""
    return [_artifact(row) for row in connection.execute(f"{_ARTIFACTS} ORDER BY content_id")]


def insert_request(connection: sqlite3.Connection, request: Request) -> None:
    """A request that has just been received."""
    names = [f.name for f in fields(Request)]
    connection.execute(
        f"INSERT INTO requests ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})",
        [getattr(request, name) for name in names],
    )


def update_request(
    connection: sqlite3.Connection, request: Request, to: State, row: AuditRow, content_id: str | None
) -> Request:
    """Take the step that the row of the log has just recorded."""
    connection.execute(
        "UPDATE requests SET state = ?, content_id = ?, changed = ?, audit_seq = ? WHERE id = ?",
        (to, content_id, row.at, row.seq, request.id),
    )
    return request_of(connection, request.id)


def store_artifact(connection: sqlite3.Connection, facts: Facts, files: Digests) -> None:
    """An artifact whose files are in place, held from now on."""
    connection.execute(
        "INSERT INTO artifacts (content_id, model_id, model_digest, about, files) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT (content_id) DO UPDATE SET model_id = excluded.model_id, model_digest = excluded.model_digest, "
        "about = excluded.about, files = excluded.files, released = NULL, purged = NULL",
        (
            facts.content_id,
            facts.model_id,
            facts.model_digest,
            canonical(dict(facts.about)),
            canonical(dict(files)),
        ),
    )


def release_artifact(connection: sqlite3.Connection, content_id: str | None, at: str) -> None:
    """Nobody holds it any more: its retention begins."""
    connection.execute("UPDATE artifacts SET released = ? WHERE content_id = ?", (at, content_id))


@final
@dataclass(frozen=True)
class VerificationRow:
    """A verification: its row of the log, whether it passed, and the digest of the thresholds."""

    audit_seq: int
    passed: bool
    policy: str


def last_verification(connection: sqlite3.Connection, request: Request) -> VerificationRow | None:
    """The newest verification of the artifact that the request holds."""
    found = connection.execute(
        "SELECT audit_seq, passed, policy FROM verifications WHERE request_id = ? AND content_id = ? "
        "ORDER BY audit_seq DESC LIMIT 1",
        (request.id, request.content_id),
    ).fetchone()
    return None if found is None else VerificationRow(found[0], bool(found[1]), found[2])


def insert_head(connection: sqlite3.Connection, head: Head) -> None:
    """A signed head; the same row signed twice with one key keeps the first signature."""
    connection.execute(
        "INSERT OR IGNORE INTO heads (seq, hash, signed, algorithm, key_id, signature) VALUES (?, ?, ?, ?, ?, ?)",
        (head.seq, head.hash, head.signed, head.algorithm, head.key_id, head.signature),
    )


def heads(connection: sqlite3.Connection, ledger_id: str) -> list[Head]:
    """Signed heads, oldest first."""
    query = "SELECT seq, hash, signed, algorithm, key_id, signature FROM heads ORDER BY seq, signed"
    return [Head(ledger_id, *row) for row in connection.execute(query)]


_REQUESTS = f"SELECT {', '.join(f.name for f in fields(Request))} FROM requests"
_ARTIFACTS = f"SELECT {', '.join(f.name for f in fields(Artifact))} FROM artifacts"


def _artifact(row: tuple[Any, ...]) -> Artifact:
    content_id, model_id, model_digest, *texts, released, purged = row
    about, files = (json.loads(text) for text in texts)
    if not isinstance(about, dict) or not isinstance(files, dict) or not files:
        raise LedgerError(
            f"artifact {content_id[:19]}...: its row was altered: {texts[1]!r:.60} are no files. Restore it."
        )
    return Artifact(content_id, model_id, model_digest, about, files, released, purged)
