"""Every fault of the harness once, and its big parts at their smallest size."""

from pathlib import Path

import pytest
from benchmarks import ledger_faults
from benchmarks.ledger_breaking import FAULTS, NOT_MADE


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_met_as_it_should_be(name: str, tmp_path: Path) -> None:
    found = FAULTS[name](tmp_path / "fault")
    if found == NOT_MADE:
        pytest.skip(f"{name}: {found}")
    assert len(found) > 20, "a fault says what was found"


def test_killing_loses_nothing(tmp_path: Path) -> None:
    (row,) = ledger_faults.killed(tmp_path, kills=3, seed=1)
    assert row["good"], row["found"]


def test_many_writers_lose_nothing(tmp_path: Path) -> None:
    (row,) = ledger_faults.loaded(tmp_path, processes=2, threads=2, operations=10)
    assert row["good"] and "38 steps acknowledged" not in row["found"], row["found"]
    assert row["times"] == 40


def test_mutants_are_refused(tmp_path: Path) -> None:
    (row,) = ledger_faults.mutated(tmp_path, mutants=40, seed=0)
    assert row["good"] and row["found"].startswith("40 typed errors"), row["found"]


def test_a_fault_that_is_not_met_fails_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unmet(folder: Path) -> str:
        raise AssertionError("nothing was raised")

    monkeypatch.setattr("benchmarks.ledger_breaking.FAULTS", {"unmet": unmet})
    with pytest.raises(SystemExit) as ended:
        ledger_faults.main(["--part", "faults"])
    assert ended.value.code == 1
