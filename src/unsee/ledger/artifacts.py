"""The files of erasers, in the ledger's own database: they come and go in the transaction that says so.

They are opaque here: whether an eraser is sound is for the caller's check to say, whether it is still what was stored
is for the digests in the log.
"""

import hashlib
import shutil
import tempfile
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import final

from sqlalchemy import Connection, delete, insert, select

from unsee.errors import ArtifactError
from unsee.ledger.database import FILES
from unsee.ledger.errors import LedgerUnavailableError, MissingArtifactError
from unsee.ledger.request import Artifact

MOST_FILES = 16
Check = Callable[[Path], Artifact]
"""Says what the eraser in a folder is, or raises `ArtifactError`."""
Bodies = dict[str, bytes]


def read_artifact(source: Path, check: Check) -> tuple[Artifact, Bodies]:
    """A saved eraser, checked in a private copy: nothing can change between the check and the use.

    Raises:
        ArtifactError: the source cannot be read, or is no sound eraser.
    """
    try:
        found = sorted(entry for entry in source.iterdir() if entry.is_file() and not entry.is_symlink())
        bodies = {path.name: path.read_bytes() for path in found[: MOST_FILES + 1]}
    except OSError as error:
        raise ArtifactError(f"{source}: {error.strerror}, expected the folder of a saved eraser.") from error
    if not 0 < len(found) <= MOST_FILES:
        raise ArtifactError(f"{source}: holds {len(found)} files, expected a saved eraser (1 to {MOST_FILES}).")
    with tempfile.TemporaryDirectory() as copy:
        for name, body in bodies.items():
            Path(copy, name).write_bytes(body)
        try:
            artifact = check(Path(copy))
        except ArtifactError as error:  # the copy is gone by the time that somebody reads this
            raise ArtifactError(str(error).replace(copy, str(source))) from error
    return artifact.changed(files={name: hashlib.sha256(body).hexdigest() for name, body in bodies.items()}), bodies


def store(connection: Connection, artifact: Artifact, bodies: Bodies) -> None:
    """Keep the files, inside the caller's transaction."""
    connection.execute(delete(FILES).where(FILES.c.content_id == artifact.content_id))
    rows = [{"content_id": artifact.content_id, "name": name, "body": body} for name, body in bodies.items()]
    connection.execute(insert(FILES), rows)


def read_files(connection: Connection, artifact: Artifact) -> Bodies:
    """The files of an eraser, byte for byte those that were stored.

    Raises:
        MissingArtifactError: names the file at fault.
    """
    query = select(FILES.c.name, FILES.c.body).where(FILES.c.content_id == artifact.content_id)
    found: Bodies = dict(connection.execute(query).tuples().all())
    for name, expected in artifact.files.items():
        digest = hashlib.sha256(found[name]).hexdigest() if name in found else "nothing"
        if digest != expected:
            raise MissingArtifactError(
                f"file {name} of the eraser {artifact.content_id[:19]}... has SHA-256 {digest[:12]}..., but "
                f"{expected[:12]}... was stored. Nothing is loaded. Put the saved eraser back with 'unsee ledger fit "
                "ID --eraser DIR', or revoke its request."
            )
    return {name: found[name] for name in artifact.files}


@final
class Unpacked:
    """Folders of erasers that this process has read, for its own use; they go with it."""

    def __init__(self) -> None:
        self._home: Path | None = None

    def folder(self, connection: Connection, artifact: Artifact) -> Path:
        """A folder to load the eraser from.

        Raises:
            MissingArtifactError: as `read_files`.
            LedgerUnavailableError: there is no room to unpack it.
        """
        if self._home is None:
            self._home = Path(tempfile.mkdtemp(prefix="unsee-ledger-"))
            weakref.finalize(self, shutil.rmtree, self._home, ignore_errors=True)
        place = self._home / artifact.content_id.removeprefix("sha256:")
        if place.is_dir():
            return place
        bodies, stage = read_files(connection, artifact), place.with_suffix(".new")
        try:
            shutil.rmtree(stage, ignore_errors=True)
            stage.mkdir()
            for name, body in bodies.items():
                (stage / name).write_bytes(body)
            return stage.rename(place)
        except OSError as error:
            raise LedgerUnavailableError(
                f"cannot unpack an eraser into {place}: {error.strerror}. Make room."
            ) from error
