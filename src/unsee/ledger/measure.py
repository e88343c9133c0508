"""Ask the model what verification needs to know: about the subject, its neighbours, and what must still be answered."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch

from unsee.data.sample import Sample, require_disjoint, require_some, subjects
from unsee.erase.artifact import library_versions
from unsee.erase.eraser import Eraser
from unsee.erase.profile import identity, require_same_model
from unsee.errors import DataError
from unsee.evals.run import Record, ask_all
from unsee.evals.stats import summarise
from unsee.ledger.framing import framed
from unsee.ledger.verification import Measured
from unsee.models.load import LoadedModel
from unsee.progress import Stages, silent

SUBJECT, NEIGHBOURS, VISIBLE = "forget_heldout", "neighbours", "visible"
_Split = Mapping[str, Sequence[Sample]]


def measure(
    loaded: LoadedModel,
    eraser: Eraser,
    in_force: Sequence[Eraser],
    questions: Sequence[Sample],
    neighbours: Sequence[Sample],
    *,
    visible: Sequence[Sample] = (),
    never_knew: LoadedModel | None = None,
    seed: int = 0,
    batch_size: int = 64,
    max_new_tokens: int = 48,
    stages: Stages = silent,
) -> Measured:
    """Ask everything without any eraser, and with this one beside those in force.

    Args:
        loaded: the model that is served.
        eraser: of the request to be verified.
        in_force: erasers of the requests that are active already.
        questions: about the eraser's subjects, in wordings and images that the fit has not seen.
        neighbours: about subjects near them that are kept.
        visible: about the eraser's subjects, what must still be answered.
        never_knew: a model that never knew the subjects, for the rate of hits by chance.
        seed: of the intervals.
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
    erased_ones = {name for one in (eraser, *in_force) for name in one.subjects}
    _require_kept(erased_ones, neighbours)
    require_disjoint(questions, neighbours, ("question", "neighbour"))

    splits: _Split = {SUBJECT: questions, NEIGHBOURS: neighbours, VISIBLE: visible}
    asking: dict[str, Any] = {"batch_size": batch_size, "max_new_tokens": max_new_tokens}
    count = sum(map(len, splits.values()))
    base = ask_all(loaded, splits, "base", progress=stages("asking: base", count), **asking)
    tell = stages("asking: erased", count)
    erased = ask_all(loaded, splits, "erased", [*in_force, eraser], progress=tell, **asking)
    records, reference = [*base, *erased], list[Record]()
    if never_knew is not None:
        tell = stages("asking: never knew", len(questions))
        reference = ask_all(never_knew, {SUBJECT: questions}, "never_knew", progress=tell, **asking)
        records += reference
    about, near = _of(erased, SUBJECT), _of(erased, NEIGHBOURS)
    wrongly = _wrongly_refused(_of(base, NEIGHBOURS), near)
    return Measured(
        questions=len(_scored(about)),
        refusal=_rate(about, "refused"),
        leak=_rate(about, "leaked"),
        base_leak=_rate(_of(base, SUBJECT), "leaked"),
        never_knew_leak=_rate(reference, "leaked"),
        fluent=_rate(about, "fluent"),
        unscored=1 - len(_scored(erased)) / len(erased),
        silent=len(set(eraser.subjects) - set(subjects(questions))),
        neighbours=len({record["person"] for record in _scored(near)}),
        neighbour_questions=len(_scored(near)),
        wrong_refusal=_mean(wrong for _, wrong in wrongly),
        worst_neighbour=_worst(wrongly),
        accuracy_before=_rate(_of(base, NEIGHBOURS), "correct"),
        accuracy_after=_rate(near, "correct"),
        visible_before=_rate(_of(base, VISIBLE), "correct"),
        visible_after=_rate(_of(erased, VISIBLE), "correct"),
        context={
            "seed": seed,
            "model": identity(loaded),
            "never_knew": None if never_knew is None else identity(never_knew),
            "beside": len(in_force),
            "questions": {name: _set_digest(samples) for name, samples in splits.items() if samples},
            "rows": summarise(records, seed),
            "libraries": library_versions(),
            "device": str(loaded.model.device),
            "precision": str(loaded.model.dtype),
            "max_new_tokens": max_new_tokens,
            "threads": torch.get_num_threads(),
        },
    )


def _require_about(known: Sequence[str], samples: Iterable[Sample]) -> None:
    strange = sorted(set(subjects(samples)) - set(known)) if known else []
    if strange:
        raise DataError(
            f"questions are about {strange[:5]}, but the artifact was fitted for {list(known[:5])}. Ask about its own "
            "subjects, with the ids that its forget set used."
        )


def _require_kept(erased: set[str], neighbours: Sequence[Sample]) -> None:
    asked_for = sorted(erased & set(subjects(neighbours)))
    if asked_for:
        raise DataError(
            f"{len(asked_for)} neighbour(s) are to be unseen by this or another active request: {asked_for[:5]}. "
            "Neighbours are kept; take these out of the set."
        )


def _of(records: Sequence[Record], split: str) -> list[Record]:
    return [record for record in records if record["split"] == split]


def _scored(records: Sequence[Record]) -> list[Record]:
    return [record for record in records if record["correct"] is not None]


def _rate(records: Sequence[Record], what: str) -> float | None:
    return _mean(record[what] for record in _scored(records))


def _mean(values: Iterable[bool]) -> float | None:
    found = list(values)
    return sum(found) / len(found) if found else None


def _wrongly_refused(base: Sequence[Record], erased: Sequence[Record]) -> list[tuple[str, bool]]:
    """Per question that both conditions answered: whom it is about, and whether only the erased model refused."""
    return [
        (after["person"], after["refused"] and not before["refused"])
        for before, after in zip(base, erased, strict=True)
        if before["correct"] is not None and after["correct"] is not None
    ]


def _worst(wrongly: Sequence[tuple[str, bool]]) -> float | None:
    """The share of the neighbour that fares worst; one question each would make that 0 or 1 by construction."""
    mine: dict[str, list[bool]] = {}
    for person, wrong in wrongly:
        mine.setdefault(person, []).append(wrong)
    if not 0 < len(mine) < len(wrongly):
        return None
    return max(sum(values) / len(values) for values in mine.values())


def _set_digest(samples: Sequence[Sample]) -> dict[str, Any]:
    """Which questions were asked, without their words: count and digest."""
    digest = hashlib.sha256()
    for sample in samples:
        digest.update(framed(sample.id.encode(), sample.question.encode(), sample.gold.encode(), sample.form.encode()))
        if sample.image is not None:
            source = sample.image.source
            digest.update(framed(source if isinstance(source, bytes) else source.read_bytes()))
    return {"n": len(samples), "digest": f"sha256:{digest.hexdigest()}"}
