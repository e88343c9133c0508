"""The file of an artifact: how it is called, and how a new one takes the place of an old one, all of it or none."""

import os
import secrets
import sys
from contextlib import suppress
from pathlib import Path
from typing import Literal

from unsee.errors import SaveError

Kind = Literal["eraser", "profile"]
CARD = "README.md"
FILES: dict[Kind, str] = {"eraser": "eraser.safetensors", "profile": "profile.safetensors"}
FETCH_AGAIN = "Copy or download the artifact again, or fit it again."


def replace_file(path: Path, data: bytes) -> None:
    """Write a file so that at every instant, also after `kill -9` or a power cut, the path holds the old or the new.

    The file gets the mode that the umask asks for; a symbolic link is replaced, not written through.

    Raises:
        SaveError: it cannot be written; what was there before is kept.
    """
    outcome, staged = "what was there before is kept", None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        name = path.with_name(f".{path.name}.{secrets.token_hex(8)}.saving")
        with name.open("xb") as file:
            staged = name
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
        outcome, staged = "the new file is in place, but may not survive a power cut", None
        sync_folder(path.parent)
    except OSError as error:
        raise SaveError(
            f"cannot save {path}: {error.strerror or error} (errno {error.errno}); {outcome}. "
            "Expected a folder that can be written to, with room for the file; see to that and save again."
        ) from error
    finally:
        if staged is not None:
            with suppress(OSError):
                staged.unlink()


def sync_folder(folder: Path) -> None:
    """Make names in a folder survive a power cut."""
    if sys.platform == "win32":  # Windows has no handle of a folder to sync
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
