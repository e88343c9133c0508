"""What an attack is given, and what it gives back: the answers that an attacker gets to each question.

An attack is one function of a victim, questions and a seed. It never sees a gold answer: what counts as recovered is
read off its answers afterwards, and guessing is taken off by carrying it out on a model that never knew.
"""

import functools
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, final

from unsee.data.sample import Sample
from unsee.errors import OptionError
from unsee.evals.answerers.base import PLAIN, Answerer, How, Scoring, in_batches
from unsee.evals.likelihood import AnswerScores
from unsee.evals.rewording import reworded
from unsee.models.load import LoadedModel
from unsee.registry import Access, attack

Tries = list[list[str] | None]
"""By question, every guess that the attacker got; None where he did not ask, since he knew the fact before."""
Turn = tuple[str, str]

SMALL_TALK: tuple[Turn, ...] = (
    ("What is the capital of France?", "The capital of France is Paris."),
    ("How many legs does a spider have?", "A spider has eight legs."),
    ("What is the opposite of hot?", "The opposite of hot is cold."),
)
"""What is talked of where the task has no questions about nobody."""


class AccessError(OptionError):
    """An attack needs what nobody has here: weights, log-probabilities, an image."""


@final
@dataclass(frozen=True)
class Asked:
    """One query: what was put, the first words of the answer that were given, and what was said."""

    sample: Sample
    begun: str
    said: str


@final
@dataclass(frozen=True, eq=False)
class Victim:
    """Who is attacked, and what the attacker knows beforehand.

    Attributes:
        answerer: with everything that defends it in force.
        how: as the questions were asked before the attack.
        talk: harmless turns to put before or around a question.
        tries: queries that the attacker has for a question.
        batch_size: questions asked at a time.
        questions: every question about what is to be forgotten, of which an attack is given a part.
        names: subject to how it is called, where its questions say so.
        others: questions about others, with their true answers.
        record: by question, every query so far.
    """

    answerer: Answerer
    how: How = PLAIN
    talk: Sequence[Turn] = SMALL_TALK
    tries: int = 4
    batch_size: int = 64
    questions: Sequence[Sample] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    others: Sequence[Sample] = ()
    record: dict[str, list[Asked]] = field(default_factory=dict, repr=False)

    def said(self, samples: Sequence[Sample], how: How | None = None, begun: Sequence[str] = ()) -> list[str]:
        """Answers in the order of the samples, asked in batches; a sample keeps the id of its question."""
        answers = in_batches(self.answerer, samples, how or self.how, self.batch_size, begun)
        for sample, first, answer in zip(samples, begun or [""] * len(samples), answers, strict=True):
            self.record.setdefault(sample.id, []).append(Asked(sample, first, answer))
        return answers

    def scores(self, samples: Sequence[Sample], answers: Sequence[str]) -> list[AnswerScores | None]:
        """How likely each answer is, for attacks on log-probabilities.

        Raises:
            AccessError: they are not offered.
        """
        if not isinstance(self.answerer, Scoring):
            raise AccessError(
                f"this attack reads log-probabilities, and {self.answerer.about.get('engine')!r} gives none. Attack "
                "the model in this process, or leave the attack out."
            )
        return self.answerer.scores(samples, answers, self.how, self.batch_size)

    @property
    def loaded(self) -> LoadedModel:
        """The model, for attacks on its weights.

        Raises:
            AccessError: nobody can reach it.
        """
        if self.answerer.loaded is None:
            raise AccessError(
                f"this attack holds the weights, and {self.answerer.about.get('engine')!r} has none here. Attack the "
                "model in this process, or leave the attack out."
            )
        return self.answerer.loaded


Make = Callable[[Sample, Victim, random.Random], Sequence[Sample]]


def varied(
    name: str, *, access: Access = "ask", queries: int = 4, recovered: str = "the fact is said", **facts: Any
) -> Callable[[Make], Callable[..., Tries]]:
    """Register an attack that puts each question otherwise: a function of a question that gives all variants of it.

    As many variants are asked as the budget allows; a question that has none is not asked.

    Args:
        name: for `--attacks`.
        access: what the attacker needs.
        queries: variants of a question.
        recovered: what counts as having the fact, in words.
        **facts: as for `unsee.registry.attack`.
    """

    def enter(make: Make) -> Callable[..., Tries]:
        @functools.wraps(make)
        def carried_out(victim: Victim, questions: Sequence[Sample], seed: int) -> Tries:
            put = [
                list(make(one, victim, random.Random(f"{name}/{one.id}/{seed}")))[: victim.tries] for one in questions
            ]
            answers = iter(victim.said([variant for some in put for variant in some]))
            return [[next(answers) for _ in some] or None for some in put]

        return attack(name, access=access, queries=queries, recovered=recovered, **facts)(carried_out)

    return enter


def words(one: Sample, *templates: str) -> list[Sample]:
    """The question in other words: each template has its place at `{q}`."""
    return [reworded(one, lambda text, to=template: to.replace("{q}", text)) for template in templates]


def once(answers: Sequence[str]) -> Tries:
    """One answer to each question."""
    return [[answer] for answer in answers]


def applies(facts: Mapping[str, Any], sample: Sample) -> bool:
    """Whether an attack has anything to do with a question: its form, and whether an image is shown."""
    needs = facts["needs"]
    return (
        sample.form in facts["forms"]
        and ("image" not in needs or bool(sample.shown))
        and ("no image" not in needs or not sample.shown)
    )


@contextmanager
def lent(loaded: LoadedModel) -> Iterator[None]:
    """Weights may be changed while open; they are put back bit for bit."""
    state = {name: value.clone() for name, value in loaded.model.state_dict().items()}
    try:
        yield
    finally:
        loaded.model.load_state_dict(state)
