"""What can go wrong while weights are changed; each says what happened, what was got, what was expected, what to do."""

from types import ModuleType

from unsee.errors import UnseeError
from unsee.extras import MissingExtraError as MissingExtraError
from unsee.extras import extra as library


class TrainingError(UnseeError, RuntimeError):
    """A training run cannot go on."""


class DivergenceError(TrainingError, ArithmeticError):
    """The loss or a gradient is NaN or infinite; names the step and the last good checkpoint."""


class RewardError(TrainingError, ValueError):
    """A reward could not be computed; it never counts as 0, or a crash would pass for forgetting."""


class MethodError(UnseeError, ValueError):
    """There is no such method, or it cannot serve this model or this data."""


def extra(name: str) -> ModuleType:
    """A library that only training needs, asked for where it is used.

    Raises:
        MissingExtraError: it is not installed; says how to get it.
    """
    return library(name, "track" if name == "trackio" else "train")
