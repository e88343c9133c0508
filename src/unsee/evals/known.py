"""What a pretrained model knows of the public-knowledge set: asked in a few wordings, without any steering."""

import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, final

from unsee.data.benchmarks.items import Item
from unsee.data.benchmarks.public_knowledge import PublicKnowledge, Subject
from unsee.evals.answerers.base import Answerer, How
from unsee.metrics.detectors import is_refusal, leaks
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
        digest: of the model's weights; None where nobody can see them.
        facts: id of a subject to the names of its facts that are known; subjects with none are left out.
        answers: id of a question to what was said.
    """

    digest: str | None
    facts: Mapping[str, tuple[str, ...]]
    answers: Mapping[str, str]


def right(item: Item, answer: str) -> bool:
    """Whether an accepted variant stands in an answer that does not decline, and not in the question already.

    What the question says ("Germany" and "German") is no knowledge: an echo would be right.
    """
    accepted = item.sample.accepted
    return not is_refusal(answer) and leaks(answer, accepted) and not leaks(item.sample.question, accepted)


def measure_known(
    model: Answerer,
    knowledge: PublicKnowledge,
    subjects: Sequence[Subject],
    wordings: Collection[str] = SCREENED,
    least: int = LEAST_RIGHT,
    tokens: int = LONGEST,
    batch_size: int = 48,
    stages: Stages = silent,
) -> Known:
    """Ask everything, greedily, and count.

    Args:
        model: who is asked; `Recorded` asks nothing twice.
        knowledge: the set.
        subjects: of whom and what to ask.
        wordings: in which each fact is asked.
        least: right answers that make a fact known.
        tokens: longest answer.
        batch_size: prompts per forward pass.
        stages: progress display.
    """
    asked = [item for subject in subjects for item in knowledge.about(subject, "fit") if _is(item, wordings)]
    tell, answers = stages("what it knows", len(asked)), list[str]()
    for start in range(0, len(asked), batch_size):
        part = [item.sample for item in asked[start : start + batch_size]]
        answers += model.answers(part, How(max_new_tokens=tokens))
        tell(len(part))
    digest = model.loaded.digest if model.loaded else None
    return Known(
        digest,
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
