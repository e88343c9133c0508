"""Many requests at once: three shapes, wrong rows beside right ones, and the same file again."""

import hashlib
import json
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from benchmarks.ledger_worker import BY, GROUND
from PIL import Image

from unsee.errors import DataError
from unsee.ledger import Ledger
from unsee.ledger.intake import Outcome, Row, read_csv, read_hashed, read_opendsr, roster_of, take_in


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
        ",,,DSR-2,,\n"
        "王小明,,2027-01-01,DSR-3,,\n"
        "Anna,,,DSR-4,b.png,\n"
        "Bob,,,DSR-5,,about Bob\n"
        "Carl,,\n"
        "Дмитрий,,,,,\n",
        encoding="utf-8",
    )
    found = taken(ledger, read_csv(tmp_path / "t.csv"))
    assert [one.status for one in found] == ["received", *["failed"] * 5, "received"]
    for one, said in zip(
        found[1:], ("at least one name", "not after", "b.png", "names the person", "3 cells"), strict=False
    ):
        assert said in one.error
    jane = ledger.request(found[0].id)
    assert (str(jane.received), str(jane.due), jane.scope) == ("2026-04-30", "2026-06-01", "her career")
    person = ledger.person(jane.id, "whole")
    assert person is not None and person.names == ("Jane Doe", "J. Doe", "Jane Roe") and len(person.images) == 1
    again = taken(ledger, read_csv(tmp_path / "t.csv"))
    assert [one.status for one in again] == ["known", *["failed"] * 5, "known"]
    assert [again[0].id, again[-1].id] == [found[0].id, found[-1].id] and len(ledger.requests()) == 2


@pytest.mark.parametrize("text", ["", "nom\nx", "name,name\na,b", "name,age\na,3", "\x00"])
def test_a_table_without_names_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(DataError, match="name"):
        read_csv(tmp_path / "t.csv")


def opendsr(number: int, **more: Any) -> dict[str, Any]:
    identity = {"identity_type": "name", "identity_value": f"Person {chr(65 + number)}", "identity_format": "raw"}
    return {
        "regulation": "gdpr", "subject_request_id": f"id-{number}", "subject_request_type": "erasure",
        "submitted_time": "2026-05-01T15:00:00Z", "subject_identities": [identity], "api_version": "0.1", **more,
    }  # fmt: skip


@pytest.mark.parametrize("shape", ["one", "list", "lines"])
def test_opendsr(ledger: Ledger, tmp_path: Path, shape: str) -> None:
    hashed = hashlib.sha256(b"janedoe").hexdigest()
    parts = [opendsr(0)] if shape == "one" else [
        opendsr(0), opendsr(1, subject_request_type="access"), {"subject_request_id": "x"},
        opendsr(2, subject_identities=[{"identity_value": hashed, "identity_format": "sha256"}]),
        opendsr(3, subject_identities=[{"identity_value": "0" * 64, "identity_format": "sha256"}]), opendsr(4),
    ]  # fmt: skip
    one = {"one": lambda: json.dumps(parts[0], indent=1), "list": lambda: json.dumps(parts),
           "lines": lambda: "\n".join(map(json.dumps, parts))}  # fmt: skip
    (tmp_path / "r.json").write_text(one[shape]())
    (tmp_path / "roster").write_text("Jané  DOE\n\n")
    found = taken(ledger, read_opendsr(tmp_path / "r.json", roster_of(tmp_path / "roster")))
    expected = ["received", "failed", "failed", "received", "not found", "received"]
    assert [one.status for one in found] == expected[: len(parts)]
    assert ledger.request(found[0].id).received == date(2026, 5, 1)


@pytest.mark.parametrize("text", ["", "[", "{]", "[1, 2]", "null", '{"a": 1}'])
def test_what_is_no_opendsr_is_told(ledger: Ledger, tmp_path: Path, text: str) -> None:
    (tmp_path / "r.json").write_text(text)
    with suppress(DataError):
        assert all(one.status == "failed" for one in taken(ledger, read_opendsr(tmp_path / "r.json", {})))
    assert not ledger.requests()


def test_a_list_of_hashes(ledger: Ledger, tmp_path: Path) -> None:
    mine = hashlib.sha256(b"janedoe").hexdigest()
    (tmp_path / "drop.csv").write_text(f'hash\n"{mine.upper()}"\n{"0" * 64}\nnot a hash\n')
    (tmp_path / "roster").write_text("Jane Doe\nBob\n")
    found = taken(ledger, read_hashed(tmp_path / "drop.csv", roster_of(tmp_path / "roster")))
    assert [one.status for one in found] == ["received", "not found", "failed"]
    person = ledger.person(found[0].id)
    assert person is not None and person.names == ("Jane Doe",)
    assert taken(ledger, read_hashed(tmp_path / "drop.csv", roster_of(tmp_path / "roster")))[0].status == "known"
