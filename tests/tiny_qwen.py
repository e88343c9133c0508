"""Random Qwen2.5-VL and Qwen3-VL models of a few thousand weights with real processors, built in memory.

As in `tiny_llava`: tokens are bytes, and images keep their own resolution. Their shapes are odd on purpose where the
families allow it: windows smaller than an image, DeepStack into the blocks that are steered.
"""

from typing import Any

import torch
from tests.tiny_llava import LAYERS, WIDTH, byte_tokenizer, randomised
from transformers import (
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
)
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from unsee.models.digest import weights_digest
from unsee.models.load import LoadedModel
from unsee.models.qwen_vl import Qwen2_5_VLProcessor, Qwen3VLProcessor, qwen2_5_vl, qwen3_vl

PATCH = 4
SPECIALS = [
    "<unk>", "<|im_start|>", "<|im_end|>", "<|endoftext|>",
    "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>",
]  # fmt: skip
# The turn as the released checkpoints write it.
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def _text(**others: Any) -> dict[str, Any]:
    return {
        "vocab_size": len(SPECIALS) + 256,
        "hidden_size": WIDTH,
        "intermediate_size": 64,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 2048,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10_000.0, "mrope_section": [2, 1, 1], **others},
        "bos_token_id": None,
        "eos_token_id": SPECIALS.index("<|im_end|>"),
        "pad_token_id": SPECIALS.index("<|endoftext|>"),
    }


def _vision(**others: Any) -> dict[str, Any]:
    return {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_heads": 2,
        "patch_size": PATCH,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
        "out_hidden_size": WIDTH,
        **others,
    }


TOKENS: dict[str, Any] = {
    "image_token_id": SPECIALS.index("<|image_pad|>"),
    "video_token_id": SPECIALS.index("<|video_pad|>"),
    "vision_start_token_id": SPECIALS.index("<|vision_start|>"),
    "vision_end_token_id": SPECIALS.index("<|vision_end|>"),
}


def tiny_qwen2_5_vl(seed: int = 0) -> LoadedModel:
    """Qwen2.5-VL in float32 on the CPU, as `unsee.models.load.load` would hand it over."""
    vision = _vision(depth=2, window_size=2 * PATCH, fullatt_block_indexes=[1])
    config = Qwen2_5_VLConfig(text_config=_text(), vision_config=vision, **TOKENS)
    processor = Qwen2_5_VLProcessor(_images(), tiny_tokenizer(), chat_template=TEMPLATE)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = randomised(Qwen2_5_VLForConditionalGeneration(config))
    return LoadedModel(model, processor, qwen2_5_vl(), "tiny-qwen2.5-vl", None, weights_digest(model))


def tiny_qwen3_vl(seed: int = 0) -> LoadedModel:
    """Qwen3-VL, with DeepStack into the inputs of blocks 1 and 2."""
    vision = _vision(depth=3, num_position_embeddings=16, deepstack_visual_indexes=[0, 1])
    text = _text(mrope_interleaved=True) | {"head_dim": WIDTH // 4}
    config = Qwen3VLConfig(text_config=text, vision_config=vision, **TOKENS)
    processor = Qwen3VLProcessor(_images(), tiny_tokenizer(), chat_template=TEMPLATE)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = randomised(Qwen3VLForConditionalGeneration(config))
    return LoadedModel(model, processor, qwen3_vl(), "tiny-qwen3-vl", None, weights_digest(model))


def tiny_tokenizer() -> Any:
    """Bytes, and the special tokens of Qwen."""
    return byte_tokenizer(
        SPECIALS,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        extra_special_tokens={
            "image_token": "<|image_pad|>",
            "video_token": "<|video_pad|>",
            "vision_start_token": "<|vision_start|>",
            "vision_end_token": "<|vision_end|>",
        },
    )


def _images() -> Qwen2VLImageProcessorPil:
    side = 2 * PATCH
    return Qwen2VLImageProcessorPil(patch_size=PATCH, size={"shortest_edge": side**2, "longest_edge": (4 * side) ** 2})
