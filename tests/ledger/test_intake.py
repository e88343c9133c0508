"""Many requests at once: three shapes, wrong rows beside right ones, and the same file again."""

import hashlib
import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from benchmarks.ledger_worker import BY, GROUND
from PIL import Image

from unsee.errors import DataError
from unsee.ledger import Ledger
from unsee.ledger.intake import Outcome, Row, read_csv, read_hashed, read_opendsr, roster_of, take_in

HASHED = hashlib.sha256(b"janedoe").hexdigest()


def taken(ledger: Ledger, rows: list[Row]) -> list[Outcome]:
    told = list[int]()
    found = list(take_in(ledger, rows, BY, GROUND["legal_basis"], GROUND["scope"], told.append))
    assert sum(told) == len(rows) == len(found)
    return found


def test_a_table_with_wrong_rows(ledger: Ledger, tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    (tmp_path / "t.csv").write_text(
        "\ufeffname,aliases,received,reference,images,scope\n"
        'Jane Doe,"J. Doe; Jane Roe",2026-04-30,DSR-1,a.png,her career\n'
        ",,,DSR-2,,\n王小明,,2027-01-01,DSR-3,,\nAnna,,,DSR-4,b.png,\nBob,,,DSR-5,,about Bob\nCarl,,\n"
        "Димчик,,,,,\nДимчик,,,,,namesake\n",
        encoding="utf-8",
    )
    found = taken(ledger, read_csv(tmp_path / "t.csv"))
    assert [one.status for one in found] == ["received", *["failed"] * 5, "received", "received"]
    said = ("letter or digit", "not after", "b.png", "names the person", "3 cells")
    assert all(words in one.error for one, words in zip(found[1:6], said, strict=True))
    jane = ledger.request(found[0].id)
    assert (str(jane.received), str(jane.due), jane.scope) == ("2026-04-30", "2026-06-01", "her career")
    person = ledger.person(jane.id)
    assert person is not None and person.names == ("Jane Doe", "J. Doe", "Jane Roe") and len(person.images) == 1
    again = taken(ledger, read_csv(tmp_path / "t.csv"))
    assert [one.status for one in again] == ["known", *["failed"] * 5, "known", "known"]
    assert [one.id for one in again] == [one.id for one in found] and len(ledger.requests()) == 3


@pytest.mark.parametrize(("text", "received"), [
    *((text, 0) for text in ("", "nom\nx", "name,name\na,b", "name,age\na,3", "\x00", "NAME\nJane\n", "[", "{]")),
    *((text, 0) for text in ("null", "[1, 2]", '{"a": 1}', "\ud800", "[" * 100_000, '{"a":1e999}')),
    ('name\n"' + "J " * 99_000, 0),
    *((text, 1) for text in ("name\n\n\n \nJane\n", "\ufeffname\r\nJane", "name;contact\nJane;a@b.org\n")),
    *((text, 1) for text in ("name\n=cmd|' /C calc'!A0\n", 'name\n"never closed')),
])  # fmt: skip
def test_files_of_any_shape_are_read_or_refused(ledger: Ledger, tmp_path: Path, text: str, received: int) -> None:
    (tmp_path / "f").write_bytes(text.encode("utf-8", "surrogatepass"))
    for read, expected in ((read_csv, received), (lambda path: read_opendsr(path, {}), 0)):
        try:
            found = taken(ledger, read(tmp_path / "f"))
            assert {one.status for one in found} == {"received" if expected else "failed"}
        except DataError as error:
            assert str(tmp_path) in str(error) and not expected
    assert len(ledger.requests()) == received


def opendsr(number: int, **more: Any) -> dict[str, Any]:
    identity = {"identity_type": "name", "identity_value": f"Person {chr(65 + number)}", "identity_format": "raw"}
    return {
        "regulation": "gdpr", "subject_request_id": f"id-{number}", "subject_request_type": "erasure",
        "submitted_time": "2026-05-01T15:00:00Z", "subject_identities": [identity], "api_version": "0.1", **more,
    }  # fmt: skip


@pytest.mark.parametrize("shape", ["one", "list", "lines"])
def test_opendsr(ledger: Ledger, tmp_path: Path, shape: str) -> None:
    parts = [
        opendsr(0), opendsr(1, subject_request_type="access"), {"subject_request_id": "x"},
        opendsr(2, subject_identities=[{"identity_value": HASHED, "identity_format": "sha256"}]),
        opendsr(3, subject_identities=[{"identity_value": "0" * 64, "identity_format": "sha256"}]), opendsr(4),
    ][: 1 if shape == "one" else 6]  # fmt: skip
    lines = "\n".join(map(json.dumps, parts))
    written = {"one": json.dumps(parts[0], indent=1), "list": json.dumps(parts), "lines": lines}
    (tmp_path / "r.json").write_text(written[shape])
    (tmp_path / "roster").write_text("Jané  DOE\n\n")
    found = taken(ledger, read_opendsr(tmp_path / "r.json", roster_of(tmp_path / "roster")))
    expected = ["received", "failed", "failed", "received", "not found", "received"]
    assert [one.status for one in found] == expected[: len(parts)]
    assert ledger.request(found[0].id).received == date(2026, 5, 1)


def test_a_list_of_hashes(ledger: Ledger, tmp_path: Path) -> None:
    (tmp_path / "drop.csv").write_text(f'hash\n"{HASHED.upper()}"\n{"0" * 64}\nnot a hash\n')
    (tmp_path / "roster").write_text("Jane Doe\nBob\n")
    for first in ("received", "known"):
        found = taken(ledger, read_hashed(tmp_path / "drop.csv", roster_of(tmp_path / "roster")))
        assert [one.status for one in found] == [first, "not found", "failed"]
    person = ledger.person(found[0].id)
    assert person is not None and person.names == ("Jane Doe",)
