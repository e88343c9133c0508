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


@pytest.mark.parametrize(("part", "sizes", "says"), [
    ("killed", {"kills": 3, "seed": 1}, "acknowledged, all present"),
    ("loaded", {"processes": 2, "threads": 2, "operations": 10}, "37 steps acknowledged"),
    ("mutated", {"mutants": 40, "seed": 0}, "40 typed errors"),
])  # fmt: skip
def test_killing_writing_at_once_and_mutants_lose_and_load_nothing(
    tmp_path: Path, part: str, sizes: dict[str, int], says: str
) -> None:
    (row,) = getattr(ledger_faults, part)(tmp_path, **sizes)
    assert row["good"] and says in row["found"], row["found"]


def test_a_fault_that_is_not_met_fails_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unmet(folder: Path) -> str:
        raise AssertionError("nothing was raised")

    monkeypatch.setattr("benchmarks.ledger_breaking.FAULTS", {"unmet": unmet})
    with pytest.raises(SystemExit) as ended:
        ledger_faults.main(["--part", "faults"])
    assert ended.value.code == 1
