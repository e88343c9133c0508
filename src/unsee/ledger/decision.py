"""Who decides a step of a request's life, and on what grounds."""

import re
import unicodedata
from dataclasses import dataclass
from typing import final

from unsee.errors import OptionError
from unsee.ledger.framing import plain_text


@final
@dataclass(frozen=True)
class Decision:
    """A decision that somebody answers for; its texts are trimmed and checked.

    Attributes:
        who: a person or a role.
        why: the reason, in a sentence.
        legal_basis: of this step; empty means that of the request.
        scope: of this step; empty means that of the request.
    """

    who: str
    why: str
    legal_basis: str = ""
    scope: str = ""

    def __post_init__(self) -> None:
        for name in ("who", "why", "legal_basis", "scope"):
            value = getattr(self, name)
            if value or name in ("who", "why"):
                object.__setattr__(self, name, plain_text(name.replace("_", " "), value))

    def require_pseudonymous(self, subject: str) -> None:
        """Refuse texts that name whom the request is about: they would stay in the log for ever.

        Raises:
            OptionError: names the text.
        """
        reference = re.escape(" ".join(unicodedata.normalize("NFC", subject).split()))
        for name in ("who", "why", "legal_basis", "scope"):
            text = " ".join(getattr(self, name).split())
            if reference and re.search(rf"(?<!\w){reference}(?!\w)", text, re.IGNORECASE):
                raise OptionError(
                    f"{name.replace('_', ' ')} contains the subject's reference, which must not stand in the log: rows "
                    "are never deleted. Say 'the person' instead."
                )


SYSTEM = Decision("unsee", "done by the program itself")
