"""Steering that changes no length: every state is turned by an angle towards a direction."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, final

import torch
from torch.nn.functional import normalize

from unsee.data.sample import Sample
from unsee.evals.answerers import PLAIN, How, Local
from unsee.models.load import LoadedModel
from unsee.shapes import Float, Tensor


def rotated(states: Float[Tensor, "B T D"], towards: Float[Tensor, " D"], degrees: float) -> Float[Tensor, "B T D"]:
    """`|h| (cos a h/|h| + sin a v)`, with v the unit part of the direction that is orthogonal to h."""
    length = states.norm(dim=-1, keepdim=True)
    along = states / length
    across = normalize(towards - (along @ towards).unsqueeze(-1) * along, dim=-1)
    angle = math.radians(degrees)
    return length * (math.cos(angle) * along + math.sin(angle) * across)


@final
@dataclass(frozen=True, eq=False)
class Rotated:
    """A model whose states are turned at the input of some blocks, from the last prompt token on.

    Attributes:
        inner: the model; prompts are padded on the left, so that the last column is the last token of all.
        towards: direction by block.
        degrees: how far, in (0, 180).
    """

    inner: Local
    towards: Mapping[int, Float[Tensor, " D"]]
    degrees: float

    @property
    def about(self) -> Mapping[str, Any]:
        """The model, blocks and angle."""
        return {**self.inner.about, "rotated": list(self.towards), "degrees": self.degrees}

    @property
    def loaded(self) -> LoadedModel:
        """The model."""
        return self.inner.loaded

    def order(self, samples: Sequence[Sample], how: How) -> list[int]:
        """As the model."""
        return self.inner.order(samples, how)

    def answers(self, samples: Sequence[Sample], how: How = PLAIN, begun: Sequence[str] = ()) -> list[str]:
        """As `Answerer.answers`."""
        with self._turned():
            return self.inner.answers(samples, how, begun)

    @contextmanager
    def _turned(self) -> Iterator[None]:
        blocks = self.loaded.adapter.layers(self.loaded.model)
        with ExitStack() as stack:
            for layer, vector in self.towards.items():

                def turn(block: object, given: tuple[Tensor, ...], vector: Tensor = vector) -> tuple[Tensor, ...]:
                    del block
                    states, *rest = given
                    last = rotated(states[:, -1:].float(), vector.to(states.device, torch.float32), self.degrees).to(
                        states
                    )
                    return (torch.cat([states[:, :-1], last], 1), *rest)

                stack.callback(blocks[layer].register_forward_pre_hook(turn).remove)
            yield
