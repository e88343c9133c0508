"""The requests in force together, and the name of that set."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, final

from unsee.ledger.canonical import digest
from unsee.ledger.log import Row
from unsee.ledger.request import Artifact, Board


@final
@dataclass(frozen=True)
class ActiveSet:
    """Everything in force as of a row of the log.

    Attributes:
        requests: each with its eraser, in the order of content ids, whatever order they were activated in: sums of
            floats depend on their order, answers must not.
    """

    requests: Mapping[str, Artifact]
    steering: Mapping[str, Any]
    code: str
    row: Row

    @property
    def digest(self) -> str:
        """Part of every cache key: it changes with every activation and revocation, and comes back with the set."""
        return active_digest((one.content_id for one in self.requests.values()), self.steering, self.code)


def active_set(board: Board, steering: Mapping[str, Any]) -> ActiveSet:
    """The set as the log has it."""
    found = sorted(((r.id, r.in_force) for r in board.requests.values() if r.in_force), key=lambda r: r[1].content_id)
    return ActiveSet(dict(found), steering, code_version(), board.last)


def active_digest(content_ids: Iterable[str], settings: Mapping[str, object], code: str) -> str:
    """Name of a set in force, of sorted ids, settings and code: what every cache key of the server must hold."""
    return digest(["active set 2", sorted(content_ids), settings, code])


@cache
def code_version() -> str:
    """Version of unsee and a digest of the sources that steer, since a working copy changes without a new version."""
    home = Path(__file__).parents[1]  # by their files: importing them would import torch
    sources = sorted(source for part in ("erase", "models") for source in (home / part).rglob("*.py"))
    files = [(one.relative_to(home).as_posix(), hashlib.sha256(one.read_bytes()).hexdigest()) for one in sources]
    return f"{version('unsee')}+{digest(files)[7:23]}"
