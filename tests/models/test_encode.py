"""Prompts of mixed batches, and answers that do not depend on how they were batched."""

from dataclasses import replace

import pytest
import torch

from tiny_llava import SIDE, TEMPLATE, mixed_questions, question, tiny_llava
from unsee.errors import DataError, OptionError
from unsee.models.generate import answer_tokens, append_tokens, batches_by_length, encode, generate


def test_images_and_text_share_a_batch() -> None:
    loaded = tiny_llava()
    samples = mixed_questions()
    inputs = encode(loaded, samples)
    image = loaded.processor.tokenizer.convert_tokens_to_ids(loaded.adapter.image_token(loaded.processor))
    patches = (SIDE // 8) ** 2
    assert (inputs["input_ids"] == image).sum(1).tolist() == [patches, 0, patches, 0, patches]
    assert inputs["pixel_values"].shape == (3, 3, SIDE, SIDE)
    assert inputs["attention_mask"][:, -1].all()
    for row, sample in enumerate(samples):
        alone = encode(loaded, [sample])
        real = inputs["attention_mask"][row].bool()
        assert torch.equal(inputs["input_ids"][row, real], alone["input_ids"][0])
    for row, index in enumerate((0, 2, 4)):
        alone = encode(loaded, [samples[index]])["pixel_values"][0]
        assert torch.equal(inputs["pixel_values"][row], alone)


def test_the_prompt_is_the_chat_templates() -> None:
    loaded = tiny_llava()
    inputs = encode(loaded, [question(0, "who?")])
    text = loaded.processor.tokenizer.decode(inputs["input_ids"][0])
    assert text == f"USER: {'<image>' * 4}\nwho? ASSISTANT:"
    assert "pixel_values" not in encode(loaded, [question(0, image=False)])


def test_pixels_follow_the_models_precision() -> None:
    loaded = tiny_llava()
    loaded.model.bfloat16()
    inputs = encode(loaded, [question(0)])
    assert inputs["pixel_values"].dtype == torch.bfloat16 and inputs["input_ids"].dtype == torch.int64


def test_a_template_that_writes_the_start_token_gets_only_one() -> None:
    loaded = tiny_llava()
    tokenizer = loaded.processor.tokenizer
    loaded.processor.chat_template = "<s>" + TEMPLATE
    asked: list[bool] = []
    original = type(tokenizer).__call__

    def spy(self: object, *args: object, **kwargs: object) -> object:
        asked.append(bool(kwargs.get("add_special_tokens", True)))
        return original(self, *args, **kwargs)  # pyright: ignore[reportArgumentType]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(tokenizer), "__call__", spy)
        ids = encode(loaded, [question(0)])["input_ids"][0]
    assert asked == [False]
    assert (ids == tokenizer.bos_token_id).sum() == 1


def test_a_marker_in_a_question_is_refused() -> None:
    loaded = tiny_llava()
    stray = question(0, "what does <image> mean?", image=False)
    with pytest.raises(DataError, match=r"prompt of sample 'q0' has 1 image place\(s\) '<image>', expected 0"):
        encode(loaded, [stray])
    # Without the check this batch has as many markers as images, and would show p1's image to p0's question.
    silent = replace(question(1), image=question(1).image)
    loaded.processor.chat_template = TEMPLATE.replace("<image>\n", "")
    with pytest.raises(DataError, match="sample 'q1' has 0 image place"):
        encode(loaded, [silent, stray])


def test_no_sample_is_refused() -> None:
    loaded = tiny_llava()
    for call in (encode, generate):
        with pytest.raises(DataError, match="no question to ask"):
            call(loaded, [])


@pytest.mark.parametrize("at_once", [512, 2, 1])
def test_batches_hold_every_sample_once_with_the_longest_first(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setattr("unsee.models.generate._MEASURED", at_once)
    loaded = tiny_llava()
    samples = mixed_questions()
    with pytest.raises(DataError, match="no question to ask"):
        batches_by_length(loaded, [], 2)
    assert batches_by_length(loaded, samples, 2) == [[2, 4], [0, 1], [3]]
    with pytest.raises(OptionError, match="batch_size is 0, expected at least 1"):
        batches_by_length(loaded, samples, 0)


def test_answers_follow_their_prompts_in_the_same_column() -> None:
    loaded = tiny_llava()
    inputs = dict(encode(loaded, mixed_questions()[:2]))
    length = inputs["input_ids"].shape[1]
    longer = append_tokens(loaded, inputs, [[7, 8, 9, 10], [11]], 3)
    pad = loaded.processor.tokenizer.pad_token_id
    assert longer["input_ids"][:, length:].tolist() == [[7, 8, 9], [11, pad, pad]]
    assert longer["attention_mask"][:, length:].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert torch.equal(longer["input_ids"][:, :length], inputs["input_ids"])
    assert longer["pixel_values"] is inputs["pixel_values"]
    assert append_tokens(loaded, inputs, [[7], [8]], 0)["input_ids"].shape[1] == length


def test_an_answer_without_tokens_is_refused() -> None:
    loaded = tiny_llava()
    assert loaded.processor.tokenizer.decode(answer_tokens(loaded, ["ann lee"])[0]) == "ann lee"
    with pytest.raises(DataError, match="answer 1 is '', expected at least one token"):
        answer_tokens(loaded, ["ann", ""])


def greedy(sample_index: int, tokens: int) -> str:
    """Slow oracle: argmax over the whole logits, without cache, one row."""
    loaded = tiny_llava()
    inputs = dict(encode(loaded, [mixed_questions()[sample_index]]))
    made: list[int] = []
    for _ in range(tokens):
        with torch.no_grad():
            token = int(loaded.model(**inputs, use_cache=False).logits[0, -1].argmax())
        if token == loaded.processor.tokenizer.eos_token_id:
            break
        made.append(token)
        inputs["input_ids"] = torch.cat([inputs["input_ids"], torch.tensor([[token]])], dim=1)
        inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    return loaded.processor.tokenizer.decode(made, skip_special_tokens=True).strip()


def test_answers_are_greedy_in_order_and_independent_of_the_batch() -> None:
    loaded = tiny_llava()
    samples = mixed_questions()
    done: list[int] = []
    answers = generate(loaded, samples, batch_size=2, max_new_tokens=6, progress=done.append)
    assert sum(done) == len(samples) and len(done) == 3
    assert answers == [greedy(i, 6) for i in range(len(samples))]
    assert answers == generate(loaded, samples, batch_size=5, max_new_tokens=6)
    assert len(set(answers)) > 1


def test_options_of_generate_are_checked() -> None:
    loaded = tiny_llava()
    with pytest.raises(OptionError, match="max_new_tokens is 0"):
        generate(loaded, [question(0)], max_new_tokens=0)
    with pytest.raises(OptionError, match="num_return_sequences is 2, expected 1"):
        generate(loaded, [question(0)], num_return_sequences=2)


def test_a_failure_is_not_swallowed() -> None:
    loaded = tiny_llava()
    handle = loaded.model.register_forward_pre_hook(lambda *_: (_ for _ in ()).throw(RuntimeError("boom")))
    with pytest.raises(RuntimeError, match="boom"):
        generate(loaded, [question(0)])
    handle.remove()
