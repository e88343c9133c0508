"""The world in the schema of each benchmark: small folders that the readers take for the real thing.

They let a pipeline be tried before anything is fetched, on a model that knows these people, and the tests run on
nothing else. Nothing of any real data set is in them. `fixture_tables` has those kept as tables of parquet,
`fixture_files` those kept as JSON and image files.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from unsee.errors import OptionError, SaveError
from unsee.world.fixture_files import write_fiubench, write_offside, write_safeeraser, write_unlok
from unsee.world.fixture_tables import write_clear, write_mllmu_configs, write_umu
from unsee.world.generate import Kind
from unsee.world.splits import Exam

FIXTURES: Final[Mapping[str, Callable[[Exam, Path], None]]] = {
    "mllmu": write_mllmu_configs,
    "clear": write_clear,
    "umu": write_umu,
    "fiubench": write_fiubench,
    "safeeraser": write_safeeraser,
    "offside": write_offside,
    "unlok": write_unlok,
}

_LEAST: Final[Mapping[Kind, int]] = {"private": 16, "celebrity": 4, "stranger": 1}


def write_fixture(name: str, exam: Exam, out: Path | str) -> Path:
    """Write the world to `<out>/<name>` in the schema of one benchmark; the same world gives the same bytes.

    Args:
        name: of the benchmark; `clear` serves `clear-choice` too.
        exam: the world, and who is forgotten; at least 16 private people, 4 celebrities and a stranger.
        out: folder above.

    Raises:
        OptionError: no fixture has that name, or the world is too small for its splits.
        SaveError: a file could not be written.
    """
    if name not in FIXTURES:
        raise OptionError(f"there is no fixture {name!r}: expected one of {list(FIXTURES)}. Pass one of these.")
    counts = {kind: len(exam.world.of(kind)) for kind in _LEAST}
    if any(counts[kind] < least for kind, least in _LEAST.items()):
        raise OptionError(
            f"the world has {counts}, expected at least {dict(_LEAST)}, so that every split of every benchmark has "
            "somebody. Take a larger world."
        )
    folder = Path(out) / name
    try:
        FIXTURES[name](exam, folder)
    except OSError as error:
        raise SaveError(f"cannot write {folder}: {error}. Check the folder's rights and the free space.") from error
    return folder
