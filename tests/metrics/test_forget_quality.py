"""Forget quality against the closed form of samples that do not overlap, and in the order of its own docstring."""

import math

import numpy as np
import pytest

from unsee.metrics.estimate import Estimate
from unsee.metrics.forget_quality import forget_quality


@pytest.mark.parametrize(("m", "n"), [(3, 3), (5, 4), (40, 30)])
def test_of_samples_that_do_not_overlap_two_orders_are_as_far_apart(m: int, n: int) -> None:
    found = forget_quality(range(m), range(100, 100 + n))
    assert found.value == pytest.approx(math.log10(2 / math.comb(m + n, m)), rel=1e-6)


def test_p_below_the_smallest_float_still_has_a_logarithm() -> None:
    assert forget_quality(range(1000), range(5000, 6000)).value == pytest.approx(-300)


def test_equal_samples_cannot_be_told_apart() -> None:
    assert forget_quality([1.0, 2.0, 3.0], [3.0, 1.0, 2.0]).value == 0.0


def test_direction_and_logarithm_do_not_matter_and_fewer_items_raise_it() -> None:
    rng = np.random.default_rng(2)
    first, second = rng.normal(1, 1, 100), rng.normal(0, 1, 100)
    found = forget_quality(first.tolist(), second.tolist()).value
    assert found == forget_quality(np.exp(first).tolist(), np.exp(second).tolist()).value
    assert found == pytest.approx(forget_quality((-first).tolist(), (-second).tolist()).value)
    few = forget_quality(first[:8].tolist(), second[:8].tolist()).value
    assert found is not None and few is not None and few > found + 3


def test_unscored_items_are_counted_on_both_sides() -> None:
    assert forget_quality([1.0, None, math.nan], [2.0, None]) == Estimate(0.0, 1, 3)
    assert forget_quality([None], [1.0]) == Estimate(None, 0, 1)
