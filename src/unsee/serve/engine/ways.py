"""How erasers that steer the same layers answer: along which trajectory, how hard, and with which words.

A running answer finds its way by number, however many there are. Numbers of what was revoked are given to others once
no answer needs them, so that memory is given back.
"""

import hashlib
from collections.abc import Iterable
from typing import final
from weakref import WeakKeyDictionary

import torch

from unsee.erase.eraser import Eraser
from unsee.erase.replies.base import FREE
from unsee.shapes import Bool, Float, Int, Tensor

Way = tuple[str, float, object]
"""Trajectory, coefficient, and the reply."""


@final
class Ways:
    """Of one group of layers.

    Attributes:
        layers: steered.
        columns: the same, on the device.
        table: what each trajectory adds, by layer and answer step; shorter ones hold their last step.
        trajectory: of each way.
        coefficient: of each way, its λ.
        steers: whether each way steers at all.
        forced: the token that follows each answer step, or `FREE`; the last column stays. None where no way fixes any.
    """

    def __init__(self, layers: tuple[int, ...], device: torch.device) -> None:
        self.layers, self._device = layers, device
        self.columns = torch.tensor(layers, device=device)
        self._ways: list[Way] = []
        self._digests: WeakKeyDictionary[Eraser, str] = WeakKeyDictionary()
        self._laid_out: list[str] = []
        self.table: Float[Tensor, "L J S D"] = torch.zeros(len(layers), 0, 0, 0)
        self.trajectory: Int[Tensor, " W"] = torch.zeros(0, dtype=torch.int64)
        self.coefficient: Float[Tensor, " W"] = torch.zeros(0)
        self.steers: Bool[Tensor, " W"] = torch.zeros(0, dtype=torch.bool)
        self.forced: Int[Tensor, "W S"] | None = None

    def __len__(self) -> int:
        return len(self._ways)

    def number(self, eraser: Eraser) -> int:
        """Of an eraser that was given to `hold`."""
        return self._ways.index(self._way(eraser))

    def hold(self, erasers: Iterable[Eraser]) -> Int[Tensor, " V"]:
        """Know the ways of exactly these; returns for each number of before the one of now, 0 for what is gone."""
        erasers, before = list(erasers), self._ways
        ways = {self._way(eraser): eraser for eraser in erasers}
        self._ways = list(ways)
        self._lay_out(list(ways.values()))
        return torch.tensor([self._ways.index(way) if way in ways else 0 for way in before], dtype=torch.int64)

    def _way(self, eraser: Eraser) -> Way:
        digest = self._digests.get(eraser)
        if digest is None:
            data = eraser.trajectory.float().cpu().contiguous()
            digest = f"{tuple(data.shape)}{hashlib.sha256(data.numpy().tobytes()).hexdigest()}"
            self._digests[eraser] = digest
        return digest if eraser.reply.steers else "", eraser.strength, eraser.reply

    def _lay_out(self, erasers: list[Eraser]) -> None:
        steering = {way[0]: eraser for way, eraser in zip(self._ways, erasers, strict=True) if way[0]}
        numbers = list(steering)
        self.trajectory = self._tensor([numbers.index(way[0]) if way[0] else 0 for way in self._ways])
        self.coefficient = torch.tensor([way[1] for way in self._ways], dtype=torch.float32, device=self._device)
        self.steers = self._tensor([bool(way[0]) for way in self._ways]).bool()
        if numbers != self._laid_out:
            kept = [eraser.trajectory.float() for eraser in steering.values()]
            step = torch.arange(max((data.shape[1] for data in kept), default=0))
            table = [data[:, step.clamp(max=data.shape[1] - 1)].to(self._device) for data in kept]
            self.table = torch.stack(table, dim=1) if table else torch.zeros(len(self.layers), 0, 0, 0)
            self._laid_out = numbers
        longest = max((len(getattr(eraser.reply, "tokens", ())) for eraser in erasers), default=0)
        words = [eraser.reply.forced(torch.arange(longest + 1)) for eraser in erasers]
        fixes = bool(words) and bool((torch.stack(words) != FREE).any())
        self.forced = torch.stack(words).to(self._device) if fixes else None

    def _tensor(self, values: list[int] | list[bool]) -> Int[Tensor, " W"]:
        return torch.tensor(values, dtype=torch.int64, device=self._device)
