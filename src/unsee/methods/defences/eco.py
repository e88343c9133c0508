"""Corrupted embeddings: where a list of names and faces fires, the words of the prompt reach the model with noise."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch

from unsee.evals.answerers import Local, Switched
from unsee.methods.controls import NamesAndFaces
from unsee.methods.task import Made, Request
from unsee.models.load import LoadedModel
from unsee.registry import method
from unsee.shapes import Tensor


@contextmanager
def noisy(loaded: LoadedModel, noise: float, seed: int = 0) -> Iterator[None]:
    """Embeddings of prompts are moved by noise, whose deviation is so many times that of the embedding matrix.

    Tokens of an answer are left alone.
    """
    model: Any = loaded.model
    table = model.get_input_embeddings()
    scale = noise * float(table.weight.detach().std())

    def add(module: object, given: object, states: Tensor) -> Tensor:
        del module, given
        if states.shape[-2] == 1:  # a token of the answer
            return states
        # Counted from the end and the same in every row, so that no row changes another.
        drawn = torch.randn(states.shape[-2:], generator=torch.Generator().manual_seed(seed)).flip(0)
        return states + scale * drawn.to(states)

    handle = table.register_forward_hook(add)
    try:
        yield
    finally:
        handle.remove()


@method("eco", kind="filtered", knob="noise", values=(0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0))
def eco(request: Request) -> Made:
    """ECO's kind: where a list of names and faces fires, the prompt's embeddings are corrupted by noise.

    Images are not: a place of an image takes its tokens after the words are embedded.

    Source: ECO (arXiv 2406.07933), from its description: a prompt classifier and noise whose size is searched.
    """
    gate, inner = NamesAndFaces.of(request), Local(request.loaded)
    noise = 1.0 if request.value is None else float(request.value)
    within = partial(noisy, request.loaded, noise, request.seed)
    return Made(Switched(inner, inner, gate.fires, f"{gate.called}; noise {noise:g}", within), gate.stored)
