"""What every aggregate returns: a value, how many items made it, and how many could not be scored.

An item is unscored when its value is None or NaN: no answer came, a parser found nothing, a judge failed. It is counted
and stays out of the mean, and never becomes a 0: a crash must not read as "forgotten".
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, final

from unsee.errors import DataError

Better = Literal["higher", "lower", "same", ""]
"""Which way is good: `same` means as the never-knew model has it, empty that the set is not scored so."""


@final
@dataclass(frozen=True)
class Estimate:
    """One number of a results table.

    Attributes:
        value: the aggregate, or None where nothing was scored.
        n: items behind the value.
        unscored: items that should have been behind it and are not.
    """

    value: float | None
    n: int
    unscored: int


@final
@dataclass(frozen=True)
class Card:
    """How to read one measure, for tables that compare models.

    Attributes:
        name: as it stands in result files; it names the variant.
        forget: which way is good on what must be forgotten.
        keep: which way is good on what must be kept.
        low: least possible value, or None where there is none.
        high: greatest possible value, or None where there is none.
    """

    name: str
    forget: Better
    keep: Better
    low: float | None = 0.0
    high: float | None = 1.0


def scored(values: Iterable[float | None]) -> list[float]:
    """The values that are there, as floats."""
    return [float(value) for value in values if value is not None and not math.isnan(value)]


def require_as_many(name: str, given: Sequence[object], expected: int) -> None:
    """Refuse columns of unequal length, which would shift every answer to another question.

    Raises:
        DataError: not as many as expected.
    """
    if len(given) != expected:
        raise DataError(
            f"got {len(given)} {name} for {expected} items, expected one each. Join them by id, with None where "
            "nothing came."
        )
