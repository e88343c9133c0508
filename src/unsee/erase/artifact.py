"""The folder that an eraser or a profile is saved to, and a reader that believes nothing in it.

An artifact is `erasure_config.json`, `erasure.safetensors` and a card `README.md` (a profile says `profile` for
`erasure`), laid out as PEFT lays out an adapter. Its name is its content id, a hash of what it means rather than of how
its files happen to be written. There is no pickle, so reading an artifact runs nothing that it contains.

Saving. The new files are written and synced in a hidden folder inside the target, then moved out one by one. Moving the
tensors is the commit; until the new config has followed, a reader takes it from the hidden folder. So a full disk or
`kill -9` leaves the old artifact or the new one, at every instant and under the same path. Swapping whole folders would
be the other way, but a full folder cannot be renamed over another: for a moment there would be no artifact, a mount
point or a working folder could not be a target, and whatever else lies in the folder would be lost.
"""

import hashlib
import json
import math
import os
import re
import shutil
import sys
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal, NoReturn, TypedDict, TypeGuard, cast, final

import safetensors.torch
import torch
from safetensors import SafetensorError

from unsee.errors import ArtifactError, SaveError
from unsee.shapes import Tensor

__all__ = [
    "FORMAT_VERSION", "MAX_NORM", "VOLATILE", "Artifact", "BaseModel", "Config", "Kind", "TensorSpec",
    "content_id", "load_artifact", "read_config", "save_artifact",
]  # fmt: skip

Kind = Literal["eraser", "profile"]
TensorSpec = tuple[torch.dtype, tuple[int | str, ...]]

FORMAT_VERSION = 1
MAX_NORM = 1e6
"""Longest vector (along the last axis) that is taken for an activation, a direction or a gate."""
VOLATILE = frozenset({"created", "libraries"})
"""Config fields that say when and with what an artifact was made, and so stay out of its content id."""

_CARD = "README.md"
_MAX_JSON = 1 << 20
_PART = 1 << 20  # values checked at a time: a profile is large, and its check must not need many times its size
_METADATA = {"format": "pt"}  # a second key would make the bytes of two equal saves differ: the library does not sort
_UNNAMED = "sha256:" + "0" * 64
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
_FETCH_AGAIN = "Copy or download the artifact again, or make it anew."


class BaseModel(TypedDict):
    """The checkpoint that an artifact was made on: hub id or folder name, commit or None, digest of its weights."""

    id: str
    revision: str | None
    digest: str


class Config(TypedDict):
    """Every field of the config file; all are required and no other is allowed.

    Attributes:
        format_version: version of this layout, `FORMAT_VERSION`.
        kind: "eraser" (one request) or "profile" (one model).
        base_model: the checkpoint that it fits.
        family: model family, as the adapters name it.
        layers: indices of the decoder blocks whose input is read or steered, distinct, from 0; L of them.
        hidden_size: width of the residual stream, D.
        method: name of the method that made it.
        settings: every setting of the method, and its calibration; any JSON.
        counts: number of samples behind it, by role.
        created: when it was made (ISO 8601).
        libraries: version of each library that made it.
        content_id: "sha256:" and 64 hexadecimal digits, see `content_id`.
    """

    format_version: int
    kind: Kind
    base_model: BaseModel
    family: str
    layers: list[int]
    hidden_size: int
    method: str
    settings: dict[str, Any]
    counts: dict[str, int]
    created: str
    libraries: dict[str, str]
    content_id: str


@final
@dataclass(frozen=True)
class Artifact:
    """What was read, checked: its config, its tensors by name (on the CPU) and its content id."""

    config: Config
    tensors: dict[str, Tensor]
    content_id: str


@dataclass(frozen=True)
class _Layout:
    config: str
    tensors: str
    pending: str


_LAYOUTS: dict[Kind, _Layout] = {
    "eraser": _Layout("erasure_config.json", "erasure.safetensors", ".erasure.saving"),
    "profile": _Layout("profile_config.json", "profile.safetensors", ".profile.saving"),
}


def content_id(
    config: Mapping[str, object], tensors: Mapping[str, Tensor], volatile: Collection[str] = VOLATILE
) -> str:
    """Name an artifact by its meaning: equal config and tensors, equal id; one bit changed, another id.

    `"sha256:" + sha256(p(C) || for each tensor by name: p(name) p(dtype) p(shape) p(bytes))`, where `p(x)` is the
    length of `x` (8 bytes, little-endian) and `x`; `C` is the config as JSON in ASCII with sorted keys, no spaces and
    floats by `repr`; bytes are contiguous and little-endian. It finds damage and edits; it is not a signature.

    Args:
        config: JSON values; `content_id` itself and the volatile fields are left out.
        tensors: any device; the id does not depend on it.
        volatile: fields left out of the id.

    Raises:
        ArtifactError: a value is not JSON (NaN and infinity are not), or a dtype cannot be stored.
    """
    lasting = {key: value for key, value in config.items() if key != "content_id" and key not in volatile}
    digest = hashlib.sha256()

    def add(part: bytes | memoryview) -> None:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)

    add(_json_of(lasting, "the config", indent=None))
    for name in sorted(tensors):
        tensor = tensors[name]
        add(name.encode())
        add(_stored_dtype(name, tensor.dtype, "the tensors").encode())
        add(str(list(tensor.shape)).encode())
        add(_octets(tensor))
    return f"sha256:{digest.hexdigest()}"


def save_artifact(
    directory: str | Path,
    kind: Kind,
    config: Mapping[str, object],
    tensors: Mapping[str, Tensor],
    card: str,
    *,
    volatile: Collection[str] = VOLATILE,
) -> str:
    """Write an artifact so that, whatever happens, the folder holds the old one or the new one; return its content id.

    Equal inputs give equal bytes. Files get the mode that the umask asks for. Other files in the folder are kept; a
    symbolic link is replaced, not written through. One writer at a time: the content id refuses what two have mixed.

    Args:
        directory: made if missing.
        kind: decides the file names.
        config: the fields of `Config`; `format_version`, `kind` and `content_id` are filled in.
        tensors: any device and layout in memory; named like `gate.weight`.
        card: text of `README.md`.
        volatile: config fields left out of the content id; give the same to `load_artifact`.

    Raises:
        ArtifactError: config or tensors are such that the reader would refuse them; nothing was written.
        SaveError: the files could not be written; says which artifact the folder now holds.
    """
    layout, home = _LAYOUTS[kind], Path(directory)
    held = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()
    }
    for name, tensor in held.items():
        _check_name(name, home / layout.tensors)
        _stored_dtype(name, tensor.dtype, home / layout.tensors)
        _check_values(name, tensor, home / layout.tensors)
    stamped = {**config, "format_version": FORMAT_VERSION, "kind": kind, "content_id": _UNNAMED}
    final_config = _decode_config(_json_of(stamped, home / layout.config, indent=2), kind, home / layout.config)
    final_config["content_id"] = content_id(final_config, held, volatile)
    files = {
        layout.tensors: safetensors.torch.save(held, metadata=_METADATA),
        _CARD: card.encode("utf-8", "backslashreplace"),
        layout.config: _json_of(final_config, home / layout.config, indent=2),
    }
    _replace(home, layout, files)
    return final_config["content_id"]


def load_artifact(
    directory: str | Path, kind: Kind, specs: Mapping[str, TensorSpec], *, volatile: Collection[str] = VOLATILE
) -> Artifact:
    """Read an artifact, refusing everything that is not exactly what was saved.

    The card is for people and is not read. Symbolic links are followed, as a hub cache needs.

    Args:
        directory: the folder given to `save_artifact`.
        kind: what it must be.
        specs: dtype and shape of every tensor by name. A letter in a shape has one value in all tensors;
            `D` is `hidden_size` and `L` the number of `layers`.
        volatile: as given to `save_artifact`.

    Raises:
        ArtifactError: names the file and the field or tensor at fault, what was found and what was expected.
    """
    layout, home = _LAYOUTS[kind], Path(directory)
    config = read_config(home, kind)
    sizes = {
        "D": (config["hidden_size"], f"hidden_size in {layout.config}"),
        "L": (len(config["layers"]), f"the number of layers in {layout.config}"),
    }
    tensors = _read_tensors(home / layout.tensors, specs, sizes)
    found = content_id(config, tensors, volatile)
    if found != config["content_id"]:
        raise ArtifactError(
            f"{home}: content_id in {layout.config} is {config['content_id']}, but the contents give {found}: "
            f"{layout.config} or {layout.tensors} was damaged or edited, or is being saved right now. {_FETCH_AGAIN}"
        )
    return Artifact(config, tensors, found)


def read_config(directory: str | Path, kind: Kind) -> Config:
    """Read and check the config alone, to learn which tensors to expect; only `load_artifact` verifies the content id.

    Raises:
        ArtifactError: names the file and the field at fault, what was found and what was expected.
    """
    layout, home = _LAYOUTS[kind], Path(directory)
    path = home / layout.config
    try:
        if not home.is_dir():
            raise ArtifactError(f"{home}: there is no such folder, expected a saved {kind}. Check the path.")
        if _committed(home, layout):
            path = home / layout.pending / layout.config
        others = [other for other in _LAYOUTS if other != kind and (home / _LAYOUTS[other].config).is_file()]
        if others and not path.is_file():
            raise ArtifactError(f"{home}: holds a saved {others[0]}, expected a saved {kind}. Check the path.")
        with _open(path) as file:
            data = file.read(_MAX_JSON + 1)
    except OSError as error:
        raise _unreadable(path, error) from error
    return _decode_config(data, kind, path)


# Canonical bytes.


def _json_of(value: object, where: object, indent: int | None) -> bytes:
    separators = (",", ":") if indent is None else (",", ": ")
    try:
        text = json.dumps(value, sort_keys=True, indent=indent, separators=separators, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise ArtifactError(
            f"{where}: holds something that JSON cannot: {error}. Expected text, finite numbers, true, false, null, "
            "and lists or objects of them."
        ) from error
    return text.encode("ascii") + (b"" if indent is None else b"\n")


def _octets(tensor: Tensor) -> memoryview:
    flat = tensor.detach().cpu().reshape(-1)
    octets = flat.view(torch.uint8)
    if sys.byteorder == "big":
        octets = octets.reshape(-1, flat.element_size()).flip(1).reshape(-1)
    return octets.contiguous().numpy().data


def _stored_dtype(name: str, dtype: torch.dtype, where: object) -> str:
    if dtype not in _STORED_AS:
        raise ArtifactError(f"{where}: tensor {name!r} is {dtype}, expected one of {list(map(str, _STORED_AS))}")
    return _STORED_AS[dtype]


# Writing: stage, commit, settle.


def _replace(home: Path, layout: _Layout, files: Mapping[str, bytes]) -> None:
    pending, outcome = home / layout.pending, "what was there before is kept"
    try:
        home.mkdir(parents=True, exist_ok=True)
        _settle(home, layout)
        pending.mkdir()
        for name, data in files.items():
            _write(pending / name, data)
            _sync_folder(pending)
        os.replace(pending / layout.tensors, home / layout.tensors)
        outcome = "the new artifact is complete and is what loads, but may not survive a power cut"
        _settle(home, layout)
    except OSError as error:
        with suppress(OSError):  # what cannot be cleaned up now is cleaned up by the next save
            _settle(home, layout)
        raise SaveError(
            f"cannot save to {home}: {error.strerror or error} (errno {error.errno}); {outcome}. "
            "Expected a folder that can be written to, with room for the files; mend that and save again."
        ) from error


def _committed(home: Path, layout: _Layout) -> bool:
    """A save has moved its tensors into place but not yet its config.

    The tensors are staged first and the config is discarded first, so a config without tensors means this only.
    """
    pending = home / layout.pending
    return (pending / layout.config).is_file() and not (pending / layout.tensors).is_file()


def _settle(home: Path, layout: _Layout) -> None:
    """Finish a save that was committed, throw away one that was not."""
    pending = home / layout.pending
    if not pending.is_dir():
        return
    if _committed(home, layout):
        _sync_folder(home)  # a power cut must not keep the config's move and lose the tensors'
        if (pending / _CARD).is_file():
            os.replace(pending / _CARD, home / _CARD)
        os.replace(pending / layout.config, home / layout.config)
        _sync_folder(home)
    (pending / layout.config).unlink(missing_ok=True)
    with suppress(OSError):  # a disk too full to sync still has its room given back
        _sync_folder(pending)
    shutil.rmtree(pending)


def _write(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    if sys.platform == "win32":  # Windows has no handle of a folder to sync
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# Reading: config.


def _text(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _integer(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _indices(value: object) -> bool:
    if not isinstance(value, list):
        return False
    items = cast("list[object]", value)
    return bool(items) and all(_integer(item, 0) for item in items) and len(set(items)) == len(items)


def _object_of(value: object, fits: Callable[[object], bool]) -> bool:
    return isinstance(value, dict) and all(fits(item) for item in cast("dict[str, object]", value).values())


_Rules = Mapping[str, tuple[Callable[[object], bool], str]]
_FIELDS: _Rules = {
    "format_version": (lambda value: _integer(value, 1), "a whole number from 1"),
    "kind": (_text, "a text that is not empty"),
    "base_model": (lambda value: isinstance(value, dict), "an object with id, revision and digest"),
    "family": (_text, "a text that is not empty"),
    "layers": (_indices, "a list of distinct whole numbers from 0, at least one"),
    "hidden_size": (lambda value: _integer(value, 1), "a whole number from 1"),
    "method": (_text, "a text that is not empty"),
    "settings": (lambda value: isinstance(value, dict), "an object"),
    "counts": (lambda value: _object_of(value, lambda item: _integer(item, 0)), "an object of whole numbers from 0"),
    "created": (_text, "a text that is not empty"),
    "libraries": (lambda value: _object_of(value, _text), "an object of version texts"),
    "content_id": (
        lambda value: isinstance(value, str) and re.fullmatch(r"sha256:[0-9a-f]{64}", value) is not None,
        "sha256: and 64 hexadecimal digits",
    ),
}
_BASE_MODEL_FIELDS: _Rules = {
    "id": (_text, "a text that is not empty"),
    "revision": (lambda value: value is None or _text(value), "a text that is not empty, or null"),
    "digest": (_text, "a text that is not empty"),
}


def _decode_config(data: bytes, kind: str, where: Path) -> Config:
    if len(data) > _MAX_JSON:
        raise ArtifactError(f"{where}: is larger than {_MAX_JSON} bytes, which no config is. Keep data in tensors.")
    config = _parse_object(data, where)
    version = config.get("format_version")
    if _integer(version, 1) and version != FORMAT_VERSION:
        raise ArtifactError(
            f"{where}: format_version is {version}, this unsee reads {FORMAT_VERSION}. Update unsee to load it."
        )
    if "kind" in config and config["kind"] != kind:
        raise ArtifactError(f"{where}: kind is {config['kind']!r}, expected {kind!r}. Check the path.")
    _check_fields(config, _FIELDS, "", where)
    _check_fields(config["base_model"], _BASE_MODEL_FIELDS, "base_model.", where)
    return cast("Config", config)


def _check_fields(values: Mapping[str, object], rules: _Rules, prefix: str, where: Path) -> None:
    for field in sorted(values.keys() ^ rules.keys()):
        wrong = "is missing" if field in rules else "is unknown"
        fields = ", ".join(rules)
        raise ArtifactError(f"{where}: field {prefix + field!r} {wrong}, expected exactly {fields}. {_FETCH_AGAIN}")
    for field, (fits, expected) in rules.items():
        if not fits(values[field]):
            got = repr(values[field])[:80]
            raise ArtifactError(f"{where}: field {prefix + field!r} is {got}, expected {expected}. {_FETCH_AGAIN}")


def _parse_object(data: bytes, where: Path, part: str = "") -> dict[str, Any]:
    """JSON as every reader understands it: no key twice, no NaN, no infinity, no endless integer; an object on top."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        seen: dict[str, Any] = {}
        for key, value in pairs:
            if key in seen:
                raise ArtifactError(f"{where}: {part}key {key!r} is there twice, expected once. {_FETCH_AGAIN}")
            seen[key] = value
        return seen

    def refuse(constant: str) -> NoReturn:
        raise ArtifactError(f"{where}: {part}holds the number {constant[:40]}, expected 64-bit ones. {_FETCH_AGAIN}")

    def whole(number: str) -> int:
        return int(number) if len(number) <= 20 else refuse(number)

    def finite(number: str) -> float:
        return float(number) if math.isfinite(float(number)) else refuse(number)

    try:
        text = data.decode("utf-8")
        value = json.loads(text, object_pairs_hook=unique, parse_constant=refuse, parse_float=finite, parse_int=whole)
    except ArtifactError:
        raise
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{where}: {part}is not JSON: {error}. {_FETCH_AGAIN}") from error
    if not isinstance(value, dict):
        raise ArtifactError(f"{where}: {part}is JSON but a {type(value).__name__}, expected an object. {_FETCH_AGAIN}")
    return cast("dict[str, Any]", value)


# Reading: tensors.


def _open(path: Path) -> BinaryIO:
    if path.exists() and not path.is_file():
        raise ArtifactError(f"{path}: is not a file, expected one. Check the path.")  # a pipe would wait for ever
    return path.open("rb")


def _unreadable(path: Path, error: OSError) -> ArtifactError:
    return ArtifactError(
        f"{path}: cannot be read: {error.strerror or error}. Expected a file that this user may read. {_FETCH_AGAIN}"
    )


def _read_tensors(path: Path, specs: Mapping[str, TensorSpec], sizes: dict[str, tuple[int, str]]) -> dict[str, Tensor]:
    try:
        with _open(path) as file:
            header, start = _read_header(file, path)
            end = start + _check_header(header, specs, sizes, path)
            size = file.seek(0, os.SEEK_END)
            if size != end:
                wrong = "truncated" if size < end else "followed by something else"
                raise ArtifactError(f"{path}: has {size} bytes, expected {end}: it is {wrong}. {_FETCH_AGAIN}")
            file.seek(0)
            data = file.read()
    except OSError as error:
        raise _unreadable(path, error) from error
    try:
        tensors = safetensors.torch.load(data)
    except SafetensorError as error:
        raise ArtifactError(f"{path}: is not a sound safetensors file: {error}. {_FETCH_AGAIN}") from error
    for name, tensor in tensors.items():
        _check_values(name, tensor, path)
    return tensors


def _read_header(file: BinaryIO, where: Path) -> tuple[dict[str, Any], int]:
    """The header and where the data begin: 8 bytes of length, then that much JSON.

    The library reads it too, but lets a tensor or a metadata key appear twice.
    """
    prefix = file.read(8)
    length = int.from_bytes(prefix, "little")
    if length > _MAX_JSON:
        raise ArtifactError(
            f"{where}: the header claims {length} bytes, expected at most {_MAX_JSON}: "
            f"not a safetensors file. {_FETCH_AGAIN}"
        )
    data = file.read(length)
    if len(prefix) < 8 or len(data) < length:
        raise ArtifactError(f"{where}: ends inside its header: it is truncated. {_FETCH_AGAIN}")
    return _parse_object(data, where, "the header "), 8 + length


def _check_header(
    header: dict[str, Any], specs: Mapping[str, TensorSpec], sizes: dict[str, tuple[int, str]], where: Path
) -> int:
    """Compare with what is expected before anything is decoded; returns the number of bytes of data."""
    metadata = header.pop("__metadata__", _METADATA)
    if metadata != _METADATA:
        raise ArtifactError(f"{where}: metadata is {str(metadata)[:80]}, expected {_METADATA}. {_FETCH_AGAIN}")
    for name in header:
        _check_name(name, where)
    for name in sorted(header.keys() ^ specs.keys()):
        wrong = "is missing" if name in specs else "is unknown"
        raise ArtifactError(f"{where}: tensor {name!r} {wrong}, expected exactly {sorted(specs)}. {_FETCH_AGAIN}")
    return sum(_check_entry(name, header[name], spec, sizes, where) for name, spec in specs.items())


def _check_entry(name: str, entry: object, spec: TensorSpec, sizes: dict[str, tuple[int, str]], where: Path) -> int:
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise ArtifactError(
            f"{where}: tensor {name!r} is described by {str(cast('object', entry))[:80]}, "
            f"expected dtype, shape and data_offsets. {_FETCH_AGAIN}"
        )
    fields = cast("dict[str, object]", entry)
    stored, shape, (dtype, expected) = fields["dtype"], fields["shape"], spec
    if stored != _stored_dtype(name, dtype, where):
        raise ArtifactError(
            f"{where}: tensor {name!r} has dtype {stored!r}, expected {_STORED_AS[dtype]!r}. {_FETCH_AGAIN}"
        )
    shown = f"{where}: tensor {name!r} has shape {str(shape)[:80]}, expected [{', '.join(map(str, expected))}]"
    if not _extents(shape) or len(shape) != len(expected):
        raise ArtifactError(f"{shown} of whole numbers from 1. {_FETCH_AGAIN}")
    for size, letter in zip(shape, expected, strict=True):
        known = (letter, "always") if isinstance(letter, int) else sizes.setdefault(letter, (size, f"tensor {name!r}"))
        if size != known[0]:
            raise ArtifactError(f"{shown} with {letter} = {known[0]} ({known[1]}). {_FETCH_AGAIN}")
    return math.prod(shape) * dtype.itemsize


def _extents(value: object) -> TypeGuard[list[int]]:
    return isinstance(value, list) and all(_integer(item, 1) for item in cast("list[object]", value))


def _check_name(name: str, where: Path) -> None:
    if name == "__metadata__" or _TENSOR_NAME.fullmatch(name) is None:
        raise ArtifactError(
            f"{where}: tensor name {name[:80]!r} is not allowed, expected words of letters, digits and underscores "
            "joined by dots, such as 'gate.weight'. Rename it."
        )


def _check_values(name: str, tensor: Tensor, where: Path) -> None:
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
