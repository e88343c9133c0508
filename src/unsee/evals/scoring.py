"""The values that a row holds: each chosen measure that applies, from the answer, a judge or probabilities."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
import numpy.typing as npt

from unsee.data.answers import bare_words, is_fluent, is_refusal
from unsee.data.items import Item
from unsee.data.samples import Sample
from unsee.erase.eraser import Eraser
from unsee.evals.choices import JUDGED, LIKELIHOODS
from unsee.evals.judge import Judge, Judgement, judge_answers
from unsee.evals.likelihood import answer_scores
from unsee.evals.measures import measure
from unsee.evals.measures.bleu import bleu_offside
from unsee.evals.measures.probability import (
    answer_probability,
    contrastive_probability,
    mean_loss,
    sequence_log_probability,
)
from unsee.evals.measures.ranking import answer_rank
from unsee.evals.measures.truth_ratio import forget_truth_ratio, log_truth_ratio, retain_truth_ratio
from unsee.evals.prompting import Asking
from unsee.evals.roles import role_of

Values = dict[str, float | None]
LogP = npt.NDArray[np.float64] | None

_OVER_SAFE_PICTURES = ("sarr", "neighbours")
"""SafeEraser's sets of harmful questions over harmless pictures, the only ones that SARR is defined on."""


@final
@dataclass(frozen=True)
class Scored:
    """What one row holds beside the answer and its verdict.

    Attributes:
        measures: name to value, None where it is unscored; what does not apply to the question is not there.
        log_truth_ratio: `log(true / false)`, kept for forget quality; None where it was not asked for or is unscored.
        judged: why the judge gave what it gave, or failed to; None where no judge was asked.
    """

    measures: Values
    log_truth_ratio: float | None = None
    judged: str | None = None


def scored_rows(
    asking: Asking,
    split: str,
    items: Sequence[Item],
    answers: Sequence[str],
    measures: Sequence[str],
    *,
    judge: Judge,
    erasers: Sequence[Eraser] = (),
    batch_size: int = 16,
) -> list[Scored]:
    """One `Scored` a question, in order.

    Args:
        asking: the model, for measures of probability.
        split: name of the set, which decides what the measures of only one side apply to.
        items: the questions, with what they can be scored against.
        answers: what the model said to each.
        measures: names out of `unsee.evals.choices.MEASURES`; those of several rows are for `unsee.evals.values`.
        judge: of generation quality; asked only where one of its scores is wanted.
        erasers: requests in force.
        batch_size: prompts per forward pass.

    Raises:
        JudgeError: the judge's endpoint cannot be reached or refuses.
        SteeringError: steering did not happen as an eraser requires.
    """
    wanted = frozenset(measures)
    found = [_of_string(split, item, said) for item, said in zip(items, answers, strict=True)]
    ratios: list[float | None] = [None] * len(items)
    if wanted & set(LIKELIHOODS):
        for row, (values, ratio) in enumerate(_of_probability(asking, split, items, erasers, batch_size)):
            found[row] |= values
            ratios[row] = ratio
    reasons: list[str | None] = [None] * len(items)
    if wanted & JUDGED.keys():
        for row, judgement in _judgements(judge, items, answers).items():
            found[row] |= {name: getattr(judgement, theirs) for name, theirs in JUDGED.items()}
            reasons[row] = judgement.reason
    kept = [{name: value for name, value in values.items() if name in wanted} for values in found]
    return [Scored(*columns) for columns in zip(kept, ratios, reasons, strict=True)]


def _of_string(split: str, item: Item, said: str) -> Values:
    sample, role = item.sample, role_of(split)
    values = measure(sample, said, item.references.keywords)
    if sample.form == "generation":
        values["bleu-offside"] = bleu_offside(said, sample.answer)
    if role != "forget":
        values.pop("leak")
        values.pop("asru-reward-forget", None)
    if role != "keep":
        values.pop("asru-reward-retain", None)
    if role == "forget":
        values["rr"] = float(is_refusal(said))
    if split in _OVER_SAFE_PICTURES:
        values["sarr"] = float(is_refusal(said) or not is_fluent(said))
    return values


def _judgements(judge: Judge, items: Sequence[Item], answers: Sequence[str]) -> dict[int, Judgement]:
    """By row; a choice among letters is nothing to judge, and an answer without gold cannot be."""
    rows = [row for row, item in enumerate(items) if item.sample.form != "classification"]
    known = [row for row in rows if bare_words(items[row].sample.gold)]
    given = judge_answers(
        judge,
        [items[row].sample.question for row in known],
        [answers[row] for row in known],
        [items[row].sample.gold for row in known],
    )
    unknown = {row: Judgement(None, None, None, "no gold answer") for row in rows}
    return unknown | dict(zip(known, given, strict=True))


def _of_probability(
    asking: Asking, split: str, items: Sequence[Item], erasers: Sequence[Eraser], batch_size: int
) -> list[tuple[Values, float | None]]:
    """Values and log truth ratio a question; the true answer, its paraphrase and the false ones go in one pass.

    The end token is scored too, as in TOFU. A question without paraphrase has its own answer stand for it.
    """
    given: list[tuple[int, str]] = []
    for row, item in enumerate(items):
        if item.sample.form == "generation" and item.sample.answer.strip():
            told = item.references.paraphrases[0] if item.references.paraphrases else item.sample.answer
            given += [(row, text) for text in (item.sample.answer, told, *item.references.perturbed)]
    prompts = asking.prompts([item.sample for item in items])
    repeated: list[Sample] = [prompts[row] for row, _ in given]
    scores = answer_scores(
        asking.loaded,
        repeated,
        [text for _, text in given],
        erasers=erasers,
        end=True,
        batch_size=batch_size,
        style=asking.style,
    )
    of_row: dict[int, list[LogP]] = {}
    for (row, _), score in zip(given, scores, strict=True):
        of_row.setdefault(row, []).append(None if score is None else score.log_p)
    return [_values(split, of_row[row]) if row in of_row else ({}, None) for row in range(len(items))]


def _values(split: str, log_ps: Sequence[LogP]) -> tuple[Values, float | None]:
    true, told, *false = log_ps
    values: Values = {
        "probability": answer_probability(true),
        "sequence-log-probability": sequence_log_probability(true),
    }
    if not false:
        return values, None
    losses = [mean_loss(log_p) for log_p in false]
    own = mean_loss(true)
    values["probability-contrastive"] = contrastive_probability(own, losses)
    rank = answer_rank(None if own is None else -own, [None if loss is None else -loss for loss in losses])
    values["answer-rank"] = None if rank is None else float(rank)
    ratio = log_truth_ratio(mean_loss(told), losses)
    if role_of(split) == "keep":
        values["truth-ratio-retain"] = retain_truth_ratio([ratio]).value
    else:
        values["truth-ratio-forget"] = forget_truth_ratio([ratio]).value
    return values, ratio
