"""Whether answers still read as text: unlearning that breaks language forgets everything, and shows as gibberish.

Higher is better on every set.
"""

from collections.abc import Iterable
from itertools import pairwise

from unsee.data.text import bare_words
from unsee.metrics.estimate import Card, Estimate

CARDS = (
    Card("fluent", forget="higher", keep="higher"),
    Card("distinct-2", forget="higher", keep="higher"),
)


def distinct_2(answers: Iterable[str | None]) -> Estimate:
    """Different word pairs per word pair over all answers together, in (0, 1]: low where all answers are the same.

    The value's `n` counts answers that came; those of one word add nothing. It falls as answers are added, so compare
    equal n. Source: Li et al. 2016 (arXiv 1510.03055).
    """
    given = list(answers)
    words = [bare_words(answer).split() for answer in given if answer is not None]
    pairs = [pair for line in words for pair in pairwise(line)]
    return Estimate(len(set(pairs)) / len(pairs) if pairs else None, len(words), len(given) - len(words))
