"""`unsee demo --family smollm`: people in a real language model that sees, by name and by image."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from unsee.data.benchmarks.public_knowledge import public_knowledge
from unsee.data.sample import Sample, spread
from unsee.data.task import Set
from unsee.erase.fit_subject import Subject
from unsee.erase.request import starter_kit as kit
from unsee.erase.request.allowed import namesakes
from unsee.erase.request.augment import augmented
from unsee.erase.request.kit_profile import present
from unsee.experiments.natural.run import load_quick, run_natural
from unsee.experiments.natural.split import Hidden, Split
from unsee.forgetting.fitting import VIEWS
from unsee.models.names import never_knew_of
from unsee.progress import Stages
from unsee.world import natural
from unsee.world.generate import Entity
from unsee.world.natural_benchmark import both, facts, world_natural_task
from unsee.world.smollm_people import exam_of
from unsee.world.splits import FIT_VIEWS, Exam, image

FACES: Final = 150
"""Drawn faces of nobody, in two views each."""
MOST: Final = 56
"""Questions of a set."""


def people(seed: int, most: int = MOST) -> Split:
    """Who is to be forgotten, each by name and one image; everybody else is kept for one thing.

    Args:
        seed: of the split.
        most: questions of a set.
    """
    exam, task = exam_of(seed), world_natural_task("", seed=seed)
    asked = {sample.subject for sample in task.sets["unknown_by_name"].samples}
    unknown = [one for one in exam.world.of("stranger") if one.id not in asked]
    declined = [_samples(exam, unknown, shown) for shown in (False, True)]
    return Split(
        requests=tuple(_request(exam, person, seed) for person in exam.forget),
        forget=task.seen("fit", "forget"),
        retain=task.seen("fit", "retain"),
        calibration=task.seen("calibration", "retain"),
        general=[*(item.sample for item in public_knowledge().general_items("fit")), *kit.unknown_faces(FACES, seed)],
        refusal=[sample for both_ways in zip(*declined, strict=False) for sample in both_ways],
        unknown=declined[0],
        present=tuple(present(seed=seed, shown=True)),
        tests={
            name: Set(one.role, spread(list(one.items), most)) for name, one in task.sets.items() if one.use == "test"
        },
    )


def run_people_demo(out: Path, seed: int, stages: Stages, model: str = "world:smollm") -> dict[str, Any]:
    """As `run_natural` on these people.

    Raises:
        ModelError: the model's language model has not been fetched.
        DirectionError, CalibrationError, SaveError: as `run_natural`.
    """
    twin = never_knew_of(model) if seed == 0 else None  # it was never taught the four of this seed
    return run_natural(out, seed, stages, load_quick(model), people(seed), twin)


def _request(exam: Exam, person: Entity, seed: int) -> Hidden:
    name, shown = natural.full_name(person), image(exam.world, person, FIT_VIEWS[0])
    asked = [item.sample for item in both(exam, [person], each=2)]
    subject = Subject((name,), tuple(augmented(shown, VIEWS, seed)))
    near = tuple(namesakes(name, "person", held=False, seed=seed))
    return Hidden(person.id, subject, (name,), natural.KEYS, asked=tuple(asked), near=near)


def _samples(exam: Exam, unknown: list[Entity], shown: bool) -> list[Sample]:
    found = [item.sample for item in facts(exam, unknown, shown=shown, taught=True, each=1)]
    return [replace(sample, id=f"unknown/{sample.id}") for sample in found]
