"""Causal language models whose decoder is `model` and whose blocks are `model.layers`: text alone."""

from collections.abc import Callable
from typing import Final

from unsee.models.generic import GenericAdapter
from unsee.registry import model

TEXT_FAMILIES: Final = ("llama", "mistral", "qwen2", "qwen3", "gemma3_text", "smollm3", "olmo2", "phi3")


def _adapter_of(family: str) -> Callable[[], GenericAdapter]:
    def make() -> GenericAdapter:
        return GenericAdapter(family, "model")

    make.__doc__ = f"{family}, text alone."
    return make


for _family in TEXT_FAMILIES:
    model(_family)(_adapter_of(_family))
