"""States of single tokens: of each text token, and of each image the mean over its own; every one of unit norm.

`u_t = [h_t / |h_t|]` over the blocks read, side by side. A score that is linear in `u` can be taken token by token, in
whatever pieces a prompt comes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch

from unsee.erase.fit.blocks import run_blocks
from unsee.erase.steer.positions import in_last_turn
from unsee.errors import DataError
from unsee.models.generate import Conversation, encode_conversations, render_conversations
from unsee.models.load import LoadedModel
from unsee.models.turns import TurnTokens
from unsee.progress import Progress
from unsee.shapes import Bool, Float, Int, Tensor
from unsee.workers import Here, Workers


@final
@dataclass(frozen=True, eq=False)
class TokenStates:
    """States of N prompts at R blocks, float32 on the CPU.

    Attributes:
        text: of every text token, in the order of the prompts.
        prompt: the prompt of each.
        images: of every image, the mean over its tokens.
        shown: the prompt of each.
    """

    text: Float[Tensor, "T R D"]
    prompt: Int[Tensor, " T"]
    images: Float[Tensor, "M R D"]
    shown: Int[Tensor, " M"]


def unit(states: Float[Tensor, "*B D"]) -> Float[Tensor, "*B D"]:
    """`h / |h|`, in float32."""
    return torch.nn.functional.normalize(states.float(), dim=-1)


def capture_tokens(
    loaded: LoadedModel,
    prompts: Sequence[Conversation],
    layers: Sequence[int],
    batch_size: int = 16,
    progress: Progress | None = None,
    workers: Workers[LoadedModel] | None = None,
) -> TokenStates:
    """Token states of prompts at the inputs of these blocks; behind the last of them blocks run in one batch alone.

    Args:
        loaded: the model; it is only read.
        prompts: any number of turns and images each.
        layers: decoder blocks, counted from 0.
        batch_size: prompts per forward pass.
        progress: called with the number of prompts that each batch has added.
        workers: that hold the same model and share the batches; this process alone if None.

    Raises:
        OptionError: a layer is not legal.
        DataError: no prompt.
        ModelError: a block did not run exactly once, or it is not known which tokens are images.
    """
    text, images = dict[int, Tensor](), dict[int, Tensor]()
    batches, read = _batches(loaded, prompts, batch_size), _Tokens(tuple(layers))
    parts = ((number == 0, [prompts[i] for i in rows]) for number, rows in enumerate(batches))
    for number, found in (workers or Here(loaded)).map(read, parts):
        for i, (words, shown) in zip(batches[number], found, strict=True):
            text[i], images[i] = words, shown
        if progress is not None:
            progress(len(found))
    return TokenStates(*_joined(text), *_joined(images))


@final
@dataclass(frozen=True)
class _Tokens:
    """Of each prompt of a batch, the states of its text tokens and of its images."""

    layers: tuple[int, ...]

    def __call__(self, loaded: LoadedModel, part: tuple[bool, Sequence[Conversation]]) -> list[tuple[Tensor, Tensor]]:
        to_the_end, prompts = part
        ids, real, states = _read(loaded, prompts, self.layers, to_the_end)
        index, found = loaded.adapter.image_index(loaded.model, ids).cpu(), []
        for row in range(len(prompts)):
            shown = [states[row][real[row] & (index[row] == j)].mean(0) for j in range(1, int(index[row].max()) + 1)]
            words = states[row][real[row] & (index[row] == 0)]
            found.append((words, torch.stack(shown) if shown else states.new_zeros(0, *states.shape[2:])))
        return found


@final
@dataclass(frozen=True, eq=False)
class Turns:
    """Text of the last user turn of N prompts, from each of its sentences to the end; float32 on the CPU.

    Attributes:
        sums: of the unit-norm states of these tokens.
        tokens: how many they are.
        prompt: whose turn, ascending from 0; the first of each is the whole turn.
    """

    sums: Float[Tensor, "M R D"]
    tokens: Int[Tensor, " M"]
    prompt: Int[Tensor, " M"]


def capture_turns(
    loaded: LoadedModel,
    prompts: Sequence[Conversation],
    layers: Sequence[int],
    batch_size: int = 16,
    progress: Progress | None = None,
    parts: TurnTokens | None = None,
) -> Turns:
    """What a scope reads.

    Args: as `capture_tokens`, and
        parts: of this model, where they are known: finding them decodes a vocabulary.

    Raises: as `capture_tokens`.
    """
    found, parts = dict[int, tuple[Tensor, Tensor]](), parts or TurnTokens.of(loaded)
    for number, rows in enumerate(_batches(loaded, prompts, batch_size)):
        ids, real, states = _read(loaded, [prompts[i] for i in rows], layers, number == 0)
        ids = ids.cpu()
        text = real & (loaded.adapter.image_index(loaded.model, ids).cpu() == 0) & in_last_turn(ids, parts.opens)
        left = real.flip(1).long().cumsum(1).flip(1) - 1
        stops = torch.isin(ids, parts.stops) & (left > parts.tail)
        for row, i in enumerate(rows):
            said, ended = states[row][text[row]], stops[row][text[row]]
            sentence = torch.nn.functional.pad(ended.long().cumsum(0)[:-1], (1, 0))
            each = said.new_zeros(int(sentence.max()) + 1, *said.shape[1:]).index_add_(0, sentence, said)
            found[i] = _to_the_end(each), _to_the_end(torch.bincount(sentence))
        if progress is not None:
            progress(len(rows))
    counts = torch.tensor([len(found[i][1]) for i in range(len(prompts))])
    sums, tokens = (torch.cat([found[i][part] for i in range(len(prompts))]) for part in (0, 1))
    return Turns(sums, tokens, torch.repeat_interleave(torch.arange(len(prompts)), counts))


def _to_the_end(values: Tensor) -> Tensor:
    return values.flip(0).cumsum(0).flip(0)


def _batches(loaded: LoadedModel, prompts: Sequence[Conversation], batch_size: int) -> list[list[int]]:
    """Numbers of prompts of similar length."""
    if not prompts:
        raise DataError("there is no prompt to read tokens of, expected at least one")
    sizes = [len(text) for text in render_conversations(loaded, prompts)]
    order = sorted(range(len(prompts)), key=lambda i: (len(prompts[i].images), sizes[i]), reverse=True)
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]


def _read(
    loaded: LoadedModel, prompts: Sequence[Conversation], layers: Sequence[int], to_the_end: bool
) -> tuple[Int[Tensor, "B T"], Bool[Tensor, "B T"], Float[Tensor, "B T R D"]]:
    """Token ids, real tokens and unit-norm states of one batch."""
    inputs = dict(encode_conversations(loaded, prompts))
    found = run_blocks(loaded, layers, inputs, lambda _, h: unit(h).cpu(), to_the_end=to_the_end)
    states = torch.stack(found, dim=2)
    return inputs["input_ids"], inputs["attention_mask"].bool().cpu(), states


def _joined(by_prompt: Mapping[int, Tensor]) -> tuple[Tensor, Tensor]:
    ordered = [by_prompt[i] for i in range(len(by_prompt))]
    lengths = torch.tensor([len(one) for one in ordered])
    return torch.cat(ordered), torch.repeat_interleave(torch.arange(len(ordered)), lengths)


def last_token_of(loaded: LoadedModel, prompt: Conversation, name: str) -> int:
    """Number, among the prompt's text tokens, of the one that ends the last mention of a name.

    Raises:
        DataError: the rendered prompt does not hold the name.
    """
    (rendered,) = render_conversations(loaded, [prompt])
    place = rendered.rfind(name)
    if place < 0:
        raise DataError(f"prompt {prompt.id!r} does not hold the name that it is to show, expected it as written")
    marker = loaded.adapter.image_token(loaded.processor)
    begins = loaded.processor.tokenizer.bos_token
    tokenizer = loaded.processor.tokenizer
    special = not (begins is not None and rendered.startswith(begins))
    end, before = place + len(name), rendered[: place + len(name)]
    ids = tokenizer(rendered, add_special_tokens=special, return_offsets_mapping=True)
    images = before.count(marker) if marker else 0
    token = next(i for i, (start, stop) in enumerate(ids["offset_mapping"]) if stop >= end and stop > start)
    return token - images
