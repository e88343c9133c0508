"""The operator's key folder, outside the ledger: the signing key, one key per record, and what was seen last.

Whoever has the ledger without this folder reads no personal data, links no pseudonym and signs nothing. Deleting a
record's key destroys what the vault holds on it, also in every copy of the ledger.
"""

import hmac
import json
import os
import secrets
import unicodedata
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from unsee.erase.artifact_files import replace_file, sync_folder
from unsee.errors import SaveError
from unsee.ledger.canonical import canonical
from unsee.ledger.errors import AuditError, KeyFileError, LedgerUnavailableError, told

KEY_BYTES = 32
SIGNING, SEEN, RECORDS = "sign.key", "seen.json", "records"


@final
class Keys:
    """An open key folder of one ledger."""

    def __init__(self, folder: Path, ledger: Path) -> None:
        """Read the keys; KeyFileError where they are inside the ledger, missing, or damaged."""
        _require_outside(folder, ledger)
        self.folder, secret = folder, _secret(folder / SIGNING)
        self._signing = Ed25519PrivateKey.from_private_bytes(secret)
        self._naming = hmac.digest(secret, b"unsee ledger pseudonyms", "sha256")
        self.public_key = self._signing.public_key().public_bytes_raw().hex()

    @staticmethod
    def make(folder: Path, ledger: Path) -> "Keys":
        """The keys of a new ledger, which only this user may read; those that are there already are taken as they are.

        Raises:
            KeyFileError: inside the ledger, or the folder holds other things.
            SaveError: they cannot be written.
        """
        _require_outside(folder, ledger)
        with told(f"cannot make keys in {folder}", "Choose another folder.", SaveError):
            if not (folder / SIGNING).exists():
                if folder.is_dir() and any(folder.iterdir()):
                    raise KeyFileError(f"{folder}: is not empty, and holds no keys. Name a new folder.")
                (folder / RECORDS).mkdir(mode=0o700, parents=True, exist_ok=True)
                folder.chmod(0o700)
                write_new(folder / SIGNING, _new_secret())
        return Keys(folder, ledger)

    def pseudonym(self, text: str, purpose: str = "subject") -> str:
        """HMAC-SHA256 of purpose and text, whatever its case and width: only who has the keys links it to a person."""
        folded = " ".join(unicodedata.normalize("NFKC", text).casefold().split()).encode("utf-8", "backslashreplace")
        return f"hmac-sha256:{hmac.digest(self._naming, canonical([purpose, folded.decode()]), 'sha256').hex()}"

    def signed(self, kind: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """The body with its kind and the public key, and an Ed25519 signature of all of it as canonical JSON."""
        whole = {**body, "kind": kind, "public_key": self.public_key}
        return {**whole, "signature": self._signing.sign(canonical(whole)).hex()}

    def record_key(self, record: str, *, make: bool = False) -> bytes:
        """The key of one record's entry in the vault; KeyFileError where it is missing: what it opens is destroyed."""
        path = self._path(record)
        with told(f"cannot make the key {path}", "Nothing was taken in; see to the folder."):
            if make and not path.exists():
                write_new(path, _new_secret())
        return _secret(path)

    def destroy(self, record: str) -> None:
        """Overwrite and delete a record's key; no error where it is gone."""
        path, then = self._path(record), "See to the folder; the next opening tries again."
        what = f"{record} has ended, and that is on disk, but its key {path} could not be destroyed"
        with told(what, then), suppress(FileNotFoundError), path.open("r+b") as file:
            file.write(bytes(2 * KEY_BYTES + 1))
            file.flush()
            os.fsync(file.fileno())
            path.unlink()
            sync_folder(path.parent)

    def records(self) -> set[str]:
        """Ids that have a key."""
        return {path.stem for path in (self.folder / RECORDS).glob("*.key")}

    def noticed(self) -> tuple[int, str]:
        """Number and hash of the newest row that was seen; (0, "") before the first."""
        path = self.folder / SEEN
        if not path.exists():
            return 0, ""
        try:
            seen = json.loads(path.read_bytes())
            return int(seen["seq"]), str(seen["hash"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise AuditError(
                f"{path}: cannot be read ({error}), so that an older ledger could not be told. Delete it if the ledger "
                "is the right one."
            ) from error

    def notice(self, seq: int, digest: str) -> None:
        """Remember the newest row."""
        try:
            replace_file(self.folder / SEEN, canonical({"seq": seq, "hash": digest}))
        except SaveError as error:
            raise LedgerUnavailableError(
                f"row {seq} of the log is on disk, but {self.folder} could not note it: {error} Nothing has to be "
                "repeated; see to the folder before the next step."
            ) from error

    def _path(self, record: str) -> Path:
        return self.folder / RECORDS / f"{record}.key"


def verified(document: Mapping[str, Any], public: str, kind: str) -> dict[str, Any]:
    """The body of a signed document; AuditError where this key did not sign it, or not as one of this kind."""
    whole = {name: value for name, value in document.items() if name != "signature"}
    if whole.get("kind") != kind or whole.get("public_key") != public:
        raise AuditError(
            f"the document is a {whole.get('kind')!r} of key {str(whole.get('public_key'))[:16]}..., expected a "
            f"{kind!r} of {public[:16]}.... Compare the public key with the one that the ledger's keeper has published."
        )
    try:
        key, signature = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public)), str(document.get("signature"))
        key.verify(bytes.fromhex(signature), canonical(whole))
    except (ValueError, InvalidSignature) as error:
        raise AuditError(
            f"the signature of this {kind} does not fit: it was altered or forged after it was signed. Compare it with "
            "another copy."
        ) from error
    return whole


def write_new(path: Path, data: bytes) -> None:
    """Write a file that was not there, for its owner only, and sync it; OSError where that is not so."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(descriptor)
    sync_folder(path.parent)


def _new_secret() -> bytes:
    return secrets.token_hex(KEY_BYTES).encode() + b"\n"


def _secret(path: Path) -> bytes:
    with told(f"cannot read the key {path}", "There is no other way to what it opens.", KeyFileError):
        secret = bytes.fromhex(path.read_text(encoding="ascii").strip())
        if len(secret) != KEY_BYTES or not any(secret):
            raise ValueError(f"{len(secret)} bytes or blank, expected {KEY_BYTES} random ones")
        return secret


def _require_outside(folder: Path, ledger: Path) -> None:
    if folder.resolve().is_relative_to(ledger.resolve()):
        raise KeyFileError(
            f"the keys {folder} lie inside the ledger {ledger}, so whoever has the ledger has the keys. Keep them in "
            "another place, with other rights."
        )
