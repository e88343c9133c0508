"""The checkpoints that come with the package."""

from importlib.resources import files
from pathlib import Path

from unsee.errors import ModelError

FAMILIES = ("llava",)
NEVER_KNEW_SEED = 0
"""Split for which the never-knew checkpoint was made; at others its row is left out."""


def shipped(name: str) -> Path:
    """Directory of a shipped checkpoint: `llava` or `llava-never-knew`.

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
