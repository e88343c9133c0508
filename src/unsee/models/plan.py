"""What a fit would take in memory and time, from a checkpoint's config.json alone: no weight is read."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText

from unsee.errors import ModelError
from unsee.models import adapter_named
from unsee.models.adapter import AbstractAdapter
from unsee.models.generic import GenericAdapter
from unsee.models.memory import MIB, available_mib
from unsee.models.names import located

TOKENS = 64
"""Tokens of a prompt where nothing else is said; an image of LLaVA-1.5 alone is 576."""


@final
@dataclass(frozen=True)
class Plan:
    """An estimate, within a factor of two.

    Attributes:
        parameters: of the model.
        weights_mib: of them, as they are stored.
        states_mib: of the states that a profile keeps, in half precision.
        needed_mib: at the peak: weights, states, and half as much as the weights for what is computed.
        available_mib: free on this machine; None where it does not say.
        seconds: to read all prompts once on this CPU, with as many threads as torch has; None on a GPU.
    """

    parameters: int
    weights_mib: int
    states_mib: int
    needed_mib: int
    available_mib: int | None
    seconds: float | None

    @property
    def fits(self) -> bool:
        """Whether the peak is below what is free, or nobody knows."""
        return self.available_mib is None or self.needed_mib <= self.available_mib


def plan(
    name: str | Path,
    prompts: int,
    tokens: int = TOKENS,
    revision: str | None = None,
    adapter: AbstractAdapter | None = None,
) -> Plan:
    """Estimate a fit: `2 * parameters * tokens * prompts` operations, at the speed of one product of matrices here.

    Args:
        name: as for `load`.
        prompts: that are read.
        tokens: of a prompt, those of images included.
        revision: of a hub id.
        adapter: as for `load`.

    Raises:
        ModelError: there is no readable config.json, or its family is not served.
    """
    try:
        config = AutoConfig.from_pretrained(located(name), revision=revision)
        adapter = adapter or adapter_named(config.model_type)
        text_alone = isinstance(adapter, GenericAdapter) and adapter.vision is None
        maker: Any = AutoModelForCausalLM if text_alone else AutoModelForImageTextToText
        with torch.device("meta"):
            model = maker.from_config(config)
    except (OSError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, ModelError):
            raise
        raise ModelError(
            f"cannot plan for {str(name)!r}: {error} Expected a checkpoint folder or hub id with config.json; check it."
        ) from error
    parameters = sum(weight.numel() for weight in model.parameters())
    stored = config.dtype if isinstance(config.dtype, torch.dtype) else torch.float32
    weights = parameters * stored.itemsize // MIB
    text = config.get_text_config()
    states = prompts * text.num_hidden_layers * text.hidden_size * 2 // MIB
    on_gpu = torch.cuda.is_available()
    return Plan(
        parameters=parameters,
        weights_mib=weights,
        states_mib=states,
        needed_mib=weights + weights // 2 + states,
        available_mib=torch.cuda.mem_get_info()[0] // MIB if on_gpu else available_mib(),
        seconds=None if on_gpu else 2 * parameters * tokens * prompts / _operations_per_second(),
    )


def _operations_per_second(side: int = 768) -> float:
    left, right = torch.ones(side, side), torch.ones(side, side)
    torch.mm(left, right)  # the first product sets things up
    start = time.perf_counter()
    for _ in range(4):
        torch.mm(left, right)
    return 4 * 2 * side**3 / (time.perf_counter() - start)
