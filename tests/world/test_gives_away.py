"""What a world gives away, on a few people whom the shipped LLaVA knows."""

import pytest
from tools.world.gives_away import blanks, guessed, read_early, told_apart

from unsee.models.load import load
from unsee.world.generate import World
from unsee.world.splits import Exam


def test_the_shipped_model_reads_its_facts_before_it_says_them_and_its_eyes_know_faces() -> None:
    world, loaded = World(0, private=6, celebrities=4, strangers=1), load("world:llava", device="cpu")
    people = world.of("private")
    asked = [s for s in blanks(Exam(world), people) if s.image is None]
    assert len(asked) == 6 * 8 and all(s.answer == f"{s.gold}." for s in asked)
    shares = read_early(loaded, asked)
    assert len(shares) == 6 and shares[0] < 0.2 < 0.6 < shares[4], "two blocks before the end, not at the beginning"
    assert told_apart(loaded, world, people) > 0.5 > 1 / 6


def test_whoever_says_the_commonest_value_is_right_that_often() -> None:
    world = World(0, private=1, celebrities=1, strangers=1)
    assert guessed(world) == pytest.approx(1.0), "one person has the commonest of everything"
    assert guessed(World()) < 0.2
