"""`canned`: the answer is a fixed text; no word is the model's."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, final

from unsee.erase.replies.base import follow, register, require_tokens
from unsee.errors import ModelError
from unsee.models.generate import answer_tokens
from unsee.models.load import LoadedModel
from unsee.shapes import Int, Tensor


@register
@final
@dataclass(frozen=True)
class CannedReply:
    """A text and the end of the answer, which stays forced.

    Attributes:
        text: the words.
        tokens: of them, by the model's own tokenizer, and the one that ends an answer.
    """

    kind: ClassVar[str] = "canned"
    text: str
    tokens: tuple[int, ...]

    @staticmethod
    def with_words(loaded: LoadedModel, text: str) -> "CannedReply":
        """The answer is these words.

        Raises:
            DataError: there are none.
            ModelError: neither the model nor its tokenizer names a token that ends an answer.
        """
        return CannedReply(text, (*answer_tokens(loaded, [text])[0], _end(loaded)))

    @property
    def steers(self) -> bool:
        """Never: no word is the model's."""
        return False

    def forced(self, step: Int[Tensor, "B T"]) -> Int[Tensor, "B T"]:
        """The words."""
        return follow(self.tokens, step, self.tokens[-1])

    def as_json(self) -> dict[str, Any]:
        """Kind, words and tokens."""
        return {"kind": self.kind, "text": self.text, "tokens": list(self.tokens)}

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "CannedReply":
        """As `as_json`."""
        return cls(*require_tokens(values.get("text"), values.get("tokens")))


def _end(loaded: LoadedModel) -> int:
    generation = loaded.model.generation_config
    named = None if generation is None else generation.eos_token_id
    named = loaded.processor.tokenizer.eos_token_id if named is None else named
    if named is None:
        raise ModelError(
            f"{loaded.name!r} names no token that ends an answer, so a fixed text cannot be ended. Set eos_token_id in "
            "generation_config.json."
        )
    return int(named[0] if isinstance(named, list) else named)
