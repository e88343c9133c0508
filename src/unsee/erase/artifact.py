"""The folder that an eraser or a profile is saved to, and a reader that believes nothing in it.

An artifact is `erasure_config.json`, `erasure.safetensors` and a card `README.md` (a profile says `profile` for
`erasure`), laid out as PEFT lays out an adapter. Its name is its content id, a hash of what it means rather than of how
its files happen to be written. There is no pickle, so reading an artifact runs nothing that it contains.
"""

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import final

import safetensors.torch
import torch

from unsee.erase.artifact_config import FORMAT_VERSION, BaseModel, Config, decode_config, library_versions
from unsee.erase.artifact_files import (
    CARD,
    FETCH_AGAIN,
    LAYOUTS,
    Kind,
    committed,
    open_file,
    replace_files,
    unreadable,
)
from unsee.erase.strict_json import MAX_JSON, encoded
from unsee.erase.strict_safetensors import (
    MAX_NORM,
    METADATA,
    TensorSpec,
    check_name,
    check_values,
    octets_of,
    read_tensors,
    stored_dtype,
)
from unsee.errors import ArtifactError
from unsee.shapes import Tensor

__all__ = [
    "FORMAT_VERSION", "MAX_NORM", "VOLATILE", "Artifact", "BaseModel", "Config", "Kind", "TensorSpec",
    "content_id", "library_versions", "load_artifact", "read_config", "save_artifact",
]  # fmt: skip

VOLATILE = frozenset({"created", "libraries"})
"""Config fields that say when and with what an artifact was made, and so stay out of its content id."""
_UNNAMED = "sha256:" + "0" * 64


@final
@dataclass(frozen=True)
class Artifact:
    """What was read, checked: its config, its tensors by name (on the CPU) and its content id."""

    config: Config
    tensors: dict[str, Tensor]
    content_id: str


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

    add(encoded(lasting, "the config", indent=None))
    for name in sorted(tensors):
        tensor = tensors[name]
        add(name.encode())
        add(stored_dtype(name, tensor.dtype, "the tensors").encode())
        add(str(list(tensor.shape)).encode())
        add(octets_of(tensor))
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
    layout, home = LAYOUTS[kind], Path(directory)
    held = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()
    }
    for name, tensor in held.items():
        check_name(name, home / layout.tensors)
        stored_dtype(name, tensor.dtype, home / layout.tensors)
        check_values(name, tensor, home / layout.tensors)
    stamped = {**config, "format_version": FORMAT_VERSION, "kind": kind, "content_id": _UNNAMED}
    final_config = decode_config(encoded(stamped, home / layout.config, indent=2), kind, home / layout.config)
    final_config["content_id"] = content_id(final_config, held, volatile)
    files = {
        layout.tensors: safetensors.torch.save(held, metadata=METADATA),
        CARD: card.encode("utf-8", "backslashreplace"),
        layout.config: encoded(final_config, home / layout.config, indent=2),
    }
    replace_files(home, layout, files)
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
    layout, home = LAYOUTS[kind], Path(directory)
    config = read_config(home, kind)
    sizes = {
        "D": (config["hidden_size"], f"hidden_size in {layout.config}"),
        "L": (len(config["layers"]), f"the number of layers in {layout.config}"),
    }
    tensors = read_tensors(home / layout.tensors, specs, sizes)
    found = content_id(config, tensors, volatile)
    if found != config["content_id"]:
        raise ArtifactError(
            f"{home}: content_id in {layout.config} is {config['content_id']}, but the contents give {found}: "
            f"{layout.config} or {layout.tensors} was damaged or edited, or is being saved right now. {FETCH_AGAIN}"
        )
    return Artifact(config, tensors, found)


def read_config(directory: str | Path, kind: Kind) -> Config:
    """Read and check the config alone, to learn which tensors to expect; only `load_artifact` verifies the content id.

    Raises:
        ArtifactError: names the file and the field at fault, what was found and what was expected.
    """
    layout, home = LAYOUTS[kind], Path(directory)
    path = home / layout.config
    try:
        if not home.is_dir():
            raise ArtifactError(f"{home}: there is no such folder, expected a saved {kind}. Check the path.")
        if committed(home, layout):
            path = home / layout.pending / layout.config
        others = [other for other in LAYOUTS if other != kind and (home / LAYOUTS[other].config).is_file()]
        if others and not path.is_file():
            raise ArtifactError(f"{home}: holds a saved {others[0]}, expected a saved {kind}. Check the path.")
        with open_file(path) as file:
            data = file.read(MAX_JSON + 1)
    except OSError as error:
        raise unreadable(path, error) from error
    return decode_config(data, kind, path)
