"""Bytes to be hashed: every part preceded by its length, so that no two lists of parts give the same bytes."""

import hashlib
import unicodedata
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path

from unsee.erase.strict_json import encoded
from unsee.errors import OptionError

LONGEST_TEXT = 2000


def framed(*parts: bytes) -> bytes:
    """`p(x1) p(x2) ...` with `p(x)` the length of `x` (8 bytes, little-endian) and `x`, as artifacts frame theirs."""
    return b"".join(len(part).to_bytes(8, "little") + part for part in parts)


def canonical(value: object) -> str:
    """JSON in ASCII with sorted keys, no spaces, floats by `repr`; NaN and infinity are refused.

    Raises:
        ArtifactError: the value is not JSON.
    """
    return encoded(value, "the ledger").decode("ascii")


def active_digest(content_ids: Iterable[str], settings: Mapping[str, object], code: str) -> str:
    """Name of a set of requests in force: what every cache key of the server must hold.

    `"sha256:" + sha256(p("active set 1") p(n) p(id_1) ... p(id_n) p(settings) p(code))` over the sorted ids, the
    settings as canonical JSON, and the version of the code that steers. Order does not enter; a byte changed does.
    """
    ids = sorted(content_ids)
    parts = [b"active set 1", str(len(ids)).encode(), *(i.encode() for i in ids)]
    return f"sha256:{hashlib.sha256(framed(*parts, canonical(settings).encode(), code.encode())).hexdigest()}"


@cache
def code_version() -> str:
    """Version of unsee and a digest of the sources that steer, since a working copy changes without a new version."""
    home, digest = Path(__file__).parents[1], hashlib.sha256()
    for part in ("erase", "models"):  # by their files: importing them would import torch
        for source in sorted((home / part).rglob("*.py")):
            digest.update(framed(source.relative_to(home).as_posix().encode(), source.read_bytes()))
    return f"{version('unsee')}+{digest.hexdigest()[:16]}"


def plain_text(name: str, value: str) -> str:
    """A text that a person wrote, without white space around it, in composed Unicode.

    Raises:
        OptionError: empty, longer than 2,000 characters, or with control characters.
    """
    text = unicodedata.normalize("NFC", value).strip()
    if not text or len(text) > LONGEST_TEXT:
        raise OptionError(f"{name} has {len(text)} characters, expected 1 to {LONGEST_TEXT}. Say it in a sentence.")
    if any(unicodedata.category(letter) in ("Cc", "Cs") and letter != "\n" for letter in text):
        raise OptionError(f"{name} holds a control character or half a character: {text!r:.80}. Expected plain text.")
    return text


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
