"""Filters before and after a model: a fixed sentence stands in; weights and states are untouched."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, final

from unsee.data.sample import Sample
from unsee.evals.answerers.base import PLAIN, Answerer, How
from unsee.metrics.detectors import leaks
from unsee.models.load import LoadedModel
from unsee.shapes import Bool, Tensor

DECLINE = "I cannot answer that question."


@final
@dataclass(frozen=True, eq=False)
class OutputFiltered:
    """An answer that says a forbidden name or fact is replaced by a refusal.

    Attributes:
        inner: who is asked.
        forbidden: golds and names, matched as whole words by `unsee.metrics.detectors.leaks`.
        said: what stands in.
    """

    inner: Answerer
    forbidden: tuple[str, ...]
    said: str = DECLINE

    @property
    def about(self) -> Mapping[str, Any]:
        """What is behind it, and how much is forbidden; not the words, which are what is to be forgotten."""
        return {**self.inner.about, "output_filter": len(self.forbidden), "said": self.said}

    @property
    def loaded(self) -> LoadedModel | None:
        """The model behind it."""
        return self.inner.loaded

    def order(self, samples: Sequence[Sample], how: How) -> list[int]:
        """As what is behind it."""
        return self.inner.order(samples, how)

    def answers(self, samples: Sequence[Sample], how: How = PLAIN, begun: Sequence[str] = ()) -> list[str]:
        """As `Answerer.answers`."""
        given = self.inner.answers(samples, how, begun)
        return [self.said if any(leaks(answer, word) for word in self.forbidden) else answer for answer in given]


@final
@dataclass(frozen=True, eq=False)
class InputFiltered:
    """A question for which a condition holds is refused before the model sees it.

    Attributes:
        inner: who is asked otherwise.
        fires: which samples are refused.
        said: what stands in.
        called: what settings call the condition.
    """

    inner: Answerer
    fires: Callable[[Sequence[Sample]], Bool[Tensor, " N"]] = field(repr=False)
    said: str = DECLINE
    called: str = "condition"

    @property
    def about(self) -> Mapping[str, Any]:
        """What is behind it, and the condition."""
        return {**self.inner.about, "input_filter": self.called, "said": self.said}

    @property
    def loaded(self) -> LoadedModel | None:
        """The model behind it."""
        return self.inner.loaded

    def order(self, samples: Sequence[Sample], how: How) -> list[int]:
        """As what is behind it."""
        return self.inner.order(samples, how)

    def answers(self, samples: Sequence[Sample], how: How = PLAIN, begun: Sequence[str] = ()) -> list[str]:
        """As `Answerer.answers`."""
        refused = self.fires(samples).tolist() if samples else []
        open_ = [row for row, shut in enumerate(refused) if not shut]
        words = [begun[row] for row in open_] if begun else ()
        given = iter(self.inner.answers([samples[row] for row in open_], how, words))
        return [self.said if shut else next(given) for shut in refused]
