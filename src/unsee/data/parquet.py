"""Tables of parquet: read row by row with the place of each row, and written so that a reader can trust them."""

import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from unsee.data.records import Record, reject, text, unique
from unsee.errors import DataError, SaveError

IMAGE = pa.struct({"bytes": pa.binary(), "path": pa.string()})
"""The type of a column of images, as `datasets` has it."""
_SHARD = re.compile(r"(.*)-(\d{5})-of-(\d{5})\.parquet")


def configs_of(directory: Path | str) -> list[str]:
    """Names of the folders directly below `directory` that hold parquet files."""
    return sorted({file.parent.name for file in Path(directory).glob("*/*.parquet")})


def shards(folder: Path) -> list[Path]:
    """The parquet files of a folder in order; a file that its neighbours' names announce must be there.

    Reading `train-00001-of-00002.parquet` alone would drop half of the people without a word.

    Raises:
        DataError: there is none, or one of a numbered series is missing.
    """
    files = sorted(folder.glob("*.parquet"))
    if not files:
        raise DataError(f"{folder} holds no parquet file. Fetch the data set again, or check the path.")
    series = {(found[1], found[3]) for file in files if (found := _SHARD.fullmatch(file.name))}
    announced = {f"{stem}-{n:05d}-of-{count}.parquet" for stem, count in series for n in range(int(count))}
    if missing := sorted(announced - {file.name for file in files}):
        raise DataError(
            f"{folder} holds {[file.name for file in files]} but not {missing}, which belong to the same table. "
            "Fetch them too: without them part of the rows would be left out."
        )
    return files


def columns_of(file: Path) -> list[str]:
    """Names of a table's columns.

    Raises:
        DataError: the file is damaged.
    """
    try:
        return pq.read_schema(file).names
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{file} is not a sound parquet file: {error}. Fetch it again.") from error


def rows_of(file: Path) -> Iterator[tuple[str, Record]]:
    """Rows of a parquet file, or of an Arrow stream as `datasets` saves it, each with where it is.

    Raises:
        DataError: the file is damaged.
    """
    kind = "Arrow" if file.suffix == ".arrow" else "parquet"
    try:
        with pa.memory_map(str(file)) as opened:
            stream = kind == "Arrow"
            batches = pa.ipc.open_stream(opened) if stream else pq.ParquetFile(opened).iter_batches(batch_size=64)
            rows = (row for batch in batches for row in batch.to_pylist())
            for number, row in enumerate(rows):
                yield f"{file}, row {number}", row
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file} is not a sound {kind} file: {error}. Fetch it again.") from error


def table(
    files: Iterable[Path], families: Sequence[Collection[str]], key: str | None = None
) -> Iterator[tuple[str, Record]]:
    """Rows of parquet files in order, each as (where it is, columns to plain lists, dictionaries and values).

    Args:
        files: of one table.
        families: the sets of columns that there may be; a file must have exactly one of them.
        key: column whose values must be text, each of its own.

    Raises:
        DataError: a file is damaged, its columns are not as published, or a key is missing or there twice.
    """
    places: dict[str, str] = {}
    for file in files:
        require_columns(columns_of(file), families, str(file))
        for at, row in rows_of(file):
            if key is not None:
                unique(places, text(row, key, at), at, key)
            yield at, row


def require_columns(names: Collection[str], families: Sequence[Collection[str]], at: str) -> Collection[str]:
    """The family that these columns are.

    Raises:
        DataError: none is; names what the nearest one has and these have not, and the reverse.
    """
    nearest = min(families, key=lambda family: len(set(names) ^ set(family)))
    if differing := sorted(set(names) ^ set(nearest)):
        reject(at, "the set of columns", list(names), f"{list(nearest)}; missing or unknown: {differing}")
    return nearest


def write_table(
    rows: Sequence[Record], schemas: Sequence[pa.Schema], file: Path, label: str, check: Callable[[Path], None]
) -> Path:
    """Write rows under the one of the schemas that the first row's columns are; the same rows give the same bytes.

    Raises:
        DataError: a row departs from the schema, or `check` finds something.
        SaveError: the file could not be written.
    """
    families = [schema.names for schema in schemas]
    for number, row in enumerate(rows):
        families = [list(require_columns(row.keys(), families, f"{label}, row {number}"))]
    schema = next(schema for schema in schemas if schema.names == families[0])
    part = file.with_suffix(".part")
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist([_plain(row) for row in rows], schema), part, row_group_size=100)
        check(part)
        os.replace(part, file)
    except (pa.ArrowException, TypeError) as error:
        raise DataError(f"{label}: a value does not fit the schema: {error}. Expected:\n{schema}") from error
    except OSError as error:
        raise SaveError(f"cannot write {file}: {error}. Check the folder's rights and the free space.") from error
    finally:
        if part.is_file():
            part.unlink()
    return file


def _plain(value: Any) -> Any:
    """The value with numpy's arrays and scalars, as pandas hands them out, as plain lists and values."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {name: _plain(entry) for name, entry in value.items()}
    return [_plain(entry) for entry in value] if isinstance(value, list | tuple) else value
