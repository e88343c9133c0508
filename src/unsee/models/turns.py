"""Where a user's turn begins and ends in a rendered prompt, and which tokens end a sentence in it."""

from dataclasses import dataclass
from typing import Self, final

import torch

from unsee.models.generate import Conversation, render_conversations
from unsee.models.load import LoadedModel
from unsee.shapes import Int, Tensor

_NEVER = (-1,)
"""Stands for the marker of a template that has none: every token is then of the last turn."""
_FIRST, _SAID, _THEN = "one", "two", "three"
_ENDS = tuple(".?!\n\u3002\uff1f\uff01\u061f\u0964")


@final
@dataclass(frozen=True, eq=False)
class TurnTokens:
    """How a chat template and its tokenizer part a prompt.

    Attributes:
        opens: ids that stand before what the user says, in the first turn as in a later one; (-1,) where none do.
        tail: how many tokens stand behind the last thing that the user says.
        stops: ids of tokens that end a sentence.
    """

    opens: Int[Tensor, " M"]
    tail: Int[Tensor, "1"]
    stops: Int[Tensor, " E"]

    @classmethod
    def of(cls, loaded: LoadedModel) -> Self:
        """Of a model's template and tokenizer."""
        turns = (("user", _FIRST), ("assistant", _SAID), ("user", _THEN))
        messages = [{"role": role, "content": [{"type": "text", "text": text}]} for role, text in turns]
        (rendered,) = render_conversations(loaded, [Conversation("turns", messages)])  # pyright: ignore[reportArgumentType]
        tokenizer = loaded.processor.tokenizer
        encoded = tokenizer(rendered, add_special_tokens=False, return_offsets_mapping=True)
        ends, ids = [stop for _, stop in encoded["offset_mapping"]], list(encoded["input_ids"])
        after = rendered.rindex(_SAID) + len(_SAID)
        first = [token for token, stop in zip(ids, ends, strict=True) if stop <= rendered.index(_FIRST)]
        later = [token for token, stop in zip(ids, ends, strict=True) if after < stop <= rendered.rindex(_THEN)]
        shared = 0
        while shared < min(len(first), len(later)) and first[-1 - shared] == later[-1 - shared]:
            shared += 1
        tail = sum(stop > rendered.rindex(_THEN) + len(_THEN) for stop in ends)
        words = tokenizer.batch_decode([[token] for token in range(len(tokenizer))])
        stops = [token for token, word in enumerate(words) if any(end in word for end in _ENDS)]
        return cls(torch.tensor(later[len(later) - shared :] or _NEVER), torch.tensor([tail]), torch.tensor(stops))
