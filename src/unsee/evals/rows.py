"""One line of `answers.jsonl`: the question, the raw answer, what it did, and what is good there."""

from collections.abc import Mapping
from typing import Any

from unsee.data.sample import Sample
from unsee.data.task import REFUSED, Role, Set
from unsee.data.text import bare_words
from unsee.metrics.detectors import is_fluent, is_refusal
from unsee.metrics.verdicts import UNSCORED, Verdict, score

Row = Mapping[str, Any]


def verdict(sample: Sample, answer: str | None, role: Role) -> Verdict:
    """What an answer did; whether it is right is unscored where the data gives no gold answer."""
    if answer is None:
        return UNSCORED
    if role in REFUSED or bare_words(sample.gold):
        return score(sample, answer, expects_refusal=role in REFUSED)
    return Verdict(correct=None, leaked=None, refused=is_refusal(answer), fluent=is_fluent(answer))


def row_of(
    condition: str, split: str, of: Set, sample: Sample, answer: str | None, *, seen: bool = False, reason: str = ""
) -> dict[str, Any]:
    """The line.

    Args:
        condition: name of what answered.
        split: name of the set.
        of: the set.
        sample: the question.
        answer: what was said, or None where nothing came.
        seen: whether the fit of what answered had this very prompt.
        reason: why nothing came.
    """
    found = verdict(sample, answer, of.role)
    row = {
        "condition": condition,
        "split": split,
        "role": of.role,
        "in_sample": seen or of.use != "test",
        "person": sample.subject,
        "id": sample.id,
        "form": sample.form,
        "question": sample.question,
        "image": sample.shown[0].id if sample.shown else None,
        "options": sample.options,
        "gold": sample.gold,
        "answer": answer,
        "correct": found.correct,
        "refused": found.refused,
        "leaked": found.leaked,
        "fluent": found.fluent,
    }
    return row | ({"reason": reason} if reason else {})
