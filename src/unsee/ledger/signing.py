"""Signed heads: the newest row's number and hash under a key that is kept away from the ledger.

Without one, who can write the file can also compute a new chain. A head that was signed and taken elsewhere pins every
row up to it. Here the signature is HMAC-SHA256, so that nothing needs to be installed: who verifies needs the key that
signed. Other schemes (Ed25519, sigstore, model-signing) plug in through the entry points `unsee.ledger_signers`.
"""

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from typing import Protocol, final

from unsee.erase.strict_json import parsed_object
from unsee.errors import ArtifactError, SaveError
from unsee.ledger.errors import AuditError, KeyFileError
from unsee.ledger.framing import canonical, framed
from unsee.ledger.keys import read_key

HMAC = "hmac-sha256"
ENTRY_POINTS = "unsee.ledger_signers"


class Signer(Protocol):
    """Signs and verifies; `algorithm` and `key_id` are stored beside each signature."""

    @property
    def algorithm(self) -> str:
        """Name of the scheme."""
        ...

    @property
    def key_id(self) -> str:
        """Tells keys apart without showing them."""
        ...

    def sign(self, message: bytes) -> str:
        """A signature, as text."""
        ...

    def verifies(self, message: bytes, signature: str) -> bool:
        """Whether this key made the signature of this message."""
        ...


@final
@dataclass(frozen=True)
class HmacSigner:
    """HMAC-SHA256 under a secret from a file that is not on the ledger's machine, except while it signs."""

    secret: bytes = field(repr=False)

    @property
    def algorithm(self) -> str:
        """Name of the scheme."""
        return HMAC

    @property
    def key_id(self) -> str:
        """16 hexadecimal digits."""
        return self.sign(b"key id")[:16]

    def sign(self, message: bytes) -> str:
        """64 hexadecimal digits."""
        return hmac.new(self.secret, framed(b"unsee ledger head", message), hashlib.sha256).hexdigest()

    def verifies(self, message: bytes, signature: str) -> bool:
        """Compared in constant time."""
        return hmac.compare_digest(self.sign(message), signature)


@final
@dataclass(frozen=True)
class Head:
    """A signed statement: at this time the log ended with this row.

    Attributes:
        ledger_id: of which ledger.
        seq: number of its newest row.
        hash: of that row.
        signed: when, by the signer's clock.
        algorithm: of the signature.
        key_id: of the key.
        signature: over all of the above.
    """

    ledger_id: str
    seq: int
    hash: str
    signed: str
    algorithm: str
    key_id: str
    signature: str

    @property
    def message(self) -> bytes:
        """What is signed."""
        lines = (self.ledger_id, str(self.seq), self.hash, self.signed, self.algorithm, self.key_id)
        return framed(b"head 1", *(line.encode() for line in lines))

    def require_signed_by(self, signer: Signer) -> None:
        """Refuse a head that this key did not sign.

        Raises:
            KeyFileError: the head was made with another key.
            AuditError: this key, but not this head.
        """
        if (self.algorithm, self.key_id) != (signer.algorithm, signer.key_id):
            raise KeyFileError(
                f"the head of row {self.seq} was signed with {self.algorithm} key {self.key_id}, got "
                f"{signer.algorithm} key {signer.key_id}. Give the key that signed it."
            )
        if not signer.verifies(self.message, self.signature):
            raise AuditError(
                f"the signature of the head of row {self.seq} is not this key's: the head was forged or altered. "
                "Compare it with a copy that was taken elsewhere."
            )

    def write(self, path: Path) -> None:
        """Save to be taken elsewhere, as one JSON object.

        Raises:
            SaveError: it cannot be written.
        """
        try:
            path.write_text(canonical(vars(self)) + "\n", encoding="ascii")
        except OSError as error:
            raise SaveError(f"cannot write the head to {path}: {error.strerror}. Choose another place.") from error

    @staticmethod
    def read(path: Path) -> "Head":
        """A head that `write` saved.

        Raises:
            AuditError: it cannot be read, or is not one.
        """
        try:
            head = Head(**parsed_object(path.read_bytes(), path))
            if {name: type(value) for name, value in vars(head).items()} != Head.__annotations__:
                raise TypeError("a field is of another type")
        except (OSError, ArtifactError, TypeError) as error:
            raise AuditError(f"{path}: is no signed head ({error}). Expected a file of 'unsee ledger sign'.") from error
        return head


def signed_head(ledger_id: str, seq: int, digest: str, now: str, signer: Signer) -> Head:
    """Sign a row as the newest."""
    unsigned = Head(ledger_id, seq, digest, now, signer.algorithm, signer.key_id, "")
    return Head(ledger_id, seq, digest, now, signer.algorithm, signer.key_id, signer.sign(unsigned.message))


def signer_of(name: str | None, ledger: Path) -> Signer:
    """The signer that a user named: a key file, or `SCHEME:WHATEVER` of an installed extension.

    Raises:
        KeyFileError: no such scheme, or the key cannot be used.
    """
    scheme, colon, rest = (name or "").partition(":")
    found = {point.name: point for point in entry_points(group=ENTRY_POINTS)}
    if colon and scheme in found:
        make: Callable[[str], Signer] = found[scheme].load()
        return make(rest)
    if colon and not Path(name or "").exists() and scheme.isalpha() and len(scheme) > 1:
        raise KeyFileError(
            f"there is no way of signing {scheme!r}, expected a key file or one of {sorted(found)}, which come with "
            f"packages that offer the entry point {ENTRY_POINTS!r}."
        )
    return HmacSigner(read_key(Path(name) if name else None, "sign", ledger))
