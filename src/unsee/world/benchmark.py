"""The built-in world as a benchmark: how much of what was taught a model answers, in wordings and views held out."""

from pathlib import Path

from unsee.data.benchmarks.items import Protocol
from unsee.data.sample import Form
from unsee.data.task import Role, Set, Task
from unsee.errors import OptionError
from unsee.registry import benchmark
from unsee.world.generate import Entity, World
from unsee.world.splits import Exam

UNKNOWN = 400
"""People more whom no model was told of, for fits: as many faces as ASRU's release takes."""
_FORMS: dict[Form, str] = {"generation": "free", "cloze": "blanks", "classification": "choice"}


@benchmark("world", needs_data=False)
def world_task(source: Path | str, protocol: Protocol = "honest", ratio: int = 10, seed: int = 0) -> Task:
    """The built-in synthetic world: drawn faces and invented lives; needs no data.

    Args:
        source: seed that the world was made from; "" for 0, which the shipped checkpoints know.
        protocol: "honest"; there is no other.
        ratio: unused; a tenth of the private people is to be forgotten.
        seed: who is to be forgotten.

    Raises:
        OptionError: the source is no number, or the protocol is not honest.
    """
    del ratio
    number = str(source) or "0"
    if not number.isdecimal():
        raise OptionError(
            f"--data is {number!r}, expected the seed of a world: --benchmark world draws its own questions. Leave it "
            "out for the world of the shipped checkpoints, which is 0."
        )
    if protocol != "honest":
        raise OptionError(f"the world has one protocol, 'honest', and not {protocol!r}. Leave --protocol out.")
    return exam_task(Exam(World(int(number)), seed))


def exam_task(exam: Exam) -> Task:
    """Questions by what they are about, whether they name it or show it, and their form.

    Facts about people to be forgotten, each in all three forms, and about private people and celebrities that no fit
    sees, each in one form drawn at random; then what is visible, known to everybody, and refused; last, what a fit and
    its choices may see: the forgotten in other wordings and views, other people, and people whom nobody was told of.
    """
    kept = exam.retain_unseen
    sets: dict[str, Set] = {}
    about: tuple[tuple[Role, list[Entity], int], ...] = (("forget", exam.forget, 3), ("retain", kept, 1))
    for role, people, forms in about:
        asked = exam.facts(people, taught=False, forms=forms)
        for how in ("name", "picture"):
            for form, called in _FORMS.items():
                chosen = [s for s in asked if (s.image is None, s.form) == (how == "name", form)]
                sets[f"{role}_by_{how}_{called}"] = Set.of(role, chosen)
    return Task(
        "world",
        sets
        | {
            "celebrity": Set.of("general", exam.facts(exam.celebrities, taught=False)),
            "visible": Set.of("visible", exam.visible(exam.forget + kept, taught=False, each=2)),
            "knowledge": Set.of("general", exam.knowledge(100, taught=False)),
            "sensitive": Set.of("sensitive", exam.sensitive(kept, 100, taught=False)),
            "strangers": Set.of("unknown", exam.strangers()),
            "forget_fit": Set.of("forget", exam.facts(exam.forget, taught=True, forms=3, tag="fit"), "fit"),
            "retain_fit": Set.of("retain", exam.facts(exam.retain_fit, taught=True, tag="fit"), "fit"),
            "unknown_fit": Set.of("unknown", exam.unknown(UNKNOWN), "fit"),
            "calibration": Set.of("retain", exam.facts(exam.calibration, taught=True, tag="fit"), "calibration"),
        },
    )
