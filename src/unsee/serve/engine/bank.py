"""What a bank of gates is: all loaded gates of one kind that read the same layers, decided together."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, Self, final

import torch

from unsee.erase.eraser import Eraser
from unsee.serve.engine.plan import Reading
from unsee.shapes import Float, Int, Tensor


@final
@dataclass(frozen=True, eq=False)
class Owners:
    """Whose the gates of a bank are.

    Attributes:
        ids: content ids of the erasers.
        sizes: gates of each.
        of: of each gate, the eraser as an index into `ids`.
    """

    ids: tuple[str, ...]
    sizes: tuple[int, ...]
    of: Int[Tensor, " K"]

    @staticmethod
    def of_sizes(sizes: Mapping[str, int], device: torch.device) -> "Owners":
        """From the number of gates by content id."""
        of = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(list(sizes.values())))
        return Owners(tuple(sizes), tuple(sizes.values()), of.to(device))

    def limits(self, thresholds: Mapping[str, Float[Tensor, " _"]]) -> Float[Tensor, " K"]:
        """Every gate's threshold in a set of erasers; infinity for those that are not in it."""
        shut = torch.tensor(torch.inf)
        parts = [thresholds.get(i, shut.expand(size)) for i, size in zip(self.ids, self.sizes, strict=True)]
        return torch.cat(parts).to(self.of.device, torch.float32)

    def largest(self, margins: Float[Tensor, "N K"], limits: Float[Tensor, "N K"]) -> Float[Tensor, "N E"]:
        """Largest score less threshold of each eraser; minus infinity where a row's set does not hold it.

        NaN where a gate of it read no finite number: minus infinity would pass for an eraser that is not in force.
        """
        margins = margins.masked_fill(limits == torch.inf, -torch.inf)
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

    def margins(self, reading: Reading, limits: Float[Tensor, "N K"]) -> Float[Tensor, "N E"]:
        """Of the prompts that end in this step, once the last layer was read; as `Owners.largest`."""
        ...
