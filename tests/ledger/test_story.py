"""The story of docs/ledger.md runs as it stands, and every record it leaves reads as what happened."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from pdf_here import require_pdf

require_pdf()
DOC = Path(__file__).parents[2] / "docs" / "ledger.md"
NAMES = [
    "Doe",
    "Mustermann",
    "Iwanowa",
    "Иванова",
    "王小明",
    "Xiaoming",
    "García",
    "Okafor",
    "Sørensen",
    "Rossi",
    "Baker",
]


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    names: dict[str, Any] = {"folder": tmp_path_factory.mktemp("story")}
    text = DOC.read_text(encoding="utf-8").partition("\n## A month in the life of ten requests\n")[2]
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) > 10
    for block in blocks:
        exec(compile(block, str(DOC), "exec"), names)
    return names


def test_the_dossier_tells_what_happened_and_names_nobody(story: dict[str, Any]) -> None:
    html, pdf, data = story["files"]
    told, page = json.loads(data.read_bytes()), html.read_text(encoding="utf-8")
    by_id = {one["id"]: one for one in told["requests"]}
    assert len(by_id) == 11 and told["active_set"]["certified"] == "not known"
    assert by_id[story["second_thoughts"]]["answer"] == "closed without an answer"
    assert "freedom of expression" in by_id[story["politician"]]["ground"]
    assert by_id[story["difficult"]]["extended"].startswith("forty images")
    assert "the requester was told: letter of 11 May" in page and "the appeal is granted" in page
    assert "leak: 8 of 200 were answered: at most 7.1 %" in page, "what a verification did not show is on record too"
    assert [s["step"] for s in by_id[story["unhappy"]]["history"]][-6:] == [
        "appeal", "accept", "fit", "verify", "activate", "answer"]  # fmt: skip
    assert by_id[story["complaint"]]["about"] == story["namesake"]
    assert by_id[story["undecided"]]["ended"] == "2026-05-20"
    assert not [name for name in NAMES if name in page or name in data.read_text()]
    assert pdf.read_bytes().startswith(b"%PDF") and {one.stat().st_mode & 0o777 for one in (html, pdf, data)} == {0o600}


def test_the_ledger_holds_no_personal_data_in_the_clear(story: dict[str, Any]) -> None:
    stored = b"".join(path.read_bytes() for path in (story["folder"] / "ledger").rglob("*") if path.is_file())
    assert not [name for name in NAMES if name.encode() in stored or name.encode("utf-16-le") in stored]


def test_letters_say_what_was_decided(story: dict[str, Any]) -> None:
    letters = {path.name[:18]: path.read_text(encoding="utf-8") for path in (story["folder"] / "letters").iterdir()}
    assert "Jane Doe" in letters[story["ordinary"]] and "We have acted on it" in letters[story["ordinary"]]
    assert "freedom of expression" in letters[story["politician"]] and "complaint with" in letters[story["politician"]]
    assert "no longer refuses" in letters[story["complaint"]]
