"""What no gate may fire on: token states of prompts about others and about nobody, by group, kept with the profile.

Every group is in two halves that share no subject, so that a gate fitted on one can be tried on the other.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch

from unsee.data.sample import Sample, spread, subjects
from unsee.erase.fit.tokens import TokenStates, capture_tokens
from unsee.erase.kept_subjects import KeptSubjects
from unsee.models.generate import Conversation, conversation_of
from unsee.models.load import LoadedModel
from unsee.progress import Stages, silent
from unsee.shapes import Bool, Int, Tensor
from unsee.workers import Workers

MOST = 400
"""Prompts of a group and half: what a conformal limit of 0.5 % needs, and little to store."""


@final
@dataclass(frozen=True, eq=False)
class Background:
    """Token states of N background prompts.

    Attributes:
        layers: decoder blocks read, ascending.
        states: of all prompts.
        group: of each prompt, its group's number.
        half: of each prompt, whether it is in the second half.
        groups: names, such as "subjects" and "general".
        subject: of each image, the number of whom it shows; -1 where it came before: two questions on one photograph
            are one view.
        words: of each prompt, keyed pseudonyms of the words that it holds: row 0 which prompt, row 1 the pseudonym.
    """

    layers: tuple[int, ...]
    states: TokenStates
    group: Int[Tensor, " N"]
    half: Bool[Tensor, " N"]
    groups: tuple[str, ...]
    subject: Int[Tensor, " M"]
    words: Int[Tensor, "2 W"]

    def naming(self, names: Sequence[str], kept: KeptSubjects) -> Bool[Tensor, " N"]:
        """The prompts that hold all the words of one of these names: they are about the subject, and no background."""
        found = torch.zeros(len(self.half), dtype=torch.bool)
        for words in (kept.words(name) for name in names):
            held = torch.zeros(len(words), len(self.half), dtype=torch.bool)
            for number, word in enumerate(words):
                held[number, self.words[0, self.words[1] == word]] = True
            found |= held.all(0) if words else False
        return found

    def without(self, gone: Bool[Tensor, " N"]) -> "Background":
        """The other prompts, numbered again in the same order."""
        number, states = (~gone).cumsum(0) - 1, self.states
        text, shown, words = ~gone[states.prompt], ~gone[states.shown], ~gone[self.words[0]]
        left = TokenStates(
            states.text[text], number[states.prompt[text]], states.images[shown], number[states.shown[shown]]
        )
        return Background(
            self.layers, left, self.group[~gone], self.half[~gone], self.groups, self.subject[shown],
            torch.stack([number[self.words[0, words]], self.words[1, words]]),
        )  # fmt: skip

    def tensors(self) -> dict[str, Tensor]:
        """For an artifact: states in half precision."""
        states = self.states
        shown = {"images": states.images.half(), "shown": states.shown, "subject": self.subject}
        named = {"text": states.text.half(), "prompt": states.prompt, "group": self.group, "half": self.half}
        named |= {"words": self.words}
        return named | (shown if len(states.images) else {})

    @staticmethod
    def of(layers: Sequence[int], groups: Sequence[str], tensors: Mapping[str, Tensor]) -> "Background":
        """From what `tensors` gives."""
        text = tensors["text"].float()
        images = tensors["images"].float() if "images" in tensors else text.new_zeros(0, *text.shape[1:])
        shown, subject = (tensors.get(name, torch.zeros(0, dtype=torch.int64)) for name in ("shown", "subject"))
        states = TokenStates(text, tensors["prompt"], images, shown)
        return Background(
            tuple(layers), states, tensors["group"], tensors["half"], tuple(groups), subject, tensors["words"]
        )


def capture_background(
    loaded: LoadedModel,
    groups: Mapping[str, tuple[Sequence[Sample], Sequence[Sample]]],
    layers: Sequence[int],
    kept: KeptSubjects,
    batch_size: int = 16,
    most: int = MOST,
    stages: Stages = silent,
    workers: Workers[LoadedModel] | None = None,
) -> Background:
    """Read at most `most` prompts of each half of each group, evenly spaced.

    Args:
        loaded: the model; it is only read.
        groups: two halves by name; nobody is in both.
        layers: decoder blocks.
        kept: with the key of the words' pseudonyms.
        batch_size: prompts per forward pass.
        most: prompts of a group and half.
        stages: progress display.
        workers: as for `capture_tokens`.
    """
    chosen, number, second = list[Sample](), list[int](), list[bool]()
    for index, halves in enumerate(groups.values()):
        for is_second, samples in enumerate(halves):
            taken = spread(samples, most)
            chosen += taken
            number += [index] * len(taken)
            second += [bool(is_second)] * len(taken)
    told = stages("background prompts", len(chosen))
    prompts = [conversation_of(sample) for sample in chosen]
    states = capture_tokens(loaded, prompts, layers, batch_size, told, workers)
    halves = torch.tensor(number), torch.tensor(second)
    return Background(
        tuple(layers), states, *halves, tuple(groups), _shown_subjects(chosen, prompts), _words(prompts, kept)
    )


def _words(prompts: Sequence[Conversation], kept: KeptSubjects) -> Int[Tensor, "2 W"]:
    found = [
        (number, word)
        for number, prompt in enumerate(prompts)
        for word in kept.words(" ".join(part.get("text", "") for turn in prompt.messages for part in turn["content"]))
    ]
    return torch.tensor(found, dtype=torch.int64).view(-1, 2).mT.contiguous()


def _shown_subjects(samples: Sequence[Sample], prompts: Sequence[Conversation]) -> Int[Tensor, " M"]:
    """Whom each image shows. Where a prompt has several images, each counts as somebody else."""
    numbers, seen, found = dict[str, int](), set[bytes](), list[int]()
    for sample, prompt in zip(samples, prompts, strict=True):
        for place, image in enumerate(prompt.images):
            digest = hashlib.sha256(image.encoded).digest()
            name = sample.subject if len(prompt.images) == 1 else f"{sample.id}/{place}"
            found.append(-1 if digest in seen else numbers.setdefault(name, len(numbers)))
            seen.add(digest)
    return torch.tensor(found, dtype=torch.int64)


def halves(samples: Sequence[Sample]) -> tuple[list[Sample], list[Sample]]:
    """Samples in two halves; where they have several subjects, nobody is in both."""
    ids = subjects(samples)
    if len(ids) < 2:
        return list(samples[::2]), list(samples[1::2])
    second = set(ids[1::2])
    return [s for s in samples if s.subject not in second], [s for s in samples if s.subject in second]
