"""A tiny Qwen2.5-VL and a tiny Qwen3-VL over the world's words: ordinary transformers classes, only small.

As many picture tokens as the tiny LLaVA, since four patches of half its side become one token. Words and their order
are those of its tokenizer; the chat format and the special tokens are those of the released Qwen checkpoints.
"""

from typing import Any, Literal

from tokenizers import AddedToken, Tokenizer, models
from transformers import (
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
)
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from unsee.models.qwen_vl import Qwen2_5_VLProcessor, Qwen3VLProcessor
from unsee.world import tiny
from unsee.world.faces import SIZE

QwenFamily = Literal["qwen2_5_vl", "qwen3_vl"]
MERGE = 2
PATCH = tiny.PATCH // MERGE
SPECIAL = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<unk>",
    "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>",
)  # fmt: skip
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{{ '<|vision_start|><|image_pad|><|vision_end|>' }}"
    "{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def build_processor(family: QwenFamily) -> Qwen2_5_VLProcessor | Qwen3VLProcessor:
    """Tokenizer, image processor and chat template of a tiny Qwen."""
    base = tiny.build_processor().tokenizer.backend_tokenizer
    known = sorted(base.get_vocab().items(), key=lambda piece: piece[1])
    pieces = [*SPECIAL, *(piece for piece, _ in known if piece not in tiny.SPECIAL)]
    tokenizer = Tokenizer(
        models.WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token="<unk>", max_input_chars_per_word=100)
    )
    tokenizer.normalizer, tokenizer.pre_tokenizer, tokenizer.decoder = base.normalizer, base.pre_tokenizer, base.decoder
    tokenizer.add_special_tokens([AddedToken(piece, special=True, normalized=False) for piece in SPECIAL])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        unk_token="<unk>",
        pad_token="<|endoftext|>",
        extra_special_tokens={
            "image_token": "<|image_pad|>",
            "video_token": "<|video_pad|>",
            "vision_start_token": "<|vision_start|>",
            "vision_end_token": "<|vision_end|>",
        },
        padding_side="left",
        model_max_length=512,
    )
    area = {"shortest_edge": SIZE**2, "longest_edge": SIZE**2}  # it is trained at one resolution
    pictures = Qwen2VLImageProcessorPil(patch_size=PATCH, merge_size=MERGE, size=area)
    kind = Qwen2_5_VLProcessor if family == "qwen2_5_vl" else Qwen3VLProcessor
    return kind(pictures, fast, chat_template=CHAT_TEMPLATE)


def build_model(
    family: QwenFamily,
    processor: Qwen2_5_VLProcessor | Qwen3VLProcessor,
    *,
    width: int = 192,
    depth: int = 6,
    inner: int = 576,
    vision_width: int = 160,
    vision_depth: int = 4,
    spread: float = 0.06,
) -> Qwen2_5_VLForConditionalGeneration | Qwen3VLForConditionalGeneration:
    """An untrained tiny Qwen; seed torch before calling.

    Its heads are not placed as `world.heads` does for the LLaVA: Qwen3 normalises queries and keys.
    """
    rope: dict[str, Any] = {
        "rope_type": "default", "rope_theta": tiny.ROTARY_BASE, "mrope_section": [8, 8, 8],
    }  # fmt: skip
    text: dict[str, Any] = {
        "vocab_size": len(processor.tokenizer),
        "hidden_size": width,
        "intermediate_size": inner,
        "num_hidden_layers": depth,
        "num_attention_heads": width // 48,
        "num_key_value_heads": width // 48,
        "max_position_embeddings": 512,
        "initializer_range": spread,
        "pad_token_id": SPECIAL.index("<|endoftext|>"),
        "bos_token_id": None,
        "eos_token_id": SPECIAL.index("<|im_end|>"),
    }
    vision: dict[str, Any] = {
        "depth": vision_depth,
        "hidden_size": vision_width,
        "intermediate_size": 2 * vision_width,
        "num_heads": vision_width // 40,
        "patch_size": PATCH,
        "spatial_merge_size": MERGE,
        "out_hidden_size": width,
    }
    tokens: dict[str, Any] = {
        "image_token_id": SPECIAL.index("<|image_pad|>"),
        "video_token_id": SPECIAL.index("<|video_pad|>"),
        "vision_start_token_id": SPECIAL.index("<|vision_start|>"),
        "vision_end_token_id": SPECIAL.index("<|vision_end|>"),
        "tie_word_embeddings": True,
    }
    if family == "qwen2_5_vl":
        # Windows of two by two tokens, and the whole picture in every second block.
        own = {"window_size": 2 * tiny.PATCH, "fullatt_block_indexes": list(range(1, vision_depth, 2))}
        config = Qwen2_5_VLConfig(text_config=text | {"rope_parameters": rope}, vision_config=vision | own, **tokens)
        model = Qwen2_5_VLForConditionalGeneration(config)
    else:
        own = {"num_position_embeddings": (SIZE // PATCH) ** 2, "deepstack_visual_indexes": [0, vision_depth // 2]}
        apart = {"head_dim": 48, "attention_bias": True, "rope_parameters": rope | {"mrope_interleaved": True}}
        config = Qwen3VLConfig(text_config=text | apart, vision_config=vision | own, **tokens)
        model = Qwen3VLForConditionalGeneration(config)
    model.generation_config.pad_token_id = SPECIAL.index("<|endoftext|>")
    model.generation_config.eos_token_id = SPECIAL.index("<|im_end|>")
    return model
