"""The benchmarks that can be read, by the name that the command line takes.

Adding one: a file beside these with one function under `@benchmark`; docs/extend.md shows it from outside.
"""

from pathlib import Path

from unsee.data.benchmarks.items import Item, Protocol, require_protocol
from unsee.data.task import Task
from unsee.errors import OptionError
from unsee.registry import BENCHMARKS

Source = Path | str


def read_benchmark(name: str, source: Source, split: str, protocol: Protocol = "honest") -> list[Item]:
    """Every question of one split of a benchmark.

    Args:
        name: of the benchmark.
        source: the folder that holds it, or its hub id.
        split: config or file, as its card names them.
        protocol: where the released script takes another answer or wording from a row than the row itself gives,
            "official" follows the script.

    Raises:
        DataError: the data cannot be had, or is not as published.
        OptionError: no such benchmark, split or protocol, or it has no splits.
    """
    require_protocol(protocol)
    read = BENCHMARKS.named(name).facts["read"]
    if read is None:
        raise OptionError(f"the benchmark {name!r} has no splits of its own. Take it whole, with benchmark_task.")
    return read(source, split, protocol)


def benchmark_task(
    name: str, source: Source, protocol: Protocol = "honest", ratio: int | None = None, seed: int = 0
) -> Task:
    """The named sets of a benchmark under one protocol.

    Args:
        name: of the benchmark.
        source: the folder that holds it, or its hub id.
        protocol: "official" for the released splits and draws, "honest" for splits by person (see `honest`).
        ratio: forget ratio in percent, for benchmarks that have any; 5 by default.
        seed: of everything drawn, also of what the release draws unseeded.

    Raises:
        DataError: the data cannot be had, is not as published, or is too small to be split.
        OptionError: no such benchmark or protocol, or a ratio that it does not have.
    """
    require_protocol(protocol)
    found = BENCHMARKS.named(name)
    ratios = found.facts["ratios"]
    if ratio is not None and ratio not in ratios:
        legal = list(ratios) or "none: leave it out"
        raise OptionError(f"ratio is {ratio}, but {name!r} has {legal}. Pass one of its ratios.")
    return found.make(source, protocol, 5 if ratio is None else ratio, seed)
