"""What leaves the ledger signed: heads of the log, receipts for requesters, snapshots for servers."""

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Any

from unsee.erase.strict_json import parsed_object
from unsee.errors import ArtifactError, SaveError
from unsee.ledger.canonical import stamp
from unsee.ledger.errors import AuditError, told
from unsee.ledger.holding import Received
from unsee.ledger.keys import verified, write_new
from unsee.ledger.store import Ledger

_SECONDS = 10


def head(ledger: Ledger) -> dict[str, Any]:
    """At this time the log ended with this row: taken elsewhere, it pins every row up to there."""
    row = ledger.head()
    body = {"ledger": ledger.id, "seq": row.seq, "hash": row.hash, "signed": stamp(ledger.clock())}
    return ledger.keys.signed("head", body)


def require_head(ledger: Ledger, document: dict[str, Any], public: str) -> int:
    """The row of a head that was kept elsewhere; AuditError where this ledger never had it, or did not sign it."""
    said = verified(document, public, "head")
    row = next((row for row in ledger.history() if row.seq == said.get("seq")), None)
    if said.get("ledger") != ledger.id or row is None or row.hash != said.get("hash"):
        what = "of another ledger" if said.get("ledger") != ledger.id else "missing" if row is None else "another"
        raise AuditError(
            f"the head of row {said.get('seq')}, signed {said.get('signed')!s:.19}, does not fit: the row is {what}. "
            "The log was rewritten or is an older one. Compare it with a backup."
        )
    return row.seq


def receipt(ledger: Ledger, received: Received) -> dict[str, Any]:
    """For the requester: that the request came in, when an answer is due, and the token that opens its status."""
    one = received.request
    days = {"received": one.received.isoformat(), "due": one.due.isoformat()}
    return ledger.keys.signed("receipt", {"ledger": ledger.id, "request": one.id, **days, "token": received.token})


def snapshot(ledger: Ledger) -> dict[str, Any]:
    """For servers: everything in force, as of a row of the log."""
    shown = {"content_id", "model_digest", "sha256"}
    active = ledger.active()
    requests = [{"id": name, **one.model_dump(include=shown)} for name, one in active.requests.items()]
    about = {"code": active.code, "steering": dict(active.steering), "requests": requests}
    place = {"ledger": ledger.id, "seq": active.row.seq, "hash": active.row.hash}
    return ledger.keys.signed("snapshot", {**place, "active_set": active.digest, **about})


def read_signed(path: Path) -> dict[str, Any]:
    """A signed document from a file; nothing about it is verified yet."""
    try:
        return parsed_object(path.read_bytes(), path)
    except (OSError, ArtifactError) as error:
        raise AuditError(f"{path}: is no signed document ({error}). Expected a head, receipt or snapshot.") from error


def as_file(document: Mapping[str, Any]) -> bytes:
    """As it is written to a file."""
    return json.dumps(dict(document), indent=2, sort_keys=True).encode("ascii") + b"\n"


def post(document: Mapping[str, Any], hook: str) -> None:
    """Send a document to whoever is to keep it; LedgerUnavailableError where they did not answer that they do."""
    then = "Nothing is anchored there. Check the address, and send it again."
    with told(f"{hook} did not take the {document['kind']}", then):
        if not hook.startswith(("http://", "https://")):
            raise ValueError("expected an address that begins with https:// or http://")
        asked = urllib.request.Request(hook, as_file(document), {"content-type": "application/json"})
        try:
            urllib.request.urlopen(asked, timeout=_SECONDS).close()
        except urllib.error.HTTPError as error:  # any answer but 2xx
            with error:
                raise
        except HTTPException as error:
            raise ValueError(f"it answers otherwise than HTTP does: {error}") from error


def save_private(path: Path, data: bytes) -> None:
    """Write a file for this user only; SaveError where it is there already, or cannot be written."""
    with told(f"cannot write {path}", "Nothing is overwritten. Name another place.", SaveError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_new(path, data)
