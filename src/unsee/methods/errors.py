"""What can go wrong while weights are changed; each says what happened, what was got, what was expected, what to do."""

import importlib
from types import ModuleType

from unsee.errors import UnseeError


class TrainingError(UnseeError, RuntimeError):
    """A training run cannot go on."""


class DivergenceError(TrainingError, ArithmeticError):
    """The loss or a gradient is NaN or infinite; names the step and the last good checkpoint."""


class RewardError(TrainingError, ValueError):
    """A reward could not be computed; it never counts as 0, or a crash would pass for forgetting."""


class MethodError(UnseeError, ValueError):
    """There is no such method, or it cannot serve this model or this data."""


class MissingExtraError(UnseeError, ImportError):
    """A library that only training needs is not installed."""


def extra(name: str) -> ModuleType:
    """A library that only training needs, asked for where it is used.

    Raises:
        MissingExtraError: it is not installed; says how to get it.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name.partition(".")[0]:
            raise
        raise MissingExtraError(
            f"{name.partition('.')[0]} is not installed, and this method needs it. "
            f"Install the extra: pip install 'unsee[{'track' if name == 'trackio' else 'train'}]'."
        ) from error
