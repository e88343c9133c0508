"""docs/landmines.md names a test for every landmine, and every landmine that has a test."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "landmines.md").read_text(encoding="utf-8")
NAMED = re.findall(r"`(test_\w+)`", PAGE)
READING = "test_reading_landmines.py"


def functions_by_file() -> dict[str, set[str]]:
    found = {path: path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py")}
    return {path.name: set(re.findall(r"^def (test_\w+)", text, re.M)) for path, text in found.items()}


def test_every_test_that_the_page_names_exists() -> None:
    every = set().union(*functions_by_file().values())
    assert set(NAMED) <= every, sorted(set(NAMED) - every)


def test_every_landmine_that_has_a_test_is_on_the_page() -> None:
    by_file = functions_by_file()
    named_so = {name for names in by_file.values() for name in names if name.startswith("test_landmine_")}
    # The last tests of that file are of all benchmarks, and of no trap in particular.
    reading = {name for name in by_file[READING] if re.match(r"test_(mllmu|clear|umu|fiubench|offside)_", name)}
    assert named_so | reading <= set(NAMED), sorted((named_so | reading) - set(NAMED))


def test_every_line_of_the_page_ends_in_a_test() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith("| landmine ")]
    assert len(rows) > 60
    for row in rows:
        assert len(row.split("|")) == 6 and re.search(r"`test_\w+`", row.split("|")[4]), row
