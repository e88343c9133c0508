"""The files of a published data set: where they lie, records of JSON, and images that a record names by a path.

A hub id is `owner/name`, or `owner/name@revision` to pin a branch, tag or commit. Files that are in the hub's cache
already need no connection.
"""

import re
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HFValidationError, HTTPError  # pyright: ignore[reportPrivateImportUsage]

from unsee.data.records import Record, readable, reject, strict_json
from unsee.data.sample import ImageFile
from unsee.errors import DataError, OptionError

_HUB_ID = re.compile(r"(\w[\w.-]*/\w[\w.-]*?)(?:@([\w./-]+))?")
_LARGEST_FILE = 1 << 26  # bytes of one image inside an archive


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


def chosen(split: str, here: Mapping[str, Path], source: Path | str) -> Path:
    """One of the splits that there are.

    Raises:
        OptionError: none of that name; lists those that there are.
    """
    if split not in here:
        raise OptionError(f"no split {split!r} in {str(source)!r}: those there are {sorted(here)}. Pass one of them.")
    return here[split]


def documents(file: Path) -> list[tuple[str, Record]]:
    """Records of a JSON file, each with where it is: one list of objects, or one object a line, whatever its suffix.

    Raises:
        DataError: the file cannot be read, holds no record, or something that is no object.
    """
    try:
        content = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"cannot read {file}: {error}. Expected UTF-8 text; fetch it again or check the path."
        ) from error
    try:
        whole = strict_json(content)
        parts = enumerate(whole if isinstance(whole, list) else [whole])
        found = [(f"{file}, record {number}", part) for number, part in parts]
    except ValueError:
        lines = ((f"{file}, line {number}", line) for number, line in enumerate(content.split("\n"), 1))
        found = [(at, _parsed_line(line, at)) for at, line in lines if line.strip()]
    for at, record in found:
        if not isinstance(record, dict):
            reject(at, "the record", record, "a JSON object")
    if not found:
        raise DataError(f"{file} holds no record, expected at least one. Fetch it again.")
    return found


def filed_image(
    name: str, id: str, roots: Sequence[Path], at: str, field: str = "image", shortest: int = 2
) -> ImageFile:
    """An image that a record names by a path: below one of the folders, or in a zip archive directly inside one.

    The folders in front, which the release was made in, may be missing here, so the tail of the path decides.

    Args:
        name: the path as the record has it.
        id: of the image.
        roots: folders to look in, in order.
        at: where the record is, for errors.
        field: of the record, for errors.
        shortest: how many parts the tail must have at least; 1 only where file names alone are unique.

    Raises:
        DataError: it is nowhere, leads out of the folders, is no image, or is too large to open safely.
    """
    parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")]
    if ".." in parts or "\x00" in name or not parts:
        reject(at, field, name, "a relative path inside the data set's folder")
    tails = ["/".join(parts[start:]) for start in range(max(1, len(parts) - shortest + 1))]
    for place in (root / tail for root in roots for tail in tails):
        if _is_file(place):
            return readable(ImageFile(id, place), at, field)
    archives = [archive for root in roots for archive in sorted(root.glob("*.zip"))]
    # The longest tail first, over all archives: another one may have a file of the same name in another folder.
    for tail in tails:
        if (inside := _archived(archives, tail, at, field)) is not None:
            return readable(ImageFile(id, inside), at, field)
    reject(at, field, name, f"an image in {[str(root) for root in roots]} or a zip archive there; unpack or fetch it")


def _parsed_line(line: str, at: str) -> Any:
    try:
        return strict_json(line)
    except ValueError:
        reject(at, "the line", line, "one JSON object, or the whole file one JSON list of objects")


def _is_file(place: Path) -> bool:
    try:
        return place.is_file()
    except OSError:
        # A name that no file system takes, such as one that is too long.
        return False


def _archived(archives: Sequence[Path], tail: str, at: str, field: str) -> bytes | None:
    archive = None
    try:
        fits = []
        for archive in archives:
            fits += [(archive, name) for name in _listed(archive, archive.stat().st_mtime_ns).get(tail, ())]
        if not fits:
            return None
        if len(fits) > 1:
            reject(at, field, tail, f"one file of that name; there are {[f'{a.name}: {name}' for a, name in fits[:3]]}")
        ((archive, inside),) = fits
        with zipfile.ZipFile(archive) as opened:
            if (size := opened.getinfo(inside).file_size) > _LARGEST_FILE:
                reject(at, field, inside, f"at most {_LARGEST_FILE} bytes unpacked, not {size}")
            return opened.read(inside)
    except (zipfile.BadZipFile, zlib.error, OSError, NotImplementedError, RuntimeError, EOFError) as error:
        raise DataError(f"{at}: {archive} is not a sound zip archive: {error}. Fetch it again.") from error


@lru_cache(maxsize=8)
def _listed(archive: Path, changed: int) -> dict[str, list[str]]:
    """Every tail of every path in an archive, to the paths that end so; read again when the file has changed."""
    del changed
    found: dict[str, list[str]] = {}
    with zipfile.ZipFile(archive) as opened:
        for name in opened.namelist():
            parts = name.split("/")
            for start in range(len(parts)):
                found.setdefault("/".join(parts[start:]), []).append(name)
    return found
