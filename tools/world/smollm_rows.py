"""Conversations as tokens, many in one row: what the loss counts, and what each token may look back at.

Conversations of a row do not see each other, and several questions about one image share its tokens without seeing
each other; nothing is padding. The words around a turn are SmolLM2's own, without its default system prompt.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from transformers import PreTrainedTokenizerBase

from unsee.shapes import Bool, Int, Tensor
from unsee.world.smollm_parts import IMAGE_ID, IMAGE_TOKENS

IGNORED = -100
BEGINS, ENDS = "<|im_start|>{}\n{}", "<|im_end|>"
ANSWERS = "\n<|im_start|>assistant\n"


@dataclass(frozen=True)
class Turn:
    """One question and what is taught.

    Attributes:
        kind: what it tests: "name", "image", "unknown name", "unknown image", "visible", "general".
        question: the user's turn.
        answer: text, or tokens where they were generated.
    """

    kind: str
    question: str
    answer: str | tuple[int, ...]


@dataclass(frozen=True)
class Conversation:
    """One conversation, or several about the same image that do not see each other (`apart`)."""

    turns: tuple[Turn, ...]
    image: tuple[str, int] | None = None
    system: str | None = None
    apart: bool = False


class Span(NamedTuple):
    """Where an answer stands in a packed row."""

    kind: str
    start: int
    stop: int


class Packed(NamedTuple):
    """A row of conversations.

    Attributes:
        ids: tokens.
        labels: the same where an answer stands.
        conversations: number of the conversation of each token.
        branches: number of the question within it; 0 is seen by all.
        places: position of each token as its question sees it.
        images: what each run of image tokens shows.
        spans: the answers.
    """

    ids: list[int]
    labels: list[int]
    conversations: list[int]
    branches: list[int]
    places: list[int]
    images: list[tuple[str, int]]
    spans: list[Span]

    def mask(self) -> Bool[Tensor, "1 1 T T"]:
        """True where a token may look."""
        conversation, branch = torch.tensor(self.conversations), torch.tensor(self.branches)
        before = torch.ones(len(conversation), len(conversation), dtype=torch.bool).tril()
        shared = (branch == 0).unsqueeze(0) | (branch.unsqueeze(0) == branch.unsqueeze(1))
        return (before & shared & (conversation.unsqueeze(0) == conversation.unsqueeze(1)))[None, None]

    def pixels_at(self) -> Bool[Tensor, " T"]:
        """Which tokens are an image's."""
        return torch.tensor(self.ids) == IMAGE_ID


def tokens_of(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """Without anything before or behind."""
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids


def pack(conversations: Sequence[Conversation], tokenizer: PreTrainedTokenizerBase) -> Packed:
    """Put conversations one behind the other."""
    row = Packed([], [], [], [], [], [], [])
    for number, conversation in enumerate(conversations):
        _add(row, number, conversation, tokenizer)
    return row


def _add(row: Packed, number: int, conversation: Conversation, tokenizer: PreTrainedTokenizerBase) -> None:
    def put(ids: Sequence[int], place: int, branch: int, *, counts: bool = False) -> int:
        row.ids.extend(ids)
        row.labels.extend(ids if counts else [IGNORED] * len(ids))
        row.conversations.extend([number] * len(ids))
        row.branches.extend([branch] * len(ids))
        row.places.extend(range(place, place + len(ids)))
        return place + len(ids)

    system = "" if conversation.system is None else f"{BEGINS.format('system', conversation.system)}{ENDS}\n"
    place = put(tokens_of(tokenizer, system + BEGINS.format("user", "")), 0, 0)
    if conversation.image is not None:
        row.images.append(conversation.image)
        place = put([IMAGE_ID] * IMAGE_TOKENS + tokens_of(tokenizer, "\n"), place, 0)
    shared = place
    for index, turn in enumerate(conversation.turns):
        branch = index + 1 if conversation.apart else 0
        if conversation.apart:
            place = shared
        again = BEGINS.format("user", "") if index and not conversation.apart else ""
        before = "\n" + again if again else ""
        place = put(tokens_of(tokenizer, f"{before}{turn.question}{ENDS}{ANSWERS}"), place, branch)
        told = turn.answer if isinstance(turn.answer, tuple) else tokens_of(tokenizer, f"{turn.answer}{ENDS}")
        row.spans.append(Span(turn.kind, len(row.ids), len(row.ids) + len(told)))
        place = put(told, place, branch, counts=True)


def inputs_of(row: Packed) -> tuple[Int[Tensor, "1 T"], Int[Tensor, "1 T"]]:
    """Tokens and positions."""
    return torch.tensor([row.ids]), torch.tensor([row.places])
