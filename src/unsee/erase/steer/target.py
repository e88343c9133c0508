"""What a user calls the model, and the model in it whose decoder can be hooked."""

from dataclasses import dataclass
from typing import Any, final

from torch import nn
from transformers import PreTrainedModel

from unsee.errors import ModelError
from unsee.models import AbstractAdapter, adapter_for
from unsee.models.load import LoadedModel, digest_of


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
    adapter = given.adapter if isinstance(given, LoadedModel) else None
    model: Any = given.model if isinstance(given, LoadedModel) else given
    wrappers: list[nn.Module] = []
    while not isinstance(model, PreTrainedModel):
        if hasattr(model, "_orig_mod"):
            model = model._orig_mod
        elif hasattr(model, "get_base_model") and hasattr(model, "peft_config"):
            _require_no_virtual_tokens(model)
            wrappers.append(model)
            model = model.get_base_model()
        else:
            _refuse(model)
    return Target(model, adapter, digest_of(model), tuple(wrappers))


def _require_no_virtual_tokens(model: Any) -> None:
    learnt = [name for name, config in model.peft_config.items() if getattr(config, "is_prompt_learning", False)]
    if learnt:
        raise ModelError(
            f"the PEFT adapter(s) {', '.join(learnt)} put virtual tokens before each prompt, which no gate was fitted "
            "to read. Merge or remove them, or fit with a LoRA-like adapter."
        )


def _refuse(model: Any) -> None:
    kind = type(model).__name__
    if isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
        hint = "it runs copies of the model that hooks do not reach. Pass its .module, and call that one"
    elif isinstance(getattr(model, "model", None), nn.Module):
        hint = "pass the model in it, probably its .model"
    else:
        hint = "pass a model of transformers, a LoadedModel, or one that PEFT or torch.compile has wrapped"
    raise ModelError(f"got a {kind}, in which there is no model that can be steered: {hint}.")
