"""Is this turn about what is in scope? One linear gate for the whole model, asked only where the subject is there.

What is visible, what is asked about somebody else or about nothing in particular goes through, though the subject was
named or is shown. It reads the end of the user's turn, where the question has been understood, and is fitted once per
model on retained subjects. A request may bring one of its own: to erase some facts, or to spare some.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self, final

import torch

from unsee.erase.fit.calibration import thresholds
from unsee.erase.fit.evidence import balanced
from unsee.erase.fit.moments import Moments
from unsee.erase.fit.ridge import ridge_gate
from unsee.erase.fit.tokens import TokenStates
from unsee.erase.steer.positions import Steps
from unsee.shapes import Bool, Float, Tensor

EVIDENCE = ("text", "image")
"""By what the subject is there: a question behind an image says "this person", and a name in it is somebody else's."""


@final
@dataclass(frozen=True, eq=False)
class Scope:
    """`score_se = sum_f <w_sef, feature_f> + b_se` for S scopes; in scope where it is at least 0.

    Features f are, per block, the unit-norm state of the last prompt token and the mean of those of all its text.

    Attributes:
        weight: w, per scope, evidence (0 text, 1 image), block and pooling (0 last, 1 mean).
        bias: b, the threshold taken off.
    """

    weight: Float[Tensor, "S 2 R 2 D"]
    bias: Float[Tensor, "S 2"]

    @classmethod
    def everything(cls, blocks: int, width: int) -> Self:
        """All prompts are in scope."""
        return cls(torch.zeros(1, 2, blocks, 2, width), torch.ones(1, 2))

    def margins(self, features: Float[Tensor, "N R 2 D"]) -> Float[Tensor, "N S 2"]:
        """Scores by scope and evidence."""
        return torch.einsum("nrpd,serpd->nse", features, self.weight.to(features)) + self.bias.to(features)


def scope_features(states: TokenStates) -> Float[Tensor, "N R 2 D"]:
    """The features of whole prompts."""
    count = int(states.prompt.max()) + 1
    lengths = torch.bincount(states.prompt, minlength=count)
    total = states.text.new_zeros(count, *states.text.shape[1:]).index_add_(0, states.prompt, states.text)
    return torch.stack([states.text[lengths.cumsum(0) - 1], total / lengths.view(-1, 1, 1)], dim=2)


def added_features(units: Float[Tensor, "B T D"], steps: Steps, text: Bool[Tensor, "B T"]) -> Float[Tensor, "B 2 D"]:
    """What this call's unit-norm states add: that of the last prompt token, and the sum over the prompt's text."""

    def total(chosen: Bool[Tensor, "B T"]) -> Float[Tensor, "B D"]:
        # Filled and not multiplied: a pad may hold NaN, and 0 times NaN is NaN.
        return units.masked_fill(~chosen.to(units.device).unsqueeze(-1), 0.0).sum(1)

    return torch.stack([total(steps.last), total(text)], dim=1)


def fit_scope(
    inside: Float[Tensor, "N R 2 D"],
    outside: Mapping[str, Float[Tensor, "_ R 2 D"]],
    calibration: Mapping[str, Float[Tensor, "_ R 2 D"]],
    *,
    gamma: float,
    tail: float,
    floor: float,
) -> tuple[Float[Tensor, "R 2 D"], Tensor]:
    """Class-balanced ridge of what is in scope against groups of what is not, each group weighing the same.

    The threshold is the largest of the floor and the groups' conformal (1 - tail) quantiles on prompts of calibration
    subjects, but never more than the midpoint: a scope that shuts lets the subject through.

    Args:
        inside: features of prompts about what was learnt.
        outside: of others with the subject present, by group.
        calibration: the same of subjects that the fit does not see.
        gamma: ridge, as for `ridge_gate`.
        tail: share of a group that may be taken for in scope.
        floor: lowest threshold, where 0 is outside and 1 inside.

    Returns:
        The vector, and the intercept less the threshold.

    Raises:
        DataError, OptionError, CalibrationError: as `ridge_gate` and `thresholds`.
    """
    weight, bias = ridge_gate(
        Moments.of(inside.flatten(1)), balanced([Moments.of(group.flatten(1)) for group in outside.values()]), gamma
    )
    limit = floor
    for group in calibration.values():
        scores = group.double().flatten(1) @ weight + bias
        limit = max(limit, float(thresholds(scores.unsqueeze(1), tail)))
    limit = min(limit, 0.5)
    return weight.view(inside.shape[1:]).float(), (bias - limit).float()
