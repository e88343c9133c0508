"""The file of an artifact: how it is called, and how a new one takes the place of an old one, all of it or none."""

import os
import secrets
import sys
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Literal

from unsee.errors import ArtifactError, SaveError

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


def open_file(path: Path) -> BinaryIO:
    """Open a file to read; whatever else lies under its name is refused.

    Raises:
        ArtifactError: it is a folder, a pipe or a device.
        OSError: it cannot be opened; `unreadable` words it.
    """
    if path.exists() and not path.is_file():
        raise ArtifactError(f"{path}: is not a file, expected one. Check the path.")  # a pipe would never end
    return path.open("rb")


def unreadable(path: Path, error: OSError) -> ArtifactError:
    """The error for a file that the system does not let us read."""
    return ArtifactError(
        f"{path}: cannot be read: {error.strerror or error}. Expected a file that this user may read. {FETCH_AGAIN}"
    )
