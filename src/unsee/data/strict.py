"""Reading published files strictly: what is not as published is refused by file, row and field, and never guessed.

Shared by the readers of benchmarks: records of JSON, columns, lists, literals and images; `tables` has the parquet.
"""

import ast
import zipfile
import zlib
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

import numpy as np

from unsee.data.images import MOST_PIXELS, header
from unsee.data.records import Record, reject, strict_json, text
from unsee.data.sample import ImageFile
from unsee.errors import DataError, ImageError

_LARGEST_FILE = 1 << 26  # bytes of one image inside an archive


def require_columns(names: Collection[str], families: Sequence[Collection[str]], at: str) -> Collection[str]:
    """The family that these columns are.

    Raises:
        DataError: none is; names what the nearest one has and these have not, and the reverse.
    """
    nearest = min(families, key=lambda family: len(set(names) ^ set(family)))
    if differing := sorted(set(names) ^ set(nearest)):
        reject(at, "the set of columns", list(names), f"{list(nearest)}; missing or unknown: {differing}")
    return nearest


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
        found = whole if isinstance(whole, list) else [whole]
        places = [f"{file}, record {number}" for number in range(len(found))]
    except ValueError:
        lines = [(number, line) for number, line in enumerate(content.split("\n"), 1) if line.strip()]
        places = [f"{file}, line {number}" for number, _ in lines]
        found = [_parsed_line(line, at) for (_, line), at in zip(lines, places, strict=True)]
    for at, record in zip(places, found, strict=True):
        if not isinstance(record, dict):
            reject(at, "the record", record, "a JSON object")
    if not found:
        raise DataError(f"{file} holds no record, expected at least one. Fetch it again.")
    return list(zip(places, cast("list[Record]", found), strict=True))


def require_fields(record: Record, needed: Collection[str], optional: Collection[str], at: str) -> None:
    """Refuse a record that lacks a field, or has one that is not known.

    Raises:
        DataError: names the first such field.
    """
    if missing := sorted(set(needed) - set(record)):
        reject(at, missing[0], None, f"a value; a record has {sorted(needed)}")
    if unknown := sorted(set(record) - set(needed) - set(optional)):
        reject(at, "the name of a field", unknown[0], f"one of {sorted({*needed, *optional})}")


def unique(places: dict[str, str], key: str, at: str, field: str) -> None:
    """Note where a key was seen.

    Raises:
        DataError: it was seen before; says where.
    """
    if (first := places.setdefault(key, at)) != at:
        reject(at, field, key, f"an {field} of its own ({first} has the same)")


def plain(value: Any) -> Any:
    """The value with numpy's arrays and scalars, as pandas hands them out, as plain lists and values."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {name: plain(entry) for name, entry in value.items()}
    return [plain(entry) for entry in value] if isinstance(value, list | tuple) else value


def records(value: object, field: str, at: str) -> list[Record]:
    """A list of at least one record.

    Raises:
        DataError: it is no list, is empty, or holds something else (another list, text, None).
    """
    found = plain(value)
    if not isinstance(found, list) or not found or not all(isinstance(record, Mapping) for record in found):
        reject(at, field, value, "a list of at least one record")
    return found


def texts(value: object, field: str, at: str) -> tuple[str, ...]:
    """A list of at least one text.

    Raises:
        DataError: it is no list, is empty, or an entry is no text or blank; names the entry.
    """
    found = plain(value)
    if not isinstance(found, list) or not found:
        reject(at, field, value, "a list of at least one text")
    return tuple(text({f"{field}[{n}]": entry}, f"{field}[{n}]", at) for n, entry in enumerate(found))


def literal(value: object, field: str, at: str) -> Record:
    """The dictionary that a column of text spells as a Python literal; read without running anything.

    Raises:
        DataError: it is no text, no literal (numpy's `array(...)` is none), or no dictionary.
    """
    given = text({field: value}, field, at)
    try:
        found = ast.literal_eval(given.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        wrapped = "array(" in given
        why = "without numpy's array(...): save it with .tolist()" if wrapped else "such as \"{'question': {...}}\""
        reject(at, field, given, f"a dictionary as a Python literal, {why}")
    if not isinstance(found, dict):
        reject(at, field, given, "a dictionary as a Python literal")
    return found


def mapping(value: object, field: str, at: str) -> Record:
    """An object with at least one entry.

    Raises:
        DataError: it is none, or empty.
    """
    if not isinstance(value, Mapping) or not value:
        reject(at, field, value, "an object with at least one entry")
    return cast("Record", value)


def stored_image(value: object, id: str, at: str, field: str = "image") -> ImageFile:
    """The image of a column of `datasets`' Image type, {bytes, path}; its header is read, its pixels are not.

    Raises:
        DataError: there are no bytes, they are no image, or it is too large to open safely.
    """
    inside = value.get("bytes") if isinstance(value, Mapping) else value
    if not isinstance(inside, bytes) or not inside:
        reject(at, f"{field}.bytes" if isinstance(value, Mapping) else field, inside, "the bytes of an image file")
    return _checked(ImageFile(id, inside), at, f"{field}.bytes")


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
    for root in roots:
        for place in (root / tail for tail in tails):
            if _is_file(place):
                return _checked(ImageFile(id, place), at, field)
    archives = [archive for root in roots for archive in sorted(root.glob("*.zip"))]
    # The longest tail first, over all archives: another one may have a file of the same name in another folder.
    for tail in tails:
        if (inside := _archived(archives, tail, at, field)) is not None:
            return _checked(ImageFile(id, inside), at, field)
    reject(at, field, name, f"an image in {[str(root) for root in roots]} or a zip archive there; unpack or fetch it")


def pseudonym(prefix: str, name: str) -> str:
    """An id in place of a name, the same for the same name; a name as short as a person's can be found by trying."""
    return f"{prefix}-{sha256(name.strip().casefold().encode()).hexdigest()[:10]}"


def _parsed_line(line: str, at: str) -> object:
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
            stamp = archive.stat()
            fits += [(archive, name) for name in _listed(archive, stamp.st_mtime_ns, stamp.st_size).get(tail, ())]
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
def _listed(archive: Path, changed: int, size: int) -> dict[str, tuple[str, ...]]:
    """Every tail of every path in an archive, to the paths that end so; read again when the file has changed."""
    del changed, size
    found: dict[str, tuple[str, ...]] = {}
    with zipfile.ZipFile(archive) as opened:
        for name in opened.namelist():
            parts = name.split("/")
            for tail in ("/".join(parts[start:]) for start in range(len(parts))):
                found[tail] = (*found.get(tail, ()), name)
    return found


def _checked(image: ImageFile, at: str, field: str) -> ImageFile:
    try:
        header(image.source, image.id)
    except ImageError as error:
        got = image.source[:16] if isinstance(image.source, bytes) else str(image.source)
        why = type(error.__cause__).__name__ if error.__cause__ else "DecompressionBomb"
        reject(at, field, got, f"an image file of at most {MOST_PIXELS} pixels ({why})")
    return image
