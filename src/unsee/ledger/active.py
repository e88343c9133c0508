"""The requests in force together, and the name of that set."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from unsee.ledger.artifacts import Artifact, ArtifactFolder
from unsee.ledger.board import Board
from unsee.ledger.errors import LifeCycleError
from unsee.ledger.framing import active_digest, code_version

THRESHOLDS = "thresholds"
"""What an artifact's row says of the prompts its thresholds were set on; null where they stay as they are."""


@final
@dataclass(frozen=True)
class ActiveRequest:
    """A request in force: its id and its artifact's row."""

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
        steering: the serving settings of the policy.
        code: version of the code that steers.
    """

    requests: tuple[ActiveRequest, ...]
    steering: Mapping[str, Any]
    code: str

    @property
    def digest(self) -> str:
        """Part of every cache key: it changes with every activation and revocation, and comes back with the set."""
        return active_digest([r.artifact.content_id for r in self.requests], self.steering, self.code)

    def folders(self, files: ArtifactFolder) -> list[Path]:
        """Folders to load erasers from, every file of them compared with what was stored.

        Raises:
            MissingArtifactError: a file is gone or another; nothing may be served as if it were erased.
        """
        return [files.require(r.id, r.artifact) for r in self.requests]


def active_set(board: Board, steering: Mapping[str, Any]) -> ActiveSet:
    """The set as the log has it."""
    found = [ActiveRequest(r.id, board.artifacts[r.in_force]) for r in board.requests.values() if r.in_force]
    return ActiveSet(tuple(sorted(found, key=lambda r: r.artifact.content_id)), steering, code_version())


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
