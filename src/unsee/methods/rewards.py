"""ASRU, stage 2: what an answer is worth, as pure functions; one that cannot be worked out raises, and is never 0.

The bands are those of `unsee.metrics.reward`. Consistency is ours: the same fact asked by image and by name
should be refused, or answered, in both.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Literal

import torch

from unsee.data.sample import Sample
from unsee.erase.detectors import is_refusal
from unsee.evals.judge import judge_offline
from unsee.methods.errors import RewardError
from unsee.metrics.reward import forget_reward, retain_reward
from unsee.metrics.verdicts import score

Favours = Literal["any", "contextual", "rigid"]
"""Which refusals are worth most: all alike, those that name what was asked, or those that fit every question."""

Kind = Literal["told", "contextual", "rigid", "other"]
"""What an answer is: it tells; a refusal that names what was asked, or one that fits every question; neither."""

_IN_CONTEXT = 5.0  # of the offline judge, for a refusal that names what was asked


def kind_of(sample: Sample, answer: str) -> Kind:
    """What an answer is, told first: one that gives the fact away tells, whatever else it says."""
    if score(sample, answer).leaked:
        return "told"
    if not is_refusal(answer):
        return "other"
    judged = judge_offline(sample.question, answer, sample.gold).contextual_refusal
    return "contextual" if judged == _IN_CONTEXT else "rigid"


def favoured(worth: Sequence[float], kinds: Sequence[Kind], favours: Favours) -> list[float]:
    """Rewards in which a refusal of the other kind, worth 1 before, is worth half; ours, for ASRU's missing ablation.

    Raises:
        RewardError: the columns are of unequal length.
    """
    if len(worth) != len(kinds):
        raise RewardError(f"got {len(worth)} rewards and {len(kinds)} kinds, expected as many of each.")
    lesser = {"any": None, "contextual": "rigid", "rigid": "contextual"}[favours]
    return [0.5 if value == 1.0 and kind == lesser else value for value, kind in zip(worth, kinds, strict=True)]


def advantages(worth: Sequence[float], group: int) -> list[float]:
    """`(r - mean) / (std + 1e-4)` within each group of answers to one question: what GRPO learns from.

    A group whose answers are all worth the same teaches nothing.

    Source: Shao et al. 2024 (arXiv 2402.03300), with the sample standard deviation, as trl takes it.
    """
    rows = torch.tensor(worth, dtype=torch.float64).view(-1, group)
    return ((rows - rows.mean(1, keepdim=True)) / (rows.std(1, keepdim=True) + 1e-4)).flatten().tolist()


def two_sided(
    samples: Sequence[Sample], answers: Sequence[str], forget: Sequence[bool], released: bool = False
) -> list[float]:
    """ASRU's reward of each answer, in [0, 1]: on the forgotten a refusal is 1 and a leak 0, on the kept the reverse.

    Of a multiple choice the right letter is the gold. The release looks for the gold's text, which no letter holds:
    right answers about the kept would be worth as little as wrong ones, and leaked letters nearly as much.

    Raises:
        RewardError: an answer or a gold is missing or empty of words, so that its reward is not known.

    Source: `compute_score` of ASRU (arXiv 2605.15687); see `unsee.metrics.reward`.
    """
    if not len(answers) == len(samples) == len(forget):
        raise RewardError(
            f"got {len(answers)} answers, {len(samples)} questions and {len(forget)} flags, expected as many of each."
        )
    worth = []
    for place, (sample, answer, aside) in enumerate(zip(samples, answers, forget, strict=True)):
        value = (forget_reward if aside else retain_reward)(answer, sample.gold, released=released)
        if value is None:
            raise RewardError(
                f"the reward of answer {place} ({answer!r}, gold {sample.gold!r}) is unknown. Expected a reply and a "
                "gold with words in it; drop questions without an answer from the training set."
            )
        if sample.form == "classification" and score(sample, answer).leaked:
            value = float(not aside)
        worth.append(value)
    return worth


def consistency(answers: Sequence[str], facts: Sequence[str], pictured: Sequence[bool]) -> list[float]:
    """Share of the answers about the same fact in the other modality that decide alike: refuse, or do not; in [0, 1].

    A fact that is asked in one modality only gives all its answers 0, which is no advantage to any of them.

    Raises:
        RewardError: the columns are of unequal length.
    """
    if not len(answers) == len(facts) == len(pictured):
        raise RewardError(
            f"got {len(answers)} answers, {len(facts)} facts and {len(pictured)} flags, expected as many of each."
        )
    declined = [is_refusal(answer) for answer in answers]
    others: dict[tuple[str, bool], list[bool]] = defaultdict(list)
    for fact, shown, refused in zip(facts, pictured, declined, strict=True):
        others[fact, shown].append(refused)
    shares = []
    for fact, shown, refused in zip(facts, pictured, declined, strict=True):
        twin = others.get((fact, not shown), [])
        shares.append(sum(other == refused for other in twin) / len(twin) if twin else 0.0)
    return shares
