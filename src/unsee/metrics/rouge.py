"""ROUGE by the `rouge_score` library with stemming, every variant under its own name.

With c matched units, P = c / units of the answer, R = c / units of the reference, F = 2PR / (P + R); units are words
(ROUGE-1), word pairs (ROUGE-2), or the longest common subsequence of words (ROUGE-L). In [0, 1]; lower is better on
what must be forgotten. A refusal shares small words with most references, so its ROUGE-L is well above 0.

Which variant a paper reports: F in MLLMU-Bench, UMU-Bench and OFFSIDE; recall in CLEAR, FIUBench and TOFU; SafeEraser
names F and its release computes precision.
Source: Lin 2004; github.com/google-research/google-research/tree/master/rouge.
"""

import re
from functools import cache
from typing import TYPE_CHECKING

from unsee.errors import OptionError
from unsee.metrics.estimate import Card

if TYPE_CHECKING:
    from rouge_score.rouge_scorer import RougeScorer

VARIANTS = {
    "rouge1-f": ("rouge1", "fmeasure"),
    "rouge2-f": ("rouge2", "fmeasure"),
    "rougeL-f": ("rougeL", "fmeasure"),
    "rouge1-recall": ("rouge1", "recall"),
    "rougeL-recall": ("rougeL", "recall"),
    "rougeL-precision": ("rougeL", "precision"),
}
"""Name of a variant to the units it counts and the figure it takes."""

CARDS = (
    *(Card(name, forget="lower", keep="higher") for name in VARIANTS),
    Card("rougeL-recall-fiubench", forget="lower", keep="higher"),
    Card("rougeL-umu-forget", forget="lower", keep=""),
    Card("rougeL-umu-retain", forget="", keep="higher"),
)


def rouge(answer: str | None, reference: str, variant: str = "rougeL-f") -> float | None:
    """ROUGE of one answer, or None without an answer.

    Also None where the reference has no letter from a to z and no digit: the library drops all other signs, so that an
    answer in Chinese or Russian would score 0 against itself.

    Raises:
        OptionError: no such variant.
    """
    if variant not in VARIANTS:
        raise OptionError(f"the ROUGE variant is {variant!r}, expected one of {list(VARIANTS)}. Pass one of these.")
    if answer is None or not re.search("[a-z0-9]", reference.lower()):
        return None
    units, figure = VARIANTS[variant]
    return float(getattr(_scorer().score(reference, answer)[units], figure))


def rouge_recall_fiubench(answer: str | None, reference: str) -> float | None:
    """FIUBench's ROUGE-L recall: of the reply up to its first full stop, so 0 for every reply without one.

    Source: `run_generation` and `eval_rouge_recall` in evaluate_util.py of github.com/gray311/VLM_Unlearned.
    """
    return None if answer is None else rouge(answer[: max(0, answer.find("."))], reference, "rougeL-recall")


def umu_aligned_rouge(image: float | None, text: float | None, *, forget: bool) -> float | None:
    """UMU-Bench's ROUGE-L of one question asked with image (a) and as text (b).

    Kept sets: harmonic mean `2ab / (a + b)`, low when either is low. Forget set: `(a^2 + b^2) / (a + b)`, high when
    either is high. 0 when both are 0, None when either is unscored.
    Source: `evaluate_generation` in eval.py of github.com/QDRhhhh/UMU-bench.
    """
    if image is None or text is None:
        return None
    if image + text == 0:
        return 0.0
    product = image**2 + text**2 if forget else 2 * image * text
    return product / (image + text)


@cache
def _scorer() -> "RougeScorer":
    # Imported here because it pulls in nltk, which most measures do not need.
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=True)
