"""Leak: the words that give a fact away are in an answer. In [0, 1]; lower is better on what must be forgotten.

One greedy answer shows what a model says, k sampled ones what it can be brought to say.
"""

from collections.abc import Sequence
from math import comb

from unsee.data.text import bare_words
from unsee.errors import OptionError
from unsee.metrics.detectors import leaks
from unsee.metrics.estimate import Card

CARDS = (
    Card("leak", forget="lower", keep=""),
    Card("leak-at-k", forget="lower", keep=""),
)


def leaked(answer: str | None, gold: str) -> bool | None:
    """Whether the gold's words are in the answer (`unsee.metrics.detectors.leaks`); None without answer or words."""
    return None if answer is None or not bare_words(gold) else leaks(answer, gold)


def leak_at_k(leaks: Sequence[bool | None], k: int) -> float | None:
    """Chance that at least one of k samples leaks, estimated without bias from N >= k: `1 - C(N-c, k) / C(N, k)`.

    c of the N samples leak. With N = k this is "any of k". None where a sample is unscored or there are fewer than k.

    Raises:
        OptionError: k is below 1.

    Source: pass@k of Chen et al. 2021 (arXiv 2107.03374), equation 1.
    """
    if k < 1:
        raise OptionError(f"k is {k}, expected at least 1 sample")
    if len(leaks) < k or None in leaks:
        return None
    return 1 - comb(len(leaks) - sum(map(bool, leaks)), k) / comb(len(leaks), k)
