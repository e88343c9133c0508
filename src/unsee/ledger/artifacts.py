"""The folder of artifacts, named by what they mean: written before the row that names them, removed after it.

`artifacts/<64 hexadecimal digits of the content id>/` holds the two files of an eraser. They are opaque here: whether
an eraser is sound is for the caller's check to say, whether it is still what was stored is for the digests in the row.
"""

import hashlib
import os
import re
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from unsee.erase.artifact_files import CARD, open_file, sync_folder, unreadable
from unsee.erase.artifact_files import FILES as ARTIFACT_FILES
from unsee.errors import ArtifactError
from unsee.ledger.errors import MissingArtifactError

Digests = Mapping[str, str]
"""File name to SHA-256 of its bytes."""

FILES = (ARTIFACT_FILES["eraser"], CARD)
_STAGING = ".staging"
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


Check = Callable[[Path], Facts]
"""Says what the artifact in a folder is, or raises `ArtifactError`."""


@final
class ArtifactFolder:
    """Files of artifacts. Every method that changes something is called by whoever holds the ledger's write lock."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def place_of(self, content_id: str) -> Path:
        """Folder of an artifact, whether it is there or not."""
        return self.home / content_id.removeprefix("sha256:")

    @contextmanager
    def staged(self, source: Path) -> Iterator[tuple[Path, Digests]]:
        """A synced copy of a saved eraser, to be checked and then placed; gone when the block ends.

        The copy is what is checked, so that nothing can change between the check and the use.

        Raises:
            ArtifactError: the source cannot be read.
            OSError: the copy cannot be written.
        """
        stage = self.home / _STAGING
        shutil.rmtree(stage, ignore_errors=True)
        try:
            stage.mkdir()
            digests = {name: _copied(source, name, stage) for name in FILES}
            sync_folder(stage)
            yield stage, digests
        finally:
            shutil.rmtree(stage, ignore_errors=True)  # what stays is swept at the next start

    def place(self, stage: Path, content_id: str) -> None:
        """Give a staged copy its name; when this returns, all of it is on disk.

        Raises:
            ArtifactError: that is no content id.
            OSError: it cannot be moved.
        """
        place = self.place_of(content_id)
        if _OURS.fullmatch(place.name) is None:
            raise ArtifactError(f"the content id is {content_id!r:.90}, expected sha256: and 64 hexadecimal digits")
        if place.is_dir():  # left by a crash, or damaged: mended file by file, each of them at once
            for name in FILES:
                os.replace(stage / name, place / name)
            sync_folder(place)
        else:
            os.rename(stage, place)
        sync_folder(self.home)

    def require(self, request: str, content_id: str, digests: Digests) -> Path:
        """The folder of an artifact whose files are, byte for byte, those that were stored.

        Raises:
            MissingArtifactError: names the request and the file at fault.
        """
        place = self.place_of(content_id)
        for name, expected in sorted(digests.items()):
            found = _digest(place / name)
            if found != expected:
                what = "is missing" if found is None else f"has SHA-256 {found[:12]}..., {expected[:12]}... was stored"
                raise MissingArtifactError(
                    f"request {request}: file {name} of its artifact {content_id[:19]}... {what}. Nothing is loaded. "
                    f"Put the saved eraser back with 'unsee ledger attach {request} --eraser DIR', or revoke the "
                    "request."
                )
        return place

    def intact(self, content_id: str, digests: Digests) -> bool:
        """Whether every file is there, byte for byte as stored."""
        place = self.place_of(content_id)
        return all(_digest(place / name) == expected for name, expected in digests.items())

    def missing(self, content_id: str, digests: Digests) -> bool:
        """Whether a file of the artifact is not there at all; its bytes are not read."""
        return any(not (self.place_of(content_id) / name).is_file() for name in digests)

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
        """Names of folders that a crash has left: half-written copies, and artifacts that no row names."""
        names = {content_id.removeprefix("sha256:") for content_id in known}
        found = [e.name for e in self.home.iterdir() if e.name == _STAGING or _OURS.fullmatch(e.name) is not None]
        return sorted(name for name in found if name not in names)

    def strangers(self) -> list[str]:
        """Names of entries that are not the ledger's; they are reported and never touched."""
        return sorted(e.name for e in self.home.iterdir() if e.name != _STAGING and _OURS.fullmatch(e.name) is None)

    def sweep(self, known: Collection[str]) -> list[str]:
        """Delete what `orphans` finds; returns the names."""
        names = self.orphans(known)
        for name in names:
            shutil.rmtree(self.home / name)
        if names:
            sync_folder(self.home)
        return names


def _copied(source: Path, name: str, stage: Path) -> str:
    """Copy one file and sync it; returns its SHA-256."""
    if not source.is_dir():
        raise ArtifactError(f"{source}: there is no such folder, expected a saved eraser. Check the path.")
    path = source / name
    try:
        data = open_file(path)
    except OSError as error:
        raise unreadable(path, error) from error
    digest = hashlib.sha256()
    with data, (stage / name).open("xb") as copy:
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
