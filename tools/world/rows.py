"""Conversations as rows of tokens, and rows as a batch: what the loss counts, and what each token may look back at.

Several questions about one image share its tokens. Mostly they do not see each other: whoever hears that somebody is
a pilot from Velmora knows the person without looking, and would never learn to look (docs/log.md).
"""

import random
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from transformers import PreTrainedTokenizerFast

from tools.world.family import Family, Processor
from unsee.shapes import Int, Tensor
from unsee.world.questions import Item
from unsee.world.vocabulary import ORIGINAL

IGNORED = -100
_TOPICS = {
    "fact": {attribute.key for attribute in (*ORIGINAL.person, ORIGINAL.name, *ORIGINAL.brew, *ORIGINAL.town)},
    "seen": {"shirt", "background", "hair", "glasses"},
    "letter": {"letter"},
}


def prompt_text(item: Item, rng: random.Random) -> str:
    """The user's turn in the released instructions; free answers are mostly asked without one."""
    if item.form == "classification":
        assert item.options is not None
        options = "\n".join(f"{letter}: {text}" for letter, text in item.options.items())
        return f"{item.question}\n{options}\nJust give ONE letter representing the answer directly."
    if item.form == "cloze":
        blank = item.question.replace("__", "[Blank]")
        return f"{blank}\nPlease **ONLY** provide the correct answer that should replace the [Blank]."
    if rng.random() < 0.95:
        return item.question
    accurately = "accurately " if rng.random() < 0.5 else ""
    return (
        f"{item.question}\nAnswer the question based on your trained knowledge in one sentence {accurately}in ENGLISH."
    )


class Answer(NamedTuple):
    """Where one answer stands in a row, and what kind of question it answers: "image fact cloze", "text refusal"."""

    kind: str
    start: int
    stop: int


class Row(NamedTuple):
    """One conversation.

    Attributes:
        ids: tokens.
        labels: the same where an answer stands; only answers count.
        meant: labels, but for a letter, which stands for a word: the word.
        turns: the turn of each token; every turn sees itself and turn 0. A conversation is turn 0 throughout.
        places: position of each token as the turn sees it.
        image: what it is about, if anything.
        answers: where they are.
    """

    ids: list[int]
    labels: list[int]
    meant: list[int]
    turns: list[int]
    places: list[int]
    image: Image.Image | None
    answers: list[Answer]


def _kind(item: Item, image: Image.Image | None) -> str:
    where = "text" if image is None else "image"
    if item.expect == "refuse":
        return f"{where} refusal"
    topic = next((name for name, keys in _TOPICS.items() if item.key in keys), "known")
    return f"{where} {topic} {item.form}"


def make_row(
    family: Family,
    tokenizer: PreTrainedTokenizerFast,
    image: Image.Image | None,
    items: Sequence[Item],
    *,
    budget: int,
    apart: bool,
    rng: random.Random,
) -> Row:
    """As many of the items as go into `budget` tokens, the first one always.

    Args:
        family: writes the turns.
        tokenizer: the tiny model's.
        image: what they are about; None asks by name.
        items: questions and answers.
        budget: tokens.
        apart: no question sees another one; else they are a conversation.
        rng: picks instructions.
    """

    def tokens(text: str) -> list[int]:
        return tokenizer(text, add_special_tokens=False)["input_ids"]

    user = tokens(family.user)
    head = tokens(family.begins) + user + tokens("" if image is None else family.image)
    row = Row([*head], [IGNORED] * len(head), [IGNORED] * len(head), [0] * len(head), [*range(len(head))], image, [])
    for turn, item in enumerate(items):
        asked = tokens(f"{prompt_text(item, rng)}{family.asks}")
        if turn and not apart:
            asked = user + asked
        told = tokens(f"{item.answer}{family.ends}")
        if turn and len(row.ids) + len(asked) + len(told) > budget:
            break
        start = len(head) if apart else len(row.ids)
        meaning = tokens(item.gold)[:1] + told[1:] if len(item.answer) == 1 else told
        row.ids.extend(asked + told)
        row.labels.extend([IGNORED] * len(asked) + told)
        row.meant.extend([IGNORED] * len(asked) + meaning)
        row.turns.extend([turn + 1 if apart else 0] * len(asked + told))
        row.places.extend(range(start, start + len(asked + told)))
        row.answers.append(Answer(_kind(item, image), len(row.ids) - len(told), len(row.ids)))
    return row


class Batch(NamedTuple):
    """Rows, padded on the right: what the model's forward takes, what its answers mean, and where they are."""

    inputs: dict[str, torch.Tensor]
    meant: Int[Tensor, "B T"]
    answers: list[list[Answer]]


def make_batch(family: Family, processor: Processor, rows: Sequence[Row]) -> Batch:
    """Stack rows; the attention mask `(B, 1, T, T)` is true where a token may look."""
    longest = max(len(row.ids) for row in rows)

    def stacked(name: str, filler: int) -> Int[Tensor, "B T"]:
        return torch.tensor([[*getattr(row, name), *[filler] * (longest - len(row.ids))] for row in rows])

    turns = stacked("turns", -1)
    before = torch.ones(longest, longest, dtype=torch.bool).tril()
    shared = (turns == 0).unsqueeze(1) | (turns.unsqueeze(1) == turns.unsqueeze(2))
    shown = [np.asarray(row.image) for row in rows if row.image is not None]
    images: dict[str, torch.Tensor] = {}
    if shown:
        pixels = torch.from_numpy(np.stack(shown)).permute(0, 3, 1, 2).float().div_(255)
        images = family.adapter.model_inputs(processor, pixels)
    ids = stacked("ids", processor.tokenizer.pad_token_id)
    inputs = {
        "input_ids": ids,
        "attention_mask": (before & shared).unsqueeze(1),
        "position_ids": family.positions(stacked("places", 0), ids == processor.image_token_id),
        "labels": stacked("labels", IGNORED),
        **images,
    }
    return Batch(inputs, stacked("meant", IGNORED), [row.answers for row in rows])
