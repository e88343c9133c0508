"""Which model families are served: by `config.model_type`, the adapter that names its parts."""

from transformers import PreTrainedModel

from unsee.errors import ModelError
from unsee.models.adapter import AbstractAdapter
from unsee.models.generic import GenericAdapter
from unsee.models.llava import LlavaAdapter
from unsee.models.qwen_vl import QwenAdapter
from unsee.registry import MODELS

__all__ = [
    "AbstractAdapter",
    "GenericAdapter",
    "LlavaAdapter",
    "QwenAdapter",
    "adapter_for",
    "adapter_named",
]


def adapter_named(family: str) -> AbstractAdapter:
    """The adapter of a family.

    Raises:
        ModelError: no adapter serves it; the message lists those that are served.
    """
    if family not in MODELS:
        raise ModelError(
            f"the model's family is {family!r}, supported families are {MODELS.names()}. "
            "Choose a checkpoint whose config.json has one of these as model_type, or say where its parts are: "
            f"--family {family} --layers model.layers on the command line, adapter=GenericAdapter(...) in Python."
        )
    return MODELS.named(family).make()


def adapter_for(model: PreTrainedModel) -> AbstractAdapter:
    """The adapter of a loaded model.

    Raises:
        ModelError: no adapter serves its family.
    """
    return adapter_named(model.config.model_type)
