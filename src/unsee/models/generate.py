"""From questions to model inputs, and from a model to its answers.

Prompts of one batch may mix images and plain text. Rows are padded on the left, so that the last column
is the position about to emit the first answer token in every row.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import torch
from transformers import BatchFeature

from unsee.data.prompts import Message, Style, chat
from unsee.data.sample import ImageFile, Sample
from unsee.errors import DataError, OptionError
from unsee.models.load import LoadedModel
from unsee.models.prompt_length import visual_tokens
from unsee.progress import Progress
from unsee.shapes import Float, Int, Tensor

_MEASURED = 512
"""Prompts that are tokenised at once to know their lengths: ids of all would be memory that grows with them."""


@final
@dataclass(frozen=True)
class Conversation:
    """A prompt of any number of turns, images and videos.

    Attributes:
        id: what errors call it.
        messages: as for `processor.apply_chat_template`; places are `{"type": "image"}` and `{"type": "video"}`.
        images: one per place, in order.
        videos: likewise; frames of one size, in the order of time.
    """

    id: str
    messages: Sequence[Message]
    images: Sequence[ImageFile] = ()
    videos: Sequence[Sequence[ImageFile]] = ()


def encode(loaded: LoadedModel, samples: Sequence[Sample], style: Style = "plain") -> BatchFeature:
    """Prompts with the generation prompt appended, images expanded, padded left, on the model's device.

    `input_ids` and `attention_mask` are [B T]; the image arguments hold the images in the order of the samples.

    Raises:
        DataError: no sample, a video for a model that takes none, or a rendered prompt has not exactly one place per
            image and video.
        ImageError: an image cannot be read.
    """
    return encode_conversations(loaded, [conversation_of(sample, style) for sample in samples])


def encode_conversations(loaded: LoadedModel, conversations: Sequence[Conversation]) -> BatchFeature:
    """As `encode`, for prompts of several turns or several images.

    Raises:
        DataError: no prompt, or one that has not exactly one place per image.
        ImageError: an image cannot be read.
    """
    texts = render_conversations(loaded, conversations)
    # One list per prompt: some processors would give all of a flat list to the first prompt.
    images = [[loaded.adapter.readable(image) for image in one.images] for one in conversations]
    options: dict[str, Any] = {
        "padding": True,
        "padding_side": "left",  # whatever somebody has set since: the model goes on after the last column
        "add_special_tokens": not _begins_itself(loaded, texts[0]),
        "return_tensors": "pt",
    }
    if loaded.adapter.image_token(loaded.processor) is not None:
        options["images"] = images if any(images) else None
    options |= loaded.adapter.video_arguments([video for one in conversations for video in one.videos])
    inputs = loaded.processor(text=texts, **options)
    # Moves everything, casts only what is floating: the images.
    return inputs.to(loaded.device, loaded.model.dtype)


def render(loaded: LoadedModel, samples: Sequence[Sample], style: Style = "plain") -> list[str]:
    """The prompts as text, with one placeholder per image.

    Raises:
        DataError: no sample, or a prompt has not exactly one placeholder per image.
    """
    return render_conversations(loaded, [conversation_of(sample, style) for sample in samples])


def conversation_of(sample: Sample, style: Style = "plain") -> Conversation:
    """A sample as a prompt of several turns."""
    images = () if sample.video else sample.shown
    return Conversation(sample.id, chat(sample, style), images, (sample.video,) if sample.video else ())


def render_conversations(loaded: LoadedModel, conversations: Sequence[Conversation]) -> list[str]:
    """As `render`, for prompts of several turns or several images.

    Raises:
        DataError: no prompt, or one that has not exactly one place per image.
    """
    if not conversations:
        raise DataError("there is no question to ask: got an empty list, expected at least one sample. Check filters.")
    write: Any = loaded.processor.apply_chat_template
    texts = [write(conversation.messages, add_generation_prompt=True) for conversation in conversations]
    marker, moving = loaded.adapter.image_token(loaded.processor), loaded.adapter.video_token(loaded.processor)
    for conversation, text in zip(conversations, texts, strict=True):
        if marker is None and conversation.images:
            raise DataError(
                f"sample {conversation.id!r} has an image, but {loaded.name!r} takes text alone. Ask it without "
                "images, or choose a vision-language model."
            )
        if moving is None and conversation.videos:
            raise DataError(
                f"sample {conversation.id!r} has a video, but {loaded.name!r} of family {loaded.adapter.family!r} "
                "takes none. Ask about one of its frames as an image, or choose a Qwen2.5-VL or Qwen3-VL."
            )
        # Placeholders are matched to images in order over the whole batch: one too many would show a person to
        # the question about another.
        shown = (("image", marker, conversation.images), ("video", moving, conversation.videos))
        for what, token, given in shown:
            if token is not None and (places := text.count(token)) != len(given):
                raise DataError(
                    f"the prompt of sample {conversation.id!r} has {places} {what} place(s) {token!r}, "
                    f"expected {len(given)}. Remove the marker from the question, or fix the model's chat template."
                )
    return texts


def append_tokens(
    loaded: LoadedModel, inputs: Mapping[str, Tensor], answers: Sequence[Sequence[int]], width: int
) -> dict[str, Tensor]:
    """The inputs with answer tokens after each prompt, padded on the right to `width` columns.

    The first answer token stands in the same column of every row; pads behind it are masked.

    Args:
        loaded: the model to be asked.
        inputs: prompts padded on the left, as `encode` makes them.
        answers: token ids per row; what exceeds `width` is cut.
        width: columns to append.
    """
    prompts = inputs["input_ids"]
    tokens = torch.full((len(answers), width), loaded.processor.tokenizer.pad_token_id, dtype=prompts.dtype)
    mask = torch.zeros_like(tokens)
    for row, answer in enumerate(answers):
        kept = torch.tensor(list(answer[:width]), dtype=prompts.dtype)
        tokens[row, : len(kept)] = kept
        mask[row, : len(kept)] = 1
    blocks = {"input_ids": tokens, "attention_mask": mask}
    # What says of every token whether it is text or an image: answers are text.
    blocks |= {name: torch.zeros_like(tokens) for name in ("token_type_ids", "mm_token_type_ids") if name in inputs}
    return {
        name: torch.cat([value, blocks[name].to(value)], dim=1) if name in blocks else value
        for name, value in inputs.items()
    }


def answer_tokens(loaded: LoadedModel, answers: Sequence[str]) -> list[list[int]]:
    """Token ids of answers as the model would emit them behind a prompt: no special token on either side.

    Raises:
        DataError: an answer has no token.
    """
    tokens = [loaded.processor.tokenizer(answer, add_special_tokens=False)["input_ids"] for answer in answers]
    for index, ids in enumerate(tokens):
        if not ids:
            raise DataError(f"answer {index} is {answers[index]!r}, expected at least one token. Remove its row.")
    return tokens


def log_probability(
    loaded: LoadedModel, inputs: Mapping[str, Tensor], answers: Sequence[Sequence[int]]
) -> Float[Tensor, " B"]:
    """`log P(y | prompt) = sum_t log p(y_t | y_<t, prompt)` of one answer per row, in nats; differentiable.

    Args:
        loaded: the model to be asked.
        inputs: prompts padded on the left, with their image arguments.
        answers: token ids per row; whether they end in the end token is the caller's choice.
    """
    return token_log_probabilities(loaded, inputs, answers).sum(1)


def token_log_probabilities(
    loaded: LoadedModel, inputs: Mapping[str, Tensor], answers: Sequence[Sequence[int]]
) -> Float[Tensor, "B T"]:
    """The terms of `log_probability`, by place in the answer; 0 behind its end."""
    width = max(len(answer) for answer in answers)
    full = append_tokens(loaded, inputs, answers, width)
    logits = loaded.model(**full, use_cache=False, logits_to_keep=width + 1).logits
    # The logits of a column speak about the next one, so the last column has nothing to say.
    log_p = logits[:, :-1].float().log_softmax(-1)
    chosen = log_p.gather(-1, full["input_ids"][:, -width:, None]).squeeze(-1)
    return chosen.masked_fill(full["attention_mask"][:, -width:] == 0, 0.0)


def batches_by_length(
    loaded: LoadedModel, samples: Sequence[Sample], batch_size: int, style: Style = "plain"
) -> list[list[int]]:
    """Indices of samples in batches of similar length, longest first, videos, images and plain text apart.

    The length is that of the text and of all tokens that the images become. Longest first, so that a batch too large
    for the memory fails at once and not after an hour.

    Raises:
        OptionError: `batch_size` is below 1.
        DataError: no sample.
        ImageError: an image cannot be read.
    """
    if batch_size < 1:
        raise OptionError(f"batch_size is {batch_size}, expected at least 1")
    lengths = visual_tokens(loaded, samples)
    for start in range(0, max(len(samples), 1), _MEASURED):
        texts = render(loaded, samples[start : start + _MEASURED], style)
        for number, ids in enumerate(loaded.processor.tokenizer(texts)["input_ids"], start):
            lengths[number] += len(ids)
    order = sorted(range(len(samples)), key=lambda i: (not samples[i].video, samples[i].image is None, -lengths[i]))
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]


def generate(
    loaded: LoadedModel,
    samples: Sequence[Sample],
    batch_size: int = 64,
    max_new_tokens: int = 32,
    style: Style = "plain",
    progress: Progress | None = None,
    **generation: Any,
) -> list[str]:
    """Answers in the order of the samples; greedy unless `generation` says otherwise.

    Only new tokens are decoded, without special tokens. A failure raises: no sample is answered by "".

    Args:
        loaded: the model to be asked.
        samples: one prompt each.
        batch_size: prompts per forward pass.
        max_new_tokens: longest answer, in tokens.
        style: as for `encode`.
        progress: called with the number of answers that each batch has added.
        **generation: passed to `model.generate`, as in `do_sample=True, temperature=0.7`.

    Raises:
        OptionError: a size is below 1, or more than one answer per prompt is asked for.
        DataError: no sample.
        ImageError: an image cannot be read.
    """
    if max_new_tokens < 1:
        raise OptionError(f"max_new_tokens is {max_new_tokens}, expected at least 1")
    if generation.get("num_return_sequences", 1) != 1:
        raise OptionError(
            f"num_return_sequences is {generation['num_return_sequences']}, expected 1: answers are one per sample. "
            "Call generate once per draw."
        )
    defaults = {
        "do_sample": False,
        "max_new_tokens": max_new_tokens,
        "pad_token_id": loaded.processor.tokenizer.pad_token_id,
    }
    # transformers types `generate` by a protocol that its own models do not meet.
    model: Any = loaded.model
    answers = [""] * len(samples)
    for indices in batches_by_length(loaded, samples, batch_size, style):
        inputs = encode(loaded, [samples[i] for i in indices], style)
        with torch.no_grad():
            tokens = model.generate(**inputs, **{**defaults, **generation})
        for index, answer in zip(indices, _decode(loaded, tokens, inputs["input_ids"].shape[1]), strict=True):
            answers[index] = answer
        if progress is not None:
            progress(len(indices))
    return answers


def _decode(loaded: LoadedModel, tokens: Int[Tensor, "B T"], prompt_length: int) -> list[str]:
    texts = loaded.processor.batch_decode(tokens[:, prompt_length:], skip_special_tokens=True)
    return [text.strip() for text in texts]


def _begins_itself(loaded: LoadedModel, text: str) -> bool:
    # A template that writes the start token itself would otherwise get a second one from the tokenizer.
    start = loaded.processor.tokenizer.bos_token
    return start is not None and text.startswith(start)
