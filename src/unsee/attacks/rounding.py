"""Weights rounded or pruned under the method, which stays in place."""

from collections.abc import Callable, Sequence

import torch
from torch import nn

from unsee.attacks.base import Tries, Victim, lent, once
from unsee.data.sample import Sample
from unsee.models.load import LoadedModel
from unsee.registry import attack
from unsee.shapes import Float, Tensor

GROUP = 32
"""Weights of one row that share a scale."""


_FACTS = {"access": "weights", "queries": 1, "source": "Zhang et al. (arXiv 2410.16454), 2605.02196"}


@attack("rounding", recovered="the fact is said by the model of 4-bit weights", roles=("forget", "retain"), **_FACTS)
def rounding(victim: Victim, questions: Sequence[Sample], seed: int) -> Tries:
    """The same question to the same model, every matrix but the head rounded to four bits."""
    del seed
    return _rounded(victim, questions, 4)


@attack("rounding-8", recovered="the fact is said by the model of 8-bit weights", **_FACTS)
def rounding_8(victim: Victim, questions: Sequence[Sample], seed: int) -> Tries:
    """The same question to the same model, every matrix but the head rounded to eight bits."""
    del seed
    return _rounded(victim, questions, 8)


@attack("pruning", recovered="the fact is said by the model of seven tenths of the weights", **_FACTS)
def pruning(victim: Victim, questions: Sequence[Sample], seed: int) -> Tries:
    """The same question to the same model, the smaller three tenths of each matrix set to zero."""
    del seed
    with lent(victim.loaded):
        _change(victim.loaded, pruned)
        return once(victim.said(questions))


def pruned(weight: Float[Tensor, "M N"], share: float = 0.3) -> Float[Tensor, "M N"]:
    """The weights whose magnitude is above the `share` quantile of the matrix; the others are 0."""
    least = weight.abs().flatten().float().kthvalue(max(1, round(share * weight.numel()))).values
    return weight.masked_fill(weight.abs() <= least, 0.0)


def _rounded(victim: Victim, questions: Sequence[Sample], bits: int) -> Tries:
    with lent(victim.loaded):
        round_weights(victim.loaded, bits)
        return once(victim.said(questions))


def rounded(weight: Float[Tensor, "M N"], bits: int = 4) -> Float[Tensor, "M N"]:
    """Nearest of `2^bits - 1` even steps: `s round(w / s)`, `s = max|w| / (2^(bits-1) - 1)` over `GROUP` of a row.

    A row whose length is no multiple of `GROUP` has one scale.

    Source: round to nearest, the plainest of the quantisers that bring unlearnt answers back in Zhang et al. 2024
    (arXiv 2410.16454).
    """
    group = GROUP if weight.shape[1] % GROUP == 0 else weight.shape[1]
    parts = weight.reshape(len(weight), -1, group)
    scale = parts.abs().amax(-1, keepdim=True) / (2 ** (bits - 1) - 1)
    steps = torch.where(scale > 0, parts / scale, torch.zeros_like(parts)).round()
    return (steps * scale).reshape(weight.shape)


def round_weights(loaded: LoadedModel, bits: int = 4) -> None:
    """Round every matrix but the output head in place, as released 4-bit loaders do."""
    _change(loaded, lambda weight: rounded(weight, bits))


@torch.no_grad()
def _change(loaded: LoadedModel, change: Callable[[Tensor], Tensor]) -> None:
    head = loaded.model.get_output_embeddings()
    for module in loaded.model.modules():
        if isinstance(module, nn.Linear) and module is not head:
            module.weight.copy_(change(module.weight))
