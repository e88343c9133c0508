"""What a method costs: the memory that its fit takes at most, and the time of its answers against the plain model's."""

import gc
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import TypeVar

import torch

from unsee.data.sample import Sample
from unsee.evals.answerers import Answerer, How

Result = TypeVar("Result")
TOKENS = 24
"""Length of the answers that are timed."""

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def with_peak(work: Callable[[], Result]) -> tuple[Result, float | None]:
    """The result, and the highest memory above what was in use before, in MiB; None where the system does not tell.

    Of the accelerator where there is one, else of the process as Linux counts its resident pages.
    """
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        return work(), (torch.cuda.max_memory_allocated() - before) / 2**20
    try:
        _CLEAR.write_text("5")  # the mark starts again from here
        start = _kib("VmRSS")
    except OSError:
        return work(), None
    result = work()
    return result, max(0, _kib("VmHWM") - start) / 1024


def _kib(name: str) -> int:
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1])


def token_cost(answerer: Answerer, base: Answerer, samples: Sequence[Sample], rounds: int = 3) -> float:
    """Time of answers of `TOKENS` tokens, prompt included, over the plain model's: the median of ratios in turns.

    Args:
        answerer: what is timed.
        base: what it is compared with.
        samples: one batch, asked by both in each round; a round before them is not counted.
        rounds: how many.
    """

    def seconds(one: Answerer) -> float:
        start = time.perf_counter()
        one.answers(samples, How(TOKENS, exact=True))
        return time.perf_counter() - start

    ratios = [seconds(answerer) / seconds(base) for _ in range(rounds + 1)]
    return median(ratios[1:])
