"""Personal data of open requests, encrypted with one key per record: AES-256-GCM, bound to ledger, record and part.

The ciphertext lies in the ledger, the keys in the operator's key folder. When a request ends both go, so that copies of
the ledger hold what nobody can read any more.
"""

import json
import os
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from unsee.errors import DataError, ImageError
from unsee.ledger.errors import KeyFileError
from unsee.ledger.framing import framed
from unsee.ledger.keys import Keys
from unsee.ledger.names import Names
from unsee.ledger.signing import crypto

PERSON, IMAGE, PROFILE = "person", "image/", "questions"
_NONCE = 12


class Person(BaseModel):
    """Whom a request is about, or who complains; lives in the vault only.

    Attributes:
        names: the usual one first, then aliases.
        contact: where the answer goes.
        note: what was written, in the person's words.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    names: tuple[str, ...] = Field(min_length=1)
    contact: str = ""
    note: str = ""

    @field_validator("names")
    @classmethod
    def _said(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        cleaned = tuple(dict.fromkeys(" ".join(name.split()) for name in names))
        if not all(cleaned) or any(len(name) > 200 or not name.isprintable() for name in cleaned):
            raise ValueError("every name needs 1 to 200 printable characters")
        return cleaned

    @staticmethod
    def of(**values: Any) -> "Person":
        """A person from values that somebody typed.

        Raises:
            DataError: names the field, never its value.
        """
        try:
            return Person(**values)
        except ValidationError as error:
            found = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
            raise DataError(f"this is nobody a request can be about: {found}. Expected at least one name.") from None


def read_images(paths: "list[Path] | tuple[Path, ...]") -> list[bytes]:
    """Images for the vault; each must be one that the model's reader takes.

    Raises:
        ImageError: missing, or no image.
    """
    from unsee.data import ImageFile

    found = []
    for path in paths:
        try:
            data = path.read_bytes()
        except OSError as error:
            raise ImageError(f"cannot read the image {path}: {error.strerror}. Check the path.") from error
        ImageFile(path.name, data).load()
        found.append(data)
    return found


@final
@dataclass(frozen=True)
class Vault:
    """Reads and writes the ledger's `vault` table."""

    keys: Keys
    ledger_id: str

    def put(self, connection: sqlite3.Connection, record: str, parts: dict[str, bytes]) -> None:
        """Encrypt and store; inside the caller's transaction."""
        cipher = crypto().aead.AESGCM(self.keys.record_key(record, make=True))
        for part, data in parts.items():
            nonce = os.urandom(_NONCE)
            body = nonce + cipher.encrypt(nonce, data, self._bound(record, part))
            connection.execute("INSERT INTO vault VALUES (?, ?, ?)", (record, part, body))

    def get(self, connection: sqlite3.Connection, record: str, prefix: str = "") -> dict[str, bytes]:
        """What is held on a record, decrypted; empty where nothing is.

        Raises:
            KeyFileError: the key is gone, or the entry was altered.
        """
        query = "SELECT part, body FROM vault WHERE record = ? AND substr(part, 1, ?) = ? ORDER BY part"
        found = connection.execute(query, (record, len(prefix), prefix)).fetchall()
        if not found:
            return {}
        cipher, library = crypto().aead.AESGCM(self.keys.record_key(record)), crypto()
        try:
            return {
                part: cipher.decrypt(body[:_NONCE], body[_NONCE:], self._bound(record, part)) for part, body in found
            }
        except library.exceptions.InvalidTag as error:
            raise KeyFileError(
                f"the vault's entry of {record} cannot be opened: it was altered, or its key is another. Put both back "
                "from their backups."
            ) from error

    def person(self, connection: sqlite3.Connection, record: str) -> Person | None:
        """Whom a record is about; None once that was destroyed."""
        found = self.get(connection, record, PERSON).get(PERSON)
        return None if found is None else Person.model_validate(json.loads(found))

    def learn(self, connection: sqlite3.Connection, names: Names) -> None:
        """Bring the names that texts must not hold in line with the vault."""
        held = {record for (record,) in connection.execute("SELECT DISTINCT record FROM vault")}
        names.keep(held)
        for record in sorted(held):
            if record not in names:
                # Without its key, as in an old copy that was adopted, an entry names nobody any more.
                person = self.person(connection, record) if self.keys.has(record) else None
                names.add(record, () if person is None else person.names)

    def delete(self, connection: sqlite3.Connection, record: str) -> int:
        """Delete a record's entries, inside the caller's transaction; its key goes once that is committed."""
        return connection.execute("DELETE FROM vault WHERE record = ?", (record,)).rowcount

    def sweep(self, connection: sqlite3.Connection) -> list[str]:
        """Destroy keys that open nothing: what a crash left between a row and its key."""
        held = {record for (record,) in connection.execute("SELECT DISTINCT record FROM vault")}
        gone = sorted(self.keys.records() - held)
        for record in gone:
            self.keys.destroy(record)
        return gone

    def _bound(self, record: str, part: str) -> bytes:
        return framed(b"unsee vault 1", self.ledger_id.encode(), record.encode(), part.encode())
