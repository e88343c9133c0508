"""What a user calls the model, and the model in it whose decoder can be hooked."""

from dataclasses import dataclass
from typing import Any, final

from torch import nn
from transformers import PreTrainedModel

from unsee.models import AbstractAdapter, adapter_for
from unsee.models.load import LoadedModel, digest_of
from unsee.models.unwrap import unwrapped


@final
@dataclass(frozen=True, eq=False)
class Target:
    """A model to be steered.

    Attributes:
        model: whose decoder is hooked.
        adapter: names its parts, where the user's object said so.
        digest: of its weights as they were loaded, where it is known.
        wrappers: modules around it through which it may be called without being called itself.
    """

    model: PreTrainedModel
    adapter: AbstractAdapter | None
    digest: str | None
    wrappers: tuple[nn.Module, ...] = ()

    def named(self, adapter: AbstractAdapter | None) -> AbstractAdapter:
        """The adapter: the one given, else that of the loaded model, else that of the family.

        Raises:
            ModelError: no adapter serves the family.
        """
        return adapter or self.adapter or adapter_for(self.model)


def target_of(given: Any) -> Target:
    """Unwrap a `LoadedModel`, what torch.compile or PEFT has wrapped, or nothing.

    Raises:
        ModelError: there is no model in it that hooks can reach; says what to pass.
    """
    loaded = isinstance(given, LoadedModel)
    model, wrappers = unwrapped(given.model if loaded else given)
    return Target(model, given.adapter if loaded else None, digest_of(model), wrappers)
