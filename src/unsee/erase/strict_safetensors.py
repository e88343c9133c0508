"""A safetensors reader that believes nothing: every name, dtype, shape and value is checked against what is expected.

The library keeps memory safe and knows where a file must end; it does not know which tensors an artifact must have, and
has no view on values. No tensor is read before names, dtypes and shapes are right.
"""

import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from unsee.erase.artifact_files import FETCH_AGAIN
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
    with _opened(path) as file:
        for name in file.keys():  # noqa: SIM118  it is no dictionary
            check_name(name, path)
        for name in sorted(set(file.keys()) ^ specs.keys()):
            wrong = "is missing" if name in specs else "is unknown"
            raise ArtifactError(f"{path}: tensor {name!r} {wrong}, expected exactly {sorted(specs)}. {FETCH_AGAIN}")
        for name, spec in specs.items():
            stored = file.get_slice(name)
            _check_shape(name, stored.get_dtype(), stored.get_shape(), spec, sizes, path)
        # Copied: the library's own lie in the file, which somebody may change.
        tensors = {name: file.get_tensor(name).clone() for name in specs}
    for name, tensor in tensors.items():
        check_values(name, tensor, path)
    return tensors


def read_config_text(path: Path) -> bytes:
    """The config in the header of an artifact's file, under the metadata key `unsee`.

    Raises:
        ArtifactError: the file cannot be read, or holds no such config.
    """
    with _opened(path) as file:
        metadata = file.metadata()
    # One key alone: with two the bytes of equal saves would differ, since the library does not sort them.
    if metadata is None or metadata.keys() != {"unsee"}:
        raise ArtifactError(
            f"{path}: its metadata is {str(metadata)[:80]}, expected the config of an artifact under 'unsee'. "
            f"{FETCH_AGAIN}"
        )
    return metadata["unsee"].encode("utf-8", "surrogatepass")


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    if path.exists() and not path.is_file():
        raise ArtifactError(f"{path}: is not a file, expected one. Check the path.")  # a pipe would never end
    try:
        with safe_open(path, "pt") as file:
            yield file
    except OSError as error:
        raise ArtifactError(
            f"{path}: cannot be read: {error.strerror or error}. Expected a file that this user may read. {FETCH_AGAIN}"
        ) from error
    except SafetensorError as error:
        raise ArtifactError(f"{path}: is not a sound safetensors file: {error}. {FETCH_AGAIN}") from error


def _check_shape(
    name: str, stored: str, shape: list[int], spec: TensorSpec, sizes: dict[str, tuple[int, str]], where: Path
) -> None:
    dtype, expected = spec
    if stored != stored_dtype(name, dtype, where):
        raise ArtifactError(
            f"{where}: tensor {name!r} has dtype {stored!r}, expected {_STORED_AS[dtype]!r}. {FETCH_AGAIN}"
        )
    shown = f"{where}: tensor {name!r} has shape {str(shape)[:80]}, expected [{', '.join(map(str, expected))}]"
    if len(shape) != len(expected) or 0 in shape:
        raise ArtifactError(f"{shown} of whole numbers from 1. {FETCH_AGAIN}")
    for size, letter in zip(shape, expected, strict=True):
        known = (letter, "always") if isinstance(letter, int) else sizes.setdefault(letter, (size, f"tensor {name!r}"))
        if size != known[0]:
            raise ArtifactError(f"{shown} with {letter} = {known[0]} ({known[1]}). {FETCH_AGAIN}")


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
