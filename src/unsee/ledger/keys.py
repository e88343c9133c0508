"""The operator's key folder, outside the ledger: the signing key, one key per record, and what was seen last.

Whoever has the ledger without this folder reads no personal data, links no pseudonym and signs nothing. Deleting a
record's key destroys what the vault holds on it, also in every copy of the ledger.
"""

import hashlib
import hmac
import json
import os
import secrets
import unicodedata
from contextlib import suppress
from pathlib import Path
from typing import final

from unsee.erase.artifact_files import replace_file, sync_folder
from unsee.errors import SaveError
from unsee.ledger.crypto import new_signing_key, public_key, signing_key
from unsee.ledger.errors import AuditError, KeyFileError, LedgerUnavailableError
from unsee.ledger.framing import framed

KEY_BYTES = 32
SIGNING, SEEN, RECORDS = "sign.pem", "seen.json", "records"


@final
class Keys:
    """An open key folder of one ledger."""

    def __init__(self, folder: Path | None, ledger: Path) -> None:
        """Read the keys.

        Raises:
            KeyFileError: not given, inside the ledger, missing, or damaged.
        """
        if folder is None:
            raise KeyFileError(
                "no key folder was given: it protects the names, and nothing is written without it. Expected --keys "
                "DIR or UNSEE_LEDGER_KEYS; 'unsee ledger init' makes one."
            )
        _require_outside(folder, ledger)
        self.folder, self.signing = folder, signing_key(folder / SIGNING)
        self.public_key = public_key(self.signing)

    @staticmethod
    def make(folder: Path, ledger: Path) -> "Keys":
        """Make the keys of a new ledger; only this user may read them.

        Raises:
            KeyFileError: inside the ledger, or there are keys already: a key is never overwritten.
            SaveError: they cannot be written.
        """
        _require_outside(folder, ledger)
        if folder.is_dir() and any(folder.iterdir()):
            raise KeyFileError(f"{folder}: is not empty, and a key is never overwritten. Name a new folder.")
        try:
            (folder / RECORDS).mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.chmod(0o700)
            write_new(folder / SIGNING, new_signing_key())
        except OSError as error:
            raise SaveError(f"cannot make keys in {folder}: {error.strerror}. Choose another folder.") from error
        return Keys(folder, ledger)

    def pseudonym(self, reference: str, purpose: str = "subject") -> str:
        """`HMAC-SHA256(k, p(purpose) p(reference))`, k derived from the signing key: only it links to the person."""
        text = " ".join(unicodedata.normalize("NFKC", reference).casefold().split())
        key = hmac.digest(self.signing.private_bytes_raw(), b"unsee ledger pseudonyms", "sha256")
        message = framed(purpose.encode(), text.encode("utf-8", "backslashreplace"))
        return f"hmac-sha256:{hmac.new(key, message, hashlib.sha256).hexdigest()}"

    def record_key(self, record: str, *, make: bool = False) -> bytes:
        """The key that the vault's entry of one record is encrypted with.

        Raises:
            KeyFileError: it cannot be made, or is missing: what it opens is destroyed.
        """
        path = self._path(record)
        try:
            if make and not path.exists():
                write_new(path, secrets.token_hex(KEY_BYTES).encode() + b"\n")
            secret = bytes.fromhex(path.read_text(encoding="ascii").strip())
        except (OSError, ValueError) as error:
            raise KeyFileError(
                f"cannot read the key {path}: {error}. There is no other way to what it opens."
            ) from error
        if len(secret) != KEY_BYTES or not any(secret):
            raise KeyFileError(f"the key {path} has {len(secret)} bytes or is blank, expected {KEY_BYTES} random ones.")
        return secret

    def destroy(self, record: str) -> None:
        """Overwrite and delete a record's key; no error where it is gone.

        Raises:
            LedgerUnavailableError: it cannot be deleted; the next opening tries again.
        """
        try:
            with suppress(FileNotFoundError), self._path(record).open("r+b") as file:
                file.write(bytes(2 * KEY_BYTES + 1))
                file.flush()
                os.fsync(file.fileno())
                self._path(record).unlink()
                sync_folder(self.folder / RECORDS)
        except OSError as error:
            raise LedgerUnavailableError(
                f"{record} has ended, and that is on disk, but its key in {self.folder} could not be destroyed: "
                f"{error.strerror}. See to the folder; the next opening tries again."
            ) from error

    def records(self) -> set[str]:
        """Ids that have a key."""
        return {path.stem for path in (self.folder / RECORDS).glob("*.key")}

    def noticed(self) -> tuple[int, str]:
        """Number and hash of the newest row that was seen; (0, "") before the first.

        Raises:
            AuditError: that cannot be read.
        """
        try:
            seen = json.loads((self.folder / SEEN).read_bytes())
            return int(seen["seq"]), str(seen["hash"])
        except FileNotFoundError:
            return 0, ""
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise AuditError(
                f"{self.folder / SEEN}: cannot be read ({error}), so that an older ledger could not be told. Delete it "
                "if the ledger is the right one."
            ) from error

    def notice(self, seq: int, digest: str) -> None:
        """Remember the newest row.

        Raises:
            LedgerUnavailableError: it cannot be written; the row itself is.
        """
        try:
            replace_file(self.folder / SEEN, json.dumps({"seq": seq, "hash": digest}).encode())
        except SaveError as error:
            raise LedgerUnavailableError(
                f"row {seq} of the log is on disk, but {self.folder} could not note it: {error} Nothing has to be "
                "repeated; see to the folder before the next step."
            ) from error

    def _path(self, record: str) -> Path:
        return self.folder / RECORDS / f"{record}.key"


def write_new(path: Path, data: bytes) -> None:
    """Write a file that was not there, for its owner only, and sync it.

    Raises:
        OSError: it cannot be written, or is there already.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(descriptor)
    sync_folder(path.parent)


def _require_outside(folder: Path, ledger: Path) -> None:
    if folder.resolve().is_relative_to(ledger.resolve()):
        raise KeyFileError(
            f"the keys {folder} lie inside the ledger {ledger}, so whoever has the ledger has the keys. Keep them in "
            "another place, with other rights."
        )
