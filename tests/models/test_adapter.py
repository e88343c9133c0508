"""Adapters name the decoder's blocks and reproduce the processor's pixels, or refuse."""

import pytest
import torch
from transformers import CLIPProcessor

from tiny_llava import LAYERS, SIDE, WIDTH, noise_image, tiny_llava, tiny_processor
from unsee.errors import ModelError
from unsee.models import LlavaAdapter, adapter_for, adapter_named
from unsee.registry import MODELS


def test_the_table_finds_the_adapter_of_a_model() -> None:
    loaded = tiny_llava()
    assert isinstance(adapter_for(loaded.model), LlavaAdapter)
    assert all(entry.name == entry.make().family for entry in MODELS)


def test_an_unknown_family_is_refused_with_those_that_are_supported() -> None:
    with pytest.raises(ModelError, match=r"family is 'blip-2', supported families are .*'llava'"):
        adapter_named("blip-2")


def test_layers_are_the_decoder_blocks_and_not_the_vision_towers() -> None:
    loaded = tiny_llava()
    layers = loaded.adapter.layers(loaded.model)
    names = {id(module): name for name, module in loaded.model.named_modules()}
    assert [names[id(layer)] for layer in layers] == [f"model.language_model.layers.{i}" for i in range(LAYERS)]
    assert names[id(loaded.adapter.text_model(loaded.model))] == "model.language_model"
    assert loaded.adapter.hidden_size(loaded.model) == WIDTH


def test_the_text_model_receives_the_mask_the_cache_and_the_embeddings() -> None:
    loaded = tiny_llava()
    seen: dict[str, object] = {}
    text_model = loaded.adapter.text_model(loaded.model)
    handle = text_model.register_forward_pre_hook(lambda _, __, kwargs: seen.update(kwargs), with_kwargs=True)
    loaded.model(input_ids=torch.tensor([[5, 6]]), attention_mask=torch.ones(1, 2, dtype=torch.long))
    handle.remove()
    assert {"attention_mask", "past_key_values", "inputs_embeds"} <= set(seen)


def test_a_missing_block_is_refused() -> None:
    loaded = tiny_llava()
    del loaded.model.model.language_model.layers[0]
    with pytest.raises(ModelError, match=r"found 2 decoder blocks in LlavaForConditionalGeneration.* says 3"):
        loaded.adapter.layers(loaded.model)


@pytest.mark.parametrize("size", [(SIDE, SIDE), (40, 24), (9, 30)])
def test_normalised_pixels_are_the_processors_pixel_values(size: tuple[int, int]) -> None:
    loaded = tiny_llava()
    images = [noise_image(0, size), noise_image(1, size)]
    pixels = loaded.adapter.pixels(loaded.processor, images)
    expected = loaded.processor.image_processor([p.load() for p in images], return_tensors="pt")["pixel_values"]
    assert pixels.shape == (2, 3, SIDE, SIDE) and pixels.min() >= 0 and 0.9 < pixels.max() <= 1
    torch.testing.assert_close(loaded.adapter.normalise(loaded.processor, pixels), expected, rtol=0, atol=1e-5)
    inputs = loaded.adapter.model_inputs(loaded.processor, pixels)
    torch.testing.assert_close(inputs["pixel_values"], expected, rtol=0, atol=1e-5)


def test_a_processor_that_does_not_normalise_is_followed() -> None:
    processor = tiny_processor()
    processor.image_processor.do_normalize = False
    pixels = LlavaAdapter().pixels(processor, [noise_image(0)])
    assert torch.equal(LlavaAdapter().normalise(processor, pixels), pixels)


def test_processors_that_cannot_place_images_are_refused() -> None:
    loaded = tiny_llava()
    adapter = loaded.adapter
    adapter.check(loaded.model, loaded.processor)
    other = CLIPProcessor(loaded.processor.image_processor, loaded.processor.tokenizer)
    with pytest.raises(ModelError, match="processor is a CLIPProcessor, expected a LlavaProcessor"):
        adapter.check(loaded.model, other)
    for name, value, text in [
        ("patch_size", None, "patch_size is None, but the model needs 8"),
        ("vision_feature_select_strategy", "full", "is 'full', but the model needs 'default'"),
        ("chat_template", None, "has no chat template"),
    ]:
        processor = tiny_processor()
        setattr(processor, name, value)
        with pytest.raises(ModelError, match=text):
            adapter.check(loaded.model, processor)
    processor = tiny_processor()
    processor.tokenizer.pad_token = None
    with pytest.raises(ModelError, match="no pad token"):
        adapter.check(loaded.model, processor)
