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
from unsee.metrics.leakage import leak_at_k, leaked
from unsee.metrics.membership import (
    found_at,
    loss_score,
    min_k_plus_plus_score,
    min_k_score,
    open_mm_score,
    standing,
    zlib_score,
)
from unsee.metrics.ranking import answer_rank, exposure, tokens_in_top_k


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


def test_a_flat_distribution_has_no_spread_and_no_infinite_score() -> None:
    assert min_k_plus_plus_score([math.log(0.25)], [math.log(0.25)], [0.0]) == 0.0


def test_membership_scores_by_their_formulas() -> None:
    log_p = np.log(np.linspace(0.9, 0.05, 10))
    loss = -log_p.mean()
    assert loss_score(log_p) == pytest.approx(-loss)
    assert zlib_score(log_p, "born in Lisbon") == pytest.approx(-loss / len(zlib.compress(b"born in Lisbon")))
    assert min_k_score(log_p) == pytest.approx(np.sort(log_p)[:2].mean())
    assert min_k_score(log_p[:1]) == pytest.approx(math.log(0.9)) and min_k_score([]) is None


def test_min_k_plus_plus_from_whole_distributions() -> None:
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(11), size=10)
    chosen = rng.integers(0, 11, 10)
    log_p = np.log(p)
    mean = (p * log_p).sum(1)
    spread = np.sqrt((p * (log_p - mean[:, None]) ** 2).sum(1))
    z = (log_p[range(10), chosen] - mean) / spread
    assert min_k_plus_plus_score(log_p[range(10), chosen], mean, spread**2) == pytest.approx(np.sort(z)[:2].mean())
    with pytest.raises(DataError, match="got 2 vocabulary means for 10 items"):
        min_k_plus_plus_score(log_p[:, 0], [0.0, 0.0], [1.0] * 10)
    with pytest.raises(DataError, match="a token's score is NaN"):
        min_k_plus_plus_score([-1.0], [math.nan], [1.0])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=20), st.lists(st.integers(0, 9), min_size=1, max_size=20))
def test_the_mean_standing_is_the_auc(members: list[int], others: list[int]) -> None:
    truth = stats.mannwhitneyu(members, others).statistic / (len(members) * len(others))
    assert np.mean([standing(one, others) for one in members]) == pytest.approx(truth)


def test_membership_of_what_is_not_scored_and_what_is_made_of_an_auc() -> None:
    assert standing(1.0, [0.0, math.nan, None]) == 1.0
    assert standing(None, [0.0]) is standing(1.0, [None]) is None
    assert open_mm_score(0.5) == 1.0 and open_mm_score(1.0) == open_mm_score(0.0) == 0.0 and open_mm_score(None) is None


def test_members_found_at_a_low_false_positive_rate() -> None:
    others = [float(index) for index in range(100)]
    assert [found_at(one, others) for one in (98.5, 99.5, 3.0, None)] == [1.0, 1.0, 0.0, None]
    assert [found_at(one, others, 0.0) for one in (98.5, 99.5)] == [0.0, 1.0]
    assert found_at(1.0, []) is None
