"""What a bank of gates is: all loaded gates of one kind that read the same layers, decided together."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, Self, final

import torch

from unsee.erase.eraser import Eraser
from unsee.erase.gates.base import LatchedGate
from unsee.serve.engine.plan import Reading
from unsee.shapes import Float, Int, Tensor


@final
@dataclass(frozen=True, eq=False)
class Owners:
    """Whose the gates of a bank are.

    Attributes:
        ids: content ids of the erasers.
        shut: of each, the thresholds at which its gates never fire.
        of: of each gate, the eraser as an index into `ids`.
    """

    ids: tuple[str, ...]
    shut: tuple[Float[Tensor, "_ ..."], ...]
    of: Int[Tensor, " K"]

    @staticmethod
    def of_gates(gates: Mapping[str, LatchedGate], device: torch.device) -> "Owners":
        """From gates by content id."""
        shut = tuple(torch.full_like(gate.threshold, torch.inf) for gate in gates.values())
        of = torch.repeat_interleave(torch.arange(len(gates)), torch.tensor([len(one) for one in shut]))
        return Owners(tuple(gates), shut, of.to(device))

    @property
    def sizes(self) -> list[int]:
        """Gates of each."""
        return [len(one) for one in self.shut]

    def limits(self, thresholds: Mapping[str, Float[Tensor, "_ ..."]]) -> Float[Tensor, "K ..."]:
        """Every gate's threshold in a set of erasers; infinity for those that are not in it."""
        parts = [thresholds.get(i, shut) for i, shut in zip(self.ids, self.shut, strict=True)]
        return torch.cat(parts).to(self.of.device, torch.float32)

    def largest(self, margins: Float[Tensor, "N K"], limits: Float[Tensor, "N K ..."]) -> Float[Tensor, "N M"]:
        """Largest score less threshold of each eraser; minus infinity where a row's set does not hold it.

        NaN where a gate of it read no finite number: minus infinity would pass for an eraser that is not in force.
        """
        shut = (limits == torch.inf).view(*margins.shape, -1).all(2)
        margins = margins.masked_fill(shut, -torch.inf)
        largest = margins.new_full((len(margins), len(self.ids)), -torch.inf)
        return largest.scatter_reduce_(1, self.of.expand_as(margins), margins, "amax")


class Bank(Protocol):
    """Gates at work.

    Attributes:
        layers: read, ascending; all are decided at the last.
        owners: whose they are.
    """

    @property
    def layers(self) -> tuple[int, ...]:
        """Read, ascending; all are decided at the last."""
        ...

    @property
    def owners(self) -> Owners:
        """Whose the gates are."""
        ...

    def with_erasers(self, erasers: Mapping[str, Eraser]) -> Self:
        """A bank of these, which knows what this one has read, once it follows it; steps may go on meanwhile."""
        ...

    def follow(self, before: Any) -> None:
        """Between two steps: take over what the bank that this one was made from has read since."""
        ...

    def read(self, layer: int, states: Float[Tensor, "P D"], reading: Reading) -> None:
        """The input of a layer at the prompts' tokens of a step, in float32."""
        ...

    def margins(self, reading: Reading, limits: Float[Tensor, "N K ..."]) -> Float[Tensor, "N M"]:
        """Of the prompts that end in this step, once the last layer was read; as `Owners.largest`."""
        ...
