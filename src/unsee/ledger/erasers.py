"""Where the ledger meets erasers: reading one strictly, verifying one, loading all in force. Imports torch late."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from unsee.errors import DataError
from unsee.ledger.active import THRESHOLDS, ActiveSet
from unsee.ledger.artifacts import Check, Facts
from unsee.ledger.decision import Decision
from unsee.ledger.errors import LifeCycleError
from unsee.ledger.lifecycle import HOLDING, Request
from unsee.ledger.store import Ledger
from unsee.ledger.verification import Verification, judge
from unsee.progress import Stages, silent

if TYPE_CHECKING:
    from unsee.data.sample import Sample
    from unsee.erase.eraser import Eraser
    from unsee.erase.eraser_set import Stacked
    from unsee.models.load import LoadedModel


def eraser_check() -> Check:
    """What reads an eraser for `Ledger.attach`, refusing all that is not exactly what was saved.

    torch is imported here and not by the check, so that nobody waits for it while the ledger is locked. The subjects'
    ids stay in the artifact: the log is for ever, the artifact is not.
    """
    from unsee.erase.artifact import read_config
    from unsee.erase.eraser import Eraser
    from unsee.erase.eraser_set import FALSE_FIRES, false_fires_of

    def check(folder: Path) -> Facts:
        eraser, config = Eraser.from_pretrained(folder), read_config(folder, "eraser")
        model, kept = config.base_model, false_fires_of(eraser)
        about = {
            "method": config.method,
            "family": config.family,
            "layers": config.layers,
            "hidden_size": config.hidden_size,
            "revision": model.revision,
            "counts": config.counts,
            "subjects": len(eraser.subjects),
            "settings": {n: value for n, value in config.settings.items() if n not in ("subjects", FALSE_FIRES)},
            THRESHOLDS: None if kept is None else {**kept.among._asdict(), "false_fires": len(kept.scores)},
            "created": config.created,
            "libraries": config.libraries,
        }
        return Facts(config.content_id, model.id, model.digest, about)

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
    from unsee.erase.eraser_set import together
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
    beside = [folder for one, folder in zip(active.requests, folders, strict=True) if one.id != request_id]
    *others, eraser = together([*map(Eraser.from_pretrained, beside), eraser])
    measured = measure(
        loaded,
        eraser,
        others,
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

    Thresholds are set for the whole set (`eraser_set.together`) at each call: nothing is stored that could
    be older than the set. Pass the erasers to `unsee.erased` in this order, and put `digest` of the set into every
    cache key.

    Raises:
        MissingArtifactError: files are gone or changed.
        ArtifactError: a file is what was stored, but this unsee cannot read it.
    """
    from unsee.erase.eraser import Eraser
    from unsee.erase.eraser_set import together

    active, folders = ledger.active_folders()
    return active, together([Eraser.from_pretrained(folder) for folder in folders])


def load_stack(ledger: Ledger) -> "tuple[ActiveSet, Stacked]":
    """Everything in force as one eraser: prompts are read once, however many requests there are.

    Where several requests fire on one prompt, it is steered once, as by a list of erasers.

    Raises:
        DataError: nothing is in force.
        MismatchError: the requests were fitted on different profiles.
        MissingArtifactError, ArtifactError: as `load_active`.
    """
    from unsee.erase.eraser_set import stack

    active, erasers = load_active(ledger)
    return active, stack({request.id: eraser for request, eraser in zip(active.requests, erasers, strict=True)})


def ask(
    ledger: Ledger, loaded: "LoadedModel", question: str, image: Path | None = None, max_new_tokens: int = 48
) -> tuple[str, dict[str, float]]:
    """One answer with everything in force, and how strongly each request reads the prompt.

    Args:
        ledger: open.
        loaded: the model that is served.
        question: what is asked.
        image: the image it is asked about.
        max_new_tokens: longest answer, in tokens.

    Returns:
        The answer, and per request its largest score less threshold, the strongest first: it fires from 0 on.

    Raises:
        DataError: there is no such image.
        MismatchError: a request was fitted on another model.
        MissingArtifactError, ArtifactError: as `load_active`.
    """
    from unsee.data.sample import ImageFile, Sample
    from unsee.erase.profile import require_same_model
    from unsee.erase.steer.hooks import erased
    from unsee.models.generate import generate

    if image is not None and not image.is_file():
        raise DataError(f"there is no image {str(image)!r}. Expected a PNG, JPEG, WebP or BMP file; check the path.")
    asked = [Sample("asked", "asked", question, "", "", image=image and ImageFile(image.name, image))]
    active, erasers = load_active(ledger)
    for eraser in erasers:
        require_same_model(eraser.model, loaded, "eraser")
    if not erasers:
        return generate(loaded, asked, max_new_tokens=max_new_tokens)[0], {}
    with erased(loaded.model, *erasers, adapter=loaded.adapter) as steering:
        answer = generate(loaded, asked, max_new_tokens=max_new_tokens)[0]
    read = zip(active.requests, steering.readings, strict=True)
    strength = {one.id: float(reading.margins[0].max()) for one, reading in read if reading is not None}
    return answer, dict(sorted(strength.items(), key=lambda pair: -pair[1]))
