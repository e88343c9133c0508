"""The memorisation gate on answers whose verdict is plain, on pairs that do not match, its interval against scipy."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from scipy import stats

from unsee.evals.memorised import Memorised, memorised, warning


def rows(right: Sequence[Sequence[Any]]) -> list[dict[str, Any]]:
    """One inner sequence per person, one entry per question."""
    return [
        {"person": f"p{p}", "id": f"q{q}", "correct": correct}
        for p, answers in enumerate(right)
        for q, correct in enumerate(answers)
    ]


def found(base: Sequence[Sequence[Any]], never_knew: Sequence[Sequence[Any]]) -> Memorised:
    return memorised("forget_heldout", rows(base), rows(never_knew)[::-1])


def test_a_base_that_was_right_where_the_other_was_not_knew() -> None:
    one = found([[True] * 5] * 29 + [[True, True, True, True, False]], [[False] * 4 + [True]] * 30)
    assert one.gain is not None and (one.finding, one.gain.n, one.base.people, one.unscored) == ("knew", 150, 30, 0)
    assert (one.base.value, one.never_knew.value, one.gain.value) == pytest.approx((149 / 150, 0.2, 119 / 150))
    assert warning([one]) is None


def test_public_checkpoints_that_score_alike_are_called_out() -> None:
    rng = np.random.default_rng(0)
    one = found((rng.random((25, 10)) < 0.388).tolist(), (rng.random((25, 10)) < 0.367).tolist())
    assert one.finding == "did not know"
    text = warning([one]) or ""
    assert text.startswith("WARNING: it is not shown that the base model knew")
    assert "forget_heldout: did not know. Base " in text and "n = 250, 25 people, 0 unscored" in text


def test_too_few_people_decide_nothing() -> None:
    one = found([[True] * 9], [[False] * 9])
    assert one.gain is not None and (one.finding, one.gain.value, one.gain.interval) == ("undecided", 1.0, None)
    assert "no interval" in (warning([one]) or "")
    assert found([[True], [True]], [[True], [False]]).finding == "undecided"


def test_the_interval_is_over_people_as_scipys() -> None:
    rng = np.random.default_rng(1)
    base, other = rng.random((30, 8)) < rng.random((30, 1)), rng.random((30, 8)) < 0.2
    gain = found(base.tolist(), other.tolist()).gain
    gains = base.astype(float) - other.astype(float)
    truth = stats.bootstrap((gains.mean(1),), np.mean, method="percentile", rng=rng).confidence_interval
    assert gain is not None and gain.value == pytest.approx(gains.mean())
    assert gain.interval == pytest.approx((truth.low, truth.high), abs=0.02)


def test_only_what_both_have_scored_counts() -> None:
    one = found([[True, None, True], [False, True, False]], [[False, False], [False, None]])
    assert one.gain is not None and (one.gain.n, one.unscored, one.base.value) == (2, 4, 0.5)
    none = found([[None]], [[True]])
    assert (none.finding, none.gain, none.unscored) == ("unscored", None, 1)
    assert "no question was answered by both models (1 unscored)" in (warning([none]) or "")
