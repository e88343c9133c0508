"""Does a text name somebody whom the vault protects? Rows of the log are never deleted, so it must not."""

import re
import unicodedata
from collections.abc import Iterable
from typing import final

from unsee.ledger.errors import PersonalDataError

SHORTEST_PART = 3
"""Letters from which a part of a name, alone, is taken to name the person that the record is about."""
_SEPARATORS = re.compile(r"[\W_]+")


@final
class Names:
    """Names to look for, those of the record itself in every part, those of others as a whole.

    Case, accents, width, invisible letters, punctuation and the order of the parts make no difference: "DOE, Jané" and
    "jane.doe@example.org" name Jane Doe. Scripts without spaces are searched letter by letter.
    """

    def __init__(self) -> None:
        self._whole: dict[str, dict[str, list[str]]] = {}
        self._records: set[str] = set()

    def __contains__(self, record: str) -> bool:
        return record in self._records

    def add(self, record: str, names: Iterable[str]) -> None:
        """Protect a record's names."""
        self._records.add(record)
        for name in names:
            parts = _parts(name)
            if parts:
                self._whole.setdefault(max(parts, key=len), {}).setdefault(record, []).append(name)

    def keep(self, records: set[str]) -> None:
        """Forget all others."""
        self._records &= records
        for key in list(self._whole):
            self._whole[key] = {record: found for record, found in self._whole[key].items() if record in records}

    def require_absent(self, what: str, text: str, record: str | None) -> None:
        """Refuse a text that names somebody.

        Raises:
            PersonalDataError: says where, and never the name.
        """
        parts, squeezed = _parts(text), "".join(_parts(text))
        for key, found in self._whole.items():
            if key not in squeezed:  # the longest part of every name must be in the text
                own = found.get(record or "", ())
                if not own:
                    continue
            for owner, names in found.items():
                if any(_names(name, parts, squeezed, owner == record) for name in names):
                    whom = "the person it is about" if owner == record else f"the person of {owner}"
                    raise PersonalDataError(
                        f"{what} names {whom}. Rows of the log are never deleted, so no name may stand in them, nor in "
                        "part. Nothing was written. Say 'the person', or put it into the vault with the request."
                    )


def _names(name: str, parts: list[str], squeezed: str, own: bool) -> bool:
    wanted = _parts(name)
    if "".join(wanted) in squeezed and (len("".join(wanted)) > SHORTEST_PART or not _spaced(name)):
        return True
    if all(part in parts for part in wanted):
        return True
    return own and any(len(part) >= SHORTEST_PART and _spaced(part) and part in parts for part in wanted)


def _parts(text: str) -> list[str]:
    """Words in one case, without accents, width and invisible letters."""
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
    kept = "".join(letter for letter in folded if unicodedata.category(letter) not in ("Mn", "Cf"))
    return [part for part in _SEPARATORS.split(kept) if part]


def _spaced(text: str) -> bool:
    """Whether the script puts spaces between words, and has letters rather than syllables or signs."""
    return not any(
        "CJK" in name or "HANGUL" in name or "KANA" in name
        for name in (unicodedata.name(letter, "") for letter in text)
    )
