"""The capacity study's arithmetic: who is in which group, what counts as a leak, and a picture that is drawn."""

from pathlib import Path

import pytest
import torch
from benchmarks.capacity import ASKING, Asked, People, percent
from benchmarks.capacity_picture import STYLES, draw
from benchmarks.common import Spread

from unsee.data.sample import Sample
from unsee.data.task import Set
from unsee.evals.rows import row_of
from unsee.world.generate import World


def test_nobody_is_in_two_groups_and_nobody_is_left_out() -> None:
    world = World()
    people = People.of(world, 0, ASKING)
    groups = (people.asking, people.kept, people.calibrating, people.tested)
    ids = [person.id for group in groups for person in group]
    assert len(set(ids)) == len(ids) == len(world.of("private")) + len(world.of("celebrity"))
    fewer = People.of(world, 0, 10)
    assert fewer.asking == people.asking[:10] and fewer.tested == people.tested, "a smaller study is a part of it"


def asked(answers: list[str]) -> Asked:
    samples = [Sample(f"q{n}", f"p{n // 2}", "where?", "in oslo.", "oslo") for n in range(len(answers))]
    base = [
        row_of("base", "retain_unseen", Set.of("retain", samples), s, said)
        for s, said in zip(samples, answers, strict=True)
    ]
    return Asked(samples, torch.zeros(len(answers), 1, 2, 1), base)


def test_leaks_and_wrong_refusals_are_counted_by_hand() -> None:
    four = asked(["in oslo.", "in rome.", "in oslo.", "i cannot tell you that."])
    fired = torch.tensor([False, False, True, True])
    assert four.leaked(fired)["value"] == 1 / 4, "what is not known, or fires, does not leak"
    assert four.refused(fired)["value"] == 1 / 4, "what was refused anyway is no harm"
    assert four.refused(fired)["people"] == {"p0": 0.0, "p1": 0.5}
    assert four.leaked(fired[:2])["n"] == 2, "the first questions are those of the first requests"
    assert percent({"value": 0.0123, "ci95": (0.001, 0.05)}) == "1.2 [0.1, 5.0]"
    assert (percent(0.5), percent(None), percent({"value": 0.5, "ci95": None})) == ("50.0", "-", "50.0")


def test_the_picture_is_drawn(tmp_path: Path) -> None:
    rate = {"value": 0.01, "ci95": (0.0, 0.02), "n": 50}
    decided = [{"requests": n, "gates": g, "leak": rate, "wrong": rate} for g in STYLES for n in (1, 10)]
    added = [{"requests": n} | dict.fromkeys(("captured", "separate", "joint", "thresholds"), 0.5) for n in (1, 10)]
    cost = [{"requests": n, "form": "stack", "answer": {"ratio": Spread(1.0, 0.9, 1.1)}} for n in (1, 10)]
    draw(decided, added, cost, 0.02, tmp_path / "curve.png")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(KeyError):
        draw([{"requests": 1, "gates": "pooled"}], added, cost, 0.02, tmp_path / "none.png")
