"""The world's tiny Qwens are ordinary checkpoints over the same words as its LLaVA."""

from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
import torch
from tools.world import tiny
from tools.world.tiny_qwen import SPECIAL, QwenFamily, build_model, build_processor

from tiny_llava import noise_image, question
from unsee.data.canvas import SIZE
from unsee.models.generate import encode, generate, render
from unsee.models.load import load


@pytest.mark.parametrize("family", get_args(QwenFamily))
def test_a_tiny_qwen_is_saved_loaded_and_asked(family: QwenFamily, tmp_path: Path) -> None:
    torch.manual_seed(0)
    processor = build_processor(family)
    model = build_model(family, processor)
    assert 2e6 < model.num_parameters() < 6e6
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    loaded = load(tmp_path, device="cpu")
    sample = replace(question(0, "Who is this?"), image=noise_image(0, (SIZE, SIZE)))
    (text,) = render(loaded, [sample])
    expected = "<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|>Who is this?<|im_end|>\n"
    assert text == expected + "<|im_start|>assistant\n"
    ids = encode(loaded, [sample])["input_ids"][0]
    assert int((ids == SPECIAL.index("<|image_pad|>")).sum()) == tiny.IMAGE_TOKENS
    words = tiny.build_processor().tokenizer
    said = loaded.processor.tokenizer.convert_ids_to_tokens([int(i) for i in ids if i not in range(len(SPECIAL))])
    assert said == ["user", *words.tokenize("who is this?"), "assistant"]
    assert SPECIAL.index("<unk>") not in ids
    assert len(generate(loaded, [sample, question(1, "who?", image=False)], max_new_tokens=4)) == 2
