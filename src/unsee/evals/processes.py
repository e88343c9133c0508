"""One process or several: which of them this is, and how they wait for each other."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

from unsee.extras import extra


def _nothing() -> None:
    pass


@final
@dataclass(frozen=True)
class Processes:
    """The processes of one evaluation.

    Attributes:
        index: of this one, from 0, which is the one that shows and merges.
        count: how many there are.
        wait: returns when all have called it.
        close: takes leave of the others.
    """

    index: int = 0
    count: int = 1
    wait: Callable[[], None] = _nothing
    close: Callable[[], None] = _nothing

    @property
    def main(self) -> bool:
        """Whether this is the one that shows and merges."""
        return self.index == 0


def launched() -> Processes:
    """The processes that `accelerate launch` or `torchrun` has started, this one alone where neither has.

    On CUDA each gets its own device, before a model is loaded; without CUDA they speak through gloo.

    Raises:
        MissingExtraError: several processes were launched and accelerate is not installed.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return Processes()
    import torch

    state = extra("accelerate", "accelerate").PartialState(cpu=not torch.cuda.is_available())
    return Processes(state.process_index, state.num_processes, state.wait_for_everyone, state.destroy_process_group)
