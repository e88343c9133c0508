"""The built-in world as a benchmark: how much of what was taught a model answers, in wordings and views held out."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from unsee.data.benchmarks.items import Item, Sets
from unsee.data.sample import Form, Sample
from unsee.errors import OptionError
from unsee.evals.plan import Plan, planned
from unsee.world.generate import World
from unsee.world.splits import Exam

WORLD = "world"
"""What `--benchmark` calls it; nothing has to be written or fetched first."""

_FORMS: dict[Form, str] = {"generation": "free", "cloze": "blanks", "classification": "choice"}


def planned_world(number: str, measures: Sequence[str] = (), **options: Any) -> Plan:
    """The plan of `world_sets`, measured by the verdicts of every row and what else is named.

    Args:
        number: seed that the world was made from; the shipped checkpoints know that of 0.
        measures: further ones, by name.
        **options: as for `unsee.evals.plan.planned`; `seed` says who is to be forgotten.

    Raises:
        OptionError: the number is none, or an option is not legal.
    """
    if not number.isdecimal():
        raise OptionError(
            f"--data is {number!r}, expected the seed of a world: --benchmark world draws its own questions. Leave it "
            "out for the world of the shipped checkpoints, which is 0."
        )
    sets = world_sets(Exam(World(int(number)), options.get("seed", 0)))
    held = {name: [Item(sample) for sample in samples] for name, samples in sets.items()}
    plan = planned(f"world {number}", Sets(WORLD, "honest", held), measures=measures, **options)
    return replace(plan, benchmark=WORLD, measures=plan.measures if measures else ())


def world_sets(exam: Exam) -> dict[str, list[Sample]]:
    """Questions by what they are about, whether they name it or show it, and their form.

    Facts about people to be forgotten, each in all three forms, and about the other private people and the celebrities,
    each in one form drawn at random; then what is visible, known to everybody, and refused.
    """
    kept = [person for person in exam.world.of("private") if person not in exam.forget]
    sets: dict[str, list[Sample]] = {}
    for who, people, forms in (("forget", exam.forget, 3), ("retain", kept, 1)):
        asked = exam.facts(people, taught=False, forms=forms)
        for how in ("name", "picture"):
            for form, called in _FORMS.items():
                sets[f"{who}_by_{how}_{called}"] = [
                    sample for sample in asked if (sample.image is None, sample.form) == (how == "name", form)
                ]
    return sets | {
        "celebrity": exam.facts(exam.world.of("celebrity"), taught=False),
        "visible": exam.visible(exam.world.of("private"), taught=False, each=2),
        "knowledge": exam.knowledge(100, taught=False),
        "sensitive": exam.sensitive(kept, 100, taught=False),
        "strangers": exam.strangers(),
    }
