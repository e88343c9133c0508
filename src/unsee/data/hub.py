"""Where a published data set lies: a folder here, or a hub repository of which only the wanted files are fetched.

A hub id is `owner/name`, or `owner/name@revision` to pin a branch, tag or commit. Files that are in the hub's cache
already need no connection.
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HFValidationError, HTTPError  # pyright: ignore[reportPrivateImportUsage]

from unsee.errors import DataError

_HUB_ID = re.compile(r"(\w[\w.-]*/\w[\w.-]*?)(?:@([\w./-]+))?")
_SHARD = re.compile(r"(.*)-(\d{5})-of-(\d{5})(?:\.parquet)")


def locate(source: Path | str, patterns: Sequence[str], kind: Literal["dataset", "model"] = "dataset") -> Path:
    """The folder that holds the data set.

    Args:
        source: a folder, or a hub id.
        patterns: what to fetch of a hub repository, as shell patterns; a folder is taken as it is.
        kind: what kind of repository the hub id names.

    Raises:
        DataError: there is neither such a folder nor such a repository, or the hub cannot be reached.
    """
    if Path(source).is_dir():
        return Path(source)
    found = None if isinstance(source, Path) else _HUB_ID.fullmatch(source)
    if found is None:
        raise DataError(
            f"there is no folder {str(source)!r}, and that is no hub id (owner/name or owner/name@revision). "
            "Check the path."
        )
    name, revision = found.groups()
    try:
        return Path(snapshot_download(name, repo_type=kind, revision=revision, allow_patterns=list(patterns)))
    except (OSError, HTTPError, HFValidationError) as error:
        raise DataError(
            f"{source!r} is no folder here and cannot be had from the hub: {type(error).__name__}: {error}. "
            "Check name and connection, or fetch the data set elsewhere and pass its folder."
        ) from error


def shards(folder: Path) -> list[Path]:
    """The parquet files of a folder in order; a file that its neighbours' names announce must be there.

    Reading `train-00001-of-00002.parquet` alone would drop half of the people without a word.

    Raises:
        DataError: there is none, or one of a numbered series is missing.
    """
    files = sorted(folder.glob("*.parquet"))
    if not files:
        raise DataError(f"{folder} holds no parquet file. Fetch the data set again, or check the path.")
    if missing := sorted(_announced(files) - {file.name for file in files}):
        raise DataError(
            f"{folder} holds {[file.name for file in files]} but not {missing}, which belong to the same table. "
            "Fetch them too: without them part of the rows would be left out."
        )
    return files


def _announced(files: Iterable[Path]) -> set[str]:
    names = set[str]()
    for file in files:
        if found := _SHARD.fullmatch(file.name):
            stem, _, count = found.groups()
            names |= {f"{stem}-{number:05d}-of-{count}.parquet" for number in range(int(count))}
    return names
