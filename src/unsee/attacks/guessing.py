"""The attacker's best guess among what he was told, chosen without the true answer."""

from collections.abc import Sequence

from unsee.data.text import bare_words
from unsee.metrics.detectors import is_fluent, is_refusal


def best_guess(answers: Sequence[str]) -> int:
    """Place of the answer that agrees most with all that are no refusal; of the first where all are.

    Agreement is the mean share of words in common (Jaccard), so the most frequent of equal answers wins.
    """
    told = [place for place, answer in enumerate(answers) if answer and not is_refusal(answer)]
    told = [place for place in told if is_fluent(answers[place])] or told
    if not told:
        return 0
    bags = {place: set(bare_words(answers[place]).split()) for place in told}

    def agreement(place: int) -> float:
        own = bags[place]
        return sum(len(own & other) / max(1, len(own | other)) for other in bags.values())

    return max(told, key=lambda place: (agreement(place), -place))
