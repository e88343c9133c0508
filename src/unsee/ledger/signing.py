"""Ed25519 signatures: whoever has the public key can verify heads, receipts and snapshots, and cannot make one."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from unsee.erase.strict_json import parsed_object
from unsee.errors import ArtifactError, UnseeError
from unsee.ledger.errors import AuditError, KeyFileError
from unsee.ledger.framing import canonical, framed

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


class MissingCryptographyError(UnseeError, ImportError):
    """The library that signs and encrypts is not installed."""


def crypto() -> Any:
    """The library, imported where it is used.

    Raises:
        MissingCryptographyError: says how to get it.
    """
    try:
        from cryptography import exceptions
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ed25519
        from cryptography.hazmat.primitives.ciphers import aead
    except ImportError as error:
        raise MissingCryptographyError(
            "the ledger signs and encrypts with 'cryptography', which is not installed. Install the extra: "
            "pip install 'unsee[ledger]'."
        ) from error
    from types import SimpleNamespace

    return SimpleNamespace(exceptions=exceptions, serialization=serialization, ed25519=ed25519, aead=aead)


@final
@dataclass(frozen=True)
class SigningKey:
    """The private key; it stays in the key folder."""

    private: "Ed25519PrivateKey" = field(repr=False)

    @staticmethod
    def made() -> bytes:
        """A new key, as a PEM file holds it."""
        form = crypto().serialization
        return (
            crypto()
            .ed25519.Ed25519PrivateKey.generate()
            .private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
        )

    @staticmethod
    def read(path: Path) -> "SigningKey":
        """The key in a PEM file.

        Raises:
            KeyFileError: missing, damaged, or of another kind.
        """
        try:
            key = crypto().serialization.load_pem_private_key(path.read_bytes(), None)
        except (OSError, ValueError, TypeError) as error:
            raise KeyFileError(f"cannot read the signing key {path}: {error}. Put it back from its backup.") from error
        if not isinstance(key, crypto().ed25519.Ed25519PrivateKey):
            raise KeyFileError(f"the signing key {path} is no Ed25519 key. Put back the one that init made.")
        return SigningKey(key)

    @property
    def public(self) -> str:
        """The public key, 64 hexadecimal digits: give it to whoever is to verify."""
        return self.private.public_key().public_bytes_raw().hex()

    def signed(self, kind: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """The body with its kind, the public key, and a signature over all of it."""
        whole = {**body, "kind": kind, "public_key": self.public}
        return {**whole, "signature": self.private.sign(_message(whole)).hex()}


def verified(document: Mapping[str, Any], public: str, kind: str) -> dict[str, Any]:
    """The body of a signed document, if this key signed it.

    Raises:
        AuditError: another kind, another key, or not as it was signed.
    """
    whole = {name: value for name, value in document.items() if name != "signature"}
    if whole.get("kind") != kind or whole.get("public_key") != public:
        raise AuditError(
            f"the document is a {whole.get('kind')!r} of key {str(whole.get('public_key'))[:16]}..., expected a "
            f"{kind!r} of {public[:16]}.... Compare the public key with the one that the ledger's keeper has published."
        )
    library = crypto()
    try:
        key = library.ed25519.Ed25519PublicKey.from_public_bytes(bytes.fromhex(public))
        key.verify(bytes.fromhex(str(document.get("signature"))), _message(whole))
    except (ValueError, library.exceptions.InvalidSignature) as error:
        raise AuditError(
            f"the signature of this {kind} does not fit: it was altered or forged after it was signed. Compare it with "
            "another copy."
        ) from error
    return whole


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


def token_digest(token: str) -> str:
    """What the ledger keeps of a requester's token."""
    return hashlib.sha256(framed(b"unsee ledger token", token.encode())).hexdigest()


def _message(whole: Mapping[str, Any]) -> bytes:
    return framed(b"unsee ledger document 1", canonical(whole).encode())
