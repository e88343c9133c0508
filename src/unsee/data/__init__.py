"""Questions about subjects: what a sample is, how it is put to a model, and where samples come from.

One benchmark or format is one file with one `read_...` function that returns samples:

    from unsee.data import read

    mine = read("examples/own-data")               # a folder with data.jsonl
    forget = read("downloads/MLLMU-Bench:forget_5")  # a folder of configs and the config to read
    faces = read("therem/CLEAR:forget10", benchmark="clear")
"""

from pathlib import Path

from unsee.data.benchmarks import benchmark_task, read_benchmark
from unsee.data.benchmarks.clear import read_clear
from unsee.data.benchmarks.fiubench import read_fiubench
from unsee.data.benchmarks.items import Card, Item, Protocol, References
from unsee.data.benchmarks.mllmu import CONFIGS, read_mllmu, write_mllmu
from unsee.data.benchmarks.offside import read_offside
from unsee.data.benchmarks.released_prompts import RELEASED, whole_prompt
from unsee.data.benchmarks.safeeraser import read_safeeraser
from unsee.data.benchmarks.umu import read_umu
from unsee.data.benchmarks.unlok import read_unlok
from unsee.data.jsonl import FILE_NAME, read_jsonl, write_jsonl
from unsee.data.parquet import configs_of
from unsee.data.prompts import Style, chat, instruction
from unsee.data.sample import Form, ImageFile, Sample, require_disjoint, require_some, subjects
from unsee.data.saved import has_our_fields, is_saved, read_rows, read_saved
from unsee.data.task import Role, Set, Task
from unsee.errors import DataError, OptionError
from unsee.registry import BENCHMARKS

__all__ = [
    "CONFIGS",
    "RELEASED",
    "Card",
    "Form",
    "ImageFile",
    "Item",
    "Protocol",
    "References",
    "Role",
    "Sample",
    "Set",
    "Style",
    "Task",
    "benchmark_task",
    "chat",
    "configs_of",
    "instruction",
    "read",
    "read_benchmark",
    "read_clear",
    "read_fiubench",
    "read_jsonl",
    "read_mllmu",
    "read_offside",
    "read_safeeraser",
    "read_umu",
    "read_unlok",
    "require_disjoint",
    "require_some",
    "subjects",
    "whole_prompt",
    "write_jsonl",
    "write_mllmu",
]


_READ = "a folder, a .jsonl, .parquet or .arrow file, or OWNER/NAME:CONFIG of the hub"


def read(
    path: Path | str, config: str | None = None, benchmark: str | None = None, protocol: Protocol = "honest"
) -> list[Sample]:
    """Samples from whatever lies there: what the command line's DATA means.

    A `.jsonl` file, or a folder with a `data.jsonl`, is read as plain text; a parquet file, or a folder that `datasets`
    has saved, by columns of the same names. Anything else is MLLMU-Bench's schema: a folder of configs, or a data set's
    id on the hub, with the config behind a colon, `DIR:CONFIG`, unless the folder holds just one.

    Args:
        path: file, folder, `DIR:CONFIG` or `owner/name:CONFIG`.
        config: the config, in place of the one behind the colon.
        benchmark: name of the schema (see `unsee list benchmarks`); a config is then needed.
        protocol: as for `read_benchmark`; "official" needs a benchmark.

    Raises:
        DataError: the data cannot be had, or is malformed.
        OptionError: no config was named and there is not exactly one, or one was named where there are none; no such
            benchmark.
    """
    if config is None and ":" in str(path) and not Path(path).exists():
        path, _, config = str(path).rpartition(":")
    place = Path(path)
    if benchmark is not None:
        card = BENCHMARKS.named(benchmark).facts["card"]
        if config is None:
            raise OptionError(
                f"{str(path)!r} is {card.title}, but no split was named. Say which, as in "
                f"'{path}:{next(iter(card.splits))}'."
            )
        return [item.sample for item in read_benchmark(benchmark, path, config, protocol)]
    if protocol != "honest":
        raise OptionError(f"protocol is {protocol!r} but no benchmark was named, expected one of {BENCHMARKS.names()}.")
    if config is None and not (place.is_file() or place.is_dir()):
        what = "is a device or a pipe" if place.exists() else "is not there"
        raise DataError(f"{str(path)!r} {what}, expected {_READ}. Check the path.")
    if place.suffix == ".jsonl" or (place / FILE_NAME).is_file():
        if config is not None:
            raise OptionError(f"{path} is JSON lines and has no configs, but config is {config!r}. Leave it out.")
        return read_jsonl(place)
    if is_saved(place):
        return read_saved(place, config)
    if place.suffix in (".parquet", ".arrow"):
        return read_rows([place])
    if place.is_file():
        raise DataError(f"{str(path)!r} is a file that ends in {place.suffix!r}, expected {_READ}. Convert it.")
    found = configs_of(path)
    if config is None and len(found) != 1:
        raise OptionError(
            f"{str(path)!r} holds no {FILE_NAME}, and its configs (folders with parquet files) are {found}. "
            f"Say which to read, as in '{path}:{found[0] if found else 'forget_5'}', or check the path."
        )
    name = config if config is not None else found[0]
    if has_our_fields(files := sorted((place / name).glob("*.parquet"))):
        return read_rows(files)
    return read_mllmu(path, name)
