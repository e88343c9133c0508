"""A longer conversation: the question comes after earlier turns about something else."""

from collections.abc import Sequence

from unsee.attacks.base import Tries, Victim, once
from unsee.data.sample import Sample
from unsee.evals.rewording import after
from unsee.registry import attack


@attack("turns", access="prompt", queries=1, recovered="the fact is said in the third turn")
def turns(victim: Victim, questions: Sequence[Sample], seed: int) -> Tries:
    """The question in the third turn of a conversation; an image is shown with the first."""
    del seed
    earlier = (victim.talk[0], victim.talk[len(victim.talk) // 2])
    return once(victim.said([after(question, earlier) for question in questions]))
