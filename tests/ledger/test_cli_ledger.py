"""`unsee ledger` as a desk uses it: 80 columns, whole ids, prefixes, JSON at the end, and errors that teach."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from benchmarks.ledger_worker import fitted, opened, verified
from typer.testing import CliRunner

from unsee.cli import app
from unsee.errors import UnseeError

Run = Callable[..., tuple[int, str, dict[str, Any]]]
ADD = ("add", "--why", "letter", "--legal-basis", "GDPR Art. 17", "--scope", "all")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    for name, value in (("LEDGER", tmp_path / "ledger"), ("LEDGER_KEYS", tmp_path / "keys"), ("WHO", "desk")):
        monkeypatch.setenv(f"UNSEE_{name}", str(value))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)

    def call(*words: str, typed: str = "") -> tuple[int, str, dict[str, Any]]:
        done = CliRunner().invoke(app, ["ledger", *words, "--json"], input=typed)
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert all(len(line) <= 80 for line in done.stdout.splitlines() if line[:1] in "┏┃┡│└")
        return done.exit_code, done.stdout, json.loads(done.stdout.splitlines()[-1])

    call("init")
    return call


def test_from_receipt_to_answer(run: Run, tmp_path: Path) -> None:
    _, _, got = run(*ADD, "--name", "-", "--receipt", "receipt.json", typed="Jane Doe\nJ. Doe\n")
    request, short = got["request"]["id"], got["request"]["id"][:9]
    assert got["token"] == json.loads((tmp_path / "receipt.json").read_text())["token"]
    assert run("list", "--name", "jane DOE")[2]["requests"][0]["id"] == request
    for state in ("", "received", "denied"):
        _, board, data = run("list", *(("--state", state) if state else ()))
        assert (request in board) == (state != "denied") == bool(data["requests"]), "ids are never cut"
    run("amend", short, "--name", "Yael Stern", "--why", "letter of 9 May")
    run("accept", short, "--why", "identity shown [/b] [red]by telephone")
    with opened(tmp_path) as ledger:
        verified(ledger, fitted(ledger, ledger.request(request), tmp_path / "a", 1))
    _, said, got = run("activate", short, "--why", "shown", "--until", "2999-01-01")
    assert got["request"]["in_force"] and "how many this model holds is not known" in said
    run("letter", short, "--out", "letter.txt")
    assert run("answer", short, "--letter", "letter.txt", "--how", "by post")[2]["request"]["state"] == "answered"
    _, said, got = run("show", short)
    assert "answered in time" in said and "revoke" in got["allowed"] and "[/b]" in said, "what is typed is no markup"
    assert run("revoke", short, "--why", "taken back")[2]["request"]["state"] == "revoked"
    run("sign", "--out", "head.json")
    assert run("check", "--head", "head.json")[0] == 0 and len(run("export", "--out", "out")[2]["files"]) == 3
    complaint = run("add", "--complaint", "--why", "e-mail", "--name", "Mary Smith")[2]["request"]["id"]
    assert complaint.startswith("c-") and run("show", complaint)[2]["allowed"][0] == "reproduce"


@pytest.mark.parametrize(("words", "said"), [
    (("accept", "r-zzzz", "--why", "x"), "no request"), (("list", "--state", "lost"), "expected one of"),
    (("sign",), "pins nothing"), (("note", "--why", " "), "why has 0 characters"),
    (("import", "nothing.csv", *ADD[1:], "--out", "o"), "cannot read"),
    (("import", "nothing.csv", *ADD[1:], "--out", "o", "--format", "xml"), "format"),
    (("check", "--head", "nothing.json"), "no signed document"), ((*ADD, "--name", " "), "nobody"),
    ((*ADD, "--name", "Jo", "--receipt", "keys/sign.key"), "is there already"),
])  # fmt: skip
def test_errors_say_what_to_do(run: Run, words: tuple[str, ...], said: str) -> None:
    with pytest.raises(UnseeError, match=said):
        run(*words)


def test_bulk_and_what_is_due(run: Run, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("name,received\nJane Doe,2020-02-28\n,\nBob Roe,\n")
    code, said, got = run("import", "t.csv", *ADD[1:], "--out", "out.jsonl")
    assert (code, got["received"], got["failed"]) == (1, 2, 1) and "row 3" in said
    assert (tmp_path / "out.jsonl").stat().st_mode & 0o777 == 0o600
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 3
    code, _, got = run("due")
    assert code == 1 and [one["by"] for one in got["due"]] == ["2020-03-30"], "28 March 2020 was a Saturday"


def test_an_older_copy_is_refused_until_it_is_adopted(run: Run, tmp_path: Path) -> None:
    older = (tmp_path / "ledger" / "ledger.db").read_bytes()
    run(*ADD, "--name", "Jane Doe")
    (tmp_path / "ledger" / "ledger.db").write_bytes(older)
    with pytest.raises(UnseeError, match="seen before"):
        run("note", "--why", "x")
    assert run("adopt", "--why", "the disk burnt")[2]["seen"] == 2
    assert run(*ADD, "--name", "Jane Doe")[0] == 0
