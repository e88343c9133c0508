"""Which model families are served: one table from `config.model_type` to the adapter that names its parts."""

from transformers import PreTrainedModel

from unsee.errors import ModelError
from unsee.models.adapter import AbstractAdapter
from unsee.models.generic import GenericAdapter
from unsee.models.llava import LlavaAdapter
from unsee.models.qwen_vl import QWEN2_5_VL, QWEN3_VL, QwenAdapter

__all__ = [
    "ADAPTERS",
    "TEXT_FAMILIES",
    "AbstractAdapter",
    "GenericAdapter",
    "LlavaAdapter",
    "QwenAdapter",
    "adapter_for",
    "adapter_named",
]

TEXT_FAMILIES = ("llama", "mistral", "qwen2", "qwen3", "gemma3_text", "smollm3", "olmo2", "phi3")
"""Causal language models whose decoder is `model` and whose blocks are `model.layers`."""
ADAPTERS: dict[str, AbstractAdapter] = {
    adapter.family: adapter
    for adapter in (
        *(LlavaAdapter(), QWEN2_5_VL, QWEN3_VL),
        *(GenericAdapter(family, "model") for family in TEXT_FAMILIES),
    )
}


def adapter_named(family: str) -> AbstractAdapter:
    """The adapter of a family.

    Raises:
        ModelError: no adapter serves it; the message lists those that are served.
    """
    if family not in ADAPTERS:
        raise ModelError(
            f"the model's family is {family!r}, supported families are {sorted(ADAPTERS)}. "
            "Choose a checkpoint whose config.json has one of these as model_type, or say where its parts are: "
            f"--family {family} --layers model.layers on the command line, adapter=GenericAdapter(...) in Python."
        )
    return ADAPTERS[family]


def adapter_for(model: PreTrainedModel) -> AbstractAdapter:
    """The adapter of a loaded model.

    Raises:
        ModelError: no adapter serves its family.
    """
    return adapter_named(model.config.model_type)
