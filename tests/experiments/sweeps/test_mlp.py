"""The small network: it learns what a line cannot, stops where unseen people say so, and is a gate like the other."""

from dataclasses import replace

import pytest
import torch

from unsee.erase.config import Settings
from unsee.errors import OptionError
from unsee.experiments.sweeps.mlp import Prompts, fit_mlp
from unsee.shapes import Tensor

SETTINGS = Settings(tail=0.1, floor=0.5)


def ring(count: int, radius: float, seed: int) -> Tensor:
    """Points on a circle, flattened features of one block of width 1 at two poolings."""
    angle = 6.2832 * torch.rand(count, generator=torch.Generator().manual_seed(seed))
    return radius * torch.stack([angle.cos(), angle.sin()], dim=1)


def inside_out(noise: float = 0.0) -> Prompts:
    """One subject in the middle, everybody else around it: no line parts them."""
    parts = [ring(60, 0.2, 0), ring(60, 2.0, 1), ring(60, 2.0, 2), ring(20, 2.0, 3), ring(20, 2.0, 4)]
    generator = torch.Generator().manual_seed(9)
    forget, one, two, others, keep = (p + noise * torch.randn(p.shape, generator=generator) for p in parts)
    return Prompts(forget, torch.zeros(60, dtype=torch.long), (one, two), others, keep)


def as_features(points: Tensor) -> Tensor:
    return points.view(-1, 1, 2, 1)


def test_it_parts_what_no_line_parts() -> None:
    gate = fit_mlp(inside_out(), SETTINGS, hidden=32, most=150)
    assert gate.fires(as_features(ring(50, 0.2, 7))).float().mean() > 0.95
    assert gate.fires(as_features(ring(50, 2.0, 8))).float().mean() < 0.05


def test_unseen_people_say_when_to_stop() -> None:
    """Where retained people are noise around the subject, more passes only learn who is in the fit."""
    noisy = inside_out(noise=1.5)
    stopped, last = (fit_mlp(noisy, SETTINGS, hidden=256, most=60, stop=s) for s in (True, False))
    assert last.epochs == 60
    assert 1 <= stopped.epochs < 60


def test_the_threshold_is_that_of_unseen_people_and_never_below_the_floor() -> None:
    assert fit_mlp(inside_out(), SETTINGS, hidden=32, most=150).threshold.tolist() == [0.5]
    noisy = fit_mlp(inside_out(noise=1.5), SETTINGS, hidden=32, most=150)
    assert (noisy.threshold > 0.5).all()
    assert noisy.fires(as_features(ring(200, 2.0, 8))).float().mean() < 0.2


def test_other_subjects_are_nobodys_negatives() -> None:
    """Two subjects at one place: each head may fire on both."""
    prompts = inside_out()
    two = replace(prompts, owner=torch.arange(60) % 2)
    gate = fit_mlp(two, SETTINGS, hidden=32, most=150)
    assert (gate.scores(prompts.forget) > 0.5).float().mean() > 0.9


def test_the_same_seed_is_the_same_gate_and_draws_nothing_from_outside() -> None:
    torch.manual_seed(5)
    state = torch.random.get_rng_state()
    one = fit_mlp(inside_out(), SETTINGS, hidden=4, most=2)
    assert torch.equal(torch.random.get_rng_state(), state)
    other = fit_mlp(inside_out(), SETTINGS, hidden=4, most=2)
    assert torch.equal(one.scores(ring(5, 1.0, 0)), other.scores(ring(5, 1.0, 0)))


@pytest.mark.parametrize(("hidden", "most"), [(0, 1), (1, 0)])
def test_sizes_that_make_no_sense_are_refused(hidden: int, most: int) -> None:
    with pytest.raises(OptionError, match="at least 1 of each"):
        fit_mlp(inside_out(), SETTINGS, hidden=hidden, most=most)
