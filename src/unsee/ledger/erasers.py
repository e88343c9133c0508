"""Where the ledger meets erasers: reading one strictly, verifying one, loading all in force. Imports torch late."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from unsee.ledger.active import ActiveSet
from unsee.ledger.artifacts import Check, Facts
from unsee.ledger.decision import Decision
from unsee.ledger.errors import LifeCycleError
from unsee.ledger.lifecycle import HOLDING, Request
from unsee.ledger.store import Ledger
from unsee.ledger.verification import Verification, judge
from unsee.progress import Stages, silent

if TYPE_CHECKING:
    from unsee.data.samples import Sample
    from unsee.erase.eraser import Eraser
    from unsee.models.load import LoadedModel


def eraser_check() -> Check:
    """What reads an eraser for `Ledger.attach`, refusing all that is not exactly what was saved.

    torch is imported here and not by the check, so that nobody waits for it while the ledger is locked. The subjects'
    ids stay in the artifact: the log is for ever, the artifact is not.
    """
    from unsee.erase.artifact import read_config
    from unsee.erase.eraser import Eraser

    def check(folder: Path) -> Facts:
        eraser, config = Eraser.from_pretrained(folder), read_config(folder, "eraser")
        model = config["base_model"]
        about = {
            "method": config["method"],
            "family": config["family"],
            "layers": config["layers"],
            "hidden_size": config["hidden_size"],
            "revision": model["revision"],
            "counts": config["counts"],
            "subjects": len(eraser.subjects),
            "settings": {name: value for name, value in config["settings"].items() if name != "subjects"},
            "created": config["created"],
            "libraries": config["libraries"],
        }
        return Facts(config["content_id"], model["id"], model["digest"], about)

    return check


def verify(
    ledger: Ledger,
    request_id: str,
    loaded: "LoadedModel",
    questions: "Sequence[Sample]",
    neighbours: "Sequence[Sample]",
    by: Decision,
    *,
    visible: "Sequence[Sample]" = (),
    never_knew: "LoadedModel | None" = None,
    seed: int = 0,
    batch_size: int = 64,
    stages: Stages = silent,
) -> tuple[Verification, Request]:
    """Ask the model about a request's subject and neighbours beside all that is in force, and write the verdict down.

    Args:
        ledger: open.
        request_id: fitted, verified or active.
        loaded: the model that is served.
        questions: held-out questions about the subject.
        neighbours: questions about near subjects that are kept; the policy says how many.
        by: who has it verified.
        visible: what must still be answered about the subject.
        never_knew: a model that never knew the subject.
        seed: of the intervals.
        batch_size: prompts per forward pass.
        stages: progress display.

    Raises:
        LifeCycleError: the request holds no artifact.
        MissingArtifactError: files are gone or changed.
        DataError: questions about the wrong subjects.
        MismatchError: the artifact was made for another model.
    """
    from unsee.erase.eraser import Eraser
    from unsee.ledger.measure import measure

    request = ledger.request(request_id)
    artifact = ledger.artifact(request.content_id or "")
    if request.state not in HOLDING or artifact is None:
        raise LifeCycleError(
            f"request {request_id} is {request.state} without an artifact to verify. Next: attach an eraser with "
            "'unsee ledger attach'."
        )
    limits = ledger.policy.verification
    eraser = Eraser.from_pretrained(ledger.files.require(request_id, artifact.content_id, artifact.files))
    active, folders = ledger.active_folders()
    others = [folder for one, folder in zip(active.requests, folders, strict=True) if one.id != request_id]
    measured = measure(
        loaded,
        eraser,
        [Eraser.from_pretrained(folder) for folder in others],
        questions,
        neighbours,
        visible=visible,
        never_knew=never_knew,
        seed=seed,
        batch_size=batch_size,
        stages=stages,
    )
    verdict = judge(measured, limits)
    return verdict, ledger.record(request_id, artifact.content_id, verdict, by)


def load_active(ledger: Ledger) -> "tuple[ActiveSet, list[Eraser]]":
    """Every eraser in force, in the order of the active set; all of them or an error, never some.

    Pass them to `unsee.erased` in this order, and put `digest` of the set into every cache key.

    Raises:
        MissingArtifactError: files are gone or changed.
        ArtifactError: a file is what was stored, but this unsee cannot read it.
    """
    from unsee.erase.eraser import Eraser

    active, folders = ledger.active_folders()
    return active, [Eraser.from_pretrained(folder) for folder in folders]
