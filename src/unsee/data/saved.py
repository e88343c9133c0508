"""Questions in our own fields as the `datasets` library keeps them: a folder of `save_to_disk`, or parquet files."""

from collections.abc import Iterable
from pathlib import Path

from unsee.data.jsonl import FIELDS, samples_of
from unsee.data.parquet import columns_of, rows_of
from unsee.data.records import strict_json
from unsee.data.sample import Sample, require_some
from unsee.errors import DataError, OptionError

_SPLITS, _STATE = "dataset_dict.json", "state.json"


def is_saved(folder: Path) -> bool:
    """Whether `save_to_disk` has made the folder, of one split or of several."""
    return any((folder / name).is_file() for name in (_SPLITS, _STATE))


def has_our_fields(files: Iterable[Path]) -> bool:
    """Whether the first of these tables has our columns, and not those of a benchmark."""
    first = next(iter(files), None)
    return first is not None and {"subject"} <= set(columns_of(first)) <= set(FIELDS)


def read_saved(folder: Path, split: str | None = None) -> list[Sample]:
    """Every row of a saved data set, whose columns are named like the fields of JSON lines.

    Images are those of the `Image` feature, with their bytes inside.

    Raises:
        DataError: the folder is damaged, or a row is not as JSON lines have to be.
        OptionError: there are several splits and none was named, or none of that name.
    """
    if (folder / _SPLITS).is_file():
        names = _named(folder / _SPLITS, "splits")
        if (split is None and len(names) > 1) or (split is not None and split not in names):
            raise OptionError(f"{folder} has the splits {names}, got {split!r}. Say one, as in '{folder}:{names[0]}'.")
        folder = folder / (split or names[0])
    elif split is not None:
        raise OptionError(f"{folder} is one split, but {split!r} was asked for. Leave it out.")
    return read_rows([folder / name for name in _named(folder / _STATE, "_data_files")])


def read_rows(files: Iterable[Path]) -> list[Sample]:
    """Every row of Arrow or parquet files in our own fields.

    Raises:
        DataError: names file, row, field, got and expected.
    """
    rows = enumerate(row for file in files for row in rows_of(file))
    samples = samples_of(((at, f"row-{number}", row) for number, (at, row) in rows), None)
    require_some(samples, "data")
    return samples


def _named(file: Path, field: str) -> list[str]:
    """The names in a field of one of the library's files, each of something directly beside it."""
    try:
        found = strict_json(file.read_text(encoding="utf-8")).get(field)
        names = [one["filename"] if isinstance(one, dict) else one for one in found]
        if not names or any(Path(name).name != name for name in names):
            raise ValueError(f"{field} is {found}")
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataError(f"cannot read {file}: {error}. Expected what save_to_disk writes; save it again.") from error
    return names
