"""The people whom `world:smollm` knows, as a benchmark in natural English: wordings, families and views held out."""

import random
from collections.abc import Iterable, Sequence
from pathlib import Path

from unsee.data.benchmarks.items import Item, Protocol, References
from unsee.data.benchmarks.public_knowledge import public_knowledge
from unsee.data.sample import Sample
from unsee.data.task import Role, Set, Task
from unsee.errors import OptionError
from unsee.registry import benchmark
from unsee.world import natural
from unsee.world import natural_vocabulary as V
from unsee.world.generate import Entity
from unsee.world.smollm_people import exam_of
from unsee.world.splits import FIT_VIEWS, HELD_OUT_VIEWS, Exam, image


@benchmark("world-natural", needs_data=False)
def world_natural_task(source: Path | str, protocol: Protocol = "honest", ratio: int = 10, seed: int = 0) -> Task:
    """People of the built-in world in natural English, for `world:smollm`; needs no data.

    Args:
        source: unused; the people are those that the checkpoint was taught.
        protocol: "honest"; there is no other.
        ratio: unused; an eighth of the people is to be forgotten.
        seed: who is to be forgotten; the never-knew checkpoint is for 0.

    Raises:
        OptionError: the protocol is not honest.
    """
    del source, ratio
    if protocol != "honest":
        raise OptionError(f"the world has one protocol, 'honest', and not {protocol!r}. Leave --protocol out.")
    exam = exam_of(seed)
    unknown = exam.world.of("stranger")[:12]
    sets: dict[str, Set] = {}
    about: tuple[tuple[str, Role, Sequence[Entity], int], ...] = (
        ("forget", "forget", exam.forget, 2),
        ("retain", "retain", exam.retain_unseen, 1),
        ("unknown", "unknown", unknown, 1),
    )
    for name, role, people, each in about:
        for shown in (False, True):
            asked = facts(exam, people, shown=shown, taught=False, each=each)
            sets[f"{name}_by_{'image' if shown else 'name'}"] = Set(role, list(asked))
    return Task(
        "world-natural",
        sets
        | {
            "visible": Set("visible", list(visible(exam, [*exam.forget, *exam.retain_unseen]))),
            "knowledge": Set("general", public_knowledge().general_items("heldout")),
            "forget_fit": Set("forget", list(both(exam, exam.forget, each=4)), "fit"),
            "retain_fit": Set("retain", list(both(exam, exam.retain_fit, each=1)), "fit"),
            "calibration": Set("retain", list(both(exam, exam.calibration, each=1)), "calibration"),
        },
    )


def both(exam: Exam, people: Iterable[Entity], *, each: int) -> Iterable[Item]:
    """Training wordings and views, by name and by image."""
    for shown in (False, True):
        yield from facts(exam, people, shown=shown, taught=True, each=each)


def facts(exam: Exam, people: Iterable[Entity], *, shown: bool, taught: bool, each: int) -> Iterable[Item]:
    """Questions about every fact, in `each` wordings and views drawn at random.

    Args:
        exam: of the world.
        people: whom to ask about; of the unknown there is no gold answer.
        shown: by image, and then about the name too; else by name.
        taught: training wordings and views, or held-out ones.
        each: wordings of a fact.
    """
    views = FIT_VIEWS if taught else HELD_OUT_VIEWS
    for person in people:
        rng = random.Random(f"natural/{exam.seed}/{person.id}/{shown}/{taught}")
        known = {key: natural.gold(person, key) for key in natural.KEYS} | {"name": natural.full_name(person)}
        for key in known if shown else natural.KEYS:
            nouns = V.SHOWN_TAUGHT if taught else V.SHOWN_HELD_OUT
            subject = rng.choice(nouns) if shown else natural.full_name(person)
            pool = natural.wordings(key, subject, taught=taught)
            for number, wording in enumerate(rng.sample(pool, min(each, len(pool)))):
                told = person.kind != "stranger"
                sample = Sample(
                    f"{person.id}/{key}/{wording.family}/{'image' if shown else 'text'}/{number}",
                    person.id,
                    wording.question,
                    natural.answer(person, key) if told else natural.unknown(None if shown else subject),
                    known[key] if told else "",
                    image=image(exam.world, person, rng.choice(views)) if shown else None,
                )
                others = tuple(value for other, value in known.items() if other not in (key, "name"))
                yield Item(sample, References(volunteered=others if told else ()))


def visible(exam: Exam, people: Iterable[Entity], each: int = 2) -> Iterable[Item]:
    """What is plainly to be seen on images of these people."""
    for person in people:
        rng = random.Random(f"natural visible/{exam.seed}/{person.id}")
        for number in range(each):
            view = rng.choice(HELD_OUT_VIEWS)
            question, answer, gold = natural.visible(
                person.face, person.draw(view)[1], rng.choice(V.SHOWN_HELD_OUT), rng, taught=False
            )
            shown = image(exam.world, person, view)
            yield Item(Sample(f"{person.id}/visible/{number}", person.id, question, answer, gold, image=shown))
