"""Bytes to be hashed or signed, and moments as text."""

from datetime import UTC, datetime

from unsee.erase.strict_json import encoded
from unsee.errors import OptionError


def framed(*parts: bytes) -> bytes:
    """`p(x1) p(x2) ...` with `p(x)` the length of `x` (8 bytes, little-endian) and `x`: no two lists look alike."""
    return b"".join(len(part).to_bytes(8, "little") + part for part in parts)


def canonical(value: object) -> str:
    """JSON in ASCII with sorted keys, no spaces, floats by `repr`; NaN and infinity are refused."""
    return encoded(value, "the ledger").decode("ascii")


def stamp(at: datetime) -> str:
    """A moment as text that sorts by time: `2026-01-31T12:00:00.000000Z`.

    Raises:
        OptionError: a time without its zone.
    """
    if at.tzinfo is None:
        raise OptionError(f"the time is {at}, expected one with its zone, as in {at.isoformat()}Z")
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def utc_now() -> datetime:
    """The system's clock."""
    return datetime.now(UTC)
