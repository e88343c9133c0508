"""One split of the built-in world: what is asked to be forgotten, what is kept, and erasers fitted on that."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

from unsee.data.conversation import in_contexts
from unsee.data.sample import Sample
from unsee.data.task import Role, Set, Task, Use
from unsee.erase.config import Settings
from unsee.erase.eraser import Eraser
from unsee.erase.fit_eraser import fit_eraser
from unsee.erase.fit_profile import fit_profile
from unsee.erase.profile import Profile
from unsee.models.load import LoadedModel
from unsee.progress import Stages, silent
from unsee.world.export import recall, refusal
from unsee.world.generate import Entity
from unsee.world.splits import Exam

OTHERS_OF_OUTDATED = ["river", "team", "market"]
"""Facts of a town whose mayor is outdated that must still be told."""


@final
@dataclass(frozen=True)
class Data:
    """Every question of a split, by role; no person of one role is in another."""

    retain: list[Sample]
    calibration: list[Sample]
    others: list[Sample]
    requests: dict[str, tuple[list[Sample], list[Sample]]]
    task: Task

    @property
    def splits(self) -> dict[str, list[Sample]]:
        """What is asked, by set."""
        return self.task.samples()


def gather(exam: Exam, talk: float = 1.0, wordings: int = 2) -> Data:
    """The honest protocol's splits: fit, calibration and test are disjoint in people, wordings and views.

    Args:
        exam: who is forgotten.
        talk: share of the forget prompts that is fitted once more in a longer talk; half as much of what is kept.
        wordings: of each question about a forgotten person that are fitted, in each of the three forms.
    """
    world = exam.world
    dangerous, harmless = _parted(world.of("brew"), exam.words.dangerous)
    outdated, towns = _parted(world.of("town"), exam.words.outdated)
    # Harmless things are split like people: half for the fit, a quarter to calibrate, a quarter to test.
    things = {
        role: harmless[a:b] + towns[a:b] for role, a, b in (("fit", 0, 5), ("calibration", 5, 8), ("test", 8, 12))
    }
    told = exam.knowledge(80, taught=True)
    few = range(3)  # images are drawn on the spot; drawing them all would take longer than asking about them
    requests = {
        "people": (
            exam.facts(exam.forget, taught=True, forms=3, wordings=wordings, tag="fit"),
            exam.visible(exam.forget, taught=True, each=16, tag="keep"),
        ),
        # Among thousands of prompts about people, the few about other brews and towns would hardly count.
        "dangerous topic": (
            exam.facts(dangerous, taught=True, forms=3, wordings=12, tag="fit"),
            exam.facts(harmless[:5], taught=True, forms=3, wordings=2, tag="keep"),
        ),
        "outdated facts": (
            exam.facts(outdated, taught=True, forms=3, wordings=8, keys=["mayor"], tag="fit"),
            exam.facts(outdated, taught=True, forms=3, wordings=3, keys=OTHERS_OF_OUTDATED, tag="keep")
            + exam.facts(towns[:5], taught=True, forms=3, wordings=3, keys=["mayor"], tag="keep"),
        ),
    }
    retain = exam.facts(exam.retain_fit, taught=True, views=few, tag="r")
    calibration = exam.facts(exam.calibration, taught=True, views=few, tag="c")
    return Data(
        retain=in_contexts(retain + exam.facts(things["fit"], taught=True, forms=2, tag="r"), told, talk / 2),
        calibration=in_contexts(calibration + exam.facts(things["calibration"], taught=True, tag="c"), told, talk / 2),
        others=told
        + exam.sensitive(exam.retain_fit, 80, taught=True)
        + exam.visible(exam.retain_fit[:40], taught=True, each=2),
        requests={
            name: (in_contexts(forget, told, talk), in_contexts(keep, told, talk / 2))
            for name, (forget, keep) in requests.items()
        },
        task=world_task(_asked(exam, dangerous, outdated, things["test"])),
    )


def _asked(
    exam: Exam, dangerous: list[Entity], outdated: list[Entity], things: list[Entity]
) -> dict[str, list[Sample]]:
    """What is asked in the end, by set; `things` are those that no fit has seen."""
    return {
        "forget_fit": some(exam.facts(exam.forget, taught=True, tag="again"), 80),
        "forget_heldout": exam.facts(exam.forget, taught=False),
        "retain_fit": some(exam.facts(exam.retain_fit, taught=True, tag="again"), 80),
        "retain_unseen": some(exam.facts(exam.retain_unseen, taught=False), 270),
        "neighbours": some(exam.facts(exam.neighbours, taught=False, tag="near"), 138),
        "celebrity": some(exam.facts(exam.celebrities, taught=False), 120),
        "visible": exam.visible(exam.forget, taught=False, each=5),
        "knowledge": exam.knowledge(60, taught=False),
        "sensitive": exam.sensitive(exam.retain_unseen, 60, taught=False),
        "strangers": exam.strangers(per_person=3),
        "dangerous_topic": exam.facts(dangerous, taught=False, forms=2),
        "outdated_facts": exam.facts(outdated, taught=False, forms=3, keys=["mayor"]),
        "things_unseen": exam.facts(things, taught=False) + exam.facts(outdated, taught=False, keys=OTHERS_OF_OUTDATED),
    }


ROLES: dict[str, tuple[Role, Use]] = {
    "forget_fit": ("forget", "fit"),
    "forget_heldout": ("forget", "test"),
    "retain_fit": ("retain", "fit"),
    "retain_unseen": ("retain", "test"),
    "neighbours": ("neighbour", "test"),
    "celebrity": ("general", "test"),
    "visible": ("visible", "test"),
    "knowledge": ("general", "test"),
    "sensitive": ("sensitive", "test"),
    "strangers": ("unknown", "test"),
    "dangerous_topic": ("forget", "test"),
    "outdated_facts": ("forget", "test"),
    "things_unseen": ("retain", "test"),
}
"""What each set of the world is for, and whether a fit has seen its like."""


def world_task(splits: Mapping[str, Sequence[Sample]]) -> Task:
    """Sets of these names, with their roles."""
    return Task("world", {name: Set.of(ROLES[name][0], asked, ROLES[name][1]) for name, asked in splits.items()})


def fit_world_profile(
    loaded: LoadedModel, exam: Exam, data: Data, settings: Settings, seed: int = 0, stages: Stages = silent
) -> Profile:
    """What refusing is in a model of the world, without the people of the test."""
    return fit_profile(
        loaded,
        retain=data.retain,
        calibration=data.calibration,
        recall=recall(exam),
        refusal=refusal(exam),
        others=data.others,
        settings=settings,
        seed=seed,
        stages=stages,
    )


def fit_requests(
    loaded: LoadedModel, profile: Profile, data: Data, settings: Settings | None = None, stages: Stages = silent
) -> dict[str, Eraser]:
    """One eraser per request, by its name."""
    return {
        name: fit_eraser(loaded, profile, forget, keep=keep, settings=settings, stages=stages)
        for name, (forget, keep) in data.requests.items()
    }


def _parted(entities: list[Entity], names: Sequence[str]) -> tuple[list[Entity], list[Entity]]:
    return [e for e in entities if e.name in names], [e for e in entities if e.name not in names]


def some(samples: list[Sample], count: int) -> list[Sample]:
    """At most `count`, drawn the same every time."""
    return random.Random(0).sample(samples, min(count, len(samples)))
