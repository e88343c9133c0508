"""What a world is made of: its words, the hand that draws it, and how many there are.

World 0 and others like it are what rules were chosen on. Test worlds were made when the rules were frozen
(docs/honest.md): each has words, wordings and a hand of its own, and fewer people, so that a model of it is taught in
an hour.
"""

import random
from dataclasses import dataclass
from functools import cache
from typing import final

from unsee.data.canvas import ORIGINAL as PLAIN
from unsee.data.canvas import Style
from unsee.world.new_words import new_words
from unsee.world.vocabulary import ORIGINAL
from unsee.world.words import Words

TEST_SEEDS = range(11, 16)
"""Seeds of test worlds."""


@final
@dataclass(frozen=True)
class Made:
    """What a world is made of.

    Attributes:
        words: that it is told in.
        style: that it is drawn in.
        private: people whose erasure can be asked for; `celebrities` and `strangers` likewise count.
    """

    words: Words = ORIGINAL
    style: Style = PLAIN
    private: int = 200
    celebrities: int = 40
    strangers: int = 30


@cache
def made_of(seed: int) -> Made:
    """What the world of this seed is made of."""
    if seed not in TEST_SEEDS:
        return Made()
    return Made(new_words(seed), Style.draw(random.Random(f"style/{seed}")), private=120, celebrities=24)
