"""The memorisation gate on answers whose verdict is plain, on pairs that do not match, its interval against scipy."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from scipy import stats

from unsee.errors import DataError, OptionError
from unsee.evals.memorised import LEAST, memorised, warning

SPLIT = ("forget_heldout",)


def rows(condition: str, right: Sequence[Sequence[Any]], split: str = "forget_heldout") -> list[dict[str, Any]]:
    """One inner sequence per person, one entry per question."""
    return [
        {"condition": condition, "split": split, "person": f"p{p}", "id": f"q{q}", "correct": correct}
        for p, answers in enumerate(right)
        for q, correct in enumerate(answers)
    ]


def test_a_base_that_was_right_where_the_other_was_not_knew() -> None:
    base = rows("base", [[True] * 5] * 9 + [[True, True, True, True, False]])
    (found,) = memorised([*base, *rows("never_knew", [[False] * 4 + [True]] * 10)], SPLIT)
    assert (found.finding, found.n, found.n_people, found.unscored) == ("knew", 50, 10, 0)
    assert (found.base, found.never_knew, found.gain) == pytest.approx((0.98, 0.2, 0.78))
    assert warning([found]) is None


def test_public_checkpoints_that_score_alike_are_called_out() -> None:
    rng = np.random.default_rng(0)
    base, other = rng.random((25, 10)) < 0.388, rng.random((25, 10)) < 0.367
    (found,) = memorised([*rows("base", base.tolist()), *rows("never_knew", other.tolist())], SPLIT)
    assert found.finding == "did not know"
    text = warning([found])
    assert text is not None and text.startswith("WARNING: it is not shown that the base model knew")
    assert "forget_heldout: did not know. Base " in text and "n = 250, 25 people, 0 unscored" in text


def test_too_few_people_decide_nothing() -> None:
    (found,) = memorised([*rows("base", [[True] * 9]), *rows("never_knew", [[False] * 9])], SPLIT)
    assert (found.finding, found.gain, found.interval) == ("undecided", 1.0, None)
    assert "no interval" in (warning([found]) or "")
    few = [*rows("base", [[True], [True]]), *rows("never_knew", [[True], [False]])]
    assert memorised(few, SPLIT)[0].finding == "undecided"


def test_the_interval_is_over_people_as_scipys() -> None:
    rng = np.random.default_rng(1)
    base = rng.random((30, 8)) < rng.random((30, 1))
    other = rng.random((30, 8)) < 0.2
    (found,) = memorised([*rows("base", base.tolist()), *rows("never_knew", other.tolist())], SPLIT)
    gains = base.astype(float) - other.astype(float)
    truth = stats.bootstrap((gains.mean(1),), np.mean, method="percentile", rng=rng).confidence_interval
    assert found.gain == pytest.approx(gains.mean())
    assert found.interval == pytest.approx((truth.low, truth.high), abs=0.02)


def test_landmine_clear_perturbed_rows_are_one_short_so_pairs_are_made_by_id() -> None:
    base, never = rows("base", [[True, False]] * 4), rows("never_knew", [[True, False]] * 4)
    del never[0]
    (found,) = memorised([*base, *never], SPLIT)
    assert (found.n, found.unscored, found.gain) == (7, 1, 0.0), "joined by place the gain would be 1/7"


def test_unscored_answers_are_counted_and_never_wrong() -> None:
    base, never = rows("base", [[True, None]] * 6), rows("never_knew", [[False, False]] * 6)
    (found,) = memorised([*base, *never], SPLIT)
    assert (found.base, found.n, found.unscored, found.finding) == (1.0, 6, 6, "knew")


def test_a_split_without_both_models_is_unscored_and_called_out() -> None:
    (found,) = memorised(rows("base", [[True]] * 3), SPLIT)
    assert (found.finding, found.n, found.unscored, found.gain) == ("unscored", 0, 3, None)
    assert "forget_heldout: no question was answered by both models (3 unscored)." in (warning([found]) or "")


def test_every_split_is_decided_and_other_records_are_passed_over() -> None:
    records = [
        *rows("base", [[True] * 3] * 15), *rows("never_knew", [[False] * 3] * 15),
        *rows("base", [[True] * 3] * 15, "forget_fit"), *rows("never_knew", [[True] * 3] * 15, "forget_fit"),
        *rows("erased", [[False] * 3] * 15), *rows("base", [[False]], "visible"),
    ]  # fmt: skip
    found = memorised(records, ("forget_heldout", "forget_fit"))
    assert [(one.split, one.finding) for one in found] == [("forget_heldout", "knew"), ("forget_fit", "did not know")]
    text = warning(found) or ""
    assert "forget_fit" in text and "forget_heldout" not in text


def test_the_least_gain_can_be_chosen() -> None:
    records = [*rows("base", [[True, False]] * 9), *rows("never_knew", [[False, False]] * 9)]
    assert memorised(records, SPLIT)[0].finding == "undecided"  # 50 % right, no spread between people: Wilson over 9
    assert memorised(records, SPLIT, least=0.1)[0].finding == "knew"
    assert LEAST == 0.25


def test_bad_input_is_refused() -> None:
    broken = rows("base", [[True]])
    del broken[0]["id"]
    with pytest.raises(DataError, match=r"answer record 0 lacks \['id'\]"):
        memorised(broken, SPLIT)
    with pytest.raises(DataError, match="condition 'base' answers question 'q0' of split 'forget_fit' twice"):
        memorised(rows("base", [[True]], "forget_fit") * 2, ("forget_fit",))
    with pytest.raises(OptionError, match=r"least is 1, expected a gain in accuracy in \[0, 1\)"):
        memorised([], SPLIT, least=1)
