"""Personal data of open records, encrypted with one key per record, which is destroyed when the record ends.

The ciphertext lies in the ledger, the keys in the operator's key folder, so that copies of the ledger hold what nobody
can read any more.
"""

import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, final

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from sqlalchemy import Connection, delete, insert, select

from unsee.errors import DataError, ImageError
from unsee.ledger.crypto import decrypted, encrypted
from unsee.ledger.database import VAULT
from unsee.ledger.framing import framed
from unsee.ledger.keys import Keys
from unsee.ledger.names import Names

LONGEST_NAME = 120
Part = Literal["person", "whole"]
JOINERS = "\u200c\u200d"
"""Invisible, and yet part of how Persian and Indic names are written."""


@final
class Person(BaseModel):
    """Whom a request is about, or who complains; lives in the vault only."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_bytes="base64", val_json_bytes="base64")
    names: tuple[str, ...] = Field(min_length=1, max_length=32)
    contact: str = Field("", max_length=500)
    note: str = Field("", max_length=20_000)
    images: tuple[bytes, ...] = Field((), max_length=100, repr=False)

    @field_validator("names")
    @classmethod
    def _said(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        cleaned = tuple(dict.fromkeys(_visible(name) for name in names))
        if not all(any(letter.isalnum() for letter in name) and len(name) <= LONGEST_NAME for name in cleaned):
            raise ValueError(f"every name needs a letter or digit and at most {LONGEST_NAME} characters")
        if not all(letter.isprintable() or letter in JOINERS for name in cleaned for letter in name):
            raise ValueError("a name holds control characters; type it again without them")
        return cleaned

    def joined(self, more: "Person") -> "Person":
        """This one with what another adds: further names and images once each, notes one after the other.

        Raises:
            DataError: too much of something.
        """
        notes = "\n".join(note for note in (self.note, more.note) if note)
        return Person.of(
            names=tuple(dict.fromkeys((*self.names, *more.names))), contact=more.contact or self.contact, note=notes,
            images=tuple(dict.fromkeys((*self.images, *more.images))),
        )  # fmt: skip

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


def _visible(name: str) -> str:
    """Without what only steers how it is shown, as byte order marks and marks of direction, and with single spaces."""
    kept = (letter for letter in name if unicodedata.category(letter) != "Cf" or letter in JOINERS)
    return " ".join(unicodedata.normalize("NFC", "".join(kept)).split())


def read_images(paths: Iterable[Path]) -> tuple[bytes, ...]:
    """Images for the vault; each must be one that the model's reader takes.

    Raises:
        ImageError: missing, or no image.
    """
    from unsee.data import ImageFile

    found = list[bytes]()
    for path in paths:
        try:
            found.append(path.read_bytes())
        except OSError as error:
            raise ImageError(f"cannot read the image {path}: {error.strerror}. Check the path.") from error
        ImageFile(path.name, found[-1]).load()
    return tuple(found)


@final
@dataclass(frozen=True)
class Vault:
    """Reads and writes the ledger's `vault` table, inside the caller's transaction."""

    keys: Keys
    ledger_id: str

    def put(self, connection: Connection, record: str, person: Person) -> None:
        """Encrypt and store, with the record's key or a new one."""
        key, bound = self.keys.record_key(record, make=True), self._bound(record)
        for part, leave in (("person", {"images"}), ("whole", set[str]())):
            body = encrypted(key, person.model_dump_json(exclude=leave).encode(), bound(part))
            connection.execute(insert(VAULT).values(record=record, part=part, body=body))

    def get(self, connection: Connection, record: str, part: Part = "person") -> Person | None:
        """Whom a record is about, without the images or as a whole; None once that was destroyed.

        Raises:
            KeyFileError: the key is gone, or the entry was altered.
        """
        body = connection.scalar(select(VAULT.c.body).where(VAULT.c.record == record, VAULT.c.part == part))
        if body is None:
            return None
        key, what = self.keys.record_key(record), f"the vault's entry of {record}"
        return Person.model_validate_json(decrypted(key, body, self._bound(record)(part), what))

    def held(self, connection: Connection) -> set[str]:
        """Records that something is held on."""
        return set(connection.scalars(select(VAULT.c.record).distinct()))

    def learn(self, connection: Connection, names: Names) -> None:
        """Bring the names that texts must not hold in line with the vault."""
        held, keyed = self.held(connection), self.keys.records()
        names.keep(held)
        for record in sorted(held):
            if record not in names:
                # Without its key, as in an old copy that was adopted, an entry names nobody any more.
                person = self.get(connection, record) if record in keyed else None
                names.add(record, () if person is None else person.names)

    def delete(self, connection: Connection, record: str) -> None:
        """Delete a record's entry; its key goes once that is committed."""
        connection.execute(delete(VAULT).where(VAULT.c.record == record))

    def _bound(self, record: str) -> Callable[[str], bytes]:
        return lambda part: framed(b"unsee vault 2", self.ledger_id.encode(), record.encode(), part.encode())
