"""Jensen-Shannon by its formula."""

import math

import numpy as np
import pytest

from unsee.errors import DataError
from unsee.metrics.divergence import js_distance_clear_weights, js_distance_histogram


def distance(first: np.ndarray, second: np.ndarray) -> float:
    p, q = first / first.sum(), second / second.sum()
    middle = (p + q) / 2
    terms = (side[side > 0] * np.log(side[side > 0] / middle[side > 0]) for side in (p, q))
    return math.sqrt(sum(float(term.sum()) for term in terms) / 2)


def test_weights() -> None:
    rng = np.random.default_rng(0)
    for size in (2, 7, 50):
        p, q = rng.random(size), rng.random(size)
        p[0] = 0.0
        assert js_distance_clear_weights(p, q) == pytest.approx(distance(p, q))
    assert js_distance_clear_weights([1, 0], [0, 1]) == pytest.approx(math.sqrt(math.log(2)))
    assert js_distance_clear_weights([2, 2], [7, 7]) == 0.0


def test_histograms_over_shared_bins() -> None:
    rng = np.random.default_rng(1)
    first, second = rng.normal(0, 1, 90), rng.normal(1, 1, 60)
    edges = np.linspace(min(first.min(), second.min()), max(first.max(), second.max()), 51)
    found = js_distance_histogram([*first, None], second)
    truth = distance(np.histogram(first, edges)[0], np.histogram(second, edges)[0])
    assert (found.value, found.n, found.unscored) == (pytest.approx(truth), 150, 1)


def test_histogram_of_what_is_not_there() -> None:
    assert js_distance_histogram([3.0, 3.0], [3.0]).value == 0.0
    empty = js_distance_histogram([None], [1.0])
    assert (empty.value, empty.n, empty.unscored) == (None, 1, 1)


def test_bad_input_is_refused() -> None:
    with pytest.raises(DataError, match="got 2 and 3 weights, expected the same outcomes"):
        js_distance_clear_weights([1, 2], [1, 2, 3])
    with pytest.raises(DataError, match="some are negative, not finite, or all are 0"):
        js_distance_clear_weights([1, -1], [1, 2])
    with pytest.raises(DataError, match="a value is infinite"):
        js_distance_histogram([math.inf], [1.0])
