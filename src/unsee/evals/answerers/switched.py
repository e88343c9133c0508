"""Two answerers and a condition: prompts for which it holds go to the second."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, final

from unsee.data.sample import Sample
from unsee.evals.answerers.base import PLAIN, Answerer, How
from unsee.models.load import LoadedModel
from unsee.shapes import Bool, Tensor


@final
@dataclass(frozen=True, eq=False)
class Switched:
    """Prompts are answered by `other` where a condition holds, else by `base`.

    Attributes:
        base: who is asked otherwise.
        other: who is asked where it holds.
        fires: for which samples it holds, read before either answers.
        called: what settings call the condition.
        within: what is in force while `other` answers.
    """

    base: Answerer
    other: Answerer
    fires: Callable[[Sequence[Sample]], Bool[Tensor, " N"]] = field(repr=False)
    called: str = "condition"
    within: Callable[[], AbstractContextManager[object]] = field(default=nullcontext, repr=False)

    @property
    def about(self) -> Mapping[str, Any]:
        """Both, and the condition."""
        return {**self.base.about, "switched_to": dict(self.other.about), "condition": self.called}

    @property
    def loaded(self) -> LoadedModel | None:
        """The model behind `base`."""
        return self.base.loaded

    def order(self, samples: Sequence[Sample], how: How) -> list[int]:
        """As `base`."""
        return self.base.order(samples, how)

    def answers(self, samples: Sequence[Sample], how: How = PLAIN, begun: Sequence[str] = ()) -> list[str]:
        """As `Answerer.answers`."""
        holds = self.fires(samples).tolist() if samples else []
        answers = [""] * len(samples)
        for answerer, side in ((self.base, False), (self.other, True)):
            rows = [row for row, held in enumerate(holds) if held == side]
            words = [begun[row] for row in rows] if begun else ()
            with self.within() if side and rows else nullcontext():
                given = answerer.answers([samples[row] for row in rows], how, words)
            for row, said in zip(rows, given, strict=True):
                answers[row] = said
        return answers
