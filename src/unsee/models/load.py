"""From a directory or a hub id to a model that is complete, or to an error that says what is wrong with it.

The library below loads a checkpoint with missing weights and only warns; an eraser fitted on random
blocks would be worthless, so everything short of a complete checkpoint is refused here.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NoReturn, final, get_args

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase, ProcessorMixin

from unsee.errors import ModelError, OptionError
from unsee.models import adapter_for, adapter_named
from unsee.models.adapter import AbstractAdapter, require_prompting
from unsee.models.digest import digest_of_files, states_of_files, weights_digest
from unsee.models.names import located
from unsee.models.quiet import no_bar
from unsee.models.text import TextProcessor
from unsee.models.unwrap import unwrapped

Precision = Literal["auto", "float32", "bfloat16", "float16"]

# Each of these was seen to leave transformers 5.23 for some damaged directory; there is no common root.
_UNREADABLE = (
    ImportError,
    OSError,
    ValueError,
    RuntimeError,
    KeyError,
    TypeError,
    SafetensorError,
    StrictDataclassError,
)

_DIGEST = "unsee_weights_digest"


@final
@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A complete model with everything needed to ask it.

    Attributes:
        model: in evaluation mode, on its device.
        processor: with a tokenizer that pads on the left.
        adapter: names the model's parts.
        name: what it was asked for by: a directory, a hub id, or `real:smollm2`.
        revision: the hub revision asked for, if any.
        digest: `weights_digest` of the weights as stored, before any change of precision: the same on every device.
    """

    model: PreTrainedModel = field(repr=False)
    processor: ProcessorMixin = field(repr=False)
    adapter: AbstractAdapter = field(repr=False)
    name: str
    revision: str | None
    digest: str

    def __post_init__(self) -> None:
        # On the model itself, so that whoever is handed the model alone can still tell which weights it has.
        if isinstance(self.model, nn.Module):
            self.model.__dict__[_DIGEST] = self.digest

    @property
    def device(self) -> torch.device:
        """Where inputs go: to the embeddings, also when their weights wait elsewhere between calls."""
        embeddings: Any = self.model.get_input_embeddings()
        waiting = getattr(embeddings, "_hf_hook", None)
        if self.model.device.type != "meta" or waiting is None:
            return self.model.device
        return torch.device(waiting.execution_device)


def digest_of(model: nn.Module) -> str | None:
    """`LoadedModel.digest` of a model that was loaded by unsee; None where nobody knows."""
    return model.__dict__.get(_DIGEST)


def load(
    name_or_path: str | Path,
    device: str | torch.device | Mapping[str, str | int] | None = None,
    dtype: Precision | str = "auto",
    revision: str | None = None,
    adapter: AbstractAdapter | None = None,
) -> LoadedModel:
    """Load a checkpoint for asking, fitting and steering.

    Args:
        name_or_path: a Hugging Face directory with safetensors, a hub id, `world:llava` for a checkpoint that
            comes with unsee, or `real:smollm2` for one that `unsee models get` has fetched.
        device: where to put it; None takes the first CUDA device, or the CPU where there is none. "auto" spreads it
            over all devices, and a mapping from module path to device says what goes where (both need accelerate).
        dtype: "auto" keeps the stored precision, but on a CPU takes float32 for float16, and for bfloat16 where the
            CPU has no such arithmetic (a quarter of the speed) and float32 fits in a quarter of the memory.
        revision: branch, tag or commit of a hub id.
        adapter: names the model's parts; None takes that of its family.

    Raises:
        ModelError: missing, damaged, incomplete, without processor, or of a family that is not served.
        OptionError: unknown dtype, or a spread without accelerate.
    """
    if dtype not in get_args(Precision):
        raise OptionError(f"dtype is {dtype!r}, expected one of {list(get_args(Precision))}")
    name = located(name_or_path)
    family = _family(name, revision)
    adapter = adapter or adapter_named(family)
    processor = _processor(name, revision, adapter)
    require_prompting(processor)
    before = states_of_files(name, revision)
    model = _complete_model(name, revision, adapter)
    adapter.check(model, processor)
    adapter.layers(model)
    processor.tokenizer.padding_side = "left"
    digest = digest_of_files(model, before, states_of_files(name, revision))
    spread = device == "auto" or isinstance(device, Mapping)
    first = "cuda" if torch.cuda.is_available() else "cpu"
    target = torch.device(first if device is None or device == "auto" or isinstance(device, Mapping) else device)
    model.to(dtype=_precision(dtype, model, target))
    if spread:
        model = _spread(model, device)
    else:
        model.to(device=target)
    return LoadedModel(
        model=model.eval(),
        processor=processor,
        adapter=adapter,
        name=str(name_or_path),
        revision=revision,
        digest=digest,
    )


def wrap(
    model: Any,
    processor: ProcessorMixin | PreTrainedTokenizerBase,
    *,
    adapter: AbstractAdapter | None = None,
    name: str | None = None,
    digest: str | None = None,
) -> LoadedModel:
    """A model that is in memory already (quantised, merged, trained on, with PEFT adapters), ready as `load` leaves it.

    It is put into evaluation mode, and its tokenizer pads on the left from now on; no weight is copied or moved. What
    PEFT or torch.compile has put around it is taken off: adapters of PEFT that are active act all the same.

    Args:
        model: of transformers, or one that PEFT or torch.compile has wrapped.
        processor: of the same checkpoint; its tokenizer, for a model of text alone.
        adapter: names the model's parts; None takes that of its family.
        name: for records; None takes the one that transformers gives.
        digest: of its weights; None computes it, which reads every weight once. Erasers are for one digest.

    Raises:
        ModelError: a family that is not served, a part is missing, or weights without digest (packed, offloaded).
    """
    inner, _ = unwrapped(model)
    adapter = adapter or adapter_for(inner)
    if isinstance(processor, PreTrainedTokenizerBase):
        processor = TextProcessor(processor)
    require_prompting(processor)
    adapter.check(inner, processor)
    adapter.layers(inner)
    processor.tokenizer.padding_side = "left"
    name = name or str(inner.config._name_or_path or "in memory")
    model.eval()
    return LoadedModel(inner, processor, adapter, name, None, digest or weights_digest(inner))


def _spread(model: PreTrainedModel, places: Any) -> PreTrainedModel:
    try:
        from accelerate import dispatch_model, infer_auto_device_map
    except ImportError as error:
        raise OptionError(
            f"device is {places!r}, but accelerate, which spreads a model over devices, is not installed. "
            "Install it with 'pip install accelerate', or name one device."
        ) from error
    if places == "auto":
        whole: list[str] = sorted(model._no_split_modules or ())
        places = infer_auto_device_map(model, no_split_module_classes=whole)
    spread: nn.Module = dispatch_model(model, dict(places))
    assert isinstance(spread, PreTrainedModel)
    return spread


def _precision(dtype: str, model: PreTrainedModel, device: torch.device) -> torch.dtype:
    if dtype == "auto":
        slow = model.dtype == torch.bfloat16 and not _cpu_has_bfloat16()
        widened = model.dtype == torch.float16 or (slow and 4 * model.num_parameters() <= _memory() / 4)
        return torch.float32 if device.type == "cpu" and widened else model.dtype
    return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[dtype]


def _cpu_has_bfloat16() -> bool:
    return torch.backends.mkldnn.is_available() and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _memory() -> int:
    """Bytes of this machine."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _family(name: str, revision: str | None) -> str:
    # Read before the weights are: a wrong family should cost a second, not a download.
    path = Path(name)
    if not path.is_dir() and (path.exists() or path.is_absolute() or name.startswith(".") or name.count("/") > 1):
        raise ModelError(
            f"there is no model directory {name!r}. Expected a Hugging Face directory with config.json, or a hub id "
            "such as 'llava-hf/llava-1.5-7b-hf'; check the path."
        )
    try:
        config, _ = PreTrainedConfig.get_config_dict(name, revision=revision)
    except _UNREADABLE as error:
        if path.is_dir():
            _refuse(name, "config.json", "a readable config.json", error)
        raise ModelError(
            f"cannot fetch the model {name!r}: {_first_line(error)} Expected a directory on this machine or a hub id "
            "that is cached or reachable; check the spelling, or download it first with 'hf download'."
        ) from error
    if not isinstance(config, dict) or "model_type" not in config:
        raise ModelError(
            f"the model {name!r} has no config.json that names a model_type, so its family is unknown. "
            "Expected a Hugging Face checkpoint; save or download it again."
        )
    return config["model_type"]


def _processor(name: str, revision: str | None, adapter: AbstractAdapter) -> ProcessorMixin:
    try:
        return adapter.open_processor(name, revision)
    except _UNREADABLE as error:
        _refuse(name, "the processor", "processor_config.json and tokenizer.json beside the weights", error)


def _complete_model(name: str, revision: str | None, adapter: AbstractAdapter) -> PreTrainedModel:
    try:
        with no_bar():
            model, report = adapter.open_model(name, revision)
    except _UNREADABLE as error:
        _refuse(name, "the weights", "complete safetensors files that fit config.json", error)
    missing = sorted(report["missing_keys"])
    if missing:
        raise ModelError(
            f"the checkpoint {name!r} lacks {len(missing)} of the model's weights, first {missing[0]!r}; they would be "
            "random. Expected every weight of config.json's architecture; save or download the checkpoint again."
        )
    return model


def _refuse(name: str, part: str, expected: str, error: Exception) -> NoReturn:
    raise ModelError(
        f"cannot read {part} of {name!r}: {type(error).__name__}: {_first_line(error)} Expected {expected}; "
        "save or download the checkpoint again."
    ) from error


def _first_line(error: Exception) -> str:
    line = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".:")
    return f"{line}."
