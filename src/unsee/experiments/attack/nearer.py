"""Three samples: is a model nearer to one that never knew or to the one that was taught? Question by question.

The model, its base and a never-knew twin are asked the same. By reading, `p_i = d(m_i, b_i) - d(m_i, n_i)` in [-1, 1],
and the place is `mean p / mean d(b_i, n_i)`: never-knew stands at 1 and base at -1. Nearer is said where
the 95 % interval over people is on one side of 0.

Source: relative three-sample tests, after Bounliphone et al. 2016 (arXiv 1511.04581), paired by question.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, final

import numpy as np
import numpy.typing as npt

from unsee.attacks.base import Victim
from unsee.attacks.known import answering, values
from unsee.attacks.read_out import behind_blocks
from unsee.data.sample import Sample
from unsee.data.text import bare_words
from unsee.evals.likelihood import AnswerScores
from unsee.evals.values import Figure, Value, figure_of

Reading = Literal["replies", "likelihoods", "states"]
Nearer = Literal["never knew", "base", "undecided"]
Numbers = npt.NDArray[np.float64]


@final
@dataclass(frozen=True)
class Readings:
    """What one model gives to N questions.

    Attributes:
        replies: words of each answer.
        likelihoods: by question, the distribution over the values that the fact may have.
        states: similarity of each question's state in the middle of the model to every other's, in [-1, 1], [N N].
    """

    replies: Sequence[frozenset[str]]
    likelihoods: Sequence[Numbers]
    states: Numbers


@final
@dataclass(frozen=True)
class Place:
    """Where a model stands by one reading.

    Attributes:
        figure: mean of p, its interval over people, n.
        place: the mean over the distance of base and never-knew.
        nearer: what the interval says.
    """

    figure: Figure
    place: float
    nearer: Nearer


def readings_of(victim: Victim, questions: Sequence[Sample], seed: int = 0) -> Readings:
    """Ask, score and read one model, with what steers it.

    Raises:
        AccessError: it gives no log-probabilities, or its states cannot be reached.
    """
    return readings(victim, questions, scored(victim, questions, seed))


def scored(victim: Victim, questions: Sequence[Sample], seed: int = 0) -> list[dict[str, AnswerScores | None]]:
    """By question, each value that the fact may have, and how likely the model finds it.

    Raises:
        AccessError: it gives no log-probabilities.
    """
    offered = [values(victim, one, seed) for one in questions]
    put = [(one, value) for one, mine in zip(questions, offered, strict=True) for value in mine]
    scores = iter(victim.scores([one for one, _ in put], [answering(one, value) for one, value in put]))
    return [{value: next(scores) for value in mine} for mine in offered]


def readings(
    victim: Victim, questions: Sequence[Sample], scores: Sequence[Mapping[str, AnswerScores | None]]
) -> Readings:
    """As `readings_of`, of values that are scored already."""
    states = behind_blocks(victim, questions)
    middle = states[:, states.shape[1] // 2].double().numpy()
    middle = middle - middle.mean(0)
    middle = middle / np.linalg.norm(middle, axis=1, keepdims=True).clip(1e-12)
    return Readings(
        [frozenset(bare_words(said).split()) for said in victim.said(questions)],
        [_softmax(np.array([-np.inf if one is None else one.log_p.sum() for one in of.values()])) for of in scores],
        middle @ middle.T,
    )


def places(
    model: Readings, base: Readings, never: Readings, people: Sequence[str], seed: int = 0
) -> dict[Reading, Place]:
    """By reading, where the model stands between base and never-knew; people in the order of the questions."""
    found: dict[Reading, Place] = {}
    for name, between in DISTANCES.items():
        apart, more = between(base, never), between(model, base) - between(model, never)
        told = [Value(person, str(n), float(more[n])) for n, person in enumerate(people)]
        figure = figure_of(told, (-1.0, 1.0), seed)
        low, high = figure.interval or (-1.0, 1.0)
        nearer: Nearer = "never knew" if low > 0 else "base" if high < 0 else "undecided"
        found[name] = Place(figure, float((figure.value or 0.0) / max(apart.mean(), 1e-12)), nearer)
    return found


def _replies(a: Readings, b: Readings) -> Numbers:
    return np.array([1 - len(x & y) / max(1, len(x | y)) for x, y in zip(a.replies, b.replies, strict=True)])


def _likelihoods(a: Readings, b: Readings) -> Numbers:
    """Total variation."""
    return np.array([np.abs(x - y).sum() / 2 for x, y in zip(a.likelihoods, b.likelihoods, strict=True)])


def _states(a: Readings, b: Readings) -> Numbers:
    """Mean difference of similarities to the other questions: no basis is shared by two models, but relations are."""
    return np.abs(a.states - b.states).mean(1) / 2


DISTANCES: Mapping[Reading, Callable[[Any, Any], Numbers]] = {
    "replies": _replies, "likelihoods": _likelihoods, "states": _states,
}  # fmt: skip


def _softmax(scores: Numbers) -> Numbers:
    risen = np.exp(scores - scores.max())
    return risen / risen.sum()
