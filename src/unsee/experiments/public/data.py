"""One split of the public-knowledge set for one model: who is forgotten, what is kept, and what is asked."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, final

from unsee.data.benchmarks.items import Item
from unsee.data.benchmarks.public_knowledge import PublicKnowledge, Subject
from unsee.data.sample import Sample
from unsee.data.task import Role, Set, Task
from unsee.errors import DataError

Facts = Mapping[str, tuple[str, ...]]
_ROLES: Final[Mapping[str, Role]] = {
    "forget_heldout": "forget",
    "retain_unseen": "retain",
    "neighbours": "neighbour",
    "general": "general",
    "selective_hidden": "forget",
    "selective_spared": "retain",
}
LEAST_KNOWN: Final = 3
"""Facts that a model must know of a subject before it is asked to forget it."""


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


@final
@dataclass(frozen=True)
class PublicSplit:
    """Questions by role; no subject of one role is in another.

    Attributes:
        forgotten: whole.
        selective: with the facts that are spared.
        forget: what the request about `forgotten` is fitted on.
        retain: kept subjects of the fit.
        calibration: kept subjects that choices are made on.
        general: questions about no subject, of the fit.
        tests: name of a split to its questions, in held-out wordings.
    """

    forgotten: tuple[Subject, ...]
    selective: tuple[tuple[Subject, tuple[str, ...]], ...]
    forget: list[Sample]
    retain: list[Sample]
    calibration: list[Sample]
    general: list[Sample]
    tests: Mapping[str, list[Item]]

    def task(self) -> Task:
        """What is asked, and what is good there."""
        return Task("public facts", {name: Set(_ROLES[name], items) for name, items in self.tests.items()})


def draw(knowledge: PublicKnowledge, known: Facts, seed: int, sizes: Sizes = Sizes()) -> PublicSplit:
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
    whole, partly = tuple(chosen[: sizes.forget]), chosen[sizes.forget :]
    selective = tuple((one, _spared(known[one.id])) for one in partly)
    rest = [one for one in order if one not in chosen]
    near = _neighbours(knowledge, whole, [one for one in rest if known.get(one.id)], sizes.neighbours)
    rest = [one for one in rest if one not in near]
    # Those of whom something is known are needed by the test; a fit takes anybody.
    unseen = [one for one in rest if known.get(one.id)][: sizes.unseen]
    rest = [one for one in rest if one not in unseen]
    retain, calibration = rest[: sizes.retain], rest[sizes.retain :][: sizes.calibration]

    def kept(subjects: Sequence[Subject]) -> list[Sample]:
        # A third of the wordings, other ones for each subject: kept subjects are many, and all wordings are needed.
        every = [in_fit(knowledge, one, tuple(one.facts)) for one in subjects]
        return [sample for place, asked in enumerate(every) for sample in asked[place % 3 :: 3]]

    hidden = [(one, tuple(fact for fact in one.facts if fact not in spared)) for one, spared in selective]
    tests = {
        "forget_heldout": _asked(knowledge, whole, known, sizes.wordings),
        "retain_unseen": _asked(knowledge, unseen, known, sizes.kept_wordings),
        "neighbours": _asked(knowledge, near, known, sizes.kept_wordings),
        "general": knowledge.general_items("heldout")[: sizes.general],
        "selective_hidden": [
            item
            for one, facts in hidden
            for item in _asked(knowledge, [one], {one.id: [f for f in facts if f in known[one.id]]}, sizes.wordings)
        ],
        "selective_spared": [
            item for one, spared in selective for item in _asked(knowledge, [one], {one.id: spared}, sizes.wordings)
        ],
    }
    return PublicSplit(
        forgotten=whole,
        selective=selective,
        forget=[s for one in whole for s in in_fit(knowledge, one, tuple(one.facts), short=True)],
        retain=kept(retain),
        calibration=kept(calibration),
        general=[item.sample for item in knowledge.general_items("fit")],
        tests={name: items for name, items in tests.items() if items},
    )


def in_fit(knowledge: PublicKnowledge, subject: Subject, facts: Sequence[str], short: bool = False) -> list[Sample]:
    """A subject's questions in the wordings of a fit: by its name, and by its short name and in lower case too."""
    asked = [item.sample for item in knowledge.about(subject, "fit", facts)]
    if not short:
        return asked
    by_short = [replace(s, id=f"{s.id}/short", question=s.question.replace(subject.name, subject.short)) for s in asked]
    lower = [replace(s, id=f"{s.id}/lower", question=s.question.lower()) for s in asked]
    return asked + by_short[::5] + lower[::5]


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
