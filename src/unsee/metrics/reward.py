"""ASRU's rule-based rewards of one answer, in [0, 1]: bands of containment, refusal and ROUGE-L F.

On what must be forgotten: the gold is contained 0; else a refusal 1; else 0 < ROUGE-L < 0.4 gives 0.5; else 0.1. On
what is kept: contained 1; else a refusal 0; else ROUGE-L > 0.6 gives 0.5; else 0.1. Both bounds are strict in the
release. Contained means: the gold's characters, lower-cased and with punctuation as spaces, are somewhere in the
answer's, so "art" is in "party". An empty gold, which the release finds in everything, is unscored.

Source: `compute_score` in EasyR1/examples/reward_function/all_reward_copy.py of github.com/guangjh/ASRU (arXiv
2605.15687).
"""

import re

from unsee.metrics.detectors import is_refusal
from unsee.metrics.estimate import Card
from unsee.metrics.refusal import is_refusal_asru
from unsee.metrics.rouge import rouge

CARDS = (
    Card("asru-reward-forget", forget="higher", keep=""),
    Card("asru-reward-retain", forget="", keep="higher"),
)


def forget_reward(answer: str | None, gold: str, *, released: bool = False) -> float | None:
    """ASRU's reward on the forget set; None without an answer or a gold.

    Args:
        answer: the reply.
        gold: the right answer in full.
        released: use ASRU's own refusal pattern, which misses "I don't know" with a plain apostrophe.
    """
    if answer is None or not _bare(gold):
        return None
    if _contains(answer, gold):
        return 0.0
    if _refuses(answer, released):
        return 1.0
    return 0.5 if 0 < (rouge(answer, gold) or 0.0) < 0.4 else 0.1


def retain_reward(answer: str | None, gold: str, *, released: bool = False) -> float | None:
    """ASRU's reward on kept and boundary questions; arguments as for `forget_reward`."""
    if answer is None or not _bare(gold):
        return None
    if _contains(answer, gold):
        return 1.0
    if _refuses(answer, released):
        return 0.0
    return 0.5 if (rouge(answer, gold) or 0.0) > 0.6 else 0.1


def _refuses(answer: str, released: bool) -> bool:
    return is_refusal_asru(answer) if released else is_refusal(answer)


def _contains(answer: str, gold: str) -> bool:
    return _bare(gold) in _bare(answer)


def _bare(text: str) -> str:
    return " ".join(re.sub(r"[^\w\s]", " ", text.lower()).split())
