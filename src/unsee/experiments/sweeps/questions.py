"""Every question of the honest table: who is asked about, how, and who must not suffer for it."""

import itertools
from collections.abc import Sequence

import torch

from unsee.data.sample import Sample
from unsee.experiments.sweeps.probes import Probe, longer, started, turns_deep
from unsee.models.load import LoadedModel
from unsee.world import questions, vocabulary
from unsee.world.generate import Entity
from unsee.world.splits import HELD_OUT_VIEWS, Exam, image

_SAID = (
    "the capital of arvonia is quorum. the opposite of hot is cold. the sound of a dog is bark. hello, i want to know"
)


def plain_splits(exam: Exam, loaded: LoadedModel) -> dict[str, list[Sample]]:
    """Single questions, by split; no person of them was seen by fit or calibration but the forgotten ones."""
    world = exam.world
    asked = exam.facts(exam.forget, taught=False, tag="honest")
    unseen = [*exam.retain_unseen, *exam.celebrities]
    near = {
        "near_face": alike_in_images(exam, loaded, unseen),
        "near_name": [e for e in unseen if first_name(e) in {first_name(f) for f in exam.forget}],
        "near_life": [e for e in unseen if _life(e) & set(itertools.chain.from_iterable(map(_life, exam.forget)))],
    }
    dangerous = [e for e in world.of("brew") if e.name in vocabulary.DANGEROUS]
    outdated = [e for e in world.of("town") if e.name in vocabulary.OUTDATED]
    return {
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


def probes(exam: Exam) -> dict[str, list[Probe]]:
    """The same forgotten people behind a started answer, three turns deep, and in a longer prompt."""
    asked = exam.facts(exam.forget, taught=False, tag="probe")
    told = questions.knowledge(taught=False)  # in words that no fit has seen
    earlier = [(item.question, item.answer) for item in (told[0], told[len(told) // 2])]
    return {
        "started": [started(s) for s in asked if s.form == "generation"],
        "three_turns": [turns_deep(s, earlier) for s in asked],
        "longer": [longer(s, _SAID) for s in asked if s.form == "generation"],
    }


def first_name(person: Entity) -> str:
    """Of "mara olin", "mara"."""
    return person.name.split()[0]


def alike_in_images(exam: Exam, loaded: LoadedModel, pool: Sequence[Entity], each: int = 2) -> list[Entity]:
    """For each forgotten person the `each` of the pool whose held-out images look most alike to the vision tower."""
    targets, others = _looks(exam, loaded, exam.forget), _looks(exam, loaded, pool)
    nearest = (targets @ others.T).topk(min(each, len(pool)), dim=1).indices.flatten().tolist()
    return [pool[i] for i in sorted(set(nearest))]


@torch.no_grad()
def _looks(exam: Exam, loaded: LoadedModel, people: Sequence[Entity]) -> torch.Tensor:
    """Mean image feature of each person, centred and of length 1."""
    images = [image(exam.world, person, view).load() for person in people for view in HELD_OUT_VIEWS[:3]]
    pixels = loaded.processor.image_processor(images, return_tensors="pt")["pixel_values"].to(loaded.model.dtype)
    tower = loaded.model.model.vision_tower
    features = tower(pixel_values=pixels).last_hidden_state[:, 1:].mean(1).float()
    features = features.view(len(people), 3, -1).mean(1)
    return torch.nn.functional.normalize(features - features.mean(0), dim=1)


def _life(person: Entity) -> set[tuple[str, str]]:
    """Job and city together, as one fact."""
    return {(person.facts["job"], person.facts["city"])}
