"""Prompts with videos are read and steered as prompts with images are, by the families that take them."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from tiny_families import (
    FAMILIES,
    FIRED,
    NEW,
    WRITTEN,
    always,
    answer,
    block_inputs,
    logits,
    longer,
    oracle_answer,
    samples,
    steered,
)
from tiny_llava import noise_image, question
from tiny_qwen import TEMPLATE
from unsee.data.prompts import Message
from unsee.data.sample import Sample
from unsee.erase.eraser import Eraser
from unsee.erase.fit.activations import capture_answers
from unsee.errors import DataError
from unsee.models.generate import Conversation, encode, encode_conversations
from unsee.models.load import LoadedModel

TAKES_VIDEOS = ("qwen2_5_vl", "qwen3_vl")
MOVING = TEMPLATE.replace(
    "{% else %}{{ part['text'] }}",
    "{% elif part['type'] == 'video' %}<|vision_start|><|video_pad|><|vision_end|>{% else %}{{ part['text'] }}",
)


def shown(index: int, frames: int, text: str = "who?") -> Sample:
    video = tuple(noise_image(100 * index + step, (16, 24)) for step in range(frames))
    return replace(question(index, text, image=False), video=video)


def mixed() -> list[Sample]:
    """Videos of several lengths, text and an image; fires as `FIRED` says: a video does, and the image does not."""
    return [
        shown(0, 4),
        shown(1, 3, "what does she do?"),
        question(2, "who is ann lee?", image=False),
        question(3, "what is her name?"),
        shown(4, 2, "and where does she live?"),
    ]


@pytest.fixture(scope="module", params=TAKES_VIDEOS)
def moving(request: pytest.FixtureRequest) -> LoadedModel:
    loaded = FAMILIES[request.param](0)
    loaded.processor.chat_template = MOVING
    return loaded


@pytest.fixture(scope="module")
def gated(moving: LoadedModel, opened: Any) -> Eraser:
    return opened(moving, mixed(), FIRED, 3)


def test_states_along_an_answer_to_a_video(moving: LoadedModel) -> None:
    said = ["ab", "c", "", "abcd", "ab"]
    asked = [replace(sample, answer=text) for sample, text in zip(mixed(), said, strict=True) if text]
    got = capture_answers(moving, asked, [sample.answer for sample in asked], [1], steps=3)
    for row, sample in enumerate(asked):
        tokens = moving.processor.tokenizer(sample.answer, add_special_tokens=False, return_tensors="pt")["input_ids"]
        inputs = longer(dict(encode(moving, [sample])), tokens[:, :2])
        received = block_inputs(moving, lambda inputs=inputs: logits(moving, inputs))[1][0]
        steps = min(tokens.shape[1], 2) + 1
        assert got.mask[row].tolist() == [step < steps for step in range(3)]
        torch.testing.assert_close(got.states[row, :steps, 0], received[-steps:], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("beams", [1, 4])
def test_a_batch_with_videos_is_each_row_alone(moving: LoadedModel, gated: Eraser, beams: int) -> None:
    inputs = encode(moving, mixed())
    base, kept = answer(moving, inputs, num_beams=beams), ~torch.tensor(FIRED)
    with steered(moving, gated) as steering:
        together = answer(moving, inputs, num_beams=beams)
        [reading] = steering.readings
        alone = torch.cat([answer(moving, encode(moving, [s]), num_beams=beams) for s in mixed()])
    assert reading is not None and reading.fired.tolist() == [fires for fires in FIRED for _ in range(beams)]
    assert torch.equal(together, alone)
    assert torch.equal(together[kept], base[kept])
    assert all(not torch.equal(together[row], base[row]) for row in (~kept).nonzero().flatten())


@pytest.mark.parametrize("options", [{"use_cache": False}, {"cache_implementation": "static"}], ids=str)
def test_caches_do_not_matter_for_videos(moving: LoadedModel, gated: Eraser, options: dict[str, Any]) -> None:
    inputs = encode(moving, mixed())
    with steered(moving, gated):
        assert torch.equal(answer(moving, inputs, **options), answer(moving, inputs))


def test_a_steered_video_answers_as_the_oracle(moving: LoadedModel, gated: Eraser) -> None:
    for index in (0, 4):
        inputs, eraser = encode(moving, [mixed()[index]]), always(gated)
        base = answer(moving, inputs)
        with steered(moving, eraser) as steering:
            said = answer(moving, inputs)
        assert steering.positions == len(WRITTEN) * NEW and not torch.equal(said, base)
        assert torch.equal(said[0], oracle_answer(moving, inputs, [eraser])[0])


def test_two_people_in_two_videos_of_several_turns(moving: LoadedModel, gated: Eraser) -> None:
    def turn(role: str, text: str, videos: int = 0) -> Message:
        return {"role": role, "content": [{"type": "video"}] * videos + [{"type": "text", "text": text}]}

    messages = [turn("user", "who?", 1), turn("assistant", "ann lee."), turn("user", "and who is this?", 1)]
    videos = (shown(0, 4).video, shown(1, 2).video)
    both, swapped = (Conversation("turns", messages, (), order) for order in (videos, videos[::-1]))
    eraser = always(gated)
    alone = [encode_conversations(moving, [one]) for one in (both, swapped)]
    assert not torch.equal(logits(moving, alone[0])[:, -1], logits(moving, alone[1])[:, -1])
    with steered(moving, eraser):
        said = [answer(moving, inputs)[0] for inputs in alone]
        assert torch.equal(answer(moving, encode_conversations(moving, [both, swapped])), torch.stack(said))
    for inputs, tokens in zip(alone, said, strict=True):
        assert torch.equal(oracle_answer(moving, inputs, [eraser])[0], tokens)


def test_other_families_refuse_videos(loaded: LoadedModel) -> None:
    if loaded.adapter.family in TAKES_VIDEOS:
        assert loaded.adapter.video_token(loaded.processor) == "<|video_pad|>"
        return
    text = f"sample 'q0' has a video, but '{loaded.name}' of family '{loaded.adapter.family}' takes none. Ask about one"
    with pytest.raises(DataError, match=text):
        encode(loaded, [shown(0, 2), *samples(loaded)])
