"""The requests in force together, and the name of that set."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, final

from unsee.ledger.board import Board
from unsee.ledger.errors import LifeCycleError
from unsee.ledger.framing import canonical, framed
from unsee.ledger.request import Artifact

THRESHOLDS = "thresholds"
"""What an artifact's row says of the prompts its thresholds were set on; null where they stay as they are."""


@final
@dataclass(frozen=True)
class ActiveRequest:
    """A request in force: its id and its eraser."""

    id: str
    artifact: Artifact

    @property
    def shares_threshold(self) -> bool:
        """Whether its thresholds are set for all in force together; a published gate's and an older fit's are not."""
        return self.artifact.about.get(THRESHOLDS) is not None


@final
@dataclass(frozen=True)
class ActiveSet:
    """Everything in force, in the order of content ids: sums of floats depend on their order, answers must not.

    Attributes:
        requests: in that order, whatever order they were activated in.
    """

    requests: tuple[ActiveRequest, ...]
    steering: Mapping[str, Any]
    code: str

    @property
    def digest(self) -> str:
        """Part of every cache key: it changes with every activation and revocation, and comes back with the set."""
        return active_digest([r.artifact.content_id for r in self.requests], self.steering, self.code)


def active_set(board: Board, steering: Mapping[str, Any]) -> ActiveSet:
    """The set as the log has it."""
    found = [ActiveRequest(r.id, r.in_force) for r in board.requests.values() if r.in_force]
    return ActiveSet(tuple(sorted(found, key=lambda r: r.artifact.content_id)), steering, code_version())


def active_digest(content_ids: Iterable[str], settings: Mapping[str, object], code: str) -> str:
    """Name of a set of requests in force: what every cache key of the server must hold.

    `"sha256:" + sha256(p("active set 1") p(n) p(id_1) ... p(id_n) p(settings) p(code))` over the sorted ids, the
    settings as canonical JSON, and the version of the code that steers. Order does not enter; a byte changed does.
    """
    ids = sorted(content_ids)
    parts = [b"active set 1", str(len(ids)).encode(), *(i.encode() for i in ids)]
    return f"sha256:{hashlib.sha256(framed(*parts, canonical(settings).encode(), code.encode())).hexdigest()}"


@cache
def code_version() -> str:
    """Version of unsee and a digest of the sources that steer, since a working copy changes without a new version."""
    home, digest = Path(__file__).parents[1], hashlib.sha256()
    for part in ("erase", "models"):  # by their files: importing them would import torch
        for source in sorted((home / part).rglob("*.py")):
            digest.update(framed(source.relative_to(home).as_posix().encode(), source.read_bytes()))
    return f"{version('unsee')}+{digest.hexdigest()[:16]}"


def require_one_model(active: ActiveSet, artifact: Artifact, request_id: str) -> None:
    """Refuse to put requests of different models in force together.

    Raises:
        LifeCycleError: names both models.
    """
    for other in active.requests:
        if other.id != request_id and other.artifact.model_digest != artifact.model_digest:
            raise LifeCycleError(
                f"request {request_id} was fitted on {artifact.model_id!r} (weights {artifact.model_digest[:19]}...), "
                f"but request {other.id}, which is active, on {other.artifact.model_id!r} (weights "
                f"{other.artifact.model_digest[:19]}...). One ledger serves one model: fit the request on that one, or "
                "keep another ledger for the other."
            )
