"""Where a call cannot be shown to have been steered, nothing is answered."""

import copy
from collections import OrderedDict
from collections.abc import Callable

import pytest
from torch import nn

from tiny_families import answer, logits, refused, require_clean, samples, steered
from tiny_llava import LAYERS
from unsee.erase.eraser import Eraser
from unsee.erase.steer.hooks import Steering
from unsee.errors import SteeringError
from unsee.models.generate import encode
from unsee.models.load import LoadedModel


@pytest.mark.parametrize("layer", range(LAYERS))
def test_a_skipped_block_is_an_error(loaded: LoadedModel, either: Eraser, layer: int) -> None:
    inputs = encode(loaded, samples(loaded))
    blocks = loaded.adapter.text_model(loaded.model).get_submodule("layers")
    assert isinstance(blocks, nn.ModuleList)
    whole = blocks[layer]

    def without(act: Callable[[], object]) -> Callable[[Steering], None]:
        def run(_: Steering) -> None:
            blocks[layer] = nn.Identity()
            blocks[layer].forward = lambda states, **_: states
            try:
                act()
            finally:
                blocks[layer] = whole

        return run

    refused(loaded, "to run once each and in order|not been decided", without(lambda: logits(loaded, inputs)), either)
    refused(loaded, "to run once each and in order|not been decided", without(lambda: answer(loaded, inputs)), either)


def test_a_bypassed_decoder_is_an_error(loaded: LoadedModel, either: Eraser) -> None:
    inputs = encode(loaded, samples(loaded))
    decoder = loaded.adapter.text_model(loaded.model)
    path = next(name for name, module in loaded.model.named_modules() if module is decoder)
    parent, _, own = path.rpartition(".")

    def run(_: Steering) -> None:
        unhooked = copy.copy(decoder)  # the same blocks and weights
        unhooked._forward_pre_hooks, unhooked._forward_hooks = OrderedDict(), OrderedDict()
        setattr(loaded.model.get_submodule(parent), own, unhooked)
        try:
            answer(loaded, inputs)
        finally:
            setattr(loaded.model.get_submodule(parent), own, decoder)

    refused(loaded, "ran outside a call of the decoder", run, either)

    def unhooked(_: Steering) -> None:
        hidden = [(module, module._forward_pre_hooks.copy()) for module in loaded.model.modules()]
        for module, _hooks in hidden:
            module._forward_pre_hooks.clear()
        try:
            answer(loaded, inputs)
        finally:
            for module, kept in hidden:
                module._forward_pre_hooks.update(kept)

    refused(loaded, "were to pass through the steered decoder, 0 did", unhooked, either)


def test_a_removed_hook_is_an_error(loaded: LoadedModel, either: Eraser) -> None:
    inputs = encode(loaded, samples(loaded))
    decoder = loaded.adapter.text_model(loaded.model)
    blocks = loaded.adapter.layers(loaded.model)
    for hooked, text in (
        (blocks[2]._forward_pre_hooks, "to run once each and in order"),
        (decoder._forward_pre_hooks, "ran outside a call of the decoder"),
        (decoder._forward_hooks, "has seen another prompt: 5 row.s., 0 columns so far"),
    ):
        with (
            pytest.raises(SteeringError, match="removed from the model inside the block"),
            steered(loaded, either),
        ):
            hooked.popitem()
            with pytest.raises(SteeringError, match=text):
                answer(loaded, inputs)
        require_clean(loaded.model)
    with pytest.raises(ZeroDivisionError), steered(loaded, either):  # the first error is the one to see
        blocks[0]._forward_pre_hooks.popitem()
        raise ZeroDivisionError
    require_clean(loaded.model)
