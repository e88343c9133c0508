"""The one form in which everything is hashed, signed and kept, and what people type: checked."""

import hashlib
import unicodedata
from datetime import UTC, date, datetime

from unsee.erase.strict_json import encoded
from unsee.errors import OptionError

LONGEST = 2000
ODD = ("Cc", "Cs", "Co", "Zl", "Zp")
REORDERING = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
"""What makes a text read otherwise than it is stored: a log must not."""


def canonical(value: object) -> bytes:
    """JSON in ASCII with sorted keys, no spaces, floats by `repr`; NaN and infinity are refused."""
    return encoded(value, "the ledger")


def digest(value: object) -> str:
    """`sha256:` and SHA-256 of the canonical JSON, so that no two values look alike."""
    return f"sha256:{hashlib.sha256(canonical(value)).hexdigest()}"


def stamp(at: datetime) -> str:
    """A moment as text that sorts by time: `2026-01-31T12:00:00.000000Z`."""
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def plain_text(name: str, value: str) -> str:
    """A text of 1 to 2,000 characters that a person wrote, trimmed, in composed Unicode; else OptionError."""
    text = unicodedata.normalize("NFC", value).strip()
    if not text or len(text) > LONGEST:
        raise OptionError(f"{name} has {len(text)} characters, expected 1 to {LONGEST}. Say it in a sentence.")
    if any((unicodedata.category(letter) in ODD and letter != "\n") or letter in REORDERING for letter in text):
        raise OptionError(f"{name} holds a control character or half a character: {text!r:.80}. Expected plain text.")
    return text


def a_day(name: str, text: str, earliest: date, latest: date) -> date:
    """A date within limits that somebody typed; else OptionError."""
    try:
        day = date.fromisoformat(text)
    except ValueError as error:
        raise OptionError(f"{name} is {text!r:.40}, expected a date as 2026-05-31.") from error
    if not earliest <= day <= latest:
        raise OptionError(f"{name} is {day}, expected a day not before {earliest} and not after {latest}.")
    return day
