"""The exact Kolmogorov-Smirnov test against every order of small samples, scipy, and a closed form."""

import math
import warnings
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from unsee.metrics.forget_quality import forget_quality, ks_two_sample


@pytest.mark.parametrize(("m", "n"), [(1, 1), (1, 4), (3, 3), (4, 2), (5, 4), (2, 7)])
def test_p_is_the_share_of_orders_that_are_as_far_apart(m: int, n: int) -> None:
    gaps = []
    for places in combinations(range(m + n), m):
        first = np.array(places, dtype=float)
        second = np.array([x for x in range(m + n) if x not in places], dtype=float)
        gaps.append((ks_two_sample(first, second), first, second))
    for (statistic, log_p), _, _ in gaps:
        share = np.mean([other[0] >= statistic - 1e-12 for other, _, _ in gaps])
        assert math.exp(log_p) == pytest.approx(share)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(0, 30), min_size=1, max_size=40),
    st.lists(st.integers(0, 30), min_size=1, max_size=25),
)
def test_statistic_and_p_are_scipys_with_ties_too(first: list[int], second: list[int]) -> None:
    statistic, log_p = ks_two_sample(np.array(first, dtype=float), np.array(second, dtype=float))
    with warnings.catch_warnings(record=True) as gave_up:
        warnings.simplefilter("always")
        truth = stats.ks_2samp(first, second, method="exact")
    assert statistic == pytest.approx(truth.statistic)
    # scipy 1.17 gives its exact method up where rounding lifts the sum above 1.
    assert math.exp(log_p) == pytest.approx(1.0 if gave_up else truth.pvalue, rel=1e-6)


def test_at_the_size_of_a_benchmark() -> None:
    rng = np.random.default_rng(1)
    for shift in (0.0, 0.2, 1.0, 3.0):
        first, second = rng.normal(shift, 1, 400), rng.normal(0, 1, 390)
        truth = stats.ks_2samp(first, second, method="exact")
        found = forget_quality(first.tolist(), second.tolist())
        assert found.log10 == pytest.approx(math.log10(truth.pvalue), rel=1e-6)
        assert found.statistic == pytest.approx(truth.statistic)


def test_p_below_the_smallest_float_still_has_a_logarithm() -> None:
    first, second = np.arange(1000.0), np.arange(1000.0) + 5000
    found = forget_quality(first.tolist(), second.tolist())
    log_binomial = math.lgamma(2001) - 2 * math.lgamma(1001)
    assert found.value == 0.0 and found.statistic == 1.0
    assert found.log10 == pytest.approx((math.log(2) - log_binomial) / math.log(10), rel=1e-9)


def test_equal_samples_cannot_be_told_apart() -> None:
    found = forget_quality([1.0, 2.0, 3.0], [3.0, 1.0, 2.0])
    assert (found.value, found.log10, found.statistic) == (1.0, 0.0, 0.0)


def test_direction_and_logarithm_do_not_matter() -> None:
    rng = np.random.default_rng(2)
    first, second = rng.normal(0.4, 1, 30), rng.normal(0, 1, 20)
    plain = forget_quality(first.tolist(), second.tolist())
    assert plain == forget_quality(np.exp(first).tolist(), np.exp(second).tolist())
    inverse = forget_quality(np.exp(-first).tolist(), np.exp(-second).tolist())
    assert inverse.value == pytest.approx(plain.value) and inverse.statistic == plain.statistic


def test_unscored_items_are_counted_on_both_sides() -> None:
    found = forget_quality([1.0, None, math.nan], [2.0, None])
    assert (found.n, found.n_reference, found.unscored, found.value) == (1, 1, 3, 1.0)
    empty = forget_quality([None], [1.0])
    assert (empty.value, empty.log10, empty.n, empty.n_reference, empty.unscored) == (None, None, 0, 1, 1)
