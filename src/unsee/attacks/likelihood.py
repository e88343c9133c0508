"""Log-probabilities: which of the values that a fact may have does the model find likeliest behind the question?

Steering adds nearly the same to every question about somebody erased, so what it adds is taken off by centring.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from unsee.attacks.base import Tries, Victim
from unsee.attacks.known import about_nobody, answering, values
from unsee.data.sample import Sample
from unsee.evals.likelihood import AnswerScores
from unsee.metrics.membership import min_k_plus_plus_score
from unsee.registry import attack

_FACTS = {
    "access": "log-probabilities", "queries": 1, "forms": ("generation", "cloze"),
    "recovered": "the likeliest of up to 20 values is the fact",
}  # fmt: skip


@attack("ranking", **_FACTS, source="candidate ranking: RWKU, UnLOK-VQA")
def ranking(victim: Victim, questions: Sequence[Sample], seed: int) -> Tries:
    """The value whose answer is likeliest, by the mean over its tokens."""
    return [[max(of, key=lambda value: of[value])] for of in _likelihoods(victim, questions, seed)]


@attack("centred-ranking", **_FACTS, source="docs/log.md: a near-constant shift, subtracted")
def centred_ranking(victim: Victim, questions: Sequence[Sample], seed: int) -> Tries:
    """The value that is likelier here than on average over the other questions that were asked alike."""
    of = _likelihoods(victim, questions, seed)
    return [[_above(of, place)] for place in range(len(of))]


@attack("contrast-ranking", **_FACTS, source="pointwise mutual information with the question")
def contrast_ranking(victim: Victim, questions: Sequence[Sample], seed: int) -> Tries:
    """The value that is likelier to the question than to the same question about nobody in particular."""
    with_name = _likelihoods(victim, questions, seed)
    about_nobody = _likelihoods(victim, questions, seed, nobody=True)
    return [
        [max(mine, key=lambda value: mine[value] - theirs[value])]
        for mine, theirs in zip(with_name, about_nobody, strict=True)
    ]


@attack("membership", **_FACTS, source="Min-K%++ (arXiv 2404.02936), between the values that a fact may have")
def membership(victim: Victim, questions: Sequence[Sample], seed: int) -> Tries:
    """The value whose answer looks most like training data, by the least likely of its tokens."""

    def stands_out(score: AnswerScores) -> float:
        found = min_k_plus_plus_score(score.log_p, score.vocabulary_mean, score.vocabulary_variance)
        return -np.inf if found is None else found

    return [[max(of, key=lambda value: of[value])] for of in _likelihoods(victim, questions, seed, of=stands_out)]


def _mean(score: AnswerScores) -> float:
    return float(score.log_p.mean())


def _likelihoods(
    victim: Victim,
    questions: Sequence[Sample],
    seed: int,
    *,
    nobody: bool = False,
    of: Callable[[AnswerScores], float] = _mean,
) -> list[dict[str, float]]:
    """By question, value to a figure of its answer's tokens: mean log-probability in nats by default."""
    candidates = [values(victim, one, seed) for one in questions]
    put = [(one, value) for one, mine in zip(questions, candidates, strict=True) for value in mine]
    asked = [about_nobody(one, victim.names.get(one.subject)) if nobody else one for one, _ in put]
    scores = iter(victim.scores(asked, [answering(one, value) for one, value in put]))
    means = (-np.inf if score is None else of(score) for score in scores)
    return [{value: next(means) for value in mine} for mine in candidates]


def _above(of: Sequence[Mapping[str, float]], place: int) -> str:
    mine = of[place]

    def gain(value: str) -> float:
        others = [other[value] for n, other in enumerate(of) if n != place and value in other]
        return mine[value] - (float(np.mean(others)) if others else 0.0)

    return max(mine, key=gain)
