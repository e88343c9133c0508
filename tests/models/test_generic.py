"""A model that the library does not know is told where its parts are, and is served, or refused."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import Gemma3Config, Gemma3ForConditionalGeneration

from tiny_families import always, held_eraser, steered
from tiny_foreign import IDEFICS, LLAMA, tiny_idefics3, tiny_llama
from tiny_llava import LAYERS, WIDTH, noise_image, question, randomised
from unsee.erase.fit.activations import capture
from unsee.erase.steer.hooks import erased
from unsee.errors import ModelError
from unsee.models import GenericAdapter
from unsee.models.digest import weights_digest
from unsee.models.generate import generate
from unsee.models.load import LoadedModel, load
from unsee.models.text import TextProcessor


@pytest.fixture(params=[tiny_idefics3, tiny_llama], ids=["idefics3", "llama"])
def loaded(request: pytest.FixtureRequest) -> LoadedModel:
    return request.param()


def test_it_finds_what_it_was_told(loaded: LoadedModel) -> None:
    names = {id(module): name for name, module in loaded.model.named_modules()}
    decoder = "model.text_model" if loaded.adapter is IDEFICS else "model"
    assert names[id(loaded.adapter.text_model(loaded.model))] == decoder
    blocks = [names[id(layer)] for layer in loaded.adapter.layers(loaded.model)]
    assert blocks == [f"{decoder}.layers.{i}" for i in range(LAYERS)]
    assert loaded.adapter.hidden_size(loaded.model) == WIDTH
    loaded.adapter.check(loaded.model, loaded.processor)


def test_a_directory_is_loaded_by_the_names(loaded: LoadedModel, tmp_path: Path) -> None:
    loaded.model.save_pretrained(tmp_path)
    loaded.processor.save_pretrained(tmp_path)
    assert load(tmp_path, device="cpu").adapter.family == loaded.adapter.family
    again = load(tmp_path, device="cpu", adapter=loaded.adapter)
    assert again.digest == weights_digest(loaded.model)
    samples = [question(i, text, image=False) for i, text in enumerate(("who?", "where is ann?"))]
    assert generate(again, samples, max_new_tokens=4) == generate(loaded, samples, max_new_tokens=4)
    assert capture(again, samples, [0, 2]).last.shape == (2, 2, WIDTH)


def test_wrong_names_are_refused(loaded: LoadedModel) -> None:
    told: Any = loaded.adapter
    for name, value, text in [
        ("family", "opt", "got a model of family .*, but the adapter was told of 'opt'"),
        ("decoder", "model.brain", "has no module 'model.brain', which the adapter of"),
        ("blocks", "norm", r"found 0 decoder blocks in .* says 3"),
    ]:
        with pytest.raises(ModelError, match=text):
            replace(told, **{name: value}).layers(loaded.model)
    with pytest.raises(ModelError, match="names vision=None and image_marker='<image>': expected both"):
        GenericAdapter("llama", "model", image_marker="<image>")


def test_the_blocks_of_a_vision_tower_are_refused() -> None:
    loaded = tiny_idefics3()
    loaded.model.config.text_config.num_hidden_layers = 2
    tower = replace(IDEFICS, decoder="model.vision_model", blocks="encoder.layers")
    with pytest.raises(ModelError, match="lie in the vision tower 'model"):
        tower.check(loaded.model, loaded.processor)
    with pytest.raises(ModelError, match="has no token '<picture>', so images have no place"):
        replace(IDEFICS, image_marker="<picture>").check(tiny_idefics3().model, loaded.processor)


def test_attacks_are_refused(loaded: LoadedModel) -> None:
    text = "does not know how the pixels of family '.*' become patches"
    with pytest.raises(ModelError, match=text):
        loaded.adapter.pixels(loaded.processor, [noise_image(0)])
    with pytest.raises(ModelError, match=text):
        loaded.adapter.model_inputs(loaded.processor, torch.zeros(1, 3, 4, 4))
    with pytest.raises(ModelError, match=text):
        loaded.adapter.image_normalisation(loaded.processor)


def test_templates_that_take_one_string_get_one() -> None:
    loaded = tiny_llama()
    parts = [{"type": "text", "text": "who"}, {"type": "text", "text": "is it?"}]
    messages = [{"role": "user", "content": parts}, {"role": "assistant", "content": "ann."}]
    assert isinstance(loaded.processor, TextProcessor)
    text = loaded.processor.apply_chat_template(messages, add_generation_prompt=True)
    assert text == "[user] who\nis it? [assistant] ann. [assistant]"


def test_without_its_names_an_unknown_model_is_not_steered() -> None:
    loaded = replace(tiny_idefics3(), adapter=replace(IDEFICS, family="my-own"))
    loaded.model.config.model_type = "my-own"
    eraser = held_eraser(loaded)
    with pytest.raises(ModelError, match="supported families are"), erased(loaded.model, eraser):
        pass
    with steered(loaded, eraser):
        generate(loaded, [question(0, "who?", image=loaded.adapter is not LLAMA)], max_new_tokens=2)


def test_a_decoder_that_is_handed_a_mask_of_its_own_kind() -> None:
    """Gemma 3 makes a mask per kind of attention before its decoder runs; pads are known from the model's own."""
    text = {
        "vocab_size": 64, "hidden_size": WIDTH, "intermediate_size": 48, "num_hidden_layers": LAYERS,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "sliding_window": 8, "pad_token_id": 0,
    }  # fmt: skip
    vision = {
        "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2,
        "image_size": 16, "patch_size": 4,
    }  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = randomised(
            Gemma3ForConditionalGeneration(Gemma3Config(text_config=text, vision_config=vision, mm_tokens_per_image=4))
        )
    gemma = GenericAdapter("gemma3", "model.language_model", vision="model.vision_tower", image_marker="<image>")
    source = tiny_llama()
    eraser = replace(always(held_eraser(source)), family="gemma3")
    ids = torch.tensor([[0, 0, 5, 6, 7], [9, 8, 7, 6, 5]])
    mask = (ids != 0).long()
    with torch.no_grad():
        base = model(input_ids=ids, attention_mask=mask).logits
        with erased(model, eraser, adapter=gemma) as steering:
            moved = model(input_ids=ids, attention_mask=mask).logits
            alone = model(input_ids=ids[:1, 2:], attention_mask=mask[:1, 2:]).logits
            told = model.generate(input_ids=ids, attention_mask=mask, max_new_tokens=4, min_new_tokens=4)
        assert torch.equal(model(input_ids=ids, attention_mask=mask).logits, base)
    assert steering.positions == 2 * (2 + 1 + 2 * 4) and told.shape == (2, 9)
    torch.testing.assert_close(moved[0, 2:], alone[0], rtol=1e-4, atol=1e-4)
    assert not torch.equal(moved[:, -1], base[:, -1])
