"""How far a judge agrees with answers that were judged by hand: `python -m tools.detectors.judge_agreement`.

The hand-judged set, judge_labels.jsonl, holds answers of many shapes to questions about invented people, each
labelled on ASRU's scales at band values (contextual refusal and leakage 0, 1, 3, 5; naturalness 1, 3, 5), by reading,
before the rule was written. One person wrote answers, labels and rule, so agreement on other people's labels will be
lower. Records with an even number were used to mend the rule; those with an odd number were not, and are the ones to
quote.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, final, get_args

from unsee.errors import DataError
from unsee.evals.judge import DIMENSIONS, Judge, Judgement, judge_offline
from unsee.metrics.estimate import require_as_many

BANDS: Mapping[str, Sequence[int]] = {
    "contextual_refusal": (0, 1, 3, 5),
    "leakage": (0, 1, 3, 5),
    "naturalness": (1, 3, 5),
}
Part = Literal["fresh", "known", "all"]


@final
@dataclass(frozen=True)
class Label:
    """One answer judged by hand.

    Attributes:
        id: `j` and a number.
        part: "known" or "fresh".
        shape: what kind of answer it is, as in "leak in refusal".
        question: as put to the model.
        gold: the words that give the fact away.
        answer: what the model is taken to have said.
        judgement: the labels.
    """

    id: str
    part: str
    shape: str
    question: str
    gold: str
    answer: str
    judgement: Judgement


@final
@dataclass(frozen=True)
class Agreement:
    """Agreement in one dimension, by band.

    Attributes:
        accuracy: share of answers put into the same band, or None where none was scored.
        kappa: Cohen's kappa, 1 full agreement, 0 as by chance; None where chance alone agrees fully.
        n: answers scored by the judge.
        unscored: answers that it left unscored.
    """

    accuracy: float | None
    kappa: float | None
    n: int
    unscored: int


def labels(part: Part = "all") -> list[Label]:
    """The hand-judged answers, in the order of the file.

    Args:
        part: "known" to the author of the rule, "fresh", or both.

    Raises:
        DataError: a line of the file is not as written by us.
    """
    text = (Path(__file__).parent / "judge_labels.jsonl").read_text(encoding="utf-8")
    every = [_label(number, json.loads(line)) for number, line in enumerate(text.splitlines(), 1)]
    return [label for label in every if part in ("all", label.part)]


def agreement(judge: Judge = judge_offline, chosen: Sequence[Label] | None = None) -> dict[str, Agreement]:
    """Accuracy and Cohen's kappa of a judge against the hand, per dimension."""
    given = labels() if chosen is None else chosen
    judged = [judge(label.question, label.answer, label.gold) for label in given]
    return {
        name: compare(
            [getattr(label.judgement, name) for label in given], [getattr(found, name) for found in judged], BANDS[name]
        )
        for name in DIMENSIONS
    }


def compare(by_hand: Sequence[float], by_judge: Sequence[float | None], bands: Sequence[int]) -> Agreement:
    """`accuracy = mean[a = b]` and `kappa = (accuracy - chance) / (1 - chance)`, after putting scores into bands.

    Chance is `sum_c P(a = c) P(b = c)` (Cohen 1960). A score between bands goes to the nearest, the lower of two.

    Raises:
        DataError: the columns are of unequal length.
    """
    require_as_many("scores of the judge", by_judge, len(by_hand))
    pairs = [(band(a, bands), band(b, bands)) for a, b in zip(by_hand, by_judge, strict=True) if b is not None]
    n, unscored = len(pairs), len(by_hand) - len(pairs)
    if not pairs:
        return Agreement(None, None, 0, unscored)
    accuracy = sum(a == b for a, b in pairs) / n
    hand, judge = Counter(a for a, _ in pairs), Counter(b for _, b in pairs)
    chance = sum(hand[c] * judge[c] for c in bands) / n**2
    return Agreement(accuracy, None if chance == 1 else (accuracy - chance) / (1 - chance), n, unscored)


def band(score: float, bands: Sequence[int]) -> int:
    """The nearest band value, the lower of two that are equally near."""
    return min(bands, key=lambda value: (abs(value - score), value))


def disagreements(judge: Judge = judge_offline, chosen: Sequence[Label] | None = None) -> dict[str, dict[str, int]]:
    """How many answers of each shape the judge puts into another band, per dimension."""
    found: dict[str, Counter[str]] = {name: Counter() for name in DIMENSIONS}
    for label in labels() if chosen is None else chosen:
        judged = judge(label.question, label.answer, label.gold)
        for name in DIMENSIONS:
            score = getattr(judged, name)
            if score is not None and band(score, BANDS[name]) != getattr(label.judgement, name):
                found[name][label.shape] += 1
    return {name: dict(counts.most_common()) for name, counts in found.items()}


def table(judge: Judge = judge_offline) -> str:
    """The figures as text: one line per part of the labels and dimension."""
    lines = [f"{'labels':<10}{'dimension':<20}{'n':>5}{'unscored':>10}{'accuracy':>10}{'kappa':>8}"]
    for part in get_args(Part):
        for name, found in agreement(judge, labels(part)).items():
            figures = f"{_three(found.accuracy):>10}{_three(found.kappa):>8}"
            lines.append(f"{part:<10}{name:<20}{found.n:>5}{found.unscored:>10}{figures}")
    return "\n".join(lines)


def _three(figure: float | None) -> str:
    return "n/a" if figure is None else f"{figure:.3f}"


def _label(number: int, record: Mapping[str, Any]) -> Label:
    for name in DIMENSIONS:
        if record.get(name) not in BANDS[name]:
            raise DataError(
                f"judge_labels.jsonl, line {number}: {name} is {record.get(name)!r}, expected one of {BANDS[name]}. "
                "Install unsee again, or mend the line."
            )
    texts = [str(record[field]) for field in ("id", "part", "shape", "question", "gold", "answer")]
    return Label(*texts, judgement=Judgement(*(float(record[name]) for name in DIMENSIONS), reason="by hand"))


if __name__ == "__main__":
    print(table())
