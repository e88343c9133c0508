"""The eyes of a world's models: how large their tower is, and how long it learns to see."""

import random
from dataclasses import dataclass
from typing import final

from unsee.world.made import TEST_SEEDS

WEAK = (12, 14)
"""Test worlds whose models see worse, and whose decoders need not know an answer before they say it."""


@final
@dataclass(frozen=True)
class Eyes:
    """A vision tower.

    Attributes:
        side: patches along the side of an image.
        width: of its states; heads are 40 wide.
        depth: blocks.
        steps: in which every patch learns to say what is seen; `focus` in which outer rows leave the face to the rest.
        people: random ones that it learns to tell apart.
    """

    side: int = 4
    width: int = 160
    depth: int = 4
    steps: int = 3000
    focus: int = 600
    people: int = 2000


EYES = Eyes()
"""Those of world 0."""


def eyes_of(seed: int) -> Eyes:
    """Those of the world of this seed; a test world's are of another size, and begin with other weights."""
    if seed not in TEST_SEEDS:
        return EYES
    rng = random.Random(f"eyes/{seed}")
    if seed in WEAK:
        return Eyes(3, 120, 3, steps=1200, focus=0, people=800)
    side, width, depth = rng.choice(((4, 200, 3), (5, 120, 3), (4, 120, 5)))
    return Eyes(side, width, depth, steps=2000, focus=400, people=1200)
