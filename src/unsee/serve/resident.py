"""The gates and trajectories of all loaded requests, as tables that grow and shrink without touching the graph.

Gates that read the same layers form a bank: K gates of one layer are one K x 2D product.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch

from unsee.erase.eraser import Eraser, HeldGate
from unsee.serve.errors import EngineError
from unsee.shapes import Bool, Float, Int, Tensor


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
        threshold: per gate.
        force: what each eraser puts on each trajectory when it fires, its lambda.
    """

    layers: tuple[int, ...]
    ids: tuple[str, ...]
    owner: Int[Tensor, " K"]
    weight: Mapping[int, Float[Tensor, "K F"]]
    bias: Float[Tensor, " K"]
    threshold: Float[Tensor, " K"]
    force: Float[Tensor, "E J"]

    def margins(self, scores: Float[Tensor, "N K"], allowed: Bool[Tensor, "N E"]) -> Float[Tensor, "N E"]:
        """Largest score less threshold of each eraser; minus infinity where a row's set does not hold it."""
        margins = scores + self.bias - self.threshold
        largest = margins.new_full(allowed.shape, -torch.inf)
        largest.scatter_reduce_(1, self.owner.expand_as(margins), margins, "amax")
        return largest.masked_fill(~allowed, -torch.inf)


@final
@dataclass(frozen=True, eq=False)
class Move:
    """One trajectory: what is added per steered layer and answer step."""

    layers: tuple[int, ...]
    at: Mapping[int, Float[Tensor, "S D"]]


@final
class Resident:
    """Everything loaded, on one device.

    Attributes:
        erasers: by content id.
        banks: all gates.
        moves: every trajectory that was ever loaded; running answers refer to them by number.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._move_of: dict[str, int] = {}
        self.erasers: dict[str, Eraser] = {}
        self.banks: tuple[Bank, ...] = ()
        self.moves: list[Move] = []

    def replace(self, erasers: Mapping[str, Eraser]) -> None:
        """Hold exactly these from now on."""
        groups: dict[tuple[int, ...], list[str]] = {}
        for content_id in sorted(erasers):
            eraser = erasers[content_id]
            require_held(eraser, content_id)
            if content_id not in self.erasers:
                self._keep_move(eraser)
            groups.setdefault(_held(eraser).layers, []).append(content_id)
        self.erasers = dict(erasers)
        self.banks = tuple(self._bank(layers, ids) for layers, ids in sorted(groups.items()))

    def written(self, layer: int) -> list[int]:
        """Numbers of the trajectories that steer this layer."""
        return [j for j, move in enumerate(self.moves) if layer in move.at]

    def _keep_move(self, eraser: Eraser) -> None:
        key = _key(eraser)
        if key not in self._move_of:
            trajectory = eraser.trajectory.to(self._device, torch.float32)
            self._move_of[key] = len(self.moves)
            self.moves.append(Move(eraser.layers, dict(zip(eraser.layers, trajectory, strict=True))))

    def _bank(self, layers: tuple[int, ...], ids: Sequence[str]) -> Bank:
        gates = [_held(self.erasers[i]) for i in ids]
        weight = torch.cat([gate.weight for gate in gates]).to(self._device, torch.float32).flatten(2)
        owner = torch.repeat_interleave(torch.arange(len(ids)), torch.tensor([len(gate.bias) for gate in gates]))
        force = torch.zeros(len(ids), len(self.moves))
        for e, content_id in enumerate(ids):
            force[e, self._move_of[_key(self.erasers[content_id])]] = self.erasers[content_id].strength
        return Bank(
            layers,
            tuple(ids),
            owner.to(self._device),
            {layer: weight[:, r].contiguous() for r, layer in enumerate(layers)},
            torch.cat([gate.bias for gate in gates]).to(self._device, torch.float32),
            torch.cat([gate.threshold for gate in gates]).to(self._device, torch.float32),
            force.to(self._device),
        )


def require_held(eraser: Eraser, content_id: str) -> None:
    """Refuse the published gate, which reads the end of a prompt before it may touch its beginning.

    Raises:
        EngineError: names the artifact.
    """
    if not isinstance(eraser.gate, HeldGate):
        raise EngineError(
            f"artifact {content_id[:19]}... has the published gate of method {eraser.method!r}, which adds to every "
            "prompt token what it reads at the last: it needs each prompt in one piece and a cache of its own. Serving "
            "expects a held gate; fit the request with 'unsee erase' and its default method."
        )


def _held(eraser: Eraser) -> HeldGate:
    assert isinstance(eraser.gate, HeldGate), "refused before"
    return eraser.gate


def _key(eraser: Eraser) -> str:
    data = eraser.trajectory.float().cpu().contiguous()
    return f"{eraser.layers}{tuple(data.shape)}{hashlib.sha256(data.numpy().tobytes()).hexdigest()}"
