"""Figures that several sets or two models make together: model utility, and distances from the never-knew model."""

import math
from collections.abc import Sequence

from unsee.data.benchmarks.items import Protocol
from unsee.data.task import ANSWERED
from unsee.evals.values import Figure, Row, figure
from unsee.metrics.divergence import js_distance_clear_weights, js_distance_histogram
from unsee.metrics.estimate import scored
from unsee.metrics.forget_quality import forget_quality
from unsee.metrics.utility import model_utility

KEPT = "all retained sets"
"""What stands in place of a set's name."""


def utility_parts(rows: Sequence[Row], protocol: Protocol) -> dict[str, float | None]:
    """`set/measure` to its mean, None where nothing of it was scored.

    TOFU's three of every kept set, where they apply: probability, ROUGE-L recall and truth ratio. Probability is
    normalised over the false answers, where there are any, except on the people that were trained on (role
    "retain").

    Args:
        rows: of one condition.
        protocol: "honest" leaves out the kept sets that a fit has seen.

    Source: TOFU (arXiv 2401.06121), section 2.2.2 and aggregate_eval_stat.py.
    """
    found: dict[str, float | None] = {}
    for split in dict.fromkeys(row["split"] for row in rows):
        shown = [row for row in rows if row["split"] == split]
        if shown[0]["role"] not in ANSWERED or (protocol == "honest" and shown[0]["in_sample"]):
            continue
        trained = shown[0]["role"] == "retain"
        trained = trained or all("probability-contrastive" not in row["measures"] for row in shown)
        probability = "probability" if trained else "probability-contrastive"
        for name in (probability, "rougeL-recall", "truth-ratio-retain"):
            if (part := figure(shown, name)) is not None:
                found[f"{split}/{name}"] = part.value
    return found


def utility(rows: Sequence[Row], protocol: Protocol) -> Figure | None:
    """Harmonic mean of the parts, without interval; None without a part.

    `n` counts parts, and `unscored` those of which nothing was scored: one such part leaves the whole unscored.
    """
    parts = utility_parts(rows, protocol)
    if not parts:
        return None
    found = model_utility(parts)
    splits = {name.partition("/")[0] for name in parts}
    people = {row["person"] for row in rows if row["split"] in splits}
    return Figure(found.value, None, found.n, len(people), found.unscored)


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
    return Figure(found.value, None, found.n, people, found.unscored)


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
