"""Moments merge and come apart exactly; the AUC counts every pair."""

from functools import reduce
from operator import add
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import mannwhitneyu

from oracles import auc_by_pairs, float64
from unsee.erase.fit.moments import Moments, auc
from unsee.errors import DataError


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def shards(exact: bool) -> st.SearchStrategy[list[torch.Tensor]]:
    """Two to four shards of one width, some of them empty; integers add up without rounding."""
    elements = st.integers(-1000, 1000) if exact else st.floats(-1e4, 1e4, width=32)
    return st.integers(1, 4).flatmap(
        lambda width: st.lists(
            st.integers(0, 5).flatmap(
                lambda count: arrays(np.float64, (count, width), elements=elements).map(torch.from_numpy)
            ),
            min_size=2,
            max_size=4,
        )
    )


def assert_equal(first: Moments, second: Moments) -> None:
    assert first.count == second.count
    assert torch.equal(first.total, second.total)
    assert torch.equal(first.second, second.second)


def test_moments_are_the_textbook_sums(generator: torch.Generator) -> None:
    states = torch.randn(11, 5, generator=generator) * 3 + 7
    moments = Moments.of(states)
    rows = float64(states)
    assert moments.count == 11
    np.testing.assert_allclose(moments.total, rows.sum(0), rtol=1e-12)
    np.testing.assert_allclose(moments.second, sum(np.outer(row, row) for row in rows), rtol=1e-12)
    np.testing.assert_allclose(moments.mean, rows.mean(0), rtol=1e-12)
    np.testing.assert_allclose(moments.scatter, np.cov(rows.T, bias=True) * 11, rtol=1e-10)


def test_half_precision_states_are_summed_in_float64() -> None:
    states = torch.full((3000, 2), 30.0, dtype=torch.float16)
    moments = Moments.of(states)
    assert moments.second.dtype == torch.float64
    assert moments.second[0, 1].item() == 3000 * 900


def test_leading_dimensions_are_independent_statistics(generator: torch.Generator) -> None:
    states = torch.randn(7, 2, 3, 4, generator=generator, dtype=torch.float64)
    batched = Moments.of(states)
    assert batched.second.shape == (2, 3, 4, 4)
    for i in range(2):
        for j in range(3):
            one = Moments.of(states[:, i, j])
            torch.testing.assert_close(batched.total[i, j], one.total, rtol=1e-13, atol=1e-13)
            torch.testing.assert_close(batched.scatter[i, j], one.scatter, rtol=1e-12, atol=1e-12)


@given(shards(exact=True))
@settings(max_examples=50, deadline=None)
def test_merging_does_not_depend_on_shards_or_their_order(parts: list[torch.Tensor]) -> None:
    whole = Moments.of(torch.cat(parts))
    moments = [Moments.of(part) for part in parts]
    assert_equal(reduce(add, moments), whole)
    assert_equal(reduce(add, reversed(moments)), whole)
    assert_equal(moments[0] + reduce(add, moments[1:]), whole)
    assert_equal(Moments.empty(whole.total.shape[-1]) + whole, whole)


@given(shards(exact=True))
@settings(max_examples=50, deadline=None)
def test_subtracted_is_never_added(parts: list[torch.Tensor]) -> None:
    kept, revoked = Moments.of(torch.cat(parts[:-1])), Moments.of(parts[-1])
    assert_equal((kept + revoked) - revoked, kept)


@given(shards(exact=False))
@settings(max_examples=50, deadline=None)
def test_rounding_of_a_merge_and_of_a_subtraction_is_float64_rounding(parts: list[torch.Tensor]) -> None:
    kept, revoked, whole = Moments.of(torch.cat(parts[:-1])), Moments.of(parts[-1]), Moments.of(torch.cat(parts))
    scale = 1e-13 * float(whole.second.abs().amax()) + 1e-300
    assert torch.allclose((kept + revoked).second, whole.second, rtol=0, atol=scale)
    assert torch.allclose(((kept + revoked) - revoked).second, kept.second, rtol=0, atol=scale)


@given(shards(exact=False))
@settings(max_examples=50, deadline=None)
def test_scatter_is_symmetric_and_has_no_negative_spread(parts: list[torch.Tensor]) -> None:
    states = torch.cat([*parts, torch.ones(1, parts[0].shape[1], dtype=torch.float64)])
    moments = Moments.of(states)
    assert torch.equal(moments.second, moments.second.mT)
    assert torch.equal(moments.scatter, moments.scatter.mT)
    assert torch.linalg.eigvalsh(moments.scatter)[0] >= -1e-13 * moments.second.trace()


def test_taking_everything_back_leaves_no_rounding(generator: torch.Generator) -> None:
    first, second = (Moments.of(torch.randn(9, 3, generator=generator, dtype=torch.float64)) for _ in range(2))
    assert_equal(((first + second) - second) - first, Moments.empty(3))


def test_scatter_of_equal_states_is_rounding_only() -> None:
    moments = Moments.of(torch.full((10, 3), 1234.5678))
    assert moments.scatter.abs().max() <= 1e-13 * moments.second.max()


def test_a_shard_may_be_empty_but_nothing_has_no_mean() -> None:
    nothing = Moments.of(torch.empty(0, 3))
    assert nothing.count == 0
    with pytest.raises(DataError, match=r"hold no state, expected at least one\. Capture activations"):
        _ = nothing.mean
    with pytest.raises(DataError, match="hold no state"):
        _ = Moments.empty(3).scatter


def test_more_cannot_be_taken_than_was_added() -> None:
    three, four = Moments.of(torch.ones(3, 2)), Moments.of(torch.ones(4, 2))
    with pytest.raises(DataError, match=r"cannot take 4 states out of 3\. Subtract only what was added"):
        _ = three - four


def test_moments_of_two_models_do_not_mix() -> None:
    narrow, wide = Moments.of(torch.ones(3, 2)), Moments.of(torch.ones(3, 4))
    message = r"cannot combine moments of shape \(2,\) with \(4,\)\. Both must come from the same model"
    with pytest.raises(DataError, match=message):
        _ = narrow + wide
    with pytest.raises(DataError, match=message):
        _ = narrow - wide


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_state_that_is_not_finite_is_refused(value: float) -> None:
    states = torch.ones(4, 2)
    states[1, 0] = value
    with pytest.raises(DataError, match=r"states contain 1 non-finite of 8 values.*Overflow in float16"):
        Moments.of(states)


def test_a_value_that_could_not_merge_is_refused() -> None:
    with pytest.raises(DataError, match=r"must be float64, got torch.float32 and torch.float64"):
        Moments(1, torch.zeros(2), torch.zeros(2, 2, dtype=torch.float64))
    with pytest.raises(DataError, match=r"cannot describe -1 states"):
        Moments(-1, torch.zeros(2, dtype=torch.float64), torch.zeros(2, 2, dtype=torch.float64))


scores = arrays(np.float64, st.integers(1, 12), elements=st.integers(-3, 3))


@given(scores, scores)
@settings(max_examples=50, deadline=None)
def test_auc_equals_the_double_loop_and_scipy(positive: Any, negative: Any) -> None:
    value = auc(torch.from_numpy(positive), torch.from_numpy(negative))
    assert value == pytest.approx(auc_by_pairs(positive, negative), abs=1e-15)
    statistic = mannwhitneyu(positive, negative, method="asymptotic").statistic
    assert value == pytest.approx(statistic / (len(positive) * len(negative)), abs=1e-12)


def test_auc_at_its_ends_and_at_chance() -> None:
    low, high = torch.tensor([0.0, 1.0]), torch.tensor([2.0, 3.0, 4.0])
    assert (auc(high, low), auc(low, high), auc(low, low)) == (1.0, 0.0, 0.5)


def test_auc_needs_scores_on_both_sides() -> None:
    one, none = torch.tensor([1.0]), torch.empty(0)
    with pytest.raises(DataError, match=r"no positive scores; an AUC compares"):
        auc(none, one)
    with pytest.raises(DataError, match="no negative scores"):
        auc(one, none)
    with pytest.raises(DataError, match="negative scores contain 1 non-finite of 1"):
        auc(one, torch.tensor([float("nan")]))
