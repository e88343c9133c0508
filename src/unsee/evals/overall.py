"""Model utility of one condition: all that must be kept, in one number."""

from collections.abc import Sequence

from unsee.data.benchmarks.items import Protocol
from unsee.evals.roles import role_of
from unsee.evals.values import Figure, Row, figure
from unsee.metrics.utility import model_utility

KEPT = "all kept sets"
"""What stands in place of a set's name."""

_FITTED = ("retain_fit", "calibration")
"""Kept sets that a fit has seen under the honest protocol: no proof that anything is kept."""


def utility_parts(rows: Sequence[Row], protocol: Protocol) -> dict[str, float | None]:
    """`set/measure` to its mean, None where nothing of it was scored.

    TOFU's three of every kept set, where they apply: probability, ROUGE-L recall and truth ratio. Probability is
    normalised over the false answers, where there are any, except on the people that were trained on (sets named
    retain).

    Args:
        rows: of one condition.
        protocol: "honest" leaves out the kept sets that a fit has seen.

    Source: TOFU (arXiv 2401.06121), section 2.2.2 and aggregate_eval_stat.py.
    """
    found: dict[str, float | None] = {}
    for split in dict.fromkeys(row["split"] for row in rows):
        if role_of(split) != "keep" or (protocol == "honest" and split in _FITTED):
            continue
        shown = [row for row in rows if row["split"] == split]
        trained = "retain" in split or all("probability-contrastive" not in row["measures"] for row in shown)
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
