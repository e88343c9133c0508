"""The checks that every reader makes on a record: strict JSON, texts, lists, options, images; one way of refusing."""

import json
import math
from collections.abc import Collection, Mapping
from hashlib import sha256
from string import ascii_uppercase
from typing import Any, NoReturn

from unsee.data.images import MOST_PIXELS, header
from unsee.data.sample import ImageFile
from unsee.errors import DataError, ImageError

Record = Mapping[str, Any]


def reject(at: str, field: str, got: object, expected: str) -> NoReturn:
    """Refuse one field of one record.

    Raises:
        DataError: always; says where, which field, what was got and what was expected.
    """
    shown = repr(got) if len(repr(got)) <= 120 else f"{repr(got)[:117]}..."
    raise DataError(f"{at}: {field} is {shown}, expected {expected}. Fix or remove that entry.")


def text(record: Record, field: str, at: str) -> str:
    """A field that must hold some text; an empty answer would count as leaked by every reply."""
    value = record.get(field)
    # JSON may spell half a surrogate pair, which no tokenizer and no file takes.
    if not isinstance(value, str) or not value.strip() or any("\ud800" <= letter <= "\udfff" for letter in value):
        reject(at, field, value, "some text")
    return value


def texts(record: Record, field: str, at: str) -> tuple[str, ...]:
    """A list of at least one text."""
    value = record.get(field)
    if not isinstance(value, list) or not value:
        reject(at, field, value, "a list of at least one text")
    return tuple(text({f"{field}[{n}]": entry}, f"{field}[{n}]", at) for n, entry in enumerate(value))


def records(value: object, field: str, at: str) -> list[Record]:
    """A list of at least one record."""
    if not isinstance(value, list) or not value or not all(isinstance(record, Mapping) for record in value):
        reject(at, field, value, "a list of at least one record")
    return value


def mapping(value: object, field: str, at: str) -> Record:
    """An object with at least one entry."""
    if not isinstance(value, Mapping) or not value:
        reject(at, field, value, "an object with at least one entry")
    return value


def lettered(options: object, at: str) -> dict[str, str]:
    """The options of a classification, letter to text, without letters that have none (null)."""
    given = {k: v for k, v in options.items() if v is not None} if isinstance(options, Mapping) else {}
    if not given:
        reject(at, "options", options, 'an object such as {"A": "Lisbon", "B": "Porto"}')
    for letter in given:
        # An answer is scored by its first letter, so a longer name could never be right.
        if not isinstance(letter, str) or len(letter) != 1 or letter not in ascii_uppercase:
            reject(at, "the name of an option", letter, "one capital letter")
    return {letter: text(given, letter, at) for letter in given}


def right_option(options: Mapping[str, str], answer: str, field: str, at: str) -> str:
    """The text of the right option."""
    if answer not in options:
        reject(at, field, answer, f"one letter out of {list(options)}")
    return options[answer]


def stored_image(value: object, id: str, at: str, field: str = "image") -> ImageFile:
    """The image of a column of `datasets`' Image type, {bytes, path}; its header is read, its pixels are not."""
    inside = value.get("bytes") if isinstance(value, Mapping) else value
    if not isinstance(inside, bytes) or not inside:
        reject(at, f"{field}.bytes" if isinstance(value, Mapping) else field, inside, "the bytes of an image file")
    return readable(ImageFile(id, inside), at, f"{field}.bytes")


def readable(image: ImageFile, at: str, field: str) -> ImageFile:
    """Refuse an image whose header cannot be read."""
    try:
        header(image.source, image.id)
    except ImageError as error:
        got = image.source[:16] if isinstance(image.source, bytes) else str(image.source)
        why = type(error.__cause__).__name__ if error.__cause__ else "DecompressionBomb"
        reject(at, field, got, f"an image file of at most {MOST_PIXELS} pixels ({why})")
    return image


def require_fields(record: Record, needed: Collection[str], optional: Collection[str], at: str) -> None:
    """Refuse a record that lacks a field, or has one that is not known."""
    if missing := sorted(set(needed) - set(record)):
        reject(at, missing[0], None, f"a value; a record has {sorted(needed)}")
    if unknown := sorted(set(record) - set(needed) - set(optional)):
        reject(at, "the name of a field", unknown[0], f"one of {sorted({*needed, *optional})}")


def unique(places: dict[str, str], key: str, at: str, field: str) -> None:
    """Note where a key was seen; refuse it where it was seen before."""
    if (first := places.setdefault(key, at)) != at:
        reject(at, field, key, f"an {field} of its own ({first} has the same)")


def pseudonym(prefix: str, name: str) -> str:
    """An id in place of a name, the same for the same name; a name as short as a person's can be found by trying."""
    return f"{prefix}-{sha256(name.strip().casefold().encode()).hexdigest()[:10]}"


def strict_json(text: str) -> Any:
    """What the JSON says.

    Raises:
        ValueError: it is no JSON, names a field twice, has NaN or an infinity, a number of over 4,300 digits, or is
            nested too deeply.
    """
    try:
        return json.loads(text, object_pairs_hook=_once, parse_constant=_no_number, parse_float=_finite)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # The last one would win without a word.
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the field {next(name for name in names if names.count(name) > 1)!r} is there twice")
    return found


def _finite(number: str) -> float:
    return float(number) if math.isfinite(float(number)) else _no_number(number)


def _no_number(number: str) -> NoReturn:
    raise ValueError(f"holds the number {number[:40]}, which is no JSON or too large")
