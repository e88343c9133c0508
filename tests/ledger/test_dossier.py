"""The export: what an officer must find in it, in all three forms, and nothing that a text could smuggle in."""

import json
import re
from pathlib import Path

import pytest
from benchmarks.ledger_worker import BY, KEY, measured, step

from unsee.errors import OptionError, SaveError
from unsee.evals.stats import Row
from unsee.ledger import Decision, Ledger
from unsee.ledger.dossier import effect
from unsee.ledger.errors import UnknownRequestError
from unsee.ledger.export import export
from unsee.ledger.pdf import measured as width_of
from unsee.ledger.pdf import shown, wrapped
from unsee.ledger.verification import judge

NASTY = '<script>alert(1)</script> & "quotes" $x$ \u4f60\u597d'
DESIGN = (
    "The weights still contain what they contained. Erasing here does not delete training data, does not make a model "
    "anonymous, and does not bind anyone who holds the weights or an unhooked copy.",
    "It reduces the rate at which this deployment answers, measured by a dated, repeatable test, revocably and "
    "attributably.",
)


@pytest.fixture
def ledger(tmp_path: Path):
    with Ledger.create(tmp_path / "ledger", KEY, BY) as made:
        for number in range(1, 6):
            request = None
            for _ in range(number):
                request = step(made, request, tmp_path / "a", number)
        yield made


def test_the_three_forms_say_what_was_done_and_what_it_is_not(ledger: Ledger, tmp_path: Path) -> None:
    odd = ledger.add("y", KEY, Decision("desk", NASTY, "law", "all"))
    files = export(ledger, tmp_path / "out", BY)
    assert [path.name for path in files] == ["ledger.html", "ledger.json", "ledger.pdf"]
    html, told = files[0].read_text(), json.loads(files[1].read_text())
    assert told["counts"] == {"received": 2, "fitted": 1, "verified": 1, "active": 1, "revoked": 1}
    assert told["log"]["failures"] == [] and told["active_set"]["digest"] == ledger.active().digest
    for sentence in DESIGN:
        assert sentence in " ".join(html.split()) and any(sentence in text for text in told["is_not"] + told["it_is"])
    for request in ledger.requests():
        assert f'id="{request.id}"' in html and request.subject in html and request.due[:10] in html
    active = next(r for r in told["requests"] if r["state"] == "active")
    assert [s["event"] for s in active["history"]] == ["received", "fitted", "verified", "activated"]
    assert [f["check"] for f in active["verification"]["untested"]] == ["still answered", "never-knew reference"]
    assert "<script" not in html and "&lt;script&gt;alert(1)" in html
    assert not re.search(r"(src|href)=\"(?!#)", html), "the page loads nothing"
    assert next(r for r in told["requests"] if r["id"] == odd.id)["history"][0]["why"] == NASTY
    pdf = files[2].read_bytes()
    assert pdf.startswith(b"%PDF") and pdf.count(b"/Type /Page ") >= 7
    row = ledger.history()[-1]
    assert row.event == "exported" and set(row.said["files"]) == {"html", "json", "pdf"}


def test_failed_items_come_first_and_one_request_goes_alone(ledger: Ledger, tmp_path: Path) -> None:
    fitted = ledger.requests(("fitted",))[0]
    bad = judge(measured(refusal=0.5, leak=0.2), ledger.policy.verification)
    ledger.record(fitted.id, fitted.content_id or "", bad, BY)
    files = export(ledger, tmp_path / "out", BY, request_id=fitted.id, formats=["json"])
    assert [path.name for path in files] == [f"{fitted.id}.json"]
    (told,) = json.loads(files[0].read_text())["requests"]
    assert [f["check"] for f in told["verification"]["failed"]] == ["refusal", "leak"]
    assert [f["verdict"] for f in told["verification"]["findings"]][:4] == ["fail", "fail", "untested", "untested"]
    assert told["verification"]["passed"] is False and told["answered"] == "open"


def test_a_broken_log_is_told_in_the_export(ledger: Ledger, tmp_path: Path) -> None:
    import sqlite3

    with sqlite3.connect(ledger.home / "ledger.db") as connection:
        connection.execute("DROP TRIGGER audit_keeps_values")
        connection.execute("UPDATE audit SET who = 'nobody' WHERE seq = 2")
    connection.close()
    files = export(ledger, tmp_path / "out", BY, formats=["html"])
    assert "broken" in files[0].read_text() and "row 2 (received) was altered" in files[0].read_text()


def test_what_cannot_be_exported_is_refused(ledger: Ledger, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="format is 'docx'"):
        export(ledger, tmp_path, BY, formats=["docx"])
    with pytest.raises(UnknownRequestError):
        export(ledger, tmp_path, BY, request_id="r-0")
    (tmp_path / "file").write_text("")
    with pytest.raises(SaveError, match="cannot export"):
        export(ledger, tmp_path / "file", BY)


def test_the_effect_is_read_off_the_rows() -> None:
    def row(condition: str, split: str, refusal: float, leak: float) -> Row:
        return {
            "condition": condition, "split": split, "n": 40, "n_subjects": 4, "unscored": 0, "accuracy": 0.5,
            "leak": leak, "refusal": refusal, "fluent": 1.0, "ci95": {"refusal": (0.8, 1.0), "leak": None},
        }  # fmt: skip

    rows = [row("base", "forget_heldout", 0.0, 0.9), row("erased", "forget_heldout", 0.95, 0.01)]
    values = measured().__dict__ | {"context": {"rows": rows}, "never_knew_leak": 0.02}
    lines = {line["what"]: line for line in effect(values)}
    refused = lines["Held-out questions about the subject that are refused"]
    assert (refused["before"], refused["after"], refused["n"], refused["interval"]) == (0.0, 0.95, 40, (0.8, 1.0))
    given = lines["Held-out questions about the subject that give the fact away"]
    assert (given["before"], given["after"], given["interval"]) == (0.9, 0.01, None)
    assert lines["A model that never knew the subject: hits by chance"]["after"] == 0.02
    assert "Still to be answered about the subject: right" not in lines, "what was not asked has no line"


@pytest.mark.parametrize("text", ["one two three " * 40, "sha256:" + "ab" * 200, "a\nb", "", "\u4f60\u597d $x_1$"])
def test_lines_of_the_pdf_fit_and_lose_nothing(text: str) -> None:
    lines = wrapped(text, 200, 9)
    assert all(width_of(line, "DejaVu Sans", 9) <= 200 for line in lines)
    assert "".join("".join(lines).split()) == "".join(text.split())


def test_a_character_without_a_glyph_is_a_box() -> None:
    assert shown("Zo\u00eb \u4f60", "DejaVu Sans") == "Zo\u00eb \u25a1"
