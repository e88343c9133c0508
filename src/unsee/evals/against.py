"""Figures that take two models: the truth ratios of one against those of the model that never knew."""

import math
from collections.abc import Sequence

from unsee.evals.values import Figure, Row
from unsee.metrics.divergence import js_distance_clear_weights, js_distance_histogram
from unsee.metrics.estimate import scored
from unsee.metrics.forget_quality import forget_quality


def against_never_knew(measure: str, rows: Sequence[Row], never_knew: Sequence[Row]) -> Figure | None:
    """One of `unsee.evals.choices.AGAINST` over a set to be forgotten; None where either side has no truth ratio.

    None has an interval. What either side has not scored is counted as unscored, and so is, where items are paired (by
    person and id), what only one of them was asked.

    Args:
        measure: its name.
        rows: of the condition.
        never_knew: of the model that never knew, of the same set.
    """
    mine, theirs = _ratios(rows), _ratios(never_knew)
    if not mine or not theirs:
        return None
    people = len({person for person, _ in mine})
    if measure == "js-distance-clear-weights":
        pairs = [
            (own, other) for key, own in mine.items() if own is not None and (other := theirs.get(key)) is not None
        ]
        value = js_distance_clear_weights(*map(_weights, zip(*pairs, strict=True))) if pairs else None
        return Figure(value, None, len(pairs), people, len(mine.keys() | theirs.keys()) - len(pairs))
    if measure == "js-distance-histogram":
        apart = js_distance_histogram(mine.values(), theirs.values())
        return Figure(apart.value, None, len(scored(mine.values())), people, apart.unscored)
    found = forget_quality(mine.values(), theirs.values())
    return Figure(found.log10, None, found.n, people, found.unscored)


def _weights(logarithms: Sequence[float]) -> list[float]:
    """Ratios but for a common factor, which a distribution does not have; so that none overflows."""
    highest = max(logarithms)
    return [math.exp(one - highest) for one in logarithms]


def _ratios(rows: Sequence[Row]) -> dict[tuple[str, str], float | None]:
    """By person and id, of the rows that have or should have one."""
    return {
        (str(row["person"]), str(row["id"])): row.get("log_truth_ratio")
        for row in rows
        if "truth-ratio-forget" in row["measures"]
    }
