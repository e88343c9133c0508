"""Whether answers still read as text: unlearning that breaks language forgets everything, and shows as gibberish.

Higher is better on every set, except perplexity (lower).
"""

import math
from collections.abc import Iterable

import numpy.typing as npt

from unsee.data.text import bare_words
from unsee.errors import OptionError
from unsee.metrics.estimate import Card, Estimate
from unsee.metrics.probability import mean_loss

CARDS = (
    Card("fluent", forget="higher", keep="higher"),
    Card("perplexity", forget="lower", keep="lower", low=1.0, high=None),
    Card("distinct-2", forget="higher", keep="higher"),
)


def perplexity(token_log_p: npt.ArrayLike | None) -> float | None:
    """`e^L >= 1` of one text under a model; None without tokens.

    Take the tokens' log-probabilities from a sound model: a broken one finds its own loops likely.
    Source: SIU's fluency (arXiv 2405.12523).
    """
    loss = mean_loss(token_log_p)
    return None if loss is None else math.exp(loss)


def distinct_n(answers: Iterable[str | None], order: int = 2) -> Estimate:
    """Different n-grams per n-gram over all answers together, in (0, 1]: low when a model says the same to everything.

    The value's `n` counts answers that came; those shorter than n words add nothing. It falls as answers are added, so
    compare equal n. Source: Li et al. 2016 (arXiv 1510.03055); SIU's diversity counts unique words (order 1).

    Raises:
        OptionError: the order is below 1.
    """
    if order < 1:
        raise OptionError(f"the order of n-grams is {order}, expected at least 1")
    given = list(answers)
    words = [bare_words(answer).split() for answer in given if answer is not None]
    grams = [tuple(line[i : i + order]) for line in words for i in range(len(line) - order + 1)]
    return Estimate(len(set(grams)) / len(grams) if grams else None, len(words), len(given) - len(words))
