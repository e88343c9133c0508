"""Libraries that only training needs, asked for where they are used."""

import importlib
from types import ModuleType

from unsee.methods.errors import MissingExtraError


def extra(name: str) -> ModuleType:
    """The module of that name.

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
