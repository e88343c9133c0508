"""docs/metrics.md names every measure with its direction and limits, and the figures of its judges."""

from pathlib import Path

import pytest
from tools.detectors import agreement as detector_agreement
from tools.detectors.judge_agreement import agreement, disagreements, labels

from unsee.evals.judge import DIMENSIONS, judge_offline
from unsee.metrics import CARDS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
ROWS = {
    cells[1].strip("` "): [cell.strip() for cell in cells[2:-1]]
    for line in PAGE.splitlines()
    if (cells := line.split("|"))[0] == "" and len(cells) == 9 and cells[1].startswith(" `")
}


def test_the_tables_hold_the_measures_and_nothing_else() -> None:
    assert ROWS.keys() == CARDS.keys()


@pytest.mark.parametrize("name", CARDS)
def test_direction_and_limits_are_those_of_the_card(name: str) -> None:
    card, (formula, forget, keep, limits, source, _) = CARDS[name], ROWS[name]
    assert formula and source
    assert (forget, keep) == (card.forget or "-", card.keep or "-")
    low, high = ("" if x is None else f"{x:.3g}" for x in (card.low, card.high))
    assert limits == (f"{low} to {high}" if low and high else f"at most {high}" if high else f"from {low}")


def test_the_detectors_figures_are_those_measured() -> None:
    assert detector_agreement.table() in PAGE
    assert f"{sum(len(detector_agreement.replies(half)) for half in detector_agreement.HALVES)} replies" in PAGE


def test_the_judges_figures_are_those_measured() -> None:
    for part in ("fresh", "known"):
        found = agreement(judge_offline, labels(part))
        (line,) = (line for line in PAGE.splitlines() if line.startswith((f"| **{part}**", f"| {part}:")))
        figures = [f"{found[name].accuracy:.3f}, {found[name].kappa:.3f}" for name in DIMENSIONS]
        assert [cell.strip(" *") for cell in line.split("|")[2:-1]] == [str(len(labels(part))), *figures]
    shapes = {label.shape for label in labels()}
    assert f"{len(labels())} answers of {len(shapes)} shapes" in PAGE.replace("\n", " ")
    evasive = sum(label.shape == "evasive" for label in labels())
    assert f"evasive answers ({disagreements()['contextual_refusal']['evasive']} of {evasive})" in PAGE
