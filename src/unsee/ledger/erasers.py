"""Where the ledger meets the model: fitting and verifying a request, and loading all in force. Imports torch."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from unsee.data.sample import ImageFile, Sample
from unsee.erase.artifact import library_versions, read_config
from unsee.erase.eraser import Eraser
from unsee.erase.eraser_set import FALSE_FIRES, false_fires_of, together
from unsee.erase.profile import Profile, identity, require_same_model
from unsee.erase.request.expansion import expand
from unsee.erase.request.request import Request as Wanted
from unsee.erase.request.request import request as wanted_request
from unsee.erase.steer.hooks import erased
from unsee.errors import DataError, UnknownSubjectError
from unsee.forgetting.before import Before, before, unknown_answers
from unsee.forgetting.run import forget
from unsee.ledger.active import ActiveSet
from unsee.ledger.asking import Asker, Question, held_out, near_by
from unsee.ledger.holding import attach, record
from unsee.ledger.log import Decision
from unsee.ledger.request import THRESHOLDS, Artifact, Request
from unsee.ledger.states import require
from unsee.ledger.store import Ledger
from unsee.ledger.verification import Verification, questions_needed
from unsee.models.generate import generate
from unsee.models.load import LoadedModel
from unsee.progress import Stages, silent

ABOUT = ("method", "family", "layers", "hidden_size", "counts", "created", "libraries")


def eraser_check(folder: Path) -> Artifact:
    """What an eraser says of itself; all that is not exactly what was saved is refused.

    The subjects' ids stay in the artifact: the log is permanent, the artifact is not.
    """
    eraser, config = Eraser.from_pretrained(folder), read_config(folder, "eraser")
    model, opened = config.base_model, false_fires_of(eraser)
    limits = [among._asdict() | {"false_fires": len(scores)} for among, scores in (opened or {}).items()]
    about = {name: getattr(config, name) for name in ABOUT} | {
        "revision": model.revision,
        "subjects": len(eraser.subjects),
        "settings": {n: v for n, v in config.settings.items() if n not in ("subjects", "golds", FALSE_FIRES)},
        THRESHOLDS: limits or None,
    }
    return Artifact(content_id=config.content_id, model_id=model.id, model_digest=model.digest, about=about)


def fit(
    ledger: Ledger, prefix: str, loaded: LoadedModel, by: Decision, *, profile: Profile | None = None,
    force: bool = False, stages: Stages = silent,
) -> tuple[Request, Before]:  # fmt: skip
    """Fit an eraser by `unsee.forget` from what the vault holds, store it, and give what the model said before.

    Raises:
        LifeCycleError: the request was not accepted.
        UnknownSubjectError: the model knows nothing of the person: somebody must decide.
    """
    request = ledger.request(prefix)
    require(request, "fit")
    panel = panel_of(ledger, request).items()
    spared = [prompt.sample for name, one in panel for prompt in expand(one, name, held=False, each=4)]
    with tempfile.TemporaryDirectory() as folder:
        try:
            person = wanted(ledger, request.id)
            done = forget(loaded, person, folder, profile=profile, keep=spared, force=force, stages=stages)
        except UnknownSubjectError as error:  # whose words name the person
            raise UnknownSubjectError(
                f"the model says nothing of the person of {request.id} that it does not also say of invented people: "
                "there is nothing to forget. Nothing was stored. Deny it on the ground not-known, or process it with "
                "--force."
            ) from error
        return attach(ledger, request.id, Path(folder, "eraser"), eraser_check, by), done.before


def verify(
    ledger: Ledger, prefix: str, loaded: LoadedModel, by: Decision, *, today: Before | None = None,
    questions: Sequence[Sample] = (), near: Sequence[Sample] = (), batch_size: int = 64, stages: Stages = silent,
) -> tuple[Verification, Request]:  # fmt: skip
    """Ask the model about a request's person and its neighbours beside all that is in force; write the verdict down.

    What the model says `today`, without any erasure, is asked if it is not given. One's own `questions` about the
    person and those `near` it, which must be answered, come beside those that are drawn.

    Raises:
        LifeCycleError: there is nothing to verify.
        MismatchError: the artifact was made for another model.
    """
    request, limits = ledger.request(prefix), ledger.policy.verification
    require(request, "verify")
    assert request.held is not None, "the table asks for it"
    mine = Eraser.from_pretrained(ledger.folder(request.held))
    require_same_model(mine.model, loaded, "eraser")
    asked, panel, (active, folders) = wanted(ledger, request.id), panel_of(ledger, request), ledger.active_folders()
    beside = {name: folders[one.content_id] for name, one in active.requests.items() if name != request.id}
    erasers = together([*map(Eraser.from_pretrained, beside.values()), mine])
    asker = Asker(loaded, erasers, limits, batch_size, stages=stages)
    if today is None:
        today = before(loaded, asked, request.id, unknown_answers(loaded, asked.kind, stages=stages), stages=stages)
    # One more than must not leak at all: a single miss should not decide.
    needed = questions_needed(limits.max_leak, limits.confidence, leaks=1) or 0
    prompts = held_out(asked, request.id, today, least=needed)
    every = [Question.of(one, today) for one in prompts]
    every += [Question(one, one.accepted, "own questions") for one in questions]
    groups = near_by(asked) | ({"own questions": list(near)} if near else {})
    groups |= {name: [one.sample for one in held_out(other, name, today)] for name, other in panel.items()}
    names = [name for other in beside for name in wanted(ledger, other).names]
    findings = [*asker.about(every), *asker.still(groups), *asker.attacked(every)]
    findings += asker.listed(prompts, asked, [*asked.names, *names])
    shown = {one.check for one in findings if one.count.n and not one.count.k}
    verdict = Verification(
        content_id=request.held.content_id, findings=tuple(findings), policy=limits.digest,
        panel=tuple(name for name in panel if f"declines: {name}" in shown), beside=len(beside),
        context={"model": identity(loaded), "libraries": library_versions(), "device": str(loaded.model.device),
                 "precision": str(loaded.model.dtype)},
    )  # fmt: skip
    return verdict, record(ledger, request.id, verdict, by)


def wanted(ledger: Ledger, record: str) -> Wanted:
    """Whom a record is about, as `unsee.forget` takes one; DataError where nothing is held any more."""
    person = ledger.person(record)
    if person is None:
        raise DataError(f"nothing is held any more on the person of {record}: it has ended.")
    return wanted_request(person.names[0], aliases=person.names[1:], images=person.images)


def panel_of(ledger: Ledger, request: Request) -> dict[str, Wanted]:
    """Namesakes whom complaints about a request have put on its panel, those whose data are still held."""
    upheld = [one for one in ledger.requests(("panelled", "resolved", "answered")) if not one.denied]
    return {one.id: wanted(ledger, one.id) for one in upheld if one.about == request.id}


def load_active(ledger: Ledger) -> tuple[ActiveSet, list[Eraser]]:
    """Every eraser in force, in the order of the active set; all of them or an error, never some.

    Thresholds are set for the whole set (`eraser_set.together`) at each call: nothing is stored that could be older
    than the set. Pass the erasers to `unsee.erased` in this order, and put `digest` of the set into every cache key.
    """
    active, folders = ledger.active_folders()
    return active, together([*map(Eraser.from_pretrained, folders.values())])


def ask(
    ledger: Ledger, loaded: LoadedModel, question: str, image: Path | None = None, max_new_tokens: int = 48
) -> tuple[str, dict[str, float]]:
    """One answer with everything in force, and per request its largest score less threshold: it fires from 0 on."""
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
    margins = {name: float(reading.margins[0].max()) for name, reading in read if reading is not None}
    return answer, dict(sorted(margins.items(), key=lambda pair: -pair[1]))
