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
        self, erasers: Mapping[str, Eraser], blocks: int, device: torch.device, sums: dict[int, Tensor] | None = None
    ) -> None:
        gates = {name: require_kind(eraser.gate, PromptRidgeGate) for name, eraser in erasers.items()}
        first = next(iter(gates.values()))
        weight = torch.cat([gate.weight for gate in gates.values()]).to(device, torch.float32).flatten(2)
        self.layers, self._blocks, self._device = first.layers, blocks, device
        self.owners = Owners.of_sizes({name: len(gate.bias) for name, gate in gates.items()}, device)
        self._weight = {layer: weight[:, r].contiguous() for r, layer in enumerate(self.layers)}
        self._bias = torch.cat([gate.bias for gate in gates.values()]).to(device, torch.float32)
        # Of the states of each cache block; right for any gate, so they outlive the gates.
        width = first.weight.shape[-1]
        self._sums = sums or {layer: torch.zeros(blocks, width, device=device) for layer in self.layers}
        self._scores: Tensor = torch.zeros(0)

    def with_erasers(self, erasers: Mapping[str, Eraser]) -> "PromptBank":
        """Other gates over the same sums."""
        return PromptBank(erasers, self._blocks, self._device, self._sums)

    def follow(self, before: "PromptBank") -> None:
        """Nothing to do: the sums are one."""

    def read(self, layer: int, states: Float[Tensor, "P D"], reading: Reading) -> None:
        """Add the states to the sums of their blocks, and score the prompts that end."""
        sums = self._sums[layer]
        if len(reading.begun):
            sums.index_fill_(0, reading.begun, 0.0)
        sums.index_add_(0, reading.block, states)
        if not reading.ending:
            return
        total = states.new_zeros(len(reading.ending), states.shape[1])
        total.index_add_(0, reading.prompt_of, sums[reading.prompt_blocks])
        length = torch.tensor([t.prompt_tokens for t in reading.ending], device=self._device)
        features = torch.cat([states[reading.last], total / length.unsqueeze(1)], dim=1)
        scores = features @ self._weight[layer].mT
        self._scores = scores if layer == self.layers[0] else self._scores + scores

    def margins(self, reading: Reading, limits: Float[Tensor, "N K"]) -> Float[Tensor, "N E"]:
        """Of the prompts that end in this step."""
        del reading
        scores = self._scores.masked_fill(~self._scores.isfinite(), torch.nan)
        return self.owners.largest(scores + self._bias - limits, limits)
