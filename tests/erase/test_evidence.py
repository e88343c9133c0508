"""Group-wise limits of a subject's gate, on made states with known answers."""

import pytest
import torch

from unsee.erase.fit.evidence import Negatives, fit_evidence
from unsee.errors import DataError

WIDTH, PROMPTS, TOKENS = 12, 400, 5


def negatives(groups: int = 1, hard: int = 0) -> Negatives:
    """Random tokens; `hard` prompts more, in a group of their own, that lie half way to the subject."""
    draw = torch.Generator().manual_seed(0)
    states = torch.randn(PROMPTS * TOKENS, WIDTH, generator=draw) * 0.3
    prompt = torch.arange(PROMPTS).repeat_interleave(TOKENS)
    group = torch.arange(PROMPTS) % groups
    names = tuple(f"g{i}" for i in range(groups))
    if hard:
        near = torch.randn(hard, WIDTH, generator=draw) * 0.3 + 0.8 * subject_mean()
        states, prompt = torch.cat([states, near]), torch.cat([prompt, PROMPTS + torch.arange(hard)])
        group, names = torch.cat([group, torch.full((hard,), groups)]), (*names, "near")
    return Negatives(states, prompt, group, torch.arange(len(group)) // max(1, groups) % 2 == 1, names)


def subject_mean() -> torch.Tensor:
    return torch.nn.functional.one_hot(torch.tensor(3), WIDTH).float() * 2


def positives() -> list[torch.Tensor]:
    draw = torch.Generator().manual_seed(1)
    return [torch.randn(30, WIDTH, generator=draw) * 0.1 + subject_mean()]


def test_the_limit_lets_a_share_of_each_group_through_and_the_subject_fires() -> None:
    asked, tails = negatives(2), {"g0": 0.02, "g1": 0.02}
    made = fit_evidence(positives(), asked, gamma=0.01, floor=0.01, tails=tails)
    for group in (0, 1):
        assert float((made.margins[asked.group == group] >= 0).float().mean()) <= 0.02
    fresh = torch.randn(200, WIDTH, generator=torch.Generator().manual_seed(2)) * 0.1 + subject_mean()
    assert bool((fresh @ made.weight.mT + made.bias >= 0).all())


def test_scores_keep_their_scale_when_hard_negatives_are_added() -> None:
    """A free intercept would move with them; the background's mean stays 0 and the subject's 1."""
    tails = {"g0": 0.02}
    for hard in (0, 200):
        made = fit_evidence(positives(), negatives(1, hard), gamma=0.01, floor=0.5, tails=tails)
        score = positives()[0] @ made.weight.mT + made.bias + made.limit
        assert float(score.mean()) == pytest.approx(1.0, abs=1e-4)
        background = negatives(1).states @ made.weight.mT + made.bias + made.limit
        assert abs(float(background.mean())) < (0.05 if not hard else 1.2)


def test_each_group_has_a_limit_of_its_own() -> None:
    """Namesakes that come close raise the limit only as far as their own share asks."""
    asked = negatives(1, 200)
    strict = fit_evidence(positives(), asked, gamma=0.01, floor=0.01, tails={"g0": 0.02, "near": 0.02})
    loose = fit_evidence(positives(), asked, gamma=0.01, floor=0.01, tails={"g0": 0.02, "near": 0.5})
    near = asked.group == 1
    assert float(strict.limit[0]) > float(loose.limit[0])
    assert float((strict.margins[near] >= 0).float().mean()) <= 0.02
    assert float((loose.margins[near] >= 0).float().mean()) <= 0.5


def test_no_background_is_refused() -> None:
    asked = negatives()
    one = Negatives(asked.states, asked.prompt, asked.group, torch.zeros_like(asked.half), asked.groups)
    with pytest.raises(DataError, match="half of the background"):
        fit_evidence(positives(), one, gamma=0.01, floor=0.5, tails={})
