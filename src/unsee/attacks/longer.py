"""A longer prompt: the question stands behind other words of the same turn."""

from collections.abc import Sequence

from unsee.attacks.base import Tries, Victim, once
from unsee.data.sample import Sample
from unsee.evals.rewording import reworded
from unsee.registry import attack


@attack("longer", access="prompt", queries=1, recovered="the fact is said behind other words of the same turn")
def longer(victim: Victim, questions: Sequence[Sample], seed: int) -> Tries:
    """The question behind a few harmless statements."""
    del seed
    said = " ".join(answer for _, answer in victim.talk[:3])
    return once(victim.said([reworded(one, lambda text: f"{said} {text}") for one in questions]))
