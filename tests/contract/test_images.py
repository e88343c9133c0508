"""A gate can tell, of every token that it reads, whether it is text or which image of the row it belongs to."""

from typing import Any

import pytest
import torch
from torch import Tensor

from tiny_families import FAMILIES, answer, logits, samples, sees, steered
from tiny_llava import noise_image
from unsee.data.prompts import Message
from unsee.erase.eraser import Eraser
from unsee.erase.steer.policy import LatchedPolicy
from unsee.errors import ModelError, SteeringError
from unsee.models.generate import Conversation, encode, encode_conversations
from unsee.models.load import LoadedModel

Seen = list[tuple[Tensor, Tensor]]


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Seen:
    """Images and real tokens of each call, as the first decoder block's reader sees them."""
    calls: Seen = []
    read = LatchedPolicy.read

    def spy(self: LatchedPolicy, layer: int, states: Tensor, steps: Any) -> None:
        if layer == 0:
            assert steps.images.shape == states.shape[:2]
            calls.append((steps.images, steps.real))
        read(self, layer, states, steps)

    monkeypatch.setattr(LatchedPolicy, "read", spy)
    return calls


def shown(number: int, *parts: int | str) -> Conversation:
    """One user turn of texts and images, in this order."""
    kinds = [{"type": "image"} if isinstance(part, int) else {"type": "text", "text": part} for part in parts]
    images = [noise_image(part) for part in parts if isinstance(part, int)]
    return Conversation(str(number), [Message(role="user", content=kinds)], images)


def walked(loaded: LoadedModel, ids: Tensor) -> Tensor:
    """Oracle: token by token; every image of 16 x 16 pixels is four tokens in all tiny families."""
    token = getattr(loaded.model.config, "image_token_id", None)
    expected = torch.zeros_like(ids)
    for row, tokens in enumerate(ids.tolist()):
        passed = 0
        for column, one in enumerate(tokens):
            if one == token:
                expected[row, column] = passed // 4 + 1
                passed += 1
    return expected


def mixed(loaded: LoadedModel) -> Any:
    if not sees(loaded):
        return encode(loaded, samples(loaded))
    return encode_conversations(
        loaded, [shown(0, 1, 2, "who is the second?"), shown(1, "who?"), shown(2, 3, "and", 4, 5, "?")]
    )


def test_every_token_of_a_prompt_is_text_or_of_one_image(loaded: LoadedModel, held: Eraser, seen: Seen) -> None:
    inputs = mixed(loaded)
    expected = walked(loaded, inputs["input_ids"])
    assert expected.amax(1).tolist() == ([2, 0, 3] if sees(loaded) else [0] * 5)
    with steered(loaded, held):
        logits(loaded, inputs)
        answer(loaded, inputs)
        whole = [images for images, _ in seen]
        assert torch.equal(whole[0], expected) and torch.equal(whole[1], expected)
        assert all(not bool(later.any()) and later.shape[1] == 1 for later in whole[2:])
        assert torch.equal(seen[0][1], inputs["attention_mask"].bool())
        seen.clear()
        answer(loaded, inputs, use_cache=False)
        for images, _ in seen:
            width = expected.shape[1]
            assert torch.equal(images[:, :width], expected) and not bool(images[:, width:].any())


CHUNKED = {"prefill_chunk_size": 3}


@pytest.mark.parametrize(
    "options", [CHUNKED, {"num_beams": 3}, {"do_sample": True, "num_return_sequences": 3}], ids=str
)
def test_in_every_way_of_decoding(loaded: LoadedModel, held: Eraser, seen: Seen, options: dict[str, Any]) -> None:
    inputs = mixed(loaded)
    if options is CHUNKED:  # transformers cannot cut a prompt with images
        inputs = encode(loaded, [samples(loaded)[index] for index in (1, 3)])
    expected = walked(loaded, inputs["input_ids"])
    with steered(loaded, held):
        answer(loaded, inputs, **options)
    calls = [images for images, _ in seen]
    if options is CHUNKED:
        calls = [torch.cat(calls, dim=1)[:, : expected.shape[1]]]
    else:
        expected = expected.repeat_interleave(3, 0)
    assert torch.equal(calls[0], expected)


def test_embeddings_need_their_token_ids_only_if_a_gate_asks(loaded: LoadedModel, held: Eraser) -> None:
    inputs = encode(loaded, [samples(loaded)[1]])
    embeds = loaded.model.get_input_embeddings()(inputs["input_ids"]).detach()
    alone = {"inputs_embeds": embeds, "attention_mask": inputs["attention_mask"]}
    options = {"do_sample": False, "max_new_tokens": 2, "pad_token_id": 3}
    with steered(loaded, held), torch.no_grad():
        loaded.model.generate(**alone, **options)


def test_embeddings_without_ids_are_refused_where_a_gate_asks(loaded: LoadedModel, held: Eraser, seen: Seen) -> None:
    inputs = encode(loaded, [samples(loaded)[1]])
    embeds = loaded.model.get_input_embeddings()(inputs["input_ids"]).detach()
    alone = {"inputs_embeds": embeds, "attention_mask": inputs["attention_mask"]}
    options = {"do_sample": False, "max_new_tokens": 2, "pad_token_id": 3}
    with steered(loaded, held), torch.no_grad():
        with pytest.raises(SteeringError, match="no token ids"):
            loaded.model(**alone)
        with pytest.raises(SteeringError, match="no token ids"):
            loaded.model.generate(**alone, **options)
        loaded.model.generate(**alone, input_ids=inputs["input_ids"], **options)
        assert torch.equal(seen[0][0], torch.zeros_like(inputs["input_ids"]))


def test_images_without_anything_between() -> None:
    loaded = FAMILIES["llava"](0)
    ids = torch.tensor([[1, 4, 4, 4, 4, 4, 4, 4, 4, 9, 4, 4, 4, 4], [3, 3, 1, 4, 4, 4, 4, 9, 9, 9, 9, 9, 9, 9]])
    found = loaded.adapter.image_index(loaded.model, ids)
    assert found.tolist()[0] == [0, 1, 1, 1, 1, 2, 2, 2, 2, 0, 3, 3, 3, 3]
    assert found.tolist()[1] == [0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0]
    with pytest.raises(ModelError, match="3 image tokens in a row, expected a multiple of 4"):
        loaded.adapter.image_index(loaded.model, torch.tensor([[1, 4, 4, 4, 9]]))
