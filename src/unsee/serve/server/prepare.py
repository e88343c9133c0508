"""What the library has to say before an engine starts: the canary, and whether ledger and model fit."""

import gc
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

from unsee.errors import MismatchError, ModelError
from unsee.ledger.store import Ledger

if TYPE_CHECKING:
    from unsee.models.load import LoadedModel
    from unsee.serve.parity.canary import Canary


@final
@dataclass(frozen=True)
class Prepared:
    """What is left of the library's model when the engine starts.

    Attributes:
        canaries: of this model.
        tokenizer: of this model.
        dtype: that the engine runs in.
        markers: tokens that stand for an image.
        special_tokens: whether the tokenizer adds the start token.
    """

    canaries: "tuple[Canary, ...]"
    tokenizer: Any
    dtype: str
    markers: tuple[str, ...]
    special_tokens: bool


def require_plain_weights(name: str) -> None:
    """Refuse a checkpoint of quantized weights before they are read: library and engine compute with them differently.

    Raises:
        ModelError: its configuration, or that of a part of it, says so.
    """
    from transformers import PreTrainedConfig

    try:
        config, _ = PreTrainedConfig.get_config_dict(name)
    except (OSError, ValueError):
        return  # who loads it says what is wrong
    for part in (config, *(value for value in config.values() if isinstance(value, dict))):
        if (how := part.get("quantization_config")) is not None:
            raise ModelError(
                f"the weights of {name!r} are quantized ({how.get('quant_method', 'unknown')}): the engine's kernels "
                "round otherwise than the library, which fits erasers and proves the engine. Serve the checkpoint that "
                "it was made from; see docs, Serving."
            )


def prepare(loaded: "LoadedModel", ledger: Ledger) -> Prepared:
    """Check that ledger and model fit, and make the canaries.

    Raises:
        MismatchError: an active request was fitted on other weights.
        CanaryError: see `hatch`.
    """
    from unsee.data.sample import Sample
    from unsee.models.generate import render
    from unsee.serve.parity.canary import hatch

    for request, artifact in ((r, artifact) for r in ledger.requests() for artifact in r.artifacts.values()):
        if artifact.model_digest != loaded.digest and request.in_force == artifact:
            raise MismatchError(
                f"request {request.id} was fitted on weights {artifact.model_digest[:19]}..., but {loaded.name!r} has "
                f"{loaded.digest[:19]}.... Serve the model that it was fitted on."
            )
    marker = loaded.adapter.image_token(loaded.processor)
    text = render(loaded, [Sample("probe", "probe", "Hello?", "", "")])[0]
    start = loaded.processor.tokenizer.bos_token
    return Prepared(
        hatch(loaded),
        loaded.processor.tokenizer,
        str(loaded.model.dtype).removeprefix("torch."),
        () if marker is None else (marker,),
        not (start is not None and text.startswith(start)),
    )


def release(loaded: "LoadedModel") -> None:
    """Give the memory of the library's copy back before the engine takes its own."""
    import torch

    loaded.model.to(device=torch.device("meta"))
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
