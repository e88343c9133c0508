"""Which model families are served: one table from `config.model_type` to the adapter that names its parts."""

from transformers import PreTrainedModel

from unsee.errors import ModelError
from unsee.models.adapter import AbstractAdapter
from unsee.models.llava import LlavaAdapter

__all__ = ["ADAPTERS", "AbstractAdapter", "LlavaAdapter", "adapter_for", "adapter_named"]

ADAPTERS: dict[str, AbstractAdapter] = {adapter.family: adapter for adapter in (LlavaAdapter(),)}


def adapter_named(family: str) -> AbstractAdapter:
    """The adapter of a family.

    Raises:
        ModelError: no adapter serves it; the message lists those that are served.
    """
    if family not in ADAPTERS:
        raise ModelError(
            f"the model's family is {family!r}, supported families are {sorted(ADAPTERS)}. "
            "Choose a checkpoint whose config.json has one of these as model_type, or add an adapter."
        )
    return ADAPTERS[family]


def adapter_for(model: PreTrainedModel) -> AbstractAdapter:
    """The adapter of a loaded model.

    Raises:
        ModelError: no adapter serves its family.
    """
    return adapter_named(model.config.model_type)
