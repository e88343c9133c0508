"""The eraser that a request holds: stored, verified, and deleted once nothing holds it any more."""

from datetime import timedelta
from pathlib import Path
from typing import Any

from unsee.ledger.artifacts import Check
from unsee.ledger.board import Request
from unsee.ledger.errors import LifeCycleError
from unsee.ledger.framing import stamp
from unsee.ledger.log import Decision
from unsee.ledger.states import require
from unsee.ledger.store import Ledger
from unsee.ledger.verification import Verification


def attach(
    ledger: Ledger, prefix: str, source: Path | str, check: Check, by: Decision, **remarks: dict[str, Any]
) -> Request:
    """Store the eraser that was fitted for a request; the same eraser again puts its files back.

    Args:
        ledger: open with its keys.
        prefix: of the request's id.
        source: folder of a saved eraser; it is copied.
        check: reads the copy and says what it is, as `erasers.eraser_check` does.
        by: who fitted it.
        **remarks: what else an audit wants of the fit; JSON values.

    Raises:
        LifeCycleError: not the time for it, or another request holds this very artifact.
        ArtifactError: the eraser is damaged.
    """
    request = ledger.request(prefix)
    with ledger.files.staged(Path(source), check) as (stage, artifact), ledger.writing() as writing:
        request = writing.board.find(request.id)
        again = artifact.content_id in (request.holding, request.in_force)
        step, state = ("restored", request.state) if again else ("fit", require(request, "fit").after)
        others = writing.board.holders.get(artifact.content_id, set()) - {request.id}
        if others:
            raise LifeCycleError(
                f"request {min(others)} holds the artifact {artifact.content_id[:19]}... already, and it cannot act "
                f"twice. Fit an eraser for {request.id}, or revoke {min(others)}."
            )
        if again and writing.board.artifacts[artifact.content_id].files != artifact.files:
            raise LifeCycleError(
                f"request {request.id} holds this artifact with other files (a card or a date differs). Put back the "
                "copy that was attached, or fit anew."
            )
        said: dict[str, Any] = {
            "content_id": artifact.content_id,
            "model": {"id": artifact.model_id, "digest": artifact.model_digest},
            "about": dict(artifact.about),
            "files": dict(artifact.files),
            **remarks,
        }
        ledger.files.place(stage, artifact.content_id)
        writing.log(by, step, request.id, state, said)
    return ledger.request(request.id)


def record(ledger: Ledger, prefix: str, content_id: str, verification: Verification, by: Decision) -> Request:
    """Write down a verification: one that passed makes a fitted request verified, one that failed undoes that.

    A request in force stays so, whatever a later verification says: switching off is a decision of its own.

    Raises:
        LifeCycleError: the request holds no artifact, or no longer the one that was verified.
    """
    with ledger.writing() as writing:
        request = writing.board.find(prefix)
        step = require(request, "verify" if verification.passed else "fail")
        if request.holding != content_id:
            raise LifeCycleError(
                f"request {request.id} holds {(request.holding or 'nothing')[:19]}..., but the verification is of "
                f"{content_id[:19]}.... Verify what it holds now."
            )
        said = verification.as_json() | {"content_id": content_id}
        writing.log(by, step.name, request.id, step.after or request.state, said)
    return ledger.request(request.id)


def compact(ledger: Ledger, by: Decision) -> tuple[list[str], int]:
    """Delete artifacts that nothing holds past their retention; rows stay.

    Returns:
        Content ids purged, and the bytes freed.
    """
    latest = stamp(ledger.clock() - timedelta(days=ledger.policy.retention.artifact_days))
    with ledger.writing() as writing:
        purged = sorted(c for c, at in writing.board.released.items() if at <= latest)
        if purged:
            writing.log(by, "purged", details={"purged": purged})
    with ledger.writing() as writing:  # again, because the same artifact may have been fitted meanwhile
        freed = sum(ledger.files.remove(c) for c in purged if c not in writing.board.artifacts)
    return purged, freed
