"""How a profile remembers whom it kept: keyed pseudonyms, enough to find an overlap, no names and no list to guess."""

import hmac
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Self, final

from unsee.data.text import bare_words
from unsee.errors import ArtifactError, OptionError

_LEAST = 16


@final
@dataclass(frozen=True)
class KeptSubjects:
    """A set of subjects that can be asked whether it holds one.

    `p(s) = HMAC-SHA256(key, s)`, the first 64 bits. Whoever lacks the key can neither try names nor tell that two
    profiles kept the same person. The key lies in the profile, so the profile stays with the operator.

    Attributes:
        key: at least 16 bytes, in hexadecimal.
        pseudonyms: of the subjects.
    """

    key: str = field(repr=False)
    pseudonyms: frozenset[str]

    @classmethod
    def of(cls, subjects: Iterable[str], key: bytes | None = None) -> Self:
        """Subjects under this key; under a fresh random one if None.

        Raises:
            OptionError: the key is shorter than 16 bytes.
        """
        key = secrets.token_bytes(32) if key is None else key
        if len(key) < _LEAST:
            raise OptionError(
                f"the key of retained subjects has {len(key)} bytes, expected at least {_LEAST}, such as "
                "secrets.token_bytes(32): a short one can be guessed. Leave it out for a random one."
            )
        return cls(key.hex(), frozenset(_pseudonym(key, subject) for subject in subjects))

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """As a profile keeps them.

        Raises:
            ArtifactError: it is no key with pseudonyms, as in profiles of older versions: those held unkeyed digests.
        """
        match value:
            case {"key": str(key), "pseudonyms": [*pseudonyms]} if all(isinstance(one, str) for one in pseudonyms):
                return cls(key, frozenset(pseudonyms))
            case _:
                raise ArtifactError(
                    "the profile does not say whom it kept by keyed pseudonyms, so it cannot be checked whether a "
                    "forgotten subject is among them. Make the profile again with this version."
                )

    def as_json(self) -> dict[str, Any]:
        """Plain values, for an artifact."""
        return {"key": self.key, "pseudonyms": sorted(self.pseudonyms)}

    def words(self, text: str) -> list[int]:
        """Keyed pseudonyms of the words of a text, each once: enough to find prompts that hold a name."""
        key = bytes.fromhex(self.key)
        return [int(_pseudonym(key, f"word {word}"), 16) >> 1 for word in dict.fromkeys(bare_words(text).split())]

    def __contains__(self, subject: str) -> bool:
        return _pseudonym(bytes.fromhex(self.key), subject) in self.pseudonyms


def _pseudonym(key: bytes, subject: str) -> str:
    return hmac.digest(key, subject.encode(), "sha256").hex()[:16]
