"""Thresholds keep their promise on new prompts, and the strength chosen is the weakest that does."""

import pytest
import torch

from unsee.erase.fit.calibration import Trial, raised_together, thresholds, weakest_sufficient
from unsee.erase.fit.coefficient import no_longer
from unsee.errors import CalibrationError, OptionError


@pytest.mark.parametrize(
    ("count", "tail", "above"),
    [(199, 0.005, 0), (200, 0.005, 0), (399, 0.005, 1), (19, 0.1, 1), (99, 0.1, 9), (10, 0.001, 0), (9, 0.3, 2)],
)
def test_as_many_scores_reach_the_threshold_as_a_count_by_hand_allows(count: int, tail: float, above: int) -> None:
    scores = torch.randn(count, 3)[:, [0, 1, 1]]
    got = thresholds(scores, tail)
    assert got.dtype == torch.float32 and got.shape == (3,)
    # A new prompt is as likely to fall into each of the count + 1 gaps: floor((count + 1) tail) of them may fire, and
    # the topmost gap, above all scores, is always one of them.
    limit = scores.sort(0, descending=True).values[above]
    assert (got > limit).all() and (got - limit < 1e-5).all()
    assert ((scores >= got).sum(0) == above).all()


def test_new_scores_reach_the_threshold_no_more_often_than_promised() -> None:
    generator = torch.Generator().manual_seed(0)
    tail, count = 0.1, 29
    old, new = torch.randn(count, 4000, generator=generator), torch.randn(4000, generator=generator)
    rate = float((new >= thresholds(old, tail)).float().mean())
    # Exactly 0.1 in expectation; four standard errors of 4,000 draws are 0.019.
    assert abs(rate - 0.1) < 0.019


def test_gates_together_fire_no_more_often_than_the_joint_share() -> None:
    generator = torch.Generator().manual_seed(1)
    scores = torch.randn(399, 20, generator=generator)
    own = thresholds(scores, 0.05)
    assert (scores >= own).any(1).float().mean() > 0.3, "twenty small tails add up"
    low = torch.full((20,), -9.0)
    together = raised_together(scores, low, 0.01)
    # floor(400 * 0.01) = 4 of the 400 gaps may fire, the topmost always among them.
    assert int((scores >= together).any(1).sum()) == 3
    assert torch.equal(together, together[:1].expand(20)), "one level for all gates"
    low[7] = together[7] + 1
    assert torch.equal(raised_together(scores, low, 0.01), torch.maximum(low, together)), "no threshold is lowered"
    lenient = raised_together(scores, own + 10, 0.01)
    assert torch.equal(lenient, own + 10), "thresholds that are high enough are left alone"


def test_equal_scores_do_not_fire_and_double_precision_is_not_rounded_down() -> None:
    assert not (torch.ones(5, 1) >= thresholds(torch.ones(5, 1), 0.5)).any()
    scores = torch.tensor([[1.0 + 2.0**-25]], dtype=torch.float64)
    assert (thresholds(scores, 0.5).double() > scores).all()


def test_bad_calibration_is_refused() -> None:
    for tail in (0.0, 1.0, -0.1):
        with pytest.raises(OptionError, match=r"expected a share in \(0, 1\)"):
            thresholds(torch.ones(3, 1), tail)
    with pytest.raises(CalibrationError, match="no calibration prompts"):
        thresholds(torch.ones(0, 2), 0.1)
    for value in (float("nan"), float("inf")):
        with pytest.raises(CalibrationError, match="would never open"):
            thresholds(torch.tensor([[1.0], [value]]), 0.1)


def trial(strength: float, refused: float) -> Trial:
    return Trial(strength, "sorry", refused, leaked=0.0, fluent=refused)


def test_the_weakest_sufficient_strength_wins_in_any_order() -> None:
    trials = [trial(2.0, 1.0), trial(1.0, 0.99), trial(0.5, 0.6), trial(3.0, 0.2)]
    assert weakest_sufficient(trials, 0.98).strength == 1.0
    assert weakest_sufficient(trials[2:], 0.98).strength == 0.5
    assert weakest_sufficient([trial(2.0, 0.7), trial(1.0, 0.7)], 0.98).strength == 1.0
    with pytest.raises(CalibrationError, match=r"Tried 0\.5: 40% refused, 40% fluent, 3: 20% refused"):
        weakest_sufficient([trial(3.0, 0.2), trial(0.5, 0.4)], 0.98)
    assert trial(1.0, 0.5).as_json() == {
        "strength": 1.0,
        "words": "sorry",
        "refused": 0.5,
        "leaked": 0.0,
        "fluent": 0.5,
    }


def test_strength_lengthens_the_first_step_alone() -> None:
    trajectory = torch.arange(24, dtype=torch.float32).reshape(2, 3, 4)
    for strength in (0.5, 1.0, 3.0):
        steered = strength * no_longer(trajectory, strength)
        torch.testing.assert_close(steered[:, 0], strength * trajectory[:, 0])
        torch.testing.assert_close(steered[:, 1:], min(strength, 1.0) * trajectory[:, 1:])
