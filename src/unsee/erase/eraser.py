"""What an erasure request is once it is fitted: a value that says when to steer, where, and how hard.

An eraser holds no model, no name and no picture. `HeldGate` is the default: read once from the prompt, decide, hold.
`LayerGate` is the published one: every layer reads for itself and adds in proportion.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, final

import torch

from unsee.erase.artifact import load_artifact, save_artifact
from unsee.erase.direction import random_direction
from unsee.errors import ArtifactError, MismatchError
from unsee.models.load import LoadedModel
from unsee.shapes import Bool, Float, Tensor

POOLINGS = ("last", "mean")


@final
@dataclass(frozen=True, eq=False)
class HeldGate:
    """One linear gate per forgotten subject, read over several layers and then held for the whole answer.

    `score_k = sum_f <w_kf, feature_f> + b_k` over features f = (layer, last prompt token or mean over the prompt); the
    request fires when any score reaches its threshold.

    Attributes:
        layers: decoder layers read, ascending; all features are inputs of these blocks.
        weight: w, per subject, layer and pooling (0 last, 1 mean).
        bias: b, per subject.
        threshold: per subject, from calibration people.
    """

    layers: tuple[int, ...]
    weight: Float[Tensor, "K R 2 D"]
    bias: Float[Tensor, " K"]
    threshold: Float[Tensor, " K"]

    def margins(self, features: Float[Tensor, "N R 2 D"]) -> Float[Tensor, "N K"]:
        """Scores less thresholds; at least 0 means that the gate fires."""
        weight = self.weight.to(features.device, torch.float32)
        scores = torch.einsum("nrpd,krpd->nk", features.float(), weight) + self.bias.to(features.device, torch.float32)
        return scores - self.threshold.to(features.device, torch.float32)

    def fires(self, features: Float[Tensor, "N R 2 D"]) -> Bool[Tensor, " N"]:
        """Whether any subject's gate fires."""
        return (self.margins(features) >= 0).any(1)


@final
@dataclass(frozen=True, eq=False)
class LayerGate:
    """The published gate: each steered layer reads the last prompt token and scales its own addition by it.

    Attributes:
        weight: per steered layer, in the order of `Eraser.layers`.
    """

    weight: Float[Tensor, "L D"]


@final
@dataclass(frozen=True, eq=False)
class Eraser:
    """One erasure request, fitted.

    Attributes:
        model: id, revision and weights digest of the model it was made for.
        family: as the adapters name it.
        layers: decoder layers whose input is steered, ascending.
        gate: when to steer.
        trajectory: what is added per layer and answer step, in units of the residual stream. One step: prefill only.
        strength: lambda, the factor of the trajectory.
        method: name for tables and cards.
        settings: every setting of the fit.
        subjects: pseudonymous ids, in the order of the gates.
        counts: samples by role.
        report: diagnosis and calibration, as written by the fit.
    """

    model: dict[str, Any]
    family: str
    layers: tuple[int, ...]
    gate: HeldGate | LayerGate
    trajectory: Float[Tensor, "L S D"]
    strength: float
    method: str
    settings: dict[str, Any] = field(default_factory=dict)
    subjects: tuple[str, ...] = ()
    counts: dict[str, int] = field(default_factory=dict)
    report: list[dict[str, Any]] = field(default_factory=list)

    def with_strength(self, strength: float) -> "Eraser":
        """The same request at another lambda."""
        return replace(self, strength=strength)

    def with_random_direction(self, seed: int) -> "Eraser":
        """The control: the same gate, steering along a random direction of equal norm per layer and step."""
        generator = torch.Generator().manual_seed(seed)
        return replace(self, trajectory=random_direction(self.trajectory, generator), method="random")
