"""The checks that every reader makes on a record: strict JSON, texts, options, and one way of refusing a field."""

import json
from collections.abc import Mapping
from string import ascii_uppercase
from typing import Any, NoReturn

from unsee.errors import DataError

Record = Mapping[str, Any]


def reject(at: str, field: str, got: object, expected: str) -> NoReturn:
    """Refuse one field of one record.

    Raises:
        DataError: always; says where, which field, what was got and what was expected.
    """
    shown = repr(got) if len(repr(got)) <= 120 else f"{repr(got)[:117]}..."
    raise DataError(f"{at}: {field} is {shown}, expected {expected}. Mend or remove that entry.")


def text(record: Record, field: str, at: str) -> str:
    """A field that must hold some text; an empty answer would count as leaked by every reply.

    Raises:
        DataError: the field is missing, empty, blank or not text.
    """
    value = record.get(field)
    # JSON may spell half a surrogate pair, which no tokenizer and no file takes.
    if not isinstance(value, str) or not value.strip() or any("\ud800" <= letter <= "\udfff" for letter in value):
        reject(at, field, value, "some text")
    return value


def lettered(options: object, at: str) -> dict[str, str]:
    """The options of a classification, letter to text, without letters that have none (null).

    Raises:
        DataError: they are not an object, one is not text, or a name is not one capital letter.
    """
    given = {k: v for k, v in options.items() if v is not None} if isinstance(options, Mapping) else {}
    if not given:
        reject(at, "options", options, 'an object such as {"A": "Lisbon", "B": "Porto"}')
    for letter in given:
        # An answer is scored by its first letter, so a longer name could never be right.
        if not isinstance(letter, str) or len(letter) != 1 or letter not in ascii_uppercase:
            reject(at, "the name of an option", letter, "one capital letter")
    return {letter: text(given, letter, at) for letter in given}


def strict_json(text: str) -> object:
    """What the JSON says.

    Raises:
        ValueError: it is no JSON, names a field twice, has NaN or an infinity, or a number of over 4,300 digits, or is
            nested too deeply.
    """
    try:
        return json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def parsed(line: str) -> object:
    """What the JSON says, or the text itself where it is no JSON, for the check that follows to show."""
    try:
        return strict_json(line)
    except ValueError:
        return line


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # The last one would win without a word.
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the field {next(name for name in names if names.count(name) > 1)!r} is there twice")
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")
