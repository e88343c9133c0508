"""A safetensors reader that believes nothing: every name, dtype, shape and value is checked against what is expected.

The library's own parser keeps memory safe; it does not know which tensors an artifact must have, lets a name appear
twice in the header, and has no view on values. Nothing is decoded before the header and the size of the file are right.
"""

import math
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, TypeGuard, cast

import safetensors.torch
import torch
from safetensors import SafetensorError

from unsee.erase.artifact_files import FETCH_AGAIN, open_file, unreadable
from unsee.erase.strict_json import MAX_JSON, is_whole, parsed_object
from unsee.errors import ArtifactError
from unsee.shapes import Tensor

TensorSpec = tuple[torch.dtype, tuple[int | str, ...]]
MAX_NORM = 1e6
"""Longest vector (along the last axis) that is taken for an activation, a direction or a gate."""
_PART = 1 << 20  # values checked at a time: a profile is large, and its check must not need many times its size
_TENSOR_NAME = re.compile(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*")
_STORED_AS = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


def read_tensors(path: Path, specs: Mapping[str, TensorSpec], sizes: dict[str, tuple[int, str]]) -> dict[str, Tensor]:
    """Read a file that holds exactly the tensors of `specs`.

    Args:
        path: the file; a symbolic link is followed.
        specs: dtype and shape by name.
        sizes: what each letter of a shape stands for and where that was said; letters met first here are added.

    Raises:
        ArtifactError: names the tensor at fault, what was found and what was expected.
    """
    try:
        with open_file(path) as file:
            header, start = _read_header(file, path)
            end = start + _check_header(header, specs, sizes, path)
            size = file.seek(0, os.SEEK_END)
            if size != end:
                wrong = "truncated" if size < end else "followed by something else"
                raise ArtifactError(f"{path}: has {size} bytes, expected {end}: it is {wrong}. {FETCH_AGAIN}")
            file.seek(0)
            data = file.read()
    except OSError as error:
        raise unreadable(path, error) from error
    try:
        tensors = safetensors.torch.load(data)
    except SafetensorError as error:
        raise ArtifactError(f"{path}: is not a sound safetensors file: {error}. {FETCH_AGAIN}") from error
    for name, tensor in tensors.items():
        check_values(name, tensor, path)
    return tensors


def read_config_text(path: Path) -> bytes:
    """The config in the header of an artifact's file, under the metadata key `unsee`.

    Raises:
        ArtifactError: the file cannot be read, or holds no such config.
    """
    try:
        with open_file(path) as file:
            header, _ = _read_header(file, path)
    except OSError as error:
        raise unreadable(path, error) from error
    metadata = header.get("__metadata__")
    # One key alone: with two the bytes of equal saves would differ, since the library does not sort them.
    if not isinstance(metadata, dict) or metadata.keys() != {"unsee"} or not isinstance(metadata["unsee"], str):
        raise ArtifactError(
            f"{path}: its metadata is {str(cast('object', metadata))[:80]}, expected the config of an artifact under "
            f"'unsee'. {FETCH_AGAIN}"
        )
    return metadata["unsee"].encode("utf-8", "surrogatepass")


def _read_header(file: BinaryIO, where: Path) -> tuple[dict[str, Any], int]:
    """The header and where the data begin: 8 bytes of length, then that much JSON.

    The library reads it too, but lets a tensor or a metadata key appear twice.
    """
    prefix = file.read(8)
    length = int.from_bytes(prefix, "little")
    if length > MAX_JSON:
        raise ArtifactError(
            f"{where}: the header claims {length} bytes, expected at most {MAX_JSON}: "
            f"not an artifact of unsee. {FETCH_AGAIN}"
        )
    data = file.read(length)
    if len(prefix) < 8 or len(data) < length:
        raise ArtifactError(f"{where}: ends inside its header: it is truncated. {FETCH_AGAIN}")
    return parsed_object(data, where, "the header "), 8 + length


def _check_header(
    header: dict[str, Any], specs: Mapping[str, TensorSpec], sizes: dict[str, tuple[int, str]], where: Path
) -> int:
    """Compare with what is expected before anything is decoded; returns the number of bytes of data."""
    header.pop("__metadata__", None)
    for name in header:
        check_name(name, where)
    for name in sorted(header.keys() ^ specs.keys()):
        wrong = "is missing" if name in specs else "is unknown"
        raise ArtifactError(f"{where}: tensor {name!r} {wrong}, expected exactly {sorted(specs)}. {FETCH_AGAIN}")
    return sum(_check_entry(name, header[name], spec, sizes, where) for name, spec in specs.items())


def _check_entry(name: str, entry: object, spec: TensorSpec, sizes: dict[str, tuple[int, str]], where: Path) -> int:
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise ArtifactError(
            f"{where}: tensor {name!r} is described by {str(cast('object', entry))[:80]}, "
            f"expected dtype, shape and data_offsets. {FETCH_AGAIN}"
        )
    fields = cast("dict[str, object]", entry)
    stored, shape, (dtype, expected) = fields["dtype"], fields["shape"], spec
    if stored != stored_dtype(name, dtype, where):
        raise ArtifactError(
            f"{where}: tensor {name!r} has dtype {stored!r}, expected {_STORED_AS[dtype]!r}. {FETCH_AGAIN}"
        )
    shown = f"{where}: tensor {name!r} has shape {str(shape)[:80]}, expected [{', '.join(map(str, expected))}]"
    if not _extents(shape) or len(shape) != len(expected):
        raise ArtifactError(f"{shown} of whole numbers from 1. {FETCH_AGAIN}")
    for size, letter in zip(shape, expected, strict=True):
        known = (letter, "always") if isinstance(letter, int) else sizes.setdefault(letter, (size, f"tensor {name!r}"))
        if size != known[0]:
            raise ArtifactError(f"{shown} with {letter} = {known[0]} ({known[1]}). {FETCH_AGAIN}")
    return math.prod(shape) * dtype.itemsize


def _extents(value: object) -> TypeGuard[list[int]]:
    return isinstance(value, list) and all(is_whole(item, 1) for item in cast("list[object]", value))


def check_name(name: str, where: Path) -> None:
    """Refuse a name that is no dotted word: it may end up as a key, a file name or a column elsewhere.

    Raises:
        ArtifactError: shows the name.
    """
    if name == "__metadata__" or _TENSOR_NAME.fullmatch(name) is None:
        raise ArtifactError(
            f"{where}: tensor name {name[:80]!r} is not allowed, expected words of letters, digits and underscores "
            "joined by dots, such as 'gate.weight'. Rename it."
        )


def check_values(name: str, tensor: Tensor, where: Path) -> None:
    """Refuse an empty tensor, NaN, infinity, and a vector longer than `MAX_NORM`.

    Raises:
        ArtifactError: names the tensor, and how many values or which norm.
    """
    if tensor.numel() == 0:
        raise ArtifactError(f"{where}: tensor {name!r} has shape {list(tensor.shape)}, expected at least one value.")
    if not tensor.is_floating_point():
        return
    width = tensor.shape[-1] if tensor.dim() else 1
    rows, step = tensor.reshape(-1, width), max(1, _PART // width)
    wrong, norm = 0, 0.0
    for start in range(0, len(rows), step):
        wide = rows[start : start + step].double()  # a norm of half-precision rows overflows in half precision
        wrong += int((~wide.isfinite()).sum())
        norm = max(norm, float(wide.square().sum(-1).max().sqrt()))
    if wrong:
        raise ArtifactError(
            f"{where}: tensor {name!r} has {wrong} of {tensor.numel()} values NaN or infinite, expected none. "
            "Fit it again."
        )
    if norm > MAX_NORM:
        raise ArtifactError(
            f"{where}: tensor {name!r} has a vector of norm {norm:.3g}, expected at most {MAX_NORM:.0g}. Fit it again."
        )


def stored_dtype(name: str, dtype: torch.dtype, where: object) -> str:
    """What safetensors calls the dtype.

    Raises:
        ArtifactError: the dtype is not one that an artifact may hold.
    """
    if dtype not in _STORED_AS:
        raise ArtifactError(f"{where}: tensor {name!r} is {dtype}, expected one of {list(map(str, _STORED_AS))}")
    return _STORED_AS[dtype]


def octets_of(tensor: Tensor) -> memoryview:
    """The values as contiguous little-endian bytes, wherever the tensor lives and whatever this machine is."""
    flat = tensor.detach().cpu().reshape(-1)
    octets = flat.view(torch.uint8)
    if sys.byteorder == "big":
        octets = octets.reshape(-1, flat.element_size()).flip(1).reshape(-1)
    return octets.contiguous().numpy().data
