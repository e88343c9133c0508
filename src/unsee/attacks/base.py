"""What an attack is given, and what it gives back: the answers that an attacker gets to each question."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import final

from unsee.data.sample import Sample
from unsee.errors import OptionError
from unsee.evals.answerers.base import PLAIN, Answerer, How, in_batches
from unsee.models.load import LoadedModel

Tries = list[list[str] | None]
"""By question, every answer that the attacker got; None where he did not ask, since he knew the fact before."""
Turn = tuple[str, str]

SMALL_TALK: tuple[Turn, ...] = (
    ("What is the capital of France?", "The capital of France is Paris."),
    ("How many legs does a spider have?", "A spider has eight legs."),
    ("What is the opposite of hot?", "The opposite of hot is cold."),
)
"""What is talked of where the task has no questions about nobody."""


@final
@dataclass(frozen=True, eq=False)
class Victim:
    """Who is attacked.

    Attributes:
        answerer: with everything that defends it in force.
        how: as the questions were asked before the attack.
        talk: harmless turns to put before or around a question.
        tries: answers that the attacker may draw, where he draws.
        batch_size: questions asked at a time.
    """

    answerer: Answerer
    how: How = PLAIN
    talk: Sequence[Turn] = SMALL_TALK
    tries: int = 4
    batch_size: int = 64

    def said(self, samples: Sequence[Sample], how: How | None = None, begun: Sequence[str] = ()) -> list[str]:
        """Answers in the order of the samples, asked in batches."""
        return in_batches(self.answerer, samples, how or self.how, self.batch_size, begun)

    @property
    def loaded(self) -> LoadedModel:
        """The model, for attacks on its weights.

        Raises:
            OptionError: nobody can reach it.
        """
        if self.answerer.loaded is None:
            raise OptionError(
                f"this attack holds the weights, and {self.answerer.about.get('engine')!r} has none here. Attack the "
                "model in this process, or leave the attack out."
            )
        return self.answerer.loaded


def once(answers: Sequence[str]) -> Tries:
    """One answer to each question."""
    return [[answer] for answer in answers]


@contextmanager
def lent(loaded: LoadedModel) -> Iterator[None]:
    """Weights may be changed while open; they are put back bit for bit."""
    state = {name: value.clone() for name, value in loaded.model.state_dict().items()}
    try:
        yield
    finally:
        loaded.model.load_state_dict(state)
