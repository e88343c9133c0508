"""Prompt gates in the engine: the last prompt token, and the mean over the prompt from sums beside the cache."""

from collections.abc import Mapping
from typing import final

import torch

from unsee.erase.eraser import Eraser
from unsee.erase.gates.base import require_kind
from unsee.erase.gates.prompt_ridge import PromptRidgeGate
from unsee.serve.engine.bank import Owners
from unsee.serve.engine.plan import Reading
from unsee.shapes import Float, Tensor


@final
class PromptBank:
    """Prompt gates that read the same layers: K of them are one K x 2D product a layer, at the end of a prompt.

    Attributes:
        layers: read, ascending.
        owners: whose the gates are.
    """

    def __init__(
        self, erasers: Mapping[str, Eraser], blocks: int, device: torch.device, sums: Tensor | None = None
    ) -> None:
        gates = {name: require_kind(eraser.gate, PromptRidgeGate) for name, eraser in erasers.items()}
        first = next(iter(gates.values()))
        weight = torch.cat([gate.weight for gate in gates.values()]).to(device, torch.float32)  # K R 2 D
        self.layers, self._blocks, self._device = first.layers, blocks, device
        self.owners = Owners.of_gates(gates, device)
        self._weight = weight.flatten(1).mT.contiguous()
        self._bias = torch.cat([gate.bias for gate in gates.values()]).to(device, torch.float32)
        # Of the states of each cache block, by layer; right for any gate, so they outlive the gates.
        shape = len(self.layers), blocks, weight.shape[-1]
        self._sums: Float[Tensor, "R blocks D"] = torch.zeros(shape, device=device) if sums is None else sums
        self._last: list[Float[Tensor, "N D"]] = []

    def with_erasers(self, erasers: Mapping[str, Eraser]) -> "PromptBank":
        """Other gates over the same sums."""
        return PromptBank(erasers, self._blocks, self._device, self._sums)

    def follow(self, before: "PromptBank") -> None:
        """Nothing to do: the sums are one."""

    def read(self, layer: int, states: Float[Tensor, "P D"], reading: Reading) -> None:
        """Add the states to the sums of their blocks, and keep those of the last tokens of prompts that end."""
        if layer == self.layers[0]:
            self._last = []
            if len(reading.begun):
                self._sums.index_fill_(1, reading.begun, 0.0)
        self._sums[self.layers.index(layer)].index_add_(0, reading.block, states)
        if reading.ending:
            self._last.append(states[reading.last])

    def margins(self, reading: Reading, limits: Float[Tensor, "N K"]) -> Float[Tensor, "N M"]:
        """Of the prompts that end in this step."""
        last = torch.stack(self._last)  # R N D
        mean = torch.zeros_like(last).index_add_(1, reading.prompt_of, self._sums[:, reading.prompt_blocks])
        lengths = torch.tensor([tracked.prompt_tokens for tracked in reading.ending], device=self._device)
        features = torch.stack([last, mean / lengths.unsqueeze(1)], dim=2).transpose(0, 1)  # N R 2 D
        scores = features.flatten(1) @ self._weight
        scores = scores.masked_fill(~scores.isfinite(), torch.nan)
        return self.owners.largest(scores + self._bias - limits, limits)
