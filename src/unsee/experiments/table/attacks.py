"""Does it last: the same method over weights rounded to four bits, and over weights that an attacker has trained."""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn

from unsee.data.sample import Sample, require_some
from unsee.methods.rows import with_answers
from unsee.models.load import LoadedModel
from unsee.shapes import Float, Tensor

GROUP = 32
"""Weights of one row that share a scale."""
RATE = 3e-4
"""Step size of the attacker's AdamW."""


@contextmanager
def lent(loaded: LoadedModel) -> Iterator[None]:
    """Weights may be changed while open; they are put back bit for bit."""
    state = {name: value.clone() for name, value in loaded.model.state_dict().items()}
    try:
        yield
    finally:
        loaded.model.load_state_dict(state)


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


@torch.no_grad()
def round_weights(loaded: LoadedModel, bits: int = 4) -> None:
    """Round every matrix but the output head in place, as released 4-bit loaders do."""
    head = loaded.model.get_output_embeddings()
    for module in loaded.model.modules():
        if isinstance(module, nn.Linear) and module is not head:
            module.weight.copy_(rounded(module.weight, bits))


def relearn(
    loaded: LoadedModel,
    samples: Sequence[Sample],
    steps: int,
    *,
    batch: int = 8,
    rate: float = RATE,
    seed: int = 0,
) -> None:
    """Train the language model on true answers, in place, by `steps` of AdamW.

    Raises:
        DataError: no sample, or one without an answer.
    """
    require_some(samples, "relearning")
    rng = random.Random(f"relearn/{seed}")
    free = list(loaded.adapter.text_model(loaded.model).parameters())
    optimiser = torch.optim.AdamW(free, lr=rate, weight_decay=0.0)
    for _ in range(steps):
        rows = rng.sample(list(samples), min(batch, len(samples)))
        loaded.model(**with_answers(loaded, rows, [sample.answer for sample in rows])).loss.backward(inputs=free)
        nn.utils.clip_grad_norm_(free, 1.0)
        optimiser.step()
        loaded.model.zero_grad(set_to_none=True)
