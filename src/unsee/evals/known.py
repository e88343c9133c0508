"""What a pretrained model knows of the public-knowledge set: asked in a few wordings, without any steering."""

import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, final

from unsee.data.benchmarks.items import Item
from unsee.data.benchmarks.public_knowledge import PublicKnowledge, Subject
from unsee.metrics.detectors import is_refusal, leaks
from unsee.models.generate import generate
from unsee.models.load import LoadedModel
from unsee.progress import Stages, silent

SCREENED: Final = ("plain0", "plain2")
"""Wordings that a model is asked in; all of them are those of a fit."""
LEAST_RIGHT: Final = 2
"""In so many of them the answer must be right."""
LONGEST: Final = 24
"""Tokens of an answer."""


@final
@dataclass(frozen=True)
class Known:
    """What one model knows.

    Attributes:
        digest: of the model's weights.
        facts: id of a subject to the names of its facts that are known; subjects with none are left out.
        answers: id of a question to what was said.
    """

    digest: str
    facts: Mapping[str, tuple[str, ...]]
    answers: Mapping[str, str]


def right(item: Item, answer: str) -> bool:
    """Whether an accepted variant stands in an answer that does not decline, and not in the question already.

    What the question says ("Germany" and "German") is no knowledge: an echo would be right.
    """
    accepted = item.sample.accepted
    return not is_refusal(answer) and leaks(answer, accepted) and not leaks(item.sample.question, accepted)


def measure_known(
    loaded: LoadedModel,
    knowledge: PublicKnowledge,
    subjects: Sequence[Subject],
    wordings: Collection[str] = SCREENED,
    least: int = LEAST_RIGHT,
    batch_size: int = 48,
    stages: Stages = silent,
) -> Known:
    """Ask everything, greedily, and count.

    Args:
        loaded: the model.
        knowledge: the set.
        subjects: of whom and what to ask.
        wordings: in which each fact is asked.
        least: right answers that make a fact known.
        batch_size: prompts per forward pass.
        stages: progress display.
    """
    asked = [item for subject in subjects for item in knowledge.about(subject, "fit") if _is(item, wordings)]
    answers = generate(
        loaded,
        [item.sample for item in asked],
        batch_size,
        max_new_tokens=LONGEST,
        progress=stages("what it knows", len(asked)),
    )
    return Known(
        loaded.digest,
        known_facts(asked, answers, least),
        {item.sample.id: answer for item, answer in zip(asked, answers, strict=True)},
    )


def known_facts(asked: Sequence[Item], answers: Sequence[str], least: int) -> dict[str, tuple[str, ...]]:
    """Facts that were answered right in at least so many wordings, by subject."""
    count: dict[tuple[str, str], int] = {}
    for item, answer in zip(asked, answers, strict=True):
        key = item.sample.subject, item.sample.id.split("/")[-2]
        count[key] = count.get(key, 0) + right(item, answer)
    known: dict[str, tuple[str, ...]] = {}
    for (subject, fact), hits in count.items():
        if hits >= least:
            known[subject] = (*known.get(subject, ()), fact)
    return known


def _is(item: Item, wordings: Collection[str]) -> bool:
    return item.sample.id.rsplit("/", 1)[1] in wordings


def drawn(knowledge: PublicKnowledge, count: int, seed: int = 0) -> list[Subject]:
    """So many subjects, in an order of the seed; all of them where there are no more."""
    order = list(knowledge.subjects)
    random.Random(seed).shuffle(order)
    return order[:count]
