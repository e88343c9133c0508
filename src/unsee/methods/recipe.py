"""A recipe: one TOML file that says how a method is run on a full-size model, and what machine that takes.

TOML because Python reads it without another library and a recipe needs comments. `recipes/` holds those of the papers.
"""

import tomllib
from pathlib import Path
from typing import Any, final

from pydantic import Field

from unsee.errors import OptionError
from unsee.schema import Schema


@final
class Recipe(Schema):
    """What a recipe says.

    Attributes:
        method: name of a method that changes weights.
        settings: its options, `preset` among them.
        report_to: where transformers logs to.
        save_every: optimiser steps between checkpoints.
        machine: what it takes, for people.
        source: where the numbers are from, for people.
    """

    method: str
    settings: dict[str, Any] = Field(default_factory=dict)
    report_to: str = "none"
    save_every: int = Field(50, strict=True, ge=1)
    machine: str = ""
    source: str = ""


def read_recipe(path: Path) -> Recipe:
    """Read a recipe.

    Raises:
        OptionError: names the file, the field, what was got and what was expected.
    """
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise OptionError(f"cannot read the recipe {path}: {error}. Expected a TOML file, as in recipes/.") from error
    try:
        return Recipe(**given)
    except OptionError as error:
        raise OptionError(f"{path}: {error}. A recipe has a line such as method = 'npo'.") from None
