"""One vector per subject for one kind of evidence, a name or an image, and group-wise limits that it has to reach.

Pure arithmetic on token states. Scores are put on a scale on which the background's mean token is 0 and the subject's
own is 1, whatever hard negatives are added: the free intercept of a class-balanced ridge drifts with those.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import final

import torch

from unsee.erase.fit.calibration import raised_together
from unsee.erase.fit.moments import Moments
from unsee.erase.fit.ridge import ridge_gates
from unsee.errors import DataError
from unsee.shapes import Bool, Float, Int, Tensor


@final
@dataclass(frozen=True, eq=False)
class Negatives:
    """States on which no subject's gate may fire.

    Attributes:
        states: one per token, or per image.
        prompt: of each, from 0.
        group: of each prompt.
        half: of each prompt.
        groups: names.
    """

    states: Float[Tensor, "T F"]
    prompt: Int[Tensor, " T"]
    group: Int[Tensor, " N"]
    half: Bool[Tensor, " N"]
    groups: tuple[str, ...]


@final
@dataclass(frozen=True, eq=False)
class Evidence:
    """Gates of K subjects for one kind of evidence.

    Attributes:
        weight: w.
        bias: b, the limit taken off.
        margins: of every background prompt, by gates that were not fitted on its half; minus infinity where it holds no
            such evidence.
        limit: of each subject, what its score has to reach.
    """

    weight: Float[Tensor, "K F"]
    bias: Float[Tensor, " K"]
    margins: Float[Tensor, "N K"]
    limit: Float[Tensor, " K"]


def fit_evidence(
    positives: Sequence[Float[Tensor, "_ F"]],
    negatives: Negatives,
    *,
    gamma: float,
    floor: float,
    tails: Mapping[str, float],
) -> Evidence:
    """Class-balanced ridge per subject, its limit the largest of the floor and of each group's conformal quantile.

    `limit = max(floor, max_g q_{1 - tail_g}(largest score of any token and gate, over the prompts of g))`, scores of
    each half of the background by gates that were fitted on the other half: the share is the whole request's.

    Args:
        positives: states of each subject.
        negatives: of the background.
        gamma: ridge, as for `ridge_gate`.
        floor: lowest limit, between 0 (background) and 1 (the subject).
        tails: by group, the share of its prompts that any gate may fire on.

    Raises:
        DataError: a half of the background is empty.
        OptionError, CalibrationError: as `ridge_gates` and `raised_together`.
    """
    forgotten = [Moments.of(states) for states in positives]
    owner_half, owner_group = negatives.half[negatives.prompt], negatives.group[negatives.prompt]
    parts = [
        [Moments.of(negatives.states[(owner_group == g) & (owner_half == h)]) for g in range(len(negatives.groups))]
        for h in (False, True)
    ]
    if not all(any(one.count for one in half) for half in parts):
        raise DataError("half of the background holds no such state, so no limit can be set. Give more background.")
    count = len(negatives.half)
    scores = torch.full((count, len(positives)), -torch.inf, dtype=torch.float64)
    for seen in (0, 1):
        weight, bias = _scaled(forgotten, balanced(parts[seen]), gamma)
        mine = owner_half != bool(seen)
        tokens = negatives.states[mine].double() @ weight.mT + bias
        where = negatives.prompt[mine].unsqueeze(1).expand_as(tokens)
        scores.scatter_reduce_(0, where, tokens, "amax")
    weight, bias = _scaled(forgotten, balanced([one + other for one, other in zip(*parts, strict=True)]), gamma)
    limit = torch.full((len(positives),), floor)
    for number, name in enumerate(negatives.groups):
        rows = scores[(negatives.group == number) & scores[:, 0].isfinite()]
        if len(rows) and name in tails:
            limit = raised_together(rows, limit, tails[name])
    return Evidence(weight.float(), (bias - limit).float(), (scores - limit).float(), limit)


def balanced(groups: Sequence[Moments]) -> Moments:
    """Moments in which every group weighs about the same, however many states it has."""
    some = [one for one in groups if one.count]
    most = max(one.count for one in some)
    return reduce(add, (one.repeated(max(1, round(most / one.count))) for one in some))


def _scaled(positives: Sequence[Moments], negative: Moments, gamma: float) -> tuple[Tensor, Tensor]:
    """Gates on the scale of background mean 0 and subject mean 1."""
    weight, _ = ridge_gates(positives, negative, gamma)
    high = torch.stack([w @ one.mean for w, one in zip(weight, positives, strict=True)])
    low = weight @ negative.mean
    return weight / (high - low).unsqueeze(1), -low / (high - low)
