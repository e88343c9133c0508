"""The field's measures, pure: strings, token log-probabilities and verdicts in, numbers out; no model and no file.

One family a file. A measure that a paper's released code computes otherwise than the paper says, or otherwise than
one would wish, stands under the benchmark's name beside a strict one. What cannot be scored is None, is counted, and
is never 0. `CARDS` says how to read each; docs/metrics.md explains them.
"""

from unsee.metrics import (
    bleu,
    choice,
    cloze,
    divergence,
    exposure,
    fluency,
    forget_quality,
    keywords,
    leakage,
    membership,
    modality,
    probability,
    ranking,
    refusal,
    reward,
    rouge,
    rubric,
    safety,
    truth_ratio,
    utility,
)
from unsee.metrics.estimate import Card, Estimate, mean_of
from unsee.metrics.per_answer import measure

_FAMILIES = (
    choice, cloze, rouge, bleu, keywords, probability, truth_ratio, forget_quality, divergence, utility, modality,
    safety, refusal, leakage, ranking, exposure, membership, fluency, reward, rubric,
)  # fmt: skip

CARDS: dict[str, Card] = {card.name: card for family in _FAMILIES for card in family.CARDS}
"""Every measure by its name in result files."""

__all__ = ["CARDS", "Card", "Estimate", "mean_of", "measure"]
