"""What an erasure request is once it is fitted: a value that says when to steer, where, and how hard.

An eraser holds no model, no name and no image. When to steer is its gate's to say (`unsee.erase.gates`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, final

import torch

from unsee.erase.artifact import Config, TensorSpec, load_artifact, push_artifact, save_artifact
from unsee.erase.fit.direction import random_direction
from unsee.erase.fit.findings import findings_html, findings_markdown
from unsee.erase.gates.base import Gate, gate_of_kind
from unsee.erase.replies.base import Reply, reply_of
from unsee.erase.replies.steer import SteerReply
from unsee.errors import ArtifactError
from unsee.shapes import Float, Tensor

_GATE = "gate."


@final
@dataclass(frozen=True, eq=False)
class Eraser:
    """One erasure request, fitted.

    Attributes:
        model: id, revision and weights digest of the model it was made for.
        family: as the adapters name it.
        layers: decoder layers whose input is steered, ascending.
        gate: when to steer.
        trajectory: what is added per layer and answer step, in units of the residual stream; saved in half precision.
            One step: prefill only.
        strength: lambda, the factor of the trajectory.
        method: name for tables and cards.
        settings: every setting of the fit.
        subjects: pseudonymous ids, in the order of the gates.
        counts: samples by role.
        report: diagnosis and calibration, as written by the fit.
        reply: what an answer is once the gate is open (`unsee.erase.replies`).
        fitted_on: digests of the prompts about the subjects that the fit had: asked again, they prove nothing.
    """

    model: dict[str, Any]
    family: str
    layers: tuple[int, ...]
    gate: Gate
    trajectory: Float[Tensor, "L S D"]
    strength: float
    method: str
    settings: dict[str, Any] = field(default_factory=dict)
    subjects: tuple[str, ...] = ()
    counts: dict[str, int] = field(default_factory=dict)
    report: list[dict[str, Any]] = field(default_factory=list)
    reply: Reply = field(default_factory=SteerReply)
    fitted_on: tuple[str, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        gate, shape = self.gate, tuple(self.trajectory.shape)
        read = gate.layers if gate.latched else self.layers
        gated = [tuple(tensor.shape) for tensor in gate.tensors().values()]
        empty = 0 in (*shape, *(size for one in gated for size in one))
        if empty or (len(self.layers), len(read), shape[-1]) != (shape[0], *gate.sizes):
            raise ArtifactError(
                f"the eraser steers layers {list(self.layers)} along a trajectory of shape {list(shape)} and reads "
                f"layers {list(read)} with a gate of shape {list(gated[0])}: expected one entry per layer, one width "
                "and nothing empty. Fit it again."
            )
        if not gate.latched and self.reply.kind != SteerReply.kind:
            raise ArtifactError(
                f"the eraser's reply is {self.reply.kind!r}, but its gate scales what is added and decides nothing. "
                "Expected 'steer', or a gate that decides."
            )
        if any(list(layers) != sorted(set(layers)) for layers in (self.layers, read)):
            raise ArtifactError(
                f"the eraser names layers {list(self.layers)} and {list(read)}: expected them ascending. Fit it again."
            )
        if gate.latched and self.layers[0] < read[-1]:
            raise ArtifactError(
                f"the eraser steers layer {self.layers[0]} before its gate has read layer {read[-1]}, so it would act "
                "before it has decided. Fit it again with layers from the last one read on."
            )

    def __repr__(self) -> str:
        return (
            f"Eraser({self.method} for {self.model.get('id')!r}: {len(self.subjects)} subject(s), gate "
            f"{self.gate.kind!r}, {self.stored_bytes / 1024:.0f} KiB)"
        )

    def _repr_html_(self) -> str:
        return findings_html(repr(self), self.report)

    @property
    def stored_bytes(self) -> int:
        """Bytes of the tensors as they are saved; config and card come on top."""
        return sum(tensor.nbytes for tensor in self._tensors().values())

    def with_strength(self, strength: float) -> "Eraser":
        """The same request at another lambda."""
        return replace(self, strength=strength)

    def with_reply(self, reply: Reply) -> "Eraser":
        """The same request, answered in another way."""
        return replace(self, reply=reply)

    def with_random_direction(self, seed: int) -> "Eraser":
        """The control: the same gate, steering along a random direction of equal norm per layer and step."""
        generator = torch.Generator().manual_seed(seed)
        return replace(self, trajectory=random_direction(self.trajectory, generator), method="random")

    def save_pretrained(self, directory: str | Path) -> str:
        """Save `eraser.safetensors` and a card in a folder; returns the content id.

        Raises:
            SaveError: the files could not be written; what was there is intact.
        """
        return save_artifact(directory, "eraser", self._config(), self._tensors(), self.card())

    @staticmethod
    def from_pretrained(directory: str | Path) -> "Eraser":
        """Load from a folder or a hub id (`owner/name`), refusing anything that is not exactly what was saved.

        Raises:
            ArtifactError: names the file and field at fault.
        """
        artifact = load_artifact(directory, "eraser", _specs)
        tensors, config = artifact.tensors, artifact.config
        settings: dict[str, Any] = dict(config.settings)
        kind = gate_of_kind(_take(settings, "gate", directory))
        read = tuple(_take(settings, "read_layers", directory))
        gate = kind.of(read, {name: tensors[_GATE + name] for name in kind.spec})
        return Eraser(
            model=config.base_model.as_json(),
            family=config.family,
            layers=tuple(config.layers),
            gate=gate,
            trajectory=tensors["trajectory"],
            strength=float(_take(settings, "strength", directory)),
            method=config.method,
            subjects=tuple(_take(settings, "subjects", directory)),
            report=_take(settings, "report", directory),
            reply=reply_of(settings.pop("reply", {"kind": SteerReply.kind})),
            fitted_on=tuple(settings.pop("fitted_on", ())),
            settings=settings,
            counts=dict(config.counts),
        )

    def push_to_hub(self, repository: str, *, private: bool = True) -> str:
        """Upload to a hub repository (`owner/name`); an eraser is personal data, so private unless told otherwise.

        Raises:
            ArtifactError: the hub refuses.
        """
        return push_artifact(self.save_pretrained, "eraser", repository, private)

    def card(self) -> str:
        """A page for people; no names, no images."""
        return (
            f"---\nlibrary_name: unsee\nbase_model: {self.model['id']}\ntags: [machine-unlearning, activation-steering]"
            f"\n---\n# Erasure request for {self.model['id']}\n\n{len(self.subjects)} subject(s), method "
            f"{self.method}, steering coefficient {self.strength:g}, layers {self.layers[0]} to {self.layers[-1]}.\n\n"
            "This file steers answers of one deployment. The weights still contain what they contained; nothing is "
            "deleted from training data, and whoever runs the model without it is not bound by it. It is derived from "
            f"personal data: treat it as such.\n\n{findings_markdown(self.report)}\n"
        )

    def _tensors(self) -> dict[str, Tensor]:
        """What is saved, by name."""
        gate = {_GATE + name: tensor for name, tensor in self.gate.tensors().items()}
        return {"trajectory": self.trajectory.half()} | gate

    def _config(self) -> dict[str, Any]:
        held = {
            "gate": self.gate.kind,
            "read_layers": list(self.gate.layers),
            "strength": self.strength,
            "subjects": list(self.subjects),
            "report": self.report,
            "reply": self.reply.as_json(),
            "fitted_on": list(self.fitted_on),
        }
        return {
            "base_model": self.model,
            "family": self.family,
            "layers": list(self.layers),
            "hidden_size": self.trajectory.shape[-1],
            "method": self.method,
            "settings": self.settings | held,
            "counts": self.counts,
        }


def _specs(config: Config) -> Mapping[str, TensorSpec]:
    """Every tensor of an eraser with such a gate."""
    gate = gate_of_kind(config.settings.get("gate"))
    return {"trajectory": (torch.float16, ("L", "S", "D"))} | {_GATE + name: spec for name, spec in gate.spec.items()}


def _take(settings: dict[str, Any], name: str, directory: str | Path) -> Any:
    if name not in settings:
        raise ArtifactError(
            f"{directory}: the config lacks the setting {name!r}. Expected an artifact of unsee; fetch it again."
        )
    return settings.pop(name)
