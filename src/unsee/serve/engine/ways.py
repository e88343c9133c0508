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

    def __init__(
        self, layers: tuple[int, ...], erasers: Iterable[Eraser], device: torch.device, before: "Ways | None" = None
    ) -> None:
        """Lay out the ways of these; a table that stays as it was is the one of before."""
        self.layers, self._device = layers, device
        self.columns = torch.tensor(layers, device=device)
        self._digests: WeakKeyDictionary[Eraser, str] = WeakKeyDictionary() if before is None else before._digests
        by_way = {self._way(eraser): eraser for eraser in erasers}
        self._numbers = {way: number for number, way in enumerate(by_way)}
        steering = {way[0]: eraser for way, eraser in by_way.items() if way[0]}
        self._laid_out = list(steering)
        place = {digest: number for number, digest in enumerate(steering)}
        self.trajectory: Int[Tensor, " W"] = self._tensor([place.get(way[0], 0) for way in by_way])
        self.coefficient: Float[Tensor, " W"] = torch.tensor([way[1] for way in by_way], device=device).float()
        self.steers: Bool[Tensor, " W"] = self._tensor([bool(way[0]) for way in by_way]).bool()
        same = before is not None and before._laid_out == self._laid_out
        self.table: Float[Tensor, "L J S D"] = (
            before.table if before is not None and same else self._table(list(steering.values()))
        )
        self.forced: Int[Tensor, "W S"] | None = self._words(list(by_way.values()))

    def __len__(self) -> int:
        return len(self._numbers)

    def number(self, eraser: Eraser) -> int:
        """Of an eraser whose way is laid out here."""
        return self._numbers[self._way(eraser)]

    def holds(self, eraser: Eraser) -> bool:
        """Whether it is."""
        return self._way(eraser) in self._numbers

    def moved(self, before: "Ways") -> Int[Tensor, " V"]:
        """For each number of before the one of now, 0 for what is gone."""
        return torch.tensor([self._numbers.get(way, 0) for way in before._numbers], dtype=torch.int64)

    def _way(self, eraser: Eraser) -> Way:
        digest = self._digests.get(eraser)
        if digest is None:
            data = eraser.trajectory.float().cpu().contiguous()
            digest = f"{tuple(data.shape)}{hashlib.sha256(data.numpy().tobytes()).hexdigest()}"
            self._digests[eraser] = digest
        return digest if eraser.reply.steers else "", eraser.strength, eraser.reply

    def _table(self, steering: list[Eraser]) -> Float[Tensor, "L J S D"]:
        longest = max((eraser.trajectory.shape[1] for eraser in steering), default=0)
        width = steering[0].trajectory.shape[2] if steering else 0
        table = torch.zeros(len(self.layers), len(steering), longest, width, device=self._device)
        for number, eraser in enumerate(steering):
            length = eraser.trajectory.shape[1]
            table[:, number, :length] = eraser.trajectory.to(self._device)
            table[:, number, length:] = table[:, number, length - 1 : length]
        return table

    def _words(self, erasers: list[Eraser]) -> Int[Tensor, "W S"] | None:
        longest = max((len(getattr(eraser.reply, "tokens", ())) for eraser in erasers), default=0)
        words = [eraser.reply.forced(torch.arange(longest + 1)) for eraser in erasers]
        fixes = bool(words) and bool((torch.stack(words) != FREE).any())
        return torch.stack(words).to(self._device) if fixes else None

    def _tensor(self, values: list[int] | list[bool]) -> Int[Tensor, " W"]:
        return torch.tensor(values, dtype=torch.int64, device=self._device)
