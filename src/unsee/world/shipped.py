"""The checkpoints that come with the package."""

from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from unsee.errors import ModelError, OptionError

if TYPE_CHECKING:
    from unsee.models.load import LoadedModel

FAMILIES = ("llava", "qwen2_5_vl", "qwen3_vl")
NEVER_KNEW_RATIO, NEVER_KNEW_SEED = 0.1, 0
"""Split for which the never-knew checkpoint was made; at others its row is left out."""


def require_shipped(family: str) -> None:
    """Refuse a family of which no checkpoint comes with the package.

    Raises:
        OptionError: names those that do.
    """
    if family not in FAMILIES:
        raise OptionError(
            f"family is {family!r}, expected one of {list(FAMILIES)}: checkpoints of these come with unsee. "
            "Make others with 'unsee world train --family'."
        )


def shipped(name: str) -> Path:
    """Directory of a shipped checkpoint, such as `llava` or `llava-never-knew`.

    Raises:
        ModelError: there is none of that name.
    """
    folder = Path(str(files("unsee.world"))) / "checkpoints" / name
    if not folder.is_dir():
        here = sorted(p.name for p in folder.parent.glob("*") if p.is_dir())
        raise ModelError(
            f"no checkpoint {name!r} comes with unsee; there are {here}. Make one with 'unsee world train'."
        )
    return folder


def load_named(name: str) -> "LoadedModel":
    """What a command line calls a model: a checkpoint folder, a hub id, or `world:llava` for a shipped one.

    Raises:
        ModelError: there is none of that name, or it cannot be loaded.
    """
    from transformers.utils import logging

    from unsee.models.load import load

    logging.disable_progress_bar()  # its bar would break ours
    return load(named(name))


def named(name: str) -> str | Path:
    """The directory that `world:llava` stands for; any other name as it is.

    Raises:
        ModelError: no such checkpoint comes with unsee.
    """
    return shipped(name.removeprefix("world:")) if name.startswith("world:") else name
