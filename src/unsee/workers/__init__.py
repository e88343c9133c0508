"""Where batches of work run: in this process, or in workers on one machine or many; each holds what it works with.

The unit is a part (a batch of prompts). What a part gives depends on the part alone, so neither the number of workers
nor the order in which they finish changes a result.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar, final

from unsee.errors import UnseeError

W = TypeVar("W")
Held = TypeVar("Held", covariant=True)
P = TypeVar("P")
R = TypeVar("R")


class WorkerError(UnseeError, RuntimeError):
    """Workers cannot be had, differ from one another, or are lost for good."""


class Workers(Protocol[Held]):
    """Workers that hold the same thing each."""

    def map(
        self, work: Callable[[Held, P], R], parts: Iterable[P], *, in_order: bool = False
    ) -> Iterator[tuple[int, R]]:
        """The place and the result of every part, each once; few are under way or waiting at a time.

        Args:
            work: given what a worker holds, and a part; at the top of a module, so that it can be sent.
            parts: taken as they are needed.
            in_order: results come in the order of the parts, rather than as they are finished.

        Raises:
            WorkerError: workers are lost for good.
            UnseeError: as `work` raises it.
        """
        ...


@final
@dataclass(frozen=True, eq=False)
class Here(Generic[W]):
    """This process alone, one part after the other.

    Attributes:
        held: what it works with.
    """

    held: W

    def map(self, work: Callable[[W, P], R], parts: Iterable[P], *, in_order: bool = False) -> Iterator[tuple[int, R]]:
        """As `Workers.map`."""
        del in_order
        return ((place, work(self.held, part)) for place, part in enumerate(parts))
