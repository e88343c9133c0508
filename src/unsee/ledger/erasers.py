"""Where the ledger meets erasers: reading one strictly, fitting and verifying one, loading all in force. Torch late."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from unsee.errors import DataError
from unsee.ledger.active import THRESHOLDS, ActiveSet
from unsee.ledger.artifacts import Check, Facts
from unsee.ledger.board import Request
from unsee.ledger.errors import LifeCycleError
from unsee.ledger.holding import attach, record
from unsee.ledger.log import Decision
from unsee.ledger.states import require
from unsee.ledger.store import Ledger
from unsee.ledger.vault import Person
from unsee.ledger.verification import Verification, judge
from unsee.progress import Stages, silent

if TYPE_CHECKING:
    from unsee.data.sample import Sample
    from unsee.erase.eraser import Eraser
    from unsee.erase.eraser_set import Stacked
    from unsee.erase.profile import Profile
    from unsee.models.load import LoadedModel


def eraser_check() -> Check:
    """What reads an eraser for `attach`, refusing all that is not exactly what was saved.

    torch is imported here and not by the check, so that nobody waits for it while the ledger is locked. The subjects'
    ids stay in the artifact: the log is for ever, the artifact is not.
    """
    from unsee.erase.artifact import read_config
    from unsee.erase.eraser import Eraser
    from unsee.erase.eraser_set import FALSE_FIRES, false_fires_of

    def check(folder: Path) -> Facts:
        eraser, config = Eraser.from_pretrained(folder), read_config(folder, "eraser")
        model, opened = config.base_model, false_fires_of(eraser)
        same = ("method", "family", "layers", "hidden_size", "counts", "created", "libraries")
        about = {name: getattr(config, name) for name in same} | {
            "revision": model.revision,
            "subjects": len(eraser.subjects),
            "settings": {n: value for n, value in config.settings.items() if n not in ("subjects", FALSE_FIRES)},
            THRESHOLDS: None if opened is None else {**opened.among._asdict(), "false_fires": len(opened.scores)},
        }
        return Facts(config.content_id, model.id, model.digest, about)

    return check


def panel_of(ledger: Ledger, request: Request) -> dict[str, Person]:
    """Namesakes whom complaints about a request have put on its panel, those whose data are still held."""
    found = {c.id: ledger.person(c.id) for c in ledger.requests() if c.about == request.id and c.panelled}
    return {name: person for name, person in found.items() if person is not None}


def fit(
    ledger: Ledger, prefix: str, loaded: "LoadedModel", profile: "Profile", by: Decision, stages: Stages = silent
) -> Request:
    """Fit an eraser from what the vault holds, and store it.

    Raises:
        LifeCycleError: the request was not accepted.
        DataError: its personal data are destroyed.
    """
    from unsee.ledger import fitting

    request = ledger.request(prefix)
    require(request, "fit")
    person = _person(ledger, request)
    panel = panel_of(ledger, request)
    eraser = fitting.fit(loaded, profile, request.id, person, ledger.images(request.id), panel, stages)
    with tempfile.TemporaryDirectory() as folder:
        eraser.save_pretrained(folder)
        return attach(ledger, request.id, folder, eraser_check(), by)


def verify(
    ledger: Ledger,
    prefix: str,
    loaded: "LoadedModel",
    by: Decision,
    *,
    questions: "Sequence[Sample]" = (),
    neighbours: "Sequence[Sample]" = (),
    visible: "Sequence[Sample]" = (),
    never_knew: "LoadedModel | None" = None,
    batch_size: int = 64,
    stages: Stages = silent,
) -> tuple[Verification, Request]:
    """Ask the model about a request's subject and neighbours beside all that is in force, and write the verdict down.

    Args:
        ledger: open with its keys.
        prefix: of the id of a request that is fitted, verified or in force.
        loaded: the model that is served.
        by: who has it verified.
        questions: held-out questions about the subject; made from the vault's names and images if there are none.
        neighbours: questions about near subjects that must be answered about; the panel's are added.
        visible: what must still be answered about the subject.
        never_knew: a model that never knew the subject.
        batch_size: prompts per forward pass.
        stages: progress display.

    Raises:
        LifeCycleError: there is nothing to verify.
        MissingArtifactError: files are gone or changed.
        DataError: questions about the wrong subjects.
        MismatchError: the artifact was made for another model.
    """
    from unsee.erase.eraser import Eraser
    from unsee.erase.eraser_set import together
    from unsee.ledger import fitting
    from unsee.ledger.measure import measure

    request = ledger.request(prefix)
    require(request, "verify")
    artifact = ledger.artifact(request.holding or "")
    if artifact is None:
        raise LifeCycleError(f"request {request.id} holds no artifact to verify. Fit one with 'unsee ledger fit'.")
    mine, panel = Eraser.from_pretrained(ledger.files.require(request.id, artifact)), panel_of(ledger, request)
    subject = mine.subjects[0] if len(mine.subjects) == 1 else request.id
    asked = questions or fitting.questions(subject, _person(ledger, request), ledger.images(request.id))
    near = [*neighbours, *(q for name, person in panel.items() for q in fitting.questions(name, person, (), shown=()))]
    active, folders = ledger.active_folders()
    beside = [folder for one, folder in zip(active.requests, folders, strict=True) if one.id != request.id]
    *others, eraser = together([*map(Eraser.from_pretrained, beside), mine])
    measured = measure(
        loaded,
        eraser,
        others,
        asked,
        near,
        visible=visible,
        panel=list(panel),
        never_knew=never_knew,
        batch_size=batch_size,
        stages=stages,
    )
    verdict = judge(measured, ledger.policy.verification)
    return verdict, record(ledger, request.id, artifact.content_id, verdict, by)


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
    """One answer with everything in force, and per request its largest score less threshold: it fires from 0 on.

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
        raise DataError(f"there is no image {str(image)!r}. Check the path.")
    asked = [Sample("asked", "asked", question, "", "", image=image and ImageFile(image.name, image))]
    active, erasers = load_active(ledger)
    for eraser in erasers:
        require_same_model(eraser.model, loaded, "eraser")
    if not erasers:
        return generate(loaded, asked, max_new_tokens=max_new_tokens)[0], {}
    with erased(loaded.model, *erasers, adapter=loaded.adapter) as steering:
        answer = generate(loaded, asked, max_new_tokens=max_new_tokens)[0]
    read = zip(active.requests, steering.readings, strict=True)
    margins = {one.id: float(reading.margins[0].max()) for one, reading in read if reading is not None}
    return answer, dict(sorted(margins.items(), key=lambda pair: -pair[1]))


def _person(ledger: Ledger, request: Request) -> Person:
    person = ledger.person(request.id)
    if person is None:
        raise DataError(f"nothing is held any more on the person of {request.id}: the request has ended.")
    return person
