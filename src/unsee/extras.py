"""Libraries that only some work needs, asked for where they are used."""

import importlib
from types import ModuleType

from unsee.errors import UnseeError


class MissingExtraError(UnseeError, ImportError):
    """A library of an extra is not installed."""


def extra(module: str, name: str) -> ModuleType:
    """The module, which `pip install 'unsee[name]'` brings.

    Raises:
        MissingExtraError: it is not installed; says how to get it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        library = module.partition(".")[0]
        if error.name != library:
            raise
        raise MissingExtraError(
            f"{library} is not installed, and this needs it. Install the extra: pip install 'unsee[{name}]'."
        ) from error
