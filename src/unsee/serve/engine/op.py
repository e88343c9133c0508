"""The one operator that steering adds to a model's graph: `unsee::steer`, run before each decoder block.

It is opaque to compilers and changes its argument, so that no pass can fold it, drop it or move it. What it does
depends on tables outside the graph, so that a graph is right for whatever is loaded later.
"""

from collections.abc import Callable, Sequence
from typing import Any
from weakref import WeakValueDictionary

import torch
from torch import nn

from unsee.serve.engine.steerer import Steerer

NAME = "unsee::steer"

# An operator takes tensors, numbers and texts only, so it has to find the rest by name.
_STEERERS: WeakValueDictionary[int, Steerer] = WeakValueDictionary()
_LIBRARY = torch.library.Library("unsee", "DEF")
_LIBRARY.define("steer(Tensor(a!) hidden, Tensor? residual, int steerer, int layer) -> ()")


def install(blocks: Sequence[nn.Module], number: int) -> None:
    """Run the operator before each of these blocks, on what vLLM hands them: `(positions, hidden, residual)`."""
    for layer, block in enumerate(blocks):
        block.register_forward_pre_hook(_before(number, layer), with_kwargs=True)


def serve(number: int, steerer: Steerer) -> None:
    """Let the operator find a steerer; until then it does nothing, which is right while memory is measured."""
    _STEERERS[number] = steerer


def _before(number: int, layer: int) -> Callable[..., None]:
    def hook(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        named = dict(zip(("positions", "hidden_states", "residual"), args, strict=False)) | kwargs
        # The stream is the sum of both; a block adds the second to the first before it does anything else.
        stream = named["hidden_states"], named.get("residual")
        if torch.compiler.is_compiling():
            torch.ops.unsee.steer(*stream, number, layer)
        else:
            _steer(*stream, number, layer)  # the same, without the way through the dispatcher

    return hook


def _steer(hidden: torch.Tensor, residual: torch.Tensor | None, steerer: int, layer: int) -> None:
    found = _STEERERS.get(steerer)
    if found is not None:
        found.visit(layer, hidden, residual)


def _shapes_only(hidden: torch.Tensor, residual: torch.Tensor | None, steerer: int, layer: int) -> None:
    del hidden, residual, steerer, layer


for _key in ("CPU", "CUDA"):
    _LIBRARY.impl("steer", _steer, _key)
_LIBRARY._register_fake("steer", _shapes_only)
