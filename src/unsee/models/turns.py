"""The tokens with which a chat template opens a user's turn."""

from unsee.models.generate import Conversation, render_conversations
from unsee.models.load import LoadedModel

_NEVER = (-1,)
"""Stands for the marker of a template that has none: every token is then of the last turn."""
_FIRST, _SAID, _THEN = "one", "two", "three"


def turn_marker(loaded: LoadedModel) -> tuple[int, ...]:
    """Token ids that stand before what the user says, in the first turn as in a later one; (-1,) where none do."""
    turns = (("user", _FIRST), ("assistant", _SAID), ("user", _THEN))
    messages = [{"role": role, "content": [{"type": "text", "text": text}]} for role, text in turns]
    (rendered,) = render_conversations(loaded, [Conversation("turns", messages)])  # pyright: ignore[reportArgumentType]
    encoded = loaded.processor.tokenizer(rendered, add_special_tokens=False, return_offsets_mapping=True)
    ends, ids = [stop for _, stop in encoded["offset_mapping"]], list(encoded["input_ids"])
    after = rendered.rindex(_SAID) + len(_SAID)
    first = [token for token, stop in zip(ids, ends, strict=True) if stop <= rendered.index(_FIRST)]
    later = [token for token, stop in zip(ids, ends, strict=True) if after < stop <= rendered.rindex(_THEN)]
    shared = 0
    while shared < min(len(first), len(later)) and first[-1 - shared] == later[-1 - shared]:
        shared += 1
    return tuple(later[len(later) - shared :]) or _NEVER
