"""The seam between what is asked and what answers: a model, a model with erasers, a filter, a server."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, final, runtime_checkable

from unsee.data.prompts import Style
from unsee.data.sample import Sample
from unsee.errors import OptionError
from unsee.evals.likelihood import AnswerScores
from unsee.models.load import LoadedModel


@final
@dataclass(frozen=True)
class Draw:
    """Replies are drawn and not greedy.

    Attributes:
        seed: of one call.
        temperature: of the model's whole distribution, or None to draw as its `generation_config.json` says.
    """

    seed: int
    temperature: float | None = None


@final
@dataclass(frozen=True)
class How:
    """How a question is put and how long its answer may be.

    Attributes:
        max_new_tokens: longest answer.
        style: wording of the prompt, see `unsee.data.prompts.instruction`.
        verbatim: feed the very string of the benchmark's release, where it has one for this family.
        draw: how to draw, or None for greedy answers.
        exact: answers have just as many tokens, so that their time can be compared.
    """

    max_new_tokens: int = 48
    style: Style = "plain"
    verbatim: bool = False
    draw: Draw | None = None
    exact: bool = False


PLAIN = How()
"""Greedy, in a user's words."""


class Answerer(Protocol):
    """Anything that can be asked."""

    @property
    def about(self) -> Mapping[str, Any]:
        """Everything that decides its answers, as JSON values: engine, model and its digest, erasers, filter."""
        ...

    @property
    def loaded(self) -> LoadedModel | None:
        """The model behind it, for attacks on its weights; None where nobody can reach it."""
        ...

    def order(self, samples: Sequence[Sample], how: How) -> list[int]:
        """In which order to ask, so that prompts of one batch are alike."""
        ...

    def answers(self, samples: Sequence[Sample], how: How = PLAIN, begun: Sequence[str] = ()) -> list[str]:
        """One answer a sample, in order.

        Args:
            samples: what is asked; the caller chooses how many at a time.
            how: wording, length and draw.
            begun: first words of each answer, put into its mouth and no part of what is returned; () for none.

        Raises:
            SteeringError: steering did not happen as an eraser requires.
            DataError: a question cannot be put to it.
        """
        ...


def in_batches(
    answerer: Answerer, samples: Sequence[Sample], how: How, batch_size: int = 64, begun: Sequence[str] = ()
) -> list[str]:
    """Answers in the order of the samples, asked so many at a time."""
    answers = [""] * len(samples)
    order = answerer.order(samples, how) if samples else []
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        words = [begun[row] for row in rows] if begun else ()
        for row, answer in zip(rows, answerer.answers([samples[row] for row in rows], how, words), strict=True):
            answers[row] = answer
    return answers


@runtime_checkable
class Scoring(Protocol):
    """An answerer that also says how likely it finds given answers."""

    def scores(
        self, samples: Sequence[Sample], answers: Sequence[str], how: How, batch_size: int
    ) -> list[AnswerScores | None]:
        """Scores of one given answer a sample, its end token included."""
        ...


@runtime_checkable
class Gated(Protocol):
    """An answerer whose gates can be read."""

    def margins(self, samples: Sequence[Sample], how: How) -> list[float | None]:
        """By prompt, how far the nearest gate is above its threshold; None where nothing is erased."""
        ...


def scoring(answerer: Answerer) -> Scoring:
    """The answerer, which offers log-probabilities.

    Raises:
        OptionError: it does not.
    """
    if not isinstance(answerer, Scoring):
        raise OptionError(
            f"{answerer.about.get('engine', type(answerer).__name__)!r} gives no log-probabilities, which some measure "
            "takes. Name other measures, or ask the model itself."
        )
    return answerer
