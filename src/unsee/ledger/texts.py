"""What people type: checked, and refused by name of the field."""

import unicodedata
from datetime import date

from unsee.errors import OptionError

LONGEST = 2000


def plain_text(name: str, value: str) -> str:
    """A text that a person wrote, without white space around it, in composed Unicode.

    Raises:
        OptionError: empty, longer than 2,000 characters, or with control characters.
    """
    text = unicodedata.normalize("NFC", value).strip()
    if not text or len(text) > LONGEST:
        raise OptionError(f"{name} has {len(text)} characters, expected 1 to {LONGEST}. Say it in a sentence.")
    if any(unicodedata.category(letter) in ("Cc", "Cs") and letter != "\n" for letter in text):
        raise OptionError(f"{name} holds a control character or half a character: {text!r:.80}. Expected plain text.")
    return text


def a_day(name: str, text: str, *, earliest: date = date.min, latest: date = date.max) -> date:
    """A date that somebody typed, within limits.

    Raises:
        OptionError: not a date, or out of them.
    """
    try:
        day = date.fromisoformat(text)
    except ValueError as error:
        raise OptionError(f"{name} is {text!r:.40}, expected a date as 2026-05-31.") from error
    if not earliest <= day <= latest:
        limits = [f"not before {earliest}"] * (earliest > date.min) + [f"not after {latest}"] * (latest < date.max)
        raise OptionError(f"{name} is {day}, expected a day {' and '.join(limits)}.")
    return day
