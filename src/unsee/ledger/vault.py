"""Personal data of open records, encrypted with one key per record, which is destroyed when the record ends.

The ciphertext lies in the ledger, the keys in the operator's key folder, so that copies of the ledger hold what nobody
can read any more.
"""

import json
import os
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy import Connection, delete, insert, select

from unsee.erase.request.request import request as wanted
from unsee.errors import DataError, ImageError
from unsee.ledger.canonical import canonical
from unsee.ledger.database import VAULT
from unsee.ledger.errors import KeyFileError, told
from unsee.ledger.keys import Keys
from unsee.ledger.names import Names

NONCE = 12
JOINERS = "\u200c\u200d"
"""Invisible, and yet part of how Persian and Indic names are written."""


def _said(name: str) -> str:
    """A name without what only steers how it is shown, as byte order marks and marks of direction; single spaces."""
    kept = (letter for letter in name if unicodedata.category(letter) != "Cf" or letter in JOINERS)
    name = " ".join(unicodedata.normalize("NFC", "".join(kept)).split())
    if not any(map(str.isalnum, name)):
        raise ValueError("a name needs a letter or digit")
    try:
        return wanted(name).name
    except DataError:  # whose words hold the name
        raise ValueError("a name has at most 120 characters, no control characters, and no '<' with '>'") from None


@final
class Person(BaseModel):
    """Whom a request is about, or who complains; lives in the vault only."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_bytes="base64", val_json_bytes="base64")
    names: tuple[Annotated[str, AfterValidator(_said)], ...] = Field(min_length=1, max_length=32)
    contact: str = Field("", max_length=500)
    note: str = Field("", max_length=20_000)
    images: tuple[bytes, ...] = Field((), max_length=100, repr=False)

    @staticmethod
    def of(**values: Any) -> "Person":
        """A person from values that somebody typed; DataError names the field, and never its value."""
        try:
            return Person(**values)
        except ValidationError as error:
            found = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
            raise DataError(f"this is nobody a request can be about: {found}. Expected at least one name.") from None


def read_images(paths: Iterable[Path]) -> tuple[bytes, ...]:
    """Images for the vault; ImageError where one is missing, or none that the model's reader takes."""
    from unsee.data import ImageFile

    found = list[bytes]()
    for path in paths:
        with told(f"cannot read the image {path}", "Check the path.", ImageError):
            found.append(path.read_bytes())
        ImageFile(path.name, found[-1]).load()
    return tuple(found)


@final
class Vault:
    """Reads and writes the ledger's `vault` table, inside the caller's transaction; knows the names in it."""

    def __init__(self, keys: Keys, ledger_id: str) -> None:
        self.keys, self.names, self._ledger_id = keys, Names(), ledger_id

    def put(self, connection: Connection, record: str, person: Person) -> None:
        """Encrypt and store, with the record's key or a new one, in place of what was held; the names apart too."""
        key = AESGCM(self.keys.record_key(record, make=True))
        self.delete(connection, record)
        for part, text in (("names", canonical(person.names)), ("whole", person.model_dump_json().encode())):
            nonce = os.urandom(NONCE)
            body = nonce + key.encrypt(nonce, text, self._bound(record, part))
            connection.execute(insert(VAULT).values(record=record, part=part, body=body))

    def get(self, connection: Connection, record: str) -> Person | None:
        """Whom a record is about; None once that was destroyed. KeyFileError: its key is gone, or it was altered."""
        found = self._open(connection, record, "whole")
        return None if found is None else Person.model_validate_json(found)

    def held(self, connection: Connection) -> set[str]:
        """Records that something is held on."""
        return set(connection.scalars(select(VAULT.c.record).distinct()))

    def learn(self, connection: Connection) -> None:
        """Bring the names that texts must not hold in line with what is held."""
        held, keyed = self.held(connection), self.keys.records()
        self.names.keep(held)
        for record in sorted(held):
            if record not in self.names:
                # Without its key, as in an old copy that was adopted, an entry names nobody any more.
                found = self._open(connection, record, "names") if record in keyed else None
                self.names.add(record, json.loads(found or "[]"))

    def delete(self, connection: Connection, record: str) -> None:
        """Delete a record's entry; whoever ends the record destroys the key once that is committed."""
        connection.execute(delete(VAULT).where(VAULT.c.record == record))

    def _open(self, connection: Connection, record: str, part: str) -> bytes | None:
        body = connection.scalar(select(VAULT.c.body).where(VAULT.c.record == record, VAULT.c.part == part))
        if body is None:
            return None
        key = AESGCM(self.keys.record_key(record))
        try:
            return key.decrypt(body[:NONCE], body[NONCE:], self._bound(record, part))
        except (ValueError, InvalidTag) as error:
            raise KeyFileError(
                f"the vault's entry of {record} cannot be opened: it was altered, or its key is another. Put both back "
                "from their backups."
            ) from error

    def _bound(self, record: str, part: str) -> bytes:
        """What a ciphertext belongs to: it opens nowhere else."""
        return canonical(["unsee vault 3", self._ledger_id, record, part])
