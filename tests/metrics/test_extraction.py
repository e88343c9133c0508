"""Leak@k against all draws, ranks and exposure by hand, membership scores against their formulas, AUC against scipy."""

import math
import zlib
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from unsee.errors import DataError, OptionError
from unsee.metrics import Estimate
from unsee.metrics.exposure import exposure
from unsee.metrics.leakage import leak_at_k, leaked
from unsee.metrics.membership import (
    auc,
    fiubench_min_k,
    loss_score,
    min_k_plus_plus_score,
    min_k_score,
    open_mm_score,
    tpr_at_fpr,
    zlib_score,
)
from unsee.metrics.ranking import answer_rank, tokens_in_top_k


def test_leak_of_one_answer() -> None:
    assert leaked("It is Lisbon.", "Lisbon") is True
    assert leaked("It is Rome.", "Lisbon") is False
    assert leaked(None, "Lisbon") is leaked("x", " ... ") is None


@settings(max_examples=40, deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=7), st.integers(1, 7))
def test_leak_at_k_is_the_share_of_draws_with_a_leak(leaks: list[bool], k: int) -> None:
    draws = [any(leaks[i] for i in chosen) for chosen in combinations(range(len(leaks)), k)]
    assert leak_at_k(leaks, k) == (pytest.approx(np.mean(draws)) if draws else None)


def test_leak_at_k_over_facts() -> None:
    with pytest.raises(OptionError, match="k is 0, expected at least 1 sample"):
        leak_at_k([True], 0)


def test_ranks() -> None:
    assert answer_rank(-1.0, [-2.0, -0.5, -3.0]) == 2
    assert answer_rank(-1.0, [-1.0, -1.0]) == 1
    assert answer_rank(None, [-1.0]) is answer_rank(-1.0, [math.nan]) is None
    assert tokens_in_top_k([1, 4, 5, 900], 4) == 0.5
    assert tokens_in_top_k(None, 4) is tokens_in_top_k([], 4) is None
    with pytest.raises(OptionError, match="k is 0, expected at least 1"):
        tokens_in_top_k([1], 0)


def test_exposure_is_the_bits_that_the_model_saves() -> None:
    others = [float(-index) for index in range(1, 1024)]
    assert exposure(0.0, others) == pytest.approx(10.0)
    assert exposure(-511.5, others) == pytest.approx(1.0)
    assert exposure(-2000.0, others) == pytest.approx(0.0)
    assert exposure(None, others) is None
    with pytest.raises(DataError, match="exposure of a secret without other candidates"):
        exposure(0.0, [])


def test_an_unseen_secret_has_the_exposure_that_the_docstring_says() -> None:
    size = 4096
    assert np.mean([math.log2(size / rank) for rank in range(1, size + 1)]) == pytest.approx(1.44, abs=0.005)


LOG_P = np.log([0.9, 0.1, 0.5, 0.02, 0.7])


def test_membership_scores_by_their_formulas() -> None:
    loss = -LOG_P.mean()
    assert loss_score(LOG_P) == pytest.approx(-loss)
    assert zlib_score(LOG_P, "born in Lisbon") == pytest.approx(-loss / len(zlib.compress(b"born in Lisbon")))
    assert min_k_score(LOG_P, 0.4) == pytest.approx(np.log([0.02, 0.1]).mean())
    assert min_k_score(LOG_P) == pytest.approx(math.log(0.02))
    assert min_k_score(LOG_P[:1]) == pytest.approx(math.log(0.9))


def test_min_k_plus_plus_from_whole_distributions() -> None:
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(11), size=6)
    chosen = rng.integers(0, 11, 6)
    log_p = np.log(p)
    mean = (p * log_p).sum(1)
    spread = np.sqrt((p * (log_p - mean[:, None]) ** 2).sum(1))
    z = (log_p[range(6), chosen] - mean) / spread
    found = min_k_plus_plus_score(log_p[range(6), chosen], mean, spread**2, 0.5)
    assert found == pytest.approx(np.sort(z)[:3].mean())


def test_a_flat_distribution_has_no_spread_and_no_infinite_score() -> None:
    assert min_k_plus_plus_score([math.log(0.25)], [math.log(0.25)], [0.0]) == 0.0


def test_fiubench_weights() -> None:
    z = np.log(np.linspace(0.05, 0.5, 10))
    expected = 0.0
    for ratio, weight in zip([0.1, 0.2, 0.3, 0.4, 0.5], [0.3, 0.3, 0.2, 0.1, 0.1], strict=True):
        expected += weight * math.exp(np.sort(z)[: int(10 * ratio)].mean())
    assert fiubench_min_k(z) == pytest.approx(expected)
    assert fiubench_min_k(None) is fiubench_min_k([]) is fiubench_min_k([math.nan]) is None


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=20), st.lists(st.integers(0, 9), min_size=1, max_size=20))
def test_auc_is_mann_whitneys_statistic(members: list[int], others: list[int]) -> None:
    truth = stats.mannwhitneyu(members, others).statistic / (len(members) * len(others))
    assert auc([float(x) for x in members], [float(x) for x in others]).value == pytest.approx(truth)


def test_auc_and_what_is_made_of_it() -> None:
    assert auc([1.0, None], [0.0, math.nan]) == Estimate(1.0, 2, 2)
    assert auc([None], [0.0]) == Estimate(None, 1, 1)
    assert open_mm_score(0.5) == 1.0 and open_mm_score(1.0) == open_mm_score(0.0) == 0.0 and open_mm_score(None) is None


def test_members_found_at_a_low_false_positive_rate() -> None:
    others = [float(index) for index in range(100)]
    assert tpr_at_fpr([98.5, 99.5, 3.0, None], others, 0.01) == Estimate(2 / 3, 103, 1)
    assert tpr_at_fpr([98.5, 99.5, 3.0], others, 0.0).value == pytest.approx(1 / 3)
    assert tpr_at_fpr([], others).value is None
    with pytest.raises(OptionError, match="the false positive rate is 1, expected 0 or more and below 1"):
        tpr_at_fpr([1.0], others, 1)


def test_bad_input_is_refused() -> None:
    with pytest.raises(OptionError, match=r"share is 0, expected a share of the tokens in \(0, 1\]"):
        min_k_score(LOG_P, 0)
    with pytest.raises(DataError, match="got 2 vocabulary means for 5 items"):
        min_k_plus_plus_score(LOG_P, [0.0, 0.0], [1.0] * 5)
    with pytest.raises(DataError, match="a token's score is NaN"):
        min_k_plus_plus_score([-1.0], [math.nan], [1.0])
