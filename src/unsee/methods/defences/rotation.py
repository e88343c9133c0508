"""Steering that changes no length: every state is turned by an angle towards a direction."""

import math
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

import torch
from torch.nn.functional import normalize

from unsee.models.load import LoadedModel
from unsee.shapes import Float, Tensor


def rotated(states: Float[Tensor, "B T D"], towards: Float[Tensor, " D"], degrees: float) -> Float[Tensor, "B T D"]:
    """`|h| (cos a h/|h| + sin a v)`, with v the unit part of the direction that is orthogonal to h."""
    length = states.norm(dim=-1, keepdim=True)
    along = states / length
    across = normalize(towards - (along @ towards).unsqueeze(-1) * along, dim=-1)
    angle = math.radians(degrees)
    return length * (math.cos(angle) * along + math.sin(angle) * across)


@contextmanager
def turned(loaded: LoadedModel, towards: Mapping[int, Float[Tensor, " D"]], degrees: float) -> Iterator[None]:
    """States are turned at the input of some blocks, from the last prompt token on.

    Args:
        loaded: the model; prompts are padded on the left, so that the last column is the last token of all.
        towards: direction by block.
        degrees: how far, in (0, 180).
    """
    blocks = loaded.adapter.layers(loaded.model)
    with ExitStack() as stack:
        for layer, vector in towards.items():

            def turn(block: object, given: tuple[Tensor, ...], vector: Tensor = vector) -> tuple[Tensor, ...]:
                del block
                states, *rest = given
                last = rotated(states[:, -1:].float(), vector.to(states.device, torch.float32), degrees).to(states)
                return (torch.cat([states[:, :-1], last], 1), *rest)

            stack.callback(blocks[layer].register_forward_pre_hook(turn).remove)
        yield
