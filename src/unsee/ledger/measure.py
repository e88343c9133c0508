"""Ask the model what verification needs to know: about the subject, its neighbours, and what must still be answered."""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

from unsee.data.sample import Sample, require_disjoint, require_some, subjects
from unsee.data.task import Role, Set, Task
from unsee.erase.artifact import library_versions
from unsee.erase.eraser import Eraser
from unsee.erase.profile import identity, require_same_model
from unsee.errors import DataError
from unsee.evals.answerers import Local
from unsee.evals.asking import asked as ask_task
from unsee.evals.plan import Plan
from unsee.evals.store import Record
from unsee.ledger.framing import framed
from unsee.ledger.verification import Count, Measured
from unsee.models.load import LoadedModel
from unsee.progress import Stages, silent

SUBJECT, NEIGHBOURS, VISIBLE = "forget_heldout", "neighbours", "visible"
_ROLES: dict[str, Role] = {SUBJECT: "forget", NEIGHBOURS: "neighbour", VISIBLE: "visible"}


def measure(
    loaded: LoadedModel,
    eraser: Eraser,
    in_force: Sequence[Eraser],
    questions: Sequence[Sample],
    neighbours: Sequence[Sample],
    *,
    visible: Sequence[Sample] = (),
    panel: Sequence[str] = (),
    never_knew: LoadedModel | None = None,
    batch_size: int = 64,
    max_new_tokens: int = 48,
    stages: Stages = silent,
) -> Measured:
    """Ask everything without any eraser, and with this one beside those in force.

    Where a question comes without the fact that would give it away, any answer that is no refusal counts as a leak.

    Args:
        loaded: the model that is served.
        eraser: of the request to be verified.
        in_force: erasers of the requests that are active already.
        questions: about the eraser's subjects, in wordings and images that the fit has not seen.
        neighbours: about subjects near them that must be answered about.
        visible: about the eraser's subjects, what must still be answered.
        panel: subjects among the neighbours that stand for complaints.
        never_knew: a model that never knew the subjects, for the rate of hits by chance.
        batch_size: prompts per forward pass.
        max_new_tokens: longest answer, in tokens.
        stages: progress display.

    Raises:
        DataError: no question, or questions about the wrong subjects.
        MismatchError: the eraser was made for another model.
        SteeringError: steering did not happen as required.
    """
    require_some(questions, "held-out question")
    require_same_model(eraser.model, loaded, "eraser")
    _require_about(eraser.subjects, (*questions, *visible))
    _require_retained({name for one in (eraser, *in_force) for name in one.subjects}, neighbours)
    require_disjoint(questions, neighbours, ("question", "neighbour"))
    splits = {SUBJECT: questions, NEIGHBOURS: neighbours, VISIBLE: visible}

    def asked(model: LoadedModel, condition: str, erasers: Sequence[Eraser], names: Iterable[str]) -> list[Record]:
        sets = {name: Set.of(_ROLES[name], splits[name]) for name in names if splits[name]}
        told = stages(f"asking: {condition}", sum(map(len, sets.values())))
        plan = Plan(Task("ledger", sets), max_new_tokens=max_new_tokens, batch_size=batch_size)
        return ask_task(Local(model, erasers), plan, condition, progress=told)

    base, erased = asked(loaded, "base", (), splits), asked(loaded, "erased", [*in_force, eraser], splits)
    never = asked(never_knew, "never knew", (), [SUBJECT]) if never_knew is not None else []
    about = _of(erased, SUBJECT)
    wrong = {name: Count(0, 0) for name in subjects(neighbours)}
    for before, after in zip(_of(base, NEIGHBOURS), _of(erased, NEIGHBOURS), strict=True):
        if before["refused"] is not None and after["refused"] is not None:
            old, name = wrong[after["person"]], after["person"]
            wrong[name] = Count(old.k + (after["refused"] and not before["refused"]), old.n + 1)
    return Measured(
        leak=_count(map(leaked, about)),
        refusal=_count(r["refused"] for r in about),
        base_leak=_count(map(leaked, _of(base, SUBJECT))),
        never_knew_leak=_count(map(leaked, never)),
        fluent=_count(r["fluent"] for r in about),
        unscored=Count(sum(r["refused"] is None for r in erased), len(erased)),
        silent=len(set(eraser.subjects) - set(subjects(questions))),
        wrong_refusal=Count(sum(c.k for c in wrong.values()), sum(c.n for c in wrong.values())),
        neighbours={name: count for name, count in wrong.items() if count.n},
        visible_before=_count(r["correct"] for r in _of(base, VISIBLE)),
        visible_after=_count(r["correct"] for r in _of(erased, VISIBLE)),
        panel=tuple(name for name in panel if name in wrong and wrong[name].n and not wrong[name].k),
        beside=len(in_force),
        context={
            "model": identity(loaded),
            "never_knew": None if never_knew is None else identity(never_knew),
            "questions": {name: _set_digest(samples) for name, samples in splits.items() if samples},
            "libraries": library_versions(),
            "device": str(loaded.model.device),
            "precision": str(loaded.model.dtype),
            "max_new_tokens": max_new_tokens,
        },
    )


def leaked(record: Record) -> bool | None:
    """Whether an answer gives the fact away; where the fact is not known, whether it is anything but a refusal."""
    if record["leaked"] is not None:
        return record["leaked"]
    return None if record["refused"] is None else not record["refused"]


def _require_about(known: Sequence[str], samples: Iterable[Sample]) -> None:
    strange = sorted(set(subjects(samples)) - set(known)) if known else []
    if strange:
        raise DataError(
            f"questions are about {strange[:5]}, but the artifact was fitted for {list(known[:5])}. Ask about its own "
            "subjects, with the ids that its forget set used."
        )


def _require_retained(erased: set[str], neighbours: Sequence[Sample]) -> None:
    asked_for = sorted(erased & set(subjects(neighbours)))
    if asked_for:
        raise DataError(
            f"{len(asked_for)} neighbour(s) are to be unseen by this or another active request: {asked_for[:5]}. "
            "Neighbours must be answered about; take these out of the set."
        )


def _of(records: Sequence[Record], split: str) -> list[Record]:
    return [record for record in records if record["split"] == split]


def _count(values: Iterable[bool | None]) -> Count:
    found = [value for value in values if value is not None]
    return Count(sum(found), len(found))


def _set_digest(samples: Sequence[Sample]) -> dict[str, Any]:
    """Which questions were asked, without their words: count and digest."""
    digest = hashlib.sha256()
    for sample in samples:
        digest.update(framed(sample.id.encode(), sample.question.encode(), sample.gold.encode(), sample.form.encode()))
        for shown in sample.shown:
            digest.update(framed(shown.encoded))
    return {"n": len(samples), "digest": f"sha256:{digest.hexdigest()}"}
