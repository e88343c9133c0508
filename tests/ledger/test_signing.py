"""Signed heads: what is signed, that another key or byte does not verify, and that other schemes plug in."""

import hashlib
import hmac
import json
import struct
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from benchmarks.ledger_worker import BY, KEY

from unsee.errors import SaveError
from unsee.ledger import Ledger
from unsee.ledger.errors import AuditError, KeyFileError
from unsee.ledger.signing import Head, HmacSigner, signed_head, signer_of

SIGNER = HmacSigner(bytes(32))


def framed(*parts: bytes) -> bytes:
    return b"".join(struct.pack("<Q", len(part)) + part for part in parts)


def test_a_head_is_signed_over_all_of_its_fields() -> None:
    head = signed_head("id", 7, "ab" * 32, "2026-01-01T00:00:00.000000Z", SIGNER)
    key_id = hmac.new(bytes(32), framed(b"unsee ledger head", b"key id"), hashlib.sha256).hexdigest()[:16]
    message = framed(
        b"head 1", b"id", b"7", b"ab" * 32, b"2026-01-01T00:00:00.000000Z", b"hmac-sha256", key_id.encode()
    )
    expected = hmac.new(bytes(32), framed(b"unsee ledger head", message), hashlib.sha256).hexdigest()
    assert (head.key_id, head.signature) == (key_id, expected)
    head.require_signed_by(SIGNER)
    for change in ({"ledger_id": "other"}, {"seq": 8}, {"hash": "cd" * 32}, {"signed": "2027"}, {"signature": "00"}):
        with pytest.raises(AuditError, match="not this key's"):
            replace(head, **change).require_signed_by(SIGNER)
    with pytest.raises(KeyFileError, match="Give the key that signed it"):
        head.require_signed_by(HmacSigner(bytes(31) + b"1"))


def test_a_head_survives_being_taken_elsewhere(tmp_path: Path) -> None:
    head = signed_head("id", 7, "ab" * 32, "2026", SIGNER)
    head.write(tmp_path / "head.json")
    assert Head.read(tmp_path / "head.json") == head
    with pytest.raises(SaveError, match="cannot write the head"):
        head.write(tmp_path / "none" / "head.json")
    for text in ("", "[]", "{}", json.dumps(vars(head) | {"seq": "7"}), json.dumps(vars(head) | {"more": 1})):
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(AuditError, match="is no signed head"):
            Head.read(tmp_path / "bad.json")


def test_a_sound_ledger_verifies_under_its_key(tmp_path: Path) -> None:
    with Ledger.create(tmp_path / "ledger", KEY, BY) as ledger:
        head = ledger.sign(SIGNER)
        assert ledger.sign(SIGNER).seq == head.seq and len(ledger.heads()) == 1, "the same row is signed once"
        ledger.add("x", KEY, BY)
        found = ledger.examine(SIGNER, head)
        assert found.failures == [] and found.signatures == 2
        unsigned = ledger.examine()
        assert unsigned.signatures == 0 and "was not checked" in unsigned.remarks[0].text
        foreign = replace(head, ledger_id="0" * 32)
        assert "of another ledger" in ledger.examine(SIGNER, foreign).failures[0]


@dataclass(frozen=True)
class Reversing:
    """A scheme as an extension would bring it."""

    where: str
    algorithm: str = "reversing"
    key_id: str = "r"

    def sign(self, message: bytes) -> str:
        return message[::-1].hex()

    def verifies(self, message: bytes, signature: str) -> bool:
        return signature == self.sign(message)


def test_other_schemes_come_by_entry_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Point:
        name = "reversing"

        def load(self) -> type[Reversing]:
            return Reversing

    def entry_points(group: str) -> list[Point]:
        return [Point()] if group == "unsee.ledger_signers" else []

    monkeypatch.setattr("unsee.ledger.signing.entry_points", entry_points)
    signer = signer_of("reversing:identity=me", tmp_path)
    assert signer == Reversing("identity=me")
    with Ledger.create(tmp_path / "ledger", KEY, BY) as ledger:
        ledger.sign(signer)
        assert ledger.examine(signer).signatures == 1 and ledger.heads()[0].algorithm == "reversing"
    with pytest.raises(
        KeyFileError, match=r"no way of signing 'sigstore', expected a key file or one of \['reversing'\]"
    ):
        signer_of("sigstore:identity=me", tmp_path)
    key = tmp_path / "sign.key"
    key.write_text("00" * 32)
    assert signer_of(str(key), tmp_path / "ledger").key_id == SIGNER.key_id
    with pytest.raises(KeyFileError, match="UNSEE_SIGN_KEY"):
        signer_of(None, tmp_path)
