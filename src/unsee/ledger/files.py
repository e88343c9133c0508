"""The files of erasers, in the ledger's own database: they come and go in the transaction that says so.

They are opaque here: whether an eraser is sound is for the caller's check to say, whether it is still what was stored
is for the digest in the log.
"""

import hashlib
import shutil
import tempfile
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import final

from sqlalchemy import Connection, select

from unsee.erase.artifact_files import FILES as NAMES
from unsee.errors import ArtifactError
from unsee.ledger.database import FILES
from unsee.ledger.errors import MissingArtifactError, told
from unsee.ledger.request import Artifact

Check = Callable[[Path], Artifact]
"""Says what the eraser in a folder is, or raises `ArtifactError`."""
NAME = NAMES["eraser"]


def read_artifact(source: Path, check: Check) -> tuple[Artifact, bytes]:
    """A saved eraser, checked in a private copy: nothing can change between the check and the use."""
    with told(f"{source}", "Expected the folder of a saved eraser.", ArtifactError):
        body = (source / NAME).read_bytes()
    with tempfile.TemporaryDirectory() as copy:
        Path(copy, NAME).write_bytes(body)
        try:
            return check(Path(copy)).changed(sha256=hashlib.sha256(body).hexdigest()), body
        except ArtifactError as error:  # the copy is gone by the time that somebody reads this
            raise ArtifactError(str(error).replace(copy, str(source))) from error


def stored(connection: Connection, artifact: Artifact) -> bytes:
    """The file of an eraser, byte for byte as it was stored; MissingArtifactError where it is gone or changed."""
    body = connection.scalar(select(FILES.c.body).where(FILES.c.content_id == artifact.content_id))
    found = "nothing" if body is None else hashlib.sha256(body).hexdigest()
    if body is None or found != artifact.sha256:
        raise MissingArtifactError(
            f"the file of the eraser {artifact.content_id[:19]}... has SHA-256 {found[:12]}..., but "
            f"{artifact.sha256[:12]}... was stored. Nothing is loaded. Put the saved eraser back with 'unsee ledger "
            "fit ID --eraser DIR', or revoke its request."
        )
    return body


@final
class Unpacked:
    """Folders of erasers that this process has read; they go with it."""

    def __init__(self) -> None:
        self._home: Path | None = None

    def folder(self, connection: Connection, artifact: Artifact) -> Path:
        """A folder to load an eraser from, made once of what is `stored`."""
        name = artifact.content_id.removeprefix("sha256:")
        if self._home is not None and (self._home / name).is_dir():
            return self._home / name
        body = stored(connection, artifact)
        with told("cannot unpack an eraser", "Make room."):
            if self._home is None:
                self._home = Path(tempfile.mkdtemp(prefix="unsee-ledger-"))
                weakref.finalize(self, shutil.rmtree, self._home, ignore_errors=True)
            stage = Path(tempfile.mkdtemp(dir=self._home))
            (stage / NAME).write_bytes(body)
            return stage.rename(self._home / name)
