"""How much each row may take: the same number of candidates and questions for all, so that none is favoured."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, final

from unsee.errors import OptionError


@final
@dataclass(frozen=True)
class Budget:
    """Every number that decides how long a cell takes.

    Attributes:
        candidates: values of a method's knob that are tried; see `unsee.experiments.table.tuning.tuned`.
        batches: optimiser steps of a method that learns by gradient, over as many batches of the forget set. Whatever
            else changes weights sees as many questions.
        batch_size: forget questions of one step; as many retained ones are beside them.
        grpo_steps: of a method that is reinforced.
        grpo_questions: of one such step, half of them forgotten ones; each is answered eight times.
        unknown: people more, whom nobody was told of, that ASRU redirects to; two questions each.
        tuning: questions of each side that choose a candidate.
        asked: at most so many questions of each set.
        draws: k of leak@k.
        attacked: questions of each set that an attack is tried on.
    """

    candidates: int = 3
    batches: int = 32
    batch_size: int = 8
    grpo_steps: int = 16
    grpo_questions: int = 2
    unknown: int = 400
    tuning: int = 48
    asked: int = 100
    draws: int = 8
    attacked: int = 60

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if type(value) is not int or value < 1:
                raise OptionError(f"{name} is {value!r}, expected a whole number of at least 1.")

    def changed(self, given: Mapping[str, Any]) -> "Budget":
        """With other numbers.

        Raises:
            OptionError: there is no number of that name, or it is not legal.
        """
        if unknown := [name for name in given if name not in asdict(self)]:
            raise OptionError(f"the budget has no {unknown[0]!r}, expected some of {list(asdict(self))}.")
        return replace(self, **given)

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


QUICK = Budget(
    batches=8, grpo_steps=2, unknown=40, tuning=16, asked=24, draws=4, attacked=16
)  # fmt: skip
"""Enough to see that everything runs; its figures mean nothing."""
