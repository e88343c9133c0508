"""The gates and ways of all loaded requests, as tables that grow and shrink without touching the graph.

Gates of one kind that read the same layers form a bank; erasers that steer the same layers form a group of ways.
"""

from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any, final

import torch

from unsee.erase.eraser import Eraser
from unsee.erase.gates.prompt_ridge import PromptRidgeGate
from unsee.erase.gates.subject import SubjectGate
from unsee.serve.engine.bank import Bank
from unsee.serve.engine.prompt_bank import PromptBank
from unsee.serve.engine.subject_bank import SubjectBank
from unsee.serve.engine.ways import Ways
from unsee.serve.errors import EngineError
from unsee.shapes import Int, Tensor

SERVED = (PromptRidgeGate.kind, SubjectGate.kind)
"""Kinds of gates that are served."""
Key = tuple[Any, ...]


@final
@dataclass(frozen=True, eq=False)
class Held:
    """A bank, and how its erasers answer.

    Attributes:
        bank: of gates.
        members: by number of a group of ways, which of the bank's erasers are in it.
        ways: by number of a group, the way of each of those.
    """

    bank: Bank
    members: Mapping[int, Int[Tensor, " _"]]
    ways: Mapping[int, Int[Tensor, " _"]]


@final
class Resident:
    """Everything loaded, on one device; another one is made beside it while this one is in use.

    Attributes:
        erasers: by content id.
        groups: ways, by the layers that they steer; a group that is empty keeps its number.
        steering: those that steer any layer, by number.
        held: all banks.
        reading: the same, by each layer that they read.
    """

    def __init__(self, blocks: int, block_size: int, device: torch.device) -> None:
        self._blocks, self._places, self._device = blocks, blocks * block_size, device
        self.erasers: Mapping[str, Eraser] = {}
        self.groups: Sequence[Ways] = ()
        self.steering: Mapping[int, Ways] = {}
        self.held: Mapping[Key, Held] = {}
        self.reading: Mapping[int, list[tuple[Key, Held]]] = {}

    def other(self, erasers: Mapping[str, Eraser], running: Iterable[Eraser]) -> "Resident":
        """One that holds exactly these, and the ways of answers that are running."""
        made = copy(self)
        reading: dict[Key, dict[str, Eraser]] = {}
        for content_id in sorted(erasers):
            reading.setdefault(_key(erasers[content_id]), {})[content_id] = erasers[content_id]
        needed, before = [*erasers.values(), *running], {group.layers: group for group in self.groups}
        layers = [*before, *sorted({eraser.layers for eraser in needed} - before.keys())]
        made.groups = [
            Ways(own, (e for e in needed if e.layers == own), self._device, before.get(own)) for own in layers
        ]
        made.steering = {g: group for g, group in enumerate(made.groups) if group.table.numel()}
        made.held = {key: made._hold(key, own, self.held.get(key)) for key, own in sorted(reading.items())}
        read = {layer for one in made.held.values() for layer in one.bank.layers}
        made.reading = {layer: [i for i in made.held.items() if layer in i[1].bank.layers] for layer in read}
        made.erasers = dict(erasers)
        return made

    def follow(self, before: "Resident") -> list[Int[Tensor, " V"]]:
        """Take the place of another one, between two steps: what its gates have read is read here.

        Returns:
            For each of its groups, the number that each way has now, by the one that it had.
        """
        for key, one in self.held.items():
            if key in before.held:
                one.bank.follow(before.held[key].bank)
        return [now.moved(group) for now, group in zip(self.groups, before.groups, strict=False)]

    def answers(self, eraser: Eraser) -> bool:
        """Whether the ways of a running answer are here."""
        return any(group.layers == eraser.layers and group.holds(eraser) for group in self.groups)

    def _hold(self, key: Key, erasers: Mapping[str, Eraser], before: Held | None) -> Held:
        known = [group.layers for group in self.groups]
        group = tuple(known.index(eraser.layers) for eraser in erasers.values())
        ways = [self.groups[g].number(eraser) for g, eraser in zip(group, erasers.values(), strict=True)]
        places = {g: [e for e, own in enumerate(group) if own == g] for g in sorted(set(group))}
        members = {g: torch.tensor(own, device=self._device) for g, own in places.items()}
        numbers = {g: torch.tensor([ways[e] for e in own], device=self._device) for g, own in places.items()}
        bank = self._bank(key, erasers) if before is None else before.bank.with_erasers(erasers)
        return Held(bank, members, numbers)

    def _bank(self, key: Key, erasers: Mapping[str, Eraser]) -> Bank:
        if key[0] == SubjectGate.kind:
            return SubjectBank(erasers, self._places, self._device)
        return PromptBank(erasers, self._blocks, self._device)


def require_served(eraser: Eraser, content_id: str) -> None:
    """Refuse a gate of a kind that the engine does not know, so that nothing is served unsteered.

    Raises:
        EngineError: names the artifact.
    """
    if eraser.gate.kind not in SERVED:
        raise EngineError(
            f"artifact {content_id[:19]}... of method {eraser.method!r} has a gate of kind {eraser.gate.kind!r}, which "
            f"this engine does not serve: expected {' or '.join(SERVED)}. Fit the request again."
        )


def _key(eraser: Eraser) -> Key:
    """Gates of one bank have the same."""
    turn = vars(eraser.gate.turn).values() if isinstance(eraser.gate, SubjectGate) else ()
    return eraser.gate.kind, eraser.gate.layers, tuple(tuple(part.tolist()) for part in turn)
