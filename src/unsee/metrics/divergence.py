"""Jensen-Shannon: how far two distributions are apart. 0 is equal; lower is better against the never-knew model.

`D = sqrt(KL(p || m)/2 + KL(q || m)/2)` with m = (p + q)/2, in [0, 0.8326] (natural logarithm). Source: Lin 1991; CLEAR
and Open-MMunlearning report it by scipy's `jensenshannon`.
"""

import math
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from unsee.errors import DataError
from unsee.extras import extra
from unsee.metrics.estimate import Card, Estimate, scored

CARDS = (
    Card("js-distance-histogram", forget="lower", keep="lower", high=math.sqrt(math.log(2))),
    Card("js-distance-clear-weights", forget="lower", keep="lower", high=math.sqrt(math.log(2))),
)
BINS = 50


def js_distance_histogram(first: Iterable[float | None], second: Iterable[float | None]) -> Estimate:
    """JS distance of two samples over `BINS` bins of equal width that span both; the order of items does not matter.

    It is above 0 also for two samples of one distribution, the more so the fewer items there are: compare equal n.
    Source: Open-MMunlearning, scorers/distribution.py, which adds 1e-12 to each bin.

    Raises:
        DataError: an infinite value.
        MissingExtraError: scipy is not installed.
    """
    given = [list(first), list(second)]
    kept = [scored(side) for side in given]
    n, unscored = sum(map(len, kept)), sum(map(len, given)) - sum(map(len, kept))
    if not all(kept):
        return Estimate(None, n, unscored)
    every = np.asarray(kept[0] + kept[1])
    if not np.isfinite(every).all():
        raise DataError("a value is infinite, expected finite ones: bins cannot span it. Pass logarithms of ratios.")
    low, high = float(every.min()), float(every.max())
    edges = np.linspace(low, high if high > low else low + 1, BINS + 1)
    return Estimate(js_distance_clear_weights(*(np.histogram(side, edges)[0] for side in kept)), n, unscored)


def js_distance_clear_weights(first: npt.ArrayLike, second: npt.ArrayLike) -> float:
    """JS distance of two vectors of weights, each divided by its sum.

    CLEAR's use: the per-item values themselves are taken for probabilities of the items, in their order. It compares
    which items have large values, not how values are spread; shuffling one side changes it.

    Raises:
        DataError: not the same shape, a negative or non-finite weight, or nothing but zeros.
        MissingExtraError: scipy is not installed.
    """
    p, q = (np.asarray(side, dtype=np.float64).ravel() for side in (first, second))
    if p.shape != q.shape:
        raise DataError(f"got {p.size} and {q.size} weights, expected the same outcomes on both sides. Bin them alike.")
    for side in (p, q):
        if side.size == 0 or not np.isfinite(side).all() or side.min() < 0 or side.sum() == 0:
            raise DataError(
                f"got {side.size} weights, of which some are negative, not finite, or all are 0; expected weights of "
                "at least 0 with a positive sum. Leave unscored items out on both sides."
            )
    found = float(extra("scipy.spatial.distance", "evals").jensenshannon(p, q))
    return 0.0 if math.isnan(found) else found  # of equal sides, rounding may put a root below 0
