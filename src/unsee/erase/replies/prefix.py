"""`prefix`: the answer begins with fixed words, and the model goes on in its own."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, final

from unsee.erase.replies.base import FREE, follow, register, require_tokens
from unsee.models.generate import answer_tokens
from unsee.models.load import LoadedModel
from unsee.shapes import Int, Tensor


@register
@final
@dataclass(frozen=True)
class PrefixReply:
    """The opening words of a refusal are forced; what follows is free, or steered.

    Attributes:
        text: the words.
        tokens: of them, by the model's own tokenizer.
        steers: whether the states are steered as well, from the first token on.
    """

    kind: ClassVar[str] = "prefix"
    text: str
    tokens: tuple[int, ...]
    steers: bool = False

    @staticmethod
    def with_words(loaded: LoadedModel, text: str, steers: bool = False) -> "PrefixReply":
        """The answer begins with these words.

        Raises:
            DataError: there are none.
        """
        return PrefixReply(text, tuple(answer_tokens(loaded, [text])[0]), steers)

    def forced(self, step: Int[Tensor, "B T"]) -> Int[Tensor, "B T"]:
        """The words."""
        return follow(self.tokens, step, FREE)

    def as_json(self) -> dict[str, Any]:
        """Kind, words and tokens."""
        return {"kind": self.kind, "text": self.text, "tokens": list(self.tokens), "steers": self.steers}

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "PrefixReply":
        """As `as_json`."""
        return cls(*require_tokens(values.get("text"), values.get("tokens")), values.get("steers") is True)
