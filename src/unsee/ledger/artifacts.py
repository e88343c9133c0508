"""The folder of artifacts, named by what they mean: written before the row that names them, removed after it.

`artifacts/<64 hexadecimal digits of the content id>/` holds the files of a saved eraser. They are opaque here: whether
an eraser is sound is for the caller's check to say, whether it is still what was stored is for the digests in the row.
"""

import hashlib
import os
import re
import secrets
import shutil
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from unsee.erase.artifact_files import sync_folder
from unsee.errors import ArtifactError
from unsee.ledger.errors import MissingArtifactError

ARTIFACTS = "artifacts"
MOST_FILES = 16
_STAGING = ".staging-"
_OURS = re.compile(r"[0-9a-f]{64}")


@final
@dataclass(frozen=True)
class Facts:
    """What a check has found an artifact to be.

    Attributes:
        content_id: "sha256:" and 64 hexadecimal digits.
        model_id: the checkpoint it was made on.
        model_digest: digest of that checkpoint's weights.
        about: method, settings, sample counts and whatever else an audit wants; JSON values, no names.
    """

    content_id: str
    model_id: str
    model_digest: str
    about: Mapping[str, Any]


@final
@dataclass(frozen=True)
class Artifact:
    """An artifact as the log has it: what it is, and the SHA-256 of each of its files."""

    content_id: str
    model_id: str
    model_digest: str
    about: Mapping[str, Any]
    files: Mapping[str, str]


Check = Callable[[Path], Facts]
"""Says what the artifact in a folder is, or raises `ArtifactError`."""


@final
class ArtifactFolder:
    """Files of artifacts. `place`, `remove` and `sweep` are called by whoever holds the ledger's write lock."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def place_of(self, content_id: str) -> Path:
        """Folder of an artifact, whether it is there or not.

        Raises:
            ArtifactError: that is no content id.
        """
        name = content_id.removeprefix("sha256:")
        if _OURS.fullmatch(name) is None:
            raise ArtifactError(f"the content id is {content_id!r:.90}, expected sha256: and 64 hexadecimal digits")
        return self.home / name

    @contextmanager
    def staged(self, source: Path, check: Check) -> Iterator[tuple[Path, Artifact]]:
        """A synced copy of a saved eraser, checked in its copy: nothing can change between the check and the use.

        Raises:
            ArtifactError: the source cannot be read, or is no sound eraser.
            OSError: the copy cannot be written.
        """
        stage = self.home / f"{_STAGING}{os.getpid()}-{secrets.token_hex(4)}"
        try:
            found = sorted(entry for entry in source.iterdir() if entry.is_file() and not entry.is_symlink())
        except OSError as error:
            raise ArtifactError(f"{source}: {error.strerror}, expected the folder of a saved eraser.") from error
        if not 0 < len(found) <= MOST_FILES:
            raise ArtifactError(f"{source}: holds {len(found)} files, expected a saved eraser (1 to {MOST_FILES}).")
        try:
            stage.mkdir(mode=0o700)
            digests = {path.name: _copied(path, stage / path.name) for path in found}
            sync_folder(stage)
            try:
                facts = check(stage)
            except ArtifactError as error:  # the copy is gone by the time that somebody reads this
                raise ArtifactError(str(error).replace(str(stage), str(source))) from error
            yield stage, Artifact(**vars(facts), files=digests)
        finally:
            shutil.rmtree(stage, ignore_errors=True)  # what stays is swept at the next opening

    def place(self, stage: Path, content_id: str) -> None:
        """Give a staged copy its name; when this returns, all of it is on disk.

        Raises:
            OSError: it cannot be moved.
        """
        place = self.place_of(content_id)
        if place.is_dir():  # left by a crash, or damaged: replaced file by file, each of them at once
            for entry in sorted(stage.iterdir()):
                os.replace(entry, place / entry.name)
            sync_folder(place)
        else:
            os.rename(stage, place)
        sync_folder(self.home)

    def require(self, request: str, artifact: Artifact) -> Path:
        """The folder of an artifact whose files are, byte for byte, those that were stored.

        Raises:
            MissingArtifactError: names the request and the file at fault.
        """
        place = self.place_of(artifact.content_id)
        for name, expected in sorted(artifact.files.items()):
            found = _digest(place / name)
            if found != expected:
                what = "is missing" if found is None else f"has SHA-256 {found[:12]}..., {expected[:12]}... was stored"
                raise MissingArtifactError(
                    f"request {request}: file {name} of its artifact {artifact.content_id[:19]}... {what}. Nothing is "
                    f"loaded. Put the saved eraser back with 'unsee ledger fit {request} --eraser DIR', or revoke the "
                    "request."
                )
        return place

    def remove(self, content_id: str) -> int:
        """Delete the files of an artifact; returns how many bytes that freed."""
        place = self.place_of(content_id)
        if not place.is_dir():
            return 0
        freed = sum(file.stat().st_size for file in place.iterdir() if file.is_file())
        shutil.rmtree(place)
        sync_folder(self.home)
        return freed

    def orphans(self, known: Collection[str]) -> list[str]:
        """Names of folders that a crash has left: copies of processes that are gone, artifacts that no row names."""
        names = {content_id.removeprefix("sha256:") for content_id in known}
        found = [e.name for e in self.home.iterdir()] if self.home.is_dir() else []
        return sorted(n for n in found if (_OURS.fullmatch(n) and n not in names) or _abandoned(n))

    def sweep(self, known: Collection[str]) -> list[str]:
        """Delete what `orphans` finds; returns the names."""
        names = self.orphans(known)
        for name in names:
            shutil.rmtree(self.home / name, ignore_errors=True)
        if names:
            sync_folder(self.home)
        return names


def _abandoned(name: str) -> bool:
    """Whether a staging folder is of a process that is no more; one that runs may still be checking its copy."""
    pid = name.removeprefix(_STAGING).partition("-")[0] if name.startswith(_STAGING) else ""
    if not pid.isdecimal() or sys.platform == "win32":  # where this call would end the process
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    return False


def _copied(source: Path, target: Path) -> str:
    """Copy one file and sync it; returns its SHA-256."""
    digest = hashlib.sha256()
    with source.open("rb") as data, target.open("xb") as copy:
        while part := data.read(1 << 20):
            digest.update(part)
            copy.write(part)
        copy.flush()
        os.fsync(copy.fileno())
    return digest.hexdigest()


def _digest(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
