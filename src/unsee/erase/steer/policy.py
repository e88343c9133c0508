"""How one eraser acts on the calls of one prompt batch: when its gate reads, what it adds, how much it must have added.

A policy sees states and steps, and neither a model nor a hook; it counts every position that it steers. Of several that
would steer one row, one does: directions that are added up drive the states past the refusal.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch

from unsee.erase.eraser import Eraser, HeldGate, LayerGate
from unsee.erase.steer.positions import Steps, along_trajectory, pooled
from unsee.errors import SteeringError
from unsee.shapes import Bool, Float, Int, Tensor


@final
@dataclass(frozen=True, eq=False)
class Reading:
    """What one eraser's gate said to the prompts of one call.

    Attributes:
        margins: score less threshold, per row and subject; for a published gate its value per row and steered layer.
        fired: rows on which it fires, whoever steers them; a published gate always steers, in proportion.
    """

    margins: Float[Tensor, "B K"]
    fired: Bool[Tensor, " B"]


@final
class HeldPolicy:
    """Read the prompt, decide each row once, steer every step from its last prompt token on.

    Attributes:
        layers: decoder layers that it steers.
        claim: per row, how far above its threshold the gate is; minus infinity where it does not fire.
        steered: positions steered since it was last set to 0, over all layers.
    """

    def __init__(self, eraser: Eraser, gate: HeldGate, prompt_tokens: Int[Tensor, " B"]) -> None:
        rows, (subjects, read, _, width) = len(prompt_tokens), gate.weight.shape
        self._eraser, self._gate = eraser, gate
        self._features = torch.zeros(rows, read, 2, width)
        self._margins = torch.full((rows, subjects), -torch.inf)
        self._tokens_read = torch.zeros_like(prompt_tokens)
        self._decided = torch.zeros(rows, dtype=torch.bool)
        self._moved: dict[int, Tensor] = {}
        self.layers = eraser.layers
        self.claim = torch.full((rows,), -torch.inf)
        self.steered = 0

    def read(self, layer: int, states: Float[Tensor, "B T D"], steps: Steps) -> None:
        """Read the input of this layer, and decide where the gate has read all that it reads."""
        if layer in self._gate.layers and not bool(self._decided.all()):
            self._read(self._gate.layers.index(layer), states, steps)

    def at(self, layer: int, states: Float[Tensor, "B T D"], steps: Steps, won: "Won") -> Float[Tensor, "B _ D"] | None:
        """What to add to the last columns of the input of this layer, or None."""
        if self not in won:
            return None
        tail = steps.from_first_answering()
        answering = tail.answering
        if bool((answering.any(1) & ~self._decided).any()):
            raise SteeringError(
                f"layer {layer} is to be steered but the gate has not been decided: a layer that it reads was skipped. "
                "Nothing is answered. Check that the model runs its decoder blocks in order."
            )
        rows = won[self]
        positions = int((answering & rows.unsqueeze(1)).sum())
        if positions == 0:
            return None
        self.steered += positions
        if layer not in self._moved:
            trajectory = self._eraser.trajectory[self._eraser.layers.index(layer)]
            self._moved[layer] = trajectory.to(states.device, torch.float32)
        return along_trajectory(rows * self._eraser.strength, self._moved[layer], tail)

    def required(self, steps: Steps, won: "Sequence[Won]") -> int:
        """How many positions must have been steered in a call of these steps, over all layers; `won` is of each."""
        return sum(int(steps.answering[rows[self]].sum()) for rows in won if self in rows)

    def reading(self) -> Reading | None:
        """What the gate said, once it has decided every row."""
        return Reading(self._margins.clone(), self.claim >= 0) if bool(self._decided.all()) else None

    def _read(self, index: int, states: Tensor, steps: Steps) -> None:
        """Add this call to the features; rows whose prompt ends in it are decided at the last layer read."""
        undecided = ~self._decided  # A decision is held: without a cache the prompt comes again with every token.
        self._features[undecided, index] += pooled(states.detach(), steps).cpu()[undecided]
        if index < len(self._gate.layers) - 1:
            return
        self._tokens_read[undecided] += steps.in_prompt.sum(1)[undecided]
        ending = undecided & steps.last.any(1)
        if bool((self._tokens_read != steps.prompt_tokens)[ending].any()):
            raise SteeringError(
                f"the gate has read {self._tokens_read[ending].tolist()} tokens of prompts that have "
                f"{steps.prompt_tokens[ending].tolist()}. Nothing is answered. Pass each prompt through the model once."
            )
        margins = self._gate.margins(self._features[ending])
        if bool(margins.isnan().any()):
            raise SteeringError(
                "a gate read NaN, so nothing says whether it fires. Nothing is answered. Look for broken weights or a "
                "broken image."
            )
        self._margins[ending] = margins
        largest = margins.amax(1)
        self.claim[ending] = largest.masked_fill(largest < 0, -torch.inf)
        self._decided |= ending


@final
class LayerPolicy:
    """The published policy: gate and addition at each layer, all prompt positions, prefill only.

    It decides nothing, so it competes with nobody: what several of them add is summed.

    Attributes:
        steered: positions steered since it was last set to 0, over all layers.
    """

    def __init__(self, eraser: Eraser, gate: LayerGate) -> None:
        self._eraser, self._gate = eraser, gate
        self._values: dict[int, Tensor] = {}
        self.steered = 0

    def read(self, layer: int, states: Float[Tensor, "B T D"], steps: Steps) -> None:
        """Nothing: this gate reads where it steers."""

    def at(self, layer: int, states: Float[Tensor, "B T D"], steps: Steps, won: "Won") -> Float[Tensor, "B T D"] | None:
        """What to add to the input of this layer, or None."""
        del won
        if layer not in self._eraser.layers or not bool(steps.in_prompt.any()):
            return None
        if not bool((steps.in_prompt.sum(1) == steps.prompt_tokens).all()):
            raise SteeringError(
                "the published gate adds to all prompt positions what it reads at the last one, so it needs the "
                "prompt in one call, and got a part of it. Switch chunked prefill off, or use the default method."
            )
        index = self._eraser.layers.index(layer)
        value = pooled(states, steps)[:, 0] @ self._gate.weight[index].to(states.device, torch.float32)
        self._values[layer] = value.detach().cpu()
        self.steered += int(steps.in_prompt.sum())
        direction = self._eraser.trajectory[index, 0].to(states.device, torch.float32)
        factor = self._eraser.strength * value.unsqueeze(1) * steps.in_prompt.to(states.device)
        return factor.unsqueeze(-1) * direction

    def required(self, steps: Steps, won: "Sequence[Won]") -> int:
        """How many positions must have been steered in a call of these steps, over all layers."""
        del won
        return int(steps.in_prompt.sum()) * len(self._eraser.layers)

    def reading(self) -> Reading | None:
        """The gate's value at each steered layer, once all have been read."""
        if len(self._values) < len(self._eraser.layers):
            return None
        values = torch.stack([self._values[layer] for layer in self._eraser.layers], dim=1)
        return Reading(values, torch.ones(values.shape[0], dtype=torch.bool))


Policy = HeldPolicy | LayerPolicy

Won = Mapping[Policy, Bool[Tensor, " B"]]
"""Which rows each policy steers at one layer."""


def strongest(policies: Sequence[Policy], layer: int) -> Won:
    """Who steers which row at a layer: of the gates that fired, the one furthest above its threshold.

    `argmax_k claim_k`, the first of equals. Requests of one profile steer along one trajectory, so for them it is all
    the same who wins, and a prompt that several know is steered as if one knew it.
    """
    rivals = [policy for policy in policies if isinstance(policy, HeldPolicy) and layer in policy.layers]
    if not rivals:
        return {}
    claims = torch.stack([policy.claim for policy in rivals])
    first = claims.argmax(0)
    return {policy: (first == k) & (claims[k] >= 0) for k, policy in enumerate(rivals)}


def policy_of(eraser: Eraser, prompt_tokens: Int[Tensor, " B"]) -> Policy:
    """A fresh policy for prompts of so many real tokens."""
    gate = eraser.gate
    return HeldPolicy(eraser, gate, prompt_tokens) if isinstance(gate, HeldGate) else LayerPolicy(eraser, gate)
