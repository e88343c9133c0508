"""The files of an artifact: how they are called, and how new ones take the place of old ones.

Saving. The new files are written and synced in a hidden folder inside the target, then moved out one by one. Moving the
tensors is the commit; until the new config has followed, a reader takes it from the hidden folder. So a full disk or
`kill -9` leaves the old artifact or the new one, at every instant and under the same path. Swapping whole folders would
be the other way, but a full folder cannot be renamed over another: for a moment there would be no artifact, a mount
point or a working folder could not be a target, and whatever else lies in the folder would be lost.
"""

import os
import shutil
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, final

from unsee.errors import ArtifactError, SaveError

Kind = Literal["eraser", "profile"]
CARD = "README.md"
FETCH_AGAIN = "Copy or download the artifact again, or make it anew."


@final
@dataclass(frozen=True)
class Layout:
    """Names inside the folder: the config, the tensors, and the hidden folder where a save is staged."""

    config: str
    tensors: str
    pending: str


LAYOUTS: dict[Kind, Layout] = {
    "eraser": Layout("erasure_config.json", "erasure.safetensors", ".erasure.saving"),
    "profile": Layout("profile_config.json", "profile.safetensors", ".profile.saving"),
}


def replace_files(home: Path, layout: Layout, files: Mapping[str, bytes]) -> None:
    """Stage the files, commit them by moving the tensors, then move the rest.

    Args:
        home: made if missing.
        layout: the names of the kind that is saved.
        files: bytes by name; the tensors come first, the config last, see `committed`.

    Raises:
        SaveError: says which artifact the folder now holds.
    """
    pending, outcome = home / layout.pending, "what was there before is kept"
    try:
        home.mkdir(parents=True, exist_ok=True)
        _settle(home, layout)
        pending.mkdir()
        for name, data in files.items():
            _write(pending / name, data)
            sync_folder(pending)
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


def committed(home: Path, layout: Layout) -> bool:
    """A save has moved its tensors into place but not yet its config.

    The tensors are staged first and the config is discarded first, so a config without tensors means this only.
    """
    pending = home / layout.pending
    return (pending / layout.config).is_file() and not (pending / layout.tensors).is_file()


def _settle(home: Path, layout: Layout) -> None:
    """Finish a save that was committed, throw away one that was not."""
    pending = home / layout.pending
    if not pending.is_dir():
        return
    if committed(home, layout):
        sync_folder(home)  # a power cut must not keep the config's move and lose the tensors'
        if (pending / CARD).is_file():
            os.replace(pending / CARD, home / CARD)
        os.replace(pending / layout.config, home / layout.config)
        sync_folder(home)
    (pending / layout.config).unlink(missing_ok=True)
    with suppress(OSError):  # a disk too full to sync still has its room given back
        sync_folder(pending)
    shutil.rmtree(pending)


def _write(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


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
        raise ArtifactError(f"{path}: is not a file, expected one. Check the path.")  # a pipe would wait for ever
    return path.open("rb")


def unreadable(path: Path, error: OSError) -> ArtifactError:
    """The error for a file that the system does not let us read."""
    return ArtifactError(
        f"{path}: cannot be read: {error.strerror or error}. Expected a file that this user may read. {FETCH_AGAIN}"
    )
