"""Does a text name somebody whom the vault protects? Rows of the log are never deleted, so it must not."""

import re
import unicodedata
from collections.abc import Iterable
from typing import final

from unsee.ledger.errors import PersonalDataError

SHORTEST_PART = 3
"""Letters from which a part of a name, alone, is taken to name the person that the record is about."""
PARTICLES = frozenset((
    "and", "bin", "das", "del", "della", "den", "der", "des", "die", "dos", "een", "het", "las", "los", "the", "und",
    "van", "vom", "von", "zum", "zur",
))  # fmt: skip
"""Parts of names that, alone, name nobody: whoever is called van der Berg must not stop every text."""
_UNSPACED = ("CJK", "HANGUL", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR")
_SEPARATORS = re.compile(r"[\W_]+")


@final
class Names:
    """Names to look for, those of the record itself in every part, those of others as a whole.

    Case, accents, width, invisible letters, punctuation and the order of the parts make no difference: "DOE, Jané" and
    "jane.doe@example.org" name Jane Doe. Scripts without spaces are searched letter by letter.
    """

    def __init__(self) -> None:
        self._names: dict[str, list[list[str]]] = {}

    def __contains__(self, record: str) -> bool:
        return record in self._names

    def add(self, record: str, names: Iterable[str]) -> None:
        """Protect a record's names."""
        self._names[record] = [parts for name in names if (parts := _parts(name))]

    def keep(self, records: set[str]) -> None:
        """Forget all others."""
        self._names = {record: names for record, names in self._names.items() if record in records}

    def require_absent(self, what: str, text: str, record: str | None) -> None:
        """Refuse a text that names somebody: PersonalDataError says where, and never the name."""
        parts = _parts(text)
        for owner, names in self._names.items():
            if any(_named(name, parts, owner == record) for name in names):
                whom = "the person it is about" if owner == record else f"the person of {owner}"
                raise PersonalDataError(
                    f"{what} names {whom}. Rows of the log are never deleted, so no name may stand in them, nor in "
                    "part. Nothing was written. Say 'the person', or put it into the vault with the request."
                )


def _named(name: list[str], parts: list[str], own: bool) -> bool:
    """Whether the parts of a text hold those of a name: run together, each for itself, or one of one's own."""
    together = "".join(name)
    if together in "".join(parts) and (len(together) > SHORTEST_PART or not _spaced(together)):
        return True
    alone = (part for part in name if own and len(part) >= SHORTEST_PART and part not in PARTICLES and _spaced(part))
    return all(part in parts for part in name) or any(part in parts for part in alone)


def _parts(text: str) -> list[str]:
    """Words in one case, without accents, width and invisible letters."""
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
    kept = "".join(letter for letter in folded if unicodedata.category(letter) not in ("Mn", "Cf"))
    return [part for part in _SEPARATORS.split(kept) if part]


def _spaced(text: str) -> bool:
    """Whether the script puts spaces between words, and has letters rather than syllables or signs."""
    return not any(unicodedata.name(letter, "").startswith(_UNSPACED) for letter in text)
