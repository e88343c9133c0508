"""Ask again and again: answers are drawn from the whole distribution, and one of them is enough."""

from collections.abc import Sequence
from dataclasses import replace

from unsee.attacks.base import Tries, Victim
from unsee.data.sample import Sample
from unsee.evals.answerers.base import Draw
from unsee.registry import attack


@attack("sampling", access="sampling", queries=0, recovered="any of --tries answers at temperature 1 says the fact")
def sampling(victim: Victim, questions: Sequence[Sample], seed: int) -> Tries:
    """Several answers at temperature 1; choices are left out, since a letter drawn often is right by chance."""
    asked = [one for one in questions if one.form != "classification"]
    drawn = [
        victim.said(asked, replace(victim.how, draw=Draw(seed * 1000 + number, 1.0))) for number in range(victim.tries)
    ]
    answers = iter(zip(*drawn, strict=True))
    return [None if one.form == "classification" else list(next(answers)) for one in questions]
