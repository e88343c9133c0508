"""One small run, started by tests in one process and in two; in two, its weights may be sharded (FSDP2)."""

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from accelerate.state import AcceleratorState, DistributedType, PartialState

from tiny_llava import question, tiny_llava
from trained import change_weights
from unsee.methods.settings import preset
from unsee.models.load import LoadedModel


def launched_run(out: Path, save_every: int = 50) -> LoadedModel:
    """SGD, because Adam turns rounding into steps; answers of one length, because means are taken per process.

    With momentum: torch cannot go on with a sharded optimiser that has no state.
    """
    forget = [question(i, "who?", image=i % 2 == 0) for i in range(4)]
    retain = [
        replace(question(i + 10, "and?", image=i % 2 == 1), answer=a) for i, a in enumerate(("bo.", "cy.", "di."))
    ]
    trainer = {"optim": "sgd", "optim_args": "momentum=0.9"}
    settings = preset("npo").changed(lora=False, rate=1e-2, batch_size=2, epochs=2, trainer=trainer)
    return change_weights(tiny_llava(), "npo", forget, retain, out, settings=settings, save_every=save_every)


def main(out: Path, sharded: bool = False) -> None:
    """What each process does; it leaves a file that says that it was there, and how it held the weights."""
    if sharded:
        _shard_on_cpus()
    launched_run(out, save_every=2)
    kind = PartialState().distributed_type.value if not sharded else AcceleratorState().distributed_type.value
    (out / f"process-{os.environ['RANK']}").write_text(kind)


def _shard_on_cpus() -> None:
    """Everything but accelerate's own list of machines that may shard: CPUs are not on it, torch shards there too."""
    init = PartialState.__init__

    def wrapped(self: PartialState, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **kwargs)
        if self.distributed_type == DistributedType.MULTI_CPU:
            self.distributed_type = DistributedType.MULTI_GPU

    PartialState.__init__ = wrapped


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:] == ["sharded"])
