"""Probabilities and truth ratios against their formulas in plain probabilities, and scipy's logsumexp."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp

from unsee.errors import DataError
from unsee.metrics.probability import (
    answer_probability,
    contrastive_probability,
    mean_loss,
    sequence_log_probability,
)
from unsee.metrics.truth_ratio import forget_truth_ratio, log_truth_ratio, retain_truth_ratio

LOSS = st.floats(0.0, 8.0)


def test_probability_is_the_geometric_mean_over_tokens() -> None:
    log_p = np.log([0.5, 0.25, 0.125])
    assert sequence_log_probability(log_p) == pytest.approx(math.log(1 / 64))
    assert mean_loss(log_p) == pytest.approx(math.log(4))
    assert answer_probability(log_p) == pytest.approx(0.25)
    assert answer_probability(torch.tensor([-1.0, -3.0])) == pytest.approx(math.exp(-2))


@pytest.mark.parametrize("nothing", [None, [], [-1.0, math.nan]])
def test_probability_of_nothing_is_unscored(nothing: list[float] | None) -> None:
    assert mean_loss(nothing) is answer_probability(nothing) is sequence_log_probability(nothing) is None


def test_logits_are_refused() -> None:
    with pytest.raises(DataError, match=r"a token's log-probability is 3\.5, expected at most 0"):
        answer_probability([3.5, -1.0])


@settings(max_examples=40, deadline=None)
@given(LOSS, st.lists(LOSS, min_size=1, max_size=5))
def test_contrastive_probability_is_the_share_of_the_truth(true: float, false: list[float]) -> None:
    share = math.exp(-true - logsumexp([-true, *(-loss for loss in false)]))
    assert contrastive_probability(true, false) == pytest.approx(share)


def test_contrastive_probability_does_not_underflow() -> None:
    assert contrastive_probability(2000.0, [2000.0]) == pytest.approx(0.5)
    assert contrastive_probability(5000.0, [1.0]) == pytest.approx(0.0)
    assert contrastive_probability(1.0, []) is contrastive_probability(None, [1.0]) is None
    assert contrastive_probability(1.0, [None, 2.0]) is None


@settings(max_examples=40, deadline=None)
@given(LOSS, st.lists(LOSS, min_size=1, max_size=5))
def test_truth_ratio_in_plain_probabilities(true: float, false: list[float]) -> None:
    log_ratio = log_truth_ratio(true, false)
    assert log_ratio is not None
    ratio = math.exp(-true) / math.prod(math.exp(-loss) for loss in false) ** (1 / len(false))
    assert math.exp(log_ratio) == pytest.approx(ratio)
    assert forget_truth_ratio(log_ratio) == pytest.approx(min(ratio, 1 / ratio))
    assert retain_truth_ratio(log_ratio) == pytest.approx(max(0, 1 - 1 / ratio))


def test_truth_ratio_extremes_stay_finite_and_a_missing_loss_is_unscored() -> None:
    assert forget_truth_ratio(900.0) == 0.0 and retain_truth_ratio(900.0) == 1.0 and retain_truth_ratio(-900.0) == 0.0
    assert log_truth_ratio(None, [1.0]) is log_truth_ratio(1.0, []) is log_truth_ratio(1.0, [1.0, None]) is None
    assert forget_truth_ratio(None) is retain_truth_ratio(None) is None
