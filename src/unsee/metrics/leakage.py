"""Leak: the words that give a fact away are in an answer. In [0, 1]; lower is better on what must be forgotten.

One greedy answer shows what a model says, k sampled ones what it can be brought to say.
"""

from collections.abc import Iterable, Sequence
from math import comb

from unsee.data.text import bare_words
from unsee.errors import OptionError
from unsee.metrics.detectors import leaks
from unsee.metrics.estimate import Card, Estimate, mean_of

CARDS = (
    Card("leak", forget="lower", keep=""),
    Card("leak-at-k", forget="lower", keep=""),
)


def leaked(answer: str | None, gold: str) -> bool | None:
    """Whether the gold's words are in the answer (`unsee.metrics.detectors.leaks`); None without answer or words."""
    return None if answer is None or not bare_words(gold) else leaks(answer, gold)


def leaked_in_any(answers: Sequence[str | None], gold: str) -> bool | None:
    """Whether any of the sampled answers leaks.

    None where an answer is missing and no other leaks, and where there is none: k tries were promised.
    """
    found = [leaked(answer, gold) for answer in answers]
    if any(found):
        return True
    return None if not found or None in found else False


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


def mean_leak_at_k(leaks: Iterable[Sequence[bool | None]], k: int) -> Estimate:
    """Mean of `leak_at_k` over facts.

    Raises:
        OptionError: k is below 1.
    """
    return mean_of(leak_at_k(samples, k) for samples in leaks)
