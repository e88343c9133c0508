"""Jensen-Shannon: how far two distributions are apart. 0 is equal; lower is better against the never-knew model.

`JSD(p, q) = KL(p || m)/2 + KL(q || m)/2` with m = (p + q)/2, in [0, log 2] nats; the distance is its square root, in
[0, 0.8326]. Source: Lin 1991; CLEAR and Open-MMunlearning report the distance (scipy's `jensenshannon`, natural
logarithm).
"""

import math
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from unsee.errors import DataError, OptionError
from unsee.metrics.estimate import Card, Estimate, scored

CARDS = (
    Card("js-divergence", forget="lower", keep="lower", high=math.log(2)),
    Card("js-distance-histogram", forget="lower", keep="lower", high=math.sqrt(math.log(2))),
    Card("js-distance-clear-weights", forget="lower", keep="lower", high=math.sqrt(math.log(2))),
)


def js_divergence(first: npt.ArrayLike, second: npt.ArrayLike) -> float:
    """JSD in nats of two vectors of non-negative weights over the same outcomes; each is divided by its sum.

    Raises:
        DataError: not the same shape, a negative or non-finite weight, or nothing but zeros.
    """
    p, q = _distribution(first), _distribution(second)
    if p.shape != q.shape:
        raise DataError(f"got {p.size} and {q.size} weights, expected the same outcomes on both sides. Bin them alike.")
    middle = (p + q) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = [np.where(side > 0, side * np.log(side / middle), 0.0).sum() for side in (p, q)]
    return max(0.0, float(sum(terms)) / 2)


def js_distance_histogram(first: Iterable[float | None], second: Iterable[float | None], bins: int = 50) -> Estimate:
    """JS distance of two samples over `bins` bins of equal width that span both; the order of items does not matter.

    It is above 0 also for two samples of one distribution, the more so the fewer items there are: compare equal n and
    equal `bins`. Source: Open-MMunlearning, scorers/distribution.py, which adds 1e-12 to each bin.

    Raises:
        OptionError: fewer than two bins.
        DataError: an infinite value.
    """
    if bins < 2:
        raise OptionError(f"bins is {bins}, expected at least 2; with one bin all distributions are equal")
    given = [list(first), list(second)]
    kept = [scored(side) for side in given]
    n, unscored = sum(map(len, kept)), sum(map(len, given)) - sum(map(len, kept))
    if not all(kept):
        return Estimate(None, n, unscored)
    every = np.asarray(kept[0] + kept[1])
    if not np.isfinite(every).all():
        raise DataError("a value is infinite, expected finite ones: bins cannot span it. Pass logarithms of ratios.")
    low, high = float(every.min()), float(every.max())
    edges = np.linspace(low, high if high > low else low + 1, bins + 1)
    counts = [np.histogram(side, edges)[0] for side in kept]
    return Estimate(math.sqrt(js_divergence(*counts)), n, unscored)


def js_distance_clear_weights(first: npt.ArrayLike, second: npt.ArrayLike) -> float:
    """CLEAR's use: the per-item values themselves are taken for probabilities of the items, in their order.

    It compares which items have large values, not how values are spread; shuffling one side changes it. Kept to
    reproduce published numbers.

    Raises:
        DataError: as for `js_divergence`.
    """
    return math.sqrt(js_divergence(first, second))


def _distribution(weights: npt.ArrayLike) -> npt.NDArray[np.float64]:
    values = np.asarray(weights, dtype=np.float64).ravel()
    if values.size == 0 or not np.isfinite(values).all() or values.min() < 0 or values.sum() == 0:
        raise DataError(
            f"got {values.size} weights, of which some are negative, not finite, or all are 0; expected weights of at "
            "least 0 with a positive sum. Leave unscored items out on both sides."
        )
    return values / values.sum()
