"""How long work tells how far it is: a stage has a name, a number of parts, and is told of each part done."""

from collections.abc import Callable

Progress = Callable[[int], None]
"""Told how many parts have just been done."""

Stages = Callable[[str, int], Progress]
"""Announces a stage and its number of parts; returns what is to be told of them."""


def silent(name: str, total: int) -> Progress:
    """A stage that shows nothing."""
    del name, total
    return lambda done: None
