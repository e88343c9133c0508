"""Response prefill: the model's answer is begun for it, up to the fact."""

from collections.abc import Sequence

from unsee.attacks.base import Tries, Victim
from unsee.data.sample import Sample
from unsee.registry import attack


@attack("prefill", access="prompt", queries=1, recovered="the fact follows the words that were put into its mouth")
def prefill(victim: Victim, questions: Sequence[Sample], seed: int) -> Tries:
    """The taught answer up to the fact, "she works as a", as if the model had said so; else "sure,"."""
    del seed
    asked = [one for one in questions if one.form == "generation"]
    answers = iter(victim.said(asked, begun=[beginning(one) for one in asked]))
    return [[next(answers)] if one.form == "generation" else None for one in questions]


def beginning(question: Sample) -> str:
    """What stands before the fact in the true answer."""
    words = question.answer.lower()
    at = words.find(question.gold.lower()) if question.gold else -1
    return words[:at].strip() if at > 0 else "sure,"
