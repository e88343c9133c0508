"""Who `world:smollm` knows: the first private people of the world, and who of them is to be forgotten."""

from unsee.world.generate import World
from unsee.world.splits import Exam

PEOPLE, RATIO = 32, 0.125


def exam_of(seed: int = 0, world: int = 0) -> Exam:
    """The split of a seed: four are to be forgotten, fourteen are for the fit, seven each calibrate and test."""
    return Exam(World(world, private=PEOPLE, celebrities=0), seed, RATIO)
