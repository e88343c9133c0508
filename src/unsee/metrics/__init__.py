"""The field's measures, pure: strings, token log-probabilities and verdicts in, numbers out; no model and no file.

One family a file. A measure that a paper's released code computes otherwise than the paper says, or otherwise than
one would wish, stands under the benchmark's name beside a strict one. What cannot be scored is None, is counted, and
is never 0. `CARDS` says how to read each; docs/metrics.md explains them.
"""

from unsee.data.benchmarks.items import Item
from unsee.metrics import (
    bleu,
    choice,
    cloze,
    divergence,
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
from unsee.metrics.estimate import Card
from unsee.metrics.per_answer import measure
from unsee.registry import metric

_FAMILIES = (
    choice, cloze, rouge, bleu, keywords, probability, truth_ratio, forget_quality, divergence, utility, modality,
    safety, refusal, leakage, ranking, membership, fluency, reward, rubric,
)  # fmt: skip

CARDS: dict[str, Card] = {card.name: card for family in _FAMILIES for card in family.CARDS}
"""Every measure by its name in result files."""


def _register(card: Card, about: str) -> None:
    def of_one_answer(item: Item, answer: str) -> float | None:
        return measure(item.sample, answer, item.references.keywords).get(card.name)

    of_one_answer.__qualname__, of_one_answer.__doc__ = f"measure_{card.name}", about
    metric(card.name, forget=card.forget, keep=card.keep, low=card.low, high=card.high)(of_one_answer)


for _family in _FAMILIES:
    for _card in _family.CARDS:
        _register(_card, (_family.__doc__ or "").partition("\n")[0])

__all__ = ["CARDS", "measure"]
