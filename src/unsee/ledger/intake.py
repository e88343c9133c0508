"""Many requests at once: CSV, OpenDSR JSON, and lists of hashes as California's DROP sends them.

Sending a file again changes nothing; a row that is wrong is told with its number, and the others come in.
"""

import csv
import hashlib
import io
import json
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

from unsee.erase.strict_json import parsed_object
from unsee.errors import DataError, UnseeError
from unsee.ledger.errors import LedgerUnavailableError
from unsee.ledger.log import Decision
from unsee.ledger.receiving import add
from unsee.ledger.store import Ledger
from unsee.ledger.vault import Person, read_images
from unsee.progress import Progress

COLUMNS = ("name", "aliases", "contact", "note", "images", "received", "reference", "legal_basis", "scope")
REMOVED, NOT_FOUND, KNOWN, FAILED = "received", "not found", "known", "failed"


@final
@dataclass(frozen=True)
class Row:
    """A row as it was read: its values, or why there are none."""

    number: int
    reference: str
    values: dict[str, Any] = field(default_factory=dict)
    error: str = ""


@final
@dataclass(frozen=True)
class Outcome:
    """What became of a row: received, known, not found (a hash of nobody), or failed, and why."""

    number: int
    reference: str
    status: str
    id: str = ""
    token: str = ""
    error: str = ""


def take_in(
    ledger: Ledger, rows: Iterable[Row], by: Decision, legal_basis: str, scope: str, tell: Progress
) -> Iterator[Outcome]:
    """Receive every row that can be received, one after the other.

    Raises:
        LedgerUnavailableError: the ledger cannot be written at all; what was told is in it.
    """
    for row in rows:
        try:
            yield _one(ledger, row, by, legal_basis, scope)
        except LedgerUnavailableError:
            raise
        except UnseeError as error:
            yield Outcome(row.number, row.reference, FAILED, error=str(error))
        tell(1)


def _one(ledger: Ledger, row: Row, by: Decision, legal_basis: str, scope: str) -> Outcome:
    if row.error or not row.values:
        return Outcome(row.number, row.reference, FAILED if row.error else NOT_FOUND, error=row.error)
    values = row.values
    got = add(
        ledger,
        Person.of(names=tuple(values["names"]), contact=values.get("contact", ""), note=values.get("note", "")),
        by,
        legal_basis=values.get("legal_basis") or legal_basis,
        scope=values.get("scope") or scope,
        images=read_images(values.get("images", ())),
        received=values.get("received", ""),
        reference=row.reference,
    )
    return Outcome(row.number, row.reference, REMOVED if got.token else KNOWN, got.request.id, got.token)


def read_csv(path: Path) -> list[Row]:
    """Rows of a table whose first line names columns of `COLUMNS`; several aliases or images are separated by `;`.

    Raises:
        DataError: unreadable, or a column is unknown or there twice, or 'name' is not.
    """
    table = csv.reader(io.StringIO(_text(path), newline=""))
    header = [name.strip() for name in next(table, [])]
    if "name" not in header or len(set(header)) < len(header) or not set(header) <= set(COLUMNS):
        raise DataError(f"{path}: the columns are {header}, expected 'name' and any other of {list(COLUMNS)}, once.")
    found = []
    for number, cells in enumerate(table, 2):
        values = dict(zip(header, (cell.strip() for cell in cells), strict=False))
        if len(cells) != len(header):
            found.append(Row(number, "", error=f"row {number} has {len(cells)} cells, expected {len(header)}"))
            continue
        names = [values.pop("name"), *_several(values.pop("aliases", ""))]
        shown = [path.parent / name for name in _several(values.pop("images", ""))]
        named = values.pop("reference", "") or _digest("|".join(names))
        found.append(Row(number, named, {**values, "names": names, "images": shown}))
    return found


def read_opendsr(path: Path, roster: dict[str, str]) -> list[Row]:
    """Requests of OpenDSR: one object, a list of them, or one a line; identities in the clear, or hashed by SHA-256.

    Raises:
        DataError: no JSON.
    """
    text = _text(path).strip()
    try:
        parts = json.loads(text) if text.startswith("[") else None
        parts = parts if isinstance(parts, list) else [parsed_object(text.encode(), path)]
    except UnseeError:
        parts = text.splitlines()
    except ValueError as error:
        raise DataError(f"{path}: is no JSON: {error}. Expected OpenDSR requests.") from error
    return [_opendsr(number, part, path, roster) for number, part in enumerate(parts, 1) if part != ""]


def _opendsr(number: int, part: Any, path: Path, roster: dict[str, str]) -> Row:
    try:
        one = parsed_object(part.encode(), path) if isinstance(part, str) else dict(part)
        reference, kind = str(one["subject_request_id"]), one["subject_request_type"]
        if kind != "erasure":
            return Row(number, reference, error=f"subject_request_type is {kind!r:.40}, expected 'erasure'")
        names = []
        for identity in one["subject_identities"]:
            value, form = str(identity["identity_value"]), identity.get("identity_format", "raw")
            names.append(value if form == "raw" else roster.get(value.lower(), ""))
        known = [name for name in names if name]
        values = {"names": known, "received": str(one.get("submitted_time", ""))[:10]} if known else {}
        return Row(number, reference, values)
    except (UnseeError, KeyError, TypeError, ValueError, AttributeError) as error:
        return Row(number, "", error=f"request {number} is no OpenDSR request: {type(error).__name__} at {error}")


def read_hashed(path: Path, roster: dict[str, str]) -> list[Row]:
    """Hashes, one a line, as DROP lists them; those of nobody on the roster are told as not found."""
    lines = [line.strip().strip('"').lower() for line in _text(path).splitlines()]
    found = [(number, line) for number, line in enumerate(lines, 1) if line and line != "hash"]
    return [
        Row(number, line, {"names": [roster[line]]} if line in roster else {})
        if len(line) == 64 and set(line) <= set("0123456789abcdef")
        else Row(number, "", error=f"line {number} is no SHA-256: expected 64 hexadecimal digits")
        for number, line in found
    ]


def roster_of(path: Path | None) -> dict[str, str]:
    """Names that the model may know, one a line, by the hash that lists would have for them."""
    lines = [] if path is None else [line.strip() for line in _text(path).splitlines()]
    return {_digest(name): name for name in lines if name}


def _digest(name: str) -> str:
    """SHA-256 of the letters and digits in lower case, without accents, spaces and signs."""
    folded = unicodedata.normalize("NFKD", name.casefold())
    return hashlib.sha256("".join(letter for letter in folded if letter.isalnum()).encode()).hexdigest()


def _several(text: str) -> list[str]:
    return [part.strip() for part in text.split(";") if part.strip()]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {path}: {error}. Expected a text file in UTF-8.") from error
