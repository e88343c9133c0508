"""Public facts for one model: who is forgotten, what is kept, and what is asked."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, final

from unsee.data.benchmarks.items import Item
from unsee.data.benchmarks.public_knowledge import (
    LEAST_KNOWN,
    Facts,
    PublicKnowledge,
    Subject,
    public_knowledge,
    recorded,
)
from unsee.data.sample import Sample
from unsee.data.task import Role, Set
from unsee.erase.fit_subject import Subject as Named
from unsee.erase.request.allowed import namesakes
from unsee.erase.request.request import Kind
from unsee.errors import DataError
from unsee.evals.answerers import Recorded
from unsee.evals.known import measure_known
from unsee.experiments.natural.run import load_quick, run_natural
from unsee.experiments.natural.split import Hidden, Sides, Split
from unsee.models.load import LoadedModel
from unsee.progress import Stages

_ROLES: Final[Mapping[str, Role]] = {
    "forget_heldout": "forget",
    "retain_unseen": "retain",
    "neighbours": "neighbour",
    "general": "general",
    "selective_hidden": "forget",
    "selective_spared": "retain",
}
_KINDS: Final[Mapping[str, Kind]] = {"person": "person", "work": "work", "organisation": "organisation"}


@final
@dataclass(frozen=True)
class Sizes:
    """How many subjects of each sort; the rest of the set is left alone.

    Attributes:
        forget: forgotten whole.
        selective: of whom some facts are forgotten and the others spared.
        retain: that the fit sees.
        calibration: that thresholds and the coefficient are chosen on.
        unseen: that only the test sees.
        neighbours: of each forgotten subject, likewise.
        general: questions about no subject.
        wordings: held-out wordings of each fact of the forgotten, of the four that there are.
        kept_wordings: likewise of everybody else.
    """

    forget: int = 6
    selective: int = 2
    retain: int = 40
    calibration: int = 20
    unseen: int = 30
    neighbours: int = 2
    general: int = 70
    wordings: int = 4
    kept_wordings: int = 2


def draw(knowledge: PublicKnowledge, known: Facts, seed: int, sizes: Sizes = Sizes()) -> Split:
    """Draw a split: forgotten subjects in turn from every kind, then their neighbours, then everybody else.

    Args:
        knowledge: the set.
        known: what the model knows, by subject; nothing else is asked about in the tests.
        seed: of the draw.
        sizes: how many of each sort.

    Raises:
        DataError: the model knows too few subjects.
    """
    rng = random.Random(f"public/{seed}")
    order = list(knowledge.subjects)
    rng.shuffle(order)
    able = [one for one in order if len(known.get(one.id, ())) >= LEAST_KNOWN]
    chosen = _in_turn(able, sizes.forget + sizes.selective)
    if len(chosen) < sizes.forget + sizes.selective:
        raise DataError(
            f"the model knows {LEAST_KNOWN} facts or more of {len(chosen)} subjects, expected at least "
            f"{sizes.forget + sizes.selective} to forget. Ask for fewer, or take a model that knows more."
        )
    whole, partly = chosen[: sizes.forget], chosen[sizes.forget :]
    rest = [one for one in order if one not in chosen]
    near = _neighbours(knowledge, whole, [one for one in rest if known.get(one.id)], sizes.neighbours)
    rest = [one for one in rest if one not in near]
    # Those of whom something is known are needed by the test; a fit takes anybody.
    unseen = [one for one in rest if known.get(one.id)][: sizes.unseen]
    rest = [one for one in rest if one not in unseen]
    retain, calibration = rest[: sizes.retain], rest[sizes.retain :][: sizes.calibration]
    kept = {one.id for one in (*retain, *calibration)}
    requests = [_whole(knowledge, one, known[one.id]) for one in whole]
    for one in partly:
        alike = [one, *(other for other in knowledge.subjects if other.id in kept and other.kind == one.kind)]
        requests.append(_partly(knowledge, one, known[one.id], alike))

    hidden = {one.id: one.known for one in requests if one.spared}
    spared = {one.id: one.spared for one in requests if one.spared}
    tests = {
        "forget_heldout": _asked(knowledge, whole, known, sizes.wordings),
        "retain_unseen": _asked(knowledge, unseen, known, sizes.kept_wordings),
        "neighbours": _asked(knowledge, near, known, sizes.kept_wordings),
        "general": knowledge.general_items("heldout")[: sizes.general],
        "selective_hidden": _asked(knowledge, partly, hidden, sizes.wordings),
        "selective_spared": _asked(knowledge, partly, spared, sizes.wordings),
    }
    return Split(
        requests=tuple(requests),
        forget=[s for one in whole for s in in_fit(knowledge, one, tuple(one.facts), short=True)],
        retain=_thinned(knowledge, retain),
        calibration=_thinned(knowledge, calibration),
        general=[item.sample for item in knowledge.general_items("fit")],
        refusal=knowledge.refused_samples(),
        unknown=knowledge.unknown_samples(),
        tests={name: Set(_ROLES[name], items) for name, items in tests.items() if items},
    )


def in_fit(knowledge: PublicKnowledge, subject: Subject, facts: Sequence[str], short: bool = False) -> list[Sample]:
    """A subject's questions in the wordings of a fit: by its name, and by its short name and in lower case too."""
    asked = [item.sample for item in knowledge.about(subject, "fit", facts)]
    if not short:
        return asked
    by_short = [replace(s, id=f"{s.id}/short", question=s.question.replace(subject.name, subject.short)) for s in asked]
    lower = [replace(s, id=f"{s.id}/lower", question=s.question.lower()) for s in asked]
    return asked + by_short[::5] + lower[::5]


def _whole(knowledge: PublicKnowledge, one: Subject, known: tuple[str, ...]) -> Hidden:
    asked = tuple(in_fit(knowledge, one, known))
    return Hidden(one.id, Named((one.name,)), (one.name, one.short), known, asked=asked, near=_near(one))


def _partly(knowledge: PublicKnowledge, one: Subject, known: tuple[str, ...], alike: Sequence[Subject]) -> Hidden:
    """Half of what is known is spared; a scope learns it from all facts, also of retained subjects of its kind."""
    spared = _spared(known)

    def about(chosen: bool) -> list[Sample]:
        facts = [(other, [fact for fact in other.facts if (fact in spared) is chosen]) for other in alike]
        return [sample for other, some in facts for sample in in_fit(knowledge, other, some)]

    hidden = tuple(fact for fact in known if fact not in spared)
    sides = Sides(about(False), about(True))
    return Hidden(one.id, Named((one.name,)), (one.name, one.short), hidden, spared, scope=sides, near=_near(one))


def _near(one: Subject) -> tuple[str, ...]:
    """As `unsee forget` has them: a city's or a country's is asked about as anything that can be talked of."""
    return tuple(namesakes(one.name, _KINDS.get(one.kind, "topic"), held=False))


def _thinned(knowledge: PublicKnowledge, subjects: Sequence[Subject]) -> list[Sample]:
    """A third of the wordings, other ones for each subject: retained subjects are many, and all wordings are needed."""
    every = [in_fit(knowledge, one, tuple(one.facts)) for one in subjects]
    return [sample for place, asked in enumerate(every) for sample in asked[place % 3 :: 3]]


def _asked(
    knowledge: PublicKnowledge, subjects: Sequence[Subject], known: Mapping[str, Sequence[str]], wordings: int
) -> list[Item]:
    found = []
    for number, one in enumerate(subjects):
        for place, fact in enumerate(known[one.id]):
            items = knowledge.about(one, "heldout", [fact])
            # Not the same two everywhere: each wording comes as often as the others.
            found += [items[(number + place + step) % len(items)] for step in range(min(wordings, len(items)))]
    return found


def _in_turn(subjects: Sequence[Subject], count: int) -> list[Subject]:
    kinds = list(dict.fromkeys(one.kind for one in subjects))
    queues = {kind: [one for one in subjects if one.kind == kind] for kind in kinds}
    taken: list[Subject] = []
    while len(taken) < count and any(queues.values()):
        for kind in kinds:
            if queues[kind] and len(taken) < count:
                taken.append(queues[kind].pop(0))
    return taken


def _spared(facts: Sequence[str]) -> tuple[str, ...]:
    return tuple(facts[: max(1, len(facts) // 2)])


def _neighbours(
    knowledge: PublicKnowledge, forgotten: Sequence[Subject], among: Sequence[Subject], each: int
) -> list[Subject]:
    near: dict[str, Subject] = {}
    for one in forgotten:
        for other in knowledge.neighbours(one, [s for s in among if s.id not in near], each):
            near[other.id] = other
    return list(near.values())


QUICK = Sizes(
    forget=5, selective=1, retain=24, calibration=10, unseen=10, neighbours=1, general=24, wordings=2, kept_wordings=1
)
"""What a demo asks; `Sizes()` is what the figures of the documentation may be measured with."""


def run_public_demo(
    out: Path, seed: int, stages: Stages, sizes: Sizes = QUICK, model: str = "real:smollm2"
) -> dict[str, Any]:
    """`unsee demo --family smollm2`: public facts in a real language model.

    Args:
        out: folder for the results and the fitted artifacts.
        seed: of the split.
        stages: progress display.
        sizes: how many subjects.
        model: a language model that knows some of the public facts.

    Returns:
        What is in `metrics.json`.

    Raises:
        ModelError: the model is not on this machine.
        DataError: it knows too little.
        DirectionError, CalibrationError, SaveError: as `run_natural`.
    """
    loaded, knowledge = load_quick(model), public_knowledge()
    known = what_it_knows(loaded, Recorded.of(loaded), knowledge, stages)
    return run_natural(out, seed, stages, loaded, draw(knowledge, known, seed, sizes))


def what_it_knows(loaded: LoadedModel, base: Recorded, knowledge: PublicKnowledge, stages: Stages) -> Facts:
    """As recorded for these very weights, or else measured now; what is asked is asked once."""
    known = recorded()
    if loaded.digest in known:
        return {subject: tuple(facts) for subject, facts in known[loaded.digest]["facts"].items()}
    return measure_known(base, knowledge, knowledge.subjects, stages=stages).facts
