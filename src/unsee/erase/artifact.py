"""One file per artifact, `eraser.safetensors` or `profile.safetensors`, and a reader that believes nothing in it.

The config is JSON in the header of the file, under the key `unsee`; the tensors are the rest. Beside it lies a card,
`README.md`, for people; it is never read. The name of an artifact is its content id, a hash of what it means and not of
how its file happens to be written. There is no pickle, so reading an artifact runs nothing that it contains.
"""

import hashlib
import importlib.metadata
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Annotated, Literal, final

import safetensors.torch
import torch
from pydantic import Field, JsonValue, field_validator

from unsee.erase.artifact_files import CARD, FETCH_AGAIN, FILES, Kind, replace_file
from unsee.erase.strict_json import encoded, parsed_object
from unsee.erase.strict_safetensors import (
    MAX_NORM,
    TensorSpec,
    check_name,
    check_values,
    octets_of,
    read_config_text,
    read_tensors,
    stored_dtype,
)
from unsee.errors import ArtifactError, DataError, OptionError, SaveError
from unsee.schema import Schema
from unsee.shapes import Tensor

__all__ = [
    "FORMAT_VERSION", "MAX_NORM", "VOLATILE", "Artifact", "Config", "Kind", "TensorSpec",
    "content_id", "library_versions", "load_artifact", "push_artifact", "read_config", "save_artifact",
]  # fmt: skip

FORMAT_VERSION = 2
VOLATILE = frozenset({"created", "libraries"})
"""Config fields that say when and with what an artifact was made, and so stay out of its content id."""
_UNNAMED = "sha256:" + "0" * 64

Text = Annotated[str, Field(min_length=1)]
Whole = Annotated[int, Field(strict=True, ge=0)]
Size = Annotated[int, Field(strict=True, ge=1)]


@final
class MadeFor(Schema):
    """The checkpoint that an artifact was made on.

    Attributes:
        id: hub id or folder name.
        revision: commit, or None.
        digest: of its weights.
    """

    id: Text
    revision: Text | None
    digest: Text


@final
class Config(Schema):
    """Every field of an artifact's config; all are required and no other is allowed.

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

    format_version: Literal[2]
    kind: Kind
    base_model: MadeFor
    family: Text
    layers: Annotated[list[Whole], Field(min_length=1)]
    hidden_size: Size
    method: Text
    settings: dict[str, JsonValue]
    counts: dict[str, Whole]
    created: Text
    libraries: dict[str, Text]
    content_id: Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]

    @field_validator("layers")
    @classmethod
    def _distinct(cls, layers: list[int]) -> list[int]:
        if len(set(layers)) < len(layers):
            raise ValueError("distinct numbers of decoder blocks")
        return layers


@final
@dataclass(frozen=True)
class Artifact:
    """What was read, checked: its config, its tensors by name (on the CPU) and its content id."""

    config: Config
    tensors: dict[str, Tensor]
    content_id: str


def library_versions() -> dict[str, str]:
    """Versions that an artifact records."""
    return {name: _version(name) for name in ("unsee", "torch", "transformers", "safetensors")}


@cache
def _version(name: str) -> str:
    return importlib.metadata.version(name)  # reads a file, and every row of a results folder has four of them


def content_id(config: Mapping[str, object], tensors: Mapping[str, Tensor]) -> str:
    """Name an artifact by its meaning: equal config and tensors, equal id; one bit changed, another id.

    `"sha256:" + sha256(p(C) || for each tensor by name: p(name) p(dtype) p(shape) p(bytes))`, where `p(x)` is the
    length of `x` (8 bytes, little-endian) and `x`; `C` is the config as JSON in ASCII with sorted keys, no spaces and
    floats by `repr`; bytes are contiguous and little-endian. It finds damage and edits; it is not a signature.

    Args:
        config: JSON values; `content_id` itself and the `VOLATILE` fields are left out.
        tensors: any device; the id does not depend on it.

    Raises:
        ArtifactError: a value is not JSON (NaN and infinity are not), or a dtype cannot be stored.
    """
    lasting = {key: value for key, value in config.items() if key != "content_id" and key not in VOLATILE}
    digest = hashlib.sha256()

    def add(part: bytes | memoryview) -> None:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)

    add(encoded(lasting, "the config"))
    for name in sorted(tensors):
        tensor = tensors[name]
        add(name.encode())
        add(stored_dtype(name, tensor.dtype, "the tensors").encode())
        add(str(list(tensor.shape)).encode())
        add(octets_of(tensor))
    return f"sha256:{digest.hexdigest()}"


def save_artifact(
    directory: str | Path, kind: Kind, config: Mapping[str, object], tensors: Mapping[str, Tensor], card: str
) -> str:
    """Write an artifact so that, whatever happens, the folder holds the old one or the new one; return its content id.

    Equal inputs give equal bytes. Other files in the folder are kept.

    Args:
        directory: made if missing.
        kind: decides the file name.
        config: the fields of `Config`; `format_version`, `kind` and `content_id` are filled in, and `created` and
            `libraries` where they are not given.
        tensors: any device and layout in memory; named like `gate.weight`.
        card: text of `README.md`.

    Raises:
        ArtifactError: config or tensors are such that the reader would refuse them; nothing was written.
        SaveError: the file could not be written; what was there is kept.
    """
    path = Path(directory) / FILES[kind]
    held = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()
    }
    for name, tensor in held.items():
        check_name(name, path)
        stored_dtype(name, tensor.dtype, path)
        check_values(name, tensor, path)
    made = {"created": datetime.now(UTC).isoformat(timespec="seconds"), "libraries": library_versions()}
    stamped = {**made, **config, "format_version": FORMAT_VERSION, "kind": kind, "content_id": _UNNAMED}
    plain = _checked(encoded(stamped, path), kind, path).as_json()
    plain["content_id"] = content_id(plain, held)
    replace_file(path, safetensors.torch.save(held, metadata={"unsee": encoded(plain, path).decode("ascii")}))
    with suppress(SaveError):  # it is for people; the artifact is whole without it
        replace_file(path.with_name(CARD), card.encode("utf-8", "backslashreplace"))
    return plain["content_id"]


def load_artifact(
    source: str | Path, kind: Kind, specs: Mapping[str, TensorSpec] | Callable[[Config], Mapping[str, TensorSpec]]
) -> Artifact:
    """Read an artifact, refusing everything that is not exactly what was saved.

    Args:
        source: the folder given to `save_artifact`, the file itself, or a hub id `owner/name[@revision]`.
        kind: what it must be.
        specs: dtype and shape of every tensor by name, or what says so for a config. A letter in a shape has one value
            in all tensors; `D` is `hidden_size` and `L` the number of `layers`.

    Raises:
        ArtifactError: names the file and the field or tensor at fault, what was found and what was expected.
    """
    path = _located(source, kind)
    config = _checked(read_config_text(path), kind, path)
    sizes = {
        "D": (config.hidden_size, "hidden_size in the config"),
        "L": (len(config.layers), "the number of layers in the config"),
    }
    tensors = read_tensors(path, specs(config) if callable(specs) else specs, sizes)
    found = content_id(config.as_json(), tensors)
    if found != config.content_id:
        raise ArtifactError(
            f"{path}: content_id in the config is {config.content_id}, but the contents give {found}: the file was "
            f"damaged or edited. {FETCH_AGAIN}"
        )
    return Artifact(config, tensors, found)


def read_config(source: str | Path, kind: Kind) -> Config:
    """Read and check the config alone; only `load_artifact` verifies the content id.

    Raises:
        ArtifactError: names the file and the field at fault, what was found and what was expected.
    """
    path = _located(source, kind)
    return _checked(read_config_text(path), kind, path)


def push_artifact(save: Callable[[str], object], kind: Kind, repository: str, private: bool) -> str:
    """Upload what `save` writes to a folder to a hub repository; returns its address.

    Raises:
        ArtifactError: the hub refuses.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HFValidationError, HTTPError  # pyright: ignore[reportPrivateImportUsage]

    api = HfApi()
    try:
        with tempfile.TemporaryDirectory() as folder:
            save(folder)
            api.create_repo(repository, private=private, exist_ok=True)
            return str(api.upload_folder(repo_id=repository, folder_path=folder, allow_patterns=[FILES[kind], CARD]))
    except (OSError, HTTPError, HFValidationError) as error:
        raise ArtifactError(
            f"cannot push the {kind} to {repository!r}: {type(error).__name__}: {error}. Expected owner/name, a "
            "connection, and a token that may write (hf auth login)."
        ) from error


def _located(source: str | Path, kind: Kind) -> Path:
    """The artifact's file: in a folder, named itself, or fetched from the hub."""
    from unsee.data.files import locate

    home, name = Path(source), FILES[kind]
    if home.is_dir():
        others = [other for other in FILES if other != kind and (home / FILES[other]).exists()]
        if others and not (home / name).exists():
            raise ArtifactError(f"{home}: holds a saved {others[0]}, expected a saved {kind}. Check the path.")
        return home / name
    if home.exists():
        return home
    try:
        # As text, since a command line's path may be a hub id.
        return locate(str(source), [name], "model") / name
    except DataError as error:
        raise ArtifactError(
            f"{source}: there is no such folder, expected a saved {kind} or a hub id (owner/name). Check the path. "
            f"({error})"
        ) from error


def _checked(data: bytes, kind: Kind, where: Path) -> Config:
    values = parsed_object(data, where, "the config ")
    version, other = values.get("format_version"), values.get("kind")
    if isinstance(version, int) and not isinstance(version, bool) and version != FORMAT_VERSION:
        raise ArtifactError(
            f"{where}: format_version is {version}, this unsee reads {FORMAT_VERSION}. "
            + ("Update unsee to load it." if version > FORMAT_VERSION else "Fit it again.")
        )
    if isinstance(other, str) and other in FILES and other != kind:
        raise ArtifactError(f"{where}: kind is {other!r}, expected {kind!r}. Check the path.")
    try:
        return Config(**values)
    except OptionError as error:
        raise ArtifactError(f"{where}: {error}. {FETCH_AGAIN}") from None
