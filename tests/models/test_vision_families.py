"""Families known by name: real configuration, processor and kind of template, small and random, from disk to answer."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import (
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    Gemma3Processor,
    InternVLConfig,
    InternVLForConditionalGeneration,
    InternVLProcessor,
    InternVLVideoProcessor,
)
from transformers.models.gemma3.image_processing_pil_gemma3 import Gemma3ImageProcessorPil
from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil

from tiny_families import NEW, always, answer, held_eraser, require_clean, steered
from tiny_foreign import tiny_idefics3, tiny_llama
from tiny_llava import LAYERS, WIDTH, byte_tokenizer, question, randomised
from unsee.models.generate import encode
from unsee.models.load import load

GEMMA_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ '<start_of_turn>' + ('model' if message['role'] == 'assistant' else message['role']) + '\n' }}"
    "{% if message['content'] is string %}{{ message['content'] | trim }}{% else %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{{ '<start_of_image>' }}{% else %}{{ part['text'] | trim }}{% endif %}"
    "{% endfor %}{% endif %}{{ '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)


def save_gemma3(folder: Path) -> None:
    tokens = [
        "<unk>", "<bos>", "<eos>", "<pad>", "<start_of_image>", "<image_soft_token>", "<end_of_image>",
        "<start_of_turn>", "<end_of_turn>",
    ]  # fmt: skip
    tokenizer = byte_tokenizer(
        tokens, bos_token="<bos>", eos_token="<eos>", pad_token="<pad>",
        extra_special_tokens={
            "boi_token": "<start_of_image>", "image_token": "<image_soft_token>", "eoi_token": "<end_of_image>",
        },
    )  # fmt: skip
    pictures = Gemma3ImageProcessorPil(size={"height": 16, "width": 16}, image_seq_length=4)
    Gemma3Processor(pictures, tokenizer, chat_template=GEMMA_TEMPLATE, image_seq_length=4).save_pretrained(folder)
    text = {
        "vocab_size": len(tokenizer), "hidden_size": WIDTH, "intermediate_size": 48, "num_hidden_layers": LAYERS,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "sliding_window": 8, "pad_token_id": 3,
        "bos_token_id": 1, "eos_token_id": 2,
    }  # fmt: skip
    vision = {
        "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2,
        "image_size": 16, "patch_size": 4,
    }  # fmt: skip
    config = Gemma3Config(
        text_config=text, vision_config=vision, mm_tokens_per_image=4, image_token_id=5, boi_token_id=4, eoi_token_id=6
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        randomised(Gemma3ForConditionalGeneration(config)).save_pretrained(folder)


def save_idefics3(folder: Path) -> None:
    tiny_idefics3().model.save_pretrained(folder)
    tiny_idefics3().processor.save_pretrained(folder)


INTERNVL_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{{ '<IMG_CONTEXT>\n' }}{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def save_internvl(folder: Path) -> None:
    tokens = ["<unk>", "<|im_start|>", "<|im_end|>", "<img>", "</img>", "<IMG_CONTEXT>", "<video>"]
    tokenizer = byte_tokenizer(
        tokens, eos_token="<|im_end|>", pad_token="<|im_end|>",
        extra_special_tokens={
            "start_image_token": "<img>", "end_image_token": "</img>", "context_image_token": "<IMG_CONTEXT>",
            "video_token": "<video>",
        },
    )  # fmt: skip
    pictures = GotOcr2ImageProcessorPil(size={"height": 16, "width": 16}, crop_to_patches=False)
    pytest.importorskip("torchvision")  # the processor of transformers insists on it
    videos = InternVLVideoProcessor(size={"height": 16, "width": 16})
    processor = InternVLProcessor(pictures, tokenizer, videos, chat_template=INTERNVL_TEMPLATE, image_seq_length=4)
    processor.save_pretrained(folder)
    text = {
        "model_type": "qwen2", "vocab_size": len(tokenizer), "hidden_size": WIDTH, "intermediate_size": 48,
        "num_hidden_layers": LAYERS, "num_attention_heads": 4, "num_key_value_heads": 2, "pad_token_id": 2,
        "eos_token_id": 2,
    }  # fmt: skip
    vision = {
        "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2,
        "image_size": [16, 16], "patch_size": [4, 4],
    }  # fmt: skip
    config = InternVLConfig(text_config=text, vision_config=vision, image_token_id=5, image_seq_length=4)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        randomised(InternVLForConditionalGeneration(config)).save_pretrained(folder)


@pytest.mark.parametrize(
    ("family", "save"), [("internvl", save_internvl), ("gemma3", save_gemma3), ("idefics3", save_idefics3)]
)
def test_a_family_is_loaded_by_name_asked_and_steered(
    family: str, save: Callable[[Path], None], tmp_path: Path
) -> None:
    save(tmp_path)
    loaded = load(tmp_path, device="cpu")
    assert loaded.adapter.family == family and len(loaded.adapter.layers(loaded.model)) == LAYERS
    seen, unseen = question(0, "who is this?"), question(1, "where is ann?", image=False)
    inputs = encode(loaded, [seen, unseen])
    shown = loaded.adapter.image_index(loaded.model, inputs["input_ids"])
    assert shown[0].max() == 1 and int((shown[0] == 1).sum()) == 4 and shown[1].max() == 0
    before = answer(loaded, inputs)
    with steered(loaded, replace(always(held_eraser(tiny_llama())), family=family)) as steering:
        after = answer(loaded, inputs)
    assert steering.positions and after.shape == (2, NEW) and not torch.equal(before, after)
    assert torch.equal(answer(loaded, inputs), before)
    require_clean(loaded.model)
