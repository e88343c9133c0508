"""Model utility: one number for what must be kept."""

from collections.abc import Mapping
from statistics import harmonic_mean

from unsee.errors import DataError
from unsee.metrics.estimate import Card, Estimate

CARDS = (Card("model-utility", forget="", keep="higher"),)


def model_utility(parts: Mapping[str, float | None]) -> Estimate:
    """Harmonic mean `K / sum_k 1/x_k` of K metrics of the kept sets, in [0, 1]; 0 as soon as one is 0.

    TOFU takes nine (probability, ROUGE-L recall, truth ratio on retain, real authors, world facts), CLEAR and FIUBench
    those of all sets but the forget set. Metrics in percent must be divided by 100 first. A part that is unscored makes
    the whole unscored: the mean of the others would be another metric.

    Args:
        parts: name to value.

    Raises:
        DataError: no part, or one outside [0, 1].

    Source: `scipy.stats.hmean` in aggregate_eval_stat.py of github.com/locuslab/tofu.
    """
    if not parts:
        raise DataError(
            "model utility of no metrics was asked for, expected at least one. Pass those of the kept sets."
        )
    there = {name: value for name, value in parts.items() if value is not None}
    for name, value in there.items():
        if not 0 <= value <= 1:
            raise DataError(f"part {name!r} of model utility is {value:g}, expected 0 to 1. Divide percentages by 100.")
    missing = len(parts) - len(there)
    if missing:
        return Estimate(None, len(there), missing)
    return Estimate(harmonic_mean([*there.values()]), len(there), 0)
