"""The fingerprint of a model's weights, and a memory of those that were taken before.

Hashing 14 GB takes as long as reading them, so the digest of files that have not changed is remembered. What is
remembered is keyed by everything that could change it: the files themselves, and the code that reads them.
"""

import hashlib
import json
import os
import re
import sys
import time
from pathlib import Path

import torch
import transformers
from transformers import PreTrainedModel
from transformers.utils.hub import cached_file

from unsee.errors import ModelError
from unsee.models.names import cache_folder
from unsee.shapes import Tensor

FileStates = tuple[tuple[str, int, int, int, int, int], ...]
"""Of each file its resolved path, size, times of last change in ns (content, inode), device and inode."""
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_SETTLED = 2.0
"""Seconds since the last change of a file before it is remembered: clocks of file systems are coarse."""


def weights_digest(model: PreTrainedModel) -> str:
    """Fingerprint of every parameter and persistent buffer.

    `"sha256:" + sha256` over the sorted names, each with dtype, shape and bytes, each part preceded by its
    length. The device does not enter; the precision does.

    Raises:
        ModelError: weights are not in memory, or packed in a form of their own.
    """
    digest = hashlib.sha256()
    weights = sorted(model.state_dict().items())
    # Lists of packed weights, and tensors that are made of others, as torchao's are.
    packed = [name for name, value in weights if not isinstance(value, Tensor) or hasattr(value, "__tensor_flatten__")]
    if packed:
        raise ModelError(
            f"{len(packed)} weights are packed by a quantiser, first {packed[0]!r}, so their bytes cannot be read. "
            "Pass the digest of the model that they were made from."
        )
    absent = [name for name, tensor in weights if tensor.is_meta]
    if absent:
        raise ModelError(
            f"{len(absent)} weights are offloaded, first {absent[0]!r}, so the model has no digest now. "
            "Use the digest that was taken when it was loaded."
        )
    for name, tensor in weights:
        for part in (name.encode(), f"{tensor.dtype}{tuple(tensor.shape)}".encode(), _raw(tensor)):
            digest.update(len(part).to_bytes(8, "little"))
            digest.update(part)
    return f"sha256:{digest.hexdigest()}"


def states_of_files(name: str, revision: str | None) -> FileStates | None:
    """Of the weights and settings in a directory or in the hub's cache; None where they are not on this machine."""
    config = Path(name, "config.json")
    if not config.is_file():
        # Only looked for: a name that is not there yet is fetched by whoever loads it.
        found = cached_file(
            name,
            "config.json",
            revision=revision,
            local_files_only=True,
            _raise_exceptions_for_missing_entries=False,
            _raise_exceptions_for_connection_errors=False,
            _raise_exceptions_for_gated_repo=False,
        )
        if found is None:
            return None
        config = Path(found)
    files = [*config.parent.glob("*.safetensors"), *config.parent.glob("*.safetensors.index.json"), config]
    try:
        return tuple(sorted(_state(file.resolve(strict=True)) for file in files))
    except OSError:
        return None


def digest_of_files(model: PreTrainedModel, before: FileStates | None, after: FileStates | None) -> str:
    """`weights_digest` of a model as it was just read from files; remembered while they do not change.

    Args:
        model: in its stored precision, unchanged since it was read.
        before: its files before they were read; None to compute the digest in any case.
        after: its files now; where they differ, somebody wrote meanwhile, and nothing is remembered.

    Raises:
        ModelError: weights are not in memory.
    """
    if before is None or before != after or not _settled(before):
        return weights_digest(model)
    place = cache_folder() / "digests" / f"{_key(model, before)}.json"
    if (known := _remembered(place)) is not None:
        return known
    digest = weights_digest(model)
    _remember(place, digest)
    return digest


def _settled(states: FileStates) -> bool:
    """Whether no file changed so lately that another change could have left the same time."""
    return time.time_ns() - max(max(state[2:4]) for state in states) > _SETTLED * 1e9


def _key(model: PreTrainedModel, states: FileStates) -> str:
    # The reading code names and casts the weights, so another version of it may give another digest.
    code = [type(model).__qualname__, str(model.dtype), transformers.__version__, torch.__version__, sys.byteorder]
    return hashlib.sha256(json.dumps([code, states]).encode()).hexdigest()


def _remembered(place: Path) -> str | None:
    try:
        digest = json.loads(place.read_text())["digest"]
    except (OSError, ValueError, KeyError, TypeError):
        return None  # never taken, or spoilt: it is taken again
    return digest if isinstance(digest, str) and _DIGEST.fullmatch(digest) else None


def _remember(place: Path, digest: str) -> None:
    part = place.with_suffix(f".{os.getpid()}.part")
    try:
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        part.write_text(json.dumps({"digest": digest}))
        os.replace(part, place)
    except OSError:
        return  # a cache that cannot be written costs time, not truth


def _state(file: Path) -> tuple[str, int, int, int, int, int]:
    seen = file.stat()
    return str(file), seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns, seen.st_dev, seen.st_ino


def _raw(tensor: Tensor) -> memoryview:
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().data
