"""A size is certified by bounds, and by nothing that was not measured."""

from typing import Any

from unsee.experiments.capacity import certified, sheet


def row(requests: int, leak: float, refused: float) -> dict[str, Any]:
    def rate(bound: float) -> dict[str, Any]:
        return {"value": bound / 2, "ci95": (0.0, bound), "n": 200}

    names = ("refused", "right", "right_before", "visible")
    return {"requests": requests, "fit_seconds": None, "leak": rate(leak), "over_refused": rate(refused),
            **{name: rate(1.0) for name in names}}  # fmt: skip


def test_a_size_is_certified_by_the_bounds_of_both_rates() -> None:
    rows = [row(1, 0.01, 0.01), row(10, 0.02, 0.02), row(25, 0.01, 0.03), row(50, 0.03, 0.01)]
    assert certified(rows) == 10
    assert certified(rows[2:]) == certified([]) == 0
    alone = row(1, 0.0, 0.0) | {"leak": {"value": 0.0, "ci95": None, "n": 17}}
    assert certified([alone]) == 0, "one person says nothing of others"
    assert [cells[0] for cells in sheet(rows).rows] == ["1", "10", "25", "50"]
