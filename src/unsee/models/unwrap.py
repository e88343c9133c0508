"""The model of transformers inside what a user calls the model."""

from typing import Any, NoReturn

from torch import nn
from transformers import PreTrainedModel

from unsee.errors import ModelError


def unwrapped(model: Any) -> tuple[PreTrainedModel, tuple[nn.Module, ...]]:
    """The model that torch.compile or PEFT has wrapped, and the modules around it through which it may be called.

    Raises:
        ModelError: there is no model in it that hooks can reach; says what to pass.
    """
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
    return model, tuple(wrappers)


def _require_no_virtual_tokens(model: Any) -> None:
    learnt = [name for name, config in model.peft_config.items() if getattr(config, "is_prompt_learning", False)]
    if learnt:
        raise ModelError(
            f"the PEFT adapter(s) {', '.join(learnt)} put virtual tokens before each prompt, which no gate was fitted "
            "to read. Merge or remove them, or fit with a LoRA-like adapter."
        )


def _refuse(model: Any) -> NoReturn:
    kind = type(model).__name__
    if isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
        hint = "it runs copies of the model that hooks do not reach. Pass its .module, and call that one"
    elif isinstance(getattr(model, "model", None), nn.Module):
        hint = "pass the model in it, probably its .model"
    else:
        hint = "pass a model of transformers, a LoadedModel, or one that PEFT or torch.compile has wrapped"
    raise ModelError(f"got a {kind}, in which there is no model that can be steered: {hint}.")
