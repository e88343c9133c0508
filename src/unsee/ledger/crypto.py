"""Ed25519 signatures and AES-256-GCM, by `cryptography`: who has the public key verifies and cannot forge."""

import hashlib
import os
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unsee.extras import extra
from unsee.ledger.errors import AuditError, KeyFileError
from unsee.ledger.framing import canonical, framed

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_NONCE = 12
_PRIMITIVES = "cryptography.hazmat.primitives"


def _library(module: str) -> Any:
    extra("cryptography", "ledger")
    return import_module(module)


def new_signing_key() -> bytes:
    """As a PEM file holds it."""
    key = _library(f"{_PRIMITIVES}.asymmetric.ed25519").Ed25519PrivateKey.generate()
    form = _library(f"{_PRIMITIVES}.serialization")
    return key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())


def signing_key(path: Path) -> "Ed25519PrivateKey":
    """The key in a PEM file.

    Raises:
        KeyFileError: missing, damaged, or of another kind.
    """
    try:
        key = _library(f"{_PRIMITIVES}.serialization").load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        raise KeyFileError(f"cannot read the signing key {path}: {error}. Put it back from its backup.") from error
    if not isinstance(key, _library(f"{_PRIMITIVES}.asymmetric.ed25519").Ed25519PrivateKey):
        raise KeyFileError(f"the signing key {path} is no Ed25519 key. Put back the one that init made.")
    return key


def public_key(key: "Ed25519PrivateKey") -> str:
    """64 hexadecimal digits: give them to whoever is to verify."""
    return key.public_key().public_bytes_raw().hex()


def signed(key: "Ed25519PrivateKey", kind: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """The body with its kind, the public key, and a signature over all of it."""
    whole = {**body, "kind": kind, "public_key": public_key(key)}
    return {**whole, "signature": key.sign(_message(whole)).hex()}


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
    try:
        key = _library(f"{_PRIMITIVES}.asymmetric.ed25519").Ed25519PublicKey.from_public_bytes(bytes.fromhex(public))
        key.verify(bytes.fromhex(str(document.get("signature"))), _message(whole))
    except (ValueError, _library("cryptography.exceptions").InvalidSignature) as error:
        raise AuditError(
            f"the signature of this {kind} does not fit: it was altered or forged after it was signed. Compare it with "
            "another copy."
        ) from error
    return whole


def encrypted(key: bytes, data: bytes, bound: bytes) -> bytes:
    """A random nonce and the ciphertext, which opens only with the same `bound`."""
    nonce = os.urandom(_NONCE)
    return nonce + _library(f"{_PRIMITIVES}.ciphers.aead").AESGCM(key).encrypt(nonce, data, bound)


def decrypted(key: bytes, body: bytes, bound: bytes, what: str) -> bytes:
    """What `encrypted` was given.

    Raises:
        KeyFileError: altered, or another key; names `what`.
    """
    try:
        return _library(f"{_PRIMITIVES}.ciphers.aead").AESGCM(key).decrypt(body[:_NONCE], body[_NONCE:], bound)
    except (ValueError, _library("cryptography.exceptions").InvalidTag) as error:
        raise KeyFileError(
            f"{what} cannot be opened: it was altered, or its key is another. Put both back from their backups."
        ) from error


def token_digest(token: str) -> str:
    """What the ledger keeps of a requester's token."""
    return hashlib.sha256(framed(b"unsee ledger token", token.encode())).hexdigest()


def _message(whole: Mapping[str, Any]) -> bytes:
    return framed(b"unsee ledger document 1", canonical(dict(whole)).encode())
