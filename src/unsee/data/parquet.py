"""Tables of parquet: read row by row with the place of each row, and written so that a reader can trust them."""

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from unsee.data.records import Record, text
from unsee.data.strict import plain, require_columns, unique
from unsee.errors import DataError, SaveError


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
        try:
            with pq.ParquetFile(file) as parquet:
                require_columns(parquet.schema_arrow.names, families, str(file))
                rows = (row for batch in parquet.iter_batches(batch_size=64) for row in batch.to_pylist())
                for number, row in enumerate(rows):
                    at = f"{file}, row {number}"
                    if key is not None:
                        unique(places, text(row, key, at), at, key)
                    yield at, row
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise DataError(f"{file} is not a sound parquet file: {error}. Fetch it again.") from error


def write_table(
    rows: Sequence[Record], schemas: Sequence[pa.Schema], file: Path, label: str, check: Callable[[Path], None]
) -> Path:
    """Write rows under the one of the schemas that the first row's columns are; the same rows give the same bytes.

    Args:
        rows: at least one.
        schemas: those there may be.
        file: where to; what was there before stays until the new table has passed.
        label: what errors call the table.
        check: reads the finished table and raises what it finds wrong.

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
        pq.write_table(pa.Table.from_pylist([plain(row) for row in rows], schema), part, row_group_size=100)
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
