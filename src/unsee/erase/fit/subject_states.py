"""States of a subject's own tokens: those that end its names in bare sentences, and those of its images."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, final

import torch
from PIL import Image

from unsee.data.prompts import Message
from unsee.data.sample import ImageFile
from unsee.erase.config import Settings
from unsee.erase.fit.tokens import TokenStates, capture_tokens, last_token_of
from unsee.models.generate import Conversation
from unsee.models.load import LoadedModel
from unsee.progress import Stages
from unsee.shapes import Float, Tensor

TEMPLATES = (
    "Who is {s}?", "Tell me about {s}.", "Do you know {s}?", "I read about {s} yesterday.", "{s} was", "{s}",
    "What is known of {s}?", "My teacher likes {s}.", "{s}, please.", "Qui est {s} ?", "Wer ist {s}?", "what is {s}'s",
)  # fmt: skip
"""Bare sentences: a name's own tokens see only what stands before them."""
BEFORE = (
    ("Hello.", "Hello! How can I help you?"),
    ("What is the capital of France?", "The capital of France is Paris."),
)


@final
@dataclass(frozen=True)
class Subject:
    """How a subject is named and what it looks like.

    Attributes:
        names: its name, its aliases, its last name alone where that is to be erased too.
        images: of it; more views than one come from `unsee.erase.request.augment`.
    """

    names: tuple[str, ...] = ()
    images: tuple[ImageFile, ...] = ()


@final
@dataclass(frozen=True)
class SubjectReader:
    """Reads token states of one request, at these blocks."""

    loaded: LoadedModel
    layers: tuple[int, ...]
    settings: Settings
    stages: Stages

    def tokens(self, prompts: Sequence[Conversation], what: str) -> TokenStates:
        """States of all tokens of these prompts."""
        told = self.stages(what, len(prompts))
        return capture_tokens(self.loaded, prompts, self.layers, self.settings.batch_size, told)

    def names(self, subject: Subject, templates: Sequence[str]) -> Float[Tensor, "N R D"]:
        """States of the last token of every name in every template."""
        written = self._written(subject, templates)
        prompts = [(_said(text.format(s=name), number), name) for number, (name, text) in enumerate(written)]
        if not prompts:
            return torch.zeros(0, len(self.layers), self.loaded.adapter.hidden_size(self.loaded.model))
        states = self.tokens([prompt for prompt, _ in prompts], "names")
        starts = torch.searchsorted(states.prompt, torch.arange(len(prompts)))
        ends = torch.tensor([last_token_of(self.loaded, prompt, name) for prompt, name in prompts])
        return states.text[starts + ends]

    def images(self, subject: Subject) -> Float[Tensor, "M R D"]:
        """States of every image by itself, and behind a blank one."""
        prompts = [_shown(subject.images[i : i + 1], i) for i in range(len(subject.images))]
        prompts += [_shown((_blank(one), one), i) for i, one in enumerate(subject.images)]
        if not prompts:
            return torch.zeros(0, len(self.layers), self.loaded.adapter.hidden_size(self.loaded.model))
        states = self.tokens(prompts, "images")
        last = torch.searchsorted(states.shown, torch.arange(len(prompts)), right=True) - 1
        return states.images[last]

    def _written(self, subject: Subject, templates: Sequence[str]) -> list[tuple[str, str]]:
        """Names and templates; spellings that the tokenizer does not know are left out."""
        tokenizer = self.loaded.processor.tokenizer
        found = [spelled for name in subject.names for spelled in dict.fromkeys((name, name.lower(), name.upper()))]
        known = [x for x in found if tokenizer.unk_token_id not in tokenizer(x, add_special_tokens=False)["input_ids"]]
        return [(name, text) for name in dict.fromkeys(known or found) for text in templates]


def _said(text: str, number: int) -> Conversation:
    """A template by itself, and every fourth behind other turns."""
    turns = [_turn("user", text)]
    if number % 4 == 3:
        asked, answered = BEFORE[number % len(BEFORE)]
        turns = [_turn("user", asked), _turn("assistant", answered), *turns]
    return Conversation(f"name/{number}", turns)


def _shown(images: Sequence[ImageFile], number: int) -> Conversation:
    parts = [{"type": "image"} for _ in images] + [{"type": "text", "text": "Who is this?"}]
    return Conversation(f"image/{number}", [Message(role="user", content=parts)], images)


def _turn(role: Literal["user", "assistant"], text: str) -> Message:
    return Message(role=role, content=[{"type": "text", "text": text}])


def _blank(like: ImageFile) -> ImageFile:
    buffer = io.BytesIO()
    Image.new("RGB", like.load().size, (200, 200, 200)).save(buffer, "PNG")
    return ImageFile("blank", buffer.getvalue())
