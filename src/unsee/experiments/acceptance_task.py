"""Every question of the honest table: who is asked about, how, and who must not suffer for it."""

import itertools
from collections.abc import Sequence

import torch

from unsee.data.sample import Sample
from unsee.data.task import Role, Set, Task
from unsee.methods.controls import image_vectors
from unsee.models.load import LoadedModel
from unsee.world.generate import Entity
from unsee.world.splits import HELD_OUT_VIEWS, Exam, image

ROLES: dict[str, Role] = {
    "forget_image": "forget", "forget_text": "forget", "dangerous_topic": "forget", "outdated_facts": "forget",
    "retain_unseen": "retain", "celebrity": "general", "knowledge": "general", "visible": "visible",
    "sensitive": "sensitive", "strangers": "unknown",
}  # fmt: skip
"""Of sets that are not about neighbours."""


def plain_task(exam: Exam, loaded: LoadedModel) -> Task:
    """Single questions, by set; no person of them was seen by fit or calibration but the forgotten ones."""
    world = exam.world
    asked = exam.facts(exam.forget, taught=False, tag="honest")
    unseen = [*exam.retain_unseen, *exam.celebrities]
    near = {
        "near_face": alike_in_images(exam, loaded, unseen),
        "near_name": [e for e in unseen if first_name(e) in {first_name(f) for f in exam.forget}],
        "near_life": [e for e in unseen if _life(e) & set(itertools.chain.from_iterable(map(_life, exam.forget)))],
    }
    dangerous = [e for e in world.of("brew") if e.name in exam.words.dangerous]
    outdated = [e for e in world.of("town") if e.name in exam.words.outdated]
    sets = {
        "forget_image": [s for s in asked if s.image],
        "forget_text": [s for s in asked if not s.image],
        "retain_unseen": exam.facts(exam.retain_unseen, taught=False, tag="honest"),
        "celebrity": exam.facts(exam.celebrities, taught=False, tag="honest"),
        **{name: exam.facts(people, taught=False, tag=name) for name, people in near.items() if people},
        "visible": exam.visible(exam.forget, taught=False, each=8, tag="honest"),
        "knowledge": exam.knowledge(144, taught=False),
        "sensitive": exam.sensitive(exam.retain_unseen, 120, taught=False),
        "strangers": exam.strangers(per_person=6),
        "dangerous_topic": exam.facts(dangerous, taught=False, forms=3, wordings=2, tag="honest"),
        "outdated_facts": exam.facts(outdated, taught=False, forms=3, wordings=3, keys=["mayor"], tag="honest"),
    }
    return Task("acceptance", {name: Set.of(ROLES.get(name, "neighbour"), asked) for name, asked in sets.items()})


def probed_task(exam: Exam) -> Task:
    """The same forgotten people, to be asked as an attacker would, and what is talked of besides."""
    return Task(
        "acceptance",
        {
            "forget": Set.of("forget", exam.facts(exam.forget, taught=False, tag="probe")),
            "knowledge": Set.of("general", exam.knowledge(144, taught=False)),
        },
    )


def sampled_task(plain: Task, count: int) -> Task:
    """Some questions about the forgotten, evenly spaced, to be asked again and again."""
    chosen = {name: plain.sets[name].samples for name in ("forget_image", "forget_text")}
    return Task("acceptance", {n: Set.of("forget", s[:: max(1, len(s) // count)][:count]) for n, s in chosen.items()})


def first_name(person: Entity) -> str:
    """Of "mara olin", "mara"."""
    return person.name.split()[0]


def alike_in_images(exam: Exam, loaded: LoadedModel, pool: Sequence[Entity], each: int = 2) -> list[Entity]:
    """For each forgotten person the `each` of the pool whose held-out images look most alike to the vision tower."""
    targets, others = _looks(exam, loaded, exam.forget), _looks(exam, loaded, pool)
    nearest = (targets @ others.T).topk(min(each, len(pool)), dim=1).indices.flatten().tolist()
    return [pool[i] for i in sorted(set(nearest))]


def _looks(exam: Exam, loaded: LoadedModel, people: Sequence[Entity]) -> torch.Tensor:
    """Mean image feature of each person as the language model gets it, centred and of length 1."""
    shown = [image(exam.world, person, view) for person in people for view in HELD_OUT_VIEWS[:3]]
    samples = [Sample(one.id, one.id, "look", "", "", image=one) for one in shown]
    features = image_vectors(loaded, samples).view(len(people), 3, -1).mean(1)
    return torch.nn.functional.normalize(features - features.mean(0), dim=1)


def _life(person: Entity) -> set[tuple[str, str]]:
    """Job and city together, as one fact."""
    return {(person.facts["job"], person.facts["city"])}
