"""Ask a model every question of every split, steered or not, and keep each answer with its verdict."""

from collections.abc import Mapping, Sequence
from typing import Any

from unsee.data.prompts import Style
from unsee.data.samples import Sample
from unsee.erase.eraser import Eraser
from unsee.erase.hooks import erased
from unsee.evals.metrics import REFUSAL_SPLITS, score
from unsee.models.encode import Progress, generate
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
        style: as for `unsee.models.encode.encode`.
        progress: called with the number of answers that each batch has added.
        **generation: passed on to `model.generate`.
    """
    records = []
    for split, samples in splits.items():
        if not samples:
            continue

        def answer(samples: Sequence[Sample] = samples) -> list[str]:
            return generate(loaded, samples, batch_size, max_new_tokens, style, progress, **generation)

        if erasers:
            with erased(loaded.model, *erasers):
                answers = answer()
        else:
            answers = answer()
        records += [record(condition, split, sample, said) for sample, said in zip(samples, answers, strict=True)]
    return records


def record(condition: str, split: str, sample: Sample, answer: str | None) -> Record:
    """A line of `answers.jsonl`: the question, the raw answer and what it did."""
    verdict = score(sample, answer, expects_refusal=split in REFUSAL_SPLITS)
    return {
        "condition": condition,
        "split": split,
        "person": sample.subject,
        "id": sample.id,
        "form": sample.form,
        "question": sample.question,
        "image": sample.picture.id if sample.picture else None,
        "gold": sample.gold,
        "answer": answer,
        "correct": verdict.correct,
        "refused": verdict.refused,
        "leaked": verdict.leaked,
        "fluent": verdict.fluent,
    }
