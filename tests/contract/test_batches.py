"""A row of a batch is that row alone: other rows, pads and images of other prompts never reach it."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from tiny_families import (
    FIRED,
    NEW,
    always,
    answer,
    logits,
    oracle_answer,
    oracle_features,
    samples,
    sees,
    steered,
)
from tiny_llava import noise_image
from unsee.data.prompts import Message
from unsee.erase.eraser import Eraser
from unsee.erase.gates.prompt_ridge import PromptRidgeGate
from unsee.errors import DataError, SteeringError
from unsee.models.generate import Conversation, encode, encode_conversations
from unsee.models.load import LoadedModel


@pytest.mark.parametrize("beams", [1, 4])
def test_a_mixed_batch_is_each_row_alone(loaded: LoadedModel, either: Eraser, beams: int) -> None:
    inputs = encode(loaded, samples(loaded))
    with steered(loaded, either) as steering:
        together = answer(loaded, inputs, num_beams=beams)
        reading = steering.readings[0]
        alone = torch.cat([answer(loaded, encode(loaded, [s]), num_beams=beams) for s in samples(loaded)])
    assert torch.equal(together, alone)
    assert reading is not None
    expected = FIRED if isinstance(either.gate, PromptRidgeGate) else [True] * len(samples(loaded))
    assert reading.fired.view(len(samples(loaded)), beams).tolist() == [[fires] * beams for fires in expected]


@pytest.mark.parametrize("beams", [1, 4])
def test_rows_with_none_one_or_two_requests_are_each_row_alone(loaded: LoadedModel, opened: Any, beams: int) -> None:
    asked = samples(loaded)
    first = opened(loaded, asked, FIRED, 3)  # rows 0 and 2
    second = opened(loaded, asked, [True, False, False, True, False], 4)
    # The stronger steers where both fire; were they equally strong, rounding would decide.
    assert isinstance(second.gate, PromptRidgeGate)
    second = replace(second, gate=replace(second.gate, threshold=second.gate.threshold - 0.5))
    inputs = encode(loaded, asked)
    with steered(loaded, first, second) as steering:
        together = answer(loaded, inputs, num_beams=beams)
        readings = steering.readings
        alone = torch.cat([answer(loaded, encode(loaded, [sample]), num_beams=beams) for sample in asked])
    fired = [tuple(bool(reading.fired[row * beams]) for reading in readings if reading) for row in range(len(asked))]
    assert fired == [(True, True), (False, False), (True, False), (False, True), (False, False)]
    assert torch.equal(together, alone)
    base = answer(loaded, inputs, num_beams=beams)
    assert [torch.equal(row, other) for row, other in zip(together, base, strict=True)] == [not any(f) for f in fired]


@pytest.mark.parametrize("beams", [1, 4])
def test_rows_that_do_not_fire_are_bit_for_bit_those_of_the_base_model(
    loaded: LoadedModel, held: Eraser, beams: int
) -> None:
    inputs, kept = encode(loaded, samples(loaded)), ~torch.tensor(FIRED)
    base, said = logits(loaded, inputs), answer(loaded, inputs, num_beams=beams)
    with steered(loaded, held):
        moved, tokens = logits(loaded, inputs), answer(loaded, inputs, num_beams=beams)
    assert torch.equal(moved[kept], base[kept]) and torch.equal(tokens[kept], said[kept])
    for row in (~kept).nonzero().flatten():
        # The prompt before its last token is as it was, so a prefix cache of it stays valid.
        assert torch.equal(moved[row, :-1], base[row, :-1]) and not torch.equal(moved[row, -1], base[row, -1])
        assert not torch.equal(tokens[row], said[row])


def test_pads_never_enter_a_gate(loaded: LoadedModel, either: Eraser) -> None:
    asked = samples(loaded)[:2]
    inputs = encode(loaded, asked)
    pads = ~inputs["attention_mask"].bool()
    assert pads.any()

    def margins_with(value: float) -> Tensor:
        """What the gate reads where pads hold this value."""
        handle = loaded.adapter.layers(loaded.model)[0].register_forward_pre_hook(
            lambda _, args: (args[0].masked_fill(pads[..., None], value), *args[1:])
        )
        try:
            with steered(loaded, either) as steering:
                logits(loaded, inputs)
        finally:
            handle.remove()
        reading = steering.readings[0]
        assert reading is not None
        return reading.margins

    margins = margins_with(0.0)
    assert torch.equal(margins, margins_with(1e3))
    if isinstance(
        either.gate, PromptRidgeGate
    ):  # It reads first what was poisoned; attention then spreads NaN on its own.
        alone = [oracle_features(loaded, sample) for sample in asked]
        torch.testing.assert_close(margins, either.gate.margins(torch.stack(alone)), rtol=0, atol=1e-4)
        with pytest.raises(SteeringError, match="a gate read NaN, so nothing says whether it fires"):
            margins_with(float("nan"))


def test_right_padding_is_left_padding(loaded: LoadedModel, either: Eraser) -> None:
    texts = [samples(loaded)[index] for index in (1, 3)]
    left = encode(loaded, texts)
    lengths = left["attention_mask"].sum(1).tolist()
    assert lengths[0] != lengths[1]
    width = max(lengths)
    ids, mask = torch.full((2, width), 3), torch.zeros(2, width, dtype=torch.long)
    for row, length in enumerate(lengths):
        ids[row, :length], mask[row, :length] = left["input_ids"][row, width - length :], 1
    with steered(loaded, either) as steering:
        right = logits(loaded, {"input_ids": ids, "attention_mask": mask})
        right_reading = steering.readings[0]
        expected = logits(loaded, left)
        left_reading = steering.readings[0]
    assert right_reading is not None and left_reading is not None
    torch.testing.assert_close(right_reading.margins, left_reading.margins)
    for row, length in enumerate(lengths):
        torch.testing.assert_close(right[row, :length], expected[row, width - length :], rtol=1e-4, atol=1e-4)


def turn(role: str, text: str, images: int = 0) -> Message:
    return {"role": role, "content": [{"type": "image"}] * images + [{"type": "text", "text": text}]}


def test_two_people_in_two_images_of_one_prompt(loaded: LoadedModel, held: Eraser) -> None:
    people = (noise_image(0, (16, 16)), noise_image(2, (16, 24)))
    both = Conversation("both", [turn("user", "are these the same person?", 2)], people)
    swapped = Conversation("swapped", both.messages, people[::-1])
    other = Conversation("other", [turn("user", "who?")])
    if not sees(loaded):
        with pytest.raises(DataError, match=r"'both' has an image, but 'tiny-llama' takes text alone"):
            encode_conversations(loaded, [both])
        return
    conversations = [both, other, swapped]
    alone = [encode_conversations(loaded, [one]) for one in conversations]
    with steered(loaded, always(held)):
        together = answer(loaded, encode_conversations(loaded, conversations))
        said = [answer(loaded, inputs)[0] for inputs in alone]
    assert torch.equal(together, torch.stack(said))
    assert not torch.equal(logits(loaded, alone[0])[:, -1], logits(loaded, alone[2])[:, -1])
    for inputs, tokens in zip(alone, said, strict=True):
        assert torch.equal(oracle_answer(loaded, inputs, [always(held)])[0], tokens)


def test_a_conversation_of_several_turns(loaded: LoadedModel, held: Eraser) -> None:
    first, text = samples(loaded)[0], [turn("assistant", "ann lee."), turn("user", "and where does she live?")]
    images = (first.image,) if first.image else ()
    conversation = Conversation("turns", [turn("user", "who?", len(images)), *text], images)
    other = Conversation("other", [turn("user", "who?")])
    alone = encode_conversations(loaded, [conversation])
    with steered(loaded, always(held)) as steering:
        said = answer(loaded, alone)
        assert steering.positions == 2 * NEW  # the turns before the last are prompt
        assert torch.equal(answer(loaded, encode_conversations(loaded, [other, conversation]))[1:], said)
    assert torch.equal(oracle_answer(loaded, alone, [always(held)])[0], said[0])
