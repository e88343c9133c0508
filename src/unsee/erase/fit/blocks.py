"""What decoder blocks receive in one forward pass.

States are taken inside a forward pre-hook and not from `output_hidden_states`: what a block really
receives, steered or not, is only visible there. Every hook lives for one forward pass.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, TypeVar

import torch
from torch import nn

from unsee.errors import ModelError, OptionError
from unsee.models.load import LoadedModel
from unsee.shapes import Float, Tensor

R = TypeVar("R")


def named_blocks(loaded: LoadedModel, layers: Sequence[int]) -> dict[int, nn.Module]:
    """The modules of these blocks.

    Raises:
        OptionError: a layer is not legal.
    """
    blocks = loaded.adapter.layers(loaded.model)
    if not layers or len(set(layers)) != len(layers) or not all(0 <= layer < len(blocks) for layer in layers):
        raise OptionError(
            f"layers are {list(layers)}, expected one or more different numbers from 0 to {len(blocks) - 1} "
            f"for the {len(blocks)} decoder blocks of {loaded.name!r}"
        )
    return {layer: blocks[layer] for layer in layers}


class _Enough(Exception):
    """What was to be seen has been seen."""


def run_blocks(
    loaded: LoadedModel,
    layers: Sequence[int],
    inputs: Mapping[str, Tensor],
    reduce: Callable[[int, Float[Tensor, "B T D"]], R],
    *,
    to_the_end: bool = True,
) -> list[R]:
    """One forward pass; what `reduce` makes of the input of each block, in the order of the blocks.

    Only a pass to the end shows that no block runs twice. One such pass is enough to know it of a model; the others
    stop at the last input that is wanted, which spares what lies behind it.

    Raises:
        OptionError: a layer is not legal.
        ModelError: a block did not run exactly once.
    """
    blocks = named_blocks(loaded, layers)
    with torch.no_grad(), suppress(_Enough), _recording(blocks, reduce, stop=not to_the_end) as seen:
        loaded.model(**inputs, use_cache=False, logits_to_keep=1)
    for layer, records in seen.items():
        if len(records) != 1:
            raise ModelError(
                f"decoder block {layer} of {loaded.name!r} ran {len(records)} times in one forward pass, expected "
                "once. Its states would not be those of the prompt; load the model without wrappers that skip or "
                "repeat blocks."
            )
    return [records[0] for records in seen.values()]


@contextmanager
def _recording(
    blocks: Mapping[int, nn.Module], reduce: Callable[[int, Float[Tensor, "B T D"]], R], stop: bool
) -> Iterator[dict[int, list[R]]]:
    """While open, keeps `reduce(input)` of every call of every block; leaves no hook behind.

    With `stop`, raises `_Enough` at the last of them.
    """
    seen: dict[int, list[R]] = {layer: [] for layer in blocks}
    last = max(blocks)

    def keep(layer: int) -> Callable[[nn.Module, tuple[Any, ...], dict[str, Any]], None]:
        def hook(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            seen[layer].append(reduce(layer, args[0] if args else kwargs["hidden_states"]))
            if stop and layer == last:
                raise _Enough

        return hook

    with ExitStack() as handles:
        for layer, block in blocks.items():
            handles.callback(block.register_forward_pre_hook(keep(layer), with_kwargs=True).remove)
        yield seen
