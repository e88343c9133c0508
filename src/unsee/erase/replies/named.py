"""A reply by the name that an operator knows it by, in words of his own."""

from typing import Literal

from unsee.erase.replies.base import Reply
from unsee.erase.replies.canned import CannedReply
from unsee.erase.replies.prefix import PrefixReply
from unsee.erase.replies.steer import SteerReply
from unsee.models.load import LoadedModel

ReplyKind = Literal["steer", "prefix", "canned"]


def reply_named(name: ReplyKind, loaded: LoadedModel, words: str) -> Reply:
    """Steering, or these words: as the opening ones (`prefix`) or as the whole answer (`canned`).

    Raises:
        OptionError: the model's tokenizer makes nothing of the words.
    """
    if name == "steer":
        return SteerReply()
    return (PrefixReply if name == "prefix" else CannedReply).with_words(loaded, words)
