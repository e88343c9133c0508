"""The first edition's gate: one linear vector per subject over the end and the mean of a prompt, latched.

It knows the forms of asking that it was fitted on, so it wants questions about the subject; `subject` needs none.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, Self, final

import torch

from unsee.erase.artifact import TensorSpec
from unsee.erase.gates.base import Reading, register, require_all_read, require_numbers
from unsee.erase.steer.positions import Steps, pooled
from unsee.shapes import Bool, Float, Int, Tensor


@register
@final
@dataclass(frozen=True, eq=False)
class PromptRidgeGate:
    """`score_k = sum_f <w_kf, feature_f> + b_k`, over features f = (block, last prompt token or mean over the prompt).

    Attributes:
        layers: decoder blocks read, ascending; all features are inputs of these blocks.
        weight: w, per subject, block and pooling (0 last, 1 mean).
        bias: b, per subject.
        threshold: per subject, from calibration people; the gate fires where any score reaches its own.
    """

    layers: tuple[int, ...]
    weight: Float[Tensor, "K R 2 D"]
    bias: Float[Tensor, " K"]
    threshold: Float[Tensor, " K"]

    kind: ClassVar[str] = "prompt-ridge"
    latched: ClassVar[Literal[True]] = True
    shares: ClassVar[Mapping[str, float]] = {"prompt": 0.02}
    spec: ClassVar[Mapping[str, TensorSpec]] = {
        "weight": (torch.float32, ("K", "R", 2, "D")),
        "bias": (torch.float32, ("K",)),
        "threshold": (torch.float32, ("K",)),
    }

    @property
    def sizes(self) -> tuple[int, int]:
        """Blocks and width."""
        return self.weight.shape[1], self.weight.shape[-1]

    def tensors(self) -> dict[str, Tensor]:
        """By the names of `spec`."""
        return {name: getattr(self, name) for name in self.spec}

    @classmethod
    def of(cls, layers: tuple[int, ...], tensors: Mapping[str, Tensor]) -> Self:
        """The gate that reads these blocks with these tensors."""
        return cls(layers, **{name: tensors[name] for name in cls.spec})

    def margins(self, features: Float[Tensor, "N R 2 D"]) -> Float[Tensor, "N K"]:
        """Scores less thresholds; at least 0 means that the gate fires."""
        weight = self.weight.to(features.device, torch.float32)
        scores = torch.einsum("nrpd,krpd->nk", features.float(), weight) + self.bias.to(features.device, torch.float32)
        return scores - self.threshold.to(features.device, torch.float32)

    def fires(self, features: Float[Tensor, "N R 2 D"]) -> Bool[Tensor, " N"]:
        """Whether any subject's gate fires."""
        return (self.margins(features) >= 0).any(1)

    def with_threshold(self, threshold: Float[Tensor, " K"]) -> Self:
        """The same gate, harder or easier to fire."""
        return replace(self, threshold=threshold)

    def beside(self, other: Self) -> Self:
        """The subjects of both, in this order."""
        theirs = other.tensors()
        return self.of(self.layers, {name: torch.cat([mine, theirs[name]]) for name, mine in self.tensors().items()})

    def always(self) -> Self:
        """The control that fires on every prompt."""
        return self.fires_always(self.layers, self.weight.shape[-1])

    def rule(self, prompt_tokens: Int[Tensor, " B"]) -> "PromptRidgeRule":
        """For prompts of so many real tokens."""
        return PromptRidgeRule(self, prompt_tokens)

    @classmethod
    def fires_always(cls, layers: Sequence[int], width: int) -> Self:
        """A control that reads these blocks and fires on every prompt."""
        return cls(tuple(layers), torch.zeros(1, len(layers), 2, width), torch.zeros(1), torch.full((1,), -1.0))


@final
class PromptRidgeRule:
    """The gate at work on one batch: sums over the calls of a chunked prefill, and one decision per row.

    Attributes:
        decided: rows whose prompt has been read to its end.
        margin: per row, how far above its threshold the gate is; minus infinity where it does not fire.
    """

    def __init__(self, gate: PromptRidgeGate, prompt_tokens: Int[Tensor, " B"]) -> None:
        rows, (subjects, read, _, width) = len(prompt_tokens), gate.weight.shape
        self._gate = gate
        self._features = torch.zeros(rows, read, 2, width)
        self._margins = torch.full((rows, subjects), -torch.inf)
        self._tokens_read = torch.zeros_like(prompt_tokens)
        self.decided = torch.zeros(rows, dtype=torch.bool)
        self.margin = torch.full((rows,), -torch.inf)

    def read(self, layer: int, states: Float[Tensor, "B T D"], steps: Steps) -> None:
        """Add this call to the features; rows whose prompt ends in it are decided at the last block read."""
        if layer not in self._gate.layers or bool(self.decided.all()):
            return
        index = self._gate.layers.index(layer)
        undecided = ~self.decided  # A decision is held: without a cache the prompt comes again with every token.
        self._features[undecided, index] += pooled(states.detach(), steps).cpu()[undecided]
        if index < len(self._gate.layers) - 1:
            return
        self._tokens_read[undecided] += steps.in_prompt.sum(1)[undecided]
        ending = undecided & steps.last.any(1)
        require_all_read(self._tokens_read[ending], steps.prompt_tokens[ending])
        margins = self._gate.margins(self._features[ending])
        require_numbers(margins)
        self._margins[ending] = margins
        largest = margins.amax(1)
        self.margin[ending] = largest.masked_fill(largest < 0, -torch.inf)
        self.decided |= ending

    def reading(self) -> Reading | None:
        """What the gate said, once it has decided every row."""
        return Reading(self._margins.clone(), self.margin >= 0) if bool(self.decided.all()) else None
