"""Pseudonyms against HMAC written out by hand, and keys that never lie where the ledger lies."""

import hashlib
import struct
from pathlib import Path

import pytest

from unsee.errors import DataError
from unsee.ledger import SubjectKey
from unsee.ledger.errors import KeyFileError
from unsee.ledger.keys import make_key, read_key, read_subject

SECRET = bytes(range(32))


def mac(key: bytes, *parts: bytes) -> str:
    """HMAC-SHA256 from its definition (RFC 2104) over length-prefixed parts."""
    message = b"".join(struct.pack("<Q", len(part)) + part for part in parts)
    block = key.ljust(64, b"\0")
    inner = hashlib.sha256(bytes(b ^ 0x36 for b in block) + message).digest()
    return hashlib.sha256(bytes(b ^ 0x5C for b in block) + inner).hexdigest()


def test_a_pseudonym_is_the_hmac_of_the_reference() -> None:
    expected = "hmac-sha256:" + mac(SECRET, b"unsee ledger", b"subject", "Zo\u00eb Example".encode())
    key = SubjectKey(SECRET)
    assert key.pseudonym("Zo\u00eb Example") == expected
    assert key.pseudonym("  Zoe\u0308\n Example ") == expected, "spelling and spaces do not make another person"
    assert SubjectKey(bytes(32)).pseudonym("Zo\u00eb Example") != expected
    assert key.check_value("id") == mac(SECRET, b"unsee ledger", b"check value", b"id")
    with pytest.raises(KeyFileError, match="empty"):
        key.pseudonym(" \n")


def test_a_key_is_not_shown() -> None:
    assert SECRET.hex() not in repr(SubjectKey(SECRET)) and "secret" not in repr(SubjectKey(SECRET))


def test_a_made_key_is_read_again_and_never_overwritten(tmp_path: Path) -> None:
    path, ledger = tmp_path / "keys" / "subject.key", tmp_path / "ledger"
    make_key(path, ledger)
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(read_key(path, "subject", ledger)) == 32
    with pytest.raises(KeyFileError, match="never overwritten"):
        make_key(path, ledger)
    with pytest.raises(KeyFileError, match="inside the ledger"):
        make_key(ledger / "deep" / "key", ledger)
    link = tmp_path / "link"
    link.symlink_to(ledger / "key")
    with pytest.raises(KeyFileError, match="inside the ledger"):
        read_key(link, "subject", ledger)


def test_the_message_says_how_to_name_a_key(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="--subject-key FILE or the environment variable UNSEE_SUBJECT_KEY"):
        read_key(None, "subject", tmp_path)


def test_a_subject_comes_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "who").write_text("A Person\n")
    assert read_subject(str(tmp_path / "who")) == "A Person\n"
    (tmp_path / "noise").write_bytes(b"\xff\xfe\x00")
    for name in ("none", "noise"):
        with pytest.raises(DataError, match="cannot read the subject"):
            read_subject(str(tmp_path / name))
