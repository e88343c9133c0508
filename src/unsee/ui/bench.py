"""What all tabs share: models, the erasers that there are, and folders. What is a tab's own, its page keeps."""

import itertools
import json
import re
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import final

from unsee.data import ImageFile
from unsee.data.images import decode
from unsee.erase.eraser import Eraser
from unsee.erase.profile import require_same_model
from unsee.errors import OptionError
from unsee.models.load import load
from unsee.models.names import never_knew_of, shipped_names
from unsee.ui.engine import Engine
from unsee.ui.jobs import Jobs
from unsee.ui.served import Served
from unsee.world.generate import Entity, World
from unsee.world.splits import image

LARGEST = 32_000_000
"""Bytes of one upload."""
ALL = 1_000_000_000
"""Bytes of all uploads of one process."""
MOST = 8
"""Images of one conversation or request."""


@final
@dataclass(frozen=True)
class Bench:
    """One process of `unsee ui`.

    Attributes:
        model: what it was asked for by.
        engine: the model, which fits and verifies; None where a server answers.
        panes: the same weights as they are and erased, to be asked meanwhile; empty where a server answers.
        twin: the model that never knew, where one is shipped.
        requests: folder in which requests made here are kept.
        uploads: folder of this run's uploads; deleted at its end.
        given: erasers named on the command line.
        results: folders that hold results folders.
        ledger: folder of a ledger, if one was named.
        keys: folder of its keys; without it the ledger is only shown.
        served: a running `unsee serve`, if one was named.
        world: the built-in world, for a model that knows it.
        jobs: long work with the model.
    """

    model: str
    engine: Engine | None
    panes: tuple[Engine, ...]
    twin: Engine | None
    requests: Path
    uploads: Path
    given: tuple[Path, ...] = ()
    results: tuple[Path, ...] = ()
    ledger: Path | None = None
    keys: Path | None = None
    served: Served | None = None
    world: World | None = None
    jobs: Jobs = field(default_factory=Jobs)
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count, repr=False)

    def eraser_folders(self) -> dict[str, Path]:
        """What can be put in force, by name: those given, then those made here, newest first."""
        made = sorted(self.requests.glob("*/eraser/eraser.safetensors"), key=lambda p: -p.stat().st_mtime)
        named = {path.name: path for path in self.given}
        return named | {path.parents[1].name: path.parent for path in made}

    def eraser_names(self) -> dict[str, str]:
        """What they are called: of those made here, whom they are about and when; plain names, the operator's."""
        return {name: _called(folder.parent, name) for name, folder in self.eraser_folders().items()}

    def eraser(self, name: str) -> Eraser:
        """One of them, if it was made for this model.

        Raises:
            OptionError: there is none of that name any more.
            UnseeError: it is damaged or of another model.
        """
        folder = self.eraser_folders().get(name)
        if folder is None:
            raise OptionError(f"there is no eraser {name!r} any more. Load the page again.")
        made = Eraser.from_pretrained(folder)
        if self.engine is not None:
            require_same_model(made.model, self.engine.loaded, "eraser")
        return made

    def kept(self, name: str, content: bytes) -> ImageFile:
        """An upload as the library decodes it; kept until the process ends.

        Raises:
            ImageError: it is no image that is read.
            OptionError: this process keeps too much already.
        """
        if sum(path.stat().st_size for path in self.uploads.iterdir()) + len(content) > ALL:
            raise OptionError(f"{ALL // 10**6:,} MB were uploaded already. Start 'unsee ui' again, which deletes them.")
        plain = re.sub(r"[^\w.-]+", "_", name)[-60:] or "image"
        decode(content, plain)
        path = self.uploads / f"{next(self._numbers):04d}-{plain}"
        path.write_bytes(content)
        return ImageFile(plain, path)

    def people(self) -> dict[str, Entity]:
        """Whom the world has a face of, by name; empty without a world."""
        if self.world is None:
            return {}
        known = [*self.world.of("private"), *self.world.of("celebrity"), *self.world.of("stranger")]
        return {f"{one.name} ({one.kind})": one for one in known}

    def face(self, person: Entity, view: int) -> ImageFile:
        """One view of somebody of the world, kept as an upload is, so that a command line can name it."""
        if self.world is None:
            raise OptionError("there is no world on this bench, so nobody of it has a face. Name a model of a world.")
        path = self.uploads / f"{person.id}-{view}.png"
        path.write_bytes(image(self.world, person, view).encoded)
        return ImageFile(path.name, path)


def _called(folder: Path, name: str) -> str:
    try:
        about = json.loads((folder / "request.json").read_text(encoding="utf-8"))
        return f"{about['name']}, {datetime.fromtimestamp((folder / 'request.json').stat().st_mtime):%d %b %H:%M}"
    except (OSError, ValueError, KeyError, TypeError):  # named on the command line, or by another version
        return name


def open_bench(
    model: str, uploads: Path, requests: Path, *, given: tuple[Path, ...] = (), results: tuple[Path, ...] = (),
    ledger: Path | None = None, keys: Path | None = None, server: str | None = None, key: str = "none",
) -> Bench:  # fmt: skip
    """Load what the tabs will ask: a model, and its never-knew twin where one is shipped; or only name a server.

    Raises:
        ModelError: the model cannot be loaded.
    """
    if server is not None:
        return Bench(server, None, (), None, requests, uploads, given, results, ledger, keys, Served(server, key))
    kind, _, name = model.partition(":")
    of_world = kind == "world" and name in shipped_names()
    twin = never_knew_of(model)
    engine = Engine(load(model))
    return Bench(
        model,
        engine,
        (engine.beside(), engine.beside()),
        engine.beside(load(twin)) if twin else None,
        requests,
        uploads,
        given,
        results,
        ledger,
        keys,
        world=World() if of_world else None,
    )
