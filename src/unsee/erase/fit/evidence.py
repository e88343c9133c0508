"""One vector per subject for one kind of evidence, a name or an image, and group-wise limits that it has to reach.

Pure arithmetic on token states. Scores are put on a scale on which the background's mean token is 0 and the subject's
own is 1, whatever hard negatives are added: the free intercept of a class-balanced ridge drifts with those.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
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
        fold: of each, from 0; states of one subject are in one fold.
        group: of each prompt.
        groups: names.
        subject: of each state, whose view it is; None where they are no views.
    """

    states: Float[Tensor, "T F"]
    prompt: Int[Tensor, " T"]
    fold: Int[Tensor, " T"]
    group: Int[Tensor, " N"]
    groups: tuple[str, ...]
    subject: Int[Tensor, " T"] | None = None


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
    within: float = 0.0,
) -> Evidence:
    """Class-balanced ridge per subject, its limit the largest of the floor and of each group's conformal quantile.

    `limit = max(floor, max_g q_{1 - tail_g}(largest score of any token and gate, over the prompts of g))`, scores of
    each fold of the background by gates that were fitted on the others: the share is the whole request's.

    Args:
        positives: states of each subject.
        negatives: of the background.
        gamma: ridge, as for `ridge_gate`.
        floor: lowest limit, between 0 (background) and 1 (the subject).
        tails: by group, the share of its prompts that any gate may fire on.
        within: share of the negatives' scatter that is taken within subjects, in [0, 1]. Views of one subject differ
            as those of any other do, and changed copies of one image do not show how.

    Raises:
        DataError: the background has no two folds.
        OptionError, CalibrationError: as `ridge_gates` and `raised_together`.
    """
    (*positives, states), gamma, basis = in_their_span([*positives, negatives.states], gamma)
    negatives = replace(negatives, states=states)
    forgotten, folds = [Moments.of(states) for states in positives], negatives.fold.unique().tolist()
    if len(folds) < 2:
        raise DataError("half of the background holds no such state, so no limit can be set. Give more background.")
    parts = {fold: _retained(negatives, negatives.fold == fold) for fold in folds}
    scores = torch.full((len(negatives.group), len(positives)), -torch.inf, dtype=torch.float64)
    for fold in folds:
        weight, bias = _scaled(
            forgotten, _with_views([parts[other] for other in folds if other != fold], within), gamma
        )
        mine = negatives.fold == fold
        tokens = negatives.states[mine].double() @ weight.mT + bias
        where = negatives.prompt[mine].unsqueeze(1).expand_as(tokens)
        scores.scatter_reduce_(0, where, tokens, "amax")
    weight, bias = _scaled(forgotten, _with_views(list(parts.values()), within), gamma)
    limit = torch.full((len(positives),), floor)
    for number, name in enumerate(negatives.groups):
        rows = scores[(negatives.group == number) & scores[:, 0].isfinite()]
        if len(rows) and name in tails:
            limit = raised_together(rows, limit, tails[name])
    weight = weight if basis is None else weight @ basis.mT
    return Evidence(weight.float(), (bias - limit).float(), (scores - limit).float(), limit)


def in_their_span(
    states: Sequence[Float[Tensor, "_ F"]], gamma: float
) -> tuple[list[Float[Tensor, "_ B"]], float, Float[Tensor, "F B"] | None]:
    """States on an orthonormal basis of all of them, the ridge there, and the basis.

    A ridge's vector lies in their span, so the smaller system has the same solution; its gamma is relative to the mean
    spread of a feature, of which there are fewer. Where the states are as many as features, all is left as it is.
    """
    width = states[0].shape[1]
    if sum(map(len, states)) >= width:
        return list(states), gamma, None
    basis = torch.linalg.qr(torch.cat(list(states)).double().mT).Q
    return [one.double() @ basis for one in states], gamma * basis.shape[1] / width, basis


_Retained = tuple[list[Moments], Moments]
"""Of a part of the background: moments of each group, and of deviations within subjects."""


def _retained(negatives: Negatives, chosen: Bool[Tensor, " T"]) -> _Retained:
    states, group = negatives.states[chosen], negatives.group[negatives.prompt[chosen]]
    groups = [Moments.of(states[group == number]) for number in range(len(negatives.groups))]
    views = Moments.empty(states.shape[1])
    return groups, views if negatives.subject is None else _deviations(states, negatives.subject[chosen])


def _deviations(states: Float[Tensor, "T F"], subject: Int[Tensor, " T"]) -> Moments:
    """`sqrt(n_s / (n_s - 1)) (h - m_s)`: how states of one subject differ, over subjects that have several."""
    states, (_, number, count) = states.double(), subject.unique(return_inverse=True, return_counts=True)
    means = states.new_zeros(len(count), states.shape[1]).index_add_(0, number, states) / count.unsqueeze(1)
    count, several = count[number], (count > 1)[number]
    unbiased = (count / (count - 1).clamp(min=1)).sqrt().unsqueeze(1)
    return Moments.of(((states - means[number]) * unbiased)[several])


def _with_views(parts: Sequence[_Retained], within: float) -> Moments:
    """All groups weighing the same, and in place of a share of their scatter that within subjects, where any is."""
    total = balanced([reduce(add, group) for group in zip(*(groups for groups, _ in parts), strict=True)])
    views = reduce(add, (views for _, views in parts))
    if not views.count or not within:
        return total
    inside = (views.second / views.count + torch.outer(total.mean, total.mean)) * total.count
    return Moments(total.count, total.total, (1 - within) * total.second + within * inside)


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
