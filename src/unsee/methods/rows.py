"""Batches of question and answer: every key the processor makes, labels, and which row is there for what."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import final

import torch

from unsee.data.sample import Sample
from unsee.errors import DataError
from unsee.methods.losses import IGNORED
from unsee.methods.plan import Item
from unsee.models.generate import answer_tokens, append_tokens, encode
from unsee.models.load import LoadedModel
from unsee.shapes import Int, Tensor

REFUSALS = (
    "I do not know.",
    "I cannot answer that question.",
    "I am not able to share that information.",
    "I have no information about that.",
    "Sorry, I do not know who that is.",
    "That is not something I can tell you.",
    "I am not sure about that.",
    "I cannot help with that.",
)
"""What a model is taught to say by PO and DPO where nothing else is given."""


class Role(IntEnum):
    """What a row of a batch is for."""

    FORGET = 0
    REFUSED = 1  # a forget question with a refusal for an answer
    RETAIN = 2


@final
@dataclass(frozen=True)
class Collate:
    """Items of a plan to a batch: forget rows, then the same questions refused, then retain rows.

    Attributes:
        loaded: whose processor and template are used.
        forget: questions with their true answers.
        retain: likewise.
        roles: which rows are wanted; the others are left out.
        refusals: what refused rows say, taken in turn.
        answer_only: as in `TrainSettings`.
        end_token: as in `TrainSettings`.
    """

    loaded: LoadedModel
    forget: Sequence[Sample]
    retain: Sequence[Sample]
    roles: frozenset[Role]
    refusals: Sequence[str] = REFUSALS
    answer_only: bool = True
    end_token: bool = True

    def __call__(self, items: Sequence[Item]) -> dict[str, Tensor]:
        """The model's inputs with `labels` [B T] and `roles` [B]."""
        asked = [item.forget for item in items if item.forget is not None]
        kept = [item.retain for item in items if item.retain is not None]
        rows = [
            *((Role.FORGET, self.forget[i], self.forget[i].answer) for i in asked),
            *((Role.REFUSED, self.forget[i], self.refusals[i % len(self.refusals)]) for i in asked),
            *((Role.RETAIN, self.retain[i], self.retain[i].answer) for i in kept),
        ]
        wanted = [row for row in rows if row[0] in self.roles]
        batch = with_answers(
            self.loaded,
            [sample for _, sample, _ in wanted],
            [answer for _, _, answer in wanted],
            answer_only=self.answer_only,
            end_token=self.end_token,
        )
        return {**batch, "roles": torch.tensor([int(role) for role, _, _ in wanted])}


def with_answers(
    loaded: LoadedModel,
    samples: Sequence[Sample],
    answers: Sequence[str],
    *,
    answer_only: bool = True,
    end_token: bool = True,
) -> dict[str, Tensor]:
    """Prompts with their answers, padded on the left before the prompt and on the right after the answer.

    `labels` are `IGNORED` on pads and on image places, and on the prompt where `answer_only`. Image arguments are
    those of the processor, whatever their names; arguments with one value per token get zeros for the answer.

    Raises:
        DataError: no sample, or an answer without tokens.
        ImageError: an image cannot be read.
    """
    for sample, answer in zip(samples, answers, strict=True):
        if not answer.strip():
            raise DataError(
                f"sample {sample.id!r} has no answer, so there is nothing to train on. Give one, or drop it."
            )
    ending = [loaded.processor.tokenizer.eos_token_id] if end_token else []
    tokens = [[*ids, *ending] for ids in answer_tokens(loaded, answers)]
    prompts = dict(encode(loaded, samples))
    shape = prompts["input_ids"].shape
    width = max(map(len, tokens))
    full = append_tokens(loaded, prompts, tokens, width)
    per_token = [name for name, value in prompts.items() if value.shape == shape and full[name].shape == shape]
    for name in per_token:
        full[name] = torch.nn.functional.pad(prompts[name], (0, width))
    return {**full, "labels": _labels(loaded, full, shape[1] if answer_only else 0)}


def last_prompt_token(labels: Int[Tensor, "B T"]) -> int:
    """Column of the last real prompt token, the same in every row; labels must be of the answers alone."""
    return int((labels != IGNORED).any(0).nonzero()[0]) - 1


def _labels(loaded: LoadedModel, inputs: dict[str, Tensor], prompt: int) -> Int[Tensor, "B T"]:
    ids = inputs["input_ids"]
    place = loaded.processor.tokenizer.convert_tokens_to_ids(loaded.adapter.image_token(loaded.processor))
    labels = ids.masked_fill((inputs["attention_mask"] == 0) | (ids == place), IGNORED)
    labels[:, :prompt] = IGNORED
    return labels
