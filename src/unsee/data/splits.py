"""The honest protocol on any benchmark: split by person, fit wordings apart from held-out ones, and nothing uncounted.

Retained people are shared out by a seeded draw: half for the fit, a quarter for calibration, a quarter that nothing but
the test sees; where a benchmark names people for its own evaluation of what is kept, those are the unseen ones and two
thirds of the others fit.
"""

import random
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from unsee.data.benchmarks.items import Item
from unsee.data.sample import Sample, require_disjoint
from unsee.data.task import Set, Task
from unsee.errors import DataError

Part = Literal["retain_fit", "calibration", "retain_unseen"]
UNASSIGNED = "unassigned"
"""Subject of a question that the data set ties to nobody; usable to forget, never to prove that others are kept."""


def roles(people: Collection[str], seed: int, unseen: Collection[str] = ()) -> dict[str, Part]:
    """Who fits, who calibrates and who is seen by the test alone; the order of `people` does not matter.

    Args:
        people: ids of retained people.
        seed: of the draw.
        unseen: those of them that must be seen by the test alone; a quarter is drawn where none is named.

    Raises:
        DataError: too few people for three groups.
    """
    if len(people) < 4:
        raise DataError(
            f"{len(people)} retained subject(s) cannot be split into fit, calibration and test: expected at least 4. "
            "Take a larger retain set."
        )
    order = sorted(set(people))
    random.Random(f"honest/{seed}").shuffle(order)
    held = [person for person in order if person in unseen] or order[3 * len(order) // 4 :]
    rest = [person for person in order if person not in held]
    fit = (2 * len(rest) + 2) // 3
    return {
        **dict.fromkeys(rest[:fit], "retain_fit"),
        **dict.fromkeys(rest[fit:], "calibration"),
        **dict.fromkeys(held, "retain_unseen"),
    }


def honest(
    benchmark: str,
    forget_fit: Sequence[Item],
    forget_heldout: Sequence[Item],
    kept: Sequence[Item],
    *,
    kept_heldout: Sequence[Item] | None = None,
    unseen: Collection[str] = (),
    others: Mapping[str, Set] | None = None,
    shared: Literal["refuse", "leave out"] = "refuse",
    seed: int = 0,
) -> Task:
    """Named sets of the honest protocol.

    Args:
        benchmark: registered name.
        forget_fit: questions about those to forget that a fit may see.
        forget_heldout: other questions about the same subjects; one that a fit sees too is left out and counted.
        kept: questions about those to keep.
        kept_heldout: held-out questions about them, which the unseen people are then asked; by default `kept`.
        unseen: subjects that must not be in the fit, as for `roles`.
        others: further sets, such as celebrities, by name.
        shared: what to do with retained questions about a subject that is to be forgotten: contradiction, or left out.
        seed: of the split.

    Raises:
        DataError: a subject is both forgotten and kept, or there are too few for the split.
    """
    left: Counter[str] = Counter()
    forgotten = {item.sample.subject for item in (*forget_fit, *forget_heldout)} - {UNASSIGNED}
    if shared == "refuse":
        require_disjoint(_bare(kept, but=UNASSIGNED), _bare(forget_fit, but=UNASSIGNED), ("retain", "forget"))
    asked = {_asked(item.sample) for item in forget_fit}
    heldout = [item for item in forget_heldout if _asked(item.sample) not in asked]
    left["held-out questions that the fit sees word for word"] += len(forget_heldout) - len(heldout)
    everyone = _usable(kept, forgotten, left)
    role = roles({item.sample.subject for item in everyone}, seed, unseen)
    tests = everyone if kept_heldout is None else _usable(kept_heldout, forgotten, left)

    def part(items: list[Item], name: str) -> list[Item]:
        return [item for item in items if role.get(item.sample.subject) == name]

    sets = {
        "forget_fit": Set("forget", forget_fit, "fit"),
        "forget_heldout": Set("forget", heldout),
        "retain_fit": Set("retain", part(everyone, "retain_fit"), "fit"),
        "calibration": Set("retain", part(everyone, "calibration"), "calibration"),
        "retain_unseen": Set("retain", part(tests, "retain_unseen")),
        **(others or {}),
    }
    return Task(benchmark, sets, "honest", {why: count for why, count in left.items() if count})


def _usable(kept: Iterable[Item], forgotten: Collection[str], left: Counter[str]) -> list[Item]:
    """The retained questions that may stand in a set; the others are counted in `left`, by why."""
    found = []
    for item in kept:
        if item.sample.subject == UNASSIGNED:
            left["retained questions that the data set ties to no subject"] += 1
        elif item.sample.subject in forgotten:
            left["retained questions about a subject that is to be forgotten"] += 1
        else:
            found.append(item)
    return found


def alternate(items: Sequence[Item]) -> tuple[list[Item], list[Item]]:
    """Each subject's questions in two halves, so that no image and no text-only question is in both.

    Questions over the same image stay together; images and text-only questions take turns, in file order.
    """
    groups: dict[str, list[object]] = {}
    halves: tuple[list[Item], list[Item]] = ([], [])
    for item in items:
        sample = item.sample
        seen = groups.setdefault(f"{sample.subject}/{bool(sample.shown)}", [])
        mark = tuple(image.source for image in sample.shown) or sample.question
        if mark not in seen:
            seen.append(mark)
        halves[seen.index(mark) % 2].append(item)
    return halves


def _bare(items: Iterable[Item], but: str) -> list[Sample]:
    return [item.sample for item in items if item.sample.subject != but]


def _asked(sample: Sample) -> tuple[str, tuple[bytes | Path, ...]]:
    return sample.question, tuple(one.source for one in sample.shown)
