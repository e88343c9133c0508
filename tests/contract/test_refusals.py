"""What steering cannot do is refused, with a text that says what to do instead."""

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import DynamicCache

from tiny_families import answer, logits, refused, require_clean, samples, steered
from tiny_llava import LAYERS, WIDTH
from unsee.erase.eraser import Eraser
from unsee.erase.gates.prompt_ridge import PromptRidgeGate
from unsee.erase.steer.hooks import Steering
from unsee.errors import MismatchError, OptionError, SteeringError
from unsee.models.generate import encode
from unsee.models.load import LoadedModel


def test_a_cache_from_elsewhere_is_refused(loaded: LoadedModel, either: Eraser) -> None:
    inputs = dict(encode(loaded, [samples(loaded)[1]]))
    with torch.no_grad():
        foreign = loaded.model(**inputs, use_cache=True).past_key_values
    longer = {
        "input_ids": torch.cat([inputs["input_ids"], torch.tensor([[7]])], dim=1),
        "attention_mask": torch.nn.functional.pad(inputs["attention_mask"], (0, 1), value=1),
    }
    more = {"input_ids": torch.tensor([[7]]), "past_key_values": foreign}
    refused(loaded, "seen another prompt: none", lambda _: logits(loaded, more), either)
    continued = longer | {"past_key_values": copy.deepcopy(foreign)}
    refused(loaded, "seen another prompt", lambda _: answer(loaded, continued), either)

    def own_prompt_first(_: Steering) -> None:
        kept = loaded.model(**inputs, use_cache=True)  # as many rows and columns as the other has
        logits(loaded, more)
        del kept

    refused(loaded, "seen another prompt: 1 row", own_prompt_first, either)

    def two_prompts_at_once(_: Steering) -> None:
        first = loaded.model(**inputs, use_cache=True)
        loaded.model(**inputs, use_cache=True)
        logits(loaded, {"input_ids": torch.tensor([[7]]), "past_key_values": first.past_key_values})

    refused(loaded, "finish one prompt before the next", two_prompts_at_once, either)


def test_a_conversation_goes_on_only_without_the_old_cache(loaded: LoadedModel, held: Eraser) -> None:
    inputs = dict(encode(loaded, [samples(loaded)[1]]))
    cache = DynamicCache(config=loaded.model.config.get_text_config())
    with steered(loaded, held):
        answer(loaded, inputs, past_key_values=cache)
        longer = {"input_ids": torch.cat([inputs["input_ids"], torch.full((1, 9), 7)], dim=1)}
        with pytest.raises(SteeringError, match="has not read"):
            answer(loaded, longer, past_key_values=cache)
        answer(loaded, longer)


def test_unmarked_pads_are_refused(loaded: LoadedModel, either: Eraser) -> None:
    inputs = encode(loaded, samples(loaded)[:2])
    texts = encode(loaded, [samples(loaded)[index] for index in (1, 3)])
    bare = {name: value for name, value in inputs.items() if name != "attention_mask"}
    refused(loaded, "hold pad tokens but no attention_mask", lambda _: answer(loaded, bare), either)
    refused(loaded, "hold pad tokens but no attention_mask", lambda _: logits(loaded, bare), either)
    refused(loaded, "does not say which tokens are pads", lambda _: logits(loaded, four_d(texts)), either)
    with steered(loaded, either):  # Without pads a mask is not needed.
        one = encode(loaded, samples(loaded)[:1])
        expected = answer(loaded, one)
        assert torch.equal(answer(loaded, {k: v for k, v in one.items() if k != "attention_mask"}), expected)


def four_d(inputs: Any) -> dict[str, Tensor]:
    width = inputs["input_ids"].shape[1]
    return {**inputs, "attention_mask": torch.zeros(inputs["input_ids"].shape[0], 1, width, width)}


def test_classifier_free_guidance_is_refused(loaded: LoadedModel, either: Eraser) -> None:
    inputs = encode(loaded, [samples(loaded)[1]])
    refused(loaded, "seen another prompt", lambda _: answer(loaded, inputs, guidance_scale=2.0), either)


def test_packed_rows_are_refused(loaded: LoadedModel, either: Eraser) -> None:
    ids = encode(loaded, [samples(loaded)[1]])["input_ids"]
    packed = {
        "input_ids": torch.cat([ids, ids], dim=1),
        "position_ids": torch.cat([torch.arange(ids.shape[1])] * 2).unsqueeze(0),
    }
    refused(loaded, "packed into one row", lambda _: logits(loaded, packed), either)


def test_rows_without_a_token_or_prompt_are_refused(loaded: LoadedModel, either: Eraser) -> None:
    inputs = dict(encode(loaded, [samples(loaded)[1]]))
    empty = inputs | {"attention_mask": torch.zeros_like(inputs["input_ids"])}
    refused(loaded, "one number per row", lambda _: logits(loaded, empty), either)
    refused(loaded, "without a prompt", lambda _: loaded.model.generate(), either)


def test_continuous_batching_and_copies_are_refused(loaded: LoadedModel, either: Eraser) -> None:
    ids = encode(loaded, [samples(loaded)[1]])["input_ids"].tolist()
    refused(loaded, "continuous batching", lambda _: loaded.model.generate_batch(ids), either)
    refused(loaded, "cannot be copied", lambda _: copy.deepcopy(loaded.model), either)


def test_an_eraser_for_another_model_is_refused(loaded: LoadedModel, held: Eraser) -> None:
    assert isinstance(held.gate, PromptRidgeGate)
    wide = replace(
        held, gate=replace(held.gate, weight=torch.zeros(2, 2, 2, 2 * WIDTH)), trajectory=torch.zeros(2, 1, 2 * WIDTH)
    )
    for eraser, text in (
        (wide, f"residual stream {2 * WIDTH} wide, this model's is {WIDTH}"),
        (replace(held, layers=(1, LAYERS)), rf"decoder layers \[{LAYERS}\] among others, this model has layers 0 to 2"),
        (replace(held, family="blip-2"), f"family 'blip-2', this one's is '{loaded.adapter.family}'"),
    ):
        with pytest.raises(MismatchError, match=text), steered(loaded, held, eraser):
            pass
        require_clean(loaded.model)
    with pytest.raises(OptionError, match="at least one"), steered(loaded):
        pass
