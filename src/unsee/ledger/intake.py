"""Many requests at once: CSV, OpenDSR JSON, and lists of hashes as California's DROP sends them.

Sending a file again changes nothing; a row that is wrong is told with its number, and the others come in.
"""

import csv
import hashlib
import io
import json
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, Field, ValidationError

from unsee.errors import DataError, UnseeError
from unsee.ledger.canonical import digest
from unsee.ledger.errors import LedgerUnavailableError, told
from unsee.ledger.holding import add
from unsee.ledger.log import Decision
from unsee.ledger.store import Ledger
from unsee.ledger.vault import Person, read_images
from unsee.progress import Progress

COLUMNS = ("name", "aliases", "contact", "note", "images", "received", "reference", "legal_basis", "scope")
Roster = Mapping[str, str]
"""Names that the model may know, by the hash that lists would have for them."""


class Row(NamedTuple):
    """A row as it was read: its values, or why there are none; neither where it is the hash of nobody known."""

    number: int
    values: dict[str, Any]
    reference: str = ""
    error: str = ""


class Outcome(NamedTuple):
    """What became of a row, in one of received, known, not found, failed; the token is for the sender alone."""

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
        done: dict[str, Any] = {"status": "failed", "error": row.error} if row.error else {"status": "not found"}
        if row.values:
            said: dict[str, Any] = {"legal_basis": legal_basis, "scope": scope}
            said |= {name: value for name, value in row.values.items() if value}
            about = {name: said.pop(name) for name in ("names", "contact", "note") if name in said}
            try:
                person = Person.of(**about, images=read_images(said.pop("images", ())))
                got = add(ledger, person, by, reference=row.reference, **said)
                done = {"status": "received" if got.token else "known", "id": got.request.id, "token": got.token}
            except LedgerUnavailableError:
                raise
            except UnseeError as error:
                done = {"status": "failed", "error": str(error)}
        yield Outcome(row.number, row.reference, **done)
        tell(1)


def read_csv(path: Path) -> list[Row]:
    """Rows of a table whose first line names columns of `COLUMNS`; several aliases or images are separated by `;`."""
    text = _text(path)
    first = text.partition("\n")[0]
    table = csv.reader(io.StringIO(text, newline=""), delimiter=";" if ";" in first and "," not in first else ",")
    try:
        header, *lines = [[cell.strip() for cell in cells] for cells in table] or [[]]
    except csv.Error as error:
        raise DataError(f"{path}: line {table.line_num} is no line of a table: {error}. Expected CSV.") from error
    if "name" not in header or len(set(header)) < len(header) or not set(header) <= set(COLUMNS):
        raise DataError(f"{path}: the columns are {header!r:.200}, expected 'name' and any of {list(COLUMNS)}, once.")
    found = list[Row]()
    for number, cells in enumerate(lines, 2):
        if cells in ([], [""]):
            continue
        if len(cells) == len(header):
            values: dict[str, Any] = {name: cell for name, cell in zip(header, cells, strict=True) if cell}
            reference = values.pop("reference", "") or digest(values)  # two people of one name are two
            names = [values.pop("name", ""), *_several(values.pop("aliases", ""))]
            values |= {"names": names, "images": [path.parent / name for name in _several(values.pop("images", ""))]}
            found.append(Row(number, values, reference))
        else:
            found.append(Row(number, {}, error=f"row {number} has {len(cells)} cells, expected {len(header)}"))
    return found


class _Identity(BaseModel):
    identity_value: str
    identity_type: str = "name"
    identity_format: str = "raw"

    def known(self, roster: Roster) -> str:
        return self.identity_value if self.identity_format == "raw" else roster.get(self.identity_value.lower(), "")


class _OpenDsr(BaseModel):
    subject_request_id: str = Field(min_length=1)
    subject_request_type: Literal["erasure"]
    subject_identities: list[_Identity] = Field(min_length=1)
    submitted_time: datetime | None = None


def read_opendsr(path: Path, roster: Roster) -> list[Row]:
    """Requests of OpenDSR: one object, a list of them, or one a line; identities in the clear, or hashed by SHA-256."""
    text = _text(path).strip()
    try:
        found = json.loads(text)
        parts = found if isinstance(found, list) else [found]
    except (ValueError, RecursionError) as error:
        parts = text.splitlines()
        if text.startswith("[") or not text:
            raise DataError(f"{path}: is no JSON: {error}. Expected OpenDSR requests.") from error
    return [_opendsr(number, part, roster) for number, part in enumerate(parts, 1) if part != ""]


def _opendsr(number: int, part: Any, roster: Roster) -> Row:
    try:
        one = _OpenDsr.model_validate_json(part) if isinstance(part, str) else _OpenDsr.model_validate(part)
    except ValidationError as error:
        named = str(part.get("subject_request_id", "")) if isinstance(part, dict) else ""
        found = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        return Row(number, {}, named, f"request {number} is no OpenDSR request: {found}")
    known = [(identity.identity_type == "email", identity.known(roster)) for identity in one.subject_identities]
    names = [value for is_email, value in known if value and not is_email]
    contact = next((value for is_email, value in known if value and is_email), "")
    day = "" if one.submitted_time is None else one.submitted_time.date().isoformat()
    values: dict[str, Any] = {"names": names, "contact": contact, "received": day} if names else {}
    return Row(number, values, one.subject_request_id)


def read_hashed(path: Path, roster: Roster) -> list[Row]:
    """Hashes, one a line, as DROP lists them; those of nobody on the roster are told as not found."""
    lines = [line.strip().strip('"').lower() for line in _text(path).splitlines()]
    found = [(number, line) for number, line in enumerate(lines, 1) if line and line != "hash"]
    return [
        Row(number, {"names": [roster[line]]} if line in roster else {}, line)
        if len(line) == 64 and set(line) <= set("0123456789abcdef")
        else Row(number, {}, error=f"line {number} is no SHA-256: expected 64 hexadecimal digits")
        for number, line in found
    ]


def roster_of(path: Path | None) -> Roster:
    """A roster from a file of names, one a line; nobody without one."""
    return {_digest(name): name.strip() for name in (_text(path).splitlines() if path else ()) if name.strip()}


def _digest(name: str) -> str:
    """SHA-256 of the letters and digits in lower case, without accents, spaces and signs."""
    folded = unicodedata.normalize("NFKD", name.casefold())
    return hashlib.sha256("".join(letter for letter in folded if letter.isalnum()).encode()).hexdigest()


def _several(text: str) -> list[str]:
    return [part.strip() for part in text.split(";") if part.strip()]


def _text(path: Path) -> str:
    with told(f"cannot read {path}", "Expected a text file in UTF-8.", DataError):
        return path.read_text(encoding="utf-8-sig")
