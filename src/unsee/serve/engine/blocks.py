"""Which modules of vLLM's models are the decoder blocks: named per family, never guessed."""

from typing import Any

from torch import nn

from unsee.errors import ModelError

_PATHS = {
    "llava": "language_model.model.layers",
    "qwen2_5_vl": "language_model.model.layers",
    "qwen3_vl": "language_model.model.layers",
}
"""By `config.model_type`."""


def decoder_blocks(model: nn.Module, config: Any) -> list[nn.Module]:
    """The blocks, first to last.

    Raises:
        ModelError: a family that is not served, or not as many blocks as the configuration says.
    """
    family = config.model_type
    if family not in _PATHS:
        raise ModelError(
            f"models of family {family!r} are not served steered, expected one of {sorted(_PATHS)}. Name its decoder "
            "blocks in unsee.serve.engine.blocks, with a parity test."
        )
    expected = int(config.get_text_config().num_hidden_layers)
    try:
        found = model.get_submodule(_PATHS[family])
    except AttributeError:
        found = None
    blocks = list(found) if isinstance(found, nn.ModuleList) else []
    if len(blocks) != expected:
        raise ModelError(
            f"found {len(blocks)} decoder blocks at {_PATHS[family]} of {type(model).__name__}, but its configuration "
            f"says {expected}. Steering a part of the layers would be silent, so nothing is served."
        )
    return blocks
