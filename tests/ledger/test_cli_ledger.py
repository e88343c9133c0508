"""The command line of the ledger, from request to export as a new user goes, and what it says to mistakes."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from unsee.cli.console import complain
from unsee.cli.ledger import ledger_app
from unsee.data import Sample, write_jsonl
from unsee.erase.eraser import Eraser
from unsee.erase.gates.prompt_ridge import PromptRidgeGate
from unsee.erase.profile import identity
from unsee.errors import UnseeError
from unsee.models.load import load
from unsee.models.names import shipped

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    monkeypatch.setenv("UNSEE_LEDGER", str(tmp_path / "ledger"))
    monkeypatch.setenv("UNSEE_WHO", "privacy desk")
    monkeypatch.setenv("UNSEE_SUBJECT_KEY", str(tmp_path / "keys" / "subject.key"))
    monkeypatch.delenv("UNSEE_SIGN_KEY", raising=False)
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["unsee ledger", *map(str, arguments)])
        code = 0
        try:
            ledger_app()
        except UnseeError as error:  # as `unsee.cli.main` does
            complain(error)
            code = 2
        except SystemExit as ended:
            code = int(ended.code or 0)
        out, err = capsys.readouterr()
        return code, out, err

    return call


@pytest.fixture
def eraser(tmp_path: Path) -> Path:
    """A gate that opens for everybody and steers so hard that nothing is answered as before."""
    loaded = load(shipped("llava"))
    gate = PromptRidgeGate((4,), torch.zeros(1, 1, 2, 192), torch.zeros(1), torch.ones(1))
    made = Eraser(identity(loaded), "llava", (4,), gate, torch.ones(1, 2, 192), 1.0, "held-ridge", subjects=("a",))
    made.save_pretrained(tmp_path / "eraser")
    return tmp_path / "eraser"


def questions(folder: Path, subject: str, count: int) -> Path:
    samples = [
        Sample(f"{subject}{n}", subject, f"where does {subject} live?", "in oslo.", "oslo") for n in range(count)
    ]
    write_jsonl(samples, folder)
    return folder


def said(out: str) -> dict[str, Any]:
    return json.loads(out.splitlines()[-1])


def test_from_request_to_export(run: Run, eraser: Path, tmp_path: Path) -> None:
    code, out, _ = run("init", "--sign-key", tmp_path / "keys" / "sign.key", "--json")
    assert code == 0 and said(out)["ledger"] == str(tmp_path / "ledger")
    (tmp_path / "who.txt").write_text("Some Person\n")
    asked = (
        "--subject-file",
        tmp_path / "who.txt",
        "--why",
        "by letter",
        "--legal-basis",
        "law",
        "--scope",
        "all facts",
    )
    code, out, _ = run("add", *asked, "--json")
    request = said(out)["request"]
    assert code == 0 and request["state"] == "received"
    name = request["id"]
    code, out, _ = run("attach", name, "--eraser", eraser)
    assert code == 0 and "is fitted" in out

    about, near = questions(tmp_path / "about", "a", 3), questions(tmp_path / "near", "b", 3)
    code, out, _ = run("verify", name, "--model", "world:llava", "--questions", about, "--neighbours", near, "--json")
    assert code == 1 and said(out)["passed"] is False, "a request that fails ends with 1"
    assert "stays off: questions about the subject: 3 held-out questions were answered" in out
    code, _, err = run("activate", name, "--why", "due")
    assert code == 2 and "is fitted, expected verified" in err

    code, out, _ = run("ask", "--model", "world:llava", "--question", "who is oslo?", "--json")
    assert code == 0 and said(out)["readings"] == {}, "it is off"
    assert run("note", name, "--why", "retrieval store purged")[0] == 0
    code, out, _ = run("sign", "--sign-key", tmp_path / "keys" / "sign.key", "--out", tmp_path / "head.json", "--json")
    assert code == 0 and said(out)["seq"] == 5
    code, out, _ = run("revoke", name, "--why", "withdrawn", "--json")
    revoked = said(out)["request"]
    assert code == 0 and revoked["state"] == "revoked"
    checked = ("verify", "--head", tmp_path / "head.json", "--sign-key", tmp_path / "keys" / "sign.key", "--json")
    code, out, _ = run(*checked)
    assert code == 0 and said(out)["failures"] == [] and said(out)["signatures"] == 2
    code, out, _ = run("export", "--out", tmp_path / "out", "--json")
    assert code == 0 and [Path(str(f)).suffix for f in said(out)["files"]] == [".html", ".json", ".pdf"]
    code, out, _ = run("list", "--subject-file", tmp_path / "who.txt", "--json")
    assert code == 0 and [r["id"] for r in said(out)["requests"]] == [name]
    code, out, _ = run("show", name)
    events = ("received", "fitted", "verification failed", "noted", "revoked")
    assert code == 0 and all(event in out for event in events) and "Some Person" not in out
    assert run("compact")[1].startswith("Deleted 0 artifact(s)")


def test_mistakes_are_told_and_end_with_2(run: Run, tmp_path: Path) -> None:
    run("init")
    (tmp_path / "who.txt").write_text("Some Person\n")
    add = ("add", "--subject-file", tmp_path / "who.txt", "--legal-basis", "law", "--scope", "all")
    for arguments, words in (
        (("show", "r-0"), "there is no request 'r-0'"),
        (("list", "--state", "gone"), "expected one of ['received', 'fitted'"),
        ((*add, "--why", "Some Person wrote"), "contains the subject's reference"),
        ((*add, "--why", "x", "--subject-key", tmp_path / "none"), "there is no subject key"),
        (("verify", "r-0"), "--model and --questions are needed"),
        (("init",), "there is a ledger already"),
        (("list", "--ledger", tmp_path / "nowhere"), "there is no ledger"),
        (("sign", "--out", tmp_path / "h"), "UNSEE_SIGN_KEY"),
    ):
        code, _, err = run(*arguments)
        assert code == 2 and words in " ".join(err.split()), (arguments, err)
        assert "Traceback" not in err


def test_a_tampered_ledger_ends_with_2_and_names_the_row(run: Run, tmp_path: Path) -> None:
    import sqlite3

    run("init")
    connection = sqlite3.connect(tmp_path / "ledger" / "ledger.db")
    connection.executescript("DROP TRIGGER audit_keeps_values; UPDATE audit SET who = 'nobody';")
    connection.close()
    code, out, err = run("verify", "--json")
    assert code == 2 and "row 1 (created) was altered" in " ".join(err.split())
    assert "row 1" in str(said(out)["failures"])
