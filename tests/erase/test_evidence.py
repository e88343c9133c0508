"""Group-wise limits of a subject's gate, on made states with known answers."""

from dataclasses import replace

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
    half = torch.arange(len(group)) // max(1, groups) % 2 == 1
    return Negatives(states, prompt, half[prompt].long(), group, names)


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
    one = replace(asked, fold=torch.zeros_like(asked.fold))
    with pytest.raises(DataError, match="half of the background"):
        fit_evidence(positives(), one, gamma=0.01, floor=0.5, tails={})


def test_views_of_others_teach_how_views_differ() -> None:
    """Of every subject, feature 0 says who it is by a little and feature 1, by much, only which view it is."""
    draw = torch.Generator().manual_seed(3)
    subjects, views = 120, 4
    who = torch.zeros(subjects, WIDTH)
    who[:, 0] = torch.randn(subjects, generator=draw)
    seen = torch.zeros(subjects * views, WIDTH)
    seen[:, 1] = torch.randn(subjects * views, generator=draw)
    owner = torch.arange(subjects).repeat_interleave(views)
    states = who[owner] + seen + 0.05 * torch.randn(subjects * views, WIDTH, generator=draw)
    prompt = torch.arange(len(states))
    group = torch.zeros(len(states), dtype=torch.int64)
    one = torch.zeros(1, WIDTH)
    one[0, :2] = torch.tensor([1.5, 1.5])  # one view of a new subject, and small changes of it
    copies = one + 0.02 * torch.randn(20, WIDTH, generator=draw)
    other = one.clone()
    other[0, 1] = -1.5  # the subject again, in another view

    def score(within: float, subject: torch.Tensor | None) -> float:
        asked = Negatives(states, prompt, owner % 4, group, ("people",), subject)
        made = fit_evidence([copies], asked, gamma=1e-6, floor=0.4, tails={}, within=within)
        return float((other @ made.weight.mT + made.bias + made.limit).item())

    assert score(0.0, owner) < 0.3 < 0.7 < score(1.0, owner), "only views of others say that feature 1 is no one's"
    assert score(1.0, None) == pytest.approx(score(0.0, owner), abs=1e-6), "nobody has two views"
    assert score(1.0, prompt) == pytest.approx(score(0.0, owner), abs=1e-6), "one view of each says nothing"


def test_more_features_than_states_give_the_same_gate() -> None:
    """Turned into many dimensions, the states say what they said: only the ridge's unit changes with the width."""
    asked, wide = negatives(2), 5 * PROMPTS * TOKENS
    few = torch.arange(asked.group.numel() * TOKENS) % 7 == 0
    asked = replace(asked, states=asked.states[few], prompt=asked.prompt[few], fold=asked.fold[few])
    turn = torch.linalg.qr(torch.randn(wide, WIDTH, generator=torch.Generator().manual_seed(5))).Q
    narrow = fit_evidence(positives(), asked, gamma=0.01, floor=0.3, tails={"g0": 0.02})
    broad = fit_evidence(
        [one @ turn.mT for one in positives()],
        replace(asked, states=asked.states @ turn.mT),
        gamma=0.01 * wide / WIDTH,
        floor=0.3,
        tails={"g0": 0.02},
    )
    torch.testing.assert_close(broad.weight @ turn, narrow.weight, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(broad.margins, narrow.margins, rtol=1e-3, atol=1e-4)
