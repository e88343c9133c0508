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
from typing import Any, Literal, final

from pydantic import BaseModel, Field, ValidationError

from unsee.errors import DataError, UnseeError
from unsee.ledger.errors import LedgerUnavailableError
from unsee.ledger.holding import add
from unsee.ledger.log import Decision
from unsee.ledger.store import Ledger
from unsee.ledger.vault import Person, read_images
from unsee.progress import Progress
from unsee.schema import Schema

COLUMNS = ("name", "aliases", "contact", "note", "images", "received", "reference", "legal_basis", "scope")
Roster = Mapping[str, str]
"""Names that the model may know, by the hash that lists would have for them."""


@final
class Row(Schema):
    """A row as it was read: its values, or why there are none; neither where it is the hash of nobody known."""

    number: int
    reference: str = ""
    values: dict[str, Any] = Field({})
    error: str = ""


@final
class Outcome(Schema):
    """What became of a row, and the token for its sender where it came in."""

    number: int
    reference: str
    status: Literal["received", "known", "not found", "failed"]
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
        told = {"number": row.number, "reference": row.reference}
        try:
            if row.error or not row.values:
                yield Outcome(**told, status="failed" if row.error else "not found", error=row.error)
            else:
                yield Outcome(**told, **_received(ledger, row, by, {"legal_basis": legal_basis, "scope": scope}))
        except LedgerUnavailableError:
            raise
        except UnseeError as error:
            yield Outcome(**told, status="failed", error=str(error))
        tell(1)


def _received(ledger: Ledger, row: Row, by: Decision, otherwise: Mapping[str, str]) -> dict[str, Any]:
    said = {name: value for name, value in row.values.items() if value}
    about = {name: said[name] for name in ("names", "contact", "note") if name in said}
    person = Person.of(**about, images=read_images(said.get("images", ())))
    grounds = {name: said.get(name, value) for name, value in otherwise.items()}
    got = add(ledger, person, by, received=said.get("received", ""), reference=row.reference, **grounds)
    return {"status": "received" if got.token else "known", "id": got.request.id, "token": got.token}


def read_csv(path: Path) -> list[Row]:
    """Rows of a table whose first line names columns of `COLUMNS`; several aliases or images are separated by `;`.

    Raises:
        DataError: unreadable, or a column is unknown or there twice, or 'name' is not.
    """
    text = _text(path)
    first = text.partition("\n")[0]
    table = csv.reader(io.StringIO(text, newline=""), delimiter=";" if ";" in first and "," not in first else ",")
    try:
        header, *lines = [[cell.strip() for cell in cells] for cells in table] or [[]]
    except csv.Error as error:
        raise DataError(f"{path}: line {table.line_num} is no line of a table: {error}. Expected CSV.") from error
    if "name" not in header or len(set(header)) < len(header) or not set(header) <= set(COLUMNS):
        raise DataError(f"{path}: the columns are {header!r:.200}, expected 'name' and any of {list(COLUMNS)}, once.")
    numbered = ((number, cells) for number, cells in enumerate(lines, 2) if cells not in ([], [""]))
    return [_line(number, header, cells, path.parent) for number, cells in numbered]


def _line(number: int, header: list[str], cells: list[str], folder: Path) -> Row:
    if len(cells) != len(header):
        return Row(number=number, error=f"row {number} has {len(cells)} cells, expected {len(header)}")
    values: dict[str, Any] = dict(zip(header, cells, strict=True))
    names = [values.pop("name"), *_several(values.pop("aliases", ""))]
    shown = [folder / name for name in _several(values.pop("images", ""))]
    reference = values.pop("reference", "") or _digest("|".join(names))
    return Row(number=number, reference=reference, values=values | {"names": names, "images": shown})


class _Identity(BaseModel):
    identity_value: str
    identity_type: str = "name"
    identity_format: str = "raw"


class _OpenDsr(BaseModel):
    subject_request_id: str = Field(min_length=1)
    subject_request_type: Literal["erasure"]
    subject_identities: list[_Identity] = Field(min_length=1)
    submitted_time: datetime | None = None


def read_opendsr(path: Path, roster: Roster) -> list[Row]:
    """Requests of OpenDSR: one object, a list of them, or one a line; identities in the clear, or hashed by SHA-256.

    Raises:
        DataError: no JSON.
    """
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
        return Row(number=number, reference=named, error=f"request {number} is no OpenDSR request: {found}")
    known = [
        (
            one.identity_type,
            one.identity_value if one.identity_format == "raw" else roster.get(one.identity_value.lower()),
        )
        for one in one.subject_identities
    ]
    names = [value for kind, value in known if value and kind != "email"]
    contact = next((value for kind, value in known if value and kind == "email"), "")
    day = "" if one.submitted_time is None else one.submitted_time.date().isoformat()
    values = {"names": names, "contact": contact, "received": day} if names else {}
    return Row(number=number, reference=one.subject_request_id, values=values)


def read_hashed(path: Path, roster: Roster) -> list[Row]:
    """Hashes, one a line, as DROP lists them; those of nobody on the roster are told as not found."""
    lines = [line.strip().strip('"').lower() for line in _text(path).splitlines()]
    found = [(number, line) for number, line in enumerate(lines, 1) if line and line != "hash"]
    return [
        Row(number=number, reference=line, values={"names": [roster[line]]} if line in roster else {})
        if len(line) == 64 and set(line) <= set("0123456789abcdef")
        else Row(number=number, error=f"line {number} is no SHA-256: expected 64 hexadecimal digits")
        for number, line in found
    ]


def roster_of(path: Path | None) -> Roster:
    """A roster from a file of names, one a line; nobody without one."""
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
