"""Corrupted embeddings: where a list of names and faces fires, the words of the prompt reach the model with noise."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, final

import torch

from unsee.data.sample import Sample
from unsee.evals.answerers import PLAIN, How, Local, Switched
from unsee.methods.controls import NamesAndFaces
from unsee.methods.task import Made, Request
from unsee.models.load import LoadedModel
from unsee.registry import method
from unsee.shapes import Tensor


@final
@dataclass(frozen=True, eq=False)
class Corrupted:
    """A model whose prompt embeddings are moved by noise; its answers' own tokens are left alone.

    Attributes:
        inner: the model.
        noise: standard deviation, over that of the embedding matrix.
        seed: of the noise, the same in every call.
    """

    inner: Local
    noise: float
    seed: int = 0

    @property
    def about(self) -> Mapping[str, Any]:
        """The model and the noise."""
        return {**self.inner.about, "embedding_noise": self.noise}

    @property
    def loaded(self) -> LoadedModel:
        """The model."""
        return self.inner.loaded

    def order(self, samples: Sequence[Sample], how: How) -> list[int]:
        """As the model."""
        return self.inner.order(samples, how)

    def answers(self, samples: Sequence[Sample], how: How = PLAIN, begun: Sequence[str] = ()) -> list[str]:
        """As `Answerer.answers`."""
        with self._noisy():
            return self.inner.answers(samples, how, begun)

    @contextmanager
    def _noisy(self) -> Iterator[None]:
        model: Any = self.loaded.model
        table = model.get_input_embeddings()
        scale = self.noise * float(table.weight.detach().std())

        def add(module: object, given: object, states: Tensor) -> Tensor:
            del module, given
            if states.shape[-2] == 1:  # a token of the answer
                return states
            # Counted from the end and the same in every row, so that no row changes another.
            drawn = torch.randn(states.shape[-2:], generator=torch.Generator().manual_seed(self.seed)).flip(0)
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
    noisy = Corrupted(inner, 1.0 if request.value is None else request.value, request.seed)
    return Made(Switched(inner, noisy, gate.fires, gate.called), gate.stored)
