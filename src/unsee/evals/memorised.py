"""The memorisation gate: did the base model know the facts that it is to forget?

Forgetting proves nothing about facts that were never known, and public "vanilla" checkpoints answer multiple choice
hardly better than models that never saw the people (38.8 against 36.7 percent on MLLMU-Bench's forget set,
Open-MMunlearning). So before any comparison: base against never-knew model, question by question, with an interval
over people.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, final

from unsee.evals.values import Difference, Figure, Row, figure_of, paired, values_of

Finding = Literal["knew", "did not know", "undecided", "unscored"]

LEAST = 0.25
"""Least gain over the never-knew model that counts as knowledge: guessing among four options explains that much."""


@final
@dataclass(frozen=True)
class Memorised:
    """Whether one split was known before.

    Attributes:
        split: name of the split.
        base: accuracy of the base model over the questions that both models were scored on.
        never_knew: accuracy of the never-knew model over the same.
        gain: base less never-knew, in [-1, 1]; None where no question has both answers.
        unscored: questions that only one model was asked, or that one of them has no score for.
    """

    split: str
    base: Figure
    never_knew: Figure
    gain: Difference | None
    unscored: int

    @property
    def finding(self) -> Finding:
        """By the whole interval of the gain: above `LEAST`, below it, or neither."""
        if self.gain is None:
            return "unscored"
        if self.gain.interval is None:
            return "undecided"
        low, high = self.gain.interval
        return "knew" if low > LEAST else "did not know" if high < LEAST else "undecided"


def memorised(split: str, base: Sequence[Row], never_knew: Sequence[Row], seed: int = 0) -> Memorised:
    """What the taught facts of one split show.

    Args:
        split: its name.
        base: rows of the model before unlearning, paired by person and id, never by their place: releases join rows of
            unequal length.
        never_knew: of the model trained without the forgotten.
        seed: of the bootstrap.
    """
    mine, theirs = values_of(base, "right"), values_of(never_knew, "right")
    keys = [{(one.person, one.key) for one in side if one.number is not None} for side in (mine, theirs)]
    both = keys[0] & keys[1]
    of_both = ([one for one in side if (one.person, one.key) in both] for side in (mine, theirs))
    before, without = (figure_of(side, (0.0, 1.0), seed) for side in of_both)
    asked = {(one.person, one.key) for one in (*mine, *theirs)}
    return Memorised(split, before, without, paired(mine, theirs, (0.0, 1.0), seed), len(asked) - len(both))


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


def _line(found: Memorised) -> str:
    gain = found.gain
    if gain is None:
        return f"{found.split}: no question was answered by both models ({found.unscored} unscored)."
    spread = "no interval" if gain.interval is None else f"95 % {gain.interval[0]:+.0%} to {gain.interval[1]:+.0%}"
    before, without = found.base.value, found.never_knew.value
    return (
        f"{found.split}: {found.finding}. Base {before:.0%} right, never-knew {without:.0%}: gain "
        f"{gain.value:+.0%} ({spread}), expected above {LEAST:+.0%}; n = {gain.n}, {found.base.people} people, "
        f"{found.unscored} unscored."
    )
