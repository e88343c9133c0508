"""The benchmarks that can be read, by the name that the command line takes.

Adding one: a file with a `CARD`, a `read_...` and a `..._sets` beside these, and an entry in `BENCHMARKS`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from unsee.data.benchmarks import clear, fiubench, mllmu, offside, safeeraser, umu, unlok
from unsee.data.benchmarks.items import Card, Item, Protocol, Sets, require_protocol
from unsee.data.prompts import Style
from unsee.errors import OptionError

Source = Path | str


@final
@dataclass(frozen=True)
class Benchmark:
    """How one benchmark is read.

    Attributes:
        card: what is known of the data set.
        style: prompt style of its released evaluation.
        ratios: forget ratios in percent; none where the benchmark has none.
        read: every question of one split (config, file), as (where it lies, split, protocol).
        sets: the sets of a protocol, as (where it lies, protocol, ratio, seed).
    """

    card: Card
    style: Style
    ratios: tuple[int, ...]
    read: Callable[[Source, str, Protocol], list[Item]]
    sets: Callable[[Source, Protocol, int, int], Sets]


def benchmark_named(name: str) -> Benchmark:
    """Look one up.

    Raises:
        OptionError: no benchmark has that name; lists those that have one.
    """
    if name not in BENCHMARKS:
        raise OptionError(f"benchmark is {name!r}, expected one of {list(BENCHMARKS)}. Pass one of these.")
    return BENCHMARKS[name]


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
        OptionError: no such benchmark, split or protocol.
    """
    require_protocol(protocol)
    return benchmark_named(name).read(source, split, protocol)


def benchmark_sets(
    name: str, source: Source, protocol: Protocol = "honest", ratio: int | None = None, seed: int = 0
) -> Sets:
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
    found = benchmark_named(name)
    if ratio is not None and ratio not in found.ratios:
        legal = list(found.ratios) or "none: leave it out"
        raise OptionError(f"ratio is {ratio}, but {found.card.title} has {legal}. Pass one of its ratios.")
    return found.sets(source, protocol, 5 if ratio is None else ratio, seed)


def _as_items(source: Source, split: str, protocol: Protocol) -> list[Item]:
    views: mllmu.Views = "drawn" if protocol == "official" else "first"
    return [Item(sample) for sample in mllmu.read_mllmu(source, split, images=views)]


BENCHMARKS: Final[Mapping[str, Benchmark]] = {
    "mllmu": Benchmark(mllmu.CARD, "mllmu", (5, 10, 15), _as_items, mllmu.mllmu_sets),
    "clear": Benchmark(
        clear.CARD,
        "clear",
        (1, 5, 10),
        lambda source, split, _: clear.read_clear(source, split, ["caption", "name", "question"]),
        clear.clear_sets,
    ),
    "clear-choice": Benchmark(
        clear.CARD,
        "clear-choice",
        (1, 5, 10),
        lambda source, split, _: clear.read_clear(source, split, ["choice"]),
        clear.clear_choice_sets,
    ),
    "umu": Benchmark(
        umu.CARD,
        "umu",
        (5, 10, 15),
        lambda source, split, protocol: umu.read_umu(source, split, protocol=protocol),
        umu.umu_sets,
    ),
    "fiubench": Benchmark(
        fiubench.CARD,
        "fiubench",
        (1, 5, 10),
        lambda source, split, _: fiubench.read_fiubench(source, split),
        fiubench.fiubench_sets,
    ),
    "safeeraser": Benchmark(
        safeeraser.CARD,
        "safeeraser",
        (),
        lambda source, split, protocol: safeeraser.read_safeeraser(source, split, protocol=protocol),
        lambda source, protocol, _, seed: safeeraser.safeeraser_sets(source, protocol, seed),
    ),
    "offside": Benchmark(
        offside.CARD,
        "offside",
        (),
        offside.read_offside,
        lambda source, protocol, _, seed: offside.offside_sets(source, protocol, seed),
    ),
    "unlok": Benchmark(
        unlok.CARD,
        "unlok",
        (),
        lambda source, split, _: unlok.read_unlok(source, split),
        lambda source, protocol, _, seed: unlok.unlok_sets(source, protocol, seed),
    ),
}
