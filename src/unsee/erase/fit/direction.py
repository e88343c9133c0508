"""The erasure direction: what refusing differs in from answering, once per model and layer.

Also how well that direction separates prompts it was not fitted on, and the random direction of equal length
that every result is compared with.
"""

from dataclasses import dataclass
from typing import final

import torch
from torch.nn.functional import cosine_similarity

from unsee.erase.fit.moments import auc, require_finite
from unsee.errors import DataError, DirectionError
from unsee.shapes import Float, Int, Tensor


@final
@dataclass(frozen=True, eq=False)
class Separation:
    """How far a direction can be trusted, layer by layer, judged on prompts it was not fitted on.

    Attributes:
        auc: probability that an erasure prompt projects further than a recall prompt; 0.5 is chance.
        cosine: between the directions of two disjoint halves of the prompts, in [-1, 1]; 0 where one of them is zero.
    """

    auc: Float[Tensor, " L"]
    cosine: Float[Tensor, " L"]


def erasure_direction(erasure: Float[Tensor, "N L D"], recall: Float[Tensor, "M L D"]) -> Float[Tensor, "L D"]:
    """Difference of means, `d_l = mean_i erasure[i, l] - mean_j recall[j, l]`, in float64, not normalised.

    A layer may come out as exactly zero: the last prompt token is the same template token in every prompt, so the
    input of block 0 does not differ between prompts. Leave such a layer out of the steered ones.

    Args:
        erasure: states of prompts that the model refuses (D+), at the input of each block, last prompt token.
        recall: states of prompts that the model complies with (D-), at the same place.

    Raises:
        DataError: a set is empty or not finite, or the two sets come from different layers or widths.
        DirectionError: the means are equal in every layer.

    Source: MLLMEraser (arXiv 2510.04217), erasure direction. The released code stores the negative and steers with
    a negative strength, which comes to the same.
    """
    _require_comparable(erasure, recall, least=1)
    direction = erasure.double().mean(0) - recall.double().mean(0)
    if not direction.any():
        raise DirectionError(
            "the erasure and the recall prompts have equal mean states in every layer, so there is no direction. "
            "Expected two different sets: prompts that the model refuses, and prompts that it answers."
        )
    return direction


def separation(
    erasure: Float[Tensor, "N L D"], recall: Float[Tensor, "M L D"], generator: torch.Generator | None = None
) -> Separation:
    """Two-fold check of `erasure_direction`: fit on one half of the prompts, judge on the other, then swap.

    Judging a direction on its own prompts is worthless in a wide stream: with D > N even noise separates perfectly.
    The AUC is the mean over the two folds.

    Args:
        erasure: as for `erasure_direction`. Rows must be independent prompts: the halves are made of rows.
        recall: likewise.
        generator: shuffles the rows before they are halved; without it even rows go against odd rows.

    Raises:
        DataError: a set has fewer than two prompts, is not finite, or does not match the other.
    """
    _require_comparable(erasure, recall, least=2)
    erasure_halves = [erasure[half].double() for half in _halves(erasure, generator)]
    recall_halves = [recall[half].double() for half in _halves(recall, generator)]
    directions = [e.mean(0) - r.mean(0) for e, r in zip(erasure_halves, recall_halves, strict=True)]
    folds = [
        _projection_auc(erasure_halves[1 - fitted], recall_halves[1 - fitted], directions[fitted]) for fitted in (0, 1)
    ]
    return Separation(auc=(folds[0] + folds[1]) / 2, cosine=cosine_similarity(*directions, dim=-1))


def random_direction(direction: Float[Tensor, "*batch D"], generator: torch.Generator) -> Float[Tensor, "*batch D"]:
    """The control: uniformly random vectors `|d_l| u / |u|`, `u` normal, with the length of each given vector.

    The same generator seed gives the same vectors on every device only if the generator itself is on the CPU.

    Raises:
        DataError: the direction is not finite.
    """
    require_finite(direction, "directions")
    noise = torch.randn(direction.shape, generator=generator, dtype=torch.float64, device=generator.device)
    noise = noise.to(direction.device)
    length = direction.double().norm(dim=-1, keepdim=True)
    return (noise / noise.norm(dim=-1, keepdim=True) * length).to(direction.dtype)


def _projection_auc(
    erasure: Float[Tensor, "N L D"], recall: Float[Tensor, "M L D"], direction: Float[Tensor, "L D"]
) -> Float[Tensor, " L"]:
    above = (erasure * direction).sum(-1)
    below = (recall * direction).sum(-1)
    return direction.new_tensor([auc(a, b) for a, b in zip(above.unbind(1), below.unbind(1), strict=True)])


def _halves(
    states: Float[Tensor, "N L D"], generator: torch.Generator | None
) -> tuple[Int[Tensor, " A"], Int[Tensor, " B"]]:
    if generator is None:
        order = torch.arange(states.shape[0], device=states.device)
    else:
        order = torch.randperm(states.shape[0], generator=generator, device=generator.device).to(states.device)
    return order[0::2], order[1::2]


def _require_comparable(erasure: Float[Tensor, "N _ _"], recall: Float[Tensor, "M _ _"], least: int) -> None:
    for states, name in ((erasure, "erasure"), (recall, "recall")):
        require_finite(states, f"{name} states")
        if states.shape[0] < least:
            raise DataError(f"the {name} set has {states.shape[0]} prompt(s), expected at least {least}. Add prompts.")
    # Without this check a single layer would be broadcast against all of them.
    if erasure.shape[1:] != recall.shape[1:]:
        raise DataError(
            f"erasure states have (layers, width) {tuple(erasure.shape[1:])} but recall states "
            f"{tuple(recall.shape[1:])}. Capture both with the same model and the same layers."
        )
