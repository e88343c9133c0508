"""Ask again and again: answers are drawn, and what comes most often is the guess."""

from collections.abc import Sequence
from dataclasses import replace

from unsee.attacks.base import Tries, Victim
from unsee.data.sample import Sample
from unsee.evals.answerers.base import Draw
from unsee.registry import attack

_OPEN = ("generation", "cloze")
"""Letters are left out: one drawn often is right by chance."""


_FACTS = {
    "access": "ask many", "queries": 128, "forms": _OPEN, "source": "leak@k, arXiv 2511.04934",
    "recovered": "the answer drawn most often says the fact; leak-at-k: any of k does",
}  # fmt: skip


@attack("sampling", **_FACTS)
def sampling(victim: Victim, questions: Sequence[Sample], seed: int) -> Tries:
    """Answers at temperature 1, as many as the budget has."""
    return _drawn(victim, questions, seed, 1.0)


@attack("hot-sampling", **_FACTS)
def hot_sampling(victim: Victim, questions: Sequence[Sample], seed: int) -> Tries:
    """Answers at temperature 2, as many as the budget has."""
    return _drawn(victim, questions, seed, 2.0)


def _drawn(victim: Victim, questions: Sequence[Sample], seed: int, heat: float) -> Tries:
    draws = [Draw(seed * 1000 + number, heat) for number in range(victim.tries)]
    said = [victim.said(questions, replace(victim.how, draw=draw)) for draw in draws]
    return [list(answers) for answers in zip(*said, strict=True)]
