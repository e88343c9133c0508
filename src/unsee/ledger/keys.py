"""Secrets that lie in files outside the ledger: the key of the pseudonyms, and the key that signs the log's head."""

import hashlib
import hmac
import os
import secrets
import sys
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path
from typing import final

from unsee.errors import DataError, SaveError
from unsee.ledger.errors import KeyFileError
from unsee.ledger.framing import framed

KEY_BYTES = 32


@final
@dataclass(frozen=True)
class SubjectKey:
    """Turns whom a request is about into a pseudonym that only this key can link to the person.

    Attributes:
        secret: never written anywhere, not even shown by `repr`.
    """

    secret: bytes = field(repr=False)

    @staticmethod
    def read(path: Path | None, ledger: Path) -> "SubjectKey":
        """The key in a file outside the ledger; see `read_key`."""
        return SubjectKey(read_key(path, "subject", ledger))

    def pseudonym(self, subject: str) -> str:
        """`"hmac-sha256:" + HMAC-SHA256(key, p("subject") p(reference))`, the reference in composed Unicode, trimmed.

        Raises:
            KeyFileError: the reference is empty.
        """
        reference = " ".join(unicodedata.normalize("NFC", subject).split())
        if not reference:
            raise KeyFileError("the subject's reference is empty, expected a name or number that your files know.")
        return f"hmac-sha256:{_mac(self.secret, b'subject', reference.encode('utf-8', 'backslashreplace'))}"

    def check_value(self, ledger_id: str) -> str:
        """What the ledger keeps to know this key again; it says nothing about it."""
        return _mac(self.secret, b"check value", ledger_id.encode())


def read_subject(path: str) -> str:
    """Whom a request is about, from a file or one line of standard input ('-'): never from the command line itself.

    Raises:
        DataError: it cannot be read.
    """
    try:
        return sys.stdin.readline() if path == "-" else Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise DataError(f"cannot read the subject from {path!r}: {reason}. Expected a text file in UTF-8.") from error


def read_key(path: Path | None, what: str, ledger: Path) -> bytes:
    """The secret in a key file: at least 64 hexadecimal digits, as `openssl rand -hex 32` prints them.

    Args:
        path: the file, or None where no option and no environment variable named one.
        what: "subject" or "signing", for the messages.
        ledger: the ledger's folder, which must not hold the key.

    Raises:
        KeyFileError: not given, missing, unreadable, inside the ledger, too short, or not hexadecimal.
    """
    if path is None:
        raise KeyFileError(
            f"no {what} key was given, and nothing is done without one. Expected --{what}-key FILE or the environment "
            f"variable {variable(what)}; 'unsee ledger init' makes a file, or 'openssl rand -hex 32' prints a key."
        )
    _require_outside(path, what, ledger)
    try:
        text = path.read_text(encoding="ascii").strip()
        secret = bytes.fromhex(text)
    except FileNotFoundError as error:
        raise KeyFileError(
            f"there is no {what} key {path}, expected the file that was used before. Check the path, or put the file "
            "back from its backup: nothing can stand in for it."
        ) from error
    except OSError as error:
        raise KeyFileError(f"cannot read the {what} key {path}: {error.strerror}. Check its rights.") from error
    except ValueError as error:
        raise KeyFileError(f"the {what} key {path} is not hexadecimal, expected at least 64 digits.") from error
    if len(secret) < KEY_BYTES:
        raise KeyFileError(f"the {what} key {path} has {len(secret)} bytes, expected at least {KEY_BYTES}.")
    return secret


def make_key(path: Path, ledger: Path) -> None:
    """Write a new random key that only this user may read.

    Raises:
        KeyFileError: inside the ledger, or there is a file already; a key is never overwritten.
        SaveError: it cannot be written.
    """
    _require_outside(path, "new", ledger)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(KEY_BYTES) + "\n")
            file.flush()
            os.fsync(descriptor)
    except FileExistsError as error:
        raise KeyFileError(f"there is a file {path} already, and a key is never overwritten. Name another.") from error
    except OSError as error:
        raise SaveError(f"cannot write the key {path}: {error.strerror}. Choose another place.") from error


def variable(what: str) -> str:
    """Environment variable that may name a key file."""
    return f"UNSEE_{what.upper()}_KEY"


def _require_outside(path: Path, what: str, ledger: Path) -> None:
    if path.resolve().is_relative_to(ledger.resolve()):
        raise KeyFileError(
            f"the {what} key {path} lies inside the ledger {ledger}, so whoever has the ledger has the key. Keep it in "
            "another place, with other rights."
        )


def _mac(secret: bytes, purpose: bytes, value: bytes) -> str:
    return hmac.new(secret, framed(b"unsee ledger", purpose, value), hashlib.sha256).hexdigest()
