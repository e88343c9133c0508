"""What a row gets from the probability of given answers: the true one, its paraphrase and false ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from unsee.data.benchmarks.items import Item
from unsee.data.task import ANSWERED, Role
from unsee.evals.answerers.base import Answerer, How, scoring
from unsee.evals.likelihood import AnswerScores
from unsee.metrics.membership import loss_score, min_k_plus_plus_score, min_k_score, zlib_score
from unsee.metrics.probability import (
    answer_probability,
    contrastive_probability,
    mean_loss,
    sequence_log_probability,
)
from unsee.metrics.ranking import answer_rank, exposure, tokens_in_top_k
from unsee.metrics.truth_ratio import forget_truth_ratio, log_truth_ratio, retain_truth_ratio

Values = dict[str, float | None]


@final
@dataclass(frozen=True)
class Likely:
    """What probabilities say of one question.

    Attributes:
        measures: name to value; what does not apply is not there.
        log_truth_ratio: `log(true / false)`; None without false answers.
        membership: name of each score of membership to its value, higher for likelier members; None where there is no
            answer to score.
    """

    measures: Values
    log_truth_ratio: float | None = None
    membership: Values | None = None


def likely(
    answerer: Answerer, role: Role, items: Sequence[Item], how: How, tries: int, batch_size: int = 16
) -> list[Likely]:
    """One a question, in order; all answers to all questions go in one pass.

    The end token is scored too, as in TOFU, but not for membership and ranks of tokens, as in open-unlearning. A
    question without paraphrase has its own answer stand for it.

    Args:
        answerer: one that offers log-probabilities.
        role: of the set, which decides what the measures of only one side apply to.
        items: the questions.
        how: as they are asked.
        tries: k of the measures that are named after it.
        batch_size: prompts per forward pass.

    Raises:
        OptionError: the answerer offers no log-probabilities.
        SteeringError: steering did not happen as an eraser requires.
    """
    given: list[tuple[int, str]] = []
    for row, item in enumerate(items):
        if item.sample.form == "generation" and item.sample.answer.strip():
            told = item.references.paraphrases[0] if item.references.paraphrases else item.sample.answer
            given += [(row, text) for text in (item.sample.answer, told, *item.references.perturbed)]
    asked = [items[row].sample for row, _ in given]
    scores = scoring(answerer).scores(asked, [text for _, text in given], how, batch_size) if given else []
    of_row: dict[int, list[AnswerScores]] = {}
    for (row, _), score in zip(given, scores, strict=True):
        assert score is not None, "every answer given was a text"
        of_row.setdefault(row, []).append(score)
    return [
        _likely(role, item.sample.answer, of_row[row], tries) if row in of_row else Likely({})
        for row, item in enumerate(items)
    ]


def _likely(role: Role, answer: str, scores: Sequence[AnswerScores], tries: int) -> Likely:
    true, told, *false = scores
    values: Values = {
        "probability": answer_probability(true.log_p),
        "sequence-log-probability": sequence_log_probability(true.log_p),
        "token-in-top-k": tokens_in_top_k(true.rank[:-1], tries),
    }
    membership = _membership(answer, true)
    if not false:
        return Likely(values, membership=membership)
    own, losses = mean_loss(true.log_p), [mean_loss(one.log_p) for one in false]
    values["probability-contrastive"] = contrastive_probability(own, losses)
    values |= _standing(own, losses, tries)
    ratio = log_truth_ratio(mean_loss(told.log_p), losses)
    if role in ANSWERED:
        values["truth-ratio-retain"] = retain_truth_ratio(ratio)
    else:
        values["truth-ratio-forget"] = forget_truth_ratio(ratio)
    return Likely(values, ratio, membership)


def _standing(own: float | None, losses: Sequence[float | None], tries: int) -> Values:
    """Where the true answer stands among the false ones, by mean log-probability a token."""
    score, others = None if own is None else -own, [None if loss is None else -loss for loss in losses]
    rank = answer_rank(score, others)
    values: Values = {
        "answer-rank": None if rank is None else float(rank),
        "exposure-bits": exposure(score, others),
    }
    if tries <= len(losses):  # as many guesses as candidates always hit
        values["answer-in-top-k"] = None if rank is None else float(rank <= tries)
    return values


def _membership(answer: str, score: AnswerScores) -> Values:
    log_p = score.log_p[:-1]
    return {
        "loss": loss_score(log_p),
        "zlib": zlib_score(log_p, answer),
        "min-k": min_k_score(log_p),
        "min-k-plus-plus": min_k_plus_plus_score(log_p, score.vocabulary_mean[:-1], score.vocabulary_variance[:-1]),
    }
