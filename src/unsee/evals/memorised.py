"""The memorisation gate: did the base model know the facts that it is to forget?

Forgetting proves nothing about facts that were never known, and public "vanilla" checkpoints answer multiple choice
hardly better than models that never saw the people (38.8 against 36.7 percent on MLLMU-Bench's forget set,
Open-MMunlearning). So before any comparison: base against never-knew model, question by question, with an interval
over people.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, final

from unsee.errors import DataError, OptionError
from unsee.evals.stats import bootstrap_ci

Finding = Literal["knew", "did not know", "undecided", "unscored"]

LEAST = 0.25
"""Least gain over the never-knew model that counts as knowledge: guessing among four options explains that much."""


@final
@dataclass(frozen=True)
class Memorised:
    """Whether one split was known before.

    Attributes:
        split: name of the split.
        finding: "knew" where the whole interval of the gain is above `least`, "did not know" where it is below,
            "undecided" where it holds `least` or cannot be had, "unscored" where no question has both answers.
        base: accuracy of the base model over the paired questions, in [0, 1].
        never_knew: accuracy of the never-knew model over the same.
        gain: base less never-knew, in [-1, 1].
        interval: 95 % interval of the gain over people, or None where it cannot be estimated.
        least: the gain that is asked for.
        n: questions that both models were scored on.
        n_people: people they are about.
        unscored: questions that only one model was asked, or that one of them has no score for.
    """

    split: str
    finding: Finding
    base: float | None
    never_knew: float | None
    gain: float | None
    interval: tuple[float, float] | None
    least: float
    n: int
    n_people: int
    unscored: int


def memorised(
    records: Iterable[Mapping[str, Any]],
    splits: Sequence[str],
    *,
    base: str = "base",
    never_knew: str = "never_knew",
    least: float = LEAST,
    seed: int = 0,
) -> list[Memorised]:
    """What each split's taught facts show, from lines of `answers.jsonl`.

    The gain is `mean_q [base right] - [never-knew right]` over questions that both were scored on, its interval a
    bootstrap over people (`unsee.evals.stats.bootstrap_ci`). Questions are paired by person and id, never by
    their place in the file: releases join rows of unequal length.

    Args:
        records: with condition, split, person, id and correct; other conditions are passed over.
        splits: what to look at; one that no record names is unscored.
        base: condition of the model before unlearning.
        never_knew: condition of the model trained without the forgotten.
        least: gain in [0, 1) that counts as knowledge.
        seed: of the bootstrap.

    Raises:
        DataError: a record lacks a field, or two records of one condition answer the same question.
        OptionError: `least` is not in [0, 1).
    """
    if not 0 <= least < 1:
        raise OptionError(f"least is {least}, expected a gain in accuracy in [0, 1), such as {LEAST}")
    answers: dict[tuple[str, str], dict[tuple[str, str], float | None]]
    answers = {(split, condition): {} for split in splits for condition in (base, never_knew)}
    for number, record in enumerate(records):
        missing = {"condition", "split", "person", "id", "correct"} - record.keys()
        if missing:
            raise DataError(
                f"answer record {number} lacks {sorted(missing)}; it has {sorted(record)}. Take records of unsee's own "
                "answers.jsonl."
            )
        table = answers.get((record["split"], record["condition"]))
        if table is None:
            continue
        question = (str(record["person"]), str(record["id"]))
        if question in table:
            raise DataError(
                f"answer record {number}: condition {record['condition']!r} answers question {question[1]!r} of split "
                f"{record['split']!r} twice. Pass one run, or one record an answer."
            )
        table[question] = None if record["correct"] is None else float(record["correct"])
    return [_decide(name, answers[name, base], answers[name, never_knew], least, seed) for name in splits]


def warning(findings: Iterable[Memorised]) -> str | None:
    """What to say, loudly, above every table that follows; None where all splits were known."""
    lines = [_line(found) for found in findings if found.finding != "knew"]
    if not lines:
        return None
    return "\n".join(
        [
            "WARNING: it is not shown that the base model knew what it is to forget.",
            *(f"  {line}" for line in lines),
            "  Low accuracy after unlearning says nothing about such a split. Train the base model until it knows, ask",
            "  by generation and not by multiple choice alone, or leave the split out of the comparison.",
        ]
    )


Column = Mapping[tuple[str, str], float | None]


def _decide(split: str, base: Column, never_knew: Column, least: float, seed: int) -> Memorised:
    pairs = {
        question: (first, second)
        for question, first in base.items()
        if first is not None and (second := never_knew.get(question)) is not None
    }
    unscored = len(base.keys() | never_knew.keys()) - len(pairs)
    if not pairs:
        return Memorised(split, "unscored", None, None, None, None, least, 0, 0, unscored)
    people = [person for person, _ in pairs]
    before, without = ([pair[side] for pair in pairs.values()] for side in (0, 1))
    gains = [first - second for first, second in pairs.values()]
    n, interval = len(pairs), bootstrap_ci(gains, people, seed=seed)
    finding = _finding(interval, least)
    averages = (sum(before) / n, sum(without) / n, sum(gains) / n)
    return Memorised(split, finding, *averages, interval, least, n, len(set(people)), unscored)


def _finding(interval: tuple[float, float] | None, least: float) -> Finding:
    if interval is None:
        return "undecided"
    if interval[0] > least:
        return "knew"
    return "did not know" if interval[1] < least else "undecided"


def _line(found: Memorised) -> str:
    if found.gain is None or found.base is None or found.never_knew is None:
        return f"{found.split}: no question was answered by both models ({found.unscored} unscored)."
    spread = "no interval" if found.interval is None else f"95 % {found.interval[0]:+.0%} to {found.interval[1]:+.0%}"
    return (
        f"{found.split}: {found.finding}. Base {found.base:.0%} right, never-knew {found.never_knew:.0%}: gain "
        f"{found.gain:+.0%} ({spread}), expected above {found.least:+.0%}; n = {found.n}, {found.n_people} people, "
        f"{found.unscored} unscored."
    )
