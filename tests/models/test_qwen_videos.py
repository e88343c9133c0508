"""Videos of Qwen are encoded as transformers' own video processors do it, without torchvision."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from tiny_llava import noise_image, question
from tiny_qwen import PATCH, TEMPLATE, tiny_qwen2_5_vl, tiny_qwen3_vl
from unsee.data.sample import Sample
from unsee.errors import DataError, ImageError
from unsee.models.generate import Conversation, batches_by_length, encode, encode_conversations, generate
from unsee.models.load import LoadedModel, load
from unsee.models.qwen_video import VideoReader

# As the released templates: a video's place stands between the same marks as an image's.
MOVING = TEMPLATE.replace(
    "{% else %}{{ part['text'] }}",
    "{% elif part['type'] == 'video' %}<|vision_start|><|video_pad|><|vision_end|>{% else %}{{ part['text'] }}",
)


@pytest.fixture(params=[tiny_qwen2_5_vl, tiny_qwen3_vl], ids=["qwen2_5_vl", "qwen3_vl"])
def loaded(request: pytest.FixtureRequest) -> LoadedModel:
    made = request.param()
    made.processor.chat_template = MOVING
    return made


def shown(index: int, frames: int, size: tuple[int, int] = (16, 24), text: str = "who?") -> Sample:
    video = tuple(noise_image(100 * index + step, size) for step in range(frames))
    return replace(question(index, text, image=False), video=video)


def slow_patches(loaded: LoadedModel, sample: Sample) -> torch.Tensor:
    """Oracle: every number of every patch looked up by its place, with a loop for each of them."""
    frames = [loaded.adapter.pixels(loaded.processor, [frame])[0] for frame in sample.video]
    frames += [frames[-1]] * (len(frames) % 2)
    mean, std = loaded.adapter.image_normalisation(loaded.processor)
    _, height, width = frames[0].shape
    rows = []
    for part in range(0, len(frames), 2):
        for block in [(y, x) for y in range(0, height, 2 * PATCH) for x in range(0, width, 2 * PATCH)]:
            for dy, dx in ((0, 0), (0, PATCH), (PATCH, 0), (PATCH, PATCH)):
                top, left = block[0] + dy, block[1] + dx
                rows.append(
                    [
                        (float(frames[part + later][channel, top + y, left + x]) - mean[channel]) / std[channel]
                        for channel in range(3)
                        for later in range(2)
                        for y in range(PATCH)
                        for x in range(PATCH)
                    ]
                )
    return torch.tensor(rows)


@pytest.mark.parametrize(("frames", "size"), [(4, (16, 24)), (3, (24, 16)), (1, (8, 8))])
def test_patches_are_those_of_a_slow_oracle(loaded: LoadedModel, frames: int, size: tuple[int, int]) -> None:
    sample = shown(0, frames, size)
    inputs = encode(loaded, [sample])
    expected = slow_patches(loaded, sample)
    torch.testing.assert_close(inputs["pixel_values_videos"], expected, rtol=0, atol=1e-5)
    parts = -(-frames // 2)
    assert inputs["video_grid_thw"].tolist() == [[parts, size[1] // PATCH, size[0] // PATCH]]
    marker = loaded.processor.video_token_id
    places = inputs["input_ids"][0] == marker
    assert int(places.sum()) == len(expected) // 4 and "pixel_values" not in inputs
    assert torch.equal(places, inputs["mm_token_type_ids"][0] == 2)


def test_a_video_that_stands_still_is_its_image_many_times(loaded: LoadedModel) -> None:
    image = noise_image(0, (16, 24))
    still = encode(loaded, [replace(question(0, image=False), video=(image,) * 4)])
    alone = encode(loaded, [replace(question(0), image=image)])
    assert torch.equal(still["pixel_values_videos"], alone["pixel_values"].repeat(2, 1))


def test_time_is_told_as_each_family_tells_it(loaded: LoadedModel) -> None:
    inputs = encode(loaded, [shown(0, 4, (8, 8))])
    text = loaded.processor.tokenizer.decode(inputs["input_ids"][0])
    if loaded.adapter.family == "qwen2_5_vl":  # positions: one token of time for every second of two frames
        assert inputs["second_per_grid_ts"].tolist() == [1.0]
        expected = "<|vision_start|><|video_pad|><|video_pad|><|vision_end|>"
    else:  # words: the middle of two frames half a second apart
        one, two = (f"<{time} seconds><|vision_start|><|video_pad|><|vision_end|>" for time in ("0.2", "1.2"))
        expected = f"<|vision_start|>{one}{two}<|vision_end|>"
    assert text == f"<|im_start|>user\n{expected}who?<|im_end|>\n<|im_start|>assistant\n"


def test_videos_images_and_text_share_a_batch(loaded: LoadedModel) -> None:
    samples = [shown(0, 4), question(1, image=False), question(2), shown(3, 2, (24, 8)), shown(4, 3)]
    # Tokens of the videos: 12, 3 and 12, as the grids below say.
    assert batches_by_length(loaded, samples, 3) == [[0, 4, 3], [2, 1]]
    together = generate(loaded, samples, max_new_tokens=4)
    assert together == [generate(loaded, [sample], max_new_tokens=4)[0] for sample in samples]
    mixed = encode(loaded, samples)
    assert mixed["video_grid_thw"].tolist() == [[2, 6, 4], [1, 2, 6], [2, 6, 4]]
    backwards = generate(loaded, [replace(samples[0], video=samples[0].video[::-1])], max_new_tokens=4)
    assert backwards != together[:1]


def test_a_conversation_shows_both(loaded: LoadedModel) -> None:
    parts = [{"type": "video"}, {"type": "image"}, {"type": "video"}, {"type": "text", "text": "the same?"}]
    videos = (shown(0, 2, (8, 8)).video, shown(1, 4, (8, 16)).video)
    conversation = Conversation("both", [{"role": "user", "content": parts}], [noise_image(9)], videos)
    inputs = encode_conversations(loaded, [conversation])
    assert inputs["video_grid_thw"].tolist() == [[1, 2, 2], [2, 4, 2]]
    kinds = inputs["mm_token_type_ids"][0]
    assert kinds[kinds > 0].tolist() == [2] * 1 + [1] * 4 + [2] * 4


def test_limits_are_the_checkpoints_own(loaded: LoadedModel, tmp_path: Path) -> None:
    loaded.model.save_pretrained(tmp_path)
    loaded.processor.save_pretrained(tmp_path)
    sample = shown(0, 4, (64, 64))
    whole = encode(loaded, [sample])["video_grid_thw"].tolist()
    assert encode(load(tmp_path, device="cpu"), [sample])["video_grid_thw"].tolist() == whole
    # 32 pixels a side are the most of an image, and of a frame of Qwen2.5-VL; Qwen3-VL limits all frames together.
    own = loaded.adapter.family == "qwen2_5_vl"
    assert whole == ([[2, 8, 8]] if own else [[2, 16, 16]])
    file = tmp_path / "processor_config.json"
    settings = json.loads(file.read_text())
    settings["video_processor"]["size"] = {"shortest_edge": 64, "longest_edge": 16 * 16}
    file.write_text(json.dumps(settings))
    side = 4 if own else 2
    assert encode(load(tmp_path, device="cpu"), [sample])["video_grid_thw"].tolist() == [[2, side, side]]


def test_limits_of_older_directories() -> None:
    images: Any = tiny_qwen2_5_vl().processor.image_processor
    assert VideoReader(images).limited({"min_pixels": 64, "max_pixels": 256}).size == {
        "shortest_edge": 64,
        "longest_edge": 256,
    }
    assert VideoReader(images).limited({}).size == {}


@pytest.mark.parametrize(("size", "exact"), [((16, 24), True), ((32, 32), True), ((100, 60), False)])
def test_videos_are_those_of_transformers(loaded: LoadedModel, size: tuple[int, int], exact: bool) -> None:
    """Runs where torchvision works; its resizing is not Pillow's, so pixels are the same only where none is needed."""
    pytest.importorskip("torchvision")
    own = loaded.processor
    settings = own.to_dict()["video_processor"]
    kind = getattr(transformers, settings.pop("video_processor_type"))
    theirs = type(own).__bases__[0](own.image_processor, own.tokenizer, kind(**settings), chat_template=MOVING)
    samples = [shown(0, 4, size), question(1), shown(2, 3, size)]
    expected, inputs = encode(replace(loaded, processor=theirs), samples), encode(loaded, samples)
    assert inputs.keys() == expected.keys()
    for name, value in inputs.items():
        tolerance = 0 if "pixel" not in name else 1e-5 if exact else 0.05
        torch.testing.assert_close(value, expected[name], rtol=0, atol=tolerance)


def test_what_cannot_be_read_is_refused(loaded: LoadedModel) -> None:
    uneven = replace(shown(0, 1), video=(noise_image(0, (16, 16)), noise_image(1, (16, 24))))
    with pytest.raises(
        ImageError, match=r"begins with 'noise-0' has frames of 2 sizes \(16 x 16, 16 x 24\), expected one"
    ):
        encode(loaded, [uneven])
    with pytest.raises(ImageError, match="is 402 x 2 pixels"):
        encode(loaded, [shown(0, 2, (402, 2))])
    loaded.processor.chat_template = TEMPLATE
    with pytest.raises(DataError, match=r"'q0' has 0 video place\(s\) '<\|video_pad\|>', expected 1"):
        encode(loaded, [shown(0, 2)])
