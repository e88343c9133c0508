"""The gates and trajectories of all loaded requests, as tables that grow and shrink without touching the graph.

Gates that read the same layers form a bank: K gates of one layer are one K x 2D product. Trajectories that steer the
same layers form a group: a row finds the one that it is steered along by its number, however many there are.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import torch

from unsee.erase.eraser import Eraser
from unsee.erase.gates.base import require_kind
from unsee.erase.gates.prompt_ridge import PromptRidgeGate
from unsee.serve.errors import EngineError
from unsee.shapes import Float, Int, Tensor


@final
@dataclass(frozen=True, eq=False)
class Bank:
    """Gates that read the same layers.

    Attributes:
        layers: read, ascending; all are decided at the last.
        ids: content ids of the erasers, one each.
        owner: of each gate, as an index into `ids`.
        weight: per layer read; the two poolings, last token and mean, lie behind one another.
        bias: per gate.
        sizes: gates of each eraser.
        members: which of `ids` steer along trajectories of which group, by the group's number.
        move: of each eraser, its trajectory's number in that group.
        coefficient: of each eraser, its λ.
        written: of each eraser, the layers that it steers.
    """

    layers: tuple[int, ...]
    ids: tuple[str, ...]
    owner: Int[Tensor, " K"]
    weight: Mapping[int, Float[Tensor, "K F"]]
    bias: Float[Tensor, " K"]
    sizes: tuple[int, ...]
    members: Mapping[int, Int[Tensor, " _"]]
    move: Int[Tensor, " E"]
    coefficient: Float[Tensor, " E"]
    written: tuple[tuple[int, ...], ...]

    def limits(self, thresholds: Mapping[str, Float[Tensor, " _"]]) -> Float[Tensor, " K"]:
        """Every gate's threshold in a set of erasers; infinity for those that are not in it."""
        shut = torch.tensor(torch.inf)
        parts = [thresholds.get(i, shut.expand(size)) for i, size in zip(self.ids, self.sizes, strict=True)]
        return torch.cat(parts).to(self.bias)

    def margins(self, scores: Float[Tensor, "N K"], limits: Float[Tensor, "N K"]) -> Float[Tensor, "N E"]:
        """Largest score less threshold of each eraser; minus infinity where a row's set does not hold it.

        NaN where a gate of it read no finite number: minus infinity would pass for an eraser that is not in force.
        """
        margins = (scores.masked_fill(~scores.isfinite(), torch.nan) + self.bias - limits).masked_fill(
            limits == torch.inf, -torch.inf
        )
        largest = margins.new_full((len(margins), len(self.ids)), -torch.inf)
        return largest.scatter_reduce_(1, self.owner.expand_as(margins), margins, "amax")


@final
class Moves:
    """Trajectories that steer the same layers; they are numbered, and kept for running answers once they are there.

    Attributes:
        layers: steered.
        at: what each adds per layer and answer step; shorter ones hold their last step.
    """

    def __init__(self, layers: tuple[int, ...]) -> None:
        self.layers = layers
        self.at: dict[int, Float[Tensor, "J S D"]] = {}
        self._known: dict[str, Float[Tensor, "L _ D"]] = {}

    def number(self, trajectory: Float[Tensor, "L S D"]) -> int:
        """The number of a trajectory, the same for the same bytes."""
        data = trajectory.float().cpu().contiguous()
        key = f"{tuple(data.shape)}{hashlib.sha256(data.numpy().tobytes()).hexdigest()}"
        self._known.setdefault(key, data)
        return list(self._known).index(key)

    def lay_out(self, device: torch.device) -> None:
        """Put what was numbered since on the device."""
        if self.at and len(self.at[self.layers[0]]) == len(self._known):
            return
        step = torch.arange(max(data.shape[1] for data in self._known.values()))
        table = torch.stack([data[:, step.clamp(max=data.shape[1] - 1)] for data in self._known.values()], dim=1)
        self.at = dict(zip(self.layers, table.to(device), strict=True))


@final
class Resident:
    """Everything loaded, on one device.

    Attributes:
        erasers: by content id.
        banks: all gates.
        groups: every trajectory that was ever loaded; running answers refer to them by group and number.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.erasers: dict[str, Eraser] = {}
        self.banks: tuple[Bank, ...] = ()
        self.groups: list[Moves] = []

    def replace(self, erasers: Mapping[str, Eraser]) -> None:
        """Hold exactly these from now on."""
        reading: dict[tuple[int, ...], list[str]] = {}
        for content_id in sorted(erasers):
            require_served(erasers[content_id], content_id)
            reading.setdefault(_held(erasers[content_id]).layers, []).append(content_id)
        self.banks = tuple(self._bank(layers, {i: erasers[i] for i in ids}) for layers, ids in sorted(reading.items()))
        for group in self.groups:
            group.lay_out(self._device)
        self.erasers = dict(erasers)

    def written(self, layer: int) -> list[int]:
        """Numbers of the groups that steer this layer."""
        return [g for g, group in enumerate(self.groups) if layer in group.layers]

    def _group(self, layers: tuple[int, ...]) -> int:
        known = [group.layers for group in self.groups]
        if layers not in known:
            self.groups.append(Moves(layers))
            return len(known)
        return known.index(layers)

    def _bank(self, layers: tuple[int, ...], erasers: Mapping[str, Eraser]) -> Bank:
        gates = [_held(eraser) for eraser in erasers.values()]
        weight = torch.cat([gate.weight for gate in gates]).to(self._device, torch.float32).flatten(2)
        owner = torch.repeat_interleave(torch.arange(len(gates)), torch.tensor([len(gate.bias) for gate in gates]))
        groups = [self._group(eraser.layers) for eraser in erasers.values()]
        moves = [self.groups[g].number(e.trajectory) for g, e in zip(groups, erasers.values(), strict=True)]
        places = {g: [e for e, own in enumerate(groups) if own == g] for g in sorted(set(groups))}
        return Bank(
            layers,
            tuple(erasers),
            owner.to(self._device),
            {layer: weight[:, r].contiguous() for r, layer in enumerate(layers)},
            torch.cat([gate.bias for gate in gates]).to(self._device, torch.float32),
            tuple(len(gate.bias) for gate in gates),
            {g: torch.tensor(own, device=self._device) for g, own in places.items()},
            torch.tensor(moves, device=self._device),
            torch.tensor([eraser.strength for eraser in erasers.values()], device=self._device),
            tuple(eraser.layers for eraser in erasers.values()),
        )


def require_served(eraser: Eraser, content_id: str) -> None:
    """Refuse a gate of a kind that the engine does not know, so that nothing is served unsteered.

    Raises:
        EngineError: names the artifact.
    """
    if eraser.gate.kind != PromptRidgeGate.kind:
        raise EngineError(
            f"artifact {content_id[:19]}... of method {eraser.method!r} has a gate of kind {eraser.gate.kind!r}, which "
            f"this engine does not serve: it expects {PromptRidgeGate.kind!r}. "
            "Fit the request again with --gate prompt."
        )


def _held(eraser: Eraser) -> PromptRidgeGate:
    return require_kind(eraser.gate, PromptRidgeGate)
