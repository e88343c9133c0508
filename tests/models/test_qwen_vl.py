"""Qwen's parts are named; its patches are the processor's and let gradients through; images need no torchvision."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tiny_llava import LAYERS, WIDTH, noise_image, question, tiny_llava
from tiny_qwen import PATCH, tiny_qwen2_5_vl, tiny_qwen3_vl
from unsee.erase.fit.pgd import pgd
from unsee.erase.steer.call import Call
from unsee.errors import DataError, ImageError, ModelError
from unsee.models import QwenAdapter, adapter_for
from unsee.models.digest import weights_digest
from unsee.models.generate import encode, generate, log_probability
from unsee.models.load import LoadedModel, load
from unsee.models.qwen_video import VideoReader


@pytest.fixture(params=[tiny_qwen2_5_vl, tiny_qwen3_vl], ids=["qwen2_5_vl", "qwen3_vl"])
def loaded(request: pytest.FixtureRequest) -> LoadedModel:
    return request.param()


def test_layers_are_the_decoder_blocks(loaded: LoadedModel) -> None:
    adapter = adapter_for(loaded.model)
    assert isinstance(adapter, QwenAdapter) and adapter.family == loaded.model.config.model_type
    names = {id(module): name for name, module in loaded.model.named_modules()}
    blocks = [names[id(layer)] for layer in adapter.layers(loaded.model)]
    assert blocks == [f"model.language_model.layers.{i}" for i in range(LAYERS)]
    assert adapter.hidden_size(loaded.model) == WIDTH
    with pytest.raises(ModelError, match="got a LlavaForConditionalGeneration, expected a Qwen"):
        adapter.layers(tiny_llava().model)
    del loaded.model.model.language_model.layers[0]
    with pytest.raises(ModelError, match=r"found 2 decoder blocks in Qwen.* says 3"):
        adapter.layers(loaded.model)


def test_a_directory_comes_back_without_torchvision(loaded: LoadedModel, tmp_path: Path) -> None:
    loaded.model.save_pretrained(tmp_path)
    loaded.processor.save_pretrained(tmp_path)
    again = load(tmp_path, device="cpu")
    assert again.digest == loaded.digest == weights_digest(again.model)
    assert isinstance(again.processor.video_processor, VideoReader) and again.processor.tokenizer.padding_side == "left"
    samples = [question(0, "who?"), question(1, "where?", image=False)]
    assert generate(again, samples, max_new_tokens=4) == generate(loaded, samples, max_new_tokens=4)
    settings = json.loads((tmp_path / "processor_config.json").read_text())
    kind = type(loaded.model).__name__.removesuffix("ForConditionalGeneration")
    assert settings["processor_class"] == f"{kind}Processor"
    # What transformers opens it with where torchvision is there.
    assert settings["video_processor"]["video_processor_type"] in ("Qwen2VLVideoProcessor", "Qwen3VLVideoProcessor")
    assert settings["video_processor"]["patch_size"] == PATCH


def test_spread_over_devices_it_answers_the_same(loaded: LoadedModel, tmp_path: Path) -> None:
    loaded.model.save_pretrained(tmp_path)
    loaded.processor.save_pretrained(tmp_path)
    samples = [question(0, "who?")]
    expected = generate(loaded, samples, max_new_tokens=4)
    for places in ("auto", {"": "cpu"}):
        spread = load(tmp_path, device=places, dtype="float32")
        assert spread.device.type in ("cpu", "cuda") and spread.digest == loaded.digest
        assert spread.device.type == "cuda" or generate(spread, samples, max_new_tokens=4) == expected


@pytest.mark.parametrize("size", [(16, 16), (30, 21), (9, 40), (200, 100)])
def test_patches_are_the_processors(loaded: LoadedModel, size: tuple[int, int]) -> None:
    images = [noise_image(0, size), noise_image(1, size)]
    own = loaded.processor.image_processor([p.load() for p in images], return_tensors="pt")
    pixels = loaded.adapter.pixels(loaded.processor, images)
    _, down, across = own["image_grid_thw"][0].tolist()
    assert pixels.shape == (2, 3, down * PATCH, across * PATCH) and pixels.min() >= 0 and pixels.max() <= 1
    inputs = loaded.adapter.model_inputs(loaded.processor, pixels)
    assert torch.equal(inputs["image_grid_thw"], own["image_grid_thw"])
    torch.testing.assert_close(inputs["pixel_values"], own["pixel_values"], rtol=0, atol=1e-5)


def test_an_attack_goes_through_the_patches(loaded: LoadedModel) -> None:
    samples, targets = [question(0, "who?"), question(1, "where does she live?")], [["ann lee."], ["oslo", "yes"]]
    generator = torch.Generator().manual_seed(0)
    found = pgd(loaded, samples, targets, generator=generator, steps=8, step_size=4 / 255)
    assert (found.after > found.before + 0.05).all()
    # The numbers are those of the saved images, read again by the processor.
    tokens = loaded.processor.tokenizer("ann lee.", add_special_tokens=False)["input_ids"]
    again = log_probability(loaded, dict(encode(loaded, found.samples[:1])), [tokens])
    assert float(again.detach()) == pytest.approx(float(found.after[0]), abs=1e-3)


def test_answers_are_text_whatever_stands_before_them(loaded: LoadedModel) -> None:
    """Slow oracle: one token at a time by the library's own cross entropy."""
    sample, answer = question(0, "who?"), [40, 41, 42]
    inputs, total = dict(encode(loaded, [sample])), 0.0
    for token in answer:
        logits = loaded.model(**inputs).logits[0, -1].detach().double()
        total -= float(torch.nn.functional.cross_entropy(logits, torch.tensor(token)))
        column = torch.tensor([[token]])
        longer = {"input_ids": column, "attention_mask": torch.ones_like(column), "mm_token_type_ids": 0 * column}
        inputs = {k: torch.cat([v, longer[k].to(v)], dim=1) if k in longer else v for k, v in inputs.items()}
    got = log_probability(loaded, dict(encode(loaded, [sample])), [answer])
    assert float(got.detach()) == pytest.approx(total, abs=1e-3)


def test_images_of_several_sizes_share_a_batch(loaded: LoadedModel) -> None:
    sizes = [(16, 16), (24, 8), (24, 32)]
    samples = [replace(question(i), image=noise_image(i, size)) for i, size in enumerate(sizes)]
    inputs = encode(loaded, samples)
    marker = loaded.processor.image_token_id
    assert (inputs["input_ids"] == marker).sum(1).tolist() == [4, 3, 12]
    assert inputs["image_grid_thw"].tolist() == [[1, 4, 4], [1, 2, 6], [1, 8, 6]]
    together = generate(loaded, samples, max_new_tokens=4)
    assert together == [generate(loaded, [sample], max_new_tokens=4)[0] for sample in samples]
    with pytest.raises(DataError, match=r"3 images keep 3 resolutions \(.*\), so they are no one tensor"):
        loaded.adapter.pixels(loaded.processor, [s.image for s in samples if s.image])


def test_what_the_processor_would_choke_on_is_refused(loaded: LoadedModel) -> None:
    strip = replace(question(0), image=noise_image(0, (402, 2)))
    with pytest.raises(ImageError, match="is 402 x 2 pixels, expected neither side to be more than 200 times"):
        encode(loaded, [strip])
    with pytest.raises(DataError, match=r"1 video place\(s\) '<\|video_pad\|>', expected 0"):
        encode(loaded, [question(0, "what is <|video_pad|>?")])


def test_processors_that_cut_otherwise_are_refused(loaded: LoadedModel) -> None:
    adapter, processor = loaded.adapter, loaded.processor
    adapter.check(loaded.model, processor)
    with pytest.raises(ModelError, match="processor is a LlavaProcessor, expected a Qwen"):
        adapter.check(loaded.model, tiny_llava().processor)
    cases: list[tuple[Any, str, Any, str]] = [
        (processor.image_processor, "patch_size", 5, "patch_size is 5, but the model needs 4"),
        (processor.image_processor, "merge_size", 1, "merge_size is 1, but the model needs 2"),
        (processor.image_processor, "temporal_patch_size", 1, "temporal_patch_size is 1, but the model needs 2"),
        (processor, "image_token_id", 9, "token id of '<|image_pad|>' is 9, but the model needs 6"),
        (processor, "video_token_id", 9, "token id of '<|video_pad|>' is 9, but the model needs 7"),
        (processor, "chat_template", None, "has no chat template"),
        (processor.tokenizer, "pad_token", None, "no pad token"),
    ]
    for holder, name, value, text in cases:
        kept = getattr(holder, name)
        setattr(holder, name, value)
        with pytest.raises(ModelError, match=text.replace("|", r"\|")):
            adapter.check(loaded.model, processor)
        setattr(holder, name, kept)


def test_positions_of_four_planes_begin_with_those_of_the_text() -> None:
    planes = torch.arange(24).view(4, 2, 3)
    call = Call(2, 3, 0, None, None, planes)
    assert call.text_positions is not None and torch.equal(call.text_positions, planes[0])
    assert replace(call, position_ids=planes[1:]).text_positions is None
