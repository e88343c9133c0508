"""What leaves the ledger signed: heads of the log, receipts for requesters, snapshots for servers."""

import json
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unsee.erase.strict_json import parsed_object
from unsee.errors import ArtifactError, SaveError
from unsee.ledger.crypto import signed, verified
from unsee.ledger.errors import AuditError, LedgerUnavailableError
from unsee.ledger.framing import stamp
from unsee.ledger.holding import Received
from unsee.ledger.keys import write_new
from unsee.ledger.store import Ledger

HEAD, RECEIPT, SNAPSHOT = "head", "receipt", "snapshot"
_SECONDS = 10


def head(ledger: Ledger) -> dict[str, Any]:
    """At this time the log ended with this row: taken elsewhere, it pins every row up to there."""
    row = ledger.head()
    body = {"ledger": ledger.id, "seq": row.seq, "hash": row.hash, "signed": stamp(ledger.clock())}
    return signed(ledger.keys.signing, HEAD, body)


def require_head(ledger: Ledger, document: dict[str, Any], public: str) -> int:
    """Compare a head that was kept elsewhere with the log; returns its row.

    Raises:
        AuditError: not signed by that key, of another ledger, or the log has another row there.
    """
    said = verified(document, public, HEAD)
    row = next((row for row in ledger.history() if row.seq == said["seq"]), None)
    if said["ledger"] != ledger.id or row is None or row.hash != said["hash"]:
        what = "of another ledger" if said["ledger"] != ledger.id else "missing" if row is None else "another"
        raise AuditError(
            f"the head of row {said['seq']}, signed {said['signed'][:19]}, does not fit: the row is {what}. The log "
            "was rewritten or is an older one. Compare it with a backup."
        )
    return row.seq


def receipt(ledger: Ledger, received: Received) -> dict[str, Any]:
    """For the requester: that the request came in, when an answer is due, and the token that opens its status."""
    one = received.request
    days = {"received": one.received.isoformat(), "due": one.due.isoformat()}
    body = {"ledger": ledger.id, "request": one.id, **days, "token": received.token}
    return signed(ledger.keys.signing, RECEIPT, body)


def snapshot(ledger: Ledger) -> dict[str, Any]:
    """For servers: everything in force, as of a row of the log."""
    active, row = ledger.active(), ledger.head()
    body = {
        "ledger": ledger.id,
        "seq": row.seq,
        "hash": row.hash,
        "active_set": active.digest,
        "code": active.code,
        "steering": dict(active.steering),
        "requests": [
            {"id": one.id, **one.artifact.model_dump(include={"content_id", "model_digest", "files"})}
            for one in active.requests
        ],
    }
    return signed(ledger.keys.signing, SNAPSHOT, body)


def read_signed(path: Path) -> dict[str, Any]:
    """A signed document from a file; nothing about it is verified yet.

    Raises:
        AuditError: it cannot be read.
    """
    try:
        return parsed_object(path.read_bytes(), path)
    except (OSError, ArtifactError) as error:
        raise AuditError(f"{path}: is no signed document ({error}). Expected a head, receipt or snapshot.") from error


def document_text(document: Mapping[str, Any]) -> bytes:
    """As it is written to a file."""
    return json.dumps(dict(document), indent=2, sort_keys=True).encode("ascii") + b"\n"


def deliver(document: dict[str, Any], out: Path | None, hook: str | None = None) -> None:
    """Write a document to a new file that only this user may read, and post it where it is to be kept.

    Raises:
        SaveError: the file is there already, or cannot be written.
        LedgerUnavailableError: whoever is to keep it did not answer that they do.
    """
    if out is not None:
        save_private(out, document_text(document))
    if hook is not None:
        try:
            if not hook.startswith(("http://", "https://")):
                raise ValueError("expected an address that begins with https:// or http://")
            asked = urllib.request.Request(hook, document_text(document), {"content-type": "application/json"})
            urllib.request.urlopen(asked, timeout=_SECONDS).close()  # answers but 2xx raise
        except (OSError, ValueError) as error:
            raise LedgerUnavailableError(
                f"{hook} did not take the {document['kind']}: {error}. Nothing is anchored there"
                f"{f'; it lies in {out}' if out else ''}. Check the address, and send it again."
            ) from error


def save_private(path: Path, data: bytes) -> None:
    """Write a file that was not there, mode 0600.

    Raises:
        SaveError: it is there already, or cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_new(path, data)
    except FileExistsError as error:
        raise SaveError(f"{path} is there already, and nothing is overwritten. Name another place.") from error
    except OSError as error:
        raise SaveError(f"cannot write {path}: {error.strerror}. Choose another place.") from error
