"""What an engine holds: erasers, and the sets of them that requests name; made beside what is in use, and then swapped.

Nothing here is changed once it is made, but for what banks go on reading.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch

from unsee.erase.eraser import Eraser
from unsee.erase.eraser_set import together
from unsee.errors import SteeringError
from unsee.serve.engine.resident import Key, Resident
from unsee.serve.engine.tracking import NO_SET
from unsee.shapes import Tensor


@final
@dataclass(frozen=True, eq=False)
class Loaded:
    """Erasers and sets.

    Attributes:
        number: of changes so far.
        resident: the erasers, as tables.
        thresholds: by set and content id: those of all erasers of a set together (`eraser_set.together`), so an eraser
            may have another one in each.
        limits: the same by bank and set, for each gate of the bank.
        orders: by set, the place of each eraser: of equal margins that counts which is named first.
        ranks: the same by bank and set.
        stay: sets that are held as they were in what was loaded before.
    """

    number: int
    resident: Resident
    thresholds: Mapping[str, Mapping[str, Tensor]]
    limits: Mapping[tuple[Key, str], Tensor]
    orders: Mapping[str, Mapping[str, int]]
    ranks: Mapping[tuple[Key, str], Tensor]
    stay: frozenset[str]

    @property
    def sets(self) -> dict[str, list[str]]:
        """Content ids by the name of a set, in order."""
        return {name: list(own) for name, own in self.orders.items()}

    @staticmethod
    def nothing(resident: Resident) -> "Loaded":
        """No eraser, and the empty set."""
        return Loaded(0, resident, {NO_SET: {}}, {}, {NO_SET: {}}, {}, frozenset())

    def other(
        self, erasers: Mapping[str, Eraser], sets: Mapping[str, Sequence[str]], running: Iterable[Eraser]
    ) -> "Loaded":
        """Exactly these erasers and sets, and the ways of answers that are running.

        Raises:
            SteeringError: a set names an eraser that is not there.
        """
        orders = {name: {i: place for place, i in enumerate(ids)} for name, ids in sets.items()} | {NO_SET: {}}
        absent = {i for own in orders.values() for i in own} - erasers.keys()
        if absent:
            raise SteeringError(f"sets name {len(absent)} eraser(s) that were not given. Nothing was changed.")
        held = self.resident.erasers
        same, known = {i for i in held if held[i] is erasers.get(i)}, self.thresholds
        stay = {n for n, own in orders.items() if n in known and known[n].keys() == own.keys() <= same}
        thresholds = {
            name: known[name] if name in stay else _together({i: erasers[i] for i in sorted(own)})
            for name, own in orders.items()
        }
        resident = self.resident.other(erasers, running)
        banks = {key: one.bank.owners for key, one in resident.held.items()}
        limits = {(key, n): owners.limits(own) for key, owners in banks.items() for n, own in thresholds.items()}
        ranks = {
            (key, n): torch.tensor([own.get(i, len(own)) for i in owners.ids], device=owners.of.device)
            for key, owners in banks.items()
            for n, own in orders.items()
        }
        return Loaded(self.number + 1, resident, thresholds, limits, orders, ranks, frozenset(stay))


def _together(erasers: Mapping[str, Eraser]) -> dict[str, Tensor]:
    """Thresholds by content id."""
    raised = together(list(erasers.values()))
    gates = {i: eraser.gate for i, eraser in zip(erasers, raised, strict=True)}
    return {i: gate.threshold for i, gate in gates.items() if gate.latched}
