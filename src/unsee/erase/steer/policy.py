"""How one eraser acts on the calls of one prompt batch: what it adds where its gate says so, and how much that must be.

A policy sees states and steps, and neither a model nor a hook; it counts every position that it steers. Of several that
would steer one row, one does: directions that are added up drive the states past the refusal.
"""

from collections.abc import Mapping, Sequence
from typing import final

import torch

from unsee.erase.eraser import Eraser
from unsee.erase.gates.base import LatchedRule, ProportionalRule, Reading
from unsee.erase.replies.base import FREE
from unsee.erase.replies.steer import SteerReply
from unsee.erase.steer.positions import Steps, along_trajectory
from unsee.errors import SteeringError
from unsee.shapes import Bool, Float, Int, Tensor


@final
class LatchedPolicy:
    """Decide each row once, by the gate; steer every step from its last prompt token on.

    Attributes:
        layers: decoder layers that it steers.
        steered: positions steered since it was last set to 0, over all layers.
    """

    def __init__(self, eraser: Eraser, rule: LatchedRule) -> None:
        self._eraser, self._rule = eraser, rule
        self._moved: dict[int, Tensor] = {}
        self.layers = eraser.layers
        self.steered = 0

    @property
    def margin(self) -> Float[Tensor, " B"]:
        """Per row, how far above its threshold the gate is; minus infinity where it does not fire."""
        return self._rule.margin

    @property
    def forces(self) -> bool:
        """Whether its reply fixes tokens."""
        return not isinstance(self._eraser.reply, SteerReply)

    def read(self, layer: int, states: Float[Tensor, "B T D"], steps: Steps) -> None:
        """Read the input of this layer, and decide where the gate has read all that it reads."""
        self._rule.read(layer, states, steps)

    def at(
        self, layer: int, states: Float[Tensor, "B T D"], steps: Steps, selected: "Selected"
    ) -> Float[Tensor, "B _ D"] | None:
        """What to add to the last columns of the input of this layer, or None."""
        if self not in selected or not self._eraser.reply.steers:
            return None
        tail = steps.from_first_answering()
        answering = tail.answering
        if bool((answering.any(1) & ~self._rule.decided).any()):
            raise SteeringError(
                f"layer {layer} is to be steered but the gate has not been decided: a layer that it reads was skipped. "
                "Nothing is answered. Check that the model runs its decoder blocks in order."
            )
        rows = selected[self]
        positions = int((answering & rows.unsqueeze(1)).sum())
        if positions == 0:
            return None
        self.steered += positions
        if layer not in self._moved:
            trajectory = self._eraser.trajectory[self._eraser.layers.index(layer)]
            self._moved[layer] = trajectory.to(states.device, torch.float32)
        return along_trajectory(rows * self._eraser.strength, self._moved[layer], tail)

    def required(self, steps: Steps, selected: "Sequence[Selected]") -> int:
        """How many positions must have been steered in a call of these steps, over all layers; one entry each."""
        if not self._eraser.reply.steers:
            return 0
        return sum(int(steps.answering[rows[self]].sum()) for rows in selected if self in rows)

    def forced(self, steps: Steps) -> Int[Tensor, "B T"]:
        """The token that must follow each of these, or `FREE`, in rows on which the gate fires."""
        table = self._eraser.reply.forced(steps.answer_step)
        return table.masked_fill(~(steps.answering & (self.margin >= 0).unsqueeze(1)), FREE)

    def reading(self) -> Reading | None:
        """What the gate said, once it has decided every row."""
        return self._rule.reading()


@final
class ProportionalPolicy:
    """The published policy: gate and addition at each layer, all prompt positions, prefill only.

    It decides nothing, so it competes with nobody: what several of them add is summed.

    Attributes:
        steered: positions steered since it was last set to 0, over all layers.
    """

    def __init__(self, eraser: Eraser, rule: ProportionalRule) -> None:
        self._eraser, self._rule = eraser, rule
        self.steered = 0

    def read(self, layer: int, states: Float[Tensor, "B T D"], steps: Steps) -> None:
        """Nothing: this gate reads where it steers."""

    def at(
        self, layer: int, states: Float[Tensor, "B T D"], steps: Steps, selected: "Selected"
    ) -> Float[Tensor, "B T D"] | None:
        """What to add to the input of this layer, or None."""
        del selected
        if layer not in self._eraser.layers or not bool(steps.in_prompt.any()):
            return None
        if not bool((steps.in_prompt.sum(1) == steps.prompt_tokens).all()):
            raise SteeringError(
                "the published gate adds to all prompt positions what it reads at the last one, so it needs the "
                "prompt in one call, and got a part of it. Switch chunked prefill off, or use the default method."
            )
        index = self._eraser.layers.index(layer)
        value = self._rule.factor(index, states, steps)
        self.steered += int(steps.in_prompt.sum())
        direction = self._eraser.trajectory[index, 0].to(states.device, torch.float32)
        factor = self._eraser.strength * value.unsqueeze(1) * steps.in_prompt.to(states.device)
        return factor.unsqueeze(-1) * direction

    def required(self, steps: Steps, selected: "Sequence[Selected]") -> int:
        """How many positions must have been steered in a call of these steps, over all layers."""
        del selected
        return int(steps.in_prompt.sum()) * len(self._eraser.layers)

    def reading(self) -> Reading | None:
        """The gate's value at each steered layer, once all have been read."""
        return self._rule.reading()


Policy = LatchedPolicy | ProportionalPolicy

Selected = Mapping[Policy, Bool[Tensor, " B"]]
"""Which rows each policy steers at one layer."""


def strongest(policies: Sequence[Policy], layer: int) -> Selected:
    """Who steers which row at a layer: of the gates that fired, the one furthest above its threshold.

    `argmax_k margin_k`, the first of equals. Requests of one profile steer along one trajectory, so for them it is all
    the same which is selected, and a prompt that several know is steered as if one knew it.
    """
    rivals = [policy for policy in policies if isinstance(policy, LatchedPolicy) and layer in policy.layers]
    if not rivals:
        return {}
    margins = torch.stack([policy.margin for policy in rivals])
    first = margins.argmax(0)
    return {policy: (first == k) & (margins[k] >= 0) for k, policy in enumerate(rivals)}


def forced_tokens(policies: Sequence[tuple[Policy, Steps]]) -> Int[Tensor, "B T"] | None:
    """The token that must follow each of these, or `FREE`: by the gate furthest above its threshold, in each row.

    None where no reply fixes any.
    """
    latched = [(policy, steps) for policy, steps in policies if isinstance(policy, LatchedPolicy)]
    if not any(policy.forces for policy, _ in latched):
        return None
    first = torch.stack([policy.margin for policy, _ in latched]).argmax(0)
    return torch.stack([policy.forced(steps) for policy, steps in latched])[first, torch.arange(len(first))]


def policy_of(eraser: Eraser, prompt_tokens: Int[Tensor, " B"]) -> Policy:
    """A fresh policy for prompts of so many real tokens."""
    gate = eraser.gate
    if gate.latched is True:
        return LatchedPolicy(eraser, gate.rule(prompt_tokens))
    return ProportionalPolicy(eraser, gate.rule(prompt_tokens))
