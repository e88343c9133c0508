"""Is this turn about what is in scope? One linear gate for the whole model, asked only where the subject is there.

What is visible, what is asked about somebody else or about nothing in particular goes through, though the subject was
named or is shown. It reads the words of the user's last turn alone: who was spoken of before is the subject's gate's to
say. It is fitted once per model. A request may bring one of its own: to erase some facts, or to spare some.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self, final

import torch

from unsee.erase.fit.evidence import balanced
from unsee.erase.fit.moments import Moments
from unsee.erase.fit.ridge import ridge_gate
from unsee.shapes import Bool, Float, Tensor

EVIDENCE = ("named", "shown", "named before", "shown before")
"""By what the subject is there, in this turn or before it. A turn that names the subject is about it; one behind an
image says "this person", one after either says "she", and a name in any of these three is somebody else's."""

Groups = Mapping[str, tuple[Float[Tensor, "_ R D"], Float[Tensor, "_ R D"]]]
"""Features of prompts by group, each in two halves that share no subject."""


LOWEST = 0.3
"""Least threshold, where 0 is outside and 1 inside."""


@final
@dataclass(frozen=True, eq=False)
class Scope:
    """`score_se = sum_f <w_sef, feature_f> + b_se` for S scopes; in scope where it is at least 0.

    Features f are, per block, the mean of the unit-norm states of the text of the user's last turn.

    Attributes:
        weight: w, per scope, evidence (as `EVIDENCE`) and block.
        bias: b, the threshold taken off.
    """

    weight: Float[Tensor, "S 4 R D"]
    bias: Float[Tensor, "S 4"]

    @classmethod
    def everything(cls, blocks: int, width: int) -> Self:
        """All prompts are in scope."""
        return cls(torch.zeros(1, 4, blocks, width), torch.ones(1, 4))

    def margins(self, features: Float[Tensor, "N R D"]) -> Float[Tensor, "N S 4"]:
        """Scores by scope and evidence."""
        return torch.einsum("nrd,serd->nse", features, self.weight.to(features)) + self.bias.to(features)


def added_features(units: Float[Tensor, "B T D"], turn: Bool[Tensor, "B T"]) -> Float[Tensor, "B D"]:
    """What this call's unit-norm states add: their sum over the text of the last turn."""
    # Filled and not multiplied: a pad may hold NaN, and 0 times NaN is NaN.
    return units.masked_fill(~turn.to(units.device).unsqueeze(-1), 0.0).sum(1)


@final
@dataclass(frozen=True, eq=False)
class FittedScope:
    """One kind of evidence, fitted.

    Attributes:
        weight: the vector.
        bias: the intercept less the threshold.
        wrong: of each group outside, the share taken for in scope by a fit on other subjects.
    """

    weight: Float[Tensor, "R D"]
    bias: Tensor
    wrong: Mapping[str, float]


def fit_scope(inside: Groups, outside: Groups, *, gamma: float, lost: float) -> FittedScope:
    """Class-balanced ridge of what is in scope against what is not, every group of a side weighing the same.

    The threshold is where a share `lost` of the worst group inside would be missed by a fit on other subjects: a scope
    that shuts lets the subject through, so what is lost inside is set, and what is wrongly taken for in scope follows
    from it. It stays between `LOWEST` and the midpoint: half of the prompts make a worse fit than all of them.

    Args:
        inside: about what was learnt.
        outside: about anything else, with the subject present.
        gamma: ridge, as for `ridge_gate`.
        lost: share of a group inside.

    Raises:
        DataError, OptionError, CalibrationError: as `ridge_gate`.
    """
    limit, scores = 0.5, dict[str, list[Tensor]]()
    for seen in (0, 1):
        weight, bias = _ridge(inside, outside, (seen,), gamma)
        for group in inside.values():
            limit = min(limit, float(torch.quantile(group[1 - seen].double().flatten(1) @ weight + bias, lost)))
        for name, group in outside.items():
            scores.setdefault(name, []).append(group[1 - seen].double().flatten(1) @ weight + bias)
    limit = max(limit, LOWEST)
    weight, bias = _ridge(inside, outside, (0, 1), gamma)
    wrong = {name: float((torch.cat(some) >= limit).double().mean()) for name, some in scores.items()}
    shape = next(iter(inside.values()))[0].shape[1:]
    return FittedScope(weight.view(shape).float(), (bias - limit).float(), wrong)


def _ridge(inside: Groups, outside: Groups, halves: Sequence[int], gamma: float) -> tuple[Tensor, Tensor]:
    sides = [[Moments.of(torch.cat([group[h] for h in halves]).flatten(1)) for group in side.values()]
             for side in (inside, outside)]  # fmt: skip
    return ridge_gate(balanced(sides[0]), balanced(sides[1]), gamma)
