"""How many requests hold: refused before a model is loaded, resumed, and certified by every size up to there."""

import json
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from tests.tiny_llava import tiny_llava
from typer.testing import CliRunner

from unsee.cli import app
from unsee.erase.request.request import request
from unsee.errors import CalibrationError, OptionError, UnseeError
from unsee.experiments import capacity
from unsee.experiments.capacity import Trial, certified, run
from unsee.ledger.policy import DEFAULT, read_policy

COMMAND = import_module("unsee.cli.capacity")
LIMITS = read_policy(DEFAULT).verification
TRIAL = Trial([request(f"Ada {name}") for name in "ABC"], [request("Bo Nix")], LIMITS)


def row(size: int, verdict: str) -> dict[str, Any]:
    return {"requests": size, "findings": [{"verdict": "told"}, {"verdict": verdict}]}


def test_a_size_is_certified_by_itself_and_by_all_below_it() -> None:
    rows = [row(1, "pass"), row(5, "pass"), row(10, "fail"), row(25, "pass")]
    assert certified(rows) == 5 and certified(rows[2:]) == certified([]) == 0


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """What was done, with stand-ins for fitting and asking."""
    done = list[tuple[str, int]]()

    def fitted(_: Any, trial: Trial, number: int, out: Path, profile: Any) -> int:
        if trial.requests[number].name == "Ada C":
            raise CalibrationError("request 3 cannot be fitted")
        done.append(("fit", number))
        return number

    def asked(_: Any, trial: Trial, fitted: list[int], stages: Any) -> Any:
        done.append(("ask", len(fitted)))
        return capacity.Verification(content_id="set", findings=(), policy=trial.limits.digest)

    monkeypatch.setattr(capacity, "request_profile", lambda *_, **__: None)
    monkeypatch.setattr(capacity, "_fitted", fitted)
    monkeypatch.setattr(capacity, "_asked", asked)
    return done


def test_it_goes_on_where_it_was_stopped_and_refuses_another_trial(
    counted: list[tuple[str, int]], tmp_path: Path
) -> None:
    loaded, rows = tiny_llava(), list[int]()
    with pytest.raises(CalibrationError, match="request 3"):
        for one in run(loaded, TRIAL, [1, 3, 2], tmp_path):
            rows.append(one["requests"])
    assert rows == [1, 2] and counted == [("fit", 0), ("ask", 1), ("fit", 1), ("ask", 2)]
    counted.clear()
    assert [one["requests"] for one in run(loaded, TRIAL, [2, 1], tmp_path)] == [1, 2] and not counted
    for other in (replace(TRIAL, seed=1), replace(TRIAL, retained=TRIAL.requests)):
        with pytest.raises(OptionError, match="other people"):
            list(run(loaded, other, [1], tmp_path))


@pytest.mark.parametrize(("table", "words", "says"), [
    ("name\nAda A\n", (), "people of one's own"),
    ("name\nAda A\n", ("--retained", "k.csv", "--size", "2"), "needs as many requests"),
    ("name\nBo Nix\n", ("--retained", "k.csv"), "are to be forgotten and to stay known"),
    ("name\nAda A\nada a\n", ("--retained", "k.csv"), "twice"),
    ("name\n", ("--retained", "k.csv"), "names nobody"),
    ("name,images\nAda A,none.png\n", ("--retained", "k.csv"), "none.png"),
    ("name\n<x>\n", ("--retained", "k.csv"), "markers"),
    ("nom\nAda A\n", ("--retained", "k.csv"), "expected 'name'"),
    ("name\nAda A\n", ("--retained", "k.csv", "--out", "k.csv"), "no folder"),
    ("name\nAda A\n", ("--retained", "k.csv", "--ledger", "nowhere"), "policy"),
])  # fmt: skip
def test_bad_input_is_refused_before_a_model_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: str, words: tuple[str, ...], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(COMMAND, "open_model", lambda *_: pytest.fail("a model was loaded"))
    (tmp_path / "r.csv").write_text(table)
    (tmp_path / "k.csv").write_text("name\nBo Nix\n")
    done = CliRunner().invoke(app, ["capacity", "nowhere/model", "--requests", "r.csv", *words])
    assert isinstance(done.exception, UnseeError) and says in str(done.exception), done.exception


def test_the_ledger_is_told(counted: list[tuple[str, int]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(COMMAND, "open_model", lambda *_: tiny_llava())
    (tmp_path / "ledger").mkdir()
    (tmp_path / "ledger" / "policy.toml").write_text(DEFAULT.read_text())
    for name, people in (("r", "Ada A\nAda B"), ("k", "Bo Nix")):
        (tmp_path / f"{name}.csv").write_text(f"name\n{people}\n")
    monkeypatch.chdir(tmp_path)
    words = ["capacity", "a/model", "--requests", "r.csv", "--retained", "k.csv", "--size", "2", "--ledger", "ledger"]
    done = CliRunner().invoke(app, [*words, "--json"])
    told = json.loads(done.stdout.splitlines()[-1])
    assert done.exit_code == 0 and told["certified"] == 2 and "Certified for 2" in done.stdout
    kept = json.loads((tmp_path / "ledger" / "capacity.json").read_text())
    assert kept == json.loads((tmp_path / "capacity" / "capacity.json").read_text())
    assert kept["model_digest"] == tiny_llava().digest
