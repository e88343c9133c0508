"""Which weights a run trains, what they were before, and what is left at the end."""

import copy
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, final

import torch
from torch import nn

from unsee.errors import OptionError
from unsee.methods.errors import MethodError, extra
from unsee.methods.settings import TrainSettings
from unsee.models.digest import weights_digest
from unsee.models.load import LoadedModel, load
from unsee.shapes import Tensor


def fresh(loaded: LoadedModel) -> LoadedModel:
    """A copy that may be trained while the original stays as it is; twice the memory."""
    return replace(loaded, model=copy.deepcopy(loaded.model))


def down_projection(loaded: LoadedModel, layer: int) -> nn.Linear:
    """`mlp.down_proj` of one decoder block.

    Raises:
        OptionError: there is no such block.
        MethodError: the block has no such matrix, as in a mixture of experts.
    """
    blocks = loaded.adapter.layers(loaded.model)
    if not 0 <= layer < len(blocks):
        raise OptionError(f"layer is {layer}, expected 0 to {len(blocks) - 1} for the {len(blocks)} decoder blocks.")
    module = blocks[layer]
    for part in ("mlp", "down_proj"):
        module = dict(module.named_children()).get(part)
        if module is None:
            break
    if not isinstance(module, nn.Linear):
        raise MethodError(
            f"the method changes mlp.down_proj of decoder block {layer}, but the family {loaded.adapter.family!r} has "
            f"none there (got {type(module).__name__}). Choose a method that trains low-rank adapters, such as 'npo'."
        )
    return module


@contextmanager
def reading_of(modules: Mapping[str, nn.Module], outputs: bool) -> Iterator[dict[str, Tensor]]:
    """While open, what each of these modules gave, or got, in the latest call; leaves no hook behind."""
    seen: dict[str, Tensor] = {}

    def keep(name: str) -> Any:
        def hook(_: nn.Module, args: tuple[Tensor, ...], output: Any) -> None:
            seen[name] = args[0] if not outputs else output[0] if isinstance(output, tuple) else output

        return hook

    with ExitStack() as handles:
        for name, module in modules.items():
            handles.callback(module.register_forward_hook(keep(name)).remove)
        yield seen


def changed_bytes(before: LoadedModel, after: LoadedModel) -> int:
    """Bytes of the tensors that differ: what has to be kept beside the base model, uncompressed."""
    old = before.model.state_dict()
    return sum(
        value.numel() * value.element_size()
        for name, value in after.model.state_dict().items()
        if not torch.equal(value.cpu().to(old[name].dtype), old[name].cpu())
    )


def default_layer(loaded: LoadedModel, method: str) -> int:
    """The published block at this depth: RMU block 7 of 32, ASRU block 17 of 36; never the last one."""
    depth = len(loaded.adapter.layers(loaded.model))
    share = {"rmu": 7 / 32, "asru_gradient": 17 / 36}[method]
    return max(0, min(round(share * depth), depth - 2))


def shard_by_block(plugin: Any, loaded: LoadedModel) -> None:
    """Make accelerate's FSDP plugin shard decoder block by decoder block.

    Left to itself it goes by a list of the model class, which for LLaVA names a class that the model does not have, and
    stops there.
    """
    plugin.transformer_cls_names_to_wrap = sorted(
        {type(block).__name__ for block in loaded.adapter.layers(loaded.model)}
    )


@final
class Trained:
    """A model with the weights of a run set free: adapters, everything, or a few down-projections.

    Attributes:
        model: what the trainer trains; a PEFT model where adapters are trained.
    """

    def __init__(
        self, loaded: LoadedModel, settings: TrainSettings, frozen: bool, matrices: Iterable[nn.Linear] = ()
    ) -> None:
        chosen = list(matrices)
        self._loaded = loaded
        self._lora = settings.lora and not chosen
        self._before: nn.Module | None = None
        model: Any = loaded.model
        if self._lora:
            self.model = extra("peft").get_peft_model(model, adapter_config(loaded, settings))
            return
        if model.dtype in (torch.float16, torch.bfloat16):
            model.float()  # a step of 1e-5 is lost in half precision
        if frozen:
            self._before = copy.deepcopy(model).eval().requires_grad_(False)
        model.requires_grad_(False)
        parts = [loaded.adapter.text_model(model)] if settings.parts == "language" else [model]
        free = [matrix.weight for matrix in chosen] or [p for part in parts for p in part.parameters()]
        for parameter in free:
            parameter.requires_grad_(True)
        self.model = model

    @contextmanager
    def before(self, wrapped: nn.Module) -> Iterator[nn.Module]:
        """The model as it was, without dropout and without gradients."""
        training = wrapped.training
        model: Any = self.model
        try:
            wrapped.eval()
            with torch.no_grad():
                if self._before is not None:
                    yield self._before.to(next(wrapped.parameters()).device)
                else:
                    with model.disable_adapter():
                        yield wrapped
        finally:
            wrapped.train(training)

    def twin(self, block: nn.Module) -> nn.Module:
        """The same block in the model that `before` hands out."""
        if self._before is None:
            return block
        name = next(name for name, module in self.model.named_modules() if module is block)
        return self._before.get_submodule(name)

    def adapters(self) -> Any:
        """The PEFT model, or None."""
        return self.model if self._lora else None

    def merged(self) -> LoadedModel:
        """The trained model as `load` would return it; adapters become part of the weights."""
        model: Any = self.model
        model = (model.merge_and_unload() if self._lora else model).eval()
        model.requires_grad_(True)
        return replace(self._loaded, model=model, digest=weights_digest(model))

    def save_processor(self, out: Path) -> None:
        """Write what a checkpoint folder has beside its weights."""
        self._loaded.processor.save_pretrained(out)

    def reloaded(self, out: Path) -> LoadedModel:
        """The result of a sharded run, read from the disk; adapters are merged into the weights they were made for."""
        if not self._lora:
            return load(out)
        start = load(self._loaded.name, revision=self._loaded.revision)
        model: Any = extra("peft").PeftModel.from_pretrained(start.model, out / "adapter").merge_and_unload()
        if int(os.environ.get("RANK", "0")) == 0:
            model.save_pretrained(out)
        return replace(start, model=model.eval(), digest=weights_digest(model))


def adapter_config(loaded: LoadedModel, settings: TrainSettings) -> Any:
    """PEFT's configuration: every matrix of the chosen part but the output head, named in full.

    Raises:
        MissingExtraError: peft is not installed.
    """
    model: Any = loaded.model
    head = model.get_output_embeddings()
    inside = loaded.adapter.text_model(model) if settings.parts == "language" else model
    wanted = {id(module) for module in inside.modules() if isinstance(module, nn.Linear) and module is not head}
    return extra("peft").LoraConfig(
        r=settings.rank,
        lora_alpha=settings.lora_alpha,
        lora_dropout=settings.dropout,
        init_lora_weights="gaussian",
        target_modules=[name for name, module in model.named_modules() if id(module) in wanted],
    )
