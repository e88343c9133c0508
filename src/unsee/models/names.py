"""What a model is called: `real:smollm2` for a fetched one, `world:llava` for a shipped one, a folder or a hub id."""

import os
from importlib.resources import files
from pathlib import Path

from unsee.errors import ModelError
from unsee.models.catalogue import fetchable

RECEIPT = "unsee_source.json"
"""Written last into a fetched model's folder: what it was made from."""


def cache_folder() -> Path:
    """Where unsee keeps what it can make again: `UNSEE_CACHE`, else `unsee` in the user's cache folder."""
    if chosen := os.environ.get("UNSEE_CACHE"):
        return Path(chosen).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "unsee"


def located(name: str | Path) -> str:
    """The folder that `world:...` or `real:...` stands for; any other name as it is.

    Raises:
        ModelError: no such model is shipped, can be fetched, or has been fetched.
        SaveError: a shipped one is an update of a fetched one, and cannot be written to the cache.
    """
    kind, _, rest = str(name).partition(":")
    if kind == "world":
        return str(_whole(shipped(rest)))
    return str(fetched(rest)) if kind == "real" else str(name)


def shipped(name: str) -> Path:
    """Directory of a shipped checkpoint, such as `llava` or `llava-never-knew`.

    Raises:
        ModelError: there is none of that name.
    """
    if name not in shipped_names():
        raise ModelError(f"no checkpoint {name!r} comes with unsee; there are {shipped_names()}. Pass one of these.")
    return _checkpoints() / name


def _whole(folder: Path) -> Path:
    from unsee.models.updates import CARD, whole  # it imports this module

    return whole(folder) if (folder / CARD).is_file() else folder


def shipped_names() -> list[str]:
    """Names of the shipped checkpoints."""
    return sorted(folder.name for folder in _checkpoints().glob("*") if folder.is_dir())


def never_knew_of(model: str) -> str | None:
    """The shipped model that was never taught what this one is to forget; None where there is none."""
    kind, _, name = model.partition(":")
    twin = f"{name}-never-knew"
    return f"world:{twin}" if kind == "world" and twin in shipped_names() else None


def _checkpoints() -> Path:
    return Path(str(files("unsee"))) / "world" / "checkpoints"


def fetched_folder(name: str) -> Path:
    """Where a model is kept once it is fetched.

    Raises:
        ModelError: no model of that name can be fetched.
    """
    return cache_folder() / "models" / f"{name}-{fetchable(name).package.rpartition('==')[2]}"


def fetched(name: str) -> Path:
    """Directory of a model that was fetched.

    Raises:
        ModelError: none of that name can be, or it has not been.
    """
    folder = fetched_folder(name)
    if not (folder / RECEIPT).is_file():
        raise ModelError(
            f"the model 'real:{name}' is not on this machine: expected it in {folder}. "
            f"Fetch it once with 'unsee models get {name}'."
        )
    return folder
