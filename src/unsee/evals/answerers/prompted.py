"""Words before every question, forgotten or not: the model has to tell which is which."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

from unsee.data.sample import Sample
from unsee.evals.answerers.base import PLAIN, Answerer, How, scoring
from unsee.evals.likelihood import AnswerScores
from unsee.evals.rewording import reworded
from unsee.models.load import LoadedModel


@final
@dataclass(frozen=True, eq=False)
class Prompted:
    """An answerer that is told something first.

    Attributes:
        inner: who is asked.
        preamble: the words; part of the user's turn, since released LLaVA templates have no other.
    """

    inner: Answerer
    preamble: str

    @property
    def about(self) -> Mapping[str, Any]:
        """What is behind it, and the words."""
        return {**self.inner.about, "preamble": self.preamble}

    @property
    def loaded(self) -> LoadedModel | None:
        """The model behind it."""
        return self.inner.loaded

    def order(self, samples: Sequence[Sample], how: How) -> list[int]:
        """As what is behind it."""
        return self.inner.order(self._told(samples), how)

    def answers(self, samples: Sequence[Sample], how: How = PLAIN, begun: Sequence[str] = ()) -> list[str]:
        """As `Answerer.answers`."""
        return self.inner.answers(self._told(samples), how, begun)

    def scores(
        self, samples: Sequence[Sample], answers: Sequence[str], how: How, batch_size: int
    ) -> list[AnswerScores | None]:
        """As `Scoring.scores`."""
        return scoring(self.inner).scores(self._told(samples), answers, how, batch_size)

    def _told(self, samples: Sequence[Sample]) -> list[Sample]:
        return [reworded(sample, lambda text: f"{self.preamble}\n{text}") for sample in samples]
