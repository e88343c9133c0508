"""Ask a model every question of every split, steered or not, and keep each answer with its verdict."""

from collections.abc import Mapping, Sequence
from typing import Any

from unsee.data.prompts import Style
from unsee.data.sample import Sample
from unsee.data.text import bare_words
from unsee.erase.eraser import Eraser
from unsee.erase.steer.hooks import erased
from unsee.metrics.detectors import is_fluent, is_refusal
from unsee.metrics.verdicts import REFUSAL_SPLITS, Verdict, score
from unsee.models.generate import Progress, generate
from unsee.models.load import LoadedModel

Record = dict[str, Any]


def ask_all(
    loaded: LoadedModel,
    splits: Mapping[str, Sequence[Sample]],
    condition: str,
    erasers: Sequence[Eraser] = (),
    *,
    batch_size: int = 64,
    max_new_tokens: int = 24,
    style: Style = "plain",
    progress: Progress | None = None,
    **generation: Any,
) -> list[Record]:
    """One record per question, as a line of `answers.jsonl`.

    Args:
        loaded: the model.
        splits: name to questions; the split decides whether a refusal is what is right.
        condition: name of the row in tables.
        erasers: requests in force; none asks the model as it is.
        batch_size: prompts per forward pass.
        max_new_tokens: longest answer.
        style: as for `unsee.models.generate.encode`.
        progress: called with the number of answers that each batch has added.
        **generation: passed on to `model.generate`.
    """
    records = []
    for split, samples in splits.items():
        if not samples:
            continue
        sizes = {"batch_size": batch_size, "max_new_tokens": max_new_tokens}
        answers = answers_of(loaded, samples, erasers, style=style, progress=progress, **sizes, **generation)
        records += [record(condition, split, sample, said) for sample, said in zip(samples, answers, strict=True)]
    return records


def answers_of(
    loaded: LoadedModel, samples: Sequence[Sample], erasers: Sequence[Eraser] = (), **asked: Any
) -> list[str]:
    """What the model says to each question, in order, with the requests in force.

    Args:
        loaded: the model.
        samples: at least one question.
        erasers: none asks the model as it is.
        **asked: as for `unsee.models.generate.generate`.
    """
    if not erasers:
        return generate(loaded, samples, **asked)
    with erased(loaded.model, *erasers, adapter=loaded.adapter):
        return generate(loaded, samples, **asked)


def record(condition: str, split: str, sample: Sample, answer: str | None) -> Record:
    """A line of `answers.jsonl`: the question, the raw answer and what it did."""
    return _line(condition, split, sample, answer, score(sample, answer, expects_refusal=split in REFUSAL_SPLITS))


def record_of_any(condition: str, split: str, sample: Sample, answer: str) -> Record:
    """As `record`, also for a question that the data set gives no gold answer to: whether it is right is unscored."""
    if split in REFUSAL_SPLITS or bare_words(sample.gold):
        return record(condition, split, sample, answer)
    verdict = Verdict(correct=None, leaked=None, refused=is_refusal(answer), fluent=is_fluent(answer))
    return _line(condition, split, sample, answer, verdict)


def _line(condition: str, split: str, sample: Sample, answer: str | None, verdict: Verdict) -> Record:
    return {
        "condition": condition,
        "split": split,
        "person": sample.subject,
        "id": sample.id,
        "form": sample.form,
        "question": sample.question,
        "image": next((shown.id for shown in (sample.image, *sample.video) if shown is not None), None),
        "gold": sample.gold,
        "answer": answer,
        "correct": verdict.correct,
        "refused": verdict.refused,
        "leaked": verdict.leaked,
        "fluent": verdict.fluent,
    }
