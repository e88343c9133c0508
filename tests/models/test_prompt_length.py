"""An image is as long as the tokens that it becomes, not as the one marker that stands for it."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from tiny_llava import noise_image, question, tiny_llava
from tiny_qwen import tiny_qwen2_5_vl, tiny_qwen3_vl
from unsee.data.sample import Sample
from unsee.models.generate import batches_by_length, encode
from unsee.models.load import LoadedModel
from unsee.models.prompt_length import visual_tokens

FAMILIES = [tiny_llava, tiny_qwen2_5_vl, tiny_qwen3_vl]


def sized(number: int, text: str, size: tuple[int, int]) -> Sample:
    return replace(question(number, text), image=noise_image(number, size))


def true_tokens(loaded: LoadedModel, sample: Sample) -> int:
    inputs = encode(loaded, [sample])
    return int((loaded.adapter.image_index(loaded.model, inputs["input_ids"]) > 0).sum())


@pytest.mark.parametrize("own", [True, False], ids=["by the processor", "by an image of that size"])
@pytest.mark.parametrize("family", FAMILIES)
def test_image_tokens_are_those_of_the_prompt(
    family: Callable[[], LoadedModel], own: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = family()
    samples = [sized(0, "who?", (16, 24)), sized(1, "who is it?", (48, 32)), question(2, image=False)]
    if not own:
        name = "_get_num_multimodal_tokens"
        for kind in type(loaded.processor).__mro__:
            if name in vars(kind):
                monkeypatch.delattr(kind, name)
    counted = visual_tokens(loaded, samples)
    true = [true_tokens(loaded, sample) for sample in samples]
    # Where only the marker is written, what else the tokenizer adds to a text is the same for every image.
    extra = 0 if own else counted[0] - true[0]
    assert 0 <= extra <= 1 and counted == [one + extra * (one > 0) for one in true]


@pytest.mark.parametrize("family", FAMILIES[1:])
def test_a_large_image_with_few_words_comes_before_a_small_one_with_many(family: Callable[[], LoadedModel]) -> None:
    loaded = family()
    large, small = sized(0, "who?", (96, 96)), sized(1, "who is this?", (16, 16))
    long, short = (encode(loaded, [one])["input_ids"].shape[1] for one in (large, small))
    assert long > short
    assert batches_by_length(loaded, [small, large], 1) == [[1], [0]]
